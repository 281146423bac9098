/* store.c - opens a store: judges the file before anything is written, sets it up, brings older
 * formats up to date. */
#include "lrpsql.h"
#include "schema_sql.h"
#include "store_db.h"
#include "store_tail.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char SQL_APPLICATION[] = "PRAGMA application_id";
static const char SQL_VERSION[] = "PRAGMA user_version";
static const char SQL_N_TABLE[] = "SELECT count(*) FROM sqlite_schema";
static const char SQL_JOURNAL[] = "PRAGMA journal_mode";
static const char SQL_WAL[] = "PRAGMA journal_mode=WAL";
static const char SQL_ROLLBACK_JOURNAL[] = "PRAGMA journal_mode=DELETE";
/* Under WAL a commit without fsync may be lost by a power cut, but never torn; without WAL only
 * FULL is safe. */
static const char SQL_SYNC_NORMAL[] = "PRAGMA synchronous=NORMAL";
static const char SQL_SYNC_FULL[] = "PRAGMA synchronous=FULL";
static const char SQL_SETUP[] =
    "PRAGMA foreign_keys=ON; PRAGMA temp_store=MEMORY; "
    "PRAGMA wal_autocheckpoint=4000"; /* pages: each is copied to its place less often */
/* Of new files.  Two explanations of 28 x 28 pixels fit on such a page, and pages are what a write costs. */
static const char SQL_PAGE[] = "PRAGMA page_size=8192";
/* KiB.  Queries sort and join; who only adds rows touches the ends of few tables and indexes, and
 * 64 MiB of pages would just fill up with their number, at no gain in speed. */
static const char SQL_CACHE_READ[] = "PRAGMA cache_size=-65536";
static const char SQL_CACHE_WRITE[] = "PRAGMA cache_size=-4096";
static const char SQL_BACKUP[] = "VACUUM INTO ?1";
static const char SQL_SET_VERSION[] = "PRAGMA user_version=%lld"; /* pragmas take no parameters */

/* Who writes adds at the end of tables: a small cache is enough, and one that keeps growing costs
 * more than it saves. */
static const char SQL_SETUP_WRITE[] = "PRAGMA cache_size=-8192";

/* Formats, oldest first: step i makes format i + 1 out of i.  Released steps are never changed. */
static const char *const STEPS[] = {lrp_schema_sql};
enum { FORMAT = sizeof STEPS / sizeof *STEPS };

/* ---- one value, outside of the prepared ones: pragmas that must see each change ---- */

static lrp_status ask(lrp_store *s, const char *sql, int64_t *number, char *text, size_t n)
{
  sqlite3_stmt *stmt = NULL;
  int code = sqlite3_prepare_v2(s->db, sql, -1, &stmt, NULL);
  if (!code) code = sqlite3_step(stmt);
  if (code == SQLITE_ROW) {
    const unsigned char *value = sqlite3_column_text(stmt, 0);
    if (number) *number = sqlite3_column_int64(stmt, 0);
    if (text) sqlite3_snprintf((int)n, text, "%s", value ? (const char *)value : "");
  }
  lrp_status st = code == SQLITE_ROW || code == SQLITE_DONE
                      ? LRP_OK
                      : lrp_db_fail(s->ctx, s->db, s->path, s->doing);
  sqlite3_finalize(stmt);
  return st;
}

static lrp_status execute(lrp_store *s, const char *sql)
{
  return sqlite3_exec(s->db, sql, NULL, NULL, NULL) ? lrp_db_fail(s->ctx, s->db, s->path, s->doing)
                                                    : LRP_OK;
}

static int error_of(const lrp_store *s)
{
  return sqlite3_errcode(s->db) & 0xff; /* without the details of extended codes */
}

/* ---- judging the file ---- */

/* Can a file be made at path?  SQLite's own answer names the wrong reason. */
static lrp_status check_folder(lrp_ctx *ctx, const char *path)
{
  const char *slash = strrchr(path, '/');
  const size_t n = slash ? (size_t)(slash - path) + 1 : 1;
  char *folder = malloc(n + 1);
  if (!folder) return lrp_nomem(ctx, path);
  memcpy(folder, slash ? path : ".", n);
  folder[n] = '\0';
  lrp_status st = LRP_OK;
  if (faccessat(AT_FDCWD, folder, W_OK | X_OK, AT_EACCESS))
    st = lrp_fail(ctx, LRP_E_DB,
                  "%s: a database cannot be made here: the folder %s: %s; choose another place",
                  path, folder, strerror(errno));
  free(folder);
  return st;
}

