/* wordbreak.c - words of a text by the default word boundaries of Unicode (UAX 29, section 4), and
 * the words of tokens: tokens belong together where their bytes stand in one word, whatever marks a
 * tokenizer writes into their names.
 *
 * The property Word_Break is derived from general categories and short lists, as UAX 29's table 3
 * defines it: utf8proc has no table of it. */
#include "text/wordbreak.h"
#include "core.h"
#include "text/text.h"
#include <stdlib.h>

typedef enum wb {
  OTHER,
  NEWLINE,
  CARRIAGE,
  LINE_FEED,
  EXTEND, /* with Format: both are passed over by rule 4 */
  JOINER,
  FLAG, /* Regional_Indicator */
  KATAKANA,
  HEBREW,
  LETTER,
  SINGLE_QUOTE,
  DOUBLE_QUOTE,
  MID_NUM_LET,
  MID_LETTER,
  MID_NUM,
  NUMERIC,
  CONNECTOR, /* ExtendNumLet */
  BLANK      /* WSegSpace */
} wb;

typedef struct range {
  int32_t first, last;
} range;

static bool within(int32_t c, const range *r, size_t n)
{
  size_t low = 0;
  while (low < n) { /* sorted */
    const size_t mid = (low + n) / 2;
    if (c > r[mid].last)
      low = mid + 1;
    else
      n = mid;
  }
  return c >= r[low].first && c <= r[low].last;
}
/* The last range is a guard, which no code point is in. */
#define IN(c, r) within(c, r, sizeof(r) / sizeof *(r)-1)
#define GUARD                                                                                      \
  {                                                                                                \
    INT32_MAX, INT32_MAX                                                                           \
  }

static bool is_katakana(int32_t c)
{
  static const range r[] = {
      {0x3031, 0x3035},   {0x309b, 0x309c},   {0x30a0, 0x30fa},   {0x30fc, 0x30ff},
      {0x31f0, 0x31ff},   {0x32d0, 0x32fe},   {0x3300, 0x3357},   {0xff66, 0xff9d},
      {0x1aff0, 0x1aff3}, {0x1aff5, 0x1affb}, {0x1affd, 0x1affe}, {0x1b000, 0x1b000},
      {0x1b120, 0x1b122}, {0x1b155, 0x1b155}, {0x1b164, 0x1b167}, GUARD};
  return IN(c, r);
}

/* Letters that are no ALetter: ideographs, Hiragana, and the scripts whose words only a dictionary
 * finds (Line_Break = Complex_Context). */
static bool stands_alone(int32_t c)
{
  static const range r[] = {{0xe01, 0xe3a},
                            {0xe40, 0xe4e},
                            {0xe81, 0xebd},
                            {0xec0, 0xecd},
                            {0xedc, 0xedf},
                            {0x1000, 0x103f},
                            {0x1050, 0x108f},
                            {0x109a, 0x109f},
                            {0x1780, 0x17d3},
                            {0x17d7, 0x17d7},
                            {0x17dc, 0x17dd},
                            {0x1950, 0x1974},
                            {0x1980, 0x19c9},
                            {0x19da, 0x19df},
                            {0x1a20, 0x1a7c},
                            {0x1aa0, 0x1aad},
                            {0x3005, 0x3007},
                            {0x3021, 0x3029},
                            {0x3038, 0x303c},
                            {0x3041, 0x3096},
                            {0x309d, 0x309f},
                            {0x3400, 0x4dbf},
                            {0x4e00, 0x9fff},
                            {0xa9e0, 0xa9ef},
                            {0xa9fa, 0xa9fe},
                            {0xaa60, 0xaac2},
                            {0xaadb, 0xaadf},
                            {0xf900, 0xfaff},
                            {0x11700, 0x1172b},
                            {0x1173a, 0x1173b},
                            {0x1173f, 0x11746},
                            {0x16fe4, 0x16fe4},
                            {0x17000, 0x18cd5},
                            {0x18d00, 0x18d08},
                            {0x1b001, 0x1b11f},
                            {0x1b132, 0x1b132},
                            {0x1b150, 0x1b152},
                            {0x1b170, 0x1b2fb},
                            {0x1f200, 0x1f200},
                            {0x20000, 0x3ffff},
                            GUARD};
  if (c == 0x3005 || c == 0x303b || c == 0x303c) return false; /* iteration marks, masu */
  return IN(c, r);
}

/* Neither letter nor mark by category, and yet ALetter. */
static bool is_odd_letter(int32_t c)
{
  static const range r[] = {
      {0x2c2, 0x2c5},     {0x2d2, 0x2d7},     {0x2de, 0x2df},     {0x2e5, 0x2eb},
      {0x2ed, 0x2ed},     {0x2ef, 0x2ff},     {0x55a, 0x55c},     {0x55e, 0x55e},
      {0x58a, 0x58a},     {0x5f3, 0x5f3},     {0x70f, 0x70f},     {0x24b6, 0x24e9},
      {0xa708, 0xa716},   {0xa720, 0xa721},   {0xa789, 0xa78a},   {0xab5b, 0xab5b},
      {0x1f130, 0x1f149}, {0x1f150, 0x1f169}, {0x1f170, 0x1f189}, GUARD};
  return IN(c, r);
}

