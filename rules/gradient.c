/* gradient.c - the plain gradient on any layer: relevance is pulled back as it is.  It does not
 * conserve; it is what gradient methods are made of. */
#include "args.h"

static lrp_status relprop(const lrp_host *h, lrp_ctx *ctx, const lrp_value *args,
                          const lrp_site *site)
{
  (void)args;
  return lrp_rule_pull(h, ctx, site);
}

static const lrp_rule GRADIENT =
    RULE(.kinds = LRP_RULE_WHOLE, .name = "gradient", .doc = "the plain gradient; does not conserve",
         .cite = "Simonyan et al. 2014, Deep inside convolutional networks",
         .formula = "R' = J^T R, J the layer's derivative at x", .relprop = relprop);
RULE_MODULE(gradient, "the plain gradient", &GRADIENT);
