/* tokenizer.c - opening a tokenizer and running it: cut, normalize, split, look up, frame. */
#include "text/text.h"
#include <stdlib.h>
#include <string.h>

static bool ends_with(const char *path, const char *end)
{
  size_t n = strlen(path), m = strlen(end);
  return n >= m && !strcmp(path + n - m, end);
}

lrp_status lrp_tokenizer_read(lrp_ctx *ctx, const char *path, const void *data, size_t n,
                              lrp_tokenizer **out)
{
  *out = NULL;
  lrp_tokenizer *t = calloc(1, sizeof *t);
  if (!t) return lrp_nomem(ctx, "the tokenizer");
  t->unk = t->pad_id = t->max_length = -1;
  t->path = lrp_arena_text(&t->memory, path, strlen(path));
  lrp_sha256(data, n, t->sha256);
  bool json =
      ends_with(path, ".json") || (!ends_with(path, ".txt") && n && *(const char *)data == '{');
  lrp_status status = !t->path ? lrp_nomem(ctx, "the tokenizer")
                      : json   ? lrp_tokenizer_parse(ctx, t, data, n)
                               : lrp_tokenizer_vocab_txt(ctx, t, data, n);
  if (status)
    lrp_tokenizer_free(t);
  else
    *out = t;
  return status;
}

lrp_status lrp_tokenizer_open(lrp_ctx *ctx, const char *path, lrp_tokenizer **out)
{
  lrp_file file;
  *out = NULL;
  lrp_status status = lrp_file_open(ctx, path, "the tokenizer", LRP_TOKENIZER_FILE_MAX, &file);
  if (status) return status;
  status = lrp_tokenizer_read(ctx, path, file.data, file.size, out);
  lrp_file_close(&file);
  return status;
}

void lrp_tokenizer_free(lrp_tokenizer *t)
{
  if (!t) return;
  for (uint32_t i = 0; i < t->n_norm; i++)
    lrp_regex_free(t->norm[i].regex);
  for (uint32_t i = 0; i < t->n_split; i++)
    lrp_regex_free(t->split[i].regex);
  lrp_arena_free(&t->memory);
  free(t);
}

const char *lrp_tokenizer_id_text(const lrp_tokenizer *t, int64_t id)
{
  const lrp_word *word = lrp_vocab_word(&t->added_ids, id);
  if (!word) word = lrp_vocab_word(&t->vocab, id);
  return word ? word->s : NULL;
}

int64_t lrp_tokenizer_text_id(const lrp_tokenizer *t, const char *token, size_t n)
{
  int64_t id = lrp_vocab_id(&t->added_ids, token, n);
  return id >= 0 ? id : lrp_vocab_id(&t->vocab, token, n);
}

int64_t lrp_tokenizer_size(const lrp_tokenizer *t)
{
  int64_t n = t->vocab.n;
  for (uint32_t i = 0; i < t->n_added; i++)
    n += !lrp_vocab_word(&t->vocab, t->added[i].id);
  return n;
}

static int64_t last_id(const lrp_vocab *v)
{
  return v->n ? (int64_t)v->word[v->by_id[v->n - 1]].id : -1;
}

int64_t lrp_tokenizer_max_id(const lrp_tokenizer *t)
{
  int64_t a = last_id(&t->vocab), b = last_id(&t->added_ids);
  return a > b ? a : b;
}

const char *lrp_tokenizer_kind(const lrp_tokenizer *t)
{
  static const char *const names[] = {"WordLevel", "WordPiece", "BPE", "Unigram"};
  return names[t->model];
}

const char *lrp_tokenizer_sha256(const lrp_tokenizer *t)
{
  return t->sha256;
}

int64_t lrp_tokenizer_pad_id(const lrp_tokenizer *t, bool *left)
{
  if (left) *left = t->pad_left;
  return t->pad_id;
}

/* The text as it is, every byte with the span of its character. */
static void start(lrp_text *text, const char *s, uint32_t n)
{
  for (uint32_t i = 0, length; i < n; i += length) {
    int32_t cp = lrp_code_point(s, i, n, &length);
    lrp_text_put(text, cp, (lrp_span){i, i + length});
  }
  lrp_text_piece(text, 0, text->n, -1);
}

