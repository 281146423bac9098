/* lrn.c - layer "lrn" (ONNX LRN), local response normalisation (Krizhevsky et al. 2012, sec.
 * 3.3): y = x std, std = (bias + alpha / size * sum of x^2 over the neighbouring channels) ^
 * -beta; channels are the last axis. std can be frozen, as in the other normalisations: then y
 * is linear in x. */
#include "layer.h"
#include <math.h>
#include <stdlib.h>

enum { SIZE, ALPHA, BETA, BIAS };
typedef struct lrn {
  int64_t size;
  double alpha, beta, bias;
} lrn;

static const lrp_arg args[] = {{.name = "size",
                                .type = LRP_ARG_INT,
                                .def = 1,
                                .min = 1,
                                .max = 1 << 24,
                                .doc = "channels that are summed over"},
                               {.name = "alpha",
                                .type = LRP_ARG_REAL,
                                .def = 1e-4,
                                .max = 1e6,
                                .doc = "weight of the squares; the default is ONNX's"},
                               {.name = "beta",
                                .type = LRP_ARG_REAL,
                                .def = 0.75,
                                .max = 100,
                                .doc = "exponent; the default is ONNX's"},
                               {.name = "bias",
                                .type = LRP_ARG_REAL,
                                .def = 1,
                                .max = 1e6,
                                .flags = LRP_ARG_OPEN_MIN,
                                .doc = "added to the sum; the default is ONNX's"},
                               LRP_ARGS_END};
static const lrp_port ins[] = {{.name = "x", .role = LRP_PORT_DATA}, LRP_PORTS_END};
static const lrp_port outs[] = {{.name = "y", .role = LRP_PORT_DATA}, LRP_PORTS_END};
static const char *const freezable[] = {"std", NULL};

static lrp_status create(const lrp_host *h, lrp_ctx *ctx, const lrp_value *a, void **inst)
{
  lrn *m = malloc(sizeof *m);
  if (!m) return h->fail(ctx, LRP_E_NOMEM, "lrn: no memory for an instance");
  *m = (lrn){a[SIZE].i, a[ALPHA].real, a[BETA].real, a[BIAS].real};
  *inst = m;
  return LRP_OK;
}

static lrp_status infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const lrp_tensor *x = &call->in[0];
  const lrp_status st = need_reals(h, ctx, "lrn", x);
  (void)inst;
  if (st) return st;
  if (x->rank < 2)
    return h->fail(ctx, LRP_E_SHAPE,
                   "lrn: x has rank %d, 2 or more was expected (samples, channels)", x->rank);
  tensor_describe(&call->out[0], LRP_REAL, x->rank, x->shape);
  tensor_describe(&call->saved[0], LRP_REAL, x->rank, x->shape);
  call->out[0].flags = x->flags & LRP_NONNEG;
  call->saved[0].flags = LRP_NONNEG;
  return LRP_OK;
}

/* First and last neighbour of channel c: floor((size - 1) / 2) before it, the rest behind it. */
static int64_t first_of(const lrn *m, int64_t c)
{
  const int64_t at = c - (m->size - 1) / 2;
  return at > 0 ? at : 0;
}

static int64_t last_of(const lrn *m, int64_t c, int64_t channels)
{
  const int64_t at = c + m->size / 2;
  return at < channels ? at : channels - 1;
}

static double base_of(const lrn *m, const lrp_real *x, int64_t c, int64_t channels)
{
  double sum = 0;
  for (int64_t i = first_of(m, c), last = last_of(m, c, channels); x && i <= last; i++)
    sum += (double)x[i] * (double)x[i];
  return m->bias + m->alpha / (double)m->size * sum;
}

static lrp_status forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const lrn *m = inst;
  const int64_t n = call->in[0].shape[call->in[0].rank - 1],
                rows = n ? lrp_count(&call->in[0]) / n : 0;
  (void)h, (void)ctx;
  LRP_THREADS(rows * n > PARALLEL_MIN,
  for (int64_t r = 0; r < rows; r++) {
    const lrp_real *x = call->in[0].data ? lrp_reals(&call->in[0]) + r * n : NULL;
    lrp_real *y = lrp_reals(&call->out[0]) + r * n, *std = lrp_reals(&call->saved[0]) + r * n;
    for (int64_t c = 0; c < n; c++) {
      if (!(call->freeze & 1)) std[c] = (lrp_real)pow(base_of(m, x, c, n), -m->beta);
      y[c] = x ? x[c] * std[c] : 0;
    }
  });
  return LRP_OK;
}

/* x_bar_i = std_i y_bar_i - 2 alpha beta / size x_i * the sum over c that see i of y_bar_c x_c
 * std_c / base_c. */
static lrp_status vjp(const lrp_host *h, lrp_ctx *ctx, const void *inst, const lrp_call *call,
                      const lrp_tensor *out_bar, lrp_tensor *in_bar)
{
  const lrn *m = inst;
  const int64_t n = call->in[0].shape[call->in[0].rank - 1],
                rows = n ? lrp_count(&call->in[0]) / n : 0;
  const double slope = 2 * m->alpha * m->beta / (double)m->size;
  (void)h, (void)ctx;
  if (!in_bar[0].data || !out_bar[0].data) return LRP_OK;
  LRP_THREADS(rows * n > PARALLEL_MIN,
  for (int64_t r = 0; r < rows; r++) {
    const lrp_real *x = call->in[0].data ? lrp_reals(&call->in[0]) + r * n : NULL,
                   *bar = lrp_reals(&out_bar[0]) + r * n;
    const lrp_real *std = lrp_reals(&call->saved[0]) + r * n;
    lrp_real *to = lrp_reals(&in_bar[0]) + r * n;
    for (int64_t c = 0; c < n; c++)
      to[c] = std[c] * bar[c];
    for (int64_t c = 0; x && !(call->freeze & 1) && c < n; c++) {
      const double share =
          slope * (double)bar[c] * (double)x[c] * (double)std[c] / base_of(m, x, c, n);
      for (int64_t i = first_of(m, c), last = last_of(m, c, n); i <= last; i++)
        to[i] = (lrp_real)((double)to[i] - share * (double)x[i]);
    }
  });
  return LRP_OK;
}

static uint32_t degree(const void *inst, uint32_t freeze)
{
  (void)inst;
  return freeze & 1;
}

static lrp_status read_node(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)
{
  (void)ctx;
  a[SIZE].i = h->node_int(node, "size", 0);
  a[ALPHA].real = h->node_real(node, "alpha", 1e-4);
  a[BETA].real = h->node_real(node, "beta", 0.75);
  a[BIAS].real = h->node_real(node, "bias", 1);
  return LRP_OK;
}

static const lrp_operator operators[] = {
    {.domain = "", .name = "LRN", .since = 1, .inputs = "x", .args = read_node}, {0}};
static const lrp_layer_type lrn_type = {
    .struct_size = sizeof lrn_type,
    .kind = LRP_KIND_NORM,
    .layout = LRP_LAYOUT_IMAGE,
    .n_saved = 1,
    .name = "lrn",
    .doc = "y = x (bias + alpha / size * sum of x^2 over neighbouring channels) ^ -beta",
    .args = args,
    .in = ins,
    .out = outs,
    .freezable = freezable,
    .operators = operators,
    .create = create,
    .destroy = free,
    .infer = infer,
    .forward = forward,
    .vjp = vjp,
    .degree = degree};
static const lrp_layer_type *const layers[] = {&lrn_type, NULL};
LRP_PLUGIN(layer_lrn, "lrn", "1.0", "MIT", "local response normalisation", layers, NULL, NULL);
