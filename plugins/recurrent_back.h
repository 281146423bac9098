/* recurrent_back.h - the way back through a recurrent layer: the gradient, or relevance by the
 * rule of the walk.  Part of recurrent.h, which tells what it does. */
#ifndef LRP_PLUGINS_RECURRENT_BACK_H
#define LRP_PLUGINS_RECURRENT_BACK_H
#include "recurrent.h"

/* ---- inner sites: what rules see of a cell ---- */

static const lrp_port recurrent_inner_in[] = {
    {.name = "a", .role = LRP_PORT_DATA}, {.name = "b", .role = LRP_PORT_DATA}, LRP_PORTS_END};
static const lrp_port recurrent_inner_out[] = {{.name = "z", .role = LRP_PORT_DATA}, LRP_PORTS_END};
static const lrp_port recurrent_inner_params[] = {{.name = "wa", .role = LRP_PORT_WEIGHT},
                                                  {.name = "wb", .role = LRP_PORT_WEIGHT},
                                                  {.name = "bias_a", .role = LRP_PORT_BIAS},
                                                  {.name = "bias_b", .role = LRP_PORT_BIAS},
                                                  LRP_PORTS_END};

static inline lrp_status inner_infer(const lrp_host *h, lrp_ctx *ctx, const void *inst,
                                     lrp_call *call)
{
  (void)inst, (void)call;
  return h->fail(ctx, LRP_E_UNSUPPORTED,
                 "a site inside of a recurrent layer has no shapes of its own");
}

/* z = a wa^T + b wb^T + both biases; either half may be absent. */
static inline lrp_status affine_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst,
                                        lrp_call *call)
{
  lrp_tensor part, *z = &call->out[0];
  lrp_status st = h->scratch(ctx, z, &part);
  (void)inst;
  tensor_zero(z);
  for (int k = 0; !st && k < 2; k++) {
    if (!call->in[k].data || !call->param[k].data) continue;
    st = h->matmul(ctx, &call->in[k], 0, &call->param[k], 1, NULL, &part);
    if (!st) add_to(lrp_reals(z), lrp_reals(&part), lrp_count(z));
  }
  for (int k = 2; !st && k < 4; k++)
    if (call->param[k].data) add_rows(z, &call->param[k]);
  return st;
}

static inline lrp_status affine_vjp(const lrp_host *h, lrp_ctx *ctx, const void *inst,
                                    const lrp_call *call, const lrp_tensor *out_bar,
                                    lrp_tensor *in_bar)
{
  (void)inst;
  for (int k = 0; k < 2; k++) {
    const lrp_tensor *w = &call->param[k];
    const product p = {.v = lrp_reals(&out_bar[0]),
                       .b = lrp_reals(w),
                       .out = lrp_reals(&in_bar[k]),
                       .rows = out_bar[0].shape[0],
                       .k = w->shape[0],
                       .n = w->shape[1],
                       .b_row = w->shape[1]};
    if (p.v && p.b && p.out)
      run_product(h, ctx, &p);
    else if (p.out)
      tensor_zero(&in_bar[k]);
  }
  return LRP_OK;
}

static inline lrp_status pair_forward(const lrp_host *h, lrp_ctx *ctx, const void *inst,
                                      lrp_call *call)
{
  (void)h, (void)ctx, (void)inst;
  tensor_zero(&call->out[0]);
  for (int k = 0; k < 2; k++)
    if (call->in[k].data)
      add_to(lrp_reals(&call->out[0]), lrp_reals(&call->in[k]), lrp_count(&call->out[0]));
  return LRP_OK;
}

static inline lrp_status pair_vjp(const lrp_host *h, lrp_ctx *ctx, const void *inst,
                                  const lrp_call *call, const lrp_tensor *out_bar,
                                  lrp_tensor *in_bar)
{
  (void)h, (void)ctx, (void)inst, (void)call;
  for (int k = 0; k < 2; k++)
    if (in_bar[k].data && out_bar[0].data)
      memcpy(in_bar[k].data, out_bar[0].data, (size_t)lrp_count(&in_bar[k]) * sizeof(lrp_real));
  return LRP_OK;
}

