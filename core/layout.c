/* layout.c - images channels-last: which axis order each layer sees, and the permutations put where
 * two orders meet. An edge is "moved" where the engine keeps N,spatial...,C of what the model file
 * calls N,C,spatial... .  The permute layer is the engine's own; no file names it. */
#include "graph.h"
#include "kernel.h"
#include <string.h>

/* ---- the permute layer ---- */

typedef struct permute {
  int64_t last; /* 1: to channels-last, 0: back */
} permute;
static const permute TO_LAST = {1}, TO_MODEL = {0};

/* One plane (a,b) becomes (b,a), for each of n. */
static void swap_planes(int64_t n, int64_t a, int64_t b, size_t size, const char *from, char *to)
{
  const int64_t plane = a * b;
  LRP_THREADS(n * plane > 65536,
  for (int64_t k = 0; k < n; k++)
    for (int64_t i = 0; i < a; i++)
      for (int64_t j = 0; j < b; j++)
        if (size == sizeof(lrp_real))
          ((lrp_real *)(void *)to)[k * plane + j * a + i] =
              ((const lrp_real *)(const void *)from)[k * plane + i * b + j];
        else
          ((int64_t *)(void *)to)[k * plane + j * a + i] =
              ((const int64_t *)(const void *)from)[k * plane + i * b + j];);
}

/* (N,C,spatial) seen as N planes (C,S); back: planes (S,C). */
static void permute_data(const lrp_tensor *from, int64_t last, void *to)
{
  const int64_t n = from->shape[0], c = from->shape[last ? 1 : from->rank - 1],
                all = lrp_count(from);
  const int64_t s = n && c ? all / n / c : 0;
  if (all) swap_planes(n, last ? c : s, last ? s : c, lrp_element(from), from->data, to);
}

static void permute_shape(const lrp_tensor *in, int64_t last, lrp_tensor *out)
{
  out->dtype = in->dtype;
  out->rank = in->rank;
  out->flags = in->flags;
  memcpy(out->shape, in->shape, sizeof out->shape);
  if (last) {
    for (int32_t i = 2; i < in->rank; i++)
      out->shape[i - 1] = in->shape[i];
    out->shape[in->rank - 1] = in->shape[1];
  } else {
    for (int32_t i = 2; i < in->rank; i++)
      out->shape[i] = in->shape[i - 1];
    out->shape[1] = in->shape[in->rank - 1];
  }
}

static lrp_status permute_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  if (call->in[0].rank < 3)
    return h->fail(ctx, LRP_E_SHAPE, "permute: rank %d, at least 3 was expected", call->in[0].rank);
  permute_shape(&call->in[0], ((const permute *)inst)->last, &call->out[0]);
  return LRP_OK;
}

static lrp_status permute_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  (void)h;
  (void)ctx;
  permute_data(&call->in[0], ((const permute *)inst)->last, call->out[0].data);
  return LRP_OK;
}

static lrp_status permute_vjp(const lrp_host *h, lrp_ctx *ctx, const void *inst,
                              const lrp_call *call, const lrp_tensor *out_bar, lrp_tensor *in_bar)
{
  (void)h;
  (void)ctx;
  (void)call;
  if (out_bar[0].data && in_bar[0].data)
    permute_data(&out_bar[0], !((const permute *)inst)->last, in_bar[0].data);
  return LRP_OK;
}

static const lrp_port PERMUTE_IN[] = {{.name = "x", .role = LRP_PORT_DATA, .dtype = LRP_ANY_DTYPE},
                                      LRP_PORTS_END};
static const lrp_layer_type PERMUTE = {
    .struct_size = sizeof(lrp_layer_type),
    .kind = LRP_KIND_RESHAPE,
    .layout = LRP_LAYOUT_MODEL,
    .name = "permute",
    .doc = "Moves the channels of an image to the last axis, or back.",
    .in = PERMUTE_IN,
    .out = PERMUTE_IN,
    .infer = permute_infer,
    .forward = permute_forward,
    .vjp = permute_vjp};

