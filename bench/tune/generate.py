"""Draw the data of the real tuning: large shapes whose colour tells their class, for short trainings.

    python generate.py OUT     writes OUT/wildata/datasets/toy

240 train, 80 val and 160 test images by the machinery of bench/toy, one to four shapes of 64 to 200 px
a side on 640x480, each class in shades of its own: a small detector learns them from nothing in a few
hundred steps, which bench/toy's shapes do not allow.
"""

import sys
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "toy"))
import generate as toy

COLOURS = [(40, 40, 220), (40, 200, 40), (220, 60, 40)]  # BGR of circle, square, triangle
SHADE = 40.0  # levels up or down, for each shape and channel


def draw(rng):
    image, objects = toy.background(rng), []
    for _ in range(int(rng.integers(1, 5))):
        kind = int(rng.integers(0, 3))
        side = float(rng.uniform(64, 200))
        x, y = float(rng.uniform(0, toy.WIDTH - side)), float(rng.uniform(0, toy.HEIGHT - side))
        colour = np.clip(np.array(COLOURS[kind]) + rng.uniform(-SHADE, SHADE, 3), 0, 255)
        points = np.round(toy.corners(kind, x, y, side) * 16).astype(np.int32)
        cv2.fillPoly(image, [points], tuple(float(c) for c in colour), lineType=cv2.LINE_8, shift=4)
        objects.append((kind, round(x, 3), round(y, 3), round(side, 3)))
    return np.clip(np.round(image), 0, 255).astype(np.uint8), objects


if __name__ == "__main__":
    toy.SPLITS = {"train": (240, 11), "val": (80, 12), "test": (160, 13)}
    toy.draw = draw
    toy.main()
