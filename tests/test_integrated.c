/* test_integrated.c - integrated gradients of tokens: the slopes of the score as the vectors grow from zero. */
#include "graph.h"
#include "test.h"
#include <math.h>
#include <stdio.h>

enum { TOKENS = 6, STEPS = 3 };
static const char *const MODELS[] = {"spam-attention", "spam-lstm"}; /* smooth: no max-pools */

static double score_at(lrp_ctx *ctx, lrp_graph *g, const lrp_input *in, const lrp_real *carrier, int64_t target)
{
  g->carrier = carrier;
  lrp_ck_ok(ctx, lrp_graph_forward(ctx, g, in));
  g->carrier = NULL;
  return (double)lrp_reals(lrp_graph_scores(g))[target];
}

/* The mean slope at token t over the steps, by central differences: they err by 1e-3 of it in float. */
static double slope(lrp_ctx *ctx, lrp_graph *g, const lrp_input *in, int t, int64_t target)
{
  const double h = 0.02;
  double sum = 0;
  for (int s = 1; s <= STEPS; s++) {
    lrp_real carrier[TOKENS];
    for (int i = 0; i < TOKENS; i++)
      carrier[i] = (lrp_real)((double)s / STEPS);
    carrier[t] = (lrp_real)((double)s / STEPS + h);
    const double above = score_at(ctx, g, in, carrier, target);
    carrier[t] = (lrp_real)((double)s / STEPS - h);
    sum += (above - score_at(ctx, g, in, carrier, target)) / (2 * h);
  }
  return sum / STEPS;
}

START_TEST(tokens_take_the_mean_slope_of_the_score)
{
  int64_t id[TOKENS] = {5, 131, 42, 17, 96, 230};
  const lrp_tensor ids = {.dtype = LRP_INDEX, .rank = 2, .shape = {1, TOKENS}, .data = id};
  char path[256];
  lrp_ctx *ctx;
  lrp_model *model;
  lrp_graph *g;
  lrp_input *in;
  lrp_target target;
  const lrp_relevance *r;
  snprintf(path, sizeof path, "../examples/models/%s", MODELS[_i]);
  ck_assert_int_eq(lrp_ctx_new(&ctx), LRP_OK);
  lrp_ck_ok(ctx, lrp_plugins_open(ctx));
  lrp_ck_ok(ctx, lrp_model_open(ctx, lrp_test_path(path), &model));
  lrp_ck_ok(ctx, lrp_input_arrays(ctx, model, "ids", &ids, 1, &in));
  lrp_ck_ok(ctx, lrp_graph_build(ctx, model, in, NULL, &g));
  lrp_ck_ok(ctx, lrp_graph_forward(ctx, g, in));
  lrp_ck_ok(ctx, lrp_target_parse(ctx, model, "argmax", lrp_graph_scores(g), 0, &target));
  double expected[TOKENS], largest = 0;
  for (int t = 0; t < TOKENS; t++) {
    expected[t] = slope(ctx, g, in, t, target.plus);
    largest = fmax(largest, fabs(expected[t]));
  }
  lrp_ck_ok(ctx, lrp_graph_explain(ctx, g, in, &target, LRP_SEED_LOGIT, LRP_METHOD_INTEGRATED_GRADIENTS, STEPS, NULL,
                                   &r));
  ck_assert_int_eq(lrp_count(&r->tensor[0]), TOKENS);
  double sum = 0;
  for (int t = 0; t < TOKENS; t++) {
    const double got = (double)lrp_reals(&r->tensor[0])[t];
    ck_assert_msg(fabs(got - expected[t]) < 0.01 * largest, "%s, token %d: %g, not %g", MODELS[_i], t, got,
                  expected[t]);
    sum += got;
  }
  ck_assert_double_eq_tol(r->sum[0], sum, 1e-5 * largest);
  /* afterwards the tokens' vectors are whole again */
  const double before = (double)lrp_reals(lrp_graph_scores(g))[target.plus];
  ck_assert_double_eq_tol(score_at(ctx, g, in, NULL, target.plus), before, 1e-6 * fabs(before));
  lrp_graph_free(g);
  lrp_input_free(in);
  lrp_model_close(model);
  lrp_ctx_free(ctx);
}
END_TEST

Suite *suite_integrated(void);
Suite *suite_integrated(void)
{
  Suite *s = suite_create("integrated");
  TCase *t = tcase_create("integrated");
  tcase_set_timeout(t, 60);
  tcase_add_loop_test(t, tokens_take_the_mean_slope_of_the_score, 0, (int)(sizeof MODELS / sizeof *MODELS));
  suite_add_tcase(s, t);
  return s;
}
