/* winner.c - all relevance to the input that a maximum came from: the gradient of a max-pool, which
 * conserves. */
#include "args.h"

static lrp_status relprop(const lrp_host *h, lrp_ctx *ctx, const lrp_value *args,
                          const lrp_site *site)
{
  (void)args;
  return lrp_rule_pull(h, ctx, site);
}

static const lrp_rule WINNER =
    RULE(.kinds = KIND(POOL_MAX), .name = "winner",
         .doc = "all to the largest input, the first of equal ones",
         .cite = "Lapuschkin et al. 2016, The LRP toolbox, JMLR 17(114); ties as in zennit 1.0.0",
         .formula = "R'_i = sum of R_j over the windows j that x_i won", .relprop = relprop);
RULE_MODULE(winner, "winner takes all", &WINNER);
