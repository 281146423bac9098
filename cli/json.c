/* json.c - an explanation as one JSON object; the keys are told in lrp(1). */
#include "cli.h"
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

json_t *cli_json_text(const char *s, size_t n)
{
  json_t *j = json_stringn(s, n);
  char *clean = j ? NULL : malloc(3 * n + 1);
  if (!clean) return j;
  size_t m = 0;
  for (size_t i = 0; i < n;) { /* jansson refuses ill-formed bytes */
    utf8proc_int32_t c;
    const utf8proc_ssize_t k =
        utf8proc_iterate((const utf8proc_uint8_t *)s + i, (utf8proc_ssize_t)(n - i), &c);
    const size_t len = k > 0 ? (size_t)k : 1;
    memcpy(clean + m, k > 0 ? s + i : "\xEF\xBF\xBD", k > 0 ? len : 3);
    m += k > 0 ? len : 3;
    i += len;
  }
  j = json_stringn(clean, m);
  free(clean);
  return j;
}

static json_t *text(const char *s)
{
  return cli_json_text(s, strlen(s));
}

void cli_json_print(json_t *o)
{
  json_dumpf(o, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
  putchar('\n');
  json_decref(o);
}

static json_t *class_of(const cli_view *v, int64_t index)
{
  char label[256];
  cli_label(v->model, index, label, sizeof label);
  return json_pack("{s:I, s:o}", "index", (json_int_t)index, "label", text(label));
}

/* One number, or one for each target. */
static json_t *per_target(const double *r, int n)
{
  json_t *list = n > 1 ? json_array() : NULL;
  for (int k = 0; list && k < n; k++)
    json_array_append_new(list, json_real(r[k]));
  return n > 1 ? list : json_real(r[0]);
}

static json_t *tokens(const cli_view *v, int n)
{
  json_t *list = json_array();
  double *r = calloc((size_t)n, sizeof *r);
  for (int64_t i = 0; r && i < v->input->n_token && i < v->n_rel; i++) {
    const lrp_token *t = &v->input->token[i];
    for (int k = 0; k < n; k++)
      r[k] = (double)v[k].rel[i];
    json_array_append_new(list, json_pack("{s:I, s:I, s:o, s:I, s:I, s:i, s:b, s:o}", "position",
                                          (json_int_t)i, "id", (json_int_t)t->id, "token",
                                          text(t->text), "begin", (json_int_t)t->begin, "end",
                                          (json_int_t)t->end, "word", t->word, "special",
                                          (int)t->special, "relevance", per_target(r, n)));
  }
  free(r);
  return list;
}

static json_t *part_of(const cli_view *v, const cli_part *p, const double *r, int n)
{
  return json_pack("{s:o, s:I, s:I, s:b, s:o}", "text",
                   p->name ? text(p->name)
                           : cli_json_text(v->input->text + p->begin, p->end - p->begin),
                   "begin", (json_int_t)p->begin, "end", (json_int_t)p->end, "special",
                   (int)p->special, "relevance", per_target(r, n));
}

/* The view that was asked for, where it is not the tokens as they are. */
static void put_parts(const cli_view *v, int n, json_t *o)
{
  cli_part **p = calloc((size_t)n, sizeof *p);
  double *r = calloc((size_t)n, sizeof *r), *hidden = calloc((size_t)n, sizeof *hidden);
  int64_t m = 0;
  bool ok = p && r && hidden;
  for (int k = 0; ok && k < n; k++) {
    p[k] = cli_parts(&v[k], &m);
    ok = p[k];
    if (ok) hidden[k] = cli_parts_hide(&v[k], p[k], &m);
  }
  json_t *list = ok ? json_array() : NULL;
  for (int64_t i = 0; list && i < m; i++) {
    for (int k = 0; k < n; k++)
      r[k] = p[k][i].r;
    json_array_append_new(list, part_of(v, &p[0][i], r, n));
  }
  json_object_set_new(o, "by", json_string(cli_by_name(v->by)));
  json_object_set_new(o, "parts", list);
  if (ok && v->special == CLI_SPECIAL_HIDE)
    json_object_set_new(o, "special_not_shown", per_target(hidden, n));
  for (int k = 0; p && k < n; k++)
    free(p[k]);
  free(p);
  free(r);
  free(hidden);
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
  for (int64_t i = 0; i < lrp_graph_n_node(v->graph); i++) {
    const lrp_node_view n = lrp_graph_node(v->graph, i);
    const lrp_ledger *l = &v->r->ledger[i * v->n_sample + v->sample];
    json_array_append_new(list, json_pack("{s:o, s:o, s:s, s:o, s:f, s:f, s:f, s:f, s:f}", "node",
                                          text(n.name), "op", text(n.op), "layer", n.layer->name,
                                          "rule", text(n.rule), "r_out", l->r_out, "r_in", l->r_in,
                                          "bias", l->bias, "stabilizer", l->stab, "gate", l->gate));
  }
  return list;
}

/* Where in the file each position is; null: nowhere. */
static json_t *places(const lrp_input *in)
{
  json_t *list = json_array();
  for (int64_t i = 0; i < in->n_byte; i++)
    json_array_append_new(list, in->byte_at[i] < 0 ? json_null() : json_integer(in->byte_at[i]));
  return list;
}

/* What belongs to a target: into the document of one, or into its place in "targets". */
static void put_target(const cli_view *v, bool ledger, json_t *o)
{
  lrp_ledger l;
  cli_losses(v, &l);
  json_object_set_new(o, "target", text(v->target_text));
  json_object_set_new(o, "target_class",
                      v->target.plus < 0 ? json_null() : json_integer(v->target.plus));
  json_object_set_new(o, "contrast_class",
                      v->target.minus < 0 ? json_null() : json_integer(v->target.minus));
  json_object_set_new(o, "explained", json_real(v->r->value[v->sample]));
  json_object_set_new(o, "relevance_sum", json_real(v->r->sum[v->sample]));
  json_object_set_new(
      o, "absorbed",
      json_pack("{s:f, s:f, s:f}", "bias", l.bias, "stabilizer", l.stab, "gate", l.gate));
  if (v->input->kind != LRP_MODALITY_TEXT && v->rel_input >= 0) {
    json_object_set_new(o, "shape", shape(&v->r->tensor[v->rel_input]));
    json_object_set_new(o, "relevance", values(v->rel, v->n_rel));
  }
  if (ledger) json_object_set_new(o, "ledger", ledger_rows(v));
}

static void put_targets(const cli_view *v, int n, bool ledger, json_t *o)
{
  json_t *list = json_array();
  for (int k = 0; k < n; k++) {
    json_t *one = json_object();
    put_target(&v[k], ledger, one);
    json_array_append_new(list, one);
  }
  json_object_set_new(o, "targets", list);
}

json_t *cli_json(const cli_view *v, int n, bool ledger)
{
  const lrp_model_info *about = lrp_model_about(v->model);
  json_t *o =
      json_pack("{s:o, s:o, s:s, s:s, s:o, s:o, s:o}", "input", text(v->name), "model",
                text(about->name), "model_sha256", about->sha256, "method", v->method, "rules",
                v->composite ? text(lrp_composite_name(v->composite)) : json_null(), "prediction",
                class_of(v, v->predicted), "scores", values(v->scores, v->n_class));
  if (!o) return NULL;
  if (v->probability >= 0) json_object_set_new(o, "probability", json_real(v->probability));
  if (n > 1)
    put_targets(v, n, ledger, o);
  else
    put_target(v, ledger, o);
  if (v->input->kind == LRP_MODALITY_TEXT) {
    json_object_set_new(o, "text", cli_json_text(v->input->text, v->input->n_text));
    json_object_set_new(o, "tokens", tokens(v, n));
    json_object_set_new(o, "tokens_cut_off", json_integer(v->input->n_dropped));
    if (v->by != CLI_BY_TOKEN || v->special == CLI_SPECIAL_HIDE) put_parts(v, n, o);
  }
  if (v->input->kind == LRP_MODALITY_SOUND)
    json_object_set_new(o, "frame_begin", json_integer(v->input->sound_at));
  if (v->input->kind == LRP_MODALITY_BYTES) json_object_set_new(o, "byte_at", places(v->input));
  return o;
}
