/* test_args.c - arguments: parsing, ranges, canonical text, JSON. */
#include "args.h"
#include "test.h"
#include <locale.h>
#include <math.h>
#include <string.h>

static const lrp_arg args[] = {
    {.name = "epsilon",
     .type = LRP_ARG_REAL,
     .flags = LRP_ARG_OPEN_MIN,
     .def = 1e-6,
     .max = 1,
     .doc = "d"},
    {.name = "bias", .type = LRP_ARG_BOOL, .def = 1, .doc = "d"},
    {.name = "mode", .type = LRP_ARG_CHOICE, .def = 1, .choices = "fast|exact|exactly", .doc = "d"},
    {.name = "steps", .type = LRP_ARG_INT, .def = 3, .min = 1, .max = INFINITY, .doc = "d"},
    {.name = "pads", .type = LRP_ARG_INTS, .doc = "d"},
    {.name = "slopes", .type = LRP_ARG_REALS, .min = 0, .max = 1, .doc = "d"},
    {.name = "mask", .type = LRP_ARG_INT, .doc = "d"},
    LRP_ARGS_END};
enum { EPSILON, BIAS, MODE, STEPS, PADS, SLOPES, MASK, N_ARG };

static lrp_ctx *ctx;
static lrp_value v[N_ARG];

static void set_up(void)
{
  ck_assert_int_eq(lrp_ctx_new(&ctx), LRP_OK);
}

static void tear_down(void)
{
  lrp_ctx_free(ctx);
}

static lrp_status parse(const char *text)
{
  return lrp_args_parse(ctx, "rule", args, text, v);
}

START_TEST(nothing_said_gives_the_defaults)
{
  char text[200];
  ck_assert_uint_eq(lrp_args_count(args), N_ARG);
  ck_assert_uint_eq(lrp_args_count(NULL), 0);
  lrp_ck_ok(ctx, parse(""));
  lrp_ck_ok(ctx, parse(NULL));
  lrp_ck_ok(ctx, parse("  "));
  lrp_args_print(args, v, text, sizeof text);
  ck_assert_str_eq(text, "epsilon=1e-06, bias=on, mode=exact, steps=3, pads=, slopes=, mask=0");
}
END_TEST

START_TEST(every_type_is_read)
{
  lrp_ck_ok(ctx,
            parse(" epsilon = 0.25 ,bias=off, mode=fast,steps=12, pads=1/-2/3, slopes=0.5/1 "));
  ck_assert_double_eq(v[EPSILON].real, 0.25);
  ck_assert_int_eq(v[BIAS].i, 0);
  ck_assert_int_eq(v[MODE].i, 0);
  ck_assert_int_eq(v[STEPS].i, 12);
  ck_assert_int_eq(v[PADS].ints.n, 3);
  ck_assert_int_eq(v[PADS].ints.v[1], -2);
  ck_assert_int_eq(v[SLOPES].reals.n, 2);
  ck_assert_double_eq((double)v[SLOPES].reals.v[0], 0.5);
  lrp_ck_ok(ctx, parse("bias=false"));
  ck_assert_int_eq(v[BIAS].i, 0);
  lrp_ck_ok(ctx, parse("bias=true"));
  ck_assert_int_eq(v[BIAS].i, 1);
}
END_TEST

START_TEST(a_unique_prefix_is_a_name_and_a_first_value_needs_none)
{
  lrp_ck_ok(ctx, parse("eps=1e-3"));
  ck_assert_double_eq(v[EPSILON].real, 1e-3);
  lrp_ck_ok(ctx, parse("0.5, st=2"));
  ck_assert_double_eq(v[EPSILON].real, 0.5);
  ck_assert_int_eq(v[STEPS].i, 2);
  lrp_ck_ok(ctx, parse("mode=exact")); /* the very word, though another one starts so */
  ck_assert_int_eq(v[MODE].i, 1);
  lrp_ck_ok(ctx, parse("mode=exactl"));
  ck_assert_int_eq(v[MODE].i, 2);
  lrp_ck_fails(ctx, LRP_E_ARG, "may mean mode, mask", parse("m=1"));
  lrp_ck_fails(ctx, LRP_E_ARG, "has no name", parse("0.5, 2"));
}
END_TEST

START_TEST(a_misspelt_name_is_told_the_nearest)
{
  lrp_ck_fails(ctx, LRP_E_ARG, "did you mean \"epsilon\"", parse("epsilom=1"));
  lrp_ck_fails(ctx, LRP_E_ARG, "did you mean \"bias\"", parse("bais=on"));
  lrp_ck_fails(ctx, LRP_E_ARG, "its arguments are: epsilon, bias", parse("gamma=1"));
  lrp_ck_fails(ctx, LRP_E_ARG, "rule has no argument \"\"", parse("=1"));
  lrp_ck_fails(ctx, LRP_E_ARG, "takes no arguments", lrp_args_parse(ctx, "pass", NULL, "x=1", v));
}
END_TEST

