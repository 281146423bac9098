/* layer.h - small helpers that the layer modules of this folder share.  Everything is inline: a
 * module stays one file, and a plugin out of the tree needs none of it. */
#ifndef LRP_PLUGINS_LAYER_H
#define LRP_PLUGINS_LAYER_H
#include "lrp/plugin.h"
#include "lrp/threads.h"
#include <string.h>

#define PARALLEL_MIN 65536 /* elements below which starting threads costs more than it gives */

/* A tensor's type and shape; data stays as it is. */
static inline void tensor_describe(lrp_tensor *t, int32_t dtype, int32_t rank, const int64_t *shape)
{
  t->dtype = dtype;
  t->rank = rank;
  t->flags = 0;
  for (int32_t i = 0; i < rank; i++)
    t->shape[i] = shape[i];
}

/* The same elements under another shape.  The packed form belongs to the old shape, so it is
 * dropped. */
static inline lrp_tensor tensor_view(const lrp_tensor *t, int32_t rank, int64_t d0, int64_t d1)
{
  lrp_tensor v = *t;
  v.rank = rank;
  v.shape[0] = d0;
  v.shape[1] = d1;
  v.host = NULL;
  return v;
}

static inline void tensor_zero(const lrp_tensor *t)
{
  if (t->data)
    memset(t->data, 0,
           (size_t)lrp_count(t) * (t->dtype == LRP_INDEX ? sizeof(int64_t) : sizeof(lrp_real)));
}

/* The axis of t that runs along with an axis of y, to which t broadcasts. */
static inline int32_t row_axis(const lrp_tensor *t, const lrp_tensor *y, int32_t axis)
{
  const int32_t a = axis - y->rank + t->rank;
  return a < 0 || (t->shape[a] == 1 && y->shape[axis] != 1) ? LRP_ROWS_ALL : a;
}

/* The same for input i, or what is saved behind the inputs, of a layer that works element by element. */
static inline int32_t row_axis_of(const lrp_call *call, int32_t axis, uint32_t i)
{
  return row_axis(i < call->n_in ? &call->in[i] : &call->saved[i - call->n_in], &call->out[0], axis);
}

/* Parameter i, or NULL where it is absent. */
static inline const lrp_tensor *param_of(const lrp_call *call, uint32_t i)
{
  return i < call->n_param && call->param[i].data ? &call->param[i] : NULL;
}

static inline lrp_status need_reals(const lrp_host *h, lrp_ctx *ctx, const char *who,
                                    const lrp_tensor *x)
{
  if (x->dtype == LRP_REAL) return LRP_OK;
  return h->fail(ctx, LRP_E_UNSUPPORTED, "%s: works on real numbers, its input holds integers",
                 who);
}

/* y (...,C) += b (C). */
static inline void add_rows(const lrp_tensor *y, const lrp_tensor *b)
{
  const int64_t c = lrp_count(b), rows = c ? lrp_count(y) / c : 0;
  lrp_real *v = lrp_reals(y);
  const lrp_real *add = lrp_reals(b);
  LRP_THREADS(rows * c > PARALLEL_MIN,
  for (int64_t r = 0; r < rows; r++)
    LRP_PRAGMA(omp simd)
    for (int64_t j = 0; j < c; j++)
      v[r * c + j] += add[j];);
}
#endif
