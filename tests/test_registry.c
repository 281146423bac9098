/* test_registry.c - names, owners, suggestions, and what a descriptor must have. */
#include "plugins/any.h"
#include "registry.h"
#include "test.h"
#include <string.h>

static lrp_ctx *ctx;

static void set_up(void)
{
  ck_assert_int_eq(lrp_ctx_new(&ctx), LRP_OK);
}

static void tear_down(void)
{
  lrp_ctx_free(ctx);
}

static lrp_status no_infer(const lrp_host *h, lrp_ctx *c, const void *inst, lrp_call *call)
{
  (void)inst, (void)call;
  return h->fail(c, LRP_E_SHAPE, "never called");
}

static const lrp_port x[] = {{.name = "x", .role = LRP_PORT_DATA}, LRP_PORTS_END};
static const lrp_port y[] = {{.name = "y", .role = LRP_PORT_DATA}, LRP_PORTS_END};
#define LAYER(layer_name)                                                                          \
  {                                                                                                \
    .struct_size = sizeof(lrp_layer_type), .name = layer_name, .doc = "d", .in = x, .out = y,      \
    .infer = no_infer, .forward = no_infer                                                         \
  }
static const lrp_layer_type dense = LAYER("dense"), conv = LAYER("conv"),
                            softmax = LAYER("softmax");
static const lrp_rule epsilon = ANY_RULE("epsilon"), gamma_rule = ANY_RULE("gamma"),
                      dense_rule = ANY_RULE("dense");

static lrp_plugin plugin(const char *name, const lrp_layer_type *const *layers,
                         const lrp_rule *const *rules)
{
  return (lrp_plugin){LRP_ABI_MAGIC,
                      LRP_ABI_MAJOR,
                      LRP_ABI_MINOR,
                      sizeof(lrp_plugin),
                      0,
                      LRP_ABI_GUARD,
                      name,
                      "1.0",
                      "MIT",
                      "d",
                      layers,
                      rules,
                      NULL};
}

START_TEST(names_are_sorted_whatever_order_they_come_in)
{
  static const lrp_layer_type *const one[] = {&softmax, &conv, NULL}, *const two[] = {&dense, NULL};
  static const lrp_rule *const rules[] = {&gamma_rule, &epsilon, NULL};
  const lrp_plugin a = plugin("a", one, rules), b = plugin("b", two, NULL);
  lrp_ck_ok(ctx, lrp_registry_add(ctx, &a, "", NULL));
  lrp_ck_ok(ctx, lrp_registry_add(ctx, &b, "/b.so", NULL));
  ck_assert_int_eq(lrp_n_plugin(ctx), 2);
  ck_assert_int_eq(lrp_n_layer(ctx), 3);
  ck_assert_int_eq(lrp_n_rule(ctx), 2);
  ck_assert_ptr_eq(lrp_layer_at(ctx, 0), &conv);
  ck_assert_ptr_eq(lrp_layer_at(ctx, 1), &dense);
  ck_assert_ptr_eq(lrp_layer_at(ctx, 2), &softmax);
  ck_assert_ptr_eq(lrp_rule_at(ctx, 0), &epsilon);
  ck_assert_ptr_null(lrp_layer_at(ctx, 3));
  ck_assert_ptr_null(lrp_layer_at(ctx, -1));
  ck_assert_ptr_null(lrp_plugin_at(ctx, 2));
  ck_assert_ptr_eq(lrp_find_layer(ctx, "conv"), &conv);
  ck_assert_ptr_eq(lrp_find_rule(ctx, "gamma"), &gamma_rule);
}
END_TEST

