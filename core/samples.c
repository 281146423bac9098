/* samples.c - where in a tensor each sample of a batch lies, so that relevance is booked for the sample
 * it belongs to.  Element i of an edge belongs to sample i / run % batch: `run` elements of a sample lie
 * together.  (N,T,D) has runs of T D elements, (T,N,D), which recurrent layers take, of D.
 *
 * No layer tells this by name.  A rearrangement is given the numbers of the samples instead of data, and its result is
 * read.  Any other layer is asked for its shapes with one sample more: the axis that grows holds the samples. */
#include "samples.h"
#include <string.h>

enum { SPARE = 16 }; /* outputs that a layer may describe beyond those it has */
typedef struct place { /* an axis of outer * samples * inner elements */
  int32_t axis;
  int64_t inner;
} place;

/* false: no axis holds runs of this length. */
static bool place_of(const lrp_tensor *t, int64_t run, int64_t n, place *p)
{
  int64_t behind = 1;
  for (int32_t a = t->rank; a-- > 0; behind *= t->shape[a]) {
    if (run >= behind * t->shape[a]) continue;
    *p = (place){a, run / behind};
    return run % behind == 0 && t->shape[a] % (p->inner * n) == 0;
  }
  return false;
}

static int64_t behind(const lrp_tensor *t, int32_t axis)
{
  int64_t n = 1;
  for (int32_t a = axis + 1; a < t->rank; a++)
    n *= t->shape[a];
  return n;
}

/* ---- one sample more ---- */

typedef struct probe {
  lrp_ctx *ctx;
  const lrp_graph *g;
  const lrp_step *s;
  lrp_call call;
  lrp_tensor *in, *out;
  int64_t *run; /* of the inputs; 0: they hold no samples */
} probe;

static int32_t edge_of(const lrp_step *s, uint32_t i)
{
  return s->in[i] >= 0 ? s->in[i] : s->carrier_of[i];
}

static lrp_status probe_begin(probe *p)
{
  const lrp_step *s = p->s;
  lrp_arena *a = &p->ctx->scratch;
  p->in = lrp_arena_alloc(a, (s->n_in + 1) * sizeof *p->in);
  p->out = lrp_arena_alloc(a, (s->type->n_saved + s->n_out + 2 * SPARE) * sizeof *p->out);
  p->run = lrp_arena_alloc(a, (s->n_in + 1) * sizeof *p->run);
  if (!p->in || !p->out || !p->run) return lrp_nomem(p->ctx, "the graph");
  for (uint32_t i = 0; i < s->n_in; i++) {
    const int32_t e = edge_of(s, i);
    p->run[i] = e >= 0 && !p->g->edge[e].is_const ? p->g->edge[e].run : 0;
  }
  return LRP_OK;
}

/* `choice`: which of a constant's axes with as many elements as there are samples grows, too;
 * negative: none does. */
static void grow_inputs(probe *p, int32_t choice)
{
  const int64_t n = p->g->batch;
  memcpy(p->in, p->s->in_t, p->s->n_in * sizeof *p->in);
  for (uint32_t i = 0; i < p->s->n_in; i++) {
    lrp_tensor *t = &p->in[i];
    const int32_t e = edge_of(p->s, i);
    place at;
    if (p->run[i] && place_of(t, p->run[i], n, &at)) {
      t->shape[at.axis] += t->shape[at.axis] / n;
    } else if (choice >= 0 && e >= 0 && p->g->edge[e].is_const && t->dtype == LRP_REAL) {
      int32_t left = choice;
      for (int32_t a = 0; a < t->rank; a++)
        if (t->shape[a] == n && left-- == 0) {
          t->shape[a]++;
          t->data = NULL;
          break;
        }
    }
  }
}

static bool infers(probe *p, int32_t choice)
{
  grow_inputs(p, choice);
  p->call = p->s->call;
  p->call.in = p->in;
  p->call.out = p->out;
  p->call.saved = p->out + p->s->n_out + SPARE;
  memcpy(p->out, p->s->out_t, p->s->n_out * sizeof *p->out);
  const lrp_status st = p->s->type->infer(&lrp_the_host, p->ctx, p->s->inst, &p->call);
  p->ctx->message[0] = 0;
  return !st && p->call.n_out == p->s->n_out;
}

