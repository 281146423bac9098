/* run_batch.c - lrp run's work on several texts at once: those of one length, or, where the model has a mask, of
 * about one length, go through one graph as samples of a batch.
 *
 * What a batch gives must be what each text gives alone.  Whether it does is found out for each model and rule by two
 * texts, which are explained together and the shorter one of them alone.  A batch that fails is explained text by text,
 * so that one bad text has its own error and costs no other its row; one that needs more memory than the limit allows
 * is halved.  Which texts come together depends on their unit and the limit, not on what the database holds already: a
 * run that was resumed has the bits of one that was not. */
#include "run_work.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
  MOST = 8,     /* texts; more are no faster */
  TOKENS = 1024 /* of all of them: beyond it the caches are too small */
};
static const double CLOSE = 1e-5; /* of the largest value: what floats may differ by */

/* ---- which texts come together ---- */

static int64_t length_of(const lrp_input *in)
{
  const lrp_tensor *t = &in->tensor[0];
  return t->rank > 1 ? t->shape[1] : 1;
}

static bool same_as(const work *a, const work *b)
{
  return cli_same_shapes(a->s.input->tensor, b->s.input->tensor, a->s.input->n_tensor);
}

int64_t work_batch_of(const context *c, const work *w, int64_t n, int64_t *size)
{
  const int64_t room = TOKENS / (length_of(w->s.input) ? length_of(w->s.input) : 1),
                most = room < 1 ? 1 : room < MOST ? room : MOST;
  int64_t same = 1, all = 1;
  *size = 1;
  while (same < n && w[same].s.input && same_as(w, &w[same]))
    same++;
  if (c->p->alone || w->s.input->kind != LRP_MODALITY_TEXT || w->s.input->n_tensor < 1) return same;
  if (same > most || !lrp_input_pads(c->p->model)) { /* of equal size: one graph serves them all */
    const int64_t batches = (same + most - 1) / most;
    *size = (same + batches - 1) / batches;
    return same;
  }
  while (all < n && w[all].s.input && all < MOST && (all + 1) * length_of(w[all].s.input) <= TOKENS)
    all++;
  *size = all;
  return all;
}

/* The inputs, the last one repeated up to the size of the batch. */
static lrp_status stack(const context *c, const work *w, int64_t n, int64_t size, lrp_input **out)
{
  const lrp_input *one[MOST];
  for (int64_t k = 0; k < size; k++)
    one[k] = w[k < n ? k : n - 1].s.input;
  return lrp_input_stack(c->j->ctx, c->p->model, one, size, out);
}

/* ---- is a batch what its texts are alone? ---- */

typedef struct values { /* of one sample */
  lrp_relevance *r;
  lrp_real *score;
  int64_t n_score;
} values;

static lrp_status values_of(const context *c, const lrp_input *in, const lrp_input *own, values *v)
{
  lrp_target t[2];
  const lrp_relevance *r;
  lrp_graph *g;
  if (run_graph(c->j, c->p, in) || work_assign(c->j, c->p, c->r)) return LRP_E_UNSUPPORTED;
  g = c->p->graph;
  if (lrp_graph_n_batch(g) != in->tensor[0].shape[0]) return LRP_E_UNSUPPORTED;
  lrp_status st = lrp_graph_forward(c->j->ctx, g, in);
  for (int64_t k = 0; !st && k < lrp_graph_n_batch(g); k++)
    st = lrp_target_parse(c->j->ctx, c->p->model, "argmax", lrp_graph_scores(g), k, &t[k]);
  if (!st)
    st = lrp_graph_explain(c->j->ctx, g, in, t, c->j->seed, c->r->method, work_steps(c->j), NULL, &r);
  if (st) return st;
  v->n_score = lrp_count(lrp_graph_scores(g)) / lrp_graph_n_batch(g);
  v->score = malloc((size_t)v->n_score * sizeof *v->score + 1);
  v->r = cli_keep_sample(r, 0, lrp_graph_n_batch(g), lrp_graph_n_node(g), own);
  if (!v->score || !v->r) return lrp_host_table()->fail(c->j->ctx, LRP_E_NOMEM, "no memory");
  memcpy(v->score, lrp_graph_scores(g)->data, (size_t)v->n_score * sizeof *v->score);
  return LRP_OK;
}

static bool close_to(const lrp_real *a, const lrp_real *b, int64_t n)
{
  double most = 0, apart = 0;
  for (int64_t i = 0; i < n; i++) {
    most = fmax(most, fabs((double)b[i]));
    apart = fmax(apart, fabs((double)a[i] - (double)b[i]));
  }
  return apart <= CLOSE * most;
}

