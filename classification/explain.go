package classification

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/wildtrain"
)

// Heat tells how much each pixel of a picture matters for a class, from 0 to 1,
// rows of the picture that the network saw.
type Heat struct {
	ID            string
	Class         int // what was explained
	Height, Width int
	Values        []float32
}

// GradCAM returns a heat map per picture: the feature map's channels, weighted by
// the mean gradient of a class's logit, of which the positive part is scaled up to
// the picture. classes may be nil for the likeliest of each. For a ViT the map is
// what enters the last block. A map without positive part is 0 everywhere.
func (m *Classifier) GradCAM(ctx context.Context, b *wildtrain.Batch, classes []int) ([]Heat, error) {
	defer b.Release()
	if len(m.cfg.Classes) == 0 {
		return nil, errNoClasses
	}
	if classes != nil && len(classes) != b.Len() {
		return nil, fmt.Errorf("classification: explain: %d classes for %d pictures", len(classes), b.Len())
	}
	// the gradient of the map is wanted, not that of the weights, which may belong
	// to a training step
	quiet, err := m.withoutGradients()
	if err != nil {
		return nil, err
	}
	var heat []Heat
	err = torch.Run(ctx, m.cfg.Device, torch.Mode{Grad: true}, func(s *torch.Scope) error {
		x, err := m.input(s, b)
		if err != nil {
			return err
		}
		body := m.net.Body(x).Detach()
		if err := body.SetRequiresGrad(true); err != nil {
			return err
		}
		logits := m.logits(m.net.Pool(body))
		index, err := m.explained(logits, classes)
		if err != nil {
			return err
		}
		n := int64(len(index))
		if err := logits.Gather(1, torch.Of(s, index, n, 1)).Sum().Backward(); err != nil {
			return err
		}
		h, w := x.Size(2), x.Size(3)
		grid, slope := m.net.Grid(body.Detach(), h, w), m.net.Grid(s.Grad(body), h, w)
		maps := slope.MeanKeep(2, 3).Mul(grid).SumKeep(1).ReLU()
		maps = maps.Interpolate(h, w, torch.InterpolateOptions{Mode: torch.Bilinear})
		heat = heatMaps(b.Samples, index, int(h), int(w), maps.Float32s(nil))
		return s.Err()
	})
	return heat, errors.Join(err, quiet())
}

// withoutGradients keeps gradients from the parameters until restore is called.
func (m *Classifier) withoutGradients() (restore func() error, err error) {
	for _, e := range m.store.Trainable() {
		if err := e.Tensor.SetRequiresGrad(false); err != nil {
			return nil, err
		}
	}
	return func() error { return m.thaw(m.thawed) }, nil
}

// explained are the classes in question: those given, else the likeliest.
func (m *Classifier) explained(logits *torch.Tensor, classes []int) ([]int64, error) {
	if classes == nil {
		return logits.Detach().ArgMax(1).Int64s(nil), logits.Scope().Err()
	}
	index := make([]int64, len(classes))
	for i, c := range classes {
		if c < 0 || c >= len(m.cfg.Classes) {
			return nil, fmt.Errorf("classification: explain: class %d of %d", c, len(m.cfg.Classes))
		}
		index[i] = int64(c)
	}
	return index, nil
}

// heatMaps scales each map to a largest value of 1.
func heatMaps(samples []wildtrain.Sample, index []int64, h, w int, values []float32) []Heat {
	out := make([]Heat, len(samples))
	for i := range out {
		v := values[i*h*w : (i+1)*h*w]
		top := float32(0)
		for _, x := range v {
			top = max(top, x)
		}
		for k := range v {
			if top > 0 {
				v[k] = max(v[k]/top, 0)
			}
		}
		out[i] = Heat{samples[i].ID, int(index[i]), h, w, v}
	}
	return out
}

