/* node_model.h - a model of one ONNX node, written, opened and run: for tests of the forms of operators. */
#ifndef LRP_TESTS_NODE_MODEL_H
#define LRP_TESTS_NODE_MODEL_H
#include "core.h"

enum { NODE_IN = 6, NODE_OUT = 4 };
enum { NODE_LIVE, NODE_CONST, NODE_ABSENT };
typedef struct node_input {
  const char *shape;   /* "2,3"; "": a single number; NULL: the end of the list */
  int kind;            /* NODE_x */
  int32_t dtype;
  const double *value; /* NULL: 1, 2, 3, ... */
} node_input;
typedef struct node_case {
  const char *op;
  int32_t opset;
  const char *attr;    /* "axis=1 axes=[0,2] alpha=0.5 mode=edge"; a number with a point is a real */
  node_input in[NODE_IN + 1];
  int32_t n_out;       /* 0: one */
  bool image;          /* behind a pool of one pixel: the engine keeps in[0] channels-last */
  bool to_real;        /* in front of a Cast to float: output 0 holds integers */
} node_case;
typedef struct node_run {
  lrp_ctx *ctx;
  lrp_model *model;
  lrp_graph *graph;
  lrp_input input;
  lrp_tensor tensor[NODE_IN];
} node_run;

/* Model, graph and forward pass; a refusal leaves the sentence in ctx.  Close it in any case. */
lrp_status node_run_open(node_run *, lrp_ctx *, const node_case *);
void node_run_close(node_run *);
const lrp_tensor *node_run_output(const node_run *, int32_t i);
/* The layer that the node became; "": it was folded. */
const char *node_run_layer(const node_run *);
/* Relevance of input 0 by the exact route of the layers, where output 0 has relevance r everywhere. */
const lrp_tensor *node_run_relevance(node_run *, double r);
#endif
