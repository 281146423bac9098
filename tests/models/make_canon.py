#!/usr/bin/env python3
"""Writes tests/models/canon: each form that a canonizer knows, and beside it (NAME-direct) the same function with its layer
written directly.  Needs the packages onnx and numpy."""
import os

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "canon")
RNG = np.random.default_rng(1)


def rand(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def save(name, shape, nodes, weights, opset=20):
    """nodes: "out = Op(in, in) attribute=value", the last one writes y."""
    made = []
    for text in nodes:
        out, call = text.split(" = ", 1)
        op, rest = call.split("(", 1)
        ins, options = rest.split(")", 1)
        made.append(helper.make_node(op, [i.strip() for i in ins.split(",")], [out], name=out,
                                     **{k: eval(v) for k, v in (o.split("=") for o in options.split())}))
    graph = helper.make_graph(made, name, [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
                              [numpy_helper.from_array(np.asarray(v), k) for k, v in weights.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    model.graph.output[0].type.tensor_type.ClearField("shape")
    onnx.save(model, os.path.join(HERE, name + ".onnx"))


def pair(name, shape, nodes, weights, direct, more, opset=20):
    save(name, shape, nodes, weights, opset)
    save(name + "-direct", shape, direct, {**weights, **more}, opset)


def dense(w, kernel, size, pad):
    """The matrix of a convolution, (inputs, outputs), both in the order channel, row, column."""
    o, c = w.shape[:2]
    out = size + 2 * pad - kernel + 1
    m = np.zeros((c, size, size, o, out, out), np.float32)
    for i in range(out):
        for j in range(out):
            for a in range(kernel):
                for b in range(kernel):
                    p, q = i + a - pad, j + b - pad
                    if 0 <= p < size and 0 <= q < size:
                        m[:, p, q, :, i, j] += w[:, :, a, b].T
    return m.reshape(c * size * size, -1)


def norms():
    w, b, v = rand(3, 2, 3, 3), rand(3), rand(4, 3)
    g, s, mean, var = rand(3), rand(3), rand(3), np.abs(rand(3)) + np.float32(0.5)
    k = g / np.sqrt(var + np.float32(1e-5))
    t = s - mean * k
    norm = {"g": g, "s": s, "mean": mean, "var": var}
    bn = "BatchNormalization(%s, g, s, mean, var)"
    pair("bn_after_conv", (1, 2, 5, 5), ["c = Conv(x, w, b)", "n = " + bn % "c", "y = Flatten(n)"], {"w": w, "b": b, **norm},
         ["c = Conv(x, w2, b2)", "y = Flatten(c)"], {"w2": w * k[:, None, None, None], "b2": b * k + t})
    pair("bn_after_dense", (1, 4), ["c = MatMul(x, v)", "d = Add(c, b)", "y = " + bn % "d"], {"v": v, "b": b, **norm},
         ["y = Gemm(x, v2, b2)"], {"v2": v * k, "b2": b * k + t})
    u, h = rand(2, 3, 3, 3), rand(2)
    ahead = np.tensordot(u.sum((2, 3)), t, 1) + h
    one = {"w": w, "b": b, "u": u, "h": h}
    pair("bn_after_relu_as_mul_add", (1, 2, 5, 5),
         ["c = Conv(x, w, b)", "r = Relu(c)", "m = Mul(r, k)", "a = Add(m, t)", "z = Conv(a, u, h)", "y = Flatten(z)"],
         {**one, "k": k[:, None, None], "t": t[:, None, None]},
         ["c = Conv(x, w, b)", "r = Relu(c)", "z = Conv(r, u2, h2)", "y = Flatten(z)"],
         {"u2": u * k[None, :, None, None], "h2": ahead})
    matrix = dense(u * k[None, :, None, None], 3, 4, 1)
    shift = np.broadcast_to(t[:, None], (3, 16)).reshape(1, -1)
    places = (shift @ dense(u, 3, 4, 1)).reshape(2, 16) + h[:, None]
    pair("bn_before_padded_conv", (1, 3, 4, 4), ["n = " + bn % "x", "z = Conv(n, u, h) pads=[1,1,1,1]", "y = Flatten(z)"],
         {"u": u, "h": h, **norm}, ["f = Flatten(x)", "y = Gemm(f, m, places)"],
         {"m": matrix, "places": places.reshape(-1).astype(np.float32)})
    pair("bn_before_dense", (1, 3), ["n = " + bn % "x", "y = Gemm(n, v) transB=1"], {"v": v, **norm},
         ["y = Gemm(x, v2, b2) transB=1"], {"v2": v * k, "b2": v @ t})


def layers():
    w, b = rand(4, 4), rand(4)
    f = np.float32
    start, end = "h = MatMul(x, w)", "y = Gemm(%s, w, b)"
    base = {"w": w, "b": b, "g": rand(4), "two": f(2), "eps": f(1e-5)}
    last = np.array([-1])

    def unary(name, nodes, out, direct, more, shape=(1, 4), opset=20):
        pair(name, shape, [start] + nodes + [end % out], {**base, **more}, [start, "n = " + direct, end % "n"], {}, opset)

    unary("layernorm", ["m = ReduceMean(h, last)", "d = Sub(h, m)", "p = Pow(d, two)", "v = ReduceMean(p, last)", "e = Add(v, eps)",
                        "q = Sqrt(e)", "r = Div(d, q)", "t = Mul(r, g)", "o = Add(t, b)"], "o",
          "LayerNormalization(h, g, b)", {"last": last})
    unary("rmsnorm", ["p = Pow(h, two)", "v = ReduceMean(p, last)", "e = Add(v, eps)", "q = Sqrt(e)", "r = Div(one, q)",
                      "t = Mul(h, r)", "o = Mul(g, t)"], "o", "RMSNormalization(h, g)", {"last": last, "one": f(1)}, opset=23)
    unary("gelu_erf", ["d = Div(h, root)", "e = Erf(d)", "a = Add(e, one)", "m = Mul(h, a)", "o = Mul(m, half)"], "o", "Gelu(h)",
          {"root": f(2 ** 0.5), "one": f(1), "half": f(0.5)})
    unary("gelu_tanh", ["p = Pow(h, three)", "q = Mul(p, c)", "a = Add(h, q)", "s = Mul(a, root)", "t = Tanh(s)",
                        "u = Add(t, one)", "m = Mul(h, half)", "o = Mul(m, u)"], "o", "Gelu(h) approximate='tanh'",
          {"three": f(3), "c": f(0.044715), "root": f((2 / np.pi) ** 0.5), "one": f(1), "half": f(0.5)})
    unary("silu", ["s = Sigmoid(h)", "o = Mul(h, s)"], "o", "Swish(h)", {}, opset=24)
    unary("hard_swish", ["a = Add(h, three)", "c = Clip(a, zero, six)", "d = Div(c, six)", "o = Mul(h, d)"], "o", "HardSwish(h)",
          {"three": f(3), "zero": f(0), "six": f(6)})
    pair("log_softmax", (1, 4), [start, "s = Softmax(h) axis=-1", "y = Log(s)"], base, [start, "y = LogSoftmax(h) axis=-1"], {})
    pair("transposes_that_cancel", (2, 3, 4), ["t = Transpose(x) perm=[1,2,0]", "r = Transpose(t) perm=[2,0,1]",
                                               "y = MatMul(r, w)"], base, ["y = MatMul(x, w)"], {})
    pair("matmul_and_add", (1, 4), [start, "y = Add(b, h)"], base, ["y = Gemm(x, w, b)"], {})


def shapes():
    w, v = rand(3, 2, 3, 3), rand(3, 4)
    b = np.abs(rand(3)) + np.float32(3)  # no unit is cut off, and each class has something positive:
    v[0] = np.abs(v[0])                  # z+ gives all to the positive parts, so without one all is lost
    one = {"w": w, "b": b, "v": v, "axes": np.array([-1, -2]), "flat": np.array([1, 3])}
    conv = ["c = Conv(x, w, b)", "r = Relu(c)"]
    pair("mean_as_global_pool", (1, 2, 5, 5), conv + ["p = ReduceMean(r, axes)", "f = Reshape(p, flat)", "y = MatMul(f, v)"], one,
         conv + ["p = GlobalAveragePool(r)", "f = Flatten(p)", "y = MatMul(f, v)"], {})
    pair("flatten_as_reshape", (1, 2, 3, 3), conv + ["f = Reshape(r, flat)", "y = MatMul(f, v)"], one,
         conv + ["f = Flatten(r)", "y = MatMul(f, v)"], {})
    pooled = conv + ["p = GlobalAveragePool(r)"]
    u = rand(3, 4)
    pair("dense_as_conv", (1, 2, 5, 5), pooled + ["d = Conv(p, k)", "e = Relu(d)", "z = Conv(e, u, b)", "y = Flatten(z)"],
         {**one, "k": v.T[:, :, None, None].copy(), "u": u[:, :, None, None].copy()},
         pooled + ["f = Flatten(p)", "d = MatMul(f, v)", "e = Relu(d)", "y = Gemm(e, t, b) transB=1"], {"t": u})


def attention():
    q, k, v = rand(4, 4), rand(4, 4), rand(4, 4)
    heads = np.array([1, 3, 2, 2])
    nodes = ["q = MatMul(x, wq)", "k = MatMul(x, wk)", "v = MatMul(x, wv)"]
    split = [t for n in "qkv" for t in (f"{n}r = Reshape({n}, heads)", f"{n}t = Transpose({n}r) perm=[0,2,1,3]")]
    pattern = ["kk = Transpose(kt) perm=[0,1,3,2]", "m = MatMul(qt, kk)", "s = Mul(m, scale)", "p = Softmax(s) axis=-1",
               "a = MatMul(p, vt)"]
    join = ["j = Transpose(a) perm=[0,2,1,3]", "y = Reshape(j, flat)"]
    weights = {"wq": q, "wk": k, "wv": v, "heads": heads, "scale": np.float32(2 ** -0.5), "flat": np.array([1, 12])}
    pair("attention", (1, 3, 4), nodes + split + pattern + join, weights, nodes + split + ["a = Attention(qt, kt, vt)"] + join, {},
         opset=23)


def missing():
    """Two operators that nobody knows, and softmaxes before, between and behind them."""
    save("several_missing", (1, 4), ["h = MatMul(x, w)", "p = Softmax(h) axis=-1", "q = MatMul(p, w)", "s = Strange(q)",
                                     "t = Softmax(s) axis=-1", "u = MatMul(t, w)", "o = Odd(u)", "y = Softmax(o) axis=-1"],
         {"w": rand(4, 4)})


def main():
    os.makedirs(HERE, exist_ok=True)
    norms()
    layers()
    shapes()
    attention()
    missing()


if __name__ == "__main__":
    main()
