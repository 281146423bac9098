"""What all training scripts share: seeds, export to ONNX, check of the file, JSON."""

import json
import random
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch

MODELS = Path(__file__).resolve().parent.parent / "models"


def seed_all(seed, threads=1):
    """Same machine, same packages, same seed: same weights."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)


def n_param(model):
    return sum(p.numel() for p in model.parameters())


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def strip_notes(path):
    """Take out the exporter's notes on each node: stack traces name folders of this machine."""
    proto = onnx.load(path)
    graph = proto.graph
    del proto.metadata_props[:]
    del graph.metadata_props[:]
    for item in [*graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer]:
        del item.metadata_props[:]
        if hasattr(item, "doc_string"):
            item.doc_string = ""
    onnx.save(proto, path)
    onnx.checker.check_model(path, full_check=True)


def export(model, example, names, path, dynamo=True):
    """Write model.onnx in one file.  names: (input, output); axes: names of the dynamic axes.

    dynamo=False takes the older TorchScript exporter (needed where the length of a recurrent
    layer is dynamic).
    """
    (source, axes), target = names
    model.eval()
    path.parent.mkdir(parents=True, exist_ok=True)
    common = {"input_names": [source], "output_names": [target]}
    if dynamo:
        dims = {i: torch.export.Dim(name, min=1) for i, name in axes.items()}
        torch.onnx.export(model, (example,), path, dynamo=True, external_data=False,
                          dynamic_shapes=(dims,), verbose=False, **common)
    else:
        torch.onnx.export(model, (example,), path, dynamo=False, opset_version=17,
                          dynamic_axes={source: axes, target: {0: axes[0]}}, **common)
    strip_notes(path)


def run(path, array):
    """The first output of an ONNX file, as onnxruntime computes it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: array})[0]


def compare(path, model, arrays):
    """Largest difference between the ONNX file and the model in memory over all arrays."""
    worst = 0.0
    model.eval()
    with torch.no_grad():
        for array in arrays:
            expected = model(torch.from_numpy(array)).numpy()
            worst = max(worst, float(np.abs(run(path, array) - expected).max()))
    if worst > 1e-4:
        raise SystemExit(f"{path}: differs from the trained model by {worst:g}")
    return worst


def describe(path):
    """One line: opset, operators with their counts, size."""
    proto = onnx.load(path)
    ops = Counter(node.op_type for node in proto.graph.node)
    opset = {o.domain or "ai.onnx": o.version for o in proto.opset_import}
    listed = ", ".join(f"{name} {count}" for name, count in sorted(ops.items()))
    return f"{proto.producer_name} {proto.producer_version}, opset {opset}: {listed}; " \
           f"{Path(path).stat().st_size} bytes"
