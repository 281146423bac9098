/* attention.c - layer "attention" (ONNX Attention, opset 23): y = softmax(scale q k^T + mask) v
 * for each head, inputs with an axis of heads (B,H,T,D) or without (B,T,H*D); several heads of q
 * may share one of k and v.
 *
 * To rules it is what exporters wrote before: a product of probabilities and v, a softmax, the
 * sum with a mask of real numbers, a product of q and k.  Each of these sites gets the rule of
 * the layer; the constant scale and masks of truth values pass relevance as it is.  So epsilon
 * makes AttnLRP (Achtibat et al. 2024, Prop. 3.1 and 3.3), and with freeze=probs, which takes
 * the probabilities as constants, CP-LRP (Ali et al. 2022): all to v, nothing to q and k. */
#include "attention_sites.h"
#include <stdlib.h>

enum { Q, K, V, MASK, PAST };
enum { SCALE, CAUSAL, Q_HEADS, KV_HEADS };
typedef struct attention {
  double scale;
  int causal;
  int64_t q_heads, kv_heads;
} attention;
typedef struct
    dims { /* g heads of q to each of h heads of k and v; s queries, t keys; d wide, y e wide */
  int64_t b, h, g, s, t, d, e;
} dims;

static const lrp_arg args[] = {
    {.name = "scale",
     .type = LRP_ARG_REAL,
     .min = 0,
     .max = 1e30,
     .doc = "of the scores; 0: 1 / sqrt(D), ONNX's default"},
    {.name = "causal", .type = LRP_ARG_BOOL, .doc = "query i sees keys 0..i only"},
    {.name = "q_heads",
     .type = LRP_ARG_INT,
     .max = 65536,
     .doc = "heads of q where it has no axis of heads; 0: it has one"},
    {.name = "kv_heads",
     .type = LRP_ARG_INT,
     .max = 65536,
     .doc = "heads of k and v where they have no axis of heads"},
    LRP_ARGS_END};
static const lrp_port ins[] = {
    {.name = "q", .role = LRP_PORT_DATA},
    {.name = "k", .role = LRP_PORT_DATA},
    {.name = "v", .role = LRP_PORT_DATA},
    {.name = "mask", .role = LRP_PORT_SIDE, .dtype = LRP_ANY_DTYPE, .flags = LRP_PORT_OPTIONAL},
    {.name = "past_key", .role = LRP_PORT_SIDE, .flags = LRP_PORT_OPTIONAL},
    {.name = "past_value", .role = LRP_PORT_SIDE, .flags = LRP_PORT_OPTIONAL},
    {.name = "nonpad_kv_seqlen",
     .role = LRP_PORT_SIDE,
     .dtype = LRP_INDEX,
     .flags = LRP_PORT_OPTIONAL},
    LRP_PORTS_END};
static const char *const freezable[] = {"probs", NULL};

static lrp_status create(const lrp_host *h, lrp_ctx *ctx, const lrp_value *a, void **inst)
{
  attention *m = malloc(sizeof *m);
  if (!m) return h->fail(ctx, LRP_E_NOMEM, "attention: no memory for an instance");
  *m = (attention){a[SCALE].real, a[CAUSAL].i != 0, a[Q_HEADS].i, a[KV_HEADS].i};
  *inst = m;
  return LRP_OK;
}

/* ---- shapes ---- */

/* Heads, rows and width of an input; heads 0: it does not divide. */
static void part_of(const lrp_tensor *x, int64_t heads, int64_t *h, int64_t *rows, int64_t *width)
{
  const int flat = x->rank == 3;
  *h = flat ? (heads > 0 && x->shape[2] % heads == 0 ? heads : 0) : x->shape[1];
  *rows = x->shape[flat ? 1 : 2];
  *width = flat ? (*h ? x->shape[2] / *h : 0) : x->shape[3];
}

static dims dims_of(const attention *m, const lrp_call *call)
{
  const lrp_tensor *in = call->in;
  dims n = {.b = in[Q].shape[0]};
  int64_t heads, same;
  part_of(&in[Q], m->q_heads, &heads, &n.s, &n.d);
  part_of(&in[K], m->kv_heads, &n.h, &n.t, &same);
  part_of(&in[V], m->kv_heads, &n.h, &same, &n.e);
  n.g = n.h ? heads / n.h : 0;
  return n;
}

