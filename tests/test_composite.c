/* test_composite.c - the composite language: what it says, and what it answers to nonsense. */
#include "test.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static lrp_ctx *ctx;
static lrp_model *model;
static lrp_input *input;
static lrp_graph *graph;

static void open_model(const char *name)
{
  char relative[256];
  snprintf(relative, sizeof relative, "golden/relevance/%s/model.onnx", name);
  lrp_ck_ok(ctx, lrp_model_open(ctx, lrp_test_path(relative), &model));
  snprintf(relative, sizeof relative, "golden/relevance/%s/input.npy", name);
  const char *path = lrp_test_path(relative);
  lrp_ck_ok(ctx, lrp_input_npy(ctx, model, &path, 1, &input));
  lrp_ck_ok(ctx, lrp_graph_build(ctx, model, input, NULL, &graph));
}

static void setup(void)
{
  ck_assert_int_eq(lrp_ctx_new(&ctx), LRP_OK);
  lrp_ck_ok(ctx, lrp_plugins_open(ctx));
  model = NULL;
  input = NULL;
  graph = NULL;
}

static void teardown(void)
{
  lrp_graph_free(graph);
  lrp_input_free(input);
  lrp_model_close(model);
  lrp_ctx_free(ctx);
}

static lrp_status parse(const char *text)
{
  lrp_composite *c = NULL;
  const lrp_status st = lrp_composite_open(ctx, text, model, &c);
  lrp_composite_free(c);
  return st;
}

/* Rule of the node under a composite; the composite stays alive in *c. */
static const char *rule_of(const char *text, const char *node, lrp_composite **c)
{
  lrp_ck_ok(ctx, lrp_composite_open(ctx, text, model, c));
  lrp_ck_ok(ctx, lrp_graph_assign(ctx, graph, *c));
  for (int64_t i = 0; i < lrp_graph_n_node(graph); i++)
    if (!strcmp(lrp_graph_node(graph, i).name, node)) return lrp_graph_node(graph, i).rule;
  ck_abort_msg("no node %s", node);
  return "";
}

START_TEST(text_is_completed_with_all_arguments)
{
  lrp_composite *c;
  lrp_ck_ok(ctx, lrp_composite_open(ctx, "linear -> epsilon(eps=0.25)", NULL, &c));
  ck_assert_ptr_nonnull(strstr(lrp_composite_text(c), "linear -> epsilon(epsilon=0.25, "));
  ck_assert_int_eq((int)strlen(lrp_composite_sha256(c)), 64);
  lrp_composite_free(c);
}
END_TEST

START_TEST(a_filter_follows_a_rule)
{
  lrp_composite *c, *again;
  lrp_ck_ok(ctx, lrp_composite_open(ctx, "conv->zplus->top_k(0.1); dense -> epsilon", NULL, &c));
  ck_assert_ptr_nonnull(strstr(lrp_composite_text(c), "conv -> zplus("));
  ck_assert_ptr_nonnull(strstr(lrp_composite_text(c), ") -> top_k(fraction=0.1)\n"));
  lrp_ck_ok(ctx, lrp_composite_open(ctx, lrp_composite_text(c), NULL, &again));
  ck_assert_str_eq(lrp_composite_sha256(c), lrp_composite_sha256(again));
  lrp_composite_free(c);
  lrp_composite_free(again);
  lrp_ck_fails(ctx, LRP_E_ARG, "top_k is a filter: it follows a rule", parse("conv -> top_k(0.1)"));
  lrp_ck_fails(ctx, LRP_E_ARG,
               "epsilon is a rule; a filter such as top_k was expected behind zplus",
               parse("conv -> zplus -> epsilon"));
  lrp_ck_fails(ctx, LRP_E_ARG, "fraction", parse("conv -> zplus -> top_k"));
  lrp_ck_fails(ctx, LRP_E_ARG, "closing bracket", parse("conv -> zplus(1e-6 -> top_k(0.1)"));
}
END_TEST

START_TEST(equal_meaning_gives_equal_hash)
{
  lrp_composite *a, *b;
  lrp_ck_ok(ctx, lrp_composite_open(ctx, "linear -> epsilon(1e-6)  # said so", NULL, &a));
  lrp_ck_ok(ctx, lrp_composite_open(ctx, " ;linear->epsilon;", NULL, &b));
  ck_assert_str_eq(lrp_composite_sha256(a), lrp_composite_sha256(b));
  lrp_composite_free(a);
  lrp_composite_free(b);
}
END_TEST

