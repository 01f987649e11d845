package evaluate

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/wildtrain/sdk/wildtrain"
)

// DetectionConfig says what is measured.
type DetectionConfig struct {
	Classes    []string
	Thresholds []float64   // IoU thresholds of the average precision
	Areas      []AreaRange // size classes; the first must hold everything
	MaxDets    []int       // detections per picture and class that count, rising
	IoU        float64     // threshold at which precision, recall and F1 are told
	Conf       float64     // least score of detections for those
	Agnostic   bool        // classes are not told apart
}

// DefaultDetectionConfig returns COCO's settings, with precision, recall and F1
// at IoU 0.5 and score 0.25.
func DefaultDetectionConfig(classes []string) DetectionConfig {
	return DetectionConfig{Classes: classes, Thresholds: COCOThresholds(), Areas: COCOAreas(), MaxDets: []int{1, 10, 100}, IoU: 0.5, Conf: 0.25}
}

// Validate reports every problem at once.
func (c DetectionConfig) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("evaluate: "+format, args...))
		}
	}
	check(len(c.Classes) > 0, "no classes")
	check(len(c.Thresholds) > 0, "no IoU thresholds")
	check(len(c.Areas) > 0, "no size classes")
	check(len(c.MaxDets) > 0 && slices.IsSorted(c.MaxDets) && c.MaxDets[0] > 0, "MaxDets %v: want rising numbers above 0", c.MaxDets)
	for _, v := range append(slices.Clone(c.Thresholds), c.IoU) {
		check(v > 0 && v <= 1, "IoU threshold %g is not in 0..1", v)
	}
	return errors.Join(errs...)
}

// entry is what one picture added.
type entry struct {
	id     string
	truths []wildtrain.Object
	dets   []wildtrain.Object
}

// Detection is a wildtrain.Metric for boxes. Its values are AP, AP50, AP75, APs,
// APm, APl, AR1, AR10, AR100, ARs, ARm, ARl, then precision, recall and F1 at
// the configured IoU and score, then AP/<class> of every class.
type Detection struct {
	cfg     DetectionConfig
	entries []entry
}

var _ wildtrain.Metric = (*Detection)(nil)

// NewDetection makes the metric.
func NewDetection(cfg DetectionConfig) (*Detection, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Detection{cfg: cfg}, nil
}

// Name implements wildtrain.Metric.
func (d *Detection) Name() string { return "detection" }

// Reset implements wildtrain.Metric.
func (d *Detection) Reset() { d.entries = nil }

// Update implements wildtrain.Metric: it compares Prediction.Objects with
// Sample.Truth, both in original coordinates.
func (d *Detection) Update(predictions []wildtrain.Prediction, samples []wildtrain.Sample) error {
	if len(predictions) != len(samples) {
		return fmt.Errorf("evaluate: update: %d predictions for %d samples", len(predictions), len(samples))
	}
	for i := range samples {
		e := entry{id: samples[i].ID, truths: slices.Clone(samples[i].Truth), dets: slices.Clone(predictions[i].Objects)}
		for _, list := range [][]wildtrain.Object{e.truths, e.dets} {
			for _, o := range list {
				if o.Class < 0 || o.Class >= len(d.cfg.Classes) {
					return fmt.Errorf("evaluate: update %s: class %d, there are %d", e.id, o.Class, len(d.cfg.Classes))
				}
				if !o.Box.Finite() || !finite(o.Score, o.Area) {
					return fmt.Errorf("evaluate: update %s: a box or score is not finite", e.id)
				}
			}
		}
		d.entries = append(d.entries, e)
	}
	return nil
}

// byClass sorts what was gathered into pictures per class. Pictures come by ID,
// so that the result does not depend on the order of the loader.
func (d *Detection) byClass() [][]*picture {
	entries := slices.Clone(d.entries)
	slices.SortStableFunc(entries, func(a, b entry) int { return cmp.Compare(a.id, b.id) })
	classes := len(d.cfg.Classes)
	if d.cfg.Agnostic {
		classes = 1
	}
	out := make([][]*picture, classes)
	for _, e := range entries {
		local := map[int]*picture{}
		at := func(class int) *picture {
			if d.cfg.Agnostic {
				class = 0
			}
			if local[class] == nil {
				local[class] = &picture{}
				out[class] = append(out[class], local[class])
			}
			return local[class]
		}
		for _, o := range e.truths {
			p := at(o.Class)
			t := truth{box: boxOf(o.Box), area: o.Area, crowd: o.Crowd || o.Difficult}
			if t.area == 0 {
				t.area = t.w * t.h
			}
			p.truths = append(p.truths, t)
		}
		for _, o := range e.dets {
			p := at(o.Class)
			p.dets = append(p.dets, found{box: boxOf(o.Box), score: o.Score})
		}
	}
	return out
}

func boxOf(b wildtrain.Box) box { return box{b.X1, b.Y1, b.Width(), b.Height()} }

// Summary is everything that Compute knows.
type Summary struct {
	Values   []wildtrain.Value
	Classes  []ClassSummary
	Pictures int
}

// ClassSummary is one line of the per-class table.
type ClassSummary struct {
	Name                  string
	Truths                int // crowds not counted
	AP, AP50              float64
	Precision, Recall, F1 float64 // at the configured IoU and score
}

