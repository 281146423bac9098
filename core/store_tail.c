/* store_tail.c - the tail of a store: what is computed but waits for its transaction.
 *
 * A transaction costs as much as a tenth of a small explanation, so many share one.  What waits for it lies in a mapped
 * file meanwhile: its pages belong to the system, not to the process, and stay when the process is killed.  Whoever
 * opens the store next stores them.  A machine that stops may take the last pages: each record has a check sum, and one
 * that does not fit is dropped with all behind it, as SQLite's own log does.
 *
 * The owner holds an exclusive lock on the file for as long as it lives, so a tail without one was left by a dead
 * process.  Nobody else takes an exclusive lock: who looks, and who stores what a dead one left, takes a shared one,
 * which says nothing to the next who looks; those who store wait for each other by the store's own transactions.  So
 * nobody takes a dead owner for a living one because others are looking, or reads before they have stored. */
#ifndef _XOPEN_SOURCE
#define _XOPEN_SOURCE 700 /* for realpath() */
#endif
#include "store_tail.h"
#include "store_db.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const char MAGIC[16] = "lrp tail";

unsigned char *lrp_tail_half(lrp_tail_head *h, int half)
{
  return (unsigned char *)h + sizeof *h + (size_t)half * (size_t)LRP_TAIL_HALF;
}

size_t lrp_tail_size(void)
{
  return sizeof(lrp_tail_head) + 2 * (size_t)LRP_TAIL_HALF;
}

/* Of whole words; a multiplication spreads each over all bits that follow (Fibonacci hashing). */
uint64_t lrp_tail_check(const unsigned char *data, size_t n)
{
  uint64_t h = n, w;
  for (size_t i = 0; i + sizeof w <= n; i += sizeof w) {
    memcpy(&w, data + i, sizeof w);
    h = (h ^ w) * 0x9e3779b97f4a7c15u;
    h ^= h >> 29;
  }
  return h;
}

/* ---- writing a record: words of eight bytes, texts and arrays after their length ---- */

typedef struct sink {
  unsigned char *at, *end;
  bool full;
} sink;

static void put(sink *s, const void *data, size_t n)
{
  const size_t room = (n + 7) / 8 * 8;
  if (s->full || room > (size_t)(s->end - s->at)) {
    s->full = true;
    return;
  }
  if (n) memcpy(s->at, data, n);
  memset(s->at + n, 0, room - n);
  s->at += room;
}

static void put_i(sink *s, int64_t v)
{
  put(s, &v, sizeof v);
}

static void put_r(sink *s, double v)
{
  put(s, &v, sizeof v);
}

/* NULL has length -1.  Returns the copy. */
static const void *put_array(sink *s, const void *data, int64_t n, size_t size)
{
  put_i(s, data ? n : -1);
  const void *copy = data ? s->at : NULL;
  if (data) put(s, data, (size_t)n * size);
  return copy;
}

static void put_text(sink *s, const char *text)
{
  put_array(s, text, text ? (int64_t)strlen(text) : 0, 1);
}

static void put_run(sink *s, const lrp_run *r)
{
  put_text(s, r->uuid);
  put_i(s, r->tokenizer_id);
  put_i(s, r->seed_kind);
  put_array(s, r->layer_id, r->n_layer, sizeof *r->layer_id);
  put_i(s, r->n_input);
  for (int32_t i = 0; i < r->n_input; i++) {
    put_text(s, r->input_name[i]);
    put_text(s, r->input_what[i]);
  }
}

static void put_shape(sink *s, const lrp_tensor *t)
{
  put_i(s, t->dtype);
  put_i(s, t->rank);
  put(s, t->shape, (size_t)t->rank * sizeof *t->shape);
}

