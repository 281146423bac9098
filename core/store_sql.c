/* store_sql.c - prepared statements, transactions, and a sentence for each failure of the
 * database. */
#include "store_db.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <utf8proc.h>

/* ---- failures ---- */

static lrp_status io_failure(lrp_ctx *ctx, sqlite3 *db, const char *path, const char *doing)
{
  const int error = sqlite3_system_errno(db), code = sqlite3_extended_errcode(db);
  if (!error && (code == SQLITE_IOERR_WRITE || code == SQLITE_IOERR_SHMSIZE ||
                 code == SQLITE_IOERR_TRUNCATE || code == SQLITE_IOERR_FSYNC))
    return lrp_fail(ctx, LRP_E_DB,
                    "%s: %s failed: the disk is full, or the file is larger than the system "
                    "allows; nothing of it was stored, what was there before is intact; make room "
                    "and run again",
                    path, doing);
  if (error == ENOSPC || error == EDQUOT || error == EFBIG)
    return lrp_fail(
        ctx, LRP_E_DB,
        "%s: %s failed: %s; nothing of it was stored, what was there before is intact; make room "
        "and run again",
        path, doing, strerror(error));
  return lrp_fail(ctx, LRP_E_DB, "%s: %s failed: %s (%s); nothing of it was stored", path, doing,
                  sqlite3_errmsg(db), error ? strerror(error) : "the system gives no reason");
}

static lrp_status cannot_open(lrp_ctx *ctx, sqlite3 *db, const char *path, const char *doing)
{
  const int error = sqlite3_system_errno(db);
  return lrp_fail(ctx, LRP_E_DB,
                  "%s: %s failed: %s; the file and its folder must exist and be writable", path,
                  doing, error ? strerror(error) : sqlite3_errmsg(db));
}

lrp_status lrp_db_fail(lrp_ctx *ctx, sqlite3 *db, const char *path, const char *doing)
{
  switch (sqlite3_errcode(db) & 0xff) {
  case SQLITE_NOMEM:
    return lrp_nomem(ctx, path);
  case SQLITE_BUSY:
  case SQLITE_LOCKED:
    return lrp_fail(
        ctx, LRP_E_DB,
        "%s: %s failed: another program has locked the database; wait for it to end, or end it",
        path, doing);
  case SQLITE_NOTADB:
    return lrp_fail(
        ctx, LRP_E_DB,
        "%s: not an SQLite database; a file written by lrp was expected, or a name not yet in use",
        path);
  case SQLITE_CORRUPT:
    return lrp_fail(
        ctx, LRP_E_DB,
        "%s: %s failed: the database is damaged; restore a copy, or save what can be read: "
        "sqlite3 FILE .recover | "
        "sqlite3 NEW",
        path, doing);
  case SQLITE_READONLY:
  case SQLITE_PERM:
    return lrp_fail(ctx, LRP_E_DB,
                    "%s: %s failed: the file or its folder is read-only; choose another place",
                    path, doing);
  case SQLITE_CANTOPEN:
    return cannot_open(ctx, db, path, doing);
  case SQLITE_FULL:
    return lrp_fail(
        ctx, LRP_E_DB,
        "%s: %s failed: the disk is full; nothing of it was stored, what was there before is "
        "intact; make room and "
        "run again",
        path, doing);
  case SQLITE_IOERR:
    return io_failure(ctx, db, path, doing);
  case SQLITE_TOOBIG:
    return lrp_fail(ctx, LRP_E_DB, "%s: %s failed: a value is larger than SQLite takes (1 GB)",
                    path, doing);
  default:
    return lrp_fail(ctx, LRP_E_DB, "%s: %s failed: %s", path, doing, sqlite3_errmsg(db));
  }
}

static lrp_status failed(lrp_store *s)
{
  return lrp_db_fail(s->ctx, s->db, s->path, s->doing);
}

/* ---- statements ---- */

static sqlite3_stmt *known(const lrp_store *s, const char *sql, int64_t n_row)
{
  for (int i = 0; i < s->n_prepared; i++)
    if (s->prepared[i].sql == sql && s->prepared[i].n_row == n_row) return s->prepared[i].stmt;
  return NULL;
}

