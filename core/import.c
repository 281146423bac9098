/* import.c - the nodes of an ONNX file become steps: a layer type that takes the operator is found,
 * and what depends on constants only is computed at once.  Knows no operator by name except those of the format: Constant, which spells an
 * initialiser, and If, whose branch takes its place once its condition is known. */
#include "bind.h"
#include "expand.h"
#include "kernel.h"
#include "names.h"
#include "registry.h"
#include <stdio.h>
#include <string.h>

enum { DEEPEST = 4 }; /* operators that stand for others, inside each other */
typedef struct importer {
  lrp_ctx *ctx;
  lrp_graph *g;
  const lrp_onnx *onnx;
  lrp_names names; /* tensor name -> edge */
  char *refused;   /* the list of all unsupported nodes */
  size_t refused_n;
  int64_t n_refused;
  lrp_names skipped; /* tensors that only refused nodes write */
  int depth;         /* of expansions */
  bool survey;       /* what is refused, and what is behind it, becomes steps without shapes */
} importer;

/* A node's name, or what it writes where it has none. */
static const char *node_name(const lrp_onnx_node *node)
{
  return node->name[0] || !node->n_out ? node->name : node->out[0];
}

/* ---- edges of the file ---- */

static lrp_status add_name(importer *im, const char *name, int32_t edge)
{
  if (lrp_names_find(&im->names, name) >= 0)
    return lrp_fail(im->ctx, LRP_E_INPUT,
                    "tensor \"%s\" is written twice; each name may be written once", name);
  return lrp_names_add(im->ctx, &im->names, name, edge);
}

static lrp_status add_constant(importer *im, const char *name, const lrp_onnx_tensor *t,
                               int32_t *out)
{
  const int32_t e = lrp_edge_new(im->ctx, im->g, name);
  if (e < 0) return LRP_E_NOMEM;
  im->g->edge[e].is_const = true;
  im->g->edge[e].type = t->type;
  *out = e;
  const lrp_status st = lrp_onnx_tensor_read(im->ctx, t, &im->g->arena, &im->g->edge[e].t);
  return st ? lrp_fail_at(im->ctx, st, "tensor \"%s\": ", name) : add_name(im, name, e);
}

static lrp_status add_initialisers(importer *im, const lrp_onnx_graph *og)
{
  lrp_status st = LRP_OK;
  int32_t e;
  for (int64_t i = 0; !st && i < og->n_init; i++)
    if (og->init[i].type != LRP_ONNX_STRING)
      st = add_constant(im, og->init[i].name, &og->init[i], &e);
  return st;
}

static bool holds_if(const lrp_onnx_graph *og)
{
  for (int64_t i = 0; i < og->n_node; i++)
    if (!strcmp(og->node[i].op, "If") && !og->node[i].domain[0]) return true;
  return false;
}

/* A single whole number beside the data, such as a sampling rate, chooses the branches of a model that has some: the graph is
 * built for its value, where that is given. */
static lrp_status settle(lrp_ctx *ctx, lrp_graph *g, lrp_edge *e, const lrp_tensor *given)
{
  int64_t *v;
  if (given->rank || given->dtype != LRP_INDEX || !given->data) return LRP_OK;
  v = lrp_arena_alloc(&g->arena, sizeof *v);
  if (!v) return lrp_nomem(ctx, "the graph");
  *v = lrp_indices(given)[0];
  e->t.data = v;
  e->is_const = true;
  return LRP_OK;
}

static lrp_status add_inputs(importer *im, const lrp_input *input)
{
  lrp_graph *g = im->g;
  const lrp_onnx_graph *og = &im->onnx->graph;
  if (input->n_tensor != og->n_input)
    return lrp_fail(im->ctx, LRP_E_INPUT, "the model has %lld inputs, %d were given",
                    (long long)og->n_input, input->n_tensor);
  g->input = lrp_arena_alloc(&g->arena, ((size_t)og->n_input + 1) * sizeof *g->input);
  if (!g->input) return lrp_nomem(im->ctx, "the graph");
  g->batch = 1;
  for (int32_t i = 0; i < og->n_input; i++) {
    const int32_t e = lrp_edge_new(im->ctx, g, og->input[i].name);
    if (e < 0) return LRP_E_NOMEM;
    lrp_edge *edge = &g->edge[e];
    edge->is_input = true;
    edge->t = input->tensor[i];
    edge->t.data = edge->t.host = NULL;
    g->input[g->n_input++] = e;
    lrp_status st = holds_if(og) ? settle(im->ctx, g, edge, &input->tensor[i]) : LRP_OK;
    if (!st) st = add_name(im, og->input[i].name, e);
    if (st) return st;
  }
  return LRP_OK;
}

