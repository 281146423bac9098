/* fuzz_tokenizer.c - any bytes as a tokenizer.json or vocab.txt; what opens must read a text. */
#include "text/tokenizer.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
  static const char text[] = "The b\xc3\xa9ts, a\xcc\x81 <m>\xe4\xbd\xa0 12\n\xe2\x96\x81 x";
  lrp_ctx *ctx;
  lrp_tokenizer *t;
  lrp_token *token;
  int64_t n_token;
  if (lrp_ctx_new(&ctx)) return 0;
  if (!lrp_tokenizer_read(ctx, "a", data, n, &t)) {
    if (lrp_tokenizer_size(t) && lrp_tokenizer_max_id(t) < 0) abort();
    if (!lrp_tokenizer_encode(ctx, t, text, sizeof text - 1, 1, &token, &n_token, NULL)) {
      for (int64_t i = 0; i < n_token; i++)
        if (token[i].begin > token[i].end || token[i].end > sizeof text - 1 || !token[i].text)
          abort();
      free(token);
    }
    lrp_tokenizer_free(t);
  }
  lrp_ctx_free(ctx);
  return 0;
}
