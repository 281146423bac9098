/* relprop.c - walks a graph back: relevance of the scores to the inputs, and the ledger of where it
 * went on the way. */
#include "profile.h"
#include "samples.h"
#include "sweep.h"
#include "table.h"
#include <math.h>
#include <string.h>
#include <time.h>

void lrp_sum_samples(const lrp_tensor *t, int64_t run, const lrp_real *v, int64_t batch, double *sum)
{
  const int64_t all = lrp_count(t);
  const bool blocks = lrp_samples_are_blocks(t, run, batch);
  for (int64_t at = 0; at < all; at += run * batch) /* blocks: once */
    lrp_sum_each(v + at, blocks ? all / run : batch, run, sum);
}

/* ---- one site ---- */

static lrp_status exact(lrp_ctx *ctx, const lrp_site *site)
{
  if (site->type->route) return site->type->route(&lrp_the_host, ctx, site);
  if (!site->type->vjp)
    return lrp_fail(ctx, LRP_E_UNSUPPORTED, "layer \"%s\" cannot pass relevance: it has no vjp",
                    site->type->name);
  return site->type->vjp(&lrp_the_host, ctx, site->inst, site->call, site->r_out, site->r_in);
}

/* The layer hands its inner sites to the same rule thousands of times: its table is asked for once. */
static lrp_status composite(lrp_ctx *ctx, const lrp_rule *rule, const lrp_value *args, const lrp_site *site)
{
  lrp_table table = {.struct_size = sizeof table};
  const lrp_table *const outer = ctx->table;
  const lrp_rule *const outer_rule = ctx->table_rule;
  const lrp_value *const outer_args = ctx->table_args;
  const bool has_table = rule && rule->table && !rule->relprop;
  lrp_site inner = *site;
  inner.rule = rule;
  inner.rule_args = args;
  if (has_table) rule->table(args, &table);
  ctx->table = has_table ? &table : NULL;
  ctx->table_rule = rule;
  ctx->table_args = args;
  const lrp_status st = site->type->relprop(&lrp_the_host, ctx, &inner);
  ctx->table = outer;
  ctx->table_rule = outer_rule;
  ctx->table_args = outer_args;
  return st;
}

lrp_status lrp_site_relprop(lrp_ctx *ctx, const lrp_rule *rule, const lrp_value *args,
                            const lrp_site *site, lrp_loss *loss)
{
  const bool whole = rule && rule->kinds & LRP_RULE_WHOLE && site->type->vjp;
  if (site->type->relprop && !whole) return composite(ctx, rule, args, site);
  if (!rule) return exact(ctx, site);
  if (rule->relprop) return rule->relprop(&lrp_the_host, ctx, args, site);
  if (ctx->table && ctx->table_rule == rule && ctx->table_args == args)
    return lrp_table_eval(ctx, site, ctx->table, loss);
  if (!rule->table)
    return lrp_fail(ctx, LRP_E_UNSUPPORTED,
                    "%s is a filter: it follows a rule and cannot stand for one", rule->name);
  lrp_table table = {.struct_size = sizeof table};
  rule->table(args, &table);
  return lrp_table_eval(ctx, site, &table, loss);
}

/* ---- one step of the walk ---- */

typedef struct walk {
  lrp_ctx *ctx;
  lrp_graph *g;
  int32_t at; /* edge whose relevance is wanted, -1 */
  double *in, *stab, *gate, *part;
  double **back; /* of the step, for each input: its relevance in each sample, where `summed`; NULL: not to be had */
  bool summed;
  bool *holds; /* of the step: what comes back is added to what the edge below has */
} walk;

/* Does the rule write every element of r_in, whatever it held?  Without a rule the layer's vjp stands for it. */
static bool writes_all(const walk *w, const lrp_step *s)
{
  if (s->type->vjp && (w->g->plain || (!s->rule && !s->type->route && !s->type->relprop)))
    return lrp_writes_bar(s->type);
  return !w->g->plain && s->rule && s->rule->table && !s->rule->relprop && !s->type->relprop;
}

/* Where relevance of input i goes. */
static int32_t edge_below(const lrp_step *s, uint32_t i)
{
  return s->in[i] >= 0 && lrp_port_of(s, i)->role == LRP_PORT_DATA ? s->in[i] : s->carrier_of[i];
}

