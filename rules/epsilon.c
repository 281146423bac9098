/* epsilon.c - LRP-epsilon: relevance in proportion to what each input contributed to the output
 * (Bach et al. 2015, eq. 58). */
#include "args.h"

enum { EPSILON, BIAS, STABILIZER, NORM_SCALE };
static const lrp_arg ARGS[] = {ARG_EPSILON(1e-6), ARG_BIAS, ARG_STABILIZER, ARG_NORM_SCALE,
                               LRP_ARGS_END};

static void table(const lrp_value *args, lrp_table *t)
{
  lrp_table_start(t, args[EPSILON].real, (uint32_t)args[STABILIZER].i);
  t->norm_scale = (uint32_t)args[NORM_SCALE].i;
  const uint32_t g = lrp_table_group(t, 1, LRP_GATE_ALL);
  lrp_table_pass(t, g, LRP_IN_X, lrp_raw(), bias_form(&args[BIAS], lrp_raw()));
}

static const lrp_rule EPSILON_RULE =
    RULE(.kinds = 0, .name = "epsilon", .doc = "in proportion to the contributions",
         .cite = "Bach et al. 2015, PLOS ONE 10(7), eq. 58; sgn(0) = 1 as in zennit",
         .formula = "R' = x . W^T (R / (z + eps sgn z)), z = W x + b", .args = ARGS,
         .table = table);
RULE_MODULE(epsilon, "LRP-epsilon", &EPSILON_RULE);
