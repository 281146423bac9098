/* rotary.c - layer "rotary" (ONNX RotaryEmbedding, opset 23): pairs of elements of each head are
 * turned by an angle that grows with the position (Su et al. 2021, eq. 34).  Cosines and sines
 * come from tables, so the layer is linear in x:
 *
 *   y1 = cos x1 - sin x2        y2 = sin x1 + cos x2
 *
 * where x1, x2 are the halves of the turned part, or every other element of it if interleaved. */
#include "layer.h"
#include <stdlib.h>

enum { X, COS, SIN, POSITIONS };
enum { INTERLEAVED, HEADS, WIDTH };
typedef struct rotary {
  int interleaved;
  int64_t heads, width;
} rotary;
typedef struct dims { /* x (B,H,T,D) or (B,T,H*D), the first w of D are turned */
  int64_t b, h, t, d, w;
} dims;

static const lrp_arg args[] = {
    {.name = "interleaved",
     .type = LRP_ARG_BOOL,
     .doc = "pairs are neighbours, not halves; the default is ONNX's"},
    {.name = "heads",
     .type = LRP_ARG_INT,
     .max = 65536,
     .doc = "heads of x where it has no axis of heads"},
    {.name = "width",
     .type = LRP_ARG_INT,
     .max = 1 << 24,
     .doc = "elements of a head that are turned; 0: all, ONNX's default"},
    LRP_ARGS_END};
static const lrp_port ins[] = {
    {.name = "x", .role = LRP_PORT_DATA},
    {.name = "cos", .role = LRP_PORT_SIDE},
    {.name = "sin", .role = LRP_PORT_SIDE},
    {.name = "position_ids", .role = LRP_PORT_SIDE, .dtype = LRP_INDEX, .flags = LRP_PORT_OPTIONAL},
    LRP_PORTS_END};
static const lrp_port outs[] = {{.name = "y", .role = LRP_PORT_DATA}, LRP_PORTS_END};

static lrp_status create(const lrp_host *h, lrp_ctx *ctx, const lrp_value *a, void **inst)
{
  rotary *r = malloc(sizeof *r);
  if (!r) return h->fail(ctx, LRP_E_NOMEM, "rotary: no memory for an instance");
  *r = (rotary){a[INTERLEAVED].i != 0, a[HEADS].i, a[WIDTH].i};
  *inst = r;
  return LRP_OK;
}

static dims dims_of(const rotary *r, const lrp_tensor *x)
{
  dims n = {.b = x->shape[0]};
  const int flat = x->rank == 3;
  n.h = flat ? r->heads : x->shape[1];
  n.t = x->shape[flat ? 1 : 2];
  n.d = !flat ? x->shape[3] : n.h ? x->shape[2] / n.h : 0;
  n.w = r->width ? r->width : n.d;
  return n;
}

static int by_position(const lrp_call *call)
{
  return call->n_in > POSITIONS && (call->in[POSITIONS].rank || call->in[POSITIONS].data);
}

static lrp_status check_table(const lrp_host *h, lrp_ctx *ctx, const lrp_call *call, const dims *n,
                              int i)
{
  const lrp_tensor *t = &call->in[i];
  const int ids = by_position(call);
  if (t->dtype == LRP_REAL && t->rank == (ids ? 2 : 3) && t->shape[t->rank - 1] == n->w / 2 &&
      (ids || ((t->shape[0] == n->b || t->shape[0] == 1) && t->shape[1] == n->t)))
    return LRP_OK;
  return h->fail(ctx, LRP_E_SHAPE, "rotary: %s must have shape %s%lld), for the pairs of a head",
                 ins[i].name, ids ? "(positions," : "(samples,steps,", (long long)(n->w / 2));
}

static lrp_status infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const rotary *r = inst;
  const lrp_tensor *x = &call->in[X];
  lrp_status st = need_reals(h, ctx, "rotary", x);
  if (st) return st;
  if (x->rank != 3 && x->rank != 4)
    return h->fail(ctx, LRP_E_SHAPE, "rotary: x must have shape (B,H,T,D) or (B,T,H*D)");
  const dims n = dims_of(r, x);
  if (x->rank == 3 && (!n.h || x->shape[2] % n.h))
    return h->fail(ctx, LRP_E_SHAPE,
                   "rotary: x has no axis of heads; heads must be a number that divides its width");
  if (n.w > n.d || n.w % 2)
    return h->fail(ctx, LRP_E_SHAPE,
                   "rotary: %lld elements of heads %lld wide cannot be turned in pairs",
                   (long long)n.w, (long long)n.d);
  for (int i = COS; !st && i <= SIN; i++)
    st = check_table(h, ctx, call, &n, i);
  const lrp_tensor *ids = by_position(call) ? &call->in[POSITIONS] : NULL;
  if (!st && (call->in[COS].shape[0] != call->in[SIN].shape[0] ||
              (ids && (ids->rank != 2 || ids->shape[0] != n.b || ids->shape[1] != n.t))))
    st = h->fail(ctx, LRP_E_SHAPE,
                 "rotary: cos and sin must have equal shapes, position_ids shape (%lld,%lld)",
                 (long long)n.b, (long long)n.t);
  if (!st) tensor_describe(&call->out[0], LRP_REAL, x->rank, x->shape);
  return st;
}

