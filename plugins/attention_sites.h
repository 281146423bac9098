/* attention_sites.h - what rules see of an attention layer: a product, a softmax, a sum, on
 * tensors (B,H,G,S,X) where G heads of queries share one head of keys and values.  Part of
 * attention.c. */
#ifndef LRP_PLUGINS_ATTENTION_SITES_H
#define LRP_PLUGINS_ATTENTION_SITES_H
#include "layer.h"
#include "lrp/vector.h"

static const lrp_port outs[] = {{.name = "y", .role = LRP_PORT_DATA}, LRP_PORTS_END};
static const lrp_port pair[] = {
    {.name = "a", .role = LRP_PORT_DATA}, {.name = "b", .role = LRP_PORT_DATA}, LRP_PORTS_END};
static const lrp_port one[] = {{.name = "x", .role = LRP_PORT_DATA}, LRP_PORTS_END};

static inline int64_t from_end(const lrp_tensor *t, int32_t i)
{
  return i < t->rank ? t->shape[t->rank - 1 - i] : 1;
}

static lrp_status no_shapes(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  (void)inst, (void)call;
  return h->fail(ctx, LRP_E_UNSUPPORTED, "a site inside of attention has no shapes of its own");
}

/* y (B,H,G,S,X) = a b, or a b^T; one b for all G.  A frozen a is saved[0]. */
static const int AS_IT_IS = 0, TRANSPOSED = 1;

static const lrp_tensor *left(const lrp_call *call)
{
  return call->freeze & 1 ? &call->saved[0] : &call->in[0];
}

static lrp_status product_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  tensor_zero(&call->out[0]);
  if (!left(call)->data || !call->in[1].data) return LRP_OK;
  return h->matmul(ctx, left(call), 0, &call->in[1], *(const int *)inst, NULL, &call->out[0]);
}

/* to (B,H,1,...) += the sum of from (B,H,G,...) over G. */
static void sum_group(const lrp_tensor *from, const lrp_tensor *to)
{
  const int64_t g = from->shape[2], outer = from->shape[0] * from->shape[1],
                n = from->shape[3] * from->shape[4];
  for (int64_t i = 0; i < outer * g; i++)
    for (int64_t k = 0; k < n; k++)
      lrp_reals(to)[i / g * n + k] += lrp_reals(from)[i * n + k];
}

static lrp_status product_vjp(const lrp_host *h, lrp_ctx *ctx, const void *inst,
                              const lrp_call *call, const lrp_tensor *out_bar, lrp_tensor *in_bar)
{
  const int trans = *(const int *)inst;
  const lrp_tensor *a = left(call), *b = &call->in[1];
  lrp_status st = LRP_OK;
  if (!out_bar[0].data) return LRP_OK;
  if (in_bar[0].data && !(call->freeze & 1) && b->data)
    st = h->matmul(ctx, &out_bar[0], 0, b, !trans, NULL, &in_bar[0]);
  if (st || !in_bar[1].data || !a->data) return st;
  lrp_tensor like = in_bar[1], full;
  like.shape[2] = a->shape[2];
  st = h->scratch(ctx, &like, &full);
  if (!st)
    st = trans ? h->matmul(ctx, &out_bar[0], 1, a, 0, NULL, &full)
               : h->matmul(ctx, a, 1, &out_bar[0], 0, NULL, &full);
  if (!st) sum_group(&full, &in_bar[1]);
  return st;
}

/* p = e^x / sum; a row that is masked as a whole gives 0, as ONNX says. */
LRP_LOOP void softmax_row_any(const lrp_real *x, int64_t n, lrp_real *p)
{
  lrp_real most = (lrp_real)-INFINITY;
  double sum = 0;
#pragma omp simd reduction(max : most)
  for (int64_t i = 0; i < n; i++)
    most = x[i] > most ? x[i] : most;
  const lrp_real from = most == (lrp_real)-INFINITY ? 0 : most;
#pragma omp simd
  for (int64_t i = 0; i < n; i++)
    p[i] = lrp_exp(x[i] - from);
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; i++)
    sum += (double)p[i];
  const double share = sum == 0 ? 0 : 1 / sum;
#pragma omp simd
  for (int64_t i = 0; i < n; i++)
    p[i] = (lrp_real)((double)p[i] * share);
}
LRP_TWICE(void, softmax_row, (const lrp_real *x, int64_t n, lrp_real *p), (x, n, p))

