/* test_table.c - every rule that is a table, evaluated by the host with all its shortcuts, against
 * the formula of plugin.h written out in loops on a dense layer. */
#include "test.h"
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N = 3, K = 7, O = 5 };
static uint32_t state;

/* Uniform in [-1, 1]; the seed is printed with a failure. */
static double uniform(void)
{
  state = state * 1664525u + 1013904223u;
  return (double)(state >> 8) / (1 << 23) - 1;
}

static double part(double v, uint32_t p)
{
  return p == LRP_PART_ALL      ? v
         : p == LRP_PART_POS    ? fmax(v, 0)
         : p == LRP_PART_NEG    ? fmin(v, 0)
         : p == LRP_PART_SQUARE ? v * v
         : p == LRP_PART_ONES   ? 1
                                : 0;
}

static double in_part(double x, const lrp_table *t, const lrp_pass *p)
{
  switch (p->in) {
  case LRP_IN_X:
    return x;
  case LRP_IN_POS:
    return fmax(x, 0);
  case LRP_IN_NEG:
    return fmin(x, 0);
  case LRP_IN_ONE:
    return 1;
  case LRP_IN_LOW:
    return (double)t->low[0];
  default:
    return (double)t->high[0];
  }
}

static double stabilised(const lrp_table *t, double d, double eps)
{
  const double sign = d < 0 ? -1 : 1;
  switch (t->stab) {
  case LRP_STAB_ADD:
    return d + eps * sign;
  case LRP_STAB_CLIP:
    return sign * fmax(fabs(d), eps);
  case LRP_STAB_UNSIGNED:
    return d + eps;
  default:
    return d == 0 ? eps : d;
  }
}

typedef struct problem {
  lrp_real x[N * K], w[O * K], b[O], z[N * O], r[N * O], got[N * K];
} problem;

static double weight(const problem *q, const lrp_pass *p, int o, int k)
{
  const double w = (double)q->w[o * K + k];
  return p->w_a * w + p->w_b * part(w, p->w_part);
}

/* The formula, sample by sample.  Returns the smallest denominator: near 0 no float can follow. */
static double written_out(const problem *q, const lrp_table *t, double *out)
{
  double smallest = INFINITY;
  memset(out, 0, N * K * sizeof *out);
  for (int n = 0; n < N; n++)
    for (uint32_t g = 0; g < t->n_group; g++) {
      double d[O] = {0}, square = 0;
      for (int o = 0; o < O; o++) {
        for (uint32_t i = 0; i < t->n_pass; i++) {
          const lrp_pass *p = &t->pass[i];
          if (p->group != g) continue;
          double z = p->b_a * (double)q->b[o] + p->b_b * part((double)q->b[o], p->b_part);
          for (int k = 0; k < K; k++)
            z += in_part((double)q->x[n * K + k], t, p) * weight(q, p, o, k);
          d[o] += p->den * z;
        }
        square += d[o] * d[o];
      }
      const double eps = t->norm_scale ? t->eps * sqrt(square / O) : t->eps;
      for (int o = 0; o < O; o++) {
        const double z = (double)q->z[n * O + o];
        const bool open =
            t->group[g].gate == LRP_GATE_ALL || (t->group[g].gate == LRP_GATE_POS ? z > 0 : z < 0);
        const double s =
            open ? t->group[g].coef * (double)q->r[n * O + o] / stabilised(t, d[o], eps) : 0;
        smallest = open ? fmin(smallest, fabs(stabilised(t, d[o], eps))) : smallest;
        for (uint32_t i = 0; i < t->n_pass; i++)
          for (int k = 0; t->pass[i].group == g && k < K; k++)
            out[n * K + k] += t->pass[i].red * in_part((double)q->x[n * K + k], t, &t->pass[i]) *
                              weight(q, &t->pass[i], o, k) * s;
      }
    }
  return smallest;
}

static void fill(problem *q, bool nonneg)
{
  for (int i = 0; i < N * K; i++)
    q->x[i] = (lrp_real)(nonneg ? fabs(uniform()) : uniform());
  for (int i = 0; i < O * K; i++)
    q->w[i] = (lrp_real)uniform();
  for (int i = 0; i < O; i++)
    q->b[i] = (lrp_real)uniform();
  for (int i = 0; i < N * O; i++)
    q->r[i] = (lrp_real)uniform();
  memset(q->got, 0, sizeof q->got);
}