/* The run of output k by the axis that has grown; 0: they do not tell. */
static int64_t grown(const probe *p, uint32_t k)
{
  const lrp_tensor *t = &p->s->out_t[k], *more = &p->out[k];
  const int64_t n = p->g->batch;
  int32_t axis = -1;
  if (more->rank != t->rank) return 0;
  for (int32_t a = 0; a < t->rank; a++) {
    if (more->shape[a] == t->shape[a]) continue;
    if (axis >= 0 || more->shape[a] * n != t->shape[a] * (n + 1)) return 0;
    axis = a;
  }
  if (axis < 0) return 0;
  if (t->shape[axis] == n) return behind(t, axis);
  for (uint32_t i = 0; i < p->s->n_in; i++) {
    place at; /* merged with another axis, as in the input */
    if (p->run[i] && place_of(&p->s->in_t[i], p->run[i], n, &at) &&
        p->s->in_t[i].shape[at.axis] == t->shape[axis])
      return at.inner * behind(t, axis);
  }
  return 0;
}

/* ---- numbers in place of data ---- */

static lrp_status number_inputs(probe *p, bool *possible)
{
  *possible = p->s->type->kind == LRP_KIND_RESHAPE && p->s->n_out == 1 &&
              p->s->out_t[0].dtype == LRP_REAL;
  memcpy(p->in, p->s->in_t, p->s->n_in * sizeof *p->in);
  for (uint32_t i = 0; *possible && i < p->s->n_in; i++) {
    lrp_tensor *t = &p->in[i];
    if (!p->run[i] || t->dtype != LRP_REAL) {
      *possible = t->data || lrp_port_of(p->s, i)->flags & (LRP_PORT_OPTIONAL | LRP_PORT_SHAPE);
      if (t->dtype == LRP_INDEX || !t->data) continue;
    }
    const lrp_status st = lrp_the_host.scratch(p->ctx, &p->s->in_t[i], t);
    if (st) return st;
    for (int64_t k = 0, n = lrp_count(t); p->run[i] && k < n; k++)
      lrp_reals(t)[k] = (lrp_real)(k / p->run[i] % p->g->batch + 1);
  }
  return LRP_OK;
}

/* 0 stands for what is no sample's: padding, constants. */
static bool fits(const lrp_tensor *t, int64_t run, int64_t n)
{
  const lrp_real *v = lrp_reals(t);
  for (int64_t i = 0, all = lrp_count(t); i < all; i++)
    if (v[i] != 0 && v[i] != (lrp_real)(i / run % n + 1)) return false;
  return true;
}

static int64_t read_numbers(const lrp_tensor *t, int64_t n)
{
  for (int32_t a = 0; a < t->rank; a++) {
    const int64_t apart = behind(t, a);
    if (!apart || t->shape[a] % n) continue;
    if (fits(t, apart, n)) return apart;
    if (fits(t, t->shape[a] / n * apart, n)) return t->shape[a] / n * apart;
  }
  return 0;
}

static lrp_status by_numbers(probe *p, int64_t *run)
{
  bool possible;
  lrp_status st = number_inputs(p, &possible);
  *run = 0;
  if (st || !possible) return st;
  p->call = p->s->call;
  p->call.in = p->in;
  p->call.out = p->out;
  p->call.saved = p->out + p->s->n_out + SPARE;
  st = lrp_scratch_raw(p->ctx, &p->s->out_t[0], &p->out[0]);
  for (uint32_t i = 0; !st && i < p->s->n_saved; i++)
    st = lrp_scratch_raw(p->ctx, &p->s->saved[i], &p->call.saved[i]);
  if (st) return st;
  if (!p->s->type->forward(&lrp_the_host, p->ctx, p->s->inst, &p->call))
    *run = read_numbers(&p->out[0], p->g->batch);
  p->ctx->message[0] = 0;
  return LRP_OK;
}

/* ---- each step ---- */

/* Where a layer does not tell: as an input of the same shape, by the one axis that has as many
 * elements as there are samples, by the first axis; else the whole is taken for one sample's. */
