"""Trajectory parity: the peer's losses over plain SGD steps from weights that follow the rule.

    python yolo_trajectory.py                          # rewrites testdata/trajectory.safetensors
    python yolo_trajectory.py --trained MODEL --out D  # writes start.safetensors and trajectory.safetensors
    python yolo_trajectory.py --live MODEL --out D     # writes trajectory.safetensors: ten steps of any size, on smaller pictures

README.md describes the file. The rates are small on purpose: from random weights, at the usual 0.01, the
peer does not reproduce itself (1 against 2 threads: losses differ by 30 % within ten steps), so nothing could be
compared there. With --trained the start is a network which the peer has trained on the batches for 600 steps, whose
losses it reproduces at the rate with which YOLO's schedule ends (0.01 × lrf 0.01; half of it for YOLO11, whose losses
part by 0.2 % between two releases of libtorch otherwise); that start is too large to store, so this comparison is live
only. Each run is repeated from weights moved by 1e-6, and the file says what that does to the losses; --live takes the
largest of a few rates at which moves by 1e-7 and -1e-6 change nothing by more than what is compared.
"""

import argparse
import copy
import json
import os
from pathlib import Path

os.environ.setdefault("YOLO_OFFLINE", "true")

import cv2
import numpy as np
import torch
from safetensors.numpy import save_file

import rule
import yolo_forward

BATCHES, CLASSES = 4, 3
STORED, LIVE, MASKED = (4, 160), (2, 128), (2, 192)  # pictures in a batch and their side; the last of models with masks
# label, model, learning rate, steps: long and gentle, or short and with large steps
RUNS = [("yolov8n", "yolov8n", 1e-6, 50), ("yolo11n", "yolo11n", 5e-7, 50),
        ("yolov8n-short", "yolov8n", 1e-4, 6), ("yolo11n-short", "yolo11n", 2e-5, 6),
        ("yolo12n", "yolo12n", 5e-7, 20), ("yolo26n", "yolo26n", 1e-6, 20), ("yolo26n-short", "yolo26n", 2e-5, 6)]
LIVE_RATES, LIVE_STEPS, LIVE_MOVES, LIVE_NOISE = (1e-4, 2e-5, 4e-6, 1e-6, 2e-7), 10, (1e-7, -1e-6), 1e-3
SGD = dict(momentum=0.937, nesterov=True)
DECAY = 5e-4
COLOURS = np.array([[0.9, 0.2, 0.1], [0.1, 0.8, 0.3], [0.2, 0.3, 0.9]], np.float32)


def objects(k, shape=STORED):
    """(n, 6) int32 rows of batch k: image, class, x1, y1, x2, y2 in pixels; 1 to 4 per image, the last image of batch 2 empty."""
    rows, (images, size) = [], shape
    for image in range(images):
        u = (rule.uniform(f"trajectory.{k}.objects.{image}", 21) + 1) / 2
        count = 0 if (k, image) == (2, images - 1) else 1 + int(4 * u[20])
        for a in u[:20].reshape(4, 5)[:count]:
            w, h = int(12 + 80 * a[0]), int(12 + 80 * a[1])
            x, y = int((size - w) * a[2]), int((size - h) * a[3])
            rows.append((image, int(CLASSES * a[4]), x, y, x + w, y + h))
    return np.array(rows, np.int32)


def batch(k, rows, shape=STORED):
    """The training batch: noise with each object painted over in the colour of its class, in order."""
    images, size = shape
    pixels = rule.tensor(f"trajectory.{k}.images", (images, 3, size, size), 0.5, 0.5)
    for image, cls, x1, y1, x2, y2 in rows:
        pixels[image, :, y1:y2, x1:x2] = COLOURS[cls][:, None, None]
    corners = rows[:, 2:].astype(np.float32)
    boxes = np.stack([(corners[:, 0] + corners[:, 2]) / 2, (corners[:, 1] + corners[:, 3]) / 2,
                      corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1]], 1) / np.float32(size)
    return {"img": torch.from_numpy(pixels), "masks": torch.from_numpy(masks(rows, shape)), "batch_idx": torch.from_numpy(rows[:, 0].astype(np.float32)),
            "cls": torch.from_numpy(rows[:, 1:2].astype(np.float32)), "bboxes": torch.from_numpy(boxes)}


