/* top_k.c - a filter: of the relevance that a rule gave to an input, each sample keeps the largest
 * part.  It follows a rule: conv -> zplus -> top_k(0.1). */
#include "args.h"
#include <string.h>

static const lrp_arg ARGS[] = {
    {.name = "fraction",
     .type = LRP_ARG_REAL,
     .flags = LRP_ARG_REQUIRED | LRP_ARG_OPEN_MIN,
     .min = 0,
     .max = 1,
     .doc = "of a sample's elements that are kept, rounded down, at least one; 1 keeps all"},
    LRP_ARGS_END};

/* The k-th largest (from 0) of n, which are put in another order: Hoare's selection. */
static lrp_real kth_largest(lrp_real *v, int64_t n, int64_t k)
{
  int64_t lo = 0, hi = n - 1;
  while (lo < hi) {
    const lrp_real pivot = v[lo + (hi - lo) / 2];
    int64_t i = lo, j = hi;
    while (i <= j) {
      while (v[i] > pivot)
        i++;
      while (v[j] < pivot)
        j--;
      if (i <= j) {
        const lrp_real t = v[i];
        v[i++] = v[j];
        v[j--] = t;
      }
    }
    if (k <= j)
      hi = j;
    else if (k >= i)
      lo = i;
    else
      break;
  }
  return v[k];
}

/* Larger ones stay, and of those equal to the limit the first until there are k. */
static void keep(lrp_real *r, int64_t n, int64_t k, lrp_real limit)
{
  int64_t above = 0;
  for (int64_t i = 0; i < n; i++)
    above += r[i] > limit;
  for (int64_t i = 0, equal = k - above; i < n; i++)
    if (!(r[i] > limit) && (r[i] < limit || equal-- <= 0)) r[i] = 0;
}

static lrp_status filter(const lrp_host *h, lrp_ctx *ctx, const lrp_value *args, int64_t n_sample,
                         lrp_tensor *r)
{
  const int64_t n = n_sample > 0 ? lrp_count(r) / n_sample : 0;
  const int64_t part = (int64_t)(args[0].real * (double)n), k = part < 1 ? 1 : part;
  lrp_tensor copy;
  if (k >= n) return LRP_OK;
  const lrp_status st = h->scratch(ctx, r, &copy);
  for (int64_t s = 0; !st && s < n_sample; s++) {
    lrp_real *one = lrp_reals(r) + s * n;
    memcpy(copy.data, one, (size_t)n * sizeof *one);
    keep(one, n, k, kth_largest(lrp_reals(&copy), n, k - 1));
  }
  return st;
}

static const lrp_rule TOP_K = RULE(
        .kinds = 0, .name = "top_k",
        .doc = "a filter behind a rule: only the largest part of what it gives goes on",
        .cite = "Fischer 2021, PyTorchRelevancePropagation, relevance_filter",
        .formula =
            "R'_i stays if it is among the largest max(1, floor(fraction n)) of its sample, else 0",
        .args = ARGS, .filter = filter,
        .note = "by value, not by magnitude: negative relevance goes first, and what is cut off is "
                "lost, which the ledger shows as gate; the first of equal ones are kept");
RULE_MODULE(top_k, "a filter of relevance", &TOP_K);
