/* table_paired.c - tables whose passes come in pairs (LRP-gamma), on inputs of any sign, by half
 * the products.
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
#include <math.h>
#include <string.h>

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

/* A linear layer with one input of either sign whose bias, if any, is added over the last axis. */
bool lrp_table_is_paired(const lrp_site *site, const lrp_table *table)
{
  pair p;
  const lrp_call *c = site->call;
  if (site->type->kind != LRP_KIND_LINEAR || c->n_in != 1 || c->n_out != 1 || site->degree != 1 ||
      site->type->n_saved || !site->type->vjp || (c->in[0].flags & LRP_NONNEG) || !c->out[0].rank)
    return false;
  for (uint32_t i = 0; i < c->n_param; i++)
    if (site->type->param[i].role == LRP_PORT_BIAS && c->param[i].data &&
        lrp_count(&c->param[i]) != c->out[0].shape[c->out[0].rank - 1])
      return false;
  for (uint32_t g = 0; g < table->n_group; g++)
    if (!pair_of(table, g, &p)) return false;
  return table->n_group > 0;
}

static lrp_status step_params(lrp_ctx *ctx, const lrp_site *site, const lrp_pass *form,
                              lrp_tensor **out)
{
  *out = lrp_arena_alloc(&ctx->scratch, (site->call->n_param + 1) * sizeof **out);
  if (!*out) return lrp_nomem(ctx, "a rule");
  return site->host ? lrp_step_params(ctx, site->host, form, *out)
                    : lrp_params_scratch(ctx, site, form, *out);
}

/* d = alpha (z - b) + beta A + the biases of both passes. */
static lrp_status denominator(lrp_ctx *ctx, const lrp_site *site, const pair *p, const lrp_real *a,
                              lrp_real *d)
{
  const lrp_tensor *out = &site->call->out[0];
  const lrp_real *z = lrp_reals(out), alpha = (lrp_real)p->alpha, beta = (lrp_real)p->beta;
  const int64_t n = lrp_count(out), c = out->shape[out->rank - 1];
  lrp_tensor *pos, *neg;
  lrp_status st = step_params(ctx, site, p->pos, &pos);
  if (!st) st = step_params(ctx, site, p->neg, &neg);
  if (st) return st;
#pragma omp parallel for simd if (parallel : n > 65536)
  for (int64_t i = 0; i < n; i++)
    d[i] = alpha * z[i] + beta * a[i];
  for (uint32_t k = 0; k < site->call->n_param; k++) {
    const lrp_real *b = lrp_reals(&site->call->param[k]), *bp = lrp_reals(&pos[k]),
                   *bn = lrp_reals(&neg[k]);
    if (site->type->param[k].role != LRP_PORT_BIAS || !b) continue;
    for (int64_t i = 0; i < n; i++)
      d[i] += (bp ? bp[i % c] : 0) + (bn ? bn[i % c] : 0) - alpha * b[i % c];
  }
  return LRP_OK;
}

static lrp_status absolute_input(lrp_ctx *ctx, const lrp_tensor *x, lrp_tensor *out)
{
  const lrp_status st = lrp_scratch_raw(ctx, x, out);
  const int64_t n = lrp_count(x);
  const lrp_real *v = lrp_reals(x);
  lrp_real *to = st ? NULL : lrp_reals(out);
#pragma omp parallel for simd if (parallel : n > 65536)
  for (int64_t i = 0; i < (to ? n : 0); i++)
    to[i] = v[i] < 0 ? -v[i] : v[i];
  out->flags = LRP_NONNEG;
  return st;
}

/* r_in = or += x . W^T bar, for one of the two maps. */
static lrp_status give(lrp_ctx *ctx, const lrp_site *site, const lrp_call *call,
                       const lrp_tensor *s, bool add)
{
  const lrp_tensor *bar;
  const lrp_status st = lrp_the_host.vjp(ctx, site, call, s, &bar);
  lrp_real *to = lrp_reals(&site->r_in[0]);
  const lrp_real *x = lrp_reals(&call->in[0]), *b = st ? NULL : lrp_reals(&bar[0]);
  const int64_t n = lrp_count(&site->r_in[0]);
  if (b) lrp_multiply(1, x, b, n, add, to);
  return st;
}

typedef struct sums { /* over the groups: alpha s, beta s */
  lrp_tensor u, v, s;
  lrp_real *d;
  bool some;
} sums;

static lrp_status add_group(lrp_ctx *ctx, const lrp_site *site, const lrp_table *t, uint32_t g,
                            const lrp_real *a, sums *q, lrp_loss *loss)
{
  pair p;
  lrp_division division = {.group = &t->group[g], .n_term = 1, .factor = {1}, .term = {q->d}};
  if (!pair_of(t, g, &p) || !lrp_gate_some(&t->group[g], lrp_reals(&site->call->out[0]),
                                           lrp_reals(&site->r_out[0]), lrp_count(&q->s)))
    return LRP_OK;
  const lrp_status st = denominator(ctx, site, &p, a, q->d);
  if (st) return st;
  lrp_table_quotient(site, t, &division, lrp_reals(&q->s), loss);
  const lrp_real *s = lrp_reals(&q->s);
  lrp_real *u = lrp_reals(&q->u), *v = lrp_reals(&q->v);
  const lrp_real alpha = (lrp_real)p.alpha, beta = (lrp_real)p.beta;
  const int64_t n = lrp_count(&q->s);
#pragma omp parallel for simd if (parallel : n > 65536)
  for (int64_t i = 0; i < n; i++) {
    u[i] += alpha * s[i];
    v[i] += beta * s[i];
  }
  q->some = true;
  return LRP_OK;
}

lrp_status lrp_table_eval_paired(lrp_ctx *ctx, const lrp_site *site, const lrp_table *t,
                                 lrp_loss *loss)
{
  static const lrp_pass ABSOLUTE = {
      .w_a = -1, .w_b = 2, .w_part = LRP_PART_POS, .b_part = LRP_PART_ZERO}; /* |w| = 2 w+ - w */
  lrp_tensor x, *param, tmp;
  const lrp_call *a;
  sums q = {0};
  const lrp_tensor *out = &site->r_out[0];
  lrp_status st = absolute_input(ctx, &site->call->in[0], &x);
  if (!st) st = step_params(ctx, site, &ABSOLUTE, &param);
  if (!st) st = lrp_the_host.forward(ctx, site, &x, param, &a);
  if (!st) st = lrp_the_host.scratch(ctx, out, &q.u);
  if (!st) st = lrp_the_host.scratch(ctx, out, &q.v);
  if (!st) st = lrp_scratch_raw(ctx, out, &q.s);
  if (!st) st = lrp_scratch_raw(ctx, out, &tmp);
  q.d = st ? NULL : lrp_reals(&tmp);
  for (uint32_t g = 0; !st && g < t->n_group; g++)
    st = add_group(ctx, site, t, g, lrp_reals(&a->out[0]), &q, loss);
  if (!st && q.some) st = give(ctx, site, site->call, &q.u, false);
  if (!st && q.some) st = give(ctx, site, a, &q.v, true);
  if (!st && !q.some)
    memset(site->r_in[0].data, 0, (size_t)lrp_count(&site->r_in[0]) * sizeof(lrp_real));
  return st;
}
