/* shapeinfo.c - layers that make tensors out of shapes and numbers, for the arithmetic on shapes that exporters write:
 * "shape", "size", "constant_of_shape", "range", "eye_like", "convert" and "cast_like" between element types.  Only reals
 * that stay reals pass relevance. */
#include "rearrange.h"
#include <math.h>
#include <stdlib.h>

static const lrp_port side_in[] = {{.name = "x", .role = LRP_PORT_SIDE, .dtype = LRP_ANY_DTYPE}, LRP_PORTS_END};
static const lrp_port shape_in[] = {
    {.name = "x", .role = LRP_PORT_SIDE, .dtype = LRP_ANY_DTYPE, .flags = LRP_PORT_SHAPE}, LRP_PORTS_END};
static const lrp_port no_in[] = {LRP_PORTS_END};
static const lrp_port index_out[] = {{.name = "y", .role = LRP_PORT_SIDE, .dtype = LRP_INDEX}, LRP_PORTS_END};
static const lrp_port side_out[] = {{.name = "y", .role = LRP_PORT_SIDE, .dtype = LRP_ANY_DTYPE}, LRP_PORTS_END};

/* Arguments: two numbers, a list, a real. */
typedef struct recipe {
  int64_t first, last;
  lrp_value list;
  double real;
} recipe;

static lrp_status recipe_new(const lrp_host *h, lrp_ctx *ctx, recipe r, void **inst)
{
  recipe *p = malloc(sizeof *p);
  if (!p)
    return h->fail(ctx, LRP_E_NOMEM, "a tensor of shapes: no memory for an instance");
  *p = r;
  *inst = p;
  return LRP_OK;
}

/* ---- shape, size ---- */

static const lrp_arg shape_args[] = {
    {.name = "start", .type = LRP_ARG_INT, .doc = "first axis; negative: from the end; ONNX, opset 15"},
    {.name = "end", .type = LRP_ARG_INT, .def = 64, .doc = "axis behind the last; the default is above any rank"},
    LRP_ARGS_END};

static lrp_status shape_create(const lrp_host *h, lrp_ctx *ctx, const lrp_value *a, void **inst)
{
  return recipe_new(h, ctx, (recipe){.first = a[0].i, .last = a[1].i}, inst);
}

static int64_t clamp_axis(int64_t a, int32_t rank)
{
  a += a < 0 ? rank : 0;
  return a < 0 ? 0 : a > rank ? rank : a;
}

static lrp_status shape_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const recipe *r = inst;
  const int32_t rank = call->in[0].rank;
  const int64_t n = clamp_axis(r->last, rank) - clamp_axis(r->first, rank), shape[1] = {n > 0 ? n : 0};
  (void)h, (void)ctx;
  tensor_describe(&call->out[0], LRP_INDEX, 1, shape);
  return LRP_OK;
}

static lrp_status shape_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const int64_t first = clamp_axis(((const recipe *)inst)->first, call->in[0].rank);
  (void)h, (void)ctx;
  for (int64_t i = 0; i < call->out[0].shape[0]; i++)
    lrp_indices(&call->out[0])[i] = call->in[0].shape[first + i];
  return LRP_OK;
}

static lrp_status shape_read(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)
{
  (void)ctx;
  a[0].i = h->node_int(node, "start", 0);
  a[1].i = h->node_int(node, "end", a[1].i);
  return LRP_OK;
}

static lrp_status size_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  (void)h, (void)ctx, (void)inst;
  tensor_describe(&call->out[0], LRP_INDEX, 0, NULL);
  return LRP_OK;
}

static lrp_status size_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  (void)h, (void)ctx, (void)inst;
  lrp_indices(&call->out[0])[0] = lrp_count(&call->in[0]);
  return LRP_OK;
}

/* ---- constant_of_shape ---- */

