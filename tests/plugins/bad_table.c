/* bad_table.c - well formed, but the rule's table has more passes than there is room for. */
#include "any.h"

static void table(const lrp_value *args, lrp_table *out)
{
  any_table(args, out);
  out->n_pass = 9;
}
static const lrp_rule rule = {.struct_size = sizeof(lrp_rule),
                              .name = "bad_table",
                              .doc = "Broken on purpose.",
                              .cite = "",
                              .formula = "",
                              .table = table};
static const lrp_rule *const rules[] = {&rule, NULL};
LRP_PLUGIN(bad_table, "bad_table", "1.0", "MIT", "Broken on purpose.", NULL, rules, NULL);
