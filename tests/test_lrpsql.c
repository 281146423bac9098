/* test_lrpsql.c - the SQL functions on BLOBs of reals against plain loops, and on BLOBs that are none. */
#include "lrpsql.h"
#include "stat.h"
#include "store_facts.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static sqlite3 *db;

static void setup(void)
{
  ck_assert_int_eq(sqlite3_open(":memory:", &db), SQLITE_OK);
  ck_assert_int_eq(lrp_sql_functions(db), SQLITE_OK);
}

static void teardown(void)
{
  ck_assert_int_eq(sqlite3_close(db), SQLITE_OK); /* not busy: nothing was left open */
}

/* Little-endian, whatever this machine is. */
static void put(unsigned char *to, float v)
{
  uint32_t bits;
  memcpy(&bits, &v, sizeof bits);
  for (int b = 0; b < 4; b++)
    to[b] = (unsigned char)(bits >> (8 * b));
}

static sqlite3_stmt *ask(const char *sql)
{
  sqlite3_stmt *s = NULL;
  ck_assert_msg(sqlite3_prepare_v2(db, sql, -1, &s, NULL) == SQLITE_OK, "%s: %s", sql, sqlite3_errmsg(db));
  return s;
}

/* The first value as text; "(null)". */
static const char *text_of(const char *sql)
{
  static char text[1024];
  sqlite3_stmt *s = ask(sql);
  ck_assert_msg(sqlite3_step(s) == SQLITE_ROW, "%s: %s", sql, sqlite3_errmsg(db));
  const unsigned char *v = sqlite3_column_text(s, 0);
  snprintf(text, sizeof text, "%s", v ? (const char *)v : "(null)");
  sqlite3_finalize(s);
  return text;
}

static double real_of(const char *sql)
{
  sqlite3_stmt *s = ask(sql);
  ck_assert_int_eq(sqlite3_step(s), SQLITE_ROW);
  ck_assert_msg(sqlite3_column_type(s, 0) != SQLITE_NULL, "%s is NULL", sql);
  const double v = sqlite3_column_double(s, 0);
  sqlite3_finalize(s);
  return v;
}

/* A function of two BLOBs; NaN for NULL. */
static double of_two(const char *sql, const float *a, const float *b, size_t n)
{
  unsigned char x[4 * 64], y[4 * 64];
  sqlite3_stmt *s = ask(sql);
  for (size_t i = 0; i < n; i++) {
    put(x + 4 * i, a[i]);
    put(y + 4 * i, b[i]);
  }
  sqlite3_bind_blob(s, 1, x, (int)(4 * n), SQLITE_STATIC);
  sqlite3_bind_blob(s, 2, y, (int)(4 * n), SQLITE_STATIC);
  ck_assert_int_eq(sqlite3_step(s), SQLITE_ROW);
  const double v = sqlite3_column_type(s, 0) == SQLITE_NULL ? (double)NAN : sqlite3_column_double(s, 0);
  sqlite3_finalize(s);
  return v;
}

static uint32_t state;

static uint32_t draw(void)
{
  state = state * 1664525u + 1013904223u;
  return state >> 8;
}

static void fill(float *v, size_t n)
{
  for (size_t i = 0; i < n; i++)
    v[i] = (float)((int)(draw() % 9) - 4) / 4; /* with ties and zeros */
}

/* ---- plain loops ---- */

static double plain_cos(const float *a, const float *b, size_t n)
{
  double ab = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < n; i++) {
    ab += (double)a[i] * (double)b[i];
    aa += (double)a[i] * (double)a[i];
    bb += (double)b[i] * (double)b[i];
  }
  return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : (double)NAN;
}

static double plain_rank(const float *v, size_t n, size_t at)
{
  double below = 0, same = 0;
  for (size_t i = 0; i < n; i++) {
    below += v[i] < v[at];
    same += !(v[i] < v[at]) && !(v[i] > v[at]);
  }
  return below + 0.5 * (same + 1);
}

static double plain_spearman(const float *a, const float *b, size_t n)
{
  double ab = 0, aa = 0, bb = 0;
  const double mean = 0.5 * (double)(n + 1);
  for (size_t i = 0; i < n; i++) {
    const double x = plain_rank(a, n, i) - mean, y = plain_rank(b, n, i) - mean;
    ab += x * y;
    aa += x * x;
    bb += y * y;
  }
  return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : (double)NAN;
}

