#!/usr/bin/env python3
"""Area between two curves: the score while the least relevant tokens go first (LeRF), and while the
most relevant go first (MoRF).  Large is good: the explanation knows what matters and what does not.

    python3 bench/lerf_morf.py data_full.json [--model clinc-minilm]

needs: numpy, onnxruntime, tokenizers, and the folder that examples/train/clinc_minilm.py writes.

118 test sentences of CLINC150 that the model gets right.  A token that goes is taken out of the
sequence and the rest closes up; [CLS] and [SEP] stay.  The score is the logit of the class,
averaged over 0 to all tokens taken out.  Explanations come from lrp; the logits of shortened
sequences from onnxruntime, which takes ids, and so does occlusion.
"""

import json
from pathlib import Path

import numpy as np
import onnxruntime

import study

N_TEXT, STRIDE, RANDOM_RUNS = 118, 36, 5
METHODS = {
    "attnlrp": ("--rules", "attnlrp"),
    "cp_lrp": ("--rules", "cp_lrp"),
    "gradient x input": ("--method", "input_x_gradient"),
}
MEASURED = {"attnlrp": 4.8, "cp_lrp": 4.7, "occlusion": 4.5, "random": -0.2,
            "gradient x input": -2.1}  # LXT and Captum, from the design of this study


class Scorer:
    """Logits of lists of ids, in batches of one length, never padded."""

    def __init__(self, model, threads):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 3
        self.session = onnxruntime.InferenceSession(model / "model.onnx", options,
                                                    providers=["CPUExecutionProvider"])

    def __call__(self, lists):
        groups, out = {}, [None] * len(lists)
        for i, ids in enumerate(lists):
            groups.setdefault(len(ids), []).append(i)
        for members in groups.values():
            for at in range(0, len(members), 64):
                part = members[at:at + 64]
                ids = np.array([lists[i] for i in part])
                given = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
                for i, logits in zip(part, self.session.run(None, given)[0]):
                    out[i] = logits
        return np.array(out)


def sentences(args, score, cut):
    """ids and class of the first N_TEXT right ones of every STRIDE-th test sentence."""
    rows = json.loads(args.data.read_text(encoding="utf-8"))["test"][::STRIDE]
    label = json.loads((args.model / "config.json").read_text(encoding="utf-8"))["label2id"]
    ids = [cut.encode(text).ids for text, _ in rows]
    right = score(ids).argmax(1) == [label[name] for _, name in rows]
    chosen = np.flatnonzero(right)[:N_TEXT]
    return ([rows[i][0] for i in chosen], [ids[i] for i in chosen],
            np.array([label[rows[i][1]] for i in chosen]))


def occlusion(score, ids, classes):
    """What a token's absence costs."""
    whole = score(ids)[np.arange(len(ids)), classes]
    lists = [one[:k] + one[k + 1:] for one in ids for k in range(1, len(one) - 1)]
    owner = [i for i, one in enumerate(ids) for _ in range(1, len(one) - 1)]
    left = score(lists)[np.arange(len(lists)), classes[owner]]
    cost = [[] for _ in ids]
    for i, value in zip(owner, left):
        cost[i].append(whole[i] - value)
    return [np.array(c) for c in cost]


def curve_area(score, ids, classes, order):
    """Mean logit over 0..n tokens taken out in this order, by the trapezoid rule, per text."""
    lists, owner = [], []
    for i, (one, places) in enumerate(zip(ids, order)):
        for k in range(len(places) + 1):
            gone = set(places[:k] + 1)
            lists.append([t for at, t in enumerate(one) if at not in gone])
            owner.append(i)
    value = score(lists)[np.arange(len(lists)), classes[owner]]
    split = np.split(value, np.flatnonzero(np.diff(owner)) + 1)
    return np.array([((v[1:] + v[:-1]) / 2).mean() for v in split])


def areas(score, ids, classes, scores):
    """LeRF minus MoRF, per text."""
    up = [np.argsort(s, kind="stable") for s in scores]
    return (curve_area(score, ids, classes, up) -
            curve_area(score, ids, classes, [o[::-1] for o in up]))


def all_scores(args, score, texts, ids, classes):
    """Method -> runs of scores of the tokens between [CLS] and [SEP]."""
    rng = np.random.default_rng(args.seed)
    for name, options in METHODS.items():
        found = study.explain(args, args.model, texts, *options)
        wrong = [t for t, one, c in zip(texts, found, classes) if one["target_class"] != c]
        if wrong:
            raise SystemExit(f"lrp and onnxruntime predict other classes for {wrong[0]!r}")
        yield name, [[np.array(study.token_scores(one))[1:-1] for one in found]]
    yield "occlusion", [occlusion(score, ids, classes)]
    yield "random", [[rng.random(len(one) - 2) for one in ids] for _ in range(RANDOM_RUNS)]


def main():
    p = study.parser(__doc__)
    p.add_argument("data", type=Path, help="data_full.json of CLINC150")
    p.add_argument("--model", type=Path, default=study.clinc_minilm())
    args = p.parse_args()
    score = Scorer(args.model, args.threads)
    texts, ids, classes = sentences(args, score, study.tokenizer(args.model))
    rows, saved = [], {}
    for name, runs in all_scores(args, score, texts, ids, classes):
        area = np.mean([areas(score, ids, classes, run) for run in runs], 0)
        error = area.std(ddof=1) / np.sqrt(len(area))
        rows.append([name, f"{area.mean():.2f}", f"{error:.2f}", str(MEASURED[name])])
        saved[name] = {"area": float(area.mean()), "standard_error": float(error)}
        print(f"{name}: done", flush=True)
    study.table(f"clinc-minilm: area between LeRF and MoRF of the logit, {len(texts)} sentences",
                ["method", "area", "standard error", "peers, measured"], rows)
    study.save(args, "lerf_morf", {"texts": len(texts), "areas": saved})


if __name__ == "__main__":
    main()
