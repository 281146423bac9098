/* pairs.c - finds the explanations of two runs, two composites or two models that speak of the same
 * input and target. */
#include "dbase.h"
#include "lrpsql.h"
#include <stdlib.h>
#include <string.h>

/* ?1 and ?2: what A and B are; %s: how an explanation is told to belong to them, and when two go
 * together.  Of several explanations of one input under one composite the latest counts. */
static const char SQL_PAIRS[] =
    "WITH s AS (\n"
    "  SELECT x.explanation_id, x.run_id, x.input_id, x.target_class AS target, "
    "ifnull(x.contrast_class, -1) AS contrast,\n"
    "    r.model_id, m.name AS model, coalesce(c.name, r.method) AS rules\n"
    "  FROM explanation x JOIN run r USING (run_id) JOIN model m USING (model_id) LEFT JOIN "
    "composite c USING (composite_id)\n"
    "  WHERE x.layer_id IS NULL AND (?3 IS NULL OR m.name = ?3 OR substr(m.sha256, 1, length(?3)) "
    "= ?3)),\n"
    "a AS MATERIALIZED (SELECT max(explanation_id) AS id, input_id, target, contrast, model_id, "
    "rules FROM s WHERE %s\n"
    "  GROUP BY input_id, target, contrast, model_id, rules),\n"
    "b AS MATERIALIZED (SELECT max(explanation_id) AS id, input_id, target, contrast, model_id, "
    "rules FROM s WHERE %s\n"
    "  GROUP BY input_id, target, contrast, model_id, rules)\n"
    "SELECT a.id, b.id, a.input_id, a.target, a.contrast FROM a JOIN b\n"
    "  ON b.input_id = a.input_id AND b.target = a.target AND b.contrast = a.contrast AND %s\n"
    "ORDER BY a.id, b.id";
static const char SQL_COUNT[] = "SELECT sum(kind = 0), sum(kind = 1), sum(kind = 2) FROM (\n"
                                "  SELECT CASE WHEN x.run_id = ?2 THEN 0 WHEN coalesce(c.name, "
                                "r.method) = ?1 THEN 1 WHEN m.name = ?1 THEN 2 END AS kind\n"
                                "  FROM explanation x JOIN run r USING (run_id) JOIN model m USING "
                                "(model_id) LEFT JOIN composite c USING (composite_id)\n"
                                "  WHERE x.layer_id IS NULL)";
static const char SQL_KNOWN[] =
    "WITH e AS (SELECT r.run_id, r.model_id, r.method, r.composite_id FROM run r\n"
    "  WHERE EXISTS (SELECT 1 FROM explanation x WHERE x.run_id = r.run_id AND x.layer_id IS NULL))\n"
    "SELECT coalesce(c.name, e.method) FROM e LEFT JOIN composite c USING (composite_id)\n"
    "UNION SELECT m.name FROM e JOIN model m USING (model_id) ORDER BY 1 LIMIT 30";
static const char SQL_RELEVANCE[] =
    "SELECT r, dtype, shape, target_value, r_sum FROM explanation WHERE explanation_id = ?1";

static int unknown(cli_db *d, const char *name)
{
  char known[1024] = "";
  int status = 0;
  sqlite3_stmt *stmt = cli_db_ask(d, SQL_KNOWN, "");
  while (cli_db_row(d, stmt, &status)) {
    const size_t n = strlen(known);
    snprintf(known + n, sizeof known - n, "%s%s", n ? ", " : "", cli_db_text(stmt, 0));
  }
  sqlite3_finalize(stmt);
  if (!*known && !status)
    cli_error("%s has no explanations; lrp explain and lrp run write them", d->path);
  else
    cli_error("%s has no explanation of \"%s\"; a run (run:1), or one of these was expected: %s",
              d->path, name, known);
  return status ? status : 2;
}

/* A run's id is a run; a name is a composite or method, else a model. */
static int side_of(cli_db *d, const char *text, cli_side *out)
{
  int status = 0;
  *out = (cli_side){.kind = CLI_SIDE_RUN, .name = text, .run = -1};
  const bool run = cli_run_id(text, &out->run);
  sqlite3_stmt *stmt = cli_db_ask(d, SQL_COUNT, "tI", text, run ? out->run : (int64_t)-1);
  if (cli_db_row(d, stmt, &status)) {
    const int64_t n[] = {sqlite3_column_int64(stmt, 0), sqlite3_column_int64(stmt, 1),
                         sqlite3_column_int64(stmt, 2)};
    out->kind = run ? CLI_SIDE_RUN : n[1] ? CLI_SIDE_RULES : CLI_SIDE_MODEL;
    out->n = n[out->kind];
  }
  sqlite3_finalize(stmt);
  if (!status && !out->n) status = unknown(d, text);
  return status;
}

