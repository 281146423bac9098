/* check_rule.c - what must hold of every rule: its table is one, at every end of its arguments; on
 * layers that are open it gives the same finite relevance twice; and where its table says that
 * nothing is lost, nothing is lost. */
#include "story.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MOST = 33, MOST_TRIALS = 5 };

typedef struct subject {
  lrp_ctx *ctx;
  const lrp_rule *rule;
  lrp_story *story;
  lrp_value args[64];
} subject;

/* ---- the table ---- */

static bool fill_table(const subject *s, const lrp_value *args, lrp_table *t)
{
  *t = (lrp_table){.struct_size = sizeof *t};
  if (!s->rule->table) return false;
  s->rule->table(args, t);
  return true;
}

static bool good_pass(const lrp_table *t, const lrp_pass *p)
{
  double all =
      fabs(p->w_a) + fabs(p->w_b) + fabs(p->b_a) + fabs(p->b_b) + fabs(p->den) + fabs(p->red);
  return p->in <= LRP_IN_HIGH && p->group < t->n_group && p->w_part <= LRP_PART_ZERO &&
         p->b_part <= LRP_PART_ZERO && isfinite(all);
}

/* "" where the table can be evaluated, else what is wrong. */
static const char *table_fault(const lrp_table *t, char *text, size_t n)
{
  text[0] = '\0';
  if (t->n_pass < 1 || t->n_pass > 8)
    snprintf(text, n, "the table has %" PRIu32 " passes; 1 to 8 were expected", t->n_pass);
  else if (t->n_group < 1 || t->n_group > 4)
    snprintf(text, n, "the table has %" PRIu32 " groups; 1 to 4 were expected", t->n_group);
  else if (t->stab > LRP_STAB_REPLACE0 || !(t->eps >= 0) || !isfinite(t->eps))
    snprintf(text, n, "the table's stabiliser is %" PRIu32 " with eps %g", t->stab, t->eps);
  for (uint32_t i = 0; !*text && i < t->n_pass; i++)
    if (!good_pass(t, &t->pass[i]))
      snprintf(text, n, "pass %" PRIu32 " has a field out of its range", i);
  for (uint32_t i = 0; !*text && i < t->n_group; i++)
    if (t->group[i].gate > LRP_GATE_NEG || !isfinite(t->group[i].coef))
      snprintf(text, n, "group %" PRIu32 " has gate %" PRIu32 " and factor %g", i, t->group[i].gate,
               t->group[i].coef);
  return text;
}

/* With biases 0 the table hands all of R on: what is divided by is what is given out, and the
 * groups that see a positive (a negative) output add up to 1.  A large stabiliser takes its share.
 */
static bool conserves(const lrp_table *t)
{
  double positive = 0, negative = 0;
  for (uint32_t i = 0; i < t->n_pass; i++)
    if (t->pass[i].den < t->pass[i].red || t->pass[i].den > t->pass[i].red) return false;
  for (uint32_t i = 0; i < t->n_group; i++) {
    if (t->group[i].gate != LRP_GATE_NEG) positive += t->group[i].coef;
    if (t->group[i].gate != LRP_GATE_POS) negative += t->group[i].coef;
  }
  return fabs(positive - 1) < 1e-6 && fabs(negative - 1) < 1e-6 && t->eps <= 1e-4;
}

typedef struct ends {
  subject *s;
  int taken, refused;
  bool bad;
  char names[200];
} ends;

static void at_end(lrp_value *args, const char *what, void *user)
{
  ends *e = user;
  subject *s = e->s;
  lrp_table t;
  char fault[200] = "";
  s->ctx->message[0] = '\0';
  lrp_status status = s->rule->check ? s->rule->check(&lrp_the_host, s->ctx, args) : LRP_OK;
  if (status && !*lrp_message(s->ctx))
    snprintf(fault, sizeof fault, "it is refused without a message");
  if (!status && fill_table(s, args, &t)) table_fault(&t, fault, sizeof fault);
  if (*fault) {
    lrp_tell(s->story, LRP_CHECK_FAILED, "rule %s: with %s: %s", s->rule->name, what, fault);
    e->bad = true;
  }
  e->taken += !status;
  e->refused += status != LRP_OK;
}

