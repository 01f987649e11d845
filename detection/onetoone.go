package detection

import (
	"cmp"
	"slices"

	"github.com/wildtrain/sdk/torch"
)

// Balance is the share of the one-to-many branches in the loss of a double head,
// the rest being that of the one-to-one branches: it goes from From in the first
// epoch to To in the last one (YOLO26's progressive loss).
type Balance struct{ From, To float64 }

// DefaultBalance returns what YOLO26 trains with.
func DefaultBalance() Balance { return Balance{From: 0.8, To: 0.1} }

// at is the share in an epoch, from 0, of so many.
func (b Balance) at(epoch, epochs int) float64 {
	left := max(1-float64(epoch)/float64(max(epochs-1, 1)), 0)
	return b.To + (b.From-b.To)*left
}

// Schedule implements wildtrain.Scheduled.
func (m *YOLO) Schedule(epoch, epochs int) { m.share = m.cfg.Balance.at(epoch, epochs) }

// endToEndDetections is how many detections of an image the raw answer has at most.
const endToEndDetections = 300

// endToEnd is the answer of the one-to-one branches: (N, k, 6), by falling
// probability, each as corners in pixels, probability, class.
func (m *YOLO) endToEnd(one []*torch.Tensor) *torch.Tensor {
	decoded := m.net.head.decode(one)
	shape, values := decoded.Shape(), decoded.Float32s(nil)
	classes, count := len(m.cfg.Classes), int(shape[2])
	k := min(endToEndDetections, count)
	out := make([]float32, 0, int(shape[0])*k*6)
	for per := (4 + classes) * count; len(values) >= per; values = values[per:] {
		for _, c := range best(values[:per], classes, count, k) {
			out = append(out, c.box[0], c.box[1], c.box[2], c.box[3], c.score, float32(c.class))
		}
	}
	return torch.Of(decoded.Scope(), out, shape[0], int64(k), 6)
}

// best picks the k most probable pairs of an anchor and a class, among the k
// anchors with the highest probabilities, from a decoded image: 4+classes rows
// of count values.
func best(decoded []float32, classes, count, k int) []candidate {
	top := make([]float32, count)
	anchors := make([]int, count)
	for a := range anchors {
		anchors[a], top[a] = a, decoded[4*count+a]
		for c := 1; c < classes; c++ {
			top[a] = max(top[a], decoded[(4+c)*count+a])
		}
	}
	slices.SortStableFunc(anchors, func(x, y int) int { return cmp.Compare(top[y], top[x]) })
	var out []candidate
	for _, a := range anchors[:min(k, count)] {
		for c := range classes {
			out = append(out, boxAt(decoded, count, a, int32(c), decoded[(4+c)*count+a]))
		}
	}
	slices.SortStableFunc(out, func(x, y candidate) int { return cmp.Compare(y.score, x.score) })
	return out[:min(k, len(out))]
}
