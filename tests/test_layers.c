/* test_layers.c - facts that hold for every registered layer type: pull-back, determinism,
 * freezing, degree, rows, refusals, ranges of arguments.  What each is tried on stands in
 * layer_samples.c. */
#include "layer_trial.h"
#include "rows.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#ifdef LRP_REAL_DOUBLE
static const double STEP = 1e-5, TOLERANCE = 1e-6; /* of central differences */
#else
static const double STEP = 1.0 / 512, TOLERANCE = 3e-3;
#endif

/* ---- every layer, every sample ---- */

static bool finite_outputs(const trial *t)
{
  for (uint32_t k = 0; k < t->call.n_out; k++)
    for (int64_t i = 0, n = lrp_count(&t->out[k]); t->out[k].dtype == LRP_REAL && i < n; i++)
      if (!isfinite(lrp_reals(&t->out[k])[i])) return false;
  return true;
}

/* fact() on each sample, on signed inputs where the layer is defined there, and on positive ones.
 */
static void each_sample(int index, void (*fact)(trial *))
{
  const lrp_layer_type *type = lrp_layer_at(trial_ctx, index);
  layer_sample s;
  ck_assert_msg(trial_sample(type, 0, &s),
                "layer \"%s\" accepts none of the plain shapes: give it an entry in layer_samples.c (%s)",
                type->name, lrp_message(trial_ctx));
  for (int k = 0; trial_sample(type, k, &s); k++)
    for (int positive = 0; positive < 2; positive++) {
      trial t;
      ck_assert_msg(!trial_new(&t, trial_ctx, type, &s, positive), "%s, sample %d: %s", type->name,
                    k, lrp_message(trial_ctx));
      if (finite_outputs(&t))
        fact(&t);
      else
        ck_assert_msg(!positive, "%s, sample %d: not finite on positive inputs", type->name, k);
      trial_free(&t);
    }
}

/* ---- facts ---- */

static bool differentiable(const trial *t)
{
  bool carries = false;
  for (uint32_t i = 0; i < t->n_in; i++)
    carries = carries || trial_carries(t, i);
  return carries && t->type->vjp && t->out[0].dtype == LRP_REAL;
}

static void moved_inputs(trial *t, const lrp_tensor *v, double step, lrp_tensor *in)
{
  for (uint32_t i = 0; i < t->n_in; i++) {
    in[i] = trial_copy(t, &t->in[i]);
    for (int64_t k = 0, n = lrp_count(&in[i]); trial_carries(t, i) && k < n; k++)
      lrp_reals(&in[i])[k] += (lrp_real)(step * (double)lrp_reals(&v[i])[k]);
  }
}

/* J v by the layer's own jvp or by central differences. */
static void directional(trial *t, const lrp_call *at, const lrp_tensor *v, lrp_tensor *out)
{
  for (uint32_t k = 0; k < at->n_out; k++)
    out[k] = trial_zeros(t, &t->out[k]);
  if (t->type->jvp) {
    ck_assert_int_eq(t->type->jvp(t->h, t->ctx, t->inst, at, v, out), LRP_OK);
    return;
  }
  lrp_tensor in[TRIAL_MAX];
  lrp_call up, down;
  moved_inputs(t, v, STEP, in);
  ck_assert_int_eq(trial_forward(t, in, NULL, at->freeze, at, &up), LRP_OK);
  moved_inputs(t, v, -STEP, in);
  ck_assert_int_eq(trial_forward(t, in, NULL, at->freeze, at, &down), LRP_OK);
  for (uint32_t k = 0; k < at->n_out; k++)
    for (int64_t i = 0, n = lrp_count(&out[k]); i < n; i++)
      lrp_reals(&out[k])[i] =
          (lrp_real)(((double)lrp_reals(&up.out[k])[i] - (double)lrp_reals(&down.out[k])[i]) /
                     (2 * STEP));
}

