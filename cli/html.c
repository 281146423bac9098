/* html.c - explanations as one HTML page that opens from disk, needs no network and no script, and
 * escapes all that comes from strangers. */
#include "cli.h"
#include "lrp/image.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char STYLE[] =
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 "
    "1rem;color:#222;background:#fff}"
    "h1{font-size:1.3rem}h2{font-size:1.1rem;margin:2rem 0 "
    ".3rem}table{border-collapse:collapse;margin:.8rem 0}"
    "p,figure{margin-top:.3rem}td,th{padding:.15rem .8rem .15rem "
    "0;text-align:left;font-variant-numeric:tabular-nums}td.n,th.n{text-align:right}"
    ".t{font-size:1.25rem;line-height:2;white-space:pre-wrap;overflow-wrap:anywhere}"
    ".t .r{padding:.15em .1em;border-radius:.2em;border-bottom:2px solid}"
    ".side{display:grid;grid-template-columns:repeat(auto-fit,minmax(20rem,1fr));gap:0 2rem}"
    ".bar{display:inline-block;height:.8em}figure{display:inline-block;margin:0 1rem 1rem 0}"
    "img{image-rendering:pixelated;border:1px solid "
    "#ccc}figcaption,.small{color:#555;font-size:.85rem}"
    ".scale{display:inline-block;width:14rem;height:.9em;vertical-align:middle;margin:0 .5em}"
    "@media print{.t .r{border:1px solid #999}}";

static const char *entity(char c)
{
  switch (c) {
  case '&':
    return "&amp;";
  case '<':
    return "&lt;";
  case '>':
    return "&gt;";
  case '"':
    return "&quot;";
  case '\'':
    return "&#39;";
  case '\n':
    return "\n";
  case '\t':
    return "\t";
  default:
    return NULL;
  }
}

/* Control characters and those that turn the direction of what follows are spelt out, as in the
 * terminal. */
static void put_text(FILE *f, const char *s, size_t n)
{
  char out[16];
  int width;
  for (size_t i = 0, k; i < n; i += k) {
    k = cli_piece(s + i, n - i, out, sizeof out, &width);
    fputs(entity(s[i]) ? entity(s[i]) : out, f);
  }
}

static void put_string(FILE *f, const char *s)
{
  put_text(f, s, strlen(s));
}

static void put_color(FILE *f, cli_rgb c)
{
  fprintf(f, "#%02x%02x%02x", c.r, c.g, c.b);
}

/* ---- parts of one explanation ---- */

static void put_row(FILE *f, const char *name, double part, double whole)
{
  char percent[32] = "";
  const int places = cli_decimals(fabs(whole));
  if (fabs(whole) > 1e-12) cli_percent(part / whole, percent, sizeof percent);
  fprintf(f, "<tr><td>%s<td class=n>%.*f<td class=n>%s</tr>\n", name, places,
          fabs(part) < 0.5 * pow(10, -places) ? 0 : part, percent);
}

static void put_class(FILE *f, const cli_view *v, int64_t index, double p, const char *tag)
{
  char label[256], text[32];
  fprintf(f, "<%s>", tag);
  put_string(f, cli_label(v->model, index, label, sizeof label));
  fprintf(f, "</%s>", tag);
  if (p >= 0) {
    fputc(' ', f);
    put_string(f, cli_probability(p, text, sizeof text));
  }
}

static void put_facts(FILE *f, const cli_view *v)
{
  const int64_t next = cli_second(v);
  fputs("<p>Prediction: ", f);
  put_class(f, v, v->predicted, v->probability, "b");
  if (next >= 0 && v->probability >= 0) {
    fputs(", then ", f);
    put_class(f, v, next, cli_share(v, next), "span");
  }
  fputs(".</p>\n", f);
}

static void put_target(FILE *f, const cli_view *v)
{
  fputs("<p>Explained: <b>", f);
  put_string(f, v->target_text);
  fprintf(f, "</b>, score %.4g.</p>\n", v->r->value[v->sample]);
}

