/* stat.c - statistics of explanations. */
#include "stat.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double NONE = (double)NAN;

/* ---- agreement ---- */

double lrp_stat_cos(const double *a, const double *b, size_t n)
{
  double ab = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < n; i++) {
    ab += a[i] * b[i];
    aa += a[i] * a[i];
    bb += b[i] * b[i];
  }
  return aa > 0 && bb > 0 ? ab / (sqrt(aa) * sqrt(bb)) : NONE;
}

bool lrp_stat_reserve(lrp_stat_room *room, size_t n)
{
  if (n <= room->n) return true;
  lrp_stat_release(room);
  if (n > SIZE_MAX / (2 * sizeof(double))) return false;
  room->rank_a = malloc(n * sizeof *room->rank_a);
  room->rank_b = malloc(n * sizeof *room->rank_b);
  room->order = malloc(n * sizeof *room->order);
  if (!room->rank_a || !room->rank_b || !room->order) {
    lrp_stat_release(room);
    return false;
  }
  room->n = n;
  return true;
}

void lrp_stat_release(lrp_stat_room *room)
{
  free(room->rank_a);
  free(room->rank_b);
  free(room->order);
  *room = (lrp_stat_room){0};
}

static bool has_nan(const double *v, size_t n)
{
  for (size_t i = 0; i < n; i++)
    if (isnan(v[i])) return true;
  return false;
}

/* A heap sort of places by value: qsort() takes no context, and its worst case is anybody's guess. */
static void sift(size_t *order, size_t at, size_t n, const double *v)
{
  for (size_t child; (child = 2 * at + 1) < n; at = child) {
    if (child + 1 < n && v[order[child + 1]] > v[order[child]]) child++;
    if (!(v[order[child]] > v[order[at]])) return;
    const size_t swap = order[at];
    order[at] = order[child];
    order[child] = swap;
  }
}

static void sort_places(size_t *order, const double *v, size_t n)
{
  for (size_t i = 0; i < n; i++)
    order[i] = i;
  for (size_t i = n / 2; i-- > 0;)
    sift(order, i, n, v);
  for (size_t end = n; end-- > 1;) {
    const size_t swap = order[0];
    order[0] = order[end];
    order[end] = swap;
    sift(order, 0, end, v);
  }
}

/* Ranks from 1; equals get the mean of theirs. */
static void rank_of(const double *v, size_t n, size_t *order, double *rank)
{
  sort_places(order, v, n);
  for (size_t i = 0; i < n;) {
    size_t end = i + 1;
    while (end < n && !(v[order[end]] > v[order[i]]))
      end++;
    for (size_t j = i; j < end; j++)
      rank[order[j]] = 0.5 * (double)(i + 1 + end);
    i = end;
  }
}

double lrp_stat_spearman(const double *a, const double *b, size_t n, lrp_stat_room *room)
{
  if (n < 2 || has_nan(a, n) || has_nan(b, n) || !lrp_stat_reserve(room, n)) return NONE;
  rank_of(a, n, room->order, room->rank_a);
  rank_of(b, n, room->order, room->rank_b);
  const double mean = 0.5 * (double)(n + 1);
  for (size_t i = 0; i < n; i++) {
    room->rank_a[i] -= mean;
    room->rank_b[i] -= mean;
  }
  return lrp_stat_cos(room->rank_a, room->rank_b, n);
}

/* mark[i] |= bit for the k places of largest magnitude.  The k-th largest is found by sorting; among equals of it the
 * lower places are taken. */
static void mark_top(const double *v, size_t n, size_t k, double *magnitude, size_t *order, double *mark, double bit)
{
  for (size_t i = 0; i < n; i++)
    magnitude[i] = fabs(v[i]);
  sort_places(order, magnitude, n);
  const double least = magnitude[order[n - k]];
  size_t left = k;
  for (size_t i = 0; i < n; i++)
    if (magnitude[i] > least) {
      mark[i] += bit;
      left--;
    }
  for (size_t i = 0; i < n && left; i++)
    if (!(magnitude[i] > least) && !(magnitude[i] < least)) {
      mark[i] += bit;
      left--;
    }
}

double lrp_stat_topk_jaccard(const double *a, const double *b, size_t n, size_t k, lrp_stat_room *room)
{
  if (!n || !k || has_nan(a, n) || has_nan(b, n) || !lrp_stat_reserve(room, n)) return NONE;
  size_t both = 0;
  if (k > n) k = n;
  memset(room->rank_b, 0, n * sizeof *room->rank_b);
  mark_top(a, n, k, room->rank_a, room->order, room->rank_b, 1);
  mark_top(b, n, k, room->rank_a, room->order, room->rank_b, 1);
  for (size_t i = 0; i < n; i++)
    both += room->rank_b[i] > 1.5;
  return (double)both / (double)(2 * k - both);
}

