/* list.c - lrp rules and lrp layers: what is there, from the declarations of the plugins. */
#include "cli.h"
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

enum { O_PLUGIN, O_JSON };
static const cli_option OPTIONS[] = {
    [O_PLUGIN] = {"plugin", 'p', "FILE", "load a plugin first; may be repeated"},
    [O_JSON] = {"json", 0, NULL, "print one JSON document"},
    {0}};
static int run_rules(const cli_command *c, int argc, char **argv);
static int run_layers(const cli_command *c, int argc, char **argv);
const cli_command CLI_RULES = {"rules",
                               "list propagation rules and presets; tell all about one",
                               "[NAME] [OPTION ...]",
                               OPTIONS,
                               O_PLUGIN,
                               "  lrp rules\n  lrp rules gamma\n  lrp rules epsilon_gamma_box\n",
                               run_rules};
const cli_command CLI_LAYERS = {"layers",
                                "list layer types and the ONNX operators they implement",
                                "[NAME] [OPTION ...]",
                                OPTIONS,
                                O_PLUGIN,
                                "  lrp layers\n  lrp layers conv\n",
                                run_layers};

static const char *const ARG_TYPES[] = {"",       "number",        "whole number",       "on|off",
                                        "choice", "numbers a/b/c", "whole numbers a/b/c"};

static void put_range(const lrp_arg *a)
{
  if (a->min != a->max)
    printf(" in %s%.9g, %.9g%s", a->flags & LRP_ARG_OPEN_MIN ? "(" : "[", a->min, a->max,
           a->flags & LRP_ARG_OPEN_MAX ? ")" : "]");
}

static void put_default(const lrp_arg *a)
{
  if (a->flags & LRP_ARG_REQUIRED)
    fputs(", required", stdout);
  else if (a->type == LRP_ARG_BOOL)
    printf(", default %s", a->def != 0 ? "on" : "off");
  else if (a->type == LRP_ARG_REAL || a->type == LRP_ARG_INT)
    printf(", default %.9g", a->def);
  else if (a->type == LRP_ARG_CHOICE) {
    const char *p = a->choices;
    for (int k = 0; k < (int)a->def && p; k++)
      p = strchr(p, '|') ? strchr(p, '|') + 1 : p;
    printf(", default %.*s", (int)strcspn(p, "|"), p);
  }
}

static void put_args(const lrp_arg *args)
{
  for (const lrp_arg *a = args; a && a->type != LRP_ARG_END; a++) {
    printf("  %-14s %s", a->name, a->type == LRP_ARG_CHOICE ? a->choices : ARG_TYPES[a->type]);
    put_range(a);
    put_default(a);
    printf("\n  %-14s %s\n", "", a->doc);
  }
}

static void put_kinds(uint32_t kinds)
{
  if (!(kinds & ~LRP_RULE_WHOLE)) {
    fputs("any", stdout);
    return;
  }
  bool first = true;
  for (uint32_t k = 0; k < LRP_KIND_COUNT; k++)
    if (kinds >> k & 1) {
      printf("%s%s", first ? "" : ", ", lrp_kind_name(k));
      first = false;
    }
}

static void tell_rule(lrp_ctx *ctx, const lrp_rule *r)
{
  printf("%s - %s\n", r->name, r->doc);
  if (r->formula) printf("formula   %s\n", r->formula);
  if (r->cite) printf("source    %s\n", r->cite);
  if (LRP_HAS(lrp_rule, r, note)) printf("note      %s\n", r->note);
  fputs("kinds     ", stdout);
  put_kinds(r->kinds);
  printf("\nplugin    %s\n", lrp_owner(ctx, r->name)->plugin->name);
  if (r->args && r->args->type != LRP_ARG_END) puts("arguments");
  put_args(r->args);
}

static void tell_layer(lrp_ctx *ctx, const lrp_layer_type *l)
{
  printf("%s - %s\nkind      %s\nplugin    %s\noperators", l->name, l->doc, lrp_kind_name(l->kind),
         lrp_owner(ctx, l->name)->plugin->name);
  for (const lrp_operator *o = l->operators; o && o->name; o++) {
    printf(" %s%s%s (opset %d", o->domain, *o->domain ? "." : "", o->name, o->since);
    if (o->until)
      printf(" to %d)", o->until);
    else
      fputs(" on)", stdout);
  }
  for (int i = 0; l->freezable && l->freezable[i]; i++)
    printf("%s %s", i ? "" : "\nfreezable", l->freezable[i]);
  putchar('\n');
  if (l->args && l->args->type != LRP_ARG_END) puts("arguments");
  put_args(l->args);
}

