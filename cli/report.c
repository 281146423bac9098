/* report.c - lrp report: one page of all explanations of a database, a picture, and TeX. */
#include "report.h"
#include <stdlib.h>
#include <string.h>

enum { O_DB, O_OUT, O_LIMIT, O_PNG, O_TEX, O_ROWS, O_QUIET };
static const cli_option OPTIONS[] = {
    [O_DB] = {"db", 'd', "FILE", "the database ($LRP_DB, else lrp.db)"},
    [O_OUT] = {"output", 'o', "FILE.html",
               "the page (report.html, unless --png or --tex is given)"},
    [O_LIMIT] = {"limit", 'n', "N",
                 "show so many inputs of each model, the largest disagreement first (1000)"},
    [O_PNG] = {"png", 0, "FILE", "the first inputs as a picture: rows inputs, columns rules"},
    [O_TEX] = {"tex", 0, "FILE", "the first inputs as a TeX document; pictures need --png, too"},
    [O_ROWS] = {"rows", 0, "N", "rows of --png and --tex (8)"},
    [O_QUIET] = {"quiet", 'q', NULL, "no notes"},
    {0}};
static int run_report(const cli_command *, int argc, char **argv);
const cli_command CLI_REPORT = {"report",
                                "write all explanations as one page that opens anywhere",
                                "[RUN ...] [OPTION ...]",
                                OPTIONS,
                                -1,
                                "  lrp report --db study.db -o study.html\n"
                                "  lrp report 1 2 3 --limit 200\n"
                                "  lrp report 1 2 --png grid.png --rows 5\n"
                                "  lrp report 7 8 --tex figure.tex\n",
                                run_report};

enum { LIMIT = 1000, ROWS = 8 };

/* A word of a command line as a shell reads it. */
static void put_word(FILE *f, const char *s)
{
  const size_t safe = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_-./:@%+=,");
  if (*s && !s[safe]) {
    fputs(s, f);
    return;
  }
  fputc('\'', f);
  for (; *s; s++)
    fputs(*s == '\'' ? "'\\''" : (const char[]){*s, 0}, f);
  fputc('\'', f);
}

static char *command_line(int argc, char **argv)
{
  char *text = NULL;
  size_t n = 0;
  FILE *f = open_memstream(&text, &n);
  if (!f) return NULL;
  fputs("lrp", f);
  for (int i = 0; i < argc; i++) {
    fputc(' ', f);
    put_word(f, argv[i]);
  }
  fclose(f);
  return text;
}

/* "[1,2]" of the operands; *status: a word is no run. */
static char *runs_of(const cli_args *a, int *status)
{
  char *text = NULL;
  size_t n = 0;
  FILE *f = a->n_operand ? open_memstream(&text, &n) : NULL;
  if (!f) return NULL;
  for (int i = 0; i < a->n_operand; i++) {
    int64_t id = 0;
    if (!cli_run_id(a->operand[i], &id)) {
      cli_error("report: a run was expected, as run:1 or 1, not \"%s\"; lrp runs ls lists them",
                a->operand[i]);
      *status = 2;
    }
    fprintf(f, "%c%lld", i ? ',' : '[', (long long)id);
  }
  fputc(']', f);
  fclose(f);
  return text;
}

static int write_page(report *r, const char *path)
{
  char *page = NULL;
  size_t n = 0;
  int64_t shown = 0, all = 0;
  int status = report_page(r, &page, &n);
  if (!status) {
    const lrp_status st = lrp_file_write(r->d.ctx, path, page, n);
    if (st) status = cli_fail(r->d.ctx, st);
  }
  free(page);
  for (int i = 0; i < r->n_model; i++) {
    shown += r->model[i].n_shown;
    all += r->model[i].n;
  }
  if (!status)
    cli_note("%s: %lld of %lld inputs and targets of %d model%s, %.1f MB", path, (long long)shown,
             (long long)all, r->n_model, r->n_model > 1 ? "s" : "", (double)n / 1e6);
  return status;
}

static int write_all(report *r, const cli_args *a, int64_t rows)
{
  const char *out = a->value[O_OUT], *png = a->value[O_PNG], *tex = a->value[O_TEX];
  if (!out && !png && !tex) out = "report.html";
  int status = report_read(r);
  if (!status && png) status = report_png(r, png, rows);
  if (!status && tex) status = report_tex(r, tex, png, rows);
  if (!status && out) status = write_page(r, out);
  return status;
}

/* Has it the ending of something else than a page?  A stream as /dev/stdout has none. */
static bool is_no_page(const char *path)
{
  const char *slash = strrchr(path, '/');
  return strchr(slash ? slash : path, '.') && !cli_has_ending(path, ".html") && !cli_has_ending(path, ".htm");
}

static int understood(const cli_args *a, report *r, int64_t *rows)
{
  int status = 0;
  r->limit = LIMIT;
  *rows = ROWS;
  if (a->value[O_OUT] && is_no_page(a->value[O_OUT])) {
    cli_error("report: --output %s: this is the page, a name with .html was expected; --png and --tex name a picture "
              "and TeX",
              a->value[O_OUT]);
    return 2;
  }
  if (a->value[O_LIMIT] && !cli_int(&OPTIONS[O_LIMIT], a->value[O_LIMIT], 1, INT32_MAX, &r->limit))
    return 2;
  if (a->value[O_ROWS] && !cli_int(&OPTIONS[O_ROWS], a->value[O_ROWS], 1, 1000, rows)) return 2;
  if (r->limit < *rows) *rows = r->limit;
  r->runs = runs_of(a, &status);
  if (!status && a->n_operand && !r->runs) return report_no_memory();
  return status;
}

static int run_report(const cli_command *c, int argc, char **argv)
{
  cli_args a;
  report r = {0};
  int64_t rows;
  int status = cli_parse(c, argc, argv, &a);
  if (status) {
    status--;
  } else if (!(status = understood(&a, &r, &rows))) {
    cli_quiet(a.value[O_QUIET] != NULL);
    r.made_by = command_line(argc, argv);
    status = r.made_by ? cli_db_open_snapshot(&r.d, a.value[O_DB]) : report_no_memory();
    if (!status) status = write_all(&r, &a, rows);
  }
  report_free(&r);
  cli_args_free(&a);
  return status;
}
