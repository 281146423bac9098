/* onnx_node.c - NodeProto and AttributeProto. */
#include "onnx_reader.h"
#include <string.h>

/* ---- attributes ---- */

enum {
  A_NAME = 1,
  A_F = 2,
  A_I = 3,
  A_S = 4,
  A_T = 5,
  A_G = 6,
  A_FLOATS = 7,
  A_INTS = 8,
  A_STRINGS = 9,
  A_TENSORS = 10,
  A_GRAPHS = 11,
  A_TYPE_PROTO = 14,
  A_TYPE_PROTOS = 15,
  A_TYPE = 20,
  A_REF = 21,
  A_SPARSE = 22,
  A_SPARSES = 23
};

/* AttributeProto.AttributeType, its field, and what we call it. */
static const struct attr_kind {
  int32_t type, ours;
  uint32_t field;
} attr_kinds[] = {
    {1, LRP_ATTR_REAL, A_F},
    {2, LRP_ATTR_INT, A_I},
    {3, LRP_ATTR_TEXT, A_S},
    {4, LRP_ATTR_TENSOR, A_T},
    {5, LRP_ATTR_GRAPH, A_G},
    {6, LRP_ATTR_REALS, A_FLOATS},
    {7, LRP_ATTR_INTS, A_INTS},
    {8, LRP_ATTR_TEXTS, A_STRINGS},
    {9, LRP_ATTR_OTHER, A_TENSORS},
    {10, LRP_ATTR_OTHER, A_GRAPHS},
    {13, LRP_ATTR_OTHER, A_TYPE_PROTO},
    {14, LRP_ATTR_OTHER, A_TYPE_PROTOS},
};

typedef struct attr_draft {
  lrp_onnx_attr *a;
  lrp_real *reals;
  int64_t *ints;
  const char **texts;
  size_t n_reals, n_ints, n_texts; /* filled so far */
  size_t count[LRP_FIELDS];
  int32_t type;
  bool binary; /* a string that is no text */
} attr_draft;

static double float_of(uint64_t bits)
{
  const uint32_t b = (uint32_t)bits;
  float f;
  memcpy(&f, &b, sizeof f);
  return (double)f;
}

/* A string attribute may hold any bytes; as text it is given only if it is one. */
static lrp_status read_string(lrp_reader *r, const lrp_field *f, attr_draft *d, const char **out)
{
  *out = "";
  lrp_status st = lrp_reader_want(r, f, LRP_WIRE_BYTES, "a string");
  if (st) return st;
  d->binary = d->binary || memchr(f->bytes.at, 0, (size_t)(f->bytes.end - f->bytes.at));
  *out = lrp_reader_copy(r, f->bytes);
  return *out ? LRP_OK : LRP_E_NOMEM;
}

/* How many numbers a repeated field has, over all its runs. */
static lrp_status count_numbers(lrp_reader *r, lrp_bytes message, uint32_t field, uint32_t wire,
                                const char *name, size_t *n)
{
  *n = 0;
  while (message.at < message.end) {
    lrp_field f;
    lrp_bytes run;
    size_t one = 0;
    lrp_status st = lrp_reader_next(r, &message, &f);
    if (!st && f.number == field) st = lrp_reader_run(r, &f, wire, name, &run, &one);
    if (st) return st;
    *n += one;
  }
  return LRP_OK;
}

static lrp_status make_lists(lrp_reader *r, lrp_bytes message, attr_draft *d)
{
  size_t n_reals = 0, n_ints = 0;
  lrp_status st = LRP_OK;
  if (d->count[A_FLOATS])
    st = count_numbers(r, message, A_FLOATS, LRP_WIRE_FIXED32, "floats", &n_reals);
  if (!st && d->count[A_INTS])
    st = count_numbers(r, message, A_INTS, LRP_WIRE_VARINT, "ints", &n_ints);
  if (st) return st;
  d->reals = n_reals ? lrp_reader_alloc(r, n_reals, sizeof *d->reals) : NULL;
  d->ints = n_ints ? lrp_reader_alloc(r, n_ints, sizeof *d->ints) : NULL;
  d->texts =
      d->count[A_STRINGS] ? lrp_reader_alloc(r, d->count[A_STRINGS], sizeof *d->texts) : NULL;
  const bool made =
      (d->reals || !n_reals) && (d->ints || !n_ints) && (d->texts || !d->count[A_STRINGS]);
  return made ? LRP_OK : LRP_E_NOMEM;
}

