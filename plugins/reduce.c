/* reduce.c - layers "reduce_sum", "reduce_mean", "reduce_max", "reduce_min" over named axes (ONNX).
 * Images stay channels-last where the axes that are left keep their meaning: the batch first, the channels last.  Forms
 * without keepdims for which that fails go to the twin "..._drop", which sees axes in the model's order. */
#include "rearrange.h"
#include <stdlib.h>

enum { AXES, KEEPDIMS, NOOP };
typedef struct reduce {
  lrp_value axes;
  int keepdims, noop;
} reduce;

static const lrp_arg args[] = {
    {.name = "axes", .type = LRP_ARG_INTS, .flags = LRP_ARG_AXIS, .doc = "axes to reduce over; empty: all"},
    {.name = "keepdims", .type = LRP_ARG_BOOL, .def = 1, .doc = "reduced axes stay, with size 1; the default is ONNX's"},
    {.name = "noop", .type = LRP_ARG_BOOL, .doc = "empty axes mean none; ONNX noop_with_empty_axes"},
    LRP_ARGS_END};
static const lrp_port ins[] = {{.name = "x", .role = LRP_PORT_DATA}, LRP_PORTS_END};
static const lrp_port outs[] = {{.name = "y", .role = LRP_PORT_DATA}, LRP_PORTS_END};
static const char *const freezable[] = {"argmax", NULL};

static lrp_status create(const lrp_host *h, lrp_ctx *ctx, const lrp_value *a, void **inst)
{
  reduce *r = malloc(sizeof *r);
  if (!r)
    return h->fail(ctx, LRP_E_NOMEM, "reduce: no memory for an instance");
  *r = (reduce){a[AXES], a[KEEPDIMS].i != 0, a[NOOP].i != 0};
  *inst = r;
  return LRP_OK;
}

/* Bit i is set where axis i is reduced; the axes have been judged. */
static uint32_t reduced(const reduce *r, int32_t rank)
{
  uint32_t bits = 0;
  for (int64_t i = 0; i < r->axes.ints.n; i++)
    bits |= 1u << (r->axes.ints.v[i] + (r->axes.ints.v[i] < 0 ? rank : 0));
  return r->axes.ints.n || r->noop ? bits : (1u << rank) - 1;
}

/* Elements behind each element of y. */
static int64_t terms(const reduce *r, const lrp_tensor *x)
{
  const uint32_t bits = reduced(r, x->rank);
  int64_t n = 1;
  for (int32_t i = 0; i < x->rank; i++)
    n *= bits >> i & 1 ? x->shape[i] : 1;
  return n;
}

static lrp_status infer(const lrp_host *h, lrp_ctx *ctx, const char *who, const reduce *r, int empty, lrp_call *call)
{
  const lrp_tensor *x = &call->in[0];
  int64_t shape[LRP_MAX_RANK];
  int32_t rank = 0;
  uint32_t bits;
  lrp_status st = need_reals(h, ctx, who, x);
  if (!st)
    st = axis_bits(h, ctx, who, &r->axes, x->rank, &bits);
  if (st)
    return st;
  bits = reduced(r, x->rank);
  for (int32_t i = 0; i < x->rank; i++)
    if (!(bits >> i & 1) || r->keepdims)
      shape[rank++] = bits >> i & 1 ? 1 : x->shape[i];
  if (!empty && terms(r, x) == 0)
    return h->fail(ctx, LRP_E_SHAPE, "%s: there is nothing to reduce: an axis has no elements", who);
  moved_describe(&call->out[0], x, rank, shape);
  if (call->n_saved)
    tensor_describe(&call->saved[0], LRP_INDEX, rank, shape);
  return LRP_OK;
}

/* Over x: tensor 0 is y, standing still along reduced axes, tensor 1 is x. */
static strided walk(const reduce *r, const lrp_tensor *x)
{
  const uint32_t bits = reduced(r, x->rank);
  int64_t from[LRP_MAX_RANK], to[LRP_MAX_RANK], step = 1;
  strided w = {0};
  dense_steps(x, from);
  for (int32_t i = x->rank - 1; i >= 0; i--) {
    to[i] = bits >> i & 1 ? 0 : step;
    step *= bits >> i & 1 ? 1 : x->shape[i];
  }
  for (int32_t i = 0; i < x->rank; i++)
    strided_axis(&w, x->shape[i], to[i], from[i], 0);
  return w;
}

/* ---- sum, mean ---- */

