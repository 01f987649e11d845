"""Makes the golden files of datamodule/augment's transforms.

    python datamodule/augment/testdata/make_transforms.py

Made with torchvision 0.29.2 on Pillow 13.0.0 pictures, opencv-python 5.0.0,
numpy 2.4.6, seed 43. Nothing here comes from the SDK's own output.
"""
import json
import pathlib

import cv2
import numpy as np
import torch
from PIL import Image
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode as I
from torchvision.transforms.v2 import functional as F

HERE = pathlib.Path(__file__).resolve().parent
rng = np.random.default_rng(43)

w, h = 63, 46
y, x = np.mgrid[0:h, 0:w].astype(np.float64)
im = np.stack([120 + 90 * np.sin(x / (9 + 2 * k) + k) * np.cos(y / (7 - k)) for k in range(3)], -1)
im[5:17, 8:25] = (200, 40, 30)
im[25:40, 30:52] = (30, 60, 190)
im[28:36, 4:18] = (128, 128, 128)
im += rng.normal(0, 4, im.shape)
rgb = im.clip(3, 240).astype(np.uint8)
pil = Image.fromarray(rgb)
pil.save(HERE / "transforms.png", optimize=True)
cases = []


def case(name, params, out, **more):
    file = f"{name}_{len(cases)}.golden.png"
    Image.fromarray(np.asarray(out)).save(HERE / file, optimize=True)
    cases.append(dict(name=name, params=params, file=file, **more))


def same(v):
    return [v, v]


for f in (0.6, 1.5):
    case("ColorJitter", dict(brightness=same(f)), F.adjust_brightness(pil, f))
    case("ColorJitter", dict(contrast=same(f)), F.adjust_contrast(pil, f))
    case("ColorJitter", dict(saturation=same(f)), F.adjust_saturation(pil, f))
for f in (0.1, -0.25):
    case("ColorJitter", dict(hue=same(f)), F.adjust_hue(pil, f))
case("Grayscale", dict(num_output_channels=3), F.rgb_to_grayscale(pil, 3))
case("RandomInvert", dict(p=1), F.invert(pil))
case("RandomPosterize", dict(bits=3, p=1), F.posterize(pil, 3))
case("RandomSolarize", dict(threshold=100, p=1), F.solarize(pil, 100))
case("RandomAutocontrast", dict(p=1), F.autocontrast(pil))
case("RandomEqualize", dict(p=1), F.equalize(pil))
case("RandomAdjustSharpness", dict(sharpness_factor=0, p=1), F.adjust_sharpness(pil, 0))
case("RandomAdjustSharpness", dict(sharpness_factor=2.5, p=1), F.adjust_sharpness(pil, 2.5))
case("GaussianBlur", dict(kernel_size=5, sigma=same(1.3)), F.gaussian_blur(pil, [5, 5], [1.3, 1.3]))
case("Blur", dict(blur_limit=same(5), p=1), cv2.blur(rgb, (5, 5)))
case("MedianBlur", dict(blur_limit=same(5), p=1), cv2.medianBlur(rgb, 5))
lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB)
lab[..., 0] = cv2.createCLAHE(clipLimit=3, tileGridSize=(4, 4)).apply(lab[..., 0])
case("CLAHE", dict(clip_limit=same(3), tile_grid_size=[4, 4], p=1), cv2.cvtColor(lab, cv2.COLOR_LAB2RGB))
case("RandomHorizontalFlip", dict(p=1), F.hflip(pil))
case("RandomVerticalFlip", dict(p=1), F.vflip(pil))
case("Resize", dict(size=30), F.resize(pil, [30]))
case("Resize", dict(size=[50, 20], interpolation="bicubic"), F.resize(pil, [50, 20], I.BICUBIC))
case("CenterCrop", dict(size=[31, 40]), F.center_crop(pil, [31, 40]))
case("CenterCrop", dict(size=[61, 40]), F.center_crop(pil, [61, 40]))

# Geometry with boxes: torchvision moves both; the picture's border is left out,
# where Pillow repeats the outermost pixels by half a pixel.
boxes = tv_tensors.BoundingBoxes(torch.tensor([[8, 5, 25, 17], [30, 25, 52, 40.0]], dtype=torch.float64), format="XYXY", canvas_size=(h, w))


def free():
    """The boxes, which may leave the picture."""
    return tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=(h, w), clamping_mode=None)


for angle, scale, sx, sy in [(20, 1, 0, 0), (-75, 0.7, 10, -4)]:
    for mode in (I.NEAREST, I.BILINEAR):
        case("RandomAffine", dict(degrees=same(angle), scale=same(scale), shear=[sx, sx, sy, sy], interpolation=mode.value),
             F.affine(pil, angle, [0, 0], scale, [sx, sy], interpolation=mode),
             boxes=F.affine(free(), angle, [0, 0], scale, [sx, sy]).tolist(), inner=True)
case("RandomRotation", dict(degrees=same(33), interpolation="bilinear"), F.rotate(pil, 33, interpolation=I.BILINEAR),
     boxes=F.rotate(free(), 33).tolist(), inner=True)
for c in cases:
    if c["name"] == "RandomHorizontalFlip":
        c["boxes"] = F.hflip(boxes).tolist()
    if c["name"] == "RandomVerticalFlip":
        c["boxes"] = F.vflip(boxes).tolist()
    if c["name"] == "Resize" and c["params"]["size"] == 30:
        c["boxes"] = F.resize(boxes, [30]).tolist()
(HERE / "transforms.json").write_text(json.dumps(cases, indent=1))
print(len(cases))
