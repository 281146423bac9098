/* grid.c - relevance and inputs as pictures, from the database. */
#include "grid.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE_MAX = 4096 };

/* (..., c, h, w), (h, w) and (n) of a JSON shape; false: several tensors, or too large to draw. */
static bool shape_of(const char *text, size_t n, int64_t *c, int64_t *h, int64_t *w)
{
  int64_t d[LRP_MAX_RANK] = {0};
  int rank = 0;
  for (const char *p = text; *p && rank < LRP_MAX_RANK; p++) {
    if (p > text && *p == '[') return false;
    if (*p >= '0' && *p <= '9') {
      char *end;
      d[rank++] = strtoll(p, &end, 10);
      p = end - 1;
    }
  }
  *w = rank ? d[rank - 1] : 1;
  *h = rank > 1 ? d[rank - 2] : 1;
  if (*w < 1 || *h < 1 || *w > SIDE_MAX || *h > SIDE_MAX || n % (size_t)(*w * *h)) return false;
  *c = (int64_t)n / (*w * *h);
  return *c > 0;
}

int cli_grid_read(cli_db *d, sqlite3_stmt **kept, cli_relevance *r, int64_t explanation,
                  cli_grid *g)
{
  int64_t c;
  int status = cli_relevance_read(d, kept, explanation, r);
  g->h = g->w = 0;
  g->largest = 0;
  if (status || !shape_of(r->shape, r->n, &c, &g->h, &g->w)) {
    g->h = g->w = 0;
    return status;
  }
  double *v = realloc(g->v, (size_t)(g->h * g->w) * sizeof *v);
  if (!v) {
    cli_error("no memory");
    return 1;
  }
  g->v = v;
  for (int64_t i = 0; i < g->h * g->w; i++) {
    v[i] = 0;
    for (int64_t k = 0; k < c; k++)
      v[i] += r->v[k * g->h * g->w + i];
    g->largest = fmax(g->largest, fabs(v[i]));
  }
  return 0;
}

double cli_grid_share(const cli_grid *g, int64_t i)
{
  return g->largest > 0 ? g->v[i] / g->largest : 0;
}

void cli_grid_paint(const cli_grid *g, uint8_t *rgb, int64_t width, int64_t x0, int64_t y0,
                    int64_t zoom)
{
  for (int64_t y = 0; y < g->h * zoom; y++)
    for (int64_t x = 0; x < g->w * zoom; x++) {
      const cli_rgb c = cli_map(CLI_MAP_BWR, cli_grid_share(g, y / zoom * g->w + x / zoom));
      memcpy(rgb + 3 * ((y0 + y) * width + x0 + x), (const uint8_t[]){c.r, c.g, c.b}, 3);
    }
}

static bool picture_of_file(cli_db *d, const char *path, const char *sha256, const char *shape,
                            lrp_image *out)
{
  long long h, w, c;
  char hex[65] = "";
  lrp_file file;
  *out = (lrp_image){0};
  if (sscanf(shape, "[%lld,%lld,%lld]", &h, &w, &c) != 3 ||
      lrp_file_open(d->ctx, path, "a picture", LRP_IMAGE_FILE_MAX, &file))
    return false;
  if (!lrp_image_decode(d->ctx, path, file.data, file.size, c, out) && out->w == w && out->h == h)
    lrp_sha256(out->pixels, (size_t)(w * h * c), hex);
  lrp_file_close(&file);
  if (!strcmp(hex, sha256)) return true;
  lrp_image_free(out);
  *out = (lrp_image){0};
  return false;
}

/* Pictures of an IDX file are read together, and kept for the next one. */
static bool picture_of_idx(cli_db *db, dataset **kept, const char *path, int64_t ordinal,
                           lrp_image *out)
{
  char tail[32];
  const size_t n = strlen(path);
  const int k = snprintf(tail, sizeof tail, "#%lld", (long long)ordinal);
  if (ordinal < 0 || n <= (size_t)k || strcmp(path + n - (size_t)k, tail)) return false;
  const size_t file = n - (size_t)k;
  dataset *d = *kept;
  if (!d || strlen(d->path) != file || strncmp(d->path, path, file)) {
    dataset_close(d);
    *kept = d = calloc(1, sizeof *d);
    if (d) d->path = strndup(path, file);
    if (!d || !d->path || dataset_open_idx(db->ctx, d)) return false;
  }
  const int64_t size = d->width * d->height * d->channels;
  if (ordinal >= d->n_item || !d->pixels || size < 1) return false;
  *out = (lrp_image){d->width, d->height, d->channels, malloc((size_t)size)};
  if (out->pixels) memcpy(out->pixels, d->pixels + ordinal * size, (size_t)size);
  return out->pixels != NULL;
}

bool cli_picture_read(cli_db *d, dataset **kept, const char *path, int64_t ordinal,
                      const char *sha256, const char *shape, lrp_image *out)
{
  char hex[65];
  *out = (lrp_image){0};
  if (!picture_of_idx(d, kept, path, ordinal, out))
    return picture_of_file(d, path, sha256, shape, out);
  lrp_sha256(out->pixels, (size_t)(out->w * out->h * out->c), hex);
  if (!strcmp(hex, sha256)) return true;
  lrp_image_free(out);
  *out = (lrp_image){0};
  return false;
}