/* ---- presets ---- */

static int by_name(const void *a, const void *b)
{
  return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names of the presets in all folders, sorted; the caller frees. */
static char **presets(lrp_ctx *ctx, size_t *n)
{
  char **list = NULL;
  *n = 0;
  for (const char *d = lrp_preset_dirs(ctx); *d;) {
    char folder[4096];
    const size_t len = strcspn(d, ":");
    snprintf(folder, sizeof folder, "%.*s", (int)len, d);
    DIR *dir = opendir(folder);
    for (struct dirent *e; dir && (e = readdir(dir));) {
      const char *dot = strstr(e->d_name, ".composite");
      char **grown = dot && !dot[10] ? realloc(list, (*n + 1) * sizeof *list) : NULL;
      if (!grown) continue;
      list = grown;
      list[*n] = strndup(e->d_name, (size_t)(dot - e->d_name));
      *n += list[*n] != NULL;
    }
    if (dir) closedir(dir);
    d += len + (d[len] == ':');
  }
  if (list) qsort(list, *n, sizeof *list, by_name);
  return list;
}

static void free_list(char **list, size_t n)
{
  for (size_t i = 0; i < n; i++)
    free(list[i]);
  free(list);
}

/* A dialect's preset may be written with a colon, toolbox:100, as in --rules. */
static FILE *open_preset(lrp_ctx *ctx, const char *name_or_dialect)
{
  char path[4400], name[256];
  snprintf(name, sizeof name, "%s", name_or_dialect);
  for (char *p = name; *p; p++)
    *p = *p == ':' ? '_' : *p;
  for (const char *d = strchr(name, '/') ? "" : lrp_preset_dirs(ctx); *d;) {
    const size_t len = strcspn(d, ":");
    snprintf(path, sizeof path, "%.*s/%s.composite", (int)len, d, name);
    FILE *f = fopen(path, "r");
    if (f) return f;
    d += len + (d[len] == ':');
  }
  return NULL;
}

/* Its lines; false: there is no such preset. */
static bool tell_preset(lrp_ctx *ctx, const char *name, bool after_rule)
{
  char line[1024];
  FILE *f = open_preset(ctx, name);
  if (!f) return false;
  printf("%spreset %s\n", after_rule ? "\n" : "", name);
  while (fgets(line, sizeof line, f)) {
    fputs("  ", stdout);
    cli_escape(stdout, line, strcspn(line, "\r\n"));
    putchar('\n');
  }
  fclose(f);
  return true;
}

/* What a preset's opening comment begins with. */
static void put_preset(lrp_ctx *ctx, const char *name)
{
  enum { MOST = 70 };
  char line[1024] = "";
  FILE *f = open_preset(ctx, name);
  if (f && !fgets(line, sizeof line, f)) line[0] = 0;
  if (f) fclose(f);
  const char *doc = line[0] == '#' ? line + 1 + strspn(line + 1, " ") : "";
  size_t n = strcspn(doc, "\r\n");
  const bool cut = n > MOST;
  while (n > MOST || (cut && n && doc[n] != ' '))
    n--;
  printf("  %-26s ", name);
  cli_escape(stdout, doc, n);
  puts(cut ? " ..." : "");
}

static void list_rules(lrp_ctx *ctx)
{
  size_t n;
  char **names = presets(ctx, &n);
  puts("rules");
  for (int64_t i = 0; i < lrp_n_rule(ctx); i++)
    printf("  %-26s %s\n", lrp_rule_at(ctx, i)->name, lrp_rule_at(ctx, i)->doc);
  puts("\npresets: composites that give each layer a rule");
  for (size_t i = 0; i < n; i++)
    if (!i || strcmp(names[i], names[i - 1])) /* one in two folders: the first is taken */
      put_preset(ctx, names[i]);
  puts("\nlrp rules NAME tells formula, source and arguments of a rule, and the lines of a preset");
  free_list(names, n);
}

static void list_layers(lrp_ctx *ctx)
{
  printf("  %-18s %-12s %s\n", "layer", "kind", "ONNX operators");
  for (int64_t i = 0; i < lrp_n_layer(ctx); i++) {
    const lrp_layer_type *l = lrp_layer_at(ctx, i);
    printf("  %-18s %-12s", l->name, lrp_kind_name(l->kind));
    const char *last = "";
    for (const lrp_operator *o = l->operators; o && o->name; o++)
      if (strcmp(o->name, last)) {
        printf(" %s", o->name);
        last = o->name;
      }
    putchar('\n');
  }
}

/* ---- json ---- */

static json_t *json_args(const lrp_arg *args)
{
  json_t *list = json_array();
  for (const lrp_arg *a = args; a && a->type != LRP_ARG_END; a++) {
    json_t *o =
        json_pack("{s:s, s:s, s:s, s:b, s:f}", "name", a->name, "type", ARG_TYPES[a->type], "doc",
                  a->doc, "required", (int)(a->flags & LRP_ARG_REQUIRED), "default", a->def);
    if (a->min != a->max) {
      json_object_set_new(o, "min", json_real(a->min));
      json_object_set_new(o, "max", json_real(a->max));
    }
    if (a->choices) json_object_set_new(o, "choices", json_string(a->choices));
    json_array_append_new(list, o);
  }
  return list;
}

static json_t *json_rule(lrp_ctx *ctx, const lrp_rule *r)
{
  return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:o}", "name", r->name, "doc", r->doc, "formula",
                   r->formula ? r->formula : "", "source", r->cite ? r->cite : "", "note",
                   LRP_HAS(lrp_rule, r, note) ? r->note : "", "plugin",
                   lrp_owner(ctx, r->name)->plugin->name, "arguments", json_args(r->args));
}

