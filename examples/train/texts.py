"""What the text models share: reading data, splitting, the tokenizer, training, word relevance.

A batch is padded with [PAD] on the right; the models are written so that padding changes no
logit.  A single text is never padded.
"""

import argparse
import hashlib
import random
import time
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from torch import nn

import common

PAD, UNK = 0, 1


# ---- data ----

def read_sms(path):
    """SMS Spam Collection: "ham" or "spam", TAB, text; one message a line."""
    rows = [line.split("\t", 1) for line in path.read_text(encoding="utf-8").split("\n") if line]
    return [(text.strip(), int(label == "spam")) for label, text in rows]


def read_reviews(folder):
    """Sentiment Labelled Sentences: text, TAB, 0 or 1; three files of 1,000 lines.

    Lines end at LF only: some texts hold U+0085, which splitlines() would take for an end.
    """
    rows = []
    for source in ("amazon_cells", "imdb", "yelp"):
        raw = (folder / f"{source}_labelled.txt").read_text(encoding="utf-8")
        rows += [line.rsplit("\t", 1) for line in raw.split("\n") if line]
    return [(text.strip(), int(label)) for text, label in rows]


def without_copies(rows, words):
    """Rows whose text occurred before, then rows whose words did (case, spaces), are left out."""
    seen, seen_words, kept, n_text, n_words = set(), set(), [], 0, 0
    for text, label in rows:
        key = tuple(words(text))
        if text in seen:
            n_text += 1
        elif key in seen_words:
            n_words += 1
        else:
            kept.append((text, label))
        seen.add(text)
        seen_words.add(key)
    return kept, n_text, n_words


def split(rows, seed):
    """Train 70 %, development 10 %, held-out test 20 %, with equal shares of each class."""
    parts = ([], [], [])
    rng = random.Random(seed)
    for label in sorted({label for _, label in rows}):
        mine = [row for row in rows if row[1] == label]
        rng.shuffle(mine)
        a, b = round(0.7 * len(mine)), round(0.8 * len(mine))
        for part, chosen in zip(parts, (mine[:a], mine[a:b], mine[b:])):
            part.extend(chosen)
    for part in parts:
        rng.shuffle(part)
    return parts


# ---- tokenizer ----

def word_splitter():
    """text -> words: lower case, accents dropped, each punctuation mark a word of its own."""
    normalizer = normalizers.BertNormalizer(lowercase=True)
    splitter = pre_tokenizers.BertPreTokenizer()
    return lambda text: [w for w, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text))]


def build_tokenizer(texts, min_count, max_tokens):
    """A word-level tokenizer of the words that occur min_count times; frequent words first."""
    words = word_splitter()
    count = Counter(word for text in texts for word in words(text))
    kept = sorted((w for w, n in count.items() if n >= min_count), key=lambda w: (-count[w], w))
    vocab = {word: i for i, word in enumerate(["[PAD]", "[UNK]", *kept])}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    if max_tokens:
        tokenizer.enable_truncation(max_tokens)
    return tokenizer


# ---- training ----

def pad(lists):
    """Lists of ids -> ids (B,T), padded on the right; an empty text becomes one [UNK]."""
    width = max(1, max(map(len, lists)))
    out = np.full((len(lists), width), PAD, np.int64)
    for row, ids in zip(out, lists):
        row[:max(1, len(ids))] = ids or [UNK]
    return torch.from_numpy(out)


def drop_words(ids, rate, rng):
    """Word dropout: [UNK] in place of a word, so that no decision hangs on one rare word."""
    hit = (torch.rand(ids.shape, generator=rng) < rate) & (ids != PAD)
    return ids.masked_fill(hit, UNK)


def train(model, data, dev, settings, seed):
    """AdamW with a one-cycle schedule over a fixed number of epochs; dev is only watched."""
    rng = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(model.parameters(), lr=settings["lr"],
                                  weight_decay=settings["weight_decay"])
    batch, epochs = settings["batch"], settings["epochs"]
    per_epoch = -(-len(data) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, settings["lr"],
                                                   total_steps=epochs * per_epoch)
    for epoch in range(epochs):
        model.train()
        start, total = time.time(), 0.0
        for index in torch.randperm(len(data), generator=rng).split(batch):
            ids = pad([data[i][0] for i in index])
            y = torch.tensor([data[i][1] for i in index])
            logits = model(drop_words(ids, settings["word_dropout"], rng))
            loss = nn.functional.cross_entropy(logits, y,
                                               label_smoothing=settings["label_smoothing"])
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            total += loss.item() * len(index)
        right = (predict(model, dev).argmax(1) == [y for _, y in dev]).mean()
        print(f"epoch {epoch + 1}: loss {total / len(data):.4f}, development {right:.4f}, "
              f"{time.time() - start:.0f} s", flush=True)


