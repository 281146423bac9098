/* onnx.c - ModelProto, GraphProto and signatures, each read in two walks: one that counts, one that
 * fills arrays of that size. */
#include "names.h"
#include "onnx_reader.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- signatures ---- */

/* TensorShapeProto.Dimension.  Old exporters write 0 or -1 for a size that is not fixed. */
static lrp_status read_dim(lrp_reader *r, const lrp_field *shape, int64_t *out)
{
  lrp_bytes left;
  lrp_status st = lrp_reader_enter(r, shape, "dim", &left);
  *out = -1;
  while (!st && left.at < left.end) {
    lrp_field f;
    st = lrp_reader_next(r, &left, &f);
    if (st || f.number != 1) continue;
    st = lrp_reader_want(r, &f, LRP_WIRE_VARINT, "dim_value");
    if ((int64_t)f.value > 0) *out = (int64_t)f.value;
  }
  return st;
}

static lrp_status read_shape(lrp_reader *r, lrp_bytes left, lrp_signature *s)
{
  lrp_status st = LRP_OK;
  s->rank = 0;
  while (!st && left.at < left.end) {
    lrp_field f;
    st = lrp_reader_next(r, &left, &f);
    if (st || f.number != 1) continue;
    if (s->rank == LRP_MAX_RANK)
      return lrp_reader_fail(r, f.start, LRP_E_UNSUPPORTED, "more than %d axes", LRP_MAX_RANK);
    st = read_dim(r, &f, &s->shape[s->rank++]);
  }
  return st;
}

/* TypeProto.Tensor. */
static lrp_status read_tensor_type(lrp_reader *r, lrp_bytes left, lrp_signature *s)
{
  const uint8_t *at = left.at;
  int32_t type = 0;
  lrp_status st = LRP_OK;
  while (!st && left.at < left.end) {
    lrp_field f;
    lrp_bytes shape;
    st = lrp_reader_next(r, &left, &f);
    if (!st && f.number == 1) st = lrp_reader_int32(r, &f, "elem_type", &type);
    if (!st && f.number == 2) st = lrp_reader_enter(r, &f, "shape", &shape);
    if (!st && f.number == 2) st = read_shape(r, shape, s);
  }
  if (st) return st;
  if (type == LRP_ONNX_STRING || type < 0 || !lrp_onnx_type_name(type))
    return r->nesting || !type
               ? LRP_OK
               : lrp_reader_fail(r, at, LRP_E_UNSUPPORTED,
                                 "elements of type %d (%s); numbers were expected", type,
                                 lrp_onnx_type_name(type) ? lrp_onnx_type_name(type) : "unknown");
  const bool real = type == LRP_ONNX_FLOAT || type == LRP_ONNX_FLOAT16 || type == LRP_ONNX_DOUBLE ||
                    type == LRP_ONNX_BFLOAT16;
  s->dtype = real ? LRP_REAL : LRP_INDEX;
  return LRP_OK;
}

/* TypeProto.  Sub-graphs may hold other types than tensors: what such values are for is the
 * operators' affair. */
static lrp_status read_type(lrp_reader *r, lrp_bytes left, lrp_signature *s, bool *known)
{
  lrp_status st = LRP_OK;
  while (!st && left.at < left.end) {
    lrp_field f;
    lrp_bytes tensor;
    st = lrp_reader_next(r, &left, &f);
    if (st || f.number == 6) continue; /* denotation */
    if (f.number != 1 && !r->nesting)
      return lrp_reader_fail(r, f.start, LRP_E_UNSUPPORTED,
                             "a sequence, map, optional or sparse value; a tensor was expected");
    if (f.number != 1) continue;
    *known = true;
    st = lrp_reader_enter(r, &f, "tensor_type", &tensor);
    if (!st) st = read_tensor_type(r, tensor, s);
  }
  return st;
}

static lrp_status read_value(lrp_reader *r, lrp_bytes left, lrp_signature *s)
{
  const uint8_t *at = left.at;
  bool known = false;
  lrp_status st = LRP_OK;
  while (!st && left.at < left.end) {
    lrp_field f;
    lrp_bytes type;
    st = lrp_reader_next(r, &left, &f);
    if (!st && f.number == 1) st = lrp_reader_text(r, &f, "name", &s->name);
    if (!st && f.number == 2) st = lrp_reader_enter(r, &f, "type", &type);
    if (!st && f.number == 2) st = read_type(r, type, s, &known);
  }
  if (!st && !s->name[0]) st = lrp_reader_fail(r, at, LRP_E_INPUT, "a value without a name");
  if (!st && !known && !r->nesting)
    st = lrp_reader_fail(r, at, LRP_E_INPUT, "no type; a tensor type was expected");
  return st;
}

