/* graph.h - a model prepared for inputs of given shapes: edges (tensors) and steps (layers in order of execution).
 * Not installed. */
#ifndef LRP_GRAPH_H
#define LRP_GRAPH_H
#include "core.h"
#include "model.h"
#include "onnx.h"
#include "rows.h"

typedef struct lrp_edge {
  const char *name;      /* of the model file; inserted edges: "x (channels-last)" */
  lrp_tensor t;          /* shape as the engine keeps it; data: a constant's, or the buffer of the running pass */
  lrp_real *r;           /* relevance during relprop, lrp_count(&t) of them; NULL: none yet */
  double *sum;           /* of r, for each sample */
  int64_t run;           /* elements of one sample that lie together, see samples.c */
  int32_t step, port;    /* who writes it; step -1: an input of the model or a constant */
  int32_t type;          /* of a constant's elements in the file, lrp_onnx_tensor.type; 0: not known */
  int32_t twin;          /* the same tensor in the other axis order, -1: none made yet */
  bool is_const, is_input, is_output;
  bool moved;            /* N,spatial...,C where the model file has N,C,spatial... */
  bool live;             /* depends on an input that can carry relevance */
  bool owned;            /* data belongs to the buffer pool */
  bool unknown;          /* survey.c: no layer type tells its shape */
  int32_t last;          /* lifetime.c: position of the last step that reads or writes it */
  bool kept;             /* lifetime.c: the way back reads it */
  int32_t view_of;       /* lifetime.c: a lean pass has its numbers in the buffer of this edge; -1: in its own */
} lrp_edge;

typedef struct lrp_variant { /* a parameter as a rule wants it: a*w + b*part(w) */
  double a, b;
  int part;
  lrp_tensor t;
  struct lrp_variant *next;
} lrp_variant;
typedef struct lrp_constant { /* what a layer gives on an input that is a constant of the rule: kept, it never changes */
  lrp_pass pass;
  int64_t n;
  lrp_real *z;
  struct lrp_constant *next;
} lrp_constant;

typedef struct lrp_step {
  const char *name, *op, *note;
  const struct lrp_node *node; /* of the model file; NULL: the engine's own, or made of several nodes */
  const lrp_layer_type *type;
  lrp_value *args;
  void *inst;
  uint32_t n_in, n_param, n_out, n_saved;
  int32_t *in;           /* edges; -1: absent, or a carrier */
  int32_t *carrier_of;   /* for a carrier port: the edge of the ids whose relevance it carries; else -1 */
  int32_t *out;          /* edges; -1: nobody uses it */
  lrp_tensor *param, *saved;
  lrp_tensor *in_t, *out_t; /* the tensors handed to callbacks */
  lrp_call call;
  lrp_variant **variant; /* [n_param] */
  lrp_constant *constant;
  const char *args_text;
  /* what a composite gave it */
  const lrp_rule *rule;  /* NULL: exact */
  const lrp_value *rule_args;
  const lrp_rule *filter; /* of what the rule gives; NULL: none */
  const lrp_value *filter_args;
  const char *rule_text, *matcher;
  uint32_t freeze;
  const lrp_row_set *rows;  /* demand.c: of the output, where the others are not read; NULL: all */
  int32_t into;          /* dead: 1 + the step that a canonizer put it into; 0: none did */
  const char *by;        /* the canonizer that did, or that made this step; NULL: none */
  bool dead;             /* merged away or not needed for any output */
  bool wanted;           /* lies between a live input and the scores: gets relevance */
} lrp_step;

typedef struct lrp_pool lrp_pool; /* aligned buffers, reused by size: pool.c */

struct lrp_graph {
  const lrp_model *model;
  lrp_arena arena;       /* structure, names, constants */
  lrp_pool *pool;
  lrp_edge *edge;
  int32_t n_edge, cap_edge;
  lrp_step *step;
  int32_t n_step, cap_step;
  int32_t *order;        /* steps in order of execution, dead ones left out */
  int32_t n_order;
  int32_t *input, *output;
  int32_t n_input, n_output;
  int32_t score;         /* edge that is explained */
  bool softmax_end;
  int64_t batch;
  lrp_real low, high;    /* the model's input box from its preprocessing; low > high: none */
  lrp_real *box;         /* per channel: low[C], high[C]; NULL: none */
  int64_t n_box;
  lrp_tensor *out_view;  /* outputs as given to the user */
  lrp_tensor score_view; /* scores with the samples as first axis */
  lrp_relevance result;
  lrp_tensor *result_tensor, at_tensor;
  double *value, *sum;
  lrp_ledger *ledger;
  lrp_real **result_buffer;
  lrp_real *at_buffer;
  const lrp_real *carrier; /* what carriers hold: as many numbers as the largest; NULL: ones */
  lrp_cost *cost;        /* profile.c: forward of each step in order, then back of each; NULL: not asked for */
  bool ran;              /* a forward pass is there */
  bool direct;           /* see lrp_ctx */
  bool planned;          /* lifetime.c: the edges' last and kept are those of the rules */
  bool once;             /* relprop may take what it has passed */
  bool lean;             /* the pass that is there kept only what these rules read */
  bool plain;            /* relprop gives the plain gradient: vjp at every step */
};

/* pool.c */
lrp_pool *lrp_pool_new(void);
void *lrp_pool_get(lrp_ctx *, lrp_pool *, size_t bytes, bool zero); /* NULL: message recorded */
void lrp_pool_put(lrp_pool *, void *);
void lrp_pool_free(lrp_pool *);
size_t lrp_pool_peak(const lrp_pool *);

