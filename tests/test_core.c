/* test_core.c - arena, messages, sizes and shapes. */
#include "core.h"
#include "sweep.h"
#include "test.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

START_TEST(arena_memory_is_zeroed_and_aligned_even_when_reused)
{
  lrp_arena a = {0};
  for (int round = 0; round < 3; round++) {
    lrp_mark mark = lrp_arena_mark(&a);
    for (size_t n = 0; n < 5000; n += 777) {
      unsigned char *p = lrp_arena_alloc(&a, n);
      ck_assert_ptr_nonnull(p);
      ck_assert_uint_eq((uintptr_t)p % 64, 0);
      for (size_t i = 0; i < n; i++)
        ck_assert_uint_eq(p[i], 0);
      memset(p, 0xab, n);
    }
    lrp_arena_release(&a, mark);
  }
  lrp_arena_free(&a);
}
END_TEST

START_TEST(arena_release_gives_back_what_came_after_the_mark_only)
{
  lrp_arena a = {0};
  char *first = lrp_arena_text(&a, "first", 5);
  lrp_mark mark = lrp_arena_mark(&a);
  size_t used = a.used;
  for (int i = 0; i < 20; i++)
    ck_assert_ptr_nonnull(lrp_arena_alloc(&a, (size_t)1 << i));
  ck_assert_uint_gt(a.used, (size_t)1 << 20);
  lrp_arena_release(&a, mark);
  ck_assert_uint_eq(a.used, used);
  ck_assert_uint_gt(a.peak, (size_t)1 << 20);
  ck_assert_str_eq(first, "first");
  lrp_arena_free(&a);
  ck_assert_uint_eq(a.used, 0);
}
END_TEST

START_TEST(arena_holds_no_more_than_its_limit)
{
  enum { MOST = 1 << 20 };
  lrp_arena a = {.most = MOST};
  size_t got = 0;
  while (lrp_arena_raw(&a, 10000))
    got += 10000;
  ck_assert_uint_gt(got, MOST / 2);
  ck_assert_uint_le(a.held, MOST);
  ck_assert(a.refused);
  lrp_arena_release(&a, (lrp_mark){0});
  ck_assert_ptr_nonnull(lrp_arena_raw(&a, MOST / 2)); /* what is spare makes room */
  ck_assert(!a.refused);
  ck_assert_ptr_null(lrp_arena_raw(&a, MOST));
  ck_assert_uint_le(a.held, MOST);
  lrp_arena_free(&a);
}
END_TEST

START_TEST(arena_refuses_impossible_sizes)
{
  lrp_arena a = {0};
  ck_assert_ptr_null(lrp_arena_alloc(&a, SIZE_MAX));
  ck_assert_ptr_null(lrp_arena_alloc(&a, LRP_MAX_BYTES + 1));
  ck_assert_ptr_null(lrp_arena_text(&a, "", SIZE_MAX));
  ck_assert_ptr_nonnull(lrp_arena_alloc(&a, 0));
  lrp_arena_free(&a);
}
END_TEST

/* ---- element-wise steps of rules ---- */

enum { SWEPT = 70001 }; /* more than one piece, the last one not full */

static lrp_real *swept(unsigned seed)
{
  lrp_real *v = malloc(SWEPT * sizeof *v);
  ck_assert_ptr_nonnull(v);
  for (int64_t i = 0; i < SWEPT; i++) {
    seed = seed * 1664525u + 1013904223u;
    v[i] = seed >> 30 ? (lrp_real)((double)(seed >> 8) / 8388608 - 1) : 0; /* a quarter are zero */
  }
  return v;
}

