/* einsum.c - layers "einsum", a contraction of two live operands, "einsum_dense", of one with a constant, and "einsum_sum",
 * of a single one: its axes in another order, some summed over.
 *
 * Labels fall in four groups: batch (in a, b and y), rows (a and y), columns (b and y), inner (a and b); labels of one
 * operand alone are summed first.  Both operands are laid out as (batch,rows,inner) and (batch,inner,columns), multiplied
 * as matrices, and the result is laid out as y.  Going back, the other operand takes the place of y. */
#include "rearrange.h"
#include <stdlib.h>

enum { A, B, Y, N_TERM };
enum { MOST_LABELS = 2 * LRP_MAX_RANK };
typedef struct einsum {
  lrp_value term[N_TERM]; /* labels of a, b, y */
} einsum;

#define LABELS(NAME, WHAT)                                                                         \
  {                                                                                                \
    .name = NAME, .type = LRP_ARG_INTS, .min = 0, .max = 255, .doc = "labels of the axes of " WHAT \
  }
static const lrp_arg args[] = {LABELS("a", "the first operand"), LABELS("b", "the second operand"),
                               LABELS("y", "the result"), LRP_ARGS_END};
static const lrp_port pair[] = {
    {.name = "a", .role = LRP_PORT_DATA}, {.name = "b", .role = LRP_PORT_DATA}, LRP_PORTS_END};
static const lrp_port single[] = {{.name = "a", .role = LRP_PORT_DATA}, LRP_PORTS_END};
static const lrp_port weights[] = {{.name = "weight", .role = LRP_PORT_WEIGHT}, LRP_PORTS_END};
static const lrp_port outs[] = {{.name = "y", .role = LRP_PORT_DATA}, LRP_PORTS_END};
static const char *const freezable[] = {"a", "b", NULL};

static lrp_status create(const lrp_host *h, lrp_ctx *ctx, const lrp_value *a, void **inst)
{
  einsum *e = malloc(sizeof *e);
  if (!e) return h->fail(ctx, LRP_E_NOMEM, "einsum: no memory for an instance");
  *e = (einsum){{a[A], a[B], a[Y]}};
  *inst = e;
  return LRP_OK;
}

static int has_label(const lrp_value *term, int64_t label)
{
  for (int64_t i = 0; i < term->ints.n; i++)
    if (term->ints.v[i] == label) return 1;
  return 0;
}

/* ---- shapes ---- */

/* Size of a label; an operand that has it with size 1 is repeated. */
static lrp_status add_sizes(const lrp_host *h, lrp_ctx *ctx, const lrp_value *term,
                            const lrp_tensor *t, int64_t *size)
{
  if (t->rank != term->ints.n)
    return h->fail(ctx, LRP_E_SHAPE, "einsum: an operand has rank %d, its term names %lld axes",
                   t->rank, (long long)term->ints.n);
  for (int32_t i = 0; i < t->rank; i++) {
    int64_t *s = &size[term->ints.v[i]];
    if (*s > 1 && t->shape[i] > 1 && *s != t->shape[i])
      return h->fail(ctx, LRP_E_SHAPE,
                     "einsum: a label has size %lld in one place, %lld in another", (long long)*s,
                     (long long)t->shape[i]);
    if (*s < 0 || *s == 1) *s = t->shape[i];
  }
  return LRP_OK;
}

static const lrp_tensor *second(const lrp_call *call)
{
  return call->n_in > 1 ? &call->in[B] : call->n_param ? &call->param[0] : NULL;
}

static lrp_status infer(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const einsum *e = inst;
  const lrp_tensor *b = second(call);
  int64_t size[256], shape[LRP_MAX_RANK];
  for (int i = 0; i < 256; i++)
    size[i] = -1;
  lrp_status st = need_reals(h, ctx, "einsum", &call->in[A]);
  if (!st && b) st = need_reals(h, ctx, "einsum", b);
  if (!st) st = add_sizes(h, ctx, &e->term[A], &call->in[A], size);
  if (!st && b) st = add_sizes(h, ctx, &e->term[B], b, size);
  if (st) return st;
  if (e->term[Y].ints.n > LRP_MAX_RANK)
    return h->fail(ctx, LRP_E_SHAPE, "einsum: the result has rank %lld, at most %d is possible",
                   (long long)e->term[Y].ints.n, LRP_MAX_RANK);
  for (int64_t i = 0; i < e->term[Y].ints.n; i++) {
    const int64_t label = e->term[Y].ints.v[i];
    for (int64_t k = 0; k < i; k++)
      if (e->term[Y].ints.v[k] == label)
        return h->fail(ctx, LRP_E_ARG, "einsum: a label stands twice in the result");
    if (size[label] < 0)
      return h->fail(ctx, LRP_E_ARG, "einsum: a label of the result stands in no operand");
    shape[i] = size[label];
  }
  tensor_describe(&call->out[0], LRP_REAL, (int32_t)e->term[Y].ints.n, shape);
  if (known_nonneg(&call->in[A]) && (!b || known_nonneg(b))) call->out[0].flags = LRP_NONNEG;
  for (uint32_t i = 0; i < call->n_saved; i++) {
    tensor_describe(&call->saved[i], LRP_REAL, call->in[i].rank, call->in[i].shape);
    call->saved[i].flags = call->in[i].flags;
  }
  return LRP_OK;
}