static const lrp_arg constant_of_shape_args[] = {
    {.name = "shape", .type = LRP_ARG_INTS, .max = 1e15, .doc = "shape of y; empty: a single number"},
    {.name = "value", .type = LRP_ARG_REAL, .doc = "the number, where y is real"},
    {.name = "integer", .type = LRP_ARG_INT, .doc = "the number, where y holds integers"},
    {.name = "index", .type = LRP_ARG_BOOL, .doc = "y holds integers"},
    LRP_ARGS_END};

static lrp_status constant_of_shape_create(const lrp_host *h, lrp_ctx *ctx, const lrp_value *a, void **inst)
{
  return recipe_new(h, ctx, (recipe){.list = a[0], .real = a[1].real, .first = a[2].i, .last = a[3].i}, inst);
}

static lrp_status constant_of_shape_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const recipe *r = inst;
  if (r->list.ints.n > LRP_MAX_RANK)
    return h->fail(ctx, LRP_E_SHAPE, "constant_of_shape: rank %lld, at most %d is possible", (long long)r->list.ints.n,
                   LRP_MAX_RANK);
  tensor_describe(&call->out[0], r->last ? LRP_INDEX : LRP_REAL, (int32_t)r->list.ints.n, r->list.ints.v);
  if (!r->last && r->real >= 0)
    call->out[0].flags = LRP_NONNEG;
  return LRP_OK;
}

static lrp_status constant_of_shape_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const recipe *r = inst;
  (void)h, (void)ctx;
  for (int64_t i = 0, n = lrp_count(&call->out[0]); i < n; i++)
    if (r->last)
      lrp_indices(&call->out[0])[i] = r->first;
    else
      lrp_reals(&call->out[0])[i] = (lrp_real)r->real;
  return LRP_OK;
}

static lrp_status constant_of_shape_read(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)
{
  int given;
  const lrp_status st = read_list(h, ctx, node, NULL, 0, &a[0], &given);
  const lrp_tensor *value = h->node_tensor(ctx, node, "value");
  if (st || !given)
    return st ? st : h->fail(ctx, LRP_E_INPUT, "constant_of_shape has no shape");
  if (h->node_has(node, "value") && (!value || lrp_count(value) != 1))
    return h->fail(ctx, LRP_E_INPUT, "constant_of_shape: value is not one number");
  a[3].i = value && value->dtype == LRP_INDEX;
  if (a[3].i)
    a[2].i = lrp_indices(value)[0];
  else if (value)
    a[1].real = (double)lrp_reals(value)[0];
  return LRP_OK;
}

/* ---- range: start, start + delta, ... before limit ---- */

enum { START, LIMIT, DELTA };
static const lrp_port range_in[] = {{.name = "start", .role = LRP_PORT_SIDE, .dtype = LRP_ANY_DTYPE},
                                    {.name = "limit", .role = LRP_PORT_SIDE, .dtype = LRP_ANY_DTYPE},
                                    {.name = "delta", .role = LRP_PORT_SIDE, .dtype = LRP_ANY_DTYPE},
                                    LRP_PORTS_END};

/* max(0, ceil((limit - start) / delta)); -1: delta is 0 or the range is too long. */
static int64_t range_count(const lrp_tensor *in)
{
  const int whole = in[START].dtype == LRP_INDEX;
  double v[3];
  for (int i = START; i <= DELTA; i++)
    v[i] = whole ? (double)lrp_indices(&in[i])[0] : (double)lrp_reals(&in[i])[0];
  const double n = ceil((v[LIMIT] - v[START]) / v[DELTA]);
  return !(n <= 1e15) ? -1 : n > 0 ? (int64_t)n : 0;
}

static lrp_status range_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  (void)inst;
  for (int i = START; i <= DELTA; i++) {
    if (lrp_count(&call->in[i]) != 1 || call->in[i].dtype != call->in[START].dtype)
      return h->fail(ctx, LRP_E_SHAPE, "range: %s has %lld elements or another type; one number was expected",
                     range_in[i].name, (long long)lrp_count(&call->in[i]));
    if (!call->in[i].data)
      return h->fail(ctx, LRP_E_UNSUPPORTED, "range: %s depends on the model's input; a constant was expected",
                     range_in[i].name);
  }
  const int64_t shape[1] = {range_count(call->in)};
  if (shape[0] < 0)
    return h->fail(ctx, LRP_E_INPUT, "range: delta is 0, or there are too many numbers");
  tensor_describe(&call->out[0], call->in[START].dtype, 1, shape);
  return LRP_OK;
}

