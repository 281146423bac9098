/* pool.c - layers "maxpool", "avgpool", "globalmaxpool", "globalavgpool", channels-last.
 * One geometry serves all: three spatial axes, the unused ones in front of size 1; a global pool is
 * a window as large as the image.  Positions of y are independent going forward; going back,
 * windows overlap, so threads share out samples and blocks of channels. */
#include "window.h"
#include <stdlib.h>

enum {
  BLOCK = 64
}; /* channels handled together: their running maxima stay in the first-level cache */
enum { KERNEL, STRIDE, DILATION, PAD, AUTO_PAD, CEIL_MODE, COUNT_PAD, N_ARG };

typedef struct pool {
  window_lists lists;
  int ceil_mode, count_pad;
} pool;
typedef struct geometry {
  int64_t n, c, in, out; /* samples, channels, positions of x and of y in a sample */
  window axis[WINDOW_AXES];
  int count_pad;
} geometry;
typedef struct region { /* one window: its taps along the three axes */
  window_taps axis[WINDOW_AXES];
} region;

#define POOL_ARGS                                                                                  \
  {.name = "kernel",                                                                               \
   .type = LRP_ARG_INTS,                                                                           \
   .flags = LRP_ARG_REQUIRED,                                                                      \
   .min = 1,                                                                                       \
   .max = 1 << 30,                                                                                 \
   .doc = "window's size along each spatial axis"},                                                \
      WINDOW_ARG_STRIDE, WINDOW_ARG_DILATION, WINDOW_ARG_PAD, WINDOW_ARG_AUTO_PAD,                 \
  {                                                                                                \
    .name = "ceil_mode", .type = LRP_ARG_BOOL, .doc = "sizes of y are rounded up, not down"        \
  }
static const lrp_arg max_args[] = {POOL_ARGS, LRP_ARGS_END};
static const lrp_arg avg_args[] = {POOL_ARGS,
                                   {.name = "count_include_pad",
                                    .type = LRP_ARG_BOOL,
                                    .doc = "padding counts as zeros that are averaged over"},
                                   LRP_ARGS_END};
static const lrp_port ins[] = {{.name = "x", .role = LRP_PORT_DATA}, LRP_PORTS_END};
static const lrp_port outs[] = {{.name = "y", .role = LRP_PORT_DATA}, LRP_PORTS_END};
static const char *const freezable[] = {"argmax", NULL};

static lrp_status create(const lrp_host *h, lrp_ctx *ctx, const lrp_value *a, int count_pad,
                         void **inst)
{
  pool *p = calloc(1, sizeof *p);
  if (!p) return h->fail(ctx, LRP_E_NOMEM, "pool: no memory for an instance");
  *p = (pool){.lists = {.kernel = a[KERNEL],
                        .stride = a[STRIDE],
                        .dilation = a[DILATION],
                        .pad = a[PAD],
                        .auto_pad = a[AUTO_PAD].i},
              .ceil_mode = a[CEIL_MODE].i != 0,
              .count_pad = count_pad};
  const lrp_status st = window_check_all(h, ctx, "pool", &p->lists);
  if (st) {
    free(p);
    return st;
  }
  *inst = p;
  return LRP_OK;
}

static lrp_status max_create(const lrp_host *h, lrp_ctx *ctx, const lrp_value *a, void **inst)
{
  return create(h, ctx, a, 0, inst);
}

static lrp_status avg_create(const lrp_host *h, lrp_ctx *ctx, const lrp_value *a, void **inst)
{
  return create(h, ctx, a, a[COUNT_PAD].i != 0, inst);
}

/* ---- geometry ---- */

/* p NULL: a global pool, with any number of spatial axes seen as one. */
static geometry geometry_of(const pool *p, const lrp_tensor *x, int *fits)
{
  const int64_t n = p ? x->rank - 2 : 1;
  geometry g = {.n = x->shape[0],
                .c = x->shape[x->rank - 1],
                .in = 1,
                .out = 1,
                .count_pad = p && p->count_pad};
  *fits = 1;
  for (int64_t a = 0; a < WINDOW_AXES; a++)
    g.axis[a] = (window){.in = 1, .out = 1, .kernel = 1, .stride = 1, .dilation = 1};
  for (int32_t i = 1; !p && i + 1 < x->rank; i++)
    g.axis[2].in = g.axis[2].kernel *= x->shape[i];
  for (int64_t a = 0; p && a < n; a++) {
    window *w = &g.axis[WINDOW_AXES - n + a];
    *w = window_axis(&p->lists, a, n, window_pick(&p->lists.kernel, a, 1));
    *fits &= window_fit(&p->lists, w, x->shape[1 + a], p->ceil_mode);
  }
  for (int64_t a = 0; a < WINDOW_AXES; a++) {
    g.in *= g.axis[a].in;
    g.out *= g.axis[a].out;
  }
  return g;
}

