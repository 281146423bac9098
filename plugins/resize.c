/* resize.c - layers "resize", an image or any tensor at another size by linear or cubic interpolation, and
 * "resize_nearest".  Both are linear maps, one axis after the other; formulas are those of the ONNX page of Resize. */
#include "rearrange.h"
#include <math.h>
#include <stdlib.h>

enum { NEAREST, LINEAR, CUBIC };
enum {
  HALF_PIXEL,
  ASYMMETRIC,
  ALIGN_CORNERS,
  PYTORCH_HALF_PIXEL,
  HALF_PIXEL_SYMMETRIC,
  TF_HALF_PIXEL_FOR_NN
};
enum { ROUND_PREFER_FLOOR, ROUND_PREFER_CEIL, FLOOR, CEIL };
enum { AXES, SIZES, SCALES, MODE, WHERE, ROUNDING, CUBIC_A, EXCLUDE, ANTIALIAS };
typedef struct resize {
  lrp_value axes, sizes, scales;
  int mode, where, rounding, exclude, antialias;
  double a;
} resize;

#define COMMON_ARGS                                                                                \
  {.name = "axes",                                                                                 \
   .type = LRP_ARG_INTS,                                                                           \
   .flags = LRP_ARG_AXIS,                                                                          \
   .doc = "axes that get another size"},                                                           \
      {.name = "sizes",                                                                            \
       .type = LRP_ARG_INTS,                                                                       \
       .max = 1e15,                                                                                \
       .doc = "their new sizes; empty: scales are used"},                                          \
      {.name = "scales",                                                                           \
       .type = LRP_ARG_REALS,                                                                      \
       .flags = LRP_ARG_OPEN_MIN,                                                                  \
       .min = 0,                                                                                   \
       .max = 1e9,                                                                                 \
       .doc = "new size over old one; empty: sizes are used"},                                     \
      {.name = "mode",                                                                             \
       .type = LRP_ARG_CHOICE,                                                                     \
       .choices = "nearest|linear|cubic",                                                          \
       .doc = "interpolation"},                                                                    \
      {.name = "where",                                                                            \
       .type = LRP_ARG_CHOICE,                                                                     \
       .choices = "half_pixel|asymmetric|align_corners|pytorch_half_pixel|half_pixel_symmetric|"   \
                  "tf_half_pixel_for_nn",                                                          \
       .doc = "which place of x an element of y is; ONNX coordinate_transformation_mode"},         \
      {.name = "rounding",                                                                         \
       .type = LRP_ARG_CHOICE,                                                                     \
       .choices = "round_prefer_floor|round_prefer_ceil|floor|ceil",                               \
       .doc = "of places, in mode nearest; ONNX nearest_mode"},                                    \
      {.name = "cubic",                                                                            \
       .type = LRP_ARG_REAL,                                                                       \
       .def = -0.75,                                                                               \
       .min = -100,                                                                                \
       .max = 100,                                                                                 \
       .doc = "coefficient of the cubic kernel; the default is ONNX's"},                           \
      {.name = "exclude_outside",                                                                  \
       .type = LRP_ARG_BOOL,                                                                       \
       .doc = "places outside of x have weight 0"},                                                \
      {.name = "antialias",                                                                        \
       .type = LRP_ARG_BOOL,                                                                       \
       .doc = "the kernel is stretched where y is smaller than x"},                                \
      LRP_ARGS_END
static const lrp_arg args[] = {COMMON_ARGS};
static const lrp_port ins[] = {{.name = "x", .role = LRP_PORT_DATA}, LRP_PORTS_END};
static const lrp_port outs[] = {{.name = "y", .role = LRP_PORT_DATA}, LRP_PORTS_END};

static lrp_status create(const lrp_host *h, lrp_ctx *ctx, const lrp_value *a, void **inst)
{
  resize *r = malloc(sizeof *r);
  if (!r) return h->fail(ctx, LRP_E_NOMEM, "resize: no memory for an instance");
  *r = (resize){.axes = a[AXES],
                .sizes = a[SIZES],
                .scales = a[SCALES],
                .mode = (int)a[MODE].i,
                .where = (int)a[WHERE].i,
                .rounding = (int)a[ROUNDING].i,
                .a = a[CUBIC_A].real,
                .exclude = a[EXCLUDE].i != 0,
                .antialias = a[ANTIALIAS].i != 0};
  *inst = r;
  return LRP_OK;
}

