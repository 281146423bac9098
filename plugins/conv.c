/* conv.c - layer "conv": convolution over 1 to 3 spatial axes, channels-last (ONNX Conv). */
#include "window.h"
#include <stdlib.h>

enum { STRIDE, DILATION, PAD, AUTO_PAD, GROUP, N_ARG };
typedef struct conv {
  window_lists lists;
  int64_t group;
} conv;

static const lrp_arg args[] = {WINDOW_ARG_STRIDE,
                               WINDOW_ARG_DILATION,
                               WINDOW_ARG_PAD,
                               WINDOW_ARG_AUTO_PAD,
                               {.name = "group",
                                .type = LRP_ARG_INT,
                                .def = 1,
                                .min = 1,
                                .max = 1 << 30,
                                .doc = "groups of channels that do not mix; ONNX Conv"},
                               LRP_ARGS_END};
static const lrp_port ins[] = {{.name = "x", .role = LRP_PORT_DATA}, LRP_PORTS_END};
static const lrp_port params[] = {
    {.name = "weight", .role = LRP_PORT_WEIGHT},
    {.name = "bias", .role = LRP_PORT_BIAS, .flags = LRP_PORT_OPTIONAL},
    LRP_PORTS_END};
static const lrp_port outs[] = {{.name = "y", .role = LRP_PORT_DATA}, LRP_PORTS_END};

static lrp_status create(const lrp_host *h, lrp_ctx *ctx, const lrp_value *a, void **inst)
{
  conv *c = calloc(1, sizeof *c);
  if (!c) return h->fail(ctx, LRP_E_NOMEM, "conv: no memory for an instance");
  c->lists.stride = a[STRIDE];
  c->lists.dilation = a[DILATION];
  c->lists.pad = a[PAD];
  c->lists.auto_pad = a[AUTO_PAD].i;
  c->group = a[GROUP].i;
  const lrp_status st = window_check_all(h, ctx, "conv", &c->lists);
  if (st) {
    free(c);
    return st;
  }
  *inst = c;
  return LRP_OK;
}

/* Geometry for x (N,spatial...,C) and w (O,C/group,k...); out[] gets the spatial sizes of y.
 * infer() has checked ranks. */
static lrp_status geometry(const lrp_host *h, lrp_ctx *ctx, const conv *c, const lrp_tensor *x,
                           const lrp_tensor *w, lrp_conv *g, int64_t *out)
{
  const int64_t n = x->rank - 2;
  *g = (lrp_conv){.struct_size = sizeof *g, .n_spatial = (uint32_t)n, .group = c->group};
  for (int64_t a = 0; a < n; a++) {
    window win = window_axis(&c->lists, a, n, w->shape[2 + a]);
    if (!window_fit(&c->lists, &win, x->shape[1 + a], 0))
      return window_too_large(h, ctx, "conv", a, &win);
    g->stride[a] = win.stride;
    g->dilation[a] = win.dilation;
    g->pad_lo[a] = win.lo;
    g->pad_hi[a] = win.hi;
    out[a] = win.out;
  }
  return LRP_OK;
}

static lrp_status check_weight(const lrp_host *h, lrp_ctx *ctx, const conv *c, const lrp_tensor *x,
                               const lrp_tensor *w, const lrp_tensor *b)
{
  if (w->rank != x->rank)
    return h->fail(ctx, LRP_E_SHAPE,
                   "conv: weight has rank %d, x has rank %d; equal ranks were expected", w->rank,
                   x->rank);
  for (int32_t i = 2; i < w->rank; i++)
    if (w->shape[i] < 1 || w->shape[i] > WINDOW_MAX)
      return h->fail(ctx, LRP_E_SHAPE, "conv: the kernel has %lld elements along spatial axis %d",
                     (long long)w->shape[i], i - 2);
  const int64_t channels = x->shape[x->rank - 1];
  if (channels % c->group || channels / c->group != w->shape[1])
    return h->fail(ctx, LRP_E_SHAPE,
                   "conv: x has %lld channels, weight takes %lld in each of %lld groups",
                   (long long)channels, (long long)w->shape[1], (long long)c->group);
  if (w->shape[0] % c->group)
    return h->fail(ctx, LRP_E_SHAPE, "conv: %lld output channels cannot be shared by %lld groups",
                   (long long)w->shape[0], (long long)c->group);
  if (b && b->rank == 1 && b->shape[0] != w->shape[0])
    return h->fail(ctx, LRP_E_SHAPE,
                   "conv: bias must have %lld elements, one for each output channel",
                   (long long)w->shape[0]);
  return LRP_OK;
}

