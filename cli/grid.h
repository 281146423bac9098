/* grid.h - relevance and inputs as pictures, from the database: what compare and report draw. */
#ifndef LRP_CLI_GRID_H
#define LRP_CLI_GRID_H
#include "dataset.h"
#include "dbase.h"
#include "image.h"

typedef struct cli_grid { /* relevance of one explanation, summed over channels */
  double *v;              /* (h,w), malloc'ed, used again */
  int64_t h, w;           /* 0: several tensors, or too large to draw */
  double largest;         /* max |v| */
} cli_grid;
/* *r is left with the relevance as it was stored.  0 or the exit status. */
int cli_grid_read(cli_db *, sqlite3_stmt **kept, cli_relevance *r, int64_t explanation, cli_grid *);
double cli_grid_share(const cli_grid *, int64_t i); /* v / max |v| */
/* Into rgb, width pixels wide, at (x0,y0), each value zoom x zoom pixels. */
void cli_grid_paint(const cli_grid *, uint8_t *rgb, int64_t width, int64_t x0, int64_t y0,
                    int64_t zoom);
/* The file that was explained, if it is still there and has the same pixels; shape is "[h,w,c]".
 * *kept: an IDX file that stays open for the next call, NULL at first; the caller closes it.
 * ordinal: of the input, -1: none. */
bool cli_picture_read(cli_db *, dataset **kept, const char *path, int64_t ordinal,
                      const char *sha256, const char *shape, lrp_image *out);
#endif
