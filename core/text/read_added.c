/* read_added.c - added tokens, what is derived when all is read, and vocab.txt. */
#include "text/read.h"
#include <stdio.h>
#include <string.h>

static lrp_status check_id(lrp_reader *r, const lrp_added *added)
{
  const lrp_tokenizer *t = r->t;
  int64_t id = lrp_vocab_id(&t->vocab, added->s, added->n);
  const lrp_word *other = lrp_vocab_word(&t->vocab, added->id);
  if (id >= 0 && id != added->id)
    return lrp_fail(r->ctx, LRP_E_INPUT,
                    "%s: the added token \"%.80s\" has the id %lld, in the vocabulary %lld",
                    t->path, added->s, (long long)added->id, (long long)id);
  if (id < 0 && other)
    return lrp_fail(r->ctx, LRP_E_INPUT,
                    "%s: the added token \"%.80s\" has the id %lld of the token \"%.80s\"", t->path,
                    added->s, (long long)added->id, other->s);
  return LRP_OK;
}

static lrp_status read_one(lrp_reader *r, const json_t *object, lrp_added *out)
{
  static const char where[] = "added_tokens";
  uint32_t id;
  lrp_status status =
      lrp_read_keys(r, object, where, "id|content|single_word|lstrip|rstrip|normalized|special");
  if (!status) status = lrp_read_text(r, object, where, "content", &out->s, &out->n);
  if (!status && !lrp_read_id(json_object_get(object, "id"), &id))
    status = lrp_read_bad(r, where, "id", "a whole number from 0 to 2147483647");
  if (!status) status = lrp_read_bool(r, object, where, "special", false, &out->special);
  if (!status)
    status = lrp_read_bool(r, object, where, "normalized", !out->special, &out->normalized);
  if (!status) status = lrp_read_bool(r, object, where, "single_word", false, &out->single_word);
  if (!status) status = lrp_read_bool(r, object, where, "lstrip", false, &out->lstrip);
  if (!status) status = lrp_read_bool(r, object, where, "rstrip", false, &out->rstrip);
  if (status) return status;
  out->id = id;
  return out->n ? check_id(r, out) : LRP_OK;
}

lrp_status lrp_read_added(lrp_reader *r, const json_t *list)
{
  lrp_tokenizer *t = r->t;
  size_t n = json_array_size(list);
  if (!list || json_is_null(list)) return LRP_OK;
  if (!json_is_array(list)) return lrp_read_bad(r, "the file", "added_tokens", "a list");
  t->added = lrp_arena_alloc(&t->memory, n * sizeof *t->added);
  if (!t->added) return lrp_nomem(r->ctx, "the added tokens");
  for (size_t i = 0; i < n; i++) {
    lrp_status status = read_one(r, json_array_get(list, i), &t->added[t->n_added]);
    if (status) return status;
    if (t->added[t->n_added].n) t->n_added++; /* an empty one can be nowhere in a text */
  }
  return LRP_OK;
}

/* The pattern of a normalized added token: its content as the normalizer leaves it. */
static lrp_status normalized(lrp_reader *r, const lrp_added *added, lrp_word *out)
{
  lrp_tokenizer *t = r->t;
  lrp_text text = {.limit = LRP_PIECE_MAX * LRP_TEXT_GROWTH}, spare = text;
  for (uint32_t i = 0, length; i < added->n; i += length) {
    int32_t cp = lrp_code_point(added->s, i, added->n, &length);
    lrp_text_put(&text, cp, (lrp_span){i, i + length});
  }
  lrp_text_piece(&text, 0, text.n, -1);
  lrp_status status = lrp_text_status(r->ctx, &text);
  if (!status) status = lrp_text_normalize(r->ctx, t->norm, t->n_norm, &text, &spare);
  if (!status && text.n > LRP_PIECE_MAX)
    status = lrp_fail(r->ctx, LRP_E_UNSUPPORTED,
                      "%s: the added token \"%.40s\" is normalized to more than %d bytes", t->path,
                      added->s, LRP_PIECE_MAX);
  if (!status) {
    out->n = text.n;
    out->s = lrp_arena_text(&t->memory, text.s ? text.s : "", text.n);
    if (!out->s) status = lrp_nomem(r->ctx, "the added tokens");
  }
  lrp_text_free(&text);
  lrp_text_free(&spare);
  return status;
}

static lrp_status make_patterns(lrp_reader *r)
{
  lrp_tokenizer *t = r->t;
  size_t n = t->n_added;
  lrp_word *ids = lrp_arena_alloc(&t->memory, n * sizeof *ids),
           *raw = lrp_arena_alloc(&t->memory, n * sizeof *raw),
           *changed = lrp_arena_alloc(&t->memory, n * sizeof *changed);
  if (!ids || !raw || !changed) return lrp_nomem(r->ctx, "the added tokens");
  size_t n_raw = 0, n_changed = 0;
  lrp_status status = LRP_OK;
  for (uint32_t i = 0; i < n && !status; i++) {
    const lrp_added *added = &t->added[i];
    ids[i] = (lrp_word){added->s, added->n, (uint32_t)added->id};
    lrp_word pattern = {added->s, added->n, i};
    if (added->normalized) status = normalized(r, added, &pattern);
    if (!added->normalized)
      raw[n_raw++] = pattern;
    else if (pattern.n)
      changed[n_changed++] = pattern;
  }
  if (!status) status = lrp_vocab_make(r->ctx, &t->memory, t->path, ids, n, false, &t->added_ids);
  if (!status) status = lrp_vocab_make(r->ctx, &t->memory, t->path, raw, n_raw, true, &t->raw);
  return status ? status
                : lrp_vocab_make(r->ctx, &t->memory, t->path, changed, n_changed, true,
                                 &t->normalized);
}

