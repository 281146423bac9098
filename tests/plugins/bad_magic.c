/* bad_magic.c - a descriptor that does not start with the magic number. */
#include "any.h"

static const lrp_rule rule = ANY_RULE("bad_magic");
static const lrp_rule *const rules[] = {&rule, NULL};
BROKEN(bad_magic, 0x12345678u, LRP_ABI_MAJOR, sizeof(lrp_plugin), 0, LRP_ABI_GUARD, rules);
