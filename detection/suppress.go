package detection

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Overlap measures how much two boxes have in common, 0 to 1.
type Overlap string

// The measures.
const (
	IoU Overlap = "iou" // intersection over union
	IoS Overlap = "ios" // intersection over the smaller of the two: 1 for a part within a whole
)

var overlaps = []string{string(IoU), string(IoS)}

// Suppression says what becomes of a box that overlaps a better one.
type Suppression string

// The ways of suppression. The soft ones are those of Bodla et al. 2017 (arXiv
// 1704.04503), where s is the weaker box's score and o the overlap.
const (
	Hard     Suppression = "hard"     // it goes, where o is above the threshold
	Linear   Suppression = "linear"   // s·(1−o), where o is above the threshold (eq. 2)
	Gaussian Suppression = "gaussian" // s·exp(−o²/σ), whatever the threshold (eq. 3)
	None     Suppression = "none"     // nothing: the answer is that of the one-to-one branches of a double head (YOLO26)
)

var suppressions = []string{string(Hard), string(Linear), string(Gaussian), string(None)}

// known reports whether v is one of a list.
func known[T ~string](v T, list []string) bool { return slices.Contains(list, string(v)) }

// Validate reports every problem of the settings at once.
func (p Postprocess) Validate() error {
	var errs problems
	errs.share("confidence threshold", p.Conf)
	errs.share("overlap threshold", p.IoU)
	errs.check(p.MaxDet >= 0 && p.MaxBoxes >= 0, "negative number of detections")
	errs.check(known(p.Overlap, overlaps), "overlap is measured as %q: want one of %q", p.Overlap, overlaps)
	errs.check(known(p.Suppression, suppressions), "suppression %q: want one of %q", p.Suppression, suppressions)
	errs.check(p.Suppression != Gaussian || p.Sigma > 0, "sigma %g of Gaussian suppression must be above 0", p.Sigma)
	return errs.err()
}

// problems gathers what is wrong with settings.
type problems []error

func (p *problems) check(ok bool, format string, args ...any) {
	if !ok {
		*p = append(*p, fmt.Errorf("detection: "+format, args...))
	}
}

func (p *problems) share(name string, v float64) {
	p.check(v >= 0 && v <= 1, "%s %g is not in 0..1", name, v)
}

// err joins what is wrong.
func (p problems) err() error { return errors.Join(p...) }

// candidate is a box before suppression.
type candidate struct {
	box   [4]float32
	area  float32
	score float32
	class int32

	anchor int32 // by which it was found
}

// of measures the overlap of two boxes.
func (o Overlap) of(a, b *candidate) float32 {
	w := min(a.box[2], b.box[2]) - max(a.box[0], b.box[0])
	h := min(a.box[3], b.box[3]) - max(a.box[1], b.box[1])
	if w <= 0 || h <= 0 {
		return 0
	}
	inter := w * h
	if o == IoS {
		return inter / min(a.area, b.area)
	}
	return inter / (a.area + b.area - inter)
}

// suppress picks from candidates by falling score those that remain, at most MaxDet.
func (p Postprocess) suppress(found []candidate) []candidate {
	if p.Suppression == Hard {
		return p.hard(found)
	}
	return p.soft(found)
}

// hard is greedy non-maximum suppression; it ends at MaxDet kept boxes, so its
// cost is bounded by MaxDet·candidates.
func (p Postprocess) hard(found []candidate) []candidate {
	limit := float32(p.IoU)
	var kept []candidate
next:
	for _, c := range found {
		for i := range kept {
			if k := &kept[i]; (p.Agnostic || k.class == c.class) && p.Overlap.of(k, &c) > limit {
				continue next
			}
		}
		kept = append(kept, c)
		if p.MaxDet > 0 && len(kept) == p.MaxDet {
			break
		}
	}
	return kept
}

// soft takes the best box again and again and lowers the scores of those that
// overlap it; what falls to Conf or below goes.
func (p Postprocess) soft(found []candidate) []candidate {
	rest := slices.Clone(found)
	var kept []candidate
	for len(rest) > 0 && (p.MaxDet == 0 || len(kept) < p.MaxDet) {
		best := 0
		for i := range rest {
			if rest[i].score > rest[best].score {
				best = i
			}
		}
		top := rest[best]
		kept = append(kept, top)
		left := rest[:0]
		for i, c := range rest {
			if i == best {
				continue
			}
			if p.Agnostic || c.class == top.class {
				c.score *= p.decay(p.Overlap.of(&top, &c))
			}
			if c.score > float32(p.Conf) {
				left = append(left, c)
			}
		}
		rest = left
	}
	return kept
}

// decay is the factor of the score of a box that overlaps a better one.
func (p Postprocess) decay(overlap float32) float32 {
	switch {
	case p.Suppression == Gaussian:
		return float32(math.Exp(-float64(overlap*overlap) / p.Sigma))
	case overlap > float32(p.IoU):
		return 1 - overlap
	}
	return 1
}
