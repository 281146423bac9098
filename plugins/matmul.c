/* matmul.c - layer "matmul": the product of two live operands, broadcast as in numpy (ONNX MatMul).
 * Both operands can be frozen: then the product is linear in the other one (CP-LRP freezes the
 * attention weights). */
#include "layer.h"

enum { A, B };
static const lrp_port ins[] = {
    {.name = "a", .role = LRP_PORT_DATA}, {.name = "b", .role = LRP_PORT_DATA}, LRP_PORTS_END};
static const lrp_port outs[] = {{.name = "y", .role = LRP_PORT_DATA}, LRP_PORTS_END};
static const char *const freezable[] = {"a", "b", NULL};

/* A vector counts as a row on the left and as a column on the right. */
static lrp_tensor as_matrix(const lrp_tensor *t, int side)
{
  if (t->rank != 1) return *t;
  return side == A ? tensor_view(t, 2, 1, t->shape[0]) : tensor_view(t, 2, t->shape[0], 1);
}

/* y with both of its last axes, even those that a vector operand takes away. */
static lrp_tensor as_product(const lrp_tensor *t, const lrp_tensor *a, const lrp_tensor *b)
{
  lrp_tensor v = *t;
  if (a->rank == 1) { /* (...,N) -> (...,1,N) */
    v.shape[v.rank] = v.rank && b->rank != 1 ? v.shape[v.rank - 1] : 1;
    if (v.rank && b->rank != 1) v.shape[v.rank - 1] = 1;
    v.rank++;
  }
  if (b->rank == 1) v.shape[v.rank++] = 1;
  return v;
}

static int64_t axis_from_end(const lrp_tensor *t, int32_t i)
{
  return i < t->rank ? t->shape[t->rank - 1 - i] : 1;
}

static lrp_status infer_batch(const lrp_host *h, lrp_ctx *ctx, const lrp_tensor *a,
                              const lrp_tensor *b, lrp_tensor *y)
{
  for (int32_t i = 2; i < y->rank; i++) {
    const int64_t m = axis_from_end(a, i), n = axis_from_end(b, i);
    if (m != n && m != 1 && n != 1)
      return h->fail(
          ctx, LRP_E_SHAPE,
          "matmul: axis %d from the end has %lld elements in a, %lld in b; equal ones or 1 "
          "were expected",
          i + 1, (long long)m, (long long)n);
    y->shape[y->rank - 1 - i] = m == 1 ? n : m;
  }
  return LRP_OK;
}

static lrp_status infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const lrp_tensor *in = call->in;
  lrp_tensor *y = &call->out[0];
  (void)inst;
  for (int i = A; i <= B; i++) {
    const lrp_status st = need_reals(h, ctx, "matmul", &in[i]);
    if (st) return st;
    if (in[i].rank < 1)
      return h->fail(ctx, LRP_E_SHAPE,
                     "matmul: operand %s is a single number, a vector or more axes were expected",
                     ins[i].name);
    tensor_describe(&call->saved[i], LRP_REAL, in[i].rank, in[i].shape);
    call->saved[i].flags = in[i].flags;
  }
  const lrp_tensor a = as_matrix(&in[A], A), b = as_matrix(&in[B], B);
  if (axis_from_end(&a, 0) != axis_from_end(&b, 1))
    return h->fail(ctx, LRP_E_SHAPE,
                   "matmul: a has %lld columns, b has %lld rows; equal numbers were expected",
                   (long long)axis_from_end(&a, 0), (long long)axis_from_end(&b, 1));
  tensor_describe(y, LRP_REAL, a.rank > b.rank ? a.rank : b.rank, a.shape);
  const lrp_status st = infer_batch(h, ctx, &a, &b, y);
  if (st) return st;
  y->rank -= 2;
  if (in[A].rank > 1) y->shape[y->rank++] = axis_from_end(&a, 1);
  if (in[B].rank > 1) y->shape[y->rank++] = axis_from_end(&b, 0);
  y->flags = in[A].flags & in[B].flags & LRP_NONNEG;
  return LRP_OK;
}

/* The operand of this evaluation: from saved[] where it is frozen. */
static const lrp_tensor *operand(const lrp_call *call, int i)
{
  return call->freeze >> i & 1 ? &call->saved[i] : &call->in[i];
}

static lrp_status forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  (void)inst;
  for (int i = A; i <= B; i++) { /* a copy is small beside the product */
    const size_t bytes = (size_t)lrp_count(&call->in[i]) * sizeof(lrp_real);
    if (call->freeze >> i & 1 || !call->saved[i].data) continue;
    if (call->in[i].data)
      memcpy(call->saved[i].data, call->in[i].data, bytes);
    else
      tensor_zero(&call->saved[i]);
  }
  const lrp_tensor a = as_matrix(operand(call, A), A), b = as_matrix(operand(call, B), B);
  lrp_tensor y = as_product(&call->out[0], operand(call, A), operand(call, B));
  if (a.data && b.data) return h->matmul(ctx, &a, 0, &b, 0, NULL, &y);
  tensor_zero(&y);
  return LRP_OK;
}

