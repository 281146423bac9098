/* tensor.c - sizes and shapes of tensors, and the names of kinds. */
#include "core.h"
#include <inttypes.h>
#include <stdio.h>

const char *lrp_shape_text(const lrp_tensor *t, char *buffer, size_t n)
{
  size_t at = 0;
  if (n == 0) return buffer;
  int32_t rank = t->rank < 0 ? 0 : t->rank > LRP_MAX_RANK ? LRP_MAX_RANK : t->rank;
  buffer[0] = '\0';
  for (int32_t i = 0; i <= rank && at < n; i++) {
    int m = i < rank ? snprintf(buffer + at, n - at, "%s%" PRId64, i ? "," : "(", t->shape[i])
                     : snprintf(buffer + at, n - at, rank ? ")" : "()");
    at += m > 0 ? (size_t)m : 0;
  }
  return buffer;
}

/* An empty axis does not hide the size of the others: lrp_count() multiplies them all. */
lrp_status lrp_tensor_bytes(lrp_ctx *ctx, const lrp_tensor *t, size_t *bytes)
{
  char text[200];
  bool empty = false;
  size_t size;
  *bytes = 0;
  if (t->dtype != LRP_REAL && t->dtype != LRP_INDEX)
    return lrp_fail(ctx, LRP_E_SHAPE,
                    "a tensor has element type %" PRId32 "; 0 (real) or 1 (index) was expected",
                    t->dtype);
  if (t->rank < 0 || t->rank > LRP_MAX_RANK)
    return lrp_fail(ctx, LRP_E_SHAPE, "a tensor has %" PRId32 " axes; 0 to %d were expected",
                    t->rank, LRP_MAX_RANK);
  size = lrp_element(t);
  for (int32_t i = 0; i < t->rank; i++) {
    if (t->shape[i] < 0)
      return lrp_fail(ctx, LRP_E_NOMEM, "a tensor of shape %s has a negative size",
                      lrp_shape_text(t, text, sizeof text));
    if (t->shape[i] == 0)
      empty = true;
    else if (!lrp_mul_size(size, (size_t)t->shape[i], &size) || size > LRP_MAX_BYTES)
      return lrp_fail(ctx, LRP_E_NOMEM, "a tensor of shape %s is larger than any memory",
                      lrp_shape_text(t, text, sizeof text));
  }
  *bytes = empty ? 0 : size;
  return LRP_OK;
}

const char *lrp_kind_name(uint32_t kind)
{
  static const char *const name[] = {
      [LRP_KIND_OTHER] = "other",       [LRP_KIND_LINEAR] = "linear",
      [LRP_KIND_BILINEAR] = "bilinear", [LRP_KIND_ELEMENTWISE] = "elementwise",
      [LRP_KIND_SOFTMAX] = "softmax",   [LRP_KIND_NORM] = "norm",
      [LRP_KIND_POOL_SUM] = "pool_sum", [LRP_KIND_POOL_MAX] = "pool_max",
      [LRP_KIND_RESHAPE] = "reshape",   [LRP_KIND_RECURRENT] = "recurrent",
      [LRP_KIND_SUM] = "sum",
  };
  _Static_assert(sizeof name / sizeof *name == LRP_KIND_COUNT, "every kind has a name");
  return kind < LRP_KIND_COUNT ? name[kind] : "unknown";
}