static void list_args(const lrp_arg *args, char *text, size_t n)
{
  size_t at = 0;
  text[0] = '\0';
  for (uint32_t i = 0; i < lrp_args_count(args) && at < n; i++) {
    int m = snprintf(text + at, n - at, "%s%s", at ? ", " : "", args[i].name);
    at += m > 0 ? (size_t)m : 0;
  }
}

static bool check_table(subject *s)
{
  lrp_table t;
  char fault[200], names[200];
  ends e = {.s = s};
  if (fill_table(s, s->args, &t) && *table_fault(&t, fault, sizeof fault)) {
    lrp_tell(s->story, LRP_CHECK_FAILED, "rule %s: %s", s->rule->name, fault);
    return false;
  }
  if (s->rule->table)
    lrp_tell(s->story, LRP_CHECK_PASSED,
             "rule %s: a table of %" PRIu32 " passes in %" PRIu32 " groups", s->rule->name,
             t.n_pass, t.n_group);
  list_args(s->rule->args, names, sizeof names);
  lrp_for_ends(s->rule->args, s->args, at_end, &e);
  if (!e.bad && e.taken + e.refused > 0)
    lrp_tell(s->story, LRP_CHECK_PASSED,
             "rule %s: %s at the ends of %s: %d taken, %d refused with a sentence", s->rule->name,
             s->rule->table ? "table" : "arguments", names, e.taken, e.refused);
  return !e.bad;
}

/* ---- on layers ---- */

static lrp_site site_of(const subject *s, const lrp_trial *t, const lrp_tensor *r_out,
                        lrp_tensor *r_in)
{
  const lrp_layer_type *type = t->type;
  return (lrp_site){.struct_size = sizeof(lrp_site),
                    .type = type,
                    .inst = t->inst,
                    .call = &t->call,
                    .r_out = r_out,
                    .r_in = r_in,
                    .rule = s->rule,
                    .rule_args = s->args,
                    .degree = type->degree ? type->degree(t->inst, 0) : 1};
}

/* The part of the inputs with that sign. */
static lrp_status part_of(lrp_trial *t, double sign, lrp_tensor *in)
{
  lrp_status status = LRP_OK;
  for (uint32_t i = 0; !status && i < t->call.n_in; i++) {
    in[i] = t->in[i];
    if (!lrp_trial_carries(t, i)) continue;
    status = lrp_trial_copy(t, &t->in[i], &in[i]);
    for (int64_t k = 0; !status && k < lrp_count(&in[i]); k++)
      if ((double)lrp_reals(&in[i])[k] * sign < 0) lrp_reals(&in[i])[k] = 0;
  }
  return status;
}

/* An output without, say, negative terms loses what a rule gives to those: 0/0 is 0.  At a weighted
 * sum the seed is 0 where one of x+ w+, x+ w-, x- w+, x- w- is (nearly) missing. */
static lrp_status clear_lopsided(subject *s, lrp_trial *t, lrp_tensor *seed)
{
  lrp_tensor in[MOST];
  lrp_site site = site_of(s, t, seed, t->in);
  const lrp_tensor *param;
  const lrp_call *call;
  lrp_status status = LRP_OK;
  for (int k = 0; !status && k < 4 && t->type->kind == LRP_KIND_LINEAR; k++) {
    status = part_of(t, k & 1 ? -1 : 1, in);
    if (!status)
      status =
          lrp_the_host.params(s->ctx, &site, 0, 1, k & 2 ? LRP_PART_NEG : LRP_PART_POS, 0, &param);
    if (!status) status = lrp_the_host.forward(s->ctx, &site, in, param, &call);
    for (int64_t i = 0; !status && i < lrp_count(&seed[0]); i++)
      if (fabs((double)lrp_reals(&call->out[0])[i]) < 1e-3) lrp_reals(&seed[0])[i] = 0;
  }
  return status;
}