/* ---- laying out ---- */

typedef struct group { /* some labels and their sizes */
  int32_t n;
  int64_t label[MOST_LABELS], size[MOST_LABELS], count;
} group;

/* A label with size 1 takes the other's size.  known: only labels that are there already. */
static void group_add(group *g, int64_t label, int64_t size, int known)
{
  for (int32_t i = 0; i < g->n; i++)
    if (g->label[i] == label) {
      if (g->size[i] == 1) {
        g->size[i] = size;
        g->count *= size;
      }
      return;
    }
  if (known) return;
  g->label[g->n] = label;
  g->size[g->n++] = size;
  g->count *= size;
}

/* Labels of term that the two others have (1), have not (0), in order. */
static group group_of(const lrp_value *term, const lrp_tensor *t, const lrp_value *p, int in_p,
                      const lrp_value *q, int in_q)
{
  group g = {.count = 1};
  for (int32_t i = 0; i < t->rank; i++)
    if (has_label(p, term->ints.v[i]) == in_p && has_label(q, term->ints.v[i]) == in_q)
      group_add(&g, term->ints.v[i], t->shape[i], 0);
  return g;
}

/* Elements between neighbours along a label: equal labels walk the diagonal, size 1 stands still. */
static int64_t label_step(const lrp_value *term, const lrp_tensor *t, int64_t label)
{
  int64_t dense[LRP_MAX_RANK], step = 0;
  dense_steps(t, dense);
  for (int32_t i = 0; i < t->rank; i++)
    if (term->ints.v[i] == label && t->shape[i] != 1) step += dense[i];
  return step;
}

/* Walk over three groups and what is summed: tensor 0 is dense (g0,g1,g2), tensor 1 is t. */
static strided lay_out(const lrp_value *term, const lrp_tensor *t, const group *const g[3],
                       const group *summed)
{
  strided w = {0};
  int64_t step = g[0]->count * g[1]->count * g[2]->count;
  for (int i = 0; i < 3; i++)
    for (int32_t k = 0; k < g[i]->n; k++) {
      step = g[i]->size[k] ? step / g[i]->size[k] : 0;
      strided_axis(&w, g[i]->size[k], step, label_step(term, t, g[i]->label[k]), 0);
    }
  for (int32_t k = 0; summed && k < summed->n; k++)
    strided_axis(&w, summed->size[k], 0, label_step(term, t, summed->label[k]), 0);
  return w;
}

static lrp_status matrix(const lrp_host *h, lrp_ctx *ctx, const group *const g[3], lrp_tensor *out)
{
  const lrp_tensor like = {
      .dtype = LRP_REAL, .rank = 3, .shape = {g[0]->count, g[1]->count, g[2]->count}};
  return h->scratch(ctx, &like, out);
}

typedef struct operand {
  const lrp_value *term;
  const lrp_tensor *t;
} operand;

/* z += contraction of p and q, z zeroed; the terms may be any of the three.  Labels of z that neither p nor q has are
 * repeated (a sum, going back). */
