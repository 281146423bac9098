/* lrpsql_aggregate.c - SQL aggregates: median(x), and the bootstrap interval of the mean,
 * bootstrap_lo(x [, level [, seed]]) and bootstrap_hi().  NULLs and what is no number are left
 * out. */
#include "lrpsql.h"
#include "stat.h"
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#ifdef LRPSQL_MODULE
SQLITE_EXTENSION_INIT3
#endif

typedef struct sample { /* zeroed by SQLite before the first step */
  double *v;
  size_t n, room;
  double level;
  uint64_t seed;
} sample;

static bool is_number(sqlite3_value *value)
{
  return sqlite3_value_type(value) == SQLITE_INTEGER || sqlite3_value_type(value) == SQLITE_FLOAT;
}

static bool add(sample *s, double x)
{
  if (s->n == s->room) {
    const size_t room = s->room ? 2 * s->room : 64;
    double *grown =
        room < SIZE_MAX / (2 * sizeof *grown) ? realloc(s->v, room * sizeof *grown) : NULL;
    if (!grown) return false;
    s->v = grown;
    s->room = room;
  }
  s->v[s->n++] = x;
  return true;
}

static void step(sqlite3_context *c, int n_arg, sqlite3_value **arg)
{
  if (!is_number(arg[0])) return;
  sample *s = sqlite3_aggregate_context(c, sizeof *s);
  if (!s || !add(s, sqlite3_value_double(arg[0]))) {
    sqlite3_result_error_nomem(c);
    return;
  }
  if (s->n > 1) return; /* the first row says how */
  s->level = n_arg > 1 ? is_number(arg[1]) ? sqlite3_value_double(arg[1]) : (double)NAN : 0.95;
  s->seed = n_arg > 2 ? (uint64_t)sqlite3_value_int64(arg[2]) : LRP_STAT_SEED;
}

static void end_median(sqlite3_context *c)
{
  sample *s = sqlite3_aggregate_context(c, 0); /* NULL: there was no number */
  if (s && s->v) {
    sqlite3_result_double(c, lrp_stat_median(s->v, s->n));
    free(s->v);
  }
}

static void end_bootstrap(sqlite3_context *c)
{
  sample *s = sqlite3_aggregate_context(c, 0);
  double lo, hi;
  if (!s || !s->v) return;
  if (lrp_stat_bootstrap(s->v, s->n, LRP_STAT_OF_MEAN, s->level, s->seed, &lo, &hi))
    sqlite3_result_double(c, sqlite3_user_data(c) ? hi : lo);
  else
    sqlite3_result_error_nomem(c);
  free(s->v);
}

int lrp_sql_aggregates(sqlite3 *db)
{
  enum { FLAGS = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS };
  int code = sqlite3_create_function_v2(db, "median", 1, FLAGS, NULL, NULL, step, end_median, NULL);
  for (int n_arg = 1; !code && n_arg <= 3; n_arg++) {
    code = sqlite3_create_function_v2(db, "bootstrap_lo", n_arg, FLAGS, NULL, NULL, step,
                                      end_bootstrap, NULL);
    if (!code)
      code = sqlite3_create_function_v2(db, "bootstrap_hi", n_arg, FLAGS, (void *)(uintptr_t)1,
                                        NULL, step, end_bootstrap, NULL);
  }
  return code;
}
