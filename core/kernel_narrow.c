/* kernel_narrow.c - the transposed map of a convolution with few input channels: the first layer of
 * a network for pictures.
 *
 * One product y_bar (pixels,O) w (O,taps*C) gives what each output returns to its window; a row of
 * the result then adds up the windows that meet it.  A row of a window is contiguous in the result,
 * so that both steps run along memory; a direct convolution would fill one vector in five. */
#include "kernel_impl.h"
#include "lrp/vector.h"
#include <string.h>

enum { FORM_CHANNELS_LAST = 8 }; /* those of kernel_plain.c are below, of kernel_bf16.c above */
enum {
  LEAST_IN = 2, MOST_IN = 4, /* input channels */
  WINDOW = 256,        /* elements of a window, at most: 7 x 7 taps */
  LEAST_OUT = 8,       /* output channels: the product must be worth it */
  MOST = 1 << 24,      /* elements that one image's windows may take */
  AT_ONCE = 1 << 21,   /* elements of windows of small images that are made together */
  CHUNK = 1 << 18,     /* elements of windows until they are added up: they stay in the second cache */
  LANES = 8            /* runs are added in steps of so many elements; those behind their end count as zero */
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

/* How a row of windows is added to a row of the result, which is padded so that all of them fall into it.  Windows that
 * overlap take turns: an addition would wait for what the one before has just written. */
typedef struct row_form {
  int64_t before, size;      /* elements of the row: in front of the result's, altogether */
  int64_t n, step, turns;    /* windows; elements from one to the next; from how many on they do not overlap */
  int64_t runs, length, gap; /* of a window's row: elements that lie together, from one to the next */
  int yes[WINDOW + LANES];   /* 1 for the elements of a run */
} row_form;

static row_form form_of(const lrp_conv_job *j)
{
  const bool dense = j->dilation[2] == 1;
  row_form f = {.before = j->lo[2] > 0 ? j->lo[2] * j->c : 0, .n = j->out[2], .step = j->stride[2] * j->c,
                .runs = dense ? 1 : j->kernel[2], .length = dense ? j->kernel[2] * j->c : j->c,
                .gap = j->dilation[2] * j->c};
  const int64_t reach = (f.runs - 1) * f.gap + f.length + LANES, row = f.before + j->in[2] * j->c,
                start = f.before - j->lo[2] * j->c, windows = start + (f.n - 1) * f.step + reach;
  f.turns = (reach + f.step - 1) / f.step;
  f.size = row > windows ? row : windows;
  for (int64_t e = 0; e < f.length; e++)
    f.yes[e] = 1;
  return f;
}

LRP_LOOP void add_windows_any(const row_form *f, const lrp_real *window, int64_t apart, lrp_real *row)
{
  for (int64_t turn = 0; turn < f->turns; turn++)
    for (int64_t o = turn; o < f->n; o += f->turns)
      for (int64_t run = 0; run < f->runs; run++)
        for (int64_t e = 0; e < f->length; e += LANES) {
          const lrp_real *from = window + o * apart + run * f->length + e;
          lrp_real *to = row + o * f->step + run * f->gap + e;
#pragma omp simd
          for (int i = 0; i < LANES; i++)
            to[i] += lrp_select(f->yes[e + i], from[i], 0);
        }
}
LRP_TWICE(void, add_windows, (const row_form *f, const lrp_real *window, int64_t apart, lrp_real *row),
          (f, window, apart, row))

typedef struct chunk { /* lines of windows, first .. first + n, of some images */
  int64_t first, n;
  const lrp_real *windows;
} chunk;

/* What a chunk adds to row r of the images, which is padded. */
static void add_to_row(const lrp_conv_job *j, const row_form *f, const chunk *c, int64_t r, lrp_real *row)
{
  const int64_t i1 = r % j->in[1], i0 = r / j->in[1] % j->in[0], image = r / j->in[1] / j->in[0];
  const int64_t apart = j->taps * j->c;
  for (int64_t k0 = 0; k0 < j->kernel[0]; k0++)
    for (int64_t k1 = 0; k1 < j->kernel[1]; k1++) {
      const int64_t o0 = meets(j, 0, i0, k0), o1 = meets(j, 1, i1, k1),
                    line = (image * j->out[0] + o0) * j->out[1] + o1 - c->first;
      if (o0 < 0 || o1 < 0 || line < 0 || line >= c->n) continue;
      add_windows(f, c->windows + line * j->out[2] * apart + (k0 * j->kernel[1] + k1) * j->kernel[2] * j->c, apart,
                  row + f->before - j->lo[2] * j->c);
    }
}

/* Some images, by p, which is the product for a line; room: padded rows for all of them. */
static lrp_status make_images(lrp_ctx *ctx, int which, const lrp_conv_job *j, const row_form *f, int64_t n,
                              const lrp_real *from, lrp_product p, lrp_real *room, lrp_real *to)
{
  const int64_t lines = n * j->out[0] * j->out[1], line = j->out[2] * p.n, size = j->in[2] * j->c,
                rows = n * j->in[0] * j->in[1], together = line < CHUNK ? CHUNK / line : 1;
  lrp_status st = LRP_OK;
  memset(room, 0, (size_t)(rows * f->size) * sizeof *room);
  for (int64_t at = 0; !st && at < lines; at += together) {
    const chunk c = {.first = at, .n = together < lines - at ? together : lines - at, .windows = p.out};
    const bool inside = j->out[0] == 1 && at / j->out[1] == (at + c.n - 1) / j->out[1]; /* of an image */
    const int64_t base = at / j->out[1] * j->in[1], low = at % j->out[1] * j->stride[1] - j->lo[1],
                  high = low + (c.n - 1) * j->stride[1] + (j->kernel[1] - 1) * j->dilation[1] + 1,
                  first = !inside ? 0 : base + (low > 0 ? low : 0),
                  last = !inside ? rows : base + (high < j->in[1] ? high : j->in[1]);
    p.m = c.n * j->out[2];
    p.a_count = p.m * p.k;
    p.a = from + at * j->out[2] * j->o;
    st = lrp_product_run(ctx, which, &p);
    LRP_THREADS(p.m * p.n > LRP_PARALLEL_WORK / 32,
    for (int64_t r = first; r < (st ? 0 : last); r++)
      add_to_row(j, f, &c, r, room + r * f->size););
  }
  for (int64_t r = 0; r < rows; r++)
    memcpy(to + r * size, room + r * f->size + f->before, (size_t)size * sizeof *to);
  return st;
}

/* The product is chosen by an image's work, not by that of the pieces it is done in. */
lrp_status lrp_narrow_conv(lrp_ctx *ctx, int which, const lrp_conv_job *j)
{
  const lrp_mark mark = lrp_arena_mark(&ctx->scratch);
  const int64_t n = j->taps * j->c, each = pixels(j) * n, together = each < AT_ONCE ? AT_ONCE / each : 1,
                images = together < j->batch ? together : j->batch, line = j->out[2] * n;
  const row_form f = form_of(j);
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
  p.out = lrp_arena_raw(&ctx->scratch, (size_t)((line < CHUNK ? CHUNK : line) + LANES) * sizeof *p.out);
  lrp_real *room = lrp_arena_raw(&ctx->scratch, (size_t)(images * j->in[0] * j->in[1] * f.size) * sizeof *room);
  if (!st && (!p.out || !room)) st = lrp_nomem(ctx, "conv");
  if (which == LRP_KERNEL_AUTO)
    which = (double)each * (double)j->o >= LRP_PRODUCT_WORK ? LRP_KERNEL_DNNL : LRP_KERNEL_PLAIN;
  for (int64_t first = 0; !st && first < j->batch; first += images) {
    const int64_t count = images < j->batch - first ? images : j->batch - first;
    st = make_images(ctx, which, j, &f, count, j->from + first * pixels(j) * j->o, p, room,
                     j->to + first * j->in[0] * j->in[1] * j->in[2] * j->c);
  }
  lrp_arena_release(&ctx->scratch, mark);
  return st;
}
