/* kernel_exact.c - tiny products and convolutions, summed in double: there precision costs
 * microseconds, and denominators near zero, which rules divide by, keep their digits.
 *
 * An element's terms are added one after the other, in whatever tile it lies: a row gives the same
 * bits alone and among others, on every processor.  The products of two floats are exact in
 * double, so it does not matter whether they are added in one step.
 *
 * An output pixel's inputs are gathered in the order in which the file stores the weights, so that
 * its sums are a row times a matrix, too. */
#include "kernel_impl.h"
#include "lrp/vector.h"
#include <string.h>

enum { LANES = 8, ROWS = 4, FORM_EXACT = LRP_FORM_TRANSPOSED + 1 };
typedef double dvec __attribute__((vector_size(LANES * sizeof(double))));
typedef lrp_real rvec
    __attribute__((vector_size(LANES * sizeof(lrp_real)), aligned(sizeof(lrp_real)), may_alias));


/* ---- rows times a matrix ---- */

typedef struct strip { /* out (rows,n) = a (rows,k) b (k,n) + bias */
  const double *a;
  int64_t rows, k, n;
  const lrp_real *b, *bias;
  int64_t b_row, out_row; /* elements from one row to the next */
  lrp_real *out;
} strip;

#define WIDE(v) __builtin_convertvector(*(const rvec *)(const void *)(v), dvec)

/* Columns j to j + vecs * LANES of some rows. */
LRP_LOOP void tile(const strip *p, int64_t r, int64_t j, const int rows, const int vecs)
{
  dvec sum[ROWS][4];
  const double *a = p->a + r * p->k;
  const lrp_real *b = p->b + j;
#pragma GCC unroll 4
  for (int c = 0; c < vecs; c++)
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++)
      sum[i][c] = p->bias ? WIDE(p->bias + j + c * LANES) : (dvec){0};
  for (int64_t k = 0; k < p->k; k++, b += p->b_row) {
#pragma GCC unroll 4
    for (int c = 0; c < vecs; c++) {
      const dvec w = WIDE(b + c * LANES);
#pragma GCC unroll 4
      for (int i = 0; i < rows; i++)
        sum[i][c] += a[i * p->k + k] * w;
    }
  }
#pragma GCC unroll 4
  for (int c = 0; c < vecs; c++)
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++)
      *(rvec *)(void *)(p->out + (r + i) * p->out_row + j + c * LANES) =
          __builtin_convertvector(sum[i][c], rvec);
}

/* All columns; the last vector may overlap the one before. */
LRP_LOOP void columns(const strip *p, int64_t r, const int rows, const int vecs)
{
  int64_t j = 0;
  for (; j + vecs * LANES <= p->n; j += vecs * LANES)
    tile(p, r, j, rows, vecs);
  for (; j < p->n; j += LANES)
    tile(p, r, j + LANES <= p->n ? j : p->n - LANES, rows, 1);
}

LRP_LOOP void strip_any(const strip *p, const int vecs)
{
  int64_t r = 0;
  for (; r + ROWS <= p->rows; r += ROWS)
    columns(p, r, ROWS, vecs);
  for (; r < p->rows; r++)
    columns(p, r, 1, 4);
}
#if defined __x86_64__ && !defined __AVX2__
__attribute__((target("avx2,fma"))) static void strip_avx2(const strip *p)
{
  strip_any(p, 1);
}
__attribute__((target("avx512f,avx512dq,avx512vl,fma"))) static void strip_avx512(const strip *p)
{
  strip_any(p, 2);
}
#endif

static void strip_plain(const strip *p)
{
  for (int64_t r = 0; r < p->rows; r++)
    for (int64_t j = 0; j < p->n; j++) {
      double sum = p->bias ? (double)p->bias[j] : 0;
      for (int64_t k = 0; k < p->k; k++)
        sum += p->a[r * p->k + k] * (double)p->b[k * p->b_row + j];
      p->out[r * p->out_row + j] = (lrp_real)sum;
    }
}

static void strip_run(const strip *p)
{
  if (p->n < LANES)
    strip_plain(p);
#if defined __x86_64__ && !defined __AVX2__
  else if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl"))
    strip_avx512(p);
  else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    strip_avx2(p);
#endif
  else
    strip_any(p, 1);
}

