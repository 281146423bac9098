/* test_layer_norm.c - numbers of batch norm, softmax, product and embedding layers, worked out by
 * hand or computed in a second way. */
#include "layer_trial.h"
#include <math.h>
#include <string.h>

/* ---- batch norm ---- */

static void put_batchnorm(const trial *t)
{
  trial_put(&t->in[0], (const double[]){1, 2, 3, 4});
  trial_put(&t->param[0], (const double[]){2, -1});
  trial_put(&t->param[1], (const double[]){0.5, 0.25});
  trial_put(&t->param[2], (const double[]){1, 1});
  trial_put(&t->param[3], (const double[]){3, 0.25});
}

START_TEST(batchnorm_normalises_each_channel)
{
  trial t;
  trial_begin(&t, (layer_sample){"batchnorm", "epsilon=1", {"2,2"}, {"2", "2", "2", "2"}});
  put_batchnorm(&t);
  const double root = sqrt(1.25);
  ck_reals(&trial_again(&t).out[0], ((const double[]){0.5, 0.25 - 1 / root, 2.5, 0.25 - 3 / root}),
           1e-6);
  trial_free(&t);
}
END_TEST

START_TEST(batchnorm_affine_is_its_forward)
{
  trial t;
  trial_begin(&t, (layer_sample){"batchnorm", "epsilon=1", {"2,2"}, {"2", "2", "2", "2"}});
  put_batchnorm(&t);
  const lrp_call call = trial_again(&t);
  const lrp_tensor a = trial_zeros(&t, &t.param[0]);
  lrp_tensor scale = a, shift = trial_zeros(&t, &t.param[0]);
  ck_assert_int_eq(t.type->affine(t.h, trial_ctx, t.inst, &call, &scale, &shift), LRP_OK);
  for (int64_t i = 0; i < 4; i++)
    ck_assert_double_eq_tol((double)lrp_reals(&call.out[0])[i],
                            (double)lrp_reals(&t.in[0])[i] * (double)lrp_reals(&scale)[i % 2] +
                                (double)lrp_reals(&shift)[i % 2],
                            1e-6);
  trial_free(&t);
}
END_TEST

START_TEST(batchnorm_refuses_a_negative_variance)
{
  trial t;
  lrp_call call;
  trial_begin(&t, (layer_sample){"batchnorm", NULL, {"2,2"}, {"2", "2", "2", "2"}});
  trial_put(&t.param[3], (const double[]){1, -1});
  ck_assert_int_eq(trial_forward(&t, NULL, NULL, 0, NULL, &call), LRP_E_NUMERIC);
  ck_assert_msg(strstr(lrp_message(trial_ctx), "channel 1"), "%s", lrp_message(trial_ctx));
  trial_free(&t);
}
END_TEST

/* ---- softmax ---- */

START_TEST(softmax_masked_input_gets_zero)
{
  trial t;
  lrp_tensor bar[TRIAL_MAX];
  const lrp_tensor u = {.data = (lrp_real[]){1, 2, 3, 1, 2, 3}, .rank = 2, .shape = {2, 3}};
  const double none = (double)-INFINITY;
  trial_begin(&t, (layer_sample){_i ? "logsoftmax" : "softmax", "axes=-1", {"2,3"}, {NULL}});
  trial_put(&t.in[0], (const double[]){1, none, 1, none, none, none});
  const lrp_call call = trial_again(&t);
  const double half = _i ? log(0.5) : 0.5;
  ck_assert_double_eq_tol((double)lrp_reals(&call.out[0])[0], half, 1e-6);
  ck_assert(
      isnan(lrp_reals(&call.out[0])[3])); /* a row without any input is told, as PyTorch does */
  ck_assert_int_eq(trial_vjp(&t, &call, &u, bar), LRP_OK);
  /* softmax: p (u - mean); log-softmax: u - p sum, over the two that are left */
  const double want[2][6] = {{-0.5, 0, 0.5, 0, 0, 0}, {-1, 0, 1, 0, 0, 0}};
  trial_compare(&bar[0], want[_i], 6, 1e-6);
  trial_free(&t);
}
END_TEST

/* Before opset 13 the named axis and all behind it are one row: the same as flattening first. */
START_TEST(softmax_over_neighbours_is_softmax_of_the_flattened)
{
  trial t, flat;
  trial_begin(&t, (layer_sample){"softmax", "axes=1/2", {"2,3,4"}, {NULL}});
  trial_begin(&flat, (layer_sample){"softmax", "axes=1", {"2,12"}, {NULL}});
  ck_assert_int_eq(memcmp(t.out[0].data, flat.out[0].data, 24 * sizeof(lrp_real)), 0);
  trial_free(&flat);
  trial_free(&t);
  ck_assert(
      strstr(trial_refusal((layer_sample){"softmax", "axes=0/2", {"2,3,4"}, {NULL}}, LRP_E_ARG),
             "neighbours"));
  ck_assert(strstr(trial_refusal((layer_sample){"softmax", "axes=3", {"2,3,4"}, {NULL}}, LRP_E_ARG),
                   "from -3 to 2"));
}
END_TEST

START_TEST(softmax_of_large_inputs_is_finite)
{
  trial t;
  trial_begin(&t, (layer_sample){"softmax", "axes=0", {"3"}, {NULL}});
  trial_put(&t.in[0], (const double[]){1e30, 1e30, -1e30});
  ck_reals(&trial_again(&t).out[0], ((const double[]){0.5, 0.5, 0}), 0);
  trial_free(&t);
}
END_TEST

