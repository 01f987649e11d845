"""Makes losses.safetensors, calibration.json, probe.safetensors, gradcam.safetensors and lightning.ckpt:
what PyTorch, torchvision, timm and scikit-learn compute. Run: python make.py. No seeds: the numbers are those of parity/rule.py."""

import json
import pathlib
import sys

import numpy as np
import sklearn
import timm
import torch
import torch.nn.functional as F
import torchvision
from safetensors.torch import save_file
from scipy.optimize import minimize_scalar
from sklearn.linear_model import LogisticRegression

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "parity"))
import rule  # noqa: E402

torch.set_num_threads(1)
VERSIONS = {"torch": torch.__version__, "torchvision": torchvision.__version__, "sklearn": sklearn.__version__, "timm": timm.__version__}
N, K = 12, 5
COUNTS = [400, 90, 33, 1, 0]


def balanced(counts):
    n = np.array(counts, float)
    present = (n > 0).sum()
    return [float(n.sum() / (present * c)) if c else 0.0 for c in n]


def class_balanced(counts, beta):
    w = [(1 - beta) / (1 - beta**c) if c else 0.0 for c in counts]
    return [x * sum(c > 0 for c in counts) / sum(w) for x in w]


def smooth(t, eps):
    return t * (1 - eps) + eps / K


def softmax_focal(x, t, gamma, weight, index):
    logp = F.log_softmax(x, 1)
    each = -((1 - logp.exp()) ** gamma) * logp * t
    if weight is None:
        return each.sum() / N
    each = each * weight
    return each.sum() / (weight[index].sum() if index is not None else N)


def losses():
    out, about = {}, []
    logits = torch.tensor(rule.tensor("loss.logits", (N, K), 0, 4))
    index = torch.tensor([i * i % 4 for i in range(N)])
    lam = torch.tensor(rule.tensor("loss.lambda", (N,), 0.5, 0.5)).clamp(0.01, 0.99)
    mixed = F.one_hot(index, K) * lam[:, None] + F.one_hot((index + 1) % K, K) * (1 - lam)[:, None]
    labels = torch.tensor((rule.tensor("loss.labels", (N, K), 0, 1) > 0.3).astype(np.float32))
    for target in ("index", "mixed", "multi"):
        for kind in ("cross_entropy", "bce", "focal"):
            if target == "multi" and kind == "cross_entropy":
                continue
            for smoothing in (0.0, 0.1):
                for weights in ("none", "balanced", "class_balanced"):
                    w = {"none": None, "balanced": balanced(COUNTS), "class_balanced": class_balanced(COUNTS, 0.99)}[weights]
                    w = None if w is None else torch.tensor(w, dtype=torch.float32)
                    x = logits.clone().requires_grad_()
                    t = {"index": F.one_hot(index, K).float(), "mixed": mixed, "multi": labels}[target]
                    if kind == "cross_entropy":
                        y = index if target == "index" else mixed
                        loss = F.cross_entropy(x, y, weight=w, label_smoothing=smoothing)
                    elif kind == "bce":
                        loss = F.binary_cross_entropy_with_logits(x, smooth(t, smoothing), weight=w)
                    elif target == "multi":
                        each = torchvision.ops.sigmoid_focal_loss(x, smooth(t, smoothing), alpha=0.25, gamma=2, reduction="none")
                        loss = (each if w is None else each * w).mean()
                    else:
                        loss = softmax_focal(x, smooth(t, smoothing), 1.5, w, index if target == "index" else None)
                    loss.backward()
                    name = f"{target}/{kind}/{smoothing}/{weights}"
                    about.append(name)
                    out[name + "/loss"], out[name + "/grad"] = loss.detach()[None], x.grad
    out.update(logits=logits, index=index, mixed=mixed.contiguous(), labels=labels)
    save_file(out, HERE / "losses.safetensors", metadata={"cases": json.dumps(about), "counts": json.dumps(COUNTS), **VERSIONS})


def calibration():
    n = 200
    x = rule.tensor("calibration.logits", (n, K), 0, 6).astype(np.float64)
    noise = rule.uniform("calibration.noise", n)
    y = np.array([row.argmax() if noise[i] > -0.4 else i % K for i, row in enumerate(x)])
    t = torch.tensor(x)

    def nll(beta):
        return F.cross_entropy(t * beta, torch.tensor(y)).item()

    best = minimize_scalar(nll, bounds=(1e-3, 10), method="bounded", options={"xatol": 1e-10})
    multi = (x + 5 * rule.tensor("calibration.multi", (n, K), 0, 1) > 1).astype(np.float64)

    def bce(beta):
        return F.binary_cross_entropy_with_logits(t * beta, torch.tensor(multi), reduction="sum").item() / n

    best_multi = minimize_scalar(bce, bounds=(1e-3, 10), method="bounded", options={"xatol": 1e-10})
    (HERE / "calibration.json").write_text(json.dumps({
        "versions": VERSIONS, "n": n, "classes": K, "labels": y.tolist(), "multi": multi.astype(int).flatten().tolist(),
        "softmax": {"temperature": 1 / best.x, "before": nll(1), "after": best.fun},
        "sigmoid": {"temperature": 1 / best_multi.x, "before": bce(1), "after": best_multi.fun}}))


