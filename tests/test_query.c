/* test_query.c - SQL over a store: nothing can be changed, nothing runs for ever, and rows print as they should. */
#include "store_facts.h"
#include "store_print.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static lrp_ctx *ctx;
static const char *path;
static char printed[1 << 16];
static size_t n_printed;

static void setup(void)
{
  facts f;
  lrp_store *s;
  lrp_run *run;
  ck_assert_int_eq(lrp_ctx_new(&ctx), LRP_OK);
  path = lrp_test_tmp("query.db");
  unlink(path);
  facts_fill(&f);
  lrp_ck_ok(ctx, lrp_store_open(ctx, path, LRP_STORE_CREATE, &s));
  lrp_ck_ok(ctx, lrp_store_run_begin(s, &f.spec, &run));
  lrp_ck_ok(ctx, lrp_store_explanation(s, run, &f.record, NULL));
  lrp_store_close(s);
}

static void teardown(void)
{
  lrp_ctx_free(ctx);
}

static int take(void *user, const char *bytes, size_t n)
{
  (void)user;
  if (n > sizeof printed - 1 - n_printed) return 1;
  memcpy(printed + n_printed, bytes, n);
  n_printed += n;
  printed[n_printed] = '\0';
  return 0;
}

static lrp_status ask(const char *sql, int32_t format)
{
  n_printed = 0;
  printed[0] = '\0';
  return lrp_store_query(ctx, path, sql, format, 0, take, NULL);
}

static void ck_prints(const char *sql, int32_t format, const char *expected)
{
  lrp_ck_ok(ctx, ask(sql, format));
  ck_assert_str_eq(printed, expected);
}

START_TEST(writing_statements_are_refused)
{
  static const char *const statements[] = {"INSERT INTO tag VALUES(1,'a','b')",
                                           "UPDATE run SET status='done'",
                                           "DELETE FROM run",
                                           "DROP TABLE run",
                                           "CREATE TABLE x(y)",
                                           "CREATE TEMP TABLE x(y)",
                                           "CREATE VIRTUAL TABLE x USING fts5(y)",
                                           "ALTER TABLE run RENAME TO ran",
                                           "ATTACH 'other.db' AS o",
                                           "ATTACH ':memory:' AS o",
                                           "DETACH main",
                                           "VACUUM",
                                           "VACUUM INTO 'copy.db'",
                                           "REINDEX",
                                           "ANALYZE",
                                           "BEGIN IMMEDIATE",
                                           "SAVEPOINT a",
                                           "PRAGMA user_version=9",
                                           "PRAGMA query_only=0",
                                           "PRAGMA journal_mode=DELETE",
                                           "PRAGMA writable_schema=1",
                                           "SELECT load_extension('x')",
                                           "SELECT 1; DELETE FROM run",
                                           "EXPLAIN DELETE FROM run",
                                           "WITH t AS (SELECT 1) INSERT INTO tag SELECT 1,'a','b' FROM t"};
  for (size_t i = 0; i < sizeof statements / sizeof *statements; i++) {
    lrp_status st = ask(statements[i], LRP_FORMAT_CSV);
    ck_assert_msg(st == LRP_E_DB && strstr(lrp_message(ctx), "refused"), "%s: %s: %s", statements[i],
                  lrp_status_name(st), lrp_message(ctx));
  }
  lrp_ck_fails(ctx, LRP_E_ARG, "may not be modified", ask("UPDATE sqlite_master SET sql=''", 0));
  ck_assert_int_ne(access("copy.db", F_OK), 0);
  ck_assert_int_ne(access("other.db", F_OK), 0);
  ck_prints("SELECT (SELECT count(*) FROM run), (SELECT count(*) FROM tag)", LRP_FORMAT_CSV,
            "(SELECT count(*) FROM run),(SELECT count(*) FROM tag)\n1,1\n");
}
END_TEST

