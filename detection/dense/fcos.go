package dense

import (
	"math"

	"github.com/wildtrain/sdk/detection/pyramid"
	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/vision"
)

// fcos is FCOS: every point says how far the sides of its object are, and how
// central it lies.
type fcos struct{ *towers }

// Losses implements pyramid.Head.
func (h *fcos) Losses() []string {
	return []string{"loss", "classification", "bbox_regression", "bbox_ctrness"}
}

// Loss implements pyramid.Head. Its parts are sums over the batch, divided by the
// number of points that have an object.
func (h *fcos) Loss(maps []*torch.Tensor, im *pyramid.Images, targets []pyramid.Target, _ func(n, k int) []int) (*torch.Tensor, error) {
	s, err := h.forward(maps, im)
	if err != nil {
		return nil, err
	}
	logits, distances, centers, anchors := torch.Cat(s.classes, 1), torch.Cat(s.boxes, 1), torch.Cat(s.centers, 1), torch.Cat(s.anchors, 0)
	var classes *torch.Tensor
	var box, center, anchor, object []*torch.Tensor
	sc := logits.Scope()
	for i, t := range targets {
		rows, which := h.cfg.points(s.anchors, t.Boxes)
		labels := make([]int64, len(which))
		for k, w := range which {
			labels[k] = t.Labels[w]
		}
		class := focal(logits.Select(0, int64(i)), rows, labels, nil)
		if classes == nil {
			classes = class
		} else {
			classes = classes.Add(class)
		}
		at := pyramid.Indices(sc, rows)
		box = append(box, distances.Select(0, int64(i)).IndexSelect(0, at))
		center = append(center, centers.Select(0, int64(i)).IndexSelect(0, at))
		anchor = append(anchor, anchors.IndexSelect(0, at))
		object = append(object, t.Boxes.IndexSelect(0, pyramid.Indices(sc, which)))
	}
	said, where, truth := torch.Cat(box, 0), torch.Cat(anchor, 0), torch.Cat(object, 0)
	n := max(float64(said.Size(0)), 1)
	boxes := vision.GIoU(vision.FromDistances(said, where), truth).ScalarMinus(1).Sum()
	wanted := centerness(vision.Distances(truth, where))
	central := torch.Cat(center, 0).BCEWithLogits(wanted, nil, nil, torch.Sum)
	return pyramid.Pack(classes.DivScalar(n), boxes.DivScalar(n), central.DivScalar(n)), sc.Err()
}

// centerness is how evenly distances (N, 4) to the sides are balanced, in 0..1
// (arXiv 1904.01355, equation 3).
func centerness(d *torch.Tensor) *torch.Tensor {
	l, t, r, b := d.Select(1, 0), d.Select(1, 1), d.Select(1, 2), d.Select(1, 3)
	return l.Minimum(r).Div(l.Maximum(r)).Mul(t.Minimum(b).Div(t.Maximum(b))).Sqrt()
}

// points matches points with objects (M, 4): a point's object is the smallest one
// in which it lies, near the middle, and whose farthest side is within the reach
// of the point's level. It returns the points that have one, and which.
func (c *Config) points(levels []*torch.Tensor, objects *torch.Tensor) (rows, which []int64) {
	boxes := objects.Float32s(nil)
	first := 0
	for l, anchors := range levels {
		all := anchors.Float32s(nil)
		for a := 0; a < len(all)/4; a++ {
			x, y := (all[4*a]+all[4*a+2])/2, (all[4*a+1]+all[4*a+3])/2
			size := all[4*a+2] - all[4*a]
			low, high := 4*size, 8*size
			if l == 0 {
				low = 0
			}
			if l == len(levels)-1 {
				high = float32(math.Inf(1))
			}
			if best := smallest(boxes, x, y, float32(c.Radius)*size, low, high); best >= 0 {
				rows, which = append(rows, int64(first+a)), append(which, int64(best))
			}
		}
		first += len(all) / 4
	}
	return rows, which
}

// smallest is the object of a point, −1 for none: near says how far the object's
// middle may be, low and high how far its farthest side.
func smallest(boxes []float32, x, y, near, low, high float32) int {
	best, most := -1, float32(1e-5)
	for m := 0; m < len(boxes)/4; m++ {
		x1, y1, x2, y2 := boxes[4*m], boxes[4*m+1], boxes[4*m+2], boxes[4*m+3]
		off := max(abs(x-(x1+x2)/2), abs(y-(y1+y2)/2))
		nearest, farthest := min(x-x1, y-y1, x2-x, y2-y), max(x-x1, y-y1, x2-x, y2-y)
		if off >= near || nearest <= 0 || farthest <= low || farthest >= high {
			continue
		}
		// torchvision's measure, in float32: areas that differ little are equal
		if small := float32(1e8) - (x2-x1)*(y2-y1); small > most {
			best, most = m, small
		}
	}
	return best
}

func abs(v float32) float32 { return max(v, -v) }

// Detect implements pyramid.Head. Its raw outputs are "cls{level}" (N, classes, H,
// W), logits, "box{level}" (N, 4, H, W), the distances before they are rectified,
// and "centerness{level}" (N, 1, H, W), logits.
func (h *fcos) Detect(maps []*torch.Tensor, im *pyramid.Images) (map[string]*torch.Tensor, []pyramid.Found, error) {
	s, err := h.forward(maps, im)
	if err != nil {
		return nil, nil, err
	}
	out := make([]pyramid.Found, len(im.Sizes))
	for i, size := range im.Sizes {
		out[i] = h.detect(s, i, size, func(l int) *torch.Tensor {
			class, center := s.classes[l].Select(0, int64(i)).Sigmoid(), s.centers[l].Select(0, int64(i)).Sigmoid()
			return class.Mul(center.Unsqueeze(1)).Sqrt()
		}, vision.FromDistances)
	}
	return s.raw, out, maps[0].Scope().Err()
}
