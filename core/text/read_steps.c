/* read_steps.c - normalizers and pre-tokenizers of a tokenizer.json. */
#include "text/read.h"
#include <stdio.h>
#include <string.h>

enum { DEEPEST = 16 }; /* Sequences inside Sequences */

typedef lrp_status step_fn(lrp_reader *, const json_t *);

static lrp_status sequence(lrp_reader *r, const json_t *object, const char *part, const char *key,
                           step_fn *step)
{
  char known[64], where[80];
  const json_t *list = json_object_get(object, key);
  lrp_read_where(where, sizeof where, part, "Sequence");
  snprintf(known, sizeof known, "type|%s", key);
  lrp_status status = lrp_read_keys(r, object, where, known);
  if (status) return status;
  if (!json_is_array(list)) return lrp_read_bad(r, where, key, "a list");
  if (r->depth == DEEPEST)
    return lrp_fail(r->ctx, LRP_E_UNSUPPORTED, "%s: Sequences nested %d times", r->t->path,
                    DEEPEST);
  r->depth++;
  for (size_t i = 0; i < json_array_size(list) && !status; i++)
    status = step(r, json_array_get(list, i));
  r->depth--;
  return status;
}

static lrp_status unknown(lrp_reader *r, const char *part, const char *type, const char *known)
{
  return lrp_fail(r->ctx, LRP_E_UNSUPPORTED, "%s: the %s \"%.60s\" is not one that lrp knows (%s)",
                  r->t->path, part, type, known);
}

static lrp_status too_many(lrp_reader *r, const char *part)
{
  return lrp_fail(r->ctx, LRP_E_UNSUPPORTED, "%s: more than %d steps in the %s", r->t->path,
                  LRP_STEPS_MAX, part);
}

/* {"String": "..."} or {"Regex": "..."} */
static lrp_status read_pattern(lrp_reader *r, const json_t *object, const char *where,
                               lrp_regex **out)
{
  const json_t *pattern = json_object_get(object, "pattern");
  const json_t *literal = json_object_get(pattern, "String"),
               *regex = json_object_get(pattern, "Regex");
  const json_t *text = literal ? literal : regex;
  if (!json_is_string(text) || json_object_size(pattern) != 1)
    return lrp_read_bad(r, where, "pattern", "{\"String\": ...} or {\"Regex\": ...}");
  return lrp_regex_new(r->ctx, r->t->path, json_string_value(text), json_string_length(text),
                       literal != NULL, out);
}

/* ---- normalizers ---- */
static lrp_status read_bert(lrp_reader *r, const json_t *object, const char *where, lrp_norm *norm)
{
  bool lower = true;
  lrp_status status = lrp_read_keys(r, object, where,
                                    "type|clean_text|handle_chinese_chars|strip_accents|lowercase");
  if (!status) status = lrp_read_bool(r, object, where, "clean_text", true, &norm->clean);
  if (!status)
    status = lrp_read_bool(r, object, where, "handle_chinese_chars", true, &norm->ideographs);
  if (!status) status = lrp_read_bool(r, object, where, "lowercase", true, &lower);
  if (!status) status = lrp_read_bool(r, object, where, "strip_accents", lower, &norm->accents);
  norm->lowercase = lower;
  return status;
}

static lrp_status read_content(lrp_reader *r, const json_t *object, const char *where,
                               const char *key, lrp_norm *norm)
{
  lrp_status status = lrp_read_text(r, object, where, key, &norm->content, &norm->n_content);
  return status || norm->content ? status : lrp_read_bad(r, where, key, "a text");
}

static lrp_status read_replace(lrp_reader *r, const json_t *object, const char *where,
                               lrp_norm *norm)
{
  lrp_status status = lrp_read_keys(r, object, where, "type|pattern|content");
  if (!status) status = read_content(r, object, where, "content", norm);
  return status ? status : read_pattern(r, object, where, &norm->regex);
}

static lrp_status read_prepend(lrp_reader *r, const json_t *object, const char *where,
                               lrp_norm *norm)
{
  lrp_status status = lrp_read_keys(r, object, where, "type|prepend");
  return status ? status : read_content(r, object, where, "prepend", norm);
}

static lrp_status read_strip(lrp_reader *r, const json_t *object, const char *where, lrp_norm *norm)
{
  lrp_status status = lrp_read_keys(r, object, where, "type|strip_left|strip_right");
  if (!status) status = lrp_read_bool(r, object, where, "strip_left", true, &norm->left);
  return status ? status : lrp_read_bool(r, object, where, "strip_right", true, &norm->right);
}

static lrp_status read_plain(lrp_reader *r, const json_t *object, const char *where, lrp_norm *norm)
{
  (void)norm;
  return lrp_read_keys(r, object, where, "type");
}

