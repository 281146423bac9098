/* wsquare.c - the w^2 rule of deep Taylor decomposition: by the squared weights, whatever the
 * input. */
#include "args.h"

enum { EPSILON, BIAS };
static const lrp_arg ARGS[] = {ARG_EPSILON(1e-6), ARG_BIAS, LRP_ARGS_END};

static void table(const lrp_value *args, lrp_table *t)
{
  lrp_table_start(t, args[EPSILON].real, LRP_STAB_ADD);
  const uint32_t g = lrp_table_group(t, 1, LRP_GATE_ALL);
  lrp_table_pass(t, g, LRP_IN_ONE, lrp_only(LRP_PART_SQUARE),
                 bias_form(&args[BIAS], lrp_only(LRP_PART_SQUARE)));
}

static const lrp_rule WSQUARE =
    RULE(.kinds = KIND(LINEAR), .name = "wsquare",
         .doc = "by the squared weights, whatever the input",
         .cite = "Montavon et al. 2017, Pattern Recognition 65, the w^2 rule; b b in the "
                 "denominator as in zennit",
         .formula = "R' = (W W)^T (R / (sum W W + b b)); padding counts as absent", .args = ARGS,
         .table = table);
RULE_MODULE(wsquare, "the w^2 rule", &WSQUARE);
