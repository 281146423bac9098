/* bpe.c - the model BPE: a word's characters are joined pair by pair, in the order of the merges
 * (Sennrich et al. 2016).  A heap of possible merges keeps a word of n characters at n log n steps.
 */
#include "text/text.h"
#include <stdlib.h>
#include <string.h>

enum { GONE = UINT32_MAX };
typedef struct symbol {
  uint32_t id, begin, end; /* end GONE: joined to the symbol on its left */
  uint32_t before, behind; /* positions, GONE: none */
} symbol;
typedef struct join { /* a merge that may be done at a symbol */
  uint32_t rank, at, id;
} join;
struct lrp_bpe {
  symbol *symbol;
  uint32_t n_symbol, cap_symbol;
  join *heap;
  uint32_t n_heap, cap_heap;
};

lrp_status lrp_bpe_new(lrp_ctx *ctx, lrp_bpe **out)
{
  *out = calloc(1, sizeof **out);
  return *out ? LRP_OK : lrp_nomem(ctx, "the tokenizer");
}

void lrp_bpe_free(lrp_bpe *bpe)
{
  if (!bpe) return;
  free(bpe->symbol);
  free(bpe->heap);
  free(bpe);
}

static bool add(lrp_bpe *bpe, int64_t id, uint32_t begin, uint32_t end)
{
  if (bpe->n_symbol == bpe->cap_symbol) {
    uint32_t cap = bpe->cap_symbol ? 2 * bpe->cap_symbol : 64;
    symbol *more = realloc(bpe->symbol, cap * sizeof *more);
    if (!more) return false;
    bpe->symbol = more;
    bpe->cap_symbol = cap;
  }
  uint32_t n = bpe->n_symbol;
  if (n) bpe->symbol[n - 1].behind = n;
  bpe->symbol[bpe->n_symbol++] =
      (symbol){(uint32_t)id, begin, end, n ? n - 1 : (uint32_t)GONE, GONE};
  return true;
}

static const lrp_merge *merge_of(const lrp_tokenizer *t, uint32_t left, uint32_t right)
{
  uint64_t pair = (uint64_t)left << 32 | right;
  uint32_t lo = 0, hi = t->n_merge;
  while (lo < hi) {
    uint32_t mid = lo + (hi - lo) / 2;
    if (t->merge[mid].pair == pair) return &t->merge[mid];
    if (t->merge[mid].pair < pair)
      lo = mid + 1;
    else
      hi = mid;
  }
  return NULL;
}

