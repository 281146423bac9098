/* dense_conv.c - canonizer: a dense layer that the file writes as a convolution of one place becomes a dense layer, so that
 * it gets the rule of dense layers.
 *
 *     x (N,C,1,1) -> Conv, kernel 1 x 1, no padding, one group -> y (N,O,1,1)
 *  =>  x ----------> [dense] -----------------------------------> y
 *
 * Only where x is one place by construction, whatever the picture's size: a mean or maximum over all places, or rows
 * reshaped, perhaps behind activations, normalisations and other such layers:
 *
 *     GlobalAveragePool -> Conv -> Relu -> Conv          both become dense
 *     Conv -> Relu -> Conv on a picture of one pixel     both stay: on a larger picture they slide
 */
#include "bind.h"
#include "canonize.h"
#include "kernel.h"
#include <string.h>

static const char NAME[] = "dense_conv";

static bool is_op(const lrp_step *s, const char *name)
{
  return s->node && !s->node->onnx->domain[0] && !strcmp(s->op, name);
}

static bool one_place(const lrp_graph *g, int32_t edge)
{
  const lrp_edge *e = &g->edge[edge];
  bool one = e->t.rank >= 3;
  for (int32_t i = 1; i < e->t.rank; i++)
    one = one && (e->t.shape[i] == 1 || i == (e->moved ? e->t.rank - 1 : 1));
  return one;
}

static int64_t channels(const lrp_edge *e)
{
  return e->t.rank > 1 ? e->t.shape[e->moved ? e->t.rank - 1 : 1] : 0;
}

/* The tensor is one place by construction. */
static bool made_one(const lrp_graph *g, int32_t edge)
{
  while (edge >= 0 && one_place(g, edge) && g->edge[edge].step >= 0) {
    const lrp_step *s = &g->step[g->edge[edge].step];
    if (s->n_in < 1 || s->in[0] < 0) return false;
    const lrp_edge *x = &g->edge[s->in[0]];
    if (s->by == NAME || is_op(s, "GlobalAveragePool") || is_op(s, "GlobalMaxPool")) return true;
    if (is_op(s, "ReduceMean") || is_op(s, "ReduceMax"))
      return channels(x) == channels(&g->edge[edge]);
    if (is_op(s, "Reshape") || is_op(s, "Unsqueeze")) return x->t.rank <= 2;
    const uint32_t kind = s->type->kind;
    const bool on = s->n_in == 1 && (kind == LRP_KIND_ELEMENTWISE || kind == LRP_KIND_NORM ||
                                     is_op(s, "Identity") || is_op(s, "Dropout") ||
                                     (!s->node && kind == LRP_KIND_RESHAPE));
    if (!on) return false;
    edge = s->in[0];
  }
  return false;
}

static bool fits(const lrp_graph *g, const lrp_step *s)
{
  if (s->dead || !is_op(s, "Conv") || s->n_in != 1 || s->in[0] < 0 || s->out[0] < 0 ||
      s->n_param != 2 || !s->param[0].data)
    return false;
  const lrp_value pads = lrp_the_host.node_ints(s->node, "pads");
  bool plain = g->edge[s->in[0]].moved && s->param[0].shape[1] == channels(&g->edge[s->in[0]]);
  for (int64_t i = 0; i < pads.ints.n; i++)
    plain = plain && pads.ints.v[i] == 0;
  for (int32_t i = 2; i < s->param[0].rank; i++)
    plain = plain && s->param[0].shape[i] == 1;
  return plain && made_one(g, s->in[0]) && one_place(g, s->out[0]);
}

/* "trans": the kernel is stored (O,C). */
static lrp_status make_args(lrp_ctx *ctx, lrp_graph *g, lrp_step *s)
{
  lrp_status st = lrp_import_values(ctx, g, s->type, &s->args);
  for (uint32_t i = 0; !st && s->type->args[i].type != LRP_ARG_END; i++)
    if (!strcmp(s->type->args[i].name, "trans")) s->args[i].i = 1;
  s->args_text = "trans=on";
  return st ? st : s->type->create(&lrp_the_host, ctx, s->args, &s->inst);
}

static lrp_status make_dense(lrp_ctx *ctx, lrp_graph *g, int32_t id, const lrp_layer_type *dense)
{
  const int32_t made = lrp_step_new(ctx, g);
  if (made < 0) return LRP_E_NOMEM;
  lrp_step *s = &g->step[made], *from = &g->step[id];
  s->type = dense;
  s->op = from->op;
  s->name = from->name;
  s->note = "a convolution of one place";
  s->by = NAME;
  lrp_status st = lrp_step_ports(ctx, g, s, 1, 2, 1);
  if (!st) st = make_args(ctx, g, s);
  if (st) return st;
  s->in[0] = from->in[0];
  for (uint32_t i = 0; !st && i < 2; i++) {
    s->param[i] = from->param[i];
    s->param[i].host = NULL;
    if (i == 0) s->param[i].rank = 2;
    if (s->param[i].data) st = lrp_pack_attach(ctx, &s->param[i]);
  }
  if (!st) st = lrp_step_infer(ctx, g, s);
  if (st) return st;
  s->out[0] = from->out[0];
  g->edge[s->out[0]].step = made;
  g->edge[s->out[0]].t.flags = s->out_t[0].flags;
  from->dead = true;
  from->into = made + 1;
  from->by = NAME;
  return LRP_OK;
}

lrp_status lrp_dense_conv(lrp_ctx *ctx, lrp_graph *g)
{
  const lrp_layer_type *dense = lrp_the_host.layer(ctx, "dense");
  bool done = false;
  lrp_status st = LRP_OK;
  for (int32_t k = 0; !st && dense && k < g->n_order; k++) {
    const int32_t id = g->order[k];
    if (!fits(g, &g->step[id])) continue;
    st = make_dense(ctx, g, id, dense);
    if (st) lrp_fail_at(ctx, st, "node \"%s\" as a dense layer: ", g->step[id].name);
    done = true;
  }
  return st || !done ? st : lrp_graph_sort(ctx, g);
}
