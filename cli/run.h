/* run.h - a job of lrp run: the experiment, what is open, and what the worker processes share. */
#ifndef LRP_CLI_RUN_H
#define LRP_CLI_RUN_H
#include "cli.h"
#include "dataset.h"
#include "lrp/store.h"
#include <stdatomic.h>

typedef struct rule_run {   /* a model under one composite or method: a run of the database */
  lrp_composite *composite; /* NULL: the method needs none */
  int32_t method;
  const char *name;
  int64_t id;       /* of the run in the file that is written; -1: none yet */
  char uuid[37];    /* of the run, in all files */
  int64_t main_id;  /* its id in the database; under mpirun ranks write files of their own */
  int64_t expected; /* explanations */
  /* of this process */
  lrp_run *run;
  lrp_run *known; /* for --resume's questions */
  int64_t logged;  /* the graph whose layers the run knows; see part.generation */
  uint64_t layers; /* a hash of them */
  int batches;     /* 1: a batch of texts gives what each gives alone; -1: it does not; 0: not tried yet */
  int64_t large, large_length; /* so many texts, so long, are more than the memory limit allows; 0: not met yet */
  int64_t wall_ns, cpu_ns;
  int64_t first_ns;    /* --dry-run: time of one explanation */
  int64_t first_bytes; /* --dry-run: its size in the database */
} rule_run;

typedef struct part { /* a model with all that is done with it */
  const experiment_model *asked;
  char *path;
  lrp_model *model;
  char *config, *config_steps; /* of its runs, JSON; the second one of integrated gradients */
  rule_run *rule;
  int n_rule;
  const experiment_list *targets;
  int64_t n_input; /* in all data sets */
  /* of this process */
  lrp_graph *graph;
  bool assigned;      /* it has rules */
  bool alone;         /* one input at a time */
  lrp_tensor *shape;  /* of the inputs that the graph was built for; no data */
  int64_t generation; /* counts graphs */
} part;

typedef struct unit { /* a piece of work: inputs [begin, end) of a data set for a model */
  int part, dataset;
  int64_t begin, end;
} unit;

typedef struct shared { /* between the processes of --jobs */
  _Atomic int64_t next; /* unit */
  _Atomic int64_t done, there, elsewhere, failed, told;
  _Atomic int stop; /* the signal that came, or -1 after a failure */
  _Atomic int code; /* exit status of the first worker that failed */
} shared;

typedef struct run_job {
  lrp_ctx *ctx;
  int argc;
  char **argv;
  experiment *e;
  /* asked */
  const char *db; /* NULL: nothing is stored */
  char *own_db;   /* the experiment's, if that is it */
  const char *threads;
  bool resume, dry, lines; /* lines: of JSON, one for each explanation */
  bool jobs_auto;          /* jobs is 1 until run_choose_jobs() */
  int64_t jobs, limit, shard, n_shard; /* shard from 1; n_shard 0: all */
  int32_t seed;
  dataset *given; /* instead of the first one of the experiment's; taken over */
  /* open */
  dataset **set;
  part *part;
  unit *unit;
  int64_t n_unit, n_total; /* explanations */
  struct ranks *ranks;     /* NULL: not under mpirun */
  int64_t n_rank;
  const char *known_db; /* where --resume looks; NULL: in db */
  shared *shared;
  lrp_store *store;      /* at the beginning and the end; while working, for --resume's questions */
  struct writer *writer; /* NULL: nothing is stored */
  int64_t parent;        /* a worker process ends when its parent is gone; 0: this is no worker */
  cli_progress progress;
} run_job;

/* run_plan.c */
lrp_status run_open(run_job *); /* models, composites, data sets, units; the first input is tried */
lrp_status run_show_plan(run_job *);
lrp_status run_begin(run_job *); /* the runs of the database */
lrp_status run_end(run_job *, int32_t status);
void run_close(run_job *);
lrp_status run_spec(run_job *, const part *, const rule_run *, const lrp_graph *,
                    lrp_run_spec *out);
int run_n_input(const run_job *, int part_at,
                int dataset_at); /* does the model take these inputs? */

lrp_status run_next(run_job *, dataset *); /* other inputs for the same runs; taken over */
int run_finish(run_job *, lrp_status); /* run.c: ends the runs, tells; the exit status */

/* run_work.c */
lrp_status run_work(run_job *); /* units until there are none */
bool run_stopped(const run_job *);
lrp_status run_graph(run_job *, part *, const lrp_input *);
void run_choose_jobs(run_job *); /* run_jobs.c: --jobs auto, after the first explanations */
lrp_status run_first(run_job *, part *,
                     bool timed); /* the first readable input, tried under all rules */

void run_tell(shared *, const char *message); /* of a failure: the first ones are printed */

/* run_write.c */
typedef struct writer writer;
lrp_status writer_open(run_job *);
/* Copies the scores and the sample's part of a batch's relevance, not the input. */
lrp_status writer_put(run_job *, lrp_run *, const lrp_record *, int64_t which, int64_t batch);
/* Calls then(data) in the writer's thread, after what was put before is stored. */
void writer_later(run_job *, void (*then)(void *), void *data);
lrp_status
writer_drain(run_job *); /* all is stored; the store may be used until the next writer_put */
lrp_store *writer_store(writer *);
lrp_status writer_fail(run_job *, lrp_status); /* its message becomes the job's */
void writer_close(run_job *);

/* run_mpi.c */
lrp_status ranks_begin(run_job *); /* under mpirun MPI begins: j->ranks is set */
bool ranks_first(const run_job *); /* the only process, or rank 0: it speaks for all */
int64_t run_next_unit(run_job *);  /* from n_unit on: there is none */
lrp_status ranks_run(run_job *);   /* runs of the database, the work, the merging */
void ranks_end(run_job *);

/* run_jobs.c */
void run_progress(run_job *);
lrp_status run_all(run_job *); /* in this process, or in several */
#endif