static lrp_status check_part(const lrp_host *h, lrp_ctx *ctx, const attention *m,
                             const lrp_call *call, int i)
{
  const lrp_tensor *x = &call->in[i];
  int64_t heads, rows, width;
  const lrp_status st = need_reals(h, ctx, "attention", x);
  if (st) return st;
  if ((x->rank != 3 && x->rank != 4) || x->shape[0] != call->in[Q].shape[0])
    return h->fail(
        ctx, LRP_E_SHAPE,
        "attention: %s must have shape (B,H,T,D) or (B,T,H*D), with as many samples as q",
        ins[i].name);
  part_of(x, i == Q ? m->q_heads : m->kv_heads, &heads, &rows, &width);
  if (!heads)
    return h->fail(ctx, LRP_E_SHAPE,
                   "attention: %s has no axis of heads; %s must be a number that divides its width",
                   ins[i].name, i == Q ? "q_heads" : "kv_heads");
  return LRP_OK;
}

static lrp_status check_mask(const lrp_host *h, lrp_ctx *ctx, const dims *n, const lrp_tensor *mask)
{
  const int64_t want[] = {n->t, n->s, n->h * n->g, n->b};
  for (int32_t i = 0; i < 4 || i < mask->rank; i++)
    if (from_end(mask, i) != 1 && (i >= 4 || from_end(mask, i) != want[i]))
      return h->fail(
          ctx, LRP_E_SHAPE,
          "attention: mask must broadcast to (%lld,%lld,%lld,%lld), samples, heads, queries, keys",
          (long long)want[3], (long long)want[2], (long long)want[1], (long long)want[0]);
  return LRP_OK;
}

static int given(const lrp_call *call, uint32_t i)
{
  return i < call->n_in && (call->in[i].rank || call->in[i].data);
}

static lrp_status infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const attention *m = inst;
  lrp_status st = LRP_OK;
  for (int i = Q; !st && i <= V; i++)
    st = check_part(h, ctx, m, call, i);
  for (uint32_t i = PAST; !st && i < call->n_in; i++)
    if (given(call, i))
      st = h->fail(ctx, LRP_E_UNSUPPORTED,
                   "attention: %s is not supported; export the model without its cache",
                   ins[i].name);
  if (st) return st;
  const dims n = dims_of(m, call);
  int64_t kv, rows, width, heads;
  part_of(&call->in[Q], m->q_heads, &heads, &rows, &width);
  part_of(&call->in[K], m->kv_heads, &kv, &rows, &width);
  if (kv != n.h || width != n.d || heads % n.h)
    return h->fail(ctx, LRP_E_SHAPE,
                   "attention: q has %lld heads %lld wide, k %lld heads %lld wide, v %lld heads; "
                   "widths of q and k and numbers of "
                   "heads of k and v must agree, and divide those of q",
                   (long long)heads, (long long)n.d, (long long)kv, (long long)width,
                   (long long)n.h);
  part_of(&call->in[V], m->kv_heads, &kv, &rows, &width);
  if (rows != n.t)
    return h->fail(ctx, LRP_E_SHAPE,
                   "attention: k has %lld rows, v %lld; equal numbers were expected",
                   (long long)n.t, (long long)rows);
  if (given(call, MASK)) st = check_mask(h, ctx, &n, &call->in[MASK]);
  if (n.e > INT64_MAX / heads)
    return h->fail(ctx, LRP_E_NOMEM, "attention: the output is too large");
  const int64_t flat[] = {n.b, n.s, heads * n.e}, split[] = {n.b, heads, n.s, n.e},
                probs[] = {n.b, heads, n.s, n.t};
  tensor_describe(&call->out[0], LRP_REAL, call->in[Q].rank, call->in[Q].rank == 3 ? flat : split);
  tensor_describe(&call->saved[0], LRP_REAL, 4, probs);
  call->saved[0].flags = LRP_NONNEG;
  return st;
}

/* ---- heads: (B,T,H*D) and (B,H,T,D) ---- */

