/* names.h - a table from names to numbers: open addressing, keyed so that a hostile file cannot choose collisions.
 * Not installed. */
#ifndef LRP_NAMES_H
#define LRP_NAMES_H
#include "core.h"

typedef struct lrp_names {
  struct lrp_name {
    const char *name; /* not copied */
    int32_t value;
  } *slot;
  size_t n, cap;
  uint64_t key;
} lrp_names;
lrp_status lrp_names_add(lrp_ctx *, lrp_names *, const char *name, int32_t value);
int32_t lrp_names_find(const lrp_names *, const char *name); /* -1: not there */
void lrp_names_free(lrp_names *);
#endif
