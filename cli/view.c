/* view.c - an explanation for people: what was predicted, what is explained, and where the
 * relevance went. */
#include "cli.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *cli_label(const lrp_model *model, int64_t index, char *buffer, size_t n)
{
  const lrp_model_info *about = lrp_model_about(model);
  if (about->labels && index >= 0 && index < about->n_label && about->labels[index]) {
    if (snprintf(buffer, n, "%s", about->labels[index]) < (int)n) return buffer;
    size_t cut = n - 1; /* not in the middle of a character */
    while (cut && ((unsigned char)about->labels[index][cut] & 0xC0) == 0x80)
      cut--;
    buffer[cut] = 0;
  } else {
    snprintf(buffer, n, "class %lld", (long long)index);
  }
  return buffer;
}

double cli_largest(const lrp_real *v, int64_t n)
{
  double most = 0;
  for (int64_t i = 0; i < n; i++)
    most = fmax(most, fabs((double)v[i]));
  return most;
}

void cli_losses(const cli_view *v, lrp_ledger *total)
{
  *total = (lrp_ledger){0};
  for (int64_t i = 0; i < lrp_graph_n_node(v->graph); i++) {
    const lrp_ledger *l = &v->r->ledger[i * v->n_sample + v->sample];
    total->bias += l->bias;
    total->stab += l->stab;
    total->gate += l->gate;
  }
}

double cli_share(const cli_view *v, int64_t index)
{
  double sum = 0;
  for (int64_t i = 0; i < v->n_class; i++)
    sum += exp((double)v->scores[i] - (double)v->scores[v->predicted]);
  return exp((double)v->scores[index] - (double)v->scores[v->predicted]) / sum;
}

int64_t cli_second(const cli_view *v)
{
  int64_t best = -1;
  for (int64_t i = 0; i < v->n_class; i++)
    if (i != v->predicted && (best < 0 || v->scores[i] > v->scores[best])) best = i;
  return best;
}

const char *cli_percent(double share, char *buffer, size_t n)
{
  snprintf(buffer, n, "%.1f %%", fabs(share) < 0.0005 ? 0 : 100 * share); /* no "-0.0 %" */
  return buffer;
}

int cli_decimals(double largest)
{
  const int places = largest > 0 ? 3 - (int)floor(log10(largest)) : 3;
  return places < 0 ? 0 : places > 12 ? 12 : places;
}

const char *cli_probability(double p, char *buffer, size_t n)
{
  if (p > 0.9995 && p < 1)
    snprintf(buffer, n, "> 99.9 %%");
  else if (p < 0.0005 && p > 0)
    snprintf(buffer, n, "< 0.1 %%");
  else
    cli_percent(p, buffer, n);
  return buffer;
}

static void put_label(FILE *f, const cli_view *v, int64_t index)
{
  char label[256];
  cli_label(v->model, index, label, sizeof label);
  cli_escape(f, label, strlen(label));
}

static void put_head(FILE *f, int color, const cli_view *v)
{
  char percent[32];
  const char *model = lrp_model_about(v->model)->name;
  cli_bold(f, color, true);
  cli_escape(f, v->name, strlen(v->name));
  cli_bold(f, color, false);
  fputs("  (model ", f);
  cli_escape(f, model, strlen(model));
  fputs(v->composite ? ", rules " : ", method ", f);
  const char *how = v->composite ? lrp_composite_name(v->composite) : v->method;
  cli_escape(f, how, strlen(how));
  fputs(")\n  prediction   ", f);
  cli_bold(f, color, true);
  put_label(f, v, v->predicted);
  cli_bold(f, color, false);
  if (v->probability >= 0)
    fprintf(f, "  %s", cli_probability(v->probability, percent, sizeof percent));
  const int64_t next = cli_second(v);
  if (next >= 0 && v->probability >= 0) {
    fputs(", then ", f);
    put_label(f, v, next);
    fprintf(f, "  %s", cli_probability(cli_share(v, next), percent, sizeof percent));
  }
  fputc('\n', f);
}

static void put_target(FILE *f, int color, const cli_view *v)
{
  fputs("  explained    ", f);
  cli_bold(f, color, true);
  cli_escape(f, v->target_text, strlen(v->target_text));
  cli_bold(f, color, false);
  fprintf(f, "  score %.4g\n", v->r->value[v->sample]);
}

