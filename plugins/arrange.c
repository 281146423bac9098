/* arrange.c - layers that put elements in another order or repeat them: "transpose", "expand", "tile",
 * "depth_to_space", "space_to_depth".  Each is one walk; going back, repeated elements get the sum. */
#include "rearrange.h"
#include <stdlib.h>

enum { TRANSPOSE, EXPAND, TILE, DEPTH_TO_SPACE, SPACE_TO_DEPTH };
typedef struct arrange {
  lrp_value list;
  int64_t block, crd;
} arrange;

static lrp_status create(const lrp_host *h, lrp_ctx *ctx, arrange a, void **inst)
{
  arrange *r = malloc(sizeof *r);
  if (!r)
    return h->fail(ctx, LRP_E_NOMEM, "a rearrangement: no memory for an instance");
  *r = a;
  *inst = r;
  return LRP_OK;
}

static lrp_status list_create(const lrp_host *h, lrp_ctx *ctx, const lrp_value *a, void **inst)
{
  return create(h, ctx, (arrange){.list = a[0]}, inst);
}

static lrp_status block_create(const lrp_host *h, lrp_ctx *ctx, const lrp_value *a, void **inst)
{
  return create(h, ctx, (arrange){.block = a[0].i, .crd = a[1].i}, inst);
}

/* ---- transpose: axis i of y is axis perm[i] of x ---- */

static const lrp_arg transpose_args[] = {
    {.name = "perm", .type = LRP_ARG_INTS, .doc = "axes of x in the order of y; empty: reversed"}, LRP_ARGS_END};

static int64_t perm_at(const arrange *r, int32_t rank, int32_t i)
{
  return r->list.ints.n ? r->list.ints.v[i] : rank - 1 - i;
}

static lrp_status transpose_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const arrange *r = inst;
  const lrp_tensor *x = &call->in[0];
  int64_t shape[LRP_MAX_RANK];
  uint32_t bits;
  if (r->list.ints.n && r->list.ints.n != x->rank)
    return h->fail(ctx, LRP_E_SHAPE, "transpose: perm names %lld axes, x has %d", (long long)r->list.ints.n, x->rank);
  for (int64_t i = 0; i < r->list.ints.n; i++)
    if (r->list.ints.v[i] < 0)
      return h->fail(ctx, LRP_E_ARG, "transpose: perm has %lld in it, axes from 0 on were expected",
                     (long long)r->list.ints.v[i]);
  const lrp_status st = axis_bits(h, ctx, "transpose", &r->list, x->rank, &bits);
  if (st)
    return st;
  for (int32_t i = 0; i < x->rank; i++)
    shape[i] = x->shape[perm_at(r, x->rank, i)];
  moved_describe(&call->out[0], x, x->rank, shape);
  return LRP_OK;
}

static strided transpose_walk(const arrange *r, const lrp_tensor *x, const lrp_tensor *y)
{
  int64_t to[LRP_MAX_RANK], from[LRP_MAX_RANK];
  strided w = {0};
  dense_steps(y, to);
  dense_steps(x, from);
  for (int32_t i = 0; i < y->rank; i++)
    strided_axis(&w, y->shape[i], to[i], from[perm_at(r, x->rank, i)], 0);
  return w;
}

static lrp_status transpose_read(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)
{
  (void)ctx;
  a[0] = h->node_ints(node, "perm");
  return LRP_OK;
}

/* ---- expand: numpy's broadcasting to a shape ---- */

static const lrp_arg expand_args[] = {
    {.name = "shape", .type = LRP_ARG_INTS, .max = 1e15, .doc = "the shape to broadcast to"}, LRP_ARGS_END};

static lrp_status expand_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const arrange *r = inst;
  lrp_tensor to = {.rank = (int32_t)r->list.ints.n};
  if (r->list.ints.n > LRP_MAX_RANK)
    return h->fail(ctx, LRP_E_SHAPE, "expand: rank %lld, at most %d is possible", (long long)r->list.ints.n,
                   LRP_MAX_RANK);
  for (int32_t i = 0; i < to.rank; i++)
    to.shape[i] = r->list.ints.v[i];
  const lrp_status st = strided_broadcast(h, ctx, "expand", &call->in[0], &to);
  if (!st)
    moved_describe(&call->out[0], &call->in[0], to.rank, to.shape);
  return st;
}

static lrp_status input_list_read(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)
{
  int given;
  const lrp_status st = read_list(h, ctx, node, NULL, 1, &a[0], &given);
  return st || given ? st : h->fail(ctx, LRP_E_INPUT, "the second input is missing");
}

/* ---- tile: axis i repeated repeats[i] times ---- */

