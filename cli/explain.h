/* explain.h - a job of lrp explain: what was asked, what is open. */
#ifndef LRP_CLI_EXPLAIN_H
#define LRP_CLI_EXPLAIN_H
#include "cli.h"
#include "lrp/store.h"

extern const char *const CLI_METHODS[];
typedef struct job_output { /* see explain_write.c */
  const char *path;
  FILE *stream;
  char *page;
  size_t n_page;
  json_t *written;
  int64_t n_file;
} job_output;
typedef struct job_target { /* what one target got, for all samples */
  lrp_target *target;
  const lrp_relevance *r;
  lrp_relevance *copy; /* NULL: r is the graph's own */
} job_target;
typedef struct job {
  lrp_ctx *ctx;
  int argc;
  char **argv;
  /* asked */
  const char *threads, *target, *at, *canonize, *db, *experiment, *seed_text, *method_text;
  int32_t seed, method;
  int64_t n_step;
  bool json, ledger, profile;
  int color, by, special; /* CLI_BY_x, CLI_SPECIAL_x */
  /* open */
  lrp_model *model;
  lrp_composite *composite;
  lrp_graph *graph;
  const lrp_input *graph_for; /* the input that graph was built for */
  lrp_store *store;
  lrp_run *run;
  const lrp_graph *logged_graph; /* whose layers the run knows */
  json_t *documents;             /* --json */
  cli_progress progress;
  int64_t n_input, n_done,
      n_failed; /* operands; explanations; operands that could not be explained */
  bool stop;    /* what failed would fail again with the next input */
  char **early; /* messages of the inputs that failed before the run began */
  lrp_status *early_code;
  int64_t n_early;
  const char **targets; /* n_target of them, once the first scores are known */
  char *target_words;
  int n_target;
  /* the input at hand, see explain_answer.c */
  job_target *answer; /* n_target */
  int64_t n_sample;
  lrp_tensor scores; /* (n_sample,C); the graph's own, or copied */
  lrp_real *scores_room;
  bool in_parts; /* the graph was built for the last part of it */
  job_output out[2]; /* -o and --tex; path NULL: not asked for */
} job;

/* Explain all operands, or the text; the exit status. */
int explain_all(job *, const char *model, const char **operand, int n, const char *text,
                const char *rules);

/* explain_answer.c: relevance of one input under all targets, into job.answer; to be freed whatever comes
 * back.  A batch that does not fit into the memory limit is halved until it does. */
lrp_status job_answer(job *, const lrp_input *);
void job_answer_free(job *);

/* explain_file.c: all texts of a file into the database; the exit status. */
int explain_file(job *, const char *model, const char *file, const char *rules, bool resume);

/* explain_store.c: the run begins with the first explanation */
lrp_status job_log(job *, const cli_view *);
lrp_status job_log_error(job *, lrp_status, const char *message); /* of an input that is skipped */
lrp_status job_log_end(job *, int32_t run_status);
/* explain_write.c: -o and --tex.  Pages and documents of several explanations are written at the end. */
lrp_status job_write(job *, const cli_view *); /* of all targets */
lrp_status job_write_end(job *);
void job_write_free(job *);
json_t *job_document(const job *,
                     json_t *list); /* one input: the object itself; several: the array */
#endif
