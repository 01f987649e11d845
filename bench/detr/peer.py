"""How many steps RT-DETR R18 of transformers needs to overfit eight pictures of the fixture.

    python peer.py TILES OUT    # TILES: the dataset savanna-tiles of the WilData fixture

It writes OUT/data.safetensors (the pictures, squeezed to 192 px, and their boxes) and OUT/start.safetensors (the
initial weights), from which ours (main.go) begins too, and prints the AP50 on the eight pictures as training goes.
Recipe of both sides: AdamW 3e-4 for all parameters, weight decay 1e-4 on matrices, gradients clipped to a norm of 0.1,
batches of four in a fixed order, norms of the backbone train, denoising as published. All
batch norms begin at 1, as PyTorch and the authors have it (the library draws their weights around 0).
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
import transformers
from PIL import Image
from safetensors.torch import save_file
from transformers import RTDetrConfig, RTDetrForObjectDetection, RTDetrResNetConfig

SIZE, COUNT, BATCH, EVERY, MOST, SEED = 192, 8, 4, 10, 600, 0
transformers.logging.set_verbosity_error()


def data(tiles):
    coco = json.loads((tiles / "annotations" / "train.json").read_text())
    names = [c["name"] for c in sorted(coco["categories"], key=lambda c: c["id"])]
    ids = sorted(c["id"] for c in coco["categories"])
    boxes = {}
    for a in coco["annotations"]:
        if not a.get("iscrowd"):
            boxes.setdefault(a["image_id"], []).append(a)
    pictures, targets = [], []
    for image in sorted(coco["images"], key=lambda i: i["file_name"]):
        if image["id"] not in boxes or len(pictures) == COUNT:
            continue
        with Image.open(tiles / "images" / "train" / Path(image["file_name"]).name) as f:
            w, h = f.size
            pictures.append(np.asarray(f.convert("RGB").resize((SIZE, SIZE), Image.BILINEAR)))
        for a in boxes[image["id"]]:
            x, y, bw, bh = a["bbox"]
            targets.append([len(pictures) - 1, ids.index(a["category_id"]), (x + bw / 2) / w, (y + bh / 2) / h, bw / w, bh / h])
    return np.stack(pictures), np.array(targets, np.float32), names


def model(classes):
    torch.manual_seed(SEED)
    backbone = RTDetrResNetConfig(depths=[2, 2, 2, 2], hidden_sizes=[64, 128, 256, 512], layer_type="basic", out_features=["stage2", "stage3", "stage4"])
    net = RTDetrForObjectDetection(RTDetrConfig(
        num_labels=classes, backbone_config=backbone, encoder_in_channels=[128, 256, 512], hidden_expansion=0.5, decoder_layers=3,
        freeze_backbone_batch_norms=False))
    for m in net.modules():
        if isinstance(m, torch.nn.BatchNorm2d):
            torch.nn.init.ones_(m.weight)
    return net


def ap50(net, x, truths, classes):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval
    import contextlib
    import io
    net.eval()
    with torch.no_grad():
        out = net(x)
    scores, index = out.logits.sigmoid().flatten(1).topk(300)
    corner = lambda b: [(b[0] - b[2] / 2) * SIZE, (b[1] - b[3] / 2) * SIZE, b[2] * SIZE, b[3] * SIZE]
    found = [{"image_id": i, "category_id": int(k % classes), "score": float(s), "bbox": corner(out.pred_boxes[i, k // classes].tolist())}
             for i in range(len(x)) for s, k in zip(scores[i], index[i])]
    gt = COCO()
    gt.dataset = {"info": {}, "images": [{"id": i} for i in range(len(x))], "categories": [{"id": c} for c in range(classes)],
                  "annotations": [{"id": n + 1, "image_id": int(t[0]), "category_id": int(t[1]), "bbox": corner(t[2:].tolist()), "iscrowd": 0,
                                   "area": float(t[4] * t[5]) * SIZE * SIZE} for n, t in enumerate(truths)]}
    with contextlib.redirect_stdout(io.StringIO()):
        gt.createIndex()
        e = COCOeval(gt, gt.loadRes(found), "bbox")
        e.evaluate(), e.accumulate(), e.summarize()
    net.train()
    return float(e.stats[1])


def main():
    torch.set_num_threads(1)
    tiles, out = Path(sys.argv[1]), Path(sys.argv[2])
    pictures, truths, names = data(tiles)
    net = model(len(names))
    out.mkdir(parents=True, exist_ok=True)
    save_file({"pixels": torch.from_numpy(pictures.copy()), "targets": torch.from_numpy(truths)}, out / "data.safetensors", {"classes": json.dumps(names)})
    save_file({k: v.clone() for k, v in net.state_dict().items()}, out / "start.safetensors")
    x = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
    labels = [{"class_labels": torch.from_numpy(truths[truths[:, 0] == i, 1]).long(), "boxes": torch.from_numpy(truths[truths[:, 0] == i, 2:])} for i in range(COUNT)]
    decayed = [p for p in net.parameters() if p.dim() > 1]
    rest = [p for p in net.parameters() if p.dim() <= 1]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 1e-4}, {"params": rest, "weight_decay": 0.0}], lr=3e-4)
    net.train()
    print(len(truths), "boxes", torch.__version__, transformers.__version__, flush=True)
    begin = time.time()
    for step in range(1, MOST + 1):
        part = slice(0, BATCH) if step % 2 else slice(BATCH, COUNT)
        loss = net(x[part], labels=labels[part]).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 0.1)
        optimizer.step()
        if step % EVERY == 0:
            score = ap50(net, x, truths, len(names))
            print(f"step {step} loss {loss.item():.3f} AP50 {score:.3f} {time.time() - begin:.0f} s", flush=True)
            if score >= 0.5:
                print("reached at step", step)
                return


if __name__ == "__main__":
    main()
