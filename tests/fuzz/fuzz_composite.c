/* fuzz_composite.c - any bytes as a composite: read as inline text, and what was read is read again
 * the same. */
#include "core.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
  static lrp_ctx *ctx; /* plugins are opened once */
  lrp_composite *c, *again;
  if (!ctx) {
    LRP_PRELOAD();
    if (lrp_ctx_new(&ctx) || lrp_plugins_open(ctx) || lrp_n_rule(ctx) < 5) abort();
  }
  char *text = malloc(n + 2);
  if (!text) return 0;
  memcpy(text, data, n);
  text[n] = ';'; /* text, never the name of a file */
  text[n + 1] = 0;
  if (!lrp_composite_open(ctx, text, NULL, &c)) {
    if (lrp_composite_open(ctx, lrp_composite_text(c), NULL, &again) ||
        strcmp(lrp_composite_sha256(c), lrp_composite_sha256(again)) != 0)
      abort(); /* the completed text must say the same */
    lrp_composite_free(again);
    lrp_composite_free(c);
  }
  free(text);
  return 0;
}
