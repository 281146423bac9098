/* import_step.c - one step made of a layer type and the edges bound to its ports: arguments, order of
 * axes, instance, shapes. */
#include "bind.h"
#include "kernel.h"
#include <string.h>

typedef struct maker {
  lrp_ctx *ctx;
  lrp_graph *g;
} maker;

static lrp_status bind_params(maker *m, lrp_step *s, const lrp_binding *b)
{
  for (uint32_t i = 0; i < b->n_param; i++) {
    if (b->param[i] < 0) continue;
    s->param[i] = m->g->edge[b->param[i]].t;
    s->param[i].host = NULL;
    if (s->param[i].dtype != (int32_t)s->type->param[i].dtype)
      return lrp_fail(m->ctx, LRP_E_UNSUPPORTED,
                      "parameter \"%s\" has another element type than the layer takes",
                      s->type->param[i].name);
    const lrp_status st = lrp_pack_attach(m->ctx, &s->param[i]);
    if (st) return st;
  }
  return LRP_OK;
}

static void bind_carriers(lrp_step *s)
{
  for (uint32_t i = 1; i < s->n_in; i++)
    if (lrp_port_of(s, i)->role == LRP_PORT_CARRIER) s->carrier_of[i] = s->in[i - 1];
}

static lrp_status describe_args(maker *m, lrp_step *s)
{
  const int n = s->type->args ? lrp_args_print(s->type->args, s->args, NULL, 0) : 0;
  char *text = n > 0 ? lrp_arena_alloc(&m->g->arena, (size_t)n + 1) : NULL;
  if (text) {
    lrp_args_print(s->type->args, s->args, text, (size_t)n + 1);
    s->args_text = text;
  }
  return LRP_OK;
}

lrp_status lrp_import_values(lrp_ctx *ctx, lrp_graph *g, const lrp_layer_type *type,
                             lrp_value **out)
{
  const lrp_arg *decl = type->args;
  const uint32_t n = decl ? lrp_args_count(decl) : 0;
  lrp_value *args = lrp_arena_alloc(&g->arena, (n + 1) * sizeof *args);
  if (!args) return lrp_nomem(ctx, "the graph");
  for (uint32_t i = 0; i < n; i++)
    if (decl[i].type == LRP_ARG_REAL)
      args[i].real = decl[i].def;
    else if (decl[i].type < LRP_ARG_REALS)
      args[i].i = (int64_t)decl[i].def;
  *out = args;
  return LRP_OK;
}

/* The layer's arguments: defaults, then what the operator reads from the node. */
static lrp_status make_args(maker *m, const lrp_candidate *c, lrp_value **out)
{
  const lrp_node reader = {.onnx = c->node, .graph = m->g, .edge = c->edge, .opset = c->opset};
  lrp_status st = lrp_import_values(m->ctx, m->g, c->type, out);
  if (!st && c->op->args) st = c->op->args(&lrp_the_host, m->ctx, &reader, *out);
  if (!st && c->type->args) st = lrp_args_check(m->ctx, c->type->name, c->type->args, *out);
  return st == LRP_E_ARG ? LRP_E_INPUT : st; /* the file's fault, not the user's */
}

/* The node as the file has it, for as long as the graph lives. */
static const lrp_node *keep_node(maker *m, const lrp_candidate *c)
{
  const size_t n = (size_t)c->node->n_in;
  lrp_node *node = lrp_arena_alloc(&m->g->arena, sizeof *node);
  int32_t *edge = lrp_arena_alloc(&m->g->arena, (n + 1) * sizeof *edge);
  if (!node || !edge) return NULL;
  memcpy(edge, c->edge, n * sizeof *edge);
  *node = (lrp_node){.onnx = c->node, .graph = m->g, .edge = edge, .opset = c->opset};
  return node;
}

static lrp_status fill_step(maker *m, const lrp_candidate *c, lrp_step *s, const int32_t *in)
{
  const uint32_t ports = lrp_count_ports(c->type->out);
  const uint32_t n_out =
      c->node && (uint32_t)c->node->n_out > ports ? (uint32_t)c->node->n_out : ports;
  lrp_status st = lrp_step_ports(m->ctx, m->g, s, c->bound.n_in, c->bound.n_param, n_out);
  if (!st && c->type->create) st = c->type->create(&lrp_the_host, m->ctx, s->args, &s->inst);
  if (st) return st;
  memcpy(s->in, in, c->bound.n_in * sizeof *in);
  bind_carriers(s);
  st = bind_params(m, s, &c->bound);
  if (!st) st = lrp_step_infer(m->ctx, m->g, s);
  return st ? st : describe_args(m, s);
}

/* The order of axes that the layer sees.  Element-wise layers broadcast parameters too: they are
 * moved with the inputs. */
static lrp_status apply_layout(maker *m, lrp_candidate *c, int32_t *in, lrp_value *args)
{
  const uint32_t n = c->bound.n_in,
                 params = c->type->layout == LRP_LAYOUT_ANY ? c->bound.n_param : 0;
  memcpy(in, c->bound.in, n * sizeof *in);
  memcpy(in + n, c->bound.param, params * sizeof *in);
  const lrp_status st = lrp_layout_apply(m->ctx, m->g, c->type, in, n + params, args, &c->moved);
  memcpy(c->bound.param, in + n, params * sizeof *in);
  return st;
}

void lrp_import_undo(lrp_graph *g, int32_t id)
{
  lrp_step *s = &g->step[id];
  for (uint32_t i = 0; s->param && i < s->n_param; i++)
    lrp_pack_free(&s->param[i]);
  if (s->inst && s->type->destroy) s->type->destroy(s->inst);
  g->n_step = id;
}

/* Layout, instance, shapes. */
static lrp_status make_step(maker *m, lrp_candidate *c, lrp_value *args, const char *name,
                            const char *op)
{
  lrp_graph *g = m->g;
  int32_t *in = lrp_arena_alloc(&g->arena, (c->bound.n_in + c->bound.n_param + 1) * sizeof *in);
  if (!in) return lrp_nomem(m->ctx, "the graph");
  lrp_status st = apply_layout(m, c, in, args);
  const int32_t id = st ? -1 : lrp_step_new(m->ctx, g);
  if (id < 0) return st ? st : LRP_E_NOMEM;
  lrp_step *s = &g->step[id];
  s->type = c->type;
  s->op = op;
  s->args = args;
  s->name = name;
  st = fill_step(m, c, s, in);
  if (st) lrp_import_undo(g, id);
  c->step = id;
  return st;
}

lrp_status lrp_import_try(lrp_ctx *ctx, lrp_graph *g, lrp_candidate *c, const char *name)
{
  maker m = {ctx, g};
  lrp_value *args = NULL;
  lrp_status st = make_args(&m, c, &args);
  if (!st) st = make_step(&m, c, args, name, c->node->op);
  if (!st && !(g->step[c->step].node = keep_node(&m, c))) st = lrp_nomem(ctx, "the graph");
  return st;
}

lrp_status lrp_import_layer(lrp_ctx *ctx, lrp_graph *g, const lrp_layer_type *type,
                            const lrp_binding *b, lrp_value *args, const char *name, const char *op,
                            int32_t *step, bool *moved)
{
  maker m = {ctx, g};
  lrp_candidate *c = lrp_arena_alloc(&ctx->scratch, sizeof *c);
  if (!c) return lrp_nomem(ctx, "the graph");
  *c = (lrp_candidate){.type = type, .bound = *b};
  const lrp_status st = make_step(&m, c, args, name, op);
  *step = c->step;
  *moved = c->moved;
  return st;
}
