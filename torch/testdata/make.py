"""Goldens of the operations of package torch, made by PyTorch: python make.py > ops.json

Every case is a function of the named inputs. Stored are its result (all of them
for several), and for a floating result the gradient of sum(result * cos(0, 1, …))
with respect to x, where there is one. random.json holds the first numbers of the
seeded generator.
"""
import json, math, sys
import torch
import torch.nn.functional as F

torch.manual_seed(11)
D = torch.float64


def rand(*s):
    return torch.randn(*s, dtype=D)


inputs = {
    "x": rand(2, 6, 3, 4), "y": rand(2, 6, 3, 4), "row": rand(4), "pos": rand(2, 6, 3, 4).abs() + 0.1,
    "m": rand(3, 4), "k": rand(4, 5), "idx": torch.tensor([2, 0, 2]), "gidx": torch.randint(0, 3, (2, 4)),
    "mask": torch.rand(2, 6, 3, 4) > 0.5, "mask2": torch.rand(2, 6, 3, 4) > 0.5,
    "w": rand(4, 3, 3, 3), "wb": rand(4), "wt": rand(6, 2, 3, 3), "wtb": rand(4),
    "gamma": rand(6), "beta": rand(6), "mean": rand(6), "var": rand(6).abs() + 0.5,
    "lng": rand(4), "lnb": rand(4), "lw": rand(3, 4), "lb": rand(3), "table": rand(5, 3),
    "q": rand(2, 2, 3, 4), "kk": rand(2, 2, 5, 4), "v": rand(2, 2, 5, 4), "amask": rand(1, 1, 3, 5),
    "grid": torch.rand(2, 3, 3, 2, dtype=D) * 2.4 - 1.2, "prob": torch.rand(2, 6, 3, 4, dtype=D),
    "logits": rand(4, 3), "classes": torch.tensor([0, 2, 1, 2]), "cw": torch.tensor([0.5, 1.0, 2.0], dtype=D),
    "soft": torch.softmax(rand(4, 3), 1), "vals": rand(3, 4), "src": rand(2, 4), "ints": torch.tensor([1, 0, 3]),
}
I = inputs
cases = {
    # element-wise
    "add": lambda x: x + I["row"], "sub": lambda x: x - I["row"], "mul": lambda x: x * I["y"], "div": lambda x: x / I["pos"],
    "maximum": lambda x: torch.maximum(x, I["y"]), "minimum": lambda x: torch.minimum(x, I["y"]), "atan2": lambda x: torch.atan2(x, I["y"]),
    "and": lambda x: I["mask"] & I["mask2"], "gt": lambda x: x > I["y"], "eq": lambda x: x.round() == I["y"].round(),
    "matmul": lambda m: m @ I["k"], "neg": lambda x: -x, "abs": lambda x: x.abs(), "exp": lambda x: x.exp(), "log": lambda pos: pos.log(),
    "sqrt": lambda pos: pos.sqrt(), "square": lambda x: x.square(), "atan": lambda x: x.atan(), "floor": lambda x: x.floor(), "round": lambda x: x.round(),
    "sigmoid": lambda x: x.sigmoid(), "tanh": lambda x: x.tanh(), "silu": lambda x: F.silu(x), "relu": lambda x: F.relu(x), "relu6": lambda x: F.relu6(x * 8),
    "mish": lambda x: F.mish(x), "softplus": lambda x: F.softplus(x), "hardswish": lambda x: F.hardswish(x * 3), "hardsigmoid": lambda x: F.hardsigmoid(x * 3),
    "gelu": lambda x: F.gelu(x), "isfinite": lambda x: torch.isfinite(x / (x > 0)), "detach": lambda x: x.detach() * x, "clone": lambda x: x.clone(),
    # scalars
    "add_scalar": lambda x: x + 2.5, "mul_scalar": lambda x: x * 2.5, "div_scalar": lambda x: x / 2.5, "pow_scalar": lambda pos: pos**1.5,
    "scalar_minus": lambda x: 2.5 - x, "scalar_div": lambda pos: 2.5 / pos, "gt_scalar": lambda x: x > 0.1, "ge_scalar": lambda x: x >= 0.1,
    "lt_scalar": lambda x: x < 0.1, "le_scalar": lambda x: x <= 0.1, "eq_scalar": lambda x: x.round() == 1, "ne_scalar": lambda x: x.round() != 1,
    "leaky_relu": lambda x: F.leaky_relu(x, 0.1), "remainder": lambda x: torch.remainder(x, 0.7), "clamp": lambda x: x.clamp(-0.5, 0.7),
    "clamp_min": lambda x: x.clamp(min=0.2), "clamp_max": lambda x: x.clamp(max=0.2), "where": lambda x: torch.where(I["mask"], x, I["y"]),
    "to_float": lambda x: x.float(), "to_int": lambda x: (x * 3).long(), "channels_last": lambda x: x.contiguous(memory_format=torch.channels_last) * 1,
    # reductions
    "sum": lambda x: x.sum(), "sum_dims": lambda x: x.sum((1, 3)), "sum_keep": lambda x: x.sum(1, keepdim=True), "mean_all": lambda x: x.mean(),
    "mean_dims": lambda x: x.mean((0, 2)), "mean_keep": lambda x: x.mean((2, 3), keepdim=True), "max": lambda x: x.max(), "max_dims": lambda x: x.amax((2, 3)),
    "max_keep": lambda x: x.amax(1, keepdim=True), "min": lambda x: x.amin(), "min_dims": lambda x: x.amin(-1), "norm": lambda x: torch.linalg.vector_norm(x),
    "norm_dims": lambda x: torch.linalg.vector_norm(x, dim=(1, 2)), "std": lambda x: x.std(), "std_dims": lambda x: x.std(0), "var": lambda x: x.var(),
    "var_dims": lambda x: x.var((0, 3)), "logsumexp": lambda x: x.logsumexp(1), "max_dim": lambda x: tuple(x.max(1)), "argmax": lambda x: x.argmax(-1),
    "topk": lambda x: tuple(x.topk(3, 1)), "sort": lambda x: tuple(x.sort(1, descending=True)), "softmax": lambda x: x.softmax(1), "log_softmax": lambda x: x.log_softmax(-1),
    "cumsum": lambda x: x.cumsum(2),
    # shapes
    "view": lambda x: x.view(2, -1), "reshape": lambda x: x.transpose(1, 2).reshape(6, 24), "flatten": lambda x: x.flatten(1, 2), "permute": lambda x: x.permute(0, 2, 3, 1),
    "transpose": lambda x: x.transpose(1, 3), "unsqueeze": lambda x: x.unsqueeze(1), "squeeze": lambda x: x[:, :1].squeeze(1), "expand": lambda x: x[:, :1].expand(-1, 3, -1, -1),
    "repeat": lambda m: m.repeat(2, 3), "narrow": lambda x: x.narrow(1, 2, 3), "select": lambda x: x.select(1, 4), "flip": lambda x: x.flip(2, 3),
    "roll": lambda x: x.roll((1, -2), (2, 3)), "split": lambda x: x.split([1, 2, 3], 1), "chunk": lambda x: x.chunk(3, 1), "cat": lambda x: torch.cat([x, I["y"]], 1),
    "stack": lambda x: torch.stack([x, I["y"]], 2), "index_select": lambda x: x.index_select(1, I["idx"]), "gather": lambda m: m.gather(0, I["gidx"]),
    "index": lambda m: m[I["idx"]], "index_mask": lambda x: x[I["mask"]], "index_put": lambda m: m.index_put((I["idx"],), I["vals"], accumulate=True),
    "scatter": lambda m: m.scatter(0, I["gidx"][:1], I["src"]), "scatter_add": lambda m: m.scatter_add(0, I["gidx"], I["src"]), "masked_select": lambda x: x.masked_select(I["mask"]),
    "nonzero": lambda x: I["mask"].nonzero(), "one_hot": lambda x: F.one_hot(I["ints"], 5), "pad": lambda x: F.pad(x, (1, 2, 0, -1), value=0.5),
    # networks
    "conv2d": lambda x: F.conv2d(x, I["w"], I["wb"], stride=2, padding=1, groups=2), "conv2d_dilated": lambda x: F.conv2d(x[:, :3], I["w"], padding=2, dilation=2),
    "conv_transpose2d": lambda x: F.conv_transpose2d(x, I["wt"], I["wtb"], stride=2, padding=1, output_padding=1, groups=2),
    "batch_norm_eval": lambda x: F.batch_norm(x, I["mean"], I["var"], I["gamma"], I["beta"], False, 0.1, 1e-3),
    "batch_norm_train": lambda x: F.batch_norm(x, I["mean"].clone(), I["var"].clone(), I["gamma"], I["beta"], True, 0.1, 1e-3),
    "layer_norm": lambda x: F.layer_norm(x, (4,), I["lng"], I["lnb"], 1e-6), "group_norm": lambda x: F.group_norm(x, 3, I["gamma"], I["beta"], 1e-5),
    "linear": lambda x: F.linear(x, I["lw"], I["lb"]), "linear_plain": lambda x: F.linear(x, I["lw"]), "embedding": lambda x: F.embedding(I["ints"], I["table"]),
    "attention": lambda q: F.scaled_dot_product_attention(q, I["kk"], I["v"], I["amask"]), "attention_plain": lambda q: F.scaled_dot_product_attention(q, I["kk"], I["v"]),
    "dropout_eval": lambda x: F.dropout(x, 0.5, False), "max_pool2d": lambda x: F.max_pool2d(x, 3, 2, 1), "avg_pool2d": lambda x: F.avg_pool2d(x, 3, 2, 1),
    "adaptive_avg_pool2d": lambda x: F.adaptive_avg_pool2d(x, (3, 2)), "nearest": lambda x: F.interpolate(x, (10, 8)), "nearest_odd": lambda x: F.interpolate(x, (7, 3)),
    "bilinear": lambda x: F.interpolate(x, (8, 9), mode="bilinear", align_corners=False), "bilinear_corners": lambda x: F.interpolate(x, (8, 9), mode="bilinear", align_corners=True),
    "bicubic": lambda x: F.interpolate(x, (8, 9), mode="bicubic", align_corners=False), "bilinear_aa": lambda x: F.interpolate(x, (3, 2), mode="bilinear", align_corners=False, antialias=True),
    "bicubic_aa": lambda x: F.interpolate(x, (3, 2), mode="bicubic", align_corners=False, antialias=True),
    "scale_factor": lambda x: F.interpolate(x, scale_factor=(1.7, 1.3), mode="bilinear", align_corners=False, recompute_scale_factor=False),
    "grid_sample": lambda x: F.grid_sample(x, I["grid"], align_corners=False), "grid_sample_corners": lambda x: F.grid_sample(x, I["grid"], align_corners=True),
    "bce": lambda x: F.binary_cross_entropy_with_logits(x, I["prob"], reduction="none"), "bce_weighted": lambda x: F.binary_cross_entropy_with_logits(x, I["prob"], weight=I["pos"], pos_weight=I["row"].abs()),
    "cross_entropy": lambda logits: F.cross_entropy(logits, I["classes"], I["cw"], label_smoothing=0.1), "cross_entropy_soft": lambda logits: F.cross_entropy(logits, I["soft"], reduction="sum"),
    "cross_entropy_none": lambda logits: F.cross_entropy(logits, I["classes"], reduction="none"),
    "smooth_l1": lambda x: F.smooth_l1_loss(x, I["y"], reduction="sum", beta=0.5), "l1": lambda x: F.l1_loss(x, I["y"]), "mse": lambda x: F.mse_loss(x, I["y"], reduction="none"),
}


