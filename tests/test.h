/* test.h - what every suite shares. */
#ifndef LRP_TEST_H
#define LRP_TEST_H
#include "lrp/lrp.h"
#include <check.h>
#undef fail /* Check's old macro would take the calls of host->fail() */

/* A data file of the source tree's tests folder ($LRP_TEST_DATA).  The text lives until 16 more
 * calls. */
const char *lrp_test_path(const char *relative);
/* A place for output that the runner removes at its end; nobody else may write there.  Lives as
 * above. */
const char *lrp_test_tmp(const char *name);
/* A module of tests/plugins ($LRP_TEST_PLUGINS), by name: "good_rule".  NULL: this build has no
 * modules. */
const char *lrp_test_plugin(const char *name);

#define lrp_ck_ok(ctx, call)                                                                       \
  do {                                                                                             \
    lrp_status lrp_ck_status = (call);                                                             \
    ck_assert_msg(lrp_ck_status == LRP_OK, "%s: %s: %s", #call, lrp_status_name(lrp_ck_status),    \
                  lrp_message(ctx));                                                               \
  } while (0)
/* The call fails with this status and its message has this text in it. */
#define lrp_ck_fails(ctx, status, text, call)                                                      \
  do {                                                                                             \
    lrp_status lrp_ck_status = (call);                                                             \
    ck_assert_msg(lrp_ck_status == (status), "%s: %s, not %s: %s", #call,                          \
                  lrp_status_name(lrp_ck_status), lrp_status_name(status), lrp_message(ctx));      \
    ck_assert_msg(strstr(lrp_message(ctx), (text)) != NULL, "%s: no \"%s\" in \"%s\"", #call,      \
                  (text), lrp_message(ctx));                                                       \
  } while (0)
#endif
