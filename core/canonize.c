/* canonize.c - graph passes that make rules mean what their papers say.  Each pass is one function
 * with its pattern drawn above it; `--canonize none` leaves all out, a list names those wanted. */
#include "fuse.h"
#include "kernel.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- merge_affine ----
 *
 *     x -> [layer with fold()] -> z -> [layer with affine()] -> y        z read by nobody else
 *  =>  x -> [layer, parameters folded] ----------------------> y
 *
 * Batch normalisation and constant scales and shifts go into the linear layer before them, found by
 * the graph (zennit merges by order of registration, its issue 63).  Channels are the last axis on
 * both sides. */

static int32_t readers(const lrp_graph *g, int32_t edge)
{
  int32_t n = g->edge[edge].is_output + (g->score == edge);
  for (int32_t k = 0; k < g->n_order; k++) {
    const lrp_step *s = &g->step[g->order[k]];
    for (uint32_t i = 0; !s->dead && i < s->n_in; i++)
      n += s->in[i] == edge || s->carrier_of[i] == edge;
  }
  return n;
}

static lrp_status vector(lrp_ctx *ctx, lrp_graph *g, int64_t n, lrp_tensor *out)
{
  *out = (lrp_tensor){.dtype = LRP_REAL, .rank = 1, .shape = {n}};
  out->data = lrp_arena_alloc(&g->arena, ((size_t)n + 1) * sizeof(lrp_real));
  return out->data ? LRP_OK : lrp_nomem(ctx, "merged parameters");
}

/* Room for the new parameters: as the old ones, a missing BIAS as (C). */
static lrp_status new_params(lrp_ctx *ctx, lrp_graph *g, const lrp_step *s, int64_t c,
                             lrp_tensor *out)
{
  lrp_status st = LRP_OK;
  for (uint32_t i = 0; !st && i < s->n_param; i++) {
    size_t bytes;
    out[i] = s->param[i];
    out[i].host = NULL;
    if (!out[i].data) {
      if (s->type->param[i].role == LRP_PORT_BIAS) st = vector(ctx, g, c, &out[i]);
      continue;
    }
    st = lrp_tensor_bytes(ctx, &out[i], &bytes);
    if (!st && !(out[i].data = lrp_arena_alloc(&g->arena, bytes + 1)))
      st = lrp_nomem(ctx, "merged parameters");
  }
  return st;
}

static lrp_status fold_into(lrp_ctx *ctx, lrp_graph *g, lrp_step *before, lrp_step *s, bool *done)
{
  lrp_tensor scale, shift;
  const lrp_tensor *z = &before->out_t[0];
  const int64_t c = z->rank ? z->shape[z->rank - 1] : 1;
  lrp_tensor *param = lrp_arena_alloc(&g->arena, (before->n_param + 1) * sizeof *param);
  if (!param) return lrp_nomem(ctx, "merged parameters");
  lrp_status st = vector(ctx, g, c, &scale);
  if (!st) st = vector(ctx, g, c, &shift);
  if (!st) {
    lrp_step_bind(g, s);
    st = s->type->affine(&lrp_the_host, ctx, s->inst, &s->call, &scale, &shift);
    if (st == LRP_E_UNSUPPORTED) return LRP_OK; /* not one value for each channel */
  }
  if (!st) st = new_params(ctx, g, before, c, param);
  if (!st) {
    lrp_step_bind(g, before);
    st = before->type->fold(&lrp_the_host, ctx, before->inst, &before->call, &scale, &shift, param);
    if (st == LRP_E_UNSUPPORTED) return LRP_OK;
  }
  for (uint32_t i = 0; !st && i < before->n_param; i++) {
    lrp_pack_free(&before->param[i]);
    before->param[i] = param[i];
    if (param[i].data) st = lrp_pack_attach(ctx, &before->param[i]);
  }
  *done = !st;
  return st;
}

static void note_merged(lrp_graph *g, lrp_step *b, const lrp_step *s)
{
  const size_t n = strlen(b->note) + strlen(s->name) + 16;
  char *note = lrp_arena_alloc(&g->arena, n);
  if (note) {
    snprintf(note, n, "%s%s%s", b->note, b->note[0] ? ", " : "merged ", s->name);
    b->note = note;
  }
}

