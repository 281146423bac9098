/* store_print.c - rows of a query as a table, CSV (RFC 4180), JSON or Markdown. */
#include "store_print.h"
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum { FLUSH_AT = 1 << 16, NUMBER_MAX = 40 };

static bool
is_grid(const lrp_printer *p) /* has aligned columns: looks at rows before it prints them */
{
  return p->format == LRP_FORMAT_TABLE || p->format == LRP_FORMAT_MARKDOWN;
}

/* ---- one value as text ---- */

/* In the C locale.  exact: the fewest digits that read back as the same number; else six. */
static void print_real(char text[NUMBER_MAX], double v, bool exact)
{
  const char *point = localeconv()->decimal_point;
  int digits = exact ? 15 : 6;
  do
    snprintf(text, NUMBER_MAX, "%.*g", digits, v);
  while (exact && ++digits <= 17 && isfinite(v) &&
         (strtod(text, NULL) < v || strtod(text, NULL) > v));
  char *found = *point && strcmp(point, ".") ? strstr(text, point) : NULL;
  if (!found) return;
  *found = '.';
  memmove(found + 1, found + strlen(point), strlen(found + strlen(point)) + 1);
}

static bool harmless(utf8proc_int32_t c)
{
  const utf8proc_category_t k = utf8proc_category(c);
  return c == 0x200d /* joins emoji */ ||
         (k != UTF8PROC_CATEGORY_CC && k != UTF8PROC_CATEGORY_CF && k != UTF8PROC_CATEGORY_CS &&
          k != UTF8PROC_CATEGORY_ZL && k != UTF8PROC_CATEGORY_ZP);
}

