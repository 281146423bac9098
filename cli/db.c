/* db.c - lrp db: looking after a database. */
#ifndef _XOPEN_SOURCE
#define _XOPEN_SOURCE 700 /* realpath() */
#endif
#include "dbase.h"
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const cli_option OPTIONS[] = {
    [DB_O_DB] = {"db", 'd', "FILE", "the database ($LRP_DB, else lrp.db)"},
    [DB_O_OUT] = {"output", 'o', "FILE",
                  "of export: FILE.csv, .json, .md or .npy; else standard output"},
    [DB_O_RUN] = {"run", 'r', "RUN", "of export: only this run"},
    [DB_O_VIEW] = {"view", 0, "NAME", "of export: this view or table, as v_token"},
    [DB_O_FORMAT] = {"format", 'f', "FORMAT",
                     "of export to standard output: table, csv (default), json or markdown"},
    [DB_O_MODEL] = {"model", 'm', "MODEL", "of import: what was explained, a folder or .onnx file"},
    [DB_O_INPUT] =
        {"input", 'i', "INPUT",
         "of import: an input, as for lrp explain; once for each, in the order of the arrays"},
    [DB_O_NAME] = {"name", 0, "NAME",
                   "of import: what to call it in tables and lrp compare, as zennit-epsilon"},
    [DB_O_TARGET] = {"target", 't', "CLASS",
                     "of import: the explained class, as for lrp explain (argmax)"},
    [DB_O_SEED] = {"seed", 0, "KIND",
                   "of import: relevance started from the score (logit, default), or from 1 (one)"},
    [DB_O_EXPERIMENT] = {"experiment", 'e', "NAME",
                         "of import: the experiment of the new run (default)"},
    [DB_O_PLUGIN] = {"plugin", 'p', "FILE", "of import: load a plugin first"},
    {0}};
static int run_db(const cli_command *, int argc, char **argv);
const cli_command CLI_DB = {
    "db",
    "look after a database: check, copy, merge, export, import",
    "path | check | backup FILE | migrate | expand | compact |\n"
    "              merge INTO FROM... | export | import ARRAY... [OPTION ...]\n\n"
    "path     the file in use\n"
    "check    is it whole, and do its parts fit together?  exit status 5 if not\n"
    "backup   a copy, also while others write\n"
    "migrate  bring an older format, and an older lrp's views, up to date\n"
    "expand   make the rows of tokens anew from the relevance\n"
    "compact  drop them (expand brings them back) and give unused room back\n"
    "merge    add the runs of other files; merging twice adds nothing\n"
    "export   explanations with their relevance, or --view, as CSV, JSON, Markdown or NumPy array\n"
    "import   relevance that another program computed, from .npy, as a run of its own",
    OPTIONS,
    DB_O_INPUT,
    "  lrp db check --db study.db\n"
    "  lrp db merge all.db part1.db part2.db\n"
    "  lrp db export --run 3 -o relevance.npy\n"
    "  lrp db export --view v_token -o tokens.csv\n"
    "  lrp db import zennit.npy --model fashion-cnn --input boot.png --name zennit-epsilon "
    "--target 9\n",
    run_db};

static const char SQL_FORMAT[] = "PRAGMA user_version";
static const char SQL_CHANGES[] = "PRAGMA schema_version"; /* of tables and views, counted */
static const char SQL_SIZE[] =
    "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()";
static const char SQL_EXPAND[] =
    "INSERT INTO token_relevance (explanation_id, position, token_id, word, relevance)\n"
    "SELECT x.explanation_id, k.position, k.token_id, k.word,\n"
    "  CASE x.dtype WHEN 'f64' THEN f64_at(x.r, k.position) ELSE f32_at(x.r, k.position) END\n"
    "FROM explanation x JOIN token k USING (tokenization_id)\n"
    "WHERE k.position < CASE x.dtype WHEN 'f64' THEN f64_len(x.r) ELSE f32_len(x.r) END\n"
    "  AND NOT EXISTS (SELECT 1 FROM token_relevance t WHERE t.explanation_id = x.explanation_id)";
static const char SQL_COMPACT[] = "DELETE FROM token_relevance";
static const char SQL_VACUUM[] = "VACUUM; PRAGMA wal_checkpoint(TRUNCATE)";

/* ---- path, check ---- */

static int path(const char *option)
{
  char *full = realpath(cli_db_path(option), NULL);
  puts(full ? full : cli_db_path(option)); /* not made yet: as it was named */
  free(full);
  return 0;
}

