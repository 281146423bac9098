/* rnn.c - layer "rnn" (ONNX RNN): h' = f(W x + R h + b), f tanh or relu, one or both directions
 * (Elman 1990).  There are no gates, so nothing to freeze: the rule acts on x and h together at
 * each step.  See recurrent.h. */
#include "recurrent.h"

enum { H, IN, H_NEXT, N_VALUE };
#define CELL(F)                                                                                    \
  {                                                                                                \
    .name = "rnn", .n_block = 1, .n_state = 1, .n_value = N_VALUE, .next = {H_NEXT}, .op = {       \
      {.what = OP_AFFINE, .to = IN, .a = H, .terms = FROM_X | FROM_A},                             \
      {.what = OP_ACT, .to = H_NEXT, .a = IN, .block = F}                                          \
    }                                                                                              \
  }
static const cell tanh_cell = CELL(ACT_TANH), relu_cell = CELL(ACT_RELU);

static const lrp_arg args[] = {RECURRENT_ARGS,
                               {.name = "activation",
                                .type = LRP_ARG_CHOICE,
                                .choices = "tanh|relu",
                                .doc = "function of the pre-activation; the default is ONNX's"},
                               LRP_ARGS_END};
static const lrp_port ins[] = {
    {.name = "x", .role = LRP_PORT_DATA},
    {.name = "sequence_lens",
     .role = LRP_PORT_SIDE,
     .dtype = LRP_INDEX,
     .flags = LRP_PORT_OPTIONAL},
    {.name = "initial_h", .role = LRP_PORT_DATA, .flags = LRP_PORT_OPTIONAL},
    LRP_PORTS_END};
static const lrp_port outs[] = {
    {.name = "y", .role = LRP_PORT_DATA}, {.name = "y_h", .role = LRP_PORT_DATA}, LRP_PORTS_END};

static lrp_status create(const lrp_host *h, lrp_ctx *ctx, const lrp_value *a, void **inst)
{
  return recurrent_make(h, ctx, a[VARIANT].i ? &relu_cell : &tanh_cell, a, inst);
}

static lrp_status read_node(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)
{
  const lrp_status st = recurrent_read(h, ctx, node, a);
  const char *f = h->node_word(node, "activations", 0);
  const char *const want[] = {f && !strcmp(f, "Relu") ? "Relu" : "Tanh"};
  a[VARIANT].i = want[0][0] == 'R';
  return st ? st : check_activations(h, ctx, node, want, 1);
}

static const lrp_operator operators[] = {{.domain = "",
                                          .name = "RNN",
                                          .since = 7,
                                          .inputs = "x w r b sequence_lens initial_h",
                                          .args = read_node},
                                         {0}};
static const lrp_layer_type rnn_type = {.struct_size = sizeof rnn_type,
                                        .n_saved = 1,
                                        .name = "rnn",
                                        .doc = "h' = f(W x + R h + b) over x (T,B,I)",
                                        .in = ins,
                                        .out = outs,
                                        RECURRENT_FIELDS};
static const lrp_layer_type *const layers[] = {&rnn_type, NULL};
LRP_PLUGIN(layer_rnn, "rnn", "1.0", "MIT", "plain recurrent layers", layers, NULL, NULL);
