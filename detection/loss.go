package detection

import (
	"fmt"
	"math"
	"slices"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/vision"
	"github.com/wildtrain/sdk/wildtrain"
)

// LossGains weight the parts of the loss.
type LossGains struct {
	Box float64 // 1 − CIoU, and the loss of masks
	Cls float64 // binary cross entropy of all anchors and classes
	DFL float64 // distribution focal loss of the box edges; without distributions, their L1 loss

	Positive  float64   // factor of the class loss's part of what is there, against that of what is not; 1: both alike
	Smoothing float64   // share of a positive's target that goes to all classes alike (Szegedy et al. 2016)
	Classes   []float32 // weights of the classes in the class loss; nil: all alike
}

// validate reports what is wrong for a number of classes.
func (g LossGains) validate(classes int) error {
	var errs problems
	errs.check(g.Box >= 0 && g.Cls >= 0 && g.DFL >= 0, "negative loss gains")
	errs.check(g.Positive > 0 && !math.IsInf(g.Positive, 0), "weight of positives %g must be above 0", g.Positive)
	errs.check(g.Smoothing >= 0 && g.Smoothing < 1, "label smoothing %g is not in 0..1", g.Smoothing)
	errs.check(g.Classes == nil || len(g.Classes) == classes, "%d weights for %d classes", len(g.Classes), classes)
	for _, w := range g.Classes {
		errs.check(w >= 0 && !math.IsInf(float64(w), 0), "class weight %g", w)
	}
	return errs.err()
}

// InverseFrequency weighs classes by their number of boxes to the power of minus
// power; the weights of the classes that there are have the mean 1, those of
// others are 1. Power 0 gives nil.
func InverseFrequency(counts []int, power float64) []float32 {
	if power == 0 {
		return nil
	}
	out := make([]float32, len(counts))
	sum, n := 0.0, 0
	for _, c := range counts {
		if c > 0 {
			sum, n = sum+math.Pow(float64(c), -power), n+1
		}
	}
	for i, c := range counts {
		if out[i] = 1; c > 0 {
			out[i] = float32(math.Pow(float64(c), -power) * float64(n) / sum)
		}
	}
	return out
}

// DefaultLossGains returns the gains that all YOLO models train with.
func DefaultLossGains() LossGains { return LossGains{Box: 7.5, Cls: 0.5, DFL: 1.5, Positive: 1} }

// lossNames are the parts in the order of their packed tensor; "loss" is their sum.
var (
	lossNames   = []string{"loss", "box_loss", "cls_loss", "dfl_loss"}
	l1LossNames = []string{"loss", "box_loss", "cls_loss", "l1_loss"}
)

func (h *Head) lossNames() []string {
	names := lossNames
	if h.RegMax == 1 {
		names = l1LossNames
	}
	if h.Masks > 0 {
		names = append(slices.Clone(names), "seg_loss")
	}
	return names
}

// lossOutcome is a loss and what it was divided by.
type lossOutcome struct {
	packed *torch.Tensor // sum, box, cls, dfl or l1, each times its gain and per unit of target score; then masks, per positive
	norm   float64       // Σ target score, at least 1
}

// loss computes the loss of raw outputs. Everything after the levels is float32.
//
// Only anchors inside objects can be positive, so only their predictions are
// gathered, decoded and compared: the cost grows with the objects, not with the
// image. The class loss over all anchors, Σ BCE(x, t), is Σ softplus(x) − Σ x·t,
// and t is zero but at the positives.
func (h *Head) loss(levels []*torch.Tensor, protos *torch.Tensor, samples []wildtrain.Sample, a Assigner, g LossGains) (lossOutcome, error) {
	s := levels[0].Scope()
	grids := h.grids(levels)
	ts := truths(samples)
	for _, t := range ts {
		if int64(t.class) >= h.Classes || t.class < 0 {
			return lossOutcome{}, fmt.Errorf("detection: loss: sample %s has class %d, the model knows %d", samples[t.image].ID, t.class, h.Classes)
		}
		if h.Masks > 0 && t.mask == nil {
			return lossOutcome{}, fmt.Errorf("detection: loss: an object of sample %s has no mask: masks are learnt from data with outlines (data.masks=true)", samples[t.image].ID)
		}
	}
	cand := a.find(ts, grids, len(samples))
	background := h.background(levels, g.Classes)
	zero := s.Zeros(torch.Float)
	if len(cand.cells) == 0 {
		parts := []*torch.Tensor{untouched(levels...), background.MulScalar(g.Cls), zero}
		if h.Masks > 0 {
			parts = append(parts, untouched(protos))
		}
		return lossOutcome{pack(parts), 1}, s.Err()
	}
	rows := h.gather(levels, cand.cells)
	dist := rows.Narrow(1, 0, 4*h.RegMax)
	boxes := h.boxes(dist, cand.cells)
	logits := rows.Narrow(1, 4*h.RegMax, h.Classes)
	pos := a.assign(ts, cand, pixelBoxes(boxes, cand.cells), logits.Detach().Sigmoid().Float32s(nil), int(h.Classes))
	if err := s.Err(); err != nil {
		return lossOutcome{}, err
	}
	parts := h.positives(grids[0], pos, ts, cand.cells, dist, boxes, logits, g)
	told := []*torch.Tensor{
		parts.box.MulScalar(g.Box / parts.norm), background.Minus(parts.hit).MulScalar(g.Cls / parts.norm), parts.edges.MulScalar(g.DFL / parts.norm),
	}
	if h.Masks > 0 {
		masks, err := maskLoss(protos, rows.Narrow(1, 4*h.RegMax+h.Classes, h.Masks), pos, ts, grids[0])
		if err != nil {
			return lossOutcome{}, err
		}
		told = append(told, masks.MulScalar(g.Box))
	}
	return lossOutcome{pack(told), parts.norm}, s.Err()
}

