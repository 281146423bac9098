/* test_tail.c - what a killed process had computed is stored by whoever opens the store next, bit for bit; what is
 * damaged is dropped. */
#include "store_facts.h"
#include "store_tail.h"
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

static lrp_ctx *ctx;
static facts f;

static void setup(void)
{
  ck_assert_int_eq(lrp_ctx_new(&ctx), LRP_OK);
  facts_fill(&f);
}

static void teardown(void)
{
  lrp_ctx_free(ctx);
}

/* A store with a run, joined as a worker does. */
static lrp_store *joined(const char *path, lrp_run **run)
{
  lrp_run *first;
  lrp_store *s = facts_create(ctx, path);
  lrp_ck_ok(ctx, lrp_store_run_begin(s, &f.spec, &first));
  const int64_t id = lrp_run_id(first);
  lrp_ck_ok(ctx, lrp_store_run_end(s, first, LRP_RUN_INTERRUPTED));
  lrp_ck_ok(ctx, lrp_store_run_join(s, id, &f.spec, run));
  lrp_ck_ok(ctx, lrp_store_run_layers(s, *run, &f.spec));
  return s;
}

static bool put(lrp_tail *t, const lrp_run *run)
{
  const lrp_real *scores;
  lrp_relevance r;
  lrp_tensor tensor[1];
  const bool good = lrp_tail_put(t, run, &f.record, &scores, &r, tensor);
  if (good) {
    ck_assert_mem_eq(scores, f.scores, sizeof f.scores);
    ck_assert_mem_eq(tensor[0].data, f.r, sizeof f.r);
    ck_assert_double_eq(r.value[0], f.value);
  }
  return good;
}

/* A tail with n explanations; its owner is dead: the lock is gone and the file is there. */
static void leave_tail(const char *path, const lrp_run *run, int n, char name[256])
{
  lrp_tail *t;
  lrp_ck_ok(ctx, lrp_tail_open(ctx, path, &t));
  for (int i = 0; i < n; i++) {
    facts_number(&f, i);
    ck_assert(put(t, run));
    if (i == n / 2) lrp_tail_turn(t); /* both halves */
  }
  snprintf(name, 256, "%s", t->path);
  lrp_tail_release(t);
}

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
  ck_assert(t->fd >= 0 && lrp_tail_map(t, true));
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

/* ---- several processes at once ---- */

#ifdef SYS_flock
/* The system's own, with a place to stop at before it. */
static void (*before_lock)(int fd);
int flock(int fd, int operation)
{
  if (before_lock) before_lock(fd);
  return (int)syscall(SYS_flock, fd, operation);
}
#endif

/* How many files of the store's folder begin with its name and end like this. */
static int n_file(const char *store, const char *ending, char found[256])
{
  const char *slash = strrchr(store, '/'), *base = slash ? slash + 1 : store;
  char folder[256];
  snprintf(folder, sizeof folder, "%.*s.", (int)(base - store), store);
  DIR *dir = opendir(folder);
  int n = 0;
  ck_assert_ptr_nonnull(dir);
  for (struct dirent *e; (e = readdir(dir));) {
    const size_t length = strlen(e->d_name), end = strlen(ending);
    if (strncmp(e->d_name, base, strlen(base)) || length < end || strcmp(e->d_name + length - end, ending)) continue;
    snprintf(found, 256, "%.*s%.200s", (int)(base - store), store, e->d_name);
    n++;
  }
  closedir(dir);
  return n;
}

static int64_t n_read(const char *path)
{
  lrp_store *s;
  lrp_ck_ok(ctx, lrp_store_open(ctx, path, LRP_STORE_READ, &s));
  const int64_t n = facts_int(s, "SELECT count(*) FROM explanation");
  lrp_store_close(s);
  return n;
}

static void await_byte(int fd)
{
  char byte;
  if (read(fd, &byte, 1) != 1) _exit(1);
}

static void tell_byte(int fd)
{
  if (write(fd, "x", 1) != 1) _exit(1);
}

static void end_child(pid_t child)
{
  int how;
  ck_assert(waitpid(child, &how, 0) == child && WIFEXITED(how) && !WEXITSTATUS(how));
}

/* Who only looks whether the owner is alive must not look like an owner. */
START_TEST(two_may_look_at_once)
{
  char name[256];
  lrp_run *run;
  int seen[2], ends[2];
  const char *path = facts_fresh("looks.db");
  lrp_store *s = joined(path, &run);
  leave_tail(path, run, 2, name);
  lrp_store_close(s);
  ck_assert(!pipe(seen) && !pipe(ends));
  const pid_t child = fork();
  if (!child) { /* stops while it looks */
    const int fd = open(name, O_RDONLY);
    if (fd < 0 || flock(fd, LOCK_SH | LOCK_NB)) _exit(1);
    tell_byte(seen[1]);
    await_byte(ends[0]);
    _exit(0);
  }
  await_byte(seen[0]);
  ck_assert(lrp_tail_left(path));
  ck_assert_int_eq(n_read(path), 2);
  ck_assert_int_eq(access(name, F_OK), -1);
  tell_byte(ends[1]);
  end_child(child);
}
END_TEST