static bool same_values(const values *a, const values *b)
{
  bool same = a->n_score == b->n_score && close_to(a->score, b->score, a->n_score) &&
              a->r->n_tensor == b->r->n_tensor;
  for (int32_t i = 0; same && i < a->r->n_tensor; i++) {
    const lrp_tensor *x = &a->r->tensor[i], *y = &b->r->tensor[i];
    same = !x->data == !y->data && lrp_count(x) == lrp_count(y) &&
           (!x->data || close_to(lrp_reals(x), lrp_reals(y), lrp_count(x)));
  }
  return same && fabs(a->r->sum[0] - b->r->sum[0]) <=
                     CLOSE * (fabs(b->r->sum[0]) + fabs(b->r->value[0]) + 1e-30);
}

/* Tries the first text beside the last one and alone; c->r->batches: 1 they agree, -1 they do not.
 * A text that cannot be explained decides nothing. */
static void try_two(const context *c, const work *w, int64_t n)
{
  const work two[] = {w[0], w[n - 1]};
  values together = {0}, alone = {0};
  lrp_input *in = NULL;
  lrp_status st = stack(c, two, 2, 2, &in);
  if (!st) st = values_of(c, in, w->s.input, &together);
  if (st == LRP_E_UNSUPPORTED || st == LRP_E_SHAPE) c->r->batches = -1; /* a model of one sample */
  if (!st) st = values_of(c, w->s.input, w->s.input, &alone);
  if (!st) c->r->batches = same_values(&together, &alone) ? 1 : -1;
  lrp_input_free(in);
  free(together.r);
  free(together.score);
  free(alone.r);
  free(alone.score);
}

/* ---- one rule ---- */

typedef struct batch {
  context *c;
  work *w;
  int64_t n, size;
  lrp_input *all;
  bool wanted[MOST], large; /* it does not fit */
  lrp_target target[MOST];
} batch;

/* Who is there already, or somebody else's, needs no explanation; known: the graph is there, and with it how
 * many classes there are.  Failures here are the database's. */
static lrp_status choose(batch *b, bool known, int64_t *some)
{
  context *c = b->c;
  lrp_status st = LRP_OK;
  *some = 0;
  for (int64_t k = 0; !st && k < b->n; k++) {
    bool there = false;
    b->wanted[k] = !work_elsewhere(c, &b->w[k]);
    if (!b->wanted[k]) {
      c->j->shared->elsewhere += work_n_target(c->p);
      continue;
    }
    if (c->j->resume && known) st = work_all_there(c, &b->w[k], &there);
    if (there) c->j->shared->there += work_n_target(c->p);
    b->wanted[k] = !there;
    *some += !there;
  }
  return st;
}

enum { UNWANTED, ASKED, THERE, FAULT };

/* Target number i of each wanted text. */
static lrp_status find_targets(batch *b, int64_t i, int *state, int64_t *some)
{
  const context *c = b->c;
  lrp_status st = LRP_OK;
  *some = 0;
  for (int64_t k = 0; !st && k < b->size; k++) {
    bool there = false;
    lrp_target t;
    b->target[k] = (lrp_target){.plus = 0, .minus = -1}; /* of those that nobody wants */
    state[k] = UNWANTED;
    if (k >= b->n || !b->wanted[k]) continue;
    state[k] = work_find_target(c, &b->w[k], i, lrp_graph_scores(c->p->graph), k, &t) ? FAULT : ASKED;
    if (state[k] == FAULT) continue;
    st = work_is_there(c, &b->w[k], &t, &there);
    state[k] = there ? THERE : ASKED;
    if (!there) b->target[k] = t;
    *some += !there;
  }
  return st;
}

/* rel NULL: nobody asked. */
static lrp_status store_targets(batch *b, int64_t i, const int *state, const lrp_relevance *rel)
{
  const context *c = b->c;
  lrp_status st = LRP_OK;
  for (int64_t k = 0; !st && k < b->n; k++) {
    lrp_target t;
    c->j->shared->there += state[k] == THERE;
    if (state[k] == ASKED) st = work_store(c, &b->w[k], &b->target[k], rel, k);
    if (state[k] == FAULT) /* once more, for its message */
      st = work_skip(c, &b->w[k],
                     work_find_target(c, &b->w[k], i, lrp_graph_scores(c->p->graph), k, &t), 1);
  }
  return st;
}