// Occlusion returns a heat map of every picture in a batch: how much the
// probability of a class (nil: the likeliest of each picture) falls when a grey
// square of window px covers a place, squares being stride px apart; a pixel has
// the mean over the squares that cover it.
func (m *Classifier) Occlusion(ctx context.Context, b *wildtrain.Batch, classes []int, window, stride int) ([]Heat, error) {
	defer b.Release()
	if window < 1 || stride < 1 || stride > window {
		return nil, fmt.Errorf("classification: occlude: window %d px at steps of %d px: want 1 ≤ step ≤ window", window, stride)
	}
	if classes != nil && len(classes) != b.Len() {
		return nil, fmt.Errorf("classification: occlude: %d classes for %d pictures", len(classes), b.Len())
	}
	p := b.Pixels
	if len(p.Images) > 0 || p.U8 == nil || p.Channels != 3 {
		return nil, errors.New("classification: occlude: want a block of 8-bit RGB pictures of one size")
	}
	size := p.Height * p.Width * p.Channels
	out := make([]Heat, b.Len())
	for i, s := range b.Samples {
		o := occluder{m: m, pixels: p.U8[i*size : (i+1)*size], height: p.Height, width: p.Width, window: window, stride: stride}
		class := -1
		if classes != nil {
			class = classes[i]
		}
		var err error
		if out[i], err = o.run(ctx, s.ID, class); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// occluder covers one picture.
type occluder struct {
	m              *Classifier
	pixels         []uint8
	height, width  int
	window, stride int
}

// square is a covered place.
type square struct{ x0, y0, x1, y1 int }

func (o *occluder) run(ctx context.Context, id string, class int) (Heat, error) {
	plain, err := o.probs(ctx, []square{{}})
	if err != nil {
		return Heat{}, err
	}
	if class < 0 {
		class = likeliest(plain[0])
	} else if class >= len(plain[0]) {
		return Heat{}, fmt.Errorf("classification: occlude: class %d of %d", class, len(plain[0]))
	}
	const together = 32 // covered pictures in one pass
	sum, times := make([]float32, o.height*o.width), make([]float32, o.height*o.width)
	squares := o.squares()
	for len(squares) > 0 {
		part := squares[:min(together, len(squares))]
		squares = squares[len(part):]
		probs, err := o.probs(ctx, part)
		if err != nil {
			return Heat{}, err
		}
		for i, q := range part {
			for y := q.y0; y < q.y1; y++ {
				for x := q.x0; x < q.x1; x++ {
					sum[y*o.width+x] += plain[0][class] - probs[i][class]
					times[y*o.width+x]++
				}
			}
		}
	}
	for i := range sum {
		sum[i] = max(sum[i]/max(times[i], 1), 0)
	}
	return heatMaps([]wildtrain.Sample{{ID: id}}, []int64{int64(class)}, o.height, o.width, sum)[0], nil
}

// squares cover the whole picture, the last of a row or column at its edge.
func (o *occluder) squares() []square {
	starts := func(length int) (at []int) {
		last := max(length-o.window, 0)
		for i := 0; i < last; i += o.stride {
			at = append(at, i)
		}
		return append(at, last)
	}
	var out []square
	for _, y := range starts(o.height) {
		for _, x := range starts(o.width) {
			out = append(out, square{x, y, min(x+o.window, o.width), min(y+o.window, o.height)})
		}
	}
	return out
}

// probs are the probabilities of the picture with each of the squares covered.
func (o *occluder) probs(ctx context.Context, squares []square) ([][]float32, error) {
	mean := [3]uint8{}
	for c := range mean { // what becomes 0 after normalisation
		mean[c] = uint8(math.Round(min(max(o.m.cfg.Input.Mean[c]/o.m.cfg.Input.Scale, 0), 255)))
	}
	block := make([]uint8, 0, len(squares)*len(o.pixels))
	for _, q := range squares {
		start := len(block)
		block = append(block, o.pixels...)
		for y := q.y0; y < q.y1; y++ {
			for x := q.x0; x < q.x1; x++ {
				copy(block[start+(y*o.width+x)*3:], mean[:])
			}
		}
	}
	pixels := wildtrain.Pixels{N: len(squares), Height: o.height, Width: o.width, Channels: 3, U8: block}
	found, err := o.m.Predict(ctx, wildtrain.NewBatch(pixels, make([]wildtrain.Sample, len(squares)), nil))
	if err != nil {
		return nil, err
	}
	out := make([][]float32, len(found))
	for i, p := range found {
		out[i] = p.Probs
	}
	return out, nil
}

func likeliest(probs []float32) int {
	best := 0
	for i, p := range probs {
		if p > probs[best] {
			best = i
		}
	}
	return best
}
