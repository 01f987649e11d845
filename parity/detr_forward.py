"""Forward, loss and key parity of detection transformers: the peer is the transformers library.

    python detr_forward.py goldens               # rewrites testdata/detr/
    python detr_forward.py dump NAME --out DIR   # a full-size model: weights in both spellings, input, output

Weights follow rule.py under the names of the peer's models in memory, so that the golden files hold
no weights: names and shapes stand in their metadata.
"""

import argparse
import json
import math
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors.torch import save_file
from transformers import (DeformableDetrConfig, DeformableDetrForObjectDetection, DetrConfig, DetrForObjectDetection,
                          RTDetrConfig, RTDetrForObjectDetection, RTDetrResNetConfig)
from transformers.loss.loss_deformable_detr import DeformableDetrForObjectDetectionLoss
from transformers.loss.loss_for_object_detection import ForObjectDetectionLoss

import rule

transformers.logging.set_verbosity_error()
HERE = Path(__file__).resolve().parent
CLASSES = 5
SMALL = dict(d_model=64, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4,
             encoder_ffn_dim=96, decoder_ffn_dim=80, dropout=0.0)


def resnet(name, out):
    return {"model_type": "timm_backbone", "backbone": name, "features_only": True, "use_pretrained_backbone": False, "out_indices": out}


def vd(depth):
    basic = depth < 50
    return RTDetrResNetConfig(
        depths={18: [2, 2, 2, 2], 34: [3, 4, 6, 3], 50: [3, 4, 6, 3], 101: [3, 4, 23, 3]}[depth],
        hidden_sizes=[64, 128, 256, 512] if basic else [256, 512, 1024, 2048],
        layer_type="basic" if basic else "bottleneck", out_features=["stage2", "stage3", "stage4"])


def rt(depth, classes, **more):
    basic = depth < 50
    kw = dict(num_labels=classes, backbone_config=vd(depth), encoder_in_channels=[128, 256, 512] if basic else [512, 1024, 2048])
    if basic:
        kw |= dict(hidden_expansion=0.5, decoder_layers=3 if depth == 18 else 4)
    if depth == 101:
        kw |= dict(encoder_ffn_dim=2048, encoder_hidden_dim=384, decoder_in_channels=[384] * 3)
    return RTDetrForObjectDetection(RTDetrConfig(**(kw | more)))


def detr(backbone, classes, **more):
    return DetrForObjectDetection(DetrConfig(num_labels=classes, backbone_config=resnet(backbone, [1, 2, 3, 4]), **more))


def deformable(backbone, classes, **more):
    return DeformableDetrForObjectDetection(DeformableDetrConfig(num_labels=classes, backbone_config=resnet(backbone, [2, 3, 4]), **more))


# name → how to build it; the Go side knows the same reductions
REDUCED = {
    "detr": lambda: detr("resnet18", CLASSES, num_queries=12, **SMALL),
    "detr-own-resnet": lambda: DetrForObjectDetection(DetrConfig(
        num_labels=CLASSES, use_timm_backbone=False, num_queries=12, **SMALL,
        backbone_config={"model_type": "resnet", "depths": [2, 2, 2, 2], "hidden_sizes": [64, 128, 256, 512], "layer_type": "basic", "out_features": ["stage4"]})),
    "deformable": lambda: deformable("resnet18", CLASSES, num_queries=12, **SMALL),
    "deformable-refine": lambda: deformable("resnet18", CLASSES, num_queries=12, with_box_refine=True, **SMALL),
    "deformable-two-stage": lambda: deformable("resnet18", CLASSES, two_stage_num_proposals=12, with_box_refine=True, two_stage=True, **SMALL),
    "rtdetr-r18": lambda: rt(18, CLASSES, num_queries=12, encoder_hidden_dim=64, decoder_in_channels=[64] * 3, num_denoising=10, **{**SMALL, "encoder_layers": 1}),
    "rtdetr-r50": lambda: rt(50, CLASSES, num_queries=12, encoder_hidden_dim=96, decoder_in_channels=[96] * 3, num_denoising=10, **{**SMALL, "encoder_layers": 1}),
}

FULL = {
    "detr_resnet50": lambda c: detr("resnet50", c),
    "detr_resnet101": lambda c: detr("resnet101", c),
    "deformable_detr_resnet50": lambda c: deformable("resnet50", c),
    "deformable_detr_resnet50_refine": lambda c: deformable("resnet50", c, with_box_refine=True),
    "deformable_detr_resnet50_two_stage": lambda c: deformable("resnet50", c, with_box_refine=True, two_stage=True),
    "rtdetr_r18vd": lambda c: rt(18, c),
    "rtdetr_r34vd": lambda c: rt(34, c),
    "rtdetr_r50vd": lambda c: rt(50, c),
    "rtdetr_r101vd": lambda c: rt(101, c),
}

