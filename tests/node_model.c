/* node_model.c - see node_model.h. */
#include "node_model.h"
#include "test.h"
#include <stdlib.h>
#include <string.h>

/* ---- protobuf, written; numbers are those of onnx.proto ---- */

enum { MOST = 16384 };
typedef struct bytes {
  size_t n;
  uint8_t v[MOST];
} bytes;

static void put(bytes *b, const void *data, size_t n)
{
  ck_assert_msg(b->n + n <= MOST, "the model of a test is too large");
  memcpy(b->v + b->n, data, n);
  b->n += n;
}

static void put_varint(bytes *b, uint64_t v)
{
  do {
    const uint8_t byte = (uint8_t)((v & 127) | (v > 127 ? 128 : 0));
    put(b, &byte, 1);
    v >>= 7;
  } while (v);
}

static void put_int(bytes *b, uint32_t field, int64_t v)
{
  put_varint(b, field << 3);
  put_varint(b, (uint64_t)v);
}

static void put_bytes(bytes *b, uint32_t field, const void *data, size_t n)
{
  put_varint(b, field << 3 | 2);
  put_varint(b, n);
  put(b, data, n);
}

static void put_text(bytes *b, uint32_t field, const char *text)
{
  put_bytes(b, field, text, strlen(text));
}

static void put_message(bytes *b, uint32_t field, const bytes *m)
{
  put_bytes(b, field, m->v, m->n);
}

/* ---- attributes ---- */

/* "name=value" as an AttributeProto. */
static void put_attribute(bytes *node, const char *item)
{
  enum { FLOAT = 1, INT = 2, STRING = 3, INTS = 7 };
  bytes a = {.n = 0};
  char text[200];
  ck_assert_int_lt((int)strlen(item), (int)sizeof text);
  memcpy(text, item, strlen(item) + 1);
  char *value = strchr(text, '=');
  ck_assert_ptr_nonnull(value);
  *value++ = 0;
  put_text(&a, 1, text);
  if (*value == '[') {
    for (char *p = value + 1; *p && *p != ']'; p += *p == ',')
      put_int(&a, 8, strtoll(p, &p, 10));
    put_int(&a, 20, INTS);
  } else if (strchr("-0123456789", *value) && strchr(value, '.')) {
    const float f = strtof(value, NULL);
    put_varint(&a, 2 << 3 | 5);
    put(&a, &f, sizeof f);
    put_int(&a, 20, FLOAT);
  } else if (strchr("-0123456789", *value)) {
    put_int(&a, 3, strtoll(value, NULL, 10));
    put_int(&a, 20, INT);
  } else {
    put_text(&a, 4, value);
    put_int(&a, 20, STRING);
  }
  put_message(node, 5, &a);
}

static void put_attributes(bytes *node, const char *list)
{
  char text[400];
  ck_assert_int_lt((int)strlen(list), (int)sizeof text);
  memcpy(text, list, strlen(list) + 1);
  for (char *p = text; *p;) {
    const size_t n = strcspn(p, " ");
    char *next = p + n + (p[n] == ' ');
    p[n] = 0;
    if (n)
      put_attribute(node, p);
    p = next;
  }
}

/* ---- tensors ---- */

static lrp_tensor tensor_of(const node_input *in)
{
  lrp_tensor t = {.dtype = in->dtype};
  char *end;
  for (const char *p = in->shape; *p && t.rank < LRP_MAX_RANK; p = end + (*end == ','))
    t.shape[t.rank++] = strtoll(p, &end, 10);
  const int64_t n = lrp_count(&t);
  t.data = calloc((size_t)n + 1, lrp_element(&t));
  ck_assert_ptr_nonnull(t.data);
  for (int64_t i = 0; i < n; i++) {
    const double v = in->value ? in->value[i] : (double)(i + 1);
    if (t.dtype == LRP_INDEX)
      lrp_indices(&t)[i] = v >= 9e18 ? INT64_MAX : v <= -9e18 ? INT64_MIN : (int64_t)v;
    else
      lrp_reals(&t)[i] = (lrp_real)v;
  }
  return t;
}

static int64_t type_of(int32_t dtype)
{
  enum { FLOAT = 1, INT64 = 7, DOUBLE = 11 };
  return dtype == LRP_INDEX ? INT64 : sizeof(lrp_real) == 4 ? FLOAT : DOUBLE;
}

static void put_constant(bytes *graph, const char *name, const lrp_tensor *t)
{
  bytes m = {.n = 0};
  for (int32_t i = 0; i < t->rank; i++)
    put_int(&m, 1, t->shape[i]);
  put_int(&m, 2, type_of(t->dtype));
  put_text(&m, 8, name);
  put_bytes(&m, 9, t->data, (size_t)lrp_count(t) * lrp_element(t));
  put_message(graph, 5, &m);
}

/* An input (field 11) with its shape, or an output (12) without. */
static void put_value(bytes *graph, uint32_t field, const char *name, const lrp_tensor *t)
{
  bytes info = {.n = 0}, type = {.n = 0}, tensor = {.n = 0}, shape = {.n = 0};
  put_text(&info, 1, name);
  put_int(&tensor, 1, type_of(t ? t->dtype : LRP_REAL));
  for (int32_t i = 0; t && i < t->rank; i++) {
    bytes dim = {.n = 0};
    put_int(&dim, 1, t->shape[i]);
    put_message(&shape, 1, &dim);
  }
  if (t)
    put_message(&tensor, 2, &shape);
  put_message(&type, 1, &tensor);
  put_message(&info, 2, &type);
  put_message(graph, field, &info);
}

