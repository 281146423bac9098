/* good_rule.c - a rule as somebody outside of the project would write it: epsilon with a floor. */
#include "lrp/plugin.h"

static const lrp_arg args[] = {
    {.name = "floor",
     .type = LRP_ARG_REAL,
     .flags = LRP_ARG_OPEN_MIN,
     .def = 1e-6,
     .max = 1,
     .doc = "Smallest denominator, in the units of z; the default is of this test."},
    LRP_ARGS_END};

static void table(const lrp_value *v, lrp_table *out)
{
  out->n_pass = out->n_group = 1;
  out->stab = LRP_STAB_CLIP;
  out->eps = v[0].real;
  out->pass[0] = (lrp_pass){.in = LRP_IN_X, .w_a = 1, .b_a = 1, .den = 1, .red = 1};
  out->group[0] = (lrp_group){.gate = LRP_GATE_ALL, .coef = 1};
}

static const lrp_rule rule = {.struct_size = sizeof(lrp_rule),
                              .kinds = 1u << LRP_KIND_LINEAR,
                              .name = "good_rule",
                              .doc = "Epsilon whose denominator never falls below a floor.",
                              .cite = "",
                              .formula = "R_i = x_i sum_j w_ij R_j / (sgn(z_j) max(|z_j|, floor))",
                              .args = args,
                              .table = table};
static const lrp_rule *const rules[] = {&rule, NULL};
LRP_PLUGIN(good_rule, "good_rule", "1.2.3", "MIT", "A rule out of tree.", NULL, rules, NULL);
