/* kernel_block.c - products of few rows with constant weights that are used both ways, as Winograd's convolutions have.
 *
 *     out (rows,N) = a (rows,K) w (K,N), w stored as it is, or as (N,K)
 *
 * All in blocks of sixteen columns, a vector: a is (K/16,rows,16), out (N/16,rows,16), w (N/16,K/16,16,16), so that
 * sixteen rows of weights lie together, and, turned, sixteen columns.  A tile of up to MOST rows and sixteen columns
 * stays in registers; each of its steps reads one vector of weights, which other rows rarely meet again, and asks the
 * memory for one of the next columns.  Measured on one core of 117 GFLOP/s, 36 products 16 x 256 x 256 whose weights
 * come from memory: 111, turned 80 GFLOP/s (AVX2: 87 and 70), where oneDNN has 60 and 44 on weights that both ways can
 * read, and 80 on two copies of them.
 *
 * A row is summed in one order, whatever rows are beside it. */
#include "kernel_impl.h"
#include "lrp/vector.h"
#include <string.h>

enum {
  SIDE = LRP_BLOCK,
  SIZE = SIDE * SIDE,
  MOST = 28, MOST_HALF = 6, MOST_QUAD = 3, /* rows of a tile: its sums fill the registers */
  FEW = 8, /* rows that take less time than their weights to come */
  QUAD = 4
};
typedef lrp_real vec __attribute__((vector_size(SIDE * sizeof(lrp_real)), may_alias));
typedef lrp_real half __attribute__((vector_size(SIDE / 2 * sizeof(lrp_real)), may_alias));
typedef lrp_real quad __attribute__((vector_size(QUAD * sizeof(lrp_real)), may_alias));
typedef lrp_bits lanes __attribute__((vector_size(QUAD * sizeof(lrp_bits))));

/* ---- a tile ---- */

typedef struct tile {
  const lrp_real *a, *w; /* w: of sixteen columns */
  const lrp_real *next;  /* what will be wanted */
  lrp_real *out;
  int64_t a_step, next_step, k; /* steps from one block to the next; k: blocks */
} tile;

/* In vectors that are the processor's: compilers keep longer ones in memory.  Unrolled, so that sums are registers. */
#define EACH(i, n) _Pragma("GCC unroll 28") for (int i = 0; i < (n); i++)
#define TILE_OF(type)                                                                              \
  LRP_LOOP void tile_of_##type(const tile *t, const int rows)                                      \
  {                                                                                                \
    enum { PARTS = SIDE * sizeof(lrp_real) / sizeof(type) };                                       \
    const lrp_real *a = t->a, *w = t->w, *next = t->next;                                          \
    type sum[MOST][PARTS];                                                                         \
    EACH(r, rows) EACH(c, PARTS) sum[r][c] = (type){0};                                            \
    for (int64_t k = 0; k < t->k; k++, a += t->a_step, w += SIZE, next += t->next_step)            \
      for (int i = 0; i < SIDE; i++) {                                                             \
        type b[PARTS];                                                                             \
        EACH(c, PARTS) memcpy(&b[c], w + i * SIDE + c * SIDE / PARTS, sizeof b[c]);                \
        __builtin_prefetch(next + i * SIDE, 0, 2);                                                 \
        EACH(r, rows) EACH(c, PARTS) sum[r][c] += a[r * SIDE + i] * b[c];                          \
      }                                                                                            \
    EACH(r, rows) EACH(c, PARTS)                                                                   \
      memcpy(t->out + r * SIDE + c * SIDE / PARTS, &sum[r][c], sizeof sum[r][c]);                  \
  }
TILE_OF(vec)
TILE_OF(half)
TILE_OF(quad)

/* A block turned, four by four; half of the next one is asked for meanwhile. */
LRP_LOOP void turn_any(const lrp_real *from, const lrp_real *next, lrp_real *to)
{
  for (int i = 0; i < SIDE; i += QUAD)
    for (int k = 0; k < SIDE; k += QUAD) {
      if (k < SIDE / 2) __builtin_prefetch(next + (SIDE / 2 + i / 2 + k / QUAD) * SIDE, 0, 2);
      quad r[QUAD], s[QUAD], t[QUAD];
#pragma GCC unroll 4
      for (int q = 0; q < QUAD; q++)
        memcpy(&r[q], from + (i + q) * SIDE + k, sizeof r[q]);
      s[0] = __builtin_shuffle(r[0], r[1], (lanes){0, 4, 1, 5});
      s[1] = __builtin_shuffle(r[0], r[1], (lanes){2, 6, 3, 7});
      s[2] = __builtin_shuffle(r[2], r[3], (lanes){0, 4, 1, 5});
      s[3] = __builtin_shuffle(r[2], r[3], (lanes){2, 6, 3, 7});
      t[0] = __builtin_shuffle(s[0], s[2], (lanes){0, 1, 4, 5});
      t[1] = __builtin_shuffle(s[0], s[2], (lanes){2, 3, 6, 7});
      t[2] = __builtin_shuffle(s[1], s[3], (lanes){0, 1, 4, 5});
      t[3] = __builtin_shuffle(s[1], s[3], (lanes){2, 3, 6, 7});
#pragma GCC unroll 4
      for (int q = 0; q < QUAD; q++)
        memcpy(to + (k + q) * SIDE + i, &t[q], sizeof t[q]);
    }
}

