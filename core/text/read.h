/* text/read.h - reading a tokenizer.json strictly: what is not known is refused by name.  Private.
 */
#ifndef LRP_TEXT_READ_H
#define LRP_TEXT_READ_H
#include "text/text.h"
#include <jansson.h>

typedef struct lrp_reader {
  lrp_ctx *ctx;
  lrp_tokenizer *t;
  int depth; /* of nested Sequences */
} lrp_reader;

/* Keys of object where other than in known ("a|b|c"): LRP_E_UNSUPPORTED naming it.  where:
 * "normalizer Replace". */
lrp_status lrp_read_keys(lrp_reader *, const json_t *object, const char *where, const char *known);
/* The value of a key, or the default where it is absent or null.  A wrong type is LRP_E_INPUT. */
lrp_status lrp_read_bool(lrp_reader *, const json_t *object, const char *where, const char *key,
                         bool otherwise, bool *out);
lrp_status lrp_read_int(lrp_reader *, const json_t *object, const char *where, const char *key,
                        int64_t otherwise, int64_t *out);
/* A copy in the tokenizer's memory of at most LRP_PIECE_MAX bytes; *out NULL and *n 0 where it is
 * absent. */
lrp_status lrp_read_text(lrp_reader *, const json_t *object, const char *where, const char *key,
                         const char **out, uint32_t *n);
lrp_status lrp_read_copy(lrp_reader *, const json_t *string, const char *where, const char **out,
                         uint32_t *n);
lrp_status lrp_read_type(lrp_reader *, const json_t *object, const char *where, const char **type);
lrp_status lrp_read_bad(lrp_reader *, const char *where, const char *key, const char *expected);
/* The fourth part of "where" messages: joined into buffer, which is returned. */
const char *lrp_read_where(char *buffer, size_t n, const char *part, const char *type);
/* A token id: 0 ... 2^31-1. */
bool lrp_read_id(const json_t *number, uint32_t *id);

lrp_status lrp_read_normalizer(lrp_reader *, const json_t *);
lrp_status lrp_read_pre_tokenizer(lrp_reader *, const json_t *);
lrp_status lrp_read_post_processor(lrp_reader *, const json_t *);
lrp_status lrp_read_model(lrp_reader *, const json_t *);
lrp_status lrp_read_added(lrp_reader *, const json_t *);
/* After the added tokens: patterns of the normalized ones, ids of byte_fallback, the padding token.
 */
lrp_status lrp_read_finish(lrp_reader *);
#endif