START_TEST(every_name_knows_its_owner)
{
  static const lrp_layer_type *const layers[] = {&dense, NULL};
  static const lrp_rule *const rules[] = {&epsilon, NULL};
  const lrp_plugin a = plugin("a", layers, NULL), b = plugin("b", NULL, rules);
  const lrp_plugin_info *info;
  lrp_ck_ok(ctx, lrp_registry_add(ctx, &a, "", &info));
  lrp_ck_ok(ctx, lrp_registry_add(ctx, &b, "/no/such/file.so", NULL));
  ck_assert_ptr_eq(lrp_owner(ctx, "dense"), info);
  ck_assert_str_eq(info->path, "");
  ck_assert_uint_eq(strlen(info->sha256), 64); /* of this program */
  info = lrp_owner(ctx, "epsilon");
  ck_assert_ptr_eq(info->plugin, &b);
  ck_assert_str_eq(info->path, "/no/such/file.so");
  ck_assert_str_eq(info->sha256, "");
  ck_assert_ptr_null(lrp_owner(ctx, "gamma"));
}
END_TEST

START_TEST(one_name_cannot_be_offered_twice)
{
  static const lrp_rule *const rules[] = {&gamma_rule, &epsilon, NULL},
                               *const again[] = {&epsilon, NULL},
                               *const twins[] = {&gamma_rule, &gamma_rule, NULL},
                               *const same[] = {&dense_rule, NULL};
  static const lrp_layer_type *const layers[] = {&dense, NULL};
  const lrp_plugin a = plugin("first", NULL, rules), b = plugin("second", NULL, again),
                   c = plugin("c", NULL, twins), d = plugin("d", layers, NULL),
                   e = plugin("e", NULL, same);
  lrp_ck_fails(ctx, LRP_E_ABI, "/c.so: the plugin offers two things named \"gamma\"",
               lrp_registry_add(ctx, &c, "/c.so", NULL));
  lrp_ck_ok(ctx, lrp_registry_add(ctx, &a, "/first.so", NULL));
  lrp_ck_fails(ctx, LRP_E_ABI,
               "/second.so: offers the rule \"epsilon\", which plugin first 1.0 (/first.so) offers",
               lrp_registry_add(ctx, &b, "/second.so", NULL));
  lrp_ck_ok(ctx, lrp_registry_add(ctx, &d, "", NULL));
  lrp_ck_fails(ctx, LRP_E_ABI, "which plugin d 1.0 (linked into the program)",
               lrp_registry_add(ctx, &e, "/e.so", NULL));
  ck_assert_int_eq(lrp_n_rule(ctx), 2); /* a refused plugin leaves nothing behind */
  ck_assert_int_eq(lrp_n_plugin(ctx), 2);
}
END_TEST

START_TEST(an_unknown_name_is_told_the_nearest)
{
  static const lrp_rule *const rules[] = {&gamma_rule, &epsilon, NULL};
  const lrp_plugin a = plugin("a", NULL, rules);
  ck_assert_ptr_null(lrp_find_rule(ctx, "epsilon"));
  ck_assert_ptr_nonnull(strstr(lrp_message(ctx), "no plugin is open"));
  lrp_ck_ok(ctx, lrp_registry_add(ctx, &a, "", NULL));
  ck_assert_ptr_null(lrp_find_rule(ctx, "epsilom"));
  ck_assert_ptr_nonnull(strstr(lrp_message(ctx), "no rule \"epsilom\"; did you mean \"epsilon\"?"));
  ck_assert_ptr_null(lrp_find_rule(ctx, "Gamma"));
  ck_assert_ptr_nonnull(strstr(lrp_message(ctx), "did you mean \"gamma\"?"));
  ck_assert_ptr_null(lrp_find_rule(ctx, "zbox"));
  ck_assert_ptr_null(strstr(lrp_message(ctx), "did you mean"));
  ck_assert_ptr_null(lrp_find_rule(ctx, ""));
  ck_assert_ptr_null(lrp_find_layer(ctx, "gamma"));
  ck_assert_ptr_nonnull(strstr(lrp_message(ctx), "no layer type \"gamma\""));
}
END_TEST

START_TEST(nearest_counts_swapped_letters_once)
{
  static const char *const names[] = {"alpha_beta", "abs", "zbox"};
  ck_assert_str_eq(lrp_nearest("alpah_beta", names, 3), "alpha_beta");
  ck_assert_str_eq(lrp_nearest("zbxo", names, 3), "zbox");
  ck_assert_ptr_null(lrp_nearest("conv", names, 3));
  ck_assert_ptr_null(lrp_nearest("", names, 3));
  ck_assert_ptr_null(lrp_nearest("abs", names, 0));
}
END_TEST

