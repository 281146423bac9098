/* lrp/lrp.h - the host library: models, inputs, explanations, store.
 *
 * Every fallible function returns lrp_status and leaves a sentence in lrp_message().  Results come through the last
 * pointer.  A ctx and all that was made with it belong to one thread at a time.
 */
#ifndef LRP_LRP_H
#define LRP_LRP_H
#include "lrp/plugin.h"
#ifdef __cplusplus
extern "C" {
#endif
#ifndef LRP_API
#define LRP_API __attribute__((visibility("default")))
#endif

/* ---- session ---- */
typedef void lrp_log_fn(void *user, const char *message);
LRP_API lrp_status lrp_ctx_new(lrp_ctx **out);
LRP_API void lrp_ctx_free(lrp_ctx *);
LRP_API const char *lrp_message(const lrp_ctx *);         /* of the last failure; "" if none */
LRP_API void lrp_on_warning(lrp_ctx *, lrp_log_fn *, void *user); /* default: silence */
LRP_API void lrp_set_memory_limit(lrp_ctx *, size_t bytes); /* for a model's tensors; 0: none (default 3/4 of RAM) */
LRP_API const char *lrp_version(void);       /* "0.1.0" */
LRP_API const char *lrp_config_summary(void); /* configure's choices, one a line */
LRP_API const char *lrp_status_name(lrp_status);
LRP_API int lrp_exit_status(lrp_status);     /* exit status of the command, see lrp(1) */
LRP_API void lrp_set_threads(int n);         /* 0: as many as processors */

/* Of the factors of products and convolutions, all but tiny ones; sums are f32 always.  bf16x3: each factor is two bf16
 * halves, about as exact as f32.  auto: bf16x3 where it is faster than f32, else f32. */
enum { LRP_PRECISION_F32, LRP_PRECISION_BF16X3, LRP_PRECISION_BF16, LRP_PRECISION_AUTO };
/* For what is computed with ctx from here on, graphs not being used before; default F32.  LRP_E_UNSUPPORTED: bf16 in a
 * build in double. */
LRP_API lrp_status lrp_set_precision(lrp_ctx *, int32_t precision);
LRP_API const char *lrp_precision_name(const lrp_ctx *); /* "f32", "bf16x3", "bf16"; "f64" in a build in double */
LRP_API const char *lrp_precision_slow(const lrp_ctx *); /* a sentence where f32 is faster on this processor; else NULL */

/* ---- plugins, layer types, rules ---- */
typedef struct lrp_plugin_info {
  const lrp_plugin *plugin;
  const char *path;   /* absolute; "" where it is linked into the program */
  const char *sha256; /* of the file, 64 hex digits; of the program where it is linked in */
} lrp_plugin_info;
/* Open all plugins of the search path: linked-in ones, $LRP_PLUGIN_PATH (absolute folders, colon between), the
 * installed folder.  A bad one only warns. */
LRP_API lrp_status lrp_plugins_open(lrp_ctx *);
/* A program with plugins linked in (libtool -dlpreopen) says LRP_PRELOAD(); before its first lrp_plugins_open().  Without
 * such plugins libtool writes no list, the weak symbol is 0, and nothing happens. */
typedef struct lrp_preloaded { /* as libtool writes it */
  const char *name;
  void *address;
} lrp_preloaded;
LRP_API void lrp_preload(const lrp_preloaded *);
#define LRP_PRELOAD()                                                                                            \
  do {                                                                                                           \
    extern const lrp_preloaded lt__PROGRAM__LTX_preloaded_symbols[] __attribute__((weak));                       \
    lrp_preload(lt__PROGRAM__LTX_preloaded_symbols);                                                             \
  } while (0)
LRP_API lrp_status lrp_plugin_open(lrp_ctx *, const char *path, const lrp_plugin_info **out); /* out may be NULL */
LRP_API int64_t lrp_n_plugin(const lrp_ctx *);
LRP_API const lrp_plugin_info *lrp_plugin_at(const lrp_ctx *, int64_t i);
LRP_API const char *lrp_plugin_dirs(lrp_ctx *); /* the folders searched, colon between */
/* The folder "presets" or "template" of the installation, or beside an uninstalled program. */
LRP_API const char *lrp_data_dir(lrp_ctx *, const char *name);
/* All that can be known about a plugin's file: ABI fields, descriptor, and trials of every layer and rule; one line each.
 * LRP_E_ABI: something failed.  Needs the other plugins to be open. */
enum { LRP_CHECK_FAILED, LRP_CHECK_PASSED, LRP_CHECK_NOTE };
typedef void lrp_check_fn(void *user, int verdict, const char *line);
LRP_API lrp_status lrp_plugin_check(lrp_ctx *, const char *path, lrp_check_fn *, void *user);
LRP_API lrp_status lrp_layer_check(lrp_ctx *, const lrp_layer_type *, lrp_check_fn *, void *user);
LRP_API lrp_status lrp_rule_check(lrp_ctx *, const lrp_rule *, lrp_check_fn *, void *user);
LRP_API int64_t lrp_n_layer(const lrp_ctx *);   /* sorted by name */
LRP_API const lrp_layer_type *lrp_layer_at(const lrp_ctx *, int64_t i);
LRP_API int64_t lrp_n_rule(const lrp_ctx *); /* sorted by name */
LRP_API const lrp_rule *lrp_rule_at(const lrp_ctx *, int64_t i);
LRP_API const lrp_plugin_info *lrp_owner(const lrp_ctx *, const char *layer_or_rule); /* who offers it */
LRP_API const lrp_layer_type *lrp_find_layer(lrp_ctx *, const char *name); /* NULL: message names the nearest */
LRP_API const lrp_rule *lrp_find_rule(lrp_ctx *, const char *name);
LRP_API const char *lrp_kind_name(uint32_t kind); /* "linear", ... */
LRP_API const lrp_host *lrp_host_table(void);     /* what plugins are given; for tests of layers and rules */
LRP_API void lrp_scratch_reset(lrp_ctx *);        /* for callers that use the host table by themselves */

/* Arguments.  Text is "name=value, name=value"; values: 0.25, on, off, a choice, a list as 1/2/3.  Names match by a
 * unique prefix ("eps=1e-6"); a single value without a name is the first argument.  out[] has one value for each
 * declared argument and owns array memory through ctx's arena *keep. */
LRP_API uint32_t lrp_args_count(const lrp_arg *);
LRP_API lrp_status lrp_args_default(lrp_ctx *, const char *who, const lrp_arg *, lrp_value *out);
LRP_API lrp_status lrp_args_parse(lrp_ctx *, const char *who, const lrp_arg *, const char *text, lrp_value *out);
LRP_API lrp_status lrp_args_check(lrp_ctx *, const char *who, const lrp_arg *, const lrp_value *);
/* Canonical text, all arguments, "epsilon=1e-06, bias=on"; returns the length as snprintf does. */
LRP_API int lrp_args_print(const lrp_arg *, const lrp_value *, char *buffer, size_t n);
LRP_API int lrp_args_json(const lrp_arg *, const lrp_value *, char *buffer, size_t n); /* {"epsilon":1e-06,...} */

/* ---- models ---- */
typedef struct lrp_model lrp_model;
typedef struct lrp_tokenizer lrp_tokenizer;
enum { LRP_MODALITY_TENSOR, LRP_MODALITY_IMAGE, LRP_MODALITY_TEXT, LRP_MODALITY_SOUND, LRP_MODALITY_BYTES };
typedef struct lrp_preprocess { /* of pictures, from preprocessor_config.json */
  int64_t height, width, channels; /* 0: as the picture is */
  int do_resize, do_rescale, do_normalize, keep_aspect, crop, resample; /* resample: 0 nearest, 2 bilinear, 3 bicubic */
  int64_t crop_height, crop_width;
  double rescale;                  /* 1/255 */
  double mean[4], std[4];
} lrp_preprocess;
typedef struct lrp_sound_form { /* of sounds, from preprocessor_config.json */
  int64_t rate;       /* samples a second */
  int64_t frame, hop; /* samples of a frame, and from one frame to the next; frame 0: the whole sound */
  int do_center;      /* the middle of frame k is at sample k * hop, with zeros around the sound; else its begin is */
  int do_normalize;   /* each frame to mean 0 and variance 1 ... */
  double epsilon;     /* ... by (x - mean) / sqrt(variance + epsilon) */
} lrp_sound_form;
typedef struct lrp_bytes_form { /* of files as bytes, from preprocessor_config.json */
  int64_t begin, end; /* so many of the first bytes behind leading white space, of the last before trailing white space */
  int64_t block;      /* so many bytes at each end of the file are looked at */
  int64_t padding;    /* stands where the file has no more bytes */
  int64_t least;      /* bytes that a file must have behind leading white space */
} lrp_bytes_form;
typedef struct lrp_model_info {
  const char *path, *name, *file, *sha256; /* sha256 over model.onnx and its external data */
  const char *producer, *kind;             /* kind: config.json's model_type or "" */
  int32_t modality, opset, n_input, n_output;
  int64_t n_param, n_label, n_node;
  const char *const *labels;               /* n_label of them; may be NULL */
  const char *composite;                   /* the default preset, by modality and kind */
  const char *meta;                        /* config.json as text, "{}" without one */
  const lrp_preprocess *preprocess;        /* NULL: none */
  const lrp_tokenizer *tokenizer;          /* NULL: none */
  const lrp_sound_form *sound;             /* NULL: it reads no sounds */
  const lrp_bytes_form *bytes;             /* NULL: it reads no files as bytes */
} lrp_model_info;
typedef struct lrp_signature { /* an input or output of the model file */
  const char *name;
  int32_t dtype, rank;              /* rank -1: unknown */
  int64_t shape[LRP_MAX_RANK];      /* -1: dynamic */
} lrp_signature;
LRP_API lrp_status lrp_model_open(lrp_ctx *, const char *path, lrp_model **out); /* a folder or an .onnx file */
LRP_API void lrp_model_close(lrp_model *);
LRP_API const lrp_model_info *lrp_model_about(const lrp_model *);
LRP_API const lrp_signature *lrp_model_input(const lrp_model *, int32_t i);
LRP_API const lrp_signature *lrp_model_output(const lrp_model *, int32_t i);

/* ---- inputs ---- */
typedef struct lrp_token {
  int64_t id;
  uint32_t begin, end; /* byte range in the original text; begin == end: a special token */
  int32_t word;        /* of an input: index of its word by Unicode's boundaries, -1: none */
  uint32_t special;
  const char *text;    /* as the tokenizer writes it; UTF-8 */
} lrp_token;
typedef struct lrp_input {
  int32_t kind;             /* LRP_MODALITY_x */
  int32_t n_tensor;         /* as many as the model's inputs */
  lrp_tensor *tensor;       /* in the model's order and shapes */
  int64_t n_token;          /* text only */
  lrp_token *token;
  char *text;               /* text only; NUL-terminated, n_text bytes */
  size_t n_text;
  int64_t n_dropped;        /* tokens cut off by truncation */
  char *path;               /* where it came from; may be NULL */
  char sha256[65];          /* of the text, the decoded pixels or the array */
  int64_t image_w, image_h, image_c; /* image only: the pixels as the model sees them, 8 bit, before normalising */
  uint8_t *pixels;
  int64_t n_sound, sound_at; /* sound only: samples; where the frame begins, negative with zeros in front */
  float *sound;              /* mono, at the model's rate, not normalised */
  int64_t n_byte;            /* bytes only: positions of the input */
  int64_t *byte_at;          /* where each stands in the file; -1: padding */
  uint8_t *byte;             /* the bytes there */
} lrp_input;
LRP_API lrp_status lrp_input_text(lrp_ctx *, const lrp_model *, const char *text, size_t n, lrp_input **out);
LRP_API lrp_status lrp_input_image(lrp_ctx *, const lrp_model *, const char *path, lrp_input **out); /* PNG, JPEG */
LRP_API lrp_status lrp_input_npy(lrp_ctx *, const lrp_model *, const char *const *paths, int32_t n, lrp_input **out);
/* PCM and compressed sounds that libsndfile reads, mixed to mono and resampled to the model's rate.  seconds: the frame
 * nearest to that time; negative: the loudest frame. */
LRP_API lrp_status lrp_input_sound(lrp_ctx *, const lrp_model *, const char *path, double seconds, lrp_input **out);
/* A file's bytes, copied where needed; name is for messages and becomes the path. */
LRP_API lrp_status lrp_input_bytes(lrp_ctx *, const lrp_model *, const char *name, const void *data, size_t n,
                                   lrp_input **out);
/* Where the model reads any file's bytes or sounds: as that, but for .npy beside sounds.  Else by content: .npy, PNG or JPEG
 * by their first bytes, or text where the model reads text. */
LRP_API lrp_status lrp_input_file(lrp_ctx *, const lrp_model *, const char *path, lrp_input **out);
/* From memory, copied; name is for messages and becomes the path.  Pixels are (height,width,channels), 8 bit, with 1, 3
 * or 4 channels.  Arrays: one for each input of the model, or one sample of each without its first axis. */
LRP_API lrp_status lrp_input_pixels(lrp_ctx *, const lrp_model *, const char *name, int64_t width, int64_t height,
                                    int64_t channels, const uint8_t *pixels, lrp_input **out);
LRP_API lrp_status lrp_input_arrays(lrp_ctx *, const lrp_model *, const char *name, const lrp_tensor *, int32_t n,
                                    lrp_input **out);
/* n inputs of one sample each as one of n samples, without their texts, tokens and pixels.  All have one shape; texts may
 * differ in length where lrp_input_pads(): the model has an attention_mask and takes any length.  They are filled up
 * behind their ends then. */
LRP_API lrp_status lrp_input_stack(lrp_ctx *, const lrp_model *, const lrp_input *const *, int64_t n, lrp_input **out);
LRP_API int lrp_input_pads(const lrp_model *);
LRP_API void lrp_input_free(lrp_input *);

/* Arrays as numpy writes them; t->data is malloc'ed.  Floating types become LRP_REAL, integer types LRP_INDEX. */
LRP_API lrp_status lrp_npy_read(lrp_ctx *, const char *path, lrp_tensor *out);
LRP_API lrp_status lrp_npy_write(lrp_ctx *, const char *path, const lrp_tensor *); /* <f4, <f8 or <i8; C order */
/* Write path as a whole or not at all: to a temporary file beside it, then renamed.  LRP_E_IO. */
LRP_API lrp_status lrp_file_write(lrp_ctx *, const char *path, const void *data, size_t n);

/* ---- graphs: a model prepared for inputs of given shapes ---- */
typedef struct lrp_graph lrp_graph;
typedef struct lrp_ledger { /* relevance of one node and one sample; sums over all its tensors */
  double r_out, r_in;   /* at its outputs; at its live inputs */
  double bias;          /* absorbed by biases and constants */
  double stab;          /* lost to the stabiliser */
  double gate;          /* dropped by the rule: gates, factors that do not add up to 1, rules that do not conserve */
} lrp_ledger;
typedef struct lrp_node_view {
  const char *name, *op;   /* of the model file */
  const lrp_layer_type *layer;
  const char *args;        /* the layer's arguments, canonical text */
  const char *rule;        /* "gamma(gamma=0.25, ...)", "exact" or "" before assignment */
  const char *matcher;     /* the composite's line that chose it */
  const char *note;        /* what canonizers did here: "merged bn1"; "" */
  const lrp_tensor *out;   /* first output: shape as the engine keeps it */
  int32_t channels_last;   /* 1: out is N,spatial...,C */
  int64_t n_param;
} lrp_node_view;
/* canonize: NULL or "all", "none", or names with commas between; a minus before a name leaves it out.  All unsupported nodes are listed in one message
 * (LRP_E_UNSUPPORTED). */
LRP_API lrp_status lrp_graph_build(lrp_ctx *, const lrp_model *, const lrp_input *, const char *canonize,
                                   lrp_graph **out);
LRP_API void lrp_graph_free(lrp_graph *);
LRP_API int64_t lrp_graph_n_node(const lrp_graph *);
LRP_API lrp_node_view lrp_graph_node(const lrp_graph *, int64_t i); /* in order of execution */
/* Nodes of the model file that a canonizer took away: by which, into which node (-1: one that is not needed), and whether
 * they stood behind it. */
LRP_API int64_t lrp_graph_n_gone(const lrp_graph *);
LRP_API lrp_node_view lrp_graph_gone(const lrp_graph *, int64_t i, const char **canonizer, int64_t *into, int32_t *behind);
LRP_API int64_t lrp_graph_n_batch(const lrp_graph *);               /* samples of an input */

/* ---- composites ---- */
typedef struct lrp_composite lrp_composite;
/* what: a preset's name, a file's path, or inline text with ';' for line ends. */
LRP_API lrp_status lrp_composite_open(lrp_ctx *, const char *what, const lrp_model *, lrp_composite **out);
LRP_API void lrp_composite_free(lrp_composite *);
LRP_API const char *lrp_composite_name(const lrp_composite *);
LRP_API const char *lrp_composite_text(const lrp_composite *);   /* completed: includes resolved, all arguments */
LRP_API const char *lrp_composite_sha256(const lrp_composite *); /* of that text */
LRP_API int64_t lrp_composite_n_line(const lrp_composite *);
LRP_API void lrp_composite_line(const lrp_composite *, int64_t i, const char **matcher, const lrp_rule **rule,
                                const lrp_value **args);
LRP_API const char *lrp_preset_dirs(lrp_ctx *);                  /* folders searched for presets, colon between */
/* Give every node of the graph its rule, for as long as the composite lives; all nodes without one are listed in one message (LRP_E_UNSUPPORTED). */
LRP_API lrp_status lrp_graph_assign(lrp_ctx *, lrp_graph *, const lrp_composite *);

/* All that keeps the model from being explained, in one message (LRP_E_UNSUPPORTED): nodes that no layer type takes, and
 * nodes that the composite gives no rule to.  LRP_OK: every node has a layer type. */
LRP_API lrp_status lrp_graph_survey(lrp_ctx *, const lrp_model *, const lrp_input *, const char *canonize,
                                    const lrp_composite *);

/* ---- forward, relevance ---- */
/* Outputs are in the model's shapes and live until the next forward of the graph. */
/* once: each forward pass serves one explanation, whose relevance takes the place of the tensors that it has passed, so that
 * the peak of memory is lower.  lrp_graph_explain() runs the pass again where a second one asks for it. */
LRP_API void lrp_graph_once(lrp_graph *, int once);
LRP_API lrp_status lrp_graph_forward(lrp_ctx *, lrp_graph *, const lrp_input *);
LRP_API const lrp_tensor *lrp_graph_output(const lrp_graph *, int32_t i);
/* The scores that are explained, (N,C): output 0, or what goes into a softmax that ends the model.  Where its first axis
 * does not count samples (steps, boxes), one of 1 stands before it. */
LRP_API const lrp_tensor *lrp_graph_scores(const lrp_graph *);
LRP_API int32_t lrp_graph_ends_in_softmax(const lrp_graph *);

enum { LRP_SEED_LOGIT, LRP_SEED_ONE };
enum { LRP_METHOD_LRP, LRP_METHOD_GRADIENT, LRP_METHOD_INPUT_X_GRADIENT, LRP_METHOD_INTEGRATED_GRADIENTS };
typedef struct lrp_target { /* what is explained, for one sample */
  int64_t plus, minus;  /* class; minus -1: no contrast; plus -1: the whole output vector */
} lrp_target;
/* "argmax", "all", an index, a label, "a-b".  Label names come first, so a label with a dash is found. */
LRP_API lrp_status lrp_target_parse(lrp_ctx *, const lrp_model *, const char *text, const lrp_tensor *scores,
                                    int64_t sample, lrp_target *out);
typedef struct lrp_relevance {
  int32_t n_tensor;
  const lrp_tensor *tensor;   /* relevance at the model's inputs, in their shapes (integer inputs: of their carriers);
                                 data NULL: none; lives until the next call on the graph */
  const lrp_tensor *at;       /* at the node asked for, or NULL */
  const double *value;        /* (N) what was explained: the seed's sum */
  const double *sum;          /* (N) relevance over all inputs */
  const lrp_ledger *ledger;   /* (n_node, N) */
  int64_t wall_ns;
} lrp_relevance;
/* seed (N,C) is put at the scores.  at: a node or tensor name whose relevance is wanted too, or NULL.  NaN or infinity
 * anywhere in the result: LRP_E_NUMERIC, naming the node where it arose. */
LRP_API lrp_status lrp_graph_relprop(lrp_ctx *, lrp_graph *, const lrp_tensor *seed, const char *at,
                                     const lrp_relevance **out);
/* Seeds for one target a sample: one-hot times the score (LOGIT) or one-hot (ONE); a contrast has -1 at minus. */
LRP_API void lrp_seed_fill(const lrp_tensor *scores, const lrp_target *, int64_t n, int32_t seed_kind, lrp_real *out);
/* lrp, gradient, input x gradient, integrated gradients (n_step right-hand steps from zero, for integer inputs from
 * zeros in place of the vectors that they stand for; Sundararajan et al. 2017).  The last three ignore the composite. */
LRP_API lrp_status lrp_graph_explain(lrp_ctx *, lrp_graph *, const lrp_input *, const lrp_target *targets,
                                     int32_t seed_kind, int32_t method, int64_t n_step, const char *at,
                                     const lrp_relevance **out);

/* ---- what it costs ---- */
typedef struct lrp_cost { /* of one node, one way */
  int64_t n_call;    /* times it ran */
  int64_t wall_ns;   /* all of them */
  int64_t n_product; /* matrix products and convolutions */
  double work;       /* their multiply-adds */
  double moved;      /* bytes of their operands and results */
  size_t tensors;    /* bytes of the node's outputs, or of the relevance of its inputs */
  size_t scratch;    /* working memory, at most */
} lrp_cost;
/* From here on count what every node costs, anew. */
LRP_API lrp_status lrp_graph_profile(lrp_ctx *, lrp_graph *);
/* Forward of each node, in order of execution, then back of each: 2 * n_node.  NULL: no profile was asked for. */
LRP_API const lrp_cost *lrp_graph_costs(const lrp_graph *);
#ifdef __cplusplus
}
#endif
#endif
