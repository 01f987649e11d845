package evaluate

import (
	"cmp"
	"math"
	"runtime"
	"slices"
	"sync"
)

// box is a rectangle as COCO files have it. Sums and products are taken in the
// order of pycocotools, so that equal input gives equal bits.
type box struct{ x, y, w, h float64 }

type truth struct {
	box
	area  float64 // as annotated: decides the size class
	crowd bool
}

type found struct {
	box
	score float64
}

// overlap is the IoU; with a crowd the union is the detection alone.
func overlap(d, g *box, crowd bool) float64 {
	w := min(d.w+d.x, g.w+g.x) - max(d.x, g.x)
	if w <= 0 {
		return 0
	}
	h := min(d.h+d.y, g.h+g.y) - max(d.y, g.y)
	if h <= 0 {
		return 0
	}
	inter := w * h
	union := d.w * d.h
	if !crowd {
		union = union + g.w*g.h - inter
	}
	return inter / union
}

// picture holds the truths and detections of one class in one picture.
type picture struct {
	truths []truth
	dets   []found   // by falling score, at most the largest limit
	ious   []float64 // dets × truths
}

// AreaRange is a size class of objects, in px²; both ends belong to it.
type AreaRange struct {
	Name     string
	Min, Max float64
}

// COCOAreas returns the size classes of COCO: all, small (< 32²), medium, large (> 96²).
func COCOAreas() []AreaRange {
	const most = 1e5 * 1e5
	return []AreaRange{{"all", 0, most}, {"small", 0, 32 * 32}, {"medium", 32 * 32, 96 * 96}, {"large", 96 * 96, most}}
}

// COCOThresholds returns the ten IoU thresholds .50, .55, …, .95 as numpy spaces them.
func COCOThresholds() []float64 { return linspace(0.5, 0.95, 10) }

// linspace rounds as numpy.linspace does.
func linspace(start, stop float64, n int) []float64 {
	out := make([]float64, n)
	step := (stop - start) / float64(n-1)
	for i := range out {
		out[i] = float64(float64(i)*step) + start
	}
	out[n-1] = stop
	return out
}

// matching is the outcome of one picture for one size class: per threshold and
// detection whether it met a truth and whether it does not count.
type matching struct {
	scores       []float64
	hit, ignored []bool // thresholds × detections
	positives    int    // truths that count
	dets         int
}

// match assigns detections to truths greedily by score, as pycocotools does: a
// truth that counts is preferred to one that does not, a crowd may be met again.
func (p *picture) match(thresholds []float64, a AreaRange) matching {
	nd, ng := len(p.dets), len(p.truths)
	out := matching{hit: make([]bool, len(thresholds)*nd), ignored: make([]bool, len(thresholds)*nd), dets: nd}
	skip := make([]bool, ng)
	order := make([]int, 0, ng)
	for pass := range 2 { // truths that count first, each in their order
		for i, g := range p.truths {
			skip[i] = g.crowd || g.area < a.Min || g.area > a.Max
			if skip[i] == (pass == 1) {
				order = append(order, i)
			}
		}
	}
	for _, s := range skip {
		if !s {
			out.positives++
		}
	}
	out.scores = make([]float64, nd)
	for i, d := range p.dets {
		out.scores[i] = d.score
	}
	taken := make([]bool, ng)
	for t, threshold := range thresholds {
		clear(taken)
		for d := range p.dets {
			m := p.best(d, order, skip, taken, min(threshold, 1-1e-10))
			at := t*nd + d
			if m >= 0 {
				taken[m] = true
				out.hit[at], out.ignored[at] = true, skip[m]
				continue
			}
			area := p.dets[d].w * p.dets[d].h
			out.ignored[at] = area < a.Min || area > a.Max
		}
	}
	return out
}

// best finds the truth for detection d, −1 for none.
func (p *picture) best(d int, order []int, skip, taken []bool, iou float64) int {
	m := -1
	for _, g := range order {
		if taken[g] && !p.truths[g].crowd {
			continue
		}
		if m >= 0 && !skip[m] && skip[g] {
			break
		}
		if v := p.ious[d*len(p.truths)+g]; v >= iou {
			iou, m = v, g
		}
	}
	return m
}

