/* read_post.c - post-processors of a tokenizer.json: what is put around a single text. */
#include "text/read.h"
#include <string.h>

enum { PARTS_MAX = 64 };

static lrp_status new_post(lrp_reader *r, int32_t kind, lrp_post **out)
{
  if (r->t->n_post == LRP_STEPS_MAX)
    return lrp_fail(r->ctx, LRP_E_UNSUPPORTED, "%s: more than %d steps in the post_processor",
                    r->t->path, LRP_STEPS_MAX);
  *out = &r->t->post[r->t->n_post++];
  (*out)->kind = kind;
  if (kind == LRP_POST_TRIM) return LRP_OK;
  (*out)->part = lrp_arena_alloc(&r->t->memory, PARTS_MAX * sizeof *(*out)->part);
  return (*out)->part ? LRP_OK : lrp_nomem(r->ctx, "the tokenizer");
}

static lrp_status add_part(lrp_reader *r, lrp_post *post, int64_t id, const char *text)
{
  if (post->n_part == PARTS_MAX)
    return lrp_fail(r->ctx, LRP_E_UNSUPPORTED, "%s: a template of more than %d parts", r->t->path,
                    PARTS_MAX);
  post->part[post->n_part++] = (lrp_added_id){id, text};
  if (id >= 0) r->t->n_special++;
  return LRP_OK;
}

/* ids and tokens of one name of special_tokens */
static lrp_status special_token(lrp_reader *r, const json_t *object, const char *name,
                                lrp_post *post)
{
  const json_t *entry = json_object_get(json_object_get(object, "special_tokens"), name);
  const json_t *ids = json_object_get(entry, "ids"), *tokens = json_object_get(entry, "tokens");
  if (!json_is_array(ids) || !json_is_array(tokens) ||
      json_array_size(ids) != json_array_size(tokens))
    return lrp_fail(r->ctx, LRP_E_INPUT,
                    "%s: the template names \"%.80s\", which special_tokens does not define",
                    r->t->path, name);
  for (size_t i = 0; i < json_array_size(ids); i++) {
    uint32_t id, n;
    const char *text;
    const json_t *token = json_array_get(tokens, i);
    if (!lrp_read_id(json_array_get(ids, i), &id) || !json_is_string(token))
      return lrp_read_bad(r, "post_processor TemplateProcessing", name,
                          "a list of ids and one of tokens");
    lrp_status status = lrp_read_copy(r, token, "post_processor TemplateProcessing", &text, &n);
    if (!status) status = add_part(r, post, id, text);
    if (status) return status;
  }
  return LRP_OK;
}

static lrp_status template_part(lrp_reader *r, const json_t *object, const json_t *piece,
                                lrp_post *post, int *n_text)
{
  static const char where[] = "post_processor TemplateProcessing";
  const json_t *sequence = json_object_get(piece, "Sequence"),
               *special = json_object_get(piece, "SpecialToken");
  const json_t *of = sequence ? sequence : special;
  const char *id = json_string_value(json_object_get(of, "id"));
  int64_t type_id;
  if (!id || json_object_size(piece) != 1)
    return lrp_read_bad(r, where, "single",
                        "a list of {\"Sequence\": ...} and {\"SpecialToken\": ...}");
  lrp_status status = lrp_read_int(r, of, where, "type_id", 0, &type_id);
  if (status) return status;
  if (type_id)
    return lrp_fail(r->ctx, LRP_E_UNSUPPORTED,
                    "%s: type_id %d in the template of a single text; lrp knows 0", r->t->path,
                    (int)type_id);
  if (special) return special_token(r, object, id, post);
  if (strcmp(id, "A")) return lrp_read_bad(r, where, "single", "the sequence \"A\" only");
  ++*n_text;
  return add_part(r, post, -1, NULL);
}

static lrp_status read_template(lrp_reader *r, const json_t *object, const char *where)
{
  lrp_post *post;
  int n_text = 0;
  const json_t *single = json_object_get(object, "single");
  lrp_status status = lrp_read_keys(r, object, where, "type|single|pair|special_tokens");
  if (!status && !json_is_array(single)) status = lrp_read_bad(r, where, "single", "a list");
  if (!status) status = new_post(r, LRP_POST_TEMPLATE, &post);
  for (size_t i = 0; !status && i < json_array_size(single); i++)
    status = template_part(r, object, json_array_get(single, i), post, &n_text);
  if (!status && n_text != 1)
    return lrp_fail(r->ctx, LRP_E_UNSUPPORTED,
                    "%s: the template holds the text %d times; once was expected", r->t->path,
                    n_text);
  return status;
}

