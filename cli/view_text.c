/* view_text.c - a text with its tokens, words or letters coloured, and a table of the strongest; several
 * targets stand side by side, on one scale. */
#include "cli.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* -9 .. 9: the form without colour. */
static int digit(double v)
{
  return (int)lround(9 * fmax(-1, fmin(1, v)));
}

/* ---- the text as it runs, broken at blanks where the terminal ends ---- */

typedef struct flow {
  FILE *f;
  int color, at, columns; /* at: column of the cursor; columns 0: no limit */
} flow;
enum {
  INDENT = 2,
  SCREENS = 2000
}; /* SCREENS: tokens of a few pages, the most that a terminal is given */

static void new_line(flow *w)
{
  fputs("\n  ", w->f);
  w->at = INDENT;
}

/* Columns of what is between two tokens, or of a token with its digit. */
static int token_width(const flow *w, const char *s, size_t n, double v)
{
  return cli_width(s, n) + (!w->color && digit(v) ? 4 : 0);
}

static void put_gap(flow *w, const char *s, size_t n)
{
  for (size_t i = 0; i < n;) {
    const size_t blank = strspn(s + i, " \t\r\n"), run = i + blank > n ? n - i : blank;
    if (run && memchr(s + i, '\n', run)) {
      new_line(w);
    } else if (run) {
      fputc(' ', w->f);
      w->at++;
    } else {
      size_t k = 1;
      while (i + k < n && !strchr(" \t\r\n", s[i + k]))
        k++;
      cli_escape(w->f, s + i, k);
      w->at += cli_width(s + i, k);
      i += k;
    }
    i += run;
  }
}

static void put_token(flow *w, const char *s, size_t n, double v)
{
  const cli_rgb c = cli_map(CLI_MAP_COOLWARM, v);
  const int color =
      digit(v) ? w->color
               : CLI_COLOR_NONE; /* next to nothing: plain letters, calmer than grey boxes */
  if (color) {
    cli_background(w->f, color, c);
    cli_foreground(w->f, color, cli_dark(c) ? (cli_rgb){255, 255, 255} : (cli_rgb){0, 0, 0});
  }
  cli_escape(w->f, s, n);
  cli_reset(w->f, color);
  if (!w->color && digit(v)) fprintf(w->f, "[%+d]", digit(v));
  w->at += token_width(w, s, n, v);
}

/* What has been read so far of the text, in the order in which it is written. */
typedef struct text_run {
  const lrp_input *in;
  int by;
  cli_part *part;
  int64_t n;
  double largest;
} text_run;

static double share_of(const text_run *t, int64_t i)
{
  return t->largest > 0 ? t->part[i].r / t->largest : 0;
}

static const char *letters_of(const text_run *t, const cli_part *p, size_t *n)
{
  *n = p->name ? strlen(p->name) : p->end - p->begin;
  return p->name ? p->name : t->in->text + p->begin;
}

/* Columns from part i to the next blank: they belong on one line. */
static int word_width(const flow *w, const text_run *t, int64_t i)
{
  int sum = 0;
  size_t n;
  for (size_t at = t->part[i].begin; i < t->n && (!w->columns || sum < w->columns); i++) {
    const cli_part *p = &t->part[i];
    if (p->name || p->begin > at) break;
    const char *s = letters_of(t, p, &n);
    sum += token_width(w, s, n, share_of(t, i));
    at = p->end;
  }
  return sum;
}

/* A special token stands between blanks: it is no part of the text. */
static void put_special(flow *w, const text_run *t, int64_t i)
{
  size_t n;
  const char *s = letters_of(t, &t->part[i], &n);
  if (w->at > INDENT) {
    fputc(' ', w->f);
    w->at++;
  }
  if (w->columns && w->at > INDENT && w->at + token_width(w, s, n, share_of(t, i)) > w->columns)
    new_line(w);
  put_token(w, s, n, share_of(t, i));
  if (i + 1 < t->n && !t->part[i + 1].name) {
    fputc(' ', w->f);
    w->at++;
  }
}

