/* test_merge.c - adding the runs of another store: everything arrives, once, and fits together. */
#include "store_setup.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A run of n texts, numbered from first, with an error, a score and a rationale; it is left open for more. */
static lrp_run *write_run(lrp_store *s, int first, int n)
{
  static const lrp_span reason = {0, 4};
  lrp_run *run;
  int64_t id = -1;
  lrp_ck_ok(ctx, lrp_store_run_begin(s, &f.spec, &run));
  f.record.rationale = &reason;
  f.record.n_rationale = 1;
  for (int i = 0; i < n; i++) {
    facts_number(&f, first + i);
    lrp_ck_ok(ctx, lrp_store_explanation(s, run, &f.record, &id));
    lrp_ck_ok(ctx, lrp_store_score(s, id, "srg", "{\"step\":1}", 1, 0.25, NULL));
  }
  lrp_ck_ok(ctx, lrp_store_error(s, run, &f.input, 0, LRP_E_INPUT, "a broken text"));
  lrp_ck_ok(ctx, lrp_store_error(s, run, NULL, 0, LRP_E_INPUT, "a file that could not be read"));
  return run;
}

static void ck_intact(lrp_store *s)
{
  ck_assert_str_eq(facts_text(s, "PRAGMA integrity_check"), "ok");
  ck_assert_int_eq(facts_int(s, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
}

/* Every table of b has as many rows as that of a: also the ones that a later format adds. */
static void ck_same_size(lrp_store *a, lrp_store *b)
{
  sqlite3_stmt *stmt = NULL;
  int n = 0;
  ck_assert_int_eq(sqlite3_prepare_v2(a->db,
                                      "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
                                      " AND name NOT LIKE 'input_fts_%'",
                                      -1, &stmt, NULL),
                   SQLITE_OK);
  for (; sqlite3_step(stmt) == SQLITE_ROW; n++) {
    char sql[120];
    snprintf(sql, sizeof sql, "SELECT count(*) FROM \"%s\"", (const char *)sqlite3_column_text(stmt, 0));
    const int64_t rows = facts_int(a, sql);
    ck_assert_msg(rows > 0, "%s is empty: the test must fill it", sql);
    ck_assert_msg(facts_int(b, sql) == rows, "%s: %lld, not %lld", sql, (long long)facts_int(b, sql), (long long)rows);
  }
  ck_assert_int_gt(n, 20);
  sqlite3_finalize(stmt);
}

START_TEST(everything_of_a_store_arrives)
{
  const char *from = facts_fresh("from.db");
  lrp_merged m;
  lrp_store *a = facts_create(ctx, from), *b = facts_create(ctx, facts_fresh("into.db"));
  lrp_ck_ok(ctx, lrp_store_run_end(a, write_run(a, 0, 3), LRP_RUN_DONE));
  lrp_ck_ok(ctx, lrp_store_merge(b, from, &m));
  ck_assert_int_eq(m.run, 1);
  ck_assert_int_eq(m.explanation, 3);
  ck_assert_int_eq(m.input, 3);
  ck_assert_int_eq(m.error, 2);
  ck_assert_int_eq(m.score, 3);
  ck_assert_int_eq(m.run_known + m.explanation_known, 0);
  ck_same_size(a, b);
  ck_intact(b);
  ck_assert_int_eq(facts_int(b, "SELECT count(*) FROM v_token"), 9);
  ck_assert_int_eq(facts_int(b, "SELECT count(*) FROM input_fts('film')"), 3);
  ck_assert_str_eq(facts_text(b, "SELECT status FROM run"), "done");
  lrp_store_close(a);
  lrp_store_close(b);
}
END_TEST

START_TEST(merging_twice_adds_nothing)
{
  const char *from = facts_fresh("from.db");
  lrp_merged m;
  lrp_store *a = facts_create(ctx, from), *b = facts_create(ctx, facts_fresh("into.db"));
  lrp_ck_ok(ctx, lrp_store_run_end(a, write_run(a, 0, 2), LRP_RUN_DONE));
  for (int i = 0; i < 3; i++)
    lrp_ck_ok(ctx, lrp_store_merge(b, from, &m));
  ck_assert_int_eq(m.run + m.explanation + m.input + m.error + m.score, 0);
  ck_assert_int_eq(m.run_known, 1);
  ck_assert_int_eq(m.explanation_known, 2);
  ck_same_size(a, b);
  ck_intact(b);
  lrp_store_close(a);
  lrp_store_close(b);
}
END_TEST

START_TEST(ids_are_numbered_anew)
{
  const char *from = facts_fresh("from.db");
  lrp_merged m;
  lrp_store *a = facts_create(ctx, from), *b = facts_create(ctx, facts_fresh("into.db"));
  lrp_ck_ok(ctx, lrp_store_run_end(b, write_run(b, 10, 2), LRP_RUN_DONE)); /* ids 1 and 2 are taken */
  lrp_ck_ok(ctx, lrp_store_run_end(a, write_run(a, 11, 2), LRP_RUN_DONE)); /* text 11 is known to both */
  lrp_ck_ok(ctx, lrp_store_merge(b, from, &m));
  ck_assert_int_eq(m.run, 1);
  ck_assert_int_eq(m.input, 1);
  ck_assert_int_eq(facts_int(b, "SELECT count(*) FROM explanation"), 4);
  ck_assert_int_eq(facts_int(b, "SELECT count(*) FROM model"), 1);
  ck_assert_int_eq(facts_int(b, "SELECT count(*) FROM layer"), 3);
  ck_assert_int_eq(facts_int(b, "SELECT count(*) FROM v_explanation WHERE run_id = 2 AND input IN ('good film 11', 'good film 12')"), 2);
  ck_assert_int_eq(facts_int(b, "SELECT count(*) FROM v_pair WHERE a < b"), 1); /* the text of both runs */
  ck_intact(b);
  lrp_store_close(a);
  lrp_store_close(b);
}
END_TEST

START_TEST(run_that_went_on_gets_what_is_new)
{
  const char *from = facts_fresh("from.db");
  lrp_merged m;
  lrp_store *a = facts_create(ctx, from), *b = facts_create(ctx, facts_fresh("into.db"));
  lrp_run *run = write_run(a, 0, 2);
  lrp_ck_ok(ctx, lrp_store_merge(b, from, &m));
  ck_assert_str_eq(facts_text(b, "SELECT status FROM run"), "running");
  facts_number(&f, 5);
  lrp_ck_ok(ctx, lrp_store_explanation(a, run, &f.record, NULL));
  lrp_ck_ok(ctx, lrp_store_run_end(a, run, LRP_RUN_DONE));
  sqlite3_exec(b->db, "UPDATE run SET heartbeat_at = '2000'", NULL, NULL, NULL); /* clocks are too coarse for this test */
  lrp_ck_ok(ctx, lrp_store_merge(b, from, &m));
  ck_assert_int_eq(m.run, 0);
  ck_assert_int_eq(m.explanation, 1);
  ck_assert_int_eq(m.error, 0);
  ck_assert_str_eq(facts_text(b, "SELECT status FROM run"), "done");
  ck_same_size(a, b);
  ck_intact(b);
  lrp_store_close(a);
  lrp_store_close(b);
}
END_TEST

START_TEST(label_that_was_not_known_is_taken)
{
  const char *from = facts_fresh("from.db");
  lrp_merged m;
  lrp_store *a = facts_create(ctx, from), *b = facts_create(ctx, facts_fresh("into.db"));
  f.record.true_label = NULL;
  lrp_ck_ok(ctx, lrp_store_run_end(b, write_run(b, 0, 1), LRP_RUN_DONE));
  f.record.true_label = "spam";
  lrp_ck_ok(ctx, lrp_store_run_end(a, write_run(a, 0, 1), LRP_RUN_DONE));
  lrp_ck_ok(ctx, lrp_store_merge(b, from, &m));
  ck_assert_str_eq(facts_text(b, "SELECT true_label FROM input"), "spam");
  lrp_store_close(a);
  lrp_store_close(b);
}
END_TEST

START_TEST(files_that_do_not_fit_are_refused_and_nothing_is_added)
{
  const char *into = facts_fresh("into.db"), *from = facts_fresh("from.db");
  lrp_merged m;
  lrp_store *a = facts_create(ctx, from), *b = facts_create(ctx, into);
  lrp_ck_ok(ctx, lrp_store_run_end(a, write_run(a, 0, 1), LRP_RUN_DONE));
  lrp_ck_fails(ctx, LRP_E_DB, "No such file", lrp_store_merge(b, lrp_test_tmp("absent.db"), &m));
  lrp_ck_fails(ctx, LRP_E_DB, "into itself", lrp_store_merge(b, into, &m));
  ck_assert_int_eq(sqlite3_exec(a->db, "PRAGMA user_version=99", NULL, NULL, NULL), SQLITE_OK);
  lrp_ck_fails(ctx, LRP_E_DB, "newer lrp", lrp_store_merge(b, from, &m));
  ck_assert_int_eq(sqlite3_exec(a->db, "PRAGMA user_version=1; PRAGMA foreign_keys=OFF; DELETE FROM model", NULL, NULL, NULL),
                   SQLITE_OK);
  lrp_ck_fails(ctx, LRP_E_DB, "rows are missing", lrp_store_merge(b, from, &m));
  ck_assert_int_eq(facts_int(b, "SELECT count(*) FROM run"), 0);
  ck_assert_int_eq(facts_int(b, "SELECT count(*) FROM pragma_database_list WHERE name = 'other'"), 0);
  lrp_store_close(a);
  lrp_store_close(b);
}
END_TEST

START_TEST(failure_in_the_middle_leaves_nothing_behind)
{
  const char *from = facts_fresh("from.db");
  lrp_merged m;
  lrp_store *a = facts_create(ctx, from), *b = facts_create(ctx, facts_fresh("into.db"));
  lrp_ck_ok(ctx, lrp_store_run_end(a, write_run(a, 0, 2), LRP_RUN_DONE));
  ck_assert_int_eq(sqlite3_exec(b->db, "CREATE TRIGGER no BEFORE INSERT ON layer_flow BEGIN SELECT raise(ABORT, 'enough'); END", NULL,
                                NULL, NULL),
                   SQLITE_OK);
  lrp_ck_fails(ctx, LRP_E_DB, "enough", lrp_store_merge(b, from, &m));
  ck_assert_int_eq(facts_int(b, "SELECT count(*) FROM input"), 0);
  ck_assert_int_eq(facts_int(b, "SELECT count(*) FROM sqlite_temp_schema"), 0);
  ck_assert_int_eq(sqlite3_exec(b->db, "DROP TRIGGER no", NULL, NULL, NULL), SQLITE_OK);
  lrp_ck_ok(ctx, lrp_store_merge(b, from, &m));
  ck_same_size(a, b);
  lrp_store_close(a);
  lrp_store_close(b);
}
END_TEST

START_TEST(store_for_reading_takes_nothing)
{
  const char *into = facts_fresh("into.db"), *from = facts_fresh("from.db");
  lrp_merged m;
  lrp_store *b;
  lrp_store_close(facts_create(ctx, into));
  lrp_store_close(facts_create(ctx, from));
  lrp_ck_ok(ctx, lrp_store_open(ctx, into, LRP_STORE_READ, &b));
  lrp_ck_fails(ctx, LRP_E_DB, "reading only", lrp_store_merge(b, from, &m));
  lrp_store_close(b);
}
END_TEST

Suite *suite_merge(void);
Suite *suite_merge(void)
{
  Suite *s = suite_create("merge");
  TCase *t = tcase_create("merge");
  tcase_add_checked_fixture(t, setup, teardown);
  tcase_add_test(t, everything_of_a_store_arrives);
  tcase_add_test(t, merging_twice_adds_nothing);
  tcase_add_test(t, ids_are_numbered_anew);
  tcase_add_test(t, run_that_went_on_gets_what_is_new);
  tcase_add_test(t, label_that_was_not_known_is_taken);
  tcase_add_test(t, files_that_do_not_fit_are_refused_and_nothing_is_added);
  tcase_add_test(t, failure_in_the_middle_leaves_nothing_behind);
  tcase_add_test(t, store_for_reading_takes_nothing);
  suite_add_tcase(s, t);
  return s;
}