/* Prepares text, known as sql from now on. */
static lrp_status prepare(lrp_store *s, const char *sql, int64_t n_row, const char *text,
                          sqlite3_stmt **out)
{
  if (s->n_prepared == LRP_SQL_MAX)
    return lrp_fail(s->ctx, LRP_E_DB, "more than %d statements", LRP_SQL_MAX);
  if (sqlite3_prepare_v3(s->db, text, -1, SQLITE_PREPARE_PERSISTENT, out, NULL)) return failed(s);
  s->prepared[s->n_prepared].sql = sql;
  s->prepared[s->n_prepared].n_row = n_row;
  s->prepared[s->n_prepared++].stmt = *out;
  return LRP_OK;
}

static lrp_status prepared(lrp_store *s, const char *sql, sqlite3_stmt **out)
{
  *out = known(s, sql, 0);
  return *out ? LRP_OK : prepare(s, sql, 0, sql, out);
}

/* To its end; *id: the first column of the first row, -1 without rows. */
static lrp_status finish(lrp_store *s, sqlite3_stmt *stmt, int code, int64_t *id)
{
  lrp_status st = LRP_OK;
  *id = -1;
  while (!code && (code = sqlite3_step(stmt)) == SQLITE_ROW) {
    if (*id < 0) *id = sqlite3_column_int64(stmt, 0);
    code = SQLITE_OK;
  }
  if (code != SQLITE_DONE) st = failed(s); /* before the reset, which may change the message */
  sqlite3_reset(stmt);
  sqlite3_clear_bindings(stmt);
  return st;
}

/* Bind one value; the values stay where they are, as statements run to their end within the
 * caller. */
static int bind_one(sqlite3_stmt *stmt, int at, char type, va_list *args)
{
  const bool used = at <= sqlite3_bind_parameter_count(stmt);
  if (type == 't') {
    const char *text = va_arg(*args, const char *);
    return used ? sqlite3_bind_text(stmt, at, text, -1, SQLITE_STATIC) : SQLITE_OK;
  }
  if (type == 's') {
    const char *text = va_arg(*args, const char *);
    size_t n = va_arg(*args, size_t);
    return used ? sqlite3_bind_text64(stmt, at, text, n, SQLITE_STATIC, SQLITE_UTF8) : SQLITE_OK;
  }
  if (type == 'b') {
    const void *data = va_arg(*args, const void *);
    size_t n = va_arg(*args, size_t);
    if (!used) return SQLITE_OK;
    return n ? sqlite3_bind_blob64(stmt, at, data, n, SQLITE_STATIC)
             : sqlite3_bind_zeroblob(stmt, at, 0);
  }
  if (type == 'r' || type == 'R') {
    double v = va_arg(*args, double);
    if (!used) return SQLITE_OK;
    return type == 'R' && isnan(v) ? sqlite3_bind_null(stmt, at) : sqlite3_bind_double(stmt, at, v);
  }
  int64_t i = va_arg(*args, int64_t);
  if (!used) return SQLITE_OK;
  return type == 'I' && i < 0 ? sqlite3_bind_null(stmt, at) : sqlite3_bind_int64(stmt, at, i);
}

static lrp_status run(lrp_store *s, const char *sql, int64_t *id, const char *types, va_list *args)
{
  sqlite3_stmt *stmt = NULL;
  lrp_status st = prepared(s, sql, &stmt);
  int code = SQLITE_OK;
  *id = -1;
  if (st) return st;
  for (int i = 0; types[i] && !code; i++)
    code = bind_one(stmt, i + 1, types[i], args);
  return finish(s, stmt, code, id);
}

lrp_status lrp_sql_do(lrp_store *s, const char *sql, const char *types, ...)
{
  int64_t ignored;
  va_list args;
  va_start(args, types);
  lrp_status st = run(s, sql, &ignored, types, &args);
  va_end(args);
  return st;
}

