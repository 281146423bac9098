/* run_write.c - the thread that stores explanations while the next ones are computed.  What has
 * come together in the meantime is one transaction.  The inputs of what is queued must live until
 * it is stored: writer_later() frees them then. */
#include "run.h"
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
  QUEUE = 512, /* explanations that may wait */
  GROUP = 256, /* so many are worth a transaction: pages are written once for all of them */
  QUEUE_BYTES = 32 << 20,
  GROUP_BYTES = 8 << 20,
  PATIENCE_NS = 100000000 /* but none waits longer: what a kill can cost */
};

typedef struct entry {
  struct entry *next;
  lrp_run *run;
  lrp_record record;
  lrp_relevance *relevance;
  size_t bytes;
  void (*then)(void *); /* no explanation: to be called with data */
  void *data;
  lrp_real scores[];
} entry;
struct writer {
  lrp_ctx *ctx;
  lrp_store *store;
  shared *shared;
  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t changed;
  entry *first, **last;
  int64_t n; /* in the queue */
  size_t bytes;
  bool busy, quit, hurry; /* hurry: somebody waits for all to be stored */
  lrp_status failed;      /* of the database; nothing more is stored then */
};

/* ---- a copy of all that the next explanation will overwrite ---- */

static void entry_free(entry *e)
{
  if (e) free(e->relevance);
  free(e);
}

static entry *copy_of(lrp_run *run, const lrp_record *r, int64_t which, int64_t batch)
{
  const size_t scores = (size_t)r->n_class * sizeof(lrp_real);
  entry *e = malloc(sizeof *e + scores);
  if (!e) return NULL;
  *e = (entry){.run = run,
               .record = *r,
               .relevance = cli_keep_sample(r->relevance, which, batch, r->n_node, r->input)};
  e->record.relevance = e->relevance;
  e->bytes = sizeof *e + scores + (e->relevance ? cli_keep_bytes(e->relevance, 1, r->n_node) : 0);
  if (r->scores) e->record.scores = memcpy(e->scores, r->scores, scores);
  if (e->relevance) return e;
  entry_free(e);
  return NULL;
}

/* ---- the thread ---- */

/* Stores a list in one transaction; a number that is not finite is an error row and a sentence. */
static lrp_status store_list(writer *w, const entry *list)
{
  int64_t done = 0, there = 0, failed = 0;
  lrp_status st = lrp_store_group_begin(w->store);
  if (st) return st;
  for (const entry *e = list; !st && e; e = e->next) {
    if (e->then) continue;
    st = lrp_store_explanation(w->store, e->run, &e->record, NULL);
    if (st == LRP_E_NUMERIC) {
      run_tell(w->shared, lrp_message(w->ctx));
      failed++;
      st = LRP_OK;
    } else if (!st && lrp_store_was_new(w->store)) {
      done++;
    } else if (!st) {
      there++; /* the same input twice */
    }
  }
  st = lrp_store_group_end(w->store, st);
  if (!st) {
    w->shared->done += done;
    w->shared->there += there;
    w->shared->failed += failed;
  }
  return st;
}

/* Until the group is full, time is up or somebody waits. */
static void await_group(writer *w)
{
  struct timespec end;
  int late = 0;
  clock_gettime(CLOCK_REALTIME, &end); /* the clock of pthread_cond_timedwait() */
  end.tv_nsec += PATIENCE_NS;
  end.tv_sec += end.tv_nsec / 1000000000;
  end.tv_nsec %= 1000000000;
  while (!late && w->n < GROUP && w->bytes < GROUP_BYTES && !w->quit && !w->hurry)
    late = pthread_cond_timedwait(&w->changed, &w->lock, &end);
}

static void *loop(void *data)
{
  writer *w = data;
  pthread_mutex_lock(&w->lock);
  while (!w->quit || w->first) {
    if (!w->first) {
      pthread_cond_wait(&w->changed, &w->lock);
      continue;
    }
    await_group(w);
    entry *list = w->first;
    const bool useless = w->failed;
    w->first = NULL;
    w->last = &w->first;
    w->n = 0;
    w->bytes = 0;
    w->busy = true;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
    const lrp_status st = useless ? LRP_OK : store_list(w, list);
    while (list) {
      entry *next = list->next;
      if (list->then) list->then(list->data);
      entry_free(list);
      list = next;
    }
    pthread_mutex_lock(&w->lock);
    w->failed = w->failed ? w->failed : st;
    w->busy = false;
    pthread_cond_broadcast(&w->changed);
  }
  pthread_mutex_unlock(&w->lock);
  return NULL;
}

