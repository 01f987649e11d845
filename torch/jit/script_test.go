package jit_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/jit"
	"github.com/wildtrain/sdk/torch/nn"
	"github.com/wildtrain/sdk/torch/torchtest"
)

func TestMain(m *testing.M) { os.Exit(torchtest.Main(m)) }

// small is a network with what is hard to record: a shape with the number of
// pictures in it, a constant made of numbers, batch norm, a tensor that is not used.
func small(t *testing.T) (*nn.Store, jit.Script) {
	store := nn.NewStore(torch.CPU, nil)
	t.Cleanup(func() { store.Close() })
	b := store.Root().Sub("model")
	conv := nn.NewConv2d(b.At(0), nn.Conv2dConfig{In: 3, Out: 4, Kernel: 3, Stride: 2, Padding: 1})
	norm := nn.NewBatchNorm2d(b.At(1), 4, 1e-5, 0.1)
	b.At(2).Parameter("unused", 0, nil, 7)
	return store, jit.Script{Tensors: store.Entries(), Forward: func(x *torch.Tensor) (*torch.Tensor, error) {
		y := norm.Forward(conv.Forward(x)).SiLU()
		n, c, p := y.Size(0), y.Size(1), y.Size(2)*y.Size(3)
		ramp := make([]float32, p)
		for i := range ramp {
			ramp[i] = float32(i)
		}
		y = y.View(n*c/2, 2, p).Add(torch.Of(y.Scope(), ramp, 1, 1, p))
		return y.View(n, c, p).Sum(2), nil
	}}
}

// compare runs script and file on n pictures.
func compare(t *testing.T, s jit.Script, path string, n, height, width int64) {
	m, err := jit.Load(path, torch.CPU)
	require.NoError(t, err)
	defer m.Close()
	require.NoError(t, torch.Run(t.Context(), torch.CPU, torch.Inference, func(sc *torch.Scope) error {
		x := sc.Zeros(torch.Float, n, 3, height, width)
		if err := x.Uniform(0, 1); err != nil {
			return err
		}
		want, err := s.Forward(x)
		require.NoError(t, err)
		got, err := m.Forward(sc, x)
		require.NoError(t, err)
		require.Equal(t, want.Shape(), got.Shape())
		require.InDeltaSlice(t, want.Float64s(nil), got.Float64s(nil), 1e-4)
		return sc.Err()
	}))
}

func TestSave(t *testing.T) {
	_, s := small(t)
	path := filepath.Join(t.TempDir(), "small.pt")
	w, err := s.Save(t.Context(), path, 8, 12)
	require.NoError(t, err)
	require.Equal(t, jit.Written{Input: []int64{-1, 3, 8, 12}, Output: []int64{-1, 4}, Torch: torch.Version()}, w)
	for _, n := range []int64{1, 2, 5} {
		compare(t, s, path, n, 8, 12)
	}
}

// What depends on the number of pictures otherwise than by a factor is written
// for one picture, and says so.
func TestSaveOfOnePicture(t *testing.T) {
	_, s := small(t)
	inner := s.Forward
	s.Forward = func(x *torch.Tensor) (*torch.Tensor, error) {
		y, err := inner(x)
		if err != nil {
			return nil, err
		}
		return y.Add(y.Scope().Ones(torch.Float, y.Size(0), 1)), nil
	}
	path := filepath.Join(t.TempDir(), "one.pt")
	w, err := s.Save(t.Context(), path, 8, 12)
	require.NoError(t, err)
	require.False(t, w.AnyBatch())
	compare(t, s, path, 1, 8, 12)
}

// A file that does not compute what the model does is an error.
func TestSaveChecks(t *testing.T) {
	_, s := small(t)
	calls, inner := 0.0, s.Forward
	s.Forward = func(x *torch.Tensor) (*torch.Tensor, error) {
		y, err := inner(x)
		calls++
		return y.AddScalar(calls), err
	}
	_, err := s.Save(t.Context(), filepath.Join(t.TempDir(), "x.pt"), 8, 12)
	require.ErrorContains(t, err, "differ")
}

// A failed recording leaves the thread as it was.
func TestSaveFails(t *testing.T) {
	_, s := small(t)
	good := s.Forward
	s.Forward = func(x *torch.Tensor) (*torch.Tensor, error) { return x.MatMul(x.Scope().Ones(torch.Float, 5, 5)), nil }
	path := filepath.Join(t.TempDir(), "x.pt")
	_, err := s.Save(t.Context(), path, 8, 12)
	require.ErrorContains(t, err, "jit: save "+path)
	require.NoFileExists(t, path)
	s.Forward = good
	_, err = s.Save(t.Context(), path, 8, 12)
	require.NoError(t, err)
	_, err = s.Save(t.Context(), filepath.Join(t.TempDir(), "none", "x.pt"), 8, 12)
	require.Error(t, err)
	_, err = jit.Load(filepath.Join(t.TempDir(), "none"), torch.CPU)
	require.Error(t, err)
}
