// Package rule computes tensors from their names, so that weights and inputs of
// parity tests need not be stored: both sides, this and parity/rule.py, make
// the same numbers. parity/README.md describes the rule.
package rule

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"

	"github.com/wildtrain/sdk/wildtrain"
)

// Hash is the 64-bit FNV-1a hash of a name.
func Hash(name string) uint64 {
	h := uint64(0xCBF29CE484222325)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 0x100000001B3
	}
	return h
}

// Word is the i-th word of a name's stream (splitmix64).
func Word(h uint64, i int) uint64 {
	z := h + (uint64(i)+1)*0x9E3779B97F4A7C15
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}

// Unit is the i-th number of a name's stream, in [−1, 1).
func Unit(h uint64, i int) float64 { return float64(Word(h, i)>>40)/(1<<23) - 1 }

// Values fills a tensor of n elements around centre within half.
func Values(name string, n int, centre, half float64) []float32 {
	h := Hash(name)
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(centre + float64(half*Unit(h, i)))
	}
	return out
}

// Weights tells centre and half of the tensor of a name and shape.
type Weights func(name string, shape []int64) (centre, half float64)

// Spread keeps activations alive through the depth of a network, with batch norm
// statistics and affine parameters that are random too: wrong wiring shows.
func Spread(name string, shape []int64) (centre, half float64) {
	switch {
	case strings.HasSuffix(name, ".bias") || strings.HasSuffix(name, "running_mean"):
		return 0, 0.5
	case strings.HasSuffix(name, ".attn.proj.bn.weight") || strings.HasSuffix(name, ".mlp.1.bn.weight"):
		return 0.25, 0.125 // else residual attention blocks grow beyond measure
	case strings.HasSuffix(name, "running_var") || len(shape) == 1:
		return 1, 0.5
	}
	return 0, 1.2 * math.Sqrt(3/fanIn(shape))
}

// Initial is like the start of a training; biases holds the constants of named ones.
func Initial(biases map[string]float64) Weights {
	return func(name string, shape []int64) (float64, float64) {
		if v, ok := biases[name]; ok {
			return v, 0
		}
		switch {
		case strings.HasSuffix(name, ".bias") || strings.HasSuffix(name, "running_mean"):
			return 0, 0
		case strings.HasSuffix(name, "running_var") || len(shape) == 1:
			return 1, 0
		}
		return 0, math.Sqrt(1 / fanIn(shape))
	}
}

func fanIn(shape []int64) float64 {
	n := int64(1)
	for _, d := range shape[1:] {
		n *= d
	}
	return float64(n)
}

// State is a wildtrain.State whose tensors have the names, types and shapes of
// Like and the values of the rule. It cannot be written.
type State struct {
	Like  wildtrain.State
	Rule  Weights
	Alias func(name string) string // the name whose numbers a tensor gets; nil for its own
}

// Names implements wildtrain.State.
func (s State) Names() []string { return s.Like.Names() }

// Info implements wildtrain.State.
func (s State) Info(name string) (wildtrain.Info, bool) { return s.Like.Info(name) }

// Read implements wildtrain.State.
func (s State) Read(name string, dst []byte) error {
	info, ok := s.Like.Info(name)
	if !ok || info.Bytes() != int64(len(dst)) {
		return fmt.Errorf("rule: read %s: %d bytes", name, len(dst))
	}
	if s.Alias != nil {
		name = s.Alias(name)
	}
	n := int(info.Elements())
	switch {
	case info.DType == wildtrain.Int64:
		clear(dst)
		return nil
	case info.DType != wildtrain.Float32:
		return fmt.Errorf("rule: read %s: no rule for %v", name, info.DType)
	}
	v := make([]float32, n)
	if strings.HasSuffix(name, "dfl.conv.weight") {
		for i := range v {
			v[i] = float32(i)
		}
	} else {
		centre, half := s.Rule(name, info.Shape)
		v = Values(name, n, centre, half)
	}
	for i, f := range v {
		binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(f))
	}
	return nil
}

// Write implements wildtrain.State.
func (s State) Write(name string, _ []byte) error {
	return fmt.Errorf("rule: write %s: computed tensors cannot be written", name)
}
