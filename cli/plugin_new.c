/* plugin_new.c - lrp plugin new: copies the templates into a new folder, with @NAME@ replaced. */
#include "plugin.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

enum { LONGEST_NAME = 40, PATH = 4096 };

/* The name becomes a file, a module and a C identifier. */
static bool good_name(const char *name)
{
  const size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");
  return n > 0 && n <= LONGEST_NAME && name[n] == '\0' && name[0] >= 'a' && name[0] <= 'z';
}

/* One template to one new file. */
static bool copy(const char *from, const char *to, const char *name, bool executable)
{
  char line[1024];
  FILE *in = fopen(from, "r");
  FILE *out = in ? fopen(to, "wx") : NULL;
  if (!out) {
    cli_error("%s: %s", in ? to : from, strerror(errno));
    if (in) fclose(in);
    return false;
  }
  while (fgets(line, sizeof line, in)) {
    const char *at = line;
    for (const char *mark; (mark = strstr(at, "@NAME@")); at = mark + 6)
      fprintf(out, "%.*s%s", (int)(mark - at), at, name);
    fputs(at, out);
  }
  bool good = !ferror(in);
  fclose(in);
  good = fclose(out) == 0 && good;
  if (good && executable) good = chmod(to, 0755) == 0;
  if (!good) cli_error("%s: writing failed", to);
  return good;
}

static void next_steps(const char *kind, const char *name)
{
  printf("%s/%s.c, %s/Makefile and %s/test.sh are written.  Next:\n\n"
         "  cd %s && make && lrp plugin check ./%s.so\n",
         name, name, name, name, name, name);
  if (!strcmp(kind, "rule"))
    printf("  lrp explain MODEL INPUT --plugin ./%s.so --rules 'linear -> %s; * -> epsilon'\n",
           name, name);
  else
    printf("  lrp explain MODEL INPUT --plugin ./%s.so\n", name);
}

int cli_plugin_new(lrp_ctx *ctx, const char *kind, const char *name)
{
  const char *folder = lrp_data_dir(ctx, "template");
  const struct {
    const char *from, *to, *suffix;
    bool executable;
  } file[] = {{kind, name, ".c", false},
              {"Makefile", "Makefile", "", false},
              {"test.sh", "test.sh", "", true}};
  char from[PATH], to[PATH];
  if (strcmp(kind, "rule") != 0 && strcmp(kind, "layer") != 0) {
    cli_error("plugin new %s: rule or layer was expected", kind);
    return 2;
  }
  if (!good_name(name)) {
    cli_error(
        "plugin new %s: \"%s\" is no name; at most %d letters a-z, digits and _, a letter first",
        kind, name, LONGEST_NAME);
    return 2;
  }
  if (lrp_owner(ctx, name)) {
    cli_error("plugin new %s: plugin %s offers a \"%s\" already; choose another name", kind,
              lrp_owner(ctx, name)->plugin->name, name);
    return 2;
  }
  if (mkdir(name, 0777) != 0) {
    cli_error("%s: %s", name, strerror(errno));
    return 1;
  }
  for (size_t i = 0; i < sizeof file / sizeof *file; i++) {
    const int n = snprintf(from, sizeof from, "%s/%s%s.tmpl", folder, file[i].from, file[i].suffix);
    const int m = snprintf(to, sizeof to, "%s/%s%s", name, file[i].to, file[i].suffix);
    if (n >= PATH || m >= PATH || !copy(from, to, name, file[i].executable)) return 1;
  }
  next_steps(kind, name);
  return 0;
}
