"""Draw aerial frames of 4000x3000 px with animals of 14 to 40 px: small objects in large pictures.

Ground is smooth colour with grass-like grain, paths and shadows. Animals are a body with a head,
turned at random, with a shadow. Distractors of the same sizes are round bushes, stones and
termite mounds, several for each animal. Every draw comes from numpy.random.default_rng, one seed
for each split.

    python generate.py OUT [--train 12 --val 4 --test 4]

writes OUT/annotations/{train,val,test}.json (COCO) and OUT/images/{train,val,test}/*.jpg.
"""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np

WIDTH, HEIGHT = 4000, 3000
SEEDS = {"train": 1, "val": 2, "test": 3}
SIDE = (14.0, 40.0)  # of an animal's box, its longer side, pixels, log-uniform
ANIMALS = (25, 55)  # in a frame
SHIFT = 4  # fractional bits: cv2 rasterises sub-pixel corners the same way everywhere


def ground(rng):
    """Colour that changes slowly, and grain at two scales."""
    base = rng.uniform((70, 110, 120), (95, 150, 165), (7, 9, 3)).astype(np.float32)  # BGR: dry grass
    field = cv2.resize(base, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    for scale, depth in ((1, 9), (6, 8), (40, 7)):
        grain = rng.normal(0, depth, (HEIGHT // scale, WIDTH // scale)).astype(np.float32)
        field += cv2.resize(grain, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)[..., None]
    for _ in range(3):  # game paths
        points = np.cumsum(rng.normal((60, 0), (30, 45), (90, 2)), 0) + (0, rng.uniform(0, HEIGHT))
        cv2.polylines(field, [np.int32(points)], False, tuple(rng.uniform(120, 175, 3)), int(rng.integers(5, 14)), cv2.LINE_AA)
    return field


def ellipse(image, centre, axes, turn, colour):
    points = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    shape = np.stack([axes[0] * np.cos(points), axes[1] * np.sin(points)], 1)
    c, s = np.cos(turn), np.sin(turn)
    shape = shape @ np.array([[c, s], [-s, c]]) + centre
    cv2.fillPoly(image, [np.round(shape * (1 << SHIFT)).astype(np.int32)], tuple(float(v) for v in colour), cv2.LINE_AA, SHIFT)
    return shape


def animal(image, rng, centre, side):
    """A body about twice as long as wide, head and neck in front; the box is around both."""
    turn = rng.uniform(0, 2 * np.pi)
    length = side / 2 * 0.78
    width = length * rng.uniform(0.38, 0.5)
    brown = np.array((50, 75, 115)) * rng.uniform(0.55, 1.0) + rng.normal(0, 6, 3)
    forward = np.array((np.cos(turn), np.sin(turn)))
    ellipse(image, centre + (side * 0.12, side * 0.16), (length, width), turn, (45, 55, 58))  # its shadow
    parts = [ellipse(image, centre, (length, width), turn, brown),
             ellipse(image, centre + forward * length * 1.15, (length * 0.42, width * 0.45), turn + rng.uniform(-0.5, 0.5), brown * 0.8)]
    ellipse(image, centre - forward * length * 0.2, (length * 0.6, width * 0.35), turn, brown * 1.25)  # light on its back
    return np.concatenate(parts)


def distractor(image, rng, centre, side):
    kind, turn = rng.integers(0, 3), rng.uniform(0, 2 * np.pi)
    half = side / 2
    if kind == 0:  # a bush: round, green, rough
        for _ in range(7):
            at = centre + rng.normal(0, half * 0.35, 2)
            ellipse(image, at, (half * 0.6, half * 0.55), turn, np.array((45, 95, 70)) * rng.uniform(0.6, 1.1))
    elif kind == 1:  # a stone: grey, with a shadow
        ellipse(image, centre + (side * 0.1, side * 0.12), (half, half * 0.8), turn, (50, 58, 60))
        ellipse(image, centre, (half, half * rng.uniform(0.6, 0.95)), turn, np.full(3, rng.uniform(110, 190)))
    else:  # a termite mound: reddish, round
        ellipse(image, centre, (half, half * 0.9), turn, (70, 90, 150))
        ellipse(image, centre - (half * 0.2, half * 0.2), (half * 0.5, half * 0.45), turn, (95, 120, 180))


def place(rng, taken, side):
    """A place that touches nothing drawn before."""
    while True:
        centre = rng.uniform((side, side), (WIDTH - side, HEIGHT - side))
        if all(np.hypot(*(centre - c)) > (side + s) * 0.75 for c, s in taken):
            taken.append((centre, side))
            return centre


def sides(rng, n):
    return np.exp(rng.uniform(*np.log(SIDE), n))


def frame(rng):
    image, taken, boxes = ground(rng), [], []
    n = int(rng.integers(*ANIMALS))
    for side in sides(rng, 4 * n):
        distractor(image, rng, place(rng, taken, side), side)
    for side in sides(rng, n):
        points = animal(image, rng, place(rng, taken, side), side)
        (x1, y1), (x2, y2) = points.min(0), points.max(0)
        boxes.append([round(float(v), 2) for v in (x1, y1, x2 - x1, y2 - y1)])
    image = cv2.GaussianBlur(image, (0, 0), 0.7) + rng.normal(0, 4, image.shape).astype(np.float32)
    return np.clip(image, 0, 255).astype(np.uint8), boxes


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    for name, n in (("train", 12), ("val", 4), ("test", 4)):
        parser.add_argument(f"--{name}", type=int, default=n)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    (args.out / "annotations").mkdir(parents=True)
    for split, seed in SEEDS.items():
        rng = np.random.default_rng(seed)
        (args.out / "images" / split).mkdir(parents=True)
        coco = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "animal"}]}
        for i in range(1, getattr(args, split) + 1):
            image, boxes = frame(rng)
            name = f"{split}{i:02d}.jpg"
            cv2.imwrite(str(args.out / "images" / split / name), image, [cv2.IMWRITE_JPEG_QUALITY, 92])
            coco["images"].append({"id": i, "file_name": name, "width": WIDTH, "height": HEIGHT})
            for box in boxes:
                coco["annotations"].append({"id": len(coco["annotations"]) + 1, "image_id": i, "category_id": 1, "bbox": box,
                                            "area": round(box[2] * box[3], 2), "iscrowd": 0})
        (args.out / "annotations" / f"{split}.json").write_text(json.dumps(coco))
        print(split, len(coco["images"]), "frames", len(coco["annotations"]), "animals")


main()
