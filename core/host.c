/* host.c - the table that plugins are given: evaluation of layers for rules, reading of nodes for
 * operators, kernels. */
#include "graph.h"
#include "kernel.h"
#include "params.h"
#include "table.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static lrp_status host_fail(lrp_ctx *ctx, lrp_status status, const char *fmt, ...)
{
  char text[LRP_MESSAGE_MAX];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  return lrp_fail(ctx, status ? status : LRP_E_ABI, "%s", text);
}

static lrp_status scratch(lrp_ctx *ctx, const lrp_tensor *like, bool zero, lrp_tensor *out)
{
  size_t bytes;
  const lrp_status st = lrp_tensor_bytes(ctx, like, &bytes);
  if (st) return st;
  *out = *like;
  out->flags = 0;
  out->host = NULL;
  out->data = (zero ? lrp_arena_alloc : lrp_arena_raw)(&ctx->scratch, bytes + 64);
  return out->data ? LRP_OK : lrp_nomem(ctx, "a rule");
}

static lrp_status host_scratch(lrp_ctx *ctx, const lrp_tensor *like, lrp_tensor *out)
{
  return scratch(ctx, like, true, out);
}

lrp_status lrp_scratch_raw(lrp_ctx *ctx, const lrp_tensor *like, lrp_tensor *out)
{
  return scratch(ctx, like, false, out);
}

/* ---- evaluation for rules ---- */

/* Room for outputs and saved tensors in the shapes of the genuine call; frozen intermediates are
 * taken from it. */
static lrp_status fresh_call(lrp_ctx *ctx, const lrp_site *site, lrp_call **out)
{
  const lrp_call *genuine = site->call;
  lrp_call *c = lrp_arena_alloc(&ctx->scratch, sizeof *c);
  lrp_tensor *o = lrp_arena_alloc(&ctx->scratch, (genuine->n_out + 1) * sizeof *o);
  lrp_tensor *s = lrp_arena_alloc(&ctx->scratch, (genuine->n_saved + 1) * sizeof *s);
  if (!c || !o || !s) return lrp_nomem(ctx, "a rule");
  *c = *genuine;
  c->out = o;
  c->saved = s;
  lrp_status st = LRP_OK;
  for (uint32_t i = 0; !st && i < c->n_out; i++)
    st = lrp_scratch_raw(ctx, &genuine->out[i], &o[i]); /* forward writes all of it */
  for (uint32_t i = 0; !st && i < c->n_saved; i++) {
    const bool frozen = c->freeze >> i & 1;
    s[i] = genuine->saved[i];
    if (!frozen && lrp_saves(site->type, c->freeze, i))
      st = lrp_scratch_raw(ctx, &genuine->saved[i], &s[i]);
  }
  *out = c;
  return st;
}

static lrp_status host_forward(lrp_ctx *ctx, const lrp_site *site, const lrp_tensor *in,
                               const lrp_tensor *param, const lrp_call **out)
{
  if (!in && !param) {
    *out = site->call;
    return LRP_OK;
  }
  lrp_call *c = NULL;
  lrp_status st = fresh_call(ctx, site, &c);
  if (st) return st;
  c->in = in ? in : site->call->in;
  c->param = param ? param : site->call->param;
  st = site->type->forward(&lrp_the_host, ctx, site->inst, c);
  *out = c;
  return st;
}

static lrp_status host_vjp(lrp_ctx *ctx, const lrp_site *site, const lrp_call *call,
                           const lrp_tensor *out_bar, const lrp_tensor **in_bar)
{
  if (!site->type->vjp)
    return lrp_fail(ctx, LRP_E_UNSUPPORTED, "layer \"%s\" cannot pass relevance: it has no vjp",
                    site->type->name);
  lrp_tensor *bar = lrp_arena_alloc(&ctx->scratch, (call->n_in + 1) * sizeof *bar);
  if (!bar) return lrp_nomem(ctx, "a rule");
  lrp_status st = LRP_OK;
  for (uint32_t i = 0; !st && i < call->n_in; i++)
    if (site->r_in[i].data) st = scratch(ctx, &site->r_in[i], !lrp_writes_bar(site->type), &bar[i]);
  if (!st) st = site->type->vjp(&lrp_the_host, ctx, site->inst, call, out_bar, bar);
  *in_bar = bar;
  return st;
}

static lrp_status host_params(lrp_ctx *ctx, const lrp_site *site, double a, double b, int part,
                              int keep_bias, const lrp_tensor **param)
{
  const lrp_pass pass = {.w_part = (uint32_t)part,
                         .b_part = (uint32_t)part,
                         .w_a = a,
                         .w_b = b,
                         .b_a = keep_bias ? a : 0,
                         .b_b = keep_bias ? b : 0};
  lrp_tensor *p = lrp_arena_alloc(&ctx->scratch, (site->call->n_param + 1) * sizeof *p);
  if (!p) return lrp_nomem(ctx, "a rule");
  *param = p;
  return site->host ? lrp_step_params(ctx, site->host, &pass, p)
                    : lrp_params_scratch(ctx, site, &pass, p);
}

