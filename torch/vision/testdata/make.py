"""Goldens of the box operations, made by torchvision: python make.py > boxes.json"""
import json, sys
import torch, torchvision
from torchvision import ops

torch.manual_seed(3)


def boxes(n, dtype=torch.float32, size=100.0):
    p = torch.rand(n, 2, dtype=dtype) * size
    return torch.cat([p, p + 1 + torch.rand(n, 2, dtype=dtype) * size / 2], 1)


def dump(t):
    return {"shape": list(t.shape), "data": t.detach().double().flatten().tolist()}


a, b = boxes(12), boxes(9)
out = {"versions": {"torch": torch.__version__, "torchvision": torchvision.__version__}, "a": dump(a), "b": dump(b)}
out["area"] = dump(ops.box_area(a))
out["iou"] = dump(ops.box_iou(a, b))
out["giou"] = dump(ops.generalized_box_iou(a, b))
out["diou"] = dump(ops.distance_box_iou(a, b))
out["ciou"] = dump(ops.complete_box_iou(a, b))
for to in ["xywh", "cxcywh"]:
    out["xyxy_" + to] = dump(ops.box_convert(a, "xyxy", to))
out["xywh_cxcywh"] = dump(ops.box_convert(a, "xywh", "cxcywh"))
out["cxcywh_xywh"] = dump(ops.box_convert(a, "cxcywh", "xywh"))

# gradients of the element-wise losses 1 − overlap, summed
p, q = boxes(16, torch.float64), boxes(16, torch.float64)
q[:8] = p[:8] + torch.randn(8, 4, dtype=torch.float64)
out["p"], out["q"] = dump(p), dump(q)
for name, f in {"giou": ops.generalized_box_iou_loss, "diou": ops.distance_box_iou_loss, "ciou": ops.complete_box_iou_loss}.items():
    x = p.clone().requires_grad_()
    loss = f(x, q, reduction="none")
    loss.sum().backward()
    out[name + "_loss"], out[name + "_grad"] = dump(loss), dump(x.grad)

# suppression: distinct scores, then by class; boxes crowd, so that chains occur
n = 400
s = torch.randperm(n).float() / n
big = boxes(n, size=60.0)
c = torch.randint(0, 5, (n,))
out["nms"] = {"boxes": dump(big), "scores": dump(s), "classes": dump(c)}
for t in [0.0, 0.3, 0.5, 0.7, 1.0]:
    out["nms"]["keep_%g" % t] = ops.nms(big, s, t).tolist()
    out["nms"]["class_%g" % t] = ops.boxes._batched_nms_vanilla(big, s, c, t).tolist()
json.dump(out, sys.stdout)
