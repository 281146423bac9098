/* captum.c - a dialect: the rules as Captum 0.9.0 computes them, for comparison.  Weights are
 * modified whatever the input's sign, the bias always counts in full, and the stabiliser is 1e-9.
 */
#include "args.h"

static const lrp_arg EPSILON_ARGS[] = {ARG_EPSILON(1e-9), LRP_ARGS_END};
static const lrp_arg GAMMA_ARGS[] = {
    {.name = "gamma",
     .type = LRP_ARG_REAL,
     .def = 0.25,
     .min = 0,
     .max = 1e9,
     .doc = "extra weight of the positive weights, no unit; default as in Captum"},
    LRP_ARGS_END};
#define CAPTUM_EPS 1e-9 /* Captum's STABILITY_FACTOR */

static void one_pass(lrp_table *t, double eps, lrp_form w)
{
  lrp_table_start(t, eps, LRP_STAB_ADD);
  const uint32_t g = lrp_table_group(t, 1, LRP_GATE_ALL);
  lrp_table_pass(t, g, LRP_IN_X, w, lrp_raw());
}

static void epsilon(const lrp_value *args, lrp_table *t)
{
  one_pass(t, args[0].real, lrp_raw());
}

static void gamma_table(const lrp_value *args, lrp_table *t)
{
  one_pass(t, CAPTUM_EPS, lrp_plus(args[0].real, LRP_PART_POS));
}

static void alpha1beta0(const lrp_value *args, lrp_table *t)
{
  (void)args;
  one_pass(t, CAPTUM_EPS, lrp_only(LRP_PART_POS));
}

static const lrp_rule EPSILON =
    RULE(.kinds = 0, .name = "captum:epsilon", .doc = "epsilon with Captum's default",
         .cite = "Captum 0.9.0, EpsilonRule", .formula = "R' = x . W^T (R / (z + eps sgn z))",
         .args = EPSILON_ARGS, .table = epsilon);
static const lrp_rule GAMMA =
    RULE(.kinds = KIND(LINEAR), .name = "captum:gamma",
         .doc = "gamma as Captum has it: bias unscaled", .cite = "Captum 0.9.0, GammaRule",
         .formula = "W' = W + g W+; R' = x . W'^T (R / st(W' x + b))", .args = GAMMA_ARGS,
         .table = gamma_table);
static const lrp_rule A1B0 =
    RULE(.kinds = KIND(LINEAR), .name = "captum:alpha1beta0",
         .doc = "positive weights, whatever the input's sign; the whole bias",
         .cite = "Captum 0.9.0, Alpha1_Beta0_Rule", .formula = "R' = x . W+^T (R / st(W+ x + b))",
         .table = alpha1beta0);
RULE_MODULE(captum, "Captum's dialect", &EPSILON, &GAMMA, &A1B0);
