/* quantize.c - layer "dequantize": y = (x - zero) scale, real numbers from integers (ONNX DequantizeLinear).  Files store
 * weights so; the result is then a constant.  Integer arithmetic between quantised layers is not followed: relevance is
 * defined on the real numbers of the original model. */
#include "rearrange.h"
#include <stdlib.h>

enum { SCALE, ZERO };
typedef struct dequantize {
  int64_t axis, block;
} dequantize;

static const lrp_arg args[] = {
    {.name = "axis",
     .type = LRP_ARG_INT,
     .def = 1,
     .doc = "axis of x along which scales differ; the default is ONNX's"},
    {.name = "block",
     .type = LRP_ARG_INT,
     .max = 1e15,
     .doc = "neighbours along the axis that share a scale; 0: one each"},
    LRP_ARGS_END};
static const lrp_port ins[] = {{.name = "x", .role = LRP_PORT_SIDE, .dtype = LRP_INDEX},
                               LRP_PORTS_END};
static const lrp_port params[] = {
    {.name = "scale", .role = LRP_PORT_BUFFER},
    {.name = "zero", .role = LRP_PORT_BUFFER, .dtype = LRP_INDEX, .flags = LRP_PORT_OPTIONAL},
    LRP_PORTS_END};
static const lrp_port outs[] = {{.name = "y", .role = LRP_PORT_DATA}, LRP_PORTS_END};

static lrp_status create(const lrp_host *h, lrp_ctx *ctx, const lrp_value *a, void **inst)
{
  dequantize *d = malloc(sizeof *d);
  if (!d) return h->fail(ctx, LRP_E_NOMEM, "dequantize: no memory for an instance");
  *d = (dequantize){a[0].i, a[1].i};
  *inst = d;
  return LRP_OK;
}

/* Scales as a tensor that broadcasts to x: one, one for each index of the axis, or one for each block of it. */
static lrp_status scale_fits(const lrp_host *h, lrp_ctx *ctx, const dequantize *d,
                             const lrp_tensor *x, const lrp_tensor *s)
{
  const int64_t axis = d->axis + (d->axis < 0 ? x->rank : 0);
  int fits = s->rank == 0 || lrp_count(s) == 1;
  if (!fits && !d->block)
    fits = s->rank == 1 && axis >= 0 && axis < x->rank && s->shape[0] == x->shape[axis];
  if (!fits && d->block && s->rank == x->rank) {
    fits = axis >= 0 && axis < x->rank;
    for (int32_t i = 0; fits && i < x->rank; i++)
      fits = s->shape[i] == (i == axis ? (x->shape[i] + d->block - 1) / d->block : x->shape[i]);
  }
  return fits ? LRP_OK
              : h->fail(ctx, LRP_E_SHAPE,
                        "dequantize: the scale has neither one element nor those of axis %lld",
                        (long long)d->axis);
}

static lrp_status infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const lrp_tensor *x = &call->in[0], *s = &call->param[SCALE], *z = param_of(call, ZERO);
  const lrp_status st = scale_fits(h, ctx, inst, x, s);
  if (!st && z && !same_shape(z, s) && (lrp_count(z) != 1 || lrp_count(s) != 1))
    return h->fail(ctx, LRP_E_SHAPE,
                   "dequantize: the zero point does not have the shape of the scale");
  tensor_describe(&call->out[0], LRP_REAL, x->rank, x->shape);
  return st;
}

static lrp_status forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const dequantize *d = inst;
  const lrp_tensor *x = &call->in[0], *s = &call->param[SCALE], *z = param_of(call, ZERO);
  const int64_t axis = d->axis + (d->axis < 0 ? x->rank : 0), block = d->block ? d->block : 1;
  const int one = lrp_count(s) == 1;
  int64_t inner = 1;
  (void)h, (void)ctx;
  for (int64_t i = axis + 1; !one && i < x->rank; i++)
    inner *= x->shape[i];
  const int64_t n_axis = one ? 1 : x->shape[axis], groups = (n_axis + block - 1) / block;
  for (int64_t e = 0, n = lrp_count(x); e < n; e++) {
    const int64_t j = one ? 0 : e / inner % n_axis / block;
    const int64_t at = one        ? 0
                       : d->block ? (e / inner / n_axis * groups + j) * inner + e % inner
                                  : j;
    const double zero = z ? (double)lrp_indices(z)[at] : 0;
    lrp_reals(&call->out[0])[e] =
        (lrp_real)(((x->data ? (double)lrp_indices(x)[e] : 0) - zero) * (double)lrp_reals(s)[at]);
  }
  return LRP_OK;
}

static lrp_status read(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)
{
  (void)ctx;
  a[0].i = h->node_int(node, "axis", 1);
  a[1].i = h->node_int(node, "block_size", 0);
  return LRP_OK;
}

static const lrp_operator operators[] = {
    {.domain = "", .name = "DequantizeLinear", .since = 10, .inputs = "x scale zero", .args = read},
    {0}};
static const lrp_layer_type dequantize_type = {
    .struct_size = sizeof dequantize_type,
    .kind = LRP_KIND_OTHER,
    .layout = LRP_LAYOUT_MODEL,
    .name = "dequantize",
    .doc = "y = (x - zero) scale, real numbers from integers",
    .args = args,
    .in = ins,
    .param = params,
    .out = outs,
    .operators = operators,
    .create = create,
    .destroy = free,
    .infer = infer,
    .forward = forward};
static const lrp_layer_type *const layers[] = {&dequantize_type, NULL};
LRP_PLUGIN(layer_quantize, "quantize", "1.0", "MIT", "weights stored as integers", layers, NULL,
           NULL);
