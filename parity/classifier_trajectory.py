"""What 50 training steps of PyTorch lose on crops of the fixture: testdata/classifier_trajectory.safetensors.

    python classifier_trajectory.py ROI        # the folder framework_formats/roi/savanna of the fixture

The crops lie in the file, so that nothing but the training is compared; the initial weights come from the
rule of README.md (`initial`). Models: torchvision's resnet18 by SGD, timm's vit_small_patch16_224 by AdamW;
norms, biases and embeddings without decay. ResNet-18 on so few small crops is chaotic: weights moved by 1e-7
move PyTorch's own losses by 2e-3 after nine steps at a rate of 0.005, so the long run has a small rate and
the one at a large rate is short. Classes: the fixture's seven with balanced weights and smoothing,
and wildlife against background; smoothing keeps the losses away from 0.
"""

import json
import pathlib
import sys

import numpy as np
import timm
import torch
import torch.nn.functional as F
import torchvision
from PIL import Image
from safetensors.torch import save_file

import rule

BATCHES, BATCH, SIDE = 6, 8, 48
IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
RUNS = {
    "resnet18": {"architecture": "resnet18", "steps": 50, "optimizer": "SGD", "lr": 2e-5, "momentum": 0.9, "decay": 5e-4, **IMAGENET},
    "resnet18 at 0.005": {"architecture": "resnet18", "steps": 3, "optimizer": "SGD", "lr": 0.005, "momentum": 0.9, "decay": 5e-4, **IMAGENET},
    "vit_small": {"architecture": "timm/vit_small_patch16_224", "steps": 50, "optimizer": "AdamW", "lr": 1e-4, "momentum": 0.9, "decay": 0.05, "mean": [0.5] * 3, "std": [0.5] * 3},
}


def crops(root):
    labels = json.loads((root / "labels/train/roi_labels.json").read_text())
    names = json.loads((root / "labels/train/class_mapping.json").read_text())
    classes = [names[k] for k in sorted(names, key=int)]
    by_class = {c: [] for c in classes}
    for row in labels:
        by_class[row["class_name"]].append(row)
    rows = [by_class[classes[i % len(classes)]][i // len(classes)] for i in range(BATCHES * BATCH)]
    pixels = np.stack([np.asarray(Image.open(root / "images/train" / r["file_name"]).convert("RGB").resize((SIDE, SIDE), Image.BILINEAR)) for r in rows])
    counts = [len(by_class[c]) for c in classes]
    return pixels, np.array([classes.index(r["class_name"]) for r in rows]), classes, counts


def build(name, classes):
    if name == "resnet18":
        model = torchvision.models.resnet18(num_classes=classes)
    else:
        model = timm.create_model(name.split("/")[1], num_classes=classes, img_size=SIDE)
    model.load_state_dict({k: torch.from_numpy(np.asarray(rule.initial(k, tuple(v.shape), {}))) for k, v in model.state_dict().items()})
    return model.train()


def optimizer(model, run):
    plain = [p for n, p in model.named_parameters() if p.dim() < 2 or n in ("cls_token", "pos_embed")]
    rest = [p for n, p in model.named_parameters() if not (p.dim() < 2 or n in ("cls_token", "pos_embed"))]
    groups = [{"params": rest, "weight_decay": run["decay"]}, {"params": plain, "weight_decay": 0.0}]
    if run["optimizer"] == "SGD":
        return torch.optim.SGD(groups, lr=run["lr"], momentum=run["momentum"])
    return torch.optim.AdamW(groups, lr=run["lr"], betas=(run["momentum"], 0.999))


def train(run, pixels, y, classes, weight, smoothing):
    model = build(run["architecture"], classes)
    opt = optimizer(model, run)
    mean, std = (torch.tensor(run[k]).view(1, 3, 1, 1) for k in ("mean", "std"))
    losses = []
    for step in range(run["steps"]):
        part = slice(step % BATCHES * BATCH, (step % BATCHES + 1) * BATCH)
        x = (torch.tensor(pixels[part]).permute(0, 3, 1, 2).float() / 255 - mean) / std
        loss = F.cross_entropy(model(x), torch.tensor(y[part]), weight=weight, label_smoothing=smoothing)
        losses.append(loss.item())
        opt.zero_grad()
        loss.backward()
        opt.step()
    return torch.tensor(losses)


def main():
    pixels, y, classes, counts = crops(pathlib.Path(sys.argv[1]))
    balanced = torch.tensor([sum(counts) / (len(counts) * c) for c in counts])
    out = {"pixels": torch.tensor(pixels), "labels": torch.tensor(y)}
    for name, run in RUNS.items():
        out[name + "/multi"] = train(run, pixels, y, len(classes), balanced, 0.1)
        out[name + "/single"] = train(run, pixels, (y != classes.index("background")).astype(np.int64), 2, None, 0.1)
        print(name, out[name + "/multi"][[0, -1]], out[name + "/single"][[0, -1]])
    about = {"runs": json.dumps(RUNS), "classes": json.dumps(classes), "counts": json.dumps(counts), "batch": str(BATCH), "torch": torch.__version__,
             "torchvision": torchvision.__version__, "timm": timm.__version__}
    save_file(out, pathlib.Path(__file__).parent / "testdata/classifier_trajectory.safetensors", metadata=about)


torch.set_num_threads(1)
main()
