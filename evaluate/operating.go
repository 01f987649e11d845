package evaluate

import (
	"cmp"
	"slices"
)

// Counts are outcomes at one IoU threshold and one least score.
type Counts struct {
	TP int `json:"tp"` // objects that were found
	FP int `json:"fp"` // detections of nothing, on pictures without objects too
	FN int `json:"fn"` // objects that were missed
}

// Truths is the number of objects.
func (c Counts) Truths() int { return c.TP + c.FN }

func (c Counts) plus(o Counts) Counts { return Counts{c.TP + o.TP, c.FP + o.FP, c.FN + o.FN} }

// Precision is TP/(TP+FP), −1 without detections.
func (c Counts) Precision() float64 { return ratio(c.TP, c.TP+c.FP) }

// Recall is TP/(TP+FN), −1 without objects.
func (c Counts) Recall() float64 { return ratio(c.TP, c.TP+c.FN) }

// F1 is the harmonic mean 2TP/(2TP+FP+FN), −1 without objects.
func (c Counts) F1() float64 {
	if c.Truths() == 0 {
		return -1
	}
	return ratio(2*c.TP, 2*c.TP+c.FP+c.FN)
}

func ratio(a, b int) float64 {
	if b == 0 {
		return -1
	}
	return float64(a) / float64(b)
}

// count gives the outcomes of a class in one area range. Matching goes by
// falling score, so leaving out the low ones changes nothing for the others.
func (c *classMatches) count(area, t int, least float64) Counts {
	var n Counts
	for d, score := range c.score {
		if score < least || c.skip[area][d]>>t&1 == 1 {
			continue
		}
		if c.hit[area][d]>>t&1 == 1 {
			n.TP++
		} else {
			n.FP++
		}
	}
	n.FN = c.truths[area] - n.TP
	return n
}

// best returns the least score with the best F1, and that F1; −1 without
// objects or detections. Of equal ones the highest score is taken.
func (c *classMatches) best(t int) (score, f1 float64) {
	score, f1 = -1, -1
	n := Counts{FN: c.truths[0]}
	order := c.byScore()
	for i, d := range order {
		n = c.step(n, d, t)
		if i+1 < len(order) && c.score[order[i+1]] == c.score[d] {
			continue // all of one score or none
		}
		if v := n.F1(); v > f1 {
			score, f1 = c.score[d], v
		}
	}
	return score, f1
}

// step adds one more detection to the counts.
func (c *classMatches) step(n Counts, d int32, t int) Counts {
	if c.skip[0][d]>>t&1 == 1 {
		return n
	}
	if c.hit[0][d]>>t&1 == 1 {
		return Counts{n.TP + 1, n.FP, n.FN - 1}
	}
	n.FP++
	return n
}

// point is a place on the curves of precision and recall.
type point struct{ score, precision, recall, f1 float64 }

// bestMacro finds the score at which the mean of F1 over the classes that have
// objects is best, and the means of precision and recall there, as detectors
// report them. Precision without detections counts as 0 in the mean.
func bestMacro(matches []classMatches, t int) point {
	type entry struct {
		class int
		d     int32
	}
	best := point{-1, -1, -1, -1}
	counts := make([]Counts, len(matches))
	var entries []entry
	classes := 0.0
	for c := range matches {
		counts[c].FN = matches[c].truths[0]
		if matches[c].truths[0] == 0 {
			continue
		}
		classes++
		for d := range matches[c].score {
			entries = append(entries, entry{c, int32(d)})
		}
	}
	if classes == 0 {
		return best
	}
	score := func(e entry) float64 { return matches[e.class].score[e.d] }
	slices.SortStableFunc(entries, func(a, b entry) int { return cmp.Compare(score(b), score(a)) })
	sum := 0.0
	kept := slices.Clone(counts)
	for i, e := range entries {
		before := counts[e.class].F1()
		counts[e.class] = matches[e.class].step(counts[e.class], e.d, t)
		sum += counts[e.class].F1() - before
		if i+1 < len(entries) && score(entries[i+1]) == score(e) {
			continue
		}
		if sum/classes > best.f1 {
			best.f1, best.score = sum/classes, score(e)
			copy(kept, counts)
		}
	}
	return macro(kept, best.score)
}

// macro takes means over the classes that have objects.
func macro(counts []Counts, score float64) point {
	p := point{score: score}
	classes := 0.0
	for _, c := range counts {
		if c.Truths() == 0 {
			continue
		}
		classes++
		p.precision += max(c.Precision(), 0)
		p.recall += c.Recall()
		p.f1 += c.F1()
	}
	p.precision, p.recall, p.f1 = p.precision/classes, p.recall/classes, p.f1/classes
	return p
}
