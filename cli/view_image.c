/* view_image.c - a picture and its heatmap in a terminal: half blocks in colour, characters
 * without. */
#include "cli.h"
#include <stdlib.h>
#include <string.h>

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

/* Cells of step_x times step_y pixels: relevance is summed, so that the total is kept; colours are
 * averaged. */
typedef struct cells {
  int64_t h, w, step_x, step_y; /* h, w in cells */
  lrp_real *heat;
  cli_rgb *input; /* NULL: the input is no picture of this size */
  double largest;
} cells;

static void free_cells(cells *c)
{
  free(c->heat);
  free(c->input);
}

static void sum_heat(cells *c, const lrp_real *rel, int64_t h, int64_t w)
{
  for (int64_t y = 0; y < h; y++)
    for (int64_t x = 0; x < w; x++)
      c->heat[y / c->step_y * c->w + x / c->step_x] += rel[y * w + x];
  c->largest = cli_largest(c->heat, c->h * c->w);
}

static cli_rgb mean_color(const cells *c, const lrp_input *in, int64_t row, int64_t col)
{
  int64_t sum[3] = {0}, n = 0;
  for (int64_t y = row * c->step_y; y < (row + 1) * c->step_y && y < in->image_h; y++)
    for (int64_t x = col * c->step_x; x < (col + 1) * c->step_x && x < in->image_w; x++, n++) {
      const uint8_t *p = in->pixels + (y * in->image_w + x) * in->image_c;
      for (int k = 0; k < 3; k++)
        sum[k] += p[in->image_c >= 3 ? k : 0];
    }
  return n ? (cli_rgb){(uint8_t)(sum[0] / n), (uint8_t)(sum[1] / n), (uint8_t)(sum[2] / n)}
           : (cli_rgb){0, 0, 0};
}

static bool make_cells(const cli_view *v, const lrp_real *rel, int64_t h, int64_t w, cells *c)
{
  const lrp_input *in = v->input;
  c->h = (h + c->step_y - 1) / c->step_y;
  c->w = (w + c->step_x - 1) / c->step_x;
  c->heat = calloc((size_t)(c->h * c->w) + 1, sizeof *c->heat);
  if (!c->heat) return false;
  sum_heat(c, rel, h, w);
  if (in->pixels && in->image_w == w && in->image_h == h)
    c->input = calloc((size_t)(c->h * c->w) + 1, sizeof *c->input);
  for (int64_t i = 0; c->input && i < c->h * c->w; i++)
    c->input[i] = mean_color(c, in, i / c->w, i % c->w);
  return true;
}

/* ---- colour: a character shows two cells, the upper one as foreground, the lower one as
 * background ---- */

static cli_rgb heat_color(const cells *c, int64_t i)
{
  return cli_map(CLI_MAP_BWR, c->largest > 0 ? (double)c->heat[i] / c->largest : 0);
}

static void put_row(FILE *f, int color, const cells *c, int64_t row, bool input)
{
  for (int64_t x = 0; x < c->w; x++) {
    const int64_t top = row * c->w + x, low = top + c->w;
    cli_foreground(f, color, input ? c->input[top] : heat_color(c, top));
    if (row + 1 < c->h) cli_background(f, color, input ? c->input[low] : heat_color(c, low));
    fputs("▀", f);
  }
  cli_reset(f, color);
}

static void put_color(FILE *f, int color, const cells *c)
{
  for (int64_t row = 0; row < c->h; row += 2) {
    fputs("  ", f);
    if (c->input) {
      put_row(f, color, c, row, true);
      fputs("  ", f);
    }
    put_row(f, color, c, row, false);
    fputc('\n', f);
  }
}

static void put_legend(FILE *f, int color, const cli_view *v, const cells *c)
{
  fputs("\n  against ", f);
  for (int i = -6; i <= 6; i++) {
    cli_background(f, color, cli_map(CLI_MAP_BWR, i / 6.0));
    fputs("  ", f);
  }
  cli_reset(f, color);
  fputs(" for ", f);
  cli_escape(f, v->target_text, strlen(v->target_text));
  fprintf(f, "; full colour is %.3g a %s\n", c->largest, c->step_x > 1 ? "block" : "pixel");
}

/* ---- characters: a cell is a column wide and a line high ---- */

static void put_plain(FILE *f, const cli_view *v, const cells *c)
{
  static const char SHADE[] = "=~- .:+#@";
  static const double LIMIT[] = {-0.5, -0.2, -0.05, 0.05, 0.2, 0.4, 0.6, 0.8};
  for (int64_t row = 0; row < c->h; row++) {
    size_t blanks = 2;
    for (int64_t x = 0; x < c->w; x++) {
      const double share = c->largest > 0 ? (double)c->heat[row * c->w + x] / c->largest : 0;
      size_t i = 0;
      while (i < sizeof LIMIT / sizeof *LIMIT && share >= LIMIT[i])
        i++;
      if (SHADE[i] == ' ') { /* no blanks at the end of a line */
        blanks++;
        continue;
      }
      fprintf(f, "%*s%c", (int)blanks, "", SHADE[i]);
      blanks = 0;
    }
    fputc('\n', f);
  }
  fputs("\n  . : + # @ speak for, - ~ = against ", f);
  cli_escape(f, v->target_text, strlen(v->target_text));
  fprintf(f, ", stronger and stronger; the largest is %.3g\n", c->largest);
}

void cli_show_image(FILE *f, int color, const cli_view *v)
{
  int64_t h, w;
  cells c = {0};
  lrp_real *rel = cli_pixels(v, &h, &w);
  const int64_t columns = cli_columns(f) ? cli_columns(f) : 80;
  const int64_t room = color && v->input->pixels ? (columns - 6) / 2 : columns - 4;
  c.step_x = w > room ? (w + room - 1) / room : 1;
  c.step_y = color ? c.step_x : 2 * c.step_x;
  if (rel && make_cells(v, rel, h, w, &c)) {
    fputc('\n', f);
    if (color) {
      put_color(f, color, &c);
      put_legend(f, color, v, &c);
    } else {
      put_plain(f, v, &c);
    }
  }
  free_cells(&c);
  free(rel);
}
