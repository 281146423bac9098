/* scatter.c - layers that read or write by indices: "gather_elements", "gather_nd", "scatter_elements", "scatter_nd", and
 * the scatters that add, multiply, or keep the largest or smallest.  All move blocks of elements between places of a
 * tensor and a list; of several writers to one place the last wins (of an extreme: the first that reaches it), and it
 * alone gets the place's relevance. */
#include "rearrange.h"
#include <stdlib.h>

enum { X, INDICES, UPDATES };
enum { REPLACE, ADD, MAX, MIN, MUL };
typedef struct scatter {
  int64_t number; /* axis of the "elements" forms, batch axes of the "nd" forms */
} scatter;

static const lrp_port gather_in[] = {{.name = "x", .role = LRP_PORT_DATA, .dtype = LRP_ANY_DTYPE},
                                     {.name = "indices", .role = LRP_PORT_SIDE, .dtype = LRP_INDEX},
                                     LRP_PORTS_END};
static const lrp_port scatter_in[] = {
    {.name = "x", .role = LRP_PORT_DATA, .dtype = LRP_ANY_DTYPE},
    {.name = "indices", .role = LRP_PORT_SIDE, .dtype = LRP_INDEX},
    {.name = "updates", .role = LRP_PORT_DATA, .dtype = LRP_ANY_DTYPE},
    LRP_PORTS_END};
/* A product is an element-wise layer: the factors are constants. */
static const lrp_port scale_in[] = {{.name = "x", .role = LRP_PORT_DATA},
                                    {.name = "indices", .role = LRP_PORT_SIDE, .dtype = LRP_INDEX},
                                    LRP_PORTS_END};
static const lrp_port scale_params[] = {{.name = "updates", .role = LRP_PORT_BUFFER},
                                        LRP_PORTS_END};
#define gather_params  NULL
#define scatter_params NULL
static const lrp_arg axis_args[] = {
    {.name = "axis", .type = LRP_ARG_INT, .doc = "axis of x along which the indices count"},
    LRP_ARGS_END};
static const lrp_arg batch_args[] = {
    {.name = "batch",
     .type = LRP_ARG_INT,
     .max = LRP_MAX_RANK,
     .doc = "leading axes that x and the indices share; ONNX batch_dims"},
    LRP_ARGS_END};

static lrp_status create(const lrp_host *h, lrp_ctx *ctx, const lrp_value *a, void **inst)
{
  scatter *s = malloc(sizeof *s);
  if (!s) return h->fail(ctx, LRP_E_NOMEM, "scatter: no memory for an instance");
  s->number = a[0].i;
  *inst = s;
  return LRP_OK;
}

/* ---- places: block k of the list lies at element at[k] of x ---- */

typedef struct places {
  int64_t n, inner; /* blocks, and elements of each */
  int64_t *at;
} places;

/* Coordinates of element k of the indices, the one along axis replaced by the index. */
static int64_t place_of_element(const lrp_tensor *x, const lrp_tensor *indices, int32_t axis,
                                int64_t k)
{
  int64_t step = 1, at = 0, left = k;
  for (int32_t i = x->rank - 1; i >= 0; i--) {
    int64_t c = left % indices->shape[i];
    left /= indices->shape[i];
    if (i == axis) {
      c = lrp_indices(indices)[k];
      c += c < 0 ? x->shape[i] : 0;
      if (c < 0 || c >= x->shape[i]) return -1;
    }
    at += c * step;
    step *= x->shape[i];
  }
  return at;
}

/* Row k of the indices names a place along the axes behind the batch. */
static int64_t place_of_row(const lrp_tensor *x, const lrp_tensor *indices, int32_t batch,
                            int64_t k)
{
  const int64_t m = indices->shape[indices->rank - 1];
  int64_t rows = 1, step[LRP_MAX_RANK];
  for (int32_t i = batch; i + 1 < indices->rank; i++)
    rows *= indices->shape[i];
  dense_steps(x, step);
  int64_t at = batch ? k / rows * step[batch - 1] : 0;
  for (int64_t j = 0; j < m; j++) {
    const int64_t n = x->shape[batch + j];
    int64_t c = lrp_indices(indices)[k * m + j];
    c += c < 0 ? n : 0;
    if (c < 0 || c >= n) return -1;
    at += c * step[batch + j];
  }
  return at;
}

