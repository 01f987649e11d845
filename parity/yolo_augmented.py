"""Test-time augmentation: the peer's decoded output with augment=True for weights that follow the rule.

    python yolo_augmented.py        # rewrites testdata/augmented.safetensors

The peer is run as a black box: its network called with augment=True.
"""

import json
import os

os.environ.setdefault("YOLO_OFFLINE", "true")

import torch
from safetensors.torch import save_file

from yolo_forward import HERE, images, network, ruled, versions


@torch.no_grad()
def main():
    shape = (2, 3, 96, 128)
    net = ruled(network("yolov8n", 3)).eval()
    out = net(images(shape[0], *shape[2:]), augment=True)
    out = out[0] if isinstance(out, (tuple, list)) else out
    notes = {"model": "yolov8n", "classes": "3", "rule": "spread", "images": json.dumps(shape), "versions": json.dumps(versions())}
    save_file({"decoded": out.contiguous()}, HERE / "testdata" / "augmented.safetensors", notes)
    print(tuple(out.shape))


main()