static const lrp_arg tile_args[] = {
    {.name = "repeats", .type = LRP_ARG_INTS, .max = 1e15, .doc = "how often each axis is repeated; empty: once"},
    LRP_ARGS_END};

static int64_t repeats_at(const arrange *r, int32_t i)
{
  return r->list.ints.n ? r->list.ints.v[i] : 1;
}

static lrp_status tile_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const arrange *r = inst;
  const lrp_tensor *x = &call->in[0];
  int64_t shape[LRP_MAX_RANK];
  if (r->list.ints.n && r->list.ints.n != x->rank)
    return h->fail(ctx, LRP_E_SHAPE, "tile: %lld repeats for %d axes", (long long)r->list.ints.n, x->rank);
  for (int32_t i = 0; i < x->rank; i++)
    if (__builtin_mul_overflow(x->shape[i], repeats_at(r, i), &shape[i]))
      return h->fail(ctx, LRP_E_NOMEM, "tile: axis %d is too long", i);
  moved_describe(&call->out[0], x, x->rank, shape);
  return LRP_OK;
}

static strided tile_walk(const arrange *r, const lrp_tensor *x, const lrp_tensor *y)
{
  int64_t to[LRP_MAX_RANK], from[LRP_MAX_RANK];
  strided w = {0};
  dense_steps(y, to);
  dense_steps(x, from);
  for (int32_t i = 0; i < x->rank; i++) {
    strided_axis(&w, repeats_at(r, i), to[i] * x->shape[i], 0, 0);
    strided_axis(&w, x->shape[i], to[i], from[i], 0);
  }
  return w;
}

/* ---- depth_to_space, space_to_depth: channels and blocks of pixels change places, (N,C,H,W) ---- */

#define BLOCK_ARG                                                                                             \
  {.name = "block", .type = LRP_ARG_INT, .def = 1, .min = 1, .max = 65536, .doc = "size of a block of pixels"}
static const lrp_arg depth_to_space_args[] = {
    BLOCK_ARG,
    {.name = "mode",
     .type = LRP_ARG_CHOICE,
     .choices = "DCR|CRD",
     .doc = "channels hold (block row, block column, depth) or (depth, block row, block column)"},
    LRP_ARGS_END};
static const lrp_arg space_to_depth_args[] = {
    BLOCK_ARG,
    {.name = "mode", .type = LRP_ARG_CHOICE, .choices = "DCR|CRD", .doc = "order of the channels, as in depth_to_space"},
    LRP_ARGS_END};

/* deep: the tensor with more channels, wide: the one with more pixels; both (N,C,H,W). */
static lrp_status block_infer(const lrp_host *h, lrp_ctx *ctx, const arrange *r, int to_space, lrp_call *call)
{
  const lrp_tensor *x = &call->in[0];
  const int64_t b = r->block;
  if (x->rank != 4)
    return h->fail(ctx, LRP_E_SHAPE, "a change of depth and space: x has rank %d, 4 was expected", x->rank);
  if (to_space ? x->shape[1] % (b * b) : x->shape[2] % b || x->shape[3] % b)
    return h->fail(ctx, LRP_E_SHAPE, "a change of depth and space: x does not divide into blocks of %lld by %lld",
                   (long long)b, (long long)b);
  const int64_t shape[4] = {x->shape[0], to_space ? x->shape[1] / (b * b) : x->shape[1] * b * b,
                            to_space ? x->shape[2] * b : x->shape[2] / b,
                            to_space ? x->shape[3] * b : x->shape[3] / b};
  moved_describe(&call->out[0], x, 4, shape);
  return LRP_OK;
}

static lrp_status depth_to_space_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  return block_infer(h, ctx, inst, 1, call);
}

static lrp_status space_to_depth_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  return block_infer(h, ctx, inst, 0, call);
}

/* Written: wide, read: deep; axes n, c, h, block row, w, block column. */
static strided block_walk(const arrange *r, const lrp_tensor *deep, const lrp_tensor *wide)
{
  const int64_t b = r->block, c = wide->shape[1], height = deep->shape[2], width = deep->shape[3];
  const int64_t plane = height * width, sc = r->crd ? b * b * plane : plane;
  const int64_t si = r->crd ? b * plane : b * c * plane, sj = r->crd ? plane : c * plane;
  int64_t to[LRP_MAX_RANK];
  strided w = {0};
  dense_steps(wide, to);
  strided_axis(&w, wide->shape[0], to[0], deep->shape[1] * plane, 0);
  strided_axis(&w, c, to[1], sc, 0);
  strided_axis(&w, height, to[2] * b, width, 0);
  strided_axis(&w, b, to[2], si, 0);
  strided_axis(&w, width, to[3] * b, 1, 0);
  strided_axis(&w, b, to[3], sj, 0);
  return w;
}

