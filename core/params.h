/* params.h - parameters as rules want them, made once for each layer and kept.  Not installed. */
#ifndef LRP_PARAMS_H
#define LRP_PARAMS_H
#include "graph.h"

/* WEIGHTs = w_a*w + w_b*w_part(w), BIASes = b_a*b + b_b*b_part(b); a BIAS that is all zero is absent (data NULL).
 * out[n_param]; BUFFERs and unchanged parameters are the step's own. */
lrp_status lrp_step_params(lrp_ctx *, lrp_step *, const lrp_pass *, lrp_tensor *out);
void lrp_step_params_free(lrp_step *);
/* The same without a place to keep them, for inner sites of composite layers: in scratch. */
lrp_status lrp_params_scratch(lrp_ctx *, const lrp_site *, const lrp_pass *, lrp_tensor *out);
#endif
