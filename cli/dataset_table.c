/* dataset_table.c - data sets of texts: lines, CSV (RFC 4180), TSV, JSON lines; labels and
 * rationales beside them. */
#include "cli.h"
#include "dataset.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FAIL lrp_host_table()->fail
enum { MAX_COLUMN = 256 };
#define FILE_LIMIT ((size_t)1 << 32) /* 4 GiB: tables are read into memory */

lrp_status dataset_file(lrp_ctx *ctx, const char *path, char **out, size_t *n)
{
  FILE *f = fopen(path, "rb");
  size_t space = 1 << 16;
  char *s = f ? malloc(space + 1) : NULL;
  *n = 0;
  while (s) {
    const size_t got = fread(s + *n, 1, space - *n, f);
    *n += got;
    if (!got || *n > FILE_LIMIT) break;
    if (*n < space) continue;
    char *grown = realloc(s, 2 * space + 1);
    if (!grown) break;
    s = grown;
    space *= 2;
  }
  lrp_status st = LRP_OK;
  if (!f || ferror(f))
    st = FAIL(ctx, LRP_E_INPUT, "%s: %s", path, strerror(errno));
  else if (!s || !feof(f))
    st = FAIL(ctx, LRP_E_NOMEM, "%s: no memory, or larger than 4 GiB", path);
  if (f) fclose(f);
  if (st)
    free(s);
  else
    s[*n] = '\0';
  *out = st ? NULL : s;
  return st;
}

static bool blank(const char *s, size_t n)
{
  for (size_t i = 0; i < n; i++)
    if (s[i] != ' ' && s[i] != '\t' && s[i] != '\r') return false;
  return true;
}

/* One item a line; lines of blanks are passed over. */
static lrp_status add_lines(lrp_ctx *ctx, dataset *d, char *s, size_t n, int64_t line)
{
  lrp_status st = LRP_OK;
  for (size_t at = 0; !st && at < n; line++) {
    const char *end = memchr(s + at, '\n', n - at);
    size_t len = end ? (size_t)(end - s) - at : n - at;
    const size_t step = len + 1;
    if (len && s[at + len - 1] == '\r') len--;
    if (!blank(s + at, len))
      st = dataset_add(ctx, d, &(dataset_item){.text = s + at, .n_text = len, .ordinal = line});
    at += step;
  }
  return st;
}

/* Passes over a byte order mark. */
static lrp_status load(lrp_ctx *ctx, dataset *d, char **s, size_t *n)
{
  const lrp_status st = dataset_file(ctx, d->path, &d->bytes, n);
  *s = d->bytes;
  if (!st && *n >= 3 && !memcmp(*s, "\xef\xbb\xbf", 3)) {
    *s += 3;
    *n -= 3;
  }
  return st;
}

lrp_status dataset_open_lines(lrp_ctx *ctx, dataset *d)
{
  char *s;
  size_t n;
  const lrp_status st = load(ctx, d, &s, &n);
  return st ? st : add_lines(ctx, d, s, n, 1);
}

/* ---- CSV and TSV ---- */

typedef struct table {
  char *at, *end;
  char comma; /* '\t': no quotes, as IANA's TSV */
  int64_t line;
  char *field[MAX_COLUMN];
  size_t length[MAX_COLUMN];
  int n_field;
  const char *wrong;
} table;

/* A quoted field, its "" halved in place; t->at stands behind the closing quote. */
static size_t unquote(table *t, char **field)
{
  char *from = t->at + 1, *to = from;
  *field = from;
  for (; from < t->end; from++) {
    if (*from == '"' && (from + 1 == t->end || from[1] != '"')) break;
    if (*from == '"') from++;
    t->line += *from == '\n';
    *to++ = *from;
  }
  if (from >= t->end) t->wrong = "a quote is opened and not closed";
  t->at = from < t->end ? from + 1 : t->end;
  if (t->at < t->end && *t->at != t->comma && *t->at != '\n' && *t->at != '\r')
    t->wrong = "text follows a closing quote";
  return (size_t)(to - *field);
}

/* The next record; false: the file ends. */
static bool next_record(table *t)
{
  if (t->at >= t->end) return false;
  t->n_field = 0;
  t->wrong = NULL;
  for (bool more = true; more;) {
    char *field = t->at;
    size_t n = 0;
    const bool quoted = t->comma != '\t' && t->at < t->end && *t->at == '"';
    if (quoted) n = unquote(t, &field);
    char *stop = t->at;
    while (stop < t->end && *stop != t->comma && *stop != '\n')
      stop++;
    if (!quoted)
      n = (size_t)(stop - field) -
          (stop > field && stop[-1] == '\r' && (stop == t->end || *stop == '\n'));
    if (t->n_field < MAX_COLUMN) {
      t->field[t->n_field] = field;
      t->length[t->n_field++] = n;
    }
    more = stop < t->end && *stop == t->comma;
    t->at = stop < t->end ? stop + 1 : stop;
  }
  t->line++;
  return true;
}

