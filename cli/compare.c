/* compare.c - lrp compare: how far two rules, models or runs agree, with what certainty, and where
 * they do not. */
#include "compare.h"
#include "stat.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { O_DB, O_MODEL, O_TOP, O_METRIC, O_WORST, O_JSON, O_OUT };
static const cli_option OPTIONS[] = {
    [O_DB] = {"db", 'd', "FILE", "the database ($LRP_DB, else lrp.db)"},
    [O_MODEL] = {"model", 'm', "NAME",
                 "only explanations of this model (name, or start of its SHA-256)"},
    [O_TOP] = {"top", 'k', "K", "places of largest magnitude that are compared (5)"},
    [O_METRIC] = {"metric", 0, "NAME", "of the metrics with scores, only this one"},
    [O_WORST] = {"worst", 'n', "N", "show so many inputs on which they disagree most (10)"},
    [O_JSON] = {"json", 0, NULL, "print one JSON document, with all inputs"},
    [O_OUT] = {"output", 'o', "FILE", "draw the worst inputs side by side: FILE.html or FILE.png"},
    {0}};
static int run_compare(const cli_command *, int argc, char **argv);
const cli_command CLI_COMPARE = {
    "compare",
    "tell how far two rules, runs or models agree, and where they do not",
    "A B [OPTION ...]",
    OPTIONS,
    -1,
    "  lrp compare epsilon epsilon_plus_flat\n"
    "  lrp compare run:1 run:2 --worst 20 -o compare.html\n"
    "  lrp compare epsilon gradient --model fashion-cnn --json\n",
    run_compare};

static const char SQL_SCORES[] =
    "SELECT metric_id, a.value, b.value FROM score a JOIN score b USING (metric_id)"
    " WHERE a.explanation_id = ?1 AND b.explanation_id = ?2 AND a.value IS NOT NULL AND b.value IS "
    "NOT NULL";
static const char SQL_METRIC[] = "SELECT name, params, direction FROM metric WHERE metric_id = ?1";
static const char SQL_PRECISION[] =
    "SELECT a.precision, b.precision FROM explanation x JOIN run a USING (run_id), explanation y"
    " JOIN run b ON b.run_id = y.run_id WHERE x.explanation_id = ?1 AND y.explanation_id = ?2";

const char *const COMPARE_KEYS[] = {"cosine",         "spearman",   "topk_overlap",
                                    "sign_agreement", "error_mean", "error_largest"};
const char COMPARE_SQL_INPUT[] =
    "SELECT v.input, v.target FROM v_explanation v WHERE v.explanation_id = ?1";

/* Errors of precision are told where precisions differ. */
int compare_n_measure(const comparison *c)
{
  return c->n_precision ? N_MEASURE : ERROR_MEAN;
}

int compare_no_memory(void)
{
  cli_error("no memory");
  return 1;
}

/* ---- numbers of each pair ---- */

static int append(comparison *c, int64_t metric, double a, double b)
{
  series *s = NULL;
  for (int i = 0; i < c->n_series; i++)
    if (c->series[i].metric == metric) s = &c->series[i];
  if (!s) {
    series *grown = realloc(c->series, (size_t)(c->n_series + 1) * sizeof *grown);
    if (!grown) return compare_no_memory();
    c->series = grown;
    s = &grown[c->n_series++];
    *s = (series){.metric = metric};
  }
  if (s->n == s->room) {
    const size_t room = s->room ? 2 * (size_t)s->room : 256;
    double *x = realloc(s->a, room * sizeof *x);
    if (x) s->a = x;
    double *y = realloc(s->b, room * sizeof *y);
    if (y) s->b = y;
    if (!x || !y) return compare_no_memory();
    s->room = (int64_t)room;
  }
  s->a[s->n] = a;
  s->b[s->n++] = b;
  return 0;
}