static lrp_status add_outputs(importer *im, const lrp_onnx_node *node, int32_t id, bool moved)
{
  lrp_graph *g = im->g;
  for (int32_t i = 0; i < node->n_out; i++) {
    if (!node->out[i][0]) continue;
    if ((uint32_t)i >= g->step[id].n_out)
      return lrp_fail(im->ctx, LRP_E_UNSUPPORTED, "output %d (\"%s\") is not given by layer \"%s\"",
                      i, node->out[i], g->step[id].type->name);
    const int32_t e = lrp_edge_new(im->ctx, g, node->out[i]);
    if (e < 0) return LRP_E_NOMEM;
    g->edge[e].step = id;
    g->edge[e].port = i;
    g->edge[e].t = g->step[id].out_t[i];
    g->edge[e].t.data = NULL;
    g->edge[e].moved = moved && g->edge[e].t.rank >= 3;
    g->step[id].out[i] = e;
    const lrp_status st = add_name(im, node->out[i], e);
    if (st) return st;
  }
  return LRP_OK;
}

/* All inputs constant: run now, keep the results in the arena, drop the step. */
static lrp_status fold(importer *im, int32_t id)
{
  lrp_graph *g = im->g;
  lrp_step *s = &g->step[id];
  for (uint32_t i = 0; i < s->n_in; i++) {
    const int32_t e = s->in[i] >= 0 ? s->in[i] : s->carrier_of[i];
    if (e >= 0 && !g->edge[e].is_const && !(lrp_port_of(s, i)->flags & LRP_PORT_SHAPE))
      return LRP_OK;
  }
  lrp_status st = lrp_step_run(im->ctx, g, s, false);
  for (uint32_t i = 0; !st && i < s->n_out; i++) {
    if (s->out[i] < 0) continue;
    lrp_edge *e = &g->edge[s->out[i]];
    size_t bytes;
    st = lrp_tensor_bytes(im->ctx, &e->t, &bytes);
    void *copy = st ? NULL : lrp_arena_alloc(&g->arena, bytes + 1);
    if (!st && !copy) st = lrp_nomem(im->ctx, "constants");
    if (!st) memcpy(copy, e->t.data, bytes);
    lrp_edge_release(g, s->out[i]);
    if (s->type->kind == LRP_KIND_RESHAPE && s->n_in && s->in[0] >= 0) e->type = g->edge[s->in[0]].type;
    e->t.data = copy;
    e->is_const = true;
    e->step = -1;
    e->moved = e->moved && e->t.rank >= 3;
  }
  for (uint32_t i = 0; i < s->n_saved; i++) {
    lrp_pool_put(g->pool, s->saved[i].data);
    s->saved[i].data = NULL;
  }
  s->dead = true;
  return st;
}

