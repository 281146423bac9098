/* demand.c - which rows of a forward pass something reads.
 *
 * A classifier that looks at one token takes one row of the last block's output; all other rows of that block are
 * computed for nothing, but for those of keys and values.  Going back from what is explained and what the user gets,
 * each step is asked which rows of its inputs it reads:
 *
 *   - a rearrangement, as Gather and Slice are, reads what its pull-back of ones reaches: asked of the layer itself;
 *   - a layer whose rows are computed one by one, as it says in `rows`, hands on what is wanted of it;
 *   - every other layer reads all.
 *
 *     LayerNorm -> a -> Gather(axis 1, index 0) -> Gemm -> scores      of a: position 0 along axis 1
 *
 * On the way back the other rows carry no relevance, which makes every quotient of a table 0 and every pulled-back row
 * 0, whatever numbers stand there (rows.c).  A rule that is no table, or one that looks at a whole sample for its size,
 * may do anything with what it reads: the layer it stands at computes and reads all. */
#include "graph.h"
#include <string.h>

typedef struct demand { /* of an edge */
  bool some;            /* somebody reads of it */
  lrp_row_set rows;
} demand;
typedef struct plan {
  lrp_ctx *ctx;
  lrp_graph *g;
  demand *of; /* [n_edge] */
} plan;

static const lrp_row_set WHOLE = {.axis = LRP_ROWS_ALL};

/* a and b together, as positions along the axis that both name. */
static lrp_status both(const plan *p, const lrp_row_set *a, const lrp_row_set *b, lrp_row_set *out)
{
  int64_t *at = lrp_arena_raw(&p->ctx->scratch, (size_t)(a->n + b->n + 1) * sizeof *at), n = 0;
  if (!at) return lrp_nomem(p->ctx, "the graph");
  for (int64_t i = 0, k = 0; i < a->n || k < b->n; n++) {
    at[n] = k == b->n || (i < a->n && a->at[i] <= b->at[k]) ? a->at[i] : b->at[k];
    i += i < a->n && a->at[i] == at[n];
    k += k < b->n && b->at[k] == at[n];
  }
  *out = (lrp_row_set){a->axis, n, at};
  return LRP_OK;
}

/* Samples stay together: kernels choose by their number. */
static lrp_status want(const plan *p, int32_t edge, const lrp_row_set *rows)
{
  if (edge < 0) return LRP_OK;
  demand *d = &p->of[edge];
  const bool whole = rows->axis == LRP_ROWS_ALL || !rows->n || (rows->axis == 0 && p->g->batch > 1) ||
                     (d->some && d->rows.axis != rows->axis);
  const lrp_row_set before = d->rows;
  lrp_status st = LRP_OK;
  if (whole)
    d->rows = WHOLE;
  else if (!d->some)
    d->rows = *rows;
  else
    st = both(p, &before, rows, &d->rows);
  d->some = true;
  if (d->rows.axis != LRP_ROWS_ALL && d->rows.n == p->g->edge[edge].t.shape[d->rows.axis]) d->rows = WHOLE;
  return st;
}

/* Does the step's way back give the same whatever stands in rows without relevance, and leaves them without? */
static bool ignores_rows(const lrp_step *s)
{
  if (!s->wanted || lrp_step_hands_on(s)) return true;
  if (!s->rule) return !s->type->route && !s->type->relprop;
  if (!s->rule->table || s->rule->relprop) return false;
  lrp_table t = {.struct_size = sizeof t};
  s->rule->table(s->rule_args, &t);
  return !t.norm_scale;
}

/* ---- rearrangements ---- */

/* The one input that the rearrangement reads numbers from, where all others are known; -1: none. */
static int32_t source(const lrp_graph *g, const lrp_step *s)
{
  int32_t from = -1;
  if (s->type->kind != LRP_KIND_RESHAPE || !s->type->vjp || s->n_saved || s->n_out != 1 || s->n_param) return -1;
  for (uint32_t i = 0; i < s->n_in; i++) {
    const uint32_t role = lrp_port_of(s, i)->role;
    if (role == LRP_PORT_SIDE && (s->in[i] < 0 || g->edge[s->in[i]].is_const)) continue;
    if (role != LRP_PORT_DATA || from >= 0 || s->in[i] < 0 || s->in_t[i].dtype != LRP_REAL) return -1;
    from = (int32_t)i;
  }
  return from;
}

static bool some_in(const lrp_real *v, int64_t n)
{
  int64_t i = 0;
  while (i < n && v[i] == 0)
    i++;
  return i < n;
}

/* Positions along the axis that hold something; their number. */
static int64_t positions(const lrp_tensor *t, int32_t axis, int64_t *at)
{
  const lrp_layout l = lrp_layout_of(t, axis);
  const int64_t inner = (int64_t)(l.bytes / sizeof(lrp_real));
  int64_t found = 0;
  for (int64_t k = 0; k < l.n; k++) {
    bool some = false;
    for (int64_t o = 0; !some && o < l.outer; o++)
      some = some_in(lrp_reals(t) + (o * l.n + k) * inner, inner);
    if (some) at[found++] = k;
  }
  return found;
}

/* The axis of which the smallest part holds something. */
static lrp_status narrowest(const plan *p, const lrp_tensor *t, lrp_row_set *out)
{
  double least = 1;
  *out = WHOLE;
  for (int32_t axis = 0; axis < t->rank; axis++) {
    int64_t *at = lrp_arena_raw(&p->ctx->scratch, (size_t)(t->shape[axis] + 1) * sizeof *at);
    if (!at) return lrp_nomem(p->ctx, "the graph");
    const int64_t n = positions(t, axis, at);
    if (!n || (double)n >= least * (double)t->shape[axis]) continue;
    least = (double)n / (double)t->shape[axis];
    *out = (lrp_row_set){axis, n, at};
  }
  return LRP_OK;
}

