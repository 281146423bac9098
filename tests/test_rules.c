/* test_rules.c - what the shipped rules and presets do where their papers and peers differ: at z =
 * 0, without contributions of one sign, at ties; arguments they refuse; presets that open.  Numbers
 * are those of zennit 1.0.0. */
#include "test.h"
#include <dirent.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 8 };
static lrp_ctx *ctx;

static void set_up(void)
{
  ck_assert_int_eq(lrp_ctx_new(&ctx), LRP_OK);
  lrp_ck_ok(ctx, lrp_plugins_open(ctx));
}

static void tear_down(void)
{
  lrp_ctx_free(ctx);
}

/* One evaluation of a layer with constant parameters, and a rule on it. */
typedef struct probe {
  const char *layer, *layer_args;
  lrp_tensor x, w, b; /* w, b with data NULL: none */
  lrp_real r[MOST];   /* relevance above */
  lrp_real below[MOST];
  lrp_tensor x2; /* a second input; data NULL: none */
  lrp_real below2[MOST];
} probe;

static lrp_tensor vector(lrp_real *v, int64_t n)
{
  return (lrp_tensor){.data = v, .rank = 2, .shape = {1, n}};
}

/* The rule at the evaluated layer. */
static lrp_status share(probe *p, const char *name, const char *args, const lrp_layer_type *type,
                        const void *inst, const lrp_call *call)
{
  const lrp_rule *rule = lrp_find_rule(ctx, name);
  lrp_value rule_args[16];
  ck_assert_msg(rule != NULL, "%s", lrp_message(ctx));
  lrp_ck_ok(ctx, lrp_args_parse(ctx, name, rule->args, args, rule_args));
  if (rule->check) lrp_ck_ok(ctx, rule->check(lrp_host_table(), ctx, rule_args));
  lrp_tensor r_out = call->out[0], r_in[2] = {p->x, p->x2};
  r_out.data = p->r;
  r_in[0].data = memset(p->below, 0, sizeof p->below);
  r_in[1].data = memset(p->below2, 0, sizeof p->below2);
  r_in[0].flags = r_in[1].flags = 0;
  const lrp_site site = {.struct_size = sizeof site,
                         .degree = 1,
                         .type = type,
                         .inst = inst,
                         .call = call,
                         .r_out = &r_out,
                         .r_in = r_in};
  return lrp_host_table()->relprop(ctx, rule, rule_args, &site);
}

static lrp_status rule_on(probe *p, const char *name, const char *args)
{
  const lrp_host *h = lrp_host_table();
  const lrp_layer_type *type = lrp_find_layer(ctx, p->layer);
  ck_assert_ptr_nonnull(type);
  lrp_value layer_args[16];
  void *inst = NULL;
  lrp_tensor in[2] = {p->x, p->x2}, param[2] = {p->w, p->b}, out[2] = {{0}}, saved[4] = {{0}};
  lrp_real y[MOST] = {0};
  int64_t kept[MOST] = {0};
  lrp_ck_ok(ctx, lrp_args_parse(ctx, p->layer, type->args, p->layer_args, layer_args));
  if (type->create) lrp_ck_ok(ctx, type->create(h, ctx, layer_args, &inst));
  lrp_call call = {.struct_size = sizeof call,
                   .n_in = p->x2.data ? 2 : 1,
                   .n_param = p->w.data ? 2 : 0,
                   .n_out = 1,
                   .n_saved = type->n_saved,
                   .in = in,
                   .param = param,
                   .out = out,
                   .saved = saved};
  lrp_ck_ok(ctx, type->infer(h, ctx, inst, &call));
  ck_assert_int_le(lrp_count(&out[0]), MOST);
  out[0].data = y;
  saved[0].data = type->n_saved ? kept : NULL;
  lrp_ck_ok(ctx, type->forward(h, ctx, inst, &call));
  const lrp_status st = share(p, name, args, type, inst, &call);
  if (type->destroy) type->destroy(inst);
  return st;
}

static void gives(probe *p, const char *name, const char *args, int n, const double *want)
{
  lrp_ck_ok(ctx, rule_on(p, name, args));
  for (int i = 0; i < n; i++) {
    const double got = (double)p->below[i];
    ck_assert_msg(fabs(got - want[i]) <= 1e-5 * (fabs(want[i]) + 0.01),
                  "%s(%s): element %d is %.9g, not %.9g", name, args, i, got, want[i]);
  }
}

