/* store_setup.h - what each test of a store begins and ends with. */
#ifndef LRP_TESTS_STORE_SETUP_H
#define LRP_TESTS_STORE_SETUP_H
#include "store_facts.h"

static lrp_ctx *ctx;
static facts f;

static void setup(void)
{
  ck_assert_int_eq(lrp_ctx_new(&ctx), LRP_OK);
  facts_fill(&f);
}

static void teardown(void)
{
  lrp_ctx_free(ctx);
}
#endif
