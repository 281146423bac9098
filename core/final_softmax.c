/* final_softmax.c - canonizer: what goes into the softmax that ends a model is explained.
 *
 *     ... -> scores -> [softmax or log-softmax] -> [rearrangements] -> output 0
 *  =>     -> scores -> [rearrangements again] -> what is explained
 *
 * A probability mixes in the other classes and saturates; the scores do not. */
#include "canonize.h"
#include <string.h>

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

lrp_status lrp_final_softmax(lrp_ctx *ctx, lrp_graph *g)
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
    if (!g->step[by].note[0]) g->step[by].note = "behind what is explained";
    g->score = scores;
    g->softmax_end = true;
  }
  return st;
}
