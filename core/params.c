/* params.c - parameters as rules want them: a*w + b*part(w), made once for each layer and kept,
 * with their packed forms. */
#include "params.h"
#include "kernel.h"
#include "table.h"
#include <stdlib.h>
#include <string.h>

static double part_of(double v, int part)
{
  switch (part) {
  case LRP_PART_ALL:
    return v;
  case LRP_PART_POS:
    return v > 0 ? v : 0;
  case LRP_PART_NEG:
    return v < 0 ? v : 0;
  case LRP_PART_SQUARE:
    return v * v;
  case LRP_PART_ONES:
    return 1;
  default:
    return 0;
  }
}

static void fill(const lrp_tensor *w, double a, double b, int part, lrp_real *out)
{
  const lrp_real *v = lrp_reals(w);
  const int64_t n = lrp_count(w);
  const double pos = part == LRP_PART_NEG ? 0 : 1, neg = part == LRP_PART_POS ? 0 : 1;
  if (part == LRP_PART_POS || part == LRP_PART_NEG) /* the usual ones, without a choice for each number */
#pragma omp parallel for simd if (parallel : n > 65536)
    for (int64_t i = 0; i < n; i++)
      out[i] = (lrp_real)((a + b * (v[i] > 0 ? pos : neg)) * (double)v[i]);
  else
    for (int64_t i = 0; i < n; i++)
      out[i] = (lrp_real)(a * (double)v[i] + b * part_of((double)v[i], part));
}

/* An equal modification in one spelling, so that it is found again. */
static void canonical(double *a, double *b, int *part)
{
  if (*part == LRP_PART_ALL) {
    *a += *b;
    *b = 0;
  }
  if (*b == 0 || *part == LRP_PART_ZERO) {
    *b = 0;
    *part = LRP_PART_ZERO;
  }
}

static void key_of(const lrp_pass *p, uint32_t role, double *a, double *b, int *part)
{
  *a = role == LRP_PORT_WEIGHT ? p->w_a : p->b_a;
  *b = role == LRP_PORT_WEIGHT ? p->w_b : p->b_b;
  *part = (int)(role == LRP_PORT_WEIGHT ? p->w_part : p->b_part);
  canonical(a, b, part);
}

static lrp_status variant_make(lrp_ctx *ctx, const lrp_tensor *w, double a, double b, int part,
                               lrp_variant **out)
{
  size_t bytes;
  const lrp_status st = lrp_tensor_bytes(ctx, w, &bytes);
  if (st) return st;
  lrp_variant *v = calloc(1, sizeof *v);
  void *data = v ? lrp_pages_alloc(bytes) : NULL;
  if (!data) {
    free(v);
    return lrp_nomem(ctx, "a rule's form of the weights");
  }
  *v = (lrp_variant){.a = a, .b = b, .part = part, .t = *w};
  v->t.data = data;
  v->t.host = NULL;
  fill(w, a, b, part, data);
  *out = v;
  return lrp_pack_attach(ctx, &v->t);
}

static lrp_status variant_get(lrp_ctx *ctx, lrp_step *s, uint32_t i, double a, double b, int part,
                              lrp_tensor *out)
{
  lrp_variant *v = s->variant[i];
  while (v && !(v->a == a && v->b == b && v->part == part))
    v = v->next;
  lrp_status st = LRP_OK;
  if (!v) {
    st = variant_make(ctx, &s->param[i], a, b, part, &v);
    if (v) {
      v->next = s->variant[i];
      s->variant[i] = v;
    }
  }
  if (!st) *out = v->t;
  return st;
}

/* Which parameters need no copy: absent ones, BUFFERs, unchanged ones, and biases that vanish. */
static bool as_it_is(const lrp_tensor *w, uint32_t role, double a, double b, lrp_tensor *out)
{
  *out = *w;
  if (!w->data || role == LRP_PORT_BUFFER || (a == 1 && b == 0)) return true;
  if (role == LRP_PORT_BIAS && a == 0 && b == 0) {
    out->data = out->host = NULL;
    return true;
  }
  return false;
}

lrp_status lrp_step_params(lrp_ctx *ctx, lrp_step *s, const lrp_pass *p, lrp_tensor *out)
{
  for (uint32_t i = 0; i < s->n_param; i++) {
    const uint32_t role = s->type->param[i].role;
    double a, b;
    int part;
    key_of(p, role, &a, &b, &part);
    if (as_it_is(&s->param[i], role, a, b, &out[i])) continue;
    const lrp_status st = variant_get(ctx, s, i, a, b, part, &out[i]);
    if (st) return st;
  }
  return LRP_OK;
}

lrp_status lrp_params_scratch(lrp_ctx *ctx, const lrp_site *site, const lrp_pass *p,
                              lrp_tensor *out)
{
  for (uint32_t i = 0; i < site->call->n_param; i++) {
    const uint32_t role = site->type->param[i].role;
    double a, b;
    int part;
    key_of(p, role, &a, &b, &part);
    if (as_it_is(&site->call->param[i], role, a, b, &out[i])) continue;
    const lrp_status st = lrp_the_host.scratch(ctx, &site->call->param[i], &out[i]);
    if (st) return st;
    fill(&site->call->param[i], a, b, part, lrp_reals(&out[i]));
  }
  return LRP_OK;
}

/* ---- passes on constants of the rule ---- */

static bool same_pass(const lrp_pass *a, const lrp_pass *b)
{
  return a->in == b->in && a->w_part == b->w_part && a->b_part == b->b_part && a->w_a == b->w_a &&
         a->w_b == b->w_b && a->b_a == b->b_a && a->b_b == b->b_b;
}

const lrp_real *lrp_constant_find(const lrp_step *s, const lrp_pass *pass)
{
  for (const lrp_constant *c = s->constant; c; c = c->next)
    if (same_pass(&c->pass, pass)) return c->z;
  return NULL;
}

lrp_status lrp_constant_keep(lrp_ctx *ctx, lrp_step *s, const lrp_pass *pass, const lrp_real *z,
                             int64_t n)
{
  lrp_constant *c = calloc(1, sizeof *c);
  lrp_real *copy = c ? malloc((size_t)n * sizeof *copy + 1) : NULL;
  if (!copy) {
    free(c);
    return lrp_nomem(ctx, "a rule's constants");
  }
  memcpy(copy, z, (size_t)n * sizeof *copy);
  *c = (lrp_constant){.pass = *pass, .n = n, .z = copy, .next = s->constant};
  s->constant = c;
  return LRP_OK;
}

void lrp_constant_drop(lrp_step *s)
{
  while (s->constant) {
    lrp_constant *c = s->constant;
    s->constant = c->next;
    free(c->z);
    free(c);
  }
}

void lrp_step_params_free(lrp_step *s)
{
  for (uint32_t i = 0; s->variant && i < s->n_param; i++)
    while (s->variant[i]) {
      lrp_variant *v = s->variant[i];
      s->variant[i] = v->next;
      lrp_pack_free(&v->t);
      free(v->t.data);
      free(v);
    }
  lrp_constant_drop(s);
}
