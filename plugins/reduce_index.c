/* reduce_index.c - layer "reduce_index": sums, products and extremes of integers and truth values over axes.  Exporters
 * write them for shapes, lengths and masks; no relevance passes. */
#include "reduce.h"

enum { OP = 3 }; /* behind reduce.h's arguments */
enum { SUM, PROD, MAX, MIN, MEAN };
typedef struct whole {
  reduce r;
  int op;
} whole;

static const lrp_arg index_args[] = {
    {.name = "axes", .type = LRP_ARG_INTS, .doc = "axes to reduce over; empty: all"},
    {.name = "keepdims",
     .type = LRP_ARG_BOOL,
     .def = 1,
     .doc = "reduced axes stay, with size 1; the default is ONNX's"},
    {.name = "noop",
     .type = LRP_ARG_BOOL,
     .doc = "empty axes mean none; ONNX noop_with_empty_axes"},
    {.name = "op",
     .type = LRP_ARG_CHOICE,
     .choices = "sum|prod|max|min|mean",
     .doc = "mean cuts towards zero"},
    LRP_ARGS_END};
static const lrp_port index_in[] = {{.name = "x", .role = LRP_PORT_SIDE, .dtype = LRP_INDEX},
                                    LRP_PORTS_END};
static const lrp_port index_out[] = {{.name = "y", .role = LRP_PORT_SIDE, .dtype = LRP_INDEX},
                                     LRP_PORTS_END};

static lrp_status whole_create(const lrp_host *h, lrp_ctx *ctx, const lrp_value *a, void **inst)
{
  whole *w = malloc(sizeof *w);
  if (!w) return h->fail(ctx, LRP_E_NOMEM, "reduce_index: no memory for an instance");
  *w = (whole){{a[AXES], a[KEEPDIMS].i != 0, a[NOOP].i != 0}, (int)a[OP].i};
  *inst = w;
  return LRP_OK;
}

static lrp_status whole_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const whole *w = inst;
  if (call->in[0].dtype != LRP_INDEX)
    return h->fail(ctx, LRP_E_UNSUPPORTED,
                   "reduce_index: x holds real numbers, integers were expected");
  lrp_tensor as_real = call->in[0];
  as_real.dtype = LRP_REAL;
  as_real.data = NULL;
  lrp_call shapes = *call;
  shapes.in = &as_real;
  const lrp_status st =
      infer(h, ctx, "reduce_index", &w->r, w->op == SUM || w->op == PROD, &shapes);
  call->out[0].dtype = LRP_INDEX;
  call->out[0].flags = 0;
  return st;
}

static int64_t join(int op, int64_t a, int64_t v)
{
  switch (op) {
  case PROD:
    return (int64_t)((uint64_t)a * (uint64_t)v);
  case MAX:
    return v > a ? v : a;
  case MIN:
    return v < a ? v : a;
  default:
    return (int64_t)((uint64_t)a + (uint64_t)v);
  }
}

static lrp_status whole_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const whole *f = inst;
  const int64_t *x = lrp_indices(&call->in[0]), n = lrp_count(&call->out[0]),
                many = terms(&f->r, &call->in[0]);
  const strided w = walk(&f->r, &call->in[0]);
  strided keep, sum;
  (void)h, (void)ctx;
  strided_split(&w, &keep, &sum);
  const int64_t rows = strided_rows(&sum), inner = strided_inner(&sum), s = strided_last(&sum, 1);
  for (int64_t k = 0; k < n; k++) {
    int64_t start[STRIDED_TENSORS], at[STRIDED_TENSORS];
    strided_piece(&keep, 1, k, start);
    int64_t all = f->op == PROD ? 1 : f->op == MAX ? INT64_MIN : f->op == MIN ? INT64_MAX : 0;
    for (int64_t r = 0; inner && r < rows; r++) {
      strided_piece(&sum, inner, r, at);
      for (int64_t i = 0; i < inner; i++)
        all = join(f->op, all, x ? x[start[1] + at[1] + i * s] : 0);
    }
    lrp_indices(&call->out[0])[k] = f->op == MEAN ? all / many : all;
  }
  return LRP_OK;
}

#define READ(NAME, WHAT)                                                                           \
  static lrp_status NAME(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)      \
  {                                                                                                \
    a[OP].i = WHAT;                                                                                \
    return read_drop(h, ctx, node, a);                                                             \
  }
READ(read_sum, SUM)
READ(read_prod, PROD)
READ(read_max, MAX)
READ(read_min, MIN)
READ(read_mean, MEAN)

#define OPERATOR(NAME, READER)                                                                     \
  {                                                                                                \
    .domain = "", .name = NAME, .since = 1, .inputs = "x -", .args = READER                        \
  }
static const lrp_operator operators[] = {
    OPERATOR("ReduceSum", read_sum),   OPERATOR("ReduceProd", read_prod),
    OPERATOR("ReduceMax", read_max),   OPERATOR("ReduceMin", read_min),
    OPERATOR("ReduceMean", read_mean), {0}};
static const lrp_layer_type reduce_index_type = {
    .struct_size = sizeof reduce_index_type,
    .kind = LRP_KIND_OTHER,
    .layout = LRP_LAYOUT_MODEL,
    .name = "reduce_index",
    .doc = "y = a sum, product or extreme of integers over axes",
    .args = index_args,
    .in = index_in,
    .out = index_out,
    .operators = operators,
    .create = whole_create,
    .destroy = free,
    .infer = whole_infer,
    .forward = whole_forward};
static const lrp_layer_type *const layers[] = {&reduce_index_type, NULL};
LRP_PLUGIN(layer_reduce_index, "reduce_index", "1.0", "MIT", "integers reduced over axes", layers,
           NULL, NULL);
