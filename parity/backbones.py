"""Backbone parity: torchvision's and timm's image classifiers with weights that follow the rule.

    python backbones.py forward NAME --batch N --sizes 64x96 224x224 --out FILE   # logits and features
    python backbones.py step NAME --batch N --sizes 64x64 --out FILE              # loss, gradients, statistics
    python backbones.py initial NAME --out FILE    # mean, deviation, largest of every tensor as made
    python backbones.py memory NAME --batch N --sizes 224x224 --out FILE    # peaks of a pass and a step in MB
    python backbones.py facts NAMES.txt            # rewrites testdata/{facts.json,keys.json.gz} of torch/nn/backbone
    python backbones.py goldens                    # rewrites testdata/{forward,maps,step}.safetensors there
    python backbones.py serve                      # the verbs above, one a line of standard input

NAME is spelled as backbone.Lookup takes it: "resnet18", "timm/convnext_tiny". Nothing is downloaded.
All networks have 1000 classes.
"""

import argparse
import gzip
import json
import os
import platform
import shlex
import sys
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

# What the checked-in goldens hold: small networks of every family and library, small inputs that are not square
# where the peer takes such, and two networks for a step of training.
SMALL = {
    "resnet18": "64x97", "wide_resnet50_2": "32x32", "resnext50_32x4d": "64x64", "mobilenet_v3_small": "64x97",
    "mobilenetv3_small_100": "64x97", "tf_mobilenetv3_small_100": "65x97", "efficientnet_b0": "64x97",
    "timm/efficientnet_b1": "64x64", "tf_efficientnet_b0": "65x97", "efficientnet_v2_s": "64x64",
    "efficientnetv2_s": "64x64", "regnet_y_400mf": "64x97", "regnety_004": "64x97", "convnext_tiny": "64x97",
    "timm/convnext_tiny": "64x97", "swin_t": "64x97", "swin_tiny_patch4_window7_224": "256x224", "vit_b_32": "96x96",
    "vit_tiny_patch16_224": "48x80", "vit_small_patch14_dinov2": "70x42", "vit_small_patch14_reg4_dinov2": "70x42",
}
MAPS = {
    "resnet18": ["layer1", "layer2", "layer3", "layer4"],
    "mobilenet_v3_small": [f"features.{i}" for i in (0, 1, 2, 4, 9, 12)],  # what torchvision's detectors take
    "efficientnet_b0": [f"features.{i}" for i in (2, 3, 5, 7)],
    "regnet_y_400mf": [f"trunk_output.block{i}" for i in (1, 2, 3, 4)],
    "convnext_tiny": [f"features.{i}" for i in (1, 3, 5, 7)],
    "swin_t": [f"features.{i}" for i in (1, 3, 5, 7)],
}
STEPS = {"resnet18": "64x64", "vit_small_patch16_224": "64x64"}


def versions():
    found = {n: metadata.version(n) for n in ("timm", "torchvision", "torch", "numpy", "safetensors")}
    return found | {"python": platform.python_version()}


def of_torchvision(name):
    return not name.startswith("timm/") and name in torchvision.models.list_models(module=torchvision.models)


def network(name, **settings):
    """The peer's network with its own initialisation."""
    if of_torchvision(name):
        return torchvision.models.get_model(name, weights=None, **settings)
    return timm.create_model(name.removeprefix("timm/"), pretrained=False, num_classes=1000, **settings)


def damping(name):
    """A factor of the norms' weights. Without it EfficientNetV2's forty residual blocks make a rounding error a tenth
    of the outputs: the peer with and without oneDNN then differs by 4 and 21 %, here by less than 1e-6."""
    return 0.875 if "efficientnet" in name and "v2" in name else 1.0


def value(key, t, damp):
    """What the rule says of an entry; indices that the architecture computes stay."""
    if key.endswith("relative_position_index"):
        return t
    shape = tuple(t.shape)
    if len(shape) == 1 and key.endswith(".weight"):
        return torch.from_numpy(rule.tensor(key, shape, damp, damp / 2))
    return torch.from_numpy(rule.spread(key, shape))