static double scale_of(const resize *r, int64_t i, int64_t n)
{
  return r->scales.reals.n ? (double)r->scales.reals.v[i]
         : n               ? (double)r->sizes.ints.v[i] / (double)n
                           : 1;
}

static lrp_status infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const resize *r = inst;
  const lrp_tensor *x = &call->in[0];
  const int64_t n_axes = r->axes.ints.n;
  uint32_t bits;
  lrp_status st = need_reals(h, ctx, "resize", x);
  if (!st) st = axis_bits(h, ctx, "resize", &r->axes, x->rank, &bits);
  if (st) return st;
  if ((r->sizes.ints.n != n_axes) == (r->scales.reals.n != n_axes) && n_axes)
    return h->fail(ctx, LRP_E_ARG, "resize: %lld axes, but %lld sizes and %lld scales",
                   (long long)n_axes, (long long)r->sizes.ints.n, (long long)r->scales.reals.n);
  moved_describe(&call->out[0], x, x->rank, x->shape);
  call->out[0].flags &= r->mode == CUBIC ? 0u : (uint32_t)LRP_NONNEG;
  for (int64_t i = 0; i < n_axes; i++) {
    const int64_t a = r->axes.ints.v[i] + (r->axes.ints.v[i] < 0 ? x->rank : 0), n = x->shape[a];
    const double size =
        r->scales.reals.n ? floor((double)n * scale_of(r, i, n)) : (double)r->sizes.ints.v[i];
    if (!(size <= 1e15) || (n == 0 && size > 0))
      return h->fail(ctx, LRP_E_SHAPE, "resize: axis %lld of %lld elements cannot become %g",
                     (long long)a, (long long)n, size);
    call->out[0].shape[a] = (int64_t)size;
  }
  return LRP_OK;
}

/* ---- one axis: each element of y is a weighted sum of `taps` neighbours of x ---- */

typedef struct axis {
  int64_t outer, n, m, inner; /* x is (outer,n,inner), y (outer,m,inner) */
  double scale, stretch;      /* of the kernel */
  int64_t taps, *index;
  double *weight;
} axis;

/* The place of x that element j of y is. */
static double place(const resize *r, double scale, int64_t n, int64_t m, int64_t j)
{
  const double half = ((double)j + 0.5) / scale,
               width = scale * (double)n; /* of y, before it is cut to an integer */
  switch (r->where) {
  case ASYMMETRIC:
    return (double)j / scale;
  case ALIGN_CORNERS:
    return m == 1 ? 0 : (double)j * (double)(n - 1) / (width - 1);
  case PYTORCH_HALF_PIXEL:
    return m > 1 ? half - 0.5 : 0;
  case HALF_PIXEL_SYMMETRIC:
    return (double)n / 2 * (1 - (double)m / width) + half - 0.5;
  case TF_HALF_PIXEL_FOR_NN:
    return half;
  default:
    return half - 0.5;
  }
}

static double rounded(int how, double x)
{
  switch (how) {
  case ROUND_PREFER_FLOOR:
    return ceil(x - 0.5);
  case ROUND_PREFER_CEIL:
    return floor(x + 0.5);
  case FLOOR:
    return floor(x);
  default:
    return ceil(x);
  }
}

/* Linear: 1 - |d|; cubic: Keys 1981, as in the ONNX page. */
static double kernel(const resize *r, double d)
{
  const double t = fabs(d), a = r->a;
  if (r->mode == LINEAR) return t < 1 ? 1 - t : 0;
  return t < 1   ? ((a + 2) * t - (a + 3)) * t * t + 1
         : t < 2 ? ((a * t - 5 * a) * t + 8 * a) * t - 4 * a
                 : 0;
}

static int64_t inside(double i, int64_t n)
{
  return i < 0 ? 0 : i > (double)(n - 1) ? n - 1 : (int64_t)i;
}

