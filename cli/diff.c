/* diff.c - lrp diff: a regression check.  Did explanations move between two runs? */
#include "dbase.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { O_DB, O_RTOL, O_ATOL, O_WORST, O_JSON };
static const cli_option OPTIONS[] = {
    [O_DB] = {"db", 'd', "FILE", "the database ($LRP_DB, else lrp.db)"},
    [O_RTOL] = {"rtol", 0, "SHARE",
                "allowed difference as a share of the explanation's largest magnitude (1e-5)"},
    [O_ATOL] = {"atol", 0, "SIZE", "allowed difference besides (0)"},
    [O_WORST] = {"worst", 'n', "N", "show so many of the explanations that moved (10)"},
    [O_JSON] = {"json", 0, NULL, "print one JSON document"},
    {0}};
static int run_diff(const cli_command *, int argc, char **argv);
const cli_command CLI_DIFF = {
    "diff",
    "check that two runs gave the same relevance; exit status 6 if not",
    "RUN1 RUN2 [OPTION ...]",
    OPTIONS,
    -1,
    "  lrp diff run:41 run:57 --rtol 1e-5 || echo \"explanations moved\"\n"
    "  lrp diff 1 2 --json\n",
    run_diff};

/* The same input, target and place in both runs; b NULL: it is missing there.  Layers are told by
 * their name. */
static const char SQL_PAIRS[] =
    "WITH s AS (\n"
    "  SELECT x.explanation_id AS id, x.run_id, i.kind, i.sha256, i.sample, x.target_class AS "
    "target,\n"
    "    ifnull(x.contrast_class, -1) AS contrast, ifnull(l.name, '') AS layer\n"
    "  FROM explanation x JOIN input i USING (input_id) LEFT JOIN layer l ON l.layer_id = "
    "x.layer_id),\n"
    "a AS MATERIALIZED (SELECT * FROM s WHERE run_id = ?1), b AS MATERIALIZED (SELECT * FROM s "
    "WHERE run_id = ?2)\n"
    "SELECT a.id, b.id FROM a LEFT JOIN b USING (kind, sha256, sample, target, contrast, layer) "
    "ORDER BY a.id";
static const char SQL_COUNT[] = "SELECT count(*), (SELECT count(*) FROM explanation WHERE run_id = "
                                "?1) FROM run WHERE run_id = ?1";
static const char SQL_INPUT[] =
    "SELECT input, target, coalesce(layer, '') FROM v_explanation WHERE explanation_id = ?1";

typedef struct row { /* an explanation that moved */
  int64_t a, b;
  double excess;  /* largest difference as a multiple of what is allowed */
  double largest; /* difference */
  int64_t at;     /* of which element; -1: another shape */
} row;
typedef struct difference {
  cli_db d;
  int64_t run[2], n[2]; /* explanations */
  int64_t n_pair, n_moved, n_room, n_worst;
  double rtol, atol, largest; /* over all */
  row *moved;
} difference;

static int no_memory(void)
{
  cli_error("no memory");
  return 1;
}

static row compare(const difference *f, int64_t id_a, int64_t id_b, const cli_relevance *a,
                   const cli_relevance *b)
{
  row r = {.a = id_a, .b = id_b, .at = -1};
  double scale = 0;
  if (a->n != b->n || strcmp(a->shape, b->shape)) {
    r.excess = r.largest = INFINITY;
    return r;
  }
  for (size_t i = 0; i < b->n; i++)
    scale = fmax(scale, fabs(b->v[i]));
  for (size_t i = 0; i < a->n; i++) {
    const double apart = fabs(a->v[i] - b->v[i]);
    if (apart <= r.largest) continue;
    r.largest = isnan(apart) ? (double)INFINITY : apart; /* lrp stores no NaN, but others may have */
    r.at = (int64_t)i;
  }
  const double allowed = f->atol + f->rtol * scale;
  r.excess = r.largest <= allowed ? 0 : r.largest / allowed; /* infinite where nothing is allowed */
  return r;
}

static int keep(difference *f, row r)
{
  if (f->n_moved == f->n_room) {
    const int64_t room = f->n_room ? 2 * f->n_room : 64;
    row *grown = realloc(f->moved, (size_t)room * sizeof *grown);
    if (!grown) return no_memory();
    f->moved = grown;
    f->n_room = room;
  }
  f->moved[f->n_moved++] = r;
  return 0;
}

