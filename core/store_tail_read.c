/* store_tail_read.c - what dead processes left in tails (store_tail.c) goes into the store. */
#ifndef _XOPEN_SOURCE
#define _XOPEN_SOURCE 700 /* for realpath() */
#endif
#include "store_db.h"
#include "store_tail.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char SQL_RUN_OF[] = "SELECT run_id FROM run WHERE uuid=?1";
static const char SQL_LAYER_OF[] = "SELECT 1 FROM run_layer WHERE run_id=?1 AND layer_id=?2";
static const char SQL_TOKENIZER_OF[] = "SELECT 1 FROM tokenizer WHERE tokenizer_id=?1";

/* ---- reading a record: nothing is believed ---- */

typedef struct source {
  lrp_arena *arena;
  const unsigned char *at, *end;
  bool bad;
} source;

static const void *take(source *s, size_t n)
{
  const void *at = s->at;
  if (s->bad || n > (size_t)(s->end - s->at) || (n + 7) / 8 * 8 > (size_t)(s->end - s->at)) {
    s->bad = true;
    return NULL;
  }
  s->at += (n + 7) / 8 * 8;
  return at;
}

static int64_t take_i(source *s)
{
  int64_t v = 0;
  const void *at = take(s, sizeof v);
  if (at) memcpy(&v, at, sizeof v);
  return v;
}

static double take_r(source *s)
{
  double v = 0;
  const void *at = take(s, sizeof v);
  if (at) memcpy(&v, at, sizeof v);
  return v;
}

/* A number from low to high. */
static int64_t take_within(source *s, int64_t low, int64_t high)
{
  const int64_t v = take_i(s);
  if (v >= low && v <= high) return v;
  s->bad = true;
  return low;
}

/* How many things follow that take a word each at least. */
static int64_t take_n(source *s)
{
  return take_within(s, 0, s->bad ? 0 : (s->end - s->at) / 8);
}

/* NULL, *n 0 for an array that was NULL. */
static const void *take_array(source *s, int64_t *n, size_t size)
{
  *n = take_within(s, -1, s->end - s->at);
  const bool null = *n < 0;
  size_t bytes;
  if (null) *n = 0;
  if (!lrp_mul_size((size_t)*n, size, &bytes)) s->bad = true;
  const void *at = null || s->bad ? NULL : take(s, bytes);
  return at;
}

static const char *take_text(source *s)
{
  int64_t n;
  const char *text = take_array(s, &n, 1);
  char *copy = text ? lrp_arena_text(s->arena, text, (size_t)n) : NULL;
  if (text && !copy) s->bad = true;
  return copy;
}

static void *room(source *s, int64_t n, size_t size)
{
  size_t bytes;
  void *at = lrp_mul_size((size_t)n + 1, size, &bytes) ? lrp_arena_alloc(s->arena, bytes) : NULL;
  if (!at) s->bad = true;
  return at;
}

static void take_run(source *s, lrp_run *r)
{
  const char *uuid = take_text(s);
  sqlite3_snprintf(sizeof r->uuid, r->uuid, "%s", uuid ? uuid : "");
  r->tokenizer_id = take_i(s);
  r->seed_kind = (int32_t)take_within(s, LRP_SEED_LOGIT, LRP_SEED_ONE);
  r->layer_id =
      (int64_t *)(uintptr_t)take_array(s, &r->n_layer, sizeof *r->layer_id); /* only read */
  r->n_input = (int32_t)take_n(s);
  r->input_name = room(s, r->n_input, sizeof *r->input_name);
  r->input_what = room(s, r->n_input, sizeof *r->input_what);
  for (int32_t i = 0; i < r->n_input && !s->bad; i++) {
    r->input_name[i] = take_text(s);
    r->input_what[i] = take_text(s);
    if (!r->input_name[i] || !r->input_what[i]) s->bad = true;
  }
}

static void take_shape(source *s, lrp_tensor *t)
{
  t->dtype = (int32_t)take_i(s);
  t->rank = (int32_t)take_within(s, 0, LRP_MAX_RANK);
  const void *shape = take(s, (size_t)t->rank * sizeof *t->shape);
  if (shape) memcpy(t->shape, shape, (size_t)t->rank * sizeof *t->shape);
  for (int32_t i = 0; i < t->rank; i++)
    if (t->shape[i] < 0) s->bad = true;
}

static void take_token(source *s, lrp_token *t)
{
  t->id = take_i(s);
  t->begin = (uint32_t)take_within(s, 0, UINT32_MAX);
  t->end = (uint32_t)take_within(s, 0, UINT32_MAX);
  t->word = (int32_t)take_within(s, INT32_MIN, INT32_MAX);
  t->special = (uint32_t)take_within(s, 0, UINT32_MAX);
  t->text = take_text(s);
}

