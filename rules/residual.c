/* residual.c - sums of branches whose shares do not follow the signed values: by magnitude, equally,
 * or as given.  Only the summands' signs in y (add, sub, mean) are asked of the layer. */
#include "args.h"
#include <math.h>

enum { RATIO_EPSILON };
static const lrp_arg RATIO_ARGS[] = {ARG_EPSILON(1e-9), LRP_ARGS_END};
static const lrp_arg FIXED_ARGS[] = {
    {.name = "p",
     .type = LRP_ARG_REALS,
     .flags = LRP_ARG_REQUIRED,
     .doc =
         "shares in the order of the summands, as 0.3/0.7; they add up to 1. One branch only: 1/0"},
    LRP_ARGS_END};

/* The layer where summand i alone is there: its value, or 1. */
static lrp_status alone(const lrp_host *h, lrp_ctx *ctx, const lrp_site *site, uint32_t i, int ones,
                        const lrp_call **call)
{
  lrp_tensor in[64];
  lrp_status st = LRP_OK;
  if (site->call->n_in > 64 || site->call->n_out != 1 || site->call->n_param)
    return h->fail(ctx, LRP_E_UNSUPPORTED,
                   "layer \"%s\" is no plain sum of at most 64 branches; norm shares there",
                   site->type->name);
  for (uint32_t k = 0; !st && k < site->call->n_in; k++) {
    in[k] = site->call->in[k];
    if ((k == i && !ones) || in[k].dtype == LRP_INDEX) continue; /* indices say where */
    st = h->scratch(ctx, &site->call->in[k], &in[k]);
    for (int64_t j = 0, n = k == i && !st ? lrp_count(&in[k]) : 0; j < n; j++)
      lrp_reals(&in[k])[j] = 1;
  }
  return st ? st : h->forward(ctx, site, in, NULL, call);
}

/* r_in[i] += the share s (in the shape of y) of summand i; its weight w in y is divided out, since
 * the transposed map brings it back. */
static lrp_status give(const lrp_host *h, lrp_ctx *ctx, const lrp_site *site, uint32_t i,
                       lrp_tensor *s)
{
  const lrp_call *unit;
  const lrp_tensor *bar;
  lrp_status st = alone(h, ctx, site, i, 1, &unit);
  if (st) return st;
  const lrp_real *u = lrp_reals(&unit->out[0]);
  for (int64_t j = 0, n = lrp_count(s); j < n; j++)
    lrp_reals(s)[j] = u[j] == 0 ? 0 : lrp_reals(s)[j] / u[j];
  st = h->vjp(ctx, site, site->call, s, &bar);
  for (int64_t j = 0, n = st ? 0 : lrp_count(&site->r_in[i]); j < n; j++)
    lrp_reals(&site->r_in[i])[j] += lrp_reals(&bar[i])[j];
  return st;
}

/* The weight of a summand that alone gives y: |y| with ratio, else w where it reaches the output. */
static double weight(lrp_real y, int ratio, double w)
{
  return ratio ? fabs((double)y) : y == 0 ? 0 : w;
}

/* Weights of the summands at each output: |summand| with ratio, else p[i], or 1/n; of those that
 * reach it (a scatter adds to some outputs only). */
static lrp_status share(const lrp_host *h, lrp_ctx *ctx, const lrp_site *site, double eps,
                        int ratio, const lrp_value *p)
{
  const lrp_real *r = lrp_reals(&site->r_out[0]);
  const uint32_t n = site->call->n_in;
  const int64_t size = lrp_count(&site->call->out[0]);
  const lrp_call *part;
  lrp_tensor sum, s;
  lrp_status st = h->scratch(ctx, &site->r_out[0], &sum);
  for (uint32_t i = 0; !st && i < n; i++) {
    st = alone(h, ctx, site, i, !ratio, &part);
    const double w = p ? (double)p->reals.v[i] : 1.0 / n;
    for (int64_t j = 0; !st && j < size; j++)
      lrp_reals(&sum)[j] += (lrp_real)weight(lrp_reals(&part->out[0])[j], ratio, w);
  }
  for (uint32_t i = 0; !st && i < n; i++) {
    if (!site->r_in[i].data) continue;
    st = h->scratch(ctx, &site->r_out[0], &s);
    if (!st) st = alone(h, ctx, site, i, !ratio, &part);
    const double w = p ? (double)p->reals.v[i] : 1.0 / n;
    for (int64_t j = 0; !st && j < size; j++) {
      const double d = (double)lrp_reals(&sum)[j] + eps;
      const double a = weight(lrp_reals(&part->out[0])[j], ratio, w);
      lrp_reals(&s)[j] = d == 0 ? 0 : (lrp_real)((double)r[j] * a / d);
    }
    if (!st) st = give(h, ctx, site, i, &s);
  }
  return st;
}

static lrp_status ratio(const lrp_host *h, lrp_ctx *ctx, const lrp_value *args,
                        const lrp_site *site)
{
  return share(h, ctx, site, args[RATIO_EPSILON].real, 1, NULL);
}

static lrp_status equal(const lrp_host *h, lrp_ctx *ctx, const lrp_value *args,
                        const lrp_site *site)
{
  (void)args;
  return share(h, ctx, site, 0, 0, NULL);
}

static lrp_status fixed(const lrp_host *h, lrp_ctx *ctx, const lrp_value *args,
                        const lrp_site *site)
{
  if (args[0].reals.n != (int64_t)site->call->n_in)
    return h->fail(ctx, LRP_E_ARG, "fixed: p has %lld shares, layer \"%s\" sums %u branches",
                   (long long)args[0].reals.n, site->type->name, site->call->n_in);
  return share(h, ctx, site, 0, 0, &args[0]);
}

static lrp_status check_fixed(const lrp_host *h, lrp_ctx *ctx, const lrp_value *args)
{
  double sum = 0;
  for (int64_t i = 0; i < args[0].reals.n; i++)
    sum += (double)args[0].reals.v[i];
  if (fabs(sum - 1) <= 1e-6) return LRP_OK;
  return h->fail(ctx, LRP_E_ARG,
                 "fixed: the shares p add up to %.9g, 1 was expected, as in p=0.3/0.7", sum);
}

static const lrp_rule RATIO = RULE(
        .kinds = KIND(SUM), .name = "ratio", .doc = "residual sums: by the branches' magnitudes",
        .cite = "Otsuki et al. 2024, LRP with Conservation Property for ResNet, ECCV, ratio-based "
                "splitting",
        .formula = "R_i' = |x_i| R / (sum |x| + eps)", .args = RATIO_ARGS, .relprop = ratio,
        .note =
            "norm shares by the signed values, which grow without bound where branches cancel; a "
            "toolkit "
            "that takes the gradient of a residual + gives all of R to each branch and doubles it");
static const lrp_rule EQUAL =
    RULE(.kinds = KIND(SUM), .name = "equal", .doc = "residual sums: the same share to each branch",
         .cite = "autolrp 0.2.0, rules.fixed with p = 1/2; Otsuki et al. 2024, ECCV, symmetric "
                 "splitting",
         .formula = "R_i' = R / n, n branches", .relprop = equal);
static const lrp_rule FIXED =
    RULE(.kinds = KIND(SUM), .name = "fixed", .doc = "residual sums: given shares; one branch only",
         .cite = "autolrp 0.2.0, rules.fixed", .formula = "R_i' = p_i R", .args = FIXED_ARGS,
         .check = check_fixed, .relprop = fixed);
RULE_MODULE(residual, "how sums of branches share", &RATIO, &EQUAL, &FIXED);
