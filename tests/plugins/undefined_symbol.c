/* undefined_symbol.c - calls a function that nobody has.  Bound lazily it would end the program at
 * its first call. */
#include "any.h"

extern int lrp_test_nobody_has_this(void);
static lrp_status start(const lrp_host *host, lrp_ctx *ctx)
{
  (void)host, (void)ctx;
  return lrp_test_nobody_has_this();
}
static const lrp_rule rule = ANY_RULE("undefined_symbol");
static const lrp_rule *const rules[] = {&rule, NULL};
LRP_PLUGIN(undefined_symbol, "undefined_symbol", "1.0", "MIT", "Broken on purpose.", NULL, rules,
           start);
