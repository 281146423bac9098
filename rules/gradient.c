/* gradient.c - what needs no quotient: the plain gradient, the winner of a max-pool, the identity. */
#include "args.h"
#include <string.h>

static lrp_status pull(const lrp_host *h, lrp_ctx *ctx, const lrp_value *args, const lrp_site *site)
{
  (void)args;
  const lrp_tensor *bar;
  const lrp_status st = h->vjp(ctx, site, site->call, site->r_out, &bar);
  for (uint32_t i = 0; !st && i < site->call->n_in; i++)
    if (site->r_in[i].data)
      memcpy(site->r_in[i].data, bar[i].data, (size_t)lrp_count(&bar[i]) * sizeof(lrp_real));
  return st;
}

static const char *first_data(const lrp_site *site, uint32_t *at)
{
  uint32_t n = 0;
  for (uint32_t i = 0; i < site->call->n_in; i++)
    if (site->r_in[i].data) {
      *at = i;
      n++;
    }
  return n == 1 && lrp_count(&site->r_in[*at]) == lrp_count(&site->r_out[0]) && site->r_out[0].data ? NULL : site->type->name;
}

static lrp_status pass(const lrp_host *h, lrp_ctx *ctx, const lrp_value *args, const lrp_site *site)
{
  (void)args;
  uint32_t at = 0;
  const char *bad = first_data(site, &at);
  if (bad)
    return h->fail(ctx, LRP_E_UNSUPPORTED,
                   "pass: layer \"%s\" has several live inputs or another number of outputs than inputs; use norm or epsilon",
                   bad);
  memcpy(site->r_in[at].data, site->r_out[0].data, (size_t)lrp_count(&site->r_in[at]) * sizeof(lrp_real));
  return LRP_OK;
}

static const lrp_rule GRADIENT = RULE(.kinds = 0, .name = "gradient", .doc = "the plain gradient: no conservation",
                                      .cite = "Simonyan et al. 2014", .formula = "R' = J^T R", .relprop = pull);
static const lrp_rule WINNER = RULE(.kinds = KIND(POOL_MAX) | KIND(RESHAPE), .name = "winner",
                                    .doc = "all to the largest input; the first one on ties",
                                    .cite = "Bach et al. 2015, PLOS ONE 10(7), sec. on pooling; ties as in PyTorch",
                                    .formula = "R'_i = R where i is the argmax, else 0", .relprop = pull);
static const lrp_rule PASS = RULE(
    .kinds = KIND(ELEMENTWISE) | KIND(NORM) | KIND(SOFTMAX) | KIND(RESHAPE) | KIND(OTHER), .name = "pass",
    .doc = "relevance unchanged: activations, merged normalisations", .cite = "Bach et al. 2015, PLOS ONE 10(7), eq. 56; zennit 1.0.0, rules.Pass",
    .formula = "R' = R", .relprop = pass);
RULE_MODULE(gradient, "gradient, winner, pass", &GRADIENT, &WINNER, &PASS);
