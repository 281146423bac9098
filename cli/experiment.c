/* experiment.c - reads the file of an experiment: YAML, checked against tables of fields. */
#include "experiment.h"
#include "cli.h"
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

enum {
  FILE_LIMIT = 1 << 20,
  MISTAKES = 20
}; /* an experiment is a page; after 20 mistakes no more are told */

typedef struct reader {
  yaml_document_t *doc;
  experiment *e;
  const char *path;
  int n_wrong;
} reader;

/* ---- tables of fields ---- */

typedef enum { F_TEXT, F_LIST, F_COUNT, F_MODELS, F_INPUTS } field_type;
typedef struct field {
  const char *name;
  field_type type;
  size_t at;
} field;
#define E(name, type)                                                                              \
  {                                                                                                \
#name, type, offsetof(experiment, name)                                                        \
  }
#define M(name, type)                                                                              \
  {                                                                                                \
#name, type, offsetof(experiment_model, name)                                                  \
  }
#define I(name, type)                                                                              \
  {                                                                                                \
#name, type, offsetof(experiment_input, name)                                                  \
  }
static const field EXPERIMENT[] = {{"experiment", F_TEXT, offsetof(experiment, name)},
                                   E(note, F_TEXT),
                                   E(database, F_TEXT),
                                   E(plugins, F_LIST),
                                   {"models", F_MODELS, 0},
                                   {"inputs", F_INPUTS, 0},
                                   E(composites, F_LIST),
                                   E(methods, F_LIST),
                                   E(targets, F_LIST),
                                   E(seed, F_TEXT),
                                   E(steps, F_COUNT),
                                   E(canonize, F_TEXT),
                                   {0}};
static const field MODEL[] = {
    M(path, F_TEXT), M(composites, F_LIST), M(methods, F_LIST), M(targets, F_LIST), {0}};
#define SOURCE(name, kind)                                                                         \
  {                                                                                                \
    name, F_TEXT, offsetof(experiment_input, source) + kind * sizeof(const char *)                 \
  }
static const field INPUT[] = {SOURCE("folder", INPUT_FOLDER),
                              SOURCE("lines", INPUT_LINES),
                              SOURCE("table", INPUT_TABLE),
                              I(npy, F_LIST),
                              SOURCE("idx", INPUT_IDX),
                              I(labels, F_TEXT),
                              I(columns, F_LIST),
                              I(text, F_TEXT),
                              I(label, F_TEXT),
                              I(rationale, F_TEXT),
                              I(models, F_LIST),
                              I(limit, F_COUNT),
                              I(offset, F_COUNT),
                              I(shuffle, F_COUNT),
                              {0}};

/* ---- mistakes ---- */

static int line_of(const yaml_node_t *n)
{
  return (int)n->start_mark.line + 1;
}

