/* experiment.h - what the file of an experiment says; see EXPERIMENTS in lrp(1). */
#ifndef LRP_CLI_EXPERIMENT_H
#define LRP_CLI_EXPERIMENT_H
#include "lrp/lrp.h"
#include <stdbool.h>

typedef struct experiment_list { /* texts, and where they stand */
  const char **item;
  int *line;
  int n;
} experiment_list;
typedef struct experiment_model {
  const char *path;
  experiment_list composites, methods, targets; /* n 0: those of the experiment */
  int line;
} experiment_model;
enum { INPUT_FOLDER, INPUT_LINES, INPUT_TABLE, INPUT_NPY, INPUT_IDX, INPUT_KINDS };
typedef struct experiment_input {  /* one source of inputs */
  int32_t kind;                    /* INPUT_x */
  const char *source[INPUT_KINDS]; /* the path of its kind; NULL for .npy files */
  experiment_list npy;             /* one for each input of the model */
  const char *labels;      /* a file; NULL: none.  For a folder "none": sub-folders are no labels */
  experiment_list columns; /* of a table without a line of names */
  const char *text, *label, *rationale; /* names of columns */
  experiment_list models;               /* n 0: all that can read it */
  int64_t limit, offset, shuffle;       /* -1: not given */
  int line;
} experiment_input;
typedef struct experiment {
  const char *path; /* of the file */
  const char *name, *note, *database, *seed, *canonize;
  int64_t steps; /* of integrated gradients; -1: not given */
  experiment_list plugins, composites, methods, targets;
  experiment_model *model;
  experiment_input *input;
  int n_model, n_input;
  void *document; /* libyaml's, which holds all texts */
} experiment;

/* Reads and checks the file; every mistake is told with its line.  false: nothing is to be
 * freed. */
bool experiment_open(const char *path, experiment **out);
void experiment_close(experiment *);
/* A path of the file is relative to the file's folder; free() it.  NULL: no memory. */
char *experiment_path(const experiment *, const char *path);
#endif
