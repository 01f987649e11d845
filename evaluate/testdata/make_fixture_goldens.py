"""Made-up detections on the annotations of the WilData fixture, with the numbers that pycocotools
gives for them.

    python make_fixture_goldens.py OUT.json.gz [seed]
"""
import copy, gzip, io, json, sys
from contextlib import redirect_stdout
from importlib import metadata
from pathlib import Path

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from make_coco_goldens import KEYS

ROOT = Path(__file__).resolve().parents[2] / "testdata" / "wildata" / "datasets"
FILES = ["savanna/annotations/train.json", "savanna/annotations/val.json", "savanna/annotations/test.json", "savanna-tiles/annotations/train.json", "savanna-tiles/annotations/val.json"]


def detections(r, gt):
    out = []
    classes = [c["id"] for c in gt["categories"]]
    for a in gt["annotations"]:
        for _ in range(int(r.integers(0, 3))):
            b = np.array(a["bbox"], float) * r.normal(1, 0.08, 4)
            c = a["category_id"] if r.random() < 0.85 else int(r.choice(classes))
            out.append(dict(image_id=a["image_id"], category_id=c, bbox=[round(float(v), 2) for v in b], score=round(float(r.random()), 3)))
    for image in gt["images"]:
        x, y, w, h = r.uniform(0, 300, 4)
        out.append(dict(image_id=image["id"], category_id=int(r.choice(classes)), bbox=[round(float(v), 2) for v in (x, y, w, h)], score=round(float(r.random()) * 0.6, 3)))
    return out


def solve(gt, dt):
    for a in gt["annotations"]:  # pycocotools sorts by ids of one kind and wants both keys
        a.setdefault("iscrowd", 0)
        a.setdefault("area", a["bbox"][2] * a["bbox"][3])
    for i, a in enumerate(gt["annotations"]):
        a["id"] = i + 1
    c = COCO()
    c.dataset = gt
    with redirect_stdout(io.StringIO()):
        c.createIndex()
        e = COCOeval(c, c.loadRes(copy.deepcopy(dt)), "bbox")
        e.evaluate(), e.accumulate(), e.summarize()
    return dict(zip(KEYS, map(float, e.stats)))


def main():
    out, seed = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 8
    r, problems = np.random.default_rng(seed), []
    for name in FILES:
        gt = json.loads((ROOT / name).read_text())
        dt = detections(r, gt)
        problems.append(dict(file=name, dt=dt, values=solve(gt, dt)))
        print(name, len(gt["annotations"]), problems[-1]["values"])
    doc = dict(versions={n: metadata.version(n) for n in ("pycocotools", "numpy")}, seed=seed, problems=problems)
    with gzip.GzipFile(out, "wb", 9, mtime=0) as f:
        f.write(json.dumps(doc).encode())


if __name__ == "__main__":
    main()
