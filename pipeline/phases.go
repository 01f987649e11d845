package pipeline

import (
	"context"
	"fmt"
	"slices"

	"github.com/wildtrain/sdk/config"
	"github.com/wildtrain/sdk/wildtrain"
)

// Phase is a part of a training with a learning rate and frozen parts of its own.
// Which pictures it has is told by Data.Curriculum.
type Phase struct {
	Epochs int      // the last phase lasts to the end, whatever this says
	LR     float64  // at its beginning; 0: one schedule over all phases
	Freeze []string // name prefixes of parts that do not train in it; nil: Model.Freeze
}

// phasesOf reads the phases of a curriculum that has more than pictures to change.
func phasesOf(c config.Curriculum) []Phase {
	if !c.Enabled || len(c.Freeze) == 0 && len(c.LR0s) == 0 {
		return nil
	}
	out := make([]Phase, len(c.Epochs))
	for i, n := range c.Epochs {
		out[i].Epochs = n
		if len(c.LR0s) > 0 {
			out[i].LR = c.LR0s[i]
		}
		if len(c.Freeze) > 0 {
			out[i].Freeze = firstParts(c.Freeze[i])
		}
	}
	return out
}

// firstParts names the first parts of a YOLO.
func firstParts(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("model.%d", i)
	}
	return out
}

// schedule is what the loop is to know of the phases.
func (s Settings) schedule() []wildtrain.Phase {
	if !slices.ContainsFunc(s.Phases, func(p Phase) bool { return p.LR > 0 }) || s.Optimizer.LR == 0 {
		return nil
	}
	out := make([]wildtrain.Phase, len(s.Phases))
	for i, p := range s.Phases {
		out[i] = wildtrain.Phase{Epochs: p.Epochs, LR: p.LR / s.Optimizer.LR}
	}
	return out
}

// phase is the one that an epoch belongs to.
func (s Settings) phase(epoch int) Phase {
	for _, p := range s.Phases[:len(s.Phases)-1] {
		if epoch < p.Epochs {
			return p
		}
		epoch -= p.Epochs
	}
	return s.Phases[len(s.Phases)-1]
}

// freezesByPhase reports whether phases say what is frozen.
func (s Settings) freezesByPhase() bool {
	return slices.ContainsFunc(s.Phases, func(p Phase) bool { return p.Freeze != nil })
}

// freezing is the callback that freezes each phase's parts. It goes by the epoch,
// so that a resumed run goes on where it was. The optimiser holds all parameters
// from the beginning: what is frozen gets no gradient.
func (s Settings) freezing(m network) wildtrain.Callback {
	return wildtrain.CallbackFunc(func(_ context.Context, e *wildtrain.Event) error {
		if e.Kind != wildtrain.EpochStart || !s.freezesByPhase() {
			return nil
		}
		names := s.phase(e.Progress.Epoch).Freeze
		if names == nil {
			names = s.Model.Freeze
		}
		return m.Freeze(names...)
	})
}
