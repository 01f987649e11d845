"""Parity of masks: the peer's segmentation loss with its gradients, and the masks that it draws.

    python yolo_segment.py        # rewrites testdata/segment.safetensors

Raw outputs that follow the rule go straight into the peer's criterion and into its process_mask. README.md describes the file.
"""

import json
import math
import os
from pathlib import Path

os.environ.setdefault("YOLO_OFFLINE", "true")

import cv2
import numpy as np
import torch
from safetensors.numpy import save_file

import rule
import yolo_forward
import yolo_loss

MASKS = 32
FIRST = 100  # numbers of the batches, apart from those of yolo_loss.py
# name, classes, batch, height, width, boxes per image. Below 640 anchors the peer's choice of the ten best may take anchors whose
# alignment is 0, by an accident of its sort, and their masks count: such sizes are left out.
CASES = [
    ("plain", 3, 2, 192, 224, (3, 5)),
    ("one object", 80, 1, 256, 192, (1,)),
    ("an empty image", 3, 3, 192, 224, (4, 0, 2)),
    ("no object in the whole batch", 3, 2, 192, 192, (0, 0)),
    ("one-pixel boxes", 3, 2, 192, 192, (6, 6)),
    ("tiny boxes", 3, 2, 224, 192, (12, 8)),
    ("large boxes", 3, 2, 320, 320, (3, 4)),
    ("thin boxes", 3, 2, 256, 256, (8, 6)),
    ("crowded", 80, 2, 192, 256, (60, 40)),
    ("the same box twice, two classes", 3, 2, 192, 192, (6, 4)),
]


def criterion(classes):
    """The peer's loss with its default gains."""
    from ultralytics.cfg import get_cfg

    net = yolo_forward.network("yolov8n-seg", classes)
    net.args = get_cfg()
    loss, seen = net.init_criterion(), {}
    loss.assigner.register_forward_hook(lambda module, inputs, outputs: seen.update(out=outputs))
    return loss, seen


def ellipse(box, height, width):
    """The pixels (height, width) whose centre lies in the ellipse that a box (cx, cy, w, h, shares of the sides, float32) holds."""
    cx, cy, w, h = (float(v) for v in box)
    y, x = np.mgrid[:height, :width]
    return (((x + 0.5) / width - cx) / (w / 2)) ** 2 + (((y + 0.5) / height - cy) / (h / 2)) ** 2 < 1


def index(rows, batch, height, width):
    """(batch, height, width): the number within its image, from 1, of the object that has the pixel; smaller ones lie on top."""
    out = np.zeros((batch, height, width), np.float32)
    for image in range(batch):
        drawn = [(k + 1, ellipse(box, height, width)) for k, box in enumerate(rows[rows[:, 0] == image, 2:])]
        for k, mask in sorted(drawn, key=lambda d: -int(d[1].sum())):
            out[image][mask] = k
    return out


