package torch_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/torchtest"
)

func TestGradCheck(t *testing.T) {
	x := make([]float64, 24)
	for i := range x {
		x[i] = math.Sin(float64(3*i)) * 2
	}
	for name, f := range map[string]func(x *torch.Tensor) *torch.Tensor{
		"silu of a convolution": func(x *torch.Tensor) *torch.Tensor {
			w := torch.Of(x.Scope(), []float64{0.5, -1, 2, 0.25, 1, -0.5, 0.75, 1.5}, 2, 1, 2, 2)
			return x.View(1, 1, 4, 6).Conv2d(w, nil, torch.ConvOptions{Padding: [2]int64{1, 1}}).SiLU()
		},
		"softmax of attention": func(x *torch.Tensor) *torch.Tensor {
			q := x.View(1, 2, 3, 4)
			return torch.Attention(q, q.MulScalar(0.5), q.Square(), nil, 0)
		},
		"resampling": func(x *torch.Tensor) *torch.Tensor {
			return x.View(1, 1, 4, 6).Interpolate(7, 5, torch.InterpolateOptions{Mode: torch.Bilinear}).Square()
		},
		"reduction": func(x *torch.Tensor) *torch.Tensor { return x.View(4, 6).LogSumExp(1).Mul(x.View(4, 6).Std(1)) },
		"scatter": func(x *torch.Tensor) *torch.Tensor {
			i := torch.Of(x.Scope(), []int64{1, 1, 0, 2}, 4)
			return x.View(4, 6).IndexSelect(0, i).Square().ScatterAdd(0, i.Unsqueeze(1).Expand(4, 6), x.View(4, 6).Exp())
		},
	} {
		t.Run(name, func(t *testing.T) { torchtest.GradCheck(t, f, x, 1e-6) })
	}
}

// The check itself fails where a gradient is cut.
func TestGradCheckFinds(t *testing.T) {
	probe := &recorder{TB: t}
	torchtest.GradCheck(probe, func(x *torch.Tensor) *torch.Tensor { return x.Square().Add(x.Detach().Exp()) }, []float64{1, 2}, 1e-6)
	require.True(t, probe.failed)
}

type recorder struct {
	testing.TB
	failed bool
}

func (r *recorder) Errorf(string, ...any) { r.failed = true }
