/* test_relprop.c - the walk back as a whole: conservation by the ledger, linearity, determinism,
 * targets, numbers that are none. */
#include "graph.h"
#include "node_model.h"
#include "test.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static lrp_ctx *ctx;
static lrp_model *model;
static lrp_input *input;
static lrp_graph *graph;
static lrp_composite *composite;

static void open_case(const char *name, const char *rules)
{
  char relative[256];
  snprintf(relative, sizeof relative, "golden/relevance/%s/model.onnx", name);
  lrp_ck_ok(ctx, lrp_model_open(ctx, lrp_test_path(relative), &model));
  snprintf(relative, sizeof relative, "golden/relevance/%s/input.npy", name);
  const char *path = lrp_test_path(relative);
  lrp_ck_ok(ctx, lrp_input_npy(ctx, model, &path, 1, &input));
  lrp_ck_ok(ctx, lrp_graph_build(ctx, model, input, NULL, &graph));
  lrp_ck_ok(ctx, lrp_composite_open(ctx, rules, model, &composite));
  lrp_ck_ok(ctx, lrp_graph_assign(ctx, graph, composite));
  lrp_ck_ok(ctx, lrp_graph_forward(ctx, graph, input));
}

static void setup(void)
{
  ck_assert_int_eq(lrp_ctx_new(&ctx), LRP_OK);
  lrp_ck_ok(ctx, lrp_plugins_open(ctx));
  model = NULL;
  input = NULL;
  graph = NULL;
  composite = NULL;
}

static void teardown(void)
{
  lrp_graph_free(graph);
  lrp_composite_free(composite);
  lrp_input_free(input);
  lrp_model_close(model);
  lrp_ctx_free(ctx);
}

static const lrp_relevance *explain(const char *target, int32_t seed)
{
  lrp_target t[8];
  const lrp_relevance *r;
  for (int64_t k = 0; k < lrp_graph_n_batch(graph); k++)
    lrp_ck_ok(ctx, lrp_target_parse(ctx, model, target, lrp_graph_scores(graph), k, &t[k]));
  lrp_ck_ok(ctx, lrp_graph_explain(ctx, graph, input, t, seed, LRP_METHOD_LRP, 0, NULL, &r));
  return r;
}

static const struct setting {
  const char *name, *rules;
} SETTINGS[] = {
    {"mlp_residual", "epsilon_plus"},
    {"resnet_tiny", "epsilon_plus"},
    {"resnet_tiny", "include base; linear -> gamma"},
    {"cnn_avg", "epsilon_alpha2_beta1"},
    {"cnn_max", "epsilon_plus_flat"},
    {"cnn_max", "pool_max -> winner_softmax; include base; linear -> gamma -> top_k(0.1)"},
    {"fire_concat", "include base; linear -> epsilon(0.25)"},
    {"textcnn", "include base; linear -> zplus"}};

/* explained score = relevance at the inputs + all that the ledger names as lost. */
START_TEST(the_ledger_accounts_for_all_relevance)
{
  open_case(SETTINGS[_i].name, SETTINGS[_i].rules);
  const lrp_relevance *r = explain("argmax", LRP_SEED_LOGIT);
  const int64_t batch = lrp_graph_n_batch(graph);
  for (int64_t k = 0; k < batch; k++) {
    double lost = 0;
    for (int64_t i = 0; i < lrp_graph_n_node(graph); i++) {
      const lrp_ledger *l = &r->ledger[i * batch + k];
      ck_assert_double_eq_tol(l->r_out, l->r_in + l->bias + l->stab + l->gate, 1e-9);
      lost += l->bias + l->stab + l->gate;
    }
    ck_assert_double_eq_tol(r->value[k], r->sum[k] + lost, 1e-5 * (1 + fabs(r->value[k])));
  }
}
END_TEST

