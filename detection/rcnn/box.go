package rcnn

import (
	"slices"

	"github.com/wildtrain/sdk/detection/pyramid"
	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/nn"
	"github.com/wildtrain/sdk/torch/vision"
)

// hidden is the width of the box heads.
const hidden = 1024

// boxHead is one stage: regions to class scores and boxes.
type boxHead struct {
	cfg         *Stage
	body        nn.Module // (K, C, s, s) to (K, hidden)
	score, move *nn.Linear
}

// newBoxHead builds a stage's layers at two places: box_head and box_predictor.
func newBoxHead(body, predictor *nn.Builder, c *Config, cfg *Stage) *boxHead {
	classes := int64(len(c.Classes)) + 1
	boxes := classes
	if cfg.Agnostic {
		boxes = 1
	}
	h := &boxHead{cfg: cfg}
	in := pyramid.Channels * c.Pool.Size * c.Pool.Size
	flatten := nn.Func(func(x *torch.Tensor) *torch.Tensor { return x.Flatten(1, -1) })
	if c.Deep {
		convs := newConvs(body, 4, pyramid.BatchNorm)
		h.body = append(convs, flatten, nn.NewLinear(body.At(len(convs)+1), in, hidden, true), nn.ReLU)
	} else {
		h.body = nn.Sequential{flatten, nn.NewLinear(body.Sub("fc6"), in, hidden, true), nn.ReLU, nn.NewLinear(body.Sub("fc7"), hidden, hidden, true), nn.ReLU}
	}
	h.score = nn.NewLinear(predictor.Sub("cls_score"), hidden, classes, true)
	h.move = nn.NewLinear(predictor.Sub("bbox_pred"), hidden, 4*boxes, true)
	return h
}

// newConvs builds 3×3 convolutions with rectifiers under the keys 0.0, 1.0, ….
func newConvs(b *nn.Builder, n int, norm func(*nn.Builder, int64) nn.Module) nn.Sequential {
	var out nn.Sequential
	for i := range n {
		out = append(out, pyramid.Block(b.At(i), nn.Conv2dConfig{
			In: pyramid.Channels, Out: pyramid.Channels, Kernel: 3, WeightInit: nn.KaimingNormalFanOut(9 * pyramid.Channels), BiasInit: nn.Fill(0),
		}, norm, nn.ReLU))
	}
	return out
}

// forward returns class scores (K, classes+1; 0 is the background) and box codes
// (K, 4·boxes) of pooled regions.
func (h *boxHead) forward(pooled *torch.Tensor) (scores, codes *torch.Tensor) {
	x := h.body.Forward(pooled)
	return h.score.Forward(x).To(torch.Float), h.move.Forward(x).To(torch.Float)
}

// regions are those of all pictures of a batch, one behind the other.
type regions struct {
	boxes    *torch.Tensor // (K, 4)
	pictures []int64       // of each
}

// join puts the regions of pictures (K, 4) behind each other.
func join(parts []*torch.Tensor) regions {
	r := regions{boxes: torch.Cat(parts, 0)}
	for i, p := range parts {
		for range p.Size(0) {
			r.pictures = append(r.pictures, int64(i))
		}
	}
	return r
}

// counts is the number of regions of each picture.
func (r regions) counts(pictures int) []int64 {
	counts := make([]int64, pictures)
	for _, p := range r.pictures {
		counts[p]++
	}
	return counts
}

// of are the regions of each picture.
func (r regions) of(pictures int) []*torch.Tensor { return r.boxes.Split(0, r.counts(pictures)...) }

// lesson are regions with what a head is to say of them.
type lesson struct {
	regions
	labels  []int64       // of each: class+1, 0 for background
	objects []int64       // index of the object within its picture, for those with one
	at      []int64       // indices of the regions that have an object
	boxes   *torch.Tensor // (len(at), 4) the objects' boxes
}