static void put_ones(const lrp_tensor *t, const lrp_row_set *rows)
{
  static const int64_t first = 0;
  const lrp_row_set all = {.axis = -1, .n = 1, .at = &first}, *r = rows->axis == LRP_ROWS_ALL ? &all : rows;
  int64_t outer = 1, inner = 1;
  for (int32_t i = 0; i < t->rank; i++)
    if (i != r->axis) *(i < r->axis ? &outer : &inner) *= t->shape[i];
  const int64_t n = lrp_count(t) > 0 ? lrp_count(t) / (outer * inner) : 0;
  for (int64_t o = 0; n && o < outer; o++)
    for (int64_t k = 0; k < r->n; k++)
      for (int64_t i = 0; i < inner; i++)
        lrp_reals(t)[(o * n + r->at[k]) * inner + i] = 1;
}

/* What the rearrangement reads of its input i where these rows of its output are wanted. */
static lrp_status reads_of(const plan *p, const lrp_step *s, int32_t i, const lrp_row_set *wanted, lrp_row_set *out)
{
  lrp_ctx *ctx = p->ctx;
  lrp_tensor above = s->out_t[0], *in = lrp_arena_alloc(&ctx->scratch, (s->n_in + 1) * sizeof *in);
  lrp_tensor *below = lrp_arena_alloc(&ctx->scratch, (s->n_in + 1) * sizeof *below);
  if (!in || !below) return lrp_nomem(ctx, "the graph");
  for (uint32_t k = 0; k < s->n_in; k++) {
    in[k] = below[k] = s->in_t[k];
    below[k].data = NULL;
    if (s->in[k] >= 0 && !p->g->edge[s->in[k]].is_const) in[k].data = NULL;
  }
  lrp_call call = s->call;
  lrp_tensor none = s->out_t[0];
  none.data = NULL;
  call.in = in;
  call.out = &none;
  lrp_status st = lrp_the_host.scratch(ctx, &s->out_t[0], &above);
  if (!st) st = lrp_the_host.scratch(ctx, &s->in_t[i], &below[i]);
  if (!st) put_ones(&above, wanted);
  if (!st) st = s->type->vjp(&lrp_the_host, ctx, s->inst, &call, &above, below);
  return st ? st : narrowest(p, &below[i], out);
}

/* ---- the walk ---- */

static lrp_status keep_rows(const plan *p, lrp_step *s, const lrp_row_set *rows)
{
  lrp_row_set *kept = lrp_arena_alloc(&p->g->arena, sizeof *kept);
  int64_t *at = lrp_arena_alloc(&p->g->arena, (size_t)rows->n * sizeof *at);
  if (!kept || !at) return lrp_nomem(p->ctx, "the graph");
  memcpy(at, rows->at, (size_t)rows->n * sizeof *at);
  *kept = (lrp_row_set){rows->axis, rows->n, at};
  s->rows = kept;
  return LRP_OK;
}

static lrp_status want_rows(const plan *p, lrp_step *s, const lrp_row_set *rows, const int32_t *axis)
{
  lrp_status st = keep_rows(p, s, rows);
  for (uint32_t i = 0; !st && i < s->n_in; i++) {
    const lrp_row_set below = {axis[i], rows->n, rows->at};
    st = want(p, s->in[i], axis[i] == LRP_ROWS_ALL ? &WHOLE : &below);
  }
  return st;
}

/* The step's outputs are wanted as is known by now; what does it want of its inputs? */
static lrp_status step_demand(const plan *p, lrp_step *s)
{
  const demand *d = s->n_out == 1 && s->out[0] >= 0 ? &p->of[s->out[0]] : NULL;
  const lrp_row_set rows = d && d->some && ignores_rows(s) ? d->rows : WHOLE;
  int32_t *axis = lrp_arena_alloc(&p->ctx->scratch, (s->n_in + s->n_saved + 1) * sizeof *axis), from;
  lrp_row_set below = WHOLE;
  lrp_status st = LRP_OK;
  if (!axis) return lrp_nomem(p->ctx, "the graph");
  lrp_step_bind(p->g, s);
  if (rows.axis != LRP_ROWS_ALL && lrp_rows_axes(s->type, s->inst, &s->call, rows.axis, axis))
    return want_rows(p, s, &rows, axis);
  from = ignores_rows(s) ? source(p->g, s) : -1;
  if (from >= 0 && (rows.axis != LRP_ROWS_ALL || lrp_count(&s->out_t[0]) < lrp_count(&s->in_t[from])))
    st = reads_of(p, s, from, &rows, &below);
  for (uint32_t i = 0; !st && i < s->n_in; i++)
    st = want(p, s->in[i], (int32_t)i == from ? &below : &WHOLE);
  return st;
}

lrp_status lrp_demand(lrp_ctx *ctx, lrp_graph *g)
{
  const lrp_mark mark = lrp_arena_mark(&ctx->scratch);
  const plan p = {ctx, g, lrp_arena_alloc(&ctx->scratch, ((size_t)g->n_edge + 1) * sizeof *p.of)};
  lrp_status st = p.of ? want(&p, g->score, &WHOLE) : lrp_nomem(ctx, "the graph");
  for (int32_t i = 0; !st && i < g->n_output; i++)
    st = want(&p, g->output[i], &WHOLE);
  for (int32_t k = g->n_order; !st && k-- > 0;) {
    g->step[g->order[k]].rows = NULL;
    st = step_demand(&p, &g->step[g->order[k]]);
  }
  lrp_arena_release(&ctx->scratch, mark);
  return st;
}
