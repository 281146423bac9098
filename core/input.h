/* input.h - what the files that make inputs share.  Not installed. */
#ifndef LRP_INPUT_H
#define LRP_INPUT_H
#include "core.h"

/* An empty input with room for the model's tensors; path may be NULL. */
lrp_status lrp_input_new(lrp_ctx *, const lrp_model *, int32_t kind, const char *path,
                         lrp_input **out);
/* Memory for tensor i, zeroed, of the dtype of the model's input; at least one element. */
lrp_status lrp_input_tensor(lrp_ctx *, lrp_input *, int32_t i, const lrp_signature *, int32_t rank,
                            const int64_t *shape);
/* LRP_E_INPUT where the shape of tensor i does not fit the model's input. */
lrp_status lrp_input_check(lrp_ctx *, const char *who, const lrp_signature *, int32_t rank,
                           const int64_t *shape);
/* input_text.c: what input i takes of a text; what stands there behind the text's end, at this position. */
enum { LRP_TEXT_IDS, LRP_TEXT_MASK, LRP_TEXT_TYPES, LRP_TEXT_POSITIONS, LRP_TEXT_NOTHING };
int lrp_text_role(const lrp_model *, int32_t i);
int64_t lrp_text_filler(const lrp_model *, int32_t i, int64_t position);
const char *lrp_signature_text(const lrp_signature *, char *buffer, size_t n); /* "(?,3,224,224)" */
#endif
