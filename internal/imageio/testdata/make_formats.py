"""Pictures in many formats with what the peers decode them to, for TestDecodeEqualsPeers.

Made with numpy, Pillow, tifffile and imagecodecs of the versions printed into formats.txt. Run here: python make_formats.py
"""
import sys
import numpy as np, PIL, tifffile, imagecodecs
from PIL import Image

rng = np.random.default_rng(7)
y, x = np.mgrid[0:70, 0:93]
rgb = np.stack([(x * 2.5) % 256, (y * 3 + x) % 256, 128 + 100 * np.sin(x / 9) * np.cos(y / 7)], -1)
rgb = np.clip(rgb + rng.normal(0, 6, rgb.shape), 0, 255).astype(np.uint8)
grey = rgb[..., 1]
wide = (rgb.astype(np.uint16) << 8) | rng.integers(0, 256, rgb.shape, dtype=np.uint16)
white = rng.integers(0, 256, rgb.shape[:2], dtype=np.uint8)


def golden(name, pixels):
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, -1)
    Image.fromarray(np.ascontiguousarray(pixels[..., :3])).save(name + ".golden.png", optimize=True)


def pillow(name, im, **options):
    im.save(name, **options)
    golden(name, np.asarray(Image.open(name).convert("RGB")))


def tiff(name, data, want, **options):
    tifffile.imwrite(name, data, metadata=None, **options)
    golden(name, want)


color = Image.fromarray(rgb)
pillow("cmyk.jpg", color.convert("CMYK"), quality=92)
pillow("greyprogressive.jpg", Image.fromarray(grey), quality=90, progressive=True)
pillow("grey1.png", Image.fromarray(grey).convert("1"))
pillow("greyalpha.png", Image.merge("LA", (Image.fromarray(grey), Image.fromarray(white | 1))))
golden("greyalpha.png", grey)
Image.fromarray((grey.astype(np.uint16) << 8) | 77).save("grey16.png")
golden("grey16.png", grey)
pillow("palette.bmp", color.quantize(60))
pillow("grey.bmp", Image.fromarray(grey))
pillow("lossy.webp", color, quality=80)
pillow("alpha.webp", Image.merge("RGBA", (*color.split(), Image.fromarray(white | 1))), lossless=True, exact=True)
golden("alpha.webp", rgb)

tiff("strips.tif", rgb, rgb, photometric="rgb", rowsperstrip=16)
tiff("lzw.tif", rgb, rgb, photometric="rgb", compression="lzw", predictor=2, rowsperstrip=16)
tiff("packbits.tif", grey, grey, photometric="minisblack", compression="packbits", rowsperstrip=9)
tiff("white.tif", grey, 255 - grey, photometric="miniswhite", compression="zlib")
tiff("tiles.tif", rgb, rgb, photometric="rgb", tile=(32, 48))
tiff("tilesdeflate.tif", rgb, rgb, photometric="rgb", tile=(32, 32), compression="zlib", predictor=2)
tiff("big.tif", rgb, rgb, photometric="rgb", tile=(16, 64), compression="zlib", bigtiff=True)
tiff("bigend.tif", wide, rgb, photometric="rgb", tile=(32, 32), compression="zlib", predictor=2, byteorder=">")
tiff("wide.tif", wide, rgb, photometric="rgb", rowsperstrip=11, compression="lzw", predictor=2)
tiff("planes.tif", np.ascontiguousarray(rgb.transpose(2, 0, 1)), rgb, photometric="rgb", planarconfig="separate", tile=(32, 32), compression="zlib")
tiff("alpha.tif", np.dstack([rgb, white]), rgb, photometric="rgb", extrasamples=["unassalpha"], tile=(32, 32), compression="zlib")
tiff("bands.tif", np.dstack([rgb, white, grey]), rgb, photometric="rgb", extrasamples=["unspecified"] * 2, tile=(32, 32))
colours = rng.integers(0, 256, (3, 256)).astype(np.uint16) * 257
tiff("palette.tif", grey, (colours.T >> 8).astype(np.uint8)[grey], photometric="palette", colormap=colours, tile=(32, 32), compression="lzw")
for name, colour in (("tilesjpeg.tif", "ycbcr"), ("rgbjpeg.tif", "rgb")):
    tifffile.imwrite(name, rgb, metadata=None, photometric="rgb", tile=(32, 32), compression="jpeg", compressionargs={"level": 95, "outcolorspace": colour, "subsampling": "444" if colour == "rgb" else "420"})
    golden(name, tifffile.imread(name))
pillow("stripsjpeg.tif", color, compression="jpeg", quality=90)
color.save("turned.tif", tiffinfo={274: 6})
golden("turned.tif", np.rot90(rgb, -1))

exif = Image.Exif()
exif[0x8769] = {0x9003: "2024:05:06 07:08:09"}
exif[0x8825] = {1: "S", 2: (19.0, 30.0, 36.0), 3: "E", 4: (23.0, 15.0, 0.0)}
color.resize((20, 15)).save("gps.jpg", exif=exif)

with open("formats.txt", "w") as f:
    print("python", sys.version.split()[0], "numpy", np.__version__, "Pillow", PIL.__version__, "tifffile", tifffile.__version__, "imagecodecs", imagecodecs.__version__, "seed 7", file=f)
