"""Write tests/golden/<model>/ and the sample pictures in examples/data.

    python3 golden.py [--fashion FOLDER]

Golden files hold what onnxruntime computes from the shipped models, for the tests of the C
engine.  Texts come from examples/data/messages.txt and reviews.txt, pictures from the test set
of Fashion-MNIST.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image
from tokenizers import Tokenizer

import common
import fashion_cnn

ROOT = common.MODELS.parent.parent
DATA = ROOT / "examples" / "data"
GOLDEN = ROOT / "tests" / "golden"
TEXTS = {"spam-textcnn": "messages.txt", "spam-lstm": "messages.txt",
         "spam-attention": "messages.txt", "reviews-textcnn": "reviews.txt"}


def save(folder, suffix, array, model):
    folder.mkdir(parents=True, exist_ok=True)
    output = common.run(model, array)
    np.save(folder / f"input{suffix}.npy", array)
    np.save(folder / f"output{suffix}.npy", output)
    return output


def byte_spans(text, offsets):
    """Offsets in code points, as the tokenizers package gives them, as offsets in bytes."""
    at = [0]
    for char in text:
        at.append(at[-1] + len(char.encode("utf-8")))
    return [[at[begin], at[end]] for begin, end in offsets]


def write_text(name, file):
    """input.npy: all texts, cut to the shortest; input-one.npy: one token; tokens.json: whole."""
    model, folder = common.MODELS / name / "model.onnx", GOLDEN / name
    tokenizer = Tokenizer.from_file(str(common.MODELS / name / "tokenizer.json"))
    lines = (DATA / file).read_text(encoding="utf-8").splitlines()
    encodings = [tokenizer.encode(line) for line in lines]
    ids = [np.array([e.ids], np.int64) for e in encodings]
    shortest = min(array.shape[1] for array in ids)
    save(folder, "", np.concatenate([array[:, :shortest] for array in ids]), model)
    save(folder, "-one", ids[0][:, :1], model)
    rows = [{"text": line, "ids": e.ids, "tokens": e.tokens,
             "bytes": byte_spans(line, e.offsets),
             "logits": [float(f"{v:.6g}") for v in common.run(model, array)[0]]}
            for line, e, array in zip(lines, encodings, ids)]
    text = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (folder / "tokens.json").write_text(f"[\n{text}\n]\n", encoding="utf-8")


def choose(labels, logits):
    """Index of a test picture for each file name: six sure ones, two mistakes.

    A sure one is the first that has the median margin of its class or more; a mistake is the
    one with the highest score for the wrong class.
    """
    found, ordered = logits.argmax(1), np.sort(logits, 1)
    margin = ordered[:, -1] - ordered[:, -2]
    chosen = {}
    for c, name in ((9, "ankle-boot"), (1, "trouser"), (8, "bag"), (3, "dress"), (5, "sandal"),
                    (0, "t-shirt")):
        right = (labels == c) & (found == c)
        chosen[name] = int(np.flatnonzero(right & (margin >= np.median(margin[right])))[0])
    for truth, wrong, name in ((6, 4, "shirt-seen-as-coat"), (5, 7, "sandal-seen-as-sneaker")):
        mistakes = np.flatnonzero((labels == truth) & (found == wrong))
        chosen[name] = int(mistakes[margin[mistakes].argmax()])
    return chosen


def write_pictures(folder):
    pictures, labels = fashion_cnn.load(folder, "t10k")
    model = common.MODELS / "fashion-cnn" / "model.onnx"
    settings = json.loads((model.parent / "preprocessor_config.json").read_text())
    x = pictures[:, None].astype(np.float32) * np.float32(settings["rescale_factor"])
    x = (x - np.float32(settings["image_mean"][0])) / np.float32(settings["image_std"][0])
    logits = np.concatenate([common.run(model, part) for part in np.split(x, 10)])
    chosen = choose(labels, logits)
    for name, index in chosen.items():
        Image.fromarray(pictures[index]).save(DATA / f"{name}.png", optimize=True)
        print(f"{name}.png: test picture {index}, label {fashion_cnn.LABELS[labels[index]]}, "
              f"model says {fashion_cnn.LABELS[logits[index].argmax()]}, "
              f"logit {logits[index].max():.2f}")
    save(GOLDEN / "fashion-cnn", "", x[list(chosen.values())], model)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fashion", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    args = parser.parse_args()
    for name, file in TEXTS.items():
        write_text(name, file)
    write_pictures(args.fashion)


if __name__ == "__main__":
    main()