static lrp_status range_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const lrp_tensor *in = call->in, *y = &call->out[0];
  (void)h, (void)ctx, (void)inst;
  for (int64_t i = 0; i < y->shape[0]; i++)
    if (y->dtype == LRP_INDEX)
      lrp_indices(y)[i] = lrp_indices(&in[START])[0] + i * lrp_indices(&in[DELTA])[0];
    else
      lrp_reals(y)[i] =
          (lrp_real)((double)lrp_reals(&in[START])[0] + (double)i * (double)lrp_reals(&in[DELTA])[0]);
  return LRP_OK;
}

/* ---- convert: integers to reals, and anything to integers ---- */

enum { REAL, BOOL, INT8, INT16, INT32, INT64, UINT8, UINT16, UINT32, UINT64 };
static const lrp_arg convert_args[] = {{.name = "to",
                                        .type = LRP_ARG_CHOICE,
                                        .choices = "real|bool|int8|int16|int32|int64|uint8|uint16|uint32|uint64",
                                        .doc = "type of y; integers are cut to its width"},
                                       LRP_ARGS_END};

static lrp_status convert_create(const lrp_host *h, lrp_ctx *ctx, const lrp_value *a, void **inst)
{
  return recipe_new(h, ctx, (recipe){.first = a[0].i}, inst);
}

static lrp_status convert_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const lrp_tensor *x = &call->in[0];
  const int real = ((const recipe *)inst)->first == REAL;
  (void)h, (void)ctx;
  tensor_describe(&call->out[0], real ? LRP_REAL : LRP_INDEX, x->rank, x->shape);
  if (real && x->dtype == LRP_REAL)
    call->out[0].flags = x->flags & LRP_NONNEG;
  return LRP_OK;
}

/* Towards zero; what no int64 can hold becomes the nearest that it can, NaN 0. */
static int64_t truncated(double v)
{
  return v >= 0x1p63 ? INT64_MAX : v < -0x1p63 ? INT64_MIN : v == v ? (int64_t)v : 0;
}

static int64_t cut_to(int64_t to, int64_t v)
{
  switch (to) {
  case BOOL:
    return v != 0;
  case INT8:
    return (int8_t)v;
  case INT16:
    return (int16_t)v;
  case INT32:
    return (int32_t)v;
  case UINT8:
    return (uint8_t)v;
  case UINT16:
    return (uint16_t)v;
  case UINT32:
    return (uint32_t)v;
  default:
    return v;
  }
}

static lrp_status convert_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const lrp_tensor *x = &call->in[0], *y = &call->out[0];
  const int64_t to = ((const recipe *)inst)->first;
  (void)h, (void)ctx;
  for (int64_t i = 0, n = lrp_count(y); i < n; i++) {
    if (y->dtype == LRP_REAL)
      lrp_reals(y)[i] = x->dtype == LRP_REAL ? lrp_reals(x)[i] : (lrp_real)lrp_indices(x)[i];
    else if (x->dtype == LRP_INDEX)
      lrp_indices(y)[i] = cut_to(to, lrp_indices(x)[i]);
    else if (to == BOOL)
      lrp_indices(y)[i] = lrp_reals(x)[i] != 0; /* exactly */
    else
      lrp_indices(y)[i] = cut_to(to, truncated((double)lrp_reals(x)[i]));
  }
  return LRP_OK;
}

