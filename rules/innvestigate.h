/* innvestigate.h - what the modules of iNNvestigate's dialect share. */
#ifndef LRP_RULES_INNVESTIGATE_H
#define LRP_RULES_INNVESTIGATE_H
#include "args.h"

#define INNVESTIGATE "iNNvestigate 2.1.2, "

/* Its safe_divide: 1e-7 (Keras' epsilon) where the denominator is exactly 0. */
static inline void innvestigate_start(lrp_table *t)
{
  lrp_table_start(t, 1e-7, LRP_STAB_REPLACE0);
}
#endif
