/* test_forms.c - forms that need more than one node (models/forms), and layers that find, scatter, resize and contract. */
#include "node_facts.h"
#include "test.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static lrp_ctx *ctx;
static lrp_model *model;
static lrp_graph *graph;
static lrp_real x[6];
static int64_t condition[1];
static lrp_tensor tensor[2];
static const lrp_input input = {.n_tensor = 1, .tensor = tensor};

static void setup(void)
{
  ck_assert_int_eq(lrp_ctx_new(&ctx), LRP_OK);
  ck_assert_msg(!lrp_plugins_open(ctx), "%s", lrp_message(ctx));
  for (int i = 0; i < 6; i++)
    x[i] = (lrp_real)(i + 1);
  tensor[0] = (lrp_tensor){.data = x, .dtype = LRP_REAL, .rank = 2, .shape = {2, 3}};
  tensor[1] = (lrp_tensor){.data = condition, .dtype = LRP_INDEX, .rank = 1, .shape = {1}};
}

static void teardown(void)
{
  lrp_graph_free(graph);
  lrp_model_close(model);
  lrp_ctx_free(ctx);
  graph = NULL;
  model = NULL;
}

static lrp_status build(const char *name, const lrp_input *in)
{
  char path[64];
  snprintf(path, sizeof path, "models/forms/%s.onnx", name);
  lrp_ck_ok(ctx, lrp_model_open(ctx, lrp_test_path(path), &model));
  return lrp_graph_build(ctx, model, in, NULL, &graph);
}

static void same(const lrp_tensor *t, int n, const double *want)
{
  ck_assert_int_eq((int)lrp_count(t), n);
  for (int i = 0; i < n; i++) {
    const double v = t->dtype == LRP_INDEX ? (double)lrp_indices(t)[i] : (double)lrp_reals(t)[i];
    ck_assert_msg(fabs(v - want[i]) <= 1e-5 * fmax(1, fabs(want[i])),
                  "element %d is %g, %g was expected", i, v, want[i]);
  }
}

#define SAME(T, ...) same(T, (int)(sizeof V(__VA_ARGS__) / sizeof(double)), V(__VA_ARGS__))

/* ---- control flow ---- */

START_TEST(if_with_a_known_condition_is_its_branch)
{
  lrp_ck_ok(ctx, build("if_constant", &input));
  lrp_ck_ok(ctx, lrp_graph_forward(ctx, graph, &input));
  SAME(lrp_graph_output(graph, 0), -1, -4, -7, -10, -13, -16); /* 2 - 3 x */
}
END_TEST

START_TEST(only_the_chosen_branch_must_be_known)
{
  lrp_ck_fails(ctx, LRP_E_UNSUPPORTED, "NoSuchOperator", build("if_unknown_branch", &input));
}
END_TEST

START_TEST(if_with_a_live_condition_is_refused)
{
  const lrp_input both = {.n_tensor = 2, .tensor = tensor};
  lrp_ck_fails(ctx, LRP_E_UNSUPPORTED, "(If): its condition depends on the model's input",
               build("if_live", &both));
}
END_TEST

START_TEST(a_single_number_that_is_given_chooses_a_branch)
{
  const lrp_input both = {.n_tensor = 2, .tensor = tensor};
  tensor[1].rank = 0;
  condition[0] = _i ? 8000 : 16000;
  lrp_ck_ok(ctx, build("if_given", &both));
  lrp_ck_ok(ctx, lrp_graph_forward(ctx, graph, &both));
  ck_assert_double_eq_tol((double)lrp_reals(lrp_graph_output(graph, 0))[0], _i ? -1 : exp(-1),
                          1e-6);
  condition[0] = 44100;
  lrp_ck_fails(ctx, LRP_E_INPUT, "for which the graph was built",
               lrp_graph_forward(ctx, graph, &both));
}
END_TEST

START_TEST(what_cannot_be_run_is_named)
{
  static const char *const form[][2] = {{"loop", "(Loop): its sub-graph"},
                                        {"custom", "(com.microsoft.FusedMatMul)"}};
  lrp_ck_fails(ctx, LRP_E_UNSUPPORTED, form[_i][1], build(form[_i][0], &input));
}
END_TEST

/* ---- weights and scores ---- */

START_TEST(dequantised_weights_are_weights)
{
  lrp_ck_ok(ctx, build("dequantised_weight", &input));
  lrp_ck_ok(ctx, lrp_graph_forward(ctx, graph, &input));
  SAME(lrp_graph_output(graph, 0), 8, 56, 17, 128);
  ck_assert_int_eq((int)lrp_graph_n_node(graph), 1);
  ck_assert_str_eq(lrp_graph_node(graph, 0).layer->name, "dense");
}
END_TEST

