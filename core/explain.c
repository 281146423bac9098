/* explain.c - what is explained (targets, seeds) and by which method; LRP itself is in
 * relprop.c. */
#include "samples.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- targets ---- */

static int64_t n_class(const lrp_tensor *scores)
{
  const int64_t n = scores->rank > 0 ? scores->shape[0] : 1;
  return n ? lrp_count(scores) / n : 0;
}

/* A label, or an index, of n characters; -2: neither. */
static int64_t class_of(const lrp_model_info *about, int64_t classes, const char *text, size_t n)
{
  for (int64_t i = 0; about && about->labels && i < about->n_label && i < classes; i++)
    if (about->labels[i] && strlen(about->labels[i]) == n && !strncmp(about->labels[i], text, n))
      return i;
  if (!n || n > 18 || strspn(text, "0123456789") < n) return -2;
  const int64_t i = strtoll(text, NULL, 10);
  return i < classes ? i : -2;
}

static int64_t argmax(const lrp_tensor *scores, int64_t sample)
{
  const int64_t c = n_class(scores);
  const lrp_real *v = lrp_reals(scores) + sample * c;
  int64_t best = 0;
  for (int64_t i = 1; i < c; i++)
    if (v[i] > v[best]) best = i;
  return best;
}

static int64_t runner_up(const lrp_tensor *scores, int64_t sample)
{
  const int64_t c = n_class(scores), best = argmax(scores, sample);
  const lrp_real *v = lrp_reals(scores) + sample * c;
  int64_t second = best ? 0 : 1;
  for (int64_t i = 0; i < c; i++)
    if (i != best && v[i] > v[second]) second = i;
  return second;
}

/* One side of a target: a label or index first, then the words that stand for a class. */
static int64_t side_of(const lrp_model_info *about, const lrp_tensor *scores, int64_t sample,
                       const char *text, size_t n)
{
  const int64_t c = class_of(about, n_class(scores), text, n);
  if (c != -2) return c;
  if (n == 6 && !strncmp(text, "argmax", n)) return argmax(scores, sample);
  if (n == 8 && !strncmp(text, "runnerup", n) && n_class(scores) > 1)
    return runner_up(scores, sample);
  return -2;
}

lrp_status lrp_target_parse(lrp_ctx *ctx, const lrp_model *model, const char *text,
                            const lrp_tensor *scores, int64_t sample, lrp_target *out)
{
  const lrp_model_info *about = model ? lrp_model_about(model) : NULL;
  *out = (lrp_target){.plus = -1, .minus = -1};
  if (!text || !*text) text = "argmax";
  out->plus = side_of(about, scores, sample, text, strlen(text));
  if (out->plus >= 0) return LRP_OK;
  if (!strcmp(text, "all")) {
    out->plus = -1;
    return LRP_OK;
  }
  for (const char *dash = strchr(text, '-'); dash; dash = strchr(dash + 1, '-')) {
    out->plus = side_of(about, scores, sample, text, (size_t)(dash - text));
    out->minus = side_of(about, scores, sample, dash + 1, strlen(dash + 1));
    if (out->plus >= 0 && out->minus >= 0 && out->plus != out->minus) return LRP_OK;
  }
  return lrp_fail(ctx, LRP_E_ARG,
                  "target \"%s\": argmax, runnerup, all, a label, an index from 0 to %lld, or two "
                  "of them as A-B was expected",
                  text, (long long)n_class(scores) - 1);
}

void lrp_seed_fill(const lrp_tensor *scores, const lrp_target *target, int64_t n, int32_t seed_kind,
                   lrp_real *out)
{
  const int64_t c = n_class(scores);
  const lrp_real *v = lrp_reals(scores);
  const bool one = seed_kind == LRP_SEED_ONE;
  for (int64_t k = 0; k < n; k++)
    for (int64_t i = 0; i < c; i++) {
      const lrp_real full = one ? 1 : v[k * c + i];
      const bool plus = target[k].plus < 0 || target[k].plus == i, minus = target[k].minus == i;
      out[k * c + i] = minus ? -full : plus ? full : 0;
    }
}

/* ---- methods ---- */

static lrp_status run_back(lrp_ctx *ctx, lrp_graph *g, const lrp_target *targets, int32_t seed_kind,
                           const char *at, const lrp_relevance **out)
{
  const lrp_mark mark = lrp_arena_mark(&ctx->scratch);
  lrp_tensor seed;
  lrp_status st = lrp_the_host.scratch(ctx, lrp_graph_scores(g), &seed);
  if (!st) {
    lrp_seed_fill(lrp_graph_scores(g), targets, g->batch, seed_kind, lrp_reals(&seed));
    st = lrp_graph_relprop(ctx, g, &seed, at, out);
  }
  lrp_arena_release(&ctx->scratch, mark);
  return st;
}

/* Multiply the results by the inputs; carriers of integer inputs are ones. */
static void times_input(lrp_graph *g, const lrp_input *input)
{
  memset(g->sum, 0, (size_t)g->batch * sizeof *g->sum);
  for (int32_t i = 0; i < g->n_input; i++) {
    lrp_tensor *r = &g->result_tensor[i];
    const lrp_real *x = input->tensor[i].dtype == LRP_REAL ? lrp_reals(&input->tensor[i]) : NULL;
    for (int64_t k = 0, n = lrp_count(r); r->data && x && k < n; k++)
      lrp_reals(r)[k] *= x[k];
    if (r->data) lrp_sum_samples(r, g->edge[g->input[i]].run, lrp_reals(r), g->batch, g->sum);
  }
}

