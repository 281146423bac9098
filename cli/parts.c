/* parts.c - the relevance of a text by token, word, grapheme or byte.
 *
 * Words are those that the input knows of: tokens whose bytes stand in one word of the text.  Below
 * a token its relevance is spread evenly over its bytes, and a grapheme has that of its bytes.  So
 * the sum is the same in every view. */
#include "cli.h"
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

static const char *const BY[] = {[CLI_BY_TOKEN] = "token",
                                 [CLI_BY_WORD] = "word",
                                 [CLI_BY_GRAPHEME] = "grapheme",
                                 [CLI_BY_BYTE] = "byte"};

const char *cli_by_name(int by)
{
  return BY[by];
}

bool cli_by(const char *text, int *out)
{
  for (int i = 0; i < (int)(sizeof BY / sizeof *BY); i++)
    if (!strcmp(BY[i], text)) {
      *out = i;
      return true;
    }
  cli_error("--by %s: token, word, grapheme or byte was expected", text);
  return false;
}

static int64_t n_token(const cli_view *v)
{
  return v->input->n_token < v->n_rel ? v->input->n_token : v->n_rel;
}

static bool is_special(const lrp_token *t)
{
  return t->special || t->begin >= t->end;
}

static cli_part of_token(const cli_view *v, int64_t i)
{
  const lrp_token *t = &v->input->token[i];
  return (cli_part){.begin = t->begin,
                    .end = t->end,
                    .r = (double)v->rel[i],
                    .special = is_special(t),
                    .name = t->begin < t->end ? NULL : t->text};
}

static cli_part *by_token(const cli_view *v, int64_t *n)
{
  cli_part *p = calloc((size_t)n_token(v) + 1, sizeof *p);
  for (int64_t i = 0; p && i < n_token(v); i++)
    p[i] = of_token(v, i);
  *n = p ? n_token(v) : 0;
  return p;
}

/* Byte-level tokens begin with the blank before their word. */
static void trim(const char *s, cli_part *p)
{
  const cli_part all = *p;
  while (p->begin < p->end && strchr(" \t\r\n", s[p->begin]))
    p->begin++;
  while (p->begin < p->end && strchr(" \t\r\n", s[p->end - 1]))
    p->end--;
  if (p->begin == p->end) *p = all;
}

static cli_part *by_word(const cli_view *v, int64_t *n)
{
  const int64_t tokens = n_token(v);
  cli_part *p = calloc((size_t)tokens + 1, sizeof *p);
  int64_t *of = malloc(((size_t)tokens + 1) * sizeof *of); /* the part of each word */
  *n = 0;
  for (int64_t i = 0; of && i < tokens; i++)
    of[i] = -1;
  for (int64_t i = 0; p && of && i < tokens; i++) {
    const lrp_token *t = &v->input->token[i];
    int64_t *at = t->word >= 0 && t->word < tokens ? &of[t->word] : NULL;
    if (!at || *at < 0) {
      if (at) *at = *n;
      p[(*n)++] = of_token(v, i);
      continue;
    }
    cli_part *word = &p[*at];
    word->r += (double)v->rel[i];
    if (t->begin < word->begin) word->begin = t->begin;
    if (t->end > word->end) word->end = t->end;
  }
  for (int64_t i = 0; p && i < *n; i++)
    if (!p[i].name) trim(v->input->text, &p[i]);
  if (!of) {
    free(p);
    p = NULL;
  }
  free(of);
  return p;
}

/* ---- below tokens ---- */

/* *covered: bytes that a token has. */
static double *spread(const cli_view *v, uint8_t **covered)
{
  const size_t n = v->input->n_text;
  double *r = calloc(n + 1, sizeof *r);
  *covered = calloc(n + 1, 1);
  for (int64_t i = 0; r && *covered && i < n_token(v); i++) {
    const lrp_token *t = &v->input->token[i];
    for (size_t k = t->begin; k < t->end && k < n; k++) {
      r[k] += (double)v->rel[i] / (double)(t->end - t->begin);
      (*covered)[k] |= t->special ? 3 : 1;
    }
  }
  return r;
}

