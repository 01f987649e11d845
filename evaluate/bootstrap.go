package evaluate

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
)

// Bootstrap sets how intervals are drawn: whole groups of pictures with
// replacement, so that pictures of one flight stay together; pictures without
// a group stand for themselves.
type Bootstrap struct {
	Resamples int // 0 switches intervals off
	Level     float64
	Seed      uint64
}

// DefaultBootstrap returns 1,000 resamples and 95 %.
func DefaultBootstrap() Bootstrap { return Bootstrap{Resamples: 1000, Level: 0.95, Seed: 1} }

// Interval is a percentile interval, −1 to −1 where there is none.
type Interval struct {
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// draws are the resamples. How often each picture was drawn is made anew from
// the seed where it is asked for: a list of all would not fit for large sets.
type draws struct {
	Bootstrap
	groups   [][]int // indices of pictures
	pictures int
}

// maxDraws bounds the time that resamples take.
const maxDraws = 100_000

func (b Bootstrap) draws(groups []string) (*draws, error) {
	if b.Resamples < 0 || b.Resamples > maxDraws {
		return nil, fmt.Errorf("evaluate: bootstrap: %d resamples, want 0 to %d", b.Resamples, maxDraws)
	}
	if b.Resamples > 0 && !(b.Level > 0 && b.Level < 1) {
		return nil, fmt.Errorf("evaluate: bootstrap: level %g is not between 0 and 1", b.Level)
	}
	d := &draws{Bootstrap: b, pictures: len(groups)}
	members := map[string]int{}
	for i, g := range groups {
		at, ok := members[g]
		if g == "" || !ok {
			at = len(d.groups)
			d.groups = append(d.groups, nil)
			members[g] = at
		}
		d.groups[at] = append(d.groups[at], i)
	}
	return d, nil
}

// weights are how often each picture is in a resample.
func (d *draws) weights(resample int) []float64 {
	r := rand.New(rand.NewPCG(d.Seed, uint64(resample)))
	w := make([]float64, d.pictures)
	for range d.groups {
		for _, i := range d.groups[r.IntN(len(d.groups))] {
			w[i]++
		}
	}
	return w
}

// values computes a statistic of each resample, several at a time.
func (d *draws) values(stat func(w []float64) float64) []float64 {
	out := make([]float64, d.Resamples)
	parallel(runtime.GOMAXPROCS(0), len(out), func(_, i int) { out[i] = stat(d.weights(i)) })
	return out
}

// table computes n statistics of each resample at once: fill writes them to out.
func (d *draws) table(n int, fill func(w, out []float64)) [][]float64 {
	rows := make([][]float64, d.Resamples)
	parallel(runtime.GOMAXPROCS(0), len(rows), func(_, i int) {
		rows[i] = make([]float64, n)
		fill(d.weights(i), rows[i])
	})
	out := make([][]float64, n)
	for k := range out {
		out[k] = make([]float64, len(rows))
		for i := range rows {
			out[k][i] = rows[i][k]
		}
	}
	return out
}

func (d *draws) interval(stat func(w []float64) float64) Interval {
	return percentiles(d.values(stat), d.Level)
}

// percentiles cuts the same share off at both ends, interpolating as numpy does.
func percentiles(v []float64, level float64) Interval {
	if len(v) == 0 {
		return Interval{-1, -1}
	}
	slices.Sort(v)
	at := func(q float64) float64 {
		x := q * float64(len(v)-1)
		i := int(x)
		if i+1 >= len(v) {
			return v[len(v)-1]
		}
		return v[i] + (x-float64(i))*(v[i+1]-v[i])
	}
	return Interval{at((1 - level) / 2), at((1 + level) / 2)}
}

func weightedMean(w []float64, of func(i int) float64) float64 {
	var total, n float64
	for i, x := range w {
		if x != 0 {
			total, n = total+x*of(i), n+x
		}
	}
	if n == 0 {
		return -1
	}
	return total / n
}
