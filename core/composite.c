/* composite.c - reads composites: one rule a line, "matcher -> rule(arguments)", first match wins.
 * The language is told in rules/README.md. */
#include "composite_read.h"
#include "where.h"
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_DEPTH = 8, MAX_LINES = 4096 };
#define MAX_TEXT ((size_t)1 << 20) /* a composite is written by hand */

lrp_status lrp_composite_complain(const lrp_composite_reader *r, const char *fmt, ...)
{
  char text[1024];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  return lrp_fail(r->ctx, LRP_E_ARG, "%s: line %lld: %s", r->source, (long long)r->line, text);
}

lrp_status lrp_composite_copy(const lrp_composite_reader *r, const char *s, size_t n,
                              const char **out)
{
  *out = lrp_arena_text(&r->c->arena, s, n);
  return *out ? LRP_OK : lrp_nomem(r->ctx, "a composite");
}

/* ---- matchers ---- */

static bool starts(const char **s, const char *prefix)
{
  const size_t n = strlen(prefix);
  if (strncmp(*s, prefix, n)) return false;
  *s += n;
  return true;
}

static lrp_status kind_by_name(const lrp_composite_reader *r, const char *name, uint32_t *kind)
{
  char all[256] = "";
  for (uint32_t k = 0; k < LRP_KIND_COUNT; k++) {
    if (!strcmp(lrp_kind_name(k), name)) {
      *kind = k;
      return LRP_OK;
    }
    const size_t n = strlen(all);
    snprintf(all + n, sizeof all - n, "%s%s", k ? ", " : "", lrp_kind_name(k));
  }
  return lrp_composite_complain(r, "\"%s\" is not a kind; the kinds are %s", name, all);
}

static bool layer_of_name(const lrp_ctx *ctx, const char *name)
{
  for (int64_t i = 0; i < lrp_n_layer(ctx); i++)
    if (!strcmp(lrp_layer_at(ctx, i)->name, name)) return true;
  return false;
}

static lrp_status parse_depth(const lrp_composite_reader *r, const char *text, lrp_matcher *m)
{
  char *end;
  const char *dots = strstr(text, "..");
  m->from = strtod(text, &end);
  if (end == text || !dots || (end != dots && end != dots + 1)) /* "0." of "0..1" is a number too */
    return lrp_composite_complain(r, "\"depth:%s\": two fractions as in depth:0.5..1 were expected",
                                  text);
  const char *second = dots + 2;
  m->to = strtod(second, &end);
  if (end == second || *end || !(m->from >= 0 && m->from <= m->to && m->to <= 1))
    return lrp_composite_complain(r, "\"depth:%s\": two fractions, 0 <= A <= B <= 1, were expected",
                                  text);
  return LRP_OK;
}

/* What first:, last:, gate: or before: is about; NULL: none of them stands there. */
static const char *inner_of(const char *s)
{
  return !strncmp(s, "first:", 6)                             ? s + 6
         : !strncmp(s, "last:", 5) || !strncmp(s, "gate:", 5) ? s + 5
         : !strncmp(s, "before:", 7)                          ? s + 7
                                                              : NULL;
}

