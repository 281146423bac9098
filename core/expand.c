/* expand.c - operators that stand for several others are replaced by them when a file is read.  What they stand for is
 * data of the plugins (lrp_operator.expand in plugin.h); this file reads it, and knows no operator by name but Constant,
 * which spells a number.
 *
 *     a, b -> MatMulInteger -> y      =>      b -> DequantizeLinear -> k
 *                                             a, k -> MatMul -> y */
#include "expand.h"
#include "bind.h"
#include "registry.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LINE = 16, MAX_ARG = 8, MAX_ATTR = 4, MAX_OUT = 3 };
typedef struct word {
  const char *at; /* not ended by NUL */
  size_t n;
} word;
typedef struct line { /* target = op(arg, ..., attr=value, ...) */
  word target, domain, op, arg[MAX_ARG], attr[MAX_ATTR];
  double value[MAX_ATTR];
  bool real[MAX_ATTR];
  int n_arg, n_attr;
  bool copies; /* all attributes of the node that is replaced */
} line;
typedef struct expansion {
  line line[MAX_LINE];
  int n;
} expansion;

/* ---- reading ---- */

typedef struct reader {
  const char *at, *fault;
} reader;

static const char LETTERS[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";

static void skip(reader *r)
{
  r->at += strspn(r->at, " \n");
}

static bool take(reader *r, const char *text)
{
  skip(r);
  const size_t n = strlen(text);
  if (strncmp(r->at, text, n) != 0) return false;
  r->at += n;
  return true;
}

static void want(reader *r, const char *text, const char *fault)
{
  if (!r->fault && !take(r, text)) r->fault = fault;
}

static word read_word(reader *r)
{
  skip(r);
  const word w = {r->at, strspn(r->at, LETTERS)};
  if (!w.n && !r->fault) r->fault = "a name is missing";
  r->at += w.n;
  return w;
}

static bool is_number(word w)
{
  return w.n && (w.at[0] == '-' || (w.at[0] >= '0' && w.at[0] <= '9'));
}

/* "-1.5" at the cursor. */
static word read_number(reader *r)
{
  char *end;
  skip(r);
  (void)strtod(r->at, &end);
  const word w = {r->at, (size_t)(end - r->at)};
  if (!w.n && !r->fault) r->fault = "a number is missing";
  r->at = end;
  return w;
}

static void read_arg(reader *r, line *l)
{
  skip(r);
  if (take(r, "...")) {
    l->copies = true;
    return;
  }
  const word w = is_number((word){r->at, *r->at != 0}) ? read_number(r) : read_word(r);
  if (!is_number(w) && take(r, "=")) {
    if (l->n_attr == MAX_ATTR) {
      r->fault = "an operator has more than 4 attributes";
      return;
    }
    const word v = read_number(r);
    l->attr[l->n_attr] = w;
    l->value[l->n_attr] = v.n ? strtod(v.at, NULL) : 0;
    l->real[l->n_attr++] = memchr(v.at, '.', v.n) != NULL;
  } else if (l->n_arg == MAX_ARG)
    r->fault = "an operator has more than 8 inputs";
  else
    l->arg[l->n_arg++] = w;
}

static void read_line(reader *r, line *l)
{
  memset(l, 0, sizeof *l);
  l->target = read_word(r);
  want(r, "=", "a \"=\" is missing");
  l->op = read_word(r);
  if (!r->fault && take(r, ".")) {
    l->domain = l->op;
    l->op = read_word(r);
  }
  want(r, "(", "a \"(\" is missing");
  do
    read_arg(r, l);
  while (!r->fault && take(r, ","));
  want(r, ")", "a \")\" is missing");
}

static const char *read_expansion(const char *text, expansion *e)
{
  reader r = {.at = text};
  e->n = 0;
  do {
    if (e->n == MAX_LINE) return "it has more than 16 lines";
    read_line(&r, &e->line[e->n++]);
  } while (!r.fault && take(&r, ";") && (skip(&r), *r.at));
  skip(&r);
  if (!r.fault && *r.at) r.fault = "there is text behind its end";
  return r.fault;
}

/* ---- names ---- */

static bool same(word a, word b)
{
  return a.n == b.n && !strncmp(a.at, b.at, a.n);
}

/* Which input of the node a name is, -1: none. */
static int input_of(const lrp_operator *op, word w)
{
  const char *p = op->inputs ? op->inputs : "";
  for (int i = 0; *(p += strspn(p, " ")); i++) {
    const word have = {p, strcspn(p, " ")};
    if (same(have, w)) return i;
    p += have.n;
  }
  return -1;
}

/* y, y2, y3: which output of the node a name is, -1: none. */
static int output_of(word w)
{
  static const char *const NAME[MAX_OUT] = {"y", "y2", "y3"};
  for (int i = 0; i < MAX_OUT; i++)
    if (same(w, (word){NAME[i], strlen(NAME[i])})) return i;
  return -1;
}

/* Which of the first n lines writes a name, -1: none. */
static int line_of(const expansion *e, int n, word w)
{
  for (int i = n - 1; i >= 0; i--)
    if (same(e->line[i].target, w)) return i;
  return -1;
}

const char *lrp_expand_fault(const lrp_operator *op)
{
  expansion e;
  const char *fault = read_expansion(op->expand, &e);
  bool written = false;
  for (int i = 0; !fault && i < e.n; i++) {
    const line *l = &e.line[i];
    for (int k = 0; !fault && k < l->n_arg; k++)
      if (!is_number(l->arg[k]) && input_of(op, l->arg[k]) < 0 && line_of(&e, i, l->arg[k]) < 0)
        fault = "it reads a name that is neither an input nor written before";
    if (!fault && (input_of(op, l->target) >= 0 || line_of(&e, i, l->target) >= 0))
      fault = "it writes a name twice, or one of an input";
    written = written || output_of(l->target) == 0;
  }
  return fault ? fault : written ? NULL : "it does not write y";
}

const lrp_operator *lrp_expand_find(lrp_ctx *ctx, const lrp_onnx_node *node, int32_t opset)
{
  int64_t n;
  const lrp_offer *offer = lrp_offers(ctx, node->op, &n);
  for (int64_t k = 0; k < n; k++)
    if (offer[k].op->expand && lrp_operator_fits(offer[k].op, node, opset)) return offer[k].op;
  return NULL;
}

/* ---- building ---- */

typedef struct builder {
  lrp_arena *arena;
  const lrp_operator *op;
  const lrp_onnx_node *from;
  const expansion *e;
  const char *name[MAX_LINE]; /* of the tensor that a line writes; "": its first input is absent */
  lrp_onnx_node *node;
  int64_t n;
  bool full; /* no memory */
} builder;

static const char *text_of(builder *b, const char *s, size_t n)
{
  const char *t = lrp_arena_text(b->arena, s, n);
  b->full = b->full || !t;
  return t ? t : "";
}

/* "NODE/NAME", what a node or tensor inside is called. */
static const char *inner_name(builder *b, word w)
{
  char text[512];
  const lrp_onnx_node *f = b->from;
  snprintf(text, sizeof text, "%.400s/%.*s", f->n_out && f->out[0][0] ? f->out[0] : f->name, (int)w.n, w.at);
  return text_of(b, text, strlen(text));
}

static lrp_onnx_node *add_node(builder *b, const char *op, const char *domain, const char *out, int32_t n_in, int32_t n_attr,
                               const char ***in, lrp_onnx_attr **attr)
{
  lrp_onnx_node *node = &b->node[b->n++];
  const char **outs = lrp_arena_alloc(b->arena, sizeof *outs);
  *in = lrp_arena_alloc(b->arena, ((size_t)n_in + 1) * sizeof **in);
  *attr = lrp_arena_alloc(b->arena, ((size_t)n_attr + 1) * sizeof **attr);
  if (!outs || !*in || !*attr) {
    b->full = true;
    return NULL;
  }
  outs[0] = out;
  *node = (lrp_onnx_node){.name = out,
                          .op = op,
                          .domain = domain,
                          .n_in = n_in,
                          .n_out = 1,
                          .n_attr = n_attr,
                          .in = *in,
                          .out = outs,
                          .attr = *attr,
                          .byte = b->from->byte};
  return node;
}

/* A number among the inputs is a constant of its own. */
static const char *add_number(builder *b, word number)
{
  const char **in;
  lrp_onnx_attr *attr;
  char suffix[32];
  const int n = snprintf(suffix, sizeof suffix, "constant %lld", (long long)b->n);
  const char *out = inner_name(b, (word){suffix, n > 0 ? (size_t)n : 0});
  if (add_node(b, "Constant", "", out, 0, 1, &in, &attr))
    attr[0] = (lrp_onnx_attr){.name = "value_float", .type = LRP_ATTR_REAL, .real = strtod(number.at, NULL)};
  return out;
}

static const char *tensor_of(builder *b, int n, word w)
{
  if (is_number(w)) return add_number(b, w);
  const int i = input_of(b->op, w);
  if (i >= 0) return i < b->from->n_in ? b->from->in[i] : "";
  return b->name[line_of(b->e, n, w)];
}

static const char *target_of(builder *b, const line *l)
{
  const int k = output_of(l->target);
  return k >= 0 && k < b->from->n_out && b->from->out[k][0] ? b->from->out[k] : inner_name(b, l->target);
}

static void build_line(builder *b, int i)
{
  const line *l = &b->e->line[i];
  const char *in[MAX_ARG], **ins;
  lrp_onnx_attr *attr;
  for (int k = 0; k < l->n_arg; k++)
    in[k] = tensor_of(b, i, l->arg[k]);
  b->name[i] = "";
  if (l->n_arg && !in[0][0]) return;
  b->name[i] = target_of(b, l);
  const int32_t copied = l->copies ? b->from->n_attr : 0;
  lrp_onnx_node *node = add_node(b, text_of(b, l->op.at, l->op.n), text_of(b, l->domain.at ? l->domain.at : "", l->domain.n),
                                 b->name[i], l->n_arg, l->n_attr + copied, &ins, &attr);
  if (!node) return;
  memcpy(ins, in, (size_t)l->n_arg * sizeof *ins);
  for (int k = 0; k < l->n_attr; k++)
    attr[k] = (lrp_onnx_attr){.name = text_of(b, l->attr[k].at, l->attr[k].n),
                              .type = l->real[k] ? LRP_ATTR_REAL : LRP_ATTR_INT,
                              .real = l->value[k],
                              .i = (int64_t)l->value[k]};
  for (int32_t k = 0; k < copied; k++)
    attr[l->n_attr + k] = b->from->attr[k];
  if (output_of(l->target) == 0 && b->from->name[0]) node->name = b->from->name;
}

lrp_status lrp_expand(lrp_ctx *ctx, lrp_arena *arena, const lrp_operator *op, const lrp_onnx_node *from, lrp_onnx_graph *out)
{
  expansion e;
  builder b = {.arena = arena, .op = op, .from = from, .e = &e};
  if (read_expansion(op->expand, &e))
    return lrp_fail(ctx, LRP_E_ABI, "the expansion of %s cannot be read", op->name);
  b.node = lrp_arena_alloc(arena, (size_t)MAX_LINE * (MAX_ARG + 1) * sizeof *b.node);
  if (!b.node) return lrp_nomem(ctx, "the graph");
  for (int i = 0; i < e.n && !b.full; i++)
    build_line(&b, i);
  *out = (lrp_onnx_graph){.name = from->name, .n_node = b.n, .node = b.node};
  return b.full ? lrp_nomem(ctx, "the graph") : LRP_OK;
}