static void find_padding(lrp_tokenizer *t)
{
  static const char *const names[] = {"[PAD]", "<pad>", "<|pad|>"};
  for (size_t i = 0; i < 3 && t->pad_id < 0; i++)
    t->pad_id = lrp_tokenizer_text_id(t, names[i], strlen(names[i]));
}

lrp_status lrp_read_finish(lrp_reader *r)
{
  lrp_tokenizer *t = r->t;
  char name[8];
  for (unsigned b = 0; b < 256; b++) {
    snprintf(name, sizeof name, "<0x%02X>", b);
    t->byte_id[b] = t->byte_fallback ? lrp_vocab_id(&t->vocab, name, 6) : -1;
  }
  if (t->model == LRP_MODEL_WORDPIECE) {
    t->inside = lrp_vocab_start(&t->vocab);
    for (uint32_t i = 0; i < t->n_prefix && t->inside.lo < t->inside.hi; i++)
      lrp_vocab_step(&t->vocab, &t->inside, (uint8_t)t->prefix[i]);
  }
  lrp_status status = make_patterns(r);
  if (!status) find_padding(t);
  return status;
}

/* ---- vocab.txt ---- */
static lrp_status read_lines(lrp_ctx *ctx, lrp_tokenizer *t, const char *data, size_t n)
{
  size_t lines = 1, n_word = 0;
  for (size_t i = 0; i < n; i++)
    lines += data[i] == '\n';
  char *copy = lrp_arena_text(&t->memory, data, n);
  lrp_word *word = lrp_arena_alloc(&t->memory, lines * sizeof *word);
  if (!copy || !word) return lrp_nomem(ctx, "the vocabulary");
  uint32_t line = 0;
  for (size_t begin = 0, end; begin < n; begin = end + 1, line++) {
    for (end = begin; end < n && copy[end] != '\n';)
      end++;
    size_t stop = end;
    while (stop > begin && strchr(" \t\r", copy[stop - 1]))
      stop--;
    copy[stop] = '\0';
    if (stop - begin > LRP_PIECE_MAX)
      return lrp_fail(ctx, LRP_E_UNSUPPORTED, "%s:%u: a token of %zu bytes; at most %d are read",
                      t->path, (unsigned)line + 1, stop - begin, LRP_PIECE_MAX);
    if (stop > begin) word[n_word++] = (lrp_word){copy + begin, (uint32_t)(stop - begin), line};
  }
  return lrp_vocab_make(ctx, &t->memory, t->path, word, n_word, false, &t->vocab);
}

/* The tokens of BERT: all but [UNK], [CLS] and [SEP] may be missing. */
static lrp_status bert_tokens(lrp_ctx *ctx, lrp_tokenizer *t, int64_t id[5])
{
  static const char *const names[5] = {"[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"};
  t->added = lrp_arena_alloc(&t->memory, 5 * sizeof *t->added);
  if (!t->added) return lrp_nomem(ctx, "the vocabulary");
  for (int i = 0; i < 5; i++) {
    id[i] = lrp_vocab_id(&t->vocab, names[i], strlen(names[i]));
    if (id[i] < 0 && i < 3)
      return lrp_fail(
          ctx, LRP_E_INPUT,
          "%s: %s is missing: a vocab.txt of an uncased BERT was expected; other tokenizers need a "
          "tokenizer.json",
          t->path, names[i]);
    if (id[i] < 0) continue;
    t->added[t->n_added++] =
        (lrp_added){.s = names[i], .n = (uint32_t)strlen(names[i]), .id = id[i], .special = true};
  }
  return LRP_OK;
}

lrp_status lrp_tokenizer_vocab_txt(lrp_ctx *ctx, lrp_tokenizer *t, const char *data, size_t n)
{
  int64_t id[5];
  lrp_status status = lrp_text_well_formed(ctx, t->path, data, n);
  if (!status && n > UINT32_MAX / 2) return lrp_nomem(ctx, "the vocabulary");
  if (!status) status = read_lines(ctx, t, data, n);
  if (!status) status = bert_tokens(ctx, t, id);
  if (status) return status;
  lrp_added_id *part = lrp_arena_alloc(&t->memory, 3 * sizeof *part);
  if (!part) return lrp_nomem(ctx, "the vocabulary");
  t->model = LRP_MODEL_WORDPIECE;
  t->unk = id[0];
  t->prefix = "##";
  t->n_prefix = 2;
  t->max_chars = 100;
  t->norm[t->n_norm++] = (lrp_norm){
      .kind = LRP_NORM_BERT, .clean = true, .ideographs = true, .accents = true, .lowercase = true};
  t->split[t->n_split++] = (lrp_split){.kind = LRP_SPLIT_BERT};
  part[0] = (lrp_added_id){id[1], "[CLS]"};
  part[1] = (lrp_added_id){-1, NULL};
  part[2] = (lrp_added_id){id[2], "[SEP]"};
  t->post[t->n_post++] = (lrp_post){.kind = LRP_POST_TEMPLATE, .part = part, .n_part = 3};
  t->n_special = 2;
  lrp_reader reader = {.ctx = ctx, .t = t};
  return lrp_read_finish(&reader);
}
