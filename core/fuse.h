/* fuse.h - forms of a layer that files write as several nodes.  Not installed. */
#ifndef LRP_FUSE_H
#define LRP_FUSE_H
#include "graph.h"

/* What is wrong with a pattern's form, as a sentence without its end; NULL: nothing. */
const char *lrp_pattern_fault(const lrp_layer_type *, const lrp_pattern *);
#endif
