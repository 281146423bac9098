/* kernel_rows.c - products whose operands have rows of nothing but zeros: only the other rows are multiplied.
 *
 * Relevance has such rows where a model looks at one position of many: the classifier of a transformer reads one token,
 * so in its last block the others have none; a padded text has none at its end.  They are seen in the data: in a row
 * that has numbers the first is rarely zero, so to look costs nothing.
 *
 *     a (M,K) b         rows of a: those rows of the result are the bias          y_bar b^T
 *     a (K,M)^T b (K,N) rows of b: that much less depth                           a^T y_bar
 *
 * Of many matrices a row counts as zero where it is in all. */
#include "kernel_impl.h"
#include <string.h>

enum { LEAST_ROWS = 16, PART = 8 }; /* rows worth a look; one in PART must be zero to be worth the copies */

typedef struct matrices { /* n of them, rows x columns, one behind the other */
  const lrp_real *data;
  int64_t n, rows, columns;
} matrices;

static bool is_zero(const lrp_real *v, int64_t n)
{
  int64_t i = 0;
  while (i < n && v[i] == 0)
    i++;
  return i == n;
}

static bool all_zero(const matrices *t, int64_t row)
{
  bool zero = true;
  for (int64_t i = 0; zero && i < t->n; i++)
    zero = is_zero(t->data + (i * t->rows + row) * t->columns, t->columns);
  return zero;
}

/* The rows that have numbers, in order; *out NULL: so many that all are as well. */
static lrp_status rows_with_numbers(lrp_ctx *ctx, const matrices *t, int64_t *n, int64_t **out)
{
  int64_t *row = lrp_arena_raw(&ctx->scratch, (size_t)t->rows * sizeof *row);
  if (!row) return lrp_nomem(ctx, "a product");
  *n = 0;
  for (int64_t i = 0; i < t->rows; i++)
    if (!all_zero(t, i)) row[(*n)++] = i;
  *out = *n <= t->rows - (t->rows + PART - 1) / PART ? row : NULL;
  return LRP_OK;
}

static lrp_status chosen(lrp_ctx *ctx, const matrices *t, const int64_t *row, int64_t n, const lrp_real **out)
{
  const size_t bytes = (size_t)t->columns * sizeof **out;
  lrp_real *to = lrp_arena_raw(&ctx->scratch, (size_t)(t->n * n) * bytes + 1);
  if (!to) return lrp_nomem(ctx, "a product");
  *out = to;
  for (int64_t i = 0; i < t->n; i++)
    for (int64_t k = 0; k < n; k++, to += t->columns)
      memcpy(to, t->data + (i * t->rows + row[k]) * t->columns, bytes);
  return LRP_OK;
}

/* What was computed for n rows to its places, which are not before it, from the last on; the bias, or zeros, to the
 * others. */
static void spread(const lrp_product *p, const int64_t *row, int64_t n)
{
  const size_t bytes = (size_t)p->n * sizeof *p->out;
  for (int64_t i = p->n_batch; i-- > 0;)
    for (int64_t r = p->m, k = n; r-- > 0;) {
      lrp_real *to = p->out + (i * p->m + r) * p->n;
      if (k && row[k - 1] == r)
        memmove(to, p->out + (i * n + --k) * p->n, bytes);
      else if (p->bias)
        memcpy(to, p->bias, bytes);
      else
        memset(to, 0, bytes);
    }
}

static lrp_status without_rows(lrp_ctx *ctx, const lrp_product *p, lrp_product_fn *run, int which, bool *done)
{
  const matrices a = {p->a, p->n_batch, p->m, p->k};
  int64_t *row = NULL, n = 0;
  lrp_product q = *p;
  lrp_status st = rows_with_numbers(ctx, &a, &n, &row);
  if (st || !row) return st;
  st = chosen(ctx, &a, row, n, &q.a);
  q.m = n;
  q.a_step[0] = n * p->k;
  q.a_count = p->n_batch * n * p->k;
  if (!st && n) st = run(ctx, which, &q);
  if (!st) spread(p, row, n);
  ctx->tally.work -= (double)p->n_batch * (double)(p->m - n) * (double)p->n * (double)p->k;
  *done = !st;
  return st;
}

static lrp_status without_depth(lrp_ctx *ctx, const lrp_product *p, lrp_product_fn *run, int which, bool *done)
{
  const matrices a = {p->a, p->n_batch, p->k, p->m}, b = {p->b, p->n_batch, p->k, p->n};
  int64_t *row = NULL, n = 0;
  lrp_product q = *p;
  lrp_status st = rows_with_numbers(ctx, &b, &n, &row);
  if (st || !row) return st;
  if (!n) row[n++] = 0; /* products have a depth */
  st = chosen(ctx, &a, row, n, &q.a);
  if (!st) st = chosen(ctx, &b, row, n, &q.b);
  q.k = n;
  q.a_step[0] = n * p->m;
  q.b_step[0] = n * p->n;
  q.a_count = p->n_batch * n * p->m;
  q.b_count = p->n_batch * n * p->n;
  if (!st) st = run(ctx, which, &q);
  ctx->tally.work -= (double)p->n_batch * (double)p->m * (double)p->n * (double)(p->k - n);
  *done = !st;
  return st;
}

/* One behind the other, not broadcast. */
static bool in_order(const lrp_product *p, const int64_t *step, int64_t size)
{
  return p->n_axis == 0 || (p->n_axis == 1 && step[0] == size);
}

lrp_status lrp_rows_matmul(lrp_ctx *ctx, const lrp_product *p, lrp_product_fn *run, int which, bool *done)
{
  const lrp_mark mark = lrp_arena_mark(&ctx->scratch);
  const bool a_in_order = in_order(p, p->a_step, p->m * p->k), b_in_order = in_order(p, p->b_step, p->k * p->n);
  lrp_status st = LRP_OK;
  *done = false;
  if (p->a_col == 1 && p->a_row == p->k && p->m >= LEAST_ROWS && a_in_order)
    st = without_rows(ctx, p, run, which, done);
  else if (p->a_row == 1 && p->b_col == 1 && p->k >= LEAST_ROWS && a_in_order && b_in_order && !p->pack)
    st = without_depth(ctx, p, run, which, done);
  lrp_arena_release(&ctx->scratch, mark);
  return st;
}
