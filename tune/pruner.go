package tune

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Interval says on which reports a pruner decides: from Warmup on, on the first
// report in every interval of Every steps. Every below 1 is 1.
type Interval struct{ Warmup, Every int64 }

func (iv Interval) validate() error {
	if iv.Warmup < 0 || iv.Every < 0 {
		return fmt.Errorf("tune: pruner: warm-up %d and interval %d cannot be negative", iv.Warmup, iv.Every)
	}
	return nil
}

// due tells whether the trial's last step is one to decide on.
func (iv Interval) due(t *Trial) (step int64, ok bool) {
	step, ok = t.LastStep()
	if !ok || step < iv.Warmup {
		return step, false
	}
	every := max(iv.Every, 1)
	start := (step-iv.Warmup)/every*every + iv.Warmup
	before := int64(-1)
	for s := range t.Reports {
		if s != step {
			before = max(before, s)
		}
	}
	return step, before < start
}

// Percentile prunes a trial whose best report so far is worse than a percentile
// of the other trials' reports at the same step.
type Percentile struct {
	Percentile float64 // 0 to 100; the share of trials that goes on
	Startup    int     // complete trials that are needed first
	Interval   Interval
	MinTrials  int // reports at the step that are needed
}

// NewMedian is a Percentile of 50 after 5 trials: Optuna's MedianPruner.
func NewMedian() *Percentile { return &Percentile{Percentile: 50, Startup: 5, MinTrials: 1} }

// Validate reports what cannot be.
func (p *Percentile) Validate() error {
	if !(p.Percentile >= 0 && p.Percentile <= 100) || p.Startup < 0 || p.MinTrials < 0 {
		return fmt.Errorf("tune: percentile pruner: percentile %v, startup %d or trials %d is out of range", p.Percentile, p.Startup, p.MinTrials)
	}
	return p.Interval.validate()
}

// Prune implements Pruner.
func (p *Percentile) Prune(v *View, t *Trial, _ func(key, json string)) (bool, error) {
	if err := p.Validate(); err != nil {
		return false, err
	}
	complete := v.In(Complete)
	if len(complete) == 0 || len(complete) < p.Startup {
		return false, nil
	}
	step, due := p.Interval.due(t)
	if !due {
		return false, nil
	}
	direction := v.Directions[0]
	best := math.NaN()
	for _, r := range t.Reports {
		if l := direction.loss(r); !(l >= best) && !math.IsNaN(l) {
			best = l
		}
	}
	if math.IsNaN(best) {
		return true, nil
	}
	var others []float64
	for _, o := range complete {
		if r, ok := o.Reports[step]; ok {
			others = append(others, r)
		}
	}
	if len(others) < max(p.MinTrials, 1) {
		return false, nil
	}
	percentile := p.Percentile
	if direction == Maximize {
		percentile = 100 - percentile
	}
	return best > direction.loss(quantile(others, percentile/100)), nil
}

// quantile interpolates linearly between the sorted numbers, NaN left out; NaN
// where none is left. NumPy's nanpercentile.
func quantile(values []float64, q float64) float64 {
	v := slices.DeleteFunc(slices.Clone(values), math.IsNaN)
	if len(v) == 0 {
		return math.NaN()
	}
	slices.Sort(v)
	at := q * float64(len(v)-1)
	i := int(math.Floor(at))
	if i >= len(v)-1 {
		return v[len(v)-1]
	}
	a, b, f := v[i], v[i+1], at-math.Floor(at)
	if f >= 0.5 { // as NumPy, exact at both ends
		return b - (b-a)*(1-f)
	}
	return a + (b-a)*f
}

// SuccessiveHalving is the asynchronous kind (ASHA, Li et al. 2020): at each rung
// only the best 1/Factor of the trials that reached it go on.
type SuccessiveHalving struct {
	MinResource int64 // step of the first rung; 0 takes a hundredth of the longest complete trial
	Factor      int64
	Rate        int64 // early-stopping rate: rungs to leave out at the start
	Bootstrap   int   // trials that must have reached a rung before one is promoted
}

// NewSuccessiveHalving has Optuna's defaults.
func NewSuccessiveHalving() *SuccessiveHalving { return &SuccessiveHalving{Factor: 4} }

// Validate reports what cannot be.
func (p *SuccessiveHalving) Validate() error {
	switch {
	case p.MinResource < 0 || p.Rate < 0 || p.Bootstrap < 0 || p.Factor < 2:
		return fmt.Errorf("tune: successive halving: resource %d, factor %d, rate %d or bootstrap %d is out of range", p.MinResource, p.Factor, p.Rate, p.Bootstrap)
	case p.Bootstrap > 0 && p.MinResource == 0:
		return errors.New("tune: successive halving: bootstrap needs a given resource")
	}
	return nil
}

