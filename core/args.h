/* args.h - what args.c and print.c share: numbers in the C locale.  Not installed. */
#ifndef LRP_ARGS_H
#define LRP_ARGS_H
#include "registry.h"
#include <locale.h>

/* The calling thread reads and writes numbers in the C locale between the two. */
typedef struct lrp_locale {
  locale_t c, before;
} lrp_locale;
static inline lrp_locale lrp_locale_c(void)
{
  lrp_locale held = {newlocale(LC_NUMERIC_MASK, "C", (locale_t)0), (locale_t)0};
  if (held.c) held.before = uselocale(held.c);
  return held;
}
static inline void lrp_locale_back(lrp_locale held)
{
  if (!held.c) return;
  uselocale(held.before);
  freelocale(held.c);
}
#endif
