/* recurrent_shape.h - what a recurrent layer is given: shapes judged, arguments read.  Part of
 * recurrent.h. */
#ifndef LRP_PLUGINS_RECURRENT_SHAPE_H
#define LRP_PLUGINS_RECURRENT_SHAPE_H
#include "recurrent.h"

/* ---- shapes ---- */

static inline lrp_status check_weights(const lrp_host *h, lrp_ctx *ctx, const recurrent *r,
                                       const lrp_call *call)
{
  const lrp_tensor *w = &call->param[W], *u = &call->param[RW], *b = param_of(call, BIAS);
  const int64_t d = r->direction == BIDIRECTIONAL ? 2 : 1, blocks = r->cell->n_block;
  if (u->rank != 3 || u->shape[0] != d || u->shape[1] % blocks ||
      u->shape[1] / blocks != u->shape[2])
    return h->fail(ctx, LRP_E_SHAPE,
                   "%s: r must have shape (directions, %lld hidden, hidden) with %lld directions, "
                   "as (%lld,%lld,%lld)",
                   r->cell->name, (long long)blocks, (long long)d, (long long)u->shape[0],
                   (long long)u->shape[1], (long long)u->shape[2]);
  if (w->rank != 3 || w->shape[0] != d || w->shape[1] != u->shape[1])
    return h->fail(ctx, LRP_E_SHAPE, "%s: w must have shape (%lld,%lld,inputs)", r->cell->name,
                   (long long)d, (long long)u->shape[1]);
  if (b && (b->rank != 2 || b->shape[0] != d || b->shape[1] % 2 || b->shape[1] / 2 != u->shape[1]))
    return h->fail(ctx, LRP_E_SHAPE, "%s: b must have shape (%lld,2*%lld)", r->cell->name,
                   (long long)d, (long long)u->shape[1]);
  return LRP_OK;
}

static inline lrp_status check_inputs(const lrp_host *h, lrp_ctx *ctx, const recurrent *r,
                                      const lrp_call *call)
{
  const lrp_tensor *x = &call->in[X];
  if (x->rank != 3 || x->shape[2] != call->param[W].shape[2])
    return h->fail(ctx, LRP_E_SHAPE, "%s: x must have shape %s with %lld inputs", r->cell->name,
                   r->layout ? "(samples,steps,inputs)" : "(steps,samples,inputs)",
                   (long long)call->param[W].shape[2]);
  const dims n = dims_of(r, call);
  for (uint32_t i = LENS; i < call->n_in; i++) {
    const lrp_tensor *t = &call->in[i];
    const int state = i >= INITIAL;
    if (!t->rank && !t->data) /* absent */
      continue;
    if (!state && (t->rank != 1 || t->shape[0] != n.b || t->dtype != LRP_INDEX))
      return h->fail(ctx, LRP_E_SHAPE,
                     "%s: sequence_lens must have one length for each of %lld samples",
                     r->cell->name, (long long)n.b);
    if (state && (t->rank != 3 || t->shape[r->layout ? 1 : 0] != n.d ||
                  t->shape[r->layout ? 0 : 1] != n.b || t->shape[2] != n.h || t->dtype != LRP_REAL))
      return h->fail(
          ctx, LRP_E_SHAPE,
          "%s: an initial state must have shape (%s) = %d directions, %lld samples, %lld units",
          r->cell->name, r->layout ? "samples,directions,units" : "directions,samples,units", n.d,
          (long long)n.b, (long long)n.h);
  }
  return LRP_OK;
}

static inline lrp_status recurrent_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst,
                                         lrp_call *call)
{
  const recurrent *r = inst;
  const cell *c = r->cell;
  lrp_status st = need_reals(h, ctx, c->name, &call->in[X]);
  if (!st) st = check_weights(h, ctx, r, call);
  if (!st) st = check_inputs(h, ctx, r, call);
  if (st) return st;
  const dims n = dims_of(r, call);
  const int64_t y[2][4] = {{n.t, n.d, n.b, n.h}, {n.b, n.t, n.d, n.h}},
                last[2][3] = {{n.d, n.b, n.h}, {n.b, n.d, n.h}};
  tensor_describe(&call->out[0], LRP_REAL, 4, y[r->layout]);
  for (int v = 0; v < c->n_state; v++)
    tensor_describe(&call->out[1 + v], LRP_REAL, 3, last[r->layout]);
  const int64_t gates[] = {n.t, c->n_gate, n.d, n.b, n.h},
                shares[] = {n.t, 2 * c->n_mul, n.d, n.b, n.h};
  const int64_t trace[] = {n.t, c->n_value - c->n_state - c->n_gate, n.d, n.b, n.h};
  if (c->n_gate) {
    tensor_describe(&call->saved[GATES], LRP_REAL, 5, gates);
    tensor_describe(&call->saved[SHARES], LRP_REAL, 5, shares);
  }
  tensor_describe(&call->saved[trace_at(c)], LRP_REAL, 5, trace);
  return LRP_OK;
}

/* ---- arguments, operators ---- */

#define RECURRENT_ARGS                                                                             \
  {.name = "direction",                                                                            \
   .type = LRP_ARG_CHOICE,                                                                         \
   .choices = "forward|reverse|bidirectional",                                                     \
   .doc = "order of the steps; the default is ONNX's"},                                            \
  {                                                                                                \
    .name = "layout", .type = LRP_ARG_INT, .max = 1,                                               \
    .doc = "0: steps come first in x, 1: samples do; the default is ONNX's"                        \
  }

static inline lrp_status recurrent_make(const lrp_host *h, lrp_ctx *ctx, const cell *c,
                                        const lrp_value *a, void **inst)
{
  recurrent *r = malloc(sizeof *r);
  if (!r) return h->fail(ctx, LRP_E_NOMEM, "%s: no memory for an instance", c->name);
  *r = (recurrent){c, (int)a[DIRECTION].i, (int)a[LAYOUT].i};
  *inst = r;
  return LRP_OK;
}

/* Activation functions other than `want`, one for each direction and place, are refused by name. */
static inline lrp_status check_activations(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node,
                                           const char *const *want, int n)
{
  const char *f;
  for (int i = 0; (f = h->node_word(node, "activations", i)); i++)
    if (strcmp(f, want[i % n]))
      return h->fail(ctx, LRP_E_UNSUPPORTED,
                     "activation %d is %.40s; only %s is supported at this place", i, f,
                     want[i % n]);
  return LRP_OK;
}

static inline lrp_status recurrent_read(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node,
                                        lrp_value *a)
{
  static const char *const refused[] = {"clip", "activation_alpha", "activation_beta", NULL};
  const char *d = h->node_text(node, "direction", "forward");
  for (int i = 0; refused[i]; i++)
    if (h->node_has(node, refused[i]))
      return h->fail(ctx, LRP_E_UNSUPPORTED,
                     "attribute %s is not supported; export the model without it", refused[i]);
  a[DIRECTION].i = !strcmp(d, "forward")   ? FORWARD
                   : !strcmp(d, "reverse") ? REVERSE
                                           : BIDIRECTIONAL;
  if (a[DIRECTION].i == BIDIRECTIONAL && strcmp(d, "bidirectional"))
    return h->fail(ctx, LRP_E_INPUT,
                   "direction is \"%.40s\"; forward, reverse or bidirectional was expected", d);
  a[LAYOUT].i = h->node_int(node, "layout", 0);
  return LRP_OK;
}
#endif