/* Every window must see at least one element of x, or its maximum and mean do not exist. */
static lrp_status check_windows(const lrp_host *h, lrp_ctx *ctx, const char *who, const geometry *g)
{
  int64_t cells = 1;
  for (int64_t a = 0; a < WINDOW_AXES; a++) {
    const window *w = &g->axis[a];
    if (w->lo >= window_span(w) || w->hi >= window_span(w))
      return h->fail(ctx, LRP_E_ARG,
                     "%s: pads of %lld and %lld are too large for a window over %lld elements", who,
                     (long long)w->lo, (long long)w->hi, (long long)window_span(w));
    /* starting inside x, a window sees its first tap; before x, it can miss x only by steps longer
     * than x */
    for (int64_t o = 0; w->dilation > w->in && o < w->out; o++)
      if (window_at(w, o).n < 1)
        return h->fail(ctx, LRP_E_ARG,
                       "%s: window %lld of y lies in the padding only; use smaller pads", who,
                       (long long)o);
    if (__builtin_mul_overflow(cells, w->in, &cells) || cells > INT32_MAX)
      return h->fail(ctx, LRP_E_SHAPE, "%s: an image has more than %ld positions", who,
                     (long)INT32_MAX);
  }
  return LRP_OK;
}

static lrp_status infer_pool(const lrp_host *h, lrp_ctx *ctx, const char *who, const pool *p,
                             lrp_call *call)
{
  const lrp_tensor *x = &call->in[0];
  lrp_tensor *y = &call->out[0];
  lrp_status st = window_rank(h, ctx, who, &p->lists, x);
  if (st) return st;
  if (!p->lists.kernel.ints.n)
    return h->fail(ctx, LRP_E_ARG, "%s: kernel is needed, for example kernel=2/2", who);
  int fits;
  const geometry g = geometry_of(p, x, &fits);
  if (!fits)
    return h->fail(ctx, LRP_E_SHAPE, "%s: the window is larger than the padded input", who);
  st = check_windows(h, ctx, who, &g);
  if (st) return st;
  tensor_describe(y, LRP_REAL, x->rank, x->shape);
  for (int32_t a = 0; a + 2 < x->rank; a++)
    y->shape[1 + a] = g.axis[WINDOW_AXES - (x->rank - 2) + a].out;
  y->flags = x->flags & LRP_NONNEG;
  return LRP_OK;
}

static lrp_status infer_global(const lrp_host *h, lrp_ctx *ctx, const char *who, lrp_call *call)
{
  const lrp_tensor *x = &call->in[0];
  lrp_tensor *y = &call->out[0];
  const lrp_status st = need_reals(h, ctx, who, x);
  int64_t cells = 1;
  if (st) return st;
  if (x->rank < 3)
    return h->fail(ctx, LRP_E_SHAPE,
                   "%s: x has rank %d, 3 or more was expected (samples, channels, spatial axes)",
                   who, x->rank);
  tensor_describe(y, LRP_REAL, x->rank, x->shape);
  y->flags = x->flags & LRP_NONNEG;
  for (int32_t i = 1; i + 1 < x->rank; i++) {
    if (x->shape[i] < 1 || __builtin_mul_overflow(cells, x->shape[i], &cells) || cells > INT32_MAX)
      return h->fail(
          ctx, LRP_E_SHAPE,
          "%s: spatial axis %d of x has %lld elements; an image needs 1 to %ld positions", who,
          i - 1, (long long)x->shape[i], (long)INT32_MAX);
    y->shape[i] = 1;
  }
  return LRP_OK;
}

/* Room for each output's winner: its flat index in the sample. */
static void save_argmax(lrp_call *call)
{
  tensor_describe(&call->saved[0], LRP_INDEX, call->out[0].rank, call->out[0].shape);
}

static lrp_status max_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const lrp_status st = inst ? infer_pool(h, ctx, "maxpool", inst, call)
                             : infer_global(h, ctx, "globalmaxpool", call);
  if (!st) save_argmax(call);
  return st;
}

static lrp_status avg_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  return inst ? infer_pool(h, ctx, "avgpool", inst, call)
              : infer_global(h, ctx, "globalavgpool", call);
}

