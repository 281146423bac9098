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
#include "lrp/vector.h"
#include "params.h"
#include "table.h"
#include <math.h>
#include <string.h>

enum { BLOCK = 4096 }; /* elements worked on at once */
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
static bool pays(const lrp_site *site, const lrp_table *t)
{
  uint32_t some = 0;
  if (!(site->call->in[0].flags & LRP_NONNEG)) return true;
  for (uint32_t g = 0; g < t->n_group; g++)
    some += lrp_gate_some(&t->group[g], lrp_reals(&site->call->out[0]), lrp_reals(&site->r_out[0]),
                          lrp_count(&site->call->out[0]));
  return some > 1;
}

/* A linear layer with one input whose bias, if any, is added over the last axis. */
bool lrp_table_is_paired(const lrp_site *site, const lrp_table *table)
{
  pair p;
  const lrp_call *c = site->call;
  if (site->type->kind != LRP_KIND_LINEAR || c->n_in != 1 || c->n_out != 1 || site->degree != 1 ||
      site->type->n_saved || !site->type->vjp || !c->in[0].data || !c->out[0].rank)
    return false;
  for (uint32_t i = 0; i < c->n_param; i++)
    if (site->type->param[i].role == LRP_PORT_BIAS && c->param[i].data &&
        lrp_count(&c->param[i]) != c->out[0].shape[c->out[0].rank - 1])
      return false;
  for (uint32_t g = 0; g < table->n_group; g++)
    if (!pair_of(table, g, &p)) return false;
  return table->n_group > 0 && pays(site, table);
}

static lrp_status step_params(lrp_ctx *ctx, const lrp_site *site, const lrp_pass *form,
                              lrp_tensor **out)
{
  *out = lrp_arena_alloc(&ctx->scratch, (site->call->n_param + 1) * sizeof **out);
  if (!*out) return lrp_nomem(ctx, "a rule");
  return site->host ? lrp_step_params(ctx, site->host, form, *out)
                    : lrp_params_scratch(ctx, site, form, *out);
}

/* Rows of c elements: d = alpha z + beta A + bias. */
LRP_LOOP void rows_of_any(int64_t rows, int64_t c, lrp_real alpha, const lrp_real *z, lrp_real beta,
                          const lrp_real *a, const lrp_real *bias, lrp_real *restrict d)
{
  for (int64_t r = 0; r < rows; r++, z += c, a += c, d += c)
#pragma omp simd
    for (int64_t i = 0; i < c; i++)
      d[i] = alpha * z[i] + beta * a[i] + bias[i];
}
LRP_TWICE(void, rows_of,
          (int64_t rows, int64_t c, lrp_real alpha, const lrp_real *z, lrp_real beta, const lrp_real *a,
           const lrp_real *bias, lrp_real *restrict d),
          (rows, c, alpha, z, beta, a, bias, d))

/* d = alpha (z - b) + beta A + the biases of both passes. */
static lrp_status denominator(lrp_ctx *ctx, const lrp_site *site, const pair *p, const lrp_real *a,
                              lrp_real *d)
{
  const lrp_tensor *out = &site->call->out[0];
  const lrp_real *z = lrp_reals(out), alpha = (lrp_real)p->alpha, beta = (lrp_real)p->beta;
  const int64_t n = lrp_count(out), c = out->shape[out->rank - 1], rows = c ? n / c : 0;
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
  const int64_t together = c < BLOCK ? BLOCK / (c ? c : 1) : 1;
  LRP_THREADS(n > 65536,
  for (int64_t r = 0; r < rows; r += together)
    rows_of(rows - r < together ? rows - r : together, c, alpha, z + r * c, beta, a + r * c, bias, d + r * c););
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

typedef struct sums { /* over the groups: alpha s, beta s; of any content before the first */
  lrp_tensor u, v, s;
  lrp_real *d;
  bool some;
} sums;

LRP_LOOP void add_block_any(const lrp_real *s, lrp_real alpha, lrp_real beta, bool add, int64_t n,
                            lrp_real *restrict u, lrp_real *restrict v)
{
  if (add)
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
      u[i] += alpha * s[i];
      v[i] += beta * s[i];
    }
  else
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
      u[i] = alpha * s[i];
      v[i] = beta * s[i];
    }
}
LRP_TWICE(void, add_block,
          (const lrp_real *s, lrp_real alpha, lrp_real beta, bool add, int64_t n, lrp_real *restrict u,
           lrp_real *restrict v),
          (s, alpha, beta, add, n, u, v))

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
  LRP_THREADS(n > 65536,
  for (int64_t at = 0; at < n; at += BLOCK)
    add_block(s + at, alpha, beta, q->some, n - at < BLOCK ? n - at : BLOCK, u + at, v + at););
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
  if (!st) st = lrp_scratch_raw(ctx, out, &q.u);
  if (!st) st = lrp_scratch_raw(ctx, out, &q.v);
  if (!st) st = lrp_scratch_raw(ctx, out, &q.s);
  if (!st) st = lrp_scratch_raw(ctx, out, &tmp);
  q.d = st ? NULL : lrp_reals(&tmp);
  for (uint32_t g = 0; !st && g < t->n_group; g++)
    st = add_group(ctx, site, t, g, lrp_reals(&a->out[0]), &q, loss);
  if (!st && q.some) st = give(ctx, site, site->call, &q.u, false, loss);
  if (!st && q.some) st = give(ctx, site, a, &q.v, true, loss);
  if (!st && !q.some)
    memset(site->r_in[0].data, 0, (size_t)lrp_count(&site->r_in[0]) * sizeof(lrp_real));
  return st;
}
