/* texts.c - a file of texts, read in parts that end where a record ends: whatever its length, memory
 * holds one part. */
#include "cli.h"
#include "dataset.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FAIL lrp_host_table()->fail
enum {
  PART = 1 << 20,      /* bytes that a part has at least, where the file has them */
  LONGEST = 256 << 20, /* a record that goes on beyond is cut: a quote was not closed */
  COLUMNS = 64
};

struct text_file {
  FILE *f;
  char *path;
  char comma; /* 0: lines */
  bool json;
  experiment_input in; /* its columns */
  char *column[COLUMNS];
  int64_t n, line; /* line: of what comes next */
  char *rest;      /* read already */
  size_t n_rest;
  bool ended;
};

/* ---- parts ---- */

/* Behind the last record end of s; 0: there is none.  Quotes hide line ends in CSV. */
static size_t last_end(const text_file *t, const char *s, size_t n)
{
  size_t end = 0;
  bool quoted = false;
  if (t->comma != ',') {
    while (n && s[n - 1] != '\n')
      n--;
    return n;
  }
  for (size_t i = 0; i < n; i++)
    if (s[i] == '"')
      quoted = !quoted;
    else if (s[i] == '\n' && !quoted)
      end = i + 1;
  return end;
}

/* Room for `more` bytes behind n; false: no memory. */
static bool grow(char **s, size_t n, size_t more)
{
  char *grown = realloc(*s, n + more + 1);
  if (grown) *s = grown;
  return grown;
}

/* What is there, and so much of the file that a record ends in it. */
static lrp_status read_part(lrp_ctx *ctx, text_file *t, char **out, size_t *n)
{
  char *s = t->rest;
  size_t got = t->n_rest, end = 0;
  t->rest = NULL;
  t->n_rest = 0;
  while (!t->ended && !end && got < LONGEST) {
    if (!grow(&s, got, PART)) {
      free(s);
      return FAIL(ctx, LRP_E_NOMEM, "%s: no memory", t->path);
    }
    const size_t more = fread(s + got, 1, PART, t->f);
    if (ferror(t->f)) {
      free(s);
      return FAIL(ctx, LRP_E_INPUT, "%s: %s", t->path, strerror(errno));
    }
    got += more;
    t->ended = more < PART;
    end = last_end(t, s, got);
  }
  if (t->ended || !end) end = got;
  if (got > end) {
    t->rest = malloc(got - end);
    if (!t->rest) {
      free(s);
      return FAIL(ctx, LRP_E_NOMEM, "%s: no memory", t->path);
    }
    memcpy(t->rest, s + end, got - end);
    t->n_rest = got - end;
  }
  if (s) s[end] = '\0';
  *out = s;
  *n = end;
  return LRP_OK;
}

static int64_t lines_of(const char *s, size_t n)
{
  int64_t lines = 0;
  for (const char *at = s; (at = memchr(at, '\n', n - (size_t)(at - s))) != NULL; at++)
    lines++;
  return lines;
}

static lrp_status make_set(lrp_ctx *ctx, text_file *t, char *s, size_t n, dataset **out)
{
  dataset *d = calloc(1, sizeof *d);
  lrp_status st = d ? LRP_OK : FAIL(ctx, LRP_E_NOMEM, "%s: no memory", t->path);
  const int64_t lines = lines_of(s, n); /* before quotes are taken out */
  if (st) {
    free(s);
    return st;
  }
  *d = (dataset){.kind = t->comma || t->json ? INPUT_TABLE : INPUT_LINES,
                 .path = strdup(t->path),
                 .bytes = s,
                 .json = t->json};
  if (!d->path) st = FAIL(ctx, LRP_E_NOMEM, "no memory");
  if (!st) st = dataset_open_part(ctx, &t->in, d, n, t->comma, t->line);
  t->line += lines;
  if (!st) d->order = malloc((size_t)(d->n_item + 1) * sizeof *d->order);
  if (!st && !d->order) st = FAIL(ctx, LRP_E_NOMEM, "%s: no memory", t->path);
  for (int64_t i = 0; !st && i < d->n_item; i++)
    d->order[i] = i;
  d->n = d->n_item;
  if (st)
    dataset_close(d);
  else
    *out = d;
  return st;
}

