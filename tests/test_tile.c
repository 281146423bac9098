/* test_tile.c - the innermost loops of products and convolutions, for each kind of processor that this one can be: sums
 * of small integers, which are exact in any order. */
#include "kernel_impl.h"
#include "test.h"

enum { DEPTH = 19, TAPS = 3, WIDE = 37, COLUMN = 5, ROOM = 2 * LRP_PANEL };
static lrp_real number(int64_t i)
{
  return (lrp_real)(i * 37 % 17 - 8);
}

/* What the sums begin with. */
enum { FROM_ZERO, FROM_BIAS, FROM_OUT, N_BEGIN };

static double first(int begin, int64_t i, int64_t j)
{
  return begin == FROM_ZERO ? 0 : begin == FROM_BIAS ? (double)number(5 + j) : (double)number(i * 11 + j);
}

static void check_tile(int32_t level, int64_t rows, int begin)
{
  lrp_real x[LRP_TILE_ROWS][TAPS][2 * DEPTH], zero[2 * DEPTH] = {0}, bias[LRP_PANEL];
  lrp_real out[LRP_TILE_ROWS][ROOM], *to[LRP_TILE_ROWS];
  _Alignas(64) lrp_real panel[TAPS * DEPTH * LRP_PANEL];
  const lrp_real *row[TAPS * LRP_TILE_ROWS];
  for (int64_t i = 0; i < TAPS * DEPTH * LRP_PANEL; i++)
    panel[i] = number(i);
  for (int64_t j = 0; j < LRP_PANEL; j++)
    bias[j] = number(5 + j);
  for (int64_t i = 0; i < rows; i++) {
    to[i] = out[i];
    for (int64_t j = 0; j < ROOM; j++)
      out[i][j] = number(i * 11 + j - COLUMN);
    for (int64_t tap = 0; tap < TAPS; tap++) {
      for (int64_t k = 0; k < 2 * DEPTH; k++)
        x[i][tap][k] = number(i * 7 + tap * 5 + k);
      /* tap 1: all rows are zero; tap 2: one */
      row[tap * LRP_TILE_ROWS + i] = tap == 1 || (tap == 2 && i == 0) ? zero : x[i][tap];
    }
  }
  const lrp_tile t = {.row = row,
                      .row_step = LRP_TILE_ROWS,
                      .taps = TAPS,
                      .k = DEPTH,
                      .k_step = 2,
                      .zero = zero,
                      .panel = panel,
                      .bias = begin == FROM_BIAS ? bias : NULL,
                      .out = to,
                      .column = COLUMN,
                      .more = begin == FROM_OUT};
  lrp_tile_at(level, rows)(&t);
  for (int64_t i = 0; i < rows; i++)
    for (int64_t j = 0; j < ROOM; j++) {
      const bool inside = j >= COLUMN && j < COLUMN + LRP_PANEL;
      double want = inside ? first(begin, i, j - COLUMN) : (double)number(i * 11 + j - COLUMN);
      for (int64_t tap = 0; inside && tap < TAPS; tap++)
        for (int64_t k = 0; k < DEPTH; k++)
          want += (double)row[tap * LRP_TILE_ROWS + i][2 * k] *
                  (double)panel[(tap * DEPTH + k) * LRP_PANEL + j - COLUMN];
      ck_assert_msg((double)out[i][j] == want, "level %d, %d rows, begin %d: (%d,%d) is %g, not %g", level, (int)rows,
                    begin, (int)i, (int)j, (double)out[i][j], want);
    }
}

START_TEST(tiles_are_sums_of_products)
{
  for (int64_t rows = 1; lrp_tile_at(_i, 1) && rows <= LRP_TILE_ROWS; rows++)
    for (int begin = 0; begin < N_BEGIN; begin++)
      check_tile(_i, rows, begin);
}
END_TEST

START_TEST(taps_are_sums_channel_by_channel)
{
  for (int64_t n = 1; n <= WIDE; n++)
    for (int begin = 0; begin < N_BEGIN; begin++) {
      lrp_real x[TAPS][WIDE], zero[WIDE] = {0}, w[TAPS * WIDE], bias[WIDE], out[WIDE + 1];
      const lrp_real *row[2 * TAPS] = {x[0], NULL, zero, NULL, x[2], NULL};
      for (int64_t i = 0; i < TAPS * n; i++) {
        x[i / n][i % n] = number(i * 3);
        w[i] = number(i + 1);
      }
      for (int64_t i = 0; i <= n; i++)
        out[i] = number(i);
      for (int64_t i = 0; i < n; i++)
        bias[i] = number(5 + i);
      const lrp_taps t = {.row = row,
                          .row_step = 2,
                          .taps = TAPS,
                          .n = n,
                          .zero = zero,
                          .w = w,
                          .bias = begin == FROM_BIAS ? bias : NULL,
                          .out = out,
                          .more = begin == FROM_OUT};
      if (!lrp_taps_add_at(_i, &t)) return;
      for (int64_t i = 0; i < n; i++) {
        const double want = first(begin, 0, i) + (double)x[0][i] * (double)w[i] +
                            (double)x[2][i] * (double)w[2 * n + i];
        ck_assert_msg((double)out[i] == want, "level %d, %d channels, begin %d: %d is %g, not %g", _i, (int)n, begin,
                      (int)i, (double)out[i], want);
      }
      ck_assert(out[n] == number(n)); /* nothing behind them */
    }
}
END_TEST

Suite *suite_tile(void);
Suite *suite_tile(void)
{
  Suite *s = suite_create("tile");
  TCase *t = tcase_create("tile");
  tcase_add_loop_test(t, tiles_are_sums_of_products, 0, LRP_LEVELS);
  tcase_add_loop_test(t, taps_are_sums_channel_by_channel, 0, LRP_LEVELS);
  suite_add_tcase(s, t);
  return s;
}
