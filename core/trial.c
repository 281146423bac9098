/* trial.c - finds arguments and shapes on which a layer can be tried, knowing nothing but its
 * ports: infer() is asked about many small ones, and the first that it accepts is run on random
 * numbers. */
#include "graph.h"
#include "story.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
  MOST_PORTS = 32,
  MOST_SHAPES = 40,
  MOST_ASKED = 200000,
  MOST_ELEMENTS = 1 << 20,
  DUMMY = 1 << 16
};

/* ---- numbers ---- */

/* splitmix64 (Steele, Lea, Flood 2014): the same numbers on every machine. */
static double uniform(uint64_t *state)
{
  uint64_t z = *state += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return (double)((z ^ z >> 31) >> 11) * 0x1p-53;
}

lrp_status lrp_trial_zeros(lrp_trial *t, const lrp_tensor *like, lrp_tensor *out)
{
  size_t bytes;
  lrp_status status = lrp_tensor_bytes(t->ctx, like, &bytes);
  if (status) return status;
  *out = *like;
  out->host = NULL;
  out->data = lrp_arena_alloc(&t->arena, bytes);
  return out->data ? LRP_OK : lrp_nomem(t->ctx, "the trial of a layer");
}

lrp_status lrp_trial_copy(lrp_trial *t, const lrp_tensor *from, lrp_tensor *out)
{
  lrp_status status = lrp_trial_zeros(t, from, out);
  if (!status && from->data)
    memcpy(out->data, from->data, (size_t)lrp_count(from) * lrp_element(from));
  return status;
}

/* Integers are 0 and 1: indices that small exist in every table. */
lrp_status lrp_trial_random(lrp_trial *t, const lrp_tensor *like, uint64_t seed, double low,
                            double high, lrp_tensor *out)
{
  lrp_status status = lrp_trial_zeros(t, like, out);
  uint64_t state = seed;
  for (int64_t i = 0; !status && i < lrp_count(out); i++) {
    double u = uniform(&state);
    if (out->dtype == LRP_INDEX)
      lrp_indices(out)[i] = u < 0.5;
    else
      lrp_reals(out)[i] = (lrp_real)(low + (high - low) * u);
  }
  return status;
}

/* ---- shapes ---- */

static lrp_tensor shape(int32_t rank, const int64_t *axes)
{
  lrp_tensor t = {.dtype = LRP_REAL, .rank = rank};
  for (int32_t i = 0; i < rank; i++)
    t.shape[i] = axes[i];
  return t;
}

typedef struct shapes {
  lrp_tensor v[MOST_SHAPES];
  uint32_t n;
} shapes;

static void add(shapes *s, int32_t rank, int64_t a, int64_t b, int64_t c, int64_t d)
{
  if (s->n < MOST_SHAPES) s->v[s->n++] = shape(rank, (const int64_t[]){a, b, c, d});
}

/* First inputs: batch 2, twelve features or three channels, so that sums have terms of both signs.
 */
static void first_inputs(const lrp_layer_type *type, shapes *s)
{
  if (type->layout == LRP_LAYOUT_IMAGE) {
    add(s, 4, 2, 5, 5, 3);
    add(s, 3, 2, 6, 3, 0);
  }
  add(s, 2, 2, 12, 0, 0);
  add(s, 3, 2, 3, 12, 0);
  add(s, 4, 2, 5, 5, 3);
  add(s, 4, 2, 3, 5, 5);
  add(s, 1, 12, 0, 0, 0);
  add(s, 0, 0, 0, 0, 0);
}

/* Shapes of a further input, seen from the first: alike, exchanged, a right-hand factor, one row.
 */
static void next_inputs(const lrp_tensor *x, shapes *s)
{
  int64_t last = x->rank ? x->shape[x->rank - 1] : 1;
  if (s->n < MOST_SHAPES) s->v[s->n++] = *x;
  if (x->rank >= 2 && s->n + 1 < MOST_SHAPES) {
    lrp_tensor t = *x;
    t.shape[t.rank - 1] = x->shape[x->rank - 2];
    t.shape[t.rank - 2] = last;
    s->v[s->n++] = t;
    t.shape[t.rank - 1] = 5;
    s->v[s->n++] = t;
  }
  add(s, 2, last, 5, 0, 0);
  add(s, 1, last, 0, 0, 0);
  add(s, 2, 2, 3, 0, 0);
  add(s, 2, x->rank ? x->shape[0] : 1, 1, 0, 0);
  add(s, 0, 0, 0, 0, 0);
}

