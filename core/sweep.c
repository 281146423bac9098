/* sweep.c - the element-wise steps of rules.  Each walks its tensors once, in blocks that stay in
 * the first-level cache: gate, denominator, stabilised quotient and what the ledger books of it are
 * one pass over memory, not five. */
#include "sweep.h"
#include "lrp/vector.h"
#include <string.h>

enum {
  BLOCK = 512,    /* elements worked on at once */
  PIECE = 8192,   /* elements of one partial sum, at least */
  PIECES = 64,    /* partial sums of a sample, at most */
  SAMPLES = LRP_SWEEP_SAMPLES,
  PARALLEL = 65536
};


/* Pieces depend on n alone, never on the number of threads. */
static int64_t piece_size(int64_t n)
{
  const int64_t size = (n + PIECES - 1) / PIECES;
  return size < PIECE ? PIECE : (size + BLOCK - 1) / BLOCK * BLOCK;
}

static int64_t least(int64_t a, int64_t b)
{
  return a < b ? a : b;
}

static double total(const double *part, int64_t n)
{
  double s = 0;
  for (int64_t i = 0; i < n; i++)
    s += part[i];
  return s;
}

LRP_LOOP double sum_piece_any(const lrp_real *v, int64_t n)
{
  double s = 0;
#pragma omp simd reduction(+ : s)
  for (int64_t i = 0; i < n; i++)
    s += (double)v[i];
  return s;
}
LRP_TWICE(double, sum_piece, (const lrp_real *v, int64_t n), (v, n))

void lrp_sum_each(const lrp_real *v, int64_t n, int64_t m, double *sum)
{
  const int64_t size = piece_size(m), pieces = (m + size - 1) / size;
  for (int64_t first = 0; first < n; first += SAMPLES) {
    const int64_t count = least(SAMPLES, n - first);
    double part[SAMPLES * PIECES];
    LRP_THREADS(count * m > PARALLEL,
    for (int64_t i = 0; i < count * pieces; i++) {
      const int64_t at = i % pieces * size;
      part[i] = sum_piece(v + (first + i / pieces) * m + at, least(size, m - at));
    });
    for (int64_t k = 0; k < count; k++)
      sum[first + k] += total(part + k * pieces, pieces);
  }
}

/* ---- a group's quotient ---- */

/* No way out in the middle: a block is one loop of vectors. */
LRP_LOOP bool some_in_any(uint32_t gate, const lrp_real *z, const lrp_real *r, int64_t n)
{
  int some = 0;
  switch (gate) {
  case LRP_GATE_ALL:
#pragma omp simd reduction(| : some)
    for (int64_t i = 0; i < n; i++)
      some |= r[i] != 0;
    break;
  case LRP_GATE_POS:
#pragma omp simd reduction(| : some)
    for (int64_t i = 0; i < n; i++)
      some |= (r[i] != 0) & (z[i] > 0);
    break;
  default:
#pragma omp simd reduction(| : some)
    for (int64_t i = 0; i < n; i++)
      some |= (r[i] != 0) & (z[i] < 0);
  }
  return some;
}

LRP_TWICE(bool, some_in, (uint32_t gate, const lrp_real *z, const lrp_real *r, int64_t n), (gate, z, r, n))

bool lrp_gate_some(const lrp_group *g, const lrp_real *z, const lrp_real *r, int64_t n)
{
  bool some = false;
  for (int64_t at = 0; g->coef != 0 && !some && at < n; at += BLOCK)
    some = some_in(g->gate, z + at, r + at, least(BLOCK, n - at));
  return some;
}

LRP_LOOP void gated(const lrp_division *q, int64_t at, int64_t n, lrp_real *g)
{
  const lrp_real *r = q->r + at, *z = q->z + at, coef = (lrp_real)q->group->coef;
  switch (q->group->gate) {
  case LRP_GATE_ALL:
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
      g[i] = coef * r[i];
    return;
  case LRP_GATE_POS:
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
      g[i] = lrp_select(z[i] > 0, coef * r[i], 0);
    return;
  default:
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
      g[i] = lrp_select(z[i] < 0, coef * r[i], 0);
  }
}

LRP_LOOP void denominator(const lrp_division *q, int64_t at, int64_t n, lrp_real *d)
{
  if (!q->n_term) memset(d, 0, (size_t)n * sizeof *d);
  for (int32_t t = 0; t < q->n_term; t++) {
    const lrp_real f = q->factor[t], *z = q->term[t] + at;
    if (t == 0)
#pragma omp simd
      for (int64_t i = 0; i < n; i++)
        d[i] = f * z[i];
    else
#pragma omp simd
      for (int64_t i = 0; i < n; i++)
        d[i] += f * z[i];
  }
}

/* Two loops: compilers make one with a branch out of it, without vectors. */
LRP_LOOP void quotient_any(const lrp_real *g, const lrp_real *d, int64_t n, lrp_real eps, lrp_real *s)
{
#pragma omp simd
  for (int64_t i = 0; i < n; i++)
    s[i] = g[i] / (d[i] + (d[i] < 0 ? -eps : eps));
#pragma omp simd
  for (int64_t i = 0; i < n; i++)
    s[i] = g[i] == 0 ? 0 : s[i];
}
LRP_TWICE(void, quotient, (const lrp_real *g, const lrp_real *d, int64_t n, lrp_real eps, lrp_real *s),
          (g, d, n, eps, s))

void lrp_quotient(const lrp_real *g, const lrp_real *d, int64_t n, lrp_real eps, lrp_real *s)
{
  quotient(g, d, n, eps, s);
}

