/* test_loader.c - real modules, each refused for its own reason; the search path; what happens once
 * per process. */
#include "plugins/any.h"
#include "story.h"
#include "test.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static lrp_ctx *ctx;
static char warnings[20000];

static void note(void *user, const char *message)
{
  size_t n = strlen(warnings);
  (void)user;
  snprintf(warnings + n, sizeof warnings - n, "%s\n", message);
}

static void set_up(void)
{
  unsetenv("LRP_PLUGIN_PATH");
  ck_assert_int_eq(lrp_ctx_new(&ctx), LRP_OK);
  lrp_on_warning(ctx, note, NULL);
}

static void tear_down(void)
{
  lrp_ctx_free(ctx);
}

/* At most `most` bytes of a module into a new file. */
static const char *copy(const char *module, const char *name, size_t most)
{
  const char *path = lrp_test_tmp(name);
  FILE *in = fopen(lrp_test_plugin(module), "rb");
  ck_assert_msg(in != NULL, "%s: not built", lrp_test_plugin(module));
  FILE *out = fopen(path, "wb");
  ck_assert_ptr_nonnull(out);
  char byte;
  for (size_t i = 0; i < most && fread(&byte, 1, 1, in) == 1; i++)
    ck_assert_uint_eq(fwrite(&byte, 1, 1, out), 1);
  fclose(in);
  ck_assert_int_eq(fclose(out), 0);
  return path;
}

static lrp_status open_test(const char *module)
{
  return lrp_plugin_open(ctx, lrp_test_plugin(module), NULL);
}

static const char *folder(const char *name, mode_t mode)
{
  const char *path = lrp_test_tmp(name);
  mkdir(path, 0700);
  ck_assert_int_eq(chmod(path, mode), 0);
  return path;
}

START_TEST(a_good_rule_and_a_good_layer_load)
{
  const lrp_plugin_info *info;
  lrp_ck_ok(ctx, lrp_plugin_open(ctx, lrp_test_plugin("good_rule"), &info));
  ck_assert_str_eq(info->plugin->version, "1.2.3");
  ck_assert_int_eq(info->path[0], '/');
  ck_assert_ptr_eq(lrp_owner(ctx, "good_rule"), info);
  ck_assert_uint_eq(strlen(lrp_plugin_at(ctx, 0)->sha256), 64);
  lrp_ck_ok(ctx, open_test("good_layer"));
  ck_assert_ptr_nonnull(lrp_find_layer(ctx, "good_layer"));
}
END_TEST

START_TEST(opening_twice_is_opening_once)
{
  const lrp_plugin_info *first, *second;
  lrp_ck_ok(ctx, lrp_plugin_open(ctx, lrp_test_plugin("good_rule"), &first));
  lrp_ck_ok(ctx, lrp_plugin_open(ctx, lrp_test_plugin("good_rule"), &second));
  ck_assert_ptr_eq(first, second);
  ck_assert_int_eq(lrp_n_plugin(ctx), 1);
}
END_TEST

START_TEST(every_context_has_the_plugin_of_the_process)
{
  lrp_ctx *other;
  ck_assert_int_eq(lrp_ctx_new(&other), LRP_OK);
  lrp_ck_ok(ctx, open_test("good_rule"));
  lrp_ck_ok(other, lrp_plugin_open(other, lrp_test_plugin("good_rule"), NULL));
  ck_assert_ptr_eq(lrp_find_rule(ctx, "good_rule"), lrp_find_rule(other, "good_rule"));
  lrp_ctx_free(other);
  ck_assert_str_eq(lrp_find_rule(ctx, "good_rule")->name, "good_rule"); /* modules stay */
}
END_TEST

