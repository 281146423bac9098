#!/usr/bin/env python3
"""Relevance of the examples' models by zennit, Captum and LXT, for lrp db import.

    python3 tests/golden/imports/make_imports.py

Writes zennit_epsilon_plus.npy, captum_lrp.npy (two pictures: ankle-boot.png, bag.png) and
lxt_attnlrp.npy (one message, MESSAGE) beside itself.  Weights are read from the ONNX files.
Written with torch 2.13, zennit 1.0, captum 0.9, lxt 2.1, tokenizers, onnx, numpy, pillow.
"""

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from PIL import Image
from torch import nn

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[2] / "examples"
MESSAGE = "You won a free prize, call now"


def weights(model):
    graph = onnx.load(EXAMPLES / "models" / model / "model.onnx").graph
    return {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in graph.initializer}


# ---- pictures ----

class Cnn(nn.Module):
    def __init__(self, features, dense):
        super().__init__()
        self.features, self.dense = features, dense

    def forward(self, x):
        return self.dense(self.features(x).flatten(1))


def cnn():
    w = weights("fashion-cnn")

    def conv(name, pool):
        weight = w[name + ".weight"]
        layer = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1)
        layer.weight.data, layer.bias.data = weight, w[name + ".weight_bias"]
        return [layer, nn.ReLU()] + ([nn.MaxPool2d(2)] if pool else [])

    dense = nn.Linear(64, 10)
    dense.weight.data, dense.bias.data = w["classifier.weight"], w["classifier.bias"]
    features = nn.Sequential(*conv("features.0", True), *conv("features.4", False),
                             *conv("features.7", True), *conv("features.11", False),
                             nn.AdaptiveAvgPool2d(1))
    return Cnn(features, dense).eval()


def pictures():
    x = [np.asarray(Image.open(EXAMPLES / "data" / f).convert("L"), np.float32) for f in ("ankle-boot.png", "bag.png")]
    return torch.from_numpy((np.stack(x)[:, None] / 255 - 0.286) / 0.353).float()


def zennit_epsilon_plus():
    from zennit.attribution import Gradient
    from zennit.composites import EpsilonPlus

    model, x = cnn(), pictures()
    top = model(x).argmax(1)
    with Gradient(model, EpsilonPlus()) as attributor:
        logits, relevance = attributor(x, lambda y: torch.eye(10)[top] * y)
    return relevance.detach().numpy()


def captum_lrp():
    from captum.attr import LRP
    from captum.attr._utils.lrp_rules import EpsilonRule

    model, x = cnn(), pictures()
    top = model(x).argmax(1)
    for layer in model.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear, nn.AdaptiveAvgPool2d)):
            layer.rule = EpsilonRule()
    # Captum starts with the score, as lrp does
    return LRP(model).attribute(x, target=top).detach().numpy()


# ---- a message ----

def lxt_attnlrp():
    from lxt.efficient.rules import divide_gradient, identity_rule_implicit, stop_gradient
    from tokenizers import Tokenizer

    w = weights("spam-attention")
    folder = EXAMPLES / "models" / "spam-attention"
    ids = torch.tensor(Tokenizer.from_file(str(folder / "tokenizer.json")).encode(MESSAGE).ids)
    matrices = iter("val_9 val_17 val_25 val_39 val_43 val_45 val_49 val_57 val_65 val_78 val_82 val_84".split())
    heads, width = int(w["val_14"]), int(w["val_15"])
    if heads < 0:
        heads = 32 // width

    def norm(x, name):  # LN rule of AttnLRP: the deviation counts as a constant
        mean = x.mean(-1, keepdim=True)
        deviation = stop_gradient(((x - mean) ** 2).mean(-1, keepdim=True).add(1e-5).sqrt())
        return (x - mean) / deviation * w[name + ".weight"] + w[name + ".bias"]

    embedded = w["embedding.weight"][ids].clone().requires_grad_()
    x = embedded + w["position.weight"][:len(ids)]
    for i in (0, 1):
        n = norm(x, f"layers.{i}.norm1")
        q, k, v = (n @ w[next(matrices)] + w[f"layers.{i}.{m}.bias"] for m in ("query", "key", "value"))
        q, k, v = (t.view(-1, heads, 32 // heads).transpose(0, 1) for t in (q, k, v))
        p = torch.softmax(divide_gradient(q @ k.transpose(1, 2), 2) / w["val_33"], -1)
        a = divide_gradient(p @ v, 2).transpose(0, 1).reshape(-1, 32)
        x = x + a @ w[next(matrices)] + w[f"layers.{i}.out.bias"]
        h = norm(x, f"layers.{i}.norm2") @ w[next(matrices)] + w[f"layers.{i}.mlp.0.bias"]
        h = identity_rule_implicit(nn.functional.gelu, h)
        x = x + h @ w[next(matrices)] + w[f"layers.{i}.mlp.2.bias"]
    logits = norm(x, "norm").mean(0) @ w["classifier.weight"].T + w["classifier.bias"]
    print("scores of the message", logits.detach().numpy())
    logits.max().backward()
    return (embedded * embedded.grad).sum(-1)[None].detach().numpy()


for make in (zennit_epsilon_plus, captum_lrp, lxt_attnlrp):
    r = make().astype(np.float32)
    np.save(HERE / f"{make.__name__}.npy", r)
    print(make.__name__, r.shape, r.sum(axis=tuple(range(1, r.ndim))))
