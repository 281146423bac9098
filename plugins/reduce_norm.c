/* reduce_norm.c - layers "reduce_l1", "reduce_l2", "reduce_sum_square", "reduce_prod", "reduce_log_sum" and
 * "reduce_log_sum_exp" over named axes; each has a twin "..._drop", see reduce.h.  They are no weighted sums: no rule but
 * the gradient has a published meaning for them. */
#include "reduce.h"
#include <math.h>

enum { L1, L2, SUM_SQUARE, PROD, LOG_SUM, LOG_SUM_EXP };

/* One element of y: what is added up (or multiplied), and what is made of it. */
static double term_of(int op, double v, double most)
{
  switch (op) {
  case L1:
    return fabs(v);
  case L2:
  case SUM_SQUARE:
    return v * v;
  case LOG_SUM_EXP:
    return exp(v - most);
  default:
    return v;
  }
}

static double finished(int op, double sum, double most)
{
  switch (op) {
  case L2:
    return sqrt(sum);
  case LOG_SUM:
    return log(sum);
  case LOG_SUM_EXP:
    return most + log(sum);
  default:
    return sum;
  }
}

/* The largest finite term keeps exp() in range. */
static double most_of(const strided *sum, const lrp_real *x, int64_t start)
{
  const int64_t rows = strided_rows(sum), inner = strided_inner(sum), s = strided_last(sum, 1);
  double most = -HUGE_VAL;
  for (int64_t r = 0; inner && r < rows; r++) {
    int64_t at[STRIDED_TENSORS];
    strided_piece(sum, inner, r, at);
    for (int64_t i = 0; i < inner; i++)
      most = fmax(most, (double)x[start + at[1] + i * s]);
  }
  return isfinite(most) ? most : 0;
}

static double reduce_one(int op, const strided *sum, const lrp_real *x, int64_t start)
{
  const int64_t rows = strided_rows(sum), inner = strided_inner(sum), s = strided_last(sum, 1);
  const double most = op == LOG_SUM_EXP && x ? most_of(sum, x, start) : 0;
  double all = op == PROD;
  for (int64_t r = 0; inner && r < rows; r++) {
    int64_t at[STRIDED_TENSORS];
    strided_piece(sum, inner, r, at);
    for (int64_t i = 0; i < inner; i++) {
      const double v = x ? (double)x[start + at[1] + i * s] : 0;
      all = op == PROD ? all * v : all + term_of(op, v, most);
    }
  }
  return finished(op, all, most);
}

static lrp_status forward(int op, const reduce *r, const lrp_call *call)
{
  const lrp_real *x = lrp_reals(&call->in[0]);
  const strided w = walk(r, &call->in[0]);
  const int64_t n = lrp_count(&call->out[0]);
  const int wide = lrp_count(&call->in[0]) > PARALLEL_MIN;
  strided keep, sum;
  strided_split(&w, &keep, &sum);
  LRP_THREADS(wide,
  for (int64_t k = 0; k < n; k++) {
    int64_t at[STRIDED_TENSORS];
    strided_piece(&keep, 1, k, at);
    lrp_reals(&call->out[0])[k] = (lrp_real)reduce_one(op, &sum, x, at[1]);
  });
  return LRP_OK;
}

/* Product of all but one: of y where no factor is 0. */
static double others(const strided *sum, const lrp_real *x, int64_t start, int64_t but)
{
  const int64_t rows = strided_rows(sum), inner = strided_inner(sum), s = strided_last(sum, 1);
  double all = 1;
  for (int64_t r = 0; r < rows; r++) {
    int64_t at[STRIDED_TENSORS];
    strided_piece(sum, inner, r, at);
    for (int64_t i = 0; i < inner; i++)
      if (start + at[1] + i * s != but) all *= (double)x[start + at[1] + i * s];
  }
  return all;
}

/* d y / d x of one term. */
static double slope(int op, const strided *sum, const lrp_real *x, int64_t start, int64_t e,
                    double y)
{
  const double v = (double)x[e];
  switch (op) {
  case L1:
    return (v > 0) - (v < 0);
  case L2:
    return y > 0 ? v / y : 0;
  case SUM_SQUARE:
    return 2 * v;
  case PROD:
    return v != 0 ? y / v : others(sum, x, start, e);
  case LOG_SUM:
    return exp(-y);
  default:
    return exp(v - y);
  }
}