START_TEST(epsilon_loses_to_biases_and_stabilizer_only)
{
  open_case("mlp_residual", "include base; linear -> epsilon(0.25)");
  const lrp_relevance *r = explain("argmax", LRP_SEED_LOGIT);
  const int64_t batch = lrp_graph_n_batch(graph);
  double stab = 0, bias = 0;
  for (int64_t i = 0; i < lrp_graph_n_node(graph); i++) {
    ck_assert_double_eq_tol(r->ledger[i * batch].gate, 0, 1e-6);
    stab += fabs(r->ledger[i * batch].stab);
    bias += fabs(r->ledger[i * batch].bias);
  }
  ck_assert_double_gt(stab, 1e-3);
  ck_assert_double_gt(bias, 1e-3);
}
END_TEST

/* The last dense layer, the first on the way back: a filter changes nothing but what goes on. */
START_TEST(what_a_filter_cuts_off_is_booked_as_dropped)
{
  double in, bias, stab, gate;
  int64_t last = -1, most = 0;
  open_case("cnn_max", "include base; linear -> zplus");
  for (int64_t i = 0; i < lrp_graph_n_node(graph); i++)
    if (lrp_graph_node(graph, i).layer->kind == LRP_KIND_LINEAR) last = i;
  const int64_t batch = lrp_graph_n_batch(graph);
  const lrp_ledger *l = &explain("argmax", LRP_SEED_LOGIT)->ledger[last * batch];
  in = l->r_in, bias = l->bias, stab = l->stab, gate = l->gate;
  lrp_composite_free(composite);
  lrp_ck_ok(ctx, lrp_composite_open(ctx, "include base; linear -> zplus -> top_k(0.25)", model,
                                    &composite));
  lrp_ck_ok(ctx, lrp_graph_assign(ctx, graph, composite));
  const lrp_relevance *r = explain("argmax", LRP_SEED_LOGIT);
  l = &r->ledger[last * batch];
  ck_assert_double_lt(l->r_in, in - 1e-3);
  ck_assert_double_eq_tol(l->gate - gate, in - l->r_in, 1e-6);
  ck_assert_double_eq_tol(l->bias, bias, 1e-6);
  ck_assert_double_eq_tol(l->stab, stab, 1e-6);
  for (int64_t k = 0, n = lrp_count(&r->tensor[0]); k < n; k++)
    most += lrp_reals(&r->tensor[0])[k] != 0;
  ck_assert_int_le(most, lrp_count(&r->tensor[0]) / 4);
  ck_assert_int_gt(most, 0);
}
END_TEST

START_TEST(a_net_without_biases_conserves_all)
{
  open_case("mlp_nobias", "epsilon_plus");
  const lrp_relevance *r = explain("argmax", LRP_SEED_LOGIT);
  for (int64_t k = 0; k < lrp_graph_n_batch(graph); k++)
    ck_assert_double_eq_tol(r->sum[k], r->value[k], 1e-4 * fabs(r->value[k]));
}
END_TEST

START_TEST(two_runs_give_the_same_bits)
{
  open_case("resnet_tiny", "epsilon_plus");
  const lrp_relevance *r = explain("argmax", LRP_SEED_LOGIT);
  const size_t n = (size_t)lrp_count(&r->tensor[0]) * sizeof(lrp_real);
  void *copy = malloc(n);
  ck_assert_ptr_nonnull(copy);
  memcpy(copy, r->tensor[0].data, n);
  lrp_ck_ok(ctx, lrp_graph_forward(ctx, graph, input));
  r = explain("argmax", LRP_SEED_LOGIT);
  ck_assert_mem_eq(copy, r->tensor[0].data, n);
  free(copy);
}
END_TEST

START_TEST(relevance_is_linear_in_the_seed)
{
  open_case("cnn_avg", "epsilon_plus");
  const lrp_tensor *s = lrp_graph_scores(graph);
  const lrp_relevance *logit = explain("0", LRP_SEED_LOGIT);
  const int64_t n = lrp_count(&logit->tensor[0]) / lrp_graph_n_batch(graph);
  double *scaled = calloc((size_t)n, sizeof *scaled);
  ck_assert_ptr_nonnull(scaled);
  for (int64_t i = 0; i < n; i++)
    scaled[i] = (double)lrp_reals(&logit->tensor[0])[i] / (double)lrp_reals(s)[0];
  const lrp_relevance *one = explain("0", LRP_SEED_ONE);
  for (int64_t i = 0; i < n; i++)
    ck_assert_double_eq_tol((double)lrp_reals(&one->tensor[0])[i], scaled[i], 1e-5);
  free(scaled);
}
END_TEST