static lrp_status convert_read(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)
{
  static const int8_t known[] = {/* TensorProto.DataType of onnx.proto, 0 to 16 */
                                 -1,    REAL, UINT8, INT8, UINT16, INT16, INT32, INT64, -1,
                                 BOOL,  REAL, REAL,  UINT32, UINT64, -1,  -1,    REAL};
  const int64_t to = h->node_int(node, "to", 0);
  if (to < 0 || to >= (int64_t)sizeof known || known[to] < 0)
    return h->fail(ctx, LRP_E_UNSUPPORTED, "cast to element type %lld is not supported", (long long)to);
  a[0].i = known[to];
  return LRP_OK;
}

/* ---- cast_like: x in the element type of another tensor ---- */

static const lrp_port like_in[] = {
    {.name = "x", .role = LRP_PORT_DATA, .dtype = LRP_ANY_DTYPE},
    {.name = "like", .role = LRP_PORT_SIDE, .dtype = LRP_ANY_DTYPE, .flags = LRP_PORT_SHAPE},
    LRP_PORTS_END};
static const lrp_port like_out[] = {{.name = "y", .role = LRP_PORT_DATA, .dtype = LRP_ANY_DTYPE}, LRP_PORTS_END};

static lrp_status cast_like_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const lrp_tensor *x = &call->in[0];
  (void)inst;
  if (x->dtype == LRP_REAL && call->in[1].dtype == LRP_INDEX)
    return h->fail(ctx, LRP_E_UNSUPPORTED, "cast_like: reals become integers of a width that is not known here; write Cast");
  tensor_describe(&call->out[0], call->in[1].dtype, x->rank, x->shape);
  if (x->dtype == LRP_REAL)
    call->out[0].flags = x->flags & LRP_NONNEG;
  return LRP_OK;
}

static lrp_status cast_like_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const lrp_tensor *x = &call->in[0], *y = &call->out[0];
  (void)h, (void)ctx, (void)inst;
  for (int64_t i = 0, n = lrp_count(y); i < n; i++)
    if (y->dtype == LRP_INDEX)
      lrp_indices(y)[i] = x->data ? lrp_indices(x)[i] : 0;
    else if (x->dtype == LRP_REAL)
      lrp_reals(y)[i] = x->data ? lrp_reals(x)[i] : 0;
    else
      lrp_reals(y)[i] = x->data ? (lrp_real)lrp_indices(x)[i] : 0;
  return LRP_OK;
}

static lrp_status cast_like_vjp(const lrp_host *h, lrp_ctx *ctx, const void *inst, const lrp_call *call,
                                const lrp_tensor *out_bar, lrp_tensor *in_bar)
{
  (void)h, (void)ctx, (void)inst;
  if (out_bar[0].data && in_bar[0].data && call->in[0].dtype == LRP_REAL)
    memcpy(in_bar[0].data, out_bar[0].data, (size_t)lrp_count(&out_bar[0]) * sizeof(lrp_real));
  return LRP_OK;
}

/* ---- eye_like: ones on a diagonal of a matrix in the shape of x ---- */

static const lrp_arg eye_like_args[] = {
    {.name = "k", .type = LRP_ARG_INT, .doc = "how far the diagonal is moved to the right"},
    {.name = "index", .type = LRP_ARG_BOOL, .doc = "y holds integers"},
    LRP_ARGS_END};

static lrp_status eye_like_create(const lrp_host *h, lrp_ctx *ctx, const lrp_value *a, void **inst)
{
  return recipe_new(h, ctx, (recipe){.first = a[0].i, .last = a[1].i}, inst);
}

static lrp_status eye_like_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const recipe *r = inst;
  if (call->in[0].rank != 2)
    return h->fail(ctx, LRP_E_SHAPE, "eye_like: rank %d, a matrix was expected", call->in[0].rank);
  tensor_describe(&call->out[0], r->last ? LRP_INDEX : LRP_REAL, 2, call->in[0].shape);
  call->out[0].flags = r->last ? 0 : LRP_NONNEG;
  return LRP_OK;
}

