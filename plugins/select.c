/* select.c - layers that cut tensors into pieces and join them: "concat", "split", "slice". */
#include "rearrange.h"
#include <stdlib.h>

/* Arguments: lists that lie side by side, and two numbers. */
typedef struct cut {
  lrp_value axes, first, last, step;
  int64_t axis, parts;
} cut;

static lrp_status cut_new(const lrp_host *h, lrp_ctx *ctx, cut c, void **inst)
{
  cut *p = malloc(sizeof *p);
  if (!p)
    return h->fail(ctx, LRP_E_NOMEM, "a cut of a tensor: no memory for an instance");
  *p = c;
  *inst = p;
  return LRP_OK;
}

#define AXIS_ARG(DEFAULT)                                                                                     \
  {.name = "axis", .type = LRP_ARG_INT, .flags = LRP_ARG_AXIS, .def = DEFAULT, .doc = "axis along which pieces lie"}

static lrp_status axis_read(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *axis)
{
  axis->i = h->node_int(node, "axis", axis->i);
  return check_axes(h, ctx, &axis->i, 1, h->node_rank(node, 0));
}

/* *axis: counted from the first; rank > 0. */
static lrp_status axis_of(const lrp_host *h, lrp_ctx *ctx, const char *who, const cut *c, const lrp_tensor *x,
                          int32_t *axis)
{
  if (c->axis < -x->rank || c->axis >= x->rank)
    return h->fail(ctx, LRP_E_SHAPE, "%s: axis %lld is outside of a tensor of rank %d", who, (long long)c->axis,
                   x->rank);
  *axis = (int32_t)(c->axis + (c->axis < 0 ? x->rank : 0));
  return LRP_OK;
}

/* Walk over a piece: tensor 0 is the piece, dense; tensor 1 the whole, in which it starts at `first` along axis. */
static strided piece_walk(const lrp_tensor *piece, const lrp_tensor *whole, int32_t axis, int64_t first)
{
  int64_t to[LRP_MAX_RANK], from[LRP_MAX_RANK];
  strided w = {0};
  dense_steps(piece, to);
  dense_steps(whole, from);
  for (int32_t i = 0; i < piece->rank; i++)
    strided_axis(&w, piece->shape[i], to[i], from[i], 0);
  w.base[1] = first * from[axis];
  return w;
}

/* ---- concat ---- */

static const lrp_arg concat_args[] = {AXIS_ARG(-1), LRP_ARGS_END};
static const lrp_port many[] = {
    {.name = "x", .role = LRP_PORT_DATA, .dtype = LRP_ANY_DTYPE, .flags = LRP_PORT_MANY}, LRP_PORTS_END};

static lrp_status concat_create(const lrp_host *h, lrp_ctx *ctx, const lrp_value *a, void **inst)
{
  return cut_new(h, ctx, (cut){.axis = a[0].i}, inst);
}

static lrp_status concat_fits(const lrp_host *h, lrp_ctx *ctx, const lrp_tensor *x, uint32_t number, int32_t axis,
                              const lrp_tensor *y)
{
  if (x->dtype != y->dtype)
    return h->fail(ctx, LRP_E_UNSUPPORTED, "concat: operands of different element types");
  if (x->rank != y->rank)
    return h->fail(ctx, LRP_E_SHAPE, "concat: operand %u has rank %d, operand 0 has %d", number, x->rank, y->rank);
  for (int32_t i = 0; i < y->rank; i++)
    if (i != axis && x->shape[i] != y->shape[i])
      return h->fail(ctx, LRP_E_SHAPE, "concat: axis %d has %lld elements in operand %u, %lld in operand 0", i,
                     (long long)x->shape[i], number, (long long)y->shape[i]);
  return LRP_OK;
}

static lrp_status concat_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  lrp_tensor *y = &call->out[0];
  int32_t axis = 0;
  int nonneg = 1;
  if (!call->n_in)
    return h->fail(ctx, LRP_E_SHAPE, "concat: there is no operand");
  lrp_status st = axis_of(h, ctx, "concat", inst, &call->in[0], &axis);
  if (st)
    return st;
  tensor_describe(y, call->in[0].dtype, call->in[0].rank, call->in[0].shape);
  y->shape[axis] = 0;
  for (uint32_t i = 0; !st && i < call->n_in; i++) {
    st = concat_fits(h, ctx, &call->in[i], i, axis, y);
    if (!st && __builtin_add_overflow(y->shape[axis], call->in[i].shape[axis], &y->shape[axis]))
      st = h->fail(ctx, LRP_E_NOMEM, "concat: the axis is too long");
    nonneg = nonneg && known_nonneg(&call->in[i]);
  }
  y->flags = nonneg && y->dtype == LRP_REAL ? LRP_NONNEG : 0;
  return st;
}