def probe():
    n, d = 120, 6
    x = rule.tensor("probe.train", (n, d), 0, 1).astype(np.float64)  # scikit-learn computes in its input's type
    z = rule.tensor("probe.test", (40, d), 0, 1).astype(np.float64)
    y = (x @ rule.tensor("probe.weights", (d, 4), 0, 1) + rule.tensor("probe.noise", (n, 4), 0, 0.5)).argmax(1)
    out = {"y": torch.tensor(y)}
    for c in (0.1, 10.0):
        fit = LogisticRegression(C=c, tol=1e-10, max_iter=10000).fit(x, y)
        out[f"logistic/{c}"] = torch.tensor(fit.predict_proba(z))
    # Caron et al. 2021: cosine similarity, votes exp(similarity / 0.07)
    a, b = (F.normalize(torch.tensor(v), dim=1) for v in (z, x))
    near, index = (a @ b.T).topk(9, dim=1)
    votes = torch.zeros(40, 4, dtype=torch.float64).scatter_add_(1, torch.tensor(y)[index], (near / 0.07).exp())
    out["knn"] = votes / votes.sum(1, keepdim=True)
    save_file(out, HERE / "probe.safetensors", metadata=VERSIONS)



def ruled(model):
    model.load_state_dict({k: torch.from_numpy(np.asarray(rule.spread(k, tuple(v.shape)))) for k, v in model.state_dict().items()})
    return model.eval()


def gradcam():
    """Selvaraju et al. 2017 by autograd on the feature map; of the ViT, on what enters its last block."""
    side = 64
    pixels = np.floor((rule.tensor("gradcam.pixels", (2, side, side, 3), 0.5, 0.5)) * 255.99).astype(np.uint8)
    out = {"pixels": torch.tensor(pixels)}
    for name, mean, std in (("resnet18", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), ("vit_tiny_patch16_224", (0.5,) * 3, (0.5,) * 3)):
        if name == "resnet18":
            model = ruled(torchvision.models.resnet18(num_classes=K))
            layer = model.layer4
        else:
            model = ruled(timm.create_model(name, num_classes=K, img_size=side))
            layer = model.blocks[-2]
        seen = []

        def keep(module, args, output):
            output.retain_grad()
            seen.append(output)

        hook = layer.register_forward_hook(keep)
        x = (torch.tensor(pixels).permute(0, 3, 1, 2) / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
        logits = model(x)
        (logits[0, 1] + logits[1, 3]).backward()
        hook.remove()
        a, g = seen[0].detach(), seen[0].grad
        if a.dim() == 3:
            a, g = (v[:, 1:].transpose(1, 2).reshape(2, -1, side // 16, side // 16) for v in (a, g))
        cam = F.relu((g.mean((2, 3), keepdim=True) * a).sum(1, keepdim=True))
        cam = F.interpolate(cam, size=(side, side), mode="bilinear", align_corners=False)[:, 0]
        out[name] = (cam / cam.amax((1, 2), keepdim=True)).contiguous()
    save_file(out, HERE / "gradcam.safetensors", metadata=VERSIONS)


def lightning():
    """A checkpoint as the Python WildTrain's trainer writes it (names and settings; the numbers of a tensor
    are all alike, which keeps the file small)."""
    body = timm.create_model("vit_tiny_patch16_224", num_classes=0, global_pool="", img_size=32)
    names = {f"model.feature_extractor.{k}": v for k, v in body.state_dict().items()}
    names |= {"model.fc.fc.0.0.weight": torch.empty(8, 192), "model.fc.fc.0.0.bias": torch.empty(8),
              "model.fc.fc.1.weight": torch.empty(3, 8), "model.fc.fc.1.bias": torch.empty(3)}
    state = {k: torch.tensor([float(np.float32(i / 1000))]).expand(v.shape) for i, (k, v) in enumerate(names.items())}
    mean, std, backbone = [0.554, 0.469, 0.348], [0.203, 0.173, 0.144], [0.5, 0.5, 0.5]
    for key, values in (("mean", mean), ("std", std)):
        state[f"model.{key}"] = torch.tensor(values)
        state[f"model.preprocessing.{key}"] = torch.tensor(values).view(1, 3, 1, 1)
        state[f"model.backbone_trfs.{key}"] = torch.tensor(backbone).view(1, 3, 1, 1)
    for key, value in (("input_size", 32), ("num_classes", 3), ("num_layers", 2), ("hidden_dim", 8)):
        state[f"model.{key}"] = torch.tensor([value]).int()
    state["model.dropout"] = torch.tensor([0.3])
    settings = {"epochs": 3, "lr": 1e-3, "label_to_class_map": {0: "background", 1: "impala", 2: "zebra"},
                "backbone": "timm/vit_tiny_patch16_224", "backbone_source": "timm", "input_size": 32, "mean": mean, "std": std,
                "dropout": 0.3, "freeze_backbone": True, "num_layers": 2, "hidden_dim": 8}
    torch.save({"epoch": 2, "global_step": 12, "pytorch-lightning_version": "2.3.3", "state_dict": state,
                "hyper_parameters": settings}, HERE / "lightning.ckpt")


losses()
calibration()
probe()
gradcam()
lightning()
