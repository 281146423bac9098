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
  const char *
      note; /* what the graph says of it; NULL: nothing, for its layers mean the same as they are */
} FORM[] = {{"bn_after_conv", "epsilon_plus", "merged n"},
            {"bn_after_dense", "epsilon_alpha2_beta1", "merged d, y"},
            {"bn_after_relu_as_mul_add", "epsilon_plus", "merged a, m"},
            {"bn_before_padded_conv", "zplus", "merged n"},
            {"bn_before_padded_conv", "gamma", "merged n"},
            {"bn_before_padded_conv", "epsilon_alpha2_beta1_all", "merged n"},
            {"bn_before_padded_conv", "zbox", "merged n"},
            {"bn_before_padded_conv", "wsquare", "merged n"},
            {"bn_before_dense", "zplus", "merged n"},
            {"layernorm", "attnlrp", "fused"},
            {"rmsnorm", "attnlrp", "fused"},
            {"gelu_erf", "epsilon_plus", "fused"},
            {"gelu_tanh", "epsilon_plus", "fused"},
            {"silu", "epsilon_plus", "fused"},
            {"hard_swish", "epsilon_plus", "fused"},
            {"log_softmax", "epsilon_plus", "fused"},
            {"transposes_that_cancel", "epsilon_plus", "fused"},
            {"matmul_and_add", "zplus", "merged y"},
            {"mean_as_global_pool", "epsilon_plus", NULL},
            {"flatten_as_reshape", "epsilon_plus", NULL},
            {"dense_as_conv", "zplus", NULL},
            {"attention", "attnlrp", NULL}};

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

START_TEST(a_list_names_the_canonizers_that_run)
{
  run r;
  begin(&r, "bn_before_dense", "", "fuse,merge_affine");
  ck_assert(!noted(&r, "merged"));
  end(&r);
  begin(&r, "bn_before_dense", "", "merge_ahead");
  ck_assert(noted(&r, "merged n"));
  end(&r);
}
END_TEST

Suite *suite_canonize(void);
Suite *suite_canonize(void)
{
  Suite *s = suite_create("canonize");
  TCase *t = tcase_create("forms");
  tcase_add_checked_fixture(t, setup, teardown);
  tcase_add_loop_test(t, a_form_gives_the_output_and_the_relevance_of_the_layer_written_directly, 0,
                      (int)(sizeof FORM / sizeof FORM[0]));
  tcase_add_test(t, a_list_names_the_canonizers_that_run);
  suite_add_tcase(s, t);
  return s;
}
