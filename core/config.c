/* config.c - config.json as model libraries write it: what kind of model, and the names of its
 * classes. */
#include "model.h"
#include "onnx_reader.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- labels ---- */

/* One label; numbers are taken as text, as "0": 0 is written for digits. */
static lrp_status add_label(const lrp_conf *c, lrp_model *m, const char *key, const json_t *v,
                            const char **out)
{
  char number[32];
  const char *text = json_string_value(v);
  if (json_is_integer(v)) {
    snprintf(number, sizeof number, "%lld", (long long)json_integer_value(v));
    text = number;
  }
  if (!text) return lrp_conf_fail(c, LRP_E_INPUT, key, "a text was expected for each label");
  const uint8_t *s = (const uint8_t *)text;
  if (!lrp_reader_printable((lrp_bytes){s, s + strlen(text)}))
    return lrp_conf_fail(c, LRP_E_INPUT, key, "a label holds a control character");
  *out = lrp_model_text(c->ctx, m, text);
  return *out ? LRP_OK : LRP_E_NOMEM;
}

/* {"0": "cat", "1": "dog"}: each of 0 to n-1 once.  n distinct keys in that range are all of them.
 */
static lrp_status labels_of_object(const lrp_conf *c, lrp_model *m, const json_t *map,
                                   const char **labels)
{
  const size_t n = json_object_size(map);
  json_t *object = json_object_get(c->root, "id2label"); /* iterators take no const object */
  for (void *it = json_object_iter(object); it; it = json_object_iter_next(object, it)) {
    const char *key = json_object_iter_key(it);
    char *end, back[24];
    const unsigned long long id = strtoull(key, &end, 10);
    snprintf(back, sizeof back, "%llu", id);
    if (strcmp(back, key) != 0 || id >= n) /* "01" or "-1" read back otherwise */
      return lrp_conf_fail(c, LRP_E_INPUT, key,
                           "id2label has %zu labels, so ids 0 to %zu were expected", n, n - 1);
    const lrp_status st = add_label(c, m, key, json_object_iter_value(it), &labels[id]);
    if (st) return st;
  }
  return LRP_OK;
}

static lrp_status labels_of_array(const lrp_conf *c, lrp_model *m, const json_t *list,
                                  const char **labels)
{
  lrp_status st = LRP_OK;
  for (size_t i = 0; !st && i < json_array_size(list); i++)
    st = add_label(c, m, "labels", json_array_get(list, i), &labels[i]);
  return st;
}

/* Scores of another width than there are labels: the labels are of something else. */
static bool labels_fit(const lrp_conf *c, const lrp_model *m, size_t n)
{
  if (!m->onnx.graph.n_output) return true;
  const lrp_signature *out = &m->onnx.graph.output[0];
  const int64_t width = out->rank > 0 ? out->shape[out->rank - 1] : -1;
  if (width < 0 || (size_t)width == n) return true;
  lrp_warn(c->ctx, "%s: %zu labels, but output \"%s\" has %lld columns; the labels are left out",
           c->path, n, out->name, (long long)width);
  return false;
}

static lrp_status read_labels(const lrp_conf *c, lrp_model *m)
{
  const json_t *map = lrp_conf_get(c, "id2label"), *list = lrp_conf_get(c, "labels");
  const char *key = map ? "id2label" : "labels";
  if (!map && !list) return LRP_OK;
  if (map ? !json_is_object(map) : !json_is_array(list))
    return lrp_conf_fail(c, LRP_E_INPUT, key,
                         map ? "an object as {\"0\": \"cat\"} was expected"
                             : "an array was expected");
  const size_t n = map ? json_object_size(map) : json_array_size(list);
  if (!n || !labels_fit(c, m, n)) return LRP_OK;
  const char **labels = lrp_arena_alloc(&m->arena, n * sizeof *labels);
  if (!labels) return lrp_nomem(c->ctx, "labels");
  const lrp_status st =
      map ? labels_of_object(c, m, map, labels) : labels_of_array(c, m, list, labels);
  m->info.labels = labels;
  m->info.n_label = (int64_t)n;
  return st;
}

/* ---- the rest ---- */

/* Pictures go in: its architecture says so, or it knows their size. */
static bool of_pictures(const lrp_conf *c)
{
  const json_t *list = lrp_conf_get(c, "architectures");
  for (size_t i = 0; i < json_array_size(list); i++) {
    const char *name = json_string_value(json_array_get(list, i));
    if (name && strstr(name, "Image")) return true;
  }
  return lrp_conf_get(c, "image_size") || lrp_conf_get(c, "num_channels");
}

static lrp_status keep_text(const lrp_conf *c, lrp_model *m, const char *key, const char **out)
{
  const char *text = NULL;
  const lrp_status st = lrp_conf_text(c, key, &text);
  if (st || !text) return st;
  *out = lrp_model_text(c->ctx, m, text);
  return *out ? LRP_OK : LRP_E_NOMEM;
}

/* A number below a million: files that know no limit write a huge one; 0: none. */
static int64_t limit_of(const json_t *v)
{
  const double n = json_number_value(v);
  return n >= 1 && n < 1e6 ? (int64_t)n : 0;
}

/* The huge number has too many digits for a whole one of jansson's.  Of this file nothing else is
 * needed: one that is no JSON only warns. */
static int64_t tokenizer_limit(lrp_ctx *ctx, const char *folder)
{
  char path[4200];
  json_error_t error;
  snprintf(path, sizeof path, "%s/tokenizer_config.json", folder);
  json_t *root = json_load_file(path, JSON_DECODE_INT_AS_REAL, &error);
  if (!root) lrp_warn(ctx, "%s: line %d: no valid JSON: %s", path, error.line, error.text);
  const int64_t n = limit_of(json_object_get(root, "model_max_length"));
  json_decref(root);
  return n;
}

lrp_status lrp_model_max_tokens(lrp_ctx *ctx, lrp_model *m, const char *folder)
{
  lrp_conf c;
  if (lrp_conf_exists(folder, "tokenizer_config.json")) m->max_tokens = tokenizer_limit(ctx, folder);
  if (m->max_tokens || !lrp_conf_exists(folder, "config.json")) return LRP_OK;
  const lrp_status st = lrp_conf_open(ctx, folder, "config.json", &c);
  if (!st) m->max_tokens = limit_of(lrp_conf_get(&c, "max_position_embeddings"));
  if (m->max_tokens && m->info.kind && strstr(m->info.kind, "roberta")) /* positions begin behind the padding's id */
    m->max_tokens -= limit_of(lrp_conf_get(&c, "pad_token_id")) + 1;
  if (m->max_tokens < 0) m->max_tokens = 0;
  lrp_conf_close(&c);
  return st;
}

lrp_status lrp_model_config(lrp_ctx *ctx, lrp_model *m, const char *folder, bool *image)
{
  lrp_conf c;
  lrp_status st = lrp_conf_open(ctx, folder, "config.json", &c);
  if (!st) st = keep_text(&c, m, "model_type", &m->info.kind);
  if (!st) st = keep_text(&c, m, "lrp_composite", &m->info.composite);
  if (!st) st = read_labels(&c, m);
  if (!st) {
    *image = of_pictures(&c);
    m->info.meta = lrp_arena_text(&m->arena, (const char *)c.file.data, c.file.size);
    if (!m->info.meta) st = lrp_nomem(ctx, "config.json");
  }
  lrp_conf_close(&c);
  return st;
}
