/* resize.h - the geometry of "resize": which size an axis gets, which place of x an element of y is, and how much each
 * neighbour of that place weighs.  Formulas are those of the ONNX page of Resize. */
#ifndef LRP_PLUGINS_RESIZE_H
#define LRP_PLUGINS_RESIZE_H
#include "rearrange.h"
#include <math.h>

enum { NEAREST, LINEAR, CUBIC };
enum {
  HALF_PIXEL,
  ASYMMETRIC,
  ALIGN_CORNERS,
  PYTORCH_HALF_PIXEL,
  HALF_PIXEL_SYMMETRIC,
  TF_HALF_PIXEL_FOR_NN,
  TF_CROP_AND_RESIZE
};
enum { STRETCH, NOT_LARGER, NOT_SMALLER };
enum { ROUND_PREFER_FLOOR, ROUND_PREFER_CEIL, FLOOR, CEIL };
typedef struct resize {
  lrp_value axes, sizes, scales, roi;
  int mode, where, rounding, exclude, antialias, policy;
  double a, outside;
} resize;

static inline int64_t axis_of(const resize *r, int64_t i, int32_t rank)
{
  return r->axes.ints.v[i] + (r->axes.ints.v[i] < 0 ? rank : 0);
}

/* New size over old one for axis number i of those named. */
static inline double scale_of(const resize *r, int64_t i, const lrp_tensor *x)
{
  if (r->scales.reals.n) return (double)r->scales.reals.v[i];
  const int64_t first = r->policy == STRETCH ? i : 0,
                last = r->policy == STRETCH ? i : r->axes.ints.n - 1;
  double scale = 1;
  for (int64_t k = first; k <= last; k++) {
    const int64_t n = x->shape[axis_of(r, k, x->rank)];
    const double s = n ? (double)r->sizes.ints.v[k] / (double)n : 1;
    if (k == first || (r->policy == NOT_LARGER ? s < scale : s > scale)) scale = s;
  }
  return scale;
}

static inline double size_of(const resize *r, int64_t i, const lrp_tensor *x)
{
  const double n = (double)x->shape[axis_of(r, i, x->rank)];
  if (r->scales.reals.n) return floor(n * scale_of(r, i, x));
  return r->policy == STRETCH ? (double)r->sizes.ints.v[i] : floor(n * scale_of(r, i, x) + 0.5);
}

/* ---- one axis: each element of y is a weighted sum of `taps` neighbours of x ---- */

typedef struct axis {
  int64_t outer, n, m, inner; /* x is (outer,n,inner), y (outer,m,inner) */
  double scale, stretch;      /* of the kernel */
  double start, end;          /* of the crop, 0 to 1 */
  int beyond;                 /* the last row filled lies outside of x, by a crop */
  int64_t taps, *index;
  double *weight;
} axis;

/* The place of x that element j of y is. */
static inline double place(const resize *r, const axis *t, int64_t j)
{
  const int64_t n = t->n, m = t->m;
  const double scale = t->scale, half = ((double)j + 0.5) / scale,
               width = scale * (double)n; /* of y, before it is cut to an integer */
  switch (r->where) {
  case ASYMMETRIC:
    return (double)j / scale;
  case ALIGN_CORNERS:
    return m == 1 ? 0 : (double)j * (double)(n - 1) / (width - 1);
  case PYTORCH_HALF_PIXEL:
    return m > 1 ? half - 0.5 : 0;
  case HALF_PIXEL_SYMMETRIC:
    return (double)n / 2 * (1 - (double)m / width) + half - 0.5;
  case TF_HALF_PIXEL_FOR_NN:
    return half;
  case TF_CROP_AND_RESIZE:
    return (m > 1 ? t->start + (double)j * (t->end - t->start) / (double)(m - 1)
                  : (t->start + t->end) / 2) *
           (double)(n - 1);
  default:
    return half - 0.5;
  }
}

static inline double rounded(int how, double x)
{
  switch (how) {
  case ROUND_PREFER_FLOOR:
    return ceil(x - 0.5);
  case ROUND_PREFER_CEIL:
    return floor(x + 0.5);
  case FLOOR:
    return floor(x);
  default:
    return ceil(x);
  }
}

/* Linear: 1 - |d|; cubic: Keys 1981, as in the ONNX page. */
static inline double kernel(const resize *r, double d)
{
  const double t = fabs(d), a = r->a;
  if (r->mode == LINEAR) return t < 1 ? 1 - t : 0;
  return t < 1   ? ((a + 2) * t - (a + 3)) * t * t + 1
         : t < 2 ? ((a * t - 5 * a) * t + 8 * a) * t - 4 * a
                 : 0;
}

static inline int64_t inside(double i, int64_t n)
{
  return i < 0 ? 0 : i > (double)(n - 1) ? n - 1 : (int64_t)i;
}

/* Weights of element j of y; they are scaled to sum 1 where the kernel was cut or stretched. */
static inline void fill_row(const resize *r, axis *t, int64_t j)
{
  const double x = place(r, t, j), first = floor(x) - (double)(t->taps / 2 - 1);
  double sum = 0;
  t->beyond = r->where == TF_CROP_AND_RESIZE && (x < 0 || x > (double)(t->n - 1));
  if (t->beyond) {
    memset(t->index, 0, (size_t)t->taps * sizeof *t->index);
    memset(t->weight, 0, (size_t)t->taps * sizeof *t->weight);
    return;
  }
  if (r->mode == NEAREST) {
    t->index[0] = inside(rounded(r->rounding, x), t->n);
    t->weight[0] = 1;
    return;
  }
  for (int64_t k = 0; k < t->taps; k++) {
    const double at = first + (double)k;
    t->index[k] = inside(at, t->n);
    t->weight[k] =
        r->exclude && (at < 0 || at > (double)(t->n - 1)) ? 0 : kernel(r, (at - x) * t->stretch);
    sum += t->weight[k];
  }
  for (int64_t k = 0; (r->exclude || t->stretch < 1) && sum != 0 && k < t->taps; k++)
    t->weight[k] /= sum;
}
#endif
