/* layernorm.c - layers "layernorm" and "rmsnorm" over the last axes (ONNX LayerNormalization,
 * RMSNormalization, and the forms that exporters write before opsets 17 and 23).
 *
 *   layernorm  y = (x - mean) std scale + bias, std = 1 / sqrt(variance + epsilon)
 *   rmsnorm    y = x std scale,                 std = 1 / sqrt(mean of x^2 + epsilon)
 *
 * (Ba et al. 2016; Zhang & Sennrich 2019.)
 *
 * With std frozen the layer is affine in x, so that epsilon shares relevance as LXT does it
 * (Achtibat et al. 2024) and the bias keeps its part; rule "pass" is the other usual choice. */
#include "layer.h"
#include "lrp/vector.h"
#include <math.h>
#include <stdlib.h>

enum { SCALE, BIAS, STD = 0, MEAN };
enum { AXIS, EPSILON };
typedef struct norm {
  int64_t axis;
  double epsilon;
  int centred; /* layernorm */
} norm;
typedef struct rows {
  int64_t n, width;
} rows;

#define ARGS(EPS_DOC)                                                                              \
  {.name = "axis",                                                                                 \
   .type = LRP_ARG_INT,                                                                            \
   .def = -1,                                                                                      \
   .min = -LRP_MAX_RANK,                                                                           \
   .max = LRP_MAX_RANK - 1,                                                                        \
   .doc = "first of the axes to normalise over, up to the last; the default is ONNX's"},           \
      {.name = "epsilon", .type = LRP_ARG_REAL, .def = 1e-5, .max = 1e6, .doc = EPS_DOC},          \
      LRP_ARGS_END
static const lrp_arg layernorm_args[] = {ARGS("added to the variance; the default is ONNX's")};
static const lrp_arg rmsnorm_args[] = {ARGS("added to the mean square; the default is ONNX's")};
static const lrp_port ins[] = {{.name = "x", .role = LRP_PORT_DATA}, LRP_PORTS_END};
static const lrp_port params[] = {
    {.name = "scale", .role = LRP_PORT_WEIGHT, .flags = LRP_PORT_OPTIONAL},
    {.name = "bias", .role = LRP_PORT_BIAS, .flags = LRP_PORT_OPTIONAL},
    LRP_PORTS_END};
static const lrp_port rms_params[] = {
    {.name = "scale", .role = LRP_PORT_WEIGHT, .flags = LRP_PORT_OPTIONAL}, LRP_PORTS_END};
static const lrp_port outs[] = {{.name = "y", .role = LRP_PORT_DATA}, LRP_PORTS_END};
static const char *const layernorm_freezable[] = {"std", "mean", NULL};
static const char *const rmsnorm_freezable[] = {"std", NULL};

static lrp_status make(const lrp_host *h, lrp_ctx *ctx, const lrp_value *a, int centred,
                       void **inst)
{
  norm *m = malloc(sizeof *m);
  if (!m)
    return h->fail(ctx, LRP_E_NOMEM, "%s: no memory for an instance",
                   centred ? "layernorm" : "rmsnorm");
  *m = (norm){a[AXIS].i, a[EPSILON].real, centred};
  *inst = m;
  return LRP_OK;
}

static lrp_status layernorm_create(const lrp_host *h, lrp_ctx *ctx, const lrp_value *a, void **inst)
{
  return make(h, ctx, a, 1, inst);
}

static lrp_status rmsnorm_create(const lrp_host *h, lrp_ctx *ctx, const lrp_value *a, void **inst)
{
  return make(h, ctx, a, 0, inst);
}

static const char *name_of(const norm *m)
{
  return m->centred ? "layernorm" : "rmsnorm";
}

static int32_t first_axis(const norm *m, const lrp_tensor *x)
{
  return (int32_t)m->axis + (m->axis < 0 ? x->rank : 0);
}

static rows rows_of(const norm *m, const lrp_tensor *x)
{
  rows r = {1, 1};
  for (int32_t i = 0; i < x->rank; i++)
    *(i < first_axis(m, x) ? &r.n : &r.width) *= x->shape[i];
  return r;
}

/* A parameter has the shape of the normalised axes, perhaps with ones in front. */
static int fits(const lrp_tensor *p, const lrp_tensor *x, int32_t first)
{
  for (int32_t i = p->rank - 1, k = x->rank - 1; i >= 0; i--, k--)
    if (p->shape[i] != (k < first ? 1 : x->shape[k])) return 0;
  return p->rank >= x->rank - first;
}

