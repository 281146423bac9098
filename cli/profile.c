/* profile.c - what a graph's passes cost, for people and as JSON: each layer, each rule, in all.
 *
 * Passes are the multiply-adds of the way back in units of the layer's own forward pass: what a
 * rule costs, whatever else the machine does. */
#include "cli.h"
#include <stdlib.h>
#include <string.h>

typedef struct line { /* a node, a rule, or all */
  const char *name, *layer, *rule;
  lrp_cost forward, back;
  int64_t n_node;
} line;

static void add(lrp_cost *to, const lrp_cost *c)
{
  to->n_call += c->n_call;
  to->wall_ns += c->wall_ns;
  to->n_product += c->n_product;
  to->work += c->work;
  to->moved += c->moved;
  to->tensors += c->tensors;
  if (c->scratch > to->scratch) to->scratch = c->scratch;
}

static line line_of(const lrp_graph *g, int64_t i)
{
  const lrp_node_view v = lrp_graph_node(g, i);
  const lrp_cost *c = lrp_graph_costs(g);
  return (line){.name = v.name,
                .layer = v.layer->name,
                .rule = v.rule,
                .forward = c[i],
                .back = c[i + lrp_graph_n_node(g)],
                .n_node = 1};
}

/* The rules in the order in which they occur, and the sum of all; *n of them.  NULL: no memory. */
static line *rules_of(const lrp_graph *g, int64_t *n, line *all)
{
  const int64_t nodes = lrp_graph_n_node(g);
  line *rule = calloc((size_t)nodes + 1, sizeof *rule);
  *n = 0;
  *all = (line){.name = "all", .layer = "", .rule = ""};
  for (int64_t i = 0; rule && i < nodes; i++) {
    const line l = line_of(g, i);
    int64_t at = 0;
    while (at < *n && strcmp(rule[at].rule, l.rule) != 0)
      at++;
    if (at == *n) rule[(*n)++] = (line){.name = "", .layer = "", .rule = l.rule};
    for (line *to = &rule[at]; to; to = to == all ? NULL : all) {
      add(&to->forward, &l.forward);
      add(&to->back, &l.back);
      to->n_node++;
    }
  }
  return rule;
}

/* ---- for people ---- */

static void put_bytes(FILE *f, double bytes)
{
  static const char *const UNIT[] = {"B", "KiB", "MiB", "GiB"};
  int u = 0;
  for (; bytes >= 1024 && u < 3; u++)
    bytes /= 1024;
  char text[32];
  snprintf(text, sizeof text, u ? "%.1f %s" : "%.0f %s", bytes, UNIT[u]);
  fprintf(f, " %10s", text);
}

static void put_name(FILE *f, const char *name, int columns)
{
  const size_t n = strlen(name);
  cli_escape(f, name, n);
  for (int w = cli_width(name, n); w < columns; w++)
    fputc(' ', f);
  fputc(' ', f);
}

static void put_costs(FILE *f, const line *l)
{
  fprintf(f, "%9.3f %8lld %9.3f %8lld ", (double)l->forward.wall_ns * 1e-6,
          (long long)l->forward.n_product, (double)l->back.wall_ns * 1e-6,
          (long long)l->back.n_product);
  if (l->forward.work > 0)
    fprintf(f, "%7.2f", l->back.work / l->forward.work);
  else
    fprintf(f, "%7s", "-");
  put_bytes(f, l->forward.moved + l->back.moved);
  put_bytes(f, (double)(l->forward.tensors + l->back.tensors));
  put_bytes(f,
            (double)(l->forward.scratch > l->back.scratch ? l->forward.scratch : l->back.scratch));
}

static void put_head(FILE *f, const char *name, int width)
{
  fprintf(f, "%-*s %9s %8s %9s %8s %7s %10s %10s %10s\n", width, name, "forward", "products",
          "back", "products", "passes", "moved", "tensors", "scratch");
}

void cli_profile_print(FILE *f, const lrp_graph *g)
{
  enum { LEAST = 24, MOST = 60 };
  const int64_t nodes = lrp_graph_n_node(g);
  int width = LEAST;
  int64_t n;
  line all, *rule = rules_of(g, &n, &all);
  if (!rule) return;
  for (int64_t i = 0; i < nodes; i++) {
    const line l = line_of(g, i);
    const int w = cli_width(l.name, strlen(l.name));
    if (w > width) width = w;
  }
  if (width > MOST) width = MOST;
  fputs("profile: milliseconds; passes: multiply-adds back in units of forward\n", f);
  put_head(f, "node", width);
  for (int64_t i = 0; i <= nodes; i++) {
    const line l = i < nodes ? line_of(g, i) : all;
    put_name(f, l.name, width);
    put_costs(f, &l);
    fprintf(f, "  %s%s%s\n", l.layer, l.rule[0] ? " -> " : "", l.rule);
  }
  put_head(f, "rule (layers)", width);
  for (int64_t i = 0; i < n; i++) {
    char name[32];
    snprintf(name, sizeof name, "%lld", (long long)rule[i].n_node);
    put_name(f, name, width);
    put_costs(f, &rule[i]);
    fprintf(f, "  %s\n", rule[i].rule[0] ? rule[i].rule : "none");
  }
  free(rule);
}

/* ---- JSON ---- */

static json_t *cost_json(const lrp_cost *c)
{
  return json_pack("{s:I, s:f, s:I, s:f, s:f, s:I, s:I}", "calls", (json_int_t)c->n_call, "seconds",
                   (double)c->wall_ns * 1e-9, "products", (json_int_t)c->n_product, "multiply_adds",
                   c->work, "moved_bytes", c->moved, "tensor_bytes", (json_int_t)c->tensors,
                   "scratch_bytes", (json_int_t)c->scratch);
}

static json_t *line_json(const line *l, const char *key, const char *value)
{
  json_t *o = json_pack("{s:o, s:o, s:o, s:I}", key, cli_json_text(value, strlen(value)), "forward",
                        cost_json(&l->forward), "back", cost_json(&l->back), "nodes",
                        (json_int_t)l->n_node);
  json_object_set_new(
      o, "passes", l->forward.work > 0 ? json_real(l->back.work / l->forward.work) : json_null());
  return o;
}

json_t *cli_profile_json(const lrp_graph *g)
{
  int64_t n;
  line all, *rule = rules_of(g, &n, &all);
  json_t *layers = json_array(), *rules = json_array();
  for (int64_t i = 0; rule && i < lrp_graph_n_node(g); i++) {
    const line l = line_of(g, i);
    json_t *o = line_json(&l, "node", l.name);
    json_object_set_new(o, "layer", json_string(l.layer));
    json_object_set_new(o, "rule", json_string(l.rule));
    json_array_append_new(layers, o);
  }
  for (int64_t i = 0; rule && i < n; i++)
    json_array_append_new(rules, line_json(&rule[i], "rule", rule[i].rule));
  json_t *o = json_pack("{s:o, s:o, s:o}", "all", line_json(&all, "node", "all"), "layers", layers,
                        "rules", rules);
  free(rule);
  return o;
}
