/* indices.c - layers that find places in tensors: "topk", "argmax", "argmin", "one_hot", "nonzero", and "is_nan",
 * "is_inf".  Only the values of topk carry relevance: each goes to the element it was taken from. */
#include "rearrange.h"
#include <math.h>
#include <stdlib.h>

typedef struct find {
  int64_t axis, k, flag;
  lrp_value values;
} find;

static const lrp_port side_in[] = {{.name = "x", .role = LRP_PORT_SIDE, .dtype = LRP_ANY_DTYPE},
                                   LRP_PORTS_END};
static const lrp_port real_in[] = {{.name = "x", .role = LRP_PORT_SIDE}, LRP_PORTS_END};
static const lrp_port ids_in[] = {
    {.name = "indices", .role = LRP_PORT_SIDE, .dtype = LRP_ANY_DTYPE}, LRP_PORTS_END};
static const lrp_port index_out[] = {{.name = "y", .role = LRP_PORT_SIDE, .dtype = LRP_INDEX},
                                     LRP_PORTS_END};
static const lrp_port side_out[] = {{.name = "y", .role = LRP_PORT_SIDE, .dtype = LRP_ANY_DTYPE},
                                    LRP_PORTS_END};
static const lrp_port topk_out[] = {{.name = "y", .role = LRP_PORT_DATA, .dtype = LRP_ANY_DTYPE},
                                    {.name = "indices", .role = LRP_PORT_SIDE, .dtype = LRP_INDEX},
                                    LRP_PORTS_END};

static lrp_status create(const lrp_host *h, lrp_ctx *ctx, find f, void **inst)
{
  find *p = malloc(sizeof *p);
  if (!p) return h->fail(ctx, LRP_E_NOMEM, "indices: no memory for an instance");
  *p = f;
  *inst = p;
  return LRP_OK;
}

static lrp_status axis_within(const lrp_host *h, lrp_ctx *ctx, const char *who, const lrp_tensor *x,
                              int64_t axis, int32_t *out)
{
  if (axis < -x->rank || axis >= x->rank)
    return h->fail(ctx, LRP_E_SHAPE, "%s: axis %lld is outside of a tensor of rank %d", who,
                   (long long)axis, x->rank);
  *out = (int32_t)(axis + (axis < 0 ? x->rank : 0));
  return LRP_OK;
}

/* x seen as (outer, n, inner) around an axis. */
typedef struct lanes {
  int64_t outer, n, inner;
} lanes;

static lanes lanes_of(const lrp_tensor *x, int64_t axis)
{
  lanes l = {1, x->shape[axis + (axis < 0 ? x->rank : 0)], 1};
  for (int32_t i = 0, a = (int32_t)(axis + (axis < 0 ? x->rank : 0)); i < x->rank; i++)
    if (i != a) *(i < a ? &l.outer : &l.inner) *= x->shape[i];
  return l;
}

/* Does element i come before j?  Larger first (or smaller), NaN before all, then the lower index. */
static int before(const lrp_tensor *x, int64_t i, int64_t j, int largest)
{
  if (x->dtype == LRP_REAL) {
    const lrp_real a = lrp_reals(x)[i], b = lrp_reals(x)[j];
    if (a != a || b != b) return a != a && (b == b || i < j);
    return a == b ? i < j : largest ? a > b : a < b;
  }
  const int64_t a = lrp_indices(x)[i], b = lrp_indices(x)[j];
  return a == b ? i < j : largest ? a > b : a < b;
}

/* ---- topk ---- */

static const lrp_arg topk_args[] = {
    {.name = "axis",
     .type = LRP_ARG_INT,
     .flags = LRP_ARG_AXIS,
     .def = -1,
     .doc = "axis along which elements compete"},
    {.name = "k", .type = LRP_ARG_INT, .def = 1, .max = 1e15, .doc = "how many are kept"},
    {.name = "largest",
     .type = LRP_ARG_BOOL,
     .def = 1,
     .doc = "the largest are kept, else the smallest"},
    LRP_ARGS_END};

static lrp_status topk_create(const lrp_host *h, lrp_ctx *ctx, const lrp_value *a, void **inst)
{
  return create(h, ctx, (find){.axis = a[0].i, .k = a[1].i, .flag = a[2].i}, inst);
}

