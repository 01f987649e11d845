package torch_test

import (
	"math"
	"sort"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/torch"
	"github.com/wildtrain/sdk/torch/torchtest"
)

// inputs are the inputs of testdata/make.py in one scope.
type inputs map[string]*torch.Tensor

type opCase func(x *torch.Tensor, in inputs) []*torch.Tensor

// one wraps a case with a single result.
func one(f func(x *torch.Tensor, in inputs) *torch.Tensor) opCase {
	return func(x *torch.Tensor, in inputs) []*torch.Tensor { return []*torch.Tensor{f(x, in)} }
}

// pure wraps a case that needs its first operand only.
func pure(f func(x *torch.Tensor) *torch.Tensor) opCase {
	return func(x *torch.Tensor, _ inputs) []*torch.Tensor { return []*torch.Tensor{f(x)} }
}

// two wraps a case with a second operand.
func two(name string, f func(x, o *torch.Tensor) *torch.Tensor) opCase {
	return func(x *torch.Tensor, in inputs) []*torch.Tensor { return []*torch.Tensor{f(x, in[name])} }
}

// num wraps a case with a number.
func num(v float64, f func(x *torch.Tensor, v float64) *torch.Tensor) opCase {
	return func(x *torch.Tensor, _ inputs) []*torch.Tensor { return []*torch.Tensor{f(x, v)} }
}

func values(a, b *torch.Tensor) []*torch.Tensor { return []*torch.Tensor{a, b} }

type T = *torch.Tensor

var elementCases = map[string]opCase{
	"add": two("row", (T).Add), "sub": two("row", (T).Minus), "mul": two("y", (T).Mul), "div": two("pos", (T).Div),
	"maximum": two("y", (T).Maximum), "minimum": two("y", (T).Minimum), "atan2": two("y", (T).Atan2),
	"and": one(func(_ T, in inputs) T { return in["mask"].And(in["mask2"]) }),
	"gt":  two("y", (T).Greater), "eq": one(func(x T, in inputs) T { return x.Round().Equal(in["y"].Round()) }),
	"matmul": two("k", (T).MatMul), "neg": pure((T).Neg), "abs": pure((T).Abs), "exp": pure((T).Exp), "log": pure((T).Log),
	"sqrt": pure((T).Sqrt), "square": pure((T).Square), "atan": pure((T).Atan), "floor": pure((T).Floor), "round": pure((T).Round),
	"sigmoid": pure((T).Sigmoid), "tanh": pure((T).Tanh), "silu": pure((T).SiLU), "relu": pure((T).ReLU), "mish": pure((T).Mish),
	"relu6":     pure(func(x T) T { return x.MulScalar(8).ReLU6() }),
	"hardswish": pure(func(x T) T { return x.MulScalar(3).HardSwish() }), "hardsigmoid": pure(func(x T) T { return x.MulScalar(3).HardSigmoid() }),
	"softplus": pure((T).Softplus), "gelu": pure((T).GELU), "clone": pure((T).Clone),
	"isfinite": pure(func(x T) T { return x.Div(x.GreaterScalar(0).To(torch.Double)).IsFinite() }),
	"detach":   pure(func(x T) T { return x.Detach().Mul(x) }),

	"add_scalar": num(2.5, (T).AddScalar), "mul_scalar": num(2.5, (T).MulScalar), "div_scalar": num(2.5, (T).DivScalar), "pow_scalar": num(1.5, (T).PowScalar),
	"scalar_minus": num(2.5, (T).ScalarMinus), "scalar_div": num(2.5, (T).ScalarDiv), "gt_scalar": num(0.1, (T).GreaterScalar), "ge_scalar": num(0.1, (T).GreaterEqualScalar),
	"lt_scalar": num(0.1, (T).LessScalar), "le_scalar": num(0.1, (T).LessEqualScalar),
	"eq_scalar": pure(func(x T) T { return x.Round().EqualScalar(1) }), "ne_scalar": pure(func(x T) T { return x.Round().NotEqualScalar(1) }),
	"leaky_relu": num(0.1, (T).LeakyReLU), "remainder": num(0.7, (T).Remainder),
	"clamp": pure(func(x T) T { return x.Clamp(-0.5, 0.7) }), "clamp_min": pure(func(x T) T { return x.Clamp(0.2, math.Inf(1)) }),
	"clamp_max":     pure(func(x T) T { return x.Clamp(math.Inf(-1), 0.2) }),
	"where":         one(func(x T, in inputs) T { return in["mask"].Where(x, in["y"]) }),
	"to_float":      pure(func(x T) T { return x.To(torch.Float) }),
	"to_int":        pure(func(x T) T { return x.MulScalar(3).To(torch.Int64) }),
	"channels_last": pure(func(x T) T { return x.ToChannelsLast().MulScalar(1) }),
}

