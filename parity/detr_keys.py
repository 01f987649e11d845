"""Names and shapes of the state dicts of the authors' own models, with 80 classes, to testdata/detr/keys/.

    python detr_keys.py detr CHECKOUT         # facebookresearch/detr at 29901c5
    python detr_keys.py deformable CHECKOUT   # fundamentalvision/Deformable-DETR at 11169a6
    python detr_keys.py rtdetr CHECKOUT       # lyuwenyu/RT-DETR at 068dfde, its folder rtdetr_pytorch

Only modules of networks are imported, one architecture per process.
"""

import sys
import types
from pathlib import Path

OUT = Path(__file__).resolve().parent / "testdata" / "detr" / "keys"


def backbone(**more):
    import models.backbone
    from models.position_encoding import PositionEmbeddingSine
    models.backbone.is_main_process = lambda: False  # no download of weights
    body = models.backbone.Backbone("resnet50", train_backbone=True, dilation=False, **more)
    joined = models.backbone.Joiner(body, PositionEmbeddingSine(128, normalize=True))
    joined.num_channels = body.num_channels
    return joined


def detr():
    from models.detr import DETR
    from models.transformer import Transformer
    net = DETR(backbone(return_interm_layers=False), Transformer(d_model=256, return_intermediate_dec=True), num_classes=80, num_queries=100, aux_loss=True)
    yield "detr_resnet50", [net], [""]


def deformable():
    sys.modules["MultiScaleDeformableAttention"] = types.ModuleType("MultiScaleDeformableAttention")
    from models.deformable_detr import DeformableDETR
    from models.deformable_transformer import DeformableTransformer
    for suffix, refine, two in (("", False, False), ("_refine", True, False), ("_two_stage", True, True)):
        transformer = DeformableTransformer(dim_feedforward=1024, return_intermediate_dec=True, two_stage=two)
        net = DeformableDETR(backbone(return_interm_layers=True), transformer, num_classes=80, num_queries=300, num_feature_levels=4,
                             with_box_refine=refine, two_stage=two)
        yield "deformable_detr_resnet50" + suffix, [net], [""]


def rtdetr(checkout):
    package = types.ModuleType("src")
    package.__path__ = [str(checkout / "src")]
    sys.modules["src"] = package
    from src.nn.backbone.presnet import PResNet
    from src.zoo.rtdetr.hybrid_encoder import HybridEncoder
    from src.zoo.rtdetr.rtdetr_decoder import RTDETRTransformer
    for depth, channels, layers, expansion in ((18, [128, 256, 512], 3, 0.5), (50, [512, 1024, 2048], 6, 1.0)):
        yield f"rtdetr_r{depth}vd", [
            PResNet(depth, return_idx=[1, 2, 3], freeze_norm=depth == 50, freeze_at=-1 if depth == 18 else 0),
            HybridEncoder(in_channels=channels, expansion=expansion),
            RTDETRTransformer(num_classes=80, feat_channels=[256] * 3, num_decoder_layers=layers),
        ], ["backbone.", "encoder.", "decoder."]


def main():
    which, checkout = sys.argv[1], Path(sys.argv[2])
    sys.path.insert(0, str(checkout))
    import torchvision
    torchvision.__version__ = "0.9.1"  # the repositories read it as a number
    for name, nets, prefixes in rtdetr(checkout) if which == "rtdetr" else {"detr": detr, "deformable": deformable}[which]():
        lines = [f"{p}{k} {'x'.join(map(str, v.shape)) or 'scalar'}" for n, p in zip(nets, prefixes) for k, v in n.state_dict().items()]
        parameters = sum(p.numel() for n in nets for p in {p for p in n.parameters()})
        (OUT / f"{name}.txt").write_text(f"# {parameters} parameters\n" + "\n".join(sorted(lines)) + "\n")


if __name__ == "__main__":
    main()
