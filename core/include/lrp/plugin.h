/* lrp/plugin.h - the ABI between the lrp host and its plugins.
 *
 * A plugin exports ONE object, made by LRP_PLUGIN(): a constant lrp_plugin that lists layer types and rules.  The host
 * reads the version fields before it runs any plugin code.
 *
 * Compatibility: structs are append-only and start with struct_size; read a late field only under LRP_HAS().  Records
 * that live in arrays have a frozen layout with reserved fields instead.  LRP_ABI_MAJOR changes when that promise breaks,
 * LRP_ABI_MINOR when fields are appended.
 * Ownership: whoever allocates, frees.  The host allocates every tensor; scratch dies when the call returns.
 * Threads: descriptors and instances are read-only after create(); every other callback must be re-entrant.  A ctx
 * belongs to one thread at a time.
 * Tensors: dense, row-major; shapes in comments read slowest axis first, e.g. x (B,T,D).
 *
 * History: 1.0 first release.
 *          1.1 lrp_rule.note.
 *          1.2 lrp_layer_type.writes, absorb, windows, lrp_pattern.name, lrp_rule.unchanged,
 *              filter, lrp_host.transposed.
 *          1.3 lrp_operator.expand, lrp_host.node_type, raw, count, LRP_SAVES_FROZEN.
 *          1.4 lrp_layer_type.rows, LRP_COPIES.
 */
#ifndef LRP_PLUGIN_H
#define LRP_PLUGIN_H
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

#define LRP_ABI_MAGIC 0x4c525031u /* "LRP1" */
#define LRP_ABI_MAJOR 1u
#define LRP_ABI_MINOR 4u
#define LRP_MAX_RANK 8

#ifdef LRP_REAL_DOUBLE
typedef double lrp_real; /* the reference build, configure --with-real=double */
#else
typedef float lrp_real; /* the one numeric type; LRP_ABI_GUARD refuses a plugin built with another */
#endif

enum {
  LRP_OK,
  LRP_E_NOMEM,       /* no memory, or a size that overflows */
  LRP_E_SHAPE,       /* shapes that do not fit each other */
  LRP_E_ARG,         /* an argument or option out of its range */
  LRP_E_UNSUPPORTED, /* a layer, rule or form of an operator that is not available */
  LRP_E_NUMERIC,     /* NaN or infinity */
  LRP_E_ABI,         /* a plugin that does not fit this host */
  LRP_E_IO,          /* reading or writing failed */
  LRP_E_INPUT,       /* a model, text, picture or array is missing or invalid */
  LRP_E_DB           /* the database is refused, locked or damaged */
};
typedef int32_t lrp_status;

enum { LRP_REAL, LRP_INDEX }; /* element types: lrp_real, int64_t */
enum { LRP_NONNEG = 1 };      /* flag: every element is known to be >= 0; set by infer(), never guessed */
typedef struct lrp_tensor {
  void *data; /* NULL: absent (not wanted, known to be all zero, or carries no relevance) */
  int32_t dtype, rank;
  int64_t shape[LRP_MAX_RANK];
  uint32_t flags, pad;
  void *host; /* the host's own: packed forms of a parameter; plugins leave it alone */
} lrp_tensor;

/* ---- arguments: declared once, then printed, parsed, range-checked and logged by the host ---- */
enum {
  LRP_ARG_END,
  LRP_ARG_REAL,
  LRP_ARG_INT,
  LRP_ARG_BOOL,   /* value in .i, 0 or 1; written on/off */
  LRP_ARG_CHOICE, /* value in .i: the position in choices */
  LRP_ARG_REALS,
  LRP_ARG_INTS
};
enum {
  LRP_ARG_REQUIRED = 1,
  LRP_ARG_OPEN_MIN = 2, /* min itself is excluded */
  LRP_ARG_OPEN_MAX = 4,
  LRP_ARG_AXIS = 8 /* INT or INTS that name axes of the inputs: the host renames them when it moves an image to
                      channels-last, so the layer works on the axes it is given */
};
typedef struct lrp_arg { /* frozen layout: lives in arrays, so it never grows; grow into reserved */
  const char *name;
  uint32_t type, flags;
  double def, min, max; /* min == max: no bounds; array arguments default to empty */
  const char *choices;  /* "a|b|c" for LRP_ARG_CHOICE */
  const char *doc;      /* one sentence, with the unit and the source of the default */
  const void *reserved[2];
} lrp_arg;
typedef union lrp_value {
  double real;
  int64_t i;
  struct {
    const lrp_real *v;
    int64_t n;
  } reals;
  struct {
    const int64_t *v;
    int64_t n;
  } ints; /* arrays belong to the host and live as long as the instance */
} lrp_value;

