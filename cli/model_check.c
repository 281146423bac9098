/* model_check.c - lrp model check: how many nodes get which rule, in one line what LRP means for this model,
 * and, given an input, how much of the score arrives there. */
#include "cli.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- text that grows ---- */

enum { ROOM = 4000 };

__attribute__((format(printf, 2, 3))) static void add(char *text, const char *fmt, ...)
{
  const size_t n = strlen(text);
  va_list list;
  va_start(list, fmt);
  vsnprintf(text + n, ROOM - n, fmt, list);
  va_end(list);
}

/* "gamma" of "gamma(gamma=0.25, ...)". */
static size_t name_of(const char *rule)
{
  return strcspn(rule, "(");
}

static bool same_rule(const lrp_node_view *a, const lrp_node_view *b)
{
  return !strcmp(a->rule, b->rule);
}

/* ---- which canonizers ran ---- */

/* Layers that this canonizer made or merged something into. */
static int64_t made_by(const lrp_graph *g, const char *name)
{
  int64_t count = 0, into, last = -2;
  int32_t behind;
  for (int64_t i = 0, n = lrp_graph_n_gone(g); i < n; i++) {
    const char *by;
    lrp_graph_gone(g, i, &by, &into, &behind);
    if (strcmp(by, name)) continue;
    count += into != last;
    last = into;
  }
  return count;
}

static void canonizers(const lrp_graph *g, char *text)
{
  const char *comma = "", *by;
  int64_t into;
  int32_t behind;
  add(text, "canonized by ");
  for (int64_t i = 0, n = lrp_graph_n_gone(g); i < n; i++) {
    lrp_graph_gone(g, i, &by, &into, &behind);
    bool again = false;
    for (int64_t k = 0; !again && k < i; k++) {
      const char *other;
      lrp_graph_gone(g, k, &other, &into, &behind);
      again = !strcmp(by, other);
    }
    if (again) continue;
    add(text, "%s%s (%lld)", comma, by, (long long)made_by(g, by));
    comma = ", ";
  }
  if (lrp_graph_ends_in_softmax(g)) {
    add(text, "%sfinal_softmax", comma);
    comma = ", ";
  }
  if (!comma[0]) add(text, "nothing");
}

/* ---- which layers get which rule ---- */

/* Layer types under the rule of node `first`, each once, with their number. */
static void layers_under(const lrp_graph *g, int64_t first, char *text)
{
  const lrp_node_view rule = lrp_graph_node(g, first);
  const int64_t n = lrp_graph_n_node(g);
  const char *comma = "";
  for (int64_t i = first; i < n; i++) {
    const lrp_node_view v = lrp_graph_node(g, i);
    int64_t count = 0;
    bool again = !same_rule(&v, &rule);
    for (int64_t k = first; k < n; k++) {
      const lrp_node_view w = lrp_graph_node(g, k);
      if (!same_rule(&w, &rule) || strcmp(w.layer->name, v.layer->name)) continue;
      again = again || k < i;
      count++;
    }
    if (again) continue;
    add(text, "%s%s", comma, v.layer->name);
    if (count > 1) add(text, " (%lld)", (long long)count);
    comma = ", ";
  }
}

static void rules_of(const lrp_graph *g, char *text)
{
  for (int64_t i = 0, n = lrp_graph_n_node(g); i < n; i++) {
    const lrp_node_view v = lrp_graph_node(g, i);
    bool again = !v.rule[0] || !strcmp(v.rule, "exact");
    for (int64_t k = 0; !again && k < i; k++) {
      const lrp_node_view w = lrp_graph_node(g, k);
      again = same_rule(&v, &w);
    }
    if (again) continue;
    add(text, "; %.*s: ", (int)name_of(v.rule), v.rule);
    layers_under(g, i, text);
  }
}

/* ---- where relevance can be lost ---- */

static bool has_bias(const lrp_layer_type *t)
{
  bool yes = false;
  for (const lrp_port *p = t->param; p && p->role; p++)
    yes = yes || p->role == LRP_PORT_BIAS;
  return yes;
}

static void losses(const lrp_graph *g, char *text)
{
  int64_t bias = 0, constant = 0, norm = 0, softmax = 0, open = 0, filter = 0;
  for (int64_t i = 0, n = lrp_graph_n_node(g); i < n; i++) {
    const lrp_node_view v = lrp_graph_node(g, i);
    const size_t m = name_of(v.rule);
    filter += strstr(v.rule, " -> ") != NULL;
    if (!m || !strcmp(v.rule, "exact") || !strcmp(v.rule, "pass")) continue;
    const bool box = m == 4 && (!strncmp(v.rule, "zbox", m) || !strncmp(v.rule, "flat", m));
    norm += v.layer->kind == LRP_KIND_NORM;
    softmax += v.layer->kind == LRP_KIND_SOFTMAX;
    constant += v.layer->kind == LRP_KIND_ELEMENTWISE;
    bias += v.layer->kind != LRP_KIND_NORM && !box && has_bias(v.layer) && v.n_param > 0;
    open += m == 8 && !strncmp(v.rule, "gradient", m);
  }
  const char *comma = "";
  add(text, "; relevance can be lost to ");
  const struct {
    int64_t n;
    const char *what;
  } ALL[] = {{bias, "the biases of layers"},
             {constant, "constants of elementwise layers"},
             {norm, "the shifts of normalisations"},
             {softmax, "softmaxes"},
             {open, "layers under the gradient, which conserves nothing"},
             {filter, "filters"}};
  for (size_t i = 0; i < sizeof ALL / sizeof ALL[0]; i++)
    if (ALL[i].n) {
      add(text, "%s%s (%lld)", comma, ALL[i].what, (long long)ALL[i].n);
      comma = ", ";
    }
  add(text, "%sstabilizers", comma);
}

