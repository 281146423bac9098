/* survey.c - everything that keeps a model from being explained, at once: nodes that no layer type takes, and
 * nodes that the composite gives no rule to.
 *
 *     x -> [known] -> Strange -> Softmax -> y
 *
 * What stands behind a node without a layer type has no shapes.  There the layer type is guessed from the
 * operator and from which inputs are constant, which is all that most lines of composites ask for. */
#include "bind.h"
#include "canonize.h"
#include <stdio.h>
#include <string.h>

/* Stands for a node whose layer type is not known: it asks for no rule. */
static const lrp_port ANY[] = {
    {.name = "x", .role = LRP_PORT_DATA, .dtype = LRP_ANY_DTYPE, .flags = LRP_PORT_MANY},
    LRP_PORTS_END};
static const lrp_layer_type UNKNOWN = {.struct_size = sizeof UNKNOWN,
                                       .kind = LRP_KIND_RESHAPE,
                                       .name = "unknown",
                                       .doc = "a node without a layer type",
                                       .in = ANY,
                                       .out = ANY};

/* As when it is imported, the type that binds most constants; NULL: none takes such inputs. */
static const lrp_layer_type *guess(lrp_ctx *ctx, const lrp_graph *g, const lrp_onnx_node *node,
                                   int32_t opset, const int32_t *edge, lrp_binding *b)
{
  for (int32_t most = LRP_BIND_PARAM; most >= 0; most--)
    for (int64_t k = 0; k < lrp_n_layer(ctx); k++) {
      const lrp_layer_type *type = lrp_layer_at(ctx, k);
      for (const lrp_operator *op = type->operators; op && op->name; op++)
        if (!op->expand && lrp_operator_fits(op, node, opset) &&
            lrp_bind(g, type, op, edge, (uint32_t)node->n_in, b) && (int32_t)b->consts == most)
          return type;
    }
  return NULL;
}

static lrp_status connect(lrp_ctx *ctx, lrp_graph *g, const lrp_onnx_node *node, int32_t id)
{
  for (int32_t i = 0; i < node->n_out; i++) {
    const int32_t e = lrp_edge_new(ctx, g, node->out[i]);
    if (e < 0) return LRP_E_NOMEM;
    g->edge[e].step = id;
    g->edge[e].port = i;
    g->edge[e].unknown = true;
    g->edge[e].t = (lrp_tensor){.dtype = LRP_REAL};
    g->step[id].out[i] = e;
  }
  return LRP_OK;
}

lrp_status lrp_survey_step(lrp_ctx *ctx, lrp_graph *g, const lrp_onnx_node *node, int32_t opset,
                           const char *name, const int32_t *edge, int32_t *id)
{
  lrp_binding *b = lrp_arena_alloc(&ctx->scratch, sizeof *b);
  *id = b ? lrp_step_new(ctx, g) : -1;
  if (*id < 0) return lrp_nomem(ctx, "the graph");
  const lrp_layer_type *type = guess(ctx, g, node, opset, edge, b);
  lrp_step *s = &g->step[*id];
  s->type = type ? type : &UNKNOWN;
  s->op = node->op;
  s->name = name;
  const uint32_t n = type ? b->n_in : (uint32_t)node->n_in, ports = lrp_count_ports(s->type->out);
  const uint32_t n_out = (uint32_t)node->n_out > ports ? (uint32_t)node->n_out : ports;
  const lrp_status st = lrp_step_ports(ctx, g, s, n, 0, n_out);
  if (st) return st;
  memcpy(s->in, type ? b->in : edge, n * sizeof *s->in);
  for (uint32_t i = 1; i < n; i++)
    if (lrp_port_of(s, i)->role == LRP_PORT_CARRIER) s->carrier_of[i] = s->in[i - 1];
  return connect(ctx, g, node, *id);
}

/* What final_softmax would explain: a softmax at the end needs no rule. */
static void find_scores(lrp_graph *g)
{
  int32_t by = g->edge[g->output[0]].step;
  while (by >= 0 && g->step[by].type->kind == LRP_KIND_RESHAPE && g->step[by].type != &UNKNOWN &&
         g->step[by].n_in && g->step[by].in[0] >= 0)
    by = g->edge[g->step[by].in[0]].step;
  if (by >= 0 && g->step[by].type->kind == LRP_KIND_SOFTMAX && g->step[by].in[0] >= 0)
    g->score = g->step[by].in[0];
}

/* The list of what has no rule, behind that of what has no type. */
static lrp_status both(lrp_ctx *ctx, lrp_graph *g, const char *canonize, const lrp_composite *c,
                       const char *refused)
{
  if (lrp_canonizer_wanted(canonize, "final_softmax", false)) find_scores(g);
  lrp_status st = lrp_graph_sort(ctx, g);
  if (!st) st = lrp_fuse(ctx, g, canonize);
  if (!st) st = lrp_graph_assign(ctx, g, c);
  if (st && st != LRP_E_UNSUPPORTED) return st;
  const char *rules = st ? lrp_arena_text(&g->arena, ctx->message, strlen(ctx->message)) : NULL;
  return rules ? lrp_fail(ctx, LRP_E_UNSUPPORTED,
                          "%s\nand, as far as can be told behind such nodes, %s", refused, rules)
               : lrp_fail(ctx, LRP_E_UNSUPPORTED, "%s", refused);
}

lrp_status lrp_graph_survey(lrp_ctx *ctx, const lrp_model *model, const lrp_input *input,
                            const char *canonize, const lrp_composite *composite)
{
  lrp_graph *g;
  const char *refused = NULL;
  lrp_status st = lrp_graph_new(ctx, model, &g);
  if (st) return st;
  lrp_arena *const keep = ctx->keep;
  ctx->keep = &g->arena;
  st = lrp_import_all(ctx, g, &model->onnx, input, &refused);
  if (refused)
    st = st ? lrp_fail(ctx, LRP_E_UNSUPPORTED, "%s", refused)
            : both(ctx, g, canonize, composite, refused);
  ctx->keep = keep;
  lrp_arena_release(&ctx->scratch, (lrp_mark){0});
  lrp_graph_free(g);
  return st;
}
