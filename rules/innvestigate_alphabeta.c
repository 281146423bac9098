/* innvestigate_alphabeta.c - a dialect: raising and lowering contributions apart, as iNNvestigate
 * 2.1.2 computes them, slips included. */
#include "innvestigate.h"
#include <math.h>

#define WEIGHT(text, value, least, about)                                                          \
  {                                                                                                \
    .name = (text), .type = LRP_ARG_REAL, .def = (value), .min = (least), .max = 1e6,              \
    .doc = (about)                                                                                 \
  }
static const lrp_arg ARGS[] = {
    WEIGHT("alpha", 2, 1, "weight of the raising contributions; alpha - beta = 1"),
    WEIGHT("beta", 1, 0, "weight of the lowering contributions"), ARG_BIAS, LRP_ARGS_END};
enum { ALPHA0, ALPHA1, BETA0, BETA1, X_BIAS, SLIP };
static const lrp_arg X_ARGS[] = {
    WEIGHT("alpha0", 0.5, -1e6, "weight of x+ W+"),
    WEIGHT("alpha1", 0.5, -1e6, "weight of x- W-"),
    WEIGHT("beta0", 0.5, -1e6, "weight of x+ W-"),
    WEIGHT("beta1", 0.5, -1e6, "weight of x- W+"),
    ARG_BIAS,
    {.name = "slip",
     .type = LRP_ARG_BOOL,
     .def = 1,
     .doc = "on: x- W- is weighted with beta1, as the code does; off: with alpha1, as it says"},
    LRP_ARGS_END};

static lrp_status check(const lrp_host *h, lrp_ctx *ctx, const lrp_value *args)
{
  if (fabs(args[0].real - args[1].real - 1) <= 1e-9) return LRP_OK;
  return h->fail(ctx, LRP_E_ARG,
                 "innvestigate:alphabeta: alpha - beta is %.9g, 1 was expected, as in alpha=2, "
                 "beta=1",
                 args[0].real - args[1].real);
}

static void table(const lrp_value *args, lrp_table *t)
{
  const lrp_form pos = lrp_only(LRP_PART_POS), neg = lrp_only(LRP_PART_NEG);
  innvestigate_start(t);
  const uint32_t up = lrp_table_group(t, args[0].real, LRP_GATE_ALL);
  lrp_table_pass(t, up, LRP_IN_POS, pos, bias_form(&args[2], pos));
  lrp_table_pass(t, up, LRP_IN_NEG, neg, bias_form(&args[2], neg));
  const uint32_t down = lrp_table_group(t, -args[1].real, LRP_GATE_ALL);
  lrp_table_pass(t, down, LRP_IN_POS, neg, bias_form(&args[2], neg));
  lrp_table_pass(t, down, LRP_IN_NEG, pos, bias_form(&args[2], pos));
}

static void x_table(const lrp_value *args, lrp_table *t)
{
  const double weight[] = {args[ALPHA0].real, args[args[SLIP].i ? BETA1 : ALPHA1].real,
                           -args[BETA0].real, -args[BETA1].real};
  innvestigate_start(t);
  for (uint32_t i = 0; i < 4; i++) { /* x+ W+, x- W-, x+ W-, x- W+ */
    const lrp_form w = lrp_only(i == 0 || i == 3 ? LRP_PART_POS : LRP_PART_NEG);
    const uint32_t g = lrp_table_group(t, weight[i], LRP_GATE_ALL);
    lrp_table_pass(t, g, i & 1 ? LRP_IN_NEG : LRP_IN_POS, w, bias_form(&args[X_BIAS], w));
  }
}

static const lrp_rule ALPHABETA =
    RULE(.kinds = KIND(LINEAR), .name = "innvestigate:alphabeta",
         .doc = "alpha-beta with the whole bias in both denominators",
         .cite = "Bach et al. 2015, PLOS ONE 10(7), eq. 60; " INNVESTIGATE
                 "AlphaBetaRule; bias=off is AlphaBetaIgnoreBiasRule",
         .formula = "R' = alpha (x+ . W+^T s + x- . W-^T s) - beta (x+ . W-^T t + x- . W+^T t), "
                    "s = R / (x+ W+ + x- W- + b), t = R / (x+ W- + x- W+ + b)",
         .args = ARGS, .check = check, .table = table,
         .note = "iNNvestigate is wrong where there are biases (its issue 273): eq. 60 wants b+ in "
                 "s and b- in t. alphabeta has that");
static const lrp_rule ALPHABETAX =
    RULE(.kinds = KIND(LINEAR), .name = "innvestigate:alphabetax",
         .doc = "four quotients, one for each pair of signs, weighted apart",
         .cite = INNVESTIGATE "AlphaBetaXRule",
         .formula = "R' = a0 x+ . W+^T (R / (x+ W+ + b+)) + c x- . W-^T (R / (x- W- + b-)) "
                    "- b0 x+ . W-^T (R / (x+ W- + b-)) - b1 x- . W+^T (R / (x- W+ + b+)), "
                    "c = b1, or a1 with slip=off",
         .args = X_ARGS, .table = x_table,
         .note = "iNNvestigate never reads alpha1: beta1 stands in its place (slip=on), so that "
                 "AlphaBetaX1001Rule is X1000");
RULE_MODULE(innvestigate_alphabeta, "iNNvestigate's dialect: alpha-beta", &ALPHABETA, &ALPHABETAX);