// sample picks regions to learn from: proposals (K, 4) of each picture, and the
// objects themselves.
func (h *boxHead) sample(proposals []*torch.Tensor, targets []pyramid.Target, choose func(n, k int) []int) (*lesson, error) {
	out := &lesson{}
	var kept, boxes []*torch.Tensor
	s := proposals[0].Scope()
	for i, t := range targets {
		all := torch.Cat([]*torch.Tensor{proposals[i], t.Boxes}, 0)
		matches, err := h.cfg.Matcher.Match(t.Boxes, all)
		if err != nil {
			return nil, err
		}
		objects, background := h.cfg.Sampler.Sample(matches, choose)
		kept = append(kept, all.IndexSelect(0, pyramid.Indices(s, slices.Concat(objects, background))))
		boxes = append(boxes, t.Boxes.IndexSelect(0, taken(s, matches, objects)))
		for _, k := range objects {
			out.at = append(out.at, int64(len(out.labels)))
			out.labels = append(out.labels, t.Labels[matches[k]]+1)
			out.objects = append(out.objects, matches[k])
		}
		out.labels = append(out.labels, make([]int64, len(background))...)
	}
	out.regions, out.boxes = join(kept), torch.Cat(boxes, 0)
	return out, s.Err()
}

// loss is that of classes and of boxes.
func (h *boxHead) loss(scores, codes *torch.Tensor, l *lesson) (classes, boxes *torch.Tensor) {
	s := scores.Scope()
	n := int64(len(l.labels))
	classes = scores.CrossEntropy(pyramid.Indices(s, l.labels), nil, torch.Mean, 0)
	at := pyramid.Indices(s, l.at)
	said := codes.View(n, codes.Size(1)/4, 4).IndexSelect(0, at)
	if h.cfg.Agnostic {
		said = said.Select(1, 0)
	} else {
		labels := make([]int64, len(l.at))
		for i, k := range l.at {
			labels[i] = l.labels[k]
		}
		said = ofClass(said, labels)
	}
	wanted := h.cfg.Coder.Encode(l.boxes, l.regions.boxes.IndexSelect(0, at))
	return classes.MulScalar(h.cfg.Weight), regression(said, wanted, h.cfg.Beta).MulScalar(h.cfg.Weight / float64(n))
}

// refine moves regions to where the head sees their objects, within the pictures.
func (h *boxHead) refine(r regions, codes *torch.Tensor, im *pyramid.Images) regions {
	moved := h.cfg.Coder.Decode(codes.Detach(), r.boxes).Select(1, 0)
	parts := regions{boxes: moved, pictures: r.pictures}.of(len(im.Sizes))
	for i, p := range parts {
		parts[i] = vision.Clip(p, float64(im.Sizes[i].Height), float64(im.Sizes[i].Width))
	}
	return regions{boxes: torch.Cat(parts, 0), pictures: r.pictures}
}

// tiny is the side in px below which detections are left away.
const tiny = 1e-2

// detect picks the detections of one picture from its regions' scores (K,
// classes+1), probabilities, and codes.
func (h *boxHead) detect(boxes, scores, codes *torch.Tensor, size pyramid.Size, c *pyramid.Config) (*torch.Tensor, pyramid.Found) {
	decoded := vision.Clip(h.cfg.Coder.Decode(codes, boxes), float64(size.Height), float64(size.Width))
	scores = scores.Narrow(1, 1, scores.Size(1)-1)
	if decoded.Size(1) > 1 {
		decoded = decoded.Narrow(1, 1, decoded.Size(1)-1)
	} else {
		decoded = decoded.Expand(-1, scores.Size(1), -1)
	}
	at := scores.GreaterScalar(c.Score).NonZero()
	label := at.Select(1, 1)
	box, score := decoded.Index(at.Select(1, 0), label), scores.Index(at.Select(1, 0), label)
	keep := large(box, tiny).NonZero().Squeeze(1)
	box, score, label = box.IndexSelect(0, keep), score.IndexSelect(0, keep), label.IndexSelect(0, keep)
	kept := vision.BatchedNMS(box, score, label, c.NMS, c.Detections)
	box, score, label = box.IndexSelect(0, kept), score.IndexSelect(0, kept), label.IndexSelect(0, kept)
	return box, pyramid.Found{Boxes: box.Float32s(nil), Scores: score.Float32s(nil), Labels: label.Int64s(nil)}
}