/* What must give no row, or the count 0; first: the row that is fine. */
static const struct {
  const char *name, *sql, *fine;
} CHECKS[] = {
    {"pages and indices", "PRAGMA integrity_check(20)", "ok"},
    {"references",
     "SELECT \"table\" || ', row ' || coalesce(rowid, '?') || ': refers to a row of ' || parent || "
     "' that is missing'\n"
     "FROM pragma_foreign_key_check LIMIT 20",
     NULL},
    {"relevance and its sums",
     "SELECT 'explanation ' || explanation_id || ': its relevance adds up to ' || s || ', not to ' "
     "|| (r_pos + r_neg) FROM (\n"
     "  SELECT explanation_id, r_pos, r_neg, CASE dtype WHEN 'f64' THEN f64_sum(r) ELSE f32_sum(r) "
     "END AS s FROM explanation)\n"
     "WHERE s IS NULL OR abs(s - (r_pos + r_neg)) > 1e-9 * (r_pos - r_neg) LIMIT 20",
     NULL},
    {"rows of tokens",
     "SELECT 'explanation ' || explanation_id || ', token ' || position || ': ' || t.relevance || "
     "', not the relevance stored'\n"
     "FROM token_relevance t JOIN explanation x USING (explanation_id)\n"
     "WHERE t.relevance IS NOT CASE dtype WHEN 'f64' THEN f64_at(r, position) ELSE f32_at(r, "
     "position) END LIMIT 20",
     NULL},
    {"places of tokens",
     "SELECT 'input ' || i.input_id || ', token ' || k.position || ': bytes ' || k.byte_begin || ' "
     "to ' || k.byte_end ||\n"
     "  ' of a text of ' || length(CAST(i.text AS BLOB))\n"
     "FROM token k JOIN tokenization z USING (tokenization_id) JOIN input i USING (input_id)\n"
     "WHERE k.byte_begin < 0 OR k.byte_end < k.byte_begin OR k.byte_end > length(CAST(i.text AS "
     "BLOB)) LIMIT 20",
     NULL}};

/* SQLite tells several findings in one text. */
static void put_findings(const char *name, const char *text)
{
  for (size_t n; *text; text += n + (text[n] == '\n')) {
    n = strcspn(text, "\n");
    printf("%s: ", name);
    cli_escape(stdout, text, n);
    putchar('\n');
  }
}

static int check(cli_db *d)
{
  int n_bad = 0, status = 0;
  for (size_t i = 0; !status && i < sizeof CHECKS / sizeof *CHECKS; i++) {
    const int before = n_bad;
    sqlite3_stmt *stmt = cli_db_ask(d, CHECKS[i].sql, "");
    while (cli_db_row(d, stmt, &status)) {
      const char *text = cli_db_text(stmt, 0);
      if (CHECKS[i].fine && !strcmp(text, CHECKS[i].fine)) continue;
      n_bad++;
      put_findings(CHECKS[i].name, text);
    }
    sqlite3_finalize(stmt);
    if (!status && n_bad == before) printf("%s: ok\n", CHECKS[i].name);
  }
  const int64_t running =
      status ? 0 : cli_db_int(d, &status, "SELECT count(*) FROM run WHERE status = 'running'");
  if (running)
    printf("runs: %lld are running, or were killed; lrp runs doctor tells\n", (long long)running);
  if (!status && n_bad)
    cli_error("%s: damaged; restore a copy, or save what can be read: sqlite3 FILE .recover | "
              "sqlite3 NEW",
              d->path);
  return status ? status : n_bad ? CLI_EXIT_DB : 0;
}

/* ---- backup, migrate ---- */

/* Page by page: VACUUM INTO fails on a file opened read-only that has generated columns (SQLite
 * 3.40). */
