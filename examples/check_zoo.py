#!/usr/bin/env python3
"""check_zoo.py [--cache DIR] [--lrp FILE] [--double FILE] [--nets A,B] [--json FILE] - lrp and its peers on export_zoo.py's nets.

For each file: does `lrp model check` find a rule for every node, and how many seconds of a processor does it take (least of
three); how far are outputs from onnxruntime's (in units of the largest one); how far is EpsilonPlus from zennit's in double precision (sum of
differences over sum of magnitudes), beside how far zennit in single precision is from itself.  --double is an lrp built
--with-real=double: it is compared too, on the form that keeps batch norms (ts17k) if that is there, since the exporters fold
them in single precision.  Results so far in --json FILE are kept; --load measures times alone.

check_zoo.py --table FILE prints them, the worst of each net.

needs: pip install onnx onnxruntime zennit, and what export_zoo.py needs
"""
import argparse
import collections
import importlib.metadata as metadata
import json
import os
import pathlib
import resource
import subprocess


def distance(have, want):
    return float(abs(have.reshape(want.shape) - want).sum() / abs(want).sum())


def lrp(program, *words):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([program, *words], capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done.returncode, done.stderr, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def explained(program, folder, target):
    import numpy
    out = folder / "lrp.npy"
    code, error, _ = lrp(program, "explain", str(folder), str(folder / "input.npy"), "--rules", "epsilon_plus", "--target",
                         str(target), "--no-db", "-o", str(out), "-q", "--threads", "1")
    if code:
        raise RuntimeError(error.splitlines()[0])
    return numpy.load(out)


def peer_output(folder):
    import numpy
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: numpy.load(folder / "input.npy")})[0]


def peer_relevance(name, target, dtype):
    import export_zoo
    import zoo_peers
    net, x = export_zoo.make(name)
    return zoo_peers.relevance(name, net.to(dtype), x.to(dtype), target)


class Peers:
    """zennit's relevance, computed once for a net and a class."""

    def __init__(self):
        self.known = {}

    def __call__(self, name, target):
        import torch
        if (name, target) not in self.known:
            self.known[name, target] = [peer_relevance(name, target, t) for t in (torch.float64, torch.float32)]
        return self.known[name, target]


def load(a, folder, size):
    trials = [lrp(a.lrp, "model", "check", str(folder)) for _ in range(3)]
    seconds = min(t[2] for t in trials)
    return {"check": trials[0][0], "load_s": round(seconds, 4), "load_ms_per_mb": round(1000 * seconds / size, 2)}


def compare(a, folder, name, form, peers):
    import numpy
    import onnx
    import zoo_peers
    model = onnx.load(folder / "model.onnx", load_external_data=False)
    size = sum(f.stat().st_size for f in folder.glob("model.onnx*")) / 1e6
    row = {"net": name, "form": form, "exporter": "TorchScript" if form.startswith("ts") else "dynamo",
           "opset": max(o.version for o in model.opset_import if o.domain in ("", "ai.onnx")),
           "nodes": len(model.graph.node), "mb": round(size, 3)}
    row.update(load(a, folder, size))
    out = folder / "lrp.npy"
    code, error, _ = lrp(a.lrp, "forward", str(folder), str(folder / "input.npy"), "-o", str(out), "-q", "--threads", "1")
    if code:
        return {**row, "error": error.splitlines()[0]}
    want = peer_output(folder)
    row["output"] = float(abs(numpy.load(out).reshape(want.shape) - want).max() / abs(want).max())
    if name in zoo_peers.NONE:
        return {**row, "no_peer": zoo_peers.NONE[name]}
    peer, single = peers(name, int(want.argmax()))
    row["zennit"] = distance(explained(a.lrp, folder, int(want.argmax())), peer)
    row["zennit_single"] = distance(single, peer)
    kept = folder.parent / f"{name}-ts17k"
    if a.double and (form == "ts17k" or not (kept / "model.onnx").exists()):
        row["zennit_double"] = distance(explained(a.double, folder, int(want.argmax())), peer)
    return row


def forms_of(cache, name):
    return sorted(f.parent.name.removeprefix(name + "-") for f in cache.glob(f"{name}-*/model.onnx"))


def run(a):
    import export_zoo
    import torch
    torch.set_num_threads(1)
    rows = json.load(open(a.json))["rows"] if a.json and os.path.exists(a.json) else []
    for name in a.nets.split(",") if a.nets else export_zoo.NETS:
        peers = Peers()
        for form in forms_of(pathlib.Path(a.cache), name):
            folder = pathlib.Path(a.cache) / f"{name}-{form}"
            known = [r for r in rows if (r["net"], r["form"]) == (name, form)] if a.load else []
            row = {**known[0], **load(a, folder, known[0]["mb"])} if known else compare(a, folder, name, form, peers)
            print(json.dumps(row), flush=True)
            rows = [r for r in rows if (r["net"], r["form"]) != (name, form)] + [row]
            if a.json:
                save(a.json, rows)


def save(path, rows):
    import export_zoo
    order = [*export_zoo.NETS, *export_zoo.WHOLE]
    rows = sorted(rows, key=lambda r: (order.index(r["net"]), r["form"]))
    packages = {name: metadata.version(name) for name in ("torch", "torchvision", "zennit", "onnxruntime")}
    with open(path, "w") as file:
        file.write('{"packages": ' + json.dumps(packages) + ',\n"rows": [\n')
        file.write(",\n".join(json.dumps(r) for r in rows) + "\n]}\n")


def worst(rows, key):
    values = [r[key] for r in rows if key in r]
    return f"{max(values):.1e}" if values else "-"


def table(path):
    nets = collections.defaultdict(list)
    for row in json.load(open(path))["rows"]:
        nets[row["net"]].append(row)
    print("| net | files | output | EpsilonPlus | zennit, single | lrp, double | MB | nodes | load, s | ms/MB |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name, rows in nets.items():
        seconds = [r["load_s"] for r in rows]
        print(f"| {name} | {len(rows)} | {worst(rows, 'output')} | {worst(rows, 'zennit')} | {worst(rows, 'zennit_single')} | "
              f"{worst(rows, 'zennit_double')} | {max(r['mb'] for r in rows):.1f} | "
              f"{min(r['nodes'] for r in rows)} to {max(r['nodes'] for r in rows)} | {min(seconds):.2f} to {max(seconds):.2f} | "
              f"{max(r['load_ms_per_mb'] for r in rows):.1f} |")


def main():
    cache = os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache"))
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--cache", default=os.path.join(cache, "lrp-zoo"))
    p.add_argument("--lrp", default="lrp")
    p.add_argument("--double")
    p.add_argument("--nets")
    p.add_argument("--json")
    p.add_argument("--load", action="store_true")
    p.add_argument("--table")
    a = p.parse_args()
    if a.table:
        table(a.table)
    else:
        run(a)


if __name__ == "__main__":
    main()
