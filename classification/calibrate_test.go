package classification

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/internal/rule"
	"github.com/wildtrain/sdk/wildtrain"
)

// The temperature is the one that scipy's bounded search finds on PyTorch's loss.
func TestTemperatureEqualsPeer(t *testing.T) {
	type found struct{ Temperature, Before, After float64 }
	var g struct {
		N, Classes       int
		Labels, Multi    []int
		Softmax, Sigmoid found
	}
	b, err := os.ReadFile("testdata/calibration.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &g))
	logits := make([]float64, 0, g.N*g.Classes)
	for _, v := range rule.Values("calibration.logits", g.N*g.Classes, 0, 6) {
		logits = append(logits, float64(v))
	}
	single, multi := make([]float64, len(logits)), make([]float64, len(logits))
	for i, y := range g.Labels {
		single[i*g.Classes+y] = 1
	}
	for i, v := range g.Multi {
		multi[i] = float64(v)
	}
	for _, c := range []struct {
		likelihood func(x, t []float64, beta float64) (loss, slope, curve float64)
		shares     []float64
		want       found
	}{{softmaxLikelihood, single, g.Softmax}, {sigmoidLikelihood, multi, g.Sigmoid}} {
		at := func(beta float64) (loss, slope, curve float64) {
			for i := 0; i < len(logits); i += g.Classes {
				l, s, k := c.likelihood(logits[i:i+g.Classes], c.shares[i:i+g.Classes], beta)
				loss, slope, curve = loss+l/float64(g.N), slope+s/float64(g.N), curve+k/float64(g.N)
			}
			return loss, slope, curve
		}
		beta := lowest(at)
		before, _, _ := at(1)
		after, _, _ := at(beta)
		require.InEpsilon(t, c.want.Temperature, 1/beta, 1e-6)
		require.InEpsilon(t, c.want.Before, before, 1e-9)
		require.InEpsilon(t, c.want.After, after, 1e-9)
	}
}

func TestCalibrate(t *testing.T) {
	m := small(t, "resnet18", nil)
	train(t, m, 12)
	b := colourBatch(50, 12, 32)
	before, err := m.Predict(t.Context(), b)
	require.NoError(t, err)
	c, err := m.Calibrate(t.Context(), batches{3, func(n int) *wildtrain.Batch {
		b := colourBatch(60+n, 12, 32)
		b.Samples[0].Targets[0].Class = (b.Samples[0].Targets[0].Class + 1) % 3 // some are wrong: certainty does not pay
		return b
	}})
	require.NoError(t, err)
	require.Equal(t, 36, c.Pictures)
	require.Less(t, c.After, c.Before)
	require.Equal(t, c.Temperature, m.Config().Temperature)
	require.Contains(t, string(m.Describe().Options), `"temperature":`)
	after, err := m.Predict(t.Context(), colourBatch(50, 12, 32))
	require.NoError(t, err)
	for i := range before {
		require.Equal(t, likeliest(before[i].Probs), likeliest(after[i].Probs))
		require.NotEqual(t, before[i].Probs, after[i].Probs)
	}
	_, err = m.Calibrate(t.Context(), batches{})
	require.ErrorIs(t, err, wildtrain.ErrEmpty)
}

// Where every picture is right no temperature is best: it stays finite.
func TestCalibrateWithoutMistakes(t *testing.T) {
	beta := lowest(func(beta float64) (loss, slope, curve float64) {
		return softmaxLikelihood([]float64{3, 0}, []float64{1, 0}, beta)
	})
	require.Greater(t, beta, 5.0)
	require.LessOrEqual(t, beta, 1e3)
}