static int read_scores(comparison *c, sqlite3_stmt *stmt, const cli_pair *p)
{
  int status = 0;
  if (!stmt) return CLI_EXIT_DB;
  sqlite3_bind_int64(stmt, 1, p->a);
  sqlite3_bind_int64(stmt, 2, p->b);
  while (!status && cli_db_row(&c->d, stmt, &status))
    status = append(c, sqlite3_column_int64(stmt, 0), sqlite3_column_double(stmt, 1),
                    sqlite3_column_double(stmt, 2));
  sqlite3_reset(stmt);
  return status;
}

/* The share of the explained value that did not arrive: known for every explanation. */
static double lost(const cli_relevance *r)
{
  return fabs(r->value - r->sum) / fmax(fabs(r->value), 1e-12);
}

static int measure(comparison *c, int64_t i, const cli_relevance *a, const cli_relevance *b,
                   lrp_stat_room *room)
{
  for (int k = 0; k < N_MEASURE; k++)
    c->value[k][i] = (double)NAN;
  if (a->n != b->n || strcmp(a->shape, b->shape)) {
    c->n_skipped++;
    return 0;
  }
  if (!lrp_stat_reserve(room, a->n)) return compare_no_memory();
  c->value[COSINE][i] = lrp_stat_cos(a->v, b->v, a->n);
  c->value[SPEARMAN][i] = lrp_stat_spearman(a->v, b->v, a->n, room);
  c->value[TOP][i] = lrp_stat_topk_jaccard(a->v, b->v, a->n, (size_t)c->top, room);
  c->value[SIGN][i] = lrp_stat_sign_agreement(a->v, b->v, a->n);
  return 0;
}

/* The finest comes first. */
static int fineness(const char *precision)
{
  static const char *const NAMES[] = {"f64", "f32", "bf16x3", "bf16"};
  int i = 0;
  while (i < 4 && strcmp(NAMES[i], precision) != 0)
    i++;
  return i;
}

/* What a precision costs: the difference in units of the finer side, by means and by largest. */
static void errors(const cli_relevance *rough, const cli_relevance *fine, double *mean,
                   double *largest)
{
  double sum = 0, most = 0, all = 0, top = 0;
  for (size_t i = 0; i < fine->n; i++) {
    const double d = fabs(rough->v[i] - fine->v[i]), size = fabs(fine->v[i]);
    sum += d;
    all += size;
    most = fmax(most, d);
    top = fmax(top, size);
  }
  *mean = all > 0 ? sum / all : (double)NAN;
  *largest = top > 0 ? most / top : (double)NAN;
}

static int measure_precision(comparison *c, sqlite3_stmt *stmt, int64_t i, const cli_relevance *a,
                             const cli_relevance *b)
{
  int status = 0;
  if (!stmt) return CLI_EXIT_DB;
  sqlite3_bind_int64(stmt, 1, c->pairs.pair[i].a);
  sqlite3_bind_int64(stmt, 2, c->pairs.pair[i].b);
  if (cli_db_row(&c->d, stmt, &status)) {
    const char *one = cli_db_text(stmt, 0), *other = cli_db_text(stmt, 1);
    if (strcmp(one, other) != 0 && a->n == b->n) {
      const bool swap = fineness(one) < fineness(other);
      errors(swap ? b : a, swap ? a : b, &c->value[ERROR_MEAN][i], &c->value[ERROR_MOST][i]);
      snprintf(c->precision[0], sizeof c->precision[0], "%s", one);
      snprintf(c->precision[1], sizeof c->precision[1], "%s", other);
      c->n_precision++;
    }
  }
  sqlite3_reset(stmt);
  return status;
}