static int find_column(const table *t, const char *name)
{
  for (int i = 0; i < t->n_field; i++)
    if (strlen(name) == t->length[i] && !memcmp(name, t->field[i], t->length[i])) return i;
  return -1;
}

/* Where text, label and rationale stand; -1: nowhere. */
static lrp_status columns_of(lrp_ctx *ctx, const experiment_input *in, dataset *d, table *t,
                             int column[3])
{
  const char *const name[3] = {d->text_key, d->label_key, d->rationale_key};
  const char *const given[3] = {in->text, in->label, in->rationale};
  if (in->columns.n > MAX_COLUMN)
    return FAIL(ctx, LRP_E_INPUT, "%s: %d columns; %d at most were expected", d->path,
                in->columns.n, MAX_COLUMN);
  if (!in->columns.n) next_record(t);
  table named = *t;
  for (int i = 0; i < in->columns.n; i++) {
    union {
      const char *in;
      char *out;
    } cast = {in->columns.item[i]};
    named.field[i] = cast.out;
    named.length[i] = strlen(cast.in);
    named.n_field = i + 1;
  }
  for (int i = 0; i < 3; i++) {
    column[i] = find_column(&named, name[i]);
    if (column[i] < 0 && (!i || given[i]))
      return FAIL(
          ctx, LRP_E_INPUT, "%s: there is no column \"%s\"; the first is \"%.*s\"%s", d->path,
          name[i], (int)(named.n_field && named.length[0] < 60 ? named.length[0] : 0),
          named.n_field ? named.field[0] : "",
          in->columns.n ? "" : "; a table without names of columns needs \"columns: [...]\"");
  }
  return LRP_OK;
}

static const char *cell(dataset *d, const table *t, int column, const char **wrong)
{
  if (column < 0 || column >= t->n_field) return NULL;
  const char *s = dataset_own(d, t->field[column], t->length[column]);
  if (!s) *wrong = "no memory";
  return s;
}

static lrp_status open_columns(lrp_ctx *ctx, const experiment_input *in, dataset *d, char *s,
                               size_t n, char comma, int64_t line_of_s)
{
  table t = {.at = s, .end = s + n, .comma = comma, .line = line_of_s};
  int column[3];
  lrp_status st = columns_of(ctx, in, d, &t, column);
  while (!st) {
    const int64_t line = t.line;
    if (!next_record(&t)) break;
    if (t.n_field == 1 && blank(t.field[0], t.length[0]) && !t.wrong) continue;
    dataset_item item = {.ordinal = line, .wrong = t.wrong};
    if (!item.wrong && column[0] >= t.n_field) item.wrong = "the column of the text is missing";
    if (!item.wrong) {
      item.text = t.field[column[0]];
      item.n_text = t.length[column[0]];
      item.label = cell(d, &t, column[1], &item.wrong);
      item.rationale = cell(d, &t, column[2], &item.wrong);
    }
    st = dataset_add(ctx, d, &item);
  }
  return st;
}

lrp_status dataset_open_table(lrp_ctx *ctx, const experiment_input *in, dataset *d)
{
  char *s;
  size_t n;
  const char *dot = strrchr(d->path, '.');
  const bool tsv = dot && !strcmp(dot, ".tsv");
  d->json = dot && (!strcmp(dot, ".jsonl") || !strcmp(dot, ".ndjson"));
  d->text_key = in->text ? in->text : "text";
  d->label_key = in->label ? in->label : "label";
  d->rationale_key = in->rationale ? in->rationale : "rationale";
  if (!tsv && !d->json && (!dot || strcmp(dot, ".csv") != 0))
    return FAIL(ctx, LRP_E_INPUT, "%s: a file that ends in .csv, .tsv or .jsonl was expected",
                d->path);
  const lrp_status st = load(ctx, d, &s, &n);
  if (st) return st;
  return d->json ? add_lines(ctx, d, s, n, 1) : open_columns(ctx, in, d, s, n, tsv ? '\t' : ',', 1);
}

lrp_status dataset_open_part(lrp_ctx *ctx, const experiment_input *in, dataset *d, size_t n,
                             char comma, int64_t line)
{
  d->text_key = "text";
  d->label_key = "label";
  d->rationale_key = "rationale";
  return comma ? open_columns(ctx, in, d, d->bytes, n, comma, line)
               : add_lines(ctx, d, d->bytes, n, line);
}

int dataset_record(char *s, size_t n, char comma, char **field, size_t *length, int most,
                   size_t *used)
{
  table t = {.at = s, .end = s + n, .comma = comma, .line = 1};
  if (!next_record(&t)) return 0;
  *used = (size_t)(t.at - s);
  for (int i = 0; i < t.n_field && i < most; i++) {
    field[i] = t.field[i];
    length[i] = t.length[i];
  }
  return t.n_field < most ? t.n_field : most;
}

/* ---- rationales: parts of the text ---- */

static lrp_status add_span(lrp_ctx *ctx, sample *out, size_t begin, size_t end)
{
  lrp_span *grown = realloc(out->rationale, (size_t)(out->n_rationale + 1) * sizeof *grown);
  if (!grown) return FAIL(ctx, LRP_E_NOMEM, "no memory");
  out->rationale = grown;
  grown[out->n_rationale++] = (lrp_span){(uint32_t)begin, (uint32_t)end};
  return LRP_OK;
}