/* ---- layers ---- */
enum {
  LRP_KIND_OTHER,
  LRP_KIND_LINEAR,      /* a weighted sum: dense, convolution */
  LRP_KIND_BILINEAR,    /* a product of two live operands */
  LRP_KIND_ELEMENTWISE, /* activations, constant scale and shift */
  LRP_KIND_SOFTMAX,
  LRP_KIND_NORM,
  LRP_KIND_POOL_SUM, /* average pools, means and sums over axes */
  LRP_KIND_POOL_MAX,
  LRP_KIND_RESHAPE, /* pure rearrangement: exact without a rule */
  LRP_KIND_RECURRENT,
  LRP_KIND_SUM, /* sums of branches: add, sub */
  LRP_KIND_COUNT
};
enum {
  LRP_PORT_DATA = 1, /* input with relevance; may be bound to a constant, whose share the ledger books as bias */
  LRP_PORT_CARRIER,  /* input that no file has: ones that carry the relevance of a SIDE input of the same shape, the
                        port just before it (ids -> embedding) */
  LRP_PORT_SIDE,     /* input without relevance: ids, masks */
  LRP_PORT_WEIGHT,   /* parameters: rules modify WEIGHT and BIAS by role */
  LRP_PORT_BIAS,
  LRP_PORT_BUFFER
};
enum {
  LRP_PORT_OPTIONAL = 1, /* may be absent (data NULL) */
  LRP_PORT_MANY = 2,     /* only on the last input: takes any number of tensors, at least one */
  LRP_PORT_SHAPE = 4     /* only the tensor's shape is read: a constant as soon as shapes are known; data may be NULL */
};
typedef struct lrp_port { /* frozen layout */
  const char *name;
  uint32_t role, dtype; /* dtype LRP_REAL or LRP_INDEX; LRP_ANY_DTYPE where a rearrangement takes both */
  uint32_t flags, pad;
  const void *reserved;
} lrp_port;
#define LRP_ANY_DTYPE 255u

/* How a layer sees tensors of rank >= 3 that the host keeps channels-last (N,spatial...,C instead of N,C,spatial...). */
enum {
  LRP_LAYOUT_MODEL, /* only as in the model file */
  LRP_LAYOUT_IMAGE, /* DATA inputs and outputs of rank >= 3 always channels-last: conv, pools, batch norm */
  LRP_LAYOUT_ANY,   /* element-wise with broadcasting: any order, all operands alike (the host aligns ranks) */
  LRP_LAYOUT_AXES   /* any order; the axes it names are arguments flagged LRP_ARG_AXIS */
};

typedef struct lrp_host lrp_host;
typedef struct lrp_ctx lrp_ctx;   /* opaque: one per running thread; arena, error message, taps */
typedef struct lrp_node lrp_node; /* opaque: a node of the model file; read through the host's node_ functions */
typedef struct lrp_operator {     /* frozen layout */
  const char *domain, *name;      /* "" is ONNX's own domain */
  int32_t since, until;           /* opset versions, inclusive; until 0: open */
  /* How the node's inputs bind to ports, in the node's order: port names separated by blanks, "-" for a constant that
   * only args() reads.  NULL: the input ports, then the parameters.  A parameter or "-" takes constants only; where
   * several layer types accept a node, the one that binds most constants to parameters wins. */
  const char *inputs;
  /* Fill args[], which hold the defaults; may be NULL.  LRP_E_UNSUPPORTED declines: another layer type may take it. */
  lrp_status (*args)(const lrp_host *, lrp_ctx *, const lrp_node *, lrp_value *args);
  /* Since 1.3: the operator is a way to write other nodes, which take its place when a file is read; the layer type that
   * lists it plays no part.  Lines of the form
   *   "k = DequantizeLinear(b, 1.0, zero, axis=-1); y = MatMul(a, k)"
   * read inputs by the names that `inputs` gives them, numbers, and what a line before wrote; y, y2 and y3 are the node's
   * outputs; "..." among the attributes copies those of the node; DOMAIN.NAME is an operator of another domain than
   * ONNX's own, "lrp." of none but this program's.  A line whose first input is absent writes nothing: absent in turn. */
  const char *expand;
} lrp_operator;
/* A layer that files also write as several nodes (GELU as Div, Erf, Add, Mul, Mul), told as text:
 *   form = OP(term, ...) with inputs in this order, or OP{term, ...} with inputs in any order
 *   term = form | name of an input or a parameter | number: a constant of that value, within 1e-4 of it | *: any constant
 * "Mul{x, Sigmoid(x)}".  Operators are ONNX's own.  A name that is repeated is the same tensor; a parameter takes constants
 * only.  What a node has beyond the terms must be constant: args() reads it.  Tensors inside must have no other reader. */
