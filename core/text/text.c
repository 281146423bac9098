/* text.c - text in which every byte knows its source, cut into pieces. */
#include "text/text.h"
#include <stdlib.h>
#include <string.h>

void lrp_text_free(lrp_text *text)
{
  free(text->s);
  free(text->at);
  free(text->piece);
  *text = (lrp_text){0};
}

void lrp_text_clear(lrp_text *text)
{
  text->n = 0;
  text->n_piece = 0;
}

void lrp_text_swap(lrp_text *a, lrp_text *b)
{
  lrp_text other = *a;
  *a = *b;
  *b = other;
}

/* Room for more bytes, or .bad is set. */
static bool reserve(lrp_text *text, uint32_t more)
{
  if (text->bad) return false;
  if (more > text->limit - text->n) {
    text->bad = LRP_E_INPUT;
    return false;
  }
  if (text->cap - text->n >= more) return true;
  uint64_t cap = 2 * (uint64_t)text->cap;
  if (cap < (uint64_t)text->n + more) cap = (uint64_t)text->n + more;
  if (cap < 256) cap = 256;
  if (cap > text->limit) cap = text->limit;
  char *s = realloc(text->s, (size_t)cap);
  if (s) text->s = s;
  lrp_span *at = s ? realloc(text->at, (size_t)cap * sizeof *at) : NULL;
  if (!at) {
    text->bad = LRP_E_NOMEM;
    return false;
  }
  text->at = at;
  text->cap = (uint32_t)cap;
  return true;
}

void lrp_text_put(lrp_text *text, int32_t cp, lrp_span source)
{
  utf8proc_uint8_t bytes[4];
  uint32_t n = (uint32_t)utf8proc_encode_char(cp, bytes);
  if (!reserve(text, n)) return;
  memcpy(text->s + text->n, bytes, n);
  for (uint32_t i = 0; i < n; i++)
    text->at[text->n + i] = source;
  text->n += n;
}

void lrp_text_copy(lrp_text *text, const lrp_text *from, uint32_t begin, uint32_t end)
{
  uint32_t n = end - begin;
  if (!n || !reserve(text, n)) return;
  memcpy(text->s + text->n, from->s + begin, n);
  memcpy(text->at + text->n, from->at + begin, n * sizeof *text->at);
  text->n += n;
}

void lrp_text_piece(lrp_text *text, uint32_t begin, uint32_t end, int64_t added)
{
  if (begin == end || text->bad) return;
  if (text->n_piece == text->cap_piece) {
    size_t cap = text->cap_piece ? 2 * text->cap_piece : 64;
    lrp_piece *piece = realloc(text->piece, cap * sizeof *piece);
    if (!piece) {
      text->bad = LRP_E_NOMEM;
      return;
    }
    text->piece = piece;
    text->cap_piece = cap;
  }
  text->piece[text->n_piece++] = (lrp_piece){begin, end, added};
}

lrp_status lrp_text_status(lrp_ctx *ctx, const lrp_text *text)
{
  if (text->bad == LRP_E_INPUT)
    return lrp_fail(ctx, LRP_E_INPUT, "the tokenizer's normalizer lengthens the text past %u bytes",
                    (unsigned)text->limit);
  return text->bad ? lrp_nomem(ctx, "the text") : LRP_OK;
}

int32_t lrp_code_point_before(const char *s, uint32_t at, uint32_t *length)
{
  uint32_t begin = at - 1;
  while (begin && ((uint8_t)s[begin] & 0xc0) == 0x80)
    begin--;
  return lrp_code_point(s, begin, at, length);
}

lrp_span lrp_text_source(const lrp_text *text, uint32_t begin, uint32_t end)
{
  if (begin == end) return (lrp_span){0, 0};
  lrp_span source = {text->at[begin].begin, text->at[end - 1].end};
  if (source.end < source.begin) source.end = source.begin; /* marks that normalising reordered */
  return source;
}

lrp_status lrp_text_well_formed(lrp_ctx *ctx, const char *what, const char *s, size_t n)
{
  for (size_t i = 0; i < n;) {
    if ((uint8_t)s[i] < 0x80) {
      i++;
      continue;
    }
    utf8proc_int32_t cp;
    utf8proc_ssize_t length = utf8proc_iterate((const utf8proc_uint8_t *)s + i,
                                               n - i < 4 ? (utf8proc_ssize_t)(n - i) : 4, &cp);
    if (length <= 0)
      return lrp_fail(ctx, LRP_E_INPUT,
                      "%s is not UTF-8: byte %zu (0x%02x) does not start or continue a character; "
                      "convert it first, for instance with iconv -t UTF-8",
                      what, i, (unsigned)(uint8_t)s[i]);
    i += (size_t)length;
  }
  return LRP_OK;
}

void lrp_edit_put(lrp_edit *edit, int32_t cp, int32_t change)
{
  const lrp_text *from = edit->from;
  if (edit->begin == edit->end) return;
  uint32_t base = from->at[edit->begin].begin;
  if (change > 0) {
    lrp_text_put(edit->to, cp,
                 edit->at > edit->begin ? from->at[edit->at - 1] : (lrp_span){base, base});
    return;
  }
  uint32_t length = 0;
  lrp_text_put(edit->to, cp, from->at[edit->at < edit->end ? edit->at : edit->end - 1]);
  for (int32_t i = change; i <= 0 && edit->at < edit->end; i++) {
    lrp_code_point(from->s, edit->at, edit->end, &length);
    edit->at += length;
  }
}
