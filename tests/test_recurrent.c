/* test_recurrent.c - relevance through LSTM, GRU and RNN: against the published rule, by hand,
 * and by conservation.  That vjp is the transposed derivative through time is tested for every
 * layer in test_layers.c. */
#include "layer_trial.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GATES = 1, SHARES = 2 }; /* freeze */

static double sigmoid(double v)
{
  return 1 / (1 + exp(-v));
}

/* ---- relevance of one layer ---- */

typedef struct walk {
  trial t;
  lrp_call call;
  lrp_tensor r_out[TRIAL_MAX], r_in[TRIAL_MAX];
} walk;

/* Relevance r_out through the layer by a rule under a freeze mask; r_in[i] of the live inputs. */
static void back_by(walk *w, const char *name, const double *first, uint32_t freeze)
{
  lrp_value args[16];
  const lrp_rule *rule = lrp_find_rule(w->t.ctx, name);
  ck_assert_ptr_nonnull(rule);
  lrp_ck_ok(w->t.ctx, lrp_args_default(w->t.ctx, name, rule->args, args));
  if (first) args[0].real = *first;
  w->call = w->t.call;
  w->call.freeze = freeze;
  for (uint32_t i = 0; i < w->t.n_in; i++) {
    w->r_in[i] = trial_zeros(&w->t, &w->t.in[i]);
    if (!trial_carries(&w->t, i)) w->r_in[i].data = NULL;
  }
  const lrp_site site = {.struct_size = sizeof site,
                         .type = w->t.type,
                         .inst = w->t.inst,
                         .call = &w->call,
                         .r_out = w->r_out,
                         .r_in = w->r_in};
  lrp_ck_ok(w->t.ctx, w->t.h->relprop(w->t.ctx, rule, args, &site));
}

static void walk_back(walk *w, double epsilon, uint32_t freeze)
{
  back_by(w, "epsilon", &epsilon, freeze);
}

static double total(const lrp_tensor *t)
{
  double sum = 0;
  for (int64_t i = 0, n = lrp_count(t); t->data && i < n; i++)
    sum += (double)lrp_reals(t)[i];
  return sum;
}

static void begin(walk *w, layer_sample s)
{
  memset(w, 0, sizeof *w);
  trial_begin(&w->t, s);
  for (uint32_t k = 0; k < w->t.call.n_out; k++)
    w->r_out[k] = trial_zeros(&w->t, &w->t.out[k]);
}

static const layer_sample CONSERVE[] = {
    {"lstm",
     "direction=bidirectional",
     {"5,2,3", "2", "2,2,4", "2,2,4"},
     {"2,16,3", "2,16,4", NULL}},
    {"gru", NULL, {"5,2,3", "2", "1,2,4"}, {"1,12,3", "1,12,4", NULL}},
    {"gru",
     "linear_before_reset=on, layout=1, direction=reverse",
     {"2,5,3", "2", "2,1,4"},
     {"1,12,3", "1,12,4", NULL}},
    {"rnn", NULL, {"5,2,3", "2", "1,2,4"}, {"1,4,3", "1,4,4", NULL}}};
enum { N_CONSERVE = sizeof CONSERVE / sizeof CONSERVE[0] };

/* Without biases, all relevance ends in x and in the states before the first step, whatever is
 * frozen. */
START_TEST(relevance_is_conserved_without_biases)
{
  const uint32_t freeze = (uint32_t)(_i / N_CONSERVE);
  walk w;
  begin(&w, CONSERVE[_i % N_CONSERVE]);
  lrp_indices(&w.t.in[1])[0] = 5;
  lrp_indices(&w.t.in[1])[1] = 2;
  w.t.call = trial_again(&w.t);
  double out = 0, in = 0;
  for (uint32_t k = 0; k < w.t.call.n_out; k++)
    for (int64_t i = 0, n = lrp_count(&w.r_out[k]); i < n; i++) {
      const lrp_real y = lrp_reals(&w.t.call.out[k])[i];
      lrp_reals(&w.r_out[k])[i] =
          y == 0 ? 0 : 1 + (lrp_real)0.1 * y; /* nothing where a sample has ended */
      out += (double)lrp_reals(&w.r_out[k])[i];
    }
  walk_back(&w, 1e-12, freeze);
  for (uint32_t i = 0; i < w.t.n_in; i++)
    in += total(&w.r_in[i]);
  ck_assert_msg(fabs(in - out) <= 1e-3 * fabs(out), "%s, freeze %u: %g of %g", w.t.type->name,
                freeze, in, out);
  trial_free(&w.t);
}
END_TEST

