/* softmax.c - layers "softmax" and "logsoftmax" over one axis, or over neighbouring axes taken
 * together, which is what ONNX before opset 13 means by "axis and all that follow". Masked inputs
 * are -inf.  Where a whole row is masked, y is NaN, as in PyTorch; its pulled-back values are 0. */
#include "layer.h"
#include "lrp/vector.h"
#include <stdlib.h>

typedef struct softmax {
  lrp_value axes; /* the array belongs to the host */
} softmax;
typedef struct rows { /* each row: n elements, stride apart; inner rows lie interleaved, outer
                         blocks follow each other */
  int64_t outer, n, stride;
} rows;

static const lrp_arg args[] = {
    {.name = "axes",
     .type = LRP_ARG_INTS,
     .flags = LRP_ARG_REQUIRED | LRP_ARG_AXIS,
     .doc = "axis to normalise over, or several neighbouring ones, e.g. -1"},
    LRP_ARGS_END};
static const lrp_port ins[] = {{.name = "x", .role = LRP_PORT_DATA}, LRP_PORTS_END};
static const lrp_port outs[] = {{.name = "y", .role = LRP_PORT_DATA}, LRP_PORTS_END};
static const char *const freezable[] = {"probs", NULL};

static lrp_status create(const lrp_host *h, lrp_ctx *ctx, const lrp_value *a, void **inst)
{
  softmax *s = malloc(sizeof *s);
  if (!s) return h->fail(ctx, LRP_E_NOMEM, "softmax: no memory for an instance");
  s->axes = a[0];
  *inst = s;
  return LRP_OK;
}

/* Bit a is set where axis a is normalised over.  Returns 0 for an axis out of range or named twice.
 */
static uint32_t axis_bits(const softmax *s, int32_t rank)
{
  uint32_t bits = 0;
  for (int64_t i = 0; i < s->axes.ints.n; i++) {
    int64_t a = s->axes.ints.v[i];
    a += a < 0 ? rank : 0;
    if (a < 0 || a >= rank || (bits >> a & 1)) return 0;
    bits |= 1u << a;
  }
  return bits;
}

static rows rows_of(const softmax *s, const lrp_tensor *x)
{
  const uint32_t bits = axis_bits(s, x->rank);
  rows r = {1, 1, 1};
  for (int32_t i = 0; i < x->rank; i++) {
    int64_t *part = bits >> i & 1 ? &r.n : (bits & ((1u << i) - 1)) ? &r.stride : &r.outer;
    *part *= x->shape[i];
  }
  return r;
}

static lrp_status infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const softmax *s = inst;
  const lrp_tensor *x = &call->in[0];
  const lrp_status st = need_reals(h, ctx, "softmax", x);
  if (st) return st;
  const uint32_t bits = axis_bits(s, x->rank);
  if (!bits)
    return h->fail(ctx, LRP_E_ARG, "softmax: axes must name different axes of x, from %d to %d",
                   -x->rank, x->rank - 1);
  const uint32_t low = bits & (~bits + 1);
  if ((bits + low) & bits) /* adding the lowest bit carries through one unbroken block */
    return h->fail(ctx, LRP_E_ARG, "softmax: the axes must be neighbours");
  tensor_describe(&call->out[0], LRP_REAL, x->rank, x->shape);
  tensor_describe(&call->saved[0], LRP_REAL, x->rank, x->shape);
  call->saved[0].flags = LRP_NONNEG;
  return LRP_OK;
}

static lrp_status softmax_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const lrp_status st = infer(h, ctx, inst, call);
  if (!st) call->out[0].flags = LRP_NONNEG;
  return st;
}

/* One row of e^(x - max) into p; returns the sum, *max the maximum. */
LRP_LOOP double exponentials_any(const lrp_real *x, int64_t n, int64_t stride, lrp_real *p, lrp_real *max)
{
  lrp_real m = (lrp_real)-INFINITY;
  double sum = 0;
#pragma omp simd reduction(max : m)
  for (int64_t i = 0; i < n; i++)
    m = x[i * stride] > m ? x[i * stride] : m; /* NaN makes the sum NaN by itself */
#pragma omp simd
  for (int64_t i = 0; i < n; i++)
    p[i * stride] = lrp_exp(x[i * stride] - m);
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; i++)
    sum += (double)p[i * stride];
  *max = m;
  return sum;
}
LRP_LOOP double exponentials_row_any(const lrp_real *x, int64_t n, lrp_real *p, lrp_real *max)
{
  return exponentials_any(x, n, 1, p, max);
}
LRP_TWICE(double, exponentials_row, (const lrp_real *x, int64_t n, lrp_real *p, lrp_real *max), (x, n, p, max))

