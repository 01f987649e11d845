package evaluate

import (
	"cmp"
	"fmt"
	"slices"
)

// ErrorType is a kind of mistake of a detector after TIDE (Bolya et al., "TIDE:
// A General Toolbox for Identifying Object Detection Errors", ECCV 2020, §2.2).
type ErrorType string

// The kinds of mistakes.
const (
	WrongClass ErrorType = "classification" // IoU ≥ foreground with an object of another class
	WrongPlace ErrorType = "localisation"   // IoU between background and foreground with one of its class
	WrongBoth  ErrorType = "both"           // IoU between the two with an object of another class
	Duplicate  ErrorType = "duplicate"      // IoU ≥ foreground with an object already found by a higher score
	Background ErrorType = "background"     // IoU ≤ background with every object
	Missed     ErrorType = "missed"         // objects not found, nor covered by the first two
)

// ErrorTypes lists all kinds in the order of the paper.
func ErrorTypes() []ErrorType {
	return []ErrorType{WrongClass, WrongPlace, WrongBoth, Duplicate, Background, Missed}
}

// ErrorConfig sets the two thresholds.
type ErrorConfig struct{ Foreground, Background float64 }

// DefaultErrors returns the paper's 0.5 and 0.1.
func DefaultErrors() ErrorConfig { return ErrorConfig{0.5, 0.1} }

// ErrorCount tells how often a kind of mistake happens, and how much AP at the
// foreground threshold would rise without it.
type ErrorCount struct {
	Type    ErrorType `json:"type"`
	Count   int       `json:"count"`
	DeltaAP float64   `json:"dAP"`
}

// ErrorReport is the outcome of Errors.
type ErrorReport struct {
	AP     float64      `json:"AP"` // at the foreground threshold; −1 without objects
	Errors []ErrorCount `json:"errors"`
}

// judged is one detection with what became of it.
type judged struct {
	class  int32
	score  float64
	tp     bool
	kind   ErrorType // of a false positive
	object int       // that a repaired detection would find, −1 for none
}

// inspection gathers the judgements of all pictures.
type inspection struct {
	cfg     ErrorConfig
	m       *matcher
	dets    []judged
	objects []object
	classes int
}

// object is one annotation that counts.
type object struct {
	class          int32
	found, covered bool
}

// Errors sorts all mistakes into kinds. Every detection is looked at, whatever
// its score: the effect on AP weighs them. Detections on crowds are left out.
func (d *Detection) Errors(cfg ErrorConfig) (*ErrorReport, error) {
	if !(cfg.Background >= 0 && cfg.Background < cfg.Foreground && cfg.Foreground <= 1) {
		return nil, fmt.Errorf("evaluate: sort errors: thresholds %g and %g, want 0 ≤ background < foreground ≤ 1", cfg.Background, cfg.Foreground)
	}
	in := &inspection{cfg: cfg, m: newMatcher(d.cfg), classes: len(d.cfg.classNames())}
	for _, p := range d.sorted() {
		in.picture(p)
	}
	// Sorted once: what is taken of it below keeps the order.
	slices.SortStableFunc(in.dets, func(a, b judged) int { return cmp.Compare(b.score, a.score) })
	report := &ErrorReport{AP: in.ap("")}
	for _, kind := range ErrorTypes() {
		c := ErrorCount{Type: kind}
		for _, j := range in.dets {
			if j.kind == kind {
				c.Count++
			}
		}
		if kind == Missed {
			c.Count = in.missed()
		}
		if report.AP >= 0 {
			c.DeltaAP = max(in.ap(kind), 0) - report.AP
		}
		report.Errors = append(report.Errors, c)
	}
	return report, nil
}

func (in *inspection) missed() int {
	n := 0
	for _, o := range in.objects {
		if !o.found && !o.covered {
			n++
		}
	}
	return n
}