typedef struct lrp_pattern { /* frozen layout */
  const char *form;
  /* As in lrp_operator, given the nodes in the order in which form names their operators. */
  lrp_status (*args)(const lrp_host *, lrp_ctx *, const lrp_node *const *nodes, lrp_value *args);
  const char *name;               /* since 1.2: what --canonize calls it; NULL: as the layer type */
} lrp_pattern;

enum { LRP_WRITES_BAR = 1, LRP_SAVES_COPIES = 2, LRP_COPIES = 4 };
#define LRP_SAVES_FROZEN(i) (256u << (i)) /* since 1.3 */
enum { LRP_ROWS_ALL = -1, LRP_ROWS_MIXED = -2 }; /* since 1.4 */
typedef struct lrp_window { /* since 1.2: outputs of a maximum, and what each is chosen from */
  uint32_t struct_size, pad;
  int64_t first, width;            /* outputs first .. first + width - 1, by flat index */
  int64_t n;                       /* output first + c is chosen among n: for k < n the element at[k] + c ... */
  const int64_t *at;
  const uint32_t *in;              /* ... of input in[k]; NULL: all of input 0 */
} lrp_window;
typedef lrp_status (*lrp_window_visit)(void *user, const lrp_window *);

typedef struct lrp_layer_type lrp_layer_type;
typedef struct lrp_rule lrp_rule;

typedef struct lrp_call { /* one evaluation of a layer */
  uint32_t struct_size;
  uint32_t freeze;                 /* bit i: take freezable i from saved[i] and treat it as a constant */
  uint32_t n_in, n_param, n_out, n_saved;
  const lrp_tensor *in, *param;    /* param may have been modified by a rule */
  lrp_tensor *out, *saved;
} lrp_call;

typedef struct lrp_site { /* one place where a rule acts: a layer, what it computed, the relevance above and below */
  uint32_t struct_size;
  uint32_t degree;                 /* y is homogeneous of this degree in its DATA inputs, biases 0; 0: it is not */
  const lrp_layer_type *type;
  const void *inst;
  const lrp_call *call;            /* the genuine forward pass */
  const lrp_tensor *r_out;         /* [n_out] given; data NULL: no relevance */
  lrp_tensor *r_in;                /* [n_in] to be written, zeroed (not where a table is the rule: it writes all); data NULL
                                      where no relevance is wanted */
  const lrp_rule *rule;            /* for composite layers: what to apply to their inner sites ... */
  const lrp_value *rule_args;      /* ... and with which arguments */
  void *host;                      /* the host's own: caches of the node; NULL for inner sites */
} lrp_site;

