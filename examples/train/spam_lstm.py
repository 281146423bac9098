"""Train examples/models/spam-lstm: a bidirectional LSTM that tells spam from ham.

    python3 spam_lstm.py SMSSpamCollection [--seed N] [--out FOLDER]
"""

import torch
from torch import nn

import texts

SETTINGS = {"lr": 8e-3, "weight_decay": 0.02, "batch": 50, "epochs": 8, "word_dropout": 0.1,
            "label_smoothing": 0.0, "min_count": 2}
CONFIG = {"model_type": "lstm", "hidden_size": 32, "bidirectional": True, "num_layers": 1}


class BiLstm(nn.Module):
    """ids (B,T) -> logits (B,2), from the last hidden state of each direction.

    In training a padded batch is packed, so that the states end at each text's own last word.
    The exported model reads texts of one length and needs no packing.
    """

    def __init__(self, n_word, n_class=2, width=32, n_hidden=32):
        super().__init__()
        self.embedding = nn.Embedding(n_word, width, padding_idx=texts.PAD)
        nn.init.normal_(self.embedding.weight, std=0.1)
        with torch.no_grad():
            self.embedding.weight[texts.PAD].zero_()
        self.lstm = nn.LSTM(width, n_hidden, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(0.5)
        self.classifier = nn.Linear(2 * n_hidden, n_class)

    def forward(self, input_ids):
        x = self.dropout(self.embedding(input_ids))
        if not torch.onnx.is_in_onnx_export():
            length = (input_ids != texts.PAD).sum(1)
            x = nn.utils.rnn.pack_padded_sequence(x, length, batch_first=True,
                                                  enforce_sorted=False)
        _, (hidden, _) = self.lstm(x)  # (2,B,H)
        return self.classifier(self.dropout(torch.cat([hidden[0], hidden[1]], 1)))


def main():
    args = texts.parse(__doc__, "the file SMSSpamCollection", "spam-lstm")
    texts.run(args, texts.read_sms(args.data), BiLstm, ["ham", "spam"], CONFIG, SETTINGS,
              dynamo=False)


if __name__ == "__main__":
    main()