/* Is place `at` among the k largest magnitudes, the lower place first among equals? */
static bool plain_top(const float *v, size_t n, size_t at, size_t k)
{
  size_t before = 0;
  for (size_t i = 0; i < n; i++)
    before += fabsf(v[i]) > fabsf(v[at]) || (!(fabsf(v[i]) < fabsf(v[at])) && i < at);
  return before < k;
}

static double plain_jaccard(const float *a, const float *b, size_t n, size_t k)
{
  double both = 0, any = 0;
  for (size_t i = 0; i < n; i++) {
    const bool x = plain_top(a, n, i, k), y = plain_top(b, n, i, k);
    both += x && y;
    any += x || y;
  }
  return any > 0 ? both / any : (double)NAN;
}

static double plain_signs(const float *a, const float *b, size_t n)
{
  double same = 0, used = 0;
  for (size_t i = 0; i < n; i++) {
    if (!(fabsf(a[i]) > 0) && !(fabsf(b[i]) > 0)) continue;
    used++;
    same += (a[i] > 0 && b[i] > 0) || (a[i] < 0 && b[i] < 0);
  }
  return used > 0 ? same / used : (double)NAN;
}

static void ck_same(double got, double wanted, const char *what, size_t n)
{
  ck_assert_msg(isnan(got) == isnan(wanted) && (isnan(got) || fabs(got - wanted) < 1e-12), "%s of %zu: %.17g, not %.17g", what, n,
                got, wanted);
}

START_TEST(pairs_agree_with_plain_loops)
{
  float a[64], b[64];
  state = 7;
  for (int round = 0; round < 400; round++) {
    const size_t n = draw() % 65;
    fill(a, n);
    fill(b, n);
    ck_same(of_two("SELECT f32_cos(?1, ?2)", a, b, n), plain_cos(a, b, n), "cos", n);
    ck_same(of_two("SELECT f32_spearman(?1, ?2)", a, b, n), n > 1 ? plain_spearman(a, b, n) : (double)NAN, "spearman", n);
    ck_same(of_two("SELECT f32_topk_jaccard(?1, ?2, 5)", a, b, n), n ? plain_jaccard(a, b, n, 5) : (double)NAN, "topk", n);
    ck_same(of_two("SELECT f32_sign_agreement(?1, ?2)", a, b, n), plain_signs(a, b, n), "signs", n);
  }
}
END_TEST

START_TEST(one_vector_is_read_exactly)
{
  ck_assert_str_eq(text_of("SELECT f32_json(x'cdcccc3d0000c0ff000080bf')"), "[0.100000001,null,-1.0]");
  ck_assert_str_eq(text_of("SELECT f64_json(x'9a9999999999b93f')"), "[0.10000000000000001]");
  ck_assert_str_eq(text_of("SELECT f32_json(x'')"), "[]");
  ck_assert(fabs(real_of("SELECT f32_at(x'0000803f00000040', 1)") - 2) < 1e-15);
  ck_assert(fabs(real_of("SELECT f64_at(x'000000000000f0bf', 0)") + 1) < 1e-15);
  ck_assert(fabs(real_of("SELECT f32_sum(x'0000803f00000040')") - 3) < 1e-15);
  ck_assert_str_eq(text_of("SELECT f32_len(x'0000803f00000040')"), "2");
  ck_assert_str_eq(text_of("SELECT group_concat(value, ' ') FROM json_each(f32_json(x'0000803f00000040'))"), "1.0 2.0");
}
END_TEST

