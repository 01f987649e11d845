package dense

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/torch"
)

func TestCanonicalNames(t *testing.T) {
	got, ok := Canonical("retinanet_r50_fpn_1x_coco")
	require.True(t, ok)
	require.Equal(t, "retinanet_r50_fpn", got)
	for _, name := range Architectures() {
		c, err := Default(name, []string{"a"})
		require.NoError(t, err, name)
		require.NoError(t, c.Validate(), name)
	}
	_, err := Default("ssd300", []string{"a"})
	require.ErrorContains(t, err, "want one of retinanet_resnet18_fpn")
}

// The sum over all logits with exchanged places equals the formula element by element.
func TestFocalLossIsItsFormula(t *testing.T) {
	x := []float32{-3, 0.5, 2, -1, 0.1, 4, -6, 1.5}
	right := map[int]bool{1: true, 6: true} // rows 0 and 3, classes 1 and 0
	want := 0.0
	for i, v := range x {
		if i/2 == 1 { // ignored
			continue
		}
		p, alpha := 1/(1+math.Exp(-float64(v))), 0.75
		if right[i] {
			p, alpha = 1-p, 0.25
		}
		want -= alpha * p * p * math.Log(1-p)
	}
	err := torch.Run(t.Context(), torch.CPU, torch.Inference, func(s *torch.Scope) error {
		got := focal(torch.Of(s, x, 4, 2), []int64{0, 3}, []int64{1, 0}, []int64{1})
		require.InEpsilon(t, want, got.Item(), 1e-5)
		return s.Err()
	})
	require.NoError(t, err)
}

// A point belongs to the smallest object around it, if its middle is near and its
// sides within the level's reach.
func TestPoints(t *testing.T) {
	boxes := []float32{0, 0, 40, 40, 10, 10, 30, 30}
	inf := float32(math.Inf(1))
	require.Equal(t, 1, smallest(boxes, 20, 20, 12, 0, 64), "the smaller of two")
	require.Equal(t, 0, smallest(boxes, 20, 20, 12, 16, inf), "the smaller one is too small for the level")
	require.Equal(t, -1, smallest(boxes, 38, 38, 12, 0, 64), "too far from the middle")
	require.Equal(t, 0, smallest(boxes, 8, 20, 13, 0, 64), "outside of the smaller one")
	require.Equal(t, -1, smallest(boxes, 40, 20, 100, 0, 64), "on the edge")
}
