"""A checkpoint of the Python WildTrain's classifier with its answers: python lightning.py OUT

The model is built from the survey's description (timm backbone without pooling, normalisation by the data set's
statistics and then by the backbone's, class token, MLP head); weights come from the rule of README.md (`spread`).
OUT gets model.ckpt as Lightning's trainer writes it, and answers.safetensors: pixels (uint8 NHWC, of the model's
own size) and probabilities.
"""

import pathlib
import sys

import numpy as np
import timm
import torch
from safetensors.torch import save_file

import rule

SIZE, CLASSES, HIDDEN = 64, 3, 16
out = pathlib.Path(sys.argv[1])
torch.set_num_threads(1)
body = timm.create_model("vit_tiny_patch16_224", num_classes=0, global_pool="", img_size=SIZE).eval()
head = torch.nn.Sequential(torch.nn.Sequential(torch.nn.Linear(192, HIDDEN), torch.nn.ReLU(), torch.nn.Dropout(0.2)), torch.nn.Linear(HIDDEN, CLASSES)).eval()
for part, prefix in ((body, "feature_extractor."), (head, "fc.fc.")):
    part.load_state_dict({k: torch.from_numpy(np.asarray(rule.spread(prefix + k, tuple(v.shape)))) for k, v in part.state_dict().items()})
mean, std, half = torch.tensor([0.554, 0.469, 0.348]), torch.tensor([0.203, 0.173, 0.144]), torch.full((3,), 0.5)
state = {"model.mean": mean, "model.std": std, "model.input_size": torch.tensor([SIZE]).int(), "model.num_classes": torch.tensor([CLASSES]).int(),
         "model.num_layers": torch.tensor([2]).int(), "model.hidden_dim": torch.tensor([HIDDEN]).int(), "model.dropout": torch.tensor([0.2]),
         "model.preprocessing.mean": mean.view(1, 3, 1, 1), "model.preprocessing.std": std.view(1, 3, 1, 1),
         "model.backbone_trfs.mean": half.view(1, 3, 1, 1), "model.backbone_trfs.std": half.view(1, 3, 1, 1)}
state |= {f"model.feature_extractor.{k}": v for k, v in body.state_dict().items()} | {f"model.fc.fc.{k}": v for k, v in head.state_dict().items()}
settings = {"label_to_class_map": {0: "background", 1: "impala", 2: "zebra"}, "backbone": "timm/vit_tiny_patch16_224", "backbone_source": "timm",
            "input_size": SIZE, "mean": mean.tolist(), "std": std.tolist(), "dropout": 0.2, "freeze_backbone": True, "num_layers": 2, "hidden_dim": HIDDEN}
torch.save({"epoch": 1, "global_step": 2, "pytorch-lightning_version": "2.3.3", "state_dict": state, "hyper_parameters": settings}, out / "model.ckpt")
pixels = np.floor(rule.tensor("lightning.pixels", (4, SIZE, SIZE, 3), 0.5, 0.5) * 255.99).astype(np.uint8)
with torch.no_grad():
    x = torch.tensor(pixels).permute(0, 3, 1, 2).float() / 255
    x = ((x - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1) - 0.5) / 0.5
    save_file({"pixels": torch.tensor(pixels), "probs": head(body(x)[:, 0]).softmax(1)}, out / "answers.safetensors")