START_TEST(what_is_no_vector_gives_null)
{
  static const char *const questions[] = {
      "f32_len(x'0000')",        "f32_len('text')",         "f32_len(NULL)",         "f32_len(1.5)",
      "f64_len(x'0000803f')",    "f32_at(x'0000803f', 1)",  "f32_at(x'0000803f', -1)", "f32_at(x'0000803f', NULL)",
      "f32_at(x'0000803f', 9223372036854775807)",           "f32_sum(x'00')",        "f32_sum(x'0000c07f')",
      "f32_json(x'000000')",     "f32_json(NULL)",          "f32_cos(x'0000803f', x'')", "f32_cos(x'', x'')",
      "f32_cos(x'0000803f', x'0000803f0000803f')",          "f32_cos(NULL, x'0000803f')", "f32_cos(x'00000000', x'0000803f')",
      "f32_cos(x'0000c07f', x'0000803f')",                  "f32_spearman(x'0000803f', x'0000803f')",
      "f32_spearman(x'0000803f0000803f', x'0000803f00000040')",
      "f32_topk_jaccard(x'0000803f', x'0000803f', 0)",      "f32_topk_jaccard(x'0000803f', x'0000803f', NULL)",
      "f32_topk_jaccard(x'0000c07f', x'0000803f', 1)",      "f32_sign_agreement(x'00000000', x'00000000')"};
  for (size_t i = 0; i < sizeof questions / sizeof *questions; i++) {
    char sql[200];
    snprintf(sql, sizeof sql, "SELECT %s", questions[i]);
    ck_assert_msg(!strcmp(text_of(sql), "(null)"), "%s: %s", sql, text_of(sql));
  }
}
END_TEST

START_TEST(each_gives_a_row_an_element)
{
  ck_assert_str_eq(text_of("SELECT group_concat(position || ':' || value || ':' || coalesce(id, '-'), ' ')"
                           " FROM f32_each(x'0000803f000000c0', x'07000000feffffff')"),
                   "0:1.0:7 1:-2.0:-2");
  ck_assert_str_eq(text_of("SELECT group_concat(position || ':' || value || ':' || coalesce(id, '-'), ' ')"
                           " FROM f32_each(x'0000803f000000c0')"),
                   "0:1.0:- 1:-2.0:-");
  ck_assert_str_eq(text_of("SELECT count(*) FROM f32_each"), "0");
  ck_assert_str_eq(text_of("SELECT count(*) FROM f32_each(NULL)"), "0");
  ck_assert_str_eq(text_of("SELECT count(*) FROM f32_each(x'00')"), "0");
  ck_assert_str_eq(text_of("SELECT count(*) FROM f32_each(x'0000803f', x'0000')"), "0");
  ck_assert_str_eq(text_of("SELECT count(*) FROM f64_each(x'0000803f')"), "0");
  ck_assert_str_eq(text_of("WITH t(r) AS (VALUES (x'0000803f'), (x'0000004000000040'))"
                           " SELECT sum(e.value) FROM t, f32_each(t.r) e"),
                   "5.0");
  ck_assert_str_eq(text_of("SELECT group_concat(b.value) FROM f32_each(x'0000803f00000040') a"
                           " JOIN f32_each(x'0000803f00000040') b USING (position) ORDER BY position"),
                   "1.0,2.0");
}
END_TEST

/* ---- aggregates ---- */

START_TEST(median_leaves_out_what_is_no_number)
{
  ck_assert(fabs(real_of("SELECT median(column1) FROM (VALUES (9), (NULL), ('x'), (1), (2.5))") - 2.5) < 1e-15);
  ck_assert(fabs(real_of("SELECT median(column1) FROM (VALUES (4), (1), (2), (3))") - 2.5) < 1e-15);
  ck_assert_str_eq(text_of("SELECT median(column1) FROM (VALUES (NULL), ('a'))"), "(null)");
  ck_assert_str_eq(text_of("SELECT median(1) WHERE 0"), "(null)");
  ck_assert_str_eq(text_of("SELECT group_concat(m) FROM (SELECT median(column2) AS m FROM (VALUES (1, 5), (2, 7), (1, 6))"
                           " GROUP BY column1)"),
                   "5.5,7.0");
}
END_TEST