static const lrp_layer_type recurrent_affine = {.struct_size = sizeof recurrent_affine,
                                                .kind = LRP_KIND_LINEAR,
                                                .name = "recurrent_affine",
                                                .doc = "z = a wa^T + b wb^T + bias_a + bias_b",
                                                .writes = LRP_WRITES_BAR,
                                                .in = recurrent_inner_in,
                                                .param = recurrent_inner_params,
                                                .out = recurrent_inner_out,
                                                .infer = inner_infer,
                                                .forward = affine_forward,
                                                .vjp = affine_vjp};
static const lrp_layer_type recurrent_add = {.struct_size = sizeof recurrent_add,
                                             .kind = LRP_KIND_SUM,
                                             .name = "recurrent_add",
                                             .doc = "z = a + b",
                                             .writes = LRP_WRITES_BAR,
                                             .in = recurrent_inner_in,
                                             .out = recurrent_inner_out,
                                             .infer = inner_infer,
                                             .forward = pair_forward,
                                             .vjp = pair_vjp};

/* A table, and vjp, write all of what is wanted. */
static inline void begin_below(const track *k, lrp_tensor *below)
{
  if (!k->site || (k->site->rule && k->site->rule->table)) return;
  tensor_zero(&below[0]);
  tensor_zero(&below[1]);
}

/* Runs vjp, or the rule of the walk, on one inner site. */
static inline lrp_status inner_back(const track *k, const lrp_layer_type *type, lrp_tensor *in,
                                    lrp_tensor *param, lrp_tensor *z, const lrp_tensor *above,
                                    lrp_tensor *below)
{
  const lrp_call call = {.struct_size = sizeof call,
                         .n_in = 2,
                         .n_param = type->param ? 4 : 0,
                         .n_out = 1,
                         .in = in,
                         .param = param,
                         .out = z};
  const lrp_site site = {.struct_size = sizeof site,
                         .degree = 1,
                         .type = type,
                         .call = &call,
                         .r_out = above,
                         .r_in = below};
  if (!k->site) return type->vjp(k->host, k->ctx, NULL, &call, above, below);
  return k->host->relprop(k->ctx, k->site->rule, k->site->rule_args, &site);
}

/* ---- one step, back ---- */

static inline void swap(lrp_real **a, lrp_real **b)
{
  lrp_real *const kept = *a;
  *a = *b;
  *b = kept;
}

/* Relevance, or the gradient, arrives at value v.  The first buffer is taken over for another. */
static inline void arrive(track *k, int v, lrp_real **from)
{
  if (k->live[v])
    add_to(k->bar[v], *from, size_of(&k->n));
  else
    swap(&k->bar[v], from);
  k->live[v] = true;
}

/* To add to. */
static inline lrp_real *bar_at(track *k, int v)
{
  if (!k->live[v]) memset(k->bar[v], 0, (size_t)size_of(&k->n) * sizeof(lrp_real));
  k->live[v] = true;
  return k->bar[v];
}

/* An affine operation of one direction, for `rows` of x, a and z; below[] is what is wanted. */
static inline lrp_status affine_site(const track *k, int64_t dir, const cell_op *op, int64_t rows,
                                     lrp_real *x, lrp_real *a, lrp_real *z, lrp_real *r,
                                     lrp_real *to_x, lrp_real *to_a)
{
  const dims *n = &k->n;
  lrp_tensor in[2] = {matrix(x, rows, n->i), matrix(a, rows, n->h)}, param[4];
  lrp_tensor below[2] = {matrix(to_x, rows, n->i), matrix(to_a, rows, n->h)},
             out = matrix(z, rows, n->h);
  const lrp_tensor above = matrix(r, rows, n->h);
  affine_params(k, dir, op, param);
  begin_below(k, below);
  return inner_back(k, &recurrent_affine, in, param, &out, &above, below);
}

/* What goes to a; what goes to x is asked for behind the last step, of all steps at once: rules
 * take the rows of a linear layer one by one. */
