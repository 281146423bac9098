/* dense.c - layer "dense": y = alpha x W + beta b over the last axis (ONNX Gemm, MatMul with a
 * constant). */
#include "layer.h"
#include <stdlib.h>

enum { TRANS, ALPHA, BETA, N_ARG };
typedef struct dense {
  int trans; /* weight is (N,K), not (K,N) */
  double alpha, beta;
} dense;

static const lrp_arg args[] = {{.name = "trans",
                                .type = LRP_ARG_BOOL,
                                .doc = "weight is stored (N,K), not (K,N); ONNX Gemm transB"},
                               {.name = "alpha",
                                .type = LRP_ARG_REAL,
                                .flags = LRP_ARG_OPEN_MIN,
                                .def = 1,
                                .max = 1e30,
                                .doc = "positive factor of the product; ONNX Gemm"},
                               {.name = "beta",
                                .type = LRP_ARG_REAL,
                                .def = 1,
                                .max = 1e30,
                                .doc = "factor of the bias, not negative; ONNX Gemm"},
                               LRP_ARGS_END};
static const lrp_port ins[] = {{.name = "x", .role = LRP_PORT_DATA}, LRP_PORTS_END};
static const lrp_port params[] = {
    {.name = "weight", .role = LRP_PORT_WEIGHT},
    {.name = "bias", .role = LRP_PORT_BIAS, .flags = LRP_PORT_OPTIONAL},
    LRP_PORTS_END};
static const lrp_port outs[] = {{.name = "y", .role = LRP_PORT_DATA}, LRP_PORTS_END};

static lrp_status create(const lrp_host *h, lrp_ctx *ctx, const lrp_value *a, void **inst)
{
  dense *d = malloc(sizeof *d);
  if (!d) return h->fail(ctx, LRP_E_NOMEM, "dense: no memory for an instance");
  *d = (dense){.trans = a[TRANS].i != 0, .alpha = a[ALPHA].real, .beta = a[BETA].real};
  *inst = d;
  return LRP_OK;
}

/* One bias for each of n outputs: (N) or (1,N).  One value for all of them: () or (1). */
static int bias_fits(const lrp_tensor *b, int64_t n)
{
  for (int32_t i = 0; i + 1 < b->rank; i++)
    if (b->shape[i] != 1) return 0;
  return b->rank == 0 || b->shape[b->rank - 1] == n || b->shape[b->rank - 1] == 1;
}

static lrp_status infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const dense *d = inst;
  const lrp_tensor *x = &call->in[0], *w = &call->param[0], *b = param_of(call, 1);
  const lrp_status st = need_reals(h, ctx, "dense", x);
  if (st) return st;
  if (x->rank < 1)
    return h->fail(ctx, LRP_E_SHAPE,
                   "dense: x is a single number, a vector or more axes were expected");
  if (w->rank != 2)
    return h->fail(ctx, LRP_E_SHAPE, "dense: weight has rank %d, a matrix was expected", w->rank);
  const int64_t k = w->shape[d->trans ? 1 : 0], n = w->shape[d->trans ? 0 : 1];
  if (x->shape[x->rank - 1] != k)
    return h->fail(ctx, LRP_E_SHAPE,
                   "dense: the last axis of x has %lld elements, weight (%lld,%lld) expects %lld",
                   (long long)x->shape[x->rank - 1], (long long)w->shape[0], (long long)w->shape[1],
                   (long long)k);
  if (b && !bias_fits(b, n))
    return h->fail(
        ctx, LRP_E_SHAPE,
        "dense: bias must have one value, or %lld along its last axis and 1 along others",
        (long long)n);
  tensor_describe(&call->out[0], LRP_REAL, x->rank, x->shape);
  call->out[0].shape[x->rank - 1] = n;
  return LRP_OK;
}

