/* recurrent.h - what the layers "lstm", "gru" and "rnn" share.  A cell is a list of operations
 * on values of shape (B,H); this file runs the list over time, in both directions, pulls back
 * through it, and hands its sites to rules.
 *
 * Relevance (Arras et al. 2017, WASSA; 2019, LNCS 11700, ch. 11).  The rule chosen for the layer
 * acts where values are weighted and added: at the pre-activations, over x and h together, and
 * at the sums of branches.  Activations pass relevance unchanged.  What a product gate * signal
 * does is said by what is frozen, and nothing is lost in it:
 *
 *   freeze=gates    all to the signal, "signal takes all" (LRP-all, the published rule)
 *   freeze=shares   by magnitude, |gate| : |signal| (LRP-prop)
 *   neither         half each (LRP-half): the product has degree 2
 *
 * So the composite chooses: "layer:lstm freeze=gates -> epsilon(epsilon=0.001)".  Frozen gates
 * are constants; frozen shares replace each product by the linear map that agrees with it where
 * it was computed and whose two terms have the ratio of the factors' magnitudes.  Relevance that
 * is left in the state before the first step goes to initial_h and initial_c, is told to
 * host->tap, and shows as lost in the ledger where these inputs are absent. */
#ifndef LRP_PLUGINS_RECURRENT_H
#define LRP_PLUGINS_RECURRENT_H
#include "layer.h"
#include <stdlib.h>
#include <tgmath.h>

enum { X, LENS, INITIAL /* and initial_c after it */, W = 0, RW, BIAS, N_PARAM };
enum { GATES, SHARES };              /* bits of call->freeze where the cell has gates */
enum { DIRECTION, LAYOUT, VARIANT }; /* arguments */
enum { FORWARD, REVERSE, BIDIRECTIONAL };
enum { MAX_VALUE = 16 };

enum { OP_END, OP_AFFINE, OP_ACT, OP_MUL, OP_ADD, OP_COMPLEMENT };
enum { ACT_SIGMOID, ACT_TANH, ACT_RELU };
enum { FROM_X = 1, FROM_A = 2 };
typedef struct cell_op {
  int what, to, a, b; /* MUL: a is the gate, b the signal */
  int block;          /* AFFINE: rows of W and R; ACT: which function */
  int terms;          /* AFFINE: FROM_X adds W x + Wb, FROM_A adds R a + Rb */
} cell_op;
typedef struct cell {
  const char *name;
  int n_block; /* blocks of rows in W, R and B */
  int n_state; /* values 0 .. n_state-1 are h (and c) before the step */
  int n_gate;  /* the values after those are gates */
  int n_value; /* all of them */
  int n_mul;
  int next[2]; /* values that are h (and c) after the step */
  cell_op op[14];
} cell;

typedef struct recurrent {
  const cell *cell;
  int direction, layout;
} recurrent;

typedef struct dims {
  int64_t t, b, i, h; /* steps, samples, inputs, hidden units */
  int d;              /* directions */
} dims;

/* One direction of one evaluation. */
typedef struct track {
  const lrp_host *host;
  lrp_ctx *ctx;
  const recurrent *r;
  const lrp_call *call;
  const lrp_site *site; /* NULL: no rule, the gradient */
  dims n;
  int dir;
  const lrp_tensor *w, *u, *bias;
  lrp_real *x;              /* (T,B,I) in the order of the steps */
  lrp_real *state[2];       /* before the first step, (B,H) */
  lrp_real *bar[MAX_VALUE]; /* what is pulled back, for each value of a step */
  lrp_real *tmp_x, *tmp_a, *tmp_b;
} track;

/* ---- where things lie ---- */

static inline int64_t size_of(const dims *n)
{
  return n->b * n->h;
}

static inline int trace_at(const cell *c)
{
  return c->n_gate ? 2 : 0;
}

/* Value v at step s; v < n_state: the state before the step. */
static inline lrp_real *value_at(const track *k, int64_t s, int v)
{
  const cell *c = k->r->cell;
  const lrp_tensor *saved = k->call->saved;
  if (v < c->n_state) return s ? value_at(k, s - 1, c->next[v]) : k->state[v];
  const int gate = v < c->n_state + c->n_gate;
  const int64_t width = gate ? c->n_gate : c->n_value - c->n_state - c->n_gate;
  const int64_t at = v - c->n_state - (gate ? 0 : c->n_gate);
  return lrp_reals(&saved[gate ? GATES : trace_at(c)]) +
         ((s * k->n.d + k->dir) * width + at) * size_of(&k->n);
}

