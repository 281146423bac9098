/* cli.h - what the subcommands share: options, sessions, streams, colours, views. */
#ifndef LRP_CLI_H
#define LRP_CLI_H
#include "lrp/lrp.h"
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/* ---- options: one table a command, from which parsing, --help and the manual's check come ---- */
enum { CLI_MAX_OPTION = 40 };
typedef struct cli_option {
  const char *name;   /* without dashes */
  char letter;        /* 0: none */
  const char *value;  /* what its value is called in --help; NULL: a switch */
  const char *doc;
} cli_option;
typedef struct cli_args {
  const char *value[CLI_MAX_OPTION]; /* last value given; "" for a switch that is on; NULL: not given */
  const char **all;                  /* values of a repeated option, in order, for the option all_of */
  int n_all;
  const char **operand;
  int n_operand;
} cli_args;
typedef struct cli_command {
  const char *name, *summary, *usage;
  const cli_option *option;          /* ends with name NULL */
  int repeated;                      /* index of the option whose values are all kept; -1: none */
  const char *examples;              /* lines for --help */
  int (*run)(const struct cli_command *, int argc, char **argv);
} cli_command;
extern const cli_command *const CLI_COMMANDS[]; /* NULL-terminated */

/* 0: go on; else the exit status + 1 (--help was printed, or the usage is wrong and a sentence was printed). */
int cli_parse(const cli_command *, int argc, char **argv, cli_args *);
void cli_args_free(cli_args *);
void cli_help(const cli_command *, FILE *);
size_t cli_distance(const char *a, const char *b); /* letters to change to make one the other; 99: far apart */
/* A whole number in [min, max] of an option's value; false: a sentence was printed. */
bool cli_int(const cli_option *, const char *text, int64_t min, int64_t max, int64_t *out);

/* ---- messages: what comes from strangers is escaped ---- */
void cli_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));  /* "lrp: ..." on stderr */
int cli_fail(lrp_ctx *, lrp_status); /* print the context's message; the exit status */
void cli_quiet(bool);                /* no notes */
static inline const char *cli_plural(int64_t n) /* "1 row", "2 rows" */
{
  return n == 1 ? "" : "s";
}
void cli_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));   /* on stderr unless quiet */
bool cli_is_quiet(void);
bool cli_flush(void); /* standard output; false: it cannot be written, see main.c */
int cli_flush_error(void); /* errno of the first failure; 0: none */

/* ---- progress.c: long jobs ---- */
typedef struct cli_progress {
  int64_t n, done;
  double began;
  bool wanted, visible;
} cli_progress;
void cli_progress_begin(cli_progress *, int64_t n);
void cli_progress_step(cli_progress *); /* one more is done; drawn where the job lasts */
void cli_progress_hide(cli_progress *); /* before anything else is printed */
void cli_catch_signals(void);           /* the first Ctrl-C is only remembered, the second one kills */
int cli_signal(void);                   /* the one that came; 0: none */

/* ---- sessions: a context with all plugins ---- */
lrp_status cli_session(const char *const *plugins, int n, const char *threads, const char *memory, lrp_ctx **out);
/* --precision; text NULL: as it is.  Notes where f32 would be faster; a failure was told. */
lrp_status cli_precision(lrp_ctx *, const char *text);
#define CLI_PRECISION_DOC                                                                                             \
  "of products: f32 (default), bf16x3 (as exact, for matrix units), bf16 (a fast look), auto: the fastest that is as " \
  "exact as f32"

/* ---- inputs ---- */
/* A file, "-" for standard input, or (where the model reads text) a text. */
lrp_status cli_input(lrp_ctx *, const lrp_model *, const char *operand, lrp_input **out);
bool cli_has_ending(const char *path, const char *ending);
bool cli_same_shapes(const lrp_tensor *, const lrp_tensor *, int32_t n); /* of n tensors each */

