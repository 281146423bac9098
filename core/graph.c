/* graph.c - edges and steps: making them, inferring shapes, running one step, ordering them all. */
#include "graph.h"
#include "kernel.h"
#include "params.h"
#include "samples.h"
#include <stdlib.h>
#include <string.h>

int32_t lrp_edge_new(lrp_ctx *ctx, lrp_graph *g, const char *name)
{
  if (g->n_edge == g->cap_edge) {
    const int32_t cap = g->cap_edge ? 2 * g->cap_edge : 128;
    lrp_edge *grown = realloc(g->edge, (size_t)cap * sizeof *grown);
    if (!grown) return (void)lrp_nomem(ctx, "the graph"), -1;
    g->edge = grown;
    g->cap_edge = cap;
  }
  g->edge[g->n_edge] = (lrp_edge){.name = name, .step = -1, .twin = -1, .view_of = -1};
  return g->n_edge++;
}

int32_t lrp_step_new(lrp_ctx *ctx, lrp_graph *g)
{
  if (g->n_step == g->cap_step) {
    const int32_t cap = g->cap_step ? 2 * g->cap_step : 128;
    lrp_step *grown = realloc(g->step, (size_t)cap * sizeof *grown);
    if (!grown) return (void)lrp_nomem(ctx, "the graph"), -1;
    g->step = grown;
    g->cap_step = cap;
  }
  g->step[g->n_step] =
      (lrp_step){.name = "", .op = "", .note = "", .args_text = "", .rule_text = "", .matcher = ""};
  return g->n_step++;
}

/* Room for a step's ports. */
lrp_status lrp_step_ports(lrp_ctx *ctx, lrp_graph *g, lrp_step *s, uint32_t n_in, uint32_t n_param,
                          uint32_t n_out)
{
  lrp_arena *a = &g->arena;
  s->n_in = n_in;
  s->n_param = n_param;
  s->n_out = n_out;
  s->n_saved = s->type->n_saved;
  s->in = lrp_arena_alloc(a, (n_in + 1) * sizeof *s->in);
  s->carrier_of = lrp_arena_alloc(a, (n_in + 1) * sizeof *s->carrier_of);
  s->out = lrp_arena_alloc(a, (n_out + 1) * sizeof *s->out);
  s->param = lrp_arena_alloc(a, (n_param + 1) * sizeof *s->param);
  s->saved = lrp_arena_alloc(a, (s->n_saved + 1) * sizeof *s->saved);
  s->in_t = lrp_arena_alloc(a, (n_in + 1) * sizeof *s->in_t);
  s->out_t = lrp_arena_alloc(a, (n_out + 1) * sizeof *s->out_t);
  s->variant = lrp_arena_alloc(a, (n_param + 1) * sizeof *s->variant);
  if (!s->in || !s->carrier_of || !s->out || !s->param || !s->saved || !s->in_t || !s->out_t ||
      !s->variant)
    return lrp_nomem(ctx, "the graph");
  for (uint32_t i = 0; i < n_in; i++)
    s->in[i] = s->carrier_of[i] = -1;
  for (uint32_t i = 0; i < n_out; i++)
    s->out[i] = -1;
  return LRP_OK;
}

/* The call sees copies of the edges' tensors; a carrier has the shape of its ids, data NULL meaning ones. */
void lrp_step_bind(lrp_graph *g, lrp_step *s)
{
  for (uint32_t i = 0; i < s->n_in; i++) {
    if (s->in[i] >= 0) {
      s->in_t[i] = g->edge[s->in[i]].t;
    } else if (s->carrier_of[i] >= 0) {
      s->in_t[i] = g->edge[s->carrier_of[i]].t;
      s->in_t[i].dtype = LRP_REAL;
      s->in_t[i].flags = LRP_NONNEG;
      s->in_t[i].data = (void *)(uintptr_t)g->carrier;
      s->in_t[i].host = NULL;
    }
  }
  s->call = (lrp_call){.struct_size = sizeof s->call,
                       .n_in = s->n_in,
                       .n_param = s->n_param,
                       .n_out = s->n_out,
                       .n_saved = s->n_saved,
                       .in = s->in_t,
                       .param = s->param,
                       .out = s->out_t,
                       .saved = s->saved};
}

static lrp_status check_inferred(lrp_ctx *ctx, const lrp_step *s, const lrp_tensor *t,
                                 const char *what)
{
  size_t bytes;
  if (t->rank < 0 || t->rank > LRP_MAX_RANK)
    return lrp_fail(ctx, LRP_E_SHAPE, "layer \"%s\" gives %s of rank %d, at most %d is possible",
                    s->type->name, what, t->rank, LRP_MAX_RANK);
  return lrp_tensor_bytes(ctx, t, &bytes);
}

