package tune

import (
	"math"
	"slices"
	"sync"
)

// parzen is a mixture of product distributions, one kernel for each observation
// and a wide prior kernel at the end: the density that TPE compares.
type parzen struct {
	weights []float64 // of kernels, sum 1
	dims    []kernels // one for each parameter
}

// kernels are one parameter's part of every kernel.
type kernels struct {
	dist Distribution
	log  bool
	step float64 // 0 for continuous and categorical parameters

	low, high float64 // bounds on the scale
	mu, sigma []float64
	norm      []float64 // what the log density of a continuous kernel subtracts from −z²/2

	choices [][]float64 // of categorical kernels: probability of each choice
}

// newParzen estimates from observations, one row of internal values for each
// trial. weights are those of the rows, nil for the usual ramp. bandwidth is nil
// for Optuna 5.0's, see TPE.
func newParzen(names []string, space map[string]Distribution, rows [][]float64, weights []float64, bandwidth func(n, dims int) float64) *parzen {
	p := &parzen{weights: weights}
	if weights == nil {
		p.weights = ramp(len(rows))
	}
	p.weights = append(slices.Clone(p.weights), 1) // the prior's
	sum := pairwiseSum(p.weights)
	for i := range p.weights {
		p.weights[i] /= sum
	}
	for i, name := range names {
		column := make([]float64, len(rows), len(rows)+1)
		for r, row := range rows {
			column[r] = row[i]
		}
		if c, ok := space[name].(Categorical); ok {
			p.dims = append(p.dims, categoricalKernels(c, column))
			continue
		}
		width := 0.0
		if bandwidth != nil {
			width = bandwidth(len(rows), len(names))
		}
		p.dims = append(p.dims, numericKernels(space[name], column, width))
	}
	return p
}

// ramp weighs old observations less: 1 for the newest 25, then down to 1/n.
func ramp(n int) []float64 {
	const full = 25
	out := make([]float64, n)
	for i := range out {
		out[i] = 1
	}
	if n < full {
		return out
	}
	first := 1 / float64(n)
	switch k := n - full; {
	case k == 1:
		out[0] = first
	case k > 1:
		for i := range k {
			out[i] = first + float64(i)*((1-first)/float64(k-1))
		}
		out[k-1] = 1
	}
	return out
}

func categoricalKernels(c Categorical, column []float64) kernels {
	n, k := len(column)+1, len(c.Choices)
	out := kernels{dist: c, choices: make([][]float64, n)}
	flat := make([]float64, n*k)
	for i := range out.choices {
		row := flat[i*k : (i+1)*k]
		sum := 0.0
		for j := range row {
			row[j] = 1 / float64(n)
			if i < len(column) && int(column[i]) == j {
				row[j]++
			}
			sum += row[j]
		}
		for j := range row {
			row[j] /= sum
		}
		out.choices[i] = row
	}
	if len(column) == 0 {
		for j := range flat {
			flat[j] = 1 / float64(k)
		}
	}
	return out
}

// numericKernels builds truncated normal kernels. width, where above 0, is a
// fixed share of the range for every sigma.
func numericKernels(dist Distribution, column []float64, width float64) kernels {
	k := kernels{dist: dist, log: isLog(dist)}
	switch d := dist.(type) {
	case Float:
		k.step = d.Step
	case Int:
		k.step = float64(d.Step)
	}
	k.low, k.high = bounds(dist)
	if k.log {
		for i, v := range column {
			column[i] = math.Log(v)
		}
	}
	if width > 0 {
		k.sigma = make([]float64, len(column), len(column)+1)
		for i := range k.sigma {
			k.sigma[i] = width * (k.high - k.low)
		}
	} else {
		k.sigma = gaps(column, k.low, k.high)
	}
	n := float64(len(column) + 1)
	least := (k.high - k.low) / min(100, 1+n)
	for i, s := range k.sigma {
		k.sigma[i] = min(max(s, least), k.high-k.low)
	}
	k.mu = append(column, 0.5*(k.low+k.high))
	k.sigma = append(k.sigma, k.high-k.low)
	k.norm = make([]float64, len(k.mu))
	for i, mu := range k.mu {
		s := k.sigma[i]
		k.norm[i] = logGaussMass((k.low-mu)/s, (k.high-mu)/s)
		if k.step == 0 {
			k.norm[i] += logSqrt2Pi + math.Log(s)
		}
	}
	return k
}

