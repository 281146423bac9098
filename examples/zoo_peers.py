"""zoo_peers.py - what zennit needs to know of torchvision's networks before EpsilonPlus means there what it says.

zennit gives rules to modules.  What a network computes without one - a residual sum, a pool of torch.nn.functional, a gate,
a layer scale - would be left to the plain gradient, which counts relevance twice or scales it.  The canonizers here put
modules in those places; zennit's own merge batch norms and do the same for ResNet.  Batch norms that follow no convolution
(DenseNet) and layer norms pass relevance on, as lrp's epsilon_plus has it.

needs: pip install torch torchvision zennit
"""
import torch
import torchvision.models as tv
from torch import nn
from torchvision.models.convnext import CNBlock
from torchvision.models.efficientnet import MBConv
from torchvision.models.mobilenetv2 import InvertedResidual as Inverted2
from torchvision.models.mobilenetv3 import InvertedResidual as Inverted3
from torchvision.models.video.resnet import BasicBlock as VideoBlock
from torchvision.ops.misc import SqueezeExcitation
from zennit.attribution import Gradient
from zennit.canonizers import AttributeCanonizer, NamedMergeBatchNorm, SequentialMergeBatchNorm
from zennit.composites import EpsilonPlus
from zennit.layer import Sum
from zennit.rules import Pass
from zennit.torchvision import ResNetCanonizer

NONE = {  # where EpsilonPlus of zennit means nothing, and why
    "swin_t": "attention: its products and softmax are no modules, so no rule of zennit reaches them",
    "whole_vit_b_16": "the same",
    "vit_b_16": "the same; the projections of its attention are no modules either",
}


class Scale(nn.Module):
    """x times what is held constant: a gate, or the layer scale of ConvNeXt."""

    def forward(self, x):
        return x * self.scale


def replace(kind, make):
    """A canonizer: modules of a kind get the attributes that make(module) gives."""
    return AttributeCanonizer(lambda _, module: make(module) if isinstance(module, kind) else None)


def residual(branch):
    """x + branch(module, x) by zennit's Sum."""
    def make(module):
        plain = type(module).forward

        def forward(self, x):
            if not getattr(self, "use_res_connect", True):
                return plain(self, x)
            return self.canonizer_sum(torch.stack([x, branch(self, x)], dim=-1))
        return {"canonizer_sum": Sum(), "forward": forward.__get__(module)}
    return make


def video_block(module):
    def forward(self, x):
        skip = x if self.downsample is None else self.downsample(x)
        return self.relu(self.canonizer_sum(torch.stack([skip, self.conv2(self.conv1(x))], dim=-1)))
    return {"canonizer_sum": Sum(), "forward": forward.__get__(module)}


def gate(module):
    """Squeeze and excitation: the signal takes all (Arras et al. 2017)."""
    def forward(self, x):
        self.canonizer_scale.scale = self._scale(x).detach()
        return self.canonizer_scale(x)
    return {"canonizer_scale": Scale(), "forward": forward.__get__(module)}


def scaled_branch(self, x):
    self.canonizer_scale.scale = self.layer_scale.detach()
    return self.canonizer_scale(self.block(x))


def convnext_block(module):
    return {"canonizer_scale": Scale(), **residual(scaled_branch)(module)}


def pooled(module):
    """DenseNet and MobileNet V2 pool by a function."""
    def forward(self, x):
        x = self.features(x)
        if isinstance(self, tv.DenseNet):
            x = self.canonizer_relu(x)
        return self.classifier(torch.flatten(self.canonizer_pool(x), 1))
    return {"canonizer_relu": nn.ReLU(), "canonizer_pool": nn.AdaptiveAvgPool2d(1), "forward": forward.__get__(module)}


def densenet_norms(net):
    """The only batch norms there that follow a convolution; by order of modules a norm would be merged into the wrong one."""
    names = [name for name, module in net.named_modules() if isinstance(module, nn.BatchNorm2d)]
    return [([name.replace("norm2", "conv1").replace("norm0", "conv0")], name)
            for name in names if name.endswith(("norm2", "norm0"))]


def canonizers(name, net):
    merge = SequentialMergeBatchNorm()
    return {
        "vgg16": lambda: [],
        "whole_vgg16": lambda: [],
        "squeezenet": lambda: [],
        "googlenet": lambda: [merge],
        "audio1d": lambda: [merge],
        "resnet50": lambda: [ResNetCanonizer()],
        "r3d_18": lambda: [merge, replace(VideoBlock, video_block)],
        "mobilenet_v2": lambda: [merge, replace(Inverted2, residual(lambda m, x: m.conv(x))), replace(tv.MobileNetV2, pooled)],
        "mobilenet_v3": lambda: [merge, replace(Inverted3, residual(lambda m, x: m.block(x))), replace(SqueezeExcitation, gate)],
        "efficientnet_b0": lambda: [merge, replace(MBConv, residual(lambda m, x: m.block(x))), replace(SqueezeExcitation, gate)],
        "densenet121": lambda: [NamedMergeBatchNorm(densenet_norms(net)), replace(tv.DenseNet, pooled)],
        "convnext_tiny": lambda: [replace(CNBlock, convnext_block)],
    }[name]()


def relevance(name, net, x, target):
    """EpsilonPlus of zennit for one class; what goes into a log-softmax is explained."""
    if hasattr(net, "scores"):
        net.forward = lambda v: net.scores(v).squeeze(1)
    passing = [(Scale, Pass()), (nn.LayerNorm, Pass())]
    with Gradient(net, EpsilonPlus(layer_map=passing, canonizers=canonizers(name, net))) as attributor:
        _, result = attributor(x, lambda y: y * torch.eye(y.shape[1], dtype=y.dtype)[[target]])
    return result.detach().numpy()