var reduceCases = map[string]opCase{
	"sum": pure(func(x T) T { return x.Sum() }), "sum_dims": pure(func(x T) T { return x.Sum(1, 3) }), "sum_keep": pure(func(x T) T { return x.SumKeep(1) }),
	"mean_all": pure(func(x T) T { return x.Mean() }), "mean_dims": pure(func(x T) T { return x.Mean(0, 2) }), "mean_keep": pure(func(x T) T { return x.MeanKeep(2, 3) }),
	"max": pure(func(x T) T { return x.Max() }), "max_dims": pure(func(x T) T { return x.Max(2, 3) }), "max_keep": pure(func(x T) T { return x.MaxKeep(1) }),
	"min": pure(func(x T) T { return x.Min() }), "min_dims": pure(func(x T) T { return x.Min(-1) }),
	"norm": pure(func(x T) T { return x.Norm() }), "norm_dims": pure(func(x T) T { return x.Norm(1, 2) }),
	"std": pure(func(x T) T { return x.Std() }), "std_dims": pure(func(x T) T { return x.Std(0) }),
	"var": pure(func(x T) T { return x.Var() }), "var_dims": pure(func(x T) T { return x.Var(0, 3) }),
	"logsumexp": pure(func(x T) T { return x.LogSumExp(1) }), "argmax": pure(func(x T) T { return x.ArgMax(-1) }),
	"max_dim": func(x T, _ inputs) []T { return values(x.MaxDim(1, false)) },
	"topk":    func(x T, _ inputs) []T { return values(x.TopK(3, 1)) },
	"sort":    func(x T, _ inputs) []T { return values(x.Sort(1, true)) },
	"softmax": pure(func(x T) T { return x.Softmax(1) }), "log_softmax": pure(func(x T) T { return x.LogSoftmax(-1) }),
	"cumsum": pure(func(x T) T { return x.CumSum(2) }),
}

var shapeCases = map[string]opCase{
	"view": pure(func(x T) T { return x.View(2, -1) }), "reshape": pure(func(x T) T { return x.Transpose(1, 2).Reshape(6, 24) }),
	"flatten": pure(func(x T) T { return x.Flatten(1, 2) }), "permute": pure(func(x T) T { return x.Permute(0, 2, 3, 1) }),
	"transpose": pure(func(x T) T { return x.Transpose(1, 3) }), "unsqueeze": pure(func(x T) T { return x.Unsqueeze(1) }),
	"squeeze": pure(func(x T) T { return x.Narrow(1, 0, 1).Squeeze(1) }), "expand": pure(func(x T) T { return x.Narrow(1, 0, 1).Expand(-1, 3, -1, -1) }),
	"repeat": pure(func(x T) T { return x.Repeat(2, 3) }), "narrow": pure(func(x T) T { return x.Narrow(1, 2, 3) }), "select": pure(func(x T) T { return x.Select(1, 4) }),
	"flip": pure(func(x T) T { return x.Flip(2, 3) }), "roll": pure(func(x T) T { return x.Roll([]int64{1, -2}, []int64{2, 3}) }),
	"split": func(x T, _ inputs) []T { return x.Split(1, 1, 2, 3) }, "chunk": func(x T, _ inputs) []T { return x.Chunk(3, 1) },
	"cat":          one(func(x T, in inputs) T { return torch.Cat([]T{x, in["y"]}, 1) }),
	"stack":        one(func(x T, in inputs) T { return torch.Stack([]T{x, in["y"]}, 2) }),
	"index_select": one(func(x T, in inputs) T { return x.IndexSelect(1, in["idx"]) }), "gather": one(func(x T, in inputs) T { return x.Gather(0, in["gidx"]) }),
	"index": one(func(x T, in inputs) T { return x.Index(in["idx"]) }), "index_mask": one(func(x T, in inputs) T { return x.Index(in["mask"]) }),
	"index_put":     one(func(x T, in inputs) T { return x.IndexPut(in["vals"], true, in["idx"]) }),
	"scatter":       one(func(x T, in inputs) T { return x.Scatter(0, in["gidx"].Narrow(0, 0, 1), in["src"]) }),
	"scatter_add":   one(func(x T, in inputs) T { return x.ScatterAdd(0, in["gidx"], in["src"]) }),
	"masked_select": one(func(x T, in inputs) T { return x.MaskedSelect(in["mask"]) }),
	"nonzero":       one(func(_ T, in inputs) T { return in["mask"].NonZero() }), "one_hot": one(func(_ T, in inputs) T { return in["ints"].OneHot(5) }),
	"pad": pure(func(x T) T { return x.Pad(0.5, 1, 2, 0, -1) }),
}

