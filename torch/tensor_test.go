package torch_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/torchtest"
	"github.com/wildtrain/sdk/wildtrain"
)

func TestCreateAndRead(t *testing.T) {
	torchtest.Run(t, torch.Inference, func(s *torch.Scope) {
		require.Equal(t, []float32{1, 2, 3, 4, 5, 6}, torch.Of(s, []float32{1, 2, 3, 4, 5, 6}, 2, 3).Float32s(nil))
		require.Equal(t, []int64{-1, 1 << 40}, torch.Of(s, []int64{-1, 1 << 40}, 2).Int64s(nil))
		require.Equal(t, []int64{-7, 7}, torch.Of(s, []int32{-7, 7}, 2).Int64s(nil))
		require.Equal(t, []uint8{0, 255}, torch.Of(s, []uint8{0, 255}, 2).Bytes(nil))
		require.Equal(t, []uint8{1, 0}, torch.Of(s, []bool{true, false}, 2).Bytes(nil))
		require.Equal(t, []float64{0.1}, torch.Of(s, []float64{0.1}).Float64s(nil))
		require.Equal(t, []float64{0, 0.5, 1, 1.5}, s.Arange(0, 2, 0.5, torch.Double).Float64s(nil))
		require.Equal(t, []float32{2.5, 2.5}, s.Full(2.5, torch.Float, 2).Float32s(nil))
		require.Empty(t, s.Zeros(torch.Float, 0, 3).Float32s(nil))
		require.Equal(t, []int64{0, 3}, s.Zeros(torch.Float, 0, 3).Shape())
		require.Empty(t, s.Zeros(torch.Float).Shape())
		dst := make([]float32, 0, 16)
		require.Same(t, &dst[:1][0], &s.Ones(torch.Float, 4).Float32s(dst)[0], "a buffer is used again")
		x := s.Zeros(torch.Half, 2, 3)
		require.Equal(t, "tensor([2 3], float16, cpu)", x.String())
		require.Equal(t, int64(3), x.Size(-1))
		require.Zero(t, x.Size(2))
		require.Equal(t, 2, x.Dim())
	})
}

// Bytes in a file are row-major whatever the layout in memory.
func TestLayoutDoesNotShowInBytes(t *testing.T) {
	torchtest.Run(t, torch.Inference, func(s *torch.Scope) {
		x := s.Arange(0, 24, 1, torch.Float).View(1, 2, 3, 4)
		y := x.ToChannelsLast()
		require.True(t, y.ChannelsLast())
		require.False(t, x.ChannelsLast())
		require.False(t, y.Contiguous().ChannelsLast())
		a, b := make([]byte, 96), make([]byte, 96)
		require.NoError(t, x.Read(a))
		require.NoError(t, y.Read(b))
		require.Equal(t, a, b)
		z := s.ZerosLike(y)
		require.True(t, z.ChannelsLast())
		require.NoError(t, z.Write(a))
		require.True(t, z.ChannelsLast())
		require.Equal(t, x.Float32s(nil), z.Float32s(nil))
		require.True(t, s.Copy(y).ChannelsLast())
		require.Equal(t, x.Float32s(nil), s.Copy(y).Float32s(nil))
	})
}

func TestImages(t *testing.T) {
	torchtest.Run(t, torch.Inference, func(s *torch.Scope) {
		// one image of 1×2 pixels, RGB
		x := s.Images8([]uint8{10, 20, 30, 40, 50, 255}, 1, 1, 2, 3, 1.0/255, false)
		require.Equal(t, []int64{1, 3, 1, 2}, x.Shape())
		torchtest.Close(t, "pixels", x.MulScalar(255).Float64s(nil), []float64{10, 40, 20, 50, 30, 255}, 1e-6)
		y := s.Images8(make([]uint8, 2*4*4*3), 2, 4, 4, 3, 1, true)
		require.True(t, y.ChannelsLast())
		z := s.Images16([]uint16{0, 1, 40000, 65535}, 1, 2, 2, 1, 1, false)
		require.Equal(t, []float32{0, 1, 40000, 65535}, z.Float32s(nil))
	})
}