static lrp_status check_path(lrp_ctx *ctx, const char *path, int32_t mode)
{
  struct stat st;
  if (!path || !*path)
    return lrp_fail(ctx, LRP_E_DB, "the database's name is empty; the path of a file was expected");
  if (stat(path, &st)) {
    if (errno == ENOENT && mode == LRP_STORE_CREATE) return check_folder(ctx, path);
    return lrp_fail(ctx, LRP_E_DB,
                    "%s: %s; lrp explain writes a database, --db FILE names another one", path,
                    strerror(errno));
  }
  if (S_ISDIR(st.st_mode))
    return lrp_fail(ctx, LRP_E_DB, "%s: a folder; a database file was expected", path);
  if (!S_ISREG(st.st_mode))
    return lrp_fail(ctx, LRP_E_DB, "%s: a device, pipe or socket; a database file was expected",
                    path);
  if (mode != LRP_STORE_READ && faccessat(AT_FDCWD, path, W_OK, AT_EACCESS))
    return lrp_fail(ctx, LRP_E_DB,
                    "%s: cannot be written: %s; choose another place, or change its permissions",
                    path, strerror(errno));
  return LRP_OK;
}

/* *format: 0 for a file that is still empty. */
static lrp_status check_kind(lrp_store *s, int64_t *format)
{
  int64_t application = 0, n_table = 0;
  lrp_status st = ask(s, SQL_APPLICATION, &application, NULL, 0);
  if (!st) st = ask(s, SQL_VERSION, format, NULL, 0);
  if (!st) st = ask(s, SQL_N_TABLE, &n_table, NULL, 0);
  if (st) return st;
  if (application != LRP_APPLICATION_ID && (application || *format || n_table))
    return lrp_fail(s->ctx, LRP_E_DB,
                    "%s: an SQLite database, but not one of lrp (application id 0x%08" PRIx64
                    ", 0x%08x was expected); it was left as it is; choose another name",
                    s->path, (uint64_t)application & 0xffffffff, LRP_APPLICATION_ID);
  if (!n_table && s->mode != LRP_STORE_CREATE)
    return lrp_fail(s->ctx, LRP_E_DB, "%s: an empty database; lrp explain fills one", s->path);
  if (*format < 0)
    return lrp_fail(s->ctx, LRP_E_DB,
                    "%s: format %" PRId64 " does not exist; the database is damaged", s->path,
                    *format);
  if (*format > FORMAT && s->mode != LRP_STORE_READ)
    return lrp_fail(
        s->ctx, LRP_E_DB,
        "%s: format %" PRId64
        ", written by a newer lrp; this one, %s, knows formats up to %d and would damage it; "
        "install a newer lrp",
        s->path, *format, lrp_version(), FORMAT);
  if (*format > FORMAT)
    lrp_warn(s->ctx,
             "%s: format %" PRId64 ", written by a newer lrp; this one knows formats up to %d",
             s->path, *format, FORMAT);
  return LRP_OK;
}

/* ---- setting up ---- */

/* SQLite does not wait for the lock that the change to WAL needs, so we do. */
static lrp_status use_wal(lrp_store *s, int busy_ms)
{
  char mode[16] = "";
  lrp_status st = ask(s, SQL_JOURNAL, NULL, mode, sizeof mode);
  if (!st && !strcmp(mode, "wal")) return execute(s, SQL_SYNC_NORMAL);
  for (int waited = 0; !st; waited += 10) {
    st = ask(s, SQL_WAL, NULL, mode, sizeof mode);
    if (!st || error_of(s) != SQLITE_BUSY || waited >= busy_ms) break;
    nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    st = LRP_OK;
  }
  if (st) return st;
  if (!strcmp(mode, "wal")) return execute(s, SQL_SYNC_NORMAL);
  lrp_warn(s->ctx,
           "%s: this file system cannot share memory (a network folder?): slower, and one writer "
           "at a time",
           s->path);
  st = execute(s, SQL_ROLLBACK_JOURNAL);
  return st ? st : execute(s, SQL_SYNC_FULL);
}