START_TEST(a_contrast_is_the_difference_of_two_targets)
{
  open_case("cnn_avg", "epsilon_plus");
  const lrp_relevance *r = explain("1", LRP_SEED_LOGIT);
  const double one = r->sum[0], v1 = r->value[0];
  r = explain("2", LRP_SEED_LOGIT);
  const double two = r->sum[0], v2 = r->value[0];
  r = explain("1-2", LRP_SEED_LOGIT);
  ck_assert_double_eq_tol(r->value[0], v1 - v2, 1e-5);
  ck_assert_double_eq_tol(r->sum[0], one - two, 1e-5);
}
END_TEST

START_TEST(targets_that_are_none_are_refused)
{
  static const char *const BAD[] = {"4711", "-1",  "no such label", "1-1",
                                    "1-",   "1-9", "0x1",           "999999999999999999999"};
  lrp_target t;
  open_case("mlp", "epsilon_plus");
  for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++)
    lrp_ck_fails(ctx, LRP_E_ARG, "index from 0 to 3",
                 lrp_target_parse(ctx, model, BAD[i], lrp_graph_scores(graph), 0, &t));
}
END_TEST

START_TEST(infinite_relevance_is_an_error_that_names_the_node)
{
  const lrp_relevance *r;
  open_case("dead", "include base; name:fc2 -> epsilon(epsilon=0); linear -> epsilon(epsilon=0)");
  lrp_tensor seed = *lrp_graph_scores(graph);
  lrp_real v[9];
  for (int i = 0; i < 9; i++)
    v[i] = 1; /* class 2 has weights and bias zero: its score is 0, so that 1/0 arises */
  seed.data = v;
  lrp_ck_fails(ctx, LRP_E_NUMERIC, "fc2", lrp_graph_relprop(ctx, graph, &seed, NULL, &r));
  ck_assert_ptr_null(r);
}
END_TEST

START_TEST(an_unknown_place_is_refused)
{
  const lrp_relevance *r;
  open_case("mlp", "epsilon_plus");
  lrp_ck_fails(ctx, LRP_E_ARG, "no node or tensor \"nowhere\"",
               lrp_graph_relprop(ctx, graph, lrp_graph_scores(graph), "nowhere", &r));
}
END_TEST

START_TEST(relevance_inside_is_given_on_demand)
{
  const lrp_relevance *r;
  open_case("mlp", "epsilon_plus");
  lrp_ck_ok(ctx, lrp_graph_relprop(ctx, graph, lrp_graph_scores(graph), "r1", &r));
  ck_assert_ptr_nonnull(r->at);
  ck_assert_int_eq(lrp_count(r->at), 3 * 16);
  double sum = 0, in = 0;
  for (int64_t i = 0; i < lrp_count(r->at); i++)
    sum += (double)lrp_reals(r->at)[i];
  for (int k = 0; k < 3; k++)
    in +=
        r->ledger[0 * 3 + k].r_out; /* fc1: what arrives above it passed the activation unchanged */
  ck_assert_double_eq_tol(sum, in, 1e-5);
}
END_TEST

START_TEST(a_walk_needs_a_forward_pass)
{
  const lrp_relevance *r;
  lrp_graph *fresh;
  open_case("mlp", "epsilon_plus");
  lrp_ck_ok(ctx, lrp_graph_build(ctx, model, input, NULL, &fresh));
  lrp_ck_fails(ctx, LRP_E_ARG, "forward pass first",
               lrp_graph_relprop(ctx, fresh, lrp_graph_scores(graph), NULL, &r));
  lrp_graph_free(fresh);
}
END_TEST

