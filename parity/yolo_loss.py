"""Loss parity: the peer's detection loss and its gradients for head outputs that follow the rule.

    python yolo_loss.py        # rewrites testdata/loss.safetensors

The raw head outputs go straight into the peer's criterion, so that the numbers do not depend on a
network (YOLOv8 and YOLO11 share this loss). README.md describes the file.
"""

import json
import math
import os
from pathlib import Path

os.environ.setdefault("YOLO_OFFLINE", "true")

import numpy as np
import torch
from safetensors.numpy import save_file

import rule
import yolo_forward

STRIDES = (8, 16, 32)
BINS = 16
SAMPLES = 120  # gradient entries kept per level: the largest and as many hashed ones

# name, classes, batch, height, width, boxes per image
CASES = [
    ("plain", 3, 2, 160, 160, (3, 5)),
    ("one object", 3, 1, 160, 160, (1,)),
    ("an empty image", 3, 3, 160, 192, (4, 0, 2)),
    ("no object in the whole batch", 3, 2, 160, 160, (0, 0)),
    ("one-pixel boxes", 3, 2, 160, 160, (6, 6)),
    ("tiny boxes", 3, 2, 192, 160, (12, 8)),
    ("large boxes", 3, 2, 320, 320, (3, 4)),
    ("over 300 objects", 3, 2, 320, 320, (330, 5)),
    ("thin boxes", 3, 2, 256, 256, (8, 6)),
    ("the same box twice, two classes", 3, 2, 160, 160, (6, 4)),
    ("plain", 80, 2, 160, 160, (3, 5)),
    ("one object", 80, 1, 256, 192, (1,)),
    ("an empty image", 80, 4, 160, 160, (2, 0, 0, 7)),
    ("no object in the whole batch", 80, 1, 192, 192, (0,)),
    ("one-pixel boxes", 80, 2, 160, 160, (5, 1)),
    ("tiny boxes", 80, 1, 320, 320, (25,)),
    ("large boxes", 80, 2, 256, 256, (2, 3)),
    ("over 300 objects", 80, 1, 320, 320, (310,)),
    ("crowded", 80, 2, 192, 256, (60, 40)),
    ("boxes at the border", 3, 2, 160, 160, (6, 6)),
]


def slope(name):
    """How fast the bins' logits fall: predicted boxes shall have about the size of the case's objects."""
    return {"one-pixel boxes": 3.0, "tiny boxes": 1.0}.get(name, 0.25)


