package torch_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/torchtest"
)

type list = []*torch.Tensor

// Lists that do not fit are errors, and so are tensors that are gone; nothing changes then.
func TestListsMustFit(t *testing.T) {
	torchtest.Handles(t)
	root := torch.NewRoot(torch.CPU)
	defer root.Close()
	a, b, other, gone := root.Ones(torch.Float, 2), root.Zeros(torch.Float, 2), root.Zeros(torch.Float, 3), root.Ones(torch.Float, 2)
	gone.Free()
	for name, err := range map[string]error{
		"sgd":     torch.StepSGD(list{a}, list{}, torch.SGDOptions{}),
		"adam":    torch.StepAdam(list{a}, list{a}, list{a}, nil, torch.AdamOptions{}),
		"rmsprop": torch.StepRMSprop(list{a}, list{a}, list{gone}, torch.RMSpropOptions{}),
		"ema":     torch.EMA(list{a, a}, list{b}, 0.5),
		"swap":    torch.Swap(list{a, a}, list{b, other}),
	} {
		require.ErrorContains(t, err, name)
	}
	require.Equal(t, []float32{1, 1}, a.Float32s(nil))
	require.Equal(t, []float32{0, 0}, b.Float32s(nil))
	_, _, err := torch.GradNorm(list{gone})
	require.Error(t, err)
	_, err = torch.HasGrads(list{gone})
	require.Error(t, err)
	require.Error(t, torch.EMA(list{a}, list{other}, 0.5))
	require.Panics(t, func() { root.Copy(gone) })
}

func TestEmptyLists(t *testing.T) {
	norm, finite, err := torch.GradNorm(nil)
	require.NoError(t, err)
	require.True(t, finite)
	require.Zero(t, norm)
	has, err := torch.HasGrads(nil)
	require.NoError(t, err)
	require.Empty(t, has)
	for _, err := range []error{
		torch.ScaleGrads(nil, 2), torch.ClipGradValue(nil, 1), torch.StepSGD(nil, nil, torch.SGDOptions{}), torch.StepAdam(nil, nil, nil, nil, torch.AdamOptions{}),
		torch.StepRMSprop(nil, nil, nil, torch.RMSpropOptions{}), torch.EMA(nil, nil, 0.5), torch.Swap(nil, nil),
	} {
		require.NoError(t, err)
	}
}

// Gradients: which are there, their norm, and the limits on it.
func TestGradientNorm(t *testing.T) {
	torchtest.Run(t, torch.Training, func(s *torch.Scope) {
		a, b, c := torch.Of(s, []float32{3, 0}, 2), torch.Of(s, []float32{4}), torch.Of(s, []float32{1})
		all := list{a, b, c}
		for _, x := range all {
			require.NoError(t, x.SetRequiresGrad(true))
		}
		norm, finite, err := torch.GradNorm(all)
		require.NoError(t, err)
		require.True(t, finite)
		require.Zero(t, norm)
		require.NoError(t, a.Square().Sum().Add(b.Square().Sum()).MulScalar(0.5).Backward())
		has, err := torch.HasGrads(all)
		require.NoError(t, err)
		require.Equal(t, []bool{true, true, false}, has)
		norm, _, err = torch.GradNorm(all)
		require.NoError(t, err)
		require.Equal(t, 5.0, norm)
		require.NoError(t, torch.ClipGradNorm(all, norm, 10))
		require.Equal(t, []float32{3, 0}, s.Grad(a).Float32s(nil))
		require.NoError(t, torch.ClipGradNorm(all, norm, 0.5))
		torchtest.Close(t, "gradient", s.Grad(a).Float64s(nil), []float64{0.3, 0}, 1e-6)
		require.NoError(t, torch.ClipGradValue(all, 0.35))
		torchtest.Close(t, "gradient", s.Grad(b).Float64s(nil), []float64{0.35}, 1e-6)
		require.Nil(t, s.Grad(c))
	})
}

// Lists of many sizes pass through the pieces of the CPU's steps.
func TestStepsInPieces(t *testing.T) {
	torchtest.Run(t, torch.Training, func(s *torch.Scope) {
		var params, buffers list
		for i := range 40 {
			p := s.Ones(torch.Float, int64(1+i*1000))
			require.NoError(t, p.SetRequiresGrad(true))
			if i%5 != 4 { // those keep their value
				require.NoError(t, p.Sum().Backward())
			}
			params, buffers = append(params, p), append(buffers, s.ZerosLike(p))
		}
		big := s.Ones(torch.Float, 1<<19)
		require.NoError(t, big.SetRequiresGrad(true))
		require.NoError(t, big.Sum().Backward())
		params, buffers = append(params, big), append(buffers, s.ZerosLike(big))
		require.NoError(t, torch.StepSGD(params, buffers, torch.SGDOptions{LR: 0.25, Momentum: 0.5}))
		for i, p := range params {
			want := 0.75
			if i < 40 && i%5 == 4 {
				want = 1
			}
			require.Equal(t, want, p.Max().Item(), "parameter %d", i)
			require.Equal(t, want, p.Min().Item(), "parameter %d", i)
		}
	})
}

// Momentum may start or stop during a training.
func TestMomentumZeroLeavesBuffers(t *testing.T) {
	torchtest.Run(t, torch.Training, func(s *torch.Scope) {
		p := s.Ones(torch.Float, 2)
		require.NoError(t, p.SetRequiresGrad(true))
		require.NoError(t, p.Sum().Backward())
		buffer := s.ZerosLike(p)
		require.NoError(t, torch.StepSGD(list{p}, list{buffer}, torch.SGDOptions{LR: 1}))
		require.Equal(t, []float32{0, 0}, buffer.Float32s(nil))
		require.Equal(t, []float32{0, 0}, p.Float32s(nil))
	})
}
