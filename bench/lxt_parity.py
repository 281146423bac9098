#!/usr/bin/env python3
"""Does lrp compute what the peers compute?  AttnLRP and CP-LRP against LXT, the LSTM rule against
the published numpy procedure, on the same weights.

    python3 bench/lxt_parity.py [--model clinc-minilm] [--lstm examples/models/spam-lstm]

needs: torch, lxt==2.1, "transformers>=4.52,<4.58", onnx, tokenizers, and the folder that
examples/train/clinc_minilm.py writes.  LXT runs in float64, so its own rounding plays no part.
"""

import os
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

import study

SENTENCES = [
    "please book me a flight from boston to paris next tuesday",
    "what's the weather like in berlin",
    "my credit card was stolen, freeze the account now",
    "how would you say good morning in italian",
    "set an alarm for half past six",
    "how many calories are there in a chocolate-covered doughnut",
    "can you tell me why my payment was declined at the grocery store",
    "remind me what is on my shopping list",
    "tell me a joke",
    "transfer 250 dollars from checking to savings, and then let me know how much money is left",
]
MESSAGES = [
    "You won a free prize, call now",
    "see you at six",
    "Congratulations! You have been selected to receive a £1000 reward, reply YES to claim",
    "sorry, I'll call later. In a meeting until lunch and then off to the dentist",
    "URGENT your mobile number has won a ringtone txt STOP to end",
    "ok lol",
]
LIMIT = 1e-4  # of the largest |score| of a sentence


# ---- LXT ----

