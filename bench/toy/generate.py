"""Draw the toy detection task: 240 train and 60 val images, three shapes, nothing to download.

The same pixels are written twice: as a WilData root (COCO master annotations, for us) and as a
YOLO tree (for the peer, whose images are hard links to ours). Every draw comes from
numpy.random.default_rng, seed 1 for train and 2 for val, so that the task is the same on every
machine; JPEG is avoided (PNG is lossless) for the same reason.

    python generate.py OUT

writes OUT/wildata/datasets/toy/... and OUT/yolo/{data.yaml,images,labels}.
"""

import argparse
import json
import os
from pathlib import Path

import cv2
import numpy as np

WIDTH, HEIGHT = 640, 480
CLASSES = ["circle", "square", "triangle"]
SPLITS = {"train": (240, 1), "val": (60, 2)}  # images, seed
SIDE = (14.0, 120.0)  # pixels, log-uniform
NOISE = 12.0  # standard deviation of the pixel noise, in levels


def background(rng):
    """A smooth random colour field: an 8x6 grid of colours, enlarged bicubically, plus noise."""
    grid = rng.uniform(40, 215, (6, 8, 3)).astype(np.float32)
    field = cv2.resize(grid, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    return field + rng.normal(0, NOISE, field.shape).astype(np.float32)


def corners(kind, x, y, side):
    """The polygon that draws the shape, tight in the box (x, y, side, side)."""
    if kind == 0:
        turn = np.linspace(0, 2 * np.pi, 64, endpoint=False)
        r = side / 2
        return np.stack([x + r + r * np.cos(turn), y + r + r * np.sin(turn)], 1)
    if kind == 1:
        return np.array([[x, y], [x + side, y], [x + side, y + side], [x, y + side]])
    return np.array([[x + side / 2, y], [x + side, y + side], [x, y + side]])


def draw(rng):
    """One image and its objects [(class, x, y, side)]; later shapes may cover earlier ones."""
    image = background(rng)
    objects = []
    for _ in range(int(rng.integers(1, 7))):
        kind = int(rng.integers(0, 3))
        side = float(np.exp(rng.uniform(np.log(SIDE[0]), np.log(SIDE[1]))))
        x = float(rng.uniform(0, WIDTH - side))
        y = float(rng.uniform(0, HEIGHT - side))
        colour = rng.uniform(0, 255, 3)
        # 4 fractional bits: cv2 rasterises sub-pixel corners deterministically
        points = np.round(corners(kind, x, y, side) * 16).astype(np.int32)
        cv2.fillPoly(image, [points], tuple(float(c) for c in colour), lineType=cv2.LINE_8, shift=4)
        objects.append((kind, round(x, 3), round(y, 3), round(side, 3)))
    return np.clip(np.round(image), 0, 255).astype(np.uint8), objects


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    root, yolo = out / "wildata" / "datasets" / "toy", out / "yolo"
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    categories = [{"id": i + 1, "name": n, "supercategory": "shape"} for i, n in enumerate(CLASSES)]
    for split, (count, seed) in SPLITS.items():
        rng = np.random.default_rng(seed)
        folders = [root / "images" / split, yolo / "images" / split, yolo / "labels" / split]
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        images, annotations = [], []
        for number in range(1, count + 1):
            pixels, objects = draw(rng)
            name = f"{split}_{number:04d}.png"
            if not cv2.imwrite(str(folders[0] / name), pixels):
                raise OSError(f"cannot write {folders[0] / name}")
            link = folders[1] / name
            link.unlink(missing_ok=True)
            os.link(folders[0] / name, link)
            images.append({"id": number, "file_name": f"toy/images/{split}/{name}", "width": WIDTH, "height": HEIGHT})
            lines = []
            for kind, x, y, side in objects:
                annotations.append({
                    "id": len(annotations) + 1, "image_id": number, "category_id": kind + 1,
                    "bbox": [x, y, side, side], "area": side * side, "iscrowd": 0, "segmentation": [corners(kind, x, y, side).round(3).flatten().tolist()],
                })
                lines.append(f"{kind} {(x + side / 2) / WIDTH:.7f} {(y + side / 2) / HEIGHT:.7f} "
                             f"{side / WIDTH:.7f} {side / HEIGHT:.7f}\n")
            (folders[2] / name).with_suffix(".txt").write_text("".join(lines))
        document = {"images": images, "annotations": annotations, "categories": categories}
        (root / "annotations" / f"{split}.json").write_text(json.dumps(document))
    info = {"name": "toy", "version": "1.0", "schema_version": "1.0", "task_type": "detection",
            "classes": [{"id": c["id"], "name": c["name"]} for c in categories]}
    (root / "dataset_info.json").write_text(json.dumps(info, indent=2))
    names = "".join(f"  {i}: {n}\n" for i, n in enumerate(CLASSES))
    (yolo / "data.yaml").write_text(f"path: {yolo.resolve()}\ntrain: images/train\nval: images/val\nnames:\n{names}")


if __name__ == "__main__":
    main()
