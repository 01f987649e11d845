package classification

import (
	"context"
	"slices"
	"strings"

	"github.com/wildtrain/sdk/torch/nn"
	"github.com/wildtrain/sdk/wildtrain"
)

// Freeze implements wildtrain.Freezer: prefixes are names such as "layer1" or
// "blocks.0"; "backbone" stands for everything but the head.
func (m *Classifier) Freeze(prefixes ...string) error {
	m.frozen = slices.Clone(prefixes)
	if m.cfg.UnfreezeEvery > 0 {
		return m.thaw(max(m.thawed, 1))
	}
	return m.thaw(m.net.Blocks())
}

// thaw lets the given number of blocks, counted from the head, train, but for
// what Freeze named.
func (m *Classifier) thaw(blocks int) error {
	m.thawed = blocks
	var names []string
	for _, p := range m.frozen {
		if p != "backbone" {
			names = append(names, p)
		}
	}
	all := slices.Contains(m.frozen, "backbone")
	for _, e := range m.store.Entries() {
		if depth := m.net.Depth(e.Name); depth >= blocks || all && !m.inHead(e.Name) {
			names = append(names, e.Name)
		}
	}
	return m.store.Freeze(names...)
}

func (m *Classifier) inHead(name string) bool {
	if m.head != nil {
		return strings.HasPrefix(name, "mlp.")
	}
	return strings.HasPrefix(name, m.net.Head+".")
}

// trunkTrains tells whether anything below the head does.
func (m *Classifier) trunkTrains() bool {
	return slices.ContainsFunc(m.store.Entries(), func(e *nn.Entry) bool { return e.Trains() && !m.inHead(e.Name) })
}

// Unfreezing is the callback that makes UnfreezeEvery work: training begins with
// the head alone, and every so many epochs one more block, from the head down,
// joins in. It goes by the epoch, so that a resumed run continues where it was.
func (m *Classifier) Unfreezing() wildtrain.Callback {
	return wildtrain.CallbackFunc(func(_ context.Context, e *wildtrain.Event) error {
		if e.Kind != wildtrain.EpochStart || m.cfg.UnfreezeEvery == 0 {
			return nil
		}
		return m.thaw(min(1+e.Progress.Epoch/m.cfg.UnfreezeEvery, m.net.Blocks()))
	})
}
