/* zplus.c - LRP-z+: only contributions that raise the output count; alphabeta with (1,0). */
#include "args.h"

enum { EPSILON, BIAS };
static const lrp_arg ARGS[] = {ARG_EPSILON(1e-6), ARG_BIAS, LRP_ARGS_END};

static void table(const lrp_value *args, lrp_table *t)
{
  lrp_table_start(t, args[EPSILON].real, LRP_STAB_ADD);
  const uint32_t g = lrp_table_group(t, 1, LRP_GATE_ALL);
  lrp_table_pass(t, g, LRP_IN_POS, lrp_only(LRP_PART_POS),
                 bias_form(&args[BIAS], lrp_only(LRP_PART_POS)));
  lrp_table_pass(t, g, LRP_IN_NEG, lrp_only(LRP_PART_NEG), lrp_none());
}

static const lrp_rule ZPLUS =
    RULE(.kinds = KIND(LINEAR), .name = "zplus", .doc = "only contributions that raise the output",
         .cite =
             "Montavon et al. 2017, Pattern Recognition 65, the z+ rule; zennit 1.0.0, rules.ZPlus",
         .formula = "d = x+ W+ + x- W- + b+; R' = x+ . W+^T s + x- . W-^T s, s = R / (d + eps)",
         .args = ARGS, .table = table);
RULE_MODULE(zplus, "LRP-z+", &ZPLUS);