START_TEST(what_is_no_value_is_refused)
{
  static const char *const bad[] = {"eps=",
                                    "eps=1e",
                                    "eps=0x1",
                                    "eps=nan",
                                    "eps=1.2.3",
                                    "eps=1 2",
                                    "bias=2",
                                    "bias=",
                                    "mode=slow",
                                    "mode=exa",
                                    "mode=",
                                    "steps=1.5",
                                    "steps=1e3",
                                    "steps=99999999999999999999",
                                    "pads=1//2",
                                    "pads=/",
                                    "pads=1/x",
                                    "slopes=a",
                                    "eps=0.1,",
                                    ",eps=0.1",
                                    "eps=0.1,,bias=on"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    ck_assert_msg(parse(bad[i]) == LRP_E_ARG, "\"%s\" was taken", bad[i]);
    ck_assert_msg(strncmp(lrp_message(ctx), "rule", 4) == 0, "%s", lrp_message(ctx));
  }
  lrp_ck_fails(ctx, LRP_E_ARG, "given twice", parse("eps=0.1, epsilon=0.2"));
}
END_TEST

START_TEST(ranges_hold_and_open_ends_are_excluded)
{
  lrp_ck_fails(ctx, LRP_E_ARG, "epsilon=0 is out of range; it must be > 0 and <= 1",
               parse("eps=0"));
  lrp_ck_ok(ctx, parse("eps=1"));
  lrp_ck_fails(ctx, LRP_E_ARG, "out of range", parse("eps=1.0001"));
  lrp_ck_fails(ctx, LRP_E_ARG, "steps=0 is out of range; it must be >= 1", parse("steps=0"));
  lrp_ck_ok(ctx, parse("steps=9007199254740992"));
  lrp_ck_fails(ctx, LRP_E_ARG, "slopes=2 is out of range", parse("slopes=0.5/2"));
  lrp_ck_fails(ctx, LRP_E_ARG, "not a finite number", parse("eps=1e999"));
  lrp_ck_fails(ctx, LRP_E_ARG, "not a finite number", parse("eps=inf"));
}
END_TEST

START_TEST(values_made_by_a_plugin_are_checked_too)
{
  const lrp_real nan[] = {(lrp_real)NAN};
  lrp_ck_ok(ctx, lrp_args_default(ctx, "rule", args, v));
  lrp_ck_ok(ctx, lrp_args_check(ctx, "rule", args, v));
  v[MODE].i = 3;
  lrp_ck_fails(ctx, LRP_E_ARG, "one of fast|exact|exactly", lrp_args_check(ctx, "rule", args, v));
  v[MODE].i = 0;
  v[BIAS].i = 2;
  lrp_ck_fails(ctx, LRP_E_ARG, "neither 0 nor 1", lrp_args_check(ctx, "rule", args, v));
  v[BIAS].i = 0;
  v[PADS].ints.n = 2;
  lrp_ck_fails(ctx, LRP_E_ARG, "without data", lrp_args_check(ctx, "rule", args, v));
  v[PADS].ints.n = 0;
  v[SLOPES].reals.v = nan;
  v[SLOPES].reals.n = 1;
  lrp_ck_fails(ctx, LRP_E_ARG, "not a finite number", lrp_args_check(ctx, "rule", args, v));
}
END_TEST

START_TEST(required_arguments_are_asked_for)
{
  static const lrp_arg need[] = {
      {.name = "axis", .type = LRP_ARG_INT, .flags = LRP_ARG_REQUIRED, .doc = "the axis"},
      {.name = "sizes", .type = LRP_ARG_INTS, .flags = LRP_ARG_REQUIRED, .doc = "sizes"},
      LRP_ARGS_END};
  lrp_value w[2];
  lrp_ck_fails(ctx, LRP_E_ARG, "axis is missing; write axis=VALUE (the axis)",
               lrp_args_parse(ctx, "slice", need, "", w));
  lrp_ck_fails(ctx, LRP_E_ARG, "sizes is missing", lrp_args_parse(ctx, "slice", need, "axis=1", w));
  lrp_ck_fails(ctx, LRP_E_ARG, "sizes is missing",
               lrp_args_parse(ctx, "slice", need, "1, sizes=", w));
  lrp_ck_ok(ctx, lrp_args_parse(ctx, "slice", need, "1, sizes=2", w));
}
END_TEST

START_TEST(infinity_is_a_value_where_it_is_the_default)
{
  static const lrp_arg clip[] = {
      {.name = "low", .type = LRP_ARG_REAL, .def = -INFINITY, .doc = "d"}, LRP_ARGS_END};
  lrp_value w[1];
  char text[40];
  lrp_ck_ok(ctx, lrp_args_parse(ctx, "clip", clip, "low=-inf", w));
  lrp_args_print(clip, w, text, sizeof text);
  ck_assert_str_eq(text, "low=-inf");
  lrp_args_json(clip, w, text, sizeof text);
  ck_assert_str_eq(text, "{\"low\":-9e999}");
}
END_TEST

