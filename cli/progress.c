/* progress.c - long jobs: a bar on standard error where several inputs take longer than a second,
 * and Ctrl-C that lets the current input be finished. */
#include "cli.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void cli_progress_begin(cli_progress *p, int64_t n)
{
  const char *term = getenv("TERM");
  *p = (cli_progress){.n = n, .began = now()};
  p->wanted =
      n > 1 && !cli_is_quiet() && isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
}

/* Seconds as people say them: 9 s, 2 min, 3 h. */
static void put_time(double s)
{
  if (s < 100)
    fprintf(stderr, "%.0f s", s);
  else if (s < 5400)
    fprintf(stderr, "%.0f min", s / 60);
  else
    fprintf(stderr, "%.1f h", s / 3600);
}

static void draw(cli_progress *p, double seconds)
{
  enum { WIDTH = 24 };
  const int full = (int)(p->done * WIDTH / p->n);
  fputs("\r  ", stderr);
  for (int i = 0; i < WIDTH; i++)
    fputs(i < full ? "━" : "╌", stderr);
  fprintf(stderr, "  %lld of %lld", (long long)p->done, (long long)p->n);
  if (p->done) {
    fprintf(stderr, ", %.3g/s, about ", (double)p->done / seconds);
    put_time(seconds / (double)p->done * (double)(p->n - p->done));
    fputs(" left", stderr);
  }
  fputs("\033[K", stderr);
  fflush(stderr);
  p->visible = true;
}

void cli_progress_hide(cli_progress *p)
{
  if (!p->visible) return;
  fputs("\r\033[K", stderr);
  fflush(stderr);
  p->visible = false;
}

void cli_progress_step(cli_progress *p)
{
  const double seconds = now() - p->began;
  p->done++;
  if (p->wanted && seconds > 1 && p->done < p->n) draw(p, seconds);
}

/* ---- signals ---- */

static volatile sig_atomic_t came;

static void remember(int number)
{
  came = number;
}

void cli_catch_signals(void)
{
  struct sigaction a = {.sa_handler = remember};
  a.sa_flags = (int)SA_RESETHAND; /* and no SA_RESTART: reading standard input stops at once */
  sigemptyset(&a.sa_mask);
  sigaction(SIGINT, &a, NULL);
  sigaction(SIGTERM, &a, NULL);
}

int cli_signal(void)
{
  return came;
}
