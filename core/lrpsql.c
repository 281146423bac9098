/* lrpsql.c - SQL functions on BLOBs of reals, as explanation.r is one.
 *
 * f32_x reads little-endian float32, f64_x the same of float64.  A value that is no BLOB, a length
 * that is no multiple of the element's size, two lengths that differ, and results that are
 * undefined (NaN) all give NULL.  STORE.md lists them. */
#include "lrpsql.h"
#include "stat.h"
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#ifdef LRPSQL_MODULE
SQLITE_EXTENSION_INIT1
#endif

typedef struct vector { /* a BLOB as it is */
  const unsigned char *data;
  size_t n, width;
} vector;

static size_t width_of(sqlite3_context *c)
{
  return (size_t)(uintptr_t)sqlite3_user_data(c);
}

static bool vector_of(sqlite3_context *c, sqlite3_value *value, vector *out)
{
  const size_t width = width_of(c);
  if (sqlite3_value_type(value) != SQLITE_BLOB) return false;
  const unsigned char *data =
      sqlite3_value_blob(value); /* before the length, which it may change */
  const size_t bytes = (size_t)sqlite3_value_bytes(value);
  *out = (vector){data, bytes / width, width};
  return bytes % width == 0 && (data || !bytes);
}

/* Two vectors of one length as doubles, b behind a; NULL: there are none, and the result (NULL or
 * an error) is set. */
static double *pair_of(sqlite3_context *c, sqlite3_value **arg, size_t *n)
{
  vector a, b;
  if (!vector_of(c, arg[0], &a) || !vector_of(c, arg[1], &b) || a.n != b.n || !a.n) return NULL;
  double *v = malloc(2 * a.n * sizeof *v); /* SQLite's BLOBs are below 2^31 bytes: no overflow */
  if (!v) {
    sqlite3_result_error_nomem(c);
    return NULL;
  }
  for (size_t i = 0; i < a.n; i++) {
    v[i] = lrp_sql_real(a.data, a.width, i);
    v[a.n + i] = lrp_sql_real(b.data, b.width, i);
  }
  *n = a.n;
  return v;
}

/* ---- one vector ---- */

static void f_len(sqlite3_context *c, int n_arg, sqlite3_value **arg)
{
  vector v;
  (void)n_arg;
  if (vector_of(c, arg[0], &v)) sqlite3_result_int64(c, (sqlite3_int64)v.n);
}

static void f_at(sqlite3_context *c, int n_arg, sqlite3_value **arg)
{
  vector v;
  (void)n_arg;
  if (sqlite3_value_type(arg[1]) != SQLITE_INTEGER || !vector_of(c, arg[0], &v)) return;
  const sqlite3_int64 i = sqlite3_value_int64(arg[1]);
  if (i >= 0 && (uint64_t)i < v.n)
    sqlite3_result_double(c, lrp_sql_real(v.data, v.width, (size_t)i));
}

static void f_sum(sqlite3_context *c, int n_arg, sqlite3_value **arg)
{
  vector v;
  double sum = 0;
  (void)n_arg;
  if (!vector_of(c, arg[0], &v)) return;
  for (size_t i = 0; i < v.n; i++)
    sum += lrp_sql_real(v.data, v.width, i);
  sqlite3_result_double(c, sum); /* NaN becomes NULL */
}

/* JSON knows neither NaN nor infinity: both become null.  17 digits give back any double, 9 any
 * float. */
static void f_json(sqlite3_context *c, int n_arg, sqlite3_value **arg)
{
  vector v;
  (void)n_arg;
  if (!vector_of(c, arg[0], &v)) return;
  sqlite3_str *out = sqlite3_str_new(sqlite3_context_db_handle(c));
  sqlite3_str_appendchar(out, 1, '[');
  for (size_t i = 0; i < v.n; i++) {
    const double x = lrp_sql_real(v.data, v.width, i);
    if (i) sqlite3_str_appendchar(out, 1, ',');
    if (isfinite(x))
      sqlite3_str_appendf(out, v.width == 8 ? "%!.17g" : "%!.9g", x);
    else
      sqlite3_str_appendall(out, "null");
  }
  sqlite3_str_appendchar(out, 1, ']');
  const int code = sqlite3_str_errcode(out), n = sqlite3_str_length(out);
  char *text = sqlite3_str_finish(out);
  if (code == SQLITE_TOOBIG)
    sqlite3_result_error_toobig(c);
  else if (code || !text)
    sqlite3_result_error_nomem(c);
  else {
    sqlite3_result_text(c, text, n, sqlite3_free);
    return;
  }
  sqlite3_free(text);
}