/* out += v * row. */
LRP_LOOP void add_row_any(double v, const lrp_real *row, int64_t n, double *restrict out)
{
#pragma omp simd
  for (int64_t i = 0; i < n; i++)
    out[i] += v * (double)row[i];
}
LRP_TWICE(void, add_row, (double v, const lrp_real *row, int64_t n, double *restrict out), (v, row, n, out))

/* ---- products ---- */

static void batch_offsets(const lrp_product *p, int64_t i, int64_t *a, int64_t *b)
{
  *a = *b = 0;
  for (int32_t k = p->n_axis; k-- > 0; i /= p->axis[k]) {
    *a += i % p->axis[k] * p->a_step[k];
    *b += i % p->axis[k] * p->b_step[k];
  }
}

typedef struct matrix {
  const lrp_real *v;
  int64_t rows, columns, groups; /* groups of them, one behind the other */
} matrix;

static void fill_exchanged(const void *job, lrp_real *out)
{
  const matrix *m = job;
  for (int64_t g = 0, size = m->rows * m->columns; g < m->groups; g++)
    for (int64_t c = 0; c < m->columns; c++)
      for (int64_t r = 0; r < m->rows; r++)
        out[g * size + c * m->rows + r] = m->v[g * size + r * m->columns + c];
}

/* b with its columns side by side: as it is, or written so into `copy`. */
static const lrp_real *side_by_side(const lrp_product *p, const lrp_real *b, lrp_real *copy)
{
  if (p->b_col == 1) return b;
  for (int64_t k = 0; k < p->k; k++)
    for (int64_t j = 0; j < p->n; j++)
      copy[k * p->n + j] = b[k * p->b_row + j * p->b_col];
  return copy;
}

lrp_status lrp_exact_matmul(lrp_ctx *ctx, const lrp_product *p)
{
  const bool kept = p->b_col != 1 && p->b_row == 1 && !p->n_axis && p->pack;
  const size_t wide_a = (size_t)p->m * (size_t)p->k * sizeof(double);
  double *a = lrp_arena_raw(&ctx->scratch, wide_a + sizeof *a);
  lrp_real *copy = NULL;
  const lrp_real *b = p->b;
  if (p->b_col != 1 && !kept)
    copy = lrp_arena_raw(&ctx->scratch, ((size_t)p->k * (size_t)p->n + 1) * sizeof *copy);
  if (!a || (p->b_col != 1 && !kept && !copy)) return lrp_nomem(ctx, "matmul");
  if (kept) {
    const matrix m = {p->b, p->n, p->k, 1};
    const lrp_status st = lrp_packed_get(ctx, p->pack, FORM_EXACT, 1, p->k * p->n, fill_exchanged, &m, &b);
    if (st) return st;
  }
  for (int64_t i = 0, before = -1; i < p->n_batch; i++) {
    int64_t a_at, b_at;
    batch_offsets(p, i, &a_at, &b_at);
    for (int64_t r = 0; r < p->m; r++)
      for (int64_t k = 0; k < p->k; k++)
        a[r * p->k + k] = (double)p->a[a_at + r * p->a_row + k * p->a_col];
    if (!kept && b_at != before) b = side_by_side(p, p->b + b_at, copy);
    before = b_at;
    const strip s = {.a = a,
                     .rows = p->m,
                     .k = p->k,
                     .n = p->n,
                     .b = b,
                     .bias = p->bias,
                     .b_row = p->b_col == 1 ? p->b_row : p->n,
                     .out_row = p->n,
                     .out = p->out + i * p->m * p->n};
    strip_run(&s);
  }
  return LRP_OK;
}

/* ---- convolutions ---- */

/* Where each tap of an output pixel lies in x, in elements; -1: padding. */
static void taps_of(const lrp_conv_job *j, int64_t n, const int64_t y[3], int64_t *at)
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
        at[t] = in ? (((n * j->in[0] + x[0]) * j->in[1] + x[1]) * j->in[2] + x[2]) * j->c : -1;
      }
}

