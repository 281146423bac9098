/* store_print.h - rows of a query as a table, CSV, JSON or Markdown.  Not installed. */
#ifndef LRP_STORE_PRINT_H
#define LRP_STORE_PRINT_H
#include "core.h"
#include "lrp/store.h"
#include <sqlite3.h>

enum {
  LRP_PRINT_ROWS =
      1000, /* rows that are looked at before the columns' widths are chosen; the rest streams */
  LRP_PRINT_BYTES = 16 << 20, /* or so many bytes */
  LRP_PRINT_COLUMNS = 80      /* a table's cell is cut there */
};
typedef struct lrp_cell {
  const char *text;
  size_t n;
  int width; /* columns on a terminal */
  bool number;
} lrp_cell;
typedef struct lrp_printer {
  lrp_ctx *ctx;
  int32_t format;
  lrp_write_fn *write;
  void *user;
  sqlite3_str *out; /* not yet written */
  lrp_arena arena;  /* cells of the rows that wait */
  int n_col, n_wait, n_statement;
  lrp_cell *head, **wait;
  int *width;
  bool *number; /* right-aligned: all that was seen are numbers */
  bool flowing; /* widths are chosen, the head is out */
  int64_t n_row;
} lrp_printer;
lrp_status lrp_print_open(lrp_printer *, lrp_ctx *, int32_t format, lrp_write_fn *, void *user);
lrp_status lrp_print_head(lrp_printer *, sqlite3_stmt *); /* of the next statement */
lrp_status lrp_print_row(lrp_printer *, sqlite3_stmt *);
lrp_status lrp_print_tail(lrp_printer *); /* the statement has no more rows */
void lrp_print_close(lrp_printer *);
#endif
