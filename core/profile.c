/* profile.c - what each step of a graph costs: time, kernel products, bytes, forward and back.
 *
 * A kernel counts its products in the context (lrp_tally); a step's share is the difference
 * between its end and its begin.  Without a profile nothing is read from the clock. */
#include "profile.h"
#include <string.h>
#include <time.h>

static int64_t now_ns(void)
{
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

lrp_status lrp_graph_profile(lrp_ctx *ctx, lrp_graph *g)
{
  size_t bytes;
  if (!lrp_mul_size((size_t)g->n_order + 1, 2 * sizeof *g->cost, &bytes))
    return lrp_nomem(ctx, "the profile");
  if (!g->cost && !(g->cost = lrp_arena_alloc(&g->arena, bytes)))
    return lrp_nomem(ctx, "the profile");
  memset(g->cost, 0, bytes);
  return LRP_OK;
}

const lrp_cost *lrp_graph_costs(const lrp_graph *g)
{
  return g->cost;
}

void lrp_meter_begin(lrp_ctx *ctx, const lrp_graph *g, lrp_meter *m)
{
  if (!g->cost) return;
  *m = (lrp_meter){
      .tally = ctx->tally, .used = ctx->scratch.used, .peak = ctx->scratch.peak, .began = now_ns()};
  ctx->scratch.peak = ctx->scratch.used;
}

static size_t bytes_of(const lrp_tensor *t, uint32_t n)
{
  size_t sum = 0;
  for (uint32_t i = 0; i < n; i++)
    sum += t[i].data ? (size_t)lrp_count(&t[i]) * lrp_element(&t[i]) : 0;
  return sum;
}

/* Relevance of the inputs that may carry some. */
static size_t relevance_bytes(const lrp_graph *g, const lrp_step *s)
{
  size_t sum = 0;
  for (uint32_t i = 0; i < s->n_in; i++) {
    const uint32_t role = lrp_port_of(s, i)->role;
    const int32_t e = role == LRP_PORT_CARRIER ? s->carrier_of[i]
                      : role == LRP_PORT_DATA  ? s->in[i]
                                               : -1;
    if (e >= 0 && g->edge[e].live) sum += (size_t)lrp_count(&s->in_t[i]) * sizeof(lrp_real);
  }
  return sum;
}

void lrp_meter_end(lrp_ctx *ctx, lrp_graph *g, const lrp_meter *m, int32_t position, bool relevance)
{
  if (!g->cost) return;
  const lrp_step *s = &g->step[g->order[position]];
  lrp_cost *c = &g->cost[position + (relevance ? g->n_order : 0)];
  const size_t scratch = ctx->scratch.peak - m->used;
  c->n_call++;
  c->wall_ns += now_ns() - m->began;
  c->n_product += ctx->tally.n_product - m->tally.n_product;
  c->work += ctx->tally.work - m->tally.work;
  c->moved += ctx->tally.moved - m->tally.moved;
  c->tensors = relevance ? relevance_bytes(g, s) : bytes_of(s->out_t, s->n_out);
  if (!relevance) c->tensors += bytes_of(s->saved, s->n_saved);
  if (scratch > c->scratch) c->scratch = scratch;
  if (m->peak > ctx->scratch.peak) ctx->scratch.peak = m->peak;
}