static void take_input(source *s, lrp_input *in)
{
  int64_t n;
  in->kind = (int32_t)take_within(s, LRP_MODALITY_TENSOR, LRP_MODALITY_BYTES);
  const char *sha256 = take_text(s);
  sqlite3_snprintf(sizeof in->sha256, in->sha256, "%s", sha256 ? sha256 : "");
  const char *text = take_array(s, &n, 1);
  in->n_text = (size_t)n;
  in->text = text ? lrp_arena_text(s->arena, text, in->n_text) : NULL;
  in->path = (char *)(uintptr_t)take_text(s); /* which nobody writes to */
  in->image_w = take_i(s);
  in->image_h = take_i(s);
  in->image_c = take_i(s);
  in->n_tensor = (int32_t)take_n(s);
  in->tensor = room(s, in->n_tensor, sizeof *in->tensor);
  for (int32_t i = 0; i < in->n_tensor && !s->bad; i++)
    take_shape(s, &in->tensor[i]);
  in->n_dropped = take_i(s);
  in->n_token = take_n(s);
  in->token = room(s, in->n_token, sizeof *in->token);
  for (int64_t i = 0; i < in->n_token && !s->bad; i++)
    take_token(s, &in->token[i]);
  if (in->kind == LRP_MODALITY_TEXT && !in->text) s->bad = true;
}

static void take_values(source *s, lrp_tensor *t)
{
  int64_t n;
  size_t bytes;
  take_shape(s, t);
  const void *data = take_array(s, &n, sizeof(lrp_real));
  t->data = NULL;
  if (!data || s->bad) return;
  if (t->dtype != LRP_REAL || lrp_tensor_bytes(NULL, t, &bytes) ||
      bytes != (size_t)n * sizeof(lrp_real))
    s->bad = true;
  else
    t->data = (void *)(uintptr_t)data; /* only read */
}

static const double *take_one(source *s)
{
  int64_t n;
  const double *at = take_array(s, &n, sizeof *at);
  if (n != 1) s->bad = true;
  return at; /* words of eight bytes are aligned */
}

static void take_relevance(source *s, lrp_relevance *r, int64_t *n_node)
{
  r->value = take_one(s);
  r->sum = take_one(s);
  r->wall_ns = take_i(s);
  r->ledger = take_array(s, n_node, sizeof *r->ledger);
  r->n_tensor = (int32_t)take_n(s);
  lrp_tensor *tensor = room(s, r->n_tensor, sizeof *tensor);
  for (int32_t i = 0; i < r->n_tensor && !s->bad; i++)
    take_values(s, &tensor[i]);
  r->tensor = tensor;
}

static void take_record(source *s, lrp_record *r, lrp_relevance *rel)
{
  int64_t n;
  r->n_sample = 1;
  r->at = -1;
  r->true_label = take_text(s);
  r->ordinal = take_i(s);
  r->target.plus = take_i(s);
  r->target.minus = take_i(s);
  r->scores = take_array(s, &r->n_class, sizeof *r->scores);
  r->probability = take_r(s);
  r->rationale = take_array(s, &n, sizeof *r->rationale);
  r->n_rationale = n;
  take_relevance(s, rel, &r->n_node);
  r->relevance = rel;
}

/* ---- what dead processes left ---- */

/* The run's id, -1 where the run, its layers or its tokenizer are gone: removed, or lost with the
 * last transactions before a power cut. */
static lrp_status find_run(lrp_store *s, lrp_run *run)
{
  int64_t there = 1;
  lrp_status st = lrp_sql_id(s, &run->id, SQL_RUN_OF, "t", run->uuid);
  for (int64_t i = 0; !st && run->id >= 0 && there >= 0 && i < run->n_layer; i++)
    st = lrp_sql_id(s, &there, SQL_LAYER_OF, "ii", run->id, run->layer_id[i]);
  if (!st && there >= 0 && run->tokenizer_id >= 0)
    st = lrp_sql_id(s, &there, SQL_TOKENIZER_OF, "i", run->tokenizer_id);
  if (there < 0) run->id = -1;
  return st;
}

/* One record.  false: it does not fit together. */
static bool store_one(lrp_store *s, const unsigned char *data, size_t n, lrp_status *st)
{
  lrp_input in = {0};
  lrp_relevance rel = {0};
  lrp_record rec = {.input = &in};
  lrp_run run = {.beat_ns = lrp_clock_ns(CLOCK_MONOTONIC)}; /* it is dead: no sign of life */
  source from = {.arena = &s->ctx->scratch, .at = data, .end = data + n};
  const lrp_mark mark = lrp_arena_mark(&s->ctx->scratch);
  take_run(&from, &run);
  take_input(&from, &in);
  take_record(&from, &rec, &rel);
  const bool good = !from.bad && from.at == from.end;
  if (good) *st = find_run(s, &run);
  if (good && !*st && run.id >= 0) *st = lrp_store_explanation(s, &run, &rec, NULL);
  if (*st == LRP_E_NUMERIC) *st = LRP_OK; /* an error row is there */
  lrp_arena_release(&s->ctx->scratch, mark);
  return good;
}