static inline lrp_status affine_back(track *k, int64_t s, const cell_op *op)
{
  const dims *n = &k->n;
  const int64_t lanes = n->b * n->h;
  lrp_real **above = &k->above[op - k->r->cell->op];
  lrp_status st = LRP_OK;
  if (op->terms & FROM_X && !*above) st = room(k, n->d * n->t * n->b, n->h, above);
  for (int64_t dir = 0; !st && dir < n->d; dir++) {
    lrp_real *r = k->bar[op->to] + dir * lanes;
    if (op->terms & FROM_X)
      memcpy(*above + (dir * n->t + s) * lanes, r, (size_t)lanes * sizeof *r);
    if (!(op->terms & FROM_A)) continue;
    lrp_real *x = op->terms & FROM_X ? k->x + (dir * n->t + s) * n->b * n->i : NULL;
    st = affine_site(k, dir, op, n->b, x, value_at(k, s, op->a) + dir * lanes,
                     value_at(k, s, op->to) + dir * lanes, r, NULL, k->tmp_a + dir * lanes);
  }
  if (!st && op->terms & FROM_A) arrive(k, op->a, &k->tmp_a);
  return st;
}

static inline lrp_status add_back(track *k, int64_t s, const cell_op *op)
{
  const dims *n = &k->n;
  const int64_t rows = n->d * n->b;
  lrp_tensor in[2] = {matrix(value_at(k, s, op->a), rows, n->h),
                      matrix(value_at(k, s, op->b), rows, n->h)};
  lrp_tensor below[2] = {matrix(k->tmp_a, rows, n->h), matrix(k->tmp_b, rows, n->h)};
  lrp_tensor z = matrix(value_at(k, s, op->to), rows, n->h);
  const lrp_tensor above = matrix(k->bar[op->to], rows, n->h);
  begin_below(k, below);
  const lrp_status st = inner_back(k, &recurrent_add, in, NULL, &z, &above, below);
  if (st) return st;
  arrive(k, op->a, &k->tmp_a);
  arrive(k, op->b, &k->tmp_b);
  return LRP_OK;
}

/* gate * signal: the gradient, or relevance by shares that add up to 1. */
static inline void mul_back(track *k, int64_t s, const cell_op *op, int m)
{
  const lrp_real *a = value_at(k, s, op->a), *b = value_at(k, s, op->b), *bar = k->bar[op->to];
  const lrp_real *share = frozen(k, SHARES) ? shares_at(k, s, m) : NULL;
  const int64_t n = size_of(&k->n);
  const bool all = frozen(k, GATES);
  if (all && k->site) {
    arrive(k, op->b, &k->bar[op->to]);
    return;
  }
  lrp_real *to_a = all ? NULL : bar_at(k, op->a), *to_b = bar_at(k, op->b);
  for (int64_t i = 0; i < n; i++) {
    lrp_real for_a, for_b;
    if (k->site) {
      for_a = share ? gate_share(a[i], b[i]) : (lrp_real)0.5;
      for_b = 1 - for_a;
    } else {
      for_a = share ? share[i] : b[i];
      for_b = share && !all ? share[n + i] : a[i];
    }
    if (to_a) to_a[i] += for_a * bar[i];
    to_b[i] += for_b * bar[i];
  }
}

static inline void act_back(track *k, int64_t s, const cell_op *op)
{
  const lrp_real *y = value_at(k, s, op->to), *bar = k->bar[op->to];
  const int64_t n = size_of(&k->n);
  if (is_gate(k->r->cell, op->to) && frozen(k, GATES)) return;
  if (k->site) {
    arrive(k, op->a, &k->bar[op->to]);
    return;
  }
  lrp_real *to = bar_at(k, op->a);
  for (int64_t i = 0; i < n; i++)
    to[i] += act_slope(op->block, y[i]) * bar[i];
}

/* 1 - gate: relevance passes. */
static inline void complement_back(track *k, const cell_op *op)
{
  const lrp_real sign = k->site ? 1 : -1;
  lrp_real *to = bar_at(k, op->a);
  for (int64_t i = 0, n = size_of(&k->n); i < n; i++)
    to[i] += sign * k->bar[op->to][i];
}

static inline lrp_status op_back(track *k, int64_t s, const cell_op *op, int m)
{
  if (!k->live[op->to]) return LRP_OK;
  switch (op->what) {
  case OP_AFFINE:
    return affine_back(k, s, op);
  case OP_ADD:
    return add_back(k, s, op);
  case OP_MUL:
    mul_back(k, s, op, m);
    return LRP_OK;
  case OP_ACT:
    act_back(k, s, op);
    return LRP_OK;
  default:
    complement_back(k, op);
    return LRP_OK;
  }
}

