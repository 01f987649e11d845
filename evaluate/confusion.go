package evaluate

import (
	"cmp"
	"slices"
)

// Confusion counts pairs of classes: Counts[truth][prediction]. For detectors
// the last row and column are the background: objects that nothing was found
// for, and detections where nothing is.
type Confusion struct {
	Classes []string `json:"classes"`
	Counts  [][]int  `json:"counts"`
}

func newConfusion(classes []string) *Confusion {
	c := &Confusion{Classes: classes, Counts: make([][]int, len(classes))}
	for i := range c.Counts {
		c.Counts[i] = make([]int, len(classes))
	}
	return c
}

// Confusion matches detections of at least the configured score to objects of
// whatever class, pairs of the largest overlap first, at the configured IoU.
// Detections that fall on ignored objects only don't count.
func (d *Detection) Confusion() *Confusion {
	names := append(slices.Clone(d.cfg.classNames()), "background")
	out := newConfusion(names)
	m := newMatcher(d.cfg)
	background := len(names) - 1
	leasts := d.cfg.leasts()
	for _, p := range d.sorted() {
		found := slices.DeleteFunc(slices.Clone(p.found), func(o item) bool { return o.score < leasts[o.class] })
		truthOf, foundOf := m.pair(p.truth, found, d.cfg.IoU)
		for g, o := range p.truth {
			switch {
			case o.ignore:
			case foundOf[g] >= 0:
				out.Counts[o.class][found[foundOf[g]].class]++
			default:
				out.Counts[o.class][background]++
			}
		}
		for i := range found {
			if truthOf[i] < 0 && !m.excused(&found[i], p.truth, d.cfg.IoU) {
				out.Counts[background][found[i].class]++
			}
		}
	}
	return out
}

// pair matches one to one by falling overlap, then by falling score. It gives
// the partner of each detection and of each object, −1 for none.
func (m *matcher) pair(truth, found []item, least float64) (truthOf, foundOf []int) {
	type pairing struct {
		d, g int
		iou  float64
	}
	var all []pairing
	for d := range found {
		for g := range truth {
			if truth[g].ignore {
				continue
			}
			if v := m.overlap(&found[d], &truth[g]); v >= least {
				all = append(all, pairing{d, g, v})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b pairing) int {
		if c := cmp.Compare(b.iou, a.iou); c != 0 {
			return c
		}
		return cmp.Compare(found[b.d].score, found[a.d].score)
	})
	truthOf, foundOf = slices.Repeat([]int{-1}, len(found)), slices.Repeat([]int{-1}, len(truth))
	for _, p := range all {
		if truthOf[p.d] < 0 && foundOf[p.g] < 0 {
			truthOf[p.d], foundOf[p.g] = p.g, p.d
		}
	}
	return truthOf, foundOf
}

// excused reports whether a detection that matches nothing is not to be counted.
func (m *matcher) excused(d *item, truth []item, least float64) bool {
	return d.lax || slices.ContainsFunc(truth, func(g item) bool { return g.ignore && m.overlap(d, &g) >= least })
}