/* A bias of rank 1, or a map of the output's shape for one sample, as absorb() needs at padded borders. */
static lrp_status check_map(const lrp_host *h, lrp_ctx *ctx, const lrp_tensor *b,
                            const lrp_tensor *y)
{
  if (!b || b->rank == 1) return LRP_OK;
  if (b->rank == y->rank && b->shape[0] == 1 &&
      !memcmp(b->shape + 1, y->shape + 1, (size_t)(y->rank - 1) * sizeof *y->shape))
    return LRP_OK;
  return h->fail(ctx, LRP_E_SHAPE,
                 "conv: bias has rank %d; one value for each output channel was expected", b->rank);
}

static lrp_status infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const conv *c = inst;
  const lrp_tensor *x = &call->in[0], *w = &call->param[0];
  lrp_conv g;
  int64_t out[WINDOW_AXES];
  lrp_status st = window_rank(h, ctx, "conv", &c->lists, x);
  if (!st) st = check_weight(h, ctx, c, x, w, param_of(call, 1));
  if (!st) st = geometry(h, ctx, c, x, w, &g, out);
  if (st) return st;
  tensor_describe(&call->out[0], LRP_REAL, x->rank, x->shape);
  memcpy(call->out[0].shape + 1, out, g.n_spatial * sizeof *out);
  call->out[0].shape[x->rank - 1] = w->shape[0];
  return check_map(h, ctx, param_of(call, 1), &call->out[0]);
}

static lrp_status forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const lrp_tensor *x = &call->in[0], *w = param_of(call, 0), *b = param_of(call, 1);
  lrp_tensor *y = &call->out[0];
  lrp_conv g;
  int64_t out[WINDOW_AXES];
  if (x->data && w) {
    lrp_status st = geometry(h, ctx, inst, x, w, &g, out);
    const int map = b && b->rank > 1;
    if (!st) st = h->conv(ctx, &g, x, w, map ? NULL : b, y);
    if (!st && map) add_rows(y, b);
    return st;
  }
  tensor_zero(y);
  if (b) add_rows(y, b);
  return LRP_OK;
}

static lrp_status vjp(const lrp_host *h, lrp_ctx *ctx, const void *inst, const lrp_call *call,
                      const lrp_tensor *out_bar, lrp_tensor *in_bar)
{
  const lrp_tensor *w = param_of(call, 0);
  lrp_conv g;
  int64_t out[WINDOW_AXES];
  if (!out_bar[0].data || !w) tensor_zero(&in_bar[0]);
  if (!in_bar[0].data || !out_bar[0].data || !w) return LRP_OK;
  const lrp_status st = geometry(h, ctx, inst, &call->in[0], w, &g, out);
  return st ? st : h->conv_vjp(ctx, &g, w, &out_bar[0], &in_bar[0]);
}

static lrp_status fold(const lrp_host *h, lrp_ctx *ctx, const void *inst, const lrp_call *call,
                       const lrp_tensor *scale, const lrp_tensor *shift, lrp_tensor *param)
{
  const lrp_tensor *w = param_of(call, 0), *b = param_of(call, 1);
  (void)inst;
  if (!w)
    return h->fail(ctx, LRP_E_UNSUPPORTED,
                   "conv: there is no weight that a scale could be merged into");
  if (b && b->rank > 1) return h->fail(ctx, LRP_E_UNSUPPORTED, "conv: the bias is a map");
  const int64_t n = w->shape[0], each = n ? lrp_count(w) / n : 0;
  for (int64_t o = 0; o < n; o++) {
    const lrp_real s = lrp_reals(scale)[o];
    for (int64_t i = 0; i < each; i++)
      lrp_reals(&param[0])[o * each + i] = lrp_reals(w)[o * each + i] * s;
    lrp_reals(&param[1])[o] = (b ? lrp_reals(b)[o] * s : 0) + lrp_reals(shift)[o];
  }
  return LRP_OK;
}

/* Channel i of group k is input channel k C/group + i. */
static lrp_status absorb(const lrp_host *h, lrp_ctx *ctx, const void *inst, const lrp_call *call,
                         const lrp_tensor *scale, lrp_tensor *param)
{
  const conv *c = inst;
  const lrp_tensor *w = param_of(call, 0);
  if (!w)
    return h->fail(ctx, LRP_E_UNSUPPORTED,
                   "conv: there is no weight that a scale could be merged into");
  const int64_t n = w->shape[0], in = w->shape[1], rows = n * in,
                each = rows ? lrp_count(w) / rows : 0;
  for (int64_t r = 0; r < rows; r++) {
    const int64_t group = r / in / (n / c->group), channel = group * in + r % in;
    for (int64_t i = 0; i < each; i++)
      lrp_reals(&param[0])[r * each + i] = lrp_reals(w)[r * each + i] * lrp_reals(scale)[channel];
  }
  return LRP_OK;
}

