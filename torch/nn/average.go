package nn

import (
	"fmt"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/wildtrain"
)

// Average is an exponential moving average of a Store's parameters and
// floating-point buffers; other buffers are copied (Polyak and Juditsky 1992,
// as detectors use it). It has its own tensors, in the layouts of the store's.
type Average struct {
	store   *Store
	root    *torch.Scope
	names   []string
	raw     []*torch.Tensor
	mean    []*torch.Tensor
	swapped bool
}

// NewAverage returns an average that begins with the present values. The store
// must be complete and outlive it.
func NewAverage(s *Store) *Average {
	a := &Average{store: s, root: torch.NewRoot(s.Device())}
	for _, e := range s.entries {
		a.names = append(a.names, e.Name)
		a.raw = append(a.raw, e.Tensor)
		a.mean = append(a.mean, a.root.Copy(e.Tensor))
	}
	return a
}

// Update folds the present values in: mean = decay·mean + (1−decay)·values.
func (a *Average) Update(decay float64) error {
	if a.swapped {
		return fmt.Errorf("nn: update average: the averaged values are in use")
	}
	return torch.EMA(a.mean, a.raw, decay)
}

// State is a view of the averaged values under the store's names. While they
// are swapped in, it shows the raw ones.
func (a *Average) State() torch.State {
	st := make(torch.State, len(a.names))
	for i, n := range a.names {
		st[n] = a.mean[i]
	}
	return st
}

// Swap exchanges averaged and raw values; a second Swap restores them.
func (a *Average) Swap() error {
	if err := torch.Swap(a.raw, a.mean); err != nil {
		return err
	}
	a.swapped = !a.swapped
	return nil
}

// With runs fn with the averaged values in the place of the raw ones, which
// come back also when fn panics.
func (a *Average) With(fn func() error) (err error) {
	if a.swapped {
		return fmt.Errorf("nn: with average: the averaged values are in use already")
	}
	if err := a.Swap(); err != nil {
		return err
	}
	defer func() {
		if back := a.Swap(); err == nil {
			err = back
		}
	}()
	return fn()
}

// Close frees the averaged values.
func (a *Average) Close() error {
	a.root.Close()
	a.names, a.raw, a.mean = nil, nil, nil
	return nil
}

// Averaging makes a model that embeds it a wildtrain.Averager of its store.
type Averaging struct {
	store   *Store
	average *Average // nil before the first Average
}

// NewAveraging returns the averaging of a store; nothing is copied before the
// first Average.
func NewAveraging(s *Store) Averaging { return Averaging{store: s} }

// Average implements wildtrain.Averager.
func (a *Averaging) Average(decay float64) error {
	if a.average == nil {
		a.average = NewAverage(a.store)
	}
	return a.average.Update(decay)
}

// Averaged implements wildtrain.Averager.
func (a *Averaging) Averaged() wildtrain.State {
	if a.average == nil {
		return nil
	}
	return a.average.State()
}

// WithAverage implements wildtrain.Averager.
func (a *Averaging) WithAverage(fn func() error) error {
	if a.average == nil {
		return fn()
	}
	return a.average.With(fn)
}

// Forget frees the average, if there is one.
func (a *Averaging) Forget() {
	if a.average != nil {
		a.average.Close()
		a.average = nil
	}
}