static lrp_status infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const norm *m = inst;
  const lrp_tensor *x = &call->in[0];
  const lrp_status st = need_reals(h, ctx, name_of(m), x);
  if (st) return st;
  const int32_t first = first_axis(m, x);
  if (first < 0 || first >= x->rank)
    return h->fail(ctx, LRP_E_SHAPE, "%s: axis is %lld, x has rank %d", name_of(m),
                   (long long)m->axis, x->rank);
  for (uint32_t i = 0; i < call->n_param; i++)
    if (param_of(call, i) && !fits(&call->param[i], x, first))
      return h->fail(ctx, LRP_E_SHAPE, "%s: %s must have the shape of the last %d axes of x",
                     name_of(m), params[i].name, x->rank - first);
  tensor_describe(&call->out[0], LRP_REAL, x->rank, x->shape);
  tensor_describe(&call->saved[STD], LRP_REAL, first, x->shape);
  call->saved[STD].flags = LRP_NONNEG;
  if (m->centred) tensor_describe(&call->saved[MEAN], LRP_REAL, first, x->shape);
  return LRP_OK;
}

/* ---- rows ---- */

/* The numbers of t, or a row of `otherwise` where it is absent: rows have one loop. */
static lrp_status row_of(const lrp_host *h, lrp_ctx *ctx, const lrp_tensor *t, int64_t width, lrp_real otherwise,
                         const lrp_real **out)
{
  lrp_tensor row;
  *out = t && t->data ? lrp_reals(t) : NULL;
  if (*out) return LRP_OK;
  const lrp_tensor like = {.dtype = LRP_REAL, .rank = 1, .shape = {width}};
  const lrp_status st = h->scratch(ctx, &like, &row);
  for (int64_t i = 0; !st && otherwise != 0 && i < width; i++)
    lrp_reals(&row)[i] = otherwise;
  *out = st ? NULL : lrp_reals(&row);
  return st;
}

LRP_LOOP double sum_any(const lrp_real *x, int64_t n)
{
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; i++)
    sum += (double)x[i];
  return sum;
}
LRP_TWICE(double, sum, (const lrp_real *x, int64_t n), (x, n))

LRP_LOOP double squares_any(const lrp_real *x, int64_t n, double mean)
{
  double square = 0;
#pragma omp simd reduction(+ : square)
  for (int64_t i = 0; i < n; i++)
    square += ((double)x[i] - mean) * ((double)x[i] - mean);
  return square;
}
LRP_TWICE(double, squares, (const lrp_real *x, int64_t n, double mean), (x, n, mean))

LRP_LOOP void normalise_any(const lrp_real *x, const lrp_real *scale, const lrp_real *bias, int64_t n, double mean,
                            double std, lrp_real *y)
{
#pragma omp simd
  for (int64_t i = 0; i < n; i++)
    y[i] = (lrp_real)(((double)x[i] - mean) * std * (double)scale[i] + (double)bias[i]);
}
LRP_TWICE(void, normalise,
          (const lrp_real *x, const lrp_real *scale, const lrp_real *bias, int64_t n, double mean, double std,
           lrp_real *y),
          (x, scale, bias, n, mean, std, y))

static lrp_status forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const norm *m = inst;
  const rows r = rows_of(m, &call->in[0]);
  lrp_real *std_all = lrp_reals(&call->saved[STD]),
           *mean_all = m->centred ? lrp_reals(&call->saved[MEAN]) : NULL;
  const int of_mean = m->centred && !(call->freeze >> MEAN & 1), of_std = !(call->freeze >> STD & 1),
            zero = !call->in[0].data;
  const lrp_real *scale, *bias, *x;
  lrp_status st = row_of(h, ctx, param_of(call, SCALE), r.width, 1, &scale);
  if (!st) st = row_of(h, ctx, m->centred ? param_of(call, BIAS) : NULL, r.width, 0, &bias);
  if (!st) st = row_of(h, ctx, &call->in[0], r.width, 0, &x);
  if (st) return st;
  LRP_THREADS(r.n * r.width > PARALLEL_MIN,
  for (int64_t k = 0; k < r.n; k++) {
    const lrp_real *row = zero ? x : x + k * r.width;
    const double mean = of_mean ? sum(row, r.width) / (double)r.width : mean_all ? (double)mean_all[k] : 0;
    const double std = of_std ? 1 / sqrt(squares(row, r.width, mean) / (double)r.width + m->epsilon)
                              : (double)std_all[k];
    std_all[k] = (lrp_real)std;
    if (mean_all) mean_all[k] = (lrp_real)mean;
    normalise(row, scale, bias, r.width, mean, std, lrp_reals(&call->out[0]) + k * r.width);
  });
  return LRP_OK;
}

