package evaluate

import (
	"cmp"
	"slices"
)

// PictureOutcome is what went right and wrong in one picture, over all classes
// at the configured IoU and score.
type PictureOutcome struct {
	ID   string `json:"id"`
	File string `json:"file,omitempty"`
	Counts
}

// PictureOutcomes lists all pictures, those with the most mistakes first.
func (d *Detection) PictureOutcomes() []PictureOutcome {
	pictures := d.sorted()
	names := d.cfg.classNames()
	m := newCounter(d.cfg)
	out := make([]PictureOutcome, len(pictures))
	for i, p := range pictures {
		out[i] = PictureOutcome{ID: p.id, File: p.file}
		for _, o := range p.truth {
			if !o.ignore {
				out[i].FN++
			}
		}
	}
	leasts := d.cfg.leasts()
	for class, c := range m.run(pictures, len(names)) {
		for k, score := range c.score {
			if score >= leasts[class] {
				o := &out[c.picture[k]]
				o.Counts = c.step(o.Counts, int32(k), 0)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b PictureOutcome) int { return cmp.Compare(b.FP+b.FN, a.FP+a.FN) })
	return out
}

// Config returns the settings of the metric.
func (d *Detection) Config() DetectionConfig { return d.cfg }