/* ---- descriptors, each with one thing wrong ---- */

static void refused_layer(const lrp_layer_type *layer, const char *text)
{
  const lrp_layer_type *const layers[] = {layer, NULL};
  const lrp_plugin p = plugin("p", layers, NULL);
  lrp_ck_fails(ctx, LRP_E_ABI, text, lrp_registry_add(ctx, &p, "/p.so", NULL));
  ck_assert_int_eq(lrp_n_layer(ctx), 0);
}

static void refused_rule(const lrp_rule *rule, const char *text)
{
  const lrp_rule *const rules[] = {rule, NULL};
  const lrp_plugin p = plugin("p", NULL, rules);
  lrp_ck_fails(ctx, LRP_E_ABI, text, lrp_registry_add(ctx, &p, "/p.so", NULL));
}

START_TEST(a_plugin_needs_names_and_something_to_offer)
{
  static const lrp_rule *const rules[] = {&epsilon, NULL};
  lrp_plugin p = plugin(NULL, NULL, rules);
  lrp_ck_fails(ctx, LRP_E_ABI, "/p.so: the plugin: it has no name",
               lrp_check_plugin(ctx, &p, "/p.so"));
  p.name = "Bad Name";
  lrp_ck_fails(ctx, LRP_E_ABI, "no name of", lrp_check_plugin(ctx, &p, "/p.so"));
  p.name = "good";
  p.version = "";
  lrp_ck_fails(ctx, LRP_E_ABI, "no version", lrp_check_plugin(ctx, &p, "/p.so"));
  p.version = "1";
  p.license = NULL;
  lrp_ck_fails(ctx, LRP_E_ABI, "license is missing", lrp_check_plugin(ctx, &p, "/p.so"));
  p.license = "";
  lrp_ck_ok(ctx, lrp_check_plugin(ctx, &p, "/p.so"));
  p.rules = NULL;
  lrp_ck_fails(ctx, LRP_E_ABI, "neither layers nor rules", lrp_check_plugin(ctx, &p, "/p.so"));
}
END_TEST

START_TEST(a_layer_needs_size_kind_ports_and_callbacks)
{
  lrp_layer_type t = dense;
  t.struct_size = 8;
  refused_layer(&t, "struct_size is 8");
  t = dense, t.name = "Dense";
  refused_layer(&t, "a layer has no name");
  t = dense, t.kind = LRP_KIND_COUNT;
  refused_layer(&t, "/p.so: layer \"dense\": unknown kind 11");
  t = dense, t.layout = 9;
  refused_layer(&t, "unknown layout 9");
  t = dense, t.n_saved = 33;
  refused_layer(&t, "n_saved is 33");
  t = dense, t.doc = NULL;
  refused_layer(&t, "no doc");
  t = dense, t.in = NULL;
  refused_layer(&t, "no input list");
  t = dense, t.forward = NULL;
  refused_layer(&t, "no forward()");
  t = dense, t.infer = NULL;
  refused_layer(&t, "no infer()");
  static const char *const names[] = {"std", NULL};
  t = dense, t.freezable = names;
  refused_layer(&t, "more freezable tensors than the 0");
}
END_TEST

START_TEST(ports_are_looked_at)
{
  static const lrp_port role[] = {{.name = "w", .role = LRP_PORT_WEIGHT}, LRP_PORTS_END},
                        carrier[] = {{.name = "c", .role = LRP_PORT_CARRIER}, LRP_PORTS_END},
                        many[] = {{.name = "a", .role = LRP_PORT_DATA, .flags = LRP_PORT_MANY},
                                  {.name = "b", .role = LRP_PORT_DATA},
                                  LRP_PORTS_END},
                        twice[] = {{.name = "a", .role = LRP_PORT_DATA},
                                   {.name = "a", .role = LRP_PORT_DATA},
                                   LRP_PORTS_END},
                        dtype[] = {{.name = "a", .role = LRP_PORT_DATA, .dtype = 2}, LRP_PORTS_END},
                        shared[] = {{.name = "x", .role = LRP_PORT_WEIGHT}, LRP_PORTS_END};
  lrp_layer_type t = dense;
  t.in = role;
  refused_layer(&t, "input w has role 4, which has no place there");
  t.in = carrier;
  refused_layer(&t, "carrier c does not follow");
  t.in = many;
  refused_layer(&t, "input a is flagged LRP_PORT_MANY");
  t.in = twice;
  refused_layer(&t, "two inputs are named a");
  t.in = dtype;
  refused_layer(&t, "unknown element type 2");
  t = dense, t.param = shared;
  refused_layer(&t, "an input and a parameter are named x");
}
END_TEST