static lrp_status node_constant(importer *im, const lrp_onnx_node *node, bool *done)
{
  *done = !strcmp(node->op, "Constant") && !node->domain[0] && node->n_out == 1;
  if (!*done) return LRP_OK;
  lrp_onnx_tensor t = {.name = node->out[0]};
  int32_t e;
  for (int32_t i = 0; i < node->n_attr; i++) {
    const lrp_onnx_attr *a = &node->attr[i];
    if (a->type == LRP_ATTR_TENSOR) return add_constant(im, node->out[0], a->tensor, &e);
    if (a->type == LRP_ATTR_INT || a->type == LRP_ATTR_INTS) {
      t.type = LRP_ONNX_INT64;
      t.rank = a->type == LRP_ATTR_INTS;
      t.count = t.shape[0] = a->type == LRP_ATTR_INTS ? a->n : 1;
      t.raw = (const uint8_t *)(a->type == LRP_ATTR_INTS ? a->ints : &a->i);
      t.raw_size = (size_t)t.count * sizeof(int64_t);
      return add_constant(im, node->out[0], &t, &e);
    }
    if (a->type == LRP_ATTR_REAL || a->type == LRP_ATTR_REALS) {
      const int32_t edge = lrp_edge_new(im->ctx, im->g, node->out[0]);
      const int64_t n = a->type == LRP_ATTR_REALS ? a->n : 1;
      lrp_real *v = edge < 0 ? NULL : lrp_arena_alloc(&im->g->arena, ((size_t)n + 1) * sizeof *v);
      if (!v) return lrp_nomem(im->ctx, "constants");
      for (int64_t k = 0; k < n; k++)
        v[k] = a->type == LRP_ATTR_REALS ? a->reals[k] : (lrp_real)a->real;
      lrp_edge *ed = &im->g->edge[edge];
      ed->is_const = true;
      ed->t = (lrp_tensor){
          .data = v, .dtype = LRP_REAL, .rank = a->type == LRP_ATTR_REALS, .shape = {n}};
      return add_name(im, node->out[0], edge);
    }
  }
  return lrp_fail(im->ctx, LRP_E_UNSUPPORTED,
                  "a constant without numbers (text or sparse) is not supported");
}

/* ---- one node ---- */

static lrp_status survey_node(importer *im, const lrp_onnx_node *node)
{
  int32_t id = -1,
          *edge = lrp_arena_alloc(&im->ctx->scratch, ((size_t)node->n_in + 1) * sizeof *edge);
  if (!edge) return lrp_nomem(im->ctx, "the graph");
  for (int32_t i = 0; i < node->n_in; i++)
    edge[i] = node->in[i][0] ? lrp_names_find(&im->names, node->in[i]) : -1;
  lrp_status st = lrp_survey_step(im->ctx, im->g, node, lrp_onnx_opset_of(im->onnx, node->domain),
                                  node_name(node), edge, &id);
  for (int32_t i = 0; !st && i < node->n_out; i++)
    if (node->out[i][0] && lrp_names_find(&im->names, node->out[i]) < 0)
      st = add_name(im, node->out[i], im->g->step[id].out[i]);
  return st;
}

static lrp_status skip_outputs(importer *im, const lrp_onnx_node *node)
{
  lrp_status st = LRP_OK;
  if (im->survey) return survey_node(im, node);
  for (int32_t i = 0; !st && i < node->n_out; i++)
    if (node->out[i][0]) st = lrp_names_add(im->ctx, &im->skipped, node->out[i], 0);
  return st;
}

/* Note a refused node, go on to find all of them. */
static lrp_status refuse(importer *im, int64_t index, const lrp_onnx_node *node, const char *why)
{
  char line[768];
  const int n = snprintf(line, sizeof line, "\n  node %lld \"%s\" (%s%s%s): %s", (long long)index,
                         node_name(node), node->domain, node->domain[0] ? "." : "", node->op, why);
  im->n_refused++;
  const size_t add = n < 0 ? 0 : (size_t)n < sizeof line ? (size_t)n : sizeof line - 1;
  if (im->refused && im->refused_n + add < LRP_MESSAGE_MAX - 256) {
    memcpy(im->refused + im->refused_n, line, add);
    im->refused_n += add;
  }
  return skip_outputs(im, node);
}

/* Edges of a node's inputs; *blocked: one of them comes from a refused node. */
static lrp_status find_inputs(importer *im, const lrp_onnx_node *node, int32_t *edge, bool *blocked)
{
  *blocked = false;
  for (int32_t i = 0; i < node->n_in; i++) {
    edge[i] = -1;
    if (!node->in[i][0]) continue;
    edge[i] = lrp_names_find(&im->names, node->in[i]);
    *blocked = *blocked || (edge[i] >= 0 && im->g->edge[edge[i]].unknown);
    if (edge[i] >= 0) continue;
    if (lrp_names_find(&im->skipped, node->in[i]) >= 0)
      *blocked = true;
    else
      return lrp_fail(im->ctx, LRP_E_INPUT,
                      "input \"%s\" is written by no node, input or initialiser before it",
                      node->in[i]);
  }
  return LRP_OK;
}