START_TEST(batch_norm_merges_by_the_graph_and_changes_no_output)
{
  open_case("resnet_tiny", "epsilon_plus");
  lrp_graph *raw;
  int merged = 0;
  lrp_ck_ok(ctx, lrp_graph_build(ctx, model, input, "none", &raw));
  lrp_ck_ok(ctx, lrp_graph_forward(ctx, raw, input));
  for (int64_t i = 0; i < lrp_graph_n_node(graph); i++)
    merged += strstr(lrp_graph_node(graph, i).note, "merged") != NULL;
  ck_assert_int_eq(merged, 6);
  ck_assert_int_eq(lrp_graph_n_node(raw) - lrp_graph_n_node(graph), 6);
  const lrp_tensor *a = lrp_graph_output(graph, 0), *b = lrp_graph_output(raw, 0);
  for (int64_t i = 0; i < lrp_count(a); i++)
    ck_assert_double_eq_tol((double)lrp_reals(a)[i], (double)lrp_reals(b)[i], 1e-5);
  lrp_graph_free(raw);
}
END_TEST

START_TEST(an_unknown_canonizer_is_refused)
{
  lrp_graph *g;
  open_case("mlp", "epsilon_plus");
  lrp_ck_fails(ctx, LRP_E_ARG, "canonizer \"magic\"",
               lrp_graph_build(ctx, model, input, "merge_affine,magic", &g));
}
END_TEST

START_TEST(too_little_memory_is_a_sentence)
{
  lrp_graph *g;
  open_case("cnn_max", "epsilon_plus");
  lrp_set_memory_limit(ctx, 1024);
  lrp_ck_ok(ctx, lrp_graph_build(ctx, model, input, NULL, &g));
  lrp_ck_fails(ctx, LRP_E_NOMEM, "memory limit", lrp_graph_forward(ctx, g, input));
  lrp_graph_free(g);
}
END_TEST

/* Relevance of the first input, copied. */
static lrp_real *copied(const lrp_relevance *r, int64_t *n)
{
  *n = lrp_count(&r->tensor[0]);
  lrp_real *v = malloc((size_t)*n * sizeof *v + 1);
  ck_assert_ptr_nonnull(v);
  memcpy(v, r->tensor[0].data, (size_t)*n * sizeof *v);
  return v;
}

/* A pass that knows the rules keeps what they read; one that runs before them keeps all. */
START_TEST(what_a_pass_keeps_changes_no_bit)
{
  const struct setting *s = &SETTINGS[_i];
  int64_t n;
  open_case(s->name, s->rules);
  lrp_real *lean = copied(explain("argmax", LRP_SEED_LOGIT), &n);
  lrp_real *again = copied(explain("argmax", LRP_SEED_LOGIT), &n);
  ck_assert_mem_eq(lean, again, (size_t)n * sizeof *lean);
  lrp_graph_once(graph, 1);
  for (int i = 0; i < 3; i++) { /* the second and third need a pass of their own */
    free(again);
    again = copied(explain("argmax", LRP_SEED_LOGIT), &n);
    ck_assert_mem_eq(lean, again, (size_t)n * sizeof *lean);
  }
  lrp_graph_free(graph);
  lrp_ck_ok(ctx, lrp_graph_build(ctx, model, input, NULL, &graph));
  lrp_ck_ok(ctx, lrp_graph_forward(ctx, graph, input));
  lrp_ck_ok(ctx, lrp_graph_assign(ctx, graph, composite));
  lrp_real *all = copied(explain("argmax", LRP_SEED_LOGIT), &n);
  ck_assert_mem_eq(lean, all, (size_t)n * sizeof *lean);
  free(lean), free(again), free(all);
}
END_TEST

START_TEST(a_gradient_after_a_lean_pass_is_that_without_rules)
{
  const lrp_relevance *r;
  int64_t n;
  open_case("resnet_tiny", "epsilon_plus");
  lrp_target t[8];
  for (int64_t k = 0; k < lrp_graph_n_batch(graph); k++)
    lrp_ck_ok(ctx, lrp_target_parse(ctx, model, "argmax", lrp_graph_scores(graph), k, &t[k]));
  lrp_graph_once(graph, 1);
  explain("argmax", LRP_SEED_LOGIT);
  lrp_ck_ok(ctx, lrp_graph_explain(ctx, graph, input, t, LRP_SEED_ONE, LRP_METHOD_GRADIENT, 0, NULL, &r));
  lrp_real *lean = copied(r, &n);
  lrp_graph_free(graph);
  lrp_ck_ok(ctx, lrp_graph_build(ctx, model, input, NULL, &graph));
  lrp_ck_ok(ctx, lrp_graph_forward(ctx, graph, input));
  lrp_ck_ok(ctx, lrp_graph_explain(ctx, graph, input, t, LRP_SEED_ONE, LRP_METHOD_GRADIENT, 0, NULL, &r));
  lrp_real *all = copied(r, &n);
  ck_assert_mem_eq(lean, all, (size_t)n * sizeof *lean);
  free(lean), free(all);
}
END_TEST

