/* read_model.c - the model of a tokenizer.json: WordLevel, WordPiece, BPE, Unigram. */
#include "text/read.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static lrp_status check_piece(lrp_reader *r, const char *s, size_t n)
{
  if (n <= LRP_PIECE_MAX) return LRP_OK;
  return lrp_fail(r->ctx, LRP_E_UNSUPPORTED,
                  "%s: a token of %zu bytes (\"%.40s...\"); at most %d are read", r->t->path, n, s,
                  LRP_PIECE_MAX);
}

/* Words of {"piece": id, ...}, their bytes in one block. */
static lrp_status words_of_object(lrp_reader *r, const json_t *vocab, lrp_word **out)
{
  const char *key;
  json_t *value, *object = (json_t *)(uintptr_t)vocab;
  size_t bytes = 0, n = 0, count = json_object_size(vocab), size = 0;
  json_object_foreach(object, key, value) bytes += strlen(key) + 1;
  if (!lrp_mul_size(count, sizeof(lrp_word), &size)) return lrp_nomem(r->ctx, "the vocabulary");
  lrp_word *word = lrp_arena_alloc(&r->t->memory, size);
  char *s = lrp_arena_alloc(&r->t->memory, bytes);
  if (!word || !s) return lrp_nomem(r->ctx, "the vocabulary");
  json_object_foreach(object, key, value)
  {
    size_t length = strlen(key);
    lrp_status status = check_piece(r, key, length);
    if (status) return status;
    memcpy(s, key, length + 1);
    word[n] = (lrp_word){.s = s, .n = (uint32_t)length};
    if (!lrp_read_id(value, &word[n++].id))
      return lrp_fail(r->ctx, LRP_E_INPUT,
                      "%s: the id of the token \"%.80s\" is not a number from 0 to 2147483647",
                      r->t->path, key);
    s += length + 1;
  }
  *out = word;
  return LRP_OK;
}

static lrp_status refuse_shared_ids(lrp_reader *r, const lrp_vocab *v)
{
  for (uint32_t i = 1; i < v->n; i++) {
    const lrp_word *a = &v->word[v->by_id[i - 1]], *b = &v->word[v->by_id[i]];
    if (a->id == b->id)
      return lrp_fail(r->ctx, LRP_E_INPUT, "%s: the tokens \"%.80s\" and \"%.80s\" share the id %u",
                      r->t->path, a->s, b->s, (unsigned)a->id);
  }
  return LRP_OK;
}

static lrp_status read_vocab(lrp_reader *r, const json_t *model, const char *where)
{
  const json_t *vocab = json_object_get(model, "vocab");
  lrp_word *word = NULL;
  if (!json_is_object(vocab)) return lrp_read_bad(r, where, "vocab", "an object of ids");
  lrp_status status = words_of_object(r, vocab, &word);
  if (!status)
    status = lrp_vocab_make(r->ctx, &r->t->memory, r->t->path, word, json_object_size(vocab), false,
                            &r->t->vocab);
  return status ? status : refuse_shared_ids(r, &r->t->vocab);
}

static lrp_status read_unk(lrp_reader *r, const json_t *model, const char *where,
                           const char *otherwise, bool *named)
{
  const char *text;
  uint32_t n;
  lrp_status status = lrp_read_text(r, model, where, "unk_token", &text, &n);
  if (status) return status;
  *named = text != NULL;
  if (!text && otherwise) {
    text = otherwise;
    n = (uint32_t)strlen(otherwise);
  }
  r->t->unk = text ? lrp_vocab_id(&r->t->vocab, text, n) : -1;
  return LRP_OK;
}

static lrp_status read_wordlevel(lrp_reader *r, const json_t *model, const char *where)
{
  bool named;
  r->t->model = LRP_MODEL_WORDLEVEL;
  lrp_status status = lrp_read_keys(r, model, where, "type|vocab|unk_token");
  if (!status) status = read_vocab(r, model, where);
  return status ? status : read_unk(r, model, where, "<unk>", &named);
}

static lrp_status read_wordpiece(lrp_reader *r, const json_t *model, const char *where)
{
  lrp_tokenizer *t = r->t;
  bool named;
  t->model = LRP_MODEL_WORDPIECE;
  lrp_status status = lrp_read_keys(
      r, model, where, "type|vocab|unk_token|continuing_subword_prefix|max_input_chars_per_word");
  if (!status) status = read_vocab(r, model, where);
  if (!status) status = read_unk(r, model, where, "[UNK]", &named);
  if (!status)
    status = lrp_read_text(r, model, where, "continuing_subword_prefix", &t->prefix, &t->n_prefix);
  if (!status)
    status = lrp_read_int(r, model, where, "max_input_chars_per_word", 100, &t->max_chars);
  if (status) return status;
  if (!t->prefix) {
    t->prefix = "##";
    t->n_prefix = 2;
  }
  return LRP_OK;
}

