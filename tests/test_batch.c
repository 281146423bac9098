/* test_batch.c - a batch of n samples is n single runs: relevance, what is explained, and the ledger of
 * every node, for models whose samples lie in the first axis and in others. */
#include "test.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 16 };
static lrp_ctx *ctx;
static lrp_model *model;
static lrp_composite *composite;

static void setup(void)
{
  ck_assert_int_eq(lrp_ctx_new(&ctx), LRP_OK);
  lrp_ck_ok(ctx, lrp_plugins_open(ctx));
  model = NULL;
  composite = NULL;
}

static void teardown(void)
{
  lrp_composite_free(composite);
  lrp_model_close(model);
  lrp_ctx_free(ctx);
}

/* ---- one explanation of n samples ---- */

typedef struct answer {
  lrp_graph *graph;
  lrp_input *input;
  const lrp_relevance *r;
} answer;

/* Samples first, first + 1, ... of n; each has `steps` ids of its own. */
static lrp_input *samples(int64_t first, int64_t n, int64_t steps)
{
  lrp_tensor t = {.dtype = LRP_INDEX, .rank = 2, .shape = {n, steps}};
  int64_t id[MOST * MOST];
  lrp_input *in;
  for (int64_t k = 0; k < n; k++)
    for (int64_t i = 0; i < steps; i++)
      id[k * steps + i] = 5 + (first + k) * 131 % 97 * 7 + i * i * 11 % 150;
  t.data = id;
  lrp_ck_ok(ctx, lrp_input_arrays(ctx, model, "samples", &t, 1, &in));
  return in;
}

static answer explain(lrp_input *in, const char *target)
{
  answer a = {.input = in};
  lrp_target t[MOST];
  lrp_ck_ok(ctx, lrp_graph_build(ctx, model, a.input, NULL, &a.graph));
  if (composite) lrp_ck_ok(ctx, lrp_graph_assign(ctx, a.graph, composite));
  lrp_ck_ok(ctx, lrp_graph_forward(ctx, a.graph, a.input));
  for (int64_t k = 0; k < lrp_graph_n_batch(a.graph); k++)
    lrp_ck_ok(ctx, lrp_target_parse(ctx, model, target, lrp_graph_scores(a.graph), k, &t[k]));
  lrp_ck_ok(ctx, lrp_graph_explain(ctx, a.graph, a.input, t, LRP_SEED_LOGIT,
                                   composite ? LRP_METHOD_LRP : LRP_METHOD_GRADIENT, 1, NULL, &a.r));
  return a;
}

static void answer_free(answer *a)
{
  lrp_graph_free(a->graph);
  lrp_input_free(a->input);
}

static double largest(const lrp_tensor *t)
{
  double most = 0;
  for (int64_t i = 0, n = lrp_count(t); i < n; i++)
    most = fmax(most, fabs((double)lrp_reals(t)[i]));
  return most;
}

#define CLOSE(a, b, scale) ck_assert_msg(fabs((a) - (b)) <= 1e-6 * (scale), "%s: %.9g, alone %.9g", #a, a, b)

static void ck_ledger(const answer *all, const answer *one, int64_t k, double scale)
{
  const int64_t n = lrp_graph_n_batch(all->graph), nodes = lrp_graph_n_node(all->graph);
  ck_assert_int_eq(nodes, lrp_graph_n_node(one->graph));
  for (int64_t i = 0; i < nodes; i++) {
    const lrp_ledger *a = &all->r->ledger[i * n + k], *b = &one->r->ledger[i];
    const double most = scale * (1 + fabs(b->r_out) + fabs(b->bias) + fabs(b->gate));
    const char *name = lrp_graph_node(all->graph, i).name;
    if (fabs(a->r_out - b->r_out) > 1e-6 * most) ck_abort_msg("%s: r_out %.9g, alone %.9g", name, a->r_out, b->r_out);
    CLOSE(a->r_in, b->r_in, most);
    CLOSE(a->stab, b->stab, most);
    CLOSE(a->gate, b->gate, most);
    CLOSE(a->bias, b->bias, most);
  }
}

static void ck_sample(const answer *all, const answer *one, int64_t k)
{
  const lrp_tensor *a = &all->r->tensor[0], *b = &one->r->tensor[0];
  const int64_t m = lrp_count(b);
  const double scale = largest(b);
  ck_assert(scale > 0);
  for (int64_t i = 0; i < m; i++)
    CLOSE((double)lrp_reals(a)[k * m + i], (double)lrp_reals(b)[i], scale);
  CLOSE(all->r->value[k], one->r->value[0], fabs(one->r->value[0]));
  CLOSE(all->r->sum[k], one->r->sum[0], scale * (double)m);
  ck_ledger(all, one, k, scale);
}