def predict(model, data):
    model.eval()
    with torch.no_grad():
        parts = [data[i:i + 200] for i in range(0, len(data), 200)]
        return torch.cat([model(pad([ids for ids, _ in part])) for part in parts]).numpy()


def report(logits, data, labels):
    """Accuracy on held-out data, and precision and recall of each class."""
    y, found = np.array([y for _, y in data]), logits.argmax(1)
    print(f"held-out accuracy {(found == y).mean():.4f} ({(found == y).sum()} of {len(y)})")
    for c, name in enumerate(labels):
        hit = ((found == c) & (y == c)).sum()
        print(f"  {name}: precision {hit / max(1, (found == c).sum()):.4f}, "
              f"recall {hit / max(1, (y == c).sum()):.4f}, {(y == c).sum()} texts")


def word_relevance(model, data, tokenizer, labels, least=5):
    """Print the words whose loss costs each class's logit most, as a mean over its texts.

    A check that the model looks at words a reader would look at.  Each word in turn becomes
    [UNK]; a word counts for a class in texts that the model puts there, and must occur in at
    least that many of them.
    """
    model.eval()
    found = defaultdict(list)
    for ids, _ in data:
        ids = ids or [UNK]
        batch = torch.tensor([ids] * (len(ids) + 1))
        batch[range(len(ids)), range(len(ids))] = UNK
        with torch.no_grad():
            logits = model(batch).double()
        c = int(logits[-1].argmax())
        for i, cost in zip(ids, (logits[-1, c] - logits[:-1, c]).tolist()):
            found[c, i].append(cost)
    for c, name in enumerate(labels):
        mean = {i: sum(r) / len(r) for (d, i), r in found.items() if d == c and len(r) >= least}
        best = sorted(mean, key=mean.get, reverse=True)[:20]
        print(f"words for {name}: " + ", ".join(
            f"{tokenizer.id_to_token(i)} {mean[i]:.2f}" for i in best))


# ---- one run, from data to files ----

def parse(doc, data_help, name):
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("data", type=Path, help=data_help)
    parser.add_argument("--out", type=Path, default=common.MODELS / name)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    common.seed_all(args.seed)
    return args


def run(args, rows, make_model, labels, config, settings, dynamo=True):
    """Split, train, report, write the model's folder.  make_model: number of words -> module."""
    n_row = len(rows)
    rows, n_text, n_words = without_copies(rows, word_splitter())
    digest = hashlib.sha256("\n".join(text for text, _ in rows).encode()).hexdigest()[:16]
    print(f"{n_row} texts; left out: {n_text} exact copies, {n_words} with the same words; "
          f"{len(rows)} remain (sha256 {digest}...)")
    parts = split(rows, args.seed)
    tokenizer = build_tokenizer([text for text, _ in parts[0]], settings["min_count"],
                                config.get("max_position_embeddings", 0))
    train_set, dev, test = [[(tokenizer.encode(text).ids, y) for text, y in part]
                            for part in parts]
    model = make_model(tokenizer.get_vocab_size())
    print(f"train {len(train_set)}, development {len(dev)}, test {len(test)}; "
          f"{tokenizer.get_vocab_size()} words, {common.n_param(model)} parameters")
    train(model, train_set, dev, settings, args.seed)
    logits = predict(model, test)
    report(logits, test, labels)

    path = args.out / "model.onnx"
    n_example = 2 if dynamo else 1  # 1: the older exporter asks for it before recurrent layers
    example = pad([ids for ids, _ in test[:n_example]])
    common.export(model, example, (("input_ids", {0: "batch", 1: "tokens"}), "logits"), path,
                  dynamo)
    common.write_json(args.out / "config.json", {
        "architectures": [type(model).__name__],
        **config,
        "vocab_size": tokenizer.get_vocab_size(),
        "pad_token_id": PAD,
        "unk_token_id": UNK,
        "id2label": {str(i): name for i, name in enumerate(labels)},
        "label2id": {name: i for i, name in enumerate(labels)},
    })
    tokenizer.save(str(args.out / "tokenizer.json"), pretty=False)
    print(common.describe(path))
    one = [pad([ids]).numpy() for ids, _ in test]
    short = [array[:, :n] for array in one[:5] for n in (1, 2, 3, 5)]
    short += [np.concatenate([array[:, :4] for array in one if array.shape[1] >= 4][:7])]
    print(f"onnxruntime differs by at most {common.compare(path, model, one[:50] + short):.1e}")
    single = np.concatenate([common.run(path, array) for array in one[:200]])
    print(f"padding changes a logit by at most {np.abs(single - logits[:200]).max():.1e}")
    word_relevance(model, test, tokenizer, labels)