/* Are the samples of what comes back to input i blocks, so that a table sums them up as it writes them? */
static bool has_blocks(const walk *w, const lrp_step *s, const lrp_tensor *r_in, uint32_t i)
{
  const int64_t n = w->g->batch;
  return lrp_count(&r_in[i]) % n == 0 && lrp_samples_are_blocks(&r_in[i], w->g->edge[edge_below(s, i)].run, n);
}

/* At a fork, a table adds to what the other branches brought. */
static lrp_status give_buffers(walk *w, lrp_step *s, lrp_tensor *r_in)
{
  const bool zero = !writes_all(w, s), table = !zero && !w->g->plain && s->rule && !s->filter;
  w->holds = lrp_arena_alloc(&w->ctx->scratch, s->n_in + 1);
  if (!w->holds) return lrp_nomem(w->ctx, "relevance");
  for (uint32_t i = 0; i < s->n_in; i++) {
    r_in[i] = s->in_t[i];
    r_in[i].dtype = LRP_REAL;
    r_in[i].flags = 0;
    r_in[i].data = r_in[i].host = NULL;
    const uint32_t role = lrp_port_of(s, i)->role;
    const int32_t e = role == LRP_PORT_CARRIER ? s->carrier_of[i]
                      : role == LRP_PORT_DATA  ? s->in[i]
                                               : -1;
    if (e < 0 || !w->g->edge[e].live) continue;
    w->holds[i] = table && w->g->edge[e].r && has_blocks(w, s, r_in, i);
    if (w->holds[i]) {
      r_in[i].data = w->g->edge[e].r;
      continue;
    }
    size_t bytes;
    lrp_status st = lrp_tensor_bytes(w->ctx, &r_in[i], &bytes);
    if (st) return st;
    r_in[i].data = lrp_pool_get(w->ctx, w->g->pool, bytes, zero);
    if (!r_in[i].data) return LRP_E_NOMEM;
  }
  return LRP_OK;
}

/* Relevance reaches an edge: the first buffer is kept, later ones are added, unless they were as they were made. */
static void deliver(lrp_graph *g, int32_t e, const lrp_tensor *r, const double *sum)
{
  lrp_edge *edge = &g->edge[e];
  for (int64_t k = 0; k < g->batch; k++)
    edge->sum[k] = (edge->r ? edge->sum[k] : 0) + sum[k];
  if (!edge->r || edge->r == r->data) {
    edge->r = r->data;
    return;
  }
  lrp_real *to = edge->r;
  const lrp_real *from = lrp_reals(r);
  const int64_t n = lrp_count(r);
  LRP_THREADS_SIMD(n > 65536,
  for (int64_t i = 0; i < n; i++)
    to[i] += from[i];);
  lrp_pool_put(g->pool, r->data);
}

static lrp_status collect(walk *w, lrp_step *s, lrp_tensor *r_in, double *sum)
{
  lrp_status st = LRP_OK;
  for (uint32_t i = 0; i < s->n_in; i++) {
    if (!r_in[i].data) continue;
    const int32_t e = edge_below(s, i);
    const bool known = w->summed && w->back[i] && !s->filter;
    double *part = known ? w->back[i] : w->part;
    if (!known) {
      memset(part, 0, (size_t)w->g->batch * sizeof *part);
      lrp_sum_samples(&r_in[i], w->g->edge[e].run, lrp_reals(&r_in[i]), w->g->batch, part);
    }
    for (int64_t k = 0; k < w->g->batch; k++)
      sum[k] += part[k];
    deliver(w->g, e, &r_in[i], part);
  }
  for (int64_t k = 0; !st && k < w->g->batch; k++)
    if (!isfinite(sum[k]))
      st = lrp_fail(
          w->ctx, LRP_E_NUMERIC,
          "node \"%s\" (%s): rule %s gives relevance that is not finite; a larger epsilon may help",
          s->name, s->op, s->rule ? s->rule_text : "exact");
  return st;
}

