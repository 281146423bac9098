/* assign.c - gives every step of a graph its rule: the first line of a composite whose matchers all
 * fit. */
#include "composite.h"
#include "table.h"
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

/* The longest way from an input to each step, as a fraction of the longest of all. */
static void depths(const lrp_graph *g, double *depth)
{
  double most = 0;
  for (int32_t k = 0; k < g->n_order; k++) {
    const lrp_step *s = &g->step[g->order[k]];
    double d = 0;
    for (uint32_t i = 0; i < s->n_in; i++) {
      const int32_t by = s->in[i] >= 0 ? g->edge[s->in[i]].step : -1;
      if (by >= 0 && depth[by] + 1 > d) d = depth[by] + 1;
    }
    depth[g->order[k]] = d;
    most = d > most ? d : most;
  }
  for (int32_t k = 0; most > 0 && k < g->n_order; k++)
    depth[g->order[k]] /= most;
}

static bool plain_match(const lrp_matcher *m, const lrp_step *s, double depth)
{
  switch (m->what) {
  case LRP_MATCH_ANY:
    return true;
  case LRP_MATCH_KIND:
    return s->type->kind == m->kind;
  case LRP_MATCH_LAYER:
    return !fnmatch(m->glob, s->type->name, 0);
  case LRP_MATCH_OP:
    return !fnmatch(m->glob, s->op, 0);
  case LRP_MATCH_NAME:
    return !fnmatch(m->glob, s->name, 0);
  case LRP_MATCH_DEPTH:
    return depth >= m->from && depth <= m->to;
  default:
    return false;
  }
}

/* FIRST: matches, and no step on the way from an input matches.  LAST: no step on the way to the
 * scores. */
static void mark_first(const lrp_graph *g, const lrp_matcher *of, const double *depth, bool *first,
                       bool *behind)
{
  for (int32_t k = 0; k < g->n_order; k++) {
    const int32_t id = g->order[k];
    const lrp_step *s = &g->step[id];
    bool after = false;
    for (uint32_t i = 0; i < s->n_in; i++) {
      const int32_t by = s->in[i] >= 0 ? g->edge[s->in[i]].step : -1;
      after = after || (by >= 0 && behind[by]);
    }
    const bool m = s->wanted && plain_match(of, s, depth[id]);
    first[id] = m && !after;
    behind[id] = after || m;
  }
}

static void mark_last(const lrp_graph *g, const lrp_matcher *of, const double *depth, bool *last,
                      bool *before)
{
  for (int32_t k = g->n_order; k-- > 0;) {
    const int32_t id = g->order[k];
    const lrp_step *s = &g->step[id];
    const bool m = s->wanted && plain_match(of, s, depth[id]);
    last[id] = m && !before[id];
    for (uint32_t i = 0; i < s->n_in; i++) {
      const int32_t by = s->in[i] >= 0 ? g->edge[s->in[i]].step : -1;
      if (by >= 0) before[by] = before[by] || before[id] || m;
    }
  }
}

/* The operand that is a gate: it comes, perhaps rearranged, from a step that fits, and no other does.
 *
 *     x ----------------------> Mul -> y        signal: x
 *     x -> ... -> Sigmoid -> g /                gate: g
 *
 * Its bit among what can be frozen; 0: there is no such operand, or the layer cannot freeze it. */
static uint32_t gate_bit(const lrp_graph *g, const lrp_step *s, const lrp_matcher *of,
                         const double *depth)
{
  int32_t gate = -1, n = 0;
  for (uint32_t i = 0; i < s->n_in; i++) {
    int32_t by = s->in[i] >= 0 ? g->edge[s->in[i]].step : -1;
    while (by >= 0 && g->step[by].type->kind == LRP_KIND_RESHAPE && g->step[by].n_in &&
           g->step[by].in[0] >= 0)
      by = g->edge[g->step[by].in[0]].step;
    if (by < 0 || !plain_match(of, &g->step[by], depth[by])) continue;
    gate = (int32_t)i;
    n++;
  }
  for (uint32_t k = 0; n == 1 && s->type->freezable && s->type->freezable[k]; k++)
    if (!strcmp(lrp_port_of(s, (uint32_t)gate)->name, s->type->freezable[k])) return UINT32_C(1) << k;
  return 0;
}

/* What the line's gate: matchers freeze at this step. */
static uint32_t gate_bits(const lrp_graph *g, const lrp_step *s, const lrp_composite_rule *line,
                          const double *depth)
{
  uint32_t bits = 0;
  for (int64_t i = 0; i < line->n_matcher; i++)
    if (line->matcher[i].what == LRP_MATCH_GATE)
      bits |= gate_bit(g, s, line->matcher[i].of, depth);
  return bits;
}

