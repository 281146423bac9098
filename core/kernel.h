/* kernel.h - the hot loops: products and convolutions, on oneDNN where configure found it and the problem is large, in
 * plain C (the twin that tests compare) else.  All tensors LRP_REAL, dense, images N,spatial...,C.  Re-entrant.
 * Not installed. */
#ifndef LRP_KERNEL_H
#define LRP_KERNEL_H
#include "core.h"

/* Which implementation: AUTO chooses by size; the others are for tests. */
enum { LRP_KERNEL_AUTO, LRP_KERNEL_PLAIN, LRP_KERNEL_DNNL, LRP_KERNEL_WINOGRAD };

/* See lrp_host.matmul, conv, conv_vjp for the shapes. */
lrp_status lrp_matmul(lrp_ctx *, int which, const lrp_tensor *a, int trans_a, const lrp_tensor *b, int trans_b,
                      const lrp_tensor *bias, lrp_tensor *out);
lrp_status lrp_conv_forward(lrp_ctx *, int which, const lrp_conv *, const lrp_tensor *x, const lrp_tensor *w,
                            const lrp_tensor *b, lrp_tensor *y);
lrp_status lrp_conv_backward(lrp_ctx *, int which, const lrp_conv *, const lrp_tensor *w, const lrp_tensor *y_bar,
                             lrp_tensor *x_bar);

/* See lrp_host.transposed. */
lrp_status lrp_transposed(lrp_ctx *, const lrp_tensor *t, const lrp_real **out);

/* A parameter's packed forms, at tensor->host: made at first use, kept until here.  Constant tensors get a pack object
 * by lrp_pack_attach (owner: the graph or the parameter cache); a tensor without one is used as it is. */
typedef struct lrp_pack lrp_pack;
lrp_status lrp_pack_attach(lrp_ctx *, lrp_tensor *);
void lrp_pack_free(lrp_tensor *);

const char *lrp_kernel_name(void); /* "oneDNN 2.6.3 (avx2), 2 threads" or "plain C" */
#endif
