/* test_vector.c - e^x and P(Z < x) beside the C library's, at ordinary and at odd places, and loops that are compiled
 * twice beside their plain form. */
#include "lrp/vector.h"
#include "test.h"

enum { N = 4099 }; /* no whole number of vectors */

LRP_LOOP void exp_all_any(const lrp_real *x, int64_t n, lrp_real *y)
{
#pragma omp simd
  for (int64_t i = 0; i < n; i++)
    y[i] = lrp_exp(x[i]);
}
LRP_TWICE(void, exp_all, (const lrp_real *x, int64_t n, lrp_real *y), (x, n, y))

LRP_LOOP void normal_all_any(const lrp_real *x, int64_t n, lrp_real *y)
{
#pragma omp simd
  for (int64_t i = 0; i < n; i++)
    y[i] = lrp_normal(x[i]);
}
LRP_TWICE(void, normal_all, (const lrp_real *x, int64_t n, lrp_real *y), (x, n, y))

typedef void all_fn(const lrp_real *x, int64_t n, lrp_real *y);
typedef double one_fn(double);

static void fill(double low, double high, lrp_real *x)
{
  for (int64_t i = 0; i < N; i++)
    x[i] = (lrp_real)(low + (high - low) * (double)i / (N - 1));
}

/* Both forms within a relative error of the exact value, and of each other bit for bit. */
static void close_to(all_fn *wide, all_fn *plain, one_fn *exact, double low, double high, double relative)
{
  lrp_real x[N], y[N], z[N];
  fill(low, high, x);
  wide(x, N, y);
  plain(x, N, z);
  ck_assert_mem_eq(y, z, sizeof y);
  for (int64_t i = 0; i < N; i++) {
    const double want = exact((double)x[i]);
    ck_assert_msg(fabs((double)y[i] - want) <= relative * want + 1e-44, "of %.9g: %.9g, not %.9g",
                  (double)x[i], (double)y[i], want);
  }
}

static void exp_plain(const lrp_real *x, int64_t n, lrp_real *y)
{
  exp_all_any(x, n, y);
}

static void normal_plain(const lrp_real *x, int64_t n, lrp_real *y)
{
  normal_all_any(x, n, y);
}

static double normal_exact(double x)
{
  return 0.5 * erfc(-x * 0.70710678118654752440);
}

START_TEST(exponential_is_within_two_units_in_the_last_place)
{
  close_to(exp_all, exp_plain, exp, -87, 88, 2.4e-7);
  close_to(exp_all, exp_plain, exp, -104, -87, 1e-3); /* few digits are left there */
  close_to(exp_all, exp_plain, exp, -1e-3, 1e-3, 1.3e-7);
}
END_TEST

START_TEST(normal_keeps_its_digits_far_to_the_left)
{
  close_to(normal_all, normal_plain, normal_exact, -1, 12, 5e-7);
  close_to(normal_all, normal_plain, normal_exact, -5, -1, 1e-6);
  close_to(normal_all, normal_plain, normal_exact, -12, -5, 5e-6);
}
END_TEST

START_TEST(what_is_not_finite_is_taken_as_by_the_c_library)
{
  const lrp_real inf = (lrp_real)INFINITY, x[] = {inf, -inf, (lrp_real)NAN, 0, 1000, -1000};
  lrp_real y[6], p[6];
  exp_all(x, 6, y);
  normal_all(x, 6, p);
  ck_assert(isinf(y[0]) && y[0] > 0 && y[1] == 0 && isnan(y[2]) && y[3] == 1 && isinf(y[4]) && y[5] == 0);
  ck_assert(p[0] == 1 && p[1] == 0 && isnan(p[2]) && fabs((double)p[3] - 0.5) < 1e-6 && p[4] == 1 && p[5] == 0);
}
END_TEST

Suite *suite_vector(void);
Suite *suite_vector(void)
{
  Suite *s = suite_create("vector");
  TCase *t = tcase_create("vector");
  tcase_add_test(t, exponential_is_within_two_units_in_the_last_place);
  tcase_add_test(t, normal_keeps_its_digits_far_to_the_left);
  tcase_add_test(t, what_is_not_finite_is_taken_as_by_the_c_library);
  suite_add_tcase(s, t);
  return s;
}
