/* gamma.c - LRP-gamma in its general form: contributions that speak for the output's sign are
 * favoured, whatever the signs of inputs and outputs. */
#include "args.h"

enum { GAMMA, EPSILON, BIAS, STABILIZER };
static const lrp_arg ARGS[] = {
    {.name = "gamma",
     .type = LRP_ARG_REAL,
     .def = 0.25,
     .min = 0,
     .max = 1e9,
     .doc = "extra weight of the favoured contributions, no unit; default as in zennit"},
    ARG_EPSILON(1e-6),
    ARG_BIAS,
    ARG_STABILIZER,
    LRP_ARGS_END};

/* The sign gate sees the genuine output, bias included, even where bias=off (as zennit's fifth
 * pass). */
static void table(const lrp_value *args, lrp_table *t)
{
  const lrp_form pos = lrp_plus(args[GAMMA].real, LRP_PART_POS),
                 neg = lrp_plus(args[GAMMA].real, LRP_PART_NEG);
  lrp_table_start(t, args[EPSILON].real, (uint32_t)args[STABILIZER].i);
  const uint32_t up = lrp_table_group(t, 1, LRP_GATE_POS),
                 down = lrp_table_group(t, 1, LRP_GATE_NEG);
  lrp_table_pass(t, up, LRP_IN_POS, pos, bias_form(&args[BIAS], pos));
  lrp_table_pass(t, up, LRP_IN_NEG, neg, lrp_none());
  lrp_table_pass(t, down, LRP_IN_POS, neg, bias_form(&args[BIAS], neg));
  lrp_table_pass(t, down, LRP_IN_NEG, pos, lrp_none());
}

static const lrp_rule GAMMA_RULE =
    RULE(.kinds = KIND(LINEAR), .name = "gamma",
         .doc = "favours contributions of the output's sign",
         .cite = "Montavon et al. 2019, LNCS 11700, sec. 10.2.1, in the general form of zennit "
                 "1.0.0 (rules.Gamma)",
         .formula = "z > 0: d = x+ (W + g W+) + x- (W + g W-) + b + g b+; z < 0: + and - "
                    "exchanged; R' = x . W'^T (R / st(d))",
         .args = ARGS, .table = table);
RULE_MODULE(gamma, "LRP-gamma", &GAMMA_RULE);