static void move_heads(const lrp_real *from, int64_t b, int64_t h, int64_t t, int64_t d,
                       int to_split, lrp_real *to)
{
  for (int64_t i = 0; i < b; i++)
    for (int64_t j = 0; j < h; j++)
      for (int64_t k = 0; k < t; k++) {
        const int64_t split = ((i * h + j) * t + k) * d, flat = ((i * t + k) * h + j) * d;
        memcpy(to + (to_split ? split : flat), from + (to_split ? flat : split),
               (size_t)d * sizeof *to);
      }
}

/* x as (B,H,G,T,D); G 1 for keys and values.  fill 0: room only. */
static lrp_status split(const lrp_host *h, lrp_ctx *ctx, const lrp_tensor *x, const dims *n,
                        int64_t g, int64_t t, int64_t d, int fill, lrp_tensor *out)
{
  const int64_t shape[] = {n->b, n->h, g, t, d};
  *out = *x;
  out->host = NULL;
  tensor_describe(out, LRP_REAL, 5, shape);
  if (x->rank == 4 && x->data) return LRP_OK;
  const lrp_tensor like = *out;
  const lrp_status st = h->scratch(ctx, &like, out);
  if (!st && fill && x->data) move_heads(lrp_reals(x), n->b, n->h * g, t, d, 1, lrp_reals(out));
  return st;
}

static void join(const lrp_tensor *split5, const dims *n, const lrp_tensor *x)
{
  if (x->rank == 3)
    move_heads(lrp_reals(split5), n->b, n->h * split5->shape[2], split5->shape[3], split5->shape[4],
               0, lrp_reals(x));
}

/* ---- forward ---- */

static double scale_of(const attention *m, const dims *n)
{
  return m->scale > 0 ? m->scale : n->d ? 1 / sqrt((double)n->d) : 1;
}

static int has_summand(const lrp_call *call)
{
  return given(call, MASK) && call->in[MASK].dtype == LRP_REAL;
}

/* One row of the mask as real numbers: 0 or what is added, -inf where nothing may be seen. */
static void mask_row(const attention *m, const dims *n, const lrp_call *call, int64_t row, lrp_real *to)
{
  const lrp_tensor *mask = given(call, MASK) && call->in[MASK].data ? &call->in[MASK] : NULL;
  const int64_t query = row % n->s, heads = n->h * n->g, at[] = {query, row / n->s % heads, row / n->s / heads};
  int64_t first = 0, size = mask ? from_end(mask, 0) : 1;
  const int64_t step = size != 1;
  for (int32_t i = 0; mask && i < 3; i++) { /* queries, heads, samples */
    first += from_end(mask, i + 1) == 1 ? 0 : at[i] * size;
    size *= from_end(mask, i + 1);
  }
  const int real = mask && mask->dtype == LRP_REAL;
  for (int64_t t = 0; t < n->t; t++) {
    const int64_t k = first + t * step;
    to[t] = !mask ? 0 : real ? lrp_reals(mask)[k] : lrp_indices(mask)[k] ? 0 : (lrp_real)-INFINITY;
  }
  for (int64_t t = query + 1; m->causal && t < n->t; t++)
    to[t] = (lrp_real)-INFINITY;
}

LRP_LOOP void scale_row_any(const lrp_real *x, lrp_real scale, int64_t n, lrp_real *y)
{
#pragma omp simd
  for (int64_t i = 0; i < n; i++)
    y[i] = scale * x[i];
}
LRP_TWICE(void, scale_row, (const lrp_real *x, lrp_real scale, int64_t n, lrp_real *y), (x, scale, n, y))

/* What the walk and forward need: all as (B,H,G,...). */
typedef struct parts {
  dims n;
  lrp_tensor q, k, v, scores, sum; /* scores q k^T; scaled, with the mask added */
  lrp_tensor scaled, mask;         /* room for both only where the mask is a summand */
} parts;

