package wildtraintest

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/wildtrain/sdk/wildtrain"
)

// Memory is a Saver and a Resumer that keeps copies of snapshots in memory. The
// zero value is empty and ready.
type Memory struct {
	mu    sync.Mutex
	snaps map[string]wildtrain.Snapshot
	Order []string // what was saved, in order
	Fail  error    // every Save returns this where it is set
}

// Save implements wildtrain.Saver. It copies everything.
func (m *Memory) Save(ctx context.Context, s *wildtrain.Snapshot) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if m.Fail != nil {
		return "", m.Fail
	}
	kept := *s
	for _, p := range []*wildtrain.State{&kept.Model, &kept.Averaged, &kept.Optimizer} {
		if *p == nil {
			continue
		}
		c, err := Copy(*p)
		if err != nil {
			return "", err
		}
		*p = c
	}
	kept.Progress = cloneProgress(s.Progress)
	kept.Groups, kept.Random, kept.Metrics = slices.Clone(s.Groups), slices.Clone(s.Random), slices.Clone(s.Metrics)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.snaps == nil {
		m.snaps = map[string]wildtrain.Snapshot{}
	}
	m.snaps[s.Which] = kept
	m.Order = append(m.Order, s.Which)
	return "memory:" + s.Which, nil
}

// Load implements wildtrain.Resumer.
func (m *Memory) Load(_ context.Context, which string, s *wildtrain.Snapshot) error {
	kept, ok := m.Get(which)
	if !ok {
		return fmt.Errorf("wildtraintest: load %q: %w", which, wildtrain.ErrNoCheckpoint)
	}
	for _, p := range []struct{ dst, src wildtrain.State }{{s.Model, kept.Model}, {s.Averaged, kept.Averaged}, {s.Optimizer, kept.Optimizer}} {
		if p.dst == nil || p.src == nil {
			continue
		}
		if err := Fill(p.dst, p.src); err != nil {
			return fmt.Errorf("wildtraintest: load %q: %w", which, err)
		}
	}
	s.Which, s.Describe, s.Progress = which, kept.Describe, cloneProgress(kept.Progress)
	s.Groups, s.Random, s.Metrics = slices.Clone(kept.Groups), slices.Clone(kept.Random), slices.Clone(kept.Metrics)
	return nil
}

// Get returns what was saved last under a name.
func (m *Memory) Get(which string) (wildtrain.Snapshot, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.snaps[which]
	return s, ok
}

func cloneProgress(p wildtrain.Progress) wildtrain.Progress {
	p.LossNames, p.LossSum = slices.Clone(p.LossNames), slices.Clone(p.LossSum)
	return p
}
