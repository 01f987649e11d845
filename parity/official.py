"""A checkpoint as the peer writes it: a whole pickled module in half precision, with class names.

    python official.py        # rewrites ../checkpoint/testdata/official.pt and official.json

The description is a small one of ours, the weights follow the rule. official.json holds the sums of all tensors.
"""

import json
import os
import tempfile
from pathlib import Path

os.environ.setdefault("YOLO_OFFLINE", "true")

import torch
from ultralytics import YOLO

import rule
import yolo_forward

DESCRIPTION = """
nc: 3
reg_max: 1
scales:
  n: [0.33, 0.25, 64]
backbone:
  - [-1, 1, Conv, [16, 3, 2]]
  - [-1, 1, Conv, [32, 3, 2]]
  - [-1, 3, C2f, [32, true]]
head:
  - [[2], 1, Detect, [nc]]
"""


def main():
    data = Path(__file__).resolve().parents[1] / "checkpoint" / "testdata"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "yolov8n-mini.yaml"
        path.write_text(DESCRIPTION)
        model = YOLO(str(path))
    net = model.model
    net.names = {0: "zebra", 1: "buffalo", 2: "elephant"}
    net.args = {"task": "detect"}
    yolo_forward.ruled(net)
    model.save(data / "official.pt")
    stored = torch.load(data / "official.pt", weights_only=False)["model"].state_dict()
    sums = {k: float(v.double().sum()) for k, v in stored.items()}
    (data / "official.json").write_text(json.dumps({"versions": yolo_forward.versions(), "sums": sums}, indent=1) + "\n")


if __name__ == "__main__":
    main()