/* sum = scale scores + mask; it may take the place of the scores. */
static lrp_status add_mask(const lrp_host *h, lrp_ctx *ctx, const attention *m, const lrp_call *call, const parts *p)
{
  const dims *n = &p->n;
  const lrp_real scale = (lrp_real)scale_of(m, n);
  const int64_t rows = n->b * n->h * n->g * n->s;
  const int masks = m->causal || given(call, MASK), parallel = rows * n->t > PARALLEL_MIN;
  lrp_tensor own = {.dtype = LRP_REAL, .rank = 2, .shape = {rows, n->t}};
  const lrp_tensor like = own;
  const lrp_status st = masks && !p->mask.data ? h->scratch(ctx, &like, &own) : LRP_OK;
  if (st) return st;
  lrp_real *mask = p->mask.data ? lrp_reals(&p->mask) : lrp_reals(&own);
#pragma omp parallel for if (parallel)
  for (int64_t r = 0; r < rows; r++) {
    const int64_t at = r * n->t;
    lrp_real *sum = lrp_reals(&p->sum) + at;
    scale_row(lrp_reals(&p->scores) + at, scale, n->t, sum);
    if (p->scaled.data) memcpy(lrp_reals(&p->scaled) + at, sum, (size_t)n->t * sizeof *sum);
    if (!masks) continue;
    mask_row(m, n, call, r, mask + at);
    for (int64_t t = 0; t < n->t; t++)
      sum[t] += mask[at + t];
  }
  return LRP_OK;
}

static lrp_tensor probs_of(const lrp_call *call, const dims *n)
{
  const int64_t shape[] = {n->b, n->h, n->g, n->s, n->t};
  lrp_tensor p = call->saved[0];
  tensor_describe(&p, LRP_REAL, 5, shape);
  p.flags = LRP_NONNEG;
  p.host = NULL;
  return p;
}

/* in_place: the sum where the probabilities will be, nothing else is kept. */
static lrp_status scores_of(const lrp_host *h, lrp_ctx *ctx, const attention *m,
                            const lrp_call *call, int in_place, parts *p)
{
  const dims *n = &p->n;
  lrp_tensor like = probs_of(call, n);
  like.flags = 0;
  lrp_status st = split(h, ctx, &call->in[Q], n, n->g, n->s, n->d, 1, &p->q);
  if (!st) st = split(h, ctx, &call->in[K], n, 1, n->t, n->d, 1, &p->k);
  lrp_tensor *room[] = {&p->scores, &p->sum, &p->scaled, &p->mask};
  for (int i = 0; !st && !in_place && i < (has_summand(call) ? 4 : 2); i++)
    st = h->scratch(ctx, &like, room[i]);
  if (in_place) p->scores = p->sum = like;
  if (!st) st = h->matmul(ctx, &p->q, 0, &p->k, 1, NULL, &p->scores);
  return st ? st : add_mask(h, ctx, m, call, p);
}

static lrp_status forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const attention *m = inst;
  parts p = {.n = dims_of(m, call)};
  const dims *n = &p.n;
  const lrp_tensor probs = probs_of(call, n);
  lrp_tensor y;
  if (!lrp_count(&probs)) { /* nothing to look at */
    tensor_zero(&call->out[0]);
    return LRP_OK;
  }
  lrp_status st = call->freeze & 1 ? LRP_OK : scores_of(h, ctx, m, call, 1, &p);
  if (!st && !(call->freeze & 1))
    softmax_rows(lrp_reals(&probs), n->b * n->h * n->g * n->s, n->t, lrp_reals(&probs));
  if (!st) st = split(h, ctx, &call->in[V], n, 1, n->t, n->e, 1, &p.v);
  if (!st) st = split(h, ctx, &call->out[0], n, n->g, n->s, n->e, 0, &y);
  if (!st) st = h->matmul(ctx, &probs, 0, &p.v, 0, NULL, &y);
  if (!st) join(&y, n, &call->out[0]);
  return st;
}

/* ---- the way back: the gradient, or relevance by the rule of the walk ---- */

typedef struct back {
  const lrp_host *h;
  lrp_ctx *ctx;
  const lrp_site *site; /* NULL: the gradient */
} back;

static lrp_status inner_back(const back *w, const lrp_layer_type *type, const int *inst,
                             lrp_call call, uint32_t degree, const lrp_tensor *above,
                             lrp_tensor *below)
{
  call.struct_size = sizeof call;
  call.n_out = 1;
  const lrp_site site = {.struct_size = sizeof site,
                         .degree = degree,
                         .type = type,
                         .inst = inst,
                         .call = &call,
                         .r_out = above,
                         .r_in = below};
  if (!w->site) return type->vjp(w->h, w->ctx, inst, &call, above, below);
  return w->h->relprop(w->ctx, w->site->rule, w->site->rule_args, &site);
}