static json_t *json_layer(lrp_ctx *ctx, const lrp_layer_type *l)
{
  json_t *ops = json_array();
  for (const lrp_operator *o = l->operators; o && o->name; o++)
    json_array_append_new(ops, json_pack("{s:s, s:s, s:i, s:i}", "domain", o->domain, "name",
                                         o->name, "since", o->since, "until", o->until));
  return json_pack("{s:s, s:s, s:s, s:s, s:o, s:o}", "name", l->name, "doc", l->doc, "kind",
                   lrp_kind_name(l->kind), "plugin", lrp_owner(ctx, l->name)->plugin->name,
                   "operators", ops, "arguments", json_args(l->args));
}

/* ---- commands ---- */

static int show_rules(lrp_ctx *ctx, const char *name, bool json)
{
  if (!name && json) {
    json_t *list = json_array();
    for (int64_t i = 0; i < lrp_n_rule(ctx); i++)
      json_array_append_new(list, json_rule(ctx, lrp_rule_at(ctx, i)));
    cli_json_print(list);
  } else if (!name) {
    list_rules(ctx);
  } else {
    const lrp_rule *r = lrp_find_rule(ctx, name);
    if (r && json)
      cli_json_print(json_rule(ctx, r));
    else if (r)
      tell_rule(ctx, r);
    if (!(r && json) && !tell_preset(ctx, name, r != NULL) && !r) return cli_fail(ctx, LRP_E_ARG);
  }
  return 0;
}

static int show_layers(lrp_ctx *ctx, const char *name, bool json)
{
  if (!name && json) {
    json_t *list = json_array();
    for (int64_t i = 0; i < lrp_n_layer(ctx); i++)
      json_array_append_new(list, json_layer(ctx, lrp_layer_at(ctx, i)));
    cli_json_print(list);
  } else if (!name) {
    list_layers(ctx);
  } else {
    const lrp_layer_type *l = lrp_find_layer(ctx, name);
    if (!l) return cli_fail(ctx, LRP_E_ARG);
    if (json)
      cli_json_print(json_layer(ctx, l));
    else
      tell_layer(ctx, l);
  }
  return 0;
}

static int run_list(const cli_command *c, int argc, char **argv,
                    int (*show)(lrp_ctx *, const char *, bool))
{
  cli_args a;
  lrp_ctx *ctx = NULL;
  int code = cli_parse(c, argc, argv, &a);
  if (code) {
    code--;
  } else if (a.n_operand > 1) {
    cli_error("%s: one name at most was expected", c->name);
    code = 2;
  } else {
    const lrp_status st = cli_session(a.all, a.n_all, NULL, NULL, &ctx);
    code = st ? lrp_exit_status(st) : show(ctx, a.operand[0], a.value[O_JSON]);
  }
  lrp_ctx_free(ctx);
  cli_args_free(&a);
  return code;
}

static int run_rules(const cli_command *c, int argc, char **argv)
{
  return run_list(c, argc, argv, show_rules);
}

static int run_layers(const cli_command *c, int argc, char **argv)
{
  return run_list(c, argc, argv, show_layers);
}
