/* view.c - an explanation for people: what was predicted, what is explained, and where the relevance went. */
#include "cli.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *cli_label(const lrp_model *model, int64_t index, char *buffer, size_t n)
{
  const lrp_model_info *about = lrp_model_about(model);
  if (about->labels && index >= 0 && index < about->n_label && about->labels[index])
    snprintf(buffer, n, "%s", about->labels[index]);
  else
    snprintf(buffer, n, "class %lld", (long long)index);
  return buffer;
}

double cli_largest(const lrp_real *v, int64_t n)
{
  double most = 0;
  for (int64_t i = 0; i < n; i++)
    most = fmax(most, fabs((double)v[i]));
  return most;
}

void cli_losses(const cli_view *v, lrp_ledger *total)
{
  *total = (lrp_ledger){0};
  const int64_t batch = lrp_graph_n_batch(v->graph);
  for (int64_t i = 0; i < lrp_graph_n_node(v->graph); i++) {
    const lrp_ledger *l = &v->r->ledger[i * batch + v->sample];
    total->bias += l->bias;
    total->stab += l->stab;
    total->gate += l->gate;
  }
}

static void put_label(FILE *f, const cli_view *v, int64_t index)
{
  char label[256];
  cli_label(v->model, index, label, sizeof label);
  cli_escape(f, label, strlen(label));
}

static double share_of(const cli_view *v, int64_t index)
{
  double sum = 0;
  for (int64_t i = 0; i < v->n_class; i++)
    sum += exp((double)v->scores[i] - (double)v->scores[v->predicted]);
  return exp((double)v->scores[index] - (double)v->scores[v->predicted]) / sum;
}

static int64_t second(const cli_view *v)
{
  int64_t best = -1;
  for (int64_t i = 0; i < v->n_class; i++)
    if (i != v->predicted && (best < 0 || v->scores[i] > v->scores[best]))
      best = i;
  return best;
}

void cli_show_head(FILE *f, int color, const cli_view *v)
{
  const char *model = lrp_model_about(v->model)->name;
  cli_bold(f, color, true);
  cli_escape(f, v->name, strlen(v->name));
  cli_bold(f, color, false);
  fputs("  (", f);
  cli_escape(f, model, strlen(model));
  fputs(v->composite ? ", rules " : ", method ", f);
  const char *how = v->composite ? lrp_composite_name(v->composite) : v->method;
  cli_escape(f, how, strlen(how));
  fputs(")\n  prediction  ", f);
  cli_bold(f, color, true);
  put_label(f, v, v->predicted);
  cli_bold(f, color, false);
  if (v->probability >= 0)
    fprintf(f, "  %.1f %%", 100 * v->probability);
  fprintf(f, "   score %.4g", (double)v->scores[v->predicted]);
  const int64_t next = second(v);
  if (next >= 0 && v->probability >= 0) {
    fputs("   then ", f);
    put_label(f, v, next);
    fprintf(f, "  %.1f %%", 100 * share_of(v, next));
  }
  fputs("\n  explained   ", f);
  cli_escape(f, v->target_text, strlen(v->target_text));
  fprintf(f, "  %.4g\n", v->r->value[v->sample]);
}

/* Share of the whole, where the whole is not nearly nothing. */
static void put_share(FILE *f, double part, double whole)
{
  if (fabs(whole) > 1e-12)
    fprintf(f, "%9.1f %%", 100 * part / whole);
}

static void put_line(FILE *f, const char *name, double part, double whole)
{
  fprintf(f, "  %-11s %10.4g", name, part);
  put_share(f, part, whole);
  fputc('\n', f);
}

void cli_show_balance(FILE *f, const cli_view *v)
{
  const double value = v->r->value[v->sample], sum = v->r->sum[v->sample];
  lrp_ledger l;
  if (!v->composite) { /* gradients do not promise conservation */
    put_line(f, "sum", sum, value);
    return;
  }
  cli_losses(v, &l);
  const double rest = value - sum - l.bias - l.stab - l.gate;
  fprintf(f, "  relevance   %10.4g%9.1f %%  of the explained score reaches the input\n", sum,
          fabs(value) > 1e-12 ? 100 * sum / value : 0);
  put_line(f, "  biases", l.bias, value);
  put_line(f, "  stabilizer", l.stab, value);
  put_line(f, "  rules", l.gate, value);
  if (fabs(rest) > 1e-4 * fabs(value) + 1e-9)
    put_line(f, "  elsewhere", rest, value);
}

void cli_show_ledger(FILE *f, const cli_view *v)
{
  const int64_t batch = lrp_graph_n_batch(v->graph);
  fprintf(f, "\n  %-28s %-12s %12s %12s %11s %11s %11s  %s\n", "node", "layer", "R above", "R below", "bias", "stabilizer",
          "rule", "rule");
  for (int64_t i = lrp_graph_n_node(v->graph); i-- > 0;) {
    const lrp_node_view n = lrp_graph_node(v->graph, i);
    const lrp_ledger *l = &v->r->ledger[i * batch + v->sample];
    fprintf(f, "  %-28.28s %-12.12s %12.5g %12.5g %11.4g %11.4g %11.4g  ", n.name, n.layer->name, l->r_out, l->r_in, l->bias,
            l->stab, l->gate);
    cli_escape(f, n.rule, strlen(n.rule));
    fputc('\n', f);
  }
}

