/* gather.c - layers "gather", entries of x along an axis at given indices, and "pad", x with a margin.  Both read by an
 * index that may name an element several times; going back, its relevance is added up. */
#include "rearrange.h"
#include <stdlib.h>

/* ---- gather ---- */

enum { X, INDICES };
typedef struct gather {
  int64_t axis;
} gather;
typedef struct blocks { /* x is (outer, n, inner); y is (outer, m, inner) */
  int64_t outer, n, m, inner;
} blocks;

static const lrp_arg gather_args[] = {
    {.name = "axis", .type = LRP_ARG_INT, .doc = "axis of x along which the indices count"}, LRP_ARGS_END};
static const lrp_port gather_in[] = {{.name = "x", .role = LRP_PORT_DATA, .dtype = LRP_ANY_DTYPE},
                                     {.name = "indices", .role = LRP_PORT_SIDE, .dtype = LRP_INDEX},
                                     LRP_PORTS_END};

static lrp_status gather_create(const lrp_host *h, lrp_ctx *ctx, const lrp_value *a, void **inst)
{
  gather *g = malloc(sizeof *g);
  if (!g)
    return h->fail(ctx, LRP_E_NOMEM, "gather: no memory for an instance");
  g->axis = a[0].i;
  *inst = g;
  return LRP_OK;
}

static lrp_status gather_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const lrp_tensor *x = &call->in[X], *at = &call->in[INDICES];
  int64_t axis = ((const gather *)inst)->axis, shape[2 * LRP_MAX_RANK];
  int32_t rank = 0;
  if (at->dtype != LRP_INDEX)
    return h->fail(ctx, LRP_E_UNSUPPORTED, "gather: the indices are real numbers, integers were expected");
  if (axis < -x->rank || axis >= x->rank)
    return h->fail(ctx, LRP_E_SHAPE, "gather: axis %lld is outside of a tensor of rank %d", (long long)axis, x->rank);
  axis += axis < 0 ? x->rank : 0;
  for (int32_t i = 0; i < x->rank; i++) {
    for (int32_t k = 0; i == axis && k < at->rank; k++)
      shape[rank++] = at->shape[k];
    if (i != axis)
      shape[rank++] = x->shape[i];
  }
  if (rank > LRP_MAX_RANK)
    return h->fail(ctx, LRP_E_SHAPE, "gather: the result has rank %d, at most %d is possible", rank, LRP_MAX_RANK);
  moved_describe(&call->out[0], x, rank, shape);
  return LRP_OK;
}

static blocks blocks_of(const gather *g, const lrp_tensor *x, const lrp_tensor *at)
{
  const int64_t axis = g->axis + (g->axis < 0 ? x->rank : 0);
  blocks b = {1, x->shape[axis], lrp_count(at), 1};
  for (int32_t i = 0; i < x->rank; i++)
    if (i != axis)
      *(i < axis ? &b.outer : &b.inner) *= x->shape[i];
  return b;
}

static lrp_status check_indices(const lrp_host *h, lrp_ctx *ctx, const lrp_tensor *at, int64_t n)
{
  for (int64_t i = 0, m = lrp_count(at); i < m; i++)
    if (lrp_indices(at)[i] < -n || lrp_indices(at)[i] >= n)
      return h->fail(ctx, LRP_E_INPUT, "gather: index %lld at position %lld is outside of an axis of %lld elements",
                     (long long)lrp_indices(at)[i], (long long)i, (long long)n);
  return LRP_OK;
}

static int64_t wrapped(int64_t i, int64_t n)
{
  return i < 0 ? i + n : i;
}

static lrp_status gather_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const lrp_tensor *x = &call->in[X], *at = &call->in[INDICES], *y = &call->out[0];
  const blocks b = blocks_of(inst, x, at);
  const size_t size = y->dtype == LRP_INDEX ? sizeof(int64_t) : sizeof(lrp_real), row = (size_t)b.inner * size;
  const lrp_status st = check_indices(h, ctx, at, b.n);
  if (st)
    return st;
  if (!x->data) {
    tensor_zero(y);
    return LRP_OK;
  }
  for (int64_t o = 0; o < b.outer; o++)
    for (int64_t k = 0; k < b.m; k++)
      memcpy((char *)y->data + (size_t)(o * b.m + k) * row,
             (const char *)x->data + (size_t)(o * b.n + wrapped(lrp_indices(at)[k], b.n)) * row, row);
  return LRP_OK;
}