START_TEST(operators_bind_to_ports_that_exist)
{
  static const lrp_operator lost[] = {{.domain = "", .name = "Gemm", .inputs = "x w"}, {0}},
                            domain[] = {{.name = "Gemm"}, {0}},
                            range[] = {{.domain = "", .name = "Gemm", .since = 9, .until = 7}, {0}},
                            good[] = {{.domain = "", .name = "Gemm", .since = 7, .inputs = "x - -"},
                                      {0}};
  lrp_layer_type t = dense;
  t.operators = lost;
  refused_layer(&t, "operator Gemm binds an input to \"w\"");
  t.operators = domain;
  refused_layer(&t, "operator Gemm has no domain");
  t.operators = range;
  refused_layer(&t, "opset range 9 to 7");
  t.operators = good;
  const lrp_layer_type *const layers[] = {&t, NULL};
  const lrp_plugin p = plugin("p", layers, NULL);
  lrp_ck_ok(ctx, lrp_registry_check(ctx, &p, ""));
}
END_TEST

START_TEST(what_an_operator_stands_for_can_be_read)
{
  static const struct {
    const char *text, *fault;
  } wrong[] = {{"", "a name is missing"},
               {"y", "a \"=\" is missing"},
               {"y = Neg", "a \"(\" is missing"},
               {"y = Neg(x", "a \")\" is missing"},
               {"y = Neg(x) z", "there is text behind its end"},
               {"y = Neg(q)", "it reads a name that is neither an input nor written before"},
               {"q = Neg(x); q = Neg(x); y = Neg(q)", "it writes a name twice"},
               {"x = Neg(x)", "or one of an input"},
               {"q = Neg(x)", "it does not write y"},
               {"y = Neg(x, axis=)", "a number is missing"},
               {"y = Sum(x, x, x, x, x, x, x, x, x)", "more than 8 inputs"},
               {"y = Neg(x, a=1, b=1, c=1, d=1, e=1)", "more than 4 attributes"}};
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    const lrp_operator list[] = {{.domain = "", .name = "Odd", .inputs = "x", .expand = wrong[i].text}, {0}};
    lrp_layer_type t = dense;
    t.operators = list;
    refused_layer(&t, wrong[i].fault);
  }
}
END_TEST

