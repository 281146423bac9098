/* plugin.c - lrp plugin: which plugins are open, what is in them, whether a file is a good one, how
 * to start one. */
#include "plugin.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { O_PLUGIN, O_QUIET };
static const cli_option OPTIONS[] = {
    [O_PLUGIN] = {"plugin", 'p', "FILE", "load a plugin first; may be repeated"},
    [O_QUIET] = {"quiet", 'q', NULL, "of check: print what failed only"},
    {0}};
static int run_plugin(const cli_command *c, int argc, char **argv);
const cli_command CLI_PLUGIN = {
    "plugin",
    "list, check and start plugins",
    "ls | info [NAME] | check FILE... | new rule|layer NAME | path\n\n"
    "ls     the open plugins: version, ABI, what they offer, where they are\n"
    "info   layers and rules of all plugins or of one (a plugin's, a layer's or a rule's name)\n"
    "check  everything that can be known of a plugin's file; exit status 3 where something is "
    "wrong\n"
    "new    a folder NAME with the source of a plugin, a Makefile and a test\n"
    "path   the folders that are searched, first to last",
    OPTIONS,
    O_PLUGIN,
    "  lrp plugin ls\n  lrp plugin new rule myrule\n  lrp plugin check ./myrule.so\n",
    run_plugin};

/* ---- ls, path ---- */

static int count(const void *const *list)
{
  int n = 0;
  while (list && list[n])
    n++;
  return n;
}

static int n_layers(const lrp_plugin *p)
{
  return count((const void *const *)p->layers);
}

static int n_rules(const lrp_plugin *p)
{
  return count((const void *const *)p->rules);
}

static int list(lrp_ctx *ctx)
{
  int width = 4;
  for (int64_t i = 0; i < lrp_n_plugin(ctx); i++) {
    const int n = (int)strlen(lrp_plugin_at(ctx, i)->plugin->name);
    width = n > width ? n : width;
  }
  printf("%-*s %-8s %-4s %6s %5s  %s\n", width, "name", "version", "ABI", "layers", "rules",
         "file");
  for (int64_t i = 0; i < lrp_n_plugin(ctx); i++) {
    const lrp_plugin_info *info = lrp_plugin_at(ctx, i);
    const lrp_plugin *p = info->plugin;
    printf("%-*s %-8s %" PRIu32 ".%" PRIu32 "  %6d %5d  %s\n", width, p->name, p->version,
           p->abi_major, p->abi_minor, n_layers(p), n_rules(p),
           *info->path ? info->path : "(linked in)");
  }
  return 0;
}

static int path(lrp_ctx *ctx)
{
  for (const char *at = lrp_plugin_dirs(ctx); *at;) {
    const size_t n = strcspn(at, ":");
    printf("%.*s\n", (int)n, at);
    at += n + (at[n] == ':');
  }
  return 0;
}

/* ---- info ---- */

static void put_args(const lrp_arg *args)
{
  const uint32_t n = lrp_args_count(args);
  lrp_value *values = calloc(n + 1, sizeof *values);
  char text[200];
  for (uint32_t i = 0; values && i < n; i++) {
    const lrp_arg one[] = {args[i], LRP_ARGS_END};
    if (lrp_args_default(NULL, "", one, values)) continue;
    lrp_args_print(one, values, text, sizeof text);
    if (args[i].flags & LRP_ARG_REQUIRED)
      snprintf(text, sizeof text, "%s=VALUE (required)", args[i].name);
    printf("      %-24s %s\n", text, args[i].doc);
  }
  free(values);
}

static void put_layer(const lrp_layer_type *t)
{
  printf("  layer %s (%s): %s\n", t->name, lrp_kind_name(t->kind), t->doc);
  for (const lrp_operator *o = t->operators; o && o->name; o++)
    printf("%s%s%s%s%s", o == t->operators ? "      implements " : ", ", o->domain,
           *o->domain ? "." : "", o->name, o[1].name ? "" : "\n");
  put_args(t->args);
}

