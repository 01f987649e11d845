package evaluate

import (
	"fmt"
	"math"
	"slices"

	"github.com/wildtrain/sdk/wildtrain"
)

// ClassificationSummary is everything that an evaluation of a classifier tells.
type ClassificationSummary struct {
	Values    Values           `json:"values"`
	Classes   []ClassScores    `json:"classes"`
	Pictures  int              `json:"pictures"`
	Confusion *Confusion       `json:"confusion,omitempty"` // not for multi-label
	Bins      []CalibrationBin `json:"calibration,omitempty"`
	Selective []SelectivePoint `json:"selective,omitempty"`
}

// ClassScores is one line of the per-class table; −1 for what is undefined.
type ClassScores struct {
	Name          string  `json:"name"`
	Support       int     `json:"support"`
	Precision     float64 `json:"precision"`
	Recall        float64 `json:"recall"`
	F1            float64 `json:"F1"`
	AUROC         float64 `json:"AUROC"` // one against the rest
	AP            float64 `json:"average_precision"`
	BestThreshold float64 `json:"best_threshold"` // with the best F1 of the class by itself
	BestF1        float64 `json:"best_F1"`

	ROC []ROCPoint `json:"ROC,omitempty"` // from the highest threshold on
}

// Summary computes all numbers.
func (c *Classification) Summary() (*ClassificationSummary, error) {
	answers := c.sorted()
	s := &ClassificationSummary{Pictures: len(answers)}
	probs := len(answers) > 0 && !slices.ContainsFunc(answers, func(a answer) bool { return a.Probs == nil })
	counts := c.counts(answers)
	if c.cfg.MultiLabel {
		c.setValues(s, answers)
	} else {
		s.Confusion = confusionOf(c.cfg.Classes, answers)
		c.labelValues(s, answers, counts)
	}
	s.Values = append(s.Values, averages(counts)...)
	for k, n := range counts {
		row := ClassScores{Name: c.cfg.Classes[k], Support: n.Truths(), Precision: -1, Recall: -1, F1: -1, AUROC: -1, AP: -1, BestThreshold: -1, BestF1: -1}
		if n.Truths()+n.FP > 0 {
			row.Precision, row.Recall, row.F1 = zero(n.Precision()), zero(n.Recall()), zero(n.F1())
		}
		if probs {
			r := rankClass(answers, k)
			row.AUROC, row.AP, row.ROC = r.auroc(), r.averagePrecision(), r.roc()
			row.BestThreshold, row.BestF1 = r.best()
		}
		s.Classes = append(s.Classes, row)
	}
	if probs {
		c.ranked(s, answers)
	}
	c.hierarchy(s, answers)
	return s, nil
}

func zero(v float64) float64 { return max(v, 0) }

func (s *ClassificationSummary) add(name string, v float64) {
	s.Values = append(s.Values, wildtrain.Value{Name: name, Value: v})
}

// counts are the outcomes of every class against the rest.
func (c *Classification) counts(answers []answer) []Counts {
	out := make([]Counts, len(c.cfg.Classes))
	for _, a := range answers {
		for k := range out {
			truth, said := slices.Contains(a.Truth, k), c.says(a, k)
			switch {
			case truth && said:
				out[k].TP++
			case truth:
				out[k].FN++
			case said:
				out[k].FP++
			}
		}
	}
	return out
}

// says reports whether a class is predicted.
func (c *Classification) says(a answer, k int) bool {
	if !c.cfg.MultiLabel {
		return a.Said == k
	}
	return a.Probs[k] >= c.threshold(k)
}

// threshold is the probability from which a class counts.
func (c *Classification) threshold(k int) float64 {
	if t, ok := c.cfg.Thresholds[c.cfg.Classes[k]]; ok {
		return t
	}
	return c.cfg.Threshold
}

func confusionOf(classes []string, answers []answer) *Confusion {
	out := newConfusion(classes)
	for _, a := range answers {
		out.Counts[a.Truth[0]][a.Said]++
	}
	return out
}

// labelValues are numbers of single labels.
func (c *Classification) labelValues(s *ClassificationSummary, answers []answer, counts []Counts) {
	var right, total Counts
	var recalls []float64
	for _, n := range counts {
		right = right.plus(Counts{TP: n.TP})
		total = total.plus(n)
		if n.Truths() > 0 {
			recalls = append(recalls, n.Recall())
		}
	}
	s.add("accuracy", ratio(right.TP, len(answers)))
	s.add("balanced_accuracy", meanOver(recalls))
	mcc, kappa := agreement(s.Confusion.Counts)
	s.add("MCC", mcc)
	s.add("kappa", kappa)
}