static void wrong(reader *r, int line, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void wrong(reader *r, int line, const char *fmt, ...)
{
  char text[1024];
  va_list args;
  va_start(args, fmt);
  vsnprintf(text, sizeof text, fmt, args);
  va_end(args);
  if (r->n_wrong++ < MISTAKES) cli_error("%s:%d: %s", r->path, line, text);
}

static void wrong_key(reader *r, const field *fields, const yaml_node_t *key, const char *where)
{
  const char *given = (const char *)key->data.scalar.value, *nearest = NULL;
  size_t least = 4;
  char all[400] = "";
  for (int i = 0; fields[i].name; i++) {
    const size_t d = cli_distance(given, fields[i].name), n = strlen(all);
    if (d < least && d < strlen(given)) {
      least = d;
      nearest = fields[i].name;
    }
    snprintf(all + n, sizeof all - n, "%s%s", i ? ", " : "", fields[i].name);
  }
  if (nearest)
    wrong(r, line_of(key), "%s: there is no \"%s\"; did you mean \"%s\"?", where, given, nearest);
  else
    wrong(r, line_of(key), "%s: there is no \"%s\"; there are %s", where, given, all);
}

/* ---- values ---- */

static const yaml_node_t *node(const reader *r, int id)
{
  return yaml_document_get_node(r->doc, id);
}

static const char *text_of(reader *r, const yaml_node_t *n, const char *what)
{
  if (n->type != YAML_SCALAR_NODE || !n->data.scalar.length) {
    wrong(r, line_of(n), "%s: a text was expected", what);
    return NULL;
  }
  const char *s = (const char *)n->data.scalar.value;
  if (strlen(s) == n->data.scalar.length) return s;
  wrong(r, line_of(n), "%s: the text holds a NUL byte", what);
  return NULL;
}

static void count_of(reader *r, const yaml_node_t *n, const char *what, int64_t *out)
{
  char *end = NULL;
  const char *s = text_of(r, n, what);
  if (!s) return;
  errno = 0;
  const long long v = strtoll(s, &end, 10);
  if (errno || *end || v < 0)
    wrong(r, line_of(n), "%s: %s: a whole number from 0 on was expected", what, s);
  else
    *out = v;
}

static void *room(reader *r, int n, size_t size)
{
  void *p = calloc((size_t)n + 1, size);
  if (!p) wrong(r, 1, "no memory");
  return p;
}

static int n_item(const yaml_node_t *n)
{
  return (int)(n->data.sequence.items.top - n->data.sequence.items.start);
}

/* A single text is a list of one. */
static void list_of(reader *r, const yaml_node_t *n, const char *what, experiment_list *out)
{
  const bool one = n->type == YAML_SCALAR_NODE;
  if (!one && n->type != YAML_SEQUENCE_NODE) {
    wrong(r, line_of(n), "%s: a text or a list of texts was expected", what);
    return;
  }
  const int count = one ? 1 : n_item(n);
  if (!count) wrong(r, line_of(n), "%s: the list is empty", what);
  out->item = room(r, count, sizeof *out->item);
  out->line = room(r, count, sizeof *out->line);
  for (int i = 0; out->item && out->line && i < count; i++) {
    const yaml_node_t *item = one ? n : node(r, n->data.sequence.items.start[i]);
    out->item[i] = text_of(r, item, what);
    out->line[i] = line_of(item);
    out->n = i + 1;
  }
}

static void models_of(reader *r, const yaml_node_t *n);
static void inputs_of(reader *r, const yaml_node_t *n);

static void value_of(reader *r, const field *f, const yaml_node_t *n, void *to)
{
  char *at = (char *)to + f->at;
  if (f->type == F_TEXT)
    *(const char **)(void *)at = text_of(r, n, f->name);
  else if (f->type == F_LIST)
    list_of(r, n, f->name, (experiment_list *)(void *)at);
  else if (f->type == F_COUNT)
    count_of(r, n, f->name, (int64_t *)(void *)at);
  else if (f->type == F_MODELS)
    models_of(r, n);
  else
    inputs_of(r, n);
}

/* The pairs of a mapping into the fields of a struct; a key may stand once. */
static void map_of(reader *r, const field *fields, const yaml_node_t *n, const char *where,
                   void *to)
{
  uint32_t seen = 0;
  if (n->type != YAML_MAPPING_NODE) {
    wrong(r, line_of(n), "%s: lines of the form \"key: value\" were expected", where);
    return;
  }
  for (const yaml_node_pair_t *p = n->data.mapping.pairs.start; p < n->data.mapping.pairs.top;
       p++) {
    const yaml_node_t *key = node(r, p->key);
    int i = 0;
    if (!text_of(r, key, where)) continue;
    while (fields[i].name && strcmp(fields[i].name, (const char *)key->data.scalar.value) != 0)
      i++;
    if (!fields[i].name)
      wrong_key(r, fields, key, where);
    else if (seen & 1u << i)
      wrong(r, line_of(key), "%s: \"%s\" stands twice", where, fields[i].name);
    else
      value_of(r, &fields[i], node(r, p->value), to);
    if (fields[i].name) seen |= 1u << i;
  }
}

/* ---- models and inputs ---- */

static void model_of(reader *r, const yaml_node_t *n, experiment_model *m)
{
  m->line = line_of(n);
  if (n->type == YAML_SCALAR_NODE) {
    m->path = text_of(r, n, "models");
    return;
  }
  const int before = r->n_wrong;
  map_of(r, MODEL, n, "a model", m);
  if (!m->path && r->n_wrong == before) wrong(r, m->line, "a model: \"path: FOLDER\" is missing");
}

static void models_of(reader *r, const yaml_node_t *n)
{
  const bool list = n->type == YAML_SEQUENCE_NODE;
  const int count = list ? n_item(n) : 1;
  r->e->model = room(r, count, sizeof *r->e->model);
  for (int i = 0; r->e->model && i < count; i++) {
    r->e->n_model = i + 1;
    model_of(r, list ? node(r, n->data.sequence.items.start[i]) : n, &r->e->model[i]);
  }
}

static void check_input(reader *r, experiment_input *in)
{
  int n = in->npy.n > 0;
  in->kind = INPUT_NPY;
  for (int32_t k = 0; k < INPUT_KINDS; k++)
    if (in->source[k]) {
      in->kind = k;
      n++;
    }
  if (n != 1)
    wrong(r, in->line, "an input: %s of folder, lines, table, npy and idx was expected",
          n ? "only one" : "one");
  if (in->kind != INPUT_TABLE && (in->columns.n || in->text || in->label || in->rationale))
    wrong(r, in->line, "an input: columns, text, label and rationale belong to a table");
  if (in->kind == INPUT_TABLE && in->labels)
    wrong(r, in->line,
          "an input: a table has its labels in a column (\"label: NAME\"), no \"labels\" file");
  if (in->kind == INPUT_FOLDER && in->labels && strcmp(in->labels, "none") != 0)
    wrong(r, in->line,
          "labels: %s: sub-folders are the labels of a folder; \"labels: none\" was expected",
          in->labels);
}

static void inputs_of(reader *r, const yaml_node_t *n)
{
  const bool list = n->type == YAML_SEQUENCE_NODE;
  const int count = list ? n_item(n) : 1;
  r->e->input = room(r, count, sizeof *r->e->input);
  for (int i = 0; r->e->input && i < count; i++) {
    experiment_input *in = &r->e->input[i];
    const yaml_node_t *item = list ? node(r, n->data.sequence.items.start[i]) : n;
    const int before = r->n_wrong;
    r->e->n_input = i + 1;
    *in = (experiment_input){.limit = -1, .offset = -1, .shuffle = -1, .line = line_of(item)};
    map_of(r, INPUT, item, "an input", in);
    if (r->n_wrong == before) check_input(r, in);
  }
}

/* ---- the whole ---- */

static void check_choice(reader *r, const experiment_list *l, const char *what,
                         const char *const *names)
{
  for (int i = 0; i < l->n; i++) {
    bool known = !l->item[i];
    for (int k = 0; names[k]; k++)
      known = known || !strcmp(l->item[i], names[k]);
    if (!known)
      wrong(r, l->line[i], "%s: there is no \"%s\"; there are %s, %s, %s", what, l->item[i],
            names[0], names[1], names[2]);
  }
}

static void check_all(reader *r)
{
  static const char *const METHODS[] = {"gradient", "input_x_gradient", "integrated_gradients",
                                        NULL};
  const experiment *e = r->e;
  if (!e->name) wrong(r, 1, "\"experiment: NAME\" is missing");
  if (!e->n_model) wrong(r, 1, "\"models:\" is missing: a list of folders or .onnx files");
  if (!e->n_input)
    wrong(r, 1, "\"inputs:\" is missing: a list of folder, lines, table, npy or idx");
  if (e->seed && strcmp(e->seed, "logit") && strcmp(e->seed, "one"))
    wrong(r, 1, "seed: there is no \"%s\"; logit or one was expected", e->seed);
  if (e->steps == 0 || e->steps > 100000)
    wrong(r, 1, "steps: a whole number from 1 to 100000 was expected");
  check_choice(r, &e->methods, "methods", METHODS);
  for (int i = 0; i < e->n_model; i++)
    check_choice(r, &e->model[i].methods, "methods", METHODS);
}

static char *slurp(const char *path, size_t *n)
{
  FILE *f = fopen(path, "rb");
  char *s = f ? malloc(FILE_LIMIT + 1) : NULL;
  *n = s ? fread(s, 1, FILE_LIMIT + 1, f) : 0;
  if (!f || ferror(f))
    cli_error("%s: %s", path, strerror(errno));
  else if (!s)
    cli_error("%s: no memory", path);
  else if (*n > FILE_LIMIT)
    cli_error("%s: larger than %d bytes; an experiment in YAML was expected", path, FILE_LIMIT);
  const bool bad = !s || *n > FILE_LIMIT || ferror(f);
  if (f) fclose(f);
  if (!bad) return s;
  free(s);
  return NULL;
}

/* Reads the one document of a text; false: a sentence was printed. */
static bool parse(const char *path, const char *s, size_t n, yaml_document_t *doc)
{
  yaml_parser_t p;
  yaml_document_t more;
  bool ok = false;
  if (!yaml_parser_initialize(&p)) {
    cli_error("%s: no memory", path);
    return false;
  }
  yaml_parser_set_input_string(&p, (const unsigned char *)s, n);
  if (!yaml_parser_load(&p, doc)) {
    cli_error("%s:%zu: not YAML: %s", path,
              (p.problem_mark.line ? p.problem_mark.line : p.context_mark.line) + 1,
              p.problem ? p.problem : "no memory");
  } else if (!yaml_document_get_root_node(doc)) {
    cli_error("%s:1: the file is empty; an experiment was expected", path);
    yaml_document_delete(doc);
  } else if (!yaml_parser_load(&p, &more) || yaml_document_get_root_node(&more)) {
    cli_error("%s:%zu: one document was expected, another one follows", path, p.mark.line + 1);
    if (!p.error) yaml_document_delete(&more);
    yaml_document_delete(doc);
  } else {
    yaml_document_delete(&more);
    ok = true;
  }
  yaml_parser_delete(&p);
  return ok;
}

bool experiment_open(const char *path, experiment **out)
{
  size_t n;
  char *s = slurp(path, &n);
  experiment *e = s ? calloc(1, sizeof *e) : NULL;
  yaml_document_t *doc = e ? calloc(1, sizeof *doc) : NULL;
  const bool parsed = doc && parse(path, s, n, doc);
  free(s);
  *out = NULL;
  if (!parsed) {
    free(doc);
    free(e);
    return false;
  }
  reader r = {.doc = doc, .e = e, .path = path};
  *e = (experiment){.path = path, .steps = -1, .document = doc};
  map_of(&r, EXPERIMENT, yaml_document_get_root_node(doc), "an experiment", e);
  if (!r.n_wrong) check_all(&r);
  if (r.n_wrong > MISTAKES) cli_error("%s: and %d more mistakes", path, r.n_wrong - MISTAKES);
  if (!r.n_wrong) {
    *out = e;
    return true;
  }
  experiment_close(e);
  return false;
}

static void free_list(experiment_list *l)
{
  free(l->item);
  free(l->line);
}

void experiment_close(experiment *e)
{
  if (!e) return;
  free_list(&e->plugins);
  free_list(&e->composites);
  free_list(&e->methods);
  free_list(&e->targets);
  for (int i = 0; i < e->n_model; i++) {
    free_list(&e->model[i].composites);
    free_list(&e->model[i].methods);
    free_list(&e->model[i].targets);
  }
  for (int i = 0; i < e->n_input; i++) {
    free_list(&e->input[i].npy);
    free_list(&e->input[i].columns);
    free_list(&e->input[i].models);
  }
  free(e->model);
  free(e->input);
  yaml_document_delete(e->document);
  free(e->document);
  free(e);
}

char *experiment_path(const experiment *e, const char *path)
{
  const char *slash = path[0] == '/' ? NULL : strrchr(e->path, '/');
  const size_t n = slash ? (size_t)(slash - e->path) + 1 : 0, m = strlen(path) + 1;
  char *s = malloc(n + m);
  if (s) {
    memcpy(s, e->path, n);
    memcpy(s + n, path, m);
  }
  return s;
}