func resize(h, w int64, o torch.InterpolateOptions) opCase {
	return pure(func(x T) T { return x.Interpolate(h, w, o) })
}

var netCases = map[string]opCase{
	"conv2d": one(func(x T, in inputs) T {
		return x.Conv2d(in["w"], in["wb"], torch.ConvOptions{Stride: [2]int64{2, 2}, Padding: [2]int64{1, 1}, Groups: 2})
	}),
	"conv2d_dilated": one(func(x T, in inputs) T {
		return x.Narrow(1, 0, 3).Conv2d(in["w"], nil, torch.ConvOptions{Padding: [2]int64{2, 2}, Dilation: [2]int64{2, 2}})
	}),
	"conv_transpose2d": one(func(x T, in inputs) T {
		return x.ConvTranspose2d(in["wt"], in["wtb"], torch.ConvOptions{Stride: [2]int64{2, 2}, Padding: [2]int64{1, 1}, OutputPadding: [2]int64{1, 1}, Groups: 2})
	}),
	"batch_norm_eval": one(func(x T, in inputs) T {
		return x.BatchNorm(in["gamma"], in["beta"], in["mean"], in["var"], false, 0.1, 1e-3)
	}),
	"batch_norm_train": one(func(x T, in inputs) T {
		return x.BatchNorm(in["gamma"], in["beta"], in["mean"].Clone(), in["var"].Clone(), true, 0.1, 1e-3)
	}),
	"layer_norm": one(func(x T, in inputs) T { return x.LayerNorm([]int64{4}, in["lng"], in["lnb"], 1e-6) }),
	"group_norm": one(func(x T, in inputs) T { return x.GroupNorm(3, in["gamma"], in["beta"], 1e-5) }),
	"linear":     one(func(x T, in inputs) T { return x.Linear(in["lw"], in["lb"]) }), "linear_plain": one(func(x T, in inputs) T { return x.Linear(in["lw"], nil) }),
	"embedding":       one(func(_ T, in inputs) T { return in["ints"].Embedding(in["table"]) }),
	"attention":       one(func(x T, in inputs) T { return torch.Attention(x, in["kk"], in["v"], in["amask"], 0) }),
	"attention_plain": one(func(x T, in inputs) T { return torch.Attention(x, in["kk"], in["v"], nil, 0) }),
	"dropout_eval":    pure(func(x T) T { return x.Dropout(0.5, false) }),
	"max_pool2d":      pure(func(x T) T { return x.MaxPool2d(3, 2, 1) }), "avg_pool2d": pure(func(x T) T { return x.AvgPool2d(3, 2, 1) }),
	"adaptive_avg_pool2d": pure(func(x T) T { return x.AdaptiveAvgPool2d(3, 2) }),
	"nearest":             resize(10, 8, torch.InterpolateOptions{}), "nearest_odd": resize(7, 3, torch.InterpolateOptions{}),
	"bilinear":         resize(8, 9, torch.InterpolateOptions{Mode: torch.Bilinear}),
	"bilinear_corners": resize(8, 9, torch.InterpolateOptions{Mode: torch.Bilinear, AlignCorners: true}),
	"bicubic":          resize(8, 9, torch.InterpolateOptions{Mode: torch.Bicubic}),
	"bilinear_aa":      resize(3, 2, torch.InterpolateOptions{Mode: torch.Bilinear, Antialias: true}),
	"bicubic_aa":       resize(3, 2, torch.InterpolateOptions{Mode: torch.Bicubic, Antialias: true}),
	"scale_factor":     resize(5, 5, torch.InterpolateOptions{Mode: torch.Bilinear, ScaleH: 1.7, ScaleW: 1.3}),
	"grid_sample":      one(func(x T, in inputs) T { return x.GridSample(in["grid"], false) }), "grid_sample_corners": one(func(x T, in inputs) T { return x.GridSample(in["grid"], true) }),
	"bce":                one(func(x T, in inputs) T { return x.BCEWithLogits(in["prob"], nil, nil, torch.None) }),
	"bce_weighted":       one(func(x T, in inputs) T { return x.BCEWithLogits(in["prob"], in["pos"], in["row"].Abs(), torch.Mean) }),
	"cross_entropy":      one(func(x T, in inputs) T { return x.CrossEntropy(in["classes"], in["cw"], torch.Mean, 0.1) }),
	"cross_entropy_soft": one(func(x T, in inputs) T { return x.CrossEntropy(in["soft"], nil, torch.Sum, 0) }),
	"cross_entropy_none": one(func(x T, in inputs) T { return x.CrossEntropy(in["classes"], nil, torch.None, 0) }),
	"smooth_l1":          one(func(x T, in inputs) T { return x.SmoothL1(in["y"], torch.Sum, 0.5) }),
	"l1":                 one(func(x T, in inputs) T { return x.L1(in["y"], torch.Mean) }), "mse": one(func(x T, in inputs) T { return x.MSE(in["y"], torch.None) }),
}