/* y += beta * b, one bias value standing for all where there is one. */
static void add_bias(lrp_tensor *y, const lrp_tensor *b, double beta)
{
  const int64_t n = y->shape[1], step = lrp_count(b) == n;
  LRP_THREADS(y->shape[0] * n > PARALLEL_MIN,
  for (int64_t r = 0; r < y->shape[0]; r++)
    for (int64_t j = 0; j < n; j++)
      lrp_reals(y)[r * n + j] += (lrp_real)(beta * (double)lrp_reals(b)[j * step]););
}

static void scale_all(lrp_tensor *t, double factor)
{
  const int64_t n = lrp_count(t);
  LRP_THREADS_SIMD(n > PARALLEL_MIN,
  for (int64_t i = 0; i < n; i++)
    lrp_reals(t)[i] = (lrp_real)(factor * (double)lrp_reals(t)[i]););
}

/* The rows of x (...,K) as a matrix (M,K). */
static lrp_tensor rows_of(const lrp_tensor *t)
{
  int64_t m = 1;
  for (int32_t i = 0; i + 1 < t->rank; i++)
    m *= t->shape[i];
  return tensor_view(t, 2, m, t->shape[t->rank - 1]);
}

static lrp_status forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const dense *d = inst;
  const lrp_tensor *w = param_of(call, 0), *b = param_of(call, 1);
  const lrp_tensor x = rows_of(&call->in[0]);
  lrp_tensor y = rows_of(&call->out[0]);
  const int64_t n = y.shape[1];
  const int plain = d->alpha == 1 && d->beta == 1 && b &&
                    lrp_count(b) == n; /* the product adds the bias itself */
  lrp_status st = LRP_OK;
  if (x.data && w) {
    const lrp_tensor b1 = plain ? tensor_view(b, 1, n, 0) : (lrp_tensor){0};
    st = h->matmul(ctx, &x, 0, w, d->trans, plain ? &b1 : NULL, &y);
    if (!st && d->alpha != 1) scale_all(&y, d->alpha);
  } else {
    tensor_zero(&y);
  }
  if (!st && b && !(plain && x.data && w)) add_bias(&y, b, d->beta);
  return st;
}

static lrp_status vjp(const lrp_host *h, lrp_ctx *ctx, const void *inst, const lrp_call *call,
                      const lrp_tensor *out_bar, lrp_tensor *in_bar)
{
  const dense *d = inst;
  const lrp_tensor *w = param_of(call, 0);
  if (!out_bar[0].data || !w) tensor_zero(&in_bar[0]);
  if (!in_bar[0].data || !out_bar[0].data || !w) return LRP_OK;
  const lrp_tensor y_bar = rows_of(&out_bar[0]);
  lrp_tensor x_bar = rows_of(&in_bar[0]);
  const lrp_status st = h->matmul(ctx, &y_bar, 0, w, !d->trans, NULL, &x_bar);
  if (!st && d->alpha != 1) scale_all(&x_bar, d->alpha);
  return st;
}

/* y s + t = alpha x (W s) + beta (b s + t / beta). */
static lrp_status fold(const lrp_host *h, lrp_ctx *ctx, const void *inst, const lrp_call *call,
                       const lrp_tensor *scale, const lrp_tensor *shift, lrp_tensor *param)
{
  const dense *d = inst;
  const lrp_tensor *w = param_of(call, 0), *b = param_of(call, 1);
  const int64_t n = lrp_count(scale), k = n ? lrp_count(&call->param[0]) / n : 0;
  if (!w || d->beta == 0 || (b && lrp_count(b) != n))
    return h->fail(ctx, LRP_E_UNSUPPORTED,
                   "dense: a scale cannot be merged where the bias is one value for all outputs");
  for (int64_t i = 0; i < k * n; i++) {
    const int64_t j = d->trans ? i / k : i % n;
    lrp_reals(&param[0])[i] = lrp_reals(w)[i] * lrp_reals(scale)[j];
  }
  for (int64_t j = 0; j < n; j++) {
    const double old = b ? (double)lrp_reals(b)[j] * (double)lrp_reals(scale)[j] : 0;
    lrp_reals(&param[1])[j] = (lrp_real)(old + (double)lrp_reals(shift)[j] / d->beta);
  }
  return LRP_OK;
}

