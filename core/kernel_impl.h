/* kernel_impl.h - what the kernel files share: checked problems, packed weights, the two
 * implementations.  Not installed. */
#ifndef LRP_KERNEL_IMPL_H
#define LRP_KERNEL_IMPL_H
#include "kernel.h"
#include <pthread.h>
#if defined HAVE_DNNL && !defined LRP_REAL_DOUBLE
#define LRP_WITH_DNNL 1 /* the double build is for reference numbers: always plain */
#else
#define LRP_WITH_DNNL 0
#endif
#ifdef _OPENMP
#include <omp.h>
#endif

enum {
  LRP_PARALLEL_WORK = 1 << 22
}; /* multiply-adds below which waking threads costs more than it gives */

/* Rows below which panels are not worth filling.  Where each sample has so few, a batch of them is summed as they are
 * alone, unless it is so large that this costs too much. */
enum { LRP_FEW_ROWS = 4, LRP_FEW_SAMPLES = 16 };
static inline bool lrp_rows_are_few(const lrp_ctx *ctx, int64_t rows)
{
  const double n = ctx->cut > 1 ? (double)rows * ctx->cut : (double)rows;
  return n < LRP_FEW_ROWS || (n <= LRP_FEW_SAMPLES && n < (double)(LRP_FEW_ROWS * ctx->samples));
}

#define LRP_PRODUCT_WORK 4e7 /* multiply-adds from which oneDNN is worth its start */

static inline int lrp_threads(void)
{
#ifdef _OPENMP
  return omp_in_parallel() ? 1 : omp_get_max_threads();
#else
  return 1;
#endif
}

/* This one's number in its team. */
static inline int lrp_thread(void)
{
#ifdef _OPENMP
  return omp_get_thread_num();
#else
  return 0;
#endif
}

/* ---- packed forms of a constant tensor ---- */

enum { LRP_FORM_TRANSPOSED = 100 }; /* kernel.c's; kernel_plain.c numbers its own from 0 */
typedef struct lrp_packed { /* one form of plain C: panels (kernel_tile.c) or taps first */
  uint32_t kind;
  int64_t group;
  lrp_real *data;
  lrp_pack *own; /* of the form itself, see lrp_packed_own; NULL: none */
  struct lrp_packed *next;
} lrp_packed;
typedef struct lrp_dnnl_pack lrp_dnnl_pack; /* kernel_dnnl.c's own */
struct lrp_pack {
  pthread_mutex_t lock; /* makes forms; those that exist never change */
  const void *data;     /* of the tensor that it belongs to: a view with other data has no pack */
  int32_t rank;
  int64_t shape[LRP_MAX_RANK];
  lrp_packed *form;
  lrp_dnnl_pack *dnnl;
};

/* The form of this kind and group, n elements; made by fill() at first use.  Without a pack: in
 * ctx's scratch. */
typedef void lrp_packed_fill(const void *job, lrp_real *out);
lrp_status lrp_packed_get(lrp_ctx *, lrp_pack *, uint32_t kind, int64_t group, int64_t n,
                          lrp_packed_fill *fill, const void *job, const lrp_real **out);
/* The same for a form that is used as a constant tensor is: *own keeps its packed forms.  NULL
 * without a pack. */
lrp_status lrp_packed_own(lrp_ctx *, lrp_pack *, uint32_t kind, int64_t group, int64_t n,
                          lrp_packed_fill *fill, const void *job, const lrp_real **out,
                          lrp_pack **own);

/* ---- problems, checked and without empty axes ---- */

/* out (batch...,M,N) = a (M,K) b (K,N) + bias for each batch; steps in elements, 0 where an operand
 * is broadcast. */
typedef struct lrp_product {
  int64_t m, n, k;
  int32_t n_axis;
  int64_t axis[LRP_MAX_RANK], a_step[LRP_MAX_RANK], b_step[LRP_MAX_RANK], n_batch;
  const lrp_real *a, *b, *bias; /* bias NULL: none */
  int64_t a_row, a_col, b_row, b_col, a_count, b_count;
  lrp_real *out;
  lrp_pack *pack; /* of b, or NULL */
  bool narrow;    /* for oneDNN only: a and b hold bf16 */
  bool relayout;  /* for oneDNN only: b is worth a copy in another layout where it comes again */
} lrp_product;