/* The factors of product number m as a linear map of gate and signal. */
static inline lrp_real *shares_at(const track *k, int64_t s, int m)
{
  return lrp_reals(&k->call->saved[SHARES]) +
         ((s * k->n.d + k->dir) * k->r->cell->n_mul + m) * 2 * size_of(&k->n);
}

static inline int frozen(const track *k, int what)
{
  return k->r->cell->n_gate && (k->call->freeze >> what & 1);
}

static inline int reversed(const track *k)
{
  return k->r->direction == REVERSE || k->dir == 1;
}

static inline int64_t steps_of(const lrp_call *call, int64_t b, int64_t t)
{
  return call->n_in > LENS && call->in[LENS].data ? lrp_indices(&call->in[LENS])[b] : t;
}

/* Row of x or y in the file's layout for step s of sample b. */
static inline int64_t row_at(const track *k, int64_t s, int64_t b, int64_t steps)
{
  const int64_t t = reversed(k) ? steps - 1 - s : s;
  return k->r->layout ? b * k->n.t + t : t * k->n.b + b;
}

/* Offset of direction dir of sample b, step's row given, in y (T,D,B,H) or (B,T,D,H). */
static inline int64_t y_at(const track *k, int64_t row)
{
  const int64_t t = k->r->layout ? 0 : row / k->n.b, b = k->r->layout ? 0 : row % k->n.b;
  return (k->r->layout ? row * k->n.d + k->dir : (t * k->n.d + k->dir) * k->n.b + b) * k->n.h;
}

/* Offset of sample b in a state (D,B,H) or (B,D,H). */
static inline int64_t state_at(const track *k, int64_t b)
{
  return (k->r->layout ? b * k->n.d + k->dir : k->dir * k->n.b + b) * k->n.h;
}

static inline const lrp_tensor *input_of(const lrp_call *call, uint32_t i)
{
  return i < call->n_in && call->in[i].data ? &call->in[i] : NULL;
}

static inline void add_to(lrp_real *to, const lrp_real *from, int64_t n)
{
#pragma omp simd
  for (int64_t i = 0; i < n; i++)
    to[i] += from[i];
}

static inline lrp_status room(const track *k, int64_t rows, int64_t width, lrp_real **out)
{
  const lrp_tensor like = {.dtype = LRP_REAL, .rank = 2, .shape = {rows, width}};
  lrp_tensor t;
  const lrp_status st = k->host->scratch(k->ctx, &like, &t);
  if (!st) *out = lrp_reals(&t);
  return st;
}

static inline lrp_tensor matrix(lrp_real *data, int64_t rows, int64_t columns)
{
  const lrp_tensor t = {.data = data, .dtype = LRP_REAL, .rank = 2, .shape = {rows, columns}};
  return t;
}

static inline lrp_tensor vector(lrp_real *data, int64_t n)
{
  const lrp_tensor t = {.data = data, .dtype = LRP_REAL, .rank = 1, .shape = {n}};
  return t;
}

/* Rows of the weights and biases that an affine operation uses. */
static inline void affine_params(const track *k, const cell_op *op, lrp_tensor *param)
{
  const int64_t h = k->n.h, block = k->dir * k->r->cell->n_block + op->block,
                blocks = k->r->cell->n_block;
  memset(param, 0, 4 * sizeof *param);
  if (op->terms & FROM_X && k->w)
    param[0] = matrix(lrp_reals(k->w) + block * h * k->n.i, h, k->n.i);
  if (op->terms & FROM_A && k->u) param[1] = matrix(lrp_reals(k->u) + block * h * h, h, h);
  if (!k->bias) return;
  lrp_real *b = lrp_reals(k->bias) + (2 * k->dir * blocks + op->block) * h;
  if (op->terms & FROM_X) param[2] = vector(b, h);
  if (op->terms & FROM_A) param[3] = vector(b + blocks * h, h);
}

/* ---- one step, forward ---- */

static inline lrp_real act(int which, lrp_real v)
{
  switch (which) {
  case ACT_SIGMOID:
    return 1 / (1 + exp(-v));
  case ACT_TANH:
    return tanh(v);
  default:
    return v > 0 ? v : 0;
  }
}

