/* affine.c - layer "affine": x plus, minus, times or divided by a constant that broadcasts to it (ONNX Add, Sub, Mul, Div
 * with one constant operand).  Where the constant has one value for each channel, the layer before can take it over. */
#include "lrp/vector.h"
#include "strided.h"
#include <stdlib.h>

enum { SCALE, SHIFT };
enum { ADD, SUB, RSUB, MUL, DIV };
typedef struct affine {
  int op;
} affine;

static const lrp_arg args[] = {{.name = "op",
                                .type = LRP_ARG_CHOICE,
                                .choices = "add|sub|rsub|mul|div",
                                .doc = "x + shift, x - shift, shift - x, x * scale or x / scale"},
                               LRP_ARGS_END};
static const lrp_port ins[] = {{.name = "x", .role = LRP_PORT_DATA}, LRP_PORTS_END};
static const lrp_port params[] = {{.name = "scale", .role = LRP_PORT_WEIGHT, .flags = LRP_PORT_OPTIONAL},
                                  {.name = "shift", .role = LRP_PORT_BIAS, .flags = LRP_PORT_OPTIONAL},
                                  LRP_PORTS_END};
static const lrp_port outs[] = {{.name = "y", .role = LRP_PORT_DATA}, LRP_PORTS_END};

static lrp_status create(const lrp_host *h, lrp_ctx *ctx, const lrp_value *a, void **inst)
{
  affine *f = malloc(sizeof *f);
  if (!f)
    return h->fail(ctx, LRP_E_NOMEM, "affine: no memory for an instance");
  f->op = (int)a[0].i;
  *inst = f;
  return LRP_OK;
}

/* The parameter that the operation reads. */
static uint32_t used(const affine *f)
{
  return f->op == MUL || f->op == DIV ? SCALE : SHIFT;
}

static int has_zero(const lrp_tensor *t)
{
  for (int64_t i = 0, n = lrp_count(t); t->data && i < n; i++)
    if (lrp_reals(t)[i] == 0) /* exactly */
      return 1;
  return 0;
}

static lrp_status infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const affine *f = inst;
  const lrp_tensor *x = &call->in[0], *p = &call->param[used(f)];
  lrp_tensor y = *x;
  lrp_status st = need_reals(h, ctx, "affine", x);
  if (st)
    return st;
  if (!param_of(call, used(f)) || param_of(call, !used(f)))
    return h->fail(ctx, LRP_E_ARG, "affine: this operation takes %s and no %s", params[used(f)].name,
                   params[!used(f)].name);
  st = strided_broadcast(h, ctx, "affine", p, &y);
  if (st)
    return st;
  if (!same_shape(x, &y))
    return h->fail(ctx, LRP_E_UNSUPPORTED, "affine: %s does not broadcast to the shape of x", params[used(f)].name);
  if (f->op == DIV && has_zero(p))
    return h->fail(ctx, LRP_E_INPUT, "affine: a constant that divides has a zero in it");
  tensor_describe(&call->out[0], LRP_REAL, x->rank, x->shape);
  if ((f->op == ADD || f->op == MUL || f->op == DIV) && (x->flags & LRP_NONNEG) && known_nonneg(p))
    call->out[0].flags = LRP_NONNEG;
  return LRP_OK;
}

/* y = sign x + factor p. */
static void shift_all(const lrp_tensor *x, const lrp_tensor *p, lrp_real sign, lrp_real factor, const lrp_tensor *y)
{
  static const lrp_real zero = 0;
  const strided w = strided_over(y, y, p->data ? p : NULL, NULL);
  const int64_t s = strided_last(&w, 1), sx = x->data ? 1 : 0;
  const lrp_real *v = x->data ? lrp_reals(x) : &zero, *c = p->data ? lrp_reals(p) : &zero;
  STRIDED_FOR(&w, k, pieces,
  {
    int64_t at[STRIDED_TENSORS];
    const int64_t n = strided_piece(&w, STRIDED_PIECE, k, at);
    for (int64_t i = 0; i < n; i++)
      lrp_reals(y)[at[0] + i] = sign * v[(at[0] + i) * sx] + factor * c[at[1] + i * s];
  });
}

/* y = x p, or x / p and 0 where p is 0; step is p's.  The quotient of its own: a branch would cost the vectors. */
LRP_LOOP void scale_any(int op, const lrp_real *x, const lrp_real *p, int64_t step, int64_t n, lrp_real *y)
{
  if (op == MUL && step == 0) {
    const lrp_real by = p[0];
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
      y[i] = x[i] * by;
  } else if (op == MUL) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
      y[i] = x[i] * p[i * step];
  } else {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
      const lrp_real q = x[i] / p[i * step];
      y[i] = lrp_select(p[i * step] == 0, 0, q);
    }
  }
}
LRP_TWICE(void, scale, (int op, const lrp_real *x, const lrp_real *p, int64_t step, int64_t n, lrp_real *y),
          (op, x, p, step, n, y))

/* y = x p or x / p.  A zero is no connection: only a rule that takes a part of p makes one. */
static void scale_all(int op, const lrp_tensor *x, const lrp_tensor *p, const lrp_tensor *y)
{
  const strided w = strided_over(y, y, p, NULL);
  const int64_t s = strided_last(&w, 1);
  const lrp_real *v = lrp_reals(x), *c = lrp_reals(p);
  if (!v || !c) {
    tensor_zero(y);
    return;
  }
  STRIDED_FOR(&w, k, pieces,
  {
    int64_t at[STRIDED_TENSORS];
    const int64_t n = strided_piece(&w, STRIDED_PIECE, k, at);
    scale(op, v + at[0], c + at[1], s, n, lrp_reals(y) + at[0]);
  });
}

