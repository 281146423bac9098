/* test_transformer.c - attention, normalisation and forms of several nodes: against LXT, against
 * the same written otherwise, and against formulas by hand.
 *
 * LXT 2.1 adds its stabilisers without a sign.  With 1e-6 and a sign, relevance of the block differs
 * from its explicit form by 2e-5 of the largest value.  The presets' smaller stabilisers were chosen
 * on this very block to stay within 1e-5, by little; the rules themselves are judged by the gradient
 * form, which has no stabilisers: there we agree to 2e-7. */
#include "fuse.h"
#include "layer_trial.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct net {
  lrp_ctx *ctx;
  lrp_model *model;
  lrp_input *input;
  lrp_graph *graph;
  lrp_composite *composite;
  const lrp_relevance *r;
} net;

static void open_net(net *t, const char *model, const char *array, const char *canonize)
{
  memset(t, 0, sizeof *t);
  ck_assert_int_eq(lrp_ctx_new(&t->ctx), LRP_OK);
  lrp_ck_ok(t->ctx, lrp_plugins_open(t->ctx));
  lrp_ck_ok(t->ctx, lrp_model_open(t->ctx, lrp_test_path(model), &t->model));
  const char *path = lrp_test_path(array);
  lrp_ck_ok(t->ctx, lrp_input_npy(t->ctx, t->model, &path, 1, &t->input));
  lrp_ck_ok(t->ctx, lrp_graph_build(t->ctx, t->model, t->input, canonize, &t->graph));
  lrp_ck_ok(t->ctx, lrp_graph_forward(t->ctx, t->graph, t->input));
}

/* Relevance of the largest score under these rules. */
static void explain(net *t, const char *rules)
{
  lrp_target target[8];
  lrp_ck_ok(t->ctx, lrp_composite_open(t->ctx, rules, t->model, &t->composite));
  lrp_ck_ok(t->ctx, lrp_graph_assign(t->ctx, t->graph, t->composite));
  for (int64_t k = 0; k < lrp_graph_n_batch(t->graph); k++)
    lrp_ck_ok(t->ctx, lrp_target_parse(t->ctx, t->model, "argmax", lrp_graph_scores(t->graph), k,
                                       &target[k]));
  lrp_ck_ok(t->ctx, lrp_graph_explain(t->ctx, t->graph, t->input, target, LRP_SEED_LOGIT,
                                      LRP_METHOD_LRP, 0, NULL, &t->r));
}

static void close_net(net *t)
{
  lrp_graph_free(t->graph);
  lrp_composite_free(t->composite);
  lrp_input_free(t->input);
  lrp_model_close(t->model);
  lrp_ctx_free(t->ctx);
}

/* Largest difference in units of the largest value of b. */
static double distance(const lrp_tensor *a, const lrp_tensor *b)
{
  double worst = 0, largest = 0;
  ck_assert_int_eq(lrp_count(a), lrp_count(b));
  for (int64_t i = 0; i < lrp_count(b); i++) {
    worst = fmax(worst, fabs((double)lrp_reals(a)[i] - (double)lrp_reals(b)[i]));
    largest = fmax(largest, fabs((double)lrp_reals(b)[i]));
  }
  ck_assert_double_gt(largest, 0);
  return worst / largest;
}

static const lrp_node_view *node_of(const net *t, const char *layer, lrp_node_view *v)
{
  for (int64_t i = 0; i < lrp_graph_n_node(t->graph); i++) {
    *v = lrp_graph_node(t->graph, i);
    if (!strcmp(v->layer->name, layer)) return v;
  }
  return NULL;
}

/* ---- LXT ---- */

#define BLOCK "golden/relevance/attn_block/"
static const struct golden {
  const char *rules, *file;
  double tolerance;
} GOLDEN[] = {{"lxt_explicit", "rel_lxt_attnlrp.npy", 2e-6},
              {"lxt_attnlrp", "rel_lxt_attnlrp.npy", 1e-5},
              {"lxt_cplrp", "rel_lxt_cplrp.npy", 1e-5},
              {"attnlrp", "rel_lxt_eff_attnlrp.npy", 1e-6},
              {"cp_lrp", "rel_lxt_eff_cplrp.npy", 1e-6}};

