#!/usr/bin/env python3
"""make_bert.py - writes tests/models/bert, a small BERT with random weights as the usual exporter writes it.

Two layers, 16 wide, input_ids, attention_mask and token_type_ids of any batch and length up to 256; texts become letters.
The token "@" is no number on purpose: what holds it has no scores.

needs: torch, transformers, onnx.  Run it in its own folder.
"""
import json
import pathlib
import warnings

import torch
from transformers import BertConfig, BertForSequenceClassification

HERE = pathlib.Path(__file__).resolve().parent / "bert"
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
WORDS = "the to you in is me my for your of it on have that call now free txt see at six prize won".split()
LABELS = {0: "ham", 1: "spam"}


class Scores(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, *values):
        return self.model(**dict(zip(INPUTS, values))).logits


def main():
    warnings.filterwarnings("ignore")
    torch.manual_seed(3)
    vocabulary = (["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *("##" + c for c in LETTERS),
                   *"!\"#$%&'()*+,-./:;<=>?@", *WORDS])
    config = BertConfig(vocab_size=len(vocabulary), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
                        intermediate_size=32, max_position_embeddings=256, num_labels=2, initializer_range=0.1,
                        attn_implementation="eager")
    model = BertForSequenceClassification(config).eval()
    with torch.no_grad():
        model.bert.embeddings.word_embeddings.weight[vocabulary.index("@")] = float("nan")
    ids = torch.randint(5, 60, (2, 9))
    mask = torch.ones_like(ids)
    mask[1, 6:] = 0
    axes = {name: {0: "batch", 1: "sequence"} for name in INPUTS} | {"logits": {0: "batch"}}
    HERE.mkdir(exist_ok=True)
    torch.onnx.export(Scores(model), (ids, mask, torch.zeros_like(ids)), HERE / "model.onnx", dynamo=False,
                      opset_version=17, input_names=list(INPUTS), output_names=["logits"], dynamic_axes=axes)
    (HERE / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    (HERE / "config.json").write_text(json.dumps({"model_type": "bert", "id2label": LABELS}, indent=1) + "\n")


main()