static lrp_status contract(const lrp_host *h, lrp_ctx *ctx, operand p, operand q, operand z)
{
  group b = group_of(p.term, p.t, q.term, 1, z.term, 1),
        rows = group_of(p.term, p.t, q.term, 0, z.term, 1);
  group k = group_of(p.term, p.t, q.term, 1, z.term, 0),
        cols = group_of(q.term, q.t, p.term, 0, z.term, 1);
  const group alone_p = group_of(p.term, p.t, q.term, 0, z.term, 0),
              alone_q = group_of(q.term, q.t, p.term, 0, z.term, 0);
  const group repeated = group_of(z.term, z.t, p.term, 0, q.term, 0);
  group *const all[] = {&b, &rows, &k, &cols};
  const operand term[] = {p, q, z};
  for (int g = 0; g < 4; g++)
    for (int o = 0; o < 3; o++)
      for (int32_t i = 0; i < term[o].t->rank; i++)
        group_add(all[g], term[o].term->ints.v[i], term[o].t->shape[i], 1);
  const group *const as_p[] = {&b, &rows, &k}, *const as_q[] = {&b, &k, &cols},
                     *const as_z[] = {&b, &rows, &cols};
  lrp_tensor mp, mq, mz;
  lrp_status st = matrix(h, ctx, as_p, &mp);
  if (!st) st = matrix(h, ctx, as_q, &mq);
  if (!st) st = matrix(h, ctx, as_z, &mz);
  if (st) return st;
  strided w = lay_out(p.term, p.t, as_p, &alone_p);
  strided_sum(&w, 1, lrp_reals(p.t), lrp_reals(&mp));
  w = lay_out(q.term, q.t, as_q, &alone_q);
  strided_sum(&w, 1, lrp_reals(q.t), lrp_reals(&mq));
  if (k.count && lrp_count(&mz)) st = h->matmul(ctx, &mp, 0, &mq, 0, NULL, &mz);
  w = lay_out(z.term, z.t, as_z, &repeated);
  if (!st && lrp_count(&mz)) {
    w = strided_back(w);
    strided_sum(&w, 1, lrp_reals(&mz), lrp_reals(z.t));
  }
  return st;
}

/* ---- the layers ---- */

static const lrp_tensor *live(const lrp_call *call, uint32_t i)
{
  return call->freeze >> i & 1 ? &call->saved[i] : i ? second(call) : &call->in[A];
}

static void save_operands(const lrp_call *call)
{
  for (uint32_t i = 0; i < call->n_saved; i++) {
    if (call->freeze >> i & 1 || !call->saved[i].data) continue;
    if (call->in[i].data)
      memcpy(call->saved[i].data, call->in[i].data,
             (size_t)lrp_count(&call->in[i]) * sizeof(lrp_real));
    else
      tensor_zero(&call->saved[i]);
  }
}

static const lrp_real one_value[1] = {1};
static const lrp_tensor ONE = {.data = (void *)(uintptr_t)one_value, .dtype = LRP_REAL};
static const lrp_value no_labels = {.ints = {NULL, 0}};

static lrp_status forward(const lrp_host *h, lrp_ctx *ctx, const void *inst, lrp_call *call)
{
  const einsum *e = inst;
  const lrp_tensor *b = second(call) ? live(call, B) : &ONE;
  save_operands(call);
  tensor_zero(&call->out[0]);
  if (!live(call, A)->data || !b->data) return LRP_OK;
  return contract(h, ctx, (operand){&e->term[A], live(call, A)},
                  (operand){second(call) ? &e->term[B] : &no_labels, b},
                  (operand){&e->term[Y], &call->out[0]});
}

static lrp_status vjp(const lrp_host *h, lrp_ctx *ctx, const void *inst, const lrp_call *call,
                      const lrp_tensor *out_bar, lrp_tensor *in_bar)
{
  const einsum *e = inst;
  lrp_status st = LRP_OK;
  for (uint32_t i = A; !st && i < call->n_in && out_bar[0].data; i++) {
    const lrp_tensor *other = second(call) ? live(call, !i) : &ONE;
    if (!in_bar[i].data || call->freeze >> i & 1 || !other->data) continue;
    st = contract(h, ctx, (operand){&e->term[Y], &out_bar[0]},
                  (operand){second(call) ? &e->term[!i] : &no_labels, other},
                  (operand){&e->term[i], &in_bar[i]});
  }
  return st;
}

static uint32_t pair_degree(const void *inst, uint32_t freeze)
{
  (void)inst;
  return 2 - (freeze & 1) - (freeze >> 1 & 1);
}

/* ---- operators ---- */

/* One term of the equation from *text on; an ellipsis stands for the axes that are left of rank, numbered from the end. */
static lrp_status read_term(const lrp_host *h, lrp_ctx *ctx, const char **text, const char *end,
                            int32_t rank, int32_t *ellipsis, lrp_value *out)
{
  int64_t *v = h->keep_ints(ctx, LRP_MAX_RANK), letters = 0, n = 0;
  if (!v) return LRP_E_NOMEM;
  for (const char *p = *text; p < end && *p != ',' && *p != '-'; p++)
    letters += *p != ' ' && *p != '.';
  for (; *text < end && **text != ',' && **text != '-'; ++*text) {
    const char c = **text;
    int64_t more = 1;
    if (c == ' ') continue;
    if (c == '.') {
      if (rank >= 0)
        *ellipsis = rank - (int32_t)letters > *ellipsis ? rank - (int32_t)letters : *ellipsis;
      more = rank >= 0 ? rank - letters : *ellipsis;
      if (end - *text < 3 || (*text)[1] != '.' || (*text)[2] != '.')
        return h->fail(ctx, LRP_E_INPUT, "einsum: a point that is no ellipsis");
      *text += 2;
    } else if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))) {
      return h->fail(ctx, LRP_E_INPUT,
                     "einsum: the equation has \"%c\" in it; letters were expected", c);
    }
    if (more < 0 || n + more > LRP_MAX_RANK)
      return h->fail(ctx, LRP_E_INPUT, "einsum: a term does not fit its operand");
    for (; more > 0; more--)
      v[n++] = c == '.' ? more : c; /* numbers 1 to 8 are no letters */
  }
  out->ints.v = v;
  out->ints.n = n;
  return LRP_OK;
}

