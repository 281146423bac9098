#!/usr/bin/env python3
"""export_zoo.py [--cache DIR] [--nets A,B] [--forms ts17,ts20,dy18,dy20] - networks as PyTorch's exporters write them.

Every net has random weights (fixed seed, batch-norm statistics that differ from 0 and 1), so nothing is downloaded.
Each becomes DIR/NET-FORM/: model.onnx, input.npy, output.npy (PyTorch's own).  ts: the TorchScript exporter, dy: the newer
one; the number is the opset; an n behind it leaves the batch open, a k keeps batch norms as they are (TorchScript only).
check_zoo.py compares them with lrp.

needs: pip install torch torchvision onnx onnxscript
"""
import argparse
import os
import pathlib
import time

import numpy
import torch
import torchvision.models as tv
from torch import nn


def vgg16():
    """VGG-16 with a quarter of the channels and a small classifier: the same nodes, 1/100 of the weights."""
    plan = [16, 16, "M", 32, 32, "M", 64, 64, 64, "M", 128, 128, 128, "M", 128, 128, 128, "M"]
    net = tv.VGG(tv.vgg.make_layers(plan), num_classes=100)
    net.classifier = nn.Sequential(nn.Linear(128 * 7 * 7, 256), nn.ReLU(), nn.Dropout(), nn.Linear(256, 256), nn.ReLU(),
                                   nn.Dropout(), nn.Linear(256, 100))
    return net


def vit(blocks=3):
    """ViT-B/16 with 3 of its 12 blocks."""
    torch.backends.mha.set_fastpath_enabled(False)  # the TorchScript exporter knows no fused attention
    net = tv.VisionTransformer(image_size=224, patch_size=16, num_layers=blocks, num_heads=12, hidden_dim=768, mlp_dim=3072)
    nn.init.normal_(net.heads.head.weight, std=0.02)  # torchvision starts it at 0
    return net


class AudioNet(nn.Module):
    """M5-like: a 1-D convolution on raw sound."""

    def __init__(self):
        super().__init__()
        layers, c = [], 1
        for out, kernel, stride in ((32, 80, 4), (32, 3, 1), (64, 3, 1), (64, 3, 1)):
            layers += [nn.Conv1d(c, out, kernel, stride), nn.BatchNorm1d(out), nn.ReLU(), nn.MaxPool1d(4)]
            c = out
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1))
        self.fc1 = nn.Linear(c, 10)

    def scores(self, x):
        return self.fc1(self.features(x).permute(0, 2, 1))

    def forward(self, x):
        return torch.log_softmax(self.scores(x), dim=2).squeeze(1)


IMAGE = (1, 3, 224, 224)
NETS = {
    "vgg16": (vgg16, IMAGE),
    "resnet50": (tv.resnet50, IMAGE),
    "mobilenet_v2": (tv.mobilenet_v2, IMAGE),
    "mobilenet_v3": (tv.mobilenet_v3_small, IMAGE),
    "efficientnet_b0": (tv.efficientnet_b0, IMAGE),
    "densenet121": (tv.densenet121, IMAGE),
    "squeezenet": (tv.squeezenet1_1, IMAGE),
    "googlenet": (lambda: tv.googlenet(aux_logits=False, init_weights=False), IMAGE),
    "convnext_tiny": (tv.convnext_tiny, IMAGE),
    "swin_t": (tv.swin_t, IMAGE),
    "vit_b_16": (vit, IMAGE),
    "audio1d": (AudioNet, (1, 1, 8000)),
    "r3d_18": (tv.video.r3d_18, (1, 3, 8, 56, 56)),
}
WHOLE = {  # not unless named: 900 MB a form
    "whole_vgg16": (tv.vgg16, IMAGE),
    "whole_vit_b_16": (lambda: vit(12), IMAGE),
}


def make(name):
    torch.manual_seed(1)
    constructor, shape = {**NETS, **WHOLE}[name]
    net = constructor().eval()
    for module in net.modules():
        if name == "googlenet" and isinstance(module, nn.Conv2d):  # else activations fade, and pools choose among noise
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
    return net, torch.randn(shape, generator=torch.Generator().manual_seed(2))


def export(name, form, folder):
    net, x = make(name)
    folder.mkdir(parents=True, exist_ok=True)
    with torch.no_grad():
        numpy.save(folder / "output.npy", net(x).numpy())
    numpy.save(folder / "input.npy", x.numpy())
    new, options = form.startswith("dy"), {}
    if form.endswith("k"):
        options = {"training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False}
    if form.endswith("n"):
        options = {"dynamic_shapes": ({0: torch.export.Dim("n")},)} if new else {"dynamic_axes": {"x": {0: "n"}}}
    torch.onnx.export(net, (x,), str(folder / "model.onnx"), opset_version=int(form[2:].rstrip("nk")), dynamo=new,
                      input_names=["x"], output_names=["y"], **options)


def main():
    cache = os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache"))
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--cache", default=os.path.join(cache, "lrp-zoo"))
    p.add_argument("--nets", default=",".join(NETS))
    p.add_argument("--forms", default="ts17,ts20,dy18,dy20")
    a = p.parse_args()
    torch.set_num_threads(1)
    for name in a.nets.split(","):
        for form in a.forms.split(","):
            folder = pathlib.Path(a.cache) / f"{name}-{form}"
            if (folder / "model.onnx").exists():
                continue
            start = time.time()
            try:
                export(name, form, folder)
                print(f"{folder} {time.time() - start:.0f} s", flush=True)
            except Exception as error:  # the exporter's own limits; the others go on
                print(f"{folder} could not be exported: {str(error).splitlines()[0]}", flush=True)


if __name__ == "__main__":
    main()