static lrp_status find_places(const lrp_host *h, lrp_ctx *ctx, const scatter *s, int nd,
                              const lrp_call *call, places *p)
{
  const lrp_tensor *x = &call->in[X], *indices = &call->in[INDICES];
  const int64_t m = nd ? indices->shape[indices->rank - 1] : 1;
  const int32_t number = (int32_t)(s->number + (!nd && s->number < 0 ? x->rank : 0));
  lrp_tensor list = {.dtype = LRP_INDEX, .rank = 1};
  p->inner = 1;
  for (int32_t i = nd ? number + (int32_t)m : x->rank; i < x->rank; i++)
    p->inner *= x->shape[i];
  p->n = m ? lrp_count(indices) / m : 0;
  for (int32_t i = 0; !m && i + 1 < indices->rank; i++)
    p->n = (i ? p->n : 1) * indices->shape[i];
  if (!m && indices->rank == 1) p->n = 1;
  list.shape[0] = p->n;
  const lrp_status st = h->scratch(ctx, &list, &list);
  if (st) return st;
  p->at = lrp_indices(&list);
  for (int64_t k = 0; k < p->n; k++) {
    p->at[k] = nd ? place_of_row(x, indices, number, k) : place_of_element(x, indices, number, k);
    if (p->at[k] < 0)
      return h->fail(ctx, LRP_E_INPUT,
                     "an index at position %lld is outside of the axis it counts along",
                     (long long)k);
  }
  return LRP_OK;
}

/* ---- shapes ---- */

static lrp_status elements_fit(const lrp_host *h, lrp_ctx *ctx, const scatter *s,
                               const lrp_call *call)
{
  const lrp_tensor *x = &call->in[X], *at = &call->in[INDICES];
  if (at->dtype != LRP_INDEX || x->rank < 1 || at->rank != x->rank)
    return h->fail(
        ctx, LRP_E_SHAPE,
        "x has rank %d, the indices have %d; equal ranks from 1 on, and integers, were expected",
        x->rank, at->rank);
  if (s->number < -x->rank || s->number >= x->rank)
    return h->fail(ctx, LRP_E_SHAPE, "axis %lld is outside of a tensor of rank %d",
                   (long long)s->number, x->rank);
  const int64_t axis = s->number + (s->number < 0 ? x->rank : 0);
  for (int32_t i = 0; i < x->rank; i++)
    if (i != axis && at->shape[i] > x->shape[i])
      return h->fail(ctx, LRP_E_SHAPE, "axis %d: %lld indices for %lld elements", i,
                     (long long)at->shape[i], (long long)x->shape[i]);
  return LRP_OK;
}

static lrp_status rows_fit(const lrp_host *h, lrp_ctx *ctx, const scatter *s, const lrp_call *call)
{
  const lrp_tensor *x = &call->in[X], *at = &call->in[INDICES];
  const int64_t b = s->number, m = at->rank ? at->shape[at->rank - 1] : -1;
  if (at->dtype != LRP_INDEX || at->rank < 1 || b >= at->rank || b > x->rank || m > x->rank - b)
    return h->fail(ctx, LRP_E_SHAPE,
                   "x has rank %d, the indices have rank %d and name %lld axes behind %lld; "
                   "integers that name axes of x "
                   "were expected",
                   x->rank, at->rank, (long long)m, (long long)b);
  for (int64_t i = 0; i < b; i++)
    if (x->shape[i] != at->shape[i])
      return h->fail(ctx, LRP_E_SHAPE,
                     "batch axis %lld has %lld elements in x, %lld in the indices", (long long)i,
                     (long long)x->shape[i], (long long)at->shape[i]);
  return LRP_OK;
}