static lrp_status read_signature(lrp_reader *r, const lrp_field *f, const char *what, int64_t index,
                                 lrp_signature *s)
{
  char name[LRP_PEEK];
  lrp_bytes message;
  *s = (lrp_signature){.name = "", .rank = -1};
  lrp_status st = lrp_reader_enter(r, f, what, &message);
  if (!st) st = read_value(r, message, s);
  if (!st) return LRP_OK;
  return lrp_fail_at(r->ctx, st, "%s %lld \"%s\"", what, (long long)index,
                     lrp_reader_peek(f->bytes, 1, name, sizeof name));
}

/* ---- graphs ---- */

enum { G_NODE = 1, G_NAME = 2, G_INIT = 5, G_INPUT = 11, G_OUTPUT = 12, G_SPARSE = 15 };

typedef struct graph_draft {
  lrp_onnx_node *node;
  lrp_onnx_tensor *init;
  lrp_signature *input, *output;
} graph_draft;

static lrp_status read_init(lrp_reader *r, const lrp_field *f, int64_t index, lrp_onnx_tensor *t)
{
  char name[LRP_PEEK];
  lrp_bytes message;
  lrp_status st = lrp_reader_enter(r, f, "initializer", &message);
  if (!st) st = lrp_reader_tensor(r, message, t);
  if (!st && !t->name[0])
    st = lrp_reader_fail(r, f->start, LRP_E_INPUT, "an initialiser without a name");
  if (!st) return LRP_OK;
  return lrp_fail_at(r->ctx, st, "initialiser %lld \"%s\"", (long long)index,
                     lrp_reader_peek(f->bytes, 8, name, sizeof name));
}

static lrp_status read_graph_field(lrp_reader *r, const lrp_field *f, graph_draft *d,
                                   lrp_onnx_graph *g)
{
  int64_t i;
  switch (f->number) {
  case G_NODE:
    i = g->n_node++;
    return lrp_reader_node(r, f, i, &d->node[i]);
  case G_NAME:
    return lrp_reader_text(r, f, "the graph's name", &g->name);
  case G_INIT:
    i = g->n_init++;
    return read_init(r, f, i, &d->init[i]);
  case G_INPUT:
    i = g->n_input++;
    return read_signature(r, f, "input", i, &d->input[i]);
  case G_OUTPUT:
    i = g->n_output++;
    return read_signature(r, f, "output", i, &d->output[i]);
  case G_SPARSE:
    return lrp_reader_fail(r, f->start, LRP_E_UNSUPPORTED,
                           "sparse_initializer: sparse tensors; convert them to dense ones");
  default:
    return LRP_OK;
  }
}

/* Files before IR version 4 list each initialiser among the inputs too: take those out. */
static lrp_status drop_initialisers(lrp_reader *r, graph_draft *d, lrp_onnx_graph *g)
{
  lrp_names names = {0};
  lrp_status st = LRP_OK;
  int64_t kept = 0;
  for (int64_t i = 0; !st && g->n_input && i < g->n_init; i++)
    st = lrp_names_add(r->ctx, &names, d->init[i].name, 1);
  for (int64_t i = 0; !st && i < g->n_input; i++)
    if (lrp_names_find(&names, d->input[i].name) < 0) d->input[kept++] = d->input[i];
  g->n_input = kept;
  lrp_names_free(&names);
  return st;
}

lrp_status lrp_reader_graph(lrp_reader *r, lrp_bytes message, lrp_onnx_graph *g)
{
  size_t n[LRP_FIELDS];
  graph_draft d = {0};
  lrp_bytes left = message;
  *g = (lrp_onnx_graph){.name = ""};
  lrp_status st = lrp_reader_count(r, message, n);
  if (st) return st;
  d.node = lrp_reader_alloc(r, n[G_NODE], sizeof *d.node);
  d.init = lrp_reader_alloc(r, n[G_INIT], sizeof *d.init);
  d.input = lrp_reader_alloc(r, n[G_INPUT], sizeof *d.input);
  d.output = lrp_reader_alloc(r, n[G_OUTPUT], sizeof *d.output);
  if (!d.node || !d.init || !d.input || !d.output) return LRP_E_NOMEM;
  while (!st && left.at < left.end) {
    lrp_field f;
    st = lrp_reader_next(r, &left, &f);
    if (!st) st = read_graph_field(r, &f, &d, g);
  }
  if (!st) st = drop_initialisers(r, &d, g);
  g->node = d.node;
  g->init = d.init;
  g->input = d.input;
  g->output = d.output;
  return st;
}