/* Parameters: D features or C channels in, 5 out, kernels of 3 or 1, recurrent ones with 5 hidden
 * units. */
static void parameters(const lrp_tensor *x, shapes *s)
{
  int64_t d = x->rank ? x->shape[x->rank - 1] : 1, c = x->rank > 1 ? x->shape[1] : d;
  add(s, 2, 5, d, 0, 0);
  add(s, 1, 5, 0, 0, 0);
  add(s, 1, d, 0, 0, 0);
  add(s, 4, 5, d, 3, 3);
  add(s, 3, 5, d, 3, 0);
  add(s, 4, d, 5, 3, 3);
  add(s, 3, d, 5, 3, 0);
  add(s, 2, d, 5, 0, 0);
  add(s, 1, c, 0, 0, 0);
  add(s, 2, 7, 12, 0, 0);
  add(s, 3, 1, 20, d, 0); /* LSTM: W, R, B */
  add(s, 3, 1, 20, 5, 0);
  add(s, 2, 1, 40, 0, 0);
  add(s, 3, 1, 15, d, 0); /* GRU */
  add(s, 3, 1, 15, 5, 0);
  add(s, 2, 1, 30, 0, 0);
  add(s, 3, 1, 5, d, 0); /* plain recurrent */
  add(s, 3, 1, 5, 5, 0);
  add(s, 2, 1, 10, 0, 0);
  add(s, 4, 5, d, 1, 1);
  add(s, 0, 0, 0, 0, 0);
}

/* ---- the search ---- */

typedef struct search {
  lrp_trial *t;
  shapes in[MOST_PORTS], param[MOST_PORTS];
  uint32_t n_in, n_param;
  int64_t asked;
  bool zero_bias;
  void *dummy; /* zeros: parameters are constants, so infer() sees their data, and absent ones by
                  its absence */
} search;

static const lrp_port *in_port(const lrp_layer_type *type, uint32_t i)
{
  uint32_t n = 0;
  while (type->in[n].role && n < i)
    n++;
  return type->in[n].role ? &type->in[n] : &type->in[n - 1]; /* the last one takes many */
}

bool lrp_trial_carries(const lrp_trial *t, uint32_t i)
{
  uint32_t role = in_port(t->type, i)->role;
  return (role == LRP_PORT_DATA || role == LRP_PORT_CARRIER) && t->in[i].data &&
         t->in[i].dtype == LRP_REAL;
}

static int32_t dtype_of(const lrp_port *p)
{
  return p->dtype == LRP_INDEX ? LRP_INDEX : LRP_REAL;
}

/* rank -1 stands for "absent". */
static bool present(const lrp_tensor *t)
{
  return t->rank >= 0;
}

static lrp_status fill(search *s)
{
  lrp_trial *t = s->t;
  double low = t->positive ? 0.5 : -1, high = t->positive ? 1.5 : 1;
  lrp_status status = LRP_OK;
  for (uint32_t i = 0; !status && i < s->n_in; i++) {
    if (!present(&t->in[i])) continue;
    bool ones = in_port(t->type, i)->role == LRP_PORT_CARRIER;
    status = lrp_trial_random(t, &t->in[i], i + 1, ones ? 1 : low, ones ? 1 : high, &t->in[i]);
  }
  for (uint32_t i = 0; !status && i < s->n_param; i++) {
    const lrp_port *p = &t->type->param[i];
    bool buffer = p->role == LRP_PORT_BUFFER, zero = p->role == LRP_PORT_BIAS && s->zero_bias;
    if (present(&t->param[i])) /* buffers hold variances: positive */
      status = lrp_trial_random(t, &t->param[i], i + 101,
                                zero     ? 0
                                : buffer ? 0.5
                                         : -1,
                                zero     ? 0
                                : buffer ? 1.5
                                         : 1,
                                &t->param[i]);
  }
  for (uint32_t i = 0; i < s->n_in; i++)
    if (!present(&t->in[i])) t->in[i] = (lrp_tensor){0};
  for (uint32_t i = 0; i < s->n_param; i++)
    if (!present(&t->param[i])) t->param[i] = (lrp_tensor){0};
  return status;
}

