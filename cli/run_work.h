/* run_work.h - what the files share that do lrp run's work. */
#ifndef LRP_CLI_RUN_WORK_H
#define LRP_CLI_RUN_WORK_H
#include "run.h"

typedef struct work { /* an input of a unit */
  sample s;
  int64_t at; /* in the data set */
  bool ended; /* there are no more */
} work;
typedef struct context { /* what the functions below share */
  run_job *j;
  part *p;
  rule_run *r;
  const dataset *d;
} context;
typedef struct stopwatch {
  int64_t wall, cpu;
} stopwatch;

int64_t work_clock_ns(int clock); /* CLOCK_x */
stopwatch work_start(void);
void work_stop(const context *, const stopwatch *); /* the time since then is the rule's */
#define WORK_HASH 0xcbf29ce484222325u
uint64_t work_hash(uint64_t h, const char *text); /* of texts, one after the other; begins with WORK_HASH */
int64_t work_n_target(const part *);
int64_t work_steps(const run_job *);

/* run_work.c */
lrp_status work_assign(run_job *, part *, const rule_run *);
lrp_status work_log_layers(const context *); /* the run knows the layers of the graph */
lrp_status work_groups(context *, work *, int64_t n); /* sorted inputs, one by one, under all rules */

/* run_one.c: one input under one rule, c->r */
const char *work_target_text(const part *, int64_t i);
/* Target i of a sample of the scores; "label" is the input's own. */
lrp_status work_find_target(const context *, const work *, int64_t i, const lrp_tensor *scores,
                            int64_t which, lrp_target *);
/* Is the input another array job's part? */
bool work_elsewhere(const context *, const work *);
/* n explanations fail with this message of the context: told and stored.  A failing database is a
 * failure of the work. */
lrp_status work_skip(const context *, const work *, lrp_status failure, int64_t n);
lrp_status work_skip_all(const context *, const work *, lrp_status failure); /* under all rules */
lrp_status work_is_there(const context *, const work *, const lrp_target *, bool *); /* for --resume */
lrp_status work_all_there(const context *, const work *, bool *);                    /* all its targets */
/* rel is the graph's, of a batch; what is stored is the sample's. */
lrp_status work_store(const context *, const work *, const lrp_target *, const lrp_relevance *rel,
                      int64_t which);
lrp_status work_explain(const context *, const work *);
/* From this target on, whoever it belongs to. */
lrp_status work_explain_from(const context *, const work *, int64_t target);

/* run_batch.c */
/* How many of n sorted inputs go through one graph together, and as how many samples: the last ones of a
 * shape are filled up.  1: one by one. */
int64_t work_batch_of(const context *, const work *, int64_t n, int64_t *size);
/* n of them under all rules. */
lrp_status work_batch(context *, work *, int64_t n, int64_t size);
#endif