/* ---- terminal ---- */
int cli_columns(FILE *); /* of the terminal; 0: it is none */
enum { CLI_COLOR_NONE, CLI_COLOR_256, CLI_COLOR_TRUE };
int cli_color(const char *when, FILE *); /* auto, always, never; NO_COLOR, TERM and COLORTERM respected */
typedef struct cli_rgb {
  uint8_t r, g, b;
} cli_rgb;
enum { CLI_MAP_COOLWARM, CLI_MAP_BWR };
cli_rgb cli_map(int map, double v);      /* v in [-1, 1]; 0 is the exact middle */
bool cli_dark(cli_rgb);                  /* white letters read better on it */
void cli_background(FILE *, int color, cli_rgb);
void cli_foreground(FILE *, int color, cli_rgb);
void cli_reset(FILE *, int color);
void cli_bold(FILE *, int color, bool on);
/* Text of strangers: control characters and ill-formed bytes become visible escapes, so that no terminal obeys them. */
void cli_escape(FILE *, const char *s, size_t n);
int cli_width(const char *s, size_t n);  /* columns that cli_escape takes */
/* For lrp_store_query(): to standard output; a terminal gets strangers' control characters escaped,
 * in every format.  user: a cli_writer that began with zeros; its rest is written at the end. */
typedef struct cli_writer {
  char *line;
  size_t n, room;
} cli_writer;
int cli_write(void *user, const char *bytes, size_t n);
void cli_write_end(cli_writer *);
/* One code point of s as cli_escape writes it, or its escape; how many bytes of s it was. */
size_t cli_piece(const char *s, size_t n, char *out, size_t size, int *width);

/* ---- one explanation, ready to be shown ---- */
enum { CLI_BY_TOKEN, CLI_BY_WORD, CLI_BY_GRAPHEME, CLI_BY_BYTE };
enum { CLI_SPECIAL_LIST, CLI_SPECIAL_HIDE, CLI_SPECIAL_RUN }; /* in lists; nowhere; in the text too */
typedef struct cli_view {
  const lrp_model *model;
  const lrp_composite *composite; /* NULL for other methods */
  const char *method;             /* "lrp", "gradient", ... */
  const lrp_graph *graph;
  const lrp_input *input;
  const char *name;               /* of the input: path or "text" */
  const lrp_relevance *r;
  int64_t sample, n_sample;       /* which of how many in the batch */
  lrp_target target;
  const char *target_text;        /* "spam", "spam - ham" */
  const lrp_real *scores;         /* of the sample */
  int64_t n_class, predicted;
  double probability;             /* of the predicted class; -1: there is none */
  const lrp_real *rel;            /* relevance of the sample at the first input that has any */
  int64_t n_rel;
  int rel_input;                  /* which input that is; -1: none */
  int by, special;                /* of a text: CLI_BY_x, CLI_SPECIAL_x */
} cli_view;
/* ---- parts.c: a text's relevance by token, word, grapheme or byte ---- */
typedef struct cli_part {
  uint32_t begin, end; /* bytes of the text */
  bool special;
  const char *name; /* as the tokenizer calls it, where it has no bytes; else NULL */
  double r;
} cli_part;
bool cli_by(const char *text, int *out); /* false: a sentence was printed */
const char *cli_by_name(int by);
/* All parts in the order of the tokens; the same ones whatever the target.  NULL: no memory. */
cli_part *cli_parts(const cli_view *, int64_t *n);
/* Takes out the special ones where they are not to be seen; the relevance that went with them. */
double cli_parts_hide(const cli_view *, cli_part *, int64_t *n);
/* Into out[n], as the text is written: in order, none over another, none that cuts a character; how
 * many. */
int64_t cli_parts_run(const cli_view *, const cli_part *, int64_t n, cli_part *out);
double cli_parts_largest(const cli_part *, int64_t n);

typedef struct cli_rank {
  double size;
  int64_t i;
} cli_rank;
void cli_rank_sort(cli_rank *, int64_t n); /* largest first; equal ones as they came */

/* keep.c: in one block, to be freed; without what belongs to r->at.  batch samples, n_node rows of the
 * ledger.  NULL: no memory. */
lrp_relevance *cli_keep(const lrp_relevance *r, int64_t batch, int64_t n_node);
/* Room for all samples of a batch, of which the part has n in its inputs' first axis; the part put in at `first`. */
lrp_relevance *cli_keep_room(const lrp_relevance *part, int64_t n, int64_t all, int64_t n_node);
void cli_keep_part(lrp_relevance *room, int64_t all, int64_t first, const lrp_relevance *part, int64_t n,
                   int64_t n_node);