START_TEST(reading_of_all_kinds_is_allowed)
{
  lrp_ck_ok(
      ctx,
      ask("PRAGMA user_version; PRAGMA table_info(run); SELECT * FROM pragma_index_list('explanation')", 0));
  lrp_ck_ok(ctx, ask("SELECT value FROM json_each('[1,2]')", 0));
  lrp_ck_ok(ctx, ask("SELECT rowid FROM input_fts WHERE input_fts MATCH 'good'", LRP_FORMAT_CSV));
  ck_assert_str_eq(printed, "rowid\n1\n");
  lrp_ck_ok(ctx, ask("EXPLAIN QUERY PLAN SELECT * FROM v_word", 0));
  lrp_ck_ok(ctx, ask("SELECT * FROM v_explanation, v_run, v_token, v_word, v_flow, v_conservation",
                     LRP_FORMAT_JSON));
  lrp_ck_ok(ctx, ask("SELECT * FROM v_pair; SELECT * FROM v_score", LRP_FORMAT_MARKDOWN));
}
END_TEST

START_TEST(endless_query_is_stopped)
{
  static const char endless[] =
      "WITH RECURSIVE n(x) AS (VALUES(1) UNION ALL SELECT x+1 FROM n) SELECT max(x) FROM n";
  lrp_ck_fails(ctx, LRP_E_DB, "stopped after 0.05 s",
               lrp_store_query(ctx, path, endless, 0, 0.05, take, NULL));
}
END_TEST

START_TEST(output_that_nobody_takes_stops_the_query)
{
  lrp_ck_fails(
      ctx, LRP_E_IO, "could not be written",
      ask("WITH RECURSIVE n(x) AS (VALUES(1) UNION ALL SELECT x+1 FROM n) SELECT x FROM n", LRP_FORMAT_CSV));
}
END_TEST

START_TEST(wrong_sql_is_told_with_its_place)
{
  lrp_ck_fails(ctx, LRP_E_ARG, "no such column: foo", ask("SELECT 1;\nSELECT 'é', foo FROM run", 0));
#if SQLITE_VERSION_NUMBER >= 3038000
  ck_assert_msg(strstr(lrp_message(ctx), "line 2, column 13"), "%s", lrp_message(ctx));
  ck_assert_msg(strstr(lrp_message(ctx), "\n  SELECT 'é', foo FROM run\n              ^"), "%s",
                lrp_message(ctx));
#endif
  lrp_ck_fails(ctx, LRP_E_ARG, "syntax error", ask("SELEKT", 0));
  lrp_ck_fails(ctx, LRP_E_ARG, "incomplete input", ask("SELECT (", 0));
  lrp_ck_fails(ctx, LRP_E_ARG, "no such table: nowhere", ask("SELECT * FROM nowhere", 0));
  lrp_ck_fails(ctx, LRP_E_ARG, "no statement", ask("  -- nothing\n ;", 0));
  lrp_ck_fails(ctx, LRP_E_ARG, "?1 has no value", ask("SELECT ?1", 0));
  lrp_ck_fails(ctx, LRP_E_ARG, "malformed JSON", ask("SELECT json('{')", 0));
  lrp_ck_fails(ctx, LRP_E_ARG, "format 9", ask("SELECT 1", 9));
}
END_TEST

START_TEST(table_is_aligned_by_what_a_terminal_shows)
{
  ck_prints("SELECT 'a' AS word, 1 AS n UNION ALL SELECT '日本', 23 UNION ALL SELECT NULL, NULL UNION ALL "
            "SELECT x'0102', -4.5",
            LRP_FORMAT_TABLE,
            "word          n\n"
            "---------  ----\n"
            "a             1\n"
            "日本         23\n"
            "           \n"
            "<2 bytes>  -4.5\n");
}
END_TEST

START_TEST(table_shows_control_characters_as_escapes)
{
  ck_prints("SELECT 'a' || char(27) || '[31m' || char(10) || char(0x202e) || char(9) AS t", LRP_FORMAT_TABLE,
            "t\n-----------------------\na\\u{1B}[31m\\n\\u{202E}\\t\n");
}
END_TEST

