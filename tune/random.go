package tune

import (
	"context"
	"math"
)

// Random draws every parameter alone and evenly on its scale. Seeded, it gives
// the suggestions of Optuna's RandomSampler.
type Random struct{ source }

// source is a sampler's stream of random numbers: one for the whole study, as in
// Optuna, or one for each trial.
type source struct {
	seed     uint64
	rng      *stream
	perTrial bool
}

// NewRandom returns a sampler with a seed below 2³².
func NewRandom(seed uint64) *Random { return &Random{newSource(seed)} }

func newSource(seed uint64) source { return source{seed: seed, rng: newStream(seed)} }

// PerTrial gives every trial a stream of its own that depends on the seed and
// the trial's number alone: suggestions do not repeat after a resume, differ
// between workers with one seed, and do not depend on who runs which trial.
// Without it the stream is Optuna's.
func (s *source) PerTrial() { s.perTrial = true }

// streamFor begins the stream of one call for a trial: trials that run at the
// same time ask in any order.
func (s *source) streamFor(number, call int) {
	if s.perTrial {
		s.rng.reseed(uint32(trialSeed(trialSeed(s.seed, number), call)))
	}
}

// Relative implements Sampler: nothing is sampled together.
func (r *Random) Relative(context.Context, *Draft) (map[string]Param, error) { return nil, nil }

// Independent implements Sampler.
func (r *Random) Independent(_ context.Context, _ *Draft, _ string, dist Distribution) (float64, error) {
	return drawUniform(r.rng, dist), nil
}

// drawUniform draws as Optuna does: one number on the transformed range, or one
// for each choice, of which the largest wins.
func drawUniform(rng *stream, dist Distribution) float64 {
	if c, ok := dist.(Categorical); ok {
		best, at := -1.0, 0
		for i := range c.Choices {
			if u := rng.float(); u > best {
				best, at = u, i
			}
		}
		return float64(at)
	}
	low, high := bounds(dist)
	return fromScale(dist, rng.uniform(low, high))
}

// bounds is the range of a numeric parameter on its scale: logarithms, and half a
// step wider at each end where there are steps.
func bounds(dist Distribution) (low, high float64) {
	switch d := dist.(type) {
	case Float:
		if d.Log {
			return math.Log(d.Low), math.Log(d.High)
		}
		return d.Low - d.Step/2, d.High + d.Step/2
	case Int:
		half := float64(d.Step) / 2
		low, high = float64(d.Low)-half, float64(d.High)+half
		if d.Log {
			return math.Log(low), math.Log(high)
		}
		return low, high
	}
	return 0, 1
}

// toScale is an internal value's place between bounds.
func toScale(dist Distribution, v float64) float64 {
	if isLog(dist) {
		return math.Log(v)
	}
	return v
}

func isLog(dist Distribution) bool {
	switch d := dist.(type) {
	case Float:
		return d.Log
	case Int:
		return d.Log
	}
	return false
}

// fromScale is the value at a place on the scale. The upper end of a continuous
// range is left out.
func fromScale(dist Distribution, x float64) float64 {
	switch d := dist.(type) {
	case Float:
		switch {
		case d.Log:
			x = math.Exp(x)
			if d.Single() {
				return x
			}
			return min(max(x, d.Low), math.Nextafter(d.High, d.High-1))
		case d.Step > 0:
			return min(max(math.RoundToEven((x-d.Low)/d.Step)*d.Step+d.Low, d.Low), d.High)
		case d.Single():
			return x
		}
		return min(x, math.Nextafter(d.High, d.High-1))
	case Int:
		if d.Log {
			x = math.RoundToEven(math.Exp(x))
		} else {
			x = math.Floor((x-float64(d.Low))/float64(d.Step)+0.5)*float64(d.Step) + float64(d.Low)
		}
		return min(max(x, float64(d.Low)), float64(d.High))
	}
	return x
}
