package evaluate

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"github.com/wildtrain/sdk/internal/rle"
	"github.com/wildtrain/sdk/wildtrain"
)

// Detection is a wildtrain.Metric for boxes and masks. Its values are AP, AP50,
// AP75, APs, APm, APl, AR1, AR10, AR100, ARs, ARm, ARl; precision, recall and
// F1 over all objects at the configured IoU and score; best_precision,
// best_recall, best_F1 and best_confidence at the score where the mean F1 of the
// classes is best; AP/<class> of every class.
type Detection struct {
	cfg      DetectionConfig
	pictures []picture
	seen     map[string]bool
	warnings []string
}

var _ wildtrain.Metric = (*Detection)(nil)

// NewDetection makes the metric.
func NewDetection(cfg DetectionConfig) (*Detection, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Detection{cfg: cfg, seen: map[string]bool{}}, nil
}

// Name implements wildtrain.Metric.
func (d *Detection) Name() string { return "detection" }

// Reset implements wildtrain.Metric.
func (d *Detection) Reset() {
	d.pictures, d.seen, d.warnings = nil, map[string]bool{}, nil
}

// Update implements wildtrain.Metric: it compares Prediction.Objects with
// Sample.Truth, both in original coordinates. A picture may come once only.
func (d *Detection) Update(predictions []wildtrain.Prediction, samples []wildtrain.Sample) error {
	if len(predictions) != len(samples) {
		return fmt.Errorf("evaluate: update: %d predictions for %d samples", len(predictions), len(samples))
	}
	fresh := make([]picture, 0, len(samples))
	for i := range samples {
		s, p := &samples[i], &predictions[i]
		if p.ID != "" && p.ID != s.ID {
			return fmt.Errorf("evaluate: update: prediction of %q stands beside sample %q", p.ID, s.ID)
		}
		if d.seen[s.ID] || slices.ContainsFunc(fresh, func(q picture) bool { return q.id == s.ID }) {
			return fmt.Errorf("evaluate: update: picture %q comes twice", s.ID)
		}
		pic := picture{id: s.ID, width: s.Width, height: s.Height}
		var err error
		if pic.truth, err = d.items(s.Truth, true); err != nil {
			return fmt.Errorf("evaluate: update %s: truth %w", s.ID, err)
		}
		if pic.found, err = d.items(p.Objects, false); err != nil {
			return fmt.Errorf("evaluate: update %s: detection %w", s.ID, err)
		}
		fresh = append(fresh, pic)
	}
	for _, p := range fresh {
		d.seen[p.id] = true
	}
	d.pictures = append(d.pictures, fresh...)
	return nil
}

// items checks and copies objects.
func (d *Detection) items(objects []wildtrain.Object, truth bool) ([]item, error) {
	out := make([]item, len(objects))
	for i, o := range objects {
		if o.Class < 0 || o.Class >= len(d.cfg.Classes) {
			return nil, fmt.Errorf("%d: class %d, there are %d", i, o.Class, len(d.cfg.Classes))
		}
		if !o.Box.Finite() || !finite(o.Score, o.Area) {
			return nil, fmt.Errorf("%d: a box, score or area is not finite", i)
		}
		it := boxItem(o.Box.X1, o.Box.Y1, o.Box.Width(), o.Box.Height())
		it.x2, it.y2 = o.Box.X2, o.Box.Y2
		it.class, it.score = int32(o.Class), o.Score
		if o.Mask != nil {
			m, err := rle.New(o.Mask.Height, o.Mask.Width, o.Mask.Runs)
			if err != nil {
				return nil, fmt.Errorf("%d: %w", i, err)
			}
			it.mask = m
		}
		if truth {
			it.crowd, it.ignore = o.Crowd, o.Crowd || o.Difficult
			if o.Area != 0 {
				it.area = o.Area
			}
		} else if d.cfg.IoUType == Masks && it.mask != nil {
			it.area = float64(it.mask.Area())
		}
		out[i] = it
	}
	return out, nil
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
	s := summarize(d.cfg, d.sorted())
	s.Warnings = d.warnings
	return s, nil
}

// sorted puts the pictures in the order of their IDs, so that the result does
// not depend on the order of loaders and ranks, and merges classes if asked.
func (d *Detection) sorted() []picture {
	out := slices.Clone(d.pictures)
	slices.SortStableFunc(out, func(a, b picture) int { return compareIDs(a.id, b.id) })
	return mergeClasses(d.cfg, out)
}

// mergeClasses applies Agnostic and SingleClass. Without classes pycocotools
// takes the objects class by class where it finds equal scores.
func mergeClasses(cfg DetectionConfig, pictures []picture) []picture {
	if !cfg.Agnostic && cfg.SingleClass == "" {
		return pictures
	}
	out := slices.Clone(pictures)
	for i := range out {
		for _, list := range []*[]item{&out[i].truth, &out[i].found} {
			*list = slices.Clone(*list)
			if cfg.SingleClass == "" {
				slices.SortStableFunc(*list, func(a, b item) int { return cmp.Compare(a.class, b.class) })
			}
			for k := range *list {
				(*list)[k].class = 0
			}
		}
	}
	return out
}

// compareIDs orders whole numbers by value, before all other names.
func compareIDs(a, b string) int {
	x, errA := strconv.ParseInt(a, 10, 64)
	y, errB := strconv.ParseInt(b, 10, 64)
	switch {
	case errA == nil && errB == nil && x != y:
		return cmp.Compare(x, y)
	case errA == nil && errB != nil:
		return -1
	case errA != nil && errB == nil:
		return 1
	}
	return cmp.Compare(a, b)
}