/* The window of position o of a sample. */
static region region_at(const geometry *g, int64_t o)
{
  const int64_t o2 = g->axis[2].out, o1 = g->axis[1].out;
  return (region){{window_at(&g->axis[0], o / (o1 * o2)), window_at(&g->axis[1], o / o2 % o1),
                   window_at(&g->axis[2], o % o2)}};
}

#define FOR_TAPS(g, r, at)                                                                         \
  for (int64_t i0_ = 0, p0_ = (r)->axis[0].first; i0_ < (r)->axis[0].n;                            \
       i0_++, p0_ += (g)->axis[0].dilation)                                                        \
    for (int64_t i1_ = 0, p1_ = (r)->axis[1].first; i1_ < (r)->axis[1].n;                          \
         i1_++, p1_ += (g)->axis[1].dilation)                                                      \
      for (int64_t i2_ = 0,                                                                        \
                   at = (p0_ * (g)->axis[1].in + p1_) * (g)->axis[2].in + (r)->axis[2].first;      \
           i2_ < (r)->axis[2].n; i2_++, at += (g)->axis[2].dilation)

/* What the mean divides by: taps inside x, or inside x and its padding. */
static double divisor(const geometry *g, const region *r, int64_t o)
{
  if (!g->count_pad) return (double)(r->axis[0].n * r->axis[1].n * r->axis[2].n);
  const int64_t o2 = g->axis[2].out, o1 = g->axis[1].out,
                at[WINDOW_AXES] = {o / (o1 * o2), o / o2 % o1, o % o2};
  int64_t n = 1;
  for (int64_t a = 0; a < WINDOW_AXES; a++) {
    const window *w = &g->axis[a];
    const int64_t taps = (w->in + w->hi - 1 - (at[a] * w->stride - w->lo)) / w->dilation + 1;
    n *= taps < w->kernel
             ? taps
             : w->kernel; /* ceil mode reaches behind the padding: that part never counts */
  }
  return (double)n;
}

/* ---- maximum ---- */

/* m channels of one window of sample x; the first of equal maxima wins, in row-major order.  NaN
 * wins over all. */
static void max_block(const geometry *g, const region *r, const lrp_real *x, int64_t c, int64_t m,
                      lrp_real *y, int64_t *argmax)
{
  lrp_real best[BLOCK];
  int32_t where[BLOCK];
  const int64_t start =
      (r->axis[0].first * g->axis[1].in + r->axis[1].first) * g->axis[2].in + r->axis[2].first;
  for (int64_t j = 0; j < m; j++) {
    best[j] = x[start * g->c + c + j];
    where[j] = (int32_t)start;
  }
  FOR_TAPS(g, r, at)
  {
    const lrp_real *row = x + at * g->c + c;
#pragma omp simd
    for (int64_t j = 0; j < m; j++) {
      const int wins = row[j] > best[j] || row[j] != row[j];
      best[j] = wins ? row[j] : best[j];
      where[j] = wins ? (int32_t)at : where[j];
    }
  }
  memcpy(y + c, best, (size_t)m * sizeof *best);
  for (int64_t j = 0; argmax && j < m; j++)
    argmax[c + j] = where[j] * g->c + c + j;
}

static void max_find(const geometry *g, const lrp_real *x, lrp_real *y, int64_t *argmax)
{
  LRP_THREADS(g->n * g->in * g->c > PARALLEL_MIN,
  for (int64_t i = 0; i < g->n * g->out; i++) {
    const region r = region_at(g, i % g->out);
    const lrp_real *sample = x + i / g->out * g->in * g->c;
    for (int64_t c = 0; c < g->c; c += BLOCK)
      max_block(g, &r, sample, c, g->c - c < BLOCK ? g->c - c : BLOCK, y + i * g->c,
                argmax ? argmax + i * g->c : NULL);
  });
}

static lrp_status max_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  int fits;
  const geometry g = geometry_of(inst, &call->in[0], &fits);
  const lrp_real *x = lrp_reals(&call->in[0]);
  lrp_real *y = lrp_reals(&call->out[0]);
  int64_t *argmax = lrp_indices(&call->saved[0]);
  (void)h, (void)ctx;
  if (!x) {
    tensor_zero(&call->out[0]);
  } else if (call->freeze & 1) {
    LRP_THREADS(g.n * g.out * g.c > PARALLEL_MIN,
    for (int64_t i = 0; i < g.n * g.out; i++) {
      const lrp_real *sample = x + i / g.out * g.in * g.c;
      for (int64_t c = i * g.c; c < (i + 1) * g.c; c++)
        y[c] = sample[argmax[c]];
    });
  } else {
    max_find(&g, x, y, argmax);
  }
  return LRP_OK;
}