// pack puts the sum of the parts of a loss before them.
func pack(parts []*torch.Tensor) *torch.Tensor {
	sum := parts[0]
	for _, p := range parts[1:] {
		sum = sum.Add(p)
	}
	return torch.Stack(append([]*torch.Tensor{sum}, parts...), 0)
}

// untouched is a zero that depends on all of the outputs: what nothing is learnt
// from keeps its (zero) gradient, so that every parameter has one.
func untouched(outputs ...*torch.Tensor) *torch.Tensor {
	sum := outputs[0].Scope().Zeros(torch.Float)
	for _, x := range outputs {
		sum = sum.Add(x.To(torch.Float).Mean().MulScalar(0))
	}
	return sum
}

// background is Σ w·softplus(x) over all class logits, with the weights w of the classes.
func (h *Head) background(levels []*torch.Tensor, weights []float32) *torch.Tensor {
	var sum *torch.Tensor
	for _, l := range levels {
		part := l.Narrow(1, 4*h.RegMax, h.Classes).To(torch.Float).Softplus()
		if weights != nil {
			part = part.Mul(torch.Of(l.Scope(), weights, 1, h.Classes, 1, 1))
		}
		part = part.Sum()
		if sum == nil {
			sum = part
		} else {
			sum = sum.Add(part)
		}
	}
	return sum
}

// gather collects the outputs of cells: (M, 4·regMax+nc+masks), in their order.
func (h *Head) gather(levels []*torch.Tensor, cells []cell) *torch.Tensor {
	s := levels[0].Scope()
	order := make([]int64, len(cells)) // place of each cell in the level-wise result
	var parts []*torch.Tensor
	at := int64(0)
	for li, l := range levels {
		var n, y, x []int64
		for i, c := range cells {
			if int(c.level) == li {
				n, y, x = append(n, int64(c.image)), append(y, int64(c.y)), append(x, int64(c.x))
				order[i] = at
				at++
			}
		}
		if len(n) == 0 {
			continue
		}
		idx := func(v []int64) *torch.Tensor { return torch.Of(s, v, int64(len(v))) }
		parts = append(parts, l.Permute(0, 2, 3, 1).Index(idx(n), idx(y), idx(x)).To(torch.Float))
	}
	return torch.Cat(parts, 0).IndexSelect(0, torch.Of(s, order, int64(len(order))))
}

// boxes decodes gathered edge distributions to corners in cells: (M, 4).
func (h *Head) boxes(dist *torch.Tensor, cells []cell) *torch.Tensor {
	s := dist.Scope()
	m := int64(len(cells))
	if h.bins != nil {
		dist = dist.Reshape(m, 4, h.RegMax).Softmax(2).Mul(s.Borrow(h.bins).View(1, 1, h.RegMax)).Sum(2)
	}
	points := make([]float32, 0, 2*m)
	for _, c := range cells {
		x, y := c.point()
		points = append(points, x, y)
	}
	p := torch.Of(s, points, m, 2)
	return torch.Cat([]*torch.Tensor{p.Minus(dist.Narrow(1, 0, 2)), p.Add(dist.Narrow(1, 2, 2))}, 1)
}

// pixelBoxes copies decoded boxes to the host, in input pixels.
func pixelBoxes(boxes *torch.Tensor, cells []cell) [][4]float32 {
	v := boxes.Detach().Float32s(nil)
	out := make([][4]float32, len(cells))
	for i := range out {
		if len(v) < 4*len(cells) {
			break
		}
		for k := range 4 {
			out[i][k] = v[4*i+k] * cells[i].stride
		}
	}
	return out
}

