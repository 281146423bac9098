"""What bench/run measures: models, rules, and how each peer explains them.

    python cases.py build FOLDER MODEL           write MODEL.onnx, MODEL.pt and inputs
    python cases.py peer FOLDER CASE BATCH THREADS    answer requests on standard input
    python cases.py method FOLDER MODEL METHOD SAMPLES THREADS    the same for Captum's other methods

The peer speaks lrp-driver's protocol, see driver.c.  Weights are random (batch normalisations are
calibrated by one batch): speed does not depend on them, and both sides have the same ones.
"""

import resource
import sys
import time
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOW, HIGH = -2.2, 2.7
BOX = (f"first:layer:conv* -> zbox(low={LOW}, high={HIGH}); include base; "
       "layer:conv* -> gamma(gamma=0.25); layer:dense -> epsilon(epsilon=1e-6)")

# name: model, lrp's rules, the peer and what it is asked for, batches, targets of issue and note
CASES = {
    "vgg16-gamma-box": ("vgg16", BOX, "zennit", "EpsilonGammaBox", (1, 8)),
    "vgg16-plus-flat": ("vgg16", "epsilon_plus_flat", "zennit", "EpsilonPlusFlat", (1, 8)),
    "vgg16-plus": ("vgg16", "epsilon_plus", "zennit", "EpsilonPlus", (8,)),
    "resnet50-plus": ("resnet50", "epsilon_plus", "zennit", "EpsilonPlus", (1, 8)),
    "resnet50-gamma-box": ("resnet50", BOX, "zennit", "EpsilonGammaBox", (1,)),
    "mobilenetv2-plus": ("mobilenetv2", "epsilon_plus", "zennit", "EpsilonPlus", (1, 8)),
    "bert-attnlrp": ("bert", "lxt_attnlrp", "LXT", "AttnLRP", (1, 8)),
    "lstm-arras": ("lstm", "lstm_arras", "numpy", "Arras et al. 2017", (1, 8)),
    "fashion-cnn-plus": ("fashion-cnn", "epsilon_plus", "zennit", "EpsilonPlus", (1, 8)),
    "fashion-cnn-epsilon": ("fashion-cnn", "captum_eps1e-9", "Captum", "LRP", (1, 8)),
    "spam-lstm-arras": ("spam-lstm", "lstm_arras", "numpy", "Arras et al. 2017", (1, 8)),
}
COLD = ("fashion-cnn-plus", "fashion-cnn-epsilon", "spam-lstm-arras", "resnet50-plus")
# The second table: models with lrp's rules, and what else explains them at its usual count of
# samples: Captum's steps of integrated gradients, the sample counts of the lime package for pictures
# and of the shap package, 2 M + 2048 for M features.
METHOD_MODELS = {"fashion-cnn": "epsilon_plus", "resnet50": "epsilon_plus", "bert": "lxt_attnlrp"}
STEPS, LIME = 50, 1000
GRID = 7  # a picture's features for LIME and KernelSHAP: GRID x GRID squares; a text's: its tokens


def methods(model):
    features = TOKENS.get(model, GRID * GRID)
    yield "lrp", "LRP", 0
    for program in ("lrp", "Captum"):
        yield program, "input_x_gradient", 0
        yield program, "integrated_gradients", STEPS
    yield "Captum", "lime", LIME
    yield "Captum", "kernel_shap", 2 * features + 2048


TOKENS = {"bert": 128, "lstm": 14, "spam-lstm": 14}
SHIPPED = ("fashion-cnn", "spam-lstm")


def model_path(folder, model):
    return ROOT / "examples" / "models" / model if model in SHIPPED else folder / f"{model}.onnx"


def input_paths(folder, model, batch):
    names = ("ids", "mask") if model == "bert" else ("x",)
    return [folder / f"{model}-{batch}-{n}.npy" for n in names]


# ---- models ----