def dump(t):
    data = t.detach().double().flatten().tolist()
    return {"shape": list(t.shape), "data": [float("%.10g" % v) for v in data]}


out = {"torch": torch.__version__, "inputs": {}, "cases": {}}
for n, t in inputs.items():
    if t.dtype == D:
        inputs[n] = t = t.float().double()  # short in the file, and exact
    out["inputs"][n] = {"shape": list(t.shape), "data": t.double().flatten().tolist(), "dtype": str(t.dtype).split(".")[1]}
for n, f in cases.items():
    arg = f.__code__.co_varnames[0]
    x = inputs[arg].clone().requires_grad_(inputs[arg].is_floating_point())
    y = f(x)
    ys = list(y) if isinstance(y, (tuple, list)) else [y]
    case = {"x": arg, "out": [dump(t) for t in ys]}
    loss = sum((t * torch.arange(t.numel(), dtype=D).cos().reshape(t.shape)).sum() for t in ys if t.requires_grad)
    if torch.is_tensor(loss):
        loss.backward()
        case["grad"] = dump(x.grad)
    out["cases"][n] = case
json.dump(out, open("ops.json", "w"))

# the generator: first values after a seed, and PyTorch's own initialisations
def seeded(f):
    torch.manual_seed(7)
    return f().flatten().tolist()

