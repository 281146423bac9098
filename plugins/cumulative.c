/* cumulative.c - layers "cumsum", running sums along an axis, and "trilu", a triangle of each matrix (ONNX Trilu). */
#include "rearrange.h"
#include <stdlib.h>

typedef struct form {
  int64_t a, b, c;
} form;

static lrp_status create(const lrp_host *h, lrp_ctx *ctx, form f, void **inst)
{
  form *p = malloc(sizeof *p);
  if (!p) return h->fail(ctx, LRP_E_NOMEM, "cumulative: no memory for an instance");
  *p = f;
  *inst = p;
  return LRP_OK;
}

/* One integer that is an input of the node. */
static lrp_status read_number(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, uint32_t i,
                              int64_t *out)
{
  const lrp_tensor *t = h->node_const(ctx, node, i);
  if (!t && h->node_rank(node, i) >= 0)
    return h->fail(ctx, LRP_E_UNSUPPORTED,
                   "input %u depends on the model's input; a constant was expected", i);
  if (t && (t->dtype != LRP_INDEX || lrp_count(t) != 1))
    return h->fail(ctx, LRP_E_INPUT, "input %u is not one integer", i);
  *out = t ? lrp_indices(t)[0] : *out;
  return LRP_OK;
}

/* ---- cumsum ---- */

static const lrp_arg cumsum_args[] = {
    {.name = "axis",
     .type = LRP_ARG_INT,
     .flags = LRP_ARG_AXIS,
     .doc = "axis along which sums run"},
    {.name = "exclusive", .type = LRP_ARG_BOOL, .doc = "an element is left out of its own sum"},
    {.name = "reverse", .type = LRP_ARG_BOOL, .doc = "sums run from the end"},
    LRP_ARGS_END};

static lrp_status cumsum_create(const lrp_host *h, lrp_ctx *ctx, const lrp_value *a, void **inst)
{
  return create(h, ctx, (form){a[0].i, a[1].i, a[2].i}, inst);
}

static lrp_status cumsum_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const lrp_tensor *x = &call->in[0];
  const int64_t axis = ((const form *)inst)->a;
  if (axis < -x->rank || axis >= x->rank)
    return h->fail(ctx, LRP_E_SHAPE, "cumsum: axis %lld is outside of a tensor of rank %d",
                   (long long)axis, x->rank);
  moved_describe(&call->out[0], x, x->rank, x->shape);
  return LRP_OK;
}

#define RUN(TYPE, SUM, FROM, TO)                                                                   \
  for (int64_t o = 0; o < outer; o++)                                                              \
    for (int64_t i = 0; i < inner; i++) {                                                          \
      SUM sum = 0;                                                                                 \
      for (int64_t k = 0; k < n; k++) {                                                            \
        const int64_t at = (o * n + (reverse ? n - 1 - k : k)) * inner + i;                        \
        if (f->b) ((TYPE *)(TO)->data)[at] = (TYPE)sum;                                            \
        sum += (SUM)((const TYPE *)(FROM)->data)[at];                                              \
        if (!f->b) ((TYPE *)(TO)->data)[at] = (TYPE)sum;                                           \
      }                                                                                            \
    }

static void run_sums(const form *f, int reverse, const lrp_tensor *x, const lrp_tensor *y)
{
  const int64_t axis = f->a + (f->a < 0 ? x->rank : 0), n = x->shape[axis];
  int64_t outer = 1, inner = 1;
  for (int32_t i = 0; i < x->rank; i++)
    if (i != axis) *(i < axis ? &outer : &inner) *= x->shape[i];
  if (x->dtype == LRP_REAL)
    RUN(lrp_real, double, x, y)
  else
    RUN(int64_t, uint64_t, x, y)
}

static lrp_status cumsum_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const form *f = inst;
  (void)h, (void)ctx;
  if (call->in[0].data)
    run_sums(f, f->c != 0, &call->in[0], &call->out[0]);
  else
    tensor_zero(&call->out[0]);
  return LRP_OK;
}

/* The transpose of a running sum runs the other way. */
static lrp_status cumsum_vjp(const lrp_host *h, lrp_ctx *ctx, const void *inst,
                             const lrp_call *call, const lrp_tensor *out_bar, lrp_tensor *in_bar)
{
  const form *f = inst;
  (void)h, (void)ctx, (void)call;
  if (out_bar[0].data && in_bar[0].data) run_sums(f, f->c == 0, &out_bar[0], &in_bar[0]);
  return LRP_OK;
}

