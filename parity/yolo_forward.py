"""Forward parity: the peer's raw and decoded outputs for weights that follow the rule.

    python yolo_forward.py dump MODEL --classes K --height H --width W --batch N --out DIR
    python yolo_forward.py goldens          # rewrites testdata/{forward,keys,parameters.json,rule.json}
    python yolo_forward.py sensitivity MODEL  # does every tensor matter to the outputs?

MODEL is a name such as yolov8n or yolo11x. The peer is built from its public yaml name.
"""

import argparse
import json
import os
import platform
from hashlib import sha256
from importlib import metadata
from pathlib import Path

os.environ.setdefault("YOLO_OFFLINE", "true")

import numpy as np
import torch
from safetensors.torch import save_file

import rule

HERE = Path(__file__).resolve().parent
FAMILIES = {"v8": ("", "-p2", "-p6", "-seg"), "11": ("", "-seg"), "12": ("",), "26": ("", "-p2", "-p6")}
MODELS = [f"yolo{family}{size}{variant}" for family, variants in FAMILIES.items() for variant in variants for size in "nsmlx"]
STORED = ("yolov8n", "yolo11n", "yolo12n", "yolo12l", "yolo26n", "yolov8n-p2", "yolov8n-p6", "yolov8n-seg", "yolo11n-seg")  # the rest is compared live
LISTED = STORED + ("yolo26n-p6",)  # whose keys are listed; the lists of all others by their digest
DETECTIONS = 300


def versions():
    found = {n: metadata.version(n) for n in ("ultralytics", "torch", "numpy", "safetensors")}
    return found | {"python": platform.python_version()}


def network(name, classes):
    """The peer's network with its own initialisation."""
    from ultralytics.nn.tasks import DetectionModel, SegmentationModel

    kind = SegmentationModel if name.endswith("-seg") else DetectionModel
    return kind(f"{name}.yaml", nc=classes, verbose=False)


def ruled(net, values=rule.spread):
    """The same network with every entry of its state dict set by the rule."""
    state = {k: torch.from_numpy(values(k, tuple(v.shape))) for k, v in net.state_dict().items()}
    net.load_state_dict(state, strict=True)
    return net


def images(batch, height, width, name="images"):
    return torch.from_numpy(rule.tensor(name, (batch, 3, height, width), 0.5, 0.5))


def levels(raw, prefix=""):
    """level0.. (N, 4·reg_max+nc, h, w) from the peer's raw output {boxes, scores, feats}."""
    out, start = {}, 0
    for i, feature in enumerate(raw["feats"]):
        h, w = feature.shape[2:]
        part = [raw[k][:, :, start:start + h * w].unflatten(2, (h, w)) for k in ("boxes", "scores")]
        out[f"{prefix}level{i}"] = torch.cat(part, 1).contiguous()
        start += h * w
    assert start == raw["boxes"].shape[2]
    return out


@torch.no_grad()
def forward(net, x):
    head = net.eval().model[-1]
    decoded, raw = net(x)
    if "proto" in raw:  # boxes, probabilities and coefficients stand in one tensor
        (decoded, protos), coefficients = decoded, raw["mask_coefficient"]
        assert decoded[:, -coefficients.shape[1]:].equal(coefficients)
        return levels(raw) | {"decoded": decoded[:, :-coefficients.shape[1]].contiguous(),
                              "mask_coefficients": coefficients.contiguous(), "protos": protos.contiguous()}
    if "one2one" not in raw:
        return levels(raw) | {"decoded": decoded.contiguous()}
    head.end2end = True  # the double head's other answer
    best, _ = net(x)
    head.end2end = False
    return (levels(raw["one2many"]) | levels(raw["one2one"], "one2one_") |
            {"decoded": decoded.contiguous(), "detections": best[:, :DETECTIONS].contiguous()})


def dump(args):
    net = ruled(network(args.model, args.classes))
    x = images(args.batch, args.height, args.width)
    args.out.mkdir(parents=True, exist_ok=True)
    notes = {"model": args.model, "classes": str(args.classes), "rule": "spread", "versions": json.dumps(versions())}
    save_file(net.state_dict(), args.out / "weights.safetensors", notes)
    save_file({"images": x}, args.out / "in.safetensors", notes)
    save_file(forward(net, x), args.out / "out.safetensors", notes)


