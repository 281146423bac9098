/* db_export.c - lrp db export: explanations as CSV, JSON or Markdown, their relevance as a NumPy
 * array. */
#include "dbase.h"
#include "lrpsql.h"
#include <stdlib.h>
#include <string.h>

static const char SQL_DEFAULT[] =
    "SELECT v.*, x.shape, CASE x.dtype WHEN 'f64' THEN f64_json(x.r) ELSE f32_json(x.r) END AS "
    "relevance\n"
    "FROM v_explanation v JOIN explanation x USING (explanation_id)%s ORDER BY v.explanation_id";
static const char SQL_COLUMN[] = "SELECT count(*), sum(name = 'run_id') FROM pragma_table_info(?1)";
static const char SQL_ARRAYS[] =
    "SELECT shape, count(*), min(length(r)), max(length(r)), min(dtype), max(dtype) FROM "
    "explanation\n"
    "WHERE layer_id IS NULL AND (?1 IS NULL OR run_id = ?1) GROUP BY shape ORDER BY shape LIMIT 2";
static const char SQL_ARRAY[] = "SELECT r FROM explanation WHERE layer_id IS NULL AND (?1 IS NULL "
                                "OR run_id = ?1) ORDER BY explanation_id";

/* The query for rows; NULL: a sentence was printed.  sqlite3_free() it. */
static char *rows_query(cli_db *d, const char *view, int64_t run)
{
  char where[64] = "";
  if (run > 0)
    snprintf(where, sizeof where, " WHERE %srun_id = %lld", view ? "" : "v.", (long long)run);
  if (!view) return sqlite3_mprintf(SQL_DEFAULT, where);
  int status = 0;
  int64_t n = 0, has_run = 0;
  sqlite3_stmt *stmt = cli_db_ask(d, SQL_COLUMN, "t", view);
  if (cli_db_row(d, stmt, &status)) {
    n = sqlite3_column_int64(stmt, 0);
    has_run = sqlite3_column_int64(stmt, 1);
  }
  sqlite3_finalize(stmt);
  if (!status && !n)
    cli_error("db export: there is no view or table \"%s\"; lrp sql lists them", view);
  else if (!status && run > 0 && !has_run)
    cli_error("db export: %s has no column run_id, and cannot be cut down to a run", view);
  else if (!status)
    return sqlite3_mprintf("SELECT * FROM \"%w\"%s", view, where);
  return NULL;
}

/* ---- arrays ---- */

static bool parse_shape(const char *text, lrp_tensor *t)
{
  for (const char *p = text; *p; p++) {
    if (p > text && *p == '[') return false; /* several tensors */
    if (*p >= '0' && *p <= '9') {
      char *end;
      if (t->rank == LRP_MAX_RANK) return false;
      t->shape[t->rank++] = strtoll(p, &end, 10);
      p = end - 1;
    }
  }
  return true;
}

/* Shape and element size of all that is exported: they must be the same. */
static int array_shape(cli_db *d, int64_t run, lrp_tensor *t, size_t *bytes, size_t *width)
{
  int status = 0;
  sqlite3_stmt *stmt = cli_db_ask(d, SQL_ARRAYS, "I", run);
  bool fine = false;
  *t = (lrp_tensor){.dtype = LRP_REAL, .rank = 1};
  if (cli_db_row(d, stmt, &status)) {
    t->shape[0] = sqlite3_column_int64(stmt, 1);
    *bytes = (size_t)sqlite3_column_int64(stmt, 2);
    *width = strcmp(cli_db_text(stmt, 4), "f64") ? 4 : 8;
    fine = parse_shape(cli_db_text(stmt, 0), t) &&
           sqlite3_column_int64(stmt, 3) == (sqlite3_int64)*bytes &&
           !strcmp(cli_db_text(stmt, 4), cli_db_text(stmt, 5)) && !cli_db_row(d, stmt, &status);
    if (!status && !fine)
      cli_error("db export: the explanations have relevance of different shapes, which no array "
                "holds; choose a run of one shape "
                "(--run), or FILE.json");
  } else if (!status) {
    cli_error("db export: there are no explanations%s in %s", run > 0 ? " of that run" : "",
              d->path);
  }
  sqlite3_finalize(stmt);
  return status ? status : fine ? 0 : 2;
}