/* The best type that takes the node: most constants bound to parameters first.  *known: some type
 * lists the operator. */
static lrp_status choose(importer *im, lrp_candidate *c, bool *known)
{
  lrp_status st = LRP_E_UNSUPPORTED;
  int64_t n;
  const lrp_offer *offer = lrp_offers(im->ctx, c->node->op, &n);
  int32_t next = LRP_BIND_PARAM; /* constants bound by the types that are tried next */
  *known = false;
  im->ctx->message[0] = 0;
  while (next >= 0 && st == LRP_E_UNSUPPORTED) {
    const int32_t most = next;
    next = -1;
    for (int64_t k = 0; k < n && st == LRP_E_UNSUPPORTED; k++) {
      c->type = offer[k].type;
      c->op = offer[k].op;
      if (c->op->expand || !lrp_operator_fits(c->op, c->node, c->opset)) continue;
      *known = true;
      if (!lrp_bind(im->g, c->type, c->op, c->edge, (uint32_t)c->node->n_in, &c->bound)) continue;
      const int32_t consts = (int32_t)c->bound.consts;
      if (consts == most) st = lrp_import_try(im->ctx, im->g, c, node_name(c->node));
      if (consts < most && consts > next) next = consts;
    }
  }
  return st;
}

/* A node that no type takes, with the reason. */
static lrp_status refuse_choice(importer *im, int64_t index, const lrp_candidate *c, bool known)
{
  char why[512];
  if (known)
    snprintf(why, sizeof why, "%.500s",
             im->ctx->message[0] ? im->ctx->message
                                 : "no layer type takes this form of its inputs");
  else if (lrp_operator_known(im->ctx, c->node))
    snprintf(why, sizeof why, "no layer type for this operator at opset %d", c->opset);
  else
    snprintf(why, sizeof why, "%s", lrp_operator_missing(c->node));
  return refuse(im, index, c->node, why);
}

/* A node behind a refused one: only named where its own operator is unknown too. */
static lrp_status skip_blocked(importer *im, int64_t index, const lrp_onnx_node *node)
{
  if (!lrp_operator_known(im->ctx, node)) return refuse(im, index, node, lrp_operator_missing(node));
  return skip_outputs(im, node);
}

static lrp_status import_graph(importer *im, const lrp_onnx_graph *og, int64_t inside);

/* The branch of an If; NULL: it has none. */
static const lrp_onnx_graph *branch_of(const lrp_onnx_node *node, bool holds)
{
  for (int32_t i = 0; i < node->n_attr; i++)
    if (node->attr[i].type == LRP_ATTR_GRAPH &&
        !strcmp(node->attr[i].name, holds ? "then_branch" : "else_branch"))
      return node->attr[i].graph;
  return NULL;
}

/* The branch's nodes are imported where the If stands; the If's outputs are other names of the
 * branch's. */
static lrp_status import_branch(importer *im, int64_t index, const lrp_onnx_node *node,
                                const lrp_onnx_graph *branch)
{
  if (branch->n_output != node->n_out)
    return lrp_fail(im->ctx, LRP_E_INPUT, "the branch has %lld outputs, the node %d",
                    (long long)branch->n_output, node->n_out);
  lrp_status st = import_graph(im, branch, index);
  for (int32_t i = 0; !st && i < node->n_out; i++) {
    if (!node->out[i][0]) continue;
    const int32_t e = lrp_names_find(&im->names, branch->output[i].name);
    if (e >= 0)
      st = add_name(im, node->out[i], e);
    else if (lrp_names_find(&im->skipped, branch->output[i].name) >= 0)
      st = lrp_names_add(im->ctx, &im->skipped, node->out[i], 0);
    else
      st = lrp_fail(im->ctx, LRP_E_INPUT, "output \"%s\" of the branch is written by no node",
                    branch->output[i].name);
  }
  return st;
}

