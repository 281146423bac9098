/* plugin.h - what the files of lrp plugin share. */
#ifndef LRP_CLI_PLUGIN_H
#define LRP_CLI_PLUGIN_H
#include "cli.h"

/* Write the folder NAME with a plugin to start from; kind: "rule" or "layer".  The exit status. */
int cli_plugin_new(lrp_ctx *, const char *kind, const char *name);
#endif