static int measure_all(comparison *c)
{
  cli_relevance a = {0}, b = {0};
  lrp_stat_room room = {0};
  sqlite3_stmt *read = NULL, *scores = cli_db_ask(&c->d, SQL_SCORES, ""),
               *precision = cli_db_ask(&c->d, SQL_PRECISION, "");
  int status = 0;
  for (int k = 0; k < N_MEASURE; k++) {
    c->value[k] = calloc((size_t)c->pairs.n, sizeof **c->value);
    if (!c->value[k]) status = compare_no_memory();
  }
  for (int64_t i = 0; !status && i < c->pairs.n; i++) {
    const cli_pair *p = &c->pairs.pair[i];
    status = cli_relevance_read(&c->d, &read, p->a, &a);
    if (!status) status = cli_relevance_read(&c->d, &read, p->b, &b);
    if (!status) status = measure(c, i, &a, &b, &room);
    if (!status) status = measure_precision(c, precision, i, &a, &b);
    if (!status && !c->metric) status = append(c, -1, lost(&a), lost(&b));
    if (!status) status = read_scores(c, scores, p);
  }
  sqlite3_finalize(read);
  sqlite3_finalize(scores);
  sqlite3_finalize(precision);
  lrp_stat_release(&room);
  free(a.v);
  free(b.v);
  return status;
}

/* ---- over all pairs ---- */

static int summarize(const double *v, int64_t n, int of, summary *out)
{
  double *kept = malloc((size_t)n * sizeof *kept + 1);
  size_t m = 0;
  if (!kept) return compare_no_memory();
  for (int64_t i = 0; i < n; i++)
    if (!isnan(v[i])) kept[m++] = v[i];
  *out = (summary){.n = (int64_t)m,
                   .undefined = n - (int64_t)m,
                   .mean = lrp_stat_mean(kept, m),
                   .sd = lrp_stat_sd(kept, m)};
  const bool ok = lrp_stat_bootstrap(kept, m, of, 0.95, LRP_STAT_SEED, &out->lo, &out->hi);
  out->median = lrp_stat_median(kept, m); /* last: it changes the order */
  free(kept);
  return ok ? 0 : compare_no_memory();
}

typedef struct key {
  double cosine;
  int64_t pair;
} key;

static int by_cosine(const void *a, const void *b)
{
  const key *x = a, *y = b;
  if (x->cosine < y->cosine || x->cosine > y->cosine) return x->cosine < y->cosine ? -1 : 1;
  return (x->pair > y->pair) - (x->pair < y->pair);
}

/* Undefined ones go to the end. */
static int rank(comparison *c)
{
  key *keys = malloc((size_t)c->pairs.n * sizeof *keys);
  c->order = malloc((size_t)c->pairs.n * sizeof *c->order);
  if (keys && c->order) {
    for (int64_t i = 0; i < c->pairs.n; i++)
      keys[i] = (key){isnan(c->value[COSINE][i]) ? 2 : c->value[COSINE][i], i};
    qsort(keys, (size_t)c->pairs.n, sizeof *keys, by_cosine);
    for (int64_t i = 0; i < c->pairs.n; i++)
      c->order[i] = keys[i].pair;
  }
  const bool ok = keys && c->order;
  free(keys);
  return ok ? 0 : compare_no_memory();
}

static int digest(comparison *c)
{
  int status = 0;
  for (int k = 0; !status && k < N_MEASURE; k++)
    status = summarize(c->value[k], c->pairs.n, LRP_STAT_OF_MEAN, &c->sum[k]);
  return status ? status : rank(c);
}

int compare_test(comparison *c, const series *s, paired *out)
{
  int status = 0;
  double *d = malloc((size_t)s->n * sizeof *d);
  *out = (paired){.name = "conservation", .params = "{}", .direction = -1};
  if (!d) return compare_no_memory();
  for (int64_t i = 0; i < s->n; i++)
    d[i] = s->a[i] - s->b[i];
  out->p = lrp_stat_wilcoxon(d, (size_t)s->n, &out->w);
  status = summarize(d, s->n, LRP_STAT_OF_MEDIAN, &out->difference);
  out->median_a = lrp_stat_median(s->a, (size_t)s->n);
  out->median_b = lrp_stat_median(s->b, (size_t)s->n);
  free(d);
  sqlite3_stmt *stmt =
      status || s->metric < 0 ? NULL : cli_db_ask(&c->d, SQL_METRIC, "i", s->metric);
  if (stmt && cli_db_row(&c->d, stmt, &status)) {
    snprintf(out->name, sizeof out->name, "%s", cli_db_text(stmt, 0));
    snprintf(out->params, sizeof out->params, "%s", cli_db_text(stmt, 1));
    out->direction = sqlite3_column_int(stmt, 2);
  }
  sqlite3_finalize(stmt);
  return status;
}