/* BEFORE: something reads the step, and all that read it match. */
static void mark_before(const lrp_graph *g, const lrp_matcher *of, const double *depth, bool *set,
                        bool *other)
{
  for (int32_t k = 0; k < g->n_order; k++) {
    const int32_t id = g->order[k];
    const lrp_step *s = &g->step[id];
    const bool m = plain_match(of, s, depth[id]);
    for (uint32_t i = 0; i < s->n_in; i++) {
      const int32_t by = s->in[i] >= 0 ? g->edge[s->in[i]].step : -1;
      if (by < 0) continue;
      set[by] = set[by] || m;
      other[by] = other[by] || !m;
    }
  }
  for (int32_t id = 0; id < g->n_step; id++)
    set[id] = set[id] && !other[id];
}

/* A line fits those steps that all its matchers fit. */
static lrp_status fit_line(lrp_ctx *ctx, const lrp_graph *g, const lrp_composite_rule *line,
                           const double *depth, bool *fits)
{
  const size_t n = (size_t)g->n_step + 1;
  memset(fits, 1, n * sizeof *fits);
  for (int64_t i = 0; i < line->n_matcher; i++) {
    const lrp_matcher *m = &line->matcher[i];
    bool *set = NULL, *aux = NULL;
    const bool gate = m->what == LRP_MATCH_GATE;
    if (m->of && !gate) {
      set = lrp_arena_alloc(&ctx->scratch, n * sizeof *set);
      aux = lrp_arena_alloc(&ctx->scratch, n * sizeof *aux);
      if (!set || !aux) return lrp_nomem(ctx, "a composite");
      (m->what == LRP_MATCH_FIRST  ? mark_first
       : m->what == LRP_MATCH_LAST ? mark_last
                                   : mark_before)(g, m->of, depth, set, aux);
    }
    for (int32_t k = 0; k < g->n_order; k++) {
      const int32_t id = g->order[k];
      const lrp_step *s = &g->step[id];
      fits[id] = fits[id] && (set    ? set[id]
                              : gate ? gate_bit(g, s, m->of, depth) != 0
                                     : plain_match(m, s, depth[id]));
    }
  }
  return LRP_OK;
}

/* Freeze bits of the intermediates that the line names; false: the layer has none of that name. */
static bool freeze_bits(const lrp_composite_rule *line, const lrp_layer_type *type, uint32_t *bits,
                        const char **missing)
{
  *bits = 0;
  for (int64_t i = 0; i < line->n_freeze; i++) {
    uint32_t bit = 32;
    for (uint32_t k = 0; type->freezable && type->freezable[k]; k++)
      if (!strcmp(type->freezable[k], line->freeze[i])) bit = k;
    *missing = line->freeze[i];
    if (bit == 32) return false;
    *bits |= UINT32_C(1) << bit;
  }
  return true;
}

/* An operand that no relevance can reach, as a mask made of the model's integer inputs, is a constant:
 * it is frozen whatever the line says, and the other operand is not, else relevance would end here. */
static uint32_t freeze_dead(const lrp_graph *g, const lrp_step *s, uint32_t bits)
{
  uint32_t ports = 0, dead = 0;
  for (uint32_t k = 0; s->type->freezable && s->type->freezable[k]; k++)
    for (uint32_t i = 0; i < s->n_in; i++) {
      if (s->in[i] < 0 || strcmp(lrp_port_of(s, i)->name, s->type->freezable[k])) continue;
      ports |= UINT32_C(1) << k;
      if (!g->edge[s->in[i]].live) dead |= UINT32_C(1) << k;
    }
  return dead ? (bits & ~ports) | dead : bits;
}

static lrp_status give(lrp_ctx *ctx, lrp_graph *g, lrp_step *s, const lrp_composite_rule *line,
                       uint32_t gates)
{
  const char *missing = "";
  uint32_t bits;
  if (!freeze_bits(line, s->type, &bits, &missing))
    return lrp_fail(ctx, LRP_E_ARG, "node \"%s\": layer \"%s\" has nothing to freeze named \"%s\"",
                    s->name, s->type->name, missing);
  s->rule = line->rule;
  s->rule_args = line->args;
  s->filter = line->filter;
  s->filter_args = line->filter_args;
  s->freeze = freeze_dead(g, s, bits | gates);
  s->rule_text = lrp_arena_text(&g->arena, line->rule_text, strlen(line->rule_text));
  s->matcher = lrp_arena_text(&g->arena, line->matcher_text, strlen(line->matcher_text));
  return s->rule_text && s->matcher ? LRP_OK : lrp_nomem(ctx, "a composite");
}

/* The line that most presets have for layers of a kind. */
static const char *remedy(uint32_t kind)
{
  static const char *const LINE[] = {[LRP_KIND_ELEMENTWISE] = "pass",
                                     [LRP_KIND_NORM] = "pass",
                                     [LRP_KIND_SUM] = "norm",
                                     [LRP_KIND_POOL_SUM] = "norm",
                                     [LRP_KIND_POOL_MAX] = "winner",
                                     [LRP_KIND_RECURRENT] = "epsilon(epsilon=0.001)"};
  const char *line = kind < sizeof LINE / sizeof LINE[0] ? LINE[kind] : NULL;
  return line ? line : "epsilon";
}

