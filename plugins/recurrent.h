/* recurrent.h - what the layers "lstm", "gru" and "rnn" share.  A cell is a list of operations
 * on values of shape (B,H); this file runs the list over time, in both directions at once, pulls
 * back through it, and hands its sites to rules.
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
#include "recurrent_kernel.h"
#include <stdlib.h>

enum { X, LENS, INITIAL /* and initial_c after it */, W = 0, RW, BIAS, N_PARAM };
enum { GATES, SHARES };              /* bits of call->freeze where the cell has gates */
enum { DIRECTION, LAYOUT, VARIANT }; /* arguments */
enum { FORWARD, REVERSE, BIDIRECTIONAL };
enum { MAX_VALUE = 16, MAX_OP = 14 };

enum { OP_END, OP_AFFINE, OP_ACT, OP_MUL, OP_ADD, OP_COMPLEMENT };
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
  int next[2];        /* values that are h (and c) after the step */
  cell_op op[MAX_OP]; /* the last one is 0 */
} cell;

typedef struct recurrent {
  const cell *cell;
  int direction, layout;
} recurrent;

typedef struct dims {
  int64_t t, b, i, h; /* steps, samples, inputs, hidden units */
  int d;              /* directions */
} dims;

/* One evaluation, all directions at once: a value of a step is (D,B,H), its rows are lanes. */
typedef struct track {
  const lrp_host *host;
  lrp_ctx *ctx;
  const recurrent *r;
  const lrp_call *call;
  const lrp_site *site; /* NULL: no rule, the gradient */
  dims n;
  const lrp_tensor *w, *u, *bias;
  lrp_real *state[2]; /* before the first step; ... */
  bool given[2];      /* ... zeros where the call gives none */
  /* forward */
  const lrp_real *x_part,
      *ut;          /* W x (D,rows of x,blocks*H), NULL: none; R transposed (D,H,blocks*H) */
  lrp_real *biases; /* for each affine operation (D,H) */
  lrp_real *zeros, *product; /* (D,B,H) and (blocks*H) at least; (B,blocks*H) */
  /* back */
  lrp_real *x;              /* (D,T,B,I) in the order of the steps */
  lrp_real *bar[MAX_VALUE]; /* what is pulled back, for each value of a step ... */
  bool live[MAX_VALUE];     /* ... where there is any; else of any content */
  lrp_real *carry[2];       /* to the states after the step, then to those before it */
  lrp_real *above[MAX_OP];  /* of an affine operation: what it got, (D,T,B,H); NULL: nothing, as a frozen gate */
  lrp_real *tmp_a, *tmp_b;
} track;

/* ---- where things lie ---- */

static inline int64_t size_of(const dims *n)
{
  return n->d * n->b * n->h;
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
  if (v < c->n_state && !s) return k->state[v];
  if (v < c->n_state) {
    v = c->next[v];
    s--;
  }
  const int gate = v < c->n_state + c->n_gate;
  const int64_t width = gate ? c->n_gate : c->n_value - c->n_state - c->n_gate;
  const int64_t at = v - c->n_state - (gate ? 0 : c->n_gate);
  return lrp_reals(&saved[gate ? GATES : trace_at(c)]) + (s * width + at) * size_of(&k->n);
}

/* The factors of product number m as a linear map of gate and signal. */
static inline lrp_real *shares_at(const track *k, int64_t s, int m)
{
  return lrp_reals(&k->call->saved[SHARES]) + (s * k->r->cell->n_mul + m) * 2 * size_of(&k->n);
}

static inline int frozen(const track *k, int what)
{
  return k->r->cell->n_gate && (k->call->freeze >> what & 1);
}

static inline int reversed(const recurrent *r, int64_t dir)
{
  return r->direction == REVERSE || dir == 1;
}

static inline int64_t steps_of(const lrp_call *call, int64_t b, int64_t t)
{
  return call->n_in > LENS && call->in[LENS].data ? lrp_indices(&call->in[LENS])[b] : t;
}

/* Row of x or y in the file's layout for step s of sample b. */
static inline int64_t row_at(const track *k, int64_t dir, int64_t s, int64_t b, int64_t steps)
{
  const int64_t t = reversed(k->r, dir) ? steps - 1 - s : s;
  return k->r->layout ? b * k->n.t + t : t * k->n.b + b;
}

