package detr

import (
	"math"

	"github.com/wildtrain/sdk/internal/assign"
	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/wildtrain"
)

// pair is a query of a picture with the object that it is to find.
type pair struct{ query, object int }

// match pairs the queries of every layer and picture with objects, such that the
// sum of the costs is least (arXiv 2005.12872, §3.1).
func (m MatchCost) match(kind Kind, layers []answers, ts [][]target) ([][][]pair, error) {
	out := make([][][]pair, len(layers))
	for l, a := range layers {
		out[l] = make([][]pair, len(ts))
		probable := m.classCost(kind, a.logits.Detach())
		queries, classes := int(a.logits.Size(1)), int(a.logits.Size(2))
		cost, boxes := probable.Float32s(nil), a.boxes.Detach().Float32s(nil)
		if err := a.logits.Scope().Err(); err != nil {
			return nil, err
		}
		for i, t := range ts {
			at := i * queries
			matrix := m.matrix(cost[at*classes:(at+queries)*classes], boxes[at*4:(at+queries)*4], classes, t)
			objects, err := assign.Solve(matrix, queries, len(t))
			if err != nil {
				return nil, err
			}
			for q, o := range objects {
				if o >= 0 {
					out[l][i] = append(out[l][i], pair{query: q, object: o})
				}
			}
		}
	}
	return out, nil
}

// costEps keeps the logarithms of the focal cost finite.
const costEps = 1e-8

// classCost is what each class of each query (N, Q, classes) costs: less its
// probability, or the focal loss of saying it less that of not saying it.
func (m MatchCost) classCost(kind Kind, logits *torch.Tensor) *torch.Tensor {
	if kind == CrossEntropy {
		return logits.Softmax(2).Neg()
	}
	p := logits.Sigmoid()
	focal := func(p *torch.Tensor, alpha float64) *torch.Tensor { // of an event of probability p
		return p.ScalarMinus(1).PowScalar(m.Gamma).Mul(p.AddScalar(costEps).Log()).MulScalar(-alpha)
	}
	return focal(p, m.Alpha).Minus(focal(p.ScalarMinus(1), 1-m.Alpha))
}

// matrix is the cost of each query (rows) for each object.
func (m MatchCost) matrix(class, boxes []float32, classes int, ts []target) []float64 {
	out := make([]float64, 0, len(boxes)/4*len(ts))
	for q := range len(boxes) / 4 {
		box := [4]float64{float64(boxes[4*q]), float64(boxes[4*q+1]), float64(boxes[4*q+2]), float64(boxes[4*q+3])}
		found := wildtrain.BoxCXCYWH(box[0], box[1], box[2], box[3])
		for _, t := range ts {
			l1 := 0.0
			for k := range box {
				l1 += math.Abs(box[k] - t.box[k])
			}
			truth := wildtrain.BoxCXCYWH(t.box[0], t.box[1], t.box[2], t.box[3])
			c := m.Class*float64(class[q*classes+t.class]) + m.L1*l1 - m.GIoU*giou(found, truth)
			if math.IsNaN(c) || math.IsInf(c, 0) {
				c = math.MaxFloat32 // a query gone astray is the last to be taken; its loss tells
			}
			out = append(out, c)
		}
	}
	return out
}

// giou is the generalised IoU (arXiv 1902.09630), −1 for two boxes without extent.
func giou(a, b wildtrain.Box) float64 {
	inter := a.Intersect(b).Area()
	union := a.Area() + b.Area() - inter
	hull := (max(a.X2, b.X2) - min(a.X1, b.X1)) * (max(a.Y2, b.Y2) - min(a.Y1, b.Y1))
	if union <= 0 || hull <= 0 {
		return -1
	}
	return inter/union - (hull-union)/hull
}
