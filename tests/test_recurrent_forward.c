/* test_recurrent_forward.c - LSTM, GRU and RNN forward, against plain loops, and what they
 * refuse. */
#include "layer_trial.h"
#include "node_model.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- forward against plain loops ---- */

typedef struct loop { /* one sample in one direction */
  int64_t i, h;
  const lrp_real *w, *r, *b; /* b may be NULL: two rows of biases */
  int blocks;
} loop;

static double sigmoid(double v)
{
  return 1 / (1 + exp(-v));
}

/* Pre-activation of row k of block g: W x, R a, and the biases, as far as asked for. */
static double pre(const loop *l, int g, int64_t k, const lrp_real *x, const double *a)
{
  const int64_t row = g * l->h + k;
  double z = 0;
  for (int64_t j = 0; x && j < l->i; j++)
    z += (double)l->w[row * l->i + j] * (double)x[j];
  for (int64_t j = 0; a && j < l->h; j++)
    z += (double)l->r[row * l->h + j] * a[j];
  if (l->b && x) z += (double)l->b[row];
  if (l->b && a) z += (double)l->b[l->blocks * l->h + row];
  return z;
}

static void lstm_step(const loop *l, const lrp_real *x, double *h, double *c)
{
  double old[8];
  memcpy(old, h, sizeof old);
  for (int64_t k = 0; k < l->h; k++) {
    const double i = sigmoid(pre(l, 0, k, x, old)), o = sigmoid(pre(l, 1, k, x, old)),
                 f = sigmoid(pre(l, 2, k, x, old));
    c[k] = f * c[k] + i * tanh(pre(l, 3, k, x, old));
    h[k] = o * tanh(c[k]);
  }
}

static void gru_step(const loop *l, bool after, const lrp_real *x, double *h)
{
  double old[8], reset[8], r[8];
  memcpy(old, h, sizeof old);
  for (int64_t k = 0; k < l->h; k++) {
    r[k] = sigmoid(pre(l, 1, k, x, old));
    reset[k] = r[k] * old[k];
  }
  for (int64_t k = 0; k < l->h; k++) {
    const double z = sigmoid(pre(l, 0, k, x, old));
    const double n = tanh(after ? pre(l, 2, k, x, NULL) + r[k] * pre(l, 2, k, NULL, old)
                                : pre(l, 2, k, x, reset));
    h[k] = (1 - z) * n + z * old[k];
  }
}

static void rnn_step(const loop *l, bool relu, const lrp_real *x, double *h)
{
  double old[8];
  memcpy(old, h, sizeof old);
  for (int64_t k = 0; k < l->h; k++) {
    const double z = pre(l, 0, k, x, old);
    h[k] = relu ? fmax(z, 0) : tanh(z);
  }
}

typedef struct forward_case {
  layer_sample sample;
  int64_t t, b, i, h; /* steps, samples, inputs, units */
  int layout, directions, blocks;
  bool reverse, variant;
} forward_case;
static const forward_case FORWARD[] = {
    {{"lstm", NULL, {"4,2,3"}, {"1,20,3", "1,20,5", "1,40"}}, 4, 2, 3, 5, 0, 1, 4, false, false},
    {{"lstm",
      "direction=bidirectional",
      {"4,2,3", "2", "2,2,5", "2,2,5"},
      {"2,20,3", "2,20,5", "2,40"}},
     4,
     2,
     3,
     5,
     0,
     2,
     4,
     false,
     false},
    {{"lstm",
      "direction=reverse, layout=1",
      {"2,4,3", "2", "2,1,5", "2,1,5"},
      {"1,20,3", "1,20,5", NULL}},
     4,
     2,
     3,
     5,
     1,
     1,
     4,
     true,
     false},
    {{"gru", NULL, {"4,2,3"}, {"1,15,3", "1,15,5", "1,30"}}, 4, 2, 3, 5, 0, 1, 3, false, false},
    {{"gru",
      "direction=bidirectional, layout=1, linear_before_reset=on",
      {"2,4,3", "2", "2,2,5"},
      {"2,15,3", "2,15,5", "2,30"}},
     4,
     2,
     3,
     5,
     1,
     2,
     3,
     false,
     true},
    {{"gru", "direction=reverse", {"4,2,3", "2"}, {"1,15,3", "1,15,5", NULL}},
     4,
     2,
     3,
     5,
     0,
     1,
     3,
     true,
     false},
    {{"rnn", NULL, {"4,2,3", "2", "1,2,5"}, {"1,5,3", "1,5,5", "1,10"}},
     4,
     2,
     3,
     5,
     0,
     1,
     1,
     false,
     false},
    {{"rnn", "direction=bidirectional, activation=relu", {"4,2,3"}, {"2,5,3", "2,5,5", "2,10"}},
     4,
     2,
     3,
     5,
     0,
     2,
     1,
     false,
     true}};

static double state_of(const forward_case *f, const lrp_tensor *s, int dir, int64_t b, int64_t k)
{
  const int64_t at = f->layout ? (b * f->directions + dir) * f->h + k : (dir * f->b + b) * f->h + k;
  return s && s->data ? (double)lrp_reals(s)[at] : 0;
}