def ruled(name, **settings):
    """The peer's network with every entry of its state dict set by the rule."""
    computes = name.startswith("regnet_y") or "swin" in name  # widths, buffers that are not in the state
    with torch.device("cpu" if computes else "meta"):
        net = network(name, **settings)
    net.load_state_dict({k: value(k, v, damping(name)) for k, v in net.state_dict().items()}, strict=True, assign=True)
    return net


def images(batch, height, width):
    return torch.from_numpy(rule.tensor("images", (batch, 3, height, width), 0.0, 2.0))


def last(net):
    """The last linear layer: what it takes are the features."""
    return [m for m in net.modules() if isinstance(m, torch.nn.Linear)][-1]


def at_size(name, net, height, width):
    """A network for images of another size: ViTs resample their position embeddings by the library's own way."""
    native = getattr(net, "image_size", None)
    if native and of_torchvision(name):  # torchvision's ViT takes square images of one size
        from torchvision.models.vision_transformer import interpolate_embeddings

        if (height, width) == (native, native):
            return net
        other = network(name, image_size=height)
        other.load_state_dict(interpolate_embeddings(height, net.patch_size, net.state_dict()))
        return other
    if getattr(net, "pos_embed", None) is not None:  # timm's ViT
        return ruled(name, dynamic_img_size=True)
    if hasattr(net, "set_input_size"):  # timm's Swin
        return ruled(name, img_size=(height, width))
    return net


@torch.no_grad()
def forward(net, x):
    """Logits and features of images, as evaluation computes them."""
    seen = {}
    hook = last(net).register_forward_pre_hook(lambda _, args: seen.update(features=args[0].flatten(1)))
    logits = net.eval()(x)
    hook.remove()
    return {"logits": logits.contiguous(), "features": seen["features"].contiguous()}


def results(name, batch, sizes):
    """Outputs at all sizes, under SIZE.logits and SIZE.features."""
    net, out = ruled(name), {}
    for size in sizes:
        height, width = map(int, size.split("x"))
        found = forward(at_size(name, net, height, width), images(batch, height, width))
        out |= {f"{size}.{k}": v for k, v in found.items()}
    return out


def run_forward(args):
    save_file(results(args.name, args.batch, args.sizes), args.out)


def stepped(name, batch, size):
    """One training step's loss, gradients and batch norm statistics, with the rates of dropping at zero.

    A gradient is stored as its sum, its norm and its inner product with the rule's numbers for its name.
    """
    height, width = map(int, size.split("x"))
    settings = {"img_size": (height, width)} if name.startswith("vit_") and not of_torchvision(name) else {}
    net = ruled(name, **settings).train()
    for m in net.modules():
        if isinstance(m, torch.nn.Dropout) or type(m).__name__ == "StochasticDepth":
            m.p = 0.0
        if type(m).__name__ == "DropPath":
            m.drop_prob = 0.0
    net.load_state_dict({k: gentle(k, v) for k, v in net.state_dict().items()})
    loss = torch.nn.functional.cross_entropy(net(images(batch, height, width)), torch.arange(batch) * 7)
    loss.backward()
    out = {"loss": loss.detach().reshape(1)}
    for k, p in net.named_parameters():
        g, probe = p.grad.double(), torch.from_numpy(rule.tensor(k, tuple(p.shape), 0, 1)).double()
        out["gradient." + k] = torch.stack([g.sum(), g.norm(), (g * probe).sum()]).float()
    for k, v in net.state_dict().items():
        if k.endswith(("running_mean", "running_var")):
            out[k] = v.clone()
    return out


def gentle(key, t):
    """The rule's numbers, scaled such that a random network's gradients are of the size that training has."""
    if t.dim() > 1:
        return t * 0.5
    return t


def run_step(args):
    save_file(stepped(args.name, args.batch, args.sizes[0]), args.out)