static int32_t axis_at(const cut *c, const lrp_tensor *x)
{
  return (int32_t)(c->axis + (c->axis < 0 ? x->rank : 0));
}

static lrp_status concat_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const int32_t axis = axis_at(inst, &call->out[0]);
  int64_t first = 0;
  (void)h, (void)ctx;
  for (uint32_t i = 0; i < call->n_in; first += call->in[i++].shape[axis]) {
    const strided w = strided_back(piece_walk(&call->in[i], &call->out[0], axis, first));
    strided_copy(&w, &call->in[i], &call->out[0]);
  }
  return LRP_OK;
}

static lrp_status concat_vjp(const lrp_host *h, lrp_ctx *ctx, const void *inst, const lrp_call *call,
                             const lrp_tensor *out_bar, lrp_tensor *in_bar)
{
  const int32_t axis = axis_at(inst, &call->out[0]);
  int64_t first = 0;
  (void)h, (void)ctx;
  for (uint32_t i = 0; i < call->n_in; first += call->in[i++].shape[axis]) {
    const strided w = piece_walk(&call->in[i], &call->out[0], axis, first);
    if (out_bar[0].data && in_bar[i].data)
      strided_copy_reals(&w, lrp_reals(&out_bar[0]), lrp_reals(&in_bar[i]));
  }
  return LRP_OK;
}

static lrp_status concat_read(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)
{
  return axis_read(h, ctx, node, &a[0]);
}

/* ---- split ---- */

static const lrp_arg split_args[] = {
    AXIS_ARG(0),
    {.name = "sizes", .type = LRP_ARG_INTS, .max = 1e15, .doc = "elements of each piece along the axis; empty: equal"},
    {.name = "parts",
     .type = LRP_ARG_INT,
     .max = 65536,
     .doc = "number of equal pieces, the last may be smaller; 0: one for each output"},
    LRP_ARGS_END};

static lrp_status split_create(const lrp_host *h, lrp_ctx *ctx, const lrp_value *a, void **inst)
{
  return cut_new(h, ctx, (cut){.axis = a[0].i, .first = a[1], .parts = a[2].i}, inst);
}

/* Elements of piece j of an axis of n. */
static int64_t piece_size(const cut *c, uint32_t n_out, int64_t n, int64_t j)
{
  if (c->first.ints.n)
    return c->first.ints.v[j];
  const int64_t parts = c->parts ? c->parts : n_out, each = (n + parts - 1) / parts, left = n - each * j;
  return left < each ? left : each;
}

static lrp_status split_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const cut *c = inst;
  const lrp_tensor *x = &call->in[0];
  int32_t axis = 0;
  int64_t sum = 0;
  const lrp_status st = axis_of(h, ctx, "split", c, x, &axis);
  if (st)
    return st;
  const int64_t parts = c->first.ints.n ? c->first.ints.n : c->parts ? c->parts : call->n_out;
  if (parts < 1)
    return h->fail(ctx, LRP_E_ARG, "split: there are no pieces");
  for (int64_t j = 0; j < parts; j++) {
    const int64_t size = piece_size(c, call->n_out, x->shape[axis], j);
    if (size < 0 || size > x->shape[axis] - sum)
      return h->fail(ctx, LRP_E_SHAPE, "split: %lld pieces do not fit the %lld elements of axis %d", (long long)parts,
                     (long long)x->shape[axis], axis);
    sum += size;
    if (j >= call->n_out)
      continue;
    moved_describe(&call->out[j], x, x->rank, x->shape);
    call->out[j].shape[axis] = size;
  }
  if (sum != x->shape[axis])
    return h->fail(ctx, LRP_E_SHAPE, "split: the pieces have %lld elements together, axis %d of x has %lld",
                   (long long)sum, axis, (long long)x->shape[axis]);
  if (parts < call->n_out)
    call->n_out = (uint32_t)parts;
  return LRP_OK;
}

