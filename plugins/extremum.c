/* extremum.c - layers "max" and "min" of several operands, element by element, broadcast as in numpy.  The first of equal
 * operands wins; going back, the winner takes all. */
#include "strided.h"

static const lrp_port ins[] = {
    {.name = "x", .role = LRP_PORT_DATA, .dtype = LRP_ANY_DTYPE, .flags = LRP_PORT_MANY}, LRP_PORTS_END};
static const lrp_port outs[] = {{.name = "y", .role = LRP_PORT_DATA, .dtype = LRP_ANY_DTYPE}, LRP_PORTS_END};
static const char *const freezable[] = {"winner", NULL};

static lrp_status infer(const lrp_host *h, lrp_ctx *ctx, int max, lrp_call *call)
{
  const char *who = max ? "max" : "min";
  lrp_tensor *y = &call->out[0];
  lrp_status st = LRP_OK;
  int some = 0, all = 1;
  if (!call->n_in)
    return h->fail(ctx, LRP_E_SHAPE, "%s: there is no operand", who);
  tensor_describe(y, call->in[0].dtype, call->in[0].rank, call->in[0].shape);
  for (uint32_t i = 0; !st && i < call->n_in; i++) {
    const int sign = known_nonneg(&call->in[i]);
    some = some || sign;
    all = all && sign;
    if (call->in[i].dtype != y->dtype)
      return h->fail(ctx, LRP_E_UNSUPPORTED, "%s: operands of different element types", who);
    st = strided_broadcast(h, ctx, who, &call->in[i], y);
  }
  tensor_describe(&call->saved[0], LRP_INDEX, y->rank, y->shape);
  if (max ? some : all)
    y->flags = LRP_NONNEG;
  return st;
}

static lrp_status max_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  (void)inst;
  return infer(h, ctx, 1, call);
}

static lrp_status min_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  (void)inst;
  return infer(h, ctx, 0, call);
}

/* Operand i competes with those before it: y (t0), winner (t0), x (t1).  frozen: winners stay, y is filled in. */
#define COMPETE(TYPE, ...)                                                                                    \
  for (int64_t j = 0; j < n; j++) {                                                                           \
    TYPE *best = (TYPE *)call->out[0].data + at[0] + j;                                                       \
    const TYPE v = x->data ? ((const TYPE *)x->data)[at[1] + j * s] : 0;                                      \
    const int wins = frozen ? winner[at[0] + j] == i : i == 0 || (max ? v > *best : v < *best) __VA_ARGS__;   \
    if (wins) {                                                                                               \
      *best = v;                                                                                              \
      winner[at[0] + j] = i;                                                                                  \
    }                                                                                                         \
  }

static void compete(const lrp_call *call, int64_t i, int max)
{
  const lrp_tensor *x = &call->in[i];
  const strided w = strided_over(&call->out[0], &call->out[0], x, NULL);
  const int64_t s = strided_last(&w, 1);
  const int frozen = call->freeze & 1;
  int64_t *winner = lrp_indices(&call->saved[0]);
  STRIDED_FOR(&w, k, pieces,
  {
    int64_t at[STRIDED_TENSORS];
    const int64_t n = strided_piece(&w, STRIDED_PIECE, k, at);
    if (call->out[0].dtype == LRP_REAL)
      COMPETE(lrp_real, || v != v) /* NaN wins over all */
    else
      COMPETE(int64_t)
  });
}

static lrp_status forward(int max, lrp_call *call)
{
  for (uint32_t i = 0; i < call->n_in; i++)
    compete(call, i, max);
  return LRP_OK;
}

static lrp_status max_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  (void)h, (void)ctx, (void)inst;
  return forward(1, call);
}

static lrp_status min_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  (void)h, (void)ctx, (void)inst;
  return forward(0, call);
}