static void check_adjoint(trial *t, uint32_t freeze)
{
  lrp_tensor u[TRIAL_MAX], v[TRIAL_MAX], jv[TRIAL_MAX], bar[TRIAL_MAX];
  lrp_call at;
  double left = 0, right = 0, size = 0;
  ck_assert_int_eq(trial_forward(t, NULL, NULL, freeze, &t->call, &at), LRP_OK);
  for (uint32_t k = 0; k < at.n_out; k++) {
    u[k] = trial_zeros(t, &t->out[k]);
    trial_fill(&u[k], 3 + k);
  }
  for (uint32_t i = 0; i < t->n_in; i++) {
    v[i] = trial_zeros(t, &t->in[i]);
    if (trial_carries(t, i)) trial_fill(&v[i], 23 + i);
  }
  directional(t, &at, v, jv);
  ck_assert_msg(!trial_vjp(t, &at, u, bar), "%s: %s", t->type->name, lrp_message(trial_ctx));
  for (uint32_t k = 0; k < at.n_out; k++)
    left += trial_dot(&u[k], &jv[k], &size);
  for (uint32_t i = 0; i < t->n_in; i++)
    right += trial_carries(t, i) ? trial_dot(&bar[i], &v[i], &size) : 0;
  ck_assert_msg(fabs(left - right) <= TOLERANCE * size + 1e-6,
                "%s, freeze %u: <u,Jv> = %g, <J'u,v> = %g", t->type->name, freeze, left, right);
}

static void fact_adjoint(trial *t)
{
  const uint32_t n = trial_n_freezable(t->type);
  if (!differentiable(t)) return;
  check_adjoint(t, 0);
  for (uint32_t i = 0; i < n; i++)
    check_adjoint(t, 1u << i);
  if (n > 1) check_adjoint(t, (1u << n) - 1);
}

static void compare_bits(const trial *t, const lrp_tensor *a, const lrp_tensor *b, const char *what)
{
  ck_assert_msg(!memcmp(a->data, b->data, (size_t)lrp_count(a) * lrp_element(a)),
                "%s: %s differs between two runs", t->type->name, what);
}

static void fact_same_bits_twice(trial *t)
{
  lrp_call again;
  ck_assert_int_eq(trial_forward(t, NULL, NULL, 0, NULL, &again), LRP_OK);
  for (uint32_t k = 0; k < again.n_out; k++)
    compare_bits(t, &t->out[k], &again.out[k], "an output");
  for (uint32_t k = 0; k < again.n_saved; k++)
    compare_bits(t, &t->saved[k], &again.saved[k], "a saved tensor");
  if (!differentiable(t)) return;
  lrp_tensor one[TRIAL_MAX], two[TRIAL_MAX];
  ck_assert_int_eq(trial_vjp(t, &t->call, t->out, one), LRP_OK);
  ck_assert_int_eq(trial_vjp(t, &again, t->out, two), LRP_OK);
  for (uint32_t i = 0; i < t->n_in; i++)
    if (one[i].data) compare_bits(t, &one[i], &two[i], "a pulled-back value");
}

static void fact_absent_means_zero(trial *t)
{
  lrp_tensor none[TRIAL_MAX], bar[TRIAL_MAX] = {{0}};
  if (!differentiable(t)) return;
  for (uint32_t k = 0; k < t->call.n_out; k++) {
    none[k] = t->out[k];
    none[k].data = NULL;
  }
  ck_assert_int_eq(trial_vjp(t, &t->call, none, bar), LRP_OK);
  for (uint32_t i = 0; i < t->n_in; i++)
    for (int64_t k = 0, n = lrp_count(&t->in[i]); bar[i].data && k < n; k++)
      ck_assert_msg(lrp_reals(&bar[i])[k] == 0, "%s: relevance out of nothing", t->type->name);
  for (uint32_t i = 0; i < t->n_in; i++)
    bar[i].data = NULL; /* nothing wanted: must not write */
  ck_assert_int_eq(t->type->vjp(t->h, t->ctx, t->inst, &t->call, t->out, bar), LRP_OK);
}