static void put_input(sink *s, const lrp_input *in)
{
  put_i(s, in->kind);
  put_text(s, in->sha256);
  put_array(s, in->text, in->text ? (int64_t)in->n_text : 0, 1);
  put_text(s, in->path);
  put_i(s, in->image_w);
  put_i(s, in->image_h);
  put_i(s, in->image_c);
  put_i(s, in->n_tensor);
  for (int32_t i = 0; i < in->n_tensor; i++)
    put_shape(s, &in->tensor[i]);
  put_i(s, in->n_dropped);
  put_i(s, in->n_token);
  for (int64_t i = 0; i < in->n_token && !s->full; i++) {
    const lrp_token *t = &in->token[i];
    put_i(s, t->id);
    put_i(s, t->begin);
    put_i(s, t->end);
    put_i(s, t->word);
    put_i(s, t->special);
    put_text(s, t->text);
  }
}

static void put_relevance(sink *s, const lrp_relevance *r, int64_t n_node, lrp_relevance *kept,
                          lrp_tensor *tensor)
{
  *kept = *r;
  kept->tensor = tensor;
  kept->value = put_array(s, r->value, 1, sizeof *r->value);
  kept->sum = put_array(s, r->sum, 1, sizeof *r->sum);
  put_i(s, r->wall_ns);
  kept->ledger = put_array(s, r->ledger, n_node, sizeof *r->ledger);
  put_i(s, r->n_tensor);
  for (int32_t i = 0; i < r->n_tensor; i++) {
    const lrp_tensor *t = &r->tensor[i];
    put_shape(s, t);
    tensor[i] = *t;
    tensor[i].data = (void *)(uintptr_t)put_array(s, t->data, t->data ? lrp_count(t) : 0,
                                                  sizeof(lrp_real)); /* only read */
  }
}

static const lrp_real *put_record(sink *s, const lrp_record *r)
{
  put_text(s, r->true_label);
  put_i(s, r->ordinal);
  put_i(s, r->target.plus);
  put_i(s, r->target.minus);
  const lrp_real *scores = put_array(s, r->scores, r->n_class, sizeof *r->scores);
  put_r(s, r->probability);
  put_array(s, r->rationale, r->n_rationale, sizeof *r->rationale);
  return scores;
}

bool lrp_tail_put(lrp_tail *t, const lrp_run *run, const lrp_record *rec, const lrp_real **scores,
                  lrp_relevance *relevance, lrp_tensor *tensor)
{
  const uint64_t used = t->head->used[t->half];
  unsigned char *begin = lrp_tail_half(t->head, t->half) + used;
  sink s = {.at = begin + sizeof(lrp_tail_frame),
            .end = lrp_tail_half(t->head, t->half) + (size_t)LRP_TAIL_HALF};
  if (rec->n_sample != 1 || rec->sample || rec->at >= 0 ||
      used + sizeof(lrp_tail_frame) > (size_t)LRP_TAIL_HALF)
    return false;
  put_run(&s, run);
  put_input(&s, rec->input);
  *scores = put_record(&s, rec);
  put_relevance(&s, rec->relevance, rec->n_node, relevance, tensor);
  if (s.full) return false;
  lrp_tail_frame f = {.bytes = (uint64_t)(s.at - begin) - sizeof f};
  f.check = lrp_tail_check(begin + sizeof f, f.bytes);
  memcpy(begin, &f, sizeof f);
  atomic_store_explicit(&t->head->used[t->half], used + sizeof f + f.bytes, memory_order_release);
  return true;
}

/* ---- the file ---- */

static void fill_head(lrp_tail_head *h)
{
  memcpy(h->magic, MAGIC, sizeof h->magic);
  sqlite3_snprintf(sizeof h->version, h->version, "%s", lrp_version());
  h->format = LRP_TAIL_FORMAT;
  h->real = (int64_t)sizeof(lrp_real);
}

bool lrp_tail_fits(const lrp_tail_head *h)
{
  lrp_tail_head own = {0};
  fill_head(&own);
  return !memcmp(&own, h, offsetof(lrp_tail_head, used));
}