def outputs(data):
    """testdata/forward."""
    (data / "forward").mkdir(parents=True, exist_ok=True)
    for name in STORED:
        for classes, batch in ((3, 2), (80, 1)):
            if classes == 80 and (name.endswith("l") or "-" in name):
                continue
            shape = [batch, 3, 64, 128 if name.endswith("p6") else 96]
            out = forward(ruled(network(name, classes)), images(batch, *shape[2:]))
            for k, v in out.items():
                print(name, classes, k, tuple(v.shape), f"std {v.std():.3f} max {v.abs().max():.3f}")
            notes = {"model": name, "classes": str(classes), "rule": "spread", "images": json.dumps(shape),
                     "versions": json.dumps(versions())}
            save_file(out, data / "forward" / f"{name}-nc{classes}.safetensors", notes)


def tensors(data):
    """testdata/keys and parameters.json."""
    (data / "keys").mkdir(exist_ok=True)
    counts = {"versions": versions(), "parameters": {}}
    for name in MODELS:
        full, few = network(name, 80), network(name, 3)
        state = full.state_dict()
        lines = [f"{k} {str(state[k].dtype).removeprefix('torch.')} {'x'.join(map(str, state[k].shape)) or 'scalar'}\n"
                 for k in sorted(state)]
        if name in LISTED:
            (data / "keys" / f"{name}.txt").write_text("".join(lines))
        counts["parameters"][name] = {"nc80": sum(p.numel() for p in full.parameters()),
                                      "nc3": sum(p.numel() for p in few.parameters()), "keys": len(state), "keys_sha256": sha256("".join(lines).encode()).hexdigest(),
                                      "fused": sum(p.numel() for p in full.fuse(verbose=False).parameters())}
    (data / "parameters.json").write_text(json.dumps(counts, indent=1) + "\n")


def goldens(_):
    data = HERE / "testdata"
    outputs(data)
    tensors(data)
    checks = {}
    for tensor_name in ("images", "model.0.conv.weight", "level0"):
        checks[tensor_name] = {"fnv1a": f"{rule.fnv1a(tensor_name):016x}",
                               "words": [f"{int(w):016x}" for w in rule.bits(tensor_name, 4)],
                               "centre 0.5 half 0.5": rule.tensor(tensor_name, (4,), 0.5, 0.5).tolist(),
                               "centre 0 half sqrt(3/27)": rule.tensor(tensor_name, (4,), 0.0, np.sqrt(3 / 27)).tolist()}
    (data / "rule.json").write_text(json.dumps(checks, indent=1) + "\n")


def difference(a, b):
    """The largest |a-b|/max|b| over the outputs."""
    return max(float((a[k] - b[k]).abs().max() / b[k].abs().max()) for k in b)


def sensitivity(args):
    """Exchange each tensor for other numbers of the same rule: the outputs must move well beyond the bar."""
    net = ruled(network(args.model, args.classes))
    x = images(1, 64, 96)
    before = forward(net, x)
    found = []
    for k, v in net.state_dict().items():
        if v.is_floating_point() and not k.endswith("dfl.conv.weight"):
            kept = v.clone()
            v.copy_(torch.from_numpy(rule.tensor(k + "?", tuple(v.shape), float(v.mean()), float(v.std()) * 1.7)))
            found.append((difference(forward(net, x), before), k))
            v.copy_(kept)
    found.sort()
    for d, k in found[:5]:
        print(f"{d:.2e} {k}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    p = verbs.add_parser("dump")
    p.set_defaults(run=dump)
    p.add_argument("model", choices=MODELS)
    p.add_argument("--classes", type=int, default=80)
    p.add_argument("--batch", type=int, default=1)
    p.add_argument("--height", type=int, default=96)
    p.add_argument("--width", type=int, default=128)
    p.add_argument("--out", type=Path, required=True)
    verbs.add_parser("goldens").set_defaults(run=goldens)
    p = verbs.add_parser("sensitivity")
    p.set_defaults(run=sensitivity)
    p.add_argument("model", choices=MODELS)
    p.add_argument("--classes", type=int, default=3)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
