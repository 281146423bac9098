/* profile.h - counts what each step of a graph costs, where a profile was asked for.  Not
 * installed. */
#ifndef LRP_PROFILE_H
#define LRP_PROFILE_H
#include "graph.h"

typedef struct lrp_meter { /* a step that runs */
  int64_t began;
  lrp_tally tally;
  size_t used, peak;
} lrp_meter;
void lrp_meter_begin(lrp_ctx *, const lrp_graph *, lrp_meter *);
/* Books the step at this position of order[]; relevance: the way back. */
void lrp_meter_end(lrp_ctx *, lrp_graph *, const lrp_meter *, int32_t position, bool relevance);
#endif
