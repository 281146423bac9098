/* sheet.h - a picture with lettering: rows are inputs, columns are maps of one size. */
#ifndef LRP_CLI_SHEET_H
#define LRP_CLI_SHEET_H
#include "grid.h"

enum { CLI_SHEET_LINES = 2 }; /* of text under each cell */
typedef struct cli_sheet {
  int64_t h, w, zoom; /* of a map, and pixels for each of its values */
  int64_t rows, top;  /* top: of the first row */
  int columns;
  int64_t width, height;
  uint8_t *rgb; /* malloc'ed */
} cli_sheet;
/* Blank, but for the title, a heading over each column, and the scale below: zero in its middle, against and for at its
 * ends, and how each map is scaled.  2: it would be too large, and a sentence was told with the option that makes it
 * smaller; 1: no memory. */
int cli_sheet_new(cli_sheet *, const char *path, const char *option, const char *title,
                  const char *const *heading, const char *scale);
void cli_sheet_map(const cli_sheet *, int64_t row, int column, const cli_grid *);
void cli_sheet_picture(const cli_sheet *, int64_t row, int column, const lrp_image *);
void cli_sheet_frame(const cli_sheet *, int64_t row, int column); /* a grey line around */
void cli_sheet_note(const cli_sheet *, int64_t row, int column, int line, const char *text);
lrp_status cli_sheet_write(const cli_sheet *, lrp_ctx *, const char *path);
void cli_sheet_free(cli_sheet *);
#endif
