/* resize.c - layers "resize", an image or any tensor at another size by linear or cubic interpolation, and
 * "resize_nearest".  Both are linear maps, one axis after the other. */
#include "resize.h"
#include <stdlib.h>

enum {
  AXES,
  SIZES,
  SCALES,
  MODE,
  WHERE,
  ROUNDING,
  CUBIC_A,
  EXCLUDE,
  ANTIALIAS,
  POLICY,
  ROI,
  OUTSIDE
};
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
                  "tf_half_pixel_for_nn|tf_crop_and_resize",                                       \
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
      {.name = "policy",                                                                           \
       .type = LRP_ARG_CHOICE,                                                                     \
       .choices = "stretch|not_larger|not_smaller",                                                \
       .doc = "one scale for all axes, so that none exceeds or none falls below its size"},        \
      {.name = "roi",                                                                              \
       .type = LRP_ARG_REALS,                                                                      \
       .min = -1e9,                                                                                \
       .max = 1e9,                                                                                 \
       .doc = "for tf_crop_and_resize: where each axis starts, then where each ends; 0/1 is all"}, \
      {.name = "outside",                                                                          \
       .type = LRP_ARG_REAL,                                                                       \
       .min = -1e15,                                                                               \
       .max = 1e15,                                                                                \
       .doc = "value outside of x for tf_crop_and_resize; ONNX extrapolation_value"},              \
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
                .antialias = a[ANTIALIAS].i != 0,
                .policy = (int)a[POLICY].i,
                .roi = a[ROI],
                .outside = a[OUTSIDE].real};
  *inst = r;
  return LRP_OK;
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
  if (r->where == TF_CROP_AND_RESIZE && r->roi.reals.n != 2 * n_axes)
    return h->fail(ctx, LRP_E_ARG,
                   "resize: roi has %lld numbers; %lld were expected, 2 for each axis",
                   (long long)r->roi.reals.n, 2 * (long long)n_axes);
  moved_describe(&call->out[0], x, x->rank, x->shape);
  call->out[0].flags &= r->mode == CUBIC || r->outside < 0 ? 0u : (uint32_t)LRP_NONNEG;
  for (int64_t i = 0; i < n_axes; i++) {
    const int64_t a = axis_of(r, i, x->rank), n = x->shape[a];
    const double size = size_of(r, i, x);
    if (!(size <= 1e15) || (n == 0 && size > 0))
      return h->fail(ctx, LRP_E_SHAPE, "resize: axis %lld of %lld elements cannot become %g",
                     (long long)a, (long long)n, size);
    call->out[0].shape[a] = (int64_t)size;
  }
  return LRP_OK;
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

static void apply(const resize *r, axis *t, const lrp_real *x, lrp_real *y)
{
  const int wide = t->outer * t->inner > PARALLEL_MIN;
  for (int64_t j = 0; j < t->m; j++) {
    fill_row(r, t, j);
#pragma omp parallel for if (wide)
    for (int64_t o = 0; o < t->outer; o++)
      for (int64_t i = 0; i < t->inner; i++) {
        double sum = t->beyond ? r->outside : 0;
        for (int64_t k = 0; k < t->taps; k++)
          sum += t->weight[k] * (double)x[(o * t->n + t->index[k]) * t->inner + i];
        y[(o * t->m + j) * t->inner + i] = (lrp_real)sum;
      }
  }
}

/* x_bar += transpose at y_bar. */
static void apply_back(const resize *r, axis *t, const lrp_real *y_bar, lrp_real *x_bar)
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
  const int64_t a = axis_of(r, i, x->rank);
  axis w = {.outer = 1, .n = x->shape[a], .m = y->shape[a], .inner = 1};
  if (r->where == TF_CROP_AND_RESIZE) {
    w.start = (double)r->roi.reals.v[i];
    w.end = (double)r->roi.reals.v[r->axes.ints.n + i];
  }
  lrp_tensor next = *t;
  next.shape[a] = back ? w.n : w.m;
  for (int32_t k = 0; k < x->rank; k++)
    if (k != a) *(k < a ? &w.outer : &w.inner) *= t->shape[k];
  lrp_status st = h->scratch(ctx, &next, &next);
  if (!st) st = make_axis(h, ctx, r, scale_of(r, i, x), &w);
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

/* Another constant than 0 outside of x does not grow with x. */
static uint32_t degree(const void *inst, uint32_t freeze)
{
  const resize *r = inst;
  (void)freeze;
  return r->where != TF_CROP_AND_RESIZE || r->outside == 0; /* exactly */
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

/* The crop's corners, an input. */
static lrp_status read_roi(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)
{
  const lrp_tensor *roi = h->node_const(ctx, node, 1);
  if (a[WHERE].i != TF_CROP_AND_RESIZE) return LRP_OK;
  if (!roi || roi->dtype != LRP_REAL)
    return h->fail(ctx, LRP_E_UNSUPPORTED, "tf_crop_and_resize: roi is not constant");
  a[ROI].reals.v = lrp_reals(roi);
  a[ROI].reals.n = lrp_count(roi);
  a[OUTSIDE].real = h->node_real(node, "extrapolation_value", 0);
  return LRP_OK;
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
  if (!st && a[SCALES].reals.n && a[SCALES].reals.n == a[AXES].ints.n &&
      a[WHERE].i != TF_CROP_AND_RESIZE)
    st = drop_ones(h, ctx, a);
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
  if (!st)
    st = choose(h, ctx, "keep_aspect_ratio_policy",
                h->node_text(node, "keep_aspect_ratio_policy", "stretch"), args[POLICY].choices,
                &a[POLICY].i);
  return st ? st : read_roi(h, ctx, node, a);
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
                                             .vjp = vjp,                                           \
                                             .degree = degree};
TYPE(resize, LRP_KIND_POOL_SUM, , "y = x at another size, interpolated")
TYPE(resize_nearest, LRP_KIND_RESHAPE, _nearest,
     "y = x at another size, each element the nearest of x")

static const lrp_layer_type *const layers[] = {&resize_type, &resize_nearest_type, NULL};
LRP_PLUGIN(layer_resize, "resize", "1.0", "MIT", "images at another size", layers, NULL, NULL);
