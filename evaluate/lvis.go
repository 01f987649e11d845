package evaluate

import (
	"cmp"
	"slices"
)

// lvisLists are the classes of which LVIS knows for one picture that there is
// none, and those of which not all are annotated.
type lvisLists struct{ negative, partial []ident }

// applyLVIS leaves detections out by LVIS's rules, as its own tool does: first
// all but the best most of a picture, then those of classes that were not
// looked for. Detections of incompletely annotated classes become lax.
func (f *truthFile) applyLVIS(most int) {
	for i := range f.pictures {
		p := &f.pictures[i]
		if len(p.found) > most {
			slices.SortStableFunc(p.found, func(a, b item) int { return cmp.Compare(b.score, a.score) })
			p.found = p.found[:most]
		}
		lists := f.lists[p.id]
		looked := f.classesOf(lists.negative)
		for _, g := range p.truth {
			looked[g.class] = true
		}
		p.found = slices.DeleteFunc(p.found, func(d item) bool { return !looked[d.class] })
		partial := f.classesOf(lists.partial)
		for k := range p.found {
			p.found[k].lax = partial[p.found[k].class]
		}
	}
}

// classesOf is a set of classes; ids that the file does not define don't matter.
func (f *truthFile) classesOf(ids []ident) map[int32]bool {
	out := map[int32]bool{}
	for _, id := range ids {
		if class, ok := f.class[id]; ok {
			out[class] = true
		}
	}
	return out
}
