/* test_tail_owners.c - who owns a tail: writers that live, that died, that are killed while they make one; and several
 * who look at once. */
#include "tail_facts.h"
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

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

/* Another process may hold the dead one's memory for a while, as ps does while it reads its command line: then the
 * system keeps what was mapped there.  The lock is not among it. */
START_TEST(a_lock_goes_with_its_process_even_if_somebody_has_its_memory)
{
  lrp_run *run;
  int ready[2], ends[2], how;
  const char *path = facts_fresh("held.db");
  lrp_store *s = joined(path, &run);
  ck_assert(!pipe(ready) && !pipe(ends));
  const pid_t owner = fork();
  if (!owner) {
    lrp_tail *t;
    if (lrp_tail_open(ctx, path, &t) || !put(t, run)) _exit(1);
    if (!vfork()) { /* has the memory of its maker, and files of its own */
      for (int fd = 3; fd < 256; fd++)
        if (fd != ready[1] && fd != ends[0]) close(fd);
      tell_byte(ready[1]);
      await_byte(ends[0]);
      _exit(0);
    }
    _exit(1);
  }
  await_byte(ready[0]);
  ck_assert(!kill(owner, SIGKILL) && waitpid(owner, &how, 0) == owner && WIFSIGNALED(how));
  ck_assert(lrp_tail_left(path));
  lrp_store_close(s);
  ck_assert_int_eq(n_read(path), 1);
  tell_byte(ends[1]);
}
END_TEST

Suite *suite_tail_owners(void);
Suite *suite_tail_owners(void)
{
  Suite *s = suite_create("tail_owners");
  TCase *t = tcase_create("tail_owners");
  tcase_add_checked_fixture(t, setup, teardown);
  tcase_set_timeout(t, 60);
  tcase_add_test(t, two_may_look_at_once);
  tcase_add_test(t, who_reads_while_another_stores_a_tail_waits_for_it);
  tcase_add_test(t, file_that_its_maker_has_locked_is_left_alone);
  tcase_add_test(t, a_lock_goes_with_its_process_even_if_somebody_has_its_memory);
#ifdef SYS_flock
  tcase_add_test(t, file_of_a_maker_that_died_does_not_stay);
  tcase_add_test(t, maker_whose_file_was_taken_for_a_dead_ones_makes_another);
#endif
  suite_add_tcase(s, t);
  return s;
}
