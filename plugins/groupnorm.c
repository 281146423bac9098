/* groupnorm.c - layers "groupnorm" and "instancenorm" (ONNX GroupNormalization,
 * InstanceNormalization): each sample's channels are normalised in groups, over all positions;
 * an instance is a group of one channel (Wu & He 2018; Ulyanov et al. 2016).  y = (x - mean) std
 * scale + bias, std = 1 / sqrt(variance + epsilon); channels are the last axis.  With std frozen
 * it is affine in x, as in layernorm.c. */
#include "layer.h"
#include <math.h>
#include <stdlib.h>

enum { SCALE, BIAS, STD = 0, MEAN };
enum { EPSILON, GROUPS };
typedef struct norm {
  double epsilon;
  int64_t groups; /* 0: as many as channels */
} norm;
typedef struct box { /* samples, positions, groups, channels of a group */
  int64_t n, s, g, c;
} box;

#define EPSILON_ARG                                                                                \
  {                                                                                                \
    .name = "epsilon", .type = LRP_ARG_REAL, .def = 1e-5, .max = 1e6,                              \
    .doc = "added to the variance; the default is ONNX's"                                          \
  }
static const lrp_arg groupnorm_args[] = {EPSILON_ARG,
                                         {.name = "groups",
                                          .type = LRP_ARG_INT,
                                          .def = 1,
                                          .min = 1,
                                          .max = 1 << 24,
                                          .doc = "number of groups of channels"},
                                         LRP_ARGS_END};
static const lrp_arg instancenorm_args[] = {EPSILON_ARG, LRP_ARGS_END};
static const lrp_port ins[] = {{.name = "x", .role = LRP_PORT_DATA}, LRP_PORTS_END};
static const lrp_port params[] = {{.name = "scale", .role = LRP_PORT_WEIGHT},
                                  {.name = "bias", .role = LRP_PORT_BIAS},
                                  LRP_PORTS_END};
static const lrp_port outs[] = {{.name = "y", .role = LRP_PORT_DATA}, LRP_PORTS_END};
static const char *const freezable[] = {"std", "mean", NULL};

static lrp_status make(const lrp_host *h, lrp_ctx *ctx, double epsilon, int64_t groups, void **inst)
{
  norm *m = malloc(sizeof *m);
  if (!m) return h->fail(ctx, LRP_E_NOMEM, "groupnorm: no memory for an instance");
  *m = (norm){epsilon, groups};
  *inst = m;
  return LRP_OK;
}

static lrp_status groupnorm_create(const lrp_host *h, lrp_ctx *ctx, const lrp_value *a, void **inst)
{
  return make(h, ctx, a[EPSILON].real, a[GROUPS].i, inst);
}

static lrp_status instancenorm_create(const lrp_host *h, lrp_ctx *ctx, const lrp_value *a,
                                      void **inst)
{
  return make(h, ctx, a[EPSILON].real, 0, inst);
}

static box box_of(const norm *m, const lrp_tensor *x)
{
  const int64_t channels = x->shape[x->rank - 1];
  box b = {.n = x->shape[0], .s = 1, .g = m->groups ? m->groups : channels};
  b.c = b.g ? channels / b.g : 0;
  for (int32_t i = 1; i + 1 < x->rank; i++)
    b.s *= x->shape[i];
  return b;
}

