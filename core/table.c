/* table.c - evaluates a rule's table at a site.  The formula stands in plugin.h at lrp_pass; here
 * is what makes it cheap: passes over inputs known to be empty are not run, the genuine pass is the
 * stored one, passes on inputs that are constants of the rule are run once for each layer, groups
 * without relevance are left out, and a transposed pass with the whole weights is the sum of those
 * with its two parts. */
#include "table.h"
#include "params.h"
#include "samples.h"
#include "sweep.h"
#include <math.h>
#include <string.h>

enum { MAX_IN = 64 };
typedef struct pass_run {
  const lrp_pass *pass;
  bool empty;             /* the input part is known to be zero */
  lrp_tensor *in, *param; /* as the pass modifies them */
  const lrp_call *call;   /* evaluation, or a call without one where the layer saves nothing */
  const lrp_real *z;      /* its output 0; NULL: zero */
  lrp_real *own_z;        /* z where nobody else reads it: s may take its place */
  lrp_real *bar[MAX_IN];  /* pulled back, for each wanted input */
  bool pulled;
} pass_run;
typedef struct table_run {
  lrp_ctx *ctx;
  const lrp_site *site;
  const lrp_table *table;
  int64_t n_out; /* elements of output 0 */
  double degree;
  bool begun; /* r_in holds something; before, it is of any content */
  pass_run run[8];
} table_run;

static lrp_status reals(lrp_ctx *ctx, int64_t n, lrp_real **out)
{
  size_t bytes;
  if (!lrp_mul_size((size_t)n, sizeof **out, &bytes) ||
      !(*out = lrp_arena_raw(&ctx->scratch, bytes + 64)))
    return lrp_nomem(ctx, "a rule");
  return LRP_OK;
}

static bool port_is(const table_run *t, uint32_t i, uint32_t role)
{
  const lrp_port *p = t->site->type->in;
  for (uint32_t k = 0; k < i && p[1].role; k++)
    p++;
  return p->role == role;
}

/* ---- inputs and parameters of a pass ---- */

static bool nonneg(const lrp_tensor *x)
{
  return x->flags & LRP_NONNEG;
}

static void fill_bound(const lrp_tensor *x, const lrp_real *bound, int64_t n_bound, lrp_real *out)
{
  const int64_t n = lrp_count(x), c = x->rank ? x->shape[x->rank - 1] : 1;
  for (int64_t i = 0; i < n; i++)
    out[i] = n_bound == 1 ? bound[0] : bound[i % c];
}

static void fill_sign(const lrp_tensor *x, bool positive, lrp_real *out)
{
  const lrp_real *v = lrp_reals(x);
  const int64_t n = lrp_count(x);
  LRP_THREADS_SIMD(n > 65536,
  for (int64_t i = 0; i < n; i++)
    out[i] = positive == (v[i] > 0) ? v[i] : 0;);
}

static lrp_status bounds_fit(const table_run *t, const lrp_tensor *x, int64_t n_bound)
{
  const int64_t c = x->rank ? x->shape[x->rank - 1] : 1;
  if (n_bound == 1 || n_bound == c) return LRP_OK;
  return lrp_fail(
      t->ctx, LRP_E_ARG,
      "the rule's bounds have %lld values, 1 or one for each of the %lld channels was expected",
      (long long)n_bound, (long long)c);
}

/* Input i as the pass wants it; out->data NULL: all zero. */
static lrp_status input_part(table_run *t, uint32_t part, const lrp_tensor *x, lrp_tensor *out)
{
  *out = *x;
  if (part == LRP_IN_X || (part == LRP_IN_POS && nonneg(x))) return LRP_OK;
  if (part == LRP_IN_NEG && nonneg(x)) {
    out->data = NULL;
    return LRP_OK;
  }
  lrp_real *v;
  lrp_status st = reals(t->ctx, lrp_count(x), &v);
  if (st) return st;
  out->data = v;
  out->host = NULL;
  out->flags = 0;
  const bool low = part == LRP_IN_LOW;
  switch (part) {
  case LRP_IN_POS:
  case LRP_IN_NEG:
    fill_sign(x, part == LRP_IN_POS, v);
    out->flags = part == LRP_IN_POS ? LRP_NONNEG : 0;
    return LRP_OK;
  case LRP_IN_ONE:
    for (int64_t i = 0, n = lrp_count(x); i < n; i++)
      v[i] = 1;
    out->flags = LRP_NONNEG;
    return LRP_OK;
  default:
    st = bounds_fit(t, x, low ? t->table->n_low : t->table->n_high);
    if (!st)
      fill_bound(x, low ? t->table->low : t->table->high, low ? t->table->n_low : t->table->n_high,
                 v);
    return st;
  }
}

