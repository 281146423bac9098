/* kernel_winograd.c - convolutions with 3 x 3 kernels and stride 1 by a quarter of the multiplications.
 *
 * Winograd's F(4x4,3x3), as in Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural
 * Networks": a tile of 4 x 4 outputs sees 6 x 6 inputs; both are polynomials, known by their values
 * at six points, where a convolution is a product.  So for each of the 36 pairs of points there is
 * one product (tiles,C) (C,O).
 *
 * The points are 0, 3/4, -3/4, 4/3, -4/3 and infinity.  They lose fewer digits than the usual 0, 1,
 * -1, 2, -2 (Barabasz et al. 2020, "Error Analysis and Improving the Accuracy of Winograd
 * Convolution": errors are rms 1.3e-6 of the outputs' rms, at signed weights, against 2.5e-6 and 2e-7
 * by direct sums), and their reciprocals are the same points in another order.  A kernel read
 * backwards has at x the value x^2 times that at 1/x, so the transposed map takes the same weights in
 * that order, and they are kept once for both.
 *
 * An error is relative to the largest number of a tile, not to that of the window alone.  Where the
 * largest of a picture towers above its mean, that picture is left to direct sums. */
#include "kernel_impl.h"
#include "lrp/vector.h"
#include <math.h>
#include <string.h>

enum {
  SIDE = 6, SLOTS = SIDE * SIDE, STEP = 4, /* inputs and outputs of a tile, along an axis */
  LANES = LRP_BLOCK,
  LEAST_CHANNELS = 32,
  LEAST_TILES = 4,    /* of a picture: with fewer rows, products wait for the weights */
  LEAST_FILLED = 65, PERCENT = 100, /* of the tiles' outputs */
  ROWS = 56,          /* of a product, at most */
  BYTES = 1 << 20,    /* of a block of tiles, where the weights are small: it stays in the second cache */
  FORM = 9,           /* of packed weights; those of kernel_plain.c are below */
  PIECE = 1 << 16     /* elements of one partial sum */
};
#define MOST_ABOVE_MEAN 1024 /* an error of 1e-6 of the largest is 1e-3 of the mean of one input, less of a sum */

static const double A = 0.75, B = 4 / 3.0; /* A * B = 1 */
static const int MIRRORED[SIDE] = {5, 3, 4, 1, 2, 0}; /* where a point's reciprocal is */

bool lrp_conv_is_winograd(const lrp_conv_job *j)
{
  bool ok = LRP_WITH_DNNL && j->n_spatial == 2 && j->group == 1 && j->pack && !j->narrow &&
            j->c % LANES == 0 && j->o % LANES == 0 && j->c >= LEAST_CHANNELS &&
            j->o >= LEAST_CHANNELS;
  int64_t tiles = 1, outputs = 1;
  for (int i = 1; ok && i < 3; i++) {
    ok = j->kernel[i] == 3 && j->stride[i] == 1 && j->dilation[i] == 1 && j->lo[i] >= 0 &&
         j->lo[i] <= 2 && j->out[i] == j->in[i] + j->lo[i] + j->hi[i] - 2;
    tiles *= (j->out[i] + STEP - 1) / STEP;
    outputs *= j->out[i];
  }
  return ok && tiles >= LEAST_TILES && outputs * PERCENT >= tiles * STEP * STEP * LEAST_FILLED;
}

/* ---- weights ---- */

typedef lrp_real vec __attribute__((vector_size(LANES * sizeof(lrp_real)), may_alias));
typedef double wide __attribute__((vector_size(LANES * sizeof(double))));