/* ---- twins ---- */

static lrp_status permute_constant(lrp_ctx *ctx, lrp_graph *g, const lrp_edge *from, int64_t last,
                                   lrp_tensor *out)
{
  size_t bytes;
  permute_shape(&from->t, last, out);
  const lrp_status st = lrp_tensor_bytes(ctx, out, &bytes);
  if (st) return st;
  out->data = lrp_arena_alloc(&g->arena, bytes + 1);
  if (!out->data) return lrp_nomem(ctx, "constants");
  permute_data(&from->t, last, out->data);
  return LRP_OK;
}

static lrp_status permute_step(lrp_ctx *ctx, lrp_graph *g, int32_t from, int32_t to, bool last)
{
  const int32_t id = lrp_step_new(ctx, g);
  if (id < 0) return LRP_E_NOMEM;
  lrp_step *s = &g->step[id];
  s->type = &PERMUTE;
  s->name = g->edge[from].name;
  s->op = last ? "to channels-last" : "to model order";
  lrp_status st = lrp_step_ports(ctx, g, s, 1, 0, 1);
  if (st) return st;
  /* const is cast away for the instance slot only: permute has no destroy() and never writes */
  memcpy(&s->inst, &(const void *){last ? (const void *)&TO_LAST : (const void *)&TO_MODEL},
         sizeof s->inst);
  s->in[0] = from;
  s->out[0] = to;
  st = lrp_step_infer(ctx, g, s);
  g->edge[to].t = s->out_t[0];
  g->edge[to].step = id;
  return st;
}

int32_t lrp_layout_twin(lrp_ctx *ctx, lrp_graph *g, int32_t edge)
{
  if (g->edge[edge].twin >= 0) return g->edge[edge].twin;
  const int32_t to = lrp_edge_new(ctx, g, g->edge[edge].name);
  if (to < 0) return -1;
  lrp_edge *from = &g->edge[edge];
  const bool last = !from->moved;
  g->edge[to].moved = last;
  g->edge[to].is_const = from->is_const;
  from->twin = to;
  g->edge[to].twin = edge;
  const lrp_status st = from->is_const ? permute_constant(ctx, g, from, last, &g->edge[to].t)
                                       : permute_step(ctx, g, edge, to, last);
  return st ? -1 : to;
}

/* ---- what each layer sees ---- */

static lrp_status want(lrp_ctx *ctx, lrp_graph *g, int32_t *edge, bool moved)
{
  if (*edge < 0 || g->edge[*edge].moved == moved || g->edge[*edge].t.rank < 3) return LRP_OK;
  const int32_t twin = lrp_layout_twin(ctx, g, *edge);
  if (twin < 0) return LRP_E_NOMEM;
  *edge = twin;
  return LRP_OK;
}

static lrp_status want_all(lrp_ctx *ctx, lrp_graph *g, int32_t *in, uint32_t n, bool moved)
{
  lrp_status st = LRP_OK;
  for (uint32_t i = 0; !st && i < n; i++)
    st = want(ctx, g, &in[i], moved);
  return st;
}

/* A constant of lower rank is given leading ones up to rank, so that numpy's broadcasting survives
 * the move. */
static lrp_status align_constant(lrp_ctx *ctx, lrp_graph *g, int32_t *edge, int32_t rank)
{
  const lrp_edge from = g->edge[*edge];
  if (from.t.rank >= rank || lrp_count(&from.t) == 1) return LRP_OK;
  const int32_t to = lrp_edge_new(ctx, g, from.name);
  if (to < 0) return LRP_E_NOMEM;
  lrp_edge *e = &g->edge[to];
  e->is_const = true;
  e->t = from.t;
  e->t.rank = rank;
  for (int32_t i = 0; i < rank; i++)
    e->t.shape[i] = i < rank - from.t.rank ? 1 : from.t.shape[i - (rank - from.t.rank)];
  *edge = to;
  return LRP_OK;
}