/* If: a constant condition chooses a branch. */
static lrp_status node_if(importer *im, int64_t index, const lrp_onnx_node *node, bool *done)
{
  bool blocked;
  int32_t edge[1];
  *done = !strcmp(node->op, "If") && !node->domain[0] && node->n_in == 1;
  if (!*done) return LRP_OK;
  const lrp_status st = find_inputs(im, node, edge, &blocked);
  if (st || blocked) return st ? st : skip_outputs(im, node);
  const lrp_edge *c = edge[0] < 0 ? NULL : &im->g->edge[edge[0]];
  if (!c || !c->is_const)
    return refuse(
        im, index, node,
        "its condition depends on the model's input; only one that is constant, or depends on a "
        "single whole number that is given, can be resolved");
  if (c->t.dtype != LRP_INDEX || lrp_count(&c->t) != 1)
    return lrp_fail(im->ctx, LRP_E_INPUT, "the condition is not one truth value");
  const lrp_onnx_graph *branch = branch_of(node, lrp_indices(&c->t)[0] != 0);
  return branch ? import_branch(im, index, node, branch)
                : lrp_fail(im->ctx, LRP_E_INPUT, "the branch is missing");
}

/* An operator that stands for others: these are imported in its place. */
static lrp_status node_expanded(importer *im, int64_t index, const lrp_onnx_node *node, bool *done)
{
  const int32_t opset = lrp_onnx_opset_of(im->onnx, node->domain);
  const lrp_operator *op = opset < 0 ? NULL : lrp_expand_find(im->ctx, node, opset);
  lrp_onnx_graph made;
  *done = op != NULL;
  if (!op) return LRP_OK;
  if (im->depth == DEEPEST) return refuse(im, index, node, "it stands for operators that stand for others too often");
  im->depth++;
  lrp_status st = lrp_expand(im->ctx, &im->g->arena, op, node, &made);
  if (!st) st = import_graph(im, &made, index);
  im->depth--;
  return st;
}

static lrp_status import_node(importer *im, int64_t index, const lrp_onnx_node *node)
{
  lrp_ctx *ctx = im->ctx;
  bool done, blocked, known;
  lrp_status st = node_constant(im, node, &done);
  if (done || st) return st == LRP_E_UNSUPPORTED ? refuse(im, index, node, ctx->message) : st;
  st = node_if(im, index, node, &done);
  if (done || st) return st;
  st = node_expanded(im, index, node, &done);
  if (done || st) return st;
  int32_t *edge = lrp_arena_alloc(&ctx->scratch, ((size_t)node->n_in + 1) * sizeof *edge);
  lrp_candidate *c = lrp_arena_alloc(&ctx->scratch, sizeof *c);
  if (!edge || !c) return lrp_nomem(ctx, "the graph");
  st = find_inputs(im, node, edge, &blocked);
  if (st || blocked) return st ? st : skip_blocked(im, index, node);
  *c = (lrp_candidate){
      .node = node, .opset = lrp_onnx_opset_of(im->onnx, node->domain), .edge = edge};
  if (c->opset < 0)
    return refuse(im, index, node, "the model imports no operator set for its domain");
  st = choose(im, c, &known);
  if (st == LRP_E_UNSUPPORTED) return refuse_choice(im, index, c, known);
  if (!st) st = add_outputs(im, node, c->step, c->moved);
  if (st == LRP_E_UNSUPPORTED) {
    im->g->step[c->step].dead = true;
    return refuse(im, index, node, ctx->message);
  }
  return st ? st : fold(im, c->step);
}

/* inside: the node whose branch this is, -1: the model itself; messages tell the nodes of the
 * model. */
static lrp_status import_graph(importer *im, const lrp_onnx_graph *og, int64_t inside)
{
  lrp_status st = add_initialisers(im, og);
  for (int64_t i = 0; !st && i < og->n_node; i++) {
    const lrp_onnx_node *node = &og->node[i];
    const lrp_mark mark = lrp_arena_mark(&im->ctx->scratch);
    st = import_node(im, inside < 0 ? i : inside, node);
    if (st)
      lrp_fail_at(im->ctx, st, "node %lld \"%s\" (%s): ", (long long)i, node_name(node), node->op);
    lrp_arena_release(&im->ctx->scratch, mark);
  }
  return st;
}

