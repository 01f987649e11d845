package wildtraintest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"testing"

	"github.com/wildtrain/sdk/wildtrain"
)

// ModelCase says how a model is tested.
type ModelCase struct {
	// New makes a fresh model; two of them may differ in their weights.
	New func() (wildtrain.Model, error)
	// Batch makes a batch that the model can learn from; the same number gives the same batch.
	Batch func(number int) *wildtrain.Batch
	// LR is a learning rate at which the loss on one batch falls, with SGD's
	// default momentum and gradients clipped to a norm of 10.
	LR float64
	// Steps is how many steps it takes until it has fallen to less than 9/10.
	// Detectors may rise at first, as predictions begin to match objects.
	Steps int
	// Random tells that two training steps on one batch differ (dropout).
	Random bool
}

// TestModel checks a Model, and the Evaluator, Averager and Randomizer where it
// is one: losses and predictions are sound, batches are released, prediction
// changes nothing, gradients add up and follow the loss scale, the loss falls,
// and State (with the optimiser's and the random state) is all that a resumed
// run needs to go on bit by bit.
func TestModel(t *testing.T, c ModelCase) {
	t.Helper()
	runChecks(t, modelChecks(c))
}

// modelTest is a model with plain SGD.
type modelTest struct {
	ModelCase
	wildtrain.Model
	optimizer wildtrain.Optimizer
}

// with runs fn on a fresh model and optimiser and closes both.
func (c ModelCase) with(cfg wildtrain.OptimizerConfig, fn func(*modelTest) error) error {
	m, err := c.New()
	if err != nil {
		return err
	}
	o, err := m.Optimizer(cfg)
	if err != nil {
		return errors.Join(err, m.Close())
	}
	o.ZeroGrad()
	return errors.Join(fn(&modelTest{c, m, o}), o.Close(), m.Close())
}

// plain is SGD without momentum and decay.
func (c ModelCase) plain() wildtrain.OptimizerConfig {
	return wildtrain.OptimizerConfig{Name: "SGD", LR: c.LR, LayerLRDecay: 1}
}

// momentum is SGD as it is used.
func (c ModelCase) momentum() wildtrain.OptimizerConfig {
	cfg := wildtrain.DefaultOptimizer("SGD")
	cfg.LR = c.LR
	return cfg
}

func modelChecks(c ModelCase) []check {
	on := func(name string, fn func(context.Context, *modelTest) error) check {
		return check{name, func(ctx context.Context) error {
			return c.with(c.plain(), func(m *modelTest) error { return fn(ctx, m) })
		}}
	}
	checks := []check{
		on("it describes itself", func(_ context.Context, m *modelTest) error {
			if d := m.Describe(); d.Task == "" || d.Architecture == "" || d.Parameters <= 0 {
				return fmt.Errorf("description %+v lacks task, architecture or parameters", d)
			}
			return nil
		}),
		on("a training step gives a loss and releases the batch", stepIsSound),
		on("gradients add up and follow the loss scale", gradientsAddUp),
		on("ZeroGrad forgets gradients", func(ctx context.Context, m *modelTest) error {
			if _, err := m.train(ctx, 0, 1); err != nil {
				return err
			}
			m.optimizer.ZeroGrad()
			u, err := m.update()
			if err == nil && norm(u) != 0 {
				err = fmt.Errorf("a step after ZeroGrad moves the weights by %v", norm(u))
			}
			return err
		}),
		{"the loss falls", func(ctx context.Context) error {
			return c.with(c.momentum(), func(m *modelTest) error { return lossFalls(ctx, m) })
		}},
		on("prediction is sound and changes nothing", predictionIsSound),
		{"the states are all that a resumed run needs", func(ctx context.Context) error {
			return c.resumes(ctx, c.momentum())
		}},
	}
	if m, err := c.New(); err == nil {
		if _, ok := m.(wildtrain.Averager); ok {
			checks = append(checks, on("the average is kept and taken back", averages))
		}
		if err := m.Close(); err != nil {
			checks = append(checks, check{"Close works", func(context.Context) error { return err }})
		}
	}
	return checks
}

// train makes one forward and backward pass and checks its loss.
func (m *modelTest) train(ctx context.Context, batch int, scale float64) (float64, error) {
	b, released := m.batch(batch)
	n := b.Len()
	losses, err := m.TrainStep(ctx, b, wildtrain.Step{Scale: scale, Sync: true})
	if err != nil {
		return 0, err
	}
	values, err := losses.Values()
	if err != nil {
		return 0, err
	}
	switch names := losses.Names(); {
	case !*released:
		return 0, fmt.Errorf("the batch of %d is not released", n)
	case len(names) != len(values) || len(values) == 0 || names[0] != "loss":
		return 0, fmt.Errorf("losses %q with %v: want the total, \"loss\", first", names, values)
	case math.IsNaN(values[0]) || math.IsInf(values[0], 0):
		return 0, fmt.Errorf("the loss is %v", values[0])
	}
	return values[0], nil
}