/* ["[SEP]", 102] */
static lrp_status read_pair(lrp_reader *r, const json_t *object, const char *where, const char *key,
                            int64_t *id, const char **text)
{
  const json_t *pair = json_object_get(object, key);
  uint32_t number, n;
  if (json_array_size(pair) != 2 || !json_is_string(json_array_get(pair, 0)) ||
      !lrp_read_id(json_array_get(pair, 1), &number))
    return lrp_read_bad(r, where, key, "[\"token\", id]");
  *id = number;
  return lrp_read_copy(r, json_array_get(pair, 0), where, text, &n);
}

static lrp_status read_trim(lrp_reader *r, const json_t *object, const char *where)
{
  lrp_post *post = NULL;
  bool trim, prefix_space;
  lrp_status status = lrp_read_bool(r, object, where, "trim_offsets", true, &trim);
  if (!status) status = lrp_read_bool(r, object, where, "add_prefix_space", true, &prefix_space);
  if (status || !trim) return status;
  status = new_post(r, LRP_POST_TRIM, &post);
  if (!status) post->prefix_space = prefix_space;
  return status;
}

/* BertProcessing and RobertaProcessing: cls, the text, sep. */
static lrp_status read_enclosing(lrp_reader *r, const json_t *object, const char *where)
{
  int64_t cls = 0, sep = 0;
  const char *cls_text = NULL, *sep_text = NULL;
  lrp_post *post;
  lrp_status status = read_pair(r, object, where, "cls", &cls, &cls_text);
  if (!status) status = read_pair(r, object, where, "sep", &sep, &sep_text);
  if (!status) status = new_post(r, LRP_POST_TEMPLATE, &post);
  if (!status) status = add_part(r, post, cls, cls_text);
  if (!status) status = add_part(r, post, -1, NULL);
  return status ? status : add_part(r, post, sep, sep_text);
}

static lrp_status read_sequence(lrp_reader *r, const json_t *object, const char *where)
{
  const json_t *list = json_object_get(object, "processors");
  lrp_status status = lrp_read_keys(r, object, where, "type|processors");
  if (status) return status;
  if (!json_is_array(list)) return lrp_read_bad(r, where, "processors", "a list");
  if (r->depth == LRP_STEPS_MAX)
    return lrp_fail(r->ctx, LRP_E_UNSUPPORTED, "%s: Sequences nested %d times", r->t->path,
                    LRP_STEPS_MAX);
  r->depth++;
  for (size_t i = 0; i < json_array_size(list) && !status; i++)
    status = lrp_read_post_processor(r, json_array_get(list, i));
  r->depth--;
  return status;
}

lrp_status lrp_read_post_processor(lrp_reader *r, const json_t *object)
{
  const char *type;
  char where[80];
  if (!object || json_is_null(object)) return LRP_OK;
  lrp_status status = lrp_read_type(r, object, "post_processor", &type);
  if (status) return status;
  lrp_read_where(where, sizeof where, "post_processor", type);
  if (!strcmp(type, "TemplateProcessing")) return read_template(r, object, where);
  if (!strcmp(type, "Sequence")) return read_sequence(r, object, where);
  if (!strcmp(type, "BertProcessing")) {
    status = lrp_read_keys(r, object, where, "type|sep|cls");
    return status ? status : read_enclosing(r, object, where);
  }
  if (!strcmp(type, "RobertaProcessing")) {
    status = lrp_read_keys(r, object, where, "type|sep|cls|trim_offsets|add_prefix_space");
    if (!status) status = read_trim(r, object, where);
    return status ? status : read_enclosing(r, object, where);
  }
  if (!strcmp(type, "ByteLevel")) {
    status = lrp_read_keys(r, object, where, "type|add_prefix_space|trim_offsets|use_regex");
    return status ? status : read_trim(r, object, where);
  }
  return lrp_fail(
      r->ctx, LRP_E_UNSUPPORTED,
      "%s: the post_processor \"%.60s\" is not one that lrp knows (BertProcessing, ByteLevel, "
      "RobertaProcessing, Sequence, TemplateProcessing)",
      r->t->path, type);
}
