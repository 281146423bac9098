/* activation.c - activation functions of neural networks, y = f(x): relu and its kin, sigmoids, gelu, silu, ...
 * Formulas are those of the ONNX operator pages; f' at a kink is that of the left side, so relu'(0) = 0. */
#include "strided.h"
#include "unary.h"

#define SIGMOID(v) (1 / (1 + lrp_exp(-(v))))
#define SOFTPLUS(v) (log1p(exp(-fabs(v))) + ((v) > 0 ? (v) : 0)) /* does not overflow */

/* One attribute of the same name and position as the argument; absent: the default stays. */
static void read_real(const lrp_host *h, const lrp_node *node, const char *name, lrp_value *a)
{
  a->real = h->node_real(node, name, a->real);
}

static lrp_status read_alpha(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)
{
  (void)ctx;
  read_real(h, node, "alpha", &a[0]);
  return LRP_OK;
}

#define ALPHA(DEFAULT, DOC, ...) {.name = "alpha", .type = LRP_ARG_REAL, .def = DEFAULT, .doc = DOC, __VA_ARGS__}

/* ---- no arguments ---- */

UNARY(relu, NONNEG, v < 0 ? 0 : v, v > 0 ? 1 : 0) /* NaN stays NaN */
UNARY(sigmoid, NONNEG, SIGMOID(v), SIGMOID(v) * SIGMOID(-v))
UNARY(tanh, SAME, tanh(v), 1 - tanh(v) * tanh(v))
UNARY(softplus, NONNEG, SOFTPLUS(v), SIGMOID(v))
UNARY(softsign, SAME, v / (1 + fabs(v)), 1 / ((1 + fabs(v)) * (1 + fabs(v))))
UNARY(hard_swish, SAME, v <= -3 ? 0 : v >= 3 ? v : v * (v + 3) / 6, v <= -3 ? 0 : v > 3 ? 1 : (2 * v + 3) / 6)

/* x tanh(softplus x) (Misra 2019). */
static inline lrp_real mish_slope(lrp_real v)
{
  const lrp_real t = tanh(SOFTPLUS(v));
  return t + v * (1 - t * t) * SIGMOID(v);
}
UNARY(mish, SAME, v * tanh(SOFTPLUS(v)), mish_slope(v))

static uint32_t one(const void *inst, uint32_t freeze)
{
  (void)inst, (void)freeze;
  return 1;
}

/* Node 1 is the HardSigmoid: only that of slope 1/6 and offset 1/2 makes a hard swish. */
static lrp_status hard_swish_read(const lrp_host *h, lrp_ctx *ctx, const lrp_node *const *nodes, lrp_value *a)
{
  (void)a;
  if (fabs(h->node_real(nodes[1], "alpha", 0.2) - 1.0 / 6) < 1e-4 && fabs(h->node_real(nodes[1], "beta", 0.5) - 0.5) < 1e-4)
    return LRP_OK;
  return h->fail(ctx, LRP_E_UNSUPPORTED, "x * HardSigmoid(x) with another slope than 1/6 is no hard swish");
}

UNARY_OPERATOR(relu, "Relu", 6, NULL)
UNARY_OPERATOR(sigmoid, "Sigmoid", 6, NULL)
UNARY_OPERATOR(tanh, "Tanh", 6, NULL)
UNARY_OPERATOR(softplus, "Softplus", 1, NULL)
UNARY_OPERATOR(softsign, "Softsign", 1, NULL)
UNARY_OPERATOR(hard_swish, "HardSwish", 14, NULL)
UNARY_OPERATOR(mish, "Mish", 18, NULL)

/* The same as exporters write them:
 *
 *   x -> Add 3 -> Clip [0, 6] -> c    x, c -> Mul -> Div 6 -> y     hard_swish, in its orders; Mul 1/6 for Div 6
 *   x -> HardSigmoid -> s             x, s -> Mul -> y              where its slope is 1/6; else left to its parts
 *   x -> Softplus -> Tanh -> t        x, t -> Mul -> y              mish */