/* Of one sample, in the shape that the input has alone: what stands behind its end is left out. */
lrp_relevance *cli_keep_sample(const lrp_relevance *r, int64_t which, int64_t batch, int64_t n_node,
                               const lrp_input *own);
size_t cli_keep_bytes(const lrp_relevance *r, int64_t batch, int64_t n_node); /* the block's size */

/* options.c: cuts text at its commas; the pieces, which lie in text, into piece.  How many. */
int cli_cut(char *text, const char **piece);

const char *cli_label(const lrp_model *, int64_t index, char *buffer, size_t n);
/* model_check.c.  in may be NULL.  cli_vanished: less than a thousandth of the score arrives at the inputs; says so. */
lrp_status cli_check(lrp_ctx *, lrp_graph *, const lrp_model *, const lrp_input *in, const char *rules, bool json);
bool cli_vanished(const lrp_graph *, const lrp_relevance *, int64_t sample, int64_t n_sample, char *text, size_t n);
void cli_losses(const cli_view *, lrp_ledger *total); /* over all nodes */
double cli_share(const cli_view *, int64_t index);    /* probability of a class by softmax */
int64_t cli_second(const cli_view *);                 /* the runner-up; -1: there is one class */
/* "99.9 %", never "-0.0 %"; a probability that is not exactly 0 or 1 is never shown so: "< 0.1 %". */
const char *cli_percent(double share, char *buffer, size_t n);
int cli_decimals(double largest); /* places behind the point, for four significant digits of the largest in a column */
const char *cli_probability(double p, char *buffer, size_t n);
/* view.c: all there is for people, of one input under n targets */
void cli_show(FILE *, int color, const cli_view *, int n, bool ledger);
void cli_show_text(FILE *, int color, const cli_view *, int n);  /* view_text.c */
void cli_show_image(FILE *, int color, const cli_view *);        /* view_image.c */
void cli_show_sound(FILE *, int color, const cli_view *);        /* view_sound.c */
void cli_show_bytes(FILE *, int color, const cli_view *);        /* view_bytes.c */
/* The waveform, its background coloured by relevance, (h,w,3); full colour is *largest.  NULL: no memory. */
uint8_t *cli_sound_pixels(const cli_view *, int64_t *w, int64_t *h, double *largest);
typedef struct cli_byte {
  int64_t at; /* in the file */
  double r;
  uint8_t c;
} cli_byte;
/* Each byte that the model read once, in the file's order; *padding: relevance where the file has no bytes.  NULL: no memory. */
cli_byte *cli_bytes(const cli_view *, int64_t *n, double *padding);
json_t *cli_json(const cli_view *, int n, bool ledger);
json_t *cli_json_text(const char *, size_t n); /* ill-formed bytes become U+FFFD */
void cli_json_print(json_t *);                 /* to standard output; takes it */
lrp_status cli_png(lrp_ctx *, const cli_view *, const char *path); /* picture.c: input, heatmap, scale */
void cli_html_begin(FILE *);                                       /* html.c: one page of many views */
lrp_status cli_html(lrp_ctx *, FILE *, const cli_view *, int n);
void cli_html_end(FILE *);
void cli_tex_begin(FILE *); /* tex.c: a document that compiles alone */
lrp_status cli_tex(lrp_ctx *, FILE *, const cli_view *, int n);
void cli_tex_end(FILE *);
/* profile.c: what the graph's last passes cost, see lrp_graph_profile() */
void cli_profile_print(FILE *, const lrp_graph *);
json_t *cli_profile_json(const lrp_graph *);
double cli_largest(const lrp_real *, int64_t n); /* max |v| */

/* Relevance of a pixel: sum over channels, (h,w) of an input of shape (N,C,H,W) or (N,C,L) or (N,H,W). */
lrp_real *cli_pixels(const cli_view *, int64_t *h, int64_t *w);

/* lrp sql, lrp plugin: their own files */
int lrp_cmd_sql(int argc, char **argv);
bool cli_format(const char *command, const char *text, int32_t *out); /* LRP_FORMAT_x */
int lrp_cmd_plugin(int argc, char **argv);
#endif
