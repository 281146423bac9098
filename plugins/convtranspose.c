/* convtranspose.c - layer "convtranspose": the transposed map of a convolution, plus a bias (ONNX
 * ConvTranspose). Its weight (C,O/group,k...) is the weight of the convolution from y to x, so
 * forward is that convolution's pull-back and vjp the convolution itself. */
#include "window.h"
#include <stdlib.h>

enum { STRIDE, DILATION, PAD, AUTO_PAD, GROUP, OUTPUT_PADDING, OUTPUT_SHAPE, N_ARG };
typedef struct convtranspose {
  window_lists lists;
  lrp_value output_padding, output_shape;
  int64_t group;
} convtranspose;

static const lrp_arg args[] = {
    WINDOW_ARG_STRIDE,
    WINDOW_ARG_DILATION,
    WINDOW_ARG_PAD,
    WINDOW_ARG_AUTO_PAD,
    {.name = "group",
     .type = LRP_ARG_INT,
     .def = 1,
     .min = 1,
     .max = 1 << 30,
     .doc = "groups of channels that do not mix; ONNX ConvTranspose"},
    {.name = "output_padding",
     .type = LRP_ARG_INTS,
     .max = 1 << 30,
     .doc = "elements added at the end of each spatial axis of y, fewer than stride; empty: 0"},
    {.name = "output_shape",
     .type = LRP_ARG_INTS,
     .min = 1,
     .max = 1 << 30,
     .doc = "spatial sizes of y, from which pad is computed; empty: pad says it"},
    LRP_ARGS_END};
static const lrp_port ins[] = {{.name = "x", .role = LRP_PORT_DATA}, LRP_PORTS_END};
static const lrp_port params[] = {
    {.name = "weight", .role = LRP_PORT_WEIGHT},
    {.name = "bias", .role = LRP_PORT_BIAS, .flags = LRP_PORT_OPTIONAL},
    LRP_PORTS_END};
static const lrp_port outs[] = {{.name = "y", .role = LRP_PORT_DATA}, LRP_PORTS_END};

static lrp_status create(const lrp_host *h, lrp_ctx *ctx, const lrp_value *a, void **inst)
{
  convtranspose *c = calloc(1, sizeof *c);
  if (!c) return h->fail(ctx, LRP_E_NOMEM, "convtranspose: no memory for an instance");
  c->lists.stride = a[STRIDE];
  c->lists.dilation = a[DILATION];
  c->lists.pad = a[PAD];
  c->lists.auto_pad = a[AUTO_PAD].i;
  c->group = a[GROUP].i;
  c->output_padding = a[OUTPUT_PADDING];
  c->output_shape = a[OUTPUT_SHAPE];
  lrp_status st = window_check_all(h, ctx, "convtranspose", &c->lists);
  if (!st) st = window_check(h, ctx, "convtranspose", "output_padding", &c->output_padding, 0);
  if (!st) st = window_check(h, ctx, "convtranspose", "output_shape", &c->output_shape, 1);
  if (st) {
    free(c);
    return st;
  }
  *inst = c;
  return LRP_OK;
}

/* Spatial axis a: pads and the size of y.  ONNX ConvTranspose-11: a given output_shape decides the
 * pads, and the odd one goes to the end for SAME_UPPER, to the beginning else.  more: what lies
 * behind the last full stride. */
static void fit_axis(const convtranspose *c, window *w, int64_t a, int64_t n, int64_t *more)
{
  const int same = c->lists.auto_pad == PAD_SAME_UPPER || c->lists.auto_pad == PAD_SAME_LOWER;
  const int64_t padding = window_pick(&c->output_padding, a, 0);
  const int64_t full =
      (w->in - 1) * w->stride + window_span(w); /* without pads and output padding */
  if (c->output_shape.ints.n || same) {
    /* older files write all axes into output_shape, with samples and channels */
    w->out = c->output_shape.ints.n ? c->output_shape.ints.v[c->output_shape.ints.n - n + a]
                                    : w->in * w->stride;
    window_same(w, full + padding - w->out, c->lists.auto_pad == PAD_SAME_UPPER);
  } else {
    w->out = full + padding - w->lo - w->hi;
  }
  *more = w->out + w->lo + w->hi - full;
}

