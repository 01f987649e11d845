package pyramid

import (
	"context"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/wildtrain"
)

// Learn runs forward and backward with batch norm in evaluation on images of
// their own size; the first candidates are the ones to learn from.
func (m *Detector) Learn(images func(s *torch.Scope) *torch.Tensor, samples []wildtrain.Sample) ([]float64, error) {
	var parts []float64
	err := torch.Run(context.Background(), torch.CPU, torch.Mode{Grad: true}, func(s *torch.Scope) error {
		im := m.cfg.Transform.apply(s, rows(images(s)), true)
		packed, err := m.loss(s, m.net.forward(im.Pixels), im, samples, first)
		if err != nil {
			return err
		}
		parts, err = m.Backward(packed, 1)
		return err
	})
	return parts, err
}

func first(_, k int) []int {
	out := make([]int, k)
	for i := range out {
		out[i] = i
	}
	return out
}

// Losses are the names of Learn's numbers.
func (m *Detector) Losses() []string { return m.head.Losses() }

// NormEps is what the backbone's batch norm came to have.
func (m *Detector) NormEps() float64 { return m.cfg.NormEps }
