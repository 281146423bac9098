/* view_text.c - a text with its tokens coloured, and a table of the strongest tokens. */
#include "cli.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* -9 .. 9: the form without colour. */
static int digit(double v)
{
  return (int)lround(9 * v);
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

/* Columns from token i to the next blank: they belong on one line. */
static int word_width(const flow *w, const cli_view *v, int64_t i, double largest)
{
  const lrp_input *in = v->input;
  int sum = 0;
  for (size_t at = in->token[i].begin;
       i < in->n_token && i < v->n_rel && (!w->columns || sum < w->columns); i++) {
    const lrp_token *t = &in->token[i];
    if (t->begin >= t->end || t->begin < at) continue;
    if (t->begin > at) break;
    sum += token_width(w, in->text + t->begin, t->end - t->begin,
                       largest > 0 ? (double)v->rel[i] / largest : 0);
    at = t->end;
  }
  return sum;
}

static void put_flow(FILE *f, int color, const cli_view *v, double largest)
{
  const lrp_input *in = v->input;
  flow w = {.f = f, .color = color, .columns = cli_columns(f)};
  const int64_t n = in->n_token < v->n_rel ? in->n_token : v->n_rel,
                shown = w.columns && n > SCREENS ? SCREENS : n;
  size_t at = 0;
  new_line(&w);
  for (int64_t i = 0; i < shown; i++) {
    const lrp_token *t = &in->token[i];
    if (t->begin >= t->end || t->begin < at) continue;
    const bool blank = t->begin > at;
    put_gap(&w, in->text + at, t->begin - at);
    if (w.columns && w.at > INDENT && (blank || w.at >= w.columns) &&
        w.at + word_width(&w, v, i, largest) > w.columns)
      new_line(&w);
    put_token(&w, in->text + t->begin, t->end - t->begin,
              largest > 0 ? (double)v->rel[i] / largest : 0);
    at = t->end;
  }
  if (shown < n)
    fprintf(f, " ... (%lld more tokens; -o FILE.html shows all)", (long long)(n - shown));
  else if (in->n_dropped) /* what the model did not read may be a book */
    fprintf(f, " ... (%zu more bytes)", in->n_text - at);
  else
    put_gap(&w, in->text + at, in->n_text - at);
  fputs("\n", f);
}

static void put_legend(FILE *f, int color, const cli_view *v, double largest)
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
    cli_escape(f, v->target_text, strlen(v->target_text));
    fprintf(f, "; full colour is %.3g\n", largest);
  } else {
    fputs("[+9] speaks for, [-9] against ", f);
    cli_escape(f, v->target_text, strlen(v->target_text));
    fprintf(f, "; 9 is %.3g\n", largest);
  }
}

/* ---- the strongest tokens, largest first ---- */

enum { MOST = 12, TOKEN_COLUMNS = 24, BAR = 16 };

static void put_bar(FILE *f, int color, double v)
{
  const int n = (int)lround(fabs(v) * BAR);
  cli_foreground(f, color, cli_map(CLI_MAP_COOLWARM, v > 0 ? 1 : -1));
  for (int i = 0; i < n; i++)
    fputs(color ? "█" : v > 0 ? "+" : "-", f);
  cli_reset(f, color);
}

/* A token as it stands in the text; special ones as the tokenizer calls them.  Long ones are
 * cut. */
static void put_name(FILE *f, const cli_view *v, int64_t i)
{
  const lrp_token *t = &v->input->token[i];
  const bool special = t->begin >= t->end;
  const char *s = special ? t->text : v->input->text + t->begin;
  size_t n = special ? strlen(t->text) : t->end - t->begin;
  if (n > 4096) n = 4096;
  const bool cut = cli_width(s, n) > TOKEN_COLUMNS;
  while (cut && n && (cli_width(s, n) > TOKEN_COLUMNS - 1 || ((unsigned char)s[n] & 0xC0) == 0x80))
    n--;
  cli_escape(f, s, n);
  fputs(cut ? "…" : "", f);
  for (int w = cli_width(s, n) + cut; w < TOKEN_COLUMNS; w++)
    fputc(' ', f);
}

static void put_row(FILE *f, int color, const cli_view *v, int64_t i, double largest)
{
  char percent[32] = "";
  const double r = (double)v->rel[i], value = v->r->value[v->sample];
  if (fabs(value) > 1e-12) cli_percent(r / value, percent, sizeof percent);
  fputs("  ", f);
  put_name(f, v, i);
  fprintf(f, " %+10.*f %9s", cli_decimals(largest), r, percent);
  if (lround(fabs(largest > 0 ? r / largest : 0) * BAR)) {
    fputs("  ", f);
    put_bar(f, color, r / largest);
  }
  fputc('\n', f);
}

typedef struct ranked {
  double size;
  int64_t i;
} ranked;

static int by_size(const void *a, const void *b)
{
  const ranked *x = a, *y = b;
  return x->size != y->size ? (x->size < y->size ? 1 : -1) : x->i > y->i ? 1 : -1;
}

static void put_table(FILE *f, int color, const cli_view *v, double largest)
{
  const int64_t n = v->input->n_token < v->n_rel ? v->input->n_token : v->n_rel;
  ranked *order = calloc((size_t)n + 1, sizeof *order);
  for (int64_t i = 0; order && i < n; i++)
    order[i] = (ranked){fabs((double)v->rel[i]), i};
  if (order) {
    qsort(order, (size_t)n, sizeof *order, by_size);
    fprintf(f, "\n  %-*s %10s %9s\n", TOKEN_COLUMNS, "token", "relevance", "share");
    for (int64_t k = 0; k < n && k < MOST; k++)
      put_row(f, color, v, order[k].i, largest);
    if (n > MOST) fprintf(f, "  ... and %lld more; --json lists all\n", (long long)(n - MOST));
  }
  free(order);
}

void cli_show_text(FILE *f, int color, const cli_view *v)
{
  const double largest = cli_largest(v->rel, v->n_rel);
  put_flow(f, color, v, largest);
  put_legend(f, color, v, largest);
  put_table(f, color, v, largest);
  if (v->input->n_dropped)
    fprintf(f, "  %lld more tokens were cut off: the model reads %lld\n",
            (long long)v->input->n_dropped, (long long)v->input->n_token);
}
