/* terminal.c - messages, colours, and the escaping of strangers' text. */
#include "cli.h"
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <utf8proc.h>

static bool quiet; /* one command a process: set once, at its start */

void cli_quiet(bool on)
{
  quiet = on;
}

bool cli_is_quiet(void)
{
  return quiet;
}

/* Lines of ours, in which names and texts of strangers may stand: all but the line ends is
 * escaped. */
static void put_lines(FILE *f, const char *text)
{
  for (const char *line = text; *line;) {
    const size_t n = strcspn(line, "\n");
    cli_escape(f, line, n);
    fputc('\n', f);
    line += n + (line[n] != 0);
  }
}

static void put_message(const char *before, const char *fmt, va_list ap)
{
  char text[4096];
  vsnprintf(text, sizeof text, fmt, ap);
  fputs(before, stderr);
  put_lines(stderr, text);
}

void cli_error(const char *fmt, ...)
{
  va_list ap;
  va_start(ap, fmt);
  put_message("lrp: ", fmt, ap);
  va_end(ap);
}

void cli_note(const char *fmt, ...)
{
  if (quiet) return;
  va_list ap;
  va_start(ap, fmt);
  put_message("", fmt, ap);
  va_end(ap);
}

int cli_fail(lrp_ctx *ctx, lrp_status st)
{
  const char *m = lrp_message(ctx);
  fputs("lrp: ", stderr);
  put_lines(stderr, *m ? m : st == LRP_E_NOMEM ? "no memory" : lrp_status_name(st));
  return lrp_exit_status(st);
}

static int flush_error;

bool cli_flush(void)
{
  errno = 0;
  if (!fflush(stdout) && !ferror(stdout)) return true;
  if (!flush_error) flush_error = errno ? errno : EIO;
  return false;
}

int cli_flush_error(void)
{
  return flush_error;
}

int cli_columns(FILE *f)
{
  struct winsize size = {0};
  if (!isatty(fileno(f))) return 0;
  return !ioctl(fileno(f), TIOCGWINSZ, &size) && size.ws_col >= 20 ? size.ws_col : 80;
}

/* ---- colours ---- */

int cli_color(const char *when, FILE *f)
{
  const char *no = getenv("NO_COLOR"), *term = getenv("TERM"), *true_color = getenv("COLORTERM");
  const bool always = when && !strcmp(when, "always");
  if (when && !strcmp(when, "never")) return CLI_COLOR_NONE;
  if (!always && ((no && *no) || !term || !strcmp(term, "dumb") || !isatty(fileno(f))))
    return CLI_COLOR_NONE;
  if (always && !true_color) return CLI_COLOR_TRUE;
  return true_color && (!strcmp(true_color, "truecolor") || !strcmp(true_color, "24bit"))
             ? CLI_COLOR_TRUE
             : CLI_COLOR_256;
}

/* coolwarm after Moreland 2009 by five anchors; bwr is linear from blue over white to red. */
cli_rgb cli_map(int map, double v)
{
  static const double COOLWARM[5][3] = {
      {59, 76, 192}, {141, 176, 254}, {221, 221, 221}, {244, 154, 123}, {180, 4, 38}};
  static const double BWR[5][3] = {
      {0, 0, 255}, {128, 128, 255}, {255, 255, 255}, {255, 128, 128}, {255, 0, 0}};
  const double(*m)[3] = map == CLI_MAP_BWR ? BWR : COOLWARM;
  v = v < -1 ? -1 : v > 1 ? 1 : v;
  const double x = (v + 1) * 2;
  int i = (int)x;
  if (i > 3) i = 3;
  const double t = x - i;
  double c[3];
  for (int k = 0; k < 3; k++)
    c[k] = m[i][k] * (1 - t) + m[i + 1][k] * t + 0.5;
  return (cli_rgb){(uint8_t)c[0], (uint8_t)c[1], (uint8_t)c[2]};
}

bool cli_dark(cli_rgb c)
{
  return 0.2126 * c.r + 0.7152 * c.g + 0.0722 * c.b < 110;
}

/* Nearest of the levels 0, 95, 135, 175, 215, 255 of xterm's colour cube. */
static int cube(int v)
{
  return v < 48 ? 0 : v < 115 ? 1 : (v - 35) / 40;
}

