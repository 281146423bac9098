/* kernel_bf16.c - products and convolutions in bf16 arithmetic: a number is rounded to 8 bits of
 * significand, products of two such are exact in f32 and are summed there.
 *
 * bf16: both factors rounded.  bf16x3: both split, a = hi + lo, and a b taken as hi hi + hi lo +
 * lo hi (Henry, Tang and Heinecke 2019, "Leveraging the bfloat16 Artificial Intelligence Datatype
 * For Higher-Precision Computations"; lo lo is below f32's own error), as one product of three
 * times the depth: [hi,hi,lo] x [hi,lo,hi].
 *
 * Where the processor multiplies bf16, oneDNN gets operands of 2 bytes.  Elsewhere they are f32
 * numbers that bf16 can hold: the same products and sums by the f32 kernels, at their speed at
 * best. */
#include "kernel_impl.h"
#include "lrp/vector.h"
#include <math.h>
#include <string.h>

/* Kinds of lrp_packed: weights split, beside those of plain C. */
enum { FORM_SPLIT = 16, FORM_NARROW = 1, FORM_THREE = 2, FORM_ROWS = 4, FORM_CONV = 8 };

typedef struct split { /* (n,length) to (n,pieces,length) */
  const lrp_real *from;
  int64_t n, length;
  bool three, weights; /* weights: [hi,lo,hi], else [hi,hi,lo]; not three: [hi] */
  bool narrow;         /* 2 bytes a number, else lrp_real */
} split;

/* To nearest, ties to even; what is too large becomes infinite, NaN stays. */
LRP_LOOP uint16_t bits_of(float v)
{
  uint32_t u;
  memcpy(&u, &v, sizeof u);
  const uint32_t rounded = (u + 0x7fff + (u >> 16 & 1)) >> 16, quiet = u >> 16 | 0x40;
  const uint32_t nan = -(uint32_t)((u & 0x7fffffff) > 0x7f800000); /* no branch: it would cost the vectors */
  return (uint16_t)((quiet & nan) | (rounded & ~nan));
}

LRP_LOOP float value_of(uint16_t bits)
{
  const uint32_t u = (uint32_t)bits << 16;
  float v;
  memcpy(&v, &u, sizeof v);
  return v;
}

LRP_LOOP float high(lrp_real v)
{
  return value_of(bits_of((float)v));
}

/* What the high half leaves; nothing of infinities. */
LRP_LOOP float rest(lrp_real v)
{
  const float hi = high(v), d = (float)v - hi;
  uint32_t bits;
  memcpy(&bits, &d, sizeof bits);
  bits &= -(uint32_t)(fabsf(hi) <= 3.4e38f);
  float left;
  memcpy(&left, &bits, sizeof left);
  return left;
}

static int64_t pieces_of(const split *s)
{
  return s->three ? 3 : 1;
}

LRP_LOOP void put_narrow_any(const lrp_real *v, int64_t n, bool low, uint16_t *restrict to)
{
  if (low)
#pragma omp simd
    for (int64_t j = 0; j < n; j++)
      to[j] = bits_of(rest(v[j]));
  else
#pragma omp simd
    for (int64_t j = 0; j < n; j++)
      to[j] = bits_of((float)v[j]);
}
LRP_TWICE(void, put_narrow, (const lrp_real *v, int64_t n, bool low, uint16_t *restrict to), (v, n, low, to))

LRP_LOOP void put_wide_any(const lrp_real *v, int64_t n, bool low, lrp_real *restrict to)
{
  if (low)
#pragma omp simd
    for (int64_t j = 0; j < n; j++)
      to[j] = (lrp_real)value_of(bits_of(rest(v[j])));
  else
#pragma omp simd
    for (int64_t j = 0; j < n; j++)
      to[j] = (lrp_real)high(v[j]);
}
LRP_TWICE(void, put_wide, (const lrp_real *v, int64_t n, bool low, lrp_real *restrict to), (v, n, low, to))

