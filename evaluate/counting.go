package evaluate

import (
	"fmt"
	"math"
	"slices"
)

// PictureCount is how many animals of each class a picture shows, and how many
// were found with at least the configured score. Detections on ignored objects
// don't count.
type PictureCount struct {
	ID    string `json:"id"`
	Group string `json:"group,omitempty"` // pictures of one group are not independent
	Truth []int  `json:"truth"`
	Found []int  `json:"found"`
}

// PictureCounts returns the counts of every picture by class, in the order of IDs.
func (d *Detection) PictureCounts() []PictureCount {
	names := d.cfg.classNames()
	pictures := d.sorted()
	m := newCounter(d.cfg)
	out := make([]PictureCount, len(pictures))
	for i, p := range pictures {
		out[i] = PictureCount{ID: p.id, Group: p.group, Truth: make([]int, len(names)), Found: make([]int, len(names))}
		for _, o := range p.truth {
			if !o.ignore {
				out[i].Truth[o.class]++
			}
		}
	}
	m.maxDet = math.MaxInt // the limit of detections is no limit of herds
	leasts := d.cfg.leasts()
	for c, cm := range m.run(pictures, len(names)) {
		for k, score := range cm.score {
			if score >= leasts[c] && cm.skip[0][k]&1 == 0 {
				out[cm.picture[k]].Found[c]++
			}
		}
	}
	return out
}

// SetGroups names for every picture the group to which it belongs, a flight or
// a camera: intervals are drawn over groups.
func (d *Detection) SetGroups(group func(id, file string) string) {
	for i := range d.pictures {
		d.pictures[i].group = group(d.pictures[i].id, d.pictures[i].file)
	}
}

// CountingConfig sets what is told about counts.
type CountingConfig struct {
	Bins      []int // upper ends of the herd sizes, rising; the last bin has none
	Bootstrap Bootstrap
}

// DefaultCounting returns bins 0, 1, 2–5, 6–20 and above, and 95 % intervals.
func DefaultCounting() CountingConfig {
	return CountingConfig{Bins: []int{0, 1, 5, 20}, Bootstrap: DefaultBootstrap()}
}

// Counting tells how well animals are counted per picture. Errors are found
// minus true. R2 is 1 − Σ(found−true)²/Σ(true−mean)², −1 where the true counts
// are all the same (a bad fit can fall below −1 too).
type Counting struct {
	Class          string     `json:"class"` // "all" for the sum over classes
	Pictures       int        `json:"pictures"`
	Truth          int        `json:"truth"`
	Found          int        `json:"found"`
	MAE            float64    `json:"MAE"`
	RMSE           float64    `json:"RMSE"`
	Bias           float64    `json:"bias"`
	R2             float64    `json:"R2"`
	MAEInterval    Interval   `json:"MAE_interval"`
	RMSEInterval   Interval   `json:"RMSE_interval"`
	BiasInterval   Interval   `json:"bias_interval"`
	R2Interval     Interval   `json:"R2_interval"` // over resamples in which the true counts differ
	Presence       Counts     `json:"presence"`    // of pictures
	BothAbsent     int        `json:"both_absent"`
	Bins           []CountBin `json:"bins"`
	ExactlyCounted float64    `json:"exact"` // share of pictures with the right count
}

// CountBin is the error among pictures with From to To animals, To −1 without end.
type CountBin struct {
	From     int     `json:"from"`
	To       int     `json:"to"`
	Pictures int     `json:"pictures"`
	MAE      float64 `json:"MAE"`
	Bias     float64 `json:"bias"`
}

// Counting measures the counts of all animals, then of each class.
func (d *Detection) Counting(cfg CountingConfig) ([]Counting, error) {
	if !slices.IsSorted(cfg.Bins) {
		return nil, fmt.Errorf("evaluate: count: bins %v do not rise", cfg.Bins)
	}
	table := d.PictureCounts()
	names := d.cfg.classNames()
	groups := make([]string, len(table))
	for i, p := range table {
		groups[i] = p.Group
	}
	sample, err := cfg.Bootstrap.draws(groups)
	if err != nil {
		return nil, err
	}
	intervals := countIntervals(table, len(names), sample)
	truth, found := make([]float64, len(table)), make([]float64, len(table))
	var out []Counting
	for c := -1; c < len(names); c++ {
		name := "all"
		for i, p := range table {
			if c < 0 {
				truth[i], found[i] = float64(sum(p.Truth)), float64(sum(p.Found))
			} else {
				truth[i], found[i] = float64(p.Truth[c]), float64(p.Found[c])
			}
		}
		if c >= 0 {
			name = names[c]
		}
		r := countErrors(truth, found, cfg.Bins)
		r.Class = name
		at := intervals[4*(c+1):]
		r.MAEInterval, r.RMSEInterval, r.BiasInterval, r.R2Interval = at[0], at[1], at[2], at[3]
		out = append(out, r)
	}
	return out, nil
}