static lrp_status parse_matcher(const lrp_composite_reader *r, const char *word, lrp_matcher *m)
{
  const char *s = word;
  lrp_status st = LRP_OK;
  if (!strcmp(s, "*")) {
    m->what = LRP_MATCH_ANY;
  } else if (starts(&s, "kind:")) {
    m->what = LRP_MATCH_KIND;
    st = kind_by_name(r, s, &m->kind);
  } else if (starts(&s, "layer:")) {
    m->what = LRP_MATCH_LAYER;
  } else if (starts(&s, "op:")) {
    m->what = LRP_MATCH_OP;
  } else if (starts(&s, "name:")) {
    m->what = LRP_MATCH_NAME;
  } else if (starts(&s, "depth:")) {
    m->what = LRP_MATCH_DEPTH;
    st = parse_depth(r, s, m);
  } else if (inner_of(s)) {
    m->what = *s == 'f'   ? LRP_MATCH_FIRST
              : *s == 'l' ? LRP_MATCH_LAST
              : *s == 'g' ? LRP_MATCH_GATE
                          : LRP_MATCH_BEFORE;
    lrp_matcher *of = lrp_arena_alloc(&r->c->arena, sizeof *of);
    if (!of) return lrp_nomem(r->ctx, "a composite");
    m->of = of;
    st = inner_of(inner_of(s))
             ? lrp_composite_complain(r, "\"%s\": first:, last:, gate: and before: do not nest",
                                      word)
             : parse_matcher(r, inner_of(s), of);
  } else if (strchr(s, ':')) {
    st = lrp_composite_complain(
        r,
        "\"%s\": a matcher is kind:K, layer:GLOB, op:GLOB, name:GLOB, first:M, last:M, "
        "gate:M, before:M, depth:A..B or *",
        word);
  } else {
    m->what = LRP_MATCH_KIND;
    st = kind_by_name(r, s, &m->kind);
    if (st && layer_of_name(r->ctx, s)) { /* a bare word may be a layer type too: "conv" */
      m->what = LRP_MATCH_LAYER;
      st = LRP_OK;
    }
  }
  return st ? st : lrp_composite_copy(r, s, strlen(s), &m->glob);
}

static lrp_status parse_left(const lrp_composite_reader *r, char *left, lrp_composite_rule *line)
{
  enum { MOST = 32 };
  lrp_matcher *m = lrp_arena_alloc(&r->c->arena, MOST * sizeof *m);
  const char **freeze = lrp_arena_alloc(&r->c->arena, MOST * sizeof *freeze);
  if (!m || !freeze) return lrp_nomem(r->ctx, "a composite");
  line->matcher = m;
  line->freeze = freeze;
  char *rest = left, *word;
  while ((word = strtok_r(rest, " \t,", &rest))) {
    if (line->n_matcher == MOST || line->n_freeze == MOST)
      return lrp_composite_complain(r, "more than %d matchers", MOST);
    const bool freezes = !strncmp(word, "freeze=", 7);
    const lrp_status st =
        freezes ? lrp_composite_copy(r, word + 7, strlen(word + 7), &freeze[line->n_freeze])
                : parse_matcher(r, word, &m[line->n_matcher]);
    if (st) return st;
    if (freezes)
      line->n_freeze++;
    else
      line->n_matcher++;
  }
  return line->n_matcher ? LRP_OK
                         : lrp_composite_complain(r, "a matcher was expected before the rule");
}

/* ---- lines ---- */

static lrp_status read_text(lrp_composite_reader *r, const char *text);
static lrp_status read_named(lrp_composite_reader *r, const char *what);

static lrp_status parse_line(lrp_composite_reader *r, char *text)
{
  char *arrow = strstr(text, "->"), *right = arrow ? arrow + 2 : NULL;
  if (!arrow) { /* the short form MATCHER=RULE */
    arrow = strchr(text, '=');
    const char *open = strchr(text, '(');
    if (!arrow || (open && open < arrow))
      return lrp_composite_complain(
          r, "\"%s\": MATCHER -> RULE(ARGUMENTS) or include NAME was expected", text);
    right = arrow + 1;
  }
  *arrow = 0;
  if (r->c->n_line == r->c->cap_line) {
    const int64_t cap = r->c->cap_line ? 2 * r->c->cap_line : 32;
    if (cap > MAX_LINES) return lrp_composite_complain(r, "more than %d lines", MAX_LINES);
    lrp_composite_rule *grown = lrp_arena_alloc(&r->c->arena, (size_t)cap * sizeof *grown);
    if (!grown) return lrp_nomem(r->ctx, "a composite");
    if (r->c->n_line) memcpy(grown, r->c->line, (size_t)r->c->n_line * sizeof *grown);
    r->c->line = grown;
    r->c->cap_line = cap;
  }
  lrp_composite_rule *line = &r->c->line[r->c->n_line];
  *line = (lrp_composite_rule){0};
  char *left = lrp_composite_trim(text);
  lrp_status st = lrp_composite_copy(r, left, strlen(left), &line->matcher_text);
  if (!st) st = parse_left(r, left, line);
  if (!st) st = lrp_composite_right(r, lrp_composite_trim(right), line);
  r->c->n_line += !st;
  return st;
}