def import_torchvision():
    """A torchvision built for CUDA cannot load its operators beside a torch without: declare them."""
    import torch
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        for name in [n for n in sys.modules if n.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        import_torchvision.keep = torch.library.Library("torchvision", "DEF")
        for op in ("nms", "qnms"):
            import_torchvision.keep.define(f"{op}(Tensor boxes, Tensor scores, float limit) -> Tensor")


def bert_class():
    import torch
    import_torchvision()
    from transformers.models.bert import modeling_bert

    class Classifier(torch.nn.Module):
        """BERT-base, or of other sizes, and a linear layer on [CLS], 10 classes."""

        def __init__(self, **sizes):
            super().__init__()
            config = modeling_bert.BertConfig(attn_implementation="eager", **sizes)
            self.bert = modeling_bert.BertModel(config, add_pooling_layer=False)
            self.classifier = torch.nn.Linear(config.hidden_size, 10)

        def forward(self, ids, mask):
            hidden = self.bert(input_ids=ids, attention_mask=mask).last_hidden_state
            return self.classifier(hidden[:, 0])
    return Classifier


def torch_of(path):
    """A shipped picture model as torch modules."""
    import onnx
    import torch
    from onnx import numpy_helper
    from torch import nn
    graph = onnx.load(path).graph
    value = {w.name: numpy_helper.to_array(w) for w in graph.initializer}
    layers = []
    for node in graph.node:
        attr = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type in ("Conv", "Gemm"):
            w, b = (torch.tensor(value[n]) for n in node.input[1:3])
            layer = (nn.Conv2d(w.shape[1], w.shape[0], w.shape[2], padding=attr["pads"][0])
                     if node.op_type == "Conv" else nn.Linear(w.shape[1], w.shape[0]))
            layer.weight.data, layer.bias.data = w, b
            layers.append(layer)
        elif node.op_type == "MaxPool":
            layers.append(nn.MaxPool2d(attr["kernel_shape"][0]))
        elif node.op_type == "ReduceMean":
            layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        elif node.op_type == "Relu":
            layers.append(nn.ReLU())
    return nn.Sequential(*layers).eval()


def torch_model(folder, model):
    import torch
    torch.manual_seed(0)
    if model in SHIPPED:
        return torch_of(model_path(folder, model) / "model.onnx")
    if model == "bert":
        net = bert_class()()
    else:
        import_torchvision()
        import torchvision
        net = getattr(torchvision.models, {"mobilenetv2": "mobilenet_v2"}.get(model, model))(weights=None)
    if (folder / f"{model}.pt").exists():
        net.load_state_dict(torch.load(folder / f"{model}.pt"))
    return net.eval()


def write_lstm(path, vocabulary=2000, size=60, classes=5):
    """A bidirectional LSTM, its last states, a linear layer: the form of Arras et al. 2017."""
    import numpy as np
    from onnx import TensorProto as T, helper as h, numpy_helper, save
    rng = np.random.default_rng(0)

    def weight(name, *shape, scale=0.3):
        return numpy_helper.from_array((rng.standard_normal(shape) * scale).astype("f4"), name)
    weights = [weight("table", vocabulary, size, scale=1.0), weight("w", 2, 4 * size, size),
               weight("r", 2, 4 * size, size), weight("b", 2, 8 * size),
               weight("out", classes, 2 * size), weight("bias", classes),
               numpy_helper.from_array(np.array([0, 2 * size]), "shape")]
    nodes = [h.make_node("Gather", ["table", "ids"], ["e"]),
             h.make_node("Transpose", ["e"], ["x"], perm=[1, 0, 2]),
             h.make_node("LSTM", ["x", "w", "r", "b"], ["", "last"], hidden_size=size,
                         direction="bidirectional"),
             h.make_node("Transpose", ["last"], ["t"], perm=[1, 0, 2]),
             h.make_node("Reshape", ["t", "shape"], ["flat"]),
             h.make_node("Gemm", ["flat", "out", "bias"], ["y"], transB=1)]
    graph = h.make_graph(nodes, "lstm", [h.make_tensor_value_info("ids", T.INT64, ["n", "t"])],
                         [h.make_tensor_value_info("y", T.FLOAT, ["n", classes])], weights)
    save(h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8), path)


def write_net(folder, model):
    import torch
    net = torch_model(folder, model)
    path = folder / f"{model}.onnx"
    if model == "bert":
        ids = torch.randint(1000, 20000, (2, 16))
        axes = {0: torch.export.Dim("n", min=1), 1: torch.export.Dim("t", min=1)}
        torch.onnx.export(net, (ids, torch.ones_like(ids)), path, dynamo=True, external_data=False,
                          dynamic_shapes=(axes, axes), input_names=["ids", "mask"],
                          output_names=["y"], opset_version=18)
    else:
        x = torch.randn(4, 3, 224, 224)
        for m in net.modules():
            if isinstance(m, torch.nn.BatchNorm2d):
                m.momentum = 1.0
        with torch.no_grad():
            net.train()(x)
        torch.onnx.export(net.eval(), x, path, dynamo=False, opset_version=17, input_names=["x"],
                          output_names=["y"], dynamic_axes={"x": {0: "n"}, "y": {0: "n"}})
    torch.save(net.state_dict(), folder / f"{model}.pt")