static lrp_status gather_vjp(const lrp_host *h, lrp_ctx *ctx, const void *inst, const lrp_call *call,
                             const lrp_tensor *out_bar, lrp_tensor *in_bar)
{
  const lrp_tensor *at = &call->in[INDICES];
  const blocks b = blocks_of(inst, &call->in[X], at);
  const lrp_status st = check_indices(h, ctx, at, b.n);
  if (st || !out_bar[0].data || !in_bar[X].data)
    return st;
  const int wide = b.outer * b.m * b.inner > PARALLEL_MIN;
  LRP_THREADS(wide,
  for (int64_t o = 0; o < b.outer; o++)
    for (int64_t k = 0; k < b.m; k++) {
      const lrp_real *from = lrp_reals(&out_bar[0]) + (o * b.m + k) * b.inner;
      lrp_real *to = lrp_reals(&in_bar[X]) + (o * b.n + wrapped(lrp_indices(at)[k], b.n)) * b.inner;
      for (int64_t i = 0; i < b.inner; i++)
        to[i] += from[i];
    });
  return LRP_OK;
}

static lrp_status gather_read(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)
{
  a[0].i = h->node_int(node, "axis", 0);
  return check_axes(h, ctx, &a[0].i, 1, h->node_rank(node, 0));
}

/* ---- pad ---- */

enum { CONSTANT, REFLECT, EDGE, WRAP };
typedef struct pad {
  lrp_value axes, before, after;
  int64_t mode;
  double value;
} pad;

static const lrp_arg pad_args[] = {
    {.name = "axes", .type = LRP_ARG_INTS, .flags = LRP_ARG_AXIS, .doc = "axes that get a margin"},
    {.name = "before",
     .type = LRP_ARG_INTS,
     .min = -1e15,
     .max = 1e15,
     .doc = "elements added before each named axis; negative: cut off"},
    {.name = "after",
     .type = LRP_ARG_INTS,
     .min = -1e15,
     .max = 1e15,
     .doc = "elements added behind each named axis; negative: cut off"},
    {.name = "mode", .type = LRP_ARG_CHOICE, .choices = "constant|reflect|edge|wrap", .doc = "what the margin holds"},
    {.name = "value", .type = LRP_ARG_REAL, .doc = "the constant of mode constant"},
    LRP_ARGS_END};

static lrp_status pad_create(const lrp_host *h, lrp_ctx *ctx, const lrp_value *a, void **inst)
{
  pad *p = malloc(sizeof *p);
  if (!p)
    return h->fail(ctx, LRP_E_NOMEM, "pad: no memory for an instance");
  *p = (pad){.axes = a[0], .before = a[1], .after = a[2], .mode = a[3].i, .value = a[4].real};
  *inst = p;
  return LRP_OK;
}

/* Does mode fill a margin of lo and hi elements from an axis of n? */
static int margin_fits(int64_t mode, int64_t n, int64_t lo, int64_t hi)
{
  if (n + lo < 0 || n + hi < 0 || n + lo + hi < 0)
    return 0;
  if (mode == CONSTANT || (lo <= 0 && hi <= 0))
    return 1;
  return mode == REFLECT ? lo < n && hi < n : n > 0;
}

static lrp_status pad_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const pad *p = inst;
  const lrp_tensor *x = &call->in[0];
  lrp_tensor *y = &call->out[0];
  uint32_t bits;
  const lrp_status st = axis_bits(h, ctx, "pad", &p->axes, x->rank, &bits);
  if (st)
    return st;
  if (p->before.ints.n != p->axes.ints.n || p->after.ints.n != p->axes.ints.n)
    return h->fail(ctx, LRP_E_ARG, "pad: %lld axes, but %lld sizes before and %lld behind them",
                   (long long)p->axes.ints.n, (long long)p->before.ints.n, (long long)p->after.ints.n);
  moved_describe(y, x, x->rank, x->shape);
  if (p->mode == CONSTANT && !(p->value >= 0))
    y->flags = 0;
  if (x->dtype == LRP_INDEX && !(p->value > -1e15 && p->value < 1e15))
    return h->fail(ctx, LRP_E_ARG, "pad: the constant %g does not fit integers", p->value);
  for (int64_t i = 0; i < p->axes.ints.n; i++) {
    const int64_t a = wrapped(p->axes.ints.v[i], x->rank), lo = p->before.ints.v[i], hi = p->after.ints.v[i];
    if (x->shape[a] > (int64_t)1 << 50 || !margin_fits(p->mode, x->shape[a], lo, hi))
      return h->fail(ctx, LRP_E_SHAPE, "pad: margins of %lld and %lld do not fit an axis of %lld elements",
                     (long long)lo, (long long)hi, (long long)x->shape[a]);
    y->shape[a] = x->shape[a] + lo + hi;
  }
  return LRP_OK;
}