/* ---- for people ---- */

static void put_number(double v, int width)
{
  if (isnan(v))
    printf(" %*s", width, "-");
  else
    printf(" %*.4g", width, v);
}

static void put_agreement(const comparison *c)
{
  printf("\n%-18s %7s %9s %9s %9s   %s\n", "agreement", "n", "mean", "sd", "median",
         "95 % of the mean");
  for (int k = 0; k < compare_n_measure(c); k++) {
    const summary *s = &c->sum[k];
    char name[32] = "";
    snprintf(name, sizeof name, "top-%lld overlap", (long long)c->top);
    printf("%-18s %7lld",
           k == TOP          ? name
           : k == SIGN       ? "sign agreement"
           : k == ERROR_MEAN ? "error, mean"
           : k == ERROR_MOST ? "error, largest"
                             : COMPARE_KEYS[k],
           (long long)s->n);
    put_number(s->mean, 9);
    put_number(s->sd, 9);
    put_number(s->median, 9);
    printf("  ");
    put_number(s->lo, 0);
    printf(" ..");
    put_number(s->hi, 0);
    if (s->undefined) printf("   (%lld undefined)", (long long)s->undefined);
    putchar('\n');
  }
}

static int put_tests(comparison *c)
{
  int status = 0;
  if (!c->n_series) return 0;
  printf("\n%-18s %7s %9s %9s %11s   %-24s %s\n", "metric", "n", "median A", "median B",
         "median A-B", "95 % of the median A-B", "Wilcoxon p");
  for (int i = 0; !status && i < c->n_series; i++) {
    paired p;
    status = compare_test(c, &c->series[i], &p);
    if (status || (c->metric && strcmp(c->metric, p.name))) continue;
    char interval[64];
    snprintf(interval, sizeof interval, "%.4g .. %.4g", p.difference.lo, p.difference.hi);
    cli_escape(stdout, p.name, strlen(p.name));
    printf("%*s %7lld", 18 - cli_width(p.name, strlen(p.name)), "", (long long)p.difference.n);
    put_number(p.median_a, 9);
    put_number(p.median_b, 9);
    put_number(p.difference.median, 11);
    printf("   %-24s", interval);
    put_number(p.p, 0);
    putchar('\n');
  }
  return status;
}

static int put_worst(comparison *c)
{
  int status = 0;
  sqlite3_stmt *stmt = cli_db_ask(&c->d, COMPARE_SQL_INPUT, "");
  if (c->n_worst)
    printf("\n%9s %9s %7s %6s %6s  %-12s %s\n", "cosine", "spearman", "overlap", "A", "B",
           "explained", "input, the largest disagreement first");
  for (int64_t i = 0; stmt && !status && i < c->n_worst; i++) {
    const int64_t at = c->order[i];
    const cli_pair *p = &c->pairs.pair[at];
    sqlite3_bind_int64(stmt, 1, p->a);
    if (cli_db_row(&c->d, stmt, &status)) {
      const char *target = cli_db_text(stmt, 1), *input = cli_db_text(stmt, 0);
      put_number(c->value[COSINE][at], 8);
      put_number(c->value[SPEARMAN][at], 9);
      put_number(c->value[TOP][at], 7);
      printf(" %6lld %6lld  ", (long long)p->a, (long long)p->b);
      cli_escape(stdout, target, strlen(target));
      const int pad = 12 - cli_width(target, strlen(target));
      printf("%*s ", pad > 0 ? pad : 0, "");
      size_t n = strlen(input);
      if (n > 60)
        for (n = 60; n && ((unsigned char)input[n] & 0xc0) == 0x80;)
          n--;
      cli_escape(stdout, input, n);
      puts(input[n] ? "..." : "");
    }
    sqlite3_reset(stmt);
  }
  sqlite3_finalize(stmt);
  return stmt ? status : CLI_EXIT_DB;
}

