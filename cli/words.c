/* words.c - lrp words: the words that speak for each class, over all texts of a database. */
#include "cli.h"
#include "lrp/store.h"
#include <stdlib.h>
#include <string.h>

enum { O_DB, O_CLASS, O_RULES, O_MODEL, O_RUN, O_WRONG, O_TOP, O_LEAST, O_SORT, O_FORMAT };
static const cli_option OPTIONS[] = {
    [O_DB] = {"db", 'd', "FILE", "the database ($LRP_DB, else lrp.db)"},
    [O_CLASS] = {"class", 'c', "CLASS", "only this class, a label or an index"},
    [O_RULES] = {"rules", 'r', "NAME", "only this composite or method"},
    [O_MODEL] = {"model", 0, "NAME", "only this model"},
    [O_RUN] = {"run", 0, "RUN", "only this run"},
    [O_WRONG] = {"wrong-only", 'w', NULL, "only texts whose true label is not what was predicted"},
    [O_TOP] = {"top", 'n', "N", "so many words of each class (10)"},
    [O_LEAST] = {"min-count", 0, "N", "only words that were met so often (2)"},
    [O_SORT] = {"sort", 0, "BY", "low (default), mean, sum or count"},
    [O_FORMAT] = {"format", 'f', "FORMAT", "table (default), csv, json or markdown"},
    {0}};
static int run_words(const cli_command *c, int argc, char **argv);
const cli_command CLI_WORDS = {
    "words",
    "the words that speak most for each class, over all explained texts",
    "[OPTION ...]\n\n"
    "For each class: how often the word was met, its mean relevance and the ends of the\n"
    "mean's 95 % interval.  A text explained again by the same model and rules counts once,\n"
    "by the latest run; --run chooses another.",
    OPTIONS,
    -1,
    "  lrp words\n"
    "  lrp words --class spam --top 30 --format markdown\n"
    "  lrp words --wrong-only --min-count 1\n",
    run_words};

typedef struct asked {
  const char *db, *class, *rules, *model, *sort;
  int64_t run, top, least;
  bool wrong;
  int32_t format;
} asked;

/* 'text' with its quotes doubled, or NULL. */
static void put_literal(FILE *f, const char *text)
{
  if (!text) {
    fputs("NULL", f);
    return;
  }
  fputc('\'', f);
  for (; *text; text++)
    fprintf(f, *text == '\'' ? "''" : "%c", *text);
  fputc('\'', f);
}

static void put_filter(FILE *f, const char *name, const char *also, const char *value)
{
  if (!value) return;
  fprintf(f, " AND (%s = ", name);
  put_literal(f, value);
  if (also) {
    fprintf(f, " OR %s = ", also);
    put_literal(f, value);
  }
  fputc(')', f);
}

/* NULL: no memory; free() it. */
static char *query(const asked *a)
{
  char *text = NULL;
  size_t n;
  FILE *f = open_memstream(&text, &n);
  if (!f) return NULL;
  fputs(
      "WITH w AS (SELECT coalesce(k.label, CAST(t.target_class AS TEXT)) AS class, t.target_class, "
      "t.word, t.n, t.relevance AS mean, t.low, t.high,\n"
      "  coalesce(c.name, t.method) AS rules, m.name AS model\n  FROM top_words(NULL, ",
      f);
  if (a->run >= 0)
    fprintf(f, "%lld", (long long)a->run);
  else
    fputs("NULL", f);
  fprintf(f,
          ", %d) t CROSS JOIN model m USING (model_id) LEFT JOIN composite c USING "
          "(composite_id)\n"
          "    LEFT JOIN class k ON k.model_id = t.model_id AND k.class_index = t.target_class\n"
          "  WHERE t.n >= %lld",
          a->wrong, (long long)a->least);
  put_filter(f, "k.label", "CAST(t.target_class AS TEXT)", a->class);
  put_filter(f, "coalesce(c.name, t.method)", NULL, a->rules);
  put_filter(f, "m.name", NULL, a->model);
  const char *by = !strcmp(a->sort, "mean")  ? "mean"
                   : !strcmp(a->sort, "sum") ? "mean * n"
                   : !strcmp(a->sort, "low") ? "coalesce(low, mean - 1e9)"
                                             : "n";
  fprintf(
      f,
      "),\np AS (SELECT *, row_number() OVER (PARTITION BY model, rules, target_class ORDER BY %s "
      "DESC, mean DESC, word) AS place FROM w)\n"
      "SELECT class, word, n, mean, low, high, rules, model FROM p WHERE place <= %lld\n"
      "ORDER BY model, rules, target_class, place",
      by, (long long)a->top);
  if (fclose(f)) {
    free(text);
    return NULL;
  }
  return text;
}

static bool read_options(const cli_args *a, asked *out)
{
  static const char *const SORTS[] = {"low", "mean", "sum", "count"};
  const char *env = getenv("LRP_DB");
  *out = (asked){.db = a->value[O_DB] ? a->value[O_DB]
                       : env && *env  ? env
                                      : "lrp.db",
                 .class = a->value[O_CLASS],
                 .rules = a->value[O_RULES],
                 .model = a->value[O_MODEL],
                 .wrong = a->value[O_WRONG],
                 .sort = a->value[O_SORT] ? a->value[O_SORT] : "low",
                 .run = -1,
                 .top = 10,
                 .least = 2};
  bool known = false;
  for (size_t i = 0; i < sizeof SORTS / sizeof *SORTS; i++)
    known = known || !strcmp(SORTS[i], out->sort);
  if (!known) cli_error("words: --sort %s: low, mean, sum or count was expected", out->sort);
  if (a->n_operand)
    cli_error("words: \"%s\": no word was expected; lrp words --help shows examples",
              a->operand[0]);
  return known && !a->n_operand && cli_format("words", a->value[O_FORMAT], &out->format) &&
         (!a->value[O_RUN] || cli_int(&OPTIONS[O_RUN], a->value[O_RUN], 0, INT64_MAX, &out->run)) &&
         (!a->value[O_TOP] || cli_int(&OPTIONS[O_TOP], a->value[O_TOP], 1, 1000000, &out->top)) &&
         (!a->value[O_LEAST] ||
          cli_int(&OPTIONS[O_LEAST], a->value[O_LEAST], 1, INT64_MAX, &out->least));
}

static int answer(const asked *a)
{
  lrp_ctx *ctx;
  cli_writer out = {0};
  char *sql = query(a);
  if (!sql || lrp_ctx_new(&ctx)) {
    free(sql);
    cli_error("no memory");
    return 1;
  }
  const lrp_status st = lrp_store_query(ctx, a->db, sql, a->format, 0, cli_write, &out);
  cli_write_end(&out);
  const int code = st ? cli_fail(ctx, st) : 0;
  lrp_ctx_free(ctx);
  free(sql);
  return code;
}

static int run_words(const cli_command *c, int argc, char **argv)
{
  cli_args a;
  asked what;
  int status = cli_parse(c, argc, argv, &a);
  if (status)
    status--; /* 0: help was printed */
  else if (!read_options(&a, &what))
    status = 2;
  else
    status = answer(&what);
  cli_args_free(&a);
  return status;
}
