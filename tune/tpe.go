package tune

import (
	"context"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/wildtrain/sdk/tune/internal/pyjson"
)

// TPE is the tree-structured Parzen estimator (Bergstra et al. 2011) as Optuna
// 5.0 has it: two densities, of the good and of the other trials, whose ratio
// tells where to look. Set fields before the first trial.
type TPE struct {
	source
	random *Random

	Startup    int // finished trials that are drawn at random
	Candidates int // draws from the good density, of which the best is taken

	// Multivariate samples all parameters jointly. nil is Optuna 5.0's rule:
	// joint for one objective, separate for several.
	Multivariate *bool
	// Group samples conditional parameters jointly, one group for each set of
	// parameters that occur together. It implies Multivariate.
	Group bool
	// ConstantLiar counts running trials as bad ones, so that parallel workers
	// spread out.
	ConstantLiar bool

	old    bool // Optuna 4: see NewTPE4
	space  intersection
	groups groups
	rows   map[string]*rowCache // by the names of the space
}

// NewTPE returns Optuna 5.0's sampler with its defaults and a seed below 2³².
func NewTPE(seed uint64) *TPE {
	return &TPE{
		source: newSource(seed), random: NewRandom(seed), Startup: 10, Candidates: 24, ConstantLiar: true,
		rows: map[string]*rowCache{},
	}
}

// NewTPE4 returns the sampler of Optuna 4: parameters separate, no constant
// liar, and with several objectives the good trials weighed by how much
// hypervolume they contribute.
func NewTPE4(seed uint64) *TPE {
	t, separate := NewTPE(seed), false
	t.old, t.Multivariate, t.ConstantLiar = true, &separate, false
	return t
}

// relativeKey prefixes the system attributes in which workers see each other's
// pending suggestions.
const relativeKey = "tpe:relative_params"

// PerTrial gives every trial a stream of its own.
func (t *TPE) PerTrial() {
	t.source.PerTrial()
	t.random.PerTrial()
}

func (t *TPE) streamFor(number, call int) {
	t.source.streamFor(number, call)
	t.random.streamFor(number, call)
}

func (t *TPE) joint(v *View) bool {
	if t.Multivariate != nil {
		return *t.Multivariate || t.Group
	}
	return t.Group || len(v.Directions) <= 1
}

// Relative implements Sampler.
func (t *TPE) Relative(_ context.Context, d *Draft) (map[string]Param, error) {
	if !t.joint(d.View) {
		return nil, nil
	}
	var spaces []map[string]Distribution
	if t.Group {
		spaces = t.groups.of(d.View)
	} else {
		spaces = []map[string]Distribution{t.space.of(d.View, true)}
	}
	out := map[string]Param{}
	for _, space := range spaces {
		maps.DeleteFunc(space, func(_ string, dist Distribution) bool { return dist.Single() })
		if len(space) == 0 || len(d.In(Complete, Pruned)) < t.Startup {
			continue
		}
		for name, v := range t.suggest(d, space) {
			out[name] = Param{v, space[name]}
		}
	}
	if len(out) > 0 && t.ConstantLiar {
		return out, share(d, out)
	}
	return out, nil
}

// share writes the suggestions into the trial's system attributes, cut as
// Optuna's columns want it.
func share(d *Draft, params map[string]Param) error {
	const most = 2045
	values := map[string]any{}
	for name, p := range params {
		values[name] = p.Dist.External(p.Value)
	}
	text, err := pyjson.Marshal(values, false)
	if err != nil {
		return err
	}
	for i := 0; i*most < len(text); i++ {
		piece, err := pyjson.Marshal(text[i*most:min((i+1)*most, len(text))], false)
		if err != nil {
			return err
		}
		d.SetAttr(relativeKey+":"+strconv.Itoa(i), piece)
	}
	return nil
}

// Independent implements Sampler.
func (t *TPE) Independent(ctx context.Context, d *Draft, name string, dist Distribution) (float64, error) {
	if len(d.In(Complete, Pruned)) < t.Startup {
		return t.random.Independent(ctx, d, name, dist)
	}
	return t.suggest(d, map[string]Distribution{name: dist})[name], nil
}

