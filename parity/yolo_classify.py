"""Classifiers of the YOLO family: tensors of all sizes, outputs of two.

    python yolo_classify.py        # rewrites yolo.json and yolo.safetensors in ../torch/nn/backbone/testdata

All networks have 1000 classes; weights follow the `spread` rule. README.md describes the files.
"""

import json
import os
from hashlib import sha256
from pathlib import Path

os.environ.setdefault("YOLO_OFFLINE", "true")

import torch
from safetensors.torch import save_file

import rule
import yolo_forward

MODELS = [f"yolo{family}{size}-cls" for family in ("v8", "11") for size in "nsmlx"]
SHAPE = (2, 3, 64, 96)


def network(name):
    from ultralytics.nn.tasks import ClassificationModel

    return ClassificationModel(f"{name}.yaml", nc=1000, verbose=False)


@torch.no_grad()
def outputs(name):
    net = yolo_forward.ruled(network(name)).eval()
    seen = {}
    last = next(m for m in reversed(list(net.modules())) if isinstance(m, torch.nn.Linear))
    last.register_forward_hook(lambda module, inputs, output: seen.update(features=inputs[0], logits=output))
    net(yolo_forward.images(SHAPE[0], *SHAPE[2:]))
    return {f"{name}.{k}": v.contiguous() for k, v in seen.items()}


def main():
    data = Path(__file__).resolve().parents[1] / "torch" / "nn" / "backbone" / "testdata"
    facts = {}
    for name in MODELS:
        state = (net := network(name)).state_dict()
        lines = [f"{k} {str(state[k].dtype).removeprefix('torch.')} {'x'.join(map(str, state[k].shape)) or 'scalar'}\n"
                 for k in sorted(state)]
        facts[name] = {"parameters": sum(p.numel() for p in net.parameters()), "keys": len(lines),
                       "keys_sha256": sha256("".join(lines).encode()).hexdigest()}
    (data / "yolo.json").write_text(json.dumps({"versions": yolo_forward.versions(), "models": facts}, indent=1) + "\n")
    out = outputs("yolov8n-cls") | outputs("yolo11n-cls")
    save_file(out, data / "yolo.safetensors", {"images": json.dumps(SHAPE), "versions": json.dumps(yolo_forward.versions())})
    print({k: (tuple(v.shape), round(float(v.std()), 3)) for k, v in out.items()})


if __name__ == "__main__":
    main()
