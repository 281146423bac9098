/* regex.c - the expressions of a tokenizer.json through PCRE2, with limits, in Oniguruma's reading
 * of them. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/text.h"
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

enum { MATCH_LIMIT = 100000, DEPTH_LIMIT = 10000, HEAP_KIB = 65536 }; /* for one start of a match */

struct lrp_regex {
  pcre2_code *code; /* NULL: literal */
  const char *path;
  char *literal;
  uint32_t n_literal;
};
struct lrp_finder {
  const lrp_regex *regex;
  pcre2_match_data *data;
  pcre2_match_context *limits;
  const char *s;
  uint32_t n, at, last_end;
};

/* \w and \s as Oniguruma has them; PCRE2's own are a little different (marks, circled letters,
 * U+180E). */
#define WHITE_CLASS                                                                                \
  "\\x09-\\x0d\\x20\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}" \
  "\\x{3000}"
#define WORD_CLASS                                                                                 \
  "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\x{24b6}-\\x{24e9}\\x{1f130}-\\x{1f149}\\x{1f150}-\\x{1f169}" \
  "\\x{1f170}-\\x{1f189}"
#define WORD_ALONE                                                                                 \
  WORD_CLASS "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}" /* outside a class it has these, too */
#define WORD_EDGE                                                                                  \
  "(?:(?<=[" WORD_ALONE "])(?![" WORD_ALONE "])|(?<![" WORD_ALONE "])(?=[" WORD_ALONE "]))"
#define NO_EDGE "(?!" WORD_EDGE ")"

/* What is written for \w, \W, \s, \S, \b and \B; NULL: as it is. */
static const char *class_text(char letter, bool in_class)
{
  switch (letter) {
  case 'w':
    return in_class ? WORD_CLASS : "[" WORD_ALONE "]";
  case 's':
    return in_class ? WHITE_CLASS : "[" WHITE_CLASS "]";
  case 'W':
    return in_class ? NULL : "[^" WORD_ALONE "]";
  case 'S':
    return in_class ? NULL : "[^" WHITE_CLASS "]";
  case 'b':
    return in_class ? NULL : WORD_EDGE;
  case 'B':
    return in_class ? NULL : NO_EDGE;
  default:
    return NULL;
  }
}

typedef struct scan {
  const char *s; /* the expression */
  size_t n, i;
  char *out; /* what PCRE2 gets */
  size_t m;
  bool in_class;
  const char *bad; /* what the two engines read differently */
} scan;

static char peek(const scan *x, size_t ahead)
{
  return x->i + ahead < x->n ? x->s[x->i + ahead] : '\0';
}

static void pass(scan *x)
{
  x->out[x->m++] = x->s[x->i++];
}

static void pass_escape(scan *x)
{
  char letter = peek(x, 1);
  const char *text = class_text(letter, x->in_class);
  if (!letter || strchr("hHKQRX", letter) || (letter == 'W' && x->in_class))
    x->bad = "\\h, \\K, \\Q, \\R, \\X or [\\W]";
  if (!text) {
    pass(x);
    if (x->i < x->n) pass(x);
    return;
  }
  size_t length = strlen(text);
  memcpy(x->out + x->m, text, length);
  x->m += length;
  x->i += 2;
}

static void pass_in_class(scan *x)
{
  char c = peek(x, 0);
  if (c == '[' && peek(x, 1) == ':') /* [:alpha:] as a whole */
    while (x->i + 1 < x->n && peek(x, 0) != ']')
      pass(x);
  else if (c == '[' || (c == '&' && peek(x, 1) == '&'))
    x->bad = "a class inside a class";
  x->in_class = c != ']';
  pass(x);
}

static void pass_outside(scan *x)
{
  char c = peek(x, 0);
  if (c == '(' && peek(x, 1) == '*') x->bad = "(*";
  if (c == '(' && peek(x, 1) == '?') {
    size_t k = 2;
    while (peek(x, k) && strchr("imsx-", peek(x, k)))
      if (peek(x, k++) == 'm') x->bad = "(?m";
  }
  pass(x);
  if (c != '[') return;
  x->in_class = true;
  if (peek(x, 0) == '^') pass(x);
  if (peek(x, 0) == ']') pass(x);
}

/* PCRE2 text of an expression, malloc'ed; NULL: no memory. */
static char *translate(const char *pattern, size_t n, size_t *n_out, const char **bad)
{
  scan x = {.s = pattern, .n = n};
  x.out = malloc(n * (sizeof NO_EDGE + sizeof WHITE_CLASS) + 1);
  while (x.out && x.i < n) {
    if (pattern[x.i] == '\\')
      pass_escape(&x);
    else if (x.in_class)
      pass_in_class(&x);
    else
      pass_outside(&x);
  }
  *n_out = x.m;
  *bad = x.bad;
  return x.out;
}

static lrp_status compile(lrp_ctx *ctx, lrp_regex *regex, const char *pattern, size_t n)
{
  const char *bad = NULL;
  size_t n_text = 0;
  char *text = translate(pattern, n, &n_text, &bad);
  if (!text) return lrp_nomem(ctx, "an expression");
  lrp_status status = LRP_OK;
  int code = 0;
  PCRE2_SIZE at = 0;
  if (bad) {
    status = lrp_fail(ctx, LRP_E_UNSUPPORTED,
                      "%s: the expression \"%.200s\" holds %s, which lrp does not read",
                      regex->path, pattern, bad);
  } else {
    regex->code = pcre2_compile((PCRE2_SPTR)text, n_text,
                                PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C,
                                &code, &at, NULL);
    if (!regex->code) {
      PCRE2_UCHAR reason[256] = "";
      pcre2_get_error_message(code, reason, sizeof reason);
      status = lrp_fail(ctx, LRP_E_INPUT, "%s: the expression \"%.200s\": %s", regex->path, pattern,
                        (const char *)reason);
    }
  }
  free(text);
  return status;
}

