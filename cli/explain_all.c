/* explain_all.c - the way of one input through lrp explain: read, answer, views, files. */
#include "explain.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- one input ---- */

static void describe_target(const job *j, const lrp_target *t, char *out, size_t n)
{
  char plus[200], minus[200];
  if (t->plus < 0)
    snprintf(out, n, "all outputs");
  else if (t->minus < 0)
    snprintf(out, n, "%s", cli_label(j->model, t->plus, plus, sizeof plus));
  else
    snprintf(out, n, "%s - %s", cli_label(j->model, t->plus, plus, sizeof plus),
             cli_label(j->model, t->minus, minus, sizeof minus));
}

/* Probability of the predicted class: softmax over the scores, or the logistic function of a single
 * one. */
static double probability(const lrp_real *s, int64_t n, int64_t at)
{
  double sum = 0;
  if (n == 1) return 1 / (1 + exp(-(double)s[0]));
  for (int64_t i = 0; i < n; i++)
    sum += exp((double)s[i] - (double)s[at]);
  return n ? 1 / sum : -1;
}

static void fill_view(const job *j, const lrp_input *in, const char *name, const lrp_relevance *r,
                      const lrp_target *target, int64_t sample, cli_view *v)
{
  const lrp_tensor *scores = &j->scores;
  const int64_t batch = j->n_sample;
  *v = (cli_view){.model = j->model,
                  .composite = j->composite,
                  .method = j->method_text,
                  .graph = j->graph,
                  .input = in,
                  .name = name,
                  .r = r,
                  .sample = sample,
                  .n_sample = batch,
                  .target = *target,
                  .rel_input = -1,
                  .by = j->by,
                  .special = j->special};
  v->n_class = batch ? lrp_count(scores) / batch : 0;
  v->scores = lrp_reals(scores) + sample * v->n_class;
  for (int64_t i = 1; i < v->n_class; i++)
    if (v->scores[i] > v->scores[v->predicted]) v->predicted = i;
  v->probability = scores->rank <= 2 ? probability(v->scores, v->n_class, v->predicted) : -1;
  for (int32_t i = 0; i < r->n_tensor && v->rel_input < 0; i++)
    if (r->tensor[i].data) {
      v->rel_input = i;
      v->n_rel = lrp_count(&r->tensor[i]) / batch;
      v->rel = lrp_reals(&r->tensor[i]) + sample * v->n_rel;
    }
}

static lrp_status show(job *j, const cli_view *v)
{
  if (j->json) {
    json_t *o = cli_json(v, j->n_target, j->ledger);
    if (o && j->profile) json_object_set_new(o, "profile", cli_profile_json(v->graph));
    return o && !json_array_append_new(j->documents, o) ? LRP_OK : LRP_E_NOMEM;
  }
  cli_progress_hide(&j->progress);
  if (j->n_done) putchar('\n');
  cli_show(stdout, j->color, v, j->n_target, j->ledger);
  if (!cli_flush()) /* main.c tells it */
    j->stop = true;
  return LRP_OK;
}

/* One sample under all targets; from here on failures are not the input's. */
static lrp_status present(job *j, const lrp_input *in, const char *name, int64_t sample)
{
  const int n = j->n_target;
  char numbered[4200];
  cli_view *v = calloc((size_t)n, sizeof *v);
  char(*label)[512] = calloc((size_t)n, sizeof *label);
  lrp_status st = v && label ? LRP_OK : LRP_E_NOMEM;
  snprintf(numbered, sizeof numbered, "%s[%lld]", name, (long long)sample);
  for (int k = 0; !st && k < n; k++) {
    const lrp_target *t = &j->answer[k].target[sample];
    describe_target(j, t, label[k], sizeof *label);
    fill_view(j, in, j->n_sample > 1 ? numbered : name, j->answer[k].r, t, sample, &v[k]);
    v[k].target_text = label[k];
  }
  if (!st) st = show(j, v);
  char lost[400];
  if (!st && n && j->composite && cli_vanished(j->graph, v[0].r, sample, j->n_sample, lost, sizeof lost))
    cli_note("warning: %s: %s", v[0].name, lost);
  for (int k = 0; !st && j->db && k < n; k++)
    st = job_log(j, &v[k]);
  if (!st) st = job_write(j, v);
  j->n_done += !st;
  free(v);
  free(label);
  return st;
}

static lrp_status explain_input(job *j, const lrp_input *in, const char *name)
{
  lrp_status st = job_answer(j, in);
  const bool answered = !st;
  for (int64_t k = 0; !st && !j->stop && k < j->n_sample; k++)
    st = present(j, in, name, k);
  j->stop = j->stop || (answered && st);
  if (!st && j->profile && !j->json) cli_profile_print(stderr, j->graph);
  job_answer_free(j);
  return st;
}

/* ---- all inputs ---- */

typedef struct
    source { /* what one explanation reads: a --text, one operand, or one .npy for each input of the model */
  const char *text;
  const char **operand;
  int n;
} source;

