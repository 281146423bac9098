/* table_join.c - a sum of branches of equal shape, in one sweep: LRP-epsilon and its like on residual connections.
 *
 *     d = f0 x0 + f1 x1 + ...        R'_i = f_i x_i R / stab(d)
 *
 * The genuine sum may have gone (lifetime.c): it is added up again on the way.  Done as passes of the layer, each of
 * which goes through memory, the same took more than twice as long. */
#include "samples.h"
#include "table.h"
#include <string.h>

bool lrp_table_is_genuine(const lrp_table *t)
{
  const lrp_pass *p = &t->pass[0];
  return t->n_pass == 1 && t->n_group == 1 && p->in == LRP_IN_X && p->w_a == 1 && p->w_b == 0 && p->b_a == 1 &&
         p->b_b == 0 && p->den == 1 && p->red == 1 && p->group == 0 && t->group[0].gate == LRP_GATE_ALL &&
         t->group[0].coef == 1 && t->stab == LRP_STAB_ADD && !t->norm_scale;
}

bool lrp_table_is_join(const lrp_site *site, const lrp_table *t, const lrp_loss *loss)
{
  const lrp_call *c = site->call;
  const lrp_tensor *y = &c->out[0];
  bool ok = site->host && site->type->kind == LRP_KIND_SUM && lrp_table_is_genuine(t) && site->degree <= 1 &&
            c->n_in <= LRP_JOIN_MOST && !c->n_param && !c->n_saved && y->rank > 0 && lrp_count(y) > 0 &&
            (!loss || (lrp_count(y) % loss->n == 0 &&
                       (!loss->run || lrp_samples_are_blocks(y, loss->run, loss->n))));
  for (uint32_t i = 0; ok && i < c->n_in; i++)
    ok = c->in[i].data && c->in[i].dtype == LRP_REAL && c->in[i].rank == y->rank &&
         !memcmp(c->in[i].shape, y->shape, (size_t)y->rank * sizeof *y->shape);
  return ok;
}

/* A branch's factor in the sum: what the layer gives back to it of a single 1. */
static lrp_status factors(lrp_ctx *ctx, const lrp_site *site, lrp_real *factor)
{
  static lrp_real one = 1;
  const lrp_tensor single = {.dtype = LRP_REAL, .rank = 1, .shape = {1}, .data = &one};
  lrp_tensor in[LRP_JOIN_MOST], out = single, bar[LRP_JOIN_MOST];
  lrp_call call = *site->call;
  for (uint32_t i = 0; i < call.n_in; i++) {
    in[i] = bar[i] = single;
    bar[i].data = &factor[i];
    factor[i] = 0;
  }
  call.in = in;
  call.out = &out;
  return site->type->vjp(&lrp_the_host, ctx, site->inst, &call, &single, bar);
}

lrp_status lrp_table_eval_join(lrp_ctx *ctx, const lrp_site *site, const lrp_table *t, lrp_loss *loss)
{
  const lrp_call *c = site->call;
  const int64_t all = lrp_count(&c->out[0]), n = loss ? loss->n : 1;
  lrp_join j = {.n_in = c->n_in, .eps = (lrp_real)t->eps, .r = lrp_reals(&site->r_out[0])};
  for (uint32_t i = 0; i < c->n_in; i++) {
    j.x[i] = lrp_reals(&c->in[i]);
    j.back[i] = lrp_reals(&site->r_in[i]);
    j.add[i] = lrp_table_holds(loss, i);
  }
  const lrp_status st = factors(ctx, site, j.factor);
  if (!st) lrp_join_each(&j, n, all / n, loss ? loss->stab : NULL, loss ? loss->in : NULL);
  if (!st && loss) memset(loss->gate, 0, (size_t)n * sizeof *loss->gate); /* nothing is held back */
  return st;
}
