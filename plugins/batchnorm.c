/* batchnorm.c - layer "batchnorm" as it is at inference: y = (x - mean) scale / sqrt(var + epsilon)
 * + shift, one value of each for every channel, the last axis (Ioffe & Szegedy 2015, algorithm 2;
 * ONNX BatchNormalization). */
#include "layer.h"
#include <math.h>
#include <stdlib.h>

enum { SCALE, SHIFT, MEAN, VAR, N_PARAM };
typedef struct batchnorm {
  double epsilon;
} batchnorm;

static const lrp_arg args[] = {{.name = "epsilon",
                                .type = LRP_ARG_REAL,
                                .def = 1e-5,
                                .max = 1e6,
                                .doc = "added to the variance; the default is ONNX's"},
                               LRP_ARGS_END};
static const lrp_port ins[] = {{.name = "x", .role = LRP_PORT_DATA}, LRP_PORTS_END};
static const lrp_port params[] = {{.name = "scale", .role = LRP_PORT_WEIGHT},
                                  {.name = "shift", .role = LRP_PORT_BIAS},
                                  {.name = "mean", .role = LRP_PORT_BUFFER},
                                  {.name = "var", .role = LRP_PORT_BUFFER},
                                  LRP_PORTS_END};
static const lrp_port outs[] = {{.name = "y", .role = LRP_PORT_DATA}, LRP_PORTS_END};

static lrp_status create(const lrp_host *h, lrp_ctx *ctx, const lrp_value *a, void **inst)
{
  batchnorm *b = malloc(sizeof *b);
  if (!b) return h->fail(ctx, LRP_E_NOMEM, "batchnorm: no memory for an instance");
  b->epsilon = a[0].real;
  *inst = b;
  return LRP_OK;
}

static lrp_status infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const lrp_tensor *x = &call->in[0];
  const lrp_status st = need_reals(h, ctx, "batchnorm", x);
  (void)inst;
  if (st) return st;
  if (x->rank < 2)
    return h->fail(ctx, LRP_E_SHAPE,
                   "batchnorm: x has rank %d, 2 or more was expected (samples, channels)", x->rank);
  const int64_t c = x->shape[x->rank - 1];
  for (uint32_t i = 0; i < N_PARAM; i++)
    if (call->param[i].rank != 1 || call->param[i].shape[0] != c)
      return h->fail(ctx, LRP_E_SHAPE,
                     "batchnorm: %s must have %lld elements, one for each channel of x",
                     params[i].name, (long long)c);
  tensor_describe(&call->out[0], LRP_REAL, x->rank, x->shape);
  return LRP_OK;
}

/* y = x a + b: a = scale / sqrt(var + epsilon), b = shift - mean a.  b may be NULL. */
static lrp_status coefficients(const lrp_host *h, lrp_ctx *ctx, const batchnorm *bn,
                               const lrp_call *call, lrp_real *a, lrp_real *b)
{
  const lrp_tensor *scale = param_of(call, SCALE), *shift = param_of(call, SHIFT);
  const lrp_real *mean = lrp_reals(&call->param[MEAN]), *var = lrp_reals(&call->param[VAR]);
  for (int64_t c = 0; c < call->param[VAR].shape[0]; c++) {
    const double v = (double)var[c] + bn->epsilon;
    if (!(v > 0))
      return h->fail(
          ctx, LRP_E_NUMERIC,
          "batchnorm: variance + epsilon of channel %lld is %g, more than 0 was expected",
          (long long)c, v);
    const double slope = (scale ? (double)lrp_reals(scale)[c] : 0) / sqrt(v);
    a[c] = (lrp_real)slope;
    if (b) b[c] = (lrp_real)((shift ? (double)lrp_reals(shift)[c] : 0) - (double)mean[c] * slope);
  }
  return LRP_OK;
}