/* R = y, as at the output that is explained. */
static lrp_status make_seed(subject *s, lrp_trial *t, lrp_tensor *seed)
{
  lrp_status status = LRP_OK;
  lrp_mark mark = lrp_arena_mark(&s->ctx->scratch);
  for (uint32_t i = 0; !status && i < t->call.n_out; i++) {
    if (t->call.out[i].dtype == LRP_REAL)
      status = lrp_trial_copy(t, &t->call.out[i], &seed[i]);
    else
      seed[i] = (lrp_tensor){0};
  }
  if (!status) status = clear_lopsided(s, t, seed);
  lrp_arena_release(&s->ctx->scratch, mark);
  return status;
}

static lrp_status explain(subject *s, lrp_trial *t, const lrp_tensor *seed, lrp_tensor *r_in)
{
  lrp_site site = site_of(s, t, seed, r_in);
  lrp_status status = LRP_OK;
  for (uint32_t i = 0; !status && i < t->call.n_in; i++) {
    r_in[i] = t->in[i];
    r_in[i].data = NULL;
    if (lrp_trial_carries(t, i)) status = lrp_trial_zeros(t, &t->in[i], &r_in[i]);
  }
  lrp_mark mark = lrp_arena_mark(&s->ctx->scratch);
  if (!status) status = lrp_the_host.relprop(s->ctx, s->rule, s->args, &site);
  lrp_arena_release(&s->ctx->scratch, mark);
  return status;
}

static double total(const lrp_tensor *r, uint32_t n, bool *finite)
{
  double sum = 0;
  for (uint32_t i = 0; i < n; i++)
    for (int64_t k = 0; r[i].data && r[i].dtype == LRP_REAL && k < lrp_count(&r[i]); k++)
      sum += (double)lrp_reals(&r[i])[k];
  *finite = *finite && isfinite(sum);
  return sum;
}

static void judge(subject *s, lrp_trial *t, const lrp_tensor *seed, const lrp_tensor *one,
                  const lrp_tensor *two)
{
  const char *rule = s->rule->name, *layer = t->type->name;
  lrp_table table;
  bool same = true, finite = true;
  for (uint32_t i = 0; i < t->call.n_in; i++)
    same = same && (!one[i].data || memcmp(one[i].data, two[i].data,
                                           (size_t)lrp_count(&one[i]) * lrp_element(&one[i])) == 0);
  double in = total(one, t->call.n_in, &finite), out = total(seed, t->call.n_out, &finite);
  if (!same)
    lrp_tell(s->story, LRP_CHECK_FAILED, "rule %s on %s: other bits the second time", rule, layer);
  if (!finite)
    lrp_tell(s->story, LRP_CHECK_FAILED, "rule %s on %s: relevance is not finite", rule, layer);
  if (!same || !finite) return;
  lrp_tell(s->story, LRP_CHECK_PASSED, "rule %s on %s (%s): finite, the same bits twice", rule,
           layer, t->text);
  bool claim =
      t->type->kind == LRP_KIND_LINEAR && fill_table(s, s->args, &table) && conserves(&table);
  double lost = fabs(in - out) / (fabs(out) > 1e-6 ? fabs(out) : 1e-6);
  if (!claim)
    lrp_tell(s->story, LRP_CHECK_NOTE, "rule %s on %s: relevance %.6g above, %.6g below", rule,
             layer, out, in);
  else if (lost <= 1e-3)
    lrp_tell(s->story, LRP_CHECK_PASSED,
             "rule %s on %s: conserves, biases 0: %.6g above, %.6g below", rule, layer, out, in);
  else
    lrp_tell(s->story, LRP_CHECK_FAILED,
             "rule %s on %s: its table conserves, biases 0, but %.6g above gives %.6g below", rule,
             layer, out, in);
}

