/* test_kernel.c - products: plain C against loops written from the definition, oneDNN against plain C. */
#include "kernel_chance.h"

/* ---- products ---- */

static int64_t some_size(chance *c, int trial)
{
  static const int64_t special[] = {0, 1, 2, 3, 5, 6, 7, 15, 16, 17, 48, 49};
  return trial % 3 ? between(c, 1, 40) : special[next(c) % (sizeof special / sizeof *special)];
}

static product product_make(chance *c, int trial)
{
  product p = {.m = some_size(c, trial), .n = some_size(c, trial), .k = some_size(c, trial)};
  int64_t out[5], a[5], b[5];
  const int32_t batch = (int32_t)between(c, 0, 3), skip_a = (int32_t)between(c, 0, batch),
                skip_b = (int32_t)between(c, 0, skip_a ? 0 : batch);
  for (int32_t i = 0; i < batch; i++) {
    out[i] = between(c, trial % 7 == 0 ? 0 : 1, 3);
    const uint64_t one = next(c) % 4; /* which operand is broadcast along the axis */
    a[i] = one == 1 ? 1 : out[i];
    b[i] = one == 2 ? 1 : out[i];
    if ((one == 1 && i < skip_b) || (one == 2 && i < skip_a)) out[i] = 1, a[i] = b[i] = 1;
  }
  p.trans_a = (int)between(c, 0, 1);
  p.trans_b = (int)between(c, 0, 1);
  p.with_bias = between(c, 0, 1);
  out[batch] = p.m, out[batch + 1] = p.n;
  a[batch] = p.trans_a ? p.k : p.m, a[batch + 1] = p.trans_a ? p.m : p.k;
  b[batch] = p.trans_b ? p.n : p.k, b[batch + 1] = p.trans_b ? p.k : p.n;
  p.a = tensor(c, batch + 2 - skip_a, a + skip_a);
  p.b = tensor(c, batch + 2 - skip_b, b + skip_b);
  p.bias = tensor(c, 1, &p.n);
  p.out = tensor(c, batch + 2, out);
  return p;
}

/* Where the batch of out that holds element i starts in an operand. */
static const lrp_real *batch_of(const lrp_tensor *out, int64_t i, const lrp_tensor *t)
{
  int64_t rest = i, step = 1, at = 0;
  for (int32_t k = 0; k < out->rank; k++) {
    const int64_t size = out->shape[out->rank - 1 - k],
                  own = k < t->rank ? t->shape[t->rank - 1 - k] : 1;
    if (k >= 2 && own != 1) at += rest % size * step;
    step *= own;
    rest /= size;
  }
  return lrp_reals(t) + at;
}

/* From the definition: three loops. */
static double *product_naive(const product *p)
{
  double *z = doubles(&p->out);
  for (int64_t i = 0, n = lrp_count(&p->out); i < n; i++) {
    const lrp_real *a = batch_of(&p->out, i, &p->a), *b = batch_of(&p->out, i, &p->b);
    const int64_t row = i / p->n % p->m, col = i % p->n;
    z[i] = p->with_bias ? (double)lrp_reals(&p->bias)[col] : 0;
    for (int64_t k = 0; k < p->k; k++)
      z[i] += (double)(p->trans_a ? a[k * p->m + row] : a[row * p->k + k]) *
              (double)(p->trans_b ? b[col * p->k + k] : b[k * p->n + col]);
  }
  return z;
}

static void product_check(int which, int trial)
{
  lrp_ctx *ctx = context(trial);
  chance c = chance_of(trial);
  product p = product_make(&c, trial);
  double *want = product_naive(&p);
  for (int round = 0; round < 3; round++) { /* without a pack, at its first use, at its second */
    if (round == 1) lrp_ck_ok(ctx, lrp_pack_attach(ctx, &p.b));
    spoil(&p.out);
    lrp_ck_ok(ctx, product_run(ctx, which, &p));
    close_to(&c, "matmul", &p.out, want, (double)p.k);
  }
  lrp_pack_free(&p.b);
  free(want);
  product_free(&p);
  lrp_ctx_free(ctx);
}

START_TEST(matmul_in_plain_c_is_three_loops)
{
  product_check(LRP_KERNEL_PLAIN, _i);
}
END_TEST

START_TEST(matmul_by_choice_is_three_loops)
{
  product_check(LRP_KERNEL_AUTO, _i);
}
END_TEST

START_TEST(matmul_in_onednn_is_three_loops)
{
  product_check(LRP_KERNEL_DNNL, _i);
}
END_TEST