START_TEST(long_cell_is_cut_in_a_table_only)
{
  lrp_ck_ok(ctx, ask("SELECT replace(hex(zeroblob(100)), '0', 'é') AS t", LRP_FORMAT_TABLE));
  ck_assert_msg(strstr(printed, "é…\n"), "%s", printed);
  size_t letters = 0;
  for (const char *p = printed; (p = strstr(p, "é")); p++)
    letters++;
  ck_assert_uint_eq(letters, LRP_PRINT_COLUMNS - 1);
  lrp_ck_ok(ctx, ask("SELECT hex(zeroblob(100)) AS t", LRP_FORMAT_CSV));
  ck_assert_uint_eq(n_printed, 2 + 200 + 1);
}
END_TEST

START_TEST(long_result_streams)
{
  lrp_ck_ok(
      ctx,
      ask("WITH RECURSIVE n(x) AS (VALUES(1) UNION ALL SELECT x+1 FROM n LIMIT 3000) SELECT x FROM n", 0));
  ck_assert_msg(strstr(printed, "\n3000\n"), "the last row is missing");
  ck_assert_msg(strstr(printed, "x\n----\n   1\n"), "the head is wrong");
}
END_TEST

START_TEST(csv_quotes_what_needs_it)
{
  ck_prints("SELECT 'a,b' AS \"x \"\"y\", 'say \"hi\"' AS q, 'two' || char(10) || 'lines' AS l, NULL AS n, "
            "0.1 AS r, 1.0 AS i",
            LRP_FORMAT_CSV, "\"x \"\"y\",q,l,n,r,i\n\"a,b\",\"say \"\"hi\"\"\",\"two\nlines\",,0.1,1\n");
}
END_TEST

START_TEST(json_is_well_formed_whatever_the_rows_hold)
{
  ck_prints(
      "SELECT NULL AS a, 'q\"\\' || char(1) AS b, x'00' AS c, 1/3.0 AS d, 9e999 AS e; SELECT 1 AS x WHERE 0",
      LRP_FORMAT_JSON,
      "[\n {\"a\":null,\"b\":\"q\\\"\\\\\\u0001\",\"c\":\"<1 "
      "bytes>\",\"d\":0.3333333333333333,\"e\":9e999}\n]\n[]\n");
  ck_prints("SELECT CAST(x'61ff62' AS TEXT) AS t", LRP_FORMAT_JSON,
            "[\n {\"t\":\"a\xef\xbf\xbd"
            "b\"}\n]\n");
}
END_TEST

START_TEST(markdown_escapes_its_own_marks)
{
  ck_prints("SELECT 'a|b<i>' AS t, 5 AS n", LRP_FORMAT_MARKDOWN,
            "| t          |   n |\n| ---------- | --: |\n| a\\|b&lt;i> |   5 |\n");
}
END_TEST

Suite *suite_query(void);
Suite *suite_query(void)
{
  Suite *s = suite_create("query");
  TCase *t = tcase_create("query");
  tcase_add_checked_fixture(t, setup, teardown);
  tcase_add_test(t, writing_statements_are_refused);
  tcase_add_test(t, reading_of_all_kinds_is_allowed);
  tcase_add_test(t, endless_query_is_stopped);
  tcase_add_test(t, output_that_nobody_takes_stops_the_query);
  tcase_add_test(t, wrong_sql_is_told_with_its_place);
  tcase_add_test(t, table_is_aligned_by_what_a_terminal_shows);
  tcase_add_test(t, table_shows_control_characters_as_escapes);
  tcase_add_test(t, long_cell_is_cut_in_a_table_only);
  tcase_add_test(t, long_result_streams);
  tcase_add_test(t, csv_quotes_what_needs_it);
  tcase_add_test(t, json_is_well_formed_whatever_the_rows_hold);
  tcase_add_test(t, markdown_escapes_its_own_marks);
  suite_add_tcase(s, t);
  return s;
}