lrp_status lrp_step_infer(lrp_ctx *ctx, lrp_graph *g, lrp_step *s)
{
  lrp_step_bind(g, s);
  lrp_status st = s->type->infer(&lrp_the_host, ctx, s->inst, &s->call);
  s->n_out = s->call.n_out;
  for (uint32_t i = 0; !st && i < s->n_out; i++)
    st = check_inferred(ctx, s, &s->out_t[i], "an output");
  for (uint32_t i = 0; !st && i < s->n_saved; i++)
    st = check_inferred(ctx, s, &s->saved[i], "a saved tensor");
  return st;
}

static lrp_status buffer_for(lrp_ctx *ctx, lrp_graph *g, lrp_tensor *t)
{
  size_t bytes;
  const lrp_status st = lrp_tensor_bytes(ctx, t, &bytes);
  if (st) return st;
  t->data = lrp_pool_get(ctx, g->pool, bytes, false);
  return t->data ? LRP_OK : LRP_E_NOMEM;
}

lrp_status lrp_step_run(lrp_ctx *ctx, lrp_graph *g, lrp_step *s, bool lean)
{
  lrp_step_bind(g, s);
  lrp_status st = LRP_OK;
  if (lean && s->out[0] >= 0 && g->edge[s->out[0]].view_of >= 0) {
    s->out_t[0].data = g->edge[s->out[0]].t.data = s->in_t[0].data;
    return LRP_OK;
  }
  for (uint32_t i = 0; !st && i < s->n_out; i++) {
    st = buffer_for(ctx, g, &s->out_t[i]);
    if (!st && s->out[i] >= 0) {
      g->edge[s->out[i]].t.data = s->out_t[i].data;
      g->edge[s->out[i]].owned = true;
    }
  }
  for (uint32_t i = 0; !st && i < s->n_saved; i++)
    if (!s->saved[i].data && lrp_saves(s->type, s->freeze, i)) st = buffer_for(ctx, g, &s->saved[i]);
  if (st) return st;
  const lrp_mark mark = lrp_arena_mark(&ctx->scratch);
  st = lean && s->rows ? lrp_rows_forward(ctx, s->type, s->inst, &s->call, s->rows)
                       : s->type->forward(&lrp_the_host, ctx, s->inst, &s->call);
  g->lean = g->lean || (lean && s->rows);
  lrp_arena_release(&ctx->scratch, mark);
  for (uint32_t i = 0; i < s->n_out; i++)
    if (s->out[i] < 0 && s->out_t[i].data) {
      lrp_pool_put(g->pool, s->out_t[i].data);
      s->out_t[i].data = NULL;
    }
  return st ? lrp_fail_at(ctx, st, "node \"%s\" (%s): ", s->name, s->op) : LRP_OK;
}

lrp_status lrp_step_save(lrp_ctx *ctx, lrp_graph *g, lrp_step *s)
{
  bool missing = false;
  lrp_status st = LRP_OK;
  for (uint32_t i = 0; !st && i < s->n_saved; i++)
    if (!s->saved[i].data && lrp_saves(s->type, s->freeze, i)) {
      missing = true;
      st = buffer_for(ctx, g, &s->saved[i]);
    }
  if (st || !missing) return st;
  const lrp_mark mark = lrp_arena_mark(&ctx->scratch);
  lrp_call again = s->call; /* its output once more, which nobody reads */
  again.freeze = 0;
  again.out = lrp_arena_alloc(&ctx->scratch, (s->n_out + 1) * sizeof *again.out);
  if (!again.out) return lrp_nomem(ctx, "operands that are frozen");
  for (uint32_t i = 0; !st && i < s->n_out; i++)
    st = lrp_scratch_raw(ctx, &s->out_t[i], &again.out[i]);
  if (!st) st = s->type->forward(&lrp_the_host, ctx, s->inst, &again);
  lrp_arena_release(&ctx->scratch, mark);
  return st;
}

void lrp_edge_release(lrp_graph *g, int32_t e)
{
  lrp_edge *edge = &g->edge[e];
  if (edge->owned) {
    lrp_pool_put(g->pool, edge->t.data);
    edge->t.data = NULL;
    edge->owned = false;
  }
}

/* ---- order, liveness ---- */

/* Steps that no output needs die. */
static void mark_needed(lrp_graph *g, bool *needed, int32_t *stack)
{
  int32_t n = 0;
  for (int32_t i = 0; i < g->n_output; i++)
    if (g->edge[g->output[i]].step >= 0) stack[n++] = g->edge[g->output[i]].step;
  if (g->score >= 0 && g->edge[g->score].step >= 0) stack[n++] = g->edge[g->score].step;
  for (int32_t i = 0; i < n; i++)
    needed[stack[i]] = true;
  while (n > 0) {
    const lrp_step *s = &g->step[stack[--n]];
    for (uint32_t i = 0; i < s->n_in; i++) {
      const int32_t by = s->in[i] >= 0 ? g->edge[s->in[i]].step : -1;
      if (by >= 0 && !needed[by]) {
        needed[by] = true;
        stack[n++] = by;
      }
    }
  }
}

