/* guided_backprop.c - Guided Backprop's ReLU: only positive relevance, and only where the input was
 * positive.  With the gradient everywhere else; no input is multiplied at the end, and nothing is
 * conserved. */
#include "args.h"

static lrp_status relprop(const lrp_host *h, lrp_ctx *ctx, const lrp_value *args,
                          const lrp_site *site)
{
  (void)args;
  uint32_t at = 0;
  const lrp_status st = lrp_rule_only_input(h, ctx, site, "guided_backprop", &at);
  const lrp_real *r = lrp_reals(&site->r_out[0]), *x = lrp_reals(&site->call->in[at]);
  for (int64_t i = 0, n = st ? 0 : lrp_count(&site->r_in[at]); i < n; i++)
    lrp_reals(&site->r_in[at])[i] = x[i] > 0 && r[i] > 0 ? r[i] : 0;
  return st;
}

static const lrp_rule GUIDED_BACKPROP =
    RULE(.kinds = KIND(ELEMENTWISE), .name = "guided_backprop",
         .doc = "for ReLU: only where input and relevance are positive",
         .cite = "Springenberg et al. 2015, Striving for simplicity: the all convolutional net",
         .formula = "R' = R [x > 0] [R > 0]", .relprop = relprop);
RULE_MODULE(guided_backprop, "Guided Backprop", &GUIDED_BACKPROP);
