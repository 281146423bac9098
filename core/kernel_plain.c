/* kernel_plain.c - products and convolutions in plain C: the reference for oneDNN, and the faster
 * one for small problems.
 *
 * Both are one loop: rows of the result are sums over taps of (a row of the operand) times (a panel
 * of the weights).  A product has one tap; a convolution has one for each element of its kernel,
 * and rows that fall into the padding are the zero row; its transposed map is the same gather from
 * y with the weights' channel axes exchanged. */
#include "kernel_impl.h"
#include <string.h>

enum {
  BLOCK = 8 * LRP_TILE_ROWS,
  TAPS = 32
};                    /* rows and taps whose addresses are held at once: 12 KB */
enum { PATCH = 128 }; /* elements of a row whose taps are copied together */
enum {
  FORM_PANELS,
  FORM_PANELS_TRANSPOSED,
  FORM_TAPS_FIRST,
  FORM_PRODUCT,
  FORM_PRODUCT_TRANSPOSED
};

typedef struct gather gather;
typedef struct block { /* addresses of up to BLOCK rows and TAPS taps */
  const lrp_real *row[TAPS][BLOCK];
  lrp_real *out[BLOCK];
} block;
struct gather {
  /* Fill b->row for rows first..first+rows and n_tap taps from tap, and b->out. */
  void (*fill)(const gather *, int64_t first, int64_t rows, int64_t tap, int64_t n_tap, block *b);
  int64_t rows, taps, k, k_step, columns;
  const lrp_real *panels, *bias, *zero; /* zero: a row of zeros; bias NULL: none */
  const lrp_real *from;
  lrp_real *to;
  const lrp_product *product;
  const lrp_conv_job *job;
  bool transposed;
};

static int64_t least(int64_t a, int64_t b)
{
  return a < b ? a : b;
}

/* ---- the loop ---- */

/* Short taps (few channels) are copied one behind the other: one long tap instead. */
static void patches(const gather *g, int64_t rows, int64_t n_tap, block *b, lrp_real *patch)
{
  for (int64_t i = 0; i < rows; i++) {
    lrp_real *to = patch + i * PATCH;
    for (int64_t t = 0; t < n_tap; t++)
      for (int64_t k = 0; k < g->k; k++)
        *to++ = b->row[t][i][k];
    b->row[0][i] = patch + i * PATCH;
  }
}

/* A tile of the last panel, which has fewer columns than others: by way of a whole one. */
static void tile_narrow(lrp_tile t, int64_t rows, int64_t width)
{
  lrp_real sum[LRP_TILE_ROWS][LRP_PANEL] = {{0}}, bias[LRP_PANEL] = {0}, *at[LRP_TILE_ROWS];
  lrp_real *const *out = t.out;
  const int64_t column = t.column;
  const size_t bytes = (size_t)width * sizeof(lrp_real);
  for (int64_t i = 0; i < rows; i++) {
    at[i] = sum[i];
    if (t.more) memcpy(sum[i], out[i] + column, bytes);
  }
  if (t.bias) memcpy(bias, t.bias, bytes);
  t.bias = bias;
  t.out = at;
  t.column = 0;
  lrp_tile_for(rows)(&t);
  for (int64_t i = 0; i < rows; i++)
    memcpy(out[i] + column, sum[i], bytes);
}

static void panels_run(const gather *g, const block *b, const lrp_tile *shape, int64_t rows,
                       int64_t tap, int64_t p0, int64_t p1)
{
  lrp_tile t = *shape;
  t.more = tap > 0;
  for (int64_t p = p0; p < p1; p++) {
    const int64_t width = least(LRP_PANEL, g->columns - p * LRP_PANEL);
    t.column = p * LRP_PANEL;
    t.bias = g->bias ? g->bias + t.column : NULL;
    t.panel = g->panels + (p * g->taps + tap) * g->k * LRP_PANEL;
    for (int64_t i = 0; i < rows; i += LRP_TILE_ROWS) {
      const int64_t n = least(LRP_TILE_ROWS, rows - i);
      t.row = &b->row[0][i];
      t.out = &b->out[i];
      if (width < LRP_PANEL)
        tile_narrow(t, n, width);
      else
        lrp_tile_for(n)(&t);
    }
  }
}

