/* compare_page.c - explanations side by side, as a page or a picture: rows are inputs; columns the input,
 * A, B and the difference.
 *
 * Each heatmap has its own scale, with 0 in the middle; the difference is half of A / max|A| - B /
 * max|B|. */
#include "dbase.h"
#include "lrp/image.h"
#include "sheet.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char SQL_ABOUT[] =
    "SELECT v.input, v.target, v.label, v.predicted, i.kind, i.path, i.sha256, i.shape, "
    "v.composite, v.run_id, v.model, ifnull(i.ordinal, -1)\n"
    "FROM v_explanation v JOIN input i USING (input_id) WHERE v.explanation_id = ?1";
static const char SQL_TOKENS[] =
    "SELECT k.byte_begin, k.byte_end FROM explanation x JOIN token k USING (tokenization_id)\n"
    "WHERE x.explanation_id = ?1 ORDER BY k.position";

enum { COLUMNS = 3 };
typedef struct page {
  cli_db *d;
  const cli_pairs *pairs;
  sqlite3_stmt *about, *tokens, *read;
  cli_relevance r;
  cli_grid g[COLUMNS];
  dataset *pictures; /* see cli_picture_read() */
} page;

/* ---- relevance as a grid ---- */

static int grids(page *p, const cli_pair *pair)
{
  int status = cli_grid_read(p->d, &p->read, &p->r, pair->a, &p->g[0]);
  if (!status) status = cli_grid_read(p->d, &p->read, &p->r, pair->b, &p->g[1]);
  cli_grid *d = &p->g[2];
  d->h = d->w = 0;
  if (status || !p->g[0].h || p->g[0].h != p->g[1].h || p->g[0].w != p->g[1].w) return status;
  double *v = realloc(d->v, (size_t)(p->g[0].h * p->g[0].w) * sizeof *v);
  if (!v) {
    cli_error("no memory");
    return 1;
  }
  *d = (cli_grid){.v = v, .h = p->g[0].h, .w = p->g[0].w, .largest = 1};
  for (int64_t i = 0; i < d->h * d->w; i++)
    v[i] = 0.5 * (cli_grid_share(&p->g[0], i) - cli_grid_share(&p->g[1], i));
  return 0;
}

/* ---- the page ---- */

static void put_text(FILE *f, const char *s, size_t n)
{
  for (size_t i = 0; i < n; i++)
    if (s[i] == '&' || s[i] == '<' || s[i] == '>' || s[i] == '"' || s[i] == '\'')
      fprintf(f, "&#%d;", s[i]);
    else if ((unsigned char)s[i] < 32 && s[i] != '\n' && s[i] != '\t')
      fprintf(f, "\\x%02X", (unsigned char)s[i]);
    else
      fputc(s[i], f);
}

static void put_string(FILE *f, const char *s)
{
  put_text(f, s, strlen(s));
}

