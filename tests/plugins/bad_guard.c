/* bad_guard.c - built with other sizes of the basic types. */
#include "any.h"

static const lrp_rule rule = ANY_RULE("bad_guard");
static const lrp_rule *const rules[] = {&rule, NULL};
BROKEN(bad_guard, LRP_ABI_MAGIC, LRP_ABI_MAJOR, sizeof(lrp_plugin), 0, LRP_ABI_GUARD + 1, rules);
