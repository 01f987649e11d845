package detr

import (
	"errors"
	"fmt"
	"math"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/vision"
	"github.com/wildtrain/sdk/wildtrain"
)

// Kind is how classes are learnt.
type Kind string

// The kinds of class losses.
const (
	CrossEntropy Kind = "cross_entropy" // over the classes and "no object", which weighs less
	Focal        Kind = "focal"         // per class (Lin et al. 2017, arXiv 1708.02002)
	Varifocal    Kind = "varifocal"     // per class, towards the overlap of the box (Zhang et al. 2021, arXiv 2008.13367)
)

// Loss weights the parts of the loss and of the cost of a match.
type Loss struct {
	Kind         Kind
	Class, L1    float64
	GIoU         float64
	NoObject     float64 // weight of "no object" in the cross entropy
	Alpha, Gamma float64 // of the focal and varifocal losses
	Auxiliary    bool    // every layer of the decoder learns, not only the last
	Dense        bool    // the proposals of two stages learn too
	Match        MatchCost
}

// MatchCost weights the cost by which queries are matched with objects.
type MatchCost struct {
	Class, L1, GIoU float64
	Alpha, Gamma    float64 // of the focal class cost
}

// defaultLoss is that of the family's authors.
func defaultLoss(f Family) Loss {
	l := Loss{Kind: Focal, Class: 1, L1: 5, GIoU: 2, Alpha: 0.25, Gamma: 2, Auxiliary: true, Dense: true, Match: MatchCost{Class: 2, L1: 5, GIoU: 2, Alpha: 0.25, Gamma: 2}}
	switch f {
	case DETR:
		l.Kind, l.NoObject, l.Match.Class = CrossEntropy, 0.1, 1
	case Deformable:
		l.Class = 2
	case RTDETR:
		l.Kind, l.Alpha = Varifocal, 0.75
	}
	return l
}

func (l Loss) validate() error {
	var errs []error
	if l.Kind != CrossEntropy && l.Kind != Focal && l.Kind != Varifocal {
		errs = append(errs, fmt.Errorf("detr: no class loss %q: want %s, %s or %s", l.Kind, CrossEntropy, Focal, Varifocal))
	}
	for _, g := range []float64{l.Class, l.L1, l.GIoU, l.NoObject, l.Gamma, l.Match.Class, l.Match.L1, l.Match.GIoU, l.Match.Gamma} {
		if !(g >= 0) || math.IsInf(g, 0) {
			errs = append(errs, fmt.Errorf("detr: loss: %g among the gains, which must not be negative", g))
		}
	}
	if l.Match.Class+l.Match.L1+l.Match.GIoU == 0 {
		errs = append(errs, errors.New("detr: loss: all costs of a match are zero"))
	}
	return errors.Join(errs...)
}

// target is what a query is to answer.
type target struct {
	class int
	box   [4]float64 // centre, width and height, 0..1 across the valid part of the picture
}

// targets are what a batch teaches: crowds and empty boxes teach nothing, and
// boxes end where the picture does.
func targets(samples []wildtrain.Sample, p padded, classes int) ([][]target, error) {
	out := make([][]target, len(samples))
	for i := range samples {
		h, w := p.height, p.width
		if p.valid != nil {
			h, w = p.valid[i][0], p.valid[i][1]
		}
		for _, o := range samples[i].Objects {
			if o.Class < 0 || o.Class >= classes {
				return nil, fmt.Errorf("detr: loss: sample %s has class %d, the model knows %d", samples[i].ID, o.Class, classes)
			}
			box := o.Box.Clip(int(w), int(h))
			if o.Crowd || !o.Box.Finite() || o.Box.Width() <= 0 || o.Box.Height() <= 0 || box.Area() == 0 {
				continue
			}
			x, y := box.Center()
			out[i] = append(out[i], target{class: o.Class, box: [4]float64{x / float64(w), y / float64(h), box.Width() / float64(w), box.Height() / float64(h)}})
		}
	}
	return out, nil
}

// lossNames are the parts in the order of their packed tensor; "loss" is their sum.
var lossNames = []string{"loss", "cls_loss", "box_loss", "giou_loss"}

// group is answers that are compared with the same targets in one go.
type group struct {
	logits, boxes *torch.Tensor // (rows, classes), (rows, 4)
	row, class    []int64       // of each match
	wanted        []float32     // box of each match, 4 numbers
}

// newGroup joins layers of answers of one size; pairs are those of each layer
// and picture.
func newGroup(layers []answers, ts [][]target, pairs [][][]pair) group {
	var logits, boxes []*torch.Tensor
	var g group
	at := int64(0)
	for l, a := range layers {
		logits, boxes = append(logits, a.logits.Flatten(0, 1)), append(boxes, a.boxes.Flatten(0, 1))
		for i := range ts {
			for _, p := range pairs[l][i] {
				t := ts[i][p.object]
				g.row, g.class = append(g.row, at+int64(p.query)), append(g.class, int64(t.class))
				for _, c := range t.box {
					g.wanted = append(g.wanted, float32(c))
				}
			}
			at += a.logits.Size(1)
		}
	}
	g.logits, g.boxes = torch.Cat(logits, 0), torch.Cat(boxes, 0)
	return g
}

