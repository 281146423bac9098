/* view_bytes.c - the bytes of a file that a model read, in rows of 16 as hexadecimal and as text,
 * coloured by relevance. */
#include "cli.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int by_place(const void *a, const void *b)
{
  const cli_byte *p = a, *q = b;
  return p->at < q->at ? -1 : p->at > q->at;
}

cli_byte *cli_bytes(const cli_view *v, int64_t *n, double *padding)
{
  const lrp_input *in = v->input;
  cli_byte *list = malloc(((size_t)in->n_byte + 1) * sizeof *list);
  int64_t found = 0;
  *n = 0;
  *padding = 0;
  if (!list) return NULL;
  for (int64_t i = 0; i < in->n_byte && i < v->n_rel; i++)
    if (in->byte_at[i] < 0)
      *padding += (double)v->rel[i];
    else
      list[found++] = (cli_byte){in->byte_at[i], (double)v->rel[i], in->byte[i]};
  qsort(list, (size_t)found, sizeof *list, by_place);
  for (int64_t i = 0; i < found; i++)
    if (*n && list[*n - 1].at == list[i].at)
      list[*n - 1].r += list[i].r;
    else
      list[(*n)++] = list[i];
  return list;
}

enum { ROW = 16 };

static int64_t row_end(const cli_byte *b, int64_t n, int64_t i)
{
  const int64_t row = b[i].at / ROW;
  while (i < n && b[i].at / ROW == row)
    i++;
  return i;
}

static void put_cell(FILE *f, int color, const cli_byte *b, double largest, bool hex)
{
  const double share = largest > 0 ? b->r / largest : 0;
  const cli_rgb c = cli_map(CLI_MAP_COOLWARM, share);
  const int now = fabs(share) > 1.0 / 18 ? color : CLI_COLOR_NONE; /* next to nothing: plain */
  if (now) {
    cli_background(f, now, c);
    cli_foreground(f, now, cli_dark(c) ? (cli_rgb){255, 255, 255} : (cli_rgb){0, 0, 0});
  }
  if (hex)
    fprintf(f, "%02x", b->c);
  else
    fputc(b->c >= 32 && b->c < 127 ? b->c : '.', f);
  cli_reset(f, now);
}

static void put_row(FILE *f, int color, const cli_byte *b, int64_t n, double largest)
{
  double sum = 0;
  fprintf(f, "  %08llx ", (unsigned long long)(b->at / ROW * ROW));
  for (int64_t k = 0, i = 0; k < ROW; k++) {
    fputs(k % (ROW / 2) ? " " : "  ", f);
    if (i < n && b[i].at % ROW == k)
      put_cell(f, color, &b[i++], largest, true);
    else
      fputs("  ", f);
  }
  fputs("  |", f);
  for (int64_t i = 0, at = b->at / ROW * ROW; at <= b[n - 1].at; at++)
    if (b[i].at == at) {
      sum += b[i].r;
      put_cell(f, color, &b[i++], largest, false);
    } else {
      fputc(' ', f);
    }
  fprintf(f, "|%*s %*.*f\n", (int)(ROW - 1 - b[n - 1].at % ROW), "", 10, cli_decimals(largest),
          sum);
}

/* The largest sum of a row; rows below a part of it are left out of long files. */
static double largest_row(const cli_byte *b, int64_t n)
{
  double most = 0;
  for (int64_t i = 0, next; i < n; i = next) {
    double sum = 0;
    next = row_end(b, n, i);
    for (int64_t k = i; k < next; k++)
      sum += fabs(b[k].r);
    most = fmax(most, sum);
  }
  return most;
}

static void put_rows(FILE *f, int color, const cli_byte *b, int64_t n, double largest)
{
  enum { ALL = 16 * ROW };
  const double least = n <= ALL ? 0 : 0.1 * largest_row(b, n);
  int64_t hidden = 0;
  for (int64_t i = 0, next; i < n; i = next) {
    double sum = 0;
    next = row_end(b, n, i);
    for (int64_t k = i; k < next; k++)
      sum += fabs(b[k].r);
    if (sum < least) {
      hidden += next - i;
      continue;
    }
    if (hidden) fprintf(f, "  ... %lld bytes with less\n", (long long)hidden);
    hidden = 0;
    put_row(f, color, b + i, next - i, largest);
  }
  if (hidden) fprintf(f, "  ... %lld bytes with less\n", (long long)hidden);
}

static int by_size(const void *a, const void *b)
{
  const double p = fabs(((const cli_byte *)a)->r), q = fabs(((const cli_byte *)b)->r);
  return p > q ? -1 : p < q ? 1 : by_place(a, b);
}

/* Sorts b. */
static void put_strongest(FILE *f, cli_byte *b, int64_t n, int places)
{
  enum { MOST = 8 };
  qsort(b, (size_t)n, sizeof *b, by_size);
  fputs("\n  the strongest:", f);
  for (int64_t i = 0; i < n && i < MOST; i++) {
    fprintf(f, "%s 0x%llx ", i ? "," : "", (unsigned long long)b[i].at);
    fprintf(f, b[i].c > 32 && b[i].c < 127 ? "'%c'" : "%02x", b[i].c);
    fprintf(f, " %+.*f", places, b[i].r);
  }
  fputc('\n', f);
}

void cli_show_bytes(FILE *f, int color, const cli_view *v)
{
  int64_t n;
  double padding, largest = 0;
  cli_byte *b = cli_bytes(v, &n, &padding);
  for (int64_t i = 0; b && i < n; i++)
    largest = fmax(largest, fabs(b[i].r));
  if (b && n) {
    fputc('\n', f);
    put_rows(f, color, b, n, largest);
    put_strongest(f, b, n, cli_decimals(largest));
    fprintf(f, "  where the file has no bytes: %+.*f\n  above 0 speaks for ", cli_decimals(largest),
            padding);
    cli_escape(f, v->target_text, strlen(v->target_text));
    fputs(", below 0 against; right of each row its sum\n", f);
  }
  free(b);
}