static void split_fill(const void *job, lrp_real *out)
{
  const split *s = job;
  const int64_t pieces = pieces_of(s), length = s->length;
#pragma omp parallel for if (s->n > 1 && s->n * length > LRP_PARALLEL_WORK)
  for (int64_t i = 0; i < s->n; i++)
    for (int64_t p = 0; p < pieces; p++) {
      const bool low = s->three && p == (s->weights ? 1 : 2);
      const int64_t at = (i * pieces + p) * length;
      if (s->narrow)
        put_narrow(s->from + i * length, length, low, (uint16_t *)(void *)out + at);
      else
        put_wide(s->from + i * length, length, low, out + at);
    }
}

/* In scratch, or in the pack of what never changes. */
static lrp_status split_get(lrp_ctx *ctx, const split *s, lrp_pack *pack, uint32_t kind,
                            int64_t group, const lrp_real **out, lrp_pack **own)
{
  size_t n, all;
  if (!lrp_mul_size((size_t)s->n, (size_t)s->length, &n) ||
      !lrp_mul_size(n, (size_t)pieces_of(s), &all) || all > LRP_MAX_BYTES)
    return lrp_nomem(ctx, "bf16 operands");
  if (s->narrow) all = (all * sizeof(uint16_t) + sizeof **out - 1) / sizeof **out;
  kind |= (s->narrow ? FORM_NARROW : 0u) | (s->three ? FORM_THREE : 0u);
  return lrp_packed_own(ctx, pack, FORM_SPLIT + kind, group, (int64_t)all, split_fill, s, out, own);
}

/* ---- products ---- */

static lrp_status split_product(lrp_ctx *ctx, const lrp_product *p, bool narrow, lrp_product *q)
{
  const bool three = ctx->precision == LRP_PRECISION_BF16X3;
  const bool a_rows = p->a_col == 1, b_rows = p->b_col != 1; /* its depth is contiguous */
  const int64_t n_a = p->a_count / (p->m * p->k), n_b = p->b_count / (p->k * p->n);
  const split a = {.from = p->a,
                   .n = a_rows ? n_a * p->m : n_a,
                   .length = a_rows ? p->k : p->m * p->k,
                   .three = three,
                   .narrow = narrow},
              b = {.from = p->b,
                   .n = b_rows ? n_b * p->n : n_b,
                   .length = b_rows ? p->k : p->k * p->n,
                   .three = three,
                   .weights = true,
                   .narrow = narrow};
  const int64_t pieces = pieces_of(&a);
  lrp_pack *none = NULL;
  *q = *p;
  q->pack = NULL;
  q->narrow = narrow;
  q->k *= pieces;
  q->a_count *= pieces;
  q->b_count *= pieces;
  q->a_row = a_rows ? q->k : 1;
  q->a_col = a_rows ? 1 : p->m;
  q->b_row = b_rows ? 1 : p->n;
  q->b_col = b_rows ? q->k : 1;
  for (int32_t i = 0; i < p->n_axis; i++) {
    q->a_step[i] *= pieces;
    q->b_step[i] *= pieces;
  }
  const lrp_status st = split_get(ctx, &a, NULL, 0, 1, &q->a, &none);
  return st ? st : split_get(ctx, &b, p->pack, b_rows ? FORM_ROWS : 0, 1, &q->b, &q->pack);
}

/* ---- convolutions ---- */

static lrp_status split_conv(lrp_ctx *ctx, const lrp_conv_job *j, bool transposed, bool narrow,
                             lrp_conv_job *q)
{
  const bool three = ctx->precision == LRP_PRECISION_BF16X3;
  const int64_t *size = transposed ? j->out : j->in;
  const int64_t pixels = j->batch * size[0] * size[1] * size[2];
  const int64_t c = j->c / j->group, o = j->o / j->group;
  const split x = {.from = j->from,
                   .n = pixels * j->group,
                   .length = transposed ? o : c,
                   .three = three,
                   .narrow = narrow},
              w = {.from = j->w,
                   .n = transposed ? j->group : j->o,
                   .length = transposed ? o * c * j->taps : c * j->taps,
                   .three = three,
                   .weights = true,
                   .narrow = narrow};
  lrp_pack *none = NULL;
  *q = *j;
  q->pack = NULL;
  q->narrow = narrow;
  if (transposed)
    q->o *= pieces_of(&x);
  else
    q->c *= pieces_of(&x);
  const lrp_status st = split_get(ctx, &x, NULL, 0, 1, &q->from, &none);
  return st ? st
            : split_get(ctx, &w, j->pack, FORM_CONV | (transposed ? FORM_ROWS : 0), j->group, &q->w,
                        &q->pack);
}