struct lrp_layer_type {
  uint32_t struct_size, kind, layout, n_saved; /* n_saved: tensors that forward leaves for vjp and for freezing */
  const char *name, *doc;
  const lrp_arg *args;             /* ends with LRP_ARGS_END; may be NULL */
  const lrp_port *in, *param, *out; /* each ends with role 0; param may be NULL */
  const char *const *freezable;    /* names of saved[0], saved[1], ...: "std", "probs"; NULL-terminated; may be NULL */
  const lrp_operator *operators;   /* ONNX operators this layer implements; ends with name NULL; may be NULL */
  lrp_status (*create)(const lrp_host *, lrp_ctx *, const lrp_value *args, void **inst); /* NULL: stateless */
  void (*destroy)(void *inst);
  /* Fill dtype/rank/shape/flags of out[] and saved[] from those of in[] and param[]; the only place shapes are checked.
   * No data is there yet, except that of constant inputs.  May lower call->n_out to the outputs it really has. */
  lrp_status (*infer)(const lrp_host *, lrp_ctx *, const void *inst, lrp_call *);
  lrp_status (*forward)(const lrp_host *, lrp_ctx *, const void *inst, lrp_call *);
  /* in_bar[i] = (d out / d in[i])^T out_bar at call->in, call->param, under call->freeze.  in_bar[i].data NULL: not
   * wanted; out_bar[j].data NULL: zero.  in_bar is zeroed.  NULL: no relevance can pass (a rule that needs it fails). */
  lrp_status (*vjp)(const lrp_host *, lrp_ctx *, const void *inst, const lrp_call *, const lrp_tensor *out_bar,
                    lrp_tensor *in_bar);
  uint32_t (*degree)(const void *inst, uint32_t freeze); /* NULL: 1 */
  /* Optional.  jvp is used by tests.  relprop makes the layer composite: it walks its inner steps and hands each one to
   * host->relprop().  affine/fold let a canonizer merge y*scale+shift, one value for each channel (the last axis), into
   * the layer before: affine writes scale (C) and shift (C) or declines with LRP_E_UNSUPPORTED; fold writes the new
   * parameters, allocated in the shapes of the old ones (a missing BIAS as (C)).  route is the exact redistribution of
   * a rearrangement that no rule names; NULL: the vjp of the relevance itself. */
  lrp_status (*jvp)(const lrp_host *, lrp_ctx *, const void *inst, const lrp_call *, const lrp_tensor *in_dot,
                    lrp_tensor *out_dot);
  lrp_status (*relprop)(const lrp_host *, lrp_ctx *, const lrp_site *);
  lrp_status (*affine)(const lrp_host *, lrp_ctx *, const void *inst, const lrp_call *, lrp_tensor *scale,
                       lrp_tensor *shift);
  lrp_status (*fold)(const lrp_host *, lrp_ctx *, const void *inst, const lrp_call *, const lrp_tensor *scale,
                     const lrp_tensor *shift, lrp_tensor *param);
  lrp_status (*route)(const lrp_host *, lrp_ctx *, const lrp_site *);
  const lrp_pattern *patterns;     /* other forms of this layer in files; ends with form NULL; may be NULL */
  uint32_t writes, pad;            /* since 1.2: LRP_WRITES_BAR: vjp writes every element of each in_bar that is wanted, so that the
                                      host need not zero them.  LRP_SAVES_COPIES: saved[] only repeats inputs or outputs, for
                                      freezing: data is NULL where nothing is frozen, and forward leaves it.
                                      LRP_SAVES_FROZEN(i), since 1.3: so it is with saved[i].
                                      LRP_COPIES, since 1.4: output 0 has the elements of input 0 in their order, and
                                      vjp gives those of out_bar: the host may hand both on and call neither */
  /* Since 1.2.  Optional, the counterpart of fold: writes the weights that give on x what the old ones give on x*scale (C: the last
   * axis of x), or declines with LRP_E_UNSUPPORTED.  The host computes the new bias: of the output's shape without samples
   * where a padding makes it differ from place to place. */
  lrp_status (*absorb)(const lrp_host *, lrp_ctx *, const void *inst, const lrp_call *, const lrp_tensor *scale,
                       lrp_tensor *param);
  /* Since 1.2.  Optional, for maxima and minima: visits each output once, with what it is chosen from; a visit that fails
   * ends it.  Without it the winner alone can be told, by vjp. */
  lrp_status (*windows)(const lrp_host *, lrp_ctx *, const void *inst, const lrp_call *, lrp_window_visit visit, void *user);
  /* Since 1.4.  Optional, for layers that compute the rows of their one output apart: where a model looks at few of
   * them, as at one token of a text, the others are not computed.  Which axis of input i, or of saved[i - n_in], runs
   * along with this axis of the output?  It says: on inputs cut down to some positions along their axes, forward gives
   * the output and saved[] cut down to them, and vjp gives zeros to the rows of in_bar whose rows of out_bar are zeros.
   * LRP_ROWS_ALL: every row needs all of it.  LRP_ROWS_MIXED: rows depend on each other, or on where they are. */
  int32_t (*rows)(const void *inst, const lrp_call *, int32_t axis, uint32_t i);
};