# targets of two pictures: class and box (centre, size)
TARGETS = [[(1, .3, .4, .25, .3), (4, .7, .6, .2, .5), (0, .52, .5, .9, .06)], [(2, .45, .55, .6, .7)]]


def labels(targets=TARGETS):
    return [{"class_labels": torch.tensor([t[0] for t in ts], dtype=torch.int64),
             "boxes": torch.tensor([t[1:] for t in ts], dtype=torch.float32).reshape(-1, 4)} for ts in targets]



def values(name, shape):
    """The spread rule, with gains that leave logits and boxes of transformers within their range."""
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if "sampling_offsets.bias" in name:
        return rule.tensor(name, shape, 0.0, 2.0)
    return rule.spread(name, shape)


def ruled(model):
    """Every tensor of the model by the rule; of tied ones the last name's values count."""
    state = {k: torch.from_numpy(values(k, tuple(v.shape))) for k, v in model.state_dict().items()}
    model.load_state_dict(state)
    return model


def versions():
    return {n: metadata.version(n) for n in ("transformers", "torch", "numpy", "scipy", "timm")}


def describe(model):
    """Names, types and shapes, and for each the name whose values it has (of tied ones)."""
    by_place, out = {}, []
    for k, v in model.state_dict(keep_vars=True).items():
        by_place.setdefault(v.data_ptr(), []).append(k)
    for k, v in model.state_dict().items():
        out.append({"name": k, "dtype": str(v.dtype).split(".")[1], "shape": list(v.shape), "values": by_place[v.data_ptr()][-1] if v.numel() else k})
    return out


def images(n=2, h=96, w=128, name="images"):
    """Pixels of 8 bits by the rule, as 0..1."""
    u8 = np.floor((rule.uniform(name, n * h * w * 3) + 1) * 127.9999).astype(np.uint8).reshape(n, h, w, 3)
    return torch.from_numpy(u8).permute(0, 3, 1, 2).float() / 255


def forward(name, out):
    model = ruled(REDUCED[name]()).eval()
    x = images()
    with torch.no_grad():
        got = model(x)
        out["logits"], out["boxes"] = got.logits, got.pred_boxes
        if not name.startswith("rtdetr"):
            mask = torch.ones(x.shape[0], *x.shape[2:], dtype=torch.long)
            mask[0, 64:], mask[0, :, 90:], mask[1, 75:] = 0, 0, 0
            got = model(x * mask[:, None], pixel_mask=mask)
            out["masked.logits"], out["masked.boxes"] = got.logits, got.pred_boxes
    print(name, "logits", round(float(out["logits"].std()), 3), "boxes", round(float(out["boxes"].std()), 3))
    return model


class Draws:
    """The random numbers of the denoising group, by the rule, in the order in which the peer asks."""

    def __enter__(self):
        self.rand, self.randint = torch.rand_like, torch.randint_like
        uniform = lambda name, like: torch.from_numpy(((rule.uniform(name, like.numel()) + 1) / 2).astype(np.float32)).reshape(like.shape)
        torch.rand_like = lambda like, **kw: uniform("dn.part" if like.dim() == 3 else "dn.replace", like)

        def randint_like(like, low, high, **kw):
            u = uniform("dn.sign" if like.dim() == 3 else "dn.class", like)
            return torch.clamp((u * high).floor(), max=high - 1).to(kw.get("dtype", like.dtype))

        torch.randint_like = randint_like
        return self

    def __exit__(self, *_):
        torch.rand_like, torch.randint_like = self.rand, self.randint


def summed(losses, weights=None):
    """Class, L1 and GIoU parts over all layers, each with its weight."""
    part = lambda *names: sum(float(v) * (weights or {}).get(k.split("_aux")[0].split("_dn")[0].rstrip("_0123456789"), 1.0)
                              for k, v in losses.items() if any(k.startswith(n) for n in names))
    return torch.tensor([part("loss_vfl", "loss_ce"), part("loss_bbox"), part("loss_giou")], dtype=torch.float64)


def train_loss(model, out):
    """RT-DETR in training: denoising, auxiliary and encoder losses of one batch."""
    model.train()
    with Draws():
        got = model(images(), labels=labels())
    out["train.parts"] = summed(got.loss_dict)
    with Draws():
        out["empty.parts"] = summed(model(images(), labels=labels([[], []])).loss_dict)
    print("train", out["train.parts"].tolist(), float(got.loss), "empty", out["empty.parts"].tolist())