/* Element of an axis of n that is read at i, counted from its start; -1: the constant. */
static int64_t pad_source(int64_t mode, int64_t n, int64_t i)
{
  if (i >= 0 && i < n)
    return i;
  switch (mode) {
  case REFLECT:
    return i < 0 ? -i : 2 * (n - 1) - i;
  case EDGE:
    return i < 0 ? 0 : n - 1;
  case WRAP:
    return (i % n + n) % n;
  default:
    return -1;
  }
}

/* Margins before each axis. */
static void pad_before(const pad *p, int32_t rank, int64_t *lo)
{
  memset(lo, 0, LRP_MAX_RANK * sizeof *lo);
  for (int64_t i = 0; i < p->axes.ints.n; i++)
    lo[wrapped(p->axes.ints.v[i], rank)] = p->before.ints.v[i];
}

/* Where the row of x starts from which row r of y is read, -1: nowhere. */
static int64_t pad_row(const pad *p, const lrp_tensor *x, const lrp_tensor *y, const int64_t *lo, int64_t r)
{
  int64_t at = 0, step = x->shape[x->rank - 1];
  for (int32_t i = y->rank - 2; i >= 0; i--) {
    const int64_t k = pad_source(p->mode, x->shape[i], r % y->shape[i] - lo[i]);
    if (k < 0)
      return -1;
    at += k * step;
    step *= x->shape[i];
    r /= y->shape[i];
  }
  return at;
}

#define PAD_ROW(TYPE)                                                                                         \
  for (int64_t j = 0; j < n; j++) {                                                                           \
    const int64_t k = row < 0 ? -1 : pad_source(p->mode, x->shape[last], j - lo[last]);                       \
    ((TYPE *)y->data)[r * n + j] = k < 0 ? (TYPE)p->value : x->data ? ((const TYPE *)x->data)[row + k] : 0;   \
  }

static lrp_status pad_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const pad *p = inst;
  const lrp_tensor *x = &call->in[0], *y = &call->out[0];
  const int32_t last = x->rank - 1;
  int64_t lo[LRP_MAX_RANK];
  (void)h, (void)ctx;
  if (x->rank == 0) {
    const strided w = strided_over(y, y, x, NULL);
    strided_copy(&w, x, y);
    return LRP_OK;
  }
  pad_before(p, x->rank, lo);
  const int64_t n = y->shape[last], rows = n ? lrp_count(y) / n : 0;
  const int wide = rows * n > PARALLEL_MIN;
  LRP_THREADS(wide,
  for (int64_t r = 0; r < rows; r++) {
    const int64_t row = pad_row(p, x, y, lo, r);
    if (y->dtype == LRP_REAL)
      PAD_ROW(lrp_real)
    else
      PAD_ROW(int64_t)
  });
  return LRP_OK;
}

static lrp_status pad_vjp(const lrp_host *h, lrp_ctx *ctx, const void *inst, const lrp_call *call,
                          const lrp_tensor *out_bar, lrp_tensor *in_bar)
{
  const pad *p = inst;
  const lrp_tensor *x = &call->in[0], *y = &call->out[0];
  const int32_t last = x->rank - 1;
  int64_t lo[LRP_MAX_RANK];
  (void)h, (void)ctx;
  if (!out_bar[0].data || !in_bar[0].data)
    return LRP_OK;
  if (x->rank == 0) {
    lrp_reals(&in_bar[0])[0] = lrp_reals(&out_bar[0])[0];
    return LRP_OK;
  }
  pad_before(p, x->rank, lo);
  const int64_t n = y->shape[last], rows = n ? lrp_count(y) / n : 0;
  for (int64_t r = 0; r < rows; r++) { /* rows may meet in one of x */
    const int64_t row = pad_row(p, x, y, lo, r);
    for (int64_t j = 0; row >= 0 && j < n; j++) {
      const int64_t k = pad_source(p->mode, x->shape[last], j - lo[last]);
      if (k >= 0)
        lrp_reals(&in_bar[0])[row + k] += lrp_reals(&out_bar[0])[r * n + j];
    }
  }
  return LRP_OK;
}