/* G w G^T of sixteen outputs o and inputs c, as 36 blocks (16,16), of which the last are outputs. */
LRP_LOOP void weights_any(const lrp_conv_job *j, int64_t o, int64_t c, lrp_real *out)
{
  const double a = 1 / (2 * A * A * (A * A - B * B)), b = 1 / (2 * B * B * (B * B - A * A));
  const double g[SIDE][3] = {{1, 0, 0},
                             {a, A * a, A * A * a},
                             {a, -A * a, A * A * a},
                             {b, B * b, B * B * b},
                             {b, -B * b, B * B * b},
                             {0, 0, 1}};
  for (int row = 0; row < LANES; row++) {
    wide w[9], half[SIDE][3];
    for (int lane = 0; lane < LANES; lane++)
      for (int k = 0; k < 9; k++)
        w[k][lane] = (double)j->w[((o + lane) * j->c + c + row) * 9 + k];
    for (int i = 0; i < SIDE; i++)
      for (int k = 0; k < 3; k++)
        half[i][k] = g[i][0] * w[k] + g[i][1] * w[3 + k] + g[i][2] * w[6 + k];
    for (int i = 0; i < SLOTS; i++) {
      const wide *h = half[i / SIDE];
      const double *f = g[i % SIDE];
      const vec v = __builtin_convertvector(h[0] * f[0] + h[1] * f[1] + h[2] * f[2], vec);
      memcpy(out + (i * LANES + row) * LANES, &v, sizeof v);
    }
  }
}

/* ---- tiles ---- */

typedef struct map { /* one of the two, as a convolution of `from` to `to` */
  int64_t from[2], to[2], lo[2], tiles[2]; /* lo: elements of padding before `from` */
  int64_t c, o;
  const lrp_real *bias;
  int slot[SIDE];
  lrp_real back[8]; /* factors of what comes back from the points, see out() */
} map;

static map map_of(const lrp_conv_job *j, bool transposed)
{
  map m = {.c = transposed ? j->o : j->c,
           .o = transposed ? j->c : j->o,
           .bias = transposed ? NULL : j->bias};
  const double a = transposed ? -B * B : 1, b = transposed ? -A * A : 1; /* x^2 N(1/x) / N(x) */
  const double back[8] = {a, b, A * a, B * b, A * A * a, B * B * b, A * A * A * a, B * B * B * b};
  for (int i = 0; i < 2; i++) {
    m.from[i] = transposed ? j->out[1 + i] : j->in[1 + i];
    m.to[i] = transposed ? j->in[1 + i] : j->out[1 + i];
    m.lo[i] = transposed ? 2 - j->lo[1 + i] : j->lo[1 + i];
    m.tiles[i] = (m.to[i] + STEP - 1) / STEP;
  }
  for (int i = 0; i < SIDE; i++)
    m.slot[i] = transposed ? MIRRORED[i] : i;
  for (int i = 0; i < 8; i++)
    m.back[i] = (lrp_real)back[i];
  return m;
}

/* Values of the polynomial that gives, at the points, B^T d. */
LRP_LOOP void in(const vec *d, int step, vec *v)
{
  const lrp_real a = (lrp_real)A, b = (lrp_real)B, aa = (lrp_real)(A * A), bb = (lrp_real)(B * B),
                 both = (lrp_real)(A * A + B * B);
  const vec d1 = d[step], d2 = d[2 * step], d3 = d[3 * step], d4 = d[4 * step];
  const vec even_a = d4 - bb * d2, odd_a = a * d3 - b * d1, even_b = d4 - aa * d2,
            odd_b = b * d3 - a * d1;
  v[0] = d[0] - both * d2 + d4;
  v[1] = even_a + odd_a;
  v[2] = even_a - odd_a;
  v[3] = even_b + odd_b;
  v[4] = even_b - odd_b;
  v[5] = d1 - both * d3 + d[5 * step];
}

/* A^T m, the outputs. */
LRP_LOOP void out(const vec *m, int step, const lrp_real *f, vec *y)
{
  const vec even_a = m[step] + m[2 * step], odd_a = m[step] - m[2 * step],
            even_b = m[3 * step] + m[4 * step], odd_b = m[3 * step] - m[4 * step];
  y[0] = m[0] + f[0] * even_a + f[1] * even_b;
  y[1] = f[2] * odd_a + f[3] * odd_b;
  y[2] = f[4] * even_a + f[5] * even_b;
  y[3] = f[6] * odd_a + f[7] * odd_b + m[5 * step];
}

