/* kernel_point.c - a convolution whose kernel is one place is a product of pixels and weights.
 *
 *     y (pixels,O) = x (pixels,C) w (O,C)^T + bias          x_bar (pixels,C) = y_bar (pixels,O) w (O,C)
 *
 * Both can read the weights as they are; where the same product comes again, a copy in another layout serves it better
 * (kernel_dnnl.c).  Measured on one AVX-512 core: oneDNN's convolutions of this form do 60 GFLOP/s on channels-last
 * tensors, its products 100.  Under a stride the pixels that are met are copied together first. */
#include "kernel_impl.h"
#include <string.h>

bool lrp_conv_is_point(const lrp_conv_job *j)
{
  bool ok = j->taps == 1 && j->group == 1 && j->pack && !j->narrow;
  for (int i = 0; i < 3; i++)
    ok = ok && j->lo[i] == 0 && j->hi[i] == 0 && j->out[i] == (j->in[i] - 1) / j->stride[i] + 1;
  return ok;
}

/* Where pixel i of the output meets the input, in pixels. */
static int64_t met(const lrp_conv_job *j, int64_t i)
{
  const int64_t i2 = i % j->out[2], i1 = i / j->out[2] % j->out[1],
                i0 = i / j->out[2] / j->out[1] % j->out[0],
                n = i / j->out[2] / j->out[1] / j->out[0];
  return ((n * j->in[0] + i0 * j->stride[0]) * j->in[1] + i1 * j->stride[1]) * j->in[2] +
         i2 * j->stride[2];
}

static void gather(const lrp_conv_job *j, int64_t pixels, lrp_real *to)
{
#pragma omp parallel for if (pixels * j->c > LRP_PARALLEL_WORK / 16)
  for (int64_t i = 0; i < pixels; i++)
    memcpy(to + i * j->c, j->from + met(j, i) * j->c, (size_t)j->c * sizeof *to);
}

/* Row by row of the input; what no output meets gets nothing. */
static void scatter(const lrp_conv_job *j, const lrp_real *from)
{
  const int64_t rows = j->batch * j->in[0] * j->in[1], row = j->in[2] * j->c;
#pragma omp parallel for if (rows * row > LRP_PARALLEL_WORK / 16)
  for (int64_t r = 0; r < rows; r++) {
    const int64_t i1 = r % j->in[1], i0 = r / j->in[1] % j->in[0], n = r / j->in[1] / j->in[0],
                  met = (n * j->out[0] + i0 / j->stride[0]) * j->out[1] + i1 / j->stride[1];
    lrp_real *to = j->to + r * row;
    memset(to, 0, (size_t)row * sizeof *to);
    for (int64_t i = 0; i0 % j->stride[0] == 0 && i1 % j->stride[1] == 0 && i < j->out[2]; i++)
      memcpy(to + i * j->stride[2] * j->c, from + (met * j->out[2] + i) * j->c, (size_t)j->c * sizeof *to);
  }
}

lrp_status lrp_point_conv(lrp_ctx *ctx, int which, const lrp_conv_job *j, bool transposed)
{
  const int64_t pixels = j->batch * j->out[0] * j->out[1] * j->out[2];
  const bool all = j->stride[0] == 1 && j->stride[1] == 1 && j->stride[2] == 1;
  const lrp_mark mark = lrp_arena_mark(&ctx->scratch);
  lrp_real *some =
      all ? NULL : lrp_arena_raw(&ctx->scratch, (size_t)(pixels * j->c) * sizeof *some);
  lrp_product p = {.m = pixels,
                   .n = transposed ? j->c : j->o,
                   .k = transposed ? j->o : j->c,
                   .n_batch = 1,
                   .a = j->from,
                   .b = j->w,
                   .bias = transposed ? NULL : j->bias,
                   .a_row = transposed ? j->o : j->c,
                   .a_col = 1,
                   .b_row = transposed ? j->c : 1,
                   .b_col = transposed ? 1 : j->c,
                   .a_count = pixels * (transposed ? j->o : j->c),
                   .b_count = j->o * j->c,
                   .out = j->to,
                   .pack = j->pack,
                   .relayout = true};
  lrp_status st = all || some ? LRP_OK : lrp_nomem(ctx, "conv");
  if (!st && !all && !transposed) gather(j, pixels, some);
  if (!all && !transposed) p.a = some;
  if (!all && transposed) p.out = some;
  if (!st) st = lrp_product_run(ctx, which, &p);
  if (!st && !all && transposed) scatter(j, some);
  lrp_arena_release(&ctx->scratch, mark);
  return st;
}
