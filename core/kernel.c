/* kernel.c - checks products and convolutions, chooses who computes them, and keeps packed weights.
 *
 * AUTO takes plain C for what is small, by size alone, so that the same problem always gives the
 * same bits.  Measured on one AVX2 core: oneDNN's first product costs 15 ms (it compiles all its
 * kernels), each new convolution 0.5 ms; plain C does 30 to 40 million multiply-adds in a
 * millisecond, a fifth of that with few channels; in large problems oneDNN is 1.4 times as fast
 * there, and more with wider vectors.  Another precision than f32 (kernel_bf16.c) is for what is not
 * tiny. */
#include "kernel_impl.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Multiply-adds from which oneDNN is worth its start; those of products: LRP_PRODUCT_WORK. */
#define LIVE_WORK    1e7 /* products of two live operands, which plain C would have to pack each time */
#define CONV_WORK    2e7
#define NARROW_WORK  2e6 /* convolutions with few channels in a group */
/* Multiply-adds from which rows of zeros are looked for. */
#define ROWS_WORK 1e6
/* Multiply-adds up to which sums in double cost next to nothing. */
#define EXACT_WORK 131072

static const lrp_tensor *operand(const lrp_tensor *t)
{
  return t && t->data ? t : NULL;
}

/* ---- packed forms ---- */

lrp_status lrp_pack_attach(lrp_ctx *ctx, lrp_tensor *t)
{
  lrp_pack *p = calloc(1, sizeof *p);
  if (!p) return lrp_nomem(ctx, "packed weights");
  pthread_mutex_init(&p->lock, NULL);
  p->data = t->data;
  p->rank = t->rank;
  memcpy(p->shape, t->shape, sizeof p->shape);
  t->host = p;
  return LRP_OK;
}

static void pack_free(lrp_pack *p)
{
  if (!p) return;
  while (p->form) {
    lrp_packed *f = p->form;
    p->form = f->next;
    pack_free(f->own);
    free(f->data);
    free(f);
  }
#if LRP_WITH_DNNL
  lrp_dnnl_pack_free(p->dnnl);
#endif
  pthread_mutex_destroy(&p->lock);
  free(p);
}

void lrp_pack_free(lrp_tensor *t)
{
  pack_free(t->host);
  t->host = NULL;
}

/* The tensor's own pack: not that of a tensor whose header was copied and given other data or
 * another shape. */
static lrp_pack *pack_of(const lrp_tensor *t)
{
  lrp_pack *p = t->host;
  const bool own = p && p->data == t->data && p->rank == t->rank &&
                   !memcmp(p->shape, t->shape, (size_t)t->rank * sizeof *t->shape);
  return own ? p : NULL;
}

static lrp_status packed_keep(lrp_ctx *ctx, lrp_pack *pack, uint32_t kind, int64_t group,
                              size_t bytes, lrp_packed **out)
{
  lrp_packed *f = calloc(1, sizeof *f);
  lrp_real *data = f ? lrp_pages_alloc(bytes) : NULL;
  if (!data) {
    free(f);
    return lrp_nomem(ctx, "packed weights");
  }
  *f = (lrp_packed){.kind = kind, .group = group, .data = data, .next = pack->form};
  *out = f;
  return LRP_OK;
}

lrp_status lrp_packed_get(lrp_ctx *ctx, lrp_pack *pack, uint32_t kind, int64_t group, int64_t n,
                          lrp_packed_fill *fill, const void *job, const lrp_real **out)
{
  size_t bytes;
  if (n < 0 || !lrp_mul_size((size_t)n, sizeof **out, &bytes) || bytes > LRP_MAX_BYTES)
    return lrp_nomem(ctx, "packed weights");
  if (!pack) {
    lrp_real *data = lrp_arena_raw(&ctx->scratch, bytes);
    if (!data) return lrp_nomem(ctx, "packed weights");
    fill(job, data);
    *out = data;
    return LRP_OK;
  }
  lrp_status st = LRP_OK;
  pthread_mutex_lock(&pack->lock);
  lrp_packed *f = pack->form;
  while (f && !(f->kind == kind && f->group == group))
    f = f->next;
  if (!f && !(st = packed_keep(ctx, pack, kind, group, bytes, &f))) {
    fill(job, f->data);
    pack->form = f;
  }
  pthread_mutex_unlock(&pack->lock);
  if (!st) *out = f->data;
  return st;
}

