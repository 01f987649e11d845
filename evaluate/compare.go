package evaluate

import (
	"fmt"
	"math"
	"slices"
)

// Difference is how much a number differs between two models on the same
// pictures, b − a. P is the two-sided bootstrap probability of a difference of
// either sign: twice the smaller share of resamples at or beyond zero, at most 1.
type Difference struct {
	Name       string   `json:"name"`
	A          float64  `json:"a"`
	B          float64  `json:"b"`
	Difference float64  `json:"difference"`
	Interval   Interval `json:"interval"`
	P          float64  `json:"p"`
}

// difference resamples two statistics with the same draws.
func (d *draws) difference(name string, a, b func(w []float64) float64, ones []float64) Difference {
	out := Difference{Name: name, A: a(ones), B: b(ones), Interval: Interval{-1, -1}, P: -1}
	out.Difference = out.B - out.A
	diffs := d.values(func(w []float64) float64 { return b(w) - a(w) })
	if len(diffs) == 0 {
		return out
	}
	low, high := 0, 0
	for _, v := range diffs {
		if v <= 0 {
			low++
		}
		if v >= 0 {
			high++
		}
	}
	out.P = min(1, 2*float64(min(low, high))/float64(len(diffs)))
	out.Interval = percentiles(diffs, d.Level)
	return out
}

// CompareDetections compares two models on the same pictures: AP over the
// configured thresholds and size class all, AP50 and AP75 where they are among
// them, precision, recall and F1 at the configured IoU and score, and the mean
// absolute error and the bias of counts. Settings and groups are those of a.
func CompareDetections(a, b *Detection, boot Bootstrap) ([]Difference, error) {
	if !slices.Equal(a.cfg.Classes, b.cfg.Classes) {
		return nil, fmt.Errorf("evaluate: compare: classes %q and %q differ", a.cfg.Classes, b.cfg.Classes)
	}
	left, right := a.sorted(), mergeClasses(a.cfg, b.sorted())
	if err := sameTruth(left, right); err != nil {
		return nil, fmt.Errorf("evaluate: compare: %w", err)
	}
	groups := make([]string, len(left))
	for i := range left {
		groups[i] = left[i].group
	}
	sample, err := boot.draws(groups)
	if err != nil {
		return nil, err
	}
	sa, sb := newWeighted(a.cfg, left), newWeighted(a.cfg, right)
	ones := slices.Repeat([]float64{1}, len(left))
	var out []Difference
	theirs := sb.numbers(right)
	for i, n := range sa.numbers(left) {
		out = append(out, sample.difference(n.name, n.stat, theirs[i].stat, ones))
	}
	return out, nil
}

// sameTruth tells where two sides were not measured against the same objects.
func sameTruth(left, right []picture) error {
	if len(left) != len(right) {
		return fmt.Errorf("%d and %d pictures", len(left), len(right))
	}
	for i := range left {
		l, r := &left[i], &right[i]
		if l.id != r.id {
			return fmt.Errorf("picture %q is on one side only", min(l.id, r.id))
		}
		if len(l.truth) != len(r.truth) {
			return fmt.Errorf("picture %q has %d and %d objects", l.id, len(l.truth), len(r.truth))
		}
		for k, o := range l.truth {
			if p := r.truth[k]; o.class != p.class || o.x != p.x || o.y != p.y || o.w != p.w || o.h != p.h {
				return fmt.Errorf("object %d of picture %q is not the same on both sides", k, l.id)
			}
		}
	}
	return nil
}

// Estimate is a number with its interval.
type Estimate struct {
	Name     string   `json:"name"`
	Value    float64  `json:"value"`
	Interval Interval `json:"interval"`
}

// Intervals gives AP, AP50 and AP75 where they are among the thresholds,
// precision, recall, F1, and MAE and bias of counts, with intervals drawn by
// bootstrap over groups of pictures.
func (d *Detection) Intervals(boot Bootstrap) ([]Estimate, error) {
	pictures := d.sorted()
	groups := make([]string, len(pictures))
	for i := range pictures {
		groups[i] = pictures[i].group
	}
	sample, err := boot.draws(groups)
	if err != nil {
		return nil, err
	}
	s := newWeighted(d.cfg, pictures)
	ones := slices.Repeat([]float64{1}, len(pictures))
	var out []Estimate
	for _, n := range s.numbers(pictures) {
		out = append(out, Estimate{n.name, n.stat(ones), sample.interval(n.stat)})
	}
	return out, nil
}

// statistic is a number of a resample.
type statistic struct {
	name string
	stat func(w []float64) float64
}

// numbers are the statistics that have intervals and are compared.
func (s *weighted) numbers(pictures []picture) []statistic {
	out := []statistic{{"AP", s.ap(0, len(s.cfg.Thresholds))}}
	for _, at := range []struct {
		name string
		iou  float64
	}{{"AP50", 0.5}, {"AP75", 0.75}} {
		if k := thresholdIndex(s.cfg.Thresholds, at.iou); k >= 0 {
			out = append(out, statistic{at.name, s.ap(k, k+1)})
		}
	}
	mae, bias := countErrorsOf(pictures, s)
	return append(out, statistic{"precision", s.rate(0)}, statistic{"recall", s.rate(1)}, statistic{"F1", s.rate(2)},
		statistic{"MAE", mae}, statistic{"bias", bias})
}

