#!/usr/bin/env python3
"""make_text_models.py - writes the small models of tests/models/text, for test_recurrent.c and test_transformer.c.

form_LAYER_N.onnx    a layer as exporters write it before ONNX had an operator for it, N counts the forms
one_LAYER.onnx       the same model with the operator
not_NAME.onnx        what looks like such a form and is none
attention_NAME.onnx  the Attention operator; nodes_NAME.onnx: the same as matrix products and a softmax
steps_first.onnx     samples in the second axis, and merged with the first, for test_batch.c
rnn_relu.onnx        with its output by onnxruntime, rnn_relu.npy; lstm_relu.onnx: activations that are refused

needs: onnx (with opset 24), onnxruntime, numpy.  Run it in its own folder.
"""
import math
import pathlib

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

HERE = pathlib.Path(__file__).resolve().parent / "text"


class Graph:
    """Nodes and constants; op() returns the name of what it writes."""

    def __init__(self, opset, shape=(2, 3, 8)):
        self.opset, self.shape, self.nodes, self.inits = opset, shape, [], []
        self.rng = np.random.RandomState(7)

    def const(self, value, dtype=np.float32):
        name = f"c{len(self.inits)}"
        self.inits.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def random(self, *shape):
        return self.const(self.rng.randn(*shape) / math.sqrt(shape[0]))

    def op(self, kind, *inputs, **attributes):
        ins = [i if isinstance(i, str) else self.const(i) for i in inputs]
        name = f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, ins, [name], name=name, **attributes))
        return name

    def save(self, name, output, out_shape):
        graph = helper.make_graph(
            self.nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, self.shape)],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, out_shape)], self.inits)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], producer_name="lrp tests")
        model.ir_version = 8
        onnx.checker.check_model(model)
        onnx.save(model, HERE / f"{name}.onnx")


def around(name, opset, form):
    """x -> dense -> form -> dense -> mean over the steps -> scores; the weights are the same for every form."""
    g = Graph(opset)
    u = g.op("Add", g.op("MatMul", "x", g.random(8, 8)), g.random(8))
    w = g.random(8, 3)
    g.scale, g.bias = g.const(1 + 0.2 * g.rng.randn(8)), g.const(0.1 * g.rng.randn(8))
    y = g.op("MatMul", form(g, u), w)
    axes = {"axes": [1]} if opset < 18 else {}
    more = [] if opset < 18 else [g.const([1], np.int64)]
    g.save(name, g.op("ReduceMean", y, *more, keepdims=0, **axes), [2, 3])


# ---- gelu, silu, hard_swish, mish ----

ROOT_2, ROOT_2_PI = math.sqrt(2), math.sqrt(2 / math.pi)


def orders(plus):
    """The three orders of x * (1 + ...) * 0.5."""
    return [lambda g, x: g.op("Mul", g.op("Mul", x, plus(g, x)), 0.5),
            lambda g, x: g.op("Mul", x, g.op("Mul", 0.5, plus(g, x))),
            lambda g, x: g.op("Mul", g.op("Mul", 0.5, x), plus(g, x))]


def plus_erf(g, x):
    return g.op("Add", g.op("Erf", g.op("Div", x, ROOT_2)), 1.0)


def plus_erf_mul(g, x):
    return g.op("Add", 1.0, g.op("Erf", g.op("Mul", x, 1 / ROOT_2)))


def plus_tanh(g, x):
    cube = g.op("Mul", g.op("Pow", x, 3.0), 0.044715)
    return g.op("Add", g.op("Tanh", g.op("Mul", g.op("Add", x, cube), ROOT_2_PI)), 1.0)


def plus_tanh_mul(g, x):
    cube = g.op("Mul", 0.044715, g.op("Mul", g.op("Mul", x, x), x))
    return g.op("Add", 1.0, g.op("Tanh", g.op("Mul", ROOT_2_PI, g.op("Add", x, cube))))


def plus_tanh_fast(g, x):
    inner = g.op("Add", 1.0, g.op("Mul", g.op("Mul", 0.044715, x), x))
    return g.op("Add", 1.0, g.op("Tanh", g.op("Mul", g.op("Mul", x, ROOT_2_PI), inner)))


def relu6(g, x):
    return g.op("Clip", g.op("Add", x, 3.0), 0.0, 6.0)


