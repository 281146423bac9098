/* dataset.h - inputs of an experiment: folders of pictures, lines, tables, arrays, IDX files. */
#ifndef LRP_CLI_DATASET_H
#define LRP_CLI_DATASET_H
#include "experiment.h"
#include "lrp/store.h"

typedef struct dataset_item {                   /* one input; what belongs to the kind is set */
  const char *text, *label, *rationale, *wrong; /* wrong: why it cannot be read */
  size_t n_text;
  int64_t ordinal; /* line of the file (from 1), or number in it (from 0); -1: a file of its own */
} dataset_item;
typedef struct dataset {
  int32_t kind;
  char *path;
  dataset_item *item;
  int64_t n_item, n_room;
  int64_t *order; /* after shuffle, offset and limit: positions in item */
  int64_t n;
  char *bytes; /* lines and tables: the file, cut into the texts of the items */
  bool json;   /* a table of JSON lines: an item's text is the line */
  const char *text_key, *label_key, *rationale_key;
  int64_t width, height, channels; /* IDX */
  uint8_t *pixels;
  lrp_tensor *array; /* npy: n_array of them, samples along the first axis */
  int32_t n_array;
  char **owned; /* texts that no file in memory holds */
  int64_t n_owned;
} dataset;
typedef struct sample { /* one input, read for a model */
  lrp_input *input;
  char label[256]; /* "": unknown */
  lrp_span *rationale;
  int64_t n_rationale, ordinal;
} sample;

/* limit < 0: none but the file's own. */
lrp_status dataset_open(lrp_ctx *, const experiment *, const experiment_input *, int64_t limit,
                        dataset **out);
void dataset_close(dataset *);
bool dataset_fits(const dataset *, const lrp_model *);
/* Input i of n; LRP_E_INPUT where it cannot be read. */
lrp_status dataset_read(lrp_ctx *, const dataset *, int64_t i, const lrp_model *, sample *out);
void sample_free(sample *);
/* "FILE", "FILE, line 3", "FILE, number 7": for messages. */
const char *dataset_where(const dataset *, int64_t i, char *buffer, size_t n);

/* ---- texts.c: a file of texts, some at a time, so that memory does not grow with it ---- */
typedef struct text_file text_file;
/* One a line; TSV, CSV or JSON lines by the name's ending, else by content.  Columns are named by a
 * first line with "text", else the label is what the model has as one. */
lrp_status texts_open(lrp_ctx *, const char *path, const lrp_model *, text_file **out);
int64_t texts_count(const text_file *); /* 0: not known, as of a pipe */
lrp_status texts_next(lrp_ctx *, text_file *, dataset **out); /* NULL: there are no more */
void texts_close(text_file *);

/* ---- for the files of the kinds ---- */
lrp_status dataset_add(lrp_ctx *, dataset *, const dataset_item *);
/* The text is copied and lives as long as the data set; NULL: no memory. */
const char *dataset_own(dataset *, const char *text, size_t n);
lrp_status dataset_open_idx(lrp_ctx *, dataset *);
lrp_status dataset_open_npy(lrp_ctx *, const experiment *, const experiment_input *, dataset *);
lrp_status dataset_open_lines(lrp_ctx *, dataset *);
lrp_status dataset_open_table(lrp_ctx *, const experiment_input *, dataset *);
/* Items from d->bytes, which begin at this line of the file; comma 0: lines, or JSON lines. */
lrp_status dataset_open_part(lrp_ctx *, const experiment_input *, dataset *, size_t n, char comma,
                             int64_t line);
/* The fields of the first record of s, which is changed; how many, and how long the record is. */
int dataset_record(char *s, size_t n, char comma, char **field, size_t *length, int most,
                   size_t *used);
/* Labels from IDX, a .npy of whole numbers, or lines; one for each item. */
lrp_status dataset_open_labels(lrp_ctx *, dataset *, const char *path);
lrp_status dataset_file(lrp_ctx *, const char *path, char **out,
                        size_t *n); /* all of it, and a NUL */
/* Fields of an item of JSON lines and the spans of a rationale. */
lrp_status dataset_read_text(lrp_ctx *, const dataset *, const dataset_item *, const lrp_model *,
                             sample *out);
#endif