/* A "#" at the start or behind a blank opens a comment. */
static void cut_comment(char *s)
{
  for (char *p = s; *p; p++)
    if (*p == '#' && (p == s || isspace((unsigned char)p[-1]))) {
      *p = 0;
      return;
    }
}

static lrp_status read_line(lrp_composite_reader *r, char *text)
{
  cut_comment(text);
  char *s = lrp_composite_trim(text);
  if (!*s) return LRP_OK;
  if (!strncmp(s, "include", 7) && isspace((unsigned char)s[7])) {
    if (r->depth >= MAX_DEPTH)
      return lrp_composite_complain(
          r, "includes nest deeper than %d: does a composite include itself?", MAX_DEPTH);
    lrp_composite_reader inner = *r;
    inner.depth++;
    const lrp_status st = read_named(&inner, lrp_composite_trim(s + 7));
    return st ? lrp_fail_at(r->ctx, st, "%s: line %lld: include: ", r->source, (long long)r->line)
              : LRP_OK;
  }
  return parse_line(r, s);
}

static lrp_status read_text(lrp_composite_reader *r, const char *text)
{
  const char *ends = r->inline_text ? ";\n" : "\n";
  r->line = 0;
  for (const char *p = text; *p;) {
    const size_t n = strcspn(p, ends);
    char *line = malloc(n + 1);
    if (!line) return lrp_nomem(r->ctx, "a composite");
    memcpy(line, p, n);
    line[n] = 0;
    r->line++;
    const lrp_status st = read_line(r, line);
    free(line);
    if (st) return st;
    p += n + (p[n] != 0);
  }
  return LRP_OK;
}

/* ---- files and presets ---- */

static lrp_status read_file(lrp_composite_reader *r, const char *path)
{
  lrp_file f;
  lrp_status st = lrp_file_open(r->ctx, path, "composite", MAX_TEXT, &f);
  if (st) return st == LRP_E_INPUT ? LRP_E_ARG : st;
  char *text = malloc(f.size + 1);
  if (text && f.size) memcpy(text, f.data, f.size);
  const bool has_nul = f.size && memchr(f.data, 0, f.size);
  const size_t n = f.size;
  lrp_file_close(&f);
  if (!text) return lrp_nomem(r->ctx, "a composite");
  text[n] = 0;
  const char *slash = strrchr(path, '/');
  const char *folder = NULL, *source = NULL;
  r->inline_text = false;
  st = has_nul ? lrp_fail(r->ctx, LRP_E_ARG, "%s: not a text file: it holds a zero byte", path)
               : lrp_composite_copy(r, path, slash ? (size_t)(slash - path) : 0, &folder);
  if (!st) st = lrp_composite_copy(r, path, strlen(path), &source);
  if (!st) {
    r->folder = slash ? folder : ".";
    r->source = source;
    st = read_text(r, text);
  }
  free(text);
  return st;
}

const char *lrp_preset_dirs(lrp_ctx *ctx)
{
  char own[4096];
  if (ctx->preset_dirs[0]) return ctx->preset_dirs;
#ifdef LRP_DATA_DIR
  const char *installed = LRP_DATA_DIR "/presets";
#else
  const char *installed = "presets";
#endif
  const char *env = lrp_trusted_env("LRP_PRESET_PATH");
  if (!lrp_own_folder("presets", installed, own, sizeof own)) own[0] = 0;
  snprintf(ctx->preset_dirs, sizeof ctx->preset_dirs, "%s%s%s", env ? env : "",
           env && *env ? ":" : "", own);
  return ctx->preset_dirs;
}

/* PATH of the preset in the folders of the search path; names may be written with dashes, and those
 * of a dialect with a colon: toolbox:100. */
