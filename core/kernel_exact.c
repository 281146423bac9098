/* kernel_exact.c - tiny products and convolutions, summed in double: there precision costs
 * microseconds, and denominators near zero, which rules divide by, keep their digits.
 *
 * An output pixel's inputs are gathered in the order in which the file stores the weights, so that
 * every sum is a dot product of two rows. */
#include "kernel_impl.h"
#include <string.h>

#if defined __x86_64__ && !defined __AVX2__
#define BOTH(type, name, params, args)                                                             \
  __attribute__((target("avx2"))) static type name##_avx2 params                                   \
  {                                                                                                \
    return name##_any args;                                                                        \
  }                                                                                                \
  static type name params                                                                          \
  {                                                                                                \
    return __builtin_cpu_supports("avx2") ? name##_avx2 args : name##_any args;                    \
  }
#else
#define BOTH(type, name, params, args)                                                             \
  static type name params                                                                          \
  {                                                                                                \
    return name##_any args;                                                                        \
  }
#endif
#define INLINE static inline __attribute__((always_inline))

INLINE double dot_any(const lrp_real *a, const lrp_real *b, int64_t n)
{
  double s = 0;
#pragma omp simd reduction(+ : s)
  for (int64_t i = 0; i < n; i++)
    s += (double)a[i] * (double)b[i];
  return s;
}
BOTH(double, dot, (const lrp_real *a, const lrp_real *b, int64_t n), (a, b, n))

/* out += v * row. */
INLINE int add_row_any(double v, const lrp_real *row, int64_t n, double *restrict out)
{
#pragma omp simd
  for (int64_t i = 0; i < n; i++)
    out[i] += v * (double)row[i];
  return 0;
}
BOTH(int, add_row, (double v, const lrp_real *row, int64_t n, double *restrict out),
     (v, row, n, out))

/* ---- products ---- */

static void batch_offsets(const lrp_product *p, int64_t i, int64_t *a, int64_t *b)
{
  *a = *b = 0;
  for (int32_t k = p->n_axis; k-- > 0; i /= p->axis[k]) {
    *a += i % p->axis[k] * p->a_step[k];
    *b += i % p->axis[k] * p->b_step[k];
  }
}

static void product_row(const lrp_product *p, const lrp_real *a, const lrp_real *b, double *sum,
                        lrp_real *out)
{
  for (int64_t j = 0; j < p->n; j++)
    sum[j] = p->bias ? (double)p->bias[j] : 0;
  if (p->b_row == 1 && p->a_col == 1)
    for (int64_t j = 0; j < p->n; j++)
      sum[j] += dot(a, b + j * p->b_col, p->k);
  else if (p->b_col == 1)
    for (int64_t k = 0; k < p->k; k++)
      add_row((double)a[k * p->a_col], b + k * p->b_row, p->n, sum);
  else
    for (int64_t j = 0; j < p->n; j++)
      for (int64_t k = 0; k < p->k; k++)
        sum[j] += (double)a[k * p->a_col] * (double)b[k * p->b_row + j * p->b_col];
  for (int64_t j = 0; j < p->n; j++)
    out[j] = (lrp_real)sum[j];
}

lrp_status lrp_exact_matmul(lrp_ctx *ctx, const lrp_product *p)
{
  double *sum = lrp_arena_alloc(&ctx->scratch, (size_t)p->n * sizeof *sum);
  if (!sum) return lrp_nomem(ctx, "matmul");
  for (int64_t i = 0; i < p->n_batch; i++) {
    int64_t a, b;
    batch_offsets(p, i, &a, &b);
    for (int64_t m = 0; m < p->m; m++)
      product_row(p, p->a + a + m * p->a_row, p->b + b, sum, p->out + (i * p->m + m) * p->n);
  }
  return LRP_OK;
}

/* ---- convolutions ---- */

typedef struct pixels { /* where each tap of an output pixel lies in x, in elements; -1: padding */
  int64_t *at;
} pixels;

