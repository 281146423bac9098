/* report_page.c - a report as one HTML page: what was computed on what, as JSON, and the script that
 * paints it.  Nothing from strangers reaches the page but inside the JSON. */
#include "report.h"
#include "report_css.h"
#include "report_js.h"
#include "report_overview_js.h"
#include "report_paint_js.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SELECTED "(?1 IS NULL OR r.run_id IN (SELECT value FROM json_each(?1)))"
static const char SQL_EXPERIMENTS[] =
    "SELECT DISTINCT e.name, e.note FROM run r JOIN experiment e USING (experiment_id) "
    "WHERE " SELECTED " ORDER BY e.experiment_id";
static const char SQL_RUNS[] =
    "SELECT r.run_id, v.experiment, v.model, v.composite, r.status, r.precision, r.started_at, "
    "v.seconds,\n"
    "  v.explanations, v.errors, r.argv, n.lrp_version, n.cpu_model, n.threads, n.os, n.host, "
    "n.compiler, r.config\n"
    "FROM run r JOIN v_run v USING (run_id) JOIN environment n USING (environment_id) "
    "WHERE " SELECTED " ORDER BY r.run_id LIMIT 500";
static const char SQL_MODEL[] = "SELECT name, sha256, path, modality, n_param, producer, kind, "
                                "opset FROM model WHERE model_id = ?1";
static const char SQL_CLASSES[] =
    "SELECT class_index, label FROM class WHERE model_id = ?1 ORDER BY class_index";
/* Sums of shares, weighted by the explained score: a case with a score near 0 has no share to tell. */
static const char SQL_TOTAL[] =
    "SELECT count(*), sum(abs(target_value)), sum(CASE WHEN target_value < 0 THEN -r_sum ELSE "
    "r_sum "
    "END)\n"
    "FROM explanation WHERE run_id IN (SELECT value FROM json_each(?1)) AND layer_id IS NULL";
static const char SQL_LEDGER[] =
    "SELECT l.name, l.op, g.rule, sum(s * f.r_bias), sum(s * f.r_stab), sum(s * f.r_gate), "
    "sum(s * f.leak)\n"
    "FROM (SELECT explanation_id, run_id, CASE WHEN target_value < 0 THEN -1 ELSE 1 END AS s FROM "
    "explanation\n"
    "      WHERE run_id IN (SELECT value FROM json_each(?1)) AND layer_id IS NULL) x\n"
    "  JOIN layer_flow f USING (explanation_id) JOIN layer l ON l.layer_id = f.layer_id\n"
    "  JOIN run_layer g ON g.run_id = x.run_id AND g.layer_id = f.layer_id\n"
    "GROUP BY f.layer_id ORDER BY max(g.ordinal) DESC";
static const char SQL_WORDS[] =
    "SELECT target_class, word, relevance, n FROM top_words(?1)\n"
    "WHERE model_id = ?2 AND composite_id IS ?3 AND method = ?4 ORDER BY target_class, relevance "
    "DESC";
static const char SQL_WORDS_OF_RUN[] =
    "SELECT target_class, word, relevance, n FROM top_words(?1, ?5)\n"
    "WHERE model_id = ?2 AND composite_id IS ?3 AND method = ?4 ORDER BY target_class, relevance "
    "DESC";
enum { WORDS = 15 };

static void put_column(FILE *f, const char *key, sqlite3_stmt *s, int column)
{
  fprintf(f, "%s\"%s\":", column ? "," : "{", key);
  if (sqlite3_column_type(s, column) == SQLITE_NULL)
    fputs("null", f);
  else if (sqlite3_column_type(s, column) == SQLITE_INTEGER)
    fprintf(f, "%lld", (long long)sqlite3_column_int64(s, column));
  else if (sqlite3_column_type(s, column) == SQLITE_FLOAT)
    report_real(f, sqlite3_column_double(s, column));
  else
    report_text(f, cli_db_text(s, column));
}

/* All rows as objects with these keys, in an array. */
static int put_rows(report *r, FILE *f, sqlite3_stmt *s, const char *const *key)
{
  int status = 0;
  for (int64_t i = 0; cli_db_row(&r->d, s, &status); i++) {
    fputs(i ? ",\n" : "", f);
    for (int k = 0; key[k]; k++)
      put_column(f, key[k], s, k);
    fputc('}', f);
  }
  sqlite3_finalize(s);
  return status;
}