START_TEST(arguments_are_well_formed)
{
  static const struct {
    lrp_arg arg;
    const char *text;
  } bad[] = {
      {{.name = "Eps", .type = LRP_ARG_REAL, .doc = ""}, "argument 0 has no name"},
      {{.name = "a", .type = 7, .doc = ""}, "unknown type 7"},
      {{.name = "a", .type = LRP_ARG_REAL, .flags = 16, .doc = ""}, "unknown flags 0x10"},
      {{.name = "a", .type = LRP_ARG_REAL, .flags = LRP_ARG_AXIS, .doc = ""},
       "holds no whole numbers"},
      {{.name = "a", .type = LRP_ARG_REAL}, "argument a has no doc"},
      {{.name = "a", .type = LRP_ARG_REAL, .min = 1, .max = 0, .doc = ""}, "range 1 to 0"},
      {{.name = "a", .type = LRP_ARG_REAL, .def = 2, .max = 1, .doc = ""}, "outside of its range"},
      {{.name = "a", .type = LRP_ARG_REAL, .flags = LRP_ARG_OPEN_MIN, .max = 1, .doc = ""},
       "outside of its range"},
      {{.name = "a", .type = LRP_ARG_INT, .def = 1.5, .doc = ""}, "a whole number was expected"},
      {{.name = "a", .type = LRP_ARG_BOOL, .def = 2, .doc = ""}, "default 2; 0 to 1"},
      {{.name = "a", .type = LRP_ARG_CHOICE, .doc = ""}, "words as a|b|c"},
      {{.name = "a", .type = LRP_ARG_CHOICE, .choices = "a||b", .doc = ""}, "words as a|b|c"},
      {{.name = "a", .type = LRP_ARG_CHOICE, .choices = "a|b", .def = 2, .doc = ""},
       "default 2; 0 to 1"},
      {{.name = "a", .type = LRP_ARG_REAL, .doc = "", .reserved = {&x}}, "reserved fields"},
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    const lrp_arg args[] = {bad[i].arg, LRP_ARGS_END};
    lrp_rule r = epsilon;
    r.args = args;
    refused_rule(&r, bad[i].text);
  }
  const lrp_arg twice[] = {{.name = "a", .type = LRP_ARG_INT, .doc = ""},
                           {.name = "a", .type = LRP_ARG_INT, .doc = ""},
                           LRP_ARGS_END};
  lrp_rule r = epsilon;
  r.args = twice;
  refused_rule(&r, "two arguments are named a");
}
END_TEST

static lrp_status any_relprop(const lrp_host *h, lrp_ctx *c, const lrp_value *args,
                              const lrp_site *site)
{
  (void)args, (void)site;
  return h->fail(c, LRP_E_SHAPE, "never called");
}

START_TEST(a_rule_has_a_table_or_relprop_and_says_what_it_is)
{
  lrp_rule r = epsilon;
  r.table = NULL;
  refused_rule(&r, "neither table() nor relprop()");
  r = epsilon, r.relprop = any_relprop;
  refused_rule(&r, "table() and relprop()");
  r = epsilon, r.kinds = 1u << LRP_KIND_COUNT;
  refused_rule(&r, "unknown bits");
  r = epsilon, r.formula = NULL;
  refused_rule(&r, "doc, cite or formula is missing");
  r = epsilon, r.struct_size = 5000;
  refused_rule(&r, "struct_size is 5000");
}
END_TEST

START_TEST(a_list_without_its_end_is_noticed)
{
  lrp_arg args[66];
  char names[65][4];
  for (int i = 0; i < 65; i++) {
    memcpy(names[i], "a00", 4);
    names[i][1] = (char)('0' + i / 10);
    names[i][2] = (char)('0' + i % 10);
    args[i] = (lrp_arg){.name = names[i], .type = LRP_ARG_INT, .doc = ""};
  }
  args[65] = (lrp_arg)LRP_ARGS_END;
  lrp_rule r = epsilon;
  r.args = args;
  refused_rule(&r, "more than 64 arguments; does the list end with LRP_ARGS_END?");
}
END_TEST

Suite *suite_registry(void);
Suite *suite_registry(void)
{
  Suite *s = suite_create("registry");
  TCase *t = tcase_create("registry");
  tcase_add_checked_fixture(t, set_up, tear_down);
  tcase_add_test(t, names_are_sorted_whatever_order_they_come_in);
  tcase_add_test(t, every_name_knows_its_owner);
  tcase_add_test(t, one_name_cannot_be_offered_twice);
  tcase_add_test(t, an_unknown_name_is_told_the_nearest);
  tcase_add_test(t, nearest_counts_swapped_letters_once);
  tcase_add_test(t, a_plugin_needs_names_and_something_to_offer);
  tcase_add_test(t, a_layer_needs_size_kind_ports_and_callbacks);
  tcase_add_test(t, ports_are_looked_at);
  tcase_add_test(t, operators_bind_to_ports_that_exist);
  tcase_add_test(t, what_an_operator_stands_for_can_be_read);
  tcase_add_test(t, arguments_are_well_formed);
  tcase_add_test(t, a_rule_has_a_table_or_relprop_and_says_what_it_is);
  tcase_add_test(t, a_list_without_its_end_is_noticed);
  suite_add_tcase(s, t);
  return s;
}