static const char *condition(const cli_side *s, bool first)
{
  static const char *const TEXT[2][3] = {{"run_id = ?2", "rules = ?2", "model = ?2"},
                                         {"run_id = ?1", "rules = ?1", "model = ?1"}};
  return TEXT[first][s->kind];
}

/* Rules are compared on one model, models under one composite, runs as they are. */
static const char *together(const cli_side *a, const cli_side *b)
{
  if (a->kind == CLI_SIDE_RUN && b->kind == CLI_SIDE_RUN) return "true";
  if (a->kind == CLI_SIDE_MODEL && b->kind == CLI_SIDE_MODEL) return "b.rules = a.rules";
  return "b.model_id = a.model_id";
}

static bool add(cli_pairs *p, int64_t *room, sqlite3_stmt *row)
{
  if (p->n == *room) {
    const int64_t more = *room ? 2 * *room : 256;
    cli_pair *grown = realloc(p->pair, (size_t)more * sizeof *grown);
    if (!grown) return false;
    p->pair = grown;
    *room = more;
  }
  p->pair[p->n++] = (cli_pair){sqlite3_column_int64(row, 0), sqlite3_column_int64(row, 1),
                               sqlite3_column_int64(row, 2), sqlite3_column_int64(row, 3),
                               sqlite3_column_int64(row, 4)};
  return true;
}

static void bind_side(sqlite3_stmt *stmt, int at, const cli_side *s)
{
  if (s->kind == CLI_SIDE_RUN)
    sqlite3_bind_int64(stmt, at, s->run);
  else
    sqlite3_bind_text(stmt, at, s->name, -1, SQLITE_STATIC);
}

static int read_pairs(cli_db *d, const char *model, cli_pairs *p)
{
  int status = 0;
  int64_t room = 0;
  char *sql = sqlite3_mprintf(SQL_PAIRS, condition(&p->side[0], true),
                              condition(&p->side[1], false), together(&p->side[0], &p->side[1]));
  sqlite3_stmt *stmt = sql ? cli_db_ask(d, sql, "") : NULL;
  sqlite3_free(sql);
  if (stmt) {
    bind_side(stmt, 1, &p->side[0]);
    bind_side(stmt, 2, &p->side[1]);
    sqlite3_bind_text(stmt, 3, model, -1, SQLITE_STATIC);
  }
  while (cli_db_row(d, stmt, &status))
    if (!add(p, &room, stmt)) {
      cli_error("no memory");
      status = 1;
      break;
    }
  sqlite3_finalize(stmt);
  return status;
}

int cli_pairs_find(cli_db *d, const char *a, const char *b, const char *model, cli_pairs *out)
{
  *out = (cli_pairs){.n = 0};
  int status = side_of(d, a, &out->side[0]);
  if (!status) status = side_of(d, b, &out->side[1]);
  if (!status) status = read_pairs(d, model, out);
  if (!status && !out->n) {
    cli_error("%s: no input was explained for the same class under both %s (%lld explanations) and "
              "%s (%lld)%s%s; "
              "explain the same inputs with the same --target under both",
              d->path, a, (long long)out->side[0].n, b, (long long)out->side[1].n,
              model ? ", with the model " : "", model ? model : "");
    status = 2;
  }
  return status;
}

void cli_pairs_free(cli_pairs *p)
{
  free(p->pair);
  *p = (cli_pairs){.n = 0};
}

int cli_relevance_read(cli_db *d, sqlite3_stmt **kept, int64_t id, cli_relevance *out)
{
  int status = 0;
  if (!*kept) *kept = cli_db_ask(d, SQL_RELEVANCE, "");
  if (*kept) sqlite3_bind_int64(*kept, 1, id);
  out->n = 0;
  if (cli_db_row(d, *kept, &status)) {
    const unsigned char *blob = sqlite3_column_blob(*kept, 0);
    const size_t width = strcmp(cli_db_text(*kept, 1), "f64") ? 4 : 8,
                 n = (size_t)sqlite3_column_bytes(*kept, 0) / width;
    double *v = n > out->room ? realloc(out->v, n * sizeof *v) : out->v;
    if (n && !v) {
      cli_error("no memory");
      status = 1;
    } else {
      if (n > out->room) out->room = n;
      out->v = v;
      out->n = n;
      for (size_t i = 0; i < n; i++)
        v[i] = lrp_sql_real(blob, width, i);
      snprintf(out->shape, sizeof out->shape, "%s", cli_db_text(*kept, 2));
      out->value = sqlite3_column_double(*kept, 3);
      out->sum = sqlite3_column_double(*kept, 4);
    }
  }
  if (*kept) sqlite3_reset(*kept);
  return status;
}