static lrp_status topk_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const find *f = inst;
  const lrp_tensor *x = &call->in[0];
  int32_t axis = 0;
  const lrp_status st = axis_within(h, ctx, "topk", x, f->axis, &axis);
  if (st) return st;
  if (f->k > x->shape[axis])
    return h->fail(ctx, LRP_E_SHAPE, "topk: %lld of the %lld elements of axis %d are asked for",
                   (long long)f->k, (long long)x->shape[axis], axis);
  moved_describe(&call->out[0], x, x->rank, x->shape);
  call->out[0].shape[axis] = f->k;
  tensor_describe(&call->saved[0], LRP_INDEX, x->rank, call->out[0].shape);
  if (call->n_out > 1) tensor_describe(&call->out[1], LRP_INDEX, x->rank, call->out[0].shape);
  return LRP_OK;
}

/* Sifts the heap of k flat indices, the last of the order on top, down from its root. */
static void sift(const lrp_tensor *x, int64_t *heap, int64_t k, int largest)
{
  for (int64_t i = 0, child = 1; child < k; i = child, child = 2 * i + 1) {
    if (child + 1 < k && before(x, heap[child], heap[child + 1], largest)) child++;
    if (!before(x, heap[i], heap[child], largest)) return;
    const int64_t kept = heap[i];
    heap[i] = heap[child];
    heap[child] = kept;
  }
}

/* best[0..k): flat indices of the k first of a lane, in order: a heap of k, then taken apart. */
static void find_best(const lrp_tensor *x, int64_t start, int64_t n, int64_t step, int64_t k,
                      int largest, int64_t *best)
{
  for (int64_t j = 0; j < n && k; j++) {
    const int64_t e = start + j * step;
    if (j < k) {
      int64_t i = j;
      best[i] = e;
      for (int64_t up = (i - 1) / 2; i && before(x, best[up], best[i], largest);
           i = up, up = (i - 1) / 2) {
        const int64_t kept = best[i];
        best[i] = best[up];
        best[up] = kept;
      }
    } else if (before(x, e, best[0], largest)) {
      best[0] = e;
      sift(x, best, k, largest);
    }
  }
  for (int64_t m = k - 1; m > 0; m--) {
    const int64_t kept = best[0];
    best[0] = best[m];
    best[m] = kept;
    sift(x, best, m, largest);
  }
}

static lrp_status topk_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const find *f = inst;
  const lrp_tensor *x = &call->in[0], *y = &call->out[0];
  const lanes l = lanes_of(x, f->axis);
  lrp_tensor list = {.dtype = LRP_INDEX, .rank = 1, .shape = {f->k}};
  const lrp_status st = h->scratch(ctx, &list, &list);
  int64_t *best = lrp_indices(&list), *saved = lrp_indices(&call->saved[0]);
  for (int64_t lane = 0; !st && lane < l.outer * l.inner; lane++) {
    const int64_t start = lane / l.inner * l.n * l.inner + lane % l.inner;
    if (x->data) find_best(x, start, l.n, l.inner, f->k, f->flag != 0, best);
    for (int64_t j = 0; j < f->k; j++) {
      const int64_t from = x->data ? best[j] : start + j * l.inner;
      const int64_t to = (lane / l.inner * f->k + j) * l.inner + lane % l.inner;
      saved[to] = from;
      if (call->n_out > 1 && call->out[1].data)
        lrp_indices(&call->out[1])[to] = (from - start) / l.inner;
      if (y->dtype == LRP_REAL)
        lrp_reals(y)[to] = x->data ? lrp_reals(x)[from] : 0;
      else
        lrp_indices(y)[to] = x->data ? lrp_indices(x)[from] : 0;
    }
  }
  return st;
}

static lrp_status topk_vjp(const lrp_host *h, lrp_ctx *ctx, const void *inst, const lrp_call *call,
                           const lrp_tensor *out_bar, lrp_tensor *in_bar)
{
  const int64_t n = lrp_count(&call->out[0]), *saved = lrp_indices(&call->saved[0]);
  (void)h, (void)ctx, (void)inst;
  for (int64_t i = 0; out_bar[0].data && in_bar[0].data && i < n; i++)
    lrp_reals(&in_bar[0])[saved[i]] = lrp_reals(&out_bar[0])[i];
  return LRP_OK;
}

/* Opset 10 turned k into an input; before 11 the largest were meant. */
static lrp_status topk_read(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)
{
  const lrp_tensor *k = h->node_const(ctx, node, 1);
  a[0].i = h->node_int(node, "axis", -1);
  a[1].i = h->node_int(node, "k", 0);
  a[2].i = h->node_int(node, "largest", 1) != 0;
  if (h->node_opset(node) >= 10 && (!k || k->dtype != LRP_INDEX || lrp_count(k) != 1))
    return h->fail(ctx, LRP_E_UNSUPPORTED, "k is not one constant integer");
  if (h->node_opset(node) >= 10) a[1].i = lrp_indices(k)[0];
  return check_axes(h, ctx, &a[0].i, 1, h->node_rank(node, 0));
}

