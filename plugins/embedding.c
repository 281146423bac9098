/* embedding.c - layer "embedding": y (ids...,D) = a table[ids], table (V,D) (ONNX Gather with a
 * constant table). The carrier a, ones in the shape of the ids, is what relevance flows to: R_t =
 * sum over d of R_td.
 *
 * "embedding_quantized" is the same with a table of integers that stand for (table - zero) scale:
 *
 *     ids -> Gather -> q -> DequantizeLinear -> y    =>    ids -> [embedding_quantized] -> y */
#include "layer.h"
#include <stdio.h>

enum { IDS, CARRIER };
enum { TABLE, SCALE, ZERO };
static const lrp_port ins[] = {
    {.name = "ids", .role = LRP_PORT_SIDE, .dtype = LRP_INDEX},
    {.name = "carrier", .role = LRP_PORT_CARRIER, .flags = LRP_PORT_OPTIONAL},
    LRP_PORTS_END};
static const lrp_port params[] = {{.name = "table", .role = LRP_PORT_WEIGHT}, LRP_PORTS_END};
static const lrp_port quantized_params[] = {
    {.name = "table", .role = LRP_PORT_BUFFER, .dtype = LRP_INDEX},
    {.name = "scale", .role = LRP_PORT_BUFFER},
    {.name = "zero", .role = LRP_PORT_BUFFER, .dtype = LRP_INDEX, .flags = LRP_PORT_OPTIONAL},
    LRP_PORTS_END};
static const lrp_port outs[] = {{.name = "y", .role = LRP_PORT_DATA}, LRP_PORTS_END};

static lrp_status infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const lrp_tensor *ids = &call->in[IDS], *table = &call->param[0];
  (void)inst;
  if (ids->dtype != LRP_INDEX)
    return h->fail(ctx, LRP_E_UNSUPPORTED,
                   "embedding: the ids are real numbers, integers were expected");
  if (table->rank != 2)
    return h->fail(ctx, LRP_E_UNSUPPORTED,
                   "embedding: the table has rank %d, a matrix was expected", table->rank);
  if (ids->rank + 1 > LRP_MAX_RANK)
    return h->fail(ctx, LRP_E_SHAPE, "embedding: the ids have rank %d, at most %d is possible",
                   ids->rank, LRP_MAX_RANK - 1);
  if (call->n_in > CARRIER && call->in[CARRIER].rank != ids->rank)
    return h->fail(
        ctx, LRP_E_SHAPE,
        "embedding: the carrier has rank %d, the ids have rank %d; equal shapes were expected",
        call->in[CARRIER].rank, ids->rank);
  for (int32_t i = 0; call->n_in > CARRIER && i < ids->rank; i++)
    if (call->in[CARRIER].shape[i] != ids->shape[i])
      return h->fail(ctx, LRP_E_SHAPE,
                     "embedding: axis %d of the carrier has %lld elements, of the ids %lld", i,
                     (long long)call->in[CARRIER].shape[i], (long long)ids->shape[i]);
  tensor_describe(&call->out[0], LRP_REAL, ids->rank, ids->shape);
  call->out[0].shape[call->out[0].rank++] = table->shape[1];
  return LRP_OK;
}

/* The sentence for id number t, with its place in the shape of the ids. */
static lrp_status refuse_id(const lrp_host *h, lrp_ctx *ctx, const lrp_tensor *ids, int64_t t,
                            int64_t rows)
{
  char place[LRP_MAX_RANK * 24] = "";
  int64_t below = lrp_count(ids);
  size_t n = 0;
  for (int32_t i = 0; i < ids->rank; i++) {
    below /= ids->shape[i];
    const int wrote = snprintf(place + n, sizeof place - n, i ? ",%lld" : "%lld",
                               (long long)(t / below % ids->shape[i]));
    n += wrote > 0 ? (size_t)wrote : 0;
  }
  return h->fail(ctx, LRP_E_INPUT,
                 "embedding: id %lld at position (%s) is outside the table, whose ids go from 0 to "
                 "%lld; does the tokenizer "
                 "belong to this model?",
                 (long long)lrp_indices(ids)[t], place, (long long)rows - 1);
}

/* The numbers of a row of the table; integers are turned into reals in room (D). */
static const lrp_real *row_at(const lrp_call *call, int64_t row, lrp_real *room)
{
  const lrp_tensor *table = &call->param[TABLE], *zero = param_of(call, ZERO);
  const int64_t d = table->shape[1];
  if (table->dtype == LRP_REAL) return lrp_reals(table) + row * d;
  const int64_t *v = lrp_indices(table) + row * d, z = zero ? lrp_indices(zero)[0] : 0;
  const lrp_real scale = lrp_reals(&call->param[SCALE])[0];
  for (int64_t j = 0; j < d; j++)
    room[j] = (lrp_real)(v[j] - z) * scale;
  return room;
}

/* Row of id number t, or -1.  Negative ids count from the end, as in ONNX. */
static int64_t row_of(const lrp_tensor *ids, int64_t t, int64_t rows)
{
  const int64_t id = lrp_indices(ids)[t];
  return id >= rows || id < -rows ? -1 : id < 0 ? id + rows : id;
}

static lrp_status forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const lrp_tensor *ids = &call->in[IDS], *table = param_of(call, 0);
  const lrp_real *a = call->n_in > CARRIER ? lrp_reals(&call->in[CARRIER]) : NULL;
  const int64_t rows = call->param[0].shape[0], d = call->param[0].shape[1], n = lrp_count(ids);
  (void)inst;
  for (int64_t t = 0; t < n; t++)
    if (row_of(ids, t, rows) < 0) return refuse_id(h, ctx, ids, t, rows);
  if (!table) {
    tensor_zero(&call->out[0]);
    return LRP_OK;
  }
  LRP_THREADS(n * d > PARALLEL_MIN,
  for (int64_t t = 0; t < n; t++) {
    lrp_real *y = lrp_reals(&call->out[0]) + t * d;
    const lrp_real *row = row_at(call, row_of(ids, t, rows), y);
    if (a)
      for (int64_t j = 0; j < d; j++)
        y[j] = a[t] * row[j];
    else if (row != y)
      memcpy(y, row, (size_t)d * sizeof *y);
  });
  return LRP_OK;
}

