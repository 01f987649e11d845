package interop_test

import (
	"os"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/sugarme/gotch"
	gnn "github.com/sugarme/gotch/nn"
	"github.com/sugarme/gotch/ts"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/interop"
	"github.com/wildtrain/sdk/torch/nn"
	"github.com/wildtrain/sdk/torch/torchtest"
	"github.com/wildtrain/sdk/wildtrain"
)

func TestMain(m *testing.M) { os.Exit(torchtest.Main(m)) }

func TestFromGotchSharesData(t *testing.T) {
	torchtest.Run(t, torch.Inference, func(s *torch.Scope) {
		x, err := ts.OfSlice([]float32{1, 2, 3})
		require.NoError(t, err)
		y, err := interop.FromGotch(s, x)
		require.NoError(t, err)
		require.NoError(t, y.Fill(7))
		require.Equal(t, []float64{7, 7, 7}, x.Float64Values())
		x.MustDrop() // ours outlives gotch's handle
		require.Equal(t, []float32{7, 7, 7}, y.Float32s(nil))
		_, err = interop.FromGotch(s, nil)
		require.Error(t, err)
	})
}

// gotch's finalizers may run at any time: handles must stay valid.
func TestFromGotchOutlivesFinalizer(t *testing.T) {
	torchtest.Run(t, torch.Inference, func(s *torch.Scope) {
		y, err := interop.FromGotch(s, ts.MustOfSlice([]float32{1, 2, 3}))
		require.NoError(t, err)
		runtime.GC()
		runtime.GC()
		require.Equal(t, []float32{1, 2, 3}, y.Float32s(nil))
	})
}

func TestToGotchSharesDataAndGradient(t *testing.T) {
	var x *ts.Tensor
	torchtest.Run(t, torch.Training, func(s *torch.Scope) {
		y := torch.Of(s, []float32{1, 2}, 2)
		require.NoError(t, y.SetRequiresGrad(true))
		var err error
		x, err = interop.ToGotch(y)
		require.NoError(t, err)
		sum := x.MustSum(gotch.Float, false)
		sum.MustBackward()
		sum.MustDrop()
		require.Equal(t, []float32{1, 1}, s.Grad(y).Float32s(nil))
	})
	require.Equal(t, []int64{2}, x.MustSize()) // gotch's handle outlives the scope
	x.MustDrop()
	_, err := interop.ToGotch(nil)
	require.Error(t, err)
}

func TestVarStoreBothWays(t *testing.T) {
	torchtest.Handles(t)
	vs := gnn.NewVarStore(gotch.CPU)
	defer vs.Destroy()
	gnn.NewLinear(vs.Root().Sub("fc"), 3, 2, gnn.DefaultLinearConfig())
	vars, err := interop.Variables(vs)
	require.NoError(t, err)
	defer vars.Close()
	require.Equal(t, []string{"fc.bias", "fc.weight"}, vars.Names())

	store := nn.NewStore(torch.CPU, vars)
	defer store.Close()
	fc := nn.NewLinear(store.Root().Sub("fc"), 3, 2, true)
	require.NoError(t, store.Finish().Err())
	require.Equal(t, vars.State["fc.weight"].Float32s(nil), fc.Weight.Float32s(nil))

	require.NoError(t, fc.Weight.Fill(0.5))
	require.NoError(t, vars.Fill(store.State()))
	require.Equal(t, fc.Weight.Float32s(nil), vars.State["fc.weight"].Float32s(nil))

	other := nn.NewStore(torch.CPU, nil)
	defer other.Close()
	other.Root().Sub("fc").Parameter("weight", wildtrain.Weights, nil, 3, 3)
	err = vars.Fill(other.State())
	require.ErrorContains(t, err, "fc.bias is missing")
	require.ErrorContains(t, err, "fc.weight is float32 [3 3], not float32 [2 3]")
}