static void book(const walk *w, lrp_ledger *l, bool table)
{
  for (int64_t k = 0; k < w->g->batch; k++) {
    l[k].r_in = w->in[k];
    l[k].stab = table ? w->stab[k] : 0;
    l[k].gate = table ? w->gate[k] : l[k].r_out - l[k].r_in;
    l[k].bias = l[k].r_out - l[k].r_in - l[k].stab - l[k].gate;
  }
}

/* Relevance above the step, and its sum for each sample; false: there is none. */
static bool gather_above(walk *w, const lrp_step *s, lrp_tensor *r_out, double *sum)
{
  bool some = false;
  for (uint32_t i = 0; i < s->n_out; i++) {
    r_out[i] = s->out_t[i];
    r_out[i].dtype = LRP_REAL;
    r_out[i].flags = 0;
    r_out[i].data = s->out[i] >= 0 ? w->g->edge[s->out[i]].r : NULL;
    some = some || r_out[i].data;
    for (int64_t k = 0; r_out[i].data && k < w->g->batch; k++)
      sum[k] += w->g->edge[s->out[i]].sum[k];
  }
  return some;
}

/* Room for the sums of what comes back, of inputs whose samples are blocks. */
static lrp_status give_sums(walk *w, const lrp_step *s, const lrp_tensor *r_in)
{
  const int64_t n = w->g->batch;
  double *sum = lrp_arena_alloc(&w->ctx->scratch, s->n_in * (size_t)n * sizeof *sum);
  w->back = lrp_arena_alloc(&w->ctx->scratch, (s->n_in + 1) * sizeof *w->back);
  w->summed = false;
  if (!w->back || !sum) return lrp_nomem(w->ctx, "relevance");
  for (uint32_t i = 0; i < s->n_in; i++)
    if (r_in[i].data && has_blocks(w, s, r_in, i)) w->back[i] = sum + i * n;
  return LRP_OK;
}

static lrp_status apply_rule(walk *w, lrp_step *s, const lrp_tensor *r_out, lrp_tensor *r_in)
{
  const lrp_site site = {.struct_size = sizeof site,
                         .degree = s->type->degree ? s->type->degree(s->inst, s->freeze) : 1,
                         .type = s->type,
                         .inst = s->inst,
                         .call = &s->call,
                         .r_out = r_out,
                         .r_in = r_in,
                         .rule = s->rule,
                         .rule_args = s->rule_args,
                         .host = s};
  lrp_loss loss = {.n = w->g->batch,
                   .run = s->out[0] >= 0 ? w->g->edge[s->out[0]].run : 0,
                   .stab = w->stab,
                   .gate = w->gate,
                   .in = w->back,
                   .holds = w->holds};
  lrp_lifetimes_look(w->g, s);
  lrp_status st = w->g->plain ? LRP_OK : lrp_step_save(w->ctx, w->g, s);
  if (st) return st;
  s->call.freeze = w->g->plain ? 0 : s->freeze;
  if (w->g->plain && s->type->vjp)
    return s->type->vjp(&lrp_the_host, w->ctx, s->inst, &s->call, r_out, r_in);
  st = lrp_site_relprop(w->ctx, s->rule, s->rule_args, &site, &loss);
  w->summed = loss.summed;
  return st;
}

/* A rule that leaves relevance as it is, or a layer that only copies without one, between one output and one input of
 * equal size: the buffer is handed on.  False: it is not so here, or somebody else wants the relevance above. */
static bool hand_on(walk *w, const lrp_step *s, lrp_ledger *l)
{
  int32_t from = -1, to = -1;
  if (w->g->plain || s->filter || s->type->relprop ||
      (s->rule ? !LRP_HAS(lrp_rule, s->rule, unchanged) : !lrp_copies(s->type)))
    return false;
  for (uint32_t i = 0; i < s->n_out; i++)
    if (s->out[i] >= 0 && w->g->edge[s->out[i]].r) {
      if (from >= 0 || i) return false;
      from = s->out[i];
    }
  for (uint32_t i = 0; i < s->n_in; i++)
    if (s->carrier_of[i] >= 0 || (lrp_port_of(s, i)->role == LRP_PORT_DATA && s->in[i] >= 0 &&
                                  w->g->edge[s->in[i]].live)) {
      if (to >= 0 || s->carrier_of[i] >= 0) return false;
      to = s->in[i];
    }
  if (from < 0 || to < 0 || from == w->at ||
      lrp_count(&w->g->edge[from].t) != lrp_count(&w->g->edge[to].t))
    return false;
  lrp_edge *above = &w->g->edge[from];
  lrp_tensor r = w->g->edge[to].t;
  r.data = above->r;
  above->r = NULL;
  deliver(w->g, to, &r, above->sum);
  for (int64_t k = 0; k < w->g->batch; k++)
    l[k].r_in = l[k].r_out;
  return true;
}

