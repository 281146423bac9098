/* unigram.c - the model Unigram: the pieces with the largest sum of log probabilities (Kudo 2018),
 * by Viterbi. */
#include "text/text.h"
#include <stdlib.h>
#include <string.h>

typedef struct node { /* the best way to a byte of the word */
  double score;
  uint32_t from;  /* where its last piece starts; UINT32_MAX: no way yet */
  uint32_t place; /* of that piece in the vocabulary; UINT32_MAX: an unknown character */
} node;

static void reach(node *to, double score, uint32_t from, uint32_t place)
{
  if (to->from == UINT32_MAX || score > to->score) *to = (node){score, from, place};
}

static void search(const lrp_tokenizer *t, const char *s, uint32_t n, node *best)
{
  for (uint32_t i = 0; i <= n; i++)
    best[i].from = UINT32_MAX;
  best[0].score = 0;
  for (uint32_t i = 0, length; i < n; i += length) {
    lrp_code_point(s, i, n, &length);
    bool single = false;
    lrp_walk walk = lrp_vocab_start(&t->vocab);
    for (uint32_t k = i; k < n && lrp_vocab_step(&t->vocab, &walk, (uint8_t)s[k]); k++) {
      const lrp_word *piece = lrp_vocab_here(&t->vocab, &walk);
      if (!piece) continue;
      uint32_t place = (uint32_t)(piece - t->vocab.word);
      reach(&best[k + 1], best[i].score + t->score[place], i, place);
      single = single || k + 1 - i == length;
    }
    if (!single) reach(&best[i + length], best[i].score + t->unk_score, i, UINT32_MAX);
  }
}

static bool is_unknown(const lrp_tokenizer *t, const node *at)
{
  return at->place == UINT32_MAX || t->vocab.word[at->place].id == t->unk;
}

/* Unknown characters in a row are one token, or the bytes of byte_fallback. */
static lrp_status put_run(lrp_ctx *ctx, const lrp_tokenizer *t, const lrp_text *text,
                          uint32_t begin, uint32_t end, int32_t word, lrp_founds *found)
{
  lrp_span source = lrp_text_source(text, begin, end);
  int64_t id = lrp_vocab_id(&t->vocab, text->s + begin, end - begin);
  bool bytes = id < 0 && t->byte_fallback;
  for (uint32_t i = begin; i < end && bytes; i++)
    bytes = t->byte_id[(uint8_t)text->s[i]] >= 0;
  if (bytes) {
    for (uint32_t i = begin; i < end; i++)
      lrp_found_put(found, t->byte_id[(uint8_t)text->s[i]], source, word);
    return LRP_OK;
  }
  if (id < 0) id = t->unk;
  if (id < 0)
    return lrp_fail(ctx, LRP_E_INPUT,
                    "%s: \"%.*s\" is not in the vocabulary, and there is no unk_id", t->path,
                    (int)(end - begin > 80 ? 80 : end - begin), text->s + begin);
  lrp_found_put_counted(found, id, text, begin, end, word);
  return LRP_OK;
}

lrp_status lrp_unigram(lrp_ctx *ctx, const lrp_tokenizer *t, const lrp_text *text,
                       const lrp_piece *piece, int32_t word, lrp_founds *found)
{
  uint32_t n = piece->end - piece->begin;
  const char *s = text->s + piece->begin;
  node *best = malloc(((size_t)n + 1) * sizeof *best);
  if (!best) return lrp_nomem(ctx, "the tokenizer");
  search(t, s, n, best);
  /* Turn the chain round: best[i].place of a start i becomes the end of its piece. */
  uint32_t next = n, at = n;
  while (at) {
    uint32_t from = best[at].from;
    bool unknown = is_unknown(t, &best[at]);
    best[at].from = unknown; /* from here on: is the piece that ends here unknown */
    best[at].place = next;   /* and: where the next piece ends */
    next = at;
    at = from;
  }
  lrp_status status = LRP_OK;
  for (uint32_t begin = 0, end = next; begin < n && !status;) {
    uint32_t stop = end;
    while (best[end].from && stop < n && best[best[stop].place].from)
      stop = best[stop].place;
    status = put_run(ctx, t, text, piece->begin + begin, piece->begin + stop, word, found);
    begin = stop;
    end = best[stop].place;
  }
  free(best);
  return status;
}