static void put_flow(FILE *f, int color, const text_run *t)
{
  const lrp_input *in = t->in;
  flow w = {.f = f, .color = color, .columns = cli_columns(f)};
  const int64_t shown = w.columns && t->n > SCREENS ? SCREENS : t->n;
  size_t at = 0, n;
  new_line(&w);
  for (int64_t i = 0; i < shown; i++) {
    const cli_part *p = &t->part[i];
    if (p->name) {
      put_special(&w, t, i);
      continue;
    }
    const bool blank = p->begin > at;
    if (p->begin > at) put_gap(&w, in->text + at, p->begin - at);
    if (w.columns && w.at > INDENT && (blank || w.at >= w.columns) &&
        w.at + word_width(&w, t, i) > w.columns)
      new_line(&w);
    const char *s = letters_of(t, p, &n);
    put_token(&w, s, n, share_of(t, i));
    at = p->end;
  }
  if (shown < t->n)
    fprintf(f, " ... (%lld more %ss; -o FILE.html shows all)", (long long)(t->n - shown),
            cli_by_name(t->by));
  else if (in->n_dropped) /* what the model did not read may be a book */
    fprintf(f, " ... (%zu more bytes)", in->n_text - at);
  else
    put_gap(&w, in->text + at, in->n_text - at);
  fputs("\n", f);
}

static void put_legend(FILE *f, int color, const char *target, double largest)
{
  fputs("\n  ", f);
  if (color) {
    fputs("against ", f);
    for (int i = -6; i <= 6; i++) {
      cli_background(f, color, cli_map(CLI_MAP_COOLWARM, i / 6.0));
      fputs("  ", f);
    }
    cli_reset(f, color);
    fputs(" for ", f);
    cli_escape(f, target, strlen(target));
    fprintf(f, "; full colour is %.3g\n", largest);
  } else {
    fputs("[+9] speaks for, [-9] against ", f);
    cli_escape(f, target, strlen(target));
    fprintf(f, "; 9 is %.3g\n", largest);
  }
}

/* ---- the strongest parts, largest first ---- */

enum { MOST = 12, NAME_COLUMNS = 24, TARGET_COLUMNS = 12, BAR = 16 };

static void put_bar(FILE *f, int color, double v)
{
  const int n = (int)lround(fabs(v) * BAR);
  cli_foreground(f, color, cli_map(CLI_MAP_COOLWARM, v > 0 ? 1 : -1));
  for (int i = 0; i < n; i++)
    fputs(color ? "█" : v > 0 ? "+" : "-", f);
  cli_reset(f, color);
}

/* Escaped and cut to a column; right: to its right end. */
static void put_cell(FILE *f, const char *s, size_t n, int columns, bool right)
{
  if (n > 4096) n = 4096;
  const bool cut = cli_width(s, n) > columns;
  while (cut && n && (cli_width(s, n) > columns - 1 || ((unsigned char)s[n] & 0xC0) == 0x80))
    n--;
  const int room = columns - cli_width(s, n) - cut;
  if (right && room > 0) fprintf(f, "%*s", room, "");
  cli_escape(f, s, n);
  fputs(cut ? "…" : "", f);
  if (!right && room > 0) fprintf(f, "%*s", room, "");
}

/* The parts of all targets: n_part of the first, then of the second, ... */
typedef struct all_parts {
  cli_part *part;
  double *hidden; /* of each target, what is not shown */
  int64_t n_part;
  int n; /* targets */
  double largest;
} all_parts;

static void put_row(FILE *f, int color, const cli_view *v, const all_parts *a, int64_t i)
{
  size_t n;
  char percent[32] = "";
  const cli_part *p = &a->part[i];
  const double value = v->r->value[v->sample];
  const char *s = letters_of(&(text_run){.in = v->input}, p, &n);
  fputs("  ", f);
  put_cell(f, s, n, NAME_COLUMNS, false);
  for (int k = 0; k < a->n; k++)
    fprintf(f, " %+*.*f", a->n > 1 ? TARGET_COLUMNS : 10, cli_decimals(a->largest),
            a->part[k * a->n_part + i].r);
  if (a->n == 1) {
    if (fabs(value) > 1e-12) cli_percent(p->r / value, percent, sizeof percent);
    fprintf(f, " %9s", percent);
    if (lround(fabs(a->largest > 0 ? p->r / a->largest : 0) * BAR)) {
      fputs("  ", f);
      put_bar(f, color, p->r / a->largest);
    }
  }
  fputc('\n', f);
}

