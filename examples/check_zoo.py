#!/usr/bin/env python3
"""check_zoo.py [--cache DIR] [--lrp FILE] [--nets A,B] - compares lrp with its peers on the networks of export_zoo.py.

For each: does `lrp model check` find a rule for every node; how far are outputs from onnxruntime's (in units of the largest
one); how far is EpsilonPlus from zennit's, in double precision (sum of differences over sum of magnitudes), where zennit
gives the right answer: not where a residual sum or a batch norm before a convolution is out of its reach.

needs: pip install onnxruntime zennit, and what export_zoo.py needs
"""
import argparse
import os
import pathlib
import subprocess
import time

import numpy
import onnxruntime
import torch
from zennit.attribution import Gradient
from zennit.canonizers import SequentialMergeBatchNorm
from zennit.composites import EpsilonPlus
from zennit.torchvision import ResNetCanonizer

import export_zoo

CANONIZERS = {
    "vgg16": [],
    "resnet50": [ResNetCanonizer()],
    "squeezenet": [],
    "googlenet": [SequentialMergeBatchNorm()],
    "audio1d": [SequentialMergeBatchNorm()],
}


def lrp(program, *words):
    start = time.time()
    done = subprocess.run([program, *words], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr, time.time() - start


def peer_output(folder):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: numpy.load(folder / "input.npy")})[0]


def peer_relevance(name, target, dtype):
    net, x = export_zoo.make(name)
    net, x = net.to(dtype), x.to(dtype)
    if hasattr(net, "scores"):  # what goes into the log-softmax is explained
        net.forward = lambda v: net.scores(v).squeeze(1)
    with Gradient(net, EpsilonPlus(canonizers=CANONIZERS[name])) as attributor:
        _, relevance = attributor(x, lambda y: y * torch.eye(y.shape[1], dtype=y.dtype)[[target]])
    return relevance.numpy()


def distance(have, want):
    return numpy.abs(have.reshape(want.shape) - want).sum() / numpy.abs(want).sum()


def compare(program, folder, name, relevances):
    code, _, _, seconds = lrp(program, "model", "check", str(folder))
    line = [f"{folder.name:22}", f"{'ok' if code == 0 else 'exit ' + str(code):7}", f"{seconds:5.2f} s"]
    out = folder / "lrp.npy"
    code, _, error, _ = lrp(program, "forward", str(folder), str(folder / "input.npy"), "-o", str(out), "-q", "--threads", "1")
    if code:
        return line + [error.splitlines()[0]]
    want, have = peer_output(folder), numpy.load(out)
    line.append(f"output {numpy.abs(have - want).max() / numpy.abs(want).max():.1e}")
    if name in CANONIZERS:
        target = int(want.argmax())
        if (name, target) not in relevances:
            relevances[name, target] = [peer_relevance(name, target, t) for t in (torch.float64, torch.float32)]
        peer, single = relevances[name, target]
        code, _, error, _ = lrp(program, "explain", str(folder), str(folder / "input.npy"), "--rules", "epsilon_plus", "--target",
                                str(target), "--no-db", "-o", str(out), "-q", "--threads", "1")
        line.append(error.splitlines()[0] if code else
                    f"EpsilonPlus {distance(numpy.load(out), peer):.1e} (zennit in single precision {distance(single, peer):.1e})")
    return line


def main():
    cache = os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache"))
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--cache", default=os.path.join(cache, "lrp-zoo"))
    p.add_argument("--lrp", default="lrp")
    p.add_argument("--nets", default=",".join(export_zoo.NETS))
    a = p.parse_args()
    torch.set_num_threads(1)
    relevances = {}
    for name in a.nets.split(","):
        for folder in sorted(pathlib.Path(a.cache).glob(name + "-*")):
            print("  ".join(compare(a.lrp, folder, name, relevances)), flush=True)


if __name__ == "__main__":
    main()