#define RELU6 "Clip(Add{x, 3}, 0, 6)"
static const lrp_pattern hard_swish_patterns[] = {{.form = "Mul{x, Div(" RELU6 ", 6)}"},
                                                  {.form = "Div(Mul{x, " RELU6 "}, 6)"},
                                                  {.form = "Mul{Mul{x, " RELU6 "}, 0.16666667}"},
                                                  {.form = "Mul{x, Mul{" RELU6 ", 0.16666667}}"},
                                                  {.form = "Mul{x, HardSigmoid(x)}", .args = hard_swish_read},
                                                  {0}};
static const lrp_pattern mish_patterns[] = {{.form = "Mul{x, Tanh(Softplus(x))}"}, {0}};
UNARY_TYPE(relu, "y = max(x, 0)", .degree = one)
UNARY_TYPE(sigmoid, "y = 1 / (1 + e^-x)", .degree = unary_degree)
UNARY_TYPE(tanh, "y = tanh x", .degree = unary_degree)
UNARY_TYPE(softplus, "y = log(1 + e^x)", .degree = unary_degree)
UNARY_TYPE(softsign, "y = x / (1 + |x|)", .degree = unary_degree)
UNARY_TYPE(hard_swish, "y = x max(0, min(1, x/6 + 1/2))", .degree = unary_degree, .patterns = hard_swish_patterns)
UNARY_TYPE(mish, "y = x tanh(log(1 + e^x)) (Misra 2019)", .degree = unary_degree, .patterns = mish_patterns)

/* ---- one argument, alpha ---- */

UNARY(leaky_relu, SAME, v > 0 ? v : p[0] * v, v > 0 ? 1 : p[0])
UNARY(elu, SAME, v > 0 ? v : p[0] * expm1(v), v > 0 ? 1 : p[0] * exp(v))
UNARY(celu, SAME, v > 0 ? v : p[0] * expm1(v / p[0]), v > 0 ? 1 : exp(v / p[0]))
UNARY(thresholded_relu, SAME, v <= p[0] ? 0 : v, v > p[0] ? 1 : 0)
UNARY(silu, SAME, v * SIGMOID(p[0] * v),
      SIGMOID(p[0] * v) * (1 + p[0] * v * SIGMOID(-p[0] * v)))
UNARY_CREATE(alpha, 1)

static const lrp_arg leaky_relu_args[] = {ALPHA(0.01, "slope for x < 0; the default is ONNX's"), LRP_ARGS_END};
static const lrp_arg elu_args[] = {ALPHA(1, "y goes to -alpha for x to -inf; the default is ONNX's"), LRP_ARGS_END};
static const lrp_arg celu_args[] = {ALPHA(1, "y goes to -alpha for x to -inf; the default is ONNX's", .max = 1e30,
                                          .flags = LRP_ARG_OPEN_MIN),
                                    LRP_ARGS_END};
static const lrp_arg thresholded_relu_args[] = {ALPHA(1, "x up to this gives 0; the default is ONNX's"), LRP_ARGS_END};
static const lrp_arg silu_args[] = {ALPHA(1, "factor inside the sigmoid; the default is ONNX's"), LRP_ARGS_END};
UNARY_OPERATOR(leaky_relu, "LeakyRelu", 6, read_alpha)
UNARY_OPERATOR(elu, "Elu", 6, read_alpha)
UNARY_OPERATOR(celu, "Celu", 12, read_alpha)
UNARY_OPERATOR(thresholded_relu, "ThresholdedRelu", 1, read_alpha)
UNARY_OPERATOR(silu, "Swish", 24, read_alpha)
#define ALPHA_FIELDS(NAME) .args = NAME##_args, .create = alpha_create, .destroy = free
UNARY_TYPE(leaky_relu, "y = x, or alpha x where x < 0", ALPHA_FIELDS(leaky_relu), .degree = one)
UNARY_TYPE(elu, "y = x, or alpha (e^x - 1) where x < 0", ALPHA_FIELDS(elu), .degree = unary_degree)
UNARY_TYPE(celu, "y = x, or alpha (e^(x/alpha) - 1) where x < 0", ALPHA_FIELDS(celu), .degree = unary_degree)
UNARY_TYPE(thresholded_relu, "y = x, or 0 where x <= alpha", ALPHA_FIELDS(thresholded_relu), .degree = unary_degree)