static lrp_status vjp(int op, const reduce *r, const lrp_call *call, const lrp_tensor *out_bar,
                      lrp_tensor *in_bar)
{
  const lrp_real *x = lrp_reals(&call->in[0]);
  const strided w = walk(r, &call->in[0]);
  strided keep, sum;
  strided_split(&w, &keep, &sum);
  const int64_t rows = strided_rows(&sum), inner = strided_inner(&sum), s = strided_last(&sum, 1);
  for (int64_t k = 0, n = lrp_count(&call->out[0]); x && out_bar[0].data && in_bar[0].data && k < n;
       k++) {
    const double bar = (double)lrp_reals(&out_bar[0])[k], y = (double)lrp_reals(&call->out[0])[k];
    int64_t start[STRIDED_TENSORS], at[STRIDED_TENSORS];
    strided_piece(&keep, 1, k, start);
    for (int64_t j = 0; bar != 0 && inner && j < rows; j++) { /* exactly 0 */
      strided_piece(&sum, inner, j, at);
      for (int64_t i = 0; i < inner; i++) {
        const int64_t e = start[1] + at[1] + i * s;
        lrp_reals(&in_bar[0])[e] = (lrp_real)(bar * slope(op, &sum, x, start[1], e, y));
      }
    }
  }
  return LRP_OK;
}

/* ---- descriptors ---- */

#define CALLBACKS(NAME, OP, FLAGS, EMPTY)                                                          \
  static lrp_status NAME##_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst,                \
                                 lrp_call *call)                                                   \
  {                                                                                                \
    const lrp_status st = infer(h, ctx, "reduce_" #NAME, inst, EMPTY, call);                       \
    call->out[0].flags = FLAGS;                                                                    \
    return st;                                                                                     \
  }                                                                                                \
  static lrp_status NAME##_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst,              \
                                   lrp_call *call)                                                 \
  {                                                                                                \
    (void)h, (void)ctx;                                                                            \
    return forward(OP, inst, call);                                                                \
  }                                                                                                \
  static lrp_status NAME##_vjp(const lrp_host *h, lrp_ctx *ctx, const void *inst,                  \
                               const lrp_call *call, const lrp_tensor *out_bar,                    \
                               lrp_tensor *in_bar)                                                 \
  {                                                                                                \
    (void)h, (void)ctx;                                                                            \
    return vjp(OP, inst, call, out_bar, in_bar);                                                   \
  }
CALLBACKS(l1, L1, LRP_NONNEG, 1)
CALLBACKS(l2, L2, LRP_NONNEG, 1)
CALLBACKS(sum_square, SUM_SQUARE, LRP_NONNEG, 1)
CALLBACKS(prod, PROD, call->in[0].flags &LRP_NONNEG, 1)
CALLBACKS(log_sum, LOG_SUM, 0, 0)
CALLBACKS(log_sum_exp, LOG_SUM_EXP, 0, 0)

static uint32_t degree_0(const void *inst, uint32_t freeze)
{
  (void)inst, (void)freeze;
  return 0;
}

static uint32_t degree_2(const void *inst, uint32_t freeze)
{
  (void)inst, (void)freeze;
  return 2;
}

TYPE(l1, "ReduceL1", LRP_KIND_OTHER, l1_vjp, "y = the sum of |x| over axes", .n_saved = 0)
TYPE(l2, "ReduceL2", LRP_KIND_OTHER, l2_vjp, "y = the Euclidean norm of x over axes", .n_saved = 0)
TYPE(sum_square, "ReduceSumSquare", LRP_KIND_OTHER, sum_square_vjp, "y = the sum of x^2 over axes",
     .degree = degree_2)
TYPE(prod, "ReduceProd", LRP_KIND_OTHER, prod_vjp, "y = the product of x over axes",
     .degree = degree_0)
TYPE(log_sum, "ReduceLogSum", LRP_KIND_OTHER, log_sum_vjp, "y = log of the sum of x over axes",
     .degree = degree_0)
TYPE(log_sum_exp, "ReduceLogSumExp", LRP_KIND_OTHER, log_sum_exp_vjp,
     "y = log of the sum of exp(x) over axes", .degree = degree_0)

static const lrp_layer_type *const layers[] = {&l1_type,
                                               &l2_type,
                                               &sum_square_type,
                                               &prod_type,
                                               &log_sum_type,
                                               &log_sum_exp_type,
                                               &l1_drop_type,
                                               &l2_drop_type,
                                               &sum_square_drop_type,
                                               &prod_drop_type,
                                               &log_sum_drop_type,
                                               &log_sum_exp_drop_type,
                                               NULL};
LRP_PLUGIN(layer_reduce_norm, "reduce_norm", "1.0", "MIT",
           "norms, products and logarithms of sums over axes", layers, NULL, NULL);
