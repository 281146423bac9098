#!/usr/bin/env python3
"""The tables of bench/README.md, from what bench/run wrote: table.py [RESULTS.json]"""

import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
BEGIN, END = "<!-- table.py: begin -->", "<!-- table.py: end -->"


def span(s, digits=1):
    return f"{s['median']:.{digits}f} ({s['min']:.{digits}f} to {s['max']:.{digits}f})"


def rows(head, lines):
    return ["| " + " | ".join(r) + " |" for r in [head, ["---"] * len(head), *lines]]


def main():
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "results" / "peers.json"
    d = json.loads(path.read_text())
    m = d["machine"]
    text = [f"{m['cpu']}, {m['processors']} processors, load {m['load_before']:.1f} before and "
            f"{m['load_after']:.1f} after: above the number of processors others were at work, and "
            "only ratios mean something. Ratios are peer / lrp of one round: median (least to most).", ""]
    text += rows(["case", "batch", "rounds", "peer", "lrp s", "time ratio", "forward ratio",
                  "lrp / own forward", "peer / own forward", "memory MiB", "max difference"],
                 [[r["case"], str(r["batch"]), str(r["rounds"]), f"{r['peer']} {r['asked']}",
                   f"{r['seconds']['explain']['median']:.4f}", span(r["ratio"]),
                   span(r["ratio_forward"], 2), f"{r['passes']['median']:.1f}",
                   f"{r['peer_passes']['median']:.1f}",
                   f"{r['peak_kib'] / 1024:.0f} : {r['peer_peak_kib'] / 1024:.0f}",
                   f"{r['difference']['of_largest']:.1e}"] for r in d["rounds"]])
    text += ["", "The whole process, from start to a written explanation:", ""]
    text += rows(["case", "peer", "lrp s", "peer s", "ratio"],
                 [[r["case"], f"{r['peer']} {r['asked']}", f"{r['seconds']['lrp']['median']:.3f}",
                   f"{r['seconds']['peer']['median']:.1f}", span(r["ratio"], 0)] for r in d["cold"]])
    text += [f"\nNot measured: {f['case']}: {f['why']}" for f in d["failed"]]
    page = HERE / "README.md"
    old = page.read_text()
    before, _, rest = old.partition(BEGIN)
    after = rest.partition(END)[2]
    page.write_text(f"{before}{BEGIN}\n" + "\n".join(text) + f"\n{END}{after}")


if __name__ == "__main__":
    main()