/* Both for this processor. */
typedef void tile_fn(const tile *);
typedef void turn_fn(const lrp_real *, const lrp_real *, lrp_real *);
typedef struct loops {
  int64_t most; /* rows of a tile */
  tile_fn *const *tile;
  turn_fn *turn;
} loops;
#define TILE(name, target, type, rows)                                                             \
  target static void name##rows(const tile *t)                                                     \
  {                                                                                                \
    tile_of_##type(t, rows);                                                                       \
  }
#define TURN(name, target)                                                                         \
  target static void name##turn(const lrp_real *from, const lrp_real *next, lrp_real *to)          \
  {                                                                                                \
    turn_any(from, next, to);                                                                      \
  }
#define UP_TO_3(DO, ...) DO(__VA_ARGS__, 1) DO(__VA_ARGS__, 2) DO(__VA_ARGS__, 3)
#define UP_TO_6(DO, ...)                                                                           \
  UP_TO_3(DO, __VA_ARGS__) DO(__VA_ARGS__, 4) DO(__VA_ARGS__, 5) DO(__VA_ARGS__, 6)
#define UP_TO_28(DO, ...)                                                                          \
  UP_TO_6(DO, __VA_ARGS__)                                                                         \
  DO(__VA_ARGS__, 7) DO(__VA_ARGS__, 8) DO(__VA_ARGS__, 9) DO(__VA_ARGS__, 10)                     \
  DO(__VA_ARGS__, 11) DO(__VA_ARGS__, 12) DO(__VA_ARGS__, 13) DO(__VA_ARGS__, 14)                  \
  DO(__VA_ARGS__, 15) DO(__VA_ARGS__, 16) DO(__VA_ARGS__, 17) DO(__VA_ARGS__, 18)                  \
  DO(__VA_ARGS__, 19) DO(__VA_ARGS__, 20) DO(__VA_ARGS__, 21) DO(__VA_ARGS__, 22)                  \
  DO(__VA_ARGS__, 23) DO(__VA_ARGS__, 24) DO(__VA_ARGS__, 25) DO(__VA_ARGS__, 26)                  \
  DO(__VA_ARGS__, 27) DO(__VA_ARGS__, 28)
#define NAMED(name, rows) name##rows,
UP_TO_3(TILE, plain_, , quad)
TURN(plain_, )
static tile_fn *const plain_tile[] = {UP_TO_3(NAMED, plain_)};
static const loops plain = {MOST_QUAD, plain_tile, plain_turn};
#if defined __x86_64__
UP_TO_6(TILE, avx2_, LRP_FMA, half)
TURN(avx2_, LRP_FMA)
static tile_fn *const avx2_tile[] = {UP_TO_6(NAMED, avx2_)};
static const loops avx2 = {MOST_HALF, avx2_tile, avx2_turn};
UP_TO_28(TILE, avx512_, LRP_AVX512, vec)
TURN(avx512_, LRP_AVX512)
static tile_fn *const avx512_tile[] = {UP_TO_28(NAMED, avx512_)};
static const loops avx512 = {MOST, avx512_tile, avx512_turn};
#endif

static const loops *chosen(void)
{
#if defined __x86_64__
  static const loops *const of_level[] = {&plain, &avx2, &avx512};
  return of_level[lrp_level()];
#else
  return &plain;
#endif
}

/* ---- sixteen columns ---- */

/* Columns number n of matrix i; their blocks are *step apart. */
static const lrp_real *columns(const lrp_block_product *p, int64_t i, int64_t n, int64_t *step)
{
  *step = p->turned ? p->n / SIDE * SIZE : SIZE;
  return p->w + i * p->k * p->n + n * (p->turned ? SIZE : p->k * SIDE);
}

static void product_columns(const lrp_block_product *p, int64_t i, int64_t n, lrp_real *room)
{
  const loops *const fn = chosen();
  int64_t step, next_step;
  const int64_t blocks = p->k / SIDE, pieces = (p->rows + fn->most - 1) / fn->most,
                rows = (p->rows + pieces - 1) / pieces;
  const bool last = (n + 1) * SIDE == p->n;
  const lrp_real *w = columns(p, i, n, &step),
                 *next = last && i + 1 == p->matrices ? w : columns(p, i + last, last ? 0 : n + 1, &next_step);
  if (next == w) next_step = 0;
  for (int64_t k = 0; p->turned && k < blocks; k++) /* many rows leave tiles the time to ask for all */
    fn->turn(w + k * step, p->rows > FEW ? w + k * step : next + k * next_step, room + k * SIZE);
  for (int64_t piece = 0; piece < pieces; piece++) {
    const int64_t first = piece * rows + rows > p->rows ? p->rows - rows : piece * rows; /* pieces may overlap */
    const tile t = {.a = p->a + i * p->a_apart + first * SIDE, .a_step = p->rows * SIDE, .k = blocks,
                    .w = p->turned ? room : w, .next = piece ? w : next, .next_step = piece ? 0 : next_step,
                    .out = p->out + i * p->out_apart + (n * p->rows + first) * SIDE};
    fn->tile[rows - 1](&t);
  }
}

void lrp_block_product_run(const lrp_block_product *p, lrp_real *room)
{
  const int64_t each = p->k * SIDE, work = p->matrices * p->rows * p->k * p->n, panels = p->n / SIDE;
  const int64_t threads = work > LRP_PARALLEL_WORK ? lrp_threads() : 1;
#pragma omp parallel for collapse(2) if (threads > 1)
  for (int64_t i = 0; i < p->matrices; i++)
    for (int64_t n = 0; n < panels; n++)
      product_columns(p, i, n, room + (threads > 1 ? lrp_thread() * each : 0));
}