static const struct {
  const char *module;
  lrp_status status;
  const char *text;
} refused[] = {
    {"bad_magic", LRP_E_ABI, "bad_magic.so: not an lrp plugin: it starts with 0x12345678"},
    {"bad_major", LRP_E_ABI,
     "bad_major.so: built for plugin ABI 2, this lrp speaks 1; rebuild the plugin"},
    {"needs_newer", LRP_E_ABI,
     "needs_newer.so: needs plugin ABI 1.5, this lrp speaks 1.4; install a newer lrp"},
    {"bad_size", LRP_E_ABI, "bad_size.so: its descriptor has 24 bytes"},
    {"bad_guard", LRP_E_ABI, "bad_guard.so: built with lrp_real of "},
    {"no_symbol", LRP_E_ABI,
     "no_symbol.so: not an lrp plugin: it exports no no_symbol_LTX_lrp_plugin"},
    {"undefined_symbol", LRP_E_ABI, "lrp_test_nobody_has_this"},
    {"bad_descriptor", LRP_E_ABI,
     "bad_descriptor.so: rule \"empty\": it has neither table() nor relprop()"},
    {"bad_start", LRP_E_UNSUPPORTED,
     "bad_start.so: the plugin did not start: this machine has no quantum unit"},
    {"no_such_file", LRP_E_INPUT, "no_such_file.so: No such file"},
};

START_TEST(a_broken_plugin_is_refused_with_its_reason)
{
  lrp_ck_fails(ctx, refused[_i].status, refused[_i].text, open_test(refused[_i].module));
  ck_assert_int_eq(lrp_n_plugin(ctx), 0);
}
END_TEST

START_TEST(two_plugins_with_one_rule_are_refused_naming_both)
{
  lrp_ck_ok(ctx, open_test("good_rule"));
  lrp_ck_fails(ctx, LRP_E_ABI, "offers the rule \"good_rule\", which plugin good_rule 1.2.3",
               open_test("duplicate_rule"));
  ck_assert_ptr_nonnull(strstr(lrp_message(ctx), "duplicate_rule.so"));
  ck_assert_int_eq(lrp_n_rule(ctx), 1);
}
END_TEST

START_TEST(a_file_under_another_name_is_told_its_own)
{
  const char *path = copy("good_rule", "my-rule.so", SIZE_MAX);
  lrp_ck_fails(ctx, LRP_E_ABI, "holds the plugin of good_rule.so under another name",
               lrp_plugin_open(ctx, path, NULL));
  ck_assert_ptr_nonnull(strstr(lrp_message(ctx), "LRP_PLUGIN(my_rule, ...)"));
}
END_TEST

START_TEST(a_truncated_file_does_not_kill_the_program)
{
  struct stat st;
  ck_assert_int_eq(stat(lrp_test_plugin("good_rule"), &st), 0);
  const size_t cut[] = {0, 3, 20, 64, 500, 4097, (size_t)st.st_size / 2, (size_t)st.st_size - 1};
  for (size_t i = 0; i < sizeof cut / sizeof *cut; i++) {
    const char *path = copy("good_rule", "good_rule.so", cut[i]);
    lrp_status status = lrp_plugin_open(ctx, path, NULL);
    ck_assert_msg(status == LRP_E_ABI, "%zu bytes: %s", cut[i], lrp_status_name(status));
    ck_assert_msg(strstr(lrp_message(ctx), path) != NULL, "%s", lrp_message(ctx));
  }
}
END_TEST

START_TEST(what_others_may_write_to_is_not_loaded)
{
  const char *path = copy("good_rule", "good_rule.so", SIZE_MAX);
  ck_assert_int_eq(chmod(path, 0646), 0);
  lrp_ck_fails(ctx, LRP_E_ABI, "everybody may write to this file",
               lrp_plugin_open(ctx, path, NULL));
  ck_assert_int_eq(chmod(path, 0644), 0);
  lrp_ck_ok(ctx, lrp_plugin_open(ctx, path, NULL));
  folder("open", 0777);
  path = copy("good_layer", "open/good_layer.so", SIZE_MAX);
  lrp_ck_fails(ctx, LRP_E_ABI, "everybody may write to this folder",
               lrp_plugin_open(ctx, path, NULL));
}
END_TEST