static lrp_status read_list(lrp_reader *r, const lrp_field *f, attr_draft *d)
{
  const bool ints = f->number == A_INTS;
  const uint32_t wire = ints ? LRP_WIRE_VARINT : LRP_WIRE_FIXED32;
  lrp_bytes run;
  size_t n;
  lrp_status st = lrp_reader_run(r, f, wire, ints ? "ints" : "floats", &run, &n);
  while (!st && run.at < run.end) {
    uint64_t v = 0;
    st = lrp_reader_number(r, &run, wire, &v);
    if (ints)
      d->ints[d->n_ints++] = (int64_t)v;
    else
      d->reals[d->n_reals++] = (lrp_real)float_of(v);
  }
  return st;
}

static lrp_status read_attr_tensor(lrp_reader *r, const lrp_field *f, attr_draft *d)
{
  lrp_bytes message;
  lrp_status st = lrp_reader_enter(r, f, "t", &message);
  lrp_onnx_tensor *t = st ? NULL : lrp_reader_alloc(r, 1, sizeof *t);
  if (!t) return st ? st : LRP_E_NOMEM;
  d->a->tensor = t;
  return lrp_reader_tensor(r, message, t);
}

static lrp_status read_attr_graph(lrp_reader *r, const lrp_field *f, attr_draft *d)
{
  lrp_bytes message;
  lrp_status st = lrp_reader_enter(r, f, "g", &message);
  if (!st && r->nesting == LRP_ONNX_NESTING)
    st = lrp_reader_fail(r, f->start, LRP_E_INPUT, "graphs are nested more than %d deep",
                         LRP_ONNX_NESTING);
  lrp_onnx_graph *g = st ? NULL : lrp_reader_alloc(r, 1, sizeof *g);
  if (!g) return st ? st : LRP_E_NOMEM;
  d->a->graph = g;
  r->nesting++;
  st = lrp_reader_graph(r, message, g);
  r->nesting--;
  return st;
}

static lrp_status read_attr_field(lrp_reader *r, const lrp_field *f, attr_draft *d)
{
  lrp_onnx_attr *a = d->a;
  switch (f->number) {
  case A_NAME:
    return lrp_reader_text(r, f, "name", &a->name);
  case A_F:
    a->real = float_of(f->value);
    return lrp_reader_want(r, f, LRP_WIRE_FIXED32, "f");
  case A_I:
    a->i = (int64_t)f->value;
    return lrp_reader_want(r, f, LRP_WIRE_VARINT, "i");
  case A_S:
    return read_string(r, f, d, &a->text);
  case A_T:
    return read_attr_tensor(r, f, d);
  case A_G:
    return read_attr_graph(r, f, d);
  case A_FLOATS:
  case A_INTS:
    return read_list(r, f, d);
  case A_STRINGS:
    return read_string(r, f, d, &d->texts[d->n_texts++]);
  case A_TYPE:
    return lrp_reader_int32(r, f, "type", &d->type);
  case A_SPARSE:
  case A_SPARSES:
    return lrp_reader_fail(r, f->start, LRP_E_UNSUPPORTED,
                           "a sparse tensor; convert it to a dense one");
  case A_REF:
    return lrp_reader_fail(r, f->start, LRP_E_UNSUPPORTED,
                           "a reference to an attribute of a function; inline the functions");
  default:
    return LRP_OK;
  }
}

/* The type as written, or (files before IR version 3) that of the field that is there. */
static lrp_status settle_type(lrp_reader *r, const uint8_t *at, attr_draft *d)
{
  lrp_onnx_attr *a = d->a;
  const size_t n = sizeof attr_kinds / sizeof *attr_kinds;
  size_t k = 0;
  while (k < n && (d->type ? attr_kinds[k].type != d->type : !d->count[attr_kinds[k].field]))
    k++;
  if (k == n && d->type)
    return lrp_reader_fail(r, at, LRP_E_INPUT, "unknown attribute type %d", d->type);
  a->type = k == n ? LRP_ATTR_OTHER : attr_kinds[k].ours;
  for (size_t i = 0; i < n; i++)
    if (i != k && d->count[attr_kinds[i].field])
      return lrp_reader_fail(r, at, LRP_E_INPUT,
                             "attribute of type %d holds field %u, which belongs to type %d",
                             d->type, attr_kinds[i].field, attr_kinds[i].type);
  if ((a->type == LRP_ATTR_TENSOR && !a->tensor) || (a->type == LRP_ATTR_GRAPH && !a->graph))
    return lrp_reader_fail(r, at, LRP_E_INPUT, "attribute of type %d holds no value", d->type);
  if (d->binary) a->type = LRP_ATTR_OTHER;
  a->reals = d->reals;
  a->ints = d->ints;
  a->texts = d->texts;
  a->n = (int64_t)(d->n_reals + d->n_ints + d->n_texts);
  return LRP_OK;
}