def import_torchvision():
    """LXT imports torchvision for one vision model.  A torchvision built for CUDA cannot load its
    operators beside a torch without, and then stops at those that it needs at once: declare these.
    """
    import torch

    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        for name in [n for n in sys.modules if n.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        import_torchvision.keep = torch.library.Library("torchvision", "DEF")
        for op in ("nms", "qnms"):
            import_torchvision.keep.define(f"{op}(Tensor boxes, Tensor scores, float limit) -> Tensor")


def lxt_model(folder):
    """The weights of the ONNX folder's source in transformers' BERT, patched by LXT, in float64."""
    import torch

    import_torchvision()
    from lxt.efficient import monkey_patch
    from transformers.models.bert import modeling_bert

    sys.path.insert(0, str(study.ROOT / "examples" / "train"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        monkey_patch(modeling_bert)
        import clinc_minilm
    clinc_minilm.BertModel = modeling_bert.BertModel
    bert, tokenizer = clinc_minilm.load(clinc_minilm.package_folder(), "eager")
    graph = onnx.load(folder / "model.onnx").graph
    weight = {w.name: numpy_helper.to_array(w) for w in graph.initializer}
    model = clinc_minilm.BertForIntent(bert, len(weight["classifier.bias"]))
    model.classifier.weight.data = torch.from_numpy(weight["classifier.weight"].copy())
    model.classifier.bias.data = torch.from_numpy(weight["classifier.bias"].copy())
    return model.double().eval(), tokenizer


def freeze_attention(model):
    """From AttnLRP to CP-LRP: queries and keys are constants, the values take all."""
    import lxt.efficient.models.bert as patched
    from lxt.efficient.rules import stop_gradient

    patched.divide_gradient = lambda x, factor=2: x
    for layer in model.bert.encoder.layer:
        for part in (layer.attention.self.query, layer.attention.self.key):
            part.register_forward_hook(lambda module, given, out: stop_gradient(out))


def lxt_scores(model, tokenizer, text):
    """Logits, and gradient x input at the word embeddings (T)."""
    import torch

    ids = torch.tensor([tokenizer.encode(text).ids])
    e = model.bert.embeddings.word_embeddings(ids).detach().requires_grad_()
    logits = model.classifier(model.bert(inputs_embeds=e).last_hidden_state.mean(1))[0]
    logits.max().backward()
    return logits.detach().numpy(), (e * e.grad).sum(-1)[0].detach().numpy()


def compare_lxt(args):
    rows, record = [], []
    model, tokenizer = lxt_model(args.model)
    for rules in ("attnlrp", "cp_lrp"):
        if rules == "cp_lrp":
            freeze_attention(model)
        ours = study.explain(args, args.model, SENTENCES, "--rules", rules)
        for text, one in zip(SENTENCES, ours):
            logits, theirs = lxt_scores(model, tokenizer, text)
            r = np.array(study.token_scores(one))
            largest = np.abs(theirs).max()
            error = np.abs(r - theirs).max() / largest
            forward = np.abs(np.array(one["scores"]) - logits).max()
            rows.append([text[:44], rules, str(len(r)), f"{largest:.4f}", f"{error:.1e}",
                         f"{forward:.1e}", "yes" if error <= LIMIT else "NO"])
            record.append({"text": text, "rules": rules, "tokens": len(r), "error": error,
                           "logit_error": forward})
    study.table("AttnLRP and CP-LRP of a six-layer BERT: lrp against LXT 2.1 in float64",
                ["sentence", "rules", "tokens", "max |R|", "max |dR| / max |R|", "max |d logit|",
                 f"<= {LIMIT:g}"], rows)
    return record


# ---- the published LSTM rule ----

def lrp_linear(hin, w, hout, relevance, eps):
    """R_in of z = w^T hin + ..., w (in,out): Arras et al. 2017, equation 1, with delta = 0."""
    stable = hout[None, :] + eps * np.where(hout[None, :] >= 0, 1.0, -1.0)
    return (w * hin[:, None] / stable * relevance[None, :]).sum(1)


class NumpyLstm:
    """A bidirectional LSTM of an ONNX file, gates in the order i, o, f, g, step by step."""

    def __init__(self, path):
        graph = onnx.load(path).graph
        value = {w.name: numpy_helper.to_array(w).astype(float) for w in graph.initializer}
        value |= {n.output[0]: numpy_helper.to_array(n.attribute[0].t)
                  for n in graph.node if n.op_type == "Constant"}
        lstm = next(n for n in graph.node if n.op_type == "LSTM")
        gemm = next(n for n in graph.node if n.op_type == "Gemm")
        gather = next(n for n in graph.node if n.op_type == "Gather" and
                      n.input[0] in value and value[n.input[0]].ndim == 2)
        self.table = value[gather.input[0]]
        self.w, self.r = value[lstm.input[1]], value[lstm.input[2]]
        both = value[lstm.input[3]]
        self.h = self.r.shape[2]
        self.b = both[:, :4 * self.h] + both[:, 4 * self.h:]
        self.out, self.out_bias = value[gemm.input[1]], value[gemm.input[2]]

    def one_way(self, x, way):
        n, size = len(x), self.h
        h, c = np.zeros((n + 1, size)), np.zeros((n + 1, size))
        gates, pre = np.zeros((n, 4, size)), np.zeros((n, size))
        for t in range(n):
            z = self.w[way] @ x[t] + self.r[way] @ h[t] + self.b[way]
            gates[t, :3] = (1 / (1 + np.exp(-z[:3 * size]))).reshape(3, size)
            pre[t] = z[3 * size:]
            gates[t, 3] = np.tanh(pre[t])
            c[t + 1] = gates[t, 2] * c[t] + gates[t, 0] * gates[t, 3]
            h[t + 1] = gates[t, 1] * np.tanh(c[t + 1])
        return x, h, c, gates, pre

    def back(self, way, state, r_h, eps):
        x, h, c, gates, pre = state
        size, eye = self.h, np.eye(self.h)
        w, r = self.w[way][3 * size:].T, self.r[way][3 * size:].T
        rx, r_c = np.zeros_like(x), np.zeros(size)
        for t in reversed(range(len(x))):
            r_c = r_c + r_h
            r_g = lrp_linear(gates[t, 0] * gates[t, 3], eye, c[t + 1], r_c, eps)
            r_c = lrp_linear(gates[t, 2] * c[t], eye, c[t + 1], r_c, eps)
            rx[t] = lrp_linear(x[t], w, pre[t], r_g, eps)
            r_h = lrp_linear(h[t], r, pre[t], r_g, eps)
        return rx

    def explain(self, ids, eps=1e-3):
        """Logits and the relevance of each token."""
        x, size = self.table[ids], self.h
        states = [self.one_way(x, 0), self.one_way(x[::-1], 1)]
        y = self.out_bias + sum(self.out[:, d * size:(d + 1) * size] @ s[1][-1]
                                for d, s in enumerate(states))
        seed = np.where(np.arange(len(y)) == y.argmax(), y, 0.0)
        r = [self.back(d, s, lrp_linear(s[1][-1], self.out[:, d * size:(d + 1) * size].T, y, seed,
                                        eps), eps) for d, s in enumerate(states)]
        return y, (r[0] + r[1][::-1]).sum(1)


def compare_lstm(args):
    peer, cut = NumpyLstm(args.lstm / "model.onnx"), study.tokenizer(args.lstm)
    rows, record = [], []
    for text, one in zip(MESSAGES, study.explain(args, args.lstm, MESSAGES, "--rules", "lstm_arras")):
        y, theirs = peer.explain(cut.encode(text).ids)
        r = np.array(study.token_scores(one))
        largest = np.abs(theirs).max()
        error = np.abs(r - theirs).max() / largest
        rows.append([text[:44], str(len(r)), f"{largest:.4f}", f"{error:.1e}",
                     f"{np.abs(np.array(one['scores']) - y).max():.1e}",
                     "yes" if error <= LIMIT else "NO"])
        record.append({"text": text, "tokens": len(r), "error": error})
    study.table("The LSTM rule of Arras et al. 2017: lrp against numpy in float64",
                ["message", "tokens", "max |R|", "max |dR| / max |R|", "max |d logit|",
                 f"<= {LIMIT:g}"], rows)
    return record


# ---- time ----

def spent():
    """Processor time of this process, of its finished children, in seconds."""
    t = os.times()
    return t.user + t.system, t.children_user + t.children_system


def time_lstm(args, n=3000, runs=5):
    """Processor ms for each text of 14 words.  lrp: the slope between n and 2 n texts in one
    process, so all but its start is in.
    """
    peer, cut = NumpyLstm(args.lstm / "model.onnx"), study.tokenizer(args.lstm)
    text = "you have won a free prize please call me now or see you later"
    ids = cut.encode(text).ids
    theirs = []
    for _ in range(runs):
        start = spent()[0]
        for _ in range(100):
            peer.explain(ids)
        theirs.append((spent()[0] - start) * 10)

    def ours(k):
        start = spent()[1]
        study.call(args, "explain", args.lstm.resolve(), "--rules", "lstm_arras", "--no-db",
                   "--quiet", "--json", "--threads", args.threads, "--", *[text] * k)
        return spent()[1] - start

    slope = (min(ours(2 * n) for _ in range(runs)) - min(ours(n) for _ in range(runs))) / n * 1e3
    numpy_ms = min(theirs)
    study.table(f"Processor time for a text of {len(ids)} words, forward and back",
                ["program", "ms a text", "times slower than lrp"],
                [["numpy, this port", f"{numpy_ms:.3f}", f"{numpy_ms / slope:.0f}"],
                 ["numpy, as published (design page)", "5", f"{5 / slope:.0f}"],
                 ["lrp explain --json, 1 process", f"{slope:.4f}", "1"]],
                "lrp: tokenizer, forward, relevance and the printed JSON; the start is left out.")
    return {"words": len(ids), "numpy_ms": numpy_ms, "lrp_ms": slope}


def main():
    p = study.parser(__doc__)
    p.add_argument("--model", type=Path, default=study.clinc_minilm())
    p.add_argument("--lstm", type=Path, default=study.ROOT / "examples" / "models" / "spam-lstm")
    p.add_argument("--only", choices=["lxt", "lstm", "time"], help="one of the three parts")
    args = p.parse_args()
    parts = {"lxt": compare_lxt, "lstm": compare_lstm, "time": time_lstm}
    result = {name: run(args) for name, run in parts.items() if args.only in (None, name)}
    names = {"lxt": "lxt_parity", "lstm": "lstm_parity", "time": "lstm_time"}
    for name, found in result.items():
        study.save(args, names[name], {name: found})
    worst = max((r["error"] for part in ("lxt", "lstm") for r in result.get(part, [])), default=0)
    if worst > LIMIT:
        raise SystemExit(f"differs by {worst:.1e} of the largest score; {LIMIT:g} was expected")


if __name__ == "__main__":
    main()
