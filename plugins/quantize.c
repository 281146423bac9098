/* quantize.c - quantised models: layers "dequantize", "quantize", "dynamic_quantize", "dequantized".
 *
 * Integers that a file stores, of weights or inputs, become real numbers: dequantize, y = (x - zero) scale.  What a model
 * quantises on its way stays real: quantize gives the numbers that the integers mean, so that layers behind it are those
 * of the unquantised model on rounded numbers, and relevance is defined on them; DequantizeLinear behind it does nothing.
 *
 *     x -> QuantizeLinear -> q -> DequantizeLinear -> y    =>    x -> [quantize] -> [dequantized] -> y
 *
 * Integer arithmetic (QLinearConv, QLinearMatMul, ConvInteger, MatMulInteger) is told as real arithmetic on such numbers,
 * equal but for rounding of sums.  Gradients pass rounding unchanged and end where numbers saturate, as in training with
 * rounding (Bengio, Leonard & Courville 2013, straight-through). */
#include "rearrange.h"
#include <math.h>
#include <stdlib.h>

/* ---- dequantize ---- */

enum { SCALE, ZERO };
typedef struct dequantize {
  int64_t axis, block;
} dequantize;

static const lrp_arg dequantize_args[] = {
    {.name = "axis",
     .type = LRP_ARG_INT,
     .def = 1,
     .doc = "axis of x along which scales differ; the default is ONNX's"},
    {.name = "block",
     .type = LRP_ARG_INT,
     .max = 1e15,
     .doc = "neighbours along the axis that share a scale; 0: one each"},
    LRP_ARGS_END};
static const lrp_port dequantize_in[] = {{.name = "x", .role = LRP_PORT_SIDE, .dtype = LRP_INDEX}, LRP_PORTS_END};
static const lrp_port dequantize_params[] = {
    {.name = "scale", .role = LRP_PORT_BUFFER},
    {.name = "zero", .role = LRP_PORT_BUFFER, .dtype = LRP_INDEX, .flags = LRP_PORT_OPTIONAL},
    LRP_PORTS_END};
static const lrp_port real_in[] = {{.name = "x", .role = LRP_PORT_DATA}, LRP_PORTS_END};
static const lrp_port real_out[] = {{.name = "y", .role = LRP_PORT_DATA}, LRP_PORTS_END};

static lrp_status dequantize_create(const lrp_host *h, lrp_ctx *ctx, const lrp_value *a, void **inst)
{
  dequantize *d = malloc(sizeof *d);
  if (!d)
    return h->fail(ctx, LRP_E_NOMEM, "dequantize: no memory for an instance");
  *d = (dequantize){a[0].i, a[1].i};
  *inst = d;
  return LRP_OK;
}

/* Does t, scales or zero points, broadcast to x?  It has one number, one for each index of the axis, or one for each block
 * of it. */
static int fits(const dequantize *d, const lrp_tensor *x, const lrp_tensor *t)
{
  const int64_t axis = d->axis + (d->axis < 0 ? x->rank : 0);
  if (lrp_count(t) == 1)
    return 1;
  if (axis < 0 || axis >= x->rank || t->rank != (d->block ? x->rank : 1))
    return 0;
  if (!d->block)
    return t->shape[0] == x->shape[axis];
  for (int32_t i = 0; i < x->rank; i++)
    if (t->shape[i] != (i == axis ? (x->shape[i] + d->block - 1) / d->block : x->shape[i]))
      return 0;
  return 1;
}

static lrp_status dequantize_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const dequantize *d = inst;
  const lrp_tensor *x = &call->in[0], *z = param_of(call, ZERO);
  if (!fits(d, x, &call->param[SCALE]) || (z && !fits(d, x, z)))
    return h->fail(ctx, LRP_E_SHAPE, "dequantize: the %s has neither one element nor those of axis %lld",
                   fits(d, x, &call->param[SCALE]) ? "zero point" : "scale", (long long)d->axis);
  tensor_describe(&call->out[0], LRP_REAL, x->rank, x->shape);
  return LRP_OK;
}

