package tune

import (
	"cmp"
	"context"
	"maps"
	"math"
	"slices"
	"strconv"
)

// NSGA2 is the genetic algorithm of Deb et al. 2002 for one or several
// objectives, with constrained domination: children of generation g come from
// the best trials of the generations before. Trials hold their generation under
// Optuna's key. Set fields before the first trial.
type NSGA2 struct {
	source

	Population int
	Mutation   float64 // probability per parameter of being drawn anew; 0 is 1/d
	Crossover  float64 // probability of two parents rather than one
	Swap       float64 // probability per parameter of coming from the second parent

	space   intersection
	parents map[int][]*Trial // of each generation that is settled
}

// NewNSGA2 has Optuna's defaults and a seed below 2³².
func NewNSGA2(seed uint64) *NSGA2 {
	return &NSGA2{source: newSource(seed), Population: 50, Crossover: 0.9, Swap: 0.5, parents: map[int][]*Trial{}}
}

const generationKey = "NSGAIISampler:generation"

// Independent implements Sampler.
func (n *NSGA2) Independent(_ context.Context, _ *Draft, _ string, dist Distribution) (float64, error) {
	return drawUniform(n.rng, dist), nil
}

// Relative implements Sampler.
func (n *NSGA2) Relative(_ context.Context, d *Draft) (map[string]Param, error) {
	generation, parents := n.parentsOf(d.View)
	d.SetAttr(generationKey, strconv.Itoa(generation))
	space := n.space.of(d.View, false)
	if generation == 0 || len(parents) == 0 || len(space) == 0 {
		return nil, nil
	}
	first, second := n.choose(d.View, parents)
	mutation := n.Mutation
	if mutation == 0 {
		mutation = 1 / max(1, float64(len(space)))
	}
	out := map[string]Param{}
	for _, name := range slices.Sorted(maps.Keys(space)) {
		from := first
		if second != first && n.rng.float() < n.Swap {
			from = second
		}
		if n.rng.float() < mutation {
			out[name] = Param{drawUniform(n.rng, space[name]), space[name]}
			continue
		}
		out[name] = from.Params[name]
	}
	return out, nil
}

// parentsOf is the generation that is due, and its parents.
func (n *NSGA2) parentsOf(v *View) (generation int, parents []*Trial) {
	members := map[int][]*Trial{}
	for _, t := range v.In(Complete) {
		if g, err := strconv.Atoi(t.SystemAttrs[generationKey]); err == nil {
			members[g] = append(members[g], t)
		}
	}
	for g := 0; ; g++ {
		if len(members[g]) < n.Population {
			return g, parents
		}
		if n.parents[g+1] == nil {
			n.parents[g+1] = elite(v, append(slices.Clone(members[g][:n.Population]), parents...), n.Population)
		}
		parents = n.parents[g+1]
	}
}

// choose finds two different parents, or for a child without crossover one, which
// then stands for both.
func (n *NSGA2) choose(v *View, parents []*Trial) (first, second *Trial) {
	if n.rng.float() >= n.Crossover || len(parents) < 2 {
		first = parents[n.rng.intN(len(parents))]
		return first, first
	}
	first = n.tournament(v, parents)
	others := slices.DeleteFunc(slices.Clone(parents), func(t *Trial) bool { return t == first })
	return first, n.tournament(v, others)
}

// tournament is the better of two parents.
func (n *NSGA2) tournament(v *View, parents []*Trial) *Trial {
	a, b := parents[n.rng.intN(len(parents))], parents[n.rng.intN(len(parents))]
	if beats(v, b, a) {
		return b
	}
	return a
}

// beats is constrained domination: feasible before infeasible, then the smaller
// violation, then plain domination.
func beats(v *View, a, b *Trial) bool {
	x, y := a.Violation(), b.Violation()
	if x > 0 || y > 0 {
		return x < y
	}
	return v.dominates(a, b)
}

// elite keeps the best n: by rank of non-domination, then by crowding distance.
func elite(v *View, trials []*Trial, n int) []*Trial {
	var feasible, infeasible []*Trial
	for _, t := range trials {
		if t.Violation() > 0 {
			infeasible = append(infeasible, t)
		} else {
			feasible = append(feasible, t)
		}
	}
	ranks := nonDominationRanks(lossesOf(v, feasible), n)
	var out []*Trial
	for rank := 0; len(out) < min(n, len(feasible)); rank++ {
		var front []*Trial
		for i, t := range feasible {
			if ranks[i] == rank {
				front = append(front, t)
			}
		}
		if room := n - len(out); len(front) > room {
			front = leastCrowded(v, front, room)
		}
		out = append(out, front...)
	}
	slices.SortStableFunc(infeasible, func(a, b *Trial) int { return cmp.Compare(a.Violation(), b.Violation()) })
	return append(out, infeasible[:min(n-len(out), len(infeasible))]...)
}

func leastCrowded(v *View, front []*Trial, n int) []*Trial {
	distance := map[*Trial]float64{}
	for objective := range v.Directions {
		sorted := slices.Clone(front)
		slices.SortStableFunc(sorted, func(a, b *Trial) int { return cmp.Compare(v.loss(a, objective), v.loss(b, objective)) })
		last := len(sorted) - 1
		width := v.loss(sorted[last], objective) - v.loss(sorted[0], objective)
		distance[sorted[0]], distance[sorted[last]] = math.Inf(1), math.Inf(1)
		for i := 1; i < last && width > 0; i++ {
			distance[sorted[i]] += (v.loss(sorted[i+1], objective) - v.loss(sorted[i-1], objective)) / width
		}
	}
	out := slices.Clone(front)
	slices.SortStableFunc(out, func(a, b *Trial) int { return cmp.Compare(distance[b], distance[a]) })
	return out[:n]
}
