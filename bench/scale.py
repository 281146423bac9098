#!/usr/bin/env python3
"""Cost and memory of lrp as functions of depth, width, text length and number of inputs.

    bench/scale.py [--only CURVE,...] [--texts N] [--seconds S] [--threads N]

Needs the environment of bench/run (made there at first use) for writing models; measures lrp alone.
Writes bench/results/scale.json (curves that were not asked for stay) and scale.svg.  Each point is
a process of its own: the median of several rounds, and the most that was resident.  All
times are processor time, of one thread unless --threads says more: other jobs on the machine hardly
change it.  --seconds bounds the rounds of one point; three are the least.
"""

import argparse
import importlib.machinery
import importlib.util
import json
import os
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "scale.json"
MLP = "epsilon_plus"

# name: what grows, the fixed rest, rules, points
CURVES = {
    "depth": ("dense layers with ReLU", "width 512, batch 8", MLP, (1, 2, 4, 8, 16, 32, 64, 128, 256)),
    "width": ("units of a layer", "8 dense layers with ReLU, batch 8", MLP,
              (64, 128, 256, 512, 1024, 2048, 4096)),
    "transformer": ("tokens of a text", "BERT of 2 layers, width 128, 2 heads", "lxt_attnlrp",
                    (16, 64, 256, 512, 1024, 2048, 4096)),
    "lstm": ("tokens of a text", "bidirectional LSTM, 60 units", "lstm_arras",
             (16, 64, 256, 1024, 4096)),
}
TEXTS = ("texts explained", "spam-textcnn, --file, into the database")


def bench_run():
    loader = importlib.machinery.SourceFileLoader("bench_run", str(HERE / "run"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("bench_run", loader))
    loader.exec_module(module)
    return module


# ---- models: run by the environment's Python, as `scale.py build FOLDER CURVE X` ----

def write_mlp(path, depth, width):
    import numpy as np
    from onnx import TensorProto as T, helper as h, numpy_helper, save
    rng = np.random.default_rng(0)
    nodes, weights, last = [], [], "x"
    for i in range(depth):
        w = rng.standard_normal((width, width)) * (2 / width) ** 0.5
        weights.append(numpy_helper.from_array(w.astype("f4"), f"w{i}"))
        nodes += [h.make_node("Gemm", [last, f"w{i}"], [f"z{i}"], transB=1),
                  h.make_node("Relu", [f"z{i}"], [f"a{i}"])]
        last = f"a{i}"
    weights.append(numpy_helper.from_array(rng.standard_normal((10, width)).astype("f4"), "out"))
    nodes.append(h.make_node("Gemm", [last, "out"], ["y"], transB=1))
    graph = h.make_graph(nodes, "mlp", [h.make_tensor_value_info("x", T.FLOAT, ["n", width])],
                         [h.make_tensor_value_info("y", T.FLOAT, ["n", 10])], weights)
    save(h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8), path)
    return [rng.standard_normal((8, width)).astype("f4")]


def write_transformer(path, tokens):
    import numpy as np
    import torch
    import cases
    cases.import_torchvision()
    from transformers.models.bert import modeling_bert
    longest = CURVES["transformer"][3][-1]
    if not path.exists():
        torch.manual_seed(0)
        net = cases.bert_class()(hidden_size=128, num_hidden_layers=2, num_attention_heads=2,
                                 intermediate_size=512, vocab_size=2000,
                                 max_position_embeddings=longest).eval()
        ids = torch.randint(5, 2000, (2, 16))
        axes = {0: torch.export.Dim("n", min=1), 1: torch.export.Dim("t", min=1)}
        torch.onnx.export(net, (ids, torch.ones_like(ids)), path, dynamo=True, external_data=False,
                          dynamic_shapes=(axes, axes), input_names=["ids", "mask"],
                          output_names=["y"], opset_version=18)
    ids = np.random.default_rng(1).integers(5, 2000, (1, tokens))
    return [ids, np.ones_like(ids)]


def build(folder, curve, x):
    import numpy as np
    import cases
    path = folder / (f"{curve}.onnx" if curve in ("transformer", "lstm") else f"{curve}-{x}.onnx")
    if curve == "depth":
        arrays = write_mlp(path, x, 512)
    elif curve == "width":
        arrays = write_mlp(path, 8, x)
    elif curve == "lstm":
        cases.write_lstm(path)
        arrays = [np.random.default_rng(1).integers(5, 2000, (1, x))]
    else:
        arrays = write_transformer(path, x)
    names = [str(path)]
    for i, a in enumerate(arrays):
        names.append(str(folder / f"{curve}-{x}-{i}.npy"))
        np.save(names[-1], a)
    print(*names, sep="\n")


# ---- measuring ----

