/* product.c - layers "mul" and "div": a product and a quotient of two live operands, broadcast as in numpy.  Both can be
 * frozen: then the layer is linear in the other one (AttnLRP, Achtibat et al. 2024, Prop. 3.3 shares a product half and
 * half; gates and attention weights are frozen by CP-LRP, Ali et al. 2022). */
#include "strided.h"

enum { A, B };
static const lrp_port ins[] = {{.name = "a", .role = LRP_PORT_DATA}, {.name = "b", .role = LRP_PORT_DATA}, LRP_PORTS_END};
static const lrp_port outs[] = {{.name = "y", .role = LRP_PORT_DATA}, LRP_PORTS_END};
static const char *const freezable[] = {"a", "b", NULL};

static lrp_status infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const lrp_tensor *in = call->in;
  (void)inst;
  for (int i = A; i <= B; i++) {
    const lrp_status st = need_reals(h, ctx, "a product", &in[i]);
    if (st)
      return st;
    tensor_describe(&call->saved[i], LRP_REAL, in[i].rank, in[i].shape);
    call->saved[i].flags = in[i].flags;
  }
  tensor_describe(&call->out[0], LRP_REAL, in[A].rank, in[A].shape);
  const lrp_status st = strided_broadcast(h, ctx, "a product", &in[B], &call->out[0]);
  if (!st && known_nonneg(&in[A]) && known_nonneg(&in[B]))
    call->out[0].flags = LRP_NONNEG;
  return st;
}

/* The operand of this evaluation: from saved[] where it is frozen. */
static const lrp_tensor *operand(const lrp_call *call, int i)
{
  return call->freeze >> i & 1 ? &call->saved[i] : &call->in[i];
}

static void save_operands(const lrp_call *call)
{
  for (int i = A; i <= B; i++) {
    if (call->freeze >> i & 1 || !call->saved[i].data)
      continue;
    if (call->in[i].data)
      memcpy(call->saved[i].data, call->in[i].data, (size_t)lrp_count(&call->in[i]) * sizeof(lrp_real));
    else
      tensor_zero(&call->saved[i]);
  }
}

enum { MUL, DIV, PULL_MUL, PULL_DIV };

/* y = a b or a / b; y is dense and has the shape of box, to which both broadcast.  Pulling back, a is the relevance
 * above: where it is 0, b may be infinite or 0. */
static void combine(int op, const lrp_tensor *box, const lrp_tensor *a, const lrp_tensor *b, lrp_real *y)
{
  const strided w = strided_over(box, NULL, a, b);
  const int64_t sa = strided_last(&w, 1), sb = strided_last(&w, 2);
  STRIDED_FOR(&w, k, pieces,
  {
    int64_t at[STRIDED_TENSORS];
    const int64_t n = strided_piece(&w, STRIDED_PIECE, k, at);
    lrp_real *to = y + strided_flat(&w, STRIDED_PIECE, k);
    const lrp_real *p = lrp_reals(a) + at[1], *q = lrp_reals(b) + at[2];
    if (op == MUL && sa && sb)
      for (int64_t i = 0; i < n; i++)
        to[i] = p[i] * q[i];
    else if (op == MUL)
      for (int64_t i = 0; i < n; i++)
        to[i] = p[i * sa] * q[i * sb];
    else if (op == DIV)
      for (int64_t i = 0; i < n; i++)
        to[i] = p[i * sa] / q[i * sb];
    else
      for (int64_t i = 0; i < n; i++) {
        const lrp_real bar = p[i * sa], v = q[i * sb];
        to[i] = bar == 0 ? 0 : op == PULL_MUL ? bar * v : bar / v;
      }
  });
}

static lrp_status mul_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const lrp_tensor *a = operand(call, A), *b = operand(call, B);
  (void)h, (void)ctx, (void)inst;
  save_operands(call);
  if (a->data && b->data)
    combine(MUL, &call->out[0], a, b, lrp_reals(&call->out[0]));
  else
    tensor_zero(&call->out[0]);
  return LRP_OK;
}

static lrp_status div_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const lrp_tensor *a = operand(call, A), *b = operand(call, B);
  (void)inst;
  save_operands(call);
  if (!b->data)
    return h->fail(ctx, LRP_E_NUMERIC, "div: a rule sets the divisor to zero; freeze b, or choose another rule");
  if (a->data)
    combine(DIV, &call->out[0], a, b, lrp_reals(&call->out[0]));
  else
    tensor_zero(&call->out[0]);
  return LRP_OK;
}

/* to += factor * t, t dense in the shape of box, summed over the axes along which `to` was repeated. */
static void add_pulled(const lrp_tensor *box, const lrp_tensor *t, double factor, const lrp_tensor *to)
{
  const strided w = strided_over(box, to, box, NULL);
  strided_sum(&w, factor, lrp_reals(t), lrp_reals(to));
}