START_TEST(a_transformer_block_is_explained_as_by_lxt)
{
  const struct golden *g = &GOLDEN[_i];
  char path[256];
  lrp_tensor want;
  net t;
  open_net(&t, BLOCK "model.onnx", BLOCK "input.npy", NULL);
  explain(&t, g->rules);
  snprintf(path, sizeof path, BLOCK "%s", g->file);
  lrp_ck_ok(t.ctx, lrp_npy_read(t.ctx, lrp_test_path(path), &want));
  const double d = distance(&t.r->tensor[0], &want);
  ck_assert_msg(d <= g->tolerance, "%s: differs by %g of the largest", g->file, d);
  free(want.data);
  close_net(&t);
}
END_TEST

START_TEST(its_outputs_are_those_of_torch)
{
  lrp_tensor want;
  net t;
  open_net(&t, BLOCK "model.onnx", BLOCK "input.npy", NULL);
  lrp_ck_ok(t.ctx, lrp_npy_read(t.ctx, lrp_test_path(BLOCK "output.npy"), &want));
  ck_assert_double_le(distance(lrp_graph_output(t.graph, 0), &want), 1e-5);
  free(want.data);
  close_net(&t);
}
END_TEST

START_TEST(gamma_in_linear_layers_changes_the_explanation_only)
{
  net a, b;
  open_net(&a, BLOCK "model.onnx", BLOCK "input.npy", NULL);
  open_net(&b, BLOCK "model.onnx", BLOCK "input.npy", NULL);
  explain(&a, "attnlrp");
  explain(&b, "attnlrp_gamma");
  ck_assert_double_gt(distance(&b.r->tensor[0], &a.r->tensor[0]), 1e-2);
  ck_assert_double_eq_tol(a.r->value[0], b.r->value[0], 1e-6);
  close_net(&a);
  close_net(&b);
}
END_TEST

/* ---- the operator Attention and what it stands for ---- */

static const char *const ATTENTION[] = {"split", "flat", "causal", "grouped"};
enum { N_ATTENTION = sizeof ATTENTION / sizeof ATTENTION[0] };
#define AROUND "linear -> epsilon(1e-4); elementwise -> pass; pool_sum -> epsilon(1e-4); "
static const struct attention_rules {
  const char *one, *several, *mask;
} ATTENTION_RULES[] = {
    {AROUND "layer:attention -> epsilon(1e-4)",
     AROUND "softmax -> epsilon(1e-4); bilinear -> epsilon(1e-4)", "op:Add -> epsilon(1e-4); "},
    {AROUND "layer:attention freeze=probs -> epsilon(1e-4)",
     AROUND "softmax -> pass; bilinear freeze=a -> epsilon(1e-4)", ""},
    {AROUND "layer:attention -> norm(1e-3)", AROUND "softmax -> norm(1e-3); bilinear -> norm(1e-3)",
     "op:Add -> norm(1e-3); "}};
enum { N_ATTENTION_RULES = sizeof ATTENTION_RULES / sizeof ATTENTION_RULES[0] };

static void open_attention(net *one, net *several, const char *name)
{
  char path[256];
  snprintf(path, sizeof path, "models/text/attention_%s.onnx", name);
  open_net(one, path, "models/text/sentence.npy", NULL);
  snprintf(path, sizeof path, "models/text/nodes_%s.onnx", name);
  open_net(several, path, "models/text/sentence.npy", NULL);
}

/* The operator shares relevance between its scores and a mask of real numbers by its rule;
 * written out, the sum with the mask is a layer of its own. */
START_TEST(the_attention_operator_is_its_nodes)
{
  const char *name = ATTENTION[_i % N_ATTENTION];
  const struct attention_rules *rules = &ATTENTION_RULES[_i / N_ATTENTION];
  char text[1024];
  lrp_node_view v;
  net one, several;
  open_attention(&one, &several, name);
  ck_assert_ptr_nonnull(node_of(&one, "attention", &v));
  ck_assert_ptr_null(node_of(&several, "attention", &v));
  ck_assert_double_le(distance(lrp_graph_output(one.graph, 0), lrp_graph_output(several.graph, 0)),
                      1e-5);
  snprintf(text, sizeof text, "%s%s", strcmp(name, "grouped") ? "" : rules->mask, rules->several);
  explain(&one, rules->one);
  explain(&several, text);
  const double d = distance(&one.r->tensor[0], &several.r->tensor[0]);
  ck_assert_msg(d <= 1e-5, "%s under %s: relevance differs by %g", name, rules->one, d);
  close_net(&one);
  close_net(&several);
}
END_TEST