/* a = factor * b, up to rounding. */
static void proportional(const trial *t, const lrp_call *a, const lrp_call *b, double factor,
                         const char *what)
{
  double largest = 0;
  for (uint32_t k = 0; k < a->n_out; k++)
    for (int64_t i = 0, n = lrp_count(&a->out[k]); a->out[k].dtype == LRP_REAL && i < n; i++)
      largest = fmax(largest, fabs((double)lrp_reals(&a->out[k])[i]));
  for (uint32_t k = 0; k < a->n_out; k++)
    for (int64_t i = 0, n = lrp_count(&a->out[k]); a->out[k].dtype == LRP_REAL && i < n; i++) {
      const double have = (double)lrp_reals(&a->out[k])[i],
                   want = factor * (double)lrp_reals(&b->out[k])[i];
      ck_assert_msg(fabs(have - want) <= 1e-5 * largest + 1e-7,
                    "%s, freeze %u, %s: %g, %g was expected", t->type->name, a->freeze, what, have,
                    want);
    }
}

static void fact_frozen_equals_unfrozen(trial *t)
{
  const uint32_t n = trial_n_freezable(t->type);
  for (uint32_t mask = 1; mask < 1u << n; mask++) {
    lrp_call frozen;
    ck_assert_int_eq(trial_forward(t, NULL, NULL, mask, &t->call, &frozen), LRP_OK);
    proportional(t, &frozen, &t->call, 1, "frozen output");
  }
}

static void fact_degree(trial *t)
{
  const uint32_t n = trial_n_freezable(t->type);
  lrp_tensor param[TRIAL_MAX], in[TRIAL_MAX];
  lrp_call base;
  if (!differentiable(t)) return;
  for (uint32_t i = 0; i < t->n_param; i++) {
    const lrp_port *p = &t->type->param[i];
    param[i] =
        p->role == LRP_PORT_BIAS && t->param[i].data ? trial_zeros(t, &t->param[i]) : t->param[i];
    if (p->role == LRP_PORT_BIAS && p->flags & LRP_PORT_OPTIONAL) param[i].data = NULL;
  }
  moved_inputs(t, t->in, 1, in); /* x + x */
  ck_assert_int_eq(trial_forward(t, NULL, param, 0, NULL, &base), LRP_OK);
  for (uint32_t mask = 0; mask < 1u << n; mask++) {
    const uint32_t degree = t->type->degree ? t->type->degree(t->inst, mask) : 1;
    lrp_call one, two;
    if (!degree) continue;
    ck_assert_int_eq(trial_forward(t, NULL, param, mask, &base, &one), LRP_OK);
    ck_assert_int_eq(trial_forward(t, in, param, mask, &base, &two), LRP_OK);
    proportional(t, &two, &one, pow(2, degree), "output of doubled inputs");
  }
}

static void fact_nonneg_is_true(trial *t)
{
  for (uint32_t k = 0; k < t->call.n_out; k++)
    for (int64_t i = 0, n = lrp_count(&t->out[k]); t->out[k].flags & LRP_NONNEG && i < n; i++)
      ck_assert_msg(lrp_reals(&t->out[k])[i] >= 0, "%s: an output flagged NONNEG is %g",
                    t->type->name, (double)lrp_reals(&t->out[k])[i]);
}

/* ---- refusals ---- */

/* infer() with one tensor in another shape: accepted, or refused with a sentence. */
static void infer_other(trial *t, lrp_tensor *slot, const lrp_tensor *shape)
{
  const lrp_tensor kept = *slot;
  lrp_tensor out[TRIAL_MAX] = {{0}}, saved[TRIAL_MAX] = {{0}};
  lrp_call call = t->call;
  call.out = out;
  call.saved = saved;
  call.n_out = 0;
  for (const lrp_port *p = t->type->out; p->role; p++)
    call.n_out++;
  *slot = *shape;
  trial_ctx->message[0] = 0;
  const lrp_status st = t->type->infer(t->h, trial_ctx, t->inst, &call);
  lrp_scratch_reset(trial_ctx);
  *slot = kept;
  if (st)
    ck_assert_msg(strchr(lrp_message(trial_ctx), ' '), "%s: refused rank %d without a sentence",
                  t->type->name, shape->rank);
}