static lrp_status cumsum_read(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)
{
  const lrp_status st = read_number(h, ctx, node, 1, &a[0].i);
  a[1].i = h->node_int(node, "exclusive", 0) != 0;
  a[2].i = h->node_int(node, "reverse", 0) != 0;
  return st ? st : check_axes(h, ctx, &a[0].i, 1, h->node_rank(node, 0));
}

/* ---- trilu ---- */

static const lrp_arg trilu_args[] = {
    {.name = "upper",
     .type = LRP_ARG_BOOL,
     .def = 1,
     .doc = "the triangle above the diagonal is kept, else the lower"},
    {.name = "k", .type = LRP_ARG_INT, .doc = "how far the diagonal is moved to the right"},
    LRP_ARGS_END};

static lrp_status trilu_create(const lrp_host *h, lrp_ctx *ctx, const lrp_value *a, void **inst)
{
  return create(h, ctx, (form){a[0].i, a[1].i, 0}, inst);
}

static lrp_status trilu_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const lrp_tensor *x = &call->in[0];
  (void)inst;
  if (x->rank < 2)
    return h->fail(ctx, LRP_E_SHAPE, "trilu: rank %d, at least 2 was expected", x->rank);
  moved_describe(&call->out[0], x, x->rank, x->shape);
  return LRP_OK;
}

/* Is element j of row i kept?  k may be any number. */
static int kept(const form *f, int64_t i, int64_t j)
{
  return f->a ? j - i >= f->b : j - i <= f->b;
}

static void cut_triangles(const form *f, const lrp_tensor *x, const lrp_tensor *y)
{
  const int64_t cols = x->shape[x->rank - 1], rows = x->shape[x->rank - 2], n = lrp_count(x);
  for (int64_t e = 0; e < n; e++) {
    const int keep = x->data && kept(f, e / cols % rows, e % cols);
    if (x->dtype == LRP_REAL)
      lrp_reals(y)[e] = keep ? lrp_reals(x)[e] : 0;
    else
      lrp_indices(y)[e] = keep ? lrp_indices(x)[e] : 0;
  }
}

static lrp_status trilu_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  (void)h, (void)ctx;
  cut_triangles(inst, &call->in[0], &call->out[0]);
  return LRP_OK;
}

static lrp_status trilu_vjp(const lrp_host *h, lrp_ctx *ctx, const void *inst, const lrp_call *call,
                            const lrp_tensor *out_bar, lrp_tensor *in_bar)
{
  (void)h, (void)ctx, (void)call;
  if (out_bar[0].data && in_bar[0].data) cut_triangles(inst, &out_bar[0], &in_bar[0]);
  return LRP_OK;
}

static lrp_status trilu_read(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)
{
  a[0].i = h->node_int(node, "upper", 1) != 0;
  return read_number(h, ctx, node, 1, &a[1].i);
}

/* ---- descriptors ---- */

#define TYPE(NAME, ONNX, SINCE, KIND, LAYOUT, DOC)                                                 \
  static const lrp_operator NAME##_operators[] = {                                                 \
      {.domain = "", .name = ONNX, .since = SINCE, .inputs = "x -", .args = NAME##_read}, {0}};    \
  static const lrp_layer_type NAME##_type = {.struct_size = sizeof NAME##_type,                    \
                                             .kind = KIND,                                         \
                                             .layout = LAYOUT,                                     \
                                             .name = #NAME,                                        \
                                             .doc = DOC,                                           \
                                             .args = NAME##_args,                                  \
                                             .in = any_in,                                         \
                                             .out = any_out,                                       \
                                             .operators = NAME##_operators,                        \
                                             .create = NAME##_create,                              \
                                             .destroy = free,                                      \
                                             .infer = NAME##_infer,                                \
                                             .forward = NAME##_forward,                            \
                                             .vjp = NAME##_vjp};
TYPE(cumsum, "CumSum", 11, LRP_KIND_POOL_SUM, LRP_LAYOUT_AXES,
     "y = running sums of x along an axis")
TYPE(trilu, "Trilu", 14, LRP_KIND_RESHAPE, LRP_LAYOUT_MODEL,
     "y = a triangle of each matrix of x, zeros elsewhere")

static const lrp_layer_type *const layers[] = {&cumsum_type, &trilu_type, NULL};
LRP_PLUGIN(layer_cumulative, "cumulative", "1.0", "MIT", "running sums and triangles", layers, NULL,
           NULL);
