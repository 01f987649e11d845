"""Train the peer (Ultralytics, a black box) on the toy task and score it by pycocotools.

    nice -n 19 python peer.py TOY --model yolov8n --seed 0 --out results/

TOY is the folder that generate.py wrote. The result is one JSON file with the arguments, the
versions, the peer's own mAP after every epoch, and the 12 COCO numbers on original coordinates.
"""

import argparse
import csv
import io
import json
import os
import platform
import time
from contextlib import redirect_stdout
from importlib import metadata
from pathlib import Path

os.environ.setdefault("YOLO_OFFLINE", "true")

STATS = ["AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"]
TRAIN = dict(imgsz=320, batch=16, optimizer="SGD", lr0=0.01, close_mosaic=10, workers=0, device="cpu", amp=False,
             pretrained=False, plots=False, deterministic=True, exist_ok=True)
PREDICT = dict(imgsz=320, conf=0.001, iou=0.7, max_det=300, device="cpu", verbose=False, rect=True)


def versions():
    names = ["ultralytics", "torch", "torchvision", "numpy", "opencv-python", "pycocotools"]
    found = {n: metadata.version(n) for n in names}
    try:
        found["albumentations"] = metadata.version("albumentations")
    except metadata.PackageNotFoundError:
        found["albumentations"] = None  # it would add blur and grey augmentations of its own
    found["python"] = platform.python_version()
    return found


def score(model, document, root, predict=PREDICT):
    """The 12 COCO numbers of the model on the images of a WilData master document."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth = json.loads(document.read_text())
    found = []
    for image in truth["images"]:
        result = model.predict(str(root / image["file_name"]), **predict)[0]
        for box, conf, cls in zip(result.boxes.xyxy.tolist(), result.boxes.conf.tolist(), result.boxes.cls.tolist()):
            x1, y1, x2, y2 = box
            found.append({"image_id": image["id"], "category_id": int(cls) + 1, "score": conf,
                          "bbox": [x1, y1, x2 - x1, y2 - y1]})
    with redirect_stdout(io.StringIO()):
        coco = COCO(str(document))
        coco.dataset.setdefault("info", {})  # WilData drops it, loadRes asks for it
        evaluation = COCOeval(coco, coco.loadRes(found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(STATS, map(float, evaluation.stats))), len(found)


def epochs_of(run):
    rows = []
    with open(run / "results.csv") as file:
        for row in csv.DictReader(file):
            rows.append({k.strip(): float(v) for k, v in row.items()})
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("toy", type=Path)
    parser.add_argument("--model", default="yolov8n")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()

    import torch
    from ultralytics import YOLO

    torch.set_num_threads(args.threads)
    toy = args.toy.resolve()
    name = f"{args.model}-seed{args.seed}"
    start = time.time()
    model = YOLO(f"{args.model}.yaml")
    model.train(data=str(toy / "yolo" / "data.yaml"), epochs=args.epochs, seed=args.seed,
                project=str(toy / "peer-runs"), name=name, **TRAIN)
    seconds = time.time() - start
    run = toy / "peer-runs" / name
    datasets = toy / "wildata" / "datasets"
    result = {
        "what": "toy task, peer", "model": args.model, "seed": args.seed, "epochs": args.epochs,
        "threads": torch.get_num_threads(), "train_arguments": TRAIN, "predict_arguments": PREDICT,
        "versions": versions(), "train_seconds": round(seconds, 1), "nice": os.nice(0),
    }
    for weights in ("last", "best"):
        stats, count = score(YOLO(str(run / "weights" / f"{weights}.pt")), datasets / "toy/annotations/val.json", datasets)
        result[weights] = stats
        result[weights + "_detections"] = count
    keep = ("epoch", "time", "metrics/precision(B)", "metrics/recall(B)", "metrics/mAP50(B)", "metrics/mAP50-95(B)",
            "train/box_loss", "train/cls_loss", "train/dfl_loss", "val/box_loss", "val/cls_loss", "val/dfl_loss")
    result["peer_epochs"] = [{k: row[k] for k in keep if k in row} for row in epochs_of(run)]
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / f"peer-{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result["last"]))


if __name__ == "__main__":
    main()
