/* kernel_tile.c - the innermost loops of plain C: a tile of a product that stays in registers,
 * after the micro-kernel of Van Zee and van de Geijn, "BLIS: A Framework for Rapidly Instantiating
 * BLAS Functionality", 2015; and products with a single row.
 *
 * Six rows times two vectors are twelve sums, which fit the sixteen registers of AVX2; with AVX-512
 * a panel is one vector.  Vectors are the compiler's (vector_size), so the same text serves any
 * processor; on x86 loops are compiled for several and chosen at run time.  Sums go from the result
 * into registers and back, not by way of a small array: its bytes would be read before they arrived. */
#include "kernel_impl.h"
#include "lrp/vector.h"
#include <string.h>

typedef lrp_real vec __attribute__((vector_size(LRP_TILE_BYTES), may_alias));
enum { LANES = LRP_TILE_BYTES / (int)sizeof(lrp_real) };

#if defined __x86_64__ && !defined __AVX2__
#define TWICE 1
#define AVX2  __attribute__((target("avx2")))
#else
#define TWICE 0
#endif

#define EACH_ROW(DO)                                                                               \
  DO(0)                                                                                            \
  if (rows > 1) DO(1)                                                                              \
  if (rows > 2) DO(2)                                                                              \
  if (rows > 3) DO(3)                                                                              \
  if (rows > 4) DO(4)                                                                              \
  if (rows > 5) DO(5)
#define MORE(i)  memcpy(acc[i], t->out[i] + t->column, sizeof acc[i]);
#define BIAS(i)  memcpy(acc[i], t->bias, sizeof acc[i]);
#define STORE(i) memcpy(t->out[i] + t->column, acc[i], sizeof acc[i]);
#define POINT(i) r[i] = row[i];
#define TOUCH(i) some = some || r[i] != t->zero;
#define ADD(i)                                                                                     \
  for (int h = 0; h < n_vec; h++)                                                                  \
    acc[i][h] += r[i][at] * b[h];

/* A panel is n vectors wide. */
#define TILE(name, vector, n)                                                                      \
  LRP_LOOP void name(const lrp_tile *t, const int rows)                                            \
  {                                                                                                \
    enum { n_vec = n };                                                                            \
    vector acc[LRP_TILE_ROWS][n] = {{{0}}};                                                        \
    const vector *b = (const vector *)(const void *)t->panel;                                      \
    const int64_t step = t->k_step;                                                                \
    if (t->more) {                                                                                 \
      EACH_ROW(MORE)                                                                               \
    } else if (t->bias) {                                                                          \
      EACH_ROW(BIAS)                                                                               \
    }                                                                                              \
    for (int64_t tap = 0; tap < t->taps; tap++) {                                                  \
      const lrp_real *const *row = t->row + tap * t->row_step;                                     \
      const lrp_real *r[LRP_TILE_ROWS];                                                            \
      bool some = false;                                                                           \
      EACH_ROW(POINT)                                                                              \
      EACH_ROW(TOUCH)                                                                              \
      if (!some) {                                                                                 \
        b += n * t->k;                                                                             \
        continue;                                                                                  \
      }                                                                                            \
      for (int64_t k = 0, at = 0; k < t->k; k++, at += step) {                                     \
        EACH_ROW(ADD)                                                                              \
        b += n;                                                                                    \
      }                                                                                            \
    }                                                                                              \
    EACH_ROW(STORE)                                                                                \
  }
TILE(tile, vec, 2)

#define ONE(name, target, loop, rows)                                                              \
  target static void name##rows(const lrp_tile *t)                                                 \
  {                                                                                                \
    loop(t, rows);                                                                                 \
  }
