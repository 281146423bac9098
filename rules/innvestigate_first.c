/* innvestigate_first.c - a dialect: iNNvestigate 2.1.2's rules for the layer at the input.  None of
 * them sees a bias. */
#include "innvestigate.h"

enum { LOW, HIGH };
static const lrp_arg BOUNDED_ARGS[] = {
    {.name = "low",
     .type = LRP_ARG_REALS,
     .flags = LRP_ARG_REQUIRED,
     .doc = "lower bound of the inputs, in units of the model's input: one value, or one for each "
            "channel as a/b/c (iNNvestigate takes one)"},
    {.name = "high",
     .type = LRP_ARG_REALS,
     .flags = LRP_ARG_REQUIRED,
     .doc = "upper bound, likewise"},
    LRP_ARGS_END};

static void ones(lrp_table *t, uint32_t part)
{
  innvestigate_start(t);
  const uint32_t g = lrp_table_group(t, 1, LRP_GATE_ALL);
  lrp_table_pass(t, g, LRP_IN_ONE, lrp_only(part), lrp_none());
}

static void wsquare(const lrp_value *args, lrp_table *t)
{
  (void)args;
  ones(t, LRP_PART_SQUARE);
}

static void flat(const lrp_value *args, lrp_table *t)
{
  (void)args;
  ones(t, LRP_PART_ONES);
}

static lrp_status check(const lrp_host *h, lrp_ctx *ctx, const lrp_value *args)
{
  if (args[LOW].reals.n > 0 && args[HIGH].reals.n > 0) return LRP_OK;
  return h->fail(ctx, LRP_E_ARG,
                 "innvestigate:bounded: low and high need a value each, as in "
                 "innvestigate:bounded(low=-1, high=1)");
}

static void bounded(const lrp_value *args, lrp_table *t)
{
  innvestigate_start(t);
  t->low = args[LOW].reals.v;
  t->n_low = args[LOW].reals.n;
  t->high = args[HIGH].reals.v;
  t->n_high = args[HIGH].reals.n;
  const uint32_t g = lrp_table_group(t, 1, LRP_GATE_ALL);
  lrp_table_pass(t, g, LRP_IN_X, lrp_raw(), lrp_none());
  lrp_table_pass_scaled(t, g, LRP_IN_LOW, lrp_only(LRP_PART_POS), lrp_none(), -1, -1);
  lrp_table_pass_scaled(t, g, LRP_IN_HIGH, lrp_only(LRP_PART_NEG), lrp_none(), -1, -1);
}

static const lrp_rule WSQUARE =
    RULE(.kinds = KIND(LINEAR), .name = "innvestigate:wsquare",
         .doc = "by the squared weights, without bias",
         .cite = "Montavon et al. 2017, Pattern Recognition 65, the w^2 rule; " INNVESTIGATE
                 "WSquareRule",
         .formula = "R' = (W W)^T (R / sum W W)", .table = wsquare);
static const lrp_rule FLAT =
    RULE(.kinds = KIND(LINEAR), .name = "innvestigate:flat",
         .doc = "equal shares to all inputs of an output",
         .cite = "Lapuschkin et al. 2019, Nature Communications 10; " INNVESTIGATE "FlatRule",
         .formula = "R' = 1^T (R / n), n inputs of each output", .table = flat);
static const lrp_rule BOUNDED =
    RULE(.kinds = KIND(LINEAR), .name = "innvestigate:bounded",
         .doc = "for inputs bounded by a box: pixels",
         .cite = "Montavon et al. 2017, Pattern Recognition 65, the z^B rule; " INNVESTIGATE
                 "BoundedRule",
         .formula = "R' = x . W^T s - l . W+^T s - h . W-^T s, s = R / (W x - W+ l - W- h)",
         .args = BOUNDED_ARGS, .check = check, .table = bounded);
RULE_MODULE(innvestigate_first, "iNNvestigate's dialect: the layer at the input", &WSQUARE, &FLAT,
            &BOUNDED);