static lrp_status block_read(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)
{
  const char *mode = h->node_text(node, "mode", "DCR");
  a[0].i = h->node_int(node, "blocksize", 0);
  a[1].i = !strcmp(mode, "CRD");
  if (!a[1].i && strcmp(mode, "DCR"))
    return h->fail(ctx, LRP_E_INPUT, "mode is \"%s\", DCR or CRD was expected", mode);
  return LRP_OK;
}

/* ---- one walk for all ---- */

static strided walk(int what, const arrange *r, const lrp_tensor *x, const lrp_tensor *y)
{
  switch (what) {
  case TRANSPOSE:
    return transpose_walk(r, x, y);
  case EXPAND:
    return strided_over(y, y, x, NULL);
  case TILE:
    return tile_walk(r, x, y);
  case DEPTH_TO_SPACE:
    return block_walk(r, x, y);
  default:
    return strided_back(block_walk(r, y, x));
  }
}

static lrp_status pull(int what, const arrange *r, const lrp_call *call, const lrp_tensor *out_bar, lrp_tensor *in_bar)
{
  if (!out_bar[0].data || what == EXPAND || what == TILE)
    tensor_zero(&in_bar[0]);
  if (out_bar[0].data && in_bar[0].data) {
    const strided w = strided_back(walk(what, r, &call->in[0], &call->out[0]));
    if (what == EXPAND || what == TILE)
      strided_sum(&w, 1, lrp_reals(&out_bar[0]), lrp_reals(&in_bar[0]));
    else
      strided_copy_reals(&w, lrp_reals(&out_bar[0]), lrp_reals(&in_bar[0]));
  }
  return LRP_OK;
}

/* ---- descriptors ---- */

#define TYPE(NAME, WHAT, ONNX, SINCE, INPUTS, READ, CREATE, DOC)                                              \
  static lrp_status NAME##_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)         \
  {                                                                                                           \
    const strided w = walk(WHAT, inst, &call->in[0], &call->out[0]);                                          \
    (void)h, (void)ctx;                                                                                       \
    strided_copy(&w, &call->in[0], &call->out[0]);                                                            \
    return LRP_OK;                                                                                            \
  }                                                                                                           \
  static lrp_status NAME##_vjp(const lrp_host *h, lrp_ctx *ctx, const void *inst, const lrp_call *call,       \
                               const lrp_tensor *out_bar, lrp_tensor *in_bar)                                 \
  {                                                                                                           \
    (void)h, (void)ctx;                                                                                       \
    return pull(WHAT, inst, call, out_bar, in_bar);                                                           \
  }                                                                                                           \
  static const lrp_operator NAME##_operators[] = {                                                            \
      {.domain = "", .name = ONNX, .since = SINCE, .inputs = INPUTS, .args = READ}, {0}};                     \
  static const lrp_layer_type NAME##_type = {.struct_size = sizeof NAME##_type,                               \
                                             .kind = LRP_KIND_RESHAPE,                                        \
                                             .layout = LRP_LAYOUT_MODEL,                                      \
                                             .name = #NAME,                                                   \
                                             .doc = DOC,                                                      \
                                             .args = NAME##_args,                                             \
                                             .in = any_in,                                                    \
                                             .out = any_out,                                                  \
                                             .operators = NAME##_operators,                                   \
                                             .create = CREATE,                                                \
                                             .destroy = free,                                                 \
                                             .infer = NAME##_infer,                                           \
                                             .forward = NAME##_forward,                                       \
                                             .vjp = NAME##_vjp,                                               \
                                             .writes = LRP_WRITES_BAR};
TYPE(transpose, TRANSPOSE, "Transpose", 1, "x", transpose_read, list_create, "y = x with its axes in another order")
TYPE(expand, EXPAND, "Expand", 8, "x -", input_list_read, list_create, "y = x broadcast to a shape")
TYPE(tile, TILE, "Tile", 6, "x -", input_list_read, list_create, "y = x repeated along its axes")
TYPE(depth_to_space, DEPTH_TO_SPACE, "DepthToSpace", 1, "x", block_read, block_create,
     "y = x with groups of channels laid out as blocks of pixels")
TYPE(space_to_depth, SPACE_TO_DEPTH, "SpaceToDepth", 1, "x", block_read, block_create,
     "y = x with blocks of pixels laid out as groups of channels")

static const lrp_layer_type *const layers[] = {&transpose_type,      &expand_type,         &tile_type,
                                               &depth_to_space_type, &space_to_depth_type, NULL};
LRP_PLUGIN(layer_arrange, "arrange", "1.0", "MIT", "transposed and repeated tensors", layers, NULL, NULL);