/* The convolution from y to x, for x (N,spatial...,C); out[] gets the spatial sizes of y. */
static lrp_status geometry(const lrp_host *h, lrp_ctx *ctx, const convtranspose *c,
                           const lrp_tensor *x, const lrp_tensor *w, lrp_conv *g, int64_t *out)
{
  const int64_t n = x->rank - 2;
  *g = (lrp_conv){.struct_size = sizeof *g, .n_spatial = (uint32_t)n, .group = c->group};
  for (int64_t a = 0; a < n; a++) {
    window win = window_axis(&c->lists, a, n, w->shape[2 + a]);
    int64_t more;
    win.in = x->shape[1 + a];
    fit_axis(c, &win, a, n, &more);
    if (win.out < 1)
      return h->fail(ctx, LRP_E_SHAPE,
                     "convtranspose: the pads leave nothing of y along spatial axis %lld",
                     (long long)a);
    if (more < 0 || more >= win.stride)
      return h->fail(ctx, LRP_E_UNSUPPORTED,
                     "convtranspose: y has %lld elements along spatial axis %lld, which leaves "
                     "%lld behind the last "
                     "stride; 0 to %lld are supported",
                     (long long)win.out, (long long)a, (long long)more,
                     (long long)(win.stride - 1));
    g->stride[a] = win.stride;
    g->dilation[a] = win.dilation;
    g->pad_lo[a] = win.lo;
    g->pad_hi[a] = win.hi;
    out[a] = win.out;
  }
  return LRP_OK;
}

static lrp_status check_shapes(const lrp_host *h, lrp_ctx *ctx, const convtranspose *c,
                               const lrp_tensor *x, const lrp_tensor *w, const lrp_tensor *b)
{
  const int64_t n = x->rank - 2, channels = x->shape[x->rank - 1];
  const int64_t given = c->output_shape.ints.n, padded = c->output_padding.ints.n;
  if (w->rank != x->rank)
    return h->fail(ctx, LRP_E_SHAPE,
                   "convtranspose: weight has rank %d, x has rank %d; equal ranks were expected",
                   w->rank, x->rank);
  for (int32_t i = 2; i < w->rank; i++)
    if (w->shape[i] < 1 || w->shape[i] > WINDOW_MAX)
      return h->fail(ctx, LRP_E_SHAPE,
                     "convtranspose: the kernel has %lld elements along spatial axis %d",
                     (long long)w->shape[i], i - 2);
  if (w->shape[0] != channels || channels % c->group)
    return h->fail(ctx, LRP_E_SHAPE,
                   "convtranspose: x has %lld channels, weight takes %lld in %lld groups",
                   (long long)channels, (long long)w->shape[0], (long long)c->group);
  if (b && (b->rank != 1 || b->shape[0] / c->group != w->shape[1] || b->shape[0] % c->group))
    return h->fail(ctx, LRP_E_SHAPE,
                   "convtranspose: bias must have %lld elements in each of %lld groups",
                   (long long)w->shape[1], (long long)c->group);
  if ((given && given != n && given != n + 2) || (padded && padded != n))
    return h->fail(ctx, LRP_E_ARG,
                   "convtranspose: output_shape and output_padding need %lld values, one for each "
                   "spatial axis",
                   (long long)n);
  return LRP_OK;
}

static lrp_status infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const convtranspose *c = inst;
  const lrp_tensor *x = &call->in[0], *w = &call->param[0];
  lrp_conv g;
  int64_t out[WINDOW_AXES];
  lrp_status st = window_rank(h, ctx, "convtranspose", &c->lists, x);
  if (!st) st = check_shapes(h, ctx, c, x, w, param_of(call, 1));
  if (!st) st = geometry(h, ctx, c, x, w, &g, out);
  if (st) return st;
  tensor_describe(&call->out[0], LRP_REAL, x->rank, x->shape);
  memcpy(call->out[0].shape + 1, out, g.n_spatial * sizeof *out);
  if (__builtin_mul_overflow(w->shape[1], c->group, &call->out[0].shape[x->rank - 1]))
    return h->fail(ctx, LRP_E_NOMEM, "convtranspose: %lld groups of %lld channels are too many",
                   (long long)c->group, (long long)w->shape[1]);
  return LRP_OK;
}

