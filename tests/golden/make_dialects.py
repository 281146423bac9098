#!/usr/bin/env python3
"""Reference relevance for the dialects of other toolkits, on the small nets in relevance/.

Writes relevance/<case>/rel_<key>.npy (float64, at the input) and enters each into meta.json.
<key> is a preset of rules/ or a file in composites/.

captum_*       are run by Captum itself, on the net rebuilt from model.onnx as torch modules.
all others     are computed from the formulas that the toolkits' sources and papers give, written
               out below in torch, one pass a layer: iNNvestigate 2.1.2 needs a Python and a
               TensorFlow of their time, the LRP toolbox Python 2 or a Caffe of its own.
noise32_rel    is the same computation in float32 against float64.

usage: python make_dialects.py [KEY ...]
needs: torch onnx numpy captum==0.9.0
"""
import json
import os
import sys

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import numpy_helper

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "relevance")


class Node:
    """One ONNX node: its names, its parameters and the map it is."""

    def __init__(self, n, weights, dtype):
        self.op, self.ins, self.out = n.op_type, list(n.input), n.output[0]
        self.a = {a.name: onnx.helper.get_attribute_value(a) for a in n.attribute}
        self.data = [i for i in self.ins if i and i not in weights]
        p = [torch.tensor(weights[i]).to(dtype) for i in self.ins if i in weights]
        self.w, self.b = (p + [None, None])[:2] if self.op in ("Gemm", "Conv") else (None, None)
        self.norm = p if self.op == "BatchNormalization" else None
        if self.op == "Gemm" and not self.a.get("transB"):
            self.w = self.w.T.contiguous()

    def linear(self, x, w, b):
        """The weighted sum with other weights, or None for no bias."""
        if self.op == "Gemm":
            return F.linear(x, w, b)
        pads = self.a.get("pads", [0, 0, 0, 0])
        return F.conv2d(F.pad(x, (pads[1], pads[3], pads[0], pads[2])), w, b,
                        tuple(self.a.get("strides", [1, 1])), 0, tuple(self.a.get("dilations", [1, 1])),
                        self.a.get("group", 1))

    def pool(self, x, fn, **more):
        p = self.a.get("pads", [0, 0, 0, 0])
        assert p[:2] == p[2:]
        return fn(x, tuple(self.a["kernel_shape"]), tuple(self.a.get("strides", [1, 1])), p[:2],
                  ceil_mode=bool(self.a.get("ceil_mode", 0)), **more)

    def mean(self, x):
        return self.pool(x, F.avg_pool2d, count_include_pad=bool(self.a.get("count_include_pad", 0)))

    def forward(self, v):
        x = v[self.data[0]]
        return {"Gemm": lambda: self.linear(x, self.w, self.b),
                "Conv": lambda: self.linear(x, self.w, self.b),
                "Relu": lambda: x.clamp(min=0),
                "MaxPool": lambda: self.pool(x, F.max_pool2d),
                "AveragePool": lambda: self.mean(x),
                "GlobalAveragePool": lambda: x.mean((2, 3), keepdim=True),
                "Flatten": lambda: x.flatten(1),
                "Add": lambda: v[self.data[0]] + v[self.data[1]]}[self.op]()


class Net:
    def __init__(self, case, dtype):
        g = onnx.load(os.path.join(HERE, case, "model.onnx")).graph
        weights = {t.name: numpy_helper.to_array(t).astype(np.float64) for t in g.initializer}
        self.nodes = [Node(n, weights, dtype) for n in g.node]
        self.input = g.input[0].name
        self.x = torch.tensor(np.load(os.path.join(HERE, case, "input.npy"))).to(dtype)
        self.merge_norms()
        v = {self.input: self.x}
        for n in self.nodes:
            v[n.out] = n.forward(v)
        self.v = v
        y, want = v[self.nodes[-1].out], torch.tensor(np.load(os.path.join(HERE, case, "output.npy")))
        assert (y - want).abs().max() <= 1e-5 * want.abs().max(), case
        self.linears = [n for n in self.nodes if n.w is not None]

    def merge_norms(self):
        """A batch normalisation goes into the convolution before it."""
        by = {n.out: n for n in self.nodes}
        for n in [n for n in self.nodes if n.norm]:
            scale, shift, mean, var = n.norm
            f = scale / torch.sqrt(var + n.a.get("epsilon", 1e-5))
            c = by[n.data[0]]
            b = c.b if c.b is not None else torch.zeros_like(mean)
            c.w, c.b, c.out = c.w * f[:, None, None, None], (b - mean) * f + shift, n.out
            self.nodes.remove(n)

    def first(self, n):
        """The layer at the input: no linear layer lies below it."""
        return n is self.linears[0]

    def before_relu(self, n):
        readers = [m for m in self.nodes if n.out in m.data]
        return bool(readers) and all(m.op == "Relu" for m in readers)

    def relevance(self, rules):
        """rules(net, node) -> function (node, inputs, R) -> [R of each input]."""
        y = self.v[self.nodes[-1].out]
        k = y.argmax(1)
        r = {self.nodes[-1].out: torch.zeros_like(y).scatter(1, k[:, None], y.gather(1, k[:, None]))}
        for n in reversed(self.nodes):
            xs = [self.v[i] for i in n.data]
            for i, ri in zip(n.data, rules(self, n)(n, xs, r[n.out])):
                r[i] = r[i] + ri if i in r else ri
        return r[self.input]