/* ---- rules ----
 * A rule is a table whenever it can be: passes over the layer with modified input, weight and bias, summed into
 * groups, one stabilised division per group, one transposed pass each:
 *   s_g = coef_g * gate_g(z) * R / stab(sum over p in g of den_p * layer(in_p(x), w_p(W), b_p(b)))
 *   R'  = sum over p of red_p * in_p(x) . transposed(w_p(W), s_group(p))        (LRP_IN_ONE multiplies by 1)
 * The host evaluates the table on any layer, skips what is known to be zero, reuses what is known, and chooses exact
 * cheaper forms.  relprop() is for what no table says. */
enum { LRP_PART_ALL, LRP_PART_POS, LRP_PART_NEG, LRP_PART_SQUARE, LRP_PART_ONES, LRP_PART_ZERO };
enum { LRP_IN_X, LRP_IN_POS, LRP_IN_NEG, LRP_IN_ONE, LRP_IN_LOW, LRP_IN_HIGH };
enum { LRP_GATE_ALL, LRP_GATE_POS, LRP_GATE_NEG }; /* on the genuine z, bias included: all, z > 0, z < 0 */
enum {
  LRP_STAB_ADD,      /* d + eps * sgn(d), sgn(0) = +1 */
  LRP_STAB_CLIP,     /* sgn(d) * max(|d|, eps) */
  LRP_STAB_UNSIGNED, /* d + eps */
  LRP_STAB_REPLACE0  /* d, or eps where d is exactly 0 */
};
typedef struct lrp_pass { /* frozen layout; weights are w_a*W + w_b*part(W), biases b_a*b + b_b*part(b) */
  uint32_t in, group, w_part, b_part;
  double w_a, w_b, b_a, b_b, den, red;
} lrp_pass;
typedef struct lrp_group { /* frozen layout */
  uint32_t gate, pad;
  double coef;
} lrp_group;
typedef struct lrp_table {
  uint32_t struct_size, n_pass, n_group, stab;
  double eps;
  uint32_t norm_scale, pad;        /* 1: eps is in units of the denominator's root mean square over a sample */
  const lrp_real *low, *high;      /* LRP_IN_LOW, LRP_IN_HIGH: one value, or one for each channel */
  int64_t n_low, n_high;
  lrp_pass pass[8];
  lrp_group group[4];
} lrp_table;

#define LRP_RULE_WHOLE (1u << 31) /* in lrp_rule.kinds: a layer that walks its own inner steps is not walked, the rule gets it whole */
struct lrp_rule {
  uint32_t struct_size;
  uint32_t kinds;                  /* bit 1<<LRP_KIND_x: where the rule has a published meaning; 0: anywhere */
  const char *name, *doc, *cite;
  const char *formula;             /* one line of plain text: the formula as lrp rules prints it */
  const lrp_arg *args;
  lrp_status (*check)(const lrp_host *, lrp_ctx *, const lrp_value *args); /* constraints across arguments; may be NULL */
  void (*table)(const lrp_value *args, lrp_table *out);                    /* one of the two is given; *out is zeroed, */
  lrp_status (*relprop)(const lrp_host *, lrp_ctx *, const lrp_value *args, const lrp_site *); /* struct_size set */
  const char *note;                /* since 1.1: where toolkits differ, or are wrong; may be NULL */
  uint32_t unchanged, pad;         /* since 1.2: 1: R' = R wherever one input and one output of equal size carry relevance: the host
                                      may hand the buffer on instead of calling relprop */
  /* Since 1.2, in place of table and relprop: a filter, which follows a rule as in "conv -> zplus -> top_k(0.1)".  Changes
   * what that rule gave to one input, in place; r is n_sample samples of equal size, one behind the other. */
  lrp_status (*filter)(const lrp_host *, lrp_ctx *, const lrp_value *args, int64_t n_sample, lrp_tensor *r);
};