static void put_base64(FILE *f, const uint8_t *p, size_t n)
{
  static const char DIGIT[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (size_t i = 0; i < n; i += 3) {
    const uint32_t v = (uint32_t)p[i] << 16 | (uint32_t)(i + 1 < n ? p[i + 1] : 0) << 8 |
                       (uint32_t)(i + 2 < n ? p[i + 2] : 0);
    fputc(DIGIT[v >> 18], f);
    fputc(DIGIT[v >> 12 & 63], f);
    fputc(i + 1 < n ? DIGIT[v >> 6 & 63] : '=', f);
    fputc(i + 2 < n ? DIGIT[v & 63] : '=', f);
  }
}

static lrp_status put_pixels(page *p, FILE *f, const char *alt, const lrp_image *image)
{
  uint8_t *png;
  size_t n;
  const lrp_status st =
      lrp_image_png(p->d->ctx, image->w, image->h, image->c, image->pixels, &png, &n);
  const int64_t side = image->w > image->h ? image->w : image->h,
                zoom = side < 200 ? (200 + side - 1) / side : 1;
  if (st) return st;
  fprintf(f, "<img width=%lld height=%lld alt=\"%s\" src=\"data:image/png;base64,",
          (long long)(image->w * zoom), (long long)(image->h * zoom), alt);
  put_base64(f, png, n);
  fputs("\">", f);
  free(png);
  return LRP_OK;
}

static lrp_status put_heat(page *p, FILE *f, const cli_grid *g, const char *alt)
{
  lrp_image image = {.w = g->w, .h = g->h, .c = 3, .pixels = malloc((size_t)(g->h * g->w) * 3 + 1)};
  if (!image.pixels) return LRP_E_NOMEM;
  cli_grid_paint(g, image.pixels, g->w, 0, 0, 1);
  const lrp_status st = put_pixels(p, f, alt, &image);
  free(image.pixels);
  return st;
}

static void put_token(FILE *f, const char *s, size_t n, double v, double r)
{
  const cli_rgb c = cli_map(CLI_MAP_COOLWARM, v);
  fprintf(f, "<span style=\"background:#%02x%02x%02x;color:%s\" title=\"%+.4g\">", c.r, c.g, c.b,
          cli_dark(c) ? "#fff" : "#000", r);
  put_text(f, s, n);
  fputs("</span>", f);
}

static int put_tokens(page *p, FILE *f, int64_t id, const char *text, const cli_grid *g)
{
  int status = 0;
  int64_t i = 0, at = 0;
  const int64_t n = (int64_t)strlen(text);
  sqlite3_bind_int64(p->tokens, 1, id);
  for (; cli_db_row(p->d, p->tokens, &status); i++) {
    const int64_t begin = sqlite3_column_int64(p->tokens, 0),
                  end = sqlite3_column_int64(p->tokens, 1);
    if (begin < at || end <= begin || end > n || i >= g->h * g->w) continue;
    put_text(f, text + at, (size_t)(begin - at));
    put_token(f, text + begin, (size_t)(end - begin), cli_grid_share(g, i), g->v[i]);
    at = end;
  }
  put_text(f, text + at, (size_t)(n - at));
  sqlite3_reset(p->tokens);
  return status;
}

static int put_cell(page *p, FILE *f, const cli_pair *pair, int column, bool text,
                    const char *input)
{
  static const char *const ALT[] = {"relevance under A", "relevance under B", "the difference"};
  const cli_grid *g = &p->g[column];
  int status = 0;
  fputs("<td>", f);
  if (!g->h)
    fputs("not drawn", f);
  else if (text)
    status = put_tokens(p, f, column == 1 ? pair->b : pair->a, input, g);
  else if (put_heat(p, f, g, ALT[column]))
    status = cli_fail(p->d->ctx, LRP_E_NOMEM);
  if (g->h && column < 2) fprintf(f, "<p class=s>max %.3g</p>", g->largest);
  return status;
}

static int put_row(page *p, FILE *f, const cli_pair *pair)
{
  int status = grids(p, pair);
  lrp_image image;
  sqlite3_bind_int64(p->about, 1, pair->a);
  if (!status && cli_db_row(p->d, p->about, &status)) {
    const char *input = cli_db_text(p->about, 0);
    const bool text = !strcmp(cli_db_text(p->about, 4), "text");
    fputs("<tr><td class=i>", f);
    if (!strcmp(cli_db_text(p->about, 4), "image") &&
        cli_picture_read(p->d, &p->pictures, cli_db_text(p->about, 5),
                         sqlite3_column_int64(p->about, 11), cli_db_text(p->about, 6),
                         cli_db_text(p->about, 7), &image)) {
      put_pixels(p, f, "the input", &image);
      lrp_image_free(&image);
    }
    fputs("<p class=s>", f);
    if (!text) put_string(f, input);
    fputs("</p><p class=s>explained: <b>", f);
    put_string(f, cli_db_text(p->about, 1));
    fputs("</b>; predicted: ", f);
    put_string(f, cli_db_text(p->about, 3));
    if (sqlite3_column_type(p->about, 2) != SQLITE_NULL) {
      fputs("; true: ", f);
      put_string(f, cli_db_text(p->about, 2));
    }
    fprintf(f, "<br>explanations %lld, %lld</p>", (long long)pair->a, (long long)pair->b);
    for (int c = 0; !status && c < COLUMNS; c++)
      status = put_cell(p, f, pair, c, text, input);
    fputs("</tr>\n", f);
  }
  sqlite3_reset(p->about);
  return status;
}

static int write_page(page *p, const int64_t *row, int64_t n, const char *path)
{
  char *text = NULL;
  size_t size = 0;
  int status = 0;
  FILE *f = open_memstream(&text, &size);
  if (!f) return cli_fail(p->d->ctx, LRP_E_NOMEM);
  fputs("<!DOCTYPE html>\n<html lang=en><meta charset=utf-8><meta name=viewport "
        "content=\"width=device-width\">\n"
        "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; style-src "
        "'unsafe-inline'; img-src data:\">\n"
        "<title>lrp compare</title>\n<style>body{font:16px/1.5 "
        "system-ui,sans-serif;margin:2rem;color:#222;background:#fff}"
        "table{border-collapse:collapse}td,th{padding:.5rem;text-align:left;vertical-align:top;"
        "border-top:1px solid #ccc;"
        "white-space:pre-wrap;overflow-wrap:anywhere}td.i{max-width:16rem}img{image-rendering:"
        "pixelated;border:1px solid #ccc}"
        ".s{color:#555;font-size:.85rem;margin:.2rem 0}</style>\n<h1>",
        f);
  put_string(f, p->pairs->side[0].name);
  fputs(" and ", f);
  put_string(f, p->pairs->side[1].name);
  fputs("</h1>\n<p>The inputs on which they disagree most come first. Red speaks for the explained "
        "class, blue against it; 0 is white or "
        "grey. Each map has its own scale; the difference is half of A / max|A| - B / "
        "max|B|.</p>\n<table><tr><th>input<th>A: ",
        f);
  put_string(f, p->pairs->side[0].name);
  fputs("<th>B: ", f);
  put_string(f, p->pairs->side[1].name);
  fputs("<th>A - B</tr>\n", f);
  for (int64_t i = 0; !status && i < n; i++)
    status = put_row(p, f, &p->pairs->pair[row[i]]);
  fprintf(f, "</table>\n<p class=s>lrp %s</p></html>\n", lrp_version());
  const bool closed = !fclose(f);
  lrp_status st = status || closed ? LRP_OK : LRP_E_NOMEM;
  if (!status && !st) st = lrp_file_write(p->d->ctx, path, text, size);
  free(text);
  return status ? status : st ? cli_fail(p->d->ctx, st) : 0;
}

/* ---- the picture: cells of one size ---- */

static int no_picture(const char *path)
{
  cli_error("%s: these inputs are no pictures of one size; name a page instead, as compare.html",
            path);
  return 2;
}

/* What follows the last slash of a path. */
static const char *base_of(const char *path)
{
  const char *slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

static int note_input(page *p, const cli_sheet *s, int64_t row, const cli_pair *pair)
{
  int status = 0;
  lrp_image image;
  char text[400];
  sqlite3_bind_int64(p->about, 1, pair->a);
  if (cli_db_row(p->d, p->about, &status)) {
    if (!strcmp(cli_db_text(p->about, 4), "image") &&
        cli_picture_read(p->d, &p->pictures, cli_db_text(p->about, 5),
                         sqlite3_column_int64(p->about, 11), cli_db_text(p->about, 6),
                         cli_db_text(p->about, 7), &image)) {
      cli_sheet_picture(s, row, 0, &image);
      lrp_image_free(&image);
    }
    cli_sheet_note(s, row, 0, 0, base_of(cli_db_text(p->about, 0)));
    snprintf(text, sizeof text, "explained: %s", cli_db_text(p->about, 1));
    cli_sheet_note(s, row, 0, 1, text);
  }
  cli_sheet_frame(s, row, 0);
  sqlite3_reset(p->about);
  return status;
}

static void note_maps(page *p, const cli_sheet *s, int64_t row)
{
  char text[64];
  for (int c = 0; c < COLUMNS; c++) {
    cli_sheet_frame(s, row, c + 1);
    if (!p->g[c].h) continue;
    cli_sheet_map(s, row, c + 1, &p->g[c]);
    snprintf(text, sizeof text, c < 2 ? "max %.3g" : "(A / max - B / max) / 2", p->g[c].largest);
    cli_sheet_note(s, row, c + 1, 0, text);
  }
}

static int write_png(page *p, const int64_t *row, int64_t n, const char *path)
{
  char title[600], a[300], b[300];
  cli_sheet s = {.rows = n, .columns = COLUMNS + 1};
  int status = n ? grids(p, &p->pairs->pair[row[0]]) : 0;
  if (status) return status;
  if (!n || p->g[0].h < 2 || !p->g[2].h) return no_picture(path);
  s.h = p->g[0].h;
  s.w = p->g[0].w;
  snprintf(a, sizeof a, "A: %s", p->pairs->side[0].name);
  snprintf(b, sizeof b, "B: %s", p->pairs->side[1].name);
  snprintf(title, sizeof title, "%s and %s, largest disagreement first", p->pairs->side[0].name,
           p->pairs->side[1].name);
  const char *const heading[] = {"input", a, b, "A - B"};
  status = cli_sheet_new(
      &s, path, "--worst", title, heading,
      "each map has its own scale: full colour is its max |R|, written below it; white is 0");
  for (int64_t i = 0; !status && i < n; i++) {
    status = grids(p, &p->pairs->pair[row[i]]);
    if (!status) status = note_input(p, &s, i, &p->pairs->pair[row[i]]);
    if (!status) note_maps(p, &s, i);
  }
  const lrp_status st = status ? LRP_OK : cli_sheet_write(&s, p->d->ctx, path);
  cli_sheet_free(&s);
  return status ? status : st ? cli_fail(p->d->ctx, st) : 0;
}

int cli_pairs_picture(cli_db *d, const cli_pairs *pairs, const int64_t *row, int64_t n,
                      const char *path)
{
  page p = {.d = d, .pairs = pairs};
  p.about = cli_db_ask(d, SQL_ABOUT, "");
  p.tokens = cli_db_ask(d, SQL_TOKENS, "");
  int status = p.about && p.tokens ? 0 : CLI_EXIT_DB;
  if (!status)
    status =
        cli_has_ending(path, ".png") ? write_png(&p, row, n, path) : write_page(&p, row, n, path);
  sqlite3_finalize(p.about);
  sqlite3_finalize(p.tokens);
  sqlite3_finalize(p.read);
  dataset_close(p.pictures);
  free(p.r.v);
  for (int c = 0; c < COLUMNS; c++)
    free(p.g[c].v);
  if (!status) cli_note("%s: %lld input%s side by side", path, (long long)n, cli_plural(n));
  return status;
}