// gaps is for each place the larger distance to its sorted neighbours; the ends
// of the range are neighbours, except of the outermost of several places.
func gaps(mu []float64, low, high float64) []float64 {
	n := len(mu)
	out := make([]float64, n, n+1)
	order := argsort(mu)
	for r, i := range order {
		left, right := low, high
		if r > 0 {
			left = mu[order[r-1]]
		}
		if r < n-1 {
			right = mu[order[r+1]]
		}
		out[i] = max(mu[i]-left, right-mu[i])
		switch {
		case n > 1 && r == 0:
			out[i] = right - mu[i]
		case n > 1 && r == n-1:
			out[i] = mu[i] - left
		}
	}
	return out
}

// sample draws n joint values, one row each, in the order of draws that Optuna
// makes: kernels, then each categorical parameter, then all numeric ones.
func (p *parzen) sample(rng *stream, n int) [][]float64 {
	kernel := make([]int, n)
	cumulative := make([]float64, len(p.weights))
	sum := 0.0
	for i, w := range p.weights {
		sum += w
		cumulative[i] = sum
	}
	for i := range cumulative {
		cumulative[i] /= sum
	}
	for i := range kernel {
		u := rng.float()
		kernel[i], _ = slices.BinarySearchFunc(cumulative, u, func(c, u float64) int {
			if c <= u {
				return -1
			}
			return 1
		})
	}
	out := make([][]float64, n)
	for i := range out {
		out[i] = make([]float64, len(p.dims))
	}
	for d, k := range p.dims {
		if k.choices != nil {
			for i := range out {
				out[i][d] = pick(k.choices[kernel[i]], rng.float())
			}
		}
	}
	for d, k := range p.dims {
		if k.choices == nil {
			for i := range out {
				out[i][d] = k.draw(kernel[i], rng.float())
			}
		}
	}
	return out
}

// pick is the first choice whose cumulative probability reaches u.
func pick(probabilities []float64, u float64) float64 {
	sum, at := 0.0, 0
	for _, p := range probabilities[:len(probabilities)-1] {
		if sum += p; sum < u {
			at++
		}
	}
	return float64(at)
}

func (k *kernels) draw(i int, u float64) float64 {
	mu, s := k.mu[i], k.sigma[i]
	x := truncnormPPF(u, (k.low-mu)/s, (k.high-mu)/s)*s + mu
	if k.log {
		x = math.Exp(x)
	}
	if k.step == 0 {
		return x
	}
	low, high := valueRange(k.dist)
	return min(max(low+math.RoundToEven((x-low)/k.step)*k.step, low), high)
}

// valueRange is a numeric parameter's first and last value.
func valueRange(dist Distribution) (low, high float64) {
	switch d := dist.(type) {
	case Float:
		return d.Low, d.High
	case Int:
		return float64(d.Low), float64(d.High)
	}
	return 0, 0
}

// scratch holds logPDF's tables, which are the largest of what a suggestion needs.
var scratch = sync.Pool{New: func() any { return new([]float64) }}

// logPDF is the log density of each row.
func (p *parzen) logPDF(rows [][]float64) []float64 {
	n := len(p.weights)
	table := scratch.Get().(*[]float64)
	defer scratch.Put(table)
	*table = slices.Grow((*table)[:0], len(rows)*n)[:len(rows)*n]
	acc := *table // log density of every row in every kernel
	clear(acc)
	exp, log := math.Exp, math.Log
	if !slices.ContainsFunc(p.dims, func(k kernels) bool { return k.choices == nil }) {
		exp, log = exactExp, exactLog
	}
	for d := range p.dims {
		k := &p.dims[d]
		switch {
		case k.choices != nil:
			k.addChoices(acc, rows, d, log)
		case k.step > 0:
			k.addSteps(acc, rows, d)
		default:
			k.addContinuous(acc, rows, d)
		}
	}
	out, logWeights := make([]float64, len(rows)), make([]float64, n)
	for i, w := range p.weights {
		logWeights[i] = log(w)
	}
	for r := range rows {
		part := acc[r*n : (r+1)*n]
		for i, w := range logWeights {
			part[i] += w
		}
		out[r] = logSumExp(part, exp, log)
	}
	return out
}

// logSumExp overwrites v.
func logSumExp(v []float64, exp, log func(float64) float64) float64 {
	top := slices.Max(v)
	if math.IsInf(top, -1) {
		return top
	}
	const negligible = -40 // below the last bit of the sum
	for i, x := range v {
		if x -= top; x > negligible {
			v[i] = exp(x)
		} else {
			v[i] = 0
		}
	}
	return log(pairwiseSum(v)) + top
}

// pairwiseSum adds in NumPy's order. Choices that were seen equally often are
// equally good, and then the rounding of these sums decides.
func pairwiseSum(v []float64) float64 {
	const block = 128
	n := len(v)
	if n > block {
		half := n / 2
		half -= half % 8
		return pairwiseSum(v[:half]) + pairwiseSum(v[half:])
	}
	sum, done := 0.0, n-n%8
	if done > 0 {
		r := [8]float64(v[:8])
		for i := 8; i < done; i += 8 {
			for j := range r {
				r[j] += v[i+j]
			}
		}
		sum = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]))
	}
	for _, x := range v[done:] {
		sum += x
	}
	return sum
}