func TestInPlace(t *testing.T) {
	torchtest.Run(t, torch.Training, func(s *torch.Scope) {
		x := torch.Of(s, []float32{1, 2}, 2)
		require.NoError(t, x.SetRequiresGrad(true))
		before := torch.Handles()
		require.NoError(t, x.Scale(3))
		require.NoError(t, x.AddAssign(torch.Of(s, []float32{1, 1}, 2), 0.5))
		require.Equal(t, []float32{3.5, 6.5}, x.Float32s(nil))
		require.NoError(t, x.CopyFrom(torch.Of(s, []float64{8, 9}, 2)))
		require.Equal(t, []float32{8, 9}, x.Float32s(nil))
		require.Equal(t, before+2, torch.Handles(), "in-place operations leave no handle behind")
		require.True(t, x.RequiresGrad())
		require.NoError(t, x.SetData(torch.Of(s, []float32{1, 2, 3}, 3)))
		require.Equal(t, []int64{3}, x.Shape())
		require.True(t, x.RequiresGrad())
	})
}

func TestGradientsAddUp(t *testing.T) {
	torchtest.Run(t, torch.Training, func(s *torch.Scope) {
		x := torch.Of(s, []float32{1, 2}, 2)
		require.NoError(t, x.SetRequiresGrad(true))
		require.Nil(t, s.Grad(x))
		for range 2 {
			require.NoError(t, x.Square().Sum().Backward())
		}
		require.Equal(t, []float32{4, 8}, s.Grad(x).Float32s(nil))
		require.NoError(t, torch.ZeroGrads([]*torch.Tensor{x}))
		require.Nil(t, s.Grad(x))
		require.NoError(t, torch.ZeroGrads(nil))
	})
}

func TestState(t *testing.T) {
	torchtest.Run(t, torch.Inference, func(s *torch.Scope) {
		st := torch.State{"b": s.Ones(torch.Float, 2), "a": s.Zeros(torch.Int64)}
		require.Equal(t, []string{"a", "b"}, st.Names())
		info, ok := st.Info("a")
		require.True(t, ok)
		require.Equal(t, wildtrain.Int64, info.DType)
		require.Empty(t, info.Shape)
		_, ok = st.Info("c")
		require.False(t, ok)
		require.ErrorContains(t, st.Read("c", nil), `"c"`)
		require.ErrorContains(t, st.Write("c", nil), `"c"`)
		require.NoError(t, st.Write("b", []byte{0, 0, 128, 63, 0, 0, 0, 64}))
		require.Equal(t, []float32{1, 2}, st["b"].Float32s(nil))
	})
}

func TestDTypes(t *testing.T) {
	torchtest.Run(t, torch.Inference, func(s *torch.Scope) {
		for _, d := range []torch.DType{torch.Uint8, torch.Int8, torch.Int16, torch.Int32, torch.Int64, torch.Half, torch.Float, torch.Double, torch.Bool, torch.BFloat16} {
			x := s.Ones(d, 3)
			require.Equal(t, d, x.DType())
			require.Equal(t, d, torch.FromStored(d.Stored()))
			require.NoError(t, x.Read(make([]byte, 3*d.Size())), "%v", d)
			require.Equal(t, d == torch.Half || d == torch.Float || d == torch.Double || d == torch.BFloat16, d.Floating())
		}
	})
}

func TestParseDevice(t *testing.T) {
	for text, want := range map[string]torch.Device{"cpu": torch.CPU, " CPU ": torch.CPU} {
		d, err := torch.ParseDevice(text)
		require.NoError(t, err)
		require.Equal(t, want, d)
	}
	auto, err := torch.ParseDevice("auto")
	require.NoError(t, err)
	require.Equal(t, torch.CUDADevices() > 0, auto.IsCUDA())
	for _, text := range []string{"tpu", "cuda:x", "cuda:-1", "cuda:99"} {
		_, err := torch.ParseDevice(text)
		require.Error(t, err, text)
	}
	require.Equal(t, "cuda:1", torch.CUDA(1).String())
	require.Equal(t, "cpu", torch.CPU.String())
}

func TestRuntime(t *testing.T) {
	require.Regexp(t, `^2\.\d+\.\d+`, torch.Version())
	n := torch.Threads()
	torch.SetThreads(1)
	require.Equal(t, 1, torch.Threads())
	torch.SetThreads(n)
	require.NoError(t, torch.Deterministic(true))
	require.NoError(t, torch.Deterministic(false))
}