lrp_status texts_next(lrp_ctx *ctx, text_file *t, dataset **out)
{
  lrp_status st = LRP_OK;
  *out = NULL;
  while (!st && !*out && (t->n_rest || !t->ended)) {
    char *s = NULL;
    size_t n = 0;
    st = read_part(ctx, t, &s, &n);
    if (!st && !n) free(s);
    if (!st && n) st = make_set(ctx, t, s, n, out);
    if (!st && *out && !(*out)->n) { /* nothing but blank lines */
      dataset_close(*out);
      *out = NULL;
    }
  }
  return st;
}

/* ---- what kind of file it is ---- */

static void choose_format(text_file *t, const char *s, size_t n)
{
  const char *line = memchr(s, '\n', n);
  const size_t first = line ? (size_t)(line - s) : n;
  size_t at = 0;
  while (at < n && strchr(" \t\r\n", s[at]) && s[at])
    at++;
  if (cli_has_ending(t->path, ".csv"))
    t->comma = ',';
  else if (cli_has_ending(t->path, ".tsv"))
    t->comma = '\t';
  else if (cli_has_ending(t->path, ".jsonl") || cli_has_ending(t->path, ".ndjson"))
    t->json = true;
  else if (!cli_has_ending(t->path, ".txt") && at < n && s[at] == '{')
    t->json = true;
  else if (!cli_has_ending(t->path, ".txt") && memchr(s, '\t', first))
    t->comma = '\t';
}

static bool is_label(const lrp_model *model, const char *s, size_t n)
{
  const lrp_model_info *m = lrp_model_about(model);
  for (int64_t i = 0; m->labels && i < m->n_label; i++) {
    char number[32];
    snprintf(number, sizeof number, "%lld", (long long)i);
    if (m->labels[i] && strlen(m->labels[i]) == n && !memcmp(m->labels[i], s, n)) return true;
    if (strlen(number) == n && !memcmp(number, s, n)) return true;
  }
  return false;
}

static bool name_column(text_file *t, const char *name, size_t n)
{
  t->column[t->in.columns.n] = strndup(name, n);
  return t->column[t->in.columns.n++];
}

/* The names of the columns from the first record; *used: its length, where it holds names. */
static lrp_status choose_columns(lrp_ctx *ctx, text_file *t, const lrp_model *model, size_t *used)
{
  char *copy = malloc(t->n_rest + 1), *field[COLUMNS];
  size_t length[COLUMNS], record = 0;
  if (!copy) return FAIL(ctx, LRP_E_NOMEM, "no memory");
  memcpy(copy, t->rest, t->n_rest);
  const int n = dataset_record(copy, t->n_rest, t->comma, field, length, COLUMNS, &record);
  bool named = false, ok = true;
  lrp_status st = LRP_OK;
  for (int i = 0; i < n; i++)
    named = named || (length[i] == 4 && !memcmp(field[i], "text", 4));
  const bool first = n > 1 && is_label(model, field[0], length[0]),
             second = n > 1 && is_label(model, field[1], length[1]);
  if (named) {
    for (int i = 0; ok && i < n; i++)
      ok = name_column(t, field[i], length[i]);
    *used = record;
  } else if (n > 1 && first != second) {
    ok = name_column(t, first ? "label" : "text", first ? 5 : 4);
    ok = ok && name_column(t, first ? "text" : "label", first ? 4 : 5);
  } else if (n <= 1) {
    ok = name_column(t, "text", 4);
  } else {
    st = FAIL(ctx, LRP_E_INPUT,
              "%s, line 1: which column is the text?  Neither a name \"text\" nor a label of the "
              "model stands there; begin the file with a line of names, such as text%slabel",
              t->path, t->comma == ',' ? "," : "<tab>");
  }
  free(copy);
  return ok ? st : FAIL(ctx, LRP_E_NOMEM, "no memory");
}