/* Convolution, three spatial axes (unused ones in front: size 1), x (N,in...,C), w
 * (O,C/group,k...), y (N,out...,O). */
typedef struct lrp_conv_job {
  uint32_t n_spatial;
  int64_t batch, in[3], out[3], kernel[3], stride[3], dilation[3], lo[3], hi[3];
  int64_t c, o, group, taps; /* channels of x and y; elements of a kernel */
  const lrp_real *w, *bias;
  const lrp_real *from; /* x; the transposed map: y_bar */
  lrp_real *to;         /* y; the transposed map: x_bar */
  lrp_pack *pack;       /* of w, or NULL */
  bool narrow;          /* for oneDNN only: from and w hold bf16 */
} lrp_conv_job;

/* ---- the implementations ---- */

/* By one of those below, in f32 (kernel.c). */
lrp_status lrp_product_run(lrp_ctx *, int which, const lrp_product *);
lrp_status lrp_conv_run(lrp_ctx *, int which, const lrp_conv_job *, bool transposed);
/* Without the rows of a, or of b, that hold only zeros, by run() (kernel_rows.c).  *done = false: there are too few of them. */
typedef lrp_status lrp_product_fn(lrp_ctx *, int which, const lrp_product *);
lrp_status lrp_rows_matmul(lrp_ctx *, const lrp_product *, lrp_product_fn *run, int which, bool *done);
/* In ctx->precision, bf16x3 or bf16 (kernel_bf16.c).  large: worth oneDNN's start. */
lrp_status lrp_bf16_matmul(lrp_ctx *, int which, const lrp_product *, bool large);
lrp_status lrp_bf16_conv(lrp_ctx *, int which, const lrp_conv_job *, bool transposed, bool large);

lrp_status lrp_plain_matmul(lrp_ctx *, const lrp_product *);
lrp_status lrp_plain_conv(lrp_ctx *, const lrp_conv_job *, bool transposed);

/* Plain C in double sums, for what is tiny. */
lrp_status lrp_exact_matmul(lrp_ctx *, const lrp_product *);
lrp_status lrp_exact_conv(lrp_ctx *, const lrp_conv_job *, bool transposed);

/* Transposed, few input channels: by one product, which is chosen as `which` says. */
bool lrp_conv_is_narrow(const lrp_conv_job *);
lrp_status lrp_narrow_conv(lrp_ctx *, int which, const lrp_conv_job *);

/* `matrices` products out (rows,N) = a (rows,K) w (K,N), or, turned, a w^T of w (N,K); K and N in blocks of sixteen
 * columns: a (K/16,rows,16), out (N/16,rows,16), w (columns/16,rows/16,16,16), all w one behind the other
 * (kernel_block.c). */
enum { LRP_BLOCK = 16 };
typedef struct lrp_block_product {
  int64_t matrices, rows, k, n;
  const lrp_real *a, *w;
  int64_t a_apart, out_apart; /* elements from one matrix to the next */
  bool turned;
  lrp_real *out;
} lrp_block_product;
/* By all threads, or by this one where others have work of their own; room: k * LRP_BLOCK numbers for each. */
void lrp_block_product_run(const lrp_block_product *, lrp_real *room);

/* 3 x 3 kernels of constant weights, both ways: a quarter of the multiplications. */
bool lrp_conv_is_winograd(const lrp_conv_job *);
lrp_status lrp_winograd_conv(lrp_ctx *, const lrp_conv_job *, bool transposed);

/* Kernels of one place: a product. */
bool lrp_conv_is_point(const lrp_conv_job *);
lrp_status lrp_point_conv(lrp_ctx *, int which, const lrp_conv_job *, bool transposed);

