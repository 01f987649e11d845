package dense

import (
	"fmt"
	"math"

	"github.com/wildtrain/sdk/detection/pyramid"
	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/nn"
	"github.com/wildtrain/sdk/torch/vision"
)

// towers are the convolutions that one-stage heads run over every level: keys
// classification_head.{conv,cls_logits}, regression_head.{conv,bbox_reg,bbox_ctrness}.
type towers struct {
	cfg              *Config
	shared           *pyramid.Config // the detector's, whose thresholds may change
	classify, locate nn.Sequential
	class, box       *nn.Conv2d
	center           *nn.Conv2d // nil but for FCOS
}

// New builds a detector of one stage.
func New(cfg Config) (*pyramid.Detector, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return pyramid.New(cfg.Config, false, func(b *nn.Builder, shared *pyramid.Config) (pyramid.Head, error) {
		t := newTowers(b.Sub("head"), &cfg, shared)
		if cfg.Center {
			return &fcos{t}, nil
		}
		return &retina{t}, nil
	})
}

// depth is the number of convolutions in a tower, prior the probability that a
// cell shows an object, as training begins.
const (
	depth = 4
	prior = 0.01
)

func newTowers(b *nn.Builder, cfg *Config, shared *pyramid.Config) *towers {
	t := &towers{cfg: cfg, shared: shared}
	out := func(channels int64, bias float64) nn.Conv2dConfig {
		return nn.Conv2dConfig{In: pyramid.Channels, Out: channels, Kernel: 3, Padding: 1, WeightInit: nn.NormalInit(0, 0.01), BiasInit: nn.Fill(bias)}
	}
	n := cfg.Anchors.PerCell()
	class, box := b.Sub("classification_head"), b.Sub("regression_head")
	t.classify = newTower(class.Sub("conv"), cfg, out(pyramid.Channels, 0))
	t.class = nn.NewConv2d(class.Sub("cls_logits"), out(n*int64(len(cfg.Classes)), -math.Log((1-prior)/prior)))
	t.locate = newTower(box.Sub("conv"), cfg, out(pyramid.Channels, 0))
	t.box = nn.NewConv2d(box.Sub("bbox_reg"), out(4*n, 0))
	if cfg.Center {
		t.center = nn.NewConv2d(box.Sub("bbox_ctrness"), out(n, 0))
	}
	return t
}

// newTower builds the convolutions before an output. FCOS numbers all layers,
// RetinaNet blocks of them.
func newTower(b *nn.Builder, cfg *Config, conv nn.Conv2dConfig) nn.Sequential {
	const groups = 32
	group := func(b *nn.Builder, channels int64) nn.Module { return nn.NewGroupNorm(b, groups, channels) }
	var out nn.Sequential
	for i := range depth {
		switch {
		case cfg.Center:
			out = append(out, nn.NewConv2d(b.At(3*i), conv), group(b.At(3*i+1), conv.Out), nn.ReLU)
		case cfg.Groups:
			out = append(out, pyramid.Block(b.At(i), conv, group, nn.ReLU))
		default:
			out = append(out, pyramid.Block(b.At(i), conv, nil, nn.ReLU))
		}
	}
	return out
}

// said is what the towers say of a batch, level by level.
type said struct {
	raw     map[string]*torch.Tensor
	classes []*torch.Tensor // (N, H·W·A, classes) logits
	boxes   []*torch.Tensor // (N, H·W·A, 4)
	centers []*torch.Tensor // (N, H·W·A) logits; empty but for FCOS
	anchors []*torch.Tensor // (H·W·A, 4)
}

func (t *towers) forward(maps []*torch.Tensor, im *pyramid.Images) (*said, error) {
	out := &said{raw: map[string]*torch.Tensor{}}
	for i, m := range maps {
		located := t.locate.Forward(m)
		class, box := t.class.Forward(t.classify.Forward(m)).To(torch.Float), t.box.Forward(located).To(torch.Float)
		out.raw[fmt.Sprintf("cls%d", i)], out.raw[fmt.Sprintf("box%d", i)] = class, box
		if t.center != nil {
			center := t.center.Forward(located).To(torch.Float)
			out.raw[fmt.Sprintf("centerness%d", i)] = center
			out.centers = append(out.centers, pyramid.Rows(center, 1).Squeeze(2))
			box = box.ReLU()
		}
		out.classes = append(out.classes, pyramid.Rows(class, int64(len(t.cfg.Classes))))
		out.boxes = append(out.boxes, pyramid.Rows(box, 4))
	}
	var err error
	out.anchors, err = t.cfg.Anchors.Grid(im.Pixels.Size(2), im.Pixels.Size(3), maps)
	return out, err
}

// FirstLabel implements pyramid.Head: there is no class for the background.
func (t *towers) FirstLabel() int64 { return 0 }

// detect picks the detections of picture i, of scores (anchors, classes) per level.
func (t *towers) detect(s *said, i int, size pyramid.Size, score func(level int) *torch.Tensor, decode func(codes, anchors *torch.Tensor) *torch.Tensor) pyramid.Found {
	var boxes, scores, labels []*torch.Tensor
	for l, anchors := range s.anchors {
		all := score(l)
		at := all.GreaterScalar(t.shared.Score).NonZero()
		likely := all.Index(at.Select(1, 0), at.Select(1, 1))
		likely, order := likely.TopK(min(int64(t.cfg.Candidates), likely.Len()), 0)
		at = at.IndexSelect(0, order)
		rows := at.Select(1, 0)
		box := decode(s.boxes[l].Select(0, int64(i)).IndexSelect(0, rows), anchors.IndexSelect(0, rows))
		boxes = append(boxes, vision.Clip(box, float64(size.Height), float64(size.Width)))
		scores, labels = append(scores, likely), append(labels, at.Select(1, 1))
	}
	box, likely, label := torch.Cat(boxes, 0), torch.Cat(scores, 0), torch.Cat(labels, 0)
	keep := vision.BatchedNMS(box, likely, label, t.shared.NMS, t.shared.Detections)
	return pyramid.Found{
		Boxes: box.IndexSelect(0, keep).Float32s(nil), Scores: likely.IndexSelect(0, keep).Float32s(nil), Labels: label.IndexSelect(0, keep).Int64s(nil),
	}
}

// focal is the focal loss (Lin et al. 2017, arXiv 1708.02002, equation 5; α 0.25,
// γ 2) summed over logits x (A, classes) which are right at the given places, all
// others being wrong: the places' shares are exchanged in the sum over all. Rows
// to ignore count nothing.
func focal(x *torch.Tensor, rows, labels, ignore []int64) *torch.Tensor {
	return x.Sub(func() *torch.Tensor {
		const alpha = 0.25
		wrong := func(x *torch.Tensor) *torch.Tensor {
			return x.Sigmoid().Square().Mul(x.Softplus()).Sum().MulScalar(1 - alpha)
		}
		s := x.Scope()
		total := wrong(x)
		if len(ignore) > 0 {
			total = total.Minus(wrong(x.IndexSelect(0, pyramid.Indices(s, ignore))))
		}
		if len(rows) > 0 {
			hit := x.Index(pyramid.Indices(s, rows), pyramid.Indices(s, labels))
			right := hit.Neg().Sigmoid().Square().Mul(hit.Neg().Softplus()).Sum().MulScalar(alpha)
			total = total.Minus(wrong(hit)).Add(right)
		}
		return total
	})
}