/* Large enough for several blocks, panels and threads. */
START_TEST(large_matmul_agrees_in_all_kernels)
{
  static const int64_t size[][3] = {{130, 259, 70}, {1, 700, 1000}, {3, 1000, 700},
                                    {1000, 3, 700}, {2000, 1, 900}, {150, 300, 300}};
  const int64_t m = size[_i][0], n = size[_i][1], k = size[_i][2];
  for (int trans = 0; trans < 4; trans++) {
    chance c = chance_of(_i);
    lrp_ctx *ctx = context(7);
    product p = {
        .m = m, .n = n, .k = k, .trans_a = trans & 1, .trans_b = trans >> 1, .with_bias = true};
    p.a = tensor(&c, 2, (int64_t[]){p.trans_a ? k : m, p.trans_a ? m : k});
    p.b = tensor(&c, 2, (int64_t[]){p.trans_b ? n : k, p.trans_b ? k : n});
    p.bias = tensor(&c, 1, &n);
    p.out = tensor(&c, 2, (int64_t[]){m, n});
    double *want = product_naive(&p);
    for (int which = LRP_KERNEL_AUTO; which <= LRP_KERNEL_DNNL; which++) {
      spoil(&p.out);
      lrp_ck_ok(ctx, product_run(ctx, which, &p));
      close_to(&c, "large matmul", &p.out, want, (double)k);
    }
    free(want);
    product_free(&p);
    lrp_ctx_free(ctx);
  }
}
END_TEST

/* Which rows of a hold only zeros: none, all, all but one, the first or the last half, every third, few. */
static bool is_blank(int pattern, int64_t row, int64_t m)
{
  const bool blank[] = {false, true, row != 7, row < m / 2, row >= m / 2, row % 3 == 0, row % 20 == 0};
  return blank[pattern];
}

START_TEST(rows_of_zeros_give_the_bias_and_leave_others_as_they_are)
{
  enum { M = 43, N = 70, K = 500 };
  const int64_t n = N;
  for (int which = LRP_KERNEL_AUTO; which <= LRP_KERNEL_DNNL; which++) {
    lrp_ctx *ctx = context(7);
    chance c = chance_of(_i);
    product p = {.m = M, .n = N, .k = K, .trans_b = which % 2, .with_bias = _i % 2};
    p.a = tensor(&c, 2, (int64_t[]){M, K});
    p.b = tensor(&c, 2, (int64_t[]){p.trans_b ? N : K, p.trans_b ? K : N});
    p.bias = tensor(&c, 1, &n);
    p.out = tensor(&c, 2, (int64_t[]){M, N});
    for (int64_t i = 0; i < M; i++)
      if (is_blank(_i / 2, i, M)) memset(lrp_reals(&p.a) + i * K, 0, K * sizeof(lrp_real));
    double *want = product_naive(&p);
    spoil(&p.out);
    lrp_ck_ok(ctx, product_run(ctx, which, &p));
    close_to(&c, "rows of zeros", &p.out, want, K);
    free(want);
    product_free(&p);
    lrp_ctx_free(ctx);
  }
}
END_TEST

/* Many matrices, as attention has them: y_bar b^T, and a^T y_bar, where y_bar has such rows in all of them; one row has
 * a number in the last only. */
START_TEST(rows_of_zeros_in_all_of_many_matrices)
{
  enum { B = 3, M = 50, N = 40, K = 300 };
  for (int which = LRP_KERNEL_AUTO; which <= LRP_KERNEL_DNNL; which++) {
    lrp_ctx *ctx = context(7);
    chance c = chance_of(_i);
    const bool depth = _i % 2;
    product p = {.m = depth ? N : M, .n = depth ? K : N, .k = depth ? M : K, .trans_a = depth, .trans_b = !depth};
    p.a = tensor(&c, 3, (int64_t[]){B, depth ? p.k : p.m, depth ? p.m : p.k});
    p.b = tensor(&c, 3, (int64_t[]){B, depth ? p.k : p.n, depth ? p.n : p.k});
    p.out = tensor(&c, 3, (int64_t[]){B, p.m, p.n});
    lrp_real *y_bar = lrp_reals(depth ? &p.b : &p.a);
    for (int64_t i = 0; i < B * M; i++)
      if (is_blank(_i / 2, i % M, M) && i != B * M - 3) memset(y_bar + i * K, 0, K * sizeof(lrp_real));
    double *want = product_naive(&p);
    spoil(&p.out);
    lrp_ck_ok(ctx, product_run(ctx, which, &p));
    close_to(&c, "rows of zeros in many", &p.out, want, (double)p.k);
    free(want);
    product_free(&p);
    lrp_ctx_free(ctx);
  }
}
END_TEST

