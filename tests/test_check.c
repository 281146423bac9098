/* test_check.c - whatever layer or rule is open passes the checks of `lrp plugin check`: a new one
 * is tested without a new test. */
#include "test.h"
#include <stdio.h>
#include <string.h>

static lrp_ctx *ctx;
static char failures[20000];
static int passed;

static void set_up(void)
{
  ck_assert_int_eq(lrp_ctx_new(&ctx), LRP_OK);
  lrp_ck_ok(ctx, lrp_plugins_open(ctx));
}

static void tear_down(void)
{
  lrp_ctx_free(ctx);
}

static void tell(void *user, int verdict, const char *line)
{
  size_t n = strlen(failures);
  (void)user;
  passed += verdict == LRP_CHECK_PASSED;
  if (verdict == LRP_CHECK_FAILED) snprintf(failures + n, sizeof failures - n, "\n%s", line);
}

START_TEST(every_layer_keeps_what_layers_promise)
{
  ck_assert_int_gt(lrp_n_layer(ctx), 0);
  for (int64_t i = 0; i < lrp_n_layer(ctx); i++)
    lrp_layer_check(ctx, lrp_layer_at(ctx, i), tell, NULL);
  ck_assert_msg(!*failures, "%s", failures);
  ck_assert_int_gt(passed, 2 * (int)lrp_n_layer(ctx)); /* nearly all of them were tried */
}
END_TEST

START_TEST(every_rule_keeps_what_rules_promise)
{
  ck_assert_int_gt(lrp_n_rule(ctx), 0);
  for (int64_t i = 0; i < lrp_n_rule(ctx); i++)
    lrp_rule_check(ctx, lrp_rule_at(ctx, i), tell, NULL);
  ck_assert_msg(!*failures, "%s", failures);
  ck_assert_int_gt(passed, (int)lrp_n_rule(ctx));
}
END_TEST

Suite *suite_check(void);
Suite *suite_check(void)
{
  Suite *s = suite_create("check");
  TCase *t = tcase_create("check");
  tcase_add_checked_fixture(t, set_up, tear_down);
  tcase_add_test(t, every_layer_keeps_what_layers_promise);
  tcase_add_test(t, every_rule_keeps_what_rules_promise);
  suite_add_tcase(s, t);
  return s;
}