/* The slope, from the value. */
static inline lrp_real act_slope(int which, lrp_real y)
{
  return which == ACT_SIGMOID ? y * (1 - y) : which == ACT_TANH ? 1 - y * y : y > 0 ? 1 : 0;
}

/* The gate's part of gate * signal, by magnitude; half where both are 0. */
static inline lrp_real gate_share(lrp_real gate, lrp_real signal)
{
  const lrp_real all = fabs(gate) + fabs(signal);
  return all > 0 ? fabs(gate) / all : (lrp_real)0.5;
}

static inline void multiply(const track *k, int64_t s, const cell_op *op, int m)
{
  const lrp_real *a = value_at(k, s, op->a), *b = value_at(k, s, op->b);
  lrp_real *y = value_at(k, s, op->to), *share = shares_at(k, s, m);
  const int64_t n = size_of(&k->n);
  if (frozen(k, SHARES) && !frozen(k, GATES)) {
    for (int64_t i = 0; i < n; i++)
      y[i] = share[i] * a[i] + share[n + i] * b[i];
    return;
  }
  for (int64_t i = 0; i < n; i++)
    y[i] = a[i] * b[i];
  for (int64_t i = 0; !frozen(k, SHARES) && i < n; i++) {
    const lrp_real part = gate_share(a[i], b[i]);
    share[i] = part * b[i];
    share[n + i] = (1 - part) * a[i];
  }
}

static inline lrp_status affine_step(const track *k, int64_t s, const cell_op *op)
{
  const dims *n = &k->n;
  lrp_tensor param[4], z = matrix(value_at(k, s, op->to), n->b, n->h),
                       part = matrix(k->tmp_a, n->b, n->h);
  affine_params(k, op, param);
  tensor_zero(&z);
  lrp_status st = LRP_OK;
  for (int i = 0; !st && i < 2; i++) {
    const lrp_tensor in =
        i ? matrix(value_at(k, s, op->a), n->b, n->h) : matrix(k->x + s * n->b * n->i, n->b, n->i);
    if (!param[i].data) continue;
    st = k->host->matmul(k->ctx, &in, 0, &param[i], 1, NULL, &part);
    if (!st) add_to(lrp_reals(&z), lrp_reals(&part), size_of(n));
  }
  for (int i = 2; !st && i < 4; i++)
    if (param[i].data) add_rows(&z, &param[i]);
  return st;
}

static inline int is_gate(const cell *c, int v)
{
  return v >= c->n_state && v < c->n_state + c->n_gate;
}

static inline lrp_status step_forward(const track *k, int64_t s)
{
  const cell *c = k->r->cell;
  const int64_t n = size_of(&k->n);
  lrp_status st = LRP_OK;
  int m = 0;
  for (const cell_op *op = c->op; !st && op->what; op++) {
    lrp_real *y = value_at(k, s, op->to);
    const lrp_real *a = value_at(k, s, op->a), *b = value_at(k, s, op->b);
    if (op->what == OP_AFFINE)
      st = affine_step(k, s, op);
    else if (op->what == OP_MUL)
      multiply(k, s, op, m++);
    else if (op->what != OP_ACT || !is_gate(c, op->to) || !frozen(k, GATES))
      for (int64_t i = 0; i < n; i++)
        y[i] = op->what == OP_ACT   ? act(op->block, a[i])
               : op->what == OP_ADD ? a[i] + b[i]
                                    : 1 - a[i];
  }
  for (int64_t b = 0; !st && b < k->n.b; b++) /* a sample that has ended keeps its state */
    for (int v = 0; v < c->n_state && s >= steps_of(k->call, b, k->n.t); v++)
      memcpy(value_at(k, s, c->next[v]) + b * k->n.h, value_at(k, s, v) + b * k->n.h,
             (size_t)k->n.h * sizeof(lrp_real));
  return st;
}

/* ---- one direction, forward ---- */

static inline dims dims_of(const recurrent *r, const lrp_call *call)
{
  const int64_t *x = call->in[X].shape, *u = call->param[RW].shape;
  const dims n = {x[r->layout ? 1 : 0], x[r->layout ? 0 : 1], x[2], u[2],
                  r->direction == BIDIRECTIONAL ? 2 : 1};
  return n;
}

/* x in the order of the steps, zeros behind a sample's end; states before the first step; room
 * for a step. */
