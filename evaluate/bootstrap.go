package evaluate

import (
	"fmt"
	"math/rand/v2"
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

// draws are the resamples: how often each picture was drawn.
type draws struct {
	level   float64
	weights [][]float64
}

// maxDraws bounds the memory of resamples.
const maxDraws = 100_000

func (b Bootstrap) draws(groups []string) (*draws, error) {
	if b.Resamples < 0 || b.Resamples > maxDraws {
		return nil, fmt.Errorf("evaluate: bootstrap: %d resamples, want 0 to %d", b.Resamples, maxDraws)
	}
	if b.Resamples > 0 && !(b.Level > 0 && b.Level < 1) {
		return nil, fmt.Errorf("evaluate: bootstrap: level %g is not between 0 and 1", b.Level)
	}
	members := map[string]int{}
	var lists [][]int
	for i, g := range groups {
		at, ok := members[g]
		if g == "" || !ok {
			at = len(lists)
			lists = append(lists, nil)
			members[g] = at
		}
		lists[at] = append(lists[at], i)
	}
	r := rand.New(rand.NewPCG(b.Seed, uint64(len(lists))))
	d := &draws{level: b.Level}
	for range b.Resamples {
		w := make([]float64, len(groups))
		for range lists {
			for _, i := range lists[r.IntN(len(lists))] {
				w[i]++
			}
		}
		d.weights = append(d.weights, w)
	}
	return d, nil
}

// values computes a statistic of each resample.
func (d *draws) values(stat func(w []float64) float64) []float64 {
	out := make([]float64, len(d.weights))
	for i, w := range d.weights {
		out[i] = stat(w)
	}
	return out
}

func (d *draws) interval(stat func(w []float64) float64) Interval {
	return percentiles(d.values(stat), d.level)
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