/* Rows first.. of the result, panels p0..p1. */
static void block_run(const gather *g, int64_t first, int64_t p0, int64_t p1)
{
  block b;
  lrp_real patch[BLOCK * PATCH];
  const int64_t rows = least(BLOCK, g->rows - first);
  const bool copied = g->taps > 1 && g->k_step == 1 && g->k <= PATCH / 8;
  const int64_t most = copied ? least(TAPS, PATCH / g->k) : TAPS;
  for (int64_t tap = 0; tap < g->taps; tap += most) {
    const int64_t n_tap = least(most, g->taps - tap);
    const lrp_tile shape = {.row_step = BLOCK,
                            .taps = copied ? 1 : n_tap,
                            .k = copied ? n_tap * g->k : g->k,
                            .k_step = g->k_step,
                            .zero = g->zero};
    g->fill(g, first, rows, tap, n_tap, &b);
    if (copied) patches(g, rows, n_tap, &b, patch);
    panels_run(g, &b, &shape, rows, tap, p0, p1);
  }
}

/* All gathers share their sizes: batches of a product, groups of a convolution. */
static void gathers_run(const gather *all, int64_t n_gather)
{
  const int64_t blocks = (all->rows + BLOCK - 1) / BLOCK, panels = lrp_panels(all->columns),
                threads = lrp_threads();
  int64_t pieces = threads > 1 ? (4 * threads + n_gather * blocks - 1) / (n_gather * blocks) : 1;
  pieces = least(pieces, panels);
  const int64_t each = (panels + pieces - 1) / pieces, items = n_gather * blocks * pieces;
  const double work = (double)n_gather * (double)all->rows * (double)all->taps * (double)all->k *
                      (double)all->columns;
  (void)work; /* used by OpenMP only */
  LRP_THREADS_AS(schedule(dynamic), threads > 1 && work > LRP_PARALLEL_WORK,
  for (int64_t i = 0; i < items; i++) {
    const int64_t piece = i % pieces, b = i / pieces % blocks;
    block_run(&all[i / pieces / blocks], b * BLOCK, least(panels, piece * each),
              least(panels, (piece + 1) * each));
  });
}

/* ---- products ---- */

static void product_fill(const gather *g, int64_t first, int64_t rows, int64_t tap, int64_t n_tap,
                         block *b)
{
  (void)tap, (void)n_tap;
  for (int64_t i = 0; i < rows; i++) {
    b->row[0][i] = g->from + (first + i) * g->product->a_row;
    b->out[i] = g->to + (first + i) * g->product->n;
  }
}

/* Where batch i of the operands starts. */
static void batch_offsets(const lrp_product *p, int64_t i, int64_t *a, int64_t *b)
{
  *a = *b = 0;
  for (int32_t k = p->n_axis; k-- > 0; i /= p->axis[k]) {
    *a += i % p->axis[k] * p->a_step[k];
    *b += i % p->axis[k] * p->b_step[k];
  }
}

/* All different matrices of b, one behind the other. */
static void product_panels(const void *job, lrp_real *out)
{
  const lrp_product *p = job;
  const int64_t size = p->k * p->n, n = p->b_count / size,
                each = lrp_panels(p->n) * p->k * LRP_PANEL;
  LRP_THREADS(n > 1 && n * each > LRP_PARALLEL_WORK,
  for (int64_t i = 0; i < n; i++) {
    const lrp_panel_source s = {p->b + i * size, 1, p->k, p->n, 0, p->b_row, p->b_col};
    lrp_panels_fill(&s, out + i * each);
  });
}

static lrp_status product_by_tiles(lrp_ctx *ctx, const lrp_product *p)
{
  const int64_t size = p->k * p->n, each = lrp_panels(p->n) * p->k * LRP_PANEL;
  const uint32_t kind = p->b_row == 1 && p->k > 1 ? FORM_PRODUCT_TRANSPOSED : FORM_PRODUCT;
  gather *g = lrp_arena_alloc(&ctx->scratch, (size_t)p->n_batch * sizeof *g);
  const lrp_real *panels;
  if (!g) return lrp_nomem(ctx, "matmul");
  const lrp_status st =
      lrp_packed_get(ctx, p->pack, kind, 1, p->b_count / size * each, product_panels, p, &panels);
  for (int64_t i = 0; !st && i < p->n_batch; i++) {
    int64_t a, b;
    batch_offsets(p, i, &a, &b);
    g[i] = (gather){.fill = product_fill,
                    .rows = p->m,
                    .taps = 1,
                    .k = p->k,
                    .k_step = p->a_col,
                    .columns = p->n,
                    .panels = panels + b / size * each,
                    .bias = p->bias,
                    .from = p->a + a,
                    .to = p->out + i * p->m * p->n,
                    .product = p};
  }
  if (!st) gathers_run(g, p->n_batch);
  return st;
}