/* a_bar = y_bar b; b_bar = y_bar a. */
static lrp_status mul_vjp(const lrp_host *h, lrp_ctx *ctx, const void *inst, const lrp_call *call,
                          const lrp_tensor *out_bar, lrp_tensor *in_bar)
{
  const lrp_tensor *box = &call->out[0];
  lrp_status st = LRP_OK;
  (void)inst;
  for (int i = A; !st && out_bar[0].data && i <= B; i++) {
    const lrp_tensor *other = operand(call, !i);
    lrp_tensor t;
    if (!in_bar[i].data || call->freeze >> i & 1 || !other->data)
      continue;
    if (same_shape(box, &in_bar[i])) {
      combine(PULL_MUL, box, &out_bar[0], other, lrp_reals(&in_bar[i]));
      continue;
    }
    st = h->scratch(ctx, &out_bar[0], &t);
    if (!st) {
      combine(PULL_MUL, box, &out_bar[0], other, lrp_reals(&t));
      add_pulled(box, &t, 1, &in_bar[i]);
    }
  }
  return st;
}

/* a_bar = y_bar / b; b_bar = -y_bar a / b^2. */
static lrp_status div_vjp(const lrp_host *h, lrp_ctx *ctx, const void *inst, const lrp_call *call,
                          const lrp_tensor *out_bar, lrp_tensor *in_bar)
{
  const lrp_tensor *box = &call->out[0], *a = operand(call, A), *b = operand(call, B);
  const int want_a = in_bar[A].data && !(call->freeze & 1), want_b = in_bar[B].data && !(call->freeze & 2) && a->data;
  lrp_tensor t;
  (void)inst;
  if (!out_bar[0].data || !b->data || (!want_a && !want_b))
    return LRP_OK;
  const lrp_status st = h->scratch(ctx, &out_bar[0], &t);
  if (st)
    return st;
  combine(PULL_DIV, box, &out_bar[0], b, lrp_reals(&t));
  if (want_a)
    add_pulled(box, &t, 1, &in_bar[A]);
  if (want_b) {
    combine(PULL_DIV, box, &t, b, lrp_reals(&t));
    combine(PULL_MUL, box, &t, a, lrp_reals(&t));
    add_pulled(box, &t, -1, &in_bar[B]);
  }
  return LRP_OK;
}

static uint32_t mul_degree(const void *inst, uint32_t freeze)
{
  (void)inst;
  return 2 - (freeze & 1) - (freeze >> 1 & 1);
}

/* A quotient of live operands does not change when both are doubled. */
static uint32_t div_degree(const void *inst, uint32_t freeze)
{
  (void)inst;
  return freeze == 1u << B;
}

static int32_t row_axes(const void *inst, const lrp_call *call, int32_t axis, uint32_t i)
{
  (void)inst;
  return row_axis_of(call, axis, i);
}

static const lrp_operator mul_operators[] = {{.domain = "", .name = "Mul", .since = 7}, {0}};
static const lrp_operator div_operators[] = {{.domain = "", .name = "Div", .since = 7}, {0}};
static const lrp_layer_type mul_type = {.struct_size = sizeof mul_type,
                                        .kind = LRP_KIND_BILINEAR,
                                        .layout = LRP_LAYOUT_ANY,
                                        .n_saved = 2,
                                        .name = "mul",
                                        .doc = "y = a b, element by element",
                                        .in = ins,
                                        .out = outs,
                                        .freezable = freezable,
                                        .operators = mul_operators,
                                        .infer = infer,
                                        .forward = mul_forward,
                                        .vjp = mul_vjp,
                                        .writes = LRP_SAVES_COPIES,
                                        .degree = mul_degree,
                                        .rows = row_axes};
static const lrp_layer_type div_type = {.struct_size = sizeof div_type,
                                        .kind = LRP_KIND_BILINEAR,
                                        .layout = LRP_LAYOUT_ANY,
                                        .n_saved = 2,
                                        .name = "div",
                                        .doc = "y = a / b, element by element",
                                        .in = ins,
                                        .out = outs,
                                        .freezable = freezable,
                                        .operators = div_operators,
                                        .infer = infer,
                                        .forward = div_forward,
                                        .vjp = div_vjp,
                                        .writes = LRP_SAVES_COPIES,
                                        .degree = div_degree,
                                        .rows = row_axes};
static const lrp_layer_type *const layers[] = {&mul_type, &div_type, NULL};
LRP_PLUGIN(layer_product, "product", "1.0", "MIT", "element-wise products and quotients", layers, NULL, NULL);
