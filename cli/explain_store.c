/* explain_store.c - lrp explain's part of the database: one run for each call of the command. */
#include "explain.h"
#include <stdlib.h>
#include <string.h>

static lrp_status begin(job *j)
{
  lrp_run_spec spec;
  lrp_status st = lrp_run_spec_from(j->ctx, j->model, j->graph, j->composite, &spec);
  if (st) return st;
  json_t *config = json_pack("{s:s, s:s, s:s, s:s}", "target", j->target ? j->target : "argmax",
                             "seed", j->seed_text, "method", j->method_text, "canonize",
                             j->canonize ? j->canonize : "all");
  char *text = config ? json_dumps(config, JSON_COMPACT) : NULL;
  spec.experiment = j->experiment;
  spec.method = j->method;
  spec.seed_kind = j->seed;
  spec.n_argv = j->argc;
  spec.argv = (const char *const *)j->argv;
  spec.config = text;
  st = text ? lrp_store_run_begin(j->store, &spec, &j->run) : LRP_E_NOMEM;
  free(text);
  json_decref(config);
  lrp_run_spec_free(&spec);
  for (int64_t i = 0; !st && i < j->n_early; i++)
    st = lrp_store_error(j->store, j->run, NULL, 0, j->early_code[i], j->early[i]);
  j->logged_graph = j->graph;
  return st;
}

/* The graph was built anew for another shape: its nodes may be others. */
static lrp_status layers_anew(job *j)
{
  lrp_run_spec spec;
  lrp_status st = lrp_run_spec_from(j->ctx, j->model, j->graph, j->composite, &spec);
  if (!st) st = lrp_store_run_layers(j->store, j->run, &spec);
  lrp_run_spec_free(&spec);
  j->logged_graph = j->graph;
  return st;
}

lrp_status job_log(job *j, const cli_view *v)
{
  lrp_status st = LRP_OK;
  if (!j->store) st = lrp_store_open(j->ctx, j->db, LRP_STORE_CREATE, &j->store);
  if (!st && !j->run)
    st = begin(j);
  else if (!st && j->logged_graph != j->graph)
    st = layers_anew(j);
  if (st) return st;
  const lrp_record record = {.input = v->input,
                             .sample = v->sample,
                             .n_sample = v->n_sample,
                             .ordinal = -1,
                             .target = v->target,
                             .scores = v->scores,
                             .n_class = v->n_class,
                             .probability = v->probability,
                             .relevance = v->r,
                             .n_node = lrp_graph_n_node(v->graph),
                             .at = -1};
  return lrp_store_explanation(j->store, j->run, &record, NULL);
}

/* A run begins with its first explanation: errors before it wait. */
lrp_status job_log_error(job *j, lrp_status code, const char *message)
{
  if (!j->db) return LRP_OK;
  if (j->run) return lrp_store_error(j->store, j->run, NULL, 0, code, message);
  const size_t n = (size_t)j->n_early + 1;
  char **texts = realloc(j->early, n * sizeof *texts);
  if (texts) j->early = texts;
  lrp_status *codes = realloc(j->early_code, n * sizeof *codes);
  if (codes) j->early_code = codes;
  char *copy = texts && codes ? strdup(message) : NULL;
  if (!copy) return LRP_E_NOMEM;
  j->early[j->n_early] = copy;
  j->early_code[j->n_early++] = code;
  return LRP_OK;
}

lrp_status job_log_end(job *j, int32_t run_status)
{
  lrp_status st = LRP_OK;
  if (j->run) {
    const int64_t id = lrp_run_id(j->run);
    st = lrp_store_run_end(j->store, j->run, run_status);
    if (!st && run_status != LRP_RUN_FAILED)
      cli_note("logged as run %lld in %s", (long long)id, j->db);
  }
  lrp_store_close(j->store);
  for (int64_t i = 0; i < j->n_early; i++)
    free(j->early[i]);
  free(j->early);
  free(j->early_code);
  j->run = NULL;
  j->store = NULL;
  return st;
}
