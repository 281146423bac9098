/* layer_samples.c - what each layer type is tried on: arguments and shapes.  A layer without an entry here is tried on
 * plain shapes of rank 1 to 5. */
#include "layer_trial.h"
#include <string.h>

const layer_sample layer_samples[] = {
    {"dense", "trans=off", {"2,3,5"}, {"5,4", "4"}},
    {"dense", "trans=on, alpha=0.5, beta=2", {"3,5"}, {"4,5", "1,4"}},
    {"dense", "trans=on, beta=0.5", {"5"}, {"4,5", "1"}},
    {"conv", "stride=2/1, pad=1/0/1/1, group=2", {"2,5,4,4"}, {"6,2,3,2", "6"}},
    {"conv", "dilation=2, auto_pad=same_upper", {"1,7,3"}, {"2,3,2", "2"}},
    {"conv", "auto_pad=same_lower, stride=2/2/2", {"1,3,4,3,2"}, {"2,2,2,2,2", NULL}},
    {"convtranspose",
     "stride=2/3, pad=1/0/0/1, group=2, output_padding=1/0",
     {"2,3,2,4"},
     {"4,3,3,2", "6"}},
    {"convtranspose", "stride=2, output_shape=8", {"1,4,3"}, {"3,2,3", "2"}},
    {"convtranspose", "dilation=2/1/1, auto_pad=same_upper", {"1,2,2,2,2"}, {"2,1,2,2,2", NULL}},
    {"maxpool", "kernel=2/3, stride=2/1, pad=1/1/0/1, ceil_mode=on", {"2,5,4,3"}, {NULL}},
    {"maxpool", "kernel=2, dilation=3", {"1,7,2"}, {NULL}},
    {"avgpool",
     "kernel=2/3, stride=2/2, pad=1/1/0/1, ceil_mode=on, count_include_pad=on",
     {"2,5,4,3"},
     {NULL}},
    {"avgpool", "kernel=2/2/2, auto_pad=same_lower", {"1,3,2,4,2"}, {NULL}},
    {"avgpool", "kernel=3, dilation=2", {"1,7,70"}, {NULL}}, /* more channels than one block */
    {"batchnorm", "epsilon=0.01", {"2,3,3,4"}, {"4", "4", "4", "4"}},
    {"softmax", "axes=-1", {"2,3,5"}, {NULL}},
    {"softmax", "axes=1", {"2,3,5"}, {NULL}},
    {"softmax", "axes=1/2", {"2,3,5"}, {NULL}},
    {"logsoftmax", "axes=1", {"2,3,5"}, {NULL}},
    {"logsoftmax", "axes=0/1", {"2,3,5"}, {NULL}},
    {"matmul", NULL, {"2,3,5", "2,5,4"}, {NULL}},
    {"matmul", NULL, {"2,1,3,5", "4,5,2"}, {NULL}},
    {"matmul", NULL, {"5", "2,5,4"}, {NULL}},
    {"matmul", NULL, {"2,3,5", "5"}, {NULL}},
    {"matmul", NULL, {"5", "5"}, {NULL}},
    {"embedding", NULL, {"2,3", "2,3"}, {"4,5"}},
    {"layernorm", "epsilon=0.01", {"2,3,5"}, {"5", "5"}},
    {"layernorm", "axis=1, epsilon=0.1", {"2,3,4"}, {"3,4", NULL}},
    {"rmsnorm", "epsilon=0.01", {"2,3,5"}, {"5"}},
    {"rmsnorm", "axis=-2", {"2,3,4"}, {NULL}},
    {"groupnorm", "groups=2, epsilon=0.1", {"2,3,3,4"}, {"4", "4"}},
    {"groupnorm", "groups=2, epsilon=0.1", {"2,5,6"}, {"2", "2"}},
    {"instancenorm", "epsilon=0.1", {"2,4,3"}, {"3", "3"}},
    {"lrn", "size=3, alpha=0.5", {"2,3,5"}, {NULL}},
    {"lrn", "size=2, alpha=2, beta=1, bias=2", {"2,2,2,4"}, {NULL}},
    {"attention", NULL, {"2,3,4,5", "2,3,6,5", "2,3,6,2"}, {NULL}},
    {"attention", "q_heads=4, kv_heads=2, causal=on, scale=0.7", {"2,3,12", "2,3,6", "2,3,4", "3,3"}, {NULL}},
    {"attention", "causal=on", {"1,4,3,2", "1,2,3,2", "1,2,3,2"}, {NULL}},
    {"rotary", NULL, {"2,3,4,6", "2,4,3", "2,4,3"}, {NULL}},
    {"rotary", "interleaved=on, heads=2, width=2", {"2,3,8", "3,1", "3,1", "2,3"}, {NULL}},
    {"lstm", NULL, {"3,2,4"}, {"1,12,4", "1,12,3", "1,24"}},
    {"lstm", "direction=bidirectional, layout=1", {"2,3,4", "2", "2,2,3", "2,2,3"}, {"2,12,4", "2,12,3", NULL}},
    {"lstm", "direction=reverse", {"4,2,3", "2"}, {"1,8,3", "1,8,2", "1,16"}},
    {"gru", NULL, {"3,2,4"}, {"1,9,4", "1,9,3", "1,18"}},
    {"gru", "direction=bidirectional, linear_before_reset=on", {"3,2,4", "2", "2,2,3"}, {"2,9,4", "2,9,3", "2,18"}},
    {"rnn", "direction=reverse", {"3,2,4", "2", "1,2,3"}, {"1,3,4", "1,3,3", "1,6"}},
    {"rnn", "activation=relu, layout=1", {"2,3,4"}, {"1,3,4", "1,3,3", NULL}},
    /* element-wise and moving layers; a wide one goes to several threads */
    {"reciprocal", NULL, {"4"}, {NULL}},
    {"pow", "exponent=3", {"2,3"}, {NULL}},
    {"pow", "exponent=2", {"2,3"}, {NULL}},
    {"pow", "exponent=0", {"2,3"}, {NULL}},
    {"pow", "exponent=0.5", {"2,3"}, {NULL}},
    {"clip", "min=-0.3, max=0.45", {"4,3"}, {NULL}},
    {"gelu", "approximate=none", {"4,3"}, {NULL}},
    {"gelu", "approximate=tanh", {"4,3"}, {NULL}},
    {"prelu", NULL, {"2,3,4"}, {"3,1"}},
    {"prelu", NULL, {"2,3,4"}, {"4"}},
    {"affine", "op=add", {"2,3,4"}, {NULL, "3,1"}},
    {"affine", "op=sub", {"2,3,4"}, {NULL, "4"}},
    {"affine", "op=rsub", {"2,3,4"}, {NULL, ""}},
    {"affine", "op=mul", {"2,3,4"}, {"2,1,1", NULL}},
    {"affine", "op=div", {"2,3,4"}, {"4", NULL}},
    {"add", NULL, {"2,3,4", "3,1"}, {NULL}},
    {"add", NULL, {"2,1,4", "2,3,1", "4"}, {NULL}},
    {"add", NULL, {"70,1000", "1,1000", "70,1"}, {NULL}},
    {"sub", NULL, {"4", "2,3,4"}, {NULL}},
    {"mean", NULL, {"2,3,4", "4", ""}, {NULL}},
    {"mul", NULL, {"2,3,4", "2,1,4"}, {NULL}},
    {"mul", NULL, {"1,4", "3,1"}, {NULL}},
    {"div", NULL, {"2,2", "2,2"}, {NULL}},
    {"div", NULL, {"2,1", "4"}, {NULL}},
    {"div", NULL, {"2,3,4", "3,1"}, {NULL}},
    {"max", NULL, {"2,3", "3", "2,1"}, {NULL}},
    {"min", NULL, {"3,1", "2,3,4"}, {NULL}},
    {"where", NULL, {"2,1,4", "2,3,4", "3,1"}, {NULL}},
    {"reshape", "shape=0/-1", {"2,3,4"}, {NULL}},
    {"flatten", "axis=0", {"2,3,4"}, {NULL}},
    {"squeeze", "axes=1/-1", {"2,1,3,1"}, {NULL}},
    {"unsqueeze", "axes=0/-1", {"2,3"}, {NULL}},
    {"transpose", "perm=1/2/0", {"2,3,4"}, {NULL}},
    {"transpose", "perm=0/2/1", {"7,100,101"}, {NULL}},
    {"expand", "shape=2/3/4", {"3,1"}, {NULL}},
    {"tile", "repeats=2/3", {"3,2"}, {NULL}},
    {"depth_to_space", "block=2", {"2,8,2,3"}, {NULL}},
    {"depth_to_space", "block=2, mode=CRD", {"2,8,2,3"}, {NULL}},
    {"space_to_depth", "block=2", {"2,2,4,6"}, {NULL}},
    {"concat", "axis=1", {"2,1,3", "2,2,3"}, {NULL}},
    {"concat", "axis=-1", {"2,3", "2,1", "2,2"}, {NULL}},
    {"split", "axis=1, sizes=2/1", {"2,3,2"}, {NULL}},
    {"slice", "starts=-1/0, ends=-100/2, axes=2/0, steps=-2/1", {"3,2,5"}, {NULL}},
    {"gather", "axis=1", {"2,3,4", "5"}, {NULL}},
    {"gather", "axis=-1", {"2,3", ""}, {NULL}},
    {"pad", "axes=1/2, before=1/2, after=2/-1, value=0.5", {"2,3,5"}, {NULL}},
    {"pad", "axes=0/-1, before=1/4, after=0/3, mode=reflect", {"2,5"}, {NULL}},
    {"pad", "axes=-1, before=2, after=1, mode=edge", {"2,3"}, {NULL}},
    {"pad", "axes=1, before=4, after=5, mode=wrap", {"2,3"}, {NULL}},
    {"reduce_sum", "axes=0/2, keepdims=off", {"2,3,4"}, {NULL}},
    {"reduce_sum", "axes=0", {"70,1000"}, {NULL}},
    {"reduce_mean", "axes=-2", {"2,3,4"}, {NULL}},
    {"reduce_mean", "axes=1", {"70,1000"}, {NULL}},
    {"reduce_max", "axes=1", {"2,3,4"}, {NULL}},
    {"reduce_min", "axes=0/1, keepdims=off", {"2,3,4"}, {NULL}},
    {"resize", "axes=1/2, scales=2/1.5, mode=linear", {"2,3,4,2"}, {NULL}},
    {"resize", "axes=0/-1, sizes=5/3, mode=cubic, where=align_corners", {"3,2,7"}, {NULL}},
    {"resize", "axes=1, sizes=3, mode=linear, antialias=on", {"2,8"}, {NULL}},
    {"resize", "axes=1, sizes=9, mode=cubic, exclude_outside=on", {"2,4"}, {NULL}},
    {"resize_nearest", "axes=1/2, scales=2/0.6, where=asymmetric, rounding=floor", {"2,3,4"}, {NULL}},
    {"resize", "axes=1/2, sizes=3/5, mode=linear, where=tf_crop_and_resize, roi=-0.2/0.1/0.9/1.5", {"2,4,3"}, {NULL}},
    {"resize", "axes=0, sizes=4, mode=cubic, where=tf_crop_and_resize, roi=0.1/1.2, outside=-2", {"5,2"}, {NULL}},
    {"resize", "axes=0/1, sizes=5/9, mode=linear, policy=not_larger", {"3,4"}, {NULL}},
    {"resize_nearest", "axes=-1/0, sizes=5/9, policy=not_smaller", {"3,4"}, {NULL}},
    {"gather_elements", "axis=1", {"2,3,4", "2,2,3"}, {NULL}},
    {"gather_nd", NULL, {"2,3,4", "5,1"}, {NULL}},
    {"gather_nd", "batch=1", {"2,3,4", "2,3,1"}, {NULL}},
    {"scatter_elements", "axis=0", {"3,4", "2,3", "2,3"}, {NULL}},
    {"scatter_elements_add", "axis=1", {"3,4", "3,6", "3,6"}, {NULL}},
    {"scatter_nd", NULL, {"3,4", "2,1", "2,4"}, {NULL}},
    {"scatter_nd_add", NULL, {"3,2,2", "4,2", "4,2"}, {NULL}},
    {"scatter_elements_max", "axis=1", {"3,4", "3,6", "3,6"}, {NULL}},
    {"scatter_elements_min", "axis=0", {"3,4", "2,3", "2,3"}, {NULL}},
    {"scatter_elements_mul", "axis=1", {"3,4", "3,6"}, {"3,6"}},
    {"scatter_nd_max", NULL, {"3,2,2", "4,2", "4,2"}, {NULL}},
    {"scatter_nd_min", NULL, {"3,4", "2,1", "2,4"}, {NULL}},
    {"scatter_nd_mul", NULL, {"3,2,2", "4,2"}, {"4,2"}},
    {"cumsum", "axis=1, exclusive=on", {"2,3,4"}, {NULL}},
    {"cumsum", "axis=-1, reverse=on", {"2,5"}, {NULL}},
    {"trilu", "upper=off, k=1", {"2,3,4"}, {NULL}},
    {"trilu", "k=-1", {"4,3"}, {NULL}},
    {"topk", "axis=1, k=2", {"2,5,3"}, {NULL}},
    {"topk", "k=3, largest=off", {"4,3"}, {NULL}},
    {"one_hot", "axis=1, depth=3, values=0/1", {"2,4"}, {NULL}},
    {"einsum", "a=98/105/100, b=98/106/100, y=98/105/106", {"2,3,4", "2,5,4"}, {NULL}},
    {"einsum", "a=105/106, b=106, y=105", {"3,4", "1"}, {NULL}},
    {"einsum", "a=98/105, b=98/106, y=106/105", {"2,3", "2,4"}, {NULL}},
    {"einsum_dense", "a=98/105/107, b=107/104/100, y=98/104/105/100", {"2,3,4"}, {"4,2,3"}},
    {"einsum_sum", "a=105/105/106, y=106/105", {"3,3,2"}, {NULL}},
    {"einsum_sum", "a=105/106/107, y=107", {"2,3,4"}, {NULL}},
    {"reduce_l2", "axes=1", {"2,3,4"}, {NULL}},
    {"reduce_prod", "axes=0/2, keepdims=off", {"2,3,2"}, {NULL}},
    {"reduce_log_sum_exp", "axes=-1", {"2,5"}, {NULL}},
    {"power", NULL, {"2,3", "3"}, {NULL}},
    {"power", NULL, {"3", "2,3"}, {NULL}},
    {"modulo", NULL, {"2,3", "2,1"}, {NULL}},
    {"dequantize", "axis=1", {"2,3,4"}, {"3", "3"}},
    /* steps so fine that differences see the slope */
    {"quantize", "scale=1e-5, low=-40000, high=50000", {"2,3,4"}, {NULL}},
    {"quantize", "scale=1e-5/3e-5/2e-5, zero=10/-7/0, low=-1e6, high=1e6", {"2,3,4"}, {NULL}},
    {"dynamic_quantize", "levels=1000000", {"2,3,4"}, {NULL}},
    {"embedding_quantized", NULL, {"2,3", "2,3"}, {"4,5", "", "1"}},
    {"clip_index", NULL, {"2,3", "", ""}, {NULL}},
    {"eye_like", "k=1", {"3,4"}, {NULL}},
    {"constant_of_shape", "shape=2/3, value=1.5", {NULL}, {NULL}},
    {"range", NULL, {"", "", ""}, {NULL}},
    {0},
};
static void plain_sample(const lrp_layer_type *type, int shape, layer_sample *s)
{
  static const char *const shapes[] = {"4", "2,4", "2,3,4", "2,3,2,4", "2,2,3,2,4"};
  static const char *const param[] = {"4", "4,4"};
  *s = (layer_sample){.layer = type->name};
  uint32_t n = 0;
  for (const lrp_port *p = type->in; p->role; p++)
    for (int k = 0; k < (p->flags & LRP_PORT_MANY ? 2 : 1); k++)
      s->in[n++] = shapes[shape % 5];
  n = 0;
  for (const lrp_port *p = type->param; p && p->role; p++)
    s->param[n++] = param[shape / 5];
}

bool trial_sample(const lrp_layer_type *type, int k, layer_sample *out)
{
  int found = 0;
  bool named = false;
  for (int i = 0; layer_samples[i].layer; i++)
    if (!strcmp(layer_samples[i].layer, type->name)) {
      named = true;
      *out = layer_samples[i];
      if (found++ == k) return true;
    }
  for (int i = 0; !named && i < 10; i++) {
    trial t;
    plain_sample(type, i, out);
    if (trial_new(&t, trial_ctx, type, out, false)) continue;
    trial_free(&t);
    if (found++ == k) return true;
  }
  return false;
}