static const lrp_tensor *input_or_none(const trial *t, uint32_t i)
{
  return i < t->n_in ? &t->in[i] : NULL;
}

static void check_output(const forward_case *f, const lrp_call *call, int dir, int64_t b,
                         int64_t at, const double *h)
{
  for (int64_t k = 0; k < f->h; k++) {
    const int64_t y = f->layout ? ((b * f->t + at) * f->directions + dir) * f->h + k
                                : ((at * f->directions + dir) * f->b + b) * f->h + k;
    ck_assert_double_eq_tol((double)lrp_reals(&call->out[0])[y], h ? h[k] : 0, 1e-5);
  }
}

/* One direction of one sample by loops, compared with y, y_h and y_c. */
static void check_sample(const forward_case *f, trial *t, const lrp_call *call, int dir, int64_t b,
                         int64_t steps)
{
  const bool back = f->reverse || dir == 1, lstm = f->blocks == 4;
  const int64_t rows = f->blocks * f->h;
  const loop l = {f->i,
                  f->h,
                  lrp_reals(&t->param[0]) + dir * rows * f->i,
                  lrp_reals(&t->param[1]) + dir * rows * f->h,
                  t->param[2].data ? lrp_reals(&t->param[2]) + dir * 2 * rows : NULL,
                  f->blocks};
  double h[8], c[8];
  for (int64_t k = 0; k < f->h; k++) {
    h[k] = state_of(f, input_or_none(t, 2), dir, b, k);
    c[k] = lstm ? state_of(f, input_or_none(t, 3), dir, b, k) : 0;
  }
  for (int64_t s = 0; s < steps; s++) {
    const int64_t at = back ? steps - 1 - s : s;
    const lrp_real *x = lrp_reals(&t->in[0]) + (f->layout ? b * f->t + at : at * f->b + b) * f->i;
    if (lstm)
      lstm_step(&l, x, h, c);
    else if (f->blocks == 3)
      gru_step(&l, f->variant, x, h);
    else
      rnn_step(&l, f->variant, x, h);
    check_output(f, call, dir, b, at, h);
  }
  for (int64_t at = steps; at < f->t; at++)
    check_output(f, call, dir, b, at, NULL);
  for (int64_t k = 0; k < f->h; k++) {
    ck_assert_double_eq_tol(state_of(f, &call->out[1], dir, b, k), h[k], 1e-5);
    if (lstm) ck_assert_double_eq_tol(state_of(f, &call->out[2], dir, b, k), c[k], 1e-5);
  }
}

START_TEST(forward_equals_plain_loops)
{
  const forward_case *f = &FORWARD[_i];
  trial t;
  trial_begin(&t, f->sample);
  int64_t steps[] = {f->t, f->t};
  if (t.n_in > 1) { /* one sample ends early, the other one before it starts or not at all */
    steps[0] = lrp_indices(&t.in[1])[0] = 3;
    steps[1] = lrp_indices(&t.in[1])[1] = _i % 2 ? 0 : f->t;
  }
  const lrp_call call = trial_again(&t);
  for (int dir = 0; dir < f->directions; dir++)
    for (int64_t b = 0; b < f->b; b++)
      check_sample(f, &t, &call, dir, b, steps[b]);
  trial_free(&t);
}
END_TEST

START_TEST(a_relu_network_agrees_with_onnxruntime)
{
  lrp_ctx *ctx;
  lrp_model *model;
  lrp_input *input;
  lrp_graph *graph;
  lrp_tensor want;
  ck_assert_int_eq(lrp_ctx_new(&ctx), LRP_OK);
  lrp_ck_ok(ctx, lrp_plugins_open(ctx));
  lrp_ck_ok(ctx, lrp_model_open(ctx, lrp_test_path("models/text/rnn_relu.onnx"), &model));
  const char *path = lrp_test_path("models/text/steps.npy");
  lrp_ck_ok(ctx, lrp_input_npy(ctx, model, &path, 1, &input));
  lrp_ck_ok(ctx, lrp_graph_build(ctx, model, input, NULL, &graph));
  lrp_ck_ok(ctx, lrp_graph_forward(ctx, graph, input));
  ck_assert_int_eq(lrp_graph_n_batch(graph), 1); /* not the five steps that come first in x */
  lrp_ck_ok(ctx, lrp_npy_read(ctx, lrp_test_path("models/text/rnn_relu.npy"), &want));
  for (int64_t i = 0; i < 6; i++)
    ck_assert_double_eq_tol((double)lrp_reals(lrp_graph_output(graph, 0))[i],
                            (double)lrp_reals(&want)[i], 1e-4);
  free(want.data);
  lrp_graph_free(graph);
  lrp_input_free(input);
  lrp_model_close(model);
  lrp_ctx_free(ctx);
}
END_TEST

/* ---- refusals ---- */

static const struct refusal {
  const char *op, *attr, *text;
} REFUSED[] = {{"LSTM", "hidden_size=5 clip=3.0", "clip is not supported"},
               {"GRU", "hidden_size=5 activation_alpha=0.5", "activation_alpha is not supported"},
               {"LSTM", "hidden_size=5 input_forget=1", "input_forget"},
               {"RNN", "hidden_size=5 direction=sideways", "bidirectional was expected"},
               {"GRU", "hidden_size=5 layout=2", "layout"}};

