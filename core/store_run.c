/* store_run.c - a run: the model, the composite and the plugins it is made with, its beginning and
 * its end. */
#include "store_db.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static const char SQL_EXPERIMENT[] = "SELECT experiment_id FROM experiment WHERE name=?1";
static const char SQL_EXPERIMENT_ADD[] =
    "INSERT INTO experiment (name) VALUES (?1) RETURNING experiment_id";
static const char SQL_NOTE[] = "UPDATE experiment SET note=?2 WHERE experiment_id=?1";
static const char SQL_MODEL[] = "SELECT model_id FROM model WHERE sha256=?1";
static const char SQL_MODEL_ADD[] =
    "INSERT INTO model (sha256, name, path, producer, kind, modality, opset, n_param, signature, "
    "meta)"
    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) RETURNING model_id";
static const char SQL_CLASS[] =
    "INSERT INTO class (model_id, class_index, label) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
static const char SQL_TOKENIZER[] = "SELECT tokenizer_id FROM tokenizer WHERE sha256=?1";
static const char SQL_TOKENIZER_ADD[] =
    "INSERT INTO tokenizer (sha256, kind) VALUES (?1, ?2) RETURNING tokenizer_id";
static const char SQL_COMPOSITE[] =
    "SELECT composite_id FROM composite WHERE name=?1 AND sha256=?2";
static const char SQL_COMPOSITE_ADD[] =
    "INSERT INTO composite (name, sha256, spec) VALUES (?1, ?2, "
    "json_object('text', ?3)) RETURNING composite_id";
static const char SQL_RULE[] =
    "INSERT INTO composite_rule (composite_id, ord, layer_match, rule, params) "
    "VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING";
static const char SQL_PLUGIN[] =
    "SELECT plugin_id FROM plugin WHERE name=?1 AND version=?2 AND sha256=?3";
static const char SQL_PLUGIN_ADD[] = "INSERT INTO plugin (name, version, sha256, abi, path) VALUES "
                                     "(?1, ?2, ?3, ?4, ?5) RETURNING plugin_id";
static const char SQL_RUN_PLUGIN[] =
    "INSERT INTO run_plugin (run_id, plugin_id) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
static const char SQL_RUN[] =
    "INSERT INTO run (uuid, experiment_id, model_id, composite_id, environment_id, "
    "method, argv, config, seed, precision, pid)"
    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) RETURNING run_id";
static const char SQL_RUN_UNSEEDED[] =
    "INSERT INTO run (uuid, experiment_id, model_id, composite_id, "
    "environment_id, method, argv, config, precision, pid)"
    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?10, ?11) RETURNING run_id";
static const char SQL_TAG[] = "INSERT INTO tag (run_id, key, value) VALUES (?1, ?2, ?3)"
                              " ON CONFLICT (run_id, key) DO UPDATE SET value=excluded.value";
static const char SQL_LAYER[] =
    "SELECT layer_id FROM layer WHERE model_id=?1 AND name=?2 AND op=?3 AND type=?4 AND args=?5";
static const char SQL_LAYER_ADD[] =
    "INSERT INTO layer (model_id, name, op, type, args, n_param) VALUES (?1, "
    "?2, ?3, ?4, ?5, ?6) RETURNING layer_id";
static const char SQL_RUN_LAYER[] =
    "INSERT INTO run_layer (run_id, layer_id, ordinal, out_shape, rule, "
    "matcher, note) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"
    " ON CONFLICT DO NOTHING";
static const char SQL_END[] = "UPDATE run SET status=?2, wall_ns=?3, cpu_ns=?4, peak_rss=?5, "
                              "finished_at=strftime('%Y-%m-%dT%H:%M:%fZ','now'),"
                              " heartbeat_at=strftime('%Y-%m-%dT%H:%M:%fZ','now') WHERE run_id=?1";

static const char SQL_IS_OBJECT[] =
    "SELECT CASE WHEN json_valid(?1) THEN json_type(?1)='object' END";

static const char *or_empty(const char *s)
{
  return s ? s : "";
}

/* Well-formed, in scratch memory. */
static const char *copy(lrp_store *s, const char *text)
{
  return lrp_utf8_copy(&s->ctx->scratch, text);
}

/* ---- JSON made of plain facts, in scratch memory ---- */

static lrp_status scratch_json(lrp_store *s, json_t *json, const char **out)
{
  char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
  *out = text ? lrp_arena_text(&s->ctx->scratch, text, strlen(text)) : NULL;
  free(text);
  json_decref(json);
  return *out ? LRP_OK : lrp_nomem(s->ctx, "the run's record");
}

