"""A text CNN (Kim 2014): embedding, convolutions of several widths, maximum over time, dense."""

import torch
from torch import nn

import texts


class TextCnn(nn.Module):
    """ids (B,T), T >= 1 -> logits (B,classes).

    The convolutions have no bias and the embedding of [PAD] is zero: a window of padding gives
    0 after the ReLU and cannot change the maximum.  Padding by width - 1 inside the convolution
    lets a text of one word through.
    """

    def __init__(self, n_word, n_class, width=32, n_filter=32, kernels=(2, 3, 4), dropout=0.5):
        super().__init__()
        self.embedding = nn.Embedding(n_word, width, padding_idx=texts.PAD)
        nn.init.normal_(self.embedding.weight, std=0.1)
        with torch.no_grad():
            self.embedding.weight[texts.PAD].zero_()
        self.convs = nn.ModuleList(
            nn.Conv1d(width, n_filter, k, padding=k - 1, bias=False) for k in kernels)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(n_filter * len(kernels), n_class)

    def forward(self, input_ids):
        x = self.dropout(self.embedding(input_ids)).transpose(1, 2)  # (B,D,T)
        best = [torch.relu(conv(x)).amax(2) for conv in self.convs]  # (B,F) each
        return self.classifier(self.dropout(torch.cat(best, 1)))
