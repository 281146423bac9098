/* run_one.c - lrp run's work on one input under one rule: its targets are found, what is there already
 * is left alone, each explanation and each failure is stored. */
#include "run_work.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FAIL lrp_host_table()->fail
enum { TOLD = 10 }; /* failures that are printed; all are stored */

int64_t work_clock_ns(int clock)
{
  struct timespec t;
  clock_gettime((clockid_t)clock, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

stopwatch work_start(void)
{
  return (stopwatch){work_clock_ns(CLOCK_MONOTONIC), work_clock_ns(CLOCK_PROCESS_CPUTIME_ID)};
}

void work_stop(const context *c, const stopwatch *s)
{
  c->r->wall_ns += work_clock_ns(CLOCK_MONOTONIC) - s->wall;
  c->r->cpu_ns += work_clock_ns(CLOCK_PROCESS_CPUTIME_ID) - s->cpu;
}

int64_t work_n_target(const part *p)
{
  return p->targets->n ? p->targets->n : 1;
}

const char *work_target_text(const part *p, int64_t i)
{
  return p->targets->n ? p->targets->item[i] : "argmax";
}

int64_t work_steps(const run_job *j)
{
  return j->e->steps > 0 ? j->e->steps : 20;
}

/* ---- failures ---- */

void run_tell(shared *s, const char *message)
{
  const int64_t told = s->told++;
  if (told < TOLD)
    cli_error("%s", message);
  else if (told == TOLD)
    cli_error("further failures are not printed");
}

static void tell(const context *c, const work *w, const char *message)
{
  char where[4200], line[8400];
  snprintf(line, sizeof line, "%s%s%s",
           w->s.input ? dataset_where(c->d, w->at, where, sizeof where) : "",
           w->s.input ? ": " : "", message);
  cli_progress_hide(&c->j->progress);
  run_tell(c->j->shared, line);
}

/* n explanations fail.  A failing database is a failure of the work; all else is a row of
 * errors. */
static lrp_status put_error(const context *c, const work *w, lrp_status failure,
                            const char *message, int64_t n)
{
  c->j->shared->failed += n;
  if (!c->j->writer) return LRP_OK;
  const lrp_status st = writer_drain(c->j);
  return st ? st
            : writer_fail(c->j, lrp_store_error(writer_store(c->j->writer), c->r->run, w->s.input,
                                                0, failure, message));
}

lrp_status work_skip(const context *c, const work *w, lrp_status failure, int64_t n)
{
  char message[4096];
  if (failure == LRP_E_DB) return failure;
  snprintf(message, sizeof message, "%s", lrp_message(c->j->ctx));
  tell(c, w, message);
  return put_error(c, w, failure, message, n);
}

/* ---- parts of an array job: by content, so that every machine decides alike ---- */

uint64_t work_hash(uint64_t h, const char *s)
{
  for (; *s; s++) /* FNV-1a */
    h = (h ^ (unsigned char)*s) * 0x100000001b3u;
  return (h ^ 0xff) * 0x100000001b3u;
}

bool work_elsewhere(const context *c, const work *w)
{
  char where[4200];
  if (!c->j->n_shard) return false;
  uint64_t h = work_hash(WORK_HASH, lrp_model_about(c->p->model)->sha256);
  h = work_hash(h, c->r->composite ? lrp_composite_sha256(c->r->composite) : c->r->name);
  h = work_hash(h, w->s.input ? w->s.input->sha256 : dataset_where(c->d, w->at, where, sizeof where));
  h ^= h >> 32;
  h *= 0x9e3779b97f4a7c15u; /* the low bits of FNV are weak */
  return (int64_t)((h >> 33) % (uint64_t)c->j->n_shard) != c->j->shard - 1;
}

/* ---- one input under one rule ---- */

/* Everything but "label" as lrp explain's --target. */
lrp_status work_find_target(const context *c, const work *w, int64_t i, const lrp_tensor *scores,
                            int64_t which, lrp_target *out)
{
  const char *text = work_target_text(c->p, i);
  const bool own = !strcmp(text, "label");
  if (own && !w->s.label[0])
    return FAIL(c->j->ctx, LRP_E_INPUT, "target label: the input has none");
  const lrp_status st =
      lrp_target_parse(c->j->ctx, c->p->model, own ? w->s.label : text, scores, which, out);
  return st == LRP_E_ARG && own ? LRP_E_INPUT : st;
}

static double probability(const lrp_real *s, int64_t n)
{
  double sum = 0, top = n ? (double)s[0] : 0;
  for (int64_t i = 1; i < n; i++)
    top = (double)s[i] > top ? (double)s[i] : top;
  for (int64_t i = 0; i < n; i++)
    sum += exp((double)s[i] - top);
  return n == 1 ? 1 / (1 + exp(-(double)s[0])) : n ? 1 / sum : -1;
}

/* What went through the graph with the input's own shape, or filled up, in a batch. */
lrp_status work_store(const context *c, const work *w, const lrp_target *target,
                      const lrp_relevance *rel, int64_t which)
{
  const lrp_tensor *scores = lrp_graph_scores(c->p->graph);
  const int64_t batch = lrp_graph_n_batch(c->p->graph), n_class = lrp_count(scores) / batch;
  const lrp_real *own = lrp_reals(scores) + which * n_class;
  const lrp_record record = {.input = w->s.input,
                             .n_sample = 1,
                             .true_label = w->s.label[0] ? w->s.label : NULL,
                             .ordinal = w->s.ordinal,
                             .target = *target,
                             .scores = own,
                             .n_class = n_class,
                             .probability = scores->rank <= 2 ? probability(own, n_class) : -1,
                             .relevance = rel,
                             .n_node = lrp_graph_n_node(c->p->graph),
                             .at = -1,
                             .rationale = w->s.rationale,
                             .n_rationale = w->s.n_rationale};
  if (c->j->writer) return writer_put(c->j, c->r->run, &record, which, batch);
  c->j->shared->done++;
  return LRP_OK;
}

lrp_status work_is_there(const context *c, const work *w, const lrp_target *t, bool *out)
{
  int there = 0;
  lrp_status st = LRP_OK;
  if (c->j->resume)
    st = lrp_store_has_explanation(c->j->store, c->r->known, w->s.input, 0, t, &there);
  *out = !st && there;
  return st;
}

static lrp_status explain_target(const context *c, const work *w, const lrp_target *t)
{
  const lrp_relevance *rel;
  bool there;
  lrp_status st = work_is_there(c, w, t, &there);
  c->j->shared->there += there;
  if (there) return LRP_OK;
  if (!st)
    st = lrp_graph_explain(c->j->ctx, c->p->graph, w->s.input, t, c->j->seed, c->r->method,
                           work_steps(c->j), NULL, &rel);
  return st ? work_skip(c, w, st, 1) : work_store(c, w, t, rel, 0);
}

/* After a forward pass. */
lrp_status work_explain_from(const context *c, const work *w, int64_t target)
{
  const int64_t n = work_n_target(c->p);
  lrp_graph_once(c->p->graph, n - target == 1);
  lrp_status st = lrp_graph_forward(c->j->ctx, c->p->graph, w->s.input);
  if (!st && lrp_graph_n_batch(c->p->graph) != 1)
    st = FAIL(c->j->ctx, LRP_E_UNSUPPORTED,
              "the model takes %lld samples at a time; one was expected",
              (long long)lrp_graph_n_batch(c->p->graph));
  if (st) return work_skip(c, w, st, n - target);
  for (int64_t i = target; !st && i < n && !run_stopped(c->j); i++) {
    lrp_target t;
    st = work_find_target(c, w, i, lrp_graph_scores(c->p->graph), 0, &t);
    st = st ? work_skip(c, w, st, 1) : explain_target(c, w, &t);
  }
  return st;
}

/* By the stored scores it is known what the targets are without a forward pass. */
lrp_status work_all_there(const context *c, const work *w, bool *out)
{
  const int64_t n = lrp_count(lrp_graph_scores(c->p->graph)) / lrp_graph_n_batch(c->p->graph);
  lrp_tensor scores = {.dtype = LRP_REAL, .rank = 2, .shape = {1, n}};
  int there = 0;
  *out = false;
  scores.data = malloc((size_t)n * sizeof(lrp_real) + 1);
  if (!scores.data) return FAIL(c->j->ctx, LRP_E_NOMEM, "no memory");
  lrp_status st =
      lrp_store_has_scores(c->j->store, c->r->known, w->s.input, 0, scores.data, n, &there);
  for (int64_t i = 0; !st && there && i < work_n_target(c->p); i++) {
    lrp_target t;
    if (work_find_target(c, w, i, &scores, 0, &t))
      there = 0; /* it failed before and is tried again */
    else
      st = lrp_store_has_explanation(c->j->store, c->r->known, w->s.input, 0, &t, &there);
  }
  free(scores.data);
  *out = there;
  return st;
}

lrp_status work_explain(const context *c, const work *w)
{
  const stopwatch watch = work_start();
  bool there = false;
  lrp_status st = LRP_OK;
  if (work_elsewhere(c, w)) {
    c->j->shared->elsewhere += work_n_target(c->p);
    return LRP_OK;
  }
  if (c->j->resume) st = work_all_there(c, w, &there);
  if (there)
    c->j->shared->there += work_n_target(c->p);
  else if (!st)
    st = work_explain_from(c, w, 0);
  work_stop(c, &watch);
  if (!c->j->parent) run_progress(c->j);
  return st;
}

/* One reason for all rules: the input cannot be read, or no graph be built. */
lrp_status work_skip_all(const context *c, const work *w, lrp_status failure)
{
  char message[4096];
  lrp_status st = LRP_OK;
  bool told = false;
  snprintf(message, sizeof message, "%s", lrp_message(c->j->ctx));
  for (int r = 0; !st && r < c->p->n_rule; r++) {
    context one = *c;
    one.r = &c->p->rule[r];
    if (work_elsewhere(&one, w)) {
      c->j->shared->elsewhere += work_n_target(c->p);
      continue;
    }
    if (!told) tell(c, w, message);
    told = true;
    st = work_log_layers(&one);
    if (!st) st = put_error(&one, w, failure, message, work_n_target(c->p));
  }
  return st;
}