/* Node 2 multiplies by alpha. */
static lrp_status silu_read(const lrp_host *h, lrp_ctx *ctx, const lrp_node *const *nodes, lrp_value *a)
{
  const lrp_tensor *alpha = h->node_const(ctx, nodes[2], 0);
  alpha = alpha ? alpha : h->node_const(ctx, nodes[2], 1);
  if (!alpha || alpha->dtype != LRP_REAL || lrp_count(alpha) != 1)
    return h->fail(ctx, LRP_E_UNSUPPORTED, "the factor inside the sigmoid is not one number");
  a[0].real = (double)lrp_reals(alpha)[0];
  return LRP_OK;
}

/*   x -> Sigmoid -> s             x, s -> Mul -> y
 *   x -> Mul alpha -> Sigmoid -> s    the same with alpha: CLIP takes 1.702 for gelu */
static const lrp_pattern silu_patterns[] = {
    {.form = "Mul{x, Sigmoid(x)}"}, {.form = "Mul{x, Sigmoid(Mul{x, *})}", .args = silu_read}, {0}};
UNARY_TYPE(silu, "y = x sigmoid(alpha x)", ALPHA_FIELDS(silu), .degree = unary_degree, .patterns = silu_patterns)

/* ---- two arguments ---- */

UNARY(selu, SAME, p[1] * (v > 0 ? v : p[0] * expm1(v)), p[1] * (v > 0 ? 1 : p[0] * exp(v)))
UNARY(hard_sigmoid, NONNEG, fmax(R(0), fmin(R(1), p[0] * v + p[1])),
      p[0] * v + p[1] > 0 && p[0] * v + p[1] < 1 ? p[0] : 0)
UNARY_CREATE(two, 2)

static const lrp_arg selu_args[] = {
    ALPHA(1.67326319217681884765625, "y goes to -alpha gamma for x to -inf; the default is ONNX's"),
    {.name = "gamma",
     .type = LRP_ARG_REAL,
     .def = 1.05070102214813232421875,
     .max = 1e30,
     .doc = "factor of all; the default is ONNX's"},
    LRP_ARGS_END};
static const lrp_arg hard_sigmoid_args[] = {
    ALPHA(0.2, "slope; the default is ONNX's"),
    {.name = "beta", .type = LRP_ARG_REAL, .def = 0.5, .doc = "y at x = 0; the default is ONNX's"},
    LRP_ARGS_END};

static lrp_status selu_read(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)
{
  read_real(h, node, "gamma", &a[1]);
  return read_alpha(h, ctx, node, a);
}

static lrp_status hard_sigmoid_read(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)
{
  read_real(h, node, "beta", &a[1]);
  return read_alpha(h, ctx, node, a);
}

UNARY_OPERATOR(selu, "Selu", 6, selu_read)
UNARY_OPERATOR(hard_sigmoid, "HardSigmoid", 6, hard_sigmoid_read)
UNARY_TYPE(selu, "y = gamma x, or gamma alpha (e^x - 1) where x < 0", .args = selu_args, .create = two_create,
           .destroy = free, .degree = unary_degree)
UNARY_TYPE(hard_sigmoid, "y = max(0, min(1, alpha x + beta))", .args = hard_sigmoid_args, .create = two_create,
           .destroy = free, .degree = unary_degree)

/* ---- gelu (Hendrycks & Gimpel 2016) ---- */

enum { GELU_NONE, GELU_TANH };
#define ROOT_2_PI R(0.79788456080286535588)    /* sqrt(2/pi) */
#define DENSITY_0 R(0.39894228040143267794)    /* 1/sqrt(2 pi) */
#define GELU_CUBIC R(0.044715)
#define GELU_INNER(v) (ROOT_2_PI * ((v) + GELU_CUBIC * (v) * (v) * (v)))

static inline lrp_real gelu_exact_slope(lrp_real v)
{
  return lrp_normal(v) + v * DENSITY_0 * lrp_exp(-v * v / 2);
}

