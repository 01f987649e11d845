package classification

import (
	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/nn"
)

// mlp is the head that Head describes.
type mlp struct {
	layers  []*nn.Linear
	dropout nn.Dropout
}

func newMLP(b *nn.Builder, width int64, h Head, classes int) *mlp {
	m := &mlp{dropout: nn.Dropout{P: h.Dropout}}
	for i := range h.Layers {
		out := int64(h.Hidden)
		if i == h.Layers-1 {
			out = int64(classes)
		}
		m.layers = append(m.layers, nn.NewLinear(b.At(i), width, out, true))
		width = out
	}
	return m
}

// Forward implements nn.Module: (N, width) → (N, classes).
func (m *mlp) Forward(x *torch.Tensor) *torch.Tensor {
	return x.Sub(func() *torch.Tensor {
		for i, l := range m.layers {
			if i > 0 {
				x = m.dropout.Forward(x.ReLU())
			}
			x = l.Forward(x)
		}
		return x
	})
}