bool lrp_tail_map(lrp_tail *t, int fd, bool write)
{
  void *at = mmap(NULL, lrp_tail_size(), write ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
  t->head = at == MAP_FAILED ? NULL : at;
  return t->head;
}

/* By a descriptor of its own: who looks at the memory of a dead process, as ps does, keeps what it had mapped for a
 * moment longer, with the descriptor's lock. */
static bool map_apart(lrp_tail *t, const char *name)
{
  const int fd = open(name, O_RDWR | O_CLOEXEC);
  const bool good = fd >= 0 && lrp_tail_map(t, fd, true);
  const int why = errno;
  if (fd >= 0) close(fd);
  errno = why;
  return good;
}

bool lrp_tail_gone(const lrp_tail *t)
{
  struct stat seen;
  return fstat(t->fd, &seen) || !seen.st_nlink;
}

/* A new file, locked.  Between the two steps others may take it for a dead maker's and remove it: then once more. */
static bool make_locked(lrp_tail *t, const char *early)
{
  for (;;) {
    t->fd = open(early, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (t->fd < 0) return false;
    int code;
    while ((code = flock(t->fd, LOCK_EX)) && errno == EINTR)
      continue; /* who looks at it has it for a moment only */
    if (code || !lrp_tail_gone(t)) return !code;
    close(t->fd);
  }
}

/* Room is taken at once: later a full disk could only be told by a signal.  It gets its name when it is whole; until
 * then nobody looks for explanations in it, and who finds it without a lock removes it. */
static bool make(lrp_tail *t, const char *store)
{
  uint64_t name;
  char *real =
      realpath(store, NULL); /* as SQLite does: the store may be opened by another name next time */
  sqlite3_randomness(sizeof name, &name);
  t->path = sqlite3_mprintf("%s.%016llx%s", real ? real : store, (unsigned long long)name,
                            LRP_TAIL_ENDING);
  free(real);
  char *early = t->path ? sqlite3_mprintf("%s%s", t->path, LRP_TAIL_EARLY) : NULL;
  if (!early) return false;
  bool good = make_locked(t, early);
  if (good) {
    errno = posix_fallocate(t->fd, 0, (off_t)lrp_tail_size());
    good = !errno && map_apart(t, early);
  }
  if (good) {
    fill_head(t->head);
    good = !rename(early, t->path);
  }
  const int why = errno;
  if (!good && t->fd >= 0) unlink(early);
  sqlite3_free(early);
  errno = why;
  return good;
}

void lrp_tail_release(lrp_tail *t)
{
  if (t->head) munmap(t->head, lrp_tail_size());
  if (t->fd >= 0) close(t->fd); /* and the lock */
  sqlite3_free(t->path);
  free(t);
}

lrp_status lrp_tail_open(lrp_ctx *ctx, const char *store, lrp_tail **out)
{
  lrp_tail *t = calloc(1, sizeof *t);
  *out = NULL;
  if (!t) return lrp_nomem(ctx, store);
  t->fd = -1;
  if (!make(t, store)) {
    const lrp_status st =
        lrp_fail(ctx, LRP_E_DB,
                 "%s: no file of %zu kB for unfinished transactions can be made beside it: %s",
                 store, lrp_tail_size() / 1000, strerror(errno));
    lrp_tail_release(t);
    return st;
  }
  *out = t;
  return LRP_OK;
}

void lrp_tail_turn(lrp_tail *t)
{
  t->half = !t->half;
}

void lrp_tail_stored(lrp_tail *t)
{
  atomic_store_explicit(&t->head->used[!t->half], 0, memory_order_release);
}

bool lrp_tail_empty(const lrp_tail *t)
{
  return !t->head->used[t->half];
}

bool lrp_tail_close(lrp_tail *t)
{
  if (!t) return false;
  const bool stays = t->head->used[0] || t->head->used[1];
  if (!stays) unlink(t->path);
  lrp_tail_release(t);
  return stays;
}
