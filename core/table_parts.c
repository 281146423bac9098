/* table_parts.c - large sites, part by part: what one step of a rule writes is still in the cache when
 * the next one reads it, and working memory is that of a part.
 *
 * A convolution is cut into its samples, where these are larger than its weights, which each part
 * reads anew.  Where a gate takes something in one sample and nothing in another, each sample goes by itself
 * too: rules choose cheaper forms by what gates take, and a sample's numbers must not depend on its
 * neighbours.  Parts never depend on threads. */
#include "samples.h"
#include "sweep.h"
#include "table.h"
#include <string.h>

enum {
  LEAST = 1 << 18, /* elements of a sample that is worth a part of its own */
  MOST_IN = 8
};

typedef struct part {
  lrp_site site;
  lrp_call call;
  lrp_tensor in[MOST_IN], out, r_out, r_in[MOST_IN];
} part;

static bool is_plain(const lrp_site *site, const lrp_loss *loss)
{
  const lrp_call *c = site->call;
  const int64_t n = c->out[0].rank > 1 ? c->out[0].shape[0] : 0;
  bool ok = site->host && n > 0 && c->n_in <= MOST_IN && c->n_out == 1 && !c->n_saved &&
            (!loss || (loss->n == n && (!loss->run || lrp_samples_are_blocks(&c->out[0], loss->run, n)))) &&
            lrp_writes_bar(site->type);
  for (uint32_t i = 0; ok && i < c->n_in; i++)
    ok = c->in[i].data && c->in[i].dtype == LRP_REAL && c->in[i].rank > 1 && c->in[i].shape[0] == n;
  return ok;
}

static bool samples_differ(const lrp_site *site, const lrp_table *t, int64_t n, int64_t each)
{
  bool gated = false, differ = false;
  for (uint32_t g = 0; g < t->n_group; g++)
    gated = gated || t->group[g].gate != LRP_GATE_ALL;
  if (!gated || n < 2 || !site->call->out[0].data || !site->r_out[0].data) return false;
  const uint32_t first = lrp_table_taking(site, t, 0, each);
  for (int64_t k = 1; k < n && !differ; k++)
    differ = lrp_table_taking(site, t, k * each, each) != first;
  return differ;
}

static bool is_cut(const lrp_site *site, const lrp_table *t, const lrp_loss *loss)
{
  const lrp_call *c = site->call;
  if (!is_plain(site, loss)) return false;
  const int64_t n = c->out[0].shape[0], each = lrp_count(&c->out[0]) / n;
  if (site->type->kind == LRP_KIND_LINEAR && samples_differ(site, t, n, each)) return true;
  int64_t weights = 0;
  for (uint32_t i = 0; i < c->n_param; i++)
    weights += c->param[i].data ? lrp_count(&c->param[i]) : 0;
  return site->type->kind == LRP_KIND_LINEAR && site->type->layout == LRP_LAYOUT_IMAGE && n > 1 && c->n_in == 1 &&
         c->out[0].rank > 2 && each + lrp_count(&c->in[0]) / n >= LEAST &&
         each + lrp_count(&c->in[0]) / n >= 2 * weights;
}

static lrp_tensor sample(const lrp_tensor *t, int64_t k)
{
  lrp_tensor v = *t;
  v.shape[0] = 1;
  v.host = NULL;
  if (v.data) v.data = lrp_reals(t) + k * lrp_count(&v);
  return v;
}

static lrp_status eval_part(lrp_ctx *ctx, const lrp_site *site, const lrp_table *t, lrp_loss *loss, int64_t k)
{
  const lrp_call *c = site->call;
  const lrp_mark mark = lrp_arena_mark(&ctx->scratch);
  part p = {.site = *site, .call = *c, .out = sample(&c->out[0], k), .r_out = sample(&site->r_out[0], k)};
  for (uint32_t i = 0; i < c->n_in; i++) {
    p.in[i] = sample(&c->in[i], k);
    p.r_in[i] = sample(&site->r_in[i], k);
  }
  p.call.in = p.in;
  p.call.out = &p.out;
  p.site.call = &p.call;
  p.site.r_out = &p.r_out;
  p.site.r_in = p.r_in;
  double *sum[MOST_IN] = {NULL};
  lrp_loss one = {.n = 1, .stab = loss ? &loss->stab[k] : NULL, .gate = loss ? &loss->gate[k] : NULL,
                  .in = loss && loss->in ? sum : NULL, .holds = loss ? loss->holds : NULL};
  for (uint32_t i = 0; one.in && i < c->n_in; i++)
    sum[i] = loss->in[i] ? &loss->in[i][k] : NULL;
  const int64_t of = ctx->samples;
  ctx->samples = of ? 1 : 0;
  const lrp_status st = lrp_table_eval(ctx, &p.site, t, loss ? &one : NULL);
  ctx->samples = of;
  lrp_arena_release(&ctx->scratch, mark);
  return st;
}

lrp_status lrp_table_eval_parts(lrp_ctx *ctx, const lrp_site *site, const lrp_table *t, lrp_loss *loss,
                                bool *done)
{
  lrp_status st = LRP_OK;
  *done = is_cut(site, t, loss);
  for (int64_t k = 0; *done && !st && k < site->call->out[0].shape[0]; k++)
    st = eval_part(ctx, site, t, loss, k);
  return st;
}