/* A margin of another constant than 0 does not grow with x. */
static uint32_t pad_degree(const void *inst, uint32_t freeze)
{
  const pad *p = inst;
  (void)freeze;
  return p->mode != CONSTANT || p->value == 0; /* exactly */
}

/* Opset 11 turned pads and value into inputs, 18 added axes. */
static lrp_status pad_sizes(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)
{
  lrp_value pads = {.ints = {NULL, 0}};
  int given, has_axes;
  const int64_t rank = h->node_rank(node, 0);
  lrp_status st = read_list(h, ctx, node, h->node_opset(node) < 11 ? "pads" : NULL, 1, &pads, &given);
  if (!st)
    st = read_list(h, ctx, node, NULL, 3, &a[0], &has_axes);
  if (!st && !has_axes)
    st = first_axes(h, ctx, pads.ints.n / 2, &a[0]);
  if (st)
    return st;
  if (!given || pads.ints.n != 2 * a[0].ints.n)
    return h->fail(ctx, LRP_E_INPUT, "pads has %lld numbers, %lld were expected: before and behind %lld axes",
                   (long long)pads.ints.n, 2 * (long long)a[0].ints.n, (long long)a[0].ints.n);
  a[1].ints.v = pads.ints.v;
  a[2].ints.v = pads.ints.v ? pads.ints.v + a[0].ints.n : NULL;
  a[1].ints.n = a[2].ints.n = a[0].ints.n;
  return check_axes(h, ctx, a[0].ints.v, a[0].ints.n, rank);
}

static lrp_status pad_read(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)
{
  static const char *const modes[] = {"constant", "reflect", "edge", "wrap"};
  const char *mode = h->node_text(node, "mode", "constant");
  const lrp_tensor *value = h->node_const(ctx, node, 2);
  for (a[3].i = 0; a[3].i < 4 && strcmp(mode, modes[a[3].i]);)
    a[3].i++;
  if (a[3].i == 4)
    return h->fail(ctx, LRP_E_INPUT, "mode is \"%s\"; constant, reflect, edge or wrap was expected", mode);
  a[4].real = h->node_real(node, "value", 0);
  if (value && lrp_count(value) == 1)
    a[4].real = value->dtype == LRP_REAL ? (double)lrp_reals(value)[0] : (double)lrp_indices(value)[0];
  return pad_sizes(h, ctx, node, a);
}

/* ---- descriptors ---- */

static const lrp_operator gather_operators[] = {
    {.domain = "", .name = "Gather", .since = 1, .inputs = "x indices", .args = gather_read}, {0}};
static const lrp_operator pad_operators[] = {
    {.domain = "", .name = "Pad", .since = 2, .inputs = "x - - -", .args = pad_read}, {0}};
static const lrp_layer_type gather_type = {.struct_size = sizeof gather_type,
                                           .kind = LRP_KIND_RESHAPE,
                                           .layout = LRP_LAYOUT_MODEL,
                                           .name = "gather",
                                           .doc = "y = the entries of x along an axis at the indices",
                                           .args = gather_args,
                                           .in = gather_in,
                                           .out = any_out,
                                           .operators = gather_operators,
                                           .create = gather_create,
                                           .destroy = free,
                                           .infer = gather_infer,
                                           .forward = gather_forward,
                                           .vjp = gather_vjp};
static const lrp_layer_type pad_type = {.struct_size = sizeof pad_type,
                                        .kind = LRP_KIND_RESHAPE,
                                        .layout = LRP_LAYOUT_AXES,
                                        .name = "pad",
                                        .doc = "y = x with a margin along named axes",
                                        .args = pad_args,
                                        .in = any_in,
                                        .out = any_out,
                                        .operators = pad_operators,
                                        .create = pad_create,
                                        .destroy = free,
                                        .infer = pad_infer,
                                        .forward = pad_forward,
                                        .vjp = pad_vjp,
                                        .degree = pad_degree};
static const lrp_layer_type *const layers[] = {&gather_type, &pad_type, NULL};
LRP_PLUGIN(layer_gather, "gather", "1.0", "MIT", "elements at indices, and margins", layers, NULL, NULL);
