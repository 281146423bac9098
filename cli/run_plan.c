/* run_plan.c - lrp run before the work: opens all that the experiment names, cuts it into units,
 * begins the runs. */
#include "explain.h"
#include "run.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define FAIL lrp_host_table()->fail

static lrp_status no_memory(const run_job *j)
{
  return FAIL(j->ctx, LRP_E_NOMEM, "no memory");
}

/* Where in the file the trouble is, in front of the message. */
static lrp_status fail_at(const run_job *j, lrp_status st, int line)
{
  char message[4096];
  if (!st || !line) return st; /* line 0: there is no file */
  snprintf(message, sizeof message, "%s", lrp_message(j->ctx));
  return FAIL(j->ctx, st, "%s:%d: %s", j->e->path, line, message);
}

/* ---- models ---- */

static const experiment_list *either(const experiment_list *own, const experiment_list *common)
{
  return own->n ? own : common;
}

/* Methods come first: they want a graph without rules. */
static lrp_status add_rules(run_job *j, part *p, const experiment_list *composites,
                            const experiment_list *methods)
{
  const bool none = !composites->n && !methods->n;
  p->rule = calloc((size_t)(composites->n + methods->n + 1), sizeof *p->rule);
  if (!p->rule) return no_memory(j);
  for (int i = 0; i < methods->n; i++)
    for (int32_t k = 1; CLI_METHODS[k]; k++)
      if (!strcmp(methods->item[i], CLI_METHODS[k]))
        p->rule[p->n_rule++] = (rule_run){.method = k, .name = CLI_METHODS[k], .id = -1};
  for (int i = 0; i < composites->n + none; i++) {
    rule_run *r = &p->rule[p->n_rule];
    const char *what = none ? lrp_model_about(p->model)->composite : composites->item[i];
    const bool file = !none && strchr(what, '/') && !strchr(what, ';') && !strstr(what, "->");
    char *path = file ? experiment_path(j->e, what) : NULL;
    const lrp_status st = lrp_composite_open(j->ctx, path ? path : what, p->model, &r->composite);
    free(path);
    if (st) return fail_at(j, st, none ? p->asked->line : composites->line[i]);
    *r = (rule_run){.composite = r->composite, .name = lrp_composite_name(r->composite), .id = -1};
    p->n_rule++;
  }
  return LRP_OK;
}

/* Did the user name this plugin, or is it one of lrp's own? */
static bool is_own(run_job *j, const lrp_plugin_info *info)
{
  const char *slash = strrchr(info->path, '/');
  const size_t n = slash ? (size_t)(slash - info->path) : 0;
  for (const char *dir = lrp_plugin_dirs(j->ctx); n && *dir;) {
    const size_t len = strcspn(dir, ":");
    if (len == n && !memcmp(dir, info->path, n)) return true;
    dir += len + (dir[len] == ':');
  }
  return !n;
}

static json_t *picture_json(const lrp_preprocess *p)
{
  json_t *o = json_pack("[I,I,I,i,i,i,I,I,i,f,i]", (json_int_t)p->height, (json_int_t)p->width,
                        (json_int_t)p->channels, p->do_resize, p->resample, p->crop,
                        (json_int_t)p->crop_height, (json_int_t)p->crop_width, p->do_rescale,
                        p->rescale, p->do_normalize);
  for (int i = 0; p->do_normalize && i < 4; i++) {
    json_array_append_new(o, json_real(p->mean[i]));
    json_array_append_new(o, json_real(p->std[i]));
  }
  return o;
}

/* All settings that an explanation depends on beside model, composite, method and input: to
 * --resume, a run with another text is no predecessor.  Plugins that came with lrp are not in it,
 * those that the user named are. */
static lrp_status make_config(run_job *j, part *p)
{
  json_t *plugins = json_array();
  const lrp_preprocess *pre = lrp_model_about(p->model)->preprocess;
  for (int64_t i = 0; i < lrp_n_plugin(j->ctx); i++)
    if (!is_own(j, lrp_plugin_at(j->ctx, i)))
      json_array_append_new(plugins, json_string(lrp_plugin_at(j->ctx, i)->sha256));
  json_t *o = json_pack("{s:s, s:s, s:o}", "canonize", j->e->canonize ? j->e->canonize : "all",
                        "seed", j->seed == LRP_SEED_ONE ? "one" : "logit", "plugins", plugins);
  if (pre) json_object_set_new(o, "picture", picture_json(pre));
  p->config = o ? json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
  json_object_set_new(o, "steps", json_integer((json_int_t)(j->e->steps > 0 ? j->e->steps : 20)));
  p->config_steps = o ? json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
  json_decref(o);
  return p->config && p->config_steps ? LRP_OK : no_memory(j);
}