static void softmax_rows(const lrp_real *x, int64_t rows, int64_t n, lrp_real *p)
{
  LRP_THREADS(rows * n > PARALLEL_MIN,
  for (int64_t r = 0; r < rows; r++)
    softmax_row(x + r * n, n, p + r * n););
}

static lrp_status softmax_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const lrp_tensor *y = &call->out[0];
  const int64_t n = from_end(y, 0), rows = n ? lrp_count(y) / n : 0;
  lrp_tensor zero = call->in[0];
  (void)inst;
  const lrp_status st = zero.data ? LRP_OK : h->scratch(ctx, &call->in[0], &zero);
  if (st) return st;
  softmax_rows(lrp_reals(&zero), rows, n, lrp_reals(y));
  memcpy(call->saved[0].data, y->data, (size_t)lrp_count(y) * sizeof(lrp_real));
  return LRP_OK;
}

/* x_bar = p (y_bar - sum p y_bar); 0 where p is 0. */
LRP_LOOP void pull_row_any(const lrp_real *p, const lrp_real *y_bar, int64_t n, lrp_real *x_bar)
{
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; i++) {
    const lrp_real bar = lrp_select(p[i] > 0, y_bar[i], 0);
    sum += (double)p[i] * (double)bar;
  }
#pragma omp simd
  for (int64_t i = 0; i < n; i++) {
    const lrp_real bar = lrp_select(p[i] > 0, y_bar[i], 0);
    x_bar[i] = (lrp_real)((double)p[i] * ((double)bar - sum));
  }
}
LRP_TWICE(void, pull_row, (const lrp_real *p, const lrp_real *y_bar, int64_t n, lrp_real *x_bar), (p, y_bar, n, x_bar))

static lrp_status softmax_vjp(const lrp_host *h, lrp_ctx *ctx, const void *inst,
                              const lrp_call *call, const lrp_tensor *out_bar, lrp_tensor *in_bar)
{
  const int64_t n = from_end(&call->in[0], 0), rows = n ? lrp_count(&call->in[0]) / n : 0;
  (void)h, (void)ctx, (void)inst;
  if (!out_bar[0].data || !in_bar[0].data) return LRP_OK;
  LRP_THREADS(rows * n > PARALLEL_MIN,
  for (int64_t r = 0; r < rows; r++)
    pull_row(lrp_reals(&call->saved[0]) + r * n, lrp_reals(&out_bar[0]) + r * n, n, lrp_reals(&in_bar[0]) + r * n););
  return LRP_OK;
}

static lrp_status sum_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  lrp_real *y = lrp_reals(&call->out[0]);
  (void)h, (void)ctx, (void)inst;
  for (int64_t i = 0, n = lrp_count(&call->out[0]); i < n; i++)
    y[i] = (call->in[0].data ? lrp_reals(&call->in[0])[i] : 0) +
           (call->in[1].data ? lrp_reals(&call->in[1])[i] : 0);
  return LRP_OK;
}

static lrp_status sum_vjp(const lrp_host *h, lrp_ctx *ctx, const void *inst, const lrp_call *call,
                          const lrp_tensor *out_bar, lrp_tensor *in_bar)
{
  (void)h, (void)ctx, (void)inst, (void)call;
  for (int k = 0; k < 2; k++)
    if (in_bar[k].data && out_bar[0].data)
      memcpy(in_bar[k].data, out_bar[0].data, (size_t)lrp_count(&in_bar[k]) * sizeof(lrp_real));
  return LRP_OK;
}

#define INNER(NAME, KIND, DOC, IN, N_SAVED)                                                        \
  static const lrp_layer_type NAME##_type = {.struct_size = sizeof NAME##_type,                    \
                                             .kind = KIND,                                         \
                                             .n_saved = N_SAVED,                                   \
                                             .name = "attention_" #NAME,                           \
                                             .doc = DOC,                                           \
                                             .in = IN,                                             \
                                             .out = outs,                                          \
                                             .infer = no_shapes,                                   \
                                             .forward = NAME##_forward,                            \
                                             .vjp = NAME##_vjp}
INNER(product, LRP_KIND_BILINEAR, "y = a b or a b^T", pair, 1);
INNER(softmax, LRP_KIND_SOFTMAX, "y = e^x / sum e^x", one, 1);
INNER(sum, LRP_KIND_SUM, "y = a + b", pair, 0);
#endif
