package tune

import (
	"cmp"
	"math"
	"slices"
)

// split divides trials into the nBelow good ones and the rest, each by number.
// Complete trials are best, then pruned ones by how far they came, then
// infeasible ones by how much they violate; running ones are never good.
func split(v *View, trials []*Trial, nBelow int) (below, above []*Trial) {
	var complete, pruned, infeasible []*Trial
	for _, t := range trials {
		switch {
		case t.State == Running:
			above = append(above, t)
		case t.Violation() > 0:
			infeasible = append(infeasible, t)
		case t.State == Complete:
			complete = append(complete, t)
		default:
			pruned = append(pruned, t)
		}
	}
	good, rest := splitComplete(v, complete, min(nBelow, len(complete)))
	below, above = append(below, good...), append(above, rest...)
	slices.SortStableFunc(pruned, func(a, b *Trial) int { return comparePruned(v, a, b) })
	slices.SortStableFunc(infeasible, func(a, b *Trial) int { return cmp.Compare(a.Violation(), b.Violation()) })
	for _, sorted := range [][]*Trial{pruned, infeasible} {
		n := min(max(nBelow-len(below), 0), len(sorted))
		below, above = append(below, sorted[:n]...), append(above, sorted[n:]...)
	}
	byNumber := func(a, b *Trial) int { return a.Number - b.Number }
	for _, part := range [][]*Trial{below, above} {
		if !slices.IsSortedFunc(part, byNumber) { // most often they are
			slices.SortStableFunc(part, byNumber)
		}
	}
	return below, above
}

// splitComplete keeps the order within both parts.
func splitComplete(v *View, trials []*Trial, n int) (good, rest []*Trial) {
	if n == 0 || n == len(trials) {
		return trials[:n], trials[n:]
	}
	var chosen []bool
	if len(v.Directions) <= 1 {
		chosen = bestByLoss(v, trials, n)
	} else {
		chosen = bestByRank(lossesOf(v, trials), n)
	}
	for i, t := range trials {
		if chosen[i] {
			good = append(good, t)
		} else {
			rest = append(rest, t)
		}
	}
	return good, rest
}

// bestByLoss chooses the n smallest, of equal ones the earlier. n is small.
func bestByLoss(v *View, trials []*Trial, n int) []bool {
	best := make([]key, 0, n+1) // ascending
	for i, t := range trials {
		k := key{v.loss(t, 0), i}
		if len(best) == n && !(k.v < best[n-1].v) {
			continue
		}
		at := len(best)
		for at > 0 && k.v < best[at-1].v {
			at--
		}
		best = slices.Insert(best, at, k)
		best = best[:min(len(best), n)]
	}
	chosen := make([]bool, len(trials))
	for _, k := range best {
		chosen[k.at] = true
	}
	return chosen
}

// lossesOf is a row of losses for each trial.
func lossesOf(v *View, trials []*Trial) [][]float64 {
	out := make([][]float64, len(trials))
	for i, t := range trials {
		out[i] = make([]float64, len(v.Directions))
		for j := range out[i] {
			out[i][j] = v.loss(t, j)
		}
	}
	return out
}

// bestByRank chooses n rows: whole ranks of non-domination, and of the last rank
// those that together span the most hypervolume.
func bestByRank(losses [][]float64, n int) []bool {
	ranks := nonDominationRanks(losses, n)
	chosen := make([]bool, len(losses))
	taken := 0
	for rank := 0; taken < n; rank++ {
		var members []int
		for i, r := range ranks {
			if r == rank {
				members = append(members, i)
			}
		}
		if taken+len(members) > n {
			rows := make([][]float64, len(members))
			for i, m := range members {
				rows[i] = losses[m]
			}
			picked := hypervolumeSubset(rows, n-taken, referencePoint(rows))
			for i, p := range picked {
				picked[i] = members[p]
			}
			members = picked
		}
		for _, m := range members {
			chosen[m] = true
		}
		taken += len(members)
	}
	return chosen
}

// referencePoint lies a tenth beyond the worst of each objective.
func referencePoint(losses [][]float64) []float64 {
	const least = 1e-12
	out := slices.Clone(losses[0])
	for _, row := range losses {
		for j, x := range row {
			out[j] = max(out[j], x)
		}
	}
	for j, worst := range out {
		if out[j] = max(1.1*worst, 0.9*worst); out[j] == 0 {
			out[j] = least
		}
	}
	return out
}

// comparePruned puts trials that came further first, of equal ones the better.
func comparePruned(v *View, a, b *Trial) int {
	stepA, scoreA := prunedScore(v, a)
	stepB, scoreB := prunedScore(v, b)
	return cmp.Or(cmp.Compare(stepA, stepB), cmp.Compare(scoreA, scoreB))
}

func prunedScore(v *View, t *Trial) (negativeStep, loss float64) {
	step, ok := t.LastStep()
	if !ok {
		return 1, 0
	}
	if x := t.Reports[step]; !math.IsNaN(x) {
		return float64(-step), v.Directions[0].loss(x)
	}
	return float64(-step), math.Inf(1)
}
