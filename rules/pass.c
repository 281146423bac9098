/* pass.c - relevance unchanged: activations, and normalisations that are not explained by
 * themselves. */
#include "args.h"
#include <string.h>

static lrp_status relprop(const lrp_host *h, lrp_ctx *ctx, const lrp_value *args,
                          const lrp_site *site)
{
  (void)args;
  uint32_t i = 0;
  const lrp_status st = lrp_rule_only_input(h, ctx, site, "pass", &i);
  if (!st)
    memcpy(site->r_in[i].data, site->r_out[0].data,
           (size_t)lrp_count(&site->r_in[i]) * sizeof(lrp_real));
  return st;
}

static const lrp_rule PASS =
    RULE(.kinds = KIND(ELEMENTWISE) | KIND(NORM) | KIND(SOFTMAX) | KIND(RESHAPE), .name = "pass",
         .doc = "relevance unchanged: activations, normalisations",
         .cite = "zennit 1.0.0, rules.Pass; Bach et al. 2015, PLOS ONE 10(7)", .formula = "R' = R",
         .relprop = relprop, .unchanged = 1);
RULE_MODULE(pass, "relevance unchanged", &PASS);