// positiveLoss holds the sums over positives, not yet divided by norm.
type positiveLoss struct {
	norm  float64       // Σ target score, at least 1
	hit   *torch.Tensor // Σ x·t
	box   *torch.Tensor
	edges *torch.Tensor // distribution focal or L1 loss
}

func (h *Head) positives(finest grid, pos []positive, ts []truth, cells []cell, dist, boxes, logits *torch.Tensor, g LossGains) positiveLoss {
	s := boxes.Scope()
	m := int64(len(pos))
	rows, classes := make([]int64, m), make([]int64, m)
	weight := make([]float32, m)
	target := make([]float32, 0, 4*m) // corners in cells
	edges := make([]float32, 0, 4*m)  // distances left, top, right, bottom in cells
	strides := make([]float32, m)
	norm := 0.0
	for i, p := range pos {
		c, t := cells[p.cell], ts[p.truth]
		rows[i], classes[i], weight[i], strides[i] = int64(p.cell), int64(t.class), p.score, c.stride
		norm += float64(p.score)
		x, y := c.point()
		b := [4]float32{t.box[0] / c.stride, t.box[1] / c.stride, t.box[2] / c.stride, t.box[3] / c.stride}
		target = append(target, b[:]...)
		edges = append(edges, x-b[0], y-b[1], b[2]-x, b[3]-y)
	}
	index := torch.Of(s, rows, m)
	w := torch.Of(s, weight, m)
	out := positiveLoss{norm: max(norm, 1)}
	out.hit = g.hit(logits, index, classes, w)
	iou := vision.CIoU(boxes.IndexSelect(0, index), torch.Of(s, target, m, 4))
	out.box = iou.ScalarMinus(1).Mul(w).Sum()
	chosen := dist.IndexSelect(0, index)
	if h.bins == nil {
		out.edges = edgeDistance(chosen, edges, strides, finest).Mul(w).Sum()
	} else {
		out.edges = h.focal(chosen, edges).Mul(w).Sum()
	}
	return out
}

// hit is Σ w·x·t over the positives (rows of logits, of the given classes), whose
// targets have the sums given as scores. A weight p of positives, as in PyTorch's
// BCEWithLogitsLoss, makes the cross entropy softplus(x) − t·(x − (p−1)·softplus(−x)).
func (g LossGains) hit(logits, rows *torch.Tensor, classes []int64, scores *torch.Tensor) *torch.Tensor {
	s := logits.Scope()
	if g.Positive != 1 {
		logits = logits.Minus(logits.Neg().Softplus().MulScalar(g.Positive - 1))
	}
	if g.Classes != nil {
		logits = logits.Mul(torch.Of(s, g.Classes, 1, int64(len(g.Classes))))
	}
	own := logits.Index(rows, torch.Of(s, classes, int64(len(classes)))).Mul(scores).Sum()
	if g.Smoothing == 0 {
		return own
	}
	all := logits.IndexSelect(0, rows).Mean(1).Mul(scores).Sum()
	return own.MulScalar(1 - g.Smoothing).Add(all.MulScalar(g.Smoothing))
}

// edgeDistance is the L1 loss of each row's four edges as shares of the image's
// width and height, their mean (YOLO26).
func edgeDistance(dist *torch.Tensor, edges, strides []float32, finest grid) *torch.Tensor {
	s, m := dist.Scope(), int64(len(strides))
	w, h := float32(finest.w*finest.stride), float32(finest.h*finest.stride)
	share := make([]float32, 0, 4*m)
	for _, stride := range strides {
		share = append(share, stride/w, stride/h, stride/w, stride/h)
	}
	return dist.L1(torch.Of(s, edges, m, 4), torch.None).Mul(torch.Of(s, share, m, 4)).Mean(1)
}

// focal is the distribution focal loss (arXiv 2006.04388, eq. 6) of each row,
// the mean over its four edges: cross entropy towards the two bins around the
// true distance, weighted by closeness.
func (h *Head) focal(dist *torch.Tensor, edges []float32) *torch.Tensor {
	s := dist.Scope()
	n := int64(len(edges))
	left, right := make([]int64, n), make([]int64, n)
	wl, wr := make([]float32, n), make([]float32, n)
	limit := float32(float64(h.RegMax) - 1 - 0.01)
	for i, e := range edges {
		e = min(max(e, 0), limit)
		left[i] = int64(e)
		right[i] = left[i] + 1
		wl[i] = float32(right[i]) - e
		wr[i] = 1 - wl[i]
	}
	logits := dist.Reshape(n, h.RegMax)
	at := func(bin []int64, w []float32) *torch.Tensor {
		return logits.CrossEntropy(torch.Of(s, bin, n), nil, torch.None, 0).Mul(torch.Of(s, w, n))
	}
	return at(left, wl).Add(at(right, wr)).View(n/4, 4).Mean(1)
}