/* ---- parts of a model ---- */

static void put_matrix(FILE *f, const report_model *m,
                       const double v[REPORT_COLUMNS][REPORT_COLUMNS])
{
  for (int a = 0; a < m->n_column; a++) {
    fputs(a ? ",[" : "[[", f);
    for (int b = 0; b < m->n_column; b++) {
      if (b) fputc(',', f);
      report_real(f, v[a][b]);
    }
    fputc(']', f);
  }
  fputc(']', f);
}

static int put_ledger(report *r, FILE *f, const report_column *c)
{
  static const char *const TOTAL[] = {"n", "value", "arrived", NULL};
  static const char *const LAYER[] = {"name", "op", "rule", "bias", "stab", "gate", "leak", NULL};
  fputs("{\"total\":", f);
  int status = put_rows(r, f, cli_db_ask(&r->d, SQL_TOTAL, "t", c->runs), TOTAL);
  fputs(",\"layer\":[", f);
  if (!status) status = put_rows(r, f, cli_db_ask(&r->d, SQL_LEDGER, "t", c->runs), LAYER);
  fputs("]}", f);
  return status;
}

static int put_words(report *r, FILE *f, const report_model *m, const report_column *c)
{
  static const char *const WORD[] = {"t", "w", "r", "n", NULL};
  const int64_t run = strtoll(c->runs + 1, NULL, 10);
  sqlite3_stmt *s =
      cli_db_ask(&r->d, r->runs ? SQL_WORDS_OF_RUN : SQL_WORDS, r->runs ? "iiItI" : "iiIt",
                 (int64_t)WORDS, m->id, c->composite, c->method, run);
  fputc('[', f);
  const int status = put_rows(r, f, s, WORD);
  fputc(']', f);
  return status;
}

static int put_columns(report *r, FILE *f, const report_model *m)
{
  int status = 0;
  for (int k = 0; !status && k < m->n_column; k++) {
    const report_column *c = &m->column[k];
    fprintf(f, "%s{\"name\":", k ? ",\n" : "");
    report_text(f, c->name);
    fputs(",\"method\":", f);
    report_text(f, c->method);
    fputs(",\"spec\":", f);
    report_text(f, c->spec ? c->spec : "");
    fprintf(f, ",\"runs\":%s,\"ledger\":", c->runs);
    status = put_ledger(r, f, c);
    fputs(",\"words\":", f);
    if (status || strcmp(m->modality, "text"))
      fputs("[]", f);
    else
      status = put_words(r, f, m, c);
    fputc('}', f);
  }
  return status;
}

static int put_model(report *r, FILE *f, const report_model *m)
{
  static const char *const MODEL[] = {"name",     "sha256", "path",  "modality", "params",
                                      "producer", "kind",   "opset", NULL};
  static const char *const CLASS[] = {"i", "label", NULL};
  fputs("{\"model\":", f);
  int status = put_rows(r, f, cli_db_ask(&r->d, SQL_MODEL, "i", m->id), MODEL);
  fputs(",\"classes\":[", f);
  if (!status) status = put_rows(r, f, cli_db_ask(&r->d, SQL_CLASSES, "i", m->id), CLASS);
  fputs("],\"columns\":[", f);
  if (!status) status = put_columns(r, f, m);
  fputs("],\"cosine\":", f);
  put_matrix(f, m, m->cosine);
  fputs(",\"spearman\":", f);
  put_matrix(f, m, m->rank);
  fprintf(f, ",\"cases\":%lld,\"rows\":[\n", (long long)m->n);
  if (!status) status = report_rows(r, f, m);
  fputs("]}", f);
  return status;
}

