package detection

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/wildtrain/sdk/wildtrain"
)

// Assigner chooses which anchors learn which object: task-aligned assignment of
// TOOD (arXiv 2108.07755, §3.2). An anchor's alignment with an object is
// score^Alpha · CIoU^Beta; among the anchors inside the object the TopK best
// aligned ones become positive, with the alignment, scaled to the object's best
// CIoU, as target score.
type Assigner struct {
	TopK        int
	Keep        int // of an object's positives so many remain, the best aligned ones; from TopK on it limits nothing
	Alpha, Beta float64
	Enlarge     bool // before anchors are sought, an object's sides grow to the stride of the second level (YOLO26's small-target assignment)
}

// DefaultAssigner returns the settings that all YOLO models train with: of an
// object, several anchors learn.
func DefaultAssigner() Assigner {
	return Assigner{TopK: 10, Keep: 10, Alpha: 0.5, Beta: 6, Enlarge: true}
}

// OneToOneAssigner returns the settings of heads without suppression: of an
// object, one anchor learns.
func OneToOneAssigner() Assigner {
	a := DefaultAssigner()
	a.TopK, a.Keep = 7, 1
	return a
}

func (a Assigner) validate(name string) error {
	if a.TopK <= 0 || a.Keep <= 0 {
		return fmt.Errorf("detection: %s: top k %d and keep %d must be above 0", name, a.TopK, a.Keep)
	}
	return nil
}

const assignEps = 1e-9

// truth is one training target in input pixels.
type truth struct {
	image int32
	class int32
	box   [4]float32
	mask  *wildtrain.Mask
}

// cell is one anchor that lies in at least one object.
type cell struct {
	image  int32
	level  int32
	x, y   int32
	stride float32
}

// point is the anchor's place in cells.
func (c cell) point() (x, y float32) { return float32(c.x) + 0.5, float32(c.y) + 0.5 }

// claim says that a cell lies in an object, both by index.
type claim struct{ truth, cell int32 }

// candidates are all anchors that may become positive.
type candidates struct {
	cells  []cell
	claims []claim // by object
}

// positive is one anchor that learns an object.
type positive struct {
	cell, truth int32
	score       float32 // target of the object's class
}

// truths gathers the training targets of a batch: crowds and empty boxes teach nothing.
func truths(samples []wildtrain.Sample) []truth {
	var out []truth
	for i := range samples {
		for _, o := range samples[i].Objects {
			if o.Crowd || o.Box.Width() <= 0 || o.Box.Height() <= 0 || !o.Box.Finite() {
				continue
			}
			out = append(out, truth{image: int32(i), class: int32(o.Class), mask: o.Mask,
				box: [4]float32{float32(o.Box.X1), float32(o.Box.Y1), float32(o.Box.X2), float32(o.Box.Y2)}})
		}
	}
	return out
}

// find lists the anchors strictly inside each object.
func (a Assigner) find(ts []truth, grids []grid, images int) candidates {
	var c candidates
	var per int64
	start := make([]int64, len(grids))
	for i, g := range grids {
		start[i] = per
		per += g.h * g.w
	}
	index := make([]int32, per*int64(images)) // cell number + 1 of each anchor
	side := float32(grids[min(1, len(grids)-1)].stride)
	for ti, t := range ts {
		box := t.box
		if a.Enlarge {
			box = enlarge(box, side)
		}
		for li, g := range grids {
			s := float32(g.stride)
			x0, x1 := span(box[0], box[2], s, g.w)
			y0, y1 := span(box[1], box[3], s, g.h)
			for y := y0; y < y1; y++ {
				for x := x0; x < x1; x++ {
					px, py := (float32(x)+0.5)*s, (float32(y)+0.5)*s
					if min(px-box[0], py-box[1], box[2]-px, box[3]-py) <= assignEps {
						continue
					}
					at := int64(t.image)*per + start[li] + y*g.w + x
					if index[at] == 0 {
						c.cells = append(c.cells, cell{image: t.image, level: int32(li), x: int32(x), y: int32(y), stride: s})
						index[at] = int32(len(c.cells))
					}
					c.claims = append(c.claims, claim{truth: int32(ti), cell: index[at] - 1})
				}
			}
		}
	}
	return c
}

// enlarge widens sides below least about their centre, so that tiny objects own
// an anchor.
func enlarge(b [4]float32, least float32) [4]float32 {
	for k := range 2 {
		if b[k+2]-b[k] < least {
			c := (b[k] + b[k+2]) / 2
			b[k], b[k+2] = c-least/2, c+least/2
		}
	}
	return b
}

// span is the range of cells whose centres can lie between lo and hi.
func span(lo, hi, stride float32, n int64) (from, to int64) {
	from = int64(math.Floor(float64(lo/stride - 0.5)))
	to = int64(math.Ceil(float64(hi/stride-0.5))) + 1
	return min(max(from, 0), n), max(min(to, n), 0)
}

