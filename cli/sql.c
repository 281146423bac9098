/* sql.c - lrp sql: questions to a database of explanations. */
#include "cli.h"
#include "lrp/store.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { O_DB, O_FORMAT, O_TIMEOUT, O_SHOW, O_CLASS };
enum { TIMEOUT_S = 60, STDIN_MAX = 16 << 20 };
static const cli_option OPTIONS[] = {
    [O_DB] = {"db", 'd', "FILE", "the database ($LRP_DB, else lrp.db)"},
    [O_FORMAT] = {"format", 'f', "FORMAT", "table (default), csv, json or markdown"},
    [O_TIMEOUT] = {"timeout", 't', "SECONDS", "stop a query after so long (60; 0: never)"},
    [O_SHOW] = {"show", 0, NULL, "print the SQL of a named query instead of its rows"},
    [O_CLASS] = {"class", 'c', "CLASS", "of a named query: only this class, a label or an index"},
    {0}};
static int run_sql(const cli_command *c, int argc, char **argv);
const cli_command CLI_SQL = {"sql",
                             "ask the database of explanations",
                             "[QUERY | @NAME [A B] | -] [OPTION ...]",
                             OPTIONS,
                             -1,
                             "  lrp sql                                   what can be asked\n"
                             "  lrp sql @top-words --class spam\n"
                             "  lrp sql @disagreement epsilon gradient\n"
                             "  lrp sql \"SELECT * FROM v_explanation\" --format csv\n"
                             "  lrp sql @leaks --show\n"
                             "  lrp sql - < question.sql\n",
                             run_sql};

/* ---- named queries ---- */

/* The first sentence of the comment that begins each table and view. */
static const char SQL_TABLES[] = "WITH c AS (\n"
                                 "  SELECT name, type, substr(sql, instr(sql, '--') + 3) || "
                                 "char(10) AS comment FROM sqlite_schema\n"
                                 "  WHERE type IN ('table', 'view') AND instr(sql, '--') AND name "
                                 "NOT LIKE 'input\\_fts%' ESCAPE '\\'),\n"
                                 "l AS (SELECT name, type, substr(comment, 1, instr(comment, "
                                 "char(10)) - 1) || '  ' AS line FROM c)\n"
                                 "SELECT name, type, substr(line, 1, instr(line, '  ') - 1) AS "
                                 "meaning FROM l ORDER BY type DESC, name";

