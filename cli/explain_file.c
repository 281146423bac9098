/* explain_file.c - lrp explain MODEL --file TEXTS: the work of lrp run on the texts of a file, part
 * by part, without an experiment's file. */
#include "explain.h"
#include "run.h"
#include <stdlib.h>
#include <string.h>

#define FAIL lrp_host_table()->fail

/* An experiment as its file would give it: one model, one data set. */
typedef struct plan {
  experiment e;
  experiment_model model;
  experiment_input input;
  const char *rules, *method, **target;
  char *words; /* of --target, cut */
  int no_line;
} plan;

/* The whole is one target where it is a label; else commas part it. */
static lrp_status plan_targets(const job *j, const lrp_model *model, plan *p)
{
  const lrp_model_info *m = lrp_model_about(model);
  const size_t n = j->target ? strlen(j->target) : 0;
  p->words = malloc(n + 1);
  p->target = calloc(n + 1, sizeof *p->target);
  if (!p->words || !p->target) return FAIL(j->ctx, LRP_E_NOMEM, "no memory");
  if (!j->target) return LRP_OK;
  memcpy(p->words, j->target, n + 1);
  bool whole = false;
  for (int64_t i = 0; m->labels && i < m->n_label; i++)
    whole = whole || (m->labels[i] && !strcmp(m->labels[i], j->target));
  int k = 1;
  p->target[0] = p->words;
  if (!whole) k = cli_cut(p->words, p->target);
  p->e.targets = (experiment_list){.item = p->target, .n = k};
  return LRP_OK;
}

static void fill_plan(const job *j, const char *model, const char *rules, plan *p)
{
  p->model.path = model;
  p->input.kind = INPUT_TABLE;
  p->input.limit = p->input.offset = p->input.shuffle = -1;
  p->rules = rules;
  p->method = j->method_text;
  p->e = (experiment){.path = "",
                      .name = j->experiment,
                      .seed = j->seed_text,
                      .canonize = j->canonize,
                      .steps = j->n_step,
                      .model = &p->model,
                      .input = &p->input,
                      .n_model = 1,
                      .n_input = 1};
  if (j->method != LRP_METHOD_LRP)
    p->e.methods = (experiment_list){.item = &p->method, .line = &p->no_line, .n = 1};
  else if (rules)
    p->e.composites = (experiment_list){.item = &p->rules, .line = &p->no_line, .n = 1};
}

/* All parts of the file, after the first one has been taken for the plan. */
static lrp_status work(run_job *r, text_file *t)
{
  lrp_status st = LRP_OK;
  cli_progress_begin(&r->progress, r->n_total);
  while (!st) {
    dataset *d;
    st = run_work(r);
    if (st || run_stopped(r)) break;
    st = texts_next(r->ctx, t, &d);
    if (!d) break;
    st = run_next(r, d);
  }
  cli_progress_hide(&r->progress);
  return st;
}

static int run_plan(run_job *r, text_file *t)
{
  lrp_status st = texts_next(r->ctx, t, &r->given);
  if (!st && !r->given)
    st = FAIL(r->ctx, LRP_E_INPUT, "the file holds no texts, but blank lines at most");
  if (!st) st = run_open(r);
  if (st) {
    dataset_close(r->given);
    return cli_fail(r->ctx, st);
  }
  const int64_t rules = r->part->n_rule, targets = r->part->targets->n;
  r->n_total = texts_count(t) * rules * (targets ? targets : 1);
  cli_catch_signals();
  st = run_begin(r);
  if (st) return cli_fail(r->ctx, st);
  const int code = run_finish(r, work(r, t));
  if (r->db && r->shared->done + r->shared->there)
    cli_note("what it shows: lrp words --db %s", r->db);
  return code;
}

int explain_file(job *j, const char *model, const char *file, const char *rules, bool resume)
{
  plan p = {0};
  text_file *t = NULL;
  lrp_model *m = NULL;
  fill_plan(j, model, rules, &p);
  lrp_status st = lrp_model_open(j->ctx, model, &m);
  if (!st && lrp_model_about(m)->modality != LRP_MODALITY_TEXT)
    st = FAIL(j->ctx, LRP_E_INPUT, "--file: the model %s reads no texts; lrp run takes other data",
              lrp_model_about(m)->name);
  if (!st) st = plan_targets(j, m, &p);
  if (!st) st = texts_open(j->ctx, file, m, &t);
  lrp_model_close(m);
  int code = st ? cli_fail(j->ctx, st) : 0;
  if (!st) {
    run_job r = {.ctx = j->ctx,
                 .argc = j->argc,
                 .argv = j->argv,
                 .e = &p.e,
                 .db = j->db,
                 .threads = j->threads,
                 .resume = resume && j->db,
                 .jobs = 1,
                 .limit = -1};
    code = run_plan(&r, t);
    run_close(&r);
  }
  texts_close(t);
  free(p.target);
  free(p.words);
  return code;
}