/* ---- BPE ---- */
static int by_pair(const void *a, const void *b)
{
  const lrp_merge *x = a, *y = b;
  if (x->pair != y->pair) return x->pair > y->pair ? 1 : -1;
  return (x->rank > y->rank) - (x->rank < y->rank);
}

/* The two halves of ["a", "b"] or "a b". */
static bool halves(const json_t *merge, const char *half[2], size_t n[2])
{
  if (json_is_string(merge)) {
    const char *s = json_string_value(merge), *space = strchr(s, ' ');
    if (!space || strchr(space + 1, ' ')) return false;
    half[0] = s;
    n[0] = (size_t)(space - s);
    half[1] = space + 1;
    n[1] = json_string_length(merge) - n[0] - 1;
    return true;
  }
  if (json_array_size(merge) != 2) return false;
  for (size_t i = 0; i < 2; i++) {
    half[i] = json_string_value(json_array_get(merge, i));
    if (!half[i]) return false;
    n[i] = json_string_length(json_array_get(merge, i));
  }
  return true;
}

static lrp_status read_merge(lrp_reader *r, const json_t *json, size_t rank, lrp_merge *out)
{
  const lrp_tokenizer *t = r->t;
  const char *half[2];
  size_t n[2];
  char joined[2 * LRP_PIECE_MAX];
  if (!halves(json, half, n))
    return lrp_fail(r->ctx, LRP_E_INPUT, "%s: merge %zu is neither [\"a\", \"b\"] nor \"a b\"",
                    t->path, rank);
  int64_t left = lrp_vocab_id(&t->vocab, half[0], n[0]),
          right = lrp_vocab_id(&t->vocab, half[1], n[1]), id = -1;
  if (left >= 0 && right >= 0 &&
      n[1] >= t->n_prefix) { /* both are words, so at most LRP_PIECE_MAX long */
    memcpy(joined, half[0], n[0]);
    memcpy(joined + n[0], half[1] + t->n_prefix, n[1] - t->n_prefix);
    id = lrp_vocab_id(&t->vocab, joined, n[0] + n[1] - t->n_prefix);
  }
  if (id < 0)
    return lrp_fail(r->ctx, LRP_E_INPUT,
                    "%s: merge %zu, \"%.60s\" and \"%.60s\": %s is not in the vocabulary", t->path,
                    rank, half[0], half[1],
                    left < 0    ? "the first"
                    : right < 0 ? "the second"
                                : "what they make");
  *out = (lrp_merge){(uint64_t)left << 32 | (uint64_t)right, (uint32_t)rank, (uint32_t)id};
  return LRP_OK;
}

static lrp_status read_merges(lrp_reader *r, const json_t *merges)
{
  lrp_tokenizer *t = r->t;
  size_t n = json_array_size(merges), size = 0;
  if (!json_is_array(merges)) return lrp_read_bad(r, "model BPE", "merges", "a list");
  if (n > INT32_MAX || !lrp_mul_size(n, sizeof *t->merge, &size))
    return lrp_nomem(r->ctx, "the merges");
  t->merge = lrp_arena_alloc(&t->memory, size);
  if (!t->merge) return lrp_nomem(r->ctx, "the merges");
  uint32_t m = 0;
  for (size_t i = 0; i < n; i++) {
    const char *line = json_string_value(json_array_get(merges, i));
    if (line && !strncmp(line, "#version", 8)) continue;
    lrp_status status = read_merge(r, json_array_get(merges, i), i, &t->merge[m]);
    if (status) return status;
    m++;
  }
  if (m) qsort(t->merge, m, sizeof *t->merge, by_pair);
  for (uint32_t i = 0; i < m; i++) /* of equal pairs the last one counts */
    if (i + 1 == m || t->merge[i].pair != t->merge[i + 1].pair)
      t->merge[t->n_merge++] = t->merge[i];
  return LRP_OK;
}

static lrp_status read_bpe(lrp_reader *r, const json_t *model, const char *where)
{
  lrp_tokenizer *t = r->t;
  const json_t *dropout = json_object_get(model, "dropout");
  bool named = false;
  t->model = LRP_MODEL_BPE;
  lrp_status status =
      lrp_read_keys(r, model, where,
                    "type|dropout|unk_token|continuing_subword_prefix|end_of_word_suffix|fuse_unk|"
                    "byte_fallback|ignore_merges|vocab|merges");
  if (!status) status = read_vocab(r, model, where);
  if (!status) status = read_unk(r, model, where, NULL, &named);
  if (!status)
    status = lrp_read_text(r, model, where, "continuing_subword_prefix", &t->prefix, &t->n_prefix);
  if (!status)
    status = lrp_read_text(r, model, where, "end_of_word_suffix", &t->suffix, &t->n_suffix);
  if (!status) status = lrp_read_bool(r, model, where, "fuse_unk", false, &t->fuse_unk);
  if (!status) status = lrp_read_bool(r, model, where, "byte_fallback", false, &t->byte_fallback);
  if (!status) status = lrp_read_bool(r, model, where, "ignore_merges", false, &t->ignore_merges);
  if (status) return status;
  if (named && t->unk < 0) return lrp_read_bad(r, where, "unk_token", "a token of the vocabulary");
  if (dropout && !json_is_null(dropout) &&
      !(json_number_value(dropout) <= 0 && json_is_number(dropout)))
    return lrp_fail(r->ctx, LRP_E_UNSUPPORTED,
                    "%s: the model has dropout, which makes its tokens random; set it null",
                    t->path);
  return read_merges(r, json_object_get(model, "merges"));
}

