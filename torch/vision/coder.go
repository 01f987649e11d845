package vision

import (
	"math"

	"github.com/wildtrain/sdk/torch"
)

// maxGrowth limits the logarithm of how much a side may grow: to 1000 px from 16.
var maxGrowth = math.Log(1000.0 / 16)

// Coder writes boxes relative to others: shift of the centre in their sides,
// logarithm of the sides' quotient, each multiplied by a weight (Girshick et al.
// 2014, arXiv 1311.2524, appendix C).
type Coder struct{ X, Y, W, H float64 }

// center is centre and size of boxes (…, 4).
func center(boxes *torch.Tensor) (x, y, w, h *torch.Tensor) {
	x1, y1, x2, y2 := coordinates(boxes)
	w, h = x2.Minus(x1), y2.Minus(y1)
	return x1.Add(w.MulScalar(0.5)), y1.Add(h.MulScalar(0.5)), w, h
}

// Encode writes boxes (N, 4) relative to anchors (N, 4): (N, 4).
func (c Coder) Encode(boxes, anchors *torch.Tensor) *torch.Tensor {
	return boxes.Sub(func() *torch.Tensor {
		x, y, w, h := center(boxes)
		ax, ay, aw, ah := center(anchors)
		return torch.Stack([]*torch.Tensor{
			x.Minus(ax).MulScalar(c.X).Div(aw), y.Minus(ay).MulScalar(c.Y).Div(ah),
			w.Div(aw).Log().MulScalar(c.W), h.Div(ah).Log().MulScalar(c.H),
		}, 1)
	})
}

// Decode is the inverse of Encode, for one or several codes per anchor: codes
// (N, 4·k) and anchors (N, 4) give (N, k, 4). Sides grow at most 62.5 times.
func (c Coder) Decode(codes, anchors *torch.Tensor) *torch.Tensor {
	return codes.Sub(func() *torch.Tensor {
		n := codes.Size(0)
		ax, ay, aw, ah := center(anchors.Unsqueeze(1)) // (N, 1)
		dx, dy, dw, dh := coordinates(codes.View(n, codes.Size(1)/4, 4))
		grow := func(d *torch.Tensor, weight float64) *torch.Tensor {
			return d.DivScalar(weight).Clamp(math.Inf(-1), maxGrowth).Exp()
		}
		x, y := dx.DivScalar(c.X).Mul(aw).Add(ax), dy.DivScalar(c.Y).Mul(ah).Add(ay)
		w, h := grow(dw, c.W).Mul(aw).MulScalar(0.5), grow(dh, c.H).Mul(ah).MulScalar(0.5)
		return torch.Stack([]*torch.Tensor{x.Minus(w), y.Minus(h), x.Add(w), y.Add(h)}, -1)
	})
}

// Distances writes boxes as the distances of their sides from the centres of
// anchors, in the anchors' sides (Tian et al. 2019, arXiv 1904.01355, equation 1):
// boxes and anchors (…, 4) give left, top, right, bottom (…, 4).
func Distances(boxes, anchors *torch.Tensor) *torch.Tensor {
	return boxes.Sub(func() *torch.Tensor {
		x, y, size := middle(anchors)
		x1, y1, x2, y2 := coordinates(boxes)
		return torch.Stack([]*torch.Tensor{x.Minus(x1), y.Minus(y1), x2.Minus(x), y2.Minus(y)}, -1).Div(size)
	})
}

// FromDistances is the inverse of Distances.
func FromDistances(distances, anchors *torch.Tensor) *torch.Tensor {
	return distances.Sub(func() *torch.Tensor {
		x, y, size := middle(anchors)
		l, t, r, b := coordinates(distances.Mul(size))
		return torch.Stack([]*torch.Tensor{x.Minus(l), y.Minus(t), x.Add(r), y.Add(b)}, -1)
	})
}

// middle is the centre of boxes (…, 4) and width, height, width, height (…, 4).
func middle(boxes *torch.Tensor) (x, y, size *torch.Tensor) {
	x1, y1, x2, y2 := coordinates(boxes)
	w, h := x2.Minus(x1), y2.Minus(y1)
	return x1.Add(x2).MulScalar(0.5), y1.Add(y2).MulScalar(0.5), torch.Stack([]*torch.Tensor{w, h, w, h}, -1)
}
