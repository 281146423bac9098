/* samples.h - which elements of an edge belong to which sample of a batch.  Not installed. */
#ifndef LRP_SAMPLES_H
#define LRP_SAMPLES_H
#include "graph.h"

lrp_status lrp_graph_samples(lrp_ctx *, lrp_graph *); /* fills edge.run, once order[] and shapes are known */

/* The shape of node i's first output for one sample of it: the axis that holds the samples has 1. */
void lrp_sample_shape(const lrp_graph *, int64_t i, lrp_tensor *);

/* Are the samples of an edge blocks, one behind the other? */
static inline bool lrp_samples_are_blocks(const lrp_tensor *t, int64_t run, int64_t batch)
{
  return run * batch >= lrp_count(t);
}
/* sum[k] += the sum of sample k of v, which has the shape t and runs of so many elements. */
void lrp_sum_samples(const lrp_tensor *t, int64_t run, const lrp_real *v, int64_t batch, double *sum);
#endif
