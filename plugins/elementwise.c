/* elementwise.c - layers that join branches element by element, broadcast as in numpy: "add", "sub", "mean" and "where".
 * Each is linear in its branches; going back, a branch gets the sum over the axes along which it was repeated. */
#include "lrp/vector.h"
#include "strided.h"

static const lrp_port many[] = {{.name = "x", .role = LRP_PORT_DATA, .flags = LRP_PORT_MANY}, LRP_PORTS_END};
static const lrp_port pair[] = {{.name = "a", .role = LRP_PORT_DATA}, {.name = "b", .role = LRP_PORT_DATA},
                                LRP_PORTS_END};
static const lrp_port outs[] = {{.name = "y", .role = LRP_PORT_DATA}, LRP_PORTS_END};

/* y takes the shape to which the inputs from number `first` on broadcast; all must be of y's element type. */
static lrp_status join_shapes(const lrp_host *h, lrp_ctx *ctx, const char *who, uint32_t first, lrp_call *call)
{
  lrp_tensor *y = &call->out[0];
  lrp_status st = LRP_OK;
  if (call->n_in <= first)
    return h->fail(ctx, LRP_E_SHAPE, "%s: there is no operand", who);
  tensor_describe(y, call->in[first].dtype, call->in[first].rank, call->in[first].shape);
  for (uint32_t i = 0; !st && i < call->n_in; i++) {
    if (i >= first && call->in[i].dtype != y->dtype)
      return h->fail(ctx, LRP_E_UNSUPPORTED, "%s: operands of different element types", who);
    st = strided_broadcast(h, ctx, who, &call->in[i], y);
  }
  return st;
}

/* ---- add, sub, mean ---- */

static lrp_status sum_infer(const lrp_host *h, lrp_ctx *ctx, const char *who, int keeps_sign, lrp_call *call)
{
  for (uint32_t i = 0; i < call->n_in; i++) {
    const lrp_status st = need_reals(h, ctx, who, &call->in[i]);
    if (st)
      return st;
    keeps_sign = keeps_sign && known_nonneg(&call->in[i]);
  }
  const lrp_status st = join_shapes(h, ctx, who, 0, call);
  if (!st && keeps_sign)
    call->out[0].flags = LRP_NONNEG;
  return st;
}

static lrp_status add_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  (void)inst;
  return sum_infer(h, ctx, "add", 1, call);
}

static lrp_status sub_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  (void)inst;
  return sum_infer(h, ctx, "sub", 0, call);
}

static lrp_status mean_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  (void)inst;
  return sum_infer(h, ctx, "mean", 1, call);
}

LRP_LOOP void add_row_any(const lrp_real *a, const lrp_real *b, lrp_real factor, int64_t n, lrp_real *y)
{
#pragma omp simd
  for (int64_t i = 0; i < n; i++)
    y[i] = a[i] + factor * b[i];
}
LRP_TWICE(void, add_row, (const lrp_real *a, const lrp_real *b, lrp_real factor, int64_t n, lrp_real *y),
          (a, b, factor, n, y))

/* y = a + factor b; an operand without data is zero.  a may be y itself. */
static void add_two(const lrp_tensor *y, const lrp_tensor *a, const lrp_tensor *b, lrp_real factor)
{
  const strided w = strided_over(y, y, a, b);
  const int64_t sa = strided_last(&w, 1), sb = strided_last(&w, 2);
  STRIDED_FOR(&w, k, pieces,
  {
    int64_t at[STRIDED_TENSORS];
    const int64_t n = strided_piece(&w, STRIDED_PIECE, k, at);
    lrp_real *to = lrp_reals(y) + at[0];
    const lrp_real *from_a = lrp_reals(a) + at[1], *from_b = lrp_reals(b) + at[2];
    if (sa == 1 && sb == 1)
      add_row(from_a, from_b, factor, n, to);
    else
      for (int64_t i = 0; i < n; i++)
        to[i] = from_a[i * sa] + factor * from_b[i * sb];
  });
}

static void scale_all(const lrp_tensor *t, double factor)
{
  const int64_t n = lrp_count(t);
  lrp_real *v = lrp_reals(t);
  LRP_THREADS_SIMD(n > PARALLEL_MIN,
  for (int64_t i = 0; i < n; i++)
    v[i] = (lrp_real)(factor * (double)v[i]););
}

/* y = in[0] + factor in[1] + factor in[2] ... */
static void sum_all(lrp_call *call, double factor)
{
  const lrp_tensor *y = &call->out[0], *in = call->in;
  uint32_t next = 1;
  if (call->n_in > 1 && in[0].data && in[1].data) {
    add_two(y, &in[0], &in[1], (lrp_real)factor);
    next = 2;
  } else {
    const strided w = strided_over(y, y, &in[0], NULL);
    strided_copy(&w, &in[0], y);
  }
  for (uint32_t i = next; i < call->n_in; i++)
    if (in[i].data)
      add_two(y, y, &in[i], (lrp_real)factor);
}