/* Offset of direction dir of sample b, step's row given, in y (T,D,B,H) or (B,T,D,H). */
static inline int64_t y_at(const track *k, int64_t dir, int64_t row)
{
  const int64_t t = k->r->layout ? 0 : row / k->n.b, b = k->r->layout ? 0 : row % k->n.b;
  return (k->r->layout ? row * k->n.d + dir : (t * k->n.d + dir) * k->n.b + b) * k->n.h;
}

/* Offset of sample b in a state (D,B,H) or (B,D,H). */
static inline int64_t state_at(const track *k, int64_t dir, int64_t b)
{
  return (k->r->layout ? b * k->n.d + dir : dir * k->n.b + b) * k->n.h;
}

static inline const lrp_tensor *input_of(const lrp_call *call, uint32_t i)
{
  return i < call->n_in && call->in[i].data ? &call->in[i] : NULL;
}

static inline lrp_status room_by(const track *k, lrp_status (*by)(lrp_ctx *, const lrp_tensor *, lrp_tensor *),
                                 int64_t rows, int64_t width, lrp_real **out)
{
  const lrp_tensor like = {.dtype = LRP_REAL, .rank = 2, .shape = {rows, width}};
  lrp_tensor t;
  const lrp_status st = by(k->ctx, &like, &t);
  if (!st) *out = lrp_reals(&t);
  return st;
}

static inline lrp_status room(const track *k, int64_t rows, int64_t width, lrp_real **out)
{
  return room_by(k, k->host->scratch, rows, width, out);
}

/* The same of any content: for what is written as a whole. */
static inline lrp_status raw_room(const track *k, int64_t rows, int64_t width, lrp_real **out)
{
  return room_by(k, k->host->raw, rows, width, out);
}