static bool find_preset(const lrp_composite_reader *r, const char *name, char *path, size_t n)
{
  char file[256];
  if (strlen(name) > 200 || strchr(name, '/')) return false;
  snprintf(file, sizeof file, "%s", name);
  for (int dashed = 0; dashed < 2; dashed++) {
    if (r->folder && (size_t)snprintf(path, n, "%s/%s.composite", r->folder, file) < n &&
        !access(path, R_OK))
      return true;
    for (const char *d = lrp_preset_dirs(r->ctx); *d;) {
      const size_t len = strcspn(d, ":");
      if (len && (size_t)snprintf(path, n, "%.*s/%s.composite", (int)len, d, file) < n &&
          !access(path, R_OK))
        return true;
      d += len + (d[len] == ':');
    }
    for (char *p = file; *p; p++)
      *p = *p == '-' || *p == ':' ? '_' : *p;
  }
  return false;
}

static lrp_status read_named(lrp_composite_reader *r, const char *what)
{
  char path[4400];
  if (find_preset(r, what, path, sizeof path)) return read_file(r, path);
  if (strchr(what, '/') || strstr(what, ".composite") || !access(what, R_OK))
    return read_file(r, what);
  return lrp_fail(
      r->ctx, LRP_E_ARG,
      "composite \"%s\" is neither a preset (lrp rules lists them), a file, nor text with \"->\"",
      what);
}

/* ---- whole ---- */

static lrp_status complete(lrp_ctx *ctx, lrp_composite *c)
{
  size_t n = 1;
  for (int64_t i = 0; i < c->n_line; i++)
    n += strlen(c->line[i].matcher_text) + strlen(c->line[i].rule_text) + 8;
  c->text = lrp_arena_alloc(&c->arena, n);
  if (!c->text) return lrp_nomem(ctx, "a composite");
  size_t used = 0;
  for (int64_t i = 0; i < c->n_line; i++)
    used += (size_t)snprintf(c->text + used, n - used, "%s -> %s\n", c->line[i].matcher_text,
                             c->line[i].rule_text);
  lrp_sha256(c->text, used, c->sha256);
  return LRP_OK;
}

lrp_status lrp_composite_open(lrp_ctx *ctx, const char *what, const lrp_model *model,
                              lrp_composite **out)
{
  *out = NULL;
  lrp_composite *c = calloc(1, sizeof *c);
  if (!c) return lrp_nomem(ctx, "a composite");
  lrp_composite_reader r = {.ctx = ctx, .c = c, .model = model, .source = "--rules"};
  const bool text = strstr(what, "->") || strchr(what, ';') || !strncmp(what, "include ", 8) ||
                    (strchr(what, '=') && access(what, R_OK));
  r.inline_text = text;
  lrp_status st = lrp_composite_copy(&r, what, strlen(what), &c->name);
  if (!st && !*what) st = lrp_fail(ctx, LRP_E_ARG, "the composite is empty");
  if (!st) st = text ? read_text(&r, what) : read_named(&r, what);
  if (!st && !c->n_line) st = lrp_fail(ctx, LRP_E_ARG, "%s: the composite has no line", what);
  if (!st) st = complete(ctx, c);
  if (st) {
    lrp_composite_free(c);
    return st;
  }
  *out = c;
  return LRP_OK;
}

void lrp_composite_free(lrp_composite *c)
{
  if (!c) return;
  lrp_arena_free(&c->arena);
  free(c);
}

const char *lrp_composite_name(const lrp_composite *c)
{
  return c->name;
}

const char *lrp_composite_text(const lrp_composite *c)
{
  return c->text;
}

const char *lrp_composite_sha256(const lrp_composite *c)
{
  return c->sha256;
}

int64_t lrp_composite_n_line(const lrp_composite *c)
{
  return c->n_line;
}

void lrp_composite_line(const lrp_composite *c, int64_t i, const char **matcher,
                        const lrp_rule **rule, const lrp_value **args)
{
  *matcher = c->line[i].matcher_text;
  *rule = c->line[i].rule;
  *args = c->line[i].args;
}
