/* text/text.h - what the files of the tokenizer share: text that knows its source, vocabularies,
 * steps.  Private. */
#ifndef LRP_TEXT_H
#define LRP_TEXT_H
#include "core.h"
#include "text/tokenizer.h"
#include <utf8proc.h>

/* Limits, each against a file or text that would take all memory or time. */
enum {
  LRP_TEXT_MAX = 1 << 30, /* bytes of a text: offsets are 32 bits wide */
  LRP_TEXT_GROWTH = 64,   /* normalising may lengthen a text so often; NFKD's worst is 11 */
  LRP_PIECE_MAX = 1024,   /* bytes of a token or a pattern: what one step of a search may cost */
  LRP_STEPS_MAX = 64,     /* steps of a Sequence */
  LRP_TOKENIZER_FILE_MAX = 1 << 28
};

/* ---- text that knows its source (text.c) ---- */
typedef struct lrp_span { /* bytes of the original text */
  uint32_t begin, end;
} lrp_span;
typedef struct lrp_piece { /* a part of the text: a word to be, or an added token */
  uint32_t begin, end;     /* bytes of lrp_text.s */
  int64_t added;           /* index of the added token, or -1 */
} lrp_piece;
typedef struct lrp_text {
  char *s;
  lrp_span *at; /* the source of each byte */
  uint32_t n, cap, limit;
  lrp_piece *piece;
  size_t n_piece, cap_piece;
  lrp_status
      bad; /* sticky: no memory (LRP_E_NOMEM) or too long (LRP_E_INPUT); later appends do nothing */
} lrp_text;
void lrp_text_free(lrp_text *);
/* An empty text of the same limit; its memory is kept. */
void lrp_text_clear(lrp_text *);
void lrp_text_put(lrp_text *, int32_t cp, lrp_span source);
void lrp_text_copy(lrp_text *, const lrp_text *from, uint32_t begin, uint32_t end);
/* Bytes [begin, end) become the next piece; nothing for an empty one. */
void lrp_text_piece(lrp_text *, uint32_t begin, uint32_t end, int64_t added);
lrp_status lrp_text_status(lrp_ctx *, const lrp_text *); /* turns .bad into a message */
/* The code point at s[at], and its length; s is known to be well-formed. */
static inline int32_t lrp_code_point(const char *s, uint32_t at, uint32_t n, uint32_t *length)
{
  utf8proc_int32_t cp;
  *length =
      (uint32_t)utf8proc_iterate((const utf8proc_uint8_t *)s + at, (utf8proc_ssize_t)(n - at), &cp);
  return cp;
}
/* The code point that ends before s[at], at > 0. */
int32_t lrp_code_point_before(const char *s, uint32_t at, uint32_t *length);
lrp_span lrp_text_source(const lrp_text *, uint32_t begin,
                         uint32_t end); /* of bytes [begin, end) */
lrp_status lrp_text_well_formed(lrp_ctx *, const char *what, const char *s, size_t n);

/* An edit writes a changed copy of a piece and keeps the sources, as the reference counts them: a
 * code point with change 0 replaces the next one, change -k replaces it and k more, change +1 is
 * new and shares the source of the code point before it. */
typedef struct lrp_edit {
  const lrp_text *from;
  lrp_text *to;
  uint32_t at, begin, end;
} lrp_edit;
void lrp_edit_put(lrp_edit *, int32_t cp, int32_t change);

/* ---- code points (unicode.c, older.c) ---- */
bool lrp_is_white(int32_t cp);       /* White_Space */
bool lrp_is_punctuation(int32_t cp); /* P*, and every symbol of ASCII */
bool lrp_is_ideograph(int32_t cp);   /* BERT's blocks of Chinese characters */
bool lrp_is_word(
    int32_t cp); /* \w of UTS 18: alphabetic, mark, decimal number, connector, joiner */
/* Characters that the reference's tables are too old for (older.c); of a class only, see there. */
enum {
  LRP_LATE_PUNCTUATION,
  LRP_LATE_NONSPACING,
  LRP_LATE_MARK,
  LRP_LATE_CONTROL,
  LRP_LATE_DECOMPOSITION
};
bool lrp_is_late(int32_t set, int32_t cp);
bool lrp_is_number(int32_t cp);        /* N* */
bool lrp_is_mark(int32_t cp);          /* M* */
bool lrp_is_nonspacing(int32_t cp);    /* Mn */
bool lrp_is_control(int32_t cp);       /* C* without unassigned ones; not tab, line feed, return */
int32_t lrp_byte_letter(uint8_t byte); /* GPT-2's alphabet: a visible letter for each byte */

/* ---- vocabulary: sorted, so that no file can make a search slow (vocab.c) ---- */
typedef struct lrp_word {
  const char *s; /* a NUL stands behind it */
  uint32_t n, id;
} lrp_word;
typedef struct lrp_vocab {
  lrp_word *word;  /* sorted by bytes */
  uint32_t *by_id; /* positions in word, sorted by id */
  uint32_t n;
  uint32_t first[257]; /* words that start with byte b: first[b] .. first[b+1] */
} lrp_vocab;
typedef struct lrp_walk { /* the words that start with the bytes seen so far */
  uint32_t lo, hi, depth;
} lrp_walk;
/* Takes over word[n], allocated in the arena; sorts it.  twice: keep the larger id of two equal
 * words, else refuse. */