static lrp_status back_up(lrp_store *s, int64_t format)
{
  sqlite3_stmt *stmt = NULL;
  char *name = NULL;
  for (int i = 0; i < 100; i++) { /* the first name that is free */
    sqlite3_free(name);
    name = i ? sqlite3_mprintf("%s.format%lld-%d.bak", s->path, (long long)format, i)
             : sqlite3_mprintf("%s.format%lld.bak", s->path, (long long)format);
    if (!name) return lrp_nomem(s->ctx, s->path);
    if (access(name, F_OK)) break;
  }
  s->doing = "copying the database before its format is changed";
  int code = sqlite3_prepare_v2(s->db, SQL_BACKUP, -1, &stmt, NULL);
  if (!code) code = sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
  if (!code) code = sqlite3_step(stmt);
  lrp_status st = code == SQLITE_DONE ? LRP_OK : lrp_db_fail(s->ctx, s->db, s->path, s->doing);
  sqlite3_finalize(stmt);
  if (!st) lrp_warn(s->ctx, "%s: brought up to date; the old file is kept as %s", s->path, name);
  sqlite3_free(name);
  return st;
}

static lrp_status migrate_one(lrp_store *s, const char *const *step, int64_t format)
{
  char version[48];
  int64_t now = 0;
  sqlite3_snprintf(sizeof version, version, SQL_SET_VERSION, (long long)format + 1);
  lrp_status st = lrp_sql_begin(s, "changing the database's format");
  if (st) return st;
  st = ask(s, SQL_VERSION, &now, NULL, 0); /* another program may have been faster */
  if (!st && now == format) {
    st = execute(s, step[format]);
    if (!st) st = execute(s, version);
  }
  return lrp_sql_end(s, st);
}

lrp_status lrp_store_migrate(lrp_store *s, const char *const *step, int n)
{
  int64_t format = 0;
  lrp_status st = ask(s, SQL_VERSION, &format, NULL, 0);
  if (!st && format > 0 && format < n) st = back_up(s, format);
  while (!st && format < n)
    st = migrate_one(s, step, format++);
  return st;
}

/* ---- opening ---- */

/* "file:PATH?immutable=1" with all that a URI could misread written as %XX; sqlite3_free() it. */
static char *immutable_uri(const char *path)
{
  sqlite3_str *uri = sqlite3_str_new(NULL);
  sqlite3_str_appendall(uri, "file:");
  for (const unsigned char *p = (const unsigned char *)path; *p; p++)
    if ((*p >= '0' && *p <= '9') || (*p >= 'A' && *p <= 'Z') || (*p >= 'a' && *p <= 'z') ||
        strchr("/-._~", *p))
      sqlite3_str_appendchar(uri, 1, (char)*p);
    else
      sqlite3_str_appendf(uri, "%%%02X", *p);
  sqlite3_str_appendall(uri, "?immutable=1");
  return sqlite3_str_finish(uri);
}

/* A file in a folder that may not be written: WAL would need files beside it.  Without a pending
 * log it is opened as one that cannot change. */
static lrp_status open_immutable(lrp_store *s)
{
  struct stat st;
  char *log = sqlite3_mprintf("%s-wal", s->path), *uri = immutable_uri(s->path);
  lrp_status status = LRP_E_DB;
  if (!log || !uri)
    status = lrp_nomem(s->ctx, s->path);
  else if (!stat(log, &st) && st.st_size > 0)
    lrp_fail(s->ctx, LRP_E_DB,
             "%s: its folder is read-only and %s holds changes not yet merged; copy both to "
             "another place",
             s->path, log);
  else {
    sqlite3_close(s->db);
    s->db = NULL;
    if (sqlite3_open_v2(uri, &s->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX,
                        NULL))
      lrp_db_fail(s->ctx, s->db, s->path, s->doing);
    else
      status = LRP_OK;
  }
  sqlite3_free(log);
  sqlite3_free(uri);
  return status;
}

/* The file may be a stranger's.  PRAGMA trusted_schema=OFF would be one more fence, but SQLite 3.40
 * then takes its own JSON functions and FTS5 for unsafe; nothing is lost, as our functions only
 * compute and no others are loaded. */
static void harden(lrp_store *s, int busy_ms)
{
  sqlite3_extended_result_codes(s->db, 1);
  sqlite3_busy_timeout(s->db, busy_ms);
  sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, (int *)NULL);
  sqlite3_db_config(s->db, SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, 0, (int *)NULL);
  sqlite3_db_config(s->db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, (int *)NULL);
}

