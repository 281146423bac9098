/* lrp/store.h - explanations in an SQLite file, and SQL over them.
 *
 * A store belongs to one thread at a time; any number of processes may write the same file.  Each call that writes
 * is one transaction: all of it is in the file, or nothing.  Failures of the database are LRP_E_DB with a sentence.
 */
#ifndef LRP_STORE_H
#define LRP_STORE_H
#include "lrp/lrp.h"
#ifdef __cplusplus
extern "C" {
#endif

typedef struct lrp_store lrp_store;
typedef struct lrp_run lrp_run;

enum {
  LRP_STORE_READ,  /* an existing file, nothing is ever written; one of a newer lrp only warns */
  LRP_STORE_WRITE, /* an existing file */
  LRP_STORE_CREATE /* made where there is none */
};
/* Refused: files that are no SQLite database, that another program made, that a newer lrp made, damaged ones.  An older
 * format is brought up to date (not under LRP_STORE_READ), after a copy was made beside it; views of an older lrp are laid
 * anew.  Waits at most 10 s for a
 * lock. */
LRP_API lrp_status lrp_store_open(lrp_ctx *, const char *path, int32_t mode, lrp_store **out);
LRP_API void lrp_store_close(lrp_store *); /* runs still open are marked interrupted; NULL is fine */

/* Relevance that another program computed; the composite's name and text tell which. */
enum { LRP_METHOD_IMPORT = LRP_METHOD_INTEGRATED_GRADIENTS + 1 };

/* ---- a run: plain facts, so that whoever has them can write a store ---- */
typedef struct lrp_run_layer { /* a node, in order of execution */
  const char *name, *op, *type, *args;
  const char *rule, *matcher, *note;
  int32_t rank;
  int64_t shape[LRP_MAX_RANK]; /* of its first output */
  int64_t n_param;
} lrp_run_layer;
typedef struct lrp_run_rule { /* a line of a composite */
  const char *matcher, *rule;
  const char *params; /* JSON object */
} lrp_run_rule;
typedef struct lrp_run_spec {
  const char *experiment;                 /* NULL: "default" */
  const char *note;                       /* on the experiment; NULL: none */
  const lrp_model_info *model;            /* sha256, name and modality are needed; the tokenizer is not looked at */
  const lrp_signature *input, *output;    /* model->n_input, n_output of them */
  const char *tokenizer_sha256, *tokenizer_kind; /* NULL: none */
  const lrp_run_layer *layer;
  int64_t n_layer;
  const char *composite_name, *composite_text, *composite_sha256; /* NULL: the method needs none */
  const lrp_run_rule *rule;
  int64_t n_rule;
  const lrp_plugin_info *const *plugin;   /* those that took part */
  int64_t n_plugin;
  int32_t method, seed_kind;              /* LRP_METHOD_x or LRP_METHOD_IMPORT, LRP_SEED_x */
  int32_t threads;                        /* 0: as many as processors */
  int32_t n_argv;
  const char *const *argv;
  const char *config;                     /* JSON object; NULL: {} */
  int32_t has_seed;
  int64_t seed;                           /* of random numbers */
  const char *const *tag;                 /* "key=value" */
  int64_t n_tag;
  void *host;                             /* memory of lrp_run_spec_from() */
  const char *uuid;                       /* 36 characters, of a run that another file has, too; NULL: a new one */
} lrp_run_spec;
/* Fill model, signatures, tokenizer, layers, composite, plugins; the rest is zeroed for the caller to fill.  composite
 * may be NULL, and the graph: no layers are known then.  All must outlive the spec. */
LRP_API lrp_status lrp_run_spec_from(lrp_ctx *, const lrp_model *, const lrp_graph *, const lrp_composite *,
                                     lrp_run_spec *out);
LRP_API void lrp_run_spec_free(lrp_run_spec *);

/* Writes environment, plugins, model, composite and the run, and counts the run as 'running'. */
LRP_API lrp_status lrp_store_run_begin(lrp_store *, const lrp_run_spec *, lrp_run **out);
LRP_API int64_t lrp_run_id(const lrp_run *);
/* Runs of one uuid are one run to lrp_store_merge(). */
LRP_API lrp_status lrp_store_run_uuid(lrp_store *, int64_t id, char out[37]);
/* The graph was built anew (inputs of another shape): layers that are new to the run are added, and explanations that
 * follow are about spec->layer.  Only layer and n_layer are read. */
LRP_API lrp_status lrp_store_run_layers(lrp_store *, lrp_run *, const lrp_run_spec *);

typedef struct lrp_span { /* bytes [begin, end) of a text */
  uint32_t begin, end;
} lrp_span;
typedef struct lrp_record { /* one explanation of one sample */
  const lrp_input *input;
  int64_t sample, n_sample;   /* which one of how many */
  const char *true_label;     /* NULL: unknown */
  int64_t ordinal;            /* line of the input's file; -1: none */
  lrp_target target;
  const lrp_real *scores;     /* (n_class) of the sample; NULL: no prediction is stored */
  int64_t n_class;
  double probability;         /* of the largest score; negative: none */
  const lrp_relevance *relevance;
  int64_t n_node;             /* rows of relevance->ledger: as many as the run has layers; 0: no ledger */
  int64_t at;                 /* the layer that relevance->at belongs to, stored as one more explanation; -1: none */
  const lrp_span *rationale;  /* parts of the text that people named as the reason */
  int64_t n_rationale;
} lrp_record;
/* One transaction: input, tokens, prediction, relevance, token rows, ledger.  Inputs, tokens and predictions that
 * are there are used again; an explanation that the run has already is left as it is.  *id may be NULL.
 * LRP_E_NUMERIC: NaN or infinity somewhere; an error row was written instead, the run can go on. */
LRP_API lrp_status lrp_store_explanation(lrp_store *, lrp_run *, const lrp_record *, int64_t *id);
LRP_API int lrp_store_was_new(const lrp_store *); /* did the last lrp_store_explanation() add it, or was it there? */
/* All that is stored in between is one transaction, which is cheaper; begin and end belong together.  Any failure in
 * between fails the group: nothing of it is stored, and end returns the failure, as it does with st. */
LRP_API lrp_status lrp_store_group_begin(lrp_store *);
LRP_API lrp_status lrp_store_group_end(lrp_store *, lrp_status st);
/* From now on SQLite does not check the references of what this store writes: they are to rows of the same transaction, and to
 * the open runs, which are looked for at the beginning of each.  That is cheaper, too. */
LRP_API lrp_status lrp_store_trust(lrp_store *);
/* What could not be explained, and why.  input may be NULL. */
LRP_API lrp_status lrp_store_error(lrp_store *, lrp_run *, const lrp_input *input, int64_t sample, lrp_status code,
                                   const char *message);
/* A metric's value for an explanation; an older value is replaced.  params: JSON object; direction 1: more is
 * better.  A value that is not finite is stored as undefined, for this reason (a text; NULL: "not finite"). */
LRP_API lrp_status lrp_store_score(lrp_store *, int64_t explanation, const char *metric, const char *params,
                                   int32_t direction, double value, const char *reason);
enum { LRP_RUN_DONE, LRP_RUN_FAILED, LRP_RUN_INTERRUPTED };
/* Writes status and costs and frees the run, which dies even if the call fails. */
LRP_API lrp_status lrp_store_run_end(lrp_store *, lrp_run *, int32_t status);

/* ---- going on with a run: in another process, or after it was interrupted ---- */
/* The latest run of the experiment with the same model, composite, method, precision and config; *id -1: none. */
LRP_API lrp_status lrp_store_run_find(lrp_store *, const lrp_run_spec *, int64_t *id);
/* It is 'running' again, in this process; its errors are forgotten, as what failed will be tried again. */
LRP_API lrp_status lrp_store_run_resume(lrp_store *, int64_t id);
/* A handle on a run that exists; its layers are known after lrp_store_run_layers(). */
LRP_API lrp_status lrp_store_run_join(lrp_store *, int64_t id, const lrp_run_spec *, lrp_run **out);
/* A handle for lrp_store_has_x() only, in a store that may be open for reading; freed with lrp_store_close(). */
LRP_API lrp_status lrp_store_run_know(lrp_store *, int64_t id, lrp_run **out);
enum { LRP_RUN_GOES_ON = -1 };
/* Adds to the run's costs and frees the handle, which dies even if the call fails.  status: LRP_RUN_x. */
LRP_API lrp_status lrp_store_run_leave(lrp_store *, lrp_run *, int32_t status, int64_t wall_ns, int64_t cpu_ns);
/* What the run, or another one that differs from it in its inputs only, knows already: the scores of an input (*there
 * false: none, or another number of classes), an explanation. */
LRP_API lrp_status lrp_store_has_scores(lrp_store *, const lrp_run *, const lrp_input *, int64_t sample, lrp_real *scores,
                                        int64_t n_class, int *there);
LRP_API lrp_status lrp_store_has_explanation(lrp_store *, const lrp_run *, const lrp_input *, int64_t sample,
                                             const lrp_target *, int *there);

/* ---- merging ---- */
typedef struct lrp_merged { /* what was added, and what was there already */
  int64_t run, run_known, explanation, explanation_known, input, error, score;
} lrp_merged;
/* Add all runs of another store, which is not changed, in one transaction.  Runs are the same where their uuid is, all
 * else where its content is: merging twice adds nothing, and a run that went on since then gets what is new.  Both
 * files must have the same format.  LRP_E_DB: as always, or the other file's rows do not fit together. */
LRP_API lrp_status lrp_store_merge(lrp_store *, const char *from, lrp_merged *out);

/* ---- queries ---- */
enum { LRP_FORMAT_TABLE, LRP_FORMAT_CSV, LRP_FORMAT_JSON, LRP_FORMAT_MARKDOWN };
typedef int lrp_write_fn(void *user, const char *bytes, size_t n); /* not 0: stop */
/* Runs SQL statements one after the other and prints their rows.  The file cannot be changed: it is opened
 * read-only, and ATTACH, VACUUM INTO, loading of extensions and every writing statement are refused.  seconds <= 0: no
 * time limit.
 * Printed: NULL as nothing (JSON: null), BLOBs as <n bytes>; table and Markdown show control characters as escapes,
 * tables cut cells at 80 columns; JSON has one array of objects for each statement.
 * LRP_E_ARG: wrong SQL, with its line and column; LRP_E_IO: write stopped; LRP_E_DB: refused, time limit, or a bad
 * file. */
LRP_API lrp_status lrp_store_query(lrp_ctx *, const char *path, const char *sql, int32_t format, double seconds,
                                   lrp_write_fn *write, void *user);
#ifdef __cplusplus
}
#endif
#endif
