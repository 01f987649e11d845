"""Error types of random detection problems, straight from the definitions of the TIDE paper
(Bolya et al., ECCV 2020, sections 2.2 and 2.3); plain loops, independent of the Go code.

    python make_error_goldens.py OUT.json.gz [problems] [seed]
"""
import gzip, json, sys
from importlib import metadata

import numpy as np

from make_coco_goldens import problem

try:  # a second opinion on the kinds: the authors' own tool
    from tidecv import TIDE, Data
except ImportError:
    TIDE = None

FG, BG = 0.5, 0.1
KINDS = ["classification", "localisation", "both", "duplicate", "background", "missed"]


def iou(a, b, crowd=False):
    w = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    h = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    return w * h / (a[2] * a[3] if crowd else a[2] * a[3] + b[2] * b[3] - w * h)


def average_precision(pairs, n):
    """Mean over 101 recalls of the best precision at that recall or beyond."""
    pairs = sorted(pairs, key=lambda p: -p[0])
    tp = np.cumsum([p[1] for p in pairs]) if pairs else np.zeros(0)
    recall, precision = tp / n, tp / np.arange(1, len(pairs) + 1)
    return np.mean([precision[recall >= r].max() if (recall >= r).any() else 0 for r in np.linspace(0, 1, 101)])


def classify(images, truths, dets):
    results, objects = [], [dict(t, found=False, covered=False) for t in truths if not t["iscrowd"]]
    for image in range(1, images + 1):
        here = [o for o in objects if o["image_id"] == image]
        crowds = [t for t in truths if t["image_id"] == image and t["iscrowd"]]
        wrong = []
        for d in sorted((d for d in dets if d["image_id"] == image), key=lambda d: -d["score"]):
            free = [o for o in here if o["category_id"] == d["category_id"] and not o["found"] and iou(d["bbox"], o["bbox"]) >= FG]
            if free:
                top = max(iou(d["bbox"], o["bbox"]) for o in free)
                [o for o in free if iou(d["bbox"], o["bbox"]) == top][-1]["found"] = True
                results.append(dict(d, kind="", object=None))
            elif not any(iou(d["bbox"], c["bbox"], True) >= FG for c in crowds):
                wrong.append(d)
        for d in wrong:
            same = [(iou(d["bbox"], o["bbox"]), o) for o in here if o["category_id"] == d["category_id"]]
            other = [(iou(d["bbox"], o["bbox"]), o) for o in here if o["category_id"] != d["category_id"]]
            s = max(same, key=lambda p: p[0]) if same else (0, None)
            o = max(other, key=lambda p: p[0]) if other else (0, None)
            kind, target = "both", None
            if same and BG <= s[0] <= FG:
                kind, target = "localisation", s[1]
            elif other and o[0] >= FG:
                kind, target = "classification", o[1]
            elif same and s[0] >= FG:
                kind = "duplicate"
            elif max(s[0], o[0]) <= BG:
                kind = "background"
            if target:
                target["covered"] = True
            results.append(dict(d, kind=kind, object=target))
    return results, objects


def mean_ap(results, objects, repair=None):
    aps, best = [], {}
    for d in results:
        t = d["object"]
        if repair and d["kind"] == repair and t is not None and not t["found"] and (t["id"] not in best or d["score"] > best[t["id"]]["score"]):
            best[t["id"]] = d
    for c in sorted({o["category_id"] for o in objects}):
        n = sum(o["category_id"] == c and (repair != "missed" or o["found"] or o["covered"]) for o in objects)
        pairs = [(d["score"], not d["kind"]) for d in results if d["category_id"] == c and (not repair or d["kind"] != repair)]
        pairs += [(d["score"], True) for d in best.values() if d["object"]["category_id"] == c]
        if n:
            aps.append(average_precision(pairs, n))
    return float(np.mean(aps)) if aps else -1.0


def tool(classes, images, truths, dets):
    """How often the authors' tool sees each kind."""
    gt, dt = Data("gt", max_dets=10**6), Data("dt", max_dets=10**6)
    for i in range(1, images + 1):
        gt.add_image(i, str(i))
    for c in range(1, classes + 1):
        gt.add_class(c, str(c)), dt.add_class(c, str(c))
    for t in truths:
        gt.add_ground_truth(t["image_id"], t["category_id"], t["bbox"])
    for d in dets:
        dt.add_detection(d["image_id"], d["category_id"], d["score"], d["bbox"])
    kinds = dict(zip(("Cls", "Loc", "Both", "Dupe", "Bkg", "Miss"), KINDS))
    return {kinds[e.short_name]: len(v) for e, v in TIDE().evaluate(gt, dt, mode=TIDE.BOX).error_dict.items() if e.short_name in kinds}


def main():
    out, count, seed = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 40, int(sys.argv[3]) if len(sys.argv) > 3 else 3
    r, problems = np.random.default_rng(seed), []
    while len(problems) < count:
        classes, images, truths, dets = problem(r)
        for d, s in zip(dets, r.permutation(len(dets)) / max(len(dets), 1)):
            d["score"] = float(s)  # no ties: the definitions don't speak of them
        results, objects = classify(images, truths, dets)
        ap = mean_ap(results, objects)
        counts = {k: sum(d["kind"] == k for d in results) for k in KINDS[:5]}
        counts["missed"] = sum(not o["found"] and not o["covered"] for o in objects)
        if TIDE and truths and dets and not any(t["iscrowd"] for t in truths):
            assert tool(classes, images, truths, dets) == counts
        delta = {k: max(mean_ap(results, objects, k), 0) - ap if ap >= 0 else 0.0 for k in KINDS}
        problems.append(dict(classes=classes, images=images, ap=ap, counts=counts, delta=delta,
                             truths=[[t["image_id"], t["category_id"], *t["bbox"], t["area"], t["iscrowd"]] for t in truths],
                             dets=[[d["image_id"], d["category_id"], *d["bbox"], d["score"]] for d in dets]))
    doc = dict(versions=dict(numpy=metadata.version("numpy")), seed=seed, problems=problems)
    with gzip.GzipFile(out, "wb", 9, mtime=0) as f:
        f.write(json.dumps(doc).encode())


if __name__ == "__main__":
    main()
