package tune

import (
	"maps"
	"math"
	"slices"
)

// FANOVA rates parameters by the share of the value's variance that each explains
// alone, in a random forest fitted to the trials (Hutter et al. 2014). It looks at
// one objective and at the parameters that all trials share.
func FANOVA(v *View, objective int, seed uint64) []Importance {
	const trees = 64
	trials := v.finite()
	space := (&intersection{}).of(v, false)
	names := slices.Sorted(maps.Keys(space))
	raw := map[string]float64{}
	for _, n := range names {
		raw[n] = 0
	}
	f := &forest{rng: newStream(seed)}
	for _, n := range names {
		f.dists = append(f.dists, space[n])
	}
	for _, t := range trials {
		if hasAll(t.Params, names) {
			row := make([]float64, len(names))
			for i, n := range names {
				if row[i] = t.Params[n].Value; isLog(space[n]) {
					row[i] = math.Log(row[i])
				}
			}
			f.x, f.y = append(f.x, row), append(f.y, t.Values[objective])
		}
	}
	if len(f.x) < 2 || len(names) == 0 {
		return shares(raw)
	}
	for range trees {
		rows := make([]int, len(f.x))
		for i := range rows {
			rows[i] = f.rng.intN(len(rows))
		}
		f.leaves = nil
		f.grow(rows, f.whole(), 0)
		for i, share := range f.explained() {
			raw[names[i]] += share / trees
		}
	}
	return shares(raw)
}

// forest grows one regression tree at a time.
type forest struct {
	rng    *stream
	dists  []Distribution
	x      [][]float64
	y      []float64
	leaves []leaf
}

// region is a part of a parameter's values: a range, or a set of choices.
type region struct {
	low, high float64
	choices   []bool // nil for numbers
}

type leaf struct {
	regions []region
	value   float64
}

func (f *forest) whole() []region {
	out := make([]region, len(f.dists))
	for i, d := range f.dists {
		if c, ok := d.(Categorical); ok {
			out[i].choices = make([]bool, len(c.Choices))
			for j := range out[i].choices {
				out[i].choices[j] = true
			}
			continue
		}
		out[i].low, out[i].high = bounds(d)
	}
	return out
}

// grow splits until leaves are pure or hold one row.
func (f *forest) grow(rows []int, regions []region, depth int) {
	const deepest = 64
	mean := 0.0
	for _, r := range rows {
		mean += f.y[r] / float64(len(rows))
	}
	feature, at, ok := f.split(rows)
	if !ok || depth == deepest {
		f.leaves = append(f.leaves, leaf{regions, mean})
		return
	}
	left, right := slices.Clone(regions), slices.Clone(regions)
	if c := regions[feature].choices; c != nil {
		only := make([]bool, len(c))
		only[int(at)] = true
		rest := slices.Clone(c)
		rest[int(at)] = false
		left[feature].choices, right[feature].choices = only, rest
	} else {
		left[feature].high, right[feature].low = at, at
	}
	var in, out []int
	for _, r := range rows {
		if f.below(feature, at, f.x[r][feature]) {
			in = append(in, r)
		} else {
			out = append(out, r)
		}
	}
	f.grow(in, left, depth+1)
	f.grow(out, right, depth+1)
}

func (f *forest) below(feature int, at, x float64) bool {
	if _, ok := f.dists[feature].(Categorical); ok {
		return x == at
	}
	return x <= at
}

// split finds the split that leaves the least variance.
func (f *forest) split(rows []int) (feature int, at float64, ok bool) {
	best := math.Inf(1)
	for i := range f.dists {
		_, unordered := f.dists[i].(Categorical)
		sorted := slices.Clone(rows)
		slices.SortStableFunc(sorted, func(a, b int) int {
			switch {
			case f.x[a][i] < f.x[b][i]:
				return -1
			case f.x[a][i] > f.x[b][i]:
				return 1
			}
			return 0
		})
		var sum, square float64
		for _, r := range sorted {
			sum, square = sum+f.y[r], square+f.y[r]*f.y[r]
		}
		if square-sum*sum/float64(len(rows)) < 1e-14*math.Max(1, square) {
			return 0, 0, false
		}
		var inSum, inCount float64
		for k, r := range sorted {
			inSum, inCount = inSum+f.y[r], inCount+1
			if k+1 < len(sorted) && f.x[sorted[k+1]][i] == f.x[r][i] {
				continue
			}
			outCount := float64(len(rows)) - inCount
			if outCount > 0 || unordered && inCount < float64(len(rows)) {
				left := -inSum*inSum/inCount - (sum-inSum)*(sum-inSum)/(float64(len(rows))-inCount)
				if left < best {
					best, feature, ok = left, i, true
					if at = f.x[r][i]; !unordered {
						at = (at + f.x[sorted[k+1]][i]) / 2
					}
				}
			}
			if unordered { // each choice against the rest
				inSum, inCount = 0, 0
			}
		}
	}
	return feature, at, ok
}

// part is the share of a parameter's values that a region holds.
func (f *forest) part(i int, r region) float64 {
	if r.choices != nil {
		n := 0.0
		for _, in := range r.choices {
			if in {
				n++
			}
		}
		return n / float64(len(r.choices))
	}
	low, high := bounds(f.dists[i])
	if high == low {
		return 1
	}
	return (r.high - r.low) / (high - low)
}

// explained is each parameter's share of the tree's variance.
func (f *forest) explained() []float64 {
	mean, square := 0.0, 0.0
	for _, l := range f.leaves {
		volume := 1.0
		for i, r := range l.regions {
			volume *= f.part(i, r)
		}
		mean, square = mean+volume*l.value, square+volume*l.value*l.value
	}
	out := make([]float64, len(f.dists))
	total := square - mean*mean
	if total <= 0 {
		return out
	}
	for i := range out {
		out[i] = max(f.marginal(i, mean)/total, 0)
	}
	return out
}

// marginal is the variance of the mean prediction along one parameter.
func (f *forest) marginal(i int, mean float64) float64 {
	type cell struct{ at, size float64 }
	var cells []cell
	if c, ok := f.dists[i].(Categorical); ok {
		for k := range c.Choices {
			cells = append(cells, cell{float64(k), 1 / float64(len(c.Choices))})
		}
	} else {
		low, high := bounds(f.dists[i])
		edges := []float64{low, high}
		for _, l := range f.leaves {
			edges = append(edges, l.regions[i].low, l.regions[i].high)
		}
		slices.Sort(edges)
		edges = slices.Compact(edges)
		for k := range len(edges) - 1 {
			cells = append(cells, cell{(edges[k] + edges[k+1]) / 2, (edges[k+1] - edges[k]) / (high - low)})
		}
	}
	variance := 0.0
	for _, c := range cells {
		value := 0.0
		for _, l := range f.leaves {
			r := l.regions[i]
			if r.choices != nil && !r.choices[int(c.at)] || r.choices == nil && (c.at <= r.low || c.at > r.high) {
				continue
			}
			volume := 1.0
			for j, other := range l.regions {
				if j != i {
					volume *= f.part(j, other)
				}
			}
			value += volume * l.value
		}
		variance += c.size * (value - mean) * (value - mean)
	}
	return variance
}
