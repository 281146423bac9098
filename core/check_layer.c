/* check_layer.c - what must hold of every layer, tried on a layer that nobody has seen before: the
 * same input gives the same bits, rows are what they are alone, vjp is the transposed map of forward,
 * frozen tensors change nothing, and the degree is what it says. */
#include "rows.h"
#include "story.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MOST = 33 }; /* inputs, outputs */

typedef struct subject {
  lrp_trial t;
  lrp_story *story;
  const char *name;
} subject;

static void say(subject *s, int verdict, const char *what)
{
  lrp_tell(s->story, verdict, "layer %s: %s", s->name, what);
}

static bool failed(subject *s, lrp_status status, const char *what)
{
  if (!status) return false;
  lrp_tell(s->story, LRP_CHECK_FAILED, "layer %s: %s: %s", s->name, what, lrp_message(s->t.ctx));
  return true;
}

static bool same_bits(const lrp_tensor *a, const lrp_tensor *b)
{
  return !a->data || !b->data ||
         memcmp(a->data, b->data, (size_t)lrp_count(a) * lrp_element(a)) == 0;
}

static double dot(const lrp_tensor *a, const lrp_tensor *b, double *size)
{
  double sum = 0;
  for (int64_t i = 0; a->data && b->data && i < lrp_count(a); i++) {
    double p = (double)lrp_reals(a)[i] * (double)lrp_reals(b)[i];
    sum += p;
    *size += fabs(p);
  }
  return sum;
}

static lrp_status random_bars(subject *s, const lrp_call *c, lrp_tensor *bar)
{
  lrp_status status = LRP_OK;
  for (uint32_t i = 0; !status && i < c->n_out; i++) {
    bar[i] = c->out[i];
    bar[i].data = NULL;
    if (c->out[i].dtype == LRP_REAL)
      status = lrp_trial_random(&s->t, &c->out[i], 200 + i, -1, 1, &bar[i]);
  }
  return status;
}

static void check_same(subject *s)
{
  lrp_call again;
  lrp_tensor bar[MOST], one[MOST], two[MOST];
  lrp_trial *t = &s->t;
  bool same = true;
  if (failed(s, lrp_trial_forward(t, NULL, 0, &again), "forward, called again")) return;
  for (uint32_t i = 0; i < again.n_out; i++)
    same = same && same_bits(&again.out[i], &t->call.out[i]);
  say(s, same ? LRP_CHECK_PASSED : LRP_CHECK_FAILED,
      same ? "forward gives the same bits twice" : "forward gives other bits the second time");
  if (!t->type->vjp) return;
  if (failed(s, random_bars(s, &t->call, bar), "vjp") ||
      failed(s, lrp_trial_vjp(t, &t->call, bar, one), "vjp") ||
      failed(s, lrp_trial_vjp(t, &t->call, bar, two), "vjp"))
    return;
  same = true;
  for (uint32_t i = 0; i < t->call.n_in; i++)
    same = same && same_bits(&one[i], &two[i]);
  say(s, same ? LRP_CHECK_PASSED : LRP_CHECK_FAILED,
      same ? "vjp gives the same bits twice" : "vjp gives other bits the second time");
}

/* ---- vjp against finite differences ---- */

static lrp_status moved(subject *s, const lrp_tensor *v, double h, lrp_tensor *in)
{
  lrp_trial *t = &s->t;
  lrp_status status = LRP_OK;
  for (uint32_t i = 0; !status && i < t->call.n_in; i++) {
    in[i] = t->in[i];
    if (!lrp_trial_carries(t, i)) continue;
    status = lrp_trial_copy(t, &t->in[i], &in[i]);
    for (int64_t k = 0; !status && k < lrp_count(&in[i]); k++)
      lrp_reals(&in[i])[k] += (lrp_real)(h * (double)lrp_reals(&v[i])[k]);
  }
  return status;
}