START_TEST(bootstrap_interval_is_repeatable_and_covers_the_mean)
{
  static const char many[] = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < %d) SELECT bootstrap_%s FROM n";
  char sql[256];
  double lo, hi;
  snprintf(sql, sizeof sql, many, 99, "lo(i % 10)");
  lo = real_of(sql);
  ck_assert(fabs(real_of(sql) - lo) < 1e-300);
  snprintf(sql, sizeof sql, many, 99, "hi(i % 10)");
  hi = real_of(sql);
  ck_assert(lo < 4.5 && hi > 4.5);
  /* mean +- 1.96 sd / sqrt(n): sd of 0..9 is 2.872 */
  ck_assert(fabs(lo - (4.5 - 0.563)) < 0.08 && fabs(hi - (4.5 + 0.563)) < 0.08);
  snprintf(sql, sizeof sql, many, 99, "lo(i % 10, 0.5)");
  ck_assert(real_of(sql) > lo);
  snprintf(sql, sizeof sql, many, 99, "lo(i % 10, 0.95, 2)");
  ck_assert(fabs(real_of(sql) - lo) > 1e-9);
  snprintf(sql, sizeof sql, many, 99, "lo(i, 1)");
  ck_assert_str_eq(text_of(sql), "(null)");
  snprintf(sql, sizeof sql, many, 29999, "lo(i % 10)"); /* the limit for large samples */
  ck_assert(fabs(real_of(sql) - (4.5 - 1.95996 * 2.87233 / sqrt(30000))) < 1e-4);
  ck_assert_str_eq(text_of("SELECT bootstrap_hi(1) WHERE 0"), "(null)");
  ck_assert(fabs(real_of("SELECT bootstrap_hi(3)") - 3) < 1e-15);
}
END_TEST

START_TEST(wilcoxon_gives_the_published_values)
{
  double w;
  /* Hollander and Wolfe (1973), table 3.1: depression scores; p as R and SciPy give it. */
  const double depression[] = {-0.952, 0.147, -1.022, -0.430, -0.620, -0.590, -0.490, 0.080, -0.010};
  ck_assert(fabs(lrp_stat_wilcoxon(depression, 9, &w) - 0.0390625) < 1e-12);
  ck_assert(fabs(w - 5) < 1e-12);
  /* ties and a zero: the normal distribution, corrected for ties; SciPy 1.17, method='approx', correction=False */
  const double tied[] = {1, 1, -1, 2, 2, 0, 3, -2, 4, 4, 5, -1};
  ck_assert(fabs(lrp_stat_wilcoxon(tied, 12, &w) - 0.0487584194) < 1e-9);
  const double none[] = {0, 0};
  ck_assert(isnan(lrp_stat_wilcoxon(none, 2, &w)));
  ck_assert(isnan(lrp_stat_wilcoxon(none, 0, &w)));
}
END_TEST

/* ---- anything may come ---- */

START_TEST(random_bytes_do_no_harm)
{
  static const char *const questions[] = {
      "SELECT f32_cos(?1, ?2), f64_cos(?1, ?2), f32_len(?1), f32_at(?1, ?3), f32_sum(?1), f64_sum(?2)",
      "SELECT f32_spearman(?1, ?2), f64_spearman(?1, ?2), f32_topk_jaccard(?1, ?2, ?3), f32_sign_agreement(?1, ?2)",
      "SELECT f32_json(?1), f64_json(?2), json_valid(f32_json(?1)) IN (0, 1)",
      "SELECT sum(value), sum(id), max(position) FROM f32_each(?1, ?2)",
      "SELECT median(value), bootstrap_lo(value, ?3), bootstrap_hi(value, 0.9, ?3) FROM f64_each(?1)"};
  state = 3;
  for (int round = 0; round < 300; round++) {
    unsigned char a[300], b[300];
    const int n_a = (int)(draw() % 300), n_b = draw() % 2 ? n_a : (int)(draw() % 300);
    for (int i = 0; i < 300; i++) {
      a[i] = draw() % 4 ? (unsigned char)draw() : 0xff;
      b[i] = (unsigned char)draw();
    }
    for (size_t q = 0; q < sizeof questions / sizeof *questions; q++) {
      sqlite3_stmt *s = ask(questions[q]);
      sqlite3_bind_blob(s, 1, a, n_a, SQLITE_STATIC);
      if (draw() % 8)
        sqlite3_bind_blob(s, 2, b, n_b, SQLITE_STATIC);
      else
        sqlite3_bind_text(s, 2, "text", -1, SQLITE_STATIC);
      sqlite3_bind_int64(s, 3, (int64_t)draw() - 5000000);
      ck_assert_msg(sqlite3_step(s) == SQLITE_ROW, "%s: %s", questions[q], sqlite3_errmsg(db));
      sqlite3_finalize(s);
    }
  }
}
END_TEST

