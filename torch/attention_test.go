package torch_test

import (
	"context"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/torchtest"
)

// deformableGolden is what PyTorch's grid_sample makes of the operands; the
// gradients are those of the sum of the output weighted by cos(0), cos(1), ….
type deformableGolden struct {
	Shapes                    [][2]int64
	Value, Locations, Weights torchtest.Golden
	Out                       torchtest.Golden
	GradValue                 torchtest.Golden `json:"grad_value"`
	GradLocations             torchtest.Golden `json:"grad_locations"`
	GradWeights               torchtest.Golden `json:"grad_weights"`
}

func TestDeformableAttentionEqualsGridSample(t *testing.T) {
	var g deformableGolden
	torchtest.Load(t, "deformable.json", &g)
	for name, attend := range map[string]func(*torch.Tensor, [][2]int64, *torch.Tensor, *torch.Tensor) *torch.Tensor{
		"kernel": torch.DeformableAttention, "composed": torch.DeformableByGrid,
	} {
		for _, d := range []torch.DType{torch.Float, torch.Double} {
			t.Run(name+" "+d.String(), func(t *testing.T) {
				torchtest.Run(t, torch.Training, func(s *torch.Scope) {
					in := []*torch.Tensor{g.Value.Tensor(s, d), g.Locations.Tensor(s, d), g.Weights.Tensor(s, d)}
					for _, x := range in {
						require.NoError(t, x.SetRequiresGrad(true))
					}
					out := attend(in[0], g.Shapes, in[1], in[2])
					torchtest.Near(t, "output", out, g.Out, 1e-5)
					require.NoError(t, out.Mul(cosines(s, out.Shape()...)).Sum().Backward())
					for i, want := range []torchtest.Golden{g.GradValue, g.GradLocations, g.GradWeights} {
						torchtest.Near(t, []string{"value", "locations", "weights"}[i], s.Grad(in[i]), want, 1e-5)
					}
				})
			})
		}
	}
}

func TestDeformableAttentionGradCheck(t *testing.T) {
	// one picture, two levels of 3×4 and 2×2, two heads of two numbers, three
	// queries, two points each; places in and around the levels, not on a pixel's
	// middle, where bilinear sampling has a corner
	const values, places, weights = 16 * 2 * 2, 3 * 2 * 2 * 2 * 2, 3 * 2 * 2 * 2
	x := make([]float64, values+places+weights)
	for i := range x {
		x[i] = math.Sin(float64(5*i)) * 1.3
		if i >= values && i < values+places {
			x[i] = 0.5 + 0.63*math.Sin(float64(7*i)+0.4)
		}
	}
	torchtest.GradCheck(t, func(x *torch.Tensor) *torch.Tensor {
		return torch.DeformableAttention(x.Narrow(0, 0, values).View(1, 16, 2, 2), [][2]int64{{3, 4}, {2, 2}},
			x.Narrow(0, values, places).View(1, 3, 2, 2, 2, 2), x.Narrow(0, values+places, weights).View(1, 3, 2, 2, 2))
	}, x, 1e-6)
}

func TestDeformableAttentionRefusesWrongShapes(t *testing.T) {
	try := func(positions, heads, levels int64, shapes [][2]int64) error {
		return torch.Run(context.Background(), torch.CPU, torch.Inference, func(s *torch.Scope) error {
			torch.DeformableAttention(s.Zeros(torch.Float, 1, positions, 2, 4), shapes,
				s.Full(math.NaN(), torch.Float, 1, 3, heads, levels, 2, 2), s.Zeros(torch.Float, 1, 3, heads, levels, 2))
			return s.Err()
		})
	}
	require.NoError(t, try(16, 2, 2, [][2]int64{{3, 4}, {2, 2}}), "a place that is no number hits nothing")
	require.ErrorContains(t, try(17, 2, 2, [][2]int64{{3, 4}, {2, 2}}), "positions")
	require.ErrorContains(t, try(16, 3, 2, [][2]int64{{3, 4}, {2, 2}}), "locations must be")
	require.ErrorContains(t, try(16, 2, 3, [][2]int64{{3, 4}, {2, 2}}), "locations must be")
	require.ErrorContains(t, try(0, 2, 1, [][2]int64{{0, 4}}), "level 0")
}
