#!/usr/bin/env python3
"""Do lrp's tokenizers cut unseen texts as the tokenizers package does?

    make -C build lrp-tokenize
    python3 bench/tokenizer_parity.py [--texts 3000] [--seed 1] [TOKENIZER.json ...]

needs: tokenizers==0.22.2.

Texts are random: scripts mixed, marks stacked, emoji joined, control characters, every kind of
white space, normal forms, tokens of the vocabulary and added tokens inside words, very long words.
Each goes through each tokenizer in both; ids, byte ranges and words must be the same.  Without
files: all of tests/tokenizers, and the small tokenizers of its steps.json, one for each step.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import unicodedata
from pathlib import Path

from tokenizers import BertWordPieceTokenizer, Tokenizer

ROOT = Path(__file__).resolve().parent.parent
BLOCKS = [  # first and last code point, and how often
    (0x20, 0x7E, 30), (0xA0, 0x17F, 8), (0x180, 0x24F, 2), (0x250, 0x36F, 4), (0x370, 0x52F, 4),
    (0x590, 0x5FF, 2), (0x600, 0x6FF, 3), (0x900, 0x97F, 3), (0x980, 0x9FF, 1), (0xB80, 0xBFF, 1),
    (0xE00, 0xE7F, 2), (0xF00, 0xFFF, 1), (0x1100, 0x11FF, 2), (0x1E00, 0x1FFF, 3),
    (0x2000, 0x206F, 4), (0x2070, 0x20CF, 2), (0x2100, 0x218F, 2), (0x2190, 0x27BF, 2),
    (0x2E80, 0x2FDF, 1), (0x3000, 0x30FF, 4), (0x3130, 0x318F, 1), (0x3200, 0x33FF, 2),
    (0x4E00, 0x9FFF, 4), (0xA000, 0xABFF, 2), (0xAC00, 0xD7A3, 3), (0xE000, 0xE010, 1),
    (0xF900, 0xFAFF, 1), (0xFB00, 0xFDFF, 2), (0xFE00, 0xFE6F, 2), (0xFE70, 0xFFFF, 3),
    (0x10000, 0x100FF, 1), (0x1D400, 0x1D7FF, 2), (0x1F100, 0x1F1FF, 2), (0x1F300, 0x1FAFF, 5),
    (0x20000, 0x2A6DF, 1), (0x2F800, 0x2FA1F, 1), (0xE0000, 0xE01EF, 1), (0xF0000, 0xF0010, 1)]
WHITE = [0x9, 0xA, 0xB, 0xC, 0xD, 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029,
         0x202F, 0x205F, 0x3000]
LIKE_WHITE = [0x180E, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF, 0xAD, 0x2581, 0x120, 0x10A]
CONTROL = [0, 1, 8, 0xE, 0x1B, 0x1F, 0x7F, 0x80, 0x9F, 0xFFFD, 0xFFFE, 0xFFFF]
MARKS = [0x300, 0x301, 0x302, 0x307, 0x308, 0x315, 0x31B, 0x323, 0x327, 0x338, 0x345, 0x591, 0x5B0,
         0x64B, 0x651, 0x93C, 0x94D, 0x9BE, 0xE33, 0x3099, 0x20DD, 0xFE0F, 0x1D165]
EMOJI = ["👨‍👩‍👧", "👩🏽‍🚒", "🏳️‍🌈", "🇩🇪", "❤️", "1️⃣", "👍🏿", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "☺"]
ODD = ["ﬁ", "ß", "ẞ", "İ", "ı", "ς", "Σ", "ΑΣ", "Ǆ", "ŉ", "ﷺ", "½", "①", "㍿", "Å", "ộ", "q̣̇", "が", "각",
       "à́", "ཱི", "ো", "“”", "…", "—", "don't", "we'LL", "I'd've", "e-mail", "3.14", "1,000", "x_1",
       "U.S.A.", "http://a.b/c?d=e", "#tag", "@you", "$5", "£3", "C++", "'s", "''", "\r\n", "  ", "\t\t"]
ALIKE = [(0x41, 0x5A), (0x61, 0x7A), (0x30, 0x39)]


def assigned(c):
    """Left out: surrogates, and characters whose class the two sides' Unicode versions may not share."""
    return unicodedata.category(chr(c)) not in ("Cs", "Cn")


def character(rng):
    first, last, _ = rng.choices(BLOCKS, [b[2] for b in BLOCKS])[0]
    while True:
        c = rng.randint(first, last)
        if assigned(c):
            return chr(c)


def word(rng, pieces):
    kind = rng.random()
    if kind < 0.35:
        return rng.choice(pieces)
    if kind < 0.45:
        return rng.choice(ODD)
    if kind < 0.5:
        return rng.choice(EMOJI)
    if kind < 0.7:
        return "".join(chr(rng.randint(*rng.choice(ALIKE))) for _ in range(rng.randint(1, 9)))
    if kind < 0.85:
        return "".join(character(rng) for _ in range(rng.randint(1, 6)))
    if kind < 0.95:
        marks = (chr(rng.choice(MARKS)) for _ in range(rng.randint(1, 4)))
        return character(rng) + "".join(marks)
    return chr(rng.choice(CONTROL + LIKE_WHITE))