static int by_excess(const void *x, const void *y)
{
  const row *a = x, *b = y;
  if (a->excess > b->excess || a->excess < b->excess) return a->excess > b->excess ? -1 : 1;
  return (a->a > b->a) - (a->a < b->a);
}

static int compare_all(difference *f)
{
  cli_relevance a = {0}, b = {0};
  sqlite3_stmt *read = NULL, *stmt = cli_db_ask(&f->d, SQL_PAIRS, "ii", f->run[0], f->run[1]);
  int status = 0;
  while (!status && cli_db_row(&f->d, stmt, &status)) {
    const int64_t id_a = sqlite3_column_int64(stmt, 0), id_b = sqlite3_column_int64(stmt, 1);
    if (sqlite3_column_type(stmt, 1) == SQLITE_NULL) continue;
    f->n_pair++;
    status = cli_relevance_read(&f->d, &read, id_a, &a);
    if (!status) status = cli_relevance_read(&f->d, &read, id_b, &b);
    if (status) break;
    const row r = compare(f, id_a, id_b, &a, &b);
    f->largest = fmax(f->largest, r.largest);
    if (r.excess > 0) status = keep(f, r);
  }
  sqlite3_finalize(read);
  sqlite3_finalize(stmt);
  free(a.v);
  free(b.v);
  if (f->n_moved) qsort(f->moved, (size_t)f->n_moved, sizeof *f->moved, by_excess);
  return status;
}

static int count(difference *f, int side)
{
  int status = 0;
  sqlite3_stmt *stmt = cli_db_ask(&f->d, SQL_COUNT, "i", f->run[side]);
  if (cli_db_row(&f->d, stmt, &status)) {
    f->n[side] = sqlite3_column_int64(stmt, 1);
    if (!sqlite3_column_int64(stmt, 0)) {
      cli_error("%s has no run %lld; lrp runs ls lists them", f->d.path, (long long)f->run[side]);
      status = 2;
    } else if (!f->n[side]) {
      cli_error("run %lld has no explanations: there is nothing to compare",
                (long long)f->run[side]);
      status = 2;
    }
  }
  sqlite3_finalize(stmt);
  return status;
}

/* ---- what was found ---- */

static int each_worst(difference *f,
                      int (*put)(const row *, const char *input, const char *target,
                                 const char *layer, void *),
                      void *user)
{
  int status = 0;
  sqlite3_stmt *stmt = cli_db_ask(&f->d, SQL_INPUT, "");
  for (int64_t i = 0; stmt && !status && i < f->n_moved && i < f->n_worst; i++) {
    sqlite3_bind_int64(stmt, 1, f->moved[i].a);
    if (cli_db_row(&f->d, stmt, &status))
      status =
          put(&f->moved[i], cli_db_text(stmt, 0), cli_db_text(stmt, 1), cli_db_text(stmt, 2), user);
    sqlite3_reset(stmt);
  }
  sqlite3_finalize(stmt);
  return stmt ? status : CLI_EXIT_DB;
}

static int put_line(const row *r, const char *input, const char *target, const char *layer,
                    void *user)
{
  (void)user;
  printf("%10.4g %10.3g %8lld %6lld %6lld  ", r->largest, r->excess, (long long)r->at,
         (long long)r->a, (long long)r->b);
  cli_escape(stdout, target, strlen(target));
  fputs("  ", stdout);
  size_t n = strlen(input);
  if (n > 60)
    for (n = 60; n && ((unsigned char)input[n] & 0xc0) == 0x80;)
      n--;
  cli_escape(stdout, input, n);
  fputs(input[n] ? "..." : "", stdout);
  if (*layer) {
    fputs("  at ", stdout);
    cli_escape(stdout, layer, strlen(layer));
  }
  putchar('\n');
  return 0;
}

