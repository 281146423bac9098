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
  lrp_status st = LRP_OK;
  (void)inst;
  for (int k = 0; !st && k < 2; k++)
    if (in_bar[k].data && out_bar[0].data && call->param[k].data)
      st = h->matmul(ctx, &out_bar[0], 0, &call->param[k], 0, NULL, &in_bar[k]);
  return st;
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
                                             .in = recurrent_inner_in,
                                             .out = recurrent_inner_out,
                                             .infer = inner_infer,
                                             .forward = pair_forward,
                                             .vjp = pair_vjp};

/* Runs vjp, or the rule of the walk, on one inner site; r_in[] has two zeroed tensors. */
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

static inline lrp_status affine_back(const track *k, int64_t s, const cell_op *op, lrp_real *x_bar)
{
  const dims *n = &k->n;
  lrp_real *x = op->terms & FROM_X ? k->x + s * n->b * n->i : NULL,
           *a = op->terms & FROM_A ? value_at(k, s, op->a) : NULL;
  lrp_tensor in[2] = {matrix(x, n->b, n->i), matrix(a, n->b, n->h)}, param[4];
  lrp_tensor below[2] = {matrix(x ? k->tmp_x : NULL, n->b, n->i),
                         matrix(a ? k->tmp_a : NULL, n->b, n->h)};
  lrp_tensor z = matrix(value_at(k, s, op->to), n->b, n->h);
  const lrp_tensor above = matrix(k->bar[op->to], n->b, n->h);
  affine_params(k, op, param);
  tensor_zero(&below[0]);
  tensor_zero(&below[1]);
  const lrp_status st = inner_back(k, &recurrent_affine, in, param, &z, &above, below);
  if (!st && x) add_to(x_bar, k->tmp_x, n->b * n->i);
  if (!st && a) add_to(k->bar[op->a], k->tmp_a, size_of(n));
  return st;
}

static inline lrp_status add_back(const track *k, int64_t s, const cell_op *op)
{
  const dims *n = &k->n;
  lrp_tensor in[2] = {matrix(value_at(k, s, op->a), n->b, n->h),
                      matrix(value_at(k, s, op->b), n->b, n->h)};
  lrp_tensor below[2] = {matrix(k->tmp_a, n->b, n->h), matrix(k->tmp_b, n->b, n->h)};
  lrp_tensor z = matrix(value_at(k, s, op->to), n->b, n->h);
  const lrp_tensor above = matrix(k->bar[op->to], n->b, n->h);
  tensor_zero(&below[0]);
  tensor_zero(&below[1]);
  const lrp_status st = inner_back(k, &recurrent_add, in, NULL, &z, &above, below);
  if (!st) {
    add_to(k->bar[op->a], k->tmp_a, size_of(n));
    add_to(k->bar[op->b], k->tmp_b, size_of(n));
  }
  return st;
}

/* gate * signal: the gradient, or relevance by shares that add up to 1. */
static inline void mul_back(const track *k, int64_t s, const cell_op *op, int m)
{
  const lrp_real *a = value_at(k, s, op->a), *b = value_at(k, s, op->b), *bar = k->bar[op->to];
  const lrp_real *share = frozen(k, SHARES) ? shares_at(k, s, m) : NULL;
  lrp_real *to_a = k->bar[op->a], *to_b = k->bar[op->b];
  const int64_t n = size_of(&k->n);
  const int all = frozen(k, GATES);
  for (int64_t i = 0; i < n; i++) {
    lrp_real for_a, for_b;
    if (k->site) {
      for_a = all ? 0 : share ? gate_share(a[i], b[i]) : (lrp_real)0.5;
      for_b = 1 - for_a;
    } else {
      for_a = all ? 0 : share ? share[i] : b[i];
      for_b = share && !all ? share[n + i] : a[i];
    }
    to_a[i] += for_a * bar[i];
    to_b[i] += for_b * bar[i];
  }
}

static inline void act_back(const track *k, int64_t s, const cell_op *op)
{
  const lrp_real *y = value_at(k, s, op->to), *bar = k->bar[op->to];
  lrp_real *to = k->bar[op->a];
  const int64_t n = size_of(&k->n);
  if (is_gate(k->r->cell, op->to) && frozen(k, GATES)) return;
  for (int64_t i = 0; i < n; i++)
    to[i] += k->site ? bar[i] : act_slope(op->block, y[i]) * bar[i];
}

static inline int is_zero(const lrp_real *v, int64_t n)
{
  for (int64_t i = 0; i < n; i++)
    if (v[i] != 0) /* exactly */
      return 0;
  return 1;
}

static inline lrp_status op_back(const track *k, int64_t s, const cell_op *op, int m,
                                 lrp_real *x_bar)
{
  const int64_t n = size_of(&k->n);
  if (is_zero(k->bar[op->to], n)) return LRP_OK;
  switch (op->what) {
  case OP_AFFINE:
    return affine_back(k, s, op, x_bar);
  case OP_ADD:
    return add_back(k, s, op);
  case OP_MUL:
    mul_back(k, s, op, m);
    return LRP_OK;
  case OP_ACT:
    act_back(k, s, op);
    return LRP_OK;
  default: /* 1 - gate: relevance passes */
    for (int64_t i = 0; i < n; i++)
      k->bar[op->a][i] += k->site ? k->bar[op->to][i] : -k->bar[op->to][i];
    return LRP_OK;
  }
}

