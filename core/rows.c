/* rows.c - a layer's forward pass for some rows of its output.
 *
 * A layer whose rows are computed one by one says which axes of its inputs run along with an axis of its output.
 * The rows that are wanted are cut out of the inputs, the layer works on these smaller tensors as on any others, and
 * what it gives is put where it belongs.  It never knows.
 *
 * Rows that are not computed repeat one that is: nobody looks at what they say, but a rule may run the layer on all of
 * them, and there should be nothing that a layer cannot take, such as a zero below a fraction line. */
#include "rows.h"
#include <string.h>

bool lrp_rows_axes(const lrp_layer_type *type, const void *inst, const lrp_call *call, int32_t axis, int32_t *in_axis)
{
  bool apart = LRP_HAS(lrp_layer_type, type, rows) && call->n_out == 1;
  for (uint32_t i = 0; apart && i < call->n_in + call->n_saved; i++) {
    const lrp_tensor *t = i < call->n_in ? &call->in[i] : &call->saved[i - call->n_in];
    in_axis[i] = type->rows(inst, call, axis, i);
    apart = in_axis[i] == LRP_ROWS_ALL || (in_axis[i] >= 0 && in_axis[i] < t->rank &&
                                           t->shape[in_axis[i]] == call->out[0].shape[axis]);
  }
  return apart;
}

lrp_layout lrp_layout_of(const lrp_tensor *t, int32_t axis)
{
  lrp_layout l = {1, t->shape[axis], lrp_element(t)};
  for (int32_t i = 0; i < t->rank; i++) {
    if (i < axis) l.outer *= t->shape[i];
    if (i > axis) l.bytes *= (size_t)t->shape[i];
  }
  return l;
}

static void take_rows(const lrp_tensor *whole, const lrp_row_set *rows, int32_t axis, const lrp_tensor *cut)
{
  const lrp_layout l = lrp_layout_of(whole, axis);
  const char *from = whole->data;
  char *to = cut->data;
  for (int64_t o = 0; o < l.outer; o++, from += (size_t)l.n * l.bytes)
    for (int64_t k = 0; k < rows->n; k++, to += l.bytes)
      memcpy(to, from + (size_t)rows->at[k] * l.bytes, l.bytes);
}

static void put_rows(const lrp_tensor *whole, const lrp_row_set *rows, int32_t axis, const lrp_tensor *cut)
{
  const lrp_layout l = lrp_layout_of(whole, axis);
  char *to = whole->data;
  const char *from = cut->data;
  for (int64_t o = 0; o < l.outer; o++, from += (size_t)rows->n * l.bytes)
    for (int64_t r = 0, k = 0; r < l.n; r++, to += l.bytes) {
      const bool computed = k < rows->n && rows->at[k] == r;
      memcpy(to, from + (computed ? (size_t)k * l.bytes : 0), l.bytes);
      k += computed;
    }
}

/* The tensor with room for the rows only; a tensor that has no rows of its own, or no data, stays what it is. */
static lrp_status cut_shape(lrp_ctx *ctx, const lrp_tensor *whole, const lrp_row_set *rows, int32_t axis,
                            lrp_tensor *cut)
{
  size_t bytes;
  *cut = *whole;
  if (axis == LRP_ROWS_ALL) return LRP_OK;
  cut->shape[axis] = rows->n;
  cut->host = NULL;
  if (!whole->data) return LRP_OK;
  const lrp_status st = lrp_tensor_bytes(ctx, cut, &bytes);
  if (st) return st;
  cut->data = lrp_arena_raw(&ctx->scratch, bytes + 64);
  return cut->data ? LRP_OK : lrp_nomem(ctx, "rows of a layer");
}

lrp_status lrp_rows_forward(lrp_ctx *ctx, const lrp_layer_type *type, const void *inst, lrp_call *call,
                            const lrp_row_set *rows)
{
  const uint32_t n = call->n_in + call->n_saved;
  int32_t *axis = lrp_arena_alloc(&ctx->scratch, (n + 1) * sizeof *axis);
  lrp_tensor *in = lrp_arena_alloc(&ctx->scratch, (call->n_in + 1) * sizeof *in), out;
  lrp_tensor *saved = lrp_arena_alloc(&ctx->scratch, (call->n_saved + 1) * sizeof *saved);
  if (!axis || !in || !saved) return lrp_nomem(ctx, "rows of a layer");
  if (!lrp_rows_axes(type, inst, call, rows->axis, axis)) return type->forward(&lrp_the_host, ctx, inst, call);
  lrp_status st = cut_shape(ctx, &call->out[0], rows, rows->axis, &out);
  for (uint32_t i = 0; !st && i < call->n_in; i++) {
    st = cut_shape(ctx, &call->in[i], rows, axis[i], &in[i]);
    if (!st && axis[i] != LRP_ROWS_ALL && call->in[i].data) take_rows(&call->in[i], rows, axis[i], &in[i]);
  }
  for (uint32_t i = 0; !st && i < call->n_saved; i++)
    st = cut_shape(ctx, &call->saved[i], rows, axis[call->n_in + i], &saved[i]);
  lrp_call cut = *call;
  cut.in = in;
  cut.out = &out;
  cut.saved = saved;
  const double before = ctx->cut;
  ctx->cut = (double)call->out[0].shape[rows->axis] / (double)rows->n;
  if (!st) st = type->forward(&lrp_the_host, ctx, inst, &cut);
  ctx->cut = before;
  if (st) return st;
  put_rows(&call->out[0], rows, rows->axis, &out);
  for (uint32_t i = 0; i < call->n_saved; i++)
    if (axis[call->n_in + i] != LRP_ROWS_ALL && call->saved[i].data)
      put_rows(&call->saved[i], rows, axis[call->n_in + i], &saved[i]);
  return LRP_OK;
}