def point(args, run, env, python, curve, x):
    out = subprocess.run([python, __file__, "build", args.folder, curve, str(x)], check=True,
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    model, *inputs = out.stdout.split("\n")[:-1][-3 if curve == "transformer" else -2:]
    forward, explain = [], []
    with run.Server([str(args.build / "lrp-driver"), model, CURVES[curve][2], str(args.threads),
                     *inputs], env) as server:
        start = time.perf_counter()
        for i in range(args.rounds + 1):
            for what, into in (("forward", forward), ("explain", explain)):
                server.ask(what)
                if i:
                    into.append(server.busy)
            if i > 2 and time.perf_counter() - start > args.seconds:
                break
        kib = server.ask("memory")
    if curve in ("depth", "width"):
        Path(model).unlink()
    return {"x": x, "rounds": len(explain), "forward": statistics.median(forward),
            "explain": statistics.median(explain), "kib": int(kib)}


def busy(pid):
    """Processor seconds so far."""
    ticks = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def resident(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    return 0


def write_texts(path, n):
    words = sorted({w for line in (HERE.parent / "examples" / "data" / "messages.tsv").open()
                    for w in line.split("\t")[-1].split()})
    rng = random.Random(0)
    with path.open("w") as f:
        for i in range(n):
            print(i, *rng.choices(words, k=rng.randint(4, 14)), file=f)


def done(db):
    try:
        with sqlite3.connect(f"file:{db}?mode=ro", uri=True, timeout=1) as c:
            return c.execute("SELECT max(explanation_id) FROM explanation").fetchone()[0] or 0
    except sqlite3.Error:
        return None


def texts(args, env):
    """Samples of one long job: how many are done, when, and what is resident."""
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        path, db = Path(folder) / "texts.txt", Path(folder) / "texts.db"
        write_texts(path, args.texts)
        start, samples = time.perf_counter(), []
        p = subprocess.Popen([str(args.build / "lrp"), "explain",
                              str(HERE.parent / "examples" / "models" / "spam-textcnn"), "--file",
                              str(path), "--db", str(db), "-q", "--threads", str(args.threads)],
                             env=env, stdout=subprocess.DEVNULL)
        while p.poll() is None:
            time.sleep(args.every)
            try:
                n, kib, spent = done(db), resident(p.pid), busy(p.pid)
            except (FileNotFoundError, ProcessLookupError):
                break
            if n and kib:
                samples.append({"x": n, "seconds": time.perf_counter() - start, "busy": spent,
                                "kib": kib})
        if p.wait():
            sys.exit(f"lrp explain --file ended with status {p.returncode}")
        total = time.perf_counter() - start
        return {"n": args.texts, "seconds": total, "database_bytes": db.stat().st_size,
                "samples": samples}


# ---- picture ----

class Panel:
    W, H, LEFT, TOP = 300, 170, 62, 30

    def __init__(self, title, x_name, y_name, lines, log=True):
        self.title, self.x_name, self.y_name, self.log = title, x_name, y_name, log
        self.lines = lines  # name, colour, points
        xs = [x for _, _, p in lines for x, _ in p]
        ys = [y for _, _, p in lines for _, y in p]
        self.x0, self.x1 = min(xs) if log else 0, max(xs)
        self.y0, self.y1 = (min(ys), max(ys)) if log else (0, 1.15 * max(ys))
        if log:
            self.y0, self.y1 = self.y0 / 1.5, self.y1 * 1.5

    def at(self, v, lo, hi):
        from math import log
        return (log(v / lo) / log(hi / lo) if self.log else (v - lo) / (hi - lo)) if hi > lo else 0.5

    def xy(self, x, y):
        return (self.LEFT + self.W * self.at(x, self.x0, self.x1),
                self.TOP + self.H * (1 - self.at(y, self.y0, self.y1)))

    def ticks(self, lo, hi):
        if not self.log:
            step = next(s for k in range(-3, 9) for s in (10.0 ** k, 2 * 10.0 ** k, 5 * 10.0 ** k)
                        if hi / s <= 6)
            return [k * step for k in range(int(hi / step) + 1)]
        t = [10.0 ** k for k in range(-9, 12) if lo <= 10.0 ** k <= hi]
        return t if len(t) > 1 else [m * 10.0 ** k for k in range(-9, 12) for m in (1, 2, 5)
                                     if lo <= m * 10.0 ** k <= hi]

    def draw(self, dx, dy):
        out = [f'<g transform="translate({dx},{dy})">',
               f'<text x="{self.LEFT}" y="18" font-weight="bold">{self.title}</text>',
               f'<rect x="{self.LEFT}" y="{self.TOP}" width="{self.W}" height="{self.H}" '
               'fill="none" stroke="#888"/>']
        for v in self.ticks(self.y0, self.y1):
            y = self.xy(self.x1, v)[1]
            out += [f'<path d="M{self.LEFT} {y:.1f}h{self.W}" stroke="#ddd"/>',
                    f'<text x="{self.LEFT - 4}" y="{y + 4:.1f}" text-anchor="end">{v:g}</text>']
        for v in ([p[0] for p in self.lines[0][2]] if self.log else self.ticks(self.x0, self.x1)):
            x = self.xy(v, self.y1)[0]
            out.append(f'<text x="{x:.1f}" y="{self.TOP + self.H + 14}" text-anchor="middle">'
                       f'{round(v)}</text>')
        out += [f'<text x="{self.LEFT + self.W / 2}" y="{self.TOP + self.H + 29}" '
                f'text-anchor="middle">{self.x_name}</text>',
                f'<text x="12" y="{self.TOP + self.H / 2}" text-anchor="middle" '
                f'transform="rotate(-90 12 {self.TOP + self.H / 2})">{self.y_name}</text>']
        for i, (name, colour, points) in enumerate(self.lines):
            path = " ".join("{:.1f},{:.1f}".format(*self.xy(*p)) for p in points)
            out += [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.6"/>',
                    f'<text x="{self.LEFT + 8}" y="{self.TOP + 15 + 14 * i}" fill="{colour}">'
                    f'{name}</text>']
            out += ['<circle cx="{:.1f}" cy="{:.1f}" r="2.2" fill="{}"/>'.format(*self.xy(*p), colour)
                    for p in (points if self.log else [])]
        return out + ["</g>"]


def panels(d):
    for name, (grows, rest, rules, _) in CURVES.items():
        points = d["curves"].get(name, {}).get("points")
        if not points:
            continue
        yield Panel(f"{name}: {rest}", grows, "processor ms", [
            (f"explanation ({rules})", "#b30000", [(p["x"], 1e3 * p["explain"]) for p in points]),
            ("forward pass", "#00539c", [(p["x"], 1e3 * p["forward"]) for p in points])])
        yield Panel(f"{name}: most memory", grows, "MiB", [
            ("resident, model with it", "#444", [(p["x"], p["kib"] / 1024) for p in points])])
    t = d["curves"].get("texts")
    if t:
        s = t["samples"]
        yield Panel(f"texts: {TEXTS[1]}", TEXTS[0], "s", [
            ("processor time since the start", "#b30000", [(p["x"], p["busy"]) for p in s])], log=False)
        yield Panel("texts: memory at that time", TEXTS[0], "MiB", [
            ("resident", "#444", [(p["x"], p["kib"] / 1024) for p in s])], log=False)


def picture(d, path):
    all_panels = list(panels(d))
    wide, high = 410, 250
    rows = (len(all_panels) + 1) // 2
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{2 * wide}" height="{rows * high}" '
           'font-family="sans-serif" font-size="11">',
           f'<rect width="{2 * wide}" height="{rows * high}" fill="#fff"/>']
    for i, p in enumerate(all_panels):
        out += p.draw(i % 2 * wide, i // 2 * high)
    path.write_text("\n".join(out + ["</svg>"]) + "\n")


def main():
    run = bench_run()
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--build", type=Path, default=HERE.parent / "build")
    p.add_argument("--cache", type=Path, default=run.CACHE)
    p.add_argument("--only", help="curves, with commas between: " + ", ".join([*CURVES, "texts"]))
    p.add_argument("--texts", type=int, default=1000000)
    p.add_argument("--every", type=float, default=2, help="seconds between samples of texts")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--seconds", type=float, default=10)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--draw", action="store_true", help="only draw again what was measured")
    args = p.parse_args()
    if args.draw:
        picture(json.loads(RESULTS.read_text()), RESULTS.with_suffix(".svg"))
        return
    args.folder = args.cache / "scale"
    args.folder.mkdir(parents=True, exist_ok=True)
    names = args.only.split(",") if args.only else [*CURVES, "texts"]
    if set(names) - {*CURVES, "texts"}:
        sys.exit(f"scale.py: {args.only}: of these was expected: {', '.join([*CURVES, 'texts'])}")
    python = run.venv_of(args.cache)
    subprocess.run(["make", "-s", "-C", args.build, "lrp", "lrp-driver"], check=True)
    env = dict(os.environ, OMP_NUM_THREADS=str(args.threads))
    for name in names:
        load = os.getloadavg()[0]
        if name == "texts":
            curve = texts(args, env)
        else:
            curve = {"points": []}
            for x in CURVES[name][3]:
                curve["points"].append(point(args, run, env, python, name, x))
                print(name, curve["points"][-1], flush=True)
        curve |= {"threads": args.threads, "load": [load, os.getloadavg()[0]]}
        d = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        d = {"machine": run.machine(), "curves": d["curves"] if run.is_here(d) else {}}
        d["curves"][name] = curve
        RESULTS.write_text(json.dumps(d, indent=1) + "\n")
        picture(d, RESULTS.with_suffix(".svg"))


if __name__ == "__main__":
    if sys.argv[1:2] == ["build"]:
        sys.path.insert(0, str(HERE))
        build(Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
    else:
        main()