lrp_status lrp_packed_own(lrp_ctx *ctx, lrp_pack *pack, uint32_t kind, int64_t group, int64_t n,
                          lrp_packed_fill *fill, const void *job, const lrp_real **out,
                          lrp_pack **own)
{
  lrp_status st = lrp_packed_get(ctx, pack, kind, group, n, fill, job, out);
  *own = NULL;
  if (st || !pack) return st;
  pthread_mutex_lock(&pack->lock);
  lrp_packed *f = pack->form;
  while (f->data != *out)
    f = f->next;
  if (!f->own && (f->own = calloc(1, sizeof *f->own))) pthread_mutex_init(&f->own->lock, NULL);
  *own = f->own;
  pthread_mutex_unlock(&pack->lock);
  return *own ? LRP_OK : lrp_nomem(ctx, "packed weights");
}

static void fill_transposed(const void *job, lrp_real *out)
{
  const lrp_tensor *t = job;
  const int64_t rows = t->shape[t->rank - 2], columns = t->shape[t->rank - 1], size = rows * columns,
                n = size ? lrp_count(t) / size : 0;
  for (int64_t i = 0; i < n; i++)
    for (int64_t r = 0; r < rows; r++)
      for (int64_t c = 0; c < columns; c++)
        out[i * size + c * rows + r] = lrp_reals(t)[i * size + r * columns + c];
}

lrp_status lrp_transposed(lrp_ctx *ctx, const lrp_tensor *t, const lrp_real **out)
{
  if (t->rank < 2 || t->dtype != LRP_REAL || !t->data)
    return lrp_fail(ctx, LRP_E_SHAPE, "transposed: a matrix of real numbers was expected");
  return lrp_packed_get(ctx, pack_of(t), LRP_FORM_TRANSPOSED, 1, lrp_count(t), fill_transposed, t,
                        out);
}

/* Judged by a sample's share of it, so that a sample in a batch is summed as alone, and by the whole of which only some
 * rows are computed, so that these are what they would be among all. */
static double share(const lrp_ctx *ctx, double work)
{
  const double whole = ctx->cut > 1 ? work * ctx->cut : work;
  return ctx->samples > 1 ? whole / (double)ctx->samples : whole;
}

static bool is_tiny(const lrp_ctx *ctx, double work)
{
  return share(ctx, work) <= EXACT_WORK;
}

/* ---- products ---- */

static void count_product(lrp_ctx *ctx, double work, const lrp_tensor *a, const lrp_tensor *b,
                          const lrp_tensor *out)
{
  ctx->tally.n_product++;
  ctx->tally.work += work;
  ctx->tally.moved += (double)(lrp_count(a) + lrp_count(b) + lrp_count(out)) * sizeof(lrp_real);
}

static int64_t from_end(const lrp_tensor *t, int32_t i)
{
  return i < t->rank ? t->shape[t->rank - 1 - i] : 1;
}

/* Batch axes of out, last first, with the operands' steps along them; axes that merge are merged.
 */
static lrp_status product_axes(lrp_ctx *ctx, const lrp_tensor *a, const lrp_tensor *b,
                               const lrp_tensor *out, lrp_product *p)
{
  int64_t a_step = from_end(a, 0) * from_end(a, 1), b_step = from_end(b, 0) * from_end(b, 1);
  int32_t most = a->rank > b->rank ? a->rank : b->rank, n = 0;
  most = most > out->rank ? most : out->rank;
  p->n_batch = 1;
  for (int32_t i = 2; i < most; i++) {
    const int64_t na = from_end(a, i), nb = from_end(b, i), size = from_end(out, i);
    if ((na != size && na != 1) || (nb != size && nb != 1) || (size != na && size != nb))
      return lrp_fail(ctx, LRP_E_SHAPE,
                      "matmul: along axis %d from the end the operands have %lld and %lld "
                      "elements, the result %lld; equal "
                      "ones or 1 were expected",
                      i + 1, (long long)na, (long long)nb, (long long)size);
    const int64_t sa = na == 1 ? 0 : a_step, sb = nb == 1 ? 0 : b_step;
    a_step *= na;
    b_step *= nb;
    p->n_batch *= size;
    if (size == 1) continue;
    if (n && sa == p->a_step[n - 1] * p->axis[n - 1] && sb == p->b_step[n - 1] * p->axis[n - 1]) {
      p->axis[n - 1] *= size; /* the axis before continues where this one ends */
      continue;
    }
    p->axis[n] = size;
    p->a_step[n] = sa;
    p->b_step[n++] = sb;
  }
  p->n_axis = n;
  for (int32_t i = 0; i < n / 2; i++) { /* slowest first */
    const int64_t size = p->axis[i], sa = p->a_step[i], sb = p->b_step[i], j = n - 1 - i;
    p->axis[i] = p->axis[j], p->a_step[i] = p->a_step[j], p->b_step[i] = p->b_step[j];
    p->axis[j] = size, p->a_step[j] = sa, p->b_step[j] = sb;
  }
  return LRP_OK;
}

