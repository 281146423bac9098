/* bad_major.c - built for the next major ABI, whose structs may look quite different. */
#include "any.h"

static const lrp_rule rule = ANY_RULE("bad_major");
static const lrp_rule *const rules[] = {&rule, NULL};
BROKEN(bad_major, LRP_ABI_MAGIC, LRP_ABI_MAJOR + 1, sizeof(lrp_plugin), 0, LRP_ABI_GUARD, rules);