// weighted computes numbers of resamples without matching again.
type weighted struct {
	cfg     DetectionConfig
	matches []classMatches
	order   [][]int32
	leasts  []float64
	truths  [][]float64 // per class and picture, ignored ones left out
	at      int         // the threshold of the configured IoU
}

func newWeighted(cfg DetectionConfig, pictures []picture) *weighted {
	m := newMatcher(cfg)
	w := &weighted{cfg: cfg, matches: m.run(pictures, len(cfg.classNames())), at: thresholdIndex(m.ious, cfg.IoU), leasts: cfg.leasts()}
	for range w.matches {
		w.truths = append(w.truths, make([]float64, len(pictures)))
	}
	for i, p := range pictures {
		for k := range p.truth {
			if !ignored(&p.truth[k], m.areas[0]) {
				w.truths[p.truth[k].class][i]++
			}
		}
	}
	for i := range w.matches {
		w.order = append(w.order, w.matches[i].byScore())
	}
	return w
}

func dot(a, b []float64) float64 {
	sum := 0.0
	for i := range a {
		sum += a[i] * b[i]
	}
	return sum
}

// ap is average precision with every picture taken as often as its weight says,
// the mean over the thresholds from first up to, not including, last.
func (s *weighted) ap(first, last int) func(w []float64) float64 {
	return func(w []float64) float64 {
		sum, n := 0.0, 0.0
		for c := range s.matches {
			if objects := dot(w, s.truths[c]); objects > 0 {
				sum += s.classAP(c, first, last, objects, w)
				n += float64(last - first)
			}
		}
		return per(sum, n)
	}
}

// classAP is the sum over thresholds of COCO's interpolated average precision
// of one class. Precision is highest where something was found, so only these
// places are kept, and what matched nothing is counted for all thresholds at once.
func (s *weighted) classAP(c, first, last int, objects float64, w []float64) float64 {
	m := &s.matches[c]
	hit, skip := m.hit[0], m.skip[0]
	total := 0.0
	tp, skipped := make([]float64, last), make([]float64, last)
	rc, pr := make([][]float64, last), make([][]float64, last)
	for _, d := range s.order[c] {
		x := w[m.picture[d]]
		if x == 0 {
			continue
		}
		total += x
		if hit[d]|skip[d] == 0 {
			continue
		}
		for t := first; t < last; t++ {
			switch {
			case skip[d]>>t&1 == 1:
				skipped[t] += x
			case hit[d]>>t&1 == 1:
				tp[t] += x
				rc[t], pr[t] = append(rc[t], tp[t]/objects), append(pr[t], tp[t]/(total-skipped[t]+epsilon))
			}
		}
	}
	sum := 0.0
	for t := first; t < last; t++ {
		sum += interpolate(rc[t], pr[t])
	}
	return sum
}

// interpolate is the mean over 101 recalls of the best precision at that recall
// or beyond. It overwrites pr.
func interpolate(rc, pr []float64) float64 {
	for i := len(pr) - 1; i > 0; i-- {
		pr[i-1] = max(pr[i-1], pr[i])
	}
	sum, i := 0.0, 0
	for _, r := range recallPoints {
		for i < len(rc) && rc[i] < r {
			i++
		}
		if i == len(rc) {
			break
		}
		sum += pr[i]
	}
	return sum / float64(len(recallPoints))
}

// outcomes are weighted counts at the configured IoU and score.
func (s *weighted) outcomes(w []float64) (tp, fp, objects float64) {
	for c := range s.matches {
		m := &s.matches[c]
		objects += dot(w, s.truths[c])
		for d, score := range m.score {
			if score < s.leasts[c] || m.skip[0][d]>>s.at&1 == 1 {
				continue
			}
			if m.hit[0][d]>>s.at&1 == 1 {
				tp += w[m.picture[d]]
			} else {
				fp += w[m.picture[d]]
			}
		}
	}
	return tp, fp, objects
}

// rate is precision (0), recall (1) or F1 (2).
func (s *weighted) rate(which int) func(w []float64) float64 {
	return func(w []float64) float64 {
		tp, fp, objects := s.outcomes(w)
		return [3]float64{per(tp, tp+fp), per(tp, objects), per(2*tp, tp+fp+objects)}[which]
	}
}

// countErrorsOf are the mean absolute error and the mean error of the number of
// animals per picture.
func countErrorsOf(pictures []picture, s *weighted) (mae, bias func(w []float64) float64) {
	e := make([]float64, len(pictures))
	for c := range s.matches {
		m := &s.matches[c]
		for i, n := range s.truths[c] {
			e[i] -= n
		}
		for d, score := range m.score {
			if score >= s.leasts[c] && m.skip[0][d]>>s.at&1 == 0 {
				e[m.picture[d]]++
			}
		}
	}
	mae = func(w []float64) float64 { return weightedMean(w, func(i int) float64 { return math.Abs(e[i]) }) }
	bias = func(w []float64) float64 { return weightedMean(w, func(i int) float64 { return e[i] }) }
	return mae, bias
}