/* ---- what the host offers ---- */
typedef struct lrp_conv { /* geometry; axes 0..n_spatial-1 count */
  uint32_t struct_size, n_spatial;
  int64_t stride[3], dilation[3], pad_lo[3], pad_hi[3], group;
} lrp_conv;
struct lrp_host {
  uint32_t struct_size, abi_major, abi_minor, pad;
  const char *version;
  /* Record the message (a sentence: what, where, what was expected) and return status. */
  lrp_status (*fail)(lrp_ctx *, lrp_status, const char *fmt, ...);
  lrp_status (*scratch)(lrp_ctx *, const lrp_tensor *like, lrp_tensor *out); /* zeroed; dies when the callback returns */

  /* -- for rules: the site's layer, evaluated -- */
  /* On other inputs and parameters (NULL: the genuine ones); *call lives in scratch. */
  lrp_status (*forward)(lrp_ctx *, const lrp_site *, const lrp_tensor *in, const lrp_tensor *param,
                        const lrp_call **call);
  /* Pull out_bar back through an evaluation; (*in_bar)[i] exists where r_in[i] is wanted. */
  lrp_status (*vjp)(lrp_ctx *, const lrp_site *, const lrp_call *call, const lrp_tensor *out_bar,
                    const lrp_tensor **in_bar);
  /* Parameters with WEIGHTs = a*w + b*part(w) and BIASes = the same, or 0 without keep_bias; cached per layer. */
  lrp_status (*params)(lrp_ctx *, const lrp_site *, double a, double b, int part, int keep_bias,
                       const lrp_tensor **param);
  lrp_status (*relprop)(lrp_ctx *, const lrp_rule *, const lrp_value *args, const lrp_site *);
  /* out[i] = num[i] / stabilised(den[i]); stab is LRP_STAB_x; 0/0 gives 0.  The only division a rule needs. */
  void (*divide)(const lrp_real *num, const lrp_real *den, int64_t n, uint32_t stab, double eps, lrp_real *out);
  const lrp_layer_type *(*layer)(lrp_ctx *, const char *name); /* NULL: not there */
  const lrp_rule *(*rule)(lrp_ctx *, const char *name);

  /* -- for operators: reading a node of the model file -- */
  const char *(*node_name)(const lrp_node *);
  int32_t (*node_opset)(const lrp_node *); /* version of the node's domain */
  uint32_t (*node_n_in)(const lrp_node *);
  uint32_t (*node_n_out)(const lrp_node *);
  int (*node_has)(const lrp_node *, const char *attribute);
  int64_t (*node_int)(const lrp_node *, const char *attribute, int64_t otherwise);
  double (*node_real)(const lrp_node *, const char *attribute, double otherwise);
  const char *(*node_text)(const lrp_node *, const char *attribute, const char *otherwise);
  lrp_value (*node_ints)(const lrp_node *, const char *attribute);  /* .ints; n 0: none */
  lrp_value (*node_reals)(const lrp_node *, const char *attribute); /* .reals */
  const lrp_tensor *(*node_tensor)(lrp_ctx *, const lrp_node *, const char *attribute); /* NULL: none */
  /* The constant bound to input i, or NULL where it is absent or live.  Lives as long as the model. */
  const lrp_tensor *(*node_const)(lrp_ctx *, const lrp_node *, uint32_t i);
  int32_t (*node_rank)(const lrp_node *, uint32_t i); /* rank of input i, -1: unknown or absent */
  /* n int64_t or lrp_real of the model's lifetime, zeroed, for array arguments; NULL: no memory, message recorded. */
  int64_t *(*keep_ints)(lrp_ctx *, int64_t n);
  lrp_real *(*keep_reals)(lrp_ctx *, int64_t n);