def set_loss(kind, out):
    """DETR's and Deformable DETR's loss of three layers of answers made by the rule."""
    width = CLASSES + 1 if kind == "detr" else CLASSES
    answer = lambda part, size, c, h: torch.from_numpy(np.stack([rule.tensor(f"{kind}.{part}{i}", (2, 20, size), c, h) for i in range(3)]))
    logits, boxes = answer("logits", width, 0.0, 3.0), answer("boxes", 4, 0.5, 0.45)
    config = (DetrConfig if kind == "detr" else DeformableDetrConfig)(num_labels=CLASSES, auxiliary_loss=True, decoder_layers=3)
    config.num_labels = CLASSES
    run = ForObjectDetectionLoss if kind == "detr" else DeformableDetrForObjectDetectionLoss
    for name, targets in (("some", TARGETS), ("none", [[], []])):
        loss, parts, _ = run(logits[-1], labels(targets), "cpu", boxes[-1], config, logits, boxes)
        weighted = summed(parts, {"loss_ce": 1, "loss_bbox": config.bbox_loss_coefficient, "loss_giou": config.giou_loss_coefficient})
        assert math.isclose(float(loss), float(weighted.sum()), rel_tol=1e-5), (loss, weighted)
        out[f"{kind}.{name}"] = weighted


def post(out):
    """The peer's detections of answers made by the rule, at two sizes of pictures."""
    from transformers.models.deformable_detr.image_processing_pil_deformable_detr import DeformableDetrImageProcessorPil as Deformable
    from transformers.models.detr.image_processing_pil_detr import DetrImageProcessorPil as Detr
    from transformers.models.rt_detr.image_processing_pil_rt_detr import RTDetrImageProcessorPil as RT

    sizes = torch.tensor([[480, 640], [333, 500]])
    for kind, processor, width in (("detr", Detr, CLASSES + 1), ("deformable", Deformable, CLASSES), ("rtdetr", RT, CLASSES)):
        answer = type("Answer", (), {
            "logits": torch.from_numpy(rule.tensor(f"post.{kind}.logits", (2, 40, width), 0.0, 4.0)),
            "pred_boxes": torch.from_numpy(rule.tensor(f"post.{kind}.boxes", (2, 40, 4), 0.5, 0.45))})
        for i, r in enumerate(processor().post_process_object_detection(answer, threshold=0.3, target_sizes=sizes)):
            out |= {f"{kind}.{i}.{k}": r[k].contiguous() for k in ("scores", "labels", "boxes")}


def parameters():
    count = lambda m: sum(p.numel() for p in m.parameters())
    return {name: {"nc80": count(build(80)), "nc3": count(build(3))} for name, build in FULL.items()}


def goldens():
    folder = HERE / "testdata" / "detr"
    about = {"versions": json.dumps(versions()), "targets": json.dumps(TARGETS)}
    import tempfile
    from safetensors import safe_open
    for name in REDUCED:
        out = {}
        model = forward(name, out)
        with tempfile.TemporaryDirectory() as d:
            model.save_pretrained(d)
            with safe_open(Path(d) / "model.safetensors", "pt") as f:
                stored = sorted(f.keys())
        if name.startswith("rtdetr"):
            train_loss(model, out)
        save_file({k: v.contiguous() for k, v in out.items()}, folder / f"{name}.safetensors",
                  about | {"state": json.dumps(describe(model)), "stored": json.dumps(stored)})
    out = {}
    set_loss("detr", out)
    set_loss("deformable", out)
    save_file(out, folder / "loss.safetensors", about)
    out = {}
    post(out)
    save_file(out, folder / "postprocess.safetensors", about)
    (folder / "parameters.json").write_text(json.dumps({"versions": versions(), "parameters": parameters()}, indent=1) + "\n")
    print(sum(p.stat().st_size for p in folder.iterdir()), "bytes")


def dump(name, folder, classes, height, width):
    model = ruled(FULL[name](classes)).eval()
    x = torch.from_numpy(rule.tensor("images", (1, 3, height, width), 0.5, 0.5))
    with torch.no_grad():
        got = model(x)
    save_file({k: v.clone() for k, v in model.state_dict().items()}, folder / "memory.safetensors")
    model.save_pretrained(folder / "stored")
    save_file({"images": x}, folder / "in.safetensors")
    save_file({"logits": got.logits.contiguous(), "boxes": got.pred_boxes.contiguous()}, folder / "out.safetensors")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("what", choices=["goldens", "dump"])
    p.add_argument("name", nargs="?")
    p.add_argument("--out", type=Path)
    p.add_argument("--classes", type=int, default=7)
    p.add_argument("--height", type=int, default=160)
    p.add_argument("--width", type=int, default=192)
    a = p.parse_args()
    torch.set_num_threads(1)
    if a.what == "goldens":
        goldens()
    else:
        dump(a.name, a.out, a.classes, a.height, a.width)


if __name__ == "__main__":
    main()
