/* expand.h - operators that stand for several others.  Not installed. */
#ifndef LRP_EXPAND_H
#define LRP_EXPAND_H
#include "onnx.h"

/* What is wrong with the text of an operator that expands, as a sentence without its end; NULL: nothing. */
const char *lrp_expand_fault(const lrp_operator *);
/* The operator that takes the node and expands; NULL: there is none. */
const lrp_operator *lrp_expand_find(lrp_ctx *, const lrp_onnx_node *, int32_t opset);
/* The nodes that take the place of this one, in the arena; they write what it writes. */
lrp_status lrp_expand(lrp_ctx *, lrp_arena *, const lrp_operator *, const lrp_onnx_node *, lrp_onnx_graph *out);
#endif
