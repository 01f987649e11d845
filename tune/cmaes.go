package tune

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
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
// One worker with Margin and Restart off gives the suggestions of Optuna's
// CmaEsSampler, with Margin those of its with_margin.
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
	ends  [][2]float64 // of the parameters' ranges, on their scales
}

// NewCMAES returns the sampler with a seed below 2³².
func NewCMAES(seed uint64) *CMAES {
	return &CMAES{source: newSource(seed), random: NewRandom(seed), Sigma: 1.0 / 6, Margin: true, Restart: true}
}

// A trial's attributes: its generation, and where there are steps the sample that
// its values were rounded from. Optuna's own keys are of another format.
const (
	cmaKey       = "wildtrain:cma:generation"
	cmaSampleKey = "wildtrain:cma:sample"
)

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
		if err := c.begin(names, space, d.View.Directions[0]); err != nil {
			return nil, err
		}
	}
	rng := c.normals(d.Trial.Number)
	c.catchUp(d.View)
	x := c.state.sample(rng)
	out := map[string]Param{}
	for i, name := range c.names {
		out[name] = Param{c.place(i, x[i]), c.dists[i]}
	}
	d.SetAttr(cmaKey, strconv.Itoa(c.state.generation))
	if c.state.steps == nil {
		return out, nil
	}
	text, err := json.Marshal(x)
	d.SetAttr(cmaSampleKey, string(text))
	return out, err
}

// normals is the stream for one trial's sample. Optuna draws a seed of 16 bits for
// each trial, and before the first update another one that goes unused.
func (c *CMAES) normals(number int) *stream {
	if c.perTrial {
		return c.rng
	}
	if c.state.generation == 0 {
		c.rng.intN(1<<31 - 3)
	}
	return newStream(uint64(1 + c.rng.intN(1<<16-1) + number))
}

// Independent implements Sampler.
func (c *CMAES) Independent(ctx context.Context, d *Draft, name string, dist Distribution) (float64, error) {
	return c.random.Independent(ctx, d, name, dist)
}

// place is the value at a coordinate of a sample.
func (c *CMAES) place(i int, x float64) float64 {
	if c.state.step(i) > 0 {
		x = c.state.grid(i, x)
	}
	return fromScale(c.dists[i], c.ends[i][0]+(c.ends[i][1]-c.ends[i][0])*x)
}

// coordinates of a trial; ok is false where it lacks a parameter.
func (c *CMAES) coordinates(t *Trial) (x []float64, ok bool) {
	for i, name := range c.names {
		p, has := t.Params[name]
		if !has {
			return nil, false
		}
		x = append(x, (toScale(c.dists[i], p.Value)-c.ends[i][0])/(c.ends[i][1]-c.ends[i][0]))
	}
	return x, true
}

// told is what the present generation learns a trial as: where there are steps,
// the sample itself, unless the trial has other values than it gave.
func (c *CMAES) told(t *Trial) (x []float64, ok bool) {
	if x, ok = c.coordinates(t); !ok || c.state.steps == nil {
		return x, ok
	}
	var sample []float64
	if json.Unmarshal([]byte(t.SystemAttrs[cmaSampleKey]), &sample) != nil || len(sample) != len(x) {
		return x, true // of another program: the values alone
	}
	for i, name := range c.names {
		if c.place(i, sample[i]) == t.Params[name].Value {
			x[i] = sample[i]
		}
	}
	return x, true
}

// begin sets up the state for parameters that are not yet told of.
func (c *CMAES) begin(names []string, space map[string]Distribution, direction Direction) error {
	c.names, c.dists, c.ends = names, nil, nil
	var steps []float64
	for _, name := range names {
		dist := space[name]
		low, high := bounds(dist)
		step := 0.0
		if c.Margin { // steps are the margin's business: no half ones at the ends
			low, high, step = unstepped(dist)
		}
		c.dists, c.ends, steps = append(c.dists, dist), append(c.ends, [2]float64{low, high}), append(steps, step/(high-low))
	}
	d := len(names)
	mean, sigma, cov := make([]float64, d), c.Sigma, identity(d)
	for i := range mean {
		mean[i] = 0.5
	}
	if len(c.WarmStart) > 0 {
		var err error
		if mean, sigma, cov, err = c.warm(direction); err != nil {
			return err
		}
	}
	c.state = newCMA(mean, sigma, cov, c.Population, c.Separable)
	if slices.Max(steps) > 0 {
		c.state.steps = steps
	}
	return nil
}

// unstepped is a numeric range on its scale, and its step; 0 where it is a
// logarithmic or a continuous one.
func unstepped(dist Distribution) (low, high, step float64) {
	switch d := dist.(type) {
	case Float:
		low, high, step = d.Low, d.High, d.Step
	case Int:
		low, high, step = float64(d.Low), float64(d.High), float64(d.Step)
	}
	if isLog(dist) {
		return math.Log(low), math.Log(high), 0
	}
	return low, high, step
}

// warm fits a normal distribution to the best tenth of the trials to start from.
func (c *CMAES) warm(direction Direction) (mean []float64, sigma float64, cov []float64, err error) {
	const share, alpha = 0.1, 0.1
	trials := slices.DeleteFunc(slices.Clone(c.WarmStart), func(t *Trial) bool {
		_, has := c.coordinates(t)
		return !has || t.State != Complete || len(t.Values) == 0
	})
	if len(trials) == 0 {
		return nil, 0, nil, errors.New("tune: CMA-ES: no trial to start from is complete and has every parameter")
	}
	slices.SortStableFunc(trials, func(a, b *Trial) int {
		return cmp.Compare(direction.loss(a.Values[0]), direction.loss(b.Values[0]))
	})
	var top [][]float64
	for _, t := range trials[:max(int(share*float64(len(trials))), 1)] {
		x, _ := c.coordinates(t)
		top = append(top, x)
	}
	d := len(c.names)
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
	return mean, math.Sqrt(scale), cov, nil
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
			if x, ok := c.told(t); ok {
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
	s := newCMA(mean, c.Sigma, identity(len(mean)), 2*old.population, c.Separable)
	s.steps, s.generation = old.steps, old.generation
	c.state = s
}
