/* test_bf16.c - products and convolutions in bf16 and bf16x3: exact where bf16 holds the numbers,
 * near f32 by a known error else, and never in a build in double. */
#include "kernel_problem.h"
#include <math.h>

typedef struct source {
  uint64_t state;
  bool whole; /* numbers -8 to 8, which bf16 holds, instead of any in -1..1 */
} source;

static lrp_tensor tensor(source *s, int32_t rank, const int64_t *shape)
{
  const lrp_tensor t = problem_tensor(rank, shape);
  lrp_real *v = lrp_reals(&t);
  for (int64_t i = 0; i < lrp_count(&t); i++) {
    s->state = s->state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    const int64_t top = (int64_t)(s->state >> 40); /* 24 bits */
    v[i] = s->whole ? (lrp_real)(top % 17 - 8) : (lrp_real)((double)top / 8388608.0 - 1);
  }
  return t;
}

static lrp_ctx *context(int32_t precision)
{
  lrp_ctx *ctx;
  lrp_set_threads(1);
  ck_assert_int_eq(lrp_ctx_new(&ctx), LRP_OK);
  if (sizeof(lrp_real) == 4) lrp_ck_ok(ctx, lrp_set_precision(ctx, precision));
  return ctx;
}

/* The largest |got - want| in units of the mean of |want|. */
static double error_of(const lrp_tensor *got, const lrp_tensor *want)
{
  double e = 0, size = 0;
  for (int64_t i = 0; i < lrp_count(want); i++) {
    e = fmax(e, fabs((double)lrp_reals(got)[i] - (double)lrp_reals(want)[i]));
    size += fabs((double)lrp_reals(want)[i]);
  }
  return e * (double)lrp_count(want) / size;
}

static const int32_t LOW[] = {LRP_PRECISION_BF16X3, LRP_PRECISION_BF16};

/* ---- every way through the kernels: f32, then both precisions, without and with a pack ---- */

typedef lrp_status compute_fn(lrp_ctx *, int which, void *job);

static void same_in_all(compute_fn *compute, void *job, lrp_tensor *weights, lrp_tensor *out)
{
  lrp_ctx *ctx = context(LRP_PRECISION_F32);
  lrp_ck_ok(ctx, compute(ctx, LRP_KERNEL_PLAIN, job));
  const size_t bytes = (size_t)lrp_count(out) * sizeof(lrp_real);
  lrp_real *want = malloc(bytes + 1);
  ck_assert_ptr_nonnull(want);
  memcpy(want, out->data, bytes);
  for (int round = 0; round < 12; round++) {
    const int which = LRP_KERNEL_AUTO + round % 3;
    lrp_ck_ok(ctx, lrp_set_precision(ctx, LOW[round / 3 % 2]));
    if (round == 6) lrp_ck_ok(ctx, lrp_pack_attach(ctx, weights));
    memset(out->data, 0x7f, bytes);
    lrp_ck_ok(ctx, compute(ctx, which, job));
    ck_assert_msg(!memcmp(want, out->data, bytes), "%s, kernel %d, round %d",
                  lrp_precision_name(ctx), which, round);
  }
  lrp_pack_free(weights);
  free(want);
  lrp_ctx_free(ctx);
}

static lrp_status product_compute(lrp_ctx *ctx, int which, void *job)
{
  return product_run(ctx, which, job);
}

static product product_make(source *s, int64_t m, int64_t n, int64_t k, int trans, int64_t batch_a,
                            int64_t batch_b)
{
  product p = {.m = m, .n = n, .k = k, .trans_a = trans & 1, .trans_b = trans >> 1, .with_bias = true};
  const int64_t batch = batch_a > batch_b ? batch_a : batch_b;
  p.a = tensor(s, 3, (int64_t[]){batch_a, p.trans_a ? k : m, p.trans_a ? m : k});
  p.b = tensor(s, 3, (int64_t[]){batch_b, p.trans_b ? n : k, p.trans_b ? k : n});
  p.bias = tensor(s, 1, &n);
  p.out = tensor(s, 3, (int64_t[]){batch, m, n});
  return p;
}

