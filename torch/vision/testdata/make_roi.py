"""Goldens of RoIAlign, anchors, box coding and matching, made by torchvision: python make_roi.py > roi.json"""
import json, sys
import torch, torchvision
from torchvision import ops
from torchvision.models.detection import _utils as det
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList

torch.manual_seed(5)


def dump(t):
    return {"shape": list(t.shape), "data": [round(v, 10) for v in t.detach().double().flatten().tolist()]}


def boxes(n, size):
    p = torch.rand(n, 2) * size
    return (torch.cat([p, p + 0.5 + torch.rand(n, 2) * size / 2], 1) * 8).round() / 8  # short in the file


out = {"versions": {"torch": torch.__version__, "torchvision": torchvision.__version__}, "seed": 5}

# regions within, across the edges, far outside, empty and inverted
x = torch.randn(2, 2, 9, 12, dtype=torch.float64)
rois = torch.tensor([[0, 3, 4, 20, 17], [1, -9, -5, 30, 28], [0, 40, 30, 60, 50], [1, 7.3, 8.1, 7.3, 8.1], [0, 20, 20, 10, 12], [1, 100, 100, 140, 120],
                     [0, 0.4, 0.2, 47.9, 35.6]], dtype=torch.float64)
out["map"], out["rois"] = dump(x), dump(rois)
out["align"] = []
for aligned in (False, True):
    for sampling in (-1, 2):
        y = x.clone().requires_grad_()
        r = ops.roi_align(y, rois, (3, 2), spatial_scale=0.25, sampling_ratio=sampling, aligned=aligned)
        (r * torch.cos(torch.arange(r.numel(), dtype=torch.float64)).view_as(r)).sum().backward()
        out["align"].append({"aligned": aligned, "sampling": max(sampling, 0), "out": dump(r), "grad": dump(y.grad)})

# regions of several levels
def wave(*shape):
    return torch.arange(torch.Size(shape).numel(), dtype=torch.float64).cos().float().view(shape)


levels = {str(i): wave(2, 3, 64 >> i, 96 >> i) for i in range(4)}
regions = [boxes(9, 200.0), torch.cat([boxes(3, 60.0), torch.tensor([[0, 0, 380.0, 250.0], [10, 10, 234.0, 234.0]])])]
pool = ops.MultiScaleRoIAlign(["0", "1", "2", "3"], 2, 2)
out["levels"] = {"boxes": [dump(r) for r in regions],
                 "out": dump(pool(levels, regions, [(250, 380), (256, 384)]))}

# anchors: two levels, sizes per level, three ratios; one level of several sizes
images = ImageList(torch.zeros(1, 3, 64, 96), [(60, 90)])
maps = [torch.zeros(1, 1, 8, 12), torch.zeros(1, 1, 4, 6)]
out["anchors"] = dump(AnchorGenerator(((32,), (64,)), ((0.5, 1.0, 2.0),) * 2)(images, maps)[0])
out["octaves"] = dump(AnchorGenerator(((32, 40, 50),), ((0.5, 1.0, 2.0),))(images, maps[1:])[0])

# box coding
a, b = boxes(6, 50.0), boxes(6, 50.0)
coder = det.BoxCoder((10.0, 10.0, 5.0, 5.0))
codes = coder.encode_single(a, b)
codes[0, 2] = 40.0  # beyond what a side may grow
out["coder"] = {"a": dump(a), "b": dump(b), "encoded": dump(coder.encode_single(a, b)), "codes": dump(codes), "decoded": dump(coder.decode_single(codes, b))}
linear = det.BoxLinearCoder(True)
out["linear"] = {"encoded": dump(linear.encode(a, b)), "decoded": dump(linear.decode(codes.abs(), a))}

# matching
truth, found = boxes(5, 60.0), torch.cat([boxes(60, 60.0), torch.zeros(2, 4)])
found[3] = truth[2]
found[4] = truth[4]
quality = ops.box_iou(truth, found)
out["match"] = {"truth": dump(truth), "found": dump(found), "iou": dump(torch.nan_to_num(quality)),
                "low": det.Matcher(0.7, 0.3, True)(quality).tolist(), "plain": det.Matcher(0.5, 0.5, False)(quality).tolist()}

# suppression by class the way detectors call it: few boxes are shifted apart, many go class by class
for n in (300, 1100):
    s = torch.randperm(n).float() / 2048
    big, c = boxes(n, 60.0), torch.randint(0, 5, (n,))
    out["batched%d" % n] = {"boxes": dump(big), "scores": dump(s), "classes": dump(c), "keep": ops.batched_nms(big, s, c, 0.5).tolist()}
json.dump(out, sys.stdout)