/* Shape of the list: the indices' own, or their rows followed by the axes of x that are not named. */
static lrp_status list_shape(const lrp_host *h, lrp_ctx *ctx, const scatter *s, int nd,
                             const lrp_call *call, int64_t *shape, int32_t *rank)
{
  const lrp_tensor *x = &call->in[X], *at = &call->in[INDICES];
  const lrp_status st = nd ? rows_fit(h, ctx, s, call) : elements_fit(h, ctx, s, call);
  int64_t all[2 * LRP_MAX_RANK];
  *rank = 0;
  if (st) return st;
  for (int32_t i = 0; i + nd < at->rank; i++)
    all[(*rank)++] = at->shape[i];
  for (int64_t i = s->number + at->shape[at->rank - 1]; nd && i < x->rank; i++)
    all[(*rank)++] = x->shape[i];
  if (*rank > LRP_MAX_RANK)
    return h->fail(ctx, LRP_E_SHAPE, "the result has rank %d, at most %d is possible", *rank,
                   LRP_MAX_RANK);
  memcpy(shape, all, (size_t)*rank * sizeof *all);
  return LRP_OK;
}

static lrp_status gather_infer(const lrp_host *h, lrp_ctx *ctx, const scatter *s, int nd,
                               lrp_call *call)
{
  int64_t shape[LRP_MAX_RANK];
  int32_t rank;
  const lrp_status st = list_shape(h, ctx, s, nd, call, shape, &rank);
  if (!st) moved_describe(&call->out[0], &call->in[X], rank, shape);
  return st;
}

static const lrp_tensor *updates_of(const lrp_call *call)
{
  return call->n_in > UPDATES ? &call->in[UPDATES] : &call->param[0];
}

static lrp_status scatter_infer(const lrp_host *h, lrp_ctx *ctx, const scatter *s, int nd,
                                lrp_call *call)
{
  const lrp_tensor *x = &call->in[X], *u = updates_of(call);
  lrp_tensor list = {.rank = 0};
  const lrp_status st = list_shape(h, ctx, s, nd, call, list.shape, &list.rank);
  if (st) return st;
  if (!same_shape(&list, u) || u->dtype != x->dtype)
    return h->fail(
        ctx, LRP_E_SHAPE,
        "the updates do not have the shape of the indices, or another element type than x");
  tensor_describe(&call->out[0], x->dtype, x->rank, x->shape);
  if (known_nonneg(x) && (call->n_in > UPDATES && known_nonneg(u))) call->out[0].flags = LRP_NONNEG;
  return LRP_OK;
}

/* ---- gather ---- */

static lrp_status gather_forward(const lrp_host *h, lrp_ctx *ctx, const scatter *s, int nd,
                                 const lrp_call *call)
{
  const lrp_tensor *x = &call->in[X], *y = &call->out[0];
  const size_t size = y->dtype == LRP_INDEX ? sizeof(int64_t) : sizeof(lrp_real);
  places p;
  const lrp_status st = find_places(h, ctx, s, nd, call, &p);
  if (st || !x->data) {
    tensor_zero(y);
    return st;
  }
  for (int64_t k = 0; k < p.n && p.inner; k++)
    memcpy((char *)y->data + (size_t)(k * p.inner) * size,
           (const char *)x->data + (size_t)p.at[k] * size, (size_t)p.inner * size);
  return LRP_OK;
}

static lrp_status gather_vjp(const lrp_host *h, lrp_ctx *ctx, const scatter *s, int nd,
                             const lrp_call *call, const lrp_tensor *out_bar, lrp_tensor *in_bar)
{
  places p;
  if (!out_bar[0].data || !in_bar[X].data) return LRP_OK;
  const lrp_status st = find_places(h, ctx, s, nd, call, &p);
  for (int64_t k = 0; !st && k < p.n; k++)
    for (int64_t i = 0; i < p.inner; i++)
      lrp_reals(&in_bar[X])[p.at[k] + i] += lrp_reals(&out_bar[0])[k * p.inner + i];
  return st;
}

/* ---- scatter ---- */

#define MERGED(HOW, OLD, NEW, SUM)                                                                 \
  ((HOW) == ADD   ? (SUM)                                                                          \
   : (HOW) == MAX ? ((NEW) > (OLD) ? (NEW) : (OLD))                                                \
   : (HOW) == MIN ? ((NEW) < (OLD) ? (NEW) : (OLD))                                                \
                  : (NEW))