static int64_t guess(const probe *p, const lrp_tensor *t)
{
  const int64_t n = p->g->batch, all = lrp_count(t);
  int32_t axis = -1, many = 0;
  for (uint32_t i = 0; i < p->s->n_in; i++)
    if (p->run[i] && p->s->in_t[i].rank == t->rank &&
        !memcmp(p->s->in_t[i].shape, t->shape, (size_t)t->rank * sizeof *t->shape))
      return p->run[i];
  for (int32_t a = 0; a < t->rank; a++)
    if (t->shape[a] == n) {
      axis = axis < 0 ? a : axis;
      many++;
    }
  if (many == 1) return behind(t, axis);
  return t->rank && t->shape[0] % n == 0 ? all / n : all;
}

static lrp_status step_runs(lrp_ctx *ctx, lrp_graph *g, lrp_step *s, int64_t *n_guess)
{
  lrp_step_bind(g, s);
  probe p = {.ctx = ctx, .g = g, .s = s};
  lrp_status st = probe_begin(&p);
  bool some = false;
  for (uint32_t i = 0; !st && i < s->n_in; i++)
    some = some || p.run[i];
  if (st || !some) return st; /* runs stay 0: there are no samples in it */
  int64_t read = 0;
  bool told = false;
  st = by_numbers(&p, &read);
  for (int32_t choice = -1; !read && !told && choice < LRP_MAX_RANK; choice++)
    told = infers(&p, choice);
  for (uint32_t k = 0; !st && k < s->n_out; k++) {
    if (s->out[k] < 0) continue;
    const int64_t run = read ? read : told ? grown(&p, k) : 0;
    g->edge[s->out[k]].run = run ? run : guess(&p, &s->out_t[k]);
    *n_guess += !run && g->edge[s->out[k]].live;
  }
  return st;
}

/* The samples are in axis 1 of the inputs where `second` says so and they have as many there. */
static lrp_status walk(lrp_ctx *ctx, lrp_graph *g, bool second, int64_t *n_guess)
{
  lrp_status st = LRP_OK;
  *n_guess = 0;
  for (int32_t i = 0; i < g->n_edge; i++)
    g->edge[i].run = g->edge[i].is_input ? lrp_count(&g->edge[i].t) : 0;
  for (int32_t i = 0; i < g->n_input; i++) {
    lrp_edge *e = &g->edge[g->input[i]];
    const bool other = e->t.rank > 1 && e->t.shape[1] == g->batch && (second || e->t.shape[0] != g->batch);
    if (e->t.rank > other && e->t.shape[other] == g->batch) e->run = behind(&e->t, other);
  }
  for (int32_t k = 0; !st && k < g->n_order; k++) {
    const lrp_mark mark = lrp_arena_mark(&ctx->scratch);
    st = step_runs(ctx, g, &g->step[g->order[k]], n_guess);
    lrp_arena_release(&ctx->scratch, mark);
  }
  return st;
}

/* As many steps as samples, and either may come first: the wrong one ends where a layer mixes samples. */
static bool is_square(const lrp_graph *g)
{
  for (int32_t i = 0; i < g->n_input; i++) {
    const lrp_tensor *t = &g->edge[g->input[i]].t;
    if (t->rank > 2 && t->shape[0] == g->batch && t->shape[1] == g->batch) return true;
  }
  return false;
}

lrp_status lrp_graph_samples(lrp_ctx *ctx, lrp_graph *g)
{
  int64_t n_guess = 0, other = 0;
  lrp_status st = g->batch > 1 ? walk(ctx, g, false, &n_guess) : LRP_OK;
  if (!st && n_guess && is_square(g)) {
    st = walk(ctx, g, true, &other);
    if (!st && other >= n_guess) st = walk(ctx, g, false, &n_guess);
  }
  for (int32_t i = 0; i < g->n_edge; i++)
    if (g->batch < 2 || !g->edge[i].run) g->edge[i].run = lrp_count(&g->edge[i].t);
  return st;
}

void lrp_sample_shape(const lrp_graph *g, int64_t i, lrp_tensor *t)
{
  const lrp_step *s = &g->step[g->order[i]];
  place at;
  *t = *lrp_graph_node(g, i).out;
  for (uint32_t k = 0; g->batch > 1 && k < s->n_out; k++)
    if (s->out[k] >= 0 && g->edge[s->out[k]].t.rank == t->rank) {
      if (place_of(t, g->edge[s->out[k]].run, g->batch, &at)) t->shape[at.axis] /= g->batch;
      return;
    }
}
