/* read.c - the frame of a tokenizer.json, and the helpers that read it strictly. */
#include "text/read.h"
#include <stdio.h>
#include <string.h>

lrp_status lrp_read_keys(lrp_reader *r, const json_t *object, const char *where, const char *known)
{
  const char *key;
  json_t *value;
  if (!json_is_object(object))
    return lrp_fail(r->ctx, LRP_E_INPUT, "%s: %s is not an object", r->t->path, where);
  json_object_foreach((json_t *)(uintptr_t)object, key, value)
  {
    size_t n = strlen(key);
    const char *at = known;
    while (at && (strncmp(at, key, n) || (at[n] && at[n] != '|'))) {
      at = strchr(at, '|');
      if (at) at++;
    }
    if (!at)
      return lrp_fail(r->ctx, LRP_E_UNSUPPORTED,
                      "%s: %s has the key \"%.80s\", which lrp does not know (it knows %s)",
                      r->t->path, where, key, known);
  }
  return LRP_OK;
}

lrp_status lrp_read_bad(lrp_reader *r, const char *where, const char *key, const char *expected)
{
  return lrp_fail(r->ctx, LRP_E_INPUT, "%s: \"%s\" of %s: %s was expected", r->t->path, key, where,
                  expected);
}

lrp_status lrp_read_bool(lrp_reader *r, const json_t *object, const char *where, const char *key,
                         bool otherwise, bool *out)
{
  const json_t *value = json_object_get(object, key);
  *out = otherwise;
  if (!value || json_is_null(value)) return LRP_OK;
  if (!json_is_boolean(value)) return lrp_read_bad(r, where, key, "true or false");
  *out = json_is_true(value);
  return LRP_OK;
}

lrp_status lrp_read_int(lrp_reader *r, const json_t *object, const char *where, const char *key,
                        int64_t otherwise, int64_t *out)
{
  const json_t *value = json_object_get(object, key);
  *out = otherwise;
  if (!value || json_is_null(value)) return LRP_OK;
  if (!json_is_integer(value) || json_integer_value(value) < 0 ||
      json_integer_value(value) > INT32_MAX)
    return lrp_read_bad(r, where, key, "a whole number from 0 to 2147483647");
  *out = json_integer_value(value);
  return LRP_OK;
}

lrp_status lrp_read_copy(lrp_reader *r, const json_t *string, const char *where, const char **out,
                         uint32_t *n)
{
  size_t length = json_string_length(string);
  if (length > LRP_PIECE_MAX)
    return lrp_fail(r->ctx, LRP_E_UNSUPPORTED, "%s: a text of %zu bytes in %s; at most %d are read",
                    r->t->path, length, where, LRP_PIECE_MAX);
  *out = lrp_arena_text(&r->t->memory, json_string_value(string), length);
  *n = (uint32_t)length;
  return *out ? LRP_OK : lrp_nomem(r->ctx, "the tokenizer");
}

lrp_status lrp_read_text(lrp_reader *r, const json_t *object, const char *where, const char *key,
                         const char **out, uint32_t *n)
{
  const json_t *value = json_object_get(object, key);
  *out = NULL;
  *n = 0;
  if (!value || json_is_null(value)) return LRP_OK;
  if (!json_is_string(value)) return lrp_read_bad(r, where, key, "a text");
  return lrp_read_copy(r, value, where, out, n);
}

lrp_status lrp_read_type(lrp_reader *r, const json_t *object, const char *where, const char **type)
{
  *type = json_string_value(json_object_get(object, "type"));
  if (*type) return LRP_OK;
  return lrp_fail(r->ctx, LRP_E_INPUT, "%s: the %s has no \"type\"", r->t->path, where);
}

const char *lrp_read_where(char *buffer, size_t n, const char *part, const char *type)
{
  snprintf(buffer, n, "%s %.60s", part, type);
  return buffer;
}

bool lrp_read_id(const json_t *number, uint32_t *id)
{
  if (!json_is_integer(number)) return false;
  json_int_t value = json_integer_value(number);
  if (value < 0 || value > INT32_MAX) return false;
  *id = (uint32_t)value;
  return true;
}

