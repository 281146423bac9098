/* recurrent_strip.h - columns of a product in vectors of BYTES, see recurrent_kernel.h, which includes this file
 * for each width.  NAME, WIDE, NARROW, ROWS and TARGET are its parameters. */

typedef lrp_real NAME(vec)
    __attribute__((vector_size(BYTES), aligned(sizeof(lrp_real)), may_alias));
#define STRIP_LANES (BYTES / (int64_t)sizeof(lrp_real))

/* Columns j to j + width of some rows, in `vectors` of which the last may overlap. */
LRP_LOOP void NAME(tile)(const product *p, int64_t r, int64_t j, int64_t width, const int rows,
                 const int vectors)
{
  NAME(vec) sum[ROWS][WIDE];
  const int64_t last = width - STRIP_LANES;
  const int64_t first = p->back ? p->k - 1 : 0, step = p->back ? -1 : 1;
  const lrp_real *v = p->v + r * p->k + first, *b = p->b + first * p->b_row + j;
#define AT(c) ((c) == vectors - 1 ? last : (c)*STRIP_LANES)
#pragma GCC unroll 8
  for (int i = 0; i < rows; i++)
#pragma GCC unroll 15
    for (int c = 0; c < vectors; c++)
      sum[i][c] = (NAME(vec)){0};
  for (int64_t k = 0; k < p->k; k++, v += step, b += step * p->b_row) {
#pragma GCC unroll 15
    for (int c = 0; c < vectors; c++) {
      const NAME(vec) w = *(const NAME(vec) *)(const void *)(b + AT(c));
#pragma GCC unroll 8
      for (int i = 0; i < rows; i++)
        sum[i][c] += v[i * p->k] * w;
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < rows; i++)
#pragma GCC unroll 15
    for (int c = 0; c < vectors; c++)
      *(NAME(vec) *)(void *)(p->out + (r + i) * p->n + j + AT(c)) = sum[i][c];
#undef AT
}

#define CASE(vectors)                                                                              \
  case vectors:                                                                                    \
    NAME(tile)(p, r, j, width, 1, vectors);                                                              \
    return;
LRP_LOOP void NAME(row_strip)(const product *p, int64_t r, int64_t j, int64_t width)
{
  switch ((width + STRIP_LANES - 1) / STRIP_LANES) {
    CASE(1)
    CASE(2)
    CASE(3)
    CASE(4)
    CASE(5)
    CASE(6)
    CASE(7)
    CASE(8)
    CASE(9)
    CASE(10)
#if WIDE > 10
    CASE(11)
    CASE(12)
    CASE(13)
    CASE(14)
    CASE(15)
#endif
  default:
    return;
  }
}
#undef CASE

LRP_LOOP void NAME(rows_strip)(const product *p, int64_t r, int64_t j, int64_t width, const int rows)
{
  if (width > STRIP_LANES)
    NAME(tile)(p, r, j, width, rows, 2);
  else
    NAME(tile)(p, r, j, width, rows, 1);
}

/* All rows of a strip of columns; the strip of b stays in the first cache. */
LRP_LOOP void NAME(strip)(const product *p, int64_t j, int64_t width)
{
  int64_t r = 0;
  if (p->rows == 1) {
    NAME(row_strip)(p, 0, j, width);
    return;
  }
  for (; r + ROWS <= p->rows; r += ROWS)
    NAME(rows_strip)(p, r, j, width, ROWS);
  if (ROWS > 4 && p->rows - r >= 4) {
    NAME(rows_strip)(p, r, j, width, 4);
    r += 4;
  }
  if (p->rows - r == 3)
    NAME(rows_strip)(p, r, j, width, 3);
  else if (p->rows - r == 2)
    NAME(rows_strip)(p, r, j, width, 2);
  else if (p->rows - r == 1)
    NAME(rows_strip)(p, r, j, width, 1);
}
#if defined __x86_64__ && !defined __AVX2__
__attribute__((LRP_CONTRACT target(TARGET))) static void NAME(strip_wide)(const product *p, int64_t j, int64_t width)
{
  NAME(strip)(p, j, width);
}
#endif
#undef STRIP_LANES
#undef BYTES
#undef NAME
#undef WIDE
#undef NARROW
#undef ROWS
#undef TARGET
