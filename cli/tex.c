/* tex.c - explanations of texts as a TeX document that compiles alone, with pdfTeX, XeTeX or LuaTeX
 * and nothing but xcolor; all that comes from strangers is escaped. */
#include "cli.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* \lrp{background}{letters}{text}: a box that a line may break behind.  \lrpchar: a character that
 * not every font has; pdfTeX writes its number. */
static const char HEAD[] =
    "% Made by lrp.  It compiles alone: pdflatex, xelatex or lualatex.\n"
    "\\documentclass{article}\n"
    "\\usepackage{iftex}\n"
    "\\ifpdftex\\usepackage[T1]{fontenc}\\usepackage[utf8]{inputenc}\\fi\n"
    "\\IfFileExists{lmodern.sty}{\\usepackage{lmodern}}{}\n"
    "\\usepackage{textcomp}\n"
    "\\usepackage{xcolor}\n"
    "\\ifpdftex\\newcommand\\lrpchar[1]{{\\scriptsize\\ttfamily U+#1}}\n"
    "\\else\\newcommand\\lrpchar[1]{\\char\"#1\\relax}\\fi\n"
    "\\newcommand\\lrp[3]{{\\setlength\\fboxsep{1.5pt}\\colorbox[HTML]{#1}{\\strut"
    "\\textcolor[HTML]{#2}{#3}}}\\hspace{0pt}}\n"
    "\\newcommand\\lrpraw[1]{{\\ttfamily\\textbackslash #1}}\n"
    "\\setlength\\parindent{0pt}\\setlength\\emergencystretch{3em}\\raggedright\n"
    "\\begin{document}\n";

/* ---- escaping, in one pass ---- */

/* What stands for an ASCII character that TeX takes for a command, or joins with the next one. */
static const char *ascii(char c)
{
  switch (c) {
  case '\\':
    return "\\textbackslash{}";
  case '{':
    return "\\{";
  case '}':
    return "\\}";
  case '$':
    return "\\$";
  case '&':
    return "\\&";
  case '#':
    return "\\#";
  case '%':
    return "\\%";
  case '_':
    return "\\_";
  case '^':
    return "\\textasciicircum{}";
  case '~':
    return "\\textasciitilde{}";
  case '<':
    return "\\textless{}";
  case '>':
    return "\\textgreater{}";
  case '|':
    return "\\textbar{}";
  case '"':
    return "\\textquotedbl{}";
  case '\'':
    return "\\textquotesingle{}";
  case '`':
    return "\\textasciigrave{}";
  case '-':
    return "-{}";
  case ',':
    return ",{}";
  case '!':
    return "!{}";
  case '?':
    return "?{}";
  default:
    return NULL;
  }
}

/* What every font of pdfTeX's T1 and TS1 has. */
static bool is_common(utf8proc_int32_t c)
{
  static const utf8proc_int32_t also[] = {0x152,  0x153,  0x160,  0x161,  0x178,  0x17d,  0x17e,
                                          0x2013, 0x2014, 0x2018, 0x2019, 0x201a, 0x201c, 0x201d,
                                          0x201e, 0x2020, 0x2021, 0x2022, 0x2026, 0x20ac, 0x2122};
  if (c >= 0xa1 && c <= 0xff && c != 0xad) return true;
  for (size_t i = 0; i < sizeof also / sizeof *also; i++)
    if (also[i] == c) return true;
  return false;
}

static void put_text(FILE *f, const char *s, size_t n)
{
  char out[16];
  int width;
  for (size_t i = 0, k; i < n; i += k) {
    utf8proc_int32_t c = -1;
    k = cli_piece(s + i, n - i, out, sizeof out, &width);
    utf8proc_iterate((const utf8proc_uint8_t *)s + i, (utf8proc_ssize_t)(n - i), &c);
    if (ascii(s[i]))
      fputs(ascii(s[i]), f);
    else if (s[i] == '\t' || c == 0xa0)
      fputs("~", f);
    else if (out[0] == '\\') { /* an escape: \n, \x9B, \u{1B} */
      fputs("\\lrpraw{", f);
      for (const char *p = out + 1; *p; p++)
        fprintf(f, *p == '{' || *p == '}' ? "\\%c" : "%c", *p);
      fputc('}', f);
    } else if (c < 0x80 || is_common(c))
      fputs(out, f);
    else
      fprintf(f, "\\lrpchar{%X}", (unsigned)c);
  }
}