/* ---- text ---- */

/* -9 .. 9: the form without colour. */
static int digit(double v)
{
  return (int)lround(9 * v);
}

static void put_token(FILE *f, int color, const char *s, size_t n, double v)
{
  const cli_rgb c = cli_map(CLI_MAP_COOLWARM, v);
  if (color) {
    cli_background(f, color, c);
    cli_foreground(f, color, cli_dark(c) ? (cli_rgb){255, 255, 255} : (cli_rgb){0, 0, 0});
  }
  cli_escape(f, s, n);
  cli_reset(f, color);
  if (!color && digit(v))
    fprintf(f, "[%+d]", digit(v));
}

static void put_flow(FILE *f, int color, const cli_view *v, double largest)
{
  const lrp_input *in = v->input;
  size_t at = 0;
  fputs("\n  ", f);
  for (int64_t i = 0; i < in->n_token && i < v->n_rel; i++) {
    const lrp_token *t = &in->token[i];
    if (t->begin >= t->end || t->begin < at)
      continue;
    cli_escape(f, in->text + at, t->begin - at);
    put_token(f, color, in->text + t->begin, t->end - t->begin, largest > 0 ? (double)v->rel[i] / largest : 0);
    at = t->end;
  }
  cli_escape(f, in->text + at, in->n_text - at);
  fputs("\n", f);
}

static int by_size(const void *a, const void *b)
{
  const double x = fabs(*(*(const double *const *)a)), y = fabs(*(*(const double *const *)b));
  return x < y ? 1 : x > y ? -1 : 0;
}

static void put_bar(FILE *f, int color, double v)
{
  const int n = (int)lround(fabs(v) * 16);
  cli_foreground(f, color, cli_map(CLI_MAP_COOLWARM, v > 0 ? 1 : -1));
  for (int i = 0; i < n; i++)
    fputs(color ? "█" : v > 0 ? "+" : "-", f);
  cli_reset(f, color);
}

/* The strongest tokens, largest first. */
static void put_table(FILE *f, int color, const cli_view *v, double largest)
{
  enum { MOST = 12 };
  const int64_t n = v->input->n_token < v->n_rel ? v->input->n_token : v->n_rel;
  double *copy = calloc((size_t)n + 1, sizeof *copy), **order = calloc((size_t)n + 1, sizeof *order);
  for (int64_t i = 0; copy && order && i < n; i++) {
    copy[i] = (double)v->rel[i];
    order[i] = &copy[i];
  }
  if (copy && order) {
    qsort(order, (size_t)n, sizeof *order, by_size);
    fprintf(f, "\n  %-20s %10s %8s\n", "token", "relevance", "share");
    for (int64_t k = 0; k < n && k < MOST; k++) {
      const int64_t i = order[k] - copy;
      const lrp_token *t = &v->input->token[i];
      const char *s = t->end > t->begin ? v->input->text + t->begin : t->text;
      const size_t len = t->end > t->begin ? t->end - t->begin : strlen(t->text);
      fputs("  ", f);
      cli_escape(f, s, len);
      for (int w = cli_width(s, len); w < 20; w++)
        fputc(' ', f);
      fprintf(f, " %+10.4f", copy[i]);
      put_share(f, copy[i], v->r->value[v->sample]);
      fputs("  ", f);
      put_bar(f, color, largest > 0 ? copy[i] / largest : 0);
      fputc('\n', f);
    }
    if (n > MOST)
      fprintf(f, "  ... and %lld more (--json lists all)\n", (long long)(n - MOST));
  }
  free(copy);
  free(order);
}

static void put_legend(FILE *f, int color, const cli_view *v, double largest)
{
  fputs("  ", f);
  if (color) {
    for (int i = -4; i <= 4; i++) {
      cli_background(f, color, cli_map(CLI_MAP_COOLWARM, i / 4.0));
      fputs("  ", f);
    }
    cli_reset(f, color);
    fprintf(f, "  %.3g against ... 0 ... %.3g for ", -largest, largest);
  } else {
    fprintf(f, "[+9] is %.3g, for ", largest);
  }
  cli_escape(f, v->target_text, strlen(v->target_text));
  fputc('\n', f);
}

void cli_show_text(FILE *f, int color, const cli_view *v)
{
  const double largest = cli_largest(v->rel, v->n_rel);
  put_flow(f, color, v, largest);
  put_legend(f, color, v, largest);
  put_table(f, color, v, largest);
  if (v->input->n_dropped)
    fprintf(f, "  %lld more tokens were cut off: the model reads %lld\n", (long long)v->input->n_dropped,
            (long long)v->input->n_token);
}

