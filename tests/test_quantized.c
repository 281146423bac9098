/* test_quantized.c - quantised models (models/forms): integers on the way are the real numbers that they mean. */
#include "graph.h"
#include "test.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static lrp_ctx *ctx;
static lrp_model *model;
static lrp_graph *graph;
static lrp_composite *composite;
static lrp_real x[6];
static int64_t ids[6] = {1, 2, 3, 4, 5, 6};
static lrp_tensor tensor;
static const lrp_input input = {.n_tensor = 1, .tensor = &tensor};

static void setup(void)
{
  ck_assert_int_eq(lrp_ctx_new(&ctx), LRP_OK);
  ck_assert_msg(!lrp_plugins_open(ctx), "%s", lrp_message(ctx));
  for (int i = 0; i < 6; i++)
    x[i] = (lrp_real)(i + 1);
  tensor = (lrp_tensor){.data = x, .dtype = LRP_REAL, .rank = 2, .shape = {2, 3}};
}

static void shut(void)
{
  lrp_graph_free(graph);
  lrp_model_close(model);
  lrp_composite_free(composite);
  graph = NULL;
  model = NULL;
  composite = NULL;
}

static void teardown(void)
{
  shut();
  lrp_ctx_free(ctx);
}

static lrp_status build(const char *name)
{
  char path[64];
  snprintf(path, sizeof path, "models/forms/%s.onnx", name);
  lrp_ck_ok(ctx, lrp_model_open(ctx, lrp_test_path(path), &model));
  return lrp_graph_build(ctx, model, &input, NULL, &graph);
}

static void forward(const char *name)
{
  lrp_ck_ok(ctx, build(name));
  lrp_ck_ok(ctx, lrp_graph_forward(ctx, graph, &input));
}

static void close_to(const lrp_real *v, int n, const double *want)
{
  for (int i = 0; i < n; i++)
    ck_assert_msg(fabs((double)v[i] - want[i]) <= 1e-5 * fmax(1, fabs(want[i])), "element %d is %g, %g was expected", i,
                  (double)v[i], want[i]);
}

/* Relevance at the input under a composite, all scores explained by themselves. */
static void explain(const char *rules, lrp_real *r, int n)
{
  const lrp_relevance *out;
  lrp_ck_ok(ctx, lrp_composite_open(ctx, rules, model, &composite));
  lrp_ck_ok(ctx, lrp_graph_assign(ctx, graph, composite));
  lrp_ck_ok(ctx, lrp_graph_relprop(ctx, graph, lrp_graph_scores(graph), NULL, &out));
  ck_assert_int_eq((int)lrp_count(&out->tensor[0]), n);
  memcpy(r, out->tensor[0].data, (size_t)n * sizeof *r);
}

/* ---- what the numbers are ---- */

static const struct {
  const char *form;
  int n;
  double want[8];
} form[] = {{"quantised", 6, {1, 2, 3, 4, 5, 5.04}}, /* 6 saturates */
            {"quantised_axis", 6, {1, 2, 0, 4, 5, 0}},
            {"qlinear_matmul", 4, {8, 11, 17, 24.5}},
            {"qlinear_conv", 8, {3, 3.5, -4, -5, 4.5, 5, -5, -5}}, /* -10 saturates at -5 */
            {"qlinear_conv_real", 8, {3, 3.5, -4, -5, 4.5, 5, -5, -5}},
            {"dynamic", 4, {8, 11, 8, 11}}};
enum { N_FORM = sizeof form / sizeof form[0] };

START_TEST(the_output_is_what_the_integers_mean)
{
  forward(form[_i].form);
  const lrp_tensor *y = lrp_graph_output(graph, 0);
  ck_assert_int_eq((int)lrp_count(y), form[_i].n);
  close_to(lrp_reals(y), form[_i].n, form[_i].want);
}
END_TEST

/* ---- relevance ---- */

START_TEST(relevance_is_that_of_the_real_model)
{
  lrp_real integer[6];
  double real[6];
  static const char *const rule[] = {"* -> epsilon(epsilon=1e-6); elementwise -> pass", "include epsilon_plus",
                                     "include epsilon_alpha2_beta1"};
  forward("qlinear_conv");
  explain(rule[_i], integer, 6);
  shut();
  forward("qlinear_conv_real");
  lrp_real r[6];
  explain(rule[_i], r, 6);
  for (int i = 0; i < 6; i++)
    real[i] = (double)r[i];
  close_to(integer, 6, real);
}
END_TEST

START_TEST(gradients_end_where_numbers_saturate)
{
  lrp_real r[6];
  forward("quantised");
  explain("gradient", r, 6);
  close_to(r, 6, (const double[]){1, 2, 3, 4, 5, 0}); /* times the seed, the score itself */
}
END_TEST

START_TEST(an_embedding_of_integers_takes_relevance)
{
  lrp_real r[6];
  tensor = (lrp_tensor){.data = ids, .dtype = LRP_INDEX, .rank = 2, .shape = {2, 3}};
  forward("quantised_embedding");
  ck_assert_int_eq((int)lrp_graph_n_node(graph), 1);
  ck_assert_str_eq(lrp_graph_node(graph, 0).layer->name, "embedding_quantized");
  close_to(lrp_reals(lrp_graph_output(graph, 0)), 12, (const double[]){-0.5, 0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5});
  explain("epsilon_plus", r, 6);
  close_to(r, 6, (const double[]){-0.5, 1.5, 3.5, 5.5, 7.5, 9.5}); /* the sum of each row */
}
END_TEST

/* ---- refusals ---- */

START_TEST(a_scale_that_depends_on_the_input_is_refused)
{
  lrp_ck_fails(ctx, LRP_E_UNSUPPORTED, "(QuantizeLinear)", build("quantised_live_scale"));
}
END_TEST

Suite *suite_quantized(void);
Suite *suite_quantized(void)
{
  Suite *s = suite_create("quantized");
  TCase *tc = tcase_create("quantized");
  tcase_add_checked_fixture(tc, setup, teardown);
  tcase_set_timeout(tc, 60);
  tcase_add_loop_test(tc, the_output_is_what_the_integers_mean, 0, N_FORM);
  tcase_add_loop_test(tc, relevance_is_that_of_the_real_model, 0, 3);
  tcase_add_test(tc, gradients_end_where_numbers_saturate);
  tcase_add_test(tc, an_embedding_of_integers_takes_relevance);
  tcase_add_test(tc, a_scale_that_depends_on_the_input_is_refused);
  suite_add_tcase(s, tc);
  return s;
}