# ---- pieces ----

def pull(fn, x, s):
    """The transposed map of fn at x, on s."""
    x = x.detach().requires_grad_()
    return torch.autograd.grad(fn(x), x, s)[0]


def replace0(a, d, eps=1e-7):
    return a / torch.where(d == 0, torch.full_like(d, eps), d)


def signed(a, d, eps):
    return a / (d + torch.where(d >= 0, eps, -eps))


def gradient(n, xs, r):
    if n.op == "Add":
        return [r, r]
    v = dict(zip(n.data, xs))
    return [pull(lambda x: n.forward({**v, n.data[0]: x}), xs[0], r)]


def keep(n, xs, r):
    return [r]


def proportional(divide):
    """x . J^T (R / y) for layers without weights."""
    def rule(n, xs, r):
        s = divide(r, n.forward(dict(zip(n.data, xs))))
        return [x * g for x, g in zip(xs, gradient(n, xs, s))]
    return rule


def passes(n, x, r, parts, divide):
    """Sum of x_p . w_p^T s with s = divide(R, sum of layer(x_p, w_p, b_p)); parts: (x, w, b)."""
    d = sum(n.linear(xp, wp, bp) for xp, wp, bp in parts)
    s = divide(r, d)
    return sum(xp * pull(lambda t: n.linear(t, wp, None), xp, s) for xp, wp, _ in parts)


def split(n, x, bias):
    b = n.b if bias else None
    neg = lambda t: None if t is None else t.clamp(max=0)
    pos = lambda t: None if t is None else t.clamp(min=0)
    return pos(x), neg(x), pos(n.w), neg(n.w), pos(b), neg(b)


def eps_rule(eps, bias=True):
    return lambda n, xs, r: [passes(n, xs[0], r, [(xs[0], n.w, n.b if bias else None)],
                                    lambda a, d: signed(a, d, eps))]


def z_rule(n, xs, r):
    return [passes(n, xs[0], r, [(xs[0], n.w, n.b)], replace0)]


def alphabeta(alpha, beta, bias, split_bias, divide):
    """split_bias: b+ in the raising, b- in the lowering denominator (eq. 60); else b in both."""
    def rule(n, xs, r):
        xp, xn, wp, wn, bp, bn = split(n, xs[0], bias)
        up = passes(n, xs[0], r, [(xp, wp, bp), (xn, wn, None if split_bias else bn)], divide)
        if not beta:
            return [up]
        down = passes(n, xs[0], r, [(xp, wn, bn), (xn, wp, None if split_bias else bp)], divide)
        return [alpha * up - beta * down]
    return rule


def alphabetax(a0, a1, b0, b1):
    """As the code does it: beta1 where alpha1 should be."""
    def rule(n, xs, r):
        xp, xn, wp, wn, bp, bn = split(n, xs[0], True)
        q = lambda x, w, b: passes(n, x, r, [(x, w, b)], replace0)
        return [a0 * q(xp, wp, bp) + b1 * q(xn, wn, bn) - b0 * q(xp, wn, bn) - b1 * q(xn, wp, bp)]
    return rule


def ones_rule(weights):
    def rule(n, xs, r):
        one, w = torch.ones_like(xs[0]), weights(n.w)
        return [pull(lambda t: n.linear(t, w, None), one, replace0(r, n.linear(one, w, None)))]
    return rule


wsquare, flat = ones_rule(lambda w: w * w), ones_rule(torch.ones_like)


