package tune

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/wildtrain/sdk/tune/internal/pyjson"
)

// Grid tries every combination of listed values once, in an order that the seed
// shuffles, and then ends the study.
type Grid struct {
	names  []string
	points [][]any // one value for each name
	order  []int
}

// The system attributes of a trial on a grid, as Optuna's.
const (
	gridIDKey    = "grid_id"
	gridSpaceKey = "search_space"
)

// maxGrid bounds the combinations of a grid.
const maxGrid = 1_000_000

// NewGrid makes the product of the values of each parameter.
func NewGrid(values map[string][]any, seed uint64) (*Grid, error) {
	g := &Grid{names: slices.Sorted(maps.Keys(values)), points: [][]any{nil}}
	for _, name := range g.names {
		if len(values[name]) == 0 || len(g.points)*len(values[name]) > maxGrid {
			return nil, fmt.Errorf("tune: grid: %s has %d values: want at least one, and %d combinations at most", name, len(values[name]), maxGrid)
		}
		var next [][]any
		for _, point := range g.points {
			for _, v := range values[name] {
				x, err := scalar(v)
				if err != nil {
					return nil, fmt.Errorf("tune: grid: %s: %w", name, err)
				}
				next = append(next, append(point[:len(point):len(point)], x))
			}
		}
		g.points = next
	}
	g.order = newStream(seed).permutation(len(g.points))
	return g, nil
}

// GridOf lists all values of a space: choices, and ranges with steps.
func GridOf(s Space, seed uint64) (*Grid, error) {
	values := map[string][]any{}
	for _, p := range s.Params {
		all, err := enumerate(p.Dist)
		if err != nil {
			return nil, fmt.Errorf("tune: grid: %s: %w", p.Name, err)
		}
		values[p.Name] = all
	}
	return NewGrid(values, seed)
}

// enumerate lists the values of a distribution.
func enumerate(d Distribution) ([]any, error) {
	switch x := d.(type) {
	case Categorical:
		return x.Choices, nil
	case Int:
		if (x.High-x.Low)/x.Step >= maxGrid {
			return nil, fmt.Errorf("the range [%d, %d] has too many values", x.Low, x.High)
		}
		var out []any
		for v := x.Low; v <= x.High; v += x.Step {
			out = append(out, v)
		}
		return out, nil
	case Float:
		if x.Single() {
			return []any{x.Low}, nil
		}
		if n := math.Round((x.High - x.Low) / x.Step); x.Step > 0 && n < maxGrid {
			var out []any
			for i := range int(n) + 1 {
				out = append(out, x.Low+float64(i)*x.Step)
			}
			return out, nil
		}
	}
	return nil, fmt.Errorf("a range without steps cannot be listed")
}

// taken counts how often each point is used, failed trials aside.
func (g *Grid) taken(v *View) map[int]bool {
	out := map[int]bool{}
	for _, t := range v.Trials {
		if id, err := strconv.Atoi(t.SystemAttrs[gridIDKey]); err == nil && t.State != Failed {
			out[id] = true
		}
	}
	return out
}

// More implements Ender.
func (g *Grid) More(v *View) bool { return len(g.taken(v)) < len(g.points) }

// Start implements Starter: it takes the next point.
func (g *Grid) Start(_ context.Context, d *Draft) error {
	if _, fixed := d.Trial.SystemAttrs[fixedKey]; fixed {
		return nil
	}
	space := map[string]any{}
	taken := g.taken(d.View)
	at := slices.IndexFunc(g.order, func(i int) bool { return !taken[i] })
	if at < 0 {
		at = d.Trial.Number % len(g.order) // another worker took the last one
	}
	for i, name := range g.names {
		var list []any
		for _, p := range g.points {
			if !slices.Contains(list, p[i]) {
				list = append(list, p[i])
			}
		}
		space[name] = list
	}
	text, err := pyjson.Marshal(space, false)
	if err != nil {
		return err
	}
	d.SetAttr(gridSpaceKey, text)
	d.SetAttr(gridIDKey, strconv.Itoa(g.order[at]))
	return nil
}

