/* lrp/rule.h - inline helpers for the authors of rules.  A rule that is a table needs nothing else:
 *
 *   static void table(const lrp_value *args, lrp_table *t)
 *   {
 *     lrp_table_start(t, args[0].real, LRP_STAB_ADD);
 *     const uint32_t g = lrp_table_group(t, 1, LRP_GATE_ALL);
 *     lrp_table_pass(t, g, LRP_IN_X, lrp_raw(), lrp_raw());
 *   }
 */
#ifndef LRP_RULE_H
#define LRP_RULE_H
#include "lrp/plugin.h"
#ifdef __cplusplus
extern "C" {
#endif

typedef struct lrp_form { /* a*w + b*part(w) */
  double a, b;
  uint32_t part;
} lrp_form;
static inline lrp_form lrp_raw(void)
{
  const lrp_form f = {1, 0, LRP_PART_ZERO};
  return f;
}
static inline lrp_form lrp_none(void)
{
  const lrp_form f = {0, 0, LRP_PART_ZERO};
  return f;
}
static inline lrp_form lrp_only(uint32_t part) /* part(w) */
{
  const lrp_form f = {0, 1, LRP_PART_ALL};
  lrp_form g = f;
  g.part = part;
  return g;
}
static inline lrp_form lrp_plus(double c, uint32_t part) /* w + c*part(w) */
{
  lrp_form f = {1, 0, LRP_PART_ALL};
  f.b = c;
  f.part = part;
  return f;
}

/* The stabiliser of all groups; eps >= 0. */
static inline void lrp_table_start(lrp_table *t, double eps, uint32_t stab)
{
  t->eps = eps;
  t->stab = stab;
}
/* A new group: coef and gate of its share of the relevance.  Returns its number. */
static inline uint32_t lrp_table_group(lrp_table *t, double coef, uint32_t gate)
{
  t->group[t->n_group].coef = coef;
  t->group[t->n_group].gate = gate;
  return t->n_group++;
}
/* A pass with factors den in the denominator and red in the result. */
static inline void lrp_table_pass_scaled(lrp_table *t, uint32_t group, uint32_t in, lrp_form w,
                                         lrp_form b, double den, double red)
{
  lrp_pass *p = &t->pass[t->n_pass++];
  p->in = in;
  p->group = group;
  p->w_a = w.a;
  p->w_b = w.b;
  p->w_part = w.part;
  p->b_a = b.a;
  p->b_b = b.b;
  p->b_part = b.part;
  p->den = den;
  p->red = red;
}
static inline void lrp_table_pass(lrp_table *t, uint32_t group, uint32_t in, lrp_form w, lrp_form b)
{
  lrp_table_pass_scaled(t, group, in, w, b, 1, 1);
}

/* ---- for relprop() of rules that no table says ---- */

/* R' = the pull-back of R itself, at the genuine inputs: gradient routing. */
static inline lrp_status lrp_rule_pull(const lrp_host *h, lrp_ctx *ctx, const lrp_site *site)
{
  const lrp_tensor *bar;
  const lrp_status st = h->vjp(ctx, site, site->call, site->r_out, &bar);
  for (uint32_t i = 0; !st && i < site->call->n_in; i++) {
    const lrp_real *from = lrp_reals(&bar[i]);
    lrp_real *to = lrp_reals(&site->r_in[i]);
    for (int64_t k = 0, n = to ? lrp_count(&site->r_in[i]) : 0; k < n; k++)
      to[k] = from[k];
  }
  return st;
}

/* The one input that wants relevance, with as many elements as output 0, the only output with
 * relevance: *i.  A layer of another form is refused with a sentence that names the rule. */
static inline lrp_status lrp_rule_only_input(const lrp_host *h, lrp_ctx *ctx, const lrp_site *site,
                                             const char *rule, uint32_t *i)
{
  uint32_t live = 0, above = 0;
  for (uint32_t k = 0; k < site->call->n_in; k++)
    if (site->r_in[k].data) {
      *i = k;
      live++;
    }
  for (uint32_t k = 1; k < site->call->n_out; k++)
    above += site->r_out[k].data != NULL;
  if (live != 1)
    return h->fail(ctx, LRP_E_UNSUPPORTED,
                   "%s: layer \"%s\" has %u inputs that take relevance, one was expected; epsilon "
                   "and norm share among several",
                   rule, site->type->name, live);
  if (above || !site->r_out[0].data || lrp_count(&site->r_in[*i]) != lrp_count(&site->r_out[0]))
    return h->fail(ctx, LRP_E_UNSUPPORTED,
                   "%s: layer \"%s\" has %lld elements in its input and %lld in its output, equal "
                   "numbers were expected",
                   rule, site->type->name, (long long)lrp_count(&site->r_in[*i]),
                   (long long)lrp_count(&site->r_out[0]));
  return LRP_OK;
}
#ifdef __cplusplus
}
#endif
#endif
