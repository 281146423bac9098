"""Train examples/models/spam-textcnn: a text CNN that tells spam from ham.

    python3 spam_textcnn.py SMSSpamCollection [--seed N] [--out FOLDER]
"""

import texts
from textcnn import TextCnn

SETTINGS = {"lr": 5e-3, "weight_decay": 0.05, "batch": 50, "epochs": 12, "word_dropout": 0.1,
            "label_smoothing": 0.0, "min_count": 2}
CONFIG = {"model_type": "textcnn", "hidden_size": 32, "num_filters": 32,
          "kernel_sizes": [2, 3, 4]}


def main():
    args = texts.parse(__doc__, "the file SMSSpamCollection", "spam-textcnn")
    texts.run(args, texts.read_sms(args.data), lambda n: TextCnn(n, 2), ["ham", "spam"], CONFIG,
              SETTINGS)


if __name__ == "__main__":
    main()
