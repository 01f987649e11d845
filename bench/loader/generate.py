"""Draws a data set for the loaders: 1280x960 JPEGs with boxes, YOLO labels.

    python bench/loader/generate.py SET --images 200 --quality 85

Smooth ground with grain, plants and animals; about as many bytes as a camera
writes at that quality. numpy default_rng seed 11.
"""
import argparse
import pathlib

import numpy as np
from PIL import Image

p = argparse.ArgumentParser()
p.add_argument("folder", type=pathlib.Path)
p.add_argument("--images", type=int, default=200)
p.add_argument("--quality", type=int, default=85)
a = p.parse_args()
rng = np.random.default_rng(11)
W, H = 1280, 960


def field(cells, low, high):
    small = rng.uniform(low, high, (cells * 3 // 4, cells, 3)).astype(np.float32)
    return np.stack([np.asarray(Image.fromarray(small[..., k]).resize((W, H), Image.BICUBIC)) for k in range(3)], -1)


for kind in ("images", "labels"):
    (a.folder / kind / "train").mkdir(parents=True, exist_ok=True)
total = 0
for i in range(a.images):
    im = field(12, 80, 170) + field(90, -14, 14) + rng.normal(0, 4, (H, W, 1)).astype(np.float32)
    lines = []
    for _ in range(rng.integers(3, 15)):
        w, h = rng.integers(14, 90, 2)
        x, y = rng.integers(0, W - w), rng.integers(0, H - h)
        yy, xx = np.mgrid[0:h, 0:w]
        inside = ((xx - w / 2) / (w / 2)) ** 2 + ((yy - h / 2) / (h / 2)) ** 2 < 1
        im[y : y + h, x : x + w][inside] = rng.uniform(20, 230, 3) + rng.normal(0, 8, (inside.sum(), 1))
        lines.append(f"{rng.integers(0, 3)} {(x + w / 2) / W:.6f} {(y + h / 2) / H:.6f} {w / W:.6f} {h / H:.6f}")
    path = a.folder / f"images/train/{i:04d}.jpg"
    Image.fromarray(im.clip(0, 255).astype(np.uint8)).save(path, quality=a.quality)
    total += path.stat().st_size
    (a.folder / f"labels/train/{i:04d}.txt").write_text("\n".join(lines) + "\n")
(a.folder / "data.yaml").write_text(f"path: {a.folder.resolve()}\ntrain: images/train\nval: images/train\nnames: {{0: a, 1: b, 2: c}}\n")
print(f"{a.images} images, {total / a.images / 1024:.0f} KB each")
