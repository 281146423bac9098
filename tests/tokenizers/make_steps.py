"""Writes steps.json: small tokenizers, one for each step that lrp knows, with what the tokenizers package makes of
tricky texts.  Needs: pip install tokenizers==0.22.2"""
import json

import tokenizers
from tokenizers import Tokenizer

WORDS = ["the", "bank", "Bank", "cafe", "café", "x", "▁the", "▁bank", "##s", "##k", "ban", "b", "a", "n", "k", "s", "1", "2"]
TEXTS = ["The bank's  cafés: 12 b\u00fcros,\tx_1!", " bank  bank\n\u00a0the ", "e\u0301 \u00e9 \u1ebf \u212b \u01c4 \u0130I\u0307",
         "\ufb01n \u00bd \u2460 \ufdfa \u24b6\u0660", "\u4f60\u597dbank \u3042\u3099 \ud55c \u1112\u1161\u11ab", "a\u200db\u00ad\u0000c\u180ed\u2028e",
         "<m> bank<m>s Bank[X] (the) the", "q\u0323\u0307 d\u0307\u0323 \u0f73\u0f71 \u09c7\u09be", "\U0001f600\U0001f1e9\U0001f1ea \u20ac5-x", "\u2581the \u2581 bank"]

# Characters that Unicode 9 to 14 brought or moved to another class, and what is left in its own.
YOUNG = ["a\u09fdb\u2e43c\u166dd\u061de\u2e42f", "a\u0afab\u1dfbc\u1734d\ua8c5e\u0301f", "a\u08e2b\U000110cdc\u0890d\u061ce",
         "\u32ff \u32fe \U0001f16c \ua7f2 \U0001fbf3", "a\u0898\u0323\u0301b e\u1ac1\u0323 \U00011935\U00011930 \U00011938", "\u1cf2a\u111c9b\U000111c9c"]

# SentencePiece's form of a dozen rules, written by its trainer from a table of U+FB01 -> fi, A0 and tab -> space, 2460 -> 1,
# e 301 -> e9, 200D and AD -> nothing, 4F60 -> nii, A 30A -> C5, BD -> 1/2, 304B 3099 x -> z, 12 -> 7, 212B -> C5.
CHARSMAP = (
    "AAQAAAAgAAAJDQAAAQAAgDIdAAALAACAzCQCAIoFAAAWAACAzAACAIENAAAZAACAAAAAgAUAAIC9BQAAjRUAAJH0AgCgSQAAq1kAAKAFAAADAA"
    "CAgTQCAIzsAQB4BQAAFAAAgL2EAgCgCQAAhIACABAAAICB8QAArVkAAIB0AgCsCAIADQAAgCAAAAAjAAAAIgAAACUAAAAkAAAAJwAAACYAAAAp"
    "AAAAKAAAACsAAAAqAAAALQAAACwAAAAvAAAALgAAADEAAAAwAAAAMwAAADIAAAA1AAAANAAAADcAAAA2AAAAOQAAADEgAAA7AAAAOgAAAD0AAA"
    "A8AAAAPwAAAD4AAABBAAAAQAAAAEMAAABCAAAARQAAAEQAAABHAAAARgAAAEkAAABBAAIASwAAAEoAAABNAAAATAAAAE8AAABOAAAAUQAAAFAA"
    "AABTAAAAUgAAAFUAAABUAAAAVwAAAFYAAABZAAAAWAAAAFsAAABaAAAAXQAAAFwAAABfAAAAXgAAAGEAAABgAAAAYwAAAGIAAABlAAAAZAAAAG"
    "cAAABmAAAAaQAAAGgAAABrAAAAagAAAG0AAABlpAIAbwAAAG4AAABxAAAAcAAAAHMAAAByAAAAdQAAAHQAAAB3AAAAdgAAAHkAAAB4AAAAewAA"
    "AHoAAAB9AAAAfAAAAH8AAAB+AAAAgQAAAIAAAACDAAAAggAAAIUAAACEAAAAhwAAAIYAAACJAAAAiAAAAIsAAACKAAAAjQAAAIwAAACPAAAAjg"
    "AAAJEAAACQAAAAkwAAAJIAAACVAAAAlAAAAJcAAACWAAAAmQAAAJgAAACbAAAAmgAAAJ0AAACcAAAAnwAAAJ4AAAChAAAAoAAAAKMAAACiAAAA"
    "pQAAAKQAAACnAAAApgAAAKkAAACoAAAAqwAAAKoAAACtAAAArAAAAK8AAACuAAAAsQAAALAAAACzAAAAsgAAALUAAAC0AAAAtwAAALYAAAC5AA"
    "AAuAAAALsAAAC6AAAAvQAAALwAAAC/AAAAvgAAAMEAAADAAAAAwwAAAMIAAADFAAAAxAAAAMcAAADGAAAAyQAAAMgAAADC6AEAygAAAM0AAADM"
    "AAAAzwAAAM4AAADRAAAA0AAAANMAAADSAAAA1QAAANQAAADXAAAA1gAAANkAAADYAAAA2wAAANoAAADdAAAA3AAAAN8AAADeAAAA4QAAAOAAAA"
    "DjAAAA4gAAAOUAAADkAAAA5wAAAO9QAQDpAAAA6AAAAOLQAQDj+AEA5CQBAOwAAADvAAAA7gAAAPEAAADwAAAA8wAAAPIAAAD1AAAA9AAAAPcA"
    "AAD2AAAA+QAAAPgAAAD7AAAA+gAAAP0AAAD8AAAA/wAAAP4AAAAAIAAxADHigYQyADcAZmkAbmlpAHoAw4UAw6kA")