START_TEST(short_form_names_matcher_and_rule)
{
  lrp_composite *c;
  open_model("mlp");
  ck_assert_str_eq(rule_of("*=gradient", "fc1", &c), "gradient");
  lrp_composite_free(c);
}
END_TEST

START_TEST(a_bare_word_is_a_kind_or_a_layer_type)
{
  lrp_composite *c;
  open_model("cnn_max");
  ck_assert_ptr_nonnull(
      strstr(rule_of("conv -> zplus; include base; linear -> epsilon", "conv1", &c), "zplus"));
  lrp_composite_free(c);
  ck_assert_ptr_nonnull(
      strstr(rule_of("conv -> zplus; include base; linear -> epsilon", "fc1", &c), "epsilon"));
  lrp_composite_free(c);
}
END_TEST

START_TEST(first_matching_line_wins)
{
  lrp_composite *c;
  open_model("mlp");
  ck_assert_ptr_nonnull(
      strstr(rule_of("name:fc1 -> flat; include base; linear -> zplus", "fc1", &c), "flat"));
  lrp_composite_free(c);
  ck_assert_ptr_nonnull(
      strstr(rule_of("include base; linear -> zplus; name:fc1 -> flat", "fc1", &c), "zplus"));
  lrp_composite_free(c);
}
END_TEST

START_TEST(first_and_last_go_by_the_graph)
{
  lrp_composite *c;
  open_model("textcnn");
  const char *text =
      "first:linear -> flat; last:linear -> epsilon(0.5); include base; linear -> zplus";
  ck_assert_ptr_nonnull(strstr(rule_of(text, "c3", &c), "flat"));
  lrp_composite_free(c);
  ck_assert_ptr_nonnull(
      strstr(rule_of(text, "c4", &c), "flat")); /* parallel to c3: both are first */
  lrp_composite_free(c);
  ck_assert_ptr_nonnull(strstr(rule_of(text, "fc", &c), "epsilon=0.5"));
  lrp_composite_free(c);
}
END_TEST

START_TEST(matchers_on_a_line_must_all_fit)
{
  lrp_composite *c;
  open_model("mlp");
  const char *text =
      "layer:dense op:Gemm name:fc[23] depth:0.6..1 -> gamma; include base; linear -> epsilon";
  ck_assert_ptr_nonnull(strstr(rule_of(text, "fc3", &c), "gamma"));
  lrp_composite_free(c);
  ck_assert_ptr_nonnull(strstr(rule_of(text, "fc2", &c), "epsilon"));
  lrp_composite_free(c);
}
END_TEST

START_TEST(presets_are_found_with_dashes_too)
{
  lrp_ck_ok(ctx, parse("epsilon-plus-flat"));
}
END_TEST

/* Without a model: all but those whose box is the model's. */
START_TEST(every_preset_can_be_read)
{
  int n = 0;
  DIR *d = opendir(lrp_data_dir(ctx, "presets"));
  ck_assert_ptr_nonnull(d);
  for (struct dirent *e; (e = readdir(d));) {
    char name[256];
    const char *dot = strstr(e->d_name, ".composite");
    if (!dot) continue;
    snprintf(name, sizeof name, "%.*s", (int)(dot - e->d_name), e->d_name);
    if (parse(name))
      ck_assert_msg(strstr(lrp_message(ctx), "preprocessor_config.json") != NULL, "%s: %s", name,
                    lrp_message(ctx));
    else
      n++;
  }
  closedir(d);
  ck_assert_int_ge(n, 70);
}
END_TEST

START_TEST(depth_takes_fractions_from_0_on)
{
  lrp_ck_ok(ctx, parse("depth:0..0.5 linear -> epsilon"));
  lrp_ck_ok(ctx, parse("depth:0.5..1 linear -> epsilon"));
  lrp_ck_ok(ctx, parse("depth:0..1 linear -> epsilon"));
  lrp_ck_fails(ctx, LRP_E_ARG, "depth:0.5", parse("depth:0.5.1 linear -> epsilon"));
}
END_TEST

START_TEST(nodes_without_a_rule_are_all_listed)
{
  lrp_composite *c;
  open_model("mlp");
  lrp_ck_ok(ctx, lrp_composite_open(ctx, "linear -> epsilon", model, &c));
  lrp_ck_fails(ctx, LRP_E_UNSUPPORTED, "\"r1\"", lrp_graph_assign(ctx, graph, c));
  ck_assert_ptr_nonnull(strstr(lrp_message(ctx), "\"r2\""));
  lrp_composite_free(c);
}
END_TEST