START_TEST(products_of_numbers_that_bf16_holds_are_exact)
{
  static const int64_t size[][5] = {{13, 21, 130, 1, 1}, {1, 40, 50, 1, 1},  {40, 1, 50, 3, 3},
                                    {7, 9, 1, 2, 2},     {60, 70, 50, 4, 1}, {60, 33, 80, 1, 3}};
  if (sizeof(lrp_real) == 8) return;
  for (int trans = 0; trans < 4; trans++) {
    source s = {.state = (uint64_t)_i, .whole = true};
    const int64_t *z = size[_i];
    product p = product_make(&s, z[0], z[1], z[2], trans, z[3], z[4]);
    same_in_all(product_compute, &p, &p.b, &p.out);
    product_free(&p);
  }
}
END_TEST

static lrp_status conv_forward(lrp_ctx *ctx, int which, void *job)
{
  return conv_run(ctx, which, job, false);
}

static lrp_status conv_backward(lrp_ctx *ctx, int which, void *job)
{
  return conv_run(ctx, which, job, true);
}

static convolution conv_make(source *s, int64_t group, int64_t c, int64_t o, int64_t stride)
{
  convolution v = {.c = {.struct_size = sizeof v.c,
                         .n_spatial = 2,
                         .stride = {stride, 1},
                         .dilation = {1, 2},
                         .pad_lo = {1, 0},
                         .pad_hi = {1, 3},
                         .group = group}};
  v.x = tensor(s, 4, (int64_t[]){2, 11, 9, group * c});
  v.w = tensor(s, 4, (int64_t[]){group * o, c, 3, 2});
  v.b = tensor(s, 1, (int64_t[]){group * o});
  v.y = tensor(s, 4, (int64_t[]){2, (11 + 2 - 3) / stride + 1, 10, group * o});
  return v;
}

START_TEST(convolutions_of_numbers_that_bf16_holds_are_exact)
{
  static const int64_t size[][4] = {
      {1, 20, 18, 1}, {1, 3, 5, 2}, {4, 1, 1, 1}, {2, 5, 17, 2}, {3, 2, 4, 1}};
  if (sizeof(lrp_real) == 8) return;
  for (int way = 0; way < 2; way++) {
    source s = {.state = (uint64_t)_i + 100, .whole = true};
    const int64_t *z = size[_i];
    convolution v = conv_make(&s, z[0], z[1], z[2], z[3]);
    same_in_all(way ? conv_backward : conv_forward, &v, &v.w, way ? &v.x : &v.y);
    conv_free(&v);
  }
}
END_TEST

/* ---- errors ---- */

/* Against f32, by all kernels: bf16x3 a few times f32's own error, bf16 its 8 bits. */
static void error_check(compute_fn *compute, void *job, lrp_tensor *out)
{
  static const double most[] = {4e-5, 2e-2}, least[] = {4e-6, 2e-3};
  lrp_ctx *ctx = context(LRP_PRECISION_F32);
  lrp_ck_ok(ctx, compute(ctx, LRP_KERNEL_AUTO, job));
  lrp_tensor want = *out;
  want.data = malloc((size_t)lrp_count(out) * sizeof(lrp_real));
  ck_assert_ptr_nonnull(want.data);
  memcpy(want.data, out->data, (size_t)lrp_count(out) * sizeof(lrp_real));
  for (int i = 0; i < 6; i++) {
    lrp_ck_ok(ctx, lrp_set_precision(ctx, LOW[i % 2]));
    lrp_ck_ok(ctx, compute(ctx, i / 2, job));
    const double e = error_of(out, &want);
    ck_assert_msg(e > least[i % 2] && e < most[i % 2], "%s, kernel %d: error %g",
                  lrp_precision_name(ctx), i / 2, e);
  }
  free(want.data);
  lrp_ctx_free(ctx);
}

START_TEST(products_err_by_what_their_precision_says)
{
  if (sizeof(lrp_real) == 8) return;
  source s = {.state = 5};
  product p = product_make(&s, 64, 90, 256, _i, 1, 1);
  error_check(product_compute, &p, &p.out);
  product_free(&p);
}
END_TEST

START_TEST(convolutions_err_by_what_their_precision_says)
{
  if (sizeof(lrp_real) == 8) return;
  source s = {.state = 6};
  convolution v = conv_make(&s, 1 + _i / 2, 24, 16, 1);
  error_check(_i % 2 ? conv_backward : conv_forward, &v, _i % 2 ? &v.x : &v.y);
  conv_free(&v);
}
END_TEST