/* What an inner site needs dies with it: a layer that walks its steps comes here for each of
 * them. */
static lrp_status host_relprop(lrp_ctx *ctx, const lrp_rule *rule, const lrp_value *args,
                               const lrp_site *site)
{
  const lrp_mark mark = lrp_arena_mark(&ctx->scratch);
  const lrp_status st = lrp_site_relprop(ctx, rule, args, site, NULL);
  lrp_arena_release(&ctx->scratch, mark);
  return st;
}

/* The one division of the project: num / stabilised(den), 0/0 = 0; sgn(0) = +1 as in zennit's
 * Stabilizer. */
static void host_divide(const lrp_real *num, const lrp_real *den, int64_t n, uint32_t stab,
                        double eps, lrp_real *out)
{
  const lrp_real e = (lrp_real)eps;
  LRP_THREADS_SIMD(n > 65536,
  for (int64_t i = 0; i < n; i++) {
    const lrp_real d = den[i], sign = d < 0 ? (lrp_real)-1 : (lrp_real)1, size = d < 0 ? -d : d;
    const lrp_real s = stab == LRP_STAB_ADD        ? d + e * sign
                       : stab == LRP_STAB_CLIP     ? sign * (size > e ? size : e)
                       : stab == LRP_STAB_UNSIGNED ? d + e
                       : d == 0                    ? e
                                                   : d;
    out[i] = num[i] == 0 ? 0 : num[i] / s;
  });
}

/* ---- nodes for operators ---- */

static const lrp_onnx_attr *attribute(const lrp_node *n, const char *name)
{
  for (int32_t i = 0; i < n->onnx->n_attr; i++)
    if (!strcmp(n->onnx->attr[i].name, name)) return &n->onnx->attr[i];
  return NULL;
}

static const char *host_node_name(const lrp_node *n)
{
  return n->onnx->name;
}

static int32_t host_node_opset(const lrp_node *n)
{
  return n->opset;
}

static uint32_t host_node_n_in(const lrp_node *n)
{
  return (uint32_t)n->onnx->n_in;
}

static uint32_t host_node_n_out(const lrp_node *n)
{
  uint32_t used = 0;
  for (int32_t i = 0; i < n->onnx->n_out; i++)
    if (n->onnx->out[i][0]) used = (uint32_t)i + 1;
  return used;
}

static int host_node_has(const lrp_node *n, const char *name)
{
  return attribute(n, name) != NULL;
}

static int64_t host_node_int(const lrp_node *n, const char *name, int64_t otherwise)
{
  const lrp_onnx_attr *a = attribute(n, name);
  return a && a->type == LRP_ATTR_INT ? a->i : otherwise;
}

/* An attribute is a float in the file, but stands for the decimal that somebody wrote: 0.1, not
 * 0.100000001490116.  The double build takes the shortest decimal that rounds to the float. */
static double decimal_of(double v)
{
#ifdef LRP_REAL_DOUBLE
  char text[40];
  for (int digits = 1; digits < 9; digits++) {
    snprintf(text, sizeof text, "%.*g", digits, v);
    const double d = strtod(text, NULL);
    if ((float)d == (float)v) return d;
  }
#endif
  return v;
}

static double host_node_real(const lrp_node *n, const char *name, double otherwise)
{
  const lrp_onnx_attr *a = attribute(n, name);
  return a && a->type == LRP_ATTR_REAL  ? decimal_of(a->real)
         : a && a->type == LRP_ATTR_INT ? (double)a->i
                                        : otherwise;
}

static const char *host_node_text(const lrp_node *n, const char *name, const char *otherwise)
{
  const lrp_onnx_attr *a = attribute(n, name);
  return a && a->type == LRP_ATTR_TEXT && a->text ? a->text : otherwise;
}

static int32_t host_node_type(const lrp_node *n, uint32_t i)
{
  const int32_t e = i < (uint32_t)n->onnx->n_in ? n->edge[i] : -1;
  return e < 0 ? 0 : n->graph->edge[e].type;
}

static const char *host_node_word(const lrp_node *n, const char *name, int64_t i)
{
  const lrp_onnx_attr *a = attribute(n, name);
  return a && a->type == LRP_ATTR_TEXTS && i >= 0 && i < a->n ? a->texts[i] : NULL;
}

static lrp_value host_node_ints(const lrp_node *n, const char *name)
{
  const lrp_onnx_attr *a = attribute(n, name);
  lrp_value v = {.ints = {NULL, 0}};
  if (a && a->type == LRP_ATTR_INTS) {
    v.ints.v = a->ints;
    v.ints.n = a->n;
  }
  return v;
}

static lrp_value host_node_reals(const lrp_node *n, const char *name)
{
  const lrp_onnx_attr *a = attribute(n, name);
  lrp_value v = {.reals = {NULL, 0}};
  if (a && a->type == LRP_ATTR_REALS) {
    v.reals.v = a->reals;
    v.reals.n = a->n;
  }
  return v;
}