static void open_model(const char *path, const char *rules)
{
  lrp_ck_ok(ctx, lrp_model_open(ctx, lrp_test_path(path), &model));
  if (rules) lrp_ck_ok(ctx, lrp_composite_open(ctx, rules, model, &composite));
}

static const struct setting {
  const char *model, *rules;
} SETTINGS[] = {
    {"spam-lstm", "lstm_arras"},
    {"spam-lstm", "layer:lstm freeze=gates -> epsilon(epsilon=0.001) -> top_k(0.2); include lstm_arras"},
    {"spam-lstm", "layer:lstm -> epsilon(epsilon=0.1, norm_scale=on); include lstm_arras"},
    {"spam-lstm", NULL},
    {"spam-attention", "attnlrp"},
    {"spam-attention", "cp_lrp"},
    {"spam-textcnn", "text"},
    {"reviews-textcnn", "text"},
    {"reviews-textcnn", NULL},
};

/* As many samples as steps, and others: no size tells which axis is which. */
static const int64_t SIZES[][2] = {{2, 7}, {5, 5}, {16, 8}, {3, 12}};
enum { N_SIZE = sizeof SIZES / sizeof *SIZES };

START_TEST(a_batch_of_texts_is_as_many_single_ones)
{
  const struct setting *s = &SETTINGS[_i / N_SIZE];
  const int64_t n = SIZES[_i % N_SIZE][0], steps = SIZES[_i % N_SIZE][1];
  char path[256];
  snprintf(path, sizeof path, "../examples/models/%s", s->model);
  open_model(path, s->rules);
  answer all = explain(samples(0, n, steps), "argmax");
  ck_assert_int_eq(lrp_graph_n_batch(all.graph), n);
  for (int64_t k = 0; k < n; k++) {
    answer one = explain(samples(k, 1, steps), "argmax");
    ck_sample(&all, &one, k);
    answer_free(&one);
  }
  answer_free(&all);
}
END_TEST

/* Samples first, first + 1, ... of n; each has numbers of its own. */
static lrp_input *steps_first(int64_t first, int64_t n)
{
  enum { STEPS = 5, WIDTH = 8 };
  lrp_real v[STEPS * MOST * WIDTH];
  const lrp_tensor t = {.data = v, .dtype = LRP_REAL, .rank = 3, .shape = {STEPS, n, WIDTH}};
  lrp_input *in;
  for (int64_t i = 0; i < STEPS * n * WIDTH; i++) {
    const int64_t step = i / (n * WIDTH), k = first + i / WIDTH % n, at = i % WIDTH;
    v[i] = (lrp_real)((double)((step * 37 + k * 101 + at * 59) % 83) / 41 - 1);
  }
  lrp_ck_ok(ctx, lrp_input_arrays(ctx, model, "steps", &t, 1, &in));
  return in;
}

static const char *const STEPS_RULES[] = {"include base; linear -> epsilon(0.1)", "include base; linear -> gamma",
                                          "include base; linear -> zplus -> top_k(0.3)",
                                          "include base; linear -> epsilon(epsilon=0.1, norm_scale=on)", NULL};
enum { N_STEPS_RULES = sizeof STEPS_RULES / sizeof *STEPS_RULES };

START_TEST(samples_in_the_second_axis_have_their_own_ledgers)
{
  static const int64_t N[] = {2, 5, 8};
  const int64_t n = N[_i / N_STEPS_RULES];
  open_model("models/text/steps_first.onnx", STEPS_RULES[_i % N_STEPS_RULES]);
  answer all = explain(steps_first(0, n), "argmax");
  ck_assert_int_eq(lrp_graph_n_batch(all.graph), n);
  for (int64_t k = 0; k < n; k++) {
    answer one = explain(steps_first(k, 1), "argmax");
    const lrp_tensor *a = &all.r->tensor[0], *b = &one.r->tensor[0];
    const double scale = largest(b);
    for (int64_t i = 0; i < lrp_count(b); i++)
      CLOSE((double)lrp_reals(a)[(i / 8 * n + k) * 8 + i % 8], (double)lrp_reals(b)[i], scale);
    CLOSE(all.r->sum[k], one.r->sum[0], scale * 40);
    ck_ledger(&all, &one, k, scale);
    answer_free(&one);
  }
  answer_free(&all);
}
END_TEST

Suite *suite_batch(void);
Suite *suite_batch(void)
{
  Suite *s = suite_create("batch");
  TCase *t = tcase_create("batch");
  tcase_add_checked_fixture(t, setup, teardown);
  tcase_set_timeout(t, 60);
  tcase_add_loop_test(t, a_batch_of_texts_is_as_many_single_ones, 0,
                      (int)(sizeof SETTINGS / sizeof *SETTINGS * N_SIZE));
  tcase_add_loop_test(t, samples_in_the_second_axis_have_their_own_ledgers, 0, 3 * N_STEPS_RULES);
  suite_add_tcase(s, t);
  return s;
}
