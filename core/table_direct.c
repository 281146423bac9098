/* table_direct.c - the shortest way through a table: one pass over the genuine layer, R' = x . W^T
 * (R / stab(z)), which is LRP-epsilon.  Layers that walk their inner steps come here thousands of
 * times with a hundred numbers each, so nothing is looked up, copied or counted. */
#include "table.h"

enum { SMALL = 1 << 16 }; /* above it threads are worth their start: the general way has them */

static bool is_genuine(const lrp_pass *p)
{
  return p->in == LRP_IN_X && p->w_a == 1 && p->w_b == 0 && p->b_a == 1 && p->b_b == 0 &&
         p->den == 1 && p->red == 1 && p->group == 0;
}

bool lrp_table_is_direct(const lrp_site *site, const lrp_table *t)
{
  const lrp_call *c = site->call;
  if (site->host || t->n_pass != 1 || t->n_group != 1 || !is_genuine(&t->pass[0]) ||
      t->group[0].gate != LRP_GATE_ALL || t->group[0].coef != 1 || t->stab != LRP_STAB_ADD ||
      t->norm_scale || site->degree != 1 || lrp_count(&c->out[0]) > SMALL)
    return false;
  for (uint32_t i = 0; i < c->n_in; i++)
    if (!site->type->in[i].role || site->type->in[i].role != LRP_PORT_DATA ||
        site->type->in[i].flags & LRP_PORT_MANY || lrp_count(&c->in[i]) > SMALL)
      return false;
  return true;
}

/* s = r / (z + eps sgn z), 0 where r is 0.  Two loops: compilers make a branch of one, and no
 * vectors. */
static void quotient(const lrp_real *r, const lrp_real *z, int64_t n, lrp_real eps, lrp_real *s)
{
#pragma omp simd
  for (int64_t i = 0; i < n; i++)
    s[i] = r[i] / (z[i] + (z[i] < 0 ? -eps : eps));
#pragma omp simd
  for (int64_t i = 0; i < n; i++)
    s[i] = r[i] == 0 ? 0 : s[i];
}

/* v = x v, 0 where v is 0: x = -inf is a mask. */
static void times(const lrp_real *x, int64_t n, lrp_real *v)
{
  enum { BLOCK = 256 };
  lrp_real y[BLOCK];
  for (int64_t at = 0; at < n; at += BLOCK) {
    const int64_t m = n - at < BLOCK ? n - at : BLOCK;
#pragma omp simd
    for (int64_t i = 0; i < m; i++)
      y[i] = x[at + i] * v[at + i];
#pragma omp simd
    for (int64_t i = 0; i < m; i++)
      v[at + i] = v[at + i] != 0 ? y[i] : 0;
  }
}

lrp_status lrp_table_eval_direct(lrp_ctx *ctx, const lrp_site *site, const lrp_table *t)
{
  const lrp_call *c = site->call;
  lrp_tensor s = c->out[0];
  const int64_t n = lrp_count(&s);
  s.host = NULL;
  s.flags = 0;
  s.data = lrp_arena_alloc(&ctx->scratch, (size_t)n * sizeof(lrp_real) + 64);
  if (!s.data) return lrp_nomem(ctx, "a rule");
  quotient(lrp_reals(&site->r_out[0]), lrp_reals(&c->out[0]), n, (lrp_real)t->eps, lrp_reals(&s));
  const lrp_status st = site->type->vjp(&lrp_the_host, ctx, site->inst, c, &s, site->r_in);
  for (uint32_t i = 0; !st && i < c->n_in; i++)
    if (site->r_in[i].data)
      times(lrp_reals(&c->in[i]), lrp_count(&c->in[i]), lrp_reals(&site->r_in[i]));
  return st;
}