/* The inputs (C/group, taps) of an output pixel in one group. */
static void gather(const lrp_conv_job *j, const int64_t *at, int64_t g, double *patch)
{
  const int64_t c = j->c / j->group;
  for (int64_t t = 0; t < j->taps; t++) {
    const lrp_real *from = at[t] < 0 ? NULL : j->from + at[t] + g * c;
    for (int64_t i = 0; i < c; i++)
      patch[i * j->taps + t] = from ? (double)from[i] : 0;
  }
}

/* Some output pixels forward, in the order of the output: a group's patches times its weights. */
static void pixels_forward(const lrp_conv_job *j, const int64_t *at, int64_t n, const lrp_real *w,
                           double *patch, lrp_real *to)
{
  const int64_t o = j->o / j->group, k = j->c / j->group * j->taps;
  for (int64_t g = 0; g < j->group; g++) {
    for (int64_t i = 0; i < n; i++)
      gather(j, at + i * j->taps, g, patch + i * k);
    const strip s = {.a = patch,
                     .rows = n,
                     .k = k,
                     .n = o,
                     .b = w + g * o * k,
                     .bias = j->bias ? j->bias + g * o : NULL,
                     .b_row = o,
                     .out_row = j->o,
                     .out = to + g * o};
    strip_run(&s);
  }
}

static bool all_zero(const lrp_real *v, int64_t n)
{
  int64_t i = 0;
  while (i < n && v[i] == 0)
    i++;
  return i == n;
}

/* The transposed map: a pixel's outputs give to all its inputs.  Behind a max-pool most are zero. */
static void pixel_backward(const lrp_conv_job *j, const int64_t *at, double *patch,
                           const lrp_real *from, double *to)
{
  const int64_t c = j->c / j->group, o = j->o / j->group, k = c * j->taps;
  for (int64_t g = 0; g < j->group; g++) {
    memset(patch, 0, (size_t)k * sizeof *patch);
    for (int64_t i = g * o; i < (g + 1) * o; i++)
      if (from[i] != 0) add_row((double)from[i], j->w + i * k, k, patch);
    for (int64_t i = 0; i < c; i++)
      for (int64_t t = 0; t < j->taps; t++)
        if (at[t] >= 0) to[at[t] + g * c + i] += patch[i * j->taps + t];
  }
}

lrp_status lrp_exact_conv(lrp_ctx *ctx, const lrp_conv_job *j, bool transposed)
{
  const int64_t k = j->c / j->group * j->taps, n_x = j->batch * j->in[0] * j->in[1] * j->in[2] * j->c,
                pixels = j->batch * j->out[0] * j->out[1] * j->out[2];
  int64_t *at = lrp_arena_raw(&ctx->scratch, (size_t)(ROWS * j->taps + 1) * sizeof *at);
  double *patch = lrp_arena_raw(&ctx->scratch, (size_t)(ROWS * k + 1) * sizeof *patch);
  double *x = lrp_arena_alloc(&ctx->scratch, (transposed ? (size_t)n_x : 1) * sizeof *x);
  const lrp_real *w = NULL;
  const matrix m = {j->w, j->o / j->group, k, j->group};
  if (!at || !patch || !x) return lrp_nomem(ctx, "conv");
  lrp_status st = transposed ? LRP_OK
                             : lrp_packed_get(ctx, j->pack, FORM_EXACT, j->group, j->o * k,
                                              fill_exchanged, &m, &w);
  int64_t y[3], pixel = 0, n = 0;
  for (int64_t b = 0; !st && b < j->batch; b++)
    for (y[0] = 0; y[0] < j->out[0]; y[0]++)
      for (y[1] = 0; y[1] < j->out[1]; y[1]++)
        for (y[2] = 0; y[2] < j->out[2]; y[2]++, pixel++) {
          if (transposed && all_zero(j->from + pixel * j->o, j->o)) continue;
          taps_of(j, b, y, at + n * j->taps);
          if (transposed) {
            pixel_backward(j, at, patch, j->from + pixel * j->o, x);
          } else if (++n == ROWS || pixel + 1 == pixels) {
            pixels_forward(j, at, n, w, patch, j->to + (pixel + 1 - n) * j->o);
            n = 0;
          }
        }
  for (int64_t i = 0; !st && transposed && i < n_x; i++)
    j->to[i] = (lrp_real)x[i];
  return st;
}