static lrp_status max_vjp(const lrp_host *h, lrp_ctx *ctx, const void *inst, const lrp_call *call,
                          const lrp_tensor *out_bar, lrp_tensor *in_bar)
{
  int fits;
  const geometry g = geometry_of(inst, &call->in[0], &fits);
  const lrp_real *y_bar = lrp_reals(&out_bar[0]);
  const int64_t *argmax = lrp_indices(&call->saved[0]), blocks = (g.c + BLOCK - 1) / BLOCK;
  (void)h, (void)ctx;
  if (!in_bar[0].data || !y_bar) return LRP_OK;
  LRP_THREADS_AS(collapse(2), g.n * g.out * g.c > PARALLEL_MIN,
  for (int64_t n = 0; n < g.n; n++)
    for (int64_t b = 0; b < blocks; b++) {
      lrp_real *x_bar = lrp_reals(&in_bar[0]) + n * g.in * g.c;
      const int64_t end = b * BLOCK + BLOCK < g.c ? b * BLOCK + BLOCK : g.c;
      for (int64_t o = n * g.out; o < (n + 1) * g.out; o++)
        for (int64_t c = b * BLOCK; c < end; c++)
          x_bar[argmax[o * g.c + c]] += y_bar[o * g.c + c];
    });
  return LRP_OK;
}

/* What each window sees; its channels are one visit. */
static lrp_status max_windows(const lrp_host *h, lrp_ctx *ctx, const void *inst,
                              const lrp_call *call, lrp_window_visit visit, void *user)
{
  int fits;
  const geometry g = geometry_of(inst, &call->in[0], &fits);
  lrp_tensor list = {.dtype = LRP_INDEX, .rank = 1, .shape = {g.in}};
  lrp_status st = h->scratch(ctx, &list, &list);
  for (int64_t i = 0; !st && i < g.n * g.out; i++) {
    const region r = region_at(&g, i % g.out);
    lrp_window w = {
        .struct_size = sizeof w, .first = i * g.c, .width = g.c, .at = lrp_indices(&list)};
    FOR_TAPS(&g, &r, at)
    {
      lrp_indices(&list)[w.n++] = (i / g.out * g.in + at) * g.c;
    }
    st = visit(user, &w);
  }
  return st;
}

/* ---- mean ---- */

static void avg_block(const geometry *g, const region *r, double n, const lrp_real *x, int64_t c,
                      int64_t m, lrp_real *y)
{
  double sum[BLOCK] = {0}; /* a window may have any number of taps */
  FOR_TAPS(g, r, at)
  {
    const lrp_real *row = x + at * g->c + c;
#pragma omp simd
    for (int64_t j = 0; j < m; j++)
      sum[j] += (double)row[j];
  }
#pragma omp simd
  for (int64_t j = 0; j < m; j++)
    y[c + j] = (lrp_real)(sum[j] / n);
}

static lrp_status avg_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  int fits;
  const geometry g = geometry_of(inst, &call->in[0], &fits);
  const int64_t blocks = (g.c + BLOCK - 1) / BLOCK;
  (void)h, (void)ctx;
  if (!call->in[0].data) {
    tensor_zero(&call->out[0]);
    return LRP_OK;
  }
  LRP_THREADS_AS(collapse(2), g.n * g.in * g.c > PARALLEL_MIN,
  for (int64_t i = 0; i < g.n * g.out; i++)
    for (int64_t b = 0; b < blocks; b++) {
      const region r = region_at(&g, i % g.out);
      const int64_t c = b * BLOCK;
      avg_block(&g, &r, divisor(&g, &r, i % g.out),
                lrp_reals(&call->in[0]) + i / g.out * g.in * g.c, c,
                g.c - c < BLOCK ? g.c - c : BLOCK, lrp_reals(&call->out[0]) + i * g.c);
    });
  return LRP_OK;
}

static void avg_back(const geometry *g, const region *r, double n, const lrp_real *y_bar, int64_t c,
                     int64_t m, lrp_real *x_bar)
{
  lrp_real share[BLOCK];
#pragma omp simd
  for (int64_t j = 0; j < m; j++)
    share[j] = (lrp_real)((double)y_bar[c + j] / n);
  FOR_TAPS(g, r, at)
  {
    lrp_real *row = x_bar + at * g->c + c;
#pragma omp simd
    for (int64_t j = 0; j < m; j++)
      row[j] += share[j];
  }
}

