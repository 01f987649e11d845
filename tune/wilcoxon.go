package tune

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/wildtrain/sdk/tune/internal/pyjson"
)

// Wilcoxon prunes a trial whose reports are significantly worse than the best
// trial's at the same steps, by a signed-rank test: for objectives that are means
// over problem instances.
type Wilcoxon struct {
	P       float64 // significance
	Startup int     // reports that are needed; below 2 is 2
}

// NewWilcoxon has Optuna's defaults.
func NewWilcoxon() *Wilcoxon { return &Wilcoxon{P: 0.1, Startup: 2} }

// Prune implements Pruner.
func (p *Wilcoxon) Prune(v *View, t *Trial, _ func(key, json string)) (bool, error) {
	if !(p.P >= 0 && p.P <= 1) || p.Startup < 0 {
		return false, fmt.Errorf("tune: wilcoxon pruner: p %v or startup %d is out of range", p.P, p.Startup)
	}
	best := v.Best()
	if len(t.Reports) == 0 || best == nil || len(best.Reports) == 0 || !allFinite(t) || !allFinite(best) {
		return false, nil
	}
	d := v.Directions[0]
	var differences []float64
	for _, s := range t.Steps() {
		if b, ok := best.Reports[s]; ok {
			differences = append(differences, d.loss(t.Reports[s])-d.loss(b))
		}
	}
	if len(differences) < max(2, p.Startup) {
		return false, nil
	}
	return signedRank(differences) < p.P && d.loss(meanReport(best)) < d.loss(meanReport(t)), nil
}

// meanReport adds in the order of the steps and divides once, as Python does: a
// last digit decides between equal means.
func meanReport(t *Trial) float64 {
	sum := 0.0
	for _, s := range t.Steps() {
		sum += t.Reports[s]
	}
	return sum / float64(len(t.Reports))
}

func allFinite(t *Trial) bool {
	for _, r := range t.Reports {
		if math.IsNaN(r) || math.IsInf(r, 0) {
			return false
		}
	}
	return true
}

// signedRank is the p-value of Wilcoxon's test that differences are above 0;
// half of a zero's rank counts for either side ("zsplit"). As in SciPy it is
// exact up to 50 differences, with zeros or ties up to 13, and else the normal
// approximation.
func signedRank(differences []float64) float64 {
	n := len(differences)
	ranks, ties, distinct := averageRanks(differences)
	plus, always := 0.0, 0.0
	var signed []float64 // ranks whose sign is left to chance
	for i, x := range differences {
		switch {
		case x > 0:
			plus += ranks[i]
			signed = append(signed, ranks[i])
		case x == 0:
			always += ranks[i] / 2
		default:
			signed = append(signed, ranks[i])
		}
	}
	if distinct && n <= 50 || n <= 13 {
		return exactTail(signed, plus)
	}
	m := float64(n)
	sd := math.Sqrt((m*(m+1)*(2*m+1) - ties/2) / 24)
	return ndtr(-(plus + always - m*(m+1)/4) / sd)
}

// averageRanks ranks by size, from 1; equal ones share their mean. ties is the sum
// of c³−c over groups of c equal ones, distinct tells that there are neither
// groups nor zeros.
func averageRanks(differences []float64) (ranks []float64, ties float64, distinct bool) {
	n := len(differences)
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	size := func(i int) float64 { return math.Abs(differences[order[i]]) }
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(math.Abs(differences[a]), math.Abs(differences[b])) })
	ranks, distinct = make([]float64, n), n == 0 || size(0) != 0
	for i := 0; i < n; {
		j := i
		for j < n && size(j) == size(i) {
			j++
		}
		count := float64(j - i)
		ties += count*count*count - count
		distinct = distinct && j == i+1
		for rank := float64(i+j+1) / 2; i < j; i++ {
			ranks[order[i]] = rank
		}
	}
	return ranks, ties, distinct
}

// exactTail is the probability that a rank sum reaches w when every sign is a
// fair coin. Ranks are multiples of ½.
func exactTail(ranks []float64, w float64) float64 {
	most := 0
	for _, r := range ranks {
		most += int(2 * r)
	}
	count := make([]float64, most+1)
	count[0] = 1
	for _, r := range ranks {
		for s, step := most, int(2*r); s >= step; s-- {
			count[s] += count[s-step]
		}
	}
	sum, all := 0.0, 0.0
	for s, c := range count {
		all += c
		if float64(s) >= 2*w {
			sum += c
		}
	}
	return sum / all
}

func floatJSON(v float64) string { return pyjson.Float(v) }

func parseFloatJSON(text string) (float64, error) {
	v, err := pyjson.Parse(text)
	if err != nil {
		return 0, err
	}
	f, ok := number(v)
	if !ok {
		return 0, fmt.Errorf("%s is no number", text)
	}
	return f, nil
}