static json_t *shape_json(const int64_t *shape, int32_t rank)
{
  json_t *list = json_array();
  for (int32_t i = 0; i < rank && i < LRP_MAX_RANK; i++)
    json_array_append_new(list, json_integer((json_int_t)shape[i]));
  return list;
}

static json_t *signature_json(lrp_store *s, const lrp_signature *v, int32_t n)
{
  json_t *list = json_array();
  for (int32_t i = 0; v && i < n; i++)
    json_array_append_new(
        list, json_pack("{ssssso}", "name", or_empty(copy(s, v[i].name)), "dtype",
                        v[i].dtype == LRP_INDEX ? "int64" : "real", "shape",
                        v[i].rank < 0 ? json_null() : shape_json(v[i].shape, v[i].rank)));
  return list;
}

static lrp_status argv_json(lrp_store *s, const lrp_run_spec *spec, const char **out)
{
  json_t *list = json_array();
  for (int32_t i = 0; i < spec->n_argv; i++)
    json_array_append_new(list, json_string(or_empty(copy(s, spec->argv[i]))));
  return scratch_json(s, list, out);
}

/* SQLite judges, as it is SQLite that will read it; *out: "{}" where there is no text. */
static lrp_status check_json(lrp_store *s, const char *what, const char *text, const char **out)
{
  int64_t valid;
  *out = text && *text ? text : "{}";
  lrp_status st = lrp_sql_id(s, &valid, SQL_IS_OBJECT, "t", *out);
  if (!st && valid != 1)
    st = lrp_fail(s->ctx, LRP_E_ARG, "%s: not a JSON object: %.200s", what, *out);
  return st;
}

/* ---- what a run is made with ---- */

static lrp_status put_model(lrp_store *s, lrp_run *run, const lrp_run_spec *spec)
{
  static const char *const MODALITY[] = {[LRP_MODALITY_TENSOR] = "tensor",
                                         [LRP_MODALITY_IMAGE] = "image",
                                         [LRP_MODALITY_TEXT] = "text",
                                         [LRP_MODALITY_SOUND] = "sound",
                                         [LRP_MODALITY_BYTES] = "bytes"};
  const lrp_model_info *m = spec->model;
  const char *meta = NULL, *signature = NULL;
  if (!m || !m->sha256 || strlen(m->sha256) != 64 || !m->name || m->modality < 0 ||
      m->modality > LRP_MODALITY_BYTES)
    return lrp_fail(s->ctx, LRP_E_ARG, "run: the model's name, modality and SHA-256 are needed");
  lrp_status st = check_json(s, "the model's config.json", m->meta, &meta);
  if (!st)
    st = scratch_json(s,
                      json_pack("{soso}", "inputs", signature_json(s, spec->input, m->n_input),
                                "outputs", signature_json(s, spec->output, m->n_output)),
                      &signature);
  if (st) return st;
  st = lrp_sql_get(s, &run->model_id, SQL_MODEL, SQL_MODEL_ADD, "ttttttiitt", m->sha256,
                   copy(s, m->name), copy(s, m->path), copy(s, m->producer), copy(s, m->kind),
                   MODALITY[m->modality], (int64_t)m->opset, m->n_param, signature, meta);
  for (int64_t i = 0; !st && m->labels && i < m->n_label; i++)
    if (m->labels[i]) st = lrp_sql_do(s, SQL_CLASS, "iit", run->model_id, i, copy(s, m->labels[i]));
  return st;
}

static lrp_status put_composite(lrp_store *s, const lrp_run_spec *spec, int64_t *id)
{
  *id = -1;
  if (!spec->composite_text) return LRP_OK;
  if (!spec->composite_sha256 || strlen(spec->composite_sha256) != 64)
    return lrp_fail(s->ctx, LRP_E_ARG, "run: the SHA-256 of the composite's text is needed");
  lrp_status st = lrp_sql_get(s, id, SQL_COMPOSITE, SQL_COMPOSITE_ADD, "ttt",
                              or_empty(copy(s, spec->composite_name)), spec->composite_sha256,
                              copy(s, spec->composite_text));
  for (int64_t i = 0; !st && i < spec->n_rule; i++) {
    const lrp_run_rule *r = &spec->rule[i];
    const char *params;
    st = check_json(s, r->rule, r->params, &params);
    if (!st)
      st = lrp_sql_do(s, SQL_RULE, "iittt", *id, i, or_empty(copy(s, r->matcher)), r->rule, params);
  }
  return st;
}