ELEMENTWISE = {
    "gelu": orders(plus_erf) + orders(plus_erf_mul),
    "gelu_tanh": orders(plus_tanh) + orders(plus_tanh_mul)[:1] + orders(plus_tanh_fast)[2:],
    "silu": [lambda g, x: g.op("Mul", x, g.op("Sigmoid", x)), lambda g, x: g.op("Mul", g.op("Sigmoid", x), x)],
    "silu_alpha": [lambda g, x: g.op("Mul", x, g.op("Sigmoid", g.op("Mul", 1.702, x)))],
    "hard_swish": [lambda g, x: g.op("Mul", x, g.op("Div", relu6(g, x), 6.0)),
                   lambda g, x: g.op("Div", g.op("Mul", x, relu6(g, x)), 6.0),
                   lambda g, x: g.op("Mul", x, g.op("HardSigmoid", x, alpha=1 / 6, beta=0.5))],
    "mish": [lambda g, x: g.op("Mul", x, g.op("Tanh", g.op("Softplus", x)))],
}
DIRECT = {
    "gelu": (20, lambda g, x: g.op("Gelu", x)),
    "gelu_tanh": (20, lambda g, x: g.op("Gelu", x, approximate="tanh")),
    "silu": (24, lambda g, x: g.op("Swish", x)),
    "silu_alpha": (24, lambda g, x: g.op("Swish", x, alpha=1.702)),
    "hard_swish": (14, lambda g, x: g.op("HardSwish", x)),
    "mish": (18, lambda g, x: g.op("Mish", x)),
    "layernorm": (17, lambda g, x: g.op("LayerNormalization", x, g.scale, g.bias, axis=-1, epsilon=1e-3)),
    "rmsnorm": (23, lambda g, x: g.op("RMSNormalization", x, g.scale, axis=-1, epsilon=1e-3)),
}


# ---- normalisation ----


def mean(g, x, *axes):
    axes = list(axes) or [-1]
    if g.opset < 18:
        return g.op("ReduceMean", x, axes=axes, keepdims=1)
    return g.op("ReduceMean", x, g.const(axes, np.int64), keepdims=1)


def centred(g, x):
    return g.op("Sub", x, mean(g, x))


def square(g, x):
    return g.op("Pow", x, 2.0)


def layernorm_div(g, x):
    d = centred(g, x)
    return g.op("Div", d, g.op("Sqrt", g.op("Add", mean(g, square(g, d)), 1e-3)))


def layernorm_twice(g, x):
    d, again = centred(g, x), centred(g, x)
    return g.op("Div", d, g.op("Sqrt", g.op("Add", mean(g, g.op("Mul", again, again)), 1e-3)))


def layernorm_inverse(g, x):
    d = centred(g, x)
    return g.op("Mul", d, g.op("Reciprocal", g.op("Sqrt", g.op("Add", mean(g, square(g, d)), 1e-3))))


def affine(norm):
    return lambda g, x: g.op("Add", g.op("Mul", norm(g, x), g.scale), g.bias)


def rms(g, x):
    return g.op("Sqrt", g.op("Add", mean(g, square(g, x)), 1e-3))


def rms_mul(g, x):
    return g.op("Sqrt", g.op("Add", mean(g, g.op("Mul", x, x)), 1e-3))


NORMS = {
    "layernorm": [affine(layernorm_div), affine(layernorm_twice), affine(layernorm_inverse)],
    "rmsnorm": [lambda g, x: g.op("Mul", g.scale, g.op("Mul", x, g.op("Reciprocal", rms(g, x)))),
                lambda g, x: g.op("Mul", g.op("Mul", x, g.op("Div", 1.0, rms_mul(g, x))), g.scale),
                lambda g, x: g.op("Mul", g.op("Div", x, rms(g, x)), g.scale)],
}


# ---- what is none ----


def shared(g, x):
    """Somebody else reads the sigmoid."""
    s = g.op("Sigmoid", x)
    return g.op("Add", g.op("Mul", x, s), s)


def other_constant(g, x):
    e = g.op("Add", g.op("Erf", g.op("Div", x, 1.5)), 1.0)
    return g.op("Mul", g.op("Mul", x, e), 0.5)


def other_tensor(g, x):
    """The gate comes from somewhere else: a product of two branches."""
    return g.op("Mul", x, g.op("Sigmoid", g.op("MatMul", x, g.random(8, 8))))


def other_axis(g, x):
    d = g.op("Sub", x, mean(g, x, 1))
    return g.op("Div", d, g.op("Sqrt", g.op("Add", mean(g, square(g, d)), 1e-3)))


def other_axes(g, x):
    """The variance is over more axes than the mean."""
    d = centred(g, x)
    return g.op("Div", d, g.op("Sqrt", g.op("Add", mean(g, square(g, d), 1, 2), 1e-3)))


# ---- attention ----


