/* fuzz_text.c - the first byte chooses a tokenizer, the rest is a text: ranges stay inside it, in
 * every step. */
#include "text/tokenizer.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define VOCAB                                                                                      \
  "\"vocab\":{\"[UNK]\":0,\"a\":1,\"b\":2,\"ab\":3,\"##b\":4,\"\\u0301\":5,\"\\u0120\":6,\"the\":" \
  "7}"
#define ADDED                                                                                      \
  "\"added_tokens\":[{\"id\":8,\"content\":\"<m>\",\"lstrip\":true,\"rstrip\":true},"              \
  "{\"id\":9,\"content\":\"Ab\",\"normalized\":true,\"single_word\":true}],"
static const char *const files[] = {
    "{" ADDED "\"normalizer\":{\"type\":\"BertNormalizer\"},\"pre_tokenizer\":{\"type\":"
    "\"BertPreTokenizer\"},"
    "\"post_processor\":{\"type\":\"BertProcessing\",\"cls\":[\"a\",1],\"sep\":[\"b\",2]},"
    "\"model\":{\"type\":\"WordPiece\"," VOCAB "}}",
    "{" ADDED "\"normalizer\":{\"type\":\"NFC\"},\"pre_tokenizer\":{\"type\":\"ByteLevel\"},"
    "\"post_processor\":{\"type\":\"ByteLevel\"},"
    "\"model\":{\"type\":\"BPE\"," VOCAB ",\"unk_token\":\"[UNK]\",\"merges\":[[\"a\",\"b\"]]}}",
    "{" ADDED "\"normalizer\":{\"type\":\"NFKC\"},\"pre_tokenizer\":{\"type\":\"Metaspace\","
    "\"replacement\":\"\\u2581\"},"
    "\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"u\",0],[\"a\",-1],[\"\\u2581\",-2],"
    "[\"\\u2581a\",-2.5],"
    "[\"bc\",-3],[\"<0x00>\",-9]]}}",
    "{" ADDED "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFKD\"},{"
    "\"type\":\"StripAccents\"},"
    "{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"\\\\w*\"},\"content\":\"xy\"},{\"type\":"
    "\"Strip\"},"
    "{\"type\":\"Prepend\",\"prepend\":\"ab\"},{\"type\":\"Lowercase\"}]},"
    "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\"},{\"type\":"
    "\"Split\",\"pattern\":"
    "{\"Regex\":\"[a-c]+|\\\\s\"},\"behavior\":\"MergedWithNext\",\"invert\":true},{\"type\":"
    "\"Punctuation\",\"behavior\":"
    "\"Contiguous\"},{\"type\":\"Whitespace\"}]},"
    "\"model\":{\"type\":\"WordLevel\"," VOCAB ",\"unk_token\":\"[UNK]\"}}",
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
  lrp_ctx *ctx;
  lrp_tokenizer *t;
  lrp_token *token;
  int64_t n_token;
  if (!n || lrp_ctx_new(&ctx)) return 0;
  const char *json = files[data[0] % (sizeof files / sizeof *files)];
  if (lrp_tokenizer_read(ctx, "a.json", json, strlen(json), &t)) abort();
  if (!lrp_tokenizer_encode(ctx, t, (const char *)data + 1, n - 1, 1, &token, &n_token, NULL)) {
    for (int64_t i = 0; i < n_token; i++)
      if (token[i].begin > token[i].end || token[i].end > n - 1 || !token[i].text) abort();
    free(token);
  }
  lrp_tokenizer_free(t);
  lrp_ctx_free(ctx);
  return 0;
}
