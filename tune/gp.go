package tune

import (
	"context"
	"maps"
	"math"
	"slices"
)

// GP searches by a Gaussian process with a Matérn-5/2 kernel and the logarithm of
// the expected improvement (Ament et al. 2023): for few and costly trials. Every
// parameter has a length scale of its own; categorical ones count as equal or
// not. Several objectives are weighed at random anew in each trial (ParEGO,
// Knowles 2006). Set fields before the first trial.
type GP struct {
	source
	random *Random

	Startup    int // finished trials that are drawn at random
	Candidates int // points of a Sobol sequence where the search begins

	space intersection
	last  []float64 // logs of the kernel's parameters at the last fit
}

// NewGP returns the sampler with a seed below 2³².
func NewGP(seed uint64) *GP {
	return &GP{source: newSource(seed), random: NewRandom(seed + 1), Startup: 10, Candidates: 2048}
}

// PerTrial gives every trial a stream of its own.
func (g *GP) PerTrial() {
	g.source.PerTrial()
	g.random.PerTrial()
}

func (g *GP) streamFor(number, call int) {
	g.source.streamFor(number, call)
	g.random.streamFor(number, call)
}

// Independent implements Sampler.
func (g *GP) Independent(ctx context.Context, d *Draft, name string, dist Distribution) (float64, error) {
	return g.random.Independent(ctx, d, name, dist)
}

// Relative implements Sampler.
func (g *GP) Relative(_ context.Context, d *Draft) (map[string]Param, error) {
	space := g.space.of(d.View, false)
	maps.DeleteFunc(space, func(_ string, dist Distribution) bool { return dist.Single() })
	trials := d.In(Complete)
	if len(space) == 0 || len(trials) < g.Startup {
		return nil, nil
	}
	names := slices.Sorted(maps.Keys(space))
	dists := make([]Distribution, len(names))
	for i, n := range names {
		dists[i] = space[n]
	}
	x := make([][]float64, len(trials))
	for i, t := range trials {
		x[i] = unit(t, names, dists)
	}
	y := standardise(scalarised(d.View, trials, g.rng))
	model := fitProcess(x, y, categorical(dists), g.last)
	g.last = model.theta
	// running trials are taken to give what the model expects of them
	for _, t := range d.In(Running) {
		if p := withPending(t, space); t.Number != d.Trial.Number && hasAll(p, names) {
			at := unit(&Trial{Params: p}, names, dists)
			mean, _ := model.predict(at)
			model.add(at, mean)
		}
	}
	best := g.search(model, dists, x, slices.Min(y))
	out := map[string]Param{}
	for i, n := range names {
		out[n] = Param{fromUnit(dists[i], best[i]), dists[i]}
	}
	return out, share(d, out)
}

func categorical(dists []Distribution) []bool {
	out := make([]bool, len(dists))
	for i, d := range dists {
		_, out[i] = d.(Categorical)
	}
	return out
}

// unit is a trial's place in [0, 1]^d; choices are their index.
func unit(t *Trial, names []string, dists []Distribution) []float64 {
	out := make([]float64, len(names))
	for i, n := range names {
		v := t.Params[n].Value
		if _, ok := dists[i].(Categorical); ok {
			out[i] = v
			continue
		}
		low, high := bounds(dists[i])
		out[i] = (toScale(dists[i], v) - low) / (high - low)
	}
	return out
}

func fromUnit(dist Distribution, u float64) float64 {
	if _, ok := dist.(Categorical); ok {
		return u
	}
	low, high := bounds(dist)
	return fromScale(dist, low+(high-low)*u)
}

