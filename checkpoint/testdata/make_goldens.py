"""Makes the files of this folder that PyTorch and safetensors write.

Run with any Python that has torch and safetensors; versions and seed are
recorded in goldens.json, next to what a correct reader must return: per file
and tensor the type, the shape and the sum of the contiguous bytes' SHA-256.

    python make_goldens.py
"""
import hashlib, io, json, os, pickle, platform, struct, sys, zipfile
from collections import OrderedDict

import torch

HERE = os.path.dirname(os.path.abspath(__file__))
SEED = 20240
torch.manual_seed(SEED)
# Legacy files of whole modules carry the source of each class: PyTorch's code and paths do not belong here.
torch.serialization.get_source_lines_and_file = lambda *_: (["class Source: pass\n"], 1, "source.py")
expected = {}
LEGACY = dict(_use_new_zipfile_serialization=False)


def digest(t):
    t = t.detach().contiguous()
    raw = bytes(t.reshape(-1).view(torch.uint8).tolist()) if t.numel() else b""
    return {"dtype": str(t.dtype).removeprefix("torch."), "shape": list(t.shape),
            "sha256": hashlib.sha256(raw).hexdigest()}


def expect(name, sd, chosen="", meta=None):
    expected[name] = {"chosen": chosen, "metadata": meta or {},
                      "tensors": {k: digest(v) for k, v in sd.items() if isinstance(v, torch.Tensor)}}


def save(name, obj, sd, chosen="", meta=None, **kw):
    torch.save(obj, os.path.join(HERE, name), **kw)
    expect(name, sd, chosen, meta)


def every_dtype():
    x = torch.randn(3, 5) * 40
    sd = OrderedDict()
    for t in (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16,
              torch.int8, torch.bool):
        sd[str(t).removeprefix("torch.")] = x.to(t)
    sd["uint8"] = (x.abs()).to(torch.uint8)
    sd["scalar"] = torch.tensor(7)
    sd["empty"] = torch.zeros(0, 4)
    sd["specials"] = torch.tensor([float("nan"), float("inf"), -0.0, 1e-45])
    return sd


def strided():
    base = torch.randn(4, 6, 3)
    sd = OrderedDict(base=base, transposed=base.permute(2, 0, 1), window=base[1:3, ::2], expanded=base[0, 0].expand(5, 3),
                     channels_last=torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last))
    sd["tied"] = sd["base"]
    return sd


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.SiLU())
        self.head = torch.nn.Linear(4, 2)
        self.register_buffer("anchors", torch.arange(6.0).reshape(2, 3))
        self.register_buffer("scratch", torch.zeros(3), persistent=False)
        self.register_parameter("none", None)
        self.names = {0: "lion", 1: "zebra"}
        self.stride = torch.tensor([8.0, 16.0])


# Whole modules name their class: it must look like a model zoo's, not like this script's.
Net.__module__ = "ultralytics.nn.tasks"
Net.__qualname__ = "Net"
fake = type(sys)("ultralytics.nn.tasks")
fake.Net = Net
for part in ("ultralytics", "ultralytics.nn"):
    sys.modules[part] = type(sys)(part)
sys.modules["ultralytics.nn.tasks"] = fake


def modules():
    net = Net()
    for p in list(net.parameters()) + [net.stem[1].running_mean, net.stem[1].running_var]:
        torch.nn.init.normal_(p) if p is not net.stem[1].running_var else p.uniform_(0.5, 2)
    sd = net.state_dict()
    save("module.pt", net, sd, meta={"names.0": "lion", "names.1": "zebra", "__class__": "ultralytics.nn.tasks.Net"})
    save("module_legacy.pt", net, sd, **LEGACY)
    half = Net().half()
    save("nested_ema.pt", {"epoch": 3, "best_fitness": 0.25, "model": net, "ema": half, "updates": 9},
         half.state_dict(), "ema", {"epoch": "3", "best_fitness": "0.25", "ema.names.1": "zebra"})
    save("nested_none.pt", {"model": None, "ema": net, "optimizer": None}, sd, "ema")
    save("nested_model.pt", {"model": sd, "optimizer": torch.optim.SGD(net.parameters(), 0.1, 0.9).state_dict()}, sd,
         "model")
    save("nested_module.pt", {"ema": {"module": sd, "updates": 4}, "model": half.state_dict()}, sd, "ema.module")
    save("lightning.ckpt", {"epoch": 2, "global_step": 10, "pytorch-lightning_version": "2.1.0", "state_dict": sd,
                            "loops": {"fit_loop": {"state_dict": {}}}, "callbacks": {}, "lr_schedulers": [],
                            "optimizer_states": [torch.optim.Adam(net.parameters()).state_dict()],
                            "hyper_parameters": {"lr": 0.5, "names": ["lion", "zebra"]}}, sd, "state_dict",
         {"hyper_parameters.lr": "0.5", "hyper_parameters.names.1": "zebra", "epoch": "2"})
    save("only_key.pt", {"weights_of_mine": sd, "note": "x"}, sd, "weights_of_mine")
    script = torch.jit.trace(torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1), torch.nn.BatchNorm2d(2)).eval(), torch.randn(2, 1, 4, 4))
    torch.jit.save(script, os.path.join(HERE, "script.pt"))
    expect("script.pt", script.state_dict())


