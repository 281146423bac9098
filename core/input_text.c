/* input_text.c - text to the inputs of a model, matched by name: ids, masks, types, positions. */
#include "input.h"
#include "model.h"
#include "text/tokenizer.h"
#include "text/wordbreak.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* A single input of whole numbers takes ids whatever its name. */
int lrp_text_role(const lrp_model *model, int32_t i)
{
  static const struct {
    const char *name;
    int role;
  } names[] = {{"input_ids", LRP_TEXT_IDS},
               {"ids", LRP_TEXT_IDS},
               {"attention_mask", LRP_TEXT_MASK},
               {"token_type_ids", LRP_TEXT_TYPES},
               {"position_ids", LRP_TEXT_POSITIONS}};
  const lrp_signature *sig = lrp_model_input(model, i);
  for (size_t k = 0; k < sizeof names / sizeof *names; k++)
    if (!strcmp(sig->name, names[k].name)) return names[k].role;
  int32_t whole = 0;
  for (int32_t k = 0; k < lrp_model_about(model)->n_input; k++)
    whole += lrp_model_input(model, k)->dtype == LRP_INDEX;
  return whole == 1 && sig->dtype == LRP_INDEX ? LRP_TEXT_IDS : LRP_TEXT_NOTHING;
}

/* Roles of all inputs are known, ids are among them, and fixed lengths agree; *length -1: any. */
static lrp_status check_inputs(lrp_ctx *ctx, const lrp_model *model, int64_t *length)
{
  const lrp_model_info *info = lrp_model_about(model);
  bool ids = false;
  *length = -1;
  for (int32_t i = 0; i < info->n_input; i++) {
    const lrp_signature *sig = lrp_model_input(model, i);
    char shape[200];
    const int role = lrp_text_role(model, i);
    if (role == LRP_TEXT_NOTHING)
      return lrp_fail(ctx, LRP_E_UNSUPPORTED,
                      "input \"%s\" of the model %s cannot be made from a text; lrp knows "
                      "input_ids, attention_mask, "
                      "token_type_ids and position_ids",
                      sig->name, info->name);
    ids = ids || role == LRP_TEXT_IDS;
    if (sig->rank != 2 && sig->rank != -1)
      return lrp_fail(ctx, LRP_E_UNSUPPORTED,
                      "input \"%s\" of the model %s has the shape %s; (1,T) was expected",
                      sig->name, info->name, lrp_signature_text(sig, shape, sizeof shape));
    if (sig->rank < 0 || sig->shape[1] < 0) continue;
    if (*length >= 0 && *length != sig->shape[1])
      return lrp_fail(ctx, LRP_E_UNSUPPORTED,
                      "the inputs of the model %s have different lengths, %lld and %lld",
                      info->name, (long long)*length, (long long)sig->shape[1]);
    *length = sig->shape[1];
  }
  if (ids) return LRP_OK;
  return lrp_fail(ctx, LRP_E_UNSUPPORTED, "the model %s has no input for token ids (input_ids)",
                  info->name);
}

/* Drop ordinary tokens at the end until n are left; the added ones ([CLS], [SEP]) stay. */
static lrp_status shorten(lrp_ctx *ctx, lrp_input *input, int64_t n)
{
  int64_t special = 0, kept = 0;
  for (int64_t i = 0; i < input->n_token; i++)
    special += input->token[i].special != 0;
  if (special > n)
    return lrp_fail(ctx, LRP_E_INPUT,
                    "the model takes %lld tokens; the tokenizer adds %lld to every text",
                    (long long)n, (long long)special);
  int64_t room = n - special, m = 0;
  for (int64_t i = 0; i < input->n_token; i++) {
    bool keep = input->token[i].special || kept < room;
    if (keep && !input->token[i].special) kept++;
    if (keep) input->token[m++] = input->token[i];
  }
  input->n_dropped += input->n_token - m;
  input->n_token = m;
  return LRP_OK;
}

/* The padding token of the tokenizer, or of config.json. */
static int64_t pad_id(const lrp_model_info *info, bool *left)
{
  int64_t id = lrp_tokenizer_pad_id(info->tokenizer, left);
  json_t *config = id < 0 && info->meta ? json_loads(info->meta, 0, NULL) : NULL;
  const json_t *pad = json_object_get(config, "pad_token_id");
  if (json_is_integer(pad) && json_integer_value(pad) >= 0) id = json_integer_value(pad);
  json_decref(config);
  return id;
}

int64_t lrp_text_filler(const lrp_model *model, int32_t i, int64_t position)
{
  bool left;
  const int role = lrp_text_role(model, i);
  const int64_t pad = role == LRP_TEXT_IDS ? pad_id(lrp_model_about(model), &left) : 0;
  return role == LRP_TEXT_POSITIONS ? position : pad > 0 ? pad : 0;
}