static void put_string(FILE *f, const char *s)
{
  put_text(f, s, strlen(s));
}

/* ---- the text ---- */

static void put_color(FILE *f, cli_rgb c)
{
  fprintf(f, "{%02X%02X%02X}", c.r, c.g, c.b);
}

/* At most MOST bytes in a box, so that long ones can be broken. */
static void put_boxes(FILE *f, const char *s, size_t n, double v)
{
  enum { MOST = 48 };
  const cli_rgb c = cli_map(CLI_MAP_COOLWARM, v);
  for (size_t at = 0, end; at < n; at = end) {
    end = n - at > MOST ? at + MOST : n;
    while (end < n && end > at + 1 && ((unsigned char)s[end] & 0xC0) == 0x80)
      end--;
    if (fabs(v) > 1.0 / 18) { /* weaker ones stay plain, as in the terminal */
      fputs("\\lrp", f);
      put_color(f, c);
      put_color(f, cli_dark(c) ? (cli_rgb){255, 255, 255} : (cli_rgb){0, 0, 0});
      fputc('{', f);
      put_text(f, s + at, end - at);
      fputc('}', f);
    } else {
      put_text(f, s + at, end - at);
      fputs("\\hspace{0pt}", f);
    }
  }
}

/* Between parts: white space is a space or a new line. */
static void put_gap(FILE *f, const char *s, size_t n)
{
  for (size_t i = 0; i < n;) {
    const size_t blank = strspn(s + i, " \t\r\n"), run = i + blank > n ? n - i : blank;
    if (run) {
      fputs(memchr(s + i, '\n', run) ? "\\newline\n" : "\n", f);
      i += run;
    } else {
      size_t k = 1;
      while (i + k < n && !strchr(" \t\r\n", s[i + k]))
        k++;
      put_text(f, s + i, k);
      i += k;
    }
  }
}

static void put_run(FILE *f, const cli_view *v, const cli_part *p, int64_t n, double largest)
{
  const lrp_input *in = v->input;
  size_t at = 0;
  fputs("\\leavevmode ", f);
  for (int64_t i = 0; i < n; i++) {
    const double share = largest > 0 ? p[i].r / largest : 0;
    if (p[i].name) {
      fputs(i ? "\n" : "", f);
      put_boxes(f, p[i].name, strlen(p[i].name), share);
      fputs("\n", f);
      continue;
    }
    if (p[i].begin > at) put_gap(f, in->text + at, p[i].begin - at);
    put_boxes(f, in->text + p[i].begin, p[i].end - p[i].begin, share);
    at = p[i].end;
  }
  if (in->n_dropped)
    fputs(" \\ldots", f);
  else
    put_gap(f, in->text + at, in->n_text - at);
  fputs("\\par\n", f);
}

static void put_scale(FILE *f, double largest)
{
  fprintf(f, "\\smallskip\n{\\small against $%.3g$ ", -largest);
  for (int i = -6; i <= 6; i++) {
    fputs("\\textcolor[HTML]", f);
    put_color(f, cli_map(CLI_MAP_COOLWARM, i / 6.0));
    fputs("{\\rule[-.2ex]{1em}{1.6ex}}", f);
  }
  fprintf(f, " $%.3g$ for; $0$ in the middle}\\par\n", largest);
}

/* ---- the strongest parts, targets side by side ---- */