static lrp_status open_part(run_job *j, const experiment_model *m, part *p)
{
  p->asked = m;
  p->path = experiment_path(j->e, m->path);
  if (!p->path) return no_memory(j);
  lrp_status st = fail_at(j, lrp_model_open(j->ctx, p->path, &p->model), m->line);
  if (st) return st;
  const bool own = m->composites.n || m->methods.n; /* a model that names rules has no others */
  st =
      add_rules(j, p, own ? &m->composites : &j->e->composites, own ? &m->methods : &j->e->methods);
  p->targets = either(&m->targets, &j->e->targets);
  return st ? st : make_config(j, p);
}

/* ---- data sets ---- */

static bool asked_for(const experiment_input *in, const part *p)
{
  bool named = !in->models.n;
  for (int i = 0; i < in->models.n; i++)
    named = named || !strcmp(in->models.item[i], lrp_model_about(p->model)->name);
  return named;
}

int run_n_input(const run_job *j, int part_at, int dataset_at)
{
  return asked_for(&j->e->input[dataset_at], &j->part[part_at]) &&
         dataset_fits(j->set[dataset_at], j->part[part_at].model);
}

static lrp_status check_names(const run_job *j, const experiment_input *in)
{
  for (int i = 0; i < in->models.n; i++) {
    bool known = false;
    for (int p = 0; p < j->e->n_model; p++)
      known = known || !strcmp(in->models.item[i], lrp_model_about(j->part[p].model)->name);
    if (!known)
      return FAIL(j->ctx, LRP_E_INPUT, "%s:%d: models: there is no \"%s\" in this experiment",
                  j->e->path, in->models.line[i], in->models.item[i]);
  }
  return LRP_OK;
}

static lrp_status open_set(run_job *j, int at)
{
  const experiment_input *in = &j->e->input[at];
  bool taken = false;
  lrp_status st = check_names(j, in);
  if (!st && j->given && !at) {
    j->set[at] = j->given;
    j->given = NULL;
  } else if (!st) {
    st = fail_at(j, dataset_open(j->ctx, j->e, in, j->limit, &j->set[at]), in->line);
  }
  for (int p = 0; !st && p < j->e->n_model; p++)
    if (run_n_input(j, p, at)) {
      j->part[p].n_input += j->set[at]->n;
      taken = true;
    }
  if (!st && !taken)
    st = FAIL(j->ctx, LRP_E_INPUT, "%s:%d: %s: no model of the experiment reads such inputs",
              j->e->path, in->line, j->set[at]->path);
  return st;
}

/* ---- units ---- */

enum { TEXTS = 4096, TEXT_BYTES = 1 << 20 }; /* of a unit, at most: all its texts are in memory, cut into tokens */

/* Texts are sorted by length within a unit, so that they come together in batches: the longer a
 * unit, the better.  With several processes units are small enough to be shared out evenly. */
static int64_t unit_size(const run_job *j, const dataset *d)
{
  const bool text = d->kind == INPUT_LINES || d->kind == INPUT_TABLE;
  const int64_t n = j->n_rank > 1 ? j->n_rank : j->jobs;
  const int64_t most = text ? TEXTS : 32, fair = d->n / (n * 4) + 1;
  return n > 1 && fair < most ? fair : most;
}

/* Where the unit ends that begins here. */
static int64_t unit_end(const dataset *d, int64_t begin, int64_t size)
{
  const bool text = d->kind == INPUT_LINES || d->kind == INPUT_TABLE;
  int64_t end = begin;
  size_t bytes = 0;
  while (end < d->n && end < begin + size && (!text || end == begin || bytes < TEXT_BYTES))
    bytes += text ? d->item[d->order[end]].n_text : 0, end++;
  return end;
}

static lrp_status cut(run_job *j)
{
  for (int p = 0; p < j->e->n_model; p++)
    for (int s = 0; s < j->e->n_input; s++) {
      const dataset *d = j->set[s];
      const int64_t size = unit_size(j, d);
      for (int64_t i = 0; i < d->n && run_n_input(j, p, s);) {
        const int64_t end = unit_end(d, i, size);
        unit *grown = realloc(j->unit, (size_t)(j->n_unit + 1) * sizeof *grown);
        if (!grown) return no_memory(j);
        j->unit = grown;
        j->unit[j->n_unit++] = (unit){p, s, i, end};
        i = end;
      }
    }
  for (int p = 0; p < j->e->n_model; p++)
    j->n_total += j->part[p].n_input * j->part[p].n_rule *
                  (j->part[p].targets->n ? j->part[p].targets->n : 1);
  return LRP_OK;
}

