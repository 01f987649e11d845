package evaluate

import "fmt"

// GridPoint is precision, recall and F1 over all objects at one IoU and one least score.
type GridPoint struct {
	IoU  float64 `json:"IoU"`
	Conf float64 `json:"confidence"`
	Counts
	Precision float64 `json:"precision"`
	Recall    float64 `json:"recall"`
	F1        float64 `json:"F1"`
}

// Grid counts outcomes at every pair of an IoU threshold and a least score, IoUs outermost.
func (d *Detection) Grid(ious, confs []float64) ([]GridPoint, error) {
	cfg := d.cfg
	cfg.Thresholds = ious
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	for _, c := range confs {
		if !finite(c) {
			return nil, fmt.Errorf("evaluate: grid: confidence %g", c)
		}
	}
	matches := newMatcher(cfg).run(d.sorted(), len(cfg.classNames()))
	out := make([]GridPoint, 0, len(ious)*len(confs))
	for t, iou := range ious {
		for _, conf := range confs {
			var n Counts
			for i := range matches {
				n = n.plus(matches[i].count(0, t, conf))
			}
			out = append(out, GridPoint{iou, conf, n, n.Precision(), n.Recall(), n.F1()})
		}
	}
	return out, nil
}

// BestConfidences is for each class the score with the best F1 at the
// configured IoU, −1 for classes without objects or detections.
func (d *Detection) BestConfidences() map[string]float64 {
	m := newMatcher(d.cfg)
	names := d.cfg.classNames()
	out := make(map[string]float64, len(names))
	for i, c := range m.run(d.sorted(), len(names)) {
		out[names[i]], _ = c.best(thresholdIndex(m.ious, d.cfg.IoU))
	}
	return out
}