// batch makes a batch that tells when it is released.
func (c ModelCase) batch(number int) (*wildtrain.Batch, *bool) {
	inner, released := c.Batch(number), new(bool)
	return wildtrain.NewBatch(inner.Pixels, inner.Samples, func() {
		*released = true
		inner.Release()
	}), released
}

// update steps the optimiser and returns by how much each weight has moved.
func (m *modelTest) update() (map[string][]float64, error) {
	before, err := Copy(m.State())
	if err != nil {
		return nil, err
	}
	if _, err := m.optimizer.Step(wildtrain.Clip{}); err != nil {
		return nil, err
	}
	after, err := Copy(m.State())
	if err != nil {
		return nil, err
	}
	out := map[string][]float64{}
	for _, n := range before.Names() {
		x, y := before.Floats(n), after.Floats(n)
		for i := range x {
			y[i] -= x[i]
		}
		out[n] = y
	}
	return out, nil
}

func norm(update map[string][]float64) float64 {
	sum := 0.0
	for _, u := range update {
		for _, v := range u {
			sum += v * v
		}
	}
	return math.Sqrt(sum)
}

func stepIsSound(ctx context.Context, m *modelTest) error {
	if _, err := m.train(ctx, 0, 1); err != nil {
		return err
	}
	u, err := m.update()
	if err == nil && norm(u) == 0 {
		err = errors.New("the optimiser's step moves no weight")
	}
	return err
}

func gradientsAddUp(ctx context.Context, m *modelTest) error {
	start, err := Copy(m.State())
	if err != nil {
		return err
	}
	moved := func(scales ...float64) (map[string][]float64, error) {
		if err := Fill(m.State(), start); err != nil {
			return nil, err
		}
		m.optimizer.ZeroGrad()
		for _, s := range scales {
			if _, err := m.train(ctx, 0, s); err != nil {
				return nil, err
			}
		}
		return m.update()
	}
	nothing, err := moved(0)
	if err != nil {
		return err
	}
	if n := norm(nothing); n != 0 {
		return fmt.Errorf("loss scale 0 moves the weights by %v", n)
	}
	once, err := moved(1)
	if err != nil || m.Random {
		return err
	}
	halves, err := moved(0.5, 0.5)
	if err != nil {
		return err
	}
	size := norm(once)
	for n, u := range halves {
		for i := range u {
			u[i] -= once[n][i]
		}
	}
	if d := norm(halves); d > 1e-3*size {
		return fmt.Errorf("two passes at half the scale differ from one by %v of %v", d, size)
	}
	return nil
}

func lossFalls(ctx context.Context, m *modelTest) error {
	var first, last float64
	for i := range m.Steps + 1 {
		loss, err := m.train(ctx, 0, 1)
		if err != nil {
			return err
		}
		if last = loss; i == 0 {
			first = loss
		}
		if _, err := m.optimizer.Step(wildtrain.Clip{Norm: 10}); err != nil {
			return err
		}
		m.optimizer.ZeroGrad()
	}
	if !(last < 0.9*first) {
		return fmt.Errorf("from %v to %v in %d steps on one batch", first, last, m.Steps)
	}
	return nil
}

func predictionIsSound(ctx context.Context, m *modelTest) error {
	before, err := Copy(m.State())
	if err != nil {
		return err
	}
	first, err := m.predict(ctx)
	if err != nil {
		return err
	}
	second, err := m.predict(ctx)
	if err != nil {
		return err
	}
	if !reflect.DeepEqual(first, second) {
		return errors.New("predicting twice gives different results")
	}
	if e, ok := m.Model.(wildtrain.Evaluator); ok {
		b, released := m.batch(1)
		losses, third, err := e.Evaluate(ctx, b)
		if err != nil {
			return err
		}
		if losses == nil || !*released || !reflect.DeepEqual(first, third) {
			return errors.New("Evaluate gives no losses, keeps the batch or predicts otherwise than Predict")
		}
	}
	return different(Diff(m.State(), before))
}

