#!/usr/bin/env python3
"""The tables of bench/README.md and README.md, from what bench/run wrote: table.py [RESULTS.json]"""

import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PRECISIONS = ("bf16x3", "bf16")
BEGIN, END = "<!-- table.py: begin -->", "<!-- table.py: end -->"


def span(s, digits=1):
    if s["median"] < 10:
        digits += 1
    if s["min"] == s["max"]:
        return f"{s['median']:.{digits}f}"
    return f"{s['median']:.{digits}f} ({s['min']:.{digits}f} to {s['max']:.{digits}f})"


def rows(head, lines):
    return ["| " + " | ".join(r) + " |" for r in [head, ["---"] * len(head), *lines]]


def put(page, lines):
    old = page.read_text()
    before, mark, rest = old.partition(BEGIN)
    if not mark:
        sys.exit(f"{page.name}: \"{BEGIN}\" was expected where the table belongs")
    page.write_text(f"{before}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{rest.partition(END)[2]}")


def described(d):
    m = d["machine"]
    loads = [x for t in ("rounds", "cold", "methods") for e in d[t] for x in e["load"]]
    quiet = max(loads, default=0) < m["processors"] + 1
    return (f"{m['cpu']}, {m['processors']} processors, load {min(loads, default=0):.1f} to "
            f"{max(loads, default=0):.1f}"
            + ("." if quiet else ": others were at work; only ratios mean something, those of "
               "processor time most."))


def passes(r, key="passes"):
    """By the clock; by processor time where others were at work."""
    busy = max(r["load"]) > r["threads"] + 1.5
    return span((r["processor"] if busy else r)[key]) + (" *" if busy else "")


def whose(r):
    return f"{r['peer']} {r['asked']}"


def full(d):
    yield described(d) + (" Ratios are peer / lrp of one round: median (least to most); those to "
                          "the own forward pass are by processor time where a * stands.")
    yield ""
    yield from rows(
        ["case", "batch", "threads", "rounds", "peer", "lrp s", "time ratio", "processor time ratio",
         "forward ratio", "lrp / own forward", "peer / own forward", "memory MiB", "max difference"],
        [[r["case"], str(r["batch"]), str(r["threads"]), str(r["rounds"]), whose(r),
          f"{r['seconds']['explain']['median']:.4f}", span(r["ratio"]),
          span(r["processor"]["ratio"]), span(r["ratio_forward"]),
          passes(r), passes(r, "peer_passes"),
          f"{r['peak_kib'] / 1024:.0f} : {r['peer_peak_kib'] / 1024:.0f}",
          f"{r['difference']['of_largest']:.1e}"] for r in d["rounds"]])
    yield from ["", "The whole process, from start to a written explanation:", ""]
    yield from rows(
        ["case", "rounds", "peer", "lrp s", "peer s", "ratio"],
        [[r["case"], str(r["rounds"]), whose(r), f"{r['seconds']['lrp']['median']:.3f}",
          f"{r['seconds']['peer']['median']:.1f}", span(r["ratio"], 0)] for r in d["cold"]])
    yield from ["", "One explanation of one input, in units of the same program's forward pass; "
                "\"of\" is how many of the usual samples were measured, where that is fewer:", ""]
    yield from rows(
        ["model", "program", "method", "samples", "of", "rounds", "forward passes", "s"],
        [[r["model"], r["program"], r["method"], str(r["samples"] or ""),
          str(r["samples_measured"]) if r["samples_measured"] != r["samples"] else "",
          str(r["rounds"]), passes(r), f"{r['seconds']['explain']['median']:.3f}"]
         for r in d["methods"]])
    for f in d["failed"]:
        name = " ".join(str(v) for k, v in f.items() if k not in ("why", "table"))
        yield f"\nNot measured: {name}: {f['why']}"


def precisions(path):
    """Of the files beside this one, for lrp in another precision."""
    lines = []
    for p in PRECISIONS:
        other = path.with_name(f"{p}.json")
        d = json.loads(other.read_text()) if other.exists() else {"rounds": []}
        lines += [[p, r["case"], str(r["batch"]), str(r["threads"]), str(r["rounds"]), whose(r),
                   f"{r['processor']['seconds']['explain']['median']:.2f}", span(r["ratio"]),
                   span(r["processor"]["ratio"]), passes(r), f"{r['difference']['of_largest']:.1e}",
                   d["machine"]["cpu"], f"{min(r['load']):.1f} to {max(r['load']):.1f}"]
                  for r in sorted(d["rounds"], key=lambda r: (r["case"], r["batch"]))]
    if lines:
        yield from ["", "lrp in another precision (the peer in f32):", ""]
        yield from rows(["precision", "case", "batch", "threads", "rounds", "peer", "lrp processor s",
                         "time ratio", "processor time ratio", "lrp / own forward", "max difference",
                         "processor", "load"], lines)


def roofline(path, d):
    """What oneDNN's products leave to gain, from what bench/roofline.py wrote."""
    if not path.exists():
        return
    r = json.loads(path.read_text())
    ratio = {(e["case"], e["batch"]): e["ratio"]["median"] for e in d["rounds"]}
    lines = []
    for c in r["cases"]:
        now, least = ratio.get((c["case"], c["batch"])), c["operations"] / r["peak"]
        lines.append([c["case"], str(c["batch"]), f"{c['seconds']:.3f}", f"{c['product_seconds'] / c['seconds']:.0%}",
                      f"{c['operations'] / 1e9:.1f}", f"{c['operations'] / c['product_seconds'] / 1e9:.0f}",
                      f"{c['operations'] / c['product_seconds'] / r['peak']:.0%}",
                      *([f"{now:.2f}", f"{now * c['seconds'] / c['product_seconds']:.2f}",
                         f"{now * c['seconds'] / least:.2f}"] if now else ["", "", ""])])
    yield from ["", f"How near oneDNN's products come to the processor's peak, {r['peak'] / 1e9:.0f} GFLOP/s of one "
                "core for a product of 512 x 8192 x 8192 (`bench/roofline.py`, one thread), and what ratio to the peer "
                "there would be if all else cost nothing, and if products ran at that peak, too; Winograd's products "
                "are lrp's own and count as the rest:", ""]
    yield from rows(["case", "batch", "lrp s", "products", "GFLOP", "GFLOP/s", "of the peak", "ratio now",
                     "products alone", "at the peak"], lines)


def short(d):
    yield from rows(
        ["model and rule", "batch", "threads", "peer", "time, peer : lrp",
         "processor time, peer : lrp", "lrp in own forward passes", "memory, lrp : peer"],
        [[r["case"], str(r["batch"]), str(r["threads"]), whose(r), f"{r['ratio']['median']:.1f}",
          f"{r['processor']['ratio']['median']:.1f}",
          passes(r).split(" ")[0], f"1 : {r['peer_peak_kib'] / r['peak_kib']:.1f}"]
         for r in d["rounds"]])
    yield ""
    yield described(d) + " Forward passes are by processor time where others were at work."


def main():
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "results" / "peers.json"
    d = json.loads(path.read_text())
    for t in ("rounds", "cold", "methods"):
        d[t].sort(key=lambda e: (e.get("case", ""), e["model"], e.get("batch", 0)))
    put(HERE / "README.md", [*full(d), *precisions(path), *roofline(path.with_name("roofline.json"), d)])
    put(HERE.parent / "README.md", list(short(d)))


if __name__ == "__main__":
    main()