static void put_balance(FILE *f, const cli_view *v)
{
  lrp_ledger l;
  const double value = v->r->value[v->sample];
  fputs("<table>\n", f);
  put_row(f, "relevance at the input", v->r->sum[v->sample], value);
  if (v->composite) {
    cli_losses(v, &l);
    put_row(f, "absorbed by biases", l.bias, value);
    put_row(f, "lost to the stabilizer", l.stab, value);
    put_row(f, "dropped by rules", l.gate, value);
  }
  fputs("</table>\n", f);
}

static void put_scale(FILE *f, int map, double largest)
{
  fprintf(f,
          "<p class=small>against %.3g<span class=scale style=\"background:linear-gradient(90deg",
          -largest);
  for (int i = -4; i <= 4; i++) {
    fputc(',', f);
    put_color(f, cli_map(map, i / 4.0));
  }
  fprintf(f, ")\"></span>%.3g for; 0 in the middle</p>\n", largest);
}

static void put_token(FILE *f, const char *s, size_t n, double r, double v, double share)
{
  char percent[32];
  const cli_rgb c = cli_map(CLI_MAP_COOLWARM, v);
  fputs("<span", f);
  if (fabs(v) > 1.0 / 18) { /* weaker ones stay plain, as in the terminal */
    fputs(" class=r style=\"background:", f);
    put_color(f, c);
    fprintf(f, ";color:%s;border-color:", cli_dark(c) ? "#fff" : "#000");
    put_color(f, cli_map(CLI_MAP_COOLWARM, v > 0 ? 1 : -1));
    fprintf(f, "%02x\"", (unsigned)lround(255 * fmin(1, fabs(v))));
  }
  fprintf(f, " title=\"%+.4g, %s\">", r, cli_percent(share, percent, sizeof percent));
  put_text(f, s, n);
  fputs("</span>", f);
}

static void put_part(FILE *f, const cli_view *v, const cli_part *p, double largest)
{
  const double value = v->r->value[v->sample];
  const char *s = p->name ? p->name : v->input->text + p->begin;
  put_token(f, s, p->name ? strlen(s) : p->end - p->begin, p->r, largest > 0 ? p->r / largest : 0,
            fabs(value) > 1e-12 ? p->r / value : 0);
}

/* The text with its parts coloured. */
static bool put_text_run(FILE *f, const cli_view *v, const cli_part *part, int64_t n,
                         double largest)
{
  const lrp_input *in = v->input;
  cli_part *p = calloc((size_t)n + 1, sizeof *p);
  size_t at = 0;
  if (!p) return false;
  n = cli_parts_run(v, part, n, p);
  fputs("<div class=t dir=auto>", f);
  for (int64_t i = 0; i < n; i++) {
    if (!p[i].name && p[i].begin > at) put_text(f, in->text + at, p[i].begin - at);
    if (p[i].name && i) fputc(' ', f);
    put_part(f, v, &p[i], largest);
    if (p[i].name && i + 1 < n && !p[i + 1].name) fputc(' ', f);
    if (!p[i].name) at = p[i].end;
  }
  put_text(f, in->text + at, in->n_text - at);
  fputs("</div>\n", f);
  free(p);
  return true;
}

static void put_bar(FILE *f, double r, double largest)
{
  fprintf(f, "<td><span class=bar style=\"width:%.1frem;background:",
          8 * fabs(largest > 0 ? r / largest : 0));
  put_color(f, cli_map(CLI_MAP_COOLWARM, r > 0 ? 1 : -1));
  fputs("\"></span>", f);
}

static void put_part_rows(FILE *f, const cli_view *v, int n, cli_part *const *part, int64_t m,
                          double largest)
{
  for (int64_t i = 0; i < m; i++) {
    const cli_part *p = &part[0][i];
    fputs("<tr><td>", f);
    if (p->name)
      put_string(f, p->name);
    else
      put_text(f, v->input->text + p->begin, p->end - p->begin);
    fprintf(f, "<td class=n>%u-%u", p->begin, p->end);
    for (int k = 0; k < n; k++) {
      fprintf(f, "<td class=n>%+.*f", cli_decimals(largest), part[k][i].r);
      put_bar(f, part[k][i].r, largest);
    }
    fputs("</tr>\n", f);
  }
}