/* ---- the model ---- */

enum {
  M_IR = 1,
  M_PRODUCER = 2,
  M_VERSION = 3,
  M_GRAPH = 7,
  M_OPSET = 8,
  M_TRAINING = 20,
  M_FUNCTION = 25
};

typedef struct model_draft {
  const char *name, *version; /* of the producer */
  struct lrp_onnx_opset *opset;
  bool has_graph;
} model_draft;

static lrp_status read_opset(lrp_reader *r, const lrp_field *import, struct lrp_onnx_opset *o)
{
  lrp_bytes left;
  lrp_status st = lrp_reader_enter(r, import, "opset_import", &left);
  o->domain = "";
  while (!st && left.at < left.end) {
    lrp_field f;
    st = lrp_reader_next(r, &left, &f);
    if (!st && f.number == 1) st = lrp_reader_domain(r, &f, &o->domain);
    if (!st && f.number == 2) st = lrp_reader_int32(r, &f, "opset_import's version", &o->version);
  }
  if (!st && o->version < 1)
    st = lrp_reader_fail(r, import->start, LRP_E_INPUT,
                         "operator set \"%s\" of version %d; 1 or more was expected", o->domain,
                         o->version);
  return st;
}

static lrp_status read_root(lrp_reader *r, const lrp_field *f, model_draft *d)
{
  lrp_bytes message;
  lrp_status st = lrp_reader_enter(r, f, "graph", &message);
  if (!st && d->has_graph)
    st = lrp_reader_fail(r, f->start, LRP_E_INPUT, "two graphs; one was expected");
  d->has_graph = true;
  return st ? st : lrp_reader_graph(r, message, &r->out->graph);
}

static lrp_status read_model_field(lrp_reader *r, const lrp_field *f, model_draft *d)
{
  char name[LRP_PEEK];
  switch (f->number) {
  case M_IR:
    r->out->ir_version = (int64_t)f->value;
    return lrp_reader_want(r, f, LRP_WIRE_VARINT, "ir_version");
  case M_PRODUCER:
    return lrp_reader_text(r, f, "producer_name", &d->name);
  case M_VERSION:
    return lrp_reader_text(r, f, "producer_version", &d->version);
  case M_GRAPH:
    return read_root(r, f, d);
  case M_OPSET:
    return read_opset(r, f, &d->opset[r->out->n_opset++]);
  case M_TRAINING:
    return lrp_reader_fail(r, f->start, LRP_E_UNSUPPORTED,
                           "training_info; export the model for inference");
  case M_FUNCTION:
    return lrp_reader_fail(r, f->start, LRP_E_UNSUPPORTED,
                           "function \"%s\": functions in the model; inline them first "
                           "(onnx.inliner)",
                           lrp_reader_peek(f->bytes, 1, name, sizeof name));
  default:
    return LRP_OK;
  }
}

static lrp_status check_model(lrp_reader *r, const model_draft *d)
{
  if (!d->has_graph)
    return lrp_reader_fail(r, r->base, LRP_E_INPUT, "no graph: this is no ONNX model");
  if (r->out->ir_version < 1)
    return lrp_reader_fail(r, r->base, LRP_E_INPUT, "no ir_version: this is no ONNX model");
  if (!r->out->n_opset)
    return lrp_reader_fail(r, r->base, LRP_E_INPUT,
                           "opset_import names no operator set; the file is too old or damaged");
  return LRP_OK;
}

static lrp_status join_producer(lrp_reader *r, const model_draft *d)
{
  const size_t room = strlen(d->name) + strlen(d->version) + 2;
  char *text = lrp_reader_alloc(r, room, 1);
  if (!text) return LRP_E_NOMEM;
  snprintf(text, room, "%s%s%s", d->name, d->name[0] && d->version[0] ? " " : "", d->version);
  r->out->producer = text;
  return LRP_OK;
}

static lrp_status read_model(lrp_reader *r, lrp_bytes message)
{
  size_t n[LRP_FIELDS];
  model_draft d = {.name = "", .version = ""};
  lrp_bytes left = message;
  lrp_status st = lrp_reader_count(r, message, n);
  if (st) return st;
  d.opset = lrp_reader_alloc(r, n[M_OPSET], sizeof *d.opset);
  r->out->opset = d.opset;
  if (!d.opset) return LRP_E_NOMEM;
  while (!st && left.at < left.end) {
    lrp_field f;
    st = lrp_reader_next(r, &left, &f);
    if (!st) st = read_model_field(r, &f, &d);
  }
  if (!st) st = check_model(r, &d);
  return st ? st : join_producer(r, &d);
}