static void put_rows(FILE *f, const cli_view *v, int n, cli_part *const *part, const cli_rank *order,
                     int64_t m, double largest)
{
  enum { ROWS = 12, NAME = 60 };
  for (int64_t row = 0; row < m && row < ROWS; row++) {
    const cli_part *p = &part[0][order[row].i];
    const char *s = p->name ? p->name : v->input->text + p->begin;
    size_t len = p->name ? strlen(s) : p->end - p->begin;
    const bool cut = len > NAME;
    for (len = cut ? NAME : len; cut && len && ((unsigned char)s[len] & 0xC0) == 0x80;)
      len--;
    put_text(f, s, len);
    fputs(cut ? "\\ldots" : "", f);
    for (int k = 0; k < n; k++)
      fprintf(f, "&$%+.*f$", cli_decimals(largest), part[k][order[row].i].r);
    fputs("\\\\\n", f);
  }
}

static lrp_status put_table(FILE *f, const cli_view *v, int n, cli_part *const *part, int64_t m,
                            double largest)
{
  cli_rank *order = calloc((size_t)m + 1, sizeof *order);
  if (!order) return LRP_E_NOMEM;
  for (int64_t i = 0; i < m; i++) {
    order[i].i = i;
    for (int k = 0; k < n; k++)
      order[i].size = fmax(order[i].size, fabs(part[k][i].r));
  }
  cli_rank_sort(order, m);
  fputs("\\smallskip\n\\begin{tabular}{l", f);
  for (int k = 0; k < n; k++)
    fputc('r', f);
  fprintf(f, "}\n%s", cli_by_name(v->by));
  for (int k = 0; k < n; k++) {
    fputs("&", f);
    put_string(f, v[k].target_text);
  }
  fputs("\\\\\\hline\n", f);
  put_rows(f, v, n, part, order, m, largest);
  fputs("\\end{tabular}\\par\n", f);
  free(order);
  return LRP_OK;
}

static lrp_status put_targets(FILE *f, const cli_view *v, int n, cli_part **part, int64_t m,
                              double largest)
{
  cli_part *run = calloc((size_t)m + 1, sizeof *run);
  if (!run) return LRP_E_NOMEM;
  for (int k = 0; k < n; k++) {
    fputs("\\medskip\nExplained: \\textbf{", f);
    put_string(f, v[k].target_text);
    fprintf(f, "}, score $%.4g$, relevance at the input $%.4g$.\\par\\smallskip\n",
            v[k].r->value[v[k].sample], v[k].r->sum[v[k].sample]);
    put_run(f, &v[k], run, cli_parts_run(&v[k], part[k], m, run), largest);
  }
  free(run);
  put_scale(f, largest);
  return put_table(f, v, n, part, m, largest);
}

/* ---- the document ---- */

void cli_tex_begin(FILE *f)
{
  fputs(HEAD, f);
}

void cli_tex_end(FILE *f)
{
  fputs("\\end{document}\n", f);
}

lrp_status cli_tex(lrp_ctx *ctx, FILE *f, const cli_view *v, int n)
{
  char label[256], percent[32];
  cli_part **part = calloc((size_t)n, sizeof *part);
  lrp_status st = part ? LRP_OK : LRP_E_NOMEM;
  double largest = 0;
  int64_t m = 0;
  for (int k = 0; !st && k < n; k++) {
    part[k] = cli_parts(&v[k], &m);
    if (!part[k]) st = LRP_E_NOMEM;
    if (part[k]) cli_parts_hide(&v[k], part[k], &m);
    if (part[k]) largest = fmax(largest, cli_parts_largest(part[k], m));
  }
  fputs("\\section*{", f);
  put_string(f, v->name);
  fputs("}\nPrediction: \\textbf{", f);
  put_string(f, cli_label(v->model, v->predicted, label, sizeof label));
  fputs("}", f);
  if (v->probability >= 0) {
    fputc(' ', f);
    put_string(f, cli_probability(v->probability, percent, sizeof percent));
  }
  fputs(".  Model ", f);
  put_string(f, lrp_model_about(v->model)->name);
  fputs(v->composite ? ", rules " : ", method ", f);
  put_string(f, v->composite ? lrp_composite_name(v->composite) : v->method);
  fputs(".\\par\n", f);
  if (!st) st = put_targets(f, v, n, part, m, largest);
  for (int k = 0; part && k < n; k++)
    free(part[k]);
  free(part);
  return st ? lrp_host_table()->fail(ctx, st, "no memory for the document") : LRP_OK;
}