// picture matches one picture and judges what is left.
func (in *inspection) picture(p picture) {
	var truth []item
	for _, g := range p.truth {
		if !g.ignore {
			truth = append(truth, g)
		}
	}
	first := len(in.objects)
	for _, g := range truth {
		in.objects = append(in.objects, object{class: g.class})
	}
	found := slices.Clone(p.found)
	slices.SortStableFunc(found, func(a, b item) int { return cmp.Compare(b.score, a.score) })
	ious := make([]float64, len(truth))
	var late []judged
	var overlaps [][]float64
	for i := range found {
		for g := range truth {
			ious[g] = in.m.overlap(&found[i], &truth[g])
		}
		j := judged{class: found[i].class, score: found[i].score, object: -1}
		g := in.free(&found[i], truth, ious, first)
		switch {
		case g >= 0:
			in.objects[first+g].found, j.tp = true, true
			in.dets = append(in.dets, j)
		case !in.m.excused(&found[i], p.truth, in.cfg.Foreground):
			late, overlaps = append(late, j), append(overlaps, slices.Clone(ious))
		}
	}
	for i := range late { // only now it is known which objects are found
		in.judge(&late[i], truth, overlaps[i], first)
		in.dets = append(in.dets, late[i])
	}
}

// free finds the object of its class that a detection overlaps most and that is
// not found yet, −1 for none.
func (in *inspection) free(d *item, truth []item, ious []float64, first int) int {
	best, iou := -1, in.cfg.Foreground
	for g := range truth {
		if truth[g].class == d.class && !in.objects[first+g].found && ious[g] >= iou {
			best, iou = g, ious[g]
		}
	}
	return best
}

// judge names the kind of a false positive.
func (in *inspection) judge(j *judged, truth []item, ious []float64, first int) {
	same, other := -1, -1
	for g := range truth {
		at := &other
		if truth[g].class == j.class {
			at = &same
		}
		if *at < 0 || ious[g] > ious[*at] {
			*at = g
		}
	}
	value := func(g int) float64 {
		if g < 0 {
			return 0
		}
		return ious[g]
	}
	fg, bg := in.cfg.Foreground, in.cfg.Background
	switch s, o := value(same), value(other); {
	case same >= 0 && bg <= s && s <= fg:
		j.kind, j.object = WrongPlace, first+same
	case other >= 0 && o >= fg:
		j.kind, j.object = WrongClass, first+other
	case same >= 0 && s >= fg:
		j.kind = Duplicate
	case max(s, o) <= bg:
		j.kind = Background
	default:
		j.kind = WrongBoth
	}
	if j.object >= 0 {
		in.objects[j.object].covered = true
	}
}

// ap is the mean over classes of 101-point average precision if the mistakes
// of one kind were repaired: a wrong class or place becomes the finding of its
// object if nothing else found it (the highest score repairs it, others go);
// the other false positives go; missed objects are not asked for.
func (in *inspection) ap(repair ErrorType) float64 {
	lists := make([][]bool, in.classes) // right or wrong, by falling score
	objects := make([]int, in.classes)
	for _, o := range in.objects {
		if repair != Missed || o.found || o.covered {
			objects[o.class]++
		}
	}
	winner := map[int]int{}
	for i, j := range in.dets {
		if repair == "" || j.kind != repair || j.object < 0 || in.objects[j.object].found {
			continue
		}
		if w, ok := winner[j.object]; !ok || j.score > in.dets[w].score {
			winner[j.object] = i
		}
	}
	for i, j := range in.dets {
		switch {
		case repair == "" || j.kind != repair:
			lists[j.class] = append(lists[j.class], j.tp)
		case j.object >= 0 && !in.objects[j.object].found && winner[j.object] == i:
			c := in.objects[j.object].class
			lists[c] = append(lists[c], true)
		}
	}
	var aps []float64
	for c := range lists {
		if objects[c] > 0 {
			aps = append(aps, interpolatedAP(lists[c], objects[c]))
		}
	}
	return meanOver(aps)
}

// interpolatedAP is the mean of COCO's interpolated precision over 101 recalls.
// Precision is highest where something was found: only these places are kept.
func interpolatedAP(right []bool, objects int) float64 {
	var rc, pr []float64
	tp := 0.0
	for i, hit := range right {
		if hit {
			tp++
			rc, pr = append(rc, tp/float64(objects)), append(pr, tp/(float64(i+1)+epsilon))
		}
	}
	return interpolate(rc, pr)
}