START_TEST(the_gradient_of_attention_is_that_of_its_nodes)
{
  net pair[2];
  open_attention(&pair[0], &pair[1], ATTENTION[_i]);
  for (int k = 0; k < 2; k++) {
    lrp_target target[2] = {{.plus = 1, .minus = -1}, {.plus = 2, .minus = -1}};
    lrp_ck_ok(pair[k].ctx,
              lrp_graph_explain(pair[k].ctx, pair[k].graph, pair[k].input, target, LRP_SEED_ONE,
                                LRP_METHOD_GRADIENT, 0, NULL, &pair[k].r));
  }
  ck_assert_double_le(distance(&pair[0].r->tensor[0], &pair[1].r->tensor[0]), 1e-5);
  close_net(&pair[0]);
  close_net(&pair[1]);
}
END_TEST

START_TEST(the_rule_gradient_is_the_method_gradient)
{
  net pair[2];
  open_attention(&pair[0], &pair[1], ATTENTION[_i]);
  explain(&pair[0], "* -> gradient");
  for (int k = 0; k < 2; k++) {
    lrp_target target[2] = {{.plus = 1, .minus = -1}, {.plus = 2, .minus = -1}};
    lrp_ck_ok(pair[k].ctx,
              lrp_graph_explain(pair[k].ctx, pair[k].graph, pair[k].input, target, LRP_SEED_ONE,
                                k ? LRP_METHOD_GRADIENT : LRP_METHOD_LRP, 0, NULL, &pair[k].r));
  }
  ck_assert_double_le(distance(&pair[0].r->tensor[0], &pair[1].r->tensor[0]), 1e-5);
  close_net(&pair[0]);
  close_net(&pair[1]);
}
END_TEST

START_TEST(frozen_probabilities_send_nothing_to_queries)
{
  net t;
  open_net(&t, "models/text/attention_split.onnx", "models/text/sentence.npy", NULL);
  explain(&t, "layer:attention freeze=probs -> epsilon(1e-12); include attnlrp");
  const int64_t batch = lrp_graph_n_batch(t.graph);
  int stopped = 0;
  for (int64_t i = 0; i < lrp_graph_n_node(t.graph); i++) {
    const lrp_node_view v = lrp_graph_node(t.graph, i);
    if (!strcmp(v.op, "MatMul")) /* q, k, v and the last one */
      stopped += fabs(t.r->ledger[i * batch].r_out) < 1e-12;
  }
  ck_assert_int_eq(stopped, 2);
  ck_assert_double_eq_tol(t.r->sum[0], t.r->value[0], 1e-4 * fabs(t.r->value[0]));
  close_net(&t);
}
END_TEST

START_TEST(a_row_that_is_masked_as_a_whole_gives_zero)
{
  trial t;
  trial_begin(
      &t, (layer_sample){"attention", "scale=1", {"1,1,2,2", "1,1,2,2", "1,1,2,2", "2,2"}, {NULL}});
  static const double mask[] = {0, 0, -HUGE_VAL, -HUGE_VAL};
  trial_put(&t.in[3], mask);
  const lrp_call call = trial_again(&t);
  ck_assert_double_gt(fabs((double)lrp_reals(&call.out[0])[0]), 0);
  for (int i = 2; i < 4; i++)
    ck_assert(lrp_reals(&call.out[0])[i] == 0);
  trial_free(&t);
}
END_TEST