// agreement gives Matthews' correlation and Cohen's kappa of a confusion
// matrix. MCC is 0 where it divides by zero, as in scikit-learn; kappa, which
// has no value if only one class is true and said, −1.
func agreement(m [][]int) (mcc, kappa float64) {
	var n, diagonal, cross, rows2, cols2 float64
	cols := make([]float64, len(m))
	rows := make([]float64, len(m))
	for i, row := range m {
		for k, v := range row {
			rows[i] += float64(v)
			cols[k] += float64(v)
			n += float64(v)
		}
		diagonal += float64(m[i][i])
	}
	if n == 0 {
		return -1, -1
	}
	for k := range m {
		cross += rows[k] * cols[k]
		rows2 += rows[k] * rows[k]
		cols2 += cols[k] * cols[k]
	}
	if d := (n*n - rows2) * (n*n - cols2); d > 0 {
		mcc = (diagonal*n - cross) / math.Sqrt(d)
	}
	kappa = -1
	if expected := cross / n; n-expected != 0 {
		kappa = 1 - (n-diagonal)/(n-expected)
	}
	return mcc, kappa
}

// setValues are numbers of multi-label data.
func (c *Classification) setValues(s *ClassificationSummary, answers []answer) {
	exact, wrong := 0, 0
	for _, a := range answers {
		miss := 0
		for k := range c.cfg.Classes {
			if slices.Contains(a.Truth, k) != c.says(a, k) {
				miss++
			}
		}
		wrong += miss
		if miss == 0 {
			exact++
		}
	}
	s.add("subset_accuracy", ratio(exact, len(answers)))
	s.add("hamming_loss", ratio(wrong, len(answers)*len(c.cfg.Classes)))
}

// averages are precision, recall and F1: micro, macro over the classes that are
// true or said somewhere, and weighted by support; 0 where one divides by zero.
func averages(counts []Counts) Values {
	var out Values
	add := func(name string, v float64) { out = append(out, wildtrain.Value{Name: name, Value: v}) }
	var total Counts
	var macro, weighted [3]float64
	classes, support := 0.0, 0.0
	for _, n := range counts {
		total = total.plus(n)
		if n.Truths()+n.FP == 0 {
			continue
		}
		classes++
		w := float64(n.Truths())
		support += w
		for i, v := range [3]float64{n.Precision(), n.Recall(), n.F1()} {
			macro[i] += zero(v)
			weighted[i] += w * zero(v)
		}
	}
	for i, name := range []string{"precision", "recall", "F1"} {
		micro := [3]float64{total.Precision(), total.Recall(), total.F1()}[i]
		if classes > 0 {
			micro = zero(micro)
		}
		add(name+"_micro", micro)
		add(name+"_macro", per(macro[i], classes))
		add(name+"_weighted", per(weighted[i], support))
	}
	return out
}

func per(v, n float64) float64 {
	if n == 0 {
		return -1
	}
	return v / n
}

// ranked adds what needs probabilities.
func (c *Classification) ranked(s *ClassificationSummary, answers []answer) {
	s.means("AUROC", func(row ClassScores) float64 { return row.AUROC })
	s.means("AP", func(row ClassScores) float64 { return row.AP })
	if c.cfg.MultiLabel {
		return
	}
	for _, k := range c.cfg.TopK {
		s.add(fmt.Sprintf("top%d_accuracy", k), topK(answers, k))
	}
	s.add("log_loss", logLoss(answers))
	s.Bins = reliability(answers, c.cfg.Bins)
	s.add("ECE", expectedError(s.Bins))
	var area float64
	s.Selective, area = selective(answers)
	s.add("AURC", area)
	coverage, accuracy := c.answered(answers)
	s.add("coverage", coverage)
	s.add("selective_accuracy", accuracy)
}

// means adds the mean over classes for which the number is defined, and the one
// weighted by support.
func (s *ClassificationSummary) means(name string, of func(ClassScores) float64) {
	var sum, classes, weighted, support float64
	for _, row := range s.Classes {
		if v := of(row); v >= 0 {
			sum, classes = sum+v, classes+1
			weighted, support = weighted+v*float64(row.Support), support+float64(row.Support)
		}
	}
	s.add(name+"_macro", per(sum, classes))
	s.add(name+"_weighted", per(weighted, support))
}

// answered is the share of pictures whose class is said with at least its
// threshold, and the accuracy among them.
func (c *Classification) answered(answers []answer) (coverage, accuracy float64) {
	n, right := 0, 0
	for _, a := range answers {
		if a.Probs[a.Said] < c.threshold(a.Said) {
			continue
		}
		n++
		if a.Said == a.Truth[0] {
			right++
		}
	}
	return ratio(n, len(answers)), ratio(right, n)
}

// topK is the share of pictures whose class is among the k most probable; of
// equal probabilities the first class comes first, as in Said.
func topK(answers []answer, k int) float64 {
	n := 0
	for _, a := range answers {
		above := 0
		for i, p := range a.Probs {
			if t := a.Truth[0]; p > a.Probs[t] || p == a.Probs[t] && i < t {
				above++
			}
		}
		if above < k {
			n++
		}
	}
	return ratio(n, len(answers))
}

// logLoss clips probabilities as scikit-learn does.
func logLoss(answers []answer) float64 {
	total := 0.0
	for _, a := range answers {
		total -= math.Log(min(max(a.Probs[a.Truth[0]], epsilon), 1-epsilon))
	}
	return per(total, float64(len(answers)))
}