#define TILES(name, target, loop)                                                                  \
  ONE(name, target, loop, 1)                                                                       \
  ONE(name, target, loop, 2)                                                                       \
  ONE(name, target, loop, 3)                                                                       \
  ONE(name, target, loop, 4)                                                                       \
  ONE(name, target, loop, 5)                                                                       \
  ONE(name, target, loop, 6)                                                                       \
  static lrp_tile_fn *const name[] = {name##1, name##2, name##3, name##4, name##5, name##6};

TILES(tile_base, , tile)
#if TWICE
typedef lrp_real wide __attribute__((vector_size(2 * LRP_TILE_BYTES), may_alias, aligned(LRP_TILE_BYTES)));
TILE(wide_tile, wide, 1)
TILES(tile_fma, LRP_FMA, tile)
TILES(tile_avx512, LRP_AVX512, wide_tile)
#endif

lrp_tile_fn *lrp_tile_at(int32_t level, int64_t rows)
{
#if TWICE
  lrp_tile_fn *const *const tile[] = {tile_base, tile_fma, tile_avx512};
  return level <= lrp_level() ? tile[level][rows - 1] : NULL;
#else
  return level ? NULL : tile_base[rows - 1];
#endif
}

lrp_tile_fn *lrp_tile_for(int64_t rows)
{
  return lrp_tile_at(TWICE ? lrp_level() : 0, rows);
}

/* Columns that lie far apart are read one after the other, in pieces that stay in the first cache.
 */
static void panel_fill(const lrp_panel_source *s, int64_t first, lrp_real *out)
{
  const int64_t width = s->columns - first < LRP_PANEL ? s->columns - first : LRP_PANEL;
  const int64_t chunk = s->column_step == 1 ? 1 : 1 + 128 / s->taps;
  if (width < LRP_PANEL) memset(out, 0, (size_t)(s->taps * s->k * LRP_PANEL) * sizeof *out);
  for (int64_t k0 = 0; k0 < s->k; k0 += chunk) {
    const int64_t k1 = k0 + chunk < s->k ? k0 + chunk : s->k;
    for (int64_t j = 0; j < width; j++)
      for (int64_t k = k0; k < k1; k++) {
        const lrp_real *from = s->data + (first + j) * s->column_step + k * s->k_step;
        for (int64_t t = 0; t < s->taps; t++)
          out[(t * s->k + k) * LRP_PANEL + j] = from[t * s->tap_step];
      }
  }
}

void lrp_panels_fill(const lrp_panel_source *s, lrp_real *out)
{
  const int64_t n = lrp_panels(s->columns), each = s->taps * s->k * LRP_PANEL;
  LRP_THREADS(n * each > LRP_PARALLEL_WORK,
  for (int64_t p = 0; p < n; p++)
    panel_fill(s, p * LRP_PANEL, out + p * each););
}

/* ---- a single row ---- */

LRP_LOOP void rows_add(const lrp_real *v, int64_t k, const lrp_real *b, int64_t b_row, int64_t n,
                     lrp_real *restrict out)
{
  int64_t i = 0;
  for (; i + 4 <= k; i += 4) {
    const lrp_real *b0 = b + i * b_row, *b1 = b0 + b_row, *b2 = b1 + b_row, *b3 = b2 + b_row;
    const lrp_real v0 = v[i], v1 = v[i + 1], v2 = v[i + 2], v3 = v[i + 3];
#pragma omp simd
    for (int64_t j = 0; j < n; j++)
      out[j] += v0 * b0[j] + v1 * b1[j] + v2 * b2[j] + v3 * b3[j];
  }
  for (; i < k; i++)
#pragma omp simd
    for (int64_t j = 0; j < n; j++)
      out[j] += v[i] * b[i * b_row + j];
}

LRP_LOOP lrp_real sum_of(const lrp_real *v)
{
  lrp_real s = 0;
  for (int i = 0; i < LANES; i++)
    s += v[i];
  return s;
}

/* Four columns at once, so that additions do not wait for each other. */
LRP_LOOP void dots(const lrp_real *v, int64_t k, const lrp_real *b, int64_t col, int64_t n,
                 lrp_real *out, int64_t step)
{
  const int64_t whole = k - k % LANES;
  int64_t j = 0;
  for (; j + 4 <= n; j += 4) {
    const lrp_real *b0 = b + j * col, *b1 = b0 + col, *b2 = b1 + col, *b3 = b2 + col;
    vec s[4] = {{0}}, x, y;
    lrp_real lanes[4][LANES];
    for (int64_t i = 0; i < whole; i += LANES) {
      memcpy(&x, v + i, sizeof x);
      memcpy(&y, b0 + i, sizeof y), s[0] += x * y;
      memcpy(&y, b1 + i, sizeof y), s[1] += x * y;
      memcpy(&y, b2 + i, sizeof y), s[2] += x * y;
      memcpy(&y, b3 + i, sizeof y), s[3] += x * y;
    }
    memcpy(lanes, s, sizeof lanes);
    for (int64_t i = whole; i < k; i++) {
      lanes[0][0] += v[i] * b0[i];
      lanes[1][0] += v[i] * b1[i];
      lanes[2][0] += v[i] * b2[i];
      lanes[3][0] += v[i] * b3[i];
    }
    for (int64_t c = 0; c < 4; c++)
      out[(j + c) * step] += sum_of(lanes[c]);
  }
  for (; j < n; j++) {
    lrp_real lanes[LANES] = {0};
    for (int64_t i = 0; i < k; i++)
      lanes[i % LANES] += v[i] * b[j * col + i];
    out[j * step] += sum_of(lanes);
  }
}

/* One vector of channels from the first tap to the last: sums stay in a register. */
#define TAPS(name, vector)                                                                         \
  LRP_LOOP void name(const lrp_taps *t)                                                            \
  {                                                                                                \
    enum { n_lane = sizeof(vector) / sizeof(lrp_real) };                                           \
    const lrp_real *from = t->more ? t->out : t->bias;                                             \
    int64_t c = 0;                                                                                 \
    for (; c + n_lane <= t->n; c += n_lane) {                                                      \
      vector sum = {0}, x, w;                                                                      \
      if (from) memcpy(&sum, from + c, sizeof sum);                                                \
      for (int64_t tap = 0; tap < t->taps; tap++) {                                                \
        const lrp_real *row = t->row[tap * t->row_step];                                           \
        if (row == t->zero) continue;                                                              \
        memcpy(&x, row + c, sizeof x);                                                             \
        memcpy(&w, t->w + tap * t->n + c, sizeof w);                                               \
        sum += x * w;                                                                              \
      }                                                                                            \
      memcpy(t->out + c, &sum, sizeof sum);                                                        \
    }                                                                                              \
    for (; c < t->n; c++) {                                                                        \
      lrp_real sum = from ? from[c] : 0;                                                           \
      for (int64_t tap = 0; tap < t->taps; tap++)                                                  \
        if (t->row[tap * t->row_step] != t->zero) sum += t->row[tap * t->row_step][c] * t->w[tap * t->n + c]; \
      t->out[c] = sum;                                                                             \
    }                                                                                              \
  }
TAPS(taps_add, vec)

#if TWICE
AVX2 static void rows_add_avx2(const lrp_real *v, int64_t k, const lrp_real *b, int64_t b_row,
                               int64_t n, lrp_real *restrict out)
{
  rows_add(v, k, b, b_row, n, out);
}

AVX2 static void dots_avx2(const lrp_real *v, int64_t k, const lrp_real *b, int64_t col, int64_t n,
                           lrp_real *out, int64_t step)
{
  dots(v, k, b, col, n, out, step);
}

TAPS(taps_add_wide, wide)

LRP_FMA static void taps_add_fma(const lrp_taps *t)
{
  taps_add(t);
}

LRP_AVX512 static void taps_add_avx512(const lrp_taps *t)
{
  taps_add_wide(t);
}
#define CHOOSE(name, ...)                                                                          \
  if (__builtin_cpu_supports("avx2"))                                                              \
    name##_avx2(__VA_ARGS__);                                                                      \
  else                                                                                             \
    name(__VA_ARGS__)
#else
#define CHOOSE(name, ...) name(__VA_ARGS__)
#endif

void lrp_rows_add(const lrp_real *v, int64_t k, const lrp_real *b, int64_t b_row, int64_t n,
                  lrp_real *restrict out)
{
  CHOOSE(rows_add, v, k, b, b_row, n, out);
}

void lrp_dots(const lrp_real *v, int64_t k, const lrp_real *b, int64_t col, int64_t n,
              lrp_real *out, int64_t step)
{
  CHOOSE(dots, v, k, b, col, n, out, step);
}

bool lrp_taps_add_at(int32_t level, const lrp_taps *t)
{
#if TWICE
  static void (*const add[])(const lrp_taps *) = {taps_add, taps_add_fma, taps_add_avx512};
  if (level <= lrp_level()) add[level](t);
  return level <= lrp_level();
#else
  if (!level) taps_add(t);
  return !level;
#endif
}

void lrp_taps_add(const lrp_taps *t)
{
  lrp_taps_add_at(TWICE ? lrp_level() : 0, t);
}