static lrp_status add_up(const reduce *r, double factor, const lrp_call *call)
{
  const strided w = walk(r, &call->in[0]);
  tensor_zero(&call->out[0]);
  if (call->in[0].data)
    strided_sum(&w, factor, lrp_reals(&call->in[0]), lrp_reals(&call->out[0]));
  return LRP_OK;
}

static lrp_status spread(const reduce *r, double factor, const lrp_call *call, const lrp_tensor *out_bar,
                         lrp_tensor *in_bar)
{
  if (!out_bar[0].data || !in_bar[0].data)
    return LRP_OK;
  const strided w = strided_back(walk(r, &call->in[0]));
  const int64_t n = lrp_count(&call->in[0]);
  lrp_real *x_bar = lrp_reals(&in_bar[0]);
  strided_copy_reals(&w, lrp_reals(&out_bar[0]), x_bar);
#pragma omp parallel for simd if (n > PARALLEL_MIN)
  for (int64_t i = 0; i < n; i++)
    x_bar[i] = (lrp_real)(factor * (double)x_bar[i]);
  return LRP_OK;
}

static lrp_status sum_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  return infer(h, ctx, "reduce_sum", inst, 1, call);
}

static lrp_status mean_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  return infer(h, ctx, "reduce_mean", inst, 0, call);
}

static lrp_status sum_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  (void)h, (void)ctx;
  return add_up(inst, 1, call);
}

static lrp_status sum_vjp(const lrp_host *h, lrp_ctx *ctx, const void *inst, const lrp_call *call,
                          const lrp_tensor *out_bar, lrp_tensor *in_bar)
{
  (void)h, (void)ctx;
  return spread(inst, 1, call, out_bar, in_bar);
}

static lrp_status mean_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  (void)h, (void)ctx;
  return add_up(inst, 1 / (double)terms(inst, &call->in[0]), call);
}

static lrp_status mean_vjp(const lrp_host *h, lrp_ctx *ctx, const void *inst, const lrp_call *call,
                           const lrp_tensor *out_bar, lrp_tensor *in_bar)
{
  (void)h, (void)ctx;
  return spread(inst, 1 / (double)terms(inst, &call->in[0]), call, out_bar, in_bar);
}

/* ---- max, min: the first of equal extremes wins, in row-major order; NaN wins over all ---- */

static lrp_status max_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  return infer(h, ctx, "reduce_max", inst, 0, call);
}

static lrp_status min_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  return infer(h, ctx, "reduce_min", inst, 0, call);
}

/* Flat index of the extreme among those of x that start at `start`. */
static int64_t find_extreme(const strided *sum, const lrp_real *x, int64_t start, int max)
{
  const int64_t rows = strided_rows(sum), inner = strided_inner(sum), s = strided_last(sum, 1);
  int64_t best = start;
  for (int64_t r = 0; r < rows; r++) {
    int64_t at[STRIDED_TENSORS];
    strided_piece(sum, inner, r, at);
    for (int64_t i = 0, k = start + at[1]; i < inner; i++, k += s)
      if ((max ? x[k] > x[best] : x[k] < x[best]) || (x[k] != x[k] && x[best] == x[best]))
        best = k;
  }
  return best;
}

static lrp_status extreme(const reduce *r, int max, lrp_call *call)
{
  const lrp_real *x = lrp_reals(&call->in[0]);
  lrp_real *y = lrp_reals(&call->out[0]);
  int64_t *arg = lrp_indices(&call->saved[0]);
  const strided w = walk(r, &call->in[0]);
  const int64_t n = lrp_count(&call->out[0]);
  const int find = !(call->freeze & 1), wide = lrp_count(&call->in[0]) > PARALLEL_MIN;
  strided keep, sum;
  strided_split(&w, &keep, &sum);
#pragma omp parallel for if (wide)
  for (int64_t k = 0; k < n; k++) {
    int64_t at[STRIDED_TENSORS];
    strided_piece(&keep, 1, k, at);
    if (find)
      arg[k] = x ? find_extreme(&sum, x, at[1], max) : at[1];
    y[k] = x ? x[arg[k]] : 0;
  }
  return LRP_OK;
}

static lrp_status max_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  (void)h, (void)ctx;
  return extreme(inst, 1, call);
}

static lrp_status min_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  (void)h, (void)ctx;
  return extreme(inst, 0, call);
}

