/* store_query.c - SQL over a store that cannot change it, nor anything else on the machine, nor run
 * for ever. */
#include "store_db.h"
#include "store_print.h"
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <utf8proc.h>

static const char SQL_QUERY_ONLY[] = "PRAGMA query_only=1";

typedef struct query {
  lrp_ctx *ctx;
  lrp_store *store;
  const char *sql;
  int64_t end_ns; /* 0: no limit */
  double seconds;
  char refused[96]; /* what the statement wanted to do */
} query;

/* ---- what is allowed ---- */

/* Pragmas that only tell; some take an argument. */
static bool tells(const char *name, const char *argument)
{
  static const struct {
    const char *name;
    bool argument;
  } known[] = {{"table_info", true},        {"table_xinfo", true},     {"table_list", true},
               {"index_list", true},        {"index_info", true},      {"index_xinfo", true},
               {"quick_check", true},       {"integrity_check", true}, {"foreign_key_list", true},
               {"foreign_key_check", true}, {"database_list", false},  {"compile_options", false},
               {"function_list", false},    {"collation_list", false}, {"module_list", false},
               {"pragma_list", false},      {"user_version", false},   {"application_id", false},
               {"schema_version", false},   {"data_version", false},   {"page_count", false},
               {"page_size", false},        {"freelist_count", false}, {"encoding", false},
               {"journal_mode", false}};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (sqlite3_stricmp(name, known[i].name) == 0) return known[i].argument || !argument;
  return false;
}

static int refuse(query *q, const char *what, const char *name)
{
  snprintf(q->refused, sizeof q->refused, "%s%s%.60s", what, name ? " " : "", name ? name : "");
  return SQLITE_DENY;
}

static bool is_schema(const char *table)
{
  return table && (!strcmp(table, "sqlite_master") || !strcmp(table, "sqlite_temp_master"));
}

/* Called by SQLite for each thing that a statement would do. */
static int authorize(void *user, int action, const char *a, const char *b, const char *schema,
                     const char *trigger)
{
  query *q = user;
  (void)schema, (void)trigger;
  switch (action) {
  case SQLITE_SELECT:
  case SQLITE_READ:
  case SQLITE_RECURSIVE:
    return SQLITE_OK;
  case SQLITE_FUNCTION:
    return b && (!sqlite3_stricmp(b, "load_extension") || !sqlite3_stricmp(b, "fts3_tokenizer"))
               ? refuse(q, "the function", b)
               : SQLITE_OK;
  case SQLITE_PRAGMA:
    return a && tells(a, b) ? SQLITE_OK : refuse(q, "PRAGMA", a);
  case SQLITE_ATTACH: /* also what VACUUM INTO does first */
    return refuse(q, "ATTACH or VACUUM", NULL);
  case SQLITE_DETACH:
    return refuse(q, "DETACH", NULL);
  case SQLITE_INSERT: /* the schema is a table too */
    return refuse(q, is_schema(a) ? "CREATE" : "INSERT", NULL);
  case SQLITE_UPDATE: /* SQLite asks so for json_each() and its like, and refuses by itself to change the schema */
    return is_schema(a) ? SQLITE_OK : refuse(q, "UPDATE", NULL);
  case SQLITE_ALTER_TABLE:
    return refuse(q, "ALTER", NULL);
  case SQLITE_DELETE:
    return refuse(q, is_schema(a) ? "DROP" : "DELETE", NULL);
  case SQLITE_TRANSACTION:
  case SQLITE_SAVEPOINT:
    return refuse(q, "a transaction", NULL);
  default:
    return refuse(q, "a change", NULL);
  }
}

static int out_of_time(void *user)
{
  const query *q = user;
  return q->end_ns && lrp_clock_ns(CLOCK_MONOTONIC) > q->end_ns;
}

/* ---- failures ---- */

/* Columns of a terminal that the text takes, where a tab is shown as \t. */
static int width_of(const char *from, const char *to)
{
  int width = 0;
  while (from < to) {
    utf8proc_int32_t c;
    const utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)from, to - from, &c);
    width += n <= 0 ? 1 : c == '\t' ? 2 : utf8proc_charwidth(c);
    from += n > 0 ? n : 1;
  }
  return width;
}