/* Samples that are no blocks become blocks, in the order of the samples; or back. */
static void to_blocks(const lrp_tensor *t, int64_t run, int64_t n, lrp_real *blocks, bool back)
{
  lrp_real *v = lrp_reals(t);
  const int64_t all = lrp_count(t), rounds = all / (run * n);
  for (int64_t i = 0; i * run < all; i++) {
    lrp_real *block = blocks + (i % n * rounds + i / n) * run;
    memcpy(back ? v + i * run : block, back ? block : v + i * run, (size_t)run * sizeof *v);
  }
}

static lrp_status filter_samples(const walk *w, const lrp_step *s, int64_t run, lrp_tensor *r)
{
  const int64_t n = w->g->batch, all = lrp_count(r);
  if (lrp_samples_are_blocks(r, run, n))
    return s->filter->filter(&lrp_the_host, w->ctx, s->filter_args, run ? all / run : 1, r);
  lrp_tensor blocks = {.dtype = LRP_REAL, .rank = 2, .shape = {n, all / n}};
  lrp_status st = lrp_scratch_raw(w->ctx, &blocks, &blocks);
  if (st) return st;
  to_blocks(r, run, n, lrp_reals(&blocks), false);
  st = s->filter->filter(&lrp_the_host, w->ctx, s->filter_args, n, &blocks);
  to_blocks(r, run, n, lrp_reals(&blocks), true);
  return st;
}

/* What the filter cuts off is booked as dropped.  Relevance that is not finite is left to collect(). */
static lrp_status apply_filter(walk *w, const lrp_step *s, lrp_tensor *r_in)
{
  const int64_t n = w->g->batch;
  lrp_status st = LRP_OK;
  for (uint32_t i = 0; !st && s->filter && !w->g->plain && i < s->n_in; i++) {
    if (!r_in[i].data) continue;
    const int64_t run = w->g->edge[edge_below(s, i)].run;
    double *cut = w->part;
    memset(cut, 0, (size_t)n * sizeof *cut);
    lrp_sum_samples(&r_in[i], run, lrp_reals(&r_in[i]), n, cut);
    bool finite = true;
    for (int64_t k = 0; k < n; k++)
      finite = finite && isfinite(cut[k]);
    if (!finite) continue;
    st = filter_samples(w, s, run, &r_in[i]);
    for (int64_t k = 0; k < n; k++)
      w->gate[k] += cut[k];
    memset(cut, 0, (size_t)n * sizeof *cut);
    lrp_sum_samples(&r_in[i], run, lrp_reals(&r_in[i]), n, cut);
    for (int64_t k = 0; k < n; k++)
      w->gate[k] -= cut[k];
  }
  return st;
}

static lrp_status step_back(walk *w, int32_t position)
{
  lrp_graph *g = w->g;
  lrp_step *s = &g->step[g->order[position]];
  lrp_ledger *l = &g->ledger[(int64_t)position * g->batch];
  const size_t sums = (size_t)g->batch * sizeof(double);
  lrp_tensor *r_out = lrp_arena_alloc(&w->ctx->scratch, (s->n_out + 1) * sizeof *r_out);
  lrp_tensor *r_in = lrp_arena_alloc(&w->ctx->scratch, (s->n_in + 1) * sizeof *r_in);
  if (!r_out || !r_in) return lrp_nomem(w->ctx, "relevance");
  memset(w->in, 0, sums);
  memset(w->stab, 0, sums);
  if (!gather_above(w, s, r_out, w->in) || !s->wanted) return LRP_OK;
  for (int64_t k = 0; k < g->batch; k++)
    w->gate[k] = l[k].r_out = w->in[k];
  if (hand_on(w, s, l)) return LRP_OK;
  memset(w->in, 0, sums);
  lrp_status st = give_buffers(w, s, r_in);
  if (!st) st = give_sums(w, s, r_in);
  if (!st) st = apply_rule(w, s, r_out, r_in);
  if (!st) st = apply_filter(w, s, r_in);
  if (st) {
    for (uint32_t i = 0; i < s->n_in; i++)
      if (w->holds && !w->holds[i]) lrp_pool_put(g->pool, r_in[i].data);
    return lrp_fail_at(w->ctx, st, "node \"%s\" (%s): ", s->name, s->op);
  }
  st = collect(w, s, r_in, w->in);
  book(w, l, !g->plain && s->rule && s->rule->table && !s->type->relprop);
  return st;
}

