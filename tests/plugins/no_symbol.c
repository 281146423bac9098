/* no_symbol.c - a library that is no plugin: LRP_PLUGIN() is missing. */
#include "lrp/plugin.h"

LRP_EXPORT int not_a_plugin(void);
int not_a_plugin(void)
{
  return 1;
}
