/* post.c - what follows the model: truncation, offsets without white space, templates of special
 * tokens. */
#include "text/text.h"
#include <stdlib.h>
#include <string.h>

int64_t lrp_tokenizer_truncate(const lrp_tokenizer *t, bool special, lrp_founds *found)
{
  if (t->max_length < 0) return 0;
  size_t room = (size_t)t->max_length - (special ? t->n_special : 0);
  if (found->n <= room) return 0;
  size_t cut = found->n - room;
  if (t->keep_end) memmove(found->token, found->token + cut, room * sizeof *found->token);
  found->n = room;
  return (int64_t)cut;
}

static bool is_space(int32_t cp)
{
  return cp == 0x120 || lrp_is_white(cp); /* U+0120: a blank in the byte alphabet */
}

static void count_spaces(const char *s, uint32_t n, uint32_t *leading, uint32_t *trailing)
{
  uint32_t length;
  *leading = *trailing = 0;
  for (uint32_t i = 0; i < n && is_space(lrp_code_point(s, i, n, &length)); i += length)
    ++*leading;
  for (uint32_t i = n; i && is_space(lrp_code_point_before(s, i, &length)); i -= length)
    ++*trailing;
}

void lrp_found_put_counted(lrp_founds *found, int64_t id, const lrp_text *text, uint32_t begin,
                           uint32_t end, int32_t word)
{
  lrp_found_put(found, id, lrp_text_source(text, begin, end), word);
  if (found->bad) return;
  lrp_found *token = &found->token[found->n - 1];
  token->counted = true;
  count_spaces(text->s + begin, end - begin, &token->leading, &token->trailing);
}

/* Leave the white space of a token out of its range in the text, as ByteLevel's trim_offsets does:
 * each space of the token counts as one character of the text. */
static void trim(const lrp_tokenizer *t, const char *text, bool prefix_space, lrp_found *token,
                 bool first)
{
  const char *s = token->text ? token->text : lrp_tokenizer_id_text(t, token->id);
  uint32_t leading = token->leading, trailing = token->trailing;
  if (!token->counted) count_spaces(s ? s : "", s ? (uint32_t)strlen(s) : 0, &leading, &trailing);
  if (leading == 1 && prefix_space && (first || !token->source.begin)) leading = 0;
  uint32_t begin = token->source.begin, end = token->source.end, back = end, length;
  for (; leading && begin < end; leading--, begin += length)
    lrp_code_point(text, begin, end, &length);
  for (; trailing && back; trailing--, back -= length)
    lrp_code_point_before(text, back, &length);
  if (!trailing) end = back > begin ? back : begin;
  token->source = (lrp_span){begin, end};
}

static lrp_status fill(lrp_ctx *ctx, const lrp_post *post, bool special, lrp_founds *found)
{
  lrp_founds out = {0};
  for (uint32_t i = 0; i < post->n_part; i++) {
    const lrp_added_id *part = &post->part[i];
    for (size_t k = 0; part->id < 0 && k < found->n; k++) {
      lrp_found_put(&out, found->token[k].id, found->token[k].source, found->token[k].word);
      if (!out.bad) out.token[out.n - 1] = found->token[k];
    }
    if (part->id < 0 || !special) continue;
    lrp_found_put(&out, part->id, (lrp_span){0, 0}, -1);
    if (out.bad) break;
    out.token[out.n - 1].special = true;
    out.token[out.n - 1].text = part->text;
  }
  free(found->token);
  *found = out;
  return out.bad ? lrp_nomem(ctx, "the tokens") : LRP_OK;
}

lrp_status lrp_tokenizer_post(lrp_ctx *ctx, const lrp_tokenizer *t, const char *text, bool special,
                              lrp_founds *found)
{
  for (uint32_t i = 0; i < t->n_post; i++) {
    const lrp_post *post = &t->post[i];
    lrp_status status = LRP_OK;
    for (size_t k = 0; post->kind == LRP_POST_TRIM && k < found->n; k++)
      trim(t, text, post->prefix_space, &found->token[k], !k);
    if (post->kind == LRP_POST_TEMPLATE) status = fill(ctx, post, special, found);
    if (status) return status;
  }
  return LRP_OK;
}