static const struct {
  const char *name, *doc, *sql;
} NAMED[] = {
    {"explanations", "the latest explanations",
     "SELECT explanation_id AS id, input, label, predicted, round(probability, 4) AS probability, "
     "target, composite,\n"
     "  value, sum, residual\n"
     "FROM v_explanation ORDER BY explanation_id DESC LIMIT 50"},
    {"top-words", "the ten words that speak most for each class, over all texts (--class: for one)",
     "SELECT m.name AS model, coalesce(k.label, CAST(t.target_class AS TEXT)) AS class, "
     "coalesce(c.name, t.method) AS composite,\n"
     "  t.word, t.relevance, t.n\n"
     "FROM top_words(10) t CROSS JOIN model m USING (model_id) LEFT JOIN composite c USING "
     "(composite_id)\n"
     "  LEFT JOIN class k ON k.model_id = t.model_id AND k.class_index = t.target_class\n"
     "WHERE :class IS NULL OR k.label = :class OR CAST(t.target_class AS TEXT) = :class\n"
     "ORDER BY m.name, t.target_class, composite, t.relevance DESC"},
    {"shortcut-words",
     "words that are the strongest ones in wrong predictions, where true labels are known",
     "WITH x AS ( -- a text counts once under the same model and rules, by the latest run\n"
     "  SELECT x.explanation_id, row_number() OVER (PARTITION BY x.input_id, x.target_class, "
     "r.model_id,\n"
     "    r.composite_id, r.method ORDER BY x.run_id DESC) AS age\n"
     "  FROM explanation x JOIN run r USING (run_id) JOIN input i USING (input_id)\n"
     "  WHERE x.layer_id IS NULL AND x.contrast_class IS NULL AND i.true_label IS NOT NULL),\n"
     "t AS (\n"
     "  SELECT v.explanation_id, v.run_id, v.input_id, v.composite, v.target_class, v.word, "
     "v.relevance,\n"
     "    row_number() OVER (PARTITION BY v.explanation_id ORDER BY v.relevance DESC) AS place\n"
     "  FROM v_word v JOIN x USING (explanation_id) WHERE x.age = 1)\n"
     "SELECT coalesce(k.label, CAST(t.target_class AS TEXT)) AS predicted, t.composite, "
     "lower(t.word) AS word,\n"
     "  sum(i.true_label <> coalesce(k.label, CAST(t.target_class AS TEXT))) AS wrong, count(*) AS "
     "n,\n"
     "  avg(t.relevance) AS relevance\n"
     "FROM t JOIN input i USING (input_id) JOIN run r USING (run_id)\n"
     "  JOIN prediction p ON p.run_id = t.run_id AND p.input_id = t.input_id AND p.predicted = "
     "t.target_class\n"
     "  LEFT JOIN class k ON k.model_id = r.model_id AND k.class_index = t.target_class\n"
     "WHERE t.place = 1 AND (:class IS NULL OR k.label = :class OR CAST(t.target_class AS TEXT) = "
     ":class)\n"
     "GROUP BY 1, 2, 3 HAVING wrong > 0 ORDER BY wrong DESC, n, word LIMIT 30"},
    {"disagreement", "A B: the inputs on which two composites (or methods) agree least",
     "SELECT CASE x.dtype WHEN 'f64' THEN f64_cos(p.ra, p.rb) ELSE f32_cos(p.ra, p.rb) END AS "
     "cosine,\n"
     "  CASE x.dtype WHEN 'f64' THEN f64_topk_jaccard(p.ra, p.rb, 5) ELSE f32_topk_jaccard(p.ra, "
     "p.rb, 5) END AS top5,\n"
     "  p.a, p.b, v.target, v.input\n"
     "FROM v_pair p JOIN v_explanation v ON v.explanation_id = p.a JOIN explanation x ON "
     "x.explanation_id = p.a\n"
     "WHERE p.rule_a = :a AND p.rule_b = :b AND length(p.ra) = length(p.rb)\n"
     "ORDER BY cosine IS NULL, cosine LIMIT 20"},
    {"agreement",
     "how alike the relevance of every two composites (or methods) is: means over all inputs and "
     "targets of a model",
     "WITH s AS (\n"
     "  SELECT max(x.explanation_id) AS id, x.input_id, x.target_class AS t, "
     "ifnull(x.contrast_class, -1) AS o,\n"
     "    r.model_id, r.composite_id, r.method\n"
     "  FROM explanation x JOIN run r USING (run_id) WHERE x.layer_id IS NULL GROUP BY 2, 3, 4, 5, "
     "6, 7),\n"
     "p AS (\n"
     "  SELECT a.model_id, a.composite_id AS ca, a.method AS ma, b.composite_id AS cb, b.method AS "
     "mb,\n"
     "    CASE x.dtype WHEN 'f64' THEN f64_cos(x.r, y.r) ELSE f32_cos(x.r, y.r) END AS cosine,\n"
     "    CASE x.dtype WHEN 'f64' THEN f64_spearman(x.r, y.r) ELSE f32_spearman(x.r, y.r) END AS "
     "spearman\n"
     "  FROM s a JOIN s b ON b.input_id = a.input_id AND b.t = a.t AND b.o = a.o AND b.model_id = "
     "a.model_id\n"
     "      AND (ifnull(b.composite_id, -1), b.method) > (ifnull(a.composite_id, -1), a.method)\n"
     "    CROSS JOIN explanation x ON x.explanation_id = a.id CROSS JOIN explanation y ON "
     "y.explanation_id = b.id)\n"
     "SELECT m.name AS model, coalesce(ka.name, p.ma) AS rule_a, coalesce(kb.name, p.mb) AS "
     "rule_b, "
     "count(p.cosine) AS n,\n"
     "  avg(p.cosine) AS cosine, avg(CASE WHEN p.cosine IS NOT NULL THEN coalesce(p.spearman, "
     "p.cosine) END) AS spearman\n"
     "FROM p JOIN model m USING (model_id) LEFT JOIN composite ka ON ka.composite_id = p.ca\n"
     "  LEFT JOIN composite kb ON kb.composite_id = p.cb\n"
     "GROUP BY p.model_id, p.ca, p.ma, p.cb, p.mb ORDER BY m.name, cosine DESC"},
    {"ledger",
     "where the relevance of each composite (or method) went: shares of all explained scores of a "
     "model",
     "WITH x AS (\n"
     "  SELECT e.explanation_id, r.model_id, r.composite_id, r.method, abs(e.target_value) AS "
     "value, "
     "e.r_sum,\n"
     "    CASE WHEN e.target_value < 0 THEN -1 ELSE 1 END AS s\n"
     "  FROM explanation e JOIN run r USING (run_id) WHERE e.layer_id IS NULL),\n"
     "t AS (SELECT model_id, composite_id, method, count(*) AS n, max(sum(value), 1e-12) AS v, "
     "sum(s * r_sum) AS arrived\n"
     "  FROM x GROUP BY 1, 2, 3),\n"
     "f AS (SELECT x.model_id, x.composite_id, x.method, sum(x.s * l.r_bias) AS bias, sum(x.s * "
     "l.r_stab) AS stab,\n"
     "    sum(x.s * l.r_gate) AS gate FROM x JOIN layer_flow l USING (explanation_id) GROUP BY 1, "
     "2, "
     "3)\n"
     "SELECT m.name AS model, coalesce(c.name, t.method) AS composite, t.n, t.arrived / t.v AS "
     "arrived, f.bias / t.v AS bias,\n"
     "  f.stab / t.v AS stabiliser, f.gate / t.v AS rule, (t.v - t.arrived - f.bias - f.stab - "
     "f.gate) / t.v AS unexplained\n"
     "FROM t JOIN model m USING (model_id) LEFT JOIN composite c USING (composite_id)\n"
     "  LEFT JOIN f ON f.model_id = t.model_id AND f.composite_id IS t.composite_id AND f.method = "
     "t.method\n"
     "ORDER BY m.name, t.composite_id, t.method"},
    {"runs", "all runs, the latest first",
     "SELECT run_id, experiment, model, composite, status, started_at, round(seconds, 2) AS "
     "seconds,\n"
     "  explanations, errors\n"
     "FROM v_run ORDER BY run_id DESC"},
    {"conservation",
     "how much relevance was lost on the way, for each composite; worst: the explanation to look "
     "at",
     "SELECT composite, count(*) AS n, avg(rel) AS mean, max(rel) AS largest, explanation_id AS "
     "worst\n"
     "FROM v_conservation GROUP BY composite ORDER BY mean"},
    {"leaks", "the layers that lose most, and to what; shares of the explained value",
     "SELECT layer, op, composite, rule, n, total, bias, stabiliser, gate, leak FROM (\n"
     "  SELECT f.layer, f.op, v.composite, f.rule, count(*) AS n, avg(f.share) AS total,\n"
     "    avg(abs(f.r_bias) / s.size) AS bias, avg(abs(f.r_stab) / s.size) AS stabiliser,\n"
     "    avg(abs(f.r_gate) / s.size) AS gate, avg(abs(f.leak) / s.size) AS leak\n"
     "  FROM v_flow f JOIN v_run v USING (run_id)\n"
     "    JOIN (SELECT explanation_id, max(abs(target_value), 1e-12) AS size FROM explanation) s\n"
     "      USING (explanation_id)\n"
     "  GROUP BY 1, 2, 3, 4)\n"
     "ORDER BY total DESC LIMIT 30"},
    {"wrong", "wrong predictions of high probability, where true labels are known",
     "SELECT explanation_id AS id, input, label, predicted, round(probability, 4) AS probability, "
     "composite\n"
     "FROM v_explanation WHERE label <> predicted ORDER BY probability DESC LIMIT 50"},
    {"errors", "what could not be explained, and why",
     "SELECT run_id, at, code, message FROM error ORDER BY error_id DESC LIMIT 100"}};
