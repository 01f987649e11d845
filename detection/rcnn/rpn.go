package rcnn

import (
	"slices"

	"github.com/wildtrain/sdk/detection/pyramid"
	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/nn"
	"github.com/wildtrain/sdk/torch/vision"
)

// rpnCoder is how the RPN writes boxes.
var rpnCoder = vision.Coder{X: 1, Y: 1, W: 1, H: 1}

// smallest is the side in px below which proposals are left away.
const smallest = 1e-3

// rpn proposes regions (Ren et al. 2015, arXiv 1506.01497): keys head.conv.{i}.0,
// head.cls_logits, head.bbox_pred.
type rpn struct {
	cfg         *RPN
	conv        nn.Sequential
	score, move *nn.Conv2d
}

func newRPN(b *nn.Builder, cfg *RPN) *rpn {
	b = b.Sub("head")
	init := func(in, out, kernel int64) nn.Conv2dConfig {
		return nn.Conv2dConfig{In: in, Out: out, Kernel: kernel, WeightInit: nn.NormalInit(0, 0.01), BiasInit: nn.Fill(0)}
	}
	p := &rpn{cfg: cfg}
	for i := range cfg.Convs {
		p.conv = append(p.conv, pyramid.Block(b.Sub("conv").At(i), init(pyramid.Channels, pyramid.Channels, 3), nil, nn.ReLU))
	}
	n := cfg.Anchors.PerCell()
	p.score = nn.NewConv2d(b.Sub("cls_logits"), init(pyramid.Channels, n, 1))
	p.move = nn.NewConv2d(b.Sub("bbox_pred"), init(pyramid.Channels, 4*n, 1))
	return p
}

// proposing is what the RPN says of a batch, level by level.
type proposing struct {
	objectness, deltas []*torch.Tensor // (N, A, H, W) and (N, 4A, H, W), as they come
	scores, codes      []*torch.Tensor // (N, H·W·A) and (N, H·W·A, 4), float32
	anchors            []*torch.Tensor // (H·W·A, 4)
}

func (p *rpn) forward(maps []*torch.Tensor, im *pyramid.Images) (*proposing, error) {
	out := &proposing{}
	for _, m := range maps {
		t := p.conv.Forward(m)
		score, move := p.score.Forward(t).To(torch.Float), p.move.Forward(t).To(torch.Float)
		out.objectness, out.deltas = append(out.objectness, score), append(out.deltas, move)
		out.scores = append(out.scores, pyramid.Rows(score, 1).Squeeze(2))
		out.codes = append(out.codes, pyramid.Rows(move, 4))
	}
	var err error
	out.anchors, err = p.cfg.Anchors.Grid(im.Pixels.Size(2), im.Pixels.Size(3), maps)
	return out, err
}

// proposals are the regions of each picture, (K, 4) by falling score.
func (p *rpn) proposals(from *proposing, im *pyramid.Images, count Proposals) []*torch.Tensor {
	out := make([]*torch.Tensor, len(im.Sizes))
	for i, size := range im.Sizes {
		out[i] = im.Pixels.Sub(func() *torch.Tensor {
			var scores, boxes, levels []*torch.Tensor
			for l, all := range from.scores {
				top, at := all.Select(0, int64(i)).Detach().TopK(min(int64(count.Before), all.Size(1)), 0)
				codes := from.codes[l].Select(0, int64(i)).Detach().IndexSelect(0, at)
				scores = append(scores, top.Sigmoid())
				boxes = append(boxes, rpnCoder.Decode(codes, from.anchors[l].IndexSelect(0, at)).Squeeze(1))
				levels = append(levels, pyramid.Indices(at.Scope(), slices.Repeat([]int64{int64(l)}, int(at.Len()))))
			}
			box, score, level := torch.Cat(boxes, 0), torch.Cat(scores, 0), torch.Cat(levels, 0)
			box = vision.Clip(box, float64(size.Height), float64(size.Width))
			keep := large(box, smallest).And(score.GreaterEqualScalar(p.cfg.Score)).NonZero().Squeeze(1)
			box, score, level = box.IndexSelect(0, keep), score.IndexSelect(0, keep), level.IndexSelect(0, keep)
			return box.IndexSelect(0, vision.BatchedNMS(box, score, level, count.NMS, count.After))
		})
	}
	return out
}

// large is true for boxes (N, 4) whose sides are both at least so long.
func large(boxes *torch.Tensor, side float64) *torch.Tensor {
	w := boxes.Select(1, 2).Minus(boxes.Select(1, 0))
	h := boxes.Select(1, 3).Minus(boxes.Select(1, 1))
	return w.GreaterEqualScalar(side).And(h.GreaterEqualScalar(side))
}

// loss is that of objectness and of boxes, over sampled anchors.
func (p *rpn) loss(from *proposing, targets []pyramid.Target, choose func(n, k int) []int) (objectness, boxes *torch.Tensor, err error) {
	anchors := torch.Cat(from.anchors, 0)
	scores, codes := torch.Cat(from.scores, 1), torch.Cat(from.codes, 1)
	s := scores.Scope()
	var said, moved, wanted []*torch.Tensor
	var labels []float32
	for i, t := range targets {
		matches, err := p.cfg.Matcher.Match(t.Boxes, anchors)
		if err != nil {
			return nil, nil, err
		}
		objects, background := p.cfg.Sampler.Sample(matches, choose)
		sampled := pyramid.Indices(s, slices.Concat(objects, background))
		said = append(said, scores.Select(0, int64(i)).IndexSelect(0, sampled))
		for k := range len(objects) + len(background) {
			labels = append(labels, map[bool]float32{true: 1}[k < len(objects)])
		}
		at := pyramid.Indices(s, objects)
		moved = append(moved, codes.Select(0, int64(i)).IndexSelect(0, at))
		wanted = append(wanted, rpnCoder.Encode(t.Boxes.IndexSelect(0, taken(s, matches, objects)), anchors.IndexSelect(0, at)))
	}
	n := int64(len(labels))
	if n == 0 { // anchors that are all neither object nor background
		return scores.Sum().MulScalar(0), codes.Sum().MulScalar(0), s.Err()
	}
	objectness = torch.Cat(said, 0).BCEWithLogits(torch.Of(s, labels, n), nil, nil, torch.Mean)
	return objectness, regression(torch.Cat(moved, 0), torch.Cat(wanted, 0), p.cfg.Beta).DivScalar(float64(n)), s.Err()
}

// taken are the matches at the given places.
func taken(s *torch.Scope, matches, at []int64) *torch.Tensor {
	out := make([]int64, len(at))
	for i, k := range at {
		out[i] = matches[k]
	}
	return pyramid.Indices(s, out)
}

// regression is the summed smooth L1 loss, L1 for beta 0.
func regression(x, target *torch.Tensor, beta float64) *torch.Tensor {
	if beta == 0 {
		return x.L1(target, torch.Sum)
	}
	return x.SmoothL1(target, torch.Sum, beta)
}