static int put_data(report *r, FILE *f)
{
  static const char *const EXPERIMENT[] = {"name", "note", NULL};
  static const char *const RUN[] = {"id",        "experiment", "model",   "rules",   "status",
                                    "precision", "started",    "seconds", "n",       "errors",
                                    "argv",      "lrp",        "cpu",     "threads", "os",
                                    "host",      "compiler",   "config",  NULL};
  char now[32];
  const time_t t = time(NULL);
  struct tm utc;
  strftime(now, sizeof now, "%Y-%m-%d %H:%M UTC", gmtime_r(&t, &utc));
  fprintf(f, "{\"lrp\":\"%s\",\"made\":\"%s\",\"command\":", lrp_version(), now);
  report_text(f, r->made_by);
  fputs(",\"db\":", f);
  report_text(f, r->d.path);
  fprintf(f, ",\"chosen\":%s", r->runs ? "true" : "false"); /* runs were named: not all are shown */
  fputs(",\"experiments\":[", f);
  int status = put_rows(r, f, cli_db_ask(&r->d, SQL_EXPERIMENTS, "t", r->runs), EXPERIMENT);
  fputs("],\"runs\":[", f);
  if (!status) status = put_rows(r, f, cli_db_ask(&r->d, SQL_RUNS, "t", r->runs), RUN);
  fputs("],\"models\":[", f);
  for (int i = 0; !status && i < r->n_model; i++) {
    fputs(i ? ",\n" : "", f);
    status = put_model(r, f, &r->model[i]);
  }
  fputs("]}", f);
  return status;
}

/* ---- the page ---- */

/* A digest as Content-Security-Policy wants it: only this script and this style work. */
static void put_digest(FILE *f, const char *text)
{
  static const char DIGIT[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  char hex[65];
  unsigned char byte[33] = {0};
  lrp_sha256(text, strlen(text), hex);
  for (int i = 0; i < 32; i++) {
    const char pair[3] = {hex[2 * i], hex[2 * i + 1], 0};
    byte[i] = (unsigned char)strtoul(pair, NULL, 16);
  }
  fputs("'sha256-", f);
  for (int i = 0; i < 33; i += 3) {
    const unsigned v = (unsigned)byte[i] << 16 | (unsigned)byte[i + 1] << 8 | byte[i + 2];
    fprintf(f, "%c%c%c", DIGIT[v >> 18], DIGIT[v >> 12 & 63], DIGIT[v >> 6 & 63]);
    fputc(i < 30 ? DIGIT[v & 63] : '=', f);
  }
  fputc('\'', f);
}

static void put_begin(FILE *f, const char *script)
{
  fputs(
      "<!DOCTYPE html>\n<html lang=en><head><meta charset=utf-8>\n<meta "
      "http-equiv=Content-Security-Policy content=\"default-src 'none'; img-src data:; style-src ",
      f);
  put_digest(f, report_css);
  fputs("; script-src ", f);
  put_digest(f, script);
  fprintf(
      f,
      "\">\n<meta name=viewport content=\"width=device-width,initial-scale=1\">\n"
      "<meta name=generator content=\"lrp %s\">\n<meta name=color-scheme content=\"light dark\">\n"
      "<title>lrp report</title>\n<style>%s</style></head>\n<body>\n"
      "<noscript><p>This page paints heatmaps with the script that it holds, which is switched "
      "off here. Nothing is loaded from elsewhere. <code>lrp explain -o page.html</code> writes "
      "pages without a script.</noscript>\n<main id=page></main>\n"
      "<script type=application/json id=data>\n",
      lrp_version(), report_css);
}

/* One function, so that nothing of it is global. */
static char *script_text(void)
{
  const char *const part[] = {"(function () {\n", report_paint_js, report_overview_js, report_js,
                              "})();\n"};
  enum { PARTS = sizeof part / sizeof *part };
  size_t n = 1;
  for (int i = 0; i < PARTS; i++)
    n += strlen(part[i]);
  char *s = malloc(n), *to = s;
  for (int i = 0; s && i < PARTS; to += strlen(part[i++]))
    memcpy(to, part[i], strlen(part[i]) + 1);
  return s;
}

int report_page(report *r, char **out, size_t *n)
{
  *out = NULL;
  char *script = script_text();
  FILE *f = script ? open_memstream(out, n) : NULL;
  if (!f) {
    free(script);
    return report_no_memory();
  }
  put_begin(f, script);
  const int status = put_data(r, f);
  fprintf(f, "\n</script>\n<script>%s</script>\n</body></html>\n", script);
  free(script);
  return fclose(f) && !status ? report_no_memory() : status;
}
