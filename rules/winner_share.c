/* winner_share.c - max-pools whose relevance goes to more than the first winner: to all that tie, by a
 * softmax over the window, or as if the pool were an average.  What is chosen from what is asked of the
 * layer (windows() in plugin.h). */
#include "args.h"
#include <math.h>

enum { TIES, SOFTMAX, AVERAGE };
static const lrp_arg SOFTMAX_ARGS[] = {{.name = "beta",
                                        .type = LRP_ARG_REAL,
                                        .def = 1,
                                        .min = 0,
                                        .max = 1e30,
                                        .doc = "inverse temperature, in units of 1/x: 0 gives "
                                               "equal shares, a large one all to the winners"},
                                       LRP_ARGS_END};
static const lrp_arg AVERAGE_ARGS[] = {ARG_EPSILON(1e-6), LRP_ARGS_END};

typedef struct job {
  const lrp_host *h;
  const lrp_site *site;
  int how;
  double number; /* beta or epsilon */
} job;

static double weight(const job *j, double x, double y)
{
  return j->how == TIES      ? (x < y || x > y ? 0 : 1)
         : j->how == SOFTMAX ? exp(-j->number * fabs(x - y)) /* of a maximum exp(b x) / exp(b y) */
                             : x;
}

/* Shares of one output: R times weight over the sum of weights. */
static void share(const job *j, const lrp_window *w, int64_t c)
{
  const lrp_site *s = j->site;
  const double y = (double)lrp_reals(&s->call->out[0])[w->first + c];
  lrp_real r = lrp_reals(&s->r_out[0])[w->first + c], den, quotient;
  double sum = 0;
  for (int64_t k = 0; k < w->n; k++)
    sum += weight(j, (double)lrp_reals(&s->call->in[w->in ? w->in[k] : 0])[w->at[k] + c], y);
  /* the stabiliser is in units of the average, as in norm on an average pool */
  den = (lrp_real)(j->how == AVERAGE ? sum / (double)w->n : sum);
  j->h->divide(&r, &den, 1, LRP_STAB_ADD, j->how == AVERAGE ? j->number : 0, &quotient);
  for (int64_t k = 0; k < w->n; k++) {
    const uint32_t i = w->in ? w->in[k] : 0;
    if (!s->r_in[i].data) continue;
    const double a = weight(j, (double)lrp_reals(&s->call->in[i])[w->at[k] + c], y);
    lrp_reals(&s->r_in[i])[w->at[k] + c] +=
        (lrp_real)((double)quotient * (j->how == AVERAGE ? a / (double)w->n : a));
  }
}

static lrp_status visit(void *user, const lrp_window *w)
{
  for (int64_t c = 0; c < w->width; c++)
    share(user, w, c);
  return LRP_OK;
}

static lrp_status all(const lrp_host *h, lrp_ctx *ctx, const lrp_site *site, int how, double number)
{
  job j = {h, site, how, number};
  if (!LRP_HAS(lrp_layer_type, site->type, windows))
    return h->fail(ctx, LRP_E_UNSUPPORTED,
                   "layer \"%s\" does not tell what it chooses from; the rule winner needs no more "
                   "than the winners",
                   site->type->name);
  return site->r_out[0].data ? site->type->windows(h, ctx, site->inst, site->call, visit, &j)
                             : LRP_OK;
}

static lrp_status ties(const lrp_host *h, lrp_ctx *ctx, const lrp_value *args, const lrp_site *site)
{
  (void)args;
  return all(h, ctx, site, TIES, 0);
}

static lrp_status by_softmax(const lrp_host *h, lrp_ctx *ctx, const lrp_value *args,
                             const lrp_site *site)
{
  return all(h, ctx, site, SOFTMAX, args[0].real);
}

static lrp_status average(const lrp_host *h, lrp_ctx *ctx, const lrp_value *args,
                          const lrp_site *site)
{
  return all(h, ctx, site, AVERAGE, args[0].real);
}

static const lrp_rule WINNER_TIES =
    RULE(.kinds = KIND(POOL_MAX), .name = "winner_ties",
         .doc = "max-pools: all that are largest share equally",
         .cite =
             "Lapuschkin et al. 2016, The LRP toolbox, JMLR 17(114), modules/maxpool.py of 1.3.1",
         .formula = "R'_i = sum over windows j of [x_i = y_j] R_j / n_j, n_j inputs that are y_j",
         .relprop = ties,
         .note =
             "behind a ReLU whole windows tie at 0: there the first input takes all under winner, "
             "each the same here");
static const lrp_rule WINNER_SOFTMAX =
    RULE(.kinds = KIND(POOL_MAX), .name = "winner_softmax",
         .doc = "max-pools: by a softmax over the window",
         .cite =
             "Kauffmann et al. 2019, From clustering to cluster explanations via neural networks, "
             "arXiv 1906.07633 (min-take-most)",
         .formula = "R'_i = sum over windows j of exp(beta x_i) R_j / sum_k exp(beta x_k)",
         .args = SOFTMAX_ARGS, .relprop = by_softmax,
         .note = "zennit offers it only as a proposal (its pull request 214); of a minimum it is "
                 "exp(-beta x)");
static const lrp_rule WINNER_AVERAGE =
    RULE(.kinds = KIND(POOL_MAX), .name = "winner_average",
         .doc = "max-pools: backward as an average pool",
         .cite = "Lapuschkin et al. 2016, The LRP toolbox, JMLR 17(114), Caffe: "
                 "maxpoolingtoavgpoolinginbackwardpass",
         .formula = "R' = x . P^T (R / (a + eps sgn a)), a = P x, P the mean over each window",
         .args = AVERAGE_ARGS, .relprop = average,
         .note =
             "it smooths; the pool's output is not what is shared out, so nothing ties it to the "
             "winner (zennit's issue 181 asks for it)");
RULE_MODULE(winner_share, "max-pools that give to more than the first winner", &WINNER_TIES,
            &WINNER_SOFTMAX, &WINNER_AVERAGE);