static void rewire(lrp_graph *g, int32_t before, lrp_step *s)
{
  lrp_step *b = &g->step[before];
  note_merged(g, b, s);
  b->out[0] = s->out[0];
  b->out_t[0].flags = s->out_t[0].flags;
  g->edge[s->out[0]].step = before;
  s->dead = true;
}

static lrp_status merge_affine(lrp_ctx *ctx, lrp_graph *g)
{
  lrp_status st = LRP_OK;
  for (int32_t k = 0; !st && k < g->n_order; k++) {
    lrp_step *s = &g->step[g->order[k]];
    if (s->dead || !s->type->affine || s->n_in != 1 || s->n_out != 1 || s->in[0] < 0) continue;
    const int32_t before = g->edge[s->in[0]].step;
    if (before < 0 || !g->step[before].type->fold || g->step[before].n_out != 1 ||
        readers(g, s->in[0]) != 1)
      continue;
    bool done = false;
    st = fold_into(ctx, g, &g->step[before], s, &done);
    if (st)
      lrp_fail_at(ctx, st, "merging node \"%s\" into \"%s\": ", s->name, g->step[before].name);
    else if (done)
      rewire(g, before, s);
  }
  return st;
}

/* ---- merge_ahead ----
 *
 *     x -> [layer with affine()] -> y -> [layer with absorb()] -> z      y read by nobody else
 *  =>  x -> [layer, weights scaled, bias + what it gives on the shift] -> z
 *
 * Batch normalisation before a convolution or dense layer, also behind a ReLU and written as Mul and Add.  Zeros around a
 * padded picture are not shifted, so near its borders the bias differs from place to place: it becomes a map (asked for in
 * zennit's issue 165). */

/* What the layer gives on the shift alone: its new bias, (C), or (1,spatial...,C) where it is no constant of the channel. */
static lrp_status bias_ahead(lrp_ctx *ctx, lrp_graph *g, lrp_step *s, const lrp_tensor *shift,
                             lrp_tensor *out)
{
  lrp_tensor x = s->in_t[0], y = s->out_t[0];
  const int64_t c = shift->shape[0], d = y.shape[y.rank - 1];
  x.flags = 0;
  if (x.rank > 1) x.shape[0] = y.shape[0] = 1;
  lrp_status st = lrp_the_host.scratch(ctx, &x, &x);
  if (!st) st = lrp_the_host.scratch(ctx, &y, &y);
  if (st) return st;
  for (int64_t i = 0, n = lrp_count(&x); i < n; i++)
    lrp_reals(&x)[i] = lrp_reals(shift)[i % c];
  lrp_call call = s->call;
  call.in = &x;
  call.out = &y;
  st = s->type->forward(&lrp_the_host, ctx, s->inst, &call);
  bool flat = true;
  const int64_t n = lrp_count(&y);
  double most = 0;
  for (int64_t i = 0; !st && i < n; i++)
    most = fmax(most, fabs((double)lrp_reals(&y)[i]));
  for (int64_t i = d; !st && i < n; i++)
    flat = flat && fabs((double)lrp_reals(&y)[i] - (double)lrp_reals(&y)[i % d]) <= 1e-6 * most;
  if (!st) st = vector(ctx, g, flat ? d : n, out);
  if (!st && !flat) {
    out->rank = y.rank;
    memcpy(out->shape, y.shape, sizeof out->shape);
  }
  if (!st) memcpy(out->data, y.data, (size_t)(flat ? d : n) * sizeof(lrp_real));
  return st;
}