static lrp_status put_plugins(lrp_store *s, lrp_run *run, const lrp_run_spec *spec)
{
  lrp_status st = LRP_OK;
  for (int64_t i = 0; !st && i < spec->n_plugin; i++) {
    const lrp_plugin_info *p = spec->plugin[i];
    char abi[32];
    int64_t id;
    sqlite3_snprintf(sizeof abi, abi, "%u.%u", p->plugin->abi_major, p->plugin->abi_minor);
    st = lrp_sql_get(s, &id, SQL_PLUGIN, SQL_PLUGIN_ADD, "ttttt", or_empty(p->plugin->name),
                     or_empty(p->plugin->version), or_empty(p->sha256), abi,
                     or_empty(copy(s, p->path)));
    if (!st) st = lrp_sql_do(s, SQL_RUN_PLUGIN, "ii", run->id, id);
  }
  return st;
}

static lrp_status put_tags(lrp_store *s, lrp_run *run, const lrp_run_spec *spec)
{
  lrp_status st = LRP_OK;
  for (int64_t i = 0; !st && i < spec->n_tag; i++) {
    const char *tag = copy(s, spec->tag[i]), *equals = tag ? strchr(tag, '=') : NULL;
    if (!equals || equals == tag)
      return lrp_fail(s->ctx, LRP_E_ARG, "tag \"%s\": key=value was expected", or_empty(tag));
    st = lrp_sql_do(s, SQL_TAG, "ist", run->id, tag, (size_t)(equals - tag), equals + 1);
  }
  return st;
}

static const char SQL_UUID[] = "SELECT uuid FROM run WHERE run_id=?1";

/* ---- layers ---- */

typedef struct named { /* for finding nodes of one name without comparing all pairs */
  const char *name;
  int64_t at;
} named;

static int by_name(const void *a, const void *b)
{
  const named *x = a, *y = b;
  int order = strcmp(x->name, y->name);
  return order ? order : (x->at > y->at) - (x->at < y->at);
}

/* Names of the layers, made different: the second "x" becomes "x#2". */
static lrp_status layer_names(lrp_store *s, const lrp_run_layer *layer, int64_t n,
                              const char **name)
{
  size_t bytes;
  named *sorted = NULL;
  if (lrp_mul_size((size_t)n, sizeof *sorted, &bytes))
    sorted = lrp_arena_alloc(&s->ctx->scratch, bytes + 1);
  if (!sorted) return lrp_nomem(s->ctx, "the run's layers");
  for (int64_t i = 0; i < n; i++)
    sorted[i] = (named){or_empty(copy(s, layer[i].name)), i};
  qsort(sorted, (size_t)n, sizeof *sorted, by_name);
  for (int64_t i = 0, same = 1; i < n; i++) {
    same = i > 0 && !strcmp(sorted[i].name, sorted[i - 1].name) ? same + 1 : 1;
    name[sorted[i].at] = sorted[i].name;
    if (same == 1) continue;
    char *text = sqlite3_mprintf("%s#%lld", sorted[i].name, (long long)same);
    name[sorted[i].at] = text ? lrp_arena_text(&s->ctx->scratch, text, strlen(text)) : NULL;
    sqlite3_free(text);
    if (!name[sorted[i].at]) return lrp_nomem(s->ctx, "the run's layers");
  }
  return LRP_OK;
}

static lrp_status put_layer(lrp_store *s, lrp_run *run, const lrp_run_layer *l, const char *name,
                            int64_t at, int64_t *id)
{
  const char *shape;
  lrp_status st = scratch_json(s, shape_json(l->shape, l->rank), &shape);
  if (!st)
    st = lrp_sql_get(s, id, SQL_LAYER, SQL_LAYER_ADD, "itttti", run->model_id, name,
                     or_empty(copy(s, l->op)), or_empty(l->type), or_empty(l->args), l->n_param);
  if (!st)
    st = lrp_sql_do(s, SQL_RUN_LAYER, "iiitttt", run->id, *id, at, shape, or_empty(l->rule),
                    or_empty(copy(s, l->matcher)), or_empty(copy(s, l->note)));
  return st;
}

