/* needs_newer.c - needs a newer minor ABI than this host's. */
#include "any.h"

static const lrp_rule rule = ANY_RULE("needs_newer");
static const lrp_rule *const rules[] = {&rule, NULL};
BROKEN(needs_newer, LRP_ABI_MAGIC, LRP_ABI_MAJOR, sizeof(lrp_plugin), LRP_ABI_MINOR + 1,
       LRP_ABI_GUARD, rules);