double lrp_stat_sign_agreement(const double *a, const double *b, size_t n)
{
  size_t same = 0, used = 0;
  for (size_t i = 0; i < n; i++) {
    const int s = (a[i] > 0) - (a[i] < 0), t = (b[i] > 0) - (b[i] < 0);
    if (isnan(a[i]) || isnan(b[i])) return NONE;
    used += s || t;
    same += s && s == t;
  }
  return used ? (double)same / (double)used : NONE;
}

/* ---- spread ---- */

double lrp_stat_mean(const double *v, size_t n)
{
  double sum = 0;
  for (size_t i = 0; i < n; i++)
    sum += v[i];
  return n ? sum / (double)n : NONE;
}

double lrp_stat_sd(const double *v, size_t n)
{
  const double mean = lrp_stat_mean(v, n);
  double sum = 0;
  for (size_t i = 0; i < n; i++)
    sum += (v[i] - mean) * (v[i] - mean);
  return n > 1 ? sqrt(sum / (double)(n - 1)) : NONE;
}

/* The k-th smallest goes to v[k], smaller ones before it, larger ones behind (Hoare's FIND in Wirth's form). */
static void select_kth(double *v, int64_t n, int64_t k)
{
  for (int64_t left = 0, right = n - 1; left < right;) {
    const double pivot = v[k];
    int64_t i = left, j = right;
    do {
      while (v[i] < pivot)
        i++;
      while (pivot < v[j])
        j--;
      if (i <= j) {
        const double swap = v[i];
        v[i++] = v[j];
        v[j--] = swap;
      }
    } while (i <= j);
    if (j < k) left = i;
    if (k < i) right = j;
  }
}

double lrp_stat_median(double *v, size_t n)
{
  if (!n || has_nan(v, n)) return NONE;
  select_kth(v, (int64_t)n, (int64_t)n / 2);
  if (n % 2) return v[n / 2];
  double below = v[0];
  for (size_t i = 1; i < n / 2; i++)
    if (v[i] > below) below = v[i];
  return 0.5 * (below + v[n / 2]);
}

/* splitmix64 (Steele, Lea, Flood 2014). */
static uint64_t next_random(uint64_t *state)
{
  uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
  return z ^ (z >> 31);
}

double lrp_stat_normal_quantile(double p)
{
  double lo = -40, hi = 40;
  if (!(p > 0 && p < 1)) return NONE;
  for (int i = 0; i < 100; i++) { /* halving: exact enough, and nothing to get wrong */
    const double x = 0.5 * (lo + hi);
    if (0.5 * erfc(-x / sqrt(2)) < p)
      lo = x;
    else
      hi = x;
  }
  return 0.5 * (lo + hi);
}