START_TEST(quotient_in_one_sweep_is_gate_division_and_sums_done_apart)
{
  lrp_real *z = swept(1), *r = swept(2), *a = swept(3), *b = swept(4), *s = swept(5), *old = swept(6);
  for (uint32_t k = 0; k < 12; k++) {
    const lrp_group g = {.coef = 2, .gate = k % 3};
    const lrp_division q = {.group = &g, .z = z, .r = r, .n_term = 2, .factor = {(lrp_real)0.5, 3},
                            .term = {a, b}, .stab = k / 3};
    const double eps = 0.25;
    double lost, given, want_lost = 0, want_given = 0;
    lrp_divide_each(&q, 0, 1, SWEPT, &eps, s, &lost, &given);
    for (int64_t i = 0; i < SWEPT; i++) {
      const bool pass = !g.gate || (g.gate == LRP_GATE_POS ? z[i] > 0 : z[i] < 0);
      const lrp_real n = pass ? 2 * r[i] : 0, d = (lrp_real)0.5 * a[i] + 3 * b[i];
      lrp_the_host.divide(&n, &d, 1, k / 3, 0.25, old);
      ck_assert_double_eq_tol((double)s[i], (double)old[0], 1e-5 * (1 + fabs((double)old[0])));
      want_lost += (double)n - (double)old[0] * (double)d;
      want_given += (double)n;
    }
    ck_assert_double_eq_tol(given, want_given, 1e-6);
    ck_assert_double_eq_tol(lost, want_lost, 0.05);
  }
  free(z), free(r), free(a), free(b), free(s), free(old);
}
END_TEST

START_TEST(both_sides_of_a_gate_in_one_division_are_two_divisions)
{
  enum { PERIOD = 48, SAMPLES = 2, EACH = 12000 };
  lrp_real *z = swept(1), *r = swept(2), *a = swept(3), *u = swept(4), *v = swept(5), *up = swept(6), *down = swept(7);
  const lrp_sides p = {.coef = {1, 2}, .alpha = {(lrp_real)1.125, 1}, .beta = {(lrp_real)0.125, -1}, .a = a,
                       .bias = {up, down}, .period = PERIOD, .u = u, .v = v};
  const lrp_division q = {.z = z, .r = r, .sides = &p};
  const double eps[SAMPLES] = {0.25, 0.5};
  double lost[SAMPLES], given[SAMPLES];
  lrp_divide_each(&q, 0, SAMPLES, EACH, eps, NULL, lost, given);
  for (int64_t k = 0; k < SAMPLES; k++) {
    double want_lost = 0, want_given = 0;
    for (int64_t i = k * EACH; i < (k + 1) * EACH; i++) {
      const int side = z[i] < 0;
      const double g = z[i] == 0 ? 0 : (double)p.coef[side] * (double)r[i],
                   d = (double)p.alpha[side] * (double)z[i] + (double)p.beta[side] * (double)a[i] +
                       (double)p.bias[side][i % PERIOD],
                   s = g == 0 ? 0 : g / (d + (d < 0 ? -eps[k] : eps[k]));
      ck_assert_double_eq_tol((double)u[i], (double)p.alpha[side] * s, 1e-4);
      ck_assert_double_eq_tol((double)v[i], (double)p.beta[side] * s, 1e-4);
      want_lost += g - s * d;
      want_given += g;
    }
    ck_assert_double_eq_tol(lost[k], want_lost, 0.05);
    ck_assert_double_eq_tol(given[k], want_given, 1e-6);
  }
  free(z), free(r), free(a), free(u), free(v), free(up), free(down);
}
END_TEST

START_TEST(a_masked_score_loses_nothing_in_a_quotient)
{
  const lrp_real d[] = {-(lrp_real)INFINITY, 4}, r[] = {0, 2};
  const lrp_group g = {.coef = 1, .gate = LRP_GATE_ALL};
  const lrp_division q = {
      .group = &g, .z = d, .r = r, .n_term = 1, .factor = {1}, .term = {d}, .stab = LRP_STAB_ADD};
  lrp_real s[2];
  const double eps = 0;
  double lost = 0, given = 0;
  lrp_divide_each(&q, 0, 1, 2, &eps, s, &lost, &given);
  ck_assert(s[0] == 0 && s[1] == (lrp_real)0.5);
  ck_assert_double_eq(lost, 0);
  ck_assert_double_eq(given, 2);
}
END_TEST