static void write_block(const lrp_tensor *u, int64_t from, const lrp_tensor *y, int64_t to,
                        int64_t n, int how)
{
  for (int64_t i = 0; i < n; i++)
    if (y->dtype == LRP_REAL) {
      const lrp_real v = u->data ? lrp_reals(u)[from + i] : 0;
      lrp_real *at = lrp_reals(y) + to + i;
      *at = how == MUL ? *at * v : MERGED(how, *at, v, *at + v);
    } else {
      const int64_t v = u->data ? lrp_indices(u)[from + i] : 0;
      int64_t *at = lrp_indices(y) + to + i;
      *at = MERGED(how, *at, v, (int64_t)((uint64_t)*at + (uint64_t)v));
    }
}

static lrp_status scatter_forward(const lrp_host *h, lrp_ctx *ctx, const scatter *s, int nd,
                                  int how, const lrp_call *call)
{
  const lrp_tensor *x = &call->in[X], *y = &call->out[0];
  const strided w = strided_over(y, y, x, NULL);
  places p;
  const lrp_status st = find_places(h, ctx, s, nd, call, &p);
  strided_copy(&w, x, y);
  for (int64_t k = 0; !st && k < p.n; k++)
    write_block(updates_of(call), k * p.inner, y, p.at[k], p.inner, how);
  return st;
}

/* owner[i]: 1 + the block whose element i is in y, 0: that of x; *owner lives in scratch. */
static lrp_status find_owners(const lrp_host *h, lrp_ctx *ctx, const lrp_call *call,
                              const places *p, int how, int64_t **owner)
{
  const lrp_tensor *x = &call->in[X], *u = &call->in[UPDATES];
  lrp_tensor like = *x, t, best;
  like.dtype = LRP_INDEX;
  lrp_status st = h->scratch(ctx, &like, &t);
  if (!st) st = h->scratch(ctx, x, &best);
  *owner = lrp_indices(&t);
  const strided w = strided_over(&best, &best, x, NULL);
  if (!st) strided_copy(&w, x, &best);
  for (int64_t k = 0; !st && k < p->n; k++)
    for (int64_t i = 0; i < p->inner; i++) {
      const lrp_real v = u->data ? lrp_reals(u)[k * p->inner + i] : 0;
      lrp_real *old = lrp_reals(&best) + p->at[k] + i;
      if (how == REPLACE || (how == MAX ? v > *old : v < *old)) {
        *old = v;
        (*owner)[p->at[k] + i] = k + 1;
      }
    }
  return st;
}

static lrp_status scatter_vjp(const lrp_host *h, lrp_ctx *ctx, const scatter *s, int nd, int how,
                              const lrp_call *call, const lrp_tensor *out_bar, lrp_tensor *in_bar)
{
  places p;
  int64_t *owner = NULL;
  if (!out_bar[0].data) return LRP_OK;
  lrp_status st = find_places(h, ctx, s, nd, call, &p);
  if (!st && how != ADD) st = find_owners(h, ctx, call, &p, how, &owner);
  if (st) return st;
  const lrp_real *y_bar = lrp_reals(&out_bar[0]);
  for (int64_t i = 0, n = lrp_count(&call->in[X]); in_bar[X].data && i < n; i++)
    lrp_reals(&in_bar[X])[i] = how == ADD || !owner[i] ? y_bar[i] : 0;
  for (int64_t k = 0; in_bar[UPDATES].data && k < p.n; k++)
    for (int64_t i = 0; i < p.inner; i++)
      if (how == ADD || owner[p.at[k] + i] == k + 1)
        lrp_reals(&in_bar[UPDATES])[k * p.inner + i] = y_bar[p.at[k] + i];
  return LRP_OK;
}

