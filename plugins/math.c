/* math.c - mathematical functions element by element: exp, log, sqrt, pow, erf, clip, rounding, ... (ONNX). */
#include "unary.h"
#include <math.h>

UNARY(exp, NONNEG, exp(v), exp(v))
UNARY(log, ANY, log(v), 1 / v)
UNARY(sqrt, SAME, sqrt(v), R(0.5) / sqrt(v))
UNARY(reciprocal, SAME, 1 / v, -1 / (v * v))
UNARY(abs, NONNEG, fabs(v), v > 0 ? 1 : v < 0 ? -1 : 0)
UNARY(neg, ANY, -v, -1)
UNARY(sin, ANY, sin(v), cos(v))
UNARY(cos, ANY, cos(v), -sin(v))
UNARY(erf, SAME, erf(v), R(1.12837916709551257390) * exp(-v * v)) /* 2/sqrt(pi) e^-x^2 */
UNARY(floor, SAME, floor(v), 0)
UNARY(ceil, SAME, ceil(v), 0)
UNARY(round, SAME, rint(v), 0) /* halves go to the even neighbour */
UNARY(sign, SAME, v > 0 ? 1 : v < 0 ? -1 : v, 0)

static uint32_t one(const void *inst, uint32_t freeze)
{
  (void)inst, (void)freeze;
  return 1;
}

UNARY_OPERATOR(exp, "Exp", 6, NULL)
UNARY_OPERATOR(log, "Log", 6, NULL)
UNARY_OPERATOR(sqrt, "Sqrt", 6, NULL)
UNARY_OPERATOR(reciprocal, "Reciprocal", 6, NULL)
UNARY_OPERATOR(abs, "Abs", 6, NULL)
UNARY_OPERATOR(neg, "Neg", 6, NULL)
UNARY_OPERATOR(sin, "Sin", 7, NULL)
UNARY_OPERATOR(cos, "Cos", 7, NULL)
UNARY_OPERATOR(erf, "Erf", 9, NULL)
UNARY_OPERATOR(floor, "Floor", 6, NULL)
UNARY_OPERATOR(ceil, "Ceil", 6, NULL)
UNARY_OPERATOR(round, "Round", 11, NULL)
UNARY_OPERATOR(sign, "Sign", 9, NULL)
UNARY_TYPE(exp, "y = e^x", .degree = unary_degree)
UNARY_TYPE(log, "y = log x", .degree = unary_degree)
UNARY_TYPE(sqrt, "y = sqrt x", .degree = unary_degree)
UNARY_TYPE(reciprocal, "y = 1 / x", .degree = unary_degree)
UNARY_TYPE(abs, "y = |x|", .degree = one)
UNARY_TYPE(neg, "y = -x", .degree = one)
UNARY_TYPE(sin, "y = sin x", .degree = unary_degree)
UNARY_TYPE(cos, "y = cos x", .degree = unary_degree)
UNARY_TYPE(erf, "y = 2/sqrt(pi) times the integral of e^-t^2 from 0 to x", .degree = unary_degree)
UNARY_TYPE(floor, "y = the largest whole number up to x; no relevance passes by gradient", .degree = unary_degree)
UNARY_TYPE(ceil, "y = the smallest whole number from x on; no relevance passes by gradient", .degree = unary_degree)
UNARY_TYPE(round, "y = the nearest whole number, halves to even; no relevance passes by gradient",
           .degree = unary_degree)
UNARY_TYPE(sign, "y = -1, 0 or 1; no relevance passes by gradient", .degree = unary_degree)

/* ---- pow: y = x^exponent, one constant exponent ---- */

UNARY_LOOPS(pow_any, pow(v, p[0]), p[0] * pow(v, p[0] - 1))
UNARY_LOOPS(pow_two, v * v, 2 * v)
UNARY_CREATE(pow, 1)

static const lrp_arg pow_args[] = {
    {.name = "exponent", .type = LRP_ARG_REAL, .def = 2, .doc = "the power; ONNX's second operand"}, LRP_ARGS_END};

static double exponent(const void *inst)
{
  return (double)((const unary *)inst)->p[0];
}

static int is_square(const void *inst)
{
  return exponent(inst) > 2 - 1e-12 && exponent(inst) < 2 + 1e-12;
}

static lrp_status pow_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const int even = fmod(exponent(inst), 2) == 0; /* exactly */
  return unary_shape(h, ctx, call, even ? LRP_NONNEG : call->in[0].flags & LRP_NONNEG);
}

static lrp_status pow_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  return (is_square(inst) ? pow_two_forward : pow_any_forward)(h, ctx, inst, call);
}

