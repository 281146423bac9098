/* relu_variants.c - gradients that treat the ReLU in their own way: GuidedBackprop, DeconvNet, BetaSmooth.  They start from
 * a score, are not multiplied by the input at the end, and promise no conservation. */
#include "args.h"
#include <math.h>

enum { BETA };
static const lrp_arg ARGS[] = {{.name = "beta", .type = LRP_ARG_REAL, .def = 10, .min = 0, .max = 1e6, .flags = LRP_ARG_OPEN_MIN,
                                .doc = "steepness of the smooth step, in units of 1/x; default as in zennit"},
                               LRP_ARGS_END};

/* The site's one input x, relevance above and below; false: the layer has another form. */
static lrp_status open_site(const lrp_host *h, lrp_ctx *ctx, const lrp_site *s, const char *rule, const lrp_real **x)
{
  if (s->call->n_in != 1 || !s->r_in[0].data || !s->r_out[0].data || lrp_count(&s->r_in[0]) != lrp_count(&s->r_out[0]))
    return h->fail(ctx, LRP_E_UNSUPPORTED, "%s: layer \"%s\" is not element-wise with one input", rule, s->type->name);
  *x = lrp_reals(&s->call->in[0]);
  return LRP_OK;
}

static lrp_status guided(const lrp_host *h, lrp_ctx *ctx, const lrp_value *args, const lrp_site *s)
{
  (void)args;
  const lrp_real *x, *r = lrp_reals(&s->r_out[0]);
  const lrp_status st = open_site(h, ctx, s, "guided_backprop", &x);
  for (int64_t i = 0; !st && i < lrp_count(&s->r_in[0]); i++)
    lrp_reals(&s->r_in[0])[i] = x[i] > 0 && r[i] > 0 ? r[i] : 0;
  return st;
}

static lrp_status deconv(const lrp_host *h, lrp_ctx *ctx, const lrp_value *args, const lrp_site *s)
{
  (void)args;
  const lrp_real *x, *r = lrp_reals(&s->r_out[0]);
  const lrp_status st = open_site(h, ctx, s, "deconvnet", &x);
  for (int64_t i = 0; !st && i < lrp_count(&s->r_in[0]); i++)
    lrp_reals(&s->r_in[0])[i] = r[i] > 0 ? r[i] : 0;
  return st;
}

static lrp_status smooth(const lrp_host *h, lrp_ctx *ctx, const lrp_value *args, const lrp_site *s)
{
  const lrp_real *x, *r = lrp_reals(&s->r_out[0]);
  const lrp_status st = open_site(h, ctx, s, "beta_smooth", &x);
  for (int64_t i = 0; !st && i < lrp_count(&s->r_in[0]); i++)
    lrp_reals(&s->r_in[0])[i] = (lrp_real)((double)r[i] / (1 + exp(-args[BETA].real * (double)x[i])));
  return st;
}

static const lrp_rule GUIDED = RULE(.kinds = KIND(ELEMENTWISE), .name = "guided_backprop",
                                    .doc = "for ReLU: only where input and relevance are positive",
                                    .cite = "Springenberg et al. 2015", .formula = "R' = R [x > 0] [R > 0]", .relprop = guided);
static const lrp_rule DECONV = RULE(.kinds = KIND(ELEMENTWISE), .name = "deconvnet", .doc = "for ReLU: only positive relevance",
                                    .cite = "Zeiler and Fergus 2014", .formula = "R' = R [R > 0]", .relprop = deconv);
static const lrp_rule SMOOTH = RULE(.kinds = KIND(ELEMENTWISE), .name = "beta_smooth",
                                    .doc = "for ReLU: the gradient of a softplus of steepness beta",
                                    .cite = "Dombrowski et al. 2019; zennit 1.0.0, rules.ReLUBetaSmooth",
                                    .formula = "R' = R sigmoid(beta x)", .args = ARGS, .relprop = smooth);
RULE_MODULE(relu_variants, "gradients with other ReLUs", &GUIDED, &DECONV, &SMOOTH);