def attention(name, heads, kv_heads, flat, causal=False, mask=None, scale=None):
    t, d, width = 4, 3, 12
    attributes = {"is_causal": int(causal)}
    if scale:
        attributes["scale"] = scale
    for written in (False, True):
        g = Graph(17 if written else 23, (2, t, width))
        q, k, v = (g.op("MatMul", "x", g.random(width, h * d)) for h in (heads, kv_heads, kv_heads))
        split = lambda y, h: g.op("Transpose", g.op("Reshape", y, g.const([2, t, h, d], np.int64)), perm=[0, 2, 1, 3])
        back = lambda y: g.op("Reshape", g.op("Transpose", y, perm=[0, 2, 1, 3]), g.const([2, t, heads * d], np.int64))
        if written:
            q, k, v = split(q, heads), split(k, kv_heads), split(v, kv_heads)
            if heads != kv_heads:  # each head of k and v serves several of q
                group = [2, kv_heads, heads // kv_heads, t, d]
                more = lambda y: g.op("Reshape", g.op("Expand", g.op("Unsqueeze", y, g.const([2], np.int64)),
                                                      g.const(group, np.int64)), g.const([2, heads, t, d], np.int64))
                k, v = more(k), more(v)
            s = g.op("MatMul", q, g.op("Transpose", k, perm=[0, 1, 3, 2]))
            s = g.op("Mul", s, scale or 1 / math.sqrt(d))
            if mask is not None:
                s = g.op("Add", s, g.const(mask))
            if causal:
                s = g.op("Add", s, g.const(np.triu(np.full((t, t), -np.inf), 1)))
            y = back(g.op("MatMul", g.op("Softmax", s, axis=-1), v))
        else:
            more = [g.const(mask)] if mask is not None else []
            if flat:
                y = g.op("Attention", q, k, v, *more, q_num_heads=heads, kv_num_heads=kv_heads, **attributes)
            else:
                q, k, v = split(q, heads), split(k, kv_heads), split(v, kv_heads)
                y = back(g.op("Attention", q, k, v, *more, **attributes))
        y = g.op("MatMul", y, g.random(heads * d, 3))
        out = g.op("ReduceMean", y, axes=[1], keepdims=0) if written else g.op("ReduceMean", y, g.const([1], np.int64), keepdims=0)
        g.save(("nodes_" if written else "attention_") + name, out, [2, 3])


# ---- recurrent ----


def recurrent():
    g = Graph(14, (5, 1, 4))
    g.nodes.append(helper.make_node("RNN", ["x", g.const(g.rng.randn(2, 3, 4)), g.const(g.rng.randn(2, 3, 3)),
                                            g.const(g.rng.randn(2, 6))], ["", "h"], name="rnn", hidden_size=3,
                                    direction="bidirectional", activations=["Relu", "Relu"]))
    flat = g.op("Reshape", "h", g.const([1, 6], np.int64))
    g.save("rnn_relu", flat, [1, 6])
    x = np.random.RandomState(3).randn(5, 1, 4).astype(np.float32)
    np.save(HERE / "steps.npy", x)
    session = onnxruntime.InferenceSession(HERE / "rnn_relu.onnx", providers=["CPUExecutionProvider"])
    np.save(HERE / "rnn_relu.npy", session.run(None, {"x": x})[0])
    g = Graph(14, (5, 1, 4))
    g.nodes.append(helper.make_node("LSTM", ["x", g.const(g.rng.randn(1, 12, 4)), g.const(g.rng.randn(1, 12, 3))],
                                    ["", "h"], name="lstm", hidden_size=3, activations=["Sigmoid", "Relu", "Tanh"]))
    g.save("lstm_relu", g.op("Reshape", "h", g.const([1, 3], np.int64)), [1, 3])


def steps_first():
    """x (steps,samples,8): merged into rows and parted again, so that no axis of some tensors is that of the samples."""
    g = Graph(17, (5, "n", 8))
    rows = g.op("Reshape", "x", g.const([-1, 8], np.int64))
    rows = g.op("Relu", g.op("Add", g.op("MatMul", rows, g.random(8, 6)), g.random(6)))
    steps = g.op("Reshape", rows, g.const([5, -1, 6], np.int64))
    turned = g.op("Transpose", steps, perm=[1, 2, 0])
    flat = g.op("Reshape", turned, g.const([-1, 30], np.int64))
    g.save("steps_first", g.op("Add", g.op("MatMul", flat, g.random(30, 3)), g.random(3)), ["n", 3])


def main():
    HERE.mkdir(exist_ok=True)
    for name, forms in {**ELEMENTWISE, **NORMS}.items():
        for i, form in enumerate(forms):
            around(f"form_{name}_{i}", 18 if i % 2 else 17, form)
        around(f"one_{name}", *DIRECT[name])
    for name, form in {"shared": shared, "other_constant": other_constant, "other_tensor": other_tensor,
                       "other_axis": other_axis, "other_axes": other_axes}.items():
        around(f"not_{name}", 17, form)
    rng = np.random.RandomState(11)
    attention("split", 2, 2, False)
    attention("flat", 2, 2, True, scale=0.4)
    attention("causal", 2, 2, True, causal=True)
    attention("grouped", 4, 2, True, mask=rng.randn(1, 4, 4, 4))
    recurrent()
    steps_first()
    np.save(HERE / "tokens.npy", np.random.RandomState(5).randn(2, 3, 8).astype(np.float32))
    np.save(HERE / "sentence.npy", np.random.RandomState(6).randn(2, 4, 12).astype(np.float32))


if __name__ == "__main__":
    main()
