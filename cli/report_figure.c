/* report_figure.c - the first cases of a report for a paper: a picture (rows inputs, columns the
 * input and each rule) and a TeX document of its own. */
#include "lrp/image.h"
#include "report.h"
#include "sheet.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char SQL_SPANS[] =
    "SELECT byte_begin, byte_end FROM token WHERE tokenization_id = ?1 ORDER BY position";

/* ---- the picture ---- */

/* What follows the last slash of a path. */
static const char *base_of(const char *path)
{
  const char *slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

/* The input: where it came from, what the model saw in it. */
static void note_input(const cli_sheet *s, int64_t row, sqlite3_stmt *about)
{
  char text[400];
  const char *label = cli_db_text(about, 6), *predicted = cli_db_text(about, 10);
  snprintf(text, sizeof text, "%s", base_of(cli_db_text(about, 14)));
  cli_sheet_note(s, row, 0, 0, text);
  if (sqlite3_column_type(about, 6) == SQLITE_NULL || !strcmp(label, predicted))
    snprintf(text, sizeof text, "%s", predicted);
  else
    snprintf(text, sizeof text, "%s, true: %s", predicted, label);
  cli_sheet_note(s, row, 0, 1, text);
}

/* A map: the number of its full colour; what share of the score did not arrive. */
static void note_map(const cli_sheet *s, int64_t row, int column, const cli_grid *g, double value,
                     double sum)
{
  char text[64];
  snprintf(text, sizeof text, "max %.3g", g->largest);
  cli_sheet_note(s, row, column, 0, text);
  snprintf(text, sizeof text, "lost %.3g %%", 100 * (value - sum) / fmax(fabs(value), 1e-12));
  cli_sheet_note(s, row, column, 1, text);
}

static int put_row(report *r, const report_model *m, const cli_sheet *s, int64_t row)
{
  const int64_t at = m->shown[row];
  sqlite3_stmt *about = report_about(r, m, at);
  lrp_image in;
  int status = about ? 0 : CLI_EXIT_DB;
  if (about && !strcmp(cli_db_text(about, 0), "image") &&
      cli_picture_read(
          &r->d, &r->pictures, cli_db_text(about, 2),
          sqlite3_column_type(about, 3) == SQLITE_NULL ? -1 : sqlite3_column_int64(about, 3),
          cli_db_text(about, 4), cli_db_text(about, 5), &in)) {
    cli_sheet_picture(s, row, 0, &in);
    lrp_image_free(&in);
  }
  if (about) note_input(s, row, about);
  cli_sheet_frame(s, row, 0);
  for (int k = 0; !status && k < m->n_column; k++) {
    const int64_t id = m->id_of[at * m->n_column + k];
    if (id) status = cli_grid_read(&r->d, &r->read, &r->r, id, &r->g);
    if (id && !status && r->g.h) {
      cli_sheet_map(s, row, k + 1, &r->g);
      note_map(s, row, k + 1, &r->g, r->r.value, r->r.sum);
    }
    cli_sheet_frame(s, row, k + 1);
  }
  return status;
}

/* The first model whose first case is a picture; NULL: there is none, or *status. */
static const report_model *pictured(report *r, cli_sheet *s, int *status)
{
  for (int i = 0; i < r->n_model; i++) {
    const report_model *m = &r->model[i];
    if (!strcmp(m->modality, "text")) continue;
    for (int k = 0; !*status && k < m->n_column; k++) {
      const int64_t id = m->id_of[m->shown[0] * m->n_column + k];
      if (!id) continue;
      *status = cli_grid_read(&r->d, &r->read, &r->r, id, &r->g);
      if (!*status && r->g.h > 1) {
        *s = (cli_sheet){.h = r->g.h, .w = r->g.w};
        return m;
      }
    }
  }
  return NULL;
}

int report_png(report *r, const char *path, int64_t n)
{
  cli_sheet s = {0};
  int status = 0;
  const char *heading[REPORT_COLUMNS + 1] = {"input"};
  char title[300];
  const report_model *m = pictured(r, &s, &status);
  if (!m) {
    if (!status) cli_error("%s: no model reads pictures here; --tex and -o show texts", path);
    return status ? status : 2;
  }
  s.rows = n > m->n_shown ? m->n_shown : n;
  s.columns = m->n_column + 1;
  for (int k = 0; k < m->n_column; k++)
    heading[k + 1] = m->column[k].name;
  snprintf(title, sizeof title, "%s: relevance of the pixels for the explained class", m->name);
  status = cli_sheet_new(
      &s, path, "--rows", title, heading,
      "each map has its own scale: full colour is its max |R|, written below it; white is 0");
  for (int64_t i = 0; !status && i < s.rows; i++)
    status = put_row(r, m, &s, i);
  const lrp_status st = status ? LRP_OK : cli_sheet_write(&s, r->d.ctx, path);
  cli_sheet_free(&s);
  if (status || st) return status ? status : cli_fail(r->d.ctx, st);
  cli_note("%s: %lld input%s of %s; columns:", path, (long long)s.rows, cli_plural(s.rows),
           m->name);
  for (int k = -1; k < m->n_column; k++)
    cli_note("  %s", k < 0 ? "input" : m->column[k].name);
  return 0;
}

/* ---- TeX ---- */

/* The ten specials in one pass; what works on other letters is told by a question mark. */
static void put_tex(FILE *f, const char *s, size_t n)
{
  static const char *const NAMED = "\\~^";
  static const char *const NAME[] = {"backslash", "asciitilde", "asciicircum"};
  for (size_t i = 0; i < n;) {
    uint32_t c;
    bool bad;
    const size_t k = report_letter(s + i, n - i, &c, &bad);
    const int ascii = c < 128 ? (int)c : 0;
    const char *named = ascii ? strchr(NAMED, ascii) : NULL;
    if (bad)
      fputs(c == '\n' || c == '\t' ? " " : "{?}", f);
    else if (named)
      fprintf(f, "\\text%s{}", NAME[named - NAMED]);
    else if (ascii && strchr("&%$#_{}", ascii))
      fprintf(f, "\\%c", ascii);
    else if (ascii && strchr("<>|\"-'`", ascii))
      fprintf(f, "{\\char%d}", ascii); /* no ligatures, and no other sign in old encodings */
    else
      fwrite(s + i, 1, k, f);
    i += k;
  }
}

static void put_box(FILE *f, const char *s, size_t n, double v)
{
  const cli_rgb c = cli_map(CLI_MAP_COOLWARM, v);
  if (fabs(v) <= 1.0 / 18) { /* weaker ones stay plain, as on the page */
    put_tex(f, s, n);
    return;
  }
  fprintf(f, "\\R{%d,%d,%d}{%s}{", c.r, c.g, c.b, cli_dark(c) ? "white" : "black");
  put_tex(f, s, n);
  fputc('}', f);
}

static int put_tokens(report *r, FILE *f, sqlite3_stmt *spans, int64_t tokenization,
                      const char *text)
{
  int status = 0;
  const int64_t n = (int64_t)strlen(text);
  double largest = 0;
  int64_t at = 0;
  for (size_t i = 0; i < r->r.n; i++)
    largest = fmax(largest, fabs(r->r.v[i]));
  sqlite3_reset(spans);
  sqlite3_bind_int64(spans, 1, tokenization);
  for (size_t i = 0; i < r->r.n && cli_db_row(&r->d, spans, &status); i++) {
    const int64_t begin = sqlite3_column_int64(spans, 0), end = sqlite3_column_int64(spans, 1);
    if (begin < at || end <= begin || end > n) continue;
    put_tex(f, text + at, (size_t)(begin - at));
    put_box(f, text + begin, (size_t)(end - begin), largest > 0 ? r->r.v[i] / largest : 0);
    at = end;
  }
  put_tex(f, text + at, (size_t)(n - at));
  return status;
}

static void put_caption(FILE *f, sqlite3_stmt *about)
{
  fputs("\\par\\medskip\\noindent{\\small\\textsf{predicted \\textbf{", f);
  put_tex(f, cli_db_text(about, 10), strlen(cli_db_text(about, 10)));
  fputs("}, explained \\textbf{", f);
  put_tex(f, cli_db_text(about, 11), strlen(cli_db_text(about, 11)));
  fputc('}', f);
  if (sqlite3_column_type(about, 6) != SQLITE_NULL) {
    fputs(", true \\textbf{", f);
    put_tex(f, cli_db_text(about, 6), strlen(cli_db_text(about, 6)));
    fputc('}', f);
  }
  fputs("}}\\par\n", f);
}

static int put_texts(report *r, FILE *f, const report_model *m, int64_t n)
{
  sqlite3_stmt *spans = cli_db_ask(&r->d, SQL_SPANS, "");
  int status = spans ? 0 : CLI_EXIT_DB;
  for (int64_t i = 0; !status && i < n && i < m->n_shown; i++) {
    const int64_t at = m->shown[i];
    sqlite3_stmt *about = report_about(r, m, at);
    if (!about) status = CLI_EXIT_DB;
    if (!status) put_caption(f, about);
    for (int k = 0; !status && k < m->n_column; k++) {
      const int64_t id = m->id_of[at * m->n_column + k];
      if (!id) continue;
      status = cli_relevance_read(&r->d, &r->read, id, &r->r);
      fputs("\\noindent\\makebox[\\rules][l]{\\footnotesize\\textsf{", f);
      put_tex(f, m->column[k].name, strlen(m->column[k].name));
      fputs("}}\\parbox[t]{\\dimexpr\\linewidth-\\rules}{\\raggedright ", f);
      if (!status)
        status = put_tokens(r, f, spans, sqlite3_column_int64(about, 13), cli_db_text(about, 1));
      fputs("}\\par\n", f);
    }
  }
  sqlite3_finalize(spans);
  return status;
}

/* The picture has its own lettering. */
static void put_picture(FILE *f, const char *png)
{
  fprintf(f, "\\par\\noindent\\includegraphics[width=\\linewidth]{\\detokenize{%s}}\\par\n",
          base_of(png));
}

static void put_preamble(FILE *f, const char *command)
{
  fputs("% ", f);
  for (const char *p = command; *p; p++)
    fputc((unsigned char)*p < 32 ? ' ' : *p, f);
  fprintf(
      f,
      "\n%% made by lrp %s; compile it with lualatex or xelatex, or pdflatex for Latin letters\n",
      lrp_version());
  fputs("\\documentclass{article}\n\\usepackage{iftex}\n\\ifPDFTeX\\usepackage[T1]{fontenc}"
        "\\usepackage[utf8]{inputenc}\\else\\usepackage{fontspec}\\fi\n"
        "\\usepackage{xcolor,graphicx}\n\\usepackage[margin=2cm]{geometry}\n"
        "\\setlength\\fboxsep{0.6pt}\\newlength\\rules\\setlength\\rules{9em}\n"
        "\\newcommand\\R[3]{\\colorbox[RGB]{#1}{\\strut\\textcolor{#2}{#3}}}\n"
        "\\pagestyle{empty}\n\\begin{document}\n",
        f);
}

static void put_legend(FILE *f)
{
  fputs("\\par\\medskip\\noindent{\\footnotesize\\textsf{against }", f);
  for (int i = -4; i <= 4; i++) {
    const cli_rgb c = cli_map(CLI_MAP_COOLWARM, i / 4.0);
    fprintf(f, "\\R{%d,%d,%d}{black}{\\hspace*{1em}}", c.r, c.g, c.b);
  }
  fputs("\\textsf{ for the explained class; 0 in the middle, each line or map on its own scale}}\n"
        "\\end{document}\n",
        f);
}

int report_tex(report *r, const char *path, const char *png, int64_t n)
{
  char *text = NULL;
  size_t size = 0;
  int status = 0;
  cli_sheet s;
  const report_model *pictures = pictured(r, &s, &status);
  bool texts = false;
  for (int i = 0; i < r->n_model; i++)
    texts = texts || !strcmp(r->model[i].modality, "text");
  if (!status && !texts && (!png || !pictures)) {
    cli_error("%s: pictures are shown by their grid; name it, too: --png grid.png", path);
    return 2;
  }
  FILE *f = status ? NULL : open_memstream(&text, &size);
  if (!f) return status ? status : report_no_memory();
  put_preamble(f, r->made_by);
  for (int i = 0; !status && i < r->n_model; i++) {
    const report_model *m = &r->model[i];
    if (!strcmp(m->modality, "text"))
      status = put_texts(r, f, m, n);
    else if (m == pictures && png)
      put_picture(f, png);
  }
  put_legend(f);
  if (fclose(f) && !status) status = report_no_memory();
  const lrp_status st = status ? LRP_OK : lrp_file_write(r->d.ctx, path, text, size);
  free(text);
  if (!status && st) status = cli_fail(r->d.ctx, st);
  if (!status) cli_note("%s: written", path);
  return status;
}
