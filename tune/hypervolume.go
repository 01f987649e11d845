package tune

import (
	"math"
	"slices"
)

// nonDominationRanks ranks rows of losses: 0 for those that none dominates, 1 for
// those that only rank 0 dominates, and so on. Ranks are right for the first n
// rows in that order; what is worse has a greater rank. n of 0 ranks all.
func nonDominationRanks(losses [][]float64, n int) []int {
	order := lexOrder(losses)
	if n <= 0 {
		n = len(losses)
	}
	// equal rows share a rank, and count once
	ranks := make([]int, len(losses))
	left := slices.CompactFunc(slices.Clone(order), func(a, b int) bool { return slices.Equal(losses[a], losses[b]) })
	n = min(n, len(left))
	total := len(left)
	rank := 0
	for ; total-len(left) < n; rank++ {
		var front, rest []int
		for _, i := range left {
			// sorted by the first loss, so only earlier ones can dominate
			if slices.ContainsFunc(front, func(f int) bool { return noWorse(losses[f], losses[i]) }) {
				rest = append(rest, i)
			} else {
				front = append(front, i)
			}
		}
		for _, i := range front {
			ranks[i] = rank
		}
		left = rest
	}
	for _, i := range left {
		ranks[i] = rank
	}
	for k, i := range order[min(1, len(order)):] {
		if previous := order[k]; slices.Equal(losses[i], losses[previous]) {
			ranks[i] = ranks[previous]
		}
	}
	return ranks
}

func noWorse(a, b []float64) bool {
	for j := range a {
		if a[j] > b[j] {
			return false
		}
	}
	return true
}

// lexOrder sorts rows by their first loss, then the second …; equal ones keep
// their order.
func lexOrder(rows [][]float64) []int {
	order := make([]int, len(rows))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return slices.Compare(rows[a], rows[b]) })
	return order
}

// Hypervolume is the volume between a reference point and a set of losses: what
// at least one of them dominates. Rows beyond the reference are left out.
// Slicing by the last objective (While et al. 2006, HSO).
func Hypervolume(losses [][]float64, reference []float64) float64 {
	var rows [][]float64
	for _, r := range losses {
		if noWorse(r, reference) {
			rows = append(rows, r)
		}
	}
	return hypervolume(rows, reference)
}

func hypervolume(rows [][]float64, ref []float64) float64 {
	d := len(ref)
	if len(rows) == 0 {
		return 0
	}
	if d == 1 {
		best := rows[0][0]
		for _, r := range rows {
			best = min(best, r[0])
		}
		return ref[0] - best
	}
	if d == 2 {
		return area(rows, ref)
	}
	sorted := slices.Clone(rows)
	slices.SortStableFunc(sorted, func(a, b []float64) int { return slices.Compare(a[d-1:], b[d-1:]) })
	sum := 0.0
	for i, r := range sorted {
		end := ref[d-1]
		if i+1 < len(sorted) {
			end = sorted[i+1][d-1]
		}
		if depth := end - r[d-1]; depth > 0 {
			slice := make([][]float64, i+1)
			for k := range slice {
				slice[k] = sorted[k][:d-1]
			}
			sum += depth * hypervolume(slice, ref[:d-1])
		}
	}
	return sum
}

func area(rows [][]float64, ref []float64) float64 {
	sum, y := 0.0, ref[1]
	for _, i := range lexOrder(rows) {
		if r := rows[i]; r[1] < y {
			sum += (ref[0] - r[0]) * (y - r[1])
			y = r[1]
		}
	}
	return sum
}

// hypervolumeSubset chooses n rows greedily, each the one that adds the most
// hypervolume, and returns their indices (Guerreiro et al. 2016).
func hypervolumeSubset(rows [][]float64, n int, ref []float64) []int {
	all := make([]int, len(rows))
	for i := range all {
		all[i] = i
	}
	if n == len(rows) {
		return all
	}
	unique := slices.CompactFunc(lexOrder(rows), func(a, b int) bool { return slices.Equal(rows[a], rows[b]) })
	if len(unique) < n {
		out := slices.Clone(unique)
		for _, i := range all {
			if len(out) < n && !slices.Contains(unique, i) {
				out = append(out, i)
			}
		}
		return out
	}
	if slices.ContainsFunc(ref, func(x float64) bool { return math.IsInf(x, 0) || math.IsNaN(x) }) {
		return unique[:n]
	}
	var chosen [][]float64
	var out []int
	volume := 0.0
	for len(out) < n {
		best, at := math.Inf(-1), 0
		for k, i := range unique {
			if gain := hypervolume(append(chosen[:len(chosen):len(chosen)], rows[i]), ref) - volume; gain > best {
				best, at = gain, k
			}
		}
		out, chosen = append(out, unique[at]), append(chosen, rows[unique[at]])
		volume += best
		unique = slices.Delete(unique, at, at+1)
	}
	return out
}

// contributionWeights weigh feasible trials by the hypervolume that only they
// add, as Optuna 4's TPE does with several objectives.
func contributionWeights(v *View, trials []*Trial) []float64 {
	const least = 1e-12
	out := make([]float64, len(trials))
	var feasible []int
	for i, t := range trials {
		out[i] = least
		if t.State == Complete && t.Violation() <= 0 {
			out[i] = 1
			feasible = append(feasible, i)
		}
	}
	if len(feasible) <= 1 {
		return out
	}
	losses := make([][]float64, len(feasible))
	for k, i := range feasible {
		losses[k] = lossesOf(v, trials[i:i+1])[0]
	}
	ref := referencePoint(losses)
	ranks := nonDominationRanks(losses, 0)
	front := func(skip int) (rows [][]float64) {
		for k, r := range losses {
			if ranks[k] == 0 && k != skip {
				rows = append(rows, r)
			}
		}
		return rows
	}
	whole := hypervolume(front(-1), ref)
	if math.IsInf(whole, 0) {
		return out
	}
	contribution, most := make([]float64, len(losses)), least
	for k := range losses {
		if ranks[k] == 0 {
			contribution[k] = whole - hypervolume(front(k), ref)
			most = max(most, contribution[k])
		}
	}
	for k, i := range feasible {
		out[i] = max(contribution[k]/most, least)
	}
	return out
}
