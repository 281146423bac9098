/* captum.c - a dialect: the rules as Captum 0.9.0 computes them, for comparison.  Weights are
 * modified whatever the input's sign, the bias always counts in full unless it is off, and the
 * stabiliser is 1e-9. */
#include "args.h"

static const lrp_arg EPSILON_ARGS[] = {ARG_EPSILON(1e-9), LRP_ARGS_END};
static const lrp_arg GAMMA_ARGS[] = {
    {.name = "gamma",
     .type = LRP_ARG_REAL,
     .def = 0.25,
     .min = 0,
     .max = 1e9,
     .doc = "extra weight of the positive weights, no unit; default as in Captum"},
    ARG_BIAS,
    LRP_ARGS_END};
static const lrp_arg A1B0_ARGS[] = {ARG_BIAS, LRP_ARGS_END};
#define CAPTUM_EPS 1e-9 /* Captum's STABILITY_FACTOR */

static void one_pass(lrp_table *t, double eps, lrp_form w, lrp_form b)
{
  lrp_table_start(t, eps, LRP_STAB_ADD);
  const uint32_t g = lrp_table_group(t, 1, LRP_GATE_ALL);
  lrp_table_pass(t, g, LRP_IN_X, w, b);
}

static void epsilon(const lrp_value *args, lrp_table *t)
{
  one_pass(t, args[0].real, lrp_raw(), lrp_raw());
}

static void gamma_table(const lrp_value *args, lrp_table *t)
{
  one_pass(t, CAPTUM_EPS, lrp_plus(args[0].real, LRP_PART_POS), bias_form(&args[1], lrp_raw()));
}

static void alpha1beta0(const lrp_value *args, lrp_table *t)
{
  one_pass(t, CAPTUM_EPS, lrp_only(LRP_PART_POS), bias_form(&args[0], lrp_raw()));
}

static const lrp_rule EPSILON =
    RULE(.kinds = 0, .name = "captum:epsilon", .doc = "epsilon with Captum's default",
         .cite = "Bach et al. 2015, PLOS ONE 10(7), eq. 58; Captum 0.9.0, EpsilonRule",
         .formula = "R' = x . W^T (R / (z + eps sgn z)), sgn(0) = 1", .args = EPSILON_ARGS,
         .table = epsilon,
         .note = "Captum hands relevance through a functional \"+\" to both branches, so that it "
                 "doubles at each residual connection (use --rules captum, which shares it); its "
                 "result is seeded with the score although its documentation says 1");
static const lrp_rule GAMMA =
    RULE(.kinds = KIND(LINEAR), .name = "captum:gamma",
         .doc = "gamma as Captum has it: positive weights raised, bias unscaled",
         .cite = "Montavon et al. 2019, LNCS 11700, sec. 10.2.1; Captum 0.9.0, GammaRule; bias=off "
                 "is its set_bias_to_zero",
         .formula = "W' = W + g W+; R' = x . W'^T (R / st(W' x + b))", .args = GAMMA_ARGS,
         .table = gamma_table,
         .note =
             "meant for inputs >= 0: for others the raised weights favour contributions "
             "against the output; the paper raises the bias too. gamma is the form for any sign");
static const lrp_rule A1B0 =
    RULE(.kinds = KIND(LINEAR), .name = "captum:alpha1beta0",
         .doc = "positive weights, whatever the input's sign; the whole bias",
         .cite = "Bach et al. 2015, PLOS ONE 10(7), eq. 60; Captum 0.9.0, Alpha1_Beta0_Rule; "
                 "bias=off is its set_bias_to_zero",
         .formula = "R' = x . W+^T (R / st(W+ x + b))", .args = A1B0_ARGS, .table = alpha1beta0,
         .note = "not eq. 60: a negative bias counts among the raising parts, and negative inputs "
                 "are not treated apart. zplus does both");
RULE_MODULE(captum, "Captum's dialect", &EPSILON, &GAMMA, &A1B0);