/* x = (1,1), W = (1,-1): the two contributions cancel, z = 0. */
static const struct {
  const char *rule, *args;
  double below[2];
} at_zero[] = {{"epsilon", "epsilon=1e-6", {1e6, -1e6}},
               {"epsilon", "epsilon=0.5, stabilizer=clip", {2, -2}},
               {"gamma", "gamma=0.25", {0, 0}},
               {"zplus", "", {1, 0}},
               {"alphabeta", "alpha=2, beta=1", {2, -1}},
               {"captum:gamma", "gamma=0.25", {5, -4}},
               {"captum:alpha1beta0", "", {1, 0}},
               {"zennit:gamma", "", {0, 0}},
               {"innvestigate:z", "", {1e7, -1e7}},
               {"innvestigate:alphabeta", "", {2, -1}},
               {"innvestigate:zplus", "", {1, 0}},
               {"innvestigate:bounded", "low=0, high=2", {0.5, 0.5}},
               {"innvestigate:wsquare", "", {0.5, 0.5}},
               {"toolbox:epsilon", "epsilon=0.5", {2, -2}},
               {"toolbox:alphabeta", "alpha=2", {2, -1}},
               {"toolbox:flat", "", {0.5, 0.5}},
               {"lxt:epsilon", "epsilon=0.5", {2, -2}},
               {"flat", "", {0.5, 0.5}},
               {"wsquare", "", {0.5, 0.5}},
               {"zbox", "low=0, high=2", {0.5, 0.5}}};

START_TEST(cancelling_contributions)
{
  lrp_real x[] = {1, 1}, w[] = {1, -1};
  probe p = {
      .layer = "dense", .layer_args = "trans=on", .x = vector(x, 2), .w = vector(w, 2), .r = {1}};
  gives(&p, at_zero[_i].rule, at_zero[_i].args, 2, at_zero[_i].below);
}
END_TEST

START_TEST(without_lowering_contributions_beta_has_nobody_to_take_from)
{
  lrp_real x[] = {1, 3}, w[] = {1, 1};
  probe p = {
      .layer = "dense", .layer_args = "trans=on", .x = vector(x, 2), .w = vector(w, 2), .r = {1}};
  gives(&p, "alphabeta", "alpha=2, beta=1", 2, (double[]){0.5, 1.5});
  gives(&p, "zplus", "", 2, (double[]){0.25, 0.75});
}
END_TEST

/* x W = 3 + 2 - 4, b = 1: z = 2. */
static const struct {
  const char *rule, *args;
  double below[3];
} biased[] = {{"epsilon", "epsilon=0", {1.5, 1, -2}},
              {"epsilon", "epsilon=0, bias=off", {3, 2, -4}},
              {"zplus", "epsilon=0", {0.5, 1. / 3, 0}},
              {"zplus", "epsilon=0, bias=off", {0.6, 0.4, 0}},
              {"gamma", "gamma=1, epsilon=0", {6. / 8, 4. / 8, -4. / 8}},
              {"gamma", "gamma=1, epsilon=0, bias=off", {6. / 6, 4. / 6, -4. / 6}},
              {"captum:gamma", "gamma=1", {6. / 7, 4. / 7, -4. / 7}},
              {"captum:alpha1beta0", "", {0.5, 1. / 3, 0}},
              {"captum:alpha1beta0", "bias=off", {0.6, 0.4, 0}},
              {"captum:gamma", "gamma=1, bias=off", {6. / 6, 4. / 6, -4. / 6}},
              {"innvestigate:z", "bias=off", {3, 2, -4}},
              {"innvestigate:alphabeta", "", {1, 2. / 3, 4. / 3 * -1}},
              {"innvestigate:alphabeta", "bias=off", {1.2, 0.8, -1}},
              {"innvestigate:alphabetax", "alpha0=1, beta0=1, beta1=0", {0.5, 1. / 3, -1}},
              {"innvestigate:wsquare", "", {9. / 26, 1. / 26, 16. / 26}},
              {"toolbox:simple", "", {1.5, 1, -2}},
              {"toolbox:alphabeta", "", {1, 2. / 3, -1}},
              {"toolbox:wsquare", "", {9. / 26, 1. / 26, 16. / 26}},
              {"lxt:epsilon", "epsilon=0", {1.5, 1, -2}},
              {"wsquare", "epsilon=0", {9. / 27, 1. / 27, 16. / 27}},
              {"wsquare", "epsilon=0, bias=off", {9. / 26, 1. / 26, 16. / 26}}};