/* ---- two vectors ---- */

static void f_cos(sqlite3_context *c, int n_arg, sqlite3_value **arg)
{
  size_t n;
  double *v = pair_of(c, arg, &n);
  (void)n_arg;
  if (v) sqlite3_result_double(c, lrp_stat_cos(v, v + n, n));
  free(v);
}

static void f_spearman(sqlite3_context *c, int n_arg, sqlite3_value **arg)
{
  size_t n;
  lrp_stat_room room = {0};
  double *v = pair_of(c, arg, &n);
  (void)n_arg;
  if (v && !lrp_stat_reserve(&room, n))
    sqlite3_result_error_nomem(c);
  else if (v)
    sqlite3_result_double(c, lrp_stat_spearman(v, v + n, n, &room));
  lrp_stat_release(&room);
  free(v);
}

static void f_topk_jaccard(sqlite3_context *c, int n_arg, sqlite3_value **arg)
{
  size_t n;
  lrp_stat_room room = {0};
  (void)n_arg;
  if (sqlite3_value_type(arg[2]) != SQLITE_INTEGER || sqlite3_value_int64(arg[2]) < 1) return;
  const uint64_t k = (uint64_t)sqlite3_value_int64(arg[2]);
  double *v = pair_of(c, arg, &n);
  if (v && !lrp_stat_reserve(&room, n))
    sqlite3_result_error_nomem(c);
  else if (v)
    sqlite3_result_double(c, lrp_stat_topk_jaccard(v, v + n, n, k < n ? (size_t)k : n, &room));
  lrp_stat_release(&room);
  free(v);
}

static void f_sign_agreement(sqlite3_context *c, int n_arg, sqlite3_value **arg)
{
  size_t n;
  double *v = pair_of(c, arg, &n);
  (void)n_arg;
  if (v) sqlite3_result_double(c, lrp_stat_sign_agreement(v, v + n, n));
  free(v);
}

/* ---- registration ---- */

int lrp_sql_functions(sqlite3 *db)
{
  static const struct {
    const char *name;
    int n_arg;
    void (*call)(sqlite3_context *, int, sqlite3_value **);
  } table[] = {{"len", 1, f_len},
               {"at", 2, f_at},
               {"sum", 1, f_sum},
               {"json", 1, f_json},
               {"cos", 2, f_cos},
               {"spearman", 2, f_spearman},
               {"topk_jaccard", 3, f_topk_jaccard},
               {"sign_agreement", 2, f_sign_agreement}};
  int code = SQLITE_OK;
  for (size_t i = 0; i < sizeof table / sizeof *table; i++)
    for (size_t width = 4; !code && width <= 8; width += 4) {
      char name[32];
      sqlite3_snprintf(sizeof name, name, "f%d_%s", (int)width * 8, table[i].name);
      code = sqlite3_create_function_v2(db, name, table[i].n_arg,
                                        SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS,
                                        (void *)(uintptr_t)width, table[i].call, NULL, NULL, NULL);
    }
  if (!code) code = lrp_sql_aggregates(db);
  if (!code) code = lrp_sql_words(db);
  return code ? code : lrp_sql_each(db);
}

#ifdef LRPSQL_MODULE
/* The name that sqlite3_load_extension() looks for in lrpsql.so. */
int sqlite3_lrpsql_init(sqlite3 *db, char **message, const sqlite3_api_routines *api);
__attribute__((visibility("default"))) int sqlite3_lrpsql_init(sqlite3 *db, char **message,
                                                               const sqlite3_api_routines *api)
{
  SQLITE_EXTENSION_INIT2(api)
  const int code = lrp_sql_functions(db);
  if (code) *message = sqlite3_mprintf("lrpsql: %s", sqlite3_errmsg(db));
  return code;
}
#endif