static lrp_status read_precompiled(lrp_reader *r, const json_t *object, const char *where,
                                   lrp_norm *norm)
{
  const json_t *map = json_object_get(object, "precompiled_charsmap");
  lrp_status status = lrp_read_keys(r, object, where, "type|precompiled_charsmap");
  if (status) return status;
  if (!json_is_string(map)) return lrp_read_bad(r, where, "precompiled_charsmap", "base64 text");
  norm->path = r->t->path;
  return lrp_charsmap_read(r->ctx, &r->t->memory, norm->path, json_string_value(map),
                           json_string_length(map), &norm->map);
}

static lrp_status read_norm(lrp_reader *r, const json_t *object, const char *type, lrp_norm *norm)
{
  static const struct {
    const char *type;
    int32_t kind;
    lrp_status (*read)(lrp_reader *, const json_t *, const char *where, lrp_norm *);
  } kinds[] = {{"BertNormalizer", LRP_NORM_BERT, read_bert},
               {"NFC", LRP_NORM_NFC, read_plain},
               {"NFD", LRP_NORM_NFD, read_plain},
               {"NFKC", LRP_NORM_NFKC, read_plain},
               {"NFKD", LRP_NORM_NFKD, read_plain},
               {"Lowercase", LRP_NORM_LOWERCASE, read_plain},
               {"StripAccents", LRP_NORM_STRIP_ACCENTS, read_plain},
               {"ByteLevel", LRP_NORM_BYTE_LEVEL, read_plain},
               {"Nmt", LRP_NORM_NMT, read_plain},
               {"Precompiled", LRP_NORM_PRECOMPILED, read_precompiled},
               {"Replace", LRP_NORM_REPLACE, read_replace},
               {"Prepend", LRP_NORM_PREPEND, read_prepend},
               {"Strip", LRP_NORM_STRIP, read_strip}};
  char where[80];
  lrp_read_where(where, sizeof where, "normalizer", type);
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
    if (!strcmp(kinds[i].type, type)) {
      norm->kind = kinds[i].kind;
      return kinds[i].read(r, object, where, norm);
    }
  return unknown(r, "normalizer", type,
                 "BertNormalizer, ByteLevel, Lowercase, NFC, NFD, NFKC, NFKD, Nmt, Precompiled, "
                 "Prepend, Replace, Sequence, Strip, StripAccents");
}

lrp_status lrp_read_normalizer(lrp_reader *r, const json_t *object)
{
  const char *type;
  if (!object || json_is_null(object)) return LRP_OK;
  lrp_status status = lrp_read_type(r, object, "normalizer", &type);
  if (status) return status;
  if (!strcmp(type, "Sequence"))
    return sequence(r, object, "normalizer", "normalizers", lrp_read_normalizer);
  if (r->t->n_norm == LRP_STEPS_MAX) return too_many(r, "normalizer");
  return read_norm(r, object, type, &r->t->norm[r->t->n_norm++]);
}

/* ---- pre-tokenizers ---- */
static lrp_status read_behavior(lrp_reader *r, const json_t *object, const char *where,
                                lrp_split *split)
{
  static const char *const names[] = {"Removed", "Isolated", "MergedWithPrevious", "MergedWithNext",
                                      "Contiguous"};
  const json_t *value = json_object_get(object, "behavior");
  split->behavior = LRP_ISOLATED;
  if (!value && split->kind == LRP_SPLIT_PUNCTUATION) return LRP_OK;
  for (int32_t i = 0; i < 5; i++)
    if (json_is_string(value) && !strcmp(json_string_value(value), names[i])) {
      split->behavior = i;
      return LRP_OK;
    }
  return lrp_read_bad(r, where, "behavior",
                      "Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous");
}

