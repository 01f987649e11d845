package wildtraintest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/wildtrain/sdk/wildtrain"
)

// TestSaver checks a Saver, and a Resumer where it is one: a snapshot comes back
// bit by bit, saving again replaces as a whole, a save that fails leaves the
// previous one as it was, and an absent one is wildtrain.ErrNoCheckpoint. New
// makes a fresh, empty Saver; reopen makes another one over the same storage
// (nil: the same value is used on).
func TestSaver(t *testing.T, f func() (wildtrain.Saver, error), reopen func(wildtrain.Saver) (wildtrain.Saver, error)) {
	t.Helper()
	if reopen == nil {
		reopen = func(s wildtrain.Saver) (wildtrain.Saver, error) { return s, nil }
	}
	s, err := f()
	if err != nil {
		t.Fatal(err)
	}
	checks := []check{saveNamesPath(f)}
	if _, ok := s.(wildtrain.Resumer); ok {
		checks = append(checks, resumeChecks(f, reopen)...)
	}
	runChecks(t, checks)
}

func saveNamesPath(f func() (wildtrain.Saver, error)) check {
	return check{"saving last, best and an epoch tells where", func(ctx context.Context) error {
		s, err := f()
		if err != nil {
			return err
		}
		for _, which := range []string{"last", "best", "epoch0003"} {
			snap := exampleSnapshot(1)
			snap.Which = which
			path, err := s.Save(ctx, snap)
			if err != nil {
				return err
			}
			if path == "" {
				return fmt.Errorf("save %s: no path", which)
			}
		}
		return nil
	}}
}

func resumeChecks(f func() (wildtrain.Saver, error), reopen func(wildtrain.Saver) (wildtrain.Saver, error)) []check {
	withSaved := func(fn func(context.Context, wildtrain.Saver) error) func(context.Context) error {
		return func(ctx context.Context) error {
			s, err := f()
			if err != nil {
				return err
			}
			if _, err := s.Save(ctx, exampleSnapshot(1)); err != nil {
				return err
			}
			return fn(ctx, s)
		}
	}
	comesBack := func(ctx context.Context, s wildtrain.Saver, seed uint64) error {
		s, err := reopen(s)
		if err != nil {
			return err
		}
		return loadsAs(ctx, s.(wildtrain.Resumer), exampleSnapshot(seed))
	}
	return []check{
		{"an absent checkpoint is ErrNoCheckpoint", func(ctx context.Context) error {
			s, err := f()
			if err != nil {
				return err
			}
			if err := s.(wildtrain.Resumer).Load(ctx, "last", exampleSnapshot(1)); !errors.Is(err, wildtrain.ErrNoCheckpoint) {
				return fmt.Errorf("load: %v, want ErrNoCheckpoint", err)
			}
			return nil
		}},
		{"a snapshot comes back bit by bit", withSaved(func(ctx context.Context, s wildtrain.Saver) error {
			return comesBack(ctx, s, 1)
		})},
		{"saving again replaces", withSaved(func(ctx context.Context, s wildtrain.Saver) error {
			if _, err := s.Save(ctx, exampleSnapshot(2)); err != nil {
				return err
			}
			return comesBack(ctx, s, 2)
		})},
		{"best does not touch last", withSaved(func(ctx context.Context, s wildtrain.Saver) error {
			best := exampleSnapshot(2)
			best.Which = "best"
			if _, err := s.Save(ctx, best); err != nil {
				return err
			}
			return comesBack(ctx, s, 1)
		})},
		{"a save that fails leaves the previous one", withSaved(func(ctx context.Context, s wildtrain.Saver) error {
			bad := exampleSnapshot(2)
			bad.Optimizer = unreadable{bad.Optimizer}
			if _, err := s.Save(ctx, bad); !errors.Is(err, errUnreadable) {
				return fmt.Errorf("save of an unreadable state: %v, want its error", err)
			}
			return comesBack(ctx, s, 1)
		})},
		{"a snapshot without average and optimiser comes back", func(ctx context.Context) error {
			s, err := f()
			if err != nil {
				return err
			}
			snap := exampleSnapshot(1)
			snap.Averaged, snap.Optimizer, snap.Groups, snap.Random, snap.Metrics = nil, nil, nil, nil, nil
			if _, err := s.Save(ctx, snap); err != nil {
				return err
			}
			if s, err = reopen(s); err != nil {
				return err
			}
			return loadsAs(ctx, s.(wildtrain.Resumer), snap)
		}},
		{"a state that was not saved stays as it is", func(ctx context.Context) error {
			s, err := f()
			if err != nil {
				return err
			}
			snap := exampleSnapshot(1)
			snap.Averaged = nil
			if _, err := s.Save(ctx, snap); err != nil {
				return err
			}
			if s, err = reopen(s); err != nil {
				return err
			}
			got := exampleSnapshot(5)
			if err := s.(wildtrain.Resumer).Load(ctx, "last", got); err != nil {
				return err
			}
			return errors.Join(different(Diff(got.Averaged, exampleSnapshot(5).Averaged)), different(Diff(got.Model, snap.Model)))
		}},
		{"a model of another shape is an error", withSaved(func(ctx context.Context, s wildtrain.Saver) error {
			other := exampleSnapshot(3)
			wrong := &Tensors{}
			wrong.AddFloat32("a.weight", []int64{1}, 0)
			other.Model = wrong
			if s.(wildtrain.Resumer).Load(ctx, "last", other) == nil {
				return errors.New("loading into a model of other shapes is no error")
			}
			return nil
		})},
	}
}

