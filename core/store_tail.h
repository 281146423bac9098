/* store_tail.h - explanations that are finished while their transaction is not: in a file beside the
 * store that outlives a killed process.  Not installed. */
#ifndef LRP_STORE_TAIL_H
#define LRP_STORE_TAIL_H
#include "lrp/store.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

enum { LRP_TAIL_NAME = 16, LRP_TAIL_FORMAT = 1 };
enum { LRP_TAIL_HALF = 2 << 20 }; /* bytes: half a second of the smallest explanations */
#define LRP_TAIL_ENDING ".tail"
#define LRP_TAIL_EARLY  "~" /* behind it while the file is made */

typedef struct lrp_tail_head { /* at the beginning of the file; of one machine and program only */
  char magic[16], version[48];
  int64_t format, real;
  _Atomic uint64_t used[2]; /* bytes of each half; they come last */
} lrp_tail_head;
typedef struct lrp_tail_frame { /* before each record */
  uint64_t bytes, check;
} lrp_tail_frame;
typedef struct lrp_tail {
  int fd;
  char *path;
  lrp_tail_head *head;
  int half; /* that is written to */
} lrp_tail;

/* Makes STORE.XXXXXXXXXXXXXXXX.tail of fixed size with two halves.  LRP_E_DB: there is no room, or the
 * folder allows no such file. */
lrp_status lrp_tail_open(lrp_ctx *, const char *store, lrp_tail **out);
/* Writes an explanation behind the others of this half; when the call returns true, a kill cannot take
 * it any more.  false: no room, or not the kind that is kept (batches, relevance at a layer).  The copies
 * in the tail of what the next explanation overwrites live until lrp_tail_stored(): scores, relevance and
 * tensor, n_tensor of the caller's, whose data it sets, are set to them. */
bool lrp_tail_put(lrp_tail *, const lrp_run *, const lrp_record *, const lrp_real **scores,
                  lrp_relevance *relevance, lrp_tensor *tensor);
/* What is put from now on goes into the other half, which must be empty. */
void lrp_tail_turn(lrp_tail *);
/* The half that is not written to is in the store. */
void lrp_tail_stored(lrp_tail *);
/* Is the half empty that is written to? */
bool lrp_tail_empty(const lrp_tail *);
/* Removes the file, unless something in it is not stored: then it returns true.  NULL is fine. */
bool lrp_tail_close(lrp_tail *);

/* store_tail_read.c */
/* Is there a tail that a dead process left?  Removes what was left of the making of one, as lrp_tail_recover(). */
bool lrp_tail_left(const char *store);
/* Stores what dead processes left, and removes their files.  What belongs to runs that the store no longer
 * has is dropped.  On a failure the file stays. */
lrp_status lrp_tail_recover(lrp_store *);

/* Between the two files. */
size_t lrp_tail_size(void); /* of the file */
unsigned char *lrp_tail_half(lrp_tail_head *, int half);
uint64_t lrp_tail_check(const unsigned char *data, size_t n);
bool lrp_tail_map(lrp_tail *, int fd, bool write);
bool lrp_tail_gone(const lrp_tail *); /* no name leads to it any more */
bool lrp_tail_fits(const lrp_tail_head *); /* made by a program like this one */
void lrp_tail_release(lrp_tail *);
#endif