/* <u, (f(x + h v) - f(x - h v)) / 2h>; *size: the sum of the terms' sizes. */
static lrp_status difference(subject *s, uint32_t freeze, const lrp_tensor *v, const lrp_tensor *u,
                             double h, double *sum, double *size)
{
  lrp_tensor in[MOST];
  lrp_call plus, minus;
  lrp_status status = moved(s, v, h, in);
  if (!status) status = lrp_trial_forward(&s->t, in, freeze, &plus);
  if (!status) status = moved(s, v, -h, in);
  if (!status) status = lrp_trial_forward(&s->t, in, freeze, &minus);
  *sum = *size = 0;
  for (uint32_t i = 0; !status && i < plus.n_out; i++)
    for (int64_t k = 0; u[i].data && k < lrp_count(&u[i]); k++) {
      double d =
          ((double)lrp_reals(&plus.out[i])[k] - (double)lrp_reals(&minus.out[i])[k]) / (2 * h);
      *sum += d * (double)lrp_reals(&u[i])[k];
      *size += fabs(d * (double)lrp_reals(&u[i])[k]);
    }
  return status;
}

/* <u, J v> by the layer's own jvp: what it takes for its derivative, where numbers are rounded. */
static lrp_status own_difference(subject *s, uint32_t freeze, const lrp_tensor *v, const lrp_tensor *u,
                                 double *sum, double *size)
{
  lrp_tensor out[MOST];
  lrp_call call;
  lrp_trial *t = &s->t;
  lrp_status status = lrp_trial_forward(t, NULL, freeze, &call);
  *sum = *size = 0;
  for (uint32_t i = 0; !status && i < call.n_out; i++)
    status = lrp_trial_copy(t, &call.out[i], &out[i]);
  for (uint32_t i = 0; !status && i < call.n_out; i++)
    memset(out[i].data, 0, (size_t)lrp_count(&out[i]) * sizeof(lrp_real));
  if (!status) status = t->type->jvp(&lrp_the_host, t->ctx, t->inst, &call, v, out);
  for (uint32_t i = 0; !status && i < call.n_out; i++)
    if (u[i].data) *sum += dot(&out[i], &u[i], size);
  return status;
}

/* The smallest relative error over several steps: a kink near x spoils large ones, rounding small
 * ones. */
static lrp_status adjoint_error(subject *s, uint32_t freeze, double *error)
{
  static const double step[] = {3e-2, 1e-2, 3e-3, 1e-3};
  lrp_tensor u[MOST], v[MOST] = {{0}}, bar[MOST];
  lrp_call call;
  lrp_trial *t = &s->t;
  double pulled = 0, pulled_size = 0, pushed, size;
  lrp_status status = lrp_trial_forward(t, NULL, freeze, &call);
  if (!status) status = random_bars(s, &call, u);
  for (uint32_t i = 0; !status && i < call.n_in; i++)
    if (lrp_trial_carries(t, i)) status = lrp_trial_random(t, &t->in[i], 300 + i, -1, 1, &v[i]);
  if (!status) status = lrp_trial_vjp(t, &call, u, bar);
  for (uint32_t i = 0; !status && i < call.n_in; i++)
    pulled += dot(&bar[i], &v[i], &pulled_size);
  *error = INFINITY;
  for (size_t k = 0; !status && k < sizeof step / sizeof *step; k++) {
    status = LRP_HAS(lrp_layer_type, t->type, jvp)
                 ? own_difference(s, freeze, v, u, &pushed, &size)
                 : difference(s, freeze, v, u, step[k], &pushed, &size);
    double scale = size > pulled_size ? size : pulled_size;
    double e = scale > 0 ? fabs(pulled - pushed) / scale : 0;
    if (e < *error) *error = e;
  }
  return status;
}

static void frozen_text(const lrp_layer_type *type, uint32_t freeze, char *text, size_t n)
{
  size_t at = 0;
  text[0] = '\0';
  for (uint32_t i = 0; type->freezable && type->freezable[i] && at < n; i++) {
    if (!(freeze >> i & 1)) continue;
    int m = snprintf(text + at, n - at, "%s%s", at ? ", " : " with frozen ", type->freezable[i]);
    at += m > 0 ? (size_t)m : 0;
  }
}