/* probs, v -> y */
static lrp_status values_back(const back *w, const lrp_call *call, parts *p,
                              const lrp_tensor *out_bar, lrp_tensor *v_bar, lrp_tensor *probs_bar)
{
  const dims *n = &p->n;
  lrp_tensor probs = probs_of(call, n), y, above, below[2] = {{0}};
  const uint32_t freeze = call->freeze & 1;
  lrp_status st = split(w->h, w->ctx, &call->in[V], n, 1, n->t, n->e, 1, &p->v);
  if (!st) st = split(w->h, w->ctx, &call->out[0], n, n->g, n->s, n->e, 1, &y);
  if (!st) st = split(w->h, w->ctx, out_bar, n, n->g, n->s, n->e, 1, &above);
  below[0] = probs;
  below[0].flags = 0;
  below[0].data = NULL;
  below[1] = p->v;
  below[1].data = NULL;
  if (!st && probs_bar) {
    st = w->h->scratch(w->ctx, &below[0], probs_bar);
    below[0] = *probs_bar;
  }
  if (!st && v_bar->data) st = split(w->h, w->ctx, v_bar, n, 1, n->t, n->e, 0, &below[1]);
  if (st) return st;
  lrp_tensor in[2] = {probs, p->v};
  const lrp_call inner = {
      .freeze = freeze, .n_in = 2, .n_saved = freeze, .in = in, .out = &y, .saved = &probs};
  st = inner_back(w, &product_type, &AS_IT_IS, inner, 2 - freeze, &above, below);
  if (!st && v_bar->data) join(&below[1], n, v_bar);
  return st;
}

/* scores + mask -> probs; only masks of real numbers are a summand, others hide. */
static lrp_status probs_back(const back *w, const lrp_call *call, parts *p, lrp_tensor *bar)
{
  lrp_tensor probs = probs_of(call, &p->n), saved = probs, below[2] = {{0}};
  lrp_status st = w->h->scratch(w->ctx, &p->sum, &below[0]);
  if (st) return st;
  lrp_tensor in[2] = {p->sum, {0}};
  const lrp_call softmax = {.n_in = 1, .n_saved = 1, .in = in, .out = &probs, .saved = &saved};
  st = inner_back(w, &softmax_type, NULL, softmax, 0, bar, below);
  *bar = below[0];
  if (st || !has_summand(call)) return st;
  st = w->h->scratch(w->ctx, &p->sum, &below[0]);
  in[0] = p->scaled;
  in[1] = p->mask;
  below[1] = p->mask;
  below[1].data = NULL;
  const lrp_call sum = {.n_in = 2, .in = in, .out = &p->sum};
  if (!st) st = inner_back(w, &sum_type, NULL, sum, 1, bar, below);
  *bar = below[0];
  return st;
}

/* q, k -> scores */
static lrp_status scores_back(const back *w, parts *p, const lrp_tensor *bar, lrp_tensor *q_bar,
                              lrp_tensor *k_bar)
{
  const dims *n = &p->n;
  lrp_tensor in[2] = {p->q, p->k}, below[2] = {p->q, p->k};
  below[0].data = below[1].data = NULL;
  lrp_status st =
      q_bar->data ? split(w->h, w->ctx, q_bar, n, n->g, n->s, n->d, 0, &below[0]) : LRP_OK;
  if (!st && k_bar->data) st = split(w->h, w->ctx, k_bar, n, 1, n->t, n->d, 0, &below[1]);
  const lrp_call inner = {.n_in = 2, .in = in, .out = &p->scores};
  if (!st) st = inner_back(w, &product_type, &TRANSPOSED, inner, 2, bar, below);
  if (!st && q_bar->data) join(&below[0], n, q_bar);
  if (!st && k_bar->data) join(&below[1], n, k_bar);
  return st;
}

