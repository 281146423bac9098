/* run_work.c - lrp run's work: a unit is read, sorted by shape, and explained under all rules; each
 * explanation is stored at once, so that whatever happens only what is under way is lost. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif
#include "run_work.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#if HAVE_DECL_MALLOC_TRIM
#include <malloc.h>
#endif

#define FAIL lrp_host_table()->fail

bool run_stopped(const run_job *j)
{
  if (cli_signal() && !j->shared->stop) j->shared->stop = cli_signal();
  return j->shared->stop || (j->parent && (int64_t)getppid() != j->parent);
}

/* ---- graphs ---- */

/* A graph for the input's shapes: the last one where it fits.  Methods want one without rules. */
lrp_status run_graph(run_job *j, part *p, const lrp_input *in)
{
  const bool ruled = p->assigned && p->n_rule && p->rule[0].method != LRP_METHOD_LRP;
  if (p->graph && !ruled && cli_same_shapes(p->shape, in->tensor, in->n_tensor)) return LRP_OK;
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

lrp_status work_assign(run_job *j, part *p, const rule_run *r)
{
  if (!r->composite) return LRP_OK;
  p->assigned = true;
  return lrp_graph_assign(j->ctx, p->graph, r->composite);
}

/* Of what the run's layers are known by, and their rules. */
static uint64_t hash_layers(const lrp_run_spec *spec)
{
  uint64_t h = WORK_HASH;
  for (int64_t i = 0; i < spec->n_layer; i++) {
    const lrp_run_layer *l = &spec->layer[i];
    const char *const text[] = {l->name, l->op, l->type, l->args, l->rule, l->matcher, l->note};
    for (size_t k = 0; k < sizeof text / sizeof *text; k++)
      h = work_hash(h, text[k] ? text[k] : "");
  }
  return h;
}

/* Most graphs of a run differ in the lengths of texts only: their layers are known. */
lrp_status work_log_layers(const context *c)
{
  lrp_run_spec spec;
  run_job *j = c->j;
  if (!j->writer || (c->r->run && c->r->logged == c->p->generation)) return LRP_OK;
  lrp_status st = run_spec(j, c->p, c->r, c->p->graph, &spec);
  if (st) return st;
  const uint64_t layers = hash_layers(&spec);
  if (c->r->run && c->p->graph && layers == c->r->layers) {
    lrp_run_spec_free(&spec);
    c->r->logged = c->p->generation;
    return LRP_OK;
  }
  st = writer_drain(j);
  if (st) {
    lrp_run_spec_free(&spec);
    return st;
  }
  if (!c->r->run)
    st = writer_fail(j, lrp_store_run_join(writer_store(j->writer), c->r->id, &spec, &c->r->run));
  if (!st && c->p->graph)
    st = writer_fail(j, lrp_store_run_layers(writer_store(j->writer), c->r->run, &spec));
  lrp_run_spec_free(&spec);
  c->r->logged = c->p->generation;
  c->r->layers = c->p->graph && !st ? layers : 0;
  return st;
}

/* ---- a unit ---- */

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
    st = work_skip_all(c, &w[i], failure);
  for (int r = 0; !failure && !st && r < c->p->n_rule && !run_stopped(c->j); r++) {
    c->r = &c->p->rule[r];
    const lrp_status refused = work_assign(c->j, c->p, c->r);
    st = work_log_layers(c);
    for (int64_t i = 0; !st && i < n && !run_stopped(c->j); i++)
      st = refused ? work_skip(c, &w[i], refused, work_n_target(c->p)) : work_explain(c, &w[i]);
  }
  return st;
}

lrp_status work_groups(context *c, work *w, int64_t n)
{
  lrp_status st = LRP_OK;
  for (int64_t i = 0, end; !st && i < n && w[i].s.input && !run_stopped(c->j); i = end) {
    for (end = i + 1; end < n && w[end].s.input &&
                      cli_same_shapes(w[i].s.input->tensor, w[end].s.input->tensor,
                                       w[i].s.input->n_tensor);)
      end++;
    st = work_group(c, &w[i], end - i);
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
    if (failure) st = work_skip_all(&c, &w[i], failure);
  }
  if (!st) qsort(w, (size_t)n, sizeof *w, by_shape);
  for (int64_t i = 0, many, size; !st && i < n && w[i].s.input && !run_stopped(j); i += many) {
    many = work_batch_of(&c, &w[i], n - i, &size);
    st = size > 1 ? work_batch(&c, &w[i], many, size) : work_groups(&c, &w[i], many);
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
#if HAVE_DECL_MALLOC_TRIM
    malloc_trim(0); /* graphs of many shapes leave holes in the heap, which add up from unit to unit */
#endif
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
  lrp_status st = work_assign(c->j, c->p, c->r);
  for (int i = 0; !st && i < (timed ? 2 : c->r->method != LRP_METHOD_LRP);
       i++) { /* the second time all is warm */
    const int64_t begin = work_clock_ns(CLOCK_MONOTONIC);
    st = lrp_graph_forward(c->j->ctx, c->p->graph, w->s.input);
    if (!st)
      st = lrp_target_parse(c->j->ctx, c->p->model, "argmax", lrp_graph_scores(c->p->graph), 0, &t);
    if (!st)
      st = lrp_graph_explain(c->j->ctx, c->p->graph, w->s.input, &t, c->j->seed, c->r->method,
                             work_steps(c->j), NULL, &rel);
    c->r->first_ns = work_clock_ns(CLOCK_MONOTONIC) - begin;
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
  for (int64_t i = 0; !st && i < work_n_target(c->p); i++)
    if (strcmp(work_target_text(c->p, i), "label") != 0)
      st = work_find_target(c, w, i, lrp_graph_scores(c->p->graph), 0, &t);
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
