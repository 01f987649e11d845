"""Ultralytics' training loader as a black box: images in a second and a core's second.

    python bench/loader/peer.py SET/data.yaml --epochs 1 [--workers 0]

Default augmentation (mosaic, affine, HSV, flips), 640 px, batch 16, one thread.
Prints one line of JSON.
"""
import argparse
import json
import logging
import resource
import time

import cv2
import torch

cv2.setNumThreads(0)
torch.set_num_threads(1)

from ultralytics.cfg import get_cfg  # noqa: E402
from ultralytics.data import build_dataloader, build_yolo_dataset  # noqa: E402
from ultralytics.data.utils import check_det_dataset  # noqa: E402
from ultralytics.utils import LOGGER  # noqa: E402

LOGGER.setLevel(logging.ERROR)
p = argparse.ArgumentParser()
p.add_argument("data")
p.add_argument("--epochs", type=int, default=1)
p.add_argument("--workers", type=int, default=0)
a = p.parse_args()
data = check_det_dataset(a.data)
cfg = get_cfg(overrides=dict(task="detect", imgsz=640, batch=16))
dataset = build_yolo_dataset(cfg, data["train"], 16, data, mode="train", rect=False, stride=32)
loader = build_dataloader(dataset, 16, a.workers, shuffle=True, rank=-1)


def cpu():
    return sum(resource.getrusage(w).ru_utime + resource.getrusage(w).ru_stime for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def epoch():
    return sum(len(b["img"]) for b in loader)


it = iter(loader)
next(it)  # imports, buffers
begin, used, n = time.perf_counter(), cpu(), 0
for _ in range(a.epochs):
    n += epoch()
s, c = time.perf_counter() - begin, cpu() - used
print(json.dumps(dict(side="ultralytics", images=n, seconds=round(s, 3), cpu_seconds=round(c, 3), per_second=round(n / s, 1), per_core_second=round(n / c, 1))))
