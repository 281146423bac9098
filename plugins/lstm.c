/* lstm.c - layer "lstm" (ONNX LSTM): the cell below over time, one or both directions
 * (Hochreiter & Schmidhuber 1997). How relevance goes through it, and how a composite chooses
 * LRP-all, LRP-prop or LRP-half, is told in recurrent.h. */
#include "recurrent.h"

/* i, o, f = sigmoid(W x + R h + b)     g = tanh(W x + R h + b)     ONNX's order of blocks is i,
 * o, f, g c' = f * c + i * g                   h' = o * tanh(c') */
enum {
  H,
  C,
  GATE_I,
  GATE_O,
  GATE_F,
  IN_I,
  IN_O,
  IN_F,
  IN_G,
  G,
  KEPT,
  NEW,
  C_NEXT,
  C_TANH,
  H_NEXT,
  N_VALUE
};
static const cell lstm_cell = {
    .name = "lstm",
    .n_block = 4,
    .n_state = 2,
    .n_gate = 3,
    .n_value = N_VALUE,
    .n_mul = 3,
    .next = {H_NEXT, C_NEXT},
    .op = {{.what = OP_AFFINE, .to = IN_I, .a = H, .block = 0, .terms = FROM_X | FROM_A},
           {.what = OP_AFFINE, .to = IN_O, .a = H, .block = 1, .terms = FROM_X | FROM_A},
           {.what = OP_AFFINE, .to = IN_F, .a = H, .block = 2, .terms = FROM_X | FROM_A},
           {.what = OP_AFFINE, .to = IN_G, .a = H, .block = 3, .terms = FROM_X | FROM_A},
           {.what = OP_ACT, .to = GATE_I, .a = IN_I, .block = ACT_SIGMOID},
           {.what = OP_ACT, .to = GATE_O, .a = IN_O, .block = ACT_SIGMOID},
           {.what = OP_ACT, .to = GATE_F, .a = IN_F, .block = ACT_SIGMOID},
           {.what = OP_ACT, .to = G, .a = IN_G, .block = ACT_TANH},
           {.what = OP_MUL, .to = KEPT, .a = GATE_F, .b = C},
           {.what = OP_MUL, .to = NEW, .a = GATE_I, .b = G},
           {.what = OP_ADD, .to = C_NEXT, .a = KEPT, .b = NEW},
           {.what = OP_ACT, .to = C_TANH, .a = C_NEXT, .block = ACT_TANH},
           {.what = OP_MUL, .to = H_NEXT, .a = GATE_O, .b = C_TANH}}};

static const lrp_arg args[] = {RECURRENT_ARGS, LRP_ARGS_END};
static const lrp_port ins[] = {
    {.name = "x", .role = LRP_PORT_DATA},
    {.name = "sequence_lens",
     .role = LRP_PORT_SIDE,
     .dtype = LRP_INDEX,
     .flags = LRP_PORT_OPTIONAL},
    {.name = "initial_h", .role = LRP_PORT_DATA, .flags = LRP_PORT_OPTIONAL},
    {.name = "initial_c", .role = LRP_PORT_DATA, .flags = LRP_PORT_OPTIONAL},
    LRP_PORTS_END};
static const lrp_port outs[] = {{.name = "y", .role = LRP_PORT_DATA},
                                {.name = "y_h", .role = LRP_PORT_DATA},
                                {.name = "y_c", .role = LRP_PORT_DATA},
                                LRP_PORTS_END};
static const char *const freezable[] = {"gates", "shares", NULL};

static lrp_status create(const lrp_host *h, lrp_ctx *ctx, const lrp_value *a, void **inst)
{
  return recurrent_make(h, ctx, &lstm_cell, a, inst);
}

static lrp_status read_node(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)
{
  static const char *const want[] = {"Sigmoid", "Tanh", "Tanh"};
  lrp_status st = recurrent_read(h, ctx, node, a);
  if (!st) st = check_activations(h, ctx, node, want, 3);
  if (!st && h->node_int(node, "input_forget", 0))
    st = h->fail(ctx, LRP_E_UNSUPPORTED, "input_forget (coupled gates) is not supported");
  if (!st && h->node_const(ctx, node, 7))
    st = h->fail(ctx, LRP_E_UNSUPPORTED, "peepholes (input P) are not supported");
  return st;
}

static const lrp_operator operators[] = {{.domain = "",
                                          .name = "LSTM",
                                          .since = 7,
                                          .inputs = "x w r b sequence_lens initial_h initial_c -",
                                          .args = read_node},
                                         {0}};
static const lrp_layer_type lstm_type = {
    .struct_size = sizeof lstm_type,
    .n_saved = 3,
    .name = "lstm",
    .doc = "long short-term memory over x (T,B,I), blocks of w and r in the order i, o, f, g",
    .in = ins,
    .out = outs,
    .freezable = freezable,
    .writes = LRP_SAVES_FROZEN(SHARES),
    RECURRENT_FIELDS};
static const lrp_layer_type *const layers[] = {&lstm_type, NULL};
LRP_PLUGIN(layer_lstm, "lstm", "1.0", "MIT", "long short-term memory", layers, NULL, NULL);