/* ---- who computes them ---- */

/* The larger the problem, the more oneDNN gives; kernel.c draws the line. */
static bool natively(int which, bool large)
{
  return lrp_dnnl_bf16() > 0 && (which == LRP_KERNEL_DNNL || (which == LRP_KERNEL_AUTO && large));
}

lrp_status lrp_bf16_matmul(lrp_ctx *ctx, int which, const lrp_product *p, bool large)
{
  const lrp_mark mark = lrp_arena_mark(&ctx->scratch);
  lrp_product q;
  bool done = false;
  lrp_status st = LRP_OK;
  if (natively(which, large)) {
    st = split_product(ctx, p, true, &q);
    if (!st) st = lrp_dnnl_matmul(ctx, &q, &done);
    lrp_arena_release(&ctx->scratch, mark);
  }
  if (st || done) return st;
  st = split_product(ctx, p, false, &q);
  if (!st) st = lrp_product_run(ctx, which, &q);
  lrp_arena_release(&ctx->scratch, mark);
  return st;
}

lrp_status lrp_bf16_conv(lrp_ctx *ctx, int which, const lrp_conv_job *j, bool transposed,
                         bool large)
{
  const lrp_mark mark = lrp_arena_mark(&ctx->scratch);
  lrp_conv_job q;
  bool done = false;
  lrp_status st = LRP_OK;
  if (natively(which, large)) {
    st = split_conv(ctx, j, transposed, true, &q);
    if (!st) st = lrp_dnnl_conv(ctx, &q, transposed, &done);
    lrp_arena_release(&ctx->scratch, mark);
  }
  if (st || done) return st;
  st = split_conv(ctx, j, transposed, false, &q);
  if (!st) st = lrp_conv_run(ctx, which, &q, transposed);
  lrp_arena_release(&ctx->scratch, mark);
  return st;
}

/* ---- which precision ---- */

lrp_status lrp_set_precision(lrp_ctx *ctx, int32_t precision)
{
  if (precision < LRP_PRECISION_F32 || precision > LRP_PRECISION_AUTO)
    return lrp_fail(ctx, LRP_E_ARG, "precision %d does not exist", (int)precision);
  if (precision == LRP_PRECISION_AUTO)
    precision = lrp_dnnl_bf16() > 1 ? LRP_PRECISION_BF16X3 : LRP_PRECISION_F32;
  if (sizeof(lrp_real) == 8 && precision != LRP_PRECISION_F32)
    return lrp_fail(ctx, LRP_E_UNSUPPORTED,
                    "this lrp was built to compute in double (--with-real=double), for reference "
                    "numbers: it has no bf16");
  ctx->precision = precision;
  return LRP_OK;
}

const char *lrp_precision_name(const lrp_ctx *ctx)
{
  if (sizeof(lrp_real) == 8) return "f64";
  return ctx->precision == LRP_PRECISION_BF16X3 ? "bf16x3"
         : ctx->precision == LRP_PRECISION_BF16 ? "bf16"
                                                : "f32";
}

const char *lrp_precision_slow(const lrp_ctx *ctx)
{
  if (ctx->precision == LRP_PRECISION_BF16X3 && lrp_dnnl_bf16() < 2)
    return "bf16x3 is slower than f32 on this processor, which has no matrix units for bf16 (AMX); "
           "the results are those of bf16x3";
  if (ctx->precision == LRP_PRECISION_BF16 && lrp_dnnl_bf16() < 1)
    return "bf16 is slower than f32 on this processor, which cannot multiply bf16 (AVX512-BF16, "
           "AMX); the results are those of bf16";
  return NULL;
}
