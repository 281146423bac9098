/* recurrent_kernel.h - the innermost loops of the recurrent layers, each beside its plain twin: a
 * product with few rows, sigmoid and tanh.  On x86 each is compiled twice and chosen at run time.
 *
 * A product adds the terms of an element one after the other, in whatever tile it lies: a sample
 * gets the same bits alone and in a batch, by one thread and by several.  Where the processor
 * multiplies and adds in one step, that is used. */
#ifndef LRP_PLUGINS_RECURRENT_KERNEL_H
#define LRP_PLUGINS_RECURRENT_KERNEL_H
#include "lrp/vector.h"
#include <stdbool.h>
#include <string.h>
#include <tgmath.h>

enum { THREADS_WORK = 1 << 22 }; /* multiply-adds below which waking threads costs more than it gives */

#if defined __x86_64__ && !defined __AVX2__
#define TWICE(name, params, args)                                                                  \
  __attribute__((LRP_CONTRACT target("avx2,fma"))) static void name##_avx2 params                      \
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

#if defined __x86_64__ && !defined __AVX2__
static inline bool has_avx512(void)
{
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}
#endif

/* ---- products ---- */

/* out (rows,n) = v (rows,k) b (k,n); rows of b lie b_row elements apart.  `back` adds the terms from the last to the
 * first: who multiplies by the same b again and again, larger than the first cache, takes turns and finds its end still
 * there. */
typedef struct product {
  const lrp_real *v, *b;
  lrp_real *out;
  int64_t rows, k, n, b_row;
  bool back;
} product;

static inline void product_plain(const product *p)
{
  for (int64_t r = 0; r < p->rows; r++)
    for (int64_t j = 0; j < p->n; j++) {
      lrp_real sum = 0;
      for (int64_t i = 0; i < p->k; i++) {
        const int64_t at = p->back ? p->k - 1 - i : i;
        sum += p->v[r * p->k + at] * p->b[at * p->b_row + j];
      }
      p->out[r * p->n + j] = sum;
    }
}

/* Two widths of vectors, whose numbers of sums fill the registers and hide the time an addition takes. */
#define BYTES 32
#define NAME(name) name##_32
#define WIDE 10  /* vectors of a row alone */
#define NARROW 2 /* of several rows */
#define ROWS 4
#define TARGET "avx2,fma"
#include "recurrent_strip.h"
#if defined __x86_64__ && !defined __AVX2__
#define BYTES 64
#define NAME(name) name##_64
#define WIDE 15
#define NARROW 2
#define ROWS 8
#define TARGET "avx512f,avx512vl,avx512dq,avx2,fma"
#include "recurrent_strip.h"
#endif

typedef struct strips { /* how the columns are cut */
  int64_t lanes, most;
  void (*run)(const product *p, int64_t j, int64_t width);
} strips;

static inline strips strips_of(const product *p)
{
  const bool one = p->rows == 1;
  const int64_t lanes = 32 / (int64_t)sizeof(lrp_real);
#if defined __x86_64__ && !defined __AVX2__
  if (p->n >= 2 * lanes && has_avx512())
    return (strips){2 * lanes, (one ? 15 : 2) * 2 * lanes, strip_wide_64};
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    return (strips){lanes, (one ? 10 : 2) * lanes, strip_wide_32};
#endif
  return (strips){lanes, (one ? 10 : 2) * lanes, strip_32};
}

static inline void strip_run(const product *p, const strips *c, int64_t s)
{
  const int64_t end = (s + 1) * c->most < p->n ? (s + 1) * c->most : p->n;
  const int64_t j = end - s * c->most < c->lanes ? end - c->lanes : s * c->most;
  c->run(p, j, end - j); /* the last strip reaches back where it would be narrower than a vector */
}

static inline void product_run(const product *p)
{
  const strips c = strips_of(p);
  const int64_t n = (p->n + c.most - 1) / c.most;
  if (p->n < c.lanes) {
    product_plain(p);
    return;
  }
  if ((double)p->rows * (double)p->k * (double)p->n < THREADS_WORK) {
    for (int64_t s = 0; s < n; s++)
      strip_run(p, &c, s);
    return;
  }
#pragma omp parallel for
  for (int64_t s = 0; s < n; s++)
    strip_run(p, &c, s);
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
#define BYTES 32
#define NAME(name) name##_32
#define TARGET "avx2,fma"
#include "recurrent_act.h"
#if defined __x86_64__ && !defined __AVX2__
#define BYTES 64
#define NAME(name) name##_64
#define TARGET "avx512f,avx512vl,avx512dq,avx2,fma"
#include "recurrent_act.h"
#endif

static inline void act_rows(int which, const lrp_real *a, int64_t n, lrp_real *y)
{
#if defined __x86_64__ && !defined __AVX2__
  if (has_avx512()) {
    act_rows_wide_64(which, a, n, y);
    return;
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    act_rows_wide_32(which, a, n, y);
    return;
  }
#endif
  act_rows_32(which, a, n, y);
}
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
LRP_LOOP lrp_real gate_share(lrp_real gate, lrp_real signal)
{
  const lrp_real g = fabs(gate), all = g + fabs(signal);
  return all > 0 ? g / all : (lrp_real)0.5;
}

/* y = a b, and the two factors of the linear map that agrees with it. */
LRP_LOOP void multiply_shared_any(const lrp_real *a, const lrp_real *b, int64_t n,
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

/* y = a b. */
LRP_LOOP void multiply_rows_any(const lrp_real *a, const lrp_real *b, int64_t n, lrp_real *restrict y)
{
#pragma omp simd
  for (int64_t i = 0; i < n; i++)
    y[i] = a[i] * b[i];
}
TWICE(multiply_rows, (const lrp_real *a, const lrp_real *b, int64_t n, lrp_real *restrict y), (a, b, n, y))

/* z = a + b. */
LRP_LOOP void add_two_any(const lrp_real *a, const lrp_real *b, int64_t n, lrp_real *restrict z)
{
#pragma omp simd
  for (int64_t i = 0; i < n; i++)
    z[i] = a[i] + b[i];
}
TWICE(add_two, (const lrp_real *a, const lrp_real *b, int64_t n, lrp_real *restrict z), (a, b, n, z))

/* z = x + a + b for some blocks of n; those of x and a lie side by side, those of b and z some elements apart. */
LRP_LOOP void add_blocks_any(const lrp_real *x, const lrp_real *a, const lrp_real *b, int64_t b_apart, int blocks,
                             int64_t n, lrp_real *restrict z, int64_t z_apart)
{
  for (int k = 0; k < blocks; k++, x += n, a += n, b += b_apart, z += z_apart)
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
      z[i] = x[i] + a[i] + b[i];
}
TWICE(add_blocks,
      (const lrp_real *x, const lrp_real *a, const lrp_real *b, int64_t b_apart, int blocks, int64_t n,
       lrp_real *restrict z, int64_t z_apart),
      (x, a, b, b_apart, blocks, n, z, z_apart))

LRP_LOOP void add_to_any(lrp_real *restrict to, const lrp_real *from, int64_t n)
{
#pragma omp simd
  for (int64_t i = 0; i < n; i++)
    to[i] += from[i];
}
TWICE(add_to, (lrp_real *restrict to, const lrp_real *from, int64_t n), (to, from, n))
#undef TWICE
#endif