// loss computes the packed parts (4) of all that a network answered: sum, class,
// L1 and GIoU, each times its gain, summed over the layers.
func (l Loss) loss(out outputs, ts [][]target, n *noise) (*torch.Tensor, error) {
	layers := out.layers
	if !l.Auxiliary {
		layers = layers[len(layers)-1:]
	} else if out.early != nil {
		layers = append(layers[:len(layers):len(layers)], *out.early)
	}
	pairs, err := l.Match.match(l.Kind, layers, ts)
	if err != nil {
		return nil, err
	}
	objects := 0
	for _, t := range ts {
		objects += len(t)
	}
	norm := float64(max(objects, 1))
	sum := l.parts(newGroup(layers, ts, pairs), len(layers), norm)
	if out.noised != nil && l.Auxiliary {
		same := make([][][]pair, len(out.noised))
		for i := range same {
			same[i] = n.pairs
		}
		sum = sum.Add(l.parts(newGroup(out.noised, ts, same), len(same), norm*float64(n.groups)))
	}
	if out.dense != nil && l.Dense {
		one := asOneClass(ts)
		pairs, err := l.Match.match(l.Kind, []answers{*out.dense}, one)
		if err != nil {
			return nil, err
		}
		sum = sum.Add(l.parts(newGroup([]answers{*out.dense}, one, pairs), 1, norm))
	}
	return torch.Cat([]*torch.Tensor{sum.SumKeep(0), sum}, 0), sum.Scope().Err()
}

// asOneClass is targets of which only the place counts.
func asOneClass(ts [][]target) [][]target {
	out := make([][]target, len(ts))
	for i := range ts {
		for _, t := range ts[i] {
			t.class = 0
			out[i] = append(out[i], t)
		}
	}
	return out
}

// wide is the side of a picture in overlaps, which do not depend on it: so wide,
// the constant in the quotients of package vision vanishes beside the smallest areas.
const wide = 1e3

// parts is class, L1 and GIoU loss of a group of layers, (3).
func (l Loss) parts(g group, layers int, norm float64) *torch.Tensor {
	s, m := g.logits.Scope(), int64(len(g.row))
	if m == 0 {
		zero := g.boxes.Mean().MulScalar(0) // the box branch keeps its gradient, which is zero
		return torch.Stack([]*torch.Tensor{l.class(g, nil, layers, norm).MulScalar(l.Class), zero, zero}, 0)
	}
	boxes, wanted := g.boxes.IndexSelect(0, torch.Of(s, g.row, m)), torch.Of(s, g.wanted, m, 4)
	corners := func(b *torch.Tensor) *torch.Tensor {
		return vision.Convert(b.MulScalar(wide), vision.CXCYWH, vision.XYXY)
	}
	found, truth := corners(boxes), corners(wanted)
	overlap := vision.IoU(found.Detach(), truth)
	return torch.Stack([]*torch.Tensor{
		l.class(g, overlap, layers, norm).MulScalar(l.Class),
		boxes.L1(wanted, torch.Sum).MulScalar(l.L1 / norm),
		vision.GIoU(found, truth).ScalarMinus(1).Sum().MulScalar(l.GIoU / norm),
	}, 0)
}

// class is the class loss of a group; overlap is that of each match, nil without any.
func (l Loss) class(g group, overlap *torch.Tensor, layers int, norm float64) *torch.Tensor {
	s, m := g.logits.Scope(), int64(len(g.row))
	if l.Kind == CrossEntropy {
		return l.crossEntropy(g, layers)
	}
	hot := s.Zeros(torch.Float, g.logits.Shape()...)
	score := hot
	if m > 0 {
		row, class := torch.Of(s, g.row, m), torch.Of(s, g.class, m)
		score = hot.IndexPut(overlap, false, row, class)
		hot = hot.IndexPut(s.Ones(torch.Float, m), false, row, class)
	}
	rest := hot.ScalarMinus(1)
	if l.Kind == Varifocal {
		weight := g.logits.Detach().Sigmoid().PowScalar(l.Gamma).Mul(rest).MulScalar(l.Alpha).Add(score)
		return g.logits.BCEWithLogits(score, weight, nil, torch.Sum).DivScalar(norm)
	}
	p := g.logits.Sigmoid()
	miss := p.Mul(rest).Add(p.ScalarMinus(1).Mul(hot)) // 1 less the probability of the truth
	weight := hot.MulScalar(l.Alpha).Add(rest.MulScalar(1 - l.Alpha))
	return g.logits.BCEWithLogits(hot, nil, nil, torch.None).Mul(miss.PowScalar(l.Gamma)).Mul(weight).Sum().DivScalar(norm)
}

// crossEntropy is the sum over the layers of their weighted means. All layers
// have as many matches, so one quotient does for them.
func (l Loss) crossEntropy(g group, layers int) *torch.Tensor {
	s, n, none := g.logits.Scope(), g.logits.Size(0), g.logits.Size(1)-1
	want := make([]int64, n)
	for i := range want {
		want[i] = none
	}
	for i, r := range g.row {
		want[r] = g.class[i]
	}
	weight := make([]float32, none+1)
	for i := range weight {
		weight[i] = 1
	}
	weight[none] = float32(l.NoObject)
	total := float64(len(g.row)) + l.NoObject*float64(n-int64(len(g.row)))
	sum := g.logits.CrossEntropy(torch.Of(s, want, n), torch.Of(s, weight, none+1), torch.Sum, 0)
	if total == 0 {
		return sum // zero: nothing weighs anything
	}
	return sum.MulScalar(float64(layers) / total)
}