/* The same; what is lost, g - s d = s eps sgn d, and given is added to sum[0] and sum[1]. */
LRP_LOOP void quotient_sums(const lrp_real *g, const lrp_real *d, int64_t n, lrp_real eps, lrp_real *s, double *sum)
{
  double lost = 0, given = 0;
#pragma omp simd reduction(+ : lost, given)
  for (int64_t i = 0; i < n; i++) {
    const lrp_real e = d[i] < 0 ? -eps : eps, v = lrp_select(g[i] == 0, 0, g[i] / (d[i] + e));
    s[i] = v;
    lost += (double)(v * e);
    given += (double)g[i];
  }
  sum[0] += lost;
  sum[1] += given;
}

/* Any other stabiliser. */
LRP_LOOP void divided_sums(const lrp_real *g, const lrp_real *d, int64_t n, const lrp_real *s, double *sum)
{
  double lost = 0, given = 0;
#pragma omp simd reduction(+ : lost, given)
  for (int64_t i = 0; i < n; i++) {
    const lrp_real den = lrp_select(s[i] == 0, 0, d[i]); /* d = -inf is a mask */
    lost += (double)g[i] - (double)s[i] * (double)den;
    given += (double)g[i];
  }
  sum[0] += lost;
  sum[1] += given;
}

/* One block: what is lost and given is added to sum[0] and sum[1]. */
LRP_LOOP void block_any(const lrp_division *q, double eps, int64_t at, int64_t n, lrp_real *s, double *sum)
{
  lrp_real g_room[BLOCK], d_room[BLOCK];
  const bool add = q->stab == LRP_STAB_ADD, all = q->group->gate == LRP_GATE_ALL && q->group->coef == 1,
             one = q->n_term == 1 && q->factor[0] == 1 && (add || q->term[0] + at != s); /* s may take its place */
  const lrp_real *g = all ? q->r + at : g_room, *d = one ? q->term[0] + at : d_room;
  if (!all) gated(q, at, n, g_room);
  if (!one) denominator(q, at, n, d_room);
  if (add) {
    quotient_sums(g, d, n, (lrp_real)eps, s, sum);
  } else {
    lrp_the_host.divide(g, d, n, q->stab, eps, s);
    divided_sums(g, d, n, s, sum);
  }
}
LRP_TWICE(void, block, (const lrp_division *q, double eps, int64_t at, int64_t n, lrp_real *s, double *sum),
          (q, eps, at, n, s, sum))

void lrp_divide_each(const lrp_division *q, int64_t first, int64_t n, int64_t m, const double *eps,
                     lrp_real *s, double *lost, double *given)
{
  const int64_t size = piece_size(m), pieces = (m + size - 1) / size;
  double part[2][SAMPLES * PIECES];
  LRP_THREADS(n * m > PARALLEL,
  for (int64_t i = 0; i < n * pieces; i++) {
    double sum[2] = {0, 0};
    const int64_t k = i / pieces, start = (first + k) * m, stop = start + m;
    const int64_t begin = start + i % pieces * size, end = least(begin + size, stop);
    for (int64_t at = begin; at < end; at += BLOCK)
      block(q, eps[k], at, least(BLOCK, end - at), s + at, sum);
    part[0][i] = sum[0];
    part[1][i] = sum[1];
  });
  for (int64_t k = 0; k < n; k++) {
    lost[k] = total(part[0] + k * pieces, pieces);
    given[k] = total(part[1] + k * pieces, pieces);
  }
}

double lrp_division_square(const lrp_division *q, int64_t begin, int64_t end)
{
  const int64_t n = end - begin, size = piece_size(n), pieces = (n + size - 1) / size;
  double part[PIECES + 1] = {0};
  LRP_THREADS(n > PARALLEL,
  for (int64_t k = 0; k < pieces; k++) {
    const int64_t stop = least(begin + (k + 1) * size, end);
    double sum = 0;
    for (int64_t at = begin + k * size; at < stop; at += BLOCK) {
      lrp_real d[BLOCK];
      const int64_t m = least(BLOCK, stop - at);
      denominator(q, at, m, d);
      LRP_PRAGMA(omp simd reduction(+ : sum))
      for (int64_t i = 0; i < m; i++)
        sum += (double)d[i] * (double)d[i];
    }
    part[k] = sum;
  });
  return total(part, pieces);
}

/* ---- what comes back, times the input ---- */

/* Two loops for the same reason as above. */
LRP_LOOP void multiply_block_any(lrp_real factor, const lrp_real *x, const lrp_real *bar, int64_t n, bool add,
                                 lrp_real *out)
{
  lrp_real v[BLOCK];
#pragma omp simd
  for (int64_t i = 0; i < n; i++)
    v[i] = factor * x[i] * bar[i];
  if (add)
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
      out[i] += bar[i] != 0 ? v[i] : 0;
  else
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
      out[i] = bar[i] != 0 ? v[i] : 0;
}
LRP_TWICE(void, multiply_block,
          (lrp_real factor, const lrp_real *x, const lrp_real *bar, int64_t n, bool add, lrp_real *out),
          (factor, x, bar, n, add, out))

void lrp_multiply(lrp_real factor, const lrp_real *x, const lrp_real *bar, int64_t n, bool add,
                  lrp_real *out)
{
  if (n <= BLOCK) { /* not even a region of one thread: recurrent layers come here at every step */
    multiply_block(factor, x, bar, n, add, out);
    return;
  }
  LRP_THREADS(n > PARALLEL,
  for (int64_t at = 0; at < n; at += BLOCK)
    multiply_block(factor, x + at, bar + at, least(BLOCK, n - at), add, out + at););
}