static void refuse_shapes(trial *t, lrp_tensor *slot)
{
  for (int32_t rank = 0; rank <= LRP_MAX_RANK; rank++) {
    lrp_tensor other = *slot; /* the data is large enough: no shape has more elements */
    other.rank = rank;
    for (int32_t i = 0; i < LRP_MAX_RANK; i++)
      other.shape[i] = 1;
    infer_other(t, slot, &other);
  }
  for (int32_t i = 0; i < slot->rank; i++) {
    lrp_tensor other = *slot;
    other.shape[i] = 0;
    infer_other(t, slot, &other);
    other.shape[i] = slot->shape[i] > 1 ? slot->shape[i] - 1 : 0;
    infer_other(t, slot, &other);
  }
}

static void fact_bad_shapes_get_a_sentence(trial *t)
{
  for (uint32_t i = 0; i < t->n_in; i++)
    refuse_shapes(t, &t->in[i]);
  for (uint32_t i = 0; i < t->n_param; i++)
    if (t->param[i].data) refuse_shapes(t, &t->param[i]);
}

/* ---- rows ---- */

typedef struct cut { /* rows of a tensor: (outer, n, inner) */
  const lrp_tensor *t;
  int64_t outer, n;
  size_t bytes;
} cut;

static cut cut_of(const lrp_tensor *t, int32_t axis)
{
  cut c = {t, 1, t->shape[axis], lrp_element(t)};
  for (int32_t i = 0; i < t->rank; i++) {
    c.outer *= i < axis ? t->shape[i] : 1;
    c.bytes *= i > axis ? (size_t)t->shape[i] : 1;
  }
  return c;
}

static const char *row_at(const cut *c, int64_t outer, int64_t row)
{
  return (const char *)c->t->data + (size_t)(outer * c->n + row) * c->bytes;
}

static bool is_in(const lrp_row_set *rows, int64_t row)
{
  for (int64_t k = 0; k < rows->n; k++)
    if (rows->at[k] == row) return true;
  return false;
}

/* The rows are those of the whole pass, all others repeat the first of them. */
static void ck_rows(const trial *t, const lrp_tensor *have, const lrp_tensor *want, int32_t axis,
                    const lrp_row_set *rows)
{
  const cut a = cut_of(have, axis), b = cut_of(want, axis);
  for (int64_t o = 0; o < a.outer; o++)
    for (int64_t r = 0; r < a.n; r++)
      ck_assert_msg(!memcmp(row_at(&a, o, r), row_at(&b, o, is_in(rows, r) ? r : rows->at[0]), a.bytes),
                    "%s: row %lld along axis %d differs where %lld of %lld are computed", t->type->name,
                    (long long)r, axis, (long long)rows->n, (long long)a.n);
}

/* Rows of out_bar that are zeros leave those of in_bar zeros. */
static void ck_rows_back(trial *t, const lrp_call *call, const int32_t *axis, const lrp_row_set *rows)
{
  lrp_tensor bar = trial_zeros(t, &t->out[0]), in_bar[TRIAL_MAX];
  trial_fill(&bar, 7);
  const cut above = cut_of(&bar, rows->axis);
  for (int64_t o = 0; o < above.outer; o++)
    for (int64_t r = 0; r < above.n; r++)
      if (!is_in(rows, r)) memset((void *)(uintptr_t)row_at(&above, o, r), 0, above.bytes);
  ck_assert_int_eq(trial_vjp(t, call, &bar, in_bar), LRP_OK);
  for (uint32_t i = 0; i < t->n_in; i++) {
    if (axis[i] == LRP_ROWS_ALL || !in_bar[i].data) continue;
    const cut below = cut_of(&in_bar[i], axis[i]);
    for (int64_t o = 0; o < below.outer; o++)
      for (int64_t r = 0; r < below.n; r++)
        for (size_t k = 0; !is_in(rows, r) && k < below.bytes / sizeof(lrp_real); k++)
          ck_assert_msg(((const lrp_real *)row_at(&below, o, r))[k] == 0,
                        "%s: vjp gives row %lld of input %u something that comes from other rows", t->type->name,
                        (long long)r, i);
  }
}

