/* wrong_vjp.c - a layer whose vjp forgot the factor 2 and whose degree is not 1. */
#include "lrp/plugin.h"
#include <string.h>

static const lrp_arg args[] = {
    {.name = "factor",
     .type = LRP_ARG_REAL,
     .def = 1.5,
     .min = -10,
     .max = 10,
     .doc = "The constant a, without unit; the default is of this test."},
    LRP_ARGS_END};
static const lrp_port in[] = {{.name = "x", .role = LRP_PORT_DATA}, LRP_PORTS_END};
static const lrp_port out[] = {{.name = "y", .role = LRP_PORT_DATA}, LRP_PORTS_END};

static lrp_status create(const lrp_host *host, lrp_ctx *ctx, const lrp_value *v, void **inst)
{
  (void)host, (void)ctx;
  *inst = (void *)(uintptr_t)v; /* the host keeps the arguments as long as the instance */
  return LRP_OK;
}

static lrp_status infer(const lrp_host *host, lrp_ctx *ctx, const void *inst, lrp_call *c)
{
  (void)inst;
  if (c->in[0].rank < 1)
    return host->fail(ctx, LRP_E_SHAPE, "wrong_vjp: x has no axis; at least one was expected");
  c->out[0].dtype = LRP_REAL;
  c->out[0].rank = c->in[0].rank;
  memcpy(c->out[0].shape, c->in[0].shape, sizeof c->out[0].shape);
  c->out[0].flags = LRP_NONNEG;
  return LRP_OK;
}

static lrp_status forward(const lrp_host *host, lrp_ctx *ctx, const void *inst, lrp_call *c)
{
  (void)host, (void)ctx;
  const lrp_real a = (lrp_real)((const lrp_value *)inst)[0].real;
  const lrp_real *x = lrp_reals(&c->in[0]);
  lrp_real *y = lrp_reals(&c->out[0]);
  for (int64_t i = 0; i < lrp_count(&c->out[0]); i++)
    y[i] = a * a * x[i] * x[i];
  return LRP_OK;
}

static lrp_status vjp(const lrp_host *host, lrp_ctx *ctx, const void *inst, const lrp_call *c,
                      const lrp_tensor *y_bar, lrp_tensor *x_bar)
{
  (void)host, (void)ctx;
  const lrp_real a = (lrp_real)((const lrp_value *)inst)[0].real;
  const lrp_real *x = lrp_reals(&c->in[0]), *s = lrp_reals(&y_bar[0]);
  lrp_real *r = lrp_reals(&x_bar[0]);
  for (int64_t i = 0; r && s && i < lrp_count(&c->in[0]); i++)
    r[i] = 1 * a * a * x[i] * s[i];
  return LRP_OK;
}

static uint32_t degree(const void *inst, uint32_t freeze)
{
  (void)inst, (void)freeze;
  return 1;
}

static const lrp_layer_type layer = {.struct_size = sizeof(lrp_layer_type),
                                     .kind = LRP_KIND_ELEMENTWISE,
                                     .layout = LRP_LAYOUT_ANY,
                                     .name = "wrong_vjp",
                                     .doc = "y = (a x)^2",
                                     .args = args,
                                     .in = in,
                                     .out = out,
                                     .create = create,
                                     .infer = infer,
                                     .forward = forward,
                                     .vjp = vjp,
                                     .degree = degree};
static const lrp_layer_type *const layers[] = {&layer, NULL};
LRP_PLUGIN(wrong_vjp, "wrong_vjp", "0.9", "MIT", "A layer out of tree.", layers, NULL, NULL);
