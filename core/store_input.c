/* store_input.c - what is explained: an input known by its content, its tokens, the vocabulary met
 * so far. */
#include "store_db.h"
#include <stdlib.h>
#include <string.h>

static const char SQL_INPUT[] =
    "SELECT input_id FROM input WHERE kind=?1 AND sha256=?2 AND sample=?3";
/* Without RETURNING, for which SQLite would fill a table of its own. */
static const char SQL_INPUT_ADD[] =
    "INSERT INTO input (kind, sha256, sample, text, path, ordinal, shape, "
    "true_label) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
static const char SQL_LABEL[] =
    "UPDATE input SET true_label=?2 WHERE input_id=?1 AND true_label IS NULL";
static const char SQL_RATIONALE[] = "INSERT INTO rationale (input_id, byte_begin, byte_end) VALUES "
                                    "(?1, ?2, ?3) ON CONFLICT DO NOTHING";
static const char SQL_TOKENIZATION[] =
    "SELECT tokenization_id FROM tokenization WHERE input_id=?1 AND tokenizer_id=?2 AND sha256=?3";
static const char SQL_TOKENIZATION_ADD[] = "INSERT INTO tokenization (input_id, tokenizer_id, "
                                           "sha256, n, n_dropped) VALUES (?1, ?2, ?3, ?4, ?5)";
static const lrp_rows SQL_TOKEN = {
    "INSERT INTO token (tokenization_id, position, token_id, byte_begin, byte_end, word, special)"
    " VALUES",
    "", 7};
static const lrp_rows SQL_VOCAB = {"INSERT INTO vocab (tokenizer_id, token_id, token) VALUES",
                                   "ON CONFLICT DO NOTHING", 3};

/* ---- the input ---- */

/* As JSON, in scratch memory; *out NULL for a text. */
static lrp_status shape_of(lrp_store *s, const lrp_input *in, const char **out)
{
  const size_t n = in->kind == LRP_MODALITY_IMAGE ? 1 : (size_t)in->n_tensor;
  *out = NULL;
  if (in->kind == LRP_MODALITY_TEXT) return LRP_OK;
  char *text = lrp_arena_alloc(&s->ctx->scratch, (n + 1) * LRP_SHAPE_TEXT), *to = text;
  if (!text) return lrp_nomem(s->ctx, "the input's shape");
  *out = text; /* zeroed: the NUL will be there */
  if (in->kind == LRP_MODALITY_IMAGE) {
    lrp_shape_json(to, (const int64_t[]){in->image_h, in->image_w, in->image_c}, 3);
    return LRP_OK;
  }
  *to++ = '[';
  for (size_t i = 0; i < n; i++) {
    if (i) *to++ = ',';
    to = lrp_shape_json(to, in->tensor[i].shape, in->tensor[i].rank);
  }
  *to = ']';
  return LRP_OK;
}

lrp_status lrp_store_input(lrp_store *s, const lrp_input *in, int64_t sample, int64_t ordinal,
                           const char *true_label, int64_t *id)
{
  static const char *const KIND[] = {[LRP_MODALITY_TENSOR] = "tensor",
                                     [LRP_MODALITY_IMAGE] = "image",
                                     [LRP_MODALITY_TEXT] = "text",
                                     [LRP_MODALITY_SOUND] = "sound",
                                     [LRP_MODALITY_BYTES] = "bytes"};
  const char *shape = NULL;
  lrp_status st;
  if (in->kind < 0 || in->kind > LRP_MODALITY_BYTES || sample < 0)
    return lrp_fail(s->ctx, LRP_E_ARG, "input of kind %d, sample %lld: no such thing",
                    (int)in->kind, (long long)sample);
  const lrp_mark mark = lrp_arena_mark(&s->ctx->scratch);
  const char *label = lrp_utf8_copy(&s->ctx->scratch, true_label);
  st = lrp_sql_id(s, id, SQL_INPUT, "tti", KIND[in->kind], in->sha256, sample);
  if (!st && *id < 0) {
    st = shape_of(s, in, &shape);
    if (!st)
      st = lrp_sql_insert(s, id, SQL_INPUT_ADD, "ttistItt", KIND[in->kind], in->sha256, sample,
                      in->kind == LRP_MODALITY_TEXT ? in->text : NULL, in->n_text,
                      lrp_utf8_copy(&s->ctx->scratch, in->path), ordinal, shape, label);
  } else if (!st && label) {
    st = lrp_sql_do(s, SQL_LABEL, "it", *id, label);
  }
  lrp_arena_release(&s->ctx->scratch, mark);
  return st;
}

lrp_status lrp_store_rationale(lrp_store *s, const lrp_input *in, int64_t input,
                               const lrp_span *span, int64_t n)
{
  lrp_status st = LRP_OK;
  for (int64_t i = 0; !st && i < n; i++) {
    if (in->kind != LRP_MODALITY_TEXT || span[i].begin >= span[i].end || span[i].end > in->n_text)
      return lrp_fail(s->ctx, LRP_E_ARG, "rationale: bytes %u to %u of a text of %zu",
                      span[i].begin, span[i].end, in->n_text);
    st = lrp_sql_do(s, SQL_RATIONALE, "iii", input, (int64_t)span[i].begin, (int64_t)span[i].end);
  }
  return st;
}