/* The 6x6x6 cube, or the grey ramp where the colour is nearly grey. */
static int to_256(cli_rgb c)
{
  const int spread = abs(c.r - c.g) + abs(c.g - c.b);
  if (spread < 12) return c.r < 8 ? 16 : c.r > 246 ? 231 : 232 + (c.r - 8) * 23 / 239;
  return 16 + 36 * cube(c.r) + 6 * cube(c.g) + cube(c.b);
}

static void put_color(FILE *f, int color, int code, cli_rgb c)
{
  if (color == CLI_COLOR_TRUE)
    fprintf(f, "\033[%d;2;%d;%d;%dm", code, c.r, c.g, c.b);
  else if (color == CLI_COLOR_256)
    fprintf(f, "\033[%d;5;%dm", code, to_256(c));
}

void cli_background(FILE *f, int color, cli_rgb c)
{
  put_color(f, color, 48, c);
}

void cli_foreground(FILE *f, int color, cli_rgb c)
{
  put_color(f, color, 38, c);
}

void cli_reset(FILE *f, int color)
{
  if (color) fputs("\033[0m", f);
}

void cli_bold(FILE *f, int color, bool on)
{
  if (color) fputs(on ? "\033[1m" : "\033[22m", f);
}

/* ---- text of strangers ---- */

static bool harmless(utf8proc_int32_t c)
{
  const utf8proc_category_t k = utf8proc_category(c);
  return k != UTF8PROC_CATEGORY_CC && k != UTF8PROC_CATEGORY_CF && k != UTF8PROC_CATEGORY_CS &&
         k != UTF8PROC_CATEGORY_ZL && k != UTF8PROC_CATEGORY_ZP;
}

/* Next piece of s: its length, and how it is written; code points that a terminal may obey are
 * spelt out. */
size_t cli_piece(const char *s, size_t n, char *out, size_t size, int *width)
{
  utf8proc_int32_t c;
  const utf8proc_ssize_t len =
      utf8proc_iterate((const utf8proc_uint8_t *)s, (utf8proc_ssize_t)n, &c);
  if (len <= 0) {
    *width = snprintf(out, size, "\\x%02X", (unsigned char)*s);
    return 1;
  }
  if (c == '\n' || c == '\t' || c == '\r')
    *width = snprintf(out, size, c == '\n' ? "\\n" : c == '\t' ? "\\t" : "\\r");
  else if (!harmless(c) && c != 0x200D)
    *width = snprintf(out, size, "\\u{%X}", (unsigned)c);
  else {
    snprintf(out, size, "%.*s", (int)len, s);
    *width = utf8proc_charwidth(c);
  }
  return (size_t)len;
}

void cli_escape(FILE *f, const char *s, size_t n)
{
  char out[16];
  int width;
  for (size_t i = 0; i < n;) {
    i += cli_piece(s + i, n - i, out, sizeof out, &width);
    fputs(out, f);
  }
}

int cli_width(const char *s, size_t n)
{
  char out[16];
  int width, all = 0;
  for (size_t i = 0; i < n;) {
    i += cli_piece(s + i, n - i, out, sizeof out, &width);
    all += width;
  }
  return all;
}

/* ---- results of a query ---- */

static int write_lines(cli_writer *w, bool all)
{
  size_t at = 0;
  for (const char *end; (end = memchr(w->line + at, '\n', w->n - at)) != NULL;) {
    cli_escape(stdout, w->line + at, (size_t)(end - w->line) - at);
    putchar('\n');
    at = (size_t)(end - w->line) + 1;
  }
  if (all) {
    cli_escape(stdout, w->line + at, w->n - at);
    at = w->n;
  }
  memmove(w->line, w->line + at, w->n - at);
  w->n -= at;
  return ferror(stdout) != 0;
}

int cli_write(void *user, const char *bytes, size_t n)
{
  cli_writer *w = user;
  if (!isatty(STDOUT_FILENO)) return fwrite(bytes, 1, n, stdout) != n;
  if (w->n + n > w->room) {
    char *grown = realloc(w->line, 2 * (w->n + n));
    if (!grown) return 1;
    w->line = grown;
    w->room = 2 * (w->n + n);
  }
  memcpy(w->line + w->n, bytes, n);
  w->n += n;
  return write_lines(w, false);
}

void cli_write_end(cli_writer *w)
{
  if (w->n) write_lines(w, true);
  free(w->line);
  *w = (cli_writer){0};
}