static void drop_relevance(walk *w, const lrp_step *s)
{
  for (uint32_t i = 0; i < s->n_out; i++) {
    const int32_t e = s->out[i];
    if (e < 0 || e == w->at || !w->g->edge[e].r) continue;
    lrp_pool_put(w->g->pool, w->g->edge[e].r);
    w->g->edge[e].r = NULL;
  }
}

/* ---- the whole walk ---- */

lrp_status lrp_graph_results(lrp_ctx *ctx, lrp_graph *g)
{
  const size_t n = (size_t)(g->batch > 0 ? g->batch : 1), steps = (size_t)g->n_order + 1;
  size_t cells;
  if (!lrp_mul_size(n, steps, &cells) || !lrp_mul_size(cells, sizeof(lrp_ledger), &cells))
    return lrp_nomem(ctx, "the ledger");
  g->out_view = lrp_arena_alloc(&g->arena, ((size_t)g->n_output + 1) * sizeof *g->out_view);
  g->result_tensor =
      lrp_arena_alloc(&g->arena, ((size_t)g->n_input + 1) * sizeof *g->result_tensor);
  g->value = lrp_arena_alloc(&g->arena, n * sizeof *g->value);
  g->sum = lrp_arena_alloc(&g->arena, n * sizeof *g->sum);
  g->ledger = lrp_arena_alloc(&g->arena, cells);
  for (int32_t i = 0; i < g->n_edge; i++)
    if (!(g->edge[i].sum = lrp_arena_alloc(&g->arena, n * sizeof *g->edge[i].sum)))
      return lrp_nomem(ctx, "results");
  if (!g->out_view || !g->result_tensor || !g->value || !g->sum || !g->ledger)
    return lrp_nomem(ctx, "results");
  return LRP_OK;
}

static void forget_relevance(lrp_graph *g)
{
  for (int32_t i = 0; i < g->n_edge; i++)
    if (g->edge[i].r) {
      lrp_pool_put(g->pool, g->edge[i].r);
      g->edge[i].r = NULL;
    }
}

static lrp_status place_seed(walk *w, const lrp_tensor *seed)
{
  lrp_graph *g = w->g;
  lrp_edge *e = &g->edge[g->score];
  size_t bytes;
  if (lrp_count(seed) != lrp_count(&e->t))
    return lrp_fail(w->ctx, LRP_E_SHAPE, "the seed has %lld values, the scores %lld",
                    (long long)lrp_count(seed), (long long)lrp_count(&e->t));
  lrp_status st = lrp_tensor_bytes(w->ctx, &e->t, &bytes);
  if (st) return st;
  e->r = lrp_pool_get(w->ctx, g->pool, bytes, false);
  if (!e->r) return LRP_E_NOMEM;
  memcpy(e->r, seed->data, bytes);
  memset(g->value, 0, (size_t)g->batch * sizeof *g->value);
  lrp_sum_samples(&e->t, e->run, e->r, g->batch, g->value);
  memcpy(e->sum, g->value, (size_t)g->batch * sizeof *e->sum);
  return LRP_OK;
}