START_TEST(the_bias_takes_its_share_unless_it_is_off)
{
  lrp_real x[] = {1, 2, 1}, w[] = {3, 1, -4}, b[] = {1};
  probe p = {.layer = "dense",
             .layer_args = "trans=on",
             .x = vector(x, 3),
             .w = vector(w, 3),
             .b = {.data = b, .rank = 1, .shape = {1}},
             .r = {1}};
  gives(&p, biased[_i].rule, biased[_i].args, 3, biased[_i].below);
}
END_TEST

START_TEST(zero_over_zero_is_zero_where_epsilon_is_zero)
{
  lrp_real x[] = {0, 0}, w[] = {1, 2};
  probe p = {
      .layer = "dense", .layer_args = "trans=on", .x = vector(x, 2), .w = vector(w, 2), .r = {0}};
  gives(&p, "epsilon", "epsilon=0", 2, (double[]){0, 0});
}
END_TEST

START_TEST(rules_for_activations_look_at_input_and_relevance)
{
  lrp_real x[] = {-1, 2, 3, 0};
  probe p = {.layer = "relu", .layer_args = "", .x = vector(x, 4), .r = {4, -5, 6, 7}};
  gives(&p, "pass", "", 4, (double[]){4, -5, 6, 7});
  gives(&p, "gradient", "", 4, (double[]){0, -5, 6, 0});
  gives(&p, "deconvnet", "", 4, (double[]){4, 0, 6, 7});
  gives(&p, "guided_backprop", "", 4, (double[]){0, 0, 6, 0});
  gives(&p, "beta_smooth", "beta=1", 4,
        (double[]){4 / (1 + exp(1)), -5 / (1 + exp(-2)), 6 / (1 + exp(-3)), 3.5});
}
END_TEST

START_TEST(of_equal_inputs_the_first_wins)
{
  lrp_real x[] = {1, 3, 3, 2};
  probe p = {.layer = "globalmaxpool",
             .layer_args = "",
             .x = {.data = x, .rank = 3, .shape = {1, 4, 1}},
             .r = {5}};
  gives(&p, "winner", "", 4, (double[]){0, 5, 0, 0});
}
END_TEST

/* Windows of two of x = (1,3,3,2), one step apart, with relevance 1, 2 and 4. */
static const struct {
  const char *rule, *args;
  double below[4];
} on_windows[] = {{"winner", "", {0, 3, 4, 0}},
                  {"winner_ties", "", {0, 2, 5, 0}},
                  {"winner_softmax", "beta=0.693147181", {0.2, 1.8, 11.0 / 3, 4.0 / 3}},
                  {"winner_softmax", "beta=0", {0.5, 1.5, 3, 2}},
                  {"winner_softmax", "beta=1e6", {0, 2, 5, 0}},
                  {"winner_average", "epsilon=0", {0.25, 1.75, 3.4, 1.6}},
                  {"winner_average", "epsilon=0.5", {0.2, 0.6 + 6.0 / 7, 6.0 / 7 + 2, 4.0 / 3}}};

START_TEST(what_a_window_gives_to_those_that_did_not_win)
{
  lrp_real x[] = {1, 3, 3, 2};
  probe p = {.layer = "maxpool",
             .layer_args = "kernel=2",
             .x = {.data = x, .rank = 3, .shape = {1, 4, 1}},
             .r = {1, 2, 4}};
  gives(&p, on_windows[_i].rule, on_windows[_i].args, 4, on_windows[_i].below);
}
END_TEST

/* Padding is not chosen from; channels and samples keep apart. */
START_TEST(windows_see_their_own_channel_inside_the_picture)
{
  lrp_real x[] = {-1, 5, -1, 7, -3, 7}; /* three places of two channels */
  probe p = {.layer = "maxpool",
             .layer_args = "kernel=2, stride=2, pad=1/0",
             .x = {.data = x, .rank = 3, .shape = {1, 3, 2}},
             .r = {1, 2, 4, 8}};
  gives(&p, "winner_ties", "", 6, (double[]){1, 2, 4, 4, 0, 4});
}
END_TEST