// loadsAs loads "last" into states of other content and compares with want.
func loadsAs(ctx context.Context, s wildtrain.Resumer, want *wildtrain.Snapshot) error {
	got := exampleSnapshot(99)
	got.Progress, got.Groups, got.Random, got.Metrics = wildtrain.Progress{}, nil, nil, nil
	if want.Averaged == nil {
		got.Averaged = nil
	}
	if want.Optimizer == nil {
		got.Optimizer = nil
	}
	if err := s.Load(ctx, want.Which, got); err != nil {
		return err
	}
	for _, p := range []struct {
		name      string
		got, want wildtrain.State
	}{{"model", got.Model, want.Model}, {"averaged", got.Averaged, want.Averaged}, {"optimizer", got.Optimizer, want.Optimizer}} {
		if err := different(Diff(p.got, p.want)); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	if !reflect.DeepEqual(got.Progress, want.Progress) {
		return fmt.Errorf("progress is %+v, want %+v", got.Progress, want.Progress)
	}
	if !equalOrEmpty(got.Groups, want.Groups) || !equalOrEmpty(got.Random, want.Random) || !equalOrEmpty(got.Metrics, want.Metrics) {
		return fmt.Errorf("groups, random state or metrics differ: %v %v %v, want %v %v %v",
			got.Groups, got.Random, got.Metrics, want.Groups, want.Random, want.Metrics)
	}
	return nil
}

func equalOrEmpty[T any](a, b []T) bool {
	return len(a) == 0 && len(b) == 0 || reflect.DeepEqual(a, b)
}

// exampleSnapshot has every field set, with numbers that do not survive a short
// decimal form; its states depend on the seed.
func exampleSnapshot(seed uint64) *wildtrain.Snapshot {
	return &wildtrain.Snapshot{
		Which: "last",
		Progress: wildtrain.Progress{
			Epoch: 3, Batch: 7, Step: 1 << 40, Images: 12345, Averages: 5, Skipped: 1,
			Best: 0.1 + 0.2, BestEpoch: 2, SinceBest: 1, Seconds: 1.0 / 3, Seed: 1<<64 - 1,
			LossNames: []string{"loss", "box"}, LossSum: []float64{1e-300, 2.0 / 3}, LossCount: 7,
		},
		Describe: wildtrain.Description{Task: "detection", Architecture: "test", Classes: []string{"zebra", "éléphant"}, Stride: 32, Parameters: 7},
		Model: exampleState(seed, map[string]wildtrain.Info{
			"a.weight": {DType: wildtrain.Float32, Shape: []int64{2, 3}},
			"a.bias":   {DType: wildtrain.BFloat16, Shape: []int64{3}},
			"b.count":  {DType: wildtrain.Int64},
			"empty":    {DType: wildtrain.Float32, Shape: []int64{0, 4}},
		}),
		Averaged: exampleState(seed+1000, map[string]wildtrain.Info{
			"a.weight": {DType: wildtrain.Float32, Shape: []int64{2, 3}},
			"a.bias":   {DType: wildtrain.BFloat16, Shape: []int64{3}},
		}),
		Optimizer: exampleState(seed+2000, map[string]wildtrain.Info{
			"a.weight.momentum": {DType: wildtrain.Float32, Shape: []int64{2, 3}},
			"step":              {DType: wildtrain.Float64},
		}),
		Groups:  []wildtrain.Group{{Name: "weights", LR: 0.1, Momentum: 0.9, Decay: 5e-4, Parameters: 6}, {Name: "biases", Role: wildtrain.Biases}},
		Random:  []byte{0, 1, 255, byte(seed)},
		Metrics: []wildtrain.Value{{Name: "mAP50-95", Value: 1.0 / 7}},
	}
}

func exampleState(seed uint64, infos map[string]wildtrain.Info) *Tensors {
	t := &Tensors{}
	for name, info := range infos {
		t.Add(name, info, Values(info, seed+uint64(len(name))))
	}
	return t
}

var errUnreadable = errors.New("wildtraintest: this state cannot be read")

// unreadable fails in the middle of being saved, as a full disk or a lost device would.
type unreadable struct{ wildtrain.State }

func (u unreadable) Read(name string, dst []byte) error {
	if name == u.Names()[len(u.Names())-1] {
		return errUnreadable
	}
	return u.State.Read(name, dst)
}