/* Rows of the 36 products: of so many, blocks of sixteen channels lie behind each other; the products are `apart`
 * elements from each other. */
typedef struct row_form {
  int64_t n, apart;
} row_form;

/* Tile t of the pictures at x, as one row. */
LRP_LOOP void tile_in(const map *m, const lrp_real *x, int64_t t, int64_t row, const row_form *to, lrp_real *v)
{
  const int64_t each = m->tiles[0] * m->tiles[1], at = t % each,
                y0 = at / m->tiles[1] * STEP - m->lo[0], x0 = at % m->tiles[1] * STEP - m->lo[1];
  x += t / each * m->from[0] * m->from[1] * m->c;
  for (int64_t c = 0; c < m->c; c += LANES) {
    vec d[SIDE][SIDE], e[SIDE][SIDE], o[SIDE];
    for (int i = 0; i < SIDE; i++)
      for (int k = 0; k < SIDE; k++) {
        const int64_t yy = y0 + i, xx = x0 + k;
        d[i][k] = (vec){0};
        if (yy >= 0 && yy < m->from[0] && xx >= 0 && xx < m->from[1])
          memcpy(&d[i][k], x + (yy * m->from[1] + xx) * m->c + c, sizeof(vec));
      }
    for (int k = 0; k < SIDE; k++)
      in(&d[0][k], SIDE, e[k]); /* e[column][point] */
    for (int i = 0; i < SIDE; i++) {
      in(&e[0][i], SIDE, o);
      for (int k = 0; k < SIDE; k++)
        memcpy(v + (m->slot[i] * SIDE + m->slot[k]) * to->apart + c * to->n + row * LANES, &o[k], sizeof(vec));
    }
  }
}

LRP_LOOP void tile_out(const map *m, const lrp_real *p, int64_t t, int64_t row, const row_form *from, lrp_real *y)
{
  const int64_t each = m->tiles[0] * m->tiles[1], at = t % each, y0 = at / m->tiles[1] * STEP,
                x0 = at % m->tiles[1] * STEP;
  const int64_t rows = m->to[0] - y0 < STEP ? m->to[0] - y0 : STEP,
                columns = m->to[1] - x0 < STEP ? m->to[1] - x0 : STEP;
  y += ((t / each * m->to[0] + y0) * m->to[1] + x0) * m->o;
  for (int64_t c = 0; c < m->o; c += LANES) {
    vec d[SIDE][SIDE], e[SIDE][STEP], o[STEP], bias = {0};
    if (m->bias) memcpy(&bias, m->bias + c, sizeof bias);
    for (int i = 0; i < SIDE; i++)
      for (int k = 0; k < SIDE; k++)
        memcpy(&d[i][k], p + (m->slot[i] * SIDE + m->slot[k]) * from->apart + c * from->n + row * LANES, sizeof(vec));
    for (int k = 0; k < SIDE; k++)
      out(&d[0][k], SIDE, m->back, e[k]);
    for (int i = 0; i < rows; i++) {
      out(&e[0][i], STEP, m->back, o);
      for (int k = 0; k < columns; k++) {
        o[k] += bias;
        memcpy(y + (i * m->to[1] + k) * m->o + c, &o[k], sizeof(vec));
      }
    }
  }
}

/* All for this processor. */
typedef void weights_fn(const lrp_conv_job *, int64_t, int64_t, lrp_real *);
typedef void tile_fn(const map *, const lrp_real *, int64_t, int64_t, const row_form *, lrp_real *);
#define TILES(name, target)                                                                        \
  target static void in##name(const map *m, const lrp_real *x, int64_t t, int64_t row,             \
                              const row_form *to, lrp_real *v)                                         \
  {                                                                                                \
    tile_in(m, x, t, row, to, v);                                                                  \
  }                                                                                                \
  target static void out##name(const map *m, const lrp_real *p, int64_t t, int64_t row,            \
                               const row_form *from, lrp_real *y)                                      \
  {                                                                                                \
    tile_out(m, p, t, row, from, y);                                                               \
  }                                                                                                \
  target static void weights##name(const lrp_conv_job *j, int64_t o, int64_t c, lrp_real *out)     \
  {                                                                                                \
    weights_any(j, o, c, out);                                                                     \
  }
