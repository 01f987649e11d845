package datamodule

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/internal/xrand"
	"github.com/wildtrain/sdk/wildtrain"
)

// levels is a batch of plain pictures of 8×8, of the levels 0, 50, 100, … and the
// classes 0, 1, 2, …
func levels(n int) (wildtrain.Pixels, []wildtrain.Sample) {
	p := wildtrain.Pixels{N: n, Height: 8, Width: 8, Channels: 3}
	var samples []wildtrain.Sample
	for i := range n {
		for range 8 * 8 * 3 {
			p.U8 = append(p.U8, byte(50*i))
		}
		samples = append(samples, wildtrain.Sample{Targets: []wildtrain.Target{{Class: i, Weight: 1}}})
	}
	return p, samples
}

// The weights of targets are the shares of pixels, of the sample and the one before.
func TestMixingSharesTargetsAsPixels(t *testing.T) {
	const n = 5
	for _, m := range []Mixing{{MixUp: 1, MixUpAlpha: 0.2}, {MixUp: 1, MixUpAlpha: 8}, {CutMix: 1, CutMixAlpha: 1}} {
		for seed := range uint64(50) {
			p, samples := levels(n)
			m.apply(p, samples, xrand.New(seed))
			for i, s := range samples {
				before := (i + n - 1) % n
				weights, sum := map[int]float64{}, 0.0
				for _, target := range s.Targets {
					weights[target.Class] += float64(target.Weight)
					sum += float64(target.Weight)
				}
				require.InDelta(t, 1, sum, 1e-6)
				require.InDelta(t, sum, weights[i]+weights[before], 1e-6)
				mean := 0.0
				for _, v := range p.U8[i*192 : (i+1)*192] {
					mean += float64(v) / 192
				}
				assert.InDelta(t, 50*(weights[i]*float64(i)+weights[before]*float64(before)), mean, 1, "%+v, sample %d", m, i)
			}
		}
	}
}

func TestMixingIsOffByDefault(t *testing.T) {
	p, samples := levels(3)
	before := slices.Clone(p.U8)
	DefaultMixing().apply(p, samples, xrand.New(1))
	assert.Equal(t, before, p.U8)
	assert.Len(t, samples[0].Targets, 1)
	require.NoError(t, DefaultMixing().Validate())
	err := Mixing{MixUp: 2, CutMix: 1}.Validate()
	assert.ErrorContains(t, err, "mixup is 2")
	assert.ErrorContains(t, err, "cutmix_alpha is 0")
}

func TestMixedTargetsOfOneClassAreOne(t *testing.T) {
	a := []wildtrain.Target{{Class: 4, Weight: 1}}
	assert.Equal(t, a, mixTargets(a, a, 0.25))
}