/* to = factor * from, element by element: a branch that was not repeated. */
static void scale_copy(const lrp_tensor *from, double factor, const lrp_tensor *to)
{
  const int64_t n = lrp_count(to);
  if (factor == 1) {
    memcpy(to->data, from->data, (size_t)n * sizeof(lrp_real));
    return;
  }
  const lrp_real *v = lrp_reals(from);
  lrp_real *out = lrp_reals(to);
  LRP_THREADS_SIMD(n > PARALLEL_MIN,
  for (int64_t i = 0; i < n; i++)
    out[i] = (lrp_real)(factor * (double)v[i]););
}

static void pull_all(const lrp_call *call, double factor_0, double factor, const lrp_tensor *out_bar,
                     lrp_tensor *in_bar)
{
  for (uint32_t i = 0; i < call->n_in; i++) {
    const double f = i ? factor : factor_0;
    if (!in_bar[i].data)
      continue;
    if (out_bar[0].data && same_shape(&call->in[i], &call->out[0])) {
      scale_copy(&out_bar[0], f, &in_bar[i]);
      continue;
    }
    tensor_zero(&in_bar[i]);
    const strided w = strided_over(&call->out[0], &call->in[i], &call->out[0], NULL);
    if (out_bar[0].data)
      strided_sum(&w, f, lrp_reals(&out_bar[0]), lrp_reals(&in_bar[i]));
  }
}

static lrp_status add_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  (void)h, (void)ctx, (void)inst;
  sum_all(call, 1);
  return LRP_OK;
}

static lrp_status add_vjp(const lrp_host *h, lrp_ctx *ctx, const void *inst, const lrp_call *call,
                          const lrp_tensor *out_bar, lrp_tensor *in_bar)
{
  (void)h, (void)ctx, (void)inst;
  pull_all(call, 1, 1, out_bar, in_bar);
  return LRP_OK;
}

static lrp_status sub_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  (void)h, (void)ctx, (void)inst;
  sum_all(call, -1);
  return LRP_OK;
}

static lrp_status sub_vjp(const lrp_host *h, lrp_ctx *ctx, const void *inst, const lrp_call *call,
                          const lrp_tensor *out_bar, lrp_tensor *in_bar)
{
  (void)h, (void)ctx, (void)inst;
  pull_all(call, 1, -1, out_bar, in_bar);
  return LRP_OK;
}

static lrp_status mean_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  (void)h, (void)ctx, (void)inst;
  sum_all(call, 1);
  scale_all(&call->out[0], 1.0 / call->n_in);
  return LRP_OK;
}

static lrp_status mean_vjp(const lrp_host *h, lrp_ctx *ctx, const void *inst, const lrp_call *call,
                           const lrp_tensor *out_bar, lrp_tensor *in_bar)
{
  (void)h, (void)ctx, (void)inst;
  pull_all(call, 1.0 / call->n_in, 1.0 / call->n_in, out_bar, in_bar);
  return LRP_OK;
}

/* ---- where: y = condition ? a : b ---- */

enum { COND, A, B };
static const lrp_port where_in[] = {{.name = "condition", .role = LRP_PORT_SIDE, .dtype = LRP_INDEX},
                                    {.name = "a", .role = LRP_PORT_DATA, .dtype = LRP_ANY_DTYPE},
                                    {.name = "b", .role = LRP_PORT_DATA, .dtype = LRP_ANY_DTYPE},
                                    LRP_PORTS_END};
static const lrp_port where_out[] = {{.name = "y", .role = LRP_PORT_DATA, .dtype = LRP_ANY_DTYPE}, LRP_PORTS_END};

static lrp_status where_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  (void)inst;
  if (call->in[COND].dtype != LRP_INDEX)
    return h->fail(ctx, LRP_E_UNSUPPORTED, "where: the condition holds real numbers, truth values were expected");
  const lrp_status st = join_shapes(h, ctx, "where", A, call);
  if (!st && known_nonneg(&call->in[A]) && known_nonneg(&call->in[B]))
    call->out[0].flags = LRP_NONNEG;
  return st;
}

#define WHERE_ROWS(TYPE)                                                                                      \
  {                                                                                                           \
    TYPE *y = (TYPE *)call->out[0].data + strided_flat(&w, STRIDED_PIECE, k);                                 \
    const TYPE *a = (const TYPE *)call->in[A].data, *b = (const TYPE *)call->in[B].data;                      \
    for (int64_t i = 0; i < n; i++)                                                                           \
      y[i] = c[at[0] + i * sc] ? (a ? a[at[1] + i * sa] : 0) : b ? b[at[2] + i * sb] : 0;                     \
  }

static lrp_status where_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const strided w = strided_over(&call->out[0], &call->in[COND], &call->in[A], &call->in[B]);
  const int64_t sc = strided_last(&w, 0), sa = strided_last(&w, 1), sb = strided_last(&w, 2);
  const int64_t *c = lrp_indices(&call->in[COND]);
  (void)h, (void)ctx, (void)inst;
  STRIDED_FOR(&w, k, pieces,
  {
    int64_t at[STRIDED_TENSORS];
    const int64_t n = strided_piece(&w, STRIDED_PIECE, k, at);
    if (call->out[0].dtype == LRP_REAL)
      WHERE_ROWS(lrp_real)
    else
      WHERE_ROWS(int64_t)
  });
  return LRP_OK;
}

