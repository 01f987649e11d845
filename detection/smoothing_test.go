package detection

import (
	"context"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/torch"
)

// Σ w·BCE(x, t) with smoothed targets, term by term, is what the sums over
// positives and background give.
func TestSmoothedAndWeightedClassLoss(t *testing.T) {
	x := []float32{0.3, -1, 2, 0.1, 0.7, -0.2, 1.5, -2, 0} // three anchors, three classes
	score, class := []float32{0.8, 0.5}, []int64{2, 0}     // of the first and the third
	rows := []int64{0, 2}
	for name, g := range map[string]LossGains{
		"plain": {Positive: 1}, "smoothed": {Positive: 1, Smoothing: 0.1}, "weighted": {Positive: 1, Classes: []float32{0.5, 1, 2}},
		"positives count more": {Positive: 3}, "all": {Positive: 0.5, Smoothing: 0.3, Classes: []float32{0.5, 1, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			target := make([]float64, 9)
			for i, r := range rows {
				for k := range 3 {
					target[3*r+int64(k)] += float64(score[i]) * g.Smoothing / 3
				}
				target[3*r+class[i]] += float64(score[i]) * (1 - g.Smoothing)
			}
			want := 0.0
			for i, v := range x {
				w := 1.0
				if g.Classes != nil {
					w = float64(g.Classes[i%3])
				}
				p := 1 / (1 + math.Exp(-float64(v)))
				want -= w * (g.Positive*target[i]*math.Log(p) + (1-target[i])*math.Log(1-p))
			}
			err := torch.Run(context.Background(), torch.CPU, torch.Inference, func(s *torch.Scope) error {
				logits := torch.Of(s, x, 3, 3)
				h := &Head{Classes: 3}
				level := logits.Transpose(0, 1).Reshape(1, 3, 3, 1)
				loss := h.background([]*torch.Tensor{level}, g.Classes).Minus(g.hit(logits, torch.Of(s, rows, 2), class, torch.Of(s, score, 2)))
				require.InDelta(t, want, loss.Item(), 1e-5)
				return s.Err()
			})
			require.NoError(t, err)
		})
	}
}

func TestInverseFrequency(t *testing.T) {
	require.Nil(t, InverseFrequency([]int{5, 1}, 0))
	w := InverseFrequency([]int{100, 25, 0}, 0.5)
	require.InDelta(t, 2, w[1]/w[0], 1e-6)
	require.InDelta(t, 1, (w[0]+w[1])/2, 1e-6, "the mean of those that there are")
	require.Equal(t, float32(1), w[2])
	require.ErrorContains(t, LossGains{Positive: 1, Smoothing: 1, Classes: w}.validate(2), "3 weights for 2 classes")
}
