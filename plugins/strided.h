/* strided.h - walks tensors together, each with its own step along every axis of one common box.  Broadcasting,
 * transposing, slicing, tiling and summing over axes are all such walks.  Tensor 0 is the one that is written; a step
 * of 0 repeats a tensor that is read and sums into one that is written. */
#ifndef LRP_PLUGINS_STRIDED_H
#define LRP_PLUGINS_STRIDED_H
#include "layer.h"

enum {
  STRIDED_AXES = 2 * LRP_MAX_RANK, /* tile splits each axis in two */
  STRIDED_TENSORS = 3,
  STRIDED_PIECE = 4096, /* elements that one thread takes at a time */
  STRIDED_LANES = 64    /* sums made together: they stay in the first-level cache */
};
typedef struct strided {
  int32_t rank;
  int64_t n[STRIDED_AXES], step[STRIDED_AXES][STRIDED_TENSORS], base[STRIDED_TENSORS];
} strided;

/* One more axis, inside those there are.  Axes of size 1 are left out, neighbours that walk as one are joined. */
static inline void strided_axis(strided *w, int64_t n, int64_t s0, int64_t s1, int64_t s2)
{
  const int64_t s[STRIDED_TENSORS] = {s0, s1, s2};
  if (n == 1)
    return;
  const int32_t last = w->rank - 1;
  int joins = w->rank > 0 && n > 0;
  for (int i = 0; joins && i < STRIDED_TENSORS; i++)
    joins = w->step[last][i] == s[i] * n;
  const int32_t at = joins ? last : w->rank++;
  w->n[at] = joins ? w->n[at] * n : n;
  memcpy(w->step[at], s, sizeof s);
}

/* Elements between neighbours along each of rank axes; 0 along those that t lacks or has with size 1. */
static inline void strided_steps(const lrp_tensor *t, int32_t rank, int64_t *step)
{
  int64_t s = 1;
  for (int32_t i = rank - 1, k = t->rank - 1; i >= 0; i--, k--) {
    step[i] = k < 0 || t->shape[k] == 1 ? 0 : s;
    s *= k < 0 ? 1 : t->shape[k];
  }
}

/* A walk over the shape of box, by numpy's broadcasting of up to three tensors; NULL: none. */
static inline strided strided_over(const lrp_tensor *box, const lrp_tensor *t0, const lrp_tensor *t1,
                                   const lrp_tensor *t2)
{
  const lrp_tensor *t[STRIDED_TENSORS] = {t0, t1, t2};
  int64_t step[STRIDED_TENSORS][LRP_MAX_RANK] = {{0}};
  strided w = {0};
  for (int i = 0; i < STRIDED_TENSORS; i++)
    if (t[i])
      strided_steps(t[i], box->rank, step[i]);
  for (int32_t i = 0; i < box->rank; i++)
    strided_axis(&w, box->shape[i], step[0][i], step[1][i], step[2][i]);
  return w;
}

/* ---- rows: runs along the last axis, cut into pieces ---- */

static inline int64_t strided_inner(const strided *w)
{
  return w->rank ? w->n[w->rank - 1] : 1;
}

/* Step of tensor i along the last axis. */
static inline int64_t strided_last(const strided *w, int i)
{
  return w->rank ? w->step[w->rank - 1][i] : 0;
}

static inline int64_t strided_rows(const strided *w)
{
  int64_t n = 1;
  for (int32_t i = 0; i + 1 < w->rank; i++)
    n *= w->n[i];
  return n;
}

static inline int64_t strided_pieces(const strided *w, int64_t size)
{
  return strided_rows(w) * ((strided_inner(w) + size - 1) / size);
}

/* Where piece k starts in each tensor; returns its length. */
static inline int64_t strided_piece(const strided *w, int64_t size, int64_t k, int64_t *at)
{
  const int64_t n = strided_inner(w), per = (n + size - 1) / size, first = k % per * size;
  int64_t row = k / per;
  for (int i = 0; i < STRIDED_TENSORS; i++)
    at[i] = w->base[i] + first * strided_last(w, i);
  for (int32_t a = w->rank - 2; a >= 0; a--) {
    const int64_t x = row % w->n[a];
    row /= w->n[a];
    for (int i = 0; i < STRIDED_TENSORS; i++)
      at[i] += x * w->step[a][i];
  }
  return n - first < size ? n - first : size;
}

/* Where piece k starts in a dense tensor that has the shape of the box. */
static inline int64_t strided_flat(const strided *w, int64_t size, int64_t k)
{
  const int64_t n = strided_inner(w), per = (n + size - 1) / size;
  return k / per * n + k % per * size;
}

#define STRIDED_FOR(w, k, pieces, ...)                                                                        \
  const int64_t pieces = strided_pieces(w, STRIDED_PIECE);                                                    \
  const int wide = strided_rows(w) * strided_inner(w) > PARALLEL_MIN;                                         \
  LRP_THREADS(wide, for (int64_t k = 0; k < pieces; k++) __VA_ARGS__)

/* ---- copies ---- */

static inline void strided_copy_reals(const strided *w, const lrp_real *from, lrp_real *to)
{
  const int64_t s0 = strided_last(w, 0), s1 = strided_last(w, 1);
  STRIDED_FOR(w, k, pieces,
  {
    int64_t at[STRIDED_TENSORS];
    const int64_t n = strided_piece(w, STRIDED_PIECE, k, at);
    if (s0 == 1 && s1 == 1)
      memcpy(to + at[0], from + at[1], (size_t)n * sizeof *to);
    else
      for (int64_t i = 0; i < n; i++)
        to[at[0] + i * s0] = from[at[1] + i * s1];
  });
}