static lrp_status pow_vjp(const lrp_host *h, lrp_ctx *ctx, const void *inst, const lrp_call *call,
                          const lrp_tensor *out_bar, lrp_tensor *in_bar)
{
  if (exponent(inst) == 0) { /* exactly: x^0 is constant, and 0 * 0^-1 is no number */
    tensor_zero(&in_bar[0]);
    return LRP_OK;
  }
  return (is_square(inst) ? pow_two_vjp : pow_any_vjp)(h, ctx, inst, call, out_bar, in_bar);
}

/* x^n is homogeneous of degree n. */
static uint32_t pow_degree(const void *inst, uint32_t freeze)
{
  const double e = exponent(inst);
  (void)freeze;
  return e >= 1 && e <= 64 && fmod(e, 1) == 0 ? (uint32_t)e : 0;
}

static lrp_status pow_read(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)
{
  const lrp_tensor *e = h->node_const(ctx, node, 1);
  if (!e || lrp_count(e) != 1 || e->rank > h->node_rank(node, 0))
    return h->fail(ctx, LRP_E_UNSUPPORTED, "pow: one constant exponent was expected");
  a[0].real = e->dtype == LRP_INDEX ? (double)lrp_indices(e)[0] : (double)lrp_reals(e)[0];
  return LRP_OK;
}

static const lrp_operator pow_operators[] = {
    {.domain = "", .name = "Pow", .since = 7, .inputs = "x -", .args = pow_read}, {0}};
UNARY_TYPE(pow, "y = x^exponent, one constant exponent", .args = pow_args, .create = pow_create, .destroy = free,
           .degree = pow_degree)

/* ---- clip: y = min(max(x, min), max) ---- */

static inline lrp_real clipped(lrp_real v, const lrp_real *p)
{
  const lrp_real low = v < p[0] ? p[0] : v;
  return low > p[1] ? p[1] : low;
}
UNARY_LOOPS(clip, clipped(v, p), v > p[0] && v < p[1] ? 1 : 0)
UNARY_CREATE(clip, 2)

static const lrp_arg clip_args[] = {
    {.name = "min", .type = LRP_ARG_REAL, .def = -HUGE_VAL, .doc = "least value; the default is none"},
    {.name = "max", .type = LRP_ARG_REAL, .def = HUGE_VAL, .doc = "largest value; the default is none"},
    LRP_ARGS_END};

static lrp_status clip_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const lrp_real *p = ((const unary *)inst)->p;
  const int nonneg = p[1] >= 0 && (p[0] >= 0 || (call->in[0].flags & LRP_NONNEG));
  return unary_shape(h, ctx, call, nonneg ? LRP_NONNEG : 0);
}

/* A bound that opset 11 turned into an input. */
static lrp_status read_bound(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, uint32_t i, lrp_value *a)
{
  const lrp_tensor *b = h->node_const(ctx, node, i);
  if (!b && h->node_rank(node, i) >= 0)
    return h->fail(ctx, LRP_E_UNSUPPORTED, "clip: a bound that depends on the model's input is not supported");
  if (b && (lrp_count(b) != 1 || b->dtype != LRP_REAL))
    return h->fail(ctx, LRP_E_UNSUPPORTED, "clip: a bound must be one real number, input %u holds %lld elements", i,
                   (long long)lrp_count(b));
  if (b)
    a->real = (double)lrp_reals(b)[0];
  return LRP_OK;
}

static lrp_status clip_read(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)
{
  if (h->node_opset(node) < 11) {
    a[0].real = h->node_real(node, "min", a[0].real);
    a[1].real = h->node_real(node, "max", a[1].real);
    return LRP_OK;
  }
  const lrp_status st = read_bound(h, ctx, node, 1, &a[0]);
  return st ? st : read_bound(h, ctx, node, 2, &a[1]);
}

static const lrp_operator clip_operators[] = {
    {.domain = "", .name = "Clip", .since = 6, .inputs = "x - -", .args = clip_read}, {0}};
UNARY_TYPE(clip, "y = min(max(x, min), max)", .args = clip_args, .create = clip_create, .destroy = free,
           .degree = unary_degree)

static const lrp_layer_type *const layers[] = {
    &exp_type,   &log_type,  &sqrt_type,  &reciprocal_type, &abs_type, &neg_type,  &sin_type, &cos_type,
    &erf_type,   &pow_type,  &floor_type, &ceil_type,       &round_type, &sign_type, &clip_type, NULL};
LRP_PLUGIN(layer_math, "math", "1.0", "MIT", "mathematical functions, element by element", layers, NULL, NULL);
