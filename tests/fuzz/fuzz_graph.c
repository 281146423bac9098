/* fuzz_graph.c - any bytes as a model that is built, run and walked back: shape inference, folding,
 * canonizers, every layer's checks.  Memory is limited; a problem that would only take long is left
 * out. */
#include "graph.h"
#include "model.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { MOST_INPUTS = 8, LONGEST = 1 << 16 };
#define MEMORY ((size_t)64 << 20)

/* Inputs in the model's shapes, open axes 2, small numbers; false: too many or too large. */
static bool make_inputs(const lrp_onnx_graph *g, lrp_tensor *t)
{
  if (g->n_input > MOST_INPUTS) return false;
  for (int64_t i = 0; i < g->n_input; i++) {
    const lrp_signature *s = &g->input[i];
    int64_t count = 1;
    t[i] = (lrp_tensor){.dtype = s->dtype, .rank = s->rank < 0 ? 2 : s->rank};
    for (int32_t k = 0; k < t[i].rank; k++) {
      t[i].shape[k] = s->rank < 0 || s->shape[k] < 0 ? 2 : s->shape[k];
      if (t[i].shape[k] > LONGEST || (count *= t[i].shape[k]) > LONGEST) return false;
    }
    t[i].data = calloc((size_t)count + 1, sizeof(int64_t));
    for (int64_t k = 0; t[i].data && k < count; k++)
      if (t[i].dtype == LRP_REAL)
        lrp_reals(&t[i])[k] = (lrp_real)(k % 7 - 3) / 4;
      else
        lrp_indices(&t[i])[k] = k % 3;
  }
  return true;
}

static void run(lrp_ctx *ctx, lrp_model *m, const lrp_input *in)
{
  static const char *const RULES[] = {"epsilon_plus", "gradient"};
  lrp_graph *g;
  const lrp_relevance *r;
  if (lrp_graph_build(ctx, m, in, NULL, &g)) {
    lrp_composite *c;
    if (lrp_composite_open(ctx, RULES[0], m, &c)) return;
    (void)lrp_graph_survey(ctx, m, in, NULL, c);
    lrp_composite_free(c);
    return;
  }
  double work = 0;
  for (int64_t i = 0; i < lrp_graph_n_node(g); i++) {
    const lrp_node_view v = lrp_graph_node(g, i);
    work += (double)lrp_count(v.out) * (double)(v.n_param + 64);
  }
  if (work < 1e8 && !lrp_graph_forward(ctx, g, in))
    for (size_t i = 0; i < sizeof RULES / sizeof RULES[0]; i++) {
      lrp_composite *c;
      if (lrp_composite_open(ctx, RULES[i], m, &c)) continue;
      if (!lrp_graph_assign(ctx, g, c))
        (void)lrp_graph_relprop(ctx, g, lrp_graph_scores(g), NULL, &r);
      lrp_composite_free(c);
    }
  lrp_graph_free(g);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
  static lrp_ctx *ctx; /* plugins are opened once */
  lrp_model m = {0};
  lrp_tensor t[MOST_INPUTS] = {{0}};
  if (!ctx) {
    LRP_PRELOAD();
    if (lrp_ctx_new(&ctx) || lrp_plugins_open(ctx)) abort();
    if (lrp_n_layer(ctx) < 10) abort(); /* without layer types nothing would be tested */
    lrp_set_memory_limit(ctx, MEMORY);
  }
  if (lrp_onnx_parse(ctx, data, n, NULL, &m.onnx)) return 0;
  if (make_inputs(&m.onnx.graph, t)) {
    const lrp_input in = {.n_tensor = (int32_t)m.onnx.graph.n_input, .tensor = t};
    run(ctx, &m, &in);
  }
  for (int i = 0; i < MOST_INPUTS; i++)
    free(t[i].data);
  lrp_onnx_close(&m.onnx);
  return 0;
}