/* Where the grapheme that begins at `at` ends (UAX 29, by utf8proc). */
static size_t grapheme_end(const char *s, size_t n, size_t at)
{
  utf8proc_int32_t before, c, state = 0;
  utf8proc_ssize_t k =
      utf8proc_iterate((const utf8proc_uint8_t *)s + at, (utf8proc_ssize_t)(n - at), &before);
  if (k <= 0) return at + 1;
  for (at += (size_t)k; at < n; at += (size_t)k, before = c) {
    k = utf8proc_iterate((const utf8proc_uint8_t *)s + at, (utf8proc_ssize_t)(n - at), &c);
    if (k <= 0 || utf8proc_grapheme_break_stateful(before, c, &state)) break;
  }
  return at;
}

static cli_part *below(const cli_view *v, int64_t *n)
{
  const size_t n_text = v->input->n_text;
  uint8_t *covered;
  double *r = spread(v, &covered);
  cli_part *p = calloc((size_t)n_token(v) + n_text + 1, sizeof *p);
  int64_t i = 0;
  *n = 0;
  for (; p && i < n_token(v) && v->input->token[i].begin >= v->input->token[i].end; i++)
    p[(*n)++] = of_token(v, i); /* in front of the text */
  for (size_t at = 0, end; p && r && covered && at < n_text; at = end) {
    cli_part x = {.begin = (uint32_t)at};
    uint8_t any = 0;
    end = v->by == CLI_BY_BYTE ? at + 1 : grapheme_end(v->input->text, n_text, at);
    for (size_t k = at; k < end; k++) {
      x.r += r[k];
      any |= covered[k];
    }
    x.end = (uint32_t)end;
    x.special = any & 2;
    if (any) p[(*n)++] = x;
  }
  for (; p && i < n_token(v); i++)
    if (v->input->token[i].begin >= v->input->token[i].end) p[(*n)++] = of_token(v, i);
  if (!r || !covered) {
    free(p);
    p = NULL;
  }
  free(r);
  free(covered);
  return p;
}

cli_part *cli_parts(const cli_view *v, int64_t *n)
{
  cli_part *p = v->by == CLI_BY_TOKEN  ? by_token(v, n)
                : v->by == CLI_BY_WORD ? by_word(v, n)
                                       : below(v, n);
  if (!p) *n = 0;
  return p;
}

double cli_parts_hide(const cli_view *v, cli_part *p, int64_t *n)
{
  double hidden = 0;
  int64_t kept = 0;
  if (v->special != CLI_SPECIAL_HIDE) return 0;
  for (int64_t i = 0; i < *n; i++)
    if (p[i].special)
      hidden += p[i].r;
    else
      p[kept++] = p[i];
  *n = kept;
  return hidden;
}

/* A token ends before an accent that the tokenizer drops; as it is written the accent stays with its letter. */
static void snap(const cli_view *v, cli_part *p)
{
  size_t at = p->begin;
  if (v->by == CLI_BY_BYTE || p->name) return;
  while (at < p->end)
    at = grapheme_end(v->input->text, v->input->n_text, at);
  p->end = (uint32_t)at;
}

int64_t cli_parts_run(const cli_view *v, const cli_part *p, int64_t n, cli_part *out)
{
  const char *s = v->input->text;
  int64_t m = 0;
  for (int64_t i = 0; i < n; i++) {
    cli_part *last = m ? &out[m - 1] : NULL;
    if (p[i].begin >= p[i].end) {
      if (v->special == CLI_SPECIAL_RUN) out[m++] = p[i];
      continue;
    }
    const bool cut =
        last && !last->name && v->by != CLI_BY_BYTE && ((unsigned char)s[last->end] & 0xC0) == 0x80;
    if (last && !last->name && (p[i].begin < last->end || cut)) {
      last->r += p[i].r;
      if (p[i].end > last->end) last->end = p[i].end;
      if (p[i].begin < last->begin) last->begin = p[i].begin;
    } else {
      out[m++] = p[i];
    }
    snap(v, &out[m - 1]);
  }
  return m;
}

double cli_parts_largest(const cli_part *p, int64_t n)
{
  double most = 0;
  for (int64_t i = 0; i < n; i++) {
    const double size = p[i].r < 0 ? -p[i].r : p[i].r;
    most = size > most ? size : most;
  }
  return most;
}

static int by_size(const void *a, const void *b)
{
  const cli_rank *x = a, *y = b;
  return x->size != y->size ? (x->size < y->size ? 1 : -1) : x->i > y->i ? 1 : -1;
}

void cli_rank_sort(cli_rank *r, int64_t n)
{
  qsort(r, (size_t)n, sizeof *r, by_size);
}
