/* explain_write.c - lrp explain -o FILE and --tex FILE: by the ending of its name.  Every file is there as a whole
 * or not at all. */
#include "explain.h"
#include <stdlib.h>
#include <string.h>

static lrp_status fail(job *j, const job_output *o, lrp_status st, const char *what)
{
  return lrp_host_table()->fail(j->ctx, st, "%s: %s", o->path, what);
}

/* Where several files are needed: name.png becomes name-1.png, name-2.png, ... */
static void numbered(const job_output *o, bool several, char *path, size_t n)
{
  const char *dot = strrchr(o->path, '.');
  if (several)
    snprintf(path, n, "%.*s-%lld%s", (int)(dot - o->path), o->path, (long long)o->n_file, dot);
  else
    snprintf(path, n, "%s", o->path);
}

/* Relevance as an array in the shape of the model's input, all samples; --at: of the tensor asked
 * for, as it is kept. */
static lrp_status write_npy(job *j, const job_output *o, const cli_view *v, const char *path)
{
  const lrp_tensor *t = j->at ? v->r->at : v->rel_input >= 0 ? &v->r->tensor[v->rel_input] : NULL;
  if (!t || !t->data)
    return lrp_host_table()->fail(j->ctx, LRP_E_ARG, "%s: no relevance reaches \"%s\"", o->path,
                                  j->at ? j->at : "the input");
  return lrp_npy_write(j->ctx, path, t);
}

static lrp_status write_file(job *j, job_output *o, const cli_view *v, bool png)
{
  char path[4200];
  if (!png && v->sample) return LRP_OK; /* the array of the first sample holds them all */
  if (png && v->input->kind == LRP_MODALITY_BYTES)
    return fail(j, o, LRP_E_ARG, "bytes have no pixels; write them as .html, .txt or .json");
  if (png && v->input->kind == LRP_MODALITY_TEXT)
    return fail(j, o, LRP_E_ARG, "a text has no pixels; write it as .html, .tex, .txt or .json");
  o->n_file++;
  numbered(o, j->n_input > 1 || j->n_target > 1 || (png && v->n_sample > 1), path,
           sizeof path);
  const lrp_status st = png ? cli_png(j->ctx, v, path) : write_npy(j, o, v, path);
  if (!st) cli_note("wrote %s", path);
  return st;
}

/* Into the page that is written at the end. */
static lrp_status add_page(job *j, job_output *o, const cli_view *v)
{
  const bool first = !o->stream, html = cli_has_ending(o->path, ".html"),
             tex = cli_has_ending(o->path, ".tex");
  if (tex && v->input->kind != LRP_MODALITY_TEXT)
    return fail(j, o, LRP_E_ARG, "only a text is written as TeX; give a .png or .html");
  if (first) o->stream = open_memstream(&o->page, &o->n_page);
  if (!o->stream) return fail(j, o, LRP_E_NOMEM, "no memory");
  if (html && first) cli_html_begin(o->stream);
  if (tex && first) cli_tex_begin(o->stream);
  if (html) return cli_html(j->ctx, o->stream, v, j->n_target);
  if (tex) return cli_tex(j->ctx, o->stream, v, j->n_target);
  if (!first) fputc('\n', o->stream);
  cli_show(o->stream, CLI_COLOR_NONE, v, j->n_target, true);
  return LRP_OK;
}

static lrp_status add_document(job *j, job_output *o, const cli_view *v)
{
  if (!o->written) o->written = json_array();
  return o->written && !json_array_append_new(o->written, cli_json(v, j->n_target, true))
             ? LRP_OK
             : fail(j, o, LRP_E_NOMEM, "no memory");
}

json_t *job_document(const job *j, json_t *list)
{
  return j->n_input == 1 && json_array_size(list) == 1 ? json_array_get(list, 0) : list;
}

static lrp_status write_one(job *j, job_output *o, const cli_view *v)
{
  const bool png = cli_has_ending(o->path, ".png");
  lrp_status st = LRP_OK;
  if (cli_has_ending(o->path, ".json")) return add_document(j, o, v);
  if (!png && !cli_has_ending(o->path, ".npy")) return add_page(j, o, v);
  for (int k = 0; !st && k < j->n_target; k++)
    st = write_file(j, o, &v[k], png);
  return st;
}

enum { N_OUTPUT = sizeof((job *)0)->out / sizeof *((job *)0)->out };

lrp_status job_write(job *j, const cli_view *v)
{
  lrp_status st = LRP_OK;
  for (int i = 0; !st && i < N_OUTPUT; i++)
    if (j->out[i].path) st = write_one(j, &j->out[i], v);
  return st;
}

static lrp_status end_one(job *j, job_output *o)
{
  if (o->written) {
    o->page = json_dumps(job_document(j, o->written), JSON_INDENT(1) | JSON_REAL_PRECISION(9));
    o->n_page = o->page ? strlen(o->page) : 0;
  } else if (o->stream) {
    if (cli_has_ending(o->path, ".html")) cli_html_end(o->stream);
    if (cli_has_ending(o->path, ".tex")) cli_tex_end(o->stream);
    const bool bad = ferror(o->stream);
    if (fclose(o->stream) || bad) o->n_page = 0;
    o->stream = NULL;
  } else {
    return LRP_OK;
  }
  if (!o->page || !o->n_page) return fail(j, o, LRP_E_NOMEM, "no memory");
  const lrp_status st = lrp_file_write(j->ctx, o->path, o->page, o->n_page);
  if (!st) cli_note("wrote %s", o->path);
  return st;
}

lrp_status job_write_end(job *j)
{
  lrp_status st = LRP_OK;
  for (int i = 0; !st && i < N_OUTPUT; i++)
    st = end_one(j, &j->out[i]);
  return st;
}

void job_write_free(job *j)
{
  for (int i = 0; i < N_OUTPUT; i++) {
    if (j->out[i].stream) fclose(j->out[i].stream);
    free(j->out[i].page);
    json_decref(j->out[i].written);
  }
}
