"""Goldens of suppression: boxes that crowd, and which of them remain.

    python suppress.py > suppress.json

hard: torchvision.ops.batched_nms and nms. soft: the loop of Bodla et al. 2017, figure 2, in
numpy. merged: SAHI's greedy non-maximum merging and NMS, with IoU and IoS.
"""

import json
from importlib import metadata

import numpy as np
import torch
import torchvision
from sahi.postprocess.combine import GreedyNMMPostprocess, NMSPostprocess
from sahi.prediction import ObjectPrediction

SEED = 20261124


def boxes(rng, n):
    """Clusters of boxes, so that there is something to suppress; float32, no two scores alike."""
    centre = rng.uniform(40, 600, (n // 10, 2))[rng.integers(0, n // 10, n)] + rng.normal(0, 5, (n, 2))
    size = np.exp(rng.normal(3.4, 0.25, (n, 2)))
    box = np.concatenate([centre - size / 2, centre + size / 2], 1).astype(np.float32)
    return box, rng.permutation(n).astype(np.float32) / n * 0.98 + 0.01, rng.integers(0, 3, n)


def iou(a, b, smaller=False):
    lt, rb = np.maximum(a[:2], b[:, :2]), np.minimum(a[2:], b[:, 2:])
    inter = np.clip(rb - lt, 0, None).prod(1)
    area_a, area_b = (a[2:] - a[:2]).prod(), (b[:, 2:] - b[:, :2]).prod(1)
    return inter / (np.minimum(area_a, area_b) if smaller else area_a + area_b - inter)


def soft(box, score, cls, rule, threshold=0.5, sigma=0.5, least=0.05, agnostic=False):
    """Bodla et al. 2017: D gets the best box, the others' scores are decayed."""
    b, s, index = box.astype(np.float64), score.astype(np.float64), np.arange(len(box))
    kept = []
    while len(index):
        m = index[np.argmax(s[index])]
        kept.append([int(m), float(s[m])])
        index = index[index != m]
        overlap = iou(b[m], b[index])
        if not agnostic:
            overlap = overlap * (cls[index] == cls[m])
        s[index] *= np.where(overlap > threshold, 1 - overlap, 1) if rule == "linear" else np.exp(-overlap**2 / sigma)
        index = index[s[index] > least]
    return kept


def merged(box, score, cls, kind, metric, agnostic):
    items = [ObjectPrediction(bbox=b.tolist(), score=float(s), category_id=int(c), category_name=str(c), shift_amount=[0, 0], full_shape=[700, 700])
             for b, s, c in zip(box, score, cls)]
    out = kind(match_threshold=0.5, match_metric=metric, class_agnostic=agnostic)(items)
    rows = [[*o.bbox.to_xyxy(), o.score.value, o.category.id] for o in out]
    return sorted(([float(v) for v in r] for r in rows), key=lambda r: -r[4])


def main():
    rng = np.random.default_rng(SEED)
    box, score, cls = boxes(rng, 100)
    tb, ts, tc = torch.from_numpy(box), torch.from_numpy(score), torch.from_numpy(cls)
    whole = np.round(box)  # SAHI keeps whole pixels
    out = {
        "versions": {n: metadata.version(n) for n in ("torchvision", "torch", "numpy", "sahi")}, "seed": SEED,
        "boxes": box.tolist(), "scores": score.tolist(), "classes": cls.tolist(), "whole": whole.tolist(),
        "hard": torchvision.ops.batched_nms(tb, ts, tc, 0.5).tolist(), "hard agnostic": torchvision.ops.nms(tb, ts, 0.5).tolist(),
        "linear": soft(box, score, cls, "linear"), "gaussian": soft(box, score, cls, "gaussian"),
        "gaussian agnostic": soft(box, score, cls, "gaussian", agnostic=True),
        "merged": {f"{name} {metric} {'agnostic' if agnostic else 'by class'}": merged(whole, score, cls, kind, metric.upper(), agnostic)
                   for name, kind in (("nmm", GreedyNMMPostprocess), ("nms", NMSPostprocess))
                   for metric in ("iou", "ios") for agnostic in (False, True)},
    }
    print(json.dumps(out))


main()