static lrp_status dequantize_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const dequantize *d = inst;
  const lrp_tensor *x = &call->in[0], *s = &call->param[SCALE], *z = param_of(call, ZERO);
  const int64_t axis = d->axis + (d->axis < 0 ? x->rank : 0), block = d->block ? d->block : 1;
  const int64_t one = lrp_count(s) == 1, one_zero = !z || lrp_count(z) == 1;
  int64_t inner = 1;
  (void)h, (void)ctx;
  for (int64_t i = axis + 1; i < x->rank; i++)
    inner *= x->shape[i];
  const int64_t n_axis = one && one_zero ? 1 : x->shape[axis], groups = (n_axis + block - 1) / block;
  for (int64_t e = 0, n = lrp_count(x); e < n; e++) {
    const int64_t j = e / inner % n_axis / block;
    const int64_t at = d->block ? (e / inner / n_axis * groups + j) * inner + e % inner : j;
    const double zero = z ? (double)lrp_indices(z)[one_zero ? 0 : at] : 0;
    lrp_reals(&call->out[0])[e] =
        (lrp_real)(((x->data ? (double)lrp_indices(x)[e] : 0) - zero) * (double)lrp_reals(s)[one ? 0 : at]);
  }
  return LRP_OK;
}

static lrp_status dequantize_read(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)
{
  (void)ctx;
  a[0].i = h->node_int(node, "axis", 1);
  a[1].i = h->node_int(node, "block_size", 0);
  return LRP_OK;
}

static const lrp_operator dequantize_operators[] = {
    {.domain = "", .name = "DequantizeLinear", .since = 10, .inputs = "x scale zero", .args = dequantize_read}, {0}};
static const lrp_layer_type dequantize_type = {.struct_size = sizeof dequantize_type,
                                               .kind = LRP_KIND_OTHER,
                                               .layout = LRP_LAYOUT_MODEL,
                                               .name = "dequantize",
                                               .doc = "y = (x - zero) scale, real numbers from integers",
                                               .args = dequantize_args,
                                               .in = dequantize_in,
                                               .param = dequantize_params,
                                               .out = real_out,
                                               .operators = dequantize_operators,
                                               .create = dequantize_create,
                                               .destroy = free,
                                               .infer = dequantize_infer,
                                               .forward = dequantize_forward};

/* ---- dequantized: y = x, which is real already ---- */

static lrp_status same_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const lrp_status st = need_reals(h, ctx, "quantisation", &call->in[0]);
  (void)inst;
  tensor_describe(&call->out[0], LRP_REAL, call->in[0].rank, call->in[0].shape);
  call->out[0].flags = call->in[0].flags & LRP_NONNEG;
  return st;
}

static lrp_status copy_jvp(const lrp_host *h, lrp_ctx *ctx, const void *inst, const lrp_call *call,
                           const lrp_tensor *in_dot, lrp_tensor *out_dot)
{
  return copy_vjp(h, ctx, inst, call, in_dot, out_dot);
}

static const lrp_operator dequantized_operators[] = {
    {.domain = "", .name = "DequantizeLinear", .since = 10, .inputs = "x - -"}, {0}};
static const lrp_layer_type dequantized_type = {.struct_size = sizeof dequantized_type,
                                                .kind = LRP_KIND_RESHAPE,
                                                .layout = LRP_LAYOUT_ANY,
                                                .name = "dequantized",
                                                .doc = "y = x: numbers that the model quantised are real here",
                                                .in = real_in,
                                                .out = real_out,
                                                .operators = dequantized_operators,
                                                .infer = same_infer,
                                                .forward = copy_forward,
                                                .vjp = copy_vjp};

/* ---- quantize ---- */

typedef struct quantize {
  lrp_value scale, zero; /* arrays of the model's lifetime */
  int64_t axis;
  double low, high;
} quantize;
enum { Q_SCALE, Q_ZERO, Q_AXIS, Q_LOW, Q_HIGH };

static const lrp_arg quantize_args[] = {
    {.name = "scale", .type = LRP_ARG_REALS, .doc = "step between two numbers: one, or one for each index of the axis; empty: 1"},
    {.name = "zero", .type = LRP_ARG_INTS, .doc = "the integer that means 0: one, or as many as scales; empty: 0"},
    {.name = "axis", .type = LRP_ARG_INT, .flags = LRP_ARG_AXIS, .def = 1, .doc = "axis of x along which scales differ; the default is ONNX's"},
    {.name = "low", .type = LRP_ARG_REAL, .def = -128, .doc = "least integer; the default is that of int8"},
    {.name = "high", .type = LRP_ARG_REAL, .def = 127, .doc = "largest integer; the default is that of int8"},
    LRP_ARGS_END};