START_TEST(attributes_without_support_are_refused_by_name)
{
  const struct refusal *r = &REFUSED[_i];
  const int blocks = !strcmp(r->op, "LSTM") ? 4 : !strcmp(r->op, "GRU") ? 3 : 1;
  char w[16], u[16];
  snprintf(w, sizeof w, "1,%d,3", 5 * blocks);
  snprintf(u, sizeof u, "1,%d,5", 5 * blocks);
  const node_case c = {.op = r->op,
                       .opset = 14,
                       .attr = r->attr,
                       .in = {{"4,2,3", NODE_LIVE, LRP_REAL, NULL},
                              {w, NODE_CONST, LRP_REAL, NULL},
                              {u, NODE_CONST, LRP_REAL, NULL}}};
  node_run run;
  const lrp_status st = node_run_open(&run, trial_ctx, &c);
  ck_assert_msg(st != LRP_OK, "%s is accepted", r->attr);
  ck_assert_msg(strstr(lrp_message(trial_ctx), r->text) != NULL, "no \"%s\" in \"%s\"", r->text,
                lrp_message(trial_ctx));
  node_run_close(&run);
}
END_TEST

START_TEST(other_activations_are_refused_by_name)
{
  lrp_model *model;
  lrp_input *input;
  lrp_graph *graph;
  lrp_ck_ok(trial_ctx,
            lrp_model_open(trial_ctx, lrp_test_path("models/text/lstm_relu.onnx"), &model));
  const char *path = lrp_test_path("models/text/steps.npy");
  lrp_ck_ok(trial_ctx, lrp_input_npy(trial_ctx, model, &path, 1, &input));
  lrp_ck_fails(trial_ctx, LRP_E_UNSUPPORTED, "activation 1 is Relu; only Tanh is supported",
               lrp_graph_build(trial_ctx, model, input, NULL, &graph));
  lrp_input_free(input);
  lrp_model_close(model);
}
END_TEST

START_TEST(lengths_out_of_range_are_refused)
{
  lrp_call out;
  trial t;
  trial_begin(&t, (layer_sample){"gru", NULL, {"4,2,3", "2"}, {"1,15,3", "1,15,5", NULL}});
  lrp_indices(&t.in[1])[1] = _i ? -1 : 5;
  lrp_ck_fails(t.ctx, LRP_E_INPUT, "sample 1 has sequence length",
               trial_forward(&t, NULL, NULL, 0, NULL, &out));
  trial_free(&t);
}
END_TEST

START_TEST(shapes_that_do_not_fit_are_refused)
{
  static const struct {
    layer_sample sample;
    const char *text;
  } BAD[] = {
      {{"lstm", NULL, {"4,2,3"}, {"1,20,3", "1,15,5", NULL}}, "r must have shape"},
      {{"lstm", "direction=bidirectional", {"4,2,3"}, {"1,20,3", "1,20,5", NULL}},
       "with 2 directions"},
      {{"lstm", NULL, {"4,2,7"}, {"1,20,3", "1,20,5", NULL}}, "with 3 inputs"},
      {{"lstm", NULL, {"4,2,3"}, {"1,16,3", "1,20,5", NULL}}, "w must have shape"},
      {{"lstm", NULL, {"4,2,3"}, {"1,20,3", "1,20,5", "1,20"}}, "b must have shape"},
      {{"gru", NULL, {"4,2,3", "3"}, {"1,15,3", "1,15,5", NULL}}, "one length for each of 2"},
      {{"rnn", NULL, {"4,2,3", "2", "1,2,4"}, {"1,5,3", "1,5,5", NULL}},
       "an initial state must have"}};
  for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
    const char *text = trial_refusal(BAD[i].sample, LRP_E_SHAPE);
    ck_assert_msg(strstr(text, BAD[i].text) != NULL, "no \"%s\" in \"%s\"", BAD[i].text, text);
  }
}
END_TEST

Suite *suite_recurrent_forward(void);
Suite *suite_recurrent_forward(void)
{
  Suite *s = suite_create("recurrent_forward");
  TCase *t = tcase_create("layers");
  tcase_add_checked_fixture(t, trial_setup, trial_teardown);
  tcase_add_loop_test(t, forward_equals_plain_loops, 0, sizeof FORWARD / sizeof FORWARD[0]);
  tcase_add_loop_test(t, attributes_without_support_are_refused_by_name, 0,
                      sizeof REFUSED / sizeof REFUSED[0]);
  tcase_add_test(t, other_activations_are_refused_by_name);
  tcase_add_loop_test(t, lengths_out_of_range_are_refused, 0, 2);
  tcase_add_test(t, shapes_that_do_not_fit_are_refused);
  suite_add_tcase(s, t);
  t = tcase_create("nets");
  tcase_add_test(t, a_relu_network_agrees_with_onnxruntime);
  suite_add_tcase(s, t);
  return s;
}
