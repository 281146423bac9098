/* compare.h - what lrp compare finds, and its output. */
#ifndef LRP_CLI_COMPARE_H
#define LRP_CLI_COMPARE_H
#include "dbase.h"

enum { COSINE, SPEARMAN, TOP, SIGN, ERROR_MEAN, ERROR_MOST, N_MEASURE };

typedef struct series { /* values of one metric for both sides */
  int64_t metric;       /* its id; -1: conservation */
  double *a, *b;
  int64_t n, room;
} series;
typedef struct summary {
  int64_t n, undefined;
  double mean, sd, median, lo, hi;
} summary;
typedef struct comparison {
  cli_db d;
  cli_pairs pairs;
  int64_t top, n_worst, n_skipped; /* pairs of different shapes */
  int64_t n_precision;             /* pairs in different precisions */
  char precision[2][16];           /* of the last such pair */
  const char *metric;
  double *value[N_MEASURE]; /* of each pair; NaN: undefined */
  int64_t *order;           /* pairs, the smallest cosine first */
  summary sum[N_MEASURE];
  series *series;
  int n_series;
} comparison;
typedef struct paired {
  char name[96], params[256];
  int direction;
  double median_a, median_b, p, w;
  summary difference; /* a - b */
} paired;

extern const char *const COMPARE_KEYS[]; /* names of the measures */
extern const char COMPARE_SQL_INPUT[];   /* input and target of an explanation */
int compare_n_measure(const comparison *); /* how many of them are told */
int compare_no_memory(void);
/* Both sides of a metric by a paired test. */
int compare_test(comparison *, const series *, paired *out);
int compare_json(comparison *);
#endif
