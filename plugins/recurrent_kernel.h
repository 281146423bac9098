/* recurrent_kernel.h - the innermost loops of the recurrent layers, each beside its plain twin: a
 * product with few rows, sigmoid and tanh.  On x86 each is compiled twice and chosen at run time.
 *
 * A product adds the terms of an element one after the other, in whatever tile it lies: a sample
 * gets the same bits alone and in a batch, by one thread and by several.  Where the processor
 * multiplies and adds in one step, that is used. */
#ifndef LRP_PLUGINS_RECURRENT_KERNEL_H
#define LRP_PLUGINS_RECURRENT_KERNEL_H
#include "lrp/plugin.h"
#include <stdbool.h>
#include <string.h>
#include <tgmath.h>

enum {
  VEC_BYTES = 32,
  LANES = VEC_BYTES / (int)sizeof(lrp_real),
  WIDE = 10,  /* vectors of a row alone: that many sums hide the time an addition takes */
  NARROW = 2, /* of several rows */
  ROWS = 4,
  THREADS_WORK = 1 << 22 /* multiply-adds below which waking threads costs more than it gives */
};
typedef lrp_real vec __attribute__((vector_size(VEC_BYTES), aligned(sizeof(lrp_real)), may_alias));

#define INLINE static inline __attribute__((always_inline))
#ifdef __clang__
#pragma STDC FP_CONTRACT ON
#define CONTRACT
#else
#define CONTRACT optimize("fp-contract=fast"), /* -std=c11 turns it off */
#endif
#if defined __x86_64__ && !defined __AVX2__
#define TWICE(name, params, args)                                                                  \
  __attribute__((CONTRACT target("avx2,fma"))) static void name##_avx2 params                      \
  {                                                                                                \
    name##_any args;                                                                               \
  }                                                                                                \
  static inline void name params                                                                   \
  {                                                                                                \
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))                           \
      name##_avx2 args;                                                                            \
    else                                                                                           \
      name##_any args;                                                                             \
  }
#else
#define TWICE(name, params, args)                                                                  \
  static inline void name params                                                                   \
  {                                                                                                \
    name##_any args;                                                                               \
  }
#endif

/* ---- products ---- */

typedef struct product { /* out (rows,n) = v (rows,k) b (k,n); rows of b lie b_row elements apart */
  const lrp_real *v, *b;
  lrp_real *out;
  int64_t rows, k, n, b_row;
} product;

static inline void product_plain(const product *p)
{
  for (int64_t r = 0; r < p->rows; r++)
    for (int64_t j = 0; j < p->n; j++) {
      lrp_real sum = 0;
      for (int64_t i = 0; i < p->k; i++)
        sum += p->v[r * p->k + i] * p->b[i * p->b_row + j];
      p->out[r * p->n + j] = sum;
    }
}

