package evaluate

import (
	"fmt"
	"maps"
	"slices"

	"github.com/wildtrain/sdk/wildtrain"
)

// Summary is everything that an evaluation of detections tells.
type Summary struct {
	Values   Values         `json:"values"`
	Classes  []ClassSummary `json:"classes"`
	Pictures int            `json:"pictures"`
	Warnings []string       `json:"warnings,omitempty"`
}

// ClassSummary is one line of the per-class table. Precision, recall and F1 are
// at the configured IoU and score; −1 stands for what is undefined.
type ClassSummary struct {
	Name      string  `json:"name"`
	Truths    int     `json:"truths"` // crowds not counted
	Found     int     `json:"found"`  // detections that count, at the configured score
	AP        float64 `json:"AP"`
	AP50      float64 `json:"AP50"`
	Precision float64 `json:"precision"`
	Recall    float64 `json:"recall"`
	F1        float64 `json:"F1"`
	BestConf  float64 `json:"best_confidence"` // the score with the best F1 at the configured IoU
	BestF1    float64 `json:"best_F1"`
	Curve     *Curve  `json:"curve,omitempty"`
}

// Curve is COCO's interpolated precision over 101 recalls from 0 to 1 at the
// first IoU threshold, with the scores at which they are reached.
type Curve struct {
	IoU       float64   `json:"IoU"`
	Precision []float64 `json:"precision"`
	Scores    []float64 `json:"scores"`
}

// summarize measures pictures whose classes are indices into cfg.classNames.
func summarize(cfg DetectionConfig, pictures []picture) *Summary {
	names := cfg.classNames()
	m := newMatcher(cfg)
	matches := m.run(pictures, len(names))
	curves := make([]classCurves, len(names))
	parallel(m.workers, len(names), func(_, i int) {
		curves[i] = matches[i].curves(len(cfg.Thresholds), cfg.MaxDets)
	})
	s := &Summary{Pictures: len(pictures), Values: cfg.cocoValues(curves)}
	at := thresholdIndex(m.ious, cfg.IoU)
	var total Counts
	var counts []Counts
	for i, least := range cfg.leasts() {
		n := matches[i].count(0, at, least)
		total, counts = total.plus(n), append(counts, n)
		s.Classes = append(s.Classes, cfg.classSummary(names[i], n, &matches[i], &curves[i], at))
	}
	s.add("precision", total.Precision())
	s.add("recall", total.Recall())
	s.add("F1", total.F1())
	s.Values = append(s.Values, averages(counts)...)
	best := bestMacro(matches, at)
	s.add("best_precision", best.precision)
	s.add("best_recall", best.recall)
	s.add("best_F1", best.f1)
	s.add("best_confidence", best.score)
	for _, g := range cfg.groupValues(names, curves) {
		s.add(g.Name, g.Value)
	}
	for _, c := range s.Classes {
		s.add("AP/"+c.Name, c.AP)
	}
	return s
}

func (s *Summary) add(name string, v float64) {
	s.Values = append(s.Values, wildtrain.Value{Name: name, Value: v})
}

func (c DetectionConfig) classSummary(name string, n Counts, m *classMatches, curves *classCurves, at int) ClassSummary {
	out := ClassSummary{
		Name: name, Truths: n.Truths(), Found: n.TP + n.FP, AP50: -1,
		Precision: n.Precision(), Recall: n.Recall(), F1: n.F1(),
	}
	all := curves.areas[0]
	out.AP = meanOver(precisions([]curve{all}, 0, len(c.Thresholds)))
	if k := thresholdIndex(c.Thresholds, 0.5); k >= 0 {
		out.AP50 = meanOver(precisions([]curve{all}, k, k+1))
	}
	out.BestConf, out.BestF1 = m.best(at)
	if all.defined {
		n := len(recallPoints)
		out.Curve = &Curve{IoU: c.Thresholds[0], Precision: slices.Clone(all.precision[:n]), Scores: slices.Clone(all.scores[:n])}
	}
	return out
}

// cocoValues reads the twelve numbers off the curves.
func (c DetectionConfig) cocoValues(all []classCurves) Values {
	n := len(c.Thresholds)
	pick := func(of func(classCurves) curve) []curve {
		out := make([]curve, len(all))
		for i := range all {
			out[i] = of(all[i])
		}
		return out
	}
	area := func(i int) []curve { return pick(func(c classCurves) curve { return c.areas[i] }) }
	var out Values
	add := func(name string, v float64) { out = append(out, wildtrain.Value{Name: name, Value: v}) }
	add("AP", meanOver(precisions(area(0), 0, n)))
	for _, at := range []struct {
		name string
		iou  float64
	}{{"AP50", 0.5}, {"AP75", 0.75}} {
		v := -1.0
		if k := thresholdIndex(c.Thresholds, at.iou); k >= 0 {
			v = meanOver(precisions(area(0), k, k+1))
		}
		add(at.name, v)
	}
	for i, a := range c.Areas[1:] {
		add("AP"+short(a.Name), meanOver(precisions(area(i+1), 0, n)))
	}
	for i, l := range c.MaxDets {
		add(fmt.Sprintf("AR%d", l), meanOver(recalls(pick(func(c classCurves) curve { return c.limits[i] }))))
	}
	for i, a := range c.Areas[1:] {
		add("AR"+short(a.Name), meanOver(recalls(area(i+1))))
	}
	return out
}

// groupValues are the AP of the groups, in alphabetical order.
func (c DetectionConfig) groupValues(names []string, all []classCurves) Values {
	members := map[string][]curve{}
	for i, name := range names {
		if g := c.Groups[name]; g != "" {
			members[g] = append(members[g], all[i].areas[0])
		}
	}
	var out Values
	for _, g := range slices.Sorted(maps.Keys(members)) {
		out = append(out, wildtrain.Value{Name: "AP" + g, Value: meanOver(precisions(members[g], 0, len(c.Thresholds)))})
	}
	return out
}

// short is COCO's letter for its own size classes, the name for others.
func short(name string) string {
	switch name {
	case "small", "medium", "large":
		return name[:1]
	}
	return "_" + name
}
