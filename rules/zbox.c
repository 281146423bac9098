/* zbox.c - the z^B rule of deep Taylor decomposition, for inputs that live in a box: pixels. */
#include "args.h"

enum { LOW, HIGH, EPSILON };
static const lrp_arg ARGS[] = {{.name = "low",
                                .type = LRP_ARG_REALS,
                                .flags = LRP_ARG_REQUIRED,
                                .doc = "lower bound of the inputs, in units of the model's input: "
                                       "one value, or one for each channel as a/b/c"},
                               {.name = "high",
                                .type = LRP_ARG_REALS,
                                .flags = LRP_ARG_REQUIRED,
                                .doc = "upper bound, likewise"},
                               ARG_EPSILON(1e-6),
                               LRP_ARGS_END};

static lrp_status check(const lrp_host *h, lrp_ctx *ctx, const lrp_value *args)
{
  const int64_t n = args[LOW].reals.n, m = args[HIGH].reals.n;
  if (n < 1 || m < 1)
    return h->fail(ctx, LRP_E_ARG,
                   "zbox: low and high need a value each, as in zbox(low=-3, high=3)");
  if (n != m && n != 1 && m != 1)
    return h->fail(
        ctx, LRP_E_ARG,
        "zbox: low has %lld values, high %lld; one, or one for each channel, was expected",
        (long long)n, (long long)m);
  for (int64_t i = 0; i < n || i < m; i++) {
    const double low = (double)args[LOW].reals.v[n == 1 ? 0 : i],
                 high = (double)args[HIGH].reals.v[m == 1 ? 0 : i];
    if (!(low <= high))
      return h->fail(ctx, LRP_E_ARG, "zbox: low=%.9g is above high=%.9g", low, high);
  }
  return LRP_OK;
}

/* The bias cancels: b - b+ - b- = 0; written so, the first pass is the stored one.  Padding counts
 * as absent. */
static void table(const lrp_value *args, lrp_table *t)
{
  const lrp_form pos = lrp_only(LRP_PART_POS), neg = lrp_only(LRP_PART_NEG);
  lrp_table_start(t, args[EPSILON].real, LRP_STAB_ADD);
  t->low = args[LOW].reals.v;
  t->n_low = args[LOW].reals.n;
  t->high = args[HIGH].reals.v;
  t->n_high = args[HIGH].reals.n;
  const uint32_t g = lrp_table_group(t, 1, LRP_GATE_ALL);
  lrp_table_pass(t, g, LRP_IN_X, lrp_raw(), lrp_raw());
  lrp_table_pass_scaled(t, g, LRP_IN_LOW, pos, pos, -1, -1);
  lrp_table_pass_scaled(t, g, LRP_IN_HIGH, neg, neg, -1, -1);
}

static const lrp_rule ZBOX =
    RULE(.kinds = KIND(LINEAR), .name = "zbox", .doc = "for inputs bounded by a box: pixels",
         .cite =
             "Montavon et al. 2017, Pattern Recognition 65, the z^B rule; zennit 1.0.0, rules.ZBox",
         .formula =
             "d = W x - W+ l - W- h; R' = x . W^T s - l . W+^T s - h . W-^T s, s = R / st(d)",
         .args = ARGS, .check = check, .table = table);
RULE_MODULE(zbox, "the z^B rule", &ZBOX);
