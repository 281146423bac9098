/* node_facts.c - what the suites of operators' forms assert of a model of one node. */
#include "node_facts.h"
#include "test.h"
#include <math.h>

lrp_ctx *node_ctx;

void node_setup(void)
{
  ck_assert_int_eq(lrp_ctx_new(&node_ctx), LRP_OK);
  ck_assert_msg(!lrp_plugins_open(node_ctx), "%s", lrp_message(node_ctx));
}

void node_teardown(void)
{
  lrp_ctx_free(node_ctx);
}

void node_same(const char *what, const lrp_tensor *t, const char *shape, const double *want)
{
  char have[160];
  ck_assert_str_eq(lrp_shape_text(t, have, sizeof have), shape);
  for (int64_t i = 0, n = lrp_count(t); i < n; i++) {
    const double v = t->dtype == LRP_INDEX ? (double)lrp_indices(t)[i] : (double)lrp_reals(t)[i];
    ck_assert_msg(fabs(v - want[i]) <= 1e-5 * fmax(1, fabs(want[i])), "%s: element %lld is %g, %g was expected", what,
                  (long long)i, v, want[i]);
  }
}

void node_gives(const node_case *c, const char *shape, const double *want)
{
  node_run r;
  lrp_ck_ok(node_ctx, node_run_open(&r, node_ctx, c));
  node_same(c->op, node_run_output(&r, 0), shape, want);
  node_run_close(&r);
}

void node_refused(const node_case *c, lrp_status status, const char *text)
{
  node_run r;
  lrp_ck_fails(node_ctx, status, text, node_run_open(&r, node_ctx, c));
  node_run_close(&r);
}

void node_same_in_image(const node_case *c)
{
  node_run plain, image;
  node_case moved = *c;
  moved.image = true;
  lrp_ck_ok(node_ctx, node_run_open(&plain, node_ctx, c));
  lrp_ck_ok(node_ctx, node_run_open(&image, node_ctx, &moved));
  const lrp_tensor *y = node_run_output(&plain, 0);
  char shape[160];
  double want[400];
  ck_assert_int_le((int)lrp_count(y), 400);
  for (int64_t i = 0; i < lrp_count(y); i++)
    want[i] = (double)lrp_reals(y)[i];
  node_same(c->op, node_run_output(&image, 0), lrp_shape_text(y, shape, sizeof shape), want);
  const lrp_tensor *r = node_run_relevance(&plain, 1);
  ck_assert_int_le((int)lrp_count(r), 400);
  for (int64_t i = 0; r->data && i < lrp_count(r); i++)
    want[i] = (double)lrp_reals(r)[i];
  const lrp_tensor *q = node_run_relevance(&image, 1);
  ck_assert_int_eq(r->data == NULL, q->data == NULL);
  if (r->data)
    node_same(c->attr ? c->attr : c->op, q, lrp_shape_text(r, shape, sizeof shape), want);
  node_run_close(&plain);
  node_run_close(&image);
}