/* ---- products with few rows or columns: the large operand is read once, as it is ---- */

typedef struct skinny { /* out[r][j*step] = v[r] (K) . column j of a matrix whose element (k,j) is at
                           k*row + j*col, for rows r, which are v_next, out_next and bias_next elements apart */
  const lrp_real *v, *b, *bias; /* bias of column j at bias[j*bias_step]; NULL: none */
  int64_t k, n, row, col, step, bias_step;
  lrp_real *out;
  int64_t rows, v_next, out_next, bias_next;
} skinny;

/* Columns first .. last.  Of many rows each takes the same steps as one alone, on pieces of the matrix that all of them
 * meet before the next: it comes from memory once. */
static void skinny_columns(const skinny *s, int64_t first, int64_t last)
{
  enum { CACHE = 1 << 16 }; /* elements of a piece */
  const bool along = s->col == 1 && s->step == 1;
  const int64_t width = last - first, other = along ? width : s->k, most = CACHE / other / 4 * 4,
                size = s->rows == 1 ? INT64_MAX : most > 4 ? most : 4;
  for (int64_t r = 0; r < s->rows; r++)
    for (int64_t j = first; j < last; j++)
      s->out[r * s->out_next + j * s->step] = s->bias ? s->bias[r * s->bias_next + j * s->bias_step] : 0;
  for (int64_t at = 0, end = along ? s->k : width; at < end; at += least(size, end - at))
    for (int64_t r = 0; r < s->rows; r++) {
      const lrp_real *v = s->v + r * s->v_next;
      lrp_real *out = s->out + r * s->out_next;
      const int64_t n = least(size, end - at), j = first + at;
      if (along)
        lrp_rows_add(v + at, n, s->b + first + at * s->row, s->row, width, out + first);
      else
        lrp_dots(v, s->k, s->b + j * s->col, s->col, n, out + j * s->step, s->step);
    }
}

static void skinny_run(const skinny *s)
{
  enum {
    LEAST = 256,
    MOST = 4096
  }; /* columns: long runs in memory, sums that stay in the first cache */
  const int64_t share = (s->n + lrp_threads() - 1) / lrp_threads(),
                size = share < LEAST ? LEAST : least(share, MOST);
  const int64_t chunks = (s->n + size - 1) / size;
  LRP_THREADS(s->rows * s->k * s->n > LRP_PARALLEL_WORK,
  for (int64_t c = 0; c < chunks; c++)
    skinny_columns(s, c * size, least(s->n, (c + 1) * size)););
}

/* Which operand is the small one; neither: tiles. */
static bool few_rows(const lrp_ctx *ctx, const lrp_product *p)
{
  return lrp_rows_are_few(ctx, p->m) && (p->b_col == 1 || p->b_row == 1);
}

static bool few_columns(const lrp_product *p)
{
  return p->n < LRP_FEW_ROWS && (p->a_col == 1 || (p->n == 1 && p->a_row == 1));
}

/* v: room for the small operand, whose rows are copied together where they are not. */
static void skinny_batch(const lrp_product *p, bool rows, int64_t i, lrp_real *v)
{
  int64_t a, b;
  batch_offsets(p, i, &a, &b);
  const lrp_real *left = p->a + a, *right = p->b + b, *small = rows ? left : right, *large = rows ? right : left;
  const int64_t n = rows ? p->m : p->n, next = rows ? p->a_row : p->b_col, step = rows ? p->a_col : p->b_row;
  for (int64_t r = 0; step != 1 && r < n; r++)
    for (int64_t k = 0; k < p->k; k++)
      v[r * p->k + k] = small[r * next + k * step];
  skinny s = {.v = step == 1 ? small : v, .b = large, .bias = p->bias, .k = p->k, .n = rows ? p->n : p->m,
              .row = rows ? p->b_row : p->a_col, .col = rows ? p->b_col : p->a_row, .step = rows ? 1 : p->n,
              .bias_step = rows, .out = p->out + i * p->m * p->n, .rows = n, .v_next = step == 1 ? next : p->k,
              .out_next = rows ? p->n : 1, .bias_next = !rows};
  skinny_run(&s);
}

static lrp_status product_skinny(lrp_ctx *ctx, const lrp_product *p, bool rows)
{
  const int64_t threads = p->n_batch > 1 ? lrp_threads() : 1, each = (rows ? p->m : p->n) * p->k;
  lrp_real *v = lrp_arena_raw(&ctx->scratch, (size_t)(threads * each) * sizeof *v);
  if (!v) return lrp_nomem(ctx, "matmul");
#pragma omp parallel for if (threads > 1 && p->n_batch * p->m * p->n * p->k > LRP_PARALLEL_WORK)
  for (int64_t i = 0; i < p->n_batch; i++) {
#ifdef _OPENMP
    const int64_t self = threads > 1 ? omp_get_thread_num() : 0;
#else
    const int64_t self = 0;
#endif
    skinny_batch(p, rows, i, v + self * each);
  }
  return LRP_OK;
}