static int fill(cli_db *d, int64_t run, lrp_tensor *t, size_t n, size_t bytes, size_t width)
{
  int status = 0;
  lrp_real *to = t->data;
  const lrp_real *end = to + n;
  sqlite3_stmt *stmt = cli_db_ask(d, SQL_ARRAY, "I", run);
  while (cli_db_row(d, stmt, &status)) {
    const unsigned char *r = sqlite3_column_blob(stmt, 0);
    if ((size_t)sqlite3_column_bytes(stmt, 0) != bytes ||
        to + bytes / width > end) /* written to since we counted */
      break;
    for (size_t i = 0; i < bytes / width; i++)
      *to++ = (lrp_real)lrp_sql_real(r, width, i);
  }
  sqlite3_finalize(stmt);
  if (!status && to != end) {
    cli_error("db export: the database changed meanwhile; try again");
    status = CLI_EXIT_DB;
  }
  return status;
}

static int export_npy(cli_db *d, int64_t run, const char *path)
{
  lrp_tensor t;
  size_t bytes = 0, width = 4, room, tensor_bytes;
  int status = array_shape(d, run, &t, &bytes, &width);
  if (status) return status;
  const size_t n = (size_t)t.shape[0] * (bytes / width);
  if (lrp_tensor_bytes(d->ctx, &t, &tensor_bytes) || !lrp_mul_size(n, sizeof(lrp_real), &room) ||
      room != tensor_bytes) {
    cli_error("db export: the shapes do not fit the relevance stored; lrp db check --db %s",
              d->path);
    return CLI_EXIT_DB;
  }
  t.data = malloc(room + 1);
  status = t.data ? fill(d, run, &t, n, bytes, width) : cli_fail(d->ctx, LRP_E_NOMEM);
  if (!status) {
    const lrp_status st = lrp_npy_write(d->ctx, path, &t);
    status = st ? cli_fail(d->ctx, st) : 0;
  }
  if (!status)
    cli_note("%s: relevance of %lld explanation%s, in the order of their ids", path,
             (long long)t.shape[0], cli_plural(t.shape[0]));
  free(t.data);
  return status;
}

/* ---- the command ---- */

static int32_t format_of(const char *path, int32_t other)
{
  return !path                           ? other
         : cli_has_ending(path, ".json") ? LRP_FORMAT_JSON
         : cli_has_ending(path, ".md")   ? LRP_FORMAT_MARKDOWN
                                         : LRP_FORMAT_CSV;
}

static int export(const cli_args *a, cli_db *d, int64_t run, int32_t format)
{
  const char *out = a->value[DB_O_OUT], *view = a->value[DB_O_VIEW];
  if (out && cli_has_ending(out, ".npy")) return export_npy(d, run, out);
  char *sql = rows_query(d, view, run);
  const int status = sql ? cli_db_print(d, sql, format_of(out, format), out) : 2;
  sqlite3_free(sql);
  if (!status && out) cli_note("%s written", out);
  return status;
}

int cli_db_export(const cli_args *a)
{
  const char *out = a->value[DB_O_OUT];
  int64_t run = -1;
  int32_t format;
  if (a->value[DB_O_RUN] && !cli_run_id(a->value[DB_O_RUN], &run)) {
    cli_error("db export: --run %s: the number of a run was expected, as 3; lrp runs ls lists them",
              a->value[DB_O_RUN]);
    return 2;
  }
  if (out && !cli_has_ending(out, ".csv") && !cli_has_ending(out, ".json") &&
      !cli_has_ending(out, ".md") && !cli_has_ending(out, ".npy")) {
    cli_error("db export: --output %s: a name with .csv, .json, .md or .npy was expected", out);
    return 2;
  }
  if (out && a->value[DB_O_VIEW] && cli_has_ending(out, ".npy")) {
    cli_error(
        "db export: an array holds relevance only, no --view; name a file with .csv or .json");
    return 2;
  }
  if (!cli_db_format(&CLI_DB, a->value[DB_O_FORMAT] ? a->value[DB_O_FORMAT] : "csv", &format))
    return 2;
  cli_db d = {0};
  int status = cli_db_open(&d, a->value[DB_O_DB], LRP_STORE_READ);
  if (!status) status = export(a, &d, run, format);
  cli_db_close(&d);
  return status;
}