enum { N_NAMED = sizeof NAMED / sizeof *NAMED };

static const char *find_named(const char *name)
{
  for (int i = 0; i < N_NAMED; i++)
    if (!strcmp(NAMED[i].name, name)) return NAMED[i].sql;
  cli_error("sql: there is no query @%s; lrp sql lists them", name);
  return NULL;
}

static bool append(char **text, size_t *n, size_t *room, const char *from, size_t count)
{
  if (*n + count >= *room) {
    char *grown = realloc(*text, 2 * (*n + count) + 1);
    if (!grown) return false;
    *text = grown;
    *room = 2 * (*n + count) + 1;
  }
  memcpy(*text + *n, from, count);
  *n += count;
  (*text)[*n] = '\0';
  return true;
}

/* 'text' with its quotes doubled, or NULL. */
static bool append_literal(char **text, size_t *n, size_t *room, const char *value)
{
  if (!value) return append(text, n, room, "NULL", 4);
  bool ok = append(text, n, room, "'", 1);
  for (const char *p = value; ok && *p; p++)
    ok = append(text, n, room, *p == '\'' ? "''" : p, *p == '\'' ? 2 : 1);
  return ok && append(text, n, room, "'", 1);
}

/* The query with its :names replaced, so that --show prints what can be run; the caller frees.
 * NULL: a sentence. */
static char *fill_named(const char *sql, const char *class, const char *const *operand,
                        int n_operand)
{
  static const char *const NAMES[] = {":class", ":a", ":b"};
  const char *value[] = {class, n_operand > 0 ? operand[0] : NULL,
                         n_operand > 1 ? operand[1] : NULL};
  bool used[3] = {false};
  char *text = NULL;
  size_t n = 0, room = 0;
  bool ok = true;
  for (const char *p = sql; ok && *p;) {
    int which = -1;
    size_t len = 1;
    for (int i = 0; i < 3; i++)
      if (!strncmp(p, NAMES[i], strlen(NAMES[i]))) {
        which = i;
        len = strlen(NAMES[i]);
      }
    ok =
        which < 0 ? append(&text, &n, &room, p, 1) : append_literal(&text, &n, &room, value[which]);
    if (which >= 0) used[which] = true;
    p += len;
  }
  const int wanted = used[2] ? 2 : 0;
  if (!ok)
    cli_error("no memory");
  else if (n_operand != wanted)
    cli_error(wanted ? "sql: this query needs two names of composites or methods: @disagreement A B"
                     : "sql: this query takes no more words");
  else if (class && !used[0])
    cli_error("sql: this query knows no --class");
  else
    return text;
  free(text);
  return NULL;
}

