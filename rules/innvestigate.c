/* innvestigate.c - a dialect: the rules for layers with weights as iNNvestigate 2.1.2 computes
 * them.  Its division replaces a denominator of exactly 0 by 1e-7 and leaves small ones alone. */
#include "innvestigate.h"

static const lrp_arg Z_ARGS[] = {ARG_BIAS, LRP_ARGS_END};
static const lrp_arg EPSILON_ARGS[] = {ARG_EPSILON(1e-7), ARG_BIAS, LRP_ARGS_END};

static void one_pass(lrp_table *t, uint32_t in, lrp_form w, lrp_form b)
{
  const uint32_t g = lrp_table_group(t, 1, LRP_GATE_ALL);
  lrp_table_pass(t, g, in, w, b);
}

static void z(const lrp_value *args, lrp_table *t)
{
  innvestigate_start(t);
  one_pass(t, LRP_IN_X, lrp_raw(), bias_form(&args[0], lrp_raw()));
}

static void epsilon(const lrp_value *args, lrp_table *t)
{
  lrp_table_start(t, args[0].real, LRP_STAB_ADD);
  one_pass(t, LRP_IN_X, lrp_raw(), bias_form(&args[1], lrp_raw()));
}

static void zplus(const lrp_value *args, lrp_table *t)
{
  (void)args;
  innvestigate_start(t);
  const uint32_t g = lrp_table_group(t, 1, LRP_GATE_ALL);
  lrp_table_pass(t, g, LRP_IN_POS, lrp_only(LRP_PART_POS), lrp_none());
  lrp_table_pass(t, g, LRP_IN_NEG, lrp_only(LRP_PART_NEG), lrp_none());
}

static void zplus_fast(const lrp_value *args, lrp_table *t)
{
  (void)args;
  innvestigate_start(t);
  one_pass(t, LRP_IN_X, lrp_only(LRP_PART_POS), lrp_none());
}

static const lrp_rule Z =
    RULE(.kinds = 0, .name = "innvestigate:z", .doc = "in proportion to the contributions",
         .cite = "Bach et al. 2015, PLOS ONE 10(7), eq. 56; " INNVESTIGATE "ZRule",
         .formula = "R' = x . W^T (R / z), z = W x + b; 1e-7 where z is 0", .args = Z_ARGS,
         .table = z,
         .note = "small denominators are not stabilised: relevance may grow without bound. On a "
                 "batch normalisation that is not merged it is iNNvestigate's own rule for that "
                 "layer, x (y - beta) R / ((x - mean) y), except at x = mean");
static const lrp_rule EPSILON =
    RULE(.kinds = 0, .name = "innvestigate:epsilon", .doc = "epsilon with iNNvestigate's default",
         .cite = "Bach et al. 2015, PLOS ONE 10(7), eq. 58; " INNVESTIGATE "EpsilonRule",
         .formula = "R' = x . W^T (R / (z + eps sgn z)), sgn(0) = 1", .args = EPSILON_ARGS,
         .table = epsilon);
static const lrp_rule ZPLUS =
    RULE(.kinds = KIND(LINEAR), .name = "innvestigate:zplus",
         .doc = "raising contributions alone, without bias",
         .cite = "Montavon et al. 2017, Pattern Recognition 65, the z+ rule; " INNVESTIGATE
                 "ZPlusRule, the same as Alpha1Beta0IgnoreBiasRule",
         .formula = "R' = x+ . W+^T s + x- . W-^T s, s = R / (x+ W+ + x- W-)", .table = zplus);
static const lrp_rule ZPLUS_FAST =
    RULE(.kinds = KIND(LINEAR), .name = "innvestigate:zplus_fast",
         .doc = "positive weights without bias, for inputs >= 0",
         .cite = "Montavon et al. 2017, Pattern Recognition 65, the z+ rule; " INNVESTIGATE
                 "ZPlusFastRule",
         .formula = "R' = x . W+^T (R / W+ x)", .table = zplus_fast,
         .note = "right for inputs >= 0 only, which iNNvestigate does not check; for others "
                 "innvestigate:zplus");
RULE_MODULE(innvestigate, "iNNvestigate's dialect: rules for weights", &Z, &EPSILON, &ZPLUS,
            &ZPLUS_FAST);