static lrp_status put_layers(lrp_store *s, lrp_run *run, const lrp_run_layer *layer, int64_t n)
{
  size_t bytes = 0;
  const char **name = NULL;
  int64_t *id = NULL;
  if (n >= 0 && lrp_mul_size((size_t)n + 1, sizeof *id, &bytes)) {
    name = lrp_arena_alloc(&s->ctx->scratch, bytes);
    id = malloc(bytes);
  }
  lrp_status st =
      name && id ? layer_names(s, layer, n, name) : lrp_nomem(s->ctx, "the run's layers");
  for (int64_t i = 0; !st && i < n; i++)
    st = put_layer(s, run, &layer[i], name[i], i, &id[i]);
  if (st) {
    free(id);
    return st;
  }
  free(run->layer_id);
  run->layer_id = id;
  run->n_layer = n;
  return LRP_OK;
}

lrp_status lrp_store_run_layers(lrp_store *s, lrp_run *run, const lrp_run_spec *spec)
{
  const lrp_mark mark = lrp_arena_mark(&s->ctx->scratch);
  lrp_status st = lrp_sql_begin(s, "storing the run's layers");
  if (!st) st = lrp_sql_end(s, put_layers(s, run, spec->layer, spec->n_layer));
  lrp_arena_release(&s->ctx->scratch, mark);
  return st;
}

/* ---- begin and end ---- */

/* Version 4 of RFC 4122: 122 random bits. */
static void new_uuid(char out[37])
{
  unsigned char b[16];
  sqlite3_randomness(sizeof b, b);
  b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
  b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
  sqlite3_snprintf(37, out, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
                   b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12],
                   b[13], b[14], b[15]);
}

const char *const lrp_method_names[] = {[LRP_METHOD_LRP] = "lrp",
                                        [LRP_METHOD_GRADIENT] = "gradient",
                                        [LRP_METHOD_INPUT_X_GRADIENT] = "input_x_gradient",
                                        [LRP_METHOD_INTEGRATED_GRADIENTS] = "integrated_gradients",
                                        [LRP_METHOD_IMPORT] = "import"};

static lrp_status put_run(lrp_store *s, lrp_run *run, const lrp_run_spec *spec)
{
  char uuid[37];
  const char *argv = NULL, *config = NULL;
  int64_t experiment = -1, composite = -1, environment = -1;
  if (spec->method < 0 || spec->method > LRP_METHOD_IMPORT)
    return lrp_fail(s->ctx, LRP_E_ARG, "run: method %d does not exist", (int)spec->method);
  lrp_status st = check_json(s, "the run's settings", spec->config, &config);
  if (!st) st = argv_json(s, spec, &argv);
  if (!st)
    st = lrp_sql_get(s, &experiment, SQL_EXPERIMENT, SQL_EXPERIMENT_ADD, "t",
                     spec->experiment ? copy(s, spec->experiment) : "default");
  if (!st && spec->note) st = lrp_sql_do(s, SQL_NOTE, "it", experiment, copy(s, spec->note));
  if (!st) st = put_model(s, run, spec);
  if (!st) st = put_composite(s, spec, &composite);
  if (!st) st = lrp_store_environment(s, spec->threads, &environment);
  new_uuid(uuid);
  if (spec->uuid) sqlite3_snprintf(sizeof uuid, uuid, "%s", spec->uuid);
  if (!st)
    st = lrp_sql_id(s, &run->id, spec->has_seed ? SQL_RUN : SQL_RUN_UNSEEDED, "tiiIitttiti", uuid,
                    experiment, run->model_id, composite, environment,
                    lrp_method_names[spec->method], argv, config, spec->seed,
                    lrp_precision_name(s->ctx), (int64_t)getpid());
  return st;
}

/* What explanations need to know of the model; run->model_id is there. */
static lrp_status put_name(lrp_ctx *ctx, lrp_run *run, const char *name)
{
  json_t *json = json_string(name);
  char *text = json ? json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
  const char *kept = text ? lrp_arena_text(&run->arena, text, strlen(text)) : NULL;
  json_decref(json);
  free(text);
  if (!kept) return lrp_nomem(ctx, "the run's record");
  const size_t room = strlen(name) + 40;
  char *what = lrp_arena_alloc(&run->arena, room);
  if (!what) return lrp_nomem(ctx, "the run's record");
  sqlite3_snprintf((int)room, what, "relevance of input %d \"%s\"", (int)run->n_input, name);
  run->input_what[run->n_input] = what;
  run->input_name[run->n_input++] = kept;
  return LRP_OK;
}

