// Package xrand gives random streams that are derived from keys.
//
// A stream depends on its seed and keys (epoch, sample index, purpose) only, so
// what is drawn for one sample does not depend on which worker draws it or on
// what was drawn before. The generator is SplitMix64 (Steele, Lea, Flood 2014);
// it and the derived draws are fixed here, so results never change with the
// version of Go.
package xrand

import (
	"math"
	"math/bits"
)

// Rand is one stream. The zero value is the stream of seed 0 without keys mixed in.
// It is not safe for concurrent use.
type Rand struct{ state uint64 }

// New makes the stream of a seed and keys.
func New(seed uint64, keys ...uint64) *Rand {
	h := mix(seed + golden)
	for i, k := range keys {
		h = mix(h ^ mix(k+golden*uint64(i+2)))
	}
	return &Rand{h}
}

const golden = 0x9e3779b97f4a7c15

func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// Uint64 returns 64 random bits.
func (r *Rand) Uint64() uint64 {
	r.state += golden
	return mix(r.state)
}

// Float64 returns a number in [0, 1).
func (r *Rand) Float64() float64 { return float64(r.Uint64()>>11) / (1 << 53) }

// Uniform returns a number between low and high.
func (r *Rand) Uniform(low, high float64) float64 { return low + (high-low)*r.Float64() }

// IntN returns a number in [0, n), without bias; n must be positive.
func (r *Rand) IntN(n int) int {
	// Lemire's multiplication method.
	hi, lo := bits.Mul64(r.Uint64(), uint64(n))
	if lo < uint64(n) {
		for reject := -uint64(n) % uint64(n); lo < reject; {
			hi, lo = bits.Mul64(r.Uint64(), uint64(n))
		}
	}
	return int(hi)
}

// Bernoulli is true with probability p. It draws even where p is 0 or 1, so
// that what follows does not depend on p.
func (r *Rand) Bernoulli(p float64) bool { return r.Float64() < p }

// Normal returns a draw from the standard normal distribution (Box-Muller).
func (r *Rand) Normal() float64 {
	u := 1 - r.Float64() // in (0, 1]
	return math.Sqrt(-2*math.Log(u)) * math.Cos(2*math.Pi*r.Float64())
}

// Perm returns a random order of 0 … n−1.
func (r *Rand) Perm(n int) []int {
	p := make([]int, n)
	for i := range p {
		j := r.IntN(i + 1)
		p[i] = p[j]
		p[j] = i
	}
	return p
}

// Beta returns a draw from the beta distribution; a and b must be positive.
func (r *Rand) Beta(a, b float64) float64 {
	x := r.gamma(a)
	y := r.gamma(b)
	if x+y == 0 { // both so small that they are lost in rounding: one end or the other
		return math.Trunc(r.Float64() + a/(a+b))
	}
	return x / (x + y)
}

// gamma draws by Marsaglia and Tsang's method (2000), and for shapes below 1 by
// their way from the shape above.
func (r *Rand) gamma(shape float64) float64 {
	if shape < 1 {
		return r.gamma(shape+1) * math.Pow(1-r.Float64(), 1/shape)
	}
	d := shape - 1.0/3
	c := 1 / math.Sqrt(9*d)
	for {
		x := r.Normal()
		v := 1 + c*x
		if v <= 0 {
			continue
		}
		v = v * v * v
		if u := 1 - r.Float64(); math.Log(u) < x*x/2+d-d*v+d*math.Log(v) {
			return d * v
		}
	}
}