lrp_status lrp_plain_matmul(lrp_ctx *ctx, const lrp_product *p)
{
  const lrp_mark mark = lrp_arena_mark(&ctx->scratch);
  const bool rows = few_rows(ctx, p);
  const lrp_status st = rows || few_columns(p) ? product_skinny(ctx, p, rows) : product_by_tiles(ctx, p);
  lrp_arena_release(&ctx->scratch, mark);
  return st;
}

/* ---- convolutions ---- */

/* Row i of the result as coordinates (n, s0, s1, s2).  The transposed map visits the last axis in
 * steps of the stride, so that the rows of a tile meet the same taps. */
static void coordinates(const gather *g, int64_t i, int64_t at[4])
{
  const lrp_conv_job *j = g->job;
  const int64_t *size = g->transposed ? j->in : j->out, step = g->transposed ? j->stride[2] : 1;
  int64_t last = i % size[2], start = 0;
  i /= size[2];
  at[2] = i % size[1];
  i /= size[1];
  at[1] = i % size[0];
  at[0] = i / size[0];
  for (;; start++) {
    const int64_t n = (size[2] - start + step - 1) / step;
    if (last < n) break;
    last -= n;
  }
  at[3] = start + last * step;
}

/* Where row and tap read: their parts along an axis add up to `sum`.  A transposed stride leaves
 * gaps.  -1: nowhere. */
static int64_t source(int64_t sum, int64_t step, int64_t size)
{
  if (sum < 0 || (step > 1 && sum % step)) return -1;
  sum = step > 1 ? sum / step : sum;
  return sum < size ? sum : -1;
}

static void conv_fill(const gather *g, int64_t first, int64_t rows, int64_t tap, int64_t n_tap,
                      block *b)
{
  static const int64_t one[3] = {1, 1, 1};
  const lrp_conv_job *j = g->job;
  const int64_t *to = g->transposed ? j->in : j->out, *from = g->transposed ? j->out : j->in;
  const int64_t to_c = g->transposed ? j->c : j->o, from_c = g->transposed ? j->o : j->c;
  const int64_t *step = g->transposed ? j->stride : one;
  int64_t at[BLOCK][4];
  for (int64_t i = 0; i < rows; i++) {
    coordinates(g, first + i, at[i]);
    b->out[i] =
        g->to + (((at[i][0] * to[0] + at[i][1]) * to[1] + at[i][2]) * to[2] + at[i][3]) * to_c;
    for (int a = 0; a < 3; a++)
      at[i][1 + a] =
          g->transposed ? at[i][1 + a] + j->lo[a] : at[i][1 + a] * j->stride[a] - j->lo[a];
  }
  for (int64_t t = 0; t < n_tap; t++) {
    const int64_t k = tap + t, sign = g->transposed ? -1 : 1,
                  k2 = sign * (k % j->kernel[2]) * j->dilation[2],
                  k1 = sign * (k / j->kernel[2] % j->kernel[1]) * j->dilation[1],
                  k0 = sign * (k / j->kernel[2] / j->kernel[1]) * j->dilation[0];
    for (int64_t i = 0; i < rows; i++) {
      const int64_t s0 = source(at[i][1] + k0, step[0], from[0]),
                    s1 = source(at[i][2] + k1, step[1], from[1]),
                    s2 = source(at[i][3] + k2, step[2], from[2]);
      b->row[t][i] =
          (s0 | s1 | s2) < 0
              ? g->zero
              : g->from + (((at[i][0] * from[0] + s0) * from[1] + s1) * from[2] + s2) * from_c;
    }
  }
}

/* The weights of all groups as panels over output channels; transposed: over input channels. */
static void conv_panels(const lrp_conv_job *j, bool transposed, lrp_real *out)
{
  const int64_t c = j->c / j->group, o = j->o / j->group;
  for (int64_t g = 0; g < j->group; g++) {
    const lrp_real *w = j->w + g * o * c * j->taps;
    const lrp_panel_source s = transposed
                                   ? (lrp_panel_source){w, j->taps, o, c, 1, c * j->taps, j->taps}
                                   : (lrp_panel_source){w, j->taps, c, o, 1, j->taps, c * j->taps};
    lrp_panels_fill(&s, out + g * lrp_panels(s.columns) * s.taps * s.k * LRP_PANEL);
  }
}

