"""Optimiser parity: 100 gradient sets by the rule through PyTorch's optimisers.

    python optim.py        # rewrites testdata/optim.safetensors

README.md describes the file. Parameters and gradients are float32, as they are in training.
"""

import json
import math
from importlib import metadata
from pathlib import Path

import torch
from safetensors.torch import save_file

import rule

STEPS, WARMUP = 100, 20
# name, shape, group; the shapes of a small network: convolution, norm, linear
PARAMETERS = [
    ("conv.weight", (6, 3, 3, 3), "weight"), ("bn.weight", (6,), "norm"), ("bn.bias", (6,), "bias"),
    ("fc.weight", (5, 24), "weight"), ("fc.bias", (5,), "bias"), ("scale", (), "norm"),
]
GROUPS = ("weight", "norm", "bias")
DECAY = {"weight": 0.05, "norm": 0.0, "bias": 0.0}
CASES = {
    "sgd": dict(kind="SGD", lr=0.01, momentum=0.937, nesterov=True, clip=10.0),
    "sgd-plain": dict(kind="SGD", lr=0.01, momentum=0.0, nesterov=False, clip=1.0),
    "sgd-heavy-ball": dict(kind="SGD", lr=0.01, momentum=0.9, nesterov=False, clip=0.0),
    "adamw": dict(kind="AdamW", lr=0.002, betas=(0.9, 0.999), eps=1e-8, clip=10.0),
    "adamw-clip1": dict(kind="AdamW", lr=0.01, betas=(0.937, 0.999), eps=1e-8, clip=1.0),
    "adam": dict(kind="Adam", lr=0.002, betas=(0.9, 0.999), eps=1e-8, clip=10.0),
    "rmsprop": dict(kind="RMSprop", lr=0.001, alpha=0.99, eps=1e-8, momentum=0.9, clip=1.0),
}
KEPT = (1, 10, 50, 100)  # steps after which parameters are stored


def gradient(step, name, shape):
    """Mostly small; every tenth step a hundred times as large, so that clipping at 10 bites as well."""
    half = 30.0 if step % 10 == 0 else 0.3
    return torch.from_numpy(rule.tensor(f"optim.{step}.{name}", shape, 0.0, half))


def start(name, shape):
    return torch.from_numpy(rule.tensor(f"optim.start.{name}", shape, 0.0, 1.0))


def rates(step, case):
    """(lr, momentum) of a step, from 1, per group: the warm-up of a detector, then linear to 1 %."""
    lr, momentum = case["lr"], case.get("momentum", 0.0)
    if step <= WARMUP:
        part = (step - 1) / WARMUP
        other = lr * part
        return {"weight": other, "norm": other, "bias": 0.1 + (lr - 0.1) * part if case["kind"] == "SGD" else other}, \
            (0.8 + (momentum - 0.8) * part if momentum and case["kind"] == "SGD" else momentum)
    late = lr * (1 - 0.99 * (step - WARMUP) / (STEPS - WARMUP))
    return dict.fromkeys(GROUPS, late), momentum


def optimiser(case, groups):
    options = {k: v for k, v in case.items() if k not in ("kind", "clip")}
    sets = [{"params": groups[g], "weight_decay": DECAY[g], "name": g} for g in GROUPS]
    return getattr(torch.optim, case["kind"])(sets, foreach=False, **options)


def run(case):
    parameters = {name: torch.nn.Parameter(start(name, shape)) for name, shape, _ in PARAMETERS}
    average = {name: p.detach().clone() for name, p in parameters.items()}
    groups = {g: [parameters[n] for n, _, of in PARAMETERS if of == g] for g in GROUPS}
    optimizer = optimiser(case, groups)
    out, norms = {}, []
    for step in range(1, STEPS + 1):
        lr, momentum = rates(step, case)
        for group in optimizer.param_groups:
            group["lr"] = lr[group["name"]]
            if "momentum" in group:
                group["momentum"] = momentum
        for name, shape, _ in PARAMETERS:
            parameters[name].grad = gradient(step, name, shape)
        norms.append(float(torch.nn.utils.clip_grad_norm_(parameters.values(), case["clip"] or math.inf)))
        optimizer.step()
        decay = 0.9999 * (1 - math.exp(-step / 2000))
        for name, p in parameters.items():
            average[name].mul_(decay).add_(p.detach(), alpha=1 - decay)
        if step in KEPT:
            out |= {f"{step}.{name}": p.detach().clone() for name, p in parameters.items()}
    out |= {f"average.{name}": v for name, v in average.items()}
    for name, p in parameters.items():
        for key, value in optimizer.state[p].items():
            if isinstance(value, torch.Tensor):
                out[f"state.{key}.{name}"] = value.detach().clone()
    return out, norms


def main():
    out, described = {}, {}
    for label, case in CASES.items():
        result, norms = run(case)
        out |= {f"{label}/{k}": v for k, v in result.items()}
        described[label] = case | {"norms": {str(s): norms[s - 1] for s in KEPT}}
        spread = {s: float(result[f"{s}.conv.weight"].std()) for s in KEPT}
        print(label, spread, "norms", {s: round(norms[s - 1], 3) for s in KEPT})
    notes = {
        "cases": json.dumps(described), "steps": str(STEPS), "warmup": str(WARMUP), "decay": json.dumps(DECAY),
        "parameters": json.dumps([[n, list(s), g] for n, s, g in PARAMETERS]),
        "versions": json.dumps({n: metadata.version(n) for n in ("torch", "numpy")}),
    }
    path = Path(__file__).resolve().parent / "testdata" / "optim.safetensors"
    save_file(out, path, notes)
    print(path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
