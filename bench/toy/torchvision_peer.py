"""Train torchvision's Faster or Mask R-CNN on the toy task, in a loop like its references', and score it by pycocotools.

    nice -n 19 python torchvision_peer.py TOY --model fasterrcnn_resnet18_fpn --seed 0 --out results/

The same recipe as fasterrcnn.args: from random numbers, batch norm that trains, batches of 4, SGD 0.01 with a
warm-up of one epoch, a tenth after 2/3 and 11/12 of the epochs, mirroring only. Pictures of 640×480 px have a
shorter side of 320 px here and of 312 px (letterboxed to 416) there.
"""

import argparse
import json
import random
import sys
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "parity"))
import detectors  # noqa: E402
from peer import STATS  # noqa: E402

BATCH, RATE = 4, 0.01


def pictures(document, root):
    """(image, target) of a COCO document: tensors in 0..1, corners, labels from 1, masks of polygons."""
    from pycocotools.coco import COCO

    coco = COCO(str(document))
    out = []
    for image in coco.loadImgs(coco.getImgIds()):
        x = torch.from_numpy(np.array(Image.open(root / image["file_name"]).convert("RGB"))).permute(2, 0, 1).float() / 255
        found = coco.loadAnns(coco.getAnnIds(image["id"]))
        boxes = torch.tensor([a["bbox"] for a in found], dtype=torch.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        target = {"boxes": boxes, "labels": torch.tensor([a["category_id"] for a in found], dtype=torch.int64)}
        if found and "segmentation" in found[0]:
            target["masks"] = torch.from_numpy(np.stack([coco.annToMask(a) for a in found]))
        out.append((image["id"], x, target))
    return coco, out


def mirrored(x, target):
    x = x.flip(2)
    target = {k: v.clone() for k, v in target.items()}
    target["boxes"][:, [0, 2]] = x.shape[2] - target["boxes"][:, [2, 0]]
    if "masks" in target:
        target["masks"] = target["masks"].flip(2)
    return x, target


def score(model, coco, data, kind):
    from pycocotools import mask as runs
    from pycocotools.cocoeval import COCOeval

    found = []
    model.eval()
    with torch.no_grad():
        for image, x, _ in data:
            said = model([x])[0]
            for i, (box, conf, label) in enumerate(zip(said["boxes"].tolist(), said["scores"].tolist(), said["labels"].tolist())):
                one = {"image_id": image, "category_id": label, "score": conf, "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]]}
                if kind == "segm":
                    m = runs.encode(np.asfortranarray((said["masks"][i, 0] >= 0.5).numpy().astype(np.uint8)))
                    one["segmentation"] = {"size": m["size"], "counts": m["counts"].decode()}
                found.append(one)
    if not found:
        return dict.fromkeys(STATS, 0.0)
    coco.dataset.setdefault("info", {})
    evaluation = COCOeval(coco, coco.loadRes(found), kind)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return dict(zip(STATS, map(float, evaluation.stats)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("toy", type=Path)
    parser.add_argument("--model", default="fasterrcnn_resnet18_fpn")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    random.seed(args.seed)
    torch.manual_seed(args.seed)
    root = args.toy / "wildata" / "datasets"
    _, train = pictures(root / "toy/annotations/train.json", root)
    coco, val = pictures(root / "toy/annotations/val.json", root)
    model = detectors.build(args.model, 3, min_size=320, max_size=533)
    weights = [p for p in model.parameters() if p.requires_grad and p.dim() > 1]
    others = [p for p in model.parameters() if p.requires_grad and p.dim() <= 1]
    optimizer = torch.optim.SGD([{"params": weights, "weight_decay": 1e-4}, {"params": others, "weight_decay": 0.0}], lr=RATE, momentum=0.9)
    steps = (len(train) + BATCH - 1) // BATCH
    milestones = [args.epochs * 2 // 3, args.epochs * 11 // 12]
    begun, losses = time.time(), []
    for epoch in range(args.epochs):
        model.train()
        order = random.sample(range(len(train)), len(train))
        total = 0.0
        for step in range(steps):
            warm = min((epoch * steps + step) / steps, 1.0)
            for group in optimizer.param_groups:
                group["lr"] = RATE * warm * 0.1 ** sum(epoch >= m for m in milestones)
            chosen = [train[i][1:] for i in order[step * BATCH:(step + 1) * BATCH]]
            chosen = [mirrored(*c) if random.random() < 0.5 else c for c in chosen]
            loss = sum(model([x for x, _ in chosen], [t for _, t in chosen]).values())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        losses.append(round(total / steps, 4))
        print(f"epoch {epoch + 1}/{args.epochs} loss {losses[-1]} after {time.time() - begun:.0f} s", flush=True)
    result = {"what": "toy task, torchvision", "model": args.model, "seed": args.seed, "epochs": args.epochs, "versions": detectors.versions(),
              "train_seconds": round(time.time() - begun, 1), "losses": losses, "last": score(model, coco, val, "bbox")}
    if args.model.startswith("mask"):
        result["last_masks"] = score(model, coco, val, "segm")
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / f"peer-{args.model}-seed{args.seed}.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result["last"]))


if __name__ == "__main__":
    main()