START_TEST(canonical_text_reads_back_to_the_same_bits)
{
  static const double numbers[] = {1.0 / 3, 0.1, 1e-6, 0x1p-1022, 1, 5e-324, 1.0 / 255};
  char once[300], twice[300];
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    lrp_ck_ok(ctx, parse("pads=1/2/3, slopes=0.333333343/0.5/0.100000001, mode=fast"));
    v[EPSILON].real = numbers[i];
    lrp_args_print(args, v, once, sizeof once);
    lrp_ck_ok(ctx, parse(once));
    ck_assert_msg(v[EPSILON].real == numbers[i], "%s", once);
    lrp_args_print(args, v, twice, sizeof twice);
    ck_assert_str_eq(once, twice);
  }
  ck_assert_ptr_nonnull(strstr(twice, "slopes=0.333333343/0.5/0.100000001"));
}
END_TEST

START_TEST(json_has_the_types_of_json)
{
  char text[300];
  lrp_ck_ok(ctx, parse("pads=1/2, slopes=0.5, bias=off"));
  lrp_args_json(args, v, text, sizeof text);
  ck_assert_str_eq(
      text, "{\"epsilon\":1e-06,\"bias\":false,\"mode\":\"exact\",\"steps\":3,\"pads\":[1,2],"
            "\"slopes\":[0.5],\"mask\":0}");
  lrp_args_json(NULL, NULL, text, sizeof text);
  ck_assert_str_eq(text, "{}");
}
END_TEST

START_TEST(printing_tells_the_length_it_wanted)
{
  char text[300], cut[10];
  lrp_ck_ok(ctx, parse("pads=1/2"));
  int n = lrp_args_print(args, v, text, sizeof text);
  ck_assert_int_eq(n, (int)strlen(text));
  ck_assert_int_eq(lrp_args_print(args, v, NULL, 0), n);
  ck_assert_int_eq(lrp_args_print(args, v, cut, sizeof cut), n);
  ck_assert_str_eq(cut, "epsilon=1");
}
END_TEST

START_TEST(a_decimal_comma_elsewhere_changes_nothing)
{
  static const char *const locales[] = {"de_DE.UTF-8", "de_DE.utf8", "de_DE", "fr_FR.UTF-8",
                                        "pl_PL.UTF-8"};
  char text[300];
  for (size_t i = 0; i < sizeof locales / sizeof *locales; i++)
    if (setlocale(LC_ALL, locales[i]))
      break; /* where none is installed, the C locale is tested again */
  lrp_ck_ok(ctx, parse("eps=0.25, slopes=0.5"));
  ck_assert_double_eq(v[EPSILON].real, 0.25);
  lrp_args_print(args, v, text, sizeof text);
  ck_assert_ptr_nonnull(strstr(text, "epsilon=0.25,"));
  setlocale(LC_ALL, "C");
}
END_TEST

START_TEST(lists_live_in_the_arena_that_is_being_filled)
{
  lrp_arena arena = {0};
  ctx->keep = &arena;
  lrp_ck_ok(ctx, parse("pads=1/2/3"));
  ctx->keep = NULL;
  ck_assert_uint_gt(arena.used, 0);
  ck_assert_uint_eq(ctx->scratch.used, 0);
  ck_assert_int_eq(v[PADS].ints.v[2], 3);
  lrp_arena_free(&arena);
}
END_TEST

Suite *suite_args(void);
Suite *suite_args(void)
{
  Suite *s = suite_create("args");
  TCase *t = tcase_create("args");
  tcase_add_checked_fixture(t, set_up, tear_down);
  tcase_add_test(t, nothing_said_gives_the_defaults);
  tcase_add_test(t, every_type_is_read);
  tcase_add_test(t, a_unique_prefix_is_a_name_and_a_first_value_needs_none);
  tcase_add_test(t, a_misspelt_name_is_told_the_nearest);
  tcase_add_test(t, what_is_no_value_is_refused);
  tcase_add_test(t, ranges_hold_and_open_ends_are_excluded);
  tcase_add_test(t, values_made_by_a_plugin_are_checked_too);
  tcase_add_test(t, required_arguments_are_asked_for);
  tcase_add_test(t, infinity_is_a_value_where_it_is_the_default);
  tcase_add_test(t, canonical_text_reads_back_to_the_same_bits);
  tcase_add_test(t, json_has_the_types_of_json);
  tcase_add_test(t, printing_tells_the_length_it_wanted);
  tcase_add_test(t, a_decimal_comma_elsewhere_changes_nothing);
  tcase_add_test(t, lists_live_in_the_arena_that_is_being_filled);
  suite_add_tcase(s, t);
  return s;
}