static lrp_status avg_vjp(const lrp_host *h, lrp_ctx *ctx, const void *inst, const lrp_call *call,
                          const lrp_tensor *out_bar, lrp_tensor *in_bar)
{
  int fits;
  const geometry g = geometry_of(inst, &call->in[0], &fits);
  const int64_t blocks = (g.c + BLOCK - 1) / BLOCK;
  (void)h, (void)ctx;
  if (!in_bar[0].data || !out_bar[0].data) return LRP_OK;
  LRP_THREADS_AS(collapse(2), g.n * g.in * g.c > PARALLEL_MIN,
  for (int64_t n = 0; n < g.n; n++)
    for (int64_t b = 0; b < blocks; b++)
      for (int64_t o = 0; o < g.out; o++) {
        const region r = region_at(&g, o);
        const int64_t c = b * BLOCK;
        avg_back(&g, &r, divisor(&g, &r, o), lrp_reals(&out_bar[0]) + (n * g.out + o) * g.c, c,
                 g.c - c < BLOCK ? g.c - c : BLOCK, lrp_reals(&in_bar[0]) + n * g.in * g.c);
      });
  return LRP_OK;
}

/* ---- ONNX ---- */

static lrp_status pool_args(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)
{
  a[KERNEL] = h->node_ints(node, "kernel_shape");
  a[CEIL_MODE].i = h->node_int(node, "ceil_mode", 0) != 0;
  if (!a[KERNEL].ints.n)
    return h->fail(ctx, LRP_E_INPUT, "a pool without the attribute kernel_shape");
  return window_read(h, ctx, node, &a[STRIDE], &a[DILATION], &a[PAD], &a[AUTO_PAD]);
}

static lrp_status maxpool_args(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)
{
  if (h->node_n_out(node) > 1)
    return h->fail(ctx, LRP_E_UNSUPPORTED,
                   "MaxPool with its second output, Indices, is not supported");
  return pool_args(h, ctx, node, a);
}

static lrp_status avgpool_args(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)
{
  a[COUNT_PAD].i = h->node_int(node, "count_include_pad", 0) != 0;
  return pool_args(h, ctx, node, a);
}

static const lrp_operator max_operators[] = {
    {.domain = "", .name = "MaxPool", .since = 1, .inputs = "x", .args = maxpool_args}, {0}};
static const lrp_operator avg_operators[] = {
    {.domain = "", .name = "AveragePool", .since = 1, .inputs = "x", .args = avgpool_args}, {0}};
static const lrp_operator gmax_operators[] = {
    {.domain = "", .name = "GlobalMaxPool", .since = 1, .inputs = "x"}, {0}};
static const lrp_operator gavg_operators[] = {
    {.domain = "", .name = "GlobalAveragePool", .since = 1, .inputs = "x"}, {0}};

#define MAX_TYPE(type_name, what, ops, ...)                                                        \
  {                                                                                                \
    .struct_size = sizeof(lrp_layer_type), .kind = LRP_KIND_POOL_MAX, .layout = LRP_LAYOUT_IMAGE,  \
    .n_saved = 1, .name = type_name, .doc = what, .in = ins, .out = outs, .freezable = freezable,  \
    .operators = ops, .infer = max_infer, .forward = max_forward, .vjp = max_vjp,                  \
    .windows = max_windows, __VA_ARGS__                                                            \
  }
#define AVG_TYPE(type_name, what, ops, ...)                                                        \
  {                                                                                                \
    .struct_size = sizeof(lrp_layer_type), .kind = LRP_KIND_POOL_SUM, .layout = LRP_LAYOUT_IMAGE,  \
    .name = type_name, .doc = what, .in = ins, .out = outs, .operators = ops, .infer = avg_infer,  \
    .forward = avg_forward, .vjp = avg_vjp, __VA_ARGS__                                            \
  }
static const lrp_layer_type maxpool_type =
    MAX_TYPE("maxpool", "maximum over windows; the first of equal maxima wins", max_operators,
             .args = max_args, .create = max_create, .destroy = free);
static const lrp_layer_type avgpool_type =
    AVG_TYPE("avgpool", "mean over windows", avg_operators, .args = avg_args, .create = avg_create,
             .destroy = free);
static const lrp_layer_type globalmaxpool_type =
    MAX_TYPE("globalmaxpool", "maximum over all spatial axes; the first of equal maxima wins",
             gmax_operators, .args = NULL);
static const lrp_layer_type globalavgpool_type =
    AVG_TYPE("globalavgpool", "mean over all spatial axes", gavg_operators, .args = NULL);
static const lrp_layer_type *const layers[] = {&maxpool_type, &avgpool_type, &globalmaxpool_type,
                                               &globalavgpool_type, NULL};
LRP_PLUGIN(layer_pool, "pool", "1.0", "MIT",
           "maximum and average pools, in windows or over whole images", layers, NULL, NULL);