static void taps_of(const lrp_conv_job *j, int64_t n, const int64_t y[3], const pixels *p)
{
  int64_t t = 0, x[3];
  for (int64_t a = 0; a < j->kernel[0]; a++)
    for (int64_t b = 0; b < j->kernel[1]; b++)
      for (int64_t c = 0; c < j->kernel[2]; c++, t++) {
        x[0] = y[0] * j->stride[0] + a * j->dilation[0] - j->lo[0];
        x[1] = y[1] * j->stride[1] + b * j->dilation[1] - j->lo[1];
        x[2] = y[2] * j->stride[2] + c * j->dilation[2] - j->lo[2];
        const bool in = x[0] >= 0 && x[0] < j->in[0] && x[1] >= 0 && x[1] < j->in[1] && x[2] >= 0 &&
                        x[2] < j->in[2];
        p->at[t] = in ? (((n * j->in[0] + x[0]) * j->in[1] + x[1]) * j->in[2] + x[2]) * j->c : -1;
      }
}

/* One output pixel forward: its inputs (C/group, taps) against each row of weights. */
static void pixel_forward(const lrp_conv_job *j, const pixels *p, lrp_real *patch, lrp_real *to)
{
  const int64_t c = j->c / j->group, o = j->o / j->group, k = c * j->taps;
  for (int64_t g = 0; g < j->group; g++) {
    for (int64_t i = 0; i < c; i++)
      for (int64_t t = 0; t < j->taps; t++)
        patch[i * j->taps + t] = p->at[t] < 0 ? 0 : j->from[p->at[t] + g * c + i];
    for (int64_t i = g * o; i < (g + 1) * o; i++)
      to[i] = (lrp_real)(dot(patch, j->w + i * k, k) + (j->bias ? (double)j->bias[i] : 0));
  }
}

/* The transposed map: a pixel's outputs give to all its inputs. */
static void pixel_backward(const lrp_conv_job *j, const pixels *p, double *patch,
                           const lrp_real *from, double *to)
{
  const int64_t c = j->c / j->group, o = j->o / j->group, k = c * j->taps;
  for (int64_t g = 0; g < j->group; g++) {
    memset(patch, 0, (size_t)k * sizeof *patch);
    for (int64_t i = g * o; i < (g + 1) * o; i++)
      if (from[i] != 0) add_row((double)from[i], j->w + i * k, k, patch);
    for (int64_t i = 0; i < c; i++)
      for (int64_t t = 0; t < j->taps; t++)
        if (p->at[t] >= 0) to[p->at[t] + g * c + i] += patch[i * j->taps + t];
  }
}

lrp_status lrp_exact_conv(lrp_ctx *ctx, const lrp_conv_job *j, bool transposed)
{
  const int64_t k = j->c / j->group * j->taps,
                n_x = j->batch * j->in[0] * j->in[1] * j->in[2] * j->c;
  const pixels p = {lrp_arena_alloc(&ctx->scratch, (size_t)j->taps * sizeof(int64_t))};
  double *patch = lrp_arena_alloc(&ctx->scratch, (size_t)k * sizeof *patch);
  double *x = lrp_arena_alloc(&ctx->scratch, (transposed ? (size_t)n_x : 1) * sizeof *x);
  if (!p.at || !patch || !x) return lrp_nomem(ctx, "conv");
  int64_t y[3], pixel = 0;
  for (int64_t n = 0; n < j->batch; n++)
    for (y[0] = 0; y[0] < j->out[0]; y[0]++)
      for (y[1] = 0; y[1] < j->out[1]; y[1]++)
        for (y[2] = 0; y[2] < j->out[2]; y[2]++, pixel++) {
          taps_of(j, n, y, &p);
          if (transposed)
            pixel_backward(j, &p, patch, j->from + pixel * j->o, x);
          else
            pixel_forward(j, &p, (lrp_real *)(void *)patch, j->to + pixel * j->o);
        }
  for (int64_t i = 0; transposed && i < n_x; i++)
    j->to[i] = (lrp_real)x[i];
  return LRP_OK;
}