def build(folder, model):
    import numpy as np
    rng = np.random.default_rng(1)
    if model == "lstm":
        write_lstm(model_path(folder, model))
    elif model not in SHIPPED:
        write_net(folder, model)
    for batch in (1, 8):
        paths = input_paths(folder, model, batch)
        if model in TOKENS:
            most = {"bert": 20000, "lstm": 2000}.get(model, 1000)
            ids = rng.integers(5, most, (batch, TOKENS[model]))
            np.save(paths[0], ids)
            if len(paths) > 1:
                np.save(paths[1], np.ones_like(ids))
        else:
            shape = (batch, 1, 28, 28) if model == "fashion-cnn" else (batch, 3, 224, 224)
            np.save(paths[0], rng.standard_normal(shape).clip(LOW, HIGH).astype("f4"))


# ---- peers: forward() and explain() give (scores, relevance) ----

def residual_canonizer():
    """For MobileNetV2 what zennit's ResNetCanonizer is for ResNets: the additions become layers."""
    import torch
    from torchvision.models.mobilenetv2 import InvertedResidual
    from zennit.canonizers import AttributeCanonizer
    from zennit.layer import Sum

    def forward(self, x):
        return self.canonizer_sum(torch.stack([x, self.conv(x)], dim=-1))

    def attributes(name, module):
        if isinstance(module, InvertedResidual) and module.use_res_connect:
            return {"forward": forward.__get__(module), "canonizer_sum": Sum()}
        return None
    return AttributeCanonizer(attributes)


class Zennit:
    def __init__(self, folder, model, what, paths):
        import numpy as np
        import torch
        from zennit import composites
        from zennit.attribution import Gradient
        self.torch = torch
        self.net, self.x = torch_model(folder, model), torch.from_numpy(np.load(paths[0]))
        canonizers = []
        if model == "resnet50":
            from zennit.torchvision import ResNetCanonizer
            canonizers = [ResNetCanonizer()]
        elif model == "mobilenetv2":
            from zennit.canonizers import SequentialMergeBatchNorm
            canonizers = [SequentialMergeBatchNorm(), residual_canonizer()]
            nn = torch.nn  # its pooling is a function, which zennit would not see
            self.net = nn.Sequential(self.net.features, nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                                     self.net.classifier)
        box = {"low": torch.full_like(self.x[:1], LOW), "high": torch.full_like(self.x[:1], HIGH)}
        composite = getattr(composites, what)(canonizers=canonizers,
                                              **(box if what == "EpsilonGammaBox" else {}))
        self.plain = torch_model(folder, model) # without hooks
        self.attributor = Gradient(self.net, composite)
        self.attributor.__enter__()

    def forward(self):
        with self.torch.no_grad():
            return self.plain(self.x), None

    def seed(self, out):
        one = self.torch.zeros_like(out)
        best = out.detach().argmax(1, keepdim=True)
        return one.scatter_(1, best, out.detach().gather(1, best))

    def explain(self):
        return self.attributor(self.x, self.seed)


class Captum(Zennit):
    def __init__(self, folder, model, what, paths):
        import numpy as np
        import torch
        from captum import attr
        from captum.attr._utils.lrp_rules import EpsilonRule
        self.torch, self.rule = torch, EpsilonRule
        self.plain = torch_model(folder, model)
        self.x = torch.from_numpy(np.load(paths[0]))
        self.net = torch_model(folder, model)
        self.attributor = getattr(attr, what)(self.net)

    def explain(self):
        for m in self.net:  # Captum has no rule of its own for it, and takes back ours each time
            if isinstance(m, self.torch.nn.Flatten):
                m.rule = self.rule()
        out, _ = self.forward()
        return out, self.attributor.attribute(self.x, target=out.argmax(1))


class LXT(Zennit):
    def __init__(self, folder, model, what, paths):
        import numpy as np
        import torch
        self.torch = torch
        import_torchvision()
        self.plain = torch_model(folder, model)
        from lxt.efficient import monkey_patch
        from transformers.models.bert import modeling_bert
        monkey_patch(modeling_bert)
        self.net = torch_model(folder, model)
        for p in self.net.parameters():
            p.requires_grad_(False)
        self.x, self.mask = (torch.from_numpy(np.load(p)) for p in paths)

    def forward(self):
        with self.torch.no_grad():
            return self.plain(self.x, self.mask), None

    def explain(self):
        e = self.net.bert.embeddings.word_embeddings(self.x).detach().requires_grad_()
        hidden = self.net.bert(inputs_embeds=e, attention_mask=self.mask).last_hidden_state
        out = self.net.classifier(hidden[:, 0])
        out.max(1).values.sum().backward()
        return out.detach(), (e * e.grad).sum(-1).detach()


