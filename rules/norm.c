/* norm.c - epsilon for layers without parameters: sums of branches and average pools. */
#include "args.h"

enum { EPSILON };
static const lrp_arg ARGS[] = {ARG_EPSILON(1e-6), LRP_ARGS_END};

static void table(const lrp_value *args, lrp_table *t)
{
  lrp_table_start(t, args[EPSILON].real, LRP_STAB_ADD);
  const uint32_t g = lrp_table_group(t, 1, LRP_GATE_ALL);
  lrp_table_pass(t, g, LRP_IN_X, lrp_raw(), lrp_raw());
}

static const lrp_rule NORM =
    RULE(.kinds = KIND(SUM) | KIND(POOL_SUM), .name = "norm",
         .doc = "in proportion to the inputs: sums of branches, average pools",
         .cite = "zennit 1.0.0, rules.Norm",
         .formula = "R' = x . P^T (R / (z + eps sgn z)), z = P x", .args = ARGS, .table = table);
RULE_MODULE(norm, "proportional sharing for layers without parameters", &NORM);