static lrp_status absorb_into(lrp_ctx *ctx, lrp_graph *g, lrp_step *s, lrp_step *next, bool *done)
{
  lrp_tensor scale, shift, bias, *old = next->param;
  const lrp_tensor *x = &next->in_t[0];
  const int64_t c = x->rank ? x->shape[x->rank - 1] : 1;
  lrp_tensor *param = lrp_arena_alloc(&g->arena, (next->n_param + 1) * sizeof *param);
  if (!param) return lrp_nomem(ctx, "merged parameters");
  lrp_status st = vector(ctx, g, c, &scale);
  if (!st) st = vector(ctx, g, c, &shift);
  if (!st) {
    lrp_step_bind(g, s);
    st = s->type->affine(&lrp_the_host, ctx, s->inst, &s->call, &scale, &shift);
    if (st == LRP_E_UNSUPPORTED) return LRP_OK;
  }
  if (!st) st = new_params(ctx, g, next, next->out_t[0].shape[next->out_t[0].rank - 1], param);
  if (st) return st;
  lrp_step_bind(g, next);
  st = next->type->absorb(&lrp_the_host, ctx, next->inst, &next->call, &scale, param);
  if (!st) st = bias_ahead(ctx, g, next, &shift, &bias);
  if (st) return st == LRP_E_UNSUPPORTED ? LRP_OK : st;
  for (uint32_t i = 0; !st && i < next->n_param; i++) {
    lrp_pack_free(&old[i]);
    old[i] = next->type->param[i].role == LRP_PORT_BIAS ? bias : param[i];
    if (old[i].data) st = lrp_pack_attach(ctx, &old[i]);
  }
  *done = !st;
  return st;
}

static bool may_absorb(const lrp_graph *g, const lrp_step *s, const lrp_step *next)
{
  const lrp_layer_type *t = next->type;
  bool bias = false;
  for (const lrp_port *p = t->param; p && p->role; p++)
    bias = bias || p->role == LRP_PORT_BIAS;
  return !next->dead && LRP_HAS(lrp_layer_type, t, absorb) && t->absorb && bias &&
         next->n_in == 1 && next->n_out == 1 && next->in[0] == s->out[0] &&
         next->out_t[0].rank > 0 && readers(g, s->out[0]) == 1;
}

static lrp_status merge_ahead(lrp_ctx *ctx, lrp_graph *g)
{
  lrp_status st = LRP_OK;
  for (int32_t k = g->n_order;
       !st && k-- > 0;) { /* from the end, so that Mul, Add -> layer merge both */
    lrp_step *s = &g->step[g->order[k]];
    if (s->dead || !s->type->affine || s->n_in != 1 || s->n_out != 1 || s->in[0] < 0) continue;
    for (int32_t i = k + 1; !st && i < g->n_order; i++) {
      lrp_step *next = &g->step[g->order[i]];
      bool done = false;
      if (!may_absorb(g, s, next)) continue;
      const lrp_mark mark = lrp_arena_mark(&ctx->scratch);
      st = absorb_into(ctx, g, s, next, &done);
      lrp_arena_release(&ctx->scratch, mark);
      if (st)
        lrp_fail_at(ctx, st, "merging node \"%s\" into \"%s\": ", s->name, next->name);
      else if (done) {
        note_merged(g, next, s);
        next->in[0] = s->in[0];
        next->in_t[0].flags = g->edge[s->in[0]].t.flags;
        s->dead = true;
      }
      break;
    }
  }
  return st;
}

/* ---- final_softmax ----
 *
 *     ... -> scores -> [softmax or log-softmax] -> [rearrangements] -> output 0
 *  =>     -> scores -> [rearrangements again] -> what is explained
 *
 * The scores are what is explained: a probability mixes in the other classes and saturates. */
enum { MOST_REARRANGED = 16 };

/* The input that a rearrangement moves, if all others are constant; -1: it is no plain
 * rearrangement. */
static int32_t moved_input(const lrp_graph *g, const lrp_step *s)
{
  int32_t found = -1;
  if (s->type->kind != LRP_KIND_RESHAPE || s->n_out != 1 || s->n_param) return -1;
  for (uint32_t i = 0; i < s->n_in; i++) {
    const bool data = lrp_port_of(s, i)->role == LRP_PORT_DATA;
    if (s->in[i] < 0 ? s->carrier_of[i] >= 0 : data ? found >= 0 : !g->edge[s->in[i]].is_const)
      return -1;
    found = data && s->in[i] >= 0 ? (int32_t)i : found;
  }
  return found;
}