/* Wherever the phrase stands in the text. */
static lrp_status add_phrase(lrp_ctx *ctx, sample *out, const char *phrase, size_t n)
{
  const char *text = out->input->text;
  const int64_t before = out->n_rationale;
  lrp_status st = LRP_OK;
  for (size_t i = 0; !st && n && i + n <= out->input->n_text;)
    if (!memcmp(text + i, phrase, n)) {
      st = add_span(ctx, out, i, i + n);
      i += n;
    } else {
      i++;
    }
  if (!st && n && out->n_rationale == before)
    return FAIL(ctx, LRP_E_INPUT, "rationale \"%.*s\": it does not stand in the text",
                (int)(n < 100 ? n : 100), phrase);
  return st;
}

/* "one phrase|another one" */
static lrp_status add_phrases(lrp_ctx *ctx, sample *out, const char *s)
{
  lrp_status st = LRP_OK;
  while (!st && *s) {
    const size_t n = strcspn(s, "|");
    st = add_phrase(ctx, out, s, n);
    s += n + (s[n] == '|');
  }
  return st;
}

/* The byte at which character i of UTF-8 begins; the length for the last one's end. */
static size_t byte_of(const char *s, size_t n, json_int_t i)
{
  size_t at = 0;
  for (; at < n && i > 0; i--)
    do
      at++;
    while (at < n && ((unsigned char)s[at] & 0xc0) == 0x80);
  return i ? n + 1 : at;
}

/* A phrase, or [begin, end) in characters. */
static lrp_status add_json_span(lrp_ctx *ctx, sample *out, const json_t *v)
{
  if (json_is_string(v)) return add_phrase(ctx, out, json_string_value(v), json_string_length(v));
  const json_t *b = json_array_get(v, 0), *e = json_array_get(v, 1);
  if (json_array_size(v) != 2 || !json_is_integer(b) || !json_is_integer(e) ||
      json_integer_value(b) < 0)
    return FAIL(ctx, LRP_E_INPUT,
                "rationale: phrases, or pairs [begin, end) of characters, were expected");
  const size_t begin = byte_of(out->input->text, out->input->n_text, json_integer_value(b)),
               end = byte_of(out->input->text, out->input->n_text, json_integer_value(e));
  if (begin >= end || end > out->input->n_text)
    return FAIL(ctx, LRP_E_INPUT, "rationale: characters %lld to %lld are not in the text",
                (long long)json_integer_value(b), (long long)json_integer_value(e));
  return add_span(ctx, out, begin, end);
}

static lrp_status add_json_rationale(lrp_ctx *ctx, sample *out, const json_t *v)
{
  lrp_status st = LRP_OK;
  if (!v || json_is_null(v)) return LRP_OK;
  if (json_is_string(v)) return add_phrases(ctx, out, json_string_value(v));
  if (!json_is_array(v)) return FAIL(ctx, LRP_E_INPUT, "rationale: a text or a list was expected");
  for (size_t i = 0; !st && i < json_array_size(v); i++)
    st = add_json_span(ctx, out, json_array_get(v, i));
  return st;
}

/* ---- reading one ---- */

static lrp_status read_json(lrp_ctx *ctx, const dataset *d, const dataset_item *item,
                            const lrp_model *model, sample *out)
{
  json_error_t e;
  json_t *o = json_loadb(item->text, item->n_text, JSON_REJECT_DUPLICATES, &e);
  const json_t *text = json_object_get(o, d->text_key), *label = json_object_get(o, d->label_key);
  lrp_status st;
  if (!o)
    st = FAIL(ctx, LRP_E_INPUT, "not JSON: %s at byte %d", e.text, e.position);
  else if (!json_is_string(text))
    st = FAIL(ctx, LRP_E_INPUT, "an object with a text \"%s\" was expected", d->text_key);
  else if (label && !json_is_string(label) && !json_is_integer(label) && !json_is_null(label))
    st = FAIL(ctx, LRP_E_INPUT, "\"%s\": a text or a whole number was expected", d->label_key);
  else
    st = lrp_input_text(ctx, model, json_string_value(text), json_string_length(text), &out->input);
  if (!st && json_is_string(label))
    snprintf(out->label, sizeof out->label, "%s", json_string_value(label));
  else if (!st && json_is_integer(label))
    snprintf(out->label, sizeof out->label, "%lld", (long long)json_integer_value(label));
  if (!st) st = add_json_rationale(ctx, out, json_object_get(o, d->rationale_key));
  json_decref(o);
  return st;
}

lrp_status dataset_read_text(lrp_ctx *ctx, const dataset *d, const dataset_item *item,
                             const lrp_model *model, sample *out)
{
  if (d->json) return read_json(ctx, d, item, model, out);
  lrp_status st = lrp_input_text(ctx, model, item->text, item->n_text, &out->input);
  return st || !item->rationale ? st : add_phrases(ctx, out, item->rationale);
}
