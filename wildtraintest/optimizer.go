package wildtraintest

import (
	"context"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/wildtrain/sdk/wildtrain"
)

// TestOptimizer checks the Optimizer that a model makes of a configuration:
// groups that can be set, a learning rate of zero that moves nothing, gradients
// that are not finite and are left out, clipping (of SGD), and a state that is
// whole from the beginning and resumes bit by bit.
func TestOptimizer(t *testing.T, c ModelCase, cfg wildtrain.OptimizerConfig) {
	t.Helper()
	runChecks(t, optimizerChecks(c, cfg))
}

func optimizerChecks(c ModelCase, cfg wildtrain.OptimizerConfig) []check {
	on := func(name string, fn func(context.Context, *modelTest) error) check {
		return check{name, func(ctx context.Context) error {
			return c.with(cfg, func(m *modelTest) error { return fn(ctx, m) })
		}}
	}
	checks := []check{
		on("groups are stable, named once and can be set", groupsCanBeSet),
		on("groups hold the configuration", func(_ context.Context, m *modelTest) error {
			n := 0
			for _, g := range m.optimizer.Groups() {
				n += g.Parameters
				if g.Role == wildtrain.Weights && g.Decay != cfg.WeightDecay || g.Role != wildtrain.Weights && g.Decay != 0 {
					return fmt.Errorf("group %+v: only weights are decayed, by %v", g, cfg.WeightDecay)
				}
			}
			if n == 0 {
				return fmt.Errorf("the groups hold no parameters")
			}
			return nil
		}),
		on("a learning rate of zero moves nothing", func(ctx context.Context, m *modelTest) error {
			for _, g := range m.optimizer.Groups() {
				if err := m.optimizer.SetGroup(g.Name, 0, g.Momentum, g.Decay); err != nil {
					return err
				}
			}
			return m.movesNothing(ctx, 1, false)
		}),
		on("gradients that are not finite are left out", func(ctx context.Context, m *modelTest) error {
			if err := m.steps(ctx, 0, 1); err != nil {
				return err
			}
			return m.movesNothing(ctx, math.NaN(), true)
		}),
		on("the state is whole before the first step", func(ctx context.Context, m *modelTest) error {
			before := m.optimizer.State().Names()
			if err := m.steps(ctx, 0, 1); err != nil {
				return err
			}
			if after := m.optimizer.State().Names(); !reflect.DeepEqual(before, after) {
				return fmt.Errorf("tensors %q, after a step %q", before, after)
			}
			if len(before) == 0 {
				return nil
			}
			_, err := firstFailure(ctx, stateChecks(m.optimizer.State()))
			return err
		}),
		{"the states are all that a resumed run needs", func(ctx context.Context) error { return c.resumes(ctx, cfg) }},
	}
	if strings.EqualFold(cfg.Name, "SGD") {
		checks = append(checks, check{"clipping bounds the step", func(ctx context.Context) error {
			return c.with(c.plain(), func(m *modelTest) error { return clips(ctx, m) })
		}})
	}
	return checks
}

func groupsCanBeSet(_ context.Context, m *modelTest) error {
	groups := m.optimizer.Groups()
	seen := map[string]bool{}
	for i, g := range groups {
		if g.Name == "" || seen[g.Name] {
			return fmt.Errorf("group %d has no name or the name %q again", i, g.Name)
		}
		seen[g.Name] = true
		if err := m.optimizer.SetGroup(g.Name, 0.5+float64(i), 0.25, 0.125); err != nil {
			return err
		}
	}
	for i, g := range m.optimizer.Groups() {
		want := groups[i]
		want.LR, want.Momentum, want.Decay = 0.5+float64(i), 0.25, 0.125
		if g != want {
			return fmt.Errorf("group %+v, want %+v", g, want)
		}
	}
	if m.optimizer.SetGroup("no such group", 1, 0, 0) == nil {
		return fmt.Errorf("setting a group that does not exist is no error")
	}
	return nil
}

// movesNothing takes a step from which no weight may move; a skipped one must
// leave the optimiser's state alone too.
func (m *modelTest) movesNothing(ctx context.Context, scale float64, skipped bool) error {
	if b, _ := m.batch(0); true {
		if _, err := m.TrainStep(ctx, b, wildtrain.Step{Scale: scale, Sync: true}); err != nil {
			return err
		}
	}
	model, err := Copy(m.State())
	if err != nil {
		return err
	}
	state, err := Copy(m.optimizer.State())
	if err != nil {
		return err
	}
	report, err := m.optimizer.Step(wildtrain.Clip{Norm: 10})
	if err != nil {
		return err
	}
	if report.Skipped != skipped {
		return fmt.Errorf("the report says skipped: %v, want %v", report.Skipped, skipped)
	}
	if err := different(Diff(m.State(), model)); err != nil {
		return err
	}
	if !skipped {
		return nil
	}
	return different(Diff(m.optimizer.State(), state))
}

func clips(ctx context.Context, m *modelTest) error {
	start, err := Copy(m.State())
	if err != nil {
		return err
	}
	size := func(clip wildtrain.Clip) (float64, wildtrain.Report, error) {
		if err := Fill(m.State(), start); err != nil {
			return 0, wildtrain.Report{}, err
		}
		m.optimizer.ZeroGrad()
		if _, err := m.train(ctx, 0, 1); err != nil {
			return 0, wildtrain.Report{}, err
		}
		before, err := Copy(m.State())
		if err != nil {
			return 0, wildtrain.Report{}, err
		}
		report, err := m.optimizer.Step(clip)
		if err != nil {
			return 0, report, err
		}
		after, err := Copy(m.State())
		if err != nil {
			return 0, report, err
		}
		sum := 0.0
		for _, n := range before.Names() {
			x, y := before.Floats(n), after.Floats(n)
			for i := range x {
				sum += (x[i] - y[i]) * (x[i] - y[i])
			}
		}
		return math.Sqrt(sum) / m.LR, report, nil
	}
	free, _, err := size(wildtrain.Clip{Norm: math.MaxFloat32})
	if err != nil {
		return err
	}
	limit := free / 4
	bound, report, err := size(wildtrain.Clip{Norm: limit})
	if err != nil {
		return err
	}
	if math.Abs(bound-limit) > 0.02*limit && !m.Random || bound > 1.02*limit {
		return fmt.Errorf("clipped to a norm of %v the step has %v (free: %v)", limit, bound, free)
	}
	if !m.Random && math.Abs(report.GradNorm-free) > 0.02*free {
		return fmt.Errorf("the report tells a norm of %v before clipping, the step had %v", report.GradNorm, free)
	}
	return nil
}