static bool all_finite(const lrp_tensor *t)
{
  for (int64_t i = 0; t->dtype == LRP_REAL && t->data && i < lrp_count(t); i++)
    if (!isfinite(lrp_reals(t)[i])) return false;
  return true;
}

static lrp_status allocate(lrp_trial *t)
{
  lrp_status status = LRP_OK;
  for (uint32_t i = 0; !status && i < t->call.n_out; i++)
    status = lrp_trial_zeros(t, &t->call.out[i], &t->call.out[i]);
  for (uint32_t i = 0; !status && i < t->call.n_saved; i++)
    status = lrp_trial_zeros(t, &t->call.saved[i], &t->call.saved[i]);
  return status;
}

/* Shapes only, as infer() is promised: inputs have no data yet. */
static bool ask(search *s)
{
  lrp_trial *t = s->t;
  const lrp_layer_type *type = t->type;
  lrp_tensor in[MOST_PORTS], param[MOST_PORTS];
  size_t bytes;
  for (uint32_t i = 0; i < s->n_in; i++)
    in[i] = present(&t->in[i]) ? t->in[i] : (lrp_tensor){0};
  for (uint32_t i = 0; i < s->n_param; i++) {
    param[i] = present(&t->param[i]) ? t->param[i] : (lrp_tensor){0};
    if (present(&t->param[i])) param[i].data = s->dummy;
  }
  uint32_t n_out = 0;
  while (type->out[n_out].role)
    n_out++;
  memset(t->call.out, 0, MOST_PORTS * sizeof *t->call.out);
  memset(t->call.saved, 0, MOST_PORTS * sizeof *t->call.saved);
  t->call = (lrp_call){.struct_size = sizeof t->call,
                       .n_in = s->n_in,
                       .n_param = s->n_param,
                       .n_out = n_out,
                       .n_saved = type->n_saved,
                       .in = in,
                       .param = param,
                       .out = t->call.out,
                       .saved = t->call.saved};
  s->asked++;
  bool good = !type->infer(&lrp_the_host, t->ctx, t->inst, &t->call) && t->call.n_out > 0 &&
              t->call.n_out <= n_out;
  for (uint32_t i = 0; good && i < t->call.n_out + type->n_saved; i++) {
    const lrp_tensor *o = i < t->call.n_out ? &t->call.out[i] : &t->call.saved[i - t->call.n_out];
    good = !lrp_tensor_bytes(t->ctx, o, &bytes) && bytes <= MOST_ELEMENTS * sizeof(int64_t) &&
           (i >= t->call.n_out || bytes > 0);
  }
  t->call.in = t->in;
  t->call.param = t->param;
  return good;
}

/* Absent parameters have data NULL and shape (), which a present number has too: mark them by rank
 * until they are filled. */
static bool try_params(search *s, uint32_t i)
{
  if (i == s->n_param) return ask(s);
  for (uint32_t k = 0; k < s->param[i].n && s->asked < MOST_ASKED; k++) {
    s->t->param[i] = s->param[i].v[k];
    if (try_params(s, i + 1)) return true;
  }
  return false;
}

static void list_params(search *s)
{
  const lrp_port *ports = s->t->type->param;
  const lrp_tensor *x = &s->t->in[0];
  for (uint32_t i = 0; i < s->n_param; i++) {
    s->param[i].n = 0;
    parameters(x, &s->param[i]);
    for (uint32_t k = 0; k < s->param[i].n; k++)
      s->param[i].v[k].dtype = dtype_of(&ports[i]);
    if (ports[i].flags & LRP_PORT_OPTIONAL)
      s->param[i].v[s->param[i].n++] = (lrp_tensor){.rank = -1};
  }
}

static bool try_inputs(search *s, uint32_t i)
{
  lrp_trial *t = s->t;
  if (i == s->n_in) {
    list_params(s);
    return try_params(s, 0);
  }
  const lrp_port *p = in_port(t->type, i);
  s->in[i].n = 0;
  if (i > 0 && p->flags & LRP_PORT_OPTIONAL && p->role != LRP_PORT_CARRIER)
    s->in[i].v[s->in[i].n++] = (lrp_tensor){.rank = -1};
  if (p->role == LRP_PORT_CARRIER)
    s->in[i].v[s->in[i].n++] = t->in[i - 1];
  else if (i == 0)
    first_inputs(t->type, &s->in[i]);
  else
    next_inputs(&t->in[0], &s->in[i]);
  for (uint32_t k = 0; k < s->in[i].n && s->asked < MOST_ASKED; k++) {
    t->in[i] = s->in[i].v[k];
    if (present(&t->in[i])) t->in[i].dtype = dtype_of(p);
    if (try_inputs(s, i + 1)) return true;
  }
  return false;
}