MAPPED = ["\ufb01n\u00a0\t \u2460e\u0301 \u4f60x", "\u00ada\u200db\u00ad\u00adc", "A\u030a\u0323 \u212b \u00bd\u0301 121 12", "\u304b\u3099x \u304b\u3099",
          "e\u0301\u0301 e\u0301\u0301\u0301 \r\n a\u200d", "\u00ad", "\U0001f469\u200d\U0001f467 \u09fd", "\u200b\u2028\ufeff\u0001\u008f\ufffd\u1680\u000b\u0085x"]


def added(id, content, **more):
    out = dict(id=id, content=content, single_word=False, lstrip=False, rstrip=False, normalized=False, special=False)
    out.update(more)
    return out


def level(words=WORDS):
    vocab = {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2}
    for w in words:
        vocab.setdefault(w, len(vocab))
    return dict(type="WordLevel", vocab=vocab, unk_token="[UNK]")


def piece(**more):
    out = dict(level(), type="WordPiece", continuing_subword_prefix="##", max_input_chars_per_word=100)
    out.update(more)
    return out


def characters():
    return sorted({c for t in TEXTS for c in t if ord(c)} - set("q€"))


def bpe(byte_level=False, **more):
    letters = characters()
    if byte_level:
        letters = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    extra = more.pop("extra", [])
    vocab = {}
    for t in ["[UNK]", "[CLS]", "[SEP]"] + letters + extra + ["ba", "nk", "bank", "th", "the"]:
        vocab.setdefault(t, len(vocab))
    out = dict(type="BPE", dropout=None, unk_token=None if byte_level else "[UNK]", continuing_subword_prefix=None,
               end_of_word_suffix=None, fuse_unk=False, byte_fallback=False, ignore_merges=False, vocab=vocab,
               merges=[["b", "a"], ["n", "k"], ["ba", "nk"], ["t", "h"], ["th", "e"]])
    out.update(more)
    return out


def unigram(**more):
    extra = more.pop("extra", [])
    vocab = [["<unk>", 0.0]] + [[c, -5.0 - i / 64] for i, c in enumerate(characters())]
    vocab += [["▁bank", -3.0], ["ban", -4.0], ["bank", -3.5], ["▁the", -2.5], ["th", -4.25]] + extra
    out = dict(type="Unigram", unk_id=0, vocab=vocab, byte_fallback=False)
    out.update(more)
    return out


def tokenizer(model, normalizer=None, pre=None, post=None, tokens=(), truncation=None):
    return dict(version="1.0", truncation=truncation, padding=None, added_tokens=list(tokens), normalizer=normalizer,
                pre_tokenizer=pre, post_processor=post, decoder=None, model=model)


def split(pattern, behavior="Isolated", invert=False):
    return dict(type="Split", pattern=pattern, behavior=behavior, invert=invert)


def bert_normalizer(**more):
    out = dict(type="BertNormalizer", clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=True)
    out.update(more)
    return out


