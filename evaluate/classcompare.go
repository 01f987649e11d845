package evaluate

import (
	"fmt"
	"slices"
)

// CompareClassification compares two classifiers on the same pictures: accuracy
// (of whole label sets with multi-label data), balanced accuracy with single
// labels, and macro F1. Groups are those of a.
func CompareClassification(a, b *Classification, boot Bootstrap) ([]Difference, error) {
	if a.cfg.MultiLabel != b.cfg.MultiLabel {
		return nil, fmt.Errorf("evaluate: compare: one side is multi-label, the other not")
	}
	if !slices.Equal(a.cfg.Classes, b.cfg.Classes) {
		return nil, fmt.Errorf("evaluate: compare: classes %q and %q differ", a.cfg.Classes, b.cfg.Classes)
	}
	left, right := a.sorted(), b.sorted()
	if len(left) != len(right) {
		return nil, fmt.Errorf("evaluate: compare: %d and %d pictures", len(left), len(right))
	}
	for i := range left {
		if left[i].ID != right[i].ID || !slices.Equal(left[i].Truth, right[i].Truth) {
			return nil, fmt.Errorf("evaluate: compare: picture %q is on one side only or has two truths", min(left[i].ID, right[i].ID))
		}
	}
	sample, err := boot.draws(groupsOf(left))
	if err != nil {
		return nil, err
	}
	ones := slices.Repeat([]float64{1}, len(left))
	theirs := b.numbers(right)
	var out []Difference
	for i, n := range a.numbers(left) {
		out = append(out, sample.difference(n.name, n.stat, theirs[i].stat, ones))
	}
	return out, nil
}

// Intervals gives accuracy, balanced accuracy and macro F1 with intervals drawn
// by bootstrap over groups of pictures.
func (c *Classification) Intervals(boot Bootstrap) ([]Estimate, error) {
	answers := c.sorted()
	sample, err := boot.draws(groupsOf(answers))
	if err != nil {
		return nil, err
	}
	ones := slices.Repeat([]float64{1}, len(answers))
	var out []Estimate
	for _, n := range c.numbers(answers) {
		out = append(out, Estimate{n.name, n.stat(ones), sample.interval(n.stat)})
	}
	return out, nil
}

func groupsOf(answers []answer) []string {
	out := make([]string, len(answers))
	for i, a := range answers {
		out[i] = a.Group
	}
	return out
}

// numbers are the statistics that have intervals and are compared.
func (c *Classification) numbers(answers []answer) []statistic {
	hits := c.hits(answers)
	exact := func(w []float64) float64 {
		return weightedMean(w, func(i int) float64 {
			for _, h := range hits[i] {
				if !h.truth || !h.said {
					return 0
				}
			}
			return 1
		})
	}
	f1 := statistic{"F1_macro", func(w []float64) float64 { return meanOver(c.rates(hits, w, classF1)) }}
	if c.cfg.MultiLabel {
		return []statistic{{"subset_accuracy", exact}, f1}
	}
	balanced := func(w []float64) float64 { return meanOver(c.rates(hits, w, classRecall)) }
	return []statistic{{"accuracy", exact}, {"balanced_accuracy", balanced}, f1}
}

// hit is a class that is true or said of a picture.
type hit struct {
	class       int
	truth, said bool
}

func (c *Classification) hits(answers []answer) [][]hit {
	out := make([][]hit, len(answers))
	for i, a := range answers {
		for k := range c.cfg.Classes {
			if truth, said := slices.Contains(a.Truth, k), c.says(a, k); truth || said {
				out[i] = append(out[i], hit{k, truth, said})
			}
		}
	}
	return out
}

// rates computes a number of every class from weighted counts, leaving out
// classes for which it has no value.
func (c *Classification) rates(hits [][]hit, w []float64, of func(tp, fp, fn float64) float64) []float64 {
	n := make([][3]float64, len(c.cfg.Classes)) // true positives, false positives, false negatives
	for i, x := range w {
		if x == 0 {
			continue
		}
		for _, h := range hits[i] {
			switch {
			case h.truth && h.said:
				n[h.class][0] += x
			case h.said:
				n[h.class][1] += x
			default:
				n[h.class][2] += x
			}
		}
	}
	var out []float64
	for _, v := range n {
		if r := of(v[0], v[1], v[2]); r >= 0 {
			out = append(out, r)
		}
	}
	return out
}

func classF1(tp, fp, fn float64) float64 { return per(2*tp, 2*tp+fp+fn) }

func classRecall(tp, _, fn float64) float64 { return per(tp, tp+fn) }