/* "SQL line 2, column 8: ..." with the line, or a long one's part, and a mark below the place. */
static lrp_status fail_at(query *q, size_t byte)
{
  enum { SHOWN = 100 };
  const char *begin = q->sql, *at = q->sql + byte;
  int line = 1, column = 1;
  for (const char *p = q->sql; p < at; p++) {
    column += ((unsigned char)*p & 0xc0) != 0x80;
    if (*p != '\n') continue;
    begin = p + 1;
    line++;
    column = 1;
  }
  if (at - begin > SHOWN) begin = at - SHOWN;
  while (begin < at && ((unsigned char)*begin & 0xc0) == 0x80)
    begin++;
  const char *end = begin + strcspn(begin, "\r\n");
  if (end - at > SHOWN) end = at + SHOWN;
  while (end > at && ((unsigned char)*end & 0xc0) == 0x80)
    end--;
  return lrp_fail(q->ctx, LRP_E_ARG, "SQL line %d, column %d: %s\n  %.*s\n  %*s^", line, column,
                  sqlite3_errmsg(q->store->db), (int)(end - begin), begin, width_of(begin, at), "");
}

/* A failure while the statement that starts at `at` was read or run. */
static lrp_status fail_query(query *q, const char *at)
{
  sqlite3 *db = q->store->db;
  if (q->refused[0])
    return lrp_fail(q->ctx, LRP_E_DB,
                    "%s is refused: a query only reads; to change a store use the sqlite3 program",
                    q->refused);
  switch (sqlite3_errcode(db) & 0xff) {
  case SQLITE_INTERRUPT:
    return lrp_fail(
        q->ctx, LRP_E_DB,
        "the query was stopped after %g s; give it more time (--timeout), or less to do",
        q->seconds);
  case SQLITE_ERROR: {
#if SQLITE_VERSION_NUMBER >= 3038000
    const int offset = sqlite3_error_offset(db);
    if (offset >= 0) return fail_at(q, (size_t)(at - q->sql) + (size_t)offset);
#endif
    (void)at;
    return lrp_fail(q->ctx, LRP_E_ARG, "SQL: %s", sqlite3_errmsg(db));
  }
  default:
    return lrp_db_fail(q->ctx, db, q->store->path, "the query");
  }
}

/* ---- running ---- */

static lrp_status run_one(query *q, sqlite3_stmt *stmt, const char *at, lrp_printer *printer)
{
  int code = SQLITE_DONE;
  if (!sqlite3_stmt_readonly(stmt))
    return lrp_fail(
        q->ctx, LRP_E_DB,
        "a change is refused: a query only reads; to change a store use the sqlite3 program");
  if (sqlite3_bind_parameter_count(stmt) > 0)
    return lrp_fail(q->ctx, LRP_E_ARG, "SQL: the parameter %s has no value; write the value itself",
                    sqlite3_bind_parameter_name(stmt, 1) ? sqlite3_bind_parameter_name(stmt, 1)
                                                         : "?");
  lrp_status st = sqlite3_column_count(stmt) ? lrp_print_head(printer, stmt) : LRP_OK;
  while (!st && (code = sqlite3_step(stmt)) == SQLITE_ROW)
    st = lrp_print_row(printer, stmt);
  if (!st && code != SQLITE_DONE) st = fail_query(q, at);
  if (!st && sqlite3_column_count(stmt)) st = lrp_print_tail(printer);
  return st;
}

static lrp_status run_all(query *q, lrp_printer *printer)
{
  lrp_status st = LRP_OK;
  int n = 0;
  for (const char *at = q->sql; !st && *at;) {
    sqlite3_stmt *stmt = NULL;
    const char *tail = NULL;
    if (sqlite3_prepare_v2(q->store->db, at, -1, &stmt, &tail)) {
      st = fail_query(q, at);
    } else if (stmt) { /* else white space or a comment */
      n++;
      st = run_one(q, stmt, at, printer);
    }
    sqlite3_finalize(stmt);
    if (!tail || tail == at) break;
    at = tail;
  }
  if (!st && !n)
    st = lrp_fail(q->ctx, LRP_E_ARG, "SQL: there is no statement in \"%.80s\"", q->sql);
  return st;
}

lrp_status lrp_store_query(lrp_ctx *ctx, const char *path, const char *sql, int32_t format,
                           double seconds, lrp_write_fn *write, void *user)
{
  query q = {.ctx = ctx, .sql = sql, .seconds = seconds};
  lrp_printer printer;
  lrp_status st = lrp_store_open(ctx, path, LRP_STORE_READ, &q.store);
  if (st) return st;
  st = lrp_print_open(&printer, ctx, format, write, user);
  if (!st && sqlite3_exec(q.store->db, SQL_QUERY_ONLY, NULL, NULL, NULL))
    st = lrp_db_fail(ctx, q.store->db, path, "the query");
  if (!st) {
    if (seconds > 0 && seconds < 1e9)
      q.end_ns = lrp_clock_ns(CLOCK_MONOTONIC) + (int64_t)(seconds * 1e9);
    sqlite3_set_authorizer(q.store->db, authorize, &q);
    sqlite3_progress_handler(q.store->db, 1000, out_of_time, &q);
    st = run_all(&q, &printer);
  }
  lrp_print_close(&printer);
  lrp_store_close(q.store);
  return st;
}