/* A carrier without data is ones; passes need the numbers. */
static lrp_status carrier_ones(table_run *t, lrp_tensor *x)
{
  lrp_real *v;
  const lrp_status st = x->data ? LRP_OK : reals(t->ctx, lrp_count(x), &v);
  if (st || x->data) return st;
  for (int64_t i = 0, n = lrp_count(x); i < n; i++)
    v[i] = 1;
  x->data = v;
  return LRP_OK;
}

static lrp_status pass_inputs(table_run *t, pass_run *r)
{
  const lrp_call *call = t->site->call;
  r->in = lrp_arena_alloc(&t->ctx->scratch, (call->n_in + 1) * sizeof *r->in);
  if (!r->in) return lrp_nomem(t->ctx, "a rule");
  bool some = false;
  lrp_status st = LRP_OK;
  for (uint32_t i = 0; !st && i < call->n_in; i++) {
    r->in[i] = call->in[i];
    if (port_is(t, i, LRP_PORT_CARRIER)) {
      st = carrier_ones(t, &r->in[i]);
      some = some || r->pass->in != LRP_IN_NEG;
    }
    if (!port_is(t, i, LRP_PORT_DATA) || !call->in[i].data) continue;
    st = input_part(t, r->pass->in, &call->in[i], &r->in[i]);
    some = some || r->in[i].data;
  }
  r->empty = !some;
  for (uint32_t i = 0; !st && some && i < call->n_in;
       i++) /* one operand empty, others not: zeros */
    if (!r->in[i].data && call->in[i].data)
      st = lrp_the_host.scratch(t->ctx, &call->in[i], &r->in[i]);
  return st;
}

static lrp_status pass_params(table_run *t, pass_run *r)
{
  const lrp_site *site = t->site;
  r->param = lrp_arena_alloc(&t->ctx->scratch, (site->call->n_param + 1) * sizeof *r->param);
  if (!r->param) return lrp_nomem(t->ctx, "a rule");
  lrp_pass form = *r->pass;
  if (r->empty) { /* zeros meet any weights alike: none are made for them */
    form.w_a = 1;
    form.w_b = 0;
  }
  return site->host ? lrp_step_params(t->ctx, site->host, &form, r->param)
                    : lrp_params_scratch(t->ctx, site, &form, r->param);
}

static bool params_same(const lrp_tensor *a, const lrp_tensor *b, uint32_t n)
{
  for (uint32_t i = 0; i < n; i++)
    if (a[i].data != b[i].data) return false;
  return true;
}

static bool has_bias(const table_run *t, const lrp_tensor *param)
{
  for (uint32_t i = 0; i < t->site->call->n_param; i++)
    if (t->site->type->param[i].role == LRP_PORT_BIAS && param[i].data) return true;
  return false;
}

/* ---- forward passes ---- */

static bool is_constant(uint32_t in)
{
  return in == LRP_IN_ONE || in == LRP_IN_LOW || in == LRP_IN_HIGH;
}

static lrp_status evaluate(table_run *t, pass_run *r)
{
  const uint32_t kind = t->site->type->kind;
  const lrp_status st = lrp_the_host.forward(t->ctx, t->site, r->in, r->param, &r->call);
  if (!st) r->z = lrp_reals(&r->call->out[0]);
  if (!st && (kind == LRP_KIND_LINEAR || kind == LRP_KIND_SUM)) r->own_z = lrp_reals(&r->call->out[0]);
  return st;
}

/* A call that was not run: enough for vjp where the layer saves nothing. */
static lrp_status call_unrun(table_run *t, pass_run *r)
{
  lrp_call *c = lrp_arena_alloc(&t->ctx->scratch, sizeof *c);
  if (!c) return lrp_nomem(t->ctx, "a rule");
  *c = *t->site->call;
  c->in = r->in;
  c->param = r->param;
  r->call = c;
  return LRP_OK;
}

static lrp_status evaluate_constant(table_run *t, pass_run *r)
{
  lrp_step *step = t->site->host;
  r->z = lrp_constant_find(step, r->pass);
  if (r->z) return call_unrun(t, r);
  const lrp_status st = evaluate(t, r);
  return st ? st : lrp_constant_keep(t->ctx, step, r->pass, r->z, t->n_out);
}

