package tune

import (
	"context"
	"math"
	"slices"
)

// View is what samplers and pruners see of a study at one moment.
type View struct {
	Study      string
	Directions []Direction
	Trials     []*Trial // by number, in all states; shared: read only
}

// In lists the trials that are in one of the states.
func (v *View) In(states ...State) []*Trial {
	out := make([]*Trial, 0, len(v.Trials))
	for _, t := range v.Trials {
		if slices.Contains(states, t.State) {
			out = append(out, t)
		}
	}
	return out
}

// Loss is a trial's value of one objective so that smaller is better.
func (v *View) loss(t *Trial, objective int) float64 {
	return v.Directions[objective].loss(t.Values[objective])
}

// Best is the complete, feasible trial with the best first value; the earliest of
// equal ones, nil where there is none.
func (v *View) Best() *Trial {
	var best *Trial
	for _, t := range v.Trials {
		if t.State != Complete || t.Violation() > 0 || math.IsNaN(t.Values[0]) {
			continue
		}
		if best == nil || v.loss(t, 0) < v.loss(best, 0) {
			best = t
		}
	}
	return best
}

// Pareto lists the complete, feasible trials that no other dominates: none is at
// least as good in every objective and better in one.
func (v *View) Pareto() []*Trial {
	var all []*Trial
	for _, t := range v.Trials {
		if t.State == Complete && t.Violation() <= 0 {
			all = append(all, t)
		}
	}
	var out []*Trial
	for _, t := range all {
		if !slices.ContainsFunc(all, func(o *Trial) bool { return v.dominates(o, t) }) {
			out = append(out, t)
		}
	}
	return out
}

func (v *View) dominates(a, b *Trial) bool {
	better := false
	for i := range v.Directions {
		x, y := v.loss(a, i), v.loss(b, i)
		if x > y {
			return false
		}
		better = better || x < y
	}
	return better
}

// Draft is a trial that a sampler suggests for.
type Draft struct {
	*View
	Trial *Trial
	set   func(key, json string) // keeps a system attribute
}

// SetAttr keeps a system attribute with the trial.
func (d *Draft) SetAttr(key, json string) {
	put(&d.Trial.SystemAttrs, key, json)
	if d.set != nil {
		d.set(key, json)
	}
}

// Sampler suggests parameters. A study asks from one goroutine at a time.
// Samplers may implement Starter and Ender.
type Sampler interface {
	// Relative suggests the parameters that are sampled together, once in a
	// trial; nil where there are none. What is not in it, or does not fit the
	// range that the objective asks for, is sampled by Independent.
	Relative(ctx context.Context, d *Draft) (map[string]Param, error)
	// Independent suggests one parameter's internal value.
	Independent(ctx context.Context, d *Draft, name string, dist Distribution) (float64, error)
}

// Starter is a Sampler that wants to know when a trial begins.
type Starter interface {
	Start(ctx context.Context, d *Draft) error
}

// Ender is a Sampler that can end a study: More is asked before each trial.
type Ender interface {
	More(v *View) bool
}

// Pruner decides whether a running trial is hopeless. set keeps a system
// attribute with the trial.
type Pruner interface {
	Prune(v *View, t *Trial, set func(key, json string)) (bool, error)
}

// Filterer is a Pruner that shows samplers only some of the trials.
type Filterer interface {
	Filter(v *View, t *Trial) *View
}