/* ---- arguments ---- */

/* Variant 0: the defaults.  Then lists of whole numbers are 2, 1, 3, ... or 2/2, 1/1, 3/3, ...: at
 * first the required ones only, then all of them. */
static bool set_args(lrp_trial *t, int variant)
{
  static const int64_t value[][4] = {{2, 2, 2, 2}, {1, 1, 1, 1}, {3, 3, 3, 3},
                                     {0, 1, 2, 3}, {1, 0, 2, 3}, {-1, -1, -1, -1}};
  enum { VALUES = sizeof value / sizeof *value, LENGTHS = 4, ROUND = VALUES * LENGTHS };
  int k = (variant - 1) % ROUND, round = (variant - 1) / ROUND;
  bool lists = variant == 0;
  if (lrp_args_default(t->ctx, t->type->name, t->type->args, t->args)) return false;
  for (uint32_t i = 0; variant > 0 && i < lrp_args_count(t->type->args); i++) {
    const lrp_arg *a = &t->type->args[i];
    if (a->type != LRP_ARG_INTS) continue;
    lists = true;
    if (round == 0 && !(a->flags & LRP_ARG_REQUIRED)) continue;
    t->args[i].ints.v = value[k % VALUES];
    t->args[i].ints.n = k / VALUES + 1;
  }
  return lists && round < 2;
}

static lrp_status start(lrp_ctx *ctx, const lrp_layer_type *type, lrp_trial *t)
{
  *t = (lrp_trial){.ctx = ctx, .type = type};
  t->args = lrp_arena_alloc(&t->arena, (lrp_args_count(type->args) + 1) * sizeof *t->args);
  t->in = lrp_arena_alloc(&t->arena, MOST_PORTS * sizeof *t->in);
  t->param = lrp_arena_alloc(&t->arena, MOST_PORTS * sizeof *t->param);
  t->call.out = lrp_arena_alloc(&t->arena, MOST_PORTS * sizeof *t->call.out);
  t->call.saved = lrp_arena_alloc(&t->arena, (MOST_PORTS + 1) * sizeof *t->call.saved);
  return t->args && t->in && t->param && t->call.out && t->call.saved
             ? LRP_OK
             : lrp_nomem(ctx, "the trial of a layer");
}

static void destroy(lrp_trial *t)
{
  if (t->inst && t->type->destroy) t->type->destroy(t->inst);
  t->inst = NULL;
}

static bool find(search *s)
{
  lrp_trial *t = s->t;
  for (int variant = 0; s->asked < MOST_ASKED && set_args(t, variant); variant++) {
    destroy(t);
    if (lrp_args_check(t->ctx, t->type->name, t->type->args, t->args)) continue;
    if (t->type->create && t->type->create(&lrp_the_host, t->ctx, t->args, &t->inst)) continue;
    if (try_inputs(s, 0)) return true;
  }
  return false;
}

static void describe(lrp_trial *t)
{
  char one[80];
  size_t at = 0;
  for (uint32_t i = 0; i < t->call.n_in + t->call.n_param && at < sizeof t->text; i++) {
    bool input = i < t->call.n_in;
    const lrp_tensor *v = input ? &t->in[i] : &t->param[i - t->call.n_in];
    if (!v->data) continue;
    int n = snprintf(t->text + at, sizeof t->text - at, "%s%s %s", at ? ", " : "",
                     input ? in_port(t->type, i)->name : t->type->param[i - t->call.n_in].name,
                     lrp_shape_text(v, one, sizeof one));
    at += n > 0 ? (size_t)n : 0;
  }
}

/* Random numbers of both signs; positive ones where the layer gives NaN on those, as a logarithm
 * does. */
static lrp_status run(search *s)
{
  lrp_trial *t = s->t;
  lrp_status status = fill(s);
  if (!status) status = allocate(t);
  for (int attempt = 0; !status && attempt < 2; attempt++) {
    if (attempt == 1) t->positive = true;
    for (uint32_t i = 0; attempt == 1 && !status && i < s->n_in; i++)
      if (lrp_trial_carries(t, i) && in_port(t->type, i)->role == LRP_PORT_DATA)
        status = lrp_trial_random(t, &t->in[i], i + 1, 0.5, 1.5, &t->in[i]);
    if (!status) status = t->type->forward(&lrp_the_host, t->ctx, t->inst, &t->call);
    bool finite = true;
    for (uint32_t i = 0; i < t->call.n_out; i++)
      finite = finite && all_finite(&t->call.out[i]);
    if (finite) break;
  }
  return status;
}

