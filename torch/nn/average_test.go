package nn_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/nn"
)

func averaged(t *testing.T) (*nn.Store, *nn.Conv2d, *nn.BatchNorm2d, *nn.Average) {
	store := newStore(t)
	conv := nn.NewConv2d(store.Root().Sub("conv"), nn.Conv2dConfig{In: 2, Out: 3, Kernel: 3, WeightInit: nn.Fill(1)})
	bn := nn.NewBatchNorm2d(store.Root().Sub("bn"), 3, 1e-3, 0.03)
	require.NoError(t, store.ChannelsLast())
	a := nn.NewAverage(store)
	t.Cleanup(func() { require.NoError(t, a.Close()) })
	return store, conv, bn, a
}

func TestAverage(t *testing.T) {
	store, conv, bn, a := averaged(t)
	require.Equal(t, store.State().Names(), a.State().Names())
	require.NoError(t, conv.Weight.Fill(3))
	require.NoError(t, bn.Mean.Fill(8))
	require.NoError(t, bn.Batches.Fill(5))
	require.NoError(t, a.Update(0.75))
	st := a.State()
	require.Equal(t, 1.5, first(st["conv.weight"]))
	require.Equal(t, 2.0, first(st["bn.running_mean"]), "floating buffers are averaged")
	require.Equal(t, []int64{5}, st["bn.num_batches_tracked"].Int64s(nil), "counters are copied")
	require.True(t, st["conv.weight"].ChannelsLast())
	require.False(t, st["conv.weight"].RequiresGrad())
	require.Equal(t, 3.0, first(conv.Weight))
}

func first(t *torch.Tensor) float64 { return t.Float64s(nil)[0] }

// With puts averages in the place of the values and the values back, after
// errors and panics too; handles, layouts and gradients stay.
func TestAverageWith(t *testing.T) {
	_, conv, _, a := averaged(t)
	require.NoError(t, conv.Weight.Fill(3))
	run(t, torch.Training, func(s *torch.Scope) { // gives the weight a gradient
		require.NoError(t, conv.Forward(s.Ones(torch.Float, 1, 2, 3, 3)).Sum().Backward())
	})
	inside := func() error {
		require.Equal(t, 1.0, first(conv.Weight))
		require.Equal(t, 3.0, first(a.State()["conv.weight"]))
		require.True(t, conv.Weight.ChannelsLast())
		require.Error(t, a.Update(0.5))
		require.Error(t, a.With(func() error { return nil }))
		run(t, torch.Inference, func(s *torch.Scope) { // every input is 1, so is every weight
			y := conv.Forward(s.Ones(torch.Float, 1, 2, 3, 3)).Select(1, 0)
			require.InDelta(t, 18+first(conv.Bias), y.Item(), 1e-5)
		})
		return nil
	}
	restored := func() {
		t.Helper()
		require.Equal(t, 3.0, first(conv.Weight))
		require.Equal(t, 1.0, first(a.State()["conv.weight"]))
		require.True(t, conv.Weight.RequiresGrad())
		run(t, torch.Inference, func(s *torch.Scope) { require.Equal(t, 1.0, s.Borrow(s.Grad(conv.Weight)).Max().Item()) })
	}
	require.NoError(t, a.With(inside))
	restored()
	own := errors.New("own")
	require.ErrorIs(t, a.With(func() error { return own }), own)
	restored()
	require.Panics(t, func() { _ = a.With(func() error { panic("inside") }) })
	restored()
	run(t, torch.Training, func(s *torch.Scope) {
		require.NoError(t, conv.Forward(s.Ones(torch.Float, 1, 2, 3, 3)).Sum().Backward())
		require.Equal(t, 2.0, s.Borrow(s.Grad(conv.Weight)).Max().Item(), "gradients go on adding up in the same place")
	})
}