static void fact_rows_are_computed_apart(trial *t)
{
  int32_t axes[2 * TRIAL_MAX];
  for (int32_t axis = 0; t->call.n_out == 1 && axis < t->out[0].rank; axis++) {
    const int64_t n = t->out[0].shape[axis], last[] = {n - 1}, ends[] = {0, n - 1};
    if (n < 2 || !lrp_rows_axes(t->type, t->inst, &t->call, axis, axes)) continue;
    for (int two = 0; two < 2; two++) {
      const lrp_row_set rows = {axis, 1 + two, two ? ends : last};
      lrp_call call = t->call;
      lrp_tensor out = trial_zeros(t, &t->out[0]), saved[TRIAL_MAX];
      for (uint32_t i = 0; i < call.n_saved; i++)
        saved[i] = trial_zeros(t, &t->saved[i]);
      call.out = &out;
      call.saved = saved;
      ck_assert_int_eq(lrp_rows_forward(t->ctx, t->type, t->inst, &call, &rows), LRP_OK);
      lrp_scratch_reset(t->ctx);
      ck_rows(t, &out, &t->out[0], axis, &rows);
      for (uint32_t i = 0; i < call.n_saved; i++) {
        const int32_t along = axes[t->n_in + i];
        if (along != LRP_ROWS_ALL) ck_rows(t, &saved[i], &t->saved[i], along, &rows);
        else ck_assert_mem_eq(saved[i].data, t->saved[i].data, (size_t)lrp_count(&saved[i]) * sizeof(lrp_real));
      }
      if (differentiable(t)) ck_rows_back(t, &call, axes, &rows);
    }
  }
}

/* A layer that says it only copies does, ahead and back. */
static void fact_copies_are_copies(trial *t)
{
  lrp_tensor bar, in_bar[TRIAL_MAX];
  if (!(t->type->writes & LRP_COPIES) || t->call.n_out != 1) return;
  const size_t bytes = (size_t)lrp_count(&t->in[0]) * lrp_element(&t->in[0]);
  ck_assert_int_eq(lrp_count(&t->in[0]), lrp_count(&t->out[0]));
  ck_assert_mem_eq(t->in[0].data, t->out[0].data, bytes);
  if (!differentiable(t)) return;
  bar = trial_zeros(t, &t->out[0]);
  trial_fill(&bar, 3);
  ck_assert_int_eq(trial_vjp(t, &t->call, &bar, in_bar), LRP_OK);
  ck_assert_mem_eq(in_bar[0].data, bar.data, bytes);
}

/* ---- arguments ---- */

static lrp_value value_at(const lrp_arg *a, double v, lrp_real *real, int64_t *whole)
{
  lrp_value value = {.i = 0};
  *real = (lrp_real)v;
  *whole = (int64_t)v;
  if (a->type == LRP_ARG_REAL)
    value.real = v;
  else if (a->type == LRP_ARG_REALS)
    value.reals.v = real, value.reals.n = 1;
  else if (a->type == LRP_ARG_INTS)
    value.ints.v = whole, value.ints.n = 1;
  else
    value.i = (int64_t)v;
  return value;
}

static void check_bound(const lrp_layer_type *type, const lrp_value *good, uint32_t i, double v,
                        bool accepted)
{
  lrp_value args[64];
  lrp_real real;
  int64_t whole;
  memcpy(args, good, sizeof args);
  args[i] = value_at(&type->args[i], v, &real, &whole);
  const bool taken = !lrp_args_check(trial_ctx, type->name, type->args, args);
  ck_assert_msg(taken == accepted, "%s: %s=%g is %s", type->name, type->args[i].name, v,
                taken ? "accepted" : "refused");
}

