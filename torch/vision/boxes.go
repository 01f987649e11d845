// Package vision holds operations on boxes: areas, overlaps (IoU, GIoU, DIoU,
// CIoU; differentiable), conversions between box formats, non-maximum
// suppression, and what detectors with anchors are made of: Anchors, the coding
// of boxes relative to them, Matcher, Sampler and the Pooling of regions. Boxes
// are tensors whose last dimension is 4; the corner format is x1, y1, x2, y2.
package vision

import (
	"math"

	"github.com/wildtrain/sdk/torch"
)

// eps keeps quotients of empty boxes finite, as in torchvision's losses.
const eps = 1e-7

var inf = math.Inf(1)

// Format is a way to write a box as four numbers.
type Format int

// The formats.
const (
	XYXY   Format = iota // two corners
	XYWH                 // upper left corner, width, height
	CXCYWH               // centre, width, height
)

// coordinates are the four columns of boxes in corner format.
func coordinates(boxes *torch.Tensor) (x1, y1, x2, y2 *torch.Tensor) {
	return boxes.Select(-1, 0), boxes.Select(-1, 1), boxes.Select(-1, 2), boxes.Select(-1, 3)
}

// Convert rewrites boxes (…, 4) from one format in another.
func Convert(boxes *torch.Tensor, from, to Format) *torch.Tensor {
	if from == to {
		return boxes
	}
	return boxes.Sub(func() *torch.Tensor {
		a, b, c, d := coordinates(boxes)
		switch from { // to corners
		case XYWH:
			c, d = a.Add(c), b.Add(d)
		case CXCYWH:
			w, h := c.MulScalar(0.5), d.MulScalar(0.5)
			a, b, c, d = a.Minus(w), b.Minus(h), a.Add(w), b.Add(h)
		}
		switch to { // from corners
		case XYWH:
			c, d = c.Minus(a), d.Minus(b)
		case CXCYWH:
			a, b, c, d = a.Add(c).MulScalar(0.5), b.Add(d).MulScalar(0.5), c.Minus(a), d.Minus(b)
		}
		return torch.Stack([]*torch.Tensor{a, b, c, d}, -1)
	})
}

// Area is width times height of boxes (…, 4): a tensor of shape (…).
func Area(boxes *torch.Tensor) *torch.Tensor {
	return boxes.Sub(func() *torch.Tensor {
		x1, y1, x2, y2 := coordinates(boxes)
		return x2.Minus(x1).Mul(y2.Minus(y1))
	})
}

// Overlap is a measure of two sets of boxes (…, 4), which broadcast: a tensor of
// shape (…). IoU, GIoU, DIoU and CIoU are ones.
type Overlap func(a, b *torch.Tensor) *torch.Tensor

// Pairwise applies a measure to each of a (N, 4) with each of b (M, 4): (N, M).
func Pairwise(f Overlap, a, b *torch.Tensor) *torch.Tensor {
	return a.Sub(func() *torch.Tensor { return f(a.Unsqueeze(1), b.Unsqueeze(0)) })
}

// pair holds what the measures have in common.
type pair struct {
	ax1, ay1, ax2, ay2, bx1, by1, bx2, by2 *torch.Tensor
	inter, union, iou                      *torch.Tensor
}

func newPair(a, b *torch.Tensor) (p pair) {
	p.ax1, p.ay1, p.ax2, p.ay2 = coordinates(a)
	p.bx1, p.by1, p.bx2, p.by2 = coordinates(b)
	w := p.ax2.Minimum(p.bx2).Minus(p.ax1.Maximum(p.bx1)).Clamp(0, inf)
	h := p.ay2.Minimum(p.by2).Minus(p.ay1.Maximum(p.by1)).Clamp(0, inf)
	p.inter = w.Mul(h)
	area := p.ax2.Minus(p.ax1).Mul(p.ay2.Minus(p.ay1)).Add(p.bx2.Minus(p.bx1).Mul(p.by2.Minus(p.by1)))
	p.union = area.Minus(p.inter)
	p.iou = p.inter.Div(p.union.AddScalar(eps))
	return p
}

// hull is width and height of the smallest box around both.
func (p pair) hull() (w, h *torch.Tensor) {
	return p.ax2.Maximum(p.bx2).Minus(p.ax1.Minimum(p.bx1)), p.ay2.Maximum(p.by2).Minus(p.ay1.Minimum(p.by1))
}

