package classification

import (
	"context"
	"fmt"
	"math"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/wildtrain"
)

// Features are what a network without its head says of a set of pictures.
type Features struct {
	IDs    []string
	Width  int
	Values []float32 // (pictures, Width)
	Class  []int     // of each picture, the heaviest of its targets; −1 without one
}

// Features gathers the features of all pictures of a loader.
func (m *Classifier) Features(ctx context.Context, l wildtrain.Loader) (*Features, error) {
	f := &Features{Width: int(m.net.Width)}
	for b, err := range l.Batches(ctx) {
		if err != nil {
			return nil, err
		}
		samples := b.Samples
		found, err := m.Embed(ctx, b)
		if err != nil {
			return nil, err
		}
		for i, p := range found {
			class, weight := m.background, float32(0)
			for _, t := range samples[i].Targets {
				if t.Weight > weight {
					class, weight = t.Class, t.Weight
				}
			}
			f.IDs, f.Class, f.Values = append(f.IDs, p.ID), append(f.Class, class), append(f.Values, p.Embedding...)
		}
	}
	return f, nil
}

// check refuses features that nothing can be learnt from.
func (f *Features) check(classes int) error {
	if len(f.Class) == 0 || len(f.Values) != len(f.Class)*f.Width {
		return fmt.Errorf("classification: probe: %d features of width %d for %d pictures", len(f.Values), f.Width, len(f.Class))
	}
	for i, c := range f.Class {
		if c < 0 || c >= classes {
			return fmt.Errorf("classification: probe: picture %s has class %d of %d", f.IDs[i], c, classes)
		}
	}
	return nil
}

// NearestNeighbours gives each test picture the probabilities that its k nearest
// training pictures vote for, by cosine similarity, a vote weighing
// exp(similarity/temperature). (pictures, classes); 20 and 0.07 are usual.
func NearestNeighbours(ctx context.Context, train, test *Features, classes, k int, temperature float64) ([][]float32, error) {
	if err := train.check(classes); err != nil {
		return nil, err
	}
	if test.Width != train.Width || k < 1 || !(temperature > 0) {
		return nil, fmt.Errorf("classification: nearest neighbours: widths %d and %d, k %d, temperature %g", train.Width, test.Width, k, temperature)
	}
	k = min(k, len(train.Class))
	labels := make([]int64, len(train.Class))
	for i, c := range train.Class {
		labels[i] = int64(c)
	}
	var out [][]float32
	const together = 1024
	for start := 0; start < len(test.IDs); start += together {
		n := min(together, len(test.IDs)-start)
		err := torch.Run(ctx, torch.CPU, torch.Inference, func(s *torch.Scope) error {
			known := unit(torch.Of(s, train.Values, int64(len(labels)), int64(train.Width)))
			asked := unit(torch.Of(s, test.Values[start*test.Width:(start+n)*test.Width], int64(n), int64(test.Width)))
			near, index := asked.MatMul(known.Transpose(0, 1)).TopK(int64(k), 1)
			votes := near.DivScalar(temperature).Softmax(1)
			class := torch.Of(s, labels, int64(len(labels))).IndexSelect(0, index.Flatten(0, 1)).View(int64(n), int64(k))
			probs := s.Zeros(torch.Float, int64(n), int64(classes)).ScatterAdd(1, class, votes).Float32s(nil)
			for i := range n {
				out = append(out, probs[i*classes:(i+1)*classes:(i+1)*classes])
			}
			return s.Err()
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// unit scales rows to length 1.
func unit(x *torch.Tensor) *torch.Tensor {
	return x.Div(x.Square().SumKeep(1).Sqrt().Clamp(1e-12, math.Inf(1)))
}

// Probe is a linear classifier on features: multinomial logistic regression.
type Probe struct {
	classes, width int
	weights        []float64 // (classes, width+1), the last column is the bias
}

// FitProbe minimises C·Σ cross entropy + ½·‖weights‖², biases left out, as
// scikit-learn's LogisticRegression does, by L-BFGS.
func FitProbe(ctx context.Context, train *Features, classes int, c float64) (*Probe, error) {
	if err := train.check(classes); err != nil {
		return nil, err
	}
	if !(c > 0) {
		return nil, fmt.Errorf("classification: probe: C is %g, must be above 0", c)
	}
	p := &Probe{classes: classes, width: train.Width}
	labels := make([]int64, len(train.Class))
	for i, k := range train.Class {
		labels[i] = int64(k)
	}
	err := torch.Run(ctx, torch.CPU, torch.Mode{Grad: true}, func(s *torch.Scope) error {
		n, d := int64(len(labels)), int64(train.Width)
		x, y := torch.Of(s, train.Values, n, d).To(torch.Double), torch.Of(s, labels, n)
		var err error
		p.weights, err = minimize(make([]float64, classes*(train.Width+1)), func(at []float64) (float64, []float64, error) {
			var loss float64
			var slope []float64
			err := torch.Run(ctx, torch.CPU, torch.Mode{Grad: true}, func(inner *torch.Scope) error {
				w := torch.Of(inner, at, int64(classes), d+1)
				if err := w.SetRequiresGrad(true); err != nil {
					return err
				}
				body := w.Narrow(1, 0, d)
				logits := inner.Borrow(x).Linear(body, w.Select(1, d))
				total := logits.CrossEntropy(inner.Borrow(y), nil, torch.Mean, 0).Add(body.Square().Sum().MulScalar(0.5 / (c * float64(n))))
				if err := total.Backward(); err != nil {
					return err
				}
				loss, slope = total.Detach().Item(), inner.Grad(w).Float64s(nil)
				return inner.Err()
			})
			return loss, slope, err
		})
		return err
	})
	return p, err
}

// Probs are the probe's probabilities, (pictures, classes).
func (p *Probe) Probs(f *Features) ([][]float32, error) {
	if f.Width != p.width {
		return nil, fmt.Errorf("classification: probe: features of width %d, want %d", f.Width, p.width)
	}
	out := make([][]float32, len(f.Values)/max(p.width, 1))
	logits := make([]float64, p.classes)
	for i := range out {
		row := f.Values[i*p.width : (i+1)*p.width]
		top, sum := math.Inf(-1), 0.0
		for k := range logits {
			w := p.weights[k*(p.width+1) : (k+1)*(p.width+1)]
			logits[k] = w[p.width]
			for j, v := range row {
				logits[k] += w[j] * float64(v)
			}
			top = max(top, logits[k])
		}
		out[i] = make([]float32, p.classes)
		for k := range logits {
			logits[k] = math.Exp(logits[k] - top)
			sum += logits[k]
		}
		for k, v := range logits {
			out[i][k] = float32(v / sum)
		}
	}
	return out, nil
}