/* A square matrix has the same layout transposed: its packed forms must not be taken for each other. */
START_TEST(a_pack_serves_a_square_matrix_both_ways)
{
  enum { M = 64, N = 256 };
  for (int which = LRP_KERNEL_AUTO; which <= LRP_KERNEL_DNNL; which++) {
    lrp_ctx *ctx = context(7);
    chance c = chance_of(_i);
    product p = {.m = M, .n = N, .k = N};
    p.a = tensor(&c, 2, (int64_t[]){M, N});
    p.b = tensor(&c, 2, (int64_t[]){N, N});
    p.out = tensor(&c, 2, (int64_t[]){M, N});
    lrp_ck_ok(ctx, lrp_pack_attach(ctx, &p.b));
    for (int round = 0; round < 4; round++) {
      p.trans_b = (round + _i) % 2;
      double *want = product_naive(&p);
      spoil(&p.out);
      lrp_ck_ok(ctx, product_run(ctx, which, &p));
      close_to(&c, "square", &p.out, want, N);
      free(want);
    }
    lrp_pack_free(&p.b);
    product_free(&p);
    lrp_ctx_free(ctx);
  }
}
END_TEST

/* From the second time on oneDNN reads many rows' weights in a layout of its own, if the memory limit leaves room. */
START_TEST(weights_that_come_again_give_the_same_bits)
{
  enum { M = 520, N = 70, K = 96 };
  lrp_ctx *ctx = context(_i ? 7 : 0);
  chance c = chance_of(_i);
  product p = {.m = M, .n = N, .k = K};
  p.a = tensor(&c, 2, (int64_t[]){M, K});
  p.b = tensor(&c, 2, (int64_t[]){K, N});
  p.out = tensor(&c, 2, (int64_t[]){M, N});
  lrp_real *first = malloc(sizeof(lrp_real) * M * N);
  for (int limited = 0; limited < 2; limited++) {
    if (limited) lrp_set_memory_limit(ctx, 4096);
    lrp_ck_ok(ctx, lrp_pack_attach(ctx, &p.b));
    for (int round = 0; round < 3; round++) {
      spoil(&p.out);
      lrp_ck_ok(ctx, product_run(ctx, LRP_KERNEL_DNNL, &p));
      if (limited + round == 0) memcpy(first, p.out.data, sizeof(lrp_real) * M * N);
      ck_assert_mem_eq(p.out.data, first, sizeof(lrp_real) * M * N);
    }
    lrp_pack_free(&p.b);
  }
  free(first);
  product_free(&p);
  lrp_ctx_free(ctx);
}
END_TEST

/* One row of each of many samples, as classifiers and what lies above a chosen token have. */
START_TEST(a_row_of_each_sample_is_summed_as_alone)
{
  enum { M = 8, N = 300, K = 700 };
  lrp_ctx *ctx = context(_i ? 7 : 0);
  chance c = chance_of(_i);
  product p = {.m = M, .n = N, .k = K, .trans_b = _i};
  p.a = tensor(&c, 2, (int64_t[]){M, K});
  p.b = tensor(&c, 2, _i ? (int64_t[]){N, K} : (int64_t[]){K, N});
  p.out = tensor(&c, 2, (int64_t[]){M, N});
  ctx->samples = M;
  lrp_ck_ok(ctx, product_run(ctx, LRP_KERNEL_AUTO, &p));
  ctx->samples = 0;
  for (int64_t i = 0; i < M; i++) {
    lrp_real alone[N];
    const lrp_tensor a = {.dtype = LRP_REAL, .rank = 2, .shape = {1, K}, .data = lrp_reals(&p.a) + i * K};
    lrp_tensor out = {.dtype = LRP_REAL, .rank = 2, .shape = {1, N}, .data = alone};
    lrp_ck_ok(ctx, lrp_matmul(ctx, LRP_KERNEL_AUTO, &a, 0, &p.b, _i, NULL, &out));
    ck_assert_mem_eq(alone, lrp_reals(&p.out) + i * N, sizeof alone);
  }
  product_free(&p);
  lrp_ctx_free(ctx);
}
END_TEST

START_TEST(matmul_of_shapes_that_do_not_fit_is_refused)
{
  lrp_ctx *ctx = context(7);
  chance c = chance_of(0);
  lrp_tensor a = tensor(&c, 2, (int64_t[]){2, 3}), b = tensor(&c, 2, (int64_t[]){4, 5}),
             out = tensor(&c, 2, (int64_t[]){2, 5}), deep = tensor(&c, 3, (int64_t[]){2, 3, 5}),
             shallow = tensor(&c, 3, (int64_t[]){3, 2, 5});
  lrp_ck_fails(ctx, LRP_E_SHAPE, "(2,3) and (4,5)",
               lrp_matmul(ctx, LRP_KERNEL_AUTO, &a, 0, &b, 0, NULL, &out));
  lrp_ck_fails(ctx, LRP_E_SHAPE, "axis 3 from the end",
               lrp_matmul(ctx, LRP_KERNEL_AUTO, &a, 0, &deep, 0, NULL, &shallow));
  free(a.data);
  free(b.data);
  free(out.data);
  free(deep.data);
  free(shallow.data);
  lrp_ctx_free(ctx);
}
END_TEST