/* One step of an LSTM with one unit and h = c = 0: R goes to o and tanh c', then to i and g,
 * each of which passes it to x in proportion to its weights. */
START_TEST(frozen_names_choose_who_takes_relevance)
{
  static const double x[] = {0.5, -1.5}, weights[] = {0.4,         0.2, /* i */ 1,    -0.5,
                                                      /* o */ 0.3, 0.1, /* f */ -0.6, 0.7 /* g */};
  static const uint32_t FREEZE[] = {GATES, 0, SHARES};
  walk w;
  begin(&w, (layer_sample){"lstm", NULL, {"1,1,2"}, {"1,4,2", "1,4,1", NULL}});
  trial_put(&w.t.in[0], x);
  trial_put(&w.t.param[0], weights);
  w.t.call = trial_again(&w.t);
  double z[4], want[2];
  for (int g = 0; g < 4; g++)
    z[g] = weights[2 * g] * x[0] + weights[2 * g + 1] * x[1];
  const double i = sigmoid(z[0]), o = sigmoid(z[1]), g = tanh(z[3]), c = tanh(i * g);
  const double to_o = FREEZE[_i] == GATES ? 0 : FREEZE[_i] ? fabs(o) / (fabs(o) + fabs(c)) : 0.5;
  const double to_i = (1 - to_o) * (FREEZE[_i] == GATES ? 0
                                    : FREEZE[_i]        ? fabs(i) / (fabs(i) + fabs(g))
                                                        : 0.5);
  for (int k = 0; k < 2; k++)
    want[k] = 2 * x[k] *
              (to_o * weights[2 + k] / z[1] + to_i * weights[k] / z[0] +
               (1 - to_o - to_i) * weights[6 + k] / z[3]);
  lrp_reals(&w.r_out[1])[0] = 2;
  walk_back(&w, 1e-12, FREEZE[_i]);
  ck_reals(&w.r_in[0], want, 1e-5);
  trial_free(&w.t);
}
END_TEST

typedef struct taps {
  int n;
  double sum[2];
  char label[4][16];
} taps;

static void on_tap(void *user, const char *label, int64_t step, const lrp_tensor *r)
{
  taps *all = user;
  ck_assert_int_ge(step, 0);
  ck_assert_int_lt(step, 2);
  if (all->n < 4) snprintf(all->label[all->n], sizeof all->label[0], "%s", label);
  all->sum[!strcmp(label, "initial_c")] += total(r);
  all->n++;
}

START_TEST(what_is_left_in_the_first_state_is_told)
{
  taps all = {0};
  walk w;
  begin(&w, CONSERVE[0]);
  lrp_indices(&w.t.in[1])[0] = lrp_indices(&w.t.in[1])[1] = 4;
  w.t.call = trial_again(&w.t);
  trial_put_all(&w.r_out[1], 1);
  w.t.ctx->tap = on_tap;
  w.t.ctx->tap_user = &all;
  walk_back(&w, 1e-3, GATES);
  ck_assert_int_eq(all.n, 4); /* h and c of two directions */
  ck_assert_str_eq(all.label[0], "initial_h");
  ck_assert_str_eq(all.label[1], "initial_c");
  ck_assert_double_gt(fabs(all.sum[0]), 1e-4);
  ck_assert_double_eq_tol(all.sum[0], total(&w.r_in[2]), 1e-5);
  ck_assert_double_eq_tol(all.sum[1], total(&w.r_in[3]), 1e-5);
  trial_free(&w.t);
}
END_TEST