def bounded(low, high):
    def rule(n, xs, r):
        x, wp, wn = xs[0], n.w.clamp(min=0), n.w.clamp(max=0)
        lo, hi = torch.full_like(x, low), torch.full_like(x, high)
        f = lambda t, w: n.linear(t, w, None)
        s = replace0(r, f(x, n.w) - f(lo, wp) - f(hi, wn))
        return [x * pull(lambda t: f(t, n.w), x, s) - lo * pull(lambda t: f(t, wp), lo, s)
                - hi * pull(lambda t: f(t, wn), hi, s)]
    return rule


def zplus_fast(n, xs, r):
    return [passes(n, xs[0], r, [(xs[0], n.w.clamp(min=0), None)], replace0)]


# ---- composites: (net, node) -> rule ----

def composite(conv, dense, first=None, others=None, add=None, average=None):
    def choose(net, n):
        if n.w is not None:
            return first if first and net.first(n) else conv if n.op == "Conv" else dense
        if n.op == "Relu":
            return keep
        if n.op == "Add":
            return add or others
        if n.op in ("AveragePool", "GlobalAveragePool"):
            return average or others
        return gradient  # max-pool, flatten
    return choose


inn = lambda conv, dense=None, first=None: composite(conv, dense or conv, first, proportional(replace0))
tool = lambda conv, dense=None, first=None: composite(
    conv, dense or conv, first, proportional(lambda a, d: signed(a, d, 1e-12)))
inn_ab = lambda a, b: alphabeta(a, b, True, False, replace0)
tool_ab = lambda a: alphabeta(a, a - 1, True, True, lambda a, d: signed(a, d, 1e-16))
tool_eps = eps_rule(1e-10)

def deep_taylor(first=None):
    """z+ without bias before a ReLU, w^2 elsewhere; sums by the z-rule, averages by the gradient."""
    def choose(net, n):
        if n.w is not None:
            return (first if first and net.first(n)
                    else alphabeta(1, 0, False, False, replace0) if net.before_relu(n) else wsquare)
        return {"Relu": keep, "Add": proportional(replace0)}.get(n.op, gradient)
    return choose


def ratio(n, xs, r):
    """Otsuki et al. 2024: by the branches' magnitudes."""
    return [signed(x.abs() * r, sum(t.abs() for t in xs), 1e-9) for x in xs]


zennit_plus = composite(alphabeta(1, 0, True, True, lambda a, d: signed(a, d, 1e-6)), eps_rule(1e-6),
                        None, proportional(lambda a, d: signed(a, d, 1e-6)), ratio)

NETS = ["mlp", "cnn_max", "cnn_avg", "cnn_overlap_pool"]
FORMULA = {
    "innvestigate_z": (inn(z_rule), ["mlp", "cnn_max", "mlp_residual"]),
    "innvestigate_epsilon": (inn(eps_rule(1e-7)), ["mlp", "cnn_max"]),
    "innvestigate_alpha2beta1": (inn(inn_ab(2, 1)), NETS + ["mlp_residual", "cnn_bn"]),
    "innvestigate_alpha1beta0": (inn(inn_ab(1, 0)), NETS),
    "innvestigate_zplus": (inn(alphabeta(1, 0, False, False, replace0)), NETS),
    "innvestigate_zplus_fast": (inn(zplus_fast), ["cnn_max", "cnn_avg"]),
    "innvestigate_wsquare": (inn(wsquare), ["mlp", "cnn_max"]),
    "innvestigate_flat": (inn(flat), ["mlp", "cnn_max"]),
    "innvestigate_preset_a": (inn(inn_ab(1, 0), eps_rule(0.1)), NETS + ["cnn_bn", "resnet_tiny"]),
    "innvestigate_preset_a_flat": (inn(inn_ab(1, 0), eps_rule(0.1), flat), NETS),
    "innvestigate_preset_b": (inn(inn_ab(2, 1), eps_rule(0.1)), NETS + ["cnn_bn", "resnet_tiny"]),
    "innvestigate_preset_b_flat": (inn(inn_ab(2, 1), eps_rule(0.1), flat), NETS),
    "innvestigate_bounded_first": (inn(eps_rule(0.1), None, bounded(-3, 3)), ["cnn_max", "cnn_avg"]),
    "innvestigate_alphabetax": (inn(alphabetax(2, 0.5, 1, 0.25)), ["mlp", "cnn_max"]),
    "deep_taylor": (deep_taylor(), NETS + ["cnn_bn"]),
    "deep_taylor_box": (deep_taylor(bounded(-3, 3)), NETS),
    "residual_ratio": (zennit_plus, ["mlp_residual", "resnet_tiny"]),
    "toolbox_0": (tool(tool_eps), ["mlp", "cnn_max"]),
    "toolbox_2": (tool(tool_ab(2)), NETS + ["mlp_residual"]),
    "toolbox_54": (tool(tool_eps, None, flat), ["mlp", "cnn_max"]),
    "toolbox_56": (tool(tool_eps, None, wsquare), ["mlp", "cnn_max"]),
    "toolbox_58": (tool(tool_ab(2), None, flat), ["mlp", "cnn_max"]),
    "toolbox_60": (tool(tool_ab(2), None, wsquare), ["mlp", "cnn_max"]),
    "toolbox_100": (tool(tool_ab(1), tool_eps), NETS[1:]),
    "toolbox_102": (tool(tool_ab(1), tool_eps, flat), NETS[1:]),
    "toolbox_104": (tool(tool_ab(1), tool_eps, wsquare), NETS[1:]),
}