/* The host's evaluation on layer "dense" with weights (O,K). */
static void by_the_host(lrp_ctx *ctx, problem *q, const lrp_rule *rule, const lrp_value *args,
                        bool nonneg)
{
  const lrp_layer_type *dense = lrp_find_layer(ctx, "dense");
  ck_assert_ptr_nonnull(dense);
  lrp_value dense_args[16];
  void *inst = NULL;
  lrp_ck_ok(ctx, lrp_args_parse(ctx, "dense", dense->args, "trans=on", dense_args));
  if (dense->create) lrp_ck_ok(ctx, dense->create(lrp_host_table(), ctx, dense_args, &inst));
  lrp_tensor in[1] = {{.data = q->x, .rank = 2, .shape = {N, K}, .flags = nonneg ? LRP_NONNEG : 0}};
  lrp_tensor param[2] = {{.data = q->w, .rank = 2, .shape = {O, K}},
                         {.data = q->b, .rank = 1, .shape = {O}}};
  lrp_tensor out[1] = {{0}}, saved[4] = {{0}};
  lrp_call call = {.struct_size = sizeof call,
                   .n_in = 1,
                   .n_param = 2,
                   .n_out = 1,
                   .in = in,
                   .param = param,
                   .out = out,
                   .saved = saved};
  lrp_ck_ok(ctx, dense->infer(lrp_host_table(), ctx, inst, &call));
  out[0].data = q->z;
  lrp_ck_ok(ctx, dense->forward(lrp_host_table(), ctx, inst, &call));
  lrp_tensor r_out[1] = {out[0]}, r_in[1] = {in[0]};
  r_out[0].data = q->r;
  r_in[0].data = q->got;
  const lrp_site site = {.struct_size = sizeof site,
                         .degree = 1,
                         .type = dense,
                         .inst = inst,
                         .call = &call,
                         .r_out = r_out,
                         .r_in = r_in};
  lrp_ck_ok(ctx, lrp_host_table()->relprop(ctx, rule, args, &site));
  if (dense->destroy) dense->destroy(inst);
}

static const char *const ARGS[] = {"",
                                   "epsilon=0.25",
                                   "bias=off",
                                   "epsilon=0.1, stabilizer=clip",
                                   "epsilon=0.1, norm_scale=on",
                                   "epsilon=0.3, stabilizer=unsigned",
                                   "gamma=10",
                                   "alpha=2, beta=1",
                                   "alpha=1, beta=0",
                                   "low=-1, high=1"};
enum { N_ARGS = sizeof ARGS / sizeof ARGS[0] };

/* Does the rule take these arguments? */
static bool takes(lrp_ctx *ctx, const lrp_rule *rule, const char *text, lrp_value *v)
{
  if (lrp_args_parse(ctx, rule->name, rule->args, text, v)) return false;
  return !rule->check || !rule->check(lrp_host_table(), ctx, v);
}

START_TEST(tables_agree_with_the_formula_written_out)
{
  lrp_ctx *ctx;
  int compared = 0;
  ck_assert_int_eq(lrp_ctx_new(&ctx), LRP_OK);
  lrp_ck_ok(ctx, lrp_plugins_open(ctx));
  for (int64_t i = 0; i < lrp_n_rule(ctx); i++) {
    const lrp_rule *rule = lrp_rule_at(ctx, i);
    for (int k = 0; rule->table && k < N_ARGS; k++) {
      lrp_value v[16];
      problem q;
      double want[N * K], largest = 0;
      lrp_table t = {.struct_size = sizeof t};
      if (!takes(ctx, rule, ARGS[k], v)) continue;
      state = (uint32_t)(7919 * i + 31 * k + _i);
      const uint32_t seed = state;
      fill(&q, _i % 2);
      by_the_host(ctx, &q, rule, v, _i % 2);
      rule->table(v, &t);
      if (written_out(&q, &t, want) < 1e-3) continue;
      for (int j = 0; j < N * K; j++)
        largest = fmax(largest, fabs(want[j]));
      for (int j = 0; j < N * K; j++)
        ck_assert_msg(fabs((double)q.got[j] - want[j]) <= 2e-4 * largest + 1e-6,
                      "%s(%s) at %d: %g, %g was expected (seed %u)", rule->name, ARGS[k], j,
                      (double)q.got[j], want[j], seed);
      lrp_scratch_reset(ctx);
      compared++;
    }
  }
  ck_assert_int_ge(compared, 15);
  lrp_ctx_free(ctx);
}
END_TEST

Suite *suite_table(void);
Suite *suite_table(void)
{
  Suite *s = suite_create("table");
  TCase *t = tcase_create("formula");
  tcase_set_timeout(t, 60);
  tcase_add_loop_test(t, tables_agree_with_the_formula_written_out, 0, 20);
  suite_add_tcase(s, t);
  return s;
}
