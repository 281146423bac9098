/* sheet.c - a picture with lettering: cells, headings, notes and the scale. */
#include "sheet.h"
#include "letters.h"
#include "lrp/image.h"
#include <stdlib.h>
#include <string.h>

enum { CELL = 128, GAP = 8, BAR = 10, LINE = CLI_LETTER_H, BAR_WIDTH = 255 };
static const cli_rgb BLACK = {0, 0, 0}, DARK = {70, 70, 70};

static int64_t cell_w(const cli_sheet *s)
{
  return s->w * s->zoom;
}

static int64_t cell_h(const cli_sheet *s)
{
  return s->h * s->zoom;
}

static int64_t left_of(const cli_sheet *s, int column)
{
  return GAP + column * (cell_w(s) + GAP);
}

static int64_t top_of(const cli_sheet *s, int64_t row)
{
  return s->top + row * (cell_h(s) + GAP + CLI_SHEET_LINES * LINE + GAP);
}

static void put_text(const cli_sheet *s, int64_t x, int64_t y, int64_t zoom, int64_t room,
                     cli_rgb ink, const char *text)
{
  cli_letters(s->rgb, s->width, s->height, x, y, zoom, room, ink, text);
}

static void put(const cli_sheet *s, int64_t x, int64_t y, cli_rgb c)
{
  if (x >= 0 && y >= 0 && x < s->width && y < s->height)
    memcpy(s->rgb + 3 * (y * s->width + x), (const uint8_t[]){c.r, c.g, c.b}, 3);
}

/* Twice as large where all of them fit into their columns. */
static void put_headings(const cli_sheet *s, const char *const *heading)
{
  int64_t zoom = 2;
  for (int i = 0; i < s->columns; i++)
    if (cli_letters_width(heading[i], 2) > cell_w(s)) zoom = 1;
  for (int i = 0; i < s->columns; i++)
    put_text(s, left_of(s, i), s->top - GAP / 2 - LINE * zoom + (zoom == 2 ? 2 : 0), zoom,
             cell_w(s), BLACK, heading[i]);
}

/* -1 0 +1 under the bar, in words. */
static void put_scale(const cli_sheet *s, const char *scale)
{
  const int64_t y0 = s->height - GAP - 2 * LINE - BAR,
                w = BAR_WIDTH < s->width - 2 * GAP ? BAR_WIDTH : s->width - 2 * GAP;
  for (int64_t y = 0; y < BAR; y++)
    for (int64_t x = 0; x < w; x++)
      put(s, GAP + x, y0 + y,
          cli_map(CLI_MAP_BWR, w > 1 ? 2.0 * (double)x / (double)(w - 1) - 1 : 0));
  for (int64_t x = -1; x <= w; x++) {
    put(s, GAP + x, y0 - 1, (cli_rgb){187, 187, 187});
    put(s, GAP + x, y0 + BAR, (cli_rgb){187, 187, 187});
  }
  put_text(s, GAP, y0 + BAR + 3, 1, w, DARK, "-max: against");
  put_text(s, GAP + w / 2 - CLI_LETTER_W / 2, y0 + BAR + 3, 1, w, DARK, "0");
  const char *positive = "for: +max";
  put_text(s, GAP + w - cli_letters_width(positive, 1), y0 + BAR + 3, 1, w, DARK, positive);
  put_text(s, GAP, y0 + BAR + 3 + LINE, 1, s->width - 2 * GAP, DARK, scale);
}

int cli_sheet_new(cli_sheet *s, const char *path, const char *option, const char *title,
                  const char *const *heading, const char *scale)
{
  const int64_t side = s->h > s->w ? s->h : s->w;
  s->zoom = side < CELL ? (CELL + side - 1) / side : 1;
  s->top = GAP + LINE + GAP / 2 + 2 * LINE + GAP / 2;
  s->width = left_of(s, s->columns);
  s->height = top_of(s, s->rows) + GAP + BAR + 2 * LINE + GAP;
  if (s->height > LRP_PIXELS_MAX / s->width) {
    cli_error("%s: a picture of %lld x %lld pixels is too large; ask for less with %s", path,
              (long long)s->width, (long long)s->height, option);
    return 2;
  }
  s->rgb = malloc((size_t)(s->width * s->height) * 3);
  if (!s->rgb) {
    cli_error("no memory");
    return 1;
  }
  memset(s->rgb, 255, (size_t)(s->width * s->height) * 3);
  put_text(s, GAP, GAP, 1, s->width - 2 * GAP, DARK, title);
  put_headings(s, heading);
  put_scale(s, scale);
  return 0;
}

void cli_sheet_map(const cli_sheet *s, int64_t row, int column, const cli_grid *g)
{
  if (g->h == s->h && g->w == s->w)
    cli_grid_paint(g, s->rgb, s->width, left_of(s, column), top_of(s, row), s->zoom);
}

/* In the size of the maps, each of its pixels as it is. */
void cli_sheet_picture(const cli_sheet *s, int64_t row, int column, const lrp_image *in)
{
  const int64_t h = cell_h(s), w = cell_w(s);
  for (int64_t y = 0; y < h; y++)
    for (int64_t x = 0; x < w; x++) {
      const uint8_t *p = in->pixels + (y * in->h / h * in->w + x * in->w / w) * in->c;
      put(s, left_of(s, column) + x, top_of(s, row) + y,
          in->c >= 3 ? (cli_rgb){p[0], p[1], p[2]} : (cli_rgb){p[0], p[0], p[0]});
    }
}

/* Much of a map is as white as the page. */
void cli_sheet_frame(const cli_sheet *s, int64_t row, int column)
{
  const int64_t x0 = left_of(s, column) - 1, y0 = top_of(s, row) - 1, w = cell_w(s) + 2,
                h = cell_h(s) + 2;
  for (int64_t y = 0; y < h; y++)
    for (int64_t x = 0; x < w; x++)
      if (!y || !x || y == h - 1 || x == w - 1) put(s, x0 + x, y0 + y, (cli_rgb){187, 187, 187});
}

void cli_sheet_note(const cli_sheet *s, int64_t row, int column, int line, const char *text)
{
  put_text(s, left_of(s, column), top_of(s, row) + cell_h(s) + GAP / 2 + line * LINE, 1,
           cell_w(s) + GAP / 2, BLACK, text);
}

lrp_status cli_sheet_write(const cli_sheet *s, lrp_ctx *ctx, const char *path)
{
  return lrp_image_write_png(ctx, path, s->width, s->height, 3, s->rgb);
}

void cli_sheet_free(cli_sheet *s)
{
  free(s->rgb);
  s->rgb = NULL;
}
