/* test_layer_linear.c - numbers of dense, convolution and pool layers, worked out by hand or
 * computed in a second way. */
#include "layer_trial.h"
#include <math.h>
#include <string.h>

/* ---- dense ---- */

START_TEST(dense_scales_product_and_bias)
{
  trial t;
  trial_begin(&t, (layer_sample){"dense", "trans=on, alpha=0.5, beta=2", {"1,2"}, {"3,2", "1,3"}});
  trial_put(&t.in[0], (const double[]){2, 4});
  trial_put(&t.param[0], (const double[]){1, 0, 0, 1, 1, 1});
  trial_put(&t.param[1], (const double[]){10, 20, 30});
  ck_reals(&trial_again(&t).out[0], ((const double[]){21, 42, 63}), 0);
  trial_free(&t);
}
END_TEST

START_TEST(dense_refuses_other_columns)
{
  const char *text =
      trial_refusal((layer_sample){"dense", NULL, {"2,3"}, {"4,5", NULL}}, LRP_E_SHAPE);
  ck_assert_msg(strstr(text, "has 3 elements") && strstr(text, "expects 4"), "%s", text);
}
END_TEST

/* fold(y s + t) gives the same as the layer followed by the scale and shift. */
static void check_fold(layer_sample s)
{
  trial t;
  trial_begin(&t, s);
  const int64_t c = t.out[0].shape[t.out[0].rank - 1];
  const lrp_tensor vector = {.dtype = LRP_REAL, .rank = 1, .shape = {c}};
  const lrp_tensor scale = trial_zeros(&t, &vector), shift = trial_zeros(&t, &vector);
  lrp_tensor param[TRIAL_MAX];
  lrp_call folded;
  trial_fill(&scale, 41);
  trial_fill(&shift, 43);
  param[0] = trial_zeros(&t, &t.param[0]);
  param[1] = trial_zeros(&t, t.param[1].data ? &t.param[1] : &vector);
  ck_assert_int_eq(t.type->fold(t.h, trial_ctx, t.inst, &t.call, &scale, &shift, param), LRP_OK);
  ck_assert_int_eq(trial_forward(&t, NULL, param, 0, NULL, &folded), LRP_OK);
  for (int64_t i = 0, n = lrp_count(&t.out[0]); i < n; i++) {
    const double want = (double)lrp_reals(&t.out[0])[i] * (double)lrp_reals(&scale)[i % c] +
                        (double)lrp_reals(&shift)[i % c];
    ck_assert_double_eq_tol((double)lrp_reals(&folded.out[0])[i], want, 1e-5);
  }
  trial_free(&t);
}

START_TEST(folded_scale_gives_the_same_output)
{
  static const layer_sample s[] = {
      {"dense", "trans=off, alpha=0.5, beta=2", {"3,5"}, {"5,4", "4"}},
      {"dense", "trans=on", {"3,5"}, {"4,5", NULL}},
      {"conv", "group=2, stride=2", {"2,5,4"}, {"6,2,3", "6"}},
      {"convtranspose", "group=2, stride=2", {"2,3,4"}, {"4,3,3", "6"}},
      {"convtranspose", "pad=1/1/1/1", {"1,3,3,2"}, {"2,4,3,3", NULL}},
  };
  check_fold(s[_i]);
}
END_TEST

/* ---- convolution ---- */

START_TEST(conv_pads_the_end_first_for_same_upper)
{
  trial t;
  trial_begin(&t,
              (layer_sample){"conv", "auto_pad=same_upper, stride=2", {"1,4,1"}, {"1,1,3", NULL}});
  trial_put_count(&t.in[0]);
  trial_put(&t.param[0], (const double[]){1, 10, 100});
  ck_reals(&trial_again(&t).out[0], ((const double[]){321, 43}), 0);
  trial_free(&t);
  trial_begin(&t,
              (layer_sample){"conv", "auto_pad=same_lower, stride=2", {"1,4,1"}, {"1,1,3", NULL}});
  trial_put_count(&t.in[0]);
  trial_put(&t.param[0], (const double[]){1, 10, 100});
  ck_reals(&trial_again(&t).out[0], ((const double[]){210, 432}), 0);
  trial_free(&t);
}
END_TEST

START_TEST(conv_refuses_a_window_larger_than_x)
{
  const char *text =
      trial_refusal((layer_sample){"conv", "dilation=4", {"1,7,3"}, {"2,3,3", NULL}}, LRP_E_SHAPE);
  ck_assert_msg(strstr(text, "reaches over 9 elements") && strstr(text, "has 7"), "%s", text);
  text = trial_refusal((layer_sample){"conv", "stride=1/1", {"1,7,3"}, {"2,3,3", NULL}}, LRP_E_ARG);
  ck_assert_msg(strstr(text, "stride has 2 values"), "%s", text);
  text = trial_refusal((layer_sample){"conv", "group=2", {"1,7,3"}, {"2,3,3", NULL}}, LRP_E_SHAPE);
  ck_assert_msg(strstr(text, "3 channels"), "%s", text);
}
END_TEST

