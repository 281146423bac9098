/* image_resize.c - resizing with the very bytes of Pillow 11: two passes over 8-bit pixels, along x
 * first, with weights of 22 bits.
 *
 * The weights follow Pillow's documentation of its resampling filters: a filter is stretched by the
 * factor of shrinking, so that every source pixel counts (antialiasing). */
#include "image.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NEAREST = 0, BILINEAR = 2, BICUBIC = 3 };
enum { WEIGHT_BITS = 22 }; /* 32 bits less 8 of a pixel and 2 of overshoot */

typedef struct taps { /* how one output position is summed up */
  int64_t n, most;    /* output positions; weights of each */
  int64_t *from, *count;
  int32_t *weight;
} taps;

static double triangle(double x)
{
  x = fabs(x);
  return x < 1 ? 1 - x : 0;
}

/* Keys 1981, a = -1/2. */
static double cubic(double x)
{
  const double a = -0.5;
  x = fabs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

static void taps_free(taps *t)
{
  free(t->from);
  free(t->count);
  free(t->weight);
  *t = (taps){0};
}

static lrp_status taps_new(lrp_ctx *ctx, int64_t n_in, int64_t n, int filter, taps *t)
{
  double scale = (double)n_in / (double)n, stretch = scale < 1 ? 1 : scale;
  double support = (filter == BICUBIC ? 2 : 1) * stretch;
  *t = (taps){.n = n, .most = (int64_t)ceil(support) * 2 + 1};
  size_t room = 0;
  bool fits = lrp_mul_size((size_t)n, (size_t)t->most, &room) &&
              lrp_mul_size(room, sizeof *t->weight, &room);
  t->from = malloc((size_t)n * sizeof *t->from);
  t->count = malloc((size_t)n * sizeof *t->count);
  t->weight = fits ? malloc(room) : NULL;
  double *w = malloc((size_t)t->most * sizeof *w);
  if (!t->from || !t->count || !t->weight || !w) {
    free(w);
    taps_free(t);
    return lrp_nomem(ctx, "resizing a picture");
  }
  for (int64_t i = 0; i < n; i++) {
    double center = ((double)i + 0.5) * scale, sum = 0;
    int64_t lo = (int64_t)(center - support + 0.5), hi = (int64_t)(center + support + 0.5);
    if (center - support + 0.5 < 0) lo = 0;
    if (hi > n_in) hi = n_in;
    for (int64_t k = lo; k < hi; k++) {
      double x = ((double)k - center + 0.5) / stretch;
      w[k - lo] = filter == BICUBIC ? cubic(x) : triangle(x);
      sum += w[k - lo];
    }
    for (int64_t k = 0; k < hi - lo; k++) {
      double fixed = (sum != 0 ? w[k] / sum : w[k]) * (1 << WEIGHT_BITS);
      t->weight[i * t->most + k] = (int32_t)(fixed < 0 ? fixed - 0.5 : fixed + 0.5);
    }
    t->from[i] = lo;
    t->count[i] = hi - lo;
  }
  free(w);
  return LRP_OK;
}

static uint8_t to_byte(int64_t sum)
{
  int64_t v = sum >> WEIGHT_BITS;
  return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

/* Along x: in (h,w,c) to out (h,t->n,c). */
static void pass_x(const taps *t, const lrp_image *in, lrp_image *out)
{
  for (int64_t y = 0; y < in->h; y++)
    for (int64_t x = 0; x < t->n; x++)
      for (int64_t c = 0; c < in->c; c++) {
        int64_t sum = (int64_t)1 << (WEIGHT_BITS - 1);
        const uint8_t *p = in->pixels + (y * in->w + t->from[x]) * in->c + c;
        for (int64_t k = 0; k < t->count[x]; k++)
          sum += (int64_t)p[k * in->c] * t->weight[x * t->most + k];
        out->pixels[(y * out->w + x) * in->c + c] = to_byte(sum);
      }
}

/* Along y: in (h,w,c) to out (t->n,w,c). */
static void pass_y(const taps *t, const lrp_image *in, lrp_image *out)
{
  int64_t row = in->w * in->c;
  for (int64_t y = 0; y < t->n; y++)
    for (int64_t i = 0; i < row; i++) {
      int64_t sum = (int64_t)1 << (WEIGHT_BITS - 1);
      const uint8_t *p = in->pixels + t->from[y] * row + i;
      for (int64_t k = 0; k < t->count[y]; k++)
        sum += (int64_t)p[k * row] * t->weight[y * t->most + k];
      out->pixels[y * row + i] = to_byte(sum);
    }
}

/* Positions are added up, not multiplied: so does PIL, and on a border the last bit decides. */
static void nearest_positions(int64_t n_in, int64_t n, int64_t *from)
{
  double step = (double)n_in / (double)n, at = step * 0.5;
  for (int64_t i = 0; i < n; i++, at += step)
    from[i] = (int64_t)at < n_in ? (int64_t)at : n_in - 1;
}

static lrp_status nearest(lrp_ctx *ctx, const lrp_image *in, lrp_image *out)
{
  int64_t *from = malloc((size_t)(out->w + out->h) * sizeof *from);
  if (!from) return lrp_nomem(ctx, "resizing a picture");
  const int64_t *from_y = from + out->w;
  nearest_positions(in->w, out->w, from);
  nearest_positions(in->h, out->h, from + out->w);
  for (int64_t y = 0; y < out->h; y++)
    for (int64_t x = 0; x < out->w; x++)
      memcpy(out->pixels + (y * out->w + x) * in->c,
             in->pixels + (from_y[y] * in->w + from[x]) * in->c, (size_t)in->c);
  free(from);
  return LRP_OK;
}

typedef void pass_fn(const taps *, const lrp_image *, lrp_image *);

static lrp_status run_pass(lrp_ctx *ctx, const char *path, pass_fn *pass, int64_t n_in, int64_t n,
                           int filter, const lrp_image *in, int64_t w, int64_t h, lrp_image *out)
{
  taps t;
  lrp_status status = lrp_image_new(ctx, path, w, h, in->c, out);
  if (!status) status = taps_new(ctx, n_in, n, filter, &t);
  if (status) return status;
  pass(&t, in, out);
  taps_free(&t);
  return LRP_OK;
}

lrp_status lrp_image_resize(lrp_ctx *ctx, const char *path, const lrp_image *in, int64_t w,
                            int64_t h, int filter, lrp_image *out)
{
  lrp_image wide = {0};
  *out = (lrp_image){0};
  lrp_status status = LRP_OK;
  if (filter == NEAREST || (w == in->w && h == in->h)) {
    status = lrp_image_new(ctx, path, w, h, in->c, out);
    if (!status) status = nearest(ctx, in, out);
    if (status) lrp_image_free(out);
    return status;
  }
  const lrp_image *from = in;
  if (w != in->w) {
    status = run_pass(ctx, path, pass_x, in->w, w, filter, in, w, in->h, h == in->h ? out : &wide);
    from = &wide;
  }
  if (!status && h != in->h)
    status = run_pass(ctx, path, pass_y, in->h, h, filter, from, w, h, out);
  lrp_image_free(&wide);
  if (status) lrp_image_free(out);
  return status;
}
