package evaluate

import (
	"cmp"
	"slices"
)

// outcome is a picture as a ranking sees it.
type outcome struct {
	score float64
	tp    bool
}

// ranking is one class against the rest, by falling probability.
type ranking struct {
	list      []outcome
	positives int
}

func rankClass(answers []answer, k int) ranking {
	r := ranking{list: make([]outcome, len(answers))}
	for i, a := range answers {
		r.list[i] = outcome{a.Probs[k], slices.Contains(a.Truth, k)}
		if r.list[i].tp {
			r.positives++
		}
	}
	slices.SortStableFunc(r.list, func(a, b outcome) int { return cmp.Compare(b.score, a.score) })
	return r
}

// steps calls fn after each group of equal probabilities with what lies above.
func (r ranking) steps(fn func(score float64, tp, fp int)) {
	tp, fp := 0, 0
	for i, o := range r.list {
		if o.tp {
			tp++
		} else {
			fp++
		}
		if i+1 == len(r.list) || r.list[i+1].score != o.score {
			fn(o.score, tp, fp)
		}
	}
}

// auroc is the area under the ROC curve by the trapezoid rule, −1 unless there
// are both positives and negatives.
func (r ranking) auroc() float64 {
	negatives := len(r.list) - r.positives
	if r.positives == 0 || negatives == 0 {
		return -1
	}
	area, lastTP, lastFP := 0.0, 0, 0
	r.steps(func(_ float64, tp, fp int) {
		area += float64(fp-lastFP) * float64(tp+lastTP) / 2
		lastTP, lastFP = tp, fp
	})
	return area / float64(r.positives) / float64(negatives)
}

// averagePrecision is Σ (recall_n − recall_n−1)·precision_n, −1 without positives.
func (r ranking) averagePrecision() float64 {
	if r.positives == 0 {
		return -1
	}
	area, last := 0.0, 0
	r.steps(func(_ float64, tp, fp int) {
		area += float64(tp-last) / float64(r.positives) * float64(tp) / float64(tp+fp)
		last = tp
	})
	return area
}

// best is the least probability with the best F1, and that F1; −1 without positives.
func (r ranking) best() (threshold, f1 float64) {
	threshold, f1 = -1, -1
	r.steps(func(score float64, tp, fp int) {
		if v := (Counts{tp, fp, r.positives - tp}).F1(); v > f1 {
			threshold, f1 = score, v
		}
	})
	return threshold, f1
}

// CalibrationBin is one bar of the reliability diagram: pictures whose highest
// probability is in [From, To), the last bar with its end.
type CalibrationBin struct {
	From       float64 `json:"from"`
	To         float64 `json:"to"`
	Pictures   int     `json:"pictures"`
	Confidence float64 `json:"confidence"` // mean; −1 without pictures
	Accuracy   float64 `json:"accuracy"`
}

func reliability(answers []answer, bins int) []CalibrationBin {
	out := make([]CalibrationBin, bins)
	for i := range out {
		out[i] = CalibrationBin{From: float64(i) / float64(bins), To: float64(i+1) / float64(bins)}
	}
	for _, a := range answers {
		p := a.Probs[a.Said]
		i := min(max(int(p*float64(bins)), 0), bins-1)
		if p < out[i].From && i > 0 {
			i--
		} else if p >= out[i].To && i < bins-1 {
			i++
		}
		out[i].Pictures++
		out[i].Confidence += p
		if a.Said == a.Truth[0] {
			out[i].Accuracy++
		}
	}
	for i := range out {
		n := float64(out[i].Pictures)
		out[i].Confidence, out[i].Accuracy = per(out[i].Confidence, n), per(out[i].Accuracy, n)
	}
	return out
}

// expectedError is the mean distance of confidence and accuracy, weighted by
// pictures (Guo et al., "On Calibration of Modern Neural Networks", 2017, eq. 3).
func expectedError(bins []CalibrationBin) float64 {
	total, n := 0.0, 0.0
	for _, b := range bins {
		w := float64(b.Pictures)
		total, n = total+w*max(b.Accuracy-b.Confidence, b.Confidence-b.Accuracy), n+w
	}
	return per(total, n)
}

// SelectivePoint is the accuracy on the most confident share of pictures.
type SelectivePoint struct {
	Coverage   float64 `json:"coverage"`
	Confidence float64 `json:"confidence"` // of the least confident one
	Accuracy   float64 `json:"accuracy"`
}

// selective gives accuracy at coverages .1 to 1, and the area under the curve
// of risk over coverage (Geifman & El-Yaniv, 2017), the mean error rate over
// all prefixes.
func selective(answers []answer) ([]SelectivePoint, float64) {
	order := slices.Clone(answers)
	confidence := func(a answer) float64 { return a.Probs[a.Said] }
	slices.SortStableFunc(order, func(a, b answer) int { return cmp.Compare(confidence(b), confidence(a)) })
	right, area := 0, 0.0
	var out []SelectivePoint
	n := len(order)
	for i, a := range order {
		if a.Said == a.Truth[0] {
			right++
		}
		accuracy := float64(right) / float64(i+1)
		area += 1 - accuracy
		for k := len(out) + 1; k <= 10 && i+1 == (k*n+9)/10; k++ {
			out = append(out, SelectivePoint{float64(k) / 10, confidence(a), accuracy})
		}
	}
	return out, per(area, float64(n))
}
