/* arithmetic.c - layers "power", x to an exponent that is an array or depends on the input, and "modulo", the remainder of
 * x, both element by element and broadcast as in numpy.  The exponent and the divisor get no relevance. */
#include "strided.h"
#include <math.h>
#include <stdlib.h>

enum { X, BY };
typedef struct arithmetic {
  int fmod;
} arithmetic;

static const lrp_port power_in[] = {
    {.name = "x", .role = LRP_PORT_DATA},
    {.name = "exponent", .role = LRP_PORT_SIDE, .dtype = LRP_ANY_DTYPE},
    LRP_PORTS_END};
static const lrp_port modulo_in[] = {{.name = "x", .role = LRP_PORT_DATA},
                                     {.name = "divisor", .role = LRP_PORT_SIDE},
                                     LRP_PORTS_END};
static const lrp_port outs[] = {{.name = "y", .role = LRP_PORT_DATA}, LRP_PORTS_END};
static const lrp_arg modulo_args[] = {
    {.name = "fmod", .type = LRP_ARG_BOOL, .doc = "y has the sign of x, else that of the divisor"},
    LRP_ARGS_END};

static lrp_status create(const lrp_host *h, lrp_ctx *ctx, const lrp_value *a, void **inst)
{
  arithmetic *p = malloc(sizeof *p);
  if (!p) return h->fail(ctx, LRP_E_NOMEM, "modulo: no memory for an instance");
  p->fmod = a[0].i != 0;
  *inst = p;
  return LRP_OK;
}

static lrp_status infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const lrp_tensor *x = &call->in[X];
  (void)inst;
  const lrp_status st = need_reals(h, ctx, "a power or a remainder", x);
  if (st) return st;
  tensor_describe(&call->out[0], LRP_REAL, x->rank, x->shape);
  return strided_broadcast(h, ctx, "a power or a remainder", &call->in[BY], &call->out[0]);
}

static lrp_status power_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const lrp_status st = infer(h, ctx, inst, call);
  call->out[0].flags = call->in[X].flags & LRP_NONNEG;
  return st;
}

/* numpy's remainder: x - floor(x/d) d. */
static double remainder_of(int c_form, double x, double d)
{
  const double r = fmod(x, d);
  return !c_form && r != 0 && (r < 0) != (d < 0) ? r + d : r; /* exactly */
}

enum { POWER, POWER_SLOPE, NUMPY_MOD, C_MOD };
static double value(int what, double x, double by)
{
  switch (what) {
  case POWER:
    return pow(x, by);
  case POWER_SLOPE:
    return by == 0 ? 0 : by * pow(x, by - 1); /* exactly */
  default:
    return remainder_of(what == C_MOD, x, by);
  }
}

/* y = value(x, by), times bar where it is given and not 0; y is dense in the shape of the output. */
static void each(int what, const lrp_call *call, const lrp_real *bar, lrp_real *y)
{
  const lrp_tensor *x = &call->in[X], *by = &call->in[BY];
  const strided w = strided_over(&call->out[0], NULL, x, by);
  const int64_t sx = strided_last(&w, 1), sb = strided_last(&w, 2);
  STRIDED_FOR(&w, k, pieces,
  {
    int64_t at[STRIDED_TENSORS];
    const int64_t n = strided_piece(&w, STRIDED_PIECE, k, at),
                  to = strided_flat(&w, STRIDED_PIECE, k);
    for (int64_t i = 0; i < n; i++) {
      const int64_t ib = at[2] + i * sb;
      const double v = x->data ? (double)lrp_reals(x)[at[1] + i * sx] : 0;
      const double b = !by->data                ? 0
                       : by->dtype == LRP_INDEX ? (double)lrp_indices(by)[ib]
                                                : (double)lrp_reals(by)[ib];
      const double r = bar ? (double)bar[to + i] : 1;
      y[to + i] = r == 0 ? 0 : (lrp_real)(r * value(what, v, b)); /* exactly */
    }
  });
}

static lrp_status power_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  (void)h, (void)ctx, (void)inst;
  each(POWER, call, NULL, lrp_reals(&call->out[0]));
  return LRP_OK;
}

static lrp_status modulo_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  (void)h, (void)ctx;
  each(((const arithmetic *)inst)->fmod ? C_MOD : NUMPY_MOD, call, NULL, lrp_reals(&call->out[0]));
  return LRP_OK;
}

static void pull(const lrp_call *call, const lrp_real *t, const lrp_tensor *x_bar)
{
  const strided w = strided_over(&call->out[0], x_bar, &call->out[0], NULL);
  strided_sum(&w, 1, t, lrp_reals(x_bar));
}

static lrp_status power_vjp(const lrp_host *h, lrp_ctx *ctx, const void *inst, const lrp_call *call,
                            const lrp_tensor *out_bar, lrp_tensor *in_bar)
{
  lrp_tensor t;
  (void)inst;
  if (!out_bar[0].data || !in_bar[X].data) return LRP_OK;
  const lrp_status st = h->scratch(ctx, &out_bar[0], &t);
  if (st) return st;
  each(POWER_SLOPE, call, lrp_reals(&out_bar[0]), lrp_reals(&t));
  pull(call, lrp_reals(&t), &in_bar[X]);
  return LRP_OK;
}

/* Between its jumps, a remainder grows as x does. */
static lrp_status modulo_vjp(const lrp_host *h, lrp_ctx *ctx, const void *inst,
                             const lrp_call *call, const lrp_tensor *out_bar, lrp_tensor *in_bar)
{
  (void)h, (void)ctx, (void)inst;
  if (out_bar[0].data && in_bar[X].data) pull(call, lrp_reals(&out_bar[0]), &in_bar[X]);
  return LRP_OK;
}

static uint32_t no_degree(const void *inst, uint32_t freeze)
{
  (void)inst, (void)freeze;
  return 0;
}

static lrp_status modulo_read(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)
{
  (void)ctx;
  a[0].i = h->node_int(node, "fmod", 0) != 0;
  return LRP_OK;
}

static const lrp_operator power_operators[] = {
    {.domain = "", .name = "Pow", .since = 7, .inputs = "x exponent"}, {0}};
static const lrp_operator modulo_operators[] = {
    {.domain = "", .name = "Mod", .since = 10, .inputs = "x divisor", .args = modulo_read}, {0}};
static const lrp_layer_type power_type = {.struct_size = sizeof power_type,
                                          .kind = LRP_KIND_ELEMENTWISE,
                                          .layout = LRP_LAYOUT_ANY,
                                          .name = "power",
                                          .doc = "y = x^exponent, element by element",
                                          .in = power_in,
                                          .out = outs,
                                          .operators = power_operators,
                                          .infer = power_infer,
                                          .forward = power_forward,
                                          .vjp = power_vjp,
                                          .degree = no_degree};
static const lrp_layer_type modulo_type = {.struct_size = sizeof modulo_type,
                                           .kind = LRP_KIND_OTHER,
                                           .layout = LRP_LAYOUT_ANY,
                                           .name = "modulo",
                                           .doc = "y = the remainder of x",
                                           .args = modulo_args,
                                           .in = modulo_in,
                                           .out = outs,
                                           .operators = modulo_operators,
                                           .create = create,
                                           .destroy = free,
                                           .infer = infer,
                                           .forward = modulo_forward,
                                           .vjp = modulo_vjp,
                                           .degree = no_degree};
static const lrp_layer_type *const layers[] = {&power_type, &modulo_type, NULL};
LRP_PLUGIN(layer_arithmetic, "arithmetic", "1.0", "MIT", "powers and remainders", layers, NULL,
           NULL);