func rungKey(r int) string { return fmt.Sprintf("completed_rung_%d", r) }

// Prune implements Pruner.
func (p *SuccessiveHalving) Prune(v *View, t *Trial, set func(key, json string)) (bool, error) {
	if err := p.Validate(); err != nil {
		return false, err
	}
	step, ok := t.LastStep()
	if !ok {
		return false, nil
	}
	if p.MinResource == 0 {
		// kept from the first complete trial on, so that rungs do not move
		if p.MinResource = longest(v) / 100; p.MinResource == 0 && longest(v) < 0 {
			return false, nil
		}
		p.MinResource = max(p.MinResource, 1)
	}
	rung := 0
	for t.SystemAttrs[rungKey(rung)] != "" {
		rung++
	}
	value := t.Reports[step]
	for ; ; rung++ {
		promotion := float64(p.MinResource) * math.Pow(float64(p.Factor), float64(p.Rate+int64(rung)))
		if float64(step) < promotion {
			return false, nil
		}
		if math.IsNaN(value) {
			return true, nil
		}
		rivals, err := atRung(v, t, rung)
		if err != nil {
			return false, err
		}
		set(rungKey(rung), floatJSON(value))
		rivals = append(rivals, value)
		if len(rivals) <= p.Bootstrap || !promotable(value, rivals, int(p.Factor), v.Directions[0]) {
			return true, nil
		}
	}
}

// longest is the last step of the longest complete trial, −1 without one.
func longest(v *View) int64 {
	out := int64(-1)
	for _, t := range v.In(Complete) {
		if s, ok := t.LastStep(); ok {
			out = max(out, s)
		}
	}
	return out
}

func atRung(v *View, self *Trial, rung int) ([]float64, error) {
	var out []float64
	for _, t := range v.Trials {
		text, ok := t.SystemAttrs[rungKey(rung)]
		if !ok || t.Number == self.Number {
			continue
		}
		f, err := parseFloatJSON(text)
		if err != nil {
			return nil, fmt.Errorf("tune: successive halving: trial %d: %w", t.Number, err)
		}
		out = append(out, f)
	}
	return out, nil
}

func promotable(value float64, rivals []float64, factor int, d Direction) bool {
	at := max(len(rivals)/factor-1, 0)
	for i, r := range rivals {
		rivals[i] = d.loss(r)
	}
	slices.Sort(rivals)
	return d.loss(value) <= rivals[at]
}

// Patient prunes only a trial that has not become better for Patience reports
// and, where Wrapped is given, that Wrapped finds hopeless, too.
type Patient struct {
	Wrapped  Pruner
	Patience int
	MinDelta float64
}

// Prune implements Pruner.
func (p *Patient) Prune(v *View, t *Trial, set func(key, json string)) (bool, error) {
	if p.Patience < 0 || p.MinDelta < 0 {
		return false, fmt.Errorf("tune: patient pruner: patience %d and delta %v cannot be negative", p.Patience, p.MinDelta)
	}
	steps := t.Steps()
	if len(steps) <= p.Patience+1 {
		return false, nil
	}
	best := func(steps []int64) float64 {
		out := math.NaN()
		for _, s := range steps {
			if l := v.Directions[0].loss(t.Reports[s]); !(l >= out) && !math.IsNaN(l) {
				out = l
			}
		}
		return out
	}
	cut := len(steps) - p.Patience - 1
	if !(best(steps[:cut])+p.MinDelta < best(steps[cut:])) {
		return false, nil
	}
	if p.Wrapped == nil {
		return true, nil
	}
	return p.Wrapped.Prune(v, t, set)
}

// Threshold prunes a trial whose last report leaves [Lower, Upper] or is NaN.
type Threshold struct {
	Lower, Upper float64 // infinite where there is no bound
	Interval     Interval
}

// Prune implements Pruner.
func (p *Threshold) Prune(_ *View, t *Trial, _ func(key, json string)) (bool, error) {
	if !(p.Lower <= p.Upper) {
		return false, fmt.Errorf("tune: threshold pruner: lower %v is above upper %v", p.Lower, p.Upper)
	}
	if err := p.Interval.validate(); err != nil {
		return false, err
	}
	step, due := p.Interval.due(t)
	if !due {
		return false, nil
	}
	r := t.Reports[step]
	return !(p.Lower <= r && r <= p.Upper), nil
}