static lrp_status product_of(lrp_ctx *ctx, const lrp_tensor *a, int trans_a, const lrp_tensor *b,
                             int trans_b, const lrp_tensor *bias, const lrp_tensor *out,
                             lrp_product *p)
{
  const int64_t m = from_end(a, trans_a ? 0 : 1), k = from_end(a, trans_a ? 1 : 0),
                n = from_end(b, trans_b ? 1 : 0);
  if (a->rank < 2 || b->rank < 2 || out->rank < 2 || from_end(b, trans_b ? 0 : 1) != k ||
      from_end(out, 1) != m || from_end(out, 0) != n || (bias && lrp_count(bias) != n)) {
    char ta[200], tb[200], to[200];
    return lrp_fail(ctx, LRP_E_SHAPE, "matmul: shapes %s%s and %s%s do not give %s%s",
                    lrp_shape_text(a, ta, sizeof ta), trans_a ? " transposed" : "",
                    lrp_shape_text(b, tb, sizeof tb), trans_b ? " transposed" : "",
                    lrp_shape_text(out, to, sizeof to), bias ? " with this bias" : "");
  }
  *p = (lrp_product){.m = m,
                     .n = n,
                     .k = k,
                     .a = lrp_reals(a),
                     .b = lrp_reals(b),
                     .bias = bias ? lrp_reals(bias) : NULL,
                     .a_row = trans_a ? 1 : k,
                     .a_col = trans_a ? m : 1,
                     .b_row = trans_b ? 1 : n,
                     .b_col = trans_b ? k : 1,
                     .a_count = lrp_count(a),
                     .b_count = lrp_count(b),
                     .out = lrp_reals(out),
                     .pack = pack_of(b),
                     .relayout = true};
  const lrp_status st = product_axes(ctx, a, b, out, p);
  if (!st && !trans_a && p->n_axis == 1 && p->b_step[0] == 0 &&
      p->a_step[0] == m * k) { /* one b: batches are rows */
    p->m *= p->n_batch;
    p->n_batch = 1;
    p->n_axis = 0;
  }
  return st;
}

/* The empty sum: the bias. */
static void only_bias(const lrp_real *bias, int64_t rows, int64_t n, lrp_real *out)
{
  for (int64_t i = 0; i < rows; i++)
    for (int64_t j = 0; j < n; j++)
      out[i * n + j] = bias ? bias[j] : 0;
}

static double product_work(const lrp_product *p)
{
  return (double)p->n_batch * (double)p->m * (double)p->n * (double)p->k;
}

static bool product_is_large(const lrp_ctx *ctx, const lrp_product *p)
{
  return !lrp_rows_are_few(ctx, p->m) && p->n >= LRP_FEW_ROWS &&
         share(ctx, product_work(p)) >= (p->pack ? LRP_PRODUCT_WORK : LIVE_WORK);
}

lrp_status lrp_product_run(lrp_ctx *ctx, int which, const lrp_product *p)
{
#if LRP_WITH_DNNL
  bool done = false;
  if (which == LRP_KERNEL_DNNL || (which == LRP_KERNEL_AUTO && product_is_large(ctx, p))) {
    const lrp_status st = lrp_dnnl_matmul(ctx, p, &done);
    if (st || done) return st;
  }
#else
  (void)which;
#endif
  return lrp_plain_matmul(ctx, p);
}

static lrp_status product_any(lrp_ctx *ctx, int which, const lrp_product *p)
{
  if (which == LRP_KERNEL_AUTO && is_tiny(ctx, product_work(p))) return lrp_exact_matmul(ctx, p);
  return ctx->precision ? lrp_bf16_matmul(ctx, which, p, product_is_large(ctx, p)) : lrp_product_run(ctx, which, p);
}