lrp_status lrp_vocab_make(lrp_ctx *, lrp_arena *, const char *path, lrp_word *word, size_t n,
                          bool twice, lrp_vocab *out);
int64_t lrp_vocab_id(const lrp_vocab *, const char *s, size_t n); /* -1: not there */
const lrp_word *lrp_vocab_word(const lrp_vocab *, int64_t id);    /* NULL: not there */
lrp_walk lrp_vocab_start(const lrp_vocab *);
bool lrp_vocab_step(const lrp_vocab *, lrp_walk *, uint8_t byte); /* false: no word starts so */
/* The word that ends here, or NULL. */
const lrp_word *lrp_vocab_here(const lrp_vocab *, const lrp_walk *);

/* ---- regular expressions (regex.c) ---- */
typedef struct lrp_regex lrp_regex;
lrp_status lrp_regex_new(lrp_ctx *, const char *path, const char *pattern, size_t n, bool literal,
                         lrp_regex **out);
void lrp_regex_free(lrp_regex *);
typedef struct lrp_finder lrp_finder;
lrp_status lrp_finder_new(lrp_ctx *, const lrp_regex *, lrp_finder **out);
void lrp_finder_free(lrp_finder *);
void lrp_finder_on(lrp_finder *, const char *s, uint32_t n);
/* The next match [*begin, *end) of the subject; *begin == n + 1: none is left. */
lrp_status lrp_finder_next(lrp_ctx *, lrp_finder *, uint32_t *begin, uint32_t *end);

/* ---- steps ---- */
enum {
  LRP_NORM_BERT,
  LRP_NORM_NFC,
  LRP_NORM_NFD,
  LRP_NORM_NFKC,
  LRP_NORM_NFKD,
  LRP_NORM_LOWERCASE,
  LRP_NORM_STRIP_ACCENTS,
  LRP_NORM_REPLACE,
  LRP_NORM_PREPEND,
  LRP_NORM_STRIP,
  LRP_NORM_BYTE_LEVEL,
  LRP_NORM_NMT,
  LRP_NORM_PRECOMPILED
};
typedef struct lrp_charsmap { /* of Precompiled; all in the tokenizer's memory */
  const uint8_t *unit;        /* n_unit little-endian words of a double array */
  const char *text;           /* what entries become, each ended by a NUL; one more at the end */
  uint32_t n_unit, n_text;
} lrp_charsmap;
typedef struct lrp_norm {
  int32_t kind;
  lrp_charsmap map; /* Precompiled */
  const char *path; /* Precompiled: the file, for messages */
  bool clean, ideographs, accents, lowercase; /* BERT: what is done */
  bool left, right;                           /* Strip */
  lrp_regex *regex;                           /* Replace */
  const char *content;                        /* Replace, Prepend */
  uint32_t n_content;
} lrp_norm;
enum {
  LRP_SPLIT_BERT,
  LRP_SPLIT_WORDS,
  LRP_SPLIT_WHITE,
  LRP_SPLIT_BYTE_LEVEL,
  LRP_SPLIT_METASPACE,
  LRP_SPLIT_PUNCTUATION,
  LRP_SPLIT_DIGITS,
  LRP_SPLIT_REGEX
};
enum { LRP_REMOVED, LRP_ISOLATED, LRP_MERGED_WITH_PREVIOUS, LRP_MERGED_WITH_NEXT, LRP_CONTIGUOUS };
enum { LRP_PREPEND_ALWAYS, LRP_PREPEND_FIRST, LRP_PREPEND_NEVER };
typedef struct lrp_split {
  int32_t kind, behavior;
  bool invert;                  /* Split */
  bool prefix_space;            /* ByteLevel */
  bool split;                   /* Metaspace; ByteLevel: use_regex */
  int32_t prepend, replacement; /* Metaspace */
  lrp_regex *regex;
} lrp_split;
enum { LRP_POST_TEMPLATE, LRP_POST_TRIM };
typedef struct lrp_added_id { /* of a template; id -1: the text itself */
  int64_t id;
  const char *text;
} lrp_added_id;
typedef struct lrp_post {
  int32_t kind;
  bool prefix_space;
  lrp_added_id *part;
  uint32_t n_part;
} lrp_post;

typedef struct lrp_added {
  const char *s;
  uint32_t n;
  int64_t id;
  bool special, normalized, single_word, lstrip, rstrip;
} lrp_added;

enum { LRP_MODEL_WORDLEVEL, LRP_MODEL_WORDPIECE, LRP_MODEL_BPE, LRP_MODEL_UNIGRAM };
typedef struct lrp_merge {
  uint64_t pair; /* left id << 32 | right id; sorted */
  uint32_t rank, id;
} lrp_merge;

