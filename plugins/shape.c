/* shape.c - layers that give the same elements, in the same order, another shape: "reshape", "flatten", "squeeze",
 * "unsqueeze"; and those that do not even do that: "identity", "dropout", "cast". */
#include "rearrange.h"
#include <stdlib.h>

/* ---- the copy that all share ---- */

/* Arguments are one list and one number. */
typedef struct form {
  lrp_value list;
  int64_t number;
} form;

static lrp_status form_new(const lrp_host *h, lrp_ctx *ctx, lrp_value list, int64_t number, void **inst)
{
  form *f = malloc(sizeof *f);
  if (!f)
    return h->fail(ctx, LRP_E_NOMEM, "a change of shape: no memory for an instance");
  *f = (form){list, number};
  *inst = f;
  return LRP_OK;
}

/* ---- reshape ---- */

static const lrp_arg reshape_args[] = {
    {.name = "shape",
     .type = LRP_ARG_INTS,
     .doc = "new shape; one -1: what is left; 0: as in x, unless allowzero; empty: a single number"},
    {.name = "allowzero", .type = LRP_ARG_BOOL, .doc = "0 in the shape means 0 elements; ONNX, opset 14"},
    LRP_ARGS_END};

static lrp_status reshape_create(const lrp_host *h, lrp_ctx *ctx, const lrp_value *a, void **inst)
{
  return form_new(h, ctx, a[0], a[1].i, inst);
}

/* shape[] with 0 resolved; *rest: the axis of the -1, or -1; *known: product of the others. */
static lrp_status reshape_resolve(const lrp_host *h, lrp_ctx *ctx, const form *f, const lrp_tensor *x, int64_t *shape,
                                  int32_t *rest, int64_t *known)
{
  *rest = -1;
  *known = 1;
  if (f->list.ints.n > LRP_MAX_RANK)
    return h->fail(ctx, LRP_E_SHAPE, "reshape: rank %lld, at most %d is possible", (long long)f->list.ints.n,
                   LRP_MAX_RANK);
  for (int32_t i = 0; i < (int32_t)f->list.ints.n; i++) {
    const int64_t v = f->list.ints.v[i];
    shape[i] = v;
    if (v == 0 && !f->number) {
      if (i >= x->rank)
        return h->fail(ctx, LRP_E_SHAPE, "reshape: axis %d is to be copied, but x has rank %d", i, x->rank);
      shape[i] = x->shape[i];
    }
    if (v < -1 || (v == -1 && *rest >= 0))
      return h->fail(ctx, LRP_E_SHAPE, "reshape: axis %d is %lld; sizes from 0 on and one -1 were expected", i,
                     (long long)v);
    if (v == -1)
      *rest = i;
    else if (__builtin_mul_overflow(*known, shape[i], known))
      return h->fail(ctx, LRP_E_NOMEM, "reshape: the new shape has more elements than can be counted");
  }
  return LRP_OK;
}

static lrp_status reshape_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const form *f = inst;
  const lrp_tensor *x = &call->in[0];
  int64_t shape[LRP_MAX_RANK] = {0}, known;
  int32_t rest;
  const lrp_status st = reshape_resolve(h, ctx, f, x, shape, &rest, &known);
  if (st)
    return st;
  const int64_t n = lrp_count(x);
  if (rest >= 0 && known > 0 && n % known == 0) {
    shape[rest] = n / known;
    known = n;
  }
  if (n != known || (rest >= 0 && shape[rest] < 0))
    return h->fail(ctx, LRP_E_SHAPE, "reshape: x has %lld elements, the new shape has %lld%s", (long long)n,
                   (long long)known, rest >= 0 ? " times what is left" : "");
  moved_describe(&call->out[0], x, (int32_t)f->list.ints.n, shape);
  return LRP_OK;
}

static lrp_status reshape_read(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)
{
  int given;
  const lrp_status st = read_list(h, ctx, node, NULL, 1, &a[0], &given);
  a[1].i = h->node_int(node, "allowzero", 0) != 0;
  if (!st && !given)
    return h->fail(ctx, LRP_E_INPUT, "reshape has no new shape");
  return st;
}

/* ---- flatten: (d0,...,d[axis-1], d[axis],...) -> two axes ---- */

static const lrp_arg flatten_args[] = {
    {.name = "axis", .type = LRP_ARG_INT, .def = 1, .doc = "first axis of the second group; the default is ONNX's"},
    LRP_ARGS_END};

static lrp_status flatten_create(const lrp_host *h, lrp_ctx *ctx, const lrp_value *a, void **inst)
{
  return form_new(h, ctx, (lrp_value){.ints = {NULL, 0}}, a[0].i, inst);
}

static lrp_status flatten_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const lrp_tensor *x = &call->in[0];
  int64_t axis = ((const form *)inst)->number, shape[2] = {1, 1};
  if (axis < -x->rank || axis > x->rank)
    return h->fail(ctx, LRP_E_SHAPE, "flatten: axis %lld is outside of a tensor of rank %d", (long long)axis, x->rank);
  axis += axis < 0 ? x->rank : 0;
  for (int32_t i = 0; i < x->rank; i++)
    shape[i >= axis] *= x->shape[i];
  moved_describe(&call->out[0], x, 2, shape);
  return LRP_OK;
}

