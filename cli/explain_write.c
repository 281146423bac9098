/* explain_write.c - lrp explain -o FILE: by the ending of its name. */
#include "explain.h"
#include <stdlib.h>
#include <string.h>

/* Relevance as an array in the shape of the model's input, all samples; --at: of the tensor asked for, as it is kept. */
static lrp_status write_npy(job *j, const cli_view *v)
{
  const lrp_tensor *t = j->at ? v->r->at : v->rel_input >= 0 ? &v->r->tensor[v->rel_input] : NULL;
  if (!t || !t->data)
    return lrp_host_table()->fail(j->ctx, LRP_E_ARG, "%s: no relevance reaches \"%s\"", j->out, j->at ? j->at : "the input");
  return lrp_npy_write(j->ctx, j->out, t);
}

static lrp_status write_json(job *j, const cli_view *v)
{
  json_t *o = cli_json(v, true);
  lrp_status st = o && !json_dump_file(o, j->out, JSON_INDENT(1) | JSON_REAL_PRECISION(9))
                      ? LRP_OK
                      : lrp_host_table()->fail(j->ctx, LRP_E_IO, "%s: cannot be written", j->out);
  json_decref(o);
  return st;
}

static lrp_status write_txt(job *j, const cli_view *v)
{
  FILE *f = fopen(j->out, "w");
  if (!f)
    return lrp_host_table()->fail(j->ctx, LRP_E_IO, "%s: cannot be written", j->out);
  cli_show_head(f, CLI_COLOR_NONE, v);
  cli_show_balance(f, v);
  if (v->input->kind == LRP_MODALITY_TEXT && v->rel)
    cli_show_text(f, CLI_COLOR_NONE, v);
  else if (v->input->kind == LRP_MODALITY_IMAGE && v->rel)
    cli_show_image(f, CLI_COLOR_NONE, v);
  else if (v->rel)
    cli_show_tensor(f, v);
  cli_show_ledger(f, v);
  const bool bad = ferror(f);
  return fclose(f) || bad ? lrp_host_table()->fail(j->ctx, LRP_E_IO, "%s: writing failed", j->out) : LRP_OK;
}

lrp_status job_write(job *j, const cli_view *v)
{
  const char *dot = strrchr(j->out, '.');
  lrp_status st;
  if (!strcmp(dot, ".npy"))
    st = write_npy(j, v);
  else if (!strcmp(dot, ".png"))
    st = v->input->kind == LRP_MODALITY_TEXT
             ? lrp_host_table()->fail(j->ctx, LRP_E_ARG, "%s: a text has no pixels; write it as .html, .txt or .json", j->out)
             : cli_png(j->ctx, v, j->out);
  else if (!strcmp(dot, ".json"))
    st = write_json(j, v);
  else if (!strcmp(dot, ".html"))
    st = cli_html(j->ctx, &v, 1, j->out);
  else
    st = write_txt(j, v);
  if (!st)
    cli_note("wrote %s", j->out);
  return st;
}