/* A step's outputs are live where an input that may carry relevance is: DATA from a live edge, or a
 * carrier. */
static bool step_live(const lrp_graph *g, const lrp_step *s)
{
  for (uint32_t i = 0; i < s->n_in; i++) {
    if (s->carrier_of[i] >= 0 && g->edge[s->carrier_of[i]].live) return true;
    const lrp_edge *e = s->in[i] >= 0 ? &g->edge[s->in[i]] : NULL;
    if (!e || !e->live || lrp_port_of(s, i)->role != LRP_PORT_DATA) continue;
    if (e->t.dtype == LRP_REAL || s->type->kind == LRP_KIND_RESHAPE) return true;
  }
  return false;
}

static void mark_live(lrp_graph *g)
{
  for (int32_t i = 0; i < g->n_edge; i++)
    g->edge[i].live = g->edge[i].is_input && !g->edge[i].is_const;
  for (int32_t k = 0; k < g->n_order; k++) {
    const lrp_step *s = &g->step[g->order[k]];
    const bool live = step_live(g, s);
    for (uint32_t i = 0; i < s->n_out; i++)
      if (s->out[i] >= 0) g->edge[s->out[i]].live = live;
  }
}

/* Wanted: live, and above it the scores.  Only these steps need a rule. */
static void mark_wanted(lrp_graph *g, bool *edge_wanted)
{
  for (int32_t i = 0; i < g->n_step; i++)
    g->step[i].wanted = false;
  edge_wanted[g->score] = true;
  for (int32_t k = g->n_order; k-- > 0;) {
    lrp_step *s = &g->step[g->order[k]];
    for (uint32_t i = 0; i < s->n_out; i++)
      if (s->out[i] >= 0 && edge_wanted[s->out[i]] && g->edge[s->out[i]].live) s->wanted = true;
    for (uint32_t i = 0; s->wanted && i < s->n_in; i++)
      if (s->in[i] >= 0 && g->edge[s->in[i]].live && lrp_port_of(s, i)->role == LRP_PORT_DATA)
        edge_wanted[s->in[i]] = true;
      else if (s->carrier_of[i] >= 0)
        edge_wanted[s->carrier_of[i]] = true;
  }
}

/* The step that must run before s and is not in order[] yet, -1: none.  waiting[] is false for
 * those that are. */
static int32_t runs_before(const lrp_graph *g, const lrp_step *s, const bool *waiting)
{
  for (uint32_t i = 0; i < s->n_in; i++) {
    const int32_t by = s->in[i] >= 0 ? g->edge[s->in[i]].step : -1;
    if (by >= 0 && waiting[by]) return by;
  }
  return -1;
}

/* Put a step into order[], what it reads first: a fused step is made last, but stands where its
 * parts were. */
static void put_in_order(lrp_graph *g, int32_t id, bool *waiting, int32_t *stack)
{
  int32_t n = 0;
  stack[n++] = id;
  while (n > 0) {
    const int32_t top = stack[n - 1], before = runs_before(g, &g->step[top], waiting);
    if (before >= 0 && n < g->n_step) {
      stack[n++] = before;
      continue;
    }
    g->order[g->n_order++] = top;
    waiting[top] = false;
    n--;
  }
}

/* Steps are made in an order that is already topological, but for those that canonizers add at the
 * end. */
lrp_status lrp_graph_sort(lrp_ctx *ctx, lrp_graph *g)
{
  const size_t n = (size_t)g->n_step + 1;
  const lrp_mark mark = lrp_arena_mark(&ctx->scratch);
  bool *needed = lrp_arena_alloc(&ctx->scratch, n * sizeof *needed);
  int32_t *stack = lrp_arena_alloc(&ctx->scratch, n * sizeof *stack + 64 * sizeof(int32_t));
  bool *edge_wanted = lrp_arena_alloc(&ctx->scratch, (size_t)g->n_edge + 1);
  int32_t *order = realloc(g->order, n * sizeof *order);
  if (order) g->order = order;
  if (!needed || !stack || !edge_wanted || !order) {
    lrp_arena_release(&ctx->scratch, mark);
    return lrp_nomem(ctx, "the graph");
  }
  mark_needed(g, needed, stack);
  g->n_order = 0;
  for (int32_t i = 0; i < g->n_step; i++) {
    g->step[i].dead = g->step[i].dead || !needed[i];
    needed[i] = !g->step[i].dead; /* from here on: waiting */
  }
  for (int32_t i = 0; i < g->n_step; i++)
    if (needed[i]) put_in_order(g, i, needed, stack);
  mark_live(g);
  mark_wanted(g, edge_wanted);
  lrp_arena_release(&ctx->scratch, mark);
  return LRP_OK;
}

