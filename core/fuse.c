/* fuse.c - layers that a file spells as several nodes become one step.  The forms are data of
 * the layer types (lrp_pattern in plugin.h); this file reads them and finds them in a graph, and
 * knows no operator by name.
 *
 *     x -> Sigmoid -> s        "Mul{x, Sigmoid(x)}" of layer "silu":
 *     x, s -> Mul -> y     =>  x -> [silu] -> y
 *
 * Larger forms are tried first.  Tensors inside must have no other reader, so nothing but the
 * spelling changes. */
#include "fuse.h"
#include "bind.h"
#include "canonize.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TERM = 64, MAX_DEPTH = 24, MAX_ARG = 4 };
enum { TERM_FORM, TERM_PORT, TERM_NUMBER, TERM_ANY };
#define CLOSE 1e-4 /* constants are written with few digits */

typedef struct term {
  int what;
  const char *op; /* FORM: not ended by NUL */
  size_t n_op;
  bool any_order; /* FORM: two terms that may be exchanged */
  int n_arg, arg[MAX_ARG];
  int form;     /* FORM: how many forms come before it in the text */
  int32_t port; /* PORT: inputs first, then parameters */
  double value; /* NUMBER */
} term;
typedef struct form {
  const lrp_layer_type *type;
  const lrp_pattern *pattern;
  term term[MAX_TERM]; /* 0 is the whole */
  int n_term, n_form;
} form;

/* ---- reading a form ---- */

typedef struct reader {
  form *f;
  const char *at, *fault;
  int depth;
} reader;