START_TEST(freezing_what_is_not_there_is_an_error)
{
  lrp_composite *c;
  open_model("mlp");
  lrp_ck_ok(ctx, lrp_composite_open(ctx, "linear freeze=std -> epsilon; * -> gradient", model, &c));
  lrp_ck_fails(ctx, LRP_E_ARG, "nothing to freeze named \"std\"", lrp_graph_assign(ctx, graph, c));
  lrp_composite_free(c);
}
END_TEST

START_TEST(a_file_that_includes_itself_is_refused)
{
  const char *path = lrp_test_tmp("loop.composite");
  FILE *f = fopen(path, "w");
  ck_assert_ptr_nonnull(f);
  fputs("include loop\n", f);
  fclose(f);
  lrp_ck_fails(ctx, LRP_E_ARG, "include itself", parse(path));
}
END_TEST

static const struct nonsense {
  const char *text, *answer;
} NONSENSE[] = {{"linear -> epsilom", "epsilon"},
                {"linear -> epsilon(epsilon=-1)", "epsilon"},
                {"linear -> epsilon(epsilon=nan)", "epsilon"},
                {"linear -> epsilon(gamma=1)", "gamma"},
                {"linear -> epsilon(1e-6", "closing bracket"},
                {"linear -> epsilon(1e-6) x", "closing bracket"},
                {"linear -> alphabeta(alpha=2, beta=2)", "beta"},
                {"lineal -> epsilon", "not a kind"},
                {"kind:dense -> epsilon", "the kinds are"},
                {"shape:3 -> epsilon", "a matcher is"},
                {"first:last:linear -> epsilon", "do not nest"},
                {"depth:1 -> epsilon", "two fractions"},
                {"depth:0.9..0.1 -> epsilon", "0 <= A <= B"},
                {"-> epsilon", "a matcher was expected"},
                {"linear ->", "rule"},
                {"include no_such_preset; linear -> epsilon", "neither a preset"},
                {"no_such_preset", "neither a preset"},
                {"/no/such/file.composite", "/no/such/file.composite"},
                {";", "no line"},
                {"", "empty"},
                {"linear -> zbox(low=model, high=model)", "preprocessor_config.json"},
                {"what is this; linear -> epsilon", "MATCHER -> RULE"}};

START_TEST(nonsense_is_answered_with_a_sentence)
{
  const struct nonsense *n = &NONSENSE[_i];
  lrp_ck_fails(ctx, LRP_E_ARG, n->answer, parse(n->text));
}
END_TEST

START_TEST(a_binary_file_is_refused)
{
  const char *path = lrp_test_tmp("binary.composite");
  FILE *f = fopen(path, "w");
  ck_assert_ptr_nonnull(f);
  fwrite("linear\0 -> epsilon", 1, 18, f);
  fclose(f);
  lrp_ck_fails(ctx, LRP_E_ARG, "zero byte", parse(path));
}
END_TEST

Suite *suite_composite(void);
Suite *suite_composite(void)
{
  Suite *s = suite_create("composite");
  TCase *t = tcase_create("language");
  tcase_add_checked_fixture(t, setup, teardown);
  tcase_add_test(t, text_is_completed_with_all_arguments);
  tcase_add_test(t, a_filter_follows_a_rule);
  tcase_add_test(t, equal_meaning_gives_equal_hash);
  tcase_add_test(t, short_form_names_matcher_and_rule);
  tcase_add_test(t, a_bare_word_is_a_kind_or_a_layer_type);
  tcase_add_test(t, first_matching_line_wins);
  tcase_add_test(t, first_and_last_go_by_the_graph);
  tcase_add_test(t, matchers_on_a_line_must_all_fit);
  tcase_add_test(t, presets_are_found_with_dashes_too);
  tcase_add_test(t, every_preset_can_be_read);
  tcase_add_test(t, depth_takes_fractions_from_0_on);
  tcase_add_test(t, nodes_without_a_rule_are_all_listed);
  tcase_add_test(t, freezing_what_is_not_there_is_an_error);
  tcase_add_test(t, a_file_that_includes_itself_is_refused);
  tcase_add_test(t, a_binary_file_is_refused);
  tcase_add_loop_test(t, nonsense_is_answered_with_a_sentence, 0,
                      sizeof NONSENSE / sizeof NONSENSE[0]);
  suite_add_tcase(s, t);
  return s;
}
