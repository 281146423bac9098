/* unary.h - layers y = f(x) element by element: a module gives f and f' as expressions in v and in the arguments p[0],
 * p[1], ...; loops, shapes and descriptors come from here. */
#ifndef LRP_PLUGINS_UNARY_H
#define LRP_PLUGINS_UNARY_H
#include "layer.h"
#include "lrp/vector.h"
#include <stdlib.h>
#include <tgmath.h>

#define R(constant) ((lrp_real)(constant))
enum { UNARY_ARGS = 3, UNARY_BLOCK = 512 };

/* Blocks of M = up to UNARY_BLOCK elements from AT on, of n. */
#define UNARY_FOR(AT, M, n, CALL)                                                                             \
  LRP_THREADS((n) > PARALLEL_MIN, for (int64_t AT = 0; AT < (n); AT += UNARY_BLOCK) {                          \
    const int64_t M = (n) - AT < UNARY_BLOCK ? (n) - AT : UNARY_BLOCK;                                        \
    CALL;                                                                                                     \
  })

typedef struct unary {
  lrp_real p[UNARY_ARGS];
} unary;

static const lrp_port unary_in[] = {{.name = "x", .role = LRP_PORT_DATA}, LRP_PORTS_END};
static const lrp_port unary_out[] = {{.name = "y", .role = LRP_PORT_DATA}, LRP_PORTS_END};

/* y has the shape of x; flags is what is known of its sign. */
static inline lrp_status unary_shape(const lrp_host *h, lrp_ctx *ctx, lrp_call *call, uint32_t flags)
{
  const lrp_tensor *x = &call->in[0];
  const lrp_status st = need_reals(h, ctx, "an element-wise function", x);
  if (st)
    return st;
  tensor_describe(&call->out[0], LRP_REAL, x->rank, x->shape);
  call->out[0].flags = flags;
  return LRP_OK;
}

static inline lrp_status unary_make(const lrp_host *h, lrp_ctx *ctx, const lrp_value *a, int n, void **inst)
{
  unary *u = calloc(1, sizeof *u);
  if (!u)
    return h->fail(ctx, LRP_E_NOMEM, "an element-wise function: no memory for an instance");
  for (int i = 0; i < n; i++)
    u->p[i] = (lrp_real)a[i].real;
  *inst = u;
  return LRP_OK;
}

/* What is known of the sign: nothing; y >= 0 always; y >= 0 where x >= 0. */
#define UNARY_SIGN_ANY(x) 0
#define UNARY_SIGN_NONNEG(x) LRP_NONNEG
#define UNARY_SIGN_SAME(x) ((x)->flags & LRP_NONNEG)

