/* text/wordbreak.h - words by Unicode's word boundaries, and which of them tokens belong to.  Not
 * installed. */
#ifndef LRP_WORDBREAK_H
#define LRP_WORDBREAK_H
#include "lrp/lrp.h"

/* End of the word that begins at byte `begin` of s, which must be a boundary: 0, or what the last
 * call returned.  White space and signs are words of their own.  Never past n; ill-formed bytes are
 * words of one byte. */
size_t lrp_word_end(const char *s, size_t n, size_t begin);

/* Sets token[i].word: tokens of one number share a word.  White space at the ends of a token does
 * not count; a token that reaches over several words joins them.  -1: special tokens, and tokens of
 * nothing but white space. */
lrp_status lrp_word_tokens(lrp_ctx *, const char *s, size_t n, lrp_token *token, int64_t n_token);
#endif