/* Columns j to j + width of some rows, in `vectors` of which the last may overlap. */
INLINE void tile(const product *p, int64_t r, int64_t j, int64_t width, const int rows,
                 const int vectors)
{
  vec sum[ROWS][WIDE];
  const int64_t last = width - LANES;
  const lrp_real *v = p->v + r * p->k, *b = p->b + j;
#define AT(c) ((c) == vectors - 1 ? last : (c)*LANES)
#pragma GCC unroll 4
  for (int i = 0; i < rows; i++)
#pragma GCC unroll 10
    for (int c = 0; c < vectors; c++)
      sum[i][c] = (vec){0};
  for (int64_t k = 0; k < p->k; k++, b += p->b_row) {
#pragma GCC unroll 10
    for (int c = 0; c < vectors; c++) {
      const vec w = *(const vec *)(const void *)(b + AT(c));
#pragma GCC unroll 4
      for (int i = 0; i < rows; i++)
        sum[i][c] += v[i * p->k + k] * w;
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < rows; i++)
#pragma GCC unroll 10
    for (int c = 0; c < vectors; c++)
      *(vec *)(void *)(p->out + (r + i) * p->n + j + AT(c)) = sum[i][c];
#undef AT
}

#define CASE(vectors)                                                                              \
  case vectors:                                                                                    \
    tile(p, r, j, width, 1, vectors);                                                              \
    return;
INLINE void row_strip(const product *p, int64_t r, int64_t j, int64_t width)
{
  switch ((width + LANES - 1) / LANES) {
    CASE(1)
    CASE(2)
    CASE(3)
    CASE(4)
    CASE(5)
    CASE(6)
    CASE(7)
    CASE(8)
    CASE(9)
    CASE(10)
  default:
    return;
  }
}
#undef CASE

INLINE void rows_strip(const product *p, int64_t r, int64_t j, int64_t width, const int rows)
{
  if (width > LANES)
    tile(p, r, j, width, rows, 2);
  else
    tile(p, r, j, width, rows, 1);
}

/* All rows of a strip of columns; the strip of b stays in the first cache. */
INLINE void strip_any(const product *p, int64_t j, int64_t width)
{
  int64_t r = 0;
  if (p->rows == 1) {
    row_strip(p, 0, j, width);
    return;
  }
  for (; r + ROWS <= p->rows; r += ROWS)
    rows_strip(p, r, j, width, ROWS);
  if (p->rows - r == 3)
    rows_strip(p, r, j, width, 3);
  else if (p->rows - r == 2)
    rows_strip(p, r, j, width, 2);
  else if (p->rows - r == 1)
    rows_strip(p, r, j, width, 1);
}
TWICE(strip, (const product *p, int64_t j, int64_t width), (p, j, width))

static inline void product_run(const product *p)
{
  const int64_t most = (p->rows == 1 ? WIDE : NARROW) * LANES, n = (p->n + most - 1) / most;
  if (p->n < LANES) {
    product_plain(p);
    return;
  }
  /* the last strip reaches back where it would be narrower than a vector */
#define STRIP(s)                                                                                   \
  const int64_t end = ((s) + 1) * most < p->n ? ((s) + 1) * most : p->n;                           \
  const int64_t j = end - (s)*most < LANES ? end - LANES : (s)*most;                               \
  strip(p, j, end - j);
  if ((double)p->rows * (double)p->k * (double)p->n < THREADS_WORK) {
    for (int64_t s = 0; s < n; s++) {
      STRIP(s)
    }
    return;
  }
#pragma omp parallel for
  for (int64_t s = 0; s < n; s++) {
    STRIP(s)
  }
#undef STRIP
}

/* ---- activations ---- */

enum { ACT_SIGMOID, ACT_TANH, ACT_RELU };

static inline lrp_real act(int which, lrp_real v)
{
  switch (which) {
  case ACT_SIGMOID:
    return 1 / (1 + exp(-v));
  case ACT_TANH:
    return tanh(v);
  default:
    return v > 0 || v != v ? v : 0;
  }
}

static inline void act_plain(int which, const lrp_real *a, int64_t n, lrp_real *y)
{
  for (int64_t i = 0; i < n; i++)
    y[i] = act(which, a[i]);
}

#ifndef LRP_REAL_DOUBLE
typedef int32_t ivec __attribute__((vector_size(VEC_BYTES), may_alias));
#define SELECT(mask, a, b) ((vec)(((mask) & (ivec)(a)) | (~(mask) & (ivec)(b))))

/* x = exp(x) within 2 units in the last place: x = n ln 2 + r, a polynomial for r (Cephes' expf,
 * S. Moshier). */
INLINE void exp_of(vec *x)
{
  const vec high = {88, 88, 88, 88, 88, 88, 88, 88},
            shift = (vec){0} + 12582912.0f; /* 1.5 * 2^23 */
  vec v = SELECT(*x > high, high, *x);
  v = SELECT(v < -high + 1, -high + 1, v);
  const vec moved = v * 1.44269504088896341f + shift, n = moved - shift;
  const vec r = v - n * 0.693359375f + n * 2.12194440e-4f;
  const vec p =
      ((((1.9875691500e-4f * r + 1.3981999507e-3f) * r + 8.3334519073e-3f) * r + 4.1665795894e-2f) *
           r +
       1.6666665459e-1f) *
          r +
      5.0000001201e-1f;
  const ivec power = ((ivec)moved - (ivec)shift + 127) << 23;
  *x = (p * r * r + r + 1) * (vec)power;
}

INLINE void sigmoid_of(vec *x)
{
  *x = -*x;
  exp_of(x);
  *x = 1 / (1 + *x);
}

/* Near 0 a polynomial (Cephes' tanhf), else 1 - 2 / (exp(2 |x|) + 1). */
INLINE void tanh_of(vec *x)
{
  const ivec sign = (ivec)*x & INT32_MIN;
  const vec size = (vec)((ivec)*x & INT32_MAX), z = *x * *x;
  const vec near = ((((-5.70498872745e-3f * z + 2.06390887954e-2f) * z - 5.37397155531e-2f) * z +
                     1.33314422036e-1f) *
                        z -
                    3.33332819422e-1f) *
                       z * *x +
                   *x;
  vec far = size + size;
  exp_of(&far);
  far = 1 - 2 / (far + 1);
  *x = SELECT(size < 0.625f, near, (ivec)far | sign);
}

INLINE void act_vec(int which, vec *x)
{
  if (which == ACT_SIGMOID)
    sigmoid_of(x);
  else
    tanh_of(x);
}

INLINE void act_rows_any(int which, const lrp_real *a, int64_t n, lrp_real *y)
{
  lrp_real rest[LANES] = {0};
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES) {
    vec x = *(const vec *)(const void *)(a + i);
    act_vec(which, &x);
    *(vec *)(void *)(y + i) = x;
  }
  if (i == n) return;
  memcpy(rest, a + i, (size_t)(n - i) * sizeof *rest);
  vec x = *(const vec *)(const void *)rest;
  act_vec(which, &x);
  memcpy(rest, &x, sizeof rest);
  memcpy(y + i, rest, (size_t)(n - i) * sizeof *rest);
}
TWICE(act_rows, (int which, const lrp_real *a, int64_t n, lrp_real *y), (which, a, n, y))
#endif

