"""Time the peer (Ultralytics, a black box): end-to-end training images/s, peak memory, first prediction.

    python peer_train.py train DATA_YAML --model yolo11n --steps 16 --threads 2
    python peer_train.py first IMAGE --model yolo11n --threads 2

`train` uses the peer's own loader, default augmentation, loss, optimiser and average, at 640 px, batch 8, from scratch;
the clock runs from the end of the first --skip steps to the end of the last, validation excluded. `first` is the
time from starting a fresh process to the end of its first prediction, weights read from a file. The last line of
output is JSON.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path

os.environ.setdefault("YOLO_OFFLINE", "true")

FIRST = """
import sys, torch
torch.set_num_threads(int(sys.argv[3]))
from ultralytics import YOLO
YOLO(sys.argv[1]).predict(sys.argv[2], imgsz=640, device="cpu", verbose=False)
import resource
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def versions():
    found = {n: metadata.version(n) for n in ("ultralytics", "torch", "opencv-python", "numpy")}
    return found | {"python": platform.python_version(), "cpu": platform.processor() or platform.machine()}


def peak():
    """Peak resident set of this process in MiB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def train(args):
    import torch
    from ultralytics import YOLO

    torch.set_num_threads(args.threads)
    marks = []  # (time, images done so far)

    class Done(Exception):
        pass

    def batch_end(trainer):
        torch.set_num_threads(args.threads)
        images, batches = len(trainer.train_loader.dataset), len(trainer.train_loader)
        place = len(marks) % batches
        seen = (marks[-1][1] if marks else 0) + min(args.batch, images - place * args.batch)
        marks.append((time.perf_counter(), seen))
        if len(marks) == args.skip + args.steps:
            raise Done

    model = YOLO(f"{args.model}.yaml")
    model.add_callback("on_train_batch_end", batch_end)
    options = dict(data=str(args.data), imgsz=args.imgsz, batch=args.batch, epochs=1000, workers=args.workers, device="cpu",
                   optimizer="SGD", lr0=0.01, amp=False, pretrained=False, plots=False, val=False, save=False, exist_ok=True,
                   fraction=args.fraction, project=tempfile.mkdtemp(), name="speed")
    start = time.perf_counter()
    try:
        model.train(**options)
    except Done:
        pass
    (t0, n0), (t1, n1) = marks[args.skip - 1], marks[-1]
    options.pop("project")
    return {"images_per_second": round((n1 - n0) / (t1 - t0), 4), "seconds_per_step": round((t1 - t0) / args.steps, 4),
            "steps": args.steps, "skipped": args.skip, "start_to_first_step_seconds": round(marks[0][0] - start, 2),
            "peak_rss_mib": peak(), "threads": torch.get_num_threads(), "arguments": options}


def first(args):
    from ultralytics import YOLO

    times, peaks = [], []
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / f"{args.model}.pt"
        YOLO(f"{args.model}.yaml").save(weights)
        for _ in range(args.runs):
            start = time.perf_counter()
            done = subprocess.run([sys.executable, "-c", FIRST, weights, args.image, str(args.threads)], check=True, capture_output=True, text=True)
            times.append(round(time.perf_counter() - start, 3))
            peaks.append(round(int(done.stdout.split()[-1]) / 1024))
    return {"first_prediction_seconds": times, "peak_rss_mib": peaks, "threads": args.threads}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    p = verbs.add_parser("train")
    p.set_defaults(run=train)
    p.add_argument("data", type=Path)
    p.add_argument("--steps", type=int, default=16)
    p.add_argument("--skip", type=int, default=3)
    p.add_argument("--batch", type=int, default=8)
    p.add_argument("--imgsz", type=int, default=640)
    p.add_argument("--workers", type=int, default=0)
    p.add_argument("--fraction", type=float, default=1.0)
    p = verbs.add_parser("first")
    p.set_defaults(run=first)
    p.add_argument("image")
    p.add_argument("--runs", type=int, default=3)
    for p in verbs.choices.values():
        p.add_argument("--model", default="yolo11n")
        p.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    result = args.run(args)
    print(json.dumps({"what": f"peer {args.verb}", "model": args.model, **result, "load_average": os.getloadavg(), "versions": versions()}))


if __name__ == "__main__":
    main()
