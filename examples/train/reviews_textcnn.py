"""Train examples/models/reviews-textcnn: a text CNN that tells good reviews from bad ones.

    python3 reviews_textcnn.py FOLDER [--seed N] [--out FOLDER]

FOLDER holds amazon_cells_labelled.txt, imdb_labelled.txt and yelp_labelled.txt.
"""

import texts
from textcnn import TextCnn

SETTINGS = {"lr": 5e-3, "weight_decay": 0.05, "batch": 50, "epochs": 12, "word_dropout": 0.1,
            "label_smoothing": 0.0, "min_count": 2}
CONFIG = {"model_type": "textcnn", "hidden_size": 32, "num_filters": 32,
          "kernel_sizes": [2, 3, 4]}


def main():
    args = texts.parse(__doc__, "the folder with the three *_labelled.txt", "reviews-textcnn")
    texts.run(args, texts.read_reviews(args.data), lambda n: TextCnn(n, 2),
              ["negative", "positive"], CONFIG, SETTINGS)


if __name__ == "__main__":
    main()