lrp_status run_next(run_job *j, dataset *d)
{
  const int64_t n_total = j->n_total;
  dataset_close(j->set[0]);
  j->set[0] = d;
  j->n_unit = 0;
  j->shared->next = 0;
  const lrp_status st = cut(j);
  j->n_total = n_total;
  return st;
}

static lrp_status open_plugins(run_job *j)
{
  lrp_status st = LRP_OK;
  for (int i = 0; !st && i < j->e->plugins.n; i++) {
    char *path = experiment_path(j->e, j->e->plugins.item[i]);
    st = path ? lrp_plugin_open(j->ctx, path, NULL) : no_memory(j);
    free(path);
    st = fail_at(j, st, j->e->plugins.line[i]);
  }
  return st;
}

/* Zeroed memory that processes to come will share: POSIX has no other way than a file. */
static void *share(size_t n)
{
  FILE *f = tmpfile();
  void *p = f && !ftruncate(fileno(f), (off_t)n)
                ? mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, fileno(f), 0)
                : MAP_FAILED;
  if (f) fclose(f);
  return p == MAP_FAILED ? NULL : p;
}

lrp_status run_open(run_job *j)
{
  const experiment *e = j->e;
  j->seed = e->seed && !strcmp(e->seed, "one") ? LRP_SEED_ONE : LRP_SEED_LOGIT;
  j->shared = share(sizeof *j->shared);
  j->part = calloc((size_t)e->n_model + 1, sizeof *j->part);
  j->set = calloc((size_t)e->n_input + 1, sizeof *j->set);
  if (!j->part || !j->set || !j->shared) return no_memory(j);
  lrp_status st = open_plugins(j);
  for (int i = 0; !st && i < e->n_model; i++)
    st = open_part(j, &e->model[i], &j->part[i]);
  for (int i = 0; !st && i < e->n_input; i++)
    st = open_set(j, i);
  for (int i = 0; !st && i < e->n_model; i++) {
    if (!j->part[i].n_input)
      st = FAIL(j->ctx, LRP_E_INPUT, "%s:%d: %s: none of the inputs are for this model", e->path,
                e->model[i].line, j->part[i].path);
    else
      st = fail_at(j, run_first(j, &j->part[i], j->dry), e->model[i].line);
  }
  if (st) return st;
  if (j->jobs_auto) run_choose_jobs(j);
  return cut(j);
}

/* ---- the plan ---- */

static void put_time(double s)
{
  if (s < 100)
    printf("%.1f s", s);
  else if (s < 5400)
    printf("%.0f min", s / 60);
  else
    printf("%.1f h", s / 3600);
}

static void put_bytes(double n)
{
  if (n < 1e6)
    printf("%.0f kB", n / 1e3);
  else if (n < 1e9)
    printf("%.1f MB", n / 1e6);
  else
    printf("%.1f GB", n / 1e9);
}

lrp_status run_show_plan(run_job *j)
{
  struct rusage used = {0};
  double seconds = 0, bytes = 0;
  printf("experiment %s: %" PRId64 " explanation%s\n", j->e->name, j->n_total,
         cli_plural(j->n_total));
  for (int p = 0; p < j->e->n_model; p++) {
    const part *x = &j->part[p];
    const int targets = x->targets->n ? x->targets->n : 1;
    printf("\nmodel %s, sha256 %.12s: %" PRId64 " input%s x %d rule%s x %d target%s\n",
           lrp_model_about(x->model)->name, lrp_model_about(x->model)->sha256, x->n_input,
           cli_plural(x->n_input), x->n_rule, x->n_rule > 1 ? "s" : "", targets,
           targets > 1 ? "s" : "");
    for (int s = 0; s < j->e->n_input; s++)
      if (run_n_input(j, p, s))
        printf("  %-44s %8" PRId64 " input%s\n", j->set[s]->path, j->set[s]->n,
               cli_plural(j->set[s]->n));
    for (int r = 0; r < x->n_rule; r++) {
      const rule_run *rule = &x->rule[r];
      printf("  %-44.44s %8.2f ms each\n", rule->name, (double)rule->first_ns / 1e6);
      seconds += (double)rule->first_ns / 1e9 * (double)x->n_input * targets;
      bytes += (double)rule->first_bytes * (double)x->n_input * targets;
    }
  }
  if (j->n_shard)
    printf("\npart %" PRId64 " of %" PRId64 ": about %" PRId64 " of the explanations\n", j->shard,
           j->n_shard, j->n_total / j->n_shard);
  const double share = j->n_shard ? 1 / (double)j->n_shard : 1;
  getrusage(RUSAGE_SELF, &used);
  printf("\ntime    about ");
  put_time(seconds * share / (double)j->jobs);
  printf(" with %" PRId64 " process%s, as the first explanations went\nmemory  about ", j->jobs,
         j->jobs > 1 ? "es" : "");
  put_bytes((double)used.ru_maxrss * 1024 * (double)j->jobs);
  printf("\ndisk    about ");
  put_bytes(bytes * share + 3e5);
  printf(" in %s\n", j->db ? j->db : "no database");
  return LRP_OK;
}

