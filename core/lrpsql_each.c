/* lrpsql_each.c - the table functions f32_each(data [, ids]) and f64_each: a row for each element
 * of a BLOB, with position (from 0), value, and id, the element of the i32 BLOB ids at the same
 * place.  No rows where data is no such BLOB, or ids has another length. */
#include "lrpsql.h"
#include <stdbool.h>
#ifdef LRPSQL_MODULE
SQLITE_EXTENSION_INIT3
#endif

enum { POSITION, VALUE, ID, DATA, IDS }; /* columns; the last two are the arguments */
enum { HAS_DATA = 1, HAS_IDS = 2 };      /* bits of a plan */

typedef struct table {
  sqlite3_vtab base;
  size_t width;
} table;
typedef struct cursor {
  sqlite3_vtab_cursor base;
  sqlite3_value *data, *ids; /* own copies; NULL: not given */
  const unsigned char *real, *id;
  size_t n, at;
} cursor;

static int table_connect(sqlite3 *db, void *width, int n_arg, const char *const *arg,
                         sqlite3_vtab **out, char **message)
{
  (void)n_arg, (void)arg, (void)message;
  int code = sqlite3_declare_vtab(
      db, "CREATE TABLE x(position INTEGER, value REAL, id INTEGER, data HIDDEN, ids HIDDEN)");
  if (code) return code;
  sqlite3_vtab_config(db, SQLITE_VTAB_INNOCUOUS);
  table *t = sqlite3_malloc(sizeof *t);
  if (!t) return SQLITE_NOMEM;
  *t = (table){.width = (size_t)(uintptr_t)width};
  *out = &t->base;
  return SQLITE_OK;
}

static int table_disconnect(sqlite3_vtab *base)
{
  sqlite3_free(base);
  return SQLITE_OK;
}

/* Both arguments must be known when the scan starts. */
static int table_plan(sqlite3_vtab *base, sqlite3_index_info *plan)
{
  const int code = lrp_sql_arguments(plan, DATA, 2);
  (void)base;
  if (code) return code;
  plan->estimatedCost = plan->idxNum & HAS_DATA ? 100 : 1e30;
  plan->estimatedRows = 100;
  if (plan->nOrderBy == 1 && plan->aOrderBy[0].iColumn == POSITION && !plan->aOrderBy[0].desc)
    plan->orderByConsumed = 1;
  return SQLITE_OK;
}

static int cursor_open(sqlite3_vtab *base, sqlite3_vtab_cursor **out)
{
  (void)base;
  cursor *c = sqlite3_malloc(sizeof *c);
  if (!c) return SQLITE_NOMEM;
  *c = (cursor){.n = 0};
  *out = &c->base;
  return SQLITE_OK;
}

static void cursor_clear(cursor *c)
{
  sqlite3_value_free(c->data);
  sqlite3_value_free(c->ids);
  c->data = c->ids = NULL;
  c->real = c->id = NULL;
  c->n = c->at = 0;
}

static int cursor_close(sqlite3_vtab_cursor *base)
{
  cursor_clear((cursor *)base);
  sqlite3_free(base);
  return SQLITE_OK;
}

/* Bytes of a BLOB; false: it is none, or not a multiple of width. */
static bool bytes_of(sqlite3_value *value, size_t width, const unsigned char **data, size_t *n)
{
  if (sqlite3_value_type(value) != SQLITE_BLOB) return false;
  *data = sqlite3_value_blob(value);
  const size_t bytes = (size_t)sqlite3_value_bytes(value);
  *n = bytes / width;
  return bytes % width == 0 && (*data || !bytes);
}

static int cursor_filter(sqlite3_vtab_cursor *base, int plan, const char *text, int n_arg,
                         sqlite3_value **arg)
{
  cursor *c = (cursor *)base;
  const table *t = (const table *)base->pVtab;
  size_t n = 0, n_id = 0;
  (void)text, (void)n_arg;
  cursor_clear(c);
  if (!(plan & HAS_DATA)) return SQLITE_OK;
  c->data = sqlite3_value_dup(arg[0]);
  if (plan & HAS_IDS) c->ids = sqlite3_value_dup(arg[1]);
  if (!c->data || ((plan & HAS_IDS) && !c->ids)) return SQLITE_NOMEM;
  if (!bytes_of(c->data, t->width, &c->real, &n)) return SQLITE_OK;
  if (c->ids && (!bytes_of(c->ids, 4, &c->id, &n_id) || n_id != n)) return SQLITE_OK;
  c->n = n;
  return SQLITE_OK;
}

static int cursor_next(sqlite3_vtab_cursor *base)
{
  ((cursor *)base)->at++;
  return SQLITE_OK;
}

static int cursor_eof(sqlite3_vtab_cursor *base)
{
  const cursor *c = (const cursor *)base;
  return c->at >= c->n;
}

static int32_t id_at(const unsigned char *ids, size_t i)
{
  const unsigned char *p = ids + 4 * i;
  const uint32_t bits =
      (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
  int32_t id;
  memcpy(&id, &bits, sizeof id);
  return id;
}

static int cursor_column(sqlite3_vtab_cursor *base, sqlite3_context *out, int column)
{
  const cursor *c = (const cursor *)base;
  const table *t = (const table *)base->pVtab;
  if (column == POSITION)
    sqlite3_result_int64(out, (sqlite3_int64)c->at);
  else if (column == VALUE)
    sqlite3_result_double(out, lrp_sql_real(c->real, t->width, c->at));
  else if (column == ID && c->id)
    sqlite3_result_int(out, id_at(c->id, c->at));
  else if (column == DATA)
    sqlite3_result_value(out, c->data);
  else if (column == IDS && c->ids)
    sqlite3_result_value(out, c->ids);
  return SQLITE_OK;
}

static int cursor_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *out)
{
  *out = (sqlite3_int64)((const cursor *)base)->at;
  return SQLITE_OK;
}

int lrp_sql_each(sqlite3 *db)
{
  static const sqlite3_module module = {
      /* no xCreate: a function, not a table that can be made */
      .xConnect = table_connect, .xBestIndex = table_plan, .xDisconnect = table_disconnect,
      .xOpen = cursor_open,      .xClose = cursor_close,   .xFilter = cursor_filter,
      .xNext = cursor_next,      .xEof = cursor_eof,       .xColumn = cursor_column,
      .xRowid = cursor_rowid};
  const int code = sqlite3_create_module_v2(db, "f32_each", &module, (void *)(uintptr_t)4, NULL);
  return code ? code
              : sqlite3_create_module_v2(db, "f64_each", &module, (void *)(uintptr_t)8, NULL);
}
