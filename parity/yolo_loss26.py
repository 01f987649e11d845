"""Loss parity of YOLO26's double head: the peer's loss and its gradients for raw outputs that follow the rule.

    python yolo_loss26.py        # rewrites testdata/loss26.safetensors

Like yolo_loss.py; README.md describes the file.
"""

import json
import math
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file

import rule
import yolo_forward
import yolo_loss

EPOCHS = 100  # the peer's default: what its schedule of the two branches counts on
# yolo_loss.CASES by number, and the epoch (from 0) whose balance is taken
CASES = [(0, 0), (1, 50), (2, 99), (3, 0), (4, 0), (5, 30), (6, 0), (7, 99), (9, 0), (12, 20), (18, 50), (19, 0)]


def centre(name):
    """The predicted distances in cells lie around it: about the size of the case's objects."""
    return {"one-pixel boxes": 0.1, "tiny boxes": 0.8}.get(name, 2.5)


def head(number, branch, name, batch, classes, height, width):
    """level0..2 by the rule: distances around centre, class probabilities mostly low."""
    c = np.concatenate([np.full(4, centre(name)), np.full(classes, -2.0)])[None, :, None, None]
    half = np.concatenate([np.full(4, 0.96 * centre(name)), np.full(classes, 4.0)])[None, :, None, None]
    out = []
    for i, stride in enumerate(yolo_loss.STRIDES):
        shape = (batch, 4 + classes, height // stride, width // stride)
        u = rule.uniform(f"loss26.{number}.{branch}.level{i}", math.prod(shape)).reshape(shape)
        out.append((c + half * u).astype(np.float32))
    return out


def criterion(classes, epoch):
    """The peer's loss as it stands in an epoch."""
    from ultralytics.cfg import get_cfg

    net = yolo_forward.network("yolo26n", classes)
    net.args = get_cfg(overrides={"epochs": EPOCHS})
    loss = net.init_criterion()
    for _ in range(epoch):
        loss.update()
    return loss


def predictions(levels):
    flat = [v.flatten(2) for v in levels]
    return {"boxes": torch.cat([v[:, :4] for v in flat], 2), "scores": torch.cat([v[:, 4:] for v in flat], 2), "feats": levels}


def main():
    torch.set_num_threads(1)
    out, described = {}, []
    for number, epoch in CASES:
        name, classes, batch, height, width, counts = yolo_loss.CASES[number]
        both = {k: [torch.from_numpy(v).requires_grad_() for v in head(number, k, name, batch, classes, height, width)]
                for k in ("one2many", "one2one")}
        rows = yolo_loss.targets(number, name, classes, height, width, counts)
        loss = criterion(classes, epoch)
        target = torch.from_numpy(rows)
        parts, items = loss({k: predictions(v) for k, v in both.items()},
                            {"batch_idx": target[:, 0], "cls": target[:, 1:2], "bboxes": target[:, 2:]})
        parts.sum().backward()
        print(f"{number:2} {name:32} nc {classes:2} epoch {epoch} share {loss.o2m:.3f} parts {parts.detach().numpy()}")
        described.append({"number": number, "name": name, "classes": classes, "batch": batch, "height": height, "width": width,
                          "centre": centre(name), "epoch": epoch})
        out[f"{number}.targets"] = rows
        out[f"{number}.parts"] = parts.detach().numpy()
        out[f"{number}.items"] = np.array([float(items[k]) for k in ("box_loss", "cls_loss", "l1_loss")], np.float32)
        for branch, levels in both.items():
            for i, level in enumerate(levels):
                g = level.grad.numpy()
                key = f"{number}.{branch}.grad{i}"
                index, value = yolo_loss.sampled(g, f"loss26.{number}.{branch}.sample{i}")
                keep = slice(None, None, 3)
                out[key + ".index"], out[key + ".value"] = index[keep].copy(), value[keep].copy()
                box, cls = g[:, :4].astype(np.float64), g[:, 4:].astype(np.float64)
                out[key + ".norms"] = np.array([np.sqrt((box**2).sum()), np.sqrt((cls**2).sum())])
    notes = {"batches": json.dumps(described), "epochs": str(EPOCHS), "gains": "box 7.5, cls 0.5, l1 1.5",
             "versions": json.dumps(yolo_forward.versions())}
    path = Path(__file__).resolve().parent / "testdata" / "loss26.safetensors"
    save_file(out, path, notes)
    print(path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