/* Leading axes of from that to lacks, or has with size 1, are summed. */
static void sum_broadcast(const lrp_tensor *from, const lrp_tensor *to)
{
  const int64_t tile = axis_from_end(to, 0) * axis_from_end(to, 1),
                tiles = tile ? lrp_count(from) / tile : 0;
  tensor_zero(to);
  for (int64_t i = 0; i < tiles; i++) {
    int64_t rest = i, at = 0, step = 1;
    for (int32_t k = 2; k < from->rank; k++) {
      const int64_t n = axis_from_end(from, k), m = axis_from_end(to, k);
      at += m == 1 ? 0 : rest % n * step;
      step *= m;
      rest /= n;
    }
    const lrp_real *src = lrp_reals(from) + i * tile;
    lrp_real *dst = lrp_reals(to) + at * tile;
#pragma omp simd
    for (int64_t j = 0; j < tile; j++)
      dst[j] += src[j];
  }
}

/* Pull y_bar back to operand i: a_bar = y_bar b^T, b_bar = a^T y_bar, summed over the axes it was
 * broadcast along. */
static lrp_status pull(const lrp_host *h, lrp_ctx *ctx, const lrp_call *call, int i,
                       const lrp_tensor *y_bar, const lrp_tensor *in_bar)
{
  lrp_tensor to = as_matrix(in_bar, i);
  const lrp_tensor other = as_matrix(operand(call, !i), !i);
  lrp_tensor full = *y_bar;
  full.shape[full.rank - 2] = axis_from_end(&to, 1);
  full.shape[full.rank - 1] = axis_from_end(&to, 0);
  full.data = full.host = NULL;
  const int direct = lrp_count(&full) == lrp_count(&to);
  if (direct) full.data = to.data;
  const lrp_tensor shape = full;
  lrp_status st = direct ? LRP_OK : h->scratch(ctx, &shape, &full);
  if (!st)
    st = i == A ? h->matmul(ctx, y_bar, 0, &other, 1, NULL, &full)
                : h->matmul(ctx, &other, 1, y_bar, 0, NULL, &full);
  if (!st && !direct) sum_broadcast(&full, &to);
  return st;
}

static lrp_status vjp(const lrp_host *h, lrp_ctx *ctx, const void *inst, const lrp_call *call,
                      const lrp_tensor *out_bar, lrp_tensor *in_bar)
{
  lrp_status st = LRP_OK;
  (void)inst;
  const lrp_tensor y_bar = as_product(&out_bar[0], &call->in[A], &call->in[B]);
  for (int i = A; !st && i <= B; i++) {
    if (!in_bar[i].data) continue;
    if (y_bar.data && operand(call, !i)->data && !(call->freeze >> i & 1))
      st = pull(h, ctx, call, i, &y_bar, &in_bar[i]);
    else
      tensor_zero(&in_bar[i]);
  }
  return st;
}

static uint32_t degree(const void *inst, uint32_t freeze)
{
  (void)inst;
  return 2 - (freeze & 1) - (freeze >> 1 & 1);
}

/* A row of y is a row of a times b; of the axes before, each pair of matrices is on its own. */
static int32_t row_axes(const void *inst, const lrp_call *call, int32_t axis, uint32_t i)
{
  const lrp_tensor *y = &call->out[0];
  (void)inst;
  if (call->in[A].rank < 2 || call->in[B].rank < 2 || axis + 1 == y->rank) return LRP_ROWS_MIXED;
  return axis + 2 == y->rank && i % 2 == B ? LRP_ROWS_ALL : row_axis_of(call, axis, i);
}

static const lrp_operator operators[] = {
    {.domain = "", .name = "MatMul", .since = 1, .inputs = "a b"}, {0}};
static const lrp_layer_type matmul_type = {
    .struct_size = sizeof matmul_type,
    .kind = LRP_KIND_BILINEAR,
    .layout = LRP_LAYOUT_MODEL,
    .n_saved = 2,
    .name = "matmul",
    .doc = "y (...,M,N) = a (...,M,K) b (...,K,N), leading axes broadcast",
    .in = ins,
    .out = outs,
    .freezable = freezable,
    .operators = operators,
    .infer = infer,
    .forward = forward,
    .vjp = vjp,
    .writes = LRP_SAVES_COPIES | LRP_WRITES_BAR,
    .degree = degree,
    .rows = row_axes};
static const lrp_layer_type *const layers[] = {&matmul_type, NULL};
LRP_PLUGIN(layer_matmul, "matmul", "1.0", "MIT", "products of two live operands", layers, NULL,
           NULL);