lrp_status lrp_matmul(lrp_ctx *ctx, int which, const lrp_tensor *a, int trans_a,
                      const lrp_tensor *b, int trans_b, const lrp_tensor *bias, lrp_tensor *out)
{
  lrp_product p;
  lrp_status st = product_of(ctx, a, trans_a, b, trans_b, operand(bias), out, &p);
  if (st || !p.m || !p.n || !p.n_batch) return st;
  if (!p.k) {
    only_bias(p.bias, p.n_batch * p.m, p.n, p.out);
    return LRP_OK;
  }
  const double work = product_work(&p);
  count_product(ctx, work, a, b, out);
  bool done = false;
  if (work > ROWS_WORK) st = lrp_rows_matmul(ctx, &p, product_any, which, &done);
  return st || done ? st : product_any(ctx, which, &p);
}

/* ---- convolutions ---- */

static bool conv_fits(const lrp_conv *c, const lrp_tensor *x, const lrp_tensor *w,
                      const lrp_tensor *y)
{
  const int32_t n = (int32_t)c->n_spatial;
  bool ok =
      n >= 1 && n <= 3 && x->rank == n + 2 && y->rank == n + 2 && w->rank == n + 2 && c->group >= 1;
  ok = ok && x->shape[0] == y->shape[0] && y->shape[n + 1] == w->shape[0] &&
       w->shape[0] % c->group == 0 && x->shape[n + 1] % c->group == 0 &&
       x->shape[n + 1] / c->group == w->shape[1];
  for (int32_t i = 0; ok && i < n; i++)
    ok = c->stride[i] >= 1 && c->dilation[i] >= 1 && c->stride[i] <= INT32_MAX &&
         c->dilation[i] <= INT32_MAX && w->shape[2 + i] <= INT32_MAX &&
         x->shape[1 + i] <= INT32_MAX && y->shape[1 + i] <= INT32_MAX &&
         c->pad_lo[i] >= INT32_MIN && c->pad_lo[i] <= INT32_MAX;
  return ok;
}

static lrp_status conv_job(lrp_ctx *ctx, const lrp_conv *c, const lrp_tensor *x,
                           const lrp_tensor *w, const lrp_tensor *b, const lrp_tensor *y,
                           lrp_conv_job *j)
{
  const int32_t n = (int32_t)c->n_spatial;
  if (!conv_fits(c, x, w, y) || (b && lrp_count(b) != w->shape[0])) {
    char tx[200], tw[200], ty[200];
    return lrp_fail(ctx, LRP_E_SHAPE, "conv: x %s and weight %s in %lld groups do not give y %s%s",
                    lrp_shape_text(x, tx, sizeof tx), lrp_shape_text(w, tw, sizeof tw),
                    (long long)c->group, lrp_shape_text(y, ty, sizeof ty),
                    b ? " with this bias" : "");
  }
  *j = (lrp_conv_job){.n_spatial = c->n_spatial,
                      .batch = x->shape[0],
                      .c = x->shape[n + 1],
                      .o = y->shape[n + 1],
                      .group = c->group,
                      .taps = 1,
                      .w = lrp_reals(w),
                      .bias = b ? lrp_reals(b) : NULL,
                      .pack = pack_of(w)};
  for (int32_t i = 0; i < 3; i++) {
    const int32_t s = i - (3 - n);
    j->in[i] = s < 0 ? 1 : x->shape[1 + s];
    j->out[i] = s < 0 ? 1 : y->shape[1 + s];
    j->kernel[i] = s < 0 ? 1 : w->shape[2 + s];
    j->stride[i] = s < 0 ? 1 : c->stride[s];
    j->dilation[i] = s < 0 ? 1 : c->dilation[s];
    j->lo[i] = s < 0 ? 0 : c->pad_lo[s];
    j->hi[i] = s < 0 ? 0 : c->pad_hi[s];
    j->taps *= j->kernel[i];
  }
  return LRP_OK;
}

static double conv_work(const lrp_conv_job *j)
{
  return (double)j->batch * (double)j->out[0] * (double)j->out[1] * (double)j->out[2] *
         (double)j->o * (double)(j->c / j->group) * (double)j->taps;
}

