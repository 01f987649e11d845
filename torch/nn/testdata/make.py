"""Goldens of the layers of package nn, made by PyTorch: python make.py > layers.json

Weights come from the seed 7 in the order in which the modules are made, so both
sides have the same; BatchNorm's statistics and affine parameters are then
overwritten by the stored ones.
"""
import json, sys
import torch

torch.manual_seed(7)
out = {"torch": torch.__version__}


def dump(t):
    return {"shape": list(t.shape), "data": t.detach().double().flatten().tolist()}


# batch norm: two training steps, then evaluation
bn = torch.nn.BatchNorm2d(3, eps=1e-3, momentum=0.03)
with torch.no_grad():
    bn.weight.copy_(torch.tensor([0.5, -1.0, 2.0]))
    bn.bias.copy_(torch.tensor([0.1, 0.2, -0.3]))
xs = [torch.randn(4, 3, 5, 2) * 3 + 1 for _ in range(3)]
out["bn"] = {"x": [dump(x) for x in xs], "y": [dump(bn(xs[0])), dump(bn(xs[1]))]}
bn.eval()
out["bn"]["y"].append(dump(bn(xs[2])))
out["bn"].update(mean=dump(bn.running_mean), var=dump(bn.running_var), batches=bn.num_batches_tracked.item())

# attention: self, cross with an additive mask
attn = torch.nn.MultiheadAttention(8, 2, batch_first=True)
with torch.no_grad():
    attn.in_proj_bias.uniform_(-1, 1)
    attn.out_proj.bias.uniform_(-1, 1)
q, k, v = torch.randn(2, 5, 8, requires_grad=True), torch.randn(2, 4, 8), torch.randn(2, 4, 8)
mask = torch.randn(5, 4)
mask[0, 2] = float("-inf")
own, cross = attn(q, q, q)[0], attn(q, k, v, attn_mask=mask)[0]
(own.square().sum() + cross.square().sum()).backward()
mask[0, 2] = -1e30  # JSON has no infinity; exp of it is zero as well
out["attn"] = {"state": {n: dump(t) for n, t in attn.state_dict().items()}, "q": dump(q), "k": dump(k), "v": dump(v), "mask": dump(mask),
               "own": dump(own), "cross": dump(cross), "q_grad": dump(q.grad), "in_grad": dump(attn.in_proj_weight.grad)}

# other layers: their weights, an input, the result
torch.manual_seed(9)
out["more"] = {}
for name, module, x in [
    ("deconv", torch.nn.ConvTranspose2d(4, 6, 2, stride=2, groups=2), torch.randn(1, 4, 3, 2)),
    ("conv", torch.nn.Conv2d(4, 6, 3, stride=2, padding=2, dilation=2, groups=2), torch.randn(1, 4, 6, 5)),
    ("ln", torch.nn.LayerNorm(5, eps=1e-6), torch.randn(2, 3, 5)),
    ("emb", torch.nn.Embedding(4, 3), torch.tensor([[0, 3], [1, 1]])),
    ("fc", torch.nn.Linear(5, 2, bias=False), torch.randn(3, 5)),
]:
    for p in module.parameters():
        p.data.uniform_(-1, 1)
    out["more"][name] = {"state": {n: dump(t) for n, t in module.state_dict().items()}, "x": dump(x), "y": dump(module(x))}
json.dump(out, sys.stdout)