/* The step once more, on another edge; *out: what it gives. */
static lrp_status do_again(lrp_ctx *ctx, lrp_graph *g, int32_t id, int32_t port, int32_t in,
                           int32_t *out)
{
  const int32_t again = lrp_step_new(ctx, g),
                e = again < 0 ? -1 : lrp_edge_new(ctx, g, g->edge[g->step[id].out[0]].name);
  if (e < 0) return LRP_E_NOMEM;
  lrp_step *s = &g->step[again], *from = &g->step[id];
  s->type = from->type;
  s->op = from->op;
  s->name = from->name;
  s->args = from->args;
  s->args_text = from->args_text;
  s->note = "on the scores";
  lrp_status st = lrp_step_ports(ctx, g, s, from->n_in, 0, 1);
  if (!st && s->type->create)
    st = s->type->create(&lrp_the_host, ctx, s->args, &s->inst);
  else if (!st)
    s->inst = from->inst;
  if (st) return st;
  memcpy(s->in, from->in, s->n_in * sizeof *s->in);
  s->in[port] = in;
  s->out[0] = e;
  st = lrp_step_infer(ctx, g, s);
  g->edge[e].t = s->out_t[0];
  g->edge[e].t.data = NULL;
  g->edge[e].step = again;
  g->edge[e].moved = g->edge[from->out[0]].moved;
  *out = e;
  return st;
}

static lrp_status final_softmax(lrp_ctx *ctx, lrp_graph *g)
{
  int32_t chain[MOST_REARRANGED], port[MOST_REARRANGED], n = 0, by = g->edge[g->output[0]].step;
  while (by >= 0 && n < MOST_REARRANGED && (port[n] = moved_input(g, &g->step[by])) >= 0) {
    chain[n] = by;
    by = g->edge[g->step[by].in[port[n++]]].step;
  }
  if (by < 0 || g->step[by].type->kind != LRP_KIND_SOFTMAX || g->step[by].in[0] < 0) return LRP_OK;
  int32_t scores = g->step[by].in[0];
  lrp_status st = LRP_OK;
  while (!st && n-- > 0)
    st = do_again(ctx, g, chain[n], port[n], scores, &scores);
  if (!st) {
    g->score = scores;
    g->softmax_end = true;
  }
  return st;
}

/* ---- the list; fuse is in fuse.c ---- */

static const struct pass {
  const char *name;
  lrp_status (*run)(lrp_ctx *, lrp_graph *);
} PASSES[] = {{"fuse", lrp_fuse},
              {"merge_affine", merge_affine},
              {"merge_ahead", merge_ahead},
              {"final_softmax", final_softmax}};
enum { N_PASS = sizeof PASSES / sizeof PASSES[0] };

static bool listed(const char *list, const char *name)
{
  const size_t n = strlen(name);
  for (const char *p = list; (p = strstr(p, name)); p += n)
    if ((p == list || p[-1] == ',') && (p[n] == 0 || p[n] == ',')) return true;
  return false;
}

static lrp_status check_list(lrp_ctx *ctx, const char *list)
{
  for (const char *p = list; *p;) {
    const size_t n = strcspn(p, ",");
    bool known = false;
    for (int i = 0; i < N_PASS; i++)
      known = known || (strlen(PASSES[i].name) == n && !strncmp(PASSES[i].name, p, n));
    if (!known)
      return lrp_fail(
          ctx, LRP_E_ARG,
          "canonizer \"%.*s\" is not known; all, none, fuse, merge_affine, merge_ahead and "
          "final_softmax are",
          (int)n, p);
    p += n + (p[n] == ',');
  }
  return LRP_OK;
}

lrp_status lrp_canonize(lrp_ctx *ctx, lrp_graph *g, const char *which)
{
  if (which && !strcmp(which, "none")) return LRP_OK;
  const bool all = !which || !*which || !strcmp(which, "all");
  lrp_status st = all ? LRP_OK : check_list(ctx, which);
  for (int i = 0; !st && i < N_PASS; i++)
    if (all || listed(which, PASSES[i].name)) st = PASSES[i].run(ctx, g);
  return st;
}