static lrp_status quantize_create(const lrp_host *h, lrp_ctx *ctx, const lrp_value *a, void **inst)
{
  const int64_t n = a[Q_SCALE].reals.n, n_zero = a[Q_ZERO].ints.n;
  for (int64_t i = 0; i < n; i++)
    if (!(a[Q_SCALE].reals.v[i] > 0))
      return h->fail(ctx, LRP_E_ARG, "quantize: a scale is %g, numbers above 0 were expected", (double)a[Q_SCALE].reals.v[i]);
  if (n_zero > 1 && n_zero != n)
    return h->fail(ctx, LRP_E_ARG, "quantize: %lld zero points for %lld scales", (long long)n_zero, (long long)n);
  if (a[Q_LOW].real >= a[Q_HIGH].real)
    return h->fail(ctx, LRP_E_ARG, "quantize: low is not below high");
  quantize *q = malloc(sizeof *q);
  if (!q)
    return h->fail(ctx, LRP_E_NOMEM, "quantize: no memory for an instance");
  *q = (quantize){a[Q_SCALE], a[Q_ZERO], a[Q_AXIS].i, a[Q_LOW].real, a[Q_HIGH].real};
  *inst = q;
  return LRP_OK;
}

static lrp_status quantize_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const quantize *q = inst;
  const lrp_tensor *x = &call->in[0];
  const int64_t n = q->scale.reals.n, axis = q->axis + (q->axis < 0 ? x->rank : 0);
  const lrp_status st = same_infer(h, ctx, inst, call);
  if (!st && n > 1 && (axis < 0 || axis >= x->rank || x->shape[axis] != n))
    return h->fail(ctx, LRP_E_SHAPE, "quantize: %lld scales, one was expected or those of axis %lld", (long long)n,
                   (long long)q->axis);
  int nonneg = q->zero.ints.n > 0 || q->low >= 0;
  for (int64_t i = 0; i < q->zero.ints.n; i++)
    nonneg = nonneg && (double)q->zero.ints.v[i] <= q->low;
  call->out[0].flags |= nonneg ? LRP_NONNEG : 0;
  return st;
}

/* Elements behind each other that share a scale, of n in all. */
static int64_t run_of(const quantize *q, const lrp_tensor *x)
{
  int64_t run = 1;
  if (q->scale.reals.n <= 1)
    return lrp_count(x);
  for (int64_t i = q->axis + (q->axis < 0 ? x->rank : 0) + 1; i < x->rank; i++)
    run *= x->shape[i];
  return run;
}

static inline lrp_real rounded(lrp_real x, lrp_real scale, lrp_real zero, lrp_real low, lrp_real high)
{
#ifdef LRP_REAL_DOUBLE
  const lrp_real v = rint(x / scale) + zero;
#else
  const lrp_real v = rintf(x / scale) + zero;
#endif
  return ((v < low ? low : v > high ? high : v) - zero) * scale;
}

/* y of each run, or x_bar of it where y_bar is given. */
static void quantize_walk(const quantize *q, const lrp_tensor *t, const lrp_real *x, const lrp_real *y_bar, lrp_real *out)
{
  const int64_t n = lrp_count(t), run = run_of(q, t), n_scale = q->scale.reals.n, n_zero = q->zero.ints.n;
  const lrp_real low = (lrp_real)q->low, high = (lrp_real)q->high;
  for (int64_t start = 0, k = 0; start < n; start += run, k = k + 1 < n_scale ? k + 1 : 0) {
    const lrp_real scale = n_scale ? q->scale.reals.v[k] : 1;
    const lrp_real zero = n_zero ? (lrp_real)q->zero.ints.v[n_zero > 1 ? k : 0] : 0;
    LRP_THREADS_SIMD(run > PARALLEL_MIN,
    for (int64_t i = start; i < start + run; i++)
      if (y_bar)
        out[i] = (x ? x[i] : 0) >= (low - zero) * scale && (x ? x[i] : 0) <= (high - zero) * scale ? y_bar[i] : 0;
      else
        out[i] = rounded(x ? x[i] : 0, scale, zero, low, high););
  }
}

static lrp_status quantize_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  (void)h, (void)ctx;
  quantize_walk(inst, &call->in[0], lrp_reals(&call->in[0]), NULL, lrp_reals(&call->out[0]));
  return LRP_OK;
}