/* One block with n tokens: padding at one side, then all texts. */
static lrp_status lengthen(lrp_ctx *ctx, const lrp_model_info *info, lrp_input *input, int64_t n)
{
  bool left = false;
  int64_t pad = pad_id(info, &left), more = n - input->n_token;
  if (pad < 0)
    return lrp_fail(ctx, LRP_E_INPUT,
                    "the model %s takes %lld tokens, the text has %lld, and neither its tokenizer "
                    "nor config.json "
                    "(pad_token_id) names a token to fill with",
                    info->name, (long long)n, (long long)input->n_token);
  const char *text = lrp_tokenizer_id_text(info->tokenizer, pad);
  if (!text) text = "";
  size_t bytes = strlen(text) + 1, size = 0;
  for (int64_t i = 0; i < input->n_token; i++)
    bytes += strlen(input->token[i].text) + 1;
  bool fits = lrp_mul_size((size_t)n, sizeof(lrp_token), &size) && size < LRP_MAX_BYTES;
  lrp_token *token = fits ? malloc(size + bytes) : NULL;
  if (!token) return lrp_nomem(ctx, "the tokens");
  char *s = (char *)(token + n), *pad_text = s;
  memcpy(s, text, strlen(text) + 1);
  s += strlen(text) + 1;
  for (int64_t i = 0; i < n; i++) {
    int64_t from = left ? i - more : i;
    if (from < 0 || from >= input->n_token) {
      token[i] = (lrp_token){.id = pad, .word = -1, .special = 1, .text = pad_text};
      continue;
    }
    size_t length = strlen(input->token[from].text) + 1;
    token[i] = input->token[from];
    token[i].text = memcpy(s, input->token[from].text, length);
    s += length;
  }
  free(input->token);
  input->token = token;
  input->n_token = n;
  return LRP_OK;
}

static void put(lrp_tensor *t, int64_t i, int64_t value)
{
  if (t->dtype == LRP_INDEX)
    lrp_indices(t)[i] = value;
  else
    lrp_reals(t)[i] = (lrp_real)value;
}

/* Positions [begin, end) are the text's, the others padding. */
static lrp_status fill(lrp_ctx *ctx, const lrp_model *model, lrp_input *input, int64_t begin,
                       int64_t end)
{
  int64_t shape[2] = {1, input->n_token};
  for (int32_t i = 0; i < input->n_tensor; i++) {
    const lrp_signature *sig = lrp_model_input(model, i);
    lrp_status status = lrp_input_check(ctx, "a text", sig, 2, shape);
    if (!status) status = lrp_input_tensor(ctx, input, i, sig, 2, shape);
    if (status) return status;
    const int role = lrp_text_role(model, i);
    for (int64_t k = 0; k < input->n_token; k++) {
      bool real = k >= begin && k < end;
      int64_t value = role == LRP_TEXT_IDS         ? input->token[k].id
                      : role == LRP_TEXT_MASK      ? real
                      : role == LRP_TEXT_POSITIONS ? k
                                          : 0;
      put(&input->tensor[i], k, value);
    }
  }
  return LRP_OK;
}

static lrp_status encode(lrp_ctx *ctx, const lrp_model *model, lrp_input *input)
{
  const lrp_model_info *info = lrp_model_about(model);
  int64_t length;
  lrp_status status = check_inputs(ctx, model, &length);
  if (!status)
    status = lrp_tokenizer_encode(ctx, info->tokenizer, input->text, input->n_text, 1,
                                  &input->token, &input->n_token, &input->n_dropped);
  if (status) return status;
  status = lrp_word_tokens(ctx, input->text, input->n_text, input->token, input->n_token);
  if (status) return status;
  int64_t ordinary = 0;
  for (int64_t i = 0; i < input->n_token; i++)
    ordinary += !input->token[i].special;
  if (!ordinary)
    return lrp_fail(
        ctx, LRP_E_INPUT,
        "the text has no tokens: nothing of it is left after the tokenizer's normalizer");
  const int64_t most = length >= 0 ? length : model->max_tokens > 0 ? model->max_tokens : input->n_token;
  if (input->n_token > most) status = shorten(ctx, input, most);
  int64_t n = input->n_token;
  bool left = false;
  if (!status && length > n) status = lengthen(ctx, info, input, length);
  if (!status) lrp_tokenizer_pad_id(info->tokenizer, &left);
  int64_t begin = left ? input->n_token - n : 0;
  return status ? status : fill(ctx, model, input, begin, begin + n);
}

lrp_status lrp_input_text(lrp_ctx *ctx, const lrp_model *model, const char *text, size_t n,
                          lrp_input **out)
{
  lrp_input *input = NULL;
  const lrp_model_info *info = lrp_model_about(model);
  *out = NULL;
  if (!info->tokenizer)
    return lrp_fail(ctx, LRP_E_INPUT,
                    "the model %s reads no text: its folder has no tokenizer.json or vocab.txt",
                    info->name);
  lrp_status status = lrp_input_new(ctx, model, LRP_MODALITY_TEXT, NULL, &input);
  if (status) return status;
  input->text = n < LRP_MAX_BYTES ? malloc(n + 1) : NULL;
  if (input->text) {
    if (n) memcpy(input->text, text, n);
    input->text[n] = '\0';
    input->n_text = n;
    lrp_sha256(input->text, n, input->sha256);
    status = encode(ctx, model, input);
  } else {
    status = lrp_nomem(ctx, "the text");
  }
  if (status)
    lrp_input_free(input);
  else
    *out = input;
  return status;
}