/* ---- files ---- */

#define MODEL_LIMIT                                                                                \
  ((size_t)1 << 31) /* protobuf's own; larger models keep their weights in external data */

/* A model begins with a control character, the key of its version. */
static bool is_text(const lrp_file *file)
{
  const size_t n = file->size < 256 ? file->size : 256;
  for (size_t i = 0; i < n; i++)
    if (file->data[i] < 32 && !memchr("\t\n\r", file->data[i], 3)) return false;
  return n > 0;
}

/* Files that are often taken for the model. */
static const char *mistaken(const lrp_file *file)
{
  static const char lfs[] = "version https://git-lfs";
  if (file->size > sizeof lfs && !memcmp(file->data, lfs, sizeof lfs - 1))
    return "a pointer that Git LFS left in place of the model; fetch the model itself (git lfs "
           "pull)";
  if (file->size > 4 && !memcmp(file->data, "PK\3\4", 4))
    return "a zip archive, perhaps a PyTorch checkpoint; export the model to ONNX";
  if (file->size > 10 && !file->data[6] && !file->data[7] && file->data[8] == '{' &&
      file->data[9] == '"')
    return "safetensors, which are weights without a graph; export the model to ONNX";
  if (is_text(file)) return "this is not an ONNX file, but a text";
  return NULL;
}

static lrp_status parse(lrp_ctx *ctx, const char *label, const uint8_t *data, size_t n,
                        const char *folder, lrp_onnx *out)
{
  lrp_reader r = {.ctx = ctx, .out = out, .base = data, .folder = folder};
  const lrp_status st = read_model(&r, (lrp_bytes){data, data + n});
  if (!st) return LRP_OK;
  return st == LRP_E_NOMEM ? lrp_fail_at(ctx, st, "%s", label)
                           : lrp_fail_at(ctx, st, "%s: byte %zu", label, r.byte);
}

static lrp_status begin(lrp_ctx *ctx, lrp_onnx *out)
{
  *out = (lrp_onnx){.graph = {.name = ""}, .producer = ""};
  out->file = calloc(1, sizeof *out->file);
  if (!out->file) return lrp_nomem(ctx, "the list of files");
  out->n_file = 1;
  return LRP_OK;
}

lrp_status lrp_onnx_parse(lrp_ctx *ctx, const uint8_t *data, size_t n, const char *folder,
                          lrp_onnx *out)
{
  lrp_status st = begin(ctx, out);
  if (!st) st = parse(ctx, "model", data, n, folder, out);
  if (st) lrp_onnx_close(out);
  return st;
}

/* The folder part of a path, malloc'ed. */
static char *folder_of(const char *path)
{
  const char *slash = strrchr(path, '/');
  if (!slash) return strdup(".");
  return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

lrp_status lrp_onnx_open(lrp_ctx *ctx, const char *path, lrp_onnx *out)
{
  lrp_file file = {0};
  lrp_status st = begin(ctx, out);
  char *folder = folder_of(path);
  if (!st) st = lrp_file_open(ctx, path, "an ONNX model", MODEL_LIMIT, &file);
  if (!st) {
    out->file[0].file = file;
    out->file[0].path = strdup(path);
    if (!folder || !out->file[0].path) st = lrp_nomem(ctx, "a path");
  }
  if (!st && mistaken(&file)) st = lrp_fail(ctx, LRP_E_INPUT, "%s: %s", path, mistaken(&file));
  if (!st) st = parse(ctx, path, file.data, file.size, folder, out);
  if (st) lrp_onnx_close(out);
  free(folder);
  return st;
}

void lrp_onnx_close(lrp_onnx *o)
{
  for (int32_t i = 0; i < o->n_file; i++) {
    lrp_file_close(&o->file[i].file);
    free(o->file[i].path);
  }
  free(o->file);
  lrp_arena_free(&o->arena);
  *o = (lrp_onnx){0};
}

int32_t lrp_onnx_opset_of(const lrp_onnx *o, const char *domain)
{
  if (!strcmp(domain, "ai.onnx")) domain = "";
  for (int32_t i = 0; i < o->n_opset; i++)
    if (!strcmp(o->opset[i].domain, domain)) return o->opset[i].version;
  return strcmp(domain, "lrp") ? -1 : 1; /* operators of this program, which expansions write */
}
