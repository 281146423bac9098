/* picture.c - an explanation as PNG: the input, the heatmap, a scale with numbers.  For text: see
 * html.c. */
#include "letters.h"
#include "lrp/image.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct canvas {
  int64_t w, h;
  uint8_t *rgb;
} canvas;

static void put(canvas *c, int64_t x, int64_t y, cli_rgb v)
{
  if (x < 0 || y < 0 || x >= c->w || y >= c->h) return;
  uint8_t *p = c->rgb + (y * c->w + x) * 3;
  p[0] = v.r;
  p[1] = v.g;
  p[2] = v.b;
}

static void put_number(canvas *c, int64_t x, int64_t y, const char *s)
{
  cli_letters(c->rgb, c->w, c->h, x, y, 1, c->w - x, (cli_rgb){40, 40, 40}, s);
}

/* ---- parts ---- */

typedef struct layout {
  int64_t h, w, zoom, left; /* of the picture; left edge of the heatmap */
  const lrp_real *rel;
  double largest;
} layout;
enum { MARGIN = 8, BAR = 12, NUMBERS = 60 };

static void put_input(canvas *c, const lrp_input *in, const layout *l)
{
  for (int64_t y = 0; y < l->h * l->zoom; y++)
    for (int64_t x = 0; x < l->w * l->zoom; x++) {
      const uint8_t *p = in->pixels + (y / l->zoom * in->image_w + x / l->zoom) * in->image_c;
      put(c, MARGIN + x, MARGIN + y,
          in->image_c >= 3 ? (cli_rgb){p[0], p[1], p[2]} : (cli_rgb){p[0], p[0], p[0]});
    }
}

static void put_heat(canvas *c, const layout *l)
{
  for (int64_t y = 0; y < l->h * l->zoom; y++)
    for (int64_t x = 0; x < l->w * l->zoom; x++) {
      const double v = (double)l->rel[y / l->zoom * l->w + x / l->zoom];
      put(c, l->left + x, MARGIN + y, cli_map(CLI_MAP_BWR, l->largest > 0 ? v / l->largest : 0));
    }
}

/* A grey line around: much of a heatmap is as white as the page. */
static void put_frame(canvas *c, int64_t x, int64_t y, int64_t w, int64_t h)
{
  const cli_rgb grey = {170, 170, 170};
  for (int64_t i = -1; i <= w; i++) {
    put(c, x + i, y - 1, grey);
    put(c, x + i, y + h, grey);
  }
  for (int64_t i = -1; i <= h; i++) {
    put(c, x - 1, y + i, grey);
    put(c, x + w, y + i, grey);
  }
}

static void put_scale(canvas *c, const layout *l)
{
  char number[32];
  const int64_t x0 = l->left + l->w * l->zoom + MARGIN, height = l->h * l->zoom;
  for (int64_t y = 0; y < height; y++)
    for (int64_t x = 0; x < BAR; x++)
      put(c, x0 + x, MARGIN + y,
          cli_map(CLI_MAP_BWR, height > 1 ? 1 - 2.0 * (double)y / (double)(height - 1) : 0));
  put_frame(c, x0, MARGIN, BAR, height);
  snprintf(number, sizeof number, "%+.3g", l->largest);
  put_number(c, x0 + BAR + 4, MARGIN, number);
  put_number(c, x0 + BAR + 4, MARGIN + height / 2 - 3, "0");
  snprintf(number, sizeof number, "%+.3g", -l->largest);
  put_number(c, x0 + BAR + 4, MARGIN + height - 7, number);
}

static lrp_status sound_png(lrp_ctx *ctx, const cli_view *v, const char *path)
{
  int64_t w, h;
  double largest;
  uint8_t *rgb = cli_sound_pixels(v, &w, &h, &largest);
  const lrp_status st = rgb ? lrp_image_write_png(ctx, path, w, h, 3, rgb) : LRP_E_NOMEM;
  free(rgb);
  return st;
}

lrp_status cli_png(lrp_ctx *ctx, const cli_view *v, const char *path)
{
  layout l = {0};
  if (v->input->kind == LRP_MODALITY_SOUND && v->rel_input >= 0) return sound_png(ctx, v, path);
  lrp_real *rel = v->rel_input >= 0 ? cli_pixels(v, &l.h, &l.w) : NULL;
  if (!rel) return LRP_E_NOMEM;
  l.rel = rel;
  l.largest = cli_largest(rel, l.h * l.w);
  const int64_t side = l.h > l.w ? l.h : l.w;
  l.zoom = side < 256 ? (256 + side - 1) / side : 1;
  const bool input = v->input->pixels && v->input->image_w == l.w && v->input->image_h == l.h;
  l.left = MARGIN + (input ? l.w * l.zoom + MARGIN : 0);
  canvas c = {.w = l.left + l.w * l.zoom + MARGIN + BAR + NUMBERS, .h = l.h * l.zoom + 2 * MARGIN};
  if (c.h < 64) c.h = 64;
  c.rgb = malloc((size_t)(c.w * c.h) * 3);
  lrp_status st = LRP_E_NOMEM;
  if (c.rgb) {
    memset(c.rgb, 255, (size_t)(c.w * c.h) * 3);
    if (input) put_input(&c, v->input, &l);
    put_heat(&c, &l);
    put_frame(&c, l.left, MARGIN, l.w * l.zoom, l.h * l.zoom);
    put_scale(&c, &l);
    st = lrp_image_write_png(ctx, path, c.w, c.h, 3, c.rgb);
  }
  free(c.rgb);
  free(rel);
  return st;
}
