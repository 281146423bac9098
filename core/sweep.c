/* sweep.c - the element-wise steps of rules.  Each walks its tensors once, in blocks that stay in
 * the first-level cache: gate, denominator, stabilised quotient and what the ledger books of it are
 * one pass over memory, not five; so are a sum of branches and the shares of all of them. */
#include "sweep.h"
#include "lrp/vector.h"
#include <string.h>

enum {
  BLOCK = 512,    /* elements worked on at once */
  PIECE = 8192,   /* elements of one partial sum, at least */
  PIECES = 64,    /* partial sums of a sample, at most */
  SLOTS = 2 * PIECES * LRP_SWEEP_SAMPLES, /* partial sums taken together */
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

LRP_LOOP double sum_piece_any(const lrp_real *v, int64_t n)
{
  double s = 0;
#pragma omp simd reduction(+ : s)
  for (int64_t i = 0; i < n; i++)
    s += (double)v[i];
  return s;
}
LRP_TWICE(double, sum_piece, (const lrp_real *v, int64_t n), (v, n))

/* What a job does to elements begin .. end, of sample k; its sums there start at 0. */
typedef void piece_fn(const void *job, int64_t k, int64_t begin, int64_t end, double *sum);

/* All pieces of n samples of m elements; sum[j][k], unless sum[j] is NULL, grows by what the job sums up in
 * sample k. */
static void each_piece(piece_fn *fn, const void *job, int64_t n, int64_t m, int64_t n_sum, double *const *sum)
{
  const int64_t size = piece_size(m), pieces = (m + size - 1) / size, together = SLOTS / PIECES / n_sum;
  for (int64_t first = 0; first < n; first += together) {
    const int64_t count = least(together, n - first);
    double part[SLOTS];
    LRP_THREADS(count * m > PARALLEL,
    for (int64_t i = 0; i < count * pieces; i++) {
      const int64_t k = first + i / pieces, begin = k * m + i % pieces * size;
      memset(part + i * n_sum, 0, (size_t)n_sum * sizeof *part);
      fn(job, k, begin, least(begin + size, (k + 1) * m), part + i * n_sum);
    });
    for (int64_t k = 0; k < count; k++)
      for (int64_t j = 0; j < n_sum; j++) {
        double total = 0;
        for (int64_t i = 0; i < pieces; i++)
          total += part[(k * pieces + i) * n_sum + j];
        if (sum[j]) sum[j][first + k] += total;
      }
  }
}

static void sum_of_piece(const void *job, int64_t k, int64_t begin, int64_t end, double *sum)
{
  (void)k;
  *sum = sum_piece((const lrp_real *)job + begin, end - begin);
}

void lrp_sum_each(const lrp_real *v, int64_t n, int64_t m, double *sum)
{
  each_piece(sum_of_piece, v, n, m, 1, &sum);
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
  if (g->coef == 0 || n <= 0) return false;
  int some = some_in(g->gate, z, r, least(BLOCK, n)); /* most often there is some at once */
  if (some) return true;
  LRP_THREADS_AS(reduction(| : some), n > PARALLEL,
  for (int64_t k = 0; k < (n + PIECE - 1) / PIECE; k++)
    for (int64_t at = k * PIECE; !some && at < least(k * PIECE + PIECE, n); at += BLOCK)
      some = some_in(g->gate, z + at, r + at, least(BLOCK, n - at)););
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

/* d = factor[0] term[0] + factor[1] term[1] + ..., n elements from `at` on. */
LRP_LOOP void weighted_sum(const lrp_real *factor, const lrp_real *const *term, int64_t n_term, int64_t at, int64_t n,
                           lrp_real *d)
{
  if (!n_term) memset(d, 0, (size_t)n * sizeof *d);
  for (int64_t t = 0; t < n_term; t++) {
    const lrp_real f = factor[t], *z = term[t] + at;
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
LRP_LOOP void block_any(const lrp_division *q, double eps, int64_t at, int64_t n, lrp_real *all_s, double *sum)
{
  lrp_real g_room[BLOCK], d_room[BLOCK], s_room[BLOCK], *s = all_s ? all_s + at : s_room;
  const bool add = q->stab == LRP_STAB_ADD, all = q->group->gate == LRP_GATE_ALL && q->group->coef == 1,
             one = q->n_term == 1 && q->factor[0] == 1 && (add || q->term[0] + at != s); /* s may take its place */
  const lrp_real *g = all ? q->r + at : g_room, *d = one ? q->term[0] + at : d_room;
  if (!all) gated(q, at, n, g_room);
  if (!one) weighted_sum(q->factor, q->term, q->n_term, at, n, d_room);
  if (add) {
    quotient_sums(g, d, n, (lrp_real)eps, s, sum);
  } else {
    lrp_the_host.divide(g, d, n, q->stab, eps, s);
    divided_sums(g, d, n, s, sum);
  }
}
LRP_TWICE(void, block, (const lrp_division *q, double eps, int64_t at, int64_t n, lrp_real *s, double *sum),
          (q, eps, at, n, s, sum))

/* The same of both sides of a gate: each number is looked at once, and there is one division. */
LRP_LOOP void sides_block_any(const lrp_division *q, lrp_real eps, int64_t at, int64_t n, double *sum)
{
  const lrp_sides *p = q->sides;
  const int64_t c = at % p->period;
  const lrp_real *z = q->z + at, *r = q->r + at, *a = p->a + at, *up = p->bias[0] + c, *down = p->bias[1] + c;
  lrp_real *u = p->u + at, *v = p->v + at;
  double lost = 0, given = 0;
#pragma omp simd reduction(+ : lost, given)
  for (int64_t i = 0; i < n; i++) {
    const int above = z[i] > 0;
    const lrp_real alpha = lrp_select(above, p->alpha[0], p->alpha[1]),
                   beta = lrp_select(above, p->beta[0], p->beta[1]),
                   g = lrp_select(above, p->coef[0] * r[i], lrp_select(z[i] < 0, p->coef[1] * r[i], 0)),
                   d = alpha * z[i] + beta * a[i] + lrp_select(above, up[i], down[i]), e = lrp_select(d < 0, -eps, eps),
                   s = lrp_select(g == 0, 0, g / (d + e));
    u[i] = alpha * s;
    v[i] = beta * s;
    lost += (double)(s * e);
    given += (double)g;
  }
  sum[0] += lost;
  sum[1] += given;
}
LRP_TWICE(void, sides_block, (const lrp_division *q, lrp_real eps, int64_t at, int64_t n, double *sum),
          (q, eps, at, n, sum))

typedef struct divide_job {
  const lrp_division *q;
  int64_t first; /* element */
  const double *eps;
  lrp_real *s;
} divide_job;

static void divide_piece(const void *job, int64_t k, int64_t begin, int64_t end, double *sum)
{
  const divide_job *d = job;
  for (int64_t at = d->first + begin; at < d->first + end; at += BLOCK)
    block(d->q, d->eps[k], at, least(BLOCK, d->first + end - at), d->s, sum);
}

static void sides_piece(const void *job, int64_t k, int64_t begin, int64_t end, double *sum)
{
  const divide_job *d = job;
  const int64_t period = d->q->sides->period, last = d->first + end;
  for (int64_t at = d->first + begin, n; at < last; at += n) {
    n = least(period - at % period, last - at);
    sides_block(d->q, (lrp_real)d->eps[k], at, n, sum);
  }
}

void lrp_divide_each(const lrp_division *q, int64_t first, int64_t n, int64_t m, const double *eps,
                     lrp_real *s, double *lost, double *given)
{
  const divide_job job = {.q = q, .first = first * m, .eps = eps, .s = s};
  memset(lost, 0, (size_t)n * sizeof *lost);
  memset(given, 0, (size_t)n * sizeof *given);
  each_piece(q->sides ? sides_piece : divide_piece, &job, n, m, 2, (double *const[]){lost, given});
}

typedef struct square_job {
  const lrp_division *q;
  int64_t first;
} square_job;

static void square_piece(const void *job, int64_t k, int64_t begin, int64_t end, double *total)
{
  const square_job *j = job;
  (void)k;
  for (int64_t at = begin; at < end; at += BLOCK) {
    lrp_real d[BLOCK];
    const int64_t n = least(BLOCK, end - at);
    double sum = 0;
    weighted_sum(j->q->factor, j->q->term, j->q->n_term, j->first + at, n, d);
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++)
      sum += (double)d[i] * (double)d[i];
    *total += sum;
  }
}

double lrp_division_square(const lrp_division *q, int64_t begin, int64_t end)
{
  const square_job job = {q, begin};
  double sum = 0, *const sums[] = {&sum};
  each_piece(square_piece, &job, 1, end - begin, 1, sums);
  return sum;
}

/* ---- what comes back, times the input ---- */

/* The sum of what is written or added. */
LRP_LOOP double multiply_block_any(lrp_real factor, const lrp_real *x, const lrp_real *bar, int64_t n, bool add,
                                   lrp_real *out)
{
  double sum = 0;
  if (add)
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++) {
      const lrp_real v = lrp_select(bar[i] != 0, factor * x[i] * bar[i], 0);
      out[i] += v;
      sum += (double)v;
    }
  else
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++) {
      const lrp_real v = lrp_select(bar[i] != 0, factor * x[i] * bar[i], 0);
      out[i] = v;
      sum += (double)v;
    }
  return sum;
}
LRP_TWICE(double, multiply_block,
          (lrp_real factor, const lrp_real *x, const lrp_real *bar, int64_t n, bool add, lrp_real *out),
          (factor, x, bar, n, add, out))

typedef struct multiply_job {
  lrp_real factor;
  const lrp_real *x, *bar;
  bool add;
  lrp_real *out;
} multiply_job;

static void multiply_piece(const void *job, int64_t k, int64_t begin, int64_t end, double *sum)
{
  const multiply_job *j = job;
  (void)k;
  *sum = multiply_block(j->factor, j->x + begin, j->bar + begin, end - begin, j->add, j->out + begin);
}

void lrp_multiply(lrp_real factor, const lrp_real *x, const lrp_real *bar, int64_t n, int64_t m, bool add,
                  lrp_real *out, double *sum)
{
  if (n == 1 && m <= PIECE) { /* not even a region of one thread: recurrent layers come here at every step */
    const double s = multiply_block(factor, x, bar, m, add, out);
    if (sum) *sum += s;
    return;
  }
  const multiply_job job = {.factor = factor, .x = x, .bar = bar, .add = add, .out = out};
  each_piece(multiply_piece, &job, n, m, 1, &sum);
}

/* ---- a sum of branches, and what each of them gets back ---- */

LRP_LOOP void join_block_any(const lrp_join *j, int64_t at, int64_t n, lrp_real eps, double *sum)
{
  lrp_real d[BLOCK];
  weighted_sum(j->factor, j->x, j->n_in, at, n, d);
  quotient_sums(j->r + at, d, n, eps, d, sum);
  for (uint32_t b = 0; b < j->n_in; b++)
    if (j->back[b]) sum[2 + b] += multiply_block_any(j->factor[b], j->x[b] + at, d, n, j->add[b], j->back[b] + at);
}
LRP_TWICE(void, join_block, (const lrp_join *j, int64_t at, int64_t n, lrp_real eps, double *sum), (j, at, n, eps, sum))

static void join_piece(const void *job, int64_t k, int64_t begin, int64_t end, double *sum)
{
  const lrp_join *j = job;
  (void)k;
  for (int64_t at = begin; at < end; at += BLOCK)
    join_block(j, at, least(BLOCK, end - at), j->eps, sum);
}

void lrp_join_each(const lrp_join *j, int64_t n, int64_t m, double *lost, double *const *back)
{
  double *sum[2 + LRP_JOIN_MOST] = {lost, NULL};
  for (uint32_t b = 0; b < j->n_in; b++)
    sum[2 + b] = back ? back[b] : NULL;
  each_piece(join_piece, j, n, m, 2 + j->n_in, sum);
}