static lrp_status absorb(const lrp_host *h, lrp_ctx *ctx, const void *inst, const lrp_call *call,
                         const lrp_tensor *scale, lrp_tensor *param)
{
  const dense *d = inst;
  const lrp_tensor *w = param_of(call, 0);
  const int64_t k = lrp_count(scale), n = k ? lrp_count(&call->param[0]) / k : 0;
  if (!w || d->beta != 1)
    return h->fail(ctx, LRP_E_UNSUPPORTED, "dense: beta is %g; 1 was expected", d->beta);
  for (int64_t i = 0; i < k * n; i++)
    lrp_reals(&param[0])[i] = lrp_reals(w)[i] * lrp_reals(scale)[d->trans ? i % k : i / n];
  return LRP_OK;
}

static lrp_status gemm_args(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)
{
  if (h->node_int(node, "transA", 0))
    return h->fail(ctx, LRP_E_UNSUPPORTED,
                   "Gemm with transA=1 is not supported: rows of x must be samples");
  a[TRANS].i = h->node_int(node, "transB", 0) != 0;
  a[ALPHA].real = h->node_real(node, "alpha", 1);
  a[BETA].real = h->node_real(node, "beta", 1);
  if (!(a[ALPHA].real > 0) ||
      !(a[BETA].real >= 0)) /* a rule's positive part of W must stay the positive part */
    return h->fail(ctx, LRP_E_UNSUPPORTED,
                   "Gemm with alpha=%g, beta=%g is not supported: alpha > 0 and beta >= 0 were "
                   "expected; fold the factors into the weights",
                   a[ALPHA].real, a[BETA].real);
  const lrp_tensor *c = h->node_const(ctx, node, 2);
  if (c && c->rank == 2 && c->shape[0] != 1)
    return h->fail(ctx, LRP_E_UNSUPPORTED,
                   "Gemm with another bias for each row is not supported: C must be (N) or (1,N)");
  return LRP_OK;
}

static lrp_status matmul_args(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)
{
  const lrp_tensor *w = h->node_const(ctx, node, 1);
  (void)a;
  if (w && (w->rank != 2 || w->dtype != LRP_REAL))
    return h->fail(ctx, LRP_E_UNSUPPORTED,
                   "dense: the constant operand of MatMul is no matrix of real numbers");
  return LRP_OK;
}

static int32_t row_axes(const void *inst, const lrp_call *call, int32_t axis, uint32_t i)
{
  (void)inst, (void)i;
  return axis + 1 < call->out[0].rank ? axis : LRP_ROWS_MIXED;
}

static const lrp_operator operators[] = {
    {.domain = "", .name = "Gemm", .since = 7, .inputs = "x weight bias", .args = gemm_args},
    {.domain = "", .name = "MatMul", .since = 1, .inputs = "x weight", .args = matmul_args},
    {0}};
static const lrp_layer_type dense_type = {.struct_size = sizeof dense_type,
                                          .kind = LRP_KIND_LINEAR,
                                          .layout = LRP_LAYOUT_MODEL,
                                          .name = "dense",
                                          .doc = "y (...,N) = alpha x (...,K) W (K,N) + beta b (N)",
                                          .args = args,
                                          .in = ins,
                                          .param = params,
                                          .out = outs,
                                          .operators = operators,
                                          .create = create,
                                          .destroy = free,
                                          .infer = infer,
                                          .forward = forward,
                                          .vjp = vjp,
                                          .fold = fold,
                                          .writes = LRP_WRITES_BAR,
                                          .absorb = absorb,
                                          .rows = row_axes};
static const lrp_layer_type *const layers[] = {&dense_type, NULL};
LRP_PLUGIN(layer_dense, "dense", "1.0", "MIT", "dense layers: Gemm, and MatMul with a constant",
           layers, NULL, NULL);