func (k *kernels) addChoices(acc []float64, rows [][]float64, d int, log func(float64) float64) {
	n := len(k.choices)
	logs := make([][]float64, len(k.choices[0])) // by choice, where a row needs it
	for r, row := range rows {
		c := int(row[d])
		if logs[c] == nil {
			logs[c] = make([]float64, n)
			for i := range logs[c] {
				logs[c][i] = log(k.choices[i][c])
			}
		}
		for i, v := range logs[c] {
			acc[r*n+i] += v
		}
	}
}

func (k *kernels) addContinuous(acc []float64, rows [][]float64, d int) {
	n := len(k.mu)
	inverse := make([]float64, n)
	for i, s := range k.sigma {
		inverse[i] = 1 / s
	}
	for r, row := range rows {
		x, part := row[d], acc[r*n:(r+1)*n]
		if k.log {
			x = math.Log(x)
		}
		if x < k.low || x > k.high {
			for i := range part {
				part[i] = math.Inf(-1)
			}
			continue
		}
		mu, norm := k.mu[:len(part)], k.norm[:len(part)]
		for i := range part {
			z := (x - mu[i]) * inverse[i]
			part[i] -= z*z*0.5 + norm[i]
		}
	}
}

// addSteps adds the mass of the cell around each value. Kernels that are equal,
// and values that are, share one computation.
func (k *kernels) addSteps(acc []float64, rows [][]float64, d int) {
	n := len(k.mu)
	type kernel struct{ mu, sigma float64 }
	index, first, at := map[kernel]int{}, []int{}, make([]int, n)
	for i := range k.mu {
		key := kernel{k.mu[i], k.sigma[i]}
		u, ok := index[key]
		if !ok {
			u = len(first)
			index[key], first = u, append(first, i)
		}
		at[i] = u
	}
	masses := map[float64][]float64{}
	for r, row := range rows {
		x := row[d]
		m := masses[x]
		if m == nil {
			m = make([]float64, len(first))
			left, right := x-k.step/2, x+k.step/2
			if k.log {
				left, right = math.Log(left), math.Log(right)
			}
			for u, i := range first {
				m[u] = logGaussMass((left-k.mu[i])/k.sigma[i], (right-k.mu[i])/k.sigma[i]) - k.norm[i]
			}
			masses[x] = m
		}
		part := acc[r*n : (r+1)*n]
		for i, u := range at {
			part[i] += m[u]
		}
	}
}

// argsort is NumPy's argsort of doubles on processors without vector sorting:
// quicksort with a median of three that leaves parts of up to 16 to insertion. The
// order of equal values is what matters: their kernels differ in width.
func argsort(v []float64) []int {
	keys := make([]key, len(v))
	for i, x := range v {
		keys[i] = key{x, i}
	}
	quicksort(keys)
	order := make([]int, len(v))
	for i, k := range keys {
		order[i] = k.at
	}
	return order
}

// key is a number and where it came from.
type key struct {
	v  float64
	at int
}

func quicksort(keys []key) {
	const small = 16
	for len(keys) > small {
		m := partition(keys)
		if m < len(keys)-1-m {
			quicksort(keys[:m])
			keys = keys[m+1:]
		} else {
			quicksort(keys[m+1:])
			keys = keys[:m]
		}
	}
	for i := 1; i < len(keys); i++ {
		k, j := keys[i], i
		for ; j > 0 && k.v < keys[j-1].v; j-- {
			keys[j] = keys[j-1]
		}
		keys[j] = k
	}
}

// partition puts the median of the first, the middle and the last key in its
// place, which it returns, with smaller ones before it and larger ones behind.
func partition(keys []key) int {
	r := len(keys) - 1
	m := r >> 1
	if keys[m].v < keys[0].v {
		keys[m], keys[0] = keys[0], keys[m]
	}
	if keys[r].v < keys[m].v {
		keys[r], keys[m] = keys[m], keys[r]
	}
	if keys[m].v < keys[0].v {
		keys[m], keys[0] = keys[0], keys[m]
	}
	pivot := keys[m].v
	i, j := 0, r-1
	keys[m], keys[j] = keys[j], keys[m]
	for {
		for i++; keys[i].v < pivot; i++ {
		}
		for j--; pivot < keys[j].v; j-- {
		}
		if i >= j {
			break
		}
		keys[i], keys[j] = keys[j], keys[i]
	}
	keys[i], keys[r-1] = keys[r-1], keys[i]
	return i
}