def malicious():
    class Evil:
        def __init__(self, f, *args):
            self.call = f, args

        def __reduce__(self):
            return self.call

    import subprocess
    for name, evil in (("evil_system", Evil(os.system, "touch /tmp/wildtrain-owned")),
                       ("evil_eval", Evil(eval, "1+1")), ("evil_popen", Evil(subprocess.Popen, ["true"]))):
        torch.save({"model": {"w": torch.ones(2)}, "x": evil}, os.path.join(HERE, name + ".pt"))
    torch.save({"x": Evil(os.system, "true")}, os.path.join(HERE, "evil_legacy.pt"), **LEGACY)


def deflated(src, dst):
    with zipfile.ZipFile(os.path.join(HERE, src)) as z, zipfile.ZipFile(os.path.join(HERE, dst), "w", zipfile.ZIP_DEFLATED) as out:
        for n in z.namelist():
            i = zipfile.ZipInfo(n, (1980, 1, 1, 0, 0, 0))
            i.compress_type = zipfile.ZIP_DEFLATED
            out.writestr(i, z.read(n))
    expected[dst] = expected[src]


def main():
    import safetensors, safetensors.torch
    sd = every_dtype()
    save("dtypes.pt", sd, sd)
    save("dtypes_legacy.pt", sd, sd, **LEGACY)
    for p in (3, 4, 5):
        save(f"protocol{p}.pt", sd, sd, pickle_protocol=p)
    view = strided()
    save("strided.pt", view, view)
    save("strided_legacy.pt", view, view, **LEGACY)
    save("tensor.pt", view["window"], {"tensor": view["window"]})
    save("list.pt", [sd["float32"], sd["int8"]], {"0": sd["float32"], "1": sd["int8"]})
    save("parameters.pt", {"w": torch.nn.Parameter(torch.randn(3))}, {"w": torch.zeros(0)})
    expect("parameters.pt", torch.load(os.path.join(HERE, "parameters.pt")))
    deflated("dtypes.pt", "deflated.pt")
    modules()
    malicious()
    safetensors.torch.save_file(dict(sd), os.path.join(HERE, "dtypes.safetensors"), metadata={"format": "pt", "ü": "é\n"})
    expect("dtypes.safetensors", sd, "", {"format": "pt", "ü": "é\n"})
    halves = {}  # every binary16 and every bfloat16 number, as float32
    bits = torch.arange(65536, dtype=torch.int32).to(torch.int16)
    for t in (torch.float16, torch.bfloat16):
        halves[str(t).removeprefix("torch.")] = hashlib.sha256(
            bytes(bits.view(t).float().nan_to_num(nan=1.5).view(torch.uint8).tolist())).hexdigest()
    x = torch.cat([torch.randn(4000) * 10.0 ** torch.randint(-9, 6, (4000,)), torch.tensor([65504.0, 65519.9, 65520.0, 2.0**-24, 2.0**-25, 3 * 2.0**-26, 1e38, 3.4e38])])
    safetensors.torch.save_file({"x": x, "half": x.half(), "bf16": x.bfloat16()}, os.path.join(HERE, "rounding.safetensors"))
    with open(os.path.join(HERE, "goldens.json"), "w") as f:
        json.dump({"python": platform.python_version(), "torch": torch.__version__, "safetensors": safetensors.__version__,
                   "seed": SEED, "halves": halves, "files": expected}, f, indent=1, sort_keys=True)


if __name__ == "__main__":
    main()