/* Element-wise: all operands alike; channels-last if one of them is and the others can be. */
static lrp_status any_order(lrp_ctx *ctx, lrp_graph *g, int32_t *in, uint32_t n, bool *moved)
{
  bool some = false, possible = true;
  int32_t rank = 0;
  for (uint32_t i = 0; i < n; i++)
    if (in[i] >= 0) {
      some = some || g->edge[in[i]].moved;
      rank = g->edge[in[i]].t.rank > rank ? g->edge[in[i]].t.rank : rank;
    }
  for (uint32_t i = 0; i < n; i++)
    if (in[i] >= 0 && !g->edge[in[i]].is_const && g->edge[in[i]].t.rank != rank &&
        lrp_count(&g->edge[in[i]].t) != 1)
      possible = false;
  *moved = some && possible;
  lrp_status st = LRP_OK;
  for (uint32_t i = 0; !st && *moved && i < n; i++)
    if (in[i] >= 0 && g->edge[in[i]].is_const) st = align_constant(ctx, g, &in[i], rank);
  return st ? st : want_all(ctx, g, in, n, *moved);
}

/* Where axis a of the model's order lies in the engine's. */
static int64_t renamed(int64_t a, int32_t rank)
{
  if (a < 0) a += rank;
  return a == 0 || a >= rank ? a : a == 1 ? rank - 1 : a - 1;
}

static lrp_status rename_axes(lrp_ctx *ctx, const lrp_arg *decl, lrp_value *args, int32_t rank)
{
  for (uint32_t i = 0; decl && decl[i].type != LRP_ARG_END; i++) {
    if (!(decl[i].flags & LRP_ARG_AXIS)) continue;
    if (decl[i].type == LRP_ARG_INT) {
      args[i].i = renamed(args[i].i, rank);
    } else if (args[i].ints.n) {
      int64_t *v = lrp_the_host.keep_ints(ctx, args[i].ints.n);
      if (!v) return LRP_E_NOMEM;
      for (int64_t k = 0; k < args[i].ints.n; k++)
        v[k] = renamed(args[i].ints.v[k], rank);
      args[i].ints.v = v;
    }
  }
  return LRP_OK;
}

/* Named axes: stay channels-last where all inputs are images already (or constants). */
static lrp_status axes_order(lrp_ctx *ctx, lrp_graph *g, const lrp_layer_type *type, int32_t *in,
                             uint32_t n, lrp_value *args, bool *moved)
{
  int32_t rank = 0;
  bool all = true, some = false;
  for (uint32_t i = 0; i < n; i++) {
    if (in[i] < 0) continue;
    const lrp_edge *e = &g->edge[in[i]];
    some = some || e->moved;
    all = all && (e->moved || e->is_const) && (!rank || rank == e->t.rank);
    rank = e->t.rank;
  }
  *moved = some && all;
  lrp_status st = want_all(ctx, g, in, n, *moved);
  return st || !*moved ? st : rename_axes(ctx, type->args, args, rank);
}

lrp_status lrp_layout_apply(lrp_ctx *ctx, lrp_graph *g, const lrp_layer_type *type, int32_t *in,
                            uint32_t n_in, lrp_value *args, bool *moved)
{
  *moved = false;
  switch (type->layout) {
  case LRP_LAYOUT_IMAGE:
    for (uint32_t i = 0; i < n_in; i++)
      *moved = *moved || (in[i] >= 0 && g->edge[in[i]].t.rank >= 3);
    return want_all(ctx, g, in, n_in, true);
  case LRP_LAYOUT_ANY:
    return any_order(ctx, g, in, n_in, moved);
  case LRP_LAYOUT_AXES:
    return axes_order(ctx, g, type, in, n_in, args, moved);
  default:
    return want_all(ctx, g, in, n_in, false);
  }
}