// Relative implements Sampler: nothing is sampled together.
func (g *Grid) Relative(context.Context, *Draft) (map[string]Param, error) { return nil, nil }

// Independent implements Sampler.
func (g *Grid) Independent(_ context.Context, d *Draft, name string, dist Distribution) (float64, error) {
	i := slices.Index(g.names, name)
	id, err := strconv.Atoi(d.Trial.SystemAttrs[gridIDKey])
	if i < 0 || err != nil || id < 0 || id >= len(g.points) {
		return 0, fmt.Errorf("tune: grid: %s is not on the grid of %v", name, g.names)
	}
	return dist.Internal(g.points[id][i])
}

// BruteForce tries every combination of a define-by-run space with listed
// values: it learns the tree of parameters from the trials, and ends the study
// when all of it is explored.
type BruteForce struct{ source }

// NewBruteForce draws among unexplored branches with a seed below 2³².
func NewBruteForce(seed uint64) *BruteForce { return &BruteForce{newSource(seed)} }

// Relative implements Sampler: nothing is sampled together.
func (b *BruteForce) Relative(context.Context, *Draft) (map[string]Param, error) { return nil, nil }

// Independent implements Sampler.
func (b *BruteForce) Independent(_ context.Context, d *Draft, name string, dist Distribution) (float64, error) {
	all, err := enumerate(dist)
	if err != nil {
		return 0, fmt.Errorf("tune: brute force: %s: %w", name, err)
	}
	var open []float64
	for _, v := range all {
		x, err := dist.Internal(v)
		if err != nil {
			return 0, err
		}
		prefix := maps.Clone(d.Trial.Params)
		put(&prefix, name, Param{x, dist})
		if !explored(others(d.View, d.Trial.Number), prefix) {
			open = append(open, x)
		}
	}
	if len(open) == 0 { // other workers are on all of them
		x, err := dist.Internal(all[b.rng.intN(len(all))])
		return x, err
	}
	return open[b.rng.intN(len(open))], nil
}

func others(v *View, number int) []*Trial {
	return slices.DeleteFunc(v.In(Complete, Pruned, Running), func(t *Trial) bool { return t.Number == number })
}

// explored tells whether every combination below a prefix is tried or running.
func explored(trials []*Trial, prefix map[string]Param) bool {
	var below []*Trial
	for _, t := range trials {
		if extends(t, prefix) {
			below = append(below, t)
		}
	}
	if len(below) == 0 {
		return false
	}
	var next string
	var dist Distribution
	for _, t := range below { // all of them ask for the same parameter next; the names order those known
		for _, name := range slices.Sorted(maps.Keys(t.Params)) {
			if _, ok := prefix[name]; !ok && shared(below, name) {
				next, dist = name, t.Params[name].Dist
				break
			}
		}
		if dist != nil {
			break
		}
	}
	if dist == nil {
		return true
	}
	all, err := enumerate(dist)
	if err != nil {
		return false
	}
	for _, v := range all {
		x, err := dist.Internal(v)
		longer := maps.Clone(prefix)
		put(&longer, next, Param{x, dist})
		if err != nil || !explored(below, longer) {
			return false
		}
	}
	return true
}

// shared tells whether all trials have a parameter: the next of a tree does.
func shared(trials []*Trial, name string) bool {
	for _, t := range trials {
		if _, ok := t.Params[name]; !ok && t.State != Running {
			return false
		}
	}
	return true
}

func extends(t *Trial, prefix map[string]Param) bool {
	for name, p := range prefix {
		if own, ok := t.Params[name]; !ok || own.Value != p.Value {
			return false
		}
	}
	return true
}

// More implements Ender.
func (b *BruteForce) More(v *View) bool {
	return !explored(v.In(Complete, Pruned, Running), nil)
}