START_TEST(a_pack_serves_only_its_own_tensor)
{
  lrp_ctx *ctx = context(7);
  chance c = chance_of(0);
  lrp_tensor a = tensor(&c, 2, (int64_t[]){8, 4}), b = tensor(&c, 2, (int64_t[]){4, 6}),
             other = tensor(&c, 2, (int64_t[]){4, 6}), out = tensor(&c, 2, (int64_t[]){8, 6});
  lrp_ck_ok(ctx, lrp_pack_attach(ctx, &b));
  lrp_ck_ok(ctx, lrp_matmul(ctx, LRP_KERNEL_PLAIN, &a, 0, &b, 0, NULL, &out));
  lrp_tensor view = b; /* another's data behind a copied header */
  view.data = other.data;
  lrp_ck_ok(ctx, lrp_matmul(ctx, LRP_KERNEL_PLAIN, &a, 0, &view, 0, NULL, &out));
  product p = {.m = 8, .n = 6, .k = 4, .a = a, .b = other, .out = out};
  double *want = product_naive(&p);
  close_to(&c, "view", &out, want, 4);
  free(want);
  lrp_pack_free(&b);
  ck_assert_ptr_null(b.host);
  free(a.data);
  free(b.data);
  free(other.data);
  free(out.data);
  lrp_ctx_free(ctx);
}
END_TEST

START_TEST(equal_problems_give_equal_bits)
{
  lrp_ctx *ctx = context(7);
  chance c = chance_of(0);
  const size_t bytes = 300 * 300 * sizeof(lrp_real);
  lrp_tensor a = tensor(&c, 2, (int64_t[]){300, 500}), b = tensor(&c, 2, (int64_t[]){500, 300}),
             first = tensor(&c, 2, (int64_t[]){300, 300}),
             second = tensor(&c, 2, (int64_t[]){300, 300});
  lrp_ck_ok(ctx, lrp_pack_attach(ctx, &b));
  lrp_ck_ok(ctx, lrp_matmul(ctx, LRP_KERNEL_AUTO, &a, 0, &b, 0, NULL, &first));
  lrp_ck_ok(ctx, lrp_matmul(ctx, LRP_KERNEL_AUTO, &a, 0, &b, 0, NULL, &second));
  ck_assert_mem_eq(first.data, second.data, bytes);
  lrp_set_threads(1); /* the number of threads changes who sums, not the order of sums */
  lrp_ck_ok(ctx, lrp_matmul(ctx, LRP_KERNEL_PLAIN, &a, 0, &b, 0, NULL, &first));
  lrp_set_threads(3);
  lrp_ck_ok(ctx, lrp_matmul(ctx, LRP_KERNEL_PLAIN, &a, 0, &b, 0, NULL, &second));
  ck_assert_mem_eq(first.data, second.data, bytes);
  lrp_pack_free(&b);
  free(a.data);
  free(b.data);
  free(first.data);
  free(second.data);
  lrp_ctx_free(ctx);
}
END_TEST

START_TEST(the_kernels_have_a_name)
{
  lrp_set_threads(1);
  const char *name = lrp_kernel_name();
  ck_assert_msg(!strcmp(name, "plain C") ||
                    (!strncmp(name, "oneDNN ", 7) && strstr(name, ", 1 thread")),
                "%s", name);
}
END_TEST

Suite *suite_kernel(void);
Suite *suite_kernel(void)
{
  Suite *s = suite_create("kernel");
  TCase *t = tcase_create("kernel");
  tcase_add_loop_test(t, matmul_in_plain_c_is_three_loops, 0, TRIALS);
  tcase_add_loop_test(t, matmul_by_choice_is_three_loops, 0, TRIALS);
  tcase_add_loop_test(t, matmul_in_onednn_is_three_loops, 0, TRIALS);
  tcase_add_loop_test(t, large_matmul_agrees_in_all_kernels, 0, 6);
  tcase_add_loop_test(t, rows_of_zeros_in_all_of_many_matrices, 0, 14);
  tcase_add_loop_test(t, a_pack_serves_a_square_matrix_both_ways, 0, 2);
  tcase_add_loop_test(t, weights_that_come_again_give_the_same_bits, 0, 2);
  tcase_add_loop_test(t, a_row_of_each_sample_is_summed_as_alone, 0, 2);
  tcase_add_loop_test(t, rows_of_zeros_give_the_bias_and_leave_others_as_they_are, 0, 14);
  tcase_add_test(t, matmul_of_shapes_that_do_not_fit_is_refused);
  tcase_add_test(t, a_pack_serves_only_its_own_tensor);
  tcase_add_test(t, equal_problems_give_equal_bits);
  tcase_add_test(t, the_kernels_have_a_name);
  suite_add_tcase(s, t);
  return s;
}
