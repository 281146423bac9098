/* table.h - a rule's table at a site.  Not installed. */
#ifndef LRP_TABLE_H
#define LRP_TABLE_H
#include "graph.h"
#include "sweep.h"

/* What a site lost, for each of n samples.  gate starts as the relevance given; a table takes off what its groups pass on. */
typedef struct lrp_loss {
  int64_t n, run; /* run: of the output, see samples.c */
  double *stab, *gate;
  double **in; /* relevance that input i gets, to be added up; NULL where its samples are no blocks; may be NULL */
  bool summed; /* in[] is filled */
  const bool *holds; /* r_in of input i holds relevance, to which is added; NULL: none does */
} lrp_loss;
/* r_in is written as a whole, whatever it held, but for loss->holds.  loss may be NULL. */
lrp_status lrp_table_eval(lrp_ctx *, const lrp_site *, const lrp_table *, lrp_loss *loss);

static inline bool lrp_table_holds(const lrp_loss *loss, uint32_t k)
{
  return loss && loss->holds && loss->holds[k];
}

/* r_in of input k = or += factor * x * bar; its sums go to loss. */
void lrp_table_give(const lrp_site *, uint32_t k, lrp_real factor, const lrp_real *x, const lrp_real *bar, bool add,
                    lrp_loss *loss);
/* Part of it, shared with table_paired.c: s = g / stab(d) of a group, whose terms q names; what the stabiliser takes is
 * booked. */
void lrp_table_quotient(const lrp_site *, const lrp_table *, lrp_division *q, lrp_real *s, lrp_loss *);
/* Which groups get any relevance of n elements from the first one on: a bit each. */
uint32_t lrp_table_taking(const lrp_site *, const lrp_table *, int64_t first, int64_t n);
/* table_paired.c: the same result by half the products, for tables and layers where that is safe; taking: of all the
 * output. */
bool lrp_table_is_paired(const lrp_site *, const lrp_table *, uint32_t taking);
lrp_status lrp_table_eval_paired(lrp_ctx *, const lrp_site *, const lrp_table *, lrp_loss *loss);

/* table_parts.c: a large site cut into parts, each evaluated on its own; *done false: it stays whole. */
lrp_status lrp_table_eval_parts(lrp_ctx *, const lrp_site *, const lrp_table *, lrp_loss *loss, bool *done);

/* table_join.c: a sum of branches of equal shape under a table of one genuine pass, in one sweep. */
bool lrp_table_is_genuine(const lrp_table *); /* R' = x . W^T (R / stab(z)) of the genuine layer, stab = LRP_STAB_ADD */
bool lrp_table_is_join(const lrp_site *, const lrp_table *, const lrp_loss *);
lrp_status lrp_table_eval_join(lrp_ctx *, const lrp_site *, const lrp_table *, lrp_loss *loss);

/* table_direct.c: tables of one genuine pass at small inner sites, without a ledger. */
bool lrp_table_is_direct(const lrp_site *, const lrp_table *);
lrp_status lrp_table_eval_direct(lrp_ctx *, const lrp_site *, const lrp_table *);

/* What a pass gives on an input that is a constant of the rule (ones, low, high): kept by the step until it gets another
 * rule.  NULL: not kept yet. */
const lrp_real *lrp_constant_find(const lrp_step *, const lrp_pass *);
lrp_status lrp_constant_keep(lrp_ctx *, lrp_step *, const lrp_pass *, const lrp_real *z, int64_t n);
void lrp_constant_drop(lrp_step *);
#endif