/* A pack holds a square matrix rounded and laid out for each way. */
START_TEST(a_pack_serves_a_square_matrix_both_ways)
{
  if (sizeof(lrp_real) == 8) return;
  source s = {.state = 8};
  product p = product_make(&s, 64, 256, 256, 0, 1, 1), plain = p;
  plain.out = problem_tensor(3, p.out.shape);
  p.b.rank = plain.b.rank = 2;
  for (int i = 0; i < 2; i++)
    p.b.shape[i] = plain.b.shape[i] = 256;
  lrp_ctx *ctx = context(LOW[_i]);
  lrp_ck_ok(ctx, lrp_pack_attach(ctx, &p.b));
  for (int round = 0; round < 8; round++) {
    const int which = round / 4 ? LRP_KERNEL_DNNL : LRP_KERNEL_AUTO;
    p.trans_b = plain.trans_b = round % 2;
    lrp_ck_ok(ctx, product_run(ctx, which, &p));
    lrp_ck_ok(ctx, product_run(ctx, LRP_KERNEL_PLAIN, &plain));
    const double e = error_of(&p.out, &plain.out); /* the same products, summed in another order */
    ck_assert_msg(e < 2e-5, "%s, kernel %d, round %d: %g", lrp_precision_name(ctx), which, round, e);
  }
  lrp_pack_free(&p.b);
  free(plain.out.data);
  product_free(&p);
  lrp_ctx_free(ctx);
}
END_TEST

/* Large enough for oneDNN and for threads. */
START_TEST(one_thread_and_two_give_the_same_bits)
{
  if (sizeof(lrp_real) == 8) return;
  source s = {.state = 9};
  product p = product_make(&s, 256, 512, 384, _i / 2 * 2, 1, 1);
  lrp_ctx *ctx = context(LOW[_i % 2]);
  lrp_ck_ok(ctx, product_run(ctx, LRP_KERNEL_AUTO, &p));
  const size_t bytes = (size_t)lrp_count(&p.out) * sizeof(lrp_real);
  lrp_real *want = malloc(bytes);
  ck_assert_ptr_nonnull(want);
  memcpy(want, p.out.data, bytes);
  lrp_set_threads(2);
  lrp_ck_ok(ctx, product_run(ctx, LRP_KERNEL_AUTO, &p));
  lrp_set_threads(1);
  ck_assert_mem_eq(want, p.out.data, bytes);
  free(want);
  product_free(&p);
  lrp_ctx_free(ctx);
}
END_TEST

static lrp_real one_product(int32_t precision, double a, double b)
{
  lrp_ctx *ctx = context(precision);
  lrp_real x = (lrp_real)a, y = (lrp_real)b, z = 0;
  lrp_tensor tx = {.dtype = LRP_REAL, .rank = 2, .shape = {1, 1}, .data = &x}, ty = tx, tz = tx;
  ty.data = &y;
  tz.data = &z;
  lrp_ck_ok(ctx, lrp_matmul(ctx, LRP_KERNEL_PLAIN, &tx, 0, &ty, 0, NULL, &tz));
  lrp_ctx_free(ctx);
  return z;
}

START_TEST(factors_are_rounded_to_nearest_and_ties_to_even)
{
  static const double ulp = 1.0 / 128;
  static const double pair[][2] = {{1 + ulp / 2, 1},
                                   {1 + 3 * ulp / 2, 1 + 2 * ulp},
                                   {-1 - 0.51 * ulp, -1 - ulp},
                                   {1 + 0.49 * ulp, 1},
                                   {1e-39, 9.98e-40}};
  if (sizeof(lrp_real) == 8) return;
  for (size_t i = 0; i < 4; i++)
    ck_assert_double_eq((double)one_product(LRP_PRECISION_BF16, pair[i][0], 1), pair[i][1]);
  const double tiny = (double)one_product(LRP_PRECISION_BF16, pair[4][0], 1);
  ck_assert_double_eq_tol(tiny, 1e-39, 5e-41); /* subnormal numbers have fewer digits still */
  ck_assert_double_eq((double)one_product(LRP_PRECISION_BF16X3, 1 + ulp / 2, 1), 1 + ulp / 2);
}
END_TEST