static lrp_status conv_args(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)
{
  const lrp_value kernel = h->node_ints(node, "kernel_shape");
  const lrp_tensor *w = h->node_const(ctx, node, 1);
  a[GROUP].i = h->node_int(node, "group", 1);
  for (int64_t i = 0; w && i < kernel.ints.n; i++)
    if (i + 2 >= w->rank || kernel.ints.v[i] != w->shape[i + 2])
      return h->fail(ctx, LRP_E_INPUT, "kernel_shape[%lld] is %lld, the weight has another shape",
                     (long long)i, (long long)kernel.ints.v[i]);
  return window_read(h, ctx, node, &a[STRIDE], &a[DILATION], &a[PAD], &a[AUTO_PAD]);
}

/* Padding in a node of its own, as some exporters write TensorFlow's "same": one layer, so that rules
 * that know the box of the pixels (zbox) do not take the border for pixels.
 *
 *     x -> Pad, zeros around the spatial axes -> Conv -> y
 */
static lrp_status zeros_of(const lrp_host *h, lrp_ctx *ctx, const lrp_node *pad)
{
  const lrp_tensor *value = h->node_const(ctx, pad, 2);
  const int given = h->node_n_in(pad) > 2 && value && lrp_count(value) == 1;
  if (strcmp(h->node_text(pad, "mode", "constant"), "constant") ||
      h->node_real(pad, "value", 0) != 0 || h->node_const(ctx, pad, 3) ||
      (given && !(value->dtype == LRP_REAL && lrp_reals(value)[0] == 0)))
    return h->fail(ctx, LRP_E_UNSUPPORTED, "the padding is not one of zeros around all axes");
  return LRP_OK;
}

static lrp_status padded_args(const lrp_host *h, lrp_ctx *ctx, const lrp_node *const *nodes,
                              lrp_value *a)
{
  const lrp_node *pad = nodes[1];
  const lrp_tensor *t = h->node_const(ctx, pad, 1), *w = h->node_const(ctx, nodes[0], 1);
  lrp_value more = h->node_ints(pad, "pads"); /* before opset 11 */
  lrp_status st = conv_args(h, ctx, nodes[0], a);
  if (!st) st = zeros_of(h, ctx, pad);
  if (st) return st;
  if (t && t->dtype == LRP_INDEX) more = (lrp_value){.ints = {lrp_indices(t), lrp_count(t)}};
  const int64_t rank = more.ints.n / 2, n = 2 * (rank - 2);
  if (!w || rank != w->rank || more.ints.n != 2 * rank || a[AUTO_PAD].i ||
      (a[PAD].ints.n && a[PAD].ints.n != n))
    return h->fail(ctx, LRP_E_UNSUPPORTED, "the padding does not fit the convolution");
  int64_t *sum = h->keep_ints(ctx, n);
  if (!sum) return LRP_E_NOMEM;
  for (int64_t i = 0; i < 2 * rank; i++) {
    const int64_t axis = i % rank, v = more.ints.v[i], to = i / rank * (rank - 2) + axis - 2;
    if (v < 0 || v > WINDOW_MAX || (axis < 2 && v))
      return h->fail(ctx, LRP_E_UNSUPPORTED, "the padding is not around the spatial axes alone");
    if (axis >= 2) sum[to] = v + (a[PAD].ints.n ? a[PAD].ints.v[to] : 0);
  }
  a[PAD] = (lrp_value){.ints = {sum, n}};
  return LRP_OK;
}

/*   x -> Pad with zeros -> Conv -> y  =>  x -> Conv, padded -> y */
static const lrp_pattern patterns[] = {
    {.form = "Conv(Pad(x), weight, bias)", .args = padded_args, .name = "conv_pad"},
    {.form = "Conv(Pad(x), weight)", .args = padded_args, .name = "conv_pad"},
    {0}};

static const lrp_operator operators[] = {
    {.domain = "", .name = "Conv", .since = 1, .inputs = "x weight bias", .args = conv_args}, {0}};
static const lrp_layer_type conv_type = {
    .struct_size = sizeof conv_type,
    .kind = LRP_KIND_LINEAR,
    .layout = LRP_LAYOUT_IMAGE,
    .name = "conv",
    .doc = "convolution: x (N,spatial...,C), weight (O,C/group,k...), bias (O)",
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
    .patterns = patterns,
    .writes = LRP_WRITES_BAR,
    .absorb = absorb};
static const lrp_layer_type *const layers[] = {&conv_type, NULL};
LRP_PLUGIN(layer_conv, "conv", "1.0", "MIT", "convolution over 1 to 3 spatial axes", layers, NULL,
           NULL);
