/* lxt.c - a dialect: the explicit rules of LXT 2.1 (AttnLRP).  Its stabiliser has no sign. */
#include "args.h"

#define LXT "Achtibat et al. 2024, AttnLRP, "
static const lrp_arg ARGS[] = {
    {.name = "epsilon",
     .type = LRP_ARG_REAL,
     .def = 1e-6,
     .min = 0,
     .max = 1e30,
     .doc = "added without a sign; LXT has 1e-6 in linear_epsilon, mean and layer_norm, 1e-8 in "
            "add2 and matmul"},
    LRP_ARGS_END};

static void one_pass(lrp_table *t, double eps, uint32_t stab)
{
  lrp_table_start(t, eps, stab);
  lrp_table_pass(t, lrp_table_group(t, 1, LRP_GATE_ALL), LRP_IN_X, lrp_raw(), lrp_raw());
}

static void epsilon(const lrp_value *args, lrp_table *t)
{
  one_pass(t, args[0].real, LRP_STAB_UNSIGNED);
}

static void softmax(const lrp_value *args, lrp_table *t)
{
  (void)args;
  one_pass(t, 1e-30, LRP_STAB_ADD); /* a masked input has y = 0 */
}

static const lrp_rule EPSILON =
    RULE(.kinds = 0, .name = "lxt:epsilon",
         .doc = "epsilon without a sign: linear layers, sums, products (half to each factor), "
                "normalisations under freeze=std",
         .cite = LXT "eq. 8, Prop. 3.3, 3.4; LXT 2.1, explicit.functional linear_epsilon, add2, "
                     "matmul, mean, layer_norm",
         .formula = "R' = x . W^T (R / (n z + eps)), n live factors of a product, else 1",
         .args = ARGS, .table = epsilon,
         .note = "LXT is wrong near 0: for z between -eps and 0 the denominator changes its sign "
                 "and relevance with it; attnlrp adds epsilon with the sign of z");
static const lrp_rule SOFTMAX =
    RULE(.kinds = KIND(SOFTMAX), .name = "lxt:softmax",
         .doc = "the Taylor expansion of a softmax at its input",
         .cite = LXT "Prop. 3.1; LXT 2.1, explicit.functional.softmax",
         .formula = "R' = x . (R - y sum R), the sum over the softmax's axis", .table = softmax,
         .note = "LXT sums over the last axis whatever dim says, which is wrong for others; here "
                 "the layer's own axis is taken");
RULE_MODULE(lxt, "LXT's dialect", &EPSILON, &SOFTMAX);