/* Sums of u = y_bar scale and of u (x - mean). */
LRP_LOOP void shares_any(const lrp_real *y_bar, const lrp_real *scale, const lrp_real *x, int64_t n, double mean,
                         double *all, double *along)
{
  double a = 0, b = 0;
#pragma omp simd reduction(+ : a, b)
  for (int64_t i = 0; i < n; i++) {
    const double u = (double)y_bar[i] * (double)scale[i];
    a += u;
    b += u * ((double)x[i] - mean);
  }
  *all = a;
  *along = b;
}
LRP_TWICE(void, shares,
          (const lrp_real *y_bar, const lrp_real *scale, const lrp_real *x, int64_t n, double mean, double *all,
           double *along),
          (y_bar, scale, x, n, mean, all, along))

LRP_LOOP void pull_any(const lrp_real *y_bar, const lrp_real *scale, const lrp_real *x, int64_t n, double mean,
                       double std, double all, double along, lrp_real *x_bar)
{
#pragma omp simd
  for (int64_t i = 0; i < n; i++)
    x_bar[i] = (lrp_real)(std * ((double)y_bar[i] * (double)scale[i] - all - ((double)x[i] - mean) * along));
}
LRP_TWICE(void, pull,
          (const lrp_real *y_bar, const lrp_real *scale, const lrp_real *x, int64_t n, double mean, double std,
           double all, double along, lrp_real *x_bar),
          (y_bar, scale, x, n, mean, std, all, along, x_bar))

/* With u = y_bar scale and n = (x - mean) std: x_bar = std (u - mean(u) - n mean(u n)), where
 * the second term is that of the mean and the third that of std; a frozen one leaves its term
 * away. */
static lrp_status vjp(const lrp_host *h, lrp_ctx *ctx, const void *inst, const lrp_call *call,
                      const lrp_tensor *out_bar, lrp_tensor *in_bar)
{
  const norm *m = inst;
  const rows r = rows_of(m, &call->in[0]);
  const int of_mean = m->centred && !(call->freeze >> MEAN & 1), of_std = !(call->freeze >> STD & 1),
            zero = !call->in[0].data;
  const lrp_real *scale, *x;
  if (!out_bar[0].data) tensor_zero(&in_bar[0]);
  if (!in_bar[0].data || !out_bar[0].data) return LRP_OK;
  lrp_status st = row_of(h, ctx, param_of(call, SCALE), r.width, 1, &scale);
  if (!st) st = row_of(h, ctx, &call->in[0], r.width, 0, &x);
  if (st) return st;
  LRP_THREADS(r.n * r.width > PARALLEL_MIN,
  for (int64_t k = 0; k < r.n; k++) {
    const lrp_real *row = zero ? x : x + k * r.width, *y_bar = lrp_reals(&out_bar[0]) + k * r.width;
    const double std = (double)lrp_reals(&call->saved[STD])[k];
    const double mean = m->centred ? (double)lrp_reals(&call->saved[MEAN])[k] : 0;
    double all = 0, along = 0;
    if (of_mean || of_std) shares(y_bar, scale, row, r.width, mean, &all, &along);
    all = of_mean ? all / (double)r.width : 0;
    along = of_std ? along * std * std / (double)r.width : 0;
    pull(y_bar, scale, row, r.width, mean, std, all, along, lrp_reals(&in_bar[0]) + k * r.width);
  });
  return LRP_OK;
}

static int32_t row_axes(const void *inst, const lrp_call *call, int32_t axis, uint32_t i)
{
  (void)i;
  return axis < first_axis(inst, &call->in[0]) ? axis : LRP_ROWS_MIXED;
}

static uint32_t degree(const void *inst, uint32_t freeze)
{
  (void)inst;
  return freeze == 1u << STD;
}

/* ---- operators ---- */

static lrp_status read_node(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)
{
  if (h->node_n_out(node) > 1)
    return h->fail(
        ctx, LRP_E_UNSUPPORTED,
        "the outputs Mean and InvStdDev are for training; export the model for inference");
  a[AXIS].i = h->node_int(node, "axis", -1);
  a[EPSILON].real = h->node_real(node, "epsilon", 1e-5);
  return LRP_OK;
}