/* f32_cos(), median() and their like: lrpsql.h. */
static lrp_status add_functions(lrp_store *s)
{
  return lrp_sql_functions(s->db) ? lrp_db_fail(s->ctx, s->db, s->path, s->doing) : LRP_OK;
}

static lrp_status set_up(lrp_store *s, int busy_ms)
{
  int64_t format = 0;
  harden(s, busy_ms);
  lrp_status st = check_kind(s, &format);
  if (st == LRP_E_DB && s->mode == LRP_STORE_READ &&
      (error_of(s) == SQLITE_CANTOPEN || error_of(s) == SQLITE_READONLY)) {
    st = open_immutable(s);
    harden(s, busy_ms);
    if (!st) st = check_kind(s, &format);
  }
  if (!st) st = execute(s, SQL_SETUP);
  if (!st) st = execute(s, s->mode == LRP_STORE_WRITE ? SQL_CACHE_WRITE : SQL_CACHE_READ);
  if (!st) st = add_functions(s);
  if (st || s->mode == LRP_STORE_READ) return st;
  st = execute(s, SQL_SETUP_WRITE);
  if (!st && !format) st = execute(s, SQL_PAGE);
  if (!st) st = use_wal(s, busy_ms);
  if (!st) st = lrp_store_migrate(s, STEPS, FORMAT);
  if (!st) st = lrp_store_views(s, lrp_schema_sql);
  return st ? st : lrp_tail_recover(s);
}

/* What a killed process left is stored before anybody reads; where that fails, reading goes on without it. */
static void complete(lrp_ctx *ctx, const char *path, int busy_ms)
{
  lrp_store *s;
  if (!lrp_tail_left(path)) return;
  if (lrp_store_open_within(ctx, path, LRP_STORE_WRITE, busy_ms, &s))
    lrp_warn(ctx, "%s; explanations of a killed run are not in it yet", lrp_message(ctx));
  else
    lrp_store_close(s);
}

lrp_status lrp_store_open_within(lrp_ctx *ctx, const char *path, int32_t mode, int busy_ms,
                                 lrp_store **out)
{
  static const int FLAGS[] = {[LRP_STORE_READ] = SQLITE_OPEN_READONLY,
                              [LRP_STORE_WRITE] = SQLITE_OPEN_READWRITE,
                              [LRP_STORE_CREATE] = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE};
  *out = NULL;
  if (mode < LRP_STORE_READ || mode > LRP_STORE_CREATE)
    return lrp_fail(ctx, LRP_E_ARG, "store mode %d: LRP_STORE_READ, _WRITE or _CREATE was expected",
                    (int)mode);
  lrp_status st = check_path(ctx, path, mode);
  if (st) return st;
  if (mode == LRP_STORE_READ) complete(ctx, path, busy_ms);
  lrp_store *s = calloc(1, sizeof *s);
  if (!s) return lrp_nomem(ctx, path);
  s->ctx = ctx;
  s->mode = mode;
  s->doing = "opening the database";
  s->path = malloc(strlen(path) + 1);
  if (!s->path)
    st = lrp_nomem(ctx, path);
  else {
    memcpy(s->path, path, strlen(path) + 1);
    if (sqlite3_open_v2(path, &s->db, FLAGS[mode] | SQLITE_OPEN_NOMUTEX, NULL))
      st = s->db ? lrp_db_fail(ctx, s->db, path, s->doing) : lrp_nomem(ctx, path);
    else
      st = set_up(s, busy_ms);
  }
  if (st)
    lrp_store_close(s);
  else
    *out = s;
  return st;
}

lrp_status lrp_store_open(lrp_ctx *ctx, const char *path, int32_t mode, lrp_store **out)
{
  return lrp_store_open_within(ctx, path, mode, LRP_BUSY_MS, out);
}

void lrp_store_close(lrp_store *s)
{
  if (!s) return;
  while (s->runs)
    lrp_store_run_end(s, s->runs, LRP_RUN_INTERRUPTED);
  while (s->known) {
    lrp_run *next = s->known->next;
    free(s->known);
    s->known = next;
  }
  for (int i = 0; i < s->n_prepared; i++)
    sqlite3_finalize(s->prepared[i].stmt);
  sqlite3_close(s->db);
  free(s->path);
  free(s);
}