lrp_status lrp_run_inputs(lrp_store *s, lrp_run *run, const lrp_run_spec *spec)
{
  lrp_status st = LRP_OK;
  if (spec->tokenizer_sha256)
    st = lrp_sql_get(s, &run->tokenizer_id, SQL_TOKENIZER, SQL_TOKENIZER_ADD, "tt",
                     spec->tokenizer_sha256, or_empty(spec->tokenizer_kind));
  if (st) return st;
  run->input_name =
      lrp_arena_alloc(&run->arena, ((size_t)spec->model->n_input + 1) * sizeof *run->input_name);
  run->input_what =
      lrp_arena_alloc(&run->arena, ((size_t)spec->model->n_input + 1) * sizeof *run->input_what);
  if (!run->input_name || !run->input_what) return lrp_nomem(s->ctx, "the run's record");
  for (int32_t i = 0; !st && spec->input && i < spec->model->n_input; i++)
    st = put_name(s->ctx, run, or_empty(lrp_utf8_copy(&run->arena, spec->input[i].name)));
  return st;
}

static lrp_status fill_run(lrp_store *s, lrp_run *run, const lrp_run_spec *spec)
{
  lrp_status st = put_run(s, run, spec);
  if (!st) st = put_plugins(s, run, spec);
  if (!st) st = put_tags(s, run, spec);
  if (!st) st = put_layers(s, run, spec->layer, spec->n_layer);
  return st ? st : lrp_run_inputs(s, run, spec);
}

static void run_free(lrp_run *run)
{
  lrp_arena_free(&run->arena);
  free(run->layer_id);
  free(run);
}

lrp_status lrp_store_run_begin(lrp_store *s, const lrp_run_spec *spec, lrp_run **out)
{
  lrp_run *run = calloc(1, sizeof *run);
  *out = NULL;
  if (!run) return lrp_nomem(s->ctx, "a run");
  run->tokenizer_id = -1;
  run->seed_kind = spec->seed_kind;
  run->wall_ns = run->beat_ns = lrp_clock_ns(CLOCK_MONOTONIC);
  run->cpu_ns = lrp_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
  const lrp_mark mark = lrp_arena_mark(&s->ctx->scratch);
  lrp_status st = lrp_sql_begin(s, "storing the beginning of a run");
  if (!st) st = lrp_sql_end(s, fill_run(s, run, spec));
  lrp_arena_release(&s->ctx->scratch, mark);
  if (st) {
    run_free(run);
    return st;
  }
  run->next = s->runs;
  s->runs = run;
  *out = run;
  return LRP_OK;
}

lrp_status lrp_store_run_uuid(lrp_store *s, int64_t id, char out[37])
{
  sqlite3_stmt *stmt = NULL;
  s->doing = "reading a run";
  int code = sqlite3_prepare_v2(s->db, SQL_UUID, -1, &stmt, NULL);
  if (!code) code = sqlite3_bind_int64(stmt, 1, id);
  if (!code) code = sqlite3_step(stmt);
  lrp_status st = LRP_OK;
  if (code == SQLITE_ROW)
    sqlite3_snprintf(37, out, "%s", (const char *)sqlite3_column_text(stmt, 0));
  else if (code == SQLITE_DONE)
    st = lrp_fail(s->ctx, LRP_E_ARG, "%s: there is no run %lld", s->path, (long long)id);
  else
    st = lrp_db_fail(s->ctx, s->db, s->path, s->doing);
  sqlite3_finalize(stmt);
  return st;
}

int64_t lrp_run_id(const lrp_run *run)
{
  return run->id;
}

lrp_status lrp_store_run_end(lrp_store *s, lrp_run *run, int32_t status)
{
  static const char *const NAME[] = {
      [LRP_RUN_DONE] = "done", [LRP_RUN_FAILED] = "failed", [LRP_RUN_INTERRUPTED] = "interrupted"};
  struct rusage used = {0};
  if (!run) return LRP_OK;
  for (lrp_run **at = &s->runs; *at; at = &(*at)->next)
    if (*at == run) {
      *at = run->next;
      break;
    }
  getrusage(RUSAGE_SELF, &used);
  lrp_status st = lrp_sql_begin(s, "storing the end of a run");
  if (!st)
    st = lrp_sql_do(s, SQL_END, "itiii", run->id,
                    NAME[status >= 0 && status <= LRP_RUN_INTERRUPTED ? status : LRP_RUN_FAILED],
                    lrp_clock_ns(CLOCK_MONOTONIC) - run->wall_ns,
                    lrp_clock_ns(CLOCK_PROCESS_CPUTIME_ID) - run->cpu_ns,
                    (int64_t)used.ru_maxrss * 1024); /* Linux counts KiB */
  st = lrp_sql_end(s, st);
  run_free(run);
  return st;
}
