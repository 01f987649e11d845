"""The Python side of TestParity* (make parity).

    python parity.py check DIR   opens every file that Go wrote into DIR, as users would, and prints
                                 {file: {tensor: [dtype, shape, sha256]}}
    python parity.py make DIR    writes checkpoints of a YOLO11n through the Ultralytics package (a black
                                 box) and of other peers into DIR, with random weights, and prints the same
"""
import copy, hashlib, json, os, sys

import torch


def digest(t):
    t = t.detach().cpu().contiguous()
    raw = t.reshape(-1).view(torch.uint8).numpy().tobytes() if t.numel() else b""
    return [str(t.dtype).removeprefix("torch."), list(t.shape), hashlib.sha256(raw).hexdigest()]


def digests(sd):
    return {k: digest(v) for k, v in sd.items() if isinstance(v, torch.Tensor)}


def check(folder):
    import safetensors.torch
    out = {}
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if name.endswith(".safetensors"):
            out[name] = digests(safetensors.torch.load_file(path))
            continue
        for mmap in (False, True):
            sd = torch.load(path, weights_only=True, mmap=mmap)
            if name.startswith("nested"):
                assert sd["epoch"] == 7 and sd["note"] == "ü" and sd["lr"] == 0.5 and sd["done"] is True and sd["big"] == 1 << 40, sd
                sd = sd["model"]
            assert type(sd).__name__ == "OrderedDict", type(sd)
            assert not any(v.requires_grad for v in sd.values())
            out[name] = digests(sd)
    return out


def make(folder):
    import torchvision
    from ultralytics import YOLO
    from ultralytics.nn.tasks import DetectionModel
    torch.manual_seed(7)
    out = {}

    def save(name, obj, sd, **kw):
        torch.save(obj, os.path.join(folder, name), **kw)
        out[name] = digests(sd)

    net = DetectionModel("yolo11n.yaml", nc=3, verbose=False)
    for t in net.state_dict().values():
        if t.is_floating_point():
            t.copy_(torch.randn_like(t))
    half = copy.deepcopy(net).half()
    meta = {"epoch": -1, "best_fitness": None, "optimizer": None, "updates": None, "train_args": {"imgsz": 640}}
    save("yolo_ema.pt", {**meta, "model": None, "ema": half}, half.state_dict())
    save("yolo_stripped.pt", {**meta, "model": half, "ema": None}, half.state_dict())
    save("yolo_legacy.pt", {**meta, "model": None, "ema": half}, half.state_dict(), _use_new_zipfile_serialization=False)
    for name in ("yolo11n", "yolo11n-seg", "yolov8n-seg"):
        path = os.path.join(folder, name + ".pt")
        YOLO(name + ".yaml").save(path)
        out[name + ".pt"] = digests(torch.load(path, weights_only=False)["model"].state_dict())
    resnet = torchvision.models.resnet18(weights=None)
    save("resnet.pth", resnet.state_dict(), resnet.state_dict())
    save("resnet_whole.pth", resnet, resnet.state_dict())
    mobile = torchvision.models.mobilenet_v3_small(weights=None)
    save("mobilenet_whole.pth", mobile, mobile.state_dict())
    torch.serialization.set_crc32_options(False)
    save("no_crc.pth", resnet.state_dict(), resnet.state_dict())
    return out


if __name__ == "__main__":
    print("PARITY " + json.dumps({"check": check, "make": make}[sys.argv[1]](sys.argv[2])))