static lrp_status forward_pass(table_run *t, pass_run *r)
{
  const lrp_call *call = t->site->call;
  if (r->empty && !has_bias(t, r->param)) /* known to be zero */
    return call_unrun(t, r);
  if (r->empty) { /* only the bias is left: the layer on zeros */
    for (uint32_t i = 0; i < call->n_in; i++)
      if (!r->in[i].data && call->in[i].data) {
        const lrp_status st = lrp_the_host.scratch(t->ctx, &call->in[i], &r->in[i]);
        if (st) return st;
      }
    return evaluate(t, r);
  }
  bool genuine = params_same(r->param, call->param, call->n_param);
  for (uint32_t i = 0; i < call->n_in; i++)
    genuine = genuine && (r->in[i].data == call->in[i].data || port_is(t, i, LRP_PORT_CARRIER));
  if (genuine && r->pass->in != LRP_IN_NEG && call->out[0].data) { /* else it went: lifetime.c */
    r->call = call;
    r->z = lrp_reals(&call->out[0]);
    return LRP_OK;
  }
  if (is_constant(r->pass->in) && t->site->host && !t->site->type->n_saved && call->n_in == 1)
    return evaluate_constant(t, r);
  return evaluate(t, r);
}

/* ---- a group: gate, denominator, quotient ---- */

/* d = degree * sum of den_p z_p over the group's passes. */
static lrp_status denominator(table_run *t, uint32_t group, lrp_division *q)
{
  for (uint32_t p = 0; p < t->table->n_pass; p++) {
    pass_run *r = &t->run[p];
    if (r->pass->group != group || r->pass->den == 0) continue;
    const lrp_status st = forward_pass(t, r);
    if (st) return st;
    if (!r->z) continue;
    q->factor[q->n_term] = (lrp_real)(r->pass->den * t->degree);
    q->term[q->n_term++] = r->z;
  }
  return LRP_OK;
}

/* What gates look at; where the output went, none of them does. */
static const lrp_real *signs(const lrp_site *site)
{
  const lrp_tensor *z = &site->call->out[0];
  return lrp_reals(z->data ? z : &site->r_out[0]);
}

uint32_t lrp_table_taking(const lrp_site *site, const lrp_table *table, int64_t first, int64_t n)
{
  uint32_t bits = 0;
  const lrp_real *z = signs(site) + first, *r = lrp_reals(&site->r_out[0]) + first;
  for (uint32_t g = 0; g < table->n_group; g++)
    bits |= (uint32_t)lrp_gate_some(&table->group[g], z, r, n) << g;
  return bits;
}

void lrp_table_quotient(const lrp_site *site, const lrp_table *table, lrp_division *q, lrp_real *s,
                        lrp_loss *loss)
{
  const lrp_tensor *out = &site->call->out[0];
  const bool apart = loss && loss->run && !lrp_samples_are_blocks(out, loss->run, loss->n);
  const int64_t n = apart ? lrp_count(out) / loss->run : out->rank ? out->shape[0] : 1,
                m = n ? lrp_count(out) / n : 0;
  q->z = signs(site);
  q->r = lrp_reals(&site->r_out[0]);
  q->stab = table->stab;
  for (int64_t first = 0; first < n; first += LRP_SWEEP_SAMPLES) {
    double lost[LRP_SWEEP_SAMPLES], given[LRP_SWEEP_SAMPLES], eps[LRP_SWEEP_SAMPLES];
    const int64_t count = n - first < LRP_SWEEP_SAMPLES ? n - first : LRP_SWEEP_SAMPLES;
    for (int64_t k = 0; k < count; k++)
      eps[k] = table->norm_scale && m
                   ? table->eps * sqrt(lrp_division_square(q, (first + k) * m, (first + k + 1) * m) /
                                       (double)m)
                   : table->eps;
    lrp_divide_each(q, first, count, m, eps, s, lost, given);
    for (int64_t k = 0; loss && k < count; k++) {
      const int64_t sample = apart ? (first + k) % loss->n : (first + k) * loss->n / n;
      loss->stab[sample] += lost[k];
      loss->gate[sample] -= given[k];
    }
  }
}

/* ---- transposed passes ---- */

static lrp_status pull(table_run *t, pass_run *r, const lrp_tensor *s)
{
  const lrp_tensor *bar;
  const lrp_status st = lrp_the_host.vjp(t->ctx, t->site, r->call, s, &bar);
  for (uint32_t i = 0; !st && i < t->site->call->n_in && i < MAX_IN; i++)
    r->bar[i] = bar[i].data;
  r->pulled = !st;
  return st;
}

