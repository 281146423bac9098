/* where.c - the program's own file, its environment, its data. */
#include "where.h"
#include "core.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef LRP_DATA_DIR
#define LRP_DATA_DIR "/usr/local/share/lrp"
#endif

const char *lrp_program(char *path, size_t n)
{
  ssize_t got = n ? readlink("/proc/self/exe", path, n - 1) : -1;
  if (got <= 0 || (size_t)got >= n - 1) return NULL; /* cut: as good as unknown */
  path[got] = '\0';
  return path;
}

const char *lrp_trusted_env(const char *name)
{
  if (geteuid() != getuid() || getegid() != getgid()) return NULL;
  const char *value = getenv(name);
  return value && *value ? value : NULL;
}

const char *lrp_data_dir(lrp_ctx *ctx, const char *name)
{
  char installed[LRP_PATH_MAX], path[LRP_PATH_MAX];
  int n = snprintf(installed, sizeof installed, LRP_DATA_DIR "/%s", name);
  if (n < 0 || (size_t)n >= sizeof installed || !lrp_own_folder(name, installed, path, sizeof path))
    return "";
  const char *kept = lrp_arena_text(&ctx->texts, path, strlen(path));
  return kept ? kept : "";
}
