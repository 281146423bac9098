/* added.c - tokens written verbatim in the text ([MASK], <s>) are cut out before and after
 * normalising. */
#include "text/text.h"

/* The longest pattern at byte i of the piece, or NULL. */
static const lrp_word *longest(const lrp_vocab *patterns, const lrp_text *text, uint32_t i,
                               uint32_t end)
{
  const lrp_word *best = NULL;
  lrp_walk walk = lrp_vocab_start(patterns);
  for (; i < end && lrp_vocab_step(patterns, &walk, (uint8_t)text->s[i]); i++) {
    const lrp_word *word = lrp_vocab_here(patterns, &walk);
    if (word) best = word;
  }
  return best;
}

static bool stands_alone(const lrp_text *text, const lrp_piece *piece, uint32_t begin, uint32_t end)
{
  uint32_t length;
  if (begin > piece->begin && lrp_is_word(lrp_code_point_before(text->s, begin, &length)))
    return false;
  return end == piece->end || !lrp_is_word(lrp_code_point(text->s, end, piece->end, &length));
}

static void cut(const lrp_tokenizer *t, const lrp_vocab *patterns, const lrp_text *text,
                const lrp_piece *piece, lrp_text *out)
{
  uint32_t shift = out->n - piece->begin; /* modulo 2^32 where it is negative */
  lrp_text_copy(out, text, piece->begin, piece->end);
  uint32_t last = piece->begin, i = piece->begin, length;
  while (i < piece->end) {
    const lrp_word *word = longest(patterns, text, i, piece->end);
    if (!word) {
      i++;
      continue;
    }
    const lrp_added *added = &t->added[word->id];
    uint32_t begin = i, end = i + word->n;
    i = end;
    if (added->single_word && !stands_alone(text, piece, begin, end)) continue;
    while (added->lstrip && begin > last &&
           lrp_is_white(lrp_code_point_before(text->s, begin, &length)))
      begin -= length;
    while (added->rstrip && end < piece->end &&
           lrp_is_white(lrp_code_point(text->s, end, piece->end, &length)))
      end += length;
    if (begin < last)
      begin = last; /* a strip to the right took white space that this token starts with */
    if (begin >= end) continue;
    lrp_text_piece(out, last + shift, begin + shift, -1);
    lrp_text_piece(out, begin + shift, end + shift, word->id);
    last = end;
  }
  if (last < piece->end) lrp_text_piece(out, last + shift, piece->end + shift, -1);
}

void lrp_text_cut(const lrp_tokenizer *t, const lrp_vocab *patterns, lrp_text *text,
                  lrp_text *spare)
{
  if (!patterns->n) return;
  lrp_text_clear(spare);
  for (size_t i = 0; i < text->n_piece; i++) {
    const lrp_piece *piece = &text->piece[i];
    uint32_t begin = spare->n;
    if (piece->added < 0) {
      cut(t, patterns, text, piece, spare);
      continue;
    }
    lrp_text_copy(spare, text, piece->begin, piece->end);
    lrp_text_piece(spare, begin, spare->n, piece->added);
  }
  lrp_text_swap(text, spare);
}