static void panels_forward(const void *job, lrp_real *out)
{
  conv_panels(job, false, out);
}

static void panels_transposed(const void *job, lrp_real *out)
{
  conv_panels(job, true, out);
}

/* w (C,1,taps) as (taps,C). */
static void taps_first(const void *job, lrp_real *out)
{
  const lrp_conv_job *j = job;
  for (int64_t c = 0; c < j->c; c++)
    for (int64_t t = 0; t < j->taps; t++)
      out[t * j->c + c] = j->w[c * j->taps + t];
}

/* One channel in, one out for each group: no sums over channels, so the channels themselves are the
 * vector. */
static void depthwise_block(const gather *g, const lrp_real *w, int64_t first)
{
  block b;
  const int64_t rows = least(BLOCK, g->rows - first), c = g->job->c;
  for (int64_t tap = 0; tap < g->taps; tap += TAPS) {
    const int64_t n_tap = least(TAPS, g->taps - tap);
    g->fill(g, first, rows, tap, n_tap, &b);
    for (int64_t i = 0; i < rows; i++)
      lrp_taps_add(&(lrp_taps){.row = &b.row[0][i],
                               .row_step = BLOCK,
                               .taps = n_tap,
                               .n = c,
                               .zero = g->zero,
                               .w = w + tap * c,
                               .bias = g->bias,
                               .out = b.out[i],
                               .more = tap > 0});
  }
}

static lrp_status conv_depthwise(lrp_ctx *ctx, const gather *g)
{
  const lrp_conv_job *j = g->job;
  const lrp_real *w;
  const lrp_status st =
      lrp_packed_get(ctx, j->pack, FORM_TAPS_FIRST, j->group, j->c * j->taps, taps_first, j, &w);
  const int64_t blocks = (g->rows + BLOCK - 1) / BLOCK;
  LRP_THREADS_AS(schedule(dynamic), g->rows * j->c * j->taps > LRP_PARALLEL_WORK,
  for (int64_t i = 0; i < (st ? 0 : blocks); i++)
    depthwise_block(g, w, i * BLOCK););
  return st;
}

static lrp_status conv_groups(lrp_ctx *ctx, const gather *whole)
{
  const lrp_conv_job *j = whole->job;
  const bool back = whole->transposed;
  const int64_t k = (back ? j->o : j->c) / j->group, columns = (back ? j->c : j->o) / j->group;
  const int64_t each = lrp_panels(columns) * j->taps * k * LRP_PANEL;
  const lrp_real *panels;
  gather *g = lrp_arena_alloc(&ctx->scratch, (size_t)j->group * sizeof *g);
  lrp_status st = g ? LRP_OK : lrp_nomem(ctx, "conv");
  if (!st)
    st = lrp_packed_get(ctx, j->pack, back ? FORM_PANELS_TRANSPOSED : FORM_PANELS, j->group,
                        j->group * each, back ? panels_transposed : panels_forward, j, &panels);
  for (int64_t i = 0; !st && i < j->group; i++) {
    g[i] = *whole;
    g[i].k = k;
    g[i].columns = columns;
    g[i].panels = panels + i * each;
    g[i].bias = whole->bias ? whole->bias + i * columns : NULL;
    g[i].from += i * k;
    g[i].to += i * columns;
  }
  if (!st) gathers_run(g, j->group);
  return st;
}

lrp_status lrp_plain_conv(lrp_ctx *ctx, const lrp_conv_job *j, bool transposed)
{
  const lrp_mark mark = lrp_arena_mark(&ctx->scratch);
  const int64_t *to = transposed ? j->in : j->out;
  const lrp_real *zero =
      lrp_arena_alloc(&ctx->scratch, (size_t)(transposed ? j->o : j->c) * sizeof *zero);
  const gather g = {.fill = conv_fill,
                    .rows = j->batch * to[0] * to[1] * to[2],
                    .taps = j->taps,
                    .k_step = 1,
                    .bias = transposed ? NULL : j->bias,
                    .zero = zero,
                    .from = j->from,
                    .to = j->to,
                    .job = j,
                    .transposed = transposed};
  const lrp_status st = !zero                                  ? lrp_nomem(ctx, "conv")
                        : j->group == j->c && j->group == j->o ? conv_depthwise(ctx, &g)
                                                               : conv_groups(ctx, &g);
  lrp_arena_release(&ctx->scratch, mark);
  return st;
}