def layers(*modules):
    torch.manual_seed(7)
    return {k: v.flatten().tolist() for k, v in torch.nn.ModuleDict({n: m() for n, m in modules}).state_dict().items()}

def trunc_normal(t, std, a, b):
    """torch.nn.init.trunc_normal_ as of PyTorch 2.7: later ones draw by rejection."""
    cdf = lambda x: (1 + math.erf(x / math.sqrt(2))) / 2
    t.uniform_(2 * cdf(a / std) - 1, 2 * cdf(b / std) - 1)
    return t.erfinv_().mul_(std * math.sqrt(2)).clamp_(a, b)

rnd = {
    "torch": torch.__version__,
    "uniform": seeded(lambda: torch.empty(37).uniform_(-1, 2)),
    "normal": seeded(lambda: torch.empty(37).normal_(1, 2)),
    "normal_short": seeded(lambda: torch.empty(5).normal_(0, 1)),
    "trunc_normal": seeded(lambda: trunc_normal(torch.empty(37), 0.02, -2, 2)),
    "dropout": seeded(lambda: F.dropout(torch.ones(40), 0.3, True)),
    "layers": layers(("conv", lambda: torch.nn.Conv2d(4, 6, 3, groups=2)), ("deconv", lambda: torch.nn.ConvTranspose2d(4, 2, 2, stride=2)), ("fc", lambda: torch.nn.Linear(5, 3)),
                     ("bn", lambda: torch.nn.BatchNorm2d(3)), ("ln", lambda: torch.nn.LayerNorm(4)), ("emb", lambda: torch.nn.Embedding(3, 4)),
                     ("attn", lambda: torch.nn.MultiheadAttention(8, 2, batch_first=True)), ("last", lambda: torch.nn.Linear(2, 2))),
}
json.dump(rnd, open("random.json", "w"))
