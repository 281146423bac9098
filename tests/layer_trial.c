/* layer_trial.c - see layer_trial.h. */
#include "layer_trial.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

const lrp_port *trial_port(const trial *t, uint32_t i)
{
  uint32_t n = 0;
  while (t->type->in[n].role)
    n++;
  return &t->type->in[i < n ? i : n - 1]; /* the last port may take many */
}

bool trial_carries(const trial *t, uint32_t i)
{
  const uint32_t role = trial_port(t, i)->role;
  return (role == LRP_PORT_DATA || role == LRP_PORT_CARRIER) && t->in[i].dtype == LRP_REAL;
}

uint32_t trial_n_freezable(const lrp_layer_type *type)
{
  uint32_t n = 0;
  while (type->freezable && type->freezable[n])
    n++;
  return n;
}

static lrp_tensor shape_of(const char *text, int32_t dtype)
{
  lrp_tensor t = {.dtype = dtype};
  while (text && *text && t.rank < LRP_MAX_RANK) {
    char *end;
    t.shape[t.rank++] = strtoll(text, &end, 10);
    text = *end == ',' ? end + 1 : end;
  }
  return t;
}

lrp_tensor trial_zeros(trial *t, const lrp_tensor *like)
{
  lrp_tensor v = *like;
  size_t bytes;
  if (lrp_tensor_bytes(t->ctx, like, &bytes) || !(v.data = lrp_arena_alloc(&t->arena, bytes + 1)))
    abort();
  v.host = NULL;
  return v;
}

lrp_tensor trial_copy(trial *t, const lrp_tensor *from)
{
  lrp_tensor v = trial_zeros(t, from);
  memcpy(v.data, from->data, (size_t)lrp_count(from) * lrp_element(from));
  return v;
}

void trial_fill(const lrp_tensor *t, uint32_t seed)
{
  const int64_t n = lrp_count(t);
  for (int64_t i = 0; i < n; i++) /* 7919 is prime: a permutation of an even grid without 0 */
    lrp_reals(t)[i] =
        (lrp_real)(2 * ((double)((i * 7919 + seed * 31) % n) + 0.25 + 0.1 * (seed % 5)) /
                       (double)n -
                   1);
}

static void fill_input(const trial *t, uint32_t i, bool positive)
{
  const lrp_tensor *x = &t->in[i];
  if (x->dtype == LRP_INDEX) {
    for (int64_t k = 0, n = lrp_count(x); k < n; k++)
      lrp_indices(x)[k] = k % 2;
    return;
  }
  trial_fill(x, i);
  for (int64_t k = 0, n = lrp_count(x); positive && k < n; k++)
    lrp_reals(x)[k] = lrp_reals(x)[k] / 2 + 1;
}

static void make_tensors(trial *t, const layer_sample *s, bool positive)
{
  while (t->n_in < TRIAL_MAX && s->in[t->n_in]) {
    const uint32_t i = t->n_in++, dtype = trial_port(t, i)->dtype;
    const lrp_tensor shape = shape_of(s->in[i], dtype == LRP_INDEX ? LRP_INDEX : LRP_REAL);
    t->in[i] = trial_zeros(t, &shape);
    fill_input(t, i, positive);
    t->in[i].flags = positive && t->in[i].dtype == LRP_REAL ? LRP_NONNEG : 0;
  }
  for (const lrp_port *p = t->type->param; p && p->role && t->n_param < TRIAL_MAX; p++) {
    const uint32_t i = t->n_param++;
    if (!s->param[i]) continue;
    const lrp_tensor shape = shape_of(s->param[i], p->dtype == LRP_INDEX ? LRP_INDEX : LRP_REAL);
    t->param[i] = trial_zeros(t, &shape);
    if (t->param[i].dtype == LRP_REAL) trial_fill(&t->param[i], 11 + i);
    const int64_t n = lrp_count(&t->param[i]);
    for (int64_t k = 0; t->param[i].dtype == LRP_INDEX && k < n; k++)
      lrp_indices(&t->param[i])[k] = (k * 7 + i) % 11 - 4;
    for (int64_t k = 0; t->param[i].dtype == LRP_REAL && p->role == LRP_PORT_BUFFER && k < n; k++)
      lrp_reals(&t->param[i])[k] = lrp_reals(&t->param[i])[k] / 2 + 1; /* a variance is positive */
  }
}

static uint32_t count_ports(const lrp_port *p)
{
  uint32_t n = 0;
  while (p && p[n].role)
    n++;
  return n;
}

static lrp_status run(trial *t)
{
  t->call = (lrp_call){.struct_size = sizeof t->call,
                       .n_in = t->n_in,
                       .n_param = t->n_param,
                       .n_out = count_ports(t->type->out),
                       .n_saved = t->type->n_saved,
                       .in = t->in,
                       .param = t->param,
                       .out = t->out,
                       .saved = t->saved};
  lrp_status st = t->type->create ? t->type->create(t->h, t->ctx, t->args, &t->inst) : LRP_OK;
  if (!st) st = t->type->infer(t->h, t->ctx, t->inst, &t->call);
  for (uint32_t i = 0; !st && i < t->call.n_out; i++)
    t->out[i] = trial_zeros(t, &t->out[i]);
  for (uint32_t i = 0; !st && i < t->call.n_saved; i++)
    t->saved[i] = trial_zeros(t, &t->saved[i]);
  if (!st) st = t->type->forward(t->h, t->ctx, t->inst, &t->call);
  lrp_scratch_reset(t->ctx);
  return st;
}

