/* test_demand.c - rows of a forward pass that nothing reads are not computed, and nobody can tell: a small BERT, whose
 * classifier looks at the first token of its last block, under all presets, with and without. */
#include "graph.h"
#include "test.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TOKENS = 9, INPUTS = 3 };

static lrp_ctx *ctx;
static lrp_model *model;
static lrp_graph *graph;
static lrp_composite *composite;
static int64_t ids[2 * TOKENS], mask[2 * TOKENS], types[2 * TOKENS];
static lrp_tensor tensor[INPUTS];
static lrp_input input;

/* Texts of nine and six tokens; of them, n from number `first` on. */
static void open_texts(int64_t first, int64_t n)
{
  for (int64_t i = 0; i < 2 * TOKENS; i++) {
    ids[i] = 5 + 37 * i % 53;
    mask[i] = i < TOKENS + 6;
    types[i] = 0;
  }
  int64_t *const data[] = {ids, mask, types};
  for (int i = 0; i < INPUTS; i++)
    tensor[i] = (lrp_tensor){.dtype = LRP_INDEX, .rank = 2, .shape = {n, TOKENS}, .data = data[i] + first * TOKENS};
  input = (lrp_input){.n_tensor = INPUTS, .tensor = tensor};
  lrp_graph_free(graph);
  lrp_ck_ok(ctx, lrp_graph_build(ctx, model, &input, NULL, &graph));
}

static void setup(void)
{
  ck_assert_int_eq(lrp_ctx_new(&ctx), LRP_OK);
  lrp_ck_ok(ctx, lrp_plugins_open(ctx));
  lrp_ck_ok(ctx, lrp_model_open(ctx, lrp_test_path("models/bert"), &model));
  graph = NULL;
  composite = NULL;
  open_texts(0, 2);
}

static void teardown(void)
{
  lrp_graph_free(graph);
  lrp_composite_free(composite);
  lrp_model_close(model);
  lrp_ctx_free(ctx);
}

static lrp_status assign(const char *rules)
{
  lrp_composite_free(composite);
  composite = NULL;
  lrp_ck_ok(ctx, lrp_composite_open(ctx, rules, model, &composite));
  return lrp_graph_assign(ctx, graph, composite);
}

static int64_t n_cut(void)
{
  int64_t n = 0;
  for (int32_t k = 0; k < graph->n_order; k++)
    n += graph->step[graph->order[k]].rows != NULL;
  return n;
}

static void compute_all_rows(void)
{
  for (int32_t k = 0; k < graph->n_step; k++)
    graph->step[k].rows = NULL;
}

static const lrp_relevance *explain(int32_t method, const char *at)
{
  lrp_target t[2];
  const lrp_relevance *r;
  lrp_ck_ok(ctx, lrp_graph_forward(ctx, graph, &input));
  for (int64_t k = 0; k < lrp_graph_n_batch(graph); k++)
    lrp_ck_ok(ctx, lrp_target_parse(ctx, model, "argmax", lrp_graph_scores(graph), k, &t[k]));
  lrp_ck_ok(ctx, lrp_graph_explain(ctx, graph, &input, t, LRP_SEED_LOGIT, method, 0, at, &r));
  return r;
}

static lrp_real *copied(const lrp_tensor *t, int64_t *n)
{
  *n = lrp_count(t);
  lrp_real *v = malloc((size_t)*n * sizeof *v);
  ck_assert_ptr_nonnull(v);
  memcpy(v, t->data, (size_t)*n * sizeof *v);
  return v;
}

static void same(const char *what, const lrp_real *a, const lrp_real *b, int64_t n)
{
  for (int64_t i = 0; i < n; i++)
    ck_assert_msg(a[i] == b[i], "%s: element %lld is %.9g, without rows left out %.9g", what, (long long)i,
                  (double)a[i], (double)b[i]);
}

