#!/usr/bin/env python3
"""Writes tests/models/forms: small ONNX files of forms that need more than one node.  Needs the package onnx."""
import os

import onnx
from onnx import parser

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "forms")

IF = """<ir_version: 8, opset_import: ["" : 17]>
net (float[2,3] x%s) => (float[2,3] y)
<bool[1] yes = {1}, float[3] two = {2, 2, 2}>
{
  z = Neg(x)
  %s
  r = If(c) <
    then_branch = then () => (t) <float[3] three = {3, 3, 3}> { a = Mul(z, three) t = If(yes) <
      then_branch = inner () => (u) { u = Add(a, two) },
      else_branch = other () => (u) { u = Identity(a) }
    > },
    else_branch = otherwise () => (t) { t = NoSuchOperator(z) }
  >
  y = Identity(r)
}"""
FORMS = {
    # the rank of x is known, so the condition is
    "if_constant": IF % ("", "s = Shape(x) n = Shape(s) k = Constant<value_ints = [2]>() c = Equal(n, k)"),
    "if_unknown_branch": IF % ("", "s = Shape(x) n = Shape(s) k = Constant<value_ints = [3]>() c = Equal(n, k)"),
    "if_live": IF % (", bool[1] c", ""),
    "if_given": IF.replace("NoSuchOperator", "Exp") % (", int64 n", "k = Constant<value_int = 8000>() c = Equal(n, k)"),
    "loop": """<ir_version: 8, opset_import: ["" : 17]>
        net (float[2,3] x) => (float[2,3] y)
        <int64 n = {2}, bool yes = {1}>
        { y = Loop(n, yes, x) <body = body (int64 i, bool c, float[2,3] v) => (bool d, float[2,3] w)
            { d = Identity(c) w = Neg(v) }> }""",
    "custom": """<ir_version: 8, opset_import: ["" : 17, "com.microsoft" : 1]>
        net (float[2,3] x) => (float[2,3] y) { y = com.microsoft.FusedMatMul(x, x) }""",
    # 5.04 is the largest number that uint8 tells with this scale and zero point
    "quantised": """<ir_version: 8, opset_import: ["" : 17]>
        net (float[2,3] x) => (float[2,3] y)
        <float scale = {0.02}, uint8 zero = {3}>
        { q = QuantizeLinear(x, scale, zero) y = DequantizeLinear(q, scale, zero) }""",
    "quantised_axis": """<ir_version: 8, opset_import: ["" : 17]>
        net (float[2,3] x) => (float[2,3] y)
        <float[3] scale = {1, 0.5, 0.02}, int8[3] zero = {0, -128, 127}>
        { q = QuantizeLinear<axis = 1>(x, scale, zero) y = DequantizeLinear<axis = 1>(q, scale, zero) }""",
    "quantised_live_scale": """<ir_version: 8, opset_import: ["" : 17]>
        net (float[2,3] x) => (float[2,3] y)
        <uint8 zero = {3}>
        { scale = ReduceMax<keepdims = 0>(x) q = QuantizeLinear(x, scale, zero) y = DequantizeLinear(q, scale, zero) }""",
    "qlinear_matmul": """<ir_version: 8, opset_import: ["" : 17]>
        net (float[2,3] x) => (float[2,2] y)
        <float one = {1}, float half = {0.5}, uint8 zero = {0}, uint8 ten = {10}, int8 first = {1}, int8[3,2] w = {1, 2, 3, 4, 5, 6}>
        { q = QuantizeLinear(x, one, zero) r = QLinearMatMul(q, one, zero, w, half, first, half, ten)
          y = DequantizeLinear(r, half, ten) }""",
    "qlinear_conv": """<ir_version: 8, opset_import: ["" : 17]>
        net (float[2,3] x) => (float[2,4] y)
        <float one = {1}, float half = {0.5}, float[2] ws = {0.5, 2}, uint8 zero = {0}, uint8 ten = {10}, int8[2] wz = {1, 0},
         int8[2,1,2] w = {1, 2, 3, -4}, int32[2] b = {4, 3}, int64[1] at = {1}, int64[2] flat = {0, -1}>
        { u = Unsqueeze(x, at) q = QuantizeLinear(u, one, zero)
          r = QLinearConv(q, one, zero, w, ws, wz, half, ten, b) d = DequantizeLinear(r, half, ten) y = Reshape(d, flat) }""",
    # the same, spelled with real numbers: what uint8 cannot tell is cut off by the Clip
    "qlinear_conv_real": """<ir_version: 8, opset_import: ["" : 17]>
        net (float[2,3] x) => (float[2,4] y)
        <float[2,1,2] w = {0, 0.5, 6, -8}, float[2] b = {2, 6}, int64[1] at = {1}, int64[2] flat = {0, -1}, float low = {-5}, float high = {122.5}>
        { u = Unsqueeze(x, at) r = Conv(u, w, b) d = Clip(r, low, high) y = Reshape(d, flat) }""",
    # each row is 1, 2, 3: multiples of its scale, 3/255
    "dynamic": """<ir_version: 8, opset_import: ["" : 17]>
        net (float[2,3] x) => (float[2,2] y)
        <float half = {0.5}, int8 first = {1}, int8[3,2] w = {1, 2, 3, 4, 5, 6}, float[2,1] three = {0, 3}>
        { r = Sub(x, three) q, s, z = DynamicQuantizeLinear(r) i = MatMulInteger(q, w, z, first) c = Cast<to = 1>(i)
          f = Mul(s, half) y = Mul(c, f) }""",
    "quantised_embedding": """<ir_version: 8, opset_import: ["" : 17]>
        net (int64[2,3] x) => (float[2,3,2] y)
        <float scale = {0.5}, uint8 zero = {3}, uint8[7,2] table = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}>
        { g = Gather(table, x) y = DequantizeLinear(g, scale, zero) }""",
    "dequantised_weight": """<ir_version: 8, opset_import: ["" : 17]>
        net (float[2,3] x) => (float[2,2] y)
        <float[2] scale = {0.5, 2}, int8[3,2] w = {1, 2, 3, 4, 5, 6}, int8[2] zero = {1, 0}>
        { d = DequantizeLinear<axis = 1>(w, scale, zero) i = Identity(d) y = MatMul(x, i) }""",
    # 40 pixels at least, of an open width
    "open_width": """<ir_version: 8, opset_import: ["" : 17]>
        net (float[1,1,2,w] x) => (float[1,1,2,v] y)
        { y = MaxPool<kernel_shape = [1, 40]>(x) }""",
    "softmax_rearranged": """<ir_version: 8, opset_import: ["" : 17]>
        net (float[2,1,3] x) => (float[2,3] y)
        <int64[1] one = {1}, float[3,3] w = {1, 2, 3, 4, 5, 6, 7, 8, 10}>
        { s = MatMul(x, w) p = LogSoftmax<axis = 2>(s) q = Squeeze(p, one) y = Identity(q) }""",
}


def main():
    os.makedirs(HERE, exist_ok=True)
    for name, text in FORMS.items():
        onnx.save(parser.parse_model(text), os.path.join(HERE, name + ".onnx"))


if __name__ == "__main__":
    main()