// tally is what one picture holds of a class: how many there are, and by how
// much what was found is off.
type tally struct {
	class     int // 0 for all together
	truth, by float64
}

// tallies leaves out classes that a picture neither shows nor is said to show.
func tallies(table []PictureCount, classes int) [][]tally {
	out := make([][]tally, len(table))
	for i, p := range table {
		add := func(class, truth, found int) {
			if truth != 0 || found != 0 {
				out[i] = append(out[i], tally{class, float64(truth), float64(found - truth)})
			}
		}
		add(0, sum(p.Truth), sum(p.Found))
		for c := range classes {
			add(c+1, p.Truth[c], p.Found[c])
		}
	}
	return out
}

// countIntervals gives the intervals of MAE, RMSE, bias and R² in turn, of all
// classes together and then of each.
func countIntervals(table []PictureCount, classes int, sample *draws) []Interval {
	list := tallies(table, classes)
	values := sample.table(4*(classes+1), func(w, out []float64) {
		n := 0.0
		truth, truth2 := make([]float64, classes+1), make([]float64, classes+1)
		for i, x := range w {
			n += x
			for _, e := range list[i] {
				k := 4 * e.class
				out[k] += x * math.Abs(e.by)
				out[k+1] += x * e.by * e.by
				out[k+2] += x * e.by
				truth[e.class] += x * e.truth
				truth2[e.class] += x * e.truth * e.truth
			}
		}
		for c := range truth {
			o := out[4*c : 4*c+4]
			o[3] = math.NaN() // no value: percentiles leaves it out
			if spread := n*truth2[c] - truth[c]*truth[c]; spread > 0 {
				o[3] = 1 - o[1]*n/spread
			}
			o[0], o[1], o[2] = per(o[0], n), math.Sqrt(per(o[1], n)), per(o[2], n)
		}
	})
	intervals := make([]Interval, len(values))
	for k, v := range values {
		intervals[k] = percentiles(slices.DeleteFunc(v, math.IsNaN), sample.Level)
	}
	return intervals
}

func sum(v []int) int {
	n := 0
	for _, x := range v {
		n += x
	}
	return n
}

// countErrors measures one class.
func countErrors(truth, found []float64, ends []int) Counting {
	r := Counting{Pictures: len(truth), MAE: -1, RMSE: -1, Bias: -1, R2: -1, ExactlyCounted: -1}
	from := 0
	for _, end := range append(slices.Clone(ends), -1) {
		r.Bins = append(r.Bins, CountBin{From: from, To: end, MAE: -1, Bias: -1})
		from = end + 1
	}
	if len(truth) == 0 {
		return r
	}
	var abs, square, bias, exact, total float64
	for i := range truth {
		e := found[i] - truth[i]
		abs, square, bias, total = abs+math.Abs(e), square+e*e, bias+e, total+truth[i]
		if e == 0 {
			exact++
		}
		r.Truth, r.Found = r.Truth+int(truth[i]), r.Found+int(found[i])
		r.presence(truth[i] > 0, found[i] > 0)
		b := &r.Bins[binOf(int(truth[i]), ends)]
		b.Pictures++
		b.MAE, b.Bias = max(b.MAE, 0)+math.Abs(e), sumFrom(b.Bias, e, b.Pictures)
	}
	for i := range r.Bins {
		if b := &r.Bins[i]; b.Pictures > 0 {
			b.MAE, b.Bias = b.MAE/float64(b.Pictures), b.Bias/float64(b.Pictures)
		}
	}
	n := float64(len(truth))
	r.MAE, r.RMSE, r.Bias, r.ExactlyCounted = abs/n, math.Sqrt(square/n), bias/n, exact/n
	spread := 0.0
	for _, t := range truth {
		spread += (t - total/n) * (t - total/n)
	}
	if spread > 0 {
		r.R2 = 1 - square/spread
	}
	return r
}

// sumFrom adds to a sum whose first value replaces the mark for nothing.
func sumFrom(sum, v float64, n int) float64 {
	if n == 1 {
		return v
	}
	return sum + v
}

func binOf(n int, ends []int) int {
	for i, end := range ends {
		if n <= end {
			return i
		}
	}
	return len(ends)
}

func (c *Counting) presence(truth, found bool) {
	switch {
	case truth && found:
		c.Presence.TP++
	case truth:
		c.Presence.FN++
	case found:
		c.Presence.FP++
	default:
		c.BothAbsent++
	}
}