type opGoldens struct {
	Inputs map[string]struct {
		torchtest.Golden
		DType string `json:"dtype"`
	} `json:"inputs"`
	Cases map[string]struct {
		X    string             `json:"x"`
		Out  []torchtest.Golden `json:"out"`
		Grad *torchtest.Golden  `json:"grad"`
	} `json:"cases"`
}

func (g opGoldens) open(s *torch.Scope) inputs {
	types := map[string]torch.DType{"float64": torch.Double, "int64": torch.Int64, "bool": torch.Bool}
	in := inputs{}
	for n, v := range g.Inputs {
		in[n] = v.Tensor(s, types[v.DType])
	}
	return in
}

func allCases() map[string]opCase {
	all := map[string]opCase{}
	for _, cases := range []map[string]opCase{elementCases, reduceCases, shapeCases, netCases} {
		for n, c := range cases {
			all[n] = c
		}
	}
	return all
}

// Every operation has PyTorch's result and PyTorch's gradient.
func TestOperationsEqualPyTorch(t *testing.T) {
	var g opGoldens
	torchtest.Load(t, "ops.json", &g)
	all := allCases()
	names := make([]string, 0, len(g.Cases))
	for n := range g.Cases {
		names = append(names, n)
		require.Contains(t, all, n)
	}
	require.Len(t, all, len(g.Cases))
	sort.Strings(names)
	for _, n := range names {
		t.Run(n, func(t *testing.T) {
			torchtest.Run(t, torch.Training, func(s *torch.Scope) {
				in, want := g.open(s), g.Cases[n]
				x := in[want.X]
				if x.DType() == torch.Double {
					require.NoError(t, x.SetRequiresGrad(true))
				}
				out := all[n](x, in)
				require.NoError(t, s.Err())
				require.Len(t, out, len(want.Out))
				var loss T
				for i, y := range out {
					torchtest.Near(t, "result", y, want.Out[i], tolerance(y))
					if y.RequiresGrad() {
						part := y.Mul(cosines(s, y.Shape()...)).Sum()
						if loss == nil {
							loss = part
						} else {
							loss = loss.Add(part)
						}
					}
				}
				require.Equal(t, want.Grad != nil, loss != nil, "has a gradient")
				if loss != nil {
					require.NoError(t, loss.Backward())
					torchtest.Near(t, "gradient", s.Grad(x), *want.Grad, tolerance(out[0]))
				}
			})
		})
	}
}

// cosines are cos(0), cos(1), … in a shape.
func cosines(s *torch.Scope, shape ...int64) T {
	n := int64(1)
	for _, d := range shape {
		n *= d
	}
	data := make([]float64, n)
	for i := range data {
		data[i] = math.Cos(float64(i))
	}
	return torch.Of(s, data, shape...)
}

func tolerance(y T) float64 {
	if y.DType() == torch.Float {
		return 1e-6
	}
	return 1e-8
}