static lrp_status forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const affine *f = inst;
  const lrp_tensor *p = &call->param[used(f)];
  (void)h, (void)ctx;
  if (used(f) == SCALE)
    scale_all(f->op, &call->in[0], p, &call->out[0]);
  else
    shift_all(&call->in[0], p, f->op == RSUB ? -1 : 1, f->op == SUB ? -1 : 1, &call->out[0]);
  return LRP_OK;
}

static lrp_status vjp(const lrp_host *h, lrp_ctx *ctx, const void *inst, const lrp_call *call,
                      const lrp_tensor *out_bar, lrp_tensor *in_bar)
{
  const affine *f = inst;
  const lrp_tensor none = {.data = NULL};
  (void)h, (void)ctx;
  if (!in_bar[0].data)
    return LRP_OK;
  if (!out_bar[0].data) {
    tensor_zero(&in_bar[0]);
    return LRP_OK;
  }
  if (used(f) == SCALE)
    scale_all(f->op, &out_bar[0], &call->param[SCALE], &in_bar[0]);
  else
    shift_all(&out_bar[0], &none, f->op == RSUB ? -1 : 1, 1, &in_bar[0]);
  return LRP_OK;
}

/* Is there one value, or one for each of c channels along the last axis? */
static int by_channel(const lrp_tensor *p, int64_t c)
{
  for (int32_t i = 0; i + 1 < p->rank; i++)
    if (p->shape[i] != 1)
      return 0;
  return lrp_count(p) == 1 || lrp_count(p) == c;
}

static lrp_status as_affine(const lrp_host *h, lrp_ctx *ctx, const void *inst, const lrp_call *call,
                            lrp_tensor *scale, lrp_tensor *shift)
{
  const affine *f = inst;
  const lrp_tensor *x = &call->in[0], *p = &call->param[used(f)];
  const int64_t c = x->rank ? x->shape[x->rank - 1] : 1, step = lrp_count(p) == c;
  if (!p->data || !by_channel(p, c))
    return h->fail(ctx, LRP_E_UNSUPPORTED, "affine: the constant is not one value for each channel");
  for (int64_t i = 0; i < c; i++) {
    const lrp_real v = lrp_reals(p)[i * step];
    lrp_reals(scale)[i] = f->op == MUL ? v : f->op == DIV ? 1 / v : f->op == RSUB ? -1 : 1;
    lrp_reals(shift)[i] = used(f) == SCALE ? 0 : f->op == SUB ? -v : v;
  }
  return LRP_OK;
}

/* ---- operators ---- */

#define READ(NAME, OP)                                                                                        \
  static lrp_status NAME(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)                 \
  {                                                                                                           \
    (void)h, (void)ctx, (void)node;                                                                           \
    a[0].i = OP;                                                                                              \
    return LRP_OK;                                                                                            \
  }
READ(read_add, ADD)
READ(read_sub, SUB)
READ(read_rsub, RSUB)
READ(read_mul, MUL)
READ(read_div, DIV)

/* A constant that differs along the axis knows where a row is. */
static int32_t row_axes(const void *inst, const lrp_call *call, int32_t axis, uint32_t i)
{
  const lrp_tensor *p = &call->param[used(inst)];
  (void)i;
  return row_axis(p, &call->out[0], axis) == LRP_ROWS_ALL ? axis : LRP_ROWS_MIXED;
}

static const lrp_operator operators[] = {
    {.domain = "", .name = "Add", .since = 7, .inputs = "x shift", .args = read_add},
    {.domain = "", .name = "Add", .since = 7, .inputs = "shift x", .args = read_add},
    {.domain = "", .name = "Sub", .since = 7, .inputs = "x shift", .args = read_sub},
    {.domain = "", .name = "Sub", .since = 7, .inputs = "shift x", .args = read_rsub},
    {.domain = "", .name = "Mul", .since = 7, .inputs = "x scale", .args = read_mul},
    {.domain = "", .name = "Mul", .since = 7, .inputs = "scale x", .args = read_mul},
    {.domain = "", .name = "Div", .since = 7, .inputs = "x scale", .args = read_div},
    {0}};
static const lrp_layer_type affine_type = {.struct_size = sizeof affine_type,
                                           .kind = LRP_KIND_ELEMENTWISE,
                                           .layout = LRP_LAYOUT_ANY,
                                           .name = "affine",
                                           .doc = "y = x scale + shift, one of them, constant",
                                           .args = args,
                                           .in = ins,
                                           .param = params,
                                           .out = outs,
                                           .operators = operators,
                                           .create = create,
                                           .destroy = free,
                                           .infer = infer,
                                           .forward = forward,
                                           .vjp = vjp,
                                           .writes = LRP_WRITES_BAR,
                                           .affine = as_affine,
                                           .rows = row_axes};
static const lrp_layer_type *const layers[] = {&affine_type, NULL};
LRP_PLUGIN(layer_affine, "affine", "1.0", "MIT", "constant scales and shifts", layers, NULL, NULL);