START_TEST(the_search_path_is_read_in_order_and_a_bad_plugin_only_warns)
{
  char path[9000];
  const char *first = folder("first", 0755), *second = folder("second", 0755),
             *open = folder("anybody", 0777);
  copy("good_rule", "first/good_rule.so", SIZE_MAX);
  copy("bad_major", "first/bad_major.so", SIZE_MAX);
  copy("good_layer", "second/good_layer.so", SIZE_MAX);
  copy("duplicate_rule", "second/duplicate_rule.so", SIZE_MAX);
  copy("good_layer", "anybody/other.so", SIZE_MAX);
  snprintf(path, sizeof path, "%s:relative:%s::%s/none:%s", first, second, first, open);
  setenv("LRP_PLUGIN_PATH", path, 1);
  lrp_ck_ok(ctx, lrp_plugins_open(ctx));
  ck_assert_ptr_nonnull(lrp_find_rule(ctx, "good_rule"));
  ck_assert_ptr_nonnull(lrp_find_layer(ctx, "good_layer"));
  ck_assert_ptr_nonnull(strstr(lrp_owner(ctx, "good_rule")->path, "first/good_rule.so"));
  ck_assert_ptr_nonnull(strstr(warnings, "bad_major.so: built for plugin ABI 2"));
  ck_assert_ptr_nonnull(strstr(warnings, "duplicate_rule.so: offers the rule"));
  ck_assert_ptr_nonnull(strstr(warnings, "\"relative\" is not an absolute folder"));
  ck_assert_ptr_nonnull(strstr(warnings, "first/none: no such folder"));
  ck_assert_ptr_nonnull(strstr(warnings, "anybody: everybody may write to this folder"));
  const char *dirs = lrp_plugin_dirs(ctx);
  ck_assert_ptr_eq(strstr(dirs, first), dirs);
  ck_assert_ptr_null(strstr(dirs, "relative"));
  ck_assert_ptr_nonnull(strstr(dirs, "plugins-1"));
}
END_TEST

START_TEST(a_name_without_a_folder_is_a_file_here)
{
  char before[4096];
  ck_assert_ptr_nonnull(getcwd(before, sizeof before));
  copy("good_rule", "good_rule.so", SIZE_MAX);
  ck_assert_int_eq(chdir(lrp_test_tmp(".")), 0);
  lrp_ck_ok(ctx, lrp_plugin_open(ctx, "good_rule.so", NULL));
  ck_assert_int_eq(lrp_plugin_at(ctx, 0)->path[0], '/');
  lrp_ck_fails(ctx, LRP_E_INPUT, "/good_layer.so: No such file",
               lrp_plugin_open(ctx, "good_layer.so", NULL));
  ck_assert_int_eq(chdir(before), 0);
}
END_TEST

START_TEST(things_that_are_no_module_are_told_so)
{
  FILE *f = fopen(lrp_test_tmp("text.so"), "w");
  ck_assert_ptr_nonnull(f);
  fputs(
      "this is no module, but long enough to be looked at as if it were one, all of its 64 bytes\n",
      f);
  fclose(f);
  lrp_ck_fails(ctx, LRP_E_ABI, "text.so", lrp_plugin_open(ctx, lrp_test_tmp("text.so"), NULL));
  lrp_ck_fails(ctx, LRP_E_INPUT, "not a file", lrp_plugin_open(ctx, folder("sub.so", 0755), NULL));
  rename(lrp_test_tmp("text.so"), lrp_test_tmp("text.la"));
  lrp_ck_fails(ctx, LRP_E_INPUT, "give the module itself",
               lrp_plugin_open(ctx, lrp_test_tmp("text.la"), NULL));
}
END_TEST

/* ---- the story of a file ---- */

static char story[20000];

static void tell(void *user, int verdict, const char *line)
{
  static const char *const mark[] = {
      [LRP_CHECK_FAILED] = "FAILED", [LRP_CHECK_PASSED] = "ok", [LRP_CHECK_NOTE] = "note"};
  size_t n = strlen(story);
  (void)user;
  snprintf(story + n, sizeof story - n, "%s: %s\n", mark[verdict], line);
}

