"""Random pairs of COCO files with the numbers that pycocotools gives for them: boxes and masks
(polygons, compressed and plain runs), with and without classes, other limits of detections.

    python make_coco_files.py OUT.json.gz [problems] [seed]
"""
import copy, gzip, io, json, sys
from contextlib import redirect_stdout
from importlib import metadata

import numpy as np
from pycocotools import mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from make_coco_goldens import KEYS, problem

H, W = 120, 160


def runs(m):
    """The plain run-length form of a mask."""
    flat = m.flatten(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    lengths = np.diff(np.concatenate([[0], edges, [flat.size]]))
    return ([0] if flat[0] else []) + [int(v) for v in lengths]


def silhouette(r, b):
    """A random star-shaped polygon about the box; corners on half pixels half of the time."""
    n = int(r.integers(3, 12))
    angle = np.sort(r.uniform(0, 2 * np.pi, n))
    radius = r.uniform(0.2, 0.7, n)
    xy = np.stack([b[0] + b[2] * (0.5 + radius * np.cos(angle)), b[1] + b[3] * (0.5 + radius * np.sin(angle))], 1)
    return [float(v) for v in (np.round(xy * 2) / 2 if r.random() < 0.5 else xy).ravel()]


def segmentation(r, b, crowd=False):
    polygons = [silhouette(r, b) for _ in range(int(r.integers(1, 3)))]
    kind = r.random()
    if kind < 0.4 and not crowd:
        return polygons, None
    rle = mask.merge(mask.frPyObjects(polygons, H, W))
    if kind < 0.7:
        return dict(size=[H, W], counts=runs(mask.decode(rle))), rle
    return dict(size=[H, W], counts=rle["counts"].decode()), rle


def masks(r, truths, dets):
    for t in truths:
        t["bbox"] = [v * 0.3 for v in t["bbox"]]
        t["segmentation"], _ = segmentation(r, t["bbox"], t["iscrowd"])
        t["area"] = t["bbox"][2] * t["bbox"][3] * float(r.uniform(0.3, 1))
    for d in dets:
        near = [t for t in truths if t["image_id"] == d["image_id"]]
        d["bbox"] = [v * 0.3 for v in d["bbox"]]
        if near and r.random() < 0.6:  # the annotation's own mask, moved a little
            t = near[int(r.integers(len(near)))]
            seg = t["segmentation"]
            rle = mask.merge(mask.frPyObjects(seg, H, W)) if isinstance(seg, list) else mask.frPyObjects(seg, H, W) if isinstance(seg["counts"], list) else seg
            m = np.roll(mask.decode(rle), r.integers(-2, 3, 2), (0, 1))
            d["category_id"] = t["category_id"]
        else:
            m = mask.decode(mask.merge(mask.frPyObjects([silhouette(r, d["bbox"])], H, W)))
        rle = mask.encode(np.asfortranarray(m))
        d["segmentation"] = dict(size=[H, W], counts=rle["counts"].decode())
    if r.random() < 0.5:
        for d in dets:
            del d["bbox"]


def solve(gt, dt, kind, classes, limits):
    with redirect_stdout(io.StringIO()):
        c = COCO()
        c.dataset = copy.deepcopy(gt)
        c.createIndex()
        e = COCOeval(c, c.loadRes(copy.deepcopy(dt)), kind)
        e.params.useCats = int(classes)
        e.params.maxDets = limits
        e.evaluate(), e.accumulate()

    p, rec = e.eval["precision"], e.eval["recall"]
    mean = lambda v: float(v[v > -1].mean()) if (v > -1).any() else -1.0
    values = dict(AP=mean(p[:, :, :, 0, 2]), AP50=mean(p[0, :, :, 0, 2]), AP75=mean(p[5, :, :, 0, 2]))
    for i, name in enumerate("sml"):
        values["AP" + name], values["AR" + name] = mean(p[:, :, :, i + 1, 2]), mean(rec[:, :, i + 1, 2])
    for i, n in enumerate(limits):
        values[f"AR{n}"] = mean(rec[:, :, 0, i])
    per = [mean(p[:, :, k, 0, 2]) for k in range(p.shape[2])]
    if limits == [1, 10, 100]:  # and the official summary says the same
        with redirect_stdout(io.StringIO()):
            e.summarize()
        assert np.abs(e.stats - [values[k] for k in KEYS]).max() < 1e-12
    return values, per


def main():
    out, count, seed = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 24, int(sys.argv[3]) if len(sys.argv) > 3 else 2
    r = np.random.default_rng(seed)
    problems = []
    while len(problems) < count:
        n, images, truths, dets = problem(r)
        if not dets:
            continue
        kind = "segm" if len(problems) % 2 else "bbox"
        if kind == "segm":
            truths, dets = truths[:30], dets[:60]
            masks(r, truths, dets)
        ids = r.permutation(images) * int(r.integers(1, 4)) + 7  # gapped, out of order
        number = {i + 1: int(v) for i, v in enumerate(ids)}
        for o in truths + dets:
            o["image_id"] = number[o["image_id"]]
        r.shuffle(dets)
        gt = dict(images=[dict(id=v, width=W, height=H, file_name=f"{v}.jpg") for v in number.values()], annotations=truths,
                  categories=[dict(id=c, name=f"c{c}") for c in range(1, n + 1)])
        gt, dt = json.loads(json.dumps(gt)), json.loads(json.dumps(dets))
        classes, limits = bool(r.random() < 0.8), [1, 10, 100] if r.random() < 0.7 else [2, 5, 20]
        values, per = solve(gt, dt, kind, classes, limits)
        problems.append(dict(gt=gt, dt=dt, kind=kind, classes=classes, limits=limits, values=values, per_class=per))
    doc = dict(versions={n: metadata.version(n) for n in ("pycocotools", "numpy")}, seed=seed, problems=problems)
    with gzip.GzipFile(out, "wb", 9, mtime=0) as f:
        f.write(json.dumps(doc).encode())


if __name__ == "__main__":
    main()