static const struct {
  const char *layer, *args;
} choosers[] = {{"globalmaxpool", ""}, {"reduce_max", "axes=1"}};

START_TEST(every_maximum_over_places_tells_its_windows)
{
  lrp_real x[] = {1, -4, 3, 0, 3, 2, 2, 2};
  probe p = {.layer = choosers[_i].layer,
             .layer_args = choosers[_i].args,
             .x = {.data = x, .rank = 3, .shape = {1, 4, 2}},
             .r = {6, 8}};
  gives(&p, "winner_ties", "", 8, (double[]){0, 0, 3, 0, 3, 4, 0, 4});
}
END_TEST

START_TEST(a_minimum_of_branches_shares_among_the_smallest)
{
  lrp_real x[] = {1, 5, 2}, x2[] = {2};
  probe p = {
      .layer = "min", .layer_args = "", .x = vector(x, 3), .x2 = vector(x2, 1), .r = {1, 2, 4}};
  gives(&p, "winner_ties", "", 3, (double[]){1, 0, 2});
  ck_assert_double_eq_tol((double)p.below2[0], 4, 1e-6); /* one element behind all three */
  gives(&p, "winner_softmax", "beta=0.693147181", 3, (double[]){2.0 / 3, 2.0 / 9, 2});
}
END_TEST

/* x = (1,3) and x2 = (3,-3) add up to (4,0), which has relevance 2 and 4. */
static const struct {
  const char *layer, *rule, *args;
  double below[2], below2[2];
} on_sums[] = {{"add", "equal", "", {1, 2}, {1, 2}},
               {"sub", "equal", "", {1, 2}, {1, 2}},
               {"add", "fixed", "p=0.25/0.75", {0.5, 1}, {1.5, 3}},
               {"sub", "fixed", "p=0.25/0.75", {0.5, 1}, {1.5, 3}},
               {"add", "fixed", "p=1/0", {2, 4}, {0, 0}},
               {"add", "fixed", "p=0/1", {0, 0}, {2, 4}},
               {"add", "fixed", "p=1.5/-0.5", {3, 6}, {-1, -2}},
               {"add", "ratio", "", {0.5, 2}, {1.5, 2}},
               {"sub", "ratio", "", {0.5, 2}, {1.5, 2}}};

START_TEST(branches_share_equally_as_given_or_by_magnitude)
{
  lrp_real x[] = {1, 3}, x2[] = {3, -3};
  probe p = {.layer = on_sums[_i].layer,
             .layer_args = "",
             .x = vector(x, 2),
             .x2 = vector(x2, 2),
             .r = {2, 4}};
  gives(&p, on_sums[_i].rule, on_sums[_i].args, 2, on_sums[_i].below);
  for (int i = 0; i < 2; i++)
    ck_assert_double_eq_tol((double)p.below2[i], on_sums[_i].below2[i], 1e-6);
}
END_TEST

/* A branch that is broadcast gets its share of each place. */
START_TEST(a_broadcast_branch_gets_its_shares_summed)
{
  lrp_real x[] = {1, 3, 0}, x2[] = {5};
  probe p = {
      .layer = "add", .layer_args = "", .x = vector(x, 3), .x2 = vector(x2, 1), .r = {2, 4, 6}};
  gives(&p, "equal", "", 3, (double[]){1, 2, 3});
  ck_assert_double_eq_tol((double)p.below2[0], 6, 1e-6);
  gives(&p, "fixed", "p=0.75/0.25", 3, (double[]){1.5, 3, 4.5});
  ck_assert_double_eq_tol((double)p.below2[0], 3, 1e-6);
}
END_TEST

START_TEST(fixed_needs_a_share_for_each_branch)
{
  lrp_real x[] = {1, 3}, x2[] = {3, -3};
  probe p = {.layer = "add", .layer_args = "", .x = vector(x, 2), .x2 = vector(x2, 2), .r = {2, 4}};
  lrp_ck_fails(ctx, LRP_E_ARG, "p has 3 shares, layer \"add\" sums 2 branches",
               rule_on(&p, "fixed", "p=0.2/0.3/0.5"));
}
END_TEST

/* Two samples of four. */
static const struct {
  const char *fraction;
  double kept[8];
} cuts[] = {{"1", {5, 1, 4, -2, -1, -1, -1, -8}},
            {"0.5", {5, 0, 4, 0, -1, -1, 0, 0}}, /* of equal ones the first */
            {"0.99", {5, 1, 4, 0, -1, -1, -1, 0}},
            {"0.01", {5, 0, 0, 0, -1, 0, 0, 0}}}; /* at least one */