static bool conv_is_large(const lrp_ctx *ctx, const lrp_conv_job *j)
{
  const bool few = j->c / j->group < LRP_PANEL || j->o / j->group < LRP_PANEL;
  return share(ctx, conv_work(j)) >= (few ? NARROW_WORK : CONV_WORK);
}

lrp_status lrp_conv_run(lrp_ctx *ctx, int which, const lrp_conv_job *j, bool transposed)
{
  if (which == LRP_KERNEL_AUTO && transposed && conv_is_large(ctx, j) && lrp_conv_is_narrow(j))
    return lrp_narrow_conv(ctx, which, j);
#if LRP_WITH_DNNL
  if (which == LRP_KERNEL_DNNL || (which == LRP_KERNEL_AUTO && conv_is_large(ctx, j))) {
    bool done = false;
    const lrp_status st = lrp_dnnl_conv(ctx, j, transposed, &done);
    if (st || done) return st;
  }
#endif
  return lrp_plain_conv(ctx, j, transposed);
}

static lrp_status conv_any(lrp_ctx *ctx, int which, const lrp_conv_job *j, bool transposed)
{
  if (which == LRP_KERNEL_AUTO && is_tiny(ctx, conv_work(j)))
    return lrp_exact_conv(ctx, j, transposed);
  if (!ctx->precision && (which == LRP_KERNEL_WINOGRAD || (which == LRP_KERNEL_AUTO && !ctx->direct && conv_is_large(ctx, j))) &&
      lrp_conv_is_winograd(j))
    return lrp_winograd_conv(ctx, j, transposed);
  if (!ctx->precision && which == LRP_KERNEL_AUTO && conv_is_large(ctx, j) && lrp_conv_is_point(j))
    return lrp_point_conv(ctx, LRP_KERNEL_DNNL, j, transposed);
  return ctx->precision ? lrp_bf16_conv(ctx, which, j, transposed, conv_is_large(ctx, j))
                        : lrp_conv_run(ctx, which, j, transposed);
}

lrp_status lrp_conv_forward(lrp_ctx *ctx, int which, const lrp_conv *c, const lrp_tensor *x,
                            const lrp_tensor *w, const lrp_tensor *b, lrp_tensor *y)
{
  lrp_conv_job j;
  const lrp_status st = conv_job(ctx, c, x, w, operand(b), y, &j);
  if (st || !lrp_count(y)) return st;
  j.from = lrp_reals(x);
  j.to = lrp_reals(y);
  if (!lrp_count(x) || !lrp_count(w)) {
    only_bias(j.bias, lrp_count(y) / j.o, j.o, j.to);
    return LRP_OK;
  }
  count_product(ctx, conv_work(&j), x, w, y);
  return conv_any(ctx, which, &j, false);
}

lrp_status lrp_conv_backward(lrp_ctx *ctx, int which, const lrp_conv *c, const lrp_tensor *w,
                             const lrp_tensor *y_bar, lrp_tensor *x_bar)
{
  lrp_conv_job j;
  const lrp_status st = conv_job(ctx, c, x_bar, w, NULL, y_bar, &j);
  if (st || !lrp_count(x_bar)) return st;
  j.from = lrp_reals(y_bar);
  j.to = lrp_reals(x_bar);
  if (!lrp_count(y_bar) || !lrp_count(w)) {
    only_bias(NULL, lrp_count(x_bar) / j.c, j.c, j.to);
    return LRP_OK;
  }
  count_product(ctx, conv_work(&j), y_bar, w, x_bar);
  return conv_any(ctx, which, &j, true);
}

/* ---- the processor ---- */

void lrp_set_threads(int n)
{
#ifdef _OPENMP
  const char *env = getenv("LRP_THREADS");
  char *end = NULL;
  if (n <= 0 && env && *env) {
    errno = 0;
    const long v = strtol(env, &end, 10);
    n = !errno && !*end && v > 0 && v <= 4096 ? (int)v : 0;
  }
  omp_set_num_threads(n > 0 ? n : omp_get_num_procs());
#else
  (void)n;
#endif
}

const char *lrp_kernel_name(void)
{
#if LRP_WITH_DNNL
  static _Thread_local char text[96]; /* good until the thread's next call */
  char name[64];
  const int threads = lrp_threads();
  snprintf(text, sizeof text, "%s, %d thread%s", lrp_dnnl_name(name, sizeof name), threads,
           threads == 1 ? "" : "s");
  return text;
#else
  return "plain C";
#endif
}