/* The output is squeezed log-probabilities; what is explained is the squeezed scores. */
START_TEST(scores_are_found_behind_rearrangements)
{
  const lrp_input in = {.n_tensor = 1, .tensor = tensor};
  tensor[0].rank = 3;
  tensor[0].shape[1] = 1;
  tensor[0].shape[2] = 3;
  lrp_ck_ok(ctx, build("softmax_rearranged", &in));
  lrp_ck_ok(ctx, lrp_graph_forward(ctx, graph, &in));
  SAME(lrp_graph_scores(graph), 30, 36, 45, 66, 81, 102);
  ck_assert_int_eq(lrp_graph_scores(graph)->rank, 2);
  const lrp_real *y = lrp_reals(lrp_graph_output(graph, 0));
  ck_assert_double_le(fabs(exp((double)y[0]) + exp((double)y[1]) + exp((double)y[2]) - 1), 1e-5);
}
END_TEST

/* ---- single nodes ---- */

#define RUN(...)                                                                                   \
  node_run r;                                                                                      \
  const node_case c = {__VA_ARGS__};                                                               \
  lrp_ck_ok(ctx, node_run_open(&r, ctx, &c))

START_TEST(topk_gives_relevance_to_the_elements_it_takes)
{
  RUN(.op = "TopK", .opset = 11, .n_out = 2,
      .in = {LIVE("2,3", V(3, 1, 2, 5, 7, 7)), INTS("1", V(2))});
  SAME(node_run_output(&r, 0), 3, 2, 7, 7);
  SAME(node_run_output(&r, 1), 0, 2, 1, 2);
  SAME(node_run_relevance(&r, 5), 5, 0, 5, 0, 5, 5);
  node_run_close(&r);
}
END_TEST

START_TEST(scattered_places_lose_their_relevance)
{
  RUN(.op = "ScatterND", .opset = 13,
      .in = {LIVE("3,2", NULL), INTS("2,1", V(2, 0)), CONST("2,2", V(9, 8, 7, 6))});
  SAME(node_run_output(&r, 0), 7, 6, 3, 4, 9, 8);
  SAME(node_run_relevance(&r, 5), 0, 0, 5, 5, 0, 0);
  node_run_close(&r);
}
END_TEST

START_TEST(a_scattered_extreme_goes_to_the_first_that_reaches_it)
{
  RUN(.op = "ScatterElements", .opset = 18, .attr = "axis=0 reduction=max",
      .in = {LIVE("4", V(1, 5, 2, 3)), INTS("4", V(0, 0, 1, 3)), LIVE("4", V(4, 4, 5, 9))});
  SAME(node_run_output(&r, 0), 4, 5, 2, 9);
  SAME(node_run_relevance(&r, 3), 0, 3, 3, 0);
  node_run_close(&r);
}
END_TEST

START_TEST(scattered_factors_are_constants)
{
  RUN(.op = "ScatterND", .opset = 18, .attr = "reduction=mul",
      .in = {LIVE("3", V(1, 2, 3)), INTS("2,1", V(1, 1)), CONST("2", V(2, -3))});
  SAME(node_run_output(&r, 0), 1, -12, 3);
  node_run_close(&r);
}
END_TEST

START_TEST(what_a_crop_leaves_out_gets_nothing)
{
  RUN(.op = "Resize", .opset = 13, .image = _i == 1,
      .attr =
          "coordinate_transformation_mode=tf_crop_and_resize mode=linear extrapolation_value=7.0",
      .in = {LIVE("1,1,1,5", V(1, 2, 3, 4, 5)), CONST("8", V(0, 0, 0, 0.5, 1, 1, 1, 1.25)), ABSENT,
             INTS("4", V(1, 1, 1, 4))});
  SAME(node_run_output(&r, 0), 3, 4, 5, 7);
  SAME(node_run_relevance(&r, 1), 0, 0, 1, 1, 1);
  node_run_close(&r);
}
END_TEST

START_TEST(rows_that_are_no_samples_are_part_of_one)
{
  const struct {
    node_case c;
    int64_t samples, best;
  } form[] = {
      {{.op = "Transpose", .opset = 13, .attr = "perm=[2,0,1]", .in = {LIVE("1,3,2", NULL)}}, 1, 5},
      {{.op = "Reshape", .opset = 13, .in = {LIVE("1,6", NULL), INTS("1", V(6))}}, 1, 5},
      {{.op = "ReduceSum", .opset = 11, .attr = "keepdims=0", .in = {LIVE("2,3", NULL)}}, 1, 0},
      {{.op = "Neg", .opset = 13, .in = {LIVE("2,3", NULL)}}, 2, 0},
      {{.op = "ReduceSum", .opset = 11, .attr = "axes=[0] keepdims=0", .in = {LIVE("5,2,3", NULL)}},
       2,
       2}};
  node_run r;
  lrp_target t;
  lrp_ck_ok(ctx, node_run_open(&r, ctx, &form[_i].c));
  const lrp_tensor *scores = lrp_graph_scores(r.graph);
  ck_assert_int_eq(lrp_graph_n_batch(r.graph), form[_i].samples);
  ck_assert_int_eq(scores->shape[0], form[_i].samples);
  lrp_ck_ok(ctx, lrp_target_parse(ctx, r.model, "argmax", scores, 0, &t));
  ck_assert_int_eq(t.plus, form[_i].best);
  node_run_close(&r);
}
END_TEST

