/* explain_write.c - lrp explain -o FILE: by the ending of its name.  Every file is there as a whole
 * or not at all. */
#include "explain.h"
#include <stdlib.h>
#include <string.h>

static lrp_status fail(job *j, lrp_status st, const char *what)
{
  return lrp_host_table()->fail(j->ctx, st, "%s: %s", j->out, what);
}

/* Where several files are needed: name.png becomes name-1.png, name-2.png, ... */
static void numbered(const job *j, bool several, char *path, size_t n)
{
  const char *dot = strrchr(j->out, '.');
  if (several)
    snprintf(path, n, "%.*s-%lld%s", (int)(dot - j->out), j->out, (long long)j->n_file, dot);
  else
    snprintf(path, n, "%s", j->out);
}

/* Relevance as an array in the shape of the model's input, all samples; --at: of the tensor asked
 * for, as it is kept. */
static lrp_status write_npy(job *j, const cli_view *v, const char *path)
{
  const lrp_tensor *t = j->at ? v->r->at : v->rel_input >= 0 ? &v->r->tensor[v->rel_input] : NULL;
  if (!t || !t->data)
    return lrp_host_table()->fail(j->ctx, LRP_E_ARG, "%s: no relevance reaches \"%s\"", j->out,
                                  j->at ? j->at : "the input");
  return lrp_npy_write(j->ctx, path, t);
}

static lrp_status write_file(job *j, const cli_view *v, bool png)
{
  char path[4200];
  if (!png && v->sample) return LRP_OK; /* the array of the first sample holds them all */
  if (png && v->input->kind == LRP_MODALITY_BYTES)
    return fail(j, LRP_E_ARG, "bytes have no pixels; write them as .html, .txt or .json");
  if (png && v->input->kind == LRP_MODALITY_TEXT)
    return fail(j, LRP_E_ARG, "a text has no pixels; write it as .html, .txt or .json");
  j->n_file++;
  numbered(j, j->n_input > 1 || (png && lrp_graph_n_batch(v->graph) > 1), path, sizeof path);
  const lrp_status st = png ? cli_png(j->ctx, v, path) : write_npy(j, v, path);
  if (!st) cli_note("wrote %s", path);
  return st;
}

/* Into the page that is written at the end. */
static lrp_status add_page(job *j, const cli_view *v, bool html)
{
  const bool first = !j->stream;
  if (first) j->stream = open_memstream(&j->page, &j->n_page);
  if (!j->stream) return fail(j, LRP_E_NOMEM, "no memory");
  if (html && first) cli_html_begin(j->stream);
  if (html) return cli_html(j->ctx, j->stream, v);
  if (!first) fputc('\n', j->stream);
  cli_show(j->stream, CLI_COLOR_NONE, v, true);
  return LRP_OK;
}

static lrp_status add_document(job *j, const cli_view *v)
{
  if (!j->written) j->written = json_array();
  return j->written && !json_array_append_new(j->written, cli_json(v, true))
             ? LRP_OK
             : fail(j, LRP_E_NOMEM, "no memory");
}

json_t *job_document(const job *j, json_t *list)
{
  return j->n_input == 1 && json_array_size(list) == 1 ? json_array_get(list, 0) : list;
}

lrp_status job_write(job *j, const cli_view *v)
{
  const bool png = cli_has_ending(j->out, ".png");
  if (png || cli_has_ending(j->out, ".npy")) return write_file(j, v, png);
  if (cli_has_ending(j->out, ".json")) return add_document(j, v);
  return add_page(j, v, cli_has_ending(j->out, ".html"));
}

lrp_status job_write_end(job *j)
{
  if (j->written) {
    j->page = json_dumps(job_document(j, j->written), JSON_INDENT(1) | JSON_REAL_PRECISION(9));
    j->n_page = j->page ? strlen(j->page) : 0;
  } else if (j->stream) {
    if (cli_has_ending(j->out, ".html")) cli_html_end(j->stream);
    const bool bad = ferror(j->stream);
    if (fclose(j->stream) || bad) j->n_page = 0;
    j->stream = NULL;
  } else {
    return LRP_OK;
  }
  if (!j->page || !j->n_page) return fail(j, LRP_E_NOMEM, "no memory");
  const lrp_status st = lrp_file_write(j->ctx, j->out, j->page, j->n_page);
  if (!st) cli_note("wrote %s", j->out);
  return st;
}

void job_write_free(job *j)
{
  if (j->stream) fclose(j->stream);
  free(j->page);
  json_decref(j->written);
}