lrp_status lrp_trial_new(lrp_ctx *ctx, const lrp_layer_type *type, bool zero_bias, lrp_trial *t)
{
  lrp_mark mark = lrp_arena_mark(&ctx->scratch);
  lrp_status status = start(ctx, type, t);
  search *s = status ? NULL : lrp_arena_alloc(&t->arena, sizeof *s);
  if (!status && !s) status = lrp_nomem(ctx, "the trial of a layer");
  if (!status) {
    s->t = t;
    s->zero_bias = zero_bias;
    s->dummy = lrp_arena_alloc(&t->arena, DUMMY);
    while (type->in[s->n_in].role)
      s->n_in++;
    if (s->n_in && type->in[s->n_in - 1].flags & LRP_PORT_MANY && s->n_in < MOST_PORTS) s->n_in++;
    while (type->param && type->param[s->n_param].role)
      s->n_param++;
    if (!s->dummy || !s->n_in || !find(s))
      status = lrp_fail(ctx, LRP_E_UNSUPPORTED, "no shapes were found that its infer() accepts");
    else
      status = run(s);
  }
  if (!status) describe(t);
  lrp_arena_release(&ctx->scratch, mark);
  return status;
}

void lrp_trial_free(lrp_trial *t)
{
  if (t->type) destroy(t);
  lrp_arena_free(&t->arena);
}

/* ---- running it again ---- */

/* Memory as the engine hands it out: not zeroed, so an element that forward() leaves out is seen.
 */
static lrp_status litter(lrp_trial *t, const lrp_tensor *like, lrp_tensor *out)
{
  lrp_status status = lrp_trial_zeros(t, like, out);
  if (!status) memset(out->data, 0x55, (size_t)lrp_count(out) * lrp_element(out));
  return status;
}

lrp_status lrp_trial_forward(lrp_trial *t, const lrp_tensor *in, uint32_t freeze, lrp_call *out)
{
  lrp_status status = LRP_OK;
  *out = t->call;
  out->freeze = freeze;
  if (in) out->in = in;
  out->out = lrp_arena_alloc(&t->arena, (t->call.n_out + 1) * sizeof *out->out);
  out->saved = lrp_arena_alloc(&t->arena, (t->call.n_saved + 1) * sizeof *out->saved);
  if (!out->out || !out->saved) return lrp_nomem(t->ctx, "the trial of a layer");
  for (uint32_t i = 0; !status && i < t->call.n_out; i++)
    status = litter(t, &t->call.out[i], &out->out[i]);
  for (uint32_t i = 0; !status && i < t->call.n_saved; i++) {
    out->saved[i] = t->call.saved[i];
    out->saved[i].data = NULL;
    if (lrp_saves(t->type, freeze, i))
      status = (freeze >> i & 1 ? lrp_trial_copy : litter)(t, &t->call.saved[i], &out->saved[i]);
  }
  lrp_mark mark = lrp_arena_mark(&t->ctx->scratch);
  if (!status) status = t->type->forward(&lrp_the_host, t->ctx, t->inst, out);
  lrp_arena_release(&t->ctx->scratch, mark);
  return status;
}

lrp_status lrp_trial_vjp(lrp_trial *t, const lrp_call *call, const lrp_tensor *out_bar,
                         lrp_tensor *in_bar)
{
  lrp_status status = LRP_OK;
  for (uint32_t i = 0; !status && i < call->n_in; i++) {
    in_bar[i] = call->in[i];
    in_bar[i].data = NULL;
    if (lrp_trial_carries(t, i))
      status = (lrp_writes_bar(t->type) ? litter : lrp_trial_zeros)(t, &call->in[i], &in_bar[i]);
  }
  lrp_mark mark = lrp_arena_mark(&t->ctx->scratch);
  if (!status) status = t->type->vjp(&lrp_the_host, t->ctx, t->inst, call, out_bar, in_bar);
  lrp_arena_release(&t->ctx->scratch, mark);
  return status;
}
