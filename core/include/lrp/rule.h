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
static inline void lrp_table_pass_scaled(lrp_table *t, uint32_t group, uint32_t in, lrp_form w, lrp_form b, double den,
                                         double red)
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
#ifdef __cplusplus
}
#endif
#endif