static lrp_status forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const lrp_tensor *x = &call->in[0], *w = param_of(call, 0), *b = param_of(call, 1);
  lrp_tensor *y = &call->out[0];
  lrp_conv g;
  int64_t out[WINDOW_AXES];
  tensor_zero(y);
  if (x->data && w) {
    lrp_status st = geometry(h, ctx, inst, x, w, &g, out);
    if (!st) st = h->conv_vjp(ctx, &g, w, x, y);
    if (st) return st;
  }
  if (b) add_rows(y, b);
  return LRP_OK;
}

static lrp_status vjp(const lrp_host *h, lrp_ctx *ctx, const void *inst, const lrp_call *call,
                      const lrp_tensor *out_bar, lrp_tensor *in_bar)
{
  const lrp_tensor *w = param_of(call, 0);
  lrp_conv g;
  int64_t out[WINDOW_AXES];
  if (!in_bar[0].data || !out_bar[0].data || !w) return LRP_OK;
  const lrp_status st = geometry(h, ctx, inst, &call->in[0], w, &g, out);
  return st ? st : h->conv(ctx, &g, &out_bar[0], w, NULL, &in_bar[0]);
}

static lrp_status fold(const lrp_host *h, lrp_ctx *ctx, const void *inst, const lrp_call *call,
                       const lrp_tensor *scale, const lrp_tensor *shift, lrp_tensor *param)
{
  const convtranspose *c = inst;
  const lrp_tensor *w = param_of(call, 0), *b = param_of(call, 1);
  if (!w)
    return h->fail(ctx, LRP_E_UNSUPPORTED,
                   "convtranspose: there is no weight that a scale could be merged into");
  const int64_t channels = w->shape[0], each_o = w->shape[1], n = each_o * c->group;
  const int64_t maps = channels * each_o, taps = maps ? lrp_count(w) / maps : 0;
  for (int64_t i = 0; i < channels; i++)
    for (int64_t j = 0; j < each_o; j++) {
      const lrp_real s = lrp_reals(scale)[i / (channels / c->group) * each_o + j];
      const int64_t at = (i * each_o + j) * taps;
      for (int64_t k = 0; k < taps; k++)
        lrp_reals(&param[0])[at + k] = lrp_reals(w)[at + k] * s;
    }
  for (int64_t o = 0; o < n; o++)
    lrp_reals(&param[1])[o] = (b ? lrp_reals(b)[o] * lrp_reals(scale)[o] : 0) + lrp_reals(shift)[o];
  return LRP_OK;
}

static lrp_status convtranspose_args(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node,
                                     lrp_value *a)
{
  a[GROUP].i = h->node_int(node, "group", 1);
  a[OUTPUT_PADDING] = h->node_ints(node, "output_padding");
  a[OUTPUT_SHAPE] = h->node_ints(node, "output_shape");
  return window_read(h, ctx, node, &a[STRIDE], &a[DILATION], &a[PAD], &a[AUTO_PAD]);
}

static const lrp_operator operators[] = {{.domain = "",
                                          .name = "ConvTranspose",
                                          .since = 1,
                                          .inputs = "x weight bias",
                                          .args = convtranspose_args},
                                         {0}};
static const lrp_layer_type convtranspose_type = {
    .struct_size = sizeof convtranspose_type,
    .kind = LRP_KIND_LINEAR,
    .layout = LRP_LAYOUT_IMAGE,
    .name = "convtranspose",
    .doc = "transposed convolution: x (N,spatial...,C), weight (C,O/group,k...), bias (O)",
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
    .fold = fold};
static const lrp_layer_type *const layers[] = {&convtranspose_type, NULL};
LRP_PLUGIN(layer_convtranspose, "convtranspose", "1.0", "MIT",
           "transposed convolution over 1 to 3 spatial axes", layers, NULL, NULL);
