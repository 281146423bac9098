/* run_write.c - the thread that stores explanations while the next ones are computed.  What has
 * come together in the meantime is one transaction; until it ends, the tail of the store keeps what a
 * kill would take.  The inputs of what is queued must live until it is stored: writer_later() frees
 * them then. */
#include "run.h"
#include "store_tail.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
  QUEUE = 2048, /* explanations that may wait */
  GROUP = 1024, /* so many are worth a transaction: pages are written once for all of them */
  GROUP_BYTES = 8 << 20,
  PATIENCE_NS = 500000000 /* but none waits longer: others want to see it */
};

typedef struct entry {
  struct entry *next;
  lrp_run *run;
  lrp_record record; /* its relevance and scores are in the tail, or copies */
  lrp_relevance relevance;
  lrp_relevance *copy;  /* NULL: in the tail */
  size_t bytes;         /* of the copies */
  void (*then)(void *); /* no explanation: to be called with data */
  void *data;
  lrp_tensor tensor[];
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
  lrp_tail *tail;         /* NULL: it cannot be made here, and every explanation is a transaction */
  bool full;              /* the tail: it waits for the thread */
  lrp_status failed;      /* of the database; nothing more is stored then */
};

static void entry_free(entry *e)
{
  if (!e) return;
  if (e->copy) free((void *)(uintptr_t)e->record.scores); /* a copy, too */
  free(e->copy);
  free(e);
}

static entry *entry_of(lrp_run *run, const lrp_record *r)
{
  entry *e = malloc(sizeof *e + (size_t)r->relevance->n_tensor * sizeof *e->tensor);
  if (e) *e = (entry){.run = run, .record = *r};
  return e;
}

/* Of all that the next explanation will overwrite, where the tail cannot keep it. */
static bool copy_values(entry *e)
{
  const lrp_record *r = &e->record;
  const size_t scores = r->scores ? (size_t)r->n_class * sizeof(lrp_real) : 0;
  void *copy = malloc(scores + 1);
  e->copy = copy ? cli_keep(r->relevance, 1, r->n_node) : NULL;
  if (!e->copy) {
    free(copy);
    return false;
  }
  e->bytes = scores + cli_keep_bytes(r->relevance, 1, r->n_node);
  if (scores) memcpy(copy, r->scores, scores);
  e->record.scores = r->scores ? copy : NULL;
  if (!r->scores) free(copy);
  e->record.relevance = e->copy;
  return true;
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
  while (!late && w->n < GROUP && w->bytes < GROUP_BYTES && !w->quit && !w->hurry && !w->full)
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
    if (w->tail && !useless) lrp_tail_turn(w->tail);
    w->full = false;
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
    if (w->tail && !w->failed) lrp_tail_stored(w->tail);
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
  char path[4200] = "";
  if (w->tail) snprintf(path, sizeof path, "%s", w->tail->path);
  if (lrp_tail_close(w->tail))
    cli_note("%s keeps what was computed last; it is stored as soon as the database can be written",
             path);
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
  if (!st && lrp_tail_open(w->ctx, j->db, &w->tail))
    cli_note("lrp: %s; each explanation is stored at once, which is slower", lrp_message(w->ctx));
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

/* Into the tail, as soon as it has room.  false: nothing but its transaction keeps it. */
static bool keep(writer *w, entry *e)
{
  const lrp_real *scores;
  while (w->tail && !w->failed) {
    if (lrp_tail_put(w->tail, e->run, &e->record, &scores, &e->relevance, e->tensor)) {
      e->record.scores = scores;
      e->record.relevance = &e->relevance;
      return true;
    }
    if (lrp_tail_empty(w->tail)) return false;
    w->full = true;
    pthread_cond_broadcast(&w->changed);
    pthread_cond_wait(&w->changed, &w->lock);
  }
  return false;
}

static void append(writer *w, entry *e)
{
  *w->last = e;
  w->last = &e->next;
  w->n++;
  w->bytes += e->bytes;
  if (w->n == 1 || w->n >= GROUP || w->bytes >= GROUP_BYTES) /* else it need not wake up */
    pthread_cond_broadcast(&w->changed);
}

/* In one piece: other processes may write to the same place. */
static void tell_kept(const lrp_run *run, const lrp_record *r)
{
  char line[256];
  int n = snprintf(line, sizeof line, "{\"run\":%lld,\"sha256\":\"%s\",\"target\":%lld",
                   (long long)lrp_run_id(run), r->input->sha256, (long long)r->target.plus);
  if (r->target.minus >= 0)
    n += snprintf(line + n, sizeof line - (size_t)n, ",\"contrast\":%lld",
                  (long long)r->target.minus);
  n += snprintf(line + n, sizeof line - (size_t)n, "}\n");
  ssize_t put;
  while ((put = write(STDOUT_FILENO, line, (size_t)n)) < 0 && errno == EINTR)
    continue; /* Ctrl-C while the reader is slow */
  if (put != n) cli_error("standard output: %s", strerror(errno));
}

lrp_status writer_put(run_job *j, lrp_run *run, const lrp_record *record, int64_t which,
                      int64_t batch)
{
  writer *w = j->writer;
  lrp_record own = *record;
  lrp_relevance *one =
      batch > 1 ? cli_keep_sample(record->relevance, which, batch, record->n_node, record->input) : NULL;
  if (one) own.relevance = one;
  entry *e = batch > 1 && !one ? NULL : entry_of(run, &own);
  if (!e) {
    free(one);
    return lrp_host_table()->fail(j->ctx, LRP_E_NOMEM, "no memory for an explanation");
  }
  pthread_mutex_lock(&w->lock);
  while (w->n >= QUEUE)
    pthread_cond_wait(&w->changed, &w->lock);
  const bool kept = keep(w, e), good = kept || copy_values(e);
  if (good) append(w, e);
  const lrp_status st = w->failed;
  pthread_mutex_unlock(&w->lock);
  free(one);
  if (!good) {
    entry_free(e);
    return lrp_host_table()->fail(j->ctx, LRP_E_NOMEM, "no memory for an explanation");
  }
  const lrp_status end = st || kept ? writer_fail(j, st) : writer_drain(j);
  if (!end && j->lines) tell_kept(run, record);
  return end;
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
  pthread_mutex_lock(&j->writer->lock);
  append(j->writer, e);
  pthread_mutex_unlock(&j->writer->lock);
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