/* The first example of the ONNX page on ConvTranspose, one output channel. */
START_TEST(convtranspose_gives_the_onnx_example)
{
  trial t;
  trial_begin(&t, (layer_sample){"convtranspose", NULL, {"1,3,3,1"}, {"1,1,3,3", NULL}});
  trial_put_count(&t.in[0]);
  for (int64_t i = 0; i < 9; i++)
    lrp_reals(&t.in[0])[i] -= 1;
  trial_put_all(&t.param[0], 1);
  ck_reals(&trial_again(&t).out[0],
           ((const double[]){0,  1,  3, 3,  2,  3,  8,  15, 12, 7,  9,  21, 36,
                             27, 15, 9, 20, 33, 24, 13, 6,  13, 21, 15, 8}),
           0);
  trial_free(&t);
}
END_TEST

/* With output_shape the odd pad goes to the beginning, for same_upper to the end (ONNX
 * ConvTranspose-11). */
START_TEST(convtranspose_splits_the_pads_of_an_output_shape)
{
  trial t;
  trial_begin(&t, (layer_sample){"convtranspose", "output_shape=4", {"1,3,1"}, {"1,1,3", NULL}});
  trial_put_count(&t.in[0]);
  trial_put(&t.param[0], (const double[]){1, 10, 100});
  ck_reals(&trial_again(&t).out[0], ((const double[]){12, 123, 230, 300}),
           0); /* the whole is 1 12 123 230 300 */
  trial_free(&t);
  trial_begin(
      &t, (layer_sample){
              "convtranspose", "output_shape=4, auto_pad=same_upper", {"1,3,1"}, {"1,1,3", NULL}});
  trial_put_count(&t.in[0]);
  trial_put(&t.param[0], (const double[]){1, 10, 100});
  ck_reals(&trial_again(&t).out[0], ((const double[]){1, 12, 123, 230}), 0);
  trial_free(&t);
}
END_TEST

START_TEST(convtranspose_refuses_output_padding_of_a_stride)
{
  const char *text =
      trial_refusal((layer_sample){"convtranspose", "output_padding=1", {"1,3,1"}, {"1,1,3", NULL}},
                    LRP_E_UNSUPPORTED);
  ck_assert_msg(strstr(text, "behind the last stride"), "%s", text);
}
END_TEST

/* ---- pools ---- */

START_TEST(maxpool_first_of_equal_maxima_wins)
{
  trial t;
  lrp_tensor bar[TRIAL_MAX];
  trial_begin(&t, (layer_sample){"maxpool", "kernel=2/2, stride=2/2", {"1,2,4,1"}, {NULL}});
  trial_put(&t.in[0], (const double[]){0, 5, 7, 7, 5, 5, 7, 7});
  lrp_call call = trial_again(&t);
  ck_reals(&call.out[0], ((const double[]){5, 7}), 0);
  ck_assert_int_eq(lrp_indices(&call.saved[0])[0], 1);
  ck_assert_int_eq(lrp_indices(&call.saved[0])[1], 2);
  ck_assert_int_eq(trial_vjp(&t, &call, call.out, bar), LRP_OK);
  ck_reals(&bar[0], ((const double[]){0, 5, 7, 0, 0, 0, 0, 0}), 0);
  trial_free(&t);
}
END_TEST

START_TEST(maxpool_padding_never_wins)
{
  trial t;
  trial_begin(&t, (layer_sample){
                      "maxpool", "kernel=3, stride=2, pad=1/1, ceil_mode=on", {"1,4,1"}, {NULL}});
  trial_put(&t.in[0], (const double[]){-4, -3, -2, -1});
  ck_reals(&trial_again(&t).out[0], ((const double[]){-3, -1, -1}), 0);
  trial_free(&t);
}
END_TEST

START_TEST(maxpool_argmax_counts_channels_last_positions)
{
  trial t;
  trial_begin(&t, (layer_sample){"globalmaxpool", NULL, {"2,2,2,3"}, {NULL}});
  trial_put_count(&t.in[0]);
  lrp_call call = trial_again(&t);
  ck_reals(&call.out[0], ((const double[]){10, 11, 12, 22, 23, 24}), 0);
  for (int64_t i = 0; i < 6; i++)
    ck_assert_int_eq(lrp_indices(&call.saved[0])[i], 9 + i % 3);
  trial_free(&t);
}
END_TEST