static lrp_status flatten_read(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)
{
  (void)ctx;
  a[0].i = h->node_int(node, "axis", 1);
  return LRP_OK;
}

/* ---- squeeze, unsqueeze: axes of size 1 go and come ---- */

static const lrp_arg squeeze_args[] = {
    {.name = "axes", .type = LRP_ARG_INTS, .doc = "axes of x to take away; empty: all of size 1"}, LRP_ARGS_END};
static const lrp_arg unsqueeze_args[] = {
    {.name = "axes", .type = LRP_ARG_INTS, .doc = "axes of y that are new, of size 1"}, LRP_ARGS_END};

static lrp_status axes_create(const lrp_host *h, lrp_ctx *ctx, const lrp_value *a, void **inst)
{
  return form_new(h, ctx, a[0], 0, inst);
}

static lrp_status squeeze_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const form *f = inst;
  const lrp_tensor *x = &call->in[0];
  int64_t shape[LRP_MAX_RANK];
  uint32_t bits;
  int32_t rank = 0;
  const lrp_status st = axis_bits(h, ctx, "squeeze", &f->list, x->rank, &bits);
  if (st)
    return st;
  for (int32_t i = 0; i < x->rank; i++) {
    if ((bits >> i & 1) && x->shape[i] != 1)
      return h->fail(ctx, LRP_E_SHAPE, "squeeze: axis %d has %lld elements, 1 was expected", i,
                     (long long)x->shape[i]);
    if (!(f->list.ints.n ? bits >> i & 1 : x->shape[i] == 1))
      shape[rank++] = x->shape[i];
  }
  moved_describe(&call->out[0], x, rank, shape);
  return LRP_OK;
}

static lrp_status unsqueeze_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const form *f = inst;
  const lrp_tensor *x = &call->in[0];
  int64_t shape[LRP_MAX_RANK];
  uint32_t bits;
  if (f->list.ints.n > LRP_MAX_RANK - x->rank)
    return h->fail(ctx, LRP_E_SHAPE, "unsqueeze: rank %d and %lld new axes, at most %d together are possible", x->rank,
                   (long long)f->list.ints.n, LRP_MAX_RANK);
  const int32_t rank = x->rank + (int32_t)f->list.ints.n;
  const lrp_status st = axis_bits(h, ctx, "unsqueeze", &f->list, rank, &bits);
  if (st)
    return st;
  for (int32_t i = 0, k = 0; i < rank; i++)
    shape[i] = bits >> i & 1 ? 1 : x->shape[k++];
  moved_describe(&call->out[0], x, rank, shape);
  return LRP_OK;
}

static lrp_status axes_read(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)
{
  int given;
  return read_list(h, ctx, node, "axes", 1, &a[0], &given);
}

/* ---- identity, dropout at inference, cast between floating types ---- */

static lrp_status identity_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  (void)h, (void)ctx, (void)inst;
  moved_describe(&call->out[0], &call->in[0], call->in[0].rank, call->in[0].shape);
  return LRP_OK;
}

static lrp_status cast_read(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)
{
  enum { FLOAT = 1, FLOAT16 = 10, DOUBLE = 11, BFLOAT16 = 16 }; /* TensorProto.DataType of onnx.proto */
  const int64_t to = h->node_int(node, "to", 0);
  (void)a;
  if (to == FLOAT || to == FLOAT16 || to == DOUBLE || to == BFLOAT16)
    return LRP_OK;
  return h->fail(ctx, LRP_E_UNSUPPORTED, "cast: takes floating types only");
}

static const lrp_arg dropout_args[] = {
    {.name = "mask", .type = LRP_ARG_BOOL, .doc = "give the second output too: all ones"}, LRP_ARGS_END};
static const lrp_port dropout_out[] = {{.name = "y", .role = LRP_PORT_DATA},
                                       {.name = "mask", .role = LRP_PORT_SIDE, .dtype = LRP_INDEX},
                                       LRP_PORTS_END};
static const lrp_port real_in[] = {{.name = "x", .role = LRP_PORT_DATA}, LRP_PORTS_END};
static const lrp_port real_out[] = {{.name = "y", .role = LRP_PORT_DATA}, LRP_PORTS_END};

static lrp_status dropout_create(const lrp_host *h, lrp_ctx *ctx, const lrp_value *a, void **inst)
{
  return form_new(h, ctx, (lrp_value){.ints = {NULL, 0}}, a[0].i, inst);
}

static lrp_status dropout_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const lrp_tensor *x = &call->in[0];
  if (!((const form *)inst)->number)
    call->n_out = 1;
  if (call->n_out > 1)
    tensor_describe(&call->out[1], LRP_INDEX, x->rank, x->shape);
  return identity_infer(h, ctx, inst, call);
}