def masks(rows, shape):
    """(images, size/4, size/4): the number of the object within its image, from 1, of which each pixel is; smaller ones lie on top."""
    images, size = shape
    out = np.zeros((images, size // 4, size // 4), np.float32)
    for image in range(images):
        drawn = []
        for k, (x1, y1, x2, y2) in enumerate(rows[rows[:, 0] == image, 2:]):
            mask = np.zeros((size, size), np.uint8)
            mask[y1:y2, x1:x2] = 1
            drawn.append((k + 1, cv2.resize(mask, (size // 4, size // 4), interpolation=cv2.INTER_LINEAR)))
        for k, mask in sorted(drawn, key=lambda d: -int(d[1].sum())):
            out[image][mask > 0] = k
    return out


def start(name):
    """The peer with the rule's initial weights; the biases it sets itself are kept and returned."""
    from ultralytics.cfg import get_cfg

    net = yolo_forward.network(name, CLASSES)
    net.args = get_cfg()
    state = net.state_dict()
    biases = {k: float(v[0]) for k, v in state.items() if k.endswith(".2.bias") and (v == v[0]).all()}
    yolo_forward.ruled(net, lambda k, shape: rule.initial(k, shape, biases))
    return net.train(), biases


def groups(net):
    """Weights that decay; norm weights; biases."""
    weight, norm, bias = [], [], []
    for name, p in net.named_parameters():
        if p.requires_grad:
            (bias if name.endswith(".bias") else norm if p.ndim == 1 else weight).append(p)
    return [{"params": weight, "weight_decay": DECAY}, {"params": norm, "weight_decay": 0.0},
            {"params": bias, "weight_decay": 0.0}]


def train(name, lr, steps, moved=0.0, shape=STORED):
    net, biases = start(name)
    return train_on(net, lr, steps, moved, shape=shape), biases, net


def train_on(net, lr, steps, moved=0.0, clip=None, shape=STORED):
    """The parts of the loss over the steps, (steps, 3): box, cls, dfl; with masks (steps, 4), the last theirs."""
    if moved:
        with torch.no_grad():
            for p in net.parameters():
                p.mul_(1 + moved * torch.sign(torch.sin(torch.arange(p.numel(), dtype=torch.float32))).view(p.shape))
    optimizer = torch.optim.SGD(groups(net), lr=lr, **SGD)
    stored = [objects(k, shape) for k in range(BATCHES)]
    losses = []
    for step in range(steps):
        parts, _ = net(batch(step % BATCHES, stored[step % BATCHES], shape))
        optimizer.zero_grad()
        parts.sum().backward()
        if clip:
            torch.nn.utils.clip_grad_norm_(net.parameters(), clip)
        optimizer.step()
        parts = parts.detach().numpy().copy()
        losses.append(parts[[0, 2, 3, 1]] if len(parts) == 5 else parts)  # the peer tells masks in second place, and of what no model here has in fifth
    return np.stack(losses)


def relative(a, b):
    return float((np.abs(a.sum(1) - b.sum(1)) / a.sum(1)).max())


def watched(net):
    """The parameters and buffers whose final values are stored: first layers and last biases; not what is zero as nothing was learnt."""
    return {k: v for k, v in net.state_dict().items()
            if v.is_floating_point() and v.any() and (k.startswith(("model.0.", "model.2.cv1.")) or k.endswith(".2.bias"))}


def distance(state, other):
    """The largest |a-b|/max|b| of the tensors."""
    return max(float((other[k] - v).abs().max() / v.abs().max()) for k, v in state.items())


def notes(runs, shape):
    return {"runs": json.dumps(runs), "sgd": json.dumps(SGD | {"weight_decay": DECAY}),
            "colours": json.dumps(np.round(COLOURS.astype(float), 3).tolist()), "classes": str(CLASSES),
            "size": str(shape[1]), "batch": str(shape[0]), "versions": json.dumps(yolo_forward.versions())}


def live(name, out):
    """Ten steps at the largest rate at which the peer reproduces itself."""
    shape = MASKED if name.endswith("-seg") else LIVE
    for lr in LIVE_RATES:
        losses, biases, net = train(name, lr, LIVE_STEPS, shape=shape)
        noise = {"losses": 0.0, "tensors": 0.0}
        for move in LIVE_MOVES:  # each may turn another decision between two objects
            moved, _, other = train(name, lr, LIVE_STEPS, moved=move, shape=shape)
            noise["losses"] = max(noise["losses"], relative(losses, moved))
            noise["tensors"] = max(noise["tensors"], distance(watched(net), watched(other)))
        if max(noise.values()) <= LIVE_NOISE:
            break
    run = {"model": name, "lr": lr, "steps": LIVE_STEPS, "biases": biases, "noise": noise}
    stored = {f"objects{k}": objects(k, shape) for k in range(BATCHES)}
    state = {f"live/{k}": v.numpy() for k, v in watched(net).items()}
    save_file(stored | state | {"live/losses": losses}, out / "trajectory.safetensors", notes({"live": run}, shape))
    print(f"{name}: lr {lr}, loss {losses[0].sum():.3f} -> {losses[-1].sum():.3f}, noise {noise}")


def trained(name, out, steps=50):
    """50 steps from weights that have learnt the batches, with the noise of the peer's own."""
    lr = 5e-5 if "11" in name else 1e-4
    net, _ = start(name)
    for rate, count in ((1e-3, 200), (2e-3, 400)):
        train_on(net, rate, count, clip=10.0)
    save_file({k: v.detach().numpy().copy() for k, v in net.state_dict().items()}, out / "start.safetensors")
    moved = train_on(copy.deepcopy(net), lr, steps, moved=1e-6)
    losses = train_on(net, lr, steps)
    stored = {f"objects{k}": objects(k) for k in range(BATCHES)}
    run = {"model": name, "lr": lr, "steps": steps, "biases": {}, "noise": {"weights moved by 1e-6": relative(losses, moved)}}
    state = {f"trained/{k}": v.numpy() for k, v in watched(net).items()}
    save_file(stored | state | {"trained/losses": losses}, out / "trajectory.safetensors", notes({"trained": run}, STORED))
    print(run)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trained", metavar="MODEL")
    parser.add_argument("--live", metavar="MODEL")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.trained:
        return trained(args.trained, args.out)
    if args.live:
        return live(args.live, args.out)
    stored = [objects(k) for k in range(BATCHES)]
    out, described = {f"objects{k}": rows for k, rows in enumerate(stored)}, {}
    for label, name, lr, steps in RUNS:
        losses, biases, net = train(name, lr, steps)
        moved, _, other = train(name, lr, steps, moved=1e-6)
        with torch.backends.mkldnn.flags(enabled=False):
            plain, _, _ = train(name, lr, steps)
        noise = {"weights moved by 1e-6": relative(losses, moved), "no oneDNN": relative(losses, plain)}
        state = watched(net)
        noise["tensors"] = distance(state, watched(other))
        print(f"{label}: {losses[0].sum():.3f} -> {losses[-1].sum():.3f}, noise {noise}", flush=True)
        out |= {f"{label}/{k}": v.numpy() for k, v in state.items()}
        out[f"{label}/losses"] = losses
        described[label] = {"model": name, "lr": lr, "steps": steps, "biases": biases, "noise": noise}
    path = Path(__file__).resolve().parent / "testdata" / "trajectory.safetensors"
    save_file(out, path, notes(described, STORED))
    print(path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
