"""The size at which evaluation speed is measured: 5,000 pictures, about 36,000 objects and 500,000
detections of 80 classes, made up with a seed; and the peers' time on it.

    python cocoeval.py make DIR            writes DIR/gt.json and DIR/dt.json
    python cocoeval.py peer DIR            times faster_coco_eval on them, without its imports
    python cocoeval.py pairs DIR BINARY    runs both in turn, each in a process of its own: BINARY is
                                           go build ./examples/wildtrain
"""
import json, os, re, resource, statistics, subprocess, sys, time
from pathlib import Path

import numpy as np

IMAGES, CLASSES, OBJECTS, DETECTIONS = 5000, 80, 36_000, 500_000


def make(folder):
    r = np.random.default_rng(7)
    images = [dict(id=i + 1, width=640, height=480) for i in range(IMAGES)]
    anns = []
    for i in range(OBJECTS):
        w, h = np.exp(r.uniform(np.log(8), np.log(250), 2))
        x, y = r.uniform(0, 640 - w), r.uniform(0, 480 - h)
        anns.append(dict(id=i + 1, image_id=int(r.integers(1, IMAGES + 1)), category_id=int(r.integers(1, CLASSES + 1)),
                         bbox=[round(float(v), 2) for v in (x, y, w, h)], area=round(float(w * h), 3), iscrowd=int(r.random() < 0.01)))
    dets = []
    for a in anns:
        for _ in range(int(r.integers(0, 3))):
            b = np.array(a["bbox"]) * r.normal(1, 0.06, 4)
            dets.append(dict(image_id=a["image_id"], category_id=a["category_id"], bbox=[round(float(v), 2) for v in b], score=round(float(r.beta(4, 2)), 5)))
    while len(dets) < DETECTIONS:
        w, h = np.exp(r.uniform(np.log(8), np.log(250), 2))
        dets.append(dict(image_id=int(r.integers(1, IMAGES + 1)), category_id=int(r.integers(1, CLASSES + 1)),
                         bbox=[round(float(v), 2) for v in (r.uniform(0, 640), r.uniform(0, 480), w, h)], score=round(float(r.beta(1, 6)), 5)))
    r.shuffle(dets)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "gt.json").write_text(json.dumps(dict(images=images, annotations=anns, categories=[dict(id=c + 1, name=f"c{c}") for c in range(CLASSES)])))
    (folder / "dt.json").write_text(json.dumps(dets))


def peer(folder):
    from faster_coco_eval import COCO, COCOeval_faster
    start = time.perf_counter()
    gt = COCO(str(folder / "gt.json"))
    dt = gt.loadRes(str(folder / "dt.json"))
    loaded = time.perf_counter()
    e = COCOeval_faster(gt, dt, "bbox")
    e.evaluate(), e.accumulate(), e.summarize()
    end = time.perf_counter()
    print("AP", float(e.stats[0]), "AP50", float(e.stats[1]))
    print(f"load {loaded - start:.2f} s, evaluate {end - loaded:.2f} s, total {end - start:.2f} s, peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


def process(*command):
    """Wall and processor seconds, peak memory in MiB and standard output of a process."""
    start = time.perf_counter()
    p = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    out = p.stdout.read()
    _, status, used = os.wait4(p.pid, 0)
    assert status == 0, command
    return time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, out


def pairs(folder, binary, count=5):
    ratios = []
    for i in range(count):
        wall, cpu, mib, out = process(binary, "evaluate", "detections", f"gt={folder / 'gt.json'}", f"dt={folder / 'dt.json'}", "--json")
        ap = json.loads(out)["AP"]
        _, peer_cpu, peer_mib, text = process(sys.executable, __file__, "peer", str(folder))
        peer_ap, peer_wall = (float(re.search(p, text)[1]) for p in (r"AP ([\d.]+)", r"total ([\d.]+) s"))
        assert abs(ap - peer_ap) < 1e-9, (ap, peer_ap)
        ratios.append(wall / peer_wall)
        print(f"{i + 1}: ours {wall:.2f} s ({cpu:.2f} s of processors, {mib:.0f} MiB), peer {peer_wall:.2f} s ({peer_cpu:.2f} s, {peer_mib:.0f} MiB), ratio {ratios[-1]:.3f}, AP {ap}", flush=True)
    print(f"median ratio {statistics.median(ratios):.3f}")


if __name__ == "__main__":
    dict(make=make, peer=peer, pairs=pairs)[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
