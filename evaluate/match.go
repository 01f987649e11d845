package evaluate

import (
	"cmp"
	"runtime"
	"slices"
	"sync"

	"github.com/wildtrain/sdk/internal/rle"
)

// item is one object as the matcher sees it. The size is kept beside the far
// corner: COCO files state sizes, and x+w−x is not w in floating point.
type item struct {
	x, y, w, h, x2, y2 float64
	area               float64 // what area ranges look at
	score              float64 // of a detection
	class              int32
	crowd              bool // matches any number of detections, by intersection over detection
	ignore             bool // neither rewarded nor punished; every crowd is
	lax                bool // a detection that is not punished if it matches nothing
	mask               *rle.Mask
}

func boxItem(x, y, w, h float64) item {
	return item{x: x, y: y, w: w, h: h, x2: x + w, y2: y + h, area: w * h}
}

// picture is one image with what is in it and what was found.
type picture struct {
	id            string
	file          string
	group         string // of images that are not independent, a flight say
	width, height int
	truth, found  []item
}

// overlap is pycocotools' IoU of a detection and an annotation. The explicit
// conversions keep the compiler from fusing a product into a sum.
func overlap(d, g *item) float64 {
	w := min(d.x2, g.x2) - max(d.x, g.x)
	if w <= 0 {
		return 0
	}
	h := min(d.y2, g.y2) - max(d.y, g.y)
	if h <= 0 {
		return 0
	}
	inter := float64(w * h)
	union := float64(d.w * d.h)
	if !g.crowd {
		union = union + float64(g.w*g.h) - inter
	}
	return inter / union
}

// unit is one class in one picture. at is where its detections stand in the
// class's arrays.
type unit struct {
	class, picture int
	truth, found   []item // found by falling score, at most the largest of MaxDets
	at             int
}

// classMatches is everything that was found of one class, in the order of
// pictures and, within each, of falling score. hit and skip have one bit per
// IoU threshold, for each area range: matched, and not to be counted.
type classMatches struct {
	truths    []int // per area range, ignored ones left out
	score     []float64
	rank      []int32 // place within its picture
	picture   []int32
	hit, skip [][]uint64
}

// matcher holds one evaluation's settings in the form that matching wants.
type matcher struct {
	ious    []float64
	areas   []AreaRange
	maxDet  int
	masks   bool
	workers int
}

func newMatcher(c DetectionConfig) *matcher {
	m := &matcher{
		ious:    slices.Clone(c.Thresholds),
		areas:   c.Areas,
		maxDet:  slices.Max(c.MaxDets),
		masks:   c.IoUType == Masks,
		workers: c.Workers,
	}
	if thresholdIndex(m.ious, c.IoU) < 0 {
		m.ious = append(m.ious, c.IoU)
	}
	if m.workers <= 0 {
		m.workers = runtime.GOMAXPROCS(0)
	}
	return m
}

// newCounter is a matcher at the configured IoU alone, over all sizes.
func newCounter(c DetectionConfig) *matcher {
	c.Thresholds, c.Areas = []float64{c.IoU}, c.Areas[:1]
	return newMatcher(c)
}

// thresholdIndex finds a threshold in a list, −1 if it is not there.
func thresholdIndex(list []float64, t float64) int {
	return slices.IndexFunc(list, func(v float64) bool { return v-t < 1e-9 && t-v < 1e-9 })
}

// parallel runs fn for 0…n−1 on the workers. Each call must write to places of
// its own: the result then does not depend on the number of workers.
func parallel(workers, n int, fn func(worker, i int)) {
	workers = max(1, min(workers, n))
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w; i < n; i += workers {
				fn(w, i)
			}
		})
	}
	wg.Wait()
}

// run matches all pictures. classes is the number of classes.
func (m *matcher) run(pictures []picture, classes int) []classMatches {
	perPicture := make([][]unit, len(pictures))
	parallel(m.workers, len(pictures), func(_, i int) { perPicture[i] = m.units(&pictures[i], i) })
	out, units := m.layout(perPicture, classes)
	pool := make([]scratch, max(1, m.workers))
	parallel(m.workers, len(units), func(w, i int) {
		m.match(units[i], &out[units[i].class], &pool[w])
	})
	return out
}

// units splits a picture into classes: annotations in their order, detections
// by falling score, equal scores in their order.
func (m *matcher) units(p *picture, index int) []unit {
	byClass := func(a, b item) int { return cmp.Compare(a.class, b.class) }
	truth, found := slices.Clone(p.truth), slices.Clone(p.found)
	slices.SortStableFunc(truth, byClass)
	slices.SortStableFunc(found, func(a, b item) int {
		if c := byClass(a, b); c != 0 {
			return c
		}
		return cmp.Compare(b.score, a.score)
	})
	var out []unit
	for len(truth) > 0 || len(found) > 0 {
		var class int32
		switch {
		case len(truth) == 0:
			class = found[0].class
		case len(found) == 0:
			class = truth[0].class
		default:
			class = min(truth[0].class, found[0].class)
		}
		g, d := runOf(truth, class), runOf(found, class)
		out = append(out, unit{class: int(class), picture: index, truth: truth[:g], found: found[:min(d, m.maxDet)]})
		truth, found = truth[g:], found[d:]
	}
	return out
}

