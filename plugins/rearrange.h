/* rearrange.h - what layers share that move elements without changing them: ports of any element type, lists and axes
 * read from nodes, and the two directions of a walk. */
#ifndef LRP_PLUGINS_REARRANGE_H
#define LRP_PLUGINS_REARRANGE_H
#include "strided.h"

static const lrp_port any_in[] = {{.name = "x", .role = LRP_PORT_DATA, .dtype = LRP_ANY_DTYPE}, LRP_PORTS_END};
static const lrp_port any_out[] = {{.name = "y", .role = LRP_PORT_DATA, .dtype = LRP_ANY_DTYPE}, LRP_PORTS_END};

/* y: the elements of x under another shape. */
static inline void moved_describe(lrp_tensor *y, const lrp_tensor *x, int32_t rank, const int64_t *shape)
{
  tensor_describe(y, x->dtype, rank, shape);
  y->flags = x->dtype == LRP_REAL ? x->flags & LRP_NONNEG : 0;
}

/* y = the elements of x, and the way back. */
static inline lrp_status copy_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const lrp_tensor *x = &call->in[0], *y = &call->out[0];
  (void)h, (void)ctx, (void)inst;
  if (x->data)
    memcpy(y->data, x->data, (size_t)lrp_count(y) * (y->dtype == LRP_INDEX ? sizeof(int64_t) : sizeof(lrp_real)));
  else
    tensor_zero(y);
  return LRP_OK;
}

static inline lrp_status copy_vjp(const lrp_host *h, lrp_ctx *ctx, const void *inst, const lrp_call *call,
                                  const lrp_tensor *out_bar, lrp_tensor *in_bar)
{
  (void)h, (void)ctx, (void)inst;
  if (!out_bar[0].data)
    tensor_zero(&in_bar[0]);
  if (in_bar[0].data && out_bar[0].data)
    memcpy(in_bar[0].data, out_bar[0].data, (size_t)lrp_count(&call->in[0]) * sizeof(lrp_real));
  return LRP_OK;
}

/* The walk the other way round: what was read is written. */
static inline strided strided_back(strided w)
{
  for (int32_t a = -1; a < w.rank; a++) {
    int64_t *v = a < 0 ? w.base : w.step[a], kept = v[0];
    v[0] = v[1];
    v[1] = kept;
  }
  return w;
}

/* A list that is an input since some opset and was an attribute before.  *given: it is there. */
static inline lrp_status read_list(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, const char *attribute,
                                   uint32_t input, lrp_value *out, int *given)
{
  const lrp_tensor *t = h->node_const(ctx, node, input);
  *given = attribute && h->node_has(node, attribute);
  if (*given) {
    *out = h->node_ints(node, attribute);
    return LRP_OK;
  }
  if (!t && h->node_rank(node, input) >= 0)
    return h->fail(ctx, LRP_E_UNSUPPORTED, "input %u depends on the model's input; a constant was expected", input);
  *given = t != NULL;
  if (!t)
    return LRP_OK;
  if (t->dtype != LRP_INDEX || t->rank > 1)
    return h->fail(ctx, LRP_E_INPUT, "input %u is no list of integers", input);
  out->ints.v = lrp_indices(t);
  out->ints.n = lrp_count(t);
  return LRP_OK;
}

/* 0, 1, ..., n-1: the axes that a missing list means. */
static inline lrp_status first_axes(const lrp_host *h, lrp_ctx *ctx, int64_t n, lrp_value *out)
{
  int64_t *v = h->keep_ints(ctx, n);
  if (!v)
    return LRP_E_NOMEM;
  for (int64_t i = 0; i < n; i++)
    v[i] = i;
  out->ints.v = v;
  out->ints.n = n;
  return LRP_OK;
}

/* Axes are judged before the host may rename them. */
static inline lrp_status check_axes(const lrp_host *h, lrp_ctx *ctx, const int64_t *axis, int64_t n, int64_t rank)
{
  for (int64_t i = 0; i < n; i++)
    if (axis[i] < -rank || axis[i] >= rank)
      return h->fail(ctx, LRP_E_INPUT, "axis %lld is outside of a tensor of rank %lld", (long long)axis[i],
                     (long long)rank);
  return LRP_OK;
}

/* Bit a of *bits is set for each axis a that is listed. */
static inline lrp_status axis_bits(const lrp_host *h, lrp_ctx *ctx, const char *who, const lrp_value *axes, int32_t rank,
                                   uint32_t *bits)
{
  *bits = 0;
  for (int64_t i = 0; i < axes->ints.n; i++) {
    const int64_t given = axes->ints.v[i], a = given < 0 ? given + rank : given;
    if (a < 0 || a >= rank)
      return h->fail(ctx, LRP_E_SHAPE, "%s: axis %lld is outside of a tensor of rank %d", who, (long long)given, rank);
    if (*bits >> a & 1)
      return h->fail(ctx, LRP_E_ARG, "%s: axis %lld is named twice", who, (long long)given);
    *bits |= 1u << a;
  }
  return LRP_OK;
}

/* Steps of a dense tensor, also along axes of size 1. */
static inline void dense_steps(const lrp_tensor *t, int64_t *step)
{
  int64_t s = 1;
  for (int32_t i = t->rank - 1; i >= 0; i--) {
    step[i] = s;
    s *= t->shape[i];
  }
}
#endif