static lrp_status check_positions(const lrp_host *h, lrp_ctx *ctx, const lrp_call *call)
{
  if (!by_position(call)) return LRP_OK;
  const int64_t *id = lrp_indices(&call->in[POSITIONS]), most = call->in[COS].shape[0];
  for (int64_t i = 0, n = lrp_count(&call->in[POSITIONS]); i < n; i++)
    if (id[i] < 0 || id[i] >= most)
      return h->fail(ctx, LRP_E_INPUT,
                     "rotary: position %lld is outside of the tables, which have %lld",
                     (long long)id[i], (long long)most);
  return LRP_OK;
}

/* Row of the tables for step t of sample b. */
static int64_t table_row(const lrp_call *call, const dims *n, int64_t b, int64_t t)
{
  if (by_position(call)) return lrp_indices(&call->in[POSITIONS])[b * n->t + t];
  return (call->in[COS].shape[0] == 1 ? 0 : b) * n->t + t;
}

/* One head's elements turned by the table's angle, sign 1, or back, sign -1. */
static void turn(const dims *n, int interleaved, const lrp_real *cos_row, const lrp_real *sin_row,
                 lrp_real sign, const lrp_real *x, lrp_real *y)
{
  const int64_t half = n->w / 2;
  for (int64_t i = 0; i < half; i++) {
    const int64_t one = interleaved ? 2 * i : i, two = interleaved ? 2 * i + 1 : half + i;
    const lrp_real c = cos_row[i], s = sign * sin_row[i];
    y[one] = c * x[one] - s * x[two];
    y[two] = s * x[one] + c * x[two];
  }
  for (int64_t i = n->w; i < n->d; i++)
    y[i] = x[i];
}

static void turn_all(const rotary *r, const lrp_call *call, lrp_real sign, const lrp_tensor *from,
                     const lrp_tensor *to)
{
  const dims n = dims_of(r, from);
  const int64_t half = n.w / 2, heads = lrp_count(from) ? n.b * n.h * n.t : 0;
  LRP_THREADS(heads * n.d > PARALLEL_MIN,
  for (int64_t k = 0; k < heads; k++) { /* in the order of the elements */
    const int64_t b = k / (n.h * n.t), t = from->rank == 3 ? k / n.h % n.t : k % n.t;
    const int64_t row = table_row(call, &n, b, t) * half;
    turn(&n, r->interleaved, lrp_reals(&call->in[COS]) + row, lrp_reals(&call->in[SIN]) + row, sign,
         lrp_reals(from) + k * n.d, lrp_reals(to) + k * n.d);
  });
}

static lrp_status forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const lrp_status st = check_positions(h, ctx, call);
  if (!st && call->in[X].data)
    turn_all(inst, call, 1, &call->in[X], &call->out[0]);
  else if (!st)
    tensor_zero(&call->out[0]);
  return st;
}

static lrp_status vjp(const lrp_host *h, lrp_ctx *ctx, const void *inst, const lrp_call *call,
                      const lrp_tensor *out_bar, lrp_tensor *in_bar)
{
  (void)h, (void)ctx;
  if (out_bar[0].data && in_bar[X].data) turn_all(inst, call, -1, &out_bar[0], &in_bar[X]);
  return LRP_OK;
}

static lrp_status read_node(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)
{
  (void)ctx;
  a[INTERLEAVED].i = h->node_int(node, "interleaved", 0) != 0;
  a[HEADS].i = h->node_int(node, "num_heads", 0);
  a[WIDTH].i = h->node_int(node, "rotary_embedding_dim", 0);
  return LRP_OK;
}

static const lrp_operator operators[] = {{.domain = "",
                                          .name = "RotaryEmbedding",
                                          .since = 23,
                                          .inputs = "x cos sin position_ids",
                                          .args = read_node},
                                         {0}};
static const lrp_layer_type rotary_type = {
    .struct_size = sizeof rotary_type,
    .kind = LRP_KIND_LINEAR,
    .layout = LRP_LAYOUT_MODEL,
    .name = "rotary",
    .doc = "pairs of elements turned by an angle that grows with the position",
    .args = args,
    .in = ins,
    .out = outs,
    .operators = operators,
    .create = create,
    .destroy = free,
    .infer = infer,
    .forward = forward,
    .vjp = vjp};
static const lrp_layer_type *const layers[] = {&rotary_type, NULL};
LRP_PLUGIN(layer_rotary, "rotary", "1.0", "MIT", "rotary position embedding", layers, NULL, NULL);
