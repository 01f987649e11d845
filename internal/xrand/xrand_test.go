package xrand

import (
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
)

// The published first outputs of SplitMix64 for seed 1234567 (Rosetta Code,
// "Pseudo-random numbers/Splitmix64").
func TestReferenceVector(t *testing.T) {
	r := &Rand{state: 1234567}
	for _, want := range []uint64{6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821} {
		assert.Equal(t, want, r.Uint64())
	}
}

func TestStreamsDependOnEveryKey(t *testing.T) {
	seen := map[uint64]string{}
	for name, r := range map[string]*Rand{
		"seed 0": New(0), "seed 1": New(1), "0;0": New(0, 0), "0;1": New(0, 1), "0;0,1": New(0, 0, 1), "0;1,0": New(0, 1, 0), "0;1,1": New(0, 1, 1), "1;0": New(1, 0),
	} {
		v := r.Uint64()
		assert.Empty(t, seen[v], "%s and %s begin alike", name, seen[v])
		seen[v] = name
	}
	assert.Equal(t, New(5, 6, 7).Uint64(), New(5, 6, 7).Uint64())
}

func TestIntNIsUniform(t *testing.T) {
	const n, draws = 7, 70000
	var count [n]int
	r := New(3)
	for range draws {
		count[r.IntN(n)]++
	}
	chi2 := 0.0
	for _, c := range count {
		d := float64(c) - draws/n
		chi2 += d * d / (draws / n)
	}
	assert.Less(t, chi2, 22.46) // 6 degrees of freedom, p = 0.001
}

func TestMomentsOfDraws(t *testing.T) {
	r := New(4)
	var sum, squares, uniform float64
	const n = 100000
	for range n {
		v := r.Normal()
		sum += v
		squares += v * v
		uniform += r.Uniform(-2, 6)
	}
	assert.InDelta(t, 0, sum/n, 0.015)
	assert.InDelta(t, 1, squares/n, 0.02)
	assert.InDelta(t, 2, uniform/n, 0.03)
	assert.False(t, math.IsNaN(sum))
}

func TestPerm(t *testing.T) {
	p := New(1).Perm(100)
	assert.False(t, slices.IsSorted(p))
	slices.Sort(p)
	for i, v := range p {
		assert.Equal(t, i, v)
	}
	assert.Empty(t, New(1).Perm(0))
}
