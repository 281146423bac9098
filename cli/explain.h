/* explain.h - a job of lrp explain: what was asked, what is open. */
#ifndef LRP_CLI_EXPLAIN_H
#define LRP_CLI_EXPLAIN_H
#include "cli.h"
#include "lrp/store.h"

extern const char *const CLI_METHODS[];
typedef struct job {
  lrp_ctx *ctx;
  int argc;
  char **argv;
  /* asked */
  const char *target, *at, *canonize, *out, *db, *experiment, *seed_text, *method_text;
  int32_t seed, method;
  int64_t n_step;
  bool json, ledger;
  int color;
  /* open */
  lrp_model *model;
  lrp_composite *composite;
  lrp_graph *graph;
  const lrp_input *graph_for; /* the input that graph was built for */
  lrp_store *store;
  lrp_run *run;
  const lrp_graph *logged_graph; /* whose layers the run knows */
  json_t *documents;
  int64_t n_done;
} job;

/* Explain all operands, or the text; the exit status. */
int explain_all(job *, const char *model, const char **operand, int n, const char *text, const char *rules);

/* explain_store.c: the run begins with the first explanation */
lrp_status job_log(job *, const cli_view *);
lrp_status job_log_end(job *, lrp_status so_far);
/* explain_write.c: -o */
lrp_status job_write(job *, const cli_view *);
#endif
