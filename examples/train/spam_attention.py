"""Train examples/models/spam-attention: a small transformer encoder that tells spam from ham.

    python3 spam_attention.py SMSSpamCollection [--seed N] [--out FOLDER]
"""

import math

import torch
from torch import nn

import texts

SETTINGS = {"lr": 3e-3, "weight_decay": 0.05, "batch": 50, "epochs": 6, "word_dropout": 0.2,
            "label_smoothing": 0.02, "min_count": 2}
CONFIG = {"model_type": "transformer", "hidden_size": 32, "num_hidden_layers": 2,
          "num_attention_heads": 4, "intermediate_size": 64, "hidden_act": "gelu",
          "max_position_embeddings": 256}


class Layer(nn.Module):
    """Pre-LayerNorm encoder layer: x + attention(norm(x)), then x + mlp(norm(x)); x (B,T,D)."""

    def __init__(self, width, n_head, n_hidden, dropout):
        super().__init__()
        self.n_head = n_head
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.value, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, n_hidden), nn.GELU(),
                                 nn.Linear(n_hidden, width))
        self.dropout = nn.Dropout(dropout)

    def heads(self, x):
        return x.unflatten(2, (self.n_head, -1)).transpose(1, 2)  # (B,H,T,D/H)

    def attend(self, x, hidden):
        q, k, v = self.heads(self.query(x)), self.heads(self.key(x)), self.heads(self.value(x))
        score = q @ k.transpose(2, 3) / math.sqrt(q.shape[3])  # (B,H,T,T)
        if hidden is not None:
            score = score.masked_fill(hidden[:, None, None], -math.inf)
        return self.out((score.softmax(3) @ v).transpose(1, 2).flatten(2))

    def forward(self, x, hidden=None):
        x = x + self.dropout(self.attend(self.norm1(x), hidden))
        return x + self.dropout(self.mlp(self.norm2(x)))


class Encoder(nn.Module):
    """ids (B,T), 1 <= T <= 256 -> logits (B,2), from the mean over all words.

    In training [PAD] is hidden from the attention and from the mean.  The exported model reads
    texts of one length and has no mask.
    """

    def __init__(self, n_word, n_class=2, dropout=0.2):
        super().__init__()
        width = CONFIG["hidden_size"]
        self.embedding = nn.Embedding(n_word, width, padding_idx=texts.PAD)
        self.position = nn.Embedding(CONFIG["max_position_embeddings"], width)
        nn.init.normal_(self.embedding.weight, std=0.1)
        nn.init.normal_(self.position.weight, std=0.02)
        self.layers = nn.ModuleList(
            Layer(width, CONFIG["num_attention_heads"], CONFIG["intermediate_size"], dropout)
            for _ in range(CONFIG["num_hidden_layers"]))
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width, n_class)

    def forward(self, input_ids):
        position = self.position(torch.arange(input_ids.shape[1], device=input_ids.device))
        x = self.dropout(self.embedding(input_ids) + position)
        hidden = None if torch.onnx.is_in_onnx_export() else input_ids == texts.PAD
        for layer in self.layers:
            x = layer(x, hidden)
        x = self.norm(x)
        if hidden is None:
            x = x.mean(1)
        else:
            seen = (~hidden)[:, :, None].float()
            x = (x * seen).sum(1) / seen.sum(1)
        return self.classifier(self.dropout(x))


def main():
    args = texts.parse(__doc__, "the file SMSSpamCollection", "spam-attention")
    texts.run(args, texts.read_sms(args.data), Encoder, ["ham", "spam"], CONFIG, SETTINGS)


if __name__ == "__main__":
    main()