static int put_json_row(const row *r, const char *input, const char *target, const char *layer,
                        void *list)
{
  json_array_append_new(
      list, json_pack("{s:I, s:I, s:o, s:o, s:o, s:I, s:o, s:o}", "a", (json_int_t)r->a, "b",
                      (json_int_t)r->b, "difference",
                      isfinite(r->largest) ? json_real(r->largest) : json_null(), "excess",
                      isfinite(r->excess) ? json_real(r->excess) : json_null(), "layer",
                      cli_json_text(layer, strlen(layer)), "element", (json_int_t)r->at, "input",
                      cli_json_text(input, strlen(input)), "target",
                      cli_json_text(target, strlen(target))));
  return 0;
}

static int put_json(difference *f, bool same)
{
  json_t *list = json_array();
  const int status = each_worst(f, put_json_row, list);
  json_t *o = json_pack("{s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:o, s:o}", "same", same,
                        "run_a", (json_int_t)f->run[0], "run_b", (json_int_t)f->run[1], "pairs",
                        (json_int_t)f->n_pair, "only_a", (json_int_t)(f->n[0] - f->n_pair),
                        "only_b", (json_int_t)(f->n[1] - f->n_pair), "moved",
                        (json_int_t)f->n_moved, "rtol", f->rtol, "atol", f->atol, "largest",
                        isfinite(f->largest) ? json_real(f->largest) : json_null(), "worst", list);
  if (!o) return no_memory();
  cli_json_print(o);
  return status;
}

static int put_text(difference *f, bool same)
{
  printf("%lld explanation%s in both, %lld moved by more than %g + %g * largest; the largest "
         "difference is %.4g\n",
         (long long)f->n_pair, cli_plural(f->n_pair), (long long)f->n_moved, f->atol, f->rtol,
         f->largest);
  for (int side = 0; side < 2; side++)
    if (f->n[side] > f->n_pair)
      printf("%lld only in run %lld\n", (long long)(f->n[side] - f->n_pair),
             (long long)f->run[side]);
  if (same) return 0;
  if (f->n_moved)
    printf("%10s %10s %8s %6s %6s  %s\n", "difference", "x allowed", "element", "first", "second",
           "explained, input");
  return each_worst(f, put_line, NULL);
}

static int diff(difference *f, const cli_args *a)
{
  int status = cli_db_open_snapshot(&f->d, a->value[O_DB]);
  for (int side = 0; !status && side < 2; side++)
    status = count(f, side);
  if (!status) status = compare_all(f);
  if (status) return status;
  const bool same = !f->n_moved && f->n_pair == f->n[0] && f->n_pair == f->n[1];
  status = a->value[O_JSON] ? put_json(f, same) : put_text(f, same);
  return status ? status : same ? 0 : CLI_EXIT_MISSED;
}

/* ---- the command ---- */

static bool tolerance(const cli_option *o, const char *text, double *out)
{
  char *end;
  if (!text) return true;
  errno = 0;
  *out = strtod(text, &end);
  if (end != text && !*end && *out >= 0 && *out < 1e300) return true;
  cli_error("--%s %s: a number from 0 was expected", o->name, text);
  return false;
}

static bool understood(const cli_args *a, difference *f)
{
  *f = (difference){.rtol = 1e-5, .n_worst = 10};
  if (a->n_operand != 2) {
    cli_error("diff: two runs were expected, %d given: lrp diff 1 2", a->n_operand);
    return false;
  }
  for (int side = 0; side < 2; side++)
    if (!cli_run_id(a->operand[side], &f->run[side])) {
      cli_error("diff: \"%s\": a run was expected, as run:1; lrp runs ls lists them",
                a->operand[side]);
      return false;
    }
  return tolerance(&OPTIONS[O_RTOL], a->value[O_RTOL], &f->rtol) &&
         tolerance(&OPTIONS[O_ATOL], a->value[O_ATOL], &f->atol) &&
         (!a->value[O_WORST] ||
          cli_int(&OPTIONS[O_WORST], a->value[O_WORST], 0, INT32_MAX, &f->n_worst));
}

static int run_diff(const cli_command *c, int argc, char **argv)
{
  cli_args a;
  difference f;
  int status = cli_parse(c, argc, argv, &a);
  if (status) {
    status--;
  } else if (!understood(&a, &f)) {
    status = 2;
  } else {
    status = diff(&f, &a);
    free(f.moved);
    cli_db_close(&f.d);
  }
  cli_args_free(&a);
  return status;
}