static int in_the_middle;
static int pause_commit(void *data)
{
  (void)data;
  tell_byte(in_the_middle);
  nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL); /* time for the other to read too early */
  return 0;
}

/* What another process is storing at the moment is waited for. */
START_TEST(who_reads_while_another_stores_a_tail_waits_for_it)
{
  char name[256];
  lrp_run *run;
  int told[2];
  const char *path = facts_fresh("both.db");
  lrp_store_close(joined(path, &run));
  ck_assert(!pipe(told));
  const pid_t child = fork();
  if (!child) {
    lrp_store *s = NULL;
    lrp_run *own = NULL;
    in_the_middle = told[1];
    if (lrp_store_open(ctx, path, LRP_STORE_WRITE, &s) || lrp_store_run_join(s, 1, &f.spec, &own) ||
        lrp_store_run_layers(s, own, &f.spec))
      _exit(1);
    leave_tail(path, own, 3, name);
    sqlite3_commit_hook(s->db, pause_commit, NULL);
    _exit(lrp_tail_recover(s) != LRP_OK);
  }
  await_byte(told[0]);
  ck_assert_int_eq(n_read(path), 3);
  end_child(child);
  ck_assert_int_eq(n_file(path, LRP_TAIL_ENDING, name), 0);
}
END_TEST

#ifdef SYS_flock
static void die_before_lock(int fd)
{
  (void)fd;
  _exit(0);
}

START_TEST(file_of_a_maker_that_died_does_not_stay)
{
  char found[256];
  const char *path = facts_fresh("early.db");
  lrp_store_close(facts_create(ctx, path));
  const pid_t child = fork();
  if (!child) {
    lrp_tail *t;
    before_lock = die_before_lock;
    _exit(lrp_tail_open(ctx, path, &t) || true);
  }
  end_child(child);
  ck_assert_int_eq(n_file(path, "~", found), 1);
  ck_assert_int_eq(n_read(path), 0);
  ck_assert_int_eq(n_file(path, "~", found), 0);
}
END_TEST

static const char *made_at;
static void look_before_lock(int fd)
{
  char early_name[256];
  (void)fd;
  before_lock = NULL;
  ck_assert_int_eq(n_file(made_at, "~", early_name), 1);
  ck_assert(!lrp_tail_left(made_at));
  ck_assert_int_eq(access(early_name, F_OK), -1); /* taken for a dead maker's */
}

START_TEST(maker_whose_file_was_taken_for_a_dead_ones_makes_another)
{
  lrp_run *run;
  lrp_tail *t;
  char found[256];
  struct stat own, named;
  made_at = facts_fresh("race.db");
  lrp_store *s = joined(made_at, &run);
  before_lock = look_before_lock;
  lrp_ck_ok(ctx, lrp_tail_open(ctx, made_at, &t));
  ck_assert_ptr_null(before_lock);
  ck_assert(!fstat(t->fd, &own) && !stat(t->path, &named));
  ck_assert(own.st_ino == named.st_ino && own.st_nlink == 1);
  ck_assert_int_eq(n_file(made_at, "~", found), 0);
  ck_assert(put(t, run) && !lrp_tail_left(made_at));
  lrp_tail_release(t);
  lrp_store_close(s);
  ck_assert_int_eq(n_read(made_at), 1);
}
END_TEST
#endif

START_TEST(file_that_its_maker_has_locked_is_left_alone)
{
  char early[256];
  const char *path = facts_fresh("making.db");
  lrp_store_close(facts_create(ctx, path));
  snprintf(early, sizeof early, "%s.0123456789abcdef%s~", path, LRP_TAIL_ENDING);
  const int fd = open(early, O_RDWR | O_CREAT, 0666);
  ck_assert(fd >= 0 && !flock(fd, LOCK_EX | LOCK_NB));
  ck_assert_int_eq(n_read(path), 0);
  ck_assert_int_eq(access(early, F_OK), 0);
  close(fd);
  ck_assert_int_eq(n_read(path), 0);
  ck_assert_int_eq(access(early, F_OK), -1);
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
  tcase_add_test(t, two_may_look_at_once);
  tcase_add_test(t, who_reads_while_another_stores_a_tail_waits_for_it);
  tcase_add_test(t, file_that_its_maker_has_locked_is_left_alone);
#ifdef SYS_flock
  tcase_add_test(t, file_of_a_maker_that_died_does_not_stay);
  tcase_add_test(t, maker_whose_file_was_taken_for_a_dead_ones_makes_another);
#endif
  suite_add_tcase(s, t);
  return s;
}
