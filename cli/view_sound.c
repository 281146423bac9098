/* view_sound.c - a frame of sound: its waveform and where the relevance is, in slices of time or as
 * a picture. */
#include "cli.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Sample i of the frame; zeros around the sound. */
static double level(const lrp_input *in, int64_t i)
{
  const int64_t k = in->sound_at + i;
  return k >= 0 && k < in->n_sound ? (double)in->sound[k] : 0;
}

static double loudest(const lrp_input *in, int64_t from, int64_t to)
{
  double most = 0;
  for (int64_t i = from; i < to; i++)
    most = fmax(most, fabs(level(in, i)));
  return most;
}

/* ---- in a terminal: a bar for each slice of time ---- */

static void put_bar(FILE *f, int color, double share, int width)
{
  const int n = (int)lround(fabs(share) * width);
  cli_foreground(f, color, cli_map(CLI_MAP_COOLWARM, share > 0 ? 1 : -1));
  for (int i = 0; i < n; i++)
    fputs(color ? "█" : share > 0 ? "+" : "-", f);
  cli_reset(f, color);
}

static void put_slices(FILE *f, int color, const cli_view *v, double rate)
{
  enum { SLICES = 32, LEVEL = 10, BAR = 30 };
  const int64_t n = v->n_rel, slices = n < SLICES ? n : SLICES;
  lrp_real sum[SLICES] = {0};
  const double loud = loudest(v->input, 0, n);
  for (int64_t i = 0; i < n; i++)
    sum[i * slices / n] += v->rel[i];
  const double largest = cli_largest(sum, slices);
  fprintf(f, "\n  %9s  %-*s  %11s\n", "time", LEVEL, "level", "relevance");
  for (int64_t k = 0; k < slices; k++) {
    const int64_t from = (k * n + slices - 1) / slices, to = ((k + 1) * n + slices - 1) / slices;
    const int high = loud > 0 ? (int)lround(LEVEL * loudest(v->input, from, to) / loud) : 0;
    fprintf(f, "  %7.4f s  %-*.*s  %11.*f  ", (double)(v->input->sound_at + from) / rate, LEVEL,
            high, "##########", cli_decimals(largest), (double)sum[k]);
    put_bar(f, color, largest > 0 ? (double)sum[k] / largest : 0, BAR);
    fputc('\n', f);
  }
}

void cli_show_sound(FILE *f, int color, const cli_view *v)
{
  const lrp_input *in = v->input;
  const double rate = (double)lrp_model_about(v->model)->sound->rate;
  fprintf(f, "\n  %.4f s to %.4f s of a sound of %.3f s\n", (double)in->sound_at / rate,
          (double)(in->sound_at + v->n_rel) / rate, (double)in->n_sound / rate);
  put_slices(f, color, v, rate);
  fputs("\n  relevance above 0 speaks for ", f);
  cli_escape(f, v->target_text, strlen(v->target_text));
  fputs(", below 0 against\n", f);
}

/* ---- as a picture: the relevance of each column as its colour, the waveform over it ---- */

static void put_column(uint8_t *rgb, int64_t w, int64_t h, int64_t x, cli_rgb heat, double low,
                       double high)
{
  const int64_t top = (int64_t)lround((1 - high) / 2 * (double)(h - 1)),
                foot = (int64_t)lround((1 - low) / 2 * (double)(h - 1));
  for (int64_t y = 0; y < h; y++) {
    const cli_rgb c = y >= top && y <= foot ? (cli_rgb){30, 30, 30} : heat;
    memcpy(rgb + (y * w + x) * 3, (const uint8_t[]){c.r, c.g, c.b}, 3);
  }
}

uint8_t *cli_sound_pixels(const cli_view *v, int64_t *w, int64_t *h, double *largest)
{
  enum { WIDTH = 512, HEIGHT = 192 };
  const int64_t n = v->n_rel, columns = n < WIDTH ? n : WIDTH;
  const double loud = loudest(v->input, 0, n);
  lrp_real *sum = calloc((size_t)columns + 1, sizeof *sum);
  uint8_t *rgb = malloc((size_t)columns * HEIGHT * 3 + 1);
  if (!sum || !rgb) {
    free(sum);
    free(rgb);
    return NULL;
  }
  for (int64_t i = 0; i < n; i++)
    sum[i * columns / n] += v->rel[i];
  *largest = cli_largest(sum, columns);
  for (int64_t x = 0; x < columns; x++) {
    const int64_t from = (x * n + columns - 1) / columns,
                  to = ((x + 1) * n + columns - 1) / columns;
    double low = level(v->input, from), high = low;
    for (int64_t i = from > 0 ? from - 1 : 0; i < to; i++) { /* joined to the column before */
      low = fmin(low, level(v->input, i));
      high = fmax(high, level(v->input, i));
    }
    put_column(rgb, columns, HEIGHT, x,
               cli_map(CLI_MAP_BWR, *largest > 0 ? (double)sum[x] / *largest : 0),
               loud > 0 ? low / loud : 0, loud > 0 ? high / loud : 0);
  }
  free(sum);
  *w = columns;
  *h = HEIGHT;
  return rgb;
}