START_TEST(an_index_outside_of_its_axis_is_refused)
{
  node_run r;
  lrp_ck_fails(ctx, LRP_E_INPUT, "outside of the axis",
               node_run_open(&r, ctx,
                             &(const node_case){.op = "GatherND",
                                                .opset = 13,
                                                .in = {LIVE("3,2", NULL), INTS("1,1", V(3))}}));
  node_run_close(&r);
}
END_TEST

START_TEST(nearest_neighbours_collect_the_relevance_of_their_copies)
{
  RUN(.op = "Resize", .opset = 13, .image = _i == 1,
      .attr = "coordinate_transformation_mode=asymmetric nearest_mode=floor",
      .in = {LIVE("1,2,1,2", NULL), ABSENT, CONST("4", V(1, 1, 2, 3))});
  SAME(node_run_output(&r, 0), 1, 1, 1, 2, 2, 2, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 3, 3, 3, 4, 4,
       4);
  SAME(node_run_relevance(&r, 1), 6, 6, 6, 6);
  node_run_close(&r);
}
END_TEST

START_TEST(linear_resize_halves_between_neighbours)
{
  RUN(.op = "Upsample", .opset = 9, .image = _i == 1, .attr = "mode=linear",
      .in = {LIVE("1,1,1,2", V(1, 3)), CONST("4", V(1, 1, 1, 2))});
  ck_assert_str_eq(node_run_layer(&r), "resize");
  SAME(node_run_output(&r, 0), 1, 2, 3, 3);
  node_run_close(&r);
}
END_TEST

START_TEST(einsum_takes_equations_of_all_forms)
{
  static const struct {
    const char *attr, *layer;
    double want[4];
  } form[] = {{"equation=ij,jk->ik", "einsum_dense", {5, 11, 11, 25}},
              {"equation=ij,kj", "einsum_dense", {7, 10, 15, 22}}, /* y is ik */
              {"equation=...j,kj->k...", "einsum_dense", {7, 15, 10, 22}},
              {"equation=ij,ij->ji", "einsum_dense", {1, 6, 6, 16}}};
  static const double W[] = {1, 3, 2, 4};
  RUN(.op = "Einsum", .opset = 12, .attr = form[_i].attr,
      .in = {LIVE("2,2", NULL), CONST("2,2", W)});
  ck_assert_str_eq(node_run_layer(&r), form[_i].layer);
  same(node_run_output(&r, 0), 4, form[_i].want);
  node_run_close(&r);
}
END_TEST

START_TEST(cumsum_runs_both_ways)
{
  RUN(.op = "CumSum", .opset = 14, .attr = "reverse=1 exclusive=1",
      .in = {LIVE("2,3", NULL), INTS("", V(1))});
  SAME(node_run_output(&r, 0), 5, 3, 0, 11, 6, 0);
  node_run_close(&r);
}
END_TEST

Suite *suite_forms(void);
Suite *suite_forms(void)
{
  Suite *s = suite_create("forms");
  TCase *tc = tcase_create("forms");
  tcase_add_checked_fixture(tc, setup, teardown);
  tcase_set_timeout(tc, 60);
  tcase_add_test(tc, if_with_a_known_condition_is_its_branch);
  tcase_add_test(tc, only_the_chosen_branch_must_be_known);
  tcase_add_test(tc, if_with_a_live_condition_is_refused);
  tcase_add_loop_test(tc, a_single_number_that_is_given_chooses_a_branch, 0, 2);
  tcase_add_loop_test(tc, what_cannot_be_run_is_named, 0, 2);
  tcase_add_test(tc, dequantised_weights_are_weights);
  tcase_add_test(tc, scores_are_found_behind_rearrangements);
  tcase_add_test(tc, topk_gives_relevance_to_the_elements_it_takes);
  tcase_add_test(tc, scattered_places_lose_their_relevance);
  tcase_add_test(tc, a_scattered_extreme_goes_to_the_first_that_reaches_it);
  tcase_add_test(tc, scattered_factors_are_constants);
  tcase_add_loop_test(tc, what_a_crop_leaves_out_gets_nothing, 0, 2);
  tcase_add_loop_test(tc, rows_that_are_no_samples_are_part_of_one, 0, 5);
  tcase_add_test(tc, an_index_outside_of_its_axis_is_refused);
  tcase_add_loop_test(tc, nearest_neighbours_collect_the_relevance_of_their_copies, 0, 2);
  tcase_add_loop_test(tc, linear_resize_halves_between_neighbours, 0, 2);
  tcase_add_loop_test(tc, einsum_takes_equations_of_all_forms, 0, 4);
  tcase_add_test(tc, cumsum_runs_both_ways);
  suite_add_tcase(s, tc);
  return s;
}
