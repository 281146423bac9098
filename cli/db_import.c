/* db_import.c - lrp db import: relevance that another program computed becomes a run, to be
 * compared in the same tables. */
#include "dbase.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char SQL_FORGET[] = "DELETE FROM run WHERE run_id = ?1";

typedef struct import {
  cli_db d;
  lrp_model *model;
  lrp_run *run;
  const char *const *file; /* arrays */
  int n_file, at_file;     /* how many; the one in memory, -1: none */
  lrp_tensor array;
  int64_t at; /* elements that were used */
  const char *const *input;
  int n_input;
  const char *target, *name, *experiment;
  int32_t seed;
  int argc;
  char **argv;
  int64_t n_done;
} import;

static lrp_status fail(import *m, lrp_status st, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static lrp_status fail(import *m, lrp_status st, const char *fmt, ...)
{
  char text[1024];
  va_list args;
  va_start(args, fmt);
  vsnprintf(text, sizeof text, fmt, args);
  va_end(args);
  return lrp_fail(m->d.ctx, st, "%s", text);
}

/* ---- the run ---- */

static lrp_status begin(import *m, const lrp_graph *graph)
{
  char hex[65], text[512];
  lrp_run_spec spec;
  lrp_status st = lrp_run_spec_from(m->d.ctx, m->model, graph, NULL, &spec);
  if (st) return st;
  snprintf(text, sizeof text, "# computed by another program, imported as %s\n", m->name);
  lrp_sha256(text, strlen(text), hex);
  json_t *files = json_array();
  for (int i = 0; i < m->n_file; i++)
    json_array_append_new(files, cli_json_text(m->file[i], strlen(m->file[i])));
  json_t *config = json_pack("{s:s, s:s, s:o}", "target", m->target, "seed",
                             m->seed == LRP_SEED_ONE ? "one" : "logit", "arrays", files);
  char *config_text = config ? json_dumps(config, JSON_COMPACT) : NULL;
  spec.composite_name = m->name;
  spec.composite_text = text;
  spec.composite_sha256 = hex;
  spec.experiment = m->experiment;
  spec.method = LRP_METHOD_IMPORT;
  spec.seed_kind = m->seed;
  spec.n_argv = m->argc;
  spec.argv = (const char *const *)m->argv;
  spec.config = config_text;
  st = config_text ? lrp_store_run_begin(m->d.store, &spec, &m->run) : LRP_E_NOMEM;
  free(config_text);
  json_decref(config);
  lrp_run_spec_free(&spec);
  return st;
}

/* ---- arrays ---- */

/* The array for the next input: one for each input, or one for all. */
static lrp_status next_array(import *m, int i)
{
  const int wanted = m->n_file > 1 ? i : 0;
  if (m->at_file == wanted) return LRP_OK;
  free(m->array.data);
  m->array = (lrp_tensor){.data = NULL};
  m->at_file = wanted;
  m->at = 0;
  const lrp_status st = lrp_npy_read(m->d.ctx, m->file[wanted], &m->array);
  if (!st && m->array.dtype != LRP_REAL)
    return fail(m, LRP_E_INPUT,
                "%s: whole numbers; relevance, floating-point numbers, was expected",
                m->file[wanted]);
  return st;
}

static int64_t count_of(const lrp_tensor *t)
{
  int64_t n = 1;
  for (int32_t i = 0; i < t->rank; i++)
    n *= t->shape[i];
  return n;
}

/* Which of the model's inputs has the array's size; *depth: values of one element, to be added up,
 * as of embeddings. */
static lrp_status which_input(import *m, const lrp_input *in, const char *name, int64_t batch,
                              int32_t *which, int64_t *depth)
{
  const lrp_tensor *a = &m->array;
  char shape[128], wanted[128];
  const int64_t left = count_of(a) - m->at;
  for (int32_t i = 0; i < in->n_tensor; i++) {
    const int64_t n = count_of(&in->tensor[i]);
    for (int deep = 0; deep < 2; deep++) {
      *depth = deep && a->rank > 1 ? a->shape[a->rank - 1] : 1;
      const bool fits = m->n_file > 1 || m->n_input == 1
                            ? left == n * *depth
                            : a->rank > 1 && left >= n * *depth &&
                                  count_of(a) / a->shape[0] * batch == n * *depth;
      *which = i;
      if (n > 0 && fits) return LRP_OK;
    }
  }
  return fail(m, LRP_E_SHAPE,
              "%s: relevance of shape %s does not fit \"%s\", whose input has the shape %s; %s",
              m->file[m->at_file], lrp_shape_text(a, shape, sizeof shape), name,
              in->n_tensor ? lrp_shape_text(&in->tensor[0], wanted, sizeof wanted) : "()",
              m->n_file > 1 ? "one array for each input was expected, in the same order"
                            : "the first axis counts the inputs, in the order of --input");
}

/* ---- one input ---- */

/* As lrp explain: softmax over the scores, or the logistic function of a single one. */
static double probability(const lrp_real *s, int64_t n, int64_t best)
{
  double sum = 0;
  if (n == 1) return 1 / (1 + exp(-(double)s[0]));
  for (int64_t i = 0; i < n; i++)
    sum += exp((double)s[i] - (double)s[best]);
  return 1 / sum;
}

static double value_of(const import *m, const lrp_target *t, const lrp_real *s, int64_t n)
{
  double sum = 0;
  if (m->seed == LRP_SEED_ONE) return t->plus < 0 ? (double)n : t->minus < 0 ? 1 : 0;
  if (t->plus >= 0) return (double)s[t->plus] - (t->minus < 0 ? 0 : (double)s[t->minus]);
  for (int64_t i = 0; i < n; i++)
    sum += (double)s[i];
  return sum;
}

static lrp_status store(import *m, const lrp_input *in, const lrp_graph *graph, int32_t which,
                        lrp_real *r)
{
  const lrp_tensor *scores = lrp_graph_scores(graph);
  const int64_t batch = lrp_graph_n_batch(graph), n_class = batch ? count_of(scores) / batch : 0;
  const int64_t n = batch ? count_of(&in->tensor[which]) / batch : 0;
  lrp_tensor *tensor = calloc((size_t)in->n_tensor, sizeof *tensor);
  double *value = calloc(2 * (size_t)batch + 1, sizeof *value), *sum = value ? value + batch : NULL;
  lrp_status st = tensor && value ? LRP_OK : LRP_E_NOMEM;
  if (!st) {
    tensor[which] = in->tensor[which];
    tensor[which].dtype = LRP_REAL;
    tensor[which].data = r;
  }
  const lrp_relevance relevance = {
      .n_tensor = in->n_tensor, .tensor = tensor, .value = value, .sum = sum};
  for (int64_t k = 0; !st && k < batch; k++) {
    const lrp_real *s = (const lrp_real *)scores->data + k * n_class;
    int64_t best = 0;
    lrp_record record = {.input = in,
                         .sample = k,
                         .n_sample = batch,
                         .ordinal = -1,
                         .scores = s,
                         .n_class = n_class,
                         .relevance = &relevance,
                         .at = -1};
    for (int64_t i = 1; i < n_class; i++)
      best = s[i] > s[best] ? i : best;
    for (int64_t i = 0; i < n; i++)
      sum[k] += (double)r[k * n + i];
    record.probability = scores->rank <= 2 && n_class ? probability(s, n_class, best) : -1;
    st = lrp_target_parse(m->d.ctx, m->model, m->target, scores, k, &record.target);
    if (!st) {
      value[k] = value_of(m, &record.target, s, n_class);
      st = lrp_store_explanation(m->d.store, m->run, &record, NULL);
    }
    m->n_done += !st;
  }
  free(tensor);
  free(value);
  return st;
}

/* The next part of the array, for this input. */
static lrp_status take(import *m, const lrp_input *in, const lrp_graph *graph, const char *name)
{
  int32_t which = 0;
  int64_t depth = 1;
  lrp_status st = which_input(m, in, name, lrp_graph_n_batch(graph), &which, &depth);
  if (st) return st;
  const int64_t n = count_of(&in->tensor[which]);
  const lrp_real *from = (const lrp_real *)m->array.data + m->at;
  lrp_real *r = malloc((size_t)n * sizeof *r + 1);
  if (!r) return LRP_E_NOMEM;
  for (int64_t i = 0; i < n; i++) {
    double sum = 0;
    for (int64_t k = 0; k < depth; k++)
      sum += (double)from[i * depth + k];
    r[i] = (lrp_real)sum;
  }
  m->at += n * depth;
  st = store(m, in, graph, which, r);
  free(r);
  return st;
}

static lrp_status import_one(import *m, int i)
{
  lrp_input *in = NULL;
  lrp_graph *graph = NULL;
  lrp_status st = cli_input(m->d.ctx, m->model, m->input[i], &in);
  if (!st) st = lrp_graph_build(m->d.ctx, m->model, in, NULL, &graph);
  if (!st) st = lrp_graph_forward(m->d.ctx, graph, in);
  if (!st) st = next_array(m, i);
  if (!st && !m->run) st = begin(m, graph);
  if (!st) st = take(m, in, graph, m->input[i]);
  lrp_graph_free(graph);
  lrp_input_free(in);
  return st;
}

static lrp_status import_all(import *m)
{
  lrp_status st = LRP_OK;
  for (int i = 0; !st && i < m->n_input; i++)
    st = import_one(m, i);
  if (!st && m->at != count_of(&m->array))
    st = fail(m, LRP_E_SHAPE,
              "%s: relevance of more inputs than were named; one --input for each was expected",
              m->file[m->at_file]);
  return st;
}

/* Half an import is none. */
static void forget(import *m, int64_t run)
{
  int status = 0;
  m->d.db = m->d.store->db;
  sqlite3_stmt *stmt = cli_db_ask(&m->d, SQL_FORGET, "i", run);
  cli_db_row(&m->d, stmt, &status);
  sqlite3_finalize(stmt);
}

/* ---- the command ---- */

static bool understood(const cli_args *a, import *m)
{
  const char *seed = a->value[DB_O_SEED];
  if (!a->value[DB_O_MODEL] || !a->value[DB_O_NAME] || !a->n_all)
    cli_error("db import: --model, --name and at least one --input are needed; lrp db --help shows "
              "an example");
  else if (!*a->value[DB_O_NAME] || strlen(a->value[DB_O_NAME]) > 200)
    cli_error("db import: --name: 1 to 200 bytes were expected");
  else if (seed && strcmp(seed, "logit") && strcmp(seed, "one"))
    cli_error("db import: --seed %s: logit or one was expected", seed);
  else if (m->n_file > 1 && m->n_file != m->n_input)
    cli_error("db import: %d arrays for %d input%s; one array for all was expected, or one for each",
              m->n_file, m->n_input, cli_plural(m->n_input));
  else
    return true;
  return false;
}

int cli_db_import(const cli_args *a, int argc, char **argv)
{
  import m = {.file = a->operand + 1,
              .n_file = a->n_operand - 1,
              .at_file = -1,
              .input = a->all,
              .n_input = a->n_all,
              .target = a->value[DB_O_TARGET] ? a->value[DB_O_TARGET] : "argmax",
              .name = a->value[DB_O_NAME],
              .experiment = a->value[DB_O_EXPERIMENT],
              .seed = a->value[DB_O_SEED] && !strcmp(a->value[DB_O_SEED], "one") ? LRP_SEED_ONE : LRP_SEED_LOGIT,
              .argc = argc,
              .argv = argv};
  if (!understood(a, &m)) return 2;
  m.d.path = cli_db_path(a->value[DB_O_DB]);
  lrp_status st =
      cli_session(&a->value[DB_O_PLUGIN], a->value[DB_O_PLUGIN] != NULL, NULL, NULL, &m.d.ctx);
  if (st) return lrp_exit_status(st);
  st = lrp_model_open(m.d.ctx, a->value[DB_O_MODEL], &m.model);
  if (!st) st = lrp_store_open(m.d.ctx, m.d.path, LRP_STORE_CREATE, &m.d.store);
  if (!st) st = import_all(&m);
  const int status = st ? cli_fail(m.d.ctx, st) : 0;
  const int64_t run = m.run ? lrp_run_id(m.run) : -1;
  if (m.run && lrp_store_run_end(m.d.store, m.run, st ? LRP_RUN_FAILED : LRP_RUN_DONE) && !status)
    st = LRP_E_DB;
  if (status && run > 0) forget(&m, run);
  if (!status && st)
    cli_fail(m.d.ctx, st);
  else if (!status)
    cli_note("%lld explanation%s imported as run %lld, \"%s\"; lrp compare %s ...",
             (long long)m.n_done, cli_plural(m.n_done), (long long)run, m.name, m.name);
  free(m.array.data);
  lrp_model_close(m.model);
  cli_db_close(&m.d);
  return status ? status : lrp_exit_status(st);
}