static lrp_status split_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const int32_t axis = axis_at(inst, &call->in[0]);
  int64_t first = 0;
  (void)h, (void)ctx;
  for (uint32_t j = 0; j < call->n_out; first += call->out[j++].shape[axis]) {
    const strided w = piece_walk(&call->out[j], &call->in[0], axis, first);
    if (call->out[j].data)
      strided_copy(&w, &call->in[0], &call->out[j]);
  }
  return LRP_OK;
}

static lrp_status split_vjp(const lrp_host *h, lrp_ctx *ctx, const void *inst, const lrp_call *call,
                            const lrp_tensor *out_bar, lrp_tensor *in_bar)
{
  const int32_t axis = axis_at(inst, &call->in[0]);
  int64_t first = 0;
  (void)h, (void)ctx;
  for (uint32_t j = 0; j < call->n_out; first += call->out[j++].shape[axis]) {
    const strided w = strided_back(piece_walk(&call->out[j], &call->in[0], axis, first));
    if (out_bar[j].data && in_bar[0].data)
      strided_copy_reals(&w, lrp_reals(&out_bar[j]), lrp_reals(&in_bar[0]));
  }
  return LRP_OK;
}

static lrp_status split_read(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)
{
  int given;
  lrp_status st = axis_read(h, ctx, node, &a[0]);
  if (!st)
    st = read_list(h, ctx, node, "split", 1, &a[1], &given);
  a[2].i = h->node_int(node, "num_outputs", 0);
  return st;
}

/* ---- slice ---- */

static const lrp_arg slice_args[] = {
    {.name = "starts", .type = LRP_ARG_INTS, .doc = "first index along each named axis; negative: from the end"},
    {.name = "ends", .type = LRP_ARG_INTS, .doc = "index behind the last, likewise; cut off at the axis's ends"},
    {.name = "axes", .type = LRP_ARG_INTS, .flags = LRP_ARG_AXIS, .doc = "axes that are cut"},
    {.name = "steps", .type = LRP_ARG_INTS, .doc = "distance of indices, negative: backwards; empty: 1"},
    LRP_ARGS_END};

static lrp_status slice_create(const lrp_host *h, lrp_ctx *ctx, const lrp_value *a, void **inst)
{
  return cut_new(h, ctx, (cut){.first = a[0], .last = a[1], .axes = a[2], .step = a[3]}, inst);
}

static int64_t between(int64_t v, int64_t low, int64_t high)
{
  return v < low ? low : v > high ? high : v;
}

/* Cut number i on an axis of n elements: *first, *step; returns how many are left.  Clamps as the ONNX page of Slice. */
static int64_t slice_axis(const cut *c, int64_t i, int64_t n, int64_t *first, int64_t *step)
{
  const int64_t s = c->step.ints.n ? c->step.ints.v[i] : 1;
  int64_t from = c->first.ints.v[i], to = c->last.ints.v[i];
  from += from < 0 ? n : 0;
  to += to < 0 ? n : 0;
  *step = between(s, -n - 1, n + 1); /* a longer one takes one element too */
  *first = *step > 0 ? between(from, 0, n) : between(from, -1, n - 1);
  to = *step > 0 ? between(to, 0, n) : between(to, -1, n - 1);
  const int64_t span = *step > 0 ? to - *first : *first - to, size = *step > 0 ? *step : -*step;
  return span > 0 && size ? (span + size - 1) / size : 0;
}

static lrp_status slice_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const cut *c = inst;
  const lrp_tensor *x = &call->in[0];
  const int64_t n = c->axes.ints.n;
  uint32_t bits;
  const lrp_status st = axis_bits(h, ctx, "slice", &c->axes, x->rank, &bits);
  if (st)
    return st;
  if (c->first.ints.n != n || c->last.ints.n != n || (c->step.ints.n && c->step.ints.n != n))
    return h->fail(ctx, LRP_E_ARG, "slice: %lld axes, but %lld starts, %lld ends and %lld steps", (long long)n,
                   (long long)c->first.ints.n, (long long)c->last.ints.n, (long long)c->step.ints.n);
  moved_describe(&call->out[0], x, x->rank, x->shape);
  for (int64_t i = 0; i < n; i++) {
    const int64_t a = c->axes.ints.v[i] + (c->axes.ints.v[i] < 0 ? x->rank : 0);
    int64_t first, step;
    if (c->step.ints.n && c->step.ints.v[i] == 0)
      return h->fail(ctx, LRP_E_ARG, "slice: the step along axis %lld is 0", (long long)a);
    call->out[0].shape[a] = slice_axis(c, i, x->shape[a], &first, &step);
  }
  return LRP_OK;
}