/* The edge that a user names: a tensor, or the first output of a node. */
static lrp_status find_at(lrp_ctx *ctx, const lrp_graph *g, const char *at, int32_t *out)
{
  *out = -1;
  for (int32_t i = 0; at && i < g->n_edge; i++)
    if (!strcmp(g->edge[i].name, at) && !g->edge[i].moved &&
        (g->edge[i].step < 0 || !g->step[g->edge[i].step].dead))
      *out = i;
  for (int32_t k = 0; at && *out < 0 && k < g->n_order; k++)
    if (!strcmp(g->step[g->order[k]].name, at) && g->step[g->order[k]].out[0] >= 0)
      *out = g->step[g->order[k]].out[0];
  for (int32_t i = 0; at && *out < 0 && i < g->n_edge; i++)
    if (!strcmp(g->edge[i].name, at)) *out = i;
  return !at || *out >= 0 ? LRP_OK
                          : lrp_fail(ctx, LRP_E_ARG, "the model has no node or tensor \"%s\"", at);
}

static lrp_status results(walk *w)
{
  lrp_graph *g = w->g;
  memset(g->sum, 0, (size_t)g->batch * sizeof *g->sum);
  for (int32_t i = 0; i < g->n_input; i++) {
    const lrp_edge *e = &g->edge[g->input[i]];
    g->result_tensor[i] = e->t;
    g->result_tensor[i].dtype = LRP_REAL;
    g->result_tensor[i].flags = 0;
    g->result_tensor[i].data = e->r;
    for (int64_t k = 0, n = lrp_count(&e->t); e->r && k < n; k++)
      if (!isfinite(e->r[k]))
        return lrp_fail(w->ctx, LRP_E_NUMERIC,
                        "relevance of input \"%s\" is not finite at element %lld", e->name,
                        (long long)k);
    for (int64_t k = 0; e->r && k < g->batch; k++)
      g->sum[k] += e->sum[k];
  }
  if (w->at >= 0) {
    g->at_tensor = g->edge[w->at].t;
    g->at_tensor.dtype = LRP_REAL;
    g->at_tensor.data = g->edge[w->at].r;
  }
  return LRP_OK;
}

static int64_t now_ns(void)
{
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

lrp_status lrp_graph_relprop(lrp_ctx *ctx, lrp_graph *g, const lrp_tensor *seed, const char *at,
                             const lrp_relevance **out)
{
  const int64_t start = now_ns();
  const lrp_mark mark = lrp_arena_mark(&ctx->scratch);
  const size_t n = (size_t)g->batch * sizeof(double) + 8;
  walk w = {.ctx = ctx, .g = g};
  w.in = lrp_arena_alloc(&ctx->scratch, n);
  w.stab = lrp_arena_alloc(&ctx->scratch, n);
  w.gate = lrp_arena_alloc(&ctx->scratch, n);
  w.part = lrp_arena_alloc(&ctx->scratch, n);
  lrp_status st = !g->ran ? lrp_fail(ctx, LRP_E_ARG, "relevance needs a forward pass first")
                  : w.in && w.stab && w.gate && w.part ? find_at(ctx, g, at, &w.at)
                                             : lrp_nomem(ctx, "relevance");
  forget_relevance(g);
  memset(g->ledger, 0, (size_t)g->n_order * (size_t)g->batch * sizeof *g->ledger);
  if (!st) st = place_seed(&w, seed);
  ctx->samples = g->batch;
  ctx->direct = g->direct;
  for (int32_t k = g->n_order; !st && k-- > 0;) {
    const lrp_mark inner = lrp_arena_mark(&ctx->scratch);
    lrp_meter meter;
    lrp_meter_begin(ctx, g, &meter);
    st = step_back(&w, k);
    lrp_meter_end(ctx, g, &meter, k, true);
    drop_relevance(&w, &g->step[g->order[k]]);
    if (!st) lrp_lifetimes_back(g, k);
    lrp_arena_release(&ctx->scratch, inner);
  }
  ctx->samples = 0;
  ctx->direct = false;
  if (!st) st = results(&w);
  lrp_arena_release(&ctx->scratch, mark);
  g->result = (lrp_relevance){.n_tensor = g->n_input,
                              .tensor = g->result_tensor,
                              .at = w.at >= 0 && at ? &g->at_tensor : NULL,
                              .value = g->value,
                              .sum = g->sum,
                              .ledger = g->ledger,
                              .wall_ns = now_ns() - start};
  *out = st ? NULL : &g->result;
  return st;
}
