/* main.c - the command: finds the subcommand and runs it. */
#include "cli.h"
#include <stdlib.h>
#include <string.h>

extern const cli_command CLI_EXPLAIN, CLI_FORWARD, CLI_MODEL, CLI_RULES, CLI_LAYERS, CLI_PLUGIN, CLI_SQL;

const cli_command *const CLI_COMMANDS[] = {&CLI_EXPLAIN, &CLI_FORWARD, &CLI_MODEL, &CLI_RULES,
                                           &CLI_LAYERS,  &CLI_PLUGIN,  &CLI_SQL,   NULL};

static void usage(FILE *f)
{
  fputs("lrp - why did this network decide so: layer-wise relevance propagation\n\n"
        "usage: lrp COMMAND [OPTION ...] [ARGUMENT ...]\n\ncommands:\n",
        f);
  for (int i = 0; CLI_COMMANDS[i]; i++)
    fprintf(f, "  %-10s %s\n", CLI_COMMANDS[i]->name, CLI_COMMANDS[i]->summary);
  fputs("\n  lrp COMMAND --help tells the options of a command, lrp --version [-v] the version, man lrp everything\n", f);
}

static int version(bool verbose)
{
  printf("lrp %s\n", lrp_version());
  if (verbose)
    printf("%s\n", lrp_config_summary());
  return 0;
}

/* A command that shares its beginning with what was typed. */
static const char *nearest(const char *name)
{
  for (size_t n = strlen(name); n > 1; n--)
    for (int i = 0; CLI_COMMANDS[i]; i++)
      if (!strncmp(CLI_COMMANDS[i]->name, name, n))
        return CLI_COMMANDS[i]->name;
  return NULL;
}

int main(int argc, char **argv)
{
  LRP_PRELOAD();
  if (argc < 2) {
    usage(stderr);
    return 2;
  }
  if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
    usage(stdout);
    return 0;
  }
  if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V"))
    return version(argc > 2 && !strcmp(argv[2], "-v"));
  for (int i = 0; CLI_COMMANDS[i]; i++)
    if (!strcmp(argv[1], CLI_COMMANDS[i]->name)) {
      const int st = CLI_COMMANDS[i]->run(CLI_COMMANDS[i], argc - 1, argv + 1);
      if (fflush(stdout) || ferror(stdout)) {
        cli_error("writing to standard output failed");
        return st ? st : 1;
      }
      return st;
    }
  const char *near = nearest(argv[1]);
  cli_error("there is no command \"%s\"%s%s%s; lrp --help lists them", argv[1], near ? "; did you mean \"" : "",
            near ? near : "", near ? "\"?" : "");
  return 2;
}