/* ---- with an input ---- */

bool cli_vanished(const lrp_graph *g, const lrp_relevance *r, int64_t sample, int64_t batch, char *text, size_t n)
{
  const int64_t nodes = lrp_graph_n_node(g);
  const double value = fabs(r->value[sample]);
  double arrived = 0, most = 0;
  int64_t at = -1;
  for (int32_t i = 0; i < r->n_tensor; i++) {
    const int64_t each = r->tensor[i].data && batch ? lrp_count(&r->tensor[i]) / batch : 0;
    for (int64_t k = 0; k < each; k++)
      arrived += fabs((double)lrp_reals(&r->tensor[i])[sample * each + k]);
  }
  for (int64_t i = 0; i < nodes; i++) {
    const lrp_ledger *l = &r->ledger[i * batch + sample];
    const double lost = fabs(l->bias) + fabs(l->stab) + fabs(l->gate);
    if (lost > most) {
      most = lost;
      at = i;
    }
  }
  if (value < 1e-12 || arrived >= 1e-3 * value) return false;
  snprintf(text, n, "%.2g %% of the score arrives at the input", 100 * arrived / value);
  const size_t used = strlen(text);
  if (at >= 0)
    snprintf(text + used, n - used,
             "; node \"%.80s\" absorbs most (%.3g %%): read the map as a pattern, not as shares, and "
             "see --ledger",
             lrp_graph_node(g, at).name, 100 * most / value);
  return true;
}

/* Explains the predicted class of the first sample; *share of the score that arrives. */
static lrp_status try_input(lrp_ctx *ctx, lrp_graph *g, const lrp_model *m, const lrp_input *in,
                            double *share, char *warning, size_t n)
{
  const lrp_relevance *r = NULL;
  const int64_t batch = lrp_graph_n_batch(g);
  lrp_target *target = calloc((size_t)batch + 1, sizeof *target);
  lrp_status st = target ? lrp_graph_forward(ctx, g, in) : LRP_E_NOMEM;
  for (int64_t k = 0; !st && k < batch; k++)
    st = lrp_target_parse(ctx, m, NULL, lrp_graph_scores(g), k, &target[k]);
  if (!st)
    st = lrp_graph_explain(ctx, g, in, target, LRP_SEED_LOGIT, LRP_METHOD_LRP, 0, NULL, &r);
  if (!st && batch) {
    *share = r->value[0] != 0 ? r->sum[0] / r->value[0] : 0;
    cli_vanished(g, r, 0, batch, warning, n);
  }
  free(target);
  return st;
}

/* ---- all of it ---- */

typedef struct counts {
  int64_t all, ruled, exact, changed;
} counts;

static counts count(const lrp_graph *g)
{
  counts c = {.all = lrp_graph_n_node(g)};
  for (int64_t i = 0; i < c.all; i++) {
    const lrp_node_view v = lrp_graph_node(g, i);
    c.exact += !strcmp(v.rule, "exact");
    c.ruled += v.rule[0] && strcmp(v.rule, "exact");
    c.changed += v.note[0] != 0;
  }
  return c;
}

static void put_people(const lrp_graph *g, const char *rules, const char *meaning)
{
  const counts c = count(g);
  printf("ok: every node has a layer type, and \"");
  cli_escape(stdout, rules, strlen(rules));
  printf("\" gives a rule to each that needs one\n  %4lld  nodes\n  %4lld  with a rule\n  %4lld  "
         "rearrange only, which is exact\n",
         (long long)c.all, (long long)c.ruled, (long long)c.exact);
  if (c.all > c.ruled + c.exact)
    printf("  %4lld  need no rule\n", (long long)(c.all - c.ruled - c.exact));
  if (c.changed) printf("  %4lld  with neighbours merged into them\n", (long long)c.changed);
  if (lrp_graph_ends_in_softmax(g)) puts("the scores before the final softmax are explained");
  fputs("here LRP means: ", stdout);
  cli_escape(stdout, meaning, strlen(meaning));
  putchar('\n');
}

lrp_status cli_check(lrp_ctx *ctx, lrp_graph *g, const lrp_model *m, const lrp_input *in,
                     const char *rules, bool json)
{
  char meaning[ROOM] = "", warning[400] = "";
  double share = 0;
  const lrp_status st = in ? try_input(ctx, g, m, in, &share, warning, sizeof warning) : LRP_OK;
  if (st) return st;
  const counts c = count(g);
  canonizers(g, meaning);
  rules_of(g, meaning);
  losses(g, meaning);
  if (json) {
    json_t *o = json_pack("{s:b, s:o, s:I, s:I, s:I, s:I, s:b, s:o}", "ok", 1, "rules",
                          cli_json_text(rules, strlen(rules)), "nodes", (json_int_t)c.all, "ruled",
                          (json_int_t)c.ruled, "exact", (json_int_t)c.exact, "merged",
                          (json_int_t)c.changed, "ends_in_softmax",
                          (int)lrp_graph_ends_in_softmax(g), "meaning",
                          cli_json_text(meaning, strlen(meaning)));
    if (o && in) json_object_set_new(o, "share", json_real(share));
    cli_json_print(o);
  } else {
    put_people(g, rules, meaning);
    if (in) printf("on this input %.4g %% of the score arrives\n", 100 * share);
  }
  if (warning[0]) cli_note("warning: %s", warning);
  return LRP_OK;
}
