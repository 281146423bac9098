#!/usr/bin/env python3
"""Writes tests/models/signal: two tiny linear models whose relevance can be reckoned by hand.  Needs Python alone.

sound: score i = sum over the 16 samples of a frame of w_i x, w_0 = 1, 2, ... 16, w_1 = -w_0.
bytes: each of 8 positions looks its byte up in a table; score 0 counts the P, score 1 the newlines and half the padding.
"""
import json
import os
import struct

from make_broken import FLOAT, INT32, graph, model, node, num, sub, tensor, value

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

FOLDERS = {
    "sound": (SOUND, ["up", "down"],
              {"sampling_rate": 8000, "frame_length": 16, "hop_length": 8, "center": True, "do_normalize": False}),
    "bytes": (BYTES, ["letters", "lines"],
              {"beg_size": 6, "mid_size": 0, "end_size": 2, "block_size": 64, "padding_token": 256,
               "min_file_size_for_dl": 2, "use_inputs_at_offsets": False}),
}


def main():
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
