/* report_rows.c - the cases of a report as JSON: a text once with the lengths of its tokens, a
 * picture once as PNG, and a byte for each value of relevance. */
#include "lrp/image.h"
#include "report.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

static const char SQL_TOKENS[] =
    "SELECT k.byte_begin, k.byte_end, k.word, v.token FROM token k JOIN tokenization z USING "
    "(tokenization_id)\n"
    "  LEFT JOIN vocab v ON v.tokenizer_id = z.tokenizer_id AND v.token_id = k.token_id\n"
    "WHERE k.tokenization_id = ?1 ORDER BY k.position";
static const char DIGIT[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* ---- JSON ---- */

/* Control characters, marks of direction and line separators, which would work on what stands
 * around them. */
static bool mischief(utf8proc_int32_t c)
{
  return c < 32 || c == 127 || (c >= 0x80 && c < 0xA0) || c == 0x061C || c == 0x200E ||
         c == 0x200F || (c >= 0x2028 && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069) ||
         c == 0xFEFF || c == 0xFFFD;
}

size_t report_letter(const char *s, size_t n, uint32_t *letter, bool *bad)
{
  utf8proc_int32_t c;
  const utf8proc_ssize_t k = utf8proc_iterate((const utf8proc_uint8_t *)s, (utf8proc_ssize_t)n, &c);
  if (k < 1) c = 0xFFFD; /* ill-formed: a byte is a letter */
  *letter = (uint32_t)c;
  *bad = mischief(c);
  return k < 1 ? 1 : (size_t)k;
}

void report_string(FILE *f, const char *s, size_t n)
{
  fputc('"', f);
  for (size_t i = 0; i < n;) {
    uint32_t c;
    bool bad;
    const size_t k = report_letter(s + i, n - i, &c, &bad);
    if (c == '"' || c == '\\')
      fprintf(f, "\\%c", (int)c);
    else if (bad || c == '<' || c == '>' || c == '&')
      fprintf(f, "\\u%04x", (unsigned)c);
    else
      fwrite(s + i, 1, k, f);
    i += k;
  }
  fputc('"', f);
}

void report_text(FILE *f, const char *s)
{
  report_string(f, s, strlen(s));
}

void report_real(FILE *f, double v)
{
  if (isfinite(v))
    fprintf(f, "%.6g", v);
  else
    fputs("null", f);
}

static void put_base64(FILE *f, const uint8_t *p, size_t n)
{
  for (size_t i = 0; i < n; i += 3) {
    const uint32_t v = (uint32_t)p[i] << 16 | (uint32_t)(i + 1 < n ? p[i + 1] : 0) << 8 |
                       (uint32_t)(i + 2 < n ? p[i + 2] : 0);
    fputc(DIGIT[v >> 18], f);
    fputc(DIGIT[v >> 12 & 63], f);
    if (i + 1 < n) fputc(DIGIT[v >> 6 & 63], f);
    if (i + 2 < n) fputc(DIGIT[v & 63], f);
  }
}

/* ---- texts ---- */

/* Units of UTF-16, as the page's script counts, of the letters that begin in [from, to). */
static int64_t units(const char *s, int64_t from, int64_t to)
{
  int64_t n = 0;
  for (; from < to; from++) {
    const unsigned char c = (unsigned char)s[from];
    n += (c & 0xC0) == 0x80 ? 0 : c >= 0xF0 ? 2 : 1;
  }
  return n;
}

/* A digit for up to 62, "/" for 63 more. */
static void put_count(FILE *f, int64_t v)
{
  for (; v >= 63; v -= 63)
    fputc('/', f);
  fputc(DIGIT[v], f);
}

/* A token: the gap before it, whether it goes on with the last one's word, its length.  Common ones
 * are one digit, the others "/" and two counts. */
static void put_token(FILE *f, int64_t gap, bool same, int64_t n)
{
  if (gap < 2 && n > 0 && n < 16) {
    fputc(DIGIT[(2 * gap + same) * 15 + n - 1], f);
    return;
  }
  fputc('/', f);
  put_count(f, 2 * gap + same);
  put_count(f, n);
}

/* Tokens that the text does not show have length 0, and their names follow. */
static int put_tokens(report *r, FILE *f, int64_t tokenization, const char *text, int64_t n_text,
                      int64_t *n_token)
{
  int status = 0;
  char *names = NULL;
  size_t size = 0;
  FILE *g = open_memstream(&names, &size);
  int64_t at = 0, word = -1;
  if (!r->tokens) r->tokens = cli_db_ask(&r->d, SQL_TOKENS, "");
  if (!g || !r->tokens) {
    if (g) fclose(g);
    free(names);
    return g ? CLI_EXIT_DB : report_no_memory();
  }
  sqlite3_bind_int64(r->tokens, 1, tokenization);
  fputs(",\"k\":\"", f);
  for (*n_token = 0; cli_db_row(&r->d, r->tokens, &status); ++*n_token) {
    const int64_t begin = sqlite3_column_int64(r->tokens, 0),
                  end = sqlite3_column_int64(r->tokens, 1);
    const bool none = sqlite3_column_type(r->tokens, 2) == SQLITE_NULL,
               shown = begin >= at && end > begin && end <= n_text;
    const int64_t w = none ? -1 : sqlite3_column_int64(r->tokens, 2);
    put_token(f, shown ? units(text, at, begin) : 0, w >= 0 && w == word,
              shown ? units(text, begin, end) : 0);
    if (!shown) {
      fprintf(g, "%s[%lld,", ftell(g) ? "," : "", (long long)*n_token);
      report_text(g, cli_db_text(r->tokens, 3));
      fputc(']', g);
    }
    at = shown ? end : at;
    word = w;
  }
  sqlite3_reset(r->tokens);
  fclose(g);
  fprintf(f, "\",\"z\":[%s]", names ? names : "");
  free(names);
  return status;
}

/* ---- pictures ---- */

static int put_picture(report *r, FILE *f, sqlite3_stmt *about)
{
  lrp_image image;
  uint8_t *png;
  size_t n;
  if (!cli_picture_read(
          &r->d, &r->pictures, cli_db_text(about, 2),
          sqlite3_column_type(about, 3) == SQLITE_NULL ? -1 : sqlite3_column_int64(about, 3),
          cli_db_text(about, 4), cli_db_text(about, 5), &image))
    return 0;
  const lrp_status st = lrp_image_png(r->d.ctx, image.w, image.h, image.c, image.pixels, &png, &n);
  lrp_image_free(&image);
  if (st) return cli_fail(r->d.ctx, st);
  fputs(",\"png\":\"", f);
  put_base64(f, png, n);
  for (size_t i = n % 3; i && i < 3; i++)
    fputc('=', f); /* here a reader of PNG reads it, who may want the padding */
  fputc('"', f);
  free(png);
  return 0;
}

/* ---- relevance ---- */

static int put_bytes(FILE *f, const double *v, size_t n, double largest)
{
  uint8_t *q = malloc(n + 1);
  if (!q) return report_no_memory();
  for (size_t i = 0; i < n; i++)
    q[i] = (uint8_t)(int8_t)lround(largest > 0 ? 127 * v[i] / largest : 0);
  put_base64(f, q, n);
  free(q);
  return 0;
}

/* [explanation, explained, arrived, max |R|, bytes]; an empty string where nothing can be drawn. */
static int put_cell(report *r, FILE *f, int64_t id, int64_t n_token, bool text, int64_t *h,
                    int64_t *w)
{
  if (!id) {
    fputs("0", f);
    return 0;
  }
  int status = cli_grid_read(&r->d, &r->read, &r->r, id, &r->g);
  if (status) return status;
  const double *v = text ? r->r.v : r->g.v;
  const size_t n = text ? r->r.n : (size_t)(r->g.h * r->g.w);
  double largest = text ? 0 : r->g.largest;
  for (size_t i = 0; text && i < n; i++)
    largest = fmax(largest, fabs(v[i]));
  fprintf(f, "[%lld,", (long long)id);
  report_real(f, r->r.value);
  fputc(',', f);
  report_real(f, r->r.sum);
  fputc(',', f);
  report_real(f, largest);
  fputs(",\"", f);
  const bool fits = text ? (int64_t)n == n_token : n > 0 && (!*h || (*h == r->g.h && *w == r->g.w));
  if (fits) status = put_bytes(f, v, n, largest);
  if (fits && !text) {
    *h = r->g.h;
    *w = r->g.w;
  }
  fputs("\"]", f);
  return status;
}

/* ---- a case ---- */

static void put_head(FILE *f, const report_case *c, sqlite3_stmt *about)
{
  fprintf(f, "{\"i\":%lld,\"t\":%lld", (long long)c->input, (long long)c->target);
  if (c->contrast >= 0) fprintf(f, ",\"o\":%lld", (long long)c->contrast);
  fputs(",\"d\":", f);
  report_real(f, c->disagreement);
  if (sqlite3_column_type(about, 7) != SQLITE_NULL)
    fprintf(f, ",\"p\":%lld", (long long)sqlite3_column_int64(about, 7));
  if (sqlite3_column_type(about, 8) != SQLITE_NULL)
    fprintf(f, ",\"q\":%.4g", sqlite3_column_double(about, 8));
  if (sqlite3_column_type(about, 6) != SQLITE_NULL) {
    fputs(",\"l\":", f);
    report_text(f, cli_db_text(about, 6));
  }
  if (sqlite3_column_type(about, 2) != SQLITE_NULL) {
    fputs(",\"f\":", f);
    report_text(f, cli_db_text(about, 2));
  }
  if (sqlite3_column_type(about, 3) != SQLITE_NULL)
    fprintf(f, ",\"n\":%lld", (long long)sqlite3_column_int64(about, 3));
}

static int put_case(report *r, FILE *f, const report_model *m, int64_t at)
{
  sqlite3_stmt *about = report_about(r, m, at);
  if (!about) return CLI_EXIT_DB;
  const bool text = !strcmp(cli_db_text(about, 0), "text");
  int64_t n_token = 0, h = 0, w = 0;
  int status = 0;
  put_head(f, &m->item[at], about);
  if (text) {
    const char *s = cli_db_text(about, 1);
    const size_t n = strlen(s);
    fputs(",\"s\":", f);
    report_string(f, s, n);
    status = put_tokens(r, f, sqlite3_column_int64(about, 13), s, (int64_t)n, &n_token);
  } else if (!strcmp(cli_db_text(about, 0), "image")) {
    status = put_picture(r, f, about);
  }
  fputs(",\"c\":[", f);
  for (int k = 0; !status && k < m->n_column; k++) {
    if (k) fputc(',', f);
    status = put_cell(r, f, m->id_of[at * m->n_column + k], n_token, text, &h, &w);
  }
  fputc(']', f);
  if (h) fprintf(f, ",\"h\":%lld,\"w\":%lld", (long long)h, (long long)w);
  fputs("}", f);
  sqlite3_reset(about);
  return status;
}

int report_rows(report *r, FILE *f, const report_model *m)
{
  int status = 0;
  int64_t i = 0;
  for (; !status && i < m->n_shown && ftell(f) < REPORT_PAGE_MAX; i++) {
    if (i) fputs(",\n", f);
    status = put_case(r, f, m, m->shown[i]);
  }
  if (!status && i < m->n_shown)
    cli_note("lrp: the page is full: %lld of %lld inputs of %s are shown; --limit asks for less",
             (long long)i, (long long)m->n_shown, m->name);
  return status;
}