/* a_bar_t = sum over d of E[id_t,d] y_bar_td. */
static lrp_status vjp(const lrp_host *h, lrp_ctx *ctx, const void *inst, const lrp_call *call,
                      const lrp_tensor *out_bar, lrp_tensor *in_bar)
{
  const lrp_tensor *ids = &call->in[IDS], *table = param_of(call, 0);
  const int64_t rows = call->param[0].shape[0], d = call->param[0].shape[1], n = lrp_count(ids);
  const lrp_tensor like = {.dtype = LRP_REAL, .rank = 1, .shape = {d}};
  lrp_tensor room;
  (void)inst;
  if (call->n_in <= CARRIER || !in_bar[CARRIER].data || !out_bar[0].data || !table) return LRP_OK;
  const lrp_status st = h->scratch(ctx, &like, &room);
  if (st) return st;
  for (int64_t t = 0; t < n; t++) {
    const int64_t at = row_of(ids, t, rows);
    if (at < 0) return refuse_id(h, ctx, ids, t, rows);
    const lrp_real *row = row_at(call, at, lrp_reals(&room)), *y_bar = lrp_reals(&out_bar[0]) + t * d;
    double sum = 0;
    for (int64_t j = 0; j < d; j++)
      sum += (double)row[j] * (double)y_bar[j];
    lrp_reals(&in_bar[CARRIER])[t] = (lrp_real)sum;
  }
  return LRP_OK;
}

static lrp_status route(const lrp_host *h, lrp_ctx *ctx, const lrp_site *site)
{
  const int64_t d = site->call->param[0].shape[1], n = lrp_count(&site->call->in[IDS]);
  (void)h, (void)ctx;
  if (site->call->n_in <= CARRIER || !site->r_in[CARRIER].data || !site->r_out[0].data)
    return LRP_OK;
  for (int64_t t = 0; t < n; t++) {
    const lrp_real *r = lrp_reals(&site->r_out[0]) + t * d;
    double sum = 0;
    for (int64_t j = 0; j < d; j++)
      sum += (double)r[j];
    lrp_reals(&site->r_in[CARRIER])[t] = (lrp_real)sum;
  }
  return LRP_OK;
}

static lrp_status gather_args(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)
{
  const lrp_tensor *table = h->node_const(ctx, node, 0);
  const int64_t axis = h->node_int(node, "axis", 0);
  (void)a;
  if (!table || table->rank != 2 || table->dtype != LRP_REAL || (axis != 0 && axis != -2))
    return h->fail(ctx, LRP_E_UNSUPPORTED,
                   "embedding: takes Gather of rows of a constant matrix of real numbers only");
  return LRP_OK;
}

static const lrp_operator operators[] = {
    {.domain = "", .name = "Gather", .since = 1, .inputs = "table ids", .args = gather_args}, {0}};
static const lrp_layer_type embedding_type = {
    .struct_size = sizeof embedding_type,
    .kind = LRP_KIND_RESHAPE,
    .layout = LRP_LAYOUT_MODEL,
    .name = "embedding",
    .doc = "y (ids...,D) = carrier (ids...) table (V,D) [ids]",
    .in = ins,
    .param = params,
    .out = outs,
    .operators = operators,
    .infer = infer,
    .forward = forward,
    .vjp = vjp,
    .route = route};

static lrp_status quantized_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const lrp_tensor *zero = param_of(call, ZERO);
  if (lrp_count(&call->param[SCALE]) != 1 || (zero && lrp_count(zero) != 1))
    return h->fail(ctx, LRP_E_UNSUPPORTED, "embedding_quantized: takes one scale and one zero point for the whole table");
  return infer(h, ctx, inst, call);
}

/* Node 1 is the Gather. */
static lrp_status quantized_args(const lrp_host *h, lrp_ctx *ctx, const lrp_node *const *nodes, lrp_value *a)
{
  const int64_t axis = h->node_int(nodes[1], "axis", 0);
  (void)a;
  return axis == 0 || axis == -2
             ? LRP_OK
             : h->fail(ctx, LRP_E_UNSUPPORTED, "embedding_quantized: takes Gather of rows only");
}

static const lrp_pattern quantized_patterns[] = {
    {.form = "DequantizeLinear(Gather(table, ids), scale, zero)", .args = quantized_args},
    {.form = "DequantizeLinear(Gather(table, ids), scale)", .args = quantized_args},
    {0}};
static const lrp_layer_type quantized_type = {
    .struct_size = sizeof quantized_type,
    .kind = LRP_KIND_RESHAPE,
    .layout = LRP_LAYOUT_MODEL,
    .name = "embedding_quantized",
    .doc = "y (ids...,D) = carrier (ids...) ((table (V,D) - zero) scale) [ids], table of integers",
    .in = ins,
    .param = quantized_params,
    .out = outs,
    .patterns = quantized_patterns,
    .infer = quantized_infer,
    .forward = forward,
    .vjp = vjp,
    .route = route};
static const lrp_layer_type *const layers[] = {&embedding_type, &quantized_type, NULL};
LRP_PLUGIN(layer_embedding, "embedding", "1.0", "MIT", "rows of a table, with relevance to the ids",
           layers, NULL, NULL);