/* All targets.  *done: so many of them are; fewer than there are, but LRP_OK: it failed for some text. */
static lrp_status explain_targets(batch *b, int64_t *done)
{
  const context *c = b->c;
  int state[MOST];
  const int64_t n = work_n_target(c->p);
  lrp_status st = LRP_OK;
  *done = 0;
  lrp_status failure = lrp_graph_forward(c->j->ctx, c->p->graph, b->all);
  b->large = failure == LRP_E_NOMEM;
  if (failure) return LRP_OK;
  while (!st && *done < n && !run_stopped(c->j)) {
    int64_t some;
    const lrp_relevance *rel = NULL;
    st = find_targets(b, *done, state, &some);
    if (!st && some)
      failure = lrp_graph_explain(c->j->ctx, c->p->graph, b->all, b->target, c->j->seed, c->r->method,
                                  work_steps(c->j), NULL, &rel);
    b->large = failure == LRP_E_NOMEM;
    if (failure) return LRP_OK;
    if (!st) st = store_targets(b, *done, state, rel);
    ++*done;
  }
  return st;
}

/* Those that are wanted, from this target on. */
static lrp_status one_by_one(batch *b, int64_t target)
{
  const context *c = b->c;
  lrp_status st = LRP_OK;
  for (int64_t k = 0; !st && k < b->n && !run_stopped(c->j); k++) {
    if (!b->wanted[k]) continue;
    const lrp_status failure = run_graph(c->j, c->p, b->w[k].s.input);
    const lrp_status refused = failure ? failure : work_assign(c->j, c->p, c->r);
    if (!refused) st = work_log_layers(c);
    if (!st && refused)
      st = work_skip(c, &b->w[k], refused, work_n_target(c->p) - target);
    else if (!st)
      st = work_explain_from(c, &b->w[k], target);
  }
  return st;
}

static lrp_status explain_batch(batch *b);

/* Its halves, each as a batch. */
static lrp_status explain_halves(const batch *b)
{
  const context *c = b->c;
  const int64_t size = (b->size + 1) / 2;
  lrp_status st = LRP_OK;
  c->r->large = b->size;
  c->r->large_length = length_of(b->all);
  for (int64_t first = 0; !st && first < b->n && !run_stopped(c->j); first += size) {
    batch half = {.c = b->c, .w = b->w + first, .n = b->n - first < size ? b->n - first : size, .size = size};
    memcpy(half.wanted, b->wanted + first, (size_t)half.n * sizeof *half.wanted);
    const bool ready = !stack(c, half.w, half.n, size, &half.all) && !run_graph(c->j, c->p, half.all) &&
                       !work_assign(c->j, c->p, c->r);
    st = ready ? explain_batch(&half) : one_by_one(&half, 0);
    lrp_input_free(half.all);
  }
  return st;
}

/* The graph stands for it. */
static lrp_status explain_batch(batch *b)
{
  int64_t done;
  const lrp_status st = explain_targets(b, &done);
  if (st || done == work_n_target(b->c->p) || run_stopped(b->c->j)) return st;
  return b->large && !done && b->size > 1 ? explain_halves(b) : one_by_one(b, done);
}

static lrp_status under_rule(batch *b)
{
  const context *c = b->c;
  const stopwatch watch = work_start();
  int64_t some = 0;
  const bool together = c->r->batches > 0;
  const lrp_status failure = run_graph(c->j, c->p, together ? b->all : b->w->s.input);
  const lrp_status refused = failure ? failure : work_assign(c->j, c->p, c->r);
  lrp_status st = refused ? LRP_OK : work_log_layers(c);
  if (!st) st = choose(b, !refused, &some);
  if (!st && some) st = together && !refused ? explain_batch(b) : one_by_one(b, 0);
  work_stop(c, &watch);
  if (!c->j->parent) run_progress(c->j);
  return st;
}

/* Half as many, where as many texts of this length have been too large before. */
static int64_t size_that_fits(const rule_run *r, const work *w, int64_t n, int64_t size)
{
  int64_t longest = 1;
  for (int64_t k = 0; k < n; k++)
    longest = length_of(w[k].s.input) > longest ? length_of(w[k].s.input) : longest;
  return size > 1 && size == r->large && longest == r->large_length ? (size + 1) / 2 : size;
}

lrp_status work_batch(context *c, work *w, int64_t n, int64_t size)
{
  lrp_status st = LRP_OK;
  bool alone = true;
  for (int r = 0; !st && r < c->p->n_rule && !run_stopped(c->j); r++) {
    c->r = &c->p->rule[r];
    if (!c->r->batches) try_two(c, w, n);
    const int64_t most = size_that_fits(c->r, w, n, size);
    for (int64_t i = 0; !st && i < n && !run_stopped(c->j); i += most) {
      batch b = {.c = c, .w = &w[i], .n = n - i < most ? n - i : most, .size = most};
      if (c->r->batches > 0 && stack(c, b.w, b.n, size, &b.all)) c->r->batches = -1;
      st = under_rule(&b);
      lrp_input_free(b.all);
    }
    alone = alone && c->r->batches < 0;
  }
  c->p->alone = c->p->alone || (alone && !st && !run_stopped(c->j));
  return st;
}