static lrp_status forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  lrp_tensor a, b;
  lrp_status st = h->scratch(ctx, &call->param[VAR], &a);
  if (!st) st = h->scratch(ctx, &call->param[VAR], &b);
  if (!st) st = coefficients(h, ctx, inst, call, lrp_reals(&a), lrp_reals(&b));
  if (st) return st;
  const lrp_real *x = lrp_reals(&call->in[0]), *slope = lrp_reals(&a), *add = lrp_reals(&b);
  lrp_real *y = lrp_reals(&call->out[0]);
  const int64_t c = a.shape[0], rows = c ? lrp_count(&call->out[0]) / c : 0;
  if (!x) {
    tensor_zero(&call->out[0]);
    add_rows(&call->out[0], &b);
    return LRP_OK;
  }
  LRP_THREADS(rows * c > PARALLEL_MIN,
  for (int64_t r = 0; r < rows; r++)
    LRP_PRAGMA(omp simd)
    for (int64_t j = 0; j < c; j++)
      y[r * c + j] = x[r * c + j] * slope[j] + add[j];);
  return LRP_OK;
}

static lrp_status vjp(const lrp_host *h, lrp_ctx *ctx, const void *inst, const lrp_call *call,
                      const lrp_tensor *out_bar, lrp_tensor *in_bar)
{
  lrp_tensor a;
  if (!in_bar[0].data || !out_bar[0].data) return LRP_OK;
  lrp_status st = h->scratch(ctx, &call->param[VAR], &a);
  if (!st) st = coefficients(h, ctx, inst, call, lrp_reals(&a), NULL);
  if (st) return st;
  const lrp_real *y_bar = lrp_reals(&out_bar[0]), *slope = lrp_reals(&a);
  lrp_real *x_bar = lrp_reals(&in_bar[0]);
  const int64_t c = a.shape[0], rows = c ? lrp_count(&in_bar[0]) / c : 0;
  LRP_THREADS(rows * c > PARALLEL_MIN,
  for (int64_t r = 0; r < rows; r++)
    LRP_PRAGMA(omp simd)
    for (int64_t j = 0; j < c; j++)
      x_bar[r * c + j] = y_bar[r * c + j] * slope[j];);
  return LRP_OK;
}

/* The mean stays when the shift is taken away, so y is affine in x, not homogeneous. */
static uint32_t degree(const void *inst, uint32_t freeze)
{
  (void)inst, (void)freeze;
  return 0;
}

static lrp_status affine(const lrp_host *h, lrp_ctx *ctx, const void *inst, const lrp_call *call,
                         lrp_tensor *scale, lrp_tensor *shift)
{
  return coefficients(h, ctx, inst, call, lrp_reals(scale), lrp_reals(shift));
}

static lrp_status batchnorm_args(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node,
                                 lrp_value *a)
{
  if (h->node_int(node, "training_mode", 0) || h->node_n_out(node) > 1)
    return h->fail(ctx, LRP_E_UNSUPPORTED,
                   "BatchNormalization in training mode is not supported; export the model for "
                   "inference (model.eval())");
  if (!h->node_int(node, "spatial", 1))
    return h->fail(ctx, LRP_E_UNSUPPORTED,
                   "BatchNormalization with spatial=0 is not supported; export the model with "
                   "opset 9 or later");
  a[0].real = h->node_real(node, "epsilon", 1e-5);
  return LRP_OK;
}

static const lrp_operator operators[] = {{.domain = "",
                                          .name = "BatchNormalization",
                                          .since = 7,
                                          .inputs = "x scale shift mean var",
                                          .args = batchnorm_args},
                                         {0}};
static const lrp_layer_type batchnorm_type = {
    .struct_size = sizeof batchnorm_type,
    .kind = LRP_KIND_NORM,
    .layout = LRP_LAYOUT_IMAGE,
    .name = "batchnorm",
    .doc = "y = (x - mean) scale / sqrt(var + epsilon) + shift by channel",
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
    .degree = degree,
    .affine = affine};
static const lrp_layer_type *const layers[] = {&batchnorm_type, NULL};
LRP_PLUGIN(layer_batchnorm, "batchnorm", "1.0", "MIT", "batch normalisation with fixed statistics",
           layers, NULL, NULL);