static int by_value(const void *a, const void *b)
{
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Linear between the neighbours, as numpy.percentile. */
static double quantile(const double *sorted, size_t n, double q)
{
  const double at = q * (double)(n - 1);
  const size_t i = (size_t)at;
  return i + 1 < n ? sorted[i] + (at - (double)i) * (sorted[i + 1] - sorted[i]) : sorted[n - 1];
}

static bool large_interval(const double *v, size_t n, int of, double level, double *lo, double *hi)
{
  const double z = lrp_stat_normal_quantile(0.5 + 0.5 * level);
  if (of == LRP_STAT_OF_MEAN) {
    const double mean = lrp_stat_mean(v, n), half = z * lrp_stat_sd(v, n) / sqrt((double)n);
    *lo = mean - half;
    *hi = mean + half;
    return true;
  }
  double *sorted = malloc(n * sizeof *sorted);
  if (!sorted) return false;
  memcpy(sorted, v, n * sizeof *sorted);
  qsort(sorted, n, sizeof *sorted, by_value);
  const double half = 0.5 * z / sqrt((double)n); /* places are binomial with p = 1/2 */
  *lo = quantile(sorted, n, 0.5 - half > 0 ? 0.5 - half : 0);
  *hi = quantile(sorted, n, 0.5 + half < 1 ? 0.5 + half : 1);
  free(sorted);
  return true;
}

static double resampled(const double *v, size_t n, int of, double *draw, uint64_t *state)
{
  double sum = 0;
  for (size_t i = 0; i < n; i++) {
    const double x = v[(next_random(state) >> 32) * n >> 32]; /* n < 2^32: the shift is a fair division */
    sum += x;
    draw[i] = x;
  }
  return of == LRP_STAT_OF_MEAN ? sum / (double)n : lrp_stat_median(draw, n);
}

bool lrp_stat_bootstrap(const double *v, size_t n, int of, double level, uint64_t seed, double *lo, double *hi)
{
  *lo = *hi = NONE;
  if (!n || !(level > 0 && level < 1) || has_nan(v, n)) return true;
  if (n > LRP_STAT_BOOTSTRAP_MAX) return large_interval(v, n, of, level, lo, hi);
  double *found = malloc((LRP_STAT_RESAMPLES + n) * sizeof *found);
  if (!found) return false;
  for (int i = 0; i < LRP_STAT_RESAMPLES; i++)
    found[i] = resampled(v, n, of, found + LRP_STAT_RESAMPLES, &seed);
  qsort(found, LRP_STAT_RESAMPLES, sizeof *found, by_value);
  *lo = quantile(found, LRP_STAT_RESAMPLES, 0.5 - 0.5 * level);
  *hi = quantile(found, LRP_STAT_RESAMPLES, 0.5 + 0.5 * level);
  free(found);
  return true;
}

/* ---- Wilcoxon ---- */

/* P(W <= w) for n ranks: counts of subsets of 1..n by their sum, added up as shares of 2^n. */
static double exact_tail(size_t n, double w)
{
  enum { N = 50, SUMS = N * (N + 1) / 2 + 1 };
  double share[SUMS] = {1}, tail = 0;
  for (size_t r = 1; r <= n; r++)
    for (size_t s = r * (r + 1) / 2 + 1; s-- > 0;)
      share[s] = 0.5 * (share[s] + (s >= r ? share[s - r] : 0));
  for (size_t s = 0; s < SUMS && (double)s <= w; s++)
    tail += share[s];
  return tail;
}

/* Sum of t^3 - t over groups of t equal magnitudes. */
static double ties(const double *magnitude, const size_t *order, size_t n)
{
  double sum = 0;
  for (size_t i = 0; i < n;) {
    size_t end = i + 1;
    while (end < n && !(magnitude[order[end]] > magnitude[order[i]]))
      end++;
    const double t = (double)(end - i);
    sum += t * t * t - t;
    i = end;
  }
  return sum;
}

static double wilcoxon(const double *d, double *magnitude, size_t n, lrp_stat_room *room, double *w)
{
  double plus = 0, minus = 0;
  const double count = (double)n;
  rank_of(magnitude, n, room->order, room->rank_a);
  for (size_t i = 0; i < n; i++)
    *(d[i] > 0 ? &plus : &minus) += room->rank_a[i];
  *w = plus < minus ? plus : minus;
  const double tied = ties(magnitude, room->order, n);
  if (n <= 50 && tied <= 0) {
    const double p = 2 * exact_tail(n, *w);
    return p < 1 ? p : 1;
  }
  const double variance = count * (count + 1) * (2 * count + 1) / 24 - tied / 48;
  const double z = (*w - count * (count + 1) / 4) / sqrt(variance);
  return erfc(-z / sqrt(2)); /* z <= 0 */
}

double lrp_stat_wilcoxon(const double *difference, size_t n, double *w)
{
  lrp_stat_room room = {0};
  double *kept = malloc(2 * (n + 1) * sizeof *kept), p = NONE;
  size_t m = 0;
  *w = NONE;
  if (kept && !has_nan(difference, n)) {
    for (size_t i = 0; i < n; i++)
      if (fabs(difference[i]) > 0) kept[m++] = difference[i];
    for (size_t i = 0; i < m; i++)
      kept[n + 1 + i] = fabs(kept[i]);
    if (m && lrp_stat_reserve(&room, m)) p = wilcoxon(kept, kept + n + 1, m, &room, w);
  }
  lrp_stat_release(&room);
  free(kept);
  return p;
}

/* Hill 1970, CACM algorithm 396: an expansion about the normal quantile, or about the tail's power
 * law where that is far off. */
double lrp_stat_t_quantile(double p, double n)
{
  const double pi = 3.14159265358979323846;
  double tails = 2 * (1 - p);
  if (!(n >= 1) || !(p > 0.5 && p < 1)) return NAN;
  if (n < 1.5) return 1 / tan(tails * pi / 2);
  if (n < 2.5) return sqrt(2 / (tails * (2 - tails)) - 2);
  const double a = 1 / (n - 0.5), b = 48 / (a * a);
  double c = ((20700 * a / b - 98) * a - 16) * a + 96.36;
  const double d = ((94.5 / (b + c) - 3) / b + 1) * sqrt(a * pi / 2) * n;
  double y = pow(d * tails, 2 / n);
  if (y > 0.05 + a) {
    const double x = lrp_stat_normal_quantile(tails / 2);
    y = x * x;
    if (n < 5) c += 0.3 * (n - 4.5) * (x + 0.6);
    c = (((0.05 * d * x - 5) * x - 7) * x - 2) * x + b + c;
    y = (((((0.4 * y + 6.3) * y + 36) * y + 94.5) / c - y - 3) / b + 1) * x;
    y = expm1(a * y * y);
  } else {
    y = ((1 / (((n + 6) / (n * y) - 0.089 * d - 0.822) * (n + 2) * 3) + 0.5 / (n + 4)) * y - 1) *
            (n + 1) / (n + 2) +
        1 / y;
  }
  return sqrt(n * y);
}