START_TEST(functions_may_stand_in_indices_and_views)
{
  ck_assert_int_eq(sqlite3_exec(db, "PRAGMA trusted_schema=OFF; CREATE TABLE t(r BLOB); CREATE INDEX i ON t(f32_sum(r));"
                                    "INSERT INTO t VALUES (x'0000803f'); CREATE VIEW v AS SELECT f32_cos(r, r) AS c,"
                                    " (SELECT count(*) FROM f32_each(r)) AS n FROM t",
                                NULL, NULL, NULL),
                   SQLITE_OK);
  ck_assert(fabs(real_of("SELECT c + n FROM v WHERE c > 0") - 2) < 1e-15);
}
END_TEST

/* ---- on a store ---- */

static lrp_store *filled(lrp_ctx *ctx, facts *f)
{
  lrp_store *s;
  lrp_run *run;
  unlink(lrp_test_tmp("words.db"));
  facts_fill(f);
  f->token[2].begin = 4; /* with the blank before it, as byte-level tokens have it */
  lrp_ck_ok(ctx, lrp_store_open(ctx, lrp_test_tmp("words.db"), LRP_STORE_CREATE, &s));
  for (int i = 0; i < 2; i++) {
    lrp_ck_ok(ctx, lrp_store_run_begin(s, &f->spec, &run));
    lrp_ck_ok(ctx, lrp_store_explanation(s, run, &f->record, NULL));
    facts_number(f, 1);
    lrp_ck_ok(ctx, lrp_store_explanation(s, run, &f->record, NULL));
    lrp_ck_ok(ctx, lrp_store_run_end(s, run, LRP_RUN_DONE));
    facts_number(f, 2);
  }
  return s;
}

/* Two runs of two texts each, one of them in both: its words count once, unless a run is named. */
#define LATEST                                                                                     \
  "(SELECT * FROM v_word v WHERE NOT EXISTS (SELECT 1 FROM explanation y WHERE y.input_id = v.input_id AND y.run_id > v.run_id))"
START_TEST(top_words_are_those_of_v_word)
{
  lrp_ctx *ctx;
  facts f;
  ck_assert_int_eq(lrp_ctx_new(&ctx), LRP_OK);
  lrp_store *s = filled(ctx, &f);
  ck_assert_int_eq(facts_int(s, "SELECT count(*) FROM top_words"), 2);
  ck_assert_int_eq(facts_int(s, "SELECT count(*) FROM (SELECT composite_id, target_class, word, n, relevance FROM top_words"
                                " EXCEPT SELECT composite_id, target_class, lower(word), count(*), avg(relevance) FROM " LATEST
                                " JOIN run USING (run_id) GROUP BY 1, 2, 3)"),
                   0);
  ck_assert_str_eq(facts_text(s, "SELECT group_concat(word || ' ' || n || ' ' || relevance) FROM top_words(1)"), "good 3 0.75");
  ck_assert_str_eq(facts_text(s, "SELECT group_concat(word || ' ' || n) FROM top_words(5, 2)"), "good 2,film 2");
  ck_assert_str_eq(facts_text(s, "SELECT group_concat(word || ' ' || n) FROM top_words(5, 1)"), "good 2,film 2");
  /* the half of the interval is t(0.975, 2) sd / sqrt(3) */
  ck_assert_int_eq(facts_int(s, "SELECT count(*) FROM top_words t JOIN (SELECT lower(word) AS word, count(*) AS n,"
                                " (sum(relevance * relevance) - count(*) * avg(relevance) * avg(relevance)) / 2 AS v FROM " LATEST " GROUP BY 1) w"
                                " USING (word) WHERE w.n = 3 AND t.low <= t.relevance AND"
                                " abs((high - low) * (high - low) / 4 - 4.30265 * 4.30265 * v / 3) <= 1e-5 * v"),
                   2);
  ck_assert_int_eq(facts_int(s, "SELECT count(*) FROM top_words(NULL, NULL, 1)"), 0); /* no true labels are known */
  ck_assert_int_eq(facts_int(s, "SELECT count(*) FROM top_words(NULL, NULL, 0)"), 2);
  ck_assert_int_eq(facts_int(s, "SELECT count(*) FROM top_words(0)"), 0);
  ck_assert_int_eq(facts_int(s, "SELECT count(*) FROM top_words(NULL, 99)"), 0);
  ck_assert_int_eq(sqlite3_exec(s->db, "DELETE FROM token_relevance", NULL, NULL, NULL), SQLITE_OK);
  ck_assert_int_eq(facts_int(s, "SELECT count(*) FROM top_words"), 2);
  lrp_store_close(s);
  lrp_ctx_free(ctx);
}
END_TEST

