/* table_direct.c - the shortest way through a table: one pass over the genuine layer, R' = x . W^T
 * (R / stab(z)), which is LRP-epsilon.  Layers that walk their inner steps come here thousands of
 * times with a hundred numbers each, so nothing is looked up, copied or counted. */
#include "sweep.h"
#include "table.h"

enum { SMALL = 1 << 16 }; /* above it threads are worth their start: the general way has them */

bool lrp_table_is_direct(const lrp_site *site, const lrp_table *t)
{
  const lrp_call *c = site->call;
  if (site->host || !lrp_table_is_genuine(t) || site->degree != 1 || lrp_count(&c->out[0]) > SMALL) return false;
  for (uint32_t i = 0; i < c->n_in; i++)
    if (!site->type->in[i].role || site->type->in[i].role != LRP_PORT_DATA ||
        site->type->in[i].flags & LRP_PORT_MANY || lrp_count(&c->in[i]) > SMALL)
      return false;
  return true;
}

lrp_status lrp_table_eval_direct(lrp_ctx *ctx, const lrp_site *site, const lrp_table *t)
{
  const lrp_call *c = site->call;
  lrp_tensor s = c->out[0];
  const int64_t n = lrp_count(&s);
  s.host = NULL;
  s.flags = 0;
  s.data = lrp_arena_raw(&ctx->scratch, (size_t)n * sizeof(lrp_real) + 64);
  if (!s.data) return lrp_nomem(ctx, "a rule");
  lrp_quotient(lrp_reals(&site->r_out[0]), lrp_reals(&c->out[0]), n, (lrp_real)t->eps,
               lrp_reals(&s));
  const lrp_status st = site->type->vjp(&lrp_the_host, ctx, site->inst, c, &s, site->r_in);
  for (uint32_t i = 0; !st && i < c->n_in; i++)
    if (site->r_in[i].data) {
      lrp_real *r = lrp_reals(&site->r_in[i]);
      lrp_multiply(1, lrp_reals(&c->in[i]), r, 1, lrp_count(&c->in[i]), false, r, NULL);
    }
  return st;
}