/* Of the first or the last layer of a type. */
static const lrp_row_set *rows_of(const char *layer, bool last)
{
  const lrp_row_set *rows = NULL;
  bool found = false;
  for (int32_t k = 0; k < graph->n_order; k++) {
    const lrp_step *s = &graph->step[graph->order[k]];
    if (strcmp(s->type->name, layer) || (found && !last)) continue;
    rows = s->rows;
    found = true;
  }
  ck_assert_msg(found, "there is no layer \"%s\"", layer);
  return rows;
}

START_TEST(only_the_first_token_of_the_last_block_is_computed)
{
  const char *const rowwise[] = {"layernorm", "gelu", "softmax", "matmul", NULL};
  lrp_ck_ok(ctx, assign("lxt_attnlrp"));
  for (int i = 0; rowwise[i]; i++) {
    const lrp_row_set *rows = rows_of(rowwise[i], true);
    ck_assert_msg(rows != NULL, "%s: all rows are computed", rowwise[i]);
    ck_assert_int_eq(rows->n, 1);
    ck_assert_int_eq(rows->at[0], 0);
    ck_assert_msg(!rows_of(rowwise[i], false), "%s of the first block: rows are left out", rowwise[i]);
  }
  int cut = 0, whole = 0;
  for (int32_t k = 0; k < graph->n_order; k++) {
    const lrp_step *s = &graph->step[graph->order[k]];
    if (strcmp(s->type->name, "dense")) continue;
    cut += s->rows != NULL;
    whole += !s->rows;
  }
  ck_assert_int_eq(cut, 4);   /* queries, what follows attention, both of the feed-forward part */
  ck_assert_int_eq(whole, 10); /* six of the first block, keys and values, pooler and classifier */
}
END_TEST

static const char *const PRESETS[] = {"lxt_attnlrp",
                                      "lxt_cplrp",
                                      "lxt_explicit",
                                      "attnlrp",
                                      "cp_lrp",
                                      "attnlrp_gamma",
                                      "linear -> zplus; include attnlrp",
                                      "linear -> alphabeta(alpha=2, beta=1); include attnlrp",
                                      "linear -> flat; include attnlrp",
                                      "linear -> wsquare; include attnlrp",
                                      "linear -> epsilon -> top_k(0.1); include attnlrp"};
enum { N_PRESET = sizeof PRESETS / sizeof PRESETS[0] };

START_TEST(relevance_and_ledger_are_the_same)
{
  int64_t n, m;
  lrp_ck_ok(ctx, assign(PRESETS[_i]));
  ck_assert_int_gt(n_cut(), 0);
  const lrp_relevance *r = explain(LRP_METHOD_LRP, NULL);
  lrp_real *some = copied(&r->tensor[0], &n);
  const size_t cells = (size_t)(graph->n_order * lrp_graph_n_batch(graph));
  lrp_ledger *ledger = malloc(cells * sizeof *ledger);
  ck_assert_ptr_nonnull(ledger);
  memcpy(ledger, r->ledger, cells * sizeof *ledger);
  compute_all_rows();
  r = explain(LRP_METHOD_LRP, NULL);
  lrp_real *all = copied(&r->tensor[0], &m);
  same(PRESETS[_i], some, all, n);
  for (size_t k = 0; k < cells; k++)
    ck_assert_msg(ledger[k].r_out == r->ledger[k].r_out && ledger[k].r_in == r->ledger[k].r_in &&
                      ledger[k].bias == r->ledger[k].bias && ledger[k].stab == r->ledger[k].stab &&
                      ledger[k].gate == r->ledger[k].gate,
                  "%s: the ledger of node \"%s\" differs", PRESETS[_i],
                  graph->step[graph->order[k / (size_t)lrp_graph_n_batch(graph)]].name);
  free(some), free(all), free(ledger);
}
END_TEST

