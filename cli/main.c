/* main.c - the command: finds the subcommand and runs it. */
#include "cli.h"
#include <errno.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

extern const cli_command CLI_EXPLAIN, CLI_FORWARD, CLI_MODEL, CLI_RULES, CLI_LAYERS, CLI_PLUGIN,
    CLI_SQL, CLI_WORDS, CLI_RUN, CLI_COMPARE, CLI_DIFF, CLI_REPORT, CLI_RUNS, CLI_DB;

const cli_command *const CLI_COMMANDS[] = {&CLI_EXPLAIN, &CLI_RUN,     &CLI_FORWARD, &CLI_MODEL,
                                           &CLI_RULES,   &CLI_LAYERS,  &CLI_PLUGIN,  &CLI_SQL,
                                           &CLI_WORDS,   &CLI_COMPARE, &CLI_DIFF,    &CLI_REPORT,
                                           &CLI_RUNS,    &CLI_DB,      NULL};

static void usage(FILE *f)
{
  fputs("lrp - why did this network decide so: layer-wise relevance propagation\n\n"
        "usage: lrp COMMAND [OPTION ...] [ARGUMENT ...]\n\ncommands:\n",
        f);
  for (int i = 0; CLI_COMMANDS[i]; i++)
    fprintf(f, "  %-10s %s\n", CLI_COMMANDS[i]->name, CLI_COMMANDS[i]->summary);
  fputs("\nlrp COMMAND --help   the options of a command, with examples\n"
        "lrp --version [-v]   the version [and what it was built with]\n"
        "man lrp              everything\n",
        f);
}

static int version(bool verbose)
{
  printf("lrp %s\n", lrp_version());
  if (verbose) printf("%s\n", lrp_config_summary());
  return 0;
}

static const char *nearest(const char *name)
{
  const char *best = NULL;
  size_t least = 4;
  for (int i = 0; CLI_COMMANDS[i]; i++) {
    const size_t n = strlen(name), d = cli_distance(name, CLI_COMMANDS[i]->name);
    if (n > 1 && !strncmp(name, CLI_COMMANDS[i]->name, n)) return CLI_COMMANDS[i]->name;
    if (d < least && d < n) {
      least = d;
      best = CLI_COMMANDS[i]->name;
    }
  }
  return best;
}

static const cli_command *find(const char *name)
{
  for (int i = 0; CLI_COMMANDS[i]; i++)
    if (!strcmp(name, CLI_COMMANDS[i]->name)) return CLI_COMMANDS[i];
  const char *near = nearest(name);
  if (near)
    cli_error("there is no command \"%s\"; did you mean \"%s\"?", name, near);
  else
    cli_error("there is no command \"%s\"; lrp --help lists them", name);
  return NULL;
}

static int help(const char *name)
{
  if (!name) {
    usage(stdout);
    return 0;
  }
  const cli_command *c = find(name);
  if (c) cli_help(c, stdout);
  return c ? 0 : 2;
}

/* What was printed has to arrive: a full disk or a reader that left is an error like any other. */
static int finish(int status)
{
  if (cli_flush()) return status;
  if (cli_flush_error() == EPIPE)
    cli_error("standard output was closed before all was written");
  else
    cli_error("standard output: %s", strerror(cli_flush_error()));
  return status ? status : cli_flush_error() == EPIPE ? 128 + SIGPIPE : 1;
}

static int run(int argc, char **argv)
{
  const char *word = argv[1];
  if (!strcmp(word, "--help") || !strcmp(word, "-h") || !strcmp(word, "help"))
    return help(argc > 2 ? argv[2] : NULL);
  if (!strcmp(word, "--version") || !strcmp(word, "-V"))
    return version(argc > 2 && !strcmp(argv[2], "-v"));
  const cli_command *c = find(word);
  return c ? c->run(c, argc - 1, argv + 1) : 2;
}

int main(int argc, char **argv)
{
  LRP_PRELOAD();
  sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0); /* statistics that nobody reads, under a lock */
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN); /* a limit of file size is told as a full disk is */
  if (argc < 2) {
    usage(stderr);
    return 2;
  }
  return finish(run(argc, argv));
}
