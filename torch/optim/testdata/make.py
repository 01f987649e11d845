"""Goldens of the optimisers, made by PyTorch: python make.py > optim.json

The parameters and their gradients are pseudo-random by a formula which the Go
test repeats, so that only the results are stored. One parameter has no gradient
in every third step; decay is for weights only; the learning rate of the second
group changes at step 50.
"""
import json, math, sys
import torch

STEPS = 100
SHAPES = {"w": (4, 3, 3, 3), "n": (8,), "b": (5,)}
GROUP = {"w": "weights", "n": "norms", "b": "biases"}


def value(k, i):  # a hash in [-1, 1), exact in double
    x = (k * 2654435761 + i * 40503 + 12345) % 4294967296
    x = (x * 1664525 + 1013904223) % 4294967296
    x ^= x >> 13
    x = (x * 1664525 + 1013904223) % 4294967296
    return x / 2147483648 - 1


def tensor(k, shape):
    n = math.prod(shape)
    return torch.tensor([value(k, i) for i in range(n)], dtype=torch.float64).to(torch.float32).reshape(shape)


def run(make, clip=0.0, clip_value=0.0, ema=0.0):
    params = {n: torch.nn.Parameter(tensor(j, s)) for j, (n, s) in enumerate(SHAPES.items())}
    groups = [{"params": [params[n]], "weight_decay": 0.05 if n == "w" else 0.0} for n in SHAPES]
    opt = make(groups)
    mean = {n: p.detach().clone() for n, p in params.items()}
    norms = []
    for step in range(STEPS):
        if step == 50:
            opt.param_groups[1]["lr"] *= 0.5
        opt.zero_grad(set_to_none=True)
        for j, (n, p) in enumerate(params.items()):
            if n == "b" and step % 3 == 1:
                continue
            p.grad = tensor(1000 + step * 10 + j, p.shape) * (1 + step % 7)
        if clip:
            norms.append(torch.nn.utils.clip_grad_norm_(params.values(), clip).item())
        if clip_value:
            torch.nn.utils.clip_grad_value_(params.values(), clip_value)
        opt.step()
        if ema:
            for n, p in params.items():
                mean[n] = mean[n] * ema + p.detach() * (1 - ema)
    out = {"params": {n: p.detach().flatten().tolist() for n, p in params.items()}, "norms": norms}
    if ema:
        out["mean"] = {n: v.flatten().tolist() for n, v in mean.items()}
    return out


cases = {
    "sgd": run(lambda g: torch.optim.SGD(g, lr=0.01)),
    "sgd_momentum": run(lambda g: torch.optim.SGD(g, lr=0.01, momentum=0.9)),
    "sgd_nesterov_clip_ema": run(lambda g: torch.optim.SGD(g, lr=0.01, momentum=0.937, nesterov=True), clip=10.0, ema=0.97),
    "sgd_clip_value": run(lambda g: torch.optim.SGD(g, lr=0.01, momentum=0.9), clip_value=0.5),
    "adam": run(lambda g: torch.optim.Adam(g, lr=0.01, betas=(0.9, 0.999))),
    "adamw_clip": run(lambda g: torch.optim.AdamW(g, lr=0.01, betas=(0.937, 0.999)), clip=3.0),
    "rmsprop": run(lambda g: torch.optim.RMSprop(g, lr=0.001, alpha=0.99)),
    "rmsprop_momentum": run(lambda g: torch.optim.RMSprop(g, lr=0.001, alpha=0.9, momentum=0.9)),
}

# torch.amp.GradScaler's rule, followed for a pattern of finite and non-finite steps
scale, tracker, scales = torch.full((1,), 65536.0), torch.zeros(1, dtype=torch.int32), []
for step in range(60):
    found = torch.tensor([1.0 if step % 13 == 5 else 0.0])
    torch._amp_update_scale_(scale, tracker, found, 2.0, 0.5, 4)
    scales.append(scale.item())

json.dump({"torch": torch.__version__, "cases": cases, "scales": scales}, sys.stdout)