def text(rng, pieces):
    if rng.random() < 0.02:  # a long word
        return "".join(rng.choice("abcé한x") for _ in range(rng.randint(90, 400)))
    out = []
    for _ in range(rng.randint(1, 14)):
        out.append(word(rng, pieces))
        kind = rng.random()
        if kind < 0.45:
            out.append(" ")
        elif kind < 0.6:
            out.append("".join(chr(rng.choice(WHITE + LIKE_WHITE[:2])) for _ in range(rng.randint(1, 3))))
    s = "".join(out)
    form = rng.random()
    if form < 0.25:
        s = unicodedata.normalize(rng.choice(("NFC", "NFD", "NFKC", "NFKD")), s)
    elif form < 0.35:
        s = rng.choice((s.upper, s.lower, s.title))()
    return s or " "


def pieces_of(t, rng):
    """Pieces as they stand in a text, and added tokens."""
    plain = sorted(t.get_vocab(with_added_tokens=False))
    plain = [p.replace("▁", " ").replace("Ġ", " ").removeprefix("##") for p in plain]
    some = rng.sample(plain, min(len(plain), 400))
    added = [a.content for a in t.get_added_tokens_decoder().values()]
    return [p for p in some if p and "\ud800" not in p] + (added + [a.lower() for a in added]) * 8


def expected(t, s):
    at = [0]
    for c in s:
        at.append(at[-1] + len(c.encode()))
    e = t.encode(s)
    return [(i, at[a], at[b], -1 if w is None else w)
            for i, (a, b), w in zip(e.ids, e.offsets, e.word_ids)]


def found(tool, path, texts):
    raw = [s.encode() for s in texts]
    given = b"".join(b"%d\n%s" % (len(r), r) for r in raw)
    done = subprocess.run([tool, path], input=given, capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(f"{path}: {done.stderr.decode(errors='replace').strip()}")
    for line in done.stdout.split(b"\n")[:-1]:
        line = line.decode(errors="replace")
        yield line if line.startswith("!") else [tuple(map(int, x.split(":"))) for x in line.split()]


def difference(want, got):
    """What differs first: "", ids, ranges or words."""
    if isinstance(got, str):
        return "refused"
    if [w[0] for w in want] != [g[0] for g in got]:
        return "ids"
    if [w[1:3] for w in want] != [g[1:3] for g in got]:
        return "ranges"
    return "words" if [w[3] for w in want] != [g[3] for g in got] else ""


def compare(args, name, t, path):
    rng = random.Random(f"{args.seed} {name}")
    pieces = pieces_of(t, rng)
    texts = [text(rng, pieces) for _ in range(args.texts)]
    count, token, shown = {}, 0, 0
    for s, got in zip(texts, found(args.tool, path, texts), strict=True):
        try:
            want = expected(t, s)
        except Exception:  # what the package refuses, lrp may refuse, too
            want = [(-1, 0, 0, 0)]
            kind = "" if isinstance(got, str) else "package refused"
        else:
            kind = difference(want, got)
        token += len(want)
        count[kind] = count.get(kind, 0) + 1
        if kind and shown < args.show:
            shown += 1
            print(f"  {name}, {kind}: {s!r}\n    package {want}\n    lrp     {got}")
    equal = count.pop("", 0)
    print(f"{name:32s} {equal} of {len(texts)} texts equal, {token} tokens"
          + "".join(f", {k}: {n}" for k, n in sorted(count.items())), flush=True)
    return len(texts), len(texts) - equal, token


def tokenizers(args, folder):
    """name, the package's tokenizer, file for lrp"""
    for path in args.tokenizer:
        t = Tokenizer.from_file(str(path))
        t.no_padding()
        yield path.parent.name + "/" + path.name, t, path
    if args.tokenizer:
        return
    here = ROOT / "tests" / "tokenizers"
    for path in sorted(here.glob("*.tokenizer.json")):
        yield path.name, Tokenizer.from_file(str(path)), path
    vocab = here / "minilm.vocab.txt"
    yield vocab.name, BertWordPieceTokenizer(str(vocab), lowercase=True)._tokenizer, vocab
    for i, one in enumerate(json.loads((here / "steps.json").read_text(encoding="utf-8"))["list"]):
        path = Path(folder) / f"{i}.json"
        path.write_text(json.dumps(one["tokenizer"]), encoding="utf-8")
        yield "steps: " + one["name"], Tokenizer.from_file(str(path)), path


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("tokenizer", type=Path, nargs="*")
    p.add_argument("--tool", type=Path, default=ROOT / "build" / "lrp-tokenize")
    p.add_argument("--texts", type=int, default=3000, help="for each tokenizer")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--show", type=int, default=3, help="differences of a tokenizer")
    args = p.parse_args()
    n = bad = token = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, t, path in tokenizers(args, folder):
            a, b, c = compare(args, name, t, path)
            n, bad, token = n + a, bad + b, token + c
    print(f"{n - bad} of {n} texts equal, {token} tokens")
    return bad > 0


sys.exit(main())