/* masked = y_bar where the condition is as wanted, else 0. */
static void where_mask(const lrp_call *call, int wanted, const lrp_real *y_bar, lrp_real *masked)
{
  const strided w = strided_over(&call->out[0], &call->in[COND], NULL, NULL);
  const int64_t sc = strided_last(&w, 0), *c = lrp_indices(&call->in[COND]);
  STRIDED_FOR(&w, k, pieces,
  {
    int64_t at[STRIDED_TENSORS];
    const int64_t n = strided_piece(&w, STRIDED_PIECE, k, at), y = strided_flat(&w, STRIDED_PIECE, k);
    for (int64_t i = 0; i < n; i++)
      masked[y + i] = (c[at[0] + i * sc] != 0) == wanted ? y_bar[y + i] : 0;
  });
}

static lrp_status where_vjp(const lrp_host *h, lrp_ctx *ctx, const void *inst, const lrp_call *call,
                            const lrp_tensor *out_bar, lrp_tensor *in_bar)
{
  lrp_tensor masked;
  (void)inst;
  if (!out_bar[0].data || (!in_bar[A].data && !in_bar[B].data))
    return LRP_OK;
  const lrp_status st = h->scratch(ctx, &out_bar[0], &masked);
  for (int i = A; !st && i <= B; i++) {
    const strided w = strided_over(&call->out[0], &call->in[i], &call->out[0], NULL);
    if (!in_bar[i].data)
      continue;
    where_mask(call, i == A, lrp_reals(&out_bar[0]), lrp_reals(&masked));
    strided_sum(&w, 1, lrp_reals(&masked), lrp_reals(&in_bar[i]));
  }
  return st;
}

/* ---- descriptors ---- */

static int32_t row_axes(const void *inst, const lrp_call *call, int32_t axis, uint32_t i)
{
  (void)inst;
  return row_axis_of(call, axis, i);
}

static const lrp_operator add_operators[] = {
    {.domain = "", .name = "Add", .since = 7}, {.domain = "", .name = "Sum", .since = 6}, {0}};
static const lrp_operator sub_operators[] = {{.domain = "", .name = "Sub", .since = 7}, {0}};
static const lrp_operator mean_operators[] = {{.domain = "", .name = "Mean", .since = 6}, {0}};
static const lrp_operator where_operators[] = {{.domain = "", .name = "Where", .since = 9}, {0}};
static const lrp_layer_type add_type = {.struct_size = sizeof add_type,
                                        .kind = LRP_KIND_SUM,
                                        .layout = LRP_LAYOUT_ANY,
                                        .name = "add",
                                        .doc = "y = the sum of all operands",
                                        .in = many,
                                        .out = outs,
                                        .operators = add_operators,
                                        .infer = add_infer,
                                        .forward = add_forward,
                                        .vjp = add_vjp,
                                        .writes = LRP_WRITES_BAR,
                                        .rows = row_axes};
static const lrp_layer_type sub_type = {.struct_size = sizeof sub_type,
                                        .kind = LRP_KIND_SUM,
                                        .layout = LRP_LAYOUT_ANY,
                                        .name = "sub",
                                        .doc = "y = a - b",
                                        .in = pair,
                                        .out = outs,
                                        .operators = sub_operators,
                                        .infer = sub_infer,
                                        .forward = sub_forward,
                                        .vjp = sub_vjp,
                                        .writes = LRP_WRITES_BAR,
                                        .rows = row_axes};
static const lrp_layer_type mean_type = {.struct_size = sizeof mean_type,
                                         .kind = LRP_KIND_SUM,
                                         .layout = LRP_LAYOUT_ANY,
                                         .name = "mean",
                                         .doc = "y = the mean of all operands",
                                         .in = many,
                                         .out = outs,
                                         .operators = mean_operators,
                                         .infer = mean_infer,
                                         .forward = mean_forward,
                                         .vjp = mean_vjp,
                                         .writes = LRP_WRITES_BAR,
                                         .rows = row_axes};
static const lrp_layer_type where_type = {.struct_size = sizeof where_type,
                                          .kind = LRP_KIND_RESHAPE,
                                          .layout = LRP_LAYOUT_ANY,
                                          .name = "where",
                                          .doc = "y = a where the condition holds, else b",
                                          .in = where_in,
                                          .out = where_out,
                                          .operators = where_operators,
                                          .infer = where_infer,
                                          .forward = where_forward,
                                          .vjp = where_vjp,
                                          .rows = row_axes};
static const lrp_layer_type *const layers[] = {&add_type, &sub_type, &mean_type, &where_type, NULL};
LRP_PLUGIN(layer_elementwise, "elementwise", "1.0", "MIT", "sums and choices of branches", layers, NULL, NULL);