/* ---- runs of the database ---- */

lrp_status run_spec(run_job *j, const part *p, const rule_run *r, const lrp_graph *graph,
                    lrp_run_spec *out)
{
  const lrp_status st = lrp_run_spec_from(j->ctx, p->model, graph, r->composite, out);
  if (st) return st;
  const char *threads = j->threads ? j->threads : j->jobs > 1 ? "1" : getenv("LRP_THREADS");
  const long n = threads ? strtol(threads, NULL, 10) : 0;
  out->experiment = j->e->name;
  out->note = j->e->note;
  out->method = r->method;
  out->seed_kind = j->seed;
  out->threads = n > 0 && n < 4096 ? (int32_t)n : 0;
  out->n_argv = j->argc;
  out->argv = (const char *const *)j->argv;
  out->config = r->method == LRP_METHOD_INTEGRATED_GRADIENTS ? p->config_steps : p->config;
  return LRP_OK;
}

static lrp_status begin_rule(run_job *j, part *p, rule_run *r)
{
  lrp_run_spec spec;
  lrp_run *run = NULL;
  lrp_status st =
      p->graph && r->composite ? lrp_graph_assign(j->ctx, p->graph, r->composite) : LRP_OK;
  p->assigned = p->assigned || r->composite;
  if (!st) st = run_spec(j, p, r, p->graph, &spec);
  if (st) return st;
  if (j->resume && !j->known_db) st = lrp_store_run_find(j->store, &spec, &r->id);
  spec.uuid = *r->uuid ? r->uuid : NULL; /* rank 0 has begun it already */
  if (!st && r->id >= 0)
    st = lrp_store_run_resume(j->store, r->id);
  else if (!st)
    st = lrp_store_run_begin(j->store, &spec, &run);
  if (run) {
    r->id = lrp_run_id(run);
    st = lrp_store_run_leave(j->store, run, LRP_RUN_GOES_ON, 0, 0);
  }
  if (!st) st = lrp_store_run_uuid(j->store, r->id, r->uuid);
  lrp_run_spec_free(&spec);
  return st;
}

lrp_status run_begin(run_job *j)
{
  if (!j->db) return LRP_OK;
  lrp_status st = lrp_store_open(j->ctx, j->db, LRP_STORE_CREATE, &j->store);
  for (int p = 0; !st && p < j->e->n_model; p++)
    for (int r = 0; !st && r < j->part[p].n_rule; r++)
      st = begin_rule(j, &j->part[p], &j->part[p].rule[r]);
  if (st && j->store) {
    char message[4096]; /* the first failure is the one to tell */
    snprintf(message, sizeof message, "%s", lrp_message(j->ctx));
    run_end(j, LRP_RUN_FAILED);
    return FAIL(j->ctx, st, "%s", message);
  }
  lrp_store_close(j->store); /* a connection must not live through fork() */
  j->store = NULL;
  return st;
}

lrp_status run_end(run_job *j, int32_t status)
{
  lrp_status st = LRP_OK;
  if (j->db && !j->store) st = lrp_store_open(j->ctx, j->db, LRP_STORE_WRITE, &j->store);
  for (int p = 0; !st && j->store && p < j->e->n_model; p++)
    for (int r = 0; !st && r < j->part[p].n_rule; r++) {
      lrp_run_spec spec;
      lrp_run *run = NULL;
      const rule_run *rule = &j->part[p].rule[r];
      if (rule->id < 0 || (st = run_spec(j, &j->part[p], rule, NULL, &spec))) continue;
      st = lrp_store_run_join(j->store, rule->id, &spec, &run);
      if (!st) st = lrp_store_run_leave(j->store, run, status, 0, 0);
      lrp_run_spec_free(&spec);
    }
  lrp_store_close(j->store);
  j->store = NULL;
  return st;
}

void run_close(run_job *j)
{
  for (int i = 0; j->part && i < j->e->n_model; i++) {
    part *p = &j->part[i];
    lrp_graph_free(p->graph);
    for (int r = 0; r < p->n_rule; r++)
      lrp_composite_free(p->rule[r].composite);
    lrp_model_close(p->model);
    free(p->rule);
    free(p->config);
    free(p->config_steps);
    free(p->shape);
    free(p->path);
  }
  for (int i = 0; j->set && i < j->e->n_input; i++)
    dataset_close(j->set[i]);
  free(j->part);
  free(j->set);
  free(j->unit);
  if (j->shared) munmap(j->shared, sizeof *j->shared);
}