# ---- peers that run ----


def modules(net):
    out = []
    for n in net.nodes:
        if n.op == "Gemm":
            m = torch.nn.Linear(n.w.shape[1], n.w.shape[0], n.b is not None)
        elif n.op == "Conv":
            p = n.a.get("pads", [0, 0, 0, 0])
            assert p[0] == p[2] and p[1] == p[3]
            g = n.a.get("group", 1)
            m = torch.nn.Conv2d(n.w.shape[1] * g, n.w.shape[0], tuple(n.w.shape[2:]),
                                tuple(n.a.get("strides", [1, 1])), (p[0], p[1]),
                                tuple(n.a.get("dilations", [1, 1])), g, n.b is not None)
        elif n.op == "MaxPool":
            m = torch.nn.MaxPool2d(tuple(n.a["kernel_shape"]), tuple(n.a.get("strides", [1, 1])))
        elif n.op == "AveragePool":
            m = torch.nn.AvgPool2d(tuple(n.a["kernel_shape"]), tuple(n.a.get("strides", [1, 1])))
        else:
            m = {"Relu": torch.nn.ReLU, "Flatten": torch.nn.Flatten,
                 "GlobalAveragePool": lambda: torch.nn.AdaptiveAvgPool2d(1)}[n.op]()
        if n.w is not None:
            m.weight.data = n.w.clone()
            if n.b is not None:
                m.bias.data = n.b.clone()
        out.append(m)
    return torch.nn.Sequential(*out)


def by_captum(rule):
    def run(case, dtype):
        from captum.attr import LRP
        from captum.attr._utils.lrp_rules import EpsilonRule
        net = Net(case, dtype)
        model = modules(net).to(dtype)
        for m in model:
            if hasattr(m, "weight"):
                m.rule = rule() if rule else EpsilonRule()
            elif not isinstance(m, torch.nn.ReLU):
                m.rule = EpsilonRule()
        y = model(net.x)
        return LRP(model).attribute(net.x.clone().requires_grad_(), target=y.argmax(1)).detach()
    return run


def captum_rule(name, **kw):
    def make():
        from captum.attr._utils import lrp_rules
        return getattr(lrp_rules, name)(**kw)
    return make


def by_formula(rules):
    return lambda case, dtype: Net(case, dtype).relevance(rules)


RUN = {key: (by_formula(rules), cases) for key, (rules, cases) in FORMULA.items()}
RUN["captum"] = (by_captum(None), ["mlp", "cnn_max", "cnn_avg"])
RUN["captum_gamma0.25_nobias"] = (
    by_captum(captum_rule("GammaRule", gamma=0.25, set_bias_to_zero=True)), ["mlp", "cnn_max"])
RUN["captum_alpha1beta0_nobias"] = (
    by_captum(captum_rule("Alpha1_Beta0_Rule", set_bias_to_zero=True)), ["mlp", "cnn_max"])


def main():
    wanted = sys.argv[1:]
    for key, (run, cases) in RUN.items():
        if wanted and key not in wanted:
            continue
        for case in cases:
            r64, r32 = run(case, torch.float64), run(case, torch.float32)
            np.save(os.path.join(HERE, case, f"rel_{key}.npy"), r64.detach().numpy())
            path = os.path.join(HERE, case, "meta.json")
            with open(path) as f:
                meta = json.load(f)
            most = r64.abs().max().item()
            noise = (r32.double() - r64).abs().max().item()
            meta["rel"][key] = {"sum": r64.flatten(1).sum(1).tolist(), "absmax": most,
                                "noise32": noise, "noise32_rel": noise / most}
            with open(path, "w") as f:
                json.dump(meta, f, indent=1)
            print(f"{key:32} {case:18} largest {most:.4g} noise {noise / most:.2g}")


if __name__ == "__main__":
    main()