static void list_named(FILE *out)
{
  fputs("\nnamed queries (--show prints their SQL)\n", out);
  for (int i = 0; i < N_NAMED; i++)
    fprintf(out, "  lrp sql @%-14s %s\n", NAMED[i].name, NAMED[i].doc);
  fputs("\nexamples\n"
        "  lrp sql \"SELECT token, relevance FROM v_token WHERE explanation_id = 1 ORDER BY "
        "position\"\n"
        "  lrp sql \"SELECT * FROM v_flow WHERE explanation_id = 1 ORDER BY ordinal DESC\"\n"
        "  lrp sql \"SELECT input_id, text FROM input WHERE input_id IN (SELECT rowid FROM "
        "input_fts('excellent'))\"\n",
        out);
}

/* ---- what was asked ---- */

static char *read_query(FILE *in)
{
  size_t n = 0, room = 4096;
  char *text = malloc(room + 1);
  while (text) {
    n += fread(text + n, 1, room - n, in);
    if (n < room || n >= STDIN_MAX) break;
    char *grown = realloc(text, 2 * room + 1);
    if (!grown) {
      free(text);
      return NULL;
    }
    text = grown;
    room *= 2;
  }
  if (text) text[n] = '\0';
  return text;
}

bool cli_format(const char *command, const char *text, int32_t *out)
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
  if (text) cli_error("%s: --format %s: table, csv, json or markdown was expected", command, text);
  return !text;
}

static bool parse_timeout(const char *text, double *out)
{
  char *end;
  *out = TIMEOUT_S;
  if (!text) return true;
  *out = strtod(text, &end);
  if (end != text && !*end && *out >= 0 && *out < 1e9) return true;
  cli_error("sql: --timeout %s: a number of seconds was expected", text);
  return false;
}

/* ---- the command ---- */

typedef struct question {
  const char *db, *sql;
  int32_t format;
  double seconds;
  bool overview; /* no query was given: list what is there */
} question;

static int ask(const question *q)
{
  lrp_ctx *ctx;
  if (lrp_ctx_new(&ctx)) {
    cli_error("no memory");
    return 1;
  }
  cli_writer out = {0};
  const lrp_status st = lrp_store_query(ctx, q->db, q->sql, q->format, q->seconds, cli_write, &out);
  cli_write_end(&out);
  const int exit_status = st ? cli_fail(ctx, st) : 0;
  lrp_ctx_free(ctx);
  if (!st && q->overview && q->format == LRP_FORMAT_TABLE) list_named(stdout);
  return exit_status;
}

static int answer(const cli_args *a)
{
  const char *env = getenv("LRP_DB"), *operand = a->n_operand ? a->operand[0] : NULL;
  question q = {.db = a->value[O_DB] ? a->value[O_DB] : env && *env ? env : "lrp.db"};
  char *read = NULL;
  if (!cli_format("sql", a->value[O_FORMAT], &q.format) ||
      !parse_timeout(a->value[O_TIMEOUT], &q.seconds))
    return 2;
  q.overview = !operand;
  if (!operand)
    q.sql = SQL_TABLES;
  else if (!strcmp(operand, "-"))
    q.sql = read = read_query(stdin);
  else if (*operand != '@')
    q.sql = operand;
  else if ((q.sql = find_named(operand + 1)) != NULL)
    q.sql = read = fill_named(q.sql, a->value[O_CLASS], a->operand + 1, a->n_operand - 1);
  if (!q.sql) return operand && *operand == '@' ? 2 : 1;
  int status = 0;
  if (a->value[O_SHOW])
    printf("%s;\n", q.sql);
  else
    status = ask(&q);
  free(read);
  return status;
}

int lrp_cmd_sql(int argc, char **argv)
{
  cli_args a;
  int status = cli_parse(&CLI_SQL, argc, argv, &a);
  if (status) {
    status--; /* 0: help was printed */
  } else if (a.n_operand > 1 && *a.operand[0] != '@') {
    cli_error("sql: one query was expected, %d were given; put it in quotes", a.n_operand);
    status = 2;
  } else {
    status = answer(&a);
  }
  cli_args_free(&a);
  return status;
}

static int run_sql(const cli_command *c, int argc, char **argv)
{
  (void)c;
  return lrp_cmd_sql(argc, argv);
}