START_TEST(maxpool_nan_is_not_hidden)
{
  trial t;
  trial_begin(&t, (layer_sample){"maxpool", "kernel=3", {"1,3,1"}, {NULL}});
  trial_put(&t.in[0], (const double[]){1, (double)NAN, 2});
  ck_assert(isnan(lrp_reals(&trial_again(&t).out[0])[0]));
  trial_free(&t);
}
END_TEST

/* A window that ceil mode lets reach behind the padding divides by what lies inside x and its
 * padding only. */
START_TEST(avgpool_counts_what_lies_inside)
{
  static const struct {
    const char *args;
    double want[3];
  } each[] = {
      {"kernel=3, stride=2, pad=1/1", {1.5, 3, 4.5}},
      {"kernel=3, stride=2, pad=1/1, count_include_pad=on", {1, 3, 3}},
      {"kernel=4, stride=2, pad=1/1, ceil_mode=on", {2, 3.5, 4.5}},
      {"kernel=4, stride=2, pad=1/1, ceil_mode=on, count_include_pad=on", {1.5, 3.5, 3}},
  };
  trial t;
  trial_begin(&t, (layer_sample){"avgpool", each[_i].args, {"1,5,1"}, {NULL}});
  trial_put_count(&t.in[0]);
  ck_reals(&trial_again(&t).out[0], each[_i].want, 1e-6);
  trial_free(&t);
}
END_TEST

/* A last window that would start behind x is dropped in ceil mode. */
START_TEST(pool_ceil_mode_drops_a_window_behind_x)
{
  trial t;
  trial_begin(&t, (layer_sample){"maxpool", "kernel=1, stride=2, ceil_mode=on", {"1,4,1"}, {NULL}});
  ck_assert_int_eq(t.out[0].shape[1], 2);
  trial_free(&t);
}
END_TEST

START_TEST(globalavgpool_sums_many_in_double)
{
  trial t;
  trial_begin(&t, (layer_sample){"globalavgpool", NULL, {"1,300,300,2"}, {NULL}});
  trial_put_all(&t.in[0], 0.1);
  const lrp_call call = trial_again(&t);
  ck_assert_int_eq(call.out[0].rank, 4);
  ck_reals(&call.out[0], ((const double[]){0.1, 0.1}), 1e-8);
  trial_free(&t);
}
END_TEST

START_TEST(pool_refuses_windows_in_the_padding)
{
  const char *text =
      trial_refusal((layer_sample){"avgpool", "kernel=2, pad=2/0", {"1,4,1"}, {NULL}}, LRP_E_ARG);
  ck_assert_msg(strstr(text, "pads of 2 and 0"), "%s", text);
  text = trial_refusal(
      (layer_sample){"maxpool", "kernel=2, dilation=5, pad=3/3", {"1,1,1"}, {NULL}}, LRP_E_ARG);
  ck_assert_msg(strstr(text, "in the padding only"), "%s", text);
  text = trial_refusal((layer_sample){"maxpool", "", {"1,4,1"}, {NULL}}, LRP_E_ARG);
  ck_assert_msg(strstr(text, "kernel"), "%s", text);
}
END_TEST

typedef struct entry {
  const TTest *test;
  int n; /* it runs for _i from 0 to n - 1 */
} entry;

Suite *suite_layer_linear(void);
Suite *suite_layer_linear(void)
{
  const entry all[] = {
      {dense_scales_product_and_bias, 1},
      {dense_refuses_other_columns, 1},
      {folded_scale_gives_the_same_output, 5},
      {conv_pads_the_end_first_for_same_upper, 1},
      {conv_refuses_a_window_larger_than_x, 1},
      {convtranspose_gives_the_onnx_example, 1},
      {convtranspose_splits_the_pads_of_an_output_shape, 1},
      {convtranspose_refuses_output_padding_of_a_stride, 1},
      {maxpool_first_of_equal_maxima_wins, 1},
      {maxpool_padding_never_wins, 1},
      {maxpool_argmax_counts_channels_last_positions, 1},
      {maxpool_nan_is_not_hidden, 1},
      {avgpool_counts_what_lies_inside, 4},
      {pool_ceil_mode_drops_a_window_behind_x, 1},
      {globalavgpool_sums_many_in_double, 1},
      {pool_refuses_windows_in_the_padding, 1},
  };
  Suite *s = suite_create("layer_linear");
  TCase *tc = tcase_create("values");
  tcase_add_checked_fixture(tc, trial_setup, trial_teardown);
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    tcase_add_loop_test(tc, all[i].test, 0, all[i].n);
  suite_add_tcase(s, tc);
  return s;
}
