"""The digits' twin in PyTorch: python twin.py DIGITS SEED [EPOCHS]

The recipe of ours.sh: torchvision's ResNet-18 from scratch, 32 px, crops of 70 to 100 % of the area, batches
of 64, smoothing 0.1, SGD 0.03 with Nesterov momentum 0.9, decay 5e-4 of weights only, one epoch of warm-up,
cosine to 1 %, gradients clipped at 10. The weights after the last epoch are tested. Prints one line of JSON.
"""

import json
import math
import os
import sys
import time

import torch
import torch.nn.functional as F
import torchvision
from torchvision import transforms as T

root, seed = sys.argv[1], int(sys.argv[2])
epochs = int(sys.argv[3]) if len(sys.argv) > 3 else 12
torch.manual_seed(seed)
torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
norm = [T.ToTensor(), T.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])]


def load(split, *augment):
    return torchvision.datasets.ImageFolder(f"{root}/{split}", T.Compose([*augment, *norm]))


def accuracy(model, data):
    model.eval()
    with torch.no_grad():
        right = sum((model(x).argmax(1) == y).sum().item() for x, y in torch.utils.data.DataLoader(data, 64))
    return right / len(data)


began = time.time()
train = torch.utils.data.DataLoader(load("train", T.RandomResizedCrop(32, (0.7, 1.0))), 64, shuffle=True)
model = torchvision.models.resnet18(num_classes=10)
plain = [p for p in model.parameters() if p.dim() < 2]
rest = [p for p in model.parameters() if p.dim() >= 2]
opt = torch.optim.SGD([{"params": rest, "weight_decay": 5e-4}, {"params": plain, "weight_decay": 0}], lr=0.03, momentum=0.9, nesterov=True)
for epoch in range(epochs):
    model.train()
    for step, (x, y) in enumerate(train):
        warm = min((epoch * len(train) + step) / len(train), 1)
        rate = 0.03 * warm * (0.01 + 0.99 * (1 + math.cos(math.pi * epoch / epochs)) / 2)
        for g in opt.param_groups:
            g["lr"] = rate
        loss = F.cross_entropy(model(x), y, label_smoothing=0.1)
        opt.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10)
        opt.step()
print(json.dumps({"side": f"torch {torch.__version__}", "seed": seed, "epochs": epochs, "test_accuracy": accuracy(model, load("test")),
                  "seconds": round(time.time() - began, 1)}))