/* ---- argmax, argmin ---- */

static const lrp_arg arg_args[] = {
    {.name = "axis", .type = LRP_ARG_INT, .doc = "axis along which elements compete"},
    {.name = "keepdims",
     .type = LRP_ARG_BOOL,
     .def = 1,
     .doc = "the axis stays, with size 1; the default is ONNX's"},
    {.name = "last",
     .type = LRP_ARG_BOOL,
     .doc = "the last of equal elements; ONNX select_last_index"},
    LRP_ARGS_END};

static lrp_status arg_create(const lrp_host *h, lrp_ctx *ctx, const lrp_value *a, void **inst)
{
  return create(h, ctx, (find){.axis = a[0].i, .k = a[1].i, .flag = a[2].i}, inst);
}

static lrp_status arg_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const find *f = inst;
  const lrp_tensor *x = &call->in[0];
  int64_t shape[LRP_MAX_RANK];
  int32_t axis = 0, rank = 0;
  const lrp_status st = axis_within(h, ctx, "argmax", x, f->axis, &axis);
  if (st) return st;
  if (x->shape[axis] == 0)
    return h->fail(ctx, LRP_E_SHAPE, "argmax: axis %d has no elements", axis);
  for (int32_t i = 0; i < x->rank; i++)
    if (i != axis || f->k) shape[rank++] = i == axis ? 1 : x->shape[i];
  tensor_describe(&call->out[0], LRP_INDEX, rank, shape);
  return LRP_OK;
}

static int same_value(const lrp_tensor *x, int64_t i, int64_t j)
{
  return x->dtype == LRP_REAL ? lrp_reals(x)[i] == lrp_reals(x)[j]
                              : lrp_indices(x)[i] == lrp_indices(x)[j];
}

static lrp_status arg_forward(const find *f, int max, const lrp_call *call)
{
  const lrp_tensor *x = &call->in[0];
  const lanes l = lanes_of(x, f->axis);
  for (int64_t lane = 0; lane < l.outer * l.inner; lane++) {
    const int64_t start = lane / l.inner * l.n * l.inner + lane % l.inner;
    int64_t best = start;
    for (int64_t j = 1; x->data && j < l.n; j++) {
      const int64_t e = start + j * l.inner;
      if (before(x, e, best, max) || (f->flag && same_value(x, e, best))) best = e;
    }
    lrp_indices(&call->out[0])[lane] = (best - start) / l.inner;
  }
  return LRP_OK;
}

static lrp_status argmax_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  (void)h, (void)ctx;
  return arg_forward(inst, 1, call);
}

static lrp_status argmin_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  (void)h, (void)ctx;
  return arg_forward(inst, 0, call);
}

static lrp_status arg_read(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)
{
  a[0].i = h->node_int(node, "axis", 0);
  a[1].i = h->node_int(node, "keepdims", 1) != 0;
  a[2].i = h->node_int(node, "select_last_index", 0) != 0;
  return check_axes(h, ctx, &a[0].i, 1, h->node_rank(node, 0));
}

/* ---- one_hot ---- */

static const lrp_arg one_hot_args[] = {
    {.name = "axis", .type = LRP_ARG_INT, .def = -1, .doc = "where the new axis is put"},
    {.name = "depth", .type = LRP_ARG_INT, .def = 1, .max = 1e15, .doc = "size of the new axis"},
    {.name = "index", .type = LRP_ARG_BOOL, .doc = "y holds integers"},
    {.name = "values", .type = LRP_ARG_REALS, .doc = "off and on"},
    LRP_ARGS_END};

static lrp_status one_hot_create(const lrp_host *h, lrp_ctx *ctx, const lrp_value *a, void **inst)
{
  return create(h, ctx, (find){.axis = a[0].i, .k = a[1].i, .flag = a[2].i, .values = a[3]}, inst);
}

