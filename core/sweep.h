/* sweep.h - what a rule does element by element, in as few passes over memory as it takes.  Sums are taken in pieces of
 * fixed size, so one thread and many give the same bits.  Not installed. */
#ifndef LRP_SWEEP_H
#define LRP_SWEEP_H
#include "core.h"

enum { LRP_SWEEP_SAMPLES = 64 }; /* taken together: one parallel region for all of them */

/* sum[k] += the sum of sample k, for n samples of m elements. */
void lrp_sum_each(const lrp_real *v, int64_t n, int64_t m, double *sum);

/* Both sides of a gate in one division, as no output is on both: index 0 holds where the genuine output z > 0, 1 where
 * z < 0.
 *
 *     g = coef r,  d = alpha z + beta a + bias,  s = g / (d + eps sgn d),  u = alpha s,  v = beta s;  0 where z = 0 */
typedef struct lrp_sides {
  lrp_real coef[2], alpha[2], beta[2];
  const lrp_real *a, *bias[2]; /* bias: `period` elements, over and over */
  int64_t period;
  lrp_real *u, *v;
} lrp_sides;

/* s = g / stab(d), where g = coef * gate(z) * r and d = factor[0] term[0] + factor[1] term[1] + ... */
typedef struct lrp_division {
  const lrp_group *group;
  const lrp_real *z, *r; /* genuine output; relevance above */
  int32_t n_term;
  lrp_real factor[8];
  const lrp_real *term[8];
  uint32_t stab;
  const lrp_sides *sides; /* instead of all this but z and r; or NULL */
} lrp_division;
/* Does the group get any relevance?  From the data: stops at the first element that has some. */
bool lrp_gate_some(const lrp_group *, const lrp_real *z, const lrp_real *r, int64_t n);
/* n samples of m elements from the first one on, at most LRP_SWEEP_SAMPLES, each with its own eps.  lost: sum of g - s d;
 * given: sum of g; one for each sample.  s may be NULL. */
void lrp_divide_each(const lrp_division *, int64_t first, int64_t n, int64_t m, const double *eps, lrp_real *s, double *lost,
                     double *given);
double lrp_division_square(const lrp_division *, int64_t begin, int64_t end); /* sum of d^2 of elements begin..end */

/* s = g / (d + eps sgn d), 0 where g is 0; n elements, in this thread. */
void lrp_quotient(const lrp_real *g, const lrp_real *d, int64_t n, lrp_real eps, lrp_real *s);

/* out = or += factor * x * bar, and 0 where bar is 0, even if x is infinite; bar may be out.  n samples of m elements;
 * sum[k] += the sum of what sample k is given.  sum may be NULL. */
void lrp_multiply(lrp_real factor, const lrp_real *x, const lrp_real *bar, int64_t n, int64_t m, bool add,
                  lrp_real *out, double *sum);

/* A sum of branches, d = factor[0] x[0] + factor[1] x[1] + ..., and what each of them gets of r:
 * back[i] = factor[i] x[i] s, s = r / (d + eps sgn d), 0 where r is 0.  back[i] NULL: nobody asks. */
enum { LRP_JOIN_MOST = 8 };
typedef struct lrp_join {
  uint32_t n_in;
  lrp_real eps, factor[LRP_JOIN_MOST];
  const lrp_real *x[LRP_JOIN_MOST], *r;
  lrp_real *back[LRP_JOIN_MOST];
  bool add[LRP_JOIN_MOST]; /* back[i] += */
} lrp_join;
/* n samples of m elements; for sample k lost[k] += the sum of r - s d, back[i][k] that of back[i].  Any of them may be
 * NULL. */
void lrp_join_each(const lrp_join *, int64_t n, int64_t m, double *lost, double *const *back);
#endif
