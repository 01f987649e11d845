"""Random detection problems with the numbers that pycocotools gives for them.

    python make_coco_goldens.py OUT.json.gz [problems] [seed]

Each problem has boxes on a coarse grid (ties of scores and of overlaps, areas on the borders of
the size classes), crowds, empty pictures, classes without annotations and more than 100 detections.
"""
import gzip, io, json, sys
from contextlib import redirect_stdout
from importlib import metadata

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

KEYS = ["AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"]


def problem(r):
    classes, images = int(r.integers(1, 6)), int(r.integers(1, 9))
    grid = r.choice([0.25, 1.0, 8.0])
    truths, dets = [], []
    for image in range(1, images + 1):
        for _ in range(0 if r.random() < 0.25 else int(r.integers(0, 12))):
            side = r.choice([32.0, 96.0, 0.0]) or np.exp(r.uniform(np.log(4), np.log(200)))
            w, h = (side, side) if r.random() < 0.3 else np.maximum(np.round(side * r.uniform(0.5, 2, 2) / grid), 1) * grid
            x, y = np.round(r.uniform(0, 400, 2) / grid) * grid
            crowd = int(r.random() < 0.08)
            area = w * h if r.random() < 0.6 else w * h * r.uniform(0.4, 1)
            truths.append(dict(id=len(truths) + 1, image_id=image, category_id=int(r.integers(1, classes + 1)), bbox=[float(x), float(y), float(w), float(h)], area=float(area), iscrowd=crowd))
    many = r.random() < 0.15
    for t in truths:
        for _ in range(int(r.integers(0, 4))):
            b = np.array(t["bbox"])
            b += np.round(r.normal(0, 0.12, 4) * b[[2, 3, 2, 3]] / grid) * grid
            b[2:] = np.maximum(b[2:], grid)
            c = t["category_id"] if r.random() < 0.85 else int(r.integers(1, classes + 1))
            dets.append(dict(image_id=t["image_id"], category_id=c, bbox=[float(v) for v in b], score=float(np.round(r.random(), 1 if r.random() < 0.5 else 6))))
    for _ in range(int(r.integers(0, 10)) + (250 if many else 0)):
        b = np.concatenate([r.uniform(0, 400, 2), r.uniform(4, 120, 2)])
        dets.append(dict(image_id=int(r.integers(1, images + 1)), category_id=int(r.integers(1, classes + 1)), bbox=[float(v) for v in np.round(b / grid) * grid + [0, 0, grid, grid]], score=float(np.round(r.random(), 2))))
    return classes, images, truths, dets


def solve(classes, images, truths, dets):
    gt = COCO()
    gt.dataset = dict(info={}, images=[dict(id=i, width=640, height=640) for i in range(1, images + 1)], annotations=truths, categories=[dict(id=c, name=str(c)) for c in range(1, classes + 1)])
    with redirect_stdout(io.StringIO()):
        gt.createIndex()
        e = COCOeval(gt, gt.loadRes(dets), "bbox")
        e.evaluate(), e.accumulate(), e.summarize()
    p = e.eval["precision"][:, :, :, 0, 2]
    per = [float(p[:, :, k][p[:, :, k] > -1].mean()) if (p[:, :, k] > -1).any() else -1.0 for k in range(classes)]
    return dict(zip(KEYS, map(float, e.stats))), per


def main():
    out, count, seed = sys.argv[1], int((sys.argv + [0, 40])[2] or 40) if len(sys.argv) > 2 else 40, int(sys.argv[3]) if len(sys.argv) > 3 else 1
    r = np.random.default_rng(seed)
    problems = []
    while len(problems) < count:
        classes, images, truths, dets = problem(r)
        if not dets:
            continue
        values, per = solve(classes, images, json.loads(json.dumps(truths)), json.loads(json.dumps(dets)))
        problems.append(dict(classes=classes, images=images,
                             truths=[[t["image_id"], t["category_id"], *t["bbox"], t["area"], t["iscrowd"]] for t in truths],
                             dets=[[d["image_id"], d["category_id"], *d["bbox"], d["score"]] for d in dets], values=values, per_class=per))
    doc = dict(versions={n: metadata.version(n) for n in ("pycocotools", "numpy")}, seed=seed, problems=problems)
    with gzip.GzipFile(out, "wb", 9, mtime=0) as f:
        f.write(json.dumps(doc).encode())


if __name__ == "__main__":
    main()