  /* -- kernels for layers: oneDNN inside, parameters packed once per tensor.  Image tensors are N,spatial...,C -- */
  /* out (...,M,N) = a (...,M,K) b (...,K,N) + bias (N); leading axes broadcast as in numpy; trans_x: the last two axes of
   * x are stored exchanged; bias NULL: none. */
  lrp_status (*matmul)(lrp_ctx *, const lrp_tensor *a, int trans_a, const lrp_tensor *b, int trans_b,
                       const lrp_tensor *bias, lrp_tensor *out);
  /* y (N,out...,O) = conv of x (N,spatial...,C) with w (O,C/group,k...) + b (O); shapes as infer() gave them. */
  lrp_status (*conv)(lrp_ctx *, const lrp_conv *, const lrp_tensor *x, const lrp_tensor *w, const lrp_tensor *b,
                     lrp_tensor *y);
  /* x_bar = transposed map of conv at y_bar. */
  lrp_status (*conv_vjp)(lrp_ctx *, const lrp_conv *, const lrp_tensor *w, const lrp_tensor *y_bar, lrp_tensor *x_bar);
  void (*tap)(lrp_ctx *, const char *label, int64_t step, const lrp_tensor *relevance); /* inner steps to the log */
  const char *(*node_word)(const lrp_node *, const char *attribute, int64_t i); /* of a list of texts; NULL: none */
  /* Since 1.2.  *out (...,K,N): the elements of t (...,N,K) with the last two axes exchanged, for a layer's own loops.  Made once
   * for a parameter; of any other tensor in scratch. */
  lrp_status (*transposed)(lrp_ctx *, const lrp_tensor *t, const lrp_real **out);
  /* Since 1.3.  The element type that constant input i has in the file, as ONNX numbers them (2 uint8, 3 int8, ...); 0: not known. */
  int32_t (*node_type)(const lrp_node *, uint32_t i);
  lrp_status (*raw)(lrp_ctx *, const lrp_tensor *like, lrp_tensor *out); /* since 1.3: scratch of any content */
  /* Since 1.3.  Tells profiles of a product that a layer computes by its own loops: multiply-adds, and bytes of its operands
   * and its result. */
  void (*count)(lrp_ctx *, double work, double bytes);
};

/* ---- the exported object ---- */
typedef struct lrp_plugin {
  uint32_t magic, abi_major, abi_minor, struct_size; /* these four never move */
  uint32_t needs_minor;            /* oldest host this plugin can live with */
  uint32_t guard;                  /* LRP_ABI_GUARD of the build */
  const char *name, *version, *license, *doc;
  const lrp_layer_type *const *layers; /* NULL-terminated arrays of pointers, so elements may grow; may be NULL */
  const lrp_rule *const *rules;
  lrp_status (*start)(const lrp_host *, lrp_ctx *); /* optional, once per process */
} lrp_plugin;

#define LRP_ABI_GUARD ((uint32_t)(sizeof(lrp_real) + 16 * sizeof(void *) + 256 * sizeof(lrp_tensor)))
#define LRP_HAS(type, p, field) ((p)->struct_size >= offsetof(type, field) + sizeof((p)->field) && (p)->field)
#define LRP_ARGS_END {0}
#define LRP_PORTS_END {0}
#if defined _WIN32
#define LRP_EXPORT __declspec(dllexport)
#else
#define LRP_EXPORT __attribute__((visibility("default")))
#endif
/* The symbol carries the module's name so that several plugins can be linked into one static program (libtool's
 * _LTX_ convention); lt_dlsym() strips it. */
#define LRP_PLUGIN(module, ...)                                                                                  \
  extern LRP_EXPORT const lrp_plugin module##_LTX_lrp_plugin;                                                    \
  const lrp_plugin module##_LTX_lrp_plugin = {LRP_ABI_MAGIC,  LRP_ABI_MAJOR, LRP_ABI_MINOR, sizeof(lrp_plugin),  \
                                              LRP_ABI_MINOR,  LRP_ABI_GUARD, __VA_ARGS__}

static inline int64_t lrp_count(const lrp_tensor *t)
{
  int64_t n = 1;
  for (int32_t i = 0; i < t->rank; i++)
    n *= t->shape[i];
  return n;
}
static inline lrp_real *lrp_reals(const lrp_tensor *t)
{
  return (lrp_real *)t->data;
}
static inline int64_t *lrp_indices(const lrp_tensor *t)
{
  return (int64_t *)t->data;
}
#ifdef __cplusplus
}
#endif
#endif
