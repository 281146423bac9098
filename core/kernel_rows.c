/* kernel_rows.c - products whose left operand has rows of nothing but zeros: only the other rows are multiplied.
 *
 * Relevance has such rows where a model looks at one position of many: the classifier of a transformer reads one token,
 * so in its last block the others have none; a padded text has none at its end.  They are seen in the data.  In a row
 * that has numbers the first is rarely zero, so to look costs nothing. */
#include "kernel_impl.h"
#include <string.h>

enum { LEAST_ROWS = 16, PART = 8 }; /* rows worth a look; one in PART must be zero to be worth the copies */

static bool is_zero(const lrp_real *v, int64_t n)
{
  int64_t i = 0;
  while (i < n && v[i] == 0)
    i++;
  return i == n;
}

static bool is_matrix(const lrp_product *p)
{
  return p->n_axis == 0 && p->n_batch == 1 && p->a_col == 1 && p->a_row == p->k && p->m >= LEAST_ROWS;
}

/* The rows of a that have numbers, in order; *out NULL: so many that all are as well. */
static lrp_status rows_with_numbers(lrp_ctx *ctx, const lrp_product *p, int64_t *n, int64_t **out)
{
  int64_t *row = lrp_arena_raw(&ctx->scratch, (size_t)p->m * sizeof *row);
  if (!row) return lrp_nomem(ctx, "a product");
  *n = 0;
  for (int64_t i = 0; i < p->m; i++)
    if (!is_zero(p->a + i * p->k, p->k)) row[(*n)++] = i;
  *out = *n <= p->m - (p->m + PART - 1) / PART ? row : NULL;
  return LRP_OK;
}

/* The first n rows of the result to their places, which are not before them, from the last on; the bias, or zeros, to
 * the others. */
static void spread(const lrp_product *p, const int64_t *row, int64_t n)
{
  const size_t bytes = (size_t)p->n * sizeof *p->out;
  for (int64_t i = p->m; i-- > 0;) {
    lrp_real *to = p->out + i * p->n;
    if (n && row[n - 1] == i)
      memmove(to, p->out + --n * p->n, bytes);
    else if (p->bias)
      memcpy(to, p->bias, bytes);
    else
      memset(to, 0, bytes);
  }
}

lrp_status lrp_rows_matmul(lrp_ctx *ctx, const lrp_product *p, lrp_product_fn *run, int which, bool *done)
{
  int64_t *row = NULL, n = 0;
  *done = false;
  if (!is_matrix(p)) return LRP_OK;
  const lrp_mark mark = lrp_arena_mark(&ctx->scratch);
  lrp_status st = rows_with_numbers(ctx, p, &n, &row);
  lrp_product q = *p;
  if (!st && row) {
    lrp_real *a = lrp_arena_raw(&ctx->scratch, (size_t)(n * p->k) * sizeof *a + 1);
    if (!a) st = lrp_nomem(ctx, "a product");
    for (int64_t i = 0; !st && i < n; i++)
      memcpy(a + i * p->k, p->a + row[i] * p->k, (size_t)p->k * sizeof *a);
    q.a = a;
    q.m = n;
    q.a_count = n * p->k;
    if (!st && n) st = run(ctx, which, &q);
    if (!st) spread(p, row, n);
    ctx->tally.work -= (double)(p->m - n) * (double)p->n * (double)p->k;
    *done = !st;
  }
  lrp_arena_release(&ctx->scratch, mark);
  return st;
}