// assign picks the positives. boxes holds the predicted box of every candidate
// cell in input pixels, scores its class probabilities (cells × classes).
func (a Assigner) assign(ts []truth, c candidates, boxes [][4]float32, scores []float32, classes int) []positive {
	overlap := make([]float32, len(c.claims))
	metric := make([]float32, len(c.claims))
	for i, cl := range c.claims {
		t := ts[cl.truth]
		overlap[i] = max(ciou(t.box, boxes[cl.cell]), 0)
		score := scores[int(cl.cell)*classes+int(t.class)]
		metric[i] = float32(math.Pow(float64(score), a.Alpha) * math.Pow(float64(overlap[i]), a.Beta))
	}
	owner := a.contest(c, overlap, a.top(c, metric))
	if a.Keep < a.TopK {
		a.prune(c, owner, metric, len(ts))
	}
	return normalise(c, owner, overlap, metric, len(ts))
}

// top marks the TopK claims of each object by metric; equal ones by their order.
func (a Assigner) top(c candidates, metric []float32) []bool {
	chosen := make([]bool, len(c.claims))
	var order []int
	for from := 0; from < len(c.claims); {
		to := from
		order = order[:0]
		for to < len(c.claims) && c.claims[to].truth == c.claims[from].truth {
			order = append(order, to)
			to++
		}
		slices.SortStableFunc(order, func(x, y int) int { return cmp.Compare(metric[y], metric[x]) })
		for _, i := range order[:min(a.TopK, len(order))] {
			chosen[i] = metric[i] > 0 // what does not overlap at all claims nothing
		}
		from = to
	}
	return chosen
}

// contest gives every cell to one object: the index of the winning claim, −1 for
// none. A cell that several objects chose goes to the object that overlaps its
// prediction most, also where that object did not choose it.
func (a Assigner) contest(c candidates, overlap []float32, chosen []bool) []int32 {
	owner := make([]int32, len(c.cells))
	best := make([]int32, len(c.cells))
	count := make([]int32, len(c.cells))
	for i := range owner {
		owner[i], best[i] = -1, -1
	}
	for i, cl := range c.claims {
		if b := best[cl.cell]; b < 0 || overlap[i] > overlap[b] {
			best[cl.cell] = int32(i)
		}
		if chosen[i] {
			owner[cl.cell] = int32(i)
			count[cl.cell]++
		}
	}
	for i := range owner {
		if count[i] > 1 {
			owner[i] = best[i]
		}
	}
	return owner
}

// prune leaves each object its Keep best aligned cells.
func (a Assigner) prune(c candidates, owner []int32, metric []float32, objects int) {
	cells := make([][]int32, objects)
	for cell, i := range owner {
		if i >= 0 {
			t := c.claims[i].truth
			cells[t] = append(cells[t], int32(cell))
		}
	}
	for _, own := range cells {
		slices.SortStableFunc(own, func(x, y int32) int { return cmp.Compare(metric[owner[y]], metric[owner[x]]) })
		for _, cell := range own[min(a.Keep, len(own)):] {
			owner[cell] = -1
		}
	}
}

// normalise turns alignments into target scores: metric · best overlap / best metric of the object.
func normalise(c candidates, owner []int32, overlap, metric []float32, objects int) []positive {
	bestMetric := make([]float32, objects)
	bestOverlap := make([]float32, objects)
	for _, i := range owner {
		if i >= 0 {
			t := c.claims[i].truth
			bestMetric[t] = max(bestMetric[t], metric[i])
			bestOverlap[t] = max(bestOverlap[t], overlap[i])
		}
	}
	var out []positive
	for _, i := range owner {
		if i >= 0 {
			t := c.claims[i].truth
			out = append(out, positive{cell: c.claims[i].cell, truth: t, score: metric[i] * bestOverlap[t] / (bestMetric[t] + assignEps)})
		}
	}
	return out
}

// ciou is the complete IoU of two boxes (arXiv 1911.08287, eq. 10 and 11).
func ciou(a, b [4]float32) float32 {
	const eps = 1e-7
	w1, h1 := a[2]-a[0], a[3]-a[1]+eps
	w2, h2 := b[2]-b[0], b[3]-b[1]+eps
	inter := max(min(a[2], b[2])-max(a[0], b[0]), 0) * max(min(a[3], b[3])-max(a[1], b[1]), 0)
	iou := inter / (w1*h1 + w2*h2 - inter + eps)
	cw, ch := max(a[2], b[2])-min(a[0], b[0]), max(a[3], b[3])-min(a[1], b[1])
	dx, dy := b[0]+b[2]-a[0]-a[2], b[1]+b[3]-a[1]-a[3]
	rho := (dx*dx + dy*dy) / 4 / (cw*cw + ch*ch + eps)
	d := math.Atan(float64(w2/h2)) - math.Atan(float64(w1/h1))
	v := float32(4 / (math.Pi * math.Pi) * d * d)
	alpha := v / (v - iou + (1 + eps))
	return iou - (rho + v*alpha)
}
