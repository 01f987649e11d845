package detection

import (
	"fmt"
	"strings"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/jit"
	"github.com/wildtrain/sdk/torch/nn"
	"github.com/wildtrain/sdk/torch/nn/block"
)

// Script implements jit.Scripter: pictures (N, 3, H, W) in 0..1 become (N, 4+nc,
// anchors), boxes as centre and size in pixels, then class probabilities, before
// suppression. Batch norm is folded into the convolutions, as Fuse does it: each
// has a weight and a bias under its own name. Models with masks, whose prototypes
// are a second tensor, have no script.
func (m *YOLO) Script() (jit.Script, error) {
	if m.Masks() {
		return jit.Script{}, fmt.Errorf("detection: write %s: %w", m.cfg.Architecture, jit.ErrNone)
	}
	if err := m.Fuse(); err != nil {
		return jit.Script{}, err
	}
	fused := map[*torch.Tensor]*block.Conv{} // by the weight that is not used
	for _, mod := range m.Store().Modules() {
		if c, ok := mod.(*block.Conv); ok {
			fused[c.Conv.Weight] = c
		}
	}
	var tensors []*nn.Entry
	for _, e := range m.Store().Entries() {
		c, ok := fused[e.Tensor]
		if !ok {
			tensors = append(tensors, e)
			continue
		}
		weight, bias := c.Fused()
		tensors = append(tensors, &nn.Entry{Name: e.Name, Tensor: weight}, &nn.Entry{Name: strings.TrimSuffix(e.Name, "weight") + "bias", Tensor: bias})
	}
	return jit.Script{Tensors: tensors, Forward: func(images *torch.Tensor) (*torch.Tensor, error) {
		return m.net.head.decode(m.net.forward(images)), nil
	}}, nil
}