static inline lrp_real gelu_tanh_slope(lrp_real v)
{
  const lrp_real s = SIGMOID(2 * GELU_INNER(v)); /* (1 + tanh g) / 2 */
  return s + 2 * v * s * (1 - s) * ROOT_2_PI * (1 + 3 * GELU_CUBIC * v * v);
}
UNARY_LOOPS(gelu_exact, v * lrp_normal(v), gelu_exact_slope(v))
UNARY_LOOPS(gelu_tanh, v * SIGMOID(2 * GELU_INNER(v)), gelu_tanh_slope(v))

static const lrp_arg gelu_args[] = {{.name = "approximate",
                                     .type = LRP_ARG_CHOICE,
                                     .choices = "none|tanh",
                                     .doc = "none: by erf; tanh: the approximation of GPT-2"},
                                    LRP_ARGS_END};

static lrp_status gelu_create(const lrp_host *h, lrp_ctx *ctx, const lrp_value *a, void **inst)
{
  const lrp_status st = unary_make(h, ctx, a, 0, inst);
  if (!st)
    ((unary *)*inst)->p[0] = (lrp_real)a[0].i;
  return st;
}

static int is_tanh(const void *inst)
{
  return ((const unary *)inst)->p[0] > 0;
}

static lrp_status gelu_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  return (is_tanh(inst) ? gelu_tanh_forward : gelu_exact_forward)(h, ctx, inst, call);
}

static lrp_status gelu_vjp(const lrp_host *h, lrp_ctx *ctx, const void *inst, const lrp_call *call,
                           const lrp_tensor *out_bar, lrp_tensor *in_bar)
{
  return (is_tanh(inst) ? gelu_tanh_vjp : gelu_exact_vjp)(h, ctx, inst, call, out_bar, in_bar);
}

static lrp_status gelu_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  (void)inst;
  return unary_shape(h, ctx, call, call->in[0].flags & LRP_NONNEG);
}

static lrp_status gelu_read(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)
{
  const char *text = h->node_text(node, "approximate", "none");
  if (strcmp(text, "none") && strcmp(text, "tanh"))
    return h->fail(ctx, LRP_E_INPUT, "approximate is \"%s\", none or tanh was expected", text);
  a[0].i = strcmp(text, "tanh") ? GELU_NONE : GELU_TANH;
  return LRP_OK;
}

static lrp_status gelu_is_tanh(const lrp_host *h, lrp_ctx *ctx, const lrp_node *const *nodes, lrp_value *a)
{
  (void)h, (void)ctx, (void)nodes;
  a[0].i = GELU_TANH;
  return LRP_OK;
}

/*   x -> Div sqrt 2 -> Erf -> Add 1 -> p                      x, p, 1/2 -> Mul -> Mul -> y, in their orders
 *   x -> Pow 3 -> Mul 0.044715 -> c    x, c -> Add -> Mul sqrt(2/pi) -> Tanh -> Add 1 -> p    the same with tanh */
#define PLUS_ERF_DIV "Add{Erf(Div(x, 1.41421356)), 1}"
#define PLUS_ERF_MUL "Add{Erf(Mul{x, 0.70710678}), 1}"
#define PLUS_TANH_POW "Add{Tanh(Mul{Add{x, Mul{Pow(x, 3), 0.044715}}, 0.79788456}), 1}"
#define PLUS_TANH_MUL "Add{Tanh(Mul{Add{x, Mul{Mul{Mul{x, x}, x}, 0.044715}}, 0.79788456}), 1}"
#define PLUS_TANH_FAST "Add{Tanh(Mul{Mul{x, 0.79788456}, Add{Mul{Mul{x, 0.044715}, x}, 1}}), 1}"
#define THREE_ORDERS(PLUS, ARGS)                                                                              \
  {.form = "Mul{Mul{x, " PLUS "}, 0.5}", .args = ARGS}, {.form = "Mul{x, Mul{" PLUS ", 0.5}}", .args = ARGS}, \
      {.form = "Mul{Mul{x, 0.5}, " PLUS "}", .args = ARGS}
static const lrp_pattern gelu_patterns[] = {THREE_ORDERS(PLUS_ERF_DIV, NULL),
                                            THREE_ORDERS(PLUS_ERF_MUL, NULL),
                                            THREE_ORDERS(PLUS_TANH_POW, gelu_is_tanh),
                                            THREE_ORDERS(PLUS_TANH_MUL, gelu_is_tanh),
                                            THREE_ORDERS(PLUS_TANH_FAST, gelu_is_tanh),
                                            {0}};
