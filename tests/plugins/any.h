/* any.h - a rule that has nothing wrong with it, for plugins that are wrong elsewhere. */
#ifndef LRP_TEST_ANY_H
#define LRP_TEST_ANY_H
#include "lrp/plugin.h"

static inline void any_table(const lrp_value *args, lrp_table *out)
{
  (void)args;
  out->eps = 1e-6;
  out->n_pass = out->n_group = 1;
  out->pass[0] = (lrp_pass){.in = LRP_IN_X, .w_a = 1, .b_a = 1, .den = 1, .red = 1};
  out->group[0] = (lrp_group){.gate = LRP_GATE_ALL, .coef = 1};
}
#define ANY_RULE(rule_name)                                                                        \
  {                                                                                                \
    .struct_size = sizeof(lrp_rule), .name = rule_name, .doc = "A rule of a test.", .cite = "",    \
    .formula = "R = x w R / z", .table = any_table                                                 \
  }
/* A descriptor, field by field: LRP_PLUGIN() would make a good one. */
#define BROKEN(module, magic_, major_, size_, needs_, guard_, rules_)                              \
  extern LRP_EXPORT const lrp_plugin module##_LTX_lrp_plugin;                                      \
  const lrp_plugin module##_LTX_lrp_plugin = {.magic = (magic_),                                   \
                                              .abi_major = (major_),                               \
                                              .abi_minor = LRP_ABI_MINOR,                          \
                                              .struct_size = (size_),                              \
                                              .needs_minor = (needs_),                             \
                                              .guard = (guard_),                                   \
                                              .name = #module,                                     \
                                              .version = "1.0",                                    \
                                              .license = "MIT",                                    \
                                              .doc = "Broken on purpose.",                         \
                                              .rules = (rules_)}
#endif
