"""Two-stage and dense detectors: torchvision's outputs, losses and gradients for weights that follow the rule.

    python detectors.py goldens                       # rewrites testdata/detectors
    python detectors.py dump MODEL --classes K --height H --width W --batch N [--min-size S] --out DIR
    python detectors.py parameters                    # prints parameter counts and keys of every model

dump writes weights.safetensors, in.safetensors and out.safetensors for `wildtrain model forward`.
MODEL is a name of torchvision's, also with resnet18, resnet34 and resnet101 in the place of resnet50.
"""

import argparse
import json
from functools import partial
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn
from torchvision.models import detection, mobilenet_v3_large, resnet
from torchvision.models.detection import faster_rcnn, mask_rcnn, retinanet
from torchvision.models.detection.backbone_utils import _resnet_fpn_extractor
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

import rule

OUT = Path(__file__).parent / "testdata" / "detectors"
STORED = ["fasterrcnn_resnet18_fpn", "fasterrcnn_resnet18_fpn_v2", "fasterrcnn_mobilenet_v3_large_320_fpn", "maskrcnn_resnet18_fpn",
          "maskrcnn_resnet18_fpn_v2", "retinanet_resnet18_fpn", "retinanet_resnet18_fpn_v2", "fcos_resnet18_fpn", "fasterrcnn_resnet50_fpn"]


def build(name, classes, **options):
    """torchvision's model; classes are without background where the model has one."""
    two_stage = name.startswith(("fasterrcnn", "maskrcnn"))
    labels = classes + 1 if two_stage else classes
    if "resnet" not in name or name in ("fasterrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn", "retinanet_resnet50_fpn", "fcos_resnet50_fpn",
                                        "fasterrcnn_resnet50_fpn_v2", "maskrcnn_resnet50_fpn_v2", "retinanet_resnet50_fpn_v2"):
        return getattr(detection, name)(weights=None, weights_backbone=None, num_classes=labels, **options)
    kind, body = name.split("_")[:2]
    v2 = name.endswith("_v2")
    net = getattr(resnet, body)(weights=None)
    if two_stage:
        trunk = _resnet_fpn_extractor(net, 5, norm_layer=nn.BatchNorm2d if v2 else None)
        make = detection.FasterRCNN if kind == "fasterrcnn" else detection.MaskRCNN
        if v2:
            options |= dict(rpn_anchor_generator=faster_rcnn._default_anchorgen(), rpn_head=faster_rcnn.RPNHead(256, 3, conv_depth=2),
                            box_head=faster_rcnn.FastRCNNConvFCHead((256, 7, 7), [256] * 4, [1024], norm_layer=nn.BatchNorm2d))
            if kind == "maskrcnn":
                options["mask_head"] = mask_rcnn.MaskRCNNHeads(256, [256] * 4, 1, norm_layer=nn.BatchNorm2d)
        return make(trunk, labels, **options)
    last = 512 if body in ("resnet18", "resnet34") else 2048
    trunk = _resnet_fpn_extractor(net, 5, returned_layers=[2, 3, 4], extra_blocks=LastLevelP6P7(last if v2 else 256, 256))
    if kind == "fcos":
        return detection.FCOS(trunk, labels, **options)
    if not v2:
        return detection.RetinaNet(trunk, labels, **options)
    anchors = retinanet._default_anchorgen()
    head = retinanet.RetinaNetHead(256, anchors.num_anchors_per_location()[0], labels, norm_layer=partial(nn.GroupNorm, 32))
    head.regression_head._loss_type = "giou"
    return detection.RetinaNet(trunk, labels, anchor_generator=anchors, head=head, **options)


def value(name, shape):
    """The "detector" rule: spread, but residual branches are damped, and boxes stay near their anchors."""
    if name.startswith("backbone.body.") and name.endswith((".bn2.weight", ".bn3.weight", ".3.1.weight")):
        return rule.tensor(name, shape, 0.25, 0.125)
    if name.endswith(("bbox_pred.weight", "bbox_reg.weight", "bbox_ctrness.weight")):
        return rule.tensor(name, shape, 0.0, 0.1 * (3.0 / rule.fan_in(shape)) ** 0.5)
    if name.endswith(("bbox_pred.bias", "bbox_reg.bias")):
        return rule.tensor(name, shape, 0.0, 0.1)
    return rule.spread(name, shape)


def ruled(model):
    model.load_state_dict({k: torch.from_numpy(np.asarray(value(k, tuple(v.shape)))) for k, v in model.state_dict().items()})
    return model.eval()


def images(batch, height, width):
    return torch.from_numpy(rule.tensor("images", (batch, 3, height, width), 0.5, 0.5))


def recorded(model, pictures):
    """Raw head outputs, what stands between, and detections in the pictures' own pixels."""
    out = {}
    hooks = []

    def head(_, args, got):
        for what, maps in zip(("objectness", "deltas"), got):
            for i, m in enumerate(maps):
                out[f"{what}{i}"] = m

    def rpn(_, args, got):
        for i, boxes in enumerate(got[0]):
            out[f"between.proposals{i}"] = boxes

    def predictor(_, args, got):
        out["between.scores"], out["between.codes"] = got

    def masks(_, args, got):
        out["between.masks"] = got

    def calls(what):
        level = [0]

        def hook(_, args, got):
            out[f"{what}{level[0]}"] = got
            level[0] += 1
        return hook

    if hasattr(model, "rpn"):
        hooks += [model.rpn.head.register_forward_hook(head), model.rpn.register_forward_hook(rpn),
                  model.roi_heads.box_predictor.register_forward_hook(predictor)]
        if model.roi_heads.has_mask():
            hooks.append(model.roi_heads.mask_predictor.register_forward_hook(masks))
    else:
        hooks += [model.head.classification_head.cls_logits.register_forward_hook(calls("cls")),
                  model.head.regression_head.bbox_reg.register_forward_hook(calls("box"))]
        if hasattr(model.head.regression_head, "bbox_ctrness"):
            hooks.append(model.head.regression_head.bbox_ctrness.register_forward_hook(calls("centerness")))
    with torch.no_grad():
        found = model(list(pictures))
    for h in hooks:
        h.remove()
    for i, f in enumerate(found):
        for k, v in f.items():
            out[f"{i}.{k}"] = v
    return {k: v.detach().contiguous() for k, v in out.items()}