START_TEST(attention_refuses_what_does_not_fit)
{
  static const struct {
    layer_sample sample;
    const char *text;
  } BAD[] = {{{"attention", NULL, {"2,4,6", "2,4,6", "2,4,6"}, {NULL}}, "q has no axis of heads"},
             {{"attention", "q_heads=4, kv_heads=4", {"2,4,6", "2,4,6", "2,4,6"}, {NULL}},
              "divides its width"},
             {{"attention", NULL, {"2,3,4,5", "2,2,4,5", "2,2,4,5"}, {NULL}}, "divide those of q"},
             {{"attention", NULL, {"2,3,4,5", "2,3,4,6", "2,3,4,5"}, {NULL}}, "widths of q and k"},
             {{"attention", NULL, {"2,3,4,5", "2,3,4,5", "2,3,6,5"}, {NULL}}, "k has 4 rows, v 6"},
             {{"attention", NULL, {"2,3,4,5", "2,3,4,5", "2,3,4,5", "4,3"}, {NULL}},
              "mask must broadcast"}};
  for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
    const char *text = trial_refusal(BAD[i].sample, LRP_E_SHAPE);
    ck_assert_msg(strstr(text, BAD[i].text) != NULL, "no \"%s\" in \"%s\"", BAD[i].text, text);
  }
  const char *text = trial_refusal(
      (layer_sample){
          "attention", NULL, {"1,1,2,2", "1,1,2,2", "1,1,2,2", "2,2", "1,1,1,2"}, {NULL}},
      LRP_E_UNSUPPORTED);
  ck_assert_ptr_nonnull(strstr(text, "past_key is not supported"));
}
END_TEST

/* ---- normalisation, positions ---- */

START_TEST(layernorm_is_its_formula)
{
  trial t;
  trial_begin(&t, (layer_sample){"layernorm", "epsilon=0", {"2,2"}, {"2", "2"}});
  trial_put(&t.in[0], (const double[]){1, 3, -4, 6});
  trial_put(&t.param[0], (const double[]){2, 10});
  trial_put(&t.param[1], (const double[]){0.5, 0});
  const lrp_call call = trial_again(&t);
  static const double want[] = {-1.5, 10, -1.5, 10}, std[] = {1, 0.2}, mean[] = {2, 1};
  ck_reals(&call.out[0], want, 1e-5);
  ck_reals(&call.saved[0], std, 1e-6);
  ck_reals(&call.saved[1], mean, 1e-6);
  trial_free(&t);
}
END_TEST

START_TEST(rmsnorm_is_its_formula)
{
  trial t;
  trial_begin(&t, (layer_sample){"rmsnorm", "epsilon=0", {"1,2"}, {"2"}});
  trial_put(&t.in[0], (const double[]){1, 7}); /* mean square 25 */
  trial_put(&t.param[0], (const double[]){5, 10});
  const lrp_call call = trial_again(&t);
  static const double want[] = {1, 14};
  ck_reals(&call.out[0], want, 1e-5);
  trial_free(&t);
}
END_TEST

START_TEST(turning_back_undoes_a_rotation)
{
  lrp_tensor bar[TRIAL_MAX];
  trial t;
  trial_begin(&t, (layer_sample){"rotary",
                                 _i ? "interleaved=on, heads=2" : "heads=2",
                                 {"2,3,8", "5,2", "5,2", "2,3"},
                                 {NULL}});
  for (int i = 0; i < 10; i++) {
    lrp_reals(&t.in[1])[i] = (lrp_real)cos(0.3 * i);
    lrp_reals(&t.in[2])[i] = (lrp_real)sin(0.3 * i);
  }
  for (int i = 0; i < 6; i++)
    lrp_indices(&t.in[3])[i] = i % 5;
  const lrp_call call = trial_again(&t);
  ck_assert_double_gt(distance(&call.out[0], &t.in[0]), 0.1);
  lrp_ck_ok(t.ctx,
            trial_vjp(&t, &call, call.out, bar)); /* the transposed of a rotation is its inverse */
  ck_assert_double_le(distance(&bar[0], &t.in[0]), 1e-6);
  lrp_indices(&t.in[3])[0] = 5;
  lrp_call out;
  lrp_ck_fails(t.ctx, LRP_E_INPUT, "position 5 is outside",
               trial_forward(&t, NULL, NULL, 0, NULL, &out));
  trial_free(&t);
}
END_TEST