static lrp_status read_attr_body(lrp_reader *r, lrp_bytes message, lrp_onnx_attr *a)
{
  attr_draft d = {.a = a};
  lrp_bytes left = message;
  *a = (lrp_onnx_attr){.name = "", .text = ""};
  lrp_status st = lrp_reader_count(r, message, d.count);
  if (!st && (d.count[A_T] > 1 || d.count[A_G] > 1))
    st = lrp_reader_fail(r, message.at, LRP_E_INPUT, "two values; one was expected");
  if (!st) st = make_lists(r, message, &d);
  while (!st && left.at < left.end) {
    lrp_field f;
    st = lrp_reader_next(r, &left, &f);
    if (!st) st = read_attr_field(r, &f, &d);
  }
  if (!st && !a->name[0])
    st = lrp_reader_fail(r, message.at, LRP_E_INPUT, "an attribute without a name");
  return st ? st : settle_type(r, message.at, &d);
}

static lrp_status read_attr(lrp_reader *r, const lrp_field *f, lrp_onnx_attr *a)
{
  char name[LRP_PEEK];
  lrp_bytes message;
  lrp_status st = lrp_reader_enter(r, f, "attribute", &message);
  if (!st) st = read_attr_body(r, message, a);
  return st ? lrp_fail_at(r->ctx, st, "attribute \"%s\"",
                          lrp_reader_peek(f->bytes, A_NAME, name, sizeof name))
            : LRP_OK;
}

/* ---- nodes ---- */

enum { N_INPUT = 1, N_OUTPUT = 2, N_NAME = 3, N_OP = 4, N_ATTR = 5, N_DOMAIN = 7 };

typedef struct node_draft {
  const char **in, **out;
  lrp_onnx_attr *attr;
} node_draft;

lrp_status lrp_reader_domain(lrp_reader *r, const lrp_field *f, const char **out)
{
  const lrp_status st = lrp_reader_text(r, f, "domain", out);
  if (!st && !strcmp(*out, "ai.onnx")) *out = "";
  return st;
}

static lrp_status read_node_field(lrp_reader *r, const lrp_field *f, node_draft *d,
                                  lrp_onnx_node *node)
{
  switch (f->number) {
  case N_INPUT:
    return lrp_reader_text(r, f, "input", &d->in[node->n_in++]);
  case N_OUTPUT:
    return lrp_reader_text(r, f, "output", &d->out[node->n_out++]);
  case N_NAME:
    return lrp_reader_text(r, f, "name", &node->name);
  case N_OP:
    return lrp_reader_text(r, f, "op_type", &node->op);
  case N_DOMAIN:
    return lrp_reader_domain(r, f, &node->domain);
  case N_ATTR:
    return read_attr(r, f, &d->attr[node->n_attr++]);
  default:
    return LRP_OK;
  }
}

static lrp_status read_node_body(lrp_reader *r, lrp_bytes message, lrp_onnx_node *node)
{
  size_t n[LRP_FIELDS];
  lrp_bytes left = message;
  node_draft d = {0};
  lrp_status st = lrp_reader_count(r, message, n);
  if (st) return st;
  d.in = lrp_reader_alloc(r, n[N_INPUT], sizeof *d.in);
  d.out = lrp_reader_alloc(r, n[N_OUTPUT], sizeof *d.out);
  d.attr = lrp_reader_alloc(r, n[N_ATTR], sizeof *d.attr);
  if (!d.in || !d.out || !d.attr) return LRP_E_NOMEM;
  while (!st && left.at < left.end) {
    lrp_field f;
    st = lrp_reader_next(r, &left, &f);
    if (!st) st = read_node_field(r, &f, &d, node);
  }
  node->in = d.in;
  node->out = d.out;
  node->attr = d.attr;
  if (!st && !node->op[0])
    st = lrp_reader_fail(r, message.at, LRP_E_INPUT, "a node without an operator (op_type)");
  return st;
}

lrp_status lrp_reader_node(lrp_reader *r, const lrp_field *f, int64_t index, lrp_onnx_node *node)
{
  char name[LRP_PEEK], op[LRP_PEEK];
  lrp_bytes message;
  *node = (lrp_onnx_node){.name = "", .op = "", .domain = "", .byte = (size_t)(f->start - r->base)};
  lrp_status st = lrp_reader_enter(r, f, "node", &message);
  if (!st) st = read_node_body(r, message, node);
  if (!st) return LRP_OK;
  lrp_reader_peek(f->bytes, N_NAME, name, sizeof name);
  lrp_reader_peek(f->bytes, N_OP, op, sizeof op);
  if (name[0]) return lrp_fail_at(r->ctx, st, "node %lld \"%s\"", (long long)index, name);
  return lrp_fail_at(r->ctx, st, op[0] ? "node %lld (%s)" : "node %lld%s", (long long)index, op);
}