/* Tensor 0 becomes tensor 1, of the same element type; from without data: zeros. */
static inline void strided_copy(const strided *w, const lrp_tensor *from, const lrp_tensor *to)
{
  static const lrp_real zero = 0;
  if (to->dtype == LRP_REAL && from->data) {
    strided_copy_reals(w, lrp_reals(from), lrp_reals(to));
  } else if (to->dtype == LRP_REAL) {
    strided still = *w;
    still.base[1] = 0;
    for (int32_t a = 0; a < w->rank; a++)
      still.step[a][1] = 0;
    strided_copy_reals(&still, &zero, lrp_reals(to));
  } else {
    const int64_t pieces = strided_pieces(w, STRIDED_PIECE), s0 = strided_last(w, 0), s1 = strided_last(w, 1);
    for (int64_t k = 0; k < pieces; k++) {
      int64_t at[STRIDED_TENSORS];
      const int64_t n = strided_piece(w, STRIDED_PIECE, k, at);
      for (int64_t i = 0; i < n; i++)
        lrp_indices(to)[at[0] + i * s0] = from->data ? lrp_indices(from)[at[1] + i * s1] : 0;
    }
  }
}

/* ---- sums ---- */

/* Axes along which tensor 0 moves, and those that are summed over. */
static inline void strided_split(const strided *w, strided *keep, strided *sum)
{
  *keep = *sum = (strided){0};
  memcpy(keep->base, w->base, sizeof w->base);
  for (int32_t a = 0; a < w->rank; a++)
    strided_axis(w->step[a][0] ? keep : sum, w->n[a], w->step[a][0], w->step[a][1], w->step[a][2]);
}

/* m sums, the terms of neighbours lie `lane` apart. */
static inline void strided_sum_lanes(const strided *sum, const lrp_real *from, int64_t lane, int64_t m, double *acc)
{
  const int64_t rows = strided_rows(sum), inner = strided_inner(sum), s = strided_last(sum, 1);
  for (int64_t r = 0; inner && r < rows; r++) {
    int64_t at[STRIDED_TENSORS];
    strided_piece(sum, inner, r, at);
    for (int64_t i = 0; i < inner; i++) {
      const lrp_real *row = from + at[1] + i * s;
      for (int64_t j = 0; j < m; j++)
        acc[j] += (double)row[j * lane];
    }
  }
}

/* Tensor 0 += factor * sum of tensor 1 over the axes along which tensor 0 does not move. */
static inline void strided_sum(const strided *w, double factor, const lrp_real *from, lrp_real *to)
{
  strided keep, sum;
  strided_split(w, &keep, &sum);
  const int contiguous = sum.rank > 0 && strided_last(&sum, 1) == 1;
  const int64_t size = contiguous ? 1 : STRIDED_LANES, pieces = strided_pieces(&keep, size);
  const int64_t lane = strided_last(&keep, 1), s0 = strided_last(&keep, 0);
  const int wide = strided_rows(w) * strided_inner(w) > PARALLEL_MIN;
  LRP_THREADS(wide,
  for (int64_t k = 0; k < pieces; k++) {
    int64_t at[STRIDED_TENSORS];
    double acc[STRIDED_LANES] = {0};
    const int64_t m = strided_piece(&keep, size, k, at);
    strided_sum_lanes(&sum, from + at[1], lane, m, acc);
    for (int64_t j = 0; j < m; j++)
      to[at[0] + j * s0] += (lrp_real)(factor * acc[j]);
  });
}

/* ---- shapes ---- */

/* y becomes the shape to which y and x broadcast. */
static inline lrp_status strided_broadcast(const lrp_host *h, lrp_ctx *ctx, const char *who, const lrp_tensor *x,
                                           lrp_tensor *y)
{
  const int32_t rank = x->rank > y->rank ? x->rank : y->rank, add = rank - y->rank;
  for (int32_t i = rank - 1; i >= 0; i--) {
    const int64_t a = i < rank - x->rank ? 1 : x->shape[i - (rank - x->rank)], b = i < add ? 1 : y->shape[i - add];
    if (a != b && a != 1 && b != 1)
      return h->fail(ctx, LRP_E_SHAPE,
                     "%s: axis %d from the end has %lld elements in one operand, %lld in another; equal ones or 1 "
                     "were expected",
                     who, rank - i, (long long)b, (long long)a);
    y->shape[i] = a == 1 ? b : a;
  }
  y->rank = rank;
  return LRP_OK;
}

static inline int same_shape(const lrp_tensor *a, const lrp_tensor *b)
{
  return a->rank == b->rank && !memcmp(a->shape, b->shape, (size_t)a->rank * sizeof *a->shape);
}

/* Known to hold no negative number: so flagged, or a constant that has none. */
static inline int known_nonneg(const lrp_tensor *t)
{
  if (t->dtype != LRP_REAL || (t->flags & LRP_NONNEG) || !t->data)
    return t->dtype == LRP_REAL && (t->flags & LRP_NONNEG);
  for (int64_t i = 0, n = lrp_count(t); i < n; i++)
    if (!(lrp_reals(t)[i] >= 0))
      return 0;
  return 1;
}
#endif
