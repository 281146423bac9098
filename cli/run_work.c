/* run_work.c - lrp run's work: a unit is read, sorted by shape, and explained under all rules; each
 * explanation is stored at once, so that whatever happens only the one under way is lost. */
#include "run.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FAIL lrp_host_table()->fail
enum { TOLD = 10 }; /* failures that are printed; all are stored */

typedef struct work { /* an input of a unit */
  sample s;
  int64_t at; /* in the data set */
  bool ended; /* there are no more */
} work;
typedef struct context { /* what the functions below share */
  run_job *j;
  part *p;
  rule_run *r;
  const dataset *d;
} context;

static int64_t clock_ns(clockid_t id)
{
  struct timespec t;
  clock_gettime(id, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int64_t n_target(const part *p)
{
  return p->targets->n ? p->targets->n : 1;
}

static const char *target_text(const part *p, int64_t i)
{
  return p->targets->n ? p->targets->item[i] : "argmax";
}

bool run_stopped(const run_job *j)
{
  if (cli_signal() && !j->shared->stop) j->shared->stop = cli_signal();
  return j->shared->stop || (j->parent && (int64_t)getppid() != j->parent);
}

/* ---- graphs ---- */

static bool same_shapes(const lrp_tensor *a, const lrp_tensor *b, int32_t n)
{
  for (int32_t i = 0; i < n; i++)
    if (a[i].rank != b[i].rank ||
        memcmp(a[i].shape, b[i].shape, (size_t)a[i].rank * sizeof(int64_t)))
      return false;
  return true;
}

/* A graph for the input's shapes: the last one where it fits.  Methods want one without rules. */
lrp_status run_graph(run_job *j, part *p, const lrp_input *in)
{
  const bool ruled = p->assigned && p->n_rule && p->rule[0].method != LRP_METHOD_LRP;
  if (p->graph && !ruled && same_shapes(p->shape, in->tensor, in->n_tensor)) return LRP_OK;
  lrp_graph_free(p->graph);
  p->graph = NULL;
  p->assigned = false;
  p->generation++;
  lrp_tensor *shape = realloc(p->shape, ((size_t)in->n_tensor + 1) * sizeof *shape);
  if (!shape) return FAIL(j->ctx, LRP_E_NOMEM, "no memory");
  p->shape = shape;
  memcpy(shape, in->tensor, (size_t)in->n_tensor * sizeof *shape);
  return lrp_graph_build(j->ctx, p->model, in, j->e->canonize, &p->graph);
}

static lrp_status assign(run_job *j, part *p, const rule_run *r)
{
  if (!r->composite) return LRP_OK;
  p->assigned = true;
  return lrp_graph_assign(j->ctx, p->graph, r->composite);
}

/* The run knows the layers of the graph. */
static lrp_status log_layers(const context *c)
{
  lrp_run_spec spec;
  run_job *j = c->j;
  if (!j->writer || (c->r->run && c->r->logged == c->p->generation)) return LRP_OK;
  lrp_status st = writer_drain(j);
  if (!st) st = run_spec(j, c->p, c->r, c->p->graph, &spec);
  if (st) return st;
  if (!c->r->run)
    st = writer_fail(j, lrp_store_run_join(writer_store(j->writer), c->r->id, &spec, &c->r->run));
  if (!st && c->p->graph)
    st = writer_fail(j, lrp_store_run_layers(writer_store(j->writer), c->r->run, &spec));
  lrp_run_spec_free(&spec);
  c->r->logged = c->p->generation;
  return st;
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

static lrp_status skip(const context *c, const work *w, lrp_status failure, int64_t n)
{
  char message[4096];
  if (failure == LRP_E_DB) return failure;
  snprintf(message, sizeof message, "%s", lrp_message(c->j->ctx));
  tell(c, w, message);
  return put_error(c, w, failure, message, n);
}

/* ---- parts of an array job: by content, so that every machine decides alike ---- */

static uint64_t mix(uint64_t h, const char *s)
{
  for (; *s; s++) /* FNV-1a */
    h = (h ^ (unsigned char)*s) * 0x100000001b3u;
  return (h ^ 0xff) * 0x100000001b3u;
}

static bool elsewhere(const context *c, const work *w)
{
  char where[4200];
  if (!c->j->n_shard) return false;
  uint64_t h = mix(0xcbf29ce484222325u, lrp_model_about(c->p->model)->sha256);
  h = mix(h, c->r->composite ? lrp_composite_sha256(c->r->composite) : c->r->name);
  h = mix(h, w->s.input ? w->s.input->sha256 : dataset_where(c->d, w->at, where, sizeof where));
  h ^= h >> 32;
  h *= 0x9e3779b97f4a7c15u; /* the low bits of FNV are weak */
  return (int64_t)((h >> 33) % (uint64_t)c->j->n_shard) != c->j->shard - 1;
}

/* ---- one input under one rule ---- */

/* "label" is the input's own; everything else as lrp explain's --target. */
static lrp_status find_target(const context *c, const work *w, int64_t i, const lrp_tensor *scores,
                              lrp_target *out)
{
  const char *text = target_text(c->p, i);
  const bool own = !strcmp(text, "label");
  if (own && !w->s.label[0])
    return FAIL(c->j->ctx, LRP_E_INPUT, "target label: the input has none");
  const lrp_status st =
      lrp_target_parse(c->j->ctx, c->p->model, own ? w->s.label : text, scores, 0, out);
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

static lrp_status store(const context *c, const work *w, const lrp_target *target,
                        const lrp_relevance *rel)
{
  const lrp_tensor *scores = lrp_graph_scores(c->p->graph);
  const lrp_record record = {
      .input = w->s.input,
      .n_sample = 1,
      .true_label = w->s.label[0] ? w->s.label : NULL,
      .ordinal = w->s.ordinal,
      .target = *target,
      .scores = lrp_reals(scores),
      .n_class = lrp_count(scores),
      .probability = scores->rank <= 2 ? probability(lrp_reals(scores), lrp_count(scores)) : -1,
      .relevance = rel,
      .n_node = lrp_graph_n_node(c->p->graph),
      .at = -1,
      .rationale = w->s.rationale,
      .n_rationale = w->s.n_rationale};
  if (c->j->writer) return writer_put(c->j, c->r->run, &record);
  c->j->shared->done++;
  return LRP_OK;
}

static int64_t steps(const run_job *j)
{
  return j->e->steps > 0 ? j->e->steps : 20;
}

static lrp_status explain_target(const context *c, const work *w, const lrp_target *t)
{
  const lrp_relevance *rel;
  int there = 0;
  lrp_status st = LRP_OK;
  if (c->j->resume)
    st = lrp_store_has_explanation(c->j->store, c->r->known, w->s.input, 0, t, &there);
  if (there) {
    c->j->shared->there++;
    return LRP_OK;
  }
  if (!st)
    st = lrp_graph_explain(c->j->ctx, c->p->graph, w->s.input, t, c->j->seed, c->r->method,
                           steps(c->j), NULL, &rel);
  return st ? skip(c, w, st, 1) : store(c, w, t, rel);
}

/* All targets, after the forward pass. */
static lrp_status explain_targets(const context *c, const work *w)
{
  const int64_t n = n_target(c->p);
  lrp_status st = lrp_graph_forward(c->j->ctx, c->p->graph, w->s.input);
  if (!st && lrp_graph_n_batch(c->p->graph) != 1)
    st = FAIL(c->j->ctx, LRP_E_UNSUPPORTED,
              "the model takes %lld samples at a time; one was expected",
              (long long)lrp_graph_n_batch(c->p->graph));
  if (st) return skip(c, w, st, n);
  for (int64_t i = 0; !st && i < n && !run_stopped(c->j); i++) {
    lrp_target t;
    st = find_target(c, w, i, lrp_graph_scores(c->p->graph), &t);
    st = st ? skip(c, w, st, 1) : explain_target(c, w, &t);
  }
  return st;
}

/* By the stored scores it is known what the targets are without a forward pass. */
static lrp_status all_there(const context *c, const work *w, bool *out)
{
  const int64_t n = lrp_count(lrp_graph_scores(c->p->graph));
  lrp_tensor scores = {.dtype = LRP_REAL, .rank = 2, .shape = {1, n}};
  int there = 0;
  *out = false;
  scores.data = malloc((size_t)n * sizeof(lrp_real) + 1);
  if (!scores.data) return FAIL(c->j->ctx, LRP_E_NOMEM, "no memory");
  lrp_status st =
      lrp_store_has_scores(c->j->store, c->r->known, w->s.input, 0, scores.data, n, &there);
  for (int64_t i = 0; !st && there && i < n_target(c->p); i++) {
    lrp_target t;
    if (find_target(c, w, i, &scores, &t))
      there = 0; /* it failed before and is tried again */
    else
      st = lrp_store_has_explanation(c->j->store, c->r->known, w->s.input, 0, &t, &there);
  }
  free(scores.data);
  *out = there;
  return st;
}

static lrp_status explain(const context *c, const work *w)
{
  const int64_t wall = clock_ns(CLOCK_MONOTONIC), cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
  bool there = false;
  lrp_status st = LRP_OK;
  if (elsewhere(c, w)) {
    c->j->shared->elsewhere += n_target(c->p);
    return LRP_OK;
  }
  if (c->j->resume) st = all_there(c, w, &there);
  if (there)
    c->j->shared->there += n_target(c->p);
  else if (!st)
    st = explain_targets(c, w);
  c->r->wall_ns += clock_ns(CLOCK_MONOTONIC) - wall;
  c->r->cpu_ns += clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
  if (!c->j->parent) run_progress(c->j);
  return st;
}

/* ---- a unit ---- */

/* One reason for all rules: the input cannot be read, or no graph be built. */
static lrp_status skip_all(const context *c, const work *w, lrp_status failure)
{
  char message[4096];
  lrp_status st = LRP_OK;
  bool told = false;
  snprintf(message, sizeof message, "%s", lrp_message(c->j->ctx));
  for (int r = 0; !st && r < c->p->n_rule; r++) {
    context one = *c;
    one.r = &c->p->rule[r];
    if (elsewhere(&one, w)) {
      c->j->shared->elsewhere += n_target(c->p);
      continue;
    }
    if (!told) tell(c, w, message);
    told = true;
    st = log_layers(&one);
    if (!st) st = put_error(&one, w, failure, message, n_target(c->p));
  }
  return st;
}

static int by_shape(const void *a, const void *b)
{
  const work *x = a, *y = b;
  if (!x->s.input || !y->s.input) return (x->s.input == NULL) - (y->s.input == NULL);
  for (int32_t i = 0; i < x->s.input->n_tensor; i++) {
    const lrp_tensor *s = &x->s.input->tensor[i], *t = &y->s.input->tensor[i];
    if (s->rank != t->rank) return s->rank < t->rank ? -1 : 1;
    for (int32_t k = 0; k < s->rank; k++)
      if (s->shape[k] != t->shape[k]) return s->shape[k] < t->shape[k] ? -1 : 1;
  }
  return (x->at > y->at) - (x->at < y->at);
}

/* Inputs of one shape, under all rules. */
static lrp_status work_group(context *c, work *w, int64_t n)
{
  const lrp_status failure = run_graph(c->j, c->p, w->s.input);
  lrp_status st = LRP_OK;
  for (int64_t i = 0; failure && !st && i < n; i++)
    st = skip_all(c, &w[i], failure);
  for (int r = 0; !failure && !st && r < c->p->n_rule && !run_stopped(c->j); r++) {
    c->r = &c->p->rule[r];
    const lrp_status refused = assign(c->j, c->p, c->r);
    st = log_layers(c);
    for (int64_t i = 0; !st && i < n && !run_stopped(c->j); i++)
      st = refused ? skip(c, &w[i], refused, n_target(c->p)) : explain(c, &w[i]);
  }
  return st;
}

/* An array of them ends with one that has ended set. */
static void free_works(void *data)
{
  work *w = data;
  for (int64_t i = 0; !w[i].ended; i++)
    sample_free(&w[i].s);
  free(w);
}

static lrp_status work_unit(run_job *j, const unit *u)
{
  context c = {.j = j, .p = &j->part[u->part], .d = j->set[u->dataset]};
  const int64_t n = u->end - u->begin;
  work *w = calloc((size_t)n + 1, sizeof *w);
  if (w) w[n].ended = true;
  lrp_status st = w ? LRP_OK : FAIL(j->ctx, LRP_E_NOMEM, "no memory");
  for (int64_t i = 0; !st && i < n && !run_stopped(j); i++) {
    w[i].at = u->begin + i;
    const lrp_status failure = dataset_read(j->ctx, c.d, w[i].at, c.p->model, &w[i].s);
    if (failure) st = skip_all(&c, &w[i], failure);
  }
  if (!st) qsort(w, (size_t)n, sizeof *w, by_shape);
  for (int64_t i = 0, end; !st && i < n && w[i].s.input && !run_stopped(j); i = end) {
    for (end = i + 1;
         end < n && w[end].s.input &&
         same_shapes(w[i].s.input->tensor, w[end].s.input->tensor, w[i].s.input->n_tensor);)
      end++;
    st = work_group(&c, &w[i], end - i);
  }
  if (w && j->writer)
    writer_later(j, free_works, w);
  else if (w)
    free_works(w);
  return st;
}

/* What each run has cost goes into the database. */
static lrp_status leave(run_job *j)
{
  lrp_status st = writer_drain(j);
  for (int p = 0; p < j->e->n_model; p++)
    for (int r = 0; r < j->part[p].n_rule; r++) {
      rule_run *x = &j->part[p].rule[r];
      const lrp_status later =
          writer_fail(j, lrp_store_run_leave(writer_store(j->writer), x->run, LRP_RUN_GOES_ON,
                                             x->wall_ns, x->cpu_ns));
      x->run = NULL;
      x->wall_ns = x->cpu_ns = 0; /* they are stored; more work may follow */
      st = st ? st : later;
    }
  return st;
}

/* Handles for --resume's questions. */
static lrp_status know(run_job *j)
{
  lrp_status st = LRP_OK;
  for (int p = 0; !st && p < j->e->n_model; p++)
    for (int r = 0; !st && r < j->part[p].n_rule; r++) {
      rule_run *x = &j->part[p].rule[r];
      st = lrp_store_run_know(j->store, j->known_db ? x->main_id : x->id, &x->known);
    }
  return st;
}

lrp_status run_work(run_job *j)
{
  char message[4096];
  lrp_status st = j->db ? writer_open(j) : LRP_OK;
  if (!st && j->resume)
    st = lrp_store_open(j->ctx, j->known_db ? j->known_db : j->db, LRP_STORE_READ, &j->store);
  if (!st && j->resume) st = know(j);
  while (!st && !run_stopped(j)) {
    const int64_t at = run_next_unit(j);
    if (at >= j->n_unit) break;
    st = work_unit(j, &j->unit[at]);
  }
  snprintf(message, sizeof message, "%s", st ? lrp_message(j->ctx) : "");
  const lrp_status later = j->writer ? leave(j) : LRP_OK;
  writer_close(j);
  lrp_store_close(j->store);
  j->store = NULL;
  return st ? FAIL(j->ctx, st, "%s", message) : later;
}

/* ---- the first input ---- */

static lrp_status try_rule(const context *c, const work *w, bool timed)
{
  const lrp_relevance *rel;
  lrp_target t;
  lrp_status st = assign(c->j, c->p, c->r);
  for (int i = 0; !st && i < (timed ? 2 : c->r->method != LRP_METHOD_LRP);
       i++) { /* the second time all is warm */
    const int64_t begin = clock_ns(CLOCK_MONOTONIC);
    st = lrp_graph_forward(c->j->ctx, c->p->graph, w->s.input);
    if (!st)
      st = lrp_target_parse(c->j->ctx, c->p->model, "argmax", lrp_graph_scores(c->p->graph), 0, &t);
    if (!st)
      st = lrp_graph_explain(c->j->ctx, c->p->graph, w->s.input, &t, c->j->seed, c->r->method,
                             steps(c->j), NULL, &rel);
    c->r->first_ns = clock_ns(CLOCK_MONOTONIC) - begin;
  }
  /* measured on examples/: a row of the ledger takes 60 bytes, of a token 40, the rest of an
   * explanation 500 */
  c->r->first_bytes = 500 + 60 * lrp_graph_n_node(c->p->graph) + 40 * w->s.input->n_token;
  for (int32_t i = 0; timed && !st && i < rel->n_tensor; i++)
    if (rel->tensor[i].data)
      c->r->first_bytes += lrp_count(&rel->tensor[i]) * (int64_t)sizeof(lrp_real);
  return st;
}

static lrp_status try_input(context *c, const work *w, bool timed)
{
  lrp_target t;
  lrp_status st = run_graph(c->j, c->p, w->s.input);
  if (!st) st = lrp_graph_forward(c->j->ctx, c->p->graph, w->s.input);
  for (int64_t i = 0; !st && i < n_target(c->p); i++)
    if (strcmp(target_text(c->p, i), "label") != 0)
      st = find_target(c, w, i, lrp_graph_scores(c->p->graph), &t);
  for (int r = 0; !st && r < c->p->n_rule; r++) {
    c->r = &c->p->rule[r];
    st = try_rule(c, w, timed);
  }
  return st ? st : run_graph(c->j, c->p, w->s.input);
}

lrp_status run_first(run_job *j, part *p, bool timed)
{
  for (int s = 0; s < j->e->n_input; s++) {
    context c = {.j = j, .p = p, .d = j->set[s]};
    if (!run_n_input(j, (int)(p - j->part), s)) continue;
    for (int64_t i = 0; i < c.d->n; i++) {
      work w = {.at = i};
      if (dataset_read(j->ctx, c.d, i, p->model, &w.s)) continue;
      const lrp_status st = try_input(&c, &w, timed);
      sample_free(&w.s);
      return st;
    }
  }
  return LRP_OK; /* none can be read: each will have its error */
}
