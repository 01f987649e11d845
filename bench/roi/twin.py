"""Classifiers on the fixture's crops in PyTorch: python twin.py ROI MODEL KIND SEED [EPOCHS]

ROI is framework_formats/roi/savanna of the fixture, MODEL resnet18 (torchvision) or vit_small_patch16_224 (timm),
KIND multi (seven classes) or single (wildlife against background). The recipe is that of ours.sh: from scratch at
48 px, crops of 50 to 100 % of the area, mirrored half the time, batches of 32, AdamW, decay of weights only, one
epoch of warm-up, cosine to 1 %, gradients clipped at 10. The epoch with the best validation accuracy counts.
"""

import copy
import json
import math
import os
import pathlib
import sys
import time

import timm
import torch
import torch.nn.functional as F
import torchvision
from PIL import Image
from torchvision import transforms as T

root, name, kind, seed = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
epochs = int(sys.argv[5]) if len(sys.argv) > 5 else 8
rate = {"resnet18": 1e-3, "vit_small_patch16_224": 3e-4}[name]
mean, std = ([0.5] * 3, [0.5] * 3) if name.startswith("vit") else ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
torch.manual_seed(seed)
torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))


class Crops(torch.utils.data.Dataset):
    def __init__(self, split, *augment):
        rows = json.loads((root / f"labels/{split}/roi_labels.json").read_text())
        names = sorted({r["class_name"] for r in json.loads((root / "labels/train/roi_labels.json").read_text())})
        self.y = [int(r["class_name"] != "background") if kind == "single" else names.index(r["class_name"]) for r in rows]
        self.x = [Image.open(root / f"images/{split}" / r["file_name"]).convert("RGB") for r in rows]
        self.change = T.Compose([*augment, T.ToTensor(), T.Normalize(mean, std)])
        self.classes = 2 if kind == "single" else len(names)

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        return self.change(self.x[i]), self.y[i]


def accuracy(model, data):
    model.eval()
    with torch.no_grad():
        right = sum((model(x).argmax(1) == y).sum().item() for x, y in torch.utils.data.DataLoader(data, 32))
    return right / len(data)


began = time.time()
data = Crops("train", T.RandomResizedCrop(48, (0.5, 1.0)), T.RandomHorizontalFlip())
train = torch.utils.data.DataLoader(data, 32, shuffle=True)
val, test = (Crops(s, T.Resize((48, 48))) for s in ("val", "test"))
if name == "resnet18":
    model = torchvision.models.resnet18(num_classes=data.classes)
else:
    model = timm.create_model(name, num_classes=data.classes, img_size=48)
plain = [p for n, p in model.named_parameters() if p.dim() < 2 or n in ("cls_token", "pos_embed")]
rest = [p for n, p in model.named_parameters() if not (p.dim() < 2 or n in ("cls_token", "pos_embed"))]
opt = torch.optim.AdamW([{"params": rest, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0}], lr=rate, betas=(0.9, 0.999))
best, kept = -1.0, None
for epoch in range(epochs):
    model.train()
    for step, (x, y) in enumerate(train):
        warm = min((epoch * len(train) + step) / len(train), 1)
        for g in opt.param_groups:
            g["lr"] = rate * warm * (0.01 + 0.99 * (1 + math.cos(math.pi * epoch / epochs)) / 2)
        loss = F.cross_entropy(model(x), y)
        opt.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10)
        opt.step()
    if (a := accuracy(model, val)) > best:
        best, kept = a, copy.deepcopy(model.state_dict())
model.load_state_dict(kept)
print(json.dumps({"side": f"torch {torch.__version__}", "model": name, "kind": kind, "seed": seed, "val_accuracy": best,
                  "test_accuracy": accuracy(model, test), "seconds": round(time.time() - began, 1)}))
