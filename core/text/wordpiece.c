/* wordpiece.c - the models WordLevel (a word is a token) and WordPiece (longest match first, all or
 * nothing). */
#include "text/text.h"
#include <stdlib.h>

void lrp_found_put(lrp_founds *found, int64_t id, lrp_span source, int32_t word)
{
  if (found->bad) return;
  if (found->n == found->cap) {
    size_t cap = found->cap ? 2 * found->cap : 64;
    lrp_found *more = realloc(found->token, cap * sizeof *more);
    if (!more) {
      found->bad = true;
      return;
    }
    found->token = more;
    found->cap = cap;
  }
  found->token[found->n++] = (lrp_found){.id = id, .source = source, .word = word};
}

static lrp_status put_unknown(lrp_ctx *ctx, const lrp_tokenizer *t, const lrp_text *text,
                              const lrp_piece *piece, int32_t word, lrp_founds *found)
{
  if (t->unk < 0)
    return lrp_fail(ctx, LRP_E_INPUT,
                    "%s: the word \"%.*s\" is not in the vocabulary, and neither is an unk_token",
                    t->path, (int)(piece->end - piece->begin > 80 ? 80 : piece->end - piece->begin),
                    text->s + piece->begin);
  lrp_found_put(found, t->unk, lrp_text_source(text, piece->begin, piece->end), word);
  return LRP_OK;
}

lrp_status lrp_wordlevel(lrp_ctx *ctx, const lrp_tokenizer *t, const lrp_text *text,
                         const lrp_piece *piece, int32_t word, lrp_founds *found)
{
  int64_t id = lrp_vocab_id(&t->vocab, text->s + piece->begin, piece->end - piece->begin);
  if (id < 0) return put_unknown(ctx, t, text, piece, word, found);
  lrp_found_put(found, id, lrp_text_source(text, piece->begin, piece->end), word);
  return LRP_OK;
}

/* The longest word of the vocabulary at byte i of the text, after the walk's bytes; *end: where it
 * ends. */
static const lrp_word *longest(const lrp_vocab *v, lrp_walk walk, const lrp_text *text, uint32_t i,
                               uint32_t n, uint32_t *end)
{
  const lrp_word *best = NULL;
  while (i < n && lrp_vocab_step(v, &walk, (uint8_t)text->s[i])) {
    i++;
    const lrp_word *here = lrp_vocab_here(v, &walk);
    if (here) {
      best = here;
      *end = i;
    }
  }
  return best;
}

lrp_status lrp_wordpiece(lrp_ctx *ctx, const lrp_tokenizer *t, const lrp_text *text,
                         const lrp_piece *piece, int32_t word, lrp_founds *found)
{
  int64_t chars = 0;
  for (uint32_t i = piece->begin; i < piece->end; i++)
    chars += ((uint8_t)text->s[i] & 0xc0) != 0x80;
  size_t before = found->n;
  uint32_t i = chars > t->max_chars ? UINT32_MAX : piece->begin, end = 0;
  while (i < piece->end) {
    lrp_walk walk = i == piece->begin ? lrp_vocab_start(&t->vocab) : t->inside;
    const lrp_word *best =
        walk.lo < walk.hi ? longest(&t->vocab, walk, text, i, piece->end, &end) : NULL;
    if (!best) break;
    lrp_found_put(found, best->id, lrp_text_source(text, i, end), word);
    i = end;
  }
  if (i == piece->end) return LRP_OK;
  if (!found->bad) found->n = before;
  return put_unknown(ctx, t, text, piece, word, found);
}
