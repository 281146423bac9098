/* table_paired.c - tables whose passes come in pairs (LRP-gamma), by half the products; on inputs that
 * are not negative by three of four, where outputs of both signs have relevance.
 *
 * With x+ = max(x,0), x- = min(x,0), likewise W+, W-:
 *
 *   x+ (a W + b W+) + x- (a W + b W-) = (a + b/2) x W + b/2 |x| |W|
 *   x+ (a W + b W-) + x- (a W + b W+) = (a + b/2) x W - b/2 |x| |W|
 *
 * x W is the genuine output without its bias, so all groups together cost one product |x| |W|
 * forward and two transposed ones, instead of two and two for each group.  Safe in floats only
 * where the sum cannot cancel: the group's gate must fix the sign of z to that of the second term,
 * and a must not be 0.  LRP-z+ and alpha-beta (a = 0) would lose digits. */
#include "params.h"
#include "table.h"

typedef struct pair { /* of a group */
  const lrp_pass *pos, *neg;
  double alpha, beta; /* factors of x W and |x| |W| */
} pair;

static bool pair_of(const lrp_table *t, uint32_t group, pair *p)
{
  *p = (pair){0};
  for (uint32_t i = 0; i < t->n_pass; i++) {
    const lrp_pass *q = &t->pass[i];
    if (q->group != group) continue;
    if (q->in == LRP_IN_POS && !p->pos)
      p->pos = q;
    else if (q->in == LRP_IN_NEG && !p->neg)
      p->neg = q;
    else
      return false;
  }
  if (!p->pos || !p->neg || p->pos->w_a != p->neg->w_a || p->pos->w_b != p->neg->w_b ||
      p->pos->den != 1 || p->neg->den != 1 || p->pos->red != 1 || p->neg->red != 1)
    return false;
  const bool up = p->pos->w_part == LRP_PART_POS && p->neg->w_part == LRP_PART_NEG;
  const bool down = p->pos->w_part == LRP_PART_NEG && p->neg->w_part == LRP_PART_POS;
  p->alpha = p->pos->w_a + p->pos->w_b / 2;
  p->beta = (up ? 1 : -1) * p->pos->w_b / 2;
  const uint32_t gate = t->group[group].gate;
  return p->pos->w_a > 0 && p->pos->w_b >= 0 &&
         ((up && gate == LRP_GATE_POS) || (down && gate == LRP_GATE_NEG));
}

/* Where the input is not negative half of the passes are empty: then it pays only if two groups get
 * relevance. */
static bool pays(const lrp_site *site, uint32_t taking)
{
  return !(site->call->in[0].flags & LRP_NONNEG) || (taking & (taking - 1));
}

/* A linear layer with one input whose bias, if any, is added over the last axis. */
bool lrp_table_is_paired(const lrp_site *site, const lrp_table *table, uint32_t taking)
{
  pair p;
  const lrp_call *c = site->call;
  if (site->type->kind != LRP_KIND_LINEAR || c->n_in != 1 || c->n_out != 1 || site->degree != 1 ||
      site->type->n_saved || !site->type->vjp || !c->in[0].data || !c->out[0].rank || !lrp_count(&c->out[0]) ||
      table->stab != LRP_STAB_ADD || table->norm_scale ||
      (table->n_group > 1 && (table->n_group > 2 || table->group[0].gate == table->group[1].gate)))
    return false;
  for (uint32_t i = 0; i < c->n_param; i++)
    if (site->type->param[i].role == LRP_PORT_BIAS && c->param[i].data &&
        lrp_count(&c->param[i]) != c->out[0].shape[c->out[0].rank - 1])
      return false;
  for (uint32_t g = 0; g < table->n_group; g++)
    if (!pair_of(table, g, &p)) return false;
  return table->n_group > 0 && pays(site, taking);
}

static lrp_status step_params(lrp_ctx *ctx, const lrp_site *site, const lrp_pass *form,
                              lrp_tensor **out)
{
  *out = lrp_arena_alloc(&ctx->scratch, (site->call->n_param + 1) * sizeof **out);
  if (!*out) return lrp_nomem(ctx, "a rule");
  return site->host ? lrp_step_params(ctx, site->host, form, *out)
                    : lrp_params_scratch(ctx, site, form, *out);
}