static double exponentials(const lrp_real *x, int64_t n, int64_t stride, lrp_real *p, lrp_real *max)
{
  return stride == 1 ? exponentials_row(x, n, p, max) : exponentials_any(x, n, stride, p, max);
}

/* y[i] = share y[i] of a row. */
LRP_LOOP void scale_row_any(double share, int64_t n, lrp_real *y)
{
#pragma omp simd
  for (int64_t i = 0; i < n; i++)
    y[i] = (lrp_real)((double)y[i] * share);
}
LRP_TWICE(void, scale_row, (double share, int64_t n, lrp_real *y), (share, n, y))

/* x_bar = p (y_bar - sum p y_bar) of a row; 0 where p is 0 or NaN. */
LRP_LOOP void pull_row_any(const lrp_real *p, const lrp_real *y_bar, int64_t n, int64_t stride, lrp_real *x_bar)
{
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; i++) {
    const lrp_real some = lrp_select(p[i * stride] > 0, p[i * stride], 0),
                   bar = lrp_select(p[i * stride] > 0, y_bar[i * stride], 0);
    sum += (double)some * (double)bar;
  }
#pragma omp simd
  for (int64_t i = 0; i < n; i++) {
    const lrp_real some = lrp_select(p[i * stride] > 0, p[i * stride], 0),
                   bar = lrp_select(p[i * stride] > 0, y_bar[i * stride], 0);
    x_bar[i * stride] = (lrp_real)((double)some * ((double)bar - sum));
  }
}
LRP_LOOP void pull_near_any(const lrp_real *p, const lrp_real *y_bar, int64_t n, lrp_real *x_bar)
{
  pull_row_any(p, y_bar, n, 1, x_bar);
}
LRP_TWICE(void, pull_near, (const lrp_real *p, const lrp_real *y_bar, int64_t n, lrp_real *x_bar), (p, y_bar, n, x_bar))

static lrp_status softmax_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const lrp_tensor *x = &call->in[0];
  const rows r = rows_of(inst, x);
  const size_t bytes = (size_t)lrp_count(x) * sizeof(lrp_real);
  lrp_real *y = lrp_reals(&call->out[0]), *probs = lrp_reals(&call->saved[0]);
  (void)h, (void)ctx;
  if (call->freeze & 1) {
    memcpy(y, probs, bytes);
    return LRP_OK;
  }
  LRP_THREADS_AS(collapse(2), r.outer * r.n * r.stride > PARALLEL_MIN,
  for (int64_t o = 0; o < r.outer; o++)
    for (int64_t i = 0; i < r.stride; i++) {
      const int64_t at = o * r.n * r.stride + i;
      lrp_real max;
      const double sum =
          x->data ? exponentials(lrp_reals(x) + at, r.n, r.stride, y + at, &max) : (double)r.n;
      const double share = 1 / sum;
      if (x->data && r.stride == 1) {
        scale_row(share, r.n, y + at);
        continue;
      }
      for (int64_t k = at; k < at + r.n * r.stride; k += r.stride)
        y[k] = (lrp_real)((x->data ? (double)y[k] : 1) * share);
    });
  if (probs) memcpy(probs, y, bytes);
  return LRP_OK;
}

/* The probabilities: what is frozen, or the output; computed again where a host has dropped that. */
static lrp_status probs_of(const lrp_host *h, lrp_ctx *ctx, const void *inst, const lrp_call *call,
                           const lrp_real **out)
{
  *out = call->saved[0].data ? lrp_reals(&call->saved[0]) : lrp_reals(&call->out[0]);
  if (*out) return LRP_OK;
  lrp_tensor p;
  lrp_call again = *call;
  const lrp_status st = h->scratch(ctx, &call->out[0], &p);
  again.out = &p;
  *out = st ? NULL : lrp_reals(&p);
  return st ? st : softmax_forward(h, ctx, inst, &again);
}