/* Numbers of the largest carrier: what looks like ones where a layer looks up integers. */
static int64_t largest_carrier(const lrp_graph *g)
{
  int64_t most = 0;
  for (int32_t k = 0; k < g->n_order; k++) {
    const lrp_step *s = &g->step[g->order[k]];
    for (uint32_t i = 0; i < s->n_in; i++) {
      const int64_t n = s->carrier_of[i] < 0 ? 0 : lrp_count(&g->edge[s->carrier_of[i]].t);
      most = n > most ? n : most;
    }
  }
  return most;
}

typedef struct way { /* from zero to the inputs */
  const lrp_input *to;
  lrp_input at;     /* integers stay what they are: the vectors that they stand for are scaled, by the carrier */
  lrp_real *carrier;
  int64_t n_carrier;
  lrp_real **mean;  /* gradient of each input */
} way;

static lrp_status way_make(lrp_ctx *ctx, const lrp_graph *g, const lrp_input *input, way *w)
{
  *w = (way){.to = input, .at = *input, .n_carrier = largest_carrier(g)};
  w->mean = lrp_arena_alloc(&ctx->scratch, ((size_t)g->n_input + 1) * sizeof *w->mean);
  w->at.tensor = lrp_arena_alloc(&ctx->scratch, ((size_t)g->n_input + 1) * sizeof *w->at.tensor);
  w->carrier = lrp_arena_alloc(&ctx->scratch, ((size_t)w->n_carrier + 1) * sizeof *w->carrier);
  if (!w->mean || !w->at.tensor || !w->carrier) return lrp_nomem(ctx, "integrated gradients");
  lrp_status st = LRP_OK;
  for (int32_t i = 0; !st && i < g->n_input; i++) {
    lrp_tensor sum, like = input->tensor[i];
    like.dtype = LRP_REAL;
    w->at.tensor[i] = input->tensor[i];
    if (input->tensor[i].dtype == LRP_REAL) st = lrp_the_host.scratch(ctx, &like, &w->at.tensor[i]);
    if (!st) st = lrp_the_host.scratch(ctx, &like, &sum);
    w->mean[i] = st ? NULL : lrp_reals(&sum);
  }
  return st;
}

static void way_go(way *w, int32_t n_input, double alpha)
{
  for (int32_t i = 0; i < n_input; i++)
    for (int64_t k = 0, n = w->to->tensor[i].dtype == LRP_REAL ? lrp_count(&w->to->tensor[i]) : 0; k < n; k++)
      lrp_reals(&w->at.tensor[i])[k] = (lrp_real)((double)lrp_reals(&w->to->tensor[i])[k] * alpha);
  for (int64_t k = 0; k < w->n_carrier; k++)
    w->carrier[k] = (lrp_real)alpha;
}

/* The mean gradient on the way from zero, right Riemann sum: alpha = 1/n ... 1. */
static lrp_status integrated(lrp_ctx *ctx, lrp_graph *g, const lrp_input *input,
                             const lrp_target *targets, int64_t n_step, const lrp_relevance **out)
{
  way w;
  lrp_status st = way_make(ctx, g, input, &w);
  if (!st) g->carrier = w.carrier;
  for (int64_t s = 1; !st && s <= n_step; s++) {
    way_go(&w, g->n_input, (double)s / (double)n_step);
    st = lrp_graph_forward(ctx, g, &w.at);
    if (!st) st = run_back(ctx, g, targets, LRP_SEED_ONE, NULL, out);
    for (int32_t i = 0; !st && i < g->n_input; i++)
      for (int64_t k = 0, n = lrp_count(&input->tensor[i]); g->result_tensor[i].data && k < n; k++)
        w.mean[i][k] += lrp_reals(&g->result_tensor[i])[k] / (lrp_real)n_step;
  }
  for (int32_t i = 0; !st && i < g->n_input; i++)
    if (g->result_tensor[i].data)
      memcpy(g->result_tensor[i].data, w.mean[i], (size_t)lrp_count(&input->tensor[i]) * sizeof(lrp_real));
  g->carrier = NULL;
  for (int32_t i = 0; i < g->n_input; i++)
    g->edge[g->input[i]].t.data = input->tensor[i].data;
  return st;
}

lrp_status lrp_graph_explain(lrp_ctx *ctx, lrp_graph *g, const lrp_input *input,
                             const lrp_target *targets, int32_t seed_kind, int32_t method,
                             int64_t n_step, const char *at, const lrp_relevance **out)
{
  if (method == LRP_METHOD_LRP) {
    const lrp_status ran = g->lean && !g->ran ? lrp_graph_forward(ctx, g, input) : LRP_OK;
    return ran ? ran : run_back(ctx, g, targets, seed_kind, at, out);
  }
  if (method == LRP_METHOD_INTEGRATED_GRADIENTS && n_step < 1)
    return lrp_fail(ctx, LRP_E_ARG, "integrated gradients: %lld steps, at least 1 was expected",
                    (long long)n_step);
  g->plain = true; /* vjp everywhere, whatever the composite says */
  const lrp_mark mark = lrp_arena_mark(&ctx->scratch);
  lrp_status st = g->lean ? lrp_graph_forward(ctx, g, input) : LRP_OK; /* rules kept less */
  if (!st)
    st = method == LRP_METHOD_INTEGRATED_GRADIENTS
             ? integrated(ctx, g, input, targets, n_step, out)
             : run_back(ctx, g, targets, LRP_SEED_ONE, at, out);
  g->plain = false;
  lrp_arena_release(&ctx->scratch, mark);
  if (!st && method != LRP_METHOD_GRADIENT) times_input(g, input);
  return st;
}