/* ---- Unigram ---- */
static lrp_status unigram_words(lrp_reader *r, const json_t *vocab, lrp_word *word, double *score,
                                char *s)
{
  for (size_t i = 0; i < json_array_size(vocab); i++) {
    const json_t *pair = json_array_get(vocab, i), *text = json_array_get(pair, 0),
                 *number = json_array_get(pair, 1);
    if (json_array_size(pair) != 2 || !json_is_string(text) || !json_is_number(number))
      return lrp_fail(r->ctx, LRP_E_INPUT,
                      "%s: piece %zu of the vocabulary is not [\"text\", score]", r->t->path, i);
    size_t n = json_string_length(text);
    lrp_status status = check_piece(r, json_string_value(text), n);
    if (status) return status;
    memcpy(s, json_string_value(text), n + 1);
    word[i] = (lrp_word){s, (uint32_t)n, (uint32_t)i};
    score[i] = json_number_value(number);
    s += n + 1;
  }
  return LRP_OK;
}

static lrp_status unigram_scores(lrp_reader *r, const double *score, size_t n)
{
  lrp_tokenizer *t = r->t;
  double least = 0;
  for (size_t i = 0; i < n; i++)
    if (!i || score[i] < least) least = score[i];
  t->unk_score = least - 10; /* as SentencePiece has it */
  t->score = lrp_arena_alloc(&t->memory, t->vocab.n * sizeof *t->score);
  if (!t->score) return lrp_nomem(r->ctx, "the vocabulary");
  for (uint32_t i = 0; i < t->vocab.n; i++)
    t->score[i] = score[t->vocab.word[i].id];
  return LRP_OK;
}

static lrp_status read_unigram(lrp_reader *r, const json_t *model, const char *where)
{
  lrp_tokenizer *t = r->t;
  const json_t *vocab = json_object_get(model, "vocab");
  size_t n = json_array_size(vocab), bytes = 0;
  t->model = LRP_MODEL_UNIGRAM;
  lrp_status status = lrp_read_keys(r, model, where, "type|unk_id|vocab|byte_fallback");
  if (!status) status = lrp_read_int(r, model, where, "unk_id", -1, &t->unk);
  if (!status) status = lrp_read_bool(r, model, where, "byte_fallback", false, &t->byte_fallback);
  if (status) return status;
  if (!json_is_array(vocab)) return lrp_read_bad(r, where, "vocab", "a list of [\"text\", score]");
  if (t->unk >= (int64_t)n) return lrp_read_bad(r, where, "unk_id", "the index of a piece");
  for (size_t i = 0; i < n; i++)
    bytes += json_string_length(json_array_get(json_array_get(vocab, i), 0)) + 1;
  lrp_word *word = lrp_arena_alloc(&t->memory, n * sizeof *word);
  char *s = lrp_arena_alloc(&t->memory, bytes);
  double *score = malloc((n ? n : 1) * sizeof *score);
  if (!word || !s || !score) status = lrp_nomem(r->ctx, "the vocabulary");
  if (!status) status = unigram_words(r, vocab, word, score, s);
  if (!status) status = lrp_vocab_make(r->ctx, &t->memory, t->path, word, n, true, &t->vocab);
  if (!status) status = unigram_scores(r, score, n);
  free(score);
  return status;
}

/* Files of old versions do not name the type of the model. */
static const char *guess(const json_t *model)
{
  if (json_object_get(model, "merges")) return "BPE";
  if (json_object_get(model, "max_input_chars_per_word")) return "WordPiece";
  return json_is_array(json_object_get(model, "vocab")) ? "Unigram" : "WordLevel";
}

lrp_status lrp_read_model(lrp_reader *r, const json_t *model)
{
  char where[80];
  if (!json_is_object(model))
    return lrp_fail(r->ctx, LRP_E_INPUT, "%s: there is no model", r->t->path);
  const char *type = json_string_value(json_object_get(model, "type"));
  if (!type) type = guess(model);
  lrp_read_where(where, sizeof where, "model", type);
  if (!strcmp(type, "WordLevel")) return read_wordlevel(r, model, where);
  if (!strcmp(type, "WordPiece")) return read_wordpiece(r, model, where);
  if (!strcmp(type, "BPE")) return read_bpe(r, model, where);
  if (!strcmp(type, "Unigram")) return read_unigram(r, model, where);
  return lrp_fail(
      r->ctx, LRP_E_UNSUPPORTED,
      "%s: the model \"%.60s\" is not one that lrp knows (BPE, Unigram, WordLevel, WordPiece)",
      r->t->path, type);
}
