/* bind.h - a node's inputs bound to the ports of a layer type.  Not installed. */
#ifndef LRP_BIND_H
#define LRP_BIND_H
#include "graph.h"

enum { LRP_BIND_IN = 4096, LRP_BIND_PARAM = 16 }; /* more inputs than any exporter writes; more parameters than any layer has */
typedef struct lrp_binding {
  uint32_t n_in, n_param, in_ports;
  uint32_t consts;                                     /* constants bound to parameters: the more, the better it fits */
  int32_t in[LRP_BIND_IN], param[LRP_BIND_PARAM];      /* edges, -1: absent */
} lrp_binding;

uint32_t lrp_count_ports(const lrp_port *);
bool lrp_operator_fits(const lrp_operator *, const lrp_onnx_node *, int32_t opset);
bool lrp_operator_known(lrp_ctx *, const lrp_onnx_node *); /* some layer type lists the operator, at whatever opset */
const char *lrp_operator_missing(const lrp_onnx_node *);   /* why none does, and the remedy */
/* false: the type does not take a node with these inputs. */
bool lrp_bind(const lrp_graph *, const lrp_layer_type *, const lrp_operator *, const int32_t *edge, uint32_t n, lrp_binding *);

/* ---- import_step.c ---- */
typedef struct lrp_candidate { /* what is being made of a node */
  const lrp_onnx_node *node;
  int32_t opset;
  const int32_t *edge; /* of its inputs */
  const lrp_layer_type *type;
  const lrp_operator *op;
  lrp_binding bound;
  int32_t step; /* the result: the last step */
  bool moved;   /* its outputs are channels-last */
} lrp_candidate;
/* LRP_E_UNSUPPORTED: the type declines, another one may take the node. */
lrp_status lrp_import_try(lrp_ctx *, lrp_graph *, lrp_candidate *, const char *name);
/* For canonizers: default arguments; a new last step of this type, its outputs not connected yet; taking the last
 * step back. */
lrp_status lrp_import_values(lrp_ctx *, lrp_graph *, const lrp_layer_type *, lrp_value **out);
lrp_status lrp_import_layer(lrp_ctx *, lrp_graph *, const lrp_layer_type *, const lrp_binding *, lrp_value *args,
                            const char *name, const char *op, int32_t *step, bool *moved);
void lrp_import_undo(lrp_graph *, int32_t step);
#endif