// suggest samples the parameters of a space jointly.
func (t *TPE) suggest(d *Draft, space map[string]Distribution) map[string]float64 {
	names := slices.Sorted(maps.Keys(space))
	states := []State{Complete, Pruned}
	if t.ConstantLiar {
		states = append(states, Running)
	}
	trials := d.In(states...)
	trials = slices.DeleteFunc(trials, func(o *Trial) bool { return o.Number == d.Trial.Number })
	done := 0
	for _, o := range trials {
		if o.State != Running {
			done++
		}
	}
	nBelow := (done + 9) / 10
	if len(d.Directions) <= 1 {
		nBelow = min(nBelow, 25)
	}
	below, above := split(d.View, trials, nBelow)
	cache := t.cache(names)
	l := newParzen(names, space, cache.get(below, space, t.joint(d.View)), t.weightsBelow(d.View, below, names), t.bandwidth())
	g := newParzen(names, space, cache.get(above, space, t.joint(d.View)), nil, t.bandwidth())
	candidates := l.sample(t.rng, t.Candidates)
	inL, inG := l.logPDF(candidates), g.logPDF(candidates)
	best := 0
	score := func(i int) float64 { return inL[i] - inG[i] }
	for i := range candidates {
		if s := score(i); s > score(best) || math.IsNaN(s) && !math.IsNaN(score(best)) { // NumPy's argmax: NaN wins
			best = i
		}
	}
	out := map[string]float64{}
	for i, name := range names {
		out[name] = candidates[best][i]
	}
	return out
}

// bandwidth is nil: since 4.9 every mode takes kernel widths from neighbours.
func (t *TPE) bandwidth() func(n, dims int) float64 {
	if !t.old || t.Multivariate == nil || !*t.Multivariate {
		return nil
	}
	return func(n, dims int) float64 { return 0.2 * math.Pow(max(float64(n), 1), -1/(float64(dims)+4)) }
}

// weightsBelow are the weights of the good trials: nil for the ramp.
func (t *TPE) weightsBelow(v *View, below []*Trial, names []string) []float64 {
	if len(v.Directions) <= 1 {
		return nil
	}
	all := make([]float64, len(below))
	for i := range all {
		all[i] = 1
	}
	if t.old {
		all = contributionWeights(v, below)
	}
	var out []float64
	for i, o := range below {
		if hasAll(o.Params, names) {
			out = append(out, all[i])
		}
	}
	if out == nil {
		out = []float64{}
	}
	return out
}

func hasAll(params map[string]Param, names []string) bool {
	for _, n := range names {
		if _, ok := params[n]; !ok {
			return false
		}
	}
	return true
}

// rowCache keeps the internal values of finished trials, which do not change.
type rowCache struct {
	names []string
	rows  [][]float64 // by trial number; nil where not looked at, empty where a parameter is missing
}

func (t *TPE) cache(names []string) *rowCache {
	key := strings.Join(names, "\x00")
	c := t.rows[key]
	if c == nil {
		c = &rowCache{names: names}
		t.rows[key] = c
	}
	return c
}

// get lists the values of those trials that have all parameters. Running ones
// count with what was suggested to them, where pending is set.
func (c *rowCache) get(trials []*Trial, space map[string]Distribution, pending bool) [][]float64 {
	out := make([][]float64, 0, len(trials))
	for _, t := range trials {
		for len(c.rows) <= t.Number {
			c.rows = append(c.rows, nil)
		}
		row := c.rows[t.Number]
		if row == nil {
			params := t.Params
			if !t.State.Finished() && pending {
				params = withPending(t, space)
			}
			row = []float64{}
			if hasAll(params, c.names) {
				for _, n := range c.names {
					row = append(row, params[n].Value)
				}
			}
			if t.State.Finished() {
				c.rows[t.Number] = row
			}
		}
		if len(row) > 0 {
			out = append(out, row)
		}
	}
	return out
}

// withPending is a running trial's parameters, and those that it was suggested.
func withPending(t *Trial, space map[string]Distribution) map[string]Param {
	var text strings.Builder
	for i := 0; ; i++ {
		piece, ok := t.SystemAttrs[relativeKey+":"+strconv.Itoa(i)]
		if !ok {
			break
		}
		s, _ := pyjson.Parse(piece)
		part, _ := s.(string)
		text.WriteString(part)
	}
	v, err := pyjson.Parse(text.String())
	values, ok := v.(map[string]any)
	if err != nil || !ok { // absent, or written half by now
		return t.Params
	}
	out := map[string]Param{}
	for name, value := range values {
		if dist, ok := space[name]; ok {
			if f, err := dist.Internal(value); err == nil {
				out[name] = Param{f, dist}
			}
		}
	}
	maps.Copy(out, t.Params)
	return out
}
