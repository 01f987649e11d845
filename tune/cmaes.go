package tune

import (
	"cmp"
	"context"
	"maps"
	"math"
	"slices"
	"strconv"
)

// CMAES samples numeric parameters by covariance matrix adaptation (Hansen 2016,
// with active updates), in a space scaled to [0, 1] per parameter. Every trial of
// a generation stores which one it is; the state is recomputed from the trials,
// so that any number of workers, and a later run, share it. Categorical and
// conditional parameters are drawn at random. Set fields before the first trial.
type CMAES struct {
	source
	random *Random

	Population int     // trials of a generation; 0 is 4 + 3 ln d
	Sigma      float64 // first standard deviation, of the range
	Separable  bool    // keep the covariance diagonal: for many parameters
	// Margin keeps integers from getting stuck between two values (Hamano et al. 2022).
	Margin bool
	// Restart begins anew from a random place, with twice the population, where
	// the search has converged (IPOP, Auger and Hansen 2005).
	Restart bool
	// WarmStart are finished trials of a like study: the search begins at the
	// best tenth of them (Nomura et al. 2021).
	WarmStart []*Trial

	space intersection
	state *cma
	names []string
	dists []Distribution
}

// NewCMAES returns the sampler with a seed below 2³².
func NewCMAES(seed uint64) *CMAES {
	return &CMAES{source: newSource(seed), random: NewRandom(seed + 1), Sigma: 1.0 / 6, Margin: true, Restart: true}
}

// cmaKey holds the generation of a trial. Optuna's own key is of another format.
const cmaKey = "wildtrain:cma:generation"

// PerTrial gives every trial a stream of its own.
func (c *CMAES) PerTrial() {
	c.source.PerTrial()
	c.random.PerTrial()
}

func (c *CMAES) streamFor(number, call int) {
	c.source.streamFor(number, call)
	c.random.streamFor(number, call)
}

// Relative implements Sampler.
func (c *CMAES) Relative(_ context.Context, d *Draft) (map[string]Param, error) {
	space := c.space.of(d.View, false)
	maps.DeleteFunc(space, func(_ string, dist Distribution) bool {
		_, unordered := dist.(Categorical)
		return unordered || dist.Single()
	})
	if len(space) == 0 {
		return nil, nil
	}
	names := slices.Sorted(maps.Keys(space))
	if c.state == nil || !slices.Equal(names, c.names) {
		c.names, c.dists = names, nil
		for _, n := range names {
			c.dists = append(c.dists, space[n])
		}
		c.state = c.begin(d.View.Directions[0])
	}
	c.catchUp(d.View)
	x := c.state.sample(c.rng)
	out := map[string]Param{}
	for i, name := range c.names {
		out[name] = Param{c.place(i, x[i]), c.dists[i]}
	}
	d.SetAttr(cmaKey, strconv.Itoa(c.state.generation))
	return out, nil
}

// Independent implements Sampler.
func (c *CMAES) Independent(ctx context.Context, d *Draft, name string, dist Distribution) (float64, error) {
	return c.random.Independent(ctx, d, name, dist)
}

// place is the value at a coordinate.
func (c *CMAES) place(i int, x float64) float64 {
	low, high := bounds(c.dists[i])
	return fromScale(c.dists[i], low+(high-low)*min(max(x, 0), 1))
}

// coordinates of a trial; ok is false where it lacks a parameter.
func (c *CMAES) coordinates(t *Trial) (x []float64, ok bool) {
	for i, name := range c.names {
		p, has := t.Params[name]
		if !has {
			return nil, false
		}
		low, high := bounds(c.dists[i])
		x = append(x, (toScale(c.dists[i], p.Value)-low)/(high-low))
	}
	return x, true
}

func (c *CMAES) begin(direction Direction) *cma {
	d := len(c.names)
	mean, sigma, cov := make([]float64, d), c.Sigma, identity(d)
	for i := range mean {
		mean[i] = 0.5
	}
	if len(c.WarmStart) > 0 {
		if m, s, v, ok := c.warm(direction); ok {
			mean, sigma, cov = m, s, v
		}
	}
	s := newCMA(mean, sigma, cov, c.Population)
	s.separable = c.Separable
	if c.Margin {
		s.cells = make([]float64, d)
		for i, dist := range c.dists {
			low, high := bounds(dist)
			switch x := dist.(type) {
			case Int:
				if !x.Log {
					s.cells[i] = float64(x.Step) / (high - low)
				}
			case Float:
				s.cells[i] = x.Step / (high - low)
			}
		}
	}
	return s
}

// warm fits a normal distribution to the best tenth of the trials to start from.
func (c *CMAES) warm(direction Direction) (mean []float64, sigma float64, cov []float64, ok bool) {
	const share, alpha = 0.1, 0.1
	trials := slices.DeleteFunc(slices.Clone(c.WarmStart), func(t *Trial) bool { return t.State != Complete || len(t.Values) == 0 })
	slices.SortStableFunc(trials, func(a, b *Trial) int {
		return cmp.Compare(direction.loss(a.Values[0]), direction.loss(b.Values[0]))
	})
	var top [][]float64
	for _, t := range trials[:int(math.Ceil(share*float64(len(trials))))] {
		if x, has := c.coordinates(t); has {
			top = append(top, x)
		}
	}
	d := len(c.names)
	if len(top) == 0 {
		return nil, 0, nil, false
	}
	mean, cov = make([]float64, d), make([]float64, d*d)
	for _, x := range top {
		for i := range x {
			mean[i] += x[i] / float64(len(top))
		}
	}
	for i := range d {
		cov[i*d+i] = alpha * alpha
		for j := range d {
			for _, x := range top {
				cov[i*d+j] += (x[i] - mean[i]) * (x[j] - mean[j]) / float64(len(top))
			}
		}
	}
	scale := math.Exp(logDet(cov, d) / float64(d))
	for i := range cov {
		cov[i] /= scale
	}
	return mean, math.Sqrt(scale), cov, true
}

// catchUp takes in all generations that are complete in the study.
func (c *CMAES) catchUp(v *View) {
	for {
		var xs [][]float64
		var losses []float64
		want := strconv.Itoa(c.state.generation)
		for _, t := range v.Trials {
			if t.State != Complete || t.SystemAttrs[cmaKey] != want || len(losses) == c.state.population {
				continue
			}
			if x, ok := c.coordinates(t); ok {
				xs, losses = append(xs, x), append(losses, penalised(v, t))
			}
		}
		if len(losses) < c.state.population {
			return
		}
		c.state.update(xs, losses)
		if c.Restart && c.state.converged(losses) {
			c.restart()
		}
	}
}

// penalised is the loss; infeasible trials come behind all feasible ones.
func penalised(v *View, t *Trial) float64 {
	if bad := t.Violation(); bad > 0 {
		return math.MaxFloat64/4 + bad
	}
	return v.loss(t, 0)
}

// restart places the mean by a stream that depends on the generation alone: all
// workers agree on it.
func (c *CMAES) restart() {
	old := c.state
	rng := newStream(trialSeed(c.seed, old.generation))
	mean := make([]float64, len(c.names))
	for i := range mean {
		mean[i] = rng.float()
	}
	s := newCMA(mean, c.Sigma, identity(len(mean)), 2*old.population)
	s.separable, s.cells, s.generation = old.separable, old.cells, old.generation
	c.state = s
}
