#!/usr/bin/env python3
"""How near oneDNN's products and convolutions in an explanation come to what this processor can do.

    bench/roofline.py [--only CASE:BATCH,...] [--explanations N] [--cache FOLDER]

Winograd's products are lrp's own and not among them, so this says little of VGG-16.

Runs lrp-driver with one thread and asks oneDNN for the time and the shape of each of its operations.  The peak is
what the product of a dense layer of 8192 units with 512 rows reaches here, the best of several.  Writes
bench/results/roofline.json, where the largest groups of products are, too, and the table of README.md.  Wants the
environment and the models of bench/run.  Other jobs on the machine make products slower: measure when it is quiet.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

from scale import bench_run

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "roofline.json"
CASES = "resnet50-plus:8,bert-attnlrp:1,bert-attnlrp:8"
ROWS, WIDTH, GROUPS = 512, 8192, 12


def operations(kind, shape):
    """Floating point operations of one call; padding counts as if it were data."""
    if kind == "matmul":
        a, b, _ = ([int(n) for n in part.split("x")] for part in shape.split(":"))
        n = 2 * b[-1]
        for size in a:
            n *= size
        return n
    if kind == "convolution":
        size = {k: int(v) for k, v in re.findall(r"(g|mb|ic|oc|oh|ow|kh|kw)(\d+)", shape)}
        out = size["oh"] * size.get("ow", size["oh"])
        kernel = size["kh"] * size.get("kw", size["kh"])
        return 2 * size["mb"] * size["oc"] * out * size["ic"] // size.get("g", 1) * kernel
    return 0


def driven(driver, requests):
    """What oneDNN told of each request but the first two, where weights are laid out anew; their processor seconds."""
    env = dict(os.environ, OMP_NUM_THREADS="1", DNNL_VERBOSE="1")
    out = subprocess.run(driver, input="\n".join(requests) + "\n", env=env, stdout=subprocess.PIPE, text=True,
                         check=True)
    groups, seconds, answers = defaultdict(list), [], 0
    for line in out.stdout.splitlines():
        part = line.split(",")
        if part[:2] == ["onednn_verbose", "exec"]:
            if answers > 2:  # the first line tells that the model is ready
                groups[part[3], part[4], part[-2]].append(float(part[-1]) / 1e3)
        elif not line.startswith("onednn_verbose"):
            answers += 1
            seconds.append(float(line.split()[-1]))
    return groups, sorted(seconds[3:])


def peak(args, python):
    scale = args.cache / "scale"
    scale.mkdir(parents=True, exist_ok=True)
    code = ("import sys; from pathlib import Path; import numpy as np, scale; "
            "rows, width = map(int, sys.argv[3:]); scale.write_mlp(Path(sys.argv[1]), 1, width); "
            "np.save(sys.argv[2], np.random.default_rng(0).standard_normal((rows, width)).astype('f4'))")
    files = [scale / "peak.onnx", scale / "peak.npy"]
    subprocess.run([python, "-c", code, *files, str(ROWS), str(WIDTH)], check=True, cwd=HERE)
    groups, _ = driven([args.build / "lrp-driver", files[0], "epsilon", "1", files[1]], ["forward"] * 6)
    for f in files:
        f.unlink()
    return max(operations(kind, shape) / min(times) for (kind, _, shape), times in groups.items())


def measure(args, case, batch):
    import cases
    model, rules, *_ = cases.CASES[case]
    driver = [args.build / "lrp-driver", cases.model_path(args.models, model), rules, "1",
              *cases.input_paths(args.models, model, batch)]
    groups, seconds = driven(driver, ["explain"] * (args.explanations + 2))
    n = args.explanations
    told = sorted(({"operation": kind, "implementation": how, "shape": shape, "calls": len(times) / n,
                    "seconds": sum(times) / n, "operations": operations(kind, shape) * len(times) / n}
                   for (kind, how, shape), times in groups.items()), key=lambda g: -g["seconds"])
    products = [g for g in told if g["operations"]]
    return {"case": case, "batch": batch, "explanations": n, "seconds": seconds[len(seconds) // 2],
            "product_seconds": sum(g["seconds"] for g in products),
            "operations": sum(g["operations"] for g in products), "groups": told[:GROUPS], "load": os.getloadavg()[0]}


def main():
    run = bench_run()
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--build", type=Path, default=HERE.parent / "build")
    p.add_argument("--cache", type=Path, default=run.CACHE)
    p.add_argument("--only", default=CASES)
    p.add_argument("--explanations", type=int, default=5)
    args = p.parse_args()
    args.models = args.cache / "models"
    python = run.venv_of(args.cache)
    subprocess.run(["make", "-s", "-C", args.build, "lrp-driver"], check=True)
    d = {"machine": run.machine(), "peak": peak(args, python), "cases": []}
    for name in args.only.split(","):
        case, _, batch = name.partition(":")
        d["cases"].append(c := measure(args, case, int(batch or 1)))
        print(f"{case} {batch}: {c['seconds']:.3f} s, products {c['product_seconds'] / c['seconds']:.0%} at "
              f"{c['operations'] / c['product_seconds'] / d['peak']:.0%} of {d['peak'] / 1e9:.0f} GFLOP/s", flush=True)
    RESULTS.write_text(json.dumps(d, indent=1) + "\n")
    subprocess.run([sys.executable, HERE / "table.py"], check=True)


if __name__ == "__main__":
    main()