START_TEST(sums_have_the_same_bits_with_one_and_two_threads)
{
  enum { SAMPLES = 70, EACH = SWEPT / SAMPLES };
  lrp_real *v = swept(7);
  double one[SAMPLES + 1] = {0}, two[SAMPLES + 1] = {0};
  lrp_set_threads(1);
  lrp_sum_each(v, SAMPLES, EACH, one);
  lrp_sum_each(v, 1, SWEPT, one + SAMPLES);
  lrp_set_threads(2);
  lrp_sum_each(v, SAMPLES, EACH, two);
  lrp_sum_each(v, 1, SWEPT, two + SAMPLES);
  lrp_set_threads(0);
  ck_assert_mem_eq(one, two, sizeof one);
  for (int64_t k = 0; k < SAMPLES; k++) {
    double want = 0;
    for (int64_t i = 0; i < EACH; i++)
      want += (double)v[k * EACH + i];
    ck_assert_double_eq_tol(one[k], want, 1e-9);
  }
  free(v);
}
END_TEST

START_TEST(a_join_shares_as_its_formula_and_sums_what_it_gives)
{
  enum { SAMPLES = 70, EACH = SWEPT / SAMPLES };
  lrp_real *a = swept(8), *b = swept(9), *r = swept(10), *to_a = swept(11), *to_b = swept(12);
  double lost[SAMPLES] = {0}, sum[2][SAMPLES] = {{0}}, *const back[] = {sum[0], sum[1]};
  const lrp_join j = {.n_in = 2, .eps = (lrp_real)0.25, .factor = {1, -2}, .x = {a, b}, .r = r, .back = {to_a, to_b}};
  lrp_join_each(&j, SAMPLES, EACH, lost, back);
  for (int64_t k = 0; k < SAMPLES; k++) {
    double want_lost = 0, given[2] = {0};
    for (int64_t i = k * EACH; i < (k + 1) * EACH; i++) {
      const double d = (double)a[i] - 2 * (double)b[i], s = r[i] == 0 ? 0 : (double)r[i] / (d + (d < 0 ? -0.25 : 0.25));
      ck_assert_double_eq_tol((double)to_a[i], (double)a[i] * s, 1e-5);
      ck_assert_double_eq_tol((double)to_b[i], -2 * (double)b[i] * s, 1e-5);
      want_lost += (double)r[i] - s * d;
      given[0] += (double)to_a[i];
      given[1] += (double)to_b[i];
    }
    ck_assert_double_eq_tol(lost[k], want_lost, 1e-3);
    ck_assert_double_eq_tol(sum[0][k], given[0], 1e-9);
    ck_assert_double_eq_tol(sum[1][k], given[1], 1e-9);
  }
  lrp_join alone = j;
  alone.back[0] = NULL;
  alone.x[1] = (const lrp_real[]){-(lrp_real)INFINITY};
  alone.r = (const lrp_real[]){0};
  lrp_join_each(&alone, 1, 1, NULL, NULL); /* a mask, and nothing to share: nothing comes of it */
  ck_assert(to_b[0] == 0);
  free(a), free(b), free(r), free(to_a), free(to_b);
}
END_TEST

START_TEST(a_gate_sees_relevance_only_on_its_side)
{
  const lrp_real z[] = {1, -1, 0}, r[] = {0, 3, 5};
  const lrp_group all = {.coef = 1}, up = {.coef = 1, .gate = LRP_GATE_POS},
                  down = {.coef = 1, .gate = LRP_GATE_NEG}, none = {.coef = 0};
  ck_assert(lrp_gate_some(&all, z, r, 3));
  ck_assert(!lrp_gate_some(&up, z, r, 3));
  ck_assert(lrp_gate_some(&down, z, r, 3));
  ck_assert(!lrp_gate_some(&none, z, r, 3));
}
END_TEST