static lrp_status eye_like_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const recipe *r = inst;
  const lrp_tensor *y = &call->out[0];
  (void)h, (void)ctx;
  for (int64_t i = 0, n = lrp_count(y); i < n; i++) {
    const int on = i % y->shape[1] - i / y->shape[1] == r->first;
    if (r->last)
      lrp_indices(y)[i] = on;
    else
      lrp_reals(y)[i] = (lrp_real)on;
  }
  return LRP_OK;
}

static lrp_status eye_like_read(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)
{
  enum { FLOAT = 1, FLOAT16 = 10, DOUBLE = 11, BFLOAT16 = 16 };
  const int64_t type = h->node_int(node, "dtype", FLOAT);
  (void)ctx;
  a[0].i = h->node_int(node, "k", 0);
  a[1].i = type != FLOAT && type != FLOAT16 && type != DOUBLE && type != BFLOAT16;
  return LRP_OK;
}

/* ---- descriptors ---- */

#define TYPE(NAME, ONNX, SINCE, INPUTS, READ, LAYOUT, IN, OUT, DOC, ...)                                      \
  static const lrp_operator NAME##_operators[] = {                                                            \
      {.domain = "", .name = ONNX, .since = SINCE, .inputs = INPUTS, .args = READ}, {0}};                     \
  static const lrp_layer_type NAME##_type = {.struct_size = sizeof NAME##_type,                               \
                                             .kind = LRP_KIND_OTHER,                                          \
                                             .layout = LAYOUT,                                                \
                                             .name = #NAME,                                                   \
                                             .doc = DOC,                                                      \
                                             .in = IN,                                                        \
                                             .out = OUT,                                                      \
                                             .operators = NAME##_operators,                                   \
                                             .infer = NAME##_infer,                                           \
                                             .forward = NAME##_forward,                                       \
                                             __VA_ARGS__};
#define RECIPE(NAME) .args = NAME##_args, .create = NAME##_create, .destroy = free
TYPE(shape, "Shape", 1, "x", shape_read, LRP_LAYOUT_MODEL, shape_in, index_out, "y = the shape of x, or a part of it",
     RECIPE(shape))
TYPE(size, "Size", 1, "x", NULL, LRP_LAYOUT_MODEL, shape_in, index_out, "y = the number of elements of x", .args = NULL)
TYPE(constant_of_shape, "ConstantOfShape", 9, "-", constant_of_shape_read, LRP_LAYOUT_MODEL, no_in, side_out,
     "y = one number in a given shape", RECIPE(constant_of_shape))
TYPE(range, "Range", 11, "start limit delta", NULL, LRP_LAYOUT_MODEL, range_in, side_out,
     "y = start, start + delta, ... before limit", .args = NULL)
TYPE(convert, "Cast", 6, "x", convert_read, LRP_LAYOUT_ANY, side_in, side_out,
     "y = x in another element type", RECIPE(convert))

TYPE(eye_like, "EyeLike", 9, "x", eye_like_read, LRP_LAYOUT_MODEL, shape_in, side_out, "y = ones on a diagonal, else zeros",
     RECIPE(eye_like))
static const lrp_operator cast_like_operators[] = {{.domain = "", .name = "CastLike", .since = 15}, {0}};
static const lrp_layer_type cast_like_type = {.struct_size = sizeof cast_like_type,
                                              .kind = LRP_KIND_RESHAPE,
                                              .layout = LRP_LAYOUT_MODEL,
                                              .name = "cast_like",
                                              .doc = "y = x in the element type of another tensor",
                                              .in = like_in,
                                              .out = like_out,
                                              .operators = cast_like_operators,
                                              .infer = cast_like_infer,
                                              .forward = cast_like_forward,
                                              .vjp = cast_like_vjp};

static const lrp_layer_type *const layers[] = {&shape_type,   &size_type,     &constant_of_shape_type, &range_type,
                                               &convert_type, &eye_like_type, &cast_like_type,         NULL};
LRP_PLUGIN(layer_shapeinfo, "shapeinfo", "1.0", "MIT", "tensors made of shapes and numbers", layers, NULL, NULL);