START_TEST(top_k_keeps_the_largest_of_each_sample)
{
  lrp_real r[] = {5, 1, 4, -2, -1, -1, -1, -8};
  lrp_tensor t = {.data = r, .rank = 3, .shape = {2, 2, 2}};
  const lrp_rule *rule = lrp_find_rule(ctx, "top_k");
  lrp_value v[4];
  ck_assert_ptr_nonnull(rule);
  lrp_ck_ok(ctx, lrp_args_parse(ctx, "top_k", rule->args, cuts[_i].fraction, v));
  lrp_ck_ok(ctx, rule->filter(lrp_host_table(), ctx, v, 2, &t));
  for (int i = 0; i < 8; i++)
    ck_assert_double_eq_tol((double)r[i], cuts[_i].kept[i], 1e-9);
}
END_TEST

START_TEST(pass_needs_as_many_outputs_as_inputs)
{
  lrp_real x[] = {1, 1}, w[] = {1, -1};
  probe p = {
      .layer = "dense", .layer_args = "trans=on", .x = vector(x, 2), .w = vector(w, 2), .r = {1}};
  lrp_ck_fails(ctx, LRP_E_UNSUPPORTED, "pass: layer \"dense\" has 2 elements",
               rule_on(&p, "pass", ""));
}
END_TEST

static const struct {
  const char *rule, *args, *text;
} refused[] = {{"alphabeta", "alpha=2, beta=2", "alpha - beta is 0, 1 was expected"},
               {"alphabeta", "beta=-1", "beta"},
               {"innvestigate:alphabeta", "alpha=2, beta=2", "alpha - beta is 0, 1 was expected"},
               {"innvestigate:bounded", "low=1", "high"},
               {"toolbox:epsilon", "epsilon=-1", "epsilon"},
               {"epsilon", "epsilon=-1", "epsilon"},
               {"epsilon", "stabilizer=none", "add"},
               {"gamma", "gamma=-0.1", "gamma"},
               {"zbox", "low=1, high=-1", "low=1 is above high=-1"},
               {"zbox", "low=0/0/0, high=1/1", "low has 3 values, high 2"},
               {"zbox", "low=0", "high"},
               {"fixed", "p=0.3/0.3", "add up to 0.6"},
               {"top_k", "fraction=0", "fraction"},
               {"top_k", "fraction=1.5", "fraction"},
               {"winner_softmax", "beta=-1", "beta"},
               {"beta_smooth", "beta=0", "beta"},
               {"zplus", "gamma=1", "gamma"}};

START_TEST(bad_arguments_are_refused_with_a_sentence)
{
  const lrp_rule *rule = lrp_find_rule(ctx, refused[_i].rule);
  lrp_value v[16];
  ck_assert_ptr_nonnull(rule);
  lrp_status st = lrp_args_parse(ctx, rule->name, rule->args, refused[_i].args, v);
  if (!st && rule->check) st = rule->check(lrp_host_table(), ctx, v);
  ck_assert_msg(st == LRP_E_ARG, "%s(%s) is taken", rule->name, refused[_i].args);
  ck_assert_msg(strstr(lrp_message(ctx), refused[_i].text) != NULL, "no \"%s\" in \"%s\"",
                refused[_i].text, lrp_message(ctx));
}
END_TEST

/* The word "model", the bounds that a model's folder gives, stands for numbers here. */
static void open_preset(const char *folder, const char *file)
{
  char path[4400], text[4096], *model;
  lrp_composite *c = NULL;
  snprintf(path, sizeof path, "%s/%s", folder, file);
  FILE *f = fopen(path, "r");
  ck_assert_msg(f != NULL, "%s", path);
  const size_t n = fread(text, 1, sizeof text - 1, f);
  fclose(f);
  text[n] = 0;
  ck_assert_msg(text[0] == '#', "%s does not open with what it is", file);
  const bool pixels = strstr(text, "=model") != NULL;
  while ((model = strstr(text, "=model")) != NULL)
    memcpy(model, model[-1] == 'w' ? "=-1   " : "=1    ", 6);
  lrp_ck_ok(ctx, lrp_composite_open(ctx, pixels ? text : path, NULL, &c));
  ck_assert_int_ge(lrp_composite_n_line(c), 1);
  lrp_composite_free(c);
}

