/* compare_json.c - lrp compare --json: all that it found as one document. */
#include "compare.h"
#include <math.h>
#include <string.h>

static json_t *real(double v)
{
  return isfinite(v) ? json_real(v) : json_null();
}

static json_t *json_summary(const summary *s)
{
  return json_pack("{s:I, s:I, s:o, s:o, s:o, s:[o,o]}", "n", (json_int_t)s->n, "undefined",
                   (json_int_t)s->undefined, "mean", real(s->mean), "sd", real(s->sd), "median",
                   real(s->median), "interval_95", real(s->lo), real(s->hi));
}

static json_t *json_side(const cli_side *s)
{
  static const char *const KIND[] = {"run", "rules", "model"};
  return json_pack("{s:s, s:o, s:I}", "kind", KIND[s->kind], "name",
                   cli_json_text(s->name, strlen(s->name)), "explanations", (json_int_t)s->n);
}

static int json_tests(comparison *c, json_t *list)
{
  int status = 0;
  for (int i = 0; !status && i < c->n_series; i++) {
    paired p;
    status = compare_test(c, &c->series[i], &p);
    if (status || (c->metric && strcmp(c->metric, p.name))) continue;
    json_array_append_new(
        list,
        json_pack("{s:s, s:s, s:i, s:I, s:o, s:o, s:o, s:[o,o], s:o, s:o}", "metric", p.name,
                  "params", p.params, "direction", p.direction, "n", (json_int_t)p.difference.n,
                  "median_a", real(p.median_a), "median_b", real(p.median_b), "median_difference",
                  real(p.difference.median), "interval_95", real(p.difference.lo),
                  real(p.difference.hi), "wilcoxon_w", real(p.w), "p", real(p.p)));
  }
  return status;
}

static int json_inputs(comparison *c, json_t *list)
{
  int status = 0;
  sqlite3_stmt *stmt = cli_db_ask(&c->d, COMPARE_SQL_INPUT, "");
  for (int64_t i = 0; stmt && !status && i < c->pairs.n; i++) {
    const int64_t at = c->order[i];
    const cli_pair *p = &c->pairs.pair[at];
    sqlite3_bind_int64(stmt, 1, p->a);
    if (cli_db_row(&c->d, stmt, &status)) {
      const char *input = cli_db_text(stmt, 0), *target = cli_db_text(stmt, 1);
      json_t *o = json_pack("{s:I, s:o, s:o, s:I, s:I}", "input_id", (json_int_t)p->input, "input",
                            cli_json_text(input, strlen(input)), "target",
                            cli_json_text(target, strlen(target)), "a", (json_int_t)p->a, "b",
                            (json_int_t)p->b);
      for (int k = 0; k < compare_n_measure(c); k++)
        json_object_set_new(o, COMPARE_KEYS[k], real(c->value[k][at]));
      json_array_append_new(list, o);
    }
    sqlite3_reset(stmt);
  }
  sqlite3_finalize(stmt);
  return stmt ? status : CLI_EXIT_DB;
}

int compare_json(comparison *c)
{
  json_t *agreement = json_object(), *tests = json_array(), *inputs = json_array();
  for (int k = 0; k < compare_n_measure(c); k++)
    json_object_set_new(agreement, COMPARE_KEYS[k], json_summary(&c->sum[k]));
  int status = json_tests(c, tests);
  if (!status) status = json_inputs(c, inputs);
  json_t *o =
      json_pack("{s:o, s:o, s:I, s:I, s:I, s:o, s:o, s:o}", "a", json_side(&c->pairs.side[0]), "b",
                json_side(&c->pairs.side[1]), "pairs", (json_int_t)c->pairs.n, "skipped",
                (json_int_t)c->n_skipped, "k", (json_int_t)c->top, "agreement", agreement, "tests",
                tests, "inputs", inputs);
  if (o && c->n_precision)
    json_object_set_new(o, "precision", json_pack("[s,s]", c->precision[0], c->precision[1]));
  if (!o) return compare_no_memory();
  if (status)
    json_decref(o);
  else
    cli_json_print(o);
  return status;
}