/* Relevance of input 0 of one node under rules, for samples first .. first + n - 1 of two; copied. */
static lrp_real *of_samples(const char *op, const char *rules, const double *x, int first, int n, int64_t *count)
{
  enum { EACH = 16 * 96 * 96, KERNEL = 16 * 16 * 9 };
  char shape[32];
  double w[KERNEL];
  uint32_t seed = 7;
  node_run r;
  lrp_composite *c;
  snprintf(shape, sizeof shape, "%d,16,96,96", n);
  for (int i = 0; i < KERNEL; i++)
    w[i] = (double)((seed = seed * 1664525 + 1013904223) >> 16) / 32768 - 1;
  const bool conv = !strcmp(op, "Conv");
  node_case node = {op, 17, conv ? "kernel_shape=[3,3] pads=[1,1,1,1]" : NULL, .n_out = 1};
  node.in[0] = (node_input){shape, NODE_LIVE, LRP_REAL, x + first * EACH};
  node.in[1] = conv ? (node_input){"16,16,3,3", NODE_CONST, LRP_REAL, w}
                    : (node_input){shape, NODE_LIVE, LRP_REAL, x + (1 - first) * EACH};
  lrp_ck_ok(ctx, node_run_open(&r, ctx, &node));
  lrp_ck_ok(ctx, lrp_composite_open(ctx, rules, NULL, &c));
  lrp_ck_ok(ctx, lrp_graph_assign(ctx, r.graph, c));
  const lrp_tensor *t = node_run_relevance(&r, 1);
  *count = lrp_count(t);
  lrp_real *copy = malloc((size_t)*count * sizeof *copy);
  ck_assert_ptr_nonnull(copy);
  memcpy(copy, t->data, (size_t)*count * sizeof *copy);
  lrp_composite_free(c);
  node_run_close(&r);
  return copy;
}

/* Samples larger than the weights go one by one, and sums of branches in pieces: nothing changes. */
START_TEST(large_samples_in_a_batch_get_what_they_get_alone)
{
  static const struct {
    const char *op, *rules;
  } form[] = {{"Conv", "layer:conv -> zplus; reshape -> pass"},
              {"Conv", "layer:conv -> gamma(gamma=0.25); reshape -> pass"},
              {"Conv", "layer:conv -> flat; reshape -> pass"},
              {"Conv", "layer:conv -> zbox(low=-2, high=2); reshape -> pass"}};
  enum { EACH = 16 * 96 * 96 };
  double *x = malloc(2 * EACH * sizeof *x);
  uint32_t seed = 1;
  int64_t n;
  ck_assert_ptr_nonnull(x);
  for (int i = 0; i < 2 * EACH; i++)
    x[i] = (double)((seed = seed * 1664525 + 1013904223) >> 16) / 32768 - 1;
  lrp_real *both = of_samples(form[_i].op, form[_i].rules, x, 0, 2, &n);
  ck_assert_int_eq(n, 2 * EACH);
  for (int k = 0; k < 2; k++) {
    lrp_real *one = of_samples(form[_i].op, form[_i].rules, x, k, 1, &n);
    double most = 0;
    for (int64_t i = 0; i < n; i++)
      most = fmax(most, fabs((double)one[i]));
    for (int64_t i = 0; i < n; i++)
      ck_assert_double_eq_tol((double)both[k * EACH + i], (double)one[i], 1e-6 * most);
    free(one);
  }
  free(both);
  free(x);
}
END_TEST

