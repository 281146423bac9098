/* gru.c - layer "gru" (ONNX GRU): gated recurrent units (Cho et al. 2014), one or both
 * directions.
 *
 * No reference code of LRP for GRUs has been published, so this is the principle of the LSTM by
 * hand: z and r are gates that take nothing when frozen, so of h' = (1 - z) * n + z * h the sum
 * shares R_h' by the rule between its two terms, the first gives all it gets to n, the second to
 * h; tanh passes it; and n's pre-activation is shared by the rule between x and r * h (or r * (R
 * h + b)), of which h takes all.  Without frozen gates half of each product goes to the gate,
 * and what 1 - z gets is z's.  See recurrent.h. */
#include "recurrent.h"

/*  z, r = sigmoid(W x + R h + b)        ONNX's order of blocks is z, r, n
 *  n  = tanh(W x + R (r * h) + b)       h' = (1 - z) * n + z * h */
enum { H, Z, R, IN_Z, IN_R, RESET, IN_N, N, OTHER, NEW, KEPT, H_NEXT, N_VALUE };
static const cell before_reset = {
    .name = "gru",
    .n_block = 3,
    .n_state = 1,
    .n_gate = 2,
    .n_value = N_VALUE,
    .n_mul = 3,
    .next = {H_NEXT},
    .op = {{.what = OP_AFFINE, .to = IN_Z, .a = H, .block = 0, .terms = FROM_X | FROM_A},
           {.what = OP_AFFINE, .to = IN_R, .a = H, .block = 1, .terms = FROM_X | FROM_A},
           {.what = OP_ACT, .to = Z, .a = IN_Z, .block = ACT_SIGMOID},
           {.what = OP_ACT, .to = R, .a = IN_R, .block = ACT_SIGMOID},
           {.what = OP_MUL, .to = RESET, .a = R, .b = H},
           {.what = OP_AFFINE, .to = IN_N, .a = RESET, .block = 2, .terms = FROM_X | FROM_A},
           {.what = OP_ACT, .to = N, .a = IN_N, .block = ACT_TANH},
           {.what = OP_COMPLEMENT, .to = OTHER, .a = Z},
           {.what = OP_MUL, .to = NEW, .a = OTHER, .b = N},
           {.what = OP_MUL, .to = KEPT, .a = Z, .b = H},
           {.what = OP_ADD, .to = H_NEXT, .a = NEW, .b = KEPT}}};

/*  linear_before_reset: n = tanh(W x + b + r * (R h + b)) */
enum {
  L_IN_H = IN_R + 1,
  L_RESET,
  L_IN_X,
  L_IN_N,
  L_N,
  L_OTHER,
  L_NEW,
  L_KEPT,
  L_H_NEXT,
  L_N_VALUE
};
static const cell after_reset = {
    .name = "gru",
    .n_block = 3,
    .n_state = 1,
    .n_gate = 2,
    .n_value = L_N_VALUE,
    .n_mul = 3,
    .next = {L_H_NEXT},
    .op = {{.what = OP_AFFINE, .to = IN_Z, .a = H, .block = 0, .terms = FROM_X | FROM_A},
           {.what = OP_AFFINE, .to = IN_R, .a = H, .block = 1, .terms = FROM_X | FROM_A},
           {.what = OP_ACT, .to = Z, .a = IN_Z, .block = ACT_SIGMOID},
           {.what = OP_ACT, .to = R, .a = IN_R, .block = ACT_SIGMOID},
           {.what = OP_AFFINE, .to = L_IN_H, .a = H, .block = 2, .terms = FROM_A},
           {.what = OP_MUL, .to = L_RESET, .a = R, .b = L_IN_H},
           {.what = OP_AFFINE, .to = L_IN_X, .block = 2, .terms = FROM_X},
           {.what = OP_ADD, .to = L_IN_N, .a = L_IN_X, .b = L_RESET},
           {.what = OP_ACT, .to = L_N, .a = L_IN_N, .block = ACT_TANH},
           {.what = OP_COMPLEMENT, .to = L_OTHER, .a = Z},
           {.what = OP_MUL, .to = L_NEW, .a = L_OTHER, .b = L_N},
           {.what = OP_MUL, .to = L_KEPT, .a = Z, .b = H},
           {.what = OP_ADD, .to = L_H_NEXT, .a = L_NEW, .b = L_KEPT}}};

static const lrp_arg args[] = {
    RECURRENT_ARGS,
    {.name = "linear_before_reset",
     .type = LRP_ARG_BOOL,
     .doc = "the reset gate acts behind the linear map of h; the default is ONNX's"},
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
static const char *const freezable[] = {"gates", "shares", NULL};

static lrp_status create(const lrp_host *h, lrp_ctx *ctx, const lrp_value *a, void **inst)
{
  return recurrent_make(h, ctx, a[VARIANT].i ? &after_reset : &before_reset, a, inst);
}

static lrp_status read_node(const lrp_host *h, lrp_ctx *ctx, const lrp_node *node, lrp_value *a)
{
  static const char *const want[] = {"Sigmoid", "Tanh"};
  const lrp_status st = recurrent_read(h, ctx, node, a);
  a[VARIANT].i = h->node_int(node, "linear_before_reset", 0) != 0;
  return st ? st : check_activations(h, ctx, node, want, 2);
}

static const lrp_operator operators[] = {{.domain = "",
                                          .name = "GRU",
                                          .since = 7,
                                          .inputs = "x w r b sequence_lens initial_h",
                                          .args = read_node},
                                         {0}};
static const lrp_layer_type gru_type = {
    .struct_size = sizeof gru_type,
    .n_saved = 3,
    .name = "gru",
    .doc = "gated recurrent units over x (T,B,I), blocks of w and r in the order z, r, n",
    .in = ins,
    .out = outs,
    .freezable = freezable,
    .writes = LRP_SAVES_FROZEN(SHARES),
    RECURRENT_FIELDS};
static const lrp_layer_type *const layers[] = {&gru_type, NULL};
LRP_PLUGIN(layer_gru, "gru", "1.0", "MIT", "gated recurrent units", layers, NULL, NULL);