TILES(_plain, )
#if defined __x86_64__
TILES(_avx2, LRP_FMA)
TILES(_avx512, LRP_AVX512)
#define CHOSEN(name) (lrp_level() == 2 ? name##_avx512 : lrp_level() == 1 ? name##_avx2 : name##_plain)
#else
#define CHOSEN(name) name##_plain
#endif

/* w (O,C,3,3) as (36,O/16,C/16,16,16). */
static void fill_weights(const void *job, lrp_real *out)
{
  const lrp_conv_job *j = job;
  const int64_t o_blocks = j->o / LANES, c_blocks = j->c / LANES, size = LANES * LANES;
  weights_fn *const fn = CHOSEN(weights);
#pragma omp parallel for if (j->c * j->o > PIECE / SLOTS)
  for (int64_t i = 0; i < o_blocks * c_blocks; i++) {
    lrp_real block[SLOTS * LANES * LANES] __attribute__((aligned(64)));
    fn(j, i / c_blocks * LANES, i % c_blocks * LANES, block);
    for (int k = 0; k < SLOTS; k++)
      memcpy(out + (k * o_blocks * c_blocks + i) * size, block + k * size, (size_t)size * sizeof *out);
  }
}

/* ---- pictures ---- */

/* Is no element far above the mean, nor infinite?  Sums in pieces: threads change nothing. */
static lrp_status is_steady(lrp_ctx *ctx, const lrp_real *v, int64_t n, bool *steady)
{
  const int64_t pieces = (n + PIECE - 1) / PIECE;
  const lrp_mark mark = lrp_arena_mark(&ctx->scratch);
  double *sum = lrp_arena_alloc(&ctx->scratch, (size_t)pieces * 2 * sizeof *sum);
  if (!sum) return lrp_nomem(ctx, "conv");
#pragma omp parallel for if (pieces > 1)
  for (int64_t i = 0; i < pieces; i++) {
    const int64_t end = (i + 1) * PIECE < n ? (i + 1) * PIECE : n;
    lrp_real s = 0, most = 0;
#pragma omp simd reduction(+ : s) reduction(max : most)
    for (int64_t k = i * PIECE; k < end; k++) {
      const lrp_real size = v[k] < 0 ? -v[k] : v[k];
      s += size;
      most = size > most ? size : most;
    }
    sum[2 * i] = (double)s;
    sum[2 * i + 1] = (double)most;
  }
  double s = 0, most = 0;
  for (int64_t i = 0; i < pieces; i++) {
    s += sum[2 * i];
    most = sum[2 * i + 1] > most ? sum[2 * i + 1] : most;
  }
  *steady = isfinite(s) && most * (double)n <= MOST_ABOVE_MEAN * s;
  lrp_arena_release(&ctx->scratch, mark);
  return LRP_OK;
}

/* Tiles that are worked on together: where weights are large, enough to be worth their way. */
static int64_t rows_of(const map *m)
{
  const int64_t each = SLOTS * (m->c + m->o) * (int64_t)sizeof(lrp_real),
                weights = SLOTS * m->c * m->o * (int64_t)sizeof(lrp_real),
                n = (2 * weights > BYTES ? 2 * weights : BYTES) / each;
  return n > ROWS ? ROWS : n;
}

typedef struct rooms { /* of a thread, or of a team */
  lrp_real *v, *p, *turned;
} rooms;

