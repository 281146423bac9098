/* run_mpi.c - lrp run under mpirun: rank 0 hands out units one by one, every rank writes a file of
 * its own beside the database, rank 0 merges them.  Files of ranks that died are merged by the next
 * run.  The runs have the same uuid in all files, so they are one run in the end. */
#ifndef _XOPEN_SOURCE
#define _XOPEN_SOURCE 700 /* for glob.h */
#endif
#include "run_mpi.h"
#include "core.h"
#include "run.h"
#include "where.h"
#include <dlfcn.h>
#include <glob.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifndef LRP_MPI_DIR
#define LRP_MPI_DIR "/usr/local/lib/lrp/mpi"
#endif
#define FAIL lrp_host_table()->fail

enum { WANTS, LEAVES, OVER }; /* of a message: a unit is wanted; this rank ends; all is merged */
enum { PATIENCE_MS = 500 };   /* for ranks that do not answer after a signal: mpirun kills soon */
enum { NAME = 4200 };

typedef struct note { /* from a rank to rank 0; the answer is a unit */
  int64_t kind, done, there, elsewhere, failed, stop, code;
} note;
struct ranks {
  const run_mpi *mpi;
  int rank, n;
  note told;        /* what rank 0 knows already */
  char part[NAME];  /* this rank's file */
  const char *main; /* the database; NULL: nothing is stored */
  /* rank 0 */
  pthread_t server;
  _Atomic int left, quit, broken; /* ranks still at work */
};

static lrp_status broken(const run_job *j)
{
  return FAIL(j->ctx, LRP_E_IO, "MPI failed; it says above why");
}

static void doze(void)
{
  nanosleep(&(struct timespec){.tv_nsec = 300000}, NULL);
}

/* ---- is this mpirun? ---- */