lrp_status trial_new(trial *t, lrp_ctx *ctx, const lrp_layer_type *type, const layer_sample *s,
                     bool positive)
{
  static const lrp_arg none[] = {LRP_ARGS_END};
  const lrp_arg *args = type->args ? type->args : none;
  memset(t, 0, sizeof *t);
  t->ctx = ctx;
  t->h = lrp_host_table();
  t->type = type;
  ctx->keep = &t->arena; /* arrays of arguments live as long as the trial */
  lrp_status st = lrp_args_default(ctx, type->name, args, t->args);
  if (!st) st = lrp_args_parse(ctx, type->name, args, s->args ? s->args : "", t->args);
  if (!st) st = lrp_args_check(ctx, type->name, args, t->args);
  if (!st) {
    make_tensors(t, s, positive);
    st = run(t);
  }
  if (st) trial_free(t);
  return st;
}

void trial_free(trial *t)
{
  if (t->inst && t->type->destroy) t->type->destroy(t->inst);
  t->inst = NULL;
  t->ctx->keep = NULL;
  lrp_arena_free(&t->arena);
}

lrp_status trial_forward(trial *t, const lrp_tensor *in, const lrp_tensor *param, uint32_t freeze,
                         const lrp_call *from, lrp_call *out)
{
  *out = t->call;
  out->freeze = freeze;
  out->in = in ? in : t->in;
  out->param = param ? param : t->param;
  out->out = lrp_arena_alloc(&t->arena, sizeof(lrp_tensor) * TRIAL_MAX);
  out->saved = lrp_arena_alloc(&t->arena, sizeof(lrp_tensor) * TRIAL_MAX);
  if (!out->out || !out->saved) abort();
  for (uint32_t i = 0; i < out->n_out; i++)
    out->out[i] = trial_zeros(t, &t->out[i]);
  for (uint32_t i = 0; i < out->n_saved; i++)
    out->saved[i] = from && freeze >> i & 1 ? from->saved[i] : trial_zeros(t, &t->saved[i]);
  const lrp_status st = t->type->forward(t->h, t->ctx, t->inst, out);
  lrp_scratch_reset(t->ctx);
  return st;
}

lrp_status trial_vjp(trial *t, const lrp_call *call, const lrp_tensor *out_bar, lrp_tensor *in_bar)
{
  for (uint32_t i = 0; i < call->n_in; i++) {
    in_bar[i] = trial_zeros(t, &call->in[i]);
    if (!trial_carries(t, i)) in_bar[i].data = NULL;
  }
  const lrp_status st = t->type->vjp(t->h, t->ctx, t->inst, call, out_bar, in_bar);
  lrp_scratch_reset(t->ctx);
  return st;
}

double trial_dot(const lrp_tensor *a, const lrp_tensor *b, double *size)
{
  double sum = 0;
  for (int64_t i = 0, n = lrp_count(a); i < n; i++) {
    const double v = (double)lrp_reals(a)[i] * (double)lrp_reals(b)[i];
    sum += v;
    *size += fabs(v);
  }
  return sum;
}

/* ---- for tests of single layers ---- */

lrp_ctx *trial_ctx;

void trial_setup(void)
{
  ck_assert_int_eq(lrp_ctx_new(&trial_ctx), LRP_OK);
  lrp_ck_ok(trial_ctx, lrp_plugins_open(trial_ctx));
}

void trial_teardown(void)
{
  lrp_ctx_free(trial_ctx);
}

void trial_begin(trial *t, layer_sample s)
{
  lrp_ctx *ctx = trial_ctx;
  const lrp_layer_type *type = lrp_find_layer(ctx, s.layer);
  ck_assert_msg(type != NULL, "%s", lrp_message(ctx));
  lrp_ck_ok(ctx, trial_new(t, ctx, type, &s, false));
}

const char *trial_refusal(layer_sample s, lrp_status status)
{
  lrp_ctx *ctx = trial_ctx;
  trial t;
  ck_assert_int_eq(trial_new(&t, ctx, lrp_find_layer(ctx, s.layer), &s, false), status);
  return lrp_message(ctx);
}

lrp_call trial_again(trial *t)
{
  lrp_call call;
  lrp_ck_ok(t->ctx, trial_forward(t, NULL, NULL, 0, NULL, &call));
  return call;
}

void trial_put(const lrp_tensor *t, const double *v)
{
  for (int64_t i = 0, n = lrp_count(t); i < n; i++)
    lrp_reals(t)[i] = (lrp_real)v[i];
}

void trial_put_all(const lrp_tensor *t, double v)
{
  for (int64_t i = 0, n = lrp_count(t); i < n; i++)
    lrp_reals(t)[i] = (lrp_real)v;
}

void trial_put_count(const lrp_tensor *t)
{
  for (int64_t i = 0, n = lrp_count(t); i < n; i++)
    lrp_reals(t)[i] = (lrp_real)(i + 1);
}

void trial_compare(const lrp_tensor *have, const double *want, size_t n, double tolerance)
{
  ck_assert_int_eq(lrp_count(have), (int64_t)n);
  for (size_t i = 0; i < n; i++)
    ck_assert_msg(fabs((double)lrp_reals(have)[i] - want[i]) <= tolerance,
                  "element %zu is %.9g, %.9g was expected", i, (double)lrp_reals(have)[i], want[i]);
}
