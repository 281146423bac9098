/* composite.h - a parsed composite: lines, first match wins.  Not installed. */
#ifndef LRP_COMPOSITE_H
#define LRP_COMPOSITE_H
#include "graph.h"

enum { LRP_MATCH_ANY, LRP_MATCH_KIND, LRP_MATCH_LAYER, LRP_MATCH_OP, LRP_MATCH_NAME, LRP_MATCH_FIRST, LRP_MATCH_LAST,
       LRP_MATCH_DEPTH, LRP_MATCH_GATE, LRP_MATCH_BEFORE };
typedef struct lrp_matcher { /* one word of a line's left side */
  int what;
  const char *glob;
  uint32_t kind;
  double from, to;                /* depth */
  const struct lrp_matcher *of;   /* what FIRST, LAST, GATE and BEFORE are about */
} lrp_matcher;
typedef struct lrp_composite_rule { /* one line */
  const char *matcher_text;       /* "first:layer:conv* freeze=std" */
  const lrp_matcher *matcher;     /* all must match */
  int64_t n_matcher;
  const char *const *freeze;      /* names of intermediates */
  int64_t n_freeze;
  const lrp_rule *rule;
  const lrp_value *args;
  const lrp_rule *filter;         /* what follows the rule; NULL: nothing */
  const lrp_value *filter_args;
  const char *rule_text;          /* "gamma(gamma=0.25, ...)" with all arguments, and " -> top_k(...)" */
} lrp_composite_rule;
struct lrp_composite {
  lrp_arena arena;
  const char *name;
  char *text;                     /* completed */
  char sha256[65];
  lrp_composite_rule *line;
  int64_t n_line, cap_line;
};
#endif