lrp_status lrp_sql_id(lrp_store *s, int64_t *id, const char *sql, const char *types, ...)
{
  va_list args;
  va_start(args, types);
  lrp_status st = run(s, sql, id, types, &args);
  va_end(args);
  return st;
}

lrp_status lrp_sql_insert(lrp_store *s, int64_t *id, const char *sql, const char *types, ...)
{
  int64_t ignored;
  va_list args;
  va_start(args, types);
  lrp_status st = run(s, sql, &ignored, types, &args);
  va_end(args);
  *id = !st && sqlite3_changes(s->db) ? sqlite3_last_insert_rowid(s->db) : -1;
  return st;
}

lrp_status lrp_sql_get(lrp_store *s, int64_t *id, const char *find, const char *add,
                       const char *types, ...)
{
  va_list args;
  va_start(args, types);
  lrp_status st = run(s, find, id, types, &args);
  va_end(args);
  if (st || *id >= 0) return st;
  va_start(args, types);
  st = run(s, add, id, types, &args);
  va_end(args);
  return st;
}

/* ---- many rows ---- */

enum { ROWS = 16 }; /* of a statement: more save nothing */

/* "HEAD (?,?),(?,?) TAIL" for n rows. */
static lrp_status prepared_rows(lrp_store *s, const lrp_rows *t, int64_t n, sqlite3_stmt **out)
{
  *out = known(s, t->head, n);
  if (*out) return LRP_OK;
  sqlite3_str *text = sqlite3_str_new(s->db);
  sqlite3_str_appendall(text, t->head);
  for (int64_t i = 0; i < n; i++)
    for (int32_t c = 0; c < t->n_cell; c++)
      sqlite3_str_appendall(text, c ? ",?" : i ? "),(?" : " (?");
  sqlite3_str_appendf(text, ") %s", t->tail);
  char *sql = sqlite3_str_finish(text);
  lrp_status st = sql ? prepare(s, t->head, n, sql, out) : lrp_nomem(s->ctx, "a statement");
  sqlite3_free(sql);
  return st;
}

static int bind_cell(sqlite3_stmt *stmt, int at, const lrp_bound *c)
{
  if (c->type == 'r') return sqlite3_bind_double(stmt, at, c->r);
  if (c->type == 't') return sqlite3_bind_text(stmt, at, c->text, -1, SQLITE_STATIC);
  return c->type == 'I' && c->i < 0 ? sqlite3_bind_null(stmt, at)
                                    : sqlite3_bind_int64(stmt, at, c->i);
}

static lrp_status put_rows(lrp_store *s, const lrp_rows *t, int64_t begin, int64_t n,
                           lrp_row_fn *fill, void *data)
{
  lrp_bound cell[LRP_CELL_MAX];
  sqlite3_stmt *stmt = NULL;
  int64_t ignored;
  int code = SQLITE_OK, at = 0;
  lrp_status st = prepared_rows(s, t, n, &stmt);
  for (int64_t i = 0; !st && !code && i < n; i++) {
    st = fill(data, begin + i, cell);
    for (int32_t c = 0; !st && !code && c < t->n_cell; c++)
      code = bind_cell(stmt, ++at, &cell[c]);
  }
  return st ? st : finish(s, stmt, code, &ignored);
}

lrp_status lrp_sql_rows(lrp_store *s, const lrp_rows *t, int64_t n, lrp_row_fn *fill, void *data)
{
  lrp_status st = LRP_OK;
  for (int64_t i = 0; !st && i < n; i += ROWS)
    st = put_rows(s, t, i, n - i < ROWS ? n - i : ROWS, fill, data);
  return st;
}

/* ---- transactions ---- */

static const char SQL_BEGIN[] =
    "BEGIN IMMEDIATE"; /* the lock comes first: a reader that turns writer can be refused */
static const char SQL_COMMIT[] = "COMMIT";
static const char SQL_ROLLBACK[] = "ROLLBACK";
static const char SQL_TRUST[] = "PRAGMA foreign_keys=OFF";
static const char SQL_RUN[] = "SELECT run_id FROM run WHERE run_id=?1";