/* false: the layer has no trial. */
static bool check_on(subject *s, const lrp_layer_type *type)
{
  lrp_trial t;
  lrp_tensor seed[MOST], one[MOST], two[MOST];
  bool tried = false;
  if (type->vjp && !type->relprop && !lrp_trial_new(s->ctx, type, true, &t)) {
    tried = true;
    lrp_status status = make_seed(s, &t, seed);
    if (!status) status = explain(s, &t, seed, one);
    if (!status) status = explain(s, &t, seed, two);
    if (status == LRP_E_UNSUPPORTED)
      lrp_tell(s->story, LRP_CHECK_NOTE, "rule %s on %s: declined: %s", s->rule->name, type->name,
               lrp_message(s->ctx));
    else if (status)
      lrp_tell(s->story, LRP_CHECK_FAILED, "rule %s on %s: %s", s->rule->name, type->name,
               lrp_message(s->ctx));
    else
      judge(s, &t, seed, one, two);
    lrp_trial_free(&t);
  } else if (type->vjp && !type->relprop) {
    lrp_trial_free(&t);
  }
  return tried;
}

/* A filter gives finite relevance, the same bits twice. */
static void check_filter(subject *s)
{
  enum { N = 24 };
  lrp_real r[2][N];
  lrp_status status = LRP_OK;
  bool finite = true;
  for (int k = 0; !status && k < 2; k++) {
    lrp_tensor t = {.data = r[k], .dtype = LRP_REAL, .rank = 2, .shape = {2, N / 2}};
    for (int i = 0; i < N; i++)
      r[k][i] = (lrp_real)(i * 7 % 11 - 4);
    status = s->rule->filter(&lrp_the_host, s->ctx, s->args, 2, &t);
  }
  for (int i = 0; !status && i < N; i++)
    finite = finite && isfinite((double)r[0][i]);
  const bool same = !memcmp(r[0], r[1], sizeof r[0]);
  if (status)
    lrp_tell(s->story, LRP_CHECK_FAILED, "filter %s: %s", s->rule->name, lrp_message(s->ctx));
  else
    lrp_tell(s->story, same && finite ? LRP_CHECK_PASSED : LRP_CHECK_FAILED, "filter %s: %s",
             s->rule->name,
             same && finite ? "finite, the same bits twice"
                            : "not finite, or other bits the second time");
}

/* Weighted sums first, then element-wise layers, then whatever else the rule is for. */
static void check_layers(subject *s)
{
  if (LRP_HAS(lrp_rule, s->rule, filter)) {
    check_filter(s);
    return;
  }
  const uint32_t named = s->rule->kinds & ~LRP_RULE_WHOLE;
  const uint32_t kinds = named ? named : 1u << LRP_KIND_LINEAR | 1u << LRP_KIND_ELEMENTWISE;
  const uint32_t first[] = {1u << LRP_KIND_LINEAR, 1u << LRP_KIND_ELEMENTWISE,
                            ~(1u << LRP_KIND_LINEAR | 1u << LRP_KIND_ELEMENTWISE)};
  int tried = 0;
  for (size_t k = 0; k < sizeof first / sizeof *first; k++)
    for (int64_t i = 0, here = 0; here < 3 && tried < MOST_TRIALS && i < lrp_n_layer(s->ctx); i++) {
      const lrp_layer_type *type = lrp_layer_at(s->ctx, i);
      if (!(1u << type->kind & kinds & first[k]) || !check_on(s, type)) continue;
      here++;
      tried++;
    }
  if (!tried)
    lrp_tell(s->story, LRP_CHECK_NOTE, "rule %s: no open layer is of a kind it is for",
             s->rule->name);
}

void lrp_story_rule(lrp_ctx *ctx, const lrp_rule *rule, lrp_story *story)
{
  subject s = {.ctx = ctx, .rule = rule, .story = story};
  lrp_mark mark = lrp_arena_mark(&ctx->scratch);
  if (lrp_args_parse(ctx, rule->name, rule->args, "", s.args)) {
    lrp_tell(story, LRP_CHECK_NOTE, "rule %s: not tried: %s", rule->name, lrp_message(ctx));
    return;
  }
  lrp_status status = rule->check ? rule->check(&lrp_the_host, ctx, s.args) : LRP_OK;
  if (status)
    lrp_tell(story, LRP_CHECK_FAILED, "rule %s: its defaults are refused: %s", rule->name,
             lrp_message(ctx));
  else if (check_table(&s))
    check_layers(&s);
  lrp_arena_release(&ctx->scratch, mark);
}