/* A product by the loops of recurrent_kernel.h, told to profiles. */
static inline void run_product(const lrp_host *h, lrp_ctx *ctx, const product *p)
{
  const double rows = (double)p->rows, k = (double)p->k, n = (double)p->n;
  h->count(ctx, rows * k * n, (rows * k + k * n + rows * n) * (double)sizeof(lrp_real));
  product_run(p);
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
static inline void affine_params(const track *k, int64_t dir, const cell_op *op, lrp_tensor *param)
{
  const int64_t h = k->n.h, block = dir * k->r->cell->n_block + op->block,
                blocks = k->r->cell->n_block;
  memset(param, 0, 4 * sizeof *param);
  if (op->terms & FROM_X && k->w)
    param[0] = matrix(lrp_reals(k->w) + block * h * k->n.i, h, k->n.i);
  if (op->terms & FROM_A && k->u) param[1] = matrix(lrp_reals(k->u) + block * h * h, h, h);
  if (!k->bias) return;
  lrp_real *b = lrp_reals(k->bias) + (2 * dir * blocks + op->block) * h;
  if (op->terms & FROM_X) param[2] = vector(b, h);
  if (op->terms & FROM_A) param[3] = vector(b + blocks * h, h);
}

/* ---- one step, forward ---- */

/* The slope, from the value. */
static inline lrp_real act_slope(int which, lrp_real y)
{
  return which == ACT_SIGMOID ? y * (1 - y) : which == ACT_TANH ? 1 - y * y : y > 0 ? 1 : 0;
}

static inline void multiply(const track *k, int64_t s, const cell_op *op, int m)
{
  const lrp_real *a = value_at(k, s, op->a), *b = value_at(k, s, op->b);
  lrp_real *y = value_at(k, s, op->to);
  const int64_t n = size_of(&k->n);
  const bool shares = k->r->cell->n_gate && k->call->saved[SHARES].data;
  if (!shares || (frozen(k, SHARES) && frozen(k, GATES))) {
    multiply_rows(a, b, n, y);
    return;
  }
  lrp_real *share = shares_at(k, s, m);
  if (!frozen(k, SHARES)) {
    multiply_shared(a, b, n, y, share);
    return;
  }
  for (int64_t i = 0; i < n; i++)
    y[i] = share[i] * a[i] + share[n + i] * b[i];
}

static inline int is_gate(const cell *c, int v)
{
  return v >= c->n_state && v < c->n_state + c->n_gate;
}

/* How many affine operations from op on read the same value by neighbouring blocks, and write neighbours: one product
 * serves them all. */
static inline int run_of(const cell_op *op)
{
  int n = 1;
  while (op->terms & FROM_A && op[n].what == OP_AFFINE && op[n].a == op->a &&
         op[n].terms == op->terms && op[n].block == op->block + n && op[n].to == op->to + n)
    n++;
  return n;
}

/* How many activations from op on are the same one, of neighbours to neighbours. */
static inline int run_of_acts(const cell *c, const cell_op *op)
{
  int n = 1;
  while (op[n].what == OP_ACT && op[n].block == op->block && op[n].a == op->a + n && op[n].to == op->to + n &&
         is_gate(c, op[n].to) == is_gate(c, op->to) && op->a >= c->n_state + c->n_gate)
    n++;
  return n;
}

/* z = W x + R a + b for n operations. */
static inline void affine_step(const track *k, int64_t s, const cell_op *op, int n)
{
  const dims *d = &k->n;
  const int64_t h = d->h, row = k->r->cell->n_block * h, wide = n * h;
  const bool from_x = op->terms & FROM_X && k->x_part,
             from_a = op->terms & FROM_A && k->ut && (s || op->a >= k->r->cell->n_state || k->given[op->a]);
  for (int64_t i = 0; i < d->d; i++) { /* each step begins with the weights that the one before used last */
    const int64_t dir = s & 1 ? d->d - 1 - i : i;
    const product p = {.v = value_at(k, s, op->a) + dir * d->b * h,
                       .b = k->ut + dir * h * row + op->block * h,
                       .out = k->product,
                       .rows = d->b,
                       .k = h,
                       .n = wide,
                       .b_row = row,
                       .back = s & 1};
    if (from_a) run_product(k->host, k->ctx, &p);
    for (int64_t b = 0; b < d->b; b++) {
      const int64_t steps = steps_of(k->call, b, d->t);
      const bool x = from_x && s < steps;
      const int64_t at = x ? (dir * d->t * d->b + row_at(k, dir, s, b, steps)) * row : 0;
      add_blocks(x ? k->x_part + at + op->block * h : k->zeros, from_a ? k->product + b * wide : k->zeros,
                 k->biases + ((op - k->r->cell->op) * d->d + dir) * h, d->d * h, n, h,
                 value_at(k, s, op->to) + (dir * d->b + b) * h, size_of(d));
    }
  }
}

/* Lanes whose sample has ended keep their state. */
static inline void keep_states(const track *k, int64_t s)
{
  const cell *c = k->r->cell;
  const int64_t h = k->n.h;
  for (int64_t lane = 0; input_of(k->call, LENS) && lane < k->n.d * k->n.b; lane++)
    for (int v = 0; v < c->n_state && s >= steps_of(k->call, lane % k->n.b, k->n.t); v++)
      memcpy(value_at(k, s, c->next[v]) + lane * h, value_at(k, s, v) + lane * h,
             (size_t)h * sizeof(lrp_real));
}

static inline void step_forward(const track *k, int64_t s)
{
  const cell *c = k->r->cell;
  const int64_t n = size_of(&k->n);
  int m = 0;
  for (const cell_op *op = c->op; op->what; op++) {
    if (op->what == OP_AFFINE) {
      const int run = run_of(op);
      affine_step(k, s, op, run);
      op += run - 1;
      continue;
    }
    lrp_real *y = value_at(k, s, op->to);
    const lrp_real *a = value_at(k, s, op->a);
    if (op->what == OP_MUL) {
      multiply(k, s, op, m++);
    } else if (op->what == OP_ADD) {
      add_two(a, value_at(k, s, op->b), n, y);
    } else if (is_gate(c, op->to) && frozen(k, GATES)) {
      continue;
    } else if (op->what == OP_ACT) {
      const int run = run_of_acts(c, op);
      act_run(op->block, a, run * n, y);
      op += run - 1;
    } else {
      for (int64_t i = 0; i < n; i++)
        y[i] = 1 - a[i];
    }
  }
  keep_states(k, s);
}

/* ---- all steps, forward ---- */

static inline dims dims_of(const recurrent *r, const lrp_call *call)
{
  const int64_t *x = call->in[X].shape, *u = call->param[RW].shape;
  const dims n = {x[r->layout ? 1 : 0], x[r->layout ? 0 : 1], x[2], u[2],
                  r->direction == BIDIRECTIONAL ? 2 : 1};
  return n;
}

static inline track track_of(const lrp_host *h, lrp_ctx *ctx, const recurrent *r,
                             const lrp_call *call)
{
  const track k = {.host = h,
                   .ctx = ctx,
                   .r = r,
                   .call = call,
                   .n = dims_of(r, call),
                   .w = param_of(call, W),
                   .u = param_of(call, RW),
                   .bias = param_of(call, BIAS)};
  return k;
}

/* States before the first step. */
static inline lrp_status first_states(track *k)
{
  const dims *n = &k->n;
  lrp_status st = LRP_OK;
  for (int v = 0; !st && v < k->r->cell->n_state; v++) {
    const lrp_tensor *from = input_of(k->call, INITIAL + (uint32_t)v);
    st = room(k, n->d * n->b, n->h, &k->state[v]);
    k->given[v] = from;
    for (int64_t dir = 0; !st && from && dir < n->d; dir++)
      for (int64_t b = 0; b < n->b; b++)
        memcpy(k->state[v] + (dir * n->b + b) * n->h, lrp_reals(from) + state_at(k, dir, b),
               (size_t)n->h * sizeof(lrp_real));
  }
  return st;
}

/* W x of all steps at once, in the rows of x. */
static inline lrp_status multiply_x(track *k)
{
  const dims *n = &k->n;
  const int64_t rows = n->t * n->b, wide = k->r->cell->n_block * n->h;
  const lrp_real *wt;
  lrp_real *out;
  if (!k->w || !k->call->in[X].data) return LRP_OK;
  lrp_status st = k->host->transposed(k->ctx, k->w, &wt);
  if (!st) st = raw_room(k, n->d * rows, wide, &out);
  for (int64_t dir = 0; !st && dir < n->d; dir++) {
    const product p = {.v = lrp_reals(&k->call->in[X]),
                       .b = wt + dir * n->i * wide,
                       .out = out + dir * rows * wide,
                       .rows = rows,
                       .k = n->i,
                       .n = wide,
                       .b_row = wide};
    run_product(k->host, k->ctx, &p);
  }
  if (!st) k->x_part = out;
  return st;
}

static inline void fill_biases(const track *k)
{
  const cell_op *op = k->r->cell->op;
  const int64_t h = k->n.h;
  lrp_real *to = k->biases;
  for (; op->what && k->bias; op++)
    for (int64_t dir = 0; dir < k->n.d; dir++, to += h) {
      lrp_tensor param[4];
      if (op->what != OP_AFFINE) continue;
      affine_params(k, dir, op, param);
      for (int i = 2; i < 4; i++)
        if (param[i].data) add_to(to, lrp_reals(&param[i]), h);
    }
}

static inline lrp_status track_start(track *k)
{
  const dims *n = &k->n;
  lrp_status st = first_states(k);
  if (!st) st = multiply_x(k);
  if (!st && k->u) st = k->host->transposed(k->ctx, k->u, &k->ut);
  if (!st) st = room(k, MAX_OP * n->d, n->h, &k->biases);
  if (!st) st = room(k, n->d * n->b + k->r->cell->n_block, n->h, &k->zeros);
  if (!st) st = raw_room(k, n->b, k->r->cell->n_block * n->h, &k->product);
  if (!st) fill_biases(k);
  return st;
}

static inline void write_outputs(const track *k)
{
  const dims *n = &k->n;
  const size_t bytes = (size_t)n->h * sizeof(lrp_real);
  lrp_tensor *out = k->call->out;
  for (int64_t dir = 0; dir < n->d; dir++)
    for (int64_t b = 0; b < n->b; b++) {
      const int64_t lane = (dir * n->b + b) * n->h;
      for (int64_t s = 0, steps = steps_of(k->call, b, n->t); s < steps; s++)
        memcpy(lrp_reals(&out[0]) + y_at(k, dir, row_at(k, dir, s, b, steps)),
               value_at(k, s, k->r->cell->next[0]) + lane, bytes);
      for (int v = 0; v < k->r->cell->n_state; v++)
        memcpy(lrp_reals(&out[1 + v]) + state_at(k, dir, b), value_at(k, n->t, v) + lane, bytes);
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
  if (!st && input_of(call, LENS)) tensor_zero(&call->out[0]);
  if (st || !n.b || !n.h) return st;
  track k = track_of(h, ctx, r, call);
  st = track_start(&k);
  for (int64_t s = 0; !st && s < n.t; s++)
    step_forward(&k, s);
  if (!st) write_outputs(&k);
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