/* x_bar = y_bar times the factors of each place. */
static lrp_status scale_vjp(const lrp_host *h, lrp_ctx *ctx, const scatter *s, int nd, int how,
                            const lrp_call *call, const lrp_tensor *out_bar, lrp_tensor *in_bar)
{
  places p;
  if (!out_bar[0].data || !in_bar[X].data) return LRP_OK;
  const lrp_status st = find_places(h, ctx, s, nd, call, &p);
  if (st) return st;
  memcpy(in_bar[X].data, out_bar[0].data, (size_t)lrp_count(&in_bar[X]) * sizeof(lrp_real));
  for (int64_t k = 0; k < p.n; k++)
    write_block(updates_of(call), k * p.inner, &in_bar[X], p.at[k], p.inner, how);
  return LRP_OK;
}
#define scale_infer   scatter_infer
#define scale_forward scatter_forward

/* ---- operators ---- */

static lrp_status read_axis(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)
{
  a[0].i = h->node_int(node, "axis", 0);
  return check_axes(h, ctx, &a[0].i, 1, h->node_rank(node, 0));
}

static lrp_status read_batch(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)
{
  (void)ctx;
  a[0].i = h->node_int(node, "batch_dims", 0);
  return LRP_OK;
}

static lrp_status read_reduction(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node,
                                 const char *wanted)
{
  const char *how = h->node_text(node, "reduction", "none");
  if (!strcmp(how, wanted)) return LRP_OK;
  if (!strcmp(how, "mul"))
    return h->fail(ctx, LRP_E_UNSUPPORTED,
                   "reduction \"mul\" wants constant updates; these depend on the model's input");
  return h->fail(ctx, LRP_E_UNSUPPORTED,
                 "reduction \"%s\" is not supported; none, add, max, min and mul are", how);
}

#define READ(NAME, NUMBER, HOW)                                                                    \
  static lrp_status NAME(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)      \
  {                                                                                                \
    const lrp_status st = read_reduction(h, ctx, node, HOW);                                       \
    return st ? st : NUMBER(h, ctx, node, a);                                                      \
  }
#define READ_BOTH(SUFFIX, HOW)                                                                     \
  READ(read_elements##SUFFIX, read_axis, HOW)                                                      \
  READ(read_nd##SUFFIX, read_batch, HOW)
READ_BOTH(, "none")
READ_BOTH(_add, "add")
READ_BOTH(_max, "max")
READ_BOTH(_min, "min")
READ_BOTH(_mul, "mul")

#define CALLBACKS(NAME, WHAT, ...)                                                                 \
  static lrp_status NAME##_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst,                \
                                 lrp_call *call)                                                   \
  {                                                                                                \
    return WHAT##_infer(h, ctx, inst, FIRST(__VA_ARGS__, 0), call);                                \
  }                                                                                                \
  static lrp_status NAME##_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst,              \
                                   lrp_call *call)                                                 \
  {                                                                                                \
    return WHAT##_forward(h, ctx, inst, __VA_ARGS__, call);                                        \
  }                                                                                                \
  static lrp_status NAME##_vjp(const lrp_host *h, lrp_ctx *ctx, const void *inst,                  \
                               const lrp_call *call, const lrp_tensor *out_bar,                    \
                               lrp_tensor *in_bar)                                                 \
  {                                                                                                \
    return WHAT##_vjp(h, ctx, inst, __VA_ARGS__, call, out_bar, in_bar);                           \
  }
#define FIRST(A, ...) (A)
CALLBACKS(gather_elements, gather, 0)
CALLBACKS(gather_nd, gather, 1)
CALLBACKS(scatter_elements, scatter, 0, REPLACE)
CALLBACKS(scatter_elements_add, scatter, 0, ADD)
CALLBACKS(scatter_elements_max, scatter, 0, MAX)
CALLBACKS(scatter_elements_min, scatter, 0, MIN)
CALLBACKS(scatter_elements_mul, scale, 0, MUL)
CALLBACKS(scatter_nd, scatter, 1, REPLACE)
CALLBACKS(scatter_nd_add, scatter, 1, ADD)
CALLBACKS(scatter_nd_max, scatter, 1, MAX)
CALLBACKS(scatter_nd_min, scatter, 1, MIN)
CALLBACKS(scatter_nd_mul, scale, 1, MUL)