static lrp_status vjp(const lrp_host *h, lrp_ctx *ctx, const void *inst, const lrp_call *call,
                      const lrp_tensor *out_bar, lrp_tensor *in_bar)
{
  const int64_t n = lrp_count(&call->out[0]), *winner = lrp_indices(&call->saved[0]);
  lrp_tensor won;
  (void)inst;
  if (!out_bar[0].data)
    return LRP_OK;
  const lrp_status st = h->scratch(ctx, &out_bar[0], &won);
  for (uint32_t i = 0; !st && i < call->n_in; i++) {
    const strided w = strided_over(&call->out[0], &call->in[i], &call->out[0], NULL);
    if (!in_bar[i].data)
      continue;
    for (int64_t j = 0; j < n; j++)
      lrp_reals(&won)[j] = winner[j] == i ? lrp_reals(&out_bar[0])[j] : 0;
    strided_sum(&w, 1, lrp_reals(&won), lrp_reals(&in_bar[i]));
  }
  return st;
}

/* Each output is chosen among one element of each operand. */
static lrp_status windows(const lrp_host *h, lrp_ctx *ctx, const void *inst, const lrp_call *call,
                          lrp_window_visit visit, void *user)
{
  const int64_t m = call->n_in, n = lrp_count(&call->out[0]);
  lrp_tensor list = {.dtype = LRP_INDEX, .rank = 2, .shape = {n, m}}, in = {.dtype = LRP_INDEX, .rank = 1, .shape = {m}};
  lrp_status st = h->scratch(ctx, &list, &list);
  (void)inst;
  if (!st)
    st = h->scratch(ctx, &in, &in);
  if (st)
    return st;
  uint32_t *which = in.data; /* room for int64_t, used as uint32_t */
  for (int64_t i = 0; i < m; i++) {
    const strided w = strided_over(&call->out[0], &call->out[0], &call->in[i], NULL);
    const int64_t s = strided_last(&w, 1);
    which[i] = (uint32_t)i;
    STRIDED_FOR(&w, k, pieces,
    {
      int64_t at[STRIDED_TENSORS];
      const int64_t run = strided_piece(&w, STRIDED_PIECE, k, at);
      for (int64_t j = 0; j < run; j++)
        lrp_indices(&list)[(at[0] + j) * m + i] = at[1] + j * s;
    });
  }
  for (int64_t k = 0; !st && k < n; k++) {
    const lrp_window o = {.struct_size = sizeof o, .first = k, .width = 1, .n = m,
                          .at = lrp_indices(&list) + k * m, .in = which};
    st = visit(user, &o);
  }
  return st;
}

static const lrp_operator max_operators[] = {{.domain = "", .name = "Max", .since = 6}, {0}};
static const lrp_operator min_operators[] = {{.domain = "", .name = "Min", .since = 6}, {0}};
static const lrp_layer_type max_type = {.struct_size = sizeof max_type,
                                        .kind = LRP_KIND_POOL_MAX,
                                        .layout = LRP_LAYOUT_ANY,
                                        .n_saved = 1,
                                        .name = "max",
                                        .doc = "y = the largest operand; the first of equal ones wins",
                                        .in = ins,
                                        .out = outs,
                                        .freezable = freezable,
                                        .operators = max_operators,
                                        .infer = max_infer,
                                        .forward = max_forward,
                                        .vjp = vjp,
                                        .windows = windows};
static const lrp_layer_type min_type = {.struct_size = sizeof min_type,
                                        .kind = LRP_KIND_POOL_MAX,
                                        .layout = LRP_LAYOUT_ANY,
                                        .n_saved = 1,
                                        .name = "min",
                                        .doc = "y = the smallest operand; the first of equal ones wins",
                                        .in = ins,
                                        .out = outs,
                                        .freezable = freezable,
                                        .operators = min_operators,
                                        .infer = min_infer,
                                        .forward = min_forward,
                                        .vjp = vjp,
                                        .windows = windows};
static const lrp_layer_type *const layers[] = {&max_type, &min_type, NULL};
LRP_PLUGIN(layer_extremum, "extremum", "1.0", "MIT", "maxima and minima of branches", layers, NULL, NULL);