static lrp_status one_hot_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const find *f = inst;
  const lrp_tensor *x = &call->in[0];
  const int64_t axis = f->axis + (f->axis < 0 ? x->rank + 1 : 0);
  int64_t shape[LRP_MAX_RANK];
  if (axis < 0 || axis > x->rank || x->rank >= LRP_MAX_RANK)
    return h->fail(ctx, LRP_E_SHAPE, "one_hot: axis %lld is outside of a tensor of rank %d",
                   (long long)f->axis, x->rank + 1);
  if (f->values.reals.n != 2)
    return h->fail(ctx, LRP_E_ARG, "one_hot: two values were expected, off and on");
  for (int32_t i = 0; i <= x->rank; i++)
    shape[i] = i == axis ? f->k : x->shape[i - (i > axis)];
  tensor_describe(&call->out[0], f->flag ? LRP_INDEX : LRP_REAL, x->rank + 1, shape);
  return LRP_OK;
}

static lrp_status one_hot_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const find *f = inst;
  const lrp_tensor *x = &call->in[0], *y = &call->out[0];
  const lanes l = lanes_of(y, f->axis);
  (void)h, (void)ctx;
  for (int64_t e = 0, n = lrp_count(y); e < n; e++) {
    const int64_t at = e / (l.n * l.inner) * l.inner + e % l.inner, j = e / l.inner % l.n;
    const double id = !x->data                ? 0
                      : x->dtype == LRP_INDEX ? (double)lrp_indices(x)[at]
                                              : (double)lrp_reals(x)[at];
    const lrp_real v = f->values.reals.v[id == (double)j || id + (double)f->k == (double)j];
    if (y->dtype == LRP_INDEX)
      lrp_indices(y)[e] = (int64_t)v;
    else
      lrp_reals(y)[e] = v;
  }
  return LRP_OK;
}

static lrp_status one_hot_read(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)
{
  const lrp_tensor *depth = h->node_const(ctx, node, 1), *values = h->node_const(ctx, node, 2);
  lrp_real *v = h->keep_reals(ctx, 2);
  if (!v) return LRP_E_NOMEM;
  if (!depth || lrp_count(depth) != 1 || !values || lrp_count(values) != 2)
    return h->fail(ctx, LRP_E_UNSUPPORTED,
                   "one constant depth and two constant values were expected");
  a[0].i = h->node_int(node, "axis", -1);
  a[1].i = depth->dtype == LRP_INDEX                  ? lrp_indices(depth)[0]
           : fabs((double)lrp_reals(depth)[0]) < 1e15 ? (int64_t)lrp_reals(depth)[0]
                                                      : -1;
  a[2].i = values->dtype == LRP_INDEX;
  for (int i = 0; i < 2; i++) {
    if (a[2].i && (lrp_indices(values)[i] < -(1 << 24) || lrp_indices(values)[i] > 1 << 24))
      return h->fail(ctx, LRP_E_UNSUPPORTED, "one_hot: a value above 2^24");
    v[i] = a[2].i ? (lrp_real)lrp_indices(values)[i] : lrp_reals(values)[i];
  }
  a[3].reals.v = v;
  a[3].reals.n = 2;
  return LRP_OK;
}

/* ---- nonzero: of constants, since the shape of y depends on them ---- */

static int64_t count_nonzero(const lrp_tensor *x)
{
  int64_t n = 0;
  for (int64_t i = 0; i < lrp_count(x); i++)
    n += x->dtype == LRP_REAL ? lrp_reals(x)[i] != 0 : lrp_indices(x)[i] != 0; /* exactly */
  return n;
}

static lrp_status nonzero_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const lrp_tensor *x = &call->in[0];
  (void)inst;
  if (!x->data)
    return h->fail(ctx, LRP_E_UNSUPPORTED,
                   "nonzero: x depends on the model's input, so the shape of y would too");
  const int64_t shape[2] = {x->rank, count_nonzero(x)};
  tensor_describe(&call->out[0], LRP_INDEX, 2, shape);
  return LRP_OK;
}

static lrp_status nonzero_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const lrp_tensor *x = &call->in[0], *y = &call->out[0];
  const int64_t n = y->shape[1];
  int64_t found = 0;
  (void)h, (void)ctx, (void)inst;
  for (int64_t e = 0; found < n; e++) {
    if (x->dtype == LRP_REAL ? lrp_reals(x)[e] == 0 : lrp_indices(x)[e] == 0) continue;
    for (int64_t i = x->rank - 1, left = e; i >= 0; left /= x->shape[i--])
      lrp_indices(y)[i * n + found] = left % x->shape[i];
    found++;
  }
  return LRP_OK;
}

/* ---- is_nan, is_inf ---- */

static const lrp_arg is_inf_args[] = {{.name = "negative",
                                       .type = LRP_ARG_BOOL,
                                       .def = 1,
                                       .doc = "-inf counts; the default is ONNX's"},
                                      {.name = "positive",
                                       .type = LRP_ARG_BOOL,
                                       .def = 1,
                                       .doc = "+inf counts; the default is ONNX's"},
                                      LRP_ARGS_END};