START_TEST(other_rules_work_inside)
{
  static const char *const RULE[] = {"gamma", "zplus", "norm", "alphabeta", "wsquare", "flat"};
  walk w;
  lrp_value args[16];
  begin(&w, (layer_sample){"lstm", NULL, {"5,2,3"}, {"1,16,3", "1,16,4", "1,32"}});
  const lrp_rule *rule = lrp_find_rule(w.t.ctx, RULE[_i]);
  ck_assert_ptr_nonnull(rule);
  lrp_ck_ok(w.t.ctx, lrp_args_default(w.t.ctx, RULE[_i], rule->args, args));
  trial_put_all(&w.r_out[0], 1);
  walk_back(&w, 1e-6, GATES); /* fills r_in by epsilon */
  const lrp_tensor by_epsilon = trial_copy(&w.t, &w.r_in[0]);
  w.r_in[0] = trial_zeros(&w.t, &w.t.in[0]);
  const lrp_site site = {.struct_size = sizeof site,
                         .type = w.t.type,
                         .inst = w.t.inst,
                         .call = &w.call,
                         .r_out = w.r_out,
                         .r_in = w.r_in};
  lrp_ck_ok(w.t.ctx, w.t.h->relprop(w.t.ctx, rule, args, &site));
  double size = 0, differs = 0;
  for (int64_t i = 0, n = lrp_count(&by_epsilon); i < n; i++) {
    size += fabs((double)lrp_reals(&w.r_in[0])[i]);
    differs += fabs((double)lrp_reals(&w.r_in[0])[i] - (double)lrp_reals(&by_epsilon)[i]);
  }
  ck_assert(isfinite(size) && size > 0);
  if (strcmp(RULE[_i], "norm")) /* epsilon under another name */
    ck_assert_double_gt(differs, 1e-3 * size);
  else
    ck_assert_double_le(differs, 1e-5 * size);
  trial_free(&w.t);
}
END_TEST

/* The rule gradient takes a cell as a whole: central differences of r . y agree. */
START_TEST(the_rule_gradient_is_the_derivative_of_the_cell)
{
  const double step = sizeof(lrp_real) == sizeof(double) ? 1e-5 : 1e-2;
  walk w;
  begin(&w, CONSERVE[_i]);
  lrp_indices(&w.t.in[1])[0] = 5;
  lrp_indices(&w.t.in[1])[1] = 3;
  w.t.call = trial_again(&w.t);
  for (uint32_t k = 0; k < w.t.call.n_out; k++)
    trial_fill(&w.r_out[k], 7 + k);
  back_by(&w, "gradient", NULL, 0);
  double worst = 0, size = 0;
  for (int64_t i = 0, n = lrp_count(&w.t.in[0]); i < n; i++) {
    lrp_real *x = &lrp_reals(&w.t.in[0])[i];
    const lrp_real old = *x;
    double y[2];
    for (int side = 0; side < 2; side++) {
      *x = old + (lrp_real)(side ? step : -step);
      const lrp_call call = trial_again(&w.t);
      y[side] = 0;
      for (uint32_t k = 0; k < call.n_out; k++)
        y[side] += trial_dot(&w.r_out[k], &call.out[k], &size);
    }
    *x = old;
    const double d = fabs((y[1] - y[0]) / (2 * step) - (double)lrp_reals(&w.r_in[0])[i]);
    worst = d > worst ? d : worst;
  }
  size = 0;
  for (int64_t i = 0, n = lrp_count(&w.r_in[0]); i < n; i++)
    size = fmax(size, fabs((double)lrp_reals(&w.r_in[0])[i]));
  ck_assert_double_gt(size, 0);
  ck_assert_msg(worst <= 1e-3 * size, "%s: the gradient differs by %g of %g", w.t.type->name, worst,
                size);
  trial_free(&w.t);
}
END_TEST

/* ---- the published rule ---- */

START_TEST(a_bidirectional_lstm_is_explained_as_published)
{
  lrp_ctx *ctx;
  lrp_model *model;
  lrp_input *input;
  lrp_graph *graph;
  lrp_composite *c;
  lrp_tensor want;
  lrp_target target;
  const lrp_relevance *r;
  ck_assert_int_eq(lrp_ctx_new(&ctx), LRP_OK);
  lrp_ck_ok(ctx, lrp_plugins_open(ctx));
  lrp_ck_ok(ctx,
            lrp_model_open(ctx, lrp_test_path("golden/relevance/bilstm_arras/model.onnx"), &model));
  const char *path = lrp_test_path("golden/relevance/bilstm_arras/input.npy");
  lrp_ck_ok(ctx, lrp_input_npy(ctx, model, &path, 1, &input));
  lrp_ck_ok(ctx, lrp_graph_build(ctx, model, input, NULL, &graph));
  lrp_ck_ok(ctx, lrp_composite_open(ctx, "lstm_arras", model, &c));
  lrp_ck_ok(ctx, lrp_graph_assign(ctx, graph, c));
  lrp_ck_ok(ctx, lrp_graph_forward(ctx, graph, input));
  lrp_ck_ok(ctx, lrp_target_parse(ctx, model, "argmax", lrp_graph_scores(graph), 0, &target));
  lrp_ck_ok(ctx, lrp_graph_explain(ctx, graph, input, &target, LRP_SEED_LOGIT, LRP_METHOD_LRP, 0,
                                   NULL, &r));
  lrp_ck_ok(
      ctx, lrp_npy_read(ctx, lrp_test_path("golden/relevance/bilstm_arras/rel_lrp_all_eps1e-3.npy"),
                        &want));
  for (int64_t i = 0; i < lrp_count(&want); i++)
    ck_assert_double_eq_tol((double)lrp_reals(&r->tensor[0])[i], (double)lrp_reals(&want)[i],
                            1e-5 * 0.185615);
  ck_assert_double_eq_tol(r->sum[0], total(&want), 1e-5);
  /* what biases and the stabiliser took is in the ledger, so that nothing is missing */
  double lost = 0;
  for (int64_t i = 0; i < lrp_graph_n_node(graph); i++)
    lost += r->ledger[i].bias + r->ledger[i].stab + r->ledger[i].gate;
  ck_assert_double_eq_tol(r->value[0], r->sum[0] + lost, 1e-5);
  free(want.data);
  lrp_graph_free(graph);
  lrp_composite_free(c);
  lrp_input_free(input);
  lrp_model_close(model);
  lrp_ctx_free(ctx);
}
END_TEST

