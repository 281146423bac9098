/* toolbox.c - a dialect: the rules of the LRP toolbox 1.3.1 (Python).  Stabilisers are so small
 * that they act on a denominator of 0 alone. */
#include "args.h"

#define TOOLBOX "Lapuschkin et al. 2016, JMLR 17(114), LRP toolbox 1.3.1, "
#define TINY    1e-16 /* of its dense layers; 1e-12 in convolutions */
static const lrp_arg EPSILON_ARGS[] = {{.name = "epsilon",
                                        .type = LRP_ARG_REAL,
                                        .def = 1,
                                        .min = 0,
                                        .max = 1e30,
                                        .doc = "stabiliser; default as that of param in lrp()"},
                                       LRP_ARGS_END};
static const lrp_arg ALPHA_ARGS[] = {
    {.name = "alpha",
     .type = LRP_ARG_REAL,
     .def = 2,
     .min = -1e6,
     .max = 1e6,
     .doc = "weight of the raising contributions; beta = 1 - alpha is added, as in the toolbox"},
    LRP_ARGS_END};

static void one_pass(lrp_table *t, double eps, uint32_t in, lrp_form w, lrp_form b)
{
  lrp_table_start(t, eps, LRP_STAB_ADD);
  lrp_table_pass(t, lrp_table_group(t, 1, LRP_GATE_ALL), in, w, b);
}

static void simple(const lrp_value *args, lrp_table *t)
{
  (void)args;
  one_pass(t, TINY, LRP_IN_X, lrp_raw(), lrp_raw());
}

static void epsilon(const lrp_value *args, lrp_table *t)
{
  one_pass(t, args[0].real, LRP_IN_X, lrp_raw(), lrp_raw());
}

static void wsquare(const lrp_value *args, lrp_table *t)
{
  (void)args;
  one_pass(t, TINY, LRP_IN_ONE, lrp_only(LRP_PART_SQUARE), lrp_none());
}

static void flat(const lrp_value *args, lrp_table *t)
{
  (void)args;
  one_pass(t, TINY, LRP_IN_ONE, lrp_only(LRP_PART_ONES), lrp_none());
}

static void alphabeta(const lrp_value *args, lrp_table *t)
{
  const lrp_form pos = lrp_only(LRP_PART_POS), neg = lrp_only(LRP_PART_NEG);
  lrp_table_start(t, TINY, LRP_STAB_ADD);
  const uint32_t up = lrp_table_group(t, args[0].real, LRP_GATE_ALL);
  lrp_table_pass(t, up, LRP_IN_POS, pos, pos);
  lrp_table_pass(t, up, LRP_IN_NEG, neg, lrp_none());
  const uint32_t down = lrp_table_group(t, 1 - args[0].real, LRP_GATE_ALL);
  lrp_table_pass(t, down, LRP_IN_POS, neg, neg);
  lrp_table_pass(t, down, LRP_IN_NEG, pos, lrp_none());
}

static const lrp_rule SIMPLE =
    RULE(.kinds = 0, .name = "toolbox:simple", .doc = "in proportion to the contributions",
         .cite = "Bach et al. 2015, PLOS ONE 10(7), eq. 56; " TOOLBOX "_simple_lrp",
         .formula = "R' = x . W^T (R / (z + 1e-16 sgn z)), sgn(0) = 1", .table = simple,
         .note = "the toolbox's 1e-16 (1e-12 in convolutions) is nothing beside a float: small "
                 "denominators blow relevance up; epsilon is the remedy");
static const lrp_rule EPSILON =
    RULE(.kinds = 0, .name = "toolbox:epsilon", .doc = "epsilon with the toolbox's default",
         .cite = "Bach et al. 2015, PLOS ONE 10(7), eq. 58; " TOOLBOX "_epsilon_lrp",
         .formula = "R' = x . W^T (R / (z + eps sgn z)), sgn(0) = 1", .args = EPSILON_ARGS,
         .table = epsilon,
         .note = "the toolbox's Caffe branch does not divide at all where z is exactly 0");
static const lrp_rule ALPHABETA =
    RULE(.kinds = KIND(LINEAR), .name = "toolbox:alphabeta",
         .doc = "raising and lowering contributions, weighted alpha and 1 - alpha",
         .cite = "Bach et al. 2015, PLOS ONE 10(7), eq. 60; " TOOLBOX "_alphabeta_lrp",
         .formula = "R' = alpha (x+ . W+^T s + x- . W-^T s) + (1 - alpha) (x+ . W-^T t + x- . W+^T "
                    "t), s = R / (x+ W+ + x- W- + b+), t = R / (x+ W- + x- W+ + b-)",
         .args = ALPHA_ARGS, .table = alphabeta,
         .note = "an output without contributions of one sign makes the toolbox's slow form divide "
                 "0 by 0 (its issue 19); here that part is 0, as in its fast form");
static const lrp_rule WSQUARE =
    RULE(.kinds = KIND(LINEAR), .name = "toolbox:wsquare",
         .doc = "by the squared weights, without bias",
         .cite = "Montavon et al. 2017, Pattern Recognition 65 (arXiv 1512.02479, eq. 12); " TOOLBOX
                 "_ww_lrp",
         .formula = "R' = (W W)^T (R / sum W W)", .table = wsquare,
         .note = "earlier revisions of the toolbox left out the square in convolutions");
static const lrp_rule FLAT =
    RULE(.kinds = KIND(LINEAR) | KIND(POOL_SUM), .name = "toolbox:flat",
         .doc = "equal shares to all inputs of an output", .cite = TOOLBOX "_flat_lrp",
         .formula = "R' = 1^T (R / n), n inputs of each output", .table = flat);
RULE_MODULE(toolbox, "the LRP toolbox's dialect", &SIMPLE, &EPSILON, &ALPHABETA, &WSQUARE, &FLAT);
