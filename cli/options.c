/* options.c - parses a command line by a table of options, prints help from the same table. */
#include "cli.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int n_option(const cli_command *c)
{
  int n = 0;
  while (c->option && c->option[n].name)
    n++;
  return n;
}

/* Text from column 29 on, broken at blanks before column 80. */
static void put_doc(FILE *out, const char *doc)
{
  enum { LEFT = 29, RIGHT = 79 };
  for (const char *p = doc; *p;) {
    size_t n = strlen(p);
    if (n > RIGHT - LEFT)
      for (n = RIGHT - LEFT; n > 1 && p[n] != ' ';)
        n--;
    fprintf(out, "%.*s\n", (int)n, p);
    p += n + strspn(p + n, " ");
    if (*p) fprintf(out, "%*s", LEFT, "");
  }
}

void cli_help(const cli_command *c, FILE *out)
{
  fprintf(out, "%s\n\nusage: lrp %s %s\n", c->summary, c->name, c->usage);
  if (c->examples) fprintf(out, "\nexamples:\n%s", c->examples);
  fprintf(out, "\noptions:\n");
  for (int i = 0; i < n_option(c); i++) {
    char left[64];
    const cli_option *o = &c->option[i];
    snprintf(left, sizeof left, "%s%c%s--%s%s%s", o->letter ? "-" : "  ",
             o->letter ? o->letter : ' ', o->letter ? ", " : " ", o->name, o->value ? " " : "",
             o->value ? o->value : "");
    fprintf(out, "  %-26s ", left);
    put_doc(out, o->doc);
  }
  fprintf(out, "  -h, --help                 print this\n");
}

/* Levenshtein's distance: enough to suggest the nearest name. */
size_t cli_distance(const char *a, const char *b)
{
  size_t row[64], n = strlen(b);
  if (n > 62 || strlen(a) > 62) return 99;
  for (size_t j = 0; j <= n; j++)
    row[j] = j;
  for (size_t i = 1; a[i - 1]; i++) {
    size_t before = row[0];
    row[0] = i;
    for (size_t j = 1; j <= n; j++) {
      const size_t up = row[j], change = before + (a[i - 1] != b[j - 1]);
      size_t best = up + 1 < row[j - 1] + 1 ? up + 1 : row[j - 1] + 1;
      row[j] = best < change ? best : change;
      before = up;
    }
  }
  return row[n];
}

static int wrong_option(const cli_command *c, const char *word, size_t n)
{
  char given[64];
  const char *nearest = NULL;
  size_t best = 4;
  snprintf(given, sizeof given, "%.*s", (int)(n < sizeof given ? n : sizeof given - 1), word);
  for (int i = 0; i < n_option(c); i++) {
    const size_t d = cli_distance(given, c->option[i].name);
    if (d < best && d < n) {
      best = d;
      nearest = c->option[i].name;
    }
  }
  if (nearest)
    cli_error("%s: there is no option --%s; did you mean --%s?", c->name, given, nearest);
  else
    cli_error("%s: there is no option --%s; lrp %s --help lists them", c->name, given, c->name);
  return 3;
}

static int find_long(const cli_command *c, const char *name, size_t n)
{
  for (int i = 0; i < n_option(c); i++)
    if (strlen(c->option[i].name) == n && !strncmp(c->option[i].name, name, n)) return i;
  return -1;
}

static int find_letter(const cli_command *c, char letter)
{
  for (int i = 0; i < n_option(c); i++)
    if (c->option[i].letter == letter) return i;
  return -1;
}

static void take(const cli_command *c, cli_args *a, int i, const char *value)
{
  a->value[i] = value;
  if (i == c->repeated) a->all[a->n_all++] = value;
}

/* One "--name", "--name=value" or "-x" at argv[*at]. */
static int parse_option(const cli_command *c, int argc, char **argv, int *at, cli_args *a)
{
  const char *word = argv[*at];
  const bool is_long = word[1] == '-';
  const char *name = word + (is_long ? 2 : 1), *equals = is_long ? strchr(name, '=') : NULL;
  if (!strcmp(word, "--help") || !strcmp(word, "-h")) {
    cli_help(c, stdout);
    return 1;
  }
  const size_t n = equals ? (size_t)(equals - name) : strlen(name);
  const int i = is_long ? find_long(c, name, n) : find_letter(c, *name);
  if (i < 0 && is_long) return wrong_option(c, name, n);
  if (i < 0) {
    cli_error("%s: there is no option -%c; lrp %s --help lists them", c->name, *name, c->name);
    return 3;
  }
  const char *rest = is_long ? (equals ? equals + 1 : NULL) : (name[1] ? name + 1 : NULL);
  if (!c->option[i].value) {
    if (rest) {
      cli_error("%s: --%s takes no value", c->name, c->option[i].name);
      return 3;
    }
    take(c, a, i, "");
    return 0;
  }
  if (!rest && *at + 1 >= argc) {
    cli_error("%s: --%s needs a value: %s", c->name, c->option[i].name, c->option[i].value);
    return 3;
  }
  take(c, a, i, rest ? rest : argv[++*at]);
  return 0;
}

int cli_parse(const cli_command *c, int argc, char **argv, cli_args *a)
{
  *a = (cli_args){0};
  a->operand = calloc((size_t)argc + 1, sizeof *a->operand);
  a->all = calloc((size_t)argc + 1, sizeof *a->all);
  if (!a->operand || !a->all) {
    cli_error("no memory");
    return 2;
  }
  bool only_operands = false;
  for (int i = 1; i < argc; i++) {
    const char *word = argv[i];
    if (!only_operands && !strcmp(word, "--")) {
      only_operands = true;
    } else if (only_operands || word[0] != '-' || !word[1]) {
      a->operand[a->n_operand++] = word;
    } else {
      const int st = parse_option(c, argc, argv, &i, a);
      if (st) return st;
    }
  }
  return 0;
}

void cli_args_free(cli_args *a)
{
  free(a->operand);
  free(a->all);
  *a = (cli_args){0};
}

bool cli_int(const cli_option *o, const char *text, int64_t min, int64_t max, int64_t *out)
{
  char *end;
  errno = 0;
  const long long v = strtoll(text, &end, 10);
  if (errno || end == text || *end || v < min || v > max) {
    cli_error("--%s %s: a whole number from %lld to %lld was expected", o->name, text,
              (long long)min, (long long)max);
    return false;
  }
  *out = v;
  return true;
}

int cli_cut(char *text, const char **piece)
{
  int n = 0;
  for (char *at = text, *comma; at; at = comma) {
    comma = strchr(at, ',');
    if (comma) *comma++ = '\0';
    piece[n++] = at;
  }
  return n;
}
