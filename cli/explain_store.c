/* explain_store.c - lrp explain's part of the database: one run for each call of the command. */
#include "explain.h"
#include <stdlib.h>
#include <string.h>

static lrp_status begin(job *j)
{
  lrp_run_spec spec;
  lrp_status st = lrp_run_spec_from(j->ctx, j->model, j->graph, j->composite, &spec);
  if (st)
    return st;
  json_t *config = json_pack("{s:s, s:s, s:s, s:s}", "target", j->target ? j->target : "argmax", "seed", j->seed_text, "method",
                             j->method_text, "canonize", j->canonize ? j->canonize : "all");
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
  j->logged_graph = j->graph;
  return st;
}

/* The graph was built anew for another shape: its nodes may be others. */
static lrp_status layers_anew(job *j)
{
  lrp_run_spec spec;
  lrp_status st = lrp_run_spec_from(j->ctx, j->model, j->graph, j->composite, &spec);
  if (!st)
    st = lrp_store_run_layers(j->store, j->run, &spec);
  lrp_run_spec_free(&spec);
  j->logged_graph = j->graph;
  return st;
}

lrp_status job_log(job *j, const cli_view *v)
{
  lrp_status st = LRP_OK;
  if (!j->store)
    st = lrp_store_open(j->ctx, j->db, LRP_STORE_CREATE, &j->store);
  if (!st && !j->run)
    st = begin(j);
  else if (!st && j->logged_graph != j->graph)
    st = layers_anew(j);
  if (st)
    return st;
  const lrp_record record = {.input = v->input,
                             .sample = v->sample,
                             .n_sample = lrp_graph_n_batch(v->graph),
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

lrp_status job_log_end(job *j, lrp_status so_far)
{
  lrp_status st = LRP_OK;
  if (j->run) {
    const int64_t id = lrp_run_id(j->run);
    st = lrp_store_run_end(j->store, j->run, so_far ? LRP_RUN_FAILED : LRP_RUN_DONE);
    if (!st && !so_far)
      cli_note("logged as run %lld in %s", (long long)id, j->db);
  }
  lrp_store_close(j->store);
  j->run = NULL;
  j->store = NULL;
  return st;
}
