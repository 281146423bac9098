/* bad_size.c - a descriptor shorter than that of ABI 1.0. */
#include "any.h"

static const lrp_rule rule = ANY_RULE("bad_size");
static const lrp_rule *const rules[] = {&rule, NULL};
BROKEN(bad_size, LRP_ABI_MAGIC, LRP_ABI_MAJOR, 24, 0, LRP_ABI_GUARD, rules);