static lrp_status infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const norm *m = inst;
  const lrp_tensor *x = &call->in[0];
  const lrp_status st = need_reals(h, ctx, "groupnorm", x);
  if (st) return st;
  if (x->rank < 2)
    return h->fail(ctx, LRP_E_SHAPE,
                   "groupnorm: x has rank %d, 2 or more was expected (samples, channels)", x->rank);
  const int64_t channels = x->shape[x->rank - 1];
  const box b = box_of(m, x);
  if (b.g * b.c != channels)
    return h->fail(ctx, LRP_E_SHAPE, "groupnorm: %lld channels do not divide into %lld groups",
                   (long long)channels, (long long)b.g);
  for (uint32_t i = SCALE; i <= BIAS; i++)
    if (call->param[i].rank != 1 ||
        (call->param[i].shape[0] != channels && call->param[i].shape[0] != b.g))
      return h->fail(ctx, LRP_E_SHAPE,
                     "groupnorm: %s must have one value for each of %lld channels or %lld groups",
                     params[i].name, (long long)channels, (long long)b.g);
  const int64_t each[] = {b.n, b.g};
  tensor_describe(&call->out[0], LRP_REAL, x->rank, x->shape);
  tensor_describe(&call->saved[STD], LRP_REAL, 2, each);
  tensor_describe(&call->saved[MEAN], LRP_REAL, 2, each);
  call->saved[STD].flags = LRP_NONNEG;
  return LRP_OK;
}

/* The parameter's value for channel i of group g; otherwise where it is absent. */
static double value_for(const lrp_tensor *p, const box *b, int64_t g, int64_t i, double otherwise)
{
  if (!p) return otherwise;
  return (double)lrp_reals(p)[p->shape[0] == b->g * b->c ? g * b->c + i : g];
}

/* Sum over a group of (x - centre)^power. */
static double sum_over(const box *b, const lrp_real *x, double centre, int square)
{
  double sum = 0;
  for (int64_t s = 0; s < b->s; s++)
    for (int64_t i = 0; i < b->c; i++) {
      const double d = (x ? (double)x[s * b->g * b->c + i] : 0) - centre;
      sum += square ? d * d : d;
    }
  return sum;
}

static lrp_status forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const norm *m = inst;
  const box b = box_of(m, &call->in[0]);
  const int64_t width = b.g * b.c;
  const double count = (double)(b.s * b.c);
  (void)h, (void)ctx;
  LRP_THREADS(b.n * b.s * width > PARALLEL_MIN,
  for (int64_t k = 0; k < b.n * b.g; k++) {
    const int64_t g = k % b.g, at = k / b.g * b.s * width + g * b.c;
    const lrp_real *x = call->in[0].data ? lrp_reals(&call->in[0]) + at : NULL;
    lrp_real *y = lrp_reals(&call->out[0]) + at;
    lrp_real *mean = lrp_reals(&call->saved[MEAN]) + k, *std = lrp_reals(&call->saved[STD]) + k;
    if (!(call->freeze >> MEAN & 1)) *mean = (lrp_real)(sum_over(&b, x, 0, 0) / count);
    if (!(call->freeze >> STD & 1))
      *std = (lrp_real)(1 / sqrt(sum_over(&b, x, (double)*mean, 1) / count + m->epsilon));
    for (int64_t s = 0; s < b.s; s++)
      for (int64_t i = 0; i < b.c; i++) {
        const double v = ((x ? (double)x[s * width + i] : 0) - (double)*mean) * (double)*std;
        y[s * width + i] = (lrp_real)(v * value_for(param_of(call, SCALE), &b, g, i, 1) +
                                      value_for(param_of(call, BIAS), &b, g, i, 0));
      }
  });
  return LRP_OK;
}

/* As in layernorm.c: x_bar = std (u - mean(u) - n mean(u n)), u = y_bar scale, n = (x - mean)
 * std. */