/* carry[] holds what is pulled back to the states after the step, then to those before it. */
static inline lrp_status step_back(const track *k, int64_t s, lrp_real *const *carry,
                                   lrp_real *x_bar)
{
  const cell *c = k->r->cell;
  const dims *n = &k->n;
  const size_t row = (size_t)n->h * sizeof(lrp_real);
  int n_op = 0, m = c->n_mul;
  for (int v = 0; v < c->n_value; v++)
    memset(k->bar[v], 0, (size_t)size_of(n) * sizeof(lrp_real));
  for (int v = 0; v < c->n_state; v++)
    for (int64_t b = 0; b < n->b; b++) /* a sample that has ended: unchanged to the state before */
      memcpy(k->bar[s < steps_of(k->call, b, n->t) ? c->next[v] : v] + b * n->h,
             carry[v] + b * n->h, row);
  while (c->op[n_op].what)
    n_op++;
  lrp_status st = LRP_OK;
  for (int i = n_op - 1; !st && i >= 0; i--) {
    m -= c->op[i].what == OP_MUL;
    st = op_back(k, s, &c->op[i], m, x_bar);
  }
  for (int v = 0; v < c->n_state; v++)
    memcpy(carry[v], k->bar[v], (size_t)size_of(n) * sizeof(lrp_real));
  return st;
}

/* ---- one direction, back ---- */

/* What comes from y at step s. */
static inline void add_from_y(const track *k, int64_t s, const lrp_tensor *y_bar, lrp_real *carry)
{
  for (int64_t b = 0; y_bar->data && b < k->n.b; b++) {
    const int64_t steps = steps_of(k->call, b, k->n.t);
    if (s < steps)
      add_to(carry + b * k->n.h, lrp_reals(y_bar) + y_at(k, row_at(k, s, b, steps)), k->n.h);
  }
}

static inline void give_x(const track *k, int64_t s, const lrp_real *x_bar, const lrp_tensor *to)
{
  for (int64_t b = 0; to->data && b < k->n.b; b++) {
    const int64_t steps = steps_of(k->call, b, k->n.t);
    if (s < steps)
      add_to(lrp_reals(to) + row_at(k, s, b, steps) * k->n.i, x_bar + b * k->n.i, k->n.i);
  }
}

/* What is left in the state before the first step. */
static inline void give_states(const track *k, lrp_real *const *carry, const lrp_tensor *in_bar)
{
  static const char *const label[] = {"initial_h", "initial_c"};
  for (int v = 0; v < k->r->cell->n_state; v++) {
    const uint32_t at = INITIAL + (uint32_t)v;
    const lrp_tensor left = matrix(carry[v], k->n.b, k->n.h);
    for (int64_t b = 0; at < k->call->n_in && in_bar[at].data && b < k->n.b; b++)
      add_to(lrp_reals(&in_bar[at]) + state_at(k, b), carry[v] + b * k->n.h, k->n.h);
    if (k->site) k->host->tap(k->ctx, label[v], k->dir, &left);
  }
}

static inline lrp_status track_back(track *k, const lrp_tensor *out_bar, const lrp_tensor *in_bar)
{
  const cell *c = k->r->cell;
  const dims *n = &k->n;
  lrp_real *carry[2], *x_bar;
  lrp_status st = track_start(k);
  for (int v = 0; !st && v < c->n_value; v++)
    st = room(k, n->b, n->h, &k->bar[v]);
  for (int v = 0; !st && v < c->n_state; v++) {
    const lrp_tensor *from = &out_bar[1 + v];
    st = room(k, n->b, n->h, &carry[v]);
    for (int64_t b = 0; !st && from->data && b < n->b; b++)
      memcpy(carry[v] + b * n->h, lrp_reals(from) + state_at(k, b),
             (size_t)n->h * sizeof(lrp_real));
  }
  if (!st) st = room(k, n->b, n->i, &x_bar);
  for (int64_t s = n->t; !st && s-- > 0;) {
    memset(x_bar, 0, (size_t)(n->b * n->i) * sizeof *x_bar);
    add_from_y(k, s, &out_bar[0], carry[0]);
    st = step_back(k, s, carry, x_bar);
    if (!st) give_x(k, s, x_bar, &in_bar[X]);
  }
  if (!st) give_states(k, carry, in_bar);
  return st;
}

static inline lrp_status all_back(const lrp_host *h, lrp_ctx *ctx, const recurrent *r,
                                  const lrp_call *call, const lrp_site *site,
                                  const lrp_tensor *out_bar, const lrp_tensor *in_bar)
{
  const dims n = dims_of(r, call);
  int some = 0;
  for (int v = 0; v <= r->cell->n_state; v++)
    some = some || out_bar[v].data;
  lrp_status st = LRP_OK;
  for (int dir = 0; !st && some && n.b && n.h && dir < n.d; dir++) {
    track k = track_of(h, ctx, r, call, dir);
    k.site = site;
    st = track_back(&k, out_bar, in_bar);
  }
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
