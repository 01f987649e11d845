package tune

import (
	"cmp"
	"maps"
	"math"
	"slices"
)

// Importance is how much a parameter matters: shares that sum to 1.
type Importance struct {
	Name  string
	Share float64
}

// finite lists the complete trials with finite values.
func (v *View) finite() []*Trial {
	return slices.DeleteFunc(v.In(Complete), func(t *Trial) bool {
		return slices.ContainsFunc(t.Values, func(x float64) bool { return math.IsInf(x, 0) || math.IsNaN(x) })
	})
}

// PEDANOVA rates parameters by how much their distribution among the best tenth
// of the trials differs from that among all (Watanabe et al. 2023): Optuna 5.0's
// default. Conditional parameters are rated within the trials that have them.
// With several objectives the best are those of the first ranks.
func PEDANOVA(v *View) []Importance {
	const quantile = 0.1
	trials := v.finite()
	out := map[string]float64{}
	for _, t := range v.In(Complete) {
		for name := range t.Params {
			out[name] = 0
		}
	}
	if len(trials) > 1 {
		top := topTrials(v, trials, quantile)
		inTop := map[int]bool{}
		for _, t := range top {
			inTop[t.Number] = true
		}
		share := float64(len(top)) / float64(len(trials))
		for name := range out {
			for _, regime := range regimes(trials, name) {
				var best []*Trial
				for _, t := range regime {
					if inTop[t.Number] {
						best = append(best, t)
					}
				}
				p, ok := regime[0].Params[name]
				if len(regime) < 2 || !ok || p.Dist.Single() || len(best) == 0 {
					continue
				}
				inBest, inAll := float64(len(best))/float64(len(top)), float64(len(regime))/float64(len(trials))
				out[name] += inBest * inBest / inAll * pearson(name, p.Dist, best, regime) * share * share
			}
		}
	}
	return shares(out)
}

func topTrials(v *View, trials []*Trial, quantile float64) []*Trial {
	n := int(math.Ceil(quantile * float64(len(trials))))
	if len(v.Directions) > 1 {
		top, _ := splitComplete(v, trials, n)
		return top
	}
	losses := make([]float64, len(trials))
	for i, t := range trials {
		losses[i] = v.loss(t, 0)
	}
	sorted := slices.Sorted(slices.Values(losses))
	var top []*Trial
	for i, t := range trials {
		if losses[i] <= sorted[n-1] {
			top = append(top, t)
		}
	}
	return top
}

// regimes parts trials by the distribution of a parameter; those without it are one.
func regimes(trials []*Trial, name string) [][]*Trial {
	var out [][]*Trial
	for _, t := range trials {
		p, has := t.Params[name]
		i := slices.IndexFunc(out, func(r []*Trial) bool {
			q, ok := r[0].Params[name]
			return ok == has && (!ok || q.Dist.Equal(p.Dist))
		})
		if i < 0 {
			out = append(out, nil)
			i = len(out) - 1
		}
		out[i] = append(out[i], t)
	}
	return out
}

func shares(raw map[string]float64) []Importance {
	sum := 0.0
	for _, v := range raw {
		sum += v
	}
	var out []Importance
	for _, name := range slices.Sorted(maps.Keys(raw)) {
		share := 1 / float64(len(raw))
		if sum > 0 {
			share = raw[name] / sum
		}
		out = append(out, Importance{name, share})
	}
	slices.SortStableFunc(out, func(a, b Importance) int { return cmp.Compare(b.Share, a.Share) })
	return out
}

// pearson is the Pearson divergence of the density among top from that among all,
// on a grid of 50 cells at most.
func pearson(name string, dist Distribution, top, all []*Trial) float64 {
	p, q := gridDensity(name, dist, top), gridDensity(name, dist, all)
	sum := 0.0
	for i := range p {
		a, b := p[i]+1e-12, q[i]+1e-12
		sum += b * (a/b - 1) * (a/b - 1)
	}
	return sum
}

// gridDensity is a Parzen estimate with Scott's bandwidth on a parameter's grid.
func gridDensity(name string, dist Distribution, trials []*Trial) []float64 {
	counts := gridCounts(name, dist, trials)
	var at, weights []float64
	for i, c := range counts {
		if c > 0 {
			at, weights = append(at, float64(i)), append(weights, c)
		}
	}
	n := len(counts)
	p := &parzen{weights: append(slices.Clone(weights), 1)}
	sum := 0.0
	for _, w := range p.weights {
		sum += w
	}
	for i := range p.weights {
		p.weights[i] /= sum
	}
	if c, ok := dist.(Categorical); ok {
		p.dims = []kernels{categoricalKernels(c, at)}
	} else {
		k := kernels{dist: Int{0, int64(n - 1), false, 1}, step: 1, low: -0.5, high: float64(n) - 0.5}
		sigma := scott(at, weights)
		for range at {
			k.sigma = append(k.sigma, sigma)
		}
		k.mu, k.sigma = append(at, float64(n-1)/2), append(k.sigma, float64(n))
		for i, mu := range k.mu {
			k.norm = append(k.norm, logGaussMass((k.low-mu)/k.sigma[i], (k.high-mu)/k.sigma[i]))
		}
		p.dims = []kernels{k}
	}
	rows := make([][]float64, n)
	for i := range rows {
		rows[i] = []float64{float64(i)}
	}
	out := p.logPDF(rows)
	for i, l := range out {
		out[i] = math.Exp(l)
	}
	return out
}

func gridCounts(name string, dist Distribution, trials []*Trial) []float64 {
	cells := 50
	var low, high float64
	switch d := dist.(type) {
	case Categorical:
		out := make([]float64, len(d.Choices))
		for _, t := range trials {
			out[int(t.Params[name].Value)]++
		}
		return out
	case Int:
		low, high = float64(d.Low), float64(d.High)
		if d.Log {
			cells = min(int(math.Ceil(math.Log(high-low+1)/math.Log(2)))+1, cells)
		} else {
			cells = min(int(math.RoundToEven((high-low)/float64(d.Step)))+1, cells)
		}
	case Float:
		low, high = d.Low, d.High
		if d.Step > 0 {
			cells = min(int(math.RoundToEven((high-low)/d.Step))+1, cells)
		}
	}
	if isLog(dist) {
		low, high = math.Log(low), math.Log(high)
	}
	width := (high - low) / float64(cells-1)
	out := make([]float64, cells)
	for _, t := range trials {
		i := int(math.Ceil((toScale(dist, t.Params[name].Value)-low)/width - 0.5))
		out[min(max(i, 0), cells-1)]++
	}
	return out
}

// scott is Scott's bandwidth of weighted cells, with the quartiles that Optuna takes.
func scott(at, weights []float64) float64 {
	sum, mean, square := 0.0, 0.0, 0.0
	cumulative := make([]float64, len(at))
	for i, w := range weights {
		sum += w
		cumulative[i] = sum
		mean += w * at[i]
	}
	mean /= sum
	for i, w := range weights {
		square += w * (at[i] - mean) * (at[i] - mean)
	}
	first := slices.IndexFunc(cumulative, func(c float64) bool { return c >= math.Floor(sum/4) })
	third := slices.IndexFunc(cumulative, func(c float64) bool { return c > math.Floor(sum*3/4) })
	if third < 0 {
		third = len(at) - 1
	}
	spread := at[third] - at[first]
	sigma := 1.059 * min(spread/1.34, math.Sqrt(square/max(1, sum-1))) * math.Pow(sum, -0.2)
	return max(sigma, 0.5/1.64)
}
