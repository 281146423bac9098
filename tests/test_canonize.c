/* test_canonize.c - canonizers: each form of models/canon gives the same output with and without them, and the same relevance
 * as the model beside it, in which the layer is written directly. */
#include "test.h"
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static lrp_ctx *ctx;

static const struct form {
  const char *name, *rules;
  const char *canonizer, *note; /* NULL: none, for its layers mean the same as they are */
} FORM[] = {{"bn_after_conv", "epsilon_plus", "merge_affine", "merged n"},
            {"bn_after_dense", "epsilon_alpha2_beta1", "merge_affine", "merged d, y"},
            {"bn_after_relu_as_mul_add", "epsilon_plus", "merge_ahead", "merged a, m"},
            {"bn_before_padded_conv", "zplus", "merge_ahead", "merged n"},
            {"bn_before_padded_conv", "gamma", "merge_ahead", "merged n"},
            {"bn_before_padded_conv", "epsilon_alpha2_beta1_all", "merge_ahead", "merged n"},
            {"bn_before_padded_conv", "zbox", "merge_ahead", "merged n"},
            {"bn_before_padded_conv", "wsquare", "merge_ahead", "merged n"},
            {"bn_before_dense", "zplus", "merge_ahead", "merged n"},
            {"layernorm", "attnlrp", "layernorm", "fused"},
            {"rmsnorm", "attnlrp", "rmsnorm", "fused"},
            {"gelu_erf", "epsilon_plus", "gelu", "fused"},
            {"gelu_tanh", "epsilon_plus", "gelu", "fused"},
            {"silu", "epsilon_plus", "silu", "fused"},
            {"hard_swish", "epsilon_plus", "hard_swish", "fused"},
            {"log_softmax", "epsilon_plus", "log_softmax", "fused"},
            {"transposes_that_cancel", "epsilon_plus", "transposes", "fused"},
            {"matmul_and_add", "zplus", "merge_affine", "merged y"},
            {"mean_as_global_pool", "epsilon_plus", NULL, NULL},
            {"flatten_as_reshape", "epsilon_plus", NULL, NULL},
            {"dense_as_conv", "epsilon_plus", "dense_conv", "a convolution of one place"},
            {"attention", "attnlrp", NULL, NULL}};

typedef struct run {
  lrp_model *model;
  lrp_graph *graph;
  lrp_composite *composite;
  const lrp_relevance *r;
  lrp_real x[128];
  lrp_tensor t;
  lrp_input in;
} run;

static void setup(void)
{
  ck_assert_int_eq(lrp_ctx_new(&ctx), LRP_OK);
  lrp_ck_ok(ctx, lrp_plugins_open(ctx));
}

static void teardown(void)
{
  lrp_ctx_free(ctx);
}

/* The graph run forward on fixed numbers. */
static void begin(run *r, const char *name, const char *direct, const char *canonize)
{
  char path[128];
  snprintf(path, sizeof path, "models/canon/%s%s.onnx", name, direct);
  memset(r, 0, sizeof *r);
  lrp_ck_ok(ctx, lrp_model_open(ctx, lrp_test_path(path), &r->model));
  const lrp_signature *s = lrp_model_input(r->model, 0);
  r->t = (lrp_tensor){.data = r->x, .dtype = LRP_REAL, .rank = s->rank};
  memcpy(r->t.shape, s->shape, sizeof r->t.shape);
  for (int i = 0; i < 128; i++)
    r->x[i] = (lrp_real)sin(1.7 * i + 0.3);
  r->in = (lrp_input){.n_tensor = 1, .tensor = &r->t};
  lrp_ck_ok(ctx, lrp_graph_build(ctx, r->model, &r->in, canonize, &r->graph));
  lrp_ck_ok(ctx, lrp_graph_forward(ctx, r->graph, &r->in));
}