/* The pass of the group that has the same weights and is pulled already. */
static bool pulled_by_another(table_run *t, pass_run *r)
{
  for (uint32_t p = 0; p < t->table->n_pass; p++) {
    pass_run *q = &t->run[p];
    if (q == r || !q->pulled || q->pass->group != r->pass->group ||
        t->site->type->kind != LRP_KIND_LINEAR)
      continue;
    bool same = true;
    for (uint32_t i = 0; i < t->site->call->n_param; i++)
      if (t->site->type->param[i].role == LRP_PORT_WEIGHT)
        same = same && q->param[i].data == r->param[i].data;
    if (same) {
      memcpy(r->bar, q->bar, sizeof r->bar);
      return r->pulled = true;
    }
  }
  return false;
}

static pass_run *pass_with_part(table_run *t, uint32_t group, uint32_t part)
{
  for (uint32_t p = 0; p < t->table->n_pass; p++) {
    pass_run *r = &t->run[p];
    if (r->pass->group == group && r->pass->red != 0 && !r->empty && r->pass->w_part == part &&
        r->pass->w_a == 0 && r->pass->w_b == 1)
      return r;
  }
  return NULL;
}

static bool whole_weights(const lrp_pass *p)
{
  return p->w_a == 1 && p->w_b == 0;
}

/* W = W+ + W-: where a group pulls both parts, the whole is their sum. */
static lrp_status pull_whole(table_run *t, pass_run *r, const lrp_tensor *s, bool *done)
{
  pass_run *pos = pass_with_part(t, r->pass->group, LRP_PART_POS),
           *neg = pass_with_part(t, r->pass->group, LRP_PART_NEG);
  *done = pos && neg && whole_weights(r->pass) && t->site->type->kind == LRP_KIND_LINEAR &&
          t->site->call->n_in == 1;
  if (!*done) return LRP_OK;
  lrp_status st = pos->pulled ? LRP_OK : pull(t, pos, s);
  if (!st && !neg->pulled) st = pull(t, neg, s);
  const int64_t n = lrp_count(&t->site->call->in[0]);
  if (!st) st = reals(t->ctx, n, &r->bar[0]);
  for (int64_t i = 0; !st && i < n; i++)
    r->bar[0][i] = pos->bar[0][i] + neg->bar[0][i];
  r->pulled = !st;
  return st;
}

void lrp_table_give(const lrp_site *site, uint32_t k, lrp_real factor, const lrp_real *x, const lrp_real *bar,
                    bool add, lrp_loss *loss)
{
  const lrp_tensor *to = &site->r_in[k];
  double *sum = loss && loss->in ? loss->in[k] : NULL;
  const int64_t n = sum ? loss->n : 1;
  lrp_multiply(factor, x, bar, n, n ? lrp_count(to) / n : 0, add, lrp_reals(to), sum);
}

/* r_in = or += red * x * bar; an input that gets nothing is zero. */
static void accumulate(table_run *t, const pass_run *r, lrp_loss *loss)
{
  for (uint32_t k = 0; k < t->site->call->n_in && k < MAX_IN; k++) {
    lrp_tensor *to = &t->site->r_in[k];
    const lrp_real *bar = r->bar[k], *x = r->in[k].data;
    if (!to->data) continue;
    if (bar && x)
      lrp_table_give(t->site, k, (lrp_real)r->pass->red, x, bar, t->begun || lrp_table_holds(loss, k), loss);
    else if (!t->begun && !lrp_table_holds(loss, k))
      memset(to->data, 0, (size_t)lrp_count(to) * sizeof(lrp_real));
  }
  t->begun = true;
}

static bool comes_back(const pass_run *r, uint32_t group)
{
  return r->pass->group == group && r->pass->red != 0 && !r->empty;
}

/* The first thing that comes back, where its group has nothing else: pulled into r_in itself. */
static lrp_status pull_alone(table_run *t, pass_run *r, uint32_t group, const lrp_tensor *s,
                             const lrp_loss *loss, bool *done)
{
  const lrp_site *site = t->site;
  *done = !t->begun;
  for (uint32_t p = 0; p < t->table->n_pass; p++)
    *done = *done && (&t->run[p] == r || !comes_back(&t->run[p], group));
  for (uint32_t k = 0; k < site->call->n_in; k++)
    *done = *done && !lrp_table_holds(loss, k);
  for (uint32_t k = 0; *done && k < site->call->n_in; k++) {
    r->bar[k] = lrp_reals(&site->r_in[k]);
    if (r->bar[k] && !lrp_writes_bar(site->type))
      memset(r->bar[k], 0, (size_t)lrp_count(&site->r_in[k]) * sizeof(lrp_real));
  }
  return *done ? site->type->vjp(&lrp_the_host, t->ctx, site->inst, r->call, s, site->r_in) : LRP_OK;
}