/* Weights of element j of y; they are scaled to sum 1 where the kernel was cut or stretched. */
static void fill_row(const resize *r, const axis *t, int64_t j)
{
  const double x = place(r, t->scale, t->n, t->m, j), first = floor(x) - (double)(t->taps / 2 - 1);
  double sum = 0;
  if (r->mode == NEAREST) {
    t->index[0] = inside(rounded(r->rounding, x), t->n);
    t->weight[0] = 1;
    return;
  }
  for (int64_t k = 0; k < t->taps; k++) {
    const double at = first + (double)k;
    t->index[k] = inside(at, t->n);
    t->weight[k] =
        r->exclude && (at < 0 || at > (double)(t->n - 1)) ? 0 : kernel(r, (at - x) * t->stretch);
    sum += t->weight[k];
  }
  for (int64_t k = 0; (r->exclude || t->stretch < 1) && sum != 0 && k < t->taps; k++)
    t->weight[k] /= sum;
}

static lrp_status make_axis(const lrp_host *h, lrp_ctx *ctx, const resize *r, double scale, axis *t)
{
  t->scale = scale;
  t->stretch = r->antialias && scale < 1 ? scale : 1;
  t->taps = r->mode == NEAREST ? 1 : 2 * (int64_t)ceil((r->mode == LINEAR ? 1 : 2) / t->stretch);
  lrp_tensor index = {.dtype = LRP_INDEX, .rank = 1, .shape = {t->taps}}, weight = index;
  lrp_status st = h->scratch(ctx, &index, &index);
  if (!st) st = h->scratch(ctx, &weight, &weight); /* an int64_t has the room of a double */
  t->index = lrp_indices(&index);
  t->weight = weight.data;
  return st;
}

static void apply(const resize *r, const axis *t, const lrp_real *x, lrp_real *y)
{
  const int wide = t->outer * t->inner > PARALLEL_MIN;
  for (int64_t j = 0; j < t->m; j++) {
    fill_row(r, t, j);
#pragma omp parallel for if (wide)
    for (int64_t o = 0; o < t->outer; o++)
      for (int64_t i = 0; i < t->inner; i++) {
        double sum = 0;
        for (int64_t k = 0; k < t->taps; k++)
          sum += t->weight[k] * (double)x[(o * t->n + t->index[k]) * t->inner + i];
        y[(o * t->m + j) * t->inner + i] = (lrp_real)sum;
      }
  }
}

/* x_bar += transpose at y_bar. */
static void apply_back(const resize *r, const axis *t, const lrp_real *y_bar, lrp_real *x_bar)
{
  const int wide = t->outer * t->inner > PARALLEL_MIN;
  for (int64_t j = 0; j < t->m; j++) {
    fill_row(r, t, j);
#pragma omp parallel for if (wide)
    for (int64_t o = 0; o < t->outer; o++)
      for (int64_t k = 0; k < t->taps; k++)
        for (int64_t i = 0; t->weight[k] != 0 && i < t->inner; i++)
          x_bar[(o * t->n + t->index[k]) * t->inner + i] +=
              (lrp_real)(t->weight[k] * (double)y_bar[(o * t->m + j) * t->inner + i]);
  }
}

/* ---- all axes ---- */

/* Axis number i of those named: *t, in part of x's shape and part of y's, is changed along it. */
static lrp_status one_axis(const lrp_host *h, lrp_ctx *ctx, const resize *r, const lrp_call *call,
                           int64_t i, int back, lrp_tensor *t)
{
  const lrp_tensor *x = &call->in[0], *y = &call->out[0];
  const int64_t a = r->axes.ints.v[i] + (r->axes.ints.v[i] < 0 ? x->rank : 0);
  axis w = {.outer = 1, .n = x->shape[a], .m = y->shape[a], .inner = 1};
  lrp_tensor next = *t;
  next.shape[a] = back ? w.n : w.m;
  for (int32_t k = 0; k < x->rank; k++)
    if (k != a) *(k < a ? &w.outer : &w.inner) *= t->shape[k];
  lrp_status st = h->scratch(ctx, &next, &next);
  if (!st) st = make_axis(h, ctx, r, scale_of(r, i, w.n), &w);
  if (!st && back)
    apply_back(r, &w, lrp_reals(t), lrp_reals(&next));
  else if (!st)
    apply(r, &w, lrp_reals(t), lrp_reals(&next));
  *t = next;
  return st;
}

