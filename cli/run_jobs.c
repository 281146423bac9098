/* run_jobs.c - lrp run in several processes: each takes the next unit and writes through a
 * connection of its own. */
#include "run.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

void run_progress(run_job *j)
{
  const shared *s = j->shared;
  const int64_t done = s->done + s->failed;
  if (j->progress.n == 0) return;
  j->progress.n = j->n_total - s->there -
                  s->elsewhere; /* the rate is that of the work, not of what was skipped */
  if (done > j->progress.done && done <= j->progress.n) {
    j->progress.done = done - 1;
    cli_progress_step(&j->progress);
  }
}

static void set_threads(const run_job *j, int otherwise)
{
  static const cli_option THREADS = {"threads", 0, "N", ""};
  int64_t n = otherwise;
  if (!j->threads || cli_int(&THREADS, j->threads, 1, 1024, &n)) lrp_set_threads((int)n);
}

/* Processes of one thread wait for nobody; threads of one process wait for each other in every operation.  So there is
 * one for each processor, as far as there are inputs, and memory: three quarters of it, each taking what this one has
 * taken.  Where one only fits, it has all processors. */
void run_choose_jobs(run_job *j)
{
  const long processors = sysconf(_SC_NPROCESSORS_ONLN), pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
  struct rusage used;
  int64_t inputs = 0;
  for (int p = 0; p < j->e->n_model; p++)
    inputs += j->part[p].n_input;
  getrusage(RUSAGE_SELF, &used);
  j->jobs = processors < 1 ? 1 : processors < 256 ? processors : 256;
  if (j->jobs > inputs) j->jobs = inputs > 1 ? inputs : 1;
  while (j->jobs > 1 && pages > 0 && page > 0 &&
         (double)j->jobs * (double)used.ru_maxrss * 1024 > 0.75 * (double)pages * (double)page)
    j->jobs--;
  if (j->jobs == 1) set_threads(j, 0);
  cli_note("%lld process%s", (long long)j->jobs, j->jobs > 1 ? "es of one thread" : " on all processors");
}

static void worker(run_job *j, pid_t parent)
{
  j->parent = (int64_t)parent;
  set_threads(j, 1); /* not before fork(): threads do not live through it */
  const lrp_status st = run_work(j);
  if (st) {
    cli_fail(j->ctx, st);
    j->shared->stop = -1;
  }
  fflush(stderr);
  _exit(st ? lrp_exit_status(st) : 0);
}

/* One that ended badly stops the others after the explanation they are at. */
static void judge(run_job *j, pid_t pid, int how)
{
  const int code = WIFEXITED(how) ? WEXITSTATUS(how) : 1;
  if (WIFSIGNALED(how)) {
    cli_progress_hide(&j->progress);
    cli_error("worker process %ld was ended by signal %d; only the explanation it was at is to be "
              "done again",
              (long)pid, WTERMSIG(how));
  }
  if (!code) return;
  j->shared->stop = -1;
  if (!j->shared->code) j->shared->code = code;
}

static void wait_for(run_job *j, pid_t *pid, int64_t n)
{
  const struct timespec pause = {.tv_nsec = 20000000};
  for (int64_t left = n; left > 0;) {
    for (int64_t i = 0; i < n; i++) {
      int how = 0;
      const pid_t got = pid[i] > 0 ? waitpid(pid[i], &how, WNOHANG) : 0;
      if (got == 0 || (got < 0 && errno == EINTR)) continue;
      if (got > 0) judge(j, pid[i], how);
      pid[i] = 0;
      left--;
    }
    run_stopped(j); /* a signal that came to this process only is passed on */
    run_progress(j);
    if (left > 0) nanosleep(&pause, NULL);
  }
}

static lrp_status run_processes(run_job *j)
{
  const pid_t self = getpid();
  pid_t *pid = calloc((size_t)j->jobs, sizeof *pid);
  int64_t n = 0;
  if (!pid) return lrp_host_table()->fail(j->ctx, LRP_E_NOMEM, "no memory");
  fflush(stdout);
  for (; n < j->jobs; n++) {
    pid[n] = fork();
    if (pid[n] == 0) worker(j, self);
    if (pid[n] < 0) break;
  }
  if (n < j->jobs)
    cli_note("%lld of %lld worker processes: %s", (long long)n, (long long)j->jobs,
             strerror(errno));
  wait_for(j, pid, n);
  free(pid);
  return n ? LRP_OK
           : lrp_host_table()->fail(j->ctx, LRP_E_IO, "no worker process could be started");
}

lrp_status run_all(run_job *j)
{
  cli_progress_begin(&j->progress, j->n_total);
  const lrp_status st = j->jobs > 1 ? run_processes(j) : run_work(j);
  cli_progress_hide(&j->progress);
  return st;
}
