package detection

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/wildtrain/sdk/internal/rle"
	"github.com/wildtrain/sdk/wildtrain"
)

// MergeMethod says what becomes of detections of several tiles that overlap.
type MergeMethod string

// The methods. Within a picture that was looked at tile by tile an animal on a
// border is found in several parts; NMM puts them together, NMS keeps the part
// with the highest score.
const (
	MergeNMS MergeMethod = "nms" // non-maximum suppression
	MergeNMM MergeMethod = "nmm" // greedy non-maximum merging: the box around those that match the best one (Akyon et al. 2022, arXiv 2202.06934)
)

var mergeMethods = []string{string(MergeNMS), string(MergeNMM)}

// Merging says how detections of overlapping tiles become those of the picture.
type Merging struct {
	Method    MergeMethod
	Overlap   Overlap // how much two detections have in common is measured so
	Threshold float64 // and above this they are of one animal
	Agnostic  bool    // also where their classes differ
}

// DefaultMerging puts together what lies for more than half within another.
func DefaultMerging() Merging {
	return Merging{Method: MergeNMM, Overlap: IoS, Threshold: 0.5}
}

// Validate reports every problem of the settings at once.
func (m Merging) Validate() error {
	var errs problems
	errs.check(known(m.Method, mergeMethods), "tiles are merged by %q: want one of %q", m.Method, mergeMethods)
	errs.check(known(m.Overlap, overlaps), "overlap is measured as %q: want one of %q", m.Overlap, overlaps)
	errs.share("threshold of merging", m.Threshold)
	return errs.err()
}

// Part is a detection of one tile.
type Part struct {
	wildtrain.Object
	Cut bool // it touches a border of the tile that is none of the picture: there may be more of it
}

// Merge merges detections of all tiles of one picture, in its coordinates, and
// returns them by falling score. Of parts that match the best one, those where
// either was cut are put together with it by NMM: the box around all, the best
// one's class and score, the union of the masks. What was seen whole both times
// is the same thing found twice: the best one stays.
func (m Merging) Merge(parts []Part) ([]wildtrain.Object, error) {
	slices.SortStableFunc(parts, func(a, b Part) int { return cmp.Compare(b.Score, a.Score) })
	boxes := make([]candidate, len(parts))
	for i, p := range parts {
		boxes[i] = candidateOf(p.Object)
	}
	gone := make([]bool, len(parts))
	var out []wildtrain.Object
	for i := range boxes {
		if gone[i] {
			continue
		}
		best, around := parts[i].Object, boxes[i]
		for k := i + 1; k < len(boxes); k++ {
			if gone[k] || !m.Agnostic && boxes[k].class != boxes[i].class || float64(m.Overlap.of(&boxes[i], &boxes[k])) <= m.Threshold {
				continue
			}
			gone[k] = true
			// a part that matches the best one may match the grown box no more: it goes
			grows := m.Method == MergeNMM && (parts[i].Cut || parts[k].Cut)
			if grows && float64(m.Overlap.of(&around, &boxes[k])) > m.Threshold {
				if err := join(&best, parts[k].Object); err != nil {
					return nil, err
				}
				around = candidateOf(best)
			}
		}
		out = append(out, best)
	}
	return out, nil
}

func candidateOf(o wildtrain.Object) candidate {
	b := [4]float32{float32(o.Box.X1), float32(o.Box.Y1), float32(o.Box.X2), float32(o.Box.Y2)}
	return candidate{box: b, area: (b[2] - b[0]) * (b[3] - b[1]), score: float32(o.Score), class: int32(o.Class)}
}

// join makes a detection reach over another one.
func join(o *wildtrain.Object, part wildtrain.Object) error {
	a, b := o.Box, part.Box
	o.Box = wildtrain.Box{X1: min(a.X1, b.X1), Y1: min(a.Y1, b.Y1), X2: max(a.X2, b.X2), Y2: max(a.Y2, b.Y2)}
	o.Area = 0
	if o.Mask == nil || part.Mask == nil {
		return nil
	}
	masks := make([]*rle.Mask, 2)
	for i, m := range []*wildtrain.Mask{o.Mask, part.Mask} {
		var err error
		if masks[i], err = rle.New(m.Height, m.Width, m.Runs); err != nil {
			return fmt.Errorf("detection: merge masks: %w", err)
		}
	}
	all, err := rle.Merge(masks)
	if err != nil {
		return fmt.Errorf("detection: merge masks: %w", err)
	}
	o.Mask = &wildtrain.Mask{Height: all.Height, Width: all.Width, Runs: all.Runs}
	return nil
}