/* oneDNN.  *done = false: it has no fast form of this problem, nothing was written. */
lrp_status lrp_dnnl_matmul(lrp_ctx *, const lrp_product *, bool *done);
lrp_status lrp_dnnl_conv(lrp_ctx *, const lrp_conv_job *, bool transposed, bool *done);
#if LRP_WITH_DNNL
int lrp_dnnl_bf16(void); /* 0: the processor has no bf16; 1: AVX512-BF16; 2: AMX */
#else
static inline int lrp_dnnl_bf16(void)
{
  return 0;
}
#endif
void lrp_dnnl_pack_free(lrp_dnnl_pack *);
const char *lrp_dnnl_name(char *buffer, size_t n); /* "oneDNN 2.6.3 (avx2)" */

/* ---- kinds of processor: loops are compiled for each and chosen at run time ---- */

/* LRP_LEVELS kinds: any (0), with AVX2 and FMA (1), with AVX512F (2). */
enum { LRP_LEVELS = 3 };
#if defined __x86_64__
#define LRP_FMA    __attribute__((LRP_CONTRACT target("avx2,fma")))
#define LRP_AVX512 __attribute__((LRP_CONTRACT target("avx512f")))
#endif
static inline int32_t lrp_level(void) /* of this one */
{
#if defined __x86_64__
  if (__builtin_cpu_supports("avx512f")) return 2;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return 1;
#endif
  return 0;
}

/* ---- innermost loops of plain C (kernel_tile.c), for this processor ---- */

/* A panel: LRP_PANEL columns of a matrix, taps x k rows, zero behind the last column. */
enum {
  LRP_TILE_ROWS = 6,
  LRP_TILE_BYTES = 32,
  LRP_PANEL = 2 * LRP_TILE_BYTES / (int)sizeof(lrp_real)
};
static inline int64_t lrp_panels(int64_t columns)
{
  return (columns + LRP_PANEL - 1) / LRP_PANEL;
}
typedef struct lrp_panel_source { /* element (tap, k, column) at data + tap*tap_step + k*k_step +
                                     column*column_step */
  const lrp_real *data;
  int64_t taps, k, columns, tap_step, k_step, column_step;
} lrp_panel_source;
void lrp_panels_fill(const lrp_panel_source *,
                     lrp_real *out); /* panels(columns) * taps * k * LRP_PANEL elements */

/* LRP_PANEL numbers at out[i] + column become sums over taps and k of row[tap*row_step + i][k*k_step] * panel[tap][k],
 * onto what they are (more), else onto those of bias (NULL: zero); taps all of whose rows are `zero` are skipped. */
typedef struct lrp_tile {
  const lrp_real *const *row;
  int64_t row_step, taps, k, k_step;
  const lrp_real *zero, *panel, *bias;
  lrp_real *const *out;
  int64_t column;
  bool more;
} lrp_tile;
typedef void lrp_tile_fn(const lrp_tile *);
lrp_tile_fn *lrp_tile_for(int64_t rows); /* for 1 to LRP_TILE_ROWS rows */
/* The same for a kind of processor; NULL: there are no loops for it. */
lrp_tile_fn *lrp_tile_at(int32_t level, int64_t rows);

/* out (N) += v (K) b (K,N); rows of b are b_row apart. */
void lrp_rows_add(const lrp_real *v, int64_t k, const lrp_real *b, int64_t b_row, int64_t n,
                  lrp_real *restrict out);
/* out[j*step] += v (K) . (b + j*col) for n columns j. */
void lrp_dots(const lrp_real *v, int64_t k, const lrp_real *b, int64_t col, int64_t n,
              lrp_real *out, int64_t step);
/* Sums over taps of row[tap*row_step] . w[tap], element by element, of n channels: onto what out is (more), else onto
 * bias (NULL: zero). Taps whose row is `zero` are skipped. */
typedef struct lrp_taps {
  const lrp_real *const *row;
  int64_t row_step, taps, n;
  const lrp_real *zero, *w, *bias;
  lrp_real *out;
  bool more;
} lrp_taps;
void lrp_taps_add(const lrp_taps *);
bool lrp_taps_add_at(int32_t level, const lrp_taps *); /* false: as there */
#endif
