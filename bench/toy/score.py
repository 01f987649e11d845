"""Score our detections by pycocotools: score.py ANNOTATIONS EVALUATION_FOLDER"""
import io, json, sys
from contextlib import redirect_stdout
from importlib import metadata
from pathlib import Path

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

STATS = ["AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"]
annotations, folder = sys.argv[1], Path(sys.argv[2])
ours = json.loads((folder / "images.json").read_text())
found = json.loads((folder / "predictions.json").read_text())
with redirect_stdout(io.StringIO()):
    coco = COCO(annotations)
    coco.dataset.setdefault("info", {})
    ids = {Path(i["file_name"]).name: i["id"] for i in coco.dataset["images"]}
    classes = {c["name"]: c["id"] for c in coco.dataset["categories"]}
    image = {i["id"]: ids[Path(i["file_name"]).name] for i in ours["images"]}
    category = {c["id"]: classes[c["name"]] for c in ours["categories"]}
    for d in found:
        d["image_id"], d["category_id"] = image[d["image_id"]], category[d["category_id"]]
    e = COCOeval(coco, coco.loadRes(found), "bbox")
    e.evaluate(), e.accumulate(), e.summarize()
print(json.dumps({**dict(zip(STATS, map(float, e.stats))), "pycocotools": metadata.version("pycocotools"),
                  "ours": json.loads((folder / "evaluation.json").read_text())["detection"]["values"]}))