static void check_adjoint(subject *s, uint32_t freeze)
{
  char frozen[200];
  double error;
  frozen_text(s->t.type, freeze, frozen, sizeof frozen);
  if (!s->t.type->vjp) {
    say(s, LRP_CHECK_NOTE, "it has no vjp: no relevance can pass");
    return;
  }
  if (failed(s, adjoint_error(s, freeze, &error), "vjp")) return;
  bool good =
      error <= 1e-2; /* central differences in single precision; a wrong factor is far above */
  lrp_tell(s->story, good ? LRP_CHECK_PASSED : LRP_CHECK_FAILED,
           "layer %s: vjp is %sthe transposed map of forward%s: <u,Jv> and <J'u,v> differ by %.1g",
           s->name, good ? "" : "not ", frozen, error);
}

/* ---- frozen tensors, degree ---- */

/* Largest |a - f b| over the largest |f b|. */
static double distance(const lrp_call *a, const lrp_call *b, double factor)
{
  double most = 0, size = 0;
  for (uint32_t i = 0; i < a->n_out; i++)
    for (int64_t k = 0; a->out[i].dtype == LRP_REAL && k < lrp_count(&a->out[i]); k++) {
      double x = (double)lrp_reals(&a->out[i])[k], y = factor * (double)lrp_reals(&b->out[i])[k];
      if (!(fabs(x - y) <= most)) most = fabs(x - y);
      if (fabs(y) > size) size = fabs(y);
    }
  return size > 0 ? most / size : most;
}

static void check_frozen(subject *s, uint32_t freeze)
{
  char frozen[200];
  lrp_call call;
  frozen_text(s->t.type, freeze, frozen, sizeof frozen);
  if (failed(s, lrp_trial_forward(&s->t, NULL, freeze, &call), "forward with frozen tensors"))
    return;
  double d = distance(&call, &s->t.call, 1);
  bool good = d <= 1e-5;
  lrp_tell(s->story, good ? LRP_CHECK_PASSED : LRP_CHECK_FAILED,
           "layer %s: forward%s differs from forward by %.1g", s->name, frozen, d);
}

static void check_degree(subject *s, uint32_t freeze)
{
  lrp_trial *t = &s->t;
  uint32_t degree = t->type->degree ? t->type->degree(t->inst, freeze) : 1;
  char frozen[200];
  lrp_tensor in[MOST];
  lrp_call call;
  frozen_text(t->type, freeze, frozen, sizeof frozen);
  if (degree == 0) {
    lrp_tell(s->story, LRP_CHECK_NOTE, "layer %s: not homogeneous%s, as it says", s->name, frozen);
    return;
  }
  /* f(2x) = 2^m f(x), biases 0: doubling is exact in binary */
  if (failed(s, moved(s, t->in, 1, in), "degree") ||
      failed(s, lrp_trial_forward(t, in, freeze, &call), "degree"))
    return;
  double d = distance(&call, &t->call, ldexp(1, (int)degree));
  bool good = d <= 1e-4;
  lrp_tell(s->story, good ? LRP_CHECK_PASSED : LRP_CHECK_FAILED,
           "layer %s: %shomogeneous of degree %" PRIu32 "%s: f(2x) differs from %.9g f(x) by %.1g",
           s->name, good ? "" : "not ", degree, frozen, ldexp(1, (int)degree), d);
}

/* ---- rows ---- */

/* The rows of output 0 that are computed alone are those of the whole pass. */
static bool rows_agree(const lrp_tensor *cut, const lrp_tensor *whole, const lrp_row_set *rows)
{
  const lrp_layout l = lrp_layout_of(whole, rows->axis);
  bool same = true;
  for (int64_t o = 0; o < l.outer; o++) {
    const size_t at = (size_t)(o * l.n + rows->at[0]) * l.bytes;
    same = same && !memcmp((const char *)cut->data + at, (const char *)whole->data + at, l.bytes);
  }
  return same;
}

