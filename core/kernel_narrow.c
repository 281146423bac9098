/* kernel_narrow.c - the transposed map of a convolution with few input channels: the first layer of
 * a network for pictures.
 *
 * One product y_bar (pixels,O) w (O,taps*C) gives what each output returns to its window; a row of
 * the result then adds up the windows that meet it.  A row of a window is contiguous in the result,
 * so that both steps run along memory; a direct convolution would fill one vector in five. */
#include "kernel_impl.h"
#include <string.h>

enum { FORM_CHANNELS_LAST = 8 }; /* those of kernel_plain.c are below, of kernel_bf16.c above */
enum {
  LEAST_IN = 2, MOST_IN = 4, /* input channels */
  WINDOW = 256,        /* elements of a window, at most: 7 x 7 taps */
  LEAST_OUT = 8,       /* output channels: the product must be worth it */
  MOST = 1 << 24,      /* elements that one image's windows may take */
  AT_ONCE = 1 << 21    /* elements of windows made together: they stay in the last cache */
};

static int64_t pixels(const lrp_conv_job *j)
{
  return j->out[0] * j->out[1] * j->out[2];
}

bool lrp_conv_is_narrow(const lrp_conv_job *j)
{
  return j->group == 1 && j->c >= LEAST_IN && j->c <= MOST_IN && j->o >= LEAST_OUT &&
         j->taps > 1 && j->taps <= WINDOW / j->c && pixels(j) <= MOST / (j->taps * j->c);
}

/* w (O,C,taps) as (O,taps,C). */
static void channels_last(const void *job, lrp_real *out)
{
  const lrp_conv_job *j = job;
  for (int64_t o = 0; o < j->o; o++)
    for (int64_t c = 0; c < j->c; c++)
      for (int64_t t = 0; t < j->taps; t++)
        out[(o * j->taps + t) * j->c + c] = j->w[(o * j->c + c) * j->taps + t];
}

/* The output along an axis whose tap k meets element i; -1: none. */
static int64_t meets(const lrp_conv_job *j, int axis, int64_t i, int64_t k)
{
  const int64_t at = i + j->lo[axis] - k * j->dilation[axis], step = j->stride[axis];
  return at < 0 || at % step || at / step >= j->out[axis] ? -1 : at / step;
}

/* One row of windows, each `apart` elements from the next, is added to a row of the result. */
static void add_windows(const lrp_conv_job *j, const lrp_real *window, int64_t apart,
                        lrp_real *restrict row)
{
  const int64_t c = j->c, step = j->dilation[2], size = j->in[2], taps = j->kernel[2];
  for (int64_t o = 0; o < j->out[2]; o++, window += apart) {
    const int64_t start = o * j->stride[2] - j->lo[2];
    if (step == 1) {
      const int64_t first = start < 0 ? -start : 0, last = taps < size - start ? taps : size - start;
      lrp_real *to = row + start * c;
#pragma omp simd
      for (int64_t e = first * c; e < last * c; e++)
        to[e] += window[e];
      continue;
    }
    for (int64_t k = 0; k < taps; k++) {
      const int64_t at = start + k * step;
      for (int64_t e = 0; at >= 0 && at < size && e < c; e++)
        row[at * c + e] += window[k * c + e];
    }
  }
}

/* Row r of some images, from their windows. */
static void make_row(const lrp_conv_job *j, const lrp_real *windows, int64_t r, lrp_real *row)
{
  const int64_t i1 = r % j->in[1], i0 = r / j->in[1] % j->in[0], image = r / j->in[1] / j->in[0];
  const int64_t apart = j->taps * j->c;
  memset(row, 0, (size_t)(j->in[2] * j->c) * sizeof *row);
  for (int64_t k0 = 0; k0 < j->kernel[0]; k0++)
    for (int64_t k1 = 0; k1 < j->kernel[1]; k1++) {
      const int64_t o0 = meets(j, 0, i0, k0), o1 = meets(j, 1, i1, k1);
      if (o0 < 0 || o1 < 0) continue;
      const int64_t line = (image * j->out[0] + o0) * j->out[1] + o1;
      add_windows(j,
                  windows + line * j->out[2] * apart +
                      (k0 * j->kernel[1] + k1) * j->kernel[2] * j->c,
                  apart, row);
    }
}

lrp_status lrp_narrow_conv(lrp_ctx *ctx, int which, const lrp_conv_job *j)
{
  const lrp_mark mark = lrp_arena_mark(&ctx->scratch);
  const int64_t n = j->taps * j->c, each = pixels(j) * n,
                together = each < AT_ONCE ? AT_ONCE / each : 1,
                images = together < j->batch ? together : j->batch;
  lrp_product p = {.n = n,
                   .k = j->o,
                   .n_batch = 1,
                   .a_row = j->o,
                   .a_col = 1,
                   .b_row = n,
                   .b_col = 1,
                   .b_count = n * j->o};
  lrp_status st = lrp_packed_own(ctx, j->pack, FORM_CHANNELS_LAST, 1, p.b_count, channels_last,
                                 j, &p.b, &p.pack);
  p.out = lrp_arena_raw(&ctx->scratch, (size_t)(images * each) * sizeof *p.out);
  if (!st && !p.out) st = lrp_nomem(ctx, "conv");
  for (int64_t first = 0; !st && first < j->batch; first += images) {
    const int64_t count = images < j->batch - first ? images : j->batch - first,
                  rows = count * j->in[0] * j->in[1], size = j->in[2] * j->c;
    p.m = count * pixels(j);
    p.a_count = p.m * p.k;
    p.a = j->from + first * pixels(j) * j->o;
    st = lrp_product_run(ctx, which, &p);
    lrp_real *to = j->to + first * j->in[0] * j->in[1] * size;
    LRP_THREADS(p.m * n > LRP_PARALLEL_WORK / 16,
    for (int64_t r = 0; r < (st ? 0 : rows); r++)
      make_row(j, p.out, r, to + r * size););
  }
  lrp_arena_release(&ctx->scratch, mark);
  return st;
}