static lrp_status read_source(job *j, const source *s, lrp_input **in)
{
  if (s->text) return lrp_input_text(j->ctx, j->model, s->text, strlen(s->text), in);
  if (s->n > 1) return lrp_input_npy(j->ctx, j->model, s->operand, s->n, in);
  return cli_input(j->ctx, j->model, s->operand[0], in);
}

static const char *name_of(const source *s, const lrp_input *in)
{
  if (s->text) return "text";
  if (!strcmp(s->operand[0], "-")) return "standard input";
  return s->n > 1 || in->path ? s->operand[0] : "text";
}

/* kept: the input whose shapes the next one is compared with, see graph_for(). */
static lrp_status explain_source(job *j, const source *s, lrp_input **kept)
{
  lrp_input *in = NULL;
  lrp_status st = read_source(j, s, &in);
  if (st) return st;
  st = explain_input(j, in, name_of(s, in));
  lrp_input_free(*kept);
  *kept = in;
  j->graph_for = j->in_parts ? NULL : in;
  return st;
}

/* One input of several failed: it is told and logged, and the others follow.  Wrong options, models
 * and databases fail alike for all. */
static bool skip(job *j, lrp_status st)
{
  char message[4096];
  if (j->n_input < 2 || j->stop || st == LRP_E_ARG || st == LRP_E_DB || st == LRP_E_UNSUPPORTED)
    return false;
  snprintf(message, sizeof message, "%s", lrp_message(j->ctx));
  cli_progress_hide(&j->progress);
  cli_fail(j->ctx, st);
  j->n_failed++;
  return !job_log_error(j, st, message);
}

static lrp_status each(job *j, const char **operand, int n, const char *text)
{
  lrp_input *kept = NULL;
  lrp_status st = LRP_OK, first = LRP_OK;
  const int n_in = lrp_model_about(j->model)->n_input;
  const int width = n_in > 1 && n == n_in && cli_has_ending(operand[0], ".npy") ? n : 1;
  j->n_input = (text != NULL) + n / width;
  if (j->n_input > 1) cli_catch_signals();
  cli_progress_begin(&j->progress, j->n_input);
  for (int64_t k = 0; !st && !j->stop && !cli_signal() && k < j->n_input; k++) {
    const int64_t at = k - (text != NULL);
    const source s =
        at < 0 ? (source){.text = text} : (source){.operand = operand + at * width, .n = width};
    st = explain_source(j, &s, &kept);
    if (st && !cli_signal() && skip(j, st)) {
      first = first ? first : st;
      st = LRP_OK;
    }
    j->stop = j->stop || st;
    cli_progress_step(&j->progress);
  }
  cli_progress_hide(&j->progress);
  lrp_input_free(kept);
  j->graph_for = NULL;
  return st || j->n_done ? st : first;
}

static lrp_status open_all(job *j, const char *model, const char *rules)
{
  lrp_status st = lrp_model_open(j->ctx, model, &j->model);
  if (!st && j->method == LRP_METHOD_LRP)
    st = lrp_composite_open(j->ctx, rules ? rules : lrp_model_about(j->model)->composite, j->model,
                            &j->composite);
  if (!st && j->json) j->documents = json_array();
  return st;
}

/* The run, the files and the documents are brought to an end, whatever happened before; the first
 * failure is kept. */
static lrp_status close_all(job *j, lrp_status st)
{
  char message[4096];
  snprintf(message, sizeof message, "%s", st ? lrp_message(j->ctx) : "");
  const int32_t run = cli_signal() || cli_flush_error() ? LRP_RUN_INTERRUPTED
                      : st                              ? LRP_RUN_FAILED
                                                        : LRP_RUN_DONE;
  lrp_status later = job_log_end(j, run);
  if (!st && !later && !cli_flush_error()) /* nothing half done */
    later = job_write_end(j);
  if (st) lrp_host_table()->fail(j->ctx, st, "%s", message);
  if (j->n_done && j->documents) cli_json_print(json_incref(job_document(j, j->documents)));
  json_decref(j->documents);
  job_write_free(j);
  free(j->targets);
  free(j->target_words);
  return st ? st : later;
}

int explain_all(job *j, const char *model, const char **operand, int n, const char *text,
                const char *rules)
{
  enum { PARTLY = 7 };
  lrp_status st = open_all(j, model, rules);
  if (!st) st = each(j, operand, n, text);
  const bool told =
      cli_signal() || (j->n_failed && !j->stop); /* all failed, each with its sentence */
  st = close_all(j, st);
  int code = !st ? 0 : told ? lrp_exit_status(st) : cli_fail(j->ctx, st);
  if (!code && j->n_failed) code = PARTLY;
  if (j->n_failed && j->n_done)
    cli_note("%lld of %lld inputs could not be explained", (long long)j->n_failed,
             (long long)j->n_input);
  if (cli_signal()) {
    cli_note("interrupted after %lld explanation%s", (long long)j->n_done, cli_plural(j->n_done));
    code = 128 + cli_signal();
  }
  lrp_graph_free(j->graph);
  lrp_composite_free(j->composite);
  lrp_model_close(j->model);
  return code;
}
