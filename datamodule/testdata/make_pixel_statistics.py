"""Golden for TestMeasurePixels: mean and standard deviation of the fixture's split test.

Pillow decodes, numpy computes in float64; versions are in the file.
Run from this folder: python make_pixel_statistics.py
"""
import glob
import json

import numpy
import PIL
from PIL import Image, ImageOps

names = sorted(glob.glob("../../testdata/wildata/datasets/savanna/images/test/*"))
values = numpy.concatenate(
    [numpy.asarray(ImageOps.exif_transpose(Image.open(n)).convert("RGB")).reshape(-1, 3) for n in names]
).astype(numpy.float64) / 255
out = {
    "versions": {"numpy": numpy.__version__, "pillow": PIL.__version__},
    "pictures": len(names), "pixels": len(values),
    "mean": values.mean(0).tolist(), "std": values.std(0).tolist(),
}
with open("pixel_statistics.json", "w") as f:
    json.dump(out, f, indent=1)
    f.write("\n")