START_TEST(a_large_sum_of_branches_is_shared_element_by_element)
{
  enum { EACH = 16 * 96 * 96 };
  double *x = malloc(2 * EACH * sizeof *x);
  int64_t n;
  ck_assert_ptr_nonnull(x);
  for (int i = 0; i < 2 * EACH; i++)
    x[i] = (i % 13 - 5) * 0.25;
  lrp_real *r = of_samples("Add", "sum -> norm", x, 0, 1, &n);
  ck_assert_int_eq(n, EACH);
  for (int64_t i = 0; i < n; i++) {
    const double z = x[i] + x[EACH + i];
    ck_assert_double_eq_tol((double)r[i], x[i] / (z + (z < 0 ? -1e-6 : 1e-6)), 1e-6 * (1 + fabs(x[i]) * 1e6 * (z == 0)));
  }
  free(r);
  free(x);
}
END_TEST

/* With an epsilon of 1e-6 next to nothing is lost to it, whatever buffer the quotient is written to. */
START_TEST(a_small_stabilizer_takes_little)
{
  static const char *const RULES[] = {"epsilon_plus", "gamma", "alpha1beta0"};
  open_case("resnet_tiny", RULES[_i]);
  const lrp_relevance *r = explain("argmax", LRP_SEED_LOGIT);
  const int64_t n = lrp_graph_n_node(graph) * lrp_graph_n_batch(graph);
  double most = 0;
  for (int64_t k = 0; k < n; k++)
    most = fmax(most, fabs(r->ledger[k].stab));
  ck_assert_msg(most <= 1e-3 * fabs(r->value[0]), "%g of %g went to the stabilizer", most, r->value[0]);
}
END_TEST

/* Batch norms that are merged leave tame quotients; one that stays does not. */
START_TEST(norms_that_stay_ask_for_direct_sums)
{
  open_case("resnet_tiny", "epsilon_plus");
  ck_assert(!graph->direct);
  lrp_graph_free(graph);
  lrp_ck_ok(ctx, lrp_graph_build(ctx, model, input, "none", &graph));
  lrp_ck_ok(ctx, lrp_graph_assign(ctx, graph, composite));
  ck_assert(graph->direct);
}
END_TEST

Suite *suite_relprop(void);
Suite *suite_relprop(void)
{
  Suite *s = suite_create("relprop");
  TCase *t = tcase_create("walk");
  tcase_add_checked_fixture(t, setup, teardown);
  tcase_add_loop_test(t, the_ledger_accounts_for_all_relevance, 0,
                      sizeof SETTINGS / sizeof SETTINGS[0]);
  tcase_add_loop_test(t, what_a_pass_keeps_changes_no_bit, 0, sizeof SETTINGS / sizeof SETTINGS[0]);
  tcase_add_loop_test(t, large_samples_in_a_batch_get_what_they_get_alone, 0, 4);
  tcase_add_test(t, a_large_sum_of_branches_is_shared_element_by_element);
  tcase_add_loop_test(t, a_small_stabilizer_takes_little, 0, 3);
  tcase_add_test(t, norms_that_stay_ask_for_direct_sums);
  tcase_add_test(t, a_gradient_after_a_lean_pass_is_that_without_rules);
  tcase_add_test(t, epsilon_loses_to_biases_and_stabilizer_only);
  tcase_add_test(t, what_a_filter_cuts_off_is_booked_as_dropped);
  tcase_add_test(t, a_net_without_biases_conserves_all);
  tcase_add_test(t, two_runs_give_the_same_bits);
  tcase_add_test(t, relevance_is_linear_in_the_seed);
  tcase_add_test(t, a_contrast_is_the_difference_of_two_targets);
  tcase_add_test(t, targets_that_are_none_are_refused);
  tcase_add_test(t, infinite_relevance_is_an_error_that_names_the_node);
  tcase_add_test(t, an_unknown_place_is_refused);
  tcase_add_test(t, relevance_inside_is_given_on_demand);
  tcase_add_test(t, a_walk_needs_a_forward_pass);
  tcase_add_test(t, batch_norm_merges_by_the_graph_and_changes_no_output);
  tcase_add_test(t, an_unknown_canonizer_is_refused);
  tcase_add_test(t, too_little_memory_is_a_sentence);
  suite_add_tcase(s, t);
  return s;
}
