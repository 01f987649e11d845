package classification

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/internal/rule"
	"github.com/wildtrain/sdk/wildtrain"
)

func probeFeatures(t *testing.T) (train, test *Features) {
	train = &Features{Width: 6, Values: rule.Values("probe.train", 120*6, 0, 1), IDs: make([]string, 120)}
	test = &Features{Width: 6, Values: rule.Values("probe.test", 40*6, 0, 1), IDs: make([]string, 40)}
	for _, y := range floats(t, golden(t, "probe.safetensors"), "y") {
		train.Class = append(train.Class, int(y))
	}
	return train, test
}

func flat(rows [][]float32) (out []float32) {
	for _, r := range rows {
		out = append(out, r...)
	}
	return out
}

func TestProbeEqualsScikitLearn(t *testing.T) {
	train, test := probeFeatures(t)
	f := golden(t, "probe.safetensors")
	for name, c := range map[string]float64{"logistic/0.1": 0.1, "logistic/10.0": 10} {
		p, err := FitProbe(t.Context(), train, 4, c)
		require.NoError(t, err)
		got, err := p.Probs(test)
		require.NoError(t, err)
		require.InDeltaSlice(t, floats(t, f, name), flat(got), 1e-5, name)
	}
	_, err := FitProbe(t.Context(), train, 3, 1)
	require.ErrorContains(t, err, "class 3 of 3")
}

func TestNeighboursEqualPeer(t *testing.T) {
	train, test := probeFeatures(t)
	got, err := NearestNeighbours(t.Context(), train, test, 4, 9, 0.07)
	require.NoError(t, err)
	require.InDeltaSlice(t, floats(t, golden(t, "probe.safetensors"), "knn"), flat(got), 1e-5)
	_, err = NearestNeighbours(t.Context(), train, &Features{Width: 5}, 4, 9, 0.07)
	require.Error(t, err)
}

// Even an untrained network's features tell red from green.
func TestFeaturesOfALoader(t *testing.T) {
	m := small(t, "resnet18", nil)
	load := func(first, n int) *Features {
		f, err := m.Features(t.Context(), batches{n, func(i int) *wildtrain.Batch { return colourBatch(first+i, 8, 32) }})
		require.NoError(t, err)
		return f
	}
	known, asked := load(0, 4), load(10, 2)
	require.Len(t, known.Values, 32*512)
	p, err := FitProbe(t.Context(), known, 3, 100)
	require.NoError(t, err)
	probs, err := p.Probs(asked)
	require.NoError(t, err)
	right := 0
	for i, row := range probs {
		if likeliest(row) == asked.Class[i] {
			right++
		}
	}
	require.GreaterOrEqual(t, right, 14, "of 16")
}
