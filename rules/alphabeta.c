/* alphabeta.c - LRP-alpha-beta: raising and lowering contributions apart, weighted apart. */
#include "args.h"
#include <math.h>

enum { ALPHA, BETA, EPSILON, BIAS };
static const lrp_arg ARGS[] = {{.name = "alpha",
                                .type = LRP_ARG_REAL,
                                .def = 2,
                                .min = 1,
                                .max = 1e6,
                                .doc = "weight of the raising contributions; alpha - beta = 1"},
                               {.name = "beta",
                                .type = LRP_ARG_REAL,
                                .def = 1,
                                .min = 0,
                                .max = 1e6,
                                .doc = "weight of the lowering contributions"},
                               ARG_EPSILON(1e-6),
                               ARG_BIAS,
                               LRP_ARGS_END};

static lrp_status check(const lrp_host *h, lrp_ctx *ctx, const lrp_value *args)
{
  if (fabs(args[ALPHA].real - args[BETA].real - 1) <= 1e-9) return LRP_OK;
  return h->fail(ctx, LRP_E_ARG,
                 "alphabeta: alpha - beta is %.9g, 1 was expected, as in alpha=2, beta=1",
                 args[ALPHA].real - args[BETA].real);
}

static void table(const lrp_value *args, lrp_table *t)
{
  const lrp_form pos = lrp_only(LRP_PART_POS), neg = lrp_only(LRP_PART_NEG);
  lrp_table_start(t, args[EPSILON].real, LRP_STAB_ADD);
  const uint32_t up = lrp_table_group(t, args[ALPHA].real, LRP_GATE_ALL);
  lrp_table_pass(t, up, LRP_IN_POS, pos, bias_form(&args[BIAS], pos));
  lrp_table_pass(t, up, LRP_IN_NEG, neg, lrp_none());
  const uint32_t down = lrp_table_group(t, -args[BETA].real, LRP_GATE_ALL);
  lrp_table_pass(t, down, LRP_IN_POS, neg, bias_form(&args[BIAS], neg));
  lrp_table_pass(t, down, LRP_IN_NEG, pos, lrp_none());
}

static const lrp_rule ALPHABETA =
    RULE(.kinds = KIND(LINEAR), .name = "alphabeta",
         .doc = "raising and lowering contributions apart, weighted alpha and -beta",
         .cite = "Bach et al. 2015, PLOS ONE 10(7), eq. 60; bias parts as in zennit 1.0.0 "
                 "(rules.AlphaBeta)",
         .formula = "R' = alpha (x+ . W+^T s + x- . W-^T s) - beta (x+ . W-^T t + x- . W+^T t), "
                    "s = R / st(x+ W+ + x- W- + b+), t = R / st(x+ W- + x- W+ + b-)",
         .args = ARGS, .check = check, .table = table);
RULE_MODULE(alphabeta, "LRP-alpha-beta", &ALPHABETA);