static lrp_status vjp(const lrp_host *h, lrp_ctx *ctx, const void *inst, const lrp_call *call,
                      const lrp_tensor *out_bar, lrp_tensor *in_bar)
{
  const box b = box_of(inst, &call->in[0]);
  const int64_t width = b.g * b.c;
  const double count = (double)(b.s * b.c);
  (void)h, (void)ctx;
  if (!in_bar[0].data || !out_bar[0].data) return LRP_OK;
  LRP_THREADS(b.n * b.s * width > PARALLEL_MIN,
  for (int64_t k = 0; k < b.n * b.g; k++) {
    const int64_t g = k % b.g, at = k / b.g * b.s * width + g * b.c;
    const lrp_real *x = call->in[0].data ? lrp_reals(&call->in[0]) + at : NULL,
                   *bar = lrp_reals(&out_bar[0]) + at;
    lrp_real *to = lrp_reals(&in_bar[0]) + at;
    const double mean = (double)lrp_reals(&call->saved[MEAN])[k],
                 std = (double)lrp_reals(&call->saved[STD])[k];
    double sum = 0, along = 0;
    for (int64_t s = 0; s < b.s; s++)
      for (int64_t i = 0; i < b.c; i++) {
        const double u = (double)bar[s * width + i] * value_for(param_of(call, SCALE), &b, g, i, 1);
        sum += u;
        along += u * ((x ? (double)x[s * width + i] : 0) - mean) * std;
      }
    sum = call->freeze >> MEAN & 1 ? 0 : sum / count;
    along = call->freeze >> STD & 1 ? 0 : along / count;
    for (int64_t s = 0; s < b.s; s++)
      for (int64_t i = 0; i < b.c; i++) {
        const double u = (double)bar[s * width + i] * value_for(param_of(call, SCALE), &b, g, i, 1);
        to[s * width + i] =
            (lrp_real)(std * (u - sum - ((x ? (double)x[s * width + i] : 0) - mean) * std * along));
      }
  });
  return LRP_OK;
}

static uint32_t degree(const void *inst, uint32_t freeze)
{
  (void)inst;
  return freeze == 1u << STD;
}

static lrp_status instancenorm_read(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node,
                                    lrp_value *a)
{
  (void)ctx;
  a[EPSILON].real = h->node_real(node, "epsilon", 1e-5);
  return LRP_OK;
}

static lrp_status groupnorm_read(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node,
                                 lrp_value *a)
{
  a[GROUPS].i = h->node_int(node, "num_groups", 0);
  return instancenorm_read(h, ctx, node, a);
}

static const lrp_operator groupnorm_operators[] = {{.domain = "",
                                                    .name = "GroupNormalization",
                                                    .since = 18,
                                                    .inputs = "x scale bias",
                                                    .args = groupnorm_read},
                                                   {0}};
static const lrp_operator instancenorm_operators[] = {{.domain = "",
                                                       .name = "InstanceNormalization",
                                                       .since = 6,
                                                       .inputs = "x scale bias",
                                                       .args = instancenorm_read},
                                                      {0}};
#define NORM(NAME, DOC)                                                                            \
  static const lrp_layer_type NAME##_type = {.struct_size = sizeof NAME##_type,                    \
                                             .kind = LRP_KIND_NORM,                                \
                                             .layout = LRP_LAYOUT_IMAGE,                           \
                                             .n_saved = 2,                                         \
                                             .name = #NAME,                                        \
                                             .doc = DOC,                                           \
                                             .args = NAME##_args,                                  \
                                             .in = ins,                                            \
                                             .param = params,                                      \
                                             .out = outs,                                          \
                                             .freezable = freezable,                               \
                                             .operators = NAME##_operators,                        \
                                             .create = NAME##_create,                              \
                                             .destroy = free,                                      \
                                             .infer = infer,                                       \
                                             .forward = forward,                                   \
                                             .vjp = vjp,                                           \
                                             .degree = degree};
NORM(groupnorm,
     "y = (x - mean) / sqrt(variance + epsilon) scale + bias, statistics of each group of channels")
NORM(instancenorm,
     "y = (x - mean) / sqrt(variance + epsilon) scale + bias, statistics of each channel")
static const lrp_layer_type *const layers[] = {&groupnorm_type, &instancenorm_type, NULL};
LRP_PLUGIN(layer_groupnorm, "groupnorm", "1.0", "MIT", "normalisation of channels within a sample",
           layers, NULL, NULL);