/* The next character as a terminal may see it; returns its bytes in s. */
static size_t visible(const char *s, size_t n, char piece[16], int *width)
{
  utf8proc_int32_t c;
  const utf8proc_ssize_t length =
      utf8proc_iterate((const utf8proc_uint8_t *)s, (utf8proc_ssize_t)n, &c);
  if (length <= 0) {
    *width = snprintf(piece, 16, "\\x%02X", (unsigned char)*s);
    return 1;
  }
  if (c == '\n' || c == '\r' || c == '\t') {
    *width = snprintf(piece, 16, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
  } else if (!harmless(c)) {
    *width = snprintf(piece, 16, "\\u{%X}", (unsigned)c);
  } else {
    snprintf(piece, 16, "%.*s", (int)length, s);
    *width = utf8proc_charwidth(c);
  }
  return (size_t)length;
}

/* Characters with a meaning in Markdown's tables. */
static const char *markdown_escape(const char *piece)
{
  switch (piece[0]) {
  case '|':
    return "\\|";
  case '<':
    return "&lt;";
  case '&':
    return "&amp;";
  default:
    return piece;
  }
}

/* Keep the first n bytes and an ellipsis. */
static void cut_off(sqlite3_str *out, int n)
{
  char *kept = sqlite3_str_value(out) ? sqlite3_mprintf("%.*s", n, sqlite3_str_value(out)) : NULL;
  sqlite3_str_reset(out);
  sqlite3_str_appendf(out, "%s\xe2\x80\xa6", kept ? kept : "");
  sqlite3_free(kept);
}

/* Text for people: escaped, and in a table cut at LRP_PRINT_COLUMNS. */
static void show_text(const lrp_printer *p, sqlite3_str *out, const char *s, size_t n, int *width)
{
  const int limit = p->format == LRP_FORMAT_TABLE ? LRP_PRINT_COLUMNS : INT32_MAX;
  char piece[16];
  int w, cut = 0, cut_width = 0; /* where the text ends if an ellipsis must follow */
  *width = 0;
  for (size_t i = 0; i < n;) {
    i += visible(s + i, n - i, piece, &w);
    if (*width + w > limit) {
      cut_off(out, cut);
      *width = cut_width + 1;
      return;
    }
    const char *written = p->format == LRP_FORMAT_MARKDOWN ? markdown_escape(piece) : piece;
    sqlite3_str_appendall(out, written);
    *width += written == piece ? w : (int)strlen(written);
    if (*width >= limit) continue;
    cut = sqlite3_str_length(out);
    cut_width = *width;
  }
}

static void csv_text(sqlite3_str *out, const char *s, size_t n)
{
  bool quoted = false;
  for (size_t i = 0; i < n && !quoted; i++)
    quoted = s[i] == ',' || s[i] == '"' || s[i] == '\n' || s[i] == '\r';
  if (quoted) sqlite3_str_appendchar(out, 1, '"');
  for (size_t i = 0; i < n; i++)
    sqlite3_str_appendchar(out, s[i] == '"' ? 2 : 1, s[i]);
  if (quoted) sqlite3_str_appendchar(out, 1, '"');
}

static void json_text(sqlite3_str *out, const char *s, size_t n)
{
  sqlite3_str_appendchar(out, 1, '"');
  for (size_t i = 0; i < n;) {
    utf8proc_int32_t c;
    const utf8proc_ssize_t length =
        utf8proc_iterate((const utf8proc_uint8_t *)s + i, (utf8proc_ssize_t)(n - i), &c);
    if (length <= 0)
      sqlite3_str_appendall(out, "\xef\xbf\xbd"); /* ill-formed: U+FFFD */
    else if (c == '"' || c == '\\')
      sqlite3_str_appendf(out, "\\%c", (int)c);
    else if (c < 0x20 || c == 0x7f || !harmless(c))
      sqlite3_str_appendf(out, c < 0x10000 ? "\\u%04x" : "\xef\xbf\xbd", (unsigned)c);
    else
      sqlite3_str_append(out, s + i, (int)length);
    i += length > 0 ? (size_t)length : 1;
  }
  sqlite3_str_appendchar(out, 1, '"');
}

static void put_text(const lrp_printer *p, sqlite3_str *out, const char *s, size_t n, int *width)
{
  if (p->format == LRP_FORMAT_CSV)
    csv_text(out, s, n);
  else if (p->format == LRP_FORMAT_JSON)
    json_text(out, s, n);
  else
    show_text(p, out, s, n, width);
}

static void put_value(const lrp_printer *p, sqlite3_str *out, sqlite3_stmt *stmt, int i,
                      lrp_cell *cell)
{
  char text[NUMBER_MAX] = "";
  switch (sqlite3_column_type(stmt, i)) {
  case SQLITE_NULL:
    sqlite3_str_appendall(out, p->format == LRP_FORMAT_JSON ? "null" : "");
    return;
  case SQLITE_INTEGER:
    snprintf(text, sizeof text, "%lld", (long long)sqlite3_column_int64(stmt, i));
    break;
  case SQLITE_FLOAT: {
    const double v = sqlite3_column_double(stmt, i);
    if (isinf(v) &&
        p->format == LRP_FORMAT_JSON) /* JSON has none: a number too large for a double */
      snprintf(text, sizeof text, "%s9e999", v < 0 ? "-" : "");
    else
      print_real(text, v, !is_grid(p));
    break;
  }
  case SQLITE_BLOB:
    snprintf(text, sizeof text, "<%d bytes>", sqlite3_column_bytes(stmt, i));
    put_text(p, out, text, strlen(text), &cell->width);
    return;
  default: {
    const char *s = (const char *)sqlite3_column_text(stmt, i);
    put_text(p, out, s ? s : "", (size_t)sqlite3_column_bytes(stmt, i), &cell->width);
    return;
  }
  }
  cell->number = true;
  cell->width = (int)strlen(text);
  sqlite3_str_appendall(out, text);
}

/* ---- writing ---- */

static lrp_status flush(lrp_printer *p, int at_least)
{
  const int n = sqlite3_str_length(p->out);
  if (sqlite3_str_errcode(p->out) == SQLITE_NOMEM) return lrp_nomem(p->ctx, "the rows of a query");
  if (sqlite3_str_errcode(p->out))
    return lrp_fail(p->ctx, LRP_E_DB, "a row of the query is too large to be printed");
  if (n <= at_least) return LRP_OK;
  const int stop = p->write(p->user, sqlite3_str_value(p->out), (size_t)n);
  sqlite3_str_reset(p->out);
  return stop ? lrp_fail(p->ctx, LRP_E_IO, "the rows of a query could not be written") : LRP_OK;
}

/* ---- aligned columns ---- */

static void put_cell(lrp_printer *p, const lrp_cell *c, int i, bool last)
{
  const int gap = p->width[i] > c->width ? p->width[i] - c->width : 0;
  const bool right = c == &p->head[i] ? p->number[i] : c->number;
  const bool pad_end = !right && (!last || p->format == LRP_FORMAT_MARKDOWN);
  if (right && gap) sqlite3_str_appendchar(p->out, gap, ' ');
  sqlite3_str_append(p->out, c->text, (int)c->n);
  if (pad_end && gap) sqlite3_str_appendchar(p->out, gap, ' ');
}

static void put_line(lrp_printer *p, const lrp_cell *cell)
{
  const bool markdown = p->format == LRP_FORMAT_MARKDOWN;
  if (markdown) sqlite3_str_appendall(p->out, "| ");
  for (int i = 0; i < p->n_col; i++) {
    if (i) sqlite3_str_appendall(p->out, markdown ? " | " : "  ");
    put_cell(p, &cell[i], i, i == p->n_col - 1);
  }
  sqlite3_str_appendall(p->out, markdown ? " |\n" : "\n");
}

static void put_rule(lrp_printer *p)
{
  const bool markdown = p->format == LRP_FORMAT_MARKDOWN;
  for (int i = 0; i < p->n_col; i++) {
    if (markdown)
      sqlite3_str_appendall(p->out, i ? " " : "| ");
    else if (i)
      sqlite3_str_appendall(p->out, "  ");
    const bool colon = markdown && p->number[i];
    sqlite3_str_appendchar(p->out, p->width[i] - (colon ? 1 : 0), '-');
    if (colon) sqlite3_str_appendchar(p->out, 1, ':');
    if (markdown) sqlite3_str_appendall(p->out, " |");
  }
  sqlite3_str_appendall(p->out, "\n");
}

/* Choose widths by the head and the rows that wait; then let them go. */
static void start_flow(lrp_printer *p)
{
  for (int i = 0; i < p->n_col; i++) {
    bool number = false, other = false;
    p->width[i] = p->head[i].width > 0 ? p->head[i].width : 1;
    if (p->format == LRP_FORMAT_MARKDOWN && p->width[i] < 3) p->width[i] = 3;
    for (int r = 0; r < p->n_wait; r++) {
      const lrp_cell *c = &p->wait[r][i];
      if (c->width > p->width[i]) p->width[i] = c->width;
      number = number || c->number;
      other = other || (!c->number && c->n);
    }
    p->number[i] = number && !other;
  }
  put_line(p, p->head);
  put_rule(p);
  for (int r = 0; r < p->n_wait; r++)
    put_line(p, p->wait[r]);
  p->n_wait = 0;
  p->flowing = true;
}

/* The cells of a row, or of the head (row false), in the arena. */
static lrp_cell *make_cells(lrp_printer *p, sqlite3_stmt *stmt, bool row)
{
  lrp_cell *cell = lrp_arena_alloc(&p->arena, (size_t)p->n_col * sizeof *cell);
  for (int i = 0; cell && i < p->n_col; i++) {
    sqlite3_str *text = sqlite3_str_new(NULL);
    if (row) {
      put_value(p, text, stmt, i, &cell[i]);
    } else {
      const char *name = sqlite3_column_name(stmt, i);
      put_text(p, text, name ? name : "", name ? strlen(name) : 0, &cell[i].width);
    }
    const bool good = !sqlite3_str_errcode(text);
    cell[i].n = (size_t)sqlite3_str_length(text);
    char *made = sqlite3_str_finish(text);
    cell[i].text = good ? lrp_arena_text(&p->arena, made ? made : "", cell[i].n) : NULL;
    sqlite3_free(made);
    if (!cell[i].text) return NULL;
  }
  return cell;
}

static lrp_status grid_row(lrp_printer *p, sqlite3_stmt *stmt)
{
  const lrp_mark mark = lrp_arena_mark(&p->arena);
  lrp_cell *cell = make_cells(p, stmt, true);
  if (!cell) return lrp_nomem(p->ctx, "the rows of a query");
  if (!p->flowing) {
    p->wait[p->n_wait++] = cell;
    if (p->n_wait < LRP_PRINT_ROWS && p->arena.used < LRP_PRINT_BYTES) return LRP_OK;
    start_flow(p);
    return LRP_OK;
  }
  put_line(p, cell);
  lrp_arena_release(&p->arena, mark);
  return LRP_OK;
}

/* ---- CSV and JSON ---- */

static void plain_names(lrp_printer *p, sqlite3_stmt *stmt)
{
  for (int i = 0; i < p->n_col; i++) {
    const char *name = sqlite3_column_name(stmt, i);
    if (i) sqlite3_str_appendchar(p->out, 1, ',');
    csv_text(p->out, name ? name : "", name ? strlen(name) : 0);
  }
  sqlite3_str_appendchar(p->out, 1, '\n');
}

static void plain_row(lrp_printer *p, sqlite3_stmt *stmt)
{
  const bool json = p->format == LRP_FORMAT_JSON;
  lrp_cell ignored;
  if (json) sqlite3_str_appendall(p->out, p->n_row ? ",\n {" : "\n {");
  for (int i = 0; i < p->n_col; i++) {
    const char *name = sqlite3_column_name(stmt, i);
    if (i) sqlite3_str_appendchar(p->out, 1, ',');
    if (json) {
      json_text(p->out, name ? name : "", name ? strlen(name) : 0);
      sqlite3_str_appendchar(p->out, 1, ':');
    }
    put_value(p, p->out, stmt, i, &ignored);
  }
  sqlite3_str_appendall(p->out, json ? "}" : "\n");
}

/* ---- the calls ---- */

lrp_status lrp_print_open(lrp_printer *p, lrp_ctx *ctx, int32_t format, lrp_write_fn *write,
                          void *user)
{
  *p = (lrp_printer){.ctx = ctx, .format = format, .write = write, .user = user};
  if (format < LRP_FORMAT_TABLE || format > LRP_FORMAT_MARKDOWN)
    return lrp_fail(ctx, LRP_E_ARG,
                    "format %d: LRP_FORMAT_TABLE, _CSV, _JSON or _MARKDOWN was expected",
                    (int)format);
  p->out = sqlite3_str_new(NULL);
  return LRP_OK;
}

lrp_status lrp_print_head(lrp_printer *p, sqlite3_stmt *stmt)
{
  lrp_arena_free(&p->arena);
  p->n_col = sqlite3_column_count(stmt);
  p->n_row = p->n_wait = 0;
  p->flowing = false;
  if (p->n_statement++ && p->format != LRP_FORMAT_JSON) sqlite3_str_appendchar(p->out, 1, '\n');
  if (p->format == LRP_FORMAT_CSV) plain_names(p, stmt);
  if (p->format == LRP_FORMAT_JSON) sqlite3_str_appendchar(p->out, 1, '[');
  if (!is_grid(p)) return LRP_OK;
  p->width = lrp_arena_alloc(&p->arena, (size_t)p->n_col * sizeof *p->width);
  p->number = lrp_arena_alloc(&p->arena, (size_t)p->n_col * sizeof *p->number);
  p->wait = lrp_arena_alloc(&p->arena, LRP_PRINT_ROWS * sizeof *p->wait);
  p->head = make_cells(p, stmt, false);
  return p->width && p->number && p->wait && p->head ? LRP_OK
                                                     : lrp_nomem(p->ctx, "the rows of a query");
}

lrp_status lrp_print_row(lrp_printer *p, sqlite3_stmt *stmt)
{
  lrp_status st = LRP_OK;
  if (is_grid(p))
    st = grid_row(p, stmt);
  else
    plain_row(p, stmt);
  p->n_row++;
  return st ? st : flush(p, FLUSH_AT);
}

lrp_status lrp_print_tail(lrp_printer *p)
{
  if (is_grid(p) && !p->flowing) start_flow(p);
  if (p->format == LRP_FORMAT_JSON) sqlite3_str_appendall(p->out, p->n_row ? "\n]\n" : "]\n");
  return flush(p, 0);
}

void lrp_print_close(lrp_printer *p)
{
  sqlite3_free(sqlite3_str_finish(p->out));
  lrp_arena_free(&p->arena);
}
