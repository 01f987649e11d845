"""Random problems with federated annotation, with the numbers of LVIS's own tool: frequency groups,
classes known to be absent, classes not marked completely, ignored annotations, a limit per picture.

    python make_lvis_goldens.py OUT.json.gz [problems] [seed]
"""
import copy, gzip, json, logging, sys, tempfile
from importlib import metadata
from pathlib import Path

import numpy as np

np.float = float  # lvis 0.5.3 uses the name that numpy dropped
from lvis import LVIS, LVISEval, LVISResults

from make_coco_goldens import problem

logging.disable(logging.WARNING)


def solve(gt, dt, limit, folder):
    (folder / "gt.json").write_text(json.dumps(gt))
    truth = LVIS(str(folder / "gt.json"))
    e = LVISEval(truth, LVISResults(truth, copy.deepcopy(dt), max_dets=limit), "bbox")
    e.params.max_dets = limit
    e.run()
    r = {k: float(v) for k, v in e.get_results().items()}
    out = {k: r[k] for k in ("AP", "AP50", "AP75", "APs", "APm", "APl", "APr", "APc", "APf")}
    out[f"AR{limit}"] = r[f"AR@{limit}"]
    for s in "sml":
        out["AR" + s] = r[f"AR{s}@{limit}"]
    p = e.eval["precision"][:, :, :, 0]
    return out, [float(v[v > -1].mean()) if (v > -1).any() else -1.0 for v in (p[:, :, k] for k in range(p.shape[2]))]


def main():
    out, count, seed = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 20, int(sys.argv[3]) if len(sys.argv) > 3 else 6
    r, problems = np.random.default_rng(seed), []
    with tempfile.TemporaryDirectory() as folder:
        while len(problems) < count:
            n, images, truths, dets = problem(r)
            if not dets or not truths:
                continue
            for t in truths:
                t["ignore"] = int(r.random() < 0.1)
                del t["iscrowd"]
            frequencies = [str(r.choice(list("rcf"))) for _ in range(n)]
            pictures = []
            for i in range(1, images + 1):
                here = {t["category_id"] for t in truths if t["image_id"] == i}
                pictures.append(dict(id=i, width=640, height=480,
                                     neg_category_ids=[c for c in range(1, n + 1) if c not in here and r.random() < 0.4],
                                     not_exhaustive_category_ids=[c for c in sorted(here) if r.random() < 0.3]))
            gt = dict(images=pictures, annotations=truths, categories=[dict(id=c, name=f"c{c}", frequency=frequencies[c - 1]) for c in range(1, n + 1)])
            limit = int(r.choice([300, 6, 3]))
            gt, dt = json.loads(json.dumps(gt)), json.loads(json.dumps(dets))
            values, per = solve(gt, dt, limit, Path(folder))
            problems.append(dict(gt=gt, dt=dt, limit=limit, values=values, per_class=per))
    doc = dict(versions={n: metadata.version(n) for n in ("lvis", "numpy")}, seed=seed, problems=problems)
    with gzip.GzipFile(out, "wb", 9, mtime=0) as f:
        f.write(json.dumps(doc).encode())


if __name__ == "__main__":
    main()
