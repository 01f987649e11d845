package tune

import (
	"context"
	"maps"
	"math/bits"
	"slices"
)

// QMC walks through the scrambled Sobol sequence (Joe and Kuo 2008; random linear
// scramble of Matoušek 1998 with a digital shift): point n belongs to trial n, so
// that parallel workers and resumed studies share one sequence. The space is that
// of the first finished trial; other parameters, and dimensions beyond those of
// the tables, are drawn at random.
type QMC struct {
	random *Random
	seed   uint64
	space  map[string]Distribution
	sobol  *sobol
}

// NewQMC returns the sampler with a seed below 2³².
func NewQMC(seed uint64) *QMC {
	q := &QMC{random: NewRandom(seed), seed: seed}
	q.random.PerTrial()
	return q
}

func (q *QMC) streamFor(number, call int) { q.random.streamFor(number, call) }

// Relative implements Sampler.
func (q *QMC) Relative(_ context.Context, d *Draft) (map[string]Param, error) {
	if q.space == nil {
		for _, t := range d.In(Complete, Pruned) {
			if len(t.Params) > 0 {
				q.space = map[string]Distribution{}
				for name, p := range t.Params {
					if _, unordered := p.Dist.(Categorical); !unordered && !p.Dist.Single() {
						q.space[name] = p.Dist
					}
				}
				break
			}
		}
		if len(q.space) == 0 {
			return nil, nil
		}
	}
	names := slices.Sorted(maps.Keys(q.space))
	names = names[:min(len(names), sobolDimensions)]
	if q.sobol == nil {
		q.sobol = newSobol(len(names), newStream(q.seed))
	}
	out := map[string]Param{}
	for i, u := range q.sobol.point(uint32(d.Trial.Number)) {
		dist := q.space[names[i]]
		low, high := bounds(dist)
		out[names[i]] = Param{fromScale(dist, low+(high-low)*u), dist}
	}
	return out, nil
}

// Independent implements Sampler.
func (q *QMC) Independent(ctx context.Context, d *Draft, name string, dist Distribution) (float64, error) {
	return q.random.Independent(ctx, d, name, dist)
}

const (
	sobolBits       = 32
	sobolDimensions = 21
)

// sobolTable holds degree, coefficients of the primitive polynomial and initial
// direction numbers of dimensions 2 to 21 (Joe and Kuo, new-joe-kuo-6.21201).
var sobolTable = []struct {
	s, a uint
	m    []uint32
}{
	{1, 0, []uint32{1}}, {2, 1, []uint32{1, 3}}, {3, 1, []uint32{1, 3, 1}}, {3, 2, []uint32{1, 1, 1}},
	{4, 1, []uint32{1, 1, 3, 3}}, {4, 4, []uint32{1, 3, 5, 13}}, {5, 2, []uint32{1, 1, 5, 5, 17}},
	{5, 4, []uint32{1, 1, 5, 5, 5}}, {5, 7, []uint32{1, 1, 7, 11, 19}}, {5, 11, []uint32{1, 1, 5, 1, 1}},
	{5, 13, []uint32{1, 1, 1, 3, 11}}, {5, 14, []uint32{1, 3, 5, 5, 31}}, {6, 1, []uint32{1, 3, 3, 9, 7, 49}},
	{6, 13, []uint32{1, 1, 1, 15, 21, 21}}, {6, 16, []uint32{1, 3, 1, 13, 27, 49}}, {6, 19, []uint32{1, 1, 1, 15, 7, 5}},
	{6, 22, []uint32{1, 3, 1, 15, 13, 25}}, {6, 25, []uint32{1, 1, 5, 5, 19, 61}}, {7, 1, []uint32{1, 3, 7, 11, 23, 15, 103}},
	{7, 4, []uint32{1, 3, 7, 13, 13, 15, 69}},
}

// sobol holds scrambled direction numbers, one row for each dimension.
type sobol struct {
	directions [][sobolBits]uint32
	shift      []uint32
}

// newSobol scrambles by rng; nil leaves the sequence as it is.
func newSobol(dimensions int, rng *stream) *sobol {
	s := &sobol{directions: make([][sobolBits]uint32, dimensions), shift: make([]uint32, dimensions)}
	for d := range s.directions {
		v := plainDirections(d)
		if rng != nil {
			s.shift[d] = rng.uint32()
			var rows [sobolBits]uint32 // lower triangular, ones on the diagonal
			for i := range rows {
				top := uint32(1) << (sobolBits - 1 - i)
				rows[i] = top | rng.uint32()&^(top<<1-1)
			}
			for k := range v {
				scrambled := uint32(0)
				for i, row := range rows {
					scrambled |= uint32(bits.OnesCount32(row&v[k])&1) << (sobolBits - 1 - i)
				}
				v[k] = scrambled
			}
		}
		s.directions[d] = v
	}
	return s
}

func plainDirections(d int) (v [sobolBits]uint32) {
	if d == 0 {
		for i := range v {
			v[i] = 1 << (sobolBits - 1 - i)
		}
		return v
	}
	row := sobolTable[d-1]
	deg := int(row.s)
	for i := range v {
		if i < deg {
			v[i] = row.m[i] << (sobolBits - 1 - i)
			continue
		}
		v[i] = v[i-deg] ^ v[i-deg]>>row.s
		for k := 1; k < deg; k++ {
			v[i] ^= uint32(row.a>>(deg-1-k)&1) * v[i-k]
		}
	}
	return v
}

// point is the n-th point, in [0, 1).
func (s *sobol) point(n uint32) []float64 {
	gray := n ^ n>>1
	out := make([]float64, len(s.directions))
	for d, v := range s.directions {
		x := s.shift[d]
		for i := 0; gray>>i != 0; i++ {
			if gray>>i&1 == 1 {
				x ^= v[i]
			}
		}
		out[d] = float64(x) / (1 << sobolBits)
	}
	return out
}