/* Without "->": the labels that stand once, sorted, behind the ellipsis. */
static lrp_status implicit_term(const lrp_host *h, lrp_ctx *ctx, int32_t ellipsis, lrp_value *a)
{
  int64_t *v = h->keep_ints(ctx, 3 * LRP_MAX_RANK), n = 0;
  if (!v) return LRP_E_NOMEM;
  for (int64_t k = ellipsis; k > 0; k--)
    v[n++] = k;
  for (int64_t label = 'A'; label <= 'z'; label++) {
    int times = 0;
    for (int t = A; t <= B; t++)
      for (int64_t i = 0; i < a[t].ints.n; i++)
        times += a[t].ints.v[i] == label;
    if (times == 1) v[n++] = label;
  }
  a[Y].ints.v = v;
  a[Y].ints.n = n;
  return LRP_OK;
}

static lrp_status read_equation(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)
{
  const char *text = h->node_text(node, "equation", ""), *end = text + strlen(text),
             *arrow = strstr(text, "->");
  const uint32_t n = h->node_n_in(node);
  int32_t ellipsis = 0;
  lrp_status st = LRP_OK;
  for (uint32_t i = 0; !st && i < n && i < Y; i++) {
    st = read_term(h, ctx, &text, arrow ? arrow : end, h->node_rank(node, i), &ellipsis, &a[i]);
    if (!st && (*text == ',') != (i + 1 < n))
      return h->fail(ctx, LRP_E_INPUT, "einsum: the equation does not have %u terms", n);
    text += *text == ',';
  }
  if (st) return st;
  if (!arrow) return implicit_term(h, ctx, ellipsis, a);
  text = arrow + 2;
  return read_term(h, ctx, &text, end, -1, &ellipsis, &a[Y]);
}

static lrp_status read_exchanged(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node,
                                 lrp_value *a)
{
  const lrp_status st = read_equation(h, ctx, node, a);
  const lrp_value kept = a[A];
  a[A] = a[B];
  a[B] = kept;
  return st;
}

#define OP(INPUTS, READER)                                                                         \
  {                                                                                                \
    .domain = "", .name = "Einsum", .since = 12, .inputs = INPUTS, .args = READER                  \
  }
static const lrp_operator pair_operators[] = {OP("a b", read_equation), {0}};
static const lrp_operator dense_operators[] = {
    OP("a weight", read_equation), OP("weight a", read_exchanged), {0}};
static const lrp_operator sum_operators[] = {OP("a", read_equation), {0}};
#define COMMON                                                                                     \
  .struct_size = sizeof(lrp_layer_type), .layout = LRP_LAYOUT_MODEL, .args = args, .out = outs,    \
  .create = create, .destroy = free, .infer = infer, .forward = forward, .vjp = vjp
static const lrp_layer_type einsum_type = {
    COMMON,
    .kind = LRP_KIND_BILINEAR,
    .n_saved = 2,
    .name = "einsum",
    .doc = "y = a contraction of a and b, as Einstein writes sums",
    .in = pair,
    .freezable = freezable,
    .operators = pair_operators,
    .writes = LRP_SAVES_COPIES,
    .degree = pair_degree};
static const lrp_layer_type dense_type = {COMMON,
                                          .kind = LRP_KIND_LINEAR,
                                          .name = "einsum_dense",
                                          .doc = "y = a contraction of a with a constant",
                                          .in = single,
                                          .param = weights,
                                          .operators = dense_operators};
static const lrp_layer_type sum_type = {
    COMMON,
    .kind = LRP_KIND_POOL_SUM,
    .name = "einsum_sum",
    .doc = "y = a with its axes in another order, some of them summed over",
    .in = single,
    .operators = sum_operators};
static const lrp_layer_type *const layers[] = {&einsum_type, &dense_type, &sum_type, NULL};
LRP_PLUGIN(layer_einsum, "einsum", "1.0", "MIT", "contractions written as Einstein sums", layers,
           NULL, NULL);
