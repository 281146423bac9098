#!/usr/bin/env python3
"""Word deletion: how fast does a classifier fail when the words that an explanation names go?

    python3 bench/word_deletion.py REVIEWS_FOLDER [SMSSpamCollection]

needs: the packages of examples/train/requirements.txt.

On held-out texts that the model gets right, the 1, 2, 3, 5 most relevant words for the true class
are cut out of the text, by the byte ranges that lrp gives, and what is left is classified anew.
The lower the accuracy, the better the explanation.  The protocol is that of Arras et al. 2017.
"""

import sys
from pathlib import Path

import numpy as np

import study

COUNTS = (1, 2, 3, 5)
RANDOM_RUNS = 5
METHODS = {
    "lrp": ("--rules", "text"),
    "gradient x input": ("--method", "input_x_gradient"),
    "random": None,
}


def held_out(args, which):
    """The texts and labels that the training script never saw, with its own split."""
    sys.path.insert(0, str(study.ROOT / "examples" / "train"))
    import texts

    rows = texts.read_reviews(args.reviews) if which == "reviews" else texts.read_sms(args.sms)
    rows, _, _ = texts.without_copies(rows, texts.word_splitter())
    return texts.split(rows, 1)[2]


def without(text, tokens, chosen):
    """The text with the byte ranges of these tokens replaced by a space."""
    raw = bytearray(text.encode())
    for i in sorted(chosen, key=lambda i: -tokens[i]["begin"]):
        raw[tokens[i]["begin"]:tokens[i]["end"]] = b" "
    return raw.decode()


def predicted(args, model, texts):
    """Class of each text."""
    found = study.explain(args, model, texts, "--method", "gradient")
    return np.array([one["prediction"]["index"] for one in found])


def orders(args, model, texts):
    """For each method and text: places of its tokens, the most relevant first."""
    rng = np.random.default_rng(args.seed)
    for name, options in METHODS.items():
        if options:
            found = study.explain(args, model, texts, *options)
            yield name, [[np.argsort(-np.array(study.token_scores(one)), kind="stable")
                          for one in found]]
        else:
            length = [len(one["tokens"]) for one in
                      study.explain(args, model, texts, "--method", "gradient")]
            yield name, [[rng.permutation(n) for n in length] for _ in range(RANDOM_RUNS)]


def measure(args, model, rows):
    """Accuracy in per cent of initially right texts after cutting; names -> count -> value."""
    texts = [text for text, _ in rows]
    y = np.array([label for _, label in rows])
    right = [i for i in np.flatnonzero(predicted(args, model, texts) == y)]
    texts, y = [texts[i] for i in right], y[right]
    tokens = [one["tokens"] for one in study.explain(args, model, texts, "--method", "gradient")]
    longer = np.array([len(t) > max(COUNTS) for t in tokens])  # something is left of these
    texts = [t for t, use in zip(texts, longer) if use]
    tokens = [t for t, use in zip(tokens, longer) if use]
    y, result = y[longer], {}
    for name, runs in orders(args, model, texts):
        result[name] = {
            n: float(np.mean([100 * (predicted(args, model, [
                without(text, t, order[:n]) for text, t, order in zip(texts, tokens, run)]) == y)
                for run in runs]))
            for n in COUNTS}
    return len(texts), result


def main():
    p = study.parser(__doc__)
    p.add_argument("reviews", type=Path, help="folder of Sentiment Labelled Sentences")
    p.add_argument("sms", type=Path, nargs="?", help="SMSSpamCollection; without: reviews only")
    args = p.parse_args()
    models = study.ROOT / "examples" / "models"
    cases = [("reviews-textcnn", "reviews")] + ([("spam-lstm", "sms")] if args.sms else [])
    saved = {}
    for model, which in cases:
        n, result = measure(args, models / model, held_out(args, which))
        saved[model] = {"texts": n, "accuracy": result}
        study.table(f"{model}: accuracy in per cent after cutting words, {n} held-out texts "
                    "that were right at first",
                    ["words cut", *map(str, (0, *COUNTS))],
                    [[name, "100", *(f"{v:.1f}" for v in line.values())]
                     for name, line in result.items()],
                    "published (Arras et al. 2017, LSTM on film reviews): LRP falls fastest, then "
                    "gradient x input, random slowest")
    study.save(args, "word_deletion", saved)


if __name__ == "__main__":
    main()
