#!/usr/bin/env python3
"""The toy addition task: does the relevance of a number equal the number?

    python3 bench/toy_addition.py [--lrp build/lrp]

needs: torch, onnx, onnxscript, tokenizers.

A sequence has 4 to 10 steps; each holds a number from -1 to 1.  Two of them are marked: they stand
in the second place of their step, the others in the first.  The answer is the sum of the marked
ones.  An LSTM with a single cell, whose output layer has no bias, learns it; it is written as ONNX
and explained by lrp.  Ideal relevance of a marked step is its number, so what is measured is the
correlation of the two over the test sequences (Arras et al. 2019).
"""

import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import nn

import study

LENGTHS = range(4, 11)
PER_LENGTH = 360  # test sequences
# From the design of this study: what the published rule gives on a model of this kind, in per cent.
EXPECTED = {"lstm_arras, eps 0.001": 98.5, "lstm_arras, eps 1e-06": 99.9,
            "gradient x input": 99.8}


class Adder(nn.Module):
    """x (N,T,2) -> sum (N,1)"""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(2, 1, batch_first=True)
        self.out = nn.Linear(1, 1, bias=False)

    def forward(self, x):
        _, (h, _) = self.lstm(x)
        return self.out(h[0])


def sequences(rng, n, length):
    """x (n,length,2), and the two marked places (n,2)."""
    value = rng.uniform(-1, 1, (n, length))
    where = rng.random((n, length)).argsort(1)[:, :2]
    marked = np.zeros((n, length), bool)
    np.put_along_axis(marked, where, True, 1)
    x = np.stack([np.where(marked, 0, value), np.where(marked, value, 0)], 2)
    return x.astype(np.float32), where


def train(seed, steps):
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    model = Adder()
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.03, total_steps=steps)
    for _ in range(steps):
        x = torch.from_numpy(sequences(rng, 256, int(rng.choice(LENGTHS)))[0])
        loss = nn.functional.mse_loss(model(x)[:, 0], x[:, :, 1].sum(1))
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    return model.eval()


def export(model, path):
    torch.onnx.export(model, (torch.zeros(1, 4, 2),), path, dynamo=False, opset_version=17,
                      input_names=["x"], output_names=["sum"],
                      dynamic_axes={"x": {0: "batch", 1: "steps"}, "sum": {0: "batch"}})


def relevance(args, model, x, folder, *options):
    """R of each step (N,T): sum over its two places."""
    np.save(folder / "x.npy", x)
    out = folder / "r.npy"
    study.call(args, "explain", model, folder / "x.npy", "--target", "0", "--no-db", "--quiet",
               "--threads", args.threads, "-o", out, *options)
    return np.load(out).sum(2)


METHODS = {
    "lstm_arras, eps 0.001": ("--rules", "lstm_arras"),
    "lstm_arras, eps 1e-06": ("--rules", "layer:lstm freeze=gates -> epsilon(epsilon=1e-6); "
                              "kind:linear -> epsilon(epsilon=1e-6); include lstm_arras"),
    "gradient x input": ("--method", "input_x_gradient"),
}


def one_model(args, model, rng, folder):
    """mean squared error, and for each method the two correlations in per cent."""
    path = folder / "model.onnx"
    export(model, path)
    found, value, error = {name: [] for name in METHODS}, [], []
    for length in LENGTHS:
        x, where = sequences(rng, PER_LENGTH, length)
        value.append(np.take_along_axis(x[:, :, 1], np.sort(where, 1), 1))
        with torch.no_grad():
            error.append((model(torch.from_numpy(x))[:, 0].numpy() - x[:, :, 1].sum(1)) ** 2)
        for name, options in METHODS.items():
            r = relevance(args, path, x, folder, *options)
            found[name].append(np.take_along_axis(r, np.sort(where, 1), 1))
    value = np.concatenate(value)
    return float(np.mean(error)), {
        name: [100 * np.corrcoef(np.concatenate(r)[:, k], value[:, k])[0, 1] for k in (0, 1)]
        for name, r in found.items()}


def main():
    p = study.parser(__doc__)
    p.add_argument("--models", type=int, default=5, help="trained from different seeds")
    p.add_argument("--steps", type=int, default=4000)
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    errors, all_of = [], {name: [] for name in METHODS}
    for k in range(args.models):
        with tempfile.TemporaryDirectory() as folder:
            model = train(args.seed + k, args.steps)
            error, found = one_model(args, model, np.random.default_rng(1000 + args.seed + k),
                                     Path(folder))
        errors.append(error)
        print(f"model {k + 1}: mean squared error {error:.1e}", flush=True)
        for name, pair in found.items():
            all_of[name].append(pair)
    rows = []
    for name, pairs in all_of.items():
        a, b = np.array(pairs).T
        rows.append([name, f"{a.mean():.3f} +- {a.std():.3f}", f"{b.mean():.3f} +- {b.std():.3f}",
                     f"{min(a.min(), b.min()):.3f}", str(EXPECTED[name])])
    study.table(f"Toy addition, {args.models} single-cell LSTMs: correlation in per cent of R and "
                "the number", ["method", "first marked", "second marked", "least", "design page"], rows)
    study.save(args, "toy_addition", {"mean_squared_error": errors, "correlation": all_of})


if __name__ == "__main__":
    main()