static wb sign_of(int32_t c)
{
  switch (c) {
  case '\r':
    return CARRIAGE;
  case '\n':
    return LINE_FEED;
  case 0x0b:
  case 0x0c:
  case 0x85:
  case 0x2028:
  case 0x2029:
    return NEWLINE;
  case 0x27:
    return SINGLE_QUOTE;
  case 0x22:
    return DOUBLE_QUOTE;
  case 0x2e:
  case 0x2018:
  case 0x2019:
  case 0x2024:
  case 0xfe52:
  case 0xff07:
  case 0xff0e:
    return MID_NUM_LET;
  case 0x3a:
  case 0xb7:
  case 0x387:
  case 0x55f:
  case 0x5f4:
  case 0x2027:
  case 0xfe13:
  case 0xfe55:
  case 0xff1a:
    return MID_LETTER;
  case 0x2c:
  case 0x3b:
  case 0x37e:
  case 0x589:
  case 0x60c:
  case 0x60d:
  case 0x66c:
  case 0x7f8:
  case 0x2044:
  case 0xfe50:
  case 0xfe54:
  case 0xff0c:
  case 0xff1b:
    return MID_NUM;
  case 0x66b:
  case 0x6dd: /* the signs that stand around Arabic numbers */
  case 0x600:
  case 0x601:
  case 0x602:
  case 0x603:
  case 0x604:
  case 0x605:
  case 0x890:
  case 0x891:
  case 0x8e2:
  case 0x110bd:
  case 0x110cd:
  case 0x19da:
    return NUMERIC;
  case 0x202f:
    return CONNECTOR;
  case 0x200b:
    return OTHER;
  case 0x200d:
    return JOINER;
  default:
    return OTHER;
  }
}

static wb class_of(int32_t c)
{
  if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) return LETTER;
  const wb sign = sign_of(c);
  if (sign != OTHER || c == 0x200b) return sign;
  const utf8proc_property_t *p = utf8proc_get_property(c);
  if (p->boundclass == UTF8PROC_BOUNDCLASS_EXTEND) return EXTEND;
  if (p->boundclass == UTF8PROC_BOUNDCLASS_REGIONAL_INDICATOR) return FLAG;
  if (is_katakana(c)) return KATAKANA;
  if (is_odd_letter(c)) return LETTER;
  switch (p->category) {
  case UTF8PROC_CATEGORY_MN:
  case UTF8PROC_CATEGORY_MC:
  case UTF8PROC_CATEGORY_ME:
  case UTF8PROC_CATEGORY_CF:
    return EXTEND;
  case UTF8PROC_CATEGORY_ND:
    return NUMERIC;
  case UTF8PROC_CATEGORY_PC:
    return CONNECTOR;
  case UTF8PROC_CATEGORY_ZS:
    return c == 0xa0 || c == 0x2007 ? OTHER : BLANK;
  case UTF8PROC_CATEGORY_LO:
    if ((c >= 0x5d0 && c <= 0x5f2) || (c >= 0xfb1d && c <= 0xfb4f)) return HEBREW;
    return stands_alone(c) ? OTHER : LETTER;
  case UTF8PROC_CATEGORY_LU:
  case UTF8PROC_CATEGORY_LL:
  case UTF8PROC_CATEGORY_LT:
  case UTF8PROC_CATEGORY_LM:
  case UTF8PROC_CATEGORY_NL:
    return stands_alone(c) ? OTHER : LETTER;
  default:
    return OTHER;
  }
}

static bool is_letter(wb k)
{
  return k == LETTER || k == HEBREW;
}

static bool is_picture(int32_t c)
{
  return utf8proc_get_property(c)->boundclass == UTF8PROC_BOUNDCLASS_EXTENDED_PICTOGRAPHIC;
}

/* The next code point's class, and that of the one behind it, where rules 6, 7b and 12 look. */
typedef struct reader {
  const char *s;
  size_t n;
} reader;

static int32_t code_at(const reader *r, size_t at, size_t *length)
{
  utf8proc_int32_t c;
  const utf8proc_ssize_t k =
      utf8proc_iterate((const utf8proc_uint8_t *)r->s + at, (utf8proc_ssize_t)(r->n - at), &c);
  *length = k > 0 ? (size_t)k : 1;
  return k > 0 ? c : 0xfffd;
}

/* Behind `at`, past what rule 4 passes over; OTHER at the end. */
static wb class_after(const reader *r, size_t at)
{
  while (at < r->n) {
    size_t length;
    const wb k = class_of(code_at(r, at, &length));
    if (k != EXTEND && k != JOINER) return k;
    at += length;
  }
  return OTHER;
}