static void check_rows(subject *s)
{
  lrp_trial *t = &s->t;
  int32_t axes[2 * MOST];
  for (int32_t axis = 0; t->call.n_out == 1 && axis < t->call.out[0].rank; axis++) {
    const int64_t last = t->call.out[0].shape[axis] - 1;
    const lrp_row_set rows = {axis, 1, &last};
    lrp_call call;
    if (last < 1 || !lrp_rows_axes(t->type, t->inst, &t->call, axis, axes)) continue;
    if (failed(s, lrp_trial_forward(t, NULL, 0, &call), "forward") ||
        failed(s, lrp_rows_forward(t->ctx, t->type, t->inst, &call, &rows), "forward for one row"))
      return;
    const bool good = rows_agree(&call.out[0], &t->call.out[0], &rows);
    lrp_tell(s->story, good ? LRP_CHECK_PASSED : LRP_CHECK_FAILED,
             "layer %s: rows along axis %" PRId32 " %s computed one by one", s->name, axis,
             good ? "can be" : "cannot be");
  }
}

/* ---- arguments ---- */

typedef struct ends {
  subject *s;
  int taken, refused;
  bool bad;
} ends;

/* An argument inside of its range is taken or refused with a sentence. */
static void at_end(lrp_value *args, const char *what, void *user)
{
  ends *e = user;
  subject *s = e->s;
  const lrp_layer_type *type = s->t.type;
  void *inst = NULL;
  lrp_call call = s->t.call;
  lrp_tensor out[MOST] = {{0}}, saved[MOST] = {{0}}, in[MOST];
  for (uint32_t i = 0; i < call.n_in; i++) {
    in[i] = call.in[i];
    in[i].data = NULL;
  }
  call.in = in;
  call.out = out;
  call.saved = saved;
  s->t.ctx->message[0] = '\0';
  lrp_status status = type->create ? type->create(&lrp_the_host, s->t.ctx, args, &inst) : LRP_OK;
  if (!status) status = type->infer(&lrp_the_host, s->t.ctx, inst, &call);
  if (status && !*lrp_message(s->t.ctx)) {
    lrp_tell(s->story, LRP_CHECK_FAILED, "layer %s: %s is refused without a message", s->name,
             what);
    e->bad = true;
  }
  e->taken += !status;
  e->refused += status != LRP_OK;
  if (inst && type->destroy) type->destroy(inst);
}

static void check_args(subject *s)
{
  ends e = {.s = s};
  lrp_mark mark = lrp_arena_mark(&s->t.ctx->scratch);
  lrp_for_ends(s->t.type->args, s->t.args, at_end, &e);
  lrp_arena_release(&s->t.ctx->scratch, mark);
  if (!e.bad && e.taken + e.refused > 0)
    lrp_tell(
        s->story, LRP_CHECK_PASSED,
        "layer %s: arguments at the ends of their ranges: %d taken, %d refused with a sentence",
        s->name, e.taken, e.refused);
}

static void check_forward(subject *s)
{
  uint32_t all = 0;
  lrp_tell(s->story, LRP_CHECK_NOTE, "layer %s: tried on %s%s", s->name, s->t.text,
           s->t.positive ? ", positive inputs" : "");
  check_same(s);
  check_rows(s);
  check_adjoint(s, 0);
  if (s->t.type->vjp) check_degree(s, 0);
  for (uint32_t i = 0; s->t.type->freezable && s->t.type->freezable[i]; i++) {
    uint32_t bit = (uint32_t)1 << i;
    all |= bit;
    check_frozen(s, bit);
    if (!s->t.type->vjp) continue;
    check_adjoint(s, bit);
    check_degree(s, bit);
  }
  if (all & (all - 1)) { /* more than one */
    check_frozen(s, all);
    if (s->t.type->vjp) check_adjoint(s, all);
  }
  check_args(s);
}

/* Biases are 0 in the whole trial: only then does a degree mean anything, and nothing else depends
 * on them. */
void lrp_story_layer(lrp_ctx *ctx, const lrp_layer_type *type, lrp_story *story)
{
  subject s = {.story = story, .name = type->name};
  lrp_status status = lrp_trial_new(ctx, type, true, &s.t);
  if (status == LRP_E_UNSUPPORTED)
    lrp_tell(story, LRP_CHECK_NOTE, "layer %s: not tried: %s", type->name, lrp_message(ctx));
  else if (!failed(&s, status, "forward"))
    check_forward(&s);
  lrp_trial_free(&s.t);
}