START_TEST(a_masked_input_gets_nothing_where_nothing_comes_back)
{
  const lrp_real x[] = {-(lrp_real)INFINITY, 2}, bar[] = {0, 3};
  lrp_real out[] = {(lrp_real)NAN, (lrp_real)NAN};
  lrp_multiply(2, x, bar, 1, 2, false, out, NULL); /* whatever was there before */
  ck_assert(out[0] == 0 && out[1] == 12);
  lrp_multiply(1, x, bar, 1, 2, true, out, NULL);
  ck_assert(out[0] == 0 && out[1] == 18);
}
END_TEST

START_TEST(message_may_contain_the_message_before_it)
{
  lrp_ctx *ctx;
  ck_assert_int_eq(lrp_ctx_new(&ctx), LRP_OK);
  ck_assert_str_eq(lrp_message(ctx), "");
  ck_assert_int_eq(lrp_fail(ctx, LRP_E_SHAPE, "x has %d columns", 3), LRP_E_SHAPE);
  ck_assert_int_eq(lrp_fail(ctx, LRP_E_ARG, "again: %s", lrp_message(ctx)), LRP_E_ARG);
  ck_assert_str_eq(lrp_message(ctx), "again: x has 3 columns");
  lrp_fail_at(ctx, LRP_E_ARG, "node %d", 7);
  ck_assert_str_eq(lrp_message(ctx), "node 7: again: x has 3 columns");
  lrp_fail_at(ctx, LRP_E_ARG, "model: ");
  ck_assert_str_eq(lrp_message(ctx), "model: node 7: again: x has 3 columns");
  lrp_ctx_free(ctx);
}
END_TEST

START_TEST(message_that_is_too_long_is_cut_at_a_character)
{
  lrp_ctx *ctx;
  ck_assert_int_eq(lrp_ctx_new(&ctx), LRP_OK);
  char text[3 * LRP_MESSAGE_MAX + 1];
  for (size_t i = 0; i < LRP_MESSAGE_MAX; i++)
    memcpy(text + 3 * i, "\xe2\x82\xac", 4); /* the euro sign */
  lrp_fail(ctx, LRP_E_INPUT, "%s", text);
  size_t n = strlen(lrp_message(ctx));
  ck_assert_uint_lt(n, LRP_MESSAGE_MAX);
  ck_assert_str_eq(lrp_message(ctx) + n - 3, "...");
  ck_assert_uint_eq((n - 3) % 3, 0);
  lrp_ctx_free(ctx);
}
END_TEST

static void count(void *user, const char *message)
{
  ck_assert_str_eq(message, "left out: 3");
  ++*(int *)user;
}

START_TEST(warnings_go_to_whoever_listens)
{
  lrp_ctx *ctx;
  int n = 0;
  ck_assert_int_eq(lrp_ctx_new(&ctx), LRP_OK);
  lrp_warn(ctx, "nobody hears this");
  lrp_on_warning(ctx, count, &n);
  lrp_warn(ctx, "left out: %d", 3);
  ck_assert_int_eq(n, 1);
  lrp_ctx_free(ctx);
}
END_TEST

START_TEST(every_status_has_a_name_and_an_exit_status)
{
  static const int exits[] = {0, 1, 3, 2, 4, 3, 3, 1, 3, 5};
  for (int i = 0; i <= LRP_E_DB; i++) {
    ck_assert_str_ne(lrp_status_name(i), "unknown status");
    ck_assert_int_eq(lrp_exit_status(i), exits[i]);
    for (int j = 0; j < i; j++)
      ck_assert_str_ne(lrp_status_name(i), lrp_status_name(j));
  }
  ck_assert_str_eq(lrp_status_name(99), "unknown status");
  ck_assert_int_eq(lrp_exit_status(-1), 1);
}
END_TEST