/* Only behind these is it looked further, so that the work stays linear. */
static bool is_mid(wb k)
{
  return k >= SINGLE_QUOTE && k <= MID_NUM;
}

/* Do rules 5 to 13b hold a and b together?  after: behind b.  before: in front of a, where a was
 * taken for the sake of what follows (rules 7, 7c, 11). */
static bool joined(wb before, wb a, wb b, wb after)
{
  const bool mid = b == MID_NUM_LET || b == SINGLE_QUOTE;
  if (is_letter(a) && (is_letter(b) || b == NUMERIC)) return true;               /* 5, 9 */
  if (is_letter(a) && (mid || b == MID_LETTER) && is_letter(after)) return true; /* 6 */
  if (a == HEBREW && b == SINGLE_QUOTE) return true;                             /* 7a */
  if (a == HEBREW && b == DOUBLE_QUOTE && after == HEBREW) return true;          /* 7b */
  if (a == DOUBLE_QUOTE && before == HEBREW && b == HEBREW) return true;         /* 7c */
  if (a == NUMERIC && (b == NUMERIC || is_letter(b))) return true;               /* 8, 10 */
  if (a == NUMERIC && (mid || b == MID_NUM) && after == NUMERIC) return true;    /* 12 */
  if (a == KATAKANA && b == KATAKANA) return true;                               /* 13 */
  if (b == CONNECTOR && (is_letter(a) || a == NUMERIC || a == KATAKANA || a == CONNECTOR))
    return true;                                                                      /* 13a */
  if (a == CONNECTOR && (is_letter(b) || b == NUMERIC || b == KATAKANA)) return true; /* 13b */
  const bool was_mid = a == MID_NUM_LET || a == SINGLE_QUOTE;
  if ((was_mid || a == MID_LETTER) && is_letter(before) && is_letter(b)) return true; /* 7 */
  return (was_mid || a == MID_NUM) && before == NUMERIC && b == NUMERIC;              /* 11 */
}

size_t lrp_word_end(const char *s, size_t n, size_t begin)
{
  const reader r = {s, n};
  size_t length, at = begin, flags = 0;
  wb before = OTHER, a = OTHER, last = OTHER; /* last: also of what rule 4 passes over */
  if (begin >= n) return n;
  for (bool first = true; at < n; first = false, at += length) {
    const int32_t c = code_at(&r, at, &length);
    const wb k = class_of(c);
    if (!first) {
      const bool line = last == CARRIAGE || last == LINE_FEED || last == NEWLINE;
      if (last == CARRIAGE && k == LINE_FEED) { /* 3 */
        last = k;
        continue;
      }
      if (line || k == CARRIAGE || k == LINE_FEED || k == NEWLINE) return at; /* 3a, 3b */
      const bool skipped = k == EXTEND || k == JOINER;                        /* 4 */
      const bool held = skipped || (last == JOINER && is_picture(c)) ||       /* 3c */
                        (last == BLANK && k == BLANK) ||                      /* 3d */
                        joined(before, a, k, is_mid(k) ? class_after(&r, at + length) : OTHER) ||
                        (a == FLAG && k == FLAG && flags % 2); /* 15, 16 */
      if (!held) return at;
      last = k;
      if (skipped) continue;
    }
    flags += k == FLAG;
    before = a;
    a = last = k;
  }
  return n;
}

/* ---- the words of tokens ---- */

/* Which word each byte is in; NULL: no memory. */
static uint32_t *words_of(const char *s, size_t n)
{
  uint32_t *word = n < SIZE_MAX / sizeof *word ? malloc(n * sizeof *word) : NULL, k = 0;
  for (size_t at = 0; word && at < n; k++)
    for (const size_t end = lrp_word_end(s, n, at); at < end; at++)
      word[at] = k;
  return word;
}

/* Without white space at both ends; false: there is nothing else. */
static bool trim(const char *s, uint32_t *begin, uint32_t *end)
{
  uint32_t length;
  while (*begin < *end && lrp_is_white(lrp_code_point(s, *begin, *end, &length)))
    *begin += length;
  while (*begin < *end && lrp_is_white(lrp_code_point_before(s, *end, &length)))
    *end -= length;
  return *begin < *end;
}

lrp_status lrp_word_tokens(lrp_ctx *ctx, const char *s, size_t n, lrp_token *token, int64_t n_token)
{
  uint32_t *word = words_of(s, n);
  int64_t last = -1; /* word of the text in which the words so far end */
  int32_t now = -1;
  if (!word && n) return lrp_nomem(ctx, "the words of a text");
  for (int64_t i = 0; i < n_token; i++) {
    uint32_t begin = token[i].begin, end = token[i].end;
    token[i].word = -1;
    if (token[i].special || begin >= end || end > n || !trim(s, &begin, &end)) continue;
    const int64_t first = word[begin], until = word[end - 1];
    if (now < 0 || first > last) now++;
    token[i].word = now;
    last = until > last ? until : last;
  }
  free(word);
  return LRP_OK;
}