static const char WORD[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";

static void skip(reader *r)
{
  r->at += strspn(r->at, " ");
}

static int32_t port_of(const lrp_layer_type *type, const char *name, size_t n)
{
  int32_t i = 0;
  for (int list = 0; list < 2; list++)
    for (const lrp_port *p = list ? type->param : type->in; p && p->role; p++, i++)
      if (strlen(p->name) == n && !strncmp(p->name, name, n)) return i;
  return -1;
}

static int read_term(reader *r);

static void read_args(reader *r, int t)
{
  form *f = r->f;
  const char close = *r->at == '{' ? '}' : ')';
  f->term[t].any_order = *r->at == '{';
  do {
    r->at++;
    const int arg = read_term(r);
    if (r->fault) return;
    if (f->term[t].n_arg == MAX_ARG) {
      r->fault = "an operator has more than 4 terms";
      return;
    }
    f->term[t].arg[f->term[t].n_arg++] = arg;
    skip(r);
  } while (*r->at == ',');
  if (*r->at != close)
    r->fault = close == ')' ? "a \")\" is missing" : "a \"}\" is missing";
  else if (f->term[t].any_order && f->term[t].n_arg != 2)
    r->fault = "braces hold two terms";
  r->at += *r->at == close;
}

/* A number, a port, or an operator with its terms; returns its place. */
static int read_term(reader *r)
{
  form *f = r->f;
  skip(r);
  if (f->n_term == MAX_TERM || ++r->depth > MAX_DEPTH) {
    r->fault = "it is too long or too deep";
    return 0;
  }
  const int t = f->n_term++;
  term *m = &f->term[t];
  const size_t n = strspn(r->at, WORD);
  char *end;
  if (*r->at == '*') {
    m->what = TERM_ANY;
    r->at++;
  } else if (*r->at == '-' || (*r->at >= '0' && *r->at <= '9')) {
    m->what = TERM_NUMBER;
    m->value = strtod(r->at, &end);
    r->at = end;
  } else if (n && (r->at[n] == '(' || r->at[n] == '{')) {
    *m = (term){.what = TERM_FORM, .op = r->at, .n_op = n, .form = f->n_form++};
    r->at += n;
    read_args(r, t);
  } else {
    *m = (term){.what = TERM_PORT, .port = port_of(f->type, r->at, n)};
    if (!n || m->port < 0)
      r->fault = "a term is no port of the layer, no number, no operator and no *";
    r->at += n;
  }
  r->depth--;
  return t;
}

static const char *read_form(const lrp_layer_type *type, const lrp_pattern *pattern, form *f)
{
  reader r = {.f = f, .at = pattern->form};
  memset(f, 0, sizeof *f);
  f->type = type;
  f->pattern = pattern;
  read_term(&r);
  skip(&r);
  if (!r.fault && *r.at) r.fault = "there is text behind its end";
  if (!r.fault && f->term[0].what != TERM_FORM) r.fault = "it does not start with an operator";
  return r.fault;
}

const char *lrp_pattern_fault(const lrp_layer_type *type, const lrp_pattern *pattern)
{
  form f;
  const char *fault = read_form(type, pattern, &f);
  int32_t i = 0;
  for (int list = 0; list < 2; list++)
    for (const lrp_port *p = list ? type->param : type->in; !fault && p && p->role; p++, i++) {
      bool named = p->role == LRP_PORT_CARRIER || p->flags & LRP_PORT_OPTIONAL;
      for (int t = 0; t < f.n_term; t++)
        named = named || (f.term[t].what == TERM_PORT && f.term[t].port == i);
      if (!named) fault = "it does not name every port that the layer needs";
    }
  return fault;
}

/* ---- finding it ---- */

typedef struct match {
  const lrp_graph *g;
  const form *f;
  int32_t n_in;           /* input ports */
  int32_t port[64];       /* edge of each port, -1 */
  int32_t step[MAX_TERM]; /* of each operator, in the order of the text */
} match;

static bool is_number(const lrp_tensor *t, double want)
{
  if (lrp_count(t) != 1 || !t->data) return false;
  const double have = t->dtype == LRP_INDEX ? (double)lrp_indices(t)[0] : (double)lrp_reals(t)[0];
  return fabs(have - want) <= CLOSE * fabs(want);
}

static bool match_port(match *m, int32_t port, int32_t edge)
{
  const lrp_edge *e = &m->g->edge[edge];
  const lrp_port *p = port < m->n_in ? &m->f->type->in[port] : &m->f->type->param[port - m->n_in];
  if (p->dtype != LRP_ANY_DTYPE && (int32_t)p->dtype != e->t.dtype) return false;
  if (m->port[port] >= 0) return m->port[port] == edge;
  if (port >= m->n_in && !e->is_const) return false;
  m->port[port] = edge;
  return true;
}

static bool match_step(match *m, const term *t, int32_t id);

static bool match_term(match *m, const term *t, int32_t edge)
{
  if (edge < 0) return false;
  const lrp_edge *e = &m->g->edge[edge];
  switch (t->what) {
  case TERM_FORM:
    return !e->is_const && e->step >= 0 && e->port == 0 && match_step(m, t, e->step);
  case TERM_PORT:
    return match_port(m, t->port, edge);
  case TERM_NUMBER:
    return e->is_const && is_number(&e->t, t->value);
  default:
    return e->is_const;
  }
}

/* Both orders; operators before ports, which fit anything. */
static bool match_exchanged(match *m, const term *a, const term *b, const int32_t *edge)
{
  const int first = b->what == TERM_FORM && a->what != TERM_FORM;
  const match before = *m;
  for (int swap = 0; swap < 2; swap++) {
    const int32_t for_a = edge[swap], for_b = edge[!swap];
    if (first ? match_term(m, b, for_b) && match_term(m, a, for_a)
              : match_term(m, a, for_a) && match_term(m, b, for_b))
      return true;
    *m = before;
  }
  return false;
}

static bool match_step(match *m, const term *t, int32_t id)
{
  const lrp_step *s = &m->g->step[id];
  if (s->dead || !s->node || s->node->onnx->domain[0] || s->node->onnx->n_out != 1) return false;
  const lrp_onnx_node *node = s->node->onnx;
  const int32_t *edge = s->node->edge;
  if (strlen(node->op) != t->n_op || strncmp(node->op, t->op, t->n_op) || node->n_in < t->n_arg)
    return false;
  for (int32_t i = t->n_arg; i < node->n_in; i++) /* further inputs are options */
    if (edge[i] >= 0 && !m->g->edge[edge[i]].is_const) return false;
  m->step[t->form] = id;
  const term *all = m->f->term;
  if (t->any_order) return match_exchanged(m, &all[t->arg[0]], &all[t->arg[1]], edge);
  for (int i = 0; i < t->n_arg; i++)
    if (!match_term(m, &all[t->arg[i]], edge[i])) return false;
  return true;
}

/* ---- nobody else may read what is inside ---- */

static bool belongs(const match *m, int32_t id)
{
  for (int i = 0; i < m->f->n_form; i++)
    if (m->step[i] == id) return true;
  return false;
}

static bool reads(const lrp_step *s, int32_t edge)
{
  for (uint32_t i = 0; i < s->n_in; i++)
    if (s->in[i] == edge || s->carrier_of[i] == edge) return true;
  return false;
}

/* The engine's own permutations have no node: what they write counts instead. */
static bool read_inside(const match *m, int32_t edge)
{
  const lrp_graph *g = m->g;
  if (g->edge[edge].is_output || g->score == edge) return false;
  for (int32_t id = 0; id < g->n_step; id++) {
    const lrp_step *s = &g->step[id];
    if (s->dead || !reads(s, edge) || belongs(m, id)) continue;
    if (s->node || s->n_out != 1 || s->out[0] < 0 || !read_inside(m, s->out[0])) return false;
  }
  return true;
}

static bool alone(const match *m)
{
  for (int i = 1; i < m->f->n_form; i++)
    if (m->step[i] != m->step[0] && !read_inside(m, m->g->step[m->step[i]].out[0])) return false;
  return true;
}

/* ---- making one step of it ---- */

static lrp_status read_values(lrp_ctx *ctx, lrp_graph *g, const match *m, lrp_value **out)
{
  const lrp_node *node[MAX_TERM + 1] = {NULL};
  const form *f = m->f;
  for (int i = 0; i < f->n_form; i++)
    node[i] = g->step[m->step[i]].node;
  lrp_status st = lrp_import_values(ctx, g, f->type, out);
  if (!st && f->pattern->args) st = f->pattern->args(&lrp_the_host, ctx, node, *out);
  return st || !f->type->args ? st : lrp_args_check(ctx, f->type->name, f->type->args, *out);
}

static lrp_binding *binding_of(lrp_ctx *ctx, const match *m)
{
  lrp_binding *b = lrp_arena_alloc(&ctx->scratch, sizeof *b);
  if (!b) return NULL;
  memset(b, -1, sizeof *b);
  b->in_ports = b->n_in = (uint32_t)m->n_in;
  b->n_param = lrp_count_ports(m->f->type->param);
  b->consts = 0;
  for (int32_t i = 0; i < m->n_in; i++)
    b->in[i] = m->port[i];
  for (uint32_t i = 0; i < b->n_param; i++)
    b->param[i] = m->port[(uint32_t)m->n_in + i];
  return b;
}

/* Names of what went into the step, without its own. */
static const char *note_of(lrp_graph *g, const match *m)
{
  char text[512] = "fused";
  for (int i = 1; i < m->f->n_form; i++) {
    const size_t n = strlen(text);
    bool again = m->step[i] == m->step[0];
    for (int k = 1; k < i; k++)
      again = again || m->step[k] == m->step[i];
    if (!again && n + 80 < sizeof text)
      snprintf(text + n, sizeof text - n, "%s %.70s", n > 5 ? "," : "", g->step[m->step[i]].name);
  }
  const char *note = lrp_arena_text(&g->arena, text, strlen(text));
  return note ? note : "";
}

static bool same_result(const lrp_edge *e, const lrp_step *s, bool moved)
{
  const lrp_tensor *t = &s->out_t[0];
  const bool same =
      e->t.rank == t->rank && e->t.dtype == t->dtype && e->moved == (moved && t->rank >= 3);
  return same && !memcmp(e->t.shape, t->shape, (size_t)t->rank * sizeof *t->shape);
}

/* What --canonize calls the form. */
static const char *name_of(const form *f)
{
  return f->pattern->name ? f->pattern->name : f->type->name;
}

/* The step takes the place of the match; its parts die. */
static void replace(lrp_graph *g, const match *m, int32_t id)
{
  lrp_step *s = &g->step[id];
  const int32_t out = g->step[m->step[0]].out[0];
  s->note = note_of(g, m);
  s->out[0] = out;
  g->edge[out].step = id;
  g->edge[out].t.flags = s->out_t[0].flags;
  for (int i = 0; i < m->f->n_form; i++) {
    g->step[m->step[i]].dead = true;
    g->step[m->step[i]].into = id + 1;
    g->step[m->step[i]].by = name_of(m->f);
  }
}

static lrp_status make_step(lrp_ctx *ctx, lrp_graph *g, const match *m, bool *done)
{
  lrp_value *values = NULL;
  int32_t id = -1;
  bool moved = false;
  const lrp_layer_type *type = m->f->type;
  const lrp_step *root = &g->step[m->step[0]];
  const char *op = type->operators && type->operators->name ? type->operators->name : root->op,
             *name = root->name;
  const int32_t out = root->out[0];
  const lrp_binding *b = binding_of(ctx, m);
  if (!b) return lrp_nomem(ctx, "the graph");
  lrp_status st = read_values(ctx, g, m, &values);
  if (!st) st = lrp_import_layer(ctx, g, type, b, values, name, op, &id, &moved);
  if (!st && !same_result(&g->edge[out], &g->step[id], moved)) {
    lrp_import_undo(g, id);
    st = LRP_E_UNSUPPORTED;
  }
  if (!st) {
    replace(g, m, id);
    *done = true;
  }
  return st == LRP_E_NOMEM ? st : LRP_OK; /* declined: the parts are layers of their own */
}

static lrp_status fuse_one(lrp_ctx *ctx, lrp_graph *g, const form *f, bool *done)
{
  lrp_status st = LRP_OK;
  for (int32_t k = 0; !st && k < g->n_order; k++) {
    match m = {.g = g, .f = f, .n_in = (int32_t)lrp_count_ports(f->type->in)};
    memset(m.port, -1, sizeof m.port);
    if (!match_step(&m, &f->term[0], g->order[k]) || g->step[g->order[k]].out[0] < 0 || !alone(&m))
      continue;
    const lrp_mark mark = lrp_arena_mark(&ctx->scratch);
    st = make_step(ctx, g, &m, done);
    lrp_arena_release(&ctx->scratch, mark);
  }
  return st;
}

/* How many operators a form names: read_form()'s n_form without reading it. */
static int n_form_of(const char *text)
{
  int n = 0;
  for (; *text; text++)
    n += *text == '(' || *text == '{';
  return n;
}

typedef struct candidate {
  const lrp_layer_type *type;
  const lrp_pattern *p;
  int size;
} candidate;

/* A node of the graph is the operator with which the form begins. */
static bool begins_somewhere(const lrp_graph *g, const char *text)
{
  text += strspn(text, " ");
  const size_t n = strspn(text, WORD);
  for (int32_t k = 0; k < g->n_order; k++) {
    const lrp_step *s = &g->step[g->order[k]];
    if (s->node && !strncmp(s->node->onnx->op, text, n) && !s->node->onnx->op[n]) return true;
  }
  return false;
}

/* Forms that may be in the graph, as the layer types come; NULL: no memory. */
static candidate *candidates(lrp_ctx *ctx, const lrp_graph *g, int64_t *n)
{
  const int64_t types = lrp_n_layer(ctx);
  int64_t room = 1;
  candidate *c = NULL;
  for (int pass = 0; pass < 2; pass++) { /* counted, then filled in */
    for (int64_t i = 0; i < types; i++) {
      const lrp_layer_type *type = lrp_layer_at(ctx, i);
      const lrp_pattern *p = LRP_HAS(lrp_layer_type, type, patterns) ? type->patterns : NULL;
      for (; p && p->form; p++)
        if (!pass)
          room++;
        else if (begins_somewhere(g, p->form))
          c[(*n)++] = (candidate){type, p, n_form_of(p->form)};
    }
    if (!pass && !(c = lrp_arena_alloc(&ctx->scratch, (size_t)room * sizeof *c))) return NULL;
  }
  return c;
}

lrp_status lrp_fuse(lrp_ctx *ctx, lrp_graph *g, const char *list)
{
  lrp_status st = LRP_OK;
  bool done = false;
  form *f = lrp_arena_alloc(&ctx->scratch, sizeof *f);
  candidate *c = NULL;
  int64_t n = 0;
  if (!f || !(c = candidates(ctx, g, &n))) return lrp_nomem(ctx, "the graph");
  for (int size = MAX_TERM; !st && size > 0; size--)
    for (int64_t i = 0; !st && i < n; i++)
      if (c[i].size == size &&
          lrp_canonizer_wanted(list, c[i].p->name ? c[i].p->name : c[i].type->name, true) &&
          !read_form(c[i].type, c[i].p, f))
        st = fuse_one(ctx, g, f, &done);
  return st || !done ? st : lrp_graph_sort(ctx, g);
}
