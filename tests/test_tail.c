/* test_tail.c - what a killed process had computed is stored by whoever opens the store next, bit for bit; what is
 * damaged is dropped. */
#include "tail_facts.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char ALL[] =
    "SELECT group_concat(hex(x.r) || x.target_value || x.r_sum || x.r_abs_max || x.dtype || x.tensors || x.shape || "
    "i.text || i.sha256 || i.kind || ifnull(i.true_label, '-') || ifnull(i.ordinal, '-') || ifnull(i.path, '-') || "
    "hex(p.scores) || p.prob || z.n || (SELECT group_concat(token_id || position || byte_begin || byte_end || "
    "ifnull(word, '-') || special) FROM token k WHERE k.tokenization_id = x.tokenization_id) || "
    "(SELECT group_concat(position || relevance) FROM token_relevance t WHERE t.explanation_id = x.explanation_id) || "
    "(SELECT group_concat(layer_id || r_out || r_in || r_bias || r_stab || r_gate) FROM layer_flow g WHERE "
    "g.explanation_id = x.explanation_id)) FROM explanation x JOIN input i USING (input_id) JOIN prediction p ON "
    "p.run_id = x.run_id AND p.input_id = x.input_id JOIN tokenization z USING (tokenization_id)";

START_TEST(what_a_dead_process_left_is_stored_bit_for_bit)
{
  enum { N = 2 };
  char name[256], expected[8192];
  lrp_run *run;
  const char *path = facts_fresh("tail.db");
  f.r[0] = (lrp_real)1e-42;
  f.r[1] = (lrp_real)(1.0 / 3);
  f.record.true_label = "spam";
  f.record.ordinal = 7;
  lrp_store *s = joined(facts_fresh("direct.db"), &run);
  for (int i = 0; i < N; i++) {
    facts_number(&f, i);
    lrp_ck_ok(ctx, lrp_store_explanation(s, run, &f.record, NULL));
  }
  snprintf(expected, sizeof expected, "%s", facts_text(s, ALL));
  ck_assert_int_gt((int)strlen(expected), 500);
  lrp_store_close(s);

  s = joined(path, &run);
  leave_tail(path, run, N, name);
  ck_assert_int_eq(access(name, F_OK), 0);
  ck_assert_int_eq(facts_int(s, "SELECT count(*) FROM explanation"), 0);
  lrp_store_close(s);
  lrp_ck_ok(ctx, lrp_store_open(ctx, path, LRP_STORE_READ, &s)); /* reading is enough */
  ck_assert_int_eq(access(name, F_OK), -1);
  ck_assert_int_eq(facts_int(s, "SELECT count(*) FROM explanation"), N);
  ck_assert_str_eq(facts_text(s, ALL), expected);
  lrp_store_close(s);
}
END_TEST

START_TEST(store_may_have_two_names)
{
  char name[256], other[256];
  lrp_run *run;
  const char *path = facts_fresh("own.db");
  lrp_store *s = joined(path, &run);
  snprintf(other, sizeof other, "%s.link", path);
  unlink(other);
  ck_assert_int_eq(symlink(path, other), 0);
  leave_tail(other, run, 1, name);
  lrp_store_close(s);
  lrp_ck_ok(ctx, lrp_store_open(ctx, path, LRP_STORE_READ, &s));
  ck_assert_int_eq(facts_int(s, "SELECT count(*) FROM explanation"), 1);
  ck_assert_int_eq(access(name, F_OK), -1);
  lrp_store_close(s);
  unlink(other);
}
END_TEST

START_TEST(tail_of_a_living_process_is_left_alone)
{
  lrp_run *run;
  lrp_tail *t;
  const char *path = facts_fresh("alive.db");
  lrp_store *s = joined(path, &run), *other;
  lrp_ck_ok(ctx, lrp_tail_open(ctx, path, &t));
  ck_assert(lrp_tail_empty(t));
  ck_assert(put(t, run));
  ck_assert(!lrp_tail_empty(t));
  ck_assert(!lrp_tail_left(path));
  lrp_ck_ok(ctx, lrp_store_open(ctx, path, LRP_STORE_WRITE, &other));
  ck_assert_int_eq(facts_int(other, "SELECT count(*) FROM explanation"), 0);
  lrp_store_close(other);
  ck_assert_int_eq(access(t->path, F_OK), 0);
  lrp_tail_turn(t);
  lrp_tail_stored(t);
  char name[256];
  snprintf(name, sizeof name, "%s", t->path);
  ck_assert(!lrp_tail_close(t));
  ck_assert_int_eq(access(name, F_OK), -1);
  lrp_store_close(s);
}
END_TEST

START_TEST(full_half_takes_no_more_and_what_is_stored_already_stays_one)
{
  lrp_run *run;
  lrp_tail *t;
  const char *path = facts_fresh("full.db");
  lrp_store *s = joined(path, &run);
  lrp_ck_ok(ctx, lrp_tail_open(ctx, path, &t));
  int n = 0;
  while (put(t, run))
    n++;
  ck_assert_int_gt(n, 500);
  ck_assert(!put(t, run));
  lrp_tail_turn(t);
  ck_assert(lrp_tail_empty(t) && put(t, run));
  /* the kill comes between commit and lrp_tail_stored() */
  lrp_ck_ok(ctx, lrp_store_explanation(s, run, &f.record, NULL));
  lrp_tail_release(t);
  lrp_store_close(s);
  lrp_ck_ok(ctx, lrp_store_open(ctx, path, LRP_STORE_WRITE, &s));
  ck_assert_int_eq(facts_int(s, "SELECT count(*) FROM explanation"), 1);
  lrp_store_close(s);
}
END_TEST

