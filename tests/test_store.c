/* test_store.c - the store's file: which ones it takes, how formats change, and that nothing is ever half written. */
#include "store_setup.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void write_file(const char *path, const void *data, size_t n)
{
  FILE *out = fopen(path, "wb");
  ck_assert(out && fwrite(data, 1, n, out) == n && fclose(out) == 0);
}

static void change(const char *path, const char *sql)
{
  sqlite3 *db;
  ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
  ck_assert_msg(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK, "%s: %s", sql, sqlite3_errmsg(db));
  sqlite3_close(db);
}

static void ck_intact(lrp_store *s)
{
  ck_assert_str_eq(facts_text(s, "PRAGMA integrity_check"), "ok");
  ck_assert_int_eq(facts_int(s, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
  ck_assert_int_eq(facts_int(s, "SELECT count(*) FROM explanation"),
                   facts_int(s, "SELECT count(*) FROM layer_flow"));
  ck_assert_int_eq(FACT_TOKENS * facts_int(s, "SELECT count(*) FROM explanation"),
                   facts_int(s, "SELECT count(*) FROM token_relevance"));
}

/* ---- files ---- */

START_TEST(fresh_file_says_that_it_is_ours)
{
  const char *path = facts_fresh("fresh.db");
  lrp_store *s = facts_create(ctx, path);
  ck_assert_int_eq(facts_int(s, "PRAGMA application_id"), LRP_APPLICATION_ID);
  ck_assert_int_eq(facts_int(s, "PRAGMA user_version"), 1);
  ck_assert_str_eq(facts_text(s, "PRAGMA journal_mode"), "wal");
  ck_assert_int_eq(facts_int(s, "PRAGMA foreign_keys"), 1);
  lrp_store_close(s);
  for (int32_t mode = LRP_STORE_READ; mode <= LRP_STORE_CREATE; mode++) {
    lrp_ck_ok(ctx, lrp_store_open(ctx, path, mode, &s));
    ck_assert_int_eq(facts_int(s, "SELECT count(*) FROM run"), 0);
    lrp_store_close(s);
  }
}
END_TEST

START_TEST(views_of_an_older_lrp_are_laid_anew)
{
  const char *path = facts_fresh("views.db");
  lrp_store *s = facts_create(ctx, path);
  char *kept = strdup(facts_text(s, "SELECT sql FROM sqlite_schema WHERE name = 'v_word'"));
  ck_assert_ptr_nonnull(kept);
  lrp_store_close(s);
  change(path, "DROP VIEW v_word; CREATE VIEW v_word AS SELECT 1 AS old; DROP VIEW v_run; "
               "CREATE VIEW mine AS SELECT 2 AS two");
  lrp_ck_ok(ctx, lrp_store_open(ctx, path, LRP_STORE_READ, &s));
  ck_assert_int_eq(facts_int(s, "SELECT old FROM v_word"), 1); /* who reads changes nothing */
  lrp_store_close(s);
  lrp_ck_ok(ctx, lrp_store_open(ctx, path, LRP_STORE_WRITE, &s));
  ck_assert_str_eq(facts_text(s, "SELECT sql FROM sqlite_schema WHERE name = 'v_word'"), kept);
  ck_assert_int_eq(facts_int(s, "SELECT count(*) FROM v_run"), 0);
  ck_assert_int_eq(facts_int(s, "SELECT two FROM mine"), 2);
  const int64_t cookie = facts_int(s, "PRAGMA schema_version");
  lrp_store_close(s);
  lrp_ck_ok(ctx, lrp_store_open(ctx, path, LRP_STORE_WRITE, &s)); /* nothing is left to do */
  ck_assert_int_eq(facts_int(s, "PRAGMA schema_version"), cookie);
  lrp_store_close(s);
  free(kept);
}
END_TEST

START_TEST(every_table_and_view_explains_itself)
{
  lrp_store *s = facts_create(ctx, facts_fresh("comments.db"));
  ck_assert_int_eq(
      facts_int(
          s, "SELECT count(*) FROM sqlite_schema WHERE type IN ('table','view') AND name NOT LIKE 'sqlite%'"
             " AND name NOT LIKE 'input_fts%' AND sql NOT LIKE '%\n  -- %'"),
      0);
  lrp_store_close(s);
}
END_TEST

static void ck_refused(const char *path, int32_t mode, const char *text)
{
  lrp_store *s = NULL;
  lrp_ck_fails(ctx, LRP_E_DB, text, lrp_store_open_within(ctx, path, mode, 50, &s));
  ck_assert_ptr_null(s);
}

START_TEST(file_of_a_newer_lrp_is_read_but_not_written)
{
  const char *path = facts_fresh("newer.db");
  lrp_store *s = facts_create(ctx, path);
  lrp_store_close(s);
  change(path, "PRAGMA user_version=99");
  ck_refused(path, LRP_STORE_WRITE, "format 99, written by a newer lrp");
  ck_refused(path, LRP_STORE_CREATE, "install a newer lrp");
  lrp_ck_ok(ctx, lrp_store_open(ctx, path, LRP_STORE_READ, &s));
  lrp_store_close(s);
}
END_TEST

START_TEST(files_that_are_no_store_are_refused_and_left_alone)
{
  const char *path = facts_fresh("other.db");
  static const char text[] =
      "A letter to somebody, long enough to be larger than the head of a database: "
      "it goes on and on, and says nothing that anybody would want to know in the end.";
  struct stat before, after;
  ck_refused(path, LRP_STORE_READ, "No such file");
  ck_refused(path, LRP_STORE_WRITE, "No such file");
  ck_refused("", LRP_STORE_CREATE, "empty");
  ck_refused(lrp_test_tmp("."), LRP_STORE_CREATE, "a folder");
  ck_refused(lrp_test_tmp("no-such-folder/x.db"), LRP_STORE_CREATE, "No such file");
  write_file(path, text, sizeof text);
  ck_refused(path, LRP_STORE_CREATE, "not an SQLite database");
  write_file(path, "", 0);
  ck_refused(path, LRP_STORE_READ, "empty");
  change(path, "CREATE TABLE mine(x); INSERT INTO mine VALUES(1)");
  ck_assert_int_eq(stat(path, &before), 0);
  ck_refused(path, LRP_STORE_CREATE, "not one of lrp");
  change(path, "PRAGMA application_id=1234");
  ck_refused(path, LRP_STORE_READ, "0x000004d2");
  ck_assert_int_eq(stat(path, &after), 0);
  ck_assert_int_eq(before.st_size, after.st_size);
}
END_TEST

START_TEST(pipe_is_refused_without_waiting)
{
  const char *path = facts_fresh("pipe.db");
  ck_assert_int_eq(mkfifo(path, 0600), 0);
  ck_refused(path, LRP_STORE_CREATE, "pipe");
}
END_TEST

START_TEST(truncated_file_is_refused_as_damaged)
{
  const char *path = facts_fresh("short.db");
  lrp_store *s = facts_create(ctx, path);
  lrp_store_close(s);
  struct stat st;
  ck_assert_int_eq(stat(path, &st), 0);
  ck_assert_int_eq(truncate(path, st.st_size / 2), 0);
  ck_refused(path, LRP_STORE_CREATE, "damaged");
  ck_refused(path, LRP_STORE_READ, "damaged");
  ck_assert_int_eq(truncate(path, 60), 0);
  ck_refused(path, LRP_STORE_CREATE, "damaged");
}
END_TEST

/* Root may write everywhere, so its tests run as somebody else for a while. */
static void as_somebody(bool on)
{
  if (getuid()) return;
  if (!on) ck_assert_int_eq(seteuid(0), 0);
  ck_assert_int_eq(chmod(lrp_test_tmp("."), on ? 0711 : 0700), 0);
  if (on) ck_assert_int_eq(seteuid(65534), 0);
}

START_TEST(read_only_folder_is_refused_for_writing_and_read_all_the_same)
{
  const char *folder = lrp_test_tmp("locked-folder");
  char path[4200], text[4300];
  snprintf(path, sizeof path, "%s/a.db", folder);
  snprintf(text, sizeof text, "%s/b.db", folder);
  ck_assert(mkdir(folder, 0755) == 0 || errno == EEXIST);
  unlink(path);
  lrp_store *s = facts_create(ctx, path);
  lrp_store_close(s);
  ck_assert_int_eq(chmod(path, 0444), 0);
  ck_assert_int_eq(chmod(folder, 0555), 0);
  as_somebody(true);
  lrp_status to_new = lrp_store_open(ctx, text, LRP_STORE_CREATE, &s);
  ck_assert_msg(to_new == LRP_E_DB && strstr(lrp_message(ctx), "ermission denied"), "%s", lrp_message(ctx));
  lrp_status to_old = lrp_store_open(ctx, path, LRP_STORE_WRITE, &s);
  ck_assert_msg(to_old == LRP_E_DB && strstr(lrp_message(ctx), "cannot be written"), "%s", lrp_message(ctx));
  lrp_status to_read = lrp_store_open(ctx, path, LRP_STORE_READ, &s);
  ck_assert_msg(to_read == LRP_OK, "%s", lrp_message(ctx));
  ck_assert_int_eq(facts_int(s, "SELECT count(*) FROM run"), 0);
  lrp_store_close(s);
  as_somebody(false);
  chmod(folder, 0755);
}
END_TEST

START_TEST(locked_file_gives_a_sentence)
{
  const char *path = facts_fresh("locked.db");
  lrp_store *s = facts_create(ctx, path), *other = facts_create(ctx, path);
  lrp_run *run = NULL;
  ck_assert_int_eq(sqlite3_exec(other->db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
  sqlite3_busy_timeout(s->db, 50);
  lrp_ck_fails(ctx, LRP_E_DB, "another program has locked the database",
               lrp_store_run_begin(s, &f.spec, &run));
  ck_assert_ptr_null(run);
  ck_assert_int_eq(sqlite3_exec(other->db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
  lrp_ck_ok(ctx, lrp_store_run_begin(s, &f.spec, &run));
  lrp_store_close(other);
  lrp_store_close(s);
  change(path, "PRAGMA journal_mode=DELETE");
  sqlite3 *db;
  ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
  ck_assert_int_eq(sqlite3_exec(db, "BEGIN EXCLUSIVE", NULL, NULL, NULL), SQLITE_OK);
  ck_refused(path, LRP_STORE_CREATE, "opening the database failed: another program has locked");
  sqlite3_close(db);
}
END_TEST

/* ---- formats ---- */

START_TEST(older_format_is_brought_up_to_date_after_a_copy_was_made)
{
  static const char *const steps[] = {"", "ALTER TABLE tag ADD COLUMN note TEXT; UPDATE tag SET note='new'"};
  static const char *const bad[] = {"", "", "CREATE TABLE half(x); INSERT INTO nowhere VALUES(1)"};
  const char *path = facts_fresh("old.db");
  char copy[4200];
  lrp_store *s = facts_create(ctx, path);
  lrp_run *run;
  lrp_ck_ok(ctx, lrp_store_run_begin(s, &f.spec, &run));
  lrp_ck_ok(ctx, lrp_store_run_end(s, run, LRP_RUN_DONE));
  snprintf(copy, sizeof copy, "%s.format1.bak", path);
  unlink(copy);
  lrp_ck_ok(ctx, lrp_store_migrate(s, steps, 2));
  ck_assert_int_eq(facts_int(s, "PRAGMA user_version"), 2);
  ck_assert_str_eq(facts_text(s, "SELECT note FROM tag"), "new");
  lrp_ck_ok(ctx, lrp_store_migrate(s, steps, 2)); /* nothing is left to do */
  lrp_ck_fails(ctx, LRP_E_DB, "nowhere", lrp_store_migrate(s, bad, 3));
  ck_assert_int_eq(facts_int(s, "PRAGMA user_version"), 2);
  ck_assert_int_eq(facts_int(s, "SELECT count(*) FROM sqlite_schema WHERE name='half'"), 0);
  lrp_store_close(s);
  lrp_ck_ok(ctx, lrp_store_open(ctx, copy, LRP_STORE_READ, &s));
  ck_assert_int_eq(facts_int(s, "PRAGMA user_version"), 1);
  ck_assert_int_eq(facts_int(s, "SELECT count(*) FROM tag"), 1);
  lrp_store_close(s);
}
END_TEST

/* ---- many writers, sudden ends, full disks ---- */

/* In a child process: n explanations (-1: without end) in a run of its own; the exit status. */
static int write_many(const char *path, int n)
{
  lrp_ctx *mine;
  lrp_store *s;
  lrp_run *run;
  if (lrp_ctx_new(&mine) || lrp_store_open(mine, path, LRP_STORE_CREATE, &s)) return 2;
  if (lrp_store_run_begin(s, &f.spec, &run)) return 3;
  for (int i = 0; i != n; i++) {
    facts_number(&f, i);
    if (lrp_store_explanation(s, run, &f.record, NULL)) return 4;
  }
  if (lrp_store_run_end(s, run, LRP_RUN_DONE)) return 5;
  lrp_store_close(s);
  lrp_ctx_free(mine);
  return 0;
}

START_TEST(two_processes_write_one_new_file)
{
  enum { EACH = 40 };
  const char *path = facts_fresh("two.db");
  pid_t child[2];
  for (int i = 0; i < 2; i++)
    if (!(child[i] = fork())) _exit(write_many(path, EACH));
  for (int i = 0; i < 2; i++) {
    int status;
    ck_assert_int_eq(waitpid(child[i], &status, 0), child[i]);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "writer %d ended with %d", i, status);
  }
  lrp_store *s = facts_create(ctx, path);
  ck_assert_int_eq(facts_int(s, "SELECT count(*) FROM explanation"), 2 * EACH);
  ck_assert_int_eq(facts_int(s, "SELECT count(*) FROM input"), EACH);
  ck_assert_int_eq(facts_int(s, "SELECT count(DISTINCT uuid) FROM run"), 2);
  ck_intact(s);
  lrp_store_close(s);
}
END_TEST

START_TEST(killed_writer_leaves_whole_explanations_only)
{
  const char *path = facts_fresh("killed.db");
  lrp_store *s = facts_create(ctx, path);
  pid_t child = fork();
  if (!child) _exit(write_many(path, -1));
  while (facts_int(s, "SELECT count(*) FROM explanation") < 20)
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
  ck_assert_int_eq(kill(child, SIGKILL), 0);
  int status;
  ck_assert_int_eq(waitpid(child, &status, 0), child);
  ck_assert(WIFSIGNALED(status));
  ck_intact(s);
  lrp_store_close(s);
  s = facts_create(ctx, path);
  ck_intact(s);
  ck_assert_str_eq(facts_text(s, "SELECT status FROM run"), "running");
  lrp_store_close(s);
}
END_TEST

START_TEST(full_database_stores_nothing_of_an_explanation)
{
  lrp_run *run;
  lrp_store *s = facts_create(ctx, facts_fresh("full.db"));
  lrp_ck_ok(ctx, lrp_store_run_begin(s, &f.spec, &run));
  lrp_ck_ok(ctx, lrp_store_explanation(s, run, &f.record, NULL));
  char limit[64];
  snprintf(limit, sizeof limit, "PRAGMA max_page_count=%d", (int)facts_int(s, "PRAGMA page_count") + 2);
  facts_int(s, limit);
  lrp_status st = LRP_OK;
  for (int i = 0; i < 1000 && !st; i++) {
    facts_number(&f, i);
    st = lrp_store_explanation(s, run, &f.record, NULL);
  }
  ck_assert_int_eq(st, LRP_E_DB);
  ck_assert_msg(strstr(lrp_message(ctx), "the disk is full; nothing of it was stored"), "%s",
                lrp_message(ctx));
  ck_intact(s);
  ck_assert_int_eq(facts_int(s, "SELECT count(*) FROM explanation"),
                   facts_int(s, "SELECT count(*) FROM prediction"));
  facts_int(s, "PRAGMA max_page_count=100000");
  lrp_ck_ok(ctx, lrp_store_explanation(s, run, &f.record, NULL)); /* there is room again */
  lrp_store_close(s);
}
END_TEST

START_TEST(file_that_may_not_grow_gives_a_sentence)
{
  const char *path = facts_fresh("limit.db");
  lrp_store *s = facts_create(ctx, path);
  lrp_store_close(s);
  pid_t child = fork();
  if (!child) {
    struct stat st;
    signal(SIGXFSZ, SIG_IGN);
    if (stat(path, &st)) _exit(1);
    struct rlimit limit = {(rlim_t)st.st_size + 65536, (rlim_t)st.st_size + 65536};
    if (setrlimit(RLIMIT_FSIZE, &limit) || lrp_store_open(ctx, path, LRP_STORE_WRITE, &s)) _exit(1);
    lrp_run *run;
    lrp_status status = lrp_store_run_begin(s, &f.spec, &run);
    for (int i = 0; i < 5000 && !status; i++) {
      facts_number(&f, i);
      status = lrp_store_explanation(s, run, &f.record, NULL);
    }
    _exit(status == LRP_E_DB && strstr(lrp_message(ctx), "nothing of it was stored") ? 0 : 10 + status);
  }
  int status;
  ck_assert_int_eq(waitpid(child, &status, 0), child);
  ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the writer ended with %d", status);
  s = facts_create(ctx, path);
  ck_intact(s);
  lrp_store_close(s);
}
END_TEST

Suite *suite_store(void);
Suite *suite_store(void)
{
  Suite *s = suite_create("store");
  TCase *t = tcase_create("store");
  tcase_add_checked_fixture(t, setup, teardown);
  tcase_add_test(t, fresh_file_says_that_it_is_ours);
  tcase_add_test(t, views_of_an_older_lrp_are_laid_anew);
  tcase_add_test(t, every_table_and_view_explains_itself);
  tcase_add_test(t, file_of_a_newer_lrp_is_read_but_not_written);
  tcase_add_test(t, files_that_are_no_store_are_refused_and_left_alone);
  tcase_add_test(t, pipe_is_refused_without_waiting);
  tcase_add_test(t, truncated_file_is_refused_as_damaged);
  tcase_add_test(t, read_only_folder_is_refused_for_writing_and_read_all_the_same);
  tcase_add_test(t, locked_file_gives_a_sentence);
  tcase_add_test(t, older_format_is_brought_up_to_date_after_a_copy_was_made);
  tcase_add_test(t, two_processes_write_one_new_file);
  tcase_add_test(t, killed_writer_leaves_whole_explanations_only);
  tcase_add_test(t, full_database_stores_nothing_of_an_explanation);
  tcase_add_test(t, file_that_may_not_grow_gives_a_sentence);
  suite_add_tcase(s, t);
  return s;
}
