/* core.h - what every file of the core shares: the context, messages, memory.  Not installed. */
#ifndef LRP_CORE_H
#define LRP_CORE_H
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif
#include "lrp/lrp.h"
#include "lrp/threads.h"
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- arena: a chain of blocks, freed at once; 64-byte aligned ---- */
typedef struct lrp_block lrp_block;
typedef struct lrp_arena {
  lrp_block *top;
  size_t used, peak; /* bytes handed out now, and at most */
  lrp_block *spare;  /* arena.c's own: released blocks, kept for the next */
  size_t held, most; /* bytes of all blocks, and how many there may be; most 0: no limit */
  bool refused;      /* the limit was why there was no memory */
} lrp_arena;
typedef struct lrp_mark {
  lrp_block *top;
  size_t fill, used;
} lrp_mark;
void *lrp_arena_alloc(lrp_arena *, size_t bytes); /* zeroed; NULL: no memory */
void *lrp_arena_raw(lrp_arena *, size_t bytes);   /* the same, of any content: for what is written as a whole */
lrp_mark lrp_arena_mark(const lrp_arena *);
void lrp_arena_release(lrp_arena *, lrp_mark); /* everything since the mark dies */
void lrp_arena_free(lrp_arena *);              /* everything dies */
char *lrp_arena_text(lrp_arena *, const char *s, size_t n); /* a copy with a NUL behind it */

/* pages.c: memory of any content for numbers, 64-byte aligned, in large pages where the system has them; free() it.
 * NULL: no memory. */
void *lrp_pages_alloc(size_t bytes);

/* *out = a * b; false: overflow. */
static inline bool lrp_mul_size(size_t a, size_t b, size_t *out)
{
  return !__builtin_mul_overflow(a, b, out);
}
/* Number of elements and bytes of a shape; LRP_E_NOMEM where a size is negative or overflows LRP_MAX_BYTES. */
#define LRP_MAX_BYTES ((size_t)1 << 46) /* 64 TiB: past any machine, far from overflow */
lrp_status lrp_tensor_bytes(lrp_ctx *, const lrp_tensor *, size_t *bytes);
static inline size_t lrp_element(const lrp_tensor *t)
{
  return t->dtype == LRP_INDEX ? sizeof(int64_t) : sizeof(lrp_real);
}
const char *lrp_shape_text(const lrp_tensor *, char *buffer, size_t n); /* "(3,8,8)" */

/* ---- context: one for each running thread ---- */
typedef struct lrp_registry lrp_registry;
typedef struct lrp_tally { /* what kernels did so far, for profiles */
  int64_t n_product;
  double work, moved; /* multiply-adds; bytes of operands and results */
} lrp_tally;
enum { LRP_MESSAGE_MAX = 16384 };
struct lrp_ctx {
  lrp_arena scratch;         /* dies with the callback */
  lrp_tally tally;
  lrp_arena *keep;           /* where keep_ints() allocates: the model being prepared, else NULL */
  lrp_registry *registry;
  lrp_log_fn *warn;
  void *warn_user;
  size_t memory_limit;       /* bytes a model may take for tensors; 0: none */
  size_t relaid;             /* bytes of weights that oneDNN keeps in another layout beside the file's */
  void (*tap)(void *user, const char *label, int64_t step, const lrp_tensor *relevance); /* inner steps, or NULL */
  void *tap_user;
  char preset_dirs[8448];    /* made at first use */
  char message[LRP_MESSAGE_MAX];
  lrp_arena texts;           /* answers about the program that live as long as the context */
  int32_t precision;         /* LRP_PRECISION_x of products and convolutions, never AUTO */
  int64_t samples;           /* of the graph that runs; 0: none does */
  double cut;                /* rows.c: of how many rows each one that is computed stands for; 0: itself */
  const struct lrp_table *table; /* of the rule below, while a composite layer is walked by it; or NULL */
  const lrp_rule *table_rule;
  const lrp_value *table_args;
  bool direct;               /* its convolutions are summed directly, see is_delicate() in assign.c */
};
/* Record the message and return status; printf format. */
lrp_status lrp_fail(lrp_ctx *, lrp_status, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Put text in front of the recorded message ("node 3 \"conv1\": ..."); the ": " is added where fmt ends without a blank. */
lrp_status lrp_fail_at(lrp_ctx *, lrp_status, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void lrp_warn(lrp_ctx *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
lrp_status lrp_nomem(lrp_ctx *, const char *what);
lrp_status lrp_over_limit(lrp_ctx *); /* the sentence of the memory limit; LRP_E_NOMEM */

extern const lrp_host lrp_the_host; /* host.c */

/* paths.c: folders that hold `name` ("presets", "plugins-1"): beside the program in a build tree, else the installed one.
 * false: does not fit into n. */
bool lrp_own_folder(const char *name, const char *installed, char *path, size_t n);

/* SHA-256 as 64 hex digits and NUL; of a file: LRP_E_INPUT where it cannot be read. */
void lrp_sha256(const void *data, size_t n, char hex[65]);
lrp_status lrp_sha256_file(lrp_ctx *, const char *path, char hex[65]);

/* A regular file in memory: mapped read-only, size checked against limit (0: none).  LRP_E_INPUT with a sentence. */
typedef struct lrp_file {
  const uint8_t *data;
  size_t size;
} lrp_file;
lrp_status lrp_file_open(lrp_ctx *, const char *path, const char *what, size_t limit, lrp_file *out);
void lrp_file_close(lrp_file *);
void lrp_file_unload(const lrp_file *); /* its pages leave memory and come back when they are read */
#endif