static lrp_status winner_vjp(const lrp_host *h, lrp_ctx *ctx, const void *inst, const lrp_call *call,
                             const lrp_tensor *out_bar, lrp_tensor *in_bar)
{
  const int64_t n = lrp_count(&call->out[0]), *arg = lrp_indices(&call->saved[0]);
  (void)h, (void)ctx, (void)inst;
  for (int64_t k = 0; out_bar[0].data && in_bar[0].data && k < n; k++)
    lrp_reals(&in_bar[0])[arg[k]] += lrp_reals(&out_bar[0])[k];
  return LRP_OK;
}

/* ---- operators ---- */

static lrp_status read_drop(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)
{
  const int64_t rank = h->node_rank(node, 0);
  int given;
  lrp_status st = read_list(h, ctx, node, "axes", 1, &a[AXES], &given);
  a[KEEPDIMS].i = h->node_int(node, "keepdims", 1) != 0;
  a[NOOP].i = h->node_int(node, "noop_with_empty_axes", 0) != 0;
  if (!st && !a[AXES].ints.n && !a[NOOP].i) {
    a[NOOP].i = 1; /* all are named from here on */
    st = first_axes(h, ctx, rank, &a[AXES]);
  }
  return st ? st : check_axes(h, ctx, a[AXES].ints.v, a[AXES].ints.n, rank);
}

/* Takes the forms that are right in both orders of axes: what is left starts with the batch and, from rank 3 on, still
 * has the channels. */
static lrp_status read_any(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)
{
  const lrp_status st = read_drop(h, ctx, node, a);
  if (st || a[KEEPDIMS].i)
    return st;
  const int32_t rank = h->node_rank(node, 0);
  const reduce r = {.axes = a[AXES], .noop = 1};
  const uint32_t bits = reduced(&r, rank);
  int32_t left = 0;
  for (int32_t i = 0; i < rank; i++)
    left += !(bits >> i & 1);
  if (rank < 3 || left < 2 || (!(bits & 1) && (left == 2 || !(bits & 2))))
    return LRP_OK;
  return h->fail(ctx, LRP_E_UNSUPPORTED, "reduce: this form needs the model's order of axes");
}

#define TWIN(NAME, TWIN_NAME, LAYOUT, READ, ONNX, KIND, WHAT, VJP, DOC, ...)                                  \
  static const lrp_operator NAME##_operators[] = {                                                            \
      {.domain = "", .name = ONNX, .since = 1, .inputs = "x -", .args = READ}, {0}};                          \
  static const lrp_layer_type NAME##_type = {.struct_size = sizeof NAME##_type,                               \
                                             .kind = KIND,                                                    \
                                             .layout = LAYOUT,                                                \
                                             .name = TWIN_NAME,                                               \
                                             .doc = DOC,                                                      \
                                             .args = args,                                                    \
                                             .in = ins,                                                       \
                                             .out = outs,                                                     \
                                             .operators = NAME##_operators,                                   \
                                             .create = create,                                                \
                                             .destroy = free,                                                 \
                                             .infer = WHAT##_infer,                                           \
                                             .forward = WHAT##_forward,                                       \
                                             .vjp = VJP,                                                      \
                                             __VA_ARGS__};
#define TYPE(WHAT, ONNX, KIND, VJP, DOC, ...)                                                                 \
  TWIN(WHAT, "reduce_" #WHAT, LRP_LAYOUT_AXES, read_any, ONNX, KIND, WHAT, VJP, DOC, __VA_ARGS__)             \
  TWIN(WHAT##_drop, "reduce_" #WHAT "_drop", LRP_LAYOUT_MODEL, read_drop, ONNX, KIND, WHAT, VJP,              \
       DOC ", in the model's order of axes", __VA_ARGS__)
#define WINNER .n_saved = 1, .freezable = freezable
TYPE(sum, "ReduceSum", LRP_KIND_POOL_SUM, sum_vjp, "y = the sum of x over axes", .n_saved = 0)
TYPE(mean, "ReduceMean", LRP_KIND_POOL_SUM, mean_vjp, "y = the mean of x over axes", .n_saved = 0)
TYPE(max, "ReduceMax", LRP_KIND_POOL_MAX, winner_vjp, "y = the largest of x over axes", WINNER)
TYPE(min, "ReduceMin", LRP_KIND_POOL_MAX, winner_vjp, "y = the smallest of x over axes", WINNER)

static const lrp_layer_type *const layers[] = {&sum_type,      &mean_type,      &max_type,      &min_type,
                                               &sum_drop_type, &mean_drop_type, &max_drop_type, &min_drop_type, NULL};
LRP_PLUGIN(layer_reduce, "reduce", "1.0", "MIT", "sums, means and extremes over axes", layers, NULL, NULL);