static lrp_status forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const resize *r = inst;
  lrp_tensor t = call->in[0];
  lrp_status st = LRP_OK;
  if (!t.data || !lrp_count(&call->out[0])) {
    tensor_zero(&call->out[0]);
    return LRP_OK;
  }
  for (int64_t i = 0; !st && i < r->axes.ints.n; i++)
    st = one_axis(h, ctx, r, call, i, 0, &t);
  if (!st) memcpy(call->out[0].data, t.data, (size_t)lrp_count(&call->out[0]) * sizeof(lrp_real));
  return st;
}

static lrp_status vjp(const lrp_host *h, lrp_ctx *ctx, const void *inst, const lrp_call *call,
                      const lrp_tensor *out_bar, lrp_tensor *in_bar)
{
  const resize *r = inst;
  lrp_tensor t = out_bar[0];
  lrp_status st = LRP_OK;
  if (!t.data || !in_bar[0].data || !lrp_count(&t)) return LRP_OK;
  for (int64_t i = r->axes.ints.n - 1; !st && i >= 0; i--)
    st = one_axis(h, ctx, r, call, i, 1, &t);
  if (!st) memcpy(in_bar[0].data, t.data, (size_t)lrp_count(&in_bar[0]) * sizeof(lrp_real));
  return st;
}

/* ---- operators ---- */

static lrp_status choose(const lrp_host *h, lrp_ctx *ctx, const char *what, const char *word,
                         const char *choices, int64_t *out)
{
  const size_t n = strlen(word);
  *out = 0;
  for (const char *p = choices; *p; ++*out) {
    const size_t m = strcspn(p, "|");
    if (m == n && !strncmp(p, word, n)) return LRP_OK;
    p += m + (p[m] == '|');
  }
  return h->fail(ctx, LRP_E_UNSUPPORTED, "%s \"%s\" is not supported; %s are", what, word, choices);
}

/* sizes with keep_aspect_ratio_policy: one scale for all axes. */
static lrp_status keep_aspect(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)
{
  const char *policy = h->node_text(node, "keep_aspect_ratio_policy", "stretch");
  if (!strcmp(policy, "stretch")) return LRP_OK;
  return h->fail(
      ctx, LRP_E_UNSUPPORTED,
      "keep_aspect_ratio_policy \"%s\" with %lld sizes is not supported; export with stretch",
      policy, (long long)a[SIZES].ints.n);
}

/* Drops axes that keep their size by a scale of 1, so that channels-last costs nothing. */
static lrp_status drop_ones(const lrp_host *h, lrp_ctx *ctx, lrp_value *a)
{
  const int64_t n = a[AXES].ints.n;
  int64_t *axes = h->keep_ints(ctx, n), kept = 0;
  lrp_real *scales = h->keep_reals(ctx, n);
  if (!axes || !scales) return LRP_E_NOMEM;
  for (int64_t i = 0; i < n; i++)
    if (a[SCALES].reals.v[i] != 1) { /* exactly */
      axes[kept] = a[AXES].ints.v[i];
      scales[kept++] = a[SCALES].reals.v[i];
    }
  a[AXES].ints.v = axes;
  a[SCALES].reals.v = scales;
  a[AXES].ints.n = a[SCALES].reals.n = kept;
  return LRP_OK;
}

static lrp_status read_scales(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node,
                              uint32_t scales, uint32_t sizes, lrp_value *a)
{
  const lrp_tensor *s = h->node_const(ctx, node, scales),
                   *z = sizes ? h->node_const(ctx, node, sizes) : NULL;
  if (h->node_has(node, "scales")) {
    a[SCALES] = h->node_reals(node, "scales");
  } else if (z && lrp_count(z) > 0 && z->dtype == LRP_INDEX) {
    a[SIZES].ints.v = lrp_indices(z);
    a[SIZES].ints.n = lrp_count(z);
  } else if (s && s->dtype == LRP_REAL) {
    a[SCALES].reals.v = lrp_reals(s);
    a[SCALES].reals.n = lrp_count(s);
  } else {
    return h->fail(ctx, LRP_E_UNSUPPORTED, "neither scales nor sizes are constants");
  }
  a[AXES] = h->node_ints(node, "axes");
  lrp_status st = LRP_OK;
  if (!a[AXES].ints.n) st = first_axes(h, ctx, a[SIZES].ints.n + a[SCALES].reals.n, &a[AXES]);
  if (!st) st = check_axes(h, ctx, a[AXES].ints.v, a[AXES].ints.n, h->node_rank(node, 0));
  if (!st && a[SCALES].reals.n && a[SCALES].reals.n == a[AXES].ints.n) st = drop_ones(h, ctx, a);
  return st;
}