/* Tiles first.. of the pictures at x; alone: by this thread, as others have theirs. */
static void tiles_run(const map *m, bool transposed, const lrp_real *x, const lrp_real *w, int64_t first, int64_t count,
                      bool alone, const rooms *r, lrp_real *y)
{
  tile_fn *const go_in = CHOSEN(in), *const go_out = CHOSEN(out);
  const row_form in = {count, count * m->c + LANES}, out = {count, count * m->o + LANES};
  const bool many = !alone && count * SLOTS * (m->c + m->o) > PIECE;
  const lrp_block_product q = {.matrices = SLOTS, .rows = count, .k = m->c, .n = m->o, .a = r->v, .w = w,
                               .a_apart = in.apart, .out_apart = out.apart, .turned = transposed, .out = r->p};
  (void)many; /* used by OpenMP only */
  LRP_THREADS(many,
  for (int64_t i = 0; i < count; i++)
    go_in(m, x, first + i, i, &in, r->v););
  lrp_block_product_run(&q, r->turned);
  LRP_THREADS(many,
  for (int64_t i = 0; i < count; i++)
    go_out(m, r->p, first + i, i, &out, y););
}

/* Where there are enough, each thread has tiles of its own, and waits for no other. */
static lrp_status pictures(lrp_ctx *ctx, const map *m, bool transposed, int64_t n, const lrp_real *x,
                           const lrp_real *w, lrp_real *y)
{
  const int64_t tiles = n * m->tiles[0] * m->tiles[1], most = rows_of(m), threads = lrp_threads();
  int64_t pieces = (tiles + most - 1) / most;
  const bool alone = threads > 1 && pieces >= threads;
  if (alone) pieces = (pieces + threads - 1) / threads * threads;
  const int64_t each = (tiles + pieces - 1) / pieces, teams = alone ? threads : 1;
  const int64_t n_v = SLOTS * (each * m->c + LANES), n_p = SLOTS * (each * m->o + LANES), n_turned = m->c * LRP_BLOCK;
  const lrp_mark mark = lrp_arena_mark(&ctx->scratch);
  const rooms all = {lrp_arena_raw(&ctx->scratch, (size_t)(teams * n_v) * sizeof(lrp_real)),
                     lrp_arena_raw(&ctx->scratch, (size_t)(teams * n_p) * sizeof(lrp_real)),
                     lrp_arena_raw(&ctx->scratch, (size_t)(threads * n_turned) * sizeof(lrp_real))};
  const lrp_status st = all.v && all.p && all.turned ? LRP_OK : lrp_nomem(ctx, "conv");
  LRP_THREADS(alone,
  for (int64_t piece = 0; piece < (st ? 0 : pieces); piece++) {
    const int64_t self = alone ? lrp_thread() : 0, first = piece * each, left = tiles - first;
    const rooms own = {all.v + self * n_v, all.p + self * n_p, all.turned + self * n_turned};
    if (left > 0) tiles_run(m, transposed, x, w, first, left < each ? left : each, alone, &own, y);
  });
  lrp_arena_release(&ctx->scratch, mark);
  return st;
}

lrp_status lrp_winograd_conv(lrp_ctx *ctx, const lrp_conv_job *j, bool transposed)
{
  const map m = map_of(j, transposed);
  const int64_t from = m.from[0] * m.from[1] * m.c, to = m.to[0] * m.to[1] * m.o;
  const lrp_real *w = NULL;
  lrp_status st = LRP_OK;
  for (int64_t first = 0, next; !st && first < j->batch; first = next) {
    bool steady = true;
    for (next = first; !st && steady && next < j->batch; next += steady)
      st = is_steady(ctx, j->from + next * from, from, &steady);
    if (!st && next > first && !w)
      st = lrp_packed_get(ctx, j->pack, FORM, 1, SLOTS * j->c * j->o, fill_weights, j, &w);
    if (!st && next > first)
      st = pictures(ctx, &m, transposed, next - first, j->from + first * from, w,
                    j->to + first * to);
    if (!st && !steady) {
      lrp_conv_job one = *j;
      one.batch = 1;
      one.from += next * from;
      one.to += next * to;
      st = lrp_conv_run(ctx, LRP_KERNEL_AUTO, &one, transposed);
      next++;
    }
  }
  return st;
}