/* What is added to alpha z + beta A, over the last axis, c elements: the biases of both passes in place of alpha b. */
static lrp_status bias_of(lrp_ctx *ctx, const lrp_site *site, const pair *p, int64_t c, const lrp_real **out)
{
  const lrp_real alpha = (lrp_real)p->alpha;
  lrp_tensor *pos, *neg;
  lrp_real *bias = lrp_arena_alloc(&ctx->scratch, (size_t)c * sizeof *bias);
  lrp_status st = bias ? step_params(ctx, site, p->pos, &pos) : lrp_nomem(ctx, "a rule");
  if (!st) st = step_params(ctx, site, p->neg, &neg);
  if (st) return st;
  for (uint32_t k = 0; k < site->call->n_param; k++) {
    const lrp_real *b = lrp_reals(&site->call->param[k]), *bp = lrp_reals(&pos[k]),
                   *bn = lrp_reals(&neg[k]);
    if (site->type->param[k].role != LRP_PORT_BIAS || !b) continue;
    for (int64_t i = 0; i < c; i++)
      bias[i] += (bp ? bp[i] : 0) + (bn ? bn[i] : 0) - alpha * b[i];
  }
  *out = bias;
  return LRP_OK;
}

static lrp_status absolute_input(lrp_ctx *ctx, const lrp_tensor *x, lrp_tensor *out)
{
  *out = *x;
  if (x->flags & LRP_NONNEG) return LRP_OK;
  const lrp_status st = lrp_scratch_raw(ctx, x, out);
  const int64_t n = lrp_count(x);
  const lrp_real *v = lrp_reals(x);
  lrp_real *to = st ? NULL : lrp_reals(out);
  LRP_THREADS_SIMD(n > 65536,
  for (int64_t i = 0; i < (to ? n : 0); i++)
    to[i] = v[i] < 0 ? -v[i] : v[i];);
  out->flags = LRP_NONNEG;
  return st;
}

/* r_in = or += x . W^T bar, for one of the two maps. */
static lrp_status give(lrp_ctx *ctx, const lrp_site *site, const lrp_call *call,
                       const lrp_tensor *s, bool add, lrp_loss *loss)
{
  const lrp_tensor *bar;
  const lrp_status st = lrp_the_host.vjp(ctx, site, call, s, &bar);
  if (!st) lrp_table_give(site, 0, 1, lrp_reals(&call->in[0]), lrp_reals(&bar[0]), add, loss);
  return st;
}

/* u, v: alpha s and beta s of the group on whose side an output is; `a` is A. */
static lrp_status divide(lrp_ctx *ctx, const lrp_site *site, const lrp_table *t, const lrp_tensor *a, lrp_real *u,
                         lrp_real *v, lrp_loss *loss)
{
  const int64_t c = a->shape[a->rank - 1];
  lrp_real *none = lrp_arena_alloc(&ctx->scratch, (size_t)c * sizeof *none);
  lrp_sides sides = {.a = lrp_reals(a), .bias = {none, none}, .period = c, .u = u, .v = v};
  lrp_division q = {.sides = &sides};
  lrp_status st = none ? LRP_OK : lrp_nomem(ctx, "a rule");
  for (uint32_t g = 0; !st && g < t->n_group; g++) {
    pair p;
    const int side = t->group[g].gate == LRP_GATE_NEG;
    pair_of(t, g, &p);
    sides.coef[side] = (lrp_real)t->group[g].coef;
    sides.alpha[side] = (lrp_real)p.alpha;
    sides.beta[side] = (lrp_real)p.beta;
    st = bias_of(ctx, site, &p, c, &sides.bias[side]);
  }
  if (!st) lrp_table_quotient(site, t, &q, NULL, loss);
  return st;
}

lrp_status lrp_table_eval_paired(lrp_ctx *ctx, const lrp_site *site, const lrp_table *t,
                                 lrp_loss *loss)
{
  static const lrp_pass ABSOLUTE = {
      .w_a = -1, .w_b = 2, .w_part = LRP_PART_POS, .b_part = LRP_PART_ZERO}; /* |w| = 2 w+ - w */
  lrp_tensor x, *param, u, v;
  const lrp_call *a;
  lrp_status st = absolute_input(ctx, &site->call->in[0], &x);
  if (!st) st = step_params(ctx, site, &ABSOLUTE, &param);
  if (!st) st = lrp_the_host.forward(ctx, site, &x, param, &a);
  if (!st) st = lrp_scratch_raw(ctx, &site->r_out[0], &u);
  if (!st) st = lrp_scratch_raw(ctx, &site->r_out[0], &v);
  if (!st) st = divide(ctx, site, t, &a->out[0], lrp_reals(&u), lrp_reals(&v), loss);
  if (!st) st = give(ctx, site, site->call, &u, lrp_table_holds(loss, 0), loss);
  if (!st) st = give(ctx, site, a, &v, true, loss);
  return st;
}
