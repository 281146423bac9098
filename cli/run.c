/* run.c - lrp run: an experiment from its file into the database. */
#include "run.h"
#include <stdlib.h>
#include <string.h>

enum {
  O_DB,
  O_NODB,
  O_RESUME,
  O_DRY,
  O_JOBS,
  O_SHARD,
  O_LIMIT,
  O_PLUGIN,
  O_THREADS,
  O_MEMORY,
  O_PRECISION,
  O_JSON,
  O_QUIET
};
static const cli_option OPTIONS[] = {
    [O_DB] = {"db", 'd', "FILE",
              "the database of scores ($LRP_DB, else the experiment's, else lrp.db)"},
    [O_NODB] = {"no-db", 0, NULL, "compute and store nothing: to measure"},
    [O_RESUME] = {"resume", 0, NULL, "go on: skip what the database has already"},
    [O_DRY] = {"dry-run", 'n', NULL,
               "print the plan with an estimate of time, memory and disk; store nothing"},
    [O_JOBS] = {"jobs", 'j', "N",
                "worker processes (1); each has one thread unless --threads says more; auto: as many as pay"},
    [O_SHARD] = {"shard", 0, "I/N",
                 "only part I of N, from 1: for many machines, each with its own --db"},
    [O_LIMIT] = {"limit", 0, "N", "at most N inputs of each data set"},
    [O_PLUGIN] = {"plugin", 'p', "FILE", "load a plugin first; may be repeated"},
    [O_THREADS] = {"threads", 0, "N", "threads ($LRP_THREADS, else one for each processor)"},
    [O_MEMORY] = {"memory", 0, "SIZE",
                  "at most this much for the model's tensors, as 512M (3/4 of RAM); batches that need more are cut"},
    [O_PRECISION] = {"precision", 0, "NAME", CLI_PRECISION_DOC},
    [O_JSON] =
        {"json", 0, NULL,
         "a line of JSON on standard output for each explanation, as soon as no kill can take it"},
    [O_QUIET] = {"quiet", 'q', NULL, "no notes and no progress on standard error"},
    {0}};

static int run_run(const cli_command *c, int argc, char **argv);
const cli_command CLI_RUN = {
    "run",
    "run an experiment: models x inputs x composites x targets",
    "EXPERIMENT.yaml [OPTION ...]\n\n"
    "EXPERIMENT.yaml names models, inputs, composites and targets; lrp(1) has all its keys.",
    OPTIONS,
    O_PLUGIN,
    "  lrp run examples/experiments/first.yaml --dry-run\n"
    "  lrp run examples/experiments/first.yaml --db first.db --jobs 2\n"
    "  lrp run examples/experiments/first.yaml --db first.db --resume\n",
    run_run};

/* "2/8" */
static bool read_shard(const char *text, run_job *j)
{
  char *end;
  const long long i = strtoll(text, &end, 10);
  const long long n = *end == '/' ? strtoll(end + 1, &end, 10) : 0;
  if (*end || i < 1 || n < 1 || i > n || n > 1000000) {
    cli_error("--shard %s: I/N with I from 1 to N was expected, as 1/8", text);
    return false;
  }
  j->shard = i;
  j->n_shard = n;
  return true;
}

static bool read_options(run_job *j, const cli_args *a)
{
  const char *env = getenv("LRP_DB");
  j->jobs = 1;
  j->limit = -1;
  j->resume = a->value[O_RESUME];
  j->dry = a->value[O_DRY];
  j->lines = a->value[O_JSON];
  j->threads = a->value[O_THREADS];
  j->db = a->value[O_NODB] ? NULL : a->value[O_DB] ? a->value[O_DB] : env && *env ? env : "";
  if (a->n_operand != 1) {
    cli_error("run: one experiment was expected; lrp run --help shows examples");
    return false;
  }
  if (a->value[O_NODB] && a->value[O_RESUME]) {
    cli_error("--no-db and --resume: without a database there is nothing to go on from");
    return false;
  }
  if (a->value[O_NODB] && a->value[O_JSON]) {
    cli_error("--no-db and --json: without a database nothing is kept");
    return false;
  }
  j->jobs_auto = a->value[O_JOBS] && !strcmp(a->value[O_JOBS], "auto");
  if (a->value[O_JOBS] && !j->jobs_auto && !strpbrk(a->value[O_JOBS], "0123456789")) {
    cli_error("--jobs %s: a whole number from 1 to 256, or auto, was expected", a->value[O_JOBS]);
    return false;
  }
  return (!a->value[O_JOBS] || j->jobs_auto || cli_int(&OPTIONS[O_JOBS], a->value[O_JOBS], 1, 256, &j->jobs)) &&
         (!a->value[O_LIMIT] ||
          cli_int(&OPTIONS[O_LIMIT], a->value[O_LIMIT], 1, INT64_MAX, &j->limit)) &&
         (!a->value[O_SHARD] || read_shard(a->value[O_SHARD], j));
}

/* ---- what is told at the end ---- */

