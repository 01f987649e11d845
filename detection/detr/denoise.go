package detr

import (
	"context"
	"math"
	"math/rand/v2"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/nn"
	"github.com/wildtrain/sdk/wildtrain"
)

// draws are the random numbers of a denoising group: one per picture and query,
// of sign and part four.
type draws struct {
	replace []float32 // in 0..1: a class is replaced below half the label noise
	class   []float32 // in 0..1: by which one
	sign    []float32 // in 0..1: a coordinate moves down below a half, else up
	part    []float32 // in 0..1: how far, in units of the box noise
}

// draw makes count numbers of each kind, four times as many where a box has four.
func draw(r *rand.Rand, count int) draws {
	numbers := func(n int) []float32 {
		out := make([]float32, n)
		for i := range out {
			out[i] = r.Float32()
		}
		return out
	}
	return draws{replace: numbers(count), class: numbers(count), sign: numbers(4 * count), part: numbers(4 * count)}
}

// noise is the contrastive denoising queries of a batch (arXiv 2203.03605, §3.3):
// groups in each of which every object of a picture stands twice, once a little
// off, which the decoder is to repair, and once further, which it is to reject.
type noise struct {
	images, count int64   // queries per picture
	groups, most  int     // groups, and objects per group
	classes       []int64 // (images, count); the number of classes stands for none
	boxes         []float32
	pairs         [][]pair // of each picture: queries that are to find an object
}

// newNoise makes the queries; nil where there are none to make. draw is asked
// for as many numbers as there are queries in all.
func newNoise(ts [][]target, classes int, d Denoising, draw func(count int) draws) *noise {
	n := &noise{images: int64(len(ts)), pairs: make([][]pair, len(ts))}
	for _, t := range ts {
		n.most = max(n.most, len(t))
	}
	if d.Queries <= 0 || n.most == 0 {
		return nil
	}
	n.groups = max(d.Queries/n.most, 1)
	n.count = int64(2 * n.most * n.groups)
	random := draw(len(ts) * int(n.count))
	for i, t := range ts {
		for q := range int(n.count) {
			object, negative := q%n.most, q/n.most%2 == 1
			at := i*int(n.count) + q
			class, box := int64(classes), [4]float64{}
			if object < len(t) {
				class, box = int64(t[object].class), t[object].box
				if float64(random.replace[at]) < d.LabelNoise/2 {
					class = min(int64(random.class[at]*float32(classes)), int64(classes)-1)
				}
				if !negative {
					n.pairs[i] = append(n.pairs[i], pair{query: q, object: object})
				}
			}
			n.classes = append(n.classes, class)
			n.move(box, negative, d.BoxNoise, random.sign[4*at:4*at+4], random.part[4*at:4*at+4])
		}
	}
	return n
}

// move shifts the corners of a box and appends it as logits.
func (n *noise) move(box [4]float64, negative bool, scale float64, sign, part []float32) {
	if scale > 0 {
		corner := [4]float64{box[0] - box[2]/2, box[1] - box[3]/2, box[0] + box[2]/2, box[1] + box[3]/2}
		for k := range corner {
			by := float64(part[k])
			if negative {
				by++
			}
			if sign[k] < 0.5 {
				by = -by
			}
			corner[k] = min(max(corner[k]+by*box[2+k%2]/2*scale, 0), 1)
		}
		box = [4]float64{(corner[0] + corner[2]) / 2, (corner[1] + corner[3]) / 2, corner[2] - corner[0], corner[3] - corner[1]}
	}
	for _, c := range box {
		c = min(max(c, 0), 1)
		n.boxes = append(n.boxes, float32(math.Log(max(c, logitEps)/max(1-c, logitEps))))
	}
}

// tensor is the boxes as logits, (N, queries, 4).
func (n *noise) tensor(s *torch.Scope) *torch.Tensor {
	return torch.Of(s, n.boxes, n.images, n.count, 4)
}

// content is the first state of the queries, (N, queries, width): the embedding
// of their classes. That of no class does not learn.
func (n *noise) content(s *torch.Scope, table *nn.Embedding) *torch.Tensor {
	none := float64(table.Weight.Size(0) - 1)
	index := torch.Of(s, n.classes, n.images, n.count)
	found := table.Forward(index)
	return index.EqualScalar(none).Unsqueeze(2).Where(found.Detach(), found)
}

// newClassTable builds the embedding of classes; the last row, no class, begins at zero.
func newClassTable(b *nn.Builder, classes, width int64) *nn.Embedding {
	init := func(t *torch.Tensor) error {
		if err := t.Normal(0, 1); err != nil {
			return err
		}
		return torch.Run(context.Background(), t.Device(), torch.Inference, func(s *torch.Scope) error {
			return s.Borrow(t).Narrow(0, classes, 1).Fill(0)
		})
	}
	return &nn.Embedding{Weight: b.Parameter("weight", wildtrain.Weights, init, classes+1, width)}
}

// mask is what is added to the scores of all queries, (all, all): the others see
// no denoising query, and groups do not see each other.
func (n *noise) mask(s *torch.Scope, all int64) *torch.Tensor {
	data := make([]float32, all*all)
	group := int64(2 * n.most)
	for q := range all {
		for k := range n.count {
			if q >= n.count || q/group != k/group {
				data[q*all+k] = float32(math.Inf(-1))
			}
		}
	}
	return torch.Of(s, data, all, all)
}