static lrp_status words(lrp_ctx *ctx, const lrp_tokenizer *t, const lrp_text *text,
                        lrp_founds *found)
{
  lrp_bpe *bpe = NULL;
  lrp_status status = t->model == LRP_MODEL_BPE ? lrp_bpe_new(ctx, &bpe) : LRP_OK;
  for (size_t i = 0; i < text->n_piece && !status; i++) {
    const lrp_piece *piece = &text->piece[i];
    int32_t word = (int32_t)i;
    if (piece->added >= 0)
      lrp_found_put_counted(found, t->added[piece->added].id, text, piece->begin, piece->end, word);
    else if (t->model == LRP_MODEL_WORDLEVEL)
      status = lrp_wordlevel(ctx, t, text, piece, word, found);
    else if (t->model == LRP_MODEL_WORDPIECE)
      status = lrp_wordpiece(ctx, t, text, piece, word, found);
    else if (t->model == LRP_MODEL_BPE)
      status = lrp_bpe_word(ctx, t, bpe, text, piece, word, found);
    else
      status = lrp_unigram(ctx, t, text, piece, word, found);
  }
  lrp_bpe_free(bpe);
  return !status && found->bad ? lrp_nomem(ctx, "the tokens") : status;
}

static lrp_status run(lrp_ctx *ctx, const lrp_tokenizer *t, const char *s, uint32_t n,
                      lrp_founds *found)
{
  uint64_t limit = (uint64_t)n * LRP_TEXT_GROWTH + (1 << 20);
  lrp_text text = {.limit = limit > LRP_TEXT_MAX ? (uint32_t)LRP_TEXT_MAX : (uint32_t)limit},
           spare = text;
  start(&text, s, n);
  lrp_text_cut(t, &t->raw, &text, &spare);
  lrp_status status = lrp_text_status(ctx, &text);
  if (!status) status = lrp_text_normalize(ctx, t->norm, t->n_norm, &text, &spare);
  if (!status) lrp_text_cut(t, &t->normalized, &text, &spare);
  if (!status) status = lrp_text_status(ctx, &text);
  if (!status) status = lrp_text_split(ctx, t->split, t->n_split, &text, &spare);
  if (!status) status = words(ctx, t, &text, found);
  lrp_text_free(&text);
  lrp_text_free(&spare);
  return status;
}

static const char *text_of(const lrp_tokenizer *t, const lrp_found *found)
{
  const char *text = found->text ? found->text : lrp_tokenizer_id_text(t, found->id);
  return text ? text : "";
}

/* One block: the tokens, then their texts. */
static lrp_status pack(lrp_ctx *ctx, const lrp_tokenizer *t, const lrp_founds *found,
                       lrp_token **tokens)
{
  size_t bytes = found->n * sizeof **tokens;
  for (size_t i = 0; i < found->n; i++)
    bytes += strlen(text_of(t, &found->token[i])) + 1;
  *tokens = found->n ? malloc(bytes) : NULL;
  if (!found->n) return LRP_OK;
  if (!*tokens) return lrp_nomem(ctx, "the tokens");
  char *s = (char *)(*tokens + found->n);
  for (size_t i = 0; i < found->n; i++) {
    const lrp_found *f = &found->token[i];
    const char *text = text_of(t, f);
    size_t n = strlen(text) + 1;
    memcpy(s, text, n);
    (*tokens)[i] = (lrp_token){f->id, f->source.begin, f->source.end, f->word, f->special, s};
    s += n;
  }
  return LRP_OK;
}

lrp_status lrp_tokenizer_encode(lrp_ctx *ctx, const lrp_tokenizer *t, const char *text, size_t n,
                                int special, lrp_token **tokens, int64_t *n_token,
                                int64_t *n_dropped)
{
  lrp_founds found = {0};
  *tokens = NULL;
  *n_token = 0;
  if (n_dropped) *n_dropped = 0;
  if (!n) return lrp_fail(ctx, LRP_E_INPUT, "the text is empty");
  if (n > LRP_TEXT_MAX)
    return lrp_fail(ctx, LRP_E_INPUT, "a text of %zu bytes; at most %d are read", n, LRP_TEXT_MAX);
  lrp_status status = lrp_text_well_formed(ctx, "the text", text, n);
  if (!status) status = run(ctx, t, text, (uint32_t)n, &found);
  if (!status) {
    int64_t cut = lrp_tokenizer_truncate(t, special != 0, &found);
    if (n_dropped) *n_dropped = cut;
    status = lrp_tokenizer_post(ctx, t, text, special != 0, &found);
  }
  if (!status) status = pack(ctx, t, &found, tokens);
  if (!status) *n_token = (int64_t)found.n;
  free(found.token);
  return status;
}