BOXES = [[[6, 5, 50, 40], [30, 20, 80, 60], [4, 30, 20, 58]], [[20, 8, 60, 50]], []]
LABELS = [[0, 2, 1], [2], []]


def targets(model, batch, height, width):
    first = 1 if hasattr(model, "rpn") else 0
    out = []
    for i in range(batch):
        boxes = torch.tensor(BOXES[i % 3], dtype=torch.float32).reshape(-1, 4)
        masks = torch.zeros(len(boxes), height, width, dtype=torch.uint8)
        for m, (x1, y1, x2, y2) in zip(masks, boxes.int().tolist()):
            m[y1:y2, x1:x2] = 1
            m[y1:(y1 + y2) // 2, x1:(x1 + x2) // 2] = 0
        out.append({"boxes": boxes, "labels": torch.tensor(LABELS[i % 3], dtype=torch.int64) + first, "masks": masks})
    return out


def learned(model, pictures):
    """Losses and, of every parameter's gradient, the product with a probe and the norm. Samplers take the
    first of their candidates; batch norm evaluates."""
    def norms(m):
        for x in m.modules():
            if isinstance(x, nn.BatchNorm2d):
                x.eval()
    model.train()
    norms(model)
    model.zero_grad()
    drawn, torch.randperm = torch.randperm, lambda n, **kw: torch.arange(n)
    try:
        losses = model(list(pictures), targets(model, len(pictures), *pictures.shape[2:]))
    finally:
        torch.randperm = drawn
    sum(losses.values()).backward()
    gradients = {}
    for name, p in model.named_parameters():
        g = torch.zeros_like(p) if p.grad is None else p.grad
        probe = torch.from_numpy(rule.tensor(name, tuple(p.shape), 0.0, 1.0))
        gradients[name] = [float((g.double() * probe.double()).sum()), float(g.double().norm())]
    model.eval()
    return {k: float(v) for k, v in losses.items()}, gradients


def versions():
    return {n: metadata.version(n) for n in ("torch", "torchvision", "numpy", "safetensors")}


def goldens():
    OUT.mkdir(exist_ok=True)
    classes, batch, height, width = 3, 3, 64, 96
    for name in STORED:
        options = dict(min_size=56, max_size=88)  # resizes, and pads
        model = ruled(build(name, classes, **options))
        x = images(batch, height, width)
        out = recorded(model, x)
        losses, gradients = learned(model, x)
        large = [k for k in out if k.endswith(".masks")]  # kept small: one mask of each picture
        for k in large:
            out[k] = out[k][:2].clone()
        about = dict(model=name, classes=classes, images=[batch, 3, height, width], losses=losses, gradients=gradients, versions=versions(), **options)
        save_file(out, str(OUT / f"{name}.safetensors"), metadata={"about": json.dumps(about)})
        print(name, {k: round(v, 4) for k, v in losses.items()}, [len(out[f"{i}.scores"]) for i in range(batch)])
    listing = {}
    for name in STORED:
        model = build(name, 90 if name.startswith(("faster", "mask")) else 91)
        (OUT / f"{name}.keys.txt").write_text("".join(f"{k} {list(v.shape)}\n" for k, v in sorted(model.state_dict().items())))
    for name in STORED + ["maskrcnn_resnet50_fpn", "retinanet_resnet50_fpn", "fcos_resnet50_fpn", "fasterrcnn_resnet50_fpn_v2", "maskrcnn_resnet50_fpn_v2",
                          "retinanet_resnet50_fpn_v2", "fasterrcnn_mobilenet_v3_large_fpn", "fasterrcnn_resnet101_fpn", "fasterrcnn_resnet34_fpn"]:
        listing[name] = sum(p.numel() for p in build(name, 90 if name.startswith(("faster", "mask")) else 91).parameters())
    (OUT / "parameters.json").write_text(json.dumps({"versions": versions(), "labels": 91, "parameters": listing}, indent=1) + "\n")


def dump(args):
    options = dict(min_size=args.min_size, max_size=args.max_size) if args.min_size else {}
    model = ruled(build(args.model, args.classes, **options))
    x = images(args.batch, args.height, args.width)
    args.out.mkdir(parents=True, exist_ok=True)
    save_file(model.state_dict(), str(args.out / "weights.safetensors"))
    save_file({"images": x}, str(args.out / "in.safetensors"))
    save_file(recorded(model, x), str(args.out / "out.safetensors"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("goldens")
    d = verbs.add_parser("dump")
    d.add_argument("model")
    for key, default in {"classes": 3, "height": 96, "width": 128, "batch": 2, "min-size": 0, "max-size": 1333}.items():
        d.add_argument("--" + key, type=int, default=default)
    d.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    goldens() if args.verb == "goldens" else dump(args)


if __name__ == "__main__":
    main()