/* ---- product ---- */

START_TEST(matmul_broadcasts_leading_axes)
{
  trial t;
  trial_begin(&t, (layer_sample){"matmul", NULL, {"2,1,1,2", "3,2,1"}, {NULL}});
  trial_put_count(&t.in[0]);
  trial_put_count(&t.in[1]);
  ck_assert_int_eq(t.out[0].rank, 4);
  ck_reals(&trial_again(&t).out[0], ((const double[]){5, 11, 17, 11, 25, 39}), 0);
  trial_free(&t);
}
END_TEST

START_TEST(matmul_frozen_operand_gets_nothing)
{
  trial t;
  lrp_call call;
  lrp_tensor bar[TRIAL_MAX];
  trial_begin(&t, (layer_sample){"matmul", NULL, {"1,2", "2,1"}, {NULL}});
  ck_assert_int_eq(trial_forward(&t, NULL, NULL, 1, &t.call, &call), LRP_OK);
  ck_assert_int_eq(trial_vjp(&t, &call, call.out, bar), LRP_OK);
  ck_reals(&bar[0], ((const double[]){0, 0}), 0);
  ck_assert(lrp_reals(&bar[1])[0] != 0);
  ck_assert_int_eq(t.type->degree(t.inst, 0), 2);
  ck_assert_int_eq(t.type->degree(t.inst, 1), 1);
  trial_free(&t);
}
END_TEST

START_TEST(matmul_refuses_operands_that_do_not_fit)
{
  const char *text =
      trial_refusal((layer_sample){"matmul", NULL, {"2,3", "4,5"}, {NULL}}, LRP_E_SHAPE);
  ck_assert_msg(strstr(text, "3 columns") && strstr(text, "4 rows"), "%s", text);
  text = trial_refusal((layer_sample){"matmul", NULL, {"2,2,3", "3,3,5"}, {NULL}}, LRP_E_SHAPE);
  ck_assert_msg(strstr(text, "axis 3 from the end"), "%s", text);
}
END_TEST

/* ---- embedding ---- */

START_TEST(embedding_wraps_negative_ids_and_scales_by_the_carrier)
{
  trial t;
  trial_begin(&t, (layer_sample){"embedding", NULL, {"2", "2"}, {"3,2"}});
  trial_put_count(&t.param[0]);
  lrp_indices(&t.in[0])[0] = -1;
  lrp_indices(&t.in[0])[1] = 1;
  trial_put(&t.in[1], (const double[]){1, 2});
  ck_reals(&trial_again(&t).out[0], ((const double[]){5, 6, 6, 8}), 0);
  t.in[1].data = NULL; /* ones */
  ck_reals(&trial_again(&t).out[0], ((const double[]){5, 6, 3, 4}), 0);
  trial_free(&t);
}
END_TEST

START_TEST(embedding_names_the_place_of_a_bad_id)
{
  trial t;
  lrp_call call;
  trial_begin(&t, (layer_sample){"embedding", NULL, {"2,3", "2,3"}, {"4,2"}});
  lrp_indices(&t.in[0])[5] = _i ? -5 : 4;
  ck_assert_int_eq(trial_forward(&t, NULL, NULL, 0, NULL, &call), LRP_E_INPUT);
  ck_assert_msg(
      strstr(lrp_message(trial_ctx), _i ? "id -5 at position (1,2)" : "id 4 at position (1,2)"),
      "%s", lrp_message(trial_ctx));
  trial_free(&t);
}
END_TEST

START_TEST(embedding_routes_all_relevance_of_a_row_to_its_id)
{
  trial t;
  trial_begin(&t, (layer_sample){"embedding", NULL, {"2", "2"}, {"3,4"}});
  const lrp_tensor r = trial_zeros(&t, &t.out[0]);
  lrp_tensor r_in[2] = {{0}, trial_zeros(&t, &t.in[1])};
  trial_put_count(&r);
  const lrp_site site = {
      .struct_size = sizeof site, .type = t.type, .call = &t.call, .r_out = &r, .r_in = r_in};
  ck_assert_int_eq(t.type->route(t.h, trial_ctx, &site), LRP_OK);
  ck_reals(&r_in[1], ((const double[]){10, 26}), 0);
  trial_free(&t);
}
END_TEST

typedef struct entry {
  const TTest *test;
  int n; /* it runs for _i from 0 to n - 1 */
} entry;

Suite *suite_layer_norm(void);
Suite *suite_layer_norm(void)
{
  const entry all[] = {
      {batchnorm_normalises_each_channel, 1},
      {batchnorm_affine_is_its_forward, 1},
      {batchnorm_refuses_a_negative_variance, 1},
      {softmax_masked_input_gets_zero, 2},
      {softmax_over_neighbours_is_softmax_of_the_flattened, 1},
      {softmax_of_large_inputs_is_finite, 1},
      {matmul_broadcasts_leading_axes, 1},
      {matmul_frozen_operand_gets_nothing, 1},
      {matmul_refuses_operands_that_do_not_fit, 1},
      {embedding_wraps_negative_ids_and_scales_by_the_carrier, 1},
      {embedding_names_the_place_of_a_bad_id, 2},
      {embedding_routes_all_relevance_of_a_row_to_its_id, 1},
  };
  Suite *s = suite_create("layer_norm");
  TCase *tc = tcase_create("values");
  tcase_add_checked_fixture(tc, trial_setup, trial_teardown);
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    tcase_add_loop_test(tc, all[i].test, 0, all[i].n);
  suite_add_tcase(s, tc);
  return s;
}