/* NAME_infer, NAME_forward, NAME_vjp. */
#define UNARY(NAME, SIGN, F, DF)                                                                              \
  static lrp_status NAME##_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)           \
  {                                                                                                           \
    (void)inst;                                                                                               \
    return unary_shape(h, ctx, call, UNARY_SIGN_##SIGN(&call->in[0]));                                        \
  }                                                                                                           \
  UNARY_LOOPS(NAME, F, DF)

/* x without data is zero.  f' is multiplied only where the pulled-back value is not 0: it may be infinite.  Two loops for
 * that: one with a branch in it gets no vectors. */
#define UNARY_LOOPS(NAME, F, DF)                                                                              \
  LRP_LOOP lrp_real NAME##_f(lrp_real v, const lrp_real *p)                                                   \
  {                                                                                                           \
    (void)p;                                                                                                  \
    return F;                                                                                                 \
  }                                                                                                           \
  LRP_LOOP lrp_real NAME##_df(lrp_real v, const lrp_real *p)                                                  \
  {                                                                                                           \
    (void)v, (void)p;                                                                                         \
    return DF;                                                                                                \
  }                                                                                                           \
  LRP_LOOP void NAME##_values_any(const lrp_real *x, const lrp_real *p, int64_t n, lrp_real *y)               \
  {                                                                                                           \
    _Pragma("omp simd") for (int64_t i = 0; i < n; i++) y[i] = NAME##_f(x[i], p);                             \
  }                                                                                                           \
  LRP_TWICE(void, NAME##_values, (const lrp_real *x, const lrp_real *p, int64_t n, lrp_real *y),             \
            (x, p, n, y))                                                                                     \
  LRP_LOOP void NAME##_slopes_any(const lrp_real *x, const lrp_real *p, const lrp_real *y_bar, int64_t n,     \
                                  lrp_real *x_bar)                                                            \
  {                                                                                                           \
    lrp_real slope[UNARY_BLOCK];                                                                              \
    _Pragma("omp simd") for (int64_t i = 0; i < n; i++) slope[i] = NAME##_df(x ? x[i] : 0, p) * y_bar[i];     \
    _Pragma("omp simd") for (int64_t i = 0; i < n; i++) x_bar[i] = y_bar[i] == 0 ? 0 : slope[i];              \
  }                                                                                                           \
  LRP_TWICE(void, NAME##_slopes,                                                                              \
            (const lrp_real *x, const lrp_real *p, const lrp_real *y_bar, int64_t n, lrp_real *x_bar),        \
            (x, p, y_bar, n, x_bar))                                                                          \
  static lrp_status NAME##_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)         \
  {                                                                                                           \
    const lrp_real *x = lrp_reals(&call->in[0]), *p = inst ? ((const unary *)inst)->p : NULL;                 \
    lrp_real *y = lrp_reals(&call->out[0]);                                                                   \
    const int64_t n = lrp_count(&call->out[0]);                                                               \
    (void)h, (void)ctx;                                                                                       \
    if (x)                                                                                                    \
      UNARY_FOR(at, m, n, NAME##_values(x + at, p, m, y + at));                                               \
    else                                                                                                      \
      for (int64_t i = 0; i < n; i++)                                                                         \
        y[i] = NAME##_f(0, p);                                                                                \
    return LRP_OK;                                                                                            \
  }                                                                                                           \
  static lrp_status NAME##_vjp(const lrp_host *h, lrp_ctx *ctx, const void *inst, const lrp_call *call,       \
                               const lrp_tensor *out_bar, lrp_tensor *in_bar)                                 \
  {                                                                                                           \
    const lrp_real *x = lrp_reals(&call->in[0]), *p = inst ? ((const unary *)inst)->p : NULL;                 \
    const lrp_real *y_bar = lrp_reals(&out_bar[0]);                                                           \
    lrp_real *x_bar = lrp_reals(&in_bar[0]);                                                                  \
    const int64_t n = x_bar && y_bar ? lrp_count(&in_bar[0]) : 0;                                             \
    (void)h, (void)ctx;                                                                                       \
    if (!y_bar)                                                                                               \
      tensor_zero(&in_bar[0]);                                                                                \
    UNARY_FOR(at, m, n, NAME##_slopes(x ? x + at : NULL, p, y_bar + at, m, x_bar + at));                      \
    return LRP_OK;                                                                                            \
  }

/* NAME_create for the first N arguments, all real. */
#define UNARY_CREATE(NAME, N)                                                                                 \
  static lrp_status NAME##_create(const lrp_host *h, lrp_ctx *ctx, const lrp_value *a, void **inst)           \
  {                                                                                                           \
    return unary_make(h, ctx, a, N, inst);                                                                    \
  }

/* Most functions are not homogeneous. */
static inline uint32_t unary_degree(const void *inst, uint32_t freeze)
{
  (void)inst, (void)freeze;
  return 0;
}

/* A parameter that differs along the axis knows where a row is. */
static inline int32_t unary_rows(const void *inst, const lrp_call *call, int32_t axis, uint32_t i)
{
  (void)inst;
  for (uint32_t k = 0; k < call->n_param; k++)
    if (row_axis(&call->param[k], &call->out[0], axis) != LRP_ROWS_ALL)
      return LRP_ROWS_MIXED;
  return row_axis_of(call, axis, i);
}

/* NAME_operators: one ONNX operator whose attributes NAME_args (or NULL) reads. */
#define UNARY_OPERATOR(NAME, ONNX, SINCE, ARGS)                                                               \
  static const lrp_operator NAME##_operators[] = {                                                            \
      {.domain = "", .name = ONNX, .since = SINCE, .inputs = "x", .args = ARGS}, {0}};

/* NAME_type; what follows DOC are further fields. */
#define UNARY_TYPE(NAME, DOC, ...)                                                                            \
  static const lrp_layer_type NAME##_type = {.struct_size = sizeof NAME##_type,                               \
                                             .kind = LRP_KIND_ELEMENTWISE,                                    \
                                             .layout = LRP_LAYOUT_ANY,                                        \
                                             .name = #NAME,                                                   \
                                             .doc = DOC,                                                      \
                                             .in = unary_in,                                                  \
                                             .out = unary_out,                                                \
                                             .operators = NAME##_operators,                                   \
                                             .infer = NAME##_infer,                                           \
                                             .forward = NAME##_forward,                                       \
                                             .vjp = NAME##_vjp,                                               \
                                             .writes = LRP_WRITES_BAR,                                        \
                                             .rows = unary_rows,                                              \
                                             __VA_ARGS__};
#endif