static lrp_status group_back(table_run *t, uint32_t group, const lrp_tensor *s, lrp_loss *loss)
{
  lrp_status st = LRP_OK;
  for (uint32_t p = 0; !st && p < t->table->n_pass; p++) {
    pass_run *r = &t->run[p];
    if (!comes_back(r, group)) continue;
    bool done = r->pulled || pulled_by_another(t, r);
    if (!done) st = pull_whole(t, r, s, &done);
    if (!st && !done) st = pull_alone(t, r, group, s, loss, &done);
    if (!st && !done) st = pull(t, r, s);
    if (!st) accumulate(t, r, loss);
  }
  return st;
}

/* s takes the place of a z of the group that is read block by block as s is written. */
static lrp_status room_for_quotient(table_run *t, uint32_t group, lrp_tensor *s)
{
  for (uint32_t p = 0; p < t->table->n_pass; p++) {
    pass_run *r = &t->run[p];
    if (r->pass->group != group || r->pass->den == 0 || !r->own_z) continue;
    *s = t->site->r_out[0];
    s->flags = 0;
    s->host = NULL;
    s->data = r->own_z;
    return LRP_OK;
  }
  return lrp_scratch_raw(t->ctx, &t->site->r_out[0], s);
}

static lrp_status group_eval(table_run *t, uint32_t group, lrp_loss *loss)
{
  lrp_tensor s[MAX_IN] = {{0}};
  lrp_division q = {.group = &t->table->group[group]};
  lrp_status st = LRP_OK;
  for (uint32_t p = 0; !st && p < t->table->n_pass; p++)
    if (t->run[p].pass->group == group && t->run[p].pass->den == 0 && t->run[p].pass->red != 0)
      st = forward_pass(t, &t->run[p]); /* pulled back only: the layer may need what it saves */
  if (!st) st = denominator(t, group, &q);
  if (!st) st = room_for_quotient(t, group, &s[0]);
  if (st) return st;
  lrp_table_quotient(t->site, t->table, &q, lrp_reals(&s[0]), loss);
  return group_back(t, group, s, loss);
}

lrp_status lrp_table_eval(lrp_ctx *ctx, const lrp_site *site, const lrp_table *table,
                          lrp_loss *loss)
{
  if (table->n_pass > 8 || table->n_group > 4 || !table->n_pass || !table->n_group)
    return lrp_fail(ctx, LRP_E_ABI,
                    "the rule's table has %u passes and %u groups; 1 to 8 and 1 to 4 are possible",
                    table->n_pass, table->n_group);
  if (site->call->n_in > MAX_IN || site->call->n_out != 1 || !site->type->vjp)
    return lrp_fail(ctx, LRP_E_UNSUPPORTED,
                    "a rule that is a table takes layers with one output and at most %d inputs; "
                    "layer \"%s\" has %u and %u",
                    MAX_IN, site->type->name, site->call->n_out, site->call->n_in);
  bool done;
  if (loss) loss->summed = loss->in != NULL;
  if (lrp_table_is_join(site, table, loss)) return lrp_table_eval_join(ctx, site, table, loss);
  lrp_status st = lrp_table_eval_parts(ctx, site, table, loss, &done);
  if (st || done) return st;
  if (!loss && lrp_table_is_direct(site, table)) return lrp_table_eval_direct(ctx, site, table);
  const uint32_t taking = lrp_table_taking(site, table, 0, lrp_count(&site->call->out[0]));
  if (lrp_table_is_paired(site, table, taking)) return lrp_table_eval_paired(ctx, site, table, loss);
  table_run t = {.ctx = ctx, .site = site, .table = table, .n_out = lrp_count(&site->call->out[0])};
  t.degree = site->degree ? site->degree : 1;
  for (uint32_t p = 0; !st && p < table->n_pass; p++) {
    t.run[p].pass = &table->pass[p];
    st = table->pass[p].group < table->n_group
             ? pass_inputs(&t, &t.run[p])
             : lrp_fail(ctx, LRP_E_ABI, "the rule's pass %u names group %u of %u", p,
                        table->pass[p].group, table->n_group);
    if (!st) st = pass_params(&t, &t.run[p]);
  }
  for (uint32_t g = 0; !st && g < table->n_group; g++)
    if (taking >> g & 1) st = group_eval(&t, g, loss);
  for (uint32_t k = 0; !st && !t.begun && k < site->call->n_in; k++)
    if (site->r_in[k].data && !lrp_table_holds(loss, k))
      memset(site->r_in[k].data, 0, (size_t)lrp_count(&site->r_in[k]) * sizeof(lrp_real));
  return st;
}
