/* main.c - the one test runner: TAP on stdout.  `main --suite NAME` runs one suite, `main --list`
 * names them.
 *
 * Failed tests do not change the exit status: TAP says so already, and automake would count the
 * program as one more. */
#ifndef _XOPEN_SOURCE
#define _XOPEN_SOURCE 700 /* nftw() */
#endif
#include "test.h"
#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SUITE(name) Suite *suite_##name(void);
#include "suites.h"
#undef SUITE

static const struct {
  const char *name;
  Suite *(*make)(void);
} suites[] = {
#define SUITE(name) {#name, suite_##name},
#include "suites.h"
#undef SUITE
};
enum { N_SUITE = sizeof suites / sizeof *suites, TEXTS = 16, LONGEST = 4096 };

static const char *join(const char *folder, const char *name, const char *suffix)
{
  static char text[TEXTS][LONGEST];
  static unsigned next;
  char *out = text[next++ % TEXTS];
  int n = snprintf(out, LONGEST, "%s/%s%s", folder, name, suffix);
  if (n > 0 && n < LONGEST) return out;
  fprintf(stderr, "the path of %s is too long\n", name);
  exit(1);
}

const char *lrp_test_path(const char *relative)
{
  const char *folder = getenv("LRP_TEST_DATA");
  return join(folder && *folder ? folder : "tests", relative, "");
}

const char *lrp_test_tmp(const char *name)
{
  return join(getenv("LRP_TEST_TMP"), name, "");
}

const char *lrp_test_plugin(const char *name)
{
  const char *folder = getenv("LRP_TEST_PLUGINS");
  return folder && *folder ? join(folder, name, ".so") : NULL;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *at)
{
  (void)st, (void)flag, (void)at;
  return remove(path);
}

/* A fresh folder that only we may enter. */
static bool make_tmp(char *folder, size_t n)
{
  const char *base = getenv("TMPDIR");
  int m = snprintf(folder, n, "%s/lrp-test-XXXXXX", base && *base ? base : P_tmpdir);
  return m > 0 && (size_t)m < n && mkdtemp(folder) && setenv("LRP_TEST_TMP", folder, 1) == 0;
}

static int usage(void)
{
  fprintf(stderr, "usage: main [--suite NAME | --list]\n");
  return 2;
}

int main(int argc, char **argv)
{
  const char *wanted = argc == 3 && strcmp(argv[1], "--suite") == 0 ? argv[2] : NULL;
  char folder[LONGEST];
  SRunner *runner = NULL;
  if (argc == 2 && strcmp(argv[1], "--list") == 0) {
    for (size_t i = 0; i < N_SUITE; i++)
      puts(suites[i].name);
    return 0;
  }
  if (argc != 1 && !wanted) return usage();
  setenv("CK_DEFAULT_TIMEOUT", "60",
         0); /* seconds; Check's own 4 are too few under sanitizers on a busy machine */
  if (!make_tmp(folder, sizeof folder)) {
    perror("no folder for the tests' output");
    return 1;
  }
  LRP_PRELOAD();
  for (size_t i = 0; i < N_SUITE; i++) {
    if (wanted && strcmp(wanted, suites[i].name) != 0) continue;
    if (!runner)
      runner = srunner_create(suites[i].make());
    else
      srunner_add_suite(runner, suites[i].make());
  }
  if (runner) {
    srunner_set_tap(runner, "-");
    srunner_run_all(runner, CK_SILENT);
    srunner_free(runner);
  } else {
    fprintf(stderr, "there is no suite \"%s\"; --list names them\n", wanted);
  }
  nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
  return runner ? 0 : 2;
}
