/* vocab.c - a sorted list of words: exact search, and walks byte by byte for the longest match.
 *
 * Sorted, not hashed: a step costs a logarithm for any file, a hostile one too. */
#include "text/text.h"
#include <stdlib.h>
#include <string.h>

static int compare(const char *a, size_t n_a, const char *b, size_t n_b)
{
  int order = memcmp(a, b, n_a < n_b ? n_a : n_b);
  return order ? order : (n_a > n_b) - (n_a < n_b);
}

static int by_text(const void *a, const void *b)
{
  const lrp_word *x = a, *y = b;
  int order = compare(x->s, x->n, y->s, y->n);
  return order ? order : (x->id > y->id) - (x->id < y->id);
}

typedef struct id_place {
  uint32_t id, place;
} id_place;

static int by_id(const void *a, const void *b)
{
  const id_place *x = a, *y = b;
  if (x->id != y->id) return x->id > y->id ? 1 : -1;
  return (x->place > y->place) - (x->place < y->place);
}

static lrp_status sort_ids(lrp_ctx *ctx, lrp_arena *arena, lrp_vocab *v)
{
  id_place *order = malloc((v->n ? v->n : 1) * sizeof *order);
  v->by_id = lrp_arena_alloc(arena, v->n * sizeof *v->by_id);
  if (!order || !v->by_id) {
    free(order);
    return lrp_nomem(ctx, "the vocabulary");
  }
  for (uint32_t i = 0; i < v->n; i++)
    order[i] = (id_place){v->word[i].id, i};
  if (v->n) qsort(order, v->n, sizeof *order, by_id);
  for (uint32_t i = 0; i < v->n; i++)
    v->by_id[i] = order[i].place;
  free(order);
  return LRP_OK;
}

/* Of equal words the last one, with the largest id, stays. */
static lrp_status drop_doubles(lrp_ctx *ctx, const char *path, bool twice, lrp_vocab *v)
{
  uint32_t n = 0;
  for (uint32_t i = 0; i < v->n; i++) {
    const lrp_word *w = &v->word[i];
    bool same = i + 1 < v->n && w->n == w[1].n && !memcmp(w->s, w[1].s, w->n);
    if (same && !twice)
      return lrp_fail(ctx, LRP_E_INPUT, "%s: the token \"%.80s\" is there twice, as %u and %u",
                      path, w->s, (unsigned)w->id, (unsigned)w[1].id);
    if (!same) v->word[n++] = *w;
  }
  v->n = n;
  return LRP_OK;
}

lrp_status lrp_vocab_make(lrp_ctx *ctx, lrp_arena *arena, const char *path, lrp_word *word,
                          size_t n, bool twice, lrp_vocab *out)
{
  *out = (lrp_vocab){.word = word, .n = (uint32_t)n};
  if (n > INT32_MAX)
    return lrp_fail(ctx, LRP_E_INPUT, "%s: %zu tokens; at most %d are read", path, n, INT32_MAX);
  if (n) qsort(word, n, sizeof *word, by_text);
  lrp_status status = drop_doubles(ctx, path, twice, out);
  if (status) return status;
  for (uint32_t b = 0, i = 0; b < 256; b++) {
    while (i < out->n && (!out->word[i].n || (uint8_t)out->word[i].s[0] < b))
      i++;
    out->first[b] = i;
  }
  out->first[256] = out->n;
  return sort_ids(ctx, arena, out);
}

int64_t lrp_vocab_id(const lrp_vocab *v, const char *s, size_t n)
{
  uint32_t lo = n ? v->first[(uint8_t)s[0]] : 0, hi = n ? v->first[(uint8_t)s[0] + 1] : v->first[0];
  while (lo < hi) {
    uint32_t mid = lo + (hi - lo) / 2;
    int order = compare(v->word[mid].s, v->word[mid].n, s, n);
    if (!order) return v->word[mid].id;
    if (order < 0)
      lo = mid + 1;
    else
      hi = mid;
  }
  return -1;
}

const lrp_word *lrp_vocab_word(const lrp_vocab *v, int64_t id)
{
  uint32_t lo = 0, hi = v->n;
  while (lo < hi) {
    uint32_t mid = lo + (hi - lo) / 2;
    const lrp_word *word = &v->word[v->by_id[mid]];
    if (word->id == id) return word;
    if (word->id < id)
      lo = mid + 1;
    else
      hi = mid;
  }
  return NULL;
}

lrp_walk lrp_vocab_start(const lrp_vocab *v)
{
  return (lrp_walk){0, v->n, 0};
}

/* The first word of [lo, hi) whose byte at depth is at least byte; a word that ends there comes
 * first. */
static uint32_t bound(const lrp_vocab *v, const lrp_walk *walk, unsigned byte)
{
  uint32_t lo = walk->lo, hi = walk->hi;
  while (lo < hi) {
    uint32_t mid = lo + (hi - lo) / 2;
    const lrp_word *w = &v->word[mid];
    if (w->n <= walk->depth || (uint8_t)w->s[walk->depth] < byte)
      lo = mid + 1;
    else
      hi = mid;
  }
  return lo;
}

bool lrp_vocab_step(const lrp_vocab *v, lrp_walk *walk, uint8_t byte)
{
  if (!walk->depth) {
    *walk = (lrp_walk){v->first[byte], v->first[byte + 1], 1};
  } else {
    walk->lo = bound(v, walk, byte);
    walk->hi = byte == 255 ? walk->hi : bound(v, walk, byte + 1u);
    walk->depth++;
  }
  return walk->lo < walk->hi;
}

const lrp_word *lrp_vocab_here(const lrp_vocab *v, const lrp_walk *walk)
{
  if (walk->lo >= walk->hi || v->word[walk->lo].n != walk->depth) return NULL;
  return &v->word[walk->lo];
}