/* ---- the same written as several nodes ---- */

/* The first axis of a mean over the last ones that keeps its dimensions; anything else is
 * declined. */
static lrp_status mean_axis(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, int64_t *first)
{
  const int64_t rank = h->node_rank(node, 0);
  const lrp_tensor *input = h->node_const(ctx, node, 1);
  const lrp_value list = h->node_ints(node, "axes");
  const int64_t *v = input ? lrp_indices(input) : list.ints.v,
                n = input ? lrp_count(input) : list.ints.n;
  uint32_t bits = 0;
  for (int64_t i = 0; i < n; i++) {
    const int64_t axis = v[i] + (v[i] < 0 ? rank : 0);
    if (axis >= 0 && axis < rank) bits |= 1u << axis;
  }
  *first = rank - n;
  if (!n || n > rank || bits != (((1u << n) - 1) << (rank - n)) ||
      h->node_int(node, "keepdims", 1) != 1)
    return h->fail(ctx, LRP_E_UNSUPPORTED,
                   "this mean is not over the last axes with its dimensions kept");
  return LRP_OK;
}

/* nodes[]: two means (or the same one twice) over the same axes, and the addition of epsilon. */
static lrp_status read_form(const lrp_host *h, lrp_ctx *ctx, const lrp_node *const *nodes, int one,
                            int two, int eps, lrp_value *a)
{
  int64_t first, second;
  lrp_status st = mean_axis(h, ctx, nodes[one], &first);
  if (!st) st = mean_axis(h, ctx, nodes[two], &second);
  const lrp_tensor *e = h->node_const(ctx, nodes[eps], 0);
  e = e ? e : h->node_const(ctx, nodes[eps], 1);
  if (!st && (first != second || !e || e->dtype != LRP_REAL || lrp_count(e) != 1))
    st = h->fail(ctx, LRP_E_UNSUPPORTED,
                 "mean and variance are over different axes, or epsilon is not one number");
  if (st) return st;
  a[AXIS].i = first;
  a[EPSILON].real = (double)lrp_reals(e)[0];
  return LRP_OK;
}

#define FORM_READER(NAME, ONE, TWO, EPS)                                                           \
  static lrp_status NAME(const lrp_host *h, lrp_ctx *ctx, const lrp_node *const *nodes,            \
                         lrp_value *a)                                                             \
  {                                                                                                \
    return read_form(h, ctx, nodes, ONE, TWO, EPS, a);                                             \
  }
FORM_READER(read_affine, 4, 7, 6)
FORM_READER(read_bare, 2, 5, 4)
FORM_READER(read_affine_inverse, 4, 8, 7)
FORM_READER(read_rms, 5, 5, 4)
FORM_READER(read_rms_quotient, 4, 4, 3)
FORM_READER(read_rms_bare, 4, 4, 3)

/*   x -> ReduceMean -> Sub(x, .) = d    d -> Pow 2 or d * d -> ReduceMean -> + epsilon -> Sqrt = s
 *   y = d / s (or d * 1/s), * scale, + bias
 *
 * Old exporters compute d twice.  Numbers in the comments below: what the readers call nodes[]. */
#define CENTRED      "Sub(x, ReduceMean(x))"
#define VARIANCE_POW "Add{ReduceMean(Pow(" CENTRED ", 2)), *}"
#define VARIANCE_MUL "Add{ReduceMean(Mul(" CENTRED ", " CENTRED ")), *}"
static const lrp_pattern layernorm_patterns[] = {
    /* Add 0, Mul 1, Div 2, Sub 3, ReduceMean 4, Sqrt 5, Add 6, ReduceMean 7, ... */
    {.form = "Add{Mul{Div(" CENTRED ", Sqrt(" VARIANCE_POW ")), scale}, bias}",
     .args = read_affine},
    {.form = "Add{Mul{Div(" CENTRED ", Sqrt(" VARIANCE_MUL ")), scale}, bias}",
     .args = read_affine},
    /* Add 0, Mul 1, Mul 2, Sub 3, ReduceMean 4, Reciprocal 5, Sqrt 6, Add 7, ReduceMean 8, ... */
    {.form = "Add{Mul{Mul{" CENTRED ", Reciprocal(Sqrt(" VARIANCE_POW "))}, scale}, bias}",
     .args = read_affine_inverse},
    {.form = "Add{Mul{Mul{" CENTRED ", Reciprocal(Sqrt(" VARIANCE_MUL "))}, scale}, bias}",
     .args = read_affine_inverse},
    /* Div 0, Sub 1, ReduceMean 2, Sqrt 3, Add 4, ReduceMean 5, ... */
    {.form = "Div(" CENTRED ", Sqrt(" VARIANCE_POW "))", .args = read_bare},
    {.form = "Div(" CENTRED ", Sqrt(" VARIANCE_MUL "))", .args = read_bare},
    {0}};