/* carry[] becomes the bars of the states after the step; of a sample that has ended, unchanged,
 * those of the states before. */
static inline void begin_step(track *k, int64_t s)
{
  const cell *c = k->r->cell;
  const dims *n = &k->n;
  memset(k->live, 0, sizeof k->live);
  for (int v = 0; v < c->n_state; v++) {
    if (!input_of(k->call, LENS)) {
      arrive(k, c->next[v], &k->carry[v]);
      continue;
    }
    lrp_real *after = bar_at(k, c->next[v]), *before = bar_at(k, v);
    for (int64_t i = 0; i < n->d * n->b; i++)
      memcpy((s < steps_of(k->call, i % n->b, n->t) ? after : before) + i * n->h,
             k->carry[v] + i * n->h, (size_t)n->h * sizeof(lrp_real));
  }
}

static inline lrp_status step_back(track *k, int64_t s)
{
  const cell *c = k->r->cell;
  int n_op = 0, m = c->n_mul;
  begin_step(k, s);
  while (c->op[n_op].what)
    n_op++;
  lrp_status st = LRP_OK;
  for (int i = n_op - 1; !st && i >= 0; i--) {
    m -= c->op[i].what == OP_MUL;
    st = op_back(k, s, &c->op[i], m);
  }
  for (int v = 0; v < c->n_state; v++) {
    bar_at(k, v);
    swap(&k->carry[v], &k->bar[v]);
  }
  return st;
}

/* ---- all steps, back ---- */

/* What comes from y at step s. */
static inline void add_from_y(const track *k, int64_t s, const lrp_tensor *y_bar, lrp_real *carry)
{
  for (int64_t i = 0; y_bar->data && i < k->n.d * k->n.b; i++) {
    const int64_t dir = i / k->n.b, b = i % k->n.b, steps = steps_of(k->call, b, k->n.t);
    if (s < steps)
      add_to(carry + i * k->n.h, lrp_reals(y_bar) + y_at(k, dir, row_at(k, dir, s, b, steps)),
             k->n.h);
  }
}

/* x in the order of the steps, zeros behind a sample's end; or back, added. */
static inline void order_x(const track *k, int64_t dir, lrp_real *steps_x, lrp_real *x, bool back)
{
  const dims *n = &k->n;
  for (int64_t b = 0; b < n->b; b++)
    for (int64_t s = 0, steps = steps_of(k->call, b, n->t); s < steps; s++) {
      lrp_real *ours = steps_x + (s * n->b + b) * n->i,
               *given = x + row_at(k, dir, s, b, steps) * n->i;
      if (back)
        add_to(given, ours, n->i);
      else
        memcpy(ours, given, (size_t)n->i * sizeof *ours);
    }
}

/* What an affine operation gives to x, all steps in one site. */
static inline lrp_status give_x(const track *k, const cell_op *op, lrp_real *const *room_of,
                                const lrp_tensor *x_bar)
{
  const dims *n = &k->n;
  const int64_t lanes = n->b * n->h;
  lrp_real *a = op->terms & FROM_A ? room_of[0] : NULL, *z = room_of[1], *to_x = room_of[2];
  lrp_status st = LRP_OK;
  for (int64_t dir = 0; !st && dir < n->d; dir++) {
    for (int64_t s = 0; s < n->t; s++) {
      const size_t bytes = (size_t)lanes * sizeof *z;
      memcpy(z + s * lanes, value_at(k, s, op->to) + dir * lanes, bytes);
      if (a) memcpy(a + s * lanes, value_at(k, s, op->a) + dir * lanes, bytes);
    }
    st = affine_site(k, dir, op, n->t * n->b, k->x + dir * n->t * n->b * n->i, a, z,
                     k->above[op - k->r->cell->op] + dir * n->t * lanes, to_x, NULL);
    if (!st) order_x(k, dir, to_x, lrp_reals(x_bar), true);
  }
  return st;
}

static inline lrp_status give_all_x(const track *k, const lrp_tensor *x_bar)
{
  const int64_t rows = k->n.t * k->n.b;
  lrp_real *room_of[3];
  if (!x_bar->data) return LRP_OK;
  lrp_status st = raw_room(k, rows, k->n.h, &room_of[0]);
  if (!st) st = raw_room(k, rows, k->n.h, &room_of[1]);
  if (!st) st = raw_room(k, rows, k->n.i, &room_of[2]);
  for (const cell_op *op = k->r->cell->op; !st && op->what; op++)
    if (op->what == OP_AFFINE && op->terms & FROM_X && k->above[op - k->r->cell->op])
      st = give_x(k, op, room_of, x_bar);
  return st;
}

