/* store_spec.c - the plain facts of a run, collected from a model, its graph and a composite. */
#include "samples.h"
#include "store_db.h"
#include "text/tokenizer.h"
#include <stdlib.h>
#include <string.h>

typedef struct collect {
  lrp_ctx *ctx;
  lrp_arena *arena;
  lrp_run_spec *spec;
} collect;

static void *room(const collect *c, int64_t n, size_t size)
{
  size_t bytes;
  if (n < 0 || !lrp_mul_size((size_t)n + 1, size, &bytes)) return NULL;
  return lrp_arena_alloc(c->arena, bytes);
}

static lrp_status collect_model(const collect *c, const lrp_model *model)
{
  const lrp_model_info *info = lrp_model_about(model);
  lrp_signature *in = room(c, info->n_input, sizeof *in),
                *out = room(c, info->n_output, sizeof *out);
  if (!in || !out) return LRP_E_NOMEM;
  for (int32_t i = 0; i < info->n_input; i++)
    in[i] = *lrp_model_input(model, i);
  for (int32_t i = 0; i < info->n_output; i++)
    out[i] = *lrp_model_output(model, i);
  c->spec->model = info;
  c->spec->input = in;
  c->spec->output = out;
  if (info->tokenizer) {
    c->spec->tokenizer_sha256 = lrp_tokenizer_sha256(info->tokenizer);
    c->spec->tokenizer_kind = lrp_tokenizer_kind(info->tokenizer);
  }
  return LRP_OK;
}

static lrp_status collect_layers(const collect *c, const lrp_graph *graph)
{
  const int64_t n = graph ? lrp_graph_n_node(graph) : 0;
  lrp_run_layer *layer = room(c, n, sizeof *layer);
  if (!layer) return LRP_E_NOMEM;
  for (int64_t i = 0; i < n; i++) {
    const lrp_node_view v = lrp_graph_node(graph, i);
    layer[i] = (lrp_run_layer){.name = v.name,
                               .op = v.op,
                               .type = v.layer ? v.layer->name : "",
                               .args = v.args,
                               .rule = v.rule,
                               .matcher = v.matcher,
                               .note = v.note,
                               .n_param = v.n_param};
    lrp_tensor one;
    if (!v.out) continue;
    lrp_sample_shape(graph, i, &one);
    layer[i].rank = one.rank;
    memcpy(layer[i].shape, one.shape, sizeof layer[i].shape);
  }
  c->spec->layer = layer;
  c->spec->n_layer = n;
  return LRP_OK;
}

/* A rule's arguments as JSON: the length is known after the first print. */
static const char *params_json(const collect *c, const lrp_rule *rule, const lrp_value *args)
{
  int n = lrp_args_json(rule->args, args, NULL, 0);
  char *text = n < 0 ? NULL : lrp_arena_alloc(c->arena, (size_t)n + 1);
  if (text) lrp_args_json(rule->args, args, text, (size_t)n + 1);
  return text;
}

static lrp_status collect_composite(const collect *c, const lrp_composite *composite)
{
  const int64_t n = lrp_composite_n_line(composite);
  lrp_run_rule *line = room(c, n, sizeof *line);
  if (!line) return LRP_E_NOMEM;
  for (int64_t i = 0; i < n; i++) {
    const lrp_rule *rule = NULL;
    const lrp_value *args = NULL;
    lrp_composite_line(composite, i, &line[i].matcher, &rule, &args);
    line[i].rule = rule ? rule->name : "";
    line[i].params = rule && rule->args ? params_json(c, rule, args) : "{}";
    if (!line[i].params) return LRP_E_NOMEM;
  }
  c->spec->composite_name = lrp_composite_name(composite);
  c->spec->composite_text = lrp_composite_text(composite);
  c->spec->composite_sha256 = lrp_composite_sha256(composite);
  c->spec->rule = line;
  c->spec->n_rule = n;
  return LRP_OK;
}

/* Who offers the first n bytes of name, unless it is in the list. */
static void add_owner(const collect *c, const lrp_plugin_info **list, int64_t *n_list,
                      const char *name, size_t n)
{
  char *text = n ? lrp_arena_text(c->arena, name, n) : NULL;
  const lrp_plugin_info *owner = text ? lrp_owner(c->ctx, text) : NULL;
  for (int64_t i = 0; owner && i < *n_list; i++)
    if (list[i] == owner) return;
  if (owner) list[(*n_list)++] = owner;
}

/* Plugins whose layers or rules took part in the graph. */
static lrp_status collect_plugins(const collect *c)
{
  const lrp_plugin_info **list = room(c, lrp_n_plugin(c->ctx), sizeof *list);
  if (!list) return LRP_E_NOMEM;
  for (int64_t i = 0; i < c->spec->n_layer; i++) {
    const lrp_run_layer *l = &c->spec->layer[i];
    add_owner(c, list, &c->spec->n_plugin, l->type, strlen(l->type));
    if (l->rule) add_owner(c, list, &c->spec->n_plugin, l->rule, strcspn(l->rule, "("));
  }
  c->spec->plugin = list;
  return LRP_OK;
}

lrp_status lrp_run_spec_from(lrp_ctx *ctx, const lrp_model *model, const lrp_graph *graph,
                             const lrp_composite *composite, lrp_run_spec *out)
{
  lrp_arena *arena = calloc(1, sizeof *arena);
  const collect c = {ctx, arena, out};
  *out = (lrp_run_spec){.host = arena};
  lrp_status st = arena ? collect_model(&c, model) : LRP_E_NOMEM;
  if (!st) st = collect_layers(&c, graph);
  if (!st && composite) st = collect_composite(&c, composite);
  if (!st) st = collect_plugins(&c);
  if (!st) return LRP_OK;
  lrp_run_spec_free(out);
  return lrp_nomem(ctx, "the run's record");
}

void lrp_run_spec_free(lrp_run_spec *spec)
{
  lrp_arena *arena = spec->host;
  if (arena) lrp_arena_free(arena);
  free(arena);
  *spec = (lrp_run_spec){0};
}