/* x_bar = p (y_bar - sum p y_bar), from which epsilon makes AttnLRP's Proposition 3.1 (Achtibat et
 * al. 2024); 0 where p is 0, or NaN because all of the row is masked. */
static lrp_status softmax_vjp(const lrp_host *h, lrp_ctx *ctx, const void *inst,
                              const lrp_call *call, const lrp_tensor *out_bar, lrp_tensor *in_bar)
{
  const rows r = rows_of(inst, &call->in[0]);
  if (!out_bar[0].data || (call->freeze & 1)) tensor_zero(&in_bar[0]);
  if (!in_bar[0].data || !out_bar[0].data || (call->freeze & 1)) return LRP_OK;
  const lrp_real *probs;
  const lrp_status st = probs_of(h, ctx, inst, call, &probs);
  if (st) return st;
  LRP_THREADS_AS(collapse(2), r.outer * r.n * r.stride > PARALLEL_MIN,
  for (int64_t o = 0; o < r.outer; o++)
    for (int64_t i = 0; i < r.stride; i++) {
      const int64_t at = o * r.n * r.stride + i;
      const lrp_real *p = probs + at, *y_bar = lrp_reals(&out_bar[0]) + at;
      if (r.stride == 1)
        pull_near(p, y_bar, r.n, lrp_reals(&in_bar[0]) + at);
      else
        pull_row_any(p, y_bar, r.n, r.stride, lrp_reals(&in_bar[0]) + at);
    });
  return LRP_OK;
}

static lrp_status log_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const lrp_tensor *x = &call->in[0];
  const rows r = rows_of(inst, x);
  lrp_real *y = lrp_reals(&call->out[0]), *probs = lrp_reals(&call->saved[0]);
  (void)h, (void)ctx;
  LRP_THREADS_AS(collapse(2), r.outer * r.n * r.stride > PARALLEL_MIN,
  for (int64_t o = 0; o < r.outer; o++)
    for (int64_t i = 0; i < r.stride; i++) {
      const int64_t at = o * r.n * r.stride + i;
      lrp_real max = 0;
      const double sum =
          x->data ? exponentials(lrp_reals(x) + at, r.n, r.stride, y + at, &max) : (double)r.n;
      const double log_sum = log(sum);
      for (int64_t k = at; k < at + r.n * r.stride; k += r.stride) {
        if (probs) probs[k] = (lrp_real)((x->data ? (double)y[k] : 1) / sum);
        y[k] = (lrp_real)((x->data ? (double)lrp_reals(x)[k] - (double)max : 0) - log_sum);
      }
    });
  return LRP_OK;
}

/* x_bar = y_bar - p sum y_bar; 0 at masked inputs. */
static lrp_status log_vjp(const lrp_host *h, lrp_ctx *ctx, const void *inst, const lrp_call *call,
                          const lrp_tensor *out_bar, lrp_tensor *in_bar)
{
  const rows r = rows_of(inst, &call->in[0]);
  const lrp_real *x = lrp_reals(&call->in[0]);
  (void)h, (void)ctx;
  if (!out_bar[0].data) tensor_zero(&in_bar[0]);
  if (!in_bar[0].data || !out_bar[0].data) return LRP_OK;
  LRP_THREADS_AS(collapse(2), r.outer * r.n * r.stride > PARALLEL_MIN,
  for (int64_t o = 0; o < r.outer; o++)
    for (int64_t i = 0; i < r.stride; i++) {
      const int64_t at = o * r.n * r.stride + i, end = at + r.n * r.stride;
      const lrp_real *p = lrp_reals(&call->saved[0]), *y_bar = lrp_reals(&out_bar[0]);
      double sum = 0;
      for (int64_t k = at; k < end; k += r.stride)
        sum += x && x[k] == (lrp_real)-INFINITY ? 0 : (double)y_bar[k];
      for (int64_t k = at; k < end; k += r.stride)
        lrp_reals(&in_bar[0])[k] = x && x[k] == (lrp_real)-INFINITY
                                       ? 0
                                       : (lrp_real)((double)y_bar[k] - (double)p[k] * sum);
    });
  return LRP_OK;
}