static void told(const char *text)
{
  ck_assert_msg(strstr(story, text) != NULL, "no \"%s\" in\n%s", text, story);
}

START_TEST(check_of_a_good_rule_and_a_good_layer_passes)
{
  lrp_ck_ok(ctx, lrp_plugin_check(ctx, lrp_test_plugin("good_layer"), tell, NULL));
  told("ok: exports good_layer_LTX_lrp_plugin");
  told("ok: magic 0x4c525031");
  told("ok: layer good_layer: vjp is the transposed map");
  told("ok: layer good_layer: homogeneous of degree 2");
  lrp_ck_ok(ctx, lrp_plugin_check(ctx, lrp_test_plugin("good_rule"), tell, NULL));
  told("ok: rule good_rule: table at the ends of floor");
  ck_assert_msg(strstr(story, "FAILED") == NULL, "%s", story);
}
END_TEST

START_TEST(check_finds_a_wrong_vjp_and_a_wrong_degree)
{
  lrp_ck_fails(ctx, LRP_E_ABI, "wrong_vjp.so: 2 checks failed",
               lrp_plugin_check(ctx, lrp_test_plugin("wrong_vjp"), tell, NULL));
  told("FAILED: layer wrong_vjp: vjp is not the transposed map");
  told("FAILED: layer wrong_vjp: not homogeneous of degree 1");
}
END_TEST

START_TEST(check_finds_a_table_that_overflows)
{
  lrp_ck_fails(ctx, LRP_E_ABI, "bad_table.so: 1 check failed",
               lrp_plugin_check(ctx, lrp_test_plugin("bad_table"), tell, NULL));
  told("FAILED: rule bad_table: the table has 9 passes; 1 to 8 were expected");
}
END_TEST

START_TEST(check_of_a_refused_plugin_says_how_far_it_came)
{
  lrp_ck_fails(ctx, LRP_E_ABI, "ABI 2",
               lrp_plugin_check(ctx, lrp_test_plugin("bad_major"), tell, NULL));
  told("ok: magic");
  told("FAILED: built for plugin ABI 2");
  ck_assert_ptr_null(strstr(story, "descriptor is well formed"));
}
END_TEST

Suite *suite_loader(void);
Suite *suite_loader(void)
{
  Suite *s = suite_create("loader");
  TCase *t = tcase_create("loader");
  tcase_add_checked_fixture(t, set_up, tear_down);
  suite_add_tcase(s, t);
  if (!lrp_test_plugin("good_rule")) return s; /* a build without modules */
  tcase_add_test(t, a_good_rule_and_a_good_layer_load);
  tcase_add_test(t, opening_twice_is_opening_once);
  tcase_add_test(t, every_context_has_the_plugin_of_the_process);
  tcase_add_loop_test(t, a_broken_plugin_is_refused_with_its_reason, 0,
                      (int)(sizeof refused / sizeof *refused));
  tcase_add_test(t, two_plugins_with_one_rule_are_refused_naming_both);
  tcase_add_test(t, a_file_under_another_name_is_told_its_own);
  tcase_add_test(t, a_truncated_file_does_not_kill_the_program);
  tcase_add_test(t, what_others_may_write_to_is_not_loaded);
  tcase_add_test(t, the_search_path_is_read_in_order_and_a_bad_plugin_only_warns);
  tcase_add_test(t, a_name_without_a_folder_is_a_file_here);
  tcase_add_test(t, things_that_are_no_module_are_told_so);
  tcase_add_test(t, check_of_a_good_rule_and_a_good_layer_passes);
  tcase_add_test(t, check_finds_a_wrong_vjp_and_a_wrong_degree);
  tcase_add_test(t, check_finds_a_table_that_overflows);
  tcase_add_test(t, check_of_a_refused_plugin_says_how_far_it_came);
  return s;
}