static lrp_status is_inf_create(const lrp_host *h, lrp_ctx *ctx, const lrp_value *a, void **inst)
{
  return create(h, ctx, (find){.axis = a[0].i, .k = a[1].i}, inst);
}

static lrp_status is_inf_read(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)
{
  (void)ctx;
  a[0].i = h->node_int(node, "detect_negative", 1) != 0;
  a[1].i = h->node_int(node, "detect_positive", 1) != 0;
  return LRP_OK;
}

static lrp_status truth_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  (void)h, (void)ctx, (void)inst;
  tensor_describe(&call->out[0], LRP_INDEX, call->in[0].rank, call->in[0].shape);
  return LRP_OK;
}

/* f NULL: NaN is looked for. */
static lrp_status truth_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const find *f = inst;
  const lrp_tensor *x = &call->in[0];
  (void)h, (void)ctx;
  for (int64_t i = 0, n = lrp_count(x); i < n; i++) {
    const lrp_real v = x->data ? lrp_reals(x)[i] : 0;
    lrp_indices(&call->out[0])[i] = f ? isinf(v) && (v < 0 ? f->axis : f->k) : v != v;
  }
  return LRP_OK;
}

/* ---- descriptors ---- */

#define TYPE(NAME, ONNX, SINCE, INPUTS, READ, LAYOUT, IN, OUT, INFER, FORWARD, DOC, ...)           \
  static const lrp_operator NAME##_operators[] = {                                                 \
      {.domain = "", .name = ONNX, .since = SINCE, .inputs = INPUTS, .args = READ}, {0}};          \
  static const lrp_layer_type NAME##_type = {.struct_size = sizeof NAME##_type,                    \
                                             .layout = LAYOUT,                                     \
                                             .name = #NAME,                                        \
                                             .doc = DOC,                                           \
                                             .in = IN,                                             \
                                             .out = OUT,                                           \
                                             .operators = NAME##_operators,                        \
                                             .infer = INFER,                                       \
                                             .forward = FORWARD,                                   \
                                             __VA_ARGS__};
TYPE(topk, "TopK", 1, "x -", topk_read, LRP_LAYOUT_AXES, any_in, topk_out, topk_infer, topk_forward,
     "y = the k largest of x along an axis, in order, and their indices", .kind = LRP_KIND_RESHAPE,
     .n_saved = 1, .args = topk_args, .create = topk_create, .destroy = free, .vjp = topk_vjp)
TYPE(argmax, "ArgMax", 1, "x", arg_read, LRP_LAYOUT_MODEL, side_in, index_out, arg_infer,
     argmax_forward, "y = the index of the largest of x along an axis", .args = arg_args,
     .create = arg_create, .destroy = free)
TYPE(argmin, "ArgMin", 1, "x", arg_read, LRP_LAYOUT_MODEL, side_in, index_out, arg_infer,
     argmin_forward, "y = the index of the smallest of x along an axis", .args = arg_args,
     .create = arg_create, .destroy = free)
TYPE(one_hot, "OneHot", 9, "indices - -", one_hot_read, LRP_LAYOUT_MODEL, ids_in, side_out,
     one_hot_infer, one_hot_forward, "y = on at the index, off elsewhere, along a new axis",
     .args = one_hot_args, .create = one_hot_create, .destroy = free)
TYPE(nonzero, "NonZero", 9, "x", NULL, LRP_LAYOUT_MODEL, side_in, index_out, nonzero_infer,
     nonzero_forward, "y = the places where a constant is not 0", .args = NULL)
TYPE(is_nan, "IsNaN", 9, "x", NULL, LRP_LAYOUT_ANY, real_in, index_out, truth_infer, truth_forward,
     "y = 1 where x is NaN", .args = NULL)
TYPE(is_inf, "IsInf", 10, "x", is_inf_read, LRP_LAYOUT_ANY, real_in, index_out, truth_infer,
     truth_forward, "y = 1 where x is infinite", .args = is_inf_args, .create = is_inf_create,
     .destroy = free)

static const lrp_layer_type *const layers[] = {&topk_type,    &argmax_type,  &argmin_type,
                                               &one_hot_type, &nonzero_type, &is_nan_type,
                                               &is_inf_type,  NULL};
LRP_PLUGIN(layer_indices, "indices", "1.0", "MIT", "places in tensors, found", layers, NULL, NULL);