static lrp_status dropout_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  int64_t *mask = call->n_out > 1 ? lrp_indices(&call->out[1]) : NULL;
  for (int64_t i = 0, n = lrp_count(&call->out[0]); mask && i < n; i++)
    mask[i] = 1;
  return copy_forward(h, ctx, inst, call);
}

static lrp_status dropout_read(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)
{
  const lrp_tensor *training = h->node_const(ctx, node, 2);
  if (training && training->dtype == LRP_INDEX && lrp_count(training) > 0 && lrp_indices(training)[0])
    return h->fail(ctx, LRP_E_UNSUPPORTED, "dropout in training mode; export the model for inference");
  a[0].i = h->node_n_out(node) > 1;
  return LRP_OK;
}

/* ---- descriptors ---- */

#define OPERATOR(NAME, ONNX, SINCE, INPUTS, READ)                                                             \
  static const lrp_operator NAME##_operators[] = {                                                            \
      {.domain = "", .name = ONNX, .since = SINCE, .inputs = INPUTS, .args = READ}, {0}};
OPERATOR(reshape, "Reshape", 5, "x -", reshape_read)
OPERATOR(flatten, "Flatten", 1, "x", flatten_read)
OPERATOR(squeeze, "Squeeze", 1, "x -", axes_read)
OPERATOR(unsqueeze, "Unsqueeze", 1, "x -", axes_read)
/* Two transpositions that cancel:  x -> Transpose -> Transpose -> y = x */
static lrp_status cancelled(const lrp_host *h, lrp_ctx *ctx, const lrp_node *const *nodes,
                            lrp_value *a)
{
  const lrp_value outer = h->node_ints(nodes[0], "perm"), inner = h->node_ints(nodes[1], "perm");
  (void)a;
  int same = outer.ints.n == inner.ints.n;
  for (int64_t i = 0; same && i < outer.ints.n; i++) {
    const int64_t at = outer.ints.v[i];
    same = at >= 0 && at < inner.ints.n && inner.ints.v[at] == i;
  }
  return same ? LRP_OK : h->fail(ctx, LRP_E_UNSUPPORTED, "the transpositions do not cancel");
}
static const lrp_pattern identity_patterns[] = {
    {.form = "Transpose(Transpose(x))", .args = cancelled, .name = "transposes"}, {0}};

OPERATOR(identity, "Identity", 1, "x", NULL)
OPERATOR(dropout, "Dropout", 7, "x - -", dropout_read)
OPERATOR(cast, "Cast", 6, "x", cast_read)

#define TYPE(NAME, LAYOUT, IN, OUT, DOC, ...)                                                                 \
  static const lrp_layer_type NAME##_type = {.struct_size = sizeof NAME##_type,                               \
                                             .kind = LRP_KIND_RESHAPE,                                        \
                                             .layout = LAYOUT,                                                \
                                             .name = #NAME,                                                   \
                                             .doc = DOC,                                                      \
                                             .in = IN,                                                        \
                                             .out = OUT,                                                      \
                                             .operators = NAME##_operators,                                   \
                                             .vjp = copy_vjp,                                                 \
                                             .writes = LRP_WRITES_BAR | LRP_COPIES,                           \
                                             __VA_ARGS__};
#define FORM(NAME, CREATE)                                                                                    \
  .args = NAME##_args, .create = CREATE, .destroy = free, .infer = NAME##_infer, .forward = copy_forward
TYPE(reshape, LRP_LAYOUT_MODEL, any_in, any_out, "y = the elements of x under a given shape",
     FORM(reshape, reshape_create))
TYPE(flatten, LRP_LAYOUT_MODEL, any_in, any_out, "y = x as a matrix, its axes in two groups",
     FORM(flatten, flatten_create))
TYPE(squeeze, LRP_LAYOUT_MODEL, any_in, any_out, "y = x without axes of size 1", FORM(squeeze, axes_create))
TYPE(unsqueeze, LRP_LAYOUT_MODEL, any_in, any_out, "y = x with new axes of size 1", FORM(unsqueeze, axes_create))
TYPE(identity, LRP_LAYOUT_ANY, any_in, any_out, "y = x", .infer = identity_infer, .forward = copy_forward,
     .patterns = identity_patterns)
TYPE(dropout, LRP_LAYOUT_ANY, real_in, dropout_out, "y = x, as dropout is at inference", .args = dropout_args,
     .create = dropout_create, .destroy = free, .infer = dropout_infer, .forward = dropout_forward)
TYPE(cast, LRP_LAYOUT_ANY, real_in, real_out, "y = x: real numbers have one type here", .infer = identity_infer,
     .forward = copy_forward)

static const lrp_layer_type *const layers[] = {&reshape_type,  &flatten_type, &squeeze_type, &unsqueeze_type,
                                               &identity_type, &dropout_type, &cast_type,    NULL};
LRP_PLUGIN(layer_shape, "shape", "1.0", "MIT", "the same elements under another shape", layers, NULL, NULL);
