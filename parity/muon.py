"""MuSGD parity: torch.optim.Muon, and the peer's MuSGD as a black box, over gradients by the rule.

    python muon.py        # rewrites ../torch/optim/testdata/muon.safetensors

Muon orthogonalises in bfloat16, so that steps of two releases differ by some of its roundings.
README.md describes the file.
"""

import json
import os
from pathlib import Path

os.environ.setdefault("YOLO_OFFLINE", "true")

import torch
from safetensors.torch import save_file

import rule
import yolo_forward

STEPS = 4
SHAPES = {"wide.weight": (6, 20), "tall.weight": (40, 12), "square.weight": (16, 16), "conv.weight": (8, 4, 3, 3)}
DECAY = 0.05


def values(name, shape, half):
    return torch.from_numpy(rule.tensor(name, shape, 0.0, half))


def run(make):
    parameters = {n: torch.nn.Parameter(values(f"muon.start.{n}", s, 1.0)) for n, s in SHAPES.items()}
    optimizer = make(parameters)
    for step in range(1, STEPS + 1):
        for n, p in parameters.items():
            p.grad = values(f"muon.{step}.{n}", p.shape, 0.3).reshape(p.shape)
        optimizer.step()
    return {n: p.detach() for n, p in parameters.items()}


class Muon:
    """torch.optim.Muon takes matrices only: a kernel is one of a row per output channel."""

    def __init__(self, parameters):
        self.parameters = list(parameters.values())
        self.matrices = [torch.nn.Parameter(p.detach().reshape(len(p), -1)) for p in self.parameters]
        self.muon = torch.optim.Muon(self.matrices, lr=0.05, weight_decay=0.0, momentum=0.9, nesterov=True)

    def step(self):
        for p, m in zip(self.parameters, self.matrices):
            m.grad = p.grad.reshape(m.shape)
        self.muon.step()
        for p, m in zip(self.parameters, self.matrices):
            p.data = m.detach().reshape(p.shape).clone()


def musgd(parameters):
    from ultralytics.optim import MuSGD

    group = dict(params=list(parameters.values()), lr=0.05, momentum=0.9, weight_decay=DECAY, nesterov=True, use_muon=True)
    return MuSGD([group], muon=0.2, sgd=1.0)


def main():
    torch.set_num_threads(1)
    out = {f"{label}/{n}": p.contiguous() for label, make in (("muon", Muon), ("musgd", musgd)) for n, p in run(make).items()}
    notes = {"shapes": json.dumps(SHAPES), "steps": str(STEPS), "lr": "0.05", "momentum": "0.9", "decay": str(DECAY),
             "versions": json.dumps(yolo_forward.versions())}
    save_file(out, Path(__file__).resolve().parents[1] / "torch" / "optim" / "testdata" / "muon.safetensors", notes)


if __name__ == "__main__":
    main()