// runOf counts the items of the class at the head of the list.
func runOf(list []item, class int32) int {
	n := 0
	for n < len(list) && list[n].class == class {
		n++
	}
	return n
}

// layout gives every unit its place and allocates the arrays.
func (m *matcher) layout(perPicture [][]unit, classes int) ([]classMatches, []unit) {
	out := make([]classMatches, classes)
	total := make([]int, classes)
	var units []unit
	for _, list := range perPicture {
		for _, u := range list {
			u.at = total[u.class]
			total[u.class] += len(u.found)
			units = append(units, u)
		}
	}
	for c := range out {
		out[c] = classMatches{
			truths:  make([]int, len(m.areas)),
			score:   make([]float64, total[c]),
			rank:    make([]int32, total[c]),
			picture: make([]int32, total[c]),
			hit:     make([][]uint64, len(m.areas)),
			skip:    make([][]uint64, len(m.areas)),
		}
		for a := range m.areas {
			out[c].hit[a] = make([]uint64, total[c])
			out[c].skip[a] = make([]uint64, total[c])
		}
	}
	for _, u := range units {
		for i := range u.truth {
			for a, r := range m.areas {
				if !ignored(&u.truth[i], r) {
					out[u.class].truths[a]++
				}
			}
		}
	}
	return out, units
}

func ignored(g *item, r AreaRange) bool { return g.ignore || outside(g.area, r) }

func outside(area float64, r AreaRange) bool { return area < r.Min || area > r.Max }

// candidate is an annotation that overlaps a detection enough for the lowest threshold.
type candidate struct {
	g   int
	iou float64
}

// scratch is memory that one worker uses again and again.
type scratch struct {
	candidates []candidate
	first      []int // candidates of detection i are [first[i], first[i+1])
	ignore     []bool
	taken      []uint64
}

// match writes hit and skip of one unit.
func (m *matcher) match(u unit, out *classMatches, s *scratch) {
	for i := range u.found {
		out.score[u.at+i] = u.found[i].score
		out.rank[u.at+i] = int32(i)
		out.picture[u.at+i] = int32(u.picture)
	}
	m.candidates(u, s)
	s.ignore = slices.Grow(s.ignore[:0], len(u.truth))[:len(u.truth)]
	s.taken = slices.Grow(s.taken[:0], len(u.truth))[:len(u.truth)]
	for a, r := range m.areas {
		for g := range u.truth {
			s.ignore[g] = ignored(&u.truth[g], r)
			s.taken[g] = 0
		}
		hit, skip := out.hit[a][u.at:], out.skip[a][u.at:]
		for d := range u.found {
			h, k := m.assign(u.truth, s.candidates[s.first[d]:s.first[d+1]], s)
			if u.found[d].lax || outside(u.found[d].area, r) {
				k |= ^h
			}
			hit[d], skip[d] = h, k
		}
	}
}

func (m *matcher) candidates(u unit, s *scratch) {
	lowest := min(slices.Min(m.ious), 1-1e-10)
	s.candidates, s.first = s.candidates[:0], append(s.first[:0], 0)
	for d := range u.found {
		for g := range u.truth {
			if iou := m.overlap(&u.found[d], &u.truth[g]); iou >= lowest {
				s.candidates = append(s.candidates, candidate{g, iou})
			}
		}
		s.first = append(s.first, len(s.candidates))
	}
}

func (m *matcher) overlap(d, g *item) float64 {
	if !m.masks {
		return overlap(d, g)
	}
	if d.mask == nil || g.mask == nil {
		return 0
	}
	return rle.IoU(d.mask, g.mask, g.crowd)
}

// assign gives one detection, for each threshold, the free annotation that
// overlaps it most, the last of equals. Annotations that are ignored come into
// question only if no other one matches.
func (m *matcher) assign(truth []item, cands []candidate, s *scratch) (hit, skip uint64) {
	if len(cands) == 0 {
		return 0, 0
	}
	for t, threshold := range m.ious {
		bit := uint64(1) << t
		best := -1
		for pass := range 2 {
			iou := min(threshold, 1-1e-10)
			for _, c := range cands {
				if s.ignore[c.g] != (pass == 1) || s.taken[c.g]&bit != 0 && !truth[c.g].crowd {
					continue
				}
				if c.iou >= iou {
					iou, best = c.iou, c.g
				}
			}
			if best >= 0 {
				break
			}
		}
		if best < 0 {
			continue
		}
		hit |= bit
		s.taken[best] |= bit
		if s.ignore[best] {
			skip |= bit
		}
	}
	return hit, skip
}