// Compute implements wildtrain.Metric.
func (d *Detection) Compute() ([]wildtrain.Value, error) {
	s, err := d.Summary()
	if err != nil {
		return nil, err
	}
	return s.Values, nil
}

// Summary computes the numbers of all classes and of each.
func (d *Detection) Summary() (*Summary, error) {
	pictures := d.byClass()
	curves := make([]classCurves, len(pictures))
	points := make([]operating, len(pictures))
	parallel(len(pictures), func(i int) {
		points[i] = d.operate(pictures[i])
		curves[i] = evaluateClass(pictures[i], d.cfg.Thresholds, d.cfg.Areas, d.cfg.MaxDets)
	})
	s := &Summary{Pictures: len(d.entries)}
	s.Values = d.cocoValues(curves)
	var total operating
	for _, p := range points {
		total.add(p)
	}
	p, r, f := total.rates()
	s.Values = append(s.Values, wildtrain.Value{Name: "precision", Value: p}, wildtrain.Value{Name: "recall", Value: r}, wildtrain.Value{Name: "F1", Value: f})
	for i := range pictures {
		c := ClassSummary{Name: d.cfg.Classes[i], Truths: points[i].truths}
		if d.cfg.Agnostic {
			c.Name = "any"
		}
		all := []curve{curves[i].areas[0]}
		c.AP = meanOver(precisions(all, 0, len(d.cfg.Thresholds)))
		c.AP50 = -1
		if k := slices.Index(d.cfg.Thresholds, 0.5); k >= 0 {
			c.AP50 = meanOver(precisions(all, k, k+1))
		}
		c.Precision, c.Recall, c.F1 = points[i].rates()
		s.Classes = append(s.Classes, c)
		s.Values = append(s.Values, wildtrain.Value{Name: "AP/" + c.Name, Value: c.AP})
	}
	return s, nil
}

// cocoValues reads the twelve numbers off the curves.
func (d *Detection) cocoValues(all []classCurves) []wildtrain.Value {
	n := len(d.cfg.Thresholds)
	area := func(i int) []curve {
		var out []curve
		for _, c := range all {
			out = append(out, c.areas[i])
		}
		return out
	}
	limit := func(i int) []curve {
		var out []curve
		for _, c := range all {
			out = append(out, c.limits[i])
		}
		return out
	}
	var out []wildtrain.Value
	add := func(name string, v float64) { out = append(out, wildtrain.Value{Name: name, Value: v}) }
	add("AP", meanOver(precisions(area(0), 0, n)))
	for _, at := range []struct {
		name string
		iou  float64
	}{{"AP50", 0.5}, {"AP75", 0.75}} {
		k := slices.IndexFunc(d.cfg.Thresholds, func(v float64) bool { return v-at.iou < 1e-9 && at.iou-v < 1e-9 })
		if k < 0 {
			add(at.name, -1)
			continue
		}
		add(at.name, meanOver(precisions(area(0), k, k+1)))
	}
	for i, a := range d.cfg.Areas[1:] {
		add("AP"+short(a.Name), meanOver(precisions(area(i+1), 0, n)))
	}
	for i, l := range d.cfg.MaxDets {
		add(fmt.Sprintf("AR%d", l), meanOver(recalls(limit(i))))
	}
	for i, a := range d.cfg.Areas[1:] {
		add("AR"+short(a.Name), meanOver(recalls(area(i+1))))
	}
	return out
}

// short is COCO's letter for its own size classes, the name for others.
func short(name string) string {
	switch name {
	case "small", "medium", "large":
		return name[:1]
	}
	return "/" + name
}

// operating counts outcomes at one IoU threshold and one score.
type operating struct{ tp, fp, truths int }

func (o *operating) add(p operating) {
	o.tp, o.fp, o.truths = o.tp+p.tp, o.fp+p.fp, o.truths+p.truths
}

// rates are precision, recall and F1; −1 where there is nothing to divide by.
func (o operating) rates() (precision, recall, f1 float64) {
	precision, recall, f1 = -1, -1, -1
	if o.tp+o.fp > 0 {
		precision = float64(o.tp) / float64(o.tp+o.fp)
	}
	if o.truths > 0 {
		recall = float64(o.tp) / float64(o.truths)
		f1 = 2 * float64(o.tp) / float64(o.tp+o.fp+o.truths)
	}
	return precision, recall, f1
}

// operate counts a class at the configured IoU and score; false positives on
// pictures without a truth count like all others, those on crowds do not.
func (d *Detection) operate(pictures []*picture) operating {
	var out operating
	for _, p := range pictures {
		q := picture{truths: p.truths}
		for _, f := range p.dets {
			if f.score >= d.cfg.Conf {
				q.dets = append(q.dets, f)
			}
		}
		q.prepare(len(q.dets))
		m := q.match([]float64{d.cfg.IoU}, d.cfg.Areas[0])
		out.truths += m.positives
		for i := range m.hit {
			switch {
			case m.ignored[i]:
			case m.hit[i]:
				out.tp++
			default:
				out.fp++
			}
		}
	}
	return out
}
