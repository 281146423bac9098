/* bad_descriptor.c - a rule without table() and relprop(). */
#include "any.h"

static const lrp_rule rule = {
    .struct_size = sizeof(lrp_rule), .name = "empty", .doc = "", .cite = "", .formula = ""};
static const lrp_rule *const rules[] = {&rule, NULL};
LRP_PLUGIN(bad_descriptor, "bad_descriptor", "1.0", "MIT", "Broken on purpose.", NULL, rules, NULL);
