"""Makes peer_val.json and peer_val_*.png: what Ultralytics' validation loader makes of four fixture pictures.

    python datamodule/testdata/make_peer_val.py

Made with ultralytics 8.4.190, opencv-python 5.0.0. The package is run as a black box. Labels are the
fixture's YOLO export; class 0 is added to the names because WilData's ids begin at 1.
"""
import json
import os
import pathlib
import shutil
import tempfile

import numpy as np
from PIL import Image
from ultralytics.cfg import get_cfg
from ultralytics.data import build_dataloader, build_yolo_dataset
from ultralytics.data.utils import check_det_dataset

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1] / "testdata/wildata"
# EXIF orientation 6, odd size, PNG of another size, greyscale.
PICTURES = ["val/flight07_0006.jpg", "val/flight08_0004.jpg", "train/flight02_0002.png", "train/flight03_0004.jpg"]
SIZE = 128

with tempfile.TemporaryDirectory() as tmp:
    os.makedirs(f"{tmp}/images/val")
    os.makedirs(f"{tmp}/labels/val")
    for p in PICTURES:
        shutil.copy(ROOT / "datasets/savanna/images" / p, f"{tmp}/images/val/")
        label = ROOT / "framework_formats/yolo/savanna/labels" / p.replace(".jpg", ".txt").replace(".png", ".txt")
        if label.exists():
            shutil.copy(label, f"{tmp}/labels/val/")
    names = ["none", "impala", "zebra", "giraffe", "elephant", "Waterbuck", "termite mound"]
    pathlib.Path(f"{tmp}/data.yaml").write_text(f"path: {tmp}\ntrain: images/val\nval: images/val\nnames: {json.dumps(names)}\n")
    cfg = get_cfg(overrides=dict(imgsz=SIZE, task="detect", cache=False))
    data = check_det_dataset(f"{tmp}/data.yaml")
    ds = build_yolo_dataset(cfg, data["val"], 1, data, mode="val", rect=True, stride=32)
    out = {}
    for b in build_dataloader(ds, 1, 0, shuffle=False, rank=-1):
        name = os.path.basename(b["im_file"][0])
        im = b["img"][0].numpy().transpose(1, 2, 0)
        h, w = im.shape[:2]
        Image.fromarray(np.ascontiguousarray(im)).save(HERE / f"peer_val_{name.split('.')[0]}.png", optimize=True)
        boxes = []
        for c, (x, y, bw, bh) in zip(b["cls"].numpy().ravel(), b["bboxes"].numpy() * [w, h, w, h]):
            boxes.append(dict(name=names[int(c)], box=[float(x - bw / 2), float(y - bh / 2), float(x + bw / 2), float(y + bh / 2)]))
        out[name] = dict(width=w, height=h, boxes=boxes)
    (HERE / "peer_val.json").write_text(json.dumps(out, indent=1))