START_TEST(arguments_out_of_range_are_refused)
{
  const lrp_layer_type *type = lrp_layer_at(trial_ctx, _i);
  layer_sample s;
  trial t;
  ck_assert(trial_sample(type, 0, &s));
  ck_assert_int_eq(trial_new(&t, trial_ctx, type, &s, true), LRP_OK);
  for (uint32_t i = 0; i < lrp_args_count(type->args); i++) {
    const lrp_arg *a = &type->args[i];
    const bool real = a->type == LRP_ARG_REAL || a->type == LRP_ARG_REALS;
    if (!(a->min < a->max)) continue;
    check_bound(type, t.args, i, a->min, !(a->flags & LRP_ARG_OPEN_MIN));
    check_bound(type, t.args, i, a->max, !(a->flags & LRP_ARG_OPEN_MAX));
    check_bound(type, t.args, i, real ? a->min - fmax(1, fabs(a->min)) : a->min - 1, false);
    check_bound(type, t.args, i, real ? a->max + fmax(1, fabs(a->max)) : a->max + 1, false);
  }
  trial_free(&t);
}
END_TEST

#define FACT_TEST(name)                                                                            \
  START_TEST(name)                                                                                 \
  {                                                                                                \
    each_sample(_i, fact_##name);                                                                  \
  }                                                                                                \
  END_TEST
FACT_TEST(adjoint)
FACT_TEST(same_bits_twice)
FACT_TEST(absent_means_zero)
FACT_TEST(frozen_equals_unfrozen)
FACT_TEST(degree)
FACT_TEST(nonneg_is_true)
FACT_TEST(bad_shapes_get_a_sentence)
FACT_TEST(rows_are_computed_apart)
FACT_TEST(copies_are_copies)

START_TEST(every_sample_names_a_layer)
{
  for (const layer_sample *s = layer_samples; s->layer; s++)
    ck_assert_msg(lrp_find_layer(trial_ctx, s->layer) != NULL, "%s",
                  lrp_message(trial_ctx));
}
END_TEST

/* A failure shows in the tests themselves: there is at least one of each. */
static int count_layers(void)
{
  lrp_ctx *c;
  if (lrp_ctx_new(&c)) return 1;
  const int64_t n = lrp_plugins_open(c) ? 0 : lrp_n_layer(c);
  lrp_ctx_free(c);
  return n > 1 ? (int)n : 1;
}

Suite *suite_layers(void);
Suite *suite_layers(void)
{
  const struct {
    const char *name;
    const TTest *test;
  } facts[] = {{"adjoint", adjoint},
               {"same_bits_twice", same_bits_twice},
               {"absent_means_zero", absent_means_zero},
               {"frozen_equals_unfrozen", frozen_equals_unfrozen},
               {"degree", degree},
               {"nonneg_is_true", nonneg_is_true},
               {"bad_shapes_get_a_sentence", bad_shapes_get_a_sentence},
               {"rows_are_computed_apart", rows_are_computed_apart},
               {"copies_are_copies", copies_are_copies},
               {"arguments_out_of_range_are_refused", arguments_out_of_range_are_refused}};
  Suite *s = suite_create("layers");
  const int n = count_layers();
  for (size_t i = 0; i < sizeof facts / sizeof *facts; i++) {
    TCase *tc = tcase_create(facts[i].name);
    tcase_add_checked_fixture(tc, trial_setup, trial_teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, facts[i].test, 0, n);
    suite_add_tcase(s, tc);
  }
  TCase *table = tcase_create("samples");
  tcase_add_checked_fixture(table, trial_setup, trial_teardown);
  tcase_add_test(table, every_sample_names_a_layer);
  suite_add_tcase(s, table);
  return s;
}