/* ---- pictures ---- */

lrp_real *cli_pixels(const cli_view *v, int64_t *h, int64_t *w)
{
  const lrp_tensor *t = &v->r->tensor[v->rel_input];
  const int64_t c = t->rank >= 3 ? t->shape[1] : 1;
  *w = t->rank ? t->shape[t->rank - 1] : 1;
  *h = t->rank >= 4 ? t->shape[t->rank - 2] : 1;
  const int64_t area = *h * *w;
  lrp_real *sum = calloc((size_t)area + 1, sizeof *sum);
  for (int64_t k = 0; sum && k < c && (k + 1) * area <= v->n_rel; k++)
    for (int64_t i = 0; i < area; i++)
      sum[i] += v->rel[k * area + i];
  return sum;
}

/* Grey or colour of pixel (y,x) of the input. */
static cli_rgb input_pixel(const lrp_input *in, int64_t y, int64_t x)
{
  const uint8_t *p = in->pixels + (y * in->image_w + x) * in->image_c;
  return in->image_c >= 3 ? (cli_rgb){p[0], p[1], p[2]} : (cli_rgb){p[0], p[0], p[0]};
}

typedef struct half_blocks {
  const cli_view *v;
  const lrp_real *rel;
  int64_t h, w, step; /* step: pixels of the picture for one of the terminal */
  double largest;
} half_blocks;

static cli_rgb heat(const half_blocks *b, int64_t row, int64_t col)
{
  double sum = 0;
  int64_t n = 0;
  for (int64_t y = row * b->step; y < (row + 1) * b->step && y < b->h; y++)
    for (int64_t x = col * b->step; x < (col + 1) * b->step && x < b->w; x++, n++)
      sum += (double)b->rel[y * b->w + x];
  return cli_map(CLI_MAP_BWR, n && b->largest > 0 ? sum / (double)n / b->largest : 0);
}

static void put_cells(FILE *f, int color, const half_blocks *b, int64_t row, bool input)
{
  const lrp_input *in = b->v->input;
  for (int64_t x = 0; x * b->step < b->w; x++) {
    const int64_t low = row + 1;
    const bool two = low * b->step < b->h;
    const cli_rgb top = input ? input_pixel(in, row * b->step, x * b->step) : heat(b, row, x);
    const cli_rgb bottom = !two ? top : input ? input_pixel(in, low * b->step, x * b->step) : heat(b, low, x);
    cli_foreground(f, color, top);
    cli_background(f, color, bottom);
    fputs("▀", f);
  }
  cli_reset(f, color);
}

static void put_rows_plain(FILE *f, const half_blocks *b)
{
  static const char SHADE[] = "=-: .*%@";
  for (int64_t row = 0; row * b->step < b->h; row += 2) {
    fputs("  ", f);
    for (int64_t x = 0; x * b->step < b->w; x++) {
      const double v = b->largest > 0 ? (double)b->rel[row * b->step * b->w + x * b->step] / b->largest : 0;
      const int i = v < -0.5 ? 0 : v < -0.2 ? 1 : v < -0.05 ? 2 : v < 0.05 ? 3 : v < 0.2 ? 4 : v < 0.5 ? 5 : v < 0.8 ? 6 : 7;
      fputc(SHADE[i], f);
    }
    fputc('\n', f);
  }
  fprintf(f, "  against = - :   for . * %% @   (@ is %.3g)\n", b->largest);
}

void cli_show_image(FILE *f, int color, const cli_view *v)
{
  half_blocks b = {.v = v};
  lrp_real *rel = cli_pixels(v, &b.h, &b.w);
  if (!rel)
    return;
  b.rel = rel;
  b.largest = cli_largest(rel, b.h * b.w);
  b.step = (b.w + 63) / 64;
  const bool input = v->input->pixels && v->input->image_w == b.w && v->input->image_h == b.h;
  fputc('\n', f);
  for (int64_t row = 0; color && row * b.step < b.h; row += 2) {
    fputs("  ", f);
    if (input) {
      put_cells(f, color, &b, row, true);
      fputs("  ", f);
    }
    put_cells(f, color, &b, row, false);
    fputc('\n', f);
  }
  if (!color)
    put_rows_plain(f, &b);
  else
    fprintf(f, "  red speaks for, blue against \"%s\"; full colour is %.3g\n", v->target_text, b.largest);
  free(rel);
}

void cli_show_tensor(FILE *f, const cli_view *v)
{
  enum { MOST = 10 };
  const double largest = cli_largest(v->rel, v->n_rel);
  fprintf(f, "\n  %lld values, the largest %.4g", (long long)v->n_rel, largest);
  for (int64_t i = 0; i < v->n_rel && i < MOST; i++)
    fprintf(f, "%s%.4g", i ? " " : ":  ", (double)v->rel[i]);
  fputs(v->n_rel > MOST ? " ...  (-o file.npy writes all)\n" : "\n", f);
}