/* "KIND -> RULE" for each kind of layer that lacks one, and the preset that knows attention. */
static void remedies(const lrp_graph *g, char *out, size_t n)
{
  size_t used = 0;
  bool attention = false;
  for (uint32_t kind = 0; kind < LRP_KIND_COUNT; kind++) {
    bool lacks = false;
    for (int32_t k = 0; k < g->n_order; k++) {
      const lrp_step *s = &g->step[g->order[k]];
      lacks = lacks || (s->wanted && !s->rule && s->type->kind == kind && kind != LRP_KIND_RESHAPE);
    }
    if (lacks && used + 80 < n)
      used += (size_t)snprintf(out + used, n - used, "%skind:%s -> %s", used ? "; " : "",
                               lrp_kind_name(kind), remedy(kind));
    attention = attention || (lacks && kind == LRP_KIND_SOFTMAX);
  }
  if (attention && used + 80 < n)
    snprintf(out + used, n - used, "; where this is attention take --rules attnlrp");
}

/* Wanted steps without a rule, all of them, in one message; rearrangements are exact without
 * one. */
static lrp_status check_all(lrp_ctx *ctx, lrp_graph *g)
{
  enum { ROOM = LRP_MESSAGE_MAX - 1024 };
  char *list = lrp_arena_alloc(&ctx->scratch, ROOM), advice[512] = "";
  size_t used = 0;
  int64_t missing = 0;
  if (!list) return lrp_nomem(ctx, "a composite");
  for (int32_t k = 0; k < g->n_order; k++) {
    lrp_step *s = &g->step[g->order[k]];
    if (!s->wanted || s->rule) continue;
    if (s->type->kind == LRP_KIND_RESHAPE) {
      s->rule_text = "exact";
      continue;
    }
    missing++;
    if (used + 256 < ROOM)
      used += (size_t)snprintf(list + used, ROOM - used,
                               "\n  node \"%.60s\" (%.40s): layer:%.40s, kind:%s", s->name, s->op,
                               s->type->name, lrp_kind_name(s->type->kind));
  }
  if (!missing) return LRP_OK;
  remedies(g, advice, sizeof advice);
  return lrp_fail(ctx, LRP_E_UNSUPPORTED,
                  "the composite gives no rule to %lld node%s:%s\nadd lines for them (lrp rules): %s",
                  (long long)missing, missing == 1 ? "" : "s", list, advice);
}

/* May relevance meet numbers that have nothing to do with it?  Below a ReLU relevance is the smaller, the smaller the number
 * is that it stands at, and their quotient is tame.  Where a norm or a shift stands between, it is not: relevance is divided
 * by numbers near 0, and the last digits of what convolutions gave decide.  DenseNet is such a net. */
static bool is_delicate(const lrp_graph *g)
{
  bool is = false;
  for (int32_t k = 0; k < g->n_order; k++) {
    const lrp_step *s = &g->step[g->order[k]];
    const bool shifts = s->type->kind == LRP_KIND_NORM || (s->type->kind == LRP_KIND_ELEMENTWISE && s->n_param > 0);
    is = is || (s->wanted && s->rule && shifts);
  }
  return is;
}

lrp_status lrp_graph_assign(lrp_ctx *ctx, lrp_graph *g, const lrp_composite *c)
{
  const size_t n = (size_t)g->n_step + 1;
  const lrp_mark mark = lrp_arena_mark(&ctx->scratch);
  double *depth = lrp_arena_alloc(&ctx->scratch, n * sizeof *depth);
  bool *fits = lrp_arena_alloc(&ctx->scratch, n * sizeof *fits);
  lrp_status st = depth && fits ? LRP_OK : lrp_nomem(ctx, "a composite");
  g->planned = false;
  if (g->lean) g->ran = false; /* what was kept served other rules */
  for (int32_t i = 0; i < g->n_step; i++) {
    g->step[i].rule = NULL;
    g->step[i].rule_args = NULL;
    g->step[i].filter = NULL;
    g->step[i].freeze = 0;
    g->step[i].rule_text = g->step[i].matcher = "";
    lrp_constant_drop(&g->step[i]);
  }
  if (!st) depths(g, depth);
  for (int64_t i = 0; !st && i < c->n_line; i++) {
    const lrp_mark inner = lrp_arena_mark(&ctx->scratch);
    st = fit_line(ctx, g, &c->line[i], depth, fits);
    for (int32_t k = 0; !st && k < g->n_order; k++) {
      lrp_step *s = &g->step[g->order[k]];
      if (s->wanted && !s->rule && fits[g->order[k]])
        st = give(ctx, g, s, &c->line[i], gate_bits(g, s, &c->line[i], depth));
    }
    lrp_arena_release(&ctx->scratch, inner);
  }
  if (!st) st = check_all(ctx, g);
  if (!st) g->direct = is_delicate(g);
  if (!st) st = lrp_demand(ctx, g);
  if (!st) lrp_lifetimes(g);
  lrp_arena_release(&ctx->scratch, mark);
  return st;
}