static lrp_status quantize_vjp(const lrp_host *h, lrp_ctx *ctx, const void *inst, const lrp_call *call,
                               const lrp_tensor *out_bar, lrp_tensor *in_bar)
{
  (void)h, (void)ctx;
  if (in_bar[0].data && out_bar[0].data)
    quantize_walk(inst, &call->in[0], lrp_reals(&call->in[0]), lrp_reals(&out_bar[0]), lrp_reals(&in_bar[0]));
  return LRP_OK;
}

/* The map is diagonal, so it is its own transpose. */
static lrp_status quantize_jvp(const lrp_host *h, lrp_ctx *ctx, const void *inst, const lrp_call *call,
                               const lrp_tensor *in_dot, lrp_tensor *out_dot)
{
  return quantize_vjp(h, ctx, inst, call, in_dot, out_dot);
}

static uint32_t no_degree(const void *inst, uint32_t freeze)
{
  (void)inst, (void)freeze;
  return 0;
}

/* The range of ONNX's integer types: 0 where it is none. */
static int range_of(int64_t type, double *low, double *high)
{
  static const struct {
    int64_t type;
    double low, high;
  } range[] = {{2, 0, 255}, {3, -128, 127}, {4, 0, 65535}, {5, -32768, 32767}, {21, 0, 15}, {22, -8, 7}};
  for (size_t i = 0; i < sizeof range / sizeof range[0]; i++)
    if (range[i].type == type) {
      *low = range[i].low;
      *high = range[i].high;
      return 1;
    }
  return 0;
}

static lrp_status quantize_read(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)
{
  const lrp_tensor *scale = h->node_const(ctx, node, 1), *zero = h->node_const(ctx, node, 2);
  const int64_t type = zero ? h->node_type(node, 2) : h->node_int(node, "output_dtype", 2);
  if (!scale || scale->dtype != LRP_REAL || scale->rank > 1 || h->node_int(node, "block_size", 0))
    return h->fail(ctx, LRP_E_UNSUPPORTED, "the scale is no constant of one number, or of one for each index of an axis");
  if (zero && (zero->dtype != LRP_INDEX || zero->rank > 1))
    return h->fail(ctx, LRP_E_UNSUPPORTED, "the zero point is no constant of integers");
  if (!range_of(type, &a[Q_LOW].real, &a[Q_HIGH].real))
    return h->fail(ctx, LRP_E_UNSUPPORTED, "quantised numbers of type %lld, integers of 4, 8 or 16 bits were expected",
                   (long long)type);
  a[Q_SCALE].reals.v = lrp_reals(scale);
  a[Q_SCALE].reals.n = lrp_count(scale);
  a[Q_ZERO].ints.v = zero ? lrp_indices(zero) : NULL;
  a[Q_ZERO].ints.n = zero ? lrp_count(zero) : 0;
  a[Q_AXIS].i = h->node_int(node, "axis", 1);
  return LRP_OK;
}

#define QUANTISED "x x_scale x_zero w w_scale w_zero y_scale y_zero"
static const lrp_operator quantize_operators[] = {
    {.domain = "", .name = "QuantizeLinear", .since = 10, .inputs = "x - -", .args = quantize_read},
    {.domain = "",
     .name = "QLinearConv",
     .since = 10,
     .inputs = QUANTISED " bias",
     .expand = "f = DequantizeLinear(x, x_scale, x_zero); k = DequantizeLinear(w, w_scale, w_zero, axis=0);"
               "s = Mul(x_scale, w_scale); b = DequantizeLinear(bias, s, axis=0);"
               "r = Conv(f, k, b, ...); y = QuantizeLinear(r, y_scale, y_zero)"},
    {.domain = "",
     .name = "QLinearMatMul",
     .since = 10,
     .inputs = QUANTISED,
     .expand = "f = DequantizeLinear(x, x_scale, x_zero, axis=-2); k = DequantizeLinear(w, w_scale, w_zero, axis=-1);"
               "r = MatMul(f, k); y = QuantizeLinear(r, y_scale, y_zero)"},
    {.domain = "",
     .name = "ConvInteger",
     .since = 10,
     .inputs = "x w x_zero w_zero",
     .expand = "f = DequantizeLinear(x, 1.0, x_zero); k = DequantizeLinear(w, 1.0, w_zero, axis=0); y = Conv(f, k, ...)"},
    {.domain = "",
     .name = "MatMulInteger",
     .since = 10,
     .inputs = "a b a_zero b_zero",
     .expand = "f = DequantizeLinear(a, 1.0, a_zero, axis=-2); k = DequantizeLinear(b, 1.0, b_zero, axis=-1); y = MatMul(f, k)"},
    {0}};
