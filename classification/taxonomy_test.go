package classification

import (
	"testing"

	"github.com/stretchr/testify/require"
)

var savanna = []string{"impala", "plains zebra", "mountain zebra", "background"}

var above = map[string]string{
	"plains zebra": "Equus", "mountain zebra": "Equus", "Equus": "ungulate",
	"impala": "Aepyceros", "Aepyceros": "ungulate",
}

func TestRollUp(t *testing.T) {
	x, err := NewTaxonomy(savanna, above)
	require.NoError(t, err)
	require.Equal(t, []string{"Aepyceros", "Equus", "ungulate"}, x.Groups())
	got := x.RollUp([]float32{0.2, 0.25, 0.3, 0.25}, false)
	require.Equal(t, []string{"Aepyceros", "Equus", "ungulate"}, []string{got[0].Name, got[1].Name, got[2].Name})
	require.InDeltaSlice(t, []float64{0.2, 0.55, 0.75}, []float64{got[0].Prob, got[1].Prob, got[2].Prob}, 1e-6)
	require.Equal(t, []int{1, 1, 2}, []int{got[0].Level, got[1].Level, got[2].Level})

	several := x.RollUp([]float32{0, 0.5, 0.5, 0}, true)
	require.InDelta(t, 0.75, several[1].Prob, 1e-6)
}

// The answer is as specific as it can be sure of.
func TestAnswer(t *testing.T) {
	x, err := NewTaxonomy(savanna, above)
	require.NoError(t, err)
	for _, c := range []struct {
		probs     []float32
		threshold float64
		want      string
	}{
		{[]float32{0.1, 0.8, 0.05, 0.05}, 0.7, "plains zebra"},
		{[]float32{0.1, 0.45, 0.4, 0.05}, 0.7, "Equus"},
		{[]float32{0.4, 0.3, 0.2, 0.1}, 0.7, "ungulate"},
		{[]float32{0.1, 0.05, 0.05, 0.8}, 0.7, "background"},
		{[]float32{0.2, 0.1, 0.1, 0.6}, 0.99, "ungulate"}, // sure of nothing
	} {
		require.Equal(t, c.want, x.Answer(c.probs, c.threshold, false).Name)
	}
	plain, err := NewTaxonomy(savanna, nil)
	require.NoError(t, err)
	require.Equal(t, "impala", plain.Answer([]float32{0.4, 0.3, 0.2, 0.1}, 0.9, false).Name)
}

func TestTopK(t *testing.T) {
	got := TopK(savanna, []float32{0.1, 0.2, 0.6, 0.1}, 2)
	require.Len(t, got, 2)
	require.Equal(t, "mountain zebra", got[0].Name)
	require.Equal(t, "plains zebra", got[1].Name)
	require.Len(t, TopK(savanna, []float32{1, 0, 0, 0}, 9), 4)
}

func TestTaxonomyThatMakesNoSense(t *testing.T) {
	_, err := NewTaxonomy([]string{"a", "b"}, map[string]string{"a": "b"})
	require.ErrorContains(t, err, `"b" is a class and a parent`)
}
