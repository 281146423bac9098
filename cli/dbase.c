/* dbase.c - opening a database for a command, and its rows. */
#include "dbase.h"
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static void warn(void *user, const char *message)
{
  (void)user;
  cli_note("lrp: %s", message);
}

const char *cli_db_path(const char *option)
{
  const char *env = getenv("LRP_DB");
  return option ? option : env && *env ? env : "lrp.db";
}

int cli_db_open(cli_db *d, const char *option, int32_t mode)
{
  *d = (cli_db){.path = cli_db_path(option)};
  if (lrp_ctx_new(&d->ctx)) {
    cli_error("no memory");
    return 1;
  }
  lrp_on_warning(d->ctx, warn, NULL);
  const lrp_status st = lrp_store_open(d->ctx, d->path, mode, &d->store);
  if (st) return cli_fail(d->ctx, st);
  d->db = d->store->db;
  return 0;
}

int cli_db_open_snapshot(cli_db *d, const char *option)
{
  const int status = cli_db_open(d, option, LRP_STORE_READ);
  return status ? status : cli_db_do(d, "reading the database", "BEGIN");
}

void cli_db_close(cli_db *d)
{
  lrp_store_close(d->store);
  lrp_ctx_free(d->ctx);
  *d = (cli_db){0};
}

int cli_db_fail(cli_db *d, const char *doing)
{
  return cli_fail(d->ctx, lrp_db_fail(d->ctx, d->db, d->path, doing));
}

sqlite3_stmt *cli_db_ask(cli_db *d, const char *sql, const char *types, ...)
{
  sqlite3_stmt *stmt = NULL;
  va_list args;
  int code = sqlite3_prepare_v2(d->db, sql, -1, &stmt, NULL);
  va_start(args, types);
  for (int i = 0; !code && types[i]; i++) {
    const int at = i + 1;
    if (types[i] == 't') {
      code = sqlite3_bind_text(stmt, at, va_arg(args, const char *), -1, SQLITE_TRANSIENT);
    } else if (types[i] == 'r') {
      code = sqlite3_bind_double(stmt, at, va_arg(args, double));
    } else {
      const int64_t v = va_arg(args, int64_t);
      code =
          types[i] == 'I' && v < 0 ? sqlite3_bind_null(stmt, at) : sqlite3_bind_int64(stmt, at, v);
    }
  }
  va_end(args);
  if (!code) return stmt;
  cli_db_fail(d, "reading the database");
  sqlite3_finalize(stmt);
  return NULL;
}

bool cli_db_row(cli_db *d, sqlite3_stmt *stmt, int *status)
{
  if (!stmt) {
    *status = CLI_EXIT_DB;
    return false;
  }
  const int code = sqlite3_step(stmt);
  if (code != SQLITE_ROW && code != SQLITE_DONE) *status = cli_db_fail(d, "reading the database");
  return code == SQLITE_ROW;
}

int cli_db_do(cli_db *d, const char *doing, const char *sql)
{
  return sqlite3_exec(d->db, sql, NULL, NULL, NULL) ? cli_db_fail(d, doing) : 0;
}

int64_t cli_db_int(cli_db *d, int *status, const char *sql)
{
  sqlite3_stmt *stmt = cli_db_ask(d, sql, "");
  const int64_t v = cli_db_row(d, stmt, status) ? sqlite3_column_int64(stmt, 0) : 0;
  sqlite3_finalize(stmt);
  return v;
}

const char *cli_db_text(sqlite3_stmt *stmt, int column)
{
  const unsigned char *text = sqlite3_column_text(stmt, column);
  return text ? (const char *)text : "";
}

static int put(void *file, const char *bytes, size_t n)
{
  return fwrite(bytes, 1, n, file) != n;
}

int cli_db_print(cli_db *d, const char *sql, int32_t format, const char *path)
{
  char *text = NULL;
  size_t n = 0;
  FILE *f = path ? open_memstream(&text, &n) : stdout;
  lrp_status st = f ? lrp_store_query(d->ctx, d->path, sql, format, 0, put, f) : LRP_E_NOMEM;
  if (path && f && (fclose(f) && !st)) st = LRP_E_NOMEM;
  if (!st && path) st = lrp_file_write(d->ctx, path, text, n);
  free(text);
  return st ? cli_fail(d->ctx, st) : 0;
}

bool cli_db_format(const cli_command *c, const char *text, int32_t *out)
{
  static const char *const NAMES[] = {[LRP_FORMAT_TABLE] = "table",
                                      [LRP_FORMAT_CSV] = "csv",
                                      [LRP_FORMAT_JSON] = "json",
                                      [LRP_FORMAT_MARKDOWN] = "markdown"};
  *out = LRP_FORMAT_TABLE;
  for (int32_t i = 0; text && i <= LRP_FORMAT_MARKDOWN; i++)
    if (!strcmp(text, NAMES[i])) {
      *out = i;
      return true;
    }
  if (text) cli_error("%s: --format %s: table, csv, json or markdown was expected", c->name, text);
  return !text;
}

bool cli_run_id(const char *text, int64_t *id)
{
  char *end;
  if (!strncmp(text, "run:", 4)) text += 4;
  errno = 0;
  const long long v = strtoll(text, &end, 10);
  *id = v;
  return !errno && *text >= '0' && *text <= '9' && !*end && v > 0;
}
