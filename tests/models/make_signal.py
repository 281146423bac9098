#!/usr/bin/env python3
"""Writes tests/models/signal: tiny models whose relevance can be reckoned by hand.  Needs Python alone.

sound: score i = sum over the 16 samples of a frame of w_i x, w_0 = 1, 2, ... 16, w_1 = -w_0.
bytes: each of 8 positions looks its byte up in a table; score 0 counts the P, score 1 the newlines and half the padding.
padded: a convolution over a picture of 4 x 4, its padding its own (conv), in a node before it (pad), or of ones (ones).
"""
import json
import os
import struct

from make_broken import FLOAT, INT32, INT64, graph, model, node, num, sub, tensor, value

HERE = os.path.dirname(os.path.abspath(__file__))


def floats(name, shape, values):
    return tensor(name, shape, FLOAT, raw=struct.pack("<%df" % len(values), *values))


def integer(name, v):
    return sub(5, sub(1, name) + num(3, v) + num(20, 2))


RAMP = [float(i + 1) for i in range(16)]
SOUND = model(graph(
    nodes=[node("Flatten", "flat", ("x",), ("f",), integer("axis", 1)),
           node("Gemm", "sum", ("f", "w"), ("y",), integer("transB", 1))],
    inits=[floats("w", (2, 16), RAMP + [-v for v in RAMP])],
    ins=[value("x", FLOAT, ("n", 1, 16))], outs=[value("y", FLOAT, ("n", 2))]))

TABLE = [0.0] * 514
TABLE[2 * ord("P")] = 1.0
TABLE[2 * ord("\n") + 1] = 1.0
TABLE[2 * 256 + 1] = 0.5
BYTES = model(graph(
    nodes=[node("Gather", "look", ("table", "bytes"), ("e",), integer("axis", 0)),
           node("Flatten", "flat", ("e",), ("f",), integer("axis", 1)),
           node("Gemm", "sum", ("f", "w"), ("y",), integer("transB", 1))],
    inits=[floats("table", (257, 2), TABLE), floats("w", (2, 16), [1.0, 0.0] * 8 + [0.0, 1.0] * 8)],
    ins=[value("bytes", INT32, ("n", 8))], outs=[value("y", FLOAT, ("n", 2))]))

KERNEL = [1.0, -2.0, 3.0, 0.5, 1.5, -1.0, 2.0, -0.5, 1.0]
PICTURE = [0.25 * (i % 5) - 0.5 for i in range(16)]


def integers(name, values):
    return sub(5, sub(1, name) + b"".join(num(8, v) for v in values) + num(20, 7))


def padded(outside):
    """outside: what a Pad node writes around; None: the convolution pads."""
    weights = [floats("k", (1, 1, 3, 3), KERNEL), floats("w", (2, 9), [1.0] * 9 + [0.5] * 9)]
    pads, x = integers("pads", (0, 1, 1, 0)), "x"
    nodes = []
    if outside is not None:
        weights += [tensor("p", (8,), INT64, raw=struct.pack("<8q", 0, 0, 0, 1, 0, 0, 1, 0)), floats("v", (), [outside])]
        nodes, pads, x = [node("Pad", "pad", ("x", "p", "v"), ("wide",))], b"", "wide"
    return model(graph(
        nodes=nodes + [node("Conv", "conv", (x, "k"), ("c",), pads), node("Flatten", "flat", ("c",), ("f",)),
                       node("Gemm", "sum", ("f", "w"), ("y",), integer("transB", 1))],
        inits=weights,
        ins=[value("x", FLOAT, ("n", 1, 4, 4))], outs=[value("y", FLOAT, ("n", 2))]))


def npy(shape, values):
    head = "{'descr': '<f4', 'fortran_order': False, 'shape': %s, }" % (shape,)
    head = head.ljust(117) + "\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head.encode() + struct.pack("<%df" % len(values), *values)


FILES = {"padded/conv.onnx": padded(None), "padded/pad.onnx": padded(0.0), "padded/ones.onnx": padded(1.0),
         "padded/x.npy": npy((1, 1, 4, 4), PICTURE)}
FOLDERS = {
    "sound": (SOUND, ["up", "down"],
              {"sampling_rate": 8000, "frame_length": 16, "hop_length": 8, "center": True, "do_normalize": False}),
    "bytes": (BYTES, ["letters", "lines"],
              {"beg_size": 6, "mid_size": 0, "end_size": 2, "block_size": 64, "padding_token": 256,
               "min_file_size_for_dl": 2, "use_inputs_at_offsets": False}),
}


def main():
    os.makedirs(os.path.join(HERE, "signal", "padded"), exist_ok=True)
    for name, data in FILES.items():
        with open(os.path.join(HERE, "signal", name), "wb") as out:
            out.write(data)
    for name, (data, labels, form) in FOLDERS.items():
        folder = os.path.join(HERE, "signal", name)
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "model.onnx"), "wb") as out:
            out.write(data)
        config = {"model_type": "tiny", "id2label": {str(i): s for i, s in enumerate(labels)}}
        for file, what in (("config.json", config), ("preprocessor_config.json", form)):
            with open(os.path.join(folder, file), "w", encoding="utf-8") as out:
                out.write(json.dumps(what, indent=1) + "\n")


if __name__ == "__main__":
    main()