static inline void act_run(int which, const lrp_real *a, int64_t n, lrp_real *y)
{
#ifndef LRP_REAL_DOUBLE
  if (which != ACT_RELU) {
    act_rows(which, a, n, y);
    return;
  }
#endif
  act_plain(which, a, n, y);
}

/* ---- what is done element by element ---- */

/* The gate's part of gate * signal, by magnitude; half where both are 0. */
INLINE lrp_real gate_share(lrp_real gate, lrp_real signal)
{
  const lrp_real g = fabs(gate), all = g + fabs(signal);
  return all > 0 ? g / all : (lrp_real)0.5;
}

/* y = a b, and the two factors of the linear map that agrees with it. */
INLINE void multiply_shared_any(const lrp_real *a, const lrp_real *b, int64_t n,
                                lrp_real *restrict y, lrp_real *restrict share)
{
#pragma omp simd
  for (int64_t i = 0; i < n; i++) {
    const lrp_real part = gate_share(a[i], b[i]);
    y[i] = a[i] * b[i];
    share[i] = part * b[i];
    share[n + i] = (1 - part) * a[i];
  }
}
TWICE(multiply_shared,
      (const lrp_real *a, const lrp_real *b, int64_t n, lrp_real *restrict y,
       lrp_real *restrict share),
      (a, b, n, y, share))

/* z = x + a + b. */
INLINE void add_three_any(const lrp_real *x, const lrp_real *a, const lrp_real *b, int64_t n,
                          lrp_real *restrict z)
{
#pragma omp simd
  for (int64_t i = 0; i < n; i++)
    z[i] = x[i] + a[i] + b[i];
}
TWICE(add_three,
      (const lrp_real *x, const lrp_real *a, const lrp_real *b, int64_t n, lrp_real *restrict z),
      (x, a, b, n, z))

static inline void add_to(lrp_real *restrict to, const lrp_real *from, int64_t n)
{
#pragma omp simd
  for (int64_t i = 0; i < n; i++)
    to[i] += from[i];
}
#undef INLINE
#undef TWICE
#undef CONTRACT
#endif
