package classification

import (
	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/jit"
)

// Script implements jit.Scripter: pictures (N, 3, H, W) in 0..1 are normalised and
// become probabilities (N, classes), of logits divided by the temperature; of a
// feature extractor (N, width).
func (m *Classifier) Script() (jit.Script, error) {
	return jit.Script{Tensors: m.store.Entries(), Forward: func(images *torch.Tensor) (*torch.Tensor, error) {
		x := m.normalise(images.Scope(), images.MulScalar(255*m.cfg.Input.Scale))
		f := m.net.Features(x)
		if len(m.cfg.Classes) == 0 {
			return f, nil
		}
		return m.probs(m.logits(f)), nil
	}}, nil
}
