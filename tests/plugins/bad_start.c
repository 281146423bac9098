/* bad_start.c - its start() fails. */
#include "any.h"

static lrp_status start(const lrp_host *host, lrp_ctx *ctx)
{
  return host->fail(ctx, LRP_E_UNSUPPORTED, "this machine has no %s", "quantum unit");
}
static const lrp_rule rule = ANY_RULE("bad_start");
static const lrp_rule *const rules[] = {&rule, NULL};
LRP_PLUGIN(bad_start, "bad_start", "1.0", "MIT", "Broken on purpose.", NULL, rules, start);