static uint32_t degree(const void *inst, uint32_t freeze)
{
  (void)inst, (void)freeze;
  return 0;
}

/* Opset 13 names one axis, the last by default; before, the named axis (default 1) and all behind
 * it are one row. */
static lrp_status softmax_args(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)
{
  const int old = h->node_opset(node) < 13;
  const int64_t rank = h->node_rank(node, 0);
  int64_t axis = h->node_int(node, "axis", old ? 1 : -1);
  if (rank < 1)
    return h->fail(ctx, LRP_E_UNSUPPORTED, "softmax of a tensor of unknown rank is not supported");
  if (axis < -rank || axis >= rank)
    return h->fail(ctx, LRP_E_INPUT, "axis is %lld, -%lld to %lld was expected", (long long)axis,
                   (long long)rank, (long long)rank - 1);
  axis += axis < 0 ? rank : 0;
  const int64_t n = old ? rank - axis : 1;
  int64_t *list = h->keep_ints(ctx, n);
  if (!list) return LRP_E_NOMEM;
  for (int64_t i = 0; i < n; i++)
    list[i] = axis + i;
  a[0].ints.v = list;
  a[0].ints.n = n;
  return LRP_OK;
}

static int32_t row_axes(const void *inst, const lrp_call *call, int32_t axis, uint32_t i)
{
  (void)i;
  return axis_bits(inst, call->out[0].rank) >> axis & 1 ? LRP_ROWS_MIXED : axis;
}

static const lrp_operator softmax_operators[] = {
    {.domain = "", .name = "Softmax", .since = 1, .inputs = "x", .args = softmax_args}, {0}};
static const lrp_operator log_operators[] = {
    {.domain = "", .name = "LogSoftmax", .since = 1, .inputs = "x", .args = softmax_args}, {0}};
/* x -> Softmax -> Log -> y; node 1 is the softmax. */
static lrp_status log_of(const lrp_host *h, lrp_ctx *ctx, const lrp_node *const *nodes,
                         lrp_value *a)
{
  return softmax_args(h, ctx, nodes[1], a);
}
static const lrp_pattern log_patterns[] = {{.form = "Log(Softmax(x))", .args = log_of, .name = "log_softmax"}, {0}};
static const lrp_layer_type softmax_type = {.struct_size = sizeof softmax_type,
                                            .kind = LRP_KIND_SOFTMAX,
                                            .layout = LRP_LAYOUT_AXES,
                                            .n_saved = 1,
                                            .name = "softmax",
                                            .doc = "y = e^x / sum e^x over the named axes",
                                            .args = args,
                                            .in = ins,
                                            .out = outs,
                                            .freezable = freezable,
                                            .operators = softmax_operators,
                                            .create = create,
                                            .destroy = free,
                                            .infer = softmax_infer,
                                            .forward = softmax_forward,
                                            .vjp = softmax_vjp,
                                            .writes = LRP_WRITES_BAR | LRP_SAVES_COPIES,
                                            .degree = degree,
                                            .rows = row_axes};
static const lrp_layer_type log_type = {.struct_size = sizeof log_type,
                                        .kind = LRP_KIND_SOFTMAX,
                                        .layout = LRP_LAYOUT_AXES,
                                        .n_saved = 1,
                                        .name = "logsoftmax",
                                        .doc = "y = x - log sum e^x over the named axes",
                                        .args = args,
                                        .in = ins,
                                        .out = outs,
                                        .operators = log_operators,
                                        .create = create,
                                        .destroy = free,
                                        .infer = infer,
                                        .forward = log_forward,
                                        .vjp = log_vjp,
                                        .writes = LRP_WRITES_BAR,
                                        .degree = degree,
                                        .rows = row_axes,
                                        .patterns = log_patterns};
static const lrp_layer_type *const layers[] = {&softmax_type, &log_type, NULL};
LRP_PLUGIN(layer_softmax, "softmax", "1.0", "MIT", "softmax and its logarithm", layers, NULL, NULL);