/* ---- what the worker calls ---- */

lrp_status writer_fail(run_job *j, lrp_status st)
{
  return st ? lrp_host_table()->fail(j->ctx, st, "%s", lrp_message(j->writer->ctx)) : LRP_OK;
}

lrp_store *writer_store(writer *w)
{
  return w->store;
}

static void warn(void *user, const char *message)
{
  (void)user;
  cli_note("lrp: %s", message);
}

static void writer_free(writer *w)
{
  lrp_store_close(w->store);
  lrp_ctx_free(w->ctx);
  pthread_cond_destroy(&w->changed);
  pthread_mutex_destroy(&w->lock);
  free(w);
}

lrp_status writer_open(run_job *j)
{
  sigset_t all, before;
  writer *w = calloc(1, sizeof *w);
  if (!w || lrp_ctx_new(&w->ctx)) {
    free(w);
    return lrp_host_table()->fail(j->ctx, LRP_E_NOMEM, "no memory");
  }
  w->shared = j->shared;
  w->last = &w->first;
  pthread_mutex_init(&w->lock, NULL);
  pthread_cond_init(&w->changed, NULL);
  lrp_on_warning(w->ctx, warn, NULL);
  j->writer = w;
  lrp_status st = writer_fail(j, lrp_store_open(w->ctx, j->db, LRP_STORE_WRITE, &w->store));
  if (!st) st = writer_fail(j, lrp_store_trust(w->store));
  sigfillset(&all); /* signals are the worker's */
  pthread_sigmask(SIG_SETMASK, &all, &before);
  if (!st && pthread_create(&w->thread, NULL, loop, w))
    st = lrp_host_table()->fail(j->ctx, LRP_E_NOMEM, "no thread for the database could be started");
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (st) {
    writer_free(w);
    j->writer = NULL;
  }
  return st;
}

static lrp_status append(writer *w, entry *e)
{
  pthread_mutex_lock(&w->lock);
  while (w->n >= QUEUE || w->bytes >= QUEUE_BYTES)
    pthread_cond_wait(&w->changed, &w->lock);
  *w->last = e;
  w->last = &e->next;
  w->n++;
  w->bytes += e->bytes;
  const lrp_status st = w->failed;
  if (w->n == 1 || w->n >= GROUP || w->bytes >= GROUP_BYTES) /* else it need not wake up */
    pthread_cond_broadcast(&w->changed);
  pthread_mutex_unlock(&w->lock);
  return st;
}

lrp_status writer_put(run_job *j, lrp_run *run, const lrp_record *record, int64_t which,
                      int64_t batch)
{
  entry *e = copy_of(run, record, which, batch);
  if (!e) return lrp_host_table()->fail(j->ctx, LRP_E_NOMEM, "no memory for an explanation");
  return writer_fail(j, append(j->writer, e));
}

void writer_later(run_job *j, void (*then)(void *), void *data)
{
  entry *e = calloc(1, sizeof *e);
  if (!e) {
    writer_drain(j);
    then(data);
    return;
  }
  e->then = then;
  e->data = data;
  append(j->writer, e);
}

lrp_status writer_drain(run_job *j)
{
  writer *w = j->writer;
  pthread_mutex_lock(&w->lock);
  w->hurry = true;
  pthread_cond_broadcast(&w->changed);
  while (w->first || w->busy)
    pthread_cond_wait(&w->changed, &w->lock);
  w->hurry = false;
  const lrp_status st = w->failed;
  pthread_mutex_unlock(&w->lock);
  return writer_fail(j, st);
}

void writer_close(run_job *j)
{
  writer *w = j->writer;
  if (!w) return;
  pthread_mutex_lock(&w->lock);
  w->quit = true;
  pthread_cond_broadcast(&w->changed);
  pthread_mutex_unlock(&w->lock);
  pthread_join(w->thread, NULL);
  writer_free(w);
  j->writer = NULL;
}