/* In bf16x3 an infinite factor meets the other one's low half, which is often 0. */
START_TEST(what_is_not_finite_does_not_become_finite)
{
  if (sizeof(lrp_real) == 8) return;
  ck_assert_double_eq((double)one_product(LRP_PRECISION_BF16, -INFINITY, 2), -INFINITY);
  ck_assert(!isfinite((double)one_product(LRP_PRECISION_BF16X3, -INFINITY, 2)));
  for (int i = 0; i < 2; i++)
    ck_assert(isnan((double)one_product(LOW[i], (double)NAN, 2)));
}
END_TEST

/* ---- the choice ---- */

START_TEST(tiny_products_keep_their_digits)
{
  if (sizeof(lrp_real) == 8) return;
  source s = {.state = 7};
  product p = product_make(&s, 20, 20, 40, 0, 1, 1);
  lrp_ctx *ctx = context(LRP_PRECISION_F32);
  lrp_ck_ok(ctx, product_compute(ctx, LRP_KERNEL_AUTO, &p));
  lrp_real want[400];
  memcpy(want, p.out.data, sizeof want);
  lrp_ck_ok(ctx, lrp_set_precision(ctx, LRP_PRECISION_BF16));
  lrp_ck_ok(ctx, product_compute(ctx, LRP_KERNEL_AUTO, &p));
  ck_assert_mem_eq(want, p.out.data, sizeof want);
  lrp_ctx_free(ctx);
  product_free(&p);
}
END_TEST

START_TEST(auto_never_chooses_what_is_slower)
{
  lrp_ctx *ctx = context(LRP_PRECISION_F32);
  ck_assert_ptr_null(lrp_precision_slow(ctx));
  lrp_ck_ok(ctx, lrp_set_precision(ctx, LRP_PRECISION_AUTO));
  ck_assert_ptr_null(lrp_precision_slow(ctx));
  lrp_ck_fails(ctx, LRP_E_ARG, "precision 4", lrp_set_precision(ctx, 4));
  if (sizeof(lrp_real) == 4) {
    const bool chosen = !strcmp(lrp_precision_name(ctx), "bf16x3");
    lrp_ck_ok(ctx, lrp_set_precision(ctx, LRP_PRECISION_BF16X3));
    ck_assert_str_eq(lrp_precision_name(ctx), "bf16x3");
    ck_assert_int_eq(chosen, !lrp_precision_slow(ctx));
    lrp_ck_ok(ctx, lrp_set_precision(ctx, LRP_PRECISION_BF16));
    ck_assert_str_eq(lrp_precision_name(ctx), "bf16");
  }
  lrp_ctx_free(ctx);
}
END_TEST

START_TEST(a_build_in_double_has_no_bf16)
{
  if (sizeof(lrp_real) == 4) return;
  lrp_ctx *ctx = context(LRP_PRECISION_F32);
  for (int i = 0; i < 2; i++)
    lrp_ck_fails(ctx, LRP_E_UNSUPPORTED, "in double", lrp_set_precision(ctx, LOW[i]));
  lrp_ck_ok(ctx, lrp_set_precision(ctx, LRP_PRECISION_AUTO));
  ck_assert_str_eq(lrp_precision_name(ctx), "f64");
  lrp_ctx_free(ctx);
}
END_TEST

Suite *suite_bf16(void);
Suite *suite_bf16(void)
{
  Suite *s = suite_create("bf16");
  TCase *t = tcase_create("bf16");
  tcase_add_loop_test(t, products_of_numbers_that_bf16_holds_are_exact, 0, 6);
  tcase_add_loop_test(t, convolutions_of_numbers_that_bf16_holds_are_exact, 0, 5);
  tcase_add_loop_test(t, products_err_by_what_their_precision_says, 0, 4);
  tcase_add_loop_test(t, convolutions_err_by_what_their_precision_says, 0, 4);
  tcase_add_loop_test(t, a_pack_serves_a_square_matrix_both_ways, 0, 2);
  tcase_add_loop_test(t, one_thread_and_two_give_the_same_bits, 0, 4);
  tcase_add_test(t, factors_are_rounded_to_nearest_and_ties_to_even);
  tcase_add_test(t, what_is_not_finite_does_not_become_finite);
  tcase_add_test(t, tiny_products_keep_their_digits);
  tcase_add_test(t, auto_never_chooses_what_is_slower);
  tcase_add_test(t, a_build_in_double_has_no_bf16);
  suite_add_tcase(s, t);
  return s;
}