START_TEST(relevance_inside_is_the_same)
{
  lrp_ck_ok(ctx, assign("lxt_attnlrp"));
  for (int32_t k = 0; k < graph->n_order; k++) {
    const lrp_step *s = &graph->step[graph->order[k]];
    int64_t n, m;
    if (!s->wanted || s->out[0] < 0) continue;
    const lrp_relevance *r = explain(LRP_METHOD_LRP, s->name);
    if (!r->at || !r->at->data) continue;
    lrp_real *some = copied(r->at, &n);
    compute_all_rows();
    r = explain(LRP_METHOD_LRP, s->name);
    lrp_real *all = copied(r->at, &m);
    same(s->name, some, all, n);
    free(some), free(all);
    lrp_ck_ok(ctx, assign("lxt_attnlrp"));
  }
}
END_TEST

START_TEST(gradients_are_the_same)
{
  const int32_t methods[] = {LRP_METHOD_GRADIENT, LRP_METHOD_INPUT_X_GRADIENT};
  int64_t n, m;
  lrp_ck_ok(ctx, assign("lxt_attnlrp"));
  lrp_graph_once(graph, 1);
  explain(LRP_METHOD_LRP, NULL);
  lrp_real *some = copied(&explain(methods[_i], NULL)->tensor[0], &n);
  open_texts(0, 2); /* knows no rules */
  ck_assert_int_eq(n_cut(), 0);
  lrp_real *all = copied(&explain(methods[_i], NULL)->tensor[0], &m);
  same("the gradient", some, all, n);
  free(some), free(all);
}
END_TEST

START_TEST(a_text_has_in_a_batch_what_it_has_alone)
{
  int64_t n, m;
  lrp_ck_ok(ctx, assign("lxt_attnlrp"));
  lrp_real *both = copied(&explain(LRP_METHOD_LRP, NULL)->tensor[0], &n);
  for (int64_t k = 0; k < 2; k++) {
    open_texts(k, 1);
    lrp_ck_ok(ctx, assign("lxt_attnlrp"));
    ck_assert_int_gt(n_cut(), 0);
    lrp_real *alone = copied(&explain(LRP_METHOD_LRP, NULL)->tensor[0], &m);
    ck_assert_int_eq(2 * m, n);
    for (int64_t i = 0; i < m; i++)
      ck_assert_double_eq_tol((double)alone[i], (double)both[k * m + i], 1e-6);
    free(alone);
  }
  free(both);
}
END_TEST

/* A rule that may look at anything gets everything. */
START_TEST(rules_that_may_look_at_all_rows_get_them)
{
  lrp_ck_ok(ctx, assign("layer:layernorm -> epsilon(epsilon=0.1, norm_scale=on); include attnlrp"));
  ck_assert_int_eq(n_cut(), 0);
  lrp_ck_ok(ctx, assign("gradient")); /* a rule that is no table */
  ck_assert_int_eq(n_cut(), 0);
}
END_TEST

START_TEST(what_the_user_gets_is_computed)
{
  lrp_ck_ok(ctx, assign("lxt_attnlrp"));
  ck_assert_int_gt(n_cut(), 0);
  for (int32_t k = 0; k < graph->n_order; k++)
    if (!strcmp(graph->step[graph->order[k]].type->name, "layernorm"))
      graph->output[0] = graph->step[graph->order[k]].out[0];
  lrp_ck_ok(ctx, assign("lxt_attnlrp")); /* the last norm is an output now */
  ck_assert_int_eq(n_cut(), 0);
}
END_TEST

Suite *suite_demand(void);
Suite *suite_demand(void)
{
  Suite *s = suite_create("demand");
  TCase *tc = tcase_create("rows");
  tcase_add_checked_fixture(tc, setup, teardown);
  tcase_add_test(tc, only_the_first_token_of_the_last_block_is_computed);
  tcase_add_loop_test(tc, relevance_and_ledger_are_the_same, 0, N_PRESET);
  tcase_add_test(tc, relevance_inside_is_the_same);
  tcase_add_loop_test(tc, gradients_are_the_same, 0, 2);
  tcase_add_test(tc, a_text_has_in_a_batch_what_it_has_alone);
  tcase_add_test(tc, rules_that_may_look_at_all_rows_get_them);
  tcase_add_test(tc, what_the_user_gets_is_computed);
  suite_add_tcase(s, tc);
  return s;
}
