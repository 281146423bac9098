/* normalize.c - the normalizers of a tokenizer.json; every byte keeps its source. */
#include "text/text.h"

typedef lrp_status step_fn(lrp_ctx *, const lrp_norm *, const lrp_text *, const lrp_piece *,
                           lrp_text *);

static lrp_edit edit_of(const lrp_text *in, const lrp_piece *piece, lrp_text *out)
{
  return (lrp_edit){in, out, piece->begin, piece->begin, piece->end};
}

/* Copy what drop() leaves. */
static void filter(bool drop(int32_t), const lrp_text *in, const lrp_piece *piece, lrp_text *out)
{
  for (uint32_t i = piece->begin, length; i < piece->end; i += length)
    if (!drop(lrp_code_point(in->s, i, piece->end, &length))) lrp_text_copy(out, in, i, i + length);
}

static bool dropped_by_bert(int32_t cp)
{
  return !cp || cp == 0xfffd || lrp_is_control(cp);
}

static lrp_status clean(lrp_ctx *ctx, const lrp_norm *norm, const lrp_text *in,
                        const lrp_piece *piece, lrp_text *out)
{
  (void)ctx, (void)norm;
  for (uint32_t i = piece->begin, length; i < piece->end; i += length) {
    int32_t cp = lrp_code_point(in->s, i, piece->end, &length);
    if (lrp_is_white(cp) && !dropped_by_bert(cp))
      lrp_text_put(out, ' ', in->at[i]);
    else if (!dropped_by_bert(cp))
      lrp_text_copy(out, in, i, i + length);
  }
  return LRP_OK;
}

static lrp_status space_ideographs(lrp_ctx *ctx, const lrp_norm *norm, const lrp_text *in,
                                   const lrp_piece *piece, lrp_text *out)
{
  (void)ctx, (void)norm;
  lrp_edit edit = edit_of(in, piece, out);
  for (uint32_t i = piece->begin, length; i < piece->end; i += length) {
    int32_t cp = lrp_code_point(in->s, i, piece->end, &length);
    bool spaced = lrp_is_ideograph(cp);
    if (spaced) lrp_edit_put(&edit, ' ', 0);
    lrp_edit_put(&edit, cp, spaced);
    if (spaced) lrp_edit_put(&edit, ' ', 1);
  }
  return LRP_OK;
}

/* The full mapping, without context: only U+0130 gives two code points (SpecialCasing.txt). */
static lrp_status lowercase(lrp_ctx *ctx, const lrp_norm *norm, const lrp_text *in,
                            const lrp_piece *piece, lrp_text *out)
{
  (void)ctx, (void)norm;
  lrp_edit edit = edit_of(in, piece, out);
  for (uint32_t i = piece->begin, length; i < piece->end; i += length) {
    int32_t cp = lrp_code_point(in->s, i, piece->end, &length);
    lrp_edit_put(&edit, cp == 0x130 ? 'i' : utf8proc_tolower(cp), 0);
    if (cp == 0x130) lrp_edit_put(&edit, 0x307, 1);
  }
  return LRP_OK;
}

static lrp_status strip_accents(lrp_ctx *ctx, const lrp_norm *norm, const lrp_text *in,
                                const lrp_piece *piece, lrp_text *out)
{
  (void)ctx;
  filter(norm->kind == LRP_NORM_BERT ? lrp_is_nonspacing : lrp_is_mark, in, piece, out);
  return LRP_OK;
}

static lrp_status unicode_form(lrp_ctx *ctx, const lrp_norm *norm, const lrp_text *in,
                               const lrp_piece *piece, lrp_text *out)
{
  int32_t kind = norm->kind;
  bool compatible = kind == LRP_NORM_NFKC || kind == LRP_NORM_NFKD;
  return lrp_text_decompose(ctx, compatible, kind == LRP_NORM_NFC || kind == LRP_NORM_NFKC, in,
                            piece, out);
}

static void put_string(lrp_text *out, const char *s, uint32_t n, lrp_span source)
{
  for (uint32_t i = 0, length; i < n; i += length)
    lrp_text_put(out, lrp_code_point(s, i, n, &length), source);
}

/* What replaces a match takes the source of the match's last code point. */
static lrp_status replace(lrp_ctx *ctx, const lrp_norm *norm, const lrp_text *in,
                          const lrp_piece *piece, lrp_text *out)
{
  lrp_finder *finder;
  lrp_status status = lrp_finder_new(ctx, norm->regex, &finder);
  if (status) return status;
  uint32_t n = piece->end - piece->begin, last = 0, begin, end, first = in->at[piece->begin].begin;
  lrp_finder_on(finder, in->s + piece->begin, n);
  while (!(status = lrp_finder_next(ctx, finder, &begin, &end)) && begin <= n) {
    lrp_text_copy(out, in, piece->begin + last, piece->begin + begin);
    put_string(out, norm->content, norm->n_content,
               end ? in->at[piece->begin + end - 1] : (lrp_span){first, first});
    last = end;
  }
  if (!status) lrp_text_copy(out, in, piece->begin + last, piece->end);
  lrp_finder_free(finder);
  return status;
}

