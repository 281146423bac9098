/* split.c - the pre-tokenizers of a tokenizer.json: pieces become words. */
#include "text/text.h"
#include <string.h>

/* Gathers alternating parts, matched and not, and turns them into pieces as the behaviour says. */
typedef struct cutter {
  const lrp_text *in;
  lrp_text *out;
  int32_t behavior;
  bool invert;
  uint32_t base;       /* of this piece in out */
  uint32_t begin, end; /* part held back, relative to base */
  bool held, held_match, previous;
} cutter;

static void release(cutter *c)
{
  if (c->held) lrp_text_piece(c->out, c->base + c->begin, c->base + c->end, -1);
  c->held = false;
}

static void hold(cutter *c, uint32_t begin, uint32_t end, bool match)
{
  c->begin = begin;
  c->end = end;
  c->held = true;
  c->held_match = match;
}

/* MergedWithPrevious and Contiguous extend the part before; MergedWithNext holds a match back until
 * its next part. */
static void part(cutter *c, uint32_t begin, uint32_t end, bool match)
{
  match = match != c->invert;
  bool join = false;
  if (c->behavior == LRP_CONTIGUOUS) join = match == c->previous;
  if (c->behavior == LRP_MERGED_WITH_PREVIOUS) join = match && !c->previous;
  if (c->behavior == LRP_MERGED_WITH_NEXT) join = c->held && c->held_match && !match;
  c->previous = match;
  if (join && c->held) {
    c->end = end;
    c->held_match = match;
    return;
  }
  release(c);
  if (!(match && c->behavior == LRP_REMOVED)) hold(c, begin, end, match);
}

typedef bool class_fn(int32_t);

/* Each code point of the class is a match of its own. */
static void cut_class(cutter *c, class_fn *is, uint32_t n)
{
  const char *s = c->out->s + c->base;
  uint32_t last = 0;
  for (uint32_t i = 0, length; i < n; i += length) {
    if (!is(lrp_code_point(s, i, n, &length))) continue;
    if (last < i) part(c, last, i, false);
    last = i + length;
    part(c, i, last, true);
  }
  if (last < n) part(c, last, n, false);
  release(c);
}

/* Runs of \w, and runs of what is neither \w nor white, are words; the rest is dropped. */
static void cut_words(cutter *c, uint32_t n)
{
  const char *s = c->out->s + c->base;
  int run = 0;
  uint32_t last = 0;
  for (uint32_t i = 0, length; i < n; i += length) {
    int32_t cp = lrp_code_point(s, i, n, &length);
    int kind = lrp_is_word(cp) ? 1 : lrp_is_white(cp) ? 0 : 2;
    if (kind == run) continue;
    if (run) lrp_text_piece(c->out, c->base + last, c->base + i, -1);
    run = kind;
    last = i;
  }
  if (run) lrp_text_piece(c->out, c->base + last, c->base + n, -1);
}

static lrp_status cut_regex(lrp_ctx *ctx, cutter *c, const lrp_regex *regex, uint32_t n)
{
  lrp_finder *finder;
  lrp_status status = lrp_finder_new(ctx, regex, &finder);
  if (status) return status;
  uint32_t last = 0, begin, end;
  lrp_finder_on(finder, c->out->s + c->base, n);
  while (!(status = lrp_finder_next(ctx, finder, &begin, &end)) && begin <= n) {
    if (last != begin) part(c, last, begin, false);
    part(c, begin, end, true);
    last = end;
  }
  if (!status && last != n) part(c, last, n, false);
  if (!status) release(c);
  lrp_finder_free(finder);
  return status;
}

static bool starts_with(const lrp_text *text, const lrp_piece *piece, int32_t cp)
{
  uint32_t length;
  return lrp_code_point(text->s, piece->begin, piece->end, &length) == cp;
}

static void metaspace_copy(const lrp_split *split, const lrp_text *in, const lrp_piece *piece,
                           lrp_text *out)
{
  bool prefixed = starts_with(in, piece, ' ') || starts_with(in, piece, split->replacement);
  bool first = split->prepend == LRP_PREPEND_ALWAYS || !in->at[piece->begin].begin;
  if (!prefixed && split->prepend != LRP_PREPEND_NEVER && first)
    lrp_text_put(out, split->replacement, in->at[piece->begin]);
  uint32_t last = piece->begin;
  for (uint32_t i = piece->begin; i < piece->end; i++) {
    if (in->s[i] != ' ') continue;
    lrp_text_copy(out, in, last, i);
    lrp_text_put(out, split->replacement, in->at[i]);
    last = i + 1;
  }
  lrp_text_copy(out, in, last, piece->end);
}