/* Nobody but a user's lrp runs rm takes rows away that explanations refer to. */
static lrp_status check_runs(lrp_store *s)
{
  for (const lrp_run *r = s->runs; r; r = r->next) {
    int64_t id;
    lrp_status st = lrp_sql_id(s, &id, SQL_RUN, "i", r->id);
    if (st) return st;
    if (id < 0)
      return lrp_fail(s->ctx, LRP_E_DB,
                      "%s: %s failed: run %lld was removed by another program; run again", s->path,
                      s->doing, (long long)r->id);
  }
  return LRP_OK;
}

lrp_status lrp_sql_begin(lrp_store *s, const char *doing)
{
  s->doing = doing;
  if (s->mode == LRP_STORE_READ)
    return lrp_fail(s->ctx, LRP_E_DB, "%s: %s failed: the database was opened for reading only",
                    s->path, doing);
  if (s->grouped) return s->group_failed;
  lrp_status st = lrp_sql_do(s, SQL_BEGIN, "");
  if (!st && s->trusts) st = check_runs(s);
  if (st && !sqlite3_get_autocommit(s->db)) sqlite3_exec(s->db, SQL_ROLLBACK, NULL, NULL, NULL);
  return st;
}

lrp_status lrp_store_trust(lrp_store *s)
{
  s->trusts = true;
  return sqlite3_exec(s->db, SQL_TRUST, NULL, NULL, NULL) ? failed(s) : LRP_OK;
}

/* Inside a group a failure is only noted: it ends the whole group. */
lrp_status lrp_sql_end(lrp_store *s, lrp_status st)
{
  if (s->grouped) {
    if (!s->group_failed) s->group_failed = st;
    return st;
  }
  if (!st) st = lrp_sql_do(s, SQL_COMMIT, "");
  /* SQLite may have rolled back by itself; the failure that is told is the first one */
  if (st && !sqlite3_get_autocommit(s->db)) sqlite3_exec(s->db, SQL_ROLLBACK, NULL, NULL, NULL);
  return st;
}

lrp_status lrp_store_group_begin(lrp_store *s)
{
  lrp_status st = lrp_sql_begin(s, "storing explanations");
  s->grouped = !st;
  s->group_failed = LRP_OK;
  return st;
}

lrp_status lrp_store_group_end(lrp_store *s, lrp_status st)
{
  s->grouped = false;
  if (!st) st = s->group_failed;
  return lrp_sql_end(s, st);
}

/* ---- small things ---- */

int64_t lrp_clock_ns(int clock)
{
  struct timespec t;
  if (clock_gettime((clockid_t)clock, &t)) return 0;
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

char *lrp_shape_json(char *to, const int64_t *shape, int32_t rank)
{
  *to++ = '[';
  for (int32_t i = 0; i < rank; i++) {
    sqlite3_snprintf(22, to, i ? ",%lld" : "%lld", (long long)shape[i]);
    to += strlen(to);
  }
  *to++ = ']';
  return to;
}

static bool is_ascii(const char *s)
{
  while (*s && !(*s & 0x80))
    s++;
  return !*s;
}

const char *lrp_utf8_copy(lrp_arena *arena, const char *s)
{
  if (s && is_ascii(s)) return lrp_arena_text(arena, s, strlen(s));
  size_t n = s ? strlen(s) : 0, room;
  if (!s || !lrp_mul_size(n, 3, &room)) return NULL; /* a bad byte becomes the three of U+FFFD */
  char *out = lrp_arena_alloc(arena, room + 1), *to = out;
  for (size_t i = 0; out && i < n;) {
    utf8proc_int32_t cp;
    utf8proc_ssize_t length =
        utf8proc_iterate((const utf8proc_uint8_t *)s + i, (utf8proc_ssize_t)(n - i), &cp);
    memcpy(to, length > 0 ? s + i : "\xef\xbf\xbd", length > 0 ? (size_t)length : 3);
    to += length > 0 ? length : 3;
    i += length > 0 ? (size_t)length : 1;
  }
  return out; /* zeroed: the NUL is there */
}
