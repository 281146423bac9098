/* reduce.h - what layers share that reduce over named axes (ONNX): arguments, shapes, the walk, and the macros that make
 * descriptors.  Images stay channels-last where the axes that are left keep their meaning: the batch first, the channels
 * last.  Forms without keepdims for which that fails go to the twin "..._drop", which sees axes in the model's order. */
#ifndef LRP_PLUGINS_REDUCE_H
#define LRP_PLUGINS_REDUCE_H
#include "rearrange.h"
#include <stdlib.h>

enum { AXES, KEEPDIMS, NOOP };
typedef struct reduce {
  lrp_value axes;
  int keepdims, noop;
} reduce;

static const lrp_arg args[] = {{.name = "axes",
                                .type = LRP_ARG_INTS,
                                .flags = LRP_ARG_AXIS,
                                .doc = "axes to reduce over; empty: all"},
                               {.name = "keepdims",
                                .type = LRP_ARG_BOOL,
                                .def = 1,
                                .doc = "reduced axes stay, with size 1; the default is ONNX's"},
                               {.name = "noop",
                                .type = LRP_ARG_BOOL,
                                .doc = "empty axes mean none; ONNX noop_with_empty_axes"},
                               LRP_ARGS_END};
static const lrp_port ins[] = {{.name = "x", .role = LRP_PORT_DATA}, LRP_PORTS_END};
static const lrp_port outs[] = {{.name = "y", .role = LRP_PORT_DATA}, LRP_PORTS_END};

static inline lrp_status create(const lrp_host *h, lrp_ctx *ctx, const lrp_value *a, void **inst)
{
  reduce *r = malloc(sizeof *r);
  if (!r) return h->fail(ctx, LRP_E_NOMEM, "reduce: no memory for an instance");
  *r = (reduce){a[AXES], a[KEEPDIMS].i != 0, a[NOOP].i != 0};
  *inst = r;
  return LRP_OK;
}

/* Bit i is set where axis i is reduced; the axes have been judged. */
static inline uint32_t reduced(const reduce *r, int32_t rank)
{
  uint32_t bits = 0;
  for (int64_t i = 0; i < r->axes.ints.n; i++)
    bits |= 1u << (r->axes.ints.v[i] + (r->axes.ints.v[i] < 0 ? rank : 0));
  return r->axes.ints.n || r->noop ? bits : (1u << rank) - 1;
}

/* Elements behind each element of y. */
static inline int64_t terms(const reduce *r, const lrp_tensor *x)
{
  const uint32_t bits = reduced(r, x->rank);
  int64_t n = 1;
  for (int32_t i = 0; i < x->rank; i++)
    n *= bits >> i & 1 ? x->shape[i] : 1;
  return n;
}

static inline lrp_status infer(const lrp_host *h, lrp_ctx *ctx, const char *who, const reduce *r,
                               int empty, lrp_call *call)
{
  const lrp_tensor *x = &call->in[0];
  int64_t shape[LRP_MAX_RANK];
  int32_t rank = 0;
  uint32_t bits;
  lrp_status st = need_reals(h, ctx, who, x);
  if (!st) st = axis_bits(h, ctx, who, &r->axes, x->rank, &bits);
  if (st) return st;
  bits = reduced(r, x->rank);
  for (int32_t i = 0; i < x->rank; i++)
    if (!(bits >> i & 1) || r->keepdims) shape[rank++] = bits >> i & 1 ? 1 : x->shape[i];
  if (!empty && terms(r, x) == 0)
    return h->fail(ctx, LRP_E_SHAPE, "%s: there is nothing to reduce: an axis has no elements",
                   who);
  moved_describe(&call->out[0], x, rank, shape);
  if (call->n_saved) tensor_describe(&call->saved[0], LRP_INDEX, rank, shape);
  return LRP_OK;
}

/* Over x: tensor 0 is y, standing still along reduced axes, tensor 1 is x. */
static inline strided walk(const reduce *r, const lrp_tensor *x)
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

/* ---- operators ---- */

static inline lrp_status read_drop(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node,
                                   lrp_value *a)
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
static inline lrp_status read_any(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node,
                                  lrp_value *a)
{
  const lrp_status st = read_drop(h, ctx, node, a);
  if (st || a[KEEPDIMS].i) return st;
  const int32_t rank = h->node_rank(node, 0);
  const reduce r = {.axes = a[AXES], .noop = 1};
  const uint32_t bits = reduced(&r, rank);
  int32_t left = 0;
  for (int32_t i = 0; i < rank; i++)
    left += !(bits >> i & 1);
  if (rank < 3 || left < 2 || (!(bits & 1) && (left == 2 || !(bits & 2)))) return LRP_OK;
  return h->fail(ctx, LRP_E_UNSUPPORTED, "reduce: this form needs the model's order of axes");
}

#define TWIN(NAME, TWIN_NAME, LAYOUT, READ, ONNX, KIND, WHAT, VJP, DOC, ...)                       \
  static const lrp_operator NAME##_operators[] = {                                                 \
      {.domain = "", .name = ONNX, .since = 1, .inputs = "x -", .args = READ}, {0}};               \
  static const lrp_layer_type NAME##_type = {.struct_size = sizeof NAME##_type,                    \
                                             .kind = KIND,                                         \
                                             .layout = LAYOUT,                                     \
                                             .name = TWIN_NAME,                                    \
                                             .doc = DOC,                                           \
                                             .args = args,                                         \
                                             .in = ins,                                            \
                                             .out = outs,                                          \
                                             .operators = NAME##_operators,                        \
                                             .create = create,                                     \
                                             .destroy = free,                                      \
                                             .infer = WHAT##_infer,                                \
                                             .forward = WHAT##_forward,                            \
                                             .vjp = VJP,                                           \
                                             __VA_ARGS__};
#define TYPE(WHAT, ONNX, KIND, VJP, DOC, ...)                                                      \
  TWIN(WHAT, "reduce_" #WHAT, LRP_LAYOUT_AXES, read_any, ONNX, KIND, WHAT, VJP, DOC, __VA_ARGS__)  \
  TWIN(WHAT##_drop, "reduce_" #WHAT "_drop", LRP_LAYOUT_MODEL, read_drop, ONNX, KIND, WHAT, VJP,   \
       DOC ", in the model's order of axes", __VA_ARGS__)
#endif
