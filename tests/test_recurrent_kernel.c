/* test_recurrent_kernel.c - the loops of the recurrent layers against their plain twins, and that
 * a sample's numbers do not depend on its company. */
#include "../plugins/recurrent_kernel.h"
#include "layer_trial.h"
#include <math.h>
#include <stdlib.h>

static lrp_real number(uint32_t *state)
{
  *state = *state * 1664525u + 1013904223u;
  return (lrp_real)((double)(*state >> 8) / (1 << 23) - 1);
}

static lrp_real *numbers(int64_t n, uint32_t seed)
{
  lrp_real *v = malloc((size_t)n * sizeof *v + 1);
  ck_assert_ptr_nonnull(v);
  for (int64_t i = 0; i < n; i++)
    v[i] = number(&seed);
  return v;
}

static const int64_t SIZES[][3] = {/* rows, k, n */
                                   {0, 3, 9},  {1, 0, 8},  {1, 1, 1},   {1, 60, 240},
                                   {1, 5, 87}, {2, 7, 60}, {3, 4, 17},  {4, 33, 23},
                                   {5, 60, 7}, {9, 3, 8},  {13, 2, 31}, {64, 300, 250}};

START_TEST(products_equal_plain_loops)
{
  const int64_t rows = SIZES[_i][0], k = SIZES[_i][1], n = SIZES[_i][2], b_row = n + 3;
  lrp_real *v = numbers(rows * k, 1), *b = numbers(k * b_row, 2), *fast = numbers(rows * n, 3),
           *plain = numbers(rows * n, 4);
  product p = {.v = v, .b = b, .out = fast, .rows = rows, .k = k, .n = n, .b_row = b_row};
  product_run(&p);
  p.out = plain;
  product_plain(&p);
  for (int64_t i = 0; i < rows * n; i++)
    ck_assert_double_eq_tol((double)fast[i], (double)plain[i], 1e-6 * (1 + (double)k));
  free(v), free(b), free(fast), free(plain);
}
END_TEST

START_TEST(activations_equal_the_library)
{
  enum { N = 4001 };
  lrp_real *a = numbers(N, 5), *y = numbers(N, 6);
  for (int which = ACT_SIGMOID; which <= ACT_RELU; which++) {
    for (int i = 0; i < N; i++)
      a[i] = i < 2000 ? a[i] : (lrp_real)((i - 3000) * 0.12);
    act_run(which, a, N, y);
    for (int i = 0; i < N; i++) {
      const double x = (double)a[i], want = which == ACT_SIGMOID ? 1 / (1 + exp(-x))
                                            : which == ACT_TANH  ? tanh(x)
                                                                 : fmax(x, 0);
      ck_assert_msg(fabs((double)y[i] - want) <= 4e-7 * fabs(want) + 1e-37,
                    "%d: f(%g) = %.9g, not %.9g", which, x, (double)y[i], want);
    }
  }
  free(a), free(y);
}
END_TEST

START_TEST(activations_keep_what_is_not_a_number)
{
  const lrp_real a[] = {(lrp_real)NAN, (lrp_real)INFINITY, -(lrp_real)INFINITY, 0, -0.0f};
  lrp_real y[5];
  act_run(ACT_TANH, a, 5, y);
  ck_assert(isnan(y[0]) && y[1] == 1 && y[2] == -1 && y[3] == 0 && y[4] == 0);
  act_run(ACT_SIGMOID, a, 5, y);
  ck_assert(isnan(y[0]) && y[1] == 1 && y[3] == (lrp_real)0.5);
  ck_assert_double_le((double)y[2], 1e-37);
  act_run(ACT_RELU, a, 5, y);
  ck_assert(isnan(y[0]) && y[2] == 0);
}
END_TEST

START_TEST(rows_have_the_same_bits_in_any_company)
{
  enum { K = 61, N = 83, ROWS_MOST = 11 };
  lrp_real *v = numbers(ROWS_MOST * K, 7), *b = numbers(K * N, 8), *all = numbers(ROWS_MOST * N, 9),
           *alone = numbers(N, 10);
  const product p = {.v = v, .b = b, .out = all, .rows = ROWS_MOST, .k = K, .n = N, .b_row = N};
  product_run(&p);
  for (int64_t r = 0; r < ROWS_MOST; r++) {
    const product one = {
        .v = v + r * K, .b = b, .out = alone, .rows = 1, .k = K, .n = N, .b_row = N};
    product_run(&one);
    ck_assert(!memcmp(alone, all + r * N, N * sizeof *alone));
  }
  free(v), free(b), free(all), free(alone);
}
END_TEST

/* Vectors of 32 and 64 bytes, and what compilers make for any processor. */
START_TEST(widths_of_vectors_give_the_same_bits)
{
#if defined __x86_64__ && !defined __AVX2__
  const int64_t rows = SIZES[_i][0], k = SIZES[_i][1], n = SIZES[_i][2];
  const int64_t lanes = 64 / (int64_t)sizeof(lrp_real);
  if (n < lanes || !has_avx512()) return;
  lrp_real *v = numbers(rows * k, 1), *b = numbers(k * n, 2), *a = numbers(rows * n, 3), *c = numbers(rows * n, 4);
  product p = {.v = v, .b = b, .out = a, .rows = rows, .k = k, .n = n, .b_row = n};
  for (int64_t j = 0; j < n; j += lanes)
    strip_wide_64(&p, j + lanes <= n ? j : n - lanes, lanes);
  p.out = c;
  for (int64_t j = 0; j < n; j += lanes)
    strip_wide_32(&p, j + lanes <= n ? j : n - lanes, lanes);
  ck_assert(!memcmp(a, c, (size_t)(rows * n) * sizeof *a));
#ifndef LRP_REAL_DOUBLE
  for (int which = ACT_SIGMOID; which <= ACT_TANH; which++) {
    act_rows_wide_64(which, b, rows * n < k * n ? rows * n : k * n, a);
    act_rows_wide_32(which, b, rows * n < k * n ? rows * n : k * n, c);
    ck_assert(!memcmp(a, c, (size_t)(rows * n) * sizeof *a));
  }
#endif
  free(v), free(b), free(a), free(c);
#endif
}
END_TEST