/* ---- life of a graph ---- */

static void step_free(lrp_graph *g, lrp_step *s)
{
  lrp_step_params_free(s);
  for (uint32_t i = 0; i < s->n_param; i++)
    lrp_pack_free(&s->param[i]);
  if (s->inst && s->type->destroy) s->type->destroy(s->inst);
  s->inst = NULL;
  (void)g;
}

void lrp_graph_free(lrp_graph *g)
{
  if (!g) return;
  for (int32_t i = 0; i < g->n_step; i++)
    step_free(g, &g->step[i]);
  lrp_pool_free(g->pool);
  free(g->edge);
  free(g->step);
  free(g->order);
  lrp_arena_free(&g->arena);
  free(g);
}

lrp_status lrp_graph_new(lrp_ctx *ctx, const lrp_model *model, lrp_graph **out)
{
  lrp_graph *g = calloc(1, sizeof *g);
  if (!g || !(g->pool = lrp_pool_new())) {
    free(g);
    return lrp_nomem(ctx, "the graph");
  }
  g->model = model;
  g->score = -1;
  *out = g;
  return LRP_OK;
}

lrp_status lrp_graph_build(lrp_ctx *ctx, const lrp_model *model, const lrp_input *input,
                           const char *canonize, lrp_graph **out)
{
  lrp_graph *g;
  *out = NULL;
  lrp_status st = lrp_graph_new(ctx, model, &g);
  if (st) return st;
  lrp_arena *const keep = ctx->keep;
  ctx->keep = &g->arena;
  const int32_t precision = ctx->precision; /* constants are folded once, whatever comes */
  ctx->precision = LRP_PRECISION_F32;
  st = lrp_import(ctx, g, &model->onnx, input);
  if (!st) st = lrp_graph_sort(ctx, g);
  if (!st) st = lrp_canonize(ctx, g, canonize);
  if (!st) st = lrp_graph_sort(ctx, g);
  if (!st) st = lrp_graph_samples(ctx, g);
  if (!st) st = lrp_graph_results(ctx, g);
  if (!st) lrp_graph_view_scores(g);
  for (int32_t i = 0; !st && i < model->onnx.n_file; i++) /* much of it was merged into other weights */
    lrp_file_unload(&model->onnx.file[i].file);
  ctx->keep = keep;
  ctx->precision = precision;
  lrp_arena_release(&ctx->scratch, (lrp_mark){0});
  if (st) {
    lrp_graph_free(g);
    return st;
  }
  *out = g;
  return LRP_OK;
}

int64_t lrp_graph_n_node(const lrp_graph *g)
{
  return g->n_order;
}

int64_t lrp_graph_n_batch(const lrp_graph *g)
{
  return g->batch;
}

static lrp_node_view view_of(const lrp_graph *g, const lrp_step *s)
{
  lrp_node_view v = {.name = s->name,
                     .op = s->op,
                     .layer = s->type,
                     .args = s->args_text,
                     .rule = s->rule_text,
                     .matcher = s->matcher,
                     .note = s->note,
                     .out = &s->out_t[0]};
  for (uint32_t k = 0; k < s->n_out; k++)
    if (s->out[k] >= 0) {
      v.out = &s->out_t[k];
      v.channels_last = g->edge[s->out[k]].moved;
      break;
    }
  for (uint32_t k = 0; k < s->n_param; k++)
    v.n_param += s->param[k].data ? lrp_count(&s->param[k]) : 0;
  return v;
}

lrp_node_view lrp_graph_node(const lrp_graph *g, int64_t i)
{
  return view_of(g, &g->step[g->order[i]]);
}

int64_t lrp_graph_n_gone(const lrp_graph *g)
{
  int64_t n = 0;
  for (int32_t i = 0; i < g->n_step; i++)
    n += g->step[i].into > 0;
  return n;
}

lrp_node_view lrp_graph_gone(const lrp_graph *g, int64_t i, const char **canonizer, int64_t *into,
                             int32_t *behind)
{
  int32_t id = 0, to;
  while (g->step[id].into <= 0 || i-- > 0)
    id++;
  for (to = g->step[id].into - 1; g->step[to].into > 0;)
    to = g->step[to].into - 1;
  *canonizer = g->step[id].by;
  *behind = id > to;
  *into = -1;
  for (int32_t k = 0; k < g->n_order; k++)
    if (g->order[k] == to) *into = k;
  return view_of(g, &g->step[id]);
}