/* How many samples an input holds.  Rows of scores are samples where there are as many of them as of x, or one; inputs of
 * recurrent nets may have the steps first, so that x is (steps,N,...) for scores (N,C).  Any other row is part of one
 * sample: of steps, of boxes. */
static int64_t samples_of(const lrp_tensor *x, const lrp_tensor *scores)
{
  const int64_t rows = scores->rank ? scores->shape[0] : 1;
  const bool steps_first = scores->rank == 2 && x->rank >= 3 && x->shape[1] == rows;
  return rows == 1 || steps_first || (x->rank && x->shape[0] == rows) ? rows : 1;
}

static lrp_status find_outputs(importer *im)
{
  lrp_graph *g = im->g;
  const lrp_onnx_graph *og = &im->onnx->graph;
  g->output = lrp_arena_alloc(&g->arena, ((size_t)og->n_output + 1) * sizeof *g->output);
  if (!g->output) return lrp_nomem(im->ctx, "the graph");
  for (int64_t i = 0; i < og->n_output; i++) {
    int32_t e = lrp_names_find(&im->names, og->output[i].name);
    if (e < 0)
      return lrp_fail(im->ctx, LRP_E_INPUT, "output \"%s\" is written by no node",
                      og->output[i].name);
    if (g->edge[e].moved) /* given as in the file */
      e = lrp_layout_twin(im->ctx, g, e);
    if (e < 0) return LRP_E_NOMEM;
    g->edge[e].is_output = true;
    g->output[g->n_output++] = e;
  }
  if (!g->n_output) return lrp_fail(im->ctx, LRP_E_INPUT, "the model has no output");
  if (g->edge[g->output[0]].t.dtype != LRP_REAL)
    return lrp_fail(im->ctx, LRP_E_UNSUPPORTED,
                    "output \"%s\" holds integers; scores of a floating type were expected",
                    g->edge[g->output[0]].name);
  g->score = g->output[0];
  if (g->n_input)
    g->batch = samples_of(&g->edge[g->input[0]].t, &g->edge[g->score].t);
  return LRP_OK;
}

static lrp_status import_all(importer *im, const lrp_input *input, const char **refused)
{
  lrp_ctx *ctx = im->ctx;
  im->refused = lrp_arena_alloc(&im->g->arena, LRP_MESSAGE_MAX);
  lrp_status st = im->refused ? LRP_OK : lrp_nomem(ctx, "the graph");
  if (!st) st = add_inputs(im, input);
  if (!st) st = import_graph(im, &im->onnx->graph, -1);
  if (!st && im->n_refused)
    st = lrp_fail(ctx, LRP_E_UNSUPPORTED, "%lld node%s cannot be used:%s", (long long)im->n_refused,
                  im->n_refused == 1 ? "" : "s", im->refused);
  if (st == LRP_E_UNSUPPORTED && refused) {
    *refused = lrp_arena_text(&im->g->arena, ctx->message, strlen(ctx->message));
    st = *refused ? LRP_OK : lrp_nomem(ctx, "the graph");
  }
  if (!st) st = find_outputs(im);
  lrp_names_free(&im->names);
  lrp_names_free(&im->skipped);
  return st;
}

lrp_status lrp_import(lrp_ctx *ctx, lrp_graph *g, const lrp_onnx *onnx, const lrp_input *input)
{
  importer im = {.ctx = ctx, .g = g, .onnx = onnx};
  return import_all(&im, input, NULL);
}

lrp_status lrp_import_all(lrp_ctx *ctx, lrp_graph *g, const lrp_onnx *onnx, const lrp_input *input,
                          const char **refused)
{
  importer im = {.ctx = ctx, .g = g, .onnx = onnx, .survey = true};
  *refused = NULL;
  return import_all(&im, input, refused);
}
