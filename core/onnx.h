/* onnx.h - the reader of ONNX files: a bounded walker over the mapped file; weights stay where they are.  Knows the
 * format, not one operator.  Not installed. */
#ifndef LRP_ONNX_H
#define LRP_ONNX_H
#include "core.h"

enum { /* TensorProto.DataType */
  LRP_ONNX_FLOAT = 1, LRP_ONNX_UINT8, LRP_ONNX_INT8, LRP_ONNX_UINT16, LRP_ONNX_INT16, LRP_ONNX_INT32, LRP_ONNX_INT64,
  LRP_ONNX_STRING, LRP_ONNX_BOOL, LRP_ONNX_FLOAT16, LRP_ONNX_DOUBLE, LRP_ONNX_UINT32, LRP_ONNX_UINT64,
  LRP_ONNX_BFLOAT16 = 16
};
typedef struct lrp_onnx_tensor { /* TensorProto */
  const char *name;
  int32_t type, rank;            /* TensorProto.DataType */
  int64_t shape[LRP_MAX_RANK], count;
  const uint8_t *raw;            /* count elements, little-endian, any alignment; inside the file, its external data, or
                                    the arena where the file used typed fields; NULL for strings */
  size_t raw_size;
} lrp_onnx_tensor;
enum { LRP_ATTR_REAL = 1, LRP_ATTR_INT, LRP_ATTR_TEXT, LRP_ATTR_TENSOR, LRP_ATTR_GRAPH, LRP_ATTR_REALS, LRP_ATTR_INTS,
       LRP_ATTR_TEXTS, LRP_ATTR_OTHER };
typedef struct lrp_onnx_graph lrp_onnx_graph;
typedef struct lrp_onnx_attr {
  const char *name;
  int32_t type;
  double real;
  int64_t i;
  const char *text;              /* NUL-terminated copy */
  int64_t n;                     /* of reals, ints, texts */
  const lrp_real *reals;
  const int64_t *ints;
  const char *const *texts;
  const lrp_onnx_tensor *tensor;
  const lrp_onnx_graph *graph;
} lrp_onnx_attr;
typedef struct lrp_onnx_node {
  const char *name, *op, *domain; /* name may be ""; domain "" is ONNX's own (also written "ai.onnx") */
  int32_t n_in, n_out, n_attr;
  const char *const *in, *const *out; /* "" where absent */
  const lrp_onnx_attr *attr;
  size_t byte;                    /* where the node starts in the file, for messages */
} lrp_onnx_node;
struct lrp_onnx_graph {
  const char *name;
  int64_t n_node, n_init, n_input, n_output;
  const lrp_onnx_node *node;
  const lrp_onnx_tensor *init;
  const lrp_signature *input;     /* without the initialisers that old files repeat here */
  const lrp_signature *output;
};
typedef struct lrp_onnx {
  lrp_onnx_graph graph;
  const char *producer;           /* "pytorch 2.13.0" */
  int64_t ir_version;
  int32_t n_opset;
  const struct lrp_onnx_opset { const char *domain; int32_t version; } *opset;
  lrp_arena arena;
  int32_t n_file;                 /* file 0 is the model, the others external data */
  struct lrp_onnx_file { char *path; lrp_file file; } *file;
} lrp_onnx;

/* Read a file.  Every length, count, offset and shape is checked against what encloses it; external data must lie inside
 * the model's folder (no "..", no absolute path, no symbolic link out of it).  LRP_E_INPUT names file, byte offset, what
 * was expected.  Sparse tensors, sub-graphs' training info and functions are refused by name (LRP_E_UNSUPPORTED). */
lrp_status lrp_onnx_open(lrp_ctx *, const char *path, lrp_onnx *out);
lrp_status lrp_onnx_parse(lrp_ctx *, const uint8_t *data, size_t n, const char *folder, lrp_onnx *out); /* fuzzing, tests; folder NULL: external data refused */
void lrp_onnx_close(lrp_onnx *);
int32_t lrp_onnx_opset_of(const lrp_onnx *, const char *domain); /* -1: not imported */
/* The tensor's numbers as LRP_REAL (floating types) or LRP_INDEX (integers, bool), in the arena; where the bytes can be
 * used in place (same type, aligned) out->data points into the file. */
lrp_status lrp_onnx_tensor_read(lrp_ctx *, const lrp_onnx_tensor *, lrp_arena *, lrp_tensor *out);
#endif