static lrp_status read_any(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, int upsample,
                           int nearest, lrp_value *a)
{
  const int old = upsample || h->node_opset(node) < 11;
  const char *mode = h->node_text(node, "mode", "nearest");
  lrp_status st = choose(h, ctx, "mode", upsample && !strcmp(mode, "bilinear") ? "linear" : mode,
                         args[MODE].choices, &a[MODE].i);
  if (!st && (a[MODE].i == NEAREST) != nearest)
    return h->fail(ctx, LRP_E_UNSUPPORTED, "resize: another mode");
  if (!st)
    st = choose(
        h, ctx, "coordinate_transformation_mode",
        h->node_text(node, "coordinate_transformation_mode", old ? "asymmetric" : "half_pixel"),
        args[WHERE].choices, &a[WHERE].i);
  if (!st)
    st = choose(h, ctx, "nearest_mode",
                h->node_text(node, "nearest_mode", old ? "floor" : "round_prefer_floor"),
                args[ROUNDING].choices, &a[ROUNDING].i);
  a[CUBIC_A].real = h->node_real(node, "cubic_coeff_a", a[CUBIC_A].real);
  a[EXCLUDE].i = h->node_int(node, "exclude_outside", 0) != 0;
  a[ANTIALIAS].i = h->node_int(node, "antialias", 0) != 0;
  if (!st) st = old ? read_scales(h, ctx, node, 1, 0, a) : read_scales(h, ctx, node, 2, 3, a);
  return st || old ? st : keep_aspect(h, ctx, node, a);
}

#define READ(NAME, UPSAMPLE, NEAR)                                                                 \
  static lrp_status NAME(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)      \
  {                                                                                                \
    return read_any(h, ctx, node, UPSAMPLE, NEAR, a);                                              \
  }
READ(read_resize, 0, 0)
READ(read_upsample, 1, 0)
READ(read_resize_nearest, 0, 1)
READ(read_upsample_nearest, 1, 1)

#define TYPE(NAME, KIND, SUFFIX, DOC)                                                              \
  static const lrp_operator NAME##_operators[] = {{.domain = "",                                   \
                                                   .name = "Resize",                               \
                                                   .since = 10,                                    \
                                                   .until = 10,                                    \
                                                   .inputs = "x -",                                \
                                                   .args = read_resize##SUFFIX},                   \
                                                  {.domain = "",                                   \
                                                   .name = "Resize",                               \
                                                   .since = 11,                                    \
                                                   .inputs = "x - - -",                            \
                                                   .args = read_resize##SUFFIX},                   \
                                                  {.domain = "",                                   \
                                                   .name = "Upsample",                             \
                                                   .since = 7,                                     \
                                                   .until = 9,                                     \
                                                   .inputs = "x -",                                \
                                                   .args = read_upsample##SUFFIX},                 \
                                                  {0}};                                            \
  static const lrp_layer_type NAME##_type = {.struct_size = sizeof NAME##_type,                    \
                                             .kind = KIND,                                         \
                                             .layout = LRP_LAYOUT_AXES,                            \
                                             .name = #NAME,                                        \
                                             .doc = DOC,                                           \
                                             .args = args,                                         \
                                             .in = ins,                                            \
                                             .out = outs,                                          \
                                             .operators = NAME##_operators,                        \
                                             .create = create,                                     \
                                             .destroy = free,                                      \
                                             .infer = infer,                                       \
                                             .forward = forward,                                   \
                                             .vjp = vjp};
TYPE(resize, LRP_KIND_POOL_SUM, , "y = x at another size, interpolated")
TYPE(resize_nearest, LRP_KIND_RESHAPE, _nearest,
     "y = x at another size, each element the nearest of x")

static const lrp_layer_type *const layers[] = {&resize_type, &resize_nearest_type, NULL};
LRP_PLUGIN(layer_resize, "resize", "1.0", "MIT", "images at another size", layers, NULL, NULL);