static const lrp_tensor *host_node_tensor(lrp_ctx *ctx, const lrp_node *n, const char *name)
{
  const lrp_onnx_attr *a = attribute(n, name);
  if (!a || a->type != LRP_ATTR_TENSOR) return NULL;
  lrp_tensor *t = lrp_arena_alloc(&n->graph->arena, sizeof *t);
  return t && !lrp_onnx_tensor_read(ctx, a->tensor, &n->graph->arena, t) ? t : NULL;
}

static const lrp_tensor *host_node_const(lrp_ctx *ctx, const lrp_node *n, uint32_t i)
{
  if (i >= (uint32_t)n->onnx->n_in || n->edge[i] < 0 || !n->graph->edge[n->edge[i]].is_const)
    return NULL;
  lrp_tensor *t = lrp_arena_alloc(&n->graph->arena, sizeof *t); /* edges move when more are made */
  if (!t) {
    lrp_nomem(ctx, "the graph");
    return NULL;
  }
  *t = n->graph->edge[n->edge[i]].t;
  return t;
}

static int32_t host_node_rank(const lrp_node *n, uint32_t i)
{
  return i < (uint32_t)n->onnx->n_in && n->edge[i] >= 0 ? n->graph->edge[n->edge[i]].t.rank : -1;
}

static void *keep(lrp_ctx *ctx, int64_t n, size_t size)
{
  size_t bytes;
  void *p = n >= 0 && ctx->keep && lrp_mul_size((size_t)n, size, &bytes)
                ? lrp_arena_alloc(ctx->keep, bytes + size)
                : NULL;
  if (!p) lrp_nomem(ctx, "arguments");
  return p;
}

static int64_t *host_keep_ints(lrp_ctx *ctx, int64_t n)
{
  return keep(ctx, n, sizeof(int64_t));
}

static lrp_real *host_keep_reals(lrp_ctx *ctx, int64_t n)
{
  return keep(ctx, n, sizeof(lrp_real));
}

/* ---- kernels ---- */

static lrp_status host_matmul(lrp_ctx *ctx, const lrp_tensor *a, int trans_a, const lrp_tensor *b,
                              int trans_b, const lrp_tensor *bias, lrp_tensor *out)
{
  return lrp_matmul(ctx, LRP_KERNEL_AUTO, a, trans_a, b, trans_b, bias && bias->data ? bias : NULL,
                    out);
}

static void host_count(lrp_ctx *ctx, double work, double bytes)
{
  ctx->tally.n_product++;
  ctx->tally.work += work;
  ctx->tally.moved += bytes;
}

static lrp_status host_conv(lrp_ctx *ctx, const lrp_conv *c, const lrp_tensor *x,
                            const lrp_tensor *w, const lrp_tensor *b, lrp_tensor *y)
{
  return lrp_conv_forward(ctx, LRP_KERNEL_AUTO, c, x, w, b && b->data ? b : NULL, y);
}

static lrp_status host_conv_vjp(lrp_ctx *ctx, const lrp_conv *c, const lrp_tensor *w,
                                const lrp_tensor *y_bar, lrp_tensor *x_bar)
{
  return lrp_conv_backward(ctx, LRP_KERNEL_AUTO, c, w, y_bar, x_bar);
}

/* Inner steps of composite layers: kept for whoever asked through ctx->tap. */
static void host_tap(lrp_ctx *ctx, const char *label, int64_t step, const lrp_tensor *relevance)
{
  if (ctx->tap) ctx->tap(ctx->tap_user, label, step, relevance);
}

const lrp_host lrp_the_host = {.struct_size = sizeof(lrp_host),
                               .abi_major = LRP_ABI_MAJOR,
                               .abi_minor = LRP_ABI_MINOR,
#ifdef PACKAGE_VERSION
                               .version = PACKAGE_VERSION,
#else
                               .version = "",
#endif
                               .fail = host_fail,
                               .scratch = host_scratch,
                               .forward = host_forward,
                               .vjp = host_vjp,
                               .params = host_params,
                               .relprop = host_relprop,
                               .divide = host_divide,
                               .layer = lrp_find_layer,
                               .rule = lrp_find_rule,
                               .node_name = host_node_name,
                               .node_opset = host_node_opset,
                               .node_n_in = host_node_n_in,
                               .node_n_out = host_node_n_out,
                               .node_has = host_node_has,
                               .node_int = host_node_int,
                               .node_real = host_node_real,
                               .node_text = host_node_text,
                               .node_ints = host_node_ints,
                               .node_reals = host_node_reals,
                               .node_tensor = host_node_tensor,
                               .node_const = host_node_const,
                               .node_rank = host_node_rank,
                               .keep_ints = host_keep_ints,
                               .keep_reals = host_keep_reals,
                               .matmul = host_matmul,
                               .conv = host_conv,
                               .conv_vjp = host_conv_vjp,
                               .tap = host_tap,
                               .node_word = host_node_word,
                               .transposed = lrp_transposed,
                               .node_type = host_node_type,
                               .raw = lrp_scratch_raw,
                               .count = host_count};

const lrp_host *lrp_host_table(void)
{
  return &lrp_the_host;
}

void lrp_scratch_reset(lrp_ctx *ctx)
{
  lrp_arena_release(&ctx->scratch, (lrp_mark){0});
}