UNARY_OPERATOR(gelu, "Gelu", 20, gelu_read)
UNARY_TYPE(gelu, "y = x P(Z < x), Z normal; or its approximation by tanh (Hendrycks & Gimpel 2016)", .args = gelu_args,
           .create = gelu_create, .destroy = free, .degree = unary_degree, .patterns = gelu_patterns)

/* ---- prelu: y = x, or slope x where x < 0; slope broadcasts to x ---- */

static const lrp_port prelu_params[] = {{.name = "slope", .role = LRP_PORT_BUFFER}, LRP_PORTS_END};

static lrp_status prelu_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const lrp_tensor *x = &call->in[0], *slope = &call->param[0];
  lrp_tensor y = *x;
  lrp_status st = unary_shape(h, ctx, call, x->flags & LRP_NONNEG);
  (void)inst;
  if (!st)
    st = strided_broadcast(h, ctx, "prelu", slope, &y);
  if (!st && !same_shape(x, &y))
    st = h->fail(ctx, LRP_E_SHAPE, "prelu: slope does not broadcast to the shape of x");
  return st;
}

static lrp_status prelu_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const lrp_real *x = lrp_reals(&call->in[0]), *slope = lrp_reals(&call->param[0]);
  lrp_real *y = lrp_reals(&call->out[0]);
  const strided w = strided_over(&call->out[0], &call->out[0], &call->param[0], NULL);
  const int64_t s = strided_last(&w, 1);
  (void)h, (void)ctx, (void)inst;
  if (!x) {
    tensor_zero(&call->out[0]);
    return LRP_OK;
  }
  STRIDED_FOR(&w, k, pieces,
  {
    int64_t at[STRIDED_TENSORS];
    const int64_t n = strided_piece(&w, STRIDED_PIECE, k, at);
    for (int64_t i = 0; i < n; i++) {
      const lrp_real v = x[at[0] + i];
      y[at[0] + i] = v > 0 ? v : v * slope[at[1] + i * s];
    }
  });
  return LRP_OK;
}

static lrp_status prelu_vjp(const lrp_host *h, lrp_ctx *ctx, const void *inst, const lrp_call *call,
                            const lrp_tensor *out_bar, lrp_tensor *in_bar)
{
  const lrp_real *x = lrp_reals(&call->in[0]), *slope = lrp_reals(&call->param[0]), *y_bar = lrp_reals(&out_bar[0]);
  lrp_real *x_bar = lrp_reals(&in_bar[0]);
  const strided w = strided_over(&call->in[0], &call->in[0], &call->param[0], NULL);
  const int64_t s = strided_last(&w, 1);
  (void)h, (void)ctx, (void)inst;
  if (!y_bar)
    tensor_zero(&in_bar[0]);
  if (!x_bar || !y_bar)
    return LRP_OK;
  STRIDED_FOR(&w, k, pieces,
  {
    int64_t at[STRIDED_TENSORS];
    const int64_t n = strided_piece(&w, STRIDED_PIECE, k, at);
    for (int64_t i = at[0]; i < at[0] + n; i++)
      x_bar[i] = x && x[i] > 0 ? y_bar[i] : y_bar[i] * slope[at[1] + (i - at[0]) * s];
  });
  return LRP_OK;
}

static const lrp_operator prelu_operators[] = {{.domain = "", .name = "PRelu", .since = 7, .inputs = "x slope"}, {0}};
UNARY_TYPE(prelu, "y = x, or slope x where x < 0; slope broadcasts to x", .param = prelu_params, .degree = one)

static const lrp_layer_type *const layers[] = {&relu_type,       &sigmoid_type,    &tanh_type, &softplus_type,
                                               &softsign_type,   &hard_swish_type, &mish_type, &leaky_relu_type,
                                               &elu_type,        &celu_type,       &silu_type, &thresholded_relu_type,
                                               &selu_type,       &gelu_type,       &prelu_type, &hard_sigmoid_type,
                                               NULL};
LRP_PLUGIN(layer_activation, "activation", "1.0", "MIT", "activation functions", layers, NULL, NULL);