static bool earlier(const join *a, const join *b)
{
  return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static bool heap_push(lrp_bpe *bpe, join j)
{
  if (bpe->n_heap == bpe->cap_heap) {
    uint32_t cap = bpe->cap_heap ? 2 * bpe->cap_heap : 64;
    join *more = realloc(bpe->heap, cap * sizeof *more);
    if (!more) return false;
    bpe->heap = more;
    bpe->cap_heap = cap;
  }
  uint32_t i = bpe->n_heap++;
  for (; i && earlier(&j, &bpe->heap[(i - 1) / 2]); i = (i - 1) / 2)
    bpe->heap[i] = bpe->heap[(i - 1) / 2];
  bpe->heap[i] = j;
  return true;
}

static join heap_pop(lrp_bpe *bpe)
{
  join top = bpe->heap[0], last = bpe->heap[--bpe->n_heap];
  uint32_t i = 0, n = bpe->n_heap;
  for (uint32_t child = 1; child < n; child = 2 * i + 1) {
    if (child + 1 < n && earlier(&bpe->heap[child + 1], &bpe->heap[child])) child++;
    if (!earlier(&bpe->heap[child], &last)) break;
    bpe->heap[i] = bpe->heap[child];
    i = child;
  }
  if (n) bpe->heap[i] = last;
  return top;
}

/* Offer the merge of the symbol at a place with the one behind it. */
static bool offer(const lrp_tokenizer *t, lrp_bpe *bpe, uint32_t at)
{
  if (at == GONE || bpe->symbol[at].behind == GONE) return true;
  const lrp_merge *m = merge_of(t, bpe->symbol[at].id, bpe->symbol[bpe->symbol[at].behind].id);
  return !m || heap_push(bpe, (join){m->rank, at, m->id});
}

static bool merge_all(const lrp_tokenizer *t, lrp_bpe *bpe)
{
  bpe->n_heap = 0;
  for (uint32_t i = 0; i < bpe->n_symbol; i++)
    if (!offer(t, bpe, i)) return false;
  while (bpe->n_heap) {
    join top = heap_pop(bpe);
    symbol *left = &bpe->symbol[top.at];
    if (left->end == GONE || left->behind == GONE) continue;
    symbol *right = &bpe->symbol[left->behind];
    const lrp_merge *m = merge_of(t, left->id, right->id);
    if (!m || m->id != top.id) continue; /* one of the two has changed since */
    left->id = m->id;
    if (right->end > left->end) left->end = right->end;
    left->behind = right->behind;
    right->end = GONE;
    if (left->behind != GONE) bpe->symbol[left->behind].before = top.at;
    if (!offer(t, bpe, left->before) || !offer(t, bpe, top.at)) return false;
  }
  return true;
}

/* Id of a character with the prefix and suffix it takes; its bytes are put into form[]. */
static int64_t character_id(const lrp_tokenizer *t, const char *s, uint32_t n, bool first,
                            bool last, char *form, uint32_t *n_form)
{
  uint32_t m = 0;
  if (!first && t->n_prefix) memcpy(form, t->prefix, m = t->n_prefix);
  memcpy(form + m, s, n);
  m += n;
  if (last && t->n_suffix) memcpy(form + m, t->suffix, t->n_suffix);
  *n_form = m + (last ? t->n_suffix : 0);
  return lrp_vocab_id(&t->vocab, form, *n_form);
}

/* All bytes as <0x..> tokens; false where the vocabulary lacks one (nothing is added) or *memory
 * ran out. */
static bool fall_back(const lrp_tokenizer *t, lrp_bpe *bpe, const char *form, uint32_t n,
                      uint32_t begin, uint32_t end, bool *memory)
{
  if (!t->byte_fallback) return false;
  for (uint32_t i = 0; i < n; i++)
    if (t->byte_id[(uint8_t)form[i]] < 0) return false;
  for (uint32_t i = 0; i < n && *memory; i++)
    *memory = add(bpe, t->byte_id[(uint8_t)form[i]], begin, end);
  return true;
}

/* The word's characters as symbols.  Unknown ones wait until a known one follows, so that fuse_unk
 * can join them. */
static bool characters(const lrp_tokenizer *t, lrp_bpe *bpe, const lrp_text *text,
                       const lrp_piece *piece)
{
  char form[3 * LRP_PIECE_MAX + 4];
  bool memory = true;
  uint32_t length, n_form, unk_begin = GONE, unk_end = 0;
  for (uint32_t i = piece->begin; i < piece->end && memory; i += length) {
    lrp_code_point(text->s, i, piece->end, &length);
    bool last = i + length == piece->end;
    int64_t id = character_id(t, text->s + i, length, i == piece->begin, last, form, &n_form);
    if (id < 0 && fall_back(t, bpe, form, n_form, i, i + length, &memory)) continue;
    if (id < 0 && t->unk < 0) continue;
    if (unk_begin != GONE && (id >= 0 || !t->fuse_unk)) {
      memory = add(bpe, t->unk, unk_begin, unk_end);
      unk_begin = GONE;
    }
    if (id >= 0) {
      memory = memory && add(bpe, id, i, i + length);
    } else {
      if (unk_begin == GONE) unk_begin = i;
      unk_end = i + length;
    }
  }
  return memory && (unk_begin == GONE || add(bpe, t->unk, unk_begin, unk_end));
}

lrp_status lrp_bpe_word(lrp_ctx *ctx, const lrp_tokenizer *t, lrp_bpe *bpe, const lrp_text *text,
                        const lrp_piece *piece, int32_t word, lrp_founds *found)
{
  int64_t whole = t->ignore_merges
                      ? lrp_vocab_id(&t->vocab, text->s + piece->begin, piece->end - piece->begin)
                      : -1;
  if (whole >= 0) {
    lrp_found_put(found, whole, lrp_text_source(text, piece->begin, piece->end), word);
    return LRP_OK;
  }
  bpe->n_symbol = 0;
  if (!characters(t, bpe, text, piece) || !merge_all(t, bpe))
    return lrp_nomem(ctx, "the tokenizer");
  for (uint32_t i = 0; i < bpe->n_symbol; i++) {
    const symbol *s = &bpe->symbol[i];
    if (s->end != GONE) lrp_found_put(found, s->id, lrp_text_source(text, s->begin, s->end), word);
  }
  return LRP_OK;
}