def run_initial(args):
    torch.manual_seed(0)
    out = {}
    for k, v in network(args.name).named_parameters():
        v = v.detach().double()
        v = v[v.abs() < 1.9]  # timm's trunc_normal_ puts one number in 2^24 on its bound, 2
        out[k] = torch.stack([v.mean(), v.std(correction=0), v.abs().max()])
    save_file(out, args.out)


def resident(key):
    """A number of this process's status in MB: VmRSS now, VmHWM at most."""
    return next(int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith(key + ":"))


def run_memory(args):
    """By how many MB a pass of evaluation and then a step of training raise the process's memory at most."""
    net = network(args.name)
    x = images(args.batch, *map(int, args.sizes[0].split("x")))
    before = resident("VmRSS")
    with torch.no_grad():
        net.eval()(x)
    peak = [resident("VmHWM") - before]
    net.train()(x).sum().backward()
    peak.append(resident("VmHWM") - before)
    save_file({"peak": torch.tensor(peak)}, args.out)


def mapped(name, size):
    """Shape, norm and inner product with the rule's numbers of every map that a detector would take."""
    net, out = ruled(name).eval(), {}

    def keep(i):
        def hook(_, __, y):
            y = y.permute(0, 3, 1, 2) if name.startswith("swin") else y
            probe = torch.from_numpy(rule.tensor(f"map{i}", tuple(y.shape), 0, 1)).double()
            y = y.double()
            out[f"map{i}"] = torch.tensor([*y.shape, y.norm(), (y * probe).sum()], dtype=torch.float32)
        return hook

    for i, path in enumerate(MAPS[name]):
        net.get_submodule(path).register_forward_hook(keep(i))
    with torch.no_grad():
        net(images(1, *map(int, size.split("x"))))
    return out


def goldens(_):
    DATA.mkdir(exist_ok=True)
    out = {}
    for name, size in SMALL.items():
        out |= {f"{name} {k}": v for k, v in results(name, 1, [size]).items()}
    save_file(out, DATA / "forward.safetensors", {"versions": json.dumps(versions())})
    out = {}
    for name in MAPS:
        out |= {f"{name} {SMALL[name]}.{k}": v for k, v in mapped(name, SMALL[name]).items()}
    save_file(out, DATA / "maps.safetensors", {"versions": json.dumps(versions())})
    out = {}
    for name, size in STEPS.items():
        out |= {f"{name} {size}.{k}": v for k, v in stepped(name, 4, size).items()}
    save_file(out, DATA / "step.safetensors", {"versions": json.dumps(versions())})


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
        with torch.device("cpu" if name.startswith("regnet_y") else "meta"):  # torchvision's RegNet computes its widths
            net = network(name)
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
    lines = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in told.items())
    (DATA / "facts.json").write_text(f'{{"versions": {json.dumps(versions())}, "networks": {{\n{lines}\n}}}}\n')
    with gzip.GzipFile(DATA / "keys.json.gz", "wb", compresslevel=9, mtime=0) as f:
        f.write(json.dumps(keys, separators=(",", ":")).encode())


def serve(parser):
    for line in sys.stdin:
        args = parser.parse_args(shlex.split(line))
        args.run(args)
        print("done", args.name, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, run in (("forward", run_forward), ("step", run_step), ("initial", run_initial), ("memory", run_memory)):
        p = verbs.add_parser(verb)
        p.set_defaults(run=run)
        p.add_argument("name")
        p.add_argument("--batch", type=int, default=2)
        p.add_argument("--sizes", nargs="+")
        p.add_argument("--out", type=Path, required=True)
    p = verbs.add_parser("facts")
    p.set_defaults(run=facts)
    p.add_argument("names", type=Path, help="a file with the output of backbone.Names")
    verbs.add_parser("goldens").set_defaults(run=goldens)
    verbs.add_parser("serve").set_defaults(run=lambda _: serve(parser))
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
