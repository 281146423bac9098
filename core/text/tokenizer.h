/* text/tokenizer.h - text to tokens as a model's tokenizer.json (or vocab.txt) says.  Not
 * installed.
 *
 * A tokenizer is read-only after it was opened; a ctx belongs to one thread at a time.  All byte
 * offsets count from the start of the original text.
 */
#ifndef LRP_TOKENIZER_H
#define LRP_TOKENIZER_H
#include "lrp/lrp.h"
#include <stdbool.h>

/* Read path: a tokenizer.json as the `tokenizers` package writes it, or a vocab.txt (uncased
 * WordPiece as BERT's, one piece a line), told apart by the first byte, '{'.  LRP_E_INPUT: no such
 * file, or it is damaged; LRP_E_UNSUPPORTED: a part that lrp does not know, named with the file. */
lrp_status lrp_tokenizer_open(lrp_ctx *, const char *path, lrp_tokenizer **out);
/* The same from memory; path is for messages only. */
lrp_status lrp_tokenizer_read(lrp_ctx *, const char *path, const void *data, size_t n,
                              lrp_tokenizer **out);
void lrp_tokenizer_free(lrp_tokenizer *); /* NULL is fine */

/* Tokens of text (n bytes, UTF-8, no terminator needed).  special: 0 leaves out the tokens that a
 * post-processor adds
 * ([CLS], [SEP]).  *tokens is one malloc'ed block that holds the token texts too: free() it; NULL
 * where there are none. token->special is 1 for added tokens only, not for a special token written
 * in the text.  *n_dropped counts the tokens that the file's truncation cut off; n_dropped may be
 * NULL.  LRP_E_INPUT: an empty text, one past 1 GB, or ill-formed UTF-8 (the message names the
 * byte). */
lrp_status lrp_tokenizer_encode(lrp_ctx *, const lrp_tokenizer *, const char *text, size_t n,
                                int special, lrp_token **tokens, int64_t *n_token,
                                int64_t *n_dropped);

const char *lrp_tokenizer_id_text(const lrp_tokenizer *,
                                  int64_t id); /* as the file writes it; NULL: no such id */
int64_t lrp_tokenizer_text_id(const lrp_tokenizer *, const char *token,
                              size_t n);           /* -1: no such token */
int64_t lrp_tokenizer_size(const lrp_tokenizer *); /* different ids, added tokens included */
int64_t
lrp_tokenizer_max_id(const lrp_tokenizer *); /* largest id: it must fit the model's embedding */
const char *
lrp_tokenizer_kind(const lrp_tokenizer *); /* "WordPiece", "BPE", "Unigram", "WordLevel" */
const char *lrp_tokenizer_sha256(const lrp_tokenizer *); /* of the file, 64 hex digits */
/* The token that fills a sequence up to a fixed length: the file's padding, else "[PAD]", "<pad>",
 * "<|pad|>". *left: padding goes before the text.  -1: none. */
int64_t lrp_tokenizer_pad_id(const lrp_tokenizer *, bool *left);
#endif
