/* composite_read.h - what the parts of the reader of composites share.  Not installed. */
#ifndef LRP_COMPOSITE_READ_H
#define LRP_COMPOSITE_READ_H
#include "composite.h"

typedef struct lrp_composite_reader {
  lrp_ctx *ctx;
  lrp_composite *c;
  const lrp_model *model;
  int depth;          /* of includes */
  const char *source; /* "base.composite" or "--rules" */
  const char *folder; /* where a file's includes are looked for first, or NULL */
  int64_t line;
  bool inline_text;
} lrp_composite_reader;

lrp_status lrp_composite_complain(const lrp_composite_reader *, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
lrp_status lrp_composite_copy(const lrp_composite_reader *, const char *, size_t n,
                              const char **out);
char *lrp_composite_trim(char *); /* without blanks on both sides, in place */
/* composite_rule.c: RULE(ARGUMENTS), or RULE -> FILTER, into the line; right is written to */
lrp_status lrp_composite_right(const lrp_composite_reader *, char *right, lrp_composite_rule *line);
#endif