/* ---- nodes ---- */

static const char *const in_name[NODE_IN] = {"x0", "x1", "x2", "x3", "x4", "x5"};
static const char *const out_name[NODE_OUT] = {"y0", "y1", "y2", "y3"};

static void put_helper(bytes *graph, const char *op, const char *from, const char *to, const char *attr)
{
  bytes node = {.n = 0};
  put_text(&node, 1, from);
  put_text(&node, 2, to);
  put_text(&node, 4, op);
  put_attributes(&node, attr);
  put_message(graph, 1, &node);
}

static void put_node(bytes *graph, const node_case *c)
{
  bytes node = {.n = 0};
  for (int32_t i = 0; c->in[i].shape; i++)
    put_text(&node, 1, c->in[i].kind == NODE_ABSENT ? "" : i == 0 && c->image ? "pooled" : in_name[i]);
  for (int32_t i = 0; i < (c->n_out ? c->n_out : 1); i++)
    put_text(&node, 2, i == 0 && c->to_real ? "raw" : out_name[i]);
  put_text(&node, 3, "node");
  put_text(&node, 4, c->op);
  put_attributes(&node, c->attr ? c->attr : "");
  put_message(graph, 1, &node);
}

/* A pool over one pixel: nothing changes but the order of axes inside the engine. */
static void put_pool(bytes *graph, const lrp_tensor *x)
{
  put_helper(graph, "MaxPool", in_name[0], "pooled",
             x->rank == 3   ? "kernel_shape=[1]"
             : x->rank == 4 ? "kernel_shape=[1,1]"
                            : "kernel_shape=[1,1,1]");
}

static void put_inputs(bytes *graph, node_run *r, const node_case *c)
{
  for (int32_t i = 0; c->in[i].shape; i++) {
    if (c->in[i].kind == NODE_ABSENT)
      continue;
    lrp_tensor t = tensor_of(&c->in[i]);
    if (c->image && i == 0)
      put_pool(graph, &t);
    if (c->in[i].kind == NODE_LIVE) {
      put_value(graph, 11, in_name[i], &t);
      r->tensor[r->input.n_tensor++] = t;
    } else {
      put_constant(graph, in_name[i], &t);
      free(t.data);
    }
  }
}

static void write_model(const char *path, node_run *r, const node_case *c)
{
  bytes *graph = calloc(1, sizeof *graph), *model = calloc(1, sizeof *model), opset = {.n = 0};
  ck_assert(graph && model);
  put_inputs(graph, r, c);
  put_node(graph, c);
  if (c->to_real)
    put_helper(graph, "Cast", "raw", out_name[0], sizeof(lrp_real) == 4 ? "to=1" : "to=11");
  put_text(graph, 2, "one node");
  for (int32_t i = 0; i < (c->n_out ? c->n_out : 1); i++)
    put_value(graph, 12, out_name[i], NULL);
  put_int(model, 1, 8);
  put_message(model, 7, graph);
  put_text(&opset, 1, "");
  put_int(&opset, 2, c->opset);
  put_message(model, 8, &opset);
  lrp_ck_ok(r->ctx, lrp_file_write(r->ctx, path, model->v, model->n));
  free(graph);
  free(model);
}

/* ---- running ---- */

lrp_status node_run_open(node_run *r, lrp_ctx *ctx, const node_case *c)
{
  const char *path = lrp_test_tmp("node.onnx");
  *r = (node_run){.ctx = ctx};
  write_model(path, r, c);
  r->input.tensor = r->tensor;
  lrp_status st = lrp_model_open(ctx, path, &r->model);
  if (!st)
    st = lrp_graph_build(ctx, r->model, &r->input, "none", &r->graph);
  return st ? st : lrp_graph_forward(ctx, r->graph, &r->input);
}

void node_run_close(node_run *r)
{
  lrp_graph_free(r->graph);
  if (r->model)
    lrp_model_close(r->model);
  for (int32_t i = 0; i < r->input.n_tensor; i++)
    free(r->tensor[i].data);
  *r = (node_run){.ctx = NULL};
}

const lrp_tensor *node_run_output(const node_run *r, int32_t i)
{
  return lrp_graph_output(r->graph, i);
}

const char *node_run_layer(const node_run *r)
{
  for (int64_t i = 0; i < lrp_graph_n_node(r->graph); i++)
    if (!strcmp(lrp_graph_node(r->graph, i).name, "node"))
      return lrp_graph_node(r->graph, i).layer->name;
  return "";
}

const lrp_tensor *node_run_relevance(node_run *r, double value)
{
  const lrp_relevance *result;
  lrp_tensor seed = *lrp_graph_scores(r->graph);
  const int64_t n = lrp_count(&seed);
  seed.data = calloc((size_t)n + 1, sizeof(lrp_real));
  ck_assert_ptr_nonnull(seed.data);
  for (int64_t i = 0; i < n; i++)
    lrp_reals(&seed)[i] = (lrp_real)value;
  lrp_ck_ok(r->ctx, lrp_graph_relprop(r->ctx, r->graph, &seed, NULL, &result));
  free(seed.data);
  return &result->tensor[0];
}
