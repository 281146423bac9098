/* reduce.c - layers "reduce_sum", "reduce_mean", "reduce_max", "reduce_min" over named axes; each has a twin "..._drop", see
 * reduce.h. */
#include "reduce.h"

static const char *const freezable[] = {"argmax", NULL};

/* ---- sum, mean ---- */

static lrp_status add_up(const reduce *r, double factor, const lrp_call *call)
{
  const strided w = walk(r, &call->in[0]);
  tensor_zero(&call->out[0]);
  if (call->in[0].data)
    strided_sum(&w, factor, lrp_reals(&call->in[0]), lrp_reals(&call->out[0]));
  return LRP_OK;
}

static lrp_status spread(const reduce *r, double factor, const lrp_call *call, const lrp_tensor *out_bar,
                         lrp_tensor *in_bar)
{
  if (!out_bar[0].data || !in_bar[0].data)
    return LRP_OK;
  const strided w = strided_back(walk(r, &call->in[0]));
  const int64_t n = lrp_count(&call->in[0]);
  lrp_real *x_bar = lrp_reals(&in_bar[0]);
  strided_copy_reals(&w, lrp_reals(&out_bar[0]), x_bar);
  LRP_THREADS_SIMD(n > PARALLEL_MIN,
  for (int64_t i = 0; i < n; i++)
    x_bar[i] = (lrp_real)(factor * (double)x_bar[i]););
  return LRP_OK;
}

static lrp_status sum_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  return infer(h, ctx, "reduce_sum", inst, 1, call);
}

static lrp_status mean_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  return infer(h, ctx, "reduce_mean", inst, 0, call);
}

static lrp_status sum_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  (void)h, (void)ctx;
  return add_up(inst, 1, call);
}

static lrp_status sum_vjp(const lrp_host *h, lrp_ctx *ctx, const void *inst, const lrp_call *call,
                          const lrp_tensor *out_bar, lrp_tensor *in_bar)
{
  (void)h, (void)ctx;
  return spread(inst, 1, call, out_bar, in_bar);
}

static lrp_status mean_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  (void)h, (void)ctx;
  return add_up(inst, 1 / (double)terms(inst, &call->in[0]), call);
}

static lrp_status mean_vjp(const lrp_host *h, lrp_ctx *ctx, const void *inst, const lrp_call *call,
                           const lrp_tensor *out_bar, lrp_tensor *in_bar)
{
  (void)h, (void)ctx;
  return spread(inst, 1 / (double)terms(inst, &call->in[0]), call, out_bar, in_bar);
}

/* ---- max, min: the first of equal extremes wins, in row-major order; NaN wins over all ---- */

static lrp_status max_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  return infer(h, ctx, "reduce_max", inst, 0, call);
}

static lrp_status min_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  return infer(h, ctx, "reduce_min", inst, 0, call);
}

/* Flat index of the extreme among those of x that start at `start`. */
static int64_t find_extreme(const strided *sum, const lrp_real *x, int64_t start, int max)
{
  const int64_t rows = strided_rows(sum), inner = strided_inner(sum), s = strided_last(sum, 1);
  int64_t best = start;
  for (int64_t r = 0; r < rows; r++) {
    int64_t at[STRIDED_TENSORS];
    strided_piece(sum, inner, r, at);
    for (int64_t i = 0, k = start + at[1]; i < inner; i++, k += s)
      if ((max ? x[k] > x[best] : x[k] < x[best]) || (x[k] != x[k] && x[best] == x[best]))
        best = k;
  }
  return best;
}

static lrp_status extreme(const reduce *r, int max, lrp_call *call)
{
  const lrp_real *x = lrp_reals(&call->in[0]);
  lrp_real *y = lrp_reals(&call->out[0]);
  int64_t *arg = lrp_indices(&call->saved[0]);
  const strided w = walk(r, &call->in[0]);
  const int64_t n = lrp_count(&call->out[0]);
  const int find = !(call->freeze & 1), wide = lrp_count(&call->in[0]) > PARALLEL_MIN;
  strided keep, sum;
  strided_split(&w, &keep, &sum);
  LRP_THREADS(wide,
  for (int64_t k = 0; k < n; k++) {
    int64_t at[STRIDED_TENSORS];
    strided_piece(&keep, 1, k, at);
    if (find)
      arg[k] = x ? find_extreme(&sum, x, at[1], max) : at[1];
    y[k] = x ? x[arg[k]] : 0;
  });
  return LRP_OK;
}

static lrp_status max_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  (void)h, (void)ctx;
  return extreme(inst, 1, call);
}

static lrp_status min_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  (void)h, (void)ctx;
  return extreme(inst, 0, call);
}

static lrp_status winner_vjp(const lrp_host *h, lrp_ctx *ctx, const void *inst, const lrp_call *call,
                             const lrp_tensor *out_bar, lrp_tensor *in_bar)
{
  const int64_t n = lrp_count(&call->out[0]), *arg = lrp_indices(&call->saved[0]);
  (void)h, (void)ctx, (void)inst;
  for (int64_t k = 0; out_bar[0].data && in_bar[0].data && k < n; k++)
    lrp_reals(&in_bar[0])[arg[k]] += lrp_reals(&out_bar[0])[k];
  return LRP_OK;
}

static lrp_status windows(const lrp_host *h, lrp_ctx *ctx, const void *inst, const lrp_call *call,
                          lrp_window_visit visit, void *user)
{
  const strided w = walk(inst, &call->in[0]);
  const int64_t n = lrp_count(&call->out[0]);
  strided keep, sum;
  strided_split(&w, &keep, &sum);
  const int64_t rows = strided_rows(&sum), inner = strided_inner(&sum), s = strided_last(&sum, 1);
  lrp_tensor list = {.dtype = LRP_INDEX, .rank = 1, .shape = {rows * inner}};
  lrp_status st = h->scratch(ctx, &list, &list);
  for (int64_t k = 0; !st && k < n; k++) {
    int64_t start[STRIDED_TENSORS], at[STRIDED_TENSORS];
    lrp_window o = {.struct_size = sizeof o, .first = k, .width = 1, .at = lrp_indices(&list)};
    strided_piece(&keep, 1, k, start);
    for (int64_t r = 0; r < rows; r++) {
      strided_piece(&sum, inner, r, at);
      for (int64_t i = 0; i < inner; i++)
        lrp_indices(&list)[o.n++] = start[1] + at[1] + i * s;
    }
    st = visit(user, &o);
  }
  return st;
}

#define WINNER .n_saved = 1, .freezable = freezable, .windows = windows
TYPE(sum, "ReduceSum", LRP_KIND_POOL_SUM, sum_vjp, "y = the sum of x over axes", .n_saved = 0)
TYPE(mean, "ReduceMean", LRP_KIND_POOL_SUM, mean_vjp, "y = the mean of x over axes", .n_saved = 0)
TYPE(max, "ReduceMax", LRP_KIND_POOL_MAX, winner_vjp, "y = the largest of x over axes", WINNER)
TYPE(min, "ReduceMin", LRP_KIND_POOL_MAX, winner_vjp, "y = the smallest of x over axes", WINNER)

static const lrp_layer_type *const layers[] = {&sum_type,      &mean_type,      &max_type,      &min_type,
                                               &sum_drop_type, &mean_drop_type, &max_drop_type, &min_drop_type, NULL};
LRP_PLUGIN(layer_reduce, "reduce", "1.0", "MIT", "sums, means and extremes over axes", layers, NULL, NULL);