/* ---- a whole layer ---- */

static const struct company {
  layer_sample batch, single;
} COMPANY[] = {{{"lstm", "direction=bidirectional", {"6,5,9"}, {"2,52,9", "2,52,13", "2,104"}},
                {"lstm", "direction=bidirectional", {"6,1,9"}, {"2,52,9", "2,52,13", "2,104"}}},
               {{"gru", NULL, {"6,5,9"}, {"1,39,9", "1,39,13", "1,78"}},
                {"gru", NULL, {"6,1,9"}, {"1,39,9", "1,39,13", "1,78"}}}};

/* Relevance 1 for all of y, by epsilon, gates frozen. */
static lrp_tensor relevance_of(trial *t)
{
  lrp_value args[16];
  lrp_tensor r_out[TRIAL_MAX], r_in[TRIAL_MAX];
  const lrp_rule *rule = lrp_find_rule(t->ctx, "epsilon");
  lrp_ck_ok(t->ctx, lrp_args_default(t->ctx, "epsilon", rule->args, args));
  args[0].real = 1e-3;
  t->call = trial_again(t);
  t->call.freeze = 1;
  for (uint32_t k = 0; k < t->call.n_out; k++) {
    r_out[k] = trial_zeros(t, &t->out[k]);
    if (!k) trial_put_all(&r_out[k], 1);
  }
  r_in[0] = trial_zeros(t, &t->in[0]);
  const lrp_site site = {.struct_size = sizeof site,
                         .type = t->type,
                         .inst = t->inst,
                         .call = &t->call,
                         .r_out = r_out,
                         .r_in = r_in};
  lrp_ck_ok(t->ctx, t->h->relprop(t->ctx, rule, args, &site));
  return r_in[0];
}

START_TEST(a_batch_gives_each_sample_its_own_bits)
{
  enum { T = 6, B = 5, WIDTH = 9 };
  const struct company *c = &COMPANY[_i];
  trial all, one;
  trial_begin(&all, c->batch);
  const lrp_tensor r = relevance_of(&all);
  for (int64_t b = 0; b < B; b++) {
    trial_begin(&one, c->single);
    for (uint32_t p = 0; p < 3; p++)
      memcpy(one.param[p].data, all.param[p].data,
             (size_t)lrp_count(&one.param[p]) * sizeof(lrp_real));
    for (int64_t t = 0; t < T; t++)
      memcpy(lrp_reals(&one.in[0]) + t * WIDTH, lrp_reals(&all.in[0]) + (t * B + b) * WIDTH,
             WIDTH * sizeof(lrp_real));
    const lrp_tensor alone = relevance_of(&one);
    for (int64_t t = 0; t < T; t++)
      ck_assert(!memcmp(lrp_reals(&alone) + t * WIDTH, lrp_reals(&r) + (t * B + b) * WIDTH,
                        WIDTH * sizeof(lrp_real)));
    trial_free(&one);
  }
  trial_free(&all);
}
END_TEST

/* Large enough for products to be shared out. */
static const layer_sample LARGE[] = {
    {"lstm", "direction=bidirectional", {"48,9,40"}, {"2,256,40", "2,256,64", "2,512"}},
    {"gru", NULL, {"64,9,40"}, {"1,192,40", "1,192,64", "1,384"}},
    {"rnn", NULL, {"128,9,64"}, {"1,64,64", "1,64,64", "1,128"}}};

START_TEST(one_thread_and_two_give_the_same_bits)
{
  trial t;
  lrp_tensor y[2], r[2];
  trial_begin(&t, LARGE[_i]);
  for (int n = 0; n < 2; n++) {
    lrp_set_threads(n + 1);
    r[n] = relevance_of(&t);
    y[n] = trial_copy(&t, &t.call.out[0]);
  }
  lrp_set_threads(0);
  ck_assert(!memcmp(y[0].data, y[1].data, (size_t)lrp_count(&y[0]) * sizeof(lrp_real)));
  ck_assert(!memcmp(r[0].data, r[1].data, (size_t)lrp_count(&r[0]) * sizeof(lrp_real)));
  trial_free(&t);
}
END_TEST

Suite *suite_recurrent_kernel(void);
Suite *suite_recurrent_kernel(void)
{
  Suite *s = suite_create("recurrent_kernel");
  TCase *t = tcase_create("loops");
  tcase_add_loop_test(t, products_equal_plain_loops, 0, sizeof SIZES / sizeof SIZES[0]);
  tcase_add_loop_test(t, widths_of_vectors_give_the_same_bits, 0, sizeof SIZES / sizeof SIZES[0]);
  tcase_add_test(t, activations_equal_the_library);
  tcase_add_test(t, activations_keep_what_is_not_a_number);
  tcase_add_test(t, rows_have_the_same_bits_in_any_company);
  suite_add_tcase(s, t);
  t = tcase_create("layers");
  tcase_add_checked_fixture(t, trial_setup, trial_teardown);
  tcase_add_loop_test(t, a_batch_gives_each_sample_its_own_bits, 0, 2);
  tcase_add_loop_test(t, one_thread_and_two_give_the_same_bits, 0, sizeof LARGE / sizeof LARGE[0]);
  suite_add_tcase(s, t);
  return s;
}
