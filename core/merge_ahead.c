/* merge_ahead.c - canonizer: batch normalisations and constant scales and shifts that have no linear layer before them
 * go into the one behind.
 *
 *     x -> [layer with affine()] -> y -> [layer with absorb()] -> z              y read by nobody else
 *  =>  x -> [layer, weights scaled, bias + what it gives on the shift] -> z
 *
 *     BatchNormalization -> Conv      Conv, weights scaled; padded: with a map as bias
 *     Relu -> Mul -> Add -> Gemm      Relu -> Gemm, both merged
 *
 * Zeros around a padded picture are not shifted, so near its borders the bias differs from place to place: it becomes a
 * map (asked for in zennit's issue 165). */
#include "canonize.h"
#include "kernel.h"
#include <math.h>
#include <string.h>

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
  if (!st) st = lrp_merge_room(ctx, g, flat ? d : n, out);
  if (!st && !flat) {
    out->rank = y.rank;
    memcpy(out->shape, y.shape, sizeof out->shape);
  }
  if (!st) memcpy(out->data, y.data, (size_t)(flat ? d : n) * sizeof(lrp_real));
  return st;
}

static lrp_status absorb_into(lrp_ctx *ctx, lrp_graph *g, lrp_step *s, lrp_step *next, bool *done)
{
  lrp_tensor scale, shift, bias;
  const lrp_tensor *x = &next->in_t[0];
  const int64_t c = x->rank ? x->shape[x->rank - 1] : 1;
  lrp_tensor *param = lrp_arena_alloc(&g->arena, (next->n_param + 1) * sizeof *param);
  if (!param) return lrp_nomem(ctx, "merged parameters");
  lrp_status st = lrp_merge_scale(ctx, g, s, c, &scale, &shift);
  if (!st)
    st = lrp_merge_params(ctx, g, next, next->out_t[0].shape[next->out_t[0].rank - 1], param);
  if (!st) {
    lrp_step_bind(g, next);
    st = next->type->absorb(&lrp_the_host, ctx, next->inst, &next->call, &scale, param);
  }
  if (!st) st = bias_ahead(ctx, g, next, &shift, &bias);
  if (st) return st == LRP_E_UNSUPPORTED ? LRP_OK : st;
  for (uint32_t i = 0; i < next->n_param; i++)
    if (next->type->param[i].role == LRP_PORT_BIAS) param[i] = bias;
  st = lrp_merge_install(ctx, g, next, param);
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
         next->out_t[0].rank > 0 && lrp_readers(g, s->out[0]) == 1;
}

lrp_status lrp_merge_ahead(lrp_ctx *ctx, lrp_graph *g)
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
        next->in[0] = s->in[0];
        next->in_t[0].flags = g->edge[s->in[0]].t.flags;
        lrp_merge_note(g, next, s, "merge_ahead");
      }
      break;
    }
  }
  return st;
}
