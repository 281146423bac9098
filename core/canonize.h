/* canonize.h - graph passes that make rules mean what their papers say.  Not installed. */
#ifndef LRP_CANONIZE_H
#define LRP_CANONIZE_H
#include "graph.h"

/* What --canonize says: NULL, "all", "none", or names with commas between, "-NAME" takes one away.  form: the name is that
 * of a form (fuse.c), so "fuse" means it too. */
bool lrp_canonizer_wanted(const char *list, const char *name, bool form);

/* ---- the passes: each draws its pattern in its file ---- */
lrp_status lrp_fuse(lrp_ctx *, lrp_graph *, const char *list); /* every match of a wanted form becomes one step */
lrp_status lrp_dense_conv(lrp_ctx *, lrp_graph *);
lrp_status lrp_merge_affine(lrp_ctx *, lrp_graph *);
lrp_status lrp_merge_ahead(lrp_ctx *, lrp_graph *);
lrp_status lrp_final_softmax(lrp_ctx *, lrp_graph *);

/* ---- shared by the passes that merge: merge_affine.c ---- */
int32_t lrp_readers(const lrp_graph *, int32_t edge); /* inputs, outputs and the score that read it */
lrp_status lrp_merge_room(lrp_ctx *, lrp_graph *, int64_t n, lrp_tensor *out); /* (n), zeroed */
/* Room for new parameters in the shapes of the step's; a missing BIAS as (c). */
lrp_status lrp_merge_params(lrp_ctx *, lrp_graph *, const lrp_step *, int64_t c, lrp_tensor *out);
/* What s does to each of c channels; LRP_E_UNSUPPORTED: not one value for each. */
lrp_status lrp_merge_scale(lrp_ctx *, lrp_graph *, lrp_step *s, int64_t c, lrp_tensor *scale, lrp_tensor *shift);
/* In place of the step's own, copied; those that are equal stay. */
lrp_status lrp_merge_install(lrp_ctx *, lrp_graph *, lrp_step *, const lrp_tensor *param);
/* s dies: canonizer `by` put it into b. */
void lrp_merge_note(lrp_graph *, lrp_step *b, lrp_step *s, const char *by);
#endif
