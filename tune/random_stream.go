package tune

import "math"

// stream is NumPy's legacy RandomState: a Mersenne Twister (MT19937, Matsumoto
// and Nishimura 1998) with the draws that Optuna's samplers make. The same seed
// gives the same numbers as numpy.random.RandomState(seed), which is what makes
// seeded studies comparable.
type stream struct {
	key [624]uint32
	pos int

	hasGauss bool
	gauss    float64
}

func newStream(seed uint64) *stream {
	s := &stream{}
	s.reseed(uint32(seed))
	return s
}

// reseed is numpy.random.RandomState.seed of one integer below 2³².
func (s *stream) reseed(seed uint32) {
	for i := range s.key {
		s.key[i] = seed
		seed = 1812433253*(seed^seed>>30) + uint32(i) + 1
	}
	s.pos, s.hasGauss = len(s.key), false
}

func (s *stream) twist() {
	const n, m, upper, lower, a = 624, 397, 0x80000000, 0x7fffffff, 0x9908b0df
	for i := range n {
		y := s.key[i]&upper | s.key[(i+1)%n]&lower
		v := s.key[(i+m)%n] ^ y>>1
		if y&1 == 1 {
			v ^= a
		}
		s.key[i] = v
	}
	s.pos = 0
}

func (s *stream) uint32() uint32 {
	if s.pos == len(s.key) {
		s.twist()
	}
	y := s.key[s.pos]
	s.pos++
	y ^= y >> 11
	y ^= y << 7 & 0x9d2c5680
	y ^= y << 15 & 0xefc60000
	return y ^ y>>18
}

// float is uniform on [0, 1) with 53 bits.
func (s *stream) float() float64 {
	a, b := s.uint32()>>5, s.uint32()>>6
	return (float64(a)*67108864 + float64(b)) / 9007199254740992
}

func (s *stream) uniform(low, high float64) float64 { return low + (high-low)*s.float() }

// intN is randint(0, n) for n ≤ 2³²: masked rejection, no draw for n = 1.
func (s *stream) intN(n int) int {
	top := uint32(n - 1)
	if top == 0 {
		return 0
	}
	mask := top
	for _, k := range []uint{1, 2, 4, 8, 16} {
		mask |= mask >> k
	}
	for {
		if v := s.uint32() & mask; v <= top {
			return int(v)
		}
	}
}

// normal is standard_normal: the polar method, whose second number is kept.
func (s *stream) normal() float64 {
	if s.hasGauss {
		s.hasGauss = false
		return s.gauss
	}
	for {
		x, y := 2*s.float()-1, 2*s.float()-1
		if r := x*x + y*y; r < 1 && r > 0 {
			f := math.Sqrt(-2 * math.Log(r) / r)
			s.gauss, s.hasGauss = f*x, true
			return f * y
		}
	}
}

// permutation is a random order of 0…n−1.
func (s *stream) permutation(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	for i := n - 1; i > 0; i-- {
		j := s.intN(i + 1)
		out[i], out[j] = out[j], out[i]
	}
	return out
}

// trialSeed is the seed of one trial's own stream: it depends on the study's
// seed and the trial's number only, so that results do not depend on which
// worker runs a trial. The mixing is SplitMix64's (Steele, Lea, Flood 2014).
func trialSeed(seed uint64, number int) uint64 {
	z := seed + uint64(number+1)*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return (z ^ z>>31) & math.MaxUint32
}