static inline lrp_status track_start(track *k)
{
  const dims *n = &k->n;
  lrp_status st = room(k, n->t * n->b, n->i, &k->x);
  for (int v = 0; !st && v < k->r->cell->n_state; v++) {
    const lrp_tensor *from = input_of(k->call, INITIAL + (uint32_t)v);
    st = room(k, n->b, n->h, &k->state[v]);
    for (int64_t b = 0; !st && from && b < n->b; b++)
      memcpy(k->state[v] + b * n->h, lrp_reals(from) + state_at(k, b),
             (size_t)n->h * sizeof(lrp_real));
  }
  const lrp_real *x = lrp_reals(&k->call->in[X]);
  for (int64_t b = 0; !st && x && b < n->b; b++)
    for (int64_t s = 0, steps = steps_of(k->call, b, n->t); s < steps; s++)
      memcpy(k->x + (s * n->b + b) * n->i, x + row_at(k, s, b, steps) * n->i,
             (size_t)n->i * sizeof(lrp_real));
  if (!st) st = room(k, n->b, n->i, &k->tmp_x);
  if (!st) st = room(k, n->b, n->h, &k->tmp_a);
  return st ? st : room(k, n->b, n->h, &k->tmp_b);
}

static inline track track_of(const lrp_host *h, lrp_ctx *ctx, const recurrent *r,
                             const lrp_call *call, int dir)
{
  const track k = {.host = h,
                   .ctx = ctx,
                   .r = r,
                   .call = call,
                   .n = dims_of(r, call),
                   .dir = dir,
                   .w = param_of(call, W),
                   .u = param_of(call, RW),
                   .bias = param_of(call, BIAS)};
  return k;
}

static inline void write_outputs(const track *k)
{
  const dims *n = &k->n;
  const size_t bytes = (size_t)n->h * sizeof(lrp_real);
  lrp_tensor *out = k->call->out;
  for (int64_t b = 0; b < n->b; b++) {
    for (int64_t s = 0, steps = steps_of(k->call, b, n->t); s < steps; s++)
      memcpy(lrp_reals(&out[0]) + y_at(k, row_at(k, s, b, steps)),
             value_at(k, s, k->r->cell->next[0]) + b * n->h, bytes);
    for (int v = 0; v < k->r->cell->n_state; v++)
      memcpy(lrp_reals(&out[1 + v]) + state_at(k, b), value_at(k, n->t, v) + b * n->h, bytes);
  }
}

static inline lrp_status check_lengths(const lrp_host *h, lrp_ctx *ctx, const cell *c,
                                       const lrp_call *call, const dims *n)
{
  for (int64_t b = 0; input_of(call, LENS) && b < n->b; b++) {
    const int64_t steps = steps_of(call, b, n->t);
    if (steps < 0 || steps > n->t)
      return h->fail(ctx, LRP_E_INPUT,
                     "%s: sample %lld has sequence length %lld, 0 to %lld was expected", c->name,
                     (long long)b, (long long)steps, (long long)n->t);
  }
  return LRP_OK;
}

static inline lrp_status recurrent_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst,
                                           lrp_call *call)
{
  const recurrent *r = inst;
  const dims n = dims_of(r, call);
  lrp_status st = check_lengths(h, ctx, r->cell, call, &n);
  if (!st) tensor_zero(&call->out[0]);
  for (int dir = 0; !st && n.b && n.h && dir < n.d; dir++) {
    track k = track_of(h, ctx, r, call, dir);
    st = track_start(&k);
    for (int64_t s = 0; !st && s < n.t; s++)
      st = step_forward(&k, s);
    if (!st) write_outputs(&k);
  }
  return st;
}

#include "recurrent_back.h"

#include "recurrent_shape.h"

#define RECURRENT_FIELDS                                                                           \
  .kind = LRP_KIND_RECURRENT, .layout = LRP_LAYOUT_MODEL, .param = params, .args = args,           \
  .operators = operators, .create = create, .destroy = free, .infer = recurrent_infer,             \
  .forward = recurrent_forward, .vjp = recurrent_vjp, .degree = recurrent_degree,                  \
  .relprop = recurrent_relprop
static const lrp_port params[] = {{.name = "w", .role = LRP_PORT_WEIGHT},
                                  {.name = "r", .role = LRP_PORT_WEIGHT},
                                  {.name = "b", .role = LRP_PORT_BIAS, .flags = LRP_PORT_OPTIONAL},
                                  LRP_PORTS_END};
#endif
