/* paths.c - where lrp's own files are: beside the program in a build tree, else where `make
 * install` put them. */
#include "core.h"
#include "where.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool lrp_own_folder(const char *name, const char *installed, char *path, size_t n)
{
  char exe[LRP_PATH_MAX], stamp[LRP_PATH_MAX + 32];
  if (lrp_program(exe, sizeof exe)) {
    char *base = strrchr(exe, '/');
    for (int up = 0; base && up < 2; up++) { /* build/lrp, or build/.libs/lrp */
      *base = 0;
      snprintf(stamp, sizeof stamp, "%s/uninstalled.stamp", exe);
      if (access(stamp, R_OK) == 0) return (size_t)snprintf(path, n, "%s/%s", exe, name) < n;
      base = strrchr(exe, '/');
    }
  }
  return (size_t)snprintf(path, n, "%s", installed) < n;
}