static void put_heading(FILE *f, const cli_view *v, int n)
{
  fprintf(f, "\n  %-*s", NAME_COLUMNS, cli_by_name(v->by));
  if (n == 1) fprintf(f, " %10s %9s", "relevance", "share");
  for (int k = 0; n > 1 && k < n; k++) {
    fputc(' ', f);
    put_cell(f, v[k].target_text, strlen(v[k].target_text), TARGET_COLUMNS, true);
  }
  fputc('\n', f);
}

static void put_hidden(FILE *f, const cli_view *v, const all_parts *a)
{
  fprintf(f, "  %-*s", NAME_COLUMNS, "special, not shown");
  for (int k = 0; k < a->n; k++) {
    char percent[32] = "";
    const double value = v[k].r->value[v[k].sample];
    fprintf(f, " %+*.*f", a->n > 1 ? TARGET_COLUMNS : 10, cli_decimals(a->largest), a->hidden[k]);
    if (a->n > 1) continue;
    if (fabs(value) > 1e-12) cli_percent(a->hidden[k] / value, percent, sizeof percent);
    fprintf(f, " %9s", percent);
  }
  fputc('\n', f);
}

static void put_table(FILE *f, int color, const cli_view *v, const all_parts *a)
{
  const int64_t n = a->n_part;
  cli_rank *order = calloc((size_t)n + 1, sizeof *order);
  for (int64_t i = 0; order && i < n; i++) {
    order[i].i = i;
    for (int k = 0; k < a->n; k++)
      order[i].size = fmax(order[i].size, fabs(a->part[k * n + i].r));
  }
  if (order) {
    cli_rank_sort(order, n);
    put_heading(f, v, a->n);
    for (int64_t k = 0; k < n && k < MOST; k++)
      put_row(f, color, v, a, order[k].i);
    if (n > MOST) fprintf(f, "  ... and %lld more; --json lists all\n", (long long)(n - MOST));
    if (v->special == CLI_SPECIAL_HIDE) put_hidden(f, v, a);
  }
  free(order);
}

/* ---- all of it ---- */

static void free_all(all_parts *a)
{
  free(a->part);
  free(a->hidden);
}

static bool collect(const cli_view *v, int n, all_parts *a)
{
  *a = (all_parts){.n = n, .hidden = calloc((size_t)n, sizeof *a->hidden)};
  bool ok = a->hidden;
  for (int k = 0; ok && k < n; k++) {
    int64_t m;
    cli_part *p = cli_parts(&v[k], &m);
    if (p) a->hidden[k] = cli_parts_hide(&v[k], p, &m);
    if (p && !k) {
      a->n_part = m;
      a->part = calloc((size_t)n * (size_t)m + 1, sizeof *a->part);
    }
    ok = p && a->part;
    if (ok) memcpy(a->part + k * a->n_part, p, (size_t)m * sizeof *p);
    free(p);
  }
  if (ok) a->largest = cli_parts_largest(a->part, a->n_part * n);
  return ok;
}

static void put_text(FILE *f, int color, const cli_view *v, const all_parts *a, int k)
{
  text_run t = {.in = v->input, .by = v->by, .largest = a->largest};
  t.part = calloc((size_t)a->n_part + 1, sizeof *t.part);
  if (!t.part) return;
  t.n = cli_parts_run(v, a->part + k * a->n_part, a->n_part, t.part);
  if (a->n == 1) t.largest = cli_parts_largest(t.part, t.n);
  if (a->n == 1 && a->largest > t.largest) t.largest = a->largest;
  put_flow(f, color, &t);
  free(t.part);
}

void cli_show_text(FILE *f, int color, const cli_view *v, int n)
{
  all_parts a;
  if (collect(v, n, &a)) {
    for (int k = 0; k < n; k++) {
      if (n > 1) {
        fputs("\n  why ", f);
        cli_bold(f, color, true);
        cli_escape(f, v[k].target_text, strlen(v[k].target_text));
        cli_bold(f, color, false);
      }
      put_text(f, color, &v[k], &a, k);
    }
    put_legend(f, color, n > 1 ? "each" : v->target_text, a.largest);
    put_table(f, color, v, &a);
  }
  free_all(&a);
  if (v->input->n_dropped)
    fprintf(f, "  %lld more tokens were cut off: the model reads %lld\n",
            (long long)v->input->n_dropped, (long long)v->input->n_token);
}
