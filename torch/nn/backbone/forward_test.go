package backbone_test

import (
	"context"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/internal/rule"
	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/nn/backbone"
)

// forward runs a network on images that follow the rule.
func forward(t *testing.T, net *backbone.Net, n, h, w int64) map[string][]float32 {
	t.Helper()
	out := map[string][]float32{}
	err := torch.Run(context.Background(), torch.CPU, torch.Inference, func(s *torch.Scope) error {
		x := torch.Of(s, rule.Values("images", int(n*3*h*w), 0, 2), n, 3, h, w)
		f := net.Features(x)
		out["features"] = f.Float32s(nil)
		out["logits"] = net.Logits(f).Float32s(nil)
		return s.Err()
	})
	require.NoError(t, err)
	return out
}

// worst is the largest |a−b|/max|b|, infinite where something is not finite.
func worst(a, b []float32) float64 {
	if len(a) != len(b) {
		return math.Inf(1)
	}
	var diff, scale float64
	for i := range b {
		d := math.Abs(float64(a[i]) - float64(b[i]))
		if math.IsNaN(d) {
			return math.Inf(1)
		}
		diff, scale = max(diff, d), max(scale, math.Abs(float64(b[i])))
	}
	return diff / scale
}
