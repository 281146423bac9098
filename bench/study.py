"""What the text studies share: calls of the command, tables, results.

Every call explains many texts in one process.  Texts are ordered by their number of tokens, because
lrp builds a graph for each length, and come back in the caller's order.
"""

import argparse
import json
import os
import platform
import subprocess
import tempfile
from pathlib import Path

from tokenizers import Tokenizer

ROOT = Path(__file__).resolve().parent.parent
CHUNK = 400_000  # bytes of operands in one call; systems allow 2 MB


def parser(doc):
    p = argparse.ArgumentParser(description=doc.splitlines()[0])
    p.add_argument("--lrp", type=Path, default=ROOT / "build" / "lrp", help="the command")
    p.add_argument("--results", type=Path, default=ROOT / "bench" / "results")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--seed", type=int, default=1)
    return p


def clinc_minilm():
    """Where examples/train/clinc_minilm.py puts the model."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "lrp" / "clinc-minilm"


def tokenizer(model):
    """That of a model folder; single texts are never padded."""
    t = Tokenizer.from_file(str(Path(model) / "tokenizer.json"))
    t.no_padding()
    return t


def call(args, *words):
    """Run lrp in an empty folder, so that no word of a text is taken for a file."""
    command = [str(args.lrp.resolve()), *map(str, words)]
    with tempfile.TemporaryDirectory() as empty:
        done = subprocess.run(command, cwd=empty, capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(f"{args.lrp} {words[0]}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def explain(args, model, texts, *options):
    """What lrp explain --json says about each text."""
    cut = tokenizer(model)
    order = sorted(range(len(texts)), key=lambda i: len(cut.encode(texts[i]).ids))
    found, chunk, size = [None] * len(texts), [], 0
    for n, i in enumerate(order):
        chunk.append(i)
        size += len(texts[i].encode()) + 9
        if size < CHUNK and n + 1 < len(order):
            continue
        out = json.loads(call(args, "explain", Path(model).resolve(), "--json", "--no-db", "--quiet",
                              "--threads", args.threads, *options, "--", *(texts[j] for j in chunk)))
        for j, one in zip(chunk, out if isinstance(out, list) else [out], strict=True):
            found[j] = one
        chunk, size = [], 0
    return found


def token_scores(explanation):
    return [token["relevance"] for token in explanation["tokens"]]


def table(title, header, rows, note=""):
    """Columns as wide as needed; numbers to the right."""
    text = [[cell if isinstance(cell, str) else f"{cell:.4g}" for cell in row] for row in rows]
    width = [max(len(row[i]) for row in [header, *text]) for i in range(len(header))]
    print(f"\n{title}\n")
    for row in [header, ["-" * w for w in width], *text]:
        print("  " + "  ".join(c.ljust(w) if i == 0 else c.rjust(w)
                               for i, (c, w) in enumerate(zip(row, width))).rstrip())
    if note:
        print(f"\n  {note}")
    print(flush=True)


def save(args, name, result):
    """bench/results/NAME.json, with what it was measured with."""
    version = call(args, "--version").decode().splitlines()[0]
    args.results.mkdir(parents=True, exist_ok=True)
    path = args.results / f"{name}.json"
    result = {"lrp": version, "machine": f"{platform.machine()}, {os.cpu_count()} processors",
              "threads": args.threads, "seed": args.seed, **result}
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"  written to {path}")