static int copy_pages(cli_db *d, const char *to)
{
  sqlite3 *out = NULL;
  int code = sqlite3_open_v2(
      to, &out, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
  sqlite3_backup *job = code ? NULL : sqlite3_backup_init(out, "main", d->db, "main");
  if (job) {
    sqlite3_backup_step(job, -1);
    sqlite3_backup_finish(job); /* leaves the error of the whole in out */
  }
  const lrp_status st = out && sqlite3_errcode(out)
                            ? lrp_db_fail(d->ctx, out, to, "copying the database")
                        : out ? LRP_OK
                              : LRP_E_NOMEM;
  sqlite3_close(out);
  return st ? cli_fail(d->ctx, st) : 0;
}

static int backup(cli_db *d, const char *to)
{
  if (!access(to, F_OK)) {
    cli_error("db backup: %s is there already; name a new file", to);
    return 2;
  }
  const int status = copy_pages(d, to);
  if (status)
    unlink(to); /* half of a copy is none */
  else
    cli_note("%s: a copy of %s", to, d->path);
  return status;
}

static int migrate(const char *option)
{
  cli_db d = {0};
  int status = cli_db_open(&d, option, LRP_STORE_READ);
  const int64_t before = status ? 0 : cli_db_int(&d, &status, SQL_FORMAT);
  const int64_t changes = status ? 0 : cli_db_int(&d, &status, SQL_CHANGES);
  cli_db_close(&d);
  if (!status) status = cli_db_open(&d, option, LRP_STORE_WRITE); /* this does it */
  const int64_t after = status ? 0 : cli_db_int(&d, &status, SQL_FORMAT);
  const bool views = !status && changes != cli_db_int(&d, &status, SQL_CHANGES);
  if (!status && before == after)
    printf("%s: format %lld, up to date%s\n", d.path, (long long)after, views ? "; views laid anew" : "");
  else if (!status)
    printf("%s: format %lld became %lld\n", d.path, (long long)before, (long long)after);
  cli_db_close(&d);
  return status;
}

/* ---- expand, compact ---- */

static int expand(cli_db *d)
{
  int status = cli_db_do(d, "making rows of tokens", "BEGIN IMMEDIATE");
  if (!status) status = cli_db_do(d, "making rows of tokens", SQL_EXPAND);
  const long long n = sqlite3_changes(d->db);
  if (!status) status = cli_db_do(d, "making rows of tokens", "COMMIT");
  if (!status) printf("%lld rows of tokens added\n", n);
  return status;
}

static int compact(cli_db *d)
{
  int status = 0;
  const int64_t before = cli_db_int(d, &status, SQL_SIZE);
  if (!status) status = cli_db_do(d, "dropping rows of tokens", SQL_COMPACT);
  if (!status) status = cli_db_do(d, "giving back room", SQL_VACUUM);
  const int64_t after = status ? 0 : cli_db_int(d, &status, SQL_SIZE);
  if (!status) {
    printf("%s: %.1f MB became %.1f MB\n", d->path, (double)before / 1e6, (double)after / 1e6);
    cli_note("v_token and v_word are empty until lrp db expand");
  }
  return status;
}

/* ---- merge ---- */

static int merge(const cli_args *a)
{
  const char *into = a->value[DB_O_DB];
  int first = 1;
  if (!into && a->n_operand > 1) into = a->operand[first++];
  if (!into || first >= a->n_operand) {
    cli_error("db merge: a file to merge into, and the files to take from were expected: lrp db "
              "merge all.db part1.db part2.db");
    return 2;
  }
  cli_db d = {0};
  int status = cli_db_open(&d, into, LRP_STORE_CREATE);
  for (int i = first; !status && i < a->n_operand; i++) {
    lrp_merged m;
    const lrp_status st = lrp_store_merge(d.store, a->operand[i], &m);
    if (st) {
      status = cli_fail(d.ctx, st);
    } else {
      cli_escape(stdout, a->operand[i], strlen(a->operand[i]));
      printf(
          ": %lld run%s, %lld explanation%s, %lld input%s, %lld error%s, %lld score%s added; %lld "
          "run%s, %lld explanation%s known before\n",
          (long long)m.run, cli_plural(m.run), (long long)m.explanation, cli_plural(m.explanation),
          (long long)m.input, cli_plural(m.input), (long long)m.error, cli_plural(m.error),
          (long long)m.score, cli_plural(m.score), (long long)m.run_known, cli_plural(m.run_known),
          (long long)m.explanation_known, cli_plural(m.explanation_known));
    }
  }
  cli_db_close(&d);
  return status;
}

/* ---- the command ---- */

static int with_store(const cli_args *a)
{
  const char *what = a->operand[0];
  const bool reads = !strcmp(what, "check") || !strcmp(what, "backup");
  cli_db d = {0};
  int status = cli_db_open(&d, a->value[DB_O_DB], reads ? LRP_STORE_READ : LRP_STORE_WRITE);
  if (!status && !strcmp(what, "check"))
    status = check(&d);
  else if (!status && !strcmp(what, "backup"))
    status = backup(&d, a->operand[1]);
  else if (!status && !strcmp(what, "expand"))
    status = expand(&d);
  else if (!status)
    status = compact(&d);
  cli_db_close(&d);
  return status;
}

static int dispatch(const cli_args *a, int argc, char **argv)
{
  const char *what = a->n_operand ? a->operand[0] : "";
  const int n = a->n_operand - 1;
  if (!strcmp(what, "path") && !n) return path(a->value[DB_O_DB]);
  if (!strcmp(what, "migrate") && !n) return migrate(a->value[DB_O_DB]);
  if (!strcmp(what, "merge")) return merge(a);
  if (!strcmp(what, "export") && !n) return cli_db_export(a);
  if (!strcmp(what, "import") && n > 0) return cli_db_import(a, argc, argv);
  if (((!strcmp(what, "check") || !strcmp(what, "expand") || !strcmp(what, "compact")) && !n) ||
      (!strcmp(what, "backup") && n == 1))
    return with_store(a);
  cli_error("db: path, check, backup FILE, migrate, expand, compact, merge INTO FROM..., export or "
            "import ARRAY... was expected; "
            "lrp db --help shows examples");
  return 2;
}

static int run_db(const cli_command *c, int argc, char **argv)
{
  cli_args a;
  int status = cli_parse(c, argc, argv, &a);
  status = status ? status - 1 : dispatch(&a, argc, argv);
  cli_args_free(&a);
  return status;
}