static int put_all(comparison *c)
{
  const cli_side *s = c->pairs.side;
  for (int i = 0; i < 2; i++) {
    printf("%c  ", "AB"[i]);
    if (s[i].kind == CLI_SIDE_RUN)
      printf("run %lld", (long long)s[i].run);
    else
      printf("%s%s", s[i].kind == CLI_SIDE_MODEL ? "model " : "", s[i].name);
    printf(": %lld explanation%s\n", (long long)s[i].n, cli_plural(s[i].n));
  }
  printf("%lld pair%s of the same input and class", (long long)c->pairs.n, cli_plural(c->pairs.n));
  if (c->n_skipped)
    printf("; %lld of them have relevance of different shapes, and are left out",
           (long long)c->n_skipped);
  putchar('\n');
  if (c->n_precision)
    printf("precision: A %s, B %s; errors are in units of the finer one's mean and largest "
           "relevance\n",
           c->precision[0], c->precision[1]);
  put_agreement(c);
  const int status = put_tests(c);
  return status ? status : put_worst(c);
}

/* ---- the command ---- */

static int compare(comparison *c, const cli_args *a)
{
  int status = cli_db_open_snapshot(&c->d, a->value[O_DB]);
  if (!status)
    status = cli_pairs_find(&c->d, a->operand[0], a->operand[1], a->value[O_MODEL], &c->pairs);
  if (!status) status = measure_all(c);
  if (!status) status = digest(c);
  if (status) return status;
  if (c->n_worst > c->pairs.n) c->n_worst = c->pairs.n;
  status = a->value[O_JSON] ? compare_json(c) : put_all(c);
  if (!status && a->value[O_OUT])
    status = cli_pairs_picture(&c->d, &c->pairs, c->order, c->n_worst, a->value[O_OUT]);
  return status;
}

static void release(comparison *c)
{
  for (int k = 0; k < N_MEASURE; k++)
    free(c->value[k]);
  for (int i = 0; i < c->n_series; i++) {
    free(c->series[i].a);
    free(c->series[i].b);
  }
  free(c->series);
  free(c->order);
  cli_pairs_free(&c->pairs);
  cli_db_close(&c->d);
}

static bool understood(const cli_args *a, comparison *c)
{
  *c = (comparison){.top = 5, .n_worst = 10, .metric = a->value[O_METRIC]};
  if (a->n_operand != 2) {
    cli_error("compare: two of them were expected, %d given: names of composites, runs (run:1), or "
              "models",
              a->n_operand);
    return false;
  }
  if (a->value[O_OUT] && !cli_has_ending(a->value[O_OUT], ".html") &&
      !cli_has_ending(a->value[O_OUT], ".png")) {
    cli_error("compare: --output %s: a name with .html or .png was expected", a->value[O_OUT]);
    return false;
  }
  return (!a->value[O_TOP] || cli_int(&OPTIONS[O_TOP], a->value[O_TOP], 1, INT32_MAX, &c->top)) &&
         (!a->value[O_WORST] ||
          cli_int(&OPTIONS[O_WORST], a->value[O_WORST], 0, INT32_MAX, &c->n_worst));
}

static int run_compare(const cli_command *c, int argc, char **argv)
{
  cli_args a;
  comparison all;
  int status = cli_parse(c, argc, argv, &a);
  if (status) {
    status--;
  } else if (!understood(&a, &all)) {
    status = 2;
  } else {
    status = compare(&all, &a);
    release(&all);
  }
  cli_args_free(&a);
  return status;
}
