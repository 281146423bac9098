/* tail_facts.h - a store, and tails beside it, for the suites of tails. */
#ifndef LRP_TESTS_TAIL_FACTS_H
#define LRP_TESTS_TAIL_FACTS_H
#include "store_setup.h"
#include "store_tail.h"
#include <stdio.h>

/* A store with a run, joined as a worker does. */
static lrp_store *joined(const char *path, lrp_run **run)
{
  lrp_run *first;
  lrp_store *s = facts_create(ctx, path);
  lrp_ck_ok(ctx, lrp_store_run_begin(s, &f.spec, &first));
  const int64_t id = lrp_run_id(first);
  lrp_ck_ok(ctx, lrp_store_run_end(s, first, LRP_RUN_INTERRUPTED));
  lrp_ck_ok(ctx, lrp_store_run_join(s, id, &f.spec, run));
  lrp_ck_ok(ctx, lrp_store_run_layers(s, *run, &f.spec));
  return s;
}

static bool put(lrp_tail *t, const lrp_run *run)
{
  const lrp_real *scores;
  lrp_relevance r;
  lrp_tensor tensor[1];
  const bool good = lrp_tail_put(t, run, &f.record, &scores, &r, tensor);
  if (good) {
    ck_assert_mem_eq(scores, f.scores, sizeof f.scores);
    ck_assert_mem_eq(tensor[0].data, f.r, sizeof f.r);
    ck_assert_double_eq(r.value[0], f.value);
  }
  return good;
}

/* A tail with n explanations; its owner is dead: the lock is gone and the file is there. */
static void leave_tail(const char *path, const lrp_run *run, int n, char name[256])
{
  lrp_tail *t;
  lrp_ck_ok(ctx, lrp_tail_open(ctx, path, &t));
  for (int i = 0; i < n; i++) {
    facts_number(&f, i);
    ck_assert(put(t, run));
    if (i == n / 2) lrp_tail_turn(t); /* both halves */
  }
  snprintf(name, 256, "%s", t->path);
  lrp_tail_release(t);
}
#endif