class Numpy:
    """Text by text, as the paper's program does."""

    def __init__(self, folder, model, what, paths):
        import numpy as np
        from lxt_parity import NumpyLstm
        path = model_path(folder, model)
        self.net = NumpyLstm(path / "model.onnx" if path.is_dir() else path)
        self.texts = np.load(paths[0])

    def forward(self):
        for ids in self.texts:
            x = self.net.table[ids]
            for way in (0, 1):
                self.net.one_way(x[::-1] if way else x, way)
        return None, None

    def explain(self):
        each = [self.net.explain(ids) for ids in self.texts]
        return [y for y, _ in each], [r for _, r in each]


class Method:
    """Captum's methods that know no layers."""

    def __init__(self, folder, model, what, samples):
        import numpy as np
        import torch
        from captum import attr
        import_torchvision()
        self.torch, self.samples, self.what = torch, samples, what
        net = torch_model(folder, model).requires_grad_(False)
        paths = input_paths(folder, model, 1)
        x = torch.from_numpy(np.load(paths[0]))
        if model == "bert":
            mask = torch.from_numpy(np.load(paths[1]))
            features = torch.arange(x.shape[1])[None, :, None]
            x = net.bert.embeddings.word_embeddings(x).detach()

            def call(e):
                hidden = net.bert(inputs_embeds=e, attention_mask=mask.expand(len(e), -1))
                return net.classifier(hidden.last_hidden_state[:, 0])
        else:
            call, size = net, x.shape[-1]
            at = torch.arange(size) * GRID // size
            features = (at[:, None] * GRID + at)[None, None]
        self.x, self.call, self.mask = x, call, features.expand(x.shape)
        self.target = int(call(x).argmax(1))
        self.method = {"input_x_gradient": attr.InputXGradient, "lime": attr.Lime,
                       "integrated_gradients": attr.IntegratedGradients,
                       "kernel_shap": attr.KernelShap}[what](call)

    def forward(self):
        with self.torch.no_grad():
            return self.call(self.x), None

    def explain(self):
        more = {"input_x_gradient": {},
                "integrated_gradients": {"n_steps": self.samples, "method": "riemann_right",
                                         "internal_batch_size": 10}}.get(
            self.what, {"n_samples": self.samples, "feature_mask": self.mask})
        x = self.x.clone().requires_grad_(self.what.endswith("gradient"))
        return None, self.method.attribute(x, target=self.target, **more)


PEERS = {"zennit": Zennit, "Captum": Captum, "LXT": LXT, "numpy": Numpy}


def peer_of(folder, case, batch, threads):
    model, _, peer, what, _ = CASES[case]
    if peer != "numpy":
        import torch
        if peer != "Captum":
            import_torchvision()
        torch.set_num_threads(threads)
    return PEERS[peer](folder, model, what, input_paths(folder, model, batch))


def array_of(values):
    import numpy as np
    return np.asarray(values.detach() if hasattr(values, "detach") else values)


def serve(peer):
    import numpy as np
    scores = relevance = None
    for line in sys.stdin:
        word, _, path = line.strip().partition(" ")
        times = max(1, int(path or 1)) if word in ("forward", "explain") else 1
        start, busy = time.perf_counter(), time.process_time()
        if word == "forward":
            for _ in range(times):
                peer.forward()
        elif word == "explain":
            for _ in range(times):
                scores, relevance = peer.explain()
        elif word == "samples":
            peer.samples = int(path)
        elif word == "save":
            np.save(path, array_of(relevance))
        elif word == "scores":
            np.save(path, array_of(scores))
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss if word == "memory" else
              f"{(time.perf_counter() - start) / times:.9f} {(time.process_time() - busy) / times:.9f}",
              flush=True)


def main():
    warnings.filterwarnings("ignore")
    what, folder, *rest = sys.argv[1:]
    if what == "build":
        build(Path(folder), rest[0])
        return
    start = time.perf_counter()
    if what == "method":
        import torch
        torch.set_num_threads(int(rest[3]))
        peer = Method(Path(folder), rest[0], rest[1], int(rest[2]))
    else:
        peer = peer_of(Path(folder), rest[0], int(rest[1]), int(rest[2]))
    if what == "once":
        import numpy as np
        np.save(rest[3], array_of(peer.explain()[1]))
        return
    print(f"{time.perf_counter() - start:.9f}", flush=True)
    serve(peer)


if __name__ == "__main__":
    main()