static void explain(run *r, const char *rules)
{
  const char *what = !strcmp(rules, "zplus")     ? "include base; linear -> zplus"
                     : !strcmp(rules, "gamma")   ? "include base; linear -> gamma(0.25)"
                     : !strcmp(rules, "zbox")    ? "include base; linear -> zbox(low=-1, high=1)"
                     : !strcmp(rules, "wsquare") ? "include base; linear -> wsquare"
                     : strstr(rules, "_all") ? "include base; linear -> alphabeta(alpha=2, beta=1)"
                                             : rules;
  lrp_target target[8] = {{.plus = 1, .minus = -1}, {.plus = 1, .minus = -1}};
  lrp_ck_ok(ctx, lrp_composite_open(ctx, what, r->model, &r->composite));
  lrp_ck_ok(ctx, lrp_graph_assign(ctx, r->graph, r->composite));
  lrp_ck_ok(ctx, lrp_graph_explain(ctx, r->graph, &r->in, target, LRP_SEED_LOGIT, LRP_METHOD_LRP, 0,
                                   NULL, &r->r));
}

static void end(run *r)
{
  lrp_graph_free(r->graph);
  lrp_composite_free(r->composite);
  lrp_model_close(r->model);
}

static void near(const char *what, const lrp_tensor *have, const lrp_tensor *want, double tolerance)
{
  const int64_t n = lrp_count(want);
  double most = 0, off = 0;
  ck_assert_int_eq((int)lrp_count(have), (int)n);
  for (int64_t i = 0; i < n; i++) {
    most = fmax(most, fabs((double)lrp_reals(want)[i]));
    off = fmax(off, fabs((double)lrp_reals(have)[i] - (double)lrp_reals(want)[i]));
  }
  ck_assert_msg(most > 0 && off <= tolerance * most, "%s: off by %g of %g", what, off, most);
}

static bool noted(const run *r, const char *note)
{
  for (int64_t i = 0; i < lrp_graph_n_node(r->graph); i++)
    if (strstr(lrp_graph_node(r->graph, i).note, note)) return true;
  return false;
}

START_TEST(a_form_gives_the_output_and_the_relevance_of_the_layer_written_directly)
{
  const struct form *f = &FORM[_i];
  run spelled, plain, direct;
  begin(&spelled, f->name, "", NULL);
  begin(&plain, f->name, "", "none");
  begin(&direct, f->name, "-direct", NULL);
  near("output", lrp_graph_output(spelled.graph, 0), lrp_graph_output(plain.graph, 0), 1e-5);
  near("output of the layer", lrp_graph_output(spelled.graph, 0), lrp_graph_output(direct.graph, 0),
       1e-5);
  ck_assert_msg(!f->note || noted(&spelled, f->note), "%s: no node is \"%s\"", f->name, f->note);
  ck_assert(!noted(&plain, "fused") && !noted(&plain, "merged"));
  explain(&spelled, f->rules);
  explain(&direct, f->rules);
  near("relevance", &spelled.r->tensor[0], &direct.r->tensor[0], 2e-5);
  end(&spelled);
  end(&plain);
  end(&direct);
}
END_TEST

/* How many nodes of the file the canonizer took away; NULL: any of them. */
static int64_t gone(const run *r, const char *canonizer)
{
  const char *by;
  int64_t count = 0, into;
  int32_t behind;
  for (int64_t i = 0; i < lrp_graph_n_gone(r->graph); i++) {
    lrp_graph_gone(r->graph, i, &by, &into, &behind);
    ck_assert_int_lt(into, lrp_graph_n_node(r->graph));
    count += !canonizer || !strcmp(by, canonizer);
  }
  return count;
}

/* Operands and probabilities are kept only where a rule freezes them: one that comes after the forward pass gets them,
 * too. */
START_TEST(a_rule_that_freezes_may_come_after_the_forward_pass)
{
  run late, early;
  lrp_composite *first;
  begin(&late, "attention", _i ? "-direct" : "", NULL);
  explain(&late, "cp_lrp");
  begin(&early, "attention", _i ? "-direct" : "", NULL);
  lrp_ck_ok(ctx, lrp_composite_open(ctx, "cp_lrp", early.model, &first));
  lrp_ck_ok(ctx, lrp_graph_assign(ctx, early.graph, first));
  lrp_ck_ok(ctx, lrp_graph_forward(ctx, early.graph, &early.in));
  explain(&early, "cp_lrp");
  near("relevance", &late.r->tensor[0], &early.r->tensor[0], 0);
  end(&late);
  end(&early);
  lrp_composite_free(first);
}
END_TEST