static strided slice_walk(const cut *c, const lrp_tensor *x, const lrp_tensor *y)
{
  int64_t to[LRP_MAX_RANK], from[LRP_MAX_RANK], base = 0;
  strided w = {0};
  dense_steps(y, to);
  dense_steps(x, from);
  for (int64_t i = 0; i < c->axes.ints.n; i++) {
    const int64_t a = c->axes.ints.v[i] + (c->axes.ints.v[i] < 0 ? x->rank : 0);
    int64_t first, step;
    slice_axis(c, i, x->shape[a], &first, &step);
    base += first * from[a];
    from[a] *= step;
  }
  for (int32_t i = 0; i < y->rank; i++)
    strided_axis(&w, y->shape[i], to[i], from[i], 0);
  w.base[1] = base;
  return w;
}

static lrp_status slice_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const strided w = slice_walk(inst, &call->in[0], &call->out[0]);
  (void)h, (void)ctx;
  strided_copy(&w, &call->in[0], &call->out[0]);
  return LRP_OK;
}

static lrp_status slice_vjp(const lrp_host *h, lrp_ctx *ctx, const void *inst, const lrp_call *call,
                            const lrp_tensor *out_bar, lrp_tensor *in_bar)
{
  const strided w = strided_back(slice_walk(inst, &call->in[0], &call->out[0]));
  (void)h, (void)ctx;
  if (out_bar[0].data && in_bar[0].data)
    strided_copy_reals(&w, lrp_reals(&out_bar[0]), lrp_reals(&in_bar[0]));
  return LRP_OK;
}

static lrp_status slice_read(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)
{
  static const char *const names[] = {"starts", "ends", "axes", "steps"};
  const int attributes = h->node_opset(node) < 10;
  int given[4] = {0};
  lrp_status st = LRP_OK;
  for (uint32_t i = 0; !st && i < 4; i++)
    st = read_list(h, ctx, node, attributes ? names[i] : NULL, i + 1, &a[i], &given[i]);
  if (!st && (!given[0] || !given[1]))
    return h->fail(ctx, LRP_E_INPUT, "slice has no starts or no ends");
  if (!st && !given[2])
    st = first_axes(h, ctx, a[0].ints.n, &a[2]);
  return st ? st : check_axes(h, ctx, a[2].ints.v, a[2].ints.n, h->node_rank(node, 0));
}

/* ---- descriptors ---- */

#define TYPE(NAME, ONNX, SINCE, INPUTS, IN, DOC)                                                              \
  static const lrp_operator NAME##_operators[] = {                                                            \
      {.domain = "", .name = ONNX, .since = SINCE, .inputs = INPUTS, .args = NAME##_read}, {0}};              \
  static const lrp_layer_type NAME##_type = {.struct_size = sizeof NAME##_type,                               \
                                             .kind = LRP_KIND_RESHAPE,                                        \
                                             .layout = LRP_LAYOUT_AXES,                                       \
                                             .name = #NAME,                                                   \
                                             .doc = DOC,                                                      \
                                             .args = NAME##_args,                                             \
                                             .in = IN,                                                        \
                                             .out = any_out,                                                  \
                                             .operators = NAME##_operators,                                   \
                                             .create = NAME##_create,                                         \
                                             .destroy = free,                                                 \
                                             .infer = NAME##_infer,                                           \
                                             .forward = NAME##_forward,                                       \
                                             .vjp = NAME##_vjp};
TYPE(concat, "Concat", 4, NULL, many, "y = the operands one behind the other along an axis")
TYPE(split, "Split", 2, "x -", any_in, "y, ... = pieces of x along an axis")
TYPE(slice, "Slice", 1, "x - - - -", any_in, "y = every step-th element of x from start to end, along named axes")

static const lrp_layer_type *const layers[] = {&concat_type, &split_type, &slice_type, NULL};
LRP_PLUGIN(layer_select, "select", "1.0", "MIT", "pieces of tensors, cut and joined", layers, NULL, NULL);