START_TEST(what_belongs_to_a_removed_run_is_dropped)
{
  char name[256];
  lrp_run *run;
  const char *path = facts_fresh("gone.db");
  lrp_store *s = joined(path, &run);
  leave_tail(path, run, 3, name);
  ck_assert_int_eq(sqlite3_exec(s->db, "DELETE FROM run", NULL, NULL, NULL), SQLITE_OK);
  sqlite3_exec(s->db, "DELETE FROM tag", NULL, NULL, NULL);
  lrp_store_close(s);
  lrp_ck_ok(ctx, lrp_store_open(ctx, path, LRP_STORE_WRITE, &s));
  ck_assert_int_eq(facts_int(s, "SELECT count(*) FROM explanation"), 0);
  ck_assert_int_eq(facts_int(s, "SELECT count(*) FROM input"), 0);
  ck_assert_int_eq(access(name, F_OK), -1);
  lrp_store_close(s);
}
END_TEST

/* Opens the file anew and changes it at random; with new check sums, so that the reader itself must refuse. */
static void damage(const char *name, unsigned seed, bool sign)
{
  lrp_tail *t = calloc(1, sizeof *t);
  ck_assert(t);
  t->fd = open(name, O_RDWR);
  ck_assert(t->fd >= 0 && lrp_tail_map(t, t->fd, true));
  uint32_t x = seed * 2654435761u + 1;
  for (int half = 0; half < 2; half++) {
    unsigned char *at = lrp_tail_half(t->head, half);
    const uint64_t used = t->head->used[half];
    for (int k = 0; k < 3 && used > 16; k++) {
      x = x * 1664525 + 1013904223;
      const uint64_t word = (x >> 8) % (used / 8);
      x = x * 1664525 + 1013904223;
      const int64_t change[] = {0, -1, INT64_MAX, INT64_MIN, (int64_t)x, 1 << 20, 3, 255};
      memcpy(at + word * 8, &change[(x >> 8) % 8], 8);
    }
    for (uint64_t i = 0; sign && i + sizeof(lrp_tail_frame) <= used;) {
      lrp_tail_frame frame;
      memcpy(&frame, at + i, sizeof frame);
      if (frame.bytes > used - i - sizeof frame) break;
      frame.check = lrp_tail_check(at + i + sizeof frame, frame.bytes);
      memcpy(at + i, &frame, sizeof frame);
      i += sizeof frame + frame.bytes;
    }
  }
  if (seed % 16 == 0) t->head->used[0] = x;
  lrp_tail_release(t);
}

START_TEST(damaged_tail_stores_nothing_wrong_and_does_not_crash)
{
  char name[256];
  lrp_run *run;
  for (unsigned i = 0; i < 300; i++) {
    facts_fill(&f);
    const char *path = facts_fresh("bad.db");
    lrp_store *s = joined(path, &run);
    leave_tail(path, run, 4, name);
    damage(name, i, i % 2);
    lrp_store_close(s);
    lrp_ck_ok(ctx, lrp_store_open(ctx, path, LRP_STORE_WRITE, &s)); /* nobody is locked out */
    ck_assert_int_le(facts_int(s, "SELECT count(*) FROM explanation"), 4);
    ck_assert_int_eq(facts_int(s, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
    if (i % 2 == 0) /* the check sums refuse what was changed: the others are whole */
      ck_assert_int_eq(facts_int(s, "SELECT count(*) FROM token_relevance"),
                       3 * facts_int(s, "SELECT count(*) FROM explanation"));
    lrp_store_close(s);
    unlink(name);
  }
}
END_TEST

static int n_warning;
static void count_warning(void *user, const char *message)
{
  (void)user;
  ck_assert(strstr(message, "left by a killed run of another lrp"));
  n_warning++;
}

START_TEST(tail_of_another_program_is_left_with_a_warning)
{
  char name[256];
  lrp_run *run;
  const char *path = facts_fresh("other.db");
  lrp_store *s = joined(path, &run);
  leave_tail(path, run, 2, name);
  int file = open(name, O_RDWR);
  ck_assert_int_eq(pwrite(file, "9", 1, 16), 1); /* the version */
  close(file);
  lrp_store_close(s);
  lrp_on_warning(ctx, count_warning, NULL);
  lrp_ck_ok(ctx, lrp_store_open(ctx, path, LRP_STORE_WRITE, &s));
  ck_assert_int_eq(n_warning, 1);
  ck_assert_int_eq(unlink(name), 0);
  lrp_store_close(s);
}
END_TEST

Suite *suite_tail(void);
Suite *suite_tail(void)
{
  Suite *s = suite_create("tail");
  TCase *t = tcase_create("tail");
  tcase_add_checked_fixture(t, setup, teardown);
  tcase_set_timeout(t, 60);
  tcase_add_test(t, what_a_dead_process_left_is_stored_bit_for_bit);
  tcase_add_test(t, store_may_have_two_names);
  tcase_add_test(t, tail_of_a_living_process_is_left_alone);
  tcase_add_test(t, full_half_takes_no_more_and_what_is_stored_already_stays_one);
  tcase_add_test(t, what_belongs_to_a_removed_run_is_dropped);
  tcase_add_test(t, damaged_tail_stores_nothing_wrong_and_does_not_crash);
  tcase_add_test(t, tail_of_another_program_is_left_with_a_warning);
  suite_add_tcase(s, t);
  return s;
}