/* graph.c */
lrp_status lrp_graph_new(lrp_ctx *, const lrp_model *, lrp_graph **out); /* without steps */
int32_t lrp_edge_new(lrp_ctx *, lrp_graph *, const char *name); /* -1: no memory */
int32_t lrp_step_new(lrp_ctx *, lrp_graph *);
lrp_status lrp_step_ports(lrp_ctx *, lrp_graph *, lrp_step *, uint32_t n_in, uint32_t n_param, uint32_t n_out);
void lrp_step_bind(lrp_graph *, lrp_step *); /* point call at the edges' tensors */
lrp_status lrp_step_infer(lrp_ctx *, lrp_graph *, lrp_step *);
/* Forward into buffers of the pool; lean: only the rows that something reads. */
lrp_status lrp_step_run(lrp_ctx *, lrp_graph *, lrp_step *, bool lean);
void lrp_edge_release(lrp_graph *, int32_t edge);
lrp_status lrp_graph_sort(lrp_ctx *, lrp_graph *);           /* fills order[], marks live and wanted */

/* The port that input i of the step is bound to: the last one repeats under LRP_PORT_MANY. */
static inline const lrp_port *lrp_port_of(const lrp_step *s, uint32_t i)
{
  const lrp_port *p = s->type->in;
  while (i > 0 && p[1].role) {
    p++;
    i--;
  }
  return p;
}
/* lifetime.c: what the rules' way back reads of a forward pass; to be told when they are known, after each step of the
 * pass, and before each on the way back */
void lrp_lifetimes(lrp_graph *);
/* Does it give the elements of its input in their order? */
static inline bool lrp_copies(const lrp_layer_type *t)
{
  return LRP_HAS(lrp_layer_type, t, writes) && (t->writes & LRP_COPIES) && !t->route && !t->relprop;
}
bool lrp_step_hands_on(const lrp_step *); /* its rule leaves relevance as it is, and reads nothing */
void lrp_lifetimes_end(lrp_graph *, int32_t position);
void lrp_lifetimes_look(const lrp_graph *, lrp_step *);
void lrp_lifetimes_back(lrp_graph *, int32_t position); /* after each */
/* demand.c: which rows of a forward pass its readers and the rules' way back read, once these are known. */
lrp_status lrp_demand(lrp_ctx *, lrp_graph *);
lrp_status lrp_graph_results(lrp_ctx *, lrp_graph *); /* relprop.c: room for results */
void lrp_graph_view_scores(lrp_graph *);              /* forward.c: score_view from the scores */

/* import.c: nodes of the file become steps, shapes inferred, constants folded, in one pass */
lrp_status lrp_import(lrp_ctx *, lrp_graph *, const lrp_onnx *, const lrp_input *);
/* The same, but nodes that cannot be used and those behind them become steps without shapes: *refused is the sentence that
 * lists the former, NULL: there is none.  Such a graph cannot run. */
lrp_status lrp_import_all(lrp_ctx *, lrp_graph *, const lrp_onnx *, const lrp_input *, const char **refused);
/* survey.c: a step without shapes for a node, its outputs connected; edge: of its inputs, -1 where there is none. */
lrp_status lrp_survey_step(lrp_ctx *, lrp_graph *, const lrp_onnx_node *, int32_t opset, const char *name,
                           const int32_t *edge, int32_t *id);
struct lrp_node { /* what operators read */
  const lrp_onnx_node *onnx;
  lrp_graph *graph;
  const int32_t *edge;   /* of its inputs; -1: absent */
  int32_t opset;
};
/* layout.c: images channels-last */
lrp_status lrp_layout_apply(lrp_ctx *, lrp_graph *, const lrp_layer_type *, int32_t *in, uint32_t n_in, lrp_value *args,
                            bool *moved); /* swaps in[] for twins, renames axes; *moved: outputs are channels-last */
int32_t lrp_layout_twin(lrp_ctx *, lrp_graph *, int32_t edge); /* the edge in the other order; -1: failed */
/* canonize.c */
lrp_status lrp_canonize(lrp_ctx *, lrp_graph *, const char *which);
/* relprop.c */
struct lrp_loss;
lrp_status lrp_site_relprop(lrp_ctx *, const lrp_rule *, const lrp_value *args, const lrp_site *, struct lrp_loss *);
/* host.c: scratch of any content; does the layer's vjp write every element of the in_bar it is given? */
lrp_status lrp_scratch_raw(lrp_ctx *, const lrp_tensor *like, lrp_tensor *out);
static inline bool lrp_writes_bar(const lrp_layer_type *t)
{
  return LRP_HAS(lrp_layer_type, t, writes) && (t->writes & LRP_WRITES_BAR);
}
/* Does the layer need room for saved[i]?  Copies are for freezing only. */
static inline bool lrp_saves(const lrp_layer_type *t, uint32_t freeze, uint32_t i)
{
  return (freeze >> i & 1) || !LRP_HAS(lrp_layer_type, t, writes) ||
         !(t->writes & (LRP_SAVES_COPIES | LRP_SAVES_FROZEN(i)));
}
/* Fills what the step's freezing needs and a forward pass before it did not keep. */
lrp_status lrp_step_save(lrp_ctx *, lrp_graph *, lrp_step *);
#endif