static lrp_status walk(const back *w, const attention *m, const lrp_call *call,
                       const lrp_tensor *out_bar, lrp_tensor *in_bar)
{
  parts p = {.n = dims_of(m, call)};
  const int more = (in_bar[Q].data || in_bar[K].data) && !(call->freeze & 1);
  lrp_tensor bar = {0};
  if (!out_bar[0].data || !lrp_count(&call->saved[0])) return LRP_OK;
  lrp_status st = values_back(w, call, &p, out_bar, &in_bar[V], more ? &bar : NULL);
  if (st || !more) return st;
  st = scores_of(w->h, w->ctx, m, call, 0, &p);
  if (!st) st = probs_back(w, call, &p, &bar);
  if (!st && !w->site)
    scale_row(lrp_reals(&bar), (lrp_real)scale_of(m, &p.n), lrp_count(&bar), lrp_reals(&bar));
  return st ? st : scores_back(w, &p, &bar, &in_bar[Q], &in_bar[K]);
}

static lrp_status vjp(const lrp_host *h, lrp_ctx *ctx, const void *inst, const lrp_call *call,
                      const lrp_tensor *out_bar, lrp_tensor *in_bar)
{
  const back w = {h, ctx, NULL};
  return walk(&w, inst, call, out_bar, in_bar);
}

static lrp_status relprop(const lrp_host *h, lrp_ctx *ctx, const lrp_site *site)
{
  const back w = {h, ctx, site};
  return walk(&w, site->inst, site->call, site->r_out, site->r_in);
}

static uint32_t degree(const void *inst, uint32_t freeze)
{
  (void)inst;
  return freeze & 1;
}

/* A query looks at all keys; causal ones know which they are. */
static int32_t row_axes(const void *inst, const lrp_call *call, int32_t axis, uint32_t i)
{
  const attention *m = inst;
  if (m->causal || axis + 2 != call->out[0].rank) return LRP_ROWS_MIXED;
  if (i == Q) return axis;
  if (i == MASK && given(call, MASK) && from_end(&call->in[MASK], 1) != 1) return call->in[MASK].rank - 2;
  return i == call->n_in ? 2 : LRP_ROWS_ALL; /* probabilities (B,H,S,T) */
}

/* ---- the operator ---- */

static lrp_status read_node(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)
{
  static const char *const window[] = {"left_window_size", "right_window_size", NULL};
  if (h->node_real(node, "softcap", 0) != 0)
    return h->fail(ctx, LRP_E_UNSUPPORTED, "softcap=%g is not supported",
                   h->node_real(node, "softcap", 0));
  for (int i = 0; window[i]; i++)
    if (h->node_int(node, window[i], -1) >= 0)
      return h->fail(ctx, LRP_E_UNSUPPORTED, "%s=%lld is not supported: all keys must be in reach",
                     window[i], (long long)h->node_int(node, window[i], -1));
  if (h->node_n_out(node) > 1)
    return h->fail(ctx, LRP_E_UNSUPPORTED,
                   "outputs present_key, present_value and qk_matmul_output are not supported; "
                   "export the model without them");
  a[SCALE].real = h->node_real(node, "scale", 0);
  a[CAUSAL].i = h->node_int(node, "is_causal", 0) != 0;
  a[Q_HEADS].i = h->node_int(node, "q_num_heads", 0);
  a[KV_HEADS].i = h->node_int(node, "kv_num_heads", 0);
  return LRP_OK;
}

static const lrp_operator operators[] = {
    {.domain = "",
     .name = "Attention",
     .since = 23,
     .inputs = "q k v mask past_key past_value nonpad_kv_seqlen",
     .args = read_node},
    {0}};
static const lrp_layer_type attention_type = {.struct_size = sizeof attention_type,
                                              .kind = LRP_KIND_BILINEAR,
                                              .layout = LRP_LAYOUT_MODEL,
                                              .n_saved = 1,
                                              .name = "attention",
                                              .doc =
                                                  "y = softmax(scale q k^T + mask) v for each head",
                                              .args = args,
                                              .in = ins,
                                              .out = outs,
                                              .freezable = freezable,
                                              .operators = operators,
                                              .create = create,
                                              .destroy = free,
                                              .infer = infer,
                                              .forward = forward,
                                              .vjp = vjp,
                                              .degree = degree,
                                              .relprop = relprop,
                                              .rows = row_axes};
static const lrp_layer_type *const layers[] = {&attention_type, NULL};
LRP_PLUGIN(layer_attention, "attention", "1.0", "MIT", "attention as one operator", layers, NULL,
           NULL);
