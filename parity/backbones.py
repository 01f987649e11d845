"""Backbone parity: torchvision's and timm's image classifiers with weights that follow the rule.

    python backbones.py dump NAME [--classes K] --sizes 64x96 224x224 --out DIR
    python backbones.py facts NAMES.txt    # rewrites ../torch/nn/backbone/testdata/{facts.json,keys.json.gz}

NAME is spelled as backbone.Lookup takes it: "resnet18", "timm/convnext_tiny". Nothing is downloaded.
"""

import argparse
import gzip
import json
import os
import platform
from importlib import metadata
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import timm
import torch
import torchvision
from safetensors.torch import save_file

import rule

HERE = Path(__file__).resolve().parent
DATA = HERE.parent / "torch" / "nn" / "backbone" / "testdata"


def versions():
    found = {n: metadata.version(n) for n in ("timm", "torchvision", "torch", "numpy", "safetensors")}
    return found | {"python": platform.python_version()}


def of_torchvision(name):
    return not name.startswith("timm/") and name in torchvision.models.list_models(module=torchvision.models)


def network(name, classes, **settings):
    """The peer's network with its own initialisation."""
    if of_torchvision(name):
        return torchvision.models.get_model(name, weights=None, num_classes=classes, **settings)
    return timm.create_model(name.removeprefix("timm/"), pretrained=False, num_classes=classes, **settings)


def value(key, t):
    """What the rule says of an entry; indices that the architecture computes stay."""
    if key.endswith("relative_position_index"):
        return t
    return torch.from_numpy(rule.spread(key, tuple(t.shape)))


def ruled(net):
    """The same network with every entry of its state dict set by the rule."""
    net.load_state_dict({k: value(k, v) for k, v in net.state_dict().items()}, strict=True)
    return net


def images(batch, height, width):
    return torch.from_numpy(rule.tensor("images", (batch, 3, height, width), 0.0, 2.0))


def last(net):
    """The last linear layer: what it takes are the features."""
    return [m for m in net.modules() if isinstance(m, torch.nn.Linear)][-1]


def at_size(name, net, classes, height, width):
    """A network for images of another size: ViTs resample their position embeddings by the library's own way."""
    native = getattr(net, "image_size", None)
    if native and of_torchvision(name):  # torchvision's ViT takes square images of one size
        from torchvision.models.vision_transformer import interpolate_embeddings

        if (height, width) == (native, native):
            return net
        other = network(name, classes, image_size=height)
        other.load_state_dict(interpolate_embeddings(height, net.patch_size, net.state_dict()))
        return other
    if getattr(net, "pos_embed", None) is not None:  # timm's ViT
        other = network(name, classes, dynamic_img_size=True)
        other.load_state_dict(net.state_dict())
        return other
    if hasattr(net, "set_input_size"):  # timm's Swin
        other = network(name, classes, img_size=(height, width))
        other.load_state_dict(net.state_dict())
        return other
    return net


@torch.no_grad()
def forward(net, x):
    """Logits and features of images, as evaluation computes them."""
    seen = {}
    hook = last(net).register_forward_pre_hook(lambda _, args: seen.update(features=args[0].flatten(1)))
    logits = net.eval()(x)
    hook.remove()
    return {"logits": logits.contiguous(), "features": seen["features"].contiguous()}


def dump(args):
    net = ruled(network(args.name, args.classes))
    args.out.mkdir(parents=True, exist_ok=True)
    save_file({k: v.contiguous() for k, v in net.state_dict().items()}, args.out / "weights.safetensors")
    results = {}
    for size in args.sizes:
        height, width = map(int, size.split("x"))
        out = forward(at_size(args.name, net, args.classes, height, width), images(args.batch, height, width))
        results |= {f"{size}.{k}": v for k, v in out.items()}
    notes = {"name": args.name, "batch": str(args.batch), "versions": json.dumps(versions())}
    save_file(results, args.out / "out.safetensors", notes)


def preprocessing(name, net):
    """Input size, mean and std of the first published weights, or of timm's default configuration."""
    if not of_torchvision(name):
        cfg = net.default_cfg
        return cfg["input_size"][1], list(cfg["mean"]), list(cfg["std"])
    t = next(iter(torchvision.models.get_model_weights(name))).transforms()
    return t.crop_size[0], list(t.mean), list(t.std)


def drop_rates(net):
    """The dropout before the head and the stochastic depth of every residual branch that has some."""
    dropout = [m.p for m in net.modules() if isinstance(m, torch.nn.Dropout) and m.p > 0]
    paths = [getattr(m, "drop_prob", getattr(m, "p", 0)) for m in net.modules()
             if type(m).__name__ in ("DropPath", "StochasticDepth")]
    return dropout, [p for p in paths if p > 0]


def facts(args):
    """What can be told of every network without weights, at 1000 classes."""
    DATA.mkdir(exist_ok=True)
    told, keys = {}, {}
    for name in args.names.read_text().split():
        with torch.device("meta"):
            net = network(name, 1000)
        head = last(net)
        size, mean, std = preprocessing(name, net)
        dropout, paths = drop_rates(net)
        norms = {(m.eps, m.momentum) for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)}
        told[name] = {
            "parameters": sum(p.numel() for p in net.parameters()), "width": head.in_features,
            "head": next(k for k, m in net.named_modules() if m is head), "size": size, "mean": mean, "std": std,
            "dropout": dropout, "paths": [min(paths), max(paths), len(paths)] if paths else [], "norms": sorted(norms),
        }
        keys[name] = {k: [str(v.dtype).removeprefix("torch."), *v.shape] for k, v in net.state_dict().items()}
        print(name, told[name])
    text = json.dumps({"versions": versions(), "networks": told}, indent=1)
    (DATA / "facts.json").write_text(text + "\n")
    with gzip.GzipFile(DATA / "keys.json.gz", "wb", compresslevel=9, mtime=0) as f:
        f.write(json.dumps(keys, separators=(",", ":")).encode())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    p = verbs.add_parser("dump")
    p.set_defaults(run=dump)
    p.add_argument("name")
    p.add_argument("--classes", type=int, default=7)
    p.add_argument("--batch", type=int, default=2)
    p.add_argument("--sizes", nargs="+", required=True)
    p.add_argument("--out", type=Path, required=True)
    p = verbs.add_parser("facts")
    p.set_defaults(run=facts)
    p.add_argument("names", type=Path, help="a file with the output of backbone.Names")
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
