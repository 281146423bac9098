/* deconvnet.c - DeconvNet's ReLU: only positive relevance goes on, whatever the input was.  With
 * the gradient everywhere else; no input is multiplied at the end, and nothing is conserved. */
#include "args.h"

static lrp_status relprop(const lrp_host *h, lrp_ctx *ctx, const lrp_value *args,
                          const lrp_site *site)
{
  (void)args;
  uint32_t at = 0;
  const lrp_status st = lrp_rule_only_input(h, ctx, site, "deconvnet", &at);
  const lrp_real *r = lrp_reals(&site->r_out[0]);
  for (int64_t i = 0, n = st ? 0 : lrp_count(&site->r_in[at]); i < n; i++)
    lrp_reals(&site->r_in[at])[i] = r[i] > 0 ? r[i] : 0;
  return st;
}

static const lrp_rule DECONVNET =
    RULE(.kinds = KIND(ELEMENTWISE), .name = "deconvnet",
         .doc = "for ReLU: only positive relevance",
         .cite = "Zeiler and Fergus 2014, Visualizing and understanding convolutional networks",
         .formula = "R' = R [R > 0]", .relprop = relprop);
RULE_MODULE(deconvnet, "DeconvNet", &DECONVNET);