static lrp_status store_half(lrp_store *s, lrp_tail_head *h, int half)
{
  const unsigned char *at = lrp_tail_half(h, half);
  uint64_t left = h->used[half] < (size_t)LRP_TAIL_HALF ? h->used[half] : (size_t)LRP_TAIL_HALF;
  lrp_status st = LRP_OK;
  lrp_tail_frame f;
  while (!st && left >= sizeof f) {
    memcpy(&f, at, sizeof f);
    at += sizeof f;
    left -= sizeof f;
    if (f.bytes > left || f.bytes % 8 || lrp_tail_check(at, f.bytes) != f.check) break;
    if (!store_one(s, at, f.bytes, &st)) break;
    at += f.bytes;
    left -= f.bytes;
  }
  return st;
}

/* Its owner is dead; others may be storing it, too: what they have stored is there then, and changes nothing. */
static lrp_status recover_one(lrp_store *s, lrp_tail *t)
{
  struct stat seen;
  if (lrp_tail_gone(t)) return LRP_OK; /* somebody was faster */
  if (fstat(t->fd, &seen) || (size_t)seen.st_size != lrp_tail_size() || !lrp_tail_map(t, t->fd, false) ||
      !lrp_tail_fits(t->head))
    return lrp_warn(
               s->ctx,
               "%s: left by a killed run of another lrp, which can store it; it is not read here",
               t->path),
           LRP_OK;
  lrp_status st = lrp_store_group_begin(s);
  if (st) return st;
  const bool gone = lrp_tail_gone(t); /* while we waited for the transaction */
  if (!gone) st = store_half(s, t->head, 0);
  if (!gone && !st) st = store_half(s, t->head, 1);
  const bool refused = st == LRP_E_DB && (sqlite3_errcode(s->db) & 0xff) == SQLITE_CONSTRAINT;
  st = lrp_store_group_end(s, st);
  if (!st) unlink(t->path); /* after the commit: who does not find it finds the rows */
  if (!st || (st == LRP_E_DB && !refused) || st == LRP_E_NOMEM) return st;
  lrp_warn(s->ctx, "%s: left by a killed run, but it does not fit together: %s; it is not read",
           t->path, lrp_message(s->ctx));
  return LRP_OK;
}

/* The folder of a path, with its slash, as a pointer to what follows. */
static const char *base_of(const char *path)
{
  const char *slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

/* Is it the store's name, LRP_TAIL_NAME digits and this ending? */
static bool is_tail(const char *name, const char *store, const char *ending)
{
  const size_t n = strlen(store);
  return !strncmp(name, store, n) && name[n] == '.' &&
         strspn(name + n + 1, "0123456789abcdef") == LRP_TAIL_NAME &&
         !strcmp(name + n + 1 + LRP_TAIL_NAME, ending);
}

typedef lrp_status visit_fn(void *data, lrp_tail *);

/* call, where the owner is dead; what its maker has not finished is removed. */
static lrp_status visit_one(const char *folder, const char *name, bool early, visit_fn *call, void *data)
{
  lrp_status st = LRP_OK;
  lrp_tail *t = calloc(1, sizeof *t);
  if (!t) return LRP_OK;
  t->path = sqlite3_mprintf("%s%s", folder, name);
  t->fd = t->path ? open(t->path, O_RDONLY | O_CLOEXEC) : -1;
  const bool dead = t->fd >= 0 && !flock(t->fd, LOCK_SH | LOCK_NB); /* shared: see store_tail.c */
  if (dead && early)
    unlink(t->path);
  else if (dead)
    st = call(data, t);
  lrp_tail_release(t);
  return st;
}

/* Each tail of the store whose owner is dead. */
static lrp_status visit(const char *name, visit_fn *call, void *data)
{
  char *real = realpath(name, NULL);
  const char *store = real ? real : name, *base = base_of(store);
  char *folder = sqlite3_mprintf("%.*s", (int)(base - store), store);
  DIR *dir = folder ? opendir(*folder ? folder : ".") : NULL;
  lrp_status st = LRP_OK;
  for (struct dirent *e; !st && dir && (e = readdir(dir));) {
    const bool early = is_tail(e->d_name, base, LRP_TAIL_ENDING LRP_TAIL_EARLY);
    if (early || is_tail(e->d_name, base, LRP_TAIL_ENDING)) st = visit_one(folder, e->d_name, early, call, data);
  }
  if (dir) closedir(dir);
  sqlite3_free(folder);
  free(real);
  return st;
}

static lrp_status note_one(void *data, lrp_tail *t)
{
  (void)t;
  *(bool *)data = true;
  return LRP_OK;
}

bool lrp_tail_left(const char *store)
{
  bool any = false;
  visit(store, note_one, &any);
  return any;
}

static lrp_status recover_visit(void *data, lrp_tail *t)
{
  return recover_one(data, t);
}

lrp_status lrp_tail_recover(lrp_store *s)
{
  return visit(s->path, recover_visit, s);
}