/* What is left in the state before the first step. */
static inline void give_states(const track *k, const lrp_tensor *in_bar)
{
  static const char *const label[] = {"initial_h", "initial_c"};
  const dims *n = &k->n;
  for (int64_t dir = 0; dir < n->d; dir++)
    for (int v = 0; v < k->r->cell->n_state; v++) {
      const uint32_t at = INITIAL + (uint32_t)v;
      lrp_real *lane = k->carry[v] + dir * n->b * n->h;
      const lrp_tensor left = matrix(lane, n->b, n->h);
      for (int64_t b = 0; at < k->call->n_in && in_bar[at].data && b < n->b; b++)
        add_to(lrp_reals(&in_bar[at]) + state_at(k, dir, b), lane + b * n->h, n->h);
      if (k->site) k->host->tap(k->ctx, label[v], dir, &left);
    }
}

static inline lrp_status back_start(track *k)
{
  const dims *n = &k->n;
  const cell *c = k->r->cell;
  lrp_status st = first_states(k);
  const bool whole = k->call->in[X].data && !input_of(k->call, LENS);
  if (!st) st = (whole ? raw_room : room)(k, n->d * n->t * n->b, n->i, &k->x);
  for (int64_t dir = 0; !st && k->call->in[X].data && dir < n->d; dir++)
    order_x(k, dir, k->x + dir * n->t * n->b * n->i, lrp_reals(&k->call->in[X]), false);
  if (!st) st = raw_room(k, c->n_value * n->d * n->b, n->h, &k->bar[0]);
  for (int v = 1; !st && v < c->n_value; v++)
    k->bar[v] = k->bar[0] + v * size_of(n);
  if (!st) st = raw_room(k, n->d * n->b, n->h, &k->tmp_a);
  return st ? st : raw_room(k, n->d * n->b, n->h, &k->tmp_b);
}

static inline lrp_status all_back(const lrp_host *h, lrp_ctx *ctx, const recurrent *r,
                                  const lrp_call *call, const lrp_site *site,
                                  const lrp_tensor *out_bar, const lrp_tensor *in_bar)
{
  track k = track_of(h, ctx, r, call);
  const dims *n = &k.n;
  bool some = false;
  for (int v = 0; v <= r->cell->n_state; v++)
    some = some || out_bar[v].data;
  if (!some || !n->b || !n->h) return LRP_OK;
  k.site = site;
  lrp_status st = back_start(&k);
  for (int v = 0; !st && v < r->cell->n_state; v++) {
    const lrp_tensor *from = &out_bar[1 + v];
    st = room(&k, n->d * n->b, n->h, &k.carry[v]);
    for (int64_t i = 0; !st && from->data && i < n->d * n->b; i++)
      memcpy(k.carry[v] + i * n->h, lrp_reals(from) + state_at(&k, i / n->b, i % n->b),
             (size_t)n->h * sizeof(lrp_real));
  }
  for (int64_t s = n->t; !st && s-- > 0;) {
    add_from_y(&k, s, &out_bar[0], k.carry[0]);
    st = step_back(&k, s);
  }
  if (!st) st = give_all_x(&k, &in_bar[X]);
  if (!st) give_states(&k, in_bar);
  return st;
}

/* Back-propagation through time. */
static inline lrp_status recurrent_vjp(const lrp_host *h, lrp_ctx *ctx, const void *inst,
                                       const lrp_call *call, const lrp_tensor *out_bar,
                                       lrp_tensor *in_bar)
{
  return all_back(h, ctx, inst, call, NULL, out_bar, in_bar);
}

static inline lrp_status recurrent_relprop(const lrp_host *h, lrp_ctx *ctx, const lrp_site *site)
{
  return all_back(h, ctx, site->inst, site->call, site, site->r_out, site->r_in);
}

static inline uint32_t recurrent_degree(const void *inst, uint32_t freeze)
{
  (void)inst, (void)freeze;
  return 0;
}
#endif