static void metaspace_cut(cutter *c, int32_t replacement, uint32_t n)
{
  const char *s = c->out->s + c->base;
  uint32_t last = 0;
  for (uint32_t i = 0, length; i < n; i += length) {
    if (lrp_code_point(s, i, n, &length) != replacement) continue;
    if (last < i) part(c, last, i, false);
    last = i + length;
    part(c, i, last, true);
  }
  if (last < n) part(c, last, n, false);
  release(c);
}

static lrp_status one(lrp_ctx *ctx, const lrp_split *split, const lrp_text *in,
                      const lrp_piece *piece, lrp_text *out)
{
  cutter c = {
      .in = in, .out = out, .behavior = split->behavior, .invert = split->invert, .base = out->n};
  if (split->kind == LRP_SPLIT_METASPACE)
    metaspace_copy(split, in, piece, out);
  else if (split->kind == LRP_SPLIT_BYTE_LEVEL && split->prefix_space &&
           !starts_with(in, piece, ' '))
    lrp_text_put(out, ' ', in->at[piece->begin]);
  if (split->kind != LRP_SPLIT_METASPACE) lrp_text_copy(out, in, piece->begin, piece->end);
  if (out->bad) return LRP_OK;
  uint32_t n = out->n - c.base;
  switch (split->kind) {
  case LRP_SPLIT_WORDS:
    cut_words(&c, n);
    break;
  case LRP_SPLIT_WHITE:
    cut_class(&c, lrp_is_white, n);
    break;
  case LRP_SPLIT_PUNCTUATION:
    cut_class(&c, lrp_is_punctuation, n);
    break;
  case LRP_SPLIT_DIGITS:
    cut_class(&c, lrp_is_number, n);
    break;
  case LRP_SPLIT_METASPACE:
    if (split->split)
      metaspace_cut(&c, split->replacement, n);
    else
      lrp_text_piece(out, c.base, out->n, -1);
    break;
  default: /* LRP_SPLIT_REGEX, LRP_SPLIT_BYTE_LEVEL */
    if (split->regex) return cut_regex(ctx, &c, split->regex, n);
    lrp_text_piece(out, c.base, out->n, -1);
  }
  return LRP_OK;
}

static lrp_status apply(lrp_ctx *ctx, const lrp_split *split, lrp_text *text, lrp_text *spare)
{
  lrp_text_clear(spare);
  for (size_t i = 0; i < text->n_piece; i++) {
    const lrp_piece *piece = &text->piece[i];
    uint32_t begin = spare->n;
    if (piece->added >= 0) {
      lrp_text_copy(spare, text, piece->begin, piece->end);
      lrp_text_piece(spare, begin, spare->n, piece->added);
      continue;
    }
    lrp_status status = one(ctx, split, text, piece, spare);
    if (status) return status;
  }
  lrp_text_swap(text, spare);
  return lrp_text_status(ctx, text);
}

lrp_status lrp_text_split(lrp_ctx *ctx, const lrp_split *split, uint32_t n, lrp_text *text,
                          lrp_text *spare)
{
  static const lrp_norm to_bytes = {.kind = LRP_NORM_BYTE_LEVEL};
  static const lrp_split white = {.kind = LRP_SPLIT_WHITE, .behavior = LRP_REMOVED},
                         punctuation = {.kind = LRP_SPLIT_PUNCTUATION, .behavior = LRP_ISOLATED};
  for (uint32_t i = 0; i < n; i++) {
    lrp_status status;
    if (split[i].kind == LRP_SPLIT_BERT) {
      status = apply(ctx, &white, text, spare);
      if (!status) status = apply(ctx, &punctuation, text, spare);
    } else {
      status = apply(ctx, &split[i], text, spare);
    }
    if (!status && split[i].kind == LRP_SPLIT_BYTE_LEVEL)
      status = lrp_text_normalize(ctx, &to_bytes, 1, text, spare);
    if (status) return status;
  }
  return LRP_OK;
}
