/* duplicate_rule.c - offers a rule that good_rule.c offers too. */
#include "any.h"

static const lrp_rule rule = ANY_RULE("good_rule");
static const lrp_rule *const rules[] = {&rule, NULL};
LRP_PLUGIN(duplicate_rule, "duplicate_rule", "2.0", "MIT", "Broken on purpose.", NULL, rules, NULL);