#define TYPE(NAME, KIND, PORTS, ARGS, DOC, ...)                                                    \
  static const lrp_operator NAME##_operators[] = {__VA_ARGS__, {0}};                               \
  static const lrp_layer_type NAME##_type = {.struct_size = sizeof NAME##_type,                    \
                                             .kind = KIND,                                         \
                                             .layout = LRP_LAYOUT_MODEL,                           \
                                             .name = #NAME,                                        \
                                             .doc = DOC,                                           \
                                             .args = ARGS,                                         \
                                             .in = PORTS##_in,                                     \
                                             .param = PORTS##_params,                              \
                                             .out = any_out,                                       \
                                             .operators = NAME##_operators,                        \
                                             .create = create,                                     \
                                             .destroy = free,                                      \
                                             .infer = NAME##_infer,                                \
                                             .forward = NAME##_forward,                            \
                                             .vjp = NAME##_vjp};
#define OP(NAME, SINCE, READER)                                                                    \
  {                                                                                                \
    .domain = "", .name = NAME, .since = SINCE, .args = READER                                     \
  }
TYPE(gather_elements, LRP_KIND_RESHAPE, gather, axis_args,
     "y = elements of x, each at its own index along an axis", OP("GatherElements", 11, read_axis))
TYPE(gather_nd, LRP_KIND_RESHAPE, gather, batch_args,
     "y = parts of x, each named by a row of indices", OP("GatherND", 11, read_batch))
TYPE(scatter_elements, LRP_KIND_RESHAPE, scatter, axis_args,
     "y = x with elements replaced, each at its own index",
     OP("ScatterElements", 11, read_elements),
     {.domain = "", .name = "Scatter", .since = 9, .until = 10, .args = read_elements})
TYPE(scatter_nd, LRP_KIND_RESHAPE, scatter, batch_args,
     "y = x with parts replaced, each named by a row of indices", OP("ScatterND", 11, read_nd))
TYPE(scatter_elements_add, LRP_KIND_SUM, scatter, axis_args,
     "y = x with elements added, each at its own index",
     OP("ScatterElements", 16, read_elements_add))
TYPE(scatter_nd_add, LRP_KIND_SUM, scatter, batch_args,
     "y = x with parts added, each named by a row of indices", OP("ScatterND", 16, read_nd_add))
TYPE(scatter_elements_max, LRP_KIND_POOL_MAX, scatter, axis_args,
     "y = x with elements put where they are larger, each at its own index",
     OP("ScatterElements", 18, read_elements_max))
TYPE(scatter_nd_max, LRP_KIND_POOL_MAX, scatter, batch_args,
     "y = x with parts put where they are larger, each named by a row of indices",
     OP("ScatterND", 18, read_nd_max))
TYPE(scatter_elements_min, LRP_KIND_POOL_MAX, scatter, axis_args,
     "y = x with elements put where they are smaller, each at its own index",
     OP("ScatterElements", 18, read_elements_min))
TYPE(scatter_nd_min, LRP_KIND_POOL_MAX, scatter, batch_args,
     "y = x with parts put where they are smaller, each named by a row of indices",
     OP("ScatterND", 18, read_nd_min))
TYPE(scatter_elements_mul, LRP_KIND_ELEMENTWISE, scale, axis_args,
     "y = x with elements multiplied by constants, each at its own index",
     OP("ScatterElements", 16, read_elements_mul))
TYPE(scatter_nd_mul, LRP_KIND_ELEMENTWISE, scale, batch_args,
     "y = x with parts multiplied by constants, each named by a row of indices",
     OP("ScatterND", 16, read_nd_mul))

static const lrp_layer_type *const layers[] = {&gather_elements_type,
                                               &gather_nd_type,
                                               &scatter_elements_type,
                                               &scatter_elements_add_type,
                                               &scatter_elements_max_type,
                                               &scatter_elements_min_type,
                                               &scatter_elements_mul_type,
                                               &scatter_nd_type,
                                               &scatter_nd_add_type,
                                               &scatter_nd_max_type,
                                               &scatter_nd_min_type,
                                               &scatter_nd_mul_type,
                                               NULL};
LRP_PLUGIN(layer_scatter, "scatter", "1.0", "MIT", "elements read and written by indices", layers,
           NULL, NULL);
