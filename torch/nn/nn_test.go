package nn_test

import (
	"math"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/nn"
	"github.com/wildtrain/sdk/torch/torchtest"
	"github.com/wildtrain/sdk/wildtrain"
)

func TestMain(m *testing.M) { os.Exit(torchtest.Main(m)) }

func newStore(t testing.TB) *nn.Store {
	torchtest.Handles(t)
	s := nn.NewStore(torch.CPU, nil)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func run(t testing.TB, mode torch.Mode, fn func(s *torch.Scope)) {
	t.Helper()
	require.NoError(t, torch.Run(t.Context(), torch.CPU, mode, func(s *torch.Scope) error {
		fn(s)
		return s.Err()
	}))
}

// The default initialisation has the bits of PyTorch's for the same seed.
func TestInitialisationEqualsPyTorch(t *testing.T) {
	var g struct{ Layers map[string][]float32 }
	torchtest.Load(t, "../../testdata/random.json", &g)
	store := newStore(t)
	require.NoError(t, torch.ManualSeed(7))
	b := store.Root()
	nn.NewConv2d(b.Sub("conv"), nn.Conv2dConfig{In: 4, Out: 6, Kernel: 3, Groups: 2})
	nn.NewConvTranspose2d(b.Sub("deconv"), nn.Conv2dConfig{In: 4, Out: 2, Kernel: 2, Stride: 2})
	nn.NewLinear(b.Sub("fc"), 5, 3, true)
	nn.NewBatchNorm2d(b.Sub("bn"), 3, 1e-5, 0.1)
	nn.NewLayerNorm(b.Sub("ln"), 4, 1e-5)
	nn.NewEmbedding(b.Sub("emb"), 3, 4)
	nn.NewMultiheadAttention(b.Sub("attn"), 8, 2, 0)
	nn.NewLinear(b.Sub("last"), 2, 2, true)
	require.Len(t, store.Entries(), len(g.Layers))
	for name, want := range g.Layers {
		e, ok := store.Lookup(name)
		require.True(t, ok, name)
		require.Equal(t, want, e.Tensor.Float32s(nil), name)
	}
}

type layerGoldens struct {
	BN struct {
		X, Y      []torchtest.Golden
		Mean, Var torchtest.Golden
		Batches   int64
	}
	Attn struct {
		State         map[string]torchtest.Golden
		Q, K, V, Mask torchtest.Golden
		Own, Cross    torchtest.Golden
		QGrad         torchtest.Golden `json:"q_grad"`
		InGrad        torchtest.Golden `json:"in_grad"`
	}
	More map[string]struct {
		State map[string]torchtest.Golden
		X, Y  torchtest.Golden
	}
}

func TestLayersEqualPyTorch(t *testing.T) {
	var g layerGoldens
	torchtest.Load(t, "layers.json", &g)
	layers := map[string]func(b *nn.Builder) nn.Module{
		"deconv": func(b *nn.Builder) nn.Module {
			return nn.NewConvTranspose2d(b, nn.Conv2dConfig{In: 4, Out: 6, Kernel: 2, Stride: 2, Groups: 2})
		},
		"conv": func(b *nn.Builder) nn.Module {
			return nn.NewConv2d(b, nn.Conv2dConfig{In: 4, Out: 6, Kernel: 3, Stride: 2, Padding: 2, Dilation: 2, Groups: 2})
		},
		"ln":  func(b *nn.Builder) nn.Module { return nn.NewLayerNorm(b, 5, 1e-6) },
		"emb": func(b *nn.Builder) nn.Module { return nn.NewEmbedding(b, 4, 3) },
		"fc":  func(b *nn.Builder) nn.Module { return nn.NewLinear(b, 5, 2, false) },
	}
	require.Len(t, layers, len(g.More))
	for name, build := range layers {
		t.Run(name, func(t *testing.T) {
			store, want := newStore(t), g.More[name]
			layer := build(store.Root())
			run(t, torch.Inference, func(s *torch.Scope) {
				source := torch.State{}
				for n, v := range want.State {
					source[n] = v.Tensor(s, torch.Float)
				}
				require.NoError(t, store.Load(source).Err())
				d := torch.Float
				if name == "emb" {
					d = torch.Int64
				}
				torchtest.Near(t, "result", layer.Forward(want.X.Tensor(s, d)), want.Y, 1e-6)
			})
		})
	}
}

func TestInitialisers(t *testing.T) {
	torchtest.Run(t, torch.Inference, func(s *torch.Scope) {
		require.NoError(t, torch.ManualSeed(1))
		x := s.Empty(torch.Float, 20000)
		require.NoError(t, nn.KaimingNormalFanOut(50)(x))
		require.InDelta(t, 0.2, x.Std().Item(), 0.005)
		require.NoError(t, nn.TruncNormal(2)(x))
		require.LessOrEqual(t, x.Abs().Max().Item(), 2.0)
		require.InDelta(t, 0, x.Mean().Item(), 0.03)
		require.NoError(t, nn.BiasUniform(0)(x))
		require.Zero(t, x.Abs().Max().Item())
		require.NoError(t, nn.BiasUniform(4)(x))
		require.InDelta(t, 0.5, x.Max().Item(), 0.001)
	})
}

// Batch norm follows PyTorch through training and evaluation.
func TestBatchNormEqualsPyTorch(t *testing.T) {
	var g layerGoldens
	torchtest.Load(t, "layers.json", &g)
	store := newStore(t)
	bn := nn.NewBatchNorm2d(store.Root(), 3, 1e-3, 0.03)
	run(t, torch.Inference, func(s *torch.Scope) {
		require.NoError(t, bn.Weight.CopyFrom(torch.Of(s, []float32{0.5, -1, 2}, 3)))
		require.NoError(t, bn.Bias.CopyFrom(torch.Of(s, []float32{0.1, 0.2, -0.3}, 3)))
	})
	for i, mode := range []torch.Mode{torch.Training, torch.Training, torch.Inference} {
		run(t, mode, func(s *torch.Scope) {
			torchtest.Near(t, "result", bn.Forward(g.BN.X[i].Tensor(s, torch.Float)), g.BN.Y[i], 1e-6)
		})
	}
	torchtest.Near(t, "mean", bn.Mean, g.BN.Mean, 1e-6)
	torchtest.Near(t, "variance", bn.Var, g.BN.Var, 1e-6)
	require.Equal(t, []int64{g.BN.Batches}, bn.Batches.Int64s(nil))
	require.Equal(t, int64(2), g.BN.Batches)
}

// A frozen batch norm evaluates in training too, and keeps its statistics.
func TestFrozenBatchNorm(t *testing.T) {
	store := newStore(t)
	bn := nn.NewBatchNorm2d(store.Root().Sub("a"), 2, 1e-3, 0.03)
	require.NoError(t, store.Freeze("a"))
	run(t, torch.Training, func(s *torch.Scope) {
		y := bn.Forward(s.Full(3, torch.Float, 2, 2, 4, 4))
		require.InDelta(t, 3/math.Sqrt(1+1e-3), y.Max().Item(), 1e-6)
		require.False(t, y.RequiresGrad())
	})
	require.Equal(t, []float32{0, 0}, bn.Mean.Float32s(nil))
	require.Equal(t, []int64{0}, bn.Batches.Int64s(nil))
}

// FrozenBatchNorm2d is batch norm in evaluation whose numbers are all buffers.
func TestFrozenBatchNorm2d(t *testing.T) {
	store := newStore(t)
	plain, frozen := nn.NewBatchNorm2d(store.Root().Sub("a"), 2, 1e-3, 0.1), nn.NewFrozenBatchNorm2d(store.Root().Sub("b"), 2, 1e-3)
	run(t, torch.Inference, func(s *torch.Scope) {
		for _, pair := range [][2]*torch.Tensor{{plain.Weight, frozen.Weight}, {plain.Bias, frozen.Bias}, {plain.Mean, frozen.Mean}, {plain.Var, frozen.Var}} {
			values := torch.Of(s, []float32{0.7, 1.9}, 2)
			require.NoError(t, pair[0].CopyFrom(values))
			require.NoError(t, pair[1].CopyFrom(values))
		}
	})
	var want []float32
	run(t, torch.Inference, func(s *torch.Scope) {
		want = plain.Forward(s.Arange(0, 16, 1, torch.Float).View(2, 2, 2, 2)).Float32s(nil)
	})
	run(t, torch.Training, func(s *torch.Scope) {
		y := frozen.Forward(s.Arange(0, 16, 1, torch.Float).View(2, 2, 2, 2))
		require.Equal(t, want, y.Float32s(nil))
		require.False(t, y.RequiresGrad())
	})
	require.Equal(t, []float32{0.7, 1.9}, frozen.Mean.Float32s(nil))
	require.Equal(t, []string{"b.bias", "b.running_mean", "b.running_var", "b.weight"}, store.State().Names()[5:])
	require.Len(t, store.Trainable(), 2)
}

// Indices are saved and loaded like any buffer.
func TestIndices(t *testing.T) {
	root := torch.NewRoot(torch.CPU)
	defer root.Close()
	for _, c := range []struct {
		source wildtrain.State
		want   []int64
	}{{nil, []int64{3, 1, 2}}, {torch.State{"a.at": torch.Of(root, []int64{7, 8, 9}, 3)}, []int64{7, 8, 9}}} {
		store := nn.NewStore(torch.CPU, c.source)
		index := store.Root().Sub("a").Indices("at", []int64{3, 1, 2}, 3)
		require.NoError(t, store.Finish().Err())
		require.Equal(t, c.want, index.Int64s(nil))
		require.Equal(t, []string{"a.at"}, store.State().Names())
		require.Empty(t, store.Trainable())
		require.NoError(t, store.Close())
	}
}

func TestMultiheadAttentionEqualsPyTorch(t *testing.T) {
	var g layerGoldens
	torchtest.Load(t, "layers.json", &g)
	store := newStore(t)
	m := nn.NewMultiheadAttention(store.Root(), 8, 2, 0.5)
	run(t, torch.Inference, func(s *torch.Scope) {
		source := torch.State{}
		for n, v := range g.Attn.State {
			source[n] = v.Tensor(s, torch.Float)
		}
		require.NoError(t, store.Load(source).Err())
	})
	mode := torch.Mode{Grad: true} // no dropout
	run(t, mode, func(s *torch.Scope) {
		q, k, v := g.Attn.Q.Tensor(s, torch.Float), g.Attn.K.Tensor(s, torch.Float), g.Attn.V.Tensor(s, torch.Float)
		require.NoError(t, q.SetRequiresGrad(true))
		own, cross := m.Forward(q), m.Attend(q, k, v, g.Attn.Mask.Tensor(s, torch.Float))
		torchtest.Near(t, "self attention", own, g.Attn.Own, 1e-5)
		torchtest.Near(t, "cross attention", cross, g.Attn.Cross, 1e-5)
		require.NoError(t, own.Square().Sum().Add(cross.Square().Sum()).Backward())
		torchtest.Near(t, "gradient of q", s.Grad(q), g.Attn.QGrad, 1e-5)
		torchtest.Near(t, "gradient of in_proj_weight", s.Grad(m.InWeight), g.Attn.InGrad, 1e-5)
	})
}

func TestDropoutAndDropPath(t *testing.T) {
	torchtest.Handles(t)
	for _, l := range []nn.Module{nn.Dropout{P: 0.5}, nn.DropPath{P: 0.5}, nn.Dropout{}, nn.DropPath{}} {
		run(t, torch.Inference, func(s *torch.Scope) {
			x := s.Ones(torch.Float, 4, 3)
			require.Same(t, x, l.Forward(x))
		})
	}
	require.NoError(t, torch.ManualSeed(3))
	run(t, torch.Training, func(s *torch.Scope) {
		y := nn.DropPath{P: 0.5}.Forward(s.Ones(torch.Float, 64, 5)).Float32s(nil)
		kept := 0
		for i := 0; i < len(y); i += 5 {
			require.Contains(t, []float32{0, 2}, y[i])
			for j := 1; j < 5; j++ {
				require.Equal(t, y[i], y[i+j], "a sample drops as a whole")
			}
			if y[i] > 0 {
				kept++
			}
		}
		require.InDelta(t, 32, kept, 12)
	})
}

func TestSmallLayers(t *testing.T) {
	torchtest.Run(t, torch.Inference, func(s *torch.Scope) {
		x := s.Arange(0, 16, 1, torch.Float).View(1, 1, 4, 4)
		require.Equal(t, []float32{5, 7, 13, 15}, nn.MaxPool2d{Kernel: 2, Stride: 2}.Forward(x).Float32s(nil))
		require.Equal(t, []int64{1, 1, 8, 8}, nn.Upsample{Factor: 2}.Forward(x).Shape())
		require.Equal(t, []float32{0, 0, 1, 1}, nn.Upsample{Factor: 2}.Forward(x).Float32s(nil)[:4])
		y := nn.Sequential{nn.ReLU, nn.Func(func(x *torch.Tensor) *torch.Tensor { return x.AddScalar(1) })}.Forward(x.AddScalar(-8))
		require.Equal(t, 8.0, y.Max().Item())
		require.Equal(t, 1.0, y.Min().Item())
		require.Same(t, x, nn.Identity.Forward(x))
		require.Equal(t, -0.5, nn.LeakyReLU(0.5).Forward(x.AddScalar(-1)).Min().Item())
	})
	require.Equal(t, int64(72), nn.MakeDivisible(65, 8))
	require.Equal(t, int64(64), nn.MakeDivisible(64, 8))
}

// A long Sequential holds no more at a time than its input and two results, and
// one that stands in it another two, less the one they share.
func TestSequentialFreesAsItGoes(t *testing.T) {
	var most int64
	torchtest.Run(t, torch.Inference, func(s *torch.Scope) {
		x := s.Ones(torch.Float, 4)
		before := torch.Handles()
		add := nn.Func(func(x *torch.Tensor) *torch.Tensor {
			y := x.AddScalar(1)
			most = max(most, torch.Handles()-before)
			return y
		})
		y := nn.Sequential{add, nn.Identity, add, nn.Sequential{add, add}, nn.Sequential{}, add, add}.Forward(x)
		require.Equal(t, 7.0, y.Max().Item())
		require.True(t, x.Valid())
		require.Equal(t, 1.0, x.Max().Item())
	})
	require.LessOrEqual(t, most, int64(3))
	var gradient []float32
	run(t, torch.Training, func(s *torch.Scope) { // what the gradient needs stays
		x := torch.Of(s, []float32{1, 2, 3}, 3)
		require.NoError(t, x.SetRequiresGrad(true))
		square := nn.Func((*torch.Tensor).Square)
		require.NoError(t, nn.Sequential{square, square, square}.Forward(x).Sum().Backward())
		gradient = s.Grad(x).Float32s(nil)
	})
	require.Equal(t, []float32{8, 8 * 128, 8 * 2187}, gradient)
}

// No number lies far out, as many as are drawn.
func TestTruncNormal(t *testing.T) {
	root := torch.NewRoot(torch.CPU)
	defer root.Close()
	for std, far := range map[float64]float64{0.02: 0.02 * 7, 1: 2} {
		x := root.Empty(torch.Float, 4<<20)
		require.NoError(t, nn.TruncNormal(std)(x))
		var square, largest float64
		for _, v := range x.Float32s(nil) {
			square, largest = square+float64(v)*float64(v), max(largest, math.Abs(float64(v)))
		}
		require.LessOrEqual(t, largest, far)
		require.Greater(t, largest, 4.5*min(std, 0.44))
		deviation := map[float64]float64{0.02: 0.02, 1: 0.8796}[std] // of a standard normal within ±2
		require.InEpsilon(t, deviation, math.Sqrt(square/float64(x.Len())), 2e-3)
	}
}

func TestStoreNames(t *testing.T) {
	store := newStore(t)
	b := store.Root().Sub("model").At(0)
	require.Equal(t, "model.0", b.Path())
	require.Equal(t, "", store.Root().Path())
	nn.NewConv2d(b.Sub("conv"), nn.Conv2dConfig{In: 3, Out: 4, Kernel: 3, NoBias: true})
	nn.NewBatchNorm2d(b.Sub("bn"), 4, 1e-5, 0.1)
	b.Sub("dfl").Constant("bins", nn.Fill(2), 5)
	require.Panics(t, func() { nn.NewConv2d(b.Sub("conv"), nn.Conv2dConfig{In: 3, Out: 4, Kernel: 3}) })
	require.Equal(t, int64(4*3*9+4+4+5), store.Parameters())
	var names []string
	for _, e := range store.Trainable() {
		names = append(names, e.Name)
		require.True(t, e.Tensor.RequiresGrad())
	}
	require.Equal(t, []string{"model.0.conv.weight", "model.0.bn.weight", "model.0.bn.bias"}, names)
	require.Equal(t, []string{
		"model.0.bn.bias", "model.0.bn.num_batches_tracked", "model.0.bn.running_mean", "model.0.bn.running_var", "model.0.bn.weight",
		"model.0.conv.weight", "model.0.dfl.bins",
	}, store.State().Names())
	info, _ := store.State().Info("model.0.bn.num_batches_tracked")
	require.Equal(t, wildtrain.Info{DType: wildtrain.Int64, Shape: nil}, info)

	require.NoError(t, store.Freeze("model.0.conv"))
	require.Len(t, store.Trainable(), 2)
	e, _ := store.Lookup("model.0.conv.weight")
	require.False(t, e.Tensor.RequiresGrad())
	require.NoError(t, store.Freeze())
	require.True(t, e.Tensor.RequiresGrad())
	require.ErrorContains(t, store.Freeze("model.0.conv", "model.1"), `"model.1"`)
	require.ErrorContains(t, store.Freeze("model.0.con"), `"model.0.con"`, "prefixes end at dots")
}

// Loading tells everything that does not fit at once.
func TestLoadReport(t *testing.T) {
	store := newStore(t)
	nn.NewLinear(store.Root().Sub("a"), 2, 3, true)
	nn.NewLinear(store.Root().Sub("b"), 2, 2, false)
	var report nn.LoadReport
	run(t, torch.Inference, func(s *torch.Scope) {
		report = store.Load(torch.State{
			"a.weight": torch.Of(s, []float64{1, 2, 3, 4, 5, 6}, 3, 2), // converted
			"a.bias":   s.Ones(torch.Float, 4),
			"c.weight": s.Ones(torch.Float, 1),
		})
	})
	require.Equal(t, nn.LoadReport{Loaded: 1, Missing: []string{"b.weight"}, Unexpected: []string{"c.weight"}, Misshaped: []string{"a.bias: model [3], source [4]"}}, report)
	require.False(t, report.Complete())
	for _, part := range []string{"1 missing: b.weight", "1 unexpected: c.weight", "1 mis-shaped: a.bias"} {
		require.ErrorContains(t, report.Err(), part)
	}
	a, _ := store.Lookup("a.weight")
	require.Equal(t, []float32{1, 2, 3, 4, 5, 6}, a.Tensor.Float32s(nil))
	require.True(t, a.Tensor.RequiresGrad())
}

// The constructor that initialises also loads.
func TestBuildFromSource(t *testing.T) {
	torchtest.Handles(t)
	root := torch.NewRoot(torch.CPU)
	defer root.Close()
	source := torch.State{"fc.weight": root.Full(2, torch.Half, 1, 2), "fc.bias": root.Full(3, torch.Float, 1)}
	store := nn.NewStore(torch.CPU, source)
	defer store.Close()
	fc := nn.NewLinear(store.Root().Sub("fc"), 2, 1, true)
	report := store.Finish()
	require.NoError(t, report.Err())
	require.Equal(t, 2, report.Loaded)
	require.Equal(t, []float32{2, 2}, fc.Weight.Float32s(nil))
	require.Equal(t, torch.Float, fc.Weight.DType())
	run(t, torch.Inference, func(s *torch.Scope) {
		require.Equal(t, 7.0, fc.Forward(s.Ones(torch.Float, 1, 2)).Item())
	})
}

func TestChannelsLastKeepsValues(t *testing.T) {
	store := newStore(t)
	conv := nn.NewConv2d(store.Root(), nn.Conv2dConfig{In: 2, Out: 3, Kernel: 3, Padding: 1})
	before := conv.Weight.Float32s(nil)
	var a, b []float64
	run(t, torch.Inference, func(s *torch.Scope) { a = conv.Forward(s.Ones(torch.Float, 1, 2, 4, 4)).Float64s(nil) })
	require.NoError(t, store.ChannelsLast())
	require.True(t, conv.Weight.ChannelsLast())
	require.True(t, conv.Weight.RequiresGrad())
	require.Equal(t, before, conv.Weight.Float32s(nil))
	run(t, torch.Inference, func(s *torch.Scope) {
		y := conv.Forward(s.Ones(torch.Float, 1, 2, 4, 4).ToChannelsLast())
		require.True(t, y.ChannelsLast())
		b = y.Float64s(nil)
	})
	torchtest.Close(t, "result", b, a, 1e-6)
}
