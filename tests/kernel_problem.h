/* kernel_problem.h - what the suites of kernels share: room for tensors, a product, a convolution, and their runs. */
#ifndef LRP_KERNEL_PROBLEM_H
#define LRP_KERNEL_PROBLEM_H
#include "kernel.h"
#include "test.h"
#include <stdlib.h>
#include <string.h>

/* Of any content; one spare element, so that an empty tensor has an address. */
static inline lrp_tensor problem_tensor(int32_t rank, const int64_t *shape)
{
  lrp_tensor t = {.dtype = LRP_REAL, .rank = rank};
  memcpy(t.shape, shape, (size_t)rank * sizeof *shape);
  t.data = malloc((size_t)(lrp_count(&t) + 1) * sizeof(lrp_real));
  ck_assert_ptr_nonnull(t.data);
  return t;
}

typedef struct product { /* out (batch...,M,N) = a (M,K) b (K,N) + bias (N), a and b perhaps stored transposed */
  int64_t m, n, k;
  int trans_a, trans_b;
  lrp_tensor a, b, bias, out;
  bool with_bias;
} product;

static inline lrp_status product_run(lrp_ctx *ctx, int which, product *p)
{
  return lrp_matmul(ctx, which, &p->a, p->trans_a, &p->b, p->trans_b, p->with_bias ? &p->bias : NULL, &p->out);
}

static inline void product_free(product *p)
{
  free(p->a.data);
  free(p->b.data);
  free(p->bias.data);
  free(p->out.data);
}

typedef struct convolution {
  lrp_conv c;
  lrp_tensor x, w, b, y;
} convolution;

/* y from x, or transposed x from y. */
static inline lrp_status conv_run(lrp_ctx *ctx, int which, convolution *v, bool transposed)
{
  return transposed ? lrp_conv_backward(ctx, which, &v->c, &v->w, &v->y, &v->x)
                    : lrp_conv_forward(ctx, which, &v->c, &v->x, &v->w, &v->b, &v->y);
}

static inline void conv_free(convolution *v)
{
  free(v->x.data);
  free(v->w.data);
  free(v->b.data);
  free(v->y.data);
}
#endif