func (m *modelTest) predict(ctx context.Context) ([]wildtrain.Prediction, error) {
	b, released := m.batch(1)
	samples := b.Samples
	out, err := m.Predict(ctx, b)
	if err != nil {
		return nil, err
	}
	if !*released || len(out) != len(samples) {
		return nil, fmt.Errorf("%d predictions for %d samples, batch released: %v", len(out), len(samples), *released)
	}
	for i, p := range out {
		if p.ID != samples[i].ID {
			return nil, fmt.Errorf("prediction %d is of %q, want %q", i, p.ID, samples[i].ID)
		}
		for j, o := range p.Objects {
			if !o.Box.Finite() || !(o.Score >= 0 && o.Score <= 1) || j > 0 && o.Score > p.Objects[j-1].Score {
				return nil, fmt.Errorf("%q: object %d %+v is not finite, has no score or comes out of order", p.ID, j, o)
			}
		}
	}
	return out, nil
}

// resumes trains a model on, and another one that got its states in the middle.
func (c ModelCase) resumes(ctx context.Context, cfg wildtrain.OptimizerConfig) error {
	const half = 3
	return c.with(cfg, func(a *modelTest) error {
		if err := a.steps(ctx, 0, half); err != nil {
			return err
		}
		return c.with(cfg, func(b *modelTest) error {
			if err := b.steps(ctx, 9, 1); err != nil { // it has a past of its own
				return err
			}
			if err := errors.Join(Fill(b.State(), a.State()), Fill(b.optimizer.State(), a.optimizer.State())); err != nil {
				return err
			}
			if r, ok := a.Model.(wildtrain.Randomizer); ok {
				state, err := r.RandomState()
				if err != nil {
					return err
				}
				if err := b.Model.(wildtrain.Randomizer).SetRandomState(state); err != nil {
					return err
				}
			}
			for _, m := range []*modelTest{a, b} {
				if err := m.steps(ctx, half, half); err != nil {
					return err
				}
			}
			return errors.Join(different(Diff(b.State(), a.State())), different(Diff(b.optimizer.State(), a.optimizer.State())))
		})
	})
}

// steps takes n optimiser steps on the batches from first on.
func (m *modelTest) steps(ctx context.Context, first, n int) error {
	for i := range n {
		if _, err := m.train(ctx, first+i, 1); err != nil {
			return err
		}
		if _, err := m.optimizer.Step(wildtrain.Clip{Norm: 10}); err != nil {
			return err
		}
		m.optimizer.ZeroGrad()
	}
	return nil
}

func averages(ctx context.Context, m *modelTest) error {
	a := m.Model.(wildtrain.Averager)
	if a.Averaged() != nil {
		return errors.New("there is an average before the first Average")
	}
	if err := a.Average(0.5); err != nil {
		return err
	}
	start, err := Copy(a.Averaged())
	if err != nil {
		return err
	}
	for _, n := range start.Names() {
		if x := start.Floats(n); !reflect.DeepEqual(x, must(Copy(m.State())).Floats(n)) {
			return fmt.Errorf("the first average of %q is no copy", n)
		}
	}
	if err := m.steps(ctx, 0, 2); err != nil {
		return err
	}
	raw, err := Copy(m.State())
	if err != nil {
		return err
	}
	if err := a.Average(0.25); err != nil {
		return err
	}
	now, err := Copy(a.Averaged())
	if err != nil {
		return err
	}
	for _, n := range start.Names() {
		if info, _ := start.Info(n); !floating(info.DType) {
			continue // counters are copied
		}
		was, is, w := start.Floats(n), now.Floats(n), raw.Floats(n)
		for i := range is {
			if want := 0.25*was[i] + 0.75*w[i]; math.Abs(is[i]-want) > 1e-5*(math.Abs(want)+1e-3) {
				return fmt.Errorf("the average of %q is %v, want %v", n, is[i], want)
			}
		}
	}
	failed := errors.New("from within")
	err = a.WithAverage(func() error {
		inside, err := Copy(m.State())
		if err != nil {
			return err
		}
		for _, n := range now.Names() {
			if !reflect.DeepEqual(inside.Floats(n), now.Floats(n)) {
				return fmt.Errorf("within WithAverage %q is not the average", n)
			}
		}
		return failed
	})
	if !errors.Is(err, failed) {
		return fmt.Errorf("WithAverage: %v, want the function's error", err)
	}
	return errors.Join(different(Diff(m.State(), raw)), different(Diff(a.Averaged(), now)))
}

func floating(d wildtrain.DType) bool {
	return d == wildtrain.Float32 || d == wildtrain.Float64 || d == wildtrain.Float16 || d == wildtrain.BFloat16
}

func must(t *Tensors, err error) *Tensors {
	if err != nil {
		return &Tensors{}
	}
	return t
}
