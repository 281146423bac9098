/* where.h - the folders that belong to the program.  Not installed. */
#ifndef LRP_WHERE_H
#define LRP_WHERE_H
#include <stdbool.h>
#include <stddef.h>

enum { LRP_PATH_MAX = 4096 };

/* The running program's file, absolute; NULL: the system does not tell. */
const char *lrp_program(char *path, size_t n);
/* The environment variable, or NULL where it is unset, empty, or not to be trusted (setuid,
 * setgid). */
const char *lrp_trusted_env(const char *name);
#endif