/* ---- opening ---- */

/* Lines with more than blanks; of CSV, those outside of quotes. */
static int64_t count_texts(const text_file *t)
{
  char block[1 << 14];
  int64_t n = 0;
  bool quoted = false, any = false;
  for (size_t got; (got = fread(block, 1, sizeof block, t->f)) > 0;)
    for (size_t i = 0; i < got; i++) {
      quoted = quoted != (t->comma == ',' && block[i] == '"');
      if (block[i] == '\n' && !quoted) {
        n += any;
        any = false;
      } else {
        any = any || !strchr(" \t\r\n", block[i]) || !block[i];
      }
    }
  return n + any;
}

static lrp_status begin(lrp_ctx *ctx, text_file *t, const lrp_model *model)
{
  size_t used = 0;
  const bool seeks = !fseek(t->f, 0, SEEK_CUR);
  char *first = NULL;
  size_t n_first = 0;
  lrp_status st = read_part(ctx, t, &first, &n_first); /* also finds out that it is a folder */
  if (st) return st;
  char *behind = t->rest; /* the beginning of a record that the first part does not end */
  const size_t n_behind = t->n_rest;
  t->rest = first;
  t->n_rest = n_first;
  if (t->n_rest >= 3 && !memcmp(t->rest, "\xef\xbb\xbf", 3)) {
    memmove(t->rest, t->rest + 3, t->n_rest -= 3);
    used = 3;
  }
  if (t->n_rest) choose_format(t, t->rest, t->n_rest);
  size_t header = 0;
  if (seeks && t->n_rest) {
    rewind(t->f);
    t->n = count_texts(t);
  }
  if (t->comma && t->n_rest) st = choose_columns(ctx, t, model, &header);
  t->n -= header > 0 && t->n > 0;
  if (!st && !seeks) {
    t->line += lines_of(t->rest, header);
    memmove(t->rest, t->rest + header, t->n_rest -= header);
    if (n_behind && !grow(&t->rest, t->n_rest, n_behind))
      st = FAIL(ctx, LRP_E_NOMEM, "%s: no memory", t->path);
    else if (n_behind)
      memcpy(t->rest + t->n_rest, behind, n_behind), t->n_rest += n_behind;
  }
  free(behind);
  if (st || !seeks) return st;
  t->line += header ? lines_of(t->rest, header) : 0; /* from here on again, now that it is known */
  free(t->rest);
  t->rest = NULL;
  t->n_rest = 0;
  t->ended = fseek(t->f, (long)(used + header), SEEK_SET) != 0;
  clearerr(t->f);
  return LRP_OK;
}

lrp_status texts_open(lrp_ctx *ctx, const char *path, const lrp_model *model, text_file **out)
{
  text_file *t = calloc(1, sizeof *t);
  *out = NULL;
  if (!t) return FAIL(ctx, LRP_E_NOMEM, "no memory");
  t->line = 1;
  t->path = strdup(path);
  t->in.kind = INPUT_TABLE;
  t->in.limit = t->in.offset = t->in.shuffle = -1;
  t->f = t->path ? fopen(path, "rb") : NULL;
  lrp_status st = !t->path ? FAIL(ctx, LRP_E_NOMEM, "no memory")
                  : !t->f  ? FAIL(ctx, LRP_E_INPUT, "%s: %s", path, strerror(errno))
                           : begin(ctx, t, model);
  union {
    char **in;
    const char **out;
  } cast = {t->column};
  t->in.columns.item = cast.out;
  if (st)
    texts_close(t);
  else
    *out = t;
  return st;
}

int64_t texts_count(const text_file *t)
{
  return t->n;
}

void texts_close(text_file *t)
{
  if (!t) return;
  for (int i = 0; i < COLUMNS; i++)
    free(t->column[i]);
  if (t->f) fclose(t->f);
  free(t->rest);
  free(t->path);
  free(t);
}
