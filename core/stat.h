/* stat.h - statistics of explanations: agreement of two vectors, spread of a sample, paired tests.  Not installed.
 *
 * Needs nothing but the C library, as it is part of the SQLite module too.  Undefined results are NaN: vectors with
 * NaN in them, of no length, without direction, without order. */
#ifndef LRP_STAT_H
#define LRP_STAT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- agreement of a and b, n values each ---- */
double lrp_stat_cos(const double *a, const double *b, size_t n);
/* Pearson's correlation of the ranks, ties share their mean rank.  room: 2 n doubles and n sizes. */
typedef struct lrp_stat_room {
  double *rank_a, *rank_b;
  size_t *order;
  size_t n;
} lrp_stat_room;
bool lrp_stat_reserve(lrp_stat_room *, size_t n); /* false: no memory */
void lrp_stat_release(lrp_stat_room *);
double lrp_stat_spearman(const double *a, const double *b, size_t n, lrp_stat_room *);
/* |A & B| / |A | B| where A, B are the k places of largest magnitude; among equals the lower place. */
double lrp_stat_topk_jaccard(const double *a, const double *b, size_t n, size_t k, lrp_stat_room *);
/* The share of places with the same sign, among those where one of both is not 0. */
double lrp_stat_sign_agreement(const double *a, const double *b, size_t n);

/* ---- spread of a sample; v is put into another order by median and quantile ---- */
double lrp_stat_mean(const double *v, size_t n);
double lrp_stat_sd(const double *v, size_t n); /* divided by n - 1; n < 2: NaN */
double lrp_stat_median(double *v, size_t n);
/* A bootstrap interval by percentiles (Efron 1979) of the mean or the median; level in (0,1).  LRP_STAT_RESAMPLES samples
 * drawn with a generator that starts from seed: the same values in the same order give the same interval.  Of more
 * than LRP_STAT_BOOTSTRAP_MAX values the mean's interval is mean +- z sd/sqrt(n), and the median's that of the order
 * statistics by the sign test, which both converge to.  false: no memory. */
enum { LRP_STAT_RESAMPLES = 1000, LRP_STAT_BOOTSTRAP_MAX = 20000, LRP_STAT_SEED = 1 };
enum { LRP_STAT_OF_MEAN, LRP_STAT_OF_MEDIAN };
bool lrp_stat_bootstrap(const double *v, size_t n, int of, double level, uint64_t seed, double *lo, double *hi);

/* Wilcoxon's signed-rank test (1945) of paired differences, two-sided.  Differences of 0 are left out.  Exact up to 50
 * differences without ties, else by the normal distribution with the correction for ties.  *w: the smaller sum of
 * ranks; the result is p; NaN: no differences, or no memory. */
double lrp_stat_wilcoxon(const double *difference, size_t n, double *w);
double lrp_stat_normal_quantile(double p);
/* Of Student's t with n degrees of freedom, p in (0.5,1), to six digits; n < 1: NaN. */
double lrp_stat_t_quantile(double p, double n);
#endif