/* ---- its tokens ---- */

/* Least significant byte first, on every machine. */
static unsigned char *put_u32(unsigned char *to, uint32_t v)
{
  for (int i = 0; i < 4; i++)
    *to++ = (unsigned char)(v >> (8 * i));
  return to;
}

/* Of ids, places and words: equal texts are usually cut alike, but not under another maximal
 * length. */
static lrp_status hash_tokens(lrp_store *s, const lrp_input *in, char hex[65])
{
  enum { RECORD = 24 };
  size_t bytes;
  unsigned char *data = NULL, *to;
  const lrp_mark mark = lrp_arena_mark(&s->ctx->scratch);
  if (lrp_mul_size((size_t)in->n_token, RECORD, &bytes))
    data = lrp_arena_alloc(&s->ctx->scratch, bytes);
  if (!data) return lrp_nomem(s->ctx, "tokens");
  to = data;
  for (int64_t i = 0; i < in->n_token; i++) {
    const lrp_token *t = &in->token[i];
    to = put_u32(to, (uint32_t)((uint64_t)t->id & 0xffffffff));
    to = put_u32(to, (uint32_t)((uint64_t)t->id >> 32));
    to = put_u32(to, t->begin);
    to = put_u32(to, t->end);
    to = put_u32(to, (uint32_t)t->word);
    to = put_u32(to, t->special != 0);
  }
  lrp_sha256(data, bytes, hex);
  lrp_arena_release(&s->ctx->scratch, mark);
  return LRP_OK;
}

typedef struct token_rows {
  lrp_store *store;
  const lrp_input *in;
  int64_t tokenization, tokenizer;
} token_rows;

static lrp_status token_row(void *data, int64_t i, lrp_bound *c)
{
  const token_rows *r = data;
  const lrp_token *t = &r->in->token[i];
  if (t->begin > t->end || t->end > r->in->n_text)
    return lrp_fail(r->store->ctx, LRP_E_SHAPE, "token %lld: bytes %u to %u of a text of %zu",
                    (long long)i, t->begin, t->end, r->in->n_text);
  c[0] = (lrp_bound){.type = 'i', .i = r->tokenization};
  c[1] = (lrp_bound){.type = 'i', .i = i};
  c[2] = (lrp_bound){.type = 'i', .i = t->id};
  c[3] = (lrp_bound){.type = 'i', .i = (int64_t)t->begin};
  c[4] = (lrp_bound){.type = 'i', .i = (int64_t)t->end};
  c[5] = (lrp_bound){.type = 'I', .i = (int64_t)t->word};
  c[6] = (lrp_bound){.type = 'i', .i = t->special != 0};
  return LRP_OK;
}

static lrp_status vocab_row(void *data, int64_t i, lrp_bound *c)
{
  const token_rows *r = data;
  const lrp_token *t = &r->in->token[i];
  const char *text = lrp_utf8_copy(&r->store->ctx->scratch, t->text ? t->text : "");
  c[0] = (lrp_bound){.type = 'i', .i = r->tokenizer};
  c[1] = (lrp_bound){.type = 'i', .i = t->id};
  c[2] = (lrp_bound){.type = 't', .text = text};
  return text ? LRP_OK : lrp_nomem(r->store->ctx, "tokens");
}

static lrp_status put_tokens(lrp_store *s, const lrp_run *run, const lrp_input *in, int64_t id)
{
  token_rows r = {s, in, id, run->tokenizer_id};
  const lrp_mark mark = lrp_arena_mark(&s->ctx->scratch);
  lrp_status st = lrp_sql_rows(s, &SQL_TOKEN, in->n_token, token_row, &r);
  if (!st) st = lrp_sql_rows(s, &SQL_VOCAB, in->n_token, vocab_row, &r);
  lrp_arena_release(&s->ctx->scratch, mark);
  return st;
}

lrp_status lrp_store_tokens(lrp_store *s, const lrp_run *run, const lrp_input *in, int64_t input,
                            int64_t *id)
{
  char hex[65];
  *id = -1;
  if (in->n_token <= 0) return LRP_OK;
  if (run->tokenizer_id < 0)
    return lrp_fail(s->ctx, LRP_E_ARG,
                    "a text with tokens, but the run names no tokenizer (tokenizer_sha256)");
  lrp_status st = hash_tokens(s, in, hex);
  if (!st) st = lrp_sql_id(s, id, SQL_TOKENIZATION, "iit", input, run->tokenizer_id, hex);
  if (st || *id >= 0) return st;
  st = lrp_sql_insert(s, id, SQL_TOKENIZATION_ADD, "iitii", input, run->tokenizer_id, hex, in->n_token,
                  in->n_dropped);
  return st ? st : put_tokens(s, run, in, *id);
}
