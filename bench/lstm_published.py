#!/usr/bin/env python3
"""The program that Arras et al. published with their paper, and lrp, by turns on the same weights and text.

    bench/lstm_published.py SOURCE [--model FILE] [--ids FILE] [--threads N] [--rounds N]

SOURCE: a checkout of https://github.com/ArrasL/LRP_for_LSTM, whose license is for academic use; nothing of it is here.
MODEL, IDS: what bench/run makes for its case lstm-arras (models/lstm.onnx, models/lstm-1-x.npy in its cache).
The build tree is build/, and needs make lrp-driver.  Needs numpy and onnx.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from scale import bench_run

ROOT = Path(__file__).resolve().parent.parent


def published(source, model):
    """Their network with the weights of our file, whose gates stand in another order: i o f g, not i g f o."""
    import numpy as np
    import onnx
    for name in ("code", "code.LSTM"):
        sys.modules.pop(name, None)  # Python has a module of that name
    sys.path.insert(0, str(source))
    from code.LSTM.LSTM_bidi import LSTM_bidi
    weight = {w.name: onnx.numpy_helper.to_array(w).astype("f8") for w in onnx.load(model).graph.initializer}
    size = weight["r"].shape[2]

    def blocks(w):
        i, o, f, g = np.split(w, 4)
        return np.concatenate([i, g, f, o])
    net = object.__new__(LSTM_bidi)
    net.E = weight["table"]
    for k, side in enumerate(("Left", "Right")):
        setattr(net, "Wxh_" + side, blocks(weight["w"][k]))
        setattr(net, "Whh_" + side, blocks(weight["r"][k]))
        setattr(net, "bxh_" + side, blocks(weight["b"][k][:4 * size]))
        setattr(net, "bhh_" + side, blocks(weight["b"][k][4 * size:]))
        setattr(net, "Why_" + side, weight["out"][:, k * size:(k + 1) * size])
    return net, weight["bias"]


def main():
    run = bench_run()
    cache = run.CACHE / "models"
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("source", type=Path)
    p.add_argument("--model", type=Path, default=cache / "lstm.onnx")
    p.add_argument("--ids", type=Path, default=cache / "lstm-1-x.npy")
    p.add_argument("--threads", default="1")
    p.add_argument("--rounds", type=int, default=15)
    args = p.parse_args()
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = args.threads
    import numpy as np
    for path in (args.source / "code", args.model, args.ids):
        if not path.exists():
            sys.exit(f"lstm_published.py: {path} is not there; see --help")
    net, bias = published(args.source.resolve(), args.model)
    words = list(np.load(args.ids)[0])
    driver = run.Server([ROOT / "build" / "lrp-driver", args.model, "lstm_arras", args.threads, args.ids],
                        dict(os.environ))

    def explain(target, times):
        start = time.perf_counter()
        for _ in range(times):
            relevance = net.lrp(words, target)
        return (time.perf_counter() - start) / times, relevance
    net.set_input(words)
    target = int(np.argmax(net.forward() + bias))
    ours, theirs = [], []
    with driver, tempfile.TemporaryDirectory() as folder:
        driver.ask("explain 400"), explain(target, 10)
        for _ in range(args.rounds):
            ours.append(driver.ask("explain 400"))
            seconds, relevance = explain(target, 10)
            theirs.append(seconds)
        driver.ask(f"save {folder}/r.npy")
        mine = np.load(f"{folder}/r.npy").reshape(len(words), -1)
    words_of = relevance[0] + relevance[1]
    words_of = words_of.sum(-1) if mine.shape[1] == 1 else words_of
    ratio = sorted(b / a for a, b in zip(ours, theirs))
    print(f"{len(words)} words, {args.threads} thread(s), load {os.getloadavg()[0]:.1f}: published "
          f"{1e3 * statistics.median(theirs):.2f} ms, lrp {1e6 * statistics.median(ours):.1f} us, "
          f"ratio {statistics.median(ratio):.1f} ({ratio[0]:.1f} to {ratio[-1]:.1f})")
    print(f"largest difference, in units of the largest relevance: "
          f"{abs(words_of.ravel() - mine.ravel()).max() / abs(words_of).max():.1e}")


if __name__ == "__main__":
    main()
