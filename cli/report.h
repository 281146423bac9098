/* report.h - what the files of lrp report share: columns (rules), cases (what was explained), and
 * the parts of the page. */
#ifndef LRP_CLI_REPORT_H
#define LRP_CLI_REPORT_H
#include "dataset.h"
#include "grid.h"

enum { REPORT_COLUMNS = 24, REPORT_PAGE_MAX = 1 << 28 };
typedef struct
    report_column {         /* a composite or method of a model; or a run, where runs were named */
  char *name, *spec, *runs; /* spec: the composite's text, or NULL; runs: a JSON array of ids */
  char *method;
  int64_t composite; /* -1: none */
} report_column;
typedef struct report_case { /* an input and a target of one model */
  int64_t input, target, contrast;
  double disagreement; /* 1 - mean cosine of its columns; NaN: less than two, or undefined */
} report_case;
typedef struct report_model { /* one part of the page */
  int64_t id;
  char *name, *modality;
  report_column column[REPORT_COLUMNS];
  int n_column;
  report_case *item;
  int64_t n, room, *id_of; /* id_of: explanations, n_column a case; 0: none */
  int64_t *shown, n_shown; /* most disagreement first */
  double cosine[REPORT_COLUMNS][REPORT_COLUMNS], rank[REPORT_COLUMNS][REPORT_COLUMNS]; /* means */
  int64_t pairs[REPORT_COLUMNS][REPORT_COLUMNS];
} report_model;
typedef struct report {
  cli_db d;
  char *runs;    /* a JSON array of the ids that were named; NULL: all */
  int64_t limit; /* cases of a model on the page */
  report_model *model;
  int n_model;
  sqlite3_stmt *read, *about, *tokens, *predicted;
  cli_relevance r;
  cli_grid g;
  dataset *pictures; /* the IDX file that was read last */
  char *made_by;     /* the command line */
} report;

/* report_read.c: columns, cases, agreement, choice.  0 or the exit status. */
int report_read(report *);
void report_free(report *);
int report_no_memory(void);
sqlite3_stmt *report_about(report *, const report_model *, int64_t c); /* see its SQL */

/* report_page.c, report_rows.c: HTML */
int report_page(report *, char **out, size_t *n);
int report_rows(report *, FILE *, const report_model *);
void report_string(FILE *, const char *, size_t n); /* a JSON string, safe inside <script> */
void report_text(FILE *, const char *);
/* The letter at s, n bytes left; how long it is.  bad: better not shown as it is. */
size_t report_letter(const char *s, size_t n, uint32_t *letter, bool *bad);
void report_real(FILE *, double); /* null where it is not finite */

/* report_figure.c: the first n cases as a picture; as TeX, which includes the picture. */
int report_png(report *, const char *path, int64_t n);
int report_tex(report *, const char *path, const char *png, int64_t n);
#endif