// scalarised is one loss for each trial; infeasible ones are as bad as the worst.
func scalarised(v *View, trials []*Trial, rng *stream) []float64 {
	losses := lossesOf(v, trials)
	out := make([]float64, len(trials))
	weights, sum := make([]float64, len(v.Directions)), 0.0
	for j := range weights {
		weights[j] = 1
		if len(weights) > 1 {
			weights[j] = -math.Log(1 - rng.float())
		}
		sum += weights[j]
	}
	for j := range weights {
		column := make([]float64, len(trials))
		for i := range losses {
			column[i] = losses[i][j]
		}
		if len(weights) > 1 {
			column = standardise(column)
		}
		for i, c := range column {
			if c *= weights[j] / sum; j == 0 || c > out[i] {
				out[i] = c
			}
		}
	}
	worst := slices.Max(out)
	for i, t := range trials {
		if t.Violation() > 0 {
			out[i] = worst
		}
	}
	return out
}

// standardise gives mean 0 and deviation 1; what is infinite becomes the worst or
// best finite value.
func standardise(v []float64) []float64 {
	low, high := math.Inf(1), math.Inf(-1)
	for _, x := range v {
		if !math.IsInf(x, 0) {
			low, high = min(low, x), max(high, x)
		}
	}
	out, mean, square := make([]float64, len(v)), 0.0, 0.0
	for i, x := range v {
		if out[i] = min(max(x, low), high); low > high {
			out[i] = 0
		}
		mean += out[i] / float64(len(v))
	}
	for _, x := range out {
		square += (x - mean) * (x - mean) / float64(len(v))
	}
	dev := math.Sqrt(square)
	if dev == 0 {
		dev = 1
	}
	for i := range out {
		out[i] = (out[i] - mean) / dev
	}
	return out
}

// search maximises the acquisition: Sobol points and the best trial, the best ten
// of which are improved coordinate by coordinate.
func (g *GP) search(m *process, dists []Distribution, known [][]float64, best float64) []float64 {
	const starts, rounds = 10, 12
	type scored struct {
		x []float64
		v float64
	}
	value := func(x []float64) float64 { return m.logEI(x, best) }
	var all []scored
	sequence := newSobol(min(len(dists), sobolDimensions), g.rng)
	for i := range g.Candidates {
		x := make([]float64, len(dists))
		for j, u := range sequence.point(uint32(i)) {
			x[j] = u
		}
		for j := len(sequence.directions); j < len(x); j++ {
			x[j] = g.rng.float()
		}
		for j, d := range dists {
			x[j] = snap(d, x[j])
		}
		all = append(all, scored{x, value(x)})
	}
	for _, x := range known {
		all = append(all, scored{x, value(x)})
	}
	slices.SortStableFunc(all, func(a, b scored) int {
		if a.v > b.v {
			return -1
		}
		if a.v < b.v {
			return 1
		}
		return 0
	})
	top := all[0]
	for _, start := range all[:min(starts, len(all))] {
		x, v := slices.Clone(start.x), start.v
		width := 0.1
		for range rounds {
			improved := false
			for j, d := range dists {
				for _, to := range neighbours(d, x[j], width) {
					old := x[j]
					x[j] = to
					if w := value(x); w > v {
						v, improved = w, true
					} else {
						x[j] = old
					}
				}
			}
			if !improved {
				width /= 3
			}
		}
		if v > top.v {
			top = scored{x, v}
		}
	}
	return top.x
}

// snap puts a number of [0, 1) onto a value of the distribution.
func snap(d Distribution, u float64) float64 {
	if c, ok := d.(Categorical); ok {
		return math.Floor(u * float64(len(c.Choices)))
	}
	low, high := bounds(d)
	return (toScale(d, fromScale(d, low+(high-low)*u)) - low) / (high - low)
}

// neighbours are values to try instead of x.
func neighbours(d Distribution, x, width float64) []float64 {
	switch c := d.(type) {
	case Categorical:
		out := make([]float64, len(c.Choices))
		for i := range out {
			out[i] = float64(i)
		}
		return out
	default:
		low, high := bounds(d)
		step := width
		if i, ok := d.(Int); ok && !i.Log {
			step = max(width, float64(i.Step)/(high-low))
		}
		if f, ok := d.(Float); ok && f.Step > 0 {
			step = max(width, f.Step/(high-low))
		}
		return []float64{snap(d, min(max(x-step, 0), 1)), snap(d, min(max(x+step, 0), 1))}
	}
}