// prepare sorts the detections, cuts them at limit and computes the overlaps.
func (p *picture) prepare(limit int) {
	slices.SortStableFunc(p.dets, func(a, b found) int { return cmp.Compare(b.score, a.score) })
	p.dets = p.dets[:min(limit, len(p.dets))]
	p.ious = make([]float64, len(p.dets)*len(p.truths))
	for d := range p.dets {
		for g := range p.truths {
			p.ious[d*len(p.truths)+g] = overlap(&p.dets[d].box, &p.truths[g].box, p.truths[g].crowd)
		}
	}
}

// recallPoints are the 101 recalls at which precision is read.
var recallPoints = linspace(0, 1, 101)

// epsilon is numpy's spacing(1).
const epsilon = 0x1p-52

// curve is one class at one size class and detection limit.
type curve struct {
	defined   bool
	precision []float64 // thresholds × 101, interpolated
	recall    []float64 // per threshold
}

// accumulate joins the pictures of a class, taking at most limit detections of each.
func accumulate(ms []matching, thresholds int, limit int) curve {
	var positives, n int
	for _, m := range ms {
		positives += m.positives
		n += min(limit, m.dets)
	}
	if positives == 0 {
		return curve{}
	}
	type entry struct{ picture, det int }
	entries := make([]entry, 0, n)
	for i, m := range ms {
		for d := range min(limit, m.dets) {
			entries = append(entries, entry{i, d})
		}
	}
	slices.SortStableFunc(entries, func(a, b entry) int {
		return cmp.Compare(ms[b.picture].scores[b.det], ms[a.picture].scores[a.det])
	})
	c := curve{defined: true, precision: make([]float64, thresholds*len(recallPoints)), recall: make([]float64, thresholds)}
	rc, pr := make([]float64, n), make([]float64, n)
	for t := range thresholds {
		var tp, fp float64
		for i, e := range entries {
			m := &ms[e.picture]
			at := t*m.dets + e.det
			if !m.ignored[at] {
				if m.hit[at] {
					tp++
				} else {
					fp++
				}
			}
			rc[i], pr[i] = tp/float64(positives), tp/(fp+tp+epsilon)
		}
		if n > 0 {
			c.recall[t] = rc[n-1]
		}
		for i := n - 1; i > 0; i-- {
			pr[i-1] = max(pr[i-1], pr[i])
		}
		row := c.precision[t*len(recallPoints) : (t+1)*len(recallPoints)]
		for k, r := range recallPoints {
			i, _ := slices.BinarySearch(rc, r)
			if i == n {
				break
			}
			row[k] = pr[i]
		}
	}
	return c
}

// classCurves are the curves that the COCO numbers are read off.
type classCurves struct {
	areas  []curve // at the largest limit, one per area
	limits []curve // over all areas, one per limit
}

// evaluateClass runs one class through all areas and limits.
func evaluateClass(pictures []*picture, thresholds []float64, areas []AreaRange, limits []int) classCurves {
	var out classCurves
	most := limits[len(limits)-1]
	for _, p := range pictures {
		p.prepare(most)
	}
	for i, a := range areas {
		ms := make([]matching, len(pictures))
		for k, p := range pictures {
			ms[k] = p.match(thresholds, a)
		}
		out.areas = append(out.areas, accumulate(ms, len(thresholds), most))
		if i == 0 {
			for _, l := range limits {
				out.limits = append(out.limits, accumulate(ms, len(thresholds), l))
			}
		}
	}
	return out
}

// meanOver averages values, −1 where there is none.
func meanOver(values []float64) float64 {
	if len(values) == 0 {
		return -1
	}
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

// precisions lists the interpolated precisions of curves at the thresholds from
// first to last, the order in which the mean is taken being numpy's.
func precisions(curves []curve, first, last int) []float64 {
	var out []float64
	for _, c := range curves {
		if c.defined {
			out = append(out, c.precision[first*len(recallPoints):last*len(recallPoints)]...)
		}
	}
	return out
}

func recalls(curves []curve) []float64 {
	var out []float64
	for _, c := range curves {
		if c.defined {
			out = append(out, c.recall...)
		}
	}
	return out
}

// parallel runs fn for 0 … n−1 on all processors; the order of results is the caller's.
func parallel(n int, fn func(i int)) {
	var wg sync.WaitGroup
	next := make(chan int)
	for range min(n, runtime.GOMAXPROCS(0)) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range next {
				fn(i)
			}
		}()
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
}

// finite reports whether a stored number can be worked with.
func finite(v ...float64) bool {
	for _, x := range v {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return false
		}
	}
	return true
}
