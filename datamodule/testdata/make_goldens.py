"""Makes the golden files of internal/imageio, internal/resample and datamodule/augment.

    python datamodule/testdata/make_goldens.py

Made with Pillow 13.0.0, opencv-python 5.0.0 (libjpeg-turbo 3.1.2), numpy 2.4.6, seed 20.
The peers make every expected pixel; nothing here comes from the SDK's own output.
"""
import json
import pathlib

import cv2
import numpy as np
from PIL import Image, ImageOps

ROOT = pathlib.Path(__file__).resolve().parents[2]
IMAGEIO = ROOT / "internal/imageio/testdata"
RESAMPLE = ROOT / "internal/resample/testdata"
AUGMENT = ROOT / "datamodule/augment/testdata"
for d in (IMAGEIO, RESAMPLE, AUGMENT):
    d.mkdir(parents=True, exist_ok=True)
rng = np.random.default_rng(20)


def scene(w, h):
    """A colourful picture with edges, gradients and some noise."""
    y, x = np.mgrid[0:h, 0:w].astype(np.float64)
    im = np.stack([127 + 120 * np.sin(x / 7 + k) * np.cos(y / (5 + k)) for k in range(3)], -1)
    for _ in range(6):
        x0, y0 = rng.integers(0, w), rng.integers(0, h)
        im[y0 : y0 + h // 4, x0 : x0 + w // 5] = rng.integers(0, 256, 3)
    im += rng.normal(0, 6, im.shape)
    return im.clip(0, 255).astype(np.uint8)


def save(path, rgb):
    Image.fromarray(rgb).save(path, optimize=True)


def jpegs():
    cases = []
    for name, w, h, opts in [
        ("444", 61, 47, dict(subsampling=0, quality=90)),
        ("422", 61, 47, dict(subsampling=1, quality=85)),
        ("420", 61, 47, dict(subsampling=2, quality=88)),
        ("420even", 64, 48, dict(subsampling=2, quality=75)),
        ("420tiny", 3, 5, dict(subsampling=2, quality=95)),
        ("420two", 2, 2, dict(subsampling=2, quality=95)),
        ("progressive", 61, 47, dict(subsampling=2, quality=88, progressive=True)),
        ("restart", 61, 47, dict(subsampling=2, quality=88, restart_marker_blocks=2)),
    ]:
        Image.fromarray(scene(w, h)).save(IMAGEIO / f"{name}.jpg", **opts)
        cases.append(f"{name}.jpg")
    Image.fromarray(scene(50, 40)).convert("L").save(IMAGEIO / "grey.jpg", quality=90)
    cases.append("grey.jpg")
    # 4:4:0 and 4:1:1 come from OpenCV, which can write them.
    bgr = scene(61, 47)[..., ::-1]
    for name, factor in [("440", cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440), ("411", cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411)]:
        cv2.imwrite(str(IMAGEIO / f"{name}.jpg"), bgr, [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor, cv2.IMWRITE_JPEG_QUALITY, 90])
        cases.append(f"{name}.jpg")
    base = Image.fromarray(scene(40, 28))
    for o in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = o
        base.save(IMAGEIO / f"exif{o}.jpg", quality=92, subsampling=0, exif=exif)
        cases.append(f"exif{o}.jpg")
    Image.fromarray(scene(33, 21)).save(IMAGEIO / "rgb.png")
    rgba = np.concatenate([scene(33, 21), rng.integers(0, 256, (21, 33, 1), dtype=np.uint8)], -1)
    Image.fromarray(rgba, "RGBA").save(IMAGEIO / "rgba.png")
    Image.fromarray(scene(33, 21)).quantize(16).save(IMAGEIO / "palette.png")
    cv2.imwrite(str(IMAGEIO / "rgb16.png"), rng.integers(0, 65536, (21, 33, 3), dtype=np.uint16))
    Image.fromarray(scene(33, 21)).save(IMAGEIO / "rgb.webp", lossless=True)
    Image.fromarray(scene(33, 21)).save(IMAGEIO / "rgb.bmp")
    Image.fromarray(scene(33, 21)).save(IMAGEIO / "rgb.tif", compression="tiff_lzw")
    cases += ["rgb.png", "rgba.png", "palette.png", "rgb16.png", "rgb.webp", "rgb.bmp", "rgb.tif"]
    for c in cases:
        rgb = cv2.imread(str(IMAGEIO / c), cv2.IMREAD_COLOR)[..., ::-1]
        if c != "rgb16.png":  # Pillow has no 16-bit RGB; elsewhere the two peers must agree
            pil = np.asarray(ImageOps.exif_transpose(Image.open(IMAGEIO / c)).convert("RGB"))
            d = np.abs(pil.astype(int) - rgb.astype(int)).max()
            print(c, rgb.shape, "Pillow against OpenCV:", d)
        save(IMAGEIO / f"{c}.golden.png", np.ascontiguousarray(rgb))
    with open(IMAGEIO / "420.jpg", "rb") as f:
        data = f.read()
    (IMAGEIO / "truncated.jpg").write_bytes(data[: len(data) * 2 // 3])


def resizes():
    src = scene(83, 61)
    save(RESAMPLE / "src.png", src)
    even = scene(64, 48)
    save(RESAMPLE / "even.png", even)
    for name, im, sizes in [("src", src, [(41, 30), (120, 88), (83, 20), (64, 61), (1, 1), (200, 7)]), ("even", even, [(32, 24), (16, 12), (32, 25)])]:
        for w, h in sizes:
            save(RESAMPLE / f"{name}_{w}x{h}.golden.png", cv2.resize(im, (w, h), interpolation=cv2.INTER_LINEAR))


def pixel_matrix(m):
    """From corner coordinates (the SDK's) to OpenCV's, where pixel centres are whole numbers."""
    t = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    return np.linalg.inv(t) @ m @ t


def warps():
    src = np.asarray(Image.open(RESAMPLE / "src.png"))
    cases = []
    h, w = src.shape[:2]
    centre = np.array([[1, 0, -w / 2], [0, 1, -h / 2], [0, 0, 1.0]])
    for name, angle, scale, shear, tx, ty, px, py in [
        ("identity", 0, 1, 0, w / 2, h / 2, 0, 0),
        ("shift", 0, 1, 0, w / 2 + 5.25, h / 2 - 3.5, 0, 0),
        ("zoom", 0, 1.7, 0, 40, 36, 0, 0),
        ("shrink", 0, 0.55, 0, 50, 30, 0, 0),
        ("rotate", 30, 0.9, 0, 45, 33, 0, 0),
        ("shear", -12, 1.1, 8, 45, 33, 0, 0),
        ("mirror", 180, -1.0, 0, 45, 33, 0, 0),
        ("perspective", 7, 0.9, 4, 45, 33, 0.002, -0.001),
    ]:
        a = np.deg2rad(angle)
        r = np.array([[np.cos(a) * scale, np.sin(a) * abs(scale), 0], [-np.sin(a) * scale, np.cos(a) * abs(scale), 0], [0, 0, 1]])
        s = np.array([[1, np.tan(np.deg2rad(shear)), 0], [0, 1, 0], [0, 0, 1]])
        p = np.array([[1, 0, 0], [0, 1, 0], [px, py, 1]])
        t = np.array([[1, 0, tx], [0, 1, ty], [0, 0, 1]])
        m = t @ s @ r @ p @ centre
        out_w, out_h = 90, 66
        if px or py:
            g = cv2.warpPerspective(src, pixel_matrix(m), (out_w, out_h), flags=cv2.INTER_LINEAR, borderValue=(114, 114, 114))
        else:
            g = cv2.warpAffine(src, pixel_matrix(m)[:2], (out_w, out_h), flags=cv2.INTER_LINEAR, borderValue=(114, 114, 114))
        save(RESAMPLE / f"warp_{name}.golden.png", g)
        cases.append(dict(name=name, matrix=m.flatten().tolist()))
    (RESAMPLE / "warps.json").write_text(json.dumps(cases, indent=1))


def hsv():
    """Every corner of the colour cube and random colours, through OpenCV's 8-bit HSV."""
    v = np.array([0, 1, 31, 64, 100, 127, 128, 200, 254, 255], np.uint8)
    cube = np.stack(np.meshgrid(v, v, v), -1).reshape(-1, 3)
    im = np.concatenate([cube, rng.integers(0, 256, (1560, 3), dtype=np.uint8)]).reshape(64, 40, 3)
    save(AUGMENT / "colours.png", im)
    cases = []
    for i, (dh, gs, gv) in enumerate([(0, 1, 1), (0.0125, 1.5, 0.8), (-0.014, 0.4, 1.35), (0.4, 1, 1)]):
        hue, sat, val = cv2.split(cv2.cvtColor(im, cv2.COLOR_RGB2HSV))
        x = np.arange(256)
        lut_h = (np.round(x + dh * 180).astype(int) % 180).astype(np.uint8)
        lut_s = np.clip(np.floor(x * gs), 0, 255).astype(np.uint8)
        lut_v = np.clip(np.floor(x * gv), 0, 255).astype(np.uint8)
        out = cv2.merge([cv2.LUT(hue, lut_h), cv2.LUT(sat, lut_s), cv2.LUT(val, lut_v)])
        save(AUGMENT / f"hsv{i}.golden.png", cv2.cvtColor(out, cv2.COLOR_HSV2RGB))
        cases.append(dict(hue=dh, saturation=gs, value=gv))
    (AUGMENT / "hsv.json").write_text(json.dumps(cases))


def letterboxes():
    im = scene(90, 52)
    save(AUGMENT / "letterbox.png", im)
    for w, h in [(64, 64), (128, 128), (96, 64), (64, 97)]:
        r = min(w / im.shape[1], h / im.shape[0])
        nw, nh = min(int(np.ceil(im.shape[1] * r - 1e-9)), w), min(int(np.ceil(im.shape[0] * r - 1e-9)), h)
        small = cv2.resize(im, (nw, nh), interpolation=cv2.INTER_LINEAR)
        left, top = (w - nw) // 2, (h - nh) // 2
        out = cv2.copyMakeBorder(small, top, h - nh - top, left, w - nw - left, cv2.BORDER_CONSTANT, value=(114, 114, 114))
        save(AUGMENT / f"letterbox_{w}x{h}.golden.png", out)


def mosaic():
    """Four pictures around a centre on a canvas of twice the size, then one affine warp."""
    s, xc, yc = 64, 70, 57
    sizes = [(64, 48), (40, 64), (64, 64), (64, 30)]
    canvas = np.full((2 * s, 2 * s, 3), 114, np.uint8)
    for k, (w, h) in enumerate(sizes):
        im = scene(w, h)
        save(AUGMENT / f"mosaic{k}.png", im)
        x = xc - w if k % 2 == 0 else xc
        y = yc - h if k < 2 else yc
        x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + w, 2 * s), min(y + h, 2 * s)
        canvas[y0:y1, x0:x1] = im[y0 - y : y1 - y, x0 - x : x1 - x]
    a, g = np.deg2rad(5), 0.8
    m = np.array([[1, 0, 30], [0, 1, 35], [0, 0, 1]]) @ np.array([[np.cos(a) * g, np.sin(a) * g, 0], [-np.sin(a) * g, np.cos(a) * g, 0], [0, 0, 1]]) @ np.array([[1, 0, -s], [0, 1, -s], [0, 0, 1.0]])
    out = cv2.warpAffine(canvas, pixel_matrix(m)[:2], (s, s), flags=cv2.INTER_LINEAR, borderValue=(114, 114, 114))
    save(AUGMENT / "mosaic.golden.png", np.ascontiguousarray(out[:, ::-1]))
    (AUGMENT / "mosaic.json").write_text(json.dumps(dict(size=s, x=xc, y=yc, matrix=m.flatten().tolist())))


jpegs()
resizes()
warps()
hsv()
letterboxes()
mosaic()
