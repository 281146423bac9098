/* merge_affine.c - canonizer: batch normalisations and constant scales and shifts go into the linear layer
 * before them.
 *
 *     x -> [layer with fold()] -> z -> [layer with affine()] -> y        z read by nobody else
 *  =>  x -> [layer, parameters folded] ----------------------> y
 *
 *     Conv -> BatchNormalization      Conv, weights and bias scaled
 *     MatMul -> Add                   a dense layer with a bias
 *     Gemm -> Mul -> Add              Gemm, both merged
 *
 * Found by the graph, not by order of registration (zennit's issue 63).  Channels are the last axis on both sides. */
#include "canonize.h"
#include "kernel.h"
#include <stdio.h>
#include <string.h>

int32_t lrp_readers(const lrp_graph *g, int32_t edge)
{
  int32_t n = g->edge[edge].is_output + (g->score == edge);
  for (int32_t k = 0; k < g->n_order; k++) {
    const lrp_step *s = &g->step[g->order[k]];
    for (uint32_t i = 0; !s->dead && i < s->n_in; i++)
      n += s->in[i] == edge || s->carrier_of[i] == edge;
  }
  return n;
}

lrp_status lrp_merge_room(lrp_ctx *ctx, lrp_graph *g, int64_t n, lrp_tensor *out)
{
  *out = (lrp_tensor){.dtype = LRP_REAL, .rank = 1, .shape = {n}};
  out->data = lrp_arena_alloc(&g->arena, ((size_t)n + 1) * sizeof(lrp_real));
  return out->data ? LRP_OK : lrp_nomem(ctx, "merged parameters");
}

/* Room for the new parameters, in scratch: as the old ones, a missing BIAS as (C). */
lrp_status lrp_merge_params(lrp_ctx *ctx, lrp_graph *g, const lrp_step *s, int64_t c,
                            lrp_tensor *out)
{
  lrp_status st = LRP_OK;
  for (uint32_t i = 0; !st && i < s->n_param; i++) {
    size_t bytes;
    out[i] = s->param[i];
    out[i].host = NULL;
    if (!out[i].data) {
      if (s->type->param[i].role == LRP_PORT_BIAS) st = lrp_merge_room(ctx, g, c, &out[i]);
      continue;
    }
    st = lrp_tensor_bytes(ctx, &out[i], &bytes);
    if (!st && !(out[i].data = lrp_arena_raw(&ctx->scratch, bytes + 1)))
      st = lrp_nomem(ctx, "merged parameters");
  }
  return st;
}

lrp_status lrp_merge_scale(lrp_ctx *ctx, lrp_graph *g, lrp_step *s, int64_t c, lrp_tensor *scale,
                           lrp_tensor *shift)
{
  lrp_status st = lrp_merge_room(ctx, g, c, scale);
  if (!st) st = lrp_merge_room(ctx, g, c, shift);
  if (st) return st;
  lrp_step_bind(g, s);
  return s->type->affine(&lrp_the_host, ctx, s->inst, &s->call, scale, shift);
}

/* A shift alone leaves the weights as they are: then the file's own stay, which take no memory. */
static bool is_kept(const lrp_tensor *old, const lrp_tensor *made, size_t bytes)
{
  return old->data && made->data && old->rank == made->rank &&
         !memcmp(old->shape, made->shape, (size_t)old->rank * sizeof *old->shape) &&
         !memcmp(old->data, made->data, bytes);
}

lrp_status lrp_merge_install(lrp_ctx *ctx, lrp_graph *g, lrp_step *s, const lrp_tensor *param)
{
  lrp_status st = LRP_OK;
  for (uint32_t i = 0; !st && i < s->n_param; i++) {
    size_t bytes;
    st = lrp_tensor_bytes(ctx, &param[i], &bytes);
    if (st || is_kept(&s->param[i], &param[i], bytes)) continue;
    lrp_pack_free(&s->param[i]);
    s->param[i] = param[i];
    if (!param[i].data) continue;
    if (!(s->param[i].data = lrp_arena_raw(&g->arena, bytes + 1)))
      return lrp_nomem(ctx, "merged parameters");
    memcpy(s->param[i].data, param[i].data, bytes);
    st = lrp_pack_attach(ctx, &s->param[i]);
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
  lrp_status st = lrp_merge_scale(ctx, g, s, c, &scale, &shift);
  if (!st) st = lrp_merge_params(ctx, g, before, c, param);
  if (!st) {
    lrp_step_bind(g, before);
    st = before->type->fold(&lrp_the_host, ctx, before->inst, &before->call, &scale, &shift, param);
  }
  if (st) return st == LRP_E_UNSUPPORTED ? LRP_OK : st;
  st = lrp_merge_install(ctx, g, before, param);
  *done = !st;
  return st;
}

void lrp_merge_note(lrp_graph *g, lrp_step *b, lrp_step *s, const char *by)
{
  const size_t n = strlen(b->note) + strlen(s->name) + 16;
  char *note = lrp_arena_alloc(&g->arena, n);
  if (note) {
    snprintf(note, n, "%s%s%s", b->note, b->note[0] ? ", " : "merged ", s->name);
    b->note = note;
  }
  s->dead = true;
  s->into = (int32_t)(b - g->step) + 1;
  s->by = by;
}

static void rewire(lrp_graph *g, int32_t before, lrp_step *s)
{
  lrp_step *b = &g->step[before];
  lrp_merge_note(g, b, s, "merge_affine");
  b->out[0] = s->out[0];
  b->out_t[0].flags = s->out_t[0].flags;
  g->edge[s->out[0]].step = before;
}

lrp_status lrp_merge_affine(lrp_ctx *ctx, lrp_graph *g)
{
  lrp_status st = LRP_OK;
  for (int32_t k = 0; !st && k < g->n_order; k++) {
    lrp_step *s = &g->step[g->order[k]];
    if (s->dead || !s->type->affine || s->n_in != 1 || s->n_out != 1 || s->in[0] < 0) continue;
    const int32_t before = g->edge[s->in[0]].step;
    if (before < 0 || !g->step[before].type->fold || g->step[before].n_out != 1 ||
        lrp_readers(g, s->in[0]) != 1)
      continue;
    bool done = false;
    const lrp_mark mark = lrp_arena_mark(&ctx->scratch);
    st = fold_into(ctx, g, &g->step[before], s, &done);
    lrp_arena_release(&ctx->scratch, mark);
    if (st)
      lrp_fail_at(ctx, st, "merging node \"%s\" into \"%s\": ", s->name, g->step[before].name);
    else if (done)
      rewire(g, before, s);
  }
  return st;
}