START_TEST(each_canonizer_is_switched_on_and_off_by_its_name)
{
  const struct form *f = &FORM[_i];
  char without[64];
  run only, rest, plain;
  if (!f->canonizer) return;
  snprintf(without, sizeof without, "-%s", f->canonizer);
  begin(&only, f->name, "", f->canonizer);
  begin(&rest, f->name, "", without);
  begin(&plain, f->name, "", "none");
  ck_assert_int_gt(gone(&only, NULL), 0);
  ck_assert_int_eq(gone(&only, NULL), gone(&only, f->canonizer));
  ck_assert(noted(&only, f->note));
  ck_assert_int_eq(gone(&rest, f->canonizer), 0);
  ck_assert_int_eq(gone(&plain, NULL), 0);
  near("output", lrp_graph_output(only.graph, 0), lrp_graph_output(plain.graph, 0), 1e-5);
  near("output without", lrp_graph_output(rest.graph, 0), lrp_graph_output(plain.graph, 0), 1e-5);
  end(&only);
  end(&rest);
  end(&plain);
}
END_TEST

START_TEST(a_list_names_the_canonizers_that_run)
{
  static const struct {
    const char *model, *list;
    int64_t gone;
  } CASE[] = {{"bn_before_dense", "fuse,merge_affine", 0},
              {"bn_before_dense", "merge_ahead", 1},
              {"bn_before_dense", "all", 1},
              {"bn_before_dense", "all,-merge_ahead", 0},
              {"bn_before_dense", "none,merge_ahead", 1},
              {"gelu_erf", "fuse", 5},
              {"gelu_erf", "fuse,-gelu", 0},
              {"gelu_erf", "silu,layernorm", 0}};
  for (size_t i = 0; i < sizeof CASE / sizeof CASE[0]; i++) {
    run r;
    begin(&r, CASE[i].model, "", CASE[i].list);
    ck_assert_msg(gone(&r, NULL) == CASE[i].gone, "%s: %d nodes are gone", CASE[i].list,
                  (int)gone(&r, NULL));
    end(&r);
  }
}
END_TEST

START_TEST(an_unknown_name_is_answered_with_all_names)
{
  static const char *const NAMES[] = {"\"magic\"",     "merge_affine", "merge_ahead", "dense_conv",
                                      "final_softmax", "gelu",         "layernorm",   "rmsnorm",
                                      "silu",          "hard_swish",   "log_softmax", "transposes"};
  run r;
  begin(&r, "gelu_erf", "", NULL);
  lrp_graph *g;
  for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++)
    lrp_ck_fails(ctx, LRP_E_ARG, NAMES[i], lrp_graph_build(ctx, r.model, &r.in, "fuse,-magic", &g));
  end(&r);
}
END_TEST

Suite *suite_canonize(void);
Suite *suite_canonize(void)
{
  Suite *s = suite_create("canonize");
  TCase *t = tcase_create("forms");
  tcase_add_checked_fixture(t, setup, teardown);
  tcase_add_loop_test(t, a_rule_that_freezes_may_come_after_the_forward_pass, 0, 2);
  tcase_add_loop_test(t, a_form_gives_the_output_and_the_relevance_of_the_layer_written_directly, 0,
                      (int)(sizeof FORM / sizeof FORM[0]));
  tcase_add_loop_test(t, each_canonizer_is_switched_on_and_off_by_its_name, 0,
                      (int)(sizeof FORM / sizeof FORM[0]));
  tcase_add_test(t, a_list_names_the_canonizers_that_run);
  tcase_add_test(t, an_unknown_name_is_answered_with_all_names);
  suite_add_tcase(s, t);
  return s;
}