def run(number, case):
    name, classes, batch, height, width, counts = case
    levels = [torch.from_numpy(v).requires_grad_() for v in yolo_loss.head(number, name, batch, classes, height, width)]
    rows = yolo_loss.targets(number, name, classes, height, width, counts)
    coefficients = [torch.from_numpy(rule.tensor(f"segment.{number}.coefficients{i}", (batch, MASKS, *v.shape[2:]), 0.0, 0.5)).requires_grad_()
                    for i, v in enumerate(levels)]
    protos = torch.from_numpy(rule.tensor(f"segment.{number}.protos", (batch, MASKS, height // 4, width // 4), 0.2, 1.0)).requires_grad_()
    flat = [v.flatten(2) for v in levels]
    predictions = {
        "boxes": torch.cat([v[:, :4 * yolo_loss.BINS] for v in flat], 2), "scores": torch.cat([v[:, 4 * yolo_loss.BINS:] for v in flat], 2),
        "feats": levels, "mask_coefficient": torch.cat([v.flatten(2) for v in coefficients], 2), "proto": protos,
    }
    t = torch.from_numpy(rows)
    masks = torch.from_numpy(index(rows, batch, height // 4, width // 4))
    loss, seen = criterion(classes)
    parts, _ = loss(predictions, {"batch_idx": t[:, 0], "cls": t[:, 1:2], "bboxes": t[:, 2:], "masks": masks})
    parts.sum().backward()
    accidents = 0
    if "out" in seen:
        _, _, scores, positive, _ = seen["out"]
        accidents = int((positive.bool() & (scores.sum(-1) == 0)).sum())
    gradients = {f"coefficients{i}": v.grad for i, v in enumerate(coefficients)} | {"protos": protos.grad}
    gradients = {k: (torch.zeros(1) if v is None else v).numpy() for k, v in gradients.items()}
    return rows, parts.detach().numpy(), gradients, accidents


def losses(out):
    described = []
    for k, case in enumerate(CASES):
        number = FIRST + k
        rows, parts, gradients, accidents = run(number, case)
        print(f"{number} {case[0]:32} parts {parts.round(4).tolist()} positives without alignment {accidents}")
        assert parts[4] == 0  # semantic masks, which these models do not have
        name, classes, batch, height, width, _ = case
        described.append({"number": number, "name": name, "classes": classes, "batch": batch, "height": height, "width": width,
                          "slope": yolo_loss.slope(name), "accidents": accidents})
        out[f"{number}.targets"] = rows
        out[f"{number}.parts"] = parts[[0, 2, 3, 1]]
        for key, g in gradients.items():
            at, value = yolo_loss.sampled(g, f"segment.{number}.{key}")
            out[f"{number}.{key}.index"], out[f"{number}.{key}.value"] = at, value
            out[f"{number}.{key}.norm"] = np.array([math.sqrt((g.astype(np.float64) ** 2).sum())])
    return described


def drawn(out, count=6, height=160, width=192):
    """Masks of objects in an input of 192×160 px, and in the picture of 384×256 px that lies in it at half its size, between borders."""
    from ultralytics.utils import ops

    protos = torch.from_numpy(rule.tensor("masks.protos", (MASKS, height // 4, width // 4), 0.1, 1.0))
    coefficients = torch.from_numpy(rule.tensor("masks.coefficients", (count, MASKS), 0.0, 1.0))
    u = (rule.uniform("masks.boxes", count * 4).reshape(count, 4) + 1) / 2
    x, y = u[:, 0] * 150 - 5, u[:, 1] * 120 - 5
    boxes = np.stack([x, y, x + 8 + u[:, 2] * 80, y + 8 + u[:, 3] * 80], 1).astype(np.float32)
    out["masks.boxes"] = boxes
    seen = ops.process_mask(protos.clone(), coefficients, torch.from_numpy(boxes), (height, width), upsample=True)
    out["masks.input"] = np.packbits(seen.bool().numpy())
    original = (boxes - np.array([0, 16, 0, 16], np.float32)) * 2
    native = ops.process_mask_native(protos.clone(), coefficients, torch.from_numpy(original), (256, 384))
    out["masks.original"] = np.packbits(native.bool().numpy())
    print("pixels drawn", int(seen.bool().sum()), int(native.bool().sum()))


def reduced(out):
    """A random mask of 64×96 px, smoothed so that it has patches, at a quarter of its sides, as OpenCV reduces the peer's."""
    field = cv2.GaussianBlur(rule.tensor("masks.field", (64, 96), 0.0, 1.0), (0, 0), 1.5)
    mask = (field > 0).astype(np.uint8)
    out["reduced.full"] = np.packbits(mask)
    out["reduced.quarter"] = np.packbits(cv2.resize(mask, (24, 16), interpolation=cv2.INTER_LINEAR))


def main():
    torch.set_num_threads(1)
    out = {}
    described = losses(out)
    drawn(out)
    reduced(out)
    notes = {"batches": json.dumps(described), "versions": json.dumps(yolo_forward.versions() | {"opencv": cv2.__version__})}
    path = Path(__file__).resolve().parent / "testdata" / "segment.safetensors"
    save_file(out, path, notes)
    print(path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
