/* forward.c - runs a graph and keeps what the backward walk needs. */
#include "profile.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static lrp_status same_shape(lrp_ctx *ctx, const lrp_edge *e, const lrp_tensor *given)
{
  char want[160], have[160];
  if (e->t.rank == given->rank && e->t.dtype == given->dtype &&
      !memcmp(e->t.shape, given->shape, (size_t)given->rank * sizeof given->shape[0]))
    return LRP_OK;
  return lrp_fail(ctx, LRP_E_SHAPE, "input \"%s\" has shape %s, the graph was built for %s",
                  e->name, lrp_shape_text(given, have, sizeof have),
                  lrp_shape_text(&e->t, want, sizeof want));
}

static lrp_status same_value(lrp_ctx *ctx, const lrp_edge *e, const lrp_tensor *given)
{
  const int64_t want = lrp_indices(&e->t)[0];
  if (given->data && lrp_indices(given)[0] == want) return LRP_OK;
  return lrp_fail(ctx, LRP_E_INPUT, "input \"%s\" is not %lld, for which the graph was built",
                  e->name, (long long)want);
}

static bool scores_finite(const lrp_graph *g)
{
  const lrp_tensor *s = &g->edge[g->score].t;
  bool finite = true;
  for (int64_t i = 0, n = lrp_count(s); finite && i < n; i++)
    finite = isfinite(lrp_reals(s)[i]);
  return finite;
}

/* Scores must be numbers; where they are not, name the first node that writes NaN or infinity. */
static lrp_status check_scores(lrp_ctx *ctx, const lrp_graph *g)
{
  const bool finite = scores_finite(g);
  for (int32_t k = 0; !finite && k < g->n_order; k++) {
    const lrp_step *st = &g->step[g->order[k]];
    for (uint32_t j = 0; j < st->n_out; j++) {
      const lrp_tensor *t = st->out[j] >= 0 ? &g->edge[st->out[j]].t : NULL;
      if (!t || t->dtype != LRP_REAL || !t->data) continue;
      for (int64_t i = 0, n = lrp_count(t); i < n; i++)
        if (isnan(lrp_reals(t)[i]) || lrp_reals(t)[i] == (lrp_real)INFINITY)
          return lrp_fail(ctx, LRP_E_NUMERIC,
                          "node \"%s\" (%s) gives %g at element %lld: the input or the weights are "
                          "out of range",
                          st->name, st->op, (double)lrp_reals(t)[i], (long long)i);
    }
  }
  return finite ? LRP_OK
                : lrp_fail(ctx, LRP_E_NUMERIC, "the model's scores are not finite for this input");
}

void lrp_graph_view_scores(lrp_graph *g)
{
  lrp_tensor *v = &g->score_view;
  *v = g->edge[g->score].t;
  if (v->rank && v->shape[0] == g->batch) return;
  if (v->rank == LRP_MAX_RANK) {
    v->shape[0] = lrp_count(v);
    v->shape[1] = 1;
    v->rank = 2;
  }
  memmove(v->shape + 1, v->shape, (size_t)v->rank++ * sizeof *v->shape);
  v->shape[0] = 1;
}

static void bind_outputs(lrp_graph *g)
{
  lrp_graph_view_scores(g);
  for (int32_t i = 0; i < g->n_output; i++)
    g->out_view[i] = g->edge[g->output[i]].t;
}

/* lean: tensors go as soon as nothing reads them, the rules' way back included, and rows that nothing reads are not
 * computed. */
static lrp_status run_steps(lrp_ctx *ctx, lrp_graph *g, bool lean)
{
  lrp_status st = LRP_OK;
  for (int32_t i = 0; i < g->n_edge; i++)
    lrp_edge_release(g, i);
  g->lean = false;
  for (int32_t k = 0; !st && k < g->n_order; k++) {
    lrp_meter meter;
    lrp_meter_begin(ctx, g, &meter);
    st = lrp_step_run(ctx, g, &g->step[g->order[k]], lean);
    lrp_meter_end(ctx, g, &meter, k, false);
    if (lean) lrp_lifetimes_end(g, k);
  }
  return st;
}

lrp_status lrp_graph_forward(lrp_ctx *ctx, lrp_graph *g, const lrp_input *input)
{
  if (input->n_tensor != g->n_input)
    return lrp_fail(ctx, LRP_E_INPUT, "the model has %d inputs, %d were given", g->n_input,
                    input->n_tensor);
  lrp_status st = LRP_OK;
  for (int32_t i = 0; !st && i < g->n_input; i++) {
    lrp_edge *e = &g->edge[g->input[i]];
    st = same_shape(ctx, e, &input->tensor[i]);
    if (!st && e->is_const) st = same_value(ctx, e, &input->tensor[i]);
    if (!e->is_const) e->t.data = input->tensor[i].data;
  }
  ctx->samples = g->batch;
  ctx->direct = g->direct;
  if (!st) st = run_steps(ctx, g, g->planned && !g->plain);
  if (!st && g->lean && !scores_finite(g)) st = run_steps(ctx, g, false); /* to name the node */
  ctx->samples = 0;
  ctx->direct = false;
  if (!st) st = check_scores(ctx, g);
  g->ran = !st;
  if (!st) bind_outputs(g);
  return st;
}

const lrp_tensor *lrp_graph_output(const lrp_graph *g, int32_t i)
{
  return i >= 0 && i < g->n_output ? &g->out_view[i] : NULL;
}

const lrp_tensor *lrp_graph_scores(const lrp_graph *g)
{
  return &g->score_view;
}

int32_t lrp_graph_ends_in_softmax(const lrp_graph *g)
{
  return g->softmax_end;
}
