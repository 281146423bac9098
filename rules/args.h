/* args.h - arguments that many rules share, in one spelling. */
#ifndef LRP_RULES_ARGS_H
#define LRP_RULES_ARGS_H
#include "lrp/rule.h"

#define ARG_EPSILON(value)                                                                         \
  {                                                                                                \
    .name = "epsilon", .type = LRP_ARG_REAL, .def = (value), .min = 0, .max = 1e30,                \
    .doc = "stabiliser of the denominators, in their units; default as in zennit"                  \
  }
#define ARG_BIAS                                                                                   \
  {                                                                                                \
    .name = "bias", .type = LRP_ARG_BOOL, .def = 1,                                                \
    .doc = "off: the bias is left out of the denominators"                                         \
  }
#define ARG_STABILIZER                                                                             \
  {                                                                                                \
    .name = "stabilizer", .type = LRP_ARG_CHOICE, .def = LRP_STAB_ADD,                             \
    .choices = "add|clip|unsigned|replace0",                                                       \
    .doc = "add: d + epsilon sgn(d), sgn(0) = 1; clip: at least epsilon in size; "                 \
           "unsigned: d + epsilon; replace0: epsilon only where d is 0"                            \
  }
#define ARG_NORM_SCALE                                                                             \
  {                                                                                                \
    .name = "norm_scale", .type = LRP_ARG_BOOL, .def = 0,                                          \
    .doc = "epsilon in units of the denominator's root mean square over a sample"                  \
  }

#define KIND(k) (1u << LRP_KIND_##k)
#define RULE(...)                                                                                  \
  {                                                                                                \
    .struct_size = sizeof(lrp_rule), __VA_ARGS__                                                   \
  }
#define RULE_MODULE(module, text, ...)                                                             \
  static const lrp_rule *const rules[] = {__VA_ARGS__, NULL};                                      \
  LRP_PLUGIN(rule_##module, #module, "1.0", "MIT", text, NULL, rules, NULL)

static inline lrp_form bias_form(const lrp_value *on, lrp_form form)
{
  return on->i ? form : lrp_none();
}
#endif
