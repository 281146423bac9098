/* tokenize.c - a tokenizer.json (or vocab.txt) and texts; tokenizer_parity.py compares the tokens.
 *
 *   lrp-tokenize TOKENIZER     texts on standard input: the number of bytes, a line feed, the bytes
 *
 * Each text is answered by a line: "id:begin:end:word" for each token, or "! message". */
#include "core.h"
#include "text/tokenizer.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { LONGEST = 1 << 26 };

static void answer(lrp_ctx *ctx, const lrp_tokenizer *t, const char *text, size_t n)
{
  lrp_token *token = NULL;
  int64_t n_token = 0;
  if (lrp_tokenizer_encode(ctx, t, text, n, 1, &token, &n_token, NULL))
    printf("! %s", lrp_message(ctx));
  for (int64_t i = 0; i < n_token; i++)
    printf("%s%" PRId64 ":%" PRIu32 ":%" PRIu32 ":%" PRId32, i ? " " : "", token[i].id,
           token[i].begin, token[i].end, token[i].word);
  putchar('\n');
  free(token);
}

/* 0 at the end of the texts */
static int read_all(lrp_ctx *ctx, const lrp_tokenizer *t)
{
  char line[32], *end;
  while (fgets(line, sizeof line, stdin)) {
    unsigned long n = strtoul(line, &end, 10);
    char *text = *end == '\n' && n <= LONGEST ? malloc(n + 1) : NULL;
    if (!text || fread(text, 1, n, stdin) != n) {
      free(text);
      fprintf(stderr, "lrp-tokenize: a text's number of bytes, then so many, were expected\n");
      return 1;
    }
    answer(ctx, t, text, n);
    free(text);
  }
  return 0;
}

int main(int argc, char **argv)
{
  lrp_ctx *ctx;
  lrp_tokenizer *t = NULL;
  int bad = 2;
  if (argc != 2) {
    fprintf(stderr, "usage: lrp-tokenize TOKENIZER\n");
    return bad;
  }
  if (lrp_ctx_new(&ctx)) return bad;
  if (lrp_tokenizer_open(ctx, argv[1], &t))
    fprintf(stderr, "%s\n", lrp_message(ctx));
  else
    bad = read_all(ctx, t);
  lrp_tokenizer_free(t);
  lrp_ctx_free(ctx);
  return bad;
}