lrp_status lrp_regex_new(lrp_ctx *ctx, const char *path, const char *pattern, size_t n,
                         bool literal, lrp_regex **out)
{
  *out = NULL;
  if (n > LRP_PIECE_MAX)
    return lrp_fail(ctx, LRP_E_UNSUPPORTED, "%s: a pattern of %zu bytes; at most %d are read", path,
                    n, LRP_PIECE_MAX);
  lrp_regex *regex = calloc(1, sizeof *regex);
  if (!regex) return lrp_nomem(ctx, "an expression");
  regex->path = path;
  lrp_status status = LRP_OK;
  if (literal) {
    regex->literal = malloc(n + 1);
    regex->n_literal = (uint32_t)n;
    if (regex->literal)
      memcpy(regex->literal, pattern, n);
    else
      status = lrp_nomem(ctx, "a pattern");
  } else {
    status = compile(ctx, regex, pattern, n);
  }
  if (status)
    lrp_regex_free(regex);
  else
    *out = regex;
  return status;
}

void lrp_regex_free(lrp_regex *regex)
{
  if (!regex) return;
  pcre2_code_free(regex->code);
  free(regex->literal);
  free(regex);
}

lrp_status lrp_finder_new(lrp_ctx *ctx, const lrp_regex *regex, lrp_finder **out)
{
  lrp_finder *finder = calloc(1, sizeof *finder);
  *out = finder;
  if (!finder) return lrp_nomem(ctx, "an expression");
  finder->regex = regex;
  if (!regex->code) return LRP_OK;
  finder->data = pcre2_match_data_create_from_pattern(regex->code, NULL);
  finder->limits = pcre2_match_context_create(NULL);
  if (!finder->data || !finder->limits) {
    lrp_finder_free(finder);
    *out = NULL;
    return lrp_nomem(ctx, "an expression");
  }
  pcre2_set_match_limit(finder->limits, MATCH_LIMIT);
  pcre2_set_depth_limit(finder->limits, DEPTH_LIMIT);
  pcre2_set_heap_limit(finder->limits, HEAP_KIB);
  return LRP_OK;
}

void lrp_finder_free(lrp_finder *finder)
{
  if (!finder) return;
  pcre2_match_data_free(finder->data);
  pcre2_match_context_free(finder->limits);
  free(finder);
}

void lrp_finder_on(lrp_finder *finder, const char *s, uint32_t n)
{
  finder->s = s;
  finder->n = n;
  finder->at = 0;
  finder->last_end = UINT32_MAX;
}

static bool find_literal(const lrp_finder *f, uint32_t *begin, uint32_t *end)
{
  uint32_t n = f->regex->n_literal;
  *begin = *end = f->at;
  if (!n) return true;
  while (f->n - *begin >= n) {
    const char *hit = memchr(f->s + *begin, f->regex->literal[0], f->n - *begin - n + 1);
    if (!hit) break;
    *begin = (uint32_t)(hit - f->s);
    *end = *begin + n;
    if (!memcmp(hit, f->regex->literal, n)) return true;
    ++*begin;
  }
  return false;
}

static lrp_status find(lrp_ctx *ctx, const lrp_finder *f, bool *found, uint32_t *begin,
                       uint32_t *end)
{
  if (!f->regex->code) {
    *found = find_literal(f, begin, end);
    return LRP_OK;
  }
  int code = pcre2_match(f->regex->code, (PCRE2_SPTR)f->s, f->n, f->at, PCRE2_NO_UTF_CHECK, f->data,
                         f->limits);
  *found = code >= 0;
  if (code >= 0) {
    const PCRE2_SIZE *span = pcre2_get_ovector_pointer(f->data);
    *begin = (uint32_t)span[0];
    *end = span[1] < span[0] ? (uint32_t)span[0] : (uint32_t)span[1]; /* \K inside a lookahead */
  } else if (code != PCRE2_ERROR_NOMATCH) {
    PCRE2_UCHAR reason[256] = "";
    pcre2_get_error_message(code, reason, sizeof reason);
    return lrp_fail(ctx, LRP_E_INPUT, "%s: an expression gave up on this text: %s", f->regex->path,
                    (const char *)reason);
  }
  return LRP_OK;
}

/* An empty match right behind the last match does not count, as in Oniguruma's and Rust's
 * iterators. */
lrp_status lrp_finder_next(lrp_ctx *ctx, lrp_finder *f, uint32_t *begin, uint32_t *end)
{
  bool found = false;
  while (f->at <= f->n) {
    lrp_status status = find(ctx, f, &found, begin, end);
    if (status) return status;
    if (!found) break;
    bool empty = *begin == *end;
    f->at = *end;
    if (empty && *end < f->n) {
      uint32_t length;
      lrp_code_point(f->s, *end, f->n, &length);
      f->at += length;
    } else if (empty) {
      f->at = f->n + 1;
    }
    if (empty && *end == f->last_end) continue;
    f->last_end = *end;
    return LRP_OK;
  }
  f->at = f->n + 1;
  *begin = *end = f->n + 1;
  return LRP_OK;
}
