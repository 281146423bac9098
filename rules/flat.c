/* flat.c - equal shares to all inputs of an output: for the first layer, where single pixels mean
 * little. */
#include "args.h"

enum { EPSILON };
static const lrp_arg ARGS[] = {ARG_EPSILON(1e-6), LRP_ARGS_END};

static void table(const lrp_value *args, lrp_table *t)
{
  lrp_table_start(t, args[EPSILON].real, LRP_STAB_ADD);
  const uint32_t g = lrp_table_group(t, 1, LRP_GATE_ALL);
  lrp_table_pass(t, g, LRP_IN_ONE, lrp_only(LRP_PART_ONES), lrp_none());
}

static const lrp_rule FLAT =
    RULE(.kinds = KIND(LINEAR), .name = "flat", .doc = "equal shares to all inputs of an output",
         .cite = "Lapuschkin et al. 2019, Unmasking Clever Hans predictors, Nature Communications "
                 "10; zennit 1.0.0, rules.Flat",
         .formula = "R' = 1^T (R / n), n inputs of each output; padding counts as absent",
         .args = ARGS, .table = table);
RULE_MODULE(flat, "the flat rule", &FLAT);