def head(number, name, batch, classes, height, width):
    """level0..2 by the rule: distances of a few cells, class probabilities mostly low."""
    centre = np.concatenate([np.tile(-slope(name) * np.arange(BINS), 4), np.full(classes, -2.0)])
    half = np.concatenate([np.full(4 * BINS, 3.0), np.full(classes, 4.0)])
    out = []
    for i, stride in enumerate(STRIDES):
        shape = (batch, 4 * BINS + classes, height // stride, width // stride)
        u = rule.uniform(f"loss.{number}.level{i}", math.prod(shape)).reshape(shape)
        out.append((centre[None, :, None, None] + half[None, :, None, None] * u).astype(np.float32))
    return out


def targets(number, name, classes, height, width, counts):
    """(n, 6) float32 rows: image, class, cx, cy, w, h with the box as fractions of the image."""
    rows = []
    for image, count in enumerate(counts):
        u = (rule.uniform(f"loss.{number}.targets.{image}", count * 5).reshape(count, 5) + 1) / 2
        for k in range(count):
            # log-uniform sides of 8 to 100 px unless the case says otherwise
            w, h = (8 * 12.5 ** u[k, 0], 8 * 12.5 ** u[k, 1])
            if name == "one-pixel boxes":
                w = h = 1.0
            elif name == "tiny boxes":
                w, h = 2 + 13 * u[k, 0], 2 + 13 * u[k, 1]
            elif name == "large boxes":
                w, h = width * (0.6 + 0.4 * u[k, 0]), height * (0.6 + 0.4 * u[k, 1])
            elif name == "over 300 objects":
                w, h = 4 + 40 * u[k, 0], 4 + 40 * u[k, 1]
            elif name == "thin boxes":
                w, h = (3.0, 40 + 150 * u[k, 1]) if k % 2 else (40 + 150 * u[k, 0], 3.0)
            w, h = min(w, width), min(h, height)
            cx, cy = w / 2 + (width - w) * u[k, 2], h / 2 + (height - h) * u[k, 3]
            if name == "one-pixel boxes" and k != 1:  # near an anchor, where a prediction can meet them
                cx, cy = (cx // 8) * 8 + 3.8 + 0.4 * u[k, 2], (cy // 8) * 8 + 3.8 + 0.4 * u[k, 3]
            if name == "boxes at the border":
                cx, cy = (w / 2, cy) if k % 2 else (cx, height - h / 2)
            cls = int(u[k, 4] * classes)
            if name == "the same box twice, two classes" and k % 2:
                cx, cy, w, h = (rows[-1][2] * width, rows[-1][3] * height, rows[-1][4] * width, rows[-1][5] * height)
                cls = (int(rows[-1][1]) + 1) % classes
            rows.append((image, cls, cx / width, cy / height, w / width, h / height))
    return np.array(rows, np.float32).reshape(-1, 6)


def criterion(classes):
    """The peer's loss with its default gains (box 7.5, cls 0.5, dfl 1.5), and what its assigner said last."""
    from ultralytics.cfg import get_cfg

    net = yolo_forward.network("yolov8n", classes)
    net.args = get_cfg()
    loss, seen = net.init_criterion(), {}
    loss.assigner.register_forward_hook(lambda module, inputs, outputs: seen.update(out=outputs))
    return loss, seen


def run(loss, levels, rows):
    """The loss vector (box, cls, dfl; gained, times batch), the items, and the gradients per level."""
    levels = [torch.from_numpy(v).requires_grad_() for v in levels]
    flat = [v.flatten(2) for v in levels]
    predictions = {
        "boxes": torch.cat([v[:, :4 * BINS] for v in flat], 2),
        "scores": torch.cat([v[:, 4 * BINS:] for v in flat], 2),
        "feats": levels,
    }
    rows = torch.from_numpy(rows)
    parts, items = loss(predictions, {"batch_idx": rows[:, 0], "cls": rows[:, 1:2], "bboxes": rows[:, 2:]})
    parts.sum().backward()
    return parts.detach(), items, [v.grad.numpy() for v in levels]


def conditioning(loss, levels, rows, parts, gradients):
    """How far the answers move when every input moves by about one float32 rounding."""
    moved = [v * (1 + 1e-7 * np.sign(np.sin(np.arange(v.size))).reshape(v.shape)).astype(np.float32) for v in levels]
    other, _, other_gradients = run(loss, moved, rows)
    noise = float(((parts - other).abs() / parts.abs().clamp(min=1e-9)).max())
    return noise, max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(other_gradients, gradients))


def sampled(gradient, name):
    """Indices and values of the largest entries and of hashed ones."""
    flat = gradient.reshape(-1)
    largest = np.argsort(-np.abs(flat), kind="stable")[:SAMPLES // 2]
    hashed = rule.bits(name, SAMPLES // 2) % np.uint64(flat.size)
    index = np.unique(np.concatenate([largest, hashed.astype(np.int64)]))
    return index.astype(np.int32), flat[index].astype(np.float32)


def main():
    torch.set_num_threads(1)
    out, described = {}, []
    worst = 0.0
    for number, (name, classes, batch, height, width, counts) in enumerate(CASES):
        levels = head(number, name, batch, classes, height, width)
        rows = targets(number, name, classes, height, width, counts)
        loss, seen = criterion(classes)
        parts, items, gradients = run(loss, levels, rows)
        noise, gradient_noise = conditioning(criterion(classes)[0], levels, rows, parts, gradients)
        worst = max(worst, noise)
        positives = seen["out"][3].sum(1).numpy() if "out" in seen else np.zeros(batch)
        score_sum = float(seen["out"][2].sum()) if "out" in seen else 0.0
        print(f"{number:2} {name:32} nc {classes:2} parts {[round(float(p), 4) for p in parts]} "
              f"positives {positives.astype(int).tolist()} scores {score_sum:.3f} noise {noise:.1e} {gradient_noise:.1e}")
        described.append({"name": name, "classes": classes, "batch": batch, "height": height, "width": width,
                          "slope": slope(name)})
        key = f"{number}."
        out[key + "targets"] = rows
        out[key + "parts"] = parts.numpy()
        out[key + "items"] = np.array([float(items[k]) for k in ("box_loss", "cls_loss", "dfl_loss")], np.float32)
        out[key + "positives"] = positives.astype(np.int32)
        out[key + "score_sum"] = np.array([score_sum], np.float32)
        for i, g in enumerate(gradients):
            index, value = sampled(g, f"loss.{number}.sample{i}")
            box, cls = g[:, :4 * BINS].astype(np.float64), g[:, 4 * BINS:].astype(np.float64)
            out[f"{key}grad{i}.index"], out[f"{key}grad{i}.value"] = index, value
            out[f"{key}grad{i}.norms"] = np.array([np.sqrt((box**2).sum()), np.sqrt((cls**2).sum())])
    print("largest change of a part under inputs moved by one part in 10^7:", worst)
    notes = {"batches": json.dumps(described), "gains": "box 7.5, cls 0.5, dfl 1.5", "versions": json.dumps(yolo_forward.versions())}
    path = Path(__file__).resolve().parent / "testdata" / "loss.safetensors"
    save_file(out, path, notes)
    print(path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