START_TEST(relevance_through_a_frozen_norm_is_conserved_without_bias)
{
  static const char *const NORM[] = {"layernorm", "rmsnorm", "lrn"};
  lrp_tensor r_in;
  lrp_value args[16];
  trial t;
  trial_begin(&t, (layer_sample){NORM[_i], NULL, {"3,6"}, {NULL}});
  const lrp_rule *rule = lrp_find_rule(t.ctx, "epsilon");
  lrp_ck_ok(t.ctx, lrp_args_default(t.ctx, "epsilon", rule->args, args));
  args[0].real = 1e-9;
  lrp_call call = t.call;
  call.freeze = 1;
  r_in = trial_zeros(&t, &t.in[0]);
  const lrp_site site = {.struct_size = sizeof site,
                         .degree = t.type->degree(t.inst, 1),
                         .type = t.type,
                         .inst = t.inst,
                         .call = &call,
                         .r_out = t.out,
                         .r_in = &r_in};
  ck_assert_uint_eq(site.degree, 1);
  lrp_ck_ok(t.ctx, t.h->relprop(t.ctx, rule, args, &site));
  double in = 0, out = 0;
  for (int i = 0; i < 18; i++) {
    in += (double)lrp_reals(&r_in)[i];
    out += (double)lrp_reals(&t.out[0])[i];
  }
  ck_assert_double_eq_tol(in, out, 1e-4);
  trial_free(&t);
}
END_TEST

/* ---- forms ---- */

static const struct form_case {
  const char *name, *layer;
  int n;
} FORMS[] = {{"gelu", "gelu", 6},           {"gelu_tanh", "gelu", 5},        {"silu", "silu", 2},
             {"silu_alpha", "silu", 1},     {"hard_swish", "hard_swish", 3}, {"mish", "mish", 1},
             {"layernorm", "layernorm", 3}, {"rmsnorm", "rmsnorm", 3}};
enum { N_FORM = sizeof FORMS / sizeof FORMS[0] };
#define FORM_RULES                                                                                 \
  "layer:layernorm freeze=std -> epsilon(1e-4); layer:rmsnorm freeze=std -> epsilon(1e-4); "       \
  "linear -> epsilon(1e-4); "                                                                      \
  "elementwise -> pass; pool_sum -> epsilon(1e-4)"

START_TEST(forms_of_several_nodes_become_the_layer)
{
  const struct form_case *f = &FORMS[_i];
  char path[256];
  net one;
  lrp_node_view v, w;
  snprintf(path, sizeof path, "models/text/one_%s.onnx", f->name);
  open_net(&one, path, "models/text/tokens.npy", NULL);
  explain(&one, FORM_RULES);
  ck_assert_ptr_nonnull(node_of(&one, f->layer, &w));
  for (int k = 0; k < f->n; k++) {
    net fused, apart;
    snprintf(path, sizeof path, "models/text/form_%s_%d.onnx", f->name, k);
    open_net(&fused, path, "models/text/tokens.npy", NULL);
    open_net(&apart, path, "models/text/tokens.npy", "none");
    ck_assert_msg(node_of(&fused, f->layer, &v) != NULL, "%s has no %s", path, f->layer);
    ck_assert_str_eq(v.op, w.op);
    ck_assert_ptr_nonnull(strstr(v.note, "fused "));
    ck_assert_int_eq(lrp_graph_n_node(fused.graph), lrp_graph_n_node(one.graph));
    ck_assert_int_gt(lrp_graph_n_node(apart.graph), lrp_graph_n_node(fused.graph));
    const double y = distance(lrp_graph_output(fused.graph, 0), lrp_graph_output(apart.graph, 0));
    ck_assert_msg(y <= 1e-5, "%s: fusing changes the outputs by %g", path, y);
    explain(&fused, FORM_RULES);
    const double r = distance(&fused.r->tensor[0], &one.r->tensor[0]);
    ck_assert_msg(r <= 1e-5, "%s: relevance differs by %g from that of the operator", path, r);
    close_net(&fused);
    close_net(&apart);
  }
  close_net(&one);
}
END_TEST

static const char *const NOT_A_FORM[] = {"shared", "other_constant", "other_tensor", "other_axis",
                                         "other_axes"};

