package classification

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/wildtrain/sdk/checkpoint"
	"github.com/wildtrain/sdk/wildtrain"
)

// load fills the model from source and reports how they met. Where the classes
// of both are known, the last layer's rows go by the classes' names.
func (m *Classifier) load(source wildtrain.State) error {
	if source == nil {
		return nil
	}
	if old := m.cfg.WeightClasses; len(old) > 0 && !slices.Equal(old, m.cfg.Classes) {
		m.loaded = m.store.Load(without{source, m.lastLayer()})
		if err := m.joinHead(source, old); err != nil {
			return err
		}
	} else {
		m.loaded = m.store.Load(source)
	}
	// files from before PyTorch 0.4.1 do not count batches
	m.loaded.Missing = slices.DeleteFunc(m.loaded.Missing, func(n string) bool { return strings.HasSuffix(n, ".num_batches_tracked") })
	if m.cfg.Partial {
		return nil
	}
	return m.loaded.Err()
}

// lastLayer names the weight and the bias whose rows are classes.
func (m *Classifier) lastLayer() []string {
	prefix := m.net.Head
	if m.head != nil {
		prefix = fmt.Sprintf("mlp.%d", len(m.head.layers)-1)
	}
	return []string{prefix + ".weight", prefix + ".bias"}
}

// without hides some tensors of a State.
type without struct {
	wildtrain.State
	hidden []string
}

// Names implements wildtrain.State.
func (w without) Names() []string {
	return slices.DeleteFunc(slices.Clone(w.State.Names()), func(n string) bool { return slices.Contains(w.hidden, n) })
}

// Info implements wildtrain.State.
func (w without) Info(name string) (wildtrain.Info, bool) {
	if slices.Contains(w.hidden, name) {
		return wildtrain.Info{}, false
	}
	return w.State.Info(name)
}

// joinHead copies the rows of classes that both sides have; the rows of new
// classes stay as initialised and count as missing, "fc.weight[impala]".
func (m *Classifier) joinHead(source wildtrain.State, old []string) error {
	state := m.store.State()
	for _, name := range m.lastLayer() {
		want, ok := state.Info(name)
		if !ok {
			continue // a feature extractor
		}
		have, ok := source.Info(name)
		if !ok || len(have.Shape) != len(want.Shape) || have.Shape[0] != int64(len(old)) || !slices.Equal(have.Shape[1:], want.Shape[1:]) {
			continue // another head: it stays missing
		}
		from, err := checkpoint.Float32(source, name)
		if err != nil {
			return fmt.Errorf("classification: load %s: %w", name, err)
		}
		to, err := checkpoint.Float32(state, name)
		if err != nil {
			return fmt.Errorf("classification: load %s: %w", name, err)
		}
		m.loaded.Missing = slices.DeleteFunc(m.loaded.Missing, func(n string) bool { return n == name })
		width := len(to) / len(m.cfg.Classes)
		for i, class := range m.cfg.Classes {
			if k := slices.Index(old, class); k >= 0 {
				copy(to[i*width:(i+1)*width], from[k*width:(k+1)*width])
			} else {
				m.loaded.Missing = append(m.loaded.Missing, fmt.Sprintf("%s[%s]", name, class))
			}
		}
		m.loaded.Loaded++
		raw := make([]byte, 0, 4*len(to))
		for _, v := range to {
			raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
		}
		if err := state.Write(name, raw); err != nil {
			return fmt.Errorf("classification: load %s: %w", name, err)
		}
	}
	return nil
}