// diou is IoU less the squared distance of the centres over that of the hull's corners.
func (p pair) diou() *torch.Tensor {
	w, h := p.hull()
	dx := p.ax1.Add(p.ax2).Minus(p.bx1.Add(p.bx2)).MulScalar(0.5)
	dy := p.ay1.Add(p.ay2).Minus(p.by1.Add(p.by2)).MulScalar(0.5)
	distance := dx.Square().Add(dy.Square())
	return p.iou.Minus(distance.Div(w.Square().Add(h.Square()).AddScalar(eps)))
}

// IoU is intersection over union, in [0, 1].
func IoU(a, b *torch.Tensor) *torch.Tensor {
	return a.Sub(func() *torch.Tensor { return newPair(a, b).iou })
}

// GIoU is the generalised IoU, in (−1, 1] (Rezatofighi et al. 2019, arXiv 1902.09630).
func GIoU(a, b *torch.Tensor) *torch.Tensor {
	return a.Sub(func() *torch.Tensor {
		p := newPair(a, b)
		w, h := p.hull()
		hull := w.Mul(h)
		return p.iou.Minus(hull.Minus(p.union).Div(hull.AddScalar(eps)))
	})
}

// DIoU is the distance IoU, in (−1, 1] (Zheng et al. 2019, arXiv 1911.08287).
func DIoU(a, b *torch.Tensor) *torch.Tensor {
	return a.Sub(func() *torch.Tensor { return newPair(a, b).diou() })
}

// CIoU is the complete IoU of arXiv 1911.08287, equations 8 to 11: DIoU less
// α·v, where v compares the shapes. No gradient flows through α.
func CIoU(a, b *torch.Tensor) *torch.Tensor {
	return a.Sub(func() *torch.Tensor {
		p := newPair(a, b)
		angle := func(x1, y1, x2, y2 *torch.Tensor) *torch.Tensor {
			return x2.Minus(x1).Div(y2.Minus(y1).AddScalar(eps)).Atan()
		}
		v := angle(p.ax1, p.ay1, p.ax2, p.ay2).Minus(angle(p.bx1, p.by1, p.bx2, p.by2)).Square().MulScalar(4 / (math.Pi * math.Pi))
		fixed := v.Detach()
		alpha := fixed.Div(fixed.Minus(p.iou.Detach()).AddScalar(1 + eps))
		return p.diou().Minus(alpha.Mul(v))
	})
}

// NMS returns the indices (Int64) of the boxes (N, 4; corners) that remain when
// each removes those of lower score (N) which overlap it by more than iou, in
// falling order of score; equal scores keep their order.
func NMS(boxes, scores *torch.Tensor, iou float64) *torch.Tensor {
	return torch.NMS(boxes, scores, nil, iou, 0)
}

// ClassNMS is NMS among the boxes of each class (N, Int64), ending at limit
// boxes; 0 for no limit.
func ClassNMS(boxes, scores, classes *torch.Tensor, iou float64, limit int) *torch.Tensor {
	return torch.NMS(boxes, scores, classes, iou, limit)
}

// shiftedBoxes is up to how many boxes BatchedNMS shifts groups apart.
const shiftedBoxes = 1000

// BatchedNMS is NMS within each group (N, Int64: class or level) the way
// torchvision's detectors go about it, to the last bit: up to 1000 boxes are
// shifted apart by group, which rounds their corners a little, and share one
// suppression; more are taken group by group. At most limit boxes are kept, 0 for all.
func BatchedNMS(boxes, scores, groups *torch.Tensor, iou float64, limit int) *torch.Tensor {
	if n := boxes.Size(0); n == 0 || n > shiftedBoxes {
		return ClassNMS(boxes, scores, groups, iou, limit)
	}
	return boxes.Sub(func() *torch.Tensor {
		step := boxes.Max().AddScalar(1)
		return torch.NMS(boxes.Add(groups.To(boxes.DType()).Mul(step).Unsqueeze(1)), scores, nil, iou, limit)
	})
}

// Clip moves corners of boxes (…, 4) that lie outside a picture onto its edge.
func Clip(boxes *torch.Tensor, height, width float64) *torch.Tensor {
	return boxes.Sub(func() *torch.Tensor {
		x1, y1, x2, y2 := coordinates(boxes)
		return torch.Stack([]*torch.Tensor{x1.Clamp(0, width), y1.Clamp(0, height), x2.Clamp(0, width), y2.Clamp(0, height)}, -1)
	})
}