START_TEST(what_only_looks_like_a_form_stays)
{
  char path[256];
  net t, apart;
  snprintf(path, sizeof path, "models/text/not_%s.onnx", NOT_A_FORM[_i]);
  open_net(&t, path, "models/text/tokens.npy", "fuse");
  open_net(&apart, path, "models/text/tokens.npy", "none");
  for (int64_t i = 0; i < lrp_graph_n_node(t.graph); i++)
    ck_assert_str_eq(lrp_graph_node(t.graph, i).note, "");
  ck_assert_int_eq(lrp_graph_n_node(t.graph), lrp_graph_n_node(apart.graph));
  ck_assert_double_le(distance(lrp_graph_output(t.graph, 0), lrp_graph_output(apart.graph, 0)),
                      1e-9);
  close_net(&t);
  close_net(&apart);
}
END_TEST

START_TEST(forms_are_judged_when_a_plugin_is_registered)
{
  static const struct {
    const char *form, *fault;
  } BAD[] = {{"", "no port"},
             {"x", "does not start with an operator"},
             {"Mul(x", "a \")\" is missing"},
             {"Mul{x, Sigmoid(x)", "a \"}\" is missing"},
             {"Mul{x, x, x}", "braces hold two terms"},
             {"Mul(x, y)", "no port of the layer"},
             {"Mul(x, Sigmoid())", "no port of the layer"},
             {"Mul(x, 1) x", "text behind its end"},
             {"Exp(1)", "does not name every port"},
             {"Op(x,x,x,x,x)", "more than 4 terms"}};
  char deep[256] = "";
  const lrp_layer_type *silu = lrp_find_layer(trial_ctx, "silu");
  for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
    const char *fault = lrp_pattern_fault(silu, &(lrp_pattern){.form = BAD[i].form});
    ck_assert_msg(fault && strstr(fault, BAD[i].fault), "\"%s\": %s", BAD[i].form,
                  fault ? fault : "accepted");
  }
  for (int i = 0; i < 60; i++)
    strcat(deep, "A(");
  ck_assert_ptr_nonnull(strstr(lrp_pattern_fault(silu, &(lrp_pattern){.form = deep}), "too deep"));
  ck_assert_ptr_null(lrp_pattern_fault(silu, &(lrp_pattern){.form = " Mul{ x , Sigmoid( x ) } "}));
}
END_TEST

Suite *suite_transformer(void);
Suite *suite_transformer(void)
{
  Suite *s = suite_create("transformer");
  TCase *t = tcase_create("nets");
  tcase_add_loop_test(t, a_transformer_block_is_explained_as_by_lxt, 0,
                      sizeof GOLDEN / sizeof GOLDEN[0]);
  tcase_add_test(t, its_outputs_are_those_of_torch);
  tcase_add_test(t, gamma_in_linear_layers_changes_the_explanation_only);
  tcase_add_loop_test(t, the_attention_operator_is_its_nodes, 0, N_ATTENTION * N_ATTENTION_RULES);
  tcase_add_loop_test(t, the_gradient_of_attention_is_that_of_its_nodes, 0, N_ATTENTION);
  tcase_add_loop_test(t, the_rule_gradient_is_the_method_gradient, 0, N_ATTENTION);
  tcase_add_test(t, frozen_probabilities_send_nothing_to_queries);
  tcase_add_loop_test(t, forms_of_several_nodes_become_the_layer, 0, N_FORM);
  tcase_add_loop_test(t, what_only_looks_like_a_form_stays, 0,
                      sizeof NOT_A_FORM / sizeof NOT_A_FORM[0]);
  suite_add_tcase(s, t);
  t = tcase_create("layers");
  tcase_add_checked_fixture(t, trial_setup, trial_teardown);
  tcase_add_test(t, a_row_that_is_masked_as_a_whole_gives_zero);
  tcase_add_test(t, attention_refuses_what_does_not_fit);
  tcase_add_test(t, layernorm_is_its_formula);
  tcase_add_test(t, rmsnorm_is_its_formula);
  tcase_add_loop_test(t, turning_back_undoes_a_rotation, 0, 2);
  tcase_add_loop_test(t, relevance_through_a_frozen_norm_is_conserved_without_bias, 0, 3);
  tcase_add_test(t, forms_are_judged_when_a_plugin_is_registered);
  suite_add_tcase(s, t);
  return s;
}
