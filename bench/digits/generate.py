"""scikit-learn's handwritten digits as a folder of pictures: python generate.py OUT

OUT/{train,test}/{zero…nine}/NNNN.png: 1,437 and 360 pictures of 8x8 px, enlarged to 32x32 px (Pillow,
bicubic), split by class with a fixed seed.
"""

import pathlib
import sys

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]

out = pathlib.Path(sys.argv[1])
digits = load_digits()
train, test = train_test_split(np.arange(len(digits.target)), test_size=360, random_state=0, stratify=digits.target)
for split, part in (("train", train), ("test", test)):
    for i in sorted(part):
        folder = out / split / NAMES[digits.target[i]]
        folder.mkdir(parents=True, exist_ok=True)
        grey = Image.fromarray((digits.images[i] * 255 / 16).round().astype(np.uint8))
        grey.resize((32, 32), Image.BICUBIC).convert("RGB").save(folder / f"{i:04d}.png")
    print(split, len(part))