struct lrp_tokenizer {
  lrp_arena memory;
  const char *path;
  char sha256[65];
  int32_t model;
  lrp_vocab vocab;
  int64_t unk;          /* id, -1: none */
  int64_t byte_id[256]; /* of <0x00> ... <0xFF>, -1: none; where byte_fallback is set */
  bool byte_fallback, ignore_merges, fuse_unk;
  const char *prefix, *suffix; /* continuing_subword_prefix, end_of_word_suffix; may be "" */
  uint32_t n_prefix, n_suffix;
  int64_t max_chars; /* WordPiece: longer words are unknown */
  lrp_walk inside;   /* WordPiece: the words that start with the prefix */
  lrp_merge *merge;
  uint32_t n_merge;
  double *score; /* Unigram, by position in vocab.word */
  double unk_score;
  lrp_added *added;
  uint32_t n_added;
  lrp_vocab raw, normalized,
      added_ids; /* patterns of added tokens; their ids are indices of added */
  lrp_norm norm[LRP_STEPS_MAX];
  lrp_split split[LRP_STEPS_MAX];
  lrp_post post[LRP_STEPS_MAX];
  uint32_t n_norm, n_split, n_post;
  int64_t max_length; /* truncation, -1: none */
  bool keep_end;      /* truncation cuts the start off */
  int64_t pad_id;
  bool pad_left;
  uint32_t n_special; /* tokens that post-processing adds */
};

/* ---- running (normalize.c, compose.c, precompiled.c, split.c, added.c) ---- */
/* All work from *text to *spare and exchange the two. */
lrp_status lrp_text_normalize(lrp_ctx *, const lrp_norm *, uint32_t n, lrp_text *text,
                              lrp_text *spare);
lrp_status lrp_text_decompose(lrp_ctx *, bool compatible, bool compose, const lrp_text *,
                              const lrp_piece *, lrp_text *out);
lrp_status lrp_charsmap_read(lrp_ctx *, lrp_arena *, const char *path, const char *base64, size_t n,
                             lrp_charsmap *out);
lrp_status lrp_text_precompiled(lrp_ctx *, const lrp_norm *, const lrp_text *, const lrp_piece *,
                                lrp_text *out);
lrp_status lrp_text_split(lrp_ctx *, const lrp_split *, uint32_t n, lrp_text *text,
                          lrp_text *spare);
/* Cut out added tokens, those matched before or after normalising. */
void lrp_text_cut(const lrp_tokenizer *, const lrp_vocab *, lrp_text *text, lrp_text *spare);
void lrp_text_swap(lrp_text *, lrp_text *);

/* ---- models (wordpiece.c, bpe.c, unigram.c) and what follows (post.c) ---- */
typedef struct lrp_found {
  int64_t id;
  lrp_span source;
  int32_t word; /* -1: added by post-processing */
  bool special;
  bool counted; /* its characters are not those of its text: an added or an unknown token */
  uint32_t leading, trailing; /* then: spaces at its ends */
  const char *text;           /* NULL: that of the id */
} lrp_found;
typedef struct lrp_founds {
  lrp_found *token;
  size_t n, cap;
  bool bad; /* no memory */
} lrp_founds;
void lrp_found_put(lrp_founds *, int64_t id, lrp_span source, int32_t word);
/* The same for bytes [begin, end) of the text, whose spaces are counted. */
void lrp_found_put_counted(lrp_founds *, int64_t id, const lrp_text *, uint32_t begin, uint32_t end,
                           int32_t word);
lrp_status lrp_wordlevel(lrp_ctx *, const lrp_tokenizer *, const lrp_text *, const lrp_piece *,
                         int32_t word, lrp_founds *);
lrp_status lrp_wordpiece(lrp_ctx *, const lrp_tokenizer *, const lrp_text *, const lrp_piece *,
                         int32_t word, lrp_founds *);
typedef struct lrp_bpe lrp_bpe; /* scratch of one encoding */
lrp_status lrp_bpe_new(lrp_ctx *, lrp_bpe **out);
void lrp_bpe_free(lrp_bpe *);
lrp_status lrp_bpe_word(lrp_ctx *, const lrp_tokenizer *, lrp_bpe *, const lrp_text *,
                        const lrp_piece *, int32_t word, lrp_founds *);
lrp_status lrp_unigram(lrp_ctx *, const lrp_tokenizer *, const lrp_text *, const lrp_piece *,
                       int32_t word, lrp_founds *);
int64_t lrp_tokenizer_truncate(const lrp_tokenizer *, bool special,
                               lrp_founds *); /* tokens cut off */
/* text: the original, whose bytes the tokens' sources count. */
lrp_status lrp_tokenizer_post(lrp_ctx *, const lrp_tokenizer *, const char *text, bool special,
                              lrp_founds *);

/* ---- reading (read.c, read_steps.c, read_model.c, read_added.c) ---- */
lrp_status lrp_tokenizer_parse(lrp_ctx *, lrp_tokenizer *, const void *data, size_t n);
lrp_status lrp_tokenizer_vocab_txt(lrp_ctx *, lrp_tokenizer *, const char *data, size_t n);
#endif