/* GPT-2's expression. */
static const char gpt2[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

static lrp_status read_byte_level(lrp_reader *r, const json_t *object, const char *where,
                                  lrp_split *split)
{
  bool trim, regex = true; /* trim_offsets belongs to the post-processor of the same name */
  split->behavior = LRP_ISOLATED;
  lrp_status status =
      lrp_read_keys(r, object, where, "type|add_prefix_space|trim_offsets|use_regex");
  if (!status)
    status = lrp_read_bool(r, object, where, "add_prefix_space", true, &split->prefix_space);
  if (!status) status = lrp_read_bool(r, object, where, "trim_offsets", true, &trim);
  if (!status) status = lrp_read_bool(r, object, where, "use_regex", true, &regex);
  if (status || !regex) return status;
  return lrp_regex_new(r->ctx, r->t->path, gpt2, sizeof gpt2 - 1, false, &split->regex);
}

static lrp_status read_metaspace(lrp_reader *r, const json_t *object, const char *where,
                                 lrp_split *split)
{
  static const char *const schemes[] = {"always", "first", "never"};
  const char *text, *scheme;
  uint32_t n, n_scheme, length = 0;
  bool prefix = true;
  split->behavior = LRP_MERGED_WITH_NEXT;
  lrp_status status = lrp_read_keys(
      r, object, where, "type|replacement|prepend_scheme|add_prefix_space|split|str_rep");
  if (!status) status = lrp_read_text(r, object, where, "replacement", &text, &n);
  if (!status) status = lrp_read_text(r, object, where, "prepend_scheme", &scheme, &n_scheme);
  if (!status) status = lrp_read_bool(r, object, where, "split", true, &split->split);
  if (!status) status = lrp_read_bool(r, object, where, "add_prefix_space", true, &prefix);
  if (status) return status;
  if (n) split->replacement = lrp_code_point(text, 0, n, &length);
  if (!n || length != n) return lrp_read_bad(r, where, "replacement", "one character");
  split->prepend = prefix ? LRP_PREPEND_ALWAYS : LRP_PREPEND_NEVER;
  for (int32_t i = 0; scheme && i < 4; i++) {
    if (i == 3) return lrp_read_bad(r, where, "prepend_scheme", "always, first or never");
    if (strcmp(scheme, schemes[i])) continue;
    if (!prefix && i != LRP_PREPEND_NEVER)
      return lrp_fail(r->ctx, LRP_E_INPUT, "%s: %s has prepend_scheme %s but no add_prefix_space",
                      r->t->path, where, scheme);
    split->prepend = i;
    break;
  }
  return LRP_OK;
}

static lrp_status read_punctuation(lrp_reader *r, const json_t *object, const char *where,
                                   lrp_split *split)
{
  lrp_status status = lrp_read_keys(r, object, where, "type|behavior");
  return status ? status : read_behavior(r, object, where, split);
}

static lrp_status read_digits(lrp_reader *r, const json_t *object, const char *where,
                              lrp_split *split)
{
  bool single = false;
  lrp_status status = lrp_read_keys(r, object, where, "type|individual_digits");
  if (!status) status = lrp_read_bool(r, object, where, "individual_digits", false, &single);
  split->behavior = single ? LRP_ISOLATED : LRP_CONTIGUOUS;
  return status;
}

static lrp_status read_regex(lrp_reader *r, const json_t *object, const char *where,
                             lrp_split *split)
{
  lrp_status status = lrp_read_keys(r, object, where, "type|pattern|behavior|invert");
  if (!status) status = read_behavior(r, object, where, split);
  if (!status) status = lrp_read_bool(r, object, where, "invert", false, &split->invert);
  return status ? status : read_pattern(r, object, where, &split->regex);
}

static lrp_status read_removing(lrp_reader *r, const json_t *object, const char *where,
                                lrp_split *split)
{
  split->behavior = LRP_REMOVED;
  return lrp_read_keys(r, object, where, "type");
}

static lrp_status read_split(lrp_reader *r, const json_t *object, const char *type,
                             lrp_split *split)
{
  static const struct {
    const char *type;
    int32_t kind;
    lrp_status (*read)(lrp_reader *, const json_t *, const char *where, lrp_split *);
  } kinds[] = {{"BertPreTokenizer", LRP_SPLIT_BERT, read_removing},
               {"Whitespace", LRP_SPLIT_WORDS, read_removing},
               {"WhitespaceSplit", LRP_SPLIT_WHITE, read_removing},
               {"ByteLevel", LRP_SPLIT_BYTE_LEVEL, read_byte_level},
               {"Metaspace", LRP_SPLIT_METASPACE, read_metaspace},
               {"Punctuation", LRP_SPLIT_PUNCTUATION, read_punctuation},
               {"Digits", LRP_SPLIT_DIGITS, read_digits},
               {"Split", LRP_SPLIT_REGEX, read_regex}};
  char where[80];
  lrp_read_where(where, sizeof where, "pre_tokenizer", type);
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
    if (!strcmp(kinds[i].type, type)) {
      split->kind = kinds[i].kind;
      return kinds[i].read(r, object, where, split);
    }
  return unknown(r, "pre_tokenizer", type,
                 "BertPreTokenizer, ByteLevel, Digits, Metaspace, Punctuation, Sequence, Split, "
                 "Whitespace, WhitespaceSplit");
}

lrp_status lrp_read_pre_tokenizer(lrp_reader *r, const json_t *object)
{
  const char *type;
  if (!object || json_is_null(object)) return LRP_OK;
  lrp_status status = lrp_read_type(r, object, "pre_tokenizer", &type);
  if (status) return status;
  if (!strcmp(type, "Sequence"))
    return sequence(r, object, "pre_tokenizer", "pretokenizers", lrp_read_pre_tokenizer);
  if (r->t->n_split == LRP_STEPS_MAX) return too_many(r, "pre_tokenizer");
  return read_split(r, object, type, &r->t->split[r->t->n_split++]);
}