START_TEST(top_words_outside_of_a_store_say_what_is_missing)
{
  sqlite3_stmt *stmt = ask("SELECT * FROM top_words");
  ck_assert_int_eq(sqlite3_step(stmt), SQLITE_ERROR);
  ck_assert_ptr_nonnull(strstr(sqlite3_errmsg(db), "no such table"));
  sqlite3_finalize(stmt);
}
END_TEST

START_TEST(t_quantiles_are_those_of_the_tables)
{
  static const double known[][2] = {{1, 12.70620}, {2, 4.302653}, {3, 3.182446}, {4, 2.776445}, {5, 2.570582},
                                    {10, 2.228139}, {30, 2.042272}, {100, 1.983972}, {1e6, 1.959966}};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    ck_assert_double_eq_tol(lrp_stat_t_quantile(0.975, known[i][0]), known[i][1], 2e-5 * known[i][1]);
  ck_assert_double_nan(lrp_stat_t_quantile(0.975, 0));
}
END_TEST

static int keep(void *user, const char *bytes, size_t n)
{
  strncat(user, bytes, n < 200 ? n : 200);
  return 0;
}

START_TEST(queries_know_the_functions)
{
  lrp_ctx *ctx;
  facts f;
  char out[1024] = "";
  ck_assert_int_eq(lrp_ctx_new(&ctx), LRP_OK);
  lrp_store_close(filled(ctx, &f));
  lrp_ck_ok(ctx, lrp_store_query(ctx, lrp_test_tmp("words.db"),
                                 sizeof(lrp_real) == 8
                                     ? "SELECT round(f64_cos(ra, rb)) AS c, (SELECT count(*) FROM f64_each(ra)) AS n FROM v_pair LIMIT 1"
                                     : "SELECT round(f32_cos(ra, rb)) AS c, (SELECT count(*) FROM f32_each(ra)) AS n FROM v_pair LIMIT 1",
                                 LRP_FORMAT_CSV, 0, keep, out));
  ck_assert_str_eq(out, "c,n\n1,3\n");
  out[0] = '\0';
  lrp_ck_ok(ctx, lrp_store_query(ctx, lrp_test_tmp("words.db"), "SELECT count(*) AS n FROM top_words", LRP_FORMAT_CSV, 0, keep, out));
  ck_assert_str_eq(out, "n\n2\n");
  lrp_ctx_free(ctx);
}
END_TEST

Suite *suite_lrpsql(void);
Suite *suite_lrpsql(void)
{
  Suite *s = suite_create("lrpsql");
  TCase *t = tcase_create("functions");
  tcase_add_checked_fixture(t, setup, teardown);
  tcase_add_test(t, pairs_agree_with_plain_loops);
  tcase_add_test(t, one_vector_is_read_exactly);
  tcase_add_test(t, what_is_no_vector_gives_null);
  tcase_add_test(t, each_gives_a_row_an_element);
  tcase_add_test(t, median_leaves_out_what_is_no_number);
  tcase_add_test(t, bootstrap_interval_is_repeatable_and_covers_the_mean);
  tcase_add_test(t, wilcoxon_gives_the_published_values);
  tcase_add_test(t, random_bytes_do_no_harm);
  tcase_add_test(t, functions_may_stand_in_indices_and_views);
  tcase_add_test(t, top_words_are_those_of_v_word);
  tcase_add_test(t, t_quantiles_are_those_of_the_tables);
  tcase_add_test(t, top_words_outside_of_a_store_say_what_is_missing);
  tcase_add_test(t, queries_know_the_functions);
  suite_add_tcase(s, t);
  return s;
}