static void put_rule(const lrp_rule *r)
{
  printf("  rule %s: %s\n", r->name, r->doc);
  if (*r->formula) printf("      %s\n", r->formula);
  if (*r->cite) printf("      %s\n", r->cite);
  put_args(r->args);
}

static void put_plugin(const lrp_plugin_info *info)
{
  const lrp_plugin *p = info->plugin;
  printf("%s %s, ABI %" PRIu32 ".%" PRIu32 ", licence %s\n  %s\n  %s\n", p->name, p->version,
         p->abi_major, p->abi_minor, *p->license ? p->license : "unknown", p->doc,
         *info->path ? info->path : "(linked in)");
  if (*info->sha256) printf("  sha256 %s\n", info->sha256);
  for (int i = 0; i < n_layers(p); i++)
    put_layer(p->layers[i]);
  for (int i = 0; i < n_rules(p); i++)
    put_rule(p->rules[i]);
}

static int info(lrp_ctx *ctx, const char *name)
{
  int shown = 0;
  for (int64_t i = 0; i < lrp_n_plugin(ctx); i++) {
    const lrp_plugin_info *p = lrp_plugin_at(ctx, i);
    if (name && strcmp(name, p->plugin->name) != 0 && lrp_owner(ctx, name) != p) continue;
    if (shown++) putchar('\n');
    put_plugin(p);
  }
  if (shown || !name) return 0;
  cli_error("there is no plugin, layer or rule \"%s\"; lrp plugin ls lists the plugins", name);
  return 2;
}

/* ---- check ---- */

static void tell(void *user, int verdict, const char *line)
{
  static const char *const mark[] = {
      [LRP_CHECK_FAILED] = "FAILED", [LRP_CHECK_PASSED] = "ok", [LRP_CHECK_NOTE] = "note"};
  const bool quiet = *(const bool *)user;
  if (!quiet || verdict == LRP_CHECK_FAILED) printf("  %-6s %s\n", mark[verdict], line);
}

static int check(lrp_ctx *ctx, const char *const *files, int n, bool quiet)
{
  int code = 0;
  if (n == 0) {
    cli_error("plugin check: the file of a plugin was expected, as ./myrule.so");
    return 2;
  }
  for (int i = 0; i < n; i++) {
    if (!quiet) printf("%s\n", files[i]);
    const lrp_status status = lrp_plugin_check(ctx, files[i], tell, &quiet);
    fflush(stdout);
    if (status) cli_fail(ctx, status);
    if (status) code = 3; /* refused or failed */
  }
  return code;
}

/* ---- the command ---- */

static int dispatch(lrp_ctx *ctx, const cli_args *a)
{
  const char *what = a->operand[0];
  const int n = a->n_operand - 1;
  if (!strcmp(what, "check")) return check(ctx, a->operand + 1, n, a->value[O_QUIET] != NULL);
  if (!strcmp(what, "new") && n == 2) return cli_plugin_new(ctx, a->operand[1], a->operand[2]);
  if (!strcmp(what, "info") && n <= 1) return info(ctx, n ? a->operand[1] : NULL);
  if (!strcmp(what, "ls") && n == 0) return list(ctx);
  if (!strcmp(what, "path") && n == 0) return path(ctx);
  cli_error("plugin: ls, info [NAME], check FILE..., new rule|layer NAME or path was expected; see "
            "lrp plugin --help");
  return 2;
}

static int run_plugin(const cli_command *c, int argc, char **argv)
{
  cli_args a;
  lrp_ctx *ctx = NULL;
  int code = cli_parse(c, argc, argv, &a);
  if (code) {
    code--;
  } else if (a.n_operand == 0) {
    cli_help(c, stderr);
    code = 2;
  } else {
    const lrp_status status = cli_session(a.all, a.n_all, NULL, NULL, &ctx);
    code = status ? lrp_exit_status(status) : dispatch(ctx, &a);
  }
  lrp_ctx_free(ctx);
  cli_args_free(&a);
  return code;
}

int lrp_cmd_plugin(int argc, char **argv)
{
  return run_plugin(&CLI_PLUGIN, argc, argv);
}