/* What Open MPI, MPICH and its kin, and PMIx launchers such as srun set for their children. */
static int asked_ranks(void)
{
  static const char *const SIZE[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE"};
  for (size_t i = 0; i < sizeof SIZE / sizeof *SIZE; i++) {
    const char *text = getenv(SIZE[i]);
    if (text && *text) return (int)strtol(text, NULL, 10);
  }
  return 1;
}

static const run_mpi *load(run_job *j)
{
  char folder[LRP_PATH_MAX], path[LRP_PATH_MAX + 32];
  if (!lrp_own_folder("mpi", LRP_MPI_DIR, folder, sizeof folder)) *folder = '\0';
  snprintf(path, sizeof path, "%s/lrp_mpi.so", folder);
  void *module = access(path, R_OK) ? NULL : dlopen(path, RTLD_NOW | RTLD_GLOBAL);
  const run_mpi *mpi = module ? dlsym(module, RUN_MPI_SYMBOL) : NULL;
  if (mpi && mpi->size == sizeof *mpi) return mpi;
  const char *why = dlerror();
  FAIL(j->ctx, LRP_E_UNSUPPORTED,
       "run: started by mpirun, but this lrp was built without MPI (%s); build it with configure "
       "--with-mpi, or let each process take a part: --shard I/N",
       mpi ? "another version's module" : why ? why : path);
  return NULL;
}

lrp_status ranks_begin(run_job *j)
{
  if (asked_ranks() < 2) return LRP_OK;
  if (j->jobs > 1 || j->jobs_auto)
    return FAIL(j->ctx, LRP_E_ARG, "--jobs under mpirun: ranks are the processes; say mpirun -n N");
  struct ranks *r = calloc(1, sizeof *r);
  if (!r) return FAIL(j->ctx, LRP_E_NOMEM, "no memory");
  r->mpi = load(j);
  if (!r->mpi || r->mpi->begin(&r->rank, &r->n)) {
    const lrp_status st = r->mpi ? broken(j) : LRP_E_UNSUPPORTED;
    free(r);
    return st;
  }
  j->ranks = r;
  j->n_rank = r->n;
  r->main = j->db;
  r->left = r->n - 1;
  if (r->rank) cli_quiet(true); /* failures are told all the same */
  return LRP_OK;
}

bool ranks_first(const run_job *j)
{
  return !j->ranks || j->ranks->rank == 0;
}

void ranks_end(run_job *j)
{
  if (!j->ranks) return;
  j->ranks->mpi->end();
  free(j->ranks);
  j->ranks = NULL;
}

/* ---- handing out ---- */

static void take_counts(shared *s, const note *m)
{
  s->done += m->done;
  s->there += m->there;
  s->elsewhere += m->elsewhere;
  s->failed += m->failed;
  if (m->stop && !s->stop) s->stop = (int)m->stop;
  if (m->code && !s->code) s->code = (int)m->code;
}

/* Rank 0's thread: no other thread of it calls MPI meanwhile. */
static void *serve(void *data)
{
  run_job *j = data;
  struct ranks *r = j->ranks;
  while (!r->broken && !r->quit && r->left) {
    note m;
    int from = 0, came = 0;
    if (r->mpi->receive(&from, &m, sizeof m, &came)) r->broken = 1;
    if (r->broken || !came) {
      doze();
      continue;
    }
    take_counts(j->shared, &m);
    if (m.kind == LEAVES) {
      r->left--;
      continue;
    }
    const int64_t next = j->shared->stop ? INT64_MAX : j->shared->next++;
    if (r->mpi->send(from, &next, sizeof next)) r->broken = 1;
  }
  return NULL;
}

static int tell_first(run_job *j, int64_t kind)
{
  struct ranks *r = j->ranks;
  const shared *s = j->shared;
  const note now = {.kind = kind, .done = s->done, .there = s->there, .elsewhere = s->elsewhere,
                    .failed = s->failed, .stop = s->stop, .code = s->code};
  note m = now;
  m.done -= r->told.done;
  m.there -= r->told.there;
  m.elsewhere -= r->told.elsewhere;
  m.failed -= r->told.failed;
  r->told = now;
  return r->mpi->send(0, &m, sizeof m);
}

/* Waits for rank 0's word without burning the processor; false: MPI failed, or a signal came. */
static bool hear(run_job *j, int64_t *word, bool until_signal)
{
  int from, came = 0;
  while (!came) {
    if (j->ranks->mpi->receive(&from, word, sizeof *word, &came)) return false;
    if (came) break;
    if (until_signal && run_stopped(j)) return false;
    doze();
  }
  return true;
}

int64_t run_next_unit(run_job *j)
{
  int64_t next = INT64_MAX;
  if (ranks_first(j)) return j->shared->next++;
  if (tell_first(j, WANTS) || !hear(j, &next, true)) return INT64_MAX;
  return next;
}

/* ---- files ---- */

static void remove_part(const char *db)
{
  static const char *const END[] = {"", "-wal", "-shm"};
  char path[NAME + 8];
  for (size_t i = 0; i < sizeof END / sizeof *END; i++) {
    snprintf(path, sizeof path, "%s%s", db, END[i]);
    unlink(path);
  }
}

/* DB.rank0, DB.rank1, ...: of this run, or left over by one whose ranks died.  The pattern's own
 * characters are taken literally. */
static lrp_status merge_parts(run_job *j, const char *db)
{
  char pattern[2 * NAME];
  glob_t found = {0};
  lrp_merged m;
  lrp_store *store = NULL;
  size_t n = 0;
  for (const char *p = db; *p && n < sizeof pattern - 24; p++) {
    if (strchr("*?[]\\", *p)) pattern[n++] = '\\';
    pattern[n++] = *p;
  }
  snprintf(pattern + n, sizeof pattern - n, ".rank*[0-9]");
  if (glob(pattern, 0, NULL, &found)) return LRP_OK;
  lrp_status st = lrp_store_open(j->ctx, db, LRP_STORE_CREATE, &store);
  for (size_t i = 0; !st && i < found.gl_pathc; i++) {
    lrp_store *own; /* opened for writing once: what its rank had finished is in it then, or this fails */
    st = lrp_store_open(j->ctx, found.gl_pathv[i], LRP_STORE_WRITE, &own);
    lrp_store_close(own);
    if (!st) st = lrp_store_merge(store, found.gl_pathv[i], &m);
    if (!st) remove_part(found.gl_pathv[i]);
  }
  lrp_store_close(store);
  globfree(&found);
  return st;
}

/* All ranks end if rank 0 cannot begin; it tells why. */
static lrp_status agree(run_job *j, lrp_status st)
{
  int64_t word = st;
  if (j->ranks->mpi->share(&word, sizeof word)) return broken(j);
  if (!word || ranks_first(j)) return st;
  ranks_end(j);
  exit(lrp_exit_status((lrp_status)word));
}

static lrp_status share_runs(run_job *j)
{
  for (int p = 0; p < j->e->n_model; p++)
    for (int r = 0; r < j->part[p].n_rule; r++) {
      rule_run *x = &j->part[p].rule[r];
      if (j->ranks->mpi->share(&x->id, sizeof x->id) ||
          j->ranks->mpi->share(x->uuid, sizeof x->uuid))
        return broken(j);
      x->main_id = x->id;
      x->id = -1;
    }
  return LRP_OK;
}

/* The runs in the database. */
static lrp_status begin_main(run_job *j)
{
  struct ranks *r = j->ranks;
  lrp_status st = LRP_OK;
  if (!r->main) return LRP_OK;
  if (!r->rank) {
    st = merge_parts(j, r->main);
    if (!st) st = run_begin(j);
  }
  st = agree(j, st);
  return st ? st : share_runs(j);
}

/* Each rank's own file with the same runs. */
static lrp_status begin_part(run_job *j)
{
  struct ranks *r = j->ranks;
  if (!r->main) return LRP_OK;
  if ((size_t)snprintf(r->part, sizeof r->part, "%s.rank%d", r->main, r->rank) >= sizeof r->part)
    return FAIL(j->ctx, LRP_E_DB, "%s: the name is too long", r->main);
  j->db = r->part;
  j->known_db = r->main;
  return run_begin(j);
}

/* ---- the end ---- */

static lrp_status leave(run_job *j, lrp_status st)
{
  int64_t word;
  if (st) {
    j->shared->stop = -1;
    j->shared->code = lrp_exit_status(st);
  }
  if (tell_first(j, LEAVES)) return broken(j);
  hear(j, &word, false); /* rank 0 has merged: now MPI may end */
  return st;
}

static bool wait_for_all(run_job *j)
{
  struct ranks *r = j->ranks;
  for (int64_t ms = 0; r->left && !r->broken; ms++) {
    if (run_stopped(j) && j->shared->stop > 0 && ms > PATIENCE_MS) break;
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    run_progress(j);
  }
  r->quit = 1;
  pthread_join(r->server, NULL);
  return !r->left && !r->broken;
}

static lrp_status gather(run_job *j)
{
  struct ranks *r = j->ranks;
  const bool all = wait_for_all(j);
  j->db = r->main;
  j->known_db = NULL;
  for (int p = 0; r->main && p < j->e->n_model; p++)
    for (int k = 0; k < j->part[p].n_rule; k++)
      j->part[p].rule[k].id = j->part[p].rule[k].main_id;
  if (!all) {
    cli_note("%d of %d ranks did not answer; their files %s.rankN are merged by --resume",
             (int)r->left, r->n, r->main ? r->main : "");
    return LRP_OK;
  }
  const lrp_status st = r->main ? merge_parts(j, r->main) : LRP_OK;
  const int64_t word = OVER;
  for (int i = 1; i < r->n; i++)
    r->mpi->send(i, &word, sizeof word);
  return st;
}

lrp_status ranks_run(run_job *j)
{
  lrp_status st = begin_main(j);
  char message[4096] = "";
  if (!st && !j->ranks->rank && pthread_create(&j->ranks->server, NULL, serve, j))
    st = FAIL(j->ctx, LRP_E_NOMEM, "no thread for the other ranks could be started");
  if (st) {
    j->shared->stop = -1;
    j->shared->code = lrp_exit_status(st);
    return st;
  }
  st = begin_part(j);
  cli_progress_begin(&j->progress, j->ranks->rank ? 0 : j->n_total);
  if (!st) st = run_work(j);
  if (st) snprintf(message, sizeof message, "%s", lrp_message(j->ctx));
  if (st && !j->ranks->rank) j->shared->stop = -1;
  const lrp_status later = j->ranks->rank ? leave(j, st) : gather(j);
  cli_progress_hide(&j->progress);
  return st ? FAIL(j->ctx, st, "%s", message) : later;
}