def template(post_id=True):
    special = {n: dict(id=n, ids=[i], tokens=[n]) for n, i in (("[CLS]", 1), ("[SEP]", 2))}
    parts = [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
             {"SpecialToken": {"id": "[SEP]", "type_id": 0}}]
    return dict(type="TemplateProcessing", single=parts, pair=parts + [{"Sequence": {"id": "B", "type_id": 1}}],
                special_tokens=special)


BYTE = dict(type="ByteLevel", add_prefix_space=True, trim_offsets=True, use_regex=True)
BYTES = ["<0x%02X>" % b for b in range(256)]
SPACE = dict(type="WhitespaceSplit")


def all_tokenizers():
    for form in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents"):
        yield form, tokenizer(bpe(), dict(type=form))
    yield "Bert", tokenizer(piece(), bert_normalizer(), dict(type="BertPreTokenizer"), template())
    yield "Bert cased", tokenizer(piece(), bert_normalizer(lowercase=False, clean_text=False), dict(type="BertPreTokenizer"))
    yield "Replace String", tokenizer(bpe(), dict(type="Replace", pattern={"String": " b"}, content="▁éb"))
    yield "Replace Regex", tokenizer(bpe(), dict(type="Replace", pattern={"Regex": r"\s+|\bx"}, content="s"))
    yield "Prepend", tokenizer(unigram(), dict(type="Sequence", normalizers=[
        dict(type="Prepend", prepend="▁"), dict(type="Replace", pattern={"String": " "}, content="▁")]))
    yield "Strip", tokenizer(bpe(), dict(type="Strip", strip_left=True, strip_right=True))
    yield "Strip left", tokenizer(bpe(), dict(type="Strip", strip_left=True, strip_right=False))
    yield "ByteLevel normalizer", tokenizer(bpe(True), dict(type="ByteLevel"))
    yield "Whitespace", tokenizer(level(), None, dict(type="Whitespace"))
    yield "WhitespaceSplit", tokenizer(level(), None, SPACE)
    for behavior in ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"):
        yield "Punctuation " + behavior, tokenizer(level(), None, dict(type="Punctuation", behavior=behavior))
        yield "Split " + behavior, tokenizer(level(), None, split({"Regex": r"\w"}, behavior))
        yield "Split inverted " + behavior, tokenizer(level(), None, split({"String": " "}, behavior, True))
    yield "Digits", tokenizer(level(), None, dict(type="Digits", individual_digits=False))
    yield "Digits individual", tokenizer(level(), None, dict(type="Digits", individual_digits=True))
    yield "Split classes", tokenizer(level(), None, split({"Regex": r"[^\w\s]|_|\W\W|\S\B|[[:digit:]]"}))
    yield "Split cl100k", tokenizer(bpe(True), None, dict(type="Sequence", pretokenizers=[split({"Regex":
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"}),
        dict(BYTE, use_regex=False, add_prefix_space=False)]))
    yield "Split empty string", tokenizer(level(), None, split({"String": ""}))
    yield "ByteLevel", tokenizer(bpe(True), None, BYTE, BYTE)
    yield "ByteLevel plain", tokenizer(bpe(True), None, dict(BYTE, add_prefix_space=False), dict(BYTE, trim_offsets=False))
    for scheme in ("always", "first", "never"):
        yield "Metaspace " + scheme, tokenizer(unigram(), None, dict(type="Metaspace", replacement="▁", prepend_scheme=scheme,
                                               split=scheme != "first"), None, [added(0, "<unk>", special=True), added(900, "<m>")])
    yield "Roberta", tokenizer(bpe(True), None, dict(BYTE, add_prefix_space=False),
                               dict(type="RobertaProcessing", sep=["[SEP]", 2], cls=["[CLS]", 1], trim_offsets=True,
                                    add_prefix_space=False), [added(900, "<m>", lstrip=True, special=True)])
    yield "BertProcessing", tokenizer(level(), None, SPACE, dict(type="BertProcessing", sep=["[SEP]", 2], cls=["[CLS]", 1]))
    yield "post Sequence", tokenizer(bpe(True), None, BYTE, dict(type="Sequence", processors=[BYTE, template()]))
    yield "BPE fuse_unk", tokenizer(bpe(fuse_unk=True), None, SPACE)
    yield "BPE byte_fallback", tokenizer(bpe(byte_fallback=True, extra=BYTES), None, SPACE)
    yield "BPE suffix", tokenizer(bpe(end_of_word_suffix="</w>", extra=["k</w>", "s</w>", "x</w>"],
                                      merges=["b a", "n k</w>", "ba nk</w>"]), None, SPACE)
    yield "BPE prefix", tokenizer(bpe(continuing_subword_prefix="##", extra=["##a", "##n", "##k", "ban"],
                                      merges=[["b", "##a"], ["ba", "##n"]]), None, SPACE)
    yield "BPE ignore_merges", tokenizer(bpe(ignore_merges=True, extra=["cafés:", "12"]), None, SPACE)
    yield "Unigram bytes", tokenizer(unigram(byte_fallback=True, extra=[[b, -20.0] for b in BYTES]), dict(type="NFKC"))
    yield "WordPiece long", tokenizer(piece(max_input_chars_per_word=3), None, SPACE)
    yield "added", tokenizer(level(), dict(type="Lowercase"), SPACE, None, [
        added(21, "<m>", rstrip=True, lstrip=True), added(22, "[X]", special=True), added(23, "The", normalized=True, single_word=True),
        added(24, "BANK", normalized=True)])
    for direction in ("Left", "Right"):
        yield "truncation " + direction, tokenizer(level(), None, SPACE, template(), (),
                                                   dict(direction=direction, max_length=4, strategy="LongestFirst", stride=0))


def young_tokenizers():
    """The reference's tables are of Unicode 8 and 9; bytes show what became of each character."""
    pre, letters = dict(BYTE, use_regex=False, add_prefix_space=False), dict(merges=[])
    for what in ("clean_text", "handle_chinese_chars", "strip_accents", "lowercase"):
        flags = dict(dict.fromkeys(("clean_text", "handle_chinese_chars", "strip_accents", "lowercase"), False), **{what: True})
        yield "young Bert " + what, tokenizer(bpe(True, **letters), dict(type="BertNormalizer", **flags), pre)
    for form in ("NFC", "NFD", "NFKC", "NFKD", "StripAccents"):
        yield "young " + form, tokenizer(bpe(True, **letters), dict(type=form), pre)
    yield "young Punctuation", tokenizer(level(), None, dict(type="Punctuation", behavior="Isolated"))


def mapped_tokenizers():
    pre, letters = dict(BYTE, use_regex=False, add_prefix_space=False), dict(merges=[])
    yield "Precompiled", tokenizer(bpe(True, **letters), dict(type="Precompiled", precompiled_charsmap=CHARSMAP), pre)
    yield "Precompiled words", tokenizer(unigram(), dict(type="Sequence", normalizers=[
        dict(type="Precompiled", precompiled_charsmap=CHARSMAP), dict(type="Replace", pattern={"Regex": " {2,}"}, content=" ")]),
        dict(type="Metaspace", replacement="▁", prepend_scheme="always", split=True))
    yield "Nmt", tokenizer(bpe(True, **letters), dict(type="Nmt"), pre)


def fix(name, t):
    """Merges of the suffix case need what they make."""
    if name == "BPE suffix":
        for w in ("nk</w>", "bank</w>"):
            t["model"]["vocab"].setdefault(w, len(t["model"]["vocab"]))
    return t


def main():
    out = []
    every = [(*one, TEXTS) for one in all_tokenizers()] + [(*one, YOUNG) for one in young_tokenizers()]
    every += [(*one, MAPPED) for one in mapped_tokenizers()]
    for name, t, texts in every:
        t = fix(name, t)
        for i, a in enumerate(x for x in t["added_tokens"] if x["id"] >= 21):
            a["id"] = len(t["model"]["vocab"]) + i
        tk = Tokenizer.from_str(json.dumps(t))
        cases = []
        for text in texts:
            e = tk.encode(text)
            at = [0]
            for c in text:
                at.append(at[-1] + len(c.encode()))
            cases.append(dict(text=text, ids=e.ids, begin=[at[a] for a, _ in e.offsets],
                              end=[at[b] for _, b in e.offsets], word=[-1 if w is None else w for w in e.word_ids]))
        out.append(dict(name=name, tokenizer=t, cases=cases))
    with open("steps.json", "w") as f:
        f.write('{"made_with": "tokenizers %s", "list": [\n' % tokenizers.__version__)
        f.write(",\n".join(json.dumps(o, ensure_ascii=True, separators=(",", ":")) for o in out) + "\n]}\n")


main()
