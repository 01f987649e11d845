"""Makes the golden files of Pillow's Image.resize for internal/resample.

    python internal/resample/testdata/make_pillow.py

Made with Pillow 13.0.0, numpy 2.4.6, seed 41. Nothing here comes from the SDK's own output.
"""
import json
import pathlib

import numpy as np
from PIL import Image

HERE = pathlib.Path(__file__).resolve().parent
rng = np.random.default_rng(41)


def scene(w, h):
    """Gradients, hard edges that make cubic kernels overshoot, and noise."""
    y, x = np.mgrid[0:h, 0:w].astype(np.float64)
    im = np.stack([127 + 127 * np.sin(x / (5 + k)) * np.cos(y / (3 + k)) for k in range(3)], -1)
    for _ in range(8):
        x0, y0 = rng.integers(0, w), rng.integers(0, h)
        im[y0 : y0 + h // 4, x0 : x0 + w // 5] = rng.choice([0, 255], 3)
    im[: h // 4] = rng.integers(0, 256, (h // 4, w, 3))
    return im.clip(0, 255).astype(np.uint8)


im = Image.fromarray(scene(97, 71))
im.save(HERE / "pillow.png", optimize=True)
cases = []
names = {"nearest": Image.NEAREST, "box": Image.BOX, "bilinear": Image.BILINEAR, "hamming": Image.HAMMING, "bicubic": Image.BICUBIC, "lanczos": Image.LANCZOS}
for name, method in names.items():
    for w, h in [(40, 30), (150, 111), (97, 35), (60, 71), (33, 99), (1, 1), (7, 2)]:
        part = [0, 0, 97, 71] if w != 33 else [11, 7, 80, 64]
        file = f"pillow_{name}_{w}x{h}.golden.png"
        im.crop(part).resize((w, h), method).save(HERE / file, optimize=True)
        cases.append(dict(filter=name, part=part, width=w, height=h, file=file))
(HERE / "pillow.json").write_text(json.dumps(cases, indent=1))
