/* rows.h - rows of tensors: what nothing reads is not computed.  Not installed. */
#ifndef LRP_ROWS_H
#define LRP_ROWS_H
#include "core.h"

typedef struct lrp_row_set { /* positions along one axis of a tensor */
  int32_t axis;           /* LRP_ROWS_ALL: the whole tensor */
  int64_t n;
  const int64_t *at;      /* ascending, each once */
} lrp_row_set;

typedef struct lrp_layout { /* a tensor around an axis: (outer, n, bytes) */
  int64_t outer, n;
  size_t bytes;
} lrp_layout;
lrp_layout lrp_layout_of(const lrp_tensor *, int32_t axis);

/* The axes of inputs and then of saved tensors that run along with an axis of output 0, n_in + n_saved of them;
 * false: the layer does not say, or its rows depend on each other. */
bool lrp_rows_axes(const lrp_layer_type *, const void *inst, const lrp_call *, int32_t axis, int32_t *in_axis);
/* forward for these rows of output 0 only; all others of it, and of what is saved, repeat the first. */
lrp_status lrp_rows_forward(lrp_ctx *, const lrp_layer_type *, const void *inst, lrp_call *,
                            const lrp_row_set *);
#endif