static void put_part_table(FILE *f, const cli_view *v, int n, cli_part *const *part, int64_t m,
                           double largest)
{
  fprintf(f, "<details><summary>every %s</summary><table><tr><th>%s<th class=n>bytes",
          cli_by_name(v->by), cli_by_name(v->by));
  for (int k = 0; k < n; k++) {
    fputs("<th class=n>", f);
    put_string(f, n > 1 ? v[k].target_text : "relevance");
    fputs("<th>", f);
  }
  fputs("</tr>\n", f);
  put_part_rows(f, v, n, part, m, largest);
  fputs("</table></details>\n", f);
}

/* Targets side by side, on one scale. */
static bool put_texts(FILE *f, const cli_view *v, int n)
{
  cli_part **part = calloc((size_t)n, sizeof *part);
  double largest = 0;
  int64_t m = 0;
  bool ok = part;
  for (int k = 0; ok && k < n; k++) {
    part[k] = cli_parts(&v[k], &m);
    ok = part[k];
    if (ok) cli_parts_hide(&v[k], part[k], &m);
    if (ok) largest = fmax(largest, cli_parts_largest(part[k], m));
  }
  if (n > 1) fputs("<div class=side>\n", f);
  for (int k = 0; ok && k < n; k++) {
    if (n > 1) fputs("<div>", f);
    put_target(f, &v[k]);
    ok = put_text_run(f, &v[k], part[k], m, largest);
    if (n > 1) {
      put_balance(f, &v[k]);
      fputs("</div>\n", f);
    }
  }
  if (n > 1) fputs("</div>\n", f);
  if (ok) put_scale(f, CLI_MAP_COOLWARM, largest);
  if (ok) put_part_table(f, v, n, part, m, largest);
  if (n == 1) put_balance(f, v);
  for (int k = 0; part && k < n; k++)
    free(part[k]);
  free(part);
  return ok;
}

/* ---- pictures ---- */