/* Share of the whole, where the whole is not nearly nothing. */
static void put_line(FILE *f, const char *name, double part, double whole, const char *doc)
{
  char percent[32] = "";
  const int places = cli_decimals(fabs(whole));
  if (fabs(whole) > 1e-12) cli_percent(part / whole, percent, sizeof percent);
  fprintf(f, "  %-12s %10.*f %9s%s\n", name, places, fabs(part) < 0.5 * pow(10, -places) ? 0 : part,
          percent, doc);
}

static void put_balance(FILE *f, const cli_view *v)
{
  const double value = v->r->value[v->sample], sum = v->r->sum[v->sample];
  lrp_ledger l;
  if (!v->composite) {
    put_line(f, "sum", sum, value, "  of the score; gradients do not promise conservation");
    return;
  }
  cli_losses(v, &l);
  const double rest = value - sum - l.bias - l.stab - l.gate;
  put_line(f, "at the input", sum, value, "  of the score; the rest went to");
  put_line(f, "  biases", l.bias, value, "");
  put_line(f, "  stabilizer", l.stab, value, "");
  put_line(f, "  rules", l.gate, value, "");
  if (fabs(rest) > 1e-4 * fabs(value) + 1e-9) put_line(f, "  elsewhere", rest, value, "");
}

/* A name in a column of this width, cut where it is longer. */
static void put_cell(FILE *f, const char *s, int width)
{
  size_t n = strlen(s);
  const bool cut = cli_width(s, n) > width;
  while (n && cli_width(s, n) > width - cut)
    n--;
  while (n && ((unsigned char)s[n] & 0xC0) == 0x80)
    n--;
  cli_escape(f, s, n);
  fputs(cut ? "…" : "", f);
  for (int w = cli_width(s, n) + cut; w < width; w++)
    fputc(' ', f);
}

static void put_ledger(FILE *f, const cli_view *v)
{
  fprintf(f, "\n  %-28s  %-12s %11s %11s %11s %11s %11s  %s\n", "node", "layer", "R above",
          "R below", "to bias", "stabilizer", "by rule", "rule");
  for (int64_t i = lrp_graph_n_node(v->graph); i-- > 0;) {
    const lrp_node_view n = lrp_graph_node(v->graph, i);
    const lrp_ledger *l = &v->r->ledger[i * v->n_sample + v->sample];
    fputs("  ", f);
    put_cell(f, n.name, 28);
    fputs("  ", f);
    put_cell(f, n.layer->name, 12);
    fprintf(f, " %11.5g %11.5g %11.4g %11.4g %11.4g  ", l->r_out, l->r_in, l->bias, l->stab,
            l->gate);
    cli_escape(f, n.rule, strlen(n.rule));
    fputc('\n', f);
  }
}

static void put_tensor(FILE *f, const cli_view *v)
{
  enum { MOST = 10 };
  const double largest = cli_largest(v->rel, v->n_rel);
  fprintf(f, "\n  %lld values, the largest %.4g", (long long)v->n_rel, largest);
  for (int64_t i = 0; i < v->n_rel && i < MOST; i++)
    fprintf(f, "%s%.4g", i ? " " : ":  ", (double)v->rel[i]);
  fputs(v->n_rel > MOST ? " ...  (-o file.npy writes all)\n" : "\n", f);
}

static void put_input(FILE *f, int color, const cli_view *v)
{
  switch (v->input->kind) {
  case LRP_MODALITY_IMAGE:
    cli_show_image(f, color, v);
    break;
  case LRP_MODALITY_SOUND:
    cli_show_sound(f, color, v);
    break;
  case LRP_MODALITY_BYTES:
    cli_show_bytes(f, color, v);
    break;
  default:
    put_tensor(f, v);
  }
}

/* Targets one by one; those of a text share its part. */
void cli_show(FILE *f, int color, const cli_view *v, int n, bool ledger)
{
  const bool text = v->rel && v->input->kind == LRP_MODALITY_TEXT;
  put_head(f, color, v);
  for (int k = 0; k < n; k++) {
    put_target(f, color, &v[k]);
    put_balance(f, &v[k]);
    if (!text && v[k].rel) put_input(f, color, &v[k]);
    if (!text && ledger) put_ledger(f, &v[k]);
  }
  if (text) cli_show_text(f, color, v, n);
  for (int k = 0; text && ledger && k < n; k++) {
    if (n > 1) {
      fputs("\n  ledger of ", f);
      cli_escape(f, v[k].target_text, strlen(v[k].target_text));
    }
    put_ledger(f, &v[k]);
  }
}
