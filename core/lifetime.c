/* lifetime.c - which tensors of a forward pass the way back reads.  The others go back to the pool as
 * soon as the pass has run the last step that reads them, and where a pass serves one explanation, the
 * rest goes while relevance passes.
 *
 *     Conv -> a -> Relu -> b -> Conv      under zplus, pass, zplus: b is read, a is not
 *     a, b -> Add -> c -> Relu -> d       under norm, pass: a and b are read; c is added again
 *
 * What a rule reads is known where the rule is a table: all inputs, and the output where a pass is the
 * genuine one or a gate looks at its sign.  A rule that leaves relevance as it is reads nothing.
 * Everything else is taken to read all.  The plain gradient knows no rules and keeps all. */
#include "graph.h"
#include "table.h"

static bool is_used(uint32_t role)
{
  return role == LRP_PORT_DATA || role == LRP_PORT_CARRIER;
}

/* One input and one output of equal size: a rule that changes nothing has nothing to look up, and a layer that only
 * copies needs no rule. */
bool lrp_step_hands_on(const lrp_step *s)
{
  if (!s->rule && lrp_copies(s->type) && s->n_out == 1) return true;
  return s->rule && LRP_HAS(lrp_rule, s->rule, unchanged) && !s->type->relprop && s->n_in == 1 &&
         s->n_out == 1 && is_used(lrp_port_of(s, 0)->role) &&
         lrp_count(&s->in_t[0]) == lrp_count(&s->out_t[0]);
}

static bool by_table(const lrp_step *s)
{
  const uint32_t kind = s->type->kind;
  return s->rule && s->rule->table && !s->rule->relprop && !s->type->relprop && s->n_out == 1 &&
         (kind == LRP_KIND_LINEAR || kind == LRP_KIND_SUM);
}

static bool reads_inputs(const lrp_step *s)
{
  return s->wanted && !lrp_step_hands_on(s);
}

static bool reads_output(const lrp_step *s)
{
  if (!reads_inputs(s)) return false;
  if (!by_table(s)) return true;
  lrp_table t = {.struct_size = sizeof t};
  s->rule->table(s->rule_args, &t);
  bool reads = false;
  for (uint32_t g = 0; g < t.n_group && g < sizeof t.group / sizeof *t.group; g++)
    reads = reads || t.group[g].gate != LRP_GATE_ALL;
  for (uint32_t p = 0; s->n_param && p < t.n_pass && p < sizeof t.pass / sizeof *t.pass; p++)
    reads = reads || (t.pass[p].in != LRP_IN_NEG && t.pass[p].w_a != 0);
  return reads;
}

void lrp_graph_once(lrp_graph *g, int once)
{
  g->once = once;
}

/* Behind a layer that only copies stands the same buffer, which lives as long as either is read.  What the user gets is
 * his own. */
static void views(lrp_graph *g)
{
  for (int32_t k = g->n_order; k-- > 0;) {
    const lrp_step *s = &g->step[g->order[k]];
    if (s->n_out != 1 || s->out[0] < 0 || s->in[0] < 0 || !lrp_copies(s->type)) continue;
    lrp_edge *in = &g->edge[s->in[0]], *out = &g->edge[s->out[0]];
    if (out->is_output || s->out[0] == g->score || in->t.dtype != out->t.dtype) continue;
    out->view_of = s->in[0];
    in->last = out->last > in->last ? out->last : in->last;
    in->kept = in->kept || out->kept;
  }
}

void lrp_lifetimes(lrp_graph *g)
{
  for (int32_t i = 0; i < g->n_edge; i++) {
    g->edge[i].last = g->edge[i].view_of = -1;
    g->edge[i].kept = i == g->score;
  }
  for (int32_t i = 0; i < g->n_output; i++)
    g->edge[g->output[i]].kept = g->edge[g->output[i]].is_output = true;
  for (int32_t k = 0; k < g->n_order; k++) {
    const lrp_step *s = &g->step[g->order[k]];
    const bool inputs = reads_inputs(s), output = reads_output(s);
    for (uint32_t i = 0; i < s->n_in; i++) {
      const int32_t e = s->in[i] >= 0 ? s->in[i] : s->carrier_of[i];
      if (e < 0) continue;
      g->edge[e].last = k;
      g->edge[e].kept = g->edge[e].kept || inputs;
    }
    for (uint32_t i = 0; i < s->n_out; i++) {
      if (s->out[i] < 0) continue;
      g->edge[s->out[i]].last = k;
      g->edge[s->out[i]].kept = g->edge[s->out[i]].kept || output;
    }
  }
  views(g);
  g->planned = true;
}

/* Whose buffer holds the edge's numbers. */
static int32_t root_of(const lrp_graph *g, int32_t e)
{
  while (e >= 0 && g->edge[e].view_of >= 0)
    e = g->edge[e].view_of;
  return e;
}

static void release(lrp_graph *g, int32_t e, int32_t position)
{
  e = root_of(g, e);
  if (e < 0 || g->edge[e].kept || g->edge[e].last != position || !g->edge[e].owned) return;
  lrp_edge_release(g, e);
  g->lean = true;
}

void lrp_lifetimes_end(lrp_graph *g, int32_t position)
{
  const lrp_step *s = &g->step[g->order[position]];
  for (uint32_t i = 0; i < s->n_in; i++)
    release(g, s->in[i], position);
  for (uint32_t i = 0; i < s->n_out; i++)
    release(g, s->out[i], position);
}

/* On the way back, the step that wrote a tensor is the last that reads it. */
void lrp_lifetimes_back(lrp_graph *g, int32_t position)
{
  const lrp_step *s = &g->step[g->order[position]];
  for (uint32_t i = 0; g->once && !g->plain && i < s->n_out; i++) {
    const int32_t e = s->out[i];
    if (e < 0 || !g->edge[e].owned || g->edge[e].is_output || e == g->score) continue;
    lrp_edge_release(g, e);
    g->lean = true;
    g->ran = false;
  }
}

static void *numbers_of(const lrp_graph *g, int32_t e)
{
  return g->edge[g->edge[e].owned ? e : root_of(g, e)].t.data;
}

/* The step's tensors are copies of the edges': those that went must not be taken for there. */
void lrp_lifetimes_look(const lrp_graph *g, lrp_step *s)
{
  for (uint32_t i = 0; i < s->n_in; i++)
    if (s->in[i] >= 0) s->in_t[i].data = numbers_of(g, s->in[i]);
  for (uint32_t i = 0; i < s->n_out; i++)
    if (s->out[i] >= 0) s->out_t[i].data = numbers_of(g, s->out[i]);
}
