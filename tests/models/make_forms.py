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
    "quantised": """<ir_version: 8, opset_import: ["" : 17]>
        net (float[2,3] x) => (float[2,3] y)
        <float scale = {0.5}, uint8 zero = {3}>
        { q = QuantizeLinear(x, scale, zero) y = DequantizeLinear(q, scale, zero) }""",
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