/* An LSTM with one unit that adds what is marked: x = (value, marker), i opens at a marker, f
 * and o are open, g is nearly linear.  Its output is the sum of the marked values, so their
 * relevance must be the values (Arras et al. 2019, ch. 11: correlation above 99.9 %). */
START_TEST(marked_numbers_get_their_own_value)
{
  static const double weights[] = {0, 40, /* i */ 0, 0, /* o */ 0, 0, /* f */ 0.05, 0 /* g */};
  static const double bias[] = {-20, 20, 20, 0, 0, 0, 0, 0};
  enum { CASES = 40, MOST = 10 };
  double sx = 0, sy = 0, sxx = 0, syy = 0, sxy = 0, n = 0;
  for (int c = 0; c < CASES; c++) {
    const int steps = 4 + c % 7, first = c % (steps - 1),
              second = first + 1 + c % (steps - 1 - first);
    char shape[16];
    walk w;
    snprintf(shape, sizeof shape, "%d,1,2", steps);
    begin(&w, (layer_sample){"lstm", NULL, {shape}, {"1,4,2", "1,4,1", "1,8"}});
    trial_put(&w.t.param[0], weights);
    trial_put_all(&w.t.param[1], 0);
    trial_put(&w.t.param[2], bias);
    for (int s = 0; s < steps; s++) {
      lrp_reals(&w.t.in[0])[2 * s] = (lrp_real)sin(1 + 2.7 * c + 1.3 * s);
      lrp_reals(&w.t.in[0])[2 * s + 1] = s == first || s == second;
    }
    w.t.call = trial_again(&w.t);
    const lrp_real y = lrp_reals(&w.t.call.out[1])[0];
    lrp_reals(&w.r_out[1])[0] = y;
    walk_back(&w, 1e-6, GATES);
    for (int s = 0; s < steps; s++) {
      const double value = (double)lrp_reals(&w.t.in[0])[2 * s],
                   r = (double)lrp_reals(&w.r_in[0])[2 * s] / 0.05;
      if (s != first && s != second) {
        ck_assert_double_le(fabs(r), 1e-3);
        continue;
      }
      n++, sx += value, sy += r, sxx += value * value, syy += r * r, sxy += value * r;
    }
    trial_free(&w.t);
  }
  const double correlation = (n * sxy - sx * sy) / sqrt((n * sxx - sx * sx) * (n * syy - sy * sy));
  ck_assert_double_gt(correlation, 0.999);
}
END_TEST

Suite *suite_recurrent(void);
Suite *suite_recurrent(void)
{
  Suite *s = suite_create("recurrent");
  TCase *t = tcase_create("layers");
  tcase_add_checked_fixture(t, trial_setup, trial_teardown);
  tcase_add_loop_test(t, relevance_is_conserved_without_biases, 0, 4 * N_CONSERVE);
  tcase_add_loop_test(t, the_rule_gradient_is_the_derivative_of_the_cell, 0, N_CONSERVE);
  tcase_add_loop_test(t, frozen_names_choose_who_takes_relevance, 0, 3);
  tcase_add_test(t, what_is_left_in_the_first_state_is_told);
  tcase_add_loop_test(t, other_rules_work_inside, 0, 6);
  tcase_add_test(t, marked_numbers_get_their_own_value);
  suite_add_tcase(s, t);
  t = tcase_create("nets");
  tcase_add_test(t, a_bidirectional_lstm_is_explained_as_published);
  suite_add_tcase(s, t);
  return s;
}
