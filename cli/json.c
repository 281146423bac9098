/* json.c - an explanation as one JSON object; the keys are told in lrp(1). */
#include "cli.h"
#include <string.h>

/* Text that may hold ill-formed bytes: jansson refuses them, so they are escaped first. */
static json_t *text(const char *s, size_t n)
{
  json_t *j = json_stringn(s, n);
  return j ? j : json_string("(not UTF-8)");
}

static json_t *class_of(const cli_view *v, int64_t index)
{
  char label[256];
  cli_label(v->model, index, label, sizeof label);
  return json_pack("{s:I, s:o}", "index", (json_int_t)index, "label", text(label, strlen(label)));
}

static json_t *tokens(const cli_view *v)
{
  json_t *list = json_array();
  for (int64_t i = 0; i < v->input->n_token && i < v->n_rel; i++) {
    const lrp_token *t = &v->input->token[i];
    json_array_append_new(list, json_pack("{s:I, s:I, s:o, s:I, s:I, s:i, s:b, s:f}", "position", (json_int_t)i, "id",
                                          (json_int_t)t->id, "token", text(t->text, strlen(t->text)), "begin",
                                          (json_int_t)t->begin, "end", (json_int_t)t->end, "word", t->word, "special",
                                          (int)t->special, "relevance", (double)v->rel[i]));
  }
  return list;
}

static json_t *values(const lrp_real *v, int64_t n)
{
  json_t *list = json_array();
  for (int64_t i = 0; i < n; i++)
    json_array_append_new(list, json_real((double)v[i]));
  return list;
}

static json_t *shape(const lrp_tensor *t)
{
  json_t *list = json_array();
  for (int32_t i = 0; i < t->rank; i++)
    json_array_append_new(list, json_integer(i == 0 ? 1 : t->shape[i]));
  return list;
}

static json_t *ledger_rows(const cli_view *v)
{
  json_t *list = json_array();
  const int64_t batch = lrp_graph_n_batch(v->graph);
  for (int64_t i = 0; i < lrp_graph_n_node(v->graph); i++) {
    const lrp_node_view n = lrp_graph_node(v->graph, i);
    const lrp_ledger *l = &v->r->ledger[i * batch + v->sample];
    json_array_append_new(list, json_pack("{s:o, s:s, s:s, s:o, s:f, s:f, s:f, s:f, s:f}", "node", text(n.name, strlen(n.name)),
                                          "op", n.op, "layer", n.layer->name, "rule", text(n.rule, strlen(n.rule)), "r_out",
                                          l->r_out, "r_in", l->r_in, "bias", l->bias, "stabilizer", l->stab, "gate", l->gate));
  }
  return list;
}

json_t *cli_json(const cli_view *v, bool ledger)
{
  lrp_ledger l;
  const lrp_model_info *about = lrp_model_about(v->model);
  cli_losses(v, &l);
  json_t *o = json_pack("{s:o, s:o, s:s, s:s, s:o, s:o, s:o, s:o, s:f, s:f}", "input", text(v->name, strlen(v->name)), "model",
                        text(about->name, strlen(about->name)), "model_sha256", about->sha256, "method", v->method, "rules",
                        v->composite ? text(lrp_composite_name(v->composite), strlen(lrp_composite_name(v->composite)))
                                     : json_null(),
                        "prediction", class_of(v, v->predicted), "scores", values(v->scores, v->n_class), "target",
                        text(v->target_text, strlen(v->target_text)), "explained", v->r->value[v->sample], "relevance_sum",
                        v->r->sum[v->sample]);
  if (!o)
    return NULL;
  if (v->probability >= 0)
    json_object_set_new(o, "probability", json_real(v->probability));
  json_object_set_new(o, "absorbed",
                      json_pack("{s:f, s:f, s:f}", "bias", l.bias, "stabilizer", l.stab, "gate", l.gate));
  if (v->input->kind == LRP_MODALITY_TEXT) {
    json_object_set_new(o, "text", text(v->input->text, v->input->n_text));
    json_object_set_new(o, "tokens", tokens(v));
    json_object_set_new(o, "tokens_cut_off", json_integer(v->input->n_dropped));
  } else if (v->rel_input >= 0) {
    json_object_set_new(o, "shape", shape(&v->r->tensor[v->rel_input]));
    json_object_set_new(o, "relevance", values(v->rel, v->n_rel));
  }
  if (ledger)
    json_object_set_new(o, "ledger", ledger_rows(v));
  return o;
}