static void put_base64(FILE *f, const uint8_t *p, size_t n)
{
  static const char DIGIT[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (size_t i = 0; i < n; i += 3) {
    const uint32_t v = (uint32_t)p[i] << 16 | (uint32_t)(i + 1 < n ? p[i + 1] : 0) << 8 |
                       (uint32_t)(i + 2 < n ? p[i + 2] : 0);
    fputc(DIGIT[v >> 18], f);
    fputc(DIGIT[v >> 12 & 63], f);
    fputc(i + 1 < n ? DIGIT[v >> 6 & 63] : '=', f);
    fputc(i + 2 < n ? DIGIT[v & 63] : '=', f);
  }
}

static lrp_status put_picture(lrp_ctx *ctx, FILE *f, const char *caption, int64_t w, int64_t h,
                              int64_t c, const uint8_t *pixels)
{
  uint8_t *png;
  size_t n;
  const lrp_status st = lrp_image_png(ctx, w, h, c, pixels, &png, &n);
  if (st) return st;
  const int64_t side = w > h ? w : h, zoom = side < 280 ? (280 + side - 1) / side : 1;
  fprintf(f, "<figure><img width=%lld height=%lld alt=\"%s\" src=\"data:image/png;base64,",
          (long long)(w * zoom), (long long)(h * zoom), caption);
  put_base64(f, png, n);
  fprintf(f, "\"><figcaption>%s</figcaption></figure>\n", caption);
  free(png);
  return LRP_OK;
}

static lrp_status put_heat(lrp_ctx *ctx, FILE *f, const cli_view *v)
{
  int64_t h, w;
  lrp_real *rel = cli_pixels(v, &h, &w);
  uint8_t *rgb = rel ? malloc((size_t)(h * w) * 3 + 1) : NULL;
  const double largest = rel ? cli_largest(rel, h * w) : 0;
  lrp_status st = rgb ? LRP_OK : LRP_E_NOMEM;
  for (int64_t i = 0; rgb && i < h * w; i++) {
    const cli_rgb c = cli_map(CLI_MAP_BWR, largest > 0 ? (double)rel[i] / largest : 0);
    memcpy(rgb + 3 * i, (const uint8_t[]){c.r, c.g, c.b}, 3);
  }
  const lrp_input *in = v->input;
  if (!st && in->pixels && (in->image_c == 1 || in->image_c == 3))
    st = put_picture(ctx, f, "input, as the model sees it", in->image_w, in->image_h, in->image_c,
                     in->pixels);
  if (!st) st = put_picture(ctx, f, "relevance: red for, blue against", w, h, 3, rgb);
  if (!st) put_scale(f, CLI_MAP_BWR, largest);
  free(rgb);
  free(rel);
  return st;
}

/* ---- sounds and bytes ---- */

static lrp_status put_sound(lrp_ctx *ctx, FILE *f, const cli_view *v)
{
  int64_t w, h;
  double largest;
  uint8_t *rgb = cli_sound_pixels(v, &w, &h, &largest);
  lrp_status st =
      rgb ? put_picture(ctx, f, "waveform of the frame; red for, blue against", w, h, 3, rgb)
          : LRP_E_NOMEM;
  if (!st) put_scale(f, CLI_MAP_BWR, largest);
  free(rgb);
  return st;
}

/* Rows of 32 bytes as text, each byte with its place and relevance in its title. */
static lrp_status put_bytes(FILE *f, const cli_view *v)
{
  int64_t n;
  double padding, largest = 0;
  const double value = v->r->value[v->sample];
  cli_byte *b = cli_bytes(v, &n, &padding);
  if (!b) return LRP_E_NOMEM;
  for (int64_t i = 0; i < n; i++)
    largest = fmax(largest, fabs(b[i].r));
  fputs("<div class=t style=\"font-family:monospace;font-size:1rem;line-height:1.6\">", f);
  for (int64_t i = 0; i < n; i++) {
    char hex[8];
    if (!i || b[i].at / 32 != b[i - 1].at / 32)
      fprintf(f, "%s%08llx ", i ? "\n" : "", (unsigned long long)b[i].at);
    snprintf(hex, sizeof hex, b[i].c > 32 && b[i].c < 127 ? "%c" : "%02x", b[i].c);
    put_token(f, hex, strlen(hex), b[i].r, largest > 0 ? b[i].r / largest : 0,
              fabs(value) > 1e-12 ? b[i].r / value : 0);
  }
  fprintf(f, "</div>\n<p class=small>where the file has no bytes: %+.4g</p>\n", padding);
  put_scale(f, CLI_MAP_COOLWARM, largest);
  free(b);
  return LRP_OK;
}

/* ---- the page ---- */

void cli_html_begin(FILE *f)
{
  fprintf(f,
          "<!DOCTYPE html>\n<html lang=en><meta charset=utf-8><meta name=viewport "
          "content=\"width=device-width\">\n"
          "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; style-src "
          "'unsafe-inline'; img-src data:\">\n"
          "<title>lrp: why did this network decide so?</title>\n<style>%s</style>\n<h1>Why did "
          "this network decide so?</h1>\n",
          STYLE);
}

void cli_html_end(FILE *f)
{
  fputs("</html>\n", f);
}

static lrp_status put_input(lrp_ctx *ctx, FILE *f, const cli_view *v)
{
  lrp_status st = LRP_OK;
  put_target(f, v);
  if (v->rel && v->input->kind == LRP_MODALITY_IMAGE)
    st = put_heat(ctx, f, v);
  else if (v->rel && v->input->kind == LRP_MODALITY_SOUND)
    st = put_sound(ctx, f, v);
  else if (v->rel && v->input->kind == LRP_MODALITY_BYTES)
    st = put_bytes(f, v);
  put_balance(f, v);
  return st;
}

lrp_status cli_html(lrp_ctx *ctx, FILE *f, const cli_view *v, int n)
{
  const lrp_model_info *about = lrp_model_about(v->model);
  const bool text = v->rel && v->input->kind == LRP_MODALITY_TEXT;
  fputs("<h2>", f);
  put_string(f, v->name);
  fputs("</h2>\n", f);
  put_facts(f, v);
  lrp_status st = text && !put_texts(f, v, n) ? LRP_E_NOMEM : LRP_OK;
  for (int k = 0; !st && !text && k < n; k++)
    st = put_input(ctx, f, &v[k]);
  fputs("<p class=small>model ", f);
  put_string(f, about->name);
  fprintf(f, ", SHA-256 %.16s...; %s ", about->sha256, v->composite ? "rules" : "method");
  put_string(f, v->composite ? lrp_composite_name(v->composite) : v->method);
  fprintf(f, "; lrp %s</p>\n", lrp_version());
  return st;
}