static lrp_status prepend(lrp_ctx *ctx, const lrp_norm *norm, const lrp_text *in,
                          const lrp_piece *piece, lrp_text *out)
{
  (void)ctx;
  put_string(out, norm->content, norm->n_content, in->at[piece->begin]);
  lrp_text_copy(out, in, piece->begin, piece->end);
  return LRP_OK;
}

static lrp_status strip(lrp_ctx *ctx, const lrp_norm *norm, const lrp_text *in,
                        const lrp_piece *piece, lrp_text *out)
{
  (void)ctx;
  uint32_t begin = piece->begin, end = piece->end, length;
  while (norm->left && begin < end && lrp_is_white(lrp_code_point(in->s, begin, end, &length)))
    begin += length;
  while (norm->right && begin < end && lrp_is_white(lrp_code_point_before(in->s, end, &length)))
    end -= length;
  lrp_text_copy(out, in, begin, end);
  return LRP_OK;
}

static lrp_status byte_level(lrp_ctx *ctx, const lrp_norm *norm, const lrp_text *in,
                             const lrp_piece *piece, lrp_text *out)
{
  (void)ctx, (void)norm;
  for (uint32_t i = piece->begin; i < piece->end; i++)
    lrp_text_put(out, lrp_byte_letter((uint8_t)in->s[i]), in->at[i]);
  return LRP_OK;
}

/* SentencePiece's rule for translation: controls go, blanks of all kinds become spaces. */
static lrp_status nmt(lrp_ctx *ctx, const lrp_norm *norm, const lrp_text *in,
                      const lrp_piece *piece, lrp_text *out)
{
  (void)ctx, (void)norm;
  for (uint32_t i = piece->begin, length; i < piece->end; i += length) {
    int32_t cp = lrp_code_point(in->s, i, piece->end, &length);
    if ((cp >= 1 && cp <= 8) || cp == 0xb || (cp >= 0xe && cp <= 0x1f) || cp == 0x7f ||
        cp == 0x8f || cp == 0x9f)
      continue;
    if ((cp >= 9 && cp <= 0xd) || cp == 0x1680 || (cp >= 0x200b && cp <= 0x200f) || cp == 0x2028 ||
        cp == 0x2029 || cp == 0x2581 || cp == 0xfeff || cp == 0xfffd)
      lrp_text_put(out, ' ', in->at[i]);
    else
      lrp_text_copy(out, in, i, i + length);
  }
  return LRP_OK;
}

static lrp_status apply(lrp_ctx *ctx, step_fn *step, const lrp_norm *norm, lrp_text *text,
                        lrp_text *spare)
{
  lrp_text_clear(spare);
  for (size_t i = 0; i < text->n_piece; i++) {
    const lrp_piece *piece = &text->piece[i];
    uint32_t begin = spare->n;
    lrp_status status = LRP_OK;
    if (piece->added >= 0)
      lrp_text_copy(spare, text, piece->begin, piece->end);
    else
      status = step(ctx, norm, text, piece, spare);
    if (status) return status;
    lrp_text_piece(spare, begin, spare->n, piece->added);
  }
  lrp_text_swap(text, spare);
  return lrp_text_status(ctx, text);
}

static lrp_status bert(lrp_ctx *ctx, const lrp_norm *norm, lrp_text *text, lrp_text *spare)
{
  lrp_norm nfd = {.kind = LRP_NORM_NFD};
  lrp_status status = LRP_OK;
  if (norm->clean) status = apply(ctx, clean, norm, text, spare);
  if (!status && norm->ideographs) status = apply(ctx, space_ideographs, norm, text, spare);
  if (!status && norm->accents) status = apply(ctx, unicode_form, &nfd, text, spare);
  if (!status && norm->accents) status = apply(ctx, strip_accents, norm, text, spare);
  if (!status && norm->lowercase) status = apply(ctx, lowercase, norm, text, spare);
  return status;
}

lrp_status lrp_text_normalize(lrp_ctx *ctx, const lrp_norm *norm, uint32_t n, lrp_text *text,
                              lrp_text *spare)
{
  static step_fn *const steps[] = {
      [LRP_NORM_NFC] = unicode_form,
      [LRP_NORM_NFD] = unicode_form,
      [LRP_NORM_NFKC] = unicode_form,
      [LRP_NORM_NFKD] = unicode_form,
      [LRP_NORM_LOWERCASE] = lowercase,
      [LRP_NORM_STRIP_ACCENTS] = strip_accents,
      [LRP_NORM_REPLACE] = replace,
      [LRP_NORM_PREPEND] = prepend,
      [LRP_NORM_STRIP] = strip,
      [LRP_NORM_BYTE_LEVEL] = byte_level,
      [LRP_NORM_NMT] = nmt,
      [LRP_NORM_PRECOMPILED] = lrp_text_precompiled,
  };
  for (uint32_t i = 0; i < n; i++) {
    lrp_status status = norm[i].kind == LRP_NORM_BERT
                            ? bert(ctx, &norm[i], text, spare)
                            : apply(ctx, steps[norm[i].kind], &norm[i], text, spare);
    if (status) return status;
  }
  return LRP_OK;
}
