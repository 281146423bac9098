/* fuzz_onnx.c - any bytes as an ONNX file: parsed, and every tensor's numbers read. */
#include "onnx.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* Memory stays in proportion to the file: 64 times its size and a few blocks. */
enum { FACTOR = 64, BLOCKS = 1 << 20 };

static void read_graph(lrp_ctx *ctx, const lrp_onnx_graph *g, size_t limit)
{
  lrp_arena arena = {0};
  lrp_tensor t;
  for (int64_t i = 0; i < g->n_init; i++)
    lrp_onnx_tensor_read(ctx, &g->init[i], &arena, &t);
  for (int64_t i = 0; i < g->n_node; i++)
    for (int32_t a = 0; a < g->node[i].n_attr; a++) {
      const lrp_onnx_attr *attr = &g->node[i].attr[a];
      if (attr->tensor) lrp_onnx_tensor_read(ctx, attr->tensor, &arena, &t);
      if (attr->graph) read_graph(ctx, attr->graph, limit);
    }
  if (arena.peak > limit) abort();
  lrp_arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
  const size_t limit = FACTOR * n + BLOCKS;
  lrp_ctx *ctx;
  lrp_onnx onnx;
  if (lrp_ctx_new(&ctx)) return 0;
  if (!lrp_onnx_parse(ctx, data, n, NULL, &onnx)) {
    if (onnx.arena.peak > limit) abort();
    read_graph(ctx, &onnx.graph, limit);
    lrp_onnx_close(&onnx);
  }
  lrp_ctx_free(ctx);
  return 0;
}