static const lrp_layer_type quantize_type = {
    .struct_size = sizeof quantize_type,
    .kind = LRP_KIND_ELEMENTWISE,
    .layout = LRP_LAYOUT_AXES,
    .name = "quantize",
    .doc = "y = (clip(round(x/scale) + zero, low, high) - zero) scale: x rounded to what integers can tell",
    .args = quantize_args,
    .in = real_in,
    .out = real_out,
    .operators = quantize_operators,
    .create = quantize_create,
    .destroy = free,
    .infer = quantize_infer,
    .forward = quantize_forward,
    .vjp = quantize_vjp,
    .degree = no_degree,
    .jvp = quantize_jvp};

/* ---- dynamic_quantize: the scale comes from the numbers of each sample (ONNX: from those of the whole batch, so that
 * a sample's result would depend on its neighbours) ---- */

static const lrp_arg dynamic_args[] = {{.name = "levels",
                                        .type = LRP_ARG_INT,
                                        .def = 255,
                                        .min = 1,
                                        .max = 1e9,
                                        .doc = "steps from the least to the largest number; the default is ONNX's uint8"},
                                       LRP_ARGS_END};

static lrp_status dynamic_create(const lrp_host *h, lrp_ctx *ctx, const lrp_value *a, void **inst)
{
  lrp_real *levels = malloc(sizeof *levels);
  if (!levels)
    return h->fail(ctx, LRP_E_NOMEM, "dynamic_quantize: no memory for an instance");
  *levels = (lrp_real)a[0].i;
  *inst = levels;
  return LRP_OK;
}

static lrp_status dynamic_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const lrp_real levels = *(const lrp_real *)inst, *x = lrp_reals(&call->in[0]);
  lrp_real *y = lrp_reals(&call->out[0]);
  const int64_t n = lrp_count(&call->in[0]), samples = call->in[0].rank > 1 ? call->in[0].shape[0] : 1;
  (void)h, (void)ctx;
  if (!x)
    tensor_zero(&call->out[0]);
  for (int64_t b = 0; x && n && b < samples; b++) {
    const int64_t from = b * (n / samples), to = from + n / samples;
    lrp_real low = 0, high = 0;
    for (int64_t i = from; i < to; i++) {
      low = x[i] < low ? x[i] : low;
      high = x[i] > high ? x[i] : high;
    }
    const lrp_real scale = (high - low) / levels > 0 ? (high - low) / levels : 1;
    const lrp_real start = -low / scale, zero = (lrp_real)rint((double)(start > levels ? levels : start));
    for (int64_t i = from; i < to; i++)
      y[i] = rounded(x[i], scale, zero, 0, levels);
  }
  return LRP_OK;
}

static lrp_status dynamic_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  return same_infer(h, ctx, inst, call);
}

/* What the three outputs mean together is y itself, scale 1 and zero 0. */
static const lrp_operator dynamic_operators[] = {
    {.domain = "lrp", .name = "DynamicQuantize", .since = 1, .inputs = "x"},
    {.domain = "",
     .name = "DynamicQuantizeLinear",
     .since = 11,
     .inputs = "x",
     .expand = "y = lrp.DynamicQuantize(x); y2 = Constant(value_float=1.0); y3 = Constant(value_int=0)"},
    {0}};
static const lrp_layer_type dynamic_type = {.struct_size = sizeof dynamic_type,
                                            .kind = LRP_KIND_ELEMENTWISE,
                                            .layout = LRP_LAYOUT_MODEL,
                                            .name = "dynamic_quantize",
                                            .doc = "y = x rounded to one of `levels` steps between its least and largest number",
                                            .args = dynamic_args,
                                            .in = real_in,
                                            .out = real_out,
                                            .operators = dynamic_operators,
                                            .create = dynamic_create,
                                            .destroy = free,
                                            .infer = dynamic_infer,
                                            .forward = dynamic_forward,
                                            .vjp = copy_vjp,
                                            .degree = no_degree,
                                            .jvp = copy_jvp};

static const lrp_layer_type *const layers[] = {&dequantize_type, &dequantized_type, &quantize_type, &dynamic_type, NULL};
LRP_PLUGIN(layer_quantize, "quantize", "1.1", "MIT", "weights stored as integers, numbers that a model rounds", layers, NULL,
           NULL);
