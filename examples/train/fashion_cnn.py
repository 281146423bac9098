"""Train examples/models/fashion-cnn: a small CNN for the pictures of Fashion-MNIST.

    python3 fashion_cnn.py [--data FOLDER] [--seed N] [--epochs N] [--out FOLDER]

FOLDER holds the four *-ubyte.gz files (Debian: apt install dataset-fashion-mnist).
"""

import argparse
import gzip
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

import common

LABELS = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
          "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]


def read_idx(path):
    """An array of bytes in the IDX format: 0 0 8 rank, then the sizes, big-endian."""
    with gzip.open(path) as file:
        raw = file.read()
    rank = raw[3]
    shape = np.frombuffer(raw, ">u4", rank, 4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * rank).reshape(shape)


def load(folder, part):
    return (read_idx(folder / f"{part}-images-idx3-ubyte.gz"),
            read_idx(folder / f"{part}-labels-idx1-ubyte.gz"))


def without_copies(x, y, test_x):
    """The training set without pictures that occur in the test set too, byte by byte."""
    held_out = {picture.tobytes() for picture in test_x}
    keep = np.array([picture.tobytes() not in held_out for picture in x])
    return x[keep], y[keep], int((~keep).sum())


def block(c_in, c_out):
    return [nn.Conv2d(c_in, c_out, 3, padding=1, bias=False), nn.BatchNorm2d(c_out), nn.ReLU()]


class FashionCnn(nn.Module):
    """x (B,1,28,28), normalised -> logits (B,10)."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            *block(1, 16), nn.MaxPool2d(2), *block(16, 32), *block(32, 64), nn.MaxPool2d(2),
            *block(64, 64), nn.AdaptiveAvgPool2d(1))
        self.dropout = nn.Dropout(0.2)
        self.classifier = nn.Linear(64, 10)

    def forward(self, pixel_values):
        return self.classifier(self.dropout(self.features(pixel_values).flatten(1)))


def augment(x, rng):
    """Mirror each picture with probability 1/2, then shift the whole batch by up to 1 pixel."""
    mirrored = torch.rand(len(x), 1, 1, 1, generator=rng) < 0.5
    x = torch.where(mirrored, x.flip(3), x)
    dy, dx = torch.randint(-1, 2, (2,), generator=rng).tolist()
    padded = nn.functional.pad(x, (1, 1, 1, 1), mode="replicate")
    return padded[:, :, 1 + dy:29 + dy, 1 + dx:29 + dx]


def predict(model, x):
    model.eval()
    with torch.no_grad():
        return torch.cat([model(part) for part in x.split(500)])


def train(model, x, y, epochs, seed):
    rng = torch.Generator().manual_seed(seed)
    batch = 128
    optimiser = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=0.02)
    steps = epochs * (len(x) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps)
    for epoch in range(epochs):
        model.train()
        start, total = time.time(), 0.0
        order = torch.randperm(len(x), generator=rng)[:len(x) // batch * batch]
        for index in order.split(batch):
            loss = nn.functional.cross_entropy(model(augment(x[index], rng)), y[index])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item() * len(index)
        print(f"epoch {epoch + 1}: loss {total / len(order):.4f}, {time.time() - start:.0f} s",
              flush=True)


def write_config(out, mean, std):
    common.write_json(out / "config.json", {
        "architectures": ["FashionCnn"],
        "model_type": "cnn",
        "num_channels": 1,
        "image_size": 28,
        "id2label": {str(i): name for i, name in enumerate(LABELS)},
        "label2id": {name: i for i, name in enumerate(LABELS)},
    })
    common.write_json(out / "preprocessor_config.json", {
        "do_grayscale": True,
        "channels": 1,
        "do_resize": True,
        "size": {"height": 28, "width": 28},
        "resample": 2,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [mean],
        "image_std": [std],
    })


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--out", type=Path, default=common.MODELS / "fashion-cnn")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=7)
    args = parser.parse_args()
    common.seed_all(args.seed)

    train_x, train_y = load(args.data, "train")
    test_x, test_y = load(args.data, "t10k")
    train_x, train_y, n_copy = without_copies(train_x, train_y, test_x)
    print(f"{n_copy} training pictures also occur in the test set: left out, "
          f"{len(train_x)} remain")
    mean = round(float(train_x.mean()) / 255, 4)
    std = round(float(train_x.std()) / 255, 4)

    def tensor(pictures):
        return (torch.from_numpy(pictures[:, None].astype(np.float32)) / 255 - mean) / std

    model = FashionCnn().to(memory_format=torch.channels_last)  # a third faster on a CPU
    print(f"{common.n_param(model)} parameters, mean {mean}, std {std}")
    train(model, tensor(train_x), torch.from_numpy(train_y.astype(np.int64)), args.epochs,
          args.seed)

    x = tensor(test_x)
    right = predict(model, x).argmax(1).numpy() == test_y
    print(f"held-out accuracy {right.mean():.4f} ({right.sum()} of {len(right)})")
    for i, name in enumerate(LABELS):
        print(f"  {name:12} {right[test_y == i].mean():.3f}")

    path = args.out / "model.onnx"
    model.to(memory_format=torch.contiguous_format)  # else the export holds index arithmetic
    common.export(model, x[:2], (("pixel_values", {0: "batch"}), "logits"), path)
    write_config(args.out, mean, std)
    print(common.describe(path))
    worst = common.compare(path, model, [x[:1].numpy(), x[:64].numpy()])
    print(f"onnxruntime differs by at most {worst:.1e}")
    right = np.concatenate([common.run(path, p.numpy()) for p in x.split(1000)]).argmax(1) == test_y
    print(f"held-out accuracy of model.onnx {right.mean():.4f}")


if __name__ == "__main__":
    main()
