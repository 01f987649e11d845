"""Goldens of torch.DeformableAttention: PyTorch's grid_sample, in double precision.

    python detr_attention.py    # rewrites ../torch/testdata/deformable.json
"""

import json
from pathlib import Path

import torch
from torch.nn.functional import grid_sample

SEED = 5
SHAPES = [(4, 6), (2, 3), (1, 2)]
N, HEADS, WIDTH, QUERIES, POINTS = 2, 2, 3, 5, 2


def attend(value, locations, weights):
    """Equation 3 of arXiv 2010.04159 by one grid_sample per level."""
    out, start = 0, 0
    for level, (h, w) in enumerate(SHAPES):
        grid = value[:, start:start + h * w].permute(0, 2, 3, 1).reshape(N * HEADS, WIDTH, h, w)
        start += h * w
        places = (2 * locations[:, :, :, level] - 1).transpose(1, 2).reshape(N * HEADS, QUERIES, POINTS, 2)
        sampled = grid_sample(grid, places, mode="bilinear", padding_mode="zeros", align_corners=False)
        share = weights[:, :, :, level].transpose(1, 2).reshape(N * HEADS, 1, QUERIES, POINTS)
        out = out + (sampled * share).sum(-1)
    return out.view(N, HEADS * WIDTH, QUERIES).transpose(1, 2)


def golden(t):
    return {"shape": list(t.shape), "data": t.detach().reshape(-1).tolist()}


def main():
    random = torch.Generator().manual_seed(SEED)
    positions = sum(h * w for h, w in SHAPES)
    value = torch.randn(N, positions, HEADS, WIDTH, generator=random).double().requires_grad_()
    # from −0.2 to 1.2: some places lie outside
    locations = (torch.rand(N, QUERIES, HEADS, len(SHAPES), POINTS, 2, generator=random) * 1.4 - 0.2).double().requires_grad_()
    weights = torch.rand(N, QUERIES, HEADS, len(SHAPES), POINTS, generator=random).double().requires_grad_()
    out = attend(value, locations, weights)
    (out * torch.cos(torch.arange(out.numel(), dtype=torch.float64)).view(out.shape)).sum().backward()
    text = json.dumps({
        "seed": SEED, "torch": torch.__version__, "shapes": SHAPES,
        "value": golden(value), "locations": golden(locations), "weights": golden(weights), "out": golden(out),
        "grad_value": golden(value.grad), "grad_locations": golden(locations.grad), "grad_weights": golden(weights.grad),
    })
    (Path(__file__).resolve().parents[1] / "torch" / "testdata" / "deformable.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
