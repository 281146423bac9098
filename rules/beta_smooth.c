/* beta_smooth.c - the ReLU's step made smooth: the gradient of a softplus of steepness beta.  With
 * the gradient everywhere else; no input is multiplied at the end, and nothing is conserved. */
#include "args.h"
#include <math.h>

enum { BETA };
static const lrp_arg ARGS[] = {
    {.name = "beta",
     .type = LRP_ARG_REAL,
     .flags = LRP_ARG_OPEN_MIN,
     .def = 10,
     .min = 0,
     .max = 1e6,
     .doc = "steepness of the step, in units of 1/x; default as in zennit"},
    LRP_ARGS_END};

static lrp_status relprop(const lrp_host *h, lrp_ctx *ctx, const lrp_value *args,
                          const lrp_site *site)
{
  uint32_t at = 0;
  const lrp_status st = lrp_rule_only_input(h, ctx, site, "beta_smooth", &at);
  const lrp_real *r = lrp_reals(&site->r_out[0]), *x = lrp_reals(&site->call->in[at]);
  for (int64_t i = 0, n = st ? 0 : lrp_count(&site->r_in[at]); i < n; i++)
    lrp_reals(&site->r_in[at])[i] =
        (lrp_real)((double)r[i] / (1 + exp(-args[BETA].real * (double)x[i])));
  return st;
}

static const lrp_rule BETA_SMOOTH =
    RULE(.kinds = KIND(ELEMENTWISE), .name = "beta_smooth",
         .doc = "for ReLU: the gradient of a softplus of steepness beta",
         .cite = "Dombrowski et al. 2019, Explanations can be manipulated and geometry is to "
                 "blame; zennit 1.0.0, rules.ReLUBetaSmooth",
         .formula = "R' = R sigmoid(beta x)", .args = ARGS, .relprop = relprop);
RULE_MODULE(beta_smooth, "BetaSmooth", &BETA_SMOOTH);
