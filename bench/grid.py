#!/usr/bin/env python3
"""Do explanations point at what they explain?  Four photos of different classes make one picture of
2 x 2 cells; the class of each is explained; measured is the share of the positive relevance that
falls into its own cell.  Chance is 0.25.

    venv/bin/python bench/grid.py [--lrp build/lrp] [--model DIR] [--rules NAME ...] [--check]

The model is a folder written by examples/real_models.py, the photos are those of scikit-image that
the model is sure of.  --check: exit status 1 where a share is below what was measured before
(examples/REAL_MODELS.md), and where the same model exported three ways does not give the same relevance.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import skimage
from PIL import Image

PHOTOS = ["chelsea.png", "coffee.png", "camera.png", "motorcycle_left.png", "rocket.jpg"]
CELL = 112
MARGIN = 16  # of the 256 x 256 picture; the model's crop takes it away
LEAST = {"epsilon_gamma_box": 0.76, "epsilon_plus": 0.70}
SAME = 1e-4


def explain(args, model, picture, *options):
    """What lrp explain --json says; with -o FILE.npy the relevance of the pixels beside it."""
    command = [args.lrp, "explain", model, picture, "--json", "--quiet", "--no-db", *options]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def relevance(args, model, picture, target, rules, folder):
    """Sum over colours, (H,W)."""
    out = folder / "r.npy"
    explain(args, model, picture, "--target", str(target), "--rules", rules, "-o", out)
    return np.load(out)[0].sum(0)


def square(image):
    side = min(image.size)
    left, top = (image.size[0] - side) // 2, (image.size[1] - side) // 2
    return image.convert("RGB").crop((left, top, left + side, top + side))


def grid(images):
    """Cells of 112 pixels inside a border that is the photos' own edge, drawn out."""
    inner = np.zeros((2 * CELL, 2 * CELL, 3), np.uint8)
    for i, image in enumerate(images):
        y, x = divmod(i, 2)
        small = image.resize((CELL, CELL), Image.BICUBIC)
        inner[y * CELL:(y + 1) * CELL, x * CELL:(x + 1) * CELL] = np.asarray(small)
    edge = ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0))
    return Image.fromarray(np.pad(inner, edge, mode="edge"))


def own_share(r, i):
    y, x = divmod(i, 2)
    up = np.maximum(r, 0)
    return up[y * CELL:(y + 1) * CELL, x * CELL:(x + 1) * CELL].sum() / up.sum()


def measure(args, rules, photos, folder):
    """Every four of the photos, each at every place over the four turns of its grid."""
    shares = []
    for four in itertools.combinations(photos, 4):
        for turn in range(args.turns):
            turned = four[turn:] + four[:turn]
            path = folder / "grid.png"
            grid([image for image, _ in turned]).save(path)
            for i, (_, label) in enumerate(turned):
                shares.append(own_share(relevance(args, args.model, path, label, rules, folder), i))
    return np.array(shares)


def differences(args, rules, path, label, folder):
    """Largest difference of the other exports of the model, over the largest relevance."""
    first = relevance(args, args.model, path, label, rules, folder)
    worst = {}
    for name in ("torchscript", "batchnorm"):
        other = args.model.with_name(f"{args.model.name}-{name}")
        if other.exists():
            r = relevance(args, other, path, label, rules, folder)
            worst[other.name] = np.abs(r - first).max() / np.abs(first).max()
    return worst


def main():
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lrp"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lrp", default="build/lrp")
    parser.add_argument("--model", type=Path, default=cache / "lite0")
    parser.add_argument("--rules", nargs="+", default=list(LEAST))
    parser.add_argument("--turns", type=int, default=1, help="of each grid; 4: every place")
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    good = True
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photos = []
        for file in PHOTOS:
            path = folder / f"{file}.png"
            image = square(Image.open(Path(skimage.__file__).parent / "data" / file))
            image.save(path)
            photos.append((image, explain(args, args.model, path)["prediction"]["index"]))
        for rules in args.rules:
            shares = measure(args, rules, photos, folder)
            print(f"{rules:24} mean {shares.mean():.3f}  median {np.median(shares):.3f}  "
                  f"least {shares.min():.3f}  of {len(shares)} explanations")
            good = good and shares.mean() >= LEAST.get(rules, 0)
            for other, worst in differences(args, rules, folder / "coffee.png.png", photos[1][1],
                                            folder).items():
                print(f"{rules:24} {other} differs by {worst:.1g} of the largest relevance")
                good = good and worst <= SAME
    return 0 if good or not args.check else 1


if __name__ == "__main__":
    sys.exit(main())