/* Every preset is there to be opened, in files that say what they are. */
START_TEST(presets_open)
{
  int n = 0;
  const char *dirs = lrp_preset_dirs(ctx);
  ck_assert_msg(*dirs && !strchr(dirs, ':'), "one folder of presets was expected: %s", dirs);
  DIR *d = opendir(dirs);
  ck_assert_msg(d != NULL, "%s", dirs);
  for (struct dirent *e; (e = readdir(d));)
    if (strstr(e->d_name, ".composite")) {
      open_preset(dirs, e->d_name);
      n++;
    }
  closedir(d);
  ck_assert_int_ge(n, 70);
}
END_TEST

START_TEST(a_preset_of_a_dialect_may_be_written_with_a_colon)
{
  lrp_composite *a = NULL, *b = NULL;
  lrp_ck_ok(ctx, lrp_composite_open(ctx, "toolbox:100", NULL, &a));
  lrp_ck_ok(ctx, lrp_composite_open(ctx, "toolbox_100", NULL, &b));
  ck_assert_str_eq(lrp_composite_sha256(a), lrp_composite_sha256(b));
  lrp_composite_free(a);
  lrp_composite_free(b);
}
END_TEST

START_TEST(the_box_of_pixels_needs_a_model_that_tells_it)
{
  lrp_composite *c = NULL;
  lrp_ck_fails(ctx, LRP_E_ARG, "preprocessor_config.json",
               lrp_composite_open(ctx, "epsilon_gamma_box", NULL, &c));
}
END_TEST

/* Each says what it computes and where that comes from. */
START_TEST(every_rule_names_its_source)
{
  for (int64_t i = 0; i < lrp_n_rule(ctx); i++) {
    const lrp_rule *r = lrp_rule_at(ctx, i);
    ck_assert_msg(r->doc && *r->doc && r->cite && *r->cite && r->formula && *r->formula, "%s",
                  r->name);
  }
  ck_assert_int_ge(lrp_n_rule(ctx), 36);
}
END_TEST

#define N_OF(a) (int)(sizeof(a) / sizeof *(a))
Suite *suite_rules(void);
Suite *suite_rules(void)
{
  Suite *s = suite_create("rules");
  TCase *t = tcase_create("rules");
  tcase_add_checked_fixture(t, set_up, tear_down);
  tcase_add_loop_test(t, cancelling_contributions, 0, N_OF(at_zero));
  tcase_add_test(t, without_lowering_contributions_beta_has_nobody_to_take_from);
  tcase_add_loop_test(t, the_bias_takes_its_share_unless_it_is_off, 0, N_OF(biased));
  tcase_add_test(t, zero_over_zero_is_zero_where_epsilon_is_zero);
  tcase_add_test(t, rules_for_activations_look_at_input_and_relevance);
  tcase_add_test(t, of_equal_inputs_the_first_wins);
  tcase_add_loop_test(t, what_a_window_gives_to_those_that_did_not_win, 0, N_OF(on_windows));
  tcase_add_test(t, windows_see_their_own_channel_inside_the_picture);
  tcase_add_loop_test(t, every_maximum_over_places_tells_its_windows, 0, N_OF(choosers));
  tcase_add_test(t, a_minimum_of_branches_shares_among_the_smallest);
  tcase_add_loop_test(t, branches_share_equally_as_given_or_by_magnitude, 0, N_OF(on_sums));
  tcase_add_test(t, a_broadcast_branch_gets_its_shares_summed);
  tcase_add_test(t, fixed_needs_a_share_for_each_branch);
  tcase_add_loop_test(t, top_k_keeps_the_largest_of_each_sample, 0, N_OF(cuts));
  tcase_add_test(t, pass_needs_as_many_outputs_as_inputs);
  tcase_add_loop_test(t, bad_arguments_are_refused_with_a_sentence, 0, N_OF(refused));
  tcase_add_test(t, presets_open);
  tcase_add_test(t, a_preset_of_a_dialect_may_be_written_with_a_colon);
  tcase_add_test(t, the_box_of_pixels_needs_a_model_that_tells_it);
  tcase_add_test(t, every_rule_names_its_source);
  suite_add_tcase(s, t);
  return s;
}