static void put_word(const char *s)
{
  if (*s &&
      !s[strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_./=:,@%+")]) {
    fprintf(stderr, " %s", s);
    return;
  }
  fputs(" '", stderr);
  for (; *s; s++)
    if (*s == '\'')
      fputs("'\\''", stderr);
    else
      fputc(*s, stderr);
  fputc('\'', stderr);
}

/* The command line once more, with --resume. */
static void tell_resume(const run_job *j)
{
  if (!j->db) return;
  fputs("go on with: ", stderr);
  if (j->n_rank > 1) fprintf(stderr, "mpirun -n %lld ", (long long)j->n_rank);
  fprintf(stderr, "lrp %s", j->argv[0]);
  for (int i = 1; i < j->argc; i++)
    if (strcmp(j->argv[i], "--resume") != 0) put_word(j->argv[i]);
  fputs(" --resume\n", stderr);
}

static void tell(const run_job *j)
{
  const shared *s = j->shared;
  int64_t low = INT64_MAX, high = -1;
  for (int p = 0; p < j->e->n_model; p++)
    for (int r = 0; r < j->part[p].n_rule; r++) {
      const int64_t id = j->part[p].rule[r].id;
      low = id >= 0 && id < low ? id : low;
      high = id > high ? id : high;
    }
  cli_note("%lld explanation%s%s", (long long)s->done, cli_plural(s->done), j->db ? " stored" : "");
  if (s->there) cli_note("%lld were there already", (long long)s->there);
  if (s->elsewhere)
    cli_note("%lld belong to other parts than %lld/%lld", (long long)s->elsewhere,
             (long long)j->shard, (long long)j->n_shard);
  if (s->failed)
    cli_note("%lld failed%s%s", (long long)s->failed,
             j->db ? "; why: lrp sql \"SELECT message FROM error\" --db " : "", j->db ? j->db : "");
  if (high >= 0)
    cli_note("runs %lld to %lld of experiment \"%s\" in %s", (long long)low, (long long)high,
             j->e->name, j->db);
}

/* ---- the command ---- */

int run_finish(run_job *j, lrp_status st)
{
  enum { PARTLY = 7 };
  const int came = j->shared->stop > 0 ? j->shared->stop : cli_signal();
  const int32_t status = st || j->shared->stop < 0 ? LRP_RUN_FAILED
                         : came                    ? LRP_RUN_INTERRUPTED
                                                   : LRP_RUN_DONE;
  int code = st ? cli_fail(j->ctx, st) : 0;
  const lrp_status later = run_end(j, status);
  if (later && !code) code = cli_fail(j->ctx, later);
  if (j->shared->stop < 0 && !code) code = j->shared->code ? j->shared->code : 1;
  tell(j);
  if (came) cli_note("interrupted");
  if (status != LRP_RUN_DONE) tell_resume(j);
  return code ? code : came ? 128 + came : j->shared->failed ? PARTLY : 0;
}

static int run_ranks(run_job *j)
{
  const lrp_status st = ranks_run(j);
  if (ranks_first(j)) return run_finish(j, st);
  return st ? cli_fail(j->ctx, st) : 0;
}

static int run_experiment(run_job *j, const cli_args *a)
{
  lrp_status st =
      cli_session(a->all, a->n_all, j->jobs > 1 || j->jobs_auto ? "1" : j->threads, a->value[O_MEMORY], &j->ctx);
  if (!st) st = cli_precision(j->ctx, a->value[O_PRECISION]);
  if (st) return lrp_exit_status(st);
  st = ranks_begin(j);
  if (!st) st = run_open(j);
  if (st && j->ranks) exit(cli_fail(j->ctx, st)); /* without MPI's end the other ranks end, too */
  if (st) return cli_fail(j->ctx, st);
  if (j->dry && !ranks_first(j)) return 0;
  if (j->dry) {
    st = run_show_plan(j);
    return st ? cli_fail(j->ctx, st) : 0;
  }
  cli_catch_signals();
  if (j->ranks) return run_ranks(j);
  st = run_begin(j);
  if (st) return cli_fail(j->ctx, st);
  return run_finish(j, run_all(j));
}

static int run_run(const cli_command *c, int argc, char **argv)
{
  cli_args a;
  run_job j = {.argc = argc, .argv = argv};
  int code = cli_parse(c, argc, argv, &a);
  if (code) {
    cli_args_free(&a);
    return code - 1;
  }
  cli_quiet(a.value[O_QUIET]);
  if (!read_options(&j, &a)) {
    code = 2;
  } else if (!experiment_open(a.operand[0], &j.e)) {
    code = lrp_exit_status(LRP_E_INPUT);
  } else {
    if (j.db && !*j.db && j.e->database)
      j.db = j.own_db = experiment_path(j.e, j.e->database);
    else if (j.db && !*j.db)
      j.db = "lrp.db";
    code = run_experiment(&j, &a);
  }
  ranks_end(&j);
  run_close(&j);
  lrp_ctx_free(j.ctx);
  experiment_close(j.e);
  free(j.own_db);
  cli_args_free(&a);
  return code;
}