/* Direction "Left" or "Right" of truncation and padding. */
static lrp_status read_left(lrp_reader *r, const json_t *object, const char *where, bool *left)
{
  const json_t *value = json_object_get(object, "direction");
  const char *text = json_string_value(value);
  *left = text && !strcmp(text, "Left");
  if (!value || *left || (text && !strcmp(text, "Right"))) return LRP_OK;
  return lrp_read_bad(r, where, "direction", "\"Left\" or \"Right\"");
}

static lrp_status read_truncation(lrp_reader *r, const json_t *object)
{
  if (!object || json_is_null(object)) return LRP_OK;
  lrp_status status =
      lrp_read_keys(r, object, "truncation", "direction|max_length|strategy|stride");
  if (!status) status = read_left(r, object, "truncation", &r->t->keep_end);
  if (!status) status = lrp_read_int(r, object, "truncation", "max_length", -1, &r->t->max_length);
  if (status) return status;
  if (r->t->max_length < 0) return lrp_read_bad(r, "truncation", "max_length", "a whole number");
  const char *strategy = json_string_value(json_object_get(object, "strategy"));
  if (!strategy || (strcmp(strategy, "LongestFirst") && strcmp(strategy, "OnlyFirst")))
    return lrp_fail(r->ctx, LRP_E_UNSUPPORTED,
                    "%s: the truncation strategy \"%.60s\"; lrp reads single texts and knows "
                    "LongestFirst, OnlyFirst",
                    r->t->path, strategy ? strategy : "");
  return LRP_OK;
}

/* Only the token and the side are kept: a single text is never padded but to a model's fixed
 * length. */
static lrp_status read_padding(lrp_reader *r, const json_t *object)
{
  if (!object || json_is_null(object)) return LRP_OK;
  lrp_status status = lrp_read_keys(
      r, object, "padding", "strategy|direction|pad_to_multiple_of|pad_id|pad_type_id|pad_token");
  if (!status) status = read_left(r, object, "padding", &r->t->pad_left);
  if (!status) status = lrp_read_int(r, object, "padding", "pad_id", -1, &r->t->pad_id);
  return status;
}

static lrp_status read_root(lrp_reader *r, const json_t *root)
{
  lrp_status status = lrp_read_keys(r, root, "the file",
                                    "version|truncation|padding|added_tokens|normalizer|pre_"
                                    "tokenizer|post_processor|decoder|model");
  if (status) return status;
  const char *version = json_string_value(json_object_get(root, "version"));
  if (version && strcmp(version, "1.0"))
    return lrp_fail(r->ctx, LRP_E_UNSUPPORTED, "%s: version \"%.40s\"; lrp reads 1.0", r->t->path,
                    version);
  status = lrp_read_model(r, json_object_get(root, "model"));
  if (!status) status = lrp_read_normalizer(r, json_object_get(root, "normalizer"));
  if (!status) status = lrp_read_pre_tokenizer(r, json_object_get(root, "pre_tokenizer"));
  if (!status) status = lrp_read_post_processor(r, json_object_get(root, "post_processor"));
  if (!status) status = lrp_read_added(r, json_object_get(root, "added_tokens"));
  if (!status) status = read_truncation(r, json_object_get(root, "truncation"));
  if (!status) status = read_padding(r, json_object_get(root, "padding"));
  if (!status) status = lrp_read_finish(r);
  if (!status && r->t->max_length >= 0 && r->t->max_length < (int64_t)r->t->n_special)
    return lrp_fail(r->ctx, LRP_E_INPUT,
                    "%s: truncation to %d tokens leaves no room for the %u that are added",
                    r->t->path, (int)r->t->max_length, (unsigned)r->t->n_special);
  return status;
}

lrp_status lrp_tokenizer_parse(lrp_ctx *ctx, lrp_tokenizer *t, const void *data, size_t n)
{
  json_error_t error;
  json_t *root = json_loadb(data, n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
  if (!root)
    return lrp_fail(ctx, LRP_E_INPUT, "%s:%d: not JSON: %s", t->path, error.line, error.text);
  lrp_reader reader = {.ctx = ctx, .t = t};
  lrp_status status = read_root(&reader, root);
  json_decref(root);
  return status;
}