START_TEST(sizes_are_checked_before_they_are_multiplied)
{
  lrp_ctx *ctx;
  size_t bytes = 1;
  ck_assert_int_eq(lrp_ctx_new(&ctx), LRP_OK);
  lrp_tensor t = {.dtype = LRP_INDEX, .rank = 3, .shape = {2, 3, 4}};
  lrp_ck_ok(ctx, lrp_tensor_bytes(ctx, &t, &bytes));
  ck_assert_uint_eq(bytes, 2 * 3 * 4 * 8);
  t.shape[1] = 0;
  lrp_ck_ok(ctx, lrp_tensor_bytes(ctx, &t, &bytes));
  ck_assert_uint_eq(bytes, 0);
  t.shape[1] = -1;
  lrp_ck_fails(ctx, LRP_E_NOMEM, "(2,-1,4)", lrp_tensor_bytes(ctx, &t, &bytes));
  t.shape[1] = INT64_MAX;
  lrp_ck_fails(ctx, LRP_E_NOMEM, "larger than any memory", lrp_tensor_bytes(ctx, &t, &bytes));
  t.shape[0] = 0; /* an empty axis does not excuse a product that overflows */
  lrp_ck_fails(ctx, LRP_E_NOMEM, "larger", lrp_tensor_bytes(ctx, &t, &bytes));
  t.rank = 9;
  lrp_ck_fails(ctx, LRP_E_SHAPE, "9 axes", lrp_tensor_bytes(ctx, &t, &bytes));
  t = (lrp_tensor){.dtype = 7};
  lrp_ck_fails(ctx, LRP_E_SHAPE, "element type 7", lrp_tensor_bytes(ctx, &t, &bytes));
  lrp_ctx_free(ctx);
}
END_TEST

START_TEST(shapes_print_and_are_cut_to_the_buffer)
{
  char text[64], tiny[4];
  lrp_tensor t = {.rank = 3, .shape = {3, 8, -1}};
  ck_assert_str_eq(lrp_shape_text(&t, text, sizeof text), "(3,8,-1)");
  ck_assert_str_eq(lrp_shape_text(&t, tiny, sizeof tiny), "(3,");
  t.rank = 0;
  ck_assert_str_eq(lrp_shape_text(&t, text, sizeof text), "()");
}
END_TEST

START_TEST(every_kind_has_its_own_name)
{
  for (uint32_t i = 0; i < LRP_KIND_COUNT; i++)
    for (uint32_t j = 0; j < i; j++)
      ck_assert_str_ne(lrp_kind_name(i), lrp_kind_name(j));
  ck_assert_str_eq(lrp_kind_name(LRP_KIND_COUNT), "unknown");
}
END_TEST

Suite *suite_core(void);
Suite *suite_core(void)
{
  Suite *s = suite_create("core");
  TCase *t = tcase_create("core");
  tcase_add_test(t, arena_memory_is_zeroed_and_aligned_even_when_reused);
  tcase_add_test(t, arena_release_gives_back_what_came_after_the_mark_only);
  tcase_add_test(t, arena_holds_no_more_than_its_limit);
  tcase_add_test(t, arena_refuses_impossible_sizes);
  tcase_add_test(t, quotient_in_one_sweep_is_gate_division_and_sums_done_apart);
  tcase_add_test(t, a_join_shares_as_its_formula_and_sums_what_it_gives);
  tcase_add_test(t, both_sides_of_a_gate_in_one_division_are_two_divisions);
  tcase_add_test(t, a_masked_score_loses_nothing_in_a_quotient);
  tcase_add_test(t, sums_have_the_same_bits_with_one_and_two_threads);
  tcase_add_test(t, a_gate_sees_relevance_only_on_its_side);
  tcase_add_test(t, a_masked_input_gets_nothing_where_nothing_comes_back);
  tcase_add_test(t, message_may_contain_the_message_before_it);
  tcase_add_test(t, message_that_is_too_long_is_cut_at_a_character);
  tcase_add_test(t, warnings_go_to_whoever_listens);
  tcase_add_test(t, every_status_has_a_name_and_an_exit_status);
  tcase_add_test(t, sizes_are_checked_before_they_are_multiplied);
  tcase_add_test(t, shapes_print_and_are_cut_to_the_buffer);
  tcase_add_test(t, every_kind_has_its_own_name);
  suite_add_tcase(s, t);
  return s;
}