/*   x -> Pow 2 or x * x -> ReduceMean -> + epsilon -> Sqrt = s
 *   y = x / s, or x * 1/s, * scale */
#define SQUARE_POW "Add{ReduceMean(Pow(x, 2)), *}"
#define SQUARE_MUL "Add{ReduceMean(Mul(x, x)), *}"
static const lrp_pattern rmsnorm_patterns[] = {
    /* Mul 0, Mul 1, Reciprocal or Div 2, Sqrt 3, Add 4, ReduceMean 5, ... */
    {.form = "Mul{scale, Mul{x, Reciprocal(Sqrt(" SQUARE_POW "))}}", .args = read_rms},
    {.form = "Mul{scale, Mul{x, Reciprocal(Sqrt(" SQUARE_MUL "))}}", .args = read_rms},
    {.form = "Mul{scale, Mul{x, Div(1, Sqrt(" SQUARE_POW "))}}", .args = read_rms},
    {.form = "Mul{scale, Mul{x, Div(1, Sqrt(" SQUARE_MUL "))}}", .args = read_rms},
    /* Mul 0, Div 1, Sqrt 2, Add 3, ReduceMean 4, ... */
    {.form = "Mul{scale, Div(x, Sqrt(" SQUARE_POW "))}", .args = read_rms_quotient},
    {.form = "Mul{scale, Div(x, Sqrt(" SQUARE_MUL "))}", .args = read_rms_quotient},
    /* Mul 0, Reciprocal or Div 1, Sqrt 2, Add 3, ReduceMean 4, ... */
    {.form = "Mul{x, Reciprocal(Sqrt(" SQUARE_POW "))}", .args = read_rms_bare},
    {.form = "Mul{x, Div(1, Sqrt(" SQUARE_POW "))}", .args = read_rms_bare},
    {0}};

/* onnxruntime writes both operators before ONNX had them. */
static const lrp_operator layernorm_operators[] = {{.domain = "",
                                                    .name = "LayerNormalization",
                                                    .since = 1,
                                                    .inputs = "x scale bias",
                                                    .args = read_node},
                                                   {0}};
static const lrp_operator rmsnorm_operators[] = {
    {.domain = "", .name = "RMSNormalization", .since = 23, .inputs = "x scale", .args = read_node},
    {.domain = "",
     .name = "SimplifiedLayerNormalization",
     .since = 1,
     .inputs = "x scale",
     .args = read_node},
    {0}};
#define NORM(NAME, N_SAVED, PARAMS, DOC)                                                           \
  static const lrp_layer_type NAME##_type = {.struct_size = sizeof NAME##_type,                    \
                                             .kind = LRP_KIND_NORM,                                \
                                             .layout = LRP_LAYOUT_MODEL,                           \
                                             .n_saved = N_SAVED,                                   \
                                             .name = #NAME,                                        \
                                             .doc = DOC,                                           \
                                             .args = NAME##_args,                                  \
                                             .in = ins,                                            \
                                             .param = PARAMS,                                      \
                                             .out = outs,                                          \
                                             .freezable = NAME##_freezable,                        \
                                             .operators = NAME##_operators,                        \
                                             .create = NAME##_create,                              \
                                             .destroy = free,                                      \
                                             .infer = infer,                                       \
                                             .forward = forward,                                   \
                                             .vjp = vjp,                                           \
                                             .writes = LRP_WRITES_BAR,                             \
                                             .degree = degree,                                     \
                                             .rows = row_axes,                                     \
                                             .patterns = NAME##_patterns};
NORM(layernorm, 2, params,
     "y = (x - mean) / sqrt(variance + epsilon) scale + bias over the last axes")
NORM(rmsnorm, 1, rms_params, "y = x / sqrt(mean of x^2 + epsilon) scale over the last axes")
static const lrp_layer_type *const layers[] = {&layernorm_type, &rmsnorm_type, NULL};
LRP_PLUGIN(layer_layernorm, "layernorm", "1.0", "MIT", "normalisation over the last axes", layers,
           NULL, NULL);
